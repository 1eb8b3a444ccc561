//! Sandboxes that are made to see whether they can be: all is set up in a child, and then no command is found in it.

use std::path::Path;

use rnx_sandbox::limits::Limits;
use rnx_sandbox::plan::{Access, Identity, Network, Privileges, Process, Root, SandboxPlan, Step};
use rnx_sandbox::spawn::{SandboxError, Stdio, spawn};

use super::Caller;
use crate::job::{JOB_ID, SHIFTED_ID};

/// Tries what a job needs: all namespaces, mounts and the filter; as root also the shift of a folder's files.
pub(super) fn job(caller: &Caller<'_>) -> Result<(), SandboxError> {
    let identity = if caller.is_root {
        let (host, id) = (SHIFTED_ID, JOB_ID);
        Identity::Shifted { host_uid: host, host_gid: host, uid: id, gid: id }
    } else {
        Identity::Single { uid: JOB_ID, gid: JOB_ID }
    };
    let steps = vec![
        Step::Dev { guest: "/dev".into() },
        Step::Proc { guest: "/proc".into(), masked: true },
        Step::Bind {
            host: caller.scratch.to_owned(),
            guest: "/work".into(),
            access: Access::ReadWrite,
        },
    ];
    attempt(identity, Root::Tmpfs, steps)
}

/// Tries an overlay in the scratch folder, as builds mount it.
pub(super) fn overlay(caller: &Caller<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let scratch = tempfile::tempdir_in(caller.scratch)?;
    let folder = |name: &str| -> std::io::Result<_> {
        let path = scratch.path().join(name);
        fs_err::create_dir(&path)?;
        Ok(path)
    };
    let root = Root::Overlay {
        lower: vec![folder("lower")?],
        upper: folder("upper")?,
        work: folder("work")?,
    };
    Ok(attempt(Identity::Single { uid: 0, gid: 0 }, root, Vec::new())?)
}

fn attempt(identity: Identity, root: Root, steps: Vec<Step>) -> Result<(), SandboxError> {
    let (uid, gid) = match identity {
        Identity::Single { uid, gid } | Identity::Shifted { uid, gid, .. } => (uid, gid),
        Identity::Ranges { .. } => (0, 0),
    };
    let plan = SandboxPlan {
        identity,
        network: Network::None,
        limits: Limits::default(),
        hostname: "probe".to_owned(),
        root,
        steps,
        process: Process {
            argv: vec!["/no-such-command".into()],
            env: Vec::new(),
            secrets: Vec::new(),
            cwd: Path::new("/").to_owned(),
            uid,
            gid,
            privileges: Privileges::Job,
        },
    };
    match spawn(&plan, Stdio::null()) {
        Ok(_) | Err(SandboxError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
