//! Signals of this process as something to read, so that they can be passed on to a sandboxed process.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::spawn::{SandboxError, own};
use crate::sys;

/// Holds signals back from this thread, to be read instead, until it is dropped.
///
/// Other threads still take signals that are sent to the process: catch before the first of them is started.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
    mask_before: u64,
}

impl Signals {
    /// Signals that the caller was told to ignore (as `nohup` does) stay ignored.
    pub fn catch(signals: &[i32]) -> Result<Self, SandboxError> {
        let fail = |errno| SandboxError::Descriptor {
            what: "signal descriptor",
            source: io::Error::from_raw_os_error(errno),
        };
        let caught = signals.iter().filter(|signal| !sys::is_ignored(**signal));
        let mask = caught.fold(0u64, |mask, signal| mask | 1 << (signal - 1));
        let fd = own(sys::signal_descriptor(mask).map_err(fail)?);
        let mask_before = sys::block_signals(mask).map_err(fail)?;
        Ok(Self { fd, mask_before })
    }

    /// Waits for the next signal.
    pub fn next(&self) -> Result<i32, SandboxError> {
        loop {
            match sys::next_signal(self.fd.as_raw_fd()) {
                Err(libc::EINTR) => {}
                Err(errno) => {
                    let source = io::Error::from_raw_os_error(errno);
                    return Err(SandboxError::Descriptor { what: "signal descriptor", source });
                }
                Ok(signal) => return Ok(signal),
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _unchanged = sys::set_signal_mask(self.mask_before);
    }
}
