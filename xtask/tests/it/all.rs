//! `build --all`: everything is tried, each outcome is named, and what is up to date is left alone.

use std::os::unix::fs::PermissionsExt;

use crate::bases::scene::Ran;
use crate::build::{GOOD, GOOD_TEST, Workshop, platform};

/// Adds a definition beside `tiny`.
fn add(workshop: &Workshop, name: &str, script: &str, platforms: &str, more: &str) {
    let folder = workshop.scene.repo().join("runtimes").join(name);
    fs_err::create_dir_all(&folder).unwrap();
    let manifest = format!(
        "name: {name}\nversion: 1.0.0\ndescription: d\nbase: box\nplatforms: [{platforms}]\n{more}"
    );
    fs_err::write(folder.join("manifest.yaml"), manifest).unwrap();
    let setup = folder.join("setup.sh");
    fs_err::write(&setup, format!("#!/bin/sh\nset -eu\n{script}")).unwrap();
    fs_err::set_permissions(&setup, PermissionsExt::from_mode(0o755)).unwrap();
}

fn lines(ran: &Ran) -> Vec<String> {
    let ends = [": up to date", ": FAILED", ": built in", ": not for"];
    let listed = ran.stderr_text().lines().filter(|line| ends.iter().any(|end| line.contains(end)));
    // Seconds differ from run to run.
    listed.map(|line| line.split(" in ").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn everything_is_tried_and_named_and_nothing_is_built_twice() {
    let Some(workshop) = Workshop::new(GOOD, GOOD_TEST) else { return };
    let here = platform();
    add(&workshop, "broken", "exit 7\n", &here, "");
    let source = "sources: [{url: \"http://127.0.0.1:9/x\", sha256: \"0000000000000000000000000000000000000000000000000000000000000000\"}]\n";
    add(&workshop, "afar", GOOD, &here, source);
    add(&workshop, "elsewhere", GOOD, "amzn-arm64", "");
    add(&workshop, "wrong", GOOD, "no-such", "");
    let build = |more: &[&str]| {
        let all = ["build", "--all", "--jobs", "2", "--platform", &here];
        workshop.scene.xtask(&[&all[..], more].concat())
    };
    let first = build(&[]);
    assert_eq!(first.status.code(), Some(1), "{first:?}");
    let failed = [
        format!(
            "afar@1.0.0 {here}: FAILED, out of reach: failed to fetch a source: no place that was asked gave `x`"
        ),
        format!(
            "broken@1.0.0 {here}: FAILED: the setup script did not come to its end: the setup script ended with exit status 7"
        ),
        "elsewhere: not for these platforms".to_owned(),
    ];
    let wrong = "wrong: FAILED: wrong has 1 error(s); the first is RT0129: unknown platform `no-such`; the platforms are";
    let mut said = lines(&first);
    let last = said.pop().unwrap();
    assert!(last.starts_with(wrong), "{last}");
    assert_eq!(said, [&failed[..], &[format!("tiny@1.0.0 {here}: built")]].concat());

    // Nothing that `tiny` is made from has changed.
    let current = format!("tiny@1.0.0 {here}: up to date (--rebuild builds it again)");
    assert!(lines(&build(&[])).contains(&current));
    let built = format!("tiny@1.0.0 {here}: built");
    assert!(lines(&build(&["--rebuild"])).contains(&built));
    // A lost file, a changed script, and a new lock are reasons to build.
    let index = workshop.dist().join(format!("tiny-1.0.0-{here}.files.json"));
    fs_err::remove_file(&index).unwrap();
    assert!(lines(&build(&[])).contains(&built));
    assert!(index.exists());
    workshop.define(&format!("{GOOD}true\n"), GOOD_TEST);
    assert!(lines(&build(&[])).contains(&built));
    assert!(lines(&build(&[])).contains(&current));
    assert_eq!(workshop.scene.xtask(&["lock", "tiny"]).status.code(), Some(0));
    assert!(lines(&build(&[])).contains(&built));
    assert!(lines(&build(&[])).contains(&current));
    assert!(lines(&build(&["--locked"])).contains(&built));
}

#[test]
fn an_offline_build_uses_the_cache_and_no_network() {
    let probe = format!("{GOOD}cat /proc/net/dev | grep -c : >\"$tree/interfaces\" || true\n");
    let Some(workshop) = Workshop::new(&probe, GOOD_TEST) else { return };
    let early = workshop.scene.xtask(&["build", "--offline", "tiny"]);
    assert_eq!(early.status.code(), Some(3), "{early:?}");
    let said = "is not in the cache, and nothing may be fetched";
    assert!(
        early.stderr_text().contains(
            &format!("the base box (amd64) {said}")
                .replace("amd64", platform().trim_start_matches("ubuntu-"))
        ),
        "{early:?}"
    );
    assert_eq!(workshop.build().status.code(), Some(0));
    let offline = workshop.scene.xtask(&["build", "--offline", "tiny"]);
    assert_eq!(offline.status.code(), Some(0), "{offline:?}");
    assert_eq!(workshop.packed("isolated/interfaces"), "1\n", "loopback and nothing else");
    let source = "sources: [{url: \"http://127.0.0.1:9/x\", sha256: \"0000000000000000000000000000000000000000000000000000000000000000\"}]\n";
    workshop.define(GOOD, &format!("{GOOD_TEST}{source}"));
    let lacking = workshop.scene.xtask(&["build", "--offline", "tiny"]);
    assert_eq!(lacking.status.code(), Some(3), "{lacking:?}");
    assert!(lacking.stderr_text().contains(&format!("the source x {said}")), "{lacking:?}");
}
