//! What happens in the child: it builds its root, starts the process as pid 2, and stays as pid 1, which reaps and forwards.
//!
//! Runs in a copy of a possibly threaded caller, so it makes system calls only: no allocation, no lock, no panic.

mod copy;

use std::ffi::{CStr, CString};
use std::fmt::Write;
use std::os::fd::RawFd;

use crate::plan::Privileges;
use crate::script::{self, From, Label, Op, RootOp, Script, Source, Start};
use crate::seccomp;
use crate::sys::{self, Sys, TerminalSize, TerminalState};

pub(crate) const STARTED: u32 = 1;
pub(crate) const FAILED: u32 = 2;
pub(crate) const NOT_EXECUTED: u32 = 3;
pub(crate) const EXITED: u32 = 4;

/// One message to the parent: what, and two numbers.
pub(crate) type Report = [u32; 3];

/// The child's copies of the descriptors between it and its parent.
pub(crate) struct Channels {
    /// One byte comes when the ids are mapped, and the end when the parent is gone.
    pub(crate) lifeline: RawFd,
    pub(crate) report: RawFd,
    /// The parent's ends.
    pub(crate) foreign: [RawFd; 2],
    pub(crate) terminal: Option<Terminal>,
}

/// What is needed to run on a terminal of the sandbox's own.
pub(crate) struct Terminal {
    /// Where its outer end is sent.
    pub(crate) socket: RawFd,
    pub(crate) size: TerminalSize,
    /// The caller's own terminal and its settings: put back if the parent is killed, which cannot do it then.
    pub(crate) caller: (RawFd, TerminalState),
}

struct Failed {
    label: Label,
    errno: i32,
}

trait During<T> {
    fn during(self, label: Label) -> Result<T, Failed>;
}

impl<T> During<T> for Sys<T> {
    fn during(self, label: Label) -> Result<T, Failed> {
        self.map_err(|errno| Failed { label, errno })
    }
}

/// How the process ended before it became its program.
enum NotStarted {
    Failed(Failed),
    NotExecuted { errno: i32, exists: bool },
}

/// The life of pid 1.
pub(crate) fn run(script: &mut Script, stack: &mut [u8], channels: &Channels) -> ! {
    // From now on signals wait for the descriptor.
    let _ = sys::set_signal_mask(u64::MAX);
    for fd in channels.foreign {
        sys::close(fd);
    }
    if script.limited
        && let Err(Failed { label, errno }) = come_into(script)
    {
        quit(channels, [FAILED, label, errno.cast_unsigned()])
    }
    if script.own_maps.is_none() {
        let mut go = [0];
        if sys::read(channels.lifeline, &mut go) != Ok(1) {
            sys::exit(1);
        }
    }
    let started = build(script)
        .and_then(|()| terminal(&mut script.start, channels))
        .and_then(|()| start(&script.start, stack));
    match started {
        Err(Failed { label, errno }) | Ok(Err(NotStarted::Failed(Failed { label, errno }))) => {
            quit(channels, [FAILED, label, errno.cast_unsigned()])
        }
        Ok(Err(NotStarted::NotExecuted { errno, exists })) => {
            quit(channels, [NOT_EXECUTED, errno.cast_unsigned(), u32::from(exists)])
        }
        Ok(Ok(pid)) => serve(pid, channels),
    }
}

/// Joins the control groups, and makes them the highest that the job can name.
fn come_into(script: &Script) -> Result<(), Failed> {
    for door in &script.cgroup_doors {
        sys::write(*door, b"0").during(script::LIMITS)?;
    }
    sys::unshare(libc::CLONE_NEWCGROUP).during(script::LIMITS)
}

/// Opens a terminal of the sandbox's own, and gives its outer end to the parent.
fn terminal(start: &mut Start, channels: &Channels) -> Result<(), Failed> {
    let Some(terminal) = &channels.terminal else { return Ok(()) };
    let [outer, inner] =
        sys::new_terminal(c"/dev/pts/ptmx", terminal.size).during(script::TERMINAL)?;
    sys::send_descriptor(terminal.socket, outer).during(script::TERMINAL)?;
    sys::close(outer);
    start.stdio = [inner; 3];
    start.on_terminal = true;
    Ok(())
}

fn quit(channels: &Channels, report: Report) -> ! {
    send(channels, report);
    sys::exit(1)
}

fn send(channels: &Channels, report: Report) {
    let mut bytes = [0; 12];
    for (place, word) in bytes.chunks_exact_mut(4).zip(report) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    // If the parent is gone there is no one to tell.
    let _ = sys::write(channels.report, &bytes);
}

