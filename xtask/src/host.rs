//! What this machine has for building: programs, their packages, and foreign architectures.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::PathBuf;

use rnx_spec::Arch;

use crate::rootfs::identity::Caller;
use crate::tool;

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

/// A program that a build needs, and the Debian package that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingTool {
    pub program: &'static str,
    pub debian_package: &'static str,
    pub purpose: &'static str,
}

const MMDEBSTRAP: MissingTool = MissingTool {
    program: "mmdebstrap",
    debian_package: "mmdebstrap",
    purpose: "makes Debian base trees",
};
const NEWUIDMAP: MissingTool = MissingTool {
    program: "newuidmap",
    debian_package: "uidmap",
    purpose: "gives an ordinary user's build more than one id",
};
const XZ: MissingTool =
    MissingTool { program: "xz", debian_package: "xz-utils", purpose: "unpacks `.tar.xz`" };
const ZSTD: MissingTool =
    MissingTool { program: "zstd", debian_package: "zstd", purpose: "unpacks `.tar.zst`" };

/// What is about to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A Debian base is made.
    Debootstrap,
    /// An ordinary user builds.
    Ids,
    /// A base archive has this compression.
    Xz,
    Zstd,
}

/// Returns the programs that `needs` ask for and `path` (the value of `PATH`) does not lead to.
pub fn missing_tools(needs: &[Need], path: &OsStr) -> Vec<MissingTool> {
    needs
        .iter()
        .map(|need| match need {
            Need::Debootstrap => MMDEBSTRAP,
            Need::Ids => NEWUIDMAP,
            Need::Xz => XZ,
            Need::Zstd => ZSTD,
        })
        .filter(|needed| tool::find(needed.program, path).is_none())
        .collect()
}

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
            Self::None { .. } => {
                "install the emulator and its registration: `sudo apt-get install \
                                  qemu-user-static binfmt-support`"
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
    for entry in fs_err::read_dir("/proc/sys/fs/binfmt_misc")? {
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

    #[test]
    fn only_network_settings_are_picked() {
        let vars = [("HOME", "/root"), ("https_proxy", "http://p"), ("AWS_SECRET_ACCESS_KEY", "x")]
            .map(|(key, value)| (OsString::from(key), OsString::from(value)));
        assert_eq!(network_env(vars), [("https_proxy".into(), "http://p".into())]);
    }
}
