//! Registries: reading old and new forms, writing, adding, choosing.

use super::*;
use crate::SourceUrl;

const NOW: &str = "2026-11-23T10:00:00Z";
const LATER: &str = "2026-11-24T10:00:00Z";

/// What tools before this one wrote: a nested entry, a flat one, things unknown to us.
const OLD: &str = r#"{
  "version": "1", "updated_at": "2025-10-19T18:00:00Z", "signed": {"serial": 4},
  "runtimes": {
    "python-3.11-ml": {
      "1.3.2": {"version": "1.3.2", "description": "ML", "download_url": "https://e/p-1.3.2.tar.gz",
        "checksum": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF", "size": 9,
        "platforms": ["ubuntu-amd64", "plan9-mips"], "stars": 5},
      "latest": "1.3.2"
    },
    "flat": {"version": "0.1.0", "download_url": "https://e/f.tar.gz", "checksum": "", "size": 1,
      "platforms": []},
    "Bad Name": {}
  }
}"#;

fn spec(text: &str) -> RuntimeSpec {
    text.parse().unwrap()
}

fn digest(digit: char) -> Digest {
    digit.to_string().repeat(64).parse().unwrap()
}

fn artifact(digit: char) -> Artifact {
    Artifact {
        url: "a.tar.gz".parse().unwrap(),
        parts: Vec::new(),
        digest: digest(digit),
        size_bytes: 1,
        unpacked_bytes: 2,
        entries: 3,
        files: Some(SideFile { url: "a.files.json".parse().unwrap(), digest: digest('f') }),
        sbom: None,
        requires: Requires { cpu: Some("x86-64-v2".to_owned()), kernel: None },
    }
}

fn release(name: &str, artifacts: &[(&str, char)]) -> Release {
    let spec = spec(name);
    let url: SourceUrl = format!("https://e/{}.tar.gz", spec.folder()).parse().unwrap();
    Release {
        description: "d".to_owned(),
        definition: Definition { url: url.into(), digest: Some(digest('d')), size_bytes: Some(7) },
        platforms: artifacts.iter().map(|(platform, _)| platform.parse().unwrap()).collect(),
        released_at: None,
        source_commit: None,
        license: None,
        artifacts: artifacts
            .iter()
            .map(|(platform, digit)| (platform.parse().unwrap(), artifact(*digit)))
            .collect(),
        spec,
    }
}

fn with(releases: &[Release]) -> Registry {
    let empty = Registry::empty(NOW).unwrap();
    releases.iter().fold(empty, |registry, release| insert(&registry, release, NOW).unwrap())
}

#[test]
fn old_registries_are_read_and_survive_a_rewrite() {
    let registry = parse(OLD.as_bytes()).unwrap();
    let ml = registry.get(&spec("python-3.11-ml@1.3.2")).unwrap();
    assert_eq!(ml.definition.digest.map(|d| d.hex().len()), Some(64));
    assert_eq!(ml.platforms, ["ubuntu-amd64".parse().unwrap()]);
    let flat = registry.get(&spec("flat@0.1.0")).unwrap();
    assert_eq!(flat.definition.digest, None);
    let places: Vec<&str> = registry.unreadable().iter().map(|u| u.place.as_str()).collect();
    assert_eq!(places, ["runtimes/python-3.11-ml/latest", "runtimes/Bad Name"]);

    let written = write(&registry);
    let reread: Value = serde_json::from_str(&written).unwrap();
    let original: Value = serde_json::from_str(OLD).unwrap();
    assert_eq!(reread, original);
    assert_eq!(write(&parse(written.as_bytes()).unwrap()), written);
}

#[test]
fn the_written_form_is_fixed() {
    let both = [("ubuntu-amd64", 'a')];
    let registry = with(&[release("b@1.10.0", &both), release("a@1.0.0", &[])]);
    insta::assert_snapshot!(write(&registry));
    let other_way = with(&[release("a@1.0.0", &[]), release("b@1.10.0", &both)]);
    assert_eq!(write(&other_way), write(&registry));
    assert_eq!(registry.get(&spec("b@1.10.0")), Some(&release("b@1.10.0", &both)));
}

