//! A registry of twenty thousand versions: read, one version added, checked, written.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use fs_err as fs;
use rnx_spec::registry::{self, Ledger, Registry, Release};
use rnx_spec::{RuntimeName, RuntimeSpec};

use super::{BenchError, Contest, Report, Setting, medians, peak_bytes};
use crate::release::registry_branch::{Change, changed, with_releases};
use crate::release::registry_file;
use crate::tool::{self, Invocation};

const RUNTIMES: usize = 1000;
const VERSIONS: usize = 20;
const NOW: &str = "2026-11-24T10:00:00Z";

/// What a release script does with `jq`: the entry is put in, keys are sorted, the file is written.
const JQ: &str = r#".runtimes["runtime-500"]["2.0.0"] = .runtimes["runtime-500"]["1.0.0"]"#;

/// What a release script in Python does: the whole document is read, changed and written.
const PYTHON: &str = "import json, sys
path, out = sys.argv[1:]
document = json.load(open(path))
document['runtimes']['runtime-500']['2.0.0'] = document['runtimes']['runtime-500']['1.0.0']
with open(out, 'w') as file:
    json.dump(document, file, indent=2, sort_keys=True, ensure_ascii=False)
    file.write('\\n')
";

/// Regenerates, checks and writes a registry as a publisher does, beside scripts that check nothing.
pub fn run(setting: &Setting) -> Result<Report, BenchError> {
    let path = setting.scratch.join("registry.json");
    let scratch = |source| BenchError::Scratch { path: path.clone(), source };
    fs::write(&path, generate()).map_err(scratch)?;
    let size = fs::metadata(&path).map_err(scratch)?.len();
    let out = setting.scratch.join("written");
    fs::create_dir_all(&out).map_err(scratch)?;
    let regenerate = || -> Result<(), BenchError> {
        let text = fs::read_to_string(&path).map_err(scratch)?;
        let change = Change {
            message: String::new(),
            names: vec![name(500)],
            apply: &|registry| with_releases(registry, &[added(registry)], NOW),
            now: NOW.to_owned(),
        };
        let text = changed(Some(text), &change)
            .map_err(|source| BenchError::Registry { source: Box::new(source) })?;
        registry_file::write(&out, &text.unwrap_or_default())
            .map(drop)
            .map_err(|source| BenchError::RegistryFile { source })
    };
    // Before anything else takes memory: the peak is that of a program that does this alone.
    let peak_bytes = peak_bytes(regenerate)?;
    let ours = || {
        let started = Instant::now();
        regenerate()?;
        Ok(started.elapsed())
    };
    let script = |program: &'static str, args: &[&str]| {
        let invocation = Invocation::new(program).args(args.iter().copied());
        move || {
            let started = Instant::now();
            tool::run(&invocation).map_err(|source| BenchError::Tool { source })?;
            Ok(started.elapsed())
        }
    };
    let (from, to) = (path.to_string_lossy(), out.join("peer"));
    let to = to.to_string_lossy();
    let jq = format!("jq --sort-keys '{JQ}' '{from}' > '{to}'");
    let mut contests = vec![Contest::new("read, add a version, check all, write", ours)];
    let (mut peers, missing) = super::installed(vec![
        (
            "python3",
            Contest::new(
                "python3: json.load, json.dump",
                script("python3", &["-c", PYTHON, &from, &to]),
            ),
        ),
        ("jq", Contest::new("jq --sort-keys", script("sh", &["-c", &jq]))),
    ]);
    contests.append(&mut peers);
    let ways = medians(contests, setting.rounds)?;
    written_as_before(&path, &out)?;
    let title = format!(
        "registry: {} versions of {RUNTIMES} runtimes, {} MiB",
        RUNTIMES * VERSIONS,
        size.div_ceil(1 << 20)
    );
    Ok(Report { title, ways, peak_bytes: Some(peak_bytes), missing })
}

