//! Programs that building needs, the Debian packages that have them, and how they are installed.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use crate::tool::{self, Invocation, ToolError};

/// Something that building needs and this machine lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingTool {
    /// A program, or the absolute path of a file.
    pub program: &'static str,
    pub debian_package: &'static str,
    pub purpose: &'static str,
}

/// What is about to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A Debian base is made.
    Debootstrap,
    /// A Debian base of an emulated architecture is made.
    Foreign,
    /// An ordinary user builds.
    Ids,
    /// A base archive has this compression.
    Xz,
    Zstd,
    /// The repository's own tests and checks are run.
    Tests,
}

/// Who can install packages here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installer {
    pub is_root: bool,
    pub has_sudo: bool,
    pub has_apt: bool,
}

/// Packages could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("this host has no `apt-get`; install {} with its own package manager", packages.join(", "))]
    NoApt { packages: Vec<&'static str> },
    #[error("installing packages needs root, and there is no `sudo`; as root, run: {commands}")]
    NoSudo { commands: String },
    #[error("failed to install packages")]
    Run { source: ToolError },
}

const fn tool(
    program: &'static str,
    debian_package: &'static str,
    purpose: &'static str,
) -> MissingTool {
    MissingTool { program, debian_package, purpose }
}

impl Need {
    fn tools(self) -> &'static [MissingTool] {
        const DEBOOTSTRAP: &[MissingTool] = &[
            tool("mmdebstrap", "mmdebstrap", "makes Debian base trees"),
            tool(
                "/usr/share/keyrings/debian-archive-keyring.gpg",
                "debian-archive-keyring",
                "verifies Debian's packages",
            ),
        ];
        const FOREIGN: &[MissingTool] =
            &[tool("arch-test", "arch-test", "tells `mmdebstrap` whether an emulator works")];
        const IDS: &[MissingTool] =
            &[tool("newuidmap", "uidmap", "gives an ordinary user's build more than one id")];
        const XZ: &[MissingTool] = &[tool("xz", "xz-utils", "reads `.tar.xz` bases")];
        const ZSTD: &[MissingTool] = &[tool("zstd", "zstd", "reads `.tar.zst` bases and layers")];
        const TESTS: &[MissingTool] = &[
            tool("bsdtar", "libarchive-tools", "lists archives in tests"),
            tool("createrepo_c", "createrepo-c", "makes a repository of RPM packages in tests"),
            tool("dnf", "dnf", "installs RPM packages in tests"),
            tool("rpmbuild", "rpm", "makes RPM packages in tests"),
            tool("busybox", "busybox-static", "is a whole userland for tests"),
            tool("bwrap", "bubblewrap", "is the sandbox that ours is compared with"),
            tool("cpio", "cpio", "packs an emulated machine's files in tests"),
            tool("curl", "curl", "fetches in tests"),
            tool("newuidmap", "uidmap", "gives an ordinary user's build more than one id"),
            tool("pigz", "pigz", "packs in tests"),
            tool("python3", "python3", "lists archives in tests"),
            tool("/usr/share/doc/python3-venv", "python3-venv", "installs checkers from PyPI"),
            tool(
                "qemu-system-x86_64",
                "qemu-system-x86",
                "is a machine with a kernel of its own in tests",
            ),
            tool("shellcheck", "shellcheck", "checks shell scripts"),
            tool("shfmt", "shfmt", "checks shell scripts"),
            tool("strace", "strace", "kills in tests, and lets a disk fail"),
            tool("xz", "xz-utils", "packs in tests"),
            tool("zstd", "zstd", "packs in tests"),
        ];
        match self {
            Self::Tests => TESTS,
            Self::Debootstrap => DEBOOTSTRAP,
            Self::Foreign => FOREIGN,
            Self::Ids => IDS,
            Self::Xz => XZ,
            Self::Zstd => ZSTD,
        }
    }
}

