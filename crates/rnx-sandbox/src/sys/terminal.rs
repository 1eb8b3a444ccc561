//! Terminals, and passing a descriptor from the sandbox to its parent (`ioctl_tty(2)`, `unix(7)`).
#![expect(unsafe_code, reason = "as in the module above")]

use std::ffi::CStr;
use std::os::fd::RawFd;

use libc::c_int;

use super::{Sys, check, close, descriptor, open};

/// The kernel's `struct termios` has less on every architecture.
pub(crate) type TerminalState = [u8; 64];

/// Rows, columns, and two numbers that nobody uses.
pub(crate) type TerminalSize = [u16; 4];

const TCGETS: u64 = 0x5401;
const TCSETS: u64 = 0x5402;
const TIOCSCTTY: u64 = 0x540e;
const TIOCGWINSZ: u64 = 0x5413;
const TIOCSWINSZ: u64 = 0x5414;
const TIOCSPTLCK: u64 = 0x4004_5431;
const TIOCGPTPEER: u64 = 0x5441;

fn ioctl<T>(fd: RawFd, request: u64, argument: *mut T) -> Sys<i64> {
    call!(libc::SYS_ioctl, fd, request, argument)
}

/// Whether it is one, and how it is set.
pub(crate) fn terminal_state(fd: RawFd) -> Sys<TerminalState> {
    let mut state = [0; 64];
    ioctl(fd, TCGETS, &raw mut state).map(|_| state)
}

pub(crate) fn set_terminal_state(fd: RawFd, state: &TerminalState) -> Sys<()> {
    ioctl(fd, TCSETS, std::ptr::from_ref(state).cast_mut()).map(drop)
}

pub(crate) fn terminal_size(fd: RawFd) -> Sys<TerminalSize> {
    let mut size = [0; 4];
    ioctl(fd, TIOCGWINSZ, &raw mut size).map(|_| size)
}

pub(crate) fn set_terminal_size(fd: RawFd, size: TerminalSize) -> Sys<()> {
    ioctl(fd, TIOCSWINSZ, std::ptr::from_ref(&size).cast_mut()).map(drop)
}

/// A new pair of the devpts at `multiplexer`: the outer and the inner end.
pub(crate) fn new_terminal(multiplexer: &CStr, size: TerminalSize) -> Sys<[RawFd; 2]> {
    let outer = open(multiplexer, libc::O_RDWR | libc::O_NOCTTY, 0)?;
    let mut locked: c_int = 0;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    let inner = ioctl(outer, TIOCSPTLCK, &raw mut locked)
        .and_then(|_| set_terminal_size(outer, size))
        .and_then(|()| call!(libc::SYS_ioctl, outer, TIOCGPTPEER, flags));
    match inner {
        Ok(inner) => Ok([outer, descriptor(inner)]),
        Err(errno) => {
            close(outer);
            Err(errno)
        }
    }
}

/// Makes the terminal that of this process's session, which it leads.
pub(crate) fn control_terminal(fd: RawFd) -> Sys<()> {
    call!(libc::SYS_ioctl, fd, TIOCSCTTY, 0).map(drop)
}

/// One control message with one descriptor, as the kernel lays it out.
#[repr(C)]
struct OneDescriptor {
    header: libc::cmsghdr,
    fd: RawFd,
}

fn with_message<T>(fd: RawFd, act: impl FnOnce(&mut libc::msghdr) -> Sys<T>) -> Sys<(T, RawFd)> {
    let mut byte = [0u8; 1];
    let mut content = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let header = libc::cmsghdr {
        cmsg_len: std::mem::offset_of!(OneDescriptor, fd) + size_of::<RawFd>(),
        cmsg_level: libc::SOL_SOCKET,
        cmsg_type: libc::SCM_RIGHTS,
    };
    let mut control = OneDescriptor { header, fd };
    // SAFETY: all zeroes is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut content;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<OneDescriptor>();
    let result = act(&mut message)?;
    Ok((result, control.fd))
}

pub(crate) fn send_descriptor(socket: RawFd, fd: RawFd) -> Sys<()> {
    with_message(fd, |message| {
        call!(libc::SYS_sendmsg, socket, std::ptr::from_mut(message), libc::MSG_NOSIGNAL)
    })
    .map(drop)
}

pub(crate) fn receive_descriptor(socket: RawFd) -> Sys<RawFd> {
    let flags = libc::MSG_CMSG_CLOEXEC;
    let (count, fd) = with_message(-1, |message| {
        call!(libc::SYS_recvmsg, socket, std::ptr::from_mut(message), flags)
    })?;
    if count == 1 && fd >= 0 { Ok(fd) } else { Err(libc::EPIPE) }
}
