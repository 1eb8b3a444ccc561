//! What is installed on this host.

use std::cmp::Reverse;
use std::path::PathBuf;

use fs_err as fs;
use rnx_spec::registry::{Request, VersionRequest, near_names};
use rnx_spec::{RuntimeName, RuntimeSpec, Version, runtime_yml};
use rnx_store::layout::Layout;

use crate::record::{self, RecordError};

/// A runtime that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    pub spec: RuntimeSpec,
    /// The folder of its `runtime.yml`.
    pub dir: PathBuf,
    pub origin: Origin,
}

/// Who laid an install.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A Joblet daemon, in `<base>/<name>/<version>/` or `<base>/<name>/`. Never changed by this program.
    Daemon,
    /// This program, which keeps a record of it.
    Recorded,
}

/// A request that no install answers.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    #[error("`{request}` is not installed")]
    NotInstalled {
        request: Box<Request>,
        /// Other installed versions, the highest first.
        versions: Vec<Version>,
        /// Installed runtimes with a similar name.
        near: Vec<RuntimeName>,
    },
    #[error(transparent)]
    Record(RecordError),
}

/// Returns the install that `request` means: the version asked for, or the highest. Looks at no content, so that a job
/// starts at once.
pub fn find(layout: &Layout, request: &Request) -> Result<Installed, FindError> {
    let name = &request.name;
    if let VersionRequest::Exact(version) = request.version {
        let spec = RuntimeSpec { name: name.clone(), version };
        if record::is_installed(layout, &spec) {
            return Ok(recorded(layout, spec));
        }
    }
    let found = of_name(layout, name).map_err(FindError::Record)?;
    let chosen = found.iter().find(|installed| request.version.allows(installed.spec.version));
    match chosen {
        Some(installed) => Ok(installed.clone()),
        None => Err(FindError::NotInstalled {
            request: request.clone().into(),
            versions: found.iter().map(|installed| installed.spec.version).collect(),
            near: near(layout, name)?,
        }),
    }
}

/// Returns the installs of a runtime, the highest version first; this program's own before a daemon's.
pub fn of_name(layout: &Layout, name: &RuntimeName) -> Result<Vec<Installed>, RecordError> {
    let own = record::versions(layout, name)?;
    let mut found: Vec<Installed> = own
        .into_iter()
        .map(|version| recorded(layout, RuntimeSpec { name: name.clone(), version }))
        .chain(of_daemon(layout, name)?)
        .collect();
    found.sort_by_key(|installed| Reverse((installed.spec.version, installed.origin)));
    Ok(found)
}

/// Returns everything that is installed, by name, the highest version first.
pub fn all(layout: &Layout) -> Result<Vec<Installed>, RecordError> {
    let mut names: Vec<RuntimeName> = record::specs(layout)?.into_iter().map(|s| s.name).collect();
    // A daemon's folder has the runtime's name; no install folder of ours is a valid name.
    names.extend(record::names(layout.base())?.iter().filter_map(|name| name.parse().ok()));
    names.sort();
    names.dedup();
    let mut found = Vec::new();
    for name in names {
        found.extend(of_name(layout, &name)?);
    }
    Ok(found)
}

fn recorded(layout: &Layout, spec: RuntimeSpec) -> Installed {
    Installed { dir: layout.install(&spec), spec, origin: Origin::Recorded }
}

/// Returns what a daemon laid as `<base>/<name>/` or `<base>/<name>/<version>/`.
fn of_daemon(layout: &Layout, name: &RuntimeName) -> Result<Vec<Installed>, RecordError> {
    let folder = layout.alias(name);
    if record::folder_id(&folder).is_none() {
        return Ok(Vec::new());
    }
    let installed = |version, dir| Installed {
        spec: RuntimeSpec { name: name.clone(), version },
        dir,
        origin: Origin::Daemon,
    };
    let mut found = Vec::new();
    for version in record::names(&folder)? {
        let dir = folder.join(&version);
        if let Ok(version) = version.parse()
            && dir.join("runtime.yml").is_file()
        {
            found.push(installed(version, dir));
        }
    }
    // Only its own runtime.yml tells the version of `<base>/<name>/`; one that does not is no install.
    let own = fs::read_to_string(folder.join("runtime.yml"))
        .ok()
        .and_then(|text| runtime_yml::parse(&text).ok()?.version.parse().ok());
    found.extend(own.map(|version| installed(version, folder)));
    Ok(found)
}

fn near(layout: &Layout, name: &RuntimeName) -> Result<Vec<RuntimeName>, FindError> {
    let mut names: Vec<RuntimeName> =
        all(layout).map_err(FindError::Record)?.into_iter().map(|i| i.spec.name).collect();
    names.dedup();
    names.retain(|known| known != name);
    Ok(near_names(name, &names))
}
