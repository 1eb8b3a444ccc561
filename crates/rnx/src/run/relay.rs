//! Between the caller's terminal and the job's: keys one way, text the other.

use rnx_sandbox::terminal::{CallersTerminal, JobTerminal};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read, write};
use rustix::stdio::{stdin, stdout};

use super::RunError;

const BUFFER_BYTES: usize = 16 * 1024;

/// The two terminals, and keys that the job has not taken yet.
pub(super) struct Relay<'a> {
    caller: &'a CallersTerminal,
    job: JobTerminal,
    keys: Vec<u8>,
    /// The caller's terminal has hung up: there are no more keys, and nobody sees what is shown.
    hung_up: bool,
    /// Nobody holds the job's terminal any more.
    quiet: bool,
}

impl<'a> Relay<'a> {
    pub(super) fn new(caller: &'a CallersTerminal, job: JobTerminal) -> Self {
        Self { caller, job, keys: Vec::new(), hung_up: false, quiet: false }
    }

    /// What to wait for: keys only when the last ones are gone, so that a job that takes none does not fill our memory.
    pub(super) fn polled(&self) -> Vec<PollFd<'_>> {
        let mut job = PollFlags::empty();
        if !self.quiet {
            job |= PollFlags::IN;
        }
        if !self.keys.is_empty() {
            job |= PollFlags::OUT;
        }
        let mut fds = Vec::new();
        // A terminal that hung up would be ready without end.
        if !job.is_empty() {
            fds.push(PollFd::new(&self.job, job));
        }
        if !self.hung_up {
            fds.push(PollFd::from_borrowed_fd(stdin(), self.awaited()));
        }
        fds
    }

    /// What is awaited of the caller; that it hangs up is told in any case.
    fn awaited(&self) -> PollFlags {
        if self.keys.is_empty() { PollFlags::IN } else { PollFlags::empty() }
    }

    /// Whether the caller's terminal is gone.
    pub(super) fn has_hung_up(&self) -> bool {
        self.hung_up
    }

    /// Does what can be done without waiting.
    pub(super) fn pass_on(&mut self) -> Result<(), RunError> {
        self.send_keys()?;
        self.show(false)?;
        if !self.hung_up {
            self.hear()?;
            self.send_keys()?;
        }
        Ok(())
    }

    /// Shows what the job wrote last.
    pub(super) fn finish(&mut self) -> Result<(), RunError> {
        self.show(true)
    }

    pub(super) fn resize(&self) -> Result<(), RunError> {
        Ok(self.caller.resize(&self.job)?)
    }

    fn hear(&mut self) -> Result<(), RunError> {
        let mut fds = [PollFd::from_borrowed_fd(stdin(), self.awaited())];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut fds, Some(&now)) != Ok(1) {
            return Ok(());
        }
        if !fds[0].revents().contains(PollFlags::IN) {
            self.hung_up = true;
            return Ok(());
        }
        let mut buffer = vec![0; BUFFER_BYTES];
        match read(stdin(), &mut buffer) {
            Ok(0) | Err(Errno::IO) => self.hung_up = true,
            Ok(count) => self.keys.extend_from_slice(&buffer[..count]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(source) => return Err(RunError::Relay { source }),
        }
        Ok(())
    }

    fn send_keys(&mut self) -> Result<(), RunError> {
        while !self.keys.is_empty() {
            match write(&self.job, &self.keys) {
                Ok(count) => drop(self.keys.drain(..count)),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                // Nobody will read them.
                Err(Errno::IO) => self.keys.clear(),
                Err(source) => return Err(RunError::Relay { source }),
            }
        }
        Ok(())
    }

    /// Shows one buffer full, or `all` there is.
    fn show(&mut self, all: bool) -> Result<(), RunError> {
        let mut buffer = vec![0; BUFFER_BYTES];
        while !self.quiet {
            match read(&self.job, &mut buffer) {
                Ok(0) | Err(Errno::IO) => self.quiet = true,
                Ok(count) => write_all(&buffer[..count])?,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(source) => return Err(RunError::Relay { source }),
            }
            if !all {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// To the caller's standard output, which may not block if the caller left it so.
fn write_all(mut bytes: &[u8]) -> Result<(), RunError> {
    while !bytes.is_empty() {
        match write(stdout(), bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(stdout(), PollFlags::OUT)];
                poll(&mut fds, None).map_err(|source| RunError::Relay { source })?;
            }
            // The terminal is gone, which is found out where keys are awaited.
            Err(Errno::IO | Errno::PIPE) => return Ok(()),
            Err(source) => return Err(RunError::Relay { source }),
        }
    }
    Ok(())
}
