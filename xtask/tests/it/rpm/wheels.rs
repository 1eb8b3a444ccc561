//! Python packages in a real build: a wheel that has the pinned digest, and one that has not.

use std::process::Command;

use rnx_spec::lock::LanguageKind;
use sha2::{Digest as _, Sha256};

use super::{Bench, platform};

/// Installs what stands beside the script with the library's own function; pip is this machine's.
const SETUP: &str = r#"#!/bin/bash
set -eu
. "${JOBLET_LIB:-/joblet/lib.sh}"
mkdir -p /usr/share/python-wheels
cp pip-*.whl /usr/share/python-wheels/
python_pip_install python3 requirements.txt
runtime_yml
"#;

const MANIFEST: &str = "name: wheels\nversion: 1.0.0\ndescription: a wheel\nbase: made\nnetwork: none\n\
    packages: [given==1]\n";

/// Writes a wheel with nothing in it.
const MAKE: &str = "import zipfile\nwith zipfile.ZipFile('given-1-py3-none-any.whl', 'w') as wheel:\n\
    \x20   wheel.writestr('given-1.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: given\\nVersion: 1\\n')\n\
    \x20   wheel.writestr('given-1.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
    \x20   wheel.writestr('given-1.dist-info/RECORD', '')\n";

/// Builds with the right digest, then with another one.
pub(super) fn check(bench: &Bench) {
    let definition = bench.define("wheels", MANIFEST, SETUP);
    let wheels = fs_err::read_dir("/usr/share/python-wheels").unwrap();
    for entry in wheels.map(Result::unwrap) {
        fs_err::copy(entry.path(), definition.join(entry.file_name())).unwrap();
    }
    let made = Command::new("python3").args(["-c", MAKE]).current_dir(&definition).status();
    assert!(made.unwrap().success());
    let wheel = fs_err::read(definition.join("given-1-py3-none-any.whl")).unwrap();
    let digest: String = Sha256::digest(wheel).iter().map(|b| format!("{b:02x}")).collect();
    let require = |digest: &str| {
        let text = format!("--no-index\n--find-links .\ngiven==1 --hash=sha256:{digest}\n");
        fs_err::write(definition.join("requirements.txt"), text).unwrap();
    };
    let build = || bench.xtask(&["build", "wheels", "--platform", &platform()]);
    let sums = bench.scene.repo().join("dist/SHA256SUMS");
    // There is no such file before the first build that succeeded.
    let listed = || fs_err::read_to_string(&sums).is_ok_and(|text| text.contains("wheels-"));

    let zeros = "0".repeat(64);
    require(&zeros);
    let refused = build();
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    for part in [
        "THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE",
        "    given==1 from file:///joblet/definition/given-1-py3-none-any.whl",
        &format!("Expected sha256 {zeros}"),
        &format!("Got        {digest}"),
        "hint: what came is not what was pinned",
    ] {
        assert!(refused.stderr_text().contains(part), "{part}: {refused:?}");
    }
    assert!(!listed(), "nothing of it is in dist");

    require(&digest);
    let built = build();
    assert_eq!(built.status.code(), Some(0), "{built:?}");
    assert!(listed());
    let locked = bench.xtask(&["lock", "wheels", "--platform", &platform()]);
    assert_eq!(locked.status.code(), Some(0), "{locked:?}");
    let language = bench.section("wheels").language;
    let told: Vec<_> = language
        .iter()
        .map(|one| (one.kind, &*one.name, one.download.map(|digest| digest.hex())))
        .collect();
    assert_eq!(told, [(LanguageKind::Pypi, "given", Some(digest))]);
}
