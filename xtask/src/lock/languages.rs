//! Packages of languages' package managers in a tree, found by what their installers leave beside them.

use std::io::{self, Read};
use std::path::{Component, Path};

use rnx_spec::Digest;
use rnx_spec::lock::{LanguageKind, LanguagePackage};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

use super::jars;

/// What a package says of itself is read up to this size.
const METADATA_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A tree could not be searched for packages.
#[derive(Debug, thiserror::Error)]
pub enum FindPackagesError {
    #[error("failed to list `{}`", root.display())]
    List { root: std::path::PathBuf, source: walkdir::Error },
    #[error("failed to read what a package says of itself")]
    Read { source: io::Error },
}

/// A package, and the licence that it says it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub package: LanguagePackage,
    pub license: Option<String>,
}

/// Returns the packages below `isolated/` of the runtime's folder `root`, sorted. Links are not followed. ⚡
pub fn find(root: &Path) -> Result<Vec<Found>, FindPackagesError> {
    let mut found = Vec::new();
    for entry in WalkDir::new(root.join("isolated")).sort_by_file_name() {
        let entry =
            entry.map_err(|source| FindPackagesError::List { root: root.to_owned(), source })?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy();
        let kind = entry.file_type();
        let read = |source| FindPackagesError::Read { source };
        if kind.is_dir() && name.ends_with(".dist-info") {
            found.extend(python(root, path, "METADATA", "RECORD").map_err(read)?);
        } else if kind.is_dir() && name.ends_with(".egg-info") {
            found.extend(python(root, path, "PKG-INFO", "PKG-INFO").map_err(read)?);
        } else if kind.is_file() && name.ends_with(".egg-info") {
            found.extend(python(root, path, "", "").map_err(read)?);
        } else if kind.is_file() && name == "package.json" && in_node_modules(path) {
            found.extend(npm(root, path).map_err(read)?);
        } else if kind.is_file() && name.ends_with(".jar") {
            found.extend(maven(root, path).map_err(read)?);
        }
    }
    found.sort_by(|a, b| a.package.cmp(&b.package));
    Ok(found)
}

/// `metadata` and `record` are files of the folder `path`, or empty where it is a file itself.
fn python(root: &Path, path: &Path, metadata: &str, record: &str) -> io::Result<Option<Found>> {
    let at = |name: &str| if name.is_empty() { path.to_owned() } else { path.join(name) };
    let Some(text) = read(&at(metadata))? else { return Ok(None) };
    let written = match read(&at(record))? {
        Some(record) => record,
        None => text.clone(),
    };
    let text = String::from_utf8_lossy(&text);
    // The fields end at the first empty line; the long description comes after it.
    let fields: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
    let field = |key: &str| {
        let value = fields.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let (Some(name), Some(version)) = (field("Name"), field("Version")) else { return Ok(None) };
    let license = field("License-Expression")
        .or_else(|| field("License").filter(|text| names_license(text)))
        .or_else(|| classified(&fields));
    Ok(Some(Found {
        package: package(LanguageKind::Pypi, (name, version), (root, path), digest(&written)),
        license,
    }))
}

/// Some put the whole text of a licence into the field, of which only the first line is seen here.
fn names_license(text: &str) -> bool {
    const NAME_CHARS_MAX: usize = 60;
    text != "UNKNOWN" && text.chars().count() <= NAME_CHARS_MAX && !text.starts_with("Copyright")
}

/// `Classifier: License :: OSI Approved :: MIT License` says `MIT License`.
fn classified(fields: &[&str]) -> Option<String> {
    let mut licenses: Vec<&str> = fields
        .iter()
        .filter_map(|line| line.strip_prefix("Classifier: License ::"))
        .filter_map(|rest| rest.rsplit("::").next())
        .map(str::trim)
        .filter(|name| *name != "OSI Approved")
        .collect();
    licenses.dedup();
    (!licenses.is_empty()).then(|| licenses.join(", "))
}

fn in_node_modules(path: &Path) -> bool {
    let mut above = path.components().rev().skip(2).map(Component::as_os_str);
    let first = above.next();
    let is_modules =
        |name: Option<&std::ffi::OsStr>| name.is_some_and(|name| name == "node_modules");
    let is_scope = first.is_some_and(|name| name.as_encoded_bytes().starts_with(b"@"));
    is_modules(first) || (is_scope && is_modules(above.next()))
}

#[derive(Deserialize)]
struct PackageJson {
    name: String,
    version: String,
    license: Option<serde_json::Value>,
}

fn npm(root: &Path, path: &Path) -> io::Result<Option<Found>> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    // Test data of packages has such files, too, which need not be whole.
    let Ok(document) = serde_json::from_slice::<PackageJson>(&bytes) else { return Ok(None) };
    let PackageJson { name, version, license } = document;
    let license = license.and_then(|value| match value {
        serde_json::Value::String(text) => Some(text),
        // An old form: `{"type": "MIT", "url": …}`.
        other => other["type"].as_str().map(str::to_owned),
    });
    let package = package(LanguageKind::Npm, (name, version), (root, path), digest(&bytes));
    Ok(Some(Found { package, license }))
}

