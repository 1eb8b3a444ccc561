//! Measurements beside the tools that people would use instead, all in one run.

pub mod install;
pub mod list;
pub mod pack;
#[cfg(feature = "github")]
pub mod publish;
pub mod registry;
mod serve;
pub mod start;
pub mod unpack;
pub mod validate;

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use rnx_archive::{Limits, Options};

use crate::tool::{self, Invocation, ToolError};

/// Where a measurement works, and how often it measures each way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// An existing folder, best in memory; what the measurement puts there it removes again.
    pub scratch: PathBuf,
    /// The median of so many rounds is shown. Each round takes all ways in turn.
    pub rounds: usize,
}

/// What was measured; `Display` is a table with the ratios to our own way.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub title: String,
    /// Ours comes first.
    pub ways: Vec<Way>,
    /// The most memory this process held while it did our way, where it did it itself.
    pub peak_bytes: Option<u64>,
    /// Tools that could not be compared with, and why where it is not that they are not installed.
    pub missing: Vec<String>,
}

/// One way to do the work.
#[derive(Debug, Clone, PartialEq)]
pub struct Way {
    pub name: String,
    pub median: Duration,
    /// The length of what it wrote, where ways differ in it.
    pub size_bytes: Option<u64>,
}

/// A measurement that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("failed to read the tree `{}`", path.display())]
    Scan { path: PathBuf, source: rnx_archive::ScanError },
    #[error("failed to pack `{}`", path.display())]
    Pack { path: PathBuf, source: rnx_archive::PackError },
    #[error("failed to unpack `{}`", path.display())]
    Unpack { path: PathBuf, source: rnx_archive::UnpackError },
    #[error("failed to run a tool to compare with")]
    Tool { source: ToolError },
    #[error("failed to prepare the folder `{}`", path.display())]
    Scratch { path: PathBuf, source: io::Error },
    #[error("failed to read the peak memory of this process")]
    Memory { source: io::Error },
    #[error("`{command}` ended with {status}")]
    Ended { command: String, status: String },
    #[error("failed to read the bundle that an OCI runtime wrote")]
    Bundle { source: serde_json::Error },
    #[error("the generated registry could not be changed")]
    Registry { source: Box<crate::release::registry_branch::PushRegistryError> },
    #[error("the generated registry could not be written")]
    RegistryFile { source: crate::release::registry_file::RegistryFileError },
    #[error("failed to validate the generated definitions")]
    Validate { source: crate::validate::ValidateError },
    #[error("failed to publish to the server on loopback")]
    Publish { source: Box<dyn std::error::Error + Send + Sync> },
    #[error("failed to read where the server on loopback is")]
    Server { source: serde_json::Error },
    #[error("the generated definitions have {errors} errors, and should have none")]
    Findings { errors: usize },
}

/// A way that is measured, and its durations so far.
struct Contest<'a> {
    name: String,
    run: Box<dyn FnMut() -> Result<Duration, BenchError> + 'a>,
    durations: Vec<Duration>,
}

impl<'a> Contest<'a> {
    fn new(
        name: impl Into<String>,
        run: impl FnMut() -> Result<Duration, BenchError> + 'a,
    ) -> Self {
        Self { name: name.into(), run: Box::new(run), durations: vec![] }
    }

    /// Measures a pipeline of tools, as a shell takes it.
    fn shell(
        script: impl Into<String>,
        mut prepare: impl FnMut() -> Result<(), BenchError> + 'a,
    ) -> Self {
        let script = script.into();
        let name = script.clone();
        Self::new(name, move || {
            prepare()?;
            let started = Instant::now();
            let invocation = Invocation::new("sh").args(["-c", script.as_str()]);
            tool::run(&invocation).map_err(|source| BenchError::Tool { source })?;
            Ok(started.elapsed())
        })
    }
}

