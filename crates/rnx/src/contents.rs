//! What is inside a runtime, from the CycloneDX document that its registry names.

use std::io;
use std::path::PathBuf;

use fs_err as fs;
use rnx_spec::registry::SideFile;
use rnx_store::blob::{self, AddBlobError, BlobRequest, SizeBound};
use serde::Deserialize;

use crate::access::AccessError;
use crate::github::{self, LocateError};
use crate::output::Component;
use crate::registry::OpenRegistry;

/// The largest SBOM that is read.
const SBOM_BYTES_MAX: u64 = 64 << 20;

/// The contents of a runtime are not known.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    #[error("the registry `{name}` cannot be asked for the SBOM")]
    Access { name: String, source: AccessError },
    #[error("the SBOM is not here, and no server is to be asked")]
    Offline,
    #[error("failed to find the SBOM")]
    Locate(#[source] LocateError),
    #[error("failed to fetch the SBOM")]
    Fetch(#[source] Box<AddBlobError>),
    #[error("failed to make a folder for the SBOM")]
    Folder(#[source] io::Error),
    #[error("failed to read the SBOM `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the SBOM is not a CycloneDX document in JSON")]
    Parse(#[source] serde_json::Error),
}

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default)]
    components: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    purl: Option<String>,
    #[serde(default)]
    licenses: Vec<LicenseChoice>,
    #[serde(default)]
    components: Vec<Self>,
}

#[derive(Debug, Deserialize)]
struct LicenseChoice {
    #[serde(default)]
    expression: Option<String>,
    #[serde(default)]
    license: Option<License>,
}

#[derive(Debug, Deserialize)]
struct License {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

/// Fetches an SBOM, or takes the copy that was kept, verifies it and reads it.
pub fn read(open: &OpenRegistry, sbom: &SideFile) -> Result<Vec<Component>, ContentsError> {
    let scratch;
    let dir = if let Some(dir) = open.cache() {
        dir.join("sbom")
    } else {
        scratch = tempfile::tempdir().map_err(ContentsError::Folder)?;
        scratch.path().to_owned()
    };
    let url = sbom.url.resolve(&open.location.document);
    if open.is_offline() && url.file_path().is_none() && !blob::path(&dir, sbom.digest).exists() {
        return Err(ContentsError::Offline);
    }
    let fetcher = open
        .fetcher()
        .map_err(|source| ContentsError::Access { name: open.location.name.clone(), source })?;
    let url = if open.by_api() {
        github::locate(fetcher, &url).map_err(ContentsError::Locate)?
    } else {
        url
    };
    let request = BlobRequest { url, digest: sbom.digest, size: SizeBound::AtMost(SBOM_BYTES_MAX) };
    let path = blob::add(fetcher, &request, &dir, &mut |_| {})
        .map_err(|error| ContentsError::Fetch(error.into()))?;
    let bytes = fs::read(&path).map_err(|source| ContentsError::Read { path, source })?;
    parse(&bytes)
}

/// Reads a CycloneDX document. Components within components count as well.
pub fn parse(bytes: &[u8]) -> Result<Vec<Component>, ContentsError> {
    let document: Document = serde_json::from_slice(bytes).map_err(ContentsError::Parse)?;
    let mut waiting = document.components;
    let mut found = Vec::new();
    while let Some(entry) = waiting.pop() {
        let kind = entry.purl.as_deref().and_then(|purl| {
            let (kind, _) = purl.strip_prefix("pkg:")?.split_once('/')?;
            Some(kind.to_owned())
        });
        let licenses = entry.licenses.into_iter().filter_map(|choice| {
            choice.expression.or_else(|| choice.license.and_then(|l| l.id.or(l.name)))
        });
        let licenses = licenses.collect();
        found.push(Component { name: entry.name, version: entry.version, kind, licenses });
        waiting.extend(entry.components);
    }
    found.sort();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_read_with_their_kind_and_licenses() {
        let document = r#"{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [
            {"type": "library", "name": "numpy", "version": "1.26.2", "purl": "pkg:pypi/numpy@1.26.2",
             "licenses": [{"license": {"id": "BSD-3-Clause"}}, {"expression": "MIT OR Apache-2.0"}]},
            {"type": "library", "name": "bash", "version": "5.2", "purl": "pkg:deb/debian/bash@5.2?arch=amd64",
             "components": [{"type": "file", "name": "inner", "licenses": [{"license": {"name": "Own"}}]}]}]}"#;
        let shown: Vec<String> = parse(document.as_bytes())
            .unwrap()
            .into_iter()
            .map(|c| format!("{} {:?} {:?} {}", c.name, c.version, c.kind, c.licenses.join(", ")))
            .collect();
        assert_eq!(
            shown,
            [
                r#"bash Some("5.2") Some("deb") "#,
                "inner None None Own",
                r#"numpy Some("1.26.2") Some("pypi") BSD-3-Clause, MIT OR Apache-2.0"#,
            ]
        );
        assert!(parse(b"<html>").is_err());
        assert_eq!(parse(b"{}").unwrap(), []);
    }
}
