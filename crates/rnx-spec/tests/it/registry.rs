//! Registries as a whole: what is wrong with one, what changed in it, and that old readers read whatever is written.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rnx_spec::diagnostic::Diagnostic;
use rnx_spec::registry::{self, Artifact, Definition, Ledger, Part, Registry, Release, Requires};
use rnx_spec::{Digest, Platform, RuntimeSpec};
use test_support::old_reader;

const NOW: &str = "2026-11-24T10:00:00Z";

fn digest(number: u8) -> Digest {
    Digest::from_bytes([number; 32])
}

fn release(spec: &str, number: u8) -> Release {
    let spec: RuntimeSpec = spec.parse().unwrap();
    let artifact = |platform: &str| {
        let part =
            |size_bytes| Part { url: "a.part01".parse().unwrap(), digest: digest(1), size_bytes };
        let artifact = Artifact {
            url: format!("{}-{platform}.tar.gz", spec.folder()).parse().unwrap(),
            parts: vec![part(3), part(4)],
            digest: digest(number),
            size_bytes: 7,
            unpacked_bytes: 9,
            entries: 2,
            files: None,
            sbom: None,
            requires: Requires::default(),
        };
        (platform.parse::<Platform>().unwrap(), artifact)
    };
    Release {
        description: "with \"quotes\" and ü".to_owned(),
        definition: Definition {
            url: format!("{}.tar.gz", spec.folder()).parse().unwrap(),
            digest: Some(digest(number)),
            size_bytes: Some(7),
        },
        platforms: vec!["ubuntu-amd64".parse().unwrap()],
        released_at: Some(NOW.to_owned()),
        source_commit: None,
        license: None,
        artifacts: [artifact("ubuntu-amd64")].into(),
        spec,
    }
}

fn published(specs: &[&str]) -> String {
    let empty = Registry::empty(NOW).unwrap();
    let insert =
        |registry, spec: &&str| registry::insert(&registry, &release(spec, 7), NOW).unwrap();
    registry::write(&specs.iter().fold(empty, insert))
}

fn told(found: &[Diagnostic]) -> String {
    found.iter().map(|one| format!("{}: {}\n", one.code, one.message)).collect()
}

#[test]
fn what_is_written_has_no_findings() {
    let text = published(&["a@1.0.0", "a@1.1.0", "b@0.1.0"]);
    let (ledger, found) = registry::check(&text);
    assert_eq!(told(&found), "");
    let ledger = ledger.unwrap();
    assert_eq!(ledger.write(), text);
    assert_eq!(ledger.names().len(), 2);
    old_reader::decode(&text).unwrap();
}

