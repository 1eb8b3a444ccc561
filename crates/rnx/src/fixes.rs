//! What a host may lack for jobs, and the exact command or file that brings it: one table for errors and `rnx doctor`.

use std::fmt;
use std::path::{Path, PathBuf};

use rnx_sandbox::spawn::SandboxError;

/// Something that keeps jobs, or one option of them, from working on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    UserNamespaces(Barrier),
    /// Limits were asked for, and no control group may be made.
    ControlGroups {
        root: bool,
        unified: bool,
    },
    /// A folder lies on a filesystem that cannot give its files to a job of root.
    IdMappedMounts,
    Overlay,
    Gpu,
    GpuDriver,
    Subuids {
        user: String,
    },
    Space {
        base: PathBuf,
    },
    Clock,
    Registry {
        url: String,
    },
}

/// What forbids new user namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Barrier {
    /// `user.max_user_namespaces` is 0.
    NoneAllowed,
    /// Debian's `kernel.unprivileged_userns_clone` is 0.
    OnlyRoot,
    /// Ubuntu's restriction by `AppArmor`; the program that is to be excepted.
    AppArmor { program: PathBuf },
    /// Something around this process: a container, a seccomp filter, a chroot.
    Surroundings,
}

impl Barrier {
    /// Reads the settings of this host; `program` is this program's own file.
    pub fn read(program: &Path) -> Self {
        Self::read_below(Path::new("/proc/sys"), program)
    }

    fn read_below(settings: &Path, program: &Path) -> Self {
        let is = |name: &str, value: &str| {
            fs_err::read_to_string(settings.join(name)).is_ok_and(|text| text.trim() == value)
        };
        if is("user/max_user_namespaces", "0") {
            Self::NoneAllowed
        } else if is("kernel/unprivileged_userns_clone", "0") {
            Self::OnlyRoot
        } else if is("kernel/apparmor_restrict_unprivileged_userns", "1") {
            Self::AppArmor { program: program.to_owned() }
        } else {
            Self::Surroundings
        }
    }
}

impl Lack {
    /// Returns what this error of a job shows to be lacking, if it is the host.
    pub fn behind(error: &SandboxError, program: &Path) -> Option<Self> {
        match error {
            SandboxError::Namespaces { .. } => Some(Self::UserNamespaces(Barrier::read(program))),
            // `AppArmor` lets a namespace be made, and then forbids everything in it.
            SandboxError::Step { source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                match Barrier::read(program) {
                    barrier @ Barrier::AppArmor { .. } if !rustix::process::geteuid().is_root() => {
                        Some(Self::UserNamespaces(barrier))
                    }
                    _ => None,
                }
            }
            SandboxError::Limits { .. } => Some(Self::control_groups()),
            SandboxError::Step { step, source }
                if step.starts_with("bind rw")
                    && source.kind() == std::io::ErrorKind::InvalidInput =>
            {
                Some(Self::IdMappedMounts)
            }
            _ => None,
        }
    }

    /// Returns the lack of control groups, for this user and this host's version of them.
    pub fn control_groups() -> Self {
        let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        Self::ControlGroups { root: rustix::process::geteuid().is_root(), unified }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserNamespaces(barrier) => write!(f, "{barrier}"),
            Self::ControlGroups { unified: false, root: false } => f.write_str(
                "this host has control groups of version 1, which an ordinary user may not make: run it as root \
                 (`sudo rnx job run …`; the job itself is never root), or boot with `systemd.unified_cgroup_hierarchy=1`",
            ),
            Self::ControlGroups { unified: false, root: true } => f.write_str(
                "mount the controllers, or give them to this container: `mount -t cgroup -o memory,cpu,cpuset,pids …`",
            ),
            Self::ControlGroups { unified: true, root: false } => f.write_str(
                "run it in a scope of its own: `systemd-run --user --scope --quiet -p Delegate=yes rnx job run …`; for `--cpu` and \
                 `--cpu-cores` an administrator adds `Delegate=cpu cpuset memory pids` below `[Service]` in \
                 /etc/systemd/system/user@.service.d/delegate.conf, and `sudo systemctl daemon-reload`",
            ),
            Self::ControlGroups { unified: true, root: true } => f.write_str(
                "run it in a scope of its own: `systemd-run --scope --quiet -p Delegate=yes rnx job run …`; a service needs `Delegate=yes`, \
                 a container a writable /sys/fs/cgroup",
            ),
            Self::IdMappedMounts => f.write_str(
                "root's job writes through an idmapped mount, which this filesystem cannot: run it as another user, or from \
                 a folder on another filesystem, or copy what it needs with `--upload`",
            ),
            Self::Overlay => f.write_str(
                "jobs do not need it; `cargo xtask build` does: keep the cache on ext4, xfs, btrfs or tmpfs, with Linux 5.11 or newer",
            ),
            Self::Gpu => f.write_str(
                "install the GPU's driver; for a CDI specification: `sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`",
            ),
            Self::GpuDriver => f.write_str(
                "install the driver's libraries for CUDA (Debian: libcuda1, Ubuntu: libnvidia-compute-VERSION)",
            ),
            Self::Subuids { user } => write!(
                f,
                "jobs do not need them; `cargo xtask build` does: `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}`"
            ),
            Self::Space { base } => {
                write!(f, "make room (`rnx runtime gc`), or use another folder: `--base DIR` instead of {}", base.display())
            }
            Self::Clock => f.write_str("set it: `sudo timedatectl set-ntp true`"),
            Self::Registry { url } => write!(
                f,
                "look at the network, at `https_proxy` and at the configured address {url}; what is installed works without it"
            ),
        }
    }
}

impl fmt::Display for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneAllowed => f.write_str(
                "allow user namespaces: `echo user.max_user_namespaces=10000 | sudo tee /etc/sysctl.d/60-rnx.conf && sudo sysctl --system`",
            ),
            Self::OnlyRoot => f.write_str(
                "allow user namespaces: `echo kernel.unprivileged_userns_clone=1 | sudo tee /etc/sysctl.d/60-rnx.conf && sudo sysctl --system`",
            ),
            Self::AppArmor { program } => write!(
                f,
                "except this program from AppArmor's restriction: `printf 'abi <abi/4.0>,\\nprofile rnx {} flags=(unconfined) {{\\n  userns,\\n}}\\n' \
                 | sudo tee /etc/apparmor.d/rnx && sudo apparmor_parser -r /etc/apparmor.d/rnx`",
                program.display()
            ),
            Self::Surroundings => f.write_str(
                "something around this process forbids user namespaces: in a container, allow `unshare` and `mount` there \
                 (Docker: `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`), or run outside it",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_forbids_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let program = Path::new("/usr/bin/rnx");
        let read = || Barrier::read_below(folder.path(), program);
        assert_eq!(read(), Barrier::Surroundings);
        let settings = [
            ("kernel/apparmor_restrict_unprivileged_userns", "1"),
            ("kernel/unprivileged_userns_clone", "0"),
            ("user/max_user_namespaces", "0"),
        ];
        let barriers = [
            Barrier::AppArmor { program: program.to_owned() },
            Barrier::OnlyRoot,
            Barrier::NoneAllowed,
        ];
        for ((name, value), barrier) in settings.into_iter().zip(barriers) {
            let path = folder.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, format!("{value}\n")).unwrap();
            assert_eq!(read(), barrier);
        }
    }
}
