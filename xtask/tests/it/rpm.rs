//! Native builds on an RPM-based base: one that the tests make of this machine's own programs (`tests/rpm/base.sh`).

mod wheels;

use std::path::{Path, PathBuf};
use std::process::Command;

use rnx_spec::lock::{self, DistroFormat, PlatformLock};
use serde_json::Value;

use crate::bases::scene::{Ran, Scene, needs_program, needs_ranges, ran};

/// What a definition's script for an RPM-based distro looks like.
const SETUP: &str = r#"#!/bin/bash
set -eu
. "${JOBLET_LIB:-/joblet/lib.sh}"
packages_install circle notes-1.0
packages_export circle
packages_export notes
tree_finish
runtime_yml
"#;

const DISPATCH: &str =
    "#!/bin/bash\nset -eu\n. \"${JOBLET_LIB:-/joblet/lib.sh}\"\nsetup_dispatch\n";

const MANIFEST: &str = "name: shapes\nversion: 1.0.0\ndescription: packages of RPM\nbase: made\nnetwork: none\n\
    packages: [circle, libshapes]\n\
    tests:\n- {name: area, run: [circle], stdout: '^\\d\\.0 12\\.0$'}\n\
    - {name: alternative, run: [draw], stdout: ' 12\\.0$'}\n\
    - {name: along, run: [sh, -c, 'read note < /usr/share/draw-note; echo $note'], stdout: '^(first|other)$'}\n";

fn platform() -> String {
    let arch = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    format!("rhel-{arch}")
}

/// A repository with an RPM-based base and a definition with a repository of packages.
struct Bench {
    scene: Scene,
}

impl Bench {
    /// Nothing where this machine cannot make such a base.
    fn new() -> Option<Self> {
        let tools = ["dpkg-query", "rpmbuild", "createrepo_c", "dnf", "cc", "python3"];
        if !needs_ranges() || !tools.into_iter().all(needs_program) {
            return None;
        }
        let bench = Self { scene: Scene::new() };
        let work = tempfile::tempdir().unwrap();
        script("base.sh", &[work.path().to_str().unwrap()]);
        let base = fs_err::read(work.path().join("base.tar")).unwrap();
        bench.scene.archive_base("made", "images/made.tar", &base);
        let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtimes/lib");
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(lib).arg(bench.scene.repo().join("runtimes"));
        assert!(copy.status().unwrap().success());
        bench.define("shapes", MANIFEST, SETUP);
        Some(bench)
    }

    /// Writes a definition for this machine's own platform.
    fn define(&self, name: &str, manifest: &str, setup: &str) -> PathBuf {
        let definition = self.scene.repo().join("runtimes").join(name);
        fs_err::create_dir_all(&definition).unwrap();
        let platforms = format!("platforms: [{}]\n", platform());
        fs_err::write(definition.join("manifest.yaml"), format!("{manifest}{platforms}")).unwrap();
        let of_platform = format!("setup-{}.sh", platform());
        for (name, text) in [("setup.sh", DISPATCH), (&*of_platform, setup)] {
            let path = definition.join(name);
            fs_err::write(&path, text).unwrap();
            let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs_err::set_permissions(&path, executable).unwrap();
        }
        definition
    }

    /// Fills the definition's repository with these versions of `circle` and `libshapes`, and no other.
    fn repository(&self, note: &str, versions: &[&str]) {
        let folder = self.scene.repo().join("runtimes/shapes/repository");
        script("repository.sh", &[&[folder.to_str().unwrap(), note], versions].concat());
    }

    fn xtask(&self, args: &[&str]) -> Ran {
        ran(&mut self.scene.command(args))
    }

    /// Returns what a definition's lock says.
    fn section(&self, name: &str) -> PlatformLock {
        let path = self.scene.repo().join("runtimes").join(name).join("versions.lock");
        let mut file = lock::parse(&fs_err::read_to_string(path).unwrap()).unwrap();
        file.platforms.remove(&platform().parse().unwrap()).unwrap()
    }
}

