//! How apt is told of locked versions: through its own preferences.

use std::collections::BTreeMap;
use std::path::Path;

use rnx_spec::lock::DistroPackage;

/// Read by apt before any other preferences.
pub(super) const PREFERENCES: &str = "/etc/apt/preferences.d/00-joblet-locked";

/// Brings packages of a base that has drifted to the locked versions; `$@` are `name=version`.
pub(super) const ALIGN: &str = "set -eu
export DEBIAN_FRONTEND=noninteractive
apt() { apt-get -q -y -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 \"$@\"; }
apt -o APT::Update::Error-Mode=any update
apt --allow-downgrades --no-install-recommends install \"$@\"";

/// Says what can be had of the packages `$@`.
pub(super) const POLICY: &str = "apt-cache policy -- \"$@\"";

/// Returns the content of [`PREFERENCES`].
pub(super) fn preferences(debs: &[&DistroPackage]) -> String {
    let pins = debs.iter().map(|DistroPackage { name, version, .. }| {
        format!("Package: {name}\nPin: version {version}\nPin-Priority: 1001\n\n")
    });
    // What is not locked cannot be installed at all.
    pins.chain(["Package: *\nPin: release *\nPin-Priority: -1\n".to_owned()]).collect()
}

/// Returns the versions that dpkg's database of a base says are installed, by name.
fn installed(base: &Path) -> BTreeMap<String, String> {
    // A base without one has no packages; the comparison after the build tells of it.
    let text = fs_err::read_to_string(base.join("var/lib/dpkg/status")).unwrap_or_default();
    let stanza = |stanza: &str| {
        let field = |key: &str| {
            stanza
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
                .map(str::to_owned)
        };
        let installed = field("Status")?.ends_with(" installed");
        installed.then(|| Some((field("Package")?, field("Version")?)))?
    };
    text.split("\n\n").filter_map(stanza).collect()
}

/// Returns, for [`ALIGN`], the packages of a base that have another version.
pub(super) fn drifted(debs: &[&DistroPackage], base: &Path) -> Vec<String> {
    let installed = installed(base);
    debs.iter()
        .filter(|one| installed.get(&one.name).is_some_and(|version| *version != one.version))
        .map(|one| format!("{}={}", one.name, one.version))
        .collect()
}

/// Reads `apt-cache policy`: with [`preferences`] in place, the candidate is the locked version or there is none.
pub(super) fn gone(debs: &[&DistroPackage], policy: &str) -> Vec<String> {
    let mut candidates: BTreeMap<&str, &str> = BTreeMap::new();
    let mut name = "";
    for line in policy.lines() {
        if let Some(candidate) = line.strip_prefix("  Candidate: ") {
            candidates.insert(name, candidate);
        } else if !line.starts_with(' ') {
            name = line.trim_end_matches(':');
        }
    }
    if candidates.is_empty() {
        return Vec::new();
    }
    let is_gone =
        |one: &&&DistroPackage| candidates.get(&*one.name).copied() != Some(&*one.version);
    debs.iter().filter(is_gone).map(ToString::to_string).collect()
}