#[test]
fn everything_that_a_reader_would_stumble_over_is_a_finding() {
    let text = r#"{"version": "1", "updated_at": "2026-11-24T10:00:00Z", "Version": "2", "runtimes": {
      "Bad Name": {}, "flat": {"version": "0.1.0", "download_url": "f.tar.gz"}, "list": [],
      "a": {"latest": "1.0.0",
        "1.0.0": {"version": "1.0.1", "download_url": "a.tar.gz"},
        "1.1.0": {"version": "1.1.0", "download_url": "a-ubuntu.zip", "ſize": 3, "size": 1.0},
        "1.2.0": {"version": "1.2.0", "download_url": "a.zip", "Platforms": [], "size": 9223372036854775808},
        "1.3.0": {"version": "1.3.0", "download_url": "a.tar.gz", "artifacts": {"ubuntu-amd64": {
          "url": "a", "parts": [{"url": "b", "sha256": "0000000000000000000000000000000000000000000000000000000000000000", "size_bytes": 1}],
          "sha256": "0000000000000000000000000000000000000000000000000000000000000000", "size_bytes": 2, "unpacked_bytes": 1, "entries": 1}}}}},
      "yanked": {"a": {"1.3.0": {"reason": "x", "replacement": "9.0.0"}, "1.4.0": 5}}}"#;
    insta::assert_snapshot!(told(&registry::check(text).1), @r"
    RT0504: the registry: `Version` is read as `version` by old readers
    RT0503: runtimes/Bad Name: a runtime name starts with `a-z` or `0-9`, not `B`
    RT0503: runtimes/a/1.0.0: `version` is `1.0.1`, its key is `1.0.0`
    RT0504: runtimes/a/1.1.0: `ſize` is read as `size` by old readers
    RT0503: runtimes/a/1.1.0: invalid type: floating point `1.0`, expected u64 at line 1 column 76
    RT0504: runtimes/a/1.2.0: `Platforms` is read as `platforms` by old readers
    RT0505: runtimes/a/1.2.0: `download_url` is not the definition's `.tar.gz`: `a.zip`
    RT0503: runtimes/a/1.2.0: `size` is larger than old readers can hold
    RT0506: runtimes/a/1.3.0: the parts for ubuntu-amd64 have 1 bytes together, and the archive 2; one has at most 1992294400
    RT0503: runtimes/a/latest: expected `MAJOR.MINOR.PATCH`, for example `1.2.3`, got `latest`
    RT0503: runtimes/list: it is not an object with a version object per version
    RT0507: a@1.3.0 is published and withdrawn at once
    RT0508: yanked/a/1.3.0: its replacement 9.0.0 is not published
    RT0503: yanked/a/1.4.0: invalid type: integer `5`, expected struct YankEntry at line 1 column 1
    RT0502: the registry is not in the written form: sorted keys, two spaces, a final newline
    ");
    for (text, message) in [
        ("{", "not valid JSON: EOF while parsing an object at line 1 column 1"),
        ("[]", "the document is not a JSON object"),
        ("{}", "`version` is missing or is not the string \"1\""),
        (
            r#"{"version": "1", "updated_at": "2026-02-30T10:00:00Z"}"#,
            "`updated_at` is `2026-02-30T10:00:00Z`, which is not an RFC 3339 time such as `2026-01-31T10:00:00Z`",
        ),
        (
            r#"{"version": "1", "updated_at": "2026-11-24T10:00:00Z", "runtimes": []}"#,
            "`runtimes` is missing or is not an object",
        ),
    ] {
        assert_eq!(told(&registry::check(text).1), format!("RT0501: {message}\n"));
    }
}

#[test]
fn what_was_published_is_compared_with_the_commit_before() {
    let before = published(&["a@1.0.0", "a@1.1.0", "b@0.1.0"]);
    let yanked = registry::yank(
        &registry::parse(before.as_bytes()).unwrap(),
        &"a@1.0.0".parse().unwrap(),
        ("bad", None),
        NOW,
    );
    let yanked = registry::write(&yanked.unwrap());
    let compare = |before: &str, after: &str| {
        let [before, after] = [before, after].map(|text| Ledger::read(text.to_owned()).unwrap());
        told(&after.check_unchanged(&before))
    };
    assert_eq!(compare(&before, &published(&["a@1.0.0", "a@1.1.0", "b@0.1.0", "b@0.2.0"])), "");
    assert_eq!(compare(&before, &yanked), "", "withdrawn");
    assert_eq!(compare(&yanked, &before), "", "brought back");
    let gone = "RT0511: a@1.0.0 is gone, and its number could be used again\n";
    assert_eq!(compare(&before, &published(&["a@1.1.0", "b@0.1.0"])), gone);
    assert_eq!(compare(&yanked, &published(&["a@1.1.0", "b@0.1.0"])), gone);

    let hex = digest(7).hex();
    let changed = |from: &str, to: &str| compare(&before, &before.replacen(from, to, 1));
    let other = digest(8).hex();
    assert_eq!(
        changed(&format!("sha256\": \"{hex}"), &format!("sha256\": \"{other}")),
        "RT0510: the artifact for ubuntu-amd64 of a@1.0.0 changed\n"
    );
    assert_eq!(changed("sha256:07", "sha256:08"), "RT0510: `checksum` of a@1.0.0 changed\n");
    assert_eq!(changed("\"size\": 7", "\"size\": 8"), "RT0510: `size` of a@1.0.0 changed\n");
    assert_eq!(
        changed("\"a-1.0.0.tar.gz\"", "\"c-1.0.0.tar.gz\""),
        "RT0510: `download_url` of a@1.0.0 changed\n"
    );
    assert_eq!(
        changed("ubuntu-amd64\": {", "rhel-amd64\": {"),
        "RT0510: the artifact for ubuntu-amd64 of a@1.0.0 changed\n"
    );
}