#[test]
fn documents_that_are_no_registry_are_refused() {
    let message = |text: &str| parse(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(message("{"), "not valid JSON");
    assert_eq!(message("[]"), "the document is not a JSON object");
    assert_eq!(message("{}"), "`version` is missing or is not the string \"1\"");
    assert_eq!(
        message(r#"{"version": 2}"#),
        "the registry has format 2, this program reads format 1"
    );
    for time in [
        "",
        "2026-11-23",
        "2026-11-23 10:00:00Z",
        "2026-13-23T10:00:00Z",
        "2026-11-23T10:00:00",
        "2026-02-29T10:00:00Z",
    ] {
        let text = format!(r#"{{"version": "1", "updated_at": "{time}", "runtimes": {{}}}}"#);
        assert!(message(&text).starts_with("`updated_at` is `"), "{time}");
    }
    for time in ["2026-11-23T10:00:00.123Z", "2026-11-23T10:00:00+01:30"] {
        assert!(Registry::empty(time).is_ok(), "{time}");
    }
}

#[test]
fn what_is_published_never_changes() {
    let published = with(&[release("a@1.0.0", &[("ubuntu-amd64", 'a')])]);
    let same = insert(&published, &release("a@1.0.0", &[("ubuntu-amd64", 'a')]), LATER).unwrap();
    assert_eq!(write(&same), write(&published));

    let wider = insert(&published, &release("a@1.0.0", &[("rhel-amd64", 'b')]), LATER).unwrap();
    let entry = wider.get(&spec("a@1.0.0")).unwrap();
    assert_eq!(entry.artifacts.len(), 2);
    assert_eq!(entry.platforms.len(), 2);
    assert_eq!(wider.updated_at(), LATER);

    let error = |release: &Release| insert(&published, release, LATER).unwrap_err();
    assert_eq!(
        error(&release("a@1.0.0", &[("ubuntu-amd64", 'c')])),
        InsertError::ArtifactChanged {
            spec: spec("a@1.0.0"),
            platform: "ubuntu-amd64".parse().unwrap()
        }
    );
    let mut changed = release("a@1.0.0", &[]);
    changed.definition.digest = Some(digest('0'));
    assert_eq!(
        error(&changed),
        InsertError::Changed { spec: spec("a@1.0.0"), field: "`checksum`" }
    );
    assert_eq!(
        insert(&published, &changed, "today").unwrap_err(),
        InsertError::Time { time: "today".to_owned() }
    );
}

#[test]
fn a_flat_entry_becomes_nested_when_a_version_is_added() {
    let registry = parse(OLD.as_bytes()).unwrap();
    let grown = insert(&registry, &release("flat@0.2.0", &[]), LATER).unwrap();
    let versions: Vec<String> =
        grown.runtimes()[&"flat".parse().unwrap()].keys().map(ToString::to_string).collect();
    assert_eq!(versions, ["0.1.0", "0.2.0"]);
    assert!(write(&grown).contains("\"stars\": 5"));
}

#[test]
fn two_registries_become_one() {
    let ours = with(&[release("a@1.0.0", &[("ubuntu-amd64", 'a')]), release("b@1.0.0", &[])]);
    let theirs = with(&[release("a@1.0.0", &[("rhel-amd64", 'b')]), release("a@1.1.0", &[])]);
    let merged = merge(&ours, &theirs).unwrap();
    assert_eq!(merged.get(&spec("a@1.0.0")).unwrap().artifacts.len(), 2);
    assert_eq!(merged.runtimes().values().map(BTreeMap::len).sum::<usize>(), 3);
    assert_eq!(merge(&merged, &theirs).unwrap(), merged);

    let withdrawn = format!(
        r#"{{"version": "1", "updated_at": "{LATER}", "runtimes": {{}},
            "yanked": {{"a": {{"1.0.0": {{"reason": "bad", "replacement": "1.1.0"}}}}}}}}"#
    );
    let withdrawn = parse(withdrawn.as_bytes()).unwrap();
    for merged in [merge(&ours, &withdrawn).unwrap(), merge(&withdrawn, &ours).unwrap()] {
        assert_eq!(merged.get(&spec("a@1.0.0")), None);
        assert_eq!(merged.yanked().len(), 1);
        assert_eq!(merged.updated_at(), LATER);
        let again = insert(&merged, &release("a@1.0.0", &[]), LATER);
        assert_eq!(again, Err(InsertError::Yanked { spec: spec("a@1.0.0") }));
    }
}

#[test]
fn a_withdrawn_version_moves_and_can_come_back() {
    let artifacts = [("ubuntu-amd64", 'a')];
    let published = with(&[release("a@1.0.0", &artifacts), release("a@1.0.1", &artifacts)]);
    let bad = spec("a@1.0.0");
    let why = ("wrong libssl", Some("1.0.1".parse().unwrap()));
    let withdrawn = yank(&published, &bad, why, LATER).unwrap();
    assert_eq!(withdrawn.get(&bad), None);
    let yanked = &withdrawn.yanked()[&bad.name][&bad.version];
    assert_eq!(yanked.reason, "wrong libssl");
    assert_eq!(yanked.replacement, Some("1.0.1".parse().unwrap()));
    assert_eq!(withdrawn.updated_at(), LATER);
    assert_eq!(yank(&withdrawn, &bad, ("again", None), NOW).unwrap(), withdrawn);

    let back = undo_yank(&withdrawn, &bad, NOW).unwrap();
    assert_eq!(write(&back), write(&published));

    let error = |result: Result<Registry, YankError>| result.unwrap_err().to_string();
    assert_eq!(
        error(yank(&published, &bad, ("", Some("9.0.0".parse().unwrap())), LATER)),
        "`a@9.0.0` cannot replace it: that version is not published"
    );
    assert_eq!(
        error(yank(&published, &spec("b@1.0.0"), ("", None), LATER)),
        "the registry has no `b@1.0.0`"
    );
    assert_eq!(error(undo_yank(&published, &bad, LATER)), "`a@1.0.0` is not withdrawn");

    // The last version of a name leaves no empty name behind, and a flat entry is one like others.
    let flat = parse(OLD.as_bytes()).unwrap();
    let withdrawn = yank(&flat, &spec("flat@0.1.0"), ("old", None), LATER).unwrap();
    assert!(!write(&withdrawn).contains("\"flat\": {}"), "{}", write(&withdrawn));
    let back = undo_yank(&withdrawn, &spec("flat@0.1.0"), LATER).unwrap();
    assert_eq!(back.runtimes()[&"flat".parse().unwrap()].len(), 1);
}

#[test]
fn a_request_selects_the_newest_version_for_the_platform() {
    let registry = with(&[
        release("a@1.9.0", &[("ubuntu-amd64", 'a'), ("rhel-amd64", 'b')]),
        release("a@1.10.0", &[("rhel-amd64", 'c')]),
        release("python-3.11@1.0.0", &[]),
    ]);
    let choose = |request: &str, platforms: &[&str]| {
        let platforms: Vec<Platform> = platforms.iter().map(|p| p.parse().unwrap()).collect();
        match select(&registry, &request.parse().unwrap(), &platforms) {
            Ok(Selected { release, platform, .. }) => format!("{} {platform}", release.spec),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(choose("a", &["rhel-amd64"]), "a@1.10.0 rhel-amd64");
    assert_eq!(choose("a@latest", &["ubuntu-amd64"]), "a@1.9.0 ubuntu-amd64");
    assert_eq!(choose("a@1.9.0", &["amzn-amd64", "rhel-amd64"]), "a@1.9.0 rhel-amd64");
    assert_eq!(
        choose("a", &["ubuntu-arm64"]),
        "`a@1.10.0` is not built for ubuntu-arm64; it is built for rhel-amd64"
    );
    assert_eq!(
        choose("a@2.0.0", &["rhel-amd64"]),
        "the registry has no version 2.0.0 of `a`; it has 1.10.0, 1.9.0"
    );
    assert_eq!(
        choose("python-3.11", &["rhel-amd64"]),
        "the registry has only the definition of `python-3.11@1.0.0`, and no built runtime for any platform"
    );
    assert_eq!(choose("a@1.9", &["rhel-amd64"]), "a@1.9.0 rhel-amd64");
    assert_eq!(choose("a@^1.2", &["ubuntu-amd64"]), "a@1.9.0 ubuntu-amd64");
    assert_eq!(
        choose("a@1.10", &["ubuntu-amd64"]),
        "`a@1.10.0` is not built for ubuntu-amd64; it is built for rhel-amd64"
    );
    assert_eq!(
        choose("a@2", &["rhel-amd64"]),
        "the registry has no version 2 of `a`; it has 1.10.0, 1.9.0"
    );
}

#[test]
fn a_withdrawn_version_is_selected_by_its_number_alone() {
    let mut document: serde_json::Value =
        serde_json::from_str(&write(&with(&[release("a@1.0.0", &[("ubuntu-amd64", 'a')])])))
            .unwrap();
    let entry = document["runtimes"]["a"]["1.0.0"].take();
    document["runtimes"] = serde_json::json!({});
    document["yanked"] = serde_json::json!({"a": {
        "1.0.0": {"reason": "bad", "replacement": "1.1.0", "entry": entry},
        "0.9.0": {"reason": "worse", "entry": {}},
    }});
    let registry = parse(document.to_string().as_bytes()).unwrap();
    let platforms = ["ubuntu-amd64".parse().unwrap()];
    let choose = |request: &str| select(&registry, &request.parse().unwrap(), &platforms);
    let selected = choose("a@1.0.0").unwrap();
    assert_eq!(selected.release.spec, spec("a@1.0.0"));
    assert_eq!(selected.yank.map(|yank| yank.reason.as_str()), Some("bad"));
    assert_eq!(choose("a@0.9.0").unwrap_err().to_string(), "`a@0.9.0` was withdrawn: worse");
    for request in ["a", "a@1", "a@^1.0"] {
        let all = SelectError::AllYanked { name: "a".parse().unwrap() };
        assert_eq!(choose(request), Err(all), "{request}");
    }
}

#[test]
fn near_names_are_suggested() {
    let known: Vec<RuntimeName> = ["python-3.11", "python-3.11-ml", "openjdk-21", "node-22"]
        .map(|n| n.parse().unwrap())
        .into();
    let near = |name: &str| -> Vec<String> {
        near_names(&name.parse().unwrap(), &known).iter().map(ToString::to_string).collect()
    };
    assert_eq!(near("pyhton-3.11"), ["python-3.11", "python-3.11-ml"]);
    assert_eq!(near("python"), ["python-3.11", "python-3.11-ml"]);
    assert_eq!(near("opnejdk-21"), ["openjdk-21"]);
    assert_eq!(near("cobol"), Vec::<String>::new());
}

#[test]
fn the_registry_of_this_repository_is_in_the_written_form() {
    let text = include_str!("../../../../registry.json");
    assert_eq!(write(&parse(text.as_bytes()).unwrap()), text);
}
