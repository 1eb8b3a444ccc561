//! The options of `rnx job run`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use rnx::failure::{ExitStatus, Failure};
use rnx::gpu::{GpuRequest, Which};
use rnx::job::{self, User, Volume};
use rnx_sandbox::arguments;
use rnx_sandbox::limits::{CpuList, Limits};
use rnx_sandbox::plan::{Network, Secret};
use rnx_sandbox::terminal::CallersTerminal;

use crate::cli::render;
use crate::cli::say::say;

use super::values::{
    self, Variable, duration, gpus, mebibytes, network, percent, processors, size, user, volume,
};

/// What the help ends with.
const EXAMPLES: &str = "\
Examples:
  rnx job run --runtime=python-3.11 python3 script.py
  rnx job run --runtime=python-3.11 --volume ~/data:/data:ro --network none --timeout 10m python3 script.py
  rnx job run --runtime=python-3.11 --cpu 2 --memory 4G --pids 200 python3 train.py
  rnx job run --runtime=python-3.11 --upload script.py --upload data -s TOKEN python3 script.py
  rnx job run -it --runtime=python-3.11@1.3.3 bash

The runtime is read-only, the current directory is /work. Besides it, /tmp and /dev/shm, which are the job's own, and volumes can be written.
Exit status: the command's own; 124 its time was over; 126 it cannot be executed; 127 the runtime has no such command;
128 and the number of the signal that ended it; before it could start, 1 to 5 as every rnx command.";

/// Run a command in a runtime; the exit status is the command's own
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The runtime, as NAME or NAME@VERSION, or a path of a folder with a runtime.yml
    #[arg(long, value_name = "RUNTIME")]
    pub(super) runtime: String,
    /// Install the runtime first if it is not there
    #[arg(long)]
    pub(super) install: bool,
    #[command(flatten)]
    pub(super) environment: Environment,
    /// Show a file or folder of the host in the job, writable without `:ro`
    #[arg(long, short, value_name = "HOST:JOB[:ro]", value_parser = volume)]
    pub(super) volume: Vec<Volume>,
    /// Copy a file or folder into a private /work, instead of showing the current directory there; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(super) upload: Vec<PathBuf>,
    /// Start in this folder of the job; the current directory is at /work
    #[arg(long, short, value_name = "DIR", default_value = job::WORK)]
    pub(super) workdir: PathBuf,
    /// What the job sees of the network
    #[arg(long, value_name = "none|host", default_value = "host", value_parser = network)]
    pub(super) network: Network,
    /// Who the job is, as it sees itself: UID[:GID], root or job; on the host it never is root
    #[arg(long, value_name = "USER", default_value = "job", value_parser = user)]
    pub(super) user: User,
    #[command(flatten)]
    pub(super) terminal: Terminal,
    /// End the job after this time, for example 30s, 5m or 2h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) timeout: Option<Duration>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub(super) explain: bool,
    /// Write a receipt as JSON when the job has ended, to this file or as the last line on standard error
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub(super) json: Option<PathBuf>,
    #[command(flatten)]
    pub(super) resources: Resources,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND", help_heading = None)]
    pub(super) command: Vec<OsString>,
}

/// Variables of the job.
#[derive(Debug, clap::Args)]
pub(crate) struct Environment {
    /// Set a variable in the job; without a value, pass on the caller's
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,
    /// Set the variables of a file, a NAME=VALUE or NAME on each line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// As --env, and never shown in a plan or receipt; a value given here can be seen in the process list for some
    /// milliseconds: better pass on the caller's by NAME alone
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    secret_env: Vec<OsString>,
    /// As --env-file, and never shown
    #[arg(long, value_name = "FILE")]
    secret_env_file: Vec<PathBuf>,
}

/// A terminal for the job.
#[derive(Debug, clap::Args)]
pub(crate) struct Terminal {
    /// Accepted for fingers that know it: standard input is always the job's
    #[arg(long, short)]
    interactive: bool,
    /// Give the job a terminal of its own, with job control, between it and this one
    #[arg(long, short)]
    tty: bool,
}

