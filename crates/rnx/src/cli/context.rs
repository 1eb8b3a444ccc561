//! What every command needs to know of its surroundings: environment, user, configuration, host.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fs_err as fs;
use rnx::access::Access;
use rnx::config::{self, Config, Overrides};
use rnx::failure::{ExitStatus, Failure};
use rnx::registry::{Freshness, OpenRegistry, Policy};
use rnx::resolve::{self, AskError, RegistryLocation, Resolved};
use rnx_spec::Platform;
use rnx_spec::host::Host;
use rnx_spec::registry::{ParseRequestError, Request, SelectError};
use rnx_store::fetch::Fetcher;
use rnx_store::layout::Layout;

use crate::cli::Global;
use crate::cli::failure::failure;
use crate::cli::render;
use crate::cli::say::{self, say};

/// The surroundings of a command.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) layout: Layout,
}

impl Context {
    /// Reads the configuration.
    pub(crate) fn new(global: &Global, platform: Option<Platform>) -> Result<Self, Failure> {
        let overrides = Overrides { base: global.base.clone(), platform, offline: global.offline };
        let is_root = rustix::process::geteuid().is_root();
        let config = config::load(&overrides, &env, is_root)
            .map_err(|error| Failure::new(ExitStatus::Usage, &error))?;
        let base = std::path::absolute(&config.base)
            .map_err(|error| Failure::new(ExitStatus::Host, &error))?;
        Ok(Self { layout: Layout::new(base), config })
    }

    /// Returns the platforms whose artifacts are looked for, the best first.
    pub(crate) fn platforms(&self) -> Result<(Vec<Platform>, Option<Host>), Failure> {
        if let Some(platform) = self.config.platform {
            return Ok((vec![platform], None));
        }
        let machine = rustix::system::uname();
        // A host without the file is an unknown distribution.
        let os_release = fs::read_to_string("/etc/os-release")
            .or_else(|_absent| fs::read_to_string("/usr/lib/os-release"))
            .unwrap_or_default();
        let host = Host::new(&os_release, &machine.machine().to_string_lossy())
            .map_err(|error| Failure::new(ExitStatus::Host, &error))?;
        Ok((host.platforms(), Some(host)))
    }

    /// Opens the registry that `--registry` names, or those that are configured, up to one that cannot be read: it may
    /// know what is asked for of a later one.
    pub(crate) fn registries(&self, named: Option<&str>) -> Result<Registries, Failure> {
        let mut open = Vec::new();
        for location in self.locations(named)? {
            match self.open(location) {
                Ok(registry) => open.push(registry),
                Err(failure) => return Ok(Registries { open, unreadable: Some(failure) }),
            }
        }
        Ok(Registries { open, unreadable: None })
    }

    /// Opens those that can be read, for a command that looks around; says so about the others.
    pub(crate) fn readable(&self, named: Option<&str>) -> Result<Vec<OpenRegistry>, Failure> {
        let mut registries = Vec::new();
        let mut failures = Vec::new();
        for location in self.locations(named)? {
            match self.open(location) {
                Ok(open) => registries.push(open),
                Err(failure) => failures.push(failure),
            }
        }
        // Where none can be read there is nothing to look around in.
        let last = if registries.is_empty() { failures.pop() } else { None };
        for failure in failures {
            say::lines(&render::shown_lines(&failure.as_warning()));
        }
        last.map_or(Ok(registries), Err)
    }

    /// Opens a registry as its server has it now; a copy will not do.
    pub(crate) fn refreshed(&self, location: RegistryLocation) -> Result<OpenRegistry, Failure> {
        let open = OpenRegistry::open(location, self.access(), self.policy(true))
            .map_err(|error| failure(&error))?;
        if let Freshness::Unreachable { why, .. } = open.freshness() {
            return Err(failure(why.as_ref()));
        }
        say_age(&open);
        Ok(open)
    }

    /// Opens those that can be read without asking a server, and says nothing about the others.
    pub(crate) fn kept(&self) -> Result<Vec<OpenRegistry>, Failure> {
        let policy = Policy { offline: true, ..self.policy(false) };
        let open = |location| OpenRegistry::open(location, self.access(), policy.clone()).ok();
        Ok(self.locations(None)?.into_iter().filter_map(open).collect())
    }

    /// Returns the registries that are meant, in the order in which they are asked.
    pub(crate) fn locations(&self, named: Option<&str>) -> Result<Vec<RegistryLocation>, Failure> {
        let folder =
            std::env::current_dir().map_err(|error| Failure::new(ExitStatus::Host, &error))?;
        let configured = &self.config.registries;
        if let Some(text) = named.or(self.config.registry.as_deref()) {
            let location = resolve::location(text, configured, &folder)
                .map_err(|error| location_failure(&error, &folder))?;
            return Ok(vec![location]);
        }
        let locations: Vec<_> = configured
            .iter()
            .filter(|registry| registry.enabled)
            .map(|registry| resolve::configured_location(registry, &folder))
            .collect::<Result<_, _>>()
            .map_err(|error| location_failure(&error, &folder))?;
        if locations.is_empty() {
            return Err(Failure::message(ExitStatus::Findings, "no registry is configured")
                .hint("name one with `--registry`, or add one: `rnx registry add NAME URL`"));
        }
        Ok(locations)
    }

