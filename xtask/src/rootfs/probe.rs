//! Tries what making a base and building on it asks of the kernel.

use std::io;
use std::path::{Path, PathBuf};

use rnx_sandbox::limits::Limits;
use rnx_sandbox::plan::{Network, Privileges, Process, Root, SandboxPlan};
use rnx_sandbox::spawn::{self, Exit, SandboxError, Stdio};
use tempfile::TempDir;

use crate::rootfs::identity::BuildIdentity;
use crate::rootfs::namespace::{self, NamespaceError};

/// What this host cannot do.
#[derive(Debug, thiserror::Error)]
pub enum Probe {
    #[error("failed to make a folder in `{}`", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("no user namespace can be used")]
    Namespace(#[source] NamespaceError),
    #[error("no overlay can be mounted in a user namespace")]
    Overlay(#[source] SandboxError),
}

/// Runs `true` in a sandbox without an overlay, then in one with it, below `cache_dir`.
pub fn probe(identity: &BuildIdentity, cache_dir: &Path) -> Result<(), Probe> {
    let folder = |source| Probe::Folder { path: cache_dir.to_owned(), source };
    fs_err::create_dir_all(cache_dir).map_err(folder)?;
    let scratch = TempDir::with_prefix_in(".doctor-", cache_dir).map_err(folder)?;
    let steps = namespace::system_steps().map_err(Probe::Namespace)?;
    let plan = |root| SandboxPlan {
        identity: identity.to_sandbox(),
        network: Network::None,
        limits: Limits::default(),
        hostname: "joblet".to_owned(),
        root,
        steps: steps.clone(),
        process: Process {
            argv: vec!["/usr/bin/true".into()],
            env: Vec::new(),
            secrets: Vec::new(),
            cwd: "/".into(),
            uid: 0,
            gid: 0,
            privileges: Privileges::Build,
        },
    };
    run(&plan(Root::Tmpfs)).map_err(|source| {
        Probe::Namespace(NamespaceError::Sandbox { command: "true".to_owned(), source })
    })?;
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| scratch.path().join(name));
    for path in [&lower, &upper, &work] {
        fs_err::create_dir(path).map_err(folder)?;
    }
    // The overlay shows these folders, for the steps to be mounted on.
    for step in &steps {
        if let rnx_sandbox::plan::Step::Bind { guest, .. } = step {
            let inside = guest.strip_prefix("/").unwrap_or(guest);
            fs_err::create_dir_all(lower.join(inside)).map_err(folder)?;
        }
    }
    let overlay = Root::Overlay { lower: vec![lower], upper, work: work.clone() };
    let tried = run(&plan(overlay)).map_err(Probe::Overlay);
    // The kernel leaves `work/work` without permissions, which an ordinary user gives back.
    open_up(&work.join("work"));
    tried
}

fn run(plan: &SandboxPlan) -> Result<(), SandboxError> {
    let mut child = spawn::spawn(plan, Stdio::null())?;
    match child.wait()? {
        Exit::Code(0) => Ok(()),
        exit => Err(SandboxError::Process {
            what: "finish",
            source: io::Error::other(format!("{exit:?}")),
        }),
    }
}

fn open_up(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    // It is only in the way of deleting: what is left is empty, and the next run's folder another.
    drop(fs_err::set_permissions(path, PermissionsExt::from_mode(0o700)));
}
