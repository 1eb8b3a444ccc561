//! What a host's administrator and user decided: flags, `RNX_*`, then the configuration files.

pub mod edit;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
/// Where root's copies of registries are kept.
pub const SYSTEM_CACHE: &str = "/var/cache/joblet";
/// How long a copy of a registry is used without asking its server.
pub const TTL: Duration = Duration::from_hours(1);

const OFFICIAL_URL: &str = "https://github.com/ehsaniara/joblet-runtimes";

/// What was decided, with defaults where nobody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The base folder of installs.
    pub base: PathBuf,
    /// The registries that are searched, in this order.
    pub registries: Vec<RegistryConfig>,
    /// The registry that is asked instead, where no `--registry` is said.
    pub registry: Option<String>,
    /// Instead of the host's own.
    pub platform: Option<Platform>,
    /// Short names of runtimes.
    pub aliases: BTreeMap<RuntimeName, RuntimeName>,
    /// Where copies of registries are kept; nowhere, if there is no home.
    pub cache: Option<PathBuf>,
    pub ttl: Duration,
    /// Use what is here, and ask no server.
    pub offline: bool,
    /// What is asked elsewhere.
    pub mirrors: Vec<Mirror>,
    /// Certificates to trust besides the host's own, in PEM.
    pub ca_bundle: Option<PathBuf>,
}

/// URLs that begin with `from` are asked with `to` instead.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    pub from: String,
    pub to: String,
}

/// A registry with a name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryConfig {
    pub name: String,
    /// Everything that `--registry` takes, except a name.
    pub url: String,
    #[serde(default = "enabled")]
    pub enabled: bool,
    #[serde(default)]
    pub auth: Option<Auth>,
}

/// How to be let in to a registry: a token, from one of three places.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// The variable that holds the token.
    pub token_env: Option<String>,
    /// The file that holds it, which nobody else can read.
    pub token_file: Option<PathBuf>,
    /// The command that prints it.
    pub command: Option<CommandLine>,
    /// Further servers that may see it, for example `https://assets.example.org`.
    pub hosts: Vec<String>,
}

/// A command: its words, or one line for the shell.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum CommandLine {
    Words(Vec<String>),
    Shell(String),
}

