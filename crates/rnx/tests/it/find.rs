//! Finding runtimes: search, ranges, what is inside, what is outdated; and the form of what is printed as JSON.

use std::path::Path;

use fs_err as fs;
use insta::assert_snapshot;
use rnx_store::blob;
use serde_json::{Value, json};

use crate::rnx::{Rnx, redacted};

const SBOM: &str = r#"{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [
  {"type": "library", "name": "numpy", "version": "1.26.2", "purl": "pkg:pypi/numpy@1.26.2",
   "licenses": [{"license": {"id": "BSD-3-Clause"}}]},
  {"type": "library", "name": "libc6", "version": "2.36-9", "purl": "pkg:deb/debian/libc6@2.36-9"}]}"#;

/// A registry folder, configured, with things to find.
fn scene() -> Rnx {
    let mut rnx = Rnx::new();
    rnx.registry.publish("python-3.11-ml@1.3.3", &["ubuntu-amd64"]);
    rnx.registry.publish("python-3.11@1.0.0", &["ubuntu-amd64", "ubuntu-arm64"]);
    change(&rnx, |registry| {
        let digest = blob::digest(SBOM.as_bytes()).unwrap().hex();
        let version = &mut registry["runtimes"]["demo"]["1.10.0"];
        version["license"] = "MIT".into();
        let artifact = &mut version["artifacts"]["ubuntu-amd64"];
        artifact["sbom"] = json!({"url": "demo.sbom.json", "sha256": digest});
        artifact["requires"] = json!({"cpu": "x86-64-v2", "kernel": "4.18"});
    });
    fs::write(rnx.registry.path().join("demo.sbom.json"), SBOM).unwrap();
    rnx.configure(&format!(
        "  registries:\n  - {{name: own, url: '{}'}}\n",
        rnx.registry.path().display()
    ));
    rnx
}

fn change(rnx: &Rnx, change: impl FnOnce(&mut Value)) {
    let path = rnx.registry.path().join("registry.json");
    let mut registry: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut registry);
    fs::write(&path, registry.to_string()).unwrap();
}

#[test]
fn words_find_runtimes_by_name_and_description() {
    let rnx = scene();
    let run = |args: &[&str]| rnx.run_configured(args, &[]);
    assert_snapshot!("search", run(&["runtime", "search", "PYTHON"]));
    assert_snapshot!(
        "search_platform",
        run(&["runtime", "search", "python", "--platform", "ubuntu-arm64"])
    );
    assert_snapshot!("search_nothing", run(&["runtime", "search", "pyhton-3.11"]));
    assert_eq!(run(&["runtime", "search", "cobol", "--json"]), "[]\nstatus 0");
    assert_snapshot!("info_near", run(&["runtime", "info", "python-3.12"]));
}

#[test]
fn info_tells_what_a_runtime_is_and_what_is_inside() {
    let _redacted = redacted();
    let rnx = scene();
    let run = |args: &[&str]| {
        rnx.run_configured(args, &[])
            .replace(rnx.registry.path().to_str().unwrap(), "FOLDER")
            .replace("%20", " ")
    };
    assert_snapshot!("info_available", run(&["runtime", "info", "demo"]));
    assert_snapshot!("info_contents", run(&["runtime", "info", "demo", "--contents"]));
    assert_snapshot!("info_definition", run(&["runtime", "info", "only-defined"]));
    assert_snapshot!("info_no_sbom", run(&["runtime", "info", "demo@1.9", "--contents"]));
    run(&["runtime", "install", "demo@1.9"]);
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"20\d\d-\d\d-\d\dT[0-9:]+Z", "TIME");
    settings.bind(|| assert_snapshot!("info_installed", run(&["runtime", "info", "demo"])));
    // Without the registry, too.
    rnx.configure("  registries: [{name: gone, url: /nowhere}]\n");
    assert!(run(&["runtime", "info", "demo"]).ends_with("status 0"));
}

#[test]
fn a_range_means_the_newest_version_within_everywhere() {
    let mut rnx = scene();
    rnx.registry.publish("demo@2.0.0", &["ubuntu-amd64"]);
    let run = |args: &[&str]| rnx.run_configured(args, &[]);
    run(&["runtime", "install", "demo@^1.2", "demo@1.9.x"]);
    let path = |request: &str| {
        let shown = run(&["runtime", "path", request]);
        shown.lines().next().unwrap().to_owned()
    };
    assert_eq!(path("demo@1"), "BASE/demo-1.10.0");
    assert_eq!(path("demo@<1.10"), "BASE/demo-1.9.0");
    assert_eq!(path("demo@latest"), "BASE/demo-1.10.0");
    let explained = run(&["job", "run", "--explain", "--runtime=demo@~1.9", "hello"]);
    assert!(explained.contains("BASE/demo-1.9.0/"), "{explained}");
    let info = run(&["runtime", "info", "demo@2", "--json"]);
    assert!(info.contains("\"version\": \"2.0.0\""), "{info}");
    assert_snapshot!("range_nothing_installed", run(&["runtime", "path", "demo@2"]));
    assert_snapshot!("range_nothing_available", run(&["runtime", "install", "demo@3"]));
    assert_snapshot!("range_wrong", run(&["runtime", "install", "demo@1.2.3.4"]));
}

