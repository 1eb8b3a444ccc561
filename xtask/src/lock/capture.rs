//! Asks programs in a build's chroot, without a network: above all `capture.sh`.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::time::Duration;

use rnx_sandbox::plan::{Network, SandboxPlan};
use rnx_sandbox::spawn::{Exit, SandboxError, Stdio, Stream, spawn};

use crate::tool;

pub(super) const SCRIPT: &str = include_str!("capture.sh");

/// File lists of a whole distro are a few MiB.
const SAID_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Seconds on the machine's own architecture; an emulated one takes a minute.
const TIME_MAX: Duration = Duration::from_mins(10);

/// The chroot did not tell what is installed in it.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("failed to keep what the chroot says")]
    Keep { source: io::Error },
    #[error("failed to run a shell in the chroot")]
    Sandbox { source: SandboxError },
    #[error("the chroot's package manager failed ({exit:?}){}", tool::quoted(said))]
    Failed { exit: Exit, said: String },
    #[error("the chroot's package manager took more than {} minutes and was killed", TIME_MAX.as_secs() / 60)]
    TooLong,
}

/// Returns what a program says; `scratch` is a folder for it.
pub(super) fn run(
    chroot: &SandboxPlan,
    argv: &[&str],
    scratch: &Path,
) -> Result<String, CaptureError> {
    let keep = |source| CaptureError::Keep { source };
    let sandbox = |source| CaptureError::Sandbox { source };
    let mut plan = chroot.clone();
    plan.network = Network::None;
    plan.process.argv = argv.iter().map(Into::into).collect();
    let (stdout, stderr) = (tempfile::tempfile_in(scratch), tempfile::tempfile_in(scratch));
    let (mut stdout, mut stderr) = (stdout.map_err(keep)?, stderr.map_err(keep)?);
    let stream = |file: &File| file.try_clone().map(|file| Stream::Fd(file.into()));
    let stdio = Stdio {
        stdin: Stream::Null,
        stdout: stream(&stdout).map_err(keep)?,
        stderr: stream(&stderr).map_err(keep)?,
    };
    let mut child = spawn(&plan, stdio).map_err(sandbox)?;
    let Some(exit) = child.wait_timeout(TIME_MAX).map_err(sandbox)? else {
        child.kill().map_err(sandbox)?;
        child.wait().map_err(sandbox)?;
        return Err(CaptureError::TooLong);
    };
    if exit != Exit::Code(0) {
        let said = tool::tail(&whole(&mut stderr).map_err(keep)?);
        return Err(CaptureError::Failed { exit, said });
    }
    // Package descriptions in old encodings are of no matter here.
    Ok(String::from_utf8_lossy(&whole(&mut stdout).map_err(keep)?).into_owned())
}

fn whole(file: &mut File) -> io::Result<Vec<u8>> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(SAID_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}
