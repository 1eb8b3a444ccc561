//! What a sandboxed process will see, as plain data.

mod display;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::limits::Limits;

/// Everything about one sandboxed run, decided before anything is done.
///
/// Always new: the user, mount, pid, ipc, uts and cgroup namespaces, the session, private mount propagation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxPlan {
    pub identity: Identity,
    pub network: Network,
    pub limits: Limits,
    pub hostname: String,
    pub root: Root,
    /// Carried out in this order, inside the new root.
    pub steps: Vec<Step>,
    pub process: Process,
}

/// Which ids of the host stand behind the ids in the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The caller's effective uid and gid appear as these, and no other id exists. Needs no privilege.
    Single { uid: u32, gid: u32 },
    /// As [`Identity::Single`], with these ids of the host behind it instead of the caller's: a job of root must not be
    /// the host's root. Files shown by a bind that belong to the caller belong to the job (idmapped mounts, Linux 5.12).
    /// Needs root.
    Shifted { host_uid: u32, host_gid: u32, uid: u32, gid: u32 },
    /// These ranges, written by `newuidmap`/`newgidmap`, or directly if the caller may.
    Ranges { uids: Vec<IdRange>, gids: Vec<IdRange> },
}

/// `count` ids from `guest` inside are those from `host` outside (`user_namespaces(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    pub guest: u32,
    pub host: u32,
    pub count: u32,
}

/// The network a sandboxed process sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The host's own.
    Host,
    /// A new network namespace with loopback up and nothing else.
    None,
}

/// What `/` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// An empty tmpfs that the steps fill; it is made read-only after the last of them.
    Tmpfs,
    /// A folder of the host.
    Bind { host: PathBuf, access: Access },
    /// An overlay (`Documentation/filesystems/overlayfs.rst`); `lower` from the top down.
    Overlay { lower: Vec<PathBuf>, upper: PathBuf, work: PathBuf },
}

/// Whether the sandbox can write through a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everything mounted below is read-only too.
    ReadOnly,
    ReadWrite,
}

/// One change to the tree that becomes `/`. Guest paths are absolute; parents are made where the root is a tmpfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Shows a file or folder of the host with all that is mounted below it. Mounted `nosuid,nodev`.
    Bind {
        host: PathBuf,
        guest: PathBuf,
        access: Access,
    },
    Tmpfs {
        guest: PathBuf,
        size_bytes_max: u64,
        mode: u32,
    },
    /// Shows a device of the host. Mounted `nosuid,noexec`.
    Device {
        host: PathBuf,
        guest: PathBuf,
    },
    /// Copies what is listed from a folder of the host into the folder `guest`, which an earlier step made. No link on
    /// the way is followed.
    Copy {
        host: PathBuf,
        guest: PathBuf,
        entries: Vec<CopyEntry>,
    },
    /// A new `/proc` of the sandbox's pid namespace; with `masked`, host-wide files are hidden or read-only.
    Proc {
        guest: PathBuf,
        masked: bool,
    },
    /// A tmpfs (or a part of the root, if that is one) with null, zero, full, random, urandom, tty, pts, ptmx, shm, fd, stdin, stdout, stderr.
    Dev {
        guest: PathBuf,
    },
    Symlink {
        guest: PathBuf,
        target: PathBuf,
    },
    Dir {
        guest: PathBuf,
        mode: u32,
    },
    File {
        guest: PathBuf,
        content: Vec<u8>,
        mode: u32,
    },
    /// Shows these bytes, read-only, in place of an existing file that may lie in a read-only mount.
    Cover {
        guest: PathBuf,
        content: Vec<u8>,
    },
}

/// One thing that [`Step::Copy`] copies; its path is below both folders. A folder comes before what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyEntry {
    Dir { path: PathBuf },
    File { path: PathBuf, size_bytes: u64, executable: bool },
    Symlink { path: PathBuf, target: PathBuf },
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub OsString);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The process that is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Found through the sandbox's `PATH` if it has no `/`; never empty.
    pub argv: Vec<OsString>,
    /// The environment, in this order.
    pub env: Vec<(OsString, OsString)>,
    /// More of the environment, whose values a plan does not show.
    pub secrets: Vec<(OsString, Secret)>,
    pub cwd: PathBuf,
    pub uid: u32,
    pub gid: u32,
    pub privileges: Privileges,
}

/// What the process may ask the kernel for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privileges {
    /// No capabilities, `no_new_privs`, and a seccomp filter at least as strict as the container runtimes' default.
    Job,
    /// What `dpkg`, `dnf` and `pip` need as uid 0 of the user namespace: `CHOWN`, `DAC_OVERRIDE`, `FOWNER`, `FSETID`,
    /// `SETUID`, `SETGID`, `SETFCAP`, `SYS_CHROOT`, `KILL`, `MKNOD`, `AUDIT_WRITE`, `NET_BIND_SERVICE`; a filter too.
    Build,
    /// All capabilities inside the user namespace and no filter: for our own code that fills a rootfs.
    Provision,
}