/// Runs a script of `tests/rpm`.
fn script(name: &str, args: &[&str]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rpm").join(name);
    let output = Command::new(path).args(args).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

/// One test, for the base takes longer to make than all builds on it.
#[test]
fn a_native_build_on_an_rpm_based_base() {
    let Some(bench) = Bench::new() else { return };
    packages_are_built_in_and_locked(&bench);
    wheels::check(&bench);
    locked_versions_are_held_or_named(&bench);
    a_package_that_does_not_exist_is_named(&bench);
}

fn packages_are_built_in_and_locked(bench: &Bench) {
    bench.repository("first", &["1.0"]);
    let platform = platform();
    let locked = bench.xtask(&["lock", "shapes", "--platform", &platform]);
    assert_eq!(locked.status.code(), Some(0), "{locked:?}");
    let section = bench.section("shapes");
    assert_eq!((&*section.base.os, &*section.base.os_version), ("rhel", "9"));
    let inside: Vec<_> = section.contents().map(|(kind, name, _)| (kind, name)).collect();
    for name in ["circle", "libshapes", "notes", "libc6"] {
        assert!(inside.contains(&("rpm", name)), "{name}: {inside:?}");
    }
    assert!(!inside.contains(&("rpm", "dnf")), "{inside:?}");
    assert!(section.distro.iter().all(|one| one.format == DistroFormat::Rpm));
    assert!(section.distro.iter().all(|one| one.sha256.is_some()), "{:?}", section.distro);
    let version = |name: &str| {
        let one = section.distro.iter().find(|one| one.name == name).unwrap();
        format!("{} {} {}", one.arch, one.version, one.in_tree)
    };
    assert_eq!(version("notes"), "noarch 3:1.0-1 true", "the base's 2.0 was downgraded");
    assert!(version("dnf").ends_with(" false"));
}

fn a_package_that_does_not_exist_is_named(bench: &Bench) {
    let platform = platform();
    bench.define("shapes", MANIFEST, &SETUP.replace("install circle", "install cirkle"));
    let missing = bench.xtask(&["build", "shapes", "--platform", &platform]);
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    let hint = "hint: the base's distro has no package `cirkle`: ";
    assert!(missing.stderr_text().contains(hint), "{missing:?}");
}

fn locked_versions_are_held_or_named(bench: &Bench) {
    let platform = platform();
    let build = |options: &[&str]| {
        bench.xtask(&[&["build", "shapes", "--platform", &platform], options].concat())
    };
    // Newer versions are there: an ordinary build takes them and says so, a locked one does not.
    bench.repository("first", &["1.0", "2.0"]);
    let free = build(&[]);
    assert_eq!(free.status.code(), Some(0), "{free:?}");
    for name in ["circle", "libshapes"] {
        let note = format!("otherwise in versions.lock: rpm {name} 1.0-1 → 2.0-1");
        assert!(free.stderr_text().contains(&note), "{free:?}");
    }
    let held = build(&["--locked"]);
    assert_eq!(held.status.code(), Some(0), "{held:?}");
    let said = held.stderr_text();
    assert!(said.contains("everything is as versions.lock says"), "{held:?}");
    assert!(said.contains("bringing 1 packages of the base to their versions"), "{held:?}");
    check_sbom(bench, &platform);

    // The locked version is gone.
    bench.repository("first", &["2.0"]);
    let gone = build(&["--locked"]);
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    assert!(
        gone.stderr_text().contains("package(s) that versions.lock names cannot be had: circle:"),
        "{gone:?}"
    );
    assert!(gone.stderr_text().contains(" 1.0-1, libshapes:"), "{gone:?}");
    assert!(gone.stderr_text().contains("hint: lock what there is now: `cargo xtask lock shapes`"));
    // Other bytes under the same version are not what was locked, either.
    bench.repository("other", &["1.0"]);
    let other = build(&["--locked"]);
    assert_eq!(other.status.code(), Some(1), "{other:?}");
    assert!(other.stderr_text().contains("is not what versions.lock says"), "{other:?}");
    assert!(other.stderr_text().contains("rpm circle 1.0-1 (sha256:"), "{other:?}");
}

fn check_sbom(bench: &Bench, platform: &str) {
    let path = bench.scene.repo().join(format!("dist/shapes-1.0.0-{platform}.sbom.json"));
    let sbom: Value = serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap();
    let components = sbom["components"].as_array().unwrap();
    let of = |name: &str| components.iter().find(|one| one["name"] == name).unwrap();
    let notes = of("notes");
    assert_eq!(notes["purl"], "pkg:rpm/rhel/notes@1.0-1?arch=noarch&distro=rhel-9&epoch=3");
    assert_eq!(notes["licenses"][0]["license"]["id"], "MIT");
    assert_eq!(of("libshapes")["licenses"][0]["license"]["id"], "LGPL-2.1-or-later");
}
