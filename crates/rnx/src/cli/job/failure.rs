//! Why a job could not be run, and what to do about it.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::say;
use rnx::failure::{ExitStatus, Failure};
use rnx::fixes::Lack;
use rnx::gpu::GpuError;
use rnx::in_use::HoldError;
use rnx::job::Runtime;
use rnx::run::{LoadError, RunError};
use rnx_sandbox::spawn::SandboxError;

/// A volume is looked at before the sandbox begins, which can name a step but not the option that asked for it.
pub(super) fn there(host: &Path) -> Result<(), Failure> {
    let Err(error) = fs_err::metadata(host) else { return Ok(()) };
    let text = format!("the volume `{}` cannot be shown in the job", host.display());
    let mut failure = Failure::message(ExitStatus::Findings, text);
    failure.causes.push(error.to_string());
    Err(if error.kind() == std::io::ErrorKind::NotFound {
        failure.hint("make it first: a volume's folder is not made for you")
    } else {
        failure
    })
}

pub(super) fn hold(error: &HoldError) -> Failure {
    let status = match error {
        HoldError::Gone { .. } => ExitStatus::Findings,
        _ => ExitStatus::Host,
    };
    Failure::new(status, error)
}

pub(super) fn load(error: &LoadError) -> Failure {
    let failure = Failure::new(ExitStatus::Findings, error);
    match error {
        LoadError::Place { .. } => failure.hint(
            "show it at a place of its own, as /data, or at a folder that the runtime has and that no link leads to",
        ),
        LoadError::Read { source } if source.kind() == std::io::ErrorKind::NotFound => {
            failure.hint("a runtime is named as `rnx runtime list` shows it; a path is a folder with a runtime.yml")
        }
        _ => failure,
    }
}

pub(super) fn gpu(error: &GpuError) -> Failure {
    let failure = Failure::new(ExitStatus::Host, error);
    match error {
        GpuError::None { .. } => failure.hint(Lack::Gpu.to_string()),
        GpuError::NoDriver => failure.hint(Lack::GpuDriver.to_string()),
        GpuError::AskMemory { .. } | GpuError::Memory { .. } => {
            failure.hint("leave `--gpu-memory` out, or install the driver's `nvidia-smi`")
        }
        _ => failure,
    }
}

/// A command that is missing or cannot be executed is told with the status a shell would give.
pub(super) fn run(error: &RunError, runtime: &Runtime) -> Result<ExitCode, Failure> {
    let status = match error {
        RunError::Sandbox(SandboxError::NotFound { .. }) => 127,
        RunError::Sandbox(SandboxError::CannotExecute { .. }) => 126,
        _ => return Err(host(error)),
    };
    let failure = Failure::new(ExitStatus::Findings, error).hint(format!(
        "the job ran in {}@{}, which has what is in its PATH; a line for the shell is run as `sh -c LINE`",
        runtime.yml.name, runtime.yml.version
    ));
    say::lines(&failure);
    Ok(status.into())
}

fn host(error: &RunError) -> Failure {
    let failure = Failure::new(ExitStatus::Host, error);
    let RunError::Sandbox(inner) = error else { return failure };
    // Without its own name the advice is still right.
    let program = std::env::current_exe().unwrap_or_else(|_unknown| "rnx".into());
    if let Some(lack) = Lack::behind(inner, &program) {
        return failure.hint(lack.to_string());
    }
    match inner {
        SandboxError::Step { step, source }
            if step.starts_with("enter the folder")
                && source.kind() == std::io::ErrorKind::NotFound =>
        {
            failure.hint("`--workdir` is a folder in the job: /work is the current directory, and `--volume` adds others")
        }
        SandboxError::Step { step, source }
            if step.starts_with("copy ")
                && source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            failure.hint("a job of root reads root's files and those that everybody may read: change their mode or owner, or run it as their owner")
        }
        _ => failure,
    }
}
