//! `build --locked` on a Debian base, with a package archive that the definition brings along.

use std::path::PathBuf;
use std::process::Command;

use rnx_spec::lock;
use sha2::{Digest as _, Sha256};

use crate::bases::scene::{Ran, Scene, needs_program, needs_ranges, ran};
use crate::build::platform;

/// Installs `rnx-tool` from the archive beside the script, and nothing from anywhere else.
const SETUP: &str = r#"#!/bin/bash
set -eu
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d
echo "deb [trusted=yes] file:$PWD/archive ./" >/etc/apt/sources.list
apt-get -q -o APT::Sandbox::User=root update
apt-get -q -y -o APT::Sandbox::User=root install rnx-tool
tree=/opt/joblet/runtimes/$RUNTIME_NAME/isolated
mkdir -p "$tree/usr/share/rnx-tool" "$tree/usr/share/doc" "$tree/usr/local/bin"
cp /usr/share/rnx-tool/version "$tree/usr/share/rnx-tool/"
cp -r /usr/share/doc/rnx-tool "$tree/usr/share/doc/"
info=$tree/usr/lib/Idna-3.20.dist-info
mkdir "$tree/usr/lib" "$info"
printf 'Name: Idna\nVersion: 3.20\nLicense-Expression: BSD-3-Clause OR MIT\n' >"$info/METADATA"
cp busybox "$tree/usr/local/bin/cat"
"#;

const MANIFEST: &str = "name: locked\nversion: 1.0.0\ndescription: a package\nbase: debian-bookworm\n\
    network: none\ntests: [{name: reads, run: [cat, /usr/share/rnx-tool/version]}]\n";

const COPYRIGHT: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n\
    Files: *\nCopyright: nobody\nLicense: GPL-2+ or Artistic\n";

pub(crate) struct Bench {
    pub(crate) scene: Scene,
    scratch: tempfile::TempDir,
}

impl Bench {
    /// Nothing where this machine makes no Debian bases.
    pub(crate) fn new() -> Option<Self> {
        let can =
            needs_ranges() && ["busybox", "mmdebstrap", "dpkg-deb"].into_iter().all(needs_program);
        if !can {
            return None;
        }
        let bench = Self { scene: Scene::new(), scratch: tempfile::tempdir().unwrap() };
        // The person's own bases: a Debian base takes a minute to make, and is made once for all.
        let bases = own_cache().join("bases");
        fs_err::create_dir_all(&bases).unwrap();
        std::os::unix::fs::symlink(bases, bench.scene.cache().join("bases")).unwrap();
        bench.scene.define(
            "debian-bookworm",
            "debootstrap: {suite: bookworm, components: [main], variant: minbase}",
        );
        let folder = bench.definition();
        fs_err::create_dir_all(folder.join("archive")).unwrap();
        let platforms = format!("platforms: [{}]\n", platform());
        fs_err::write(folder.join("manifest.yaml"), format!("{MANIFEST}{platforms}")).unwrap();
        fs_err::write(folder.join("setup.sh"), SETUP).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs_err::set_permissions(folder.join("setup.sh"), executable).unwrap();
        fs_err::copy("/usr/bin/busybox", folder.join("busybox")).unwrap();
        Some(bench)
    }

    pub(crate) fn definition(&self) -> PathBuf {
        self.scene.repo().join("runtimes/locked")
    }

    /// Fills the archive with these versions of `rnx-tool`, and no other.
    pub(crate) fn archive(&self, versions: &[&str]) {
        let archive = self.definition().join("archive");
        fs_err::remove_dir_all(&archive).unwrap();
        fs_err::create_dir(&archive).unwrap();
        let mut index = String::new();
        for version in versions {
            let control = format!(
                "Package: rnx-tool\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: a test\n"
            );
            let root = self.scratch.path().join(version);
            fs_err::create_dir_all(root.join("DEBIAN")).unwrap();
            fs_err::create_dir_all(root.join("usr/share/rnx-tool")).unwrap();
            fs_err::write(root.join("DEBIAN/control"), &control).unwrap();
            fs_err::write(root.join("usr/share/rnx-tool/version"), version).unwrap();
            fs_err::create_dir_all(root.join("usr/share/doc/rnx-tool")).unwrap();
            fs_err::write(root.join("usr/share/doc/rnx-tool/copyright"), COPYRIGHT).unwrap();
            let file = format!("rnx-tool_{version}_all.deb");
            let built = Command::new("dpkg-deb")
                .args(["--root-owner-group", "--build"])
                .arg(&root)
                .arg(archive.join(&file))
                .env("SOURCE_DATE_EPOCH", "1")
                .output()
                .unwrap();
            assert!(built.status.success(), "{built:?}");
            let bytes = fs_err::read(archive.join(&file)).unwrap();
            let digest: String =
                Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
            let size = bytes.len();
            index.extend([format!(
                "{control}Filename: ./{file}\nSize: {size}\nSHA256: {digest}\n\n"
            )]);
        }
        fs_err::write(archive.join("Packages"), index).unwrap();
    }