/// What the job may use.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits and devices")]
pub(crate) struct Resources {
    /// Processors, for example 0.5 or 2
    #[arg(long, value_name = "NUMBER", value_parser = processors, conflicts_with = "max_cpu")]
    cpu: Option<u64>,
    /// Processor time as a percentage of one processor
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    max_cpu: Option<u64>,
    /// Run on these processors, for example 0-3 or 0,2
    #[arg(long, value_name = "LIST")]
    cpu_cores: Option<CpuList>,
    /// Memory, for example 512M or 2G; units are powers of 1024
    #[arg(long, value_name = "SIZE", value_parser = size, conflicts_with = "max_memory")]
    memory: Option<u64>,
    /// Memory in MiB
    #[arg(long, value_name = "MIB", value_parser = mebibytes)]
    max_memory: Option<u64>,
    /// Processes and threads at once
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=4_194_304))]
    pids: Option<u64>,
    /// GPUs: how many, all (as without a value), or a CDI device as nvidia.com/gpu=0
    #[arg(long, value_name = "GPUS", num_args = 0..=1, require_equals = true, default_missing_value = "all", value_parser = gpus)]
    gpu: Option<Which>,
    /// Only GPUs with at least this much memory
    #[arg(long, value_name = "SIZE", value_parser = size, requires = "gpu")]
    gpu_memory: Option<u64>,
}

impl Args {
    /// Returns which GPUs are asked for.
    pub(super) fn gpus(&self) -> Option<GpuRequest> {
        let Resources { gpu, gpu_memory, .. } = &self.resources;
        let which = gpu.clone()?;
        Some(GpuRequest { which, memory_bytes_min: *gpu_memory })
    }
}

impl Resources {
    /// Returns the limits for the kernel.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            cpu_millis_max: self.cpu.or(self.max_cpu),
            memory_bytes_max: self.memory.or(self.max_memory),
            processes_max: self.pids,
            cpus: self.cpu_cores.clone(),
        }
    }
}

impl Terminal {
    /// Opens the caller's, if the job is to have one.
    pub(super) fn open(&self) -> Result<Option<CallersTerminal>, Failure> {
        if !self.tty {
            return Ok(None);
        }
        match CallersTerminal::on_stdin() {
            Some(terminal) => Ok(Some(terminal)),
            None => Err(Failure::message(
                ExitStatus::Usage,
                "`--tty` needs a terminal, and standard input is none",
            )
            .hint("leave it out where nobody types")),
        }
    }
}

/// Variables with their values, and those that are secret.
type Variables = (Vec<(OsString, OsString)>, Vec<(OsString, Secret)>);

impl Environment {
    /// Takes the values of secrets out of what the process list shows.
    pub(super) fn hide_secrets(&self) -> Result<(), Failure> {
        let mut given = Vec::new();
        for text in &self.secret_env {
            let (name, value) = values::variable(text)?;
            given.extend(value.map(|value| (name, value)));
        }
        if given.is_empty() {
            return Ok(());
        }
        arguments::hide(&given).map_err(|error| {
            let mut failure = Failure::message(
                ExitStatus::Host,
                "a secret cannot be hidden from the process list",
            );
            failure.causes.push(error.to_string());
            failure.hint("pass it on from the environment: `--secret-env NAME`")
        })
    }

    /// Returns all of them; files come before options. What the caller does not have is not set.
    pub(super) fn variables(&self) -> Result<Variables, Failure> {
        let read = |files: &[PathBuf], options: &[OsString]| -> Result<Vec<_>, Failure> {
            let mut all = Vec::new();
            for file in files {
                all.extend(values::variables(file)?);
            }
            for option in options {
                all.push(values::variable(option)?);
            }
            Ok(all.into_iter().filter_map(with_value).collect())
        };
        let secrets = read(&self.secret_env_file, &self.secret_env)?;
        let secrets = secrets.into_iter().map(|(name, value)| (name, Secret(value))).collect();
        Ok((read(&self.env_file, &self.env)?, secrets))
    }
}

fn with_value((name, value): Variable) -> Option<(OsString, OsString)> {
    let value = value.or_else(|| std::env::var_os(&name));
    if value.is_none() {
        say!(
            "note: `{}` is not set here, and not in the job",
            render::shown(&name.to_string_lossy())
        );
    }
    Some((name, value?))
}