/// Returns what `needs` ask for and is not here; `path` is the value of `PATH`.
pub fn missing_tools(needs: &[Need], path: &OsStr) -> Vec<MissingTool> {
    let is_here = |tool: &MissingTool| match tool.program.strip_prefix('/') {
        Some(_) => Path::new(tool.program).exists(),
        None => tool::find(tool.program, path).is_some(),
    };
    needs.iter().flat_map(|need| need.tools()).filter(|tool| !is_here(tool)).copied().collect()
}

impl Installer {
    /// Looks at who is asking; `path` is the value of `PATH`.
    pub fn read(path: &OsStr) -> Self {
        Self {
            is_root: rustix::process::geteuid().is_root(),
            has_sudo: tool::find("sudo", path).is_some(),
            has_apt: tool::find("apt-get", path).is_some(),
        }
    }

    /// Returns the commands that install what is missing, to be shown before they are run.
    pub fn commands(self, missing: &[MissingTool]) -> Result<Vec<Invocation>, InstallError> {
        let mut packages: Vec<_> = missing.iter().map(|tool| tool.debian_package).collect();
        packages.sort_unstable();
        packages.dedup();
        if packages.is_empty() {
            return Ok(Vec::new());
        }
        if !self.has_apt {
            return Err(InstallError::NoApt { packages });
        }
        let apt = |args: &[&str]| {
            let program = if self.is_root { "env" } else { "sudo" };
            let env: &[&str] = if self.is_root { &[] } else { &["env"] };
            Invocation::new(program)
                .args(env.iter().copied())
                .args(["DEBIAN_FRONTEND=noninteractive", "apt-get"])
                .args(args.iter().copied())
        };
        let install = [&["install", "--yes", "--no-install-recommends"], &packages[..]].concat();
        let commands = vec![apt(&["update"]), apt(&install)];
        if !self.is_root && !self.has_sudo {
            let words = |command: &Invocation| {
                command.to_string().trim_start_matches("sudo env ").to_owned()
            };
            let commands = commands.iter().map(words).collect::<Vec<_>>().join(" && ");
            return Err(InstallError::NoSudo { commands });
        }
        Ok(commands)
    }
}

/// Runs the commands of [`Installer::commands`] and hands on what they say.
pub fn install(commands: &[Invocation], on_line: &mut dyn FnMut(&str)) -> Result<(), InstallError> {
    for command in commands {
        tool::stream(command, on_line).map_err(|source| InstallError::Run { source })?;
    }
    Ok(())
}

impl fmt::Display for MissingTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`, which {} (package {})", self.program, self.purpose, self.debian_package)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(installer: Installer) -> String {
        let missing = missing_tools(&[Need::Ids, Need::Ids, Need::Xz], OsStr::new("/nonexistent"));
        match installer.commands(&missing) {
            Ok(commands) => {
                commands.iter().map(ToString::to_string).collect::<Vec<_>>().join(" && ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn packages_are_installed_by_whoever_may() {
        let root = Installer { is_root: true, has_sudo: false, has_apt: true };
        insta::assert_snapshot!(commands(root), @"env DEBIAN_FRONTEND=noninteractive apt-get update && env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends uidmap xz-utils");
        let user = Installer { is_root: false, has_sudo: true, ..root };
        insta::assert_snapshot!(commands(user), @"sudo env DEBIAN_FRONTEND=noninteractive apt-get update && sudo env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends uidmap xz-utils");
        let poor = Installer { has_sudo: false, ..user };
        insta::assert_snapshot!(commands(poor), @"installing packages needs root, and there is no `sudo`; as root, run: DEBIAN_FRONTEND=noninteractive apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends uidmap xz-utils");
        let elsewhere = Installer { has_apt: false, ..user };
        insta::assert_snapshot!(commands(elsewhere), @"this host has no `apt-get`; install uidmap, xz-utils with its own package manager");
        assert_eq!(root.commands(&[]).unwrap(), []);
    }
}
