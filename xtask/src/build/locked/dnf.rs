//! How dnf is told of locked versions: through `includepkgs` of its own configuration.

use std::collections::{BTreeMap, BTreeSet};

use rnx_spec::lock::DistroPackage;

/// Where dnf of either generation reads its configuration.
pub(super) const CONFIG: &str = "/etc/dnf/dnf.conf";

const END_OF_CONFIG: &str = "@@ packages";

/// Says what a base's configuration is, and which packages it has.
pub(super) const BASE: &str = "set -eu
[ ! -e /etc/dnf/dnf.conf ] || cat /etc/dnf/dnf.conf
echo '@@ packages'
rpm -qa --queryformat '%{NAME}.%{ARCH} %{EPOCHNUM}:%{VERSION}-%{RELEASE}\\n'";

/// Brings packages of a base that has drifted to the locked versions; `$@` are as [`nevra`] writes them.
pub(super) const ALIGN: &str =
    "dnf --assumeyes --quiet --setopt=install_weak_deps=False --setopt=retries=3 install \"$@\"";

/// Says what is installed, and what can be had by the lists that dnf has fetched.
pub(super) const AVAILABLE: &str = "set -eu
rpm -qa --queryformat '%{NAME}.%{ARCH} %{EPOCHNUM}:%{VERSION}-%{RELEASE}\\n'
dnf --quiet --cacheonly repoquery --available --queryformat '%{name}.%{arch} %{epoch}:%{version}-%{release}\\n'";

/// What [`BASE`] says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Base {
    config: String,
    /// Versions by `name.arch`.
    installed: BTreeMap<String, String>,
}

impl Base {
    pub(super) fn read(said: &str) -> Self {
        let (config, packages) = said.split_once(END_OF_CONFIG).unwrap_or((said, ""));
        let installed = versions(packages).map(|(name, version)| (name.to_owned(), version));
        Self { config: config.to_owned(), installed: installed.collect() }
    }

    /// Returns the base's configuration with the locked packages as the only ones that can be installed.
    pub(super) fn config(&self, rpms: &[&DistroPackage]) -> String {
        let only = rpms.iter().map(|one| nevra(one)).collect::<Vec<_>>().join(", ");
        let mut lines = vec!["[main]".to_owned(), format!("includepkgs={only}")];
        let is_own = |line: &&str| {
            let key = line.split_once('=').map_or(*line, |(key, _)| key).trim();
            key != "[main]" && key != "includepkgs"
        };
        // Nothing stands before the first section but comments.
        lines.extend(self.config.lines().filter(is_own).map(str::to_owned));
        lines.join("\n") + "\n"
    }

    /// Returns, for [`ALIGN`], the packages of the base that have another version.
    pub(super) fn drifted(&self, rpms: &[&DistroPackage]) -> Vec<String> {
        let is_other = |one: &&&DistroPackage| {
            self.installed.get(&key(one)).is_some_and(|version| *version != one.version)
        };
        rpms.iter().filter(is_other).map(|one| nevra(one)).collect()
    }
}

/// Returns the locked packages that are neither installed nor to be had, by what [`AVAILABLE`] says.
pub(super) fn gone(rpms: &[&DistroPackage], said: &str) -> Vec<String> {
    let there: BTreeSet<(&str, String)> = versions(said).collect();
    if there.is_empty() {
        return Vec::new();
    }
    let is_gone = |one: &&&DistroPackage| !there.contains(&(&*key(one), one.version.clone()));
    rpms.iter().filter(is_gone).map(ToString::to_string).collect()
}

/// Reads lines of `name.arch epoch:version-release`, as locks write versions: an epoch of zero is none.
fn versions(lines: &str) -> impl Iterator<Item = (&str, String)> {
    lines.lines().filter_map(|line| {
        let (name, version) = line.split_once(' ')?;
        Some((name, version.strip_prefix("0:").unwrap_or(version).to_owned()))
    })
}

fn key(one: &DistroPackage) -> String {
    format!("{}.{}", one.name, one.arch)
}

/// Returns how dnf names one version of a package: `name-epoch:version-release.arch`.
fn nevra(one: &DistroPackage) -> String {
    format!("{}-{}.{}", one.name, one.version, one.arch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rnx_spec::lock::DistroFormat;

    fn rpm(name: &str, version: &str) -> DistroPackage {
        DistroPackage {
            name: name.to_owned(),
            arch: "noarch".to_owned(),
            version: version.to_owned(),
            format: DistroFormat::Rpm,
            in_tree: true,
            sha256: None,
        }
    }

    #[test]
    fn a_base_is_read_told_and_compared() {
        let base = Base::read(
            "# own\n[main]\nbest=False\nincludepkgs = other\n[made]\nx=1\n@@ packages\na.noarch 0:1-1\nb.noarch 3:2-1\n",
        );
        let [a, b, c] = [rpm("a", "1-1"), rpm("b", "3:1-1"), rpm("c", "1-1")];
        let rpms = [&a, &b, &c];
        insta::assert_snapshot!(base.config(&rpms), @r"
        [main]
        includepkgs=a-1-1.noarch, b-3:1-1.noarch, c-1-1.noarch
        # own
        best=False
        [made]
        x=1
        ");
        assert_eq!(base.drifted(&rpms), ["b-3:1-1.noarch"]);
        assert_eq!(gone(&rpms, "a.noarch 0:1-1\n\nb.noarch 3:1-1\n"), ["c:noarch 1-1"]);
        assert_eq!(gone(&rpms, ""), [""; 0], "nothing is known");
        assert!(Base::read("@@ packages\n").config(&[]).starts_with("[main]\n"));
    }
}
