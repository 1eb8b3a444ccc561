//! What a host is: the text of `/etc/os-release` and the kernel's machine name, as platforms.

use crate::{Arch, Distro, Platform};

/// A host, as far as it decides which artifacts it can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub arch: Arch,
    /// `None` for a distribution that is not one of ours, nor derived from one.
    pub distro: Option<Distro>,
    /// The distribution's own name, for messages.
    pub pretty_name: String,
}

/// A processor for which nothing is built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no runtimes are built for `{machine}` processors; there are x86_64 and aarch64")]
pub struct UnknownMachineError {
    pub machine: String,
}

impl Host {
    /// Reads a host from the text of `os-release(5)` and `uname -m`. No text is an unknown distribution.
    pub fn new(os_release: &str, machine: &str) -> Result<Self, UnknownMachineError> {
        let arch = Arch::from_machine(machine)
            .ok_or_else(|| UnknownMachineError { machine: machine.to_owned() })?;
        let field = |name| value(os_release, name).unwrap_or_default();
        let (id, id_like) = (field("ID"), field("ID_LIKE"));
        // The distribution's own name counts before those it is derived from, and those come nearest first.
        let distro = std::iter::once(id.as_str())
            .chain(id_like.split_ascii_whitespace())
            .find_map(distro_with_id);
        let pretty_name = [field("PRETTY_NAME"), field("NAME"), id]
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or_else(|| "an unknown distribution".to_owned());
        Ok(Self { arch, distro, pretty_name })
    }

    /// Returns the platforms whose artifacts this host can use, the best first.
    ///
    /// On an unknown distribution those are all of its architecture: a runtime brings its own userland.
    pub fn platforms(&self) -> Vec<Platform> {
        match self.distro {
            Some(distro) => vec![Platform { distro, arch: self.arch }],
            None => Distro::ALL.map(|distro| Platform { distro, arch: self.arch }).to_vec(),
        }
    }
}

fn distro_with_id(id: &str) -> Option<Distro> {
    match id {
        "debian" | "ubuntu" | "linuxmint" | "pop" | "raspbian" | "kali" | "elementary"
        | "devuan" => Some(Distro::Ubuntu),
        "rhel" | "centos" | "rocky" | "almalinux" | "fedora" | "ol" | "scientific" => {
            Some(Distro::Rhel)
        }
        "amzn" => Some(Distro::Amzn),
        _ => None,
    }
}

/// Returns the value of one variable of `os-release(5)`; the last assignment counts, as in a shell.
fn value(text: &str, name: &str) -> Option<String> {
    let assigned = text.lines().rev().find_map(|line| {
        let (key, value) = line.trim().split_once('=')?;
        (key == name).then_some(value)
    })?;
    let unquoted = ['"', '\'']
        .iter()
        .find_map(|&quote| assigned.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(assigned);
    Some(unquoted.replace("\\\"", "\"").replace("\\$", "$").replace("\\\\", "\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_and_their_derivatives_map_to_ours() {
        for (os_release, expected) in [
            ("ID=debian\n", "ubuntu-amd64"),
            ("PRETTY_NAME=\"Ubuntu 24.04\"\nID=ubuntu\nID_LIKE=debian\n", "ubuntu-amd64"),
            ("ID=neon\nID_LIKE=\"ubuntu debian\"\n", "ubuntu-amd64"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "rhel-amd64"),
            ("ID='fedora'\r\n", "rhel-amd64"),
            ("ID=\"rhel\"\nVERSION_ID=\"9.4\"\n", "rhel-amd64"),
            ("ID=\"amzn\"\nID_LIKE=\"centos rhel fedora\"\n", "amzn-amd64"),
            ("ID=x\nID=debian\n", "ubuntu-amd64"),
        ] {
            let host = Host::new(os_release, "x86_64").unwrap();
            let platforms: Vec<String> = host.platforms().iter().map(ToString::to_string).collect();
            assert_eq!(platforms, [expected], "{os_release}");
        }
    }

    #[test]
    fn an_unknown_distribution_takes_any_artifact_of_its_architecture() {
        let host = Host::new("NAME=Void\nID=void\nXID=debian\n", "aarch64").unwrap();
        assert_eq!(host.pretty_name, "Void");
        let platforms: Vec<String> = host.platforms().iter().map(ToString::to_string).collect();
        assert_eq!(platforms, ["ubuntu-arm64", "rhel-arm64", "amzn-arm64"]);
        assert_eq!(Host::new("", "x86_64").unwrap().pretty_name, "an unknown distribution");
        assert!(Host::new("ID=debian", "riscv64").is_err());
    }
}