    /// Opens a registry, and says how old what is known of it is, where that is not the usual.
    fn open(&self, location: RegistryLocation) -> Result<OpenRegistry, Failure> {
        let open = OpenRegistry::open(location, self.access(), self.policy(false))
            .map_err(|error| failure(&error))?;
        say_age(&open);
        Ok(open)
    }

    fn access(&self) -> Access {
        let Config { mirrors, ca_bundle, .. } = &self.config;
        Access { env, mirrors: mirrors.clone(), ca_bundle: ca_bundle.clone() }
    }

    fn policy(&self, refresh: bool) -> Policy {
        let Config { cache, ttl, offline, .. } = &self.config;
        let (cache, now) = (cache.clone(), SystemTime::now());
        Policy { cache, ttl: *ttl, offline: *offline, refresh, now }
    }
}

/// The registries that are asked, in their order.
pub(crate) struct Registries {
    pub(crate) open: Vec<OpenRegistry>,
    /// Why the one behind them cannot be read; those behind that one are not asked.
    pub(crate) unreadable: Option<Failure>,
}

/// Returns what the first registry that knows the runtime has for the request.
pub(crate) fn choose<'a>(
    registries: &'a Registries,
    request: &Request,
    platforms: &[Platform],
) -> Result<(&'a OpenRegistry, Resolved), Failure> {
    let mut first = None;
    let mut near = Vec::new();
    for open in &registries.open {
        match resolve::ask(open, request, platforms) {
            Ok(resolved) => return Ok((open, resolved)),
            Err(AskError::Select(SelectError::UnknownRuntime { name, near: these })) => {
                near.extend(these);
                first.get_or_insert((open, name));
            }
            // Another registry's runtime of the same name is not the one that was meant.
            Err(AskError::Select(error)) => return Err(failure(&error)),
            Err(AskError::Load(error)) => return Err(failure(error.as_ref())),
        }
    }
    if let Some(failure) = &registries.unreadable {
        return Err(failure.clone());
    }
    let Some((open, name)) = first else {
        return Err(Failure::message(ExitStatus::Findings, "no registry is configured"));
    };
    near.dedup();
    let mut failure = failure(&SelectError::UnknownRuntime { name: name.clone(), near });
    // An entry that cannot be read may be the one that was meant.
    let own = format!("runtimes/{name}");
    for entry in &open.index().unreadable {
        if entry.place == own || entry.place.starts_with(&format!("{own}/")) {
            failure.causes.push(format!("`{}` cannot be read: {}", entry.place, entry.reason));
        }
    }
    Err(failure)
}

/// Returns what reads a registry's artifacts; a failure where no server is to be asked.
pub(crate) fn fetcher<'a>(
    context: &Context,
    open: &'a OpenRegistry,
) -> Result<&'a Fetcher, Failure> {
    if context.config.offline && open.location.document.file_path().is_none() {
        let name = &open.location.name;
        let text = format!("what `{name}` has must be fetched, and no server is to be asked");
        return Err(Failure::message(ExitStatus::Network, text)
            .hint("leave out `--offline` (or `RNX_OFFLINE`), or install from a folder"));
    }
    open.fetcher().map_err(|error| failure(&error))
}

fn say_age(open: &OpenRegistry) {
    let name = render::shown(&open.location.name);
    match open.freshness() {
        Freshness::Asked | Freshness::Kept { .. } => {}
        Freshness::Offline { age } => {
            say!("note: the copy of the registry `{name}` is {} old", time(*age));
        }
        Freshness::Unreachable { age, why } => {
            let warning = failure(why.as_ref()).as_warning();
            say::lines(&render::shown_lines(&warning));
            say!("note: its copy is used, which is {} old", time(*age));
        }
    }
    if let Some(error) = open.not_kept() {
        let warning = Failure::new(ExitStatus::Host, error)
            .hint("name another folder for copies: `RNX_CACHE_DIR=DIR`");
        say::lines(&render::shown_lines(&warning.as_warning()));
    }
}

/// Returns a time as people say it.
pub(crate) fn time(age: Duration) -> String {
    let minutes = age.as_secs() / 60;
    match (minutes / 60 / 24, minutes / 60, minutes) {
        (0, 0, 0) => format!("{} s", age.as_secs()),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {} min", minutes % 60),
        (days, hours, _) => format!("{days} d {} h", hours % 24),
    }
}

/// Reads an argument that names a runtime, and says on one line what is wrong with it.
pub(crate) fn request(text: &str) -> Result<Request, String> {
    text.parse().map_err(|error: ParseRequestError| {
        Failure::new(ExitStatus::Usage, &error).causes.join(": ")
    })
}

/// Looks up a variable of the environment.
pub(crate) fn env(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Says what is wrong with the name of a registry.
pub(crate) fn location_failure(error: &resolve::LocationError, folder: &Path) -> Failure {
    let failure = Failure::new(ExitStatus::Usage, error);
    match error {
        resolve::LocationError::Unknown { text, .. } if folder.join(text).is_dir() => {
            failure.hint(format!("`{text}` is a folder: write `./{text}`"))
        }
        resolve::LocationError::Unknown { configured, .. } if !configured.is_empty() => {
            failure.hint(format!("configured are: {}", configured.join(", ")))
        }
        _ => failure,
    }
}
