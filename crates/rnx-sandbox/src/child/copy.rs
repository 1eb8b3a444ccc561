//! Copies of the host's files, made by the child with the rights of the job.

use std::ffi::CStr;
use std::os::fd::RawFd;

use crate::script::CopyOp;
use crate::sys::{self, Sys};

const BUFFER_BYTES: usize = 16 * 1024;

/// Copies what is listed from the mount `from` into the folder `to`.
pub(super) fn all(from: RawFd, to: &CStr, entries: &[CopyOp]) -> Sys<()> {
    sys::chdir(to)?;
    for entry in entries {
        match entry {
            CopyOp::Dir { path } => sys::mkdir(path, 0o755)?,
            CopyOp::Symlink { path, target } => sys::symlink(target, path)?,
            CopyOp::File { path, mode } => {
                let read = sys::open_beneath(from, path)?;
                let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_NOFOLLOW;
                let write = sys::open(path, flags, *mode).inspect_err(|_| sys::close(read))?;
                let result = content(read, write);
                sys::close(read);
                sys::close(write);
                result?;
            }
        }
    }
    sys::chdir(c"/")
}

fn content(read: RawFd, write: RawFd) -> Sys<()> {
    let mut buffer = [0; BUFFER_BYTES];
    loop {
        let count = sys::read(read, &mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let written = sys::write(write, rest)?;
            rest = &rest[written..];
        }
    }
}
