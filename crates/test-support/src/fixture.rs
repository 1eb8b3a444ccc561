//! Small runtimes, packed as real ones are, in a registry folder that can be served or moved.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rnx_archive::pack::pack;
use rnx_archive::tree::Tree;
use rnx_spec::artifact::{SourceDateEpoch, archive_file, definition_file, index_file};
use rnx_spec::registry::{self, Artifact, Definition, Part, Registry, Release, Requires, SideFile};
use rnx_spec::runtime_yml::{Mount, Requirements, RuntimeYml};
use rnx_spec::{Digest, Platform, RuntimeSpec, runtime_yml};
use sha2::{Digest as _, Sha256};

/// The time that all fixtures carry.
pub const NOW: &str = "2026-11-23T10:00:00Z";

/// A folder with a `registry.json` and the artifacts that it names by relative paths.
#[derive(Debug)]
pub struct RegistryFolder {
    path: PathBuf,
    registry: Registry,
}

impl RegistryFolder {
    /// Makes an empty registry in the folder `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let folder = Self { path: path.into(), registry: Registry::empty(NOW).unwrap() };
        fs::create_dir_all(&folder.path).unwrap();
        folder.write();
        folder
    }

    /// Returns the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the name of a runtime's archive in the folder.
    pub fn archive(&self, spec: &str, platform: &str) -> PathBuf {
        self.path.join(archive_file(&spec.parse().unwrap(), platform.parse().unwrap()))
    }

    /// Packs a small runtime for some platforms and publishes it; without platforms, its definition alone.
    pub fn publish(&mut self, spec: &str, platforms: &[&str]) {
        let spec: RuntimeSpec = spec.parse().unwrap();
        let tree = tempfile::tempdir().unwrap();
        write_runtime(tree.path(), &spec);
        self.publish_tree(&spec, platforms, tree.path());
    }

    /// Packs the tree `root` as the runtime `spec`, whatever it holds, and publishes it.
    pub fn publish_tree(&mut self, spec: &RuntimeSpec, platforms: &[&str], root: &Path) {
        let platforms: Vec<Platform> = platforms.iter().map(|p| p.parse().unwrap()).collect();
        let artifacts = platforms.iter().map(|&p| (p, self.pack(spec, p, root))).collect();
        let release = Release {
            spec: spec.clone(),
            description: format!("The fixture {}", spec.name),
            definition: Definition {
                url: definition_file(spec).parse().unwrap(),
                digest: None,
                size_bytes: None,
            },
            platforms,
            released_at: Some(NOW.to_owned()),
            source_commit: None,
            license: None,
            artifacts,
        };
        self.registry = registry::insert(&self.registry, &release, NOW).unwrap();
        self.write();
    }

    /// Cuts a published archive in two, and deletes the whole: only the parts can be installed.
    pub fn cut(&mut self, spec: &str, platform: &str) {
        let whole = self.archive(spec, platform);
        let (spec, platform) = (spec.parse().unwrap(), platform.parse().unwrap());
        let bytes = fs::read(&whole).unwrap();
        fs::remove_file(&whole).unwrap();
        let mut release = self.registry.get(&spec).unwrap().clone();
        let artifact = release.artifacts.get_mut(&platform).unwrap();
        let halves = bytes.split_at(bytes.len() / 3);
        for (number, half) in [halves.0, halves.1].into_iter().enumerate() {
            let file = format!("{}.part{:02}", archive_file(&spec, platform), number + 1);
            fs::write(self.path.join(&file), half).unwrap();
            artifact.parts.push(Part {
                url: file.parse().unwrap(),
                digest: Digest::from_bytes(Sha256::digest(half).into()),
                size_bytes: half.len() as u64,
            });
        }
        let empty = Registry::empty(NOW).unwrap();
        self.registry = registry::insert(&empty, &release, NOW).unwrap();
        self.write();
    }

    fn pack(&self, spec: &RuntimeSpec, platform: Platform, root: &Path) -> Artifact {
        let file = archive_file(spec, platform);
        let out = fs::File::create(self.path.join(&file)).unwrap();
        let tree = Tree::scan(root).unwrap();
        let packed = pack(&tree, SourceDateEpoch(1), NonZeroUsize::MIN, out).unwrap();
        let index = index_file(spec, platform);
        let text = serde_json::to_vec(&packed.index).unwrap();
        fs::write(self.path.join(&index), &text).unwrap();
        let digest = Digest::from_bytes(Sha256::digest(&text).into());
        Artifact {
            url: file.parse().unwrap(),
            parts: Vec::new(),
            digest: packed.sha256,
            size_bytes: packed.size_bytes,
            unpacked_bytes: packed.unpacked_bytes,
            entries: packed.entries,
            files: Some(SideFile { url: index.parse().unwrap(), digest }),
            sbom: None,
            requires: Requires::default(),
        }
    }

    fn write(&self) {
        fs::write(self.path.join("registry.json"), registry::write(&self.registry)).unwrap();
    }
}

/// Writes the tree of a small runtime: `runtime.yml`, `isolated/` with a script, some bytes, a symlink.
pub fn write_runtime(root: &Path, spec: &RuntimeSpec) {
    let document = RuntimeYml {
        name: spec.name.to_string(),
        version: spec.version.to_string(),
        description: format!("The fixture {}", spec.name),
        mounts: vec![Mount {
            source: "isolated/usr".to_owned(),
            target: "/usr".to_owned(),
            readonly: true,
        }],
        environment: [("FIXTURE".to_owned(), spec.to_string())].into(),
        requirements: Requirements::default(),
    };
    let bin = root.join("isolated/usr/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(root.join("runtime.yml"), runtime_yml::write(&document).unwrap()).unwrap();
    fs::write(bin.join("hello"), format!("#!/bin/sh\necho {spec}\n")).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(bin.join("hello"), executable).unwrap();
    fs::os::unix::fs::symlink("hello", bin.join("hi")).unwrap();
    // Bytes that hardly compress, so that a download can break off in the middle of them.
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ spec.version.patch;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take(64 * 1024)
    .flatten()
    .collect();
    fs::write(root.join("isolated/usr/noise"), noise).unwrap();
}
