//! Builds that go wrong: each ends, says why and what to do, and what was built before is still there.

use std::process::{Command, Stdio};

use crate::bases::scene::{Ran, is_root, ran};
use crate::build::{GOOD, GOOD_TEST, Workshop, is_running};
use crate::locked::Bench;

/// Builds something good first; afterwards `dist` must be as it was.
fn after_a_good_build(script: &str, limits: &str, build: impl Fn(&Workshop) -> Ran) -> Option<Ran> {
    let workshop = Workshop::new(GOOD, GOOD_TEST)?;
    let good = workshop.build();
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    workshop.define(script, &format!("{GOOD_TEST}{limits}"));
    let bad = build(&workshop);
    let mut check = Command::new("sha256sum");
    check.args(["-c", "--strict", "SHA256SUMS"]).current_dir(workshop.dist()).stdout(Stdio::null());
    assert!(check.status().unwrap().success(), "what was built before is still whole: {bad:?}");
    Some(bad)
}

#[test]
fn a_script_that_fills_the_disk_is_stopped_while_it_does() {
    let script = format!("{GOOD}echo begun\nyes 76551 >/filled\n");
    let limits = "limits: {build_disk: 24 MiB}\n";
    let Some(stopped) = after_a_good_build(&script, limits, Workshop::build) else { return };
    assert_eq!(stopped.status.code(), Some(1), "{stopped:?}");
    for part in [
        "bytes of disk, over the limit of 25165824, and was killed",
        "the last lines were:\n    begun",
        "hint: an honest build's size: `limits: {build_disk: …}`",
    ] {
        assert!(stopped.stderr_text().contains(part), "{part}: {stopped:?}");
    }
    assert!(!is_running("yes\x0076551"));
}

#[test]
fn a_script_that_runs_for_ever_is_stopped_with_all_that_it_started() {
    let script = format!("{GOOD}setsid sleep 76552 &\nsleep 76553\n");
    let limits = "limits: {build_minutes: 1}\n";
    let Some(stopped) = after_a_good_build(&script, limits, Workshop::build) else { return };
    assert_eq!(stopped.status.code(), Some(1), "{stopped:?}");
    let said = "the setup script took more than 1 minutes and was killed";
    assert!(stopped.stderr_text().contains(said), "{stopped:?}");
    assert!(stopped.stderr_text().contains("`limits: {build_minutes: …}`"), "{stopped:?}");
    assert!(!is_running("sleep\x0076552") && !is_running("sleep\x0076553"));
}

/// A few hundred processes at most, whatever holds or does not.
#[test]
fn a_script_that_multiplies_is_stopped() {
    let some = "i=0\nwhile [ $i -lt 300 ]; do sleep 76555 & i=$((i+1)); done\n";
    let limits = "limits: {build_processes: 40, build_minutes: 1}\n";
    let loud = |workshop: &Workshop| workshop.scene.xtask(&["build", "tiny", "--verbose"]);
    // One goes on in spite of it, another one ends over it.
    for end in ["while :; do :; done\n", "exit 3\n"] {
        let script = format!("{GOOD}echo begun\n({some}) || true\n{end}");
        let Some(stopped) = after_a_good_build(&script, limits, loud) else { return };
        let said = stopped.stderr_text();
        if said.contains("the number of processes is not limited here") {
            eprintln!("skipped: no control group may be made here");
            return;
        }
        assert_eq!(stopped.status.code(), Some(1), "{stopped:?}");
        for part in [
            "the setup script wanted more than 40 processes at once, and was killed",
            "the last lines were:\n    begun",
            "hint: what an honest build needs: `limits: {build_processes: …}`",
        ] {
            assert!(said.contains(part), "{part}: {stopped:?}");
        }
        assert!(!is_running("sleep\x0076555"));
    }
}

#[test]
fn a_daemon_of_a_failed_script_ends_with_it() {
    let script = "setsid sleep 76554 &\nexit 4\n";
    let Some(failed) = after_a_good_build(script, "", Workshop::build) else { return };
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert!(failed.stderr_text().contains("ended with exit status 4"), "{failed:?}");
    assert!(!is_running("sleep\x0076554"));
}

#[test]
fn a_full_disk_is_told_as_one() {
    if !is_root() {
        eprintln!("skipped: only root mounts a small filesystem");
        return;
    }
    // The cache lies on 24 MiB; whatever is written first that does not fit is met there.
    let on_a_small_disk = |workshop: &Workshop| {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-euc"])
            .arg("mount -t tmpfs -o size=24m none \"$RNX_CACHE_DIR\"; exec \"$@\"")
            .arg("sh")
            .arg(env!("CARGO_BIN_EXE_xtask"));
        workshop.scene.set_up(&mut command, &["build", "tiny"]);
        ran(&mut command)
    };
    let by_the_script = format!("{GOOD}yes >/filled\n");
    let by_us = format!("{GOOD}head -c 9000000 /dev/urandom >\"$tree/large\"\n");
    for script in [by_the_script, by_us] {
        let Some(full) = after_a_good_build(&script, "", on_a_small_disk) else { return };
        assert_eq!(full.status.code(), Some(5), "{full:?}");
        assert!(full.stderr_text().contains("No space left on device"), "{full:?}");
        assert!(full.stderr_text().contains("hint: the disk is full: free some space"), "{full:?}");
    }
}

#[test]
fn a_package_that_does_not_exist_is_named() {
    let Some(bench) = Bench::new() else { return };
    bench.archive(&["1.0"]);
    bench.install_instead("rnx-tol");
    let failed = bench.xtask(&["build", "locked"]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    for part in [
        "E: Unable to locate package rnx-tol",
        "hint: the base's distro has no package `rnx-tol`: a typing mistake",
        "cargo xtask shell locked",
    ] {
        assert!(failed.stderr_text().contains(part), "{part}: {failed:?}");
    }
}