fn maven(root: &Path, path: &Path) -> io::Result<Vec<Found>> {
    let projects = jars::projects(path)?;
    if projects.is_empty() {
        return Ok(Vec::new());
    }
    let mut hasher = Sha256::new();
    let mut file = fs_err::File::open(path)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            bytes => hasher.update(&buffer[..bytes]),
        }
    }
    let digest = Digest::from_bytes(hasher.finalize().into());
    let found = projects.into_iter().map(|jars::Project { name, version, license }| Found {
        package: package(LanguageKind::Maven, (name, version), (root, path), digest),
        license,
    });
    Ok(found.collect())
}

fn package(
    kind: LanguageKind,
    (name, version): (String, String),
    (root, path): (&Path, &Path),
    sha256: Digest,
) -> LanguagePackage {
    let path = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
    LanguagePackage { kind, name, path, version, sha256, download: None }
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// Nothing where there is no such file, or something else of that name.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    if !path.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    fs_err::File::open(path)?.take(METADATA_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, content: &str) {
        let path = root.join("isolated").join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }

    #[test]
    fn packages_are_found_by_what_their_installers_left() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put(
            root,
            "lib/a-1.dist-info/METADATA",
            "Name: A\nVersion: 1\nLicense-Expression: MIT\n\nName: no\n",
        );
        put(root, "lib/a-1.dist-info/RECORD", "a.py,sha256=x,1\n");
        put(
            root,
            "lib/b.egg-info",
            "Name: b\nVersion: 2\nLicense: UNKNOWN\nClassifier: License :: OSI Approved\nClassifier: License :: OSI Approved :: BSD License\n",
        );
        put(root, "lib/c.egg-info/PKG-INFO", "Name: c\nVersion: 3\nLicense: PSF\n");
        put(root, "lib/d-1.dist-info/METADATA", "no fields");
        put(
            root,
            "lib/node_modules/@s/e/package.json",
            r#"{"name": "@s/e", "version": "4", "license": {"type": "ISC"}}"#,
        );
        put(
            root,
            "lib/node_modules/f/package.json",
            r#"{"name": "f", "version": "5", "license": "MIT"}"#,
        );
        put(root, "lib/node_modules/f/test/package.json", r#"{"name": "data", "version": "0"}"#);
        put(root, "lib/node_modules/g/package.json", "{");
        std::os::unix::fs::symlink("/etc/passwd", root.join("isolated/lib/h.egg-info")).unwrap();
        let told: Vec<String> = find(root)
            .unwrap()
            .iter()
            .map(|Found { package, license }| {
                let kind = package.kind.as_str();
                format!("{kind} {} {} {} {license:?}", package.name, package.version, package.path)
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        pypi A 1 isolated/lib/a-1.dist-info Some("MIT")
        pypi b 2 isolated/lib/b.egg-info Some("BSD License")
        pypi c 3 isolated/lib/c.egg-info Some("PSF")
        npm @s/e 4 isolated/lib/node_modules/@s/e/package.json Some("ISC")
        npm f 5 isolated/lib/node_modules/f/package.json Some("MIT")
        "#);
        let a = &find(root).unwrap()[0].package;
        assert_eq!(a.sha256, digest(b"a.py,sha256=x,1\n"));
    }
}
