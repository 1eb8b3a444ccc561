//! Runs a setup script in its chroot: its output goes to the log and to the caller, line by line, under a time limit.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rnx_sandbox::limits::Limits;
use rnx_sandbox::plan::SandboxPlan;
use rnx_sandbox::spawn::{Child, Exit, SandboxError, Stdio, Stream, spawn};
use rustix::pipe::{PipeFlags, pipe_with};

use super::disk::{self, DiskLimit};

/// How many of the last lines a failure quotes.
const LAST_LINES: usize = 20;

/// A longer line is cut into lines of this length.
const LINE_BYTES_MAX: u64 = 8 * 1024;

/// No more than this of a script's output is kept; an honest one says a hundredth of it.
const LOG_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How often the limit and an interrupt are looked at while the script says nothing.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A setup script did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    #[error("failed to write the log `{}`", path.display())]
    Log { path: PathBuf, source: io::Error },
    #[error("failed to read what the setup script says")]
    Pipe { source: io::Error },
    #[error("failed to start the setup script")]
    Sandbox { source: SandboxError },
    #[error("the setup script {}", ending(*exit))]
    Failed { exit: Exit, last_lines: Vec<String> },
    #[error("the setup script took more than {minutes} minutes and was killed")]
    TooLong { minutes: u64, last_lines: Vec<String> },
    #[error(
        "the setup script filled {bytes} bytes of disk, over the limit of {bytes_max}, and was killed"
    )]
    TooLarge { bytes: u64, bytes_max: u64, last_lines: Vec<String> },
    #[error("the setup script wanted more than {processes_max} processes at once, and was killed")]
    TooMany { processes_max: u64, last_lines: Vec<String> },
    #[error("interrupted")]
    Interrupted,
}

/// When a script is stopped although it has not ended.
#[derive(Debug, Clone, Copy)]
pub struct Stop<'a> {
    pub minutes_max: u64,
    /// What the script may fill.
    pub disk: &'a DiskLimit,
    /// How many processes and threads it may have at once, where the host can hold it to that.
    pub processes_max: u64,
    /// Becomes true when the person presses Ctrl-C.
    pub interrupted: &'a AtomicBool,
}

/// Runs the script to its end; whatever happens, no process of it is left when this returns.
pub fn run(
    plan: &SandboxPlan,
    log_path: &Path,
    stop: Stop<'_>,
    on_line: &mut dyn FnMut(&str),
) -> Result<(), ScriptError> {
    let log_error = |source| ScriptError::Log { path: log_path.to_owned(), source };
    let mut log = Log::open(log_path).map_err(log_error)?;
    let sandbox = |source| ScriptError::Sandbox { source };
    let (reader, mut child) = match start(&limited(plan, stop.processes_max)) {
        // A build is worth more than this limit, which needs a control group of its own.
        Err(ScriptError::Sandbox { source: SandboxError::Limits { source } }) => {
            let note = format!("the number of processes is not limited here: {source}");
            log.line(&note).map_err(log_error)?;
            on_line(&note);
            start(plan)?
        }
        started => started?,
    };
    let mut last_lines = VecDeque::new();
    let mut take = |line: String| -> Result<(), ScriptError> {
        log.line(&line).map_err(log_error)?;
        on_line(&line);
        if last_lines.len() == LAST_LINES {
            last_lines.pop_front();
        }
        last_lines.push_back(line);
        Ok(())
    };
    let (sender, lines) = mpsc::sync_channel(256);
    let relay = thread::spawn(move || relay_lines(reader, &sender));
    let stopped =
        disk::watched(stop.disk, |used| attend((&mut child, &lines), stop, used, &mut take))?;
    if stopped.is_some() {
        child.kill().map_err(sandbox)?;
    }
    let exit = child.wait().map_err(sandbox)?;
    let refused = is_refused(&child);
    for line in &lines {
        take(line)?;
    }
    drop(relay.join());
    let last_lines = last_lines.into();
    match (stopped, exit) {
        (Some(Stopped::TooLong), _) => {
            Err(ScriptError::TooLong { minutes: stop.minutes_max, last_lines })
        }
        (Some(Stopped::TooLarge { bytes }), _) => {
            Err(ScriptError::TooLarge { bytes, bytes_max: stop.disk.bytes_max, last_lines })
        }
        (Some(Stopped::TooMany), _) => {
            Err(ScriptError::TooMany { processes_max: stop.processes_max, last_lines })
        }
        (Some(Stopped::Interrupted), _) => Err(ScriptError::Interrupted),
        (None, Exit::Code(0)) => Ok(()),
        (None, _) if refused => {
            Err(ScriptError::TooMany { processes_max: stop.processes_max, last_lines })
        }
        (None, exit) => Err(ScriptError::Failed { exit, last_lines }),
    }
}

