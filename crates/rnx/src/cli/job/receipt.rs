//! What `--json` tells about a job that has ended.

use std::path::Path;
use std::time::Duration;

use rnx::failure::{ExitStatus, Failure};
use rnx::gpu::Gpus;
use rnx::job::Runtime;
use rnx::run::{Ended, Finished};
use rnx_sandbox::limits::Limits;
use rnx_sandbox::plan::{Network, SandboxPlan};
use rnx_sandbox::spawn::Exit;
use serde::Serialize;

/// A receipt. Fields are added, never changed; what does not apply is `null`.
#[derive(Debug, Serialize)]
struct Receipt<'a> {
    /// The version of this document.
    version: u32,
    runtime: RuntimeName<'a>,
    command: Vec<String>,
    started_at: String,
    seconds: f64,
    /// As `rnx` exits.
    exit_status: u8,
    /// The signal that ended the job.
    signal: Option<i32>,
    timed_out: bool,
    limits: LimitsSet,
    used: Used,
    network: &'static str,
    gpus: &'a [String],
}

#[derive(Debug, Serialize)]
struct RuntimeName<'a> {
    name: &'a str,
    version: &'a str,
    path: &'a Path,
}

#[derive(Debug, Serialize)]
struct LimitsSet {
    cpus: Option<f64>,
    cpu_cores: Option<String>,
    memory_bytes: Option<u64>,
    processes: Option<u64>,
    timeout_seconds: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Used {
    cpu_seconds: f64,
    /// Known where memory is limited.
    memory_bytes_max: Option<u64>,
    killed_for_memory: Option<u64>,
    refused_processes: Option<u64>,
}

/// What happened, beside the plan.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) started_at: jiff::Timestamp,
    pub(super) took: Duration,
    pub(super) timeout: Option<Duration>,
    pub(super) finished: Finished,
    pub(super) exit_status: u8,
}

/// Writes the receipt to a file, or as the last line on standard error, where nothing of the job's output is lost in it.
pub(super) fn write(
    to: &Path,
    runtime: &Runtime,
    (plan, gpus): (&SandboxPlan, Option<&Gpus>),
    course: &Course,
) -> Result<(), Failure> {
    let text = serde_json::to_string(&receipt(runtime, (plan, gpus), course))
        .map_err(|error| Failure::new(ExitStatus::Bug, &error))?;
    if to == Path::new("-") {
        anstream::eprintln!("{text}");
        return Ok(());
    }
    fs_err::write(to, text + "\n").map_err(|error| Failure::new(ExitStatus::Findings, &error))
}

fn receipt<'a>(
    runtime: &'a Runtime,
    (plan, gpus): (&SandboxPlan, Option<&'a Gpus>),
    course: &Course,
) -> Receipt<'a> {
    let Finished { ended, counted, processor_time } = course.finished;
    let argv = plan.process.argv.iter();
    Receipt {
        version: 1,
        runtime: RuntimeName {
            name: &runtime.yml.name,
            version: &runtime.yml.version,
            path: &runtime.dir,
        },
        command: argv.map(|word| word.to_string_lossy().into_owned()).collect(),
        started_at: course.started_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        seconds: course.took.as_secs_f64(),
        exit_status: course.exit_status,
        signal: match ended {
            Ended::By(Exit::Signal(signal)) => Some(signal),
            _ => None,
        },
        timed_out: ended == Ended::TimedOut,
        limits: limits(&plan.limits, course.timeout),
        used: Used {
            cpu_seconds: processor_time.as_secs_f64(),
            memory_bytes_max: counted.and_then(|counted| counted.memory_bytes_max),
            killed_for_memory: counted.map(|counted| counted.killed_for_memory),
            refused_processes: counted.map(|counted| counted.refused_processes),
        },
        network: match plan.network {
            Network::Host => "host",
            Network::None => "none",
        },
        gpus: gpus.map_or(&[], |gpus| &gpus.names),
    }
}

fn limits(limits: &Limits, timeout: Option<Duration>) -> LimitsSet {
    #[expect(clippy::cast_precision_loss, reason = "a number of processors is small")]
    let cpus = limits.cpu_millis_max.map(|millis| millis as f64 / 1000.0);
    LimitsSet {
        cpus,
        cpu_cores: limits.cpus.as_ref().map(ToString::to_string),
        memory_bytes: limits.memory_bytes_max,
        processes: limits.processes_max,
        timeout_seconds: timeout.map(|timeout| timeout.as_secs()),
    }
}
