//! Reading registries, from where they are or from the copy that was kept. All their bytes pass through here before they
//! are parsed.

pub mod cache;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use rnx_spec::registry::{Index, ParseRegistryError, Registry};
use rnx_spec::{RuntimeName, SourceUrl};
use rnx_store::fetch::{Document, Fetcher, ReadAllError, Revalidated};

use self::cache::{CacheError, Copy};
use crate::access::{self, Access, AccessError};
use crate::resolve::RegistryLocation;

/// The largest `registry.json` that is read.
pub const REGISTRY_BYTES_MAX: u64 = 64 << 20;

/// When a copy will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Where copies are kept; none are, if there is no folder.
    pub cache: Option<PathBuf>,
    /// How long a copy is used without asking its server.
    pub ttl: Duration,
    /// Ask no server.
    pub offline: bool,
    /// Ask the server, however new the copy is.
    pub refresh: bool,
    pub now: SystemTime,
}

/// A registry that can be asked.
#[derive(Debug)]
pub struct OpenRegistry {
    pub location: RegistryLocation,
    access: Access,
    policy: Policy,
    first: Loaded,
    /// What its server had when something was missed in the first.
    newer: OnceLock<Loaded>,
    fetcher: OnceLock<Fetcher>,
}

/// How old what is known of a registry is.
#[derive(Debug)]
pub enum Freshness {
    /// Its server was asked just now, or it is a file.
    Asked,
    /// A copy that is new enough.
    Kept { age: Duration },
    /// A copy that is used since no server is to be asked.
    Offline { age: Duration },
    /// A copy that is used since the server could not be read.
    Unreachable { age: Duration, why: Box<LoadRegistryError> },
}

/// A registry that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadRegistryError {
    #[error("failed to read the registry `{name}`")]
    Read { name: String, source: ReadAllError },
    #[error("the registry `{name}` cannot be asked")]
    Access { name: String, source: AccessError },
    #[error("`{url}` is no registry")]
    Parse { url: SourceUrl, source: ParseRegistryError },
    #[error("there is no copy of the registry `{name}`, and no server is to be asked")]
    Offline { name: String },
    #[error("failed to read the copy of the registry `{name}`")]
    ReadCopy { name: String, source: io::Error },
}

#[derive(Debug)]
struct Loaded {
    content: Content,
    freshness: Freshness,
    /// The copy could not be kept.
    not_kept: Option<CacheError>,
}

#[derive(Debug)]
enum Content {
    Memory { index: Index, document: Vec<u8> },
    Copy(Copy),
}

impl OpenRegistry {
    /// Opens a registry: its copy if that will do, or what its server has.
    pub fn open(
        location: RegistryLocation,
        access: Access,
        policy: Policy,
    ) -> Result<Self, LoadRegistryError> {
        let fetcher = OnceLock::new();
        let first = load(&location, &policy, &|| get(&fetcher, &access, &location))?;
        Ok(Self { location, access, policy, first, newer: OnceLock::new(), fetcher })
    }

    /// Returns what reads the registry's artifacts.
    pub fn fetcher(&self) -> Result<&Fetcher, AccessError> {
        get(&self.fetcher, &self.access, &self.location)
    }

    /// Returns the folder of copies.
    pub fn cache(&self) -> Option<&Path> {
        self.policy.cache.as_deref()
    }

    /// Whether no server is to be asked.
    pub fn is_offline(&self) -> bool {
        self.policy.offline
    }

    /// Whether release assets are asked for at GitHub's API, since its pages know no tokens.
    pub fn by_api(&self) -> bool {
        self.location.on_github && self.location.auth.is_some()
    }

    /// Returns what there is in the registry.
    pub fn index(&self) -> &Index {
        match &self.current().content {
            Content::Memory { index, .. } => index,
            Content::Copy(copy) => &copy.index,
        }
    }

    /// Returns how old that is.
    pub fn freshness(&self) -> &Freshness {
        &self.current().freshness
    }

    /// Returns why no copy could be kept.
    pub fn not_kept(&self) -> Option<&CacheError> {
        self.current().not_kept.as_ref()
    }

    /// Returns a registry with one runtime alone, without it if it has none of that name.
    pub fn only(&self, name: &RuntimeName) -> Result<Registry, LoadRegistryError> {
        let index = self.index();
        let (published, withdrawn) = match index.places(name) {
            Some(places) => (self.bytes(&places.published)?, self.bytes(&places.withdrawn)?),
            None => (Vec::new(), Vec::new()),
        };
        let url = || self.location.document.clone();
        index
            .parse_one(name, &published, &withdrawn)
            .map_err(|source| LoadRegistryError::Parse { url: url(), source })
    }

    /// Asks the server once more if all that is known is a copy, and says whether it has something else.
    pub fn look_again(&self) -> Result<bool, LoadRegistryError> {
        if !matches!(self.freshness(), Freshness::Kept { .. }) || self.newer.get().is_some() {
            return Ok(false);
        }
        let policy = Policy { refresh: true, ..self.policy.clone() };
        let loaded = load(&self.location, &policy, &|| self.fetcher())?;
        Ok(self.newer.set(loaded).is_ok())
    }

    fn current(&self) -> &Loaded {
        self.newer.get().unwrap_or(&self.first)
    }

    fn bytes(&self, range: &Range<u64>) -> Result<Vec<u8>, LoadRegistryError> {
        let name = || self.location.name.clone();
        let read = match &self.current().content {
            Content::Copy(copy) => copy.read(range),
            Content::Memory { document, .. } => {
                let at = |offset: u64| usize::try_from(offset).ok();
                let part = at(range.start).zip(at(range.end)).and_then(|(a, b)| document.get(a..b));
                part.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::InvalidData.into())
            }
        };
        read.map_err(|source| LoadRegistryError::ReadCopy { name: name(), source })
    }
}

