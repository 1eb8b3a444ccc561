//! Programs as uid 0 of a user namespace of their own, where the ids of a base's files exist.
//!
//! They see the host's system folders read-only and can write to the staging folder alone; whatever
//! they start ends with them, and they end with us.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use rnx_sandbox::limits::Limits;
use rnx_sandbox::plan::{Access, Network, Privileges, Process, Root, SandboxPlan, Step};
use rnx_sandbox::spawn::{self, Exit, SandboxError, Stdio, Stream};

use crate::host::CA_VARIABLES;
use crate::rootfs::identity::BuildIdentity;
use crate::tool::{self, Invocation};

/// Where the staging folder is seen inside.
pub(crate) const STAGING: &str = "/mnt/base";
/// Where our own program is seen inside.
const HELPER: &str = "/mnt/xtask";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";
const TMP_BYTES_MAX: u64 = 2 << 30;

/// What a program of the host needs of it: itself, its libraries and settings, and name resolution.
const SYSTEM: [&str; 11] = [
    "/usr",
    "/etc",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/run/systemd/resolve",
    "/run/resolvconf",
];

/// One program to run inside.
#[derive(Debug)]
pub(crate) struct Inside<'a> {
    pub(crate) identity: &'a BuildIdentity,
    /// The one folder of the host that can be written.
    pub(crate) staging: &'a Path,
    /// Our own program, if that is what runs.
    pub(crate) helper: Option<&'a Path>,
    pub(crate) network: Network,
    pub(crate) invocation: Invocation,
}

/// A program inside could not be run, or failed.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    #[error("failed to look at `{}` of the host", path.display())]
    Host { path: PathBuf, source: io::Error },
    #[error("failed to make a pipe for `{command}`")]
    Pipe { command: String, source: io::Error },
    #[error("`{program}` is not installed")]
    NotFound { program: String },
    #[error("failed to run `{command}` in a user namespace")]
    Sandbox { command: String, source: SandboxError },
    #[error("failed to read what `{command}` says")]
    Read { command: String, source: io::Error },
    #[error("`{command}` ended with {}{}", ended(*exit), tool::quoted(stderr))]
    Failed { command: String, exit: Exit, stderr: String },
}

impl NamespaceError {
    /// Returns what to do about it.
    pub(crate) fn fix(&self) -> Option<String> {
        match self {
            Self::NotFound { program } => Some(tool::install_hint(program)),
            Self::Sandbox { source: SandboxError::Namespaces { .. }, .. } => {
                Some("`cargo xtask doctor` says what this host lacks".to_owned())
            }
            _ => None,
        }
    }
}

/// Runs a program inside and hands on each line of its standard error.
pub(crate) fn run(inside: &Inside, on_line: &mut dyn FnMut(&str)) -> Result<(), NamespaceError> {
    let command = || inside.invocation.to_string();
    let plan = plan(inside, &system_steps()?);
    let (reader, writer) =
        io::pipe().map_err(|source| NamespaceError::Pipe { command: command(), source })?;
    let stdio =
        Stdio { stdin: Stream::Null, stdout: Stream::Null, stderr: Stream::Fd(writer.into()) };
    let failed = |source| match source {
        SandboxError::NotFound { program } => NamespaceError::NotFound { program },
        source => NamespaceError::Sandbox { command: command(), source },
    };
    let mut child = spawn::spawn(&plan, stdio).map_err(failed)?;
    let mut stderr = Vec::new();
    tool::relay_lines(reader, &mut stderr, on_line)
        .map_err(|source| NamespaceError::Read { command: command(), source })?;
    match child.wait().map_err(failed)? {
        Exit::Code(0) => Ok(()),
        exit => {
            Err(NamespaceError::Failed { command: command(), exit, stderr: tool::tail(&stderr) })
        }
    }
}

/// Decides what the program sees.
fn plan(inside: &Inside, system: &[Step]) -> SandboxPlan {
    let bind = |host: &Path, guest: &str, access| Step::Bind {
        host: host.to_owned(),
        guest: guest.into(),
        access,
    };
    let tmp = PathBuf::from("/tmp");
    let mut steps = system.to_vec();
    steps.extend(settings_elsewhere(&inside.invocation.env));
    steps.extend([
        Step::Tmpfs { guest: tmp, size_bytes_max: TMP_BYTES_MAX, mode: 0o1777 },
        // Unmasked: `mmdebstrap` mounts another one in the tree that it makes, which the kernel
        // allows only to those who see all of theirs.
        Step::Proc { guest: "/proc".into(), masked: false },
        Step::Dev { guest: "/dev".into() },
        bind(inside.staging, STAGING, Access::ReadWrite),
    ]);
    // Where there are emulators, `mmdebstrap` looks at how they are registered.
    if Path::new(BINFMT).join("status").exists() {
        steps.push(bind(BINFMT.as_ref(), BINFMT, Access::ReadOnly));
    }
    let mut argv = vec![inside.invocation.program.clone()];
    if let Some(helper) = inside.helper {
        steps.push(bind(helper, HELPER, Access::ReadOnly));
        argv = vec![HELPER.into()];
    }
    argv.extend(inside.invocation.args.iter().cloned());
    let own = [("PATH", PATH), ("HOME", "/tmp"), ("TMPDIR", "/tmp"), ("LC_ALL", "C.UTF-8")]
        .map(|(key, value)| (key.into(), value.into()));
    SandboxPlan {
        identity: inside.identity.to_sandbox(),
        network: inside.network,
        limits: Limits::default(),
        hostname: "joblet".to_owned(),
        root: Root::Tmpfs,
        steps,
        process: Process {
            argv,
            env: own.into_iter().chain(inside.invocation.env.iter().cloned()).collect(),
            secrets: Vec::new(),
            cwd: "/".into(),
            uid: 0,
            gid: 0,
            privileges: Privileges::Provision,
        },
    }
}

/// Shows the host's system folders as they are: folders read-only, links as links.
pub(crate) fn system_steps() -> Result<Vec<Step>, NamespaceError> {
    let mut steps = Vec::new();
    for name in SYSTEM {
        let path = PathBuf::from(name);
        let fail = |source| NamespaceError::Host { path: path.clone(), source };
        let meta = match fs_err::symlink_metadata(&path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(fail(error)),
        };
        steps.push(if meta.is_symlink() {
            let target = fs_err::read_link(&path).map_err(fail)?;
            Step::Symlink { guest: path.clone(), target }
        } else {
            Step::Bind { host: path.clone(), guest: path.clone(), access: Access::ReadOnly }
        });
    }
    Ok(steps)
}

/// Shows the CA files that the caller's settings name outside the system folders.
fn settings_elsewhere(env: &[(OsString, OsString)]) -> impl Iterator<Item = Step> {
    let elsewhere = |path: &PathBuf| {
        path.is_absolute() && !SYSTEM.iter().any(|folder| path.starts_with(folder)) && path.exists()
    };
    let mut paths: Vec<_> = env
        .iter()
        .filter(|(key, _)| CA_VARIABLES.iter().any(|name| OsStr::new(name) == key))
        .map(|(_, value)| PathBuf::from(value))
        .filter(elsewhere)
        .collect();
    paths.sort();
    paths.dedup();
    paths.into_iter().map(|path| Step::Bind {
        host: path.clone(),
        guest: path,
        access: Access::ReadOnly,
    })
}

fn ended(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit status {code}"),
        Exit::Signal(signal) => format!("signal {signal}"),
    }
}
