//! `rnx job run`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use rnx::failure::{ExitStatus, Failure};
use rnx::in_use::{self, HoldError};
use rnx::job::{self, JobRequest, Runtime, Volume};
use rnx::run::{self, Ended, LoadError, RunError};
use rnx_sandbox::plan::{Access, Network};
use rnx_sandbox::spawn::{Exit, SandboxError};

/// What the help ends with.
const EXAMPLES: &str = "\
Examples:
  rnx job run --runtime=python-3.11 python3 script.py
  rnx job run --runtime=python-3.11 --volume ~/data:/data:ro --network none --timeout 10m python3 script.py
  rnx job run --runtime=python-3.11@1.3.3 -e TOKEN bash    TOKEN as it is here, and a shell

The runtime is read-only, the current directory is /work, and a private /tmp is all else that can be written.
Exit status: the command's own; 124 its time was over; 126 it cannot be executed; 127 the runtime has no such command;
128 and the number of the signal that ended it.";

/// As `timeout(1)` exits.
const TIMED_OUT: u8 = 124;

/// Run jobs in runtimes
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Run(Args),
}

/// Run a command in a runtime; the exit status is the command's own
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The runtime, as NAME or NAME@VERSION, or a path of a folder with a runtime.yml
    #[arg(long, value_name = "RUNTIME")]
    runtime: String,
    /// Set a variable in the job; without a value, pass on the caller's
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,
    /// Show a file or folder of the host in the job
    #[arg(long, short, value_name = "HOST:JOB[:ro]", value_parser = volume)]
    volume: Vec<Volume>,
    /// Start in this folder of the job; the current directory is at /work
    #[arg(long, short, value_name = "DIR", default_value = job::WORK)]
    workdir: PathBuf,
    /// What the job sees of the network
    #[arg(long, value_name = "none|host", default_value = "host", value_parser = network)]
    network: Network,
    /// End the job after this time, for example 30s, 5m or 2h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    explain: bool,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the job; an error is about what keeps it from running.
pub(crate) fn run(
    args: Args,
    folder_of: impl Fn(&str) -> Result<PathBuf, Failure>,
) -> Result<ExitCode, Failure> {
    let Args { runtime, env, volume, workdir, network, timeout, explain, command } = args;
    let dir = if runtime.contains('/') { PathBuf::from(&runtime) } else { folder_of(&runtime)? };
    let runtime = run::load(&dir).map_err(|error| load_failure(&error))?;
    for volume in &volume {
        there(&volume.host)?;
    }
    let around = run::look(&runtime, &|name| std::env::var_os(name))
        .map_err(|error| load_failure(&error))?;
    let env = env.into_iter().filter_map(variable).collect();
    let request = JobRequest { argv: command, env, volumes: volume, workdir, network, timeout };
    let plan = job::plan(&runtime, &request, &around)
        .map_err(|error| Failure::new(ExitStatus::Findings, &error))?;
    if explain {
        anstream::println!("{plan}");
        return Ok(ExitCode::SUCCESS);
    }
    // Until the job has ended, nobody deletes what it runs in.
    let held = in_use::hold(&runtime.dir).map_err(|error| hold_failure(&error))?;
    let ended = run::run(&plan, timeout);
    drop(held);
    match ended {
        Ok(Ended::By(Exit::Code(code))) => Ok(code.to_le_bytes()[0].into()),
        Ok(Ended::By(Exit::Signal(signal))) => Ok((128 + signal).to_le_bytes()[0].into()),
        Ok(Ended::TimedOut) => {
            let seconds = timeout.unwrap_or_default().as_secs();
            anstream::eprintln!("error: the job was ended: its time, {seconds} s, was over");
            Ok(TIMED_OUT.into())
        }
        Err(error) => run_failure(&error, &runtime),
    }
}

/// A volume is looked at before the sandbox begins, which can name a step but not the option that asked for it.
fn there(host: &Path) -> Result<(), Failure> {
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

fn hold_failure(error: &HoldError) -> Failure {
    let status = match error {
        HoldError::Gone { .. } => ExitStatus::Findings,
        _ => ExitStatus::Host,
    };
    Failure::new(status, error)
}

fn load_failure(error: &LoadError) -> Failure {
    Failure::new(ExitStatus::Findings, error)
}

/// A command that is missing or cannot be executed is told with the status a shell would give.
fn run_failure(error: &RunError, runtime: &Runtime) -> Result<ExitCode, Failure> {
    let status = match error {
        RunError::Sandbox(SandboxError::NotFound { .. }) => 127,
        RunError::Sandbox(SandboxError::CannotExecute { .. }) => 126,
        _ => return Err(host_failure(error)),
    };
    let failure = Failure::new(ExitStatus::Findings, error)
        .hint(format!("the job ran in {}@{}", runtime.yml.name, runtime.yml.version));
    anstream::eprint!("{failure}");
    Ok(status.into())
}

fn host_failure(error: &RunError) -> Failure {
    let failure = Failure::new(ExitStatus::Host, error);
    match error {
        RunError::Sandbox(SandboxError::Namespaces { .. }) => failure
            .hint("ask for `sysctl user.max_user_namespaces` above 0, and `kernel.apparmor_restrict_unprivileged_userns=0` on Ubuntu"),
        RunError::Sandbox(SandboxError::Step { step, source })
            if step.starts_with("bind rw") && source.kind() == std::io::ErrorKind::InvalidInput =>
        {
            failure.hint("root's job writes through an idmapped mount, which this filesystem cannot: run it as another user, or from a folder on another filesystem")
        }
        RunError::Sandbox(SandboxError::Step { step, source })
            if step.starts_with("enter the folder")
                && source.kind() == std::io::ErrorKind::NotFound =>
        {
            failure.hint("`--workdir` is a folder in the job: /work is the current directory, and `--volume` adds others")
        }
        _ => failure,
    }
}

fn variable(text: OsString) -> Option<(OsString, OsString)> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let bytes = text.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => Some((
            OsString::from_vec(bytes[..at].to_vec()),
            OsString::from_vec(bytes[at + 1..].to_vec()),
        )),
        None => std::env::var_os(&text).map(|value| (text, value)),
    }
}

fn volume(text: &str) -> Result<Volume, String> {
    let (rest, access) = match text.strip_suffix(":ro") {
        Some(rest) => (rest, Access::ReadOnly),
        None => (text.strip_suffix(":rw").unwrap_or(text), Access::ReadWrite),
    };
    let (host, guest) =
        rest.rsplit_once(':').ok_or("expected HOST:JOB, two paths with a colon between them")?;
    let host = std::path::absolute(host).map_err(|error| format!("`{host}`: {error}"))?;
    Ok(Volume { host, guest: Path::new(guest).to_owned(), access })
}

fn network(text: &str) -> Result<Network, String> {
    match text {
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        _ => Err("expected `none` or `host`".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number and a unit, for example 30s, 5m or 2h".to_owned();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_not_a_number| wrong())?;
    let seconds = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        _ => return Err(wrong()),
    };
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}
