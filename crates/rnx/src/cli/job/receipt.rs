//! What `--json` tells about a job that has ended.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use rnx::failure::{ExitStatus, Failure};
use rnx::gpu::Gpus;
use rnx::job::Runtime;
use rnx::output::{LimitsSet, Receipt, ReceiptRuntime, Used};
use rnx::run::{Ended, Finished};
use rnx_sandbox::limits::Limits;
use rnx_sandbox::plan::{Network, SandboxPlan};
use rnx_sandbox::spawn::Exit;

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
        // It is data, though not on standard output: that it is lost is a failure.
        return io::stderr().write_all(format!("{text}\n").as_bytes()).map_err(|error| {
            let mut failure = Failure::message(ExitStatus::Host, "failed to write the receipt");
            failure.causes.push(error.to_string());
            failure.hint("name a file for it: `--json=FILE`")
        });
    }
    fs_err::write(to, text + "\n").map_err(|error| Failure::new(ExitStatus::Findings, &error))
}

fn receipt(
    runtime: &Runtime,
    (plan, gpus): (&SandboxPlan, Option<&Gpus>),
    course: &Course,
) -> Receipt {
    let Finished { ended, counted, processor_time } = course.finished;
    let argv = plan.process.argv.iter();
    Receipt {
        version: 1,
        runtime: ReceiptRuntime {
            name: runtime.yml.name.clone(),
            version: runtime.yml.version.clone(),
            path: runtime.dir.clone(),
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
            Network::Host => "host".to_owned(),
            Network::None => "none".to_owned(),
        },
        gpus: gpus.map_or_else(Vec::new, |gpus| gpus.names.clone()),
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