#[test]
fn what_is_outdated_or_withdrawn_is_listed() {
    let mut rnx = scene();
    let outdated = |rnx: &Rnx, args: &[&str]| {
        rnx.run_configured(&[&["runtime", "outdated"], args].concat(), &[])
    };
    assert_eq!(outdated(&rnx, &[]), "nothing that is installed is outdated\nstatus 0");
    rnx.run_configured(&["runtime", "install", "demo@1.9", "python-3.11", "python-3.11-ml"], &[]);
    rnx.registry.publish("python-3.11@1.1.0", &["ubuntu-arm64"]);
    change(&rnx, |registry| {
        let entry = registry["runtimes"].as_object_mut().unwrap().remove("python-3.11-ml").unwrap();
        registry["yanked"] = json!({"python-3.11-ml": {"1.3.3": {"reason": "wrong libssl", "entry": entry["1.3.3"]}}});
    });
    assert_snapshot!("outdated", outdated(&rnx, &[]));
    assert_eq!(outdated(&rnx, &["python-3.11"]), "nothing that is installed is outdated\nstatus 0");
    assert_snapshot!("outdated_not_installed", outdated(&rnx, &["cobol"]));
    // A withdrawn version is installed by its number alone, and the reason is said.
    assert_snapshot!(
        "withdrawn",
        rnx.run_configured(&["runtime", "install", "python-3.11-ml"], &[])
    );
    let pinned =
        rnx.run_configured(&["runtime", "install", "python-3.11-ml@1.3.3", "--force"], &[]);
    assert!(
        pinned.starts_with("warning: python-3.11-ml@1.3.3 was withdrawn: wrong libssl\n"),
        "{pinned}"
    );
    assert!(pinned.ends_with("status 0"), "{pinned}");
}

#[test]
fn what_is_printed_as_json_has_its_documented_form() {
    let rnx = scene();
    rnx.run_configured(&["runtime", "install", "demo@1.9"], &[]);
    let schemas = Path::new("../../schemas");
    let mut seen = std::collections::BTreeSet::new();
    for (schema, args) in [
        ("rnx-runtime-list", &["runtime", "list"][..]),
        ("rnx-runtime-available", &["runtime", "list", "--available", "--all-versions"]),
        ("rnx-runtime-available", &["runtime", "search", "demo"]),
        ("rnx-runtime-info", &["runtime", "info", "demo"]),
        ("rnx-runtime-info", &["runtime", "info", "demo@1.10.0", "--contents"]),
        ("rnx-runtime-outdated", &["runtime", "outdated"]),
        ("rnx-runtime-path", &["runtime", "path", "demo"]),
        ("rnx-runtime-install", &["runtime", "install", "demo@1.9"]),
        ("rnx-runtime-install", &["runtime", "update"]),
        ("rnx-runtime-verify", &["runtime", "verify"]),
        ("rnx-runtime-gc", &["runtime", "gc"]),
        ("rnx-registry-list", &["registry", "list"]),
    ] {
        let path = schemas.join(format!("{schema}.schema.json"));
        let document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let validator = jsonschema::validator_for(&document).unwrap();
        let output = rnx.configured(&[args, &["--json"]].concat()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        let errors: Vec<String> = validator.iter_errors(&printed).map(|e| e.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{args:?}");
        assert!(
            printed.as_array().is_none_or(|items| !items.is_empty()),
            "{args:?} shows something"
        );
        // Every field is documented: what a schema does not name is not printed.
        let closed = closed(document);
        let validator = jsonschema::validator_for(&closed).unwrap();
        let errors: Vec<String> = validator.iter_errors(&printed).map(|e| e.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{args:?}");
        seen.insert(schema);
    }
    let all: std::collections::BTreeSet<&str> =
        rnx::output::schemas().into_iter().map(|(name, _)| name).collect();
    let elsewhere = ["rnx-doctor", "rnx-job-receipt"];
    let all = all.into_iter().filter(|name| !elsewhere.contains(name)).collect();
    assert_eq!(seen, all, "each is looked at");
}

/// Returns the schema with all its objects closed.
fn closed(schema: Value) -> Value {
    match schema {
        Value::Object(map) => {
            let mut map: serde_json::Map<String, Value> =
                map.into_iter().map(|(key, value)| (key, closed(value))).collect();
            if map.get("properties").is_some_and(Value::is_object) {
                map.insert("additionalProperties".to_owned(), false.into());
            }
            Value::Object(map)
        }
        Value::Array(items) => items.into_iter().map(closed).collect(),
        other => other,
    }
}
