//! A GitHub on loopback: releases with drafts, assets with bytes and digests, refs, contents; it fails on request.
//!
//! As on github.com there are four origins: the web pages (with downloads), the API, the uploads, and where bytes come
//! from in the end. What it answers has the fields of GitHub's own answers; a bare git repository is behind it.

mod faults;
mod releases;
pub mod replay;
mod repository;
mod serve;
mod wire;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use tempfile::TempDir;

use self::faults::Planned;
pub use self::faults::{Entry, Fault, Origin};
use self::releases::Releases;
pub use self::releases::{Asset, Release};
use self::repository::Repository;
pub use self::wire::{Head, encoded};

/// The time that everything on it was made at.
pub const NOW: &str = crate::fixture::NOW;

/// How a [`GitHub`] is set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The bare git repository behind it; a new one with an empty registry, if there is none.
    pub git_dir: Option<PathBuf>,
    /// Who shows this token may write and sees drafts; everyone may, if there is none.
    pub token: Option<String>,
    /// Where assets are kept; the folder for temporary files, if not said.
    pub scratch: Option<PathBuf>,
}

/// The beginnings of the URLs that answers hold, without a final `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    pub web: String,
    pub api: String,
    pub uploads: String,
    pub objects: String,
}

/// A GitHub with one repository, `owner/runtimes`; it ends with this value.
#[derive(Debug)]
pub struct GitHub {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    git_dir: PathBuf,
    _scratch: TempDir,
}

/// The repository that is served.
pub const REPOSITORY: &str = "owner/runtimes";

#[derive(Debug)]
struct Shared {
    token: Option<String>,
    origins: Mutex<Origins>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    releases: Releases,
    repository: Repository,
    planned: Vec<Planned>,
    log: Vec<Entry>,
    held: usize,
    stopped: bool,
}

impl GitHub {
    /// Starts one with an empty registry, open to everyone.
    pub fn start() -> Self {
        Self::with(&Options::default())
    }

    /// Starts one.
    pub fn with(options: &Options) -> Self {
        let scratch = tempfile::Builder::new();
        let scratch = match &options.scratch {
            Some(dir) => scratch.tempdir_in(dir),
            None => scratch.tempdir(),
        };
        let scratch = scratch.unwrap();
        let git_dir = options.git_dir.clone().unwrap_or_else(|| {
            let git_dir = scratch.path().join("runtimes.git");
            let empty = rnx_spec::registry::Registry::empty(NOW).unwrap();
            let registry = rnx_spec::registry::write(&empty);
            repository::init(&git_dir, &[("registry.json", registry.as_bytes())]);
            git_dir
        });
        let assets = scratch.path().join("assets");
        fs_err::create_dir(&assets).unwrap();
        let listeners: Vec<TcpListener> =
            (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<SocketAddr> =
            listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        let url = |at: usize| format!("http://{}", addresses[at]);
        let origins = Origins { web: url(0), api: url(1), uploads: url(2), objects: url(3) };
        let shared = Arc::new(Shared {
            token: options.token.clone(),
            origins: Mutex::new(origins.clone()),
            state: Mutex::new(State {
                releases: Releases::new(&assets, REPOSITORY),
                repository: Repository::new(
                    &git_dir,
                    format!("{}/repos/{REPOSITORY}", origins.api),
                ),
                planned: Vec::new(),
                log: Vec::new(),
                held: 0,
                stopped: false,
            }),
            changed: Condvar::new(),
        });
        let which = [Origin::Web, Origin::Api, Origin::Uploads, Origin::Objects];
        for (listener, origin) in listeners.into_iter().zip(which) {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.listen(&listener, origin));
        }
        Self { addresses, shared, git_dir, _scratch: scratch }
    }

    /// Returns where its parts are reached.
    pub fn origins(&self) -> Origins {
        self.shared.origins.lock().unwrap().clone()
    }

    /// Lets answers say that the API and the uploads are reached elsewhere: behind a proxy.
    pub fn put_behind(&self, api: &str, uploads: &str) {
        let mut origins = self.shared.origins.lock().unwrap();
        (origins.api, origins.uploads) = (api.to_owned(), uploads.to_owned());
    }

    /// Returns the bare git repository, to push to.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// Returns the URL of a file on a branch.
    pub fn raw_url(&self, branch: &str, path: &str) -> String {
        format!("{}/{REPOSITORY}/raw/{branch}/{path}", self.origins().web)
    }

    /// Returns the URL of a file of a release, whose tag is percent-encoded.
    pub fn download_url(&self, tag: &str, file: &str) -> String {
        format!("{}/{REPOSITORY}/releases/download/{tag}/{file}", self.origins().web)
    }

    /// Returns a file on a branch.
    pub fn file(&self, branch: &str, path: &str) -> Option<Vec<u8>> {
        self.state().repository.file(branch, path)
    }

    /// Returns all releases, drafts too, the oldest first.
    pub fn releases(&self) -> Vec<Release> {
        self.state().releases.all.clone()
    }

    /// Returns every request so far, in the order they came.
    pub fn log(&self) -> Vec<Entry> {
        self.state().log.clone()
    }

    /// Returns how often an upload of each name was completed, by name.
    pub fn completed_uploads(&self) -> std::collections::BTreeMap<String, usize> {
        let mut counts = std::collections::BTreeMap::new();
        for entry in self.log() {
            if entry.origin == Origin::Uploads && entry.acted == Some(201) {
                *counts.entry(entry.query.get("name").cloned().unwrap_or_default()).or_default() +=
                    1;
            }
        }
        counts
    }

    /// Lets the next request with this method, whose path contains `path`, go wrong.
    pub fn fail(&self, method: &str, path: &str, fault: Fault) {
        let planned = Planned::Matching { method: method.to_owned(), path: path.to_owned(), fault };
        self.state().planned.push(planned);
    }

    /// Lets the request with this number go wrong; the first one is 0.
    pub fn fail_at(&self, number: usize, fault: Fault) {
        self.state().planned.push(Planned::Numbered { number, fault });
    }

    /// Refuses changes of published releases from now on.
    pub fn make_releases_immutable(&self) {
        self.state().releases.immutable = true;
    }

    /// Tells no digests of assets from now on, as older servers.
    pub fn forget_digests(&self) {
        self.state().releases.without_digests = true;
    }

    /// Waits until a request is held by [`Fault::HoldBefore`] or [`Fault::HoldAfter`], or `ended` says that none comes.
    ///
    /// Returns whether one is held. `ended` is asked from time to time.
    pub fn wait_until_held(&self, mut ended: impl FnMut() -> bool) -> bool {
        let mut state = self.state();
        while state.held == 0 {
            if ended() {
                return false;
            }
            let poll = std::time::Duration::from_millis(5);
            state = self.shared.changed.wait_timeout(state, poll).unwrap().0;
        }
        true
    }

    /// Lets go of what is held, without an answer.
    pub fn release_held(&self) {
        self.state().held = 0;
        self.shared.changed.notify_all();
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        {
            let mut state = self.state();
            state.stopped = true;
            state.held = 0;
        }
        self.shared.changed.notify_all();
        for address in &self.addresses {
            // Wakes the thread that waits for connections.
            drop(TcpStream::connect(address));
        }
    }
}
