//! The text of a release: what is in it, how large it is, how it is installed, and what changed. Pure.

use std::fmt::Write as _;

use rnx_spec::Version;
use rnx_spec::lock::Change;
use rnx_spec::manifest::Manifest;
use rnx_spec::registry::Release;

use super::File;

/// GitHub takes 125,000 characters.
const TEXT_CHARACTERS_MAX: usize = 100_000;

/// What the notes of one runtime are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About<'a> {
    pub manifest: &'a Manifest,
    pub release: &'a Release,
    /// What differs from the version before, if there is one and both have a lock file.
    pub changes: Option<(Version, Vec<Change>)>,
}

/// Returns the notes of a release, in Markdown.
pub fn notes(runtimes: &[About<'_>], files: &[File]) -> String {
    let mut text = String::new();
    for about in runtimes {
        runtime(&mut text, about);
    }
    text.push_str("## Files\n\n| file | bytes | sha256 |\n|---|---:|---|\n");
    for file in files {
        line(
            &mut text,
            &format!("| {} | {} | `{}` |", file.name, file.size_bytes, file.digest.hex()),
        );
    }
    text.push_str("\n`sha256sum -c SHA256SUMS` checks downloaded files.\n");
    if text.len() > TEXT_CHARACTERS_MAX {
        let mut end = TEXT_CHARACTERS_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(text[..end].rfind('\n').unwrap_or(end));
        text.push_str("\n\n(shortened; `SHA256SUMS` lists every file)\n");
    }
    text
}

fn runtime(text: &mut String, about: &About<'_>) {
    let (manifest, release) = (about.manifest, about.release);
    let spec = &release.spec;
    line(text, &format!("# {spec}\n\n{}\n", escaped(&manifest.description)));
    line(text, &format!("```sh\nrnx runtime install {spec}"));
    if let Some(test) = manifest.tests.first() {
        let words: Vec<String> = test.run.iter().map(|word| quoted(word)).collect();
        line(text, &format!("rnx job run --runtime={spec} -- {}", words.join(" ")));
    }
    text.push_str("```\n\n| platform | archive | unpacked | entries |\n|---|---:|---:|---:|\n");
    for (platform, artifact) in &release.artifacts {
        let (size, unpacked) = (mebibytes(artifact.size_bytes), mebibytes(artifact.unpacked_bytes));
        line(text, &format!("| {platform} | {size} | {unpacked} | {} |", artifact.entries));
    }
    text.push('\n');
    if !manifest.packages.is_empty() {
        text.push_str("## Contents\n\n");
        for package in &manifest.packages {
            line(text, &format!("- {}", escaped(package)));
        }
        text.push('\n');
    }
    let Some((before, changes)) = &about.changes else { return };
    line(text, &format!("## Changes since {before}\n"));
    if changes.is_empty() {
        text.push_str("The same packages.\n");
    }
    for change in changes {
        line(text, &format!("- {}", escaped(&change.to_string())));
    }
    text.push('\n');
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    writeln!(text, "{line}").ok();
}

/// Keeps what others wrote from being Markdown or HTML.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if "\\`*_<>[]|#&@".contains(character) {
            escaped.push('\\');
        }
        escaped.push(if character.is_control() { ' ' } else { character });
    }
    escaped
}

/// Writes a word as a shell takes it; a word with a backtick would end the block, and stands for itself nowhere.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10).div_ceil(1024 * 1024);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use rnx_spec::Digest;
    use rnx_spec::manifest;
    use rnx_spec::registry::{Artifact, Definition, Requires};

    use super::*;
    use crate::release::publish::Content;

    #[test]
    fn notes_say_what_it_is_and_how_to_get_it() {
        let text = "name: a\nversion: 1.1.0\ndescription: The language `A` <b>\nplatforms: [ubuntu-amd64]\npackages: [x==1.0]\n\
                    tests: [{name: t, run: [a, -c, \"print('hi')\"]}]\n";
        let manifest = manifest::parse(text).value.unwrap();
        let digest = Digest::from_bytes([1; 32]);
        let artifact = Artifact {
            url: "a.tar.gz".parse().unwrap(),
            parts: Vec::new(),
            digest,
            size_bytes: 1_500_000,
            unpacked_bytes: 4_000_000,
            entries: 12,
            files: None,
            sbom: None,
            requires: Requires::default(),
        };
        let release = Release {
            spec: manifest.spec(),
            description: String::new(),
            definition: Definition {
                url: "d.tar.gz".parse().unwrap(),
                digest: None,
                size_bytes: None,
            },
            platforms: manifest.platforms.clone(),
            released_at: None,
            source_commit: None,
            license: None,
            artifacts: [(manifest.platforms[0], artifact)].into(),
        };
        let change = Change {
            kind: "pypi",
            name: "x".to_owned(),
            before: Some("0.9".to_owned()),
            after: Some("1.0".to_owned()),
        };
        let changes = Some(("1.0.0".parse().unwrap(), vec![change]));
        let about = About { manifest: &manifest, release: &release, changes };
        let file = File {
            name: "a-1.1.0.tar.gz".to_owned(),
            content: Content::Bytes(Vec::new()),
            digest,
            size_bytes: 7,
        };
        insta::assert_snapshot!(notes(&[about], &[file]), @r"
        # a@1.1.0

        The language \`A\` \<b\>

        ```sh
        rnx runtime install a@1.1.0
        rnx job run --runtime=a@1.1.0 -- a -c 'print('\''hi'\'')'
        ```

        | platform | archive | unpacked | entries |
        |---|---:|---:|---:|
        | ubuntu-amd64 | 1.5 MiB | 3.9 MiB | 12 |

        ## Contents

        - x==1.0

        ## Changes since 1.0.0

        - pypi x 0.9 → 1.0

        ## Files

        | file | bytes | sha256 |
        |---|---:|---|
        | a-1.1.0.tar.gz | 7 | `0101010101010101010101010101010101010101010101010101010101010101` |

        `sha256sum -c SHA256SUMS` checks downloaded files.
        ");
    }
}
