//! The schemas, our own reader, and a validator from outside say the same about a table of files.

use std::path::{Path, PathBuf};
use std::process::Command;

use rnx_spec::{Platform, manifest};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn examples(kind: &str) -> Vec<PathBuf> {
    let dir = root().join("schemas/examples").join(kind);
    let mut files: Vec<PathBuf> =
        fs_err::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn generated_files_are_up_to_date() {
    let stale = xtask::codegen::stale(&root()).unwrap();
    assert_eq!(stale, [], "run `cargo xtask schema`");
}

#[test]
fn the_schema_and_the_reader_agree() {
    let schema = manifest::schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (kind, expected) in [("valid", true), ("invalid", false)] {
        let examples = examples(kind);
        assert!(examples.len() > 3);
        for path in examples {
            let text = fs_err::read_to_string(&path).unwrap();
            let value: Value = serde_saphyr::from_str(&text).unwrap_or(Value::Null);
            assert_eq!(validator.is_valid(&value), expected, "the schema: {}", path.display());
            let read = manifest::parse(&text).value.is_some();
            assert_eq!(read, expected, "the reader: {}", path.display());
        }
    }
}

#[test]
fn the_schema_knows_all_platforms() {
    let schema = manifest::schema();
    let names = schema["properties"]["platforms"]["items"]["enum"].as_array().unwrap();
    let names: Vec<&str> = names.iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names, Platform::ALL.map(|platform| platform.to_string()));
}

/// `check-jsonschema` reads YAML and checks schemas by code that is not ours.
#[test]
fn a_validator_from_outside_agrees() {
    let own = root().join("target/python/bin/check-jsonschema");
    let program = if own.exists() { own } else { PathBuf::from("check-jsonschema") };
    let check = |schema: &str, files: &[PathBuf]| {
        let schema = root().join("schemas").join(schema);
        Command::new(&program)
            .arg("--schemafile")
            .arg(schema)
            .args(["-o", "json"])
            .args(files)
            .output()
    };
    let Ok(valid) = check("manifest.schema.json", &examples("valid")) else {
        assert!(std::env::var_os("CI").is_none(), "check-jsonschema is not installed");
        eprintln!("skipped: a_validator_from_outside_agrees: check-jsonschema is not installed");
        return;
    };
    assert!(valid.status.success(), "{}", String::from_utf8_lossy(&valid.stdout));

    let invalid = examples("invalid");
    let answer = check("manifest.schema.json", &invalid).unwrap();
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    let mut refused: Vec<PathBuf> = ["errors", "parse_errors"]
        .iter()
        .filter_map(|key| answer[key].as_array())
        .flatten()
        .map(|error| PathBuf::from(error["filename"].as_str().unwrap()))
        .collect();
    refused.sort();
    refused.dedup();
    assert_eq!(refused, invalid);

    let bases = check("bases.schema.json", &[root().join("runtimes/bases.yaml")]).unwrap();
    assert!(bases.status.success(), "{}", String::from_utf8_lossy(&bases.stdout));
}
