//! Image indexes, image manifests and image configurations (OCI image-spec, and Docker's older names): pure.

use rnx_spec::{Arch, Digest};
use serde::Deserialize;

/// The media types that are asked for.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

const LAYERS_MAX: usize = 256;
/// More than any base has.
const LAYER_BYTES_MAX: u64 = 32 << 30;

/// What stands behind an image's digest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Document {
    Index(Vec<IndexEntry>),
    Manifest(Manifest),
}

/// An image for one platform.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct IndexEntry {
    #[serde(flatten)]
    pub(crate) descriptor: Descriptor,
    #[serde(default)]
    platform: Option<PlatformDocument>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct PlatformDocument {
    architecture: String,
    os: String,
}

/// A configuration and layers, from the lowest up.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// Bytes by digest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// A document that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("it is no image manifest or index")]
    Json { source: serde_json::Error },
    #[error("it is neither an image manifest nor an index: it has no `layers` and no `manifests`")]
    Neither,
    #[error("it has no image for linux/{arch}; it has {}", found.join(", "))]
    NoPlatform { arch: Arch, found: Vec<String> },
    #[error("the image is for {found}, not for linux/{arch}")]
    WrongPlatform { arch: Arch, found: String },
    #[error("it has {count} layers; at most {LAYERS_MAX} are unpacked")]
    Layers { count: usize },
    #[error("its layer {digest} is of the type `{media_type}`, which cannot be unpacked")]
    LayerType { digest: Digest, media_type: String },
    #[error("its blob {digest} is said to have {size_bytes} bytes, more than any base has")]
    Size { digest: Digest, size_bytes: u64 },
    #[error("its image configuration cannot be read")]
    Config { source: serde_json::Error },
}

/// Reads what an image's digest stands for.
pub(crate) fn parse(bytes: &[u8]) -> Result<Document, DocumentError> {
    #[derive(Deserialize)]
    struct Either {
        manifests: Option<Vec<IndexEntry>>,
        config: Option<Descriptor>,
        layers: Option<Vec<Descriptor>>,
    }
    let either: Either =
        serde_json::from_slice(bytes).map_err(|source| DocumentError::Json { source })?;
    // A document that is both means something else to each reader (CVE-2021-41190).
    match (either.manifests, either.config, either.layers) {
        (Some(manifests), None, None) => Ok(Document::Index(manifests)),
        (None, Some(config), Some(layers)) => {
            let manifest = Manifest { config, layers };
            manifest.check()?;
            Ok(Document::Manifest(manifest))
        }
        _ => Err(DocumentError::Neither),
    }
}

/// Picks the image for `arch`.
pub(crate) fn choose(entries: &[IndexEntry], arch: Arch) -> Result<&Descriptor, DocumentError> {
    let platform = |entry: &IndexEntry| {
        let platform = entry.platform.as_ref()?;
        Some(format!("{}/{}", platform.os, platform.architecture))
    };
    let wanted = format!("linux/{arch}");
    entries
        .iter()
        .find(|entry| platform(entry).is_some_and(|platform| platform == wanted))
        .map(|entry| &entry.descriptor)
        .ok_or_else(|| {
            let mut found: Vec<_> = entries.iter().filter_map(platform).collect();
            found.sort();
            found.dedup();
            DocumentError::NoPlatform { arch, found }
        })
}

/// Checks that an image configuration is for `arch`.
pub(crate) fn check_config(bytes: &[u8], arch: Arch) -> Result<(), DocumentError> {
    let config: PlatformDocument =
        serde_json::from_slice(bytes).map_err(|source| DocumentError::Config { source })?;
    let found = format!("{}/{}", config.os, config.architecture);
    if found != format!("linux/{arch}") {
        return Err(DocumentError::WrongPlatform { arch, found });
    }
    Ok(())
}

impl Manifest {
    fn check(&self) -> Result<(), DocumentError> {
        let count = self.layers.len();
        if count == 0 || count > LAYERS_MAX {
            return Err(DocumentError::Layers { count });
        }
        for layer in &self.layers {
            let Descriptor { media_type, digest, size } = layer;
            let (digest, size_bytes) = (*digest, *size);
            if size_bytes > LAYER_BYTES_MAX {
                return Err(DocumentError::Size { digest, size_bytes });
            }
            // "Foreign" layers lie elsewhere, and belong to other systems.
            let known = [
                "application/vnd.oci.image.layer.v1.tar",
                "application/vnd.oci.image.layer.v1.tar+gzip",
                "application/vnd.oci.image.layer.v1.tar+zstd",
                "application/vnd.docker.image.rootfs.diff.tar",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            ];
            if !known.contains(&media_type.as_str()) {
                let media_type = media_type.clone();
                return Err(DocumentError::LayerType { digest, media_type });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(byte: u8) -> Digest {
        Digest::from_bytes([byte; 32])
    }

    #[test]
    fn an_index_leads_to_the_image_of_the_architecture() {
        let entry = |byte, os: &str, arch: &str| {
            format!(
                r#"{{"mediaType":"x","size":1,"digest":"{}","platform":{{"os":"{os}","architecture":"{arch}"}}}}"#,
                digest(byte)
            )
        };
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{},{},{}]}}"#,
            entry(1, "windows", "arm64"),
            entry(2, "linux", "arm64"),
            entry(3, "linux", "amd64")
        );
        let Document::Index(entries) = parse(text.as_bytes()).unwrap() else { panic!() };
        assert_eq!(choose(&entries, Arch::Arm64).unwrap().digest, digest(2));
        assert_eq!(
            choose(&entries[..1], Arch::Amd64).unwrap_err().to_string(),
            "it has no image for linux/amd64; it has windows/arm64"
        );
    }

    #[test]
    fn documents_that_can_be_read_two_ways_or_not_at_all_are_refused() {
        let config = format!(r#""config":{{"digest":"{}","size":2}}"#, digest(1));
        let layer = |media_type: &str, size: u64| {
            format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":{size}}}"#, digest(2))
        };
        let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
        let good = format!("{{{config},\"layers\":[{}]}}", layer(gzip, 5));
        assert!(matches!(parse(good.as_bytes()), Ok(Document::Manifest(_))));
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        for (text, said) in [
            (good.replace("layers", "manifests"), "it is neither"),
            (good.replacen('{', "{\"manifests\":[],", 1), "it is neither"),
            ("[]".to_owned(), "it is no image manifest"),
            (format!("{{{config},\"layers\":[]}}"), "it has 0 layers"),
            (format!("{{{config},\"layers\":[{}]}}", layer(foreign, 5)), "its layer sha256:"),
            (format!("{{{config},\"layers\":[{}]}}", layer(gzip, 1 << 40)), "its blob sha256:"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
