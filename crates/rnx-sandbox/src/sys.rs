//! System calls as they are, safe to make between fork and exec: nothing here allocates or locks.
#![expect(
    unsafe_code,
    reason = "calls that no library offers, or that must not touch the C library's state"
)]

use std::ffi::CStr;
use std::os::fd::RawFd;

use libc::{c_char, c_int, c_long, c_uint, c_ulong};

/// `Err` holds the errno.
pub(crate) type Sys<T> = Result<T, i32>;

pub(crate) const MOUNT_ATTR_RDONLY: u64 = 0x1;
pub(crate) const MOUNT_ATTR_NOSUID: u64 = 0x2;
pub(crate) const MOUNT_ATTR_NODEV: u64 = 0x4;
pub(crate) const MOUNT_ATTR_NOEXEC: u64 = 0x8;
pub(crate) const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;
const OPEN_TREE_CLONE: c_uint = 1;
const AT_RECURSIVE: c_uint = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH: c_uint = 0x4;
const MOVE_MOUNT_T_SYMLINKS: c_uint = 0x10;
const FSCONFIG_SET_FLAG: c_uint = 0;
const FSCONFIG_SET_STRING: c_uint = 1;
const FSCONFIG_CMD_CREATE: c_uint = 6;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
/// Handlers of the caller must not run in the child; what is ignored stays ignored.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
/// More capabilities than any kernel has.
const CAPABILITIES_MAX: c_ulong = 63;

#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

fn check(result: c_long) -> Sys<c_long> {
    if result < 0 { Err(errno()) } else { Ok(result) }
}

/// The errno of the last failed call.
fn errno() -> i32 {
    // SAFETY: the location is valid in every thread.
    unsafe { *libc::__errno_location() }
}

macro_rules! call {
    ($number:expr $(, $argument:expr)*) => {
        // SAFETY: pointers are to values that live over the call; the kernel checks all else.
        check(unsafe { libc::syscall($number $(, $argument)*) })
    };
}

mod terminal;

pub(crate) use self::terminal::*;

#[expect(clippy::cast_possible_truncation, reason = "descriptors are small")]
fn descriptor(result: c_long) -> RawFd {
    result as RawFd
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked, and no more than was asked for"
)]
fn length(result: c_long) -> usize {
    result as usize
}

/// What `clone3` gives the caller.
pub(crate) enum Forked {
    Child,
    Parent { pid: i32, pidfd: RawFd },
}

/// Forks into new namespaces, and into a control group of version 2 if there is one. The child has a copy of all memory
/// and must make system calls only.
pub(crate) fn fork_into(namespaces: c_int, cgroup: Option<RawFd>) -> Sys<Forked> {
    let mut pidfd: RawFd = -1;
    // SAFETY: all zeroes is a valid `clone_args`.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from((namespaces | libc::CLONE_PIDFD).cast_unsigned()) | CLONE_CLEAR_SIGHAND;
    args.pidfd = (&raw mut pidfd).addr() as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(cgroup.cast_unsigned());
    }
    args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    let pid = call!(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>())?;
    Ok(if pid == 0 { Forked::Child } else { Forked::Parent { pid: descriptor(pid), pidfd } })
}

/// Runs `function` in a child that shares this memory, on its own stack, and waits until it has executed a program or ended.
pub(crate) fn vfork_call(stack: &mut [u8], mut function: &mut dyn FnMut()) -> Sys<i32> {
    extern "C" fn child(function: *mut libc::c_void) -> c_int {
        // SAFETY: this is the pointer given below, and its owner is suspended.
        let function = unsafe { &mut *function.cast::<&mut dyn FnMut()>() };
        function();
        1
    }
    let top = stack.as_mut_ptr_range().end.map_addr(|address| address & !0xf);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: stack and function outlive the child's use, since CLONE_VFORK suspends this process until the child has left them.
    let pid = unsafe { libc::clone(child, top.cast(), flags, (&raw mut function).cast()) };
    if pid < 0 { Err(errno()) } else { Ok(pid) }
}

pub(crate) fn exit(code: c_int) -> ! {
    // SAFETY: ends the process without running anything of it.
    unsafe { libc::_exit(code) }
}

