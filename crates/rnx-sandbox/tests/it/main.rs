//! The sandbox against the real kernel.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod attacks;
mod support;

mod build;
mod copy;
mod life;
mod limits;
mod sockets;
mod terminal;

use std::os::unix::process::CommandExt;
use std::process::Command;

/// An ordinary user, who need not be in any file.
const ORDINARY: u32 = 61_002;

/// What root's sandboxes hold, those of ordinary users must hold too. Their builds need ranges of ids, which only a user
/// with an entry in `/etc/subuid` has.
#[test]
fn all_of_this_holds_for_an_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("it");
    // By another process: sandboxes of other tests would inherit a descriptor that writes to it, and it would be busy.
    let own = std::env::current_exe().unwrap();
    assert!(Command::new("cp").arg(own).arg(&program).status().unwrap().success());
    std::os::unix::fs::chown(folder.path(), Some(ORDINARY), Some(ORDINARY)).unwrap();
    let mut command = Command::new(program);
    command.args(["--skip", "all_of_this", "--skip", "build::"]).current_dir(folder.path());
    command.env("TMPDIR", folder.path()).env("INSTA_UPDATE", "no").uid(ORDINARY).gid(ORDINARY);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("test attacks::a_job_is_denied_every_attack ... ok"), "{text}");
}