/// Unpacks a built archive, whose digest is taken as it is, into the new folder `dest`.
pub fn unpack_for(archive: &Path, dest: &Path, threads: NonZeroUsize) -> Result<(), BenchError> {
    let unpack_error = |source| BenchError::Unpack { path: archive.to_owned(), source };
    let archive_bytes = fs::metadata(archive)
        .map_err(|source| BenchError::Scratch { path: archive.to_owned(), source })?
        .len();
    let limits = Limits { archive_bytes, unpacked_bytes: u64::MAX, entries: u64::MAX };
    renew(dest)?;
    let opened = rnx_archive::unpack::Archive::open(archive).map_err(unpack_error)?;
    rnx_archive::unpack::unpack(&opened, dest, &Options { limits, threads })
        .map(drop)
        .map_err(unpack_error)
}

/// Runs every contest in turn, `rounds` times, and returns the medians in the same order.
fn medians(mut contests: Vec<Contest<'_>>, rounds: usize) -> Result<Vec<Way>, BenchError> {
    for _ in 0..rounds.max(1) {
        for contest in &mut contests {
            contest.durations.push((contest.run)()?);
        }
    }
    let ways = contests.into_iter().map(|mut contest| {
        contest.durations.sort_unstable();
        let median = contest.durations[contest.durations.len() / 2];
        Way { name: contest.name, median, size_bytes: None }
    });
    Ok(ways.collect())
}

/// Runs `work` and returns the most memory that this process held meanwhile.
fn peak_bytes(work: impl FnOnce() -> Result<(), BenchError>) -> Result<u64, BenchError> {
    let memory_error = |source| BenchError::Memory { source };
    // 5 resets the peak that `VmHWM` shows: see proc(5).
    fs::write("/proc/self/clear_refs", "5").map_err(memory_error)?;
    work()?;
    let status = fs::read_to_string("/proc/self/status").map_err(memory_error)?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
    let kibibytes: Option<u64> = peak.and_then(|number| number.trim().parse().ok());
    let absent = || memory_error(io::Error::new(io::ErrorKind::NotFound, "no `VmHWM`"));
    Ok(kibibytes.ok_or_else(absent)? * 1024)
}

/// Makes an empty folder in place of what is there.
fn renew(path: &Path) -> Result<(), BenchError> {
    let scratch_error = |source| BenchError::Scratch { path: path.to_owned(), source };
    if path.exists() {
        fs::remove_dir_all(path).map_err(scratch_error)?;
    }
    fs::create_dir(path).map_err(scratch_error)
}

/// Says whether a tool can be run at all.
fn is_installed(tool: &str) -> bool {
    tool::run(&Invocation::new(tool).arg("--version")).is_ok()
}

/// Splits ways by whether their tool is there: `(what can run, the names of what is missing)`.
fn installed<'a>(ways: Vec<(&str, Contest<'a>)>) -> (Vec<Contest<'a>>, Vec<String>) {
    let (there, missing): (Vec<_>, Vec<_>) =
        ways.into_iter().partition(|(tool, _)| is_installed(tool));
    let there = there.into_iter().map(|(_, contest)| contest).collect();
    (there, missing.into_iter().map(|(tool, _)| tool.to_owned()).collect())
}

/// Starts of programs take milliseconds, archives take seconds.
fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.1 { format!("{:7.3} ms", seconds * 1000.0) } else { format!("{seconds:7.3} s ") }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let first = self.ways.first();
        let width = self.ways.iter().map(|way| way.name.len()).max().unwrap_or(0);
        for way in &self.ways {
            write!(f, "  {:width$}  {}", way.name, shown(way.median))?;
            if let Some(first) = first {
                let ratio = way.median.as_secs_f64() / first.median.as_secs_f64();
                write!(f, "  {ratio:5.2} x our time")?;
            }
            if let (Some(size), Some(ours)) = (way.size_bytes, first.and_then(|way| way.size_bytes))
            {
                let thousandths = ours * 1000 / size.max(1);
                let (whole, rest) = (thousandths / 1000, thousandths % 1000);
                write!(f, "  {size:>12} bytes, ours is {whole}.{rest:03} of it")?;
            }
            writeln!(f)?;
        }
        if let Some(bytes) = self.peak_bytes {
            writeln!(f, "  peak memory of ours: {} MiB", bytes.div_ceil(1024 * 1024))?;
        }
        for tool in &self.missing {
            writeln!(f, "  not compared with {tool}")?;
        }
        Ok(())
    }
}