/// Why a script was stopped.
enum Stopped {
    TooLong,
    TooLarge { bytes: u64 },
    TooMany,
    Interrupted,
}

fn limited(plan: &SandboxPlan, processes_max: u64) -> SandboxPlan {
    let limits = Limits { processes_max: Some(processes_max), ..plan.limits.clone() };
    SandboxPlan { limits, ..plan.clone() }
}

fn start(plan: &SandboxPlan) -> Result<(fs_err::File, Child), ScriptError> {
    let (reader, stdio) = one_pipe().map_err(|source| ScriptError::Pipe { source })?;
    let child = spawn(plan, stdio).map_err(|source| ScriptError::Sandbox { source })?;
    Ok((reader, child))
}

/// Whether a process could not be started because there were too many.
fn is_refused(child: &Child) -> bool {
    child.counted().is_some_and(|counted| counted.refused_processes > 0)
}

/// Hands lines on until the script has ended, or has to be stopped.
fn attend(
    (child, lines): (&mut Child, &mpsc::Receiver<String>),
    stop: Stop<'_>,
    used: &AtomicU64,
    take: &mut dyn FnMut(String) -> Result<(), ScriptError>,
) -> Result<Option<Stopped>, ScriptError> {
    let deadline = Instant::now() + Duration::from_secs(stop.minutes_max * 60);
    let mut counted = Instant::now();
    loop {
        match lines.recv_timeout(LOOK_EVERY) {
            Ok(line) => take(line)?,
            // Every writer has closed the pipe, which is not the end of the script.
            Err(RecvTimeoutError::Disconnected) => {
                let ended = child
                    .wait_timeout(LOOK_EVERY)
                    .map_err(|source| ScriptError::Sandbox { source })?;
                if ended.is_some() {
                    return Ok(None);
                }
            }
            // A daemon that the script left behind may hold the pipe: the script's own end counts.
            Err(RecvTimeoutError::Timeout) => {
                let ended = child.try_wait().map_err(|source| ScriptError::Sandbox { source })?;
                if ended.is_some() {
                    return Ok(None);
                }
            }
        }
        let bytes = used.load(Ordering::Relaxed);
        if stop.interrupted.load(Ordering::Relaxed) {
            return Ok(Some(Stopped::Interrupted));
        } else if Instant::now() > deadline {
            return Ok(Some(Stopped::TooLong));
        } else if bytes > stop.disk.bytes_max {
            return Ok(Some(Stopped::TooLarge { bytes }));
        } else if counted.elapsed() > LOOK_EVERY {
            // Not for every line: the kernel is asked for a file.
            counted = Instant::now();
            if is_refused(child) {
                return Ok(Some(Stopped::TooMany));
            }
        }
    }
}

/// The log of a build, which ends where a script says too much.
struct Log {
    file: fs_err::File,
    bytes_left: u64,
}

impl Log {
    fn open(path: &Path) -> io::Result<Self> {
        let file = fs_err::OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file, bytes_left: LOG_BYTES_MAX })
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        if self.bytes_left == 0 {
            return Ok(());
        }
        self.bytes_left = self.bytes_left.saturating_sub(line.len() as u64 + 1);
        self.file.write_all(format!("{line}\n").as_bytes())?;
        if self.bytes_left == 0 {
            writeln!(self.file, "(what came after {} MiB is not kept)", LOG_BYTES_MAX >> 20)?;
        }
        Ok(())
    }
}

/// Returns the reading end of a pipe, and streams that both write to it: the order of lines is the script's.
fn one_pipe() -> io::Result<(fs_err::File, Stdio)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let second: OwnedFd = writer.try_clone()?;
    let stdio =
        Stdio { stdin: Stream::Null, stdout: Stream::Fd(writer), stderr: Stream::Fd(second) };
    Ok((fs_err::File::from_parts(reader.into(), "the script's output"), stdio))
}

fn relay_lines(reader: impl Read, sender: &mpsc::SyncSender<String>) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    // A read error is the end of what can be shown; the exit status tells how the script ended.
    while reader
        .by_ref()
        .take(LINE_BYTES_MAX)
        .read_until(b'\n', &mut line)
        .is_ok_and(|bytes| bytes > 0)
    {
        let text = String::from_utf8_lossy(&line);
        let last_shown = text.trim_end().rsplit('\r').next().unwrap_or_default();
        if sender.send(last_shown.to_owned()).is_err() {
            return;
        }
        line.clear();
    }
}

fn ending(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("ended with exit status {code}"),
        Exit::Signal(signal) => format!("was ended by signal {signal}"),
    }
}
