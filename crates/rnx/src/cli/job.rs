//! `rnx job run`.

mod failure;
mod options;
mod receipt;
mod values;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use rnx::failure::{ExitStatus, Failure};
use rnx::job::{self, JobRequest, Runtime};
use rnx::run::{self, Ended, Finished, Running};
use rnx::{gpu, in_use, shield, upload};
use rnx_sandbox::plan::SandboxPlan;
use rnx_sandbox::spawn::Exit;
use rnx_sandbox::terminal::CallersTerminal;

pub(crate) use self::options::Args;
use self::receipt::Course;
use crate::cli::path::Found;
use crate::cli::render;
use crate::cli::say::say;

/// As `timeout(1)` exits.
const TIMED_OUT: u8 = 124;

/// Run jobs in runtimes
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Run(Box<Args>),
}

/// Runs the job; an error is about what keeps it from running. `find` finds a runtime, and installs it if its second
/// argument says so.
pub(crate) fn run(
    args: &Args,
    find: impl Fn(&str, bool) -> Result<Found, Failure>,
) -> Result<ExitCode, Failure> {
    // Before anything that takes time: until now the process list shows them.
    args.environment.hide_secrets()?;
    // Whoever asks for an explanation asks for nothing else.
    let Found { dir, base } = find(&args.runtime, args.install && !args.explain)?;
    let dir = run::folder(&dir).map_err(|error| failure::load(&error))?;
    // From what is read of it now until the job has ended, nobody puts another in its place or deletes it.
    let held = in_use::hold(&dir).map_err(|error| failure::hold(&error))?;
    let runtime = run::load(&dir).map_err(|error| failure::load(&error))?;
    let request = request(args)?;
    for volume in &request.volumes {
        run::check_place(&runtime, &volume.guest).map_err(|error| failure::load(&error))?;
    }
    let around = run::look(&runtime, &|name| std::env::var_os(name))
        .map_err(|error| failure::load(&error))?;
    let mut plan = job::plan(&runtime, &request, &around)
        .map_err(|error| Failure::new(ExitStatus::Findings, &error))?;
    let bases: Vec<PathBuf> = shield::base_of(&runtime.dir).into_iter().chain(base).collect();
    shield::apply(&mut plan, &bases);
    if args.explain {
        return render::print(&explained(args, &runtime, &request, &plan))
            .map(|()| ExitCode::SUCCESS);
    }
    let terminal = args.terminal.open()?;
    let status = carry_out(args, &runtime, (&plan, &request), terminal);
    drop(held);
    status
}

fn request(args: &Args) -> Result<JobRequest, Failure> {
    for volume in &args.volume {
        failure::there(&volume.host)?;
    }
    let uploads = match args.upload.as_slice() {
        [] => None,
        paths => {
            Some(upload::list(paths).map_err(|error| Failure::new(ExitStatus::Findings, &error))?)
        }
    };
    let gpus = match args.gpus() {
        Some(request) => {
            Some(gpu::find(&request, "/".as_ref()).map_err(|error| failure::gpu(&error))?)
        }
        None => None,
    };
    let (env, secrets) = args.environment.variables()?;
    Ok(JobRequest {
        argv: args.command.clone(),
        env,
        secrets,
        volumes: args.volume.clone(),
        uploads,
        workdir: args.workdir.clone(),
        network: args.network,
        limits: args.resources.limits(),
        gpus,
        user: args.user,
    })
}

fn explained(args: &Args, runtime: &Runtime, request: &JobRequest, plan: &SandboxPlan) -> String {
    let mut lines = vec![plan.to_string()];
    lines.extend(args.timeout.map(|timeout| format!("ended after {} s", timeout.as_secs())));
    if let Some(gpus) = &request.gpus {
        lines.push(format!("gpus {} from {}", gpus.names.join(" "), gpus.source));
        lines.extend(gpus.left_out.iter().map(|text| format!("left out: {text}")));
        lines.extend(job::gpu::covered(gpus, runtime).map(|place| {
            format!("left out: {}: the runtime has something at its place", place.display())
        }));
    }
    lines.join("\n") + "\n"
}

fn carry_out(
    args: &Args,
    runtime: &Runtime,
    (plan, request): (&SandboxPlan, &JobRequest),
    terminal: Option<CallersTerminal>,
) -> Result<ExitCode, Failure> {
    let (started_at, begin) = (jiff::Timestamp::now(), Instant::now());
    let counting = args.json.is_some();
    let running = Running { timeout: args.timeout, terminal, counting };
    let finished = match run::run(plan, running) {
        Ok(finished) => finished,
        Err(error) => return failure::run(&error, runtime),
    };
    let exit_status = status(&finished);
    say_why(args, &finished);
    if let Some(to) = &args.json {
        let (took, timeout) = (begin.elapsed(), args.timeout);
        let course = Course { started_at, took, timeout, finished, exit_status };
        receipt::write(to, runtime, (plan, request.gpus.as_ref()), &course)?;
    }
    Ok(exit_status.into())
}

fn status(finished: &Finished) -> u8 {
    match finished.ended {
        Ended::By(Exit::Code(code)) => code.to_le_bytes()[0],
        Ended::By(Exit::Signal(signal)) => (128 + signal).to_le_bytes()[0],
        Ended::TimedOut => TIMED_OUT,
    }
}

/// A job that a limit ended does not know why.
fn say_why(args: &Args, finished: &Finished) {
    if finished.ended == Ended::TimedOut {
        let seconds = args.timeout.unwrap_or_default().as_secs();
        say!("error: the job was ended: its time, {seconds} s, was over");
    }
    let Some(counted) = finished.counted else { return };
    let failed = finished.ended != Ended::By(Exit::Code(0));
    if counted.killed_for_memory > 0 {
        let bytes = args.resources.limits().memory_bytes_max.unwrap_or_default();
        say!("error: the job needed more than its memory, {}", render::size(bytes));
        say!("hint: `--memory` sets it; what the job writes to /tmp and /dev/shm counts");
    }
    if counted.refused_processes > 0 && failed {
        let count = args.resources.limits().processes_max.unwrap_or_default();
        say!("note: the job was refused processes: `--pids` allows it {count}");
    }
}
