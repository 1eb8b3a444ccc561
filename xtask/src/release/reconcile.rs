//! Where a registry and the releases that it is about went apart: releases that it lacks, entries whose files are gone. ⚡

use std::collections::BTreeSet;

use rnx_spec::artifact::metadata_file;
use rnx_spec::registry::{self, Ledger, ParseRegistryError, Release};
use rnx_spec::source::ParseUrlError;
use rnx_spec::{RuntimeName, RuntimeSpec, SourceUrl, Tag};
use rnx_store::fetch::{Fetcher, OpenError, ReadAllError};

/// The largest metadata of one release that is read.
const METADATA_BYTES_MAX: u64 = 4 << 20;

/// Where things are.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The registry's own address: relative ones are relative to it.
    pub registry: &'a SourceUrl,
    /// A file of a release is at `<releases>/<tag>/<file>`: on GitHub, and in a folder that was published into.
    pub releases: &'a str,
}

/// What went apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// Releases that the registry lacks, as their own metadata describes them.
    pub missing: Vec<Release>,
    /// Tags without a release: none was published, or not to its end.
    pub unpublished: Vec<Tag>,
    /// Files that the registry names and that are not there.
    pub gone: Vec<(RuntimeSpec, SourceUrl)>,
}

/// The releases could not be compared with the registry.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error("the registry cannot be read")]
    Registry { source: ParseRegistryError },
    #[error("`{tag}` has no address")]
    Address { tag: Tag, source: ParseUrlError },
    #[error("failed to read what the release `{tag}` says of itself")]
    Read { tag: Tag, source: Box<ReadAllError> },
    #[error("what the release `{tag}` says of itself is no registry")]
    Metadata { tag: Tag, source: ParseRegistryError },
    #[error("failed to ask for `{url}`")]
    Ask { url: SourceUrl, source: Box<OpenError> },
}

/// Asks for the metadata of every tag that the registry lacks, and for every file that it names.
pub fn compare(
    fetcher: &Fetcher,
    ledger: &Ledger,
    (tags, names): (&[Tag], &BTreeSet<RuntimeName>),
    places: Places<'_>,
) -> Result<Differences, ReconcileError> {
    let mut found = Differences::default();
    for tag in tags {
        let specs: Vec<RuntimeSpec> = match tag {
            Tag::One(spec) => vec![spec.clone()],
            // A tag of all runtimes leaves out what did not change: not each has its file.
            Tag::All(_) => names.iter().filter_map(|name| tag.covers(name)).collect(),
        };
        let mut released = false;
        for spec in specs {
            if is_known(ledger, &spec)? {
                released = true;
            } else if let Some(release) = metadata(fetcher, tag, &spec, places)? {
                released = true;
                found.missing.push(release);
            }
        }
        if !released {
            found.unpublished.push(tag.clone());
        }
    }
    for name in ledger.names() {
        let registry =
            ledger.registry([&name]).map_err(|source| ReconcileError::Registry { source })?;
        for release in registry.runtimes().values().flat_map(|versions| versions.values()) {
            for url in addresses(release, places.registry) {
                if !is_there(fetcher, &url)? {
                    found.gone.push((release.spec.clone(), url));
                }
            }
        }
    }
    Ok(found)
}

fn is_known(ledger: &Ledger, spec: &RuntimeSpec) -> Result<bool, ReconcileError> {
    let registry =
        ledger.registry([&spec.name]).map_err(|source| ReconcileError::Registry { source })?;
    let yanked = registry.yanked().get(&spec.name);
    let withdrawn = yanked.is_some_and(|versions| versions.contains_key(&spec.version));
    Ok(withdrawn || registry.get(spec).is_some())
}

/// Returns a release as it describes itself; `None` if it is not there.
fn metadata(
    fetcher: &Fetcher,
    tag: &Tag,
    spec: &RuntimeSpec,
    places: Places<'_>,
) -> Result<Option<Release>, ReconcileError> {
    let url = format!("{}/{tag}/{}", places.releases.trim_end_matches('/'), metadata_file(spec));
    let url: SourceUrl =
        url.parse().map_err(|source| ReconcileError::Address { tag: tag.clone(), source })?;
    let bytes = match fetcher.read_all(&url, METADATA_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(ReadAllError::Open { source, .. }) if is_absence(&source) => return Ok(None),
        Err(source) => {
            return Err(ReconcileError::Read { tag: tag.clone(), source: Box::new(source) });
        }
    };
    let registry = registry::parse(&bytes)
        .map_err(|source| ReconcileError::Metadata { tag: tag.clone(), source })?;
    Ok(registry.get(spec).cloned())
}

/// Returns where every file of a release is.
fn addresses(release: &Release, registry: &SourceUrl) -> Vec<SourceUrl> {
    let mut addresses = vec![release.definition.url.resolve(registry)];
    for artifact in release.artifacts.values() {
        if artifact.parts.is_empty() {
            addresses.push(artifact.url.resolve(registry));
        }
        addresses.extend(artifact.parts.iter().map(|part| part.url.resolve(registry)));
        let sides = [&artifact.files, &artifact.sbom].into_iter().flatten();
        addresses.extend(sides.map(|side| side.url.resolve(registry)));
    }
    // Platforms that share a build share its files.
    addresses.sort();
    addresses.dedup();
    addresses
}

fn is_there(fetcher: &Fetcher, url: &SourceUrl) -> Result<bool, ReconcileError> {
    // The answer's head is enough; nothing of the body is read.
    match fetcher.open(url, 0) {
        Ok(_opened) => Ok(true),
        Err(error) if is_absence(&error) => Ok(false),
        Err(source) => Err(ReconcileError::Ask { url: url.clone(), source: Box::new(source) }),
    }
}

fn is_absence(error: &OpenError) -> bool {
    match error {
        OpenError::Status { status, .. } => matches!(status.as_u16(), 404 | 410),
        OpenError::File(error) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}
