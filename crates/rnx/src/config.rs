//! What a host's administrator and user decided: flags, `RNX_*`, then the configuration files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rnx_spec::registry::Request;
use rnx_spec::{Platform, RuntimeName, SourceUrl};
use serde::Deserialize;

/// Looks up a variable of the environment.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The configuration that holds for the whole host.
pub const SYSTEM_FILE: &str = "/etc/joblet/config.yaml";
/// The base folder of root's installs.
pub const SYSTEM_BASE: &str = "/opt/joblet/runtimes";

const OFFICIAL_URL: &str = "https://github.com/ehsaniara/joblet-runtimes";

/// What was decided, with defaults where nobody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The base folder of installs.
    pub base: PathBuf,
    /// The registries that are searched, in this order.
    pub registries: Vec<RegistryConfig>,
    /// Instead of the host's own.
    pub platform: Option<Platform>,
    /// Short names of runtimes.
    pub aliases: BTreeMap<RuntimeName, RuntimeName>,
}

/// A registry with a name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RegistryConfig {
    pub name: String,
    /// Everything that `--registry` takes, except a name.
    pub url: String,
    #[serde(default = "enabled")]
    pub enabled: bool,
    #[serde(default)]
    pub auth: Option<Auth>,
}

/// How to be let in to a registry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Auth {
    /// The variable that holds the token.
    pub token_env: String,
}

/// What the flags say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    pub base: Option<PathBuf>,
    pub platform: Option<Platform>,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("failed to read the configuration `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the configuration `{}` is not valid", path.display())]
    Parse { path: PathBuf, source: Box<serde_saphyr::Error> },
    #[error("`RNX_PLATFORM` names no platform")]
    Platform(#[source] rnx_spec::platform::ParsePlatformError),
    #[error(
        "there is no base folder: neither `XDG_DATA_HOME` nor `HOME` is set to an absolute path"
    )]
    NoHome,
}

/// A configuration file: every key may be left out, and those of other programs are ignored.
#[derive(Debug, Default, Deserialize)]
struct Document {
    #[serde(default)]
    runtimes: Option<Section>,
}

#[derive(Debug, Default, Deserialize)]
struct Section {
    base_dir: Option<PathBuf>,
    registries: Option<Vec<RegistryConfig>>,
    aliases: Option<BTreeMap<RuntimeName, RuntimeName>>,
}

/// Reads the configuration files and decides, key by key: flags, environment, the user's file, the system's.
pub fn load(overrides: &Overrides, env: Env<'_>, is_root: bool) -> Result<Config, ConfigError> {
    let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = absolute("HOME");
    let user_file = home.as_ref().map(|home| home.join(".rnx/config.yaml"));
    let mut sections = Vec::new();
    for path in user_file.iter().map(PathBuf::as_path).chain([Path::new(SYSTEM_FILE)]) {
        sections.extend(read(path)?);
    }
    let platform = match (overrides.platform, env("RNX_PLATFORM")) {
        (Some(platform), _) => Some(platform),
        (None, Some(text)) if !text.is_empty() => {
            Some(text.to_string_lossy().parse().map_err(ConfigError::Platform)?)
        }
        (None, _) => None,
    };
    let base = overrides
        .base
        .clone()
        .or_else(|| env("RNX_BASE").filter(|base| !base.is_empty()).map(PathBuf::from))
        .or_else(|| sections.iter().find_map(|section| section.base_dir.clone()));
    let base = match base {
        Some(base) => base,
        None if is_root => PathBuf::from(SYSTEM_BASE),
        None => absolute("XDG_DATA_HOME")
            .or_else(|| Some(home?.join(".local/share")))
            .ok_or(ConfigError::NoHome)?
            .join("joblet/runtimes"),
    };
    let registries = sections.iter_mut().find_map(|section| section.registries.take());
    let aliases = sections.iter_mut().find_map(|section| section.aliases.take());
    Ok(Config {
        base,
        registries: registries.unwrap_or_else(|| vec![official()]),
        platform,
        aliases: aliases.unwrap_or_default(),
    })
}

impl Config {
    /// Returns the request with a configured short name replaced.
    pub fn expand(&self, request: Request) -> Request {
        match self.aliases.get(&request.name) {
            Some(name) => Request { name: name.clone(), ..request },
            None => request,
        }
    }
}

fn read(path: &Path) -> Result<Option<Section>, ConfigError> {
    match fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => serde_saphyr::from_str::<Document>(&text)
            .map(|document| document.runtimes)
            .map_err(|source| ConfigError::Parse { path: path.to_owned(), source: source.into() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
    }
}

fn official() -> RegistryConfig {
    let url = OFFICIAL_URL.to_owned();
    RegistryConfig { name: "official".to_owned(), url, enabled: true, auth: None }
}

fn enabled() -> bool {
    true
}

/// Returns the URL of the `registry.json` that a GitHub repository has on its default branch.
pub(crate) fn github_document(owner: &str, repo: &str) -> Option<SourceUrl> {
    let word = |text: &str| {
        !text.is_empty()
            && !text.starts_with('.')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    (word(owner) && word(repo)).then_some(())?;
    format!("https://raw.githubusercontent.com/{owner}/{repo}/HEAD/registry.json").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(home: &Path, vars: &[(&str, &str)]) -> Config {
        let env = |name: &str| {
            let set = vars.iter().find(|(known, _)| *known == name);
            match set {
                Some((_, value)) => Some(OsString::from(value)),
                None => (name == "HOME").then(|| home.into()),
            }
        };
        load(&Overrides::default(), &env, false).unwrap()
    }

    #[test]
    fn each_key_comes_from_the_first_place_that_has_it() {
        let home = tempfile::tempdir().unwrap();
        let default = config(home.path(), &[]);
        assert_eq!(default.base, home.path().join(".local/share/joblet/runtimes"));
        assert_eq!(default.registries, [official()]);
        let xdg = config(home.path(), &[("XDG_DATA_HOME", "/data")]);
        assert_eq!(xdg.base, Path::new("/data/joblet/runtimes"));

        fs::create_dir(home.path().join(".rnx")).unwrap();
        let text = "runtimes:\n  base_dir: /srv/rt\n  registries:\n  - {name: local, url: file:///srv}\n  \
                    cache: {ttl: 1h}\n  aliases: {python: python-3.11}\nserver: {port: 1}\n";
        fs::write(home.path().join(".rnx/config.yaml"), text).unwrap();
        let file = config(home.path(), &[("RNX_PLATFORM", "rhel-arm64")]);
        assert_eq!(file.base, Path::new("/srv/rt"));
        assert_eq!(file.registries[0].url, "file:///srv");
        assert_eq!(file.platform, Some("rhel-arm64".parse().unwrap()));
        let request = file.expand("python@1.2.3".parse().unwrap());
        assert_eq!(request.to_string(), "python-3.11@1.2.3");
        assert_eq!(config(home.path(), &[("RNX_BASE", "/b")]).base, Path::new("/b"));
    }
}
