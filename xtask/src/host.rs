//! What this machine has for building: programs, their packages, and foreign architectures.

mod binfmt;
pub mod tools;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;

use crate::rootfs::identity::Caller;
use crate::tool;

pub use crate::host::binfmt::{Binfmt, BinfmtProblem, binfmt};

/// Variables of the caller's environment that tell programs which proxies to use.
pub const PROXY_VARIABLES: [&str; 10] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// Variables that tell programs where the certificates they trust are.
pub const CA_VARIABLES: [&str; 10] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
    "HTTPLIB2_CA_CERTS",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
];

/// Picks the proxy and CA settings out of an environment.
pub fn network_env(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    let known = |key: &OsStr| {
        PROXY_VARIABLES.iter().chain(&CA_VARIABLES).any(|name| OsStr::new(name) == key)
    };
    let mut picked: Vec<_> = vars.into_iter().filter(|(key, _)| known(key)).collect();
    picked.sort();
    picked
}

/// Returns the folder for data that can be made again: `$XDG_CACHE_HOME/joblet`, or `~/.cache/joblet`.
pub fn cache_dir(xdg_cache_home: Option<&OsStr>, home: Option<&OsStr>) -> Option<PathBuf> {
    // The XDG specification tells to ignore what is not absolute.
    let absolute = |value: &OsStr| Some(PathBuf::from(value)).filter(|path| path.is_absolute());
    let cache = xdg_cache_home
        .and_then(absolute)
        .or_else(|| Some(home.and_then(absolute)?.join(".cache")))?;
    Some(cache.join("joblet"))
}

/// Reads who is building; `path` is the value of `PATH`.
pub fn caller(path: &OsStr) -> io::Result<Caller> {
    let uid = rustix::process::geteuid().as_raw();
    let text = |file| match fs_err::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other,
    };
    let found = |program| tool::find(program, path).is_some();
    Ok(Caller {
        uid,
        gid: rustix::process::getegid().as_raw(),
        user: user_name(&text("/etc/passwd")?, uid),
        subuid: text("/etc/subuid")?,
        subgid: text("/etc/subgid")?,
        uid_map: text("/proc/self/uid_map")?,
        has_newuidmap: found("newuidmap") && found("newgidmap"),
    })
}

/// Returns the user's name in `passwd(5)`; its number where it has none, which `/etc/subuid` takes too.
fn user_name(passwd: &str, uid: u32) -> String {
    let number = uid.to_string();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then_some(name)
    });
    name.map_or(number.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_network_settings_are_picked() {
        let vars = [("HOME", "/root"), ("https_proxy", "http://p"), ("AWS_SECRET_ACCESS_KEY", "x")]
            .map(|(key, value)| (OsString::from(key), OsString::from(value)));
        assert_eq!(network_env(vars), [("https_proxy".into(), "http://p".into())]);
    }
}