pub(crate) fn open(path: &CStr, flags: c_int, mode: u32) -> Sys<RawFd> {
    open_at(libc::AT_FDCWD, path, flags, mode)
}

fn open_at(dir: RawFd, path: &CStr, flags: c_int, mode: u32) -> Sys<RawFd> {
    call!(libc::SYS_openat, dir, path.as_ptr(), flags | libc::O_CLOEXEC, mode).map(descriptor)
}

pub(crate) fn close(fd: RawFd) {
    // Nothing can be done about a failure, and the kernel closes in any case.
    let _ = call!(libc::SYS_close, fd);
}

pub(crate) fn read(fd: RawFd, buffer: &mut [u8]) -> Sys<usize> {
    call!(libc::SYS_read, fd, buffer.as_mut_ptr(), buffer.len()).map(length)
}

pub(crate) fn write(fd: RawFd, bytes: &[u8]) -> Sys<usize> {
    call!(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()).map(length)
}

/// Writes a small file whose content is taken in one write, as files of `/proc` are.
pub(crate) fn write_file(
    dir: RawFd,
    path: &CStr,
    flags: c_int,
    mode: u32,
    mut bytes: &[u8],
) -> Sys<()> {
    let fd = open_at(dir, path, libc::O_WRONLY | flags, mode)?;
    let mut result = Ok(());
    while !bytes.is_empty() && result.is_ok() {
        match write(fd, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(errno) => result = Err(errno),
        }
    }
    close(fd);
    result
}

/// Opens a file to read that lies below `dir` and is reached without a link.
pub(crate) fn open_beneath(dir: RawFd, path: &CStr) -> Sys<RawFd> {
    const BENEATH_WITHOUT_LINKS: u64 = 0x08 | 0x04 | 0x02;
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
    let how: [u64; 3] = [u64::from(flags.cast_unsigned()), 0, BENEATH_WITHOUT_LINKS];
    call!(libc::SYS_openat2, dir, path.as_ptr(), how.as_ptr(), size_of_val(&how)).map(descriptor)
}

pub(crate) fn mkdir(path: &CStr, mode: u32) -> Sys<()> {
    call!(libc::SYS_mkdirat, libc::AT_FDCWD, path.as_ptr(), mode).map(drop)
}

pub(crate) fn symlink(target: &CStr, path: &CStr) -> Sys<()> {
    call!(libc::SYS_symlinkat, target.as_ptr(), libc::AT_FDCWD, path.as_ptr()).map(drop)
}

pub(crate) fn unlink(path: &CStr) -> Sys<()> {
    call!(libc::SYS_unlinkat, libc::AT_FDCWD, path.as_ptr(), 0).map(drop)
}

pub(crate) fn exists(path: &CStr) -> bool {
    call!(libc::SYS_faccessat, libc::AT_FDCWD, path.as_ptr(), libc::F_OK).is_ok()
}

pub(crate) fn chdir(path: &CStr) -> Sys<()> {
    call!(libc::SYS_chdir, path.as_ptr()).map(drop)
}

pub(crate) fn fchdir(fd: RawFd) -> Sys<()> {
    call!(libc::SYS_fchdir, fd).map(drop)
}

pub(crate) fn umask(mask: u32) {
    let _ = call!(libc::SYS_umask, mask);
}

/// A detached copy of what is mounted at `path`, with all below it.
pub(crate) fn open_tree(dir: RawFd, path: &CStr) -> Sys<RawFd> {
    let flags = OPEN_TREE_CLONE
        | AT_RECURSIVE
        | libc::O_CLOEXEC.cast_unsigned()
        | libc::AT_EMPTY_PATH.cast_unsigned();
    call!(libc::SYS_open_tree, dir, path.as_ptr(), flags).map(descriptor)
}

/// Adds attributes to the whole tree of mounts and takes it out of all propagation.
pub(crate) fn set_mount(tree: RawFd, attributes: u64, userns: Option<RawFd>) -> Sys<()> {
    let attr = MountAttr {
        attr_set: attributes | if userns.is_some() { MOUNT_ATTR_IDMAP } else { 0 },
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: u64::from(userns.unwrap_or(0).cast_unsigned()),
    };
    let flags = AT_RECURSIVE | libc::AT_EMPTY_PATH.cast_unsigned();
    call!(
        libc::SYS_mount_setattr,
        tree,
        c"".as_ptr(),
        flags,
        &raw const attr,
        size_of::<MountAttr>()
    )
    .map(drop)
}

