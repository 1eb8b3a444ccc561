//! The `runtime.yml` of a runtime whose script wrote none, from its manifest and what stands in `isolated/`.

use std::collections::BTreeMap;

use rnx_spec::manifest::Manifest;
use rnx_spec::runtime_yml::{Mount, PATH_PREPEND, Requirements, RuntimeYml};
use rnx_spec::{Arch, RuntimeName, Version};

/// The folders of a userland that commands are in, in the order of a shell's `PATH`.
const COMMAND_FOLDERS: [&str; 5] = ["usr/local/bin", "usr/bin", "bin", "usr/sbin", "sbin"];

/// Returns the document: every top-level entry is mounted read-only where it stands.
///
/// `has` tells whether a path below `isolated/` exists.
pub fn runtime_yml(
    manifest: &Manifest,
    arch: Arch,
    top_level: &[String],
    has: impl Fn(&str) -> bool,
) -> RuntimeYml {
    let mounts = top_level
        .iter()
        .map(|entry| Mount {
            source: format!("isolated/{entry}"),
            target: format!("/{entry}"),
            readonly: true,
        })
        .collect();
    let commands: Vec<String> = COMMAND_FOLDERS
        .into_iter()
        .filter(|folder| has(folder))
        .map(|folder| format!("/{folder}"))
        .collect();
    let mut environment: BTreeMap<String, String> = manifest.environment.clone();
    if !commands.is_empty() {
        environment.entry(PATH_PREPEND.to_owned()).or_insert_with(|| commands.join(":"));
    }
    RuntimeYml {
        name: manifest.name.to_string(),
        version: manifest.version.to_string(),
        description: manifest.description.clone(),
        mounts,
        environment,
        requirements: Requirements { architectures: vec![arch.to_string()] },
    }
}

/// Returns what a script's own document says otherwise than the manifest, in words.
pub fn contradictions(document: &RuntimeYml, name: &RuntimeName, version: Version) -> Vec<String> {
    let mut found = Vec::new();
    if document.name != name.as_str() {
        found.push(format!("`name` is `{}`, the manifest says `{name}`", document.name));
    }
    if document.version != version.to_string() {
        found.push(format!("`version` is `{}`, the manifest says `{version}`", document.version));
    }
    found
}