fn name(number: usize) -> RuntimeName {
    // Letters, digits and a hyphen are a name.
    #[expect(clippy::expect_used, reason = "a constant pattern")]
    format!("runtime-{number}").parse().expect("a name")
}

/// Returns the next release of a runtime, made of its last.
fn added(registry: &Registry) -> Release {
    let versions = registry.runtimes().values().next();
    #[expect(clippy::expect_used, reason = "the generated registry has it")]
    let last = versions.and_then(|all| all.values().next_back()).expect("a version");
    #[expect(clippy::expect_used, reason = "a constant pattern")]
    let version = "2.0.0".parse().expect("a version");
    Release { spec: RuntimeSpec { version, ..last.spec.clone() }, ..last.clone() }
}

/// The registry that was written has one version more, and is otherwise the one that was read.
fn written_as_before(before: &Path, out: &Path) -> Result<(), BenchError> {
    let read = |path: &Path| -> Result<Option<Ledger>, BenchError> {
        let text = fs::read_to_string(path)
            .map_err(|source| BenchError::Scratch { path: path.to_owned(), source })?;
        Ok(registry::check(&text).0)
    };
    let (Some(before), Some(after)) = (read(before)?, read(&out.join("registry.json"))?) else {
        return Err(BenchError::Findings { errors: 1 });
    };
    match after.check_unchanged(&before).len() {
        0 => Ok(()),
        errors => Err(BenchError::Findings { errors }),
    }
}

/// Writes what twenty releases of a thousand runtimes leave, by hand: the program under test made none of it.
fn generate() -> String {
    let hex = "0123456789abcdef".repeat(4);
    let base = "https://github.com/owner/joblet-runtimes/releases/download";
    let mut text = String::from("{\n  \"runtimes\": {\n");
    let mut names: Vec<String> = (0..RUNTIMES).map(|number| format!("runtime-{number}")).collect();
    names.sort();
    for (at, name) in names.iter().enumerate() {
        let mut versions: Vec<String> = (0..VERSIONS).map(|minor| format!("1.{minor}.0")).collect();
        versions.sort();
        let mut entries = Vec::new();
        for version in versions {
            let url = format!("{base}/{name}@{version}/{name}-{version}");
            entries.push(format!(
                r#"      "{version}": {{
        "artifacts": {{
          "ubuntu-amd64": {{
            "entries": 7451,
            "files": {{
              "sha256": "{hex}",
              "url": "{url}-ubuntu-amd64.files.json"
            }},
            "parts": [],
            "sbom": {{
              "sha256": "{hex}",
              "url": "{url}-ubuntu-amd64.sbom.json"
            }},
            "sha256": "{hex}",
            "size_bytes": 58851328,
            "unpacked_bytes": 150470656,
            "url": "{url}-ubuntu-amd64.tar.gz"
          }}
        }},
        "checksum": "sha256:{hex}",
        "description": "The runtime {name}, with its libraries",
        "download_url": "{url}.tar.gz",
        "license": "MIT",
        "platforms": [
          "ubuntu-amd64"
        ],
        "released_at": "{NOW}",
        "size": 12785,
        "source_commit": "0123456789abcdef0123456789abcdef01234567",
        "version": "{version}"
      }}"#
            ));
        }
        let comma = if at + 1 == names.len() { "" } else { "," };
        // Writing to a string cannot fail.
        writeln!(text, "    \"{name}\": {{\n{}\n    }}{comma}", entries.join(",\n"))
            .unwrap_or_default();
    }
    write!(
        text,
        "  }},\n  \"updated_at\": \"{NOW}\",\n  \"version\": \"1\",\n  \"yanked\": {{}}\n}}\n"
    )
    .unwrap_or_default();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_a_registry_without_findings() {
        let text = generate();
        let (ledger, found) = registry::check(&text);
        assert_eq!(found, []);
        assert_eq!(ledger.unwrap().names().len(), RUNTIMES);
    }
}
