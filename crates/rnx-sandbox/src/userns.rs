//! Writes the id maps of a child's user namespace, where the child may not do it itself.

use std::fs::File;
use std::io;
use std::process::Command;

use crate::plan::{IdRange, Identity};
use crate::spawn::SandboxError;

/// Maps the ids of the process `pid`, which waits for it.
pub(crate) fn map_ids(pid: i32, identity: &Identity) -> Result<(), SandboxError> {
    match identity {
        Identity::Single { .. } => Ok(()),
        Identity::Shifted { host_uid, host_gid, .. } => {
            write_map(pid, "uid_map", &[IdRange { guest: 0, host: *host_uid, count: 1 }])?;
            write_map(pid, "gid_map", &[IdRange { guest: 0, host: *host_gid, count: 1 }])
        }
        Identity::Ranges { uids, gids } if rustix::process::geteuid().is_root() => {
            write_map(pid, "uid_map", uids)?;
            write_map(pid, "gid_map", gids)
        }
        Identity::Ranges { uids, gids } => {
            run_helper("newuidmap", pid, uids)?;
            run_helper("newgidmap", pid, gids)
        }
    }
}

/// The child's user namespace, as an idmapped mount wants it.
pub(crate) fn namespace_of(pid: i32) -> io::Result<File> {
    File::open(format!("/proc/{pid}/ns/user"))
}

fn write_map(pid: i32, file: &'static str, ranges: &[IdRange]) -> Result<(), SandboxError> {
    let lines: String = ranges
        .iter()
        .map(|range| format!("{} {} {}\n", range.guest, range.host, range.count))
        .collect();
    #[expect(clippy::disallowed_methods, reason = "the error names the map")]
    std::fs::write(format!("/proc/{pid}/{file}"), lines)
        .map_err(|source| SandboxError::WriteMap { file, source })
}

fn run_helper(tool: &'static str, pid: i32, ranges: &[IdRange]) -> Result<(), SandboxError> {
    let mut command = Command::new(tool);
    command.arg(pid.to_string());
    for range in ranges {
        command.args([range.guest, range.host, range.count].map(|number| number.to_string()));
    }
    let output = command.output().map_err(|source| SandboxError::RunHelper { tool, source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(SandboxError::Helper { tool, said })
}
