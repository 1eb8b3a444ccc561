//! Where a runtime runs: a distro and an architecture.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A family of Linux distributions that one build serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distro {
    /// Debian, Ubuntu and their derivatives.
    Ubuntu,
    /// RHEL, `CentOS`, Rocky, `AlmaLinux`, Fedora.
    Rhel,
    /// Amazon Linux.
    Amzn,
}

/// A processor architecture, by Debian's and Go's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    Amd64,
    Arm64,
}

/// Where a runtime runs, for example `ubuntu-amd64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Platform {
    pub distro: Distro,
    pub arch: Arch,
}

/// A text that names no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown platform `{text}`; the platforms are {}", Platform::list())]
pub struct ParsePlatformError {
    pub text: String,
}

impl Distro {
    /// All distros.
    pub const ALL: [Self; 3] = [Self::Ubuntu, Self::Rhel, Self::Amzn];

    /// Returns the distro's name as platforms spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ubuntu => "ubuntu",
            Self::Rhel => "rhel",
            Self::Amzn => "amzn",
        }
    }
}

impl Arch {
    /// Returns the architecture by Debian's name: `amd64` or `arm64`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Returns the architecture by the kernel's name (`uname -m`): `x86_64` or `aarch64`.
    pub fn machine(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// Returns the architecture with the kernel's name `machine`, if it is one of ours.
    pub fn from_machine(machine: &str) -> Option<Self> {
        match machine {
            "x86_64" => Some(Self::Amd64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }
}

impl Platform {
    /// All platforms, in the order people list them.
    pub const ALL: [Self; 6] = [
        Self { distro: Distro::Ubuntu, arch: Arch::Amd64 },
        Self { distro: Distro::Ubuntu, arch: Arch::Arm64 },
        Self { distro: Distro::Rhel, arch: Arch::Amd64 },
        Self { distro: Distro::Rhel, arch: Arch::Arm64 },
        Self { distro: Distro::Amzn, arch: Arch::Amd64 },
        Self { distro: Distro::Amzn, arch: Arch::Arm64 },
    ];

    /// Returns the names of all platforms, for messages.
    pub fn list() -> String {
        Self::ALL.map(|platform| format!("`{platform}`")).join(", ")
    }
}

impl FromStr for Platform {
    type Err = ParsePlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|platform| platform.to_string() == text)
            .ok_or_else(|| ParsePlatformError { text: text.to_owned() })
    }
}

impl TryFrom<String> for Platform {
    type Error = ParsePlatformError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> Self {
        platform.to_string()
    }
}

impl fmt::Display for Distro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{}", self.distro, self.arch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_platform_reads_back() {
        for platform in Platform::ALL {
            assert_eq!(platform.to_string().parse(), Ok(platform));
        }
        assert_eq!(
            "ubuntu-x86".parse::<Platform>().unwrap_err().to_string(),
            "unknown platform `ubuntu-x86`; the platforms are `ubuntu-amd64`, `ubuntu-arm64`, \
             `rhel-amd64`, `rhel-arm64`, `amzn-amd64`, `amzn-arm64`"
        );
    }
}
