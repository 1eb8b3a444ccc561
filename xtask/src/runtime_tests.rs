//! Runs a manifest's tests inside the packed and freshly unpacked runtime, through the job runner that users have.

use std::fmt;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use regex::Regex;
use rnx::gpu::{self, GpuError, GpuRequest, Gpus, Which};
use rnx::job::{self, JobError, JobRequest, Runtime, Surroundings, User};
use rnx::run::{self, LoadError};
use rnx_archive::unpack::Archive;
use rnx_archive::{Limits, Options, UnpackError, verify_and_unpack};
use rnx_sandbox::limits;
use rnx_sandbox::plan::Network;
use rnx_sandbox::spawn::{Exit, SandboxError, Stdio, Stream, spawn};
use rnx_spec::manifest::{Need, RuntimeTest};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::build::dist::WrittenArchive;
use crate::build::stage::{StageError, copy_tree};

/// How much of each stream of a test is kept.
const OUTPUT_BYTES_MAX: u64 = 1024 * 1024;

/// The caller's variables that a job may see; a test sees fixed ones, so that it passes everywhere or nowhere.
const TEST_ENVIRONMENT: [(&str, &str); 3] = [("TERM", "dumb"), ("LANG", "C.UTF-8"), ("TZ", "UTC")];

/// What came of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOutcome {
    pub name: String,
    pub result: TestResult,
}

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestResult {
    Passed,
    /// The host lacks what the test needs.
    Skipped {
        need: &'static str,
    },
    Failed {
        why: String,
        stdout: String,
        stderr: String,
    },
}

/// A runtime's tests could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    #[error("failed to unpack `{}`", path.display())]
    Unpack { path: PathBuf, source: UnpackError },
    #[error("failed to prepare the folder of a test")]
    Folder { source: io::Error },
    #[error("failed to copy the definition's `tests` folder")]
    Copy { source: StageError },
    #[error("failed to find this machine's GPUs")]
    Gpu { source: GpuError },
    #[error("failed to load the runtime")]
    Load { source: LoadError },
    #[error("the test `{name}` cannot be planned")]
    Plan { name: String, source: JobError },
    #[error("the test `{name}` could not be run")]
    Run { name: String, source: SandboxError },
    #[error("`stdout` of the test `{name}` is no regular expression")]
    Pattern { name: String, source: regex::Error },
}

impl TestOutcome {
    /// Whether it ran and was right.
    pub fn passed(&self) -> bool {
        self.result == TestResult::Passed
    }

    /// Whether it ran and was wrong.
    pub fn failed(&self) -> bool {
        matches!(self.result, TestResult::Failed { .. })
    }
}

