//! The contract between a build and a setup script: paths, environment, and what must be left behind.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rnx_spec::{Platform, RuntimeName, RuntimeSpec};

/// The current directory of a setup script: a copy of `runtimes/<name>/`.
pub const DEFINITION_DIR: &str = "/joblet/definition";
/// The verified sources, read-only.
pub const SOURCES_DIR: &str = "/joblet/sources";
/// The shared shell functions: `runtimes/lib/`, read-only.
pub const LIB_DIR: &str = "/joblet/lib";
/// Where the shared functions leave what is worth knowing after the build, for example pip's reports.
pub const RECORDS_DIR: &str = "/joblet/records";
/// The versions that pip may install, there only in a locked build.
pub const PIP_CONSTRAINTS: &str = "/joblet/locked/constraints.txt";
/// What `$JOBLET_LIB` names: `runtimes/lib/lib.sh`, read-only.
pub const LIB_FILE: &str = "/joblet/lib.sh";
/// The host's CA certificates, read-only, there only if the host's environment names them.
pub const CA_BUNDLE: &str = "/joblet/ca-certificates.crt";
/// Makes `apt` use [`CA_BUNDLE`]: it knows no environment variable for that.
pub const APT_CONFIG: &str = "/joblet/apt.conf";

/// The variables by which common tools are told of a CA bundle, and by which the host tells us of its own.
pub const CA_VARIABLES: [&str; 8] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
];

/// Returns the folder that a setup script fills: `runtime.yml` and `isolated/` stand in it afterwards.
pub fn output_dir(name: &RuntimeName) -> PathBuf {
    Path::new("/opt/joblet/runtimes").join(name.as_str())
}

/// What the environment of a setup script is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptEnvironment<'a> {
    pub spec: &'a RuntimeSpec,
    pub platform: Platform,
    pub build_id: &'a str,
    pub source_date_epoch: u64,
    /// The host has a CA bundle of its own, bound at [`CA_BUNDLE`].
    pub ca_bundle: bool,
    /// The build installs what `versions.lock` says: pip is told by [`PIP_CONSTRAINTS`].
    pub locked: bool,
    pub proxies: &'a BTreeMap<String, String>,
}

/// Returns the whole environment of a setup script, sorted; nothing else of the host's comes in.
pub fn environment(from: &ScriptEnvironment<'_>) -> Vec<(OsString, OsString)> {
    let mut all: BTreeMap<String, String> = from.proxies.clone();
    let mut set = |name: &str, value: &str| {
        all.insert(name.to_owned(), value.to_owned());
    };
    set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    set("HOME", "/root");
    set("LANG", "C.UTF-8");
    set("LC_ALL", "C.UTF-8");
    set("TZ", "UTC");
    set("TERM", "dumb");
    set("DEBIAN_FRONTEND", "noninteractive");
    set("RUNTIME_NAME", from.spec.name.as_str());
    set("RUNTIME_VERSION", &from.spec.version.to_string());
    set("RUNTIME_SPEC", &from.spec.to_string());
    set("RUNTIME_PLATFORM", &from.platform.to_string());
    set("BUILD_ID", from.build_id);
    set("JOBLET_CHROOT", "true");
    set("JOBLET_LIB", LIB_FILE);
    set("SOURCE_DATE_EPOCH", &from.source_date_epoch.to_string());
    if from.ca_bundle {
        for variable in CA_VARIABLES {
            set(variable, CA_BUNDLE);
        }
        set("APT_CONFIG", APT_CONFIG);
    }
    if from.locked {
        set("PIP_CONSTRAINT", PIP_CONSTRAINTS);
    }
    all.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// Returns the content of [`APT_CONFIG`].
pub fn apt_config() -> String {
    format!("Acquire::https::CaInfo \"{CA_BUNDLE}\";\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_the_contract_and_nothing_else() {
        let spec = "python-3.11@1.3.3".parse().unwrap();
        let proxies =
            BTreeMap::from([("http_proxy".to_owned(), "http://127.0.0.1:3128".to_owned())]);
        let listing: Vec<String> = environment(&ScriptEnvironment {
            spec: &spec,
            platform: "ubuntu-amd64".parse().unwrap(),
            build_id: "0123456789abcdef",
            source_date_epoch: 7,
            ca_bundle: true,
            locked: false,
            proxies: &proxies,
        })
        .into_iter()
        .map(|(name, value)| format!("{}={}", name.display(), value.display()))
        .collect();
        insta::assert_snapshot!(listing.join("\n"));
    }
}
