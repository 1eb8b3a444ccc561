//! Hosts that cannot: a full disk, one that is read-only, a base folder of another user.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use test_support::server::FileServer;

use crate::rnx::{self, Rnx};

/// Returns the program in namespaces of its own, after `script` has prepared its mounts; nothing where this host has
/// none for its users.
fn in_namespace(rnx: &Rnx, registry: &str, script: &str) -> Option<Command> {
    installing(rnx, registry, script, &["demo@1.10.0"])
}

/// The same for other runtimes.
fn installing(rnx: &Rnx, registry: &str, script: &str, runtimes: &[&str]) -> Option<Command> {
    let unshare = |command: &mut Command| {
        command.args(["--user", "--map-root-user", "--mount"]);
    };
    let mut probe = Command::new("unshare");
    unshare(&mut probe);
    if !probe.arg("true").output().is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "CI needs user namespaces");
        eprintln!("skipped: no user namespaces");
        return None;
    }
    let inner = rnx.command_at(registry, &[&["runtime", "install"], runtimes].concat());
    let mut command = Command::new("unshare");
    unshare(&mut command);
    command.args(["sh", "-euc", &format!("{script}\nexec \"$@\""), "sh"]);
    command.arg(inner.get_program()).args(inner.get_args()).current_dir(rnx.home.path());
    command.env_clear().envs(inner.get_envs().filter_map(|(key, value)| Some((key, value?))));
    Some(command)
}

#[test]
fn too_little_space_is_told_before_the_first_byte() {
    let rnx = Rnx::new();
    let server = FileServer::start(rnx.registry.path());
    fs::create_dir_all(&rnx.base).unwrap();
    let script = r#"mount -t tmpfs -o size=400k tmpfs "$RNX_BASE""#;
    let Some(mut command) = in_namespace(&rnx, &server.url(""), script) else { return };
    let shown = rnx.shown(&command.output().unwrap());
    assert!(shown.starts_with("error: `BASE` has too little space: "), "{shown}");
    assert!(shown.contains("hint: make room, or install elsewhere with `--base DIR`"), "{shown}");
    assert!(shown.ends_with("status 5"), "{shown}");
    assert_eq!(server.requests_for("demo-1.10.0-ubuntu-amd64.tar.gz"), 0);
}

/// Each takes half a mebibyte, and as much again for its archive.
#[test]
fn runtimes_that_do_not_fit_beside_one_another_are_installed_in_turn() {
    let mut rnx = Rnx::new();
    rnx.registry.publish("other@1.0.1", &["ubuntu-amd64"]);
    fs::create_dir_all(&rnx.base).unwrap();
    let archives = ["demo-1.10.0-ubuntu-amd64.tar.gz", "other-1.0.1-ubuntu-amd64.tar.gz"];
    let runtimes = ["demo@1.10.0", "other@1.0.1"];
    let run = |size: &str| {
        let server = FileServer::start(rnx.registry.path());
        let mount = format!(r#"mount -t tmpfs -o size={size} tmpfs "$RNX_BASE""#);
        let mut command = installing(&rnx, &server.url(""), &mount, &runtimes)?;
        let shown = rnx.shown(&command.output().unwrap());
        Some((shown, archives.map(|archive| server.requests_for(archive))))
    };
    let Some((shown, asked)) = run("1900k") else { return };
    assert!(shown.ends_with("status 0"), "{shown}");
    assert_eq!(asked, [1, 1]);
    // The second of two fits only until the first is there: it is told before its first byte.
    let (shown, mut asked) = run("1400k").unwrap();
    assert!(shown.contains("\nerror: `BASE` has too little space: "), "{shown}");
    assert!(shown.contains("Installed ") && shown.ends_with("status 5"), "{shown}");
    asked.sort_unstable();
    assert_eq!(asked, [0, 1], "{shown}");
}

#[test]
fn a_read_only_disk_is_told_and_what_is_installed_works() {
    let rnx = Rnx::new();
    rnx.run(&["runtime", "install", "demo@1.9.0"]);
    let whole = rnx.layout();
    let registry = rnx.registry.path().to_str().unwrap().to_owned();
    let script = r#"mount --bind "$RNX_BASE" "$RNX_BASE"; mount -o remount,bind,ro "$RNX_BASE""#;
    let Some(mut command) = in_namespace(&rnx, &registry, script) else { return };
    let shown = rnx.shown(&command.output().unwrap());
    assert!(shown.contains("cause: Read-only file system"), "{shown}");
    assert!(
        shown.contains("hint: the disk is read-only: use another with `--base DIR`"),
        "{shown}"
    );
    assert!(shown.ends_with("status 5"), "{shown}");
    assert_eq!(rnx.layout(), whole);
    assert!(rnx.run(&["runtime", "verify"]).ends_with("status 0"));
}

#[test]
fn a_base_of_another_user_is_told() {
    let rnx = Rnx::new();
    // Root's own, whoever runs this: as root, another user is asked to install there.
    let base = Path::new("/usr/share");
    let mut command = rnx.command(&["runtime", "install", "demo@1.10.0"]);
    if is_root() {
        fs::set_permissions(rnx.home.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let program = rnx.home.path().join("rnx");
        // By another process: children of other tests would inherit a descriptor that writes to it, and it would be busy.
        let copied = Command::new("cp").arg(rnx::program()).arg(&program).status();
        assert!(copied.unwrap().success());
        let inner = command;
        command = Command::new("setpriv");
        command.args(["--reuid=61001", "--regid=61001", "--clear-groups"]).arg(program);
        command.args(inner.get_args()).current_dir(rnx.home.path()).env_clear();
        command.envs(inner.get_envs().filter_map(|(key, value)| Some((key, value?))));
    }
    let output = command.env("RNX_BASE", base).output().unwrap();
    let shown = rnx.shown(&output);
    assert!(shown.starts_with("error: failed to make the folder `/usr/share/.store`"), "{shown}");
    assert!(shown.contains("Permission denied (os error 13)"), "{shown}");
    assert!(
        shown.contains("hint: if that is a folder of installs, it belongs to another user"),
        "{shown}"
    );
    assert!(shown.ends_with("status 5"), "{shown}");
}

/// Whether this test runs as root, by who owns what it makes.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    tempfile::tempfile().unwrap().metadata().unwrap().uid() == 0
}
