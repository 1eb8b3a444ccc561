//! Which installs are in use: whoever runs a job in one holds a shared lock on the install's folder.
//!
//! The lock is on the folder itself, which every user may open, so that an ordinary user's job counts in a base that
//! belongs to root, and in one on a read-only disk. The kernel frees it when its holder dies.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, major, minor, open};
use rustix::io::Errno;

/// A command line is shown up to this many characters.
const COMMAND_CHARS_MAX: usize = 80;

/// A lock on an install, held until it is dropped.
#[derive(Debug)]
pub struct Hold {
    /// The open folder carries the lock.
    _folder: OwnedFd,
}

/// A process that holds an install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    /// Its command line; empty where another user's may not be seen.
    pub command: String,
}

/// An install that could not be held.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    #[error("failed to open the runtime's folder `{}`", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("failed to lock the runtime's folder `{}`", path.display())]
    Lock { path: PathBuf, source: io::Error },
    #[error("the runtime in `{}` was removed in this moment", path.display())]
    Gone { path: PathBuf },
}

/// Keeps the runtime in the folder `dir` from being deleted, until the value is dropped or the process ends.
///
/// Waits while another process decides about the folder. What a job needs is to be looked up before, and is there
/// after: a folder that lost its name in the meantime is an error.
pub fn hold(dir: &Path) -> Result<Hold, HoldError> {
    let folder = lock(dir, FlockOperation::LockShared)?;
    let ours = fstat(&folder)
        .map_err(|errno| HoldError::Lock { path: dir.to_owned(), source: errno.into() })?;
    match fs::metadata(dir) {
        Ok(there) if (there.dev(), there.ino()) == (ours.st_dev, ours.st_ino) => {
            Ok(Hold { _folder: folder })
        }
        _ => Err(HoldError::Gone { path: dir.to_owned() }),
    }
}

/// Takes the folder `dir` for deletion, unless a job runs in it: then nothing is returned.
pub(crate) fn claim(dir: &Path) -> Result<Option<Hold>, HoldError> {
    match lock(dir, FlockOperation::NonBlockingLockExclusive) {
        Ok(folder) => Ok(Some(Hold { _folder: folder })),
        Err(HoldError::Lock { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Waits until no job runs in the folder `dir` any more, and takes it for deletion.
pub(crate) fn wait_and_claim(dir: &Path) -> Result<Hold, HoldError> {
    lock(dir, FlockOperation::LockExclusive).map(|folder| Hold { _folder: folder })
}

/// Returns the processes that hold the folder `dir`, as far as the kernel tells this user; sorted.
pub fn holders(dir: &Path) -> Vec<Holder> {
    let (Ok(metadata), Ok(locks)) = (fs::metadata(dir), fs::read_to_string("/proc/locks")) else {
        return Vec::new();
    };
    let mut pids: Vec<u32> =
        locks.lines().filter_map(|line| pid_of(line, metadata.dev(), metadata.ino())).collect();
    pids.sort_unstable();
    pids.dedup();
    pids.into_iter().map(|pid| Holder { pid, command: command(pid) }).collect()
}

fn lock(dir: &Path, operation: FlockOperation) -> Result<OwnedFd, HoldError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = open(dir, flags, Mode::empty())
        .map_err(|errno| HoldError::Open { path: dir.to_owned(), source: errno.into() })?;
    loop {
        match flock(&folder, operation) {
            // A filesystem without locks has nobody to keep apart: its files are of one machine and one user's care.
            Ok(()) | Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                return Ok(folder);
            }
            Err(Errno::INTR) => {}
            Err(errno) => {
                return Err(HoldError::Lock { path: dir.to_owned(), source: errno.into() });
            }
        }
    }
}

/// Reads a line of `/proc/locks` as proc(5) has it: `1: FLOCK  ADVISORY  READ 733 08:03:1234 0 EOF`.
fn pid_of(line: &str, device: u64, inode: u64) -> Option<u32> {
    let mut words = line.split_ascii_whitespace();
    // A line with an arrow waits for the lock of the line before.
    let kind = words.nth(1)?;
    let (pid, file) = (words.nth(2)?, words.next()?);
    let expected = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    (kind == "FLOCK" && file == expected).then(|| pid.parse().ok())?
}

fn command(pid: u32) -> String {
    // A process of another user, or one that has just ended, tells nothing.
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = bytes
        .split(|&byte| byte == 0)
        .filter(|word| !word.is_empty())
        .map(String::from_utf8_lossy)
        .collect();
    let whole = words.join(" ");
    if whole.chars().count() <= COMMAND_CHARS_MAX {
        return whole;
    }
    whole.chars().take(COMMAND_CHARS_MAX - 1).chain(['…']).collect()
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)?;
        if self.command.is_empty() { Ok(()) } else { write!(f, ": {}", self.command) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_not_claimed_and_its_holders_are_named() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("demo-1.0.0");
        fs::create_dir(&dir).unwrap();
        let (first, second) = (hold(&dir).unwrap(), hold(&dir).unwrap());
        assert!(claim(&dir).unwrap().is_none());
        let held_by = holders(&dir);
        assert_eq!(held_by.iter().map(|h| h.pid).collect::<Vec<_>>(), [std::process::id()]);
        drop((first, second));
        assert_eq!(holders(&dir), []);

        // Who waits for a claim that ends in a removal holds nothing.
        let claimed = claim(&dir).unwrap().unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| hold(&dir));
            fs::rename(&dir, base.path().join("moved")).unwrap();
            drop(claimed);
            assert!(waiter.join().unwrap().is_err());
        });
    }

    #[test]
    fn only_locks_that_are_held_count() {
        let held = "7: FLOCK  ADVISORY  READ 733 fe:00:1234 0 EOF";
        assert_eq!(pid_of(held, rustix::fs::makedev(0xfe, 0), 1234), Some(733));
        assert_eq!(pid_of(held, rustix::fs::makedev(0xfe, 0), 123), None);
        let waiting = "7: -> FLOCK  ADVISORY  WRITE 734 fe:00:1234 0 EOF";
        assert_eq!(pid_of(waiting, rustix::fs::makedev(0xfe, 0), 1234), None);
        assert_eq!(pid_of("7: POSIX  ADVISORY  READ 1 fe:00:1234 0 EOF", 0xfe00, 1234), None);
    }
}