    /// Replaces the package's name in the setup script.
    pub(crate) fn install_instead(&self, package: &str) {
        let setup = self.definition().join("setup.sh");
        let text = fs_err::read_to_string(&setup).unwrap();
        let install = format!("install {package}\n");
        fs_err::write(&setup, text.replace("install rnx-tool\n", &install)).unwrap();
    }

    pub(crate) fn xtask(&self, args: &[&str]) -> Ran {
        ran(&mut self.scene.command(args))
    }
}

fn own_cache() -> PathBuf {
    let variable = |name| std::env::var_os(name);
    let given = variable("RNX_CACHE_DIR").map(PathBuf::from);
    let (xdg, home) = (variable("XDG_CACHE_HOME"), variable("HOME"));
    given.or_else(|| xtask::host::cache_dir(xdg.as_deref(), home.as_deref())).unwrap()
}

#[test]
fn a_locked_build_installs_the_locked_version_or_names_what_is_gone() {
    let Some(bench) = Bench::new() else { return };
    bench.archive(&["1.0"]);
    let early = bench.xtask(&["build", "--locked", "locked"]);
    assert_eq!(early.status.code(), Some(1), "{early:?}");
    assert!(
        early.stderr_text().contains("versions.lock says nothing of locked@1.0.0"),
        "{early:?}"
    );
    let locked = bench.xtask(&["lock", "locked"]);
    assert_eq!(locked.status.code(), Some(0), "{locked:?}");
    let text = fs_err::read_to_string(bench.definition().join("versions.lock")).unwrap();
    let file = lock::parse(&text).unwrap();
    let section = file.platforms.values().next().unwrap();
    assert_eq!(
        section.contents().collect::<Vec<_>>(),
        [("deb", "rnx-tool", "1.0"), ("pypi", "Idna", "3.20")]
    );
    assert!(section.distro.len() > 50, "the base's packages are told, too");
    assert!(section.distro.iter().any(|one| one.name == "rnx-tool" && one.sha256.is_some()));

    // A newer version is there: an ordinary build takes it and says so, a locked one does not.
    bench.archive(&["1.0", "2.0"]);
    let free = bench.xtask(&["build", "locked"]);
    assert_eq!(free.status.code(), Some(0), "{free:?}");
    let note = "otherwise in versions.lock: deb rnx-tool 1.0 → 2.0";
    assert!(free.stderr_text().contains(note), "{free:?}");
    let held = bench.xtask(&["build", "--locked", "locked"]);
    assert_eq!(held.status.code(), Some(0), "{held:?}");
    assert!(held.stderr_text().contains("everything is as versions.lock says"), "{held:?}");

    // The locked version is gone.
    bench.archive(&["2.0"]);
    let gone = bench.xtask(&["build", "--locked", "locked"]);
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    let said = "1 package(s) that versions.lock names cannot be had: rnx-tool:all 1.0";
    assert!(gone.stderr_text().contains(said), "{gone:?}");
    assert!(gone.stderr_text().contains("hint: lock what there is now: `cargo xtask lock locked`"));
    // Other bytes under the same version are not what was locked, either.
    let text = text.replace(
        &section.distro.iter().find(|one| one.name == "rnx-tool").unwrap().sha256.unwrap().hex(),
        &"0".repeat(64),
    );
    fs_err::write(bench.definition().join("versions.lock"), text).unwrap();
    bench.archive(&["1.0"]);
    let other = bench.xtask(&["build", "--locked", "locked"]);
    assert_eq!(other.status.code(), Some(1), "{other:?}");
    assert!(other.stderr_text().contains("is not what versions.lock says"), "{other:?}");
    assert!(other.stderr_text().contains("deb rnx-tool 1.0 (sha256:0000"), "{other:?}");
}