/// What the flags say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    pub base: Option<PathBuf>,
    pub platform: Option<Platform>,
    pub offline: bool,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("failed to read the configuration `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the configuration `{}` is not valid", path.display())]
    Parse { path: PathBuf, source: Box<serde_saphyr::Error> },
    #[error("the time `{text}` of `{key}` is not a number and a unit, for example 30m, 1h or 7d")]
    Time { key: &'static str, text: String },
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
    cache: Option<CacheSection>,
    offline: Option<bool>,
    mirrors: Option<Vec<Mirror>>,
    ca_bundle: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
struct CacheSection {
    ttl: Option<String>,
    dir: Option<PathBuf>,
}

/// Reads the configuration files and decides, key by key: flags, environment, the user's file, the system's.
pub fn load(overrides: &Overrides, env: Env<'_>, is_root: bool) -> Result<Config, ConfigError> {
    let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = absolute("HOME");
    let mut sections = Vec::new();
    for path in user_file(env).iter().map(PathBuf::as_path).chain([Path::new(SYSTEM_FILE)]) {
        sections.extend(read(path)?);
    }
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let platform = match (overrides.platform, set("RNX_PLATFORM")) {
        (Some(platform), _) => Some(platform),
        (None, Some(text)) => Some(text.to_string_lossy().parse().map_err(ConfigError::Platform)?),
        (None, None) => None,
    };
    let (base, cache) = folders(overrides, env, &sections, is_root);
    let ttl = match set("RNX_CACHE_TTL") {
        Some(text) => Some(time("RNX_CACHE_TTL", &text.to_string_lossy())?),
        None => None,
    };
    let file_ttl = sections.iter().find_map(|section| section.cache.as_ref()?.ttl.clone());
    let ttl = match (ttl, file_ttl) {
        (Some(ttl), _) => ttl,
        (None, Some(text)) => time("cache.ttl", &text)?,
        (None, None) => TTL,
    };
    let expand = |path| expanded(path, home.as_deref());
    let mut registries = sections
        .iter_mut()
        .find_map(|section| section.registries.take())
        .unwrap_or_else(|| vec![official()]);
    for auth in registries.iter_mut().filter_map(|registry| registry.auth.as_mut()) {
        auth.token_file = auth.token_file.take().map(expand);
    }
    let says_offline = |text: OsString| !["0", "false", "no"].iter().any(|no| text == *no);
    Ok(Config {
        base: base.ok_or(ConfigError::NoHome)?,
        registries,
        registry: set("RNX_REGISTRY").map(|text| text.to_string_lossy().into_owned()),
        platform,
        aliases: sections.iter_mut().find_map(|s| s.aliases.take()).unwrap_or_default(),
        cache,
        ttl,
        offline: overrides.offline
            || match set("RNX_OFFLINE") {
                Some(text) => says_offline(text),
                None => sections.iter().find_map(|section| section.offline).unwrap_or(false),
            },
        mirrors: sections.iter_mut().find_map(|s| s.mirrors.take()).unwrap_or_default(),
        ca_bundle: set("RNX_CA_BUNDLE")
            .map(PathBuf::from)
            .or_else(|| sections.iter_mut().find_map(|s| s.ca_bundle.take()))
            .map(expand),
    })
}

/// Returns the user's own configuration file, which need not be there.
pub fn user_file(env: Env<'_>) -> Option<PathBuf> {
    let home = env("HOME").map(PathBuf::from).filter(|home| home.is_absolute())?;
    Some(home.join(".rnx/config.yaml"))
}

/// Returns the base folder of installs, and the folder of copies of registries.
fn folders(
    overrides: &Overrides,
    env: Env<'_>,
    sections: &[Section],
    is_root: bool,
) -> (Option<PathBuf>, Option<PathBuf>) {
    let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let set = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let below_home = |variable: &str, folder: &str| {
        absolute(variable).or_else(|| Some(absolute("HOME")?.join(folder)))
    };
    let home = absolute("HOME");
    let expand = |path| expanded(path, home.as_deref());
    let base = overrides
        .base
        .clone()
        .or_else(|| set("RNX_BASE"))
        .or_else(|| sections.iter().find_map(|section| section.base_dir.clone()).map(expand))
        .or_else(|| is_root.then(|| PathBuf::from(SYSTEM_BASE)))
        .or_else(|| Some(below_home("XDG_DATA_HOME", ".local/share")?.join("joblet/runtimes")));
    let cache = set("RNX_CACHE_DIR")
        .or_else(|| {
            sections.iter().find_map(|section| section.cache.as_ref()?.dir.clone()).map(expand)
        })
        .or_else(|| is_root.then(|| PathBuf::from(SYSTEM_CACHE)))
        .or_else(|| Some(below_home("XDG_CACHE_HOME", ".cache")?.join("joblet")));
    (base, cache.map(|cache| cache.join("registries")))
}

/// Returns a path of a configuration file with the home in place of a `~` at its beginning.
fn expanded(path: PathBuf, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

fn time(key: &'static str, text: &str) -> Result<Duration, ConfigError> {
    let wrong = || ConfigError::Time { key, text: text.to_owned() };
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_not_a_number| wrong())?;
    let seconds = match text[digits.len()..].trim() {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "" if number == 0 => 1,
        _ => return Err(wrong()),
    };
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
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

/// Returns the registry that is asked where none is configured.
pub fn official() -> RegistryConfig {
    let url = OFFICIAL_URL.to_owned();
    RegistryConfig { name: "official".to_owned(), url, enabled: true, auth: None }
}

fn enabled() -> bool {
    true
}

/// Returns the URL of the `registry.json` that a GitHub repository has on its default branch.
pub(crate) fn github_document(owner: &str, repo: &str) -> Option<SourceUrl> {
    is_repository(owner, repo).then_some(())?;
    format!("https://raw.githubusercontent.com/{owner}/{repo}/HEAD/registry.json").parse().ok()
}

/// Whether two texts can be the owner and the name of a repository on GitHub.
fn is_repository(owner: &str, repo: &str) -> bool {
    let word = |text: &str| {
        !text.is_empty()
            && !text.starts_with('.')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    word(owner) && word(repo)
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
        assert_eq!(default.ttl, TTL);
        let cache = home.path().join(".cache/joblet/registries");
        assert_eq!(default.cache, Some(cache));
        let set = [("RNX_CACHE_TTL", "90s"), ("RNX_CACHE_DIR", "/c"), ("RNX_OFFLINE", "1")];
        let set = config(home.path(), &set);
        assert_eq!(set.ttl, Duration::from_secs(90));
        assert_eq!((set.cache.as_deref(), set.offline), (Some(Path::new("/c/registries")), true));
        assert!(!config(home.path(), &[("RNX_OFFLINE", "0")]).offline);
        let text = "runtimes: {base_dir: ~/rt, cache: {dir: ~/copies}}\n";
        fs::write(home.path().join(".rnx/config.yaml"), text).unwrap();
        let file = config(home.path(), &[]);
        assert_eq!(file.base, home.path().join("rt"));
        assert_eq!(file.cache, Some(home.path().join("copies/registries")));
    }

    #[test]
    fn a_slip_in_the_file_is_told_with_its_place() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".rnx")).unwrap();
        for (text, expected) in [
            (
                "runtimes:\n  cache: {ttl: soon}\n",
                "the time `soon` of `cache.ttl` is not a number and a unit",
            ),
            (
                "runtimes:\n  registries: [{name: a, url: b, enable: false}]\n",
                "config.yaml` is not valid",
            ),
            (
                "runtimes:\n  registries: [{name: a, url: b, auth: {tokenfile: x}}]\n",
                "config.yaml` is not valid",
            ),
        ] {
            fs::write(home.path().join(".rnx/config.yaml"), text).unwrap();
            let env = |name: &str| (name == "HOME").then(|| home.path().into());
            let error = load(&Overrides::default(), &env, false).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
