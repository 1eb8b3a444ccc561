//! The caller's terminal and the one that a job gets.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::spawn::SandboxError;
use crate::sys::{self, TerminalState};

/// The terminal on standard input, and how it was set when this was made. Dropping it sets it back.
#[derive(Debug)]
pub struct CallersTerminal {
    fd: RawFd,
    state: TerminalState,
}

/// The outer end of a job's terminal; what is read is what the job wrote. Reading and writing do not block.
#[derive(Debug)]
pub struct JobTerminal(OwnedFd);

impl CallersTerminal {
    /// Returns it, or nothing if standard input is no terminal.
    pub fn on_stdin() -> Option<Self> {
        let fd = stdin().as_raw_fd();
        sys::terminal_state(fd).ok().map(|state| Self { fd, state })
    }

    /// Passes on every key as it is typed.
    pub fn make_raw(&self) -> Result<(), SandboxError> {
        let mut settings = tcgetattr(stdin()).map_err(|errno| failed(errno.into()))?;
        settings.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &settings).map_err(|errno| failed(errno.into()))
    }

    /// Gives a job's terminal the size of this one.
    pub fn resize(&self, job: &JobTerminal) -> Result<(), SandboxError> {
        let size = self.size()?;
        sys::set_terminal_size(job.0.as_raw_fd(), size).map_err(raw)
    }

    pub(crate) fn size(&self) -> Result<sys::TerminalSize, SandboxError> {
        sys::terminal_size(self.fd).map_err(raw)
    }

    pub(crate) fn kept(&self) -> (RawFd, TerminalState) {
        (self.fd, self.state)
    }
}

impl Drop for CallersTerminal {
    fn drop(&mut self) {
        // A terminal that has hung up has no settings to put back.
        let _gone = sys::set_terminal_state(self.fd, &self.state);
    }
}

impl JobTerminal {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        if let Ok(flags) = fcntl_getfl(&fd) {
            // The kernel refuses only a descriptor that is not open.
            let _set = fcntl_setfl(&fd, flags | OFlags::NONBLOCK);
        }
        Self(fd)
    }
}

impl AsFd for JobTerminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn raw(errno: i32) -> SandboxError {
    failed(io::Error::from_raw_os_error(errno))
}

fn failed(source: io::Error) -> SandboxError {
    SandboxError::Descriptor { what: "terminal", source }
}