/// Makes one mount read-only.
pub(crate) fn make_read_only(mount: RawFd) -> Sys<()> {
    let attr = MountAttr { attr_set: MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH.cast_unsigned();
    call!(
        libc::SYS_mount_setattr,
        mount,
        c"".as_ptr(),
        flags,
        &raw const attr,
        size_of::<MountAttr>()
    )
    .map(drop)
}

/// Attaches a detached mount; symbolic links in `path` are followed.
pub(crate) fn move_mount(mount: RawFd, path: &CStr) -> Sys<()> {
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS;
    call!(libc::SYS_move_mount, mount, c"".as_ptr(), libc::AT_FDCWD, path.as_ptr(), flags).map(drop)
}

/// A detached mount of a new filesystem. An option without value is a flag.
pub(crate) fn new_mount(
    kind: &CStr,
    options: &[(&CStr, Option<&CStr>)],
    attributes: u64,
) -> Sys<RawFd> {
    let fs = call!(libc::SYS_fsopen, kind.as_ptr(), 1 as c_uint).map(descriptor)?;
    let none: *const c_char = std::ptr::null();
    let mut result = Ok(0);
    for (key, value) in options {
        let (command, value) = match value {
            Some(value) => (FSCONFIG_SET_STRING, value.as_ptr()),
            None => (FSCONFIG_SET_FLAG, none),
        };
        result = result
            .and_then(|_| call!(libc::SYS_fsconfig, fs, command, key.as_ptr(), value, 0 as c_int));
    }
    let mount = result
        .and_then(|_| call!(libc::SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, none, none, 0 as c_int))
        .and_then(|_| call!(libc::SYS_fsmount, fs, 1 as c_uint, attributes))
        .map(descriptor);
    close(fs);
    mount
}

/// Makes the current folder `/` and puts the old root on top of it.
pub(crate) fn pivot_root_here() -> Sys<()> {
    call!(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()).map(drop)
}

/// Takes away what is mounted at the current folder.
pub(crate) fn unmount_here() -> Sys<()> {
    call!(libc::SYS_umount2, c".".as_ptr(), libc::MNT_DETACH).map(drop)
}

pub(crate) fn set_hostname(name: &[u8]) -> Sys<()> {
    call!(libc::SYS_sethostname, name.as_ptr(), name.len()).map(drop)
}

/// Brings up the loopback interface of a new network namespace.
pub(crate) fn loopback_up() -> Sys<()> {
    let socket = call!(libc::SYS_socket, libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0)
        .map(descriptor)?;
    // SAFETY: all zeroes is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l'.cast_signed();
    request.ifr_name[1] = b'o'.cast_signed();
    #[expect(clippy::cast_possible_truncation, reason = "IFF_UP is 1")]
    {
        request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    }
    let result = call!(libc::SYS_ioctl, socket, libc::SIOCSIFFLAGS, &raw const request).map(drop);
    close(socket);
    result
}

pub(crate) fn unshare(namespace: c_int) -> Sys<()> {
    call!(libc::SYS_unshare, namespace).map(drop)
}

/// Gives up the supplementary groups; a namespace without ranges may not, and keeps them.
pub(crate) fn drop_groups() {
    let _ = call!(libc::SYS_setgroups, 0, std::ptr::null::<u32>());
}

pub(crate) fn set_ids(uid: u32, gid: u32) -> Sys<()> {
    call!(libc::SYS_setresgid, gid, gid, gid)?;
    call!(libc::SYS_setresuid, uid, uid, uid).map(drop)
}

pub(crate) fn new_session() -> Sys<()> {
    call!(libc::SYS_setsid).map(drop)
}

/// A copy of `fd` at 10 or above, out of the way of standard input, output and error.
pub(crate) fn duplicate_high(fd: RawFd) -> Sys<RawFd> {
    call!(libc::SYS_fcntl, fd, libc::F_DUPFD_CLOEXEC, 10).map(descriptor)
}

/// Makes `to` a copy of the other descriptor `fd` that survives exec.
pub(crate) fn duplicate_to(fd: RawFd, to: RawFd) -> Sys<()> {
    call!(libc::SYS_dup3, fd, to, 0).map(drop)
}

pub(crate) fn close_range(first: c_uint, last: c_uint) -> Sys<()> {
    call!(libc::SYS_close_range, first, last, 0).map(drop)
}

/// Marks every descriptor from `first` on to be closed by exec.
pub(crate) fn close_on_exec_from(first: c_uint) -> Sys<()> {
    call!(libc::SYS_close_range, first, c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC).map(drop)
}

fn prctl(option: c_int, argument: c_ulong) -> Sys<()> {
    call!(libc::SYS_prctl, option, argument, 0, 0, 0).map(drop)
}

pub(crate) fn no_new_privileges() -> Sys<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Without, this process's memory, environment and descriptors are hidden from all that has no capability over it, and
/// its files in `/proc` are not its own. A change of ids takes it away, a new program gives it back.
pub(crate) fn dumpable(yes: bool) -> Sys<()> {
    prctl(libc::PR_SET_DUMPABLE, c_ulong::from(yes))
}

/// Leaves only the capabilities in `keep` (a bit each) in reach of this process and its programs.
pub(crate) fn bound_capabilities(keep: u64) -> Sys<()> {
    for capability in 0..=CAPABILITIES_MAX {
        if keep & (1 << capability) == 0
            && let Err(errno) = prctl(libc::PR_CAPBSET_DROP, capability)
        {
            return if errno == libc::EINVAL { Ok(()) } else { Err(errno) };
        }
    }
    Ok(())
}

/// Sets the permitted and effective capabilities, and empties the inheritable and ambient ones.
pub(crate) fn set_capabilities(keep: u64) -> Sys<()> {
    let header: [u32; 2] = [CAPABILITY_VERSION_3, 0];
    #[expect(clippy::cast_possible_truncation, reason = "two halves")]
    let (low, high) = (keep as u32, (keep >> 32) as u32);
    let sets: [u32; 6] = [low, low, 0, high, high, 0];
    call!(libc::SYS_capset, header.as_ptr(), sets.as_ptr()).map(drop)
}

/// Keeps this process and its programs from connecting to abstract Unix sockets of others (X11, D-Bus, container
/// engines), by Landlock; without `no_new_privs` this needs `CAP_SYS_ADMIN`. Kernels before 6.12 cannot.
pub(crate) fn hide_abstract_sockets() -> Sys<()> {
    const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1;
    // Rights on files, rights on ports, scopes.
    let ruleset: [u64; 3] = [0, 0, SCOPE_ABSTRACT_UNIX_SOCKET];
    let made = call!(libc::SYS_landlock_create_ruleset, ruleset.as_ptr(), size_of_val(&ruleset), 0);
    match made.map(descriptor) {
        Err(libc::ENOSYS | libc::EOPNOTSUPP | libc::E2BIG | libc::EINVAL) => Ok(()),
        Err(errno) => Err(errno),
        Ok(ruleset) => {
            let restricted = call!(libc::SYS_landlock_restrict_self, ruleset, 0);
            close(ruleset);
            restricted.map(drop)
        }
    }
}

/// Loads a filter; without `no_new_privs` this needs `CAP_SYS_ADMIN` in the user namespace.
pub(crate) fn install_filter(filter: &'static [libc::sock_filter]) -> Sys<()> {
    #[expect(clippy::cast_possible_truncation, reason = "a filter has at most 4096 instructions")]
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    call!(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program).map(drop)
}

/// Blocks or unblocks signals; a bit per signal, the first is signal 1.
pub(crate) fn set_signal_mask(mask: u64) -> Sys<()> {
    let old: *mut u64 = std::ptr::null_mut();
    call!(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, old, size_of::<u64>())
        .map(drop)
}

/// Blocks more signals; returns what was blocked before.
pub(crate) fn block_signals(mask: u64) -> Sys<u64> {
    let mut old = 0u64;
    call!(
        libc::SYS_rt_sigprocmask,
        libc::SIG_BLOCK,
        &raw const mask,
        &raw mut old,
        size_of::<u64>()
    )?;
    Ok(old)
}

pub(crate) fn is_ignored(signal: i32) -> bool {
    let mut action = [0u64; 4];
    let none: *const u64 = std::ptr::null();
    call!(libc::SYS_rt_sigaction, signal, none, action.as_mut_ptr(), size_of::<u64>()).is_ok()
        && action[0] == 1
}

/// Gives `SIGPIPE` its default action, which Rust's runtime takes away.
pub(crate) fn default_sigpipe() -> Sys<()> {
    // The kernel's `struct sigaction`: at most four words, and all zeroes is SIG_DFL.
    let action = [0u64; 4];
    let old: *mut u64 = std::ptr::null_mut();
    call!(libc::SYS_rt_sigaction, libc::SIGPIPE, action.as_ptr(), old, size_of::<u64>()).map(drop)
}

pub(crate) fn signal_descriptor(mask: u64) -> Sys<RawFd> {
    call!(libc::SYS_signalfd4, -1, &raw const mask, size_of::<u64>(), libc::SFD_CLOEXEC)
        .map(descriptor)
}

/// The next signal waiting in a signal descriptor.
pub(crate) fn next_signal(fd: RawFd) -> Sys<i32> {
    let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
    read(fd, &mut info)?;
    Ok(i32::from_ne_bytes([info[0], info[1], info[2], info[3]]))
}

pub(crate) fn kill(pid: i32, signal: i32) -> Sys<()> {
    call!(libc::SYS_kill, pid, signal).map(drop)
}

/// The next child that ended, if any: its pid and its status as `wait` gives it. `Err(ECHILD)`: no child is left.
pub(crate) fn reap(block: bool) -> Sys<Option<(i32, i32)>> {
    let mut status: c_int = 0;
    let flags = if block { 0 } else { libc::WNOHANG };
    let usage: *mut libc::rusage = std::ptr::null_mut();
    let pid = call!(libc::SYS_wait4, -1, &raw mut status, flags, usage).map(descriptor)?;
    Ok((pid != 0).then_some((pid, status)))
}

pub(crate) fn processor_time_of_children() -> std::time::Duration {
    // SAFETY: all zeroes is a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // Fails for no argument that is given here.
    let _ = call!(libc::SYS_getrusage, libc::RUSAGE_CHILDREN, &raw mut usage);
    [usage.ru_utime, usage.ru_stime]
        .iter()
        .map(|time| {
            std::time::Duration::new(time.tv_sec.unsigned_abs(), 0)
                + std::time::Duration::from_micros(time.tv_usec.unsigned_abs())
        })
        .sum()
}

/// Waits until one of two descriptors can be read or is at its end; which of them are.
pub(crate) fn wait_readable(fds: [RawFd; 2], timeout_ms: Option<u32>) -> Sys<[bool; 2]> {
    let mut polled = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    let timeout = timeout_ms.map(|ms| libc::timespec {
        tv_sec: i64::from(ms / 1000),
        tv_nsec: i64::from(ms % 1000) * 1_000_000,
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let mask: *const u64 = std::ptr::null();
    call!(libc::SYS_ppoll, polled.as_mut_ptr(), polled.len(), timeout, mask, size_of::<u64>())?;
    Ok(polled.map(|entry| entry.revents != 0))
}

/// Becomes the program; returns only the errno of the failure.
pub(crate) fn execute(path: &CStr, argv: &[*const c_char], env: &[*const c_char]) -> i32 {
    match call!(libc::SYS_execve, path.as_ptr(), argv.as_ptr(), env.as_ptr()) {
        Ok(_) => 0,
        Err(errno) => errno,
    }
}

/// Sends a signal to the process of a pid descriptor.
pub(crate) fn signal_through(pidfd: RawFd, signal: i32) -> Sys<()> {
    let info: *const libc::siginfo_t = std::ptr::null();
    call!(libc::SYS_pidfd_send_signal, pidfd, signal, info, 0 as c_uint).map(drop)
}