fn get<'a>(
    fetcher: &'a OnceLock<Fetcher>,
    access: &Access,
    location: &RegistryLocation,
) -> Result<&'a Fetcher, AccessError> {
    if let Some(fetcher) = fetcher.get() {
        return Ok(fetcher);
    }
    let made = access::fetcher(access, location)?;
    Ok(fetcher.get_or_init(|| made))
}

impl Policy {
    fn age(&self, copy: &Copy) -> Option<Duration> {
        match self.now.duration_since(copy.valid_at) {
            Ok(age) => Some(age),
            // Another process made it a moment ago. What is further in the future says nothing of its age.
            Err(ahead) if ahead.duration() <= self.ttl => Some(Duration::ZERO),
            Err(_) => None,
        }
    }

    fn is_enough(&self, copy: &Copy) -> bool {
        !self.refresh && self.age(copy).is_some_and(|age| age < self.ttl)
    }

    fn kept(&self, copy: Copy) -> Loaded {
        let age = self.age(&copy).unwrap_or_default();
        let stale = self.offline && !self.is_enough(&copy);
        let freshness = if stale { Freshness::Offline { age } } else { Freshness::Kept { age } };
        Loaded { content: Content::Copy(copy), freshness, not_kept: None }
    }
}

type GetFetcher<'a> = &'a dyn Fn() -> Result<&'a Fetcher, AccessError>;

fn load(
    location: &RegistryLocation,
    policy: &Policy,
    fetcher: GetFetcher<'_>,
) -> Result<Loaded, LoadRegistryError> {
    let local = access::is_local(location);
    let dir = policy.cache.as_deref().filter(|_| !local);
    if let Some(copy) = dir.and_then(|dir| cache::open(dir, &location.document))
        && (policy.offline || policy.is_enough(&copy))
    {
        return Ok(policy.kept(copy));
    }
    if policy.offline && !local {
        return Err(LoadRegistryError::Offline { name: location.name.clone() });
    }
    let Some(dir) = dir else { return ask(location, policy, None, fetcher) };
    match cache::lock(dir, &location.document) {
        Ok(guard) => {
            let loaded = ask(location, policy, Some(dir), fetcher);
            match (loaded, guard.delete()) {
                (Ok(loaded), Err(error)) => {
                    Ok(Loaded { not_kept: Some(CacheError::Lock(error)), ..loaded })
                }
                (loaded, _) => loaded,
            }
        }
        // A copy that cannot be replaced may still be read.
        Err(error) => {
            let loaded = ask(location, policy, None, fetcher)?;
            Ok(Loaded { not_kept: Some(error), ..loaded })
        }
    }
}

/// Asks the server, and keeps what it says in `dir`, whose lock the caller holds.
fn ask(
    location: &RegistryLocation,
    policy: &Policy,
    dir: Option<&Path>,
    fetcher: GetFetcher<'_>,
) -> Result<Loaded, LoadRegistryError> {
    let url = &location.document;
    let mut copy = dir.and_then(|dir| cache::open(dir, url));
    if let Some(copy) = copy.take_if(|copy| policy.is_enough(copy)) {
        // Another process asked while this one waited.
        return Ok(policy.kept(copy));
    }
    let etag = copy.as_ref().and_then(|copy| copy.etag.as_deref());
    let asked = |content, not_kept| Loaded { content, freshness: Freshness::Asked, not_kept };
    match (read(location, etag, fetcher), copy) {
        (Ok(Some((document, index))), _) => {
            let Document { bytes, etag } = document;
            let written =
                dir.map_or(Ok(()), |dir| cache::write(dir, url, etag.as_deref(), &index, &bytes));
            Ok(asked(Content::Memory { index, document: bytes }, written.err()))
        }
        (Ok(None), Some(mut copy)) => {
            let confirmed = cache::confirm(&mut copy, policy.now);
            let not_kept = confirmed
                .err()
                .zip(dir)
                .map(|(source, dir)| CacheError::Write { path: cache::path(dir, url), source });
            Ok(asked(Content::Copy(copy), not_kept))
        }
        (Ok(None), None) => Err(LoadRegistryError::Read {
            name: location.name.clone(),
            source: ReadAllError::Read {
                url: url.clone(),
                source: io::Error::other("the server says that nothing changed since never"),
            },
        }),
        (Err(why), Some(copy)) => {
            let age = policy.age(&copy).unwrap_or_default();
            let freshness = Freshness::Unreachable { age, why: why.into() };
            Ok(Loaded { content: Content::Copy(copy), freshness, not_kept: None })
        }
        (Err(why), None) => Err(why),
    }
}

/// Reads the document unless it is the one that is called `etag`. This is where its bytes are looked at first.
fn read(
    location: &RegistryLocation,
    etag: Option<&str>,
    fetcher: GetFetcher<'_>,
) -> Result<Option<(Document, Index)>, LoadRegistryError> {
    let name = || location.name.clone();
    let url = &location.document;
    let fetcher = fetcher().map_err(|source| LoadRegistryError::Access { name: name(), source })?;
    let read = fetcher
        .read_if_changed(url, etag, REGISTRY_BYTES_MAX)
        .map_err(|source| LoadRegistryError::Read { name: name(), source })?;
    let Revalidated::Changed(document) = read else { return Ok(None) };
    let index = Index::build(&document.bytes)
        .map_err(|source| LoadRegistryError::Parse { url: url.clone(), source })?;
    Ok(Some((document, index)))
}
