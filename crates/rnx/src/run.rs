//! Runs a job: reads what its plan depends on, starts it, passes signals on, and waits for its end.

mod relay;

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rnx_sandbox::cgroup::Counted;
use rnx_sandbox::plan::SandboxPlan;
use rnx_sandbox::signals::Signals;
use rnx_sandbox::spawn::{
    Child, Exit, SandboxError, Stdio, processor_time_of_children, spawn, spawn_on_terminal,
};
use rnx_sandbox::terminal::CallersTerminal;
use rnx_spec::runtime_yml::{self, Mount, ParseRuntimeYmlError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2, readlinkat};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::access::SYSTEM_CERTIFICATES;
use crate::job::{ETC_FILES, MountKind, NAME_FILES, Runtime, Surroundings};
use crate::run::relay::Relay;

/// After `SIGTERM` at the end of its time, or `SIGHUP` at that of its terminal, a job has this long to end by itself. Two
/// seconds after its time nothing of it runs.
const GRACE: Duration = Duration::from_millis(1500);

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
    #[error("the volume's place `{}` lies in the runtime, where nothing can be made", place.display())]
    Place { place: PathBuf, source: Errno },
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
    #[error("failed to pass on what the job's terminal shows or hears")]
    Relay { source: Errno },
}

/// Returns the folder that a path leads to now: an alias may lead to another one at any time.
pub fn folder(path: &Path) -> Result<PathBuf, LoadError> {
    fs_err::canonicalize(path).map_err(|source| LoadError::Read { source })
}

/// Reads the `runtime.yml` of a runtime's folder.
pub fn load(dir: &Path) -> Result<Runtime, LoadError> {
    let dir = folder(dir)?;
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
    let has = |name: &&'static str| -> bool {
        let target = format!("/etc/{name}");
        let single = runtime.yml.mounts.iter().find(|mount| mount.target == target);
        let inside = || etc_source.map(|folder| format!("{folder}/{name}"));
        let path = single.map(|mount| mount.source.clone()).or_else(inside);
        path.is_some_and(|path| is_file(&runtime.dir, &path))
    };
    Ok(Surroundings {
        caller_is_root: rustix::process::geteuid().is_root(),
        folder: env::current_dir().map_err(|source| LoadError::Folder { source })?,
        env: ["TERM", "LANG", "TZ"]
            .into_iter()
            .filter_map(|name| Some((name.into(), env(name)?)))
            .collect(),
        mounts,
        etc: ETC_FILES.into_iter().filter(has).collect(),
        has_etc: etc_source.is_some(),
        // A minimal host has neither; and systemd's link leads nowhere while its resolver does not run.
        host_names: NAME_FILES
            .into_iter()
            .filter(|name| Path::new("/etc").join(name).is_file())
            .collect(),
        certificates: certificates(env),
    })
}

/// Checks that a volume's place is not in the runtime's tree, or is something there that no link leads to: nothing can
/// be made in the tree, and a link of it must not decide where a mount lands.
pub fn check_place(runtime: &Runtime, guest: &Path) -> Result<(), LoadError> {
    let fail = |source| LoadError::Place { place: guest.to_owned(), source };
    let inside = |mount: &&Mount| guest.starts_with(&mount.target);
    let nearest = |mount: &&Mount| Path::new(&mount.target).components().count();
    let Some(mount) = runtime.yml.mounts.iter().filter(inside).max_by_key(nearest) else {
        return Ok(());
    };
    let below = guest.strip_prefix(&mount.target).unwrap_or(guest);
    let folder = open(&runtime.dir, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(fail)?;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let path = Path::new(&mount.source).join(below);
    openat2(&folder, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), beneath)
        .map(drop)
        .map_err(fail)
}

/// The file that this host's administrator, or the caller, trusts.
fn certificates(env: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let named = env("SSL_CERT_FILE").map(PathBuf::from);
    let files = named.into_iter().chain(SYSTEM_CERTIFICATES.map(PathBuf::from));
    files.into_iter().find(|path| path.is_absolute() && path.is_file())
}

/// Whether the tree has a file there that no link leads to.
fn is_file(dir: &Path, path: &str) -> bool {
    let Ok(folder) = open(dir, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else { return false };
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(&folder, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), beneath)
        .and_then(fstat)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
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

/// How a job is run, besides its plan.
#[derive(Debug)]
pub struct Running {
    pub timeout: Option<Duration>,
    /// The caller's terminal, if the job is to have one of its own.
    pub terminal: Option<CallersTerminal>,
    /// Waits until the kernel has taken down all of the job, to count what it used.
    pub counting: bool,
}

/// A job that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    pub ended: Ended,
    /// What its control group counted, if it had limits.
    pub counted: Option<Counted>,
    /// Processor time, if it was to be counted.
    pub processor_time: Duration,
}

