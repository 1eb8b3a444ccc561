//! SBOMs: what they say, that code which is not ours finds them valid, and that false claims fail a build.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::build::{GOOD, GOOD_TEST, Workshop, platform};
use crate::locked::Bench;

/// Validates against CycloneDX's own schema, and reads the document into objects.
const VALIDATE: &str = "import json, sys
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
text = open(sys.argv[1]).read()
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
if error:
    sys.exit(str(error))
print(len(Bom.from_json(json.loads(text)).components))
";

#[test]
fn an_sbom_is_valid_and_names_what_is_inside() {
    let Some(bench) = Bench::new() else { return };
    bench.archive(&["1.0+x"]);
    let built = bench.xtask(&["build", "locked"]);
    assert_eq!(built.status.code(), Some(0), "{built:?}");
    let file = format!("locked-1.0.0-{}.sbom.json", platform());
    let path = bench.scene.repo().join("dist").join(&file);
    let text = fs_err::read_to_string(&path).unwrap();
    let sums = fs_err::read_to_string(path.with_file_name("SHA256SUMS")).unwrap();
    assert!(sums.contains(&format!("  {file}\n")), "{sums}");
    let archive = sums.lines().find(|line| line.ends_with(&format!("{}.tar.gz", platform())));
    let sbom: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        sbom["metadata"]["component"]["hashes"][0]["content"].as_str(),
        archive.and_then(|line| line.split_once(' ')).map(|(digest, _)| digest)
    );
    let parts = serde_json::json!([sbom["components"], sbom["metadata"]["component"]["licenses"]]);
    insta::with_settings!({filters => vec![
        (r#""content": "[0-9a-f]{64}""#, r#""content": "[digest]""#),
        ("arm64", "amd64"),
    ]}, {
        insta::assert_snapshot!(format!("{parts:#}"));
    });

    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python/bin/python");
    let ready = Command::new(&python).args(["-c", xtask::ci::PYTHON_MODULES]).output();
    if !ready.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "cyclonedx-python-lib is not installed");
        eprintln!("skipped: cyclonedx-python-lib is not installed");
        return;
    }
    let valid = Command::new(&python).args(["-c", VALIDATE]).arg(&path).output().unwrap();
    assert!(valid.status.success(), "{}", String::from_utf8_lossy(&valid.stderr));
    assert_eq!(String::from_utf8_lossy(&valid.stdout), "2\n");
    // The validator refuses what is wrong: it was seen to look.
    let wrong = text.replace("\"GPL-2.0-or-later\"", "\"GPL-2+\"");
    fs_err::write(&path, wrong).unwrap();
    let invalid = Command::new(&python).args(["-c", VALIDATE]).arg(&path).output().unwrap();
    assert!(!invalid.status.success());
}

#[test]
fn a_claim_that_is_not_true_fails_the_build() {
    let claims = format!("{GOOD_TEST}packages: [idna==3.1, 'numpy>=1']\n");
    let Some(workshop) = Workshop::new(GOOD, &claims) else { return };
    let refused = workshop.build();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = "`packages` of the manifest says what is not true: `idna==3.1`: no package `idna` is in the tree";
    assert!(refused.stderr_text().contains(said), "{refused:?}");
    assert!(refused.stderr_text().contains("`packages` says `numpy>=1`, which is not checked"));
    assert!(!workshop.dist().join("SHA256SUMS").exists());
}
