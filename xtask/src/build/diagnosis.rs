//! What the last lines of a failed setup script mean, and what to do next: pure.

use rnx::failure::ExitStatus;

/// A known way in which scripts fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Diagnosis {
    pub(super) status: ExitStatus,
    pub(super) hint: String,
}

/// Returns what the lines mean, if that is known; the first that says something counts.
pub(super) fn diagnose(last_lines: &[String]) -> Option<Diagnosis> {
    last_lines.iter().find_map(|line| of_line(line))
}

/// Texts of apt, dnf, pip, curl and the C library.
fn of_line(line: &str) -> Option<Diagnosis> {
    let found = |status, hint: &str| Some(Diagnosis { status, hint: hint.to_owned() });
    if line.contains("No space left on device") || line.contains("not enough free space") {
        return found(
            ExitStatus::Host,
            "the disk is full: free some space, or keep builds elsewhere: `--cache-dir DIR`",
        );
    }
    if line.contains("DO NOT MATCH THE HASHES") || line.contains("Hash Sum mismatch") {
        return found(
            ExitStatus::Integrity,
            "what came is not what was pinned. A file of a released version never changes: find out why before a digest is \
             replaced; a cache or a mirror on the way may have answered wrongly",
        );
    }
    if let Some(package) = missing_package(line) {
        return found(
            ExitStatus::Findings,
            &format!(
                "the base's distro has no package `{package}`: a typing mistake, another release of the distro (`base:`), \
                 or a component that `runtimes/bases.yaml` does not name"
            ),
        );
    }
    if line.contains("No matching distribution found for") {
        return found(
            ExitStatus::Findings,
            "no wheel of this version fits the Python and the architecture of the build, or there is no such version",
        );
    }
    let network = [
        "Temporary failure resolving",
        "Temporary failure in name resolution",
        "Could not resolve host",
        "Network is unreachable",
        "Connection refused",
        "Connection timed out",
    ];
    if network.iter().any(|text| line.contains(text)) {
        return found(
            ExitStatus::Network,
            "a server could not be reached from the chroot, which has the network, the proxies and the certificates of \
             this machine (none with `network: none`)",
        );
    }
    None
}

fn missing_package(line: &str) -> Option<&str> {
    let after = [
        "Unable to locate package ",
        "Unable to find a match: ",
        "No match for argument: ",
        "Couldn't find any package by glob '",
    ];
    let named = after.iter().find_map(|text| line.split_once(text)).map(|(_, rest)| rest);
    // apt: `E: Package 'x' has no installation candidate`.
    let without = || line.split_once("Package '")?.1.split_once("' has no installation candidate");
    let name = named.or_else(|| without().map(|(name, _)| name))?;
    Some(name.trim_end_matches('\'').trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What pip itself says, of a wheel whose digest is another one.
    #[test]
    fn a_wheel_with_another_digest_is_known_by_what_pip_says() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let pip = root.join(crate::ci::PYTHON_DIR).join("bin/pip");
        if !pip.exists() {
            assert!(std::env::var_os("CI").is_none(), "pip is not installed");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let make = "import zipfile\nwith zipfile.ZipFile('a-1-py3-none-any.whl', 'w') as wheel:\n\
            \x20   wheel.writestr('a-1.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: a\\nVersion: 1\\n')\n\
            \x20   wheel.writestr('a-1.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
            \x20   wheel.writestr('a-1.dist-info/RECORD', '')\n";
        let run = |program: &std::path::Path, args: &[&str]| {
            let invocation = crate::tool::Invocation::new(program).args(args.iter().copied());
            crate::tool::run(&invocation.dir(folder.path()))
        };
        run(std::path::Path::new("python3"), &["-c", make]).unwrap();
        let zeros = "0".repeat(64);
        fs_err::write(folder.path().join("r.txt"), format!("a==1 --hash=sha256:{zeros}\n"))
            .unwrap();
        let args = ["install", "--no-index", "--find-links", ".", "--target", "t", "-r", "r.txt"];
        let said = run(&pip, &args).unwrap_err().to_string();
        let lines: Vec<String> = said.lines().map(str::to_owned).collect();
        assert_eq!(diagnose(&lines).map(|d| d.status), Some(ExitStatus::Integrity), "{said}");
    }

    #[test]
    fn lines_are_known_by_what_tools_write() {
        let told = |line: &str| {
            diagnose(&["Reading package lists...".to_owned(), line.to_owned()]).map(|d| {
                (d.status, d.hint.split([':', '.', ',']).next().unwrap_or_default().to_owned())
            })
        };
        let is = |status, hint: &str| Some((status, hint.to_owned()));
        assert_eq!(told("all is well"), None);
        let missing = "the base's distro has no package `pyton3`";
        for line in [
            "E: Unable to locate package pyton3",
            "E: Package 'pyton3' has no installation candidate",
            "Error: Unable to find a match: pyton3",
        ] {
            assert_eq!(told(line), is(ExitStatus::Findings, missing), "{line}");
        }
        assert_eq!(
            told(
                "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you"
            ),
            is(ExitStatus::Integrity, "what came is not what was pinned")
        );
        assert_eq!(
            told("cp: error writing 'x': No space left on device"),
            is(ExitStatus::Host, "the disk is full")
        );
        assert_eq!(
            told("curl: (6) Could not resolve host: example.org").map(|(status, _)| status),
            Some(ExitStatus::Network)
        );
    }
}
