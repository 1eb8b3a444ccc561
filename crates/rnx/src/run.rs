//! Runs a job: reads what its plan depends on, starts it, passes signals on, and waits for its end.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rnx_sandbox::plan::SandboxPlan;
use rnx_sandbox::signals::Signals;
use rnx_sandbox::spawn::{Child, Exit, SandboxError, Stdio, spawn};
use rnx_spec::runtime_yml::{self, Mount, ParseRuntimeYmlError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2, readlinkat};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::job::{MountKind, Runtime, Surroundings};

/// After `SIGTERM` at the end of its time, a job has this long to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// What a terminal or a supervisor may send to the command, and the job gets instead.
const FORWARDED: [Signal; 9] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
    Signal::TSTP,
    Signal::CONT,
];

/// A runtime's folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("failed to read the runtime's description")]
    Read { source: io::Error },
    #[error("failed to understand `{}`", path.display())]
    Parse { path: PathBuf, source: Box<ParseRuntimeYmlError> },
    #[error("failed to find `{mount}` in the runtime `{}`", dir.display())]
    Mount { dir: PathBuf, mount: String, source: Errno },
    #[error("failed to find the current directory")]
    Folder { source: io::Error },
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    By(Exit),
    /// Its time was over.
    TimedOut,
}

/// A job that was started and then lost, or could not be started.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("failed to wait for the job")]
    Wait { source: Errno },
}

/// Reads the `runtime.yml` of a runtime's folder.
pub fn load(dir: &Path) -> Result<Runtime, LoadError> {
    let dir = fs_err::canonicalize(dir).map_err(|source| LoadError::Read { source })?;
    let path = dir.join("runtime.yml");
    let text = fs_err::read_to_string(&path).map_err(|source| LoadError::Read { source })?;
    let yml = runtime_yml::parse(&text)
        .map_err(|source| LoadError::Parse { path, source: Box::new(source) })?;
    Ok(Runtime { dir, yml })
}

/// Reads what the plan of a job depends on; `env` is the caller's environment.
pub fn look(
    runtime: &Runtime,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Surroundings, LoadError> {
    let mounts = runtime
        .yml
        .mounts
        .iter()
        .map(|mount| kind(&runtime.dir, mount))
        .collect::<Result<_, _>>()?;
    let etc_source =
        runtime.yml.mounts.iter().find(|mount| mount.target == "/etc").map(|mount| &mount.source);
    let has = |name: &str| -> bool {
        let inside = |folder: &String| runtime.dir.join(folder).join(name);
        let target = format!("/etc/{name}");
        let single = runtime.yml.mounts.iter().find(|mount| mount.target == target);
        let path =
            single.map(|mount| runtime.dir.join(&mount.source)).or_else(|| etc_source.map(inside));
        path.is_some_and(|path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_file()))
    };
    Ok(Surroundings {
        caller_is_root: rustix::process::geteuid().is_root(),
        folder: env::current_dir().map_err(|source| LoadError::Folder { source })?,
        env: ["TERM", "LANG", "TZ"]
            .into_iter()
            .filter_map(|name| Some((name.into(), env(name)?)))
            .collect(),
        mounts,
        etc: ["passwd", "group", "hosts", "resolv.conf"]
            .into_iter()
            .filter(|name| has(name))
            .collect(),
        has_etc: etc_source.is_some(),
    })
}

/// Looks without following a link: an archive's link must not decide what of the host is mounted.
fn kind(dir: &Path, mount: &Mount) -> Result<MountKind, LoadError> {
    let fail =
        |source| LoadError::Mount { dir: dir.to_owned(), mount: mount.source.clone(), source };
    let folder = open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(fail)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let found = openat2(&folder, &mount.source, flags, Mode::empty(), beneath).map_err(fail)?;
    match readlinkat(&found, c"", Vec::new()) {
        Ok(target) => {
            Ok(MountKind::Symlink(PathBuf::from(OsString::from_vec(target.into_bytes()))))
        }
        Err(_not_a_link) => Ok(MountKind::FileOrFolder),
    }
}

/// Runs a job to its end on the caller's streams.
pub fn run(plan: &SandboxPlan, timeout: Option<Duration>) -> Result<Ended, RunError> {
    let signals = Signals::catch(&FORWARDED.map(Signal::as_raw))?;
    let child = spawn(plan, Stdio::inherit())?;
    let mut deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut timed_out = false;
    loop {
        match wait(&child, &signals, deadline)? {
            Event::End => {
                let exit = child.wait_for_process()?;
                return Ok(if timed_out { Ended::TimedOut } else { Ended::By(exit) });
            }
            Event::Signal => forward(&child, signals.next()?)?,
            Event::Deadline if timed_out => {
                child.kill()?;
                deadline = None;
            }
            Event::Deadline => {
                timed_out = true;
                deadline = Some(Instant::now() + GRACE);
                child.signal(Signal::TERM.as_raw())?;
            }
        }
    }
}

enum Event {
    End,
    Signal,
    Deadline,
}

fn wait(child: &Child, signals: &Signals, deadline: Option<Instant>) -> Result<Event, RunError> {
    loop {
        let end = child.end();
        let mut fds = [PollFd::new(&end, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) => return Ok(Event::Deadline),
            // A signal that came with the end has no one to go to.
            Ok(_) if !fds[0].revents().is_empty() => return Ok(Event::End),
            Ok(_) => return Ok(Event::Signal),
            Err(Errno::INTR) => {}
            Err(source) => return Err(RunError::Wait { source }),
        }
    }
}

fn forward(child: &Child, signal: i32) -> Result<(), RunError> {
    child.signal(signal)?;
    if signal == Signal::TSTP.as_raw() {
        // The job has stopped; the shell that we were called from waits for us to stop too.
        rustix::process::kill_process(rustix::process::getpid(), Signal::STOP)
            .map_err(|source| RunError::Wait { source })?;
    }
    Ok(())
}