fn build(script: &mut Script) -> Result<(), Failed> {
    // Kept over the change of root: the plan need not have a `/proc`.
    let proc = sys::open(c"/proc/", libc::O_PATH | libc::O_DIRECTORY, 0).during(script::IDS)?;
    if let Some(maps) = &script.own_maps {
        write_maps(proc, maps).during(script::IDS)?;
    }
    if let Some((uid, gid)) = script.setup_ids {
        sys::drop_groups();
        sys::set_ids(uid, gid).and_then(|()| sys::dumpable(true)).during(script::IDS)?;
    }
    sys::umask(0);
    for source in &mut script.sources {
        open_source(source).during(source.label)?;
    }
    let root = root(script).during(script::ROOT)?;
    let old = enter(root).during(script::PIVOT)?;
    for (label, op) in &script.ops {
        carry_out(op, &script.sources).during(*label)?;
    }
    sys::fchdir(old)
        .and_then(|()| sys::unmount_here())
        .and_then(|()| sys::chdir(c"/"))
        .during(script::PIVOT)?;
    if matches!(script.root, RootOp::Tmpfs) {
        sys::make_read_only(root).during(script::ROOT)?;
    }
    sys::set_hostname(&script.hostname).during(script::HOSTNAME)?;
    if script.loopback {
        sys::loopback_up().during(script::NETWORK)?;
    }
    if let Some(maps) = &script.inner_maps {
        sys::unshare(libc::CLONE_NEWUSER)
            .and_then(|()| write_maps(proc, maps))
            .during(script::IDS)?;
    }
    Ok(())
}

fn write_maps(proc: RawFd, [uids, gids]: &[Vec<u8>; 2]) -> Sys<()> {
    // A namespace whose maps are written without privilege must not use setgroups to drop a group that denies access.
    sys::write_file(proc, c"self/setgroups", 0, 0, b"deny")?;
    sys::write_file(proc, c"self/uid_map", 0, 0, uids)?;
    sys::write_file(proc, c"self/gid_map", 0, 0, gids)
}

fn open_source(source: &mut Source) -> Sys<()> {
    if source.mount >= 0 {
        return Ok(());
    }
    source.mount = match &source.from {
        From::Host(path) => {
            let mount = sys::open_tree(libc::AT_FDCWD, path)?;
            sys::set_mount(mount, source.attributes, None)?;
            mount
        }
        From::Proc => sys::new_mount(c"proc", &[], source.attributes)?,
    };
    Ok(())
}

fn root(script: &Script) -> Sys<RawFd> {
    match &script.root {
        RootOp::Tmpfs => sys::new_mount(
            c"tmpfs",
            &[(c"mode", Some(c"755"))],
            sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NODEV,
        ),
        RootOp::Bind(source) => Ok(script.sources[*source].mount),
        RootOp::Overlay(folders) => overlay(folders),
    }
}

/// Names the folders by descriptor: options have little room, and a colon in a path would end it.
fn overlay(folders: &[CString]) -> Sys<RawFd> {
    let mut texts = [Text::new(), Text::new(), Text::new()];
    for (index, folder) in folders.iter().enumerate() {
        let fd = sys::open(folder, libc::O_PATH | libc::O_DIRECTORY, 0)?;
        let text = &mut texts[index.min(2)];
        let colon = if index > 2 { ":" } else { "" };
        write!(text, "{colon}/proc/self/fd/{fd}").map_err(|std::fmt::Error| libc::E2BIG)?;
    }
    let [upper, work, lower] = &texts;
    let options = [
        (c"lowerdir", Some(lower.as_c_str()?)),
        (c"upperdir", Some(upper.as_c_str()?)),
        (c"workdir", Some(work.as_c_str()?)),
        (c"userxattr", None),
    ];
    sys::new_mount(c"overlay", &options, sys::MOUNT_ATTR_NODEV)
}

/// Text made without allocation, of the length that the kernel takes for an option.
struct Text {
    bytes: [u8; 256],
    len: usize,
}

impl Text {
    fn new() -> Self {
        Self { bytes: [0; 256], len: 0 }
    }