impl fmt::Display for TestOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            TestResult::Passed => write!(f, "test {}: passed", self.name),
            TestResult::Skipped { need } => {
                write!(f, "test {}: skipped, there is no {need} here", self.name)
            }
            TestResult::Failed { why, stdout, stderr } => {
                write!(f, "test {}: FAILED: {why}", self.name)?;
                for (stream, text) in [("stdout", stdout), ("stderr", stderr)] {
                    for line in last_lines(text) {
                        write!(f, "\n  {stream}: {line}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// Unpacks an archive as an install does, into `dest`, and returns the runtime in it.
pub fn unpack(archive: &WrittenArchive, dest: &Path) -> Result<Runtime, TestError> {
    fs_err::create_dir_all(dest).map_err(|source| TestError::Folder { source })?;
    let (path, packed) = (&archive.archive.path, &archive.packed);
    let limits = Limits {
        archive_bytes: packed.size_bytes,
        unpacked_bytes: packed.unpacked_bytes,
        entries: packed.entries,
    };
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let failed = |source| TestError::Unpack { path: path.clone(), source };
    let files: Vec<&Path> = archive.files().iter().map(|file| file.path.as_path()).collect();
    let opened = Archive::open_parts(&files).map_err(failed)?;
    let options = Options { limits, threads };
    verify_and_unpack(&opened, packed.size_bytes, packed.sha256, dest, &options).map_err(failed)?;
    run::load(dest).map_err(|source| TestError::Load { source })
}

/// Runs the tests one after another; each has a fresh `/work` with a copy of the definition's `tests` folder in it.
pub fn run_all(
    (tests, definition): (&[RuntimeTest], &Path),
    runtime: &Runtime,
    scratch: &Path,
    on: &mut dyn FnMut(&str),
) -> Result<Vec<TestOutcome>, TestError> {
    let mut outcomes = Vec::new();
    for test in tests {
        on(&test.name);
        let gpus = match test.needs {
            Some(Need::Gpu) => find_gpus()?,
            None => None,
        };
        let result = if test.needs.is_some() && gpus.is_none() {
            TestResult::Skipped { need: "GPU" }
        } else {
            run_one(test, (definition, runtime, scratch), gpus)?
        };
        outcomes.push(TestOutcome { name: test.name.clone(), result });
    }
    Ok(outcomes)
}

fn run_one(
    test: &RuntimeTest,
    (definition, runtime, scratch): (&Path, &Runtime, &Path),
    gpus: Option<Gpus>,
) -> Result<TestResult, TestError> {
    let folder = tempfile::Builder::new()
        .prefix("test-")
        .tempdir_in(scratch)
        .map_err(|source| TestError::Folder { source })?;
    let fixtures = definition.join("tests");
    if fixtures.is_dir() {
        copy_tree(&fixtures, folder.path()).map_err(|source| TestError::Copy { source })?;
    }
    let request = JobRequest {
        argv: test.run.iter().map(Into::into).collect(),
        env: Vec::new(),
        secrets: Vec::new(),
        volumes: Vec::new(),
        uploads: None,
        workdir: job::WORK.into(),
        // A test that needs the internet would fail for reasons that are not the runtime's.
        network: Network::None,
        limits: limits::Limits::default(),
        gpus,
        user: User::JOB,
    };
    let fixed = |name: &str| {
        TEST_ENVIRONMENT.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into())
    };
    let around = run::look(runtime, &fixed).map_err(|source| TestError::Load { source })?;
    let around = Surroundings { folder: folder.path().to_owned(), ..around };
    let plan = job::plan(runtime, &request, &around)
        .map_err(|source| TestError::Plan { name: test.name.clone(), source })?;
    let failed = |source| TestError::Run { name: test.name.clone(), source };

    let (stdout, out) = reading_pipe()?;
    let (stderr, err) = reading_pipe()?;
    let stdio = Stdio { stdin: Stream::Null, stdout: Stream::Fd(out), stderr: Stream::Fd(err) };
    let mut child = match spawn(&plan, stdio) {
        Ok(child) => child,
        // What a user's job would be told, too.
        Err(error @ (SandboxError::NotFound { .. } | SandboxError::CannotExecute { .. })) => {
            let (stdout, stderr) = (String::new(), String::new());
            return Ok(TestResult::Failed { why: error.to_string(), stdout, stderr });
        }
        Err(error) => return Err(failed(error)),
    };
    let exit = child.wait_timeout(Duration::from_secs(test.timeout_s)).map_err(failed)?;
    if exit.is_none() {
        child.kill().map_err(failed)?;
        child.wait().map_err(failed)?;
    }
    // Every process of the job is gone, so both pipes have ended.
    let stdout = stdout.join().unwrap_or_default();
    let stderr = stderr.join().unwrap_or_default();
    let why = match exit {
        None => Some(format!("it took more than {} seconds and was killed", test.timeout_s)),
        Some(exit) => wrong(test, exit, &stdout)?,
    };
    Ok(why.map_or(TestResult::Passed, |why| TestResult::Failed { why, stdout, stderr }))
}

/// Returns what is wrong with how a test ended.
fn wrong(test: &RuntimeTest, exit: Exit, stdout: &str) -> Result<Option<String>, TestError> {
    if exit != Exit::Code(i32::from(test.status)) {
        let ended = match exit {
            Exit::Code(code) => format!("exit status {code}"),
            Exit::Signal(signal) => format!("signal {signal}"),
        };
        return Ok(Some(format!("expected exit status {}, got {ended}", test.status)));
    }
    let Some(pattern) = &test.stdout else { return Ok(None) };
    let regex = Regex::new(pattern)
        .map_err(|source| TestError::Pattern { name: test.name.clone(), source })?;
    let said = stdout.trim_end_matches('\n');
    Ok((!regex.is_match(said)).then(|| format!("standard output does not match `{pattern}`")))
}

type ReadingPipe = (thread::JoinHandle<String>, std::os::fd::OwnedFd);

fn reading_pipe() -> Result<ReadingPipe, TestError> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)
        .map_err(|error| TestError::Folder { source: error.into() })?;
    let reading = thread::spawn(move || {
        let mut kept = Vec::new();
        let mut reader = std::fs::File::from(reader);
        // What came before a read error still helps to understand a failed test.
        if Read::by_ref(&mut reader).take(OUTPUT_BYTES_MAX).read_to_end(&mut kept).is_ok() {
            drop(io::copy(&mut reader, &mut io::sink()));
        }
        String::from_utf8_lossy(&kept).into_owned()
    });
    Ok((reading, writer))
}

fn last_lines(text: &str) -> impl Iterator<Item = String> {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(10);
    lines[from..].iter().map(|line| line.escape_debug().to_string()).collect::<Vec<_>>().into_iter()
}

/// Finds what a user's job with `--gpu` would get.
fn find_gpus() -> Result<Option<Gpus>, TestError> {
    let request = GpuRequest { which: Which::All, memory_bytes_min: None };
    match gpu::find(&request, Path::new("/")) {
        Ok(gpus) => Ok(Some(gpus)),
        Err(GpuError::None { .. }) => Ok(None),
        Err(source) => Err(TestError::Gpu { source }),
    }
}
