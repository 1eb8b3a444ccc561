//! What a build needs: several ids, an overlay as root, and to be root in it.

use std::path::{Path, PathBuf};

use rnx_sandbox::plan::{IdRange, Identity, Privileges, Root, SandboxPlan, Step};
use rnx_sandbox::spawn::Exit;

use crate::support::{job, lacks_busybox, output};

/// The ids of a build: the host's own as root, otherwise the caller and the range that `/etc/subuid` gives.
fn build_identity() -> Option<Identity> {
    if rustix::process::geteuid().is_root() {
        let all = vec![IdRange { guest: 0, host: 0, count: 65536 }];
        return Some(Identity::Ranges { uids: all.clone(), gids: all });
    }
    let name = own_name()?;
    let first = |path: &str| -> Option<u32> {
        let text = fs_err::read_to_string(path).ok()?;
        let own = text.lines().find_map(|line| line.strip_prefix(&name)?.strip_prefix(':'));
        own?.split(':').next()?.parse().ok()
    };
    let ranges = |own: u32, from: u32| {
        vec![
            IdRange { guest: 0, host: own, count: 1 },
            IdRange { guest: 1, host: from, count: 65535 },
        ]
    };
    Some(Identity::Ranges {
        uids: ranges(rustix::process::geteuid().as_raw(), first("/etc/subuid")?),
        gids: ranges(rustix::process::getegid().as_raw(), first("/etc/subgid")?),
    })
}

fn own_name() -> Option<String> {
    let own = rustix::process::geteuid().as_raw().to_string();
    let users = fs_err::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.split(':').nth(2) == Some(&own))?;
    line.split(':').next().map(str::to_owned)
}

fn build(scratch: &Path, script: &str) -> Option<SandboxPlan> {
    let Some(identity) = build_identity() else {
        assert!(std::env::var_os("CI").is_none(), "CI needs a range in /etc/subuid");
        eprintln!("skipped: no range in /etc/subuid");
        return None;
    };
    let mut plan = job(script);
    plan.identity = identity;
    plan.steps.retain(|step| !matches!(step, Step::Symlink { .. } | Step::Bind { .. }));
    for folder in ["lower:1/bin", "lower:1/tmp", "upper", "work"] {
        fs_err::create_dir_all(scratch.join(folder)).unwrap();
    }
    let lower = scratch.join("lower:1");
    fs_err::copy("/bin/busybox", lower.join("bin/busybox")).unwrap();
    fs_err::os::unix::fs::symlink("busybox", lower.join("bin/sh")).unwrap();
    plan.root = Root::Overlay {
        lower: vec![lower],
        upper: scratch.join("upper"),
        work: scratch.join("work"),
    };
    plan.process.cwd = PathBuf::from("/");
    plan.process.uid = 0;
    plan.process.gid = 0;
    plan.process.privileges = Privileges::Build;
    Some(plan)
}

#[test]
fn a_build_owns_its_tree_and_leaves_the_lower_layer_alone() {
    if lacks_busybox() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let script = "busybox id -u; busybox rm /bin/sh; busybox mkdir /new; busybox chown 33:33 /new; busybox stat -c %u:%g /new";
    let Some(plan) = build(scratch.path(), script) else { return };
    let (text, exit) = output(&plan).unwrap();
    assert_eq!(text, "0\n33:33\n");
    assert_eq!(exit, Exit::Code(0));
    assert!(scratch.path().join("lower:1/bin/sh").is_symlink());
    assert!(scratch.path().join("upper/new").is_dir());
}

#[test]
fn a_build_may_change_ids_but_not_mount() {
    if lacks_busybox() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let script = "busybox mount -t tmpfs x /tmp 2>/dev/null || echo no mount; busybox grep CapEff /proc/self/status; \
                  busybox su -s /bin/sh www -c 'busybox id -u'";
    let Some(mut plan) = build(scratch.path(), script) else { return };
    let content = b"root:x:0:0::/:/bin/sh\nwww:x:33:33::/:/bin/sh\n".to_vec();
    plan.steps.push(Step::File { guest: "/etc/passwd".into(), content, mode: 0o644 });
    let (text, _) = output(&plan).unwrap();
    assert_eq!(text, "no mount\nCapEff:\t00000000a80404fb\n33\n");
}