    fn as_c_str(&self) -> Sys<&CStr> {
        CStr::from_bytes_until_nul(&self.bytes).map_err(|_no_nul| libc::E2BIG)
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        if end >= self.bytes.len() {
            return Err(std::fmt::Error);
        }
        self.bytes[self.len..end].copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Makes the mount the root of this process; the old root is covered, not gone. Returns the old root.
fn enter(root: RawFd) -> Sys<RawFd> {
    let old = sys::open(c"/", libc::O_PATH | libc::O_DIRECTORY, 0)?;
    sys::move_mount(root, c"/")?;
    sys::fchdir(root)?;
    sys::pivot_root_here()?;
    Ok(old)
}

fn carry_out(op: &Op, sources: &[Source]) -> Sys<()> {
    match op {
        Op::Dir { path, mode } => existing(sys::mkdir(path, *mode)),
        Op::Touch { path } => existing(sys::write_file(
            libc::AT_FDCWD,
            path,
            libc::O_CREAT | libc::O_EXCL,
            0o444,
            b"",
        )),
        Op::Symlink { path, target } => sys::symlink(target, path),
        Op::File { path, content, mode } => {
            sys::write_file(libc::AT_FDCWD, path, libc::O_CREAT | libc::O_EXCL, *mode, content)
        }
        Op::Attach { source, path } => sys::move_mount(sources[*source].mount, path),
        Op::Tmpfs { path, size, mode } => {
            let options = [(c"size", Some(size.as_c_str())), (c"mode", Some(mode.as_c_str()))];
            attach_new(c"tmpfs", &options, sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NODEV, path)
        }
        Op::Devpts { path } => {
            let options = [(c"ptmxmode", Some(c"666")), (c"mode", Some(c"620"))];
            attach_new(c"devpts", &options, sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NOEXEC, path)
        }
        Op::Hide { path } => {
            let options = [(c"nr_inodes", Some(c"1"))];
            attach_new(c"tmpfs", &options, sys::MOUNT_ATTR_RDONLY | sys::MOUNT_ATTR_NOSUID, path)
        }
        Op::Freeze { path } => {
            let mount = sys::open_tree(libc::AT_FDCWD, path)?;
            sys::set_mount(mount, sys::MOUNT_ATTR_RDONLY, None)?;
            sys::move_mount(mount, path)
        }
        Op::Cover { path, content } => cover(path, content),
        Op::Copy { source, path, entries } => copy::all(sources[*source].mount, path, entries),
    }
}

/// A mount point that exists is as good, also where it could not be made; what is missing fails to be mounted on.
fn existing(result: Sys<()>) -> Sys<()> {
    match result {
        Err(libc::EEXIST | libc::EROFS) => Ok(()),
        other => other,
    }
}

fn attach_new(
    kind: &CStr,
    options: &[(&CStr, Option<&CStr>)],
    attributes: u64,
    path: &CStr,
) -> Sys<()> {
    let mount = sys::new_mount(kind, options, attributes)?;
    let result = sys::move_mount(mount, path);
    sys::close(mount);
    result
}

/// A file of the root that lives on as a mount, and has no name.
fn cover(path: &CStr, content: &[u8]) -> Sys<()> {
    let name = c"/.cover";
    sys::write_file(libc::AT_FDCWD, name, libc::O_CREAT | libc::O_EXCL, 0o444, content)?;
    let mount = sys::open_tree(libc::AT_FDCWD, name)?;
    let quiet = sys::MOUNT_ATTR_RDONLY
        | sys::MOUNT_ATTR_NOSUID
        | sys::MOUNT_ATTR_NODEV
        | sys::MOUNT_ATTR_NOEXEC;
    sys::set_mount(mount, quiet, None)?;
    sys::move_mount(mount, path)?;
    sys::unlink(name)
}

/// Starts the process and waits until it is its program.
fn start(start: &Start, stack: &mut [u8]) -> Result<Result<i32, NotStarted>, Failed> {
    // The caller's memory and environment are in this process; exec lifts this for the program.
    sys::dumpable(false).during(script::PRIVILEGES)?;
    let mut outcome = None;
    let pid = sys::vfork_call(stack, &mut || outcome = Some(become_program(start)))
        .during(script::FORK)?;
    Ok(match outcome {
        None => Ok(pid),
        Some(failed) => Err(failed),
    })
}

/// Runs in the process; returns only if it could not become its program.
fn become_program(start: &Start) -> NotStarted {
    match restrict(start) {
        Err(failed) => NotStarted::Failed(failed),
        Ok(()) => execute(start),
    }
}

fn restrict(start: &Start) -> Result<(), Failed> {
    sys::new_session().during(script::FORK)?;
    if start.on_terminal {
        sys::control_terminal(start.stdio[0]).during(script::TERMINAL)?;
    }
    stdio(start.stdio).during(script::DESCRIPTORS)?;
    sys::default_sigpipe().and_then(|()| sys::set_signal_mask(0)).during(script::FORK)?;
    privileges(start).during(script::PRIVILEGES)?;
    sys::umask(0o022);
    sys::chdir(&start.cwd).during(script::FOLDER)
}

fn stdio(fds: [RawFd; 3]) -> Sys<()> {
    let mut high = [0; 3];
    for (copy, fd) in high.iter_mut().zip(fds) {
        *copy = sys::duplicate_high(fd)?;
    }
    for (to, copy) in (0..).zip(high) {
        sys::duplicate_to(copy, to)?;
    }
    sys::close_on_exec_from(3)
}

fn privileges(start: &Start) -> Sys<()> {
    let keep = match start.privileges {
        Privileges::Job => 0,
        Privileges::Build => BUILD_CAPABILITIES,
        Privileges::Provision => u64::MAX,
    };
    sys::bound_capabilities(keep)?;
    if start.privileges == Privileges::Job {
        sys::no_new_privileges()?;
    }
    if start.privileges != Privileges::Provision {
        if start.shares_network {
            sys::hide_abstract_sockets()?;
        }
        let job = start.privileges == Privileges::Job;
        sys::install_filter(if job { &seccomp::JOB } else { &seccomp::BUILD })?;
    }
    if let Some((uid, gid)) = start.ids {
        sys::set_ids(uid, gid)?;
    }
    if start.privileges == Privileges::Provision { Ok(()) } else { sys::set_capabilities(keep) }
}

const BUILD_CAPABILITIES: u64 = capability(0) // CHOWN
    | capability(1) // DAC_OVERRIDE
    | capability(3) // FOWNER
    | capability(4) // FSETID
    | capability(5) // KILL
    | capability(6) // SETGID
    | capability(7) // SETUID
    | capability(10) // NET_BIND_SERVICE
    | capability(18) // SYS_CHROOT
    | capability(27) // MKNOD
    | capability(29) // AUDIT_WRITE
    | capability(31); // SETFCAP
const KILL: u64 = capability(5);

const fn capability(number: u32) -> u64 {
    1 << number
}

fn execute(start: &Start) -> NotStarted {
    let mut worst = NotStarted::NotExecuted { errno: libc::ENOENT, exists: false };
    for candidate in &start.candidates {
        let errno = sys::execute(candidate, &start.argv.pointers, &start.env.pointers);
        // ENOENT is also said of a file whose interpreter is missing.
        let exists = !matches!(errno, libc::ENOENT | libc::ENOTDIR) || sys::exists(candidate);
        if exists {
            worst = NotStarted::NotExecuted { errno, exists };
            if errno != libc::EACCES {
                break;
            }
        }
    }
    worst
}

/// Reaps, forwards signals, and ends when the process does or the parent is gone; all others here end with pid 1.
fn serve(pid: i32, channels: &Channels) -> ! {
    let Ok(signals) = sys::set_capabilities(KILL).and_then(|()| sys::signal_descriptor(u64::MAX))
    else {
        sys::exit(1)
    };
    let caller = channels.terminal.as_ref().map(|terminal| &terminal.caller);
    let caller_fd = caller.map_or(signals, |(fd, _)| *fd);
    close_all_but([channels.lifeline, channels.report, signals, caller_fd]);
    send(channels, [STARTED, 0, 0]);
    loop {
        let Ok([signal, parent_gone]) = sys::wait_readable([signals, channels.lifeline], None)
        else {
            continue;
        };
        if parent_gone {
            if let Some((fd, state)) = caller {
                // Signals are blocked, so a process in the background may; without, the shell sees no echo.
                let _ = sys::set_terminal_state(*fd, state);
            }
            sys::exit(1);
        }
        if signal {
            match sys::next_signal(signals) {
                Ok(libc::SIGCHLD) => reap(pid, channels),
                Ok(signal) => forward(signal, pid),
                Err(_) => {}
            }
        }
    }
}

fn close_all_but(mut keep: [RawFd; 4]) {
    keep.sort_unstable();
    let mut first = 0;
    for fd in keep.map(i32::cast_unsigned) {
        if first < fd {
            let _ = sys::close_range(first, fd - 1);
        }
        first = first.max(fd + 1);
    }
    let _ = sys::close_range(first, u32::MAX);
}

fn reap(process: i32, channels: &Channels) {
    while let Ok(Some((pid, status))) = sys::reap(false) {
        if pid == process {
            // Killed and reaped here, so that nothing runs any more when the parent hears of the end.
            let _ = sys::kill(-1, libc::SIGKILL);
            while sys::reap(true).is_ok() {}
            send(channels, [EXITED, status.cast_unsigned(), 0]);
            sys::exit(0);
        }
    }
}

/// Signals that a terminal sends go to the whole group, as a terminal sends them.
fn forward(signal: i32, pid: i32) {
    let (to, signal) = match signal {
        // The group has no parent in its session, so the kernel ignores SIGTSTP there.
        libc::SIGTSTP => (-pid, libc::SIGSTOP),
        libc::SIGINT | libc::SIGQUIT | libc::SIGWINCH | libc::SIGCONT => (-pid, signal),
        other => (pid, other),
    };
    let _ = sys::kill(to, signal);
}
