//! What every command needs to know of its surroundings: environment, user, configuration, host.

use std::ffi::OsString;
use std::path::Path;

use fs_err as fs;
use rnx::config::{self, Config, Overrides};
use rnx::failure::{ExitStatus, Failure};
use rnx::registry;
use rnx::resolve::{self, RegistryLocation};
use rnx_spec::Platform;
use rnx_spec::host::Host;
use rnx_spec::registry::{ParseRequestError, Registry, Request};
use rnx_store::fetch::{FetchOptions, Fetcher, OriginToken, Proxies};
use rnx_store::layout::Layout;

use crate::cli::Global;
use crate::cli::failure::failure;

/// Where distributions keep the certificates that they, and their administrators, trust.
const SYSTEM_CERTIFICATES: [&str; 2] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// The surroundings of a command.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) layout: Layout,
}

/// A registry that was read, and what reads its artifacts.
#[derive(Debug)]
pub(crate) struct OpenRegistry {
    pub(crate) location: RegistryLocation,
    pub(crate) registry: Registry,
    pub(crate) fetcher: Fetcher,
}

impl Context {
    /// Reads the configuration.
    pub(crate) fn new(global: &Global, platform: Option<Platform>) -> Result<Self, Failure> {
        let overrides = Overrides { base: global.base.clone(), platform };
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

    /// Reads the registry that `--registry` names, or all that are configured.
    pub(crate) fn registries(&self, named: Option<&str>) -> Result<Vec<OpenRegistry>, Failure> {
        let folder =
            std::env::current_dir().map_err(|error| Failure::new(ExitStatus::Host, &error))?;
        let configured = &self.config.registries;
        let locations = match named {
            Some(text) => {
                let location = resolve::location(text, configured, &folder)
                    .map_err(|error| location_failure(&error, &folder))?;
                vec![location]
            }
            None => configured
                .iter()
                .filter(|registry| registry.enabled)
                .map(|registry| resolve::configured_location(registry, &folder))
                .collect::<Result<_, _>>()
                .map_err(|error| location_failure(&error, &folder))?,
        };
        if locations.is_empty() {
            return Err(Failure::message(ExitStatus::Findings, "no registry is configured")
                .hint("name one with `--registry`, or add it to ~/.rnx/config.yaml"));
        }
        locations.into_iter().map(open).collect()
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

fn open(location: RegistryLocation) -> Result<OpenRegistry, Failure> {
    let fetcher = fetcher(&location)?;
    let registry = registry::load(&fetcher, &location).map_err(|error| failure(&error))?;
    Ok(OpenRegistry { location, registry, fetcher })
}

fn fetcher(location: &RegistryLocation) -> Result<Fetcher, Failure> {
    let named = env("SSL_CERT_FILE").filter(|path| !path.is_empty());
    let ca_certificates = match &named {
        Some(path) => Some(fs::read(path).map_err(|error| {
            Failure::new(ExitStatus::Host, &error)
                .hint("`SSL_CERT_FILE` names the certificates to trust")
        })?),
        None => SYSTEM_CERTIFICATES.iter().find_map(|path| fs::read(path).ok()),
    };
    let token = match &location.token_env {
        Some(name) => {
            let token = env(name).and_then(|token| token.into_string().ok()).ok_or_else(|| {
                let text = format!("the registry `{}` needs a token", location.name);
                Failure::message(ExitStatus::Findings, text)
                    .hint(format!("set the variable `{name}` to it"))
            })?;
            Some(OriginToken { origin: location.document.origin().to_owned(), token })
        }
        None => None,
    };
    let proxies = Proxies::from_env(&env);
    let tokens = token.into_iter().collect();
    let options = FetchOptions { ca_certificates, tokens, proxies, ..FetchOptions::default() };
    Fetcher::new(&options).map_err(|error| {
        let failure = Failure::new(ExitStatus::Host, &error);
        match &named {
            Some(path) => failure.hint(format!("`SSL_CERT_FILE` is {}", Path::new(path).display())),
            None => failure,
        }
    })
}

fn location_failure(error: &resolve::LocationError, folder: &Path) -> Failure {
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
