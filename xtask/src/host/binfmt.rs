//! Programs of foreign architectures: whether the kernel's `binfmt_misc` runs them.

use std::fmt;
use std::io;
use std::path::Path;

use rnx_spec::Arch;

/// Where the kernel lists its emulators, each in a file.
const ENTRIES: &str = "/proc/sys/fs/binfmt_misc";

/// Whether programs of an architecture run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binfmt {
    Native,
    /// Through an emulator that the kernel starts.
    Emulated,
    Missing(BinfmtProblem),
}

/// Why programs of a foreign architecture do not run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BinfmtProblem {
    /// The kernel's list of emulators is not to be seen.
    NotMounted,
    /// The kernel knows no emulator for it.
    None { arch: Arch },
    /// It knows one, but has it switched off.
    Off { entry: String },
    /// It would look for the emulator inside the chroot, where there is none.
    NotFixed { entry: String },
}

impl BinfmtProblem {
    /// Returns what to do about it.
    pub fn fix(&self) -> String {
        match self {
            Self::NotMounted => {
                "mount it, and register what is installed: `sudo mount -t binfmt_misc binfmt_misc \
                 /proc/sys/fs/binfmt_misc && sudo update-binfmts --enable`"
                    .to_owned()
            }
            Self::None { .. } => {
                "install the emulator and its registration: `sudo apt-get install qemu-user-static \
                 binfmt-support arch-test`"
                    .to_owned()
            }
            Self::Off { entry } => {
                format!("switch it on: `echo 1 | sudo tee /proc/sys/fs/binfmt_misc/{entry}`")
            }
            Self::NotFixed { entry } => format!(
                "register `{entry}` with the flag F: `sudo apt-get install qemu-user-static` replaces it"
            ),
        }
    }
}

impl fmt::Display for BinfmtProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMounted => write!(f, "the kernel's binfmt_misc is not mounted"),
            Self::None { arch } => {
                write!(f, "the kernel's binfmt_misc has no emulator for {arch}")
            }
            Self::Off { entry } => write!(f, "binfmt_misc has `{entry}` switched off"),
            Self::NotFixed { entry } => {
                write!(
                    f,
                    "binfmt_misc has `{entry}` without the flag F, so it does not work in a chroot"
                )
            }
        }
    }
}

/// Returns whether programs of `arch` run on this machine.
pub fn binfmt(arch: Arch) -> Binfmt {
    if Arch::from_machine(std::env::consts::ARCH) == Some(arch) {
        return Binfmt::Native;
    }
    if !Path::new(ENTRIES).join("register").exists() {
        return Binfmt::Missing(BinfmtProblem::NotMounted);
    }
    binfmt_from(arch, &binfmt_entries().unwrap_or_default())
}

/// Decides from the entries of `/proc/sys/fs/binfmt_misc`, each a name and its text.
fn binfmt_from(arch: Arch, entries: &[(String, String)]) -> Binfmt {
    let mut best = BinfmtProblem::None { arch };
    for (name, text) in entries {
        if !runs(text, arch) {
            continue;
        }
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default();
        if text.lines().next() != Some("enabled") {
            best = BinfmtProblem::Off { entry: name.clone() };
        } else if flags.contains('F') {
            return Binfmt::Emulated;
        } else {
            best = BinfmtProblem::NotFixed { entry: name.clone() };
        }
    }
    Binfmt::Missing(best)
}

/// Whether an entry's magic is the ELF header of `arch`: `e_machine` is at byte 18, little-endian.
fn runs(text: &str, arch: Arch) -> bool {
    let machine = match arch {
        Arch::Amd64 => "3e00",
        Arch::Arm64 => "b700",
    };
    text.lines()
        .find_map(|line| line.strip_prefix("magic "))
        .is_some_and(|magic| magic.starts_with("7f454c4602") && magic.get(36..40) == Some(machine))
}

fn binfmt_entries() -> io::Result<Vec<(String, String)>> {
    let mut entries = Vec::new();
    for entry in fs_err::read_dir(ENTRIES)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // `register` can only be written.
        if !matches!(name.as_str(), "register" | "status") {
            entries.push((name, fs_err::read_to_string(entry.path())?));
        }
    }
    entries.sort();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QEMU: &str = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POCF\noffset 0\n\
        magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";

    fn decide(text: &str) -> Binfmt {
        binfmt_from(Arch::Arm64, &[("qemu-aarch64".into(), text.into())])
    }

    #[test]
    fn foreign_programs_need_an_emulator_that_reaches_into_chroots() {
        assert_eq!(decide(QEMU), Binfmt::Emulated);
        let entry = || "qemu-aarch64".to_owned();
        assert_eq!(
            decide(&QEMU.replace("POCF", "OC")),
            Binfmt::Missing(BinfmtProblem::NotFixed { entry: entry() })
        );
        assert_eq!(
            decide(&QEMU.replace("enabled", "disabled")),
            Binfmt::Missing(BinfmtProblem::Off { entry: entry() })
        );
        assert_eq!(
            decide(&QEMU.replace("b700", "f300")),
            Binfmt::Missing(BinfmtProblem::None { arch: Arch::Arm64 })
        );
    }
}