/// Runs a job to its end on the caller's streams or terminal, which is set back when this returns.
pub fn run(plan: &SandboxPlan, running: Running) -> Result<Finished, RunError> {
    let Running { timeout, terminal, counting } = running;
    let signals = Signals::catch(&FORWARDED.map(Signal::as_raw))?;
    let (child, mut relay) = match &terminal {
        None => (spawn(plan, Stdio::inherit())?, None),
        Some(caller) => {
            let (child, terminal) = spawn_on_terminal(plan, caller)?;
            caller.make_raw()?;
            (child, Some(Relay::new(caller, terminal)))
        }
    };
    let stopped = attend(&child, &signals, timeout, relay.as_mut())?;
    if let Some(relay) = &mut relay {
        relay.finish()?;
    }
    finish(child, stopped, counting)
}

/// What was done to a job that would not have ended.
#[derive(Debug, Clone, Copy, Default)]
struct Stopped {
    timed_out: bool,
    hung_up: bool,
    out_of_memory: bool,
}

/// Passes signals and keys on until the job has ended; why it was stopped.
fn attend(
    child: &Child,
    signals: &Signals,
    timeout: Option<Duration>,
    mut relay: Option<&mut Relay<'_>>,
) -> Result<Stopped, RunError> {
    let mut deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut stopped = Stopped::default();
    loop {
        let waited = (!stopped.out_of_memory).then(|| child.out_of_memory()).flatten();
        match wait((child, waited), signals, deadline, relay.as_deref_mut())? {
            Event::End => return Ok(stopped),
            Event::OutOfMemory => {
                stopped.out_of_memory = true;
                child.kill()?;
            }
            Event::Relayed if relay.as_ref().is_some_and(|relay| relay.has_hung_up()) => {
                if !stopped.hung_up {
                    stopped.hung_up = true;
                    deadline = Some(hang_up(child, deadline)?);
                }
            }
            Event::Relayed => {}
            Event::Signal => match (signals.next()?, relay.as_deref()) {
                (signal, Some(relay)) if signal == Signal::WINCH.as_raw() => relay.resize()?,
                // A job without a terminal of its own may go on without ours, as any command may.
                (signal, Some(_)) if signal == Signal::HUP.as_raw() => {
                    stopped.hung_up = true;
                    deadline = Some(hang_up(child, deadline)?);
                }
                // The job's own terminal stops what runs on it.
                (signal, Some(_)) if signal == Signal::TSTP.as_raw() => {}
                (signal, _) => forward(child, signal)?,
            },
            Event::Deadline if stopped.timed_out || stopped.hung_up => {
                child.kill()?;
                deadline = None;
            }
            Event::Deadline => {
                stopped.timed_out = true;
                deadline = Some(Instant::now() + GRACE);
                child.signal(Signal::TERM.as_raw())?;
                // One that is stopped hears it only when it goes on.
                child.signal(Signal::CONT.as_raw())?;
            }
        }
    }
}

/// Tells a job that its terminal is gone; returns when it is ended if it does not listen.
fn hang_up(child: &Child, deadline: Option<Instant>) -> Result<Instant, RunError> {
    child.signal(Signal::HUP.as_raw())?;
    // One that is stopped hears it only when it goes on.
    child.signal(Signal::CONT.as_raw())?;
    let end = Instant::now() + GRACE;
    Ok(deadline.map_or(end, |deadline| deadline.min(end)))
}

fn finish(mut child: Child, stopped: Stopped, counting: bool) -> Result<Finished, RunError> {
    let ended = |exit| if stopped.timed_out { Ended::TimedOut } else { Ended::By(exit) };
    if child.counted().is_none() && !counting {
        let ended = ended(child.wait_for_process()?);
        return Ok(Finished { ended, counted: None, processor_time: Duration::ZERO });
    }
    let ended = ended(child.wait()?);
    let processor_time = processor_time_of_children();
    let mut counted = child.counted();
    if let Some(counted) = counted.as_mut().filter(|_| stopped.out_of_memory) {
        // The kernel may not have come to it.
        counted.killed_for_memory = counted.killed_for_memory.max(1);
    }
    Ok(Finished { ended, counted, processor_time })
}

enum Event {
    End,
    Signal,
    Deadline,
    OutOfMemory,
    Relayed,
}

fn wait(
    (child, out_of_memory): (&Child, Option<BorrowedFd<'_>>),
    signals: &Signals,
    deadline: Option<Instant>,
    mut relay: Option<&mut Relay<'_>>,
) -> Result<Event, RunError> {
    loop {
        let end = child.end();
        let mut fds = vec![PollFd::new(&end, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        fds.extend(out_of_memory.map(|event| PollFd::from_borrowed_fd(event, PollFlags::IN)));
        let memory_at = out_of_memory.map(|_| fds.len() - 1);
        if let Some(relay) = relay.as_deref() {
            fds.extend(relay.polled());
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) => return Ok(Event::Deadline),
            // A signal that came with the end has no one to go to.
            Ok(_) if !fds[0].revents().is_empty() => return Ok(Event::End),
            Ok(_) if memory_at.is_some_and(|at| !fds[at].revents().is_empty()) => {
                return Ok(Event::OutOfMemory);
            }
            Ok(_) if !fds[1].revents().is_empty() => return Ok(Event::Signal),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(source) => return Err(RunError::Wait { source }),
        }
        drop(fds);
        if let Some(relay) = relay.as_deref_mut() {
            relay.pass_on()?;
        }
        return Ok(Event::Relayed);
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
