//! Programs as uid 0 of a user namespace of their own, where the ids of a base's files exist.

use std::path::Path;

use crate::rootfs::identity::BuildIdentity;
use crate::tool::{self, Invocation, ToolError};

/// Where the staging folder is seen inside.
pub(crate) const STAGING: &str = "/mnt/base";

/// One program to run inside.
#[derive(Debug)]
pub(crate) struct Inside<'a> {
    pub(crate) identity: &'a BuildIdentity,
    /// The one folder of the host that can be written.
    pub(crate) staging: &'a Path,
    /// Our own program, if that is what runs.
    pub(crate) helper: Option<&'a Path>,
    pub(crate) invocation: Invocation,
}

/// A program inside could not be run, or failed.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    #[error(transparent)]
    Tool(#[from] ToolError),
}

impl NamespaceError {
    /// Returns what to do about it.
    pub(crate) fn fix(&self) -> Option<String> {
        match self {
            Self::Tool(error) => error.fix(),
        }
    }
}

/// Runs a program inside and hands on each line of its standard error.
pub(crate) fn run(inside: &Inside, on_line: &mut dyn FnMut(&str)) -> Result<(), NamespaceError> {
    let user: &[&str] = match inside.identity {
        BuildIdentity::Root { .. } => &[],
        BuildIdentity::Ranges { .. } => &["--map-root-user", "--map-auto"],
        BuildIdentity::Single { .. } => &["--map-root-user"],
    };
    let script = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/tmp /mnt/base && mount --bind \"$1\" /mnt/base \
                  && shift && cd / && exec \"$@\"";
    let mut outer = Invocation::new("unshare")
        .args(user.iter().copied())
        .args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .arg(inside.staging)
        .arg(inside.helper.map_or(inside.invocation.program.clone(), Into::into))
        .args(inside.invocation.args.iter().cloned())
        .env("TMPDIR", "/mnt/tmp");
    outer.env.extend(inside.invocation.env.iter().cloned());
    tool::stream(&outer, on_line)?;
    Ok(())
}
