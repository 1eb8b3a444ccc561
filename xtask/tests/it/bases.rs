//! Base root filesystems: the whole way through the command line.

mod image;
pub(crate) mod scene;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;

use scene::{Member, Scene, needs_ranges};

fn sample_archive() -> Vec<u8> {
    scene::tar(&[
        Member::dir("./", 0o755),
        Member::dir("etc", 0o755),
        Member::file("etc/hostname", 0o644, b"tiny\n").owned_by(0, 0),
        Member::file("usr/bin/tool", 0o4755, b"#!/bin/sh\n").owned_by(0, 0),
        Member::file("var/mail/www", 0o600, b"mail").owned_by(33, 8),
        Member::link("bin", "usr/bin"),
        Member::file("bin/through-link", 0o755, b"x"),
        Member::hard_link("usr/bin/again", "usr/bin/tool"),
        Member::device("dev/null"),
    ])
}

#[test]
fn an_archive_becomes_a_base_with_all_its_owners_and_modes() {
    if !needs_ranges() {
        return;
    }
    let scene = Scene::new();
    scene.archive_base("tiny", "images/tiny.tar", &sample_archive());
    let made = scene.xtask(&["base", "tiny"]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let rootfs = made.stdout_path();
    let id = |name: &str| {
        let meta = fs_err::symlink_metadata(rootfs.join(name)).unwrap();
        (format!("{:o}", meta.mode() & 0o7777), scene.guest_ids(&meta))
    };
    assert_eq!(id("usr/bin/tool"), ("4755".into(), (0, 0)));
    assert_eq!(id("var/mail"), ("755".into(), (0, 0)));
    assert_eq!(id("var/mail/www"), ("600".into(), (33, 8)));
    assert_eq!(fs_err::read_link(rootfs.join("bin")).unwrap(), Path::new("usr/bin"));
    assert_eq!(fs_err::read(rootfs.join("usr/bin/through-link")).unwrap(), b"x");
    let tool = fs_err::metadata(rootfs.join("usr/bin/tool")).unwrap();
    assert_eq!(tool.ino(), fs_err::metadata(rootfs.join("usr/bin/again")).unwrap().ino());
    assert!(!rootfs.join("dev/null").exists());

    let shelf = scene.cache().join("bases");
    assert_eq!(fs_err::metadata(&shelf).unwrap().permissions().mode() & 0o777, 0o700);
    let left: Vec<_> = scene::names(rootfs.parent().unwrap());
    assert_eq!(left, ["complete.json", "rootfs"], "the archive itself is not kept");

    let again = scene.xtask(&["base", "tiny"]);
    assert_eq!(again.stdout, made.stdout);
    assert!(again.stderr_text().contains("tiny: reused, sha256:"), "{again:?}");
}

#[test]
fn of_many_who_want_a_base_at_once_one_makes_it() {
    if !needs_ranges() {
        return;
    }
    let scene = Scene::new();
    scene.archive_base("tiny", "images/tiny.tar", &sample_archive());
    let start = || {
        let mut command = scene.command(&["base", "tiny"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut ends: Vec<_> = [(); 4]
        .map(|()| start())
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            said.lines().last().unwrap().split(',').next().unwrap().to_owned()
        })
        .collect();
    ends.sort();
    assert_eq!(ends, ["tiny: made", "tiny: reused", "tiny: reused", "tiny: reused"]);
}

#[test]
fn compressed_archives_make_the_same_base() {
    if !needs_ranges() {
        return;
    }
    let scene = Scene::new();
    let mut digests = Vec::new();
    for program in ["cat", "gzip", "xz", "zstd"] {
        scene.archive_base("tiny", "images/tiny", &scene::filter(program, &sample_archive()));
        let made = scene.xtask(&["base", "tiny"]);
        assert_eq!(made.status.code(), Some(0), "{program}: {made:?}");
        let said = made.stderr_text();
        digests.push(said.lines().last().unwrap().to_owned());
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "{digests:?}");
}

#[test]
fn an_archive_that_is_another_than_promised_is_refused() {
    let scene = Scene::new();
    scene.archive_base("tiny", "images/tiny.tar", &sample_archive());
    fs_err::write(scene.repo().join("images/tiny.tar"), b"something else").unwrap();
    let refused = scene.xtask(&["base", "tiny"]);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    assert!(
        refused.stderr_text().contains("/images/tiny.tar` has the wrong content: expected sha256:")
    );
    assert_eq!(scene.bases_and_leftovers(), [""; 0]);
}

#[test]
fn an_archive_cannot_write_outside_its_tree() {
    if !needs_ranges() {
        return;
    }
    let scene = Scene::new();
    let outside = scene.repo().join("outside");
    fs_err::create_dir(&outside).unwrap();
    let link = outside.display().to_string();
    scene.archive_base(
        "sly",
        "images/sly.tar",
        &scene::tar(&[
            Member::link("way", &link),
            Member::file("way/planted", 0o644, b"x"),
            Member::link("up", "../../../../../../../../../../../../"),
            Member::file("up/planted", 0o644, b"x"),
            Member::hard_link("passwd", "/etc/passwd"),
        ]),
    );
    let refused = scene.xtask(&["base", "sly"]);
    assert_ne!(refused.status.code(), Some(0), "{refused:?}");
    assert_eq!(scene::names(&outside), [""; 0]);
    assert!(!Path::new("/planted").exists());
    scene.archive_base(
        "climbing",
        "images/climbing.tar",
        &scene::tar(&[Member::file("../planted", 0o644, b"x")]),
    );
    let refused = scene.xtask(&["base", "climbing"]);
    assert!(
        refused.stderr_text().contains("`../planted`, which is no path inside a tree"),
        "{refused:?}"
    );
    assert_eq!(scene.bases_and_leftovers(), [""; 0]);
}

#[test]
fn a_caller_with_one_id_gets_archives_but_no_debian_tree() {
    let scene = Scene::new();
    scene.archive_base("tiny", "images/tiny.tar", &sample_archive());
    scene.define("debian", "debootstrap: {suite: bookworm}");
    let made = scene.xtask_with_one_id(&["base", "tiny"]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let mail = fs_err::metadata(made.stdout_path().join("var/mail/www")).unwrap();
    assert_eq!(mail.uid(), fs_err::metadata(made.stdout_path()).unwrap().uid());
    let refused = scene.xtask_with_one_id(&["base", "debian"]);
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    let said = refused.stderr_text();
    assert!(said.contains("error: base `debian` needs more than one user id"), "{said}");
    assert!(said.contains("hint: "), "{said}");
}

#[test]
fn a_foreign_architecture_needs_an_emulator() {
    if fs_err::read_dir("/proc/sys/fs/binfmt_misc").is_ok_and(|entries| entries.count() > 2) {
        eprintln!("skipped: this host has emulators");
        return;
    }
    let scene = Scene::new();
    scene.archive_base("tiny", "images/tiny.tar", &sample_archive());
    let foreign = if cfg!(target_arch = "x86_64") { "arm64" } else { "amd64" };
    let refused = scene.xtask(&["base", "tiny", "--arch", foreign]);
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    assert!(refused.stderr_text().contains("qemu-user-static"), "{refused:?}");
}

/// Needs Debian's mirror: the one test that does.
#[test]
fn an_interrupted_debian_tree_does_not_count_and_the_next_run_makes_it() {
    if !needs_ranges() || !scene::needs_program("mmdebstrap") {
        return;
    }
    let scene = Scene::new();
    scene.define("debian", "debootstrap: {suite: bookworm, variant: apt}");
    let mut child = scene.command(&["base", "debian"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("installing essential packages") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended by itself");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // The end of the pipe: nothing that it started lives on.
    stderr.read_to_string(&mut line).unwrap();
    let left = scene.bases_and_leftovers();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].starts_with(".staging/"), "{left:?}");

    let made = scene.xtask(&["base", "debian"]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let said = made.stderr_text();
    assert!(said.contains("removing what an interrupted run left"), "{said}");
    let rootfs = made.stdout_path();
    assert!(rootfs.join("usr/bin/apt-get").exists());
    let shadow = fs_err::metadata(rootfs.join("etc/shadow")).unwrap();
    assert_eq!(scene.guest_ids(&shadow), (0, 42));
    let left = scene.bases_and_leftovers();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(!left[0].starts_with(".staging/"), "{left:?}");
}

#[test]
fn the_doctor_tells_what_is_broken_and_the_fix() {
    if !needs_ranges() {
        return;
    }
    let scene = Scene::new();
    let said = scene.xtask(&["doctor"]);
    assert!(said.stdout.contains("✓ user ids: "), "{said:?}");
    assert!(said.stdout.contains("✓ namespaces: "), "{said:?}");
    assert_eq!(scene::names(&scene.cache()), [""; 0], "it leaves nothing");
    let broken = scene.xtask_with_one_id(&["doctor"]);
    assert_eq!(broken.status.code(), Some(5), "{broken:?}");
    let mut lines = broken.stdout.lines();
    assert!(lines.next().unwrap().starts_with("✗ user ids: "), "{broken:?}");
    let fix = lines.next().unwrap();
    assert!(fix.contains("usermod --add-subuids") || fix.contains("install uidmap"), "{fix}");
}
