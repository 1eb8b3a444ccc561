//! Carries out a [`SandboxPlan`].

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::cgroup::{Cgroup, CgroupError, Counted, Hierarchies};
use crate::child::{self, Channels, Report};
use crate::plan::{Identity, SandboxPlan};
use crate::script::{self, From, Script};
use crate::sys::{self, Forked};
use crate::terminal::{CallersTerminal, JobTerminal};
use crate::userns;

/// What the sandboxed process reads and writes.
#[derive(Debug)]
pub struct Stdio {
    pub stdin: Stream,
    pub stdout: Stream,
    pub stderr: Stream,
}

impl Stdio {
    /// The caller's own.
    pub fn inherit() -> Self {
        Self { stdin: Stream::Inherit, stdout: Stream::Inherit, stderr: Stream::Inherit }
    }

    /// Nothing.
    pub fn null() -> Self {
        Self { stdin: Stream::Null, stdout: Stream::Null, stderr: Stream::Null }
    }
}

/// One of a process's three streams.
#[derive(Debug)]
pub enum Stream {
    Inherit,
    Null,
    Fd(OwnedFd),
}

/// How a sandboxed process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

/// Nothing was run, and nothing is left of the attempt.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("the command is empty")]
    EmptyCommand,
    #[error("a NUL character in `{word}`")]
    Nul { word: String, source: std::ffi::NulError },
    #[error("failed to create the sandbox's {what}")]
    Descriptor { what: &'static str, source: io::Error },
    #[error(
        "failed to create new namespaces (user namespaces may be switched off or used up on this host)"
    )]
    Namespaces { source: io::Error },
    #[error("failed to write the sandbox's {file}")]
    WriteMap { file: &'static str, source: io::Error },
    #[error("failed to run `{tool}`, which gives a user more than one id (Debian: package uidmap)")]
    RunHelper { tool: &'static str, source: io::Error },
    #[error("`{tool}` refused: {said}")]
    Helper { tool: &'static str, said: String },
    #[error("failed at the sandbox's step `{step}`")]
    Step { step: String, source: io::Error },
    #[error("`{program}`: no such command in the sandbox")]
    NotFound { program: String },
    #[error("`{program}` cannot be executed{}", if *.no_interpreter { " (the interpreter it names is missing)" } else { "" })]
    CannotExecute { program: String, no_interpreter: bool, source: io::Error },
    #[error("the limits of the job cannot be set, and it is not run without them")]
    Limits { source: CgroupError },
    #[error("the sandbox was killed before it could start")]
    Killed,
    #[error("failed to {what} the sandboxed process")]
    Process { what: &'static str, source: io::Error },
}

/// A sandboxed process. It and all that it started end when this is dropped, and when the process that holds this ends.
#[derive(Debug)]
pub struct Child {
    pidfd: OwnedFd,
    report: OwnedFd,
    /// Never written to any more; its end tells the sandbox that nobody holds it.
    lifeline: OwnedFd,
    exit: Option<Exit>,
    /// Removed after the last process has left it.
    cgroup: Option<Cgroup>,
}

/// Stack of the process before it is its program: a few small frames.
const STACK_BYTES: usize = 64 * 1024;

/// Starts the plan's process, and returns when it is its program.
pub fn spawn(plan: &SandboxPlan, stdio: Stdio) -> Result<Child, SandboxError> {
    start(plan, stdio, None)
}

/// As [`spawn`], on a new terminal of the sandbox's own `/dev/pts`; returns its outer end too. The caller's terminal is
/// set back if the caller is killed.
pub fn spawn_on_terminal(
    plan: &SandboxPlan,
    caller: &CallersTerminal,
) -> Result<(Child, JobTerminal), SandboxError> {
    let fail = |what| {
        move |errno: rustix::io::Errno| SandboxError::Descriptor { what, source: errno.into() }
    };
    let (socket, child_socket) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .map_err(fail("terminal's socket"))?;
    let terminal = child::Terminal {
        socket: child_socket.as_raw_fd(),
        size: caller.size()?,
        caller: caller.kept(),
    };
    let child = start(plan, Stdio::inherit(), Some(terminal))?;
    let outer = sys::receive_descriptor(socket.as_raw_fd()).map_err(|errno| {
        SandboxError::Descriptor { what: "terminal", source: io::Error::from_raw_os_error(errno) }
    })?;
    Ok((child, JobTerminal::new(own(outer))))
}

fn start(
    plan: &SandboxPlan,
    stdio: Stdio,
    terminal: Option<child::Terminal>,
) -> Result<Child, SandboxError> {
    let fail = |what| {
        move |errno: rustix::io::Errno| SandboxError::Descriptor { what, source: errno.into() }
    };
    let (child_lifeline, lifeline) = pipe_with(PipeFlags::CLOEXEC).map_err(fail("lifeline"))?;
    let (report, child_report) = pipe_with(PipeFlags::CLOEXEC).map_err(fail("report pipe"))?;
    let null = null_if_needed(&stdio)?;
    let mut script = script::prepare(plan, stdio_fds(&stdio, null.as_ref()))?;
    let shown = open_for_shifting(plan, &mut script)?;
    let mut stack = vec![0; STACK_BYTES];
    let channels = Channels {
        lifeline: child_lifeline.as_raw_fd(),
        report: child_report.as_raw_fd(),
        foreign: [lifeline.as_raw_fd(), report.as_raw_fd()],
        terminal,
    };
    let cgroup = cgroup(plan)?;
    if let Some(cgroup) = &cgroup {
        script.cgroup_doors = cgroup.doors();
    }
    let clone_into = cgroup.as_ref().and_then(Cgroup::clone_into);
    let (pid, pidfd) = match sys::fork_into(script.namespaces, clone_into) {
        Ok(Forked::Child) => child::run(&mut script, &mut stack, &channels),
        Ok(Forked::Parent { pid, pidfd }) => (pid, own(pidfd)),
        Err(errno) => {
            return Err(SandboxError::Namespaces { source: io::Error::from_raw_os_error(errno) });
        }
    };
    drop((child_lifeline, child_report, stdio));
    let mut child = Child { pidfd, report, lifeline, exit: None, cgroup };
    if script.own_maps.is_none() {
        userns::map_ids(pid, &plan.identity)?;
        shift(plan, pid, &script)?;
        // A failure shows itself as the end of the reports.
        let _gone = sys::write(child.lifeline.as_raw_fd(), b"g");
    }
    drop(shown);
    child.started(plan)?;
    Ok(child)
}

impl Child {
    /// Readable when the sandbox is gone; for `poll`.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Readable when the process has ended; for `poll`.
    pub fn end(&self) -> BorrowedFd<'_> {
        self.report.as_fd()
    }

    /// Waits until the process has ended, and all that it started with it.
    pub fn wait(&mut self) -> Result<Exit, SandboxError> {
        if let Some(exit) = self.exit {
            return Ok(exit);
        }
        let exit = self.receive_exit()?;
        self.release()?;
        self.exit = Some(exit);
        Ok(exit)
    }

    /// As [`Child::wait`], for a caller that ends soon: does not wait for the kernel to take down the mounts and namespaces,
    /// in which nothing runs any more.
    pub fn wait_for_process(mut self) -> Result<Exit, SandboxError> {
        if self.cgroup.is_some() {
            return self.wait();
        }
        let exit = self.receive_exit()?;
        self.exit = Some(exit);
        Ok(exit)
    }

    /// As [`Child::wait`], if the process has ended.
    pub fn try_wait(&mut self) -> Result<Option<Exit>, SandboxError> {
        self.wait_timeout(Duration::ZERO)
    }

    /// As [`Child::wait`], but gives up after some time.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Option<Exit>, SandboxError> {
        if self.exit.is_none() && !readable(&self.report, timeout)? {
            return Ok(None);
        }
        self.wait().map(Some)
    }

    /// What its control group counted, if it has limits.
    pub fn counted(&self) -> Option<Counted> {
        self.cgroup.as_ref().map(Cgroup::counted)
    }

    /// Something that is ready to be read when the sandbox is out of memory and goes on with what the kernel has left of it.
    pub fn out_of_memory(&self) -> Option<BorrowedFd<'_>> {
        self.cgroup.as_ref().and_then(Cgroup::out_of_memory)
    }

    /// Sends a signal to the process; what a terminal sends (`SIGINT`, `SIGTSTP`, …) goes to its whole group.
    pub fn signal(&self, signal: i32) -> Result<(), SandboxError> {
        match sys::signal_through(self.pidfd.as_raw_fd(), signal) {
            // It has ended: there is no one to hear it.
            Ok(()) | Err(libc::ESRCH) => Ok(()),
            Err(errno) => Err(process_error("signal", errno)),
        }
    }

    /// Kills the process and all that it started.
    pub fn kill(&self) -> Result<(), SandboxError> {
        self.signal(libc::SIGKILL)
    }

    fn receive_exit(&self) -> Result<Exit, SandboxError> {
        Ok(match receive(&self.report)? {
            Some([child::EXITED, status, _]) => exit_of(status.cast_signed()),
            _ => Exit::Signal(libc::SIGKILL),
        })
    }

    fn started(&mut self, plan: &SandboxPlan) -> Result<(), SandboxError> {
        let program = || {
            plan.process
                .argv
                .first()
                .map(|word| word.to_string_lossy().into_owned())
                .unwrap_or_default()
        };
        match receive(&self.report)? {
            Some([child::STARTED, ..]) => Ok(()),
            Some([child::FAILED, label, errno]) => {
                let source = io::Error::from_raw_os_error(errno.cast_signed());
                Err(SandboxError::Step { step: script::describe(plan, label), source })
            }
            Some([child::NOT_EXECUTED, _, 0]) => Err(SandboxError::NotFound { program: program() }),
            Some([child::NOT_EXECUTED, errno, _]) => {
                let errno = errno.cast_signed();
                let no_interpreter = matches!(errno, libc::ENOENT | libc::ENOTDIR);
                let source = io::Error::from_raw_os_error(errno);
                Err(SandboxError::CannotExecute { program: program(), no_interpreter, source })
            }
            _ => Err(SandboxError::Killed),
        }
    }

    /// Waits for pid 1, whose end is the end of the namespaces.
    fn release(&self) -> Result<(), SandboxError> {
        loop {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Ok(_) | Err(rustix::io::Errno::CHILD) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => {
                    return Err(SandboxError::Process { what: "wait for", source: errno.into() });
                }
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.exit.is_none() {
            // It may have ended already.
            drop(self.kill());
            drop(self.release());
        }
    }
}

/// Processor time of all children of this process that have ended and were waited for, with all below them.
pub fn processor_time_of_children() -> Duration {
    sys::processor_time_of_children()
}

fn cgroup(plan: &SandboxPlan) -> Result<Option<Cgroup>, SandboxError> {
    if plan.limits.is_empty() {
        return Ok(None);
    }
    let made = Hierarchies::read().and_then(|at| Cgroup::new(&plan.limits, &at));
    made.map(Some).map_err(|source| SandboxError::Limits { source })
}

fn null_if_needed(stdio: &Stdio) -> Result<Option<File>, SandboxError> {
    if ![&stdio.stdin, &stdio.stdout, &stdio.stderr]
        .iter()
        .any(|stream| matches!(stream, Stream::Null))
    {
        return Ok(None);
    }
    File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map(Some)
        .map_err(|source| SandboxError::Descriptor { what: "empty streams (/dev/null)", source })
}

fn stdio_fds(stdio: &Stdio, null: Option<&File>) -> [RawFd; 3] {
    let fd = |stream: &Stream, own: RawFd| match stream {
        Stream::Inherit => own,
        Stream::Null => null.map_or(own, AsRawFd::as_raw_fd),
        Stream::Fd(fd) => fd.as_raw_fd(),
    };
    [fd(&stdio.stdin, 0), fd(&stdio.stdout, 1), fd(&stdio.stderr, 2)]
}

/// As root, opens what the plan shows before the child gives up root: it may lie behind folders that are root's alone.
fn open_for_shifting(
    plan: &SandboxPlan,
    script: &mut Script,
) -> Result<Vec<OwnedFd>, SandboxError> {
    let mut shown = Vec::new();
    if !matches!(plan.identity, Identity::Shifted { .. }) {
        return Ok(shown);
    }
    for source in &mut script.sources {
        if let From::Host(path) = &source.from
            && !path.to_bytes().starts_with(b"/dev/")
        {
            let mount = sys::open_tree(libc::AT_FDCWD, path)
                .map_err(|errno| step_error(plan, source.label, errno))?;
            source.mount = mount;
            shown.push(own(mount));
        }
    }
    Ok(shown)
}

/// Gives the opened mounts their attributes, and the caller's files in them to the sandbox's ids.
fn shift(plan: &SandboxPlan, pid: i32, script: &Script) -> Result<(), SandboxError> {
    if !matches!(plan.identity, Identity::Shifted { .. }) {
        return Ok(());
    }
    let namespace = userns::namespace_of(pid).map_err(|source| SandboxError::Descriptor {
        what: "user namespace's descriptor",
        source,
    })?;
    for source in script.sources.iter().filter(|source| source.mount >= 0) {
        let shifted = sys::set_mount(source.mount, source.attributes, Some(namespace.as_raw_fd()));
        let result = match shifted {
            // Not every filesystem can be idmapped. What is only read needs it only where files are the caller's alone.
            Err(libc::EINVAL) if source.attributes & sys::MOUNT_ATTR_RDONLY != 0 => {
                sys::set_mount(source.mount, source.attributes, None)
            }
            other => other,
        };
        result.map_err(|errno| step_error(plan, source.label, errno))?;
    }
    Ok(())
}

fn step_error(plan: &SandboxPlan, label: script::Label, errno: i32) -> SandboxError {
    SandboxError::Step {
        step: script::describe(plan, label),
        source: io::Error::from_raw_os_error(errno),
    }
}

fn process_error(what: &'static str, errno: i32) -> SandboxError {
    SandboxError::Process { what, source: io::Error::from_raw_os_error(errno) }
}

/// The next report; none if the sandbox was killed.
fn receive(pipe: &OwnedFd) -> Result<Option<Report>, SandboxError> {
    let mut bytes = [0; 12];
    loop {
        match sys::read(pipe.as_raw_fd(), &mut bytes) {
            Ok(12) => break,
            Ok(_) => return Ok(None),
            Err(libc::EINTR) => {}
            Err(errno) => return Err(process_error("hear from", errno)),
        }
    }
    let word =
        |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    Ok(Some([word(0), word(4), word(8)]))
}

fn readable(fd: &OwnedFd, timeout: Duration) -> Result<bool, SandboxError> {
    let deadline = Instant::now() + timeout;
    loop {
        let left_ms = deadline.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
        let left_ms = u32::try_from(left_ms).unwrap_or(u32::MAX);
        match sys::wait_readable([fd.as_raw_fd(), -1], Some(left_ms)) {
            Ok([readable, _]) if readable || left_ms == 0 => return Ok(readable),
            Ok(_) | Err(libc::EINTR) => {}
            Err(errno) => return Err(process_error("wait for", errno)),
        }
    }
}

fn exit_of(status: i32) -> Exit {
    if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    }
}

#[expect(unsafe_code, reason = "descriptors come from system calls that no library wraps")]
pub(crate) fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us, and nothing else knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