#[test]
fn a_change_touches_the_runtimes_that_it_is_about() {
    // Spelled by hand, with what this program does not know.
    let text = r#"{"version":"1","updated_at":"2026-11-24T10:00:00Z","serial":4,"runtimes":
      {"z":{"1.0.0":{"version":"1.0.0","download_url":"z.tar.gz","stars":5}},"a":{}}}"#;
    let mut ledger = Ledger::read(text.to_owned()).unwrap();
    let names = ["b".parse().unwrap()];
    let grown =
        registry::insert(&ledger.registry(&names).unwrap(), &release("b@1.0.0", 1), NOW).unwrap();
    assert_eq!(grown.runtimes().len(), 1, "of the others nothing is read");
    ledger.replace(&names, &grown);
    let written = ledger.write();
    let whole =
        registry::insert(&registry::parse(text.as_bytes()).unwrap(), &release("b@1.0.0", 1), NOW);
    let whole = registry::write(&whole.unwrap());
    // An empty section is written where there was none.
    assert_eq!(written.replace(",\n  \"yanked\": {}", ""), whole);
    assert_eq!(registry::check(&written).1, []);
}

/// A change as publishers make them.
#[derive(Debug, Clone)]
enum Change {
    Insert(&'static str, u8),
    Yank(&'static str),
    Undo(&'static str),
    Merge(&'static str),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let spec =
        || prop::sample::select(vec!["a@1.0.0", "a@1.1.0", "flat@0.1.0", "flat@0.2.0", "z@9.9.9"]);
    let change = prop_oneof![
        (spec(), 0_u8..3).prop_map(|(spec, number)| Change::Insert(spec, number)),
        spec().prop_map(Change::Yank),
        spec().prop_map(Change::Undo),
        spec().prop_map(Change::Merge),
    ];
    prop::collection::vec(change, 0..12)
}

proptest! {
    #[test]
    fn old_readers_read_whatever_is_written(changes in changes(), flat in any::<bool>()) {
        let start = if flat {
            r#"{"version": "1", "updated_at": "2025-10-19T18:00:00Z", "signed": {"serial": 4}, "runtimes": {
              "flat": {"version": "0.1.0", "download_url": "f.tar.gz", "checksum": "", "size": 1, "platforms": []},
              "a": {"0.9.0": {"version": "0.9.0", "download_url": "a.tar.gz", "stars": [1.5, null]}}}}"#
        } else {
            r#"{"version": "1", "updated_at": "2025-10-19T18:00:00Z", "runtimes": {}}"#
        };
        let mut registry = registry::parse(start.as_bytes()).unwrap();
        for change in changes {
            let spec = |text: &str| text.parse::<RuntimeSpec>().unwrap();
            // What is refused changes nothing.
            registry = match change {
                Change::Insert(text, number) => registry::insert(&registry, &release(text, number), NOW).ok(),
                Change::Yank(text) => registry::yank(&registry, &spec(text), ("bad", None), NOW).ok(),
                Change::Undo(text) => registry::undo_yank(&registry, &spec(text), NOW).ok(),
                Change::Merge(text) => registry::merge(&registry, &registry::parse(published(&[text]).as_bytes()).unwrap()).ok(),
            }
            .unwrap_or(registry);
            let text = Ledger::read(registry::write(&registry)).unwrap().write();
            let old = old_reader::decode(&text);
            prop_assert!(old.is_ok(), "{old:?}\n{text}");
            let counts = |registry: &Registry| registry.runtimes().values().map(BTreeMap::len).sum::<usize>();
            let old = old.unwrap();
            prop_assert_eq!(old.runtimes.values().map(BTreeMap::len).sum::<usize>(), counts(&registry));
            let again = registry::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(again.runtimes(), registry.runtimes());
        }
    }
}
