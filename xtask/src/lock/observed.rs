//! What `capture.sh` says, read: pure.

use std::collections::{BTreeMap, BTreeSet};

use rnx_spec::Digest;
use rnx_spec::lock::{DistroFormat, DistroPackage};
use serde::Deserialize;

/// What the chroot's package managers know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    pub os: String,
    pub os_version: String,
    pub packages: Vec<ObservedPackage>,
    /// The digests of the files that pip downloaded, by normalised name and version.
    pub wheels: BTreeMap<(String, String), Digest>,
}

/// A distro package, and where its files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedPackage {
    pub name: String,
    pub arch: String,
    pub version: String,
    pub format: DistroFormat,
    pub sha256: Option<Digest>,
    /// Absolute paths, where a merged `/usr` has them.
    pub files: Vec<String>,
    /// The licence that the package's own database names; rpm has one, dpkg has not.
    pub license: Option<String>,
}

impl ObservedPackage {
    /// Returns the line of the lock; `in_tree` are the tree's paths, absolute and merged.
    ///
    /// A package is in the tree if a file of it is, other than its copyright notice: notices are kept of packages that
    /// were trimmed away, too.
    pub fn locked(&self, in_tree: &BTreeSet<String>) -> DistroPackage {
        let notice = |path: &str| {
            path.starts_with("/usr/share/doc/") || path.starts_with("/usr/share/licenses/")
        };
        DistroPackage {
            name: self.name.clone(),
            arch: self.arch.clone(),
            version: self.version.clone(),
            format: self.format,
            in_tree: self.files.iter().any(|path| !notice(path) && in_tree.contains(path)),
            sha256: self.sha256,
        }
    }
}

/// Moves a path to where a merged `/usr` has it: package lists still say `/bin/sh`.
pub fn merged(path: &str) -> String {
    const MOVED: [&str; 6] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
    let moved = MOVED.iter().any(|folder| {
        path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    if moved { format!("/usr{path}") } else { path.to_owned() }
}

/// Returns a Python package's name as indexes compare it (PEP 503).
pub fn normalised(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if out.ends_with('-') => {}
            '-' | '_' | '.' => out.push('-'),
            c => out.push(c.to_ascii_lowercase()),
        }
    }
    out
}

/// Reads everything that the capture script said.
pub fn parse(text: &str) -> Observed {
    let mut sections: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut current = "";
    for line in text.lines() {
        match line.strip_prefix("@@ ") {
            Some(name) => current = name,
            None => sections.entry(current).or_default().push(line),
        }
    }
    let section = |name: &str| sections.get(name).map_or(&[][..], Vec::as_slice);
    let os = |key: &str| os_release(section("os-release"), key);
    let mut packages = debs(section("deb"), section("deb-files"), section("deb-index"));
    packages.extend(rpms(section("rpm"), section("rpm-files")));
    Observed {
        os: os("ID"),
        os_version: os("VERSION_ID"),
        packages,
        wheels: wheels(section("pip")),
    }
}

fn os_release(lines: &[&str], key: &str) -> String {
    let value = lines.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
}

fn debs(shown: &[&str], lists: &[&str], index: &[&str]) -> Vec<ObservedPackage> {
    let digests = deb_digests(index);
    let files = deb_files(lists);
    let mut packages = Vec::new();
    for line in shown {
        let fields: Vec<&str> = line.split('\t').collect();
        let [status, name, arch, version] = fields[..] else { continue };
        // The second letter is the state: `i` is installed, `c` has only left its settings.
        if status.as_bytes().get(1) != Some(&b'i') {
            continue;
        }
        let key = |text: &str| text.to_owned();
        let list = files.get(name).or_else(|| files.get(format!("{name}:{arch}").as_str()));
        packages.push(ObservedPackage {
            name: key(name),
            arch: key(arch),
            version: key(version),
            format: DistroFormat::Deb,
            sha256: digests.get(&(key(name), key(arch), key(version))).copied(),
            files: list.cloned().unwrap_or_default(),
            license: None,
        });
    }
    packages
}

/// `head -v` names each list: `==> libc6:amd64.list <==`.
fn deb_files(lines: &[&str]) -> BTreeMap<String, Vec<String>> {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut package = "";
    for line in lines {
        if let Some(name) = line.strip_prefix("==> ").and_then(|l| l.strip_suffix(".list <==")) {
            package = name;
        } else if line.starts_with('/') {
            files.entry(package.to_owned()).or_default().push(merged(line));
        }
    }
    files
}

type DebKey = (String, String, String);

fn deb_digests(lines: &[&str]) -> BTreeMap<DebKey, Digest> {
    let mut digests = BTreeMap::new();
    for stanza in lines.split(|line| line.is_empty()) {
        let field = |key: &str| {
            stanza
                .iter()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
                .map(str::to_owned)
        };
        let digest = field("SHA256").and_then(|text| text.parse().ok());
        if let (Some(name), Some(arch), Some(version), Some(digest)) =
            (field("Package"), field("Architecture"), field("Version"), digest)
        {
            digests.insert((name, arch, version), digest);
        }
    }
    digests
}

fn rpms(shown: &[&str], files: &[&str]) -> Vec<ObservedPackage> {
    let mut by_package: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for line in files {
        let mut fields = line.splitn(3, '\t');
        if let (Some(name), Some(arch), Some(path)) = (fields.next(), fields.next(), fields.next())
        {
            by_package.entry((name, arch)).or_default().push(merged(path));
        }
    }
    let mut packages = Vec::new();
    for line in shown {
        let fields: Vec<&str> = line.splitn(5, '\t').collect();
        let [name, arch, version, digest, license] = fields[..] else { continue };
        // Keys of archives are kept in the database as if they were packages.
        if name == "gpg-pubkey" {
            continue;
        }
        packages.push(ObservedPackage {
            name: name.to_owned(),
            arch: arch.to_owned(),
            version: version.strip_prefix("0:").unwrap_or(version).to_owned(),
            format: DistroFormat::Rpm,
            sha256: digest.parse().ok(),
            files: by_package.remove(&(name, arch)).unwrap_or_default(),
            license: Some(license.to_owned()).filter(|text| text != "(none)"),
        });
    }
    packages
}

/// What `pip install --report` writes; only what is used of it.
#[derive(Deserialize)]
struct PipReport {
    install: Vec<PipInstall>,
}

#[derive(Deserialize)]
struct PipInstall {
    metadata: PipMetadata,
    download_info: PipDownload,
}

#[derive(Deserialize)]
struct PipMetadata {
    name: String,
    version: String,
}

#[derive(Deserialize)]
struct PipDownload {
    archive_info: Option<PipArchive>,
}

#[derive(Deserialize)]
struct PipArchive {
    #[serde(default)]
    hashes: BTreeMap<String, String>,
    /// How pip before 23.0 says it: `sha256=…`.
    hash: Option<String>,
}

impl PipArchive {
    fn sha256(&self) -> Option<Digest> {
        let old = self.hash.as_deref().and_then(|hash| hash.strip_prefix("sha256="));
        self.hashes.get("sha256").map(String::as_str).or(old)?.parse().ok()
    }
}

/// Reports of several runs stand one after another. One that cannot be read tells nothing.
fn wheels(lines: &[&str]) -> BTreeMap<(String, String), Digest> {
    let text = lines.join("\n");
    serde_json::Deserializer::from_str(&text)
        .into_iter::<PipReport>()
        .map_while(Result::ok)
        .flat_map(|report| report.install)
        .filter_map(|one| {
            let digest = one.download_info.archive_info?.sha256()?;
            Some(((normalised(&one.metadata.name), one.metadata.version), digest))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "@@ os-release\nPRETTY_NAME=\"Debian\"\nID=debian\nVERSION_ID=\"12\"\n\n@@ deb\n\
        ii \tbash\tamd64\t5.2-1+b2\nii \tlibc6\tamd64\t2.36\nrc \tgone\tamd64\t1\nii \tdocs\tall\t1\n@@ deb-files\n\
        ==> bash.list <==\n/.\n/bin\n/bin/bash\n/usr/share/doc/bash/copyright\n\n==> libc6:amd64.list <==\n\
        /lib/x86_64-linux-gnu/libc.so.6\n\n==> docs.list <==\n/usr/share/doc/docs/copyright\n@@ deb-index\n\
        Package: bash\nVersion: 5.2-1+b1\nArchitecture: amd64\nSHA256: 1111111111111111111111111111111111111111111111111111111111111111\n\n\
        Package: bash\nArchitecture: amd64\nVersion: 5.2-1+b2\nDescription: a shell\n SHA256: of no matter\nSHA256: 2222222222222222222222222222222222222222222222222222222222222222\n\n\
        Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36\n@@ rpm\n\
        zlib\tx86_64\t0:1.2.11-40\t3333333333333333333333333333333333333333333333333333333333333333\tzlib and Boost\n\
        perl\tx86_64\t4:5.32-1\t(none)\t(none)\ngpg-pubkey\t(none)\t0:1-2\t(none)\tpubkey\n@@ rpm-files\n\
        zlib\tx86_64\t/lib64/libz.so.1\n@@ pip\n\
        {\"version\": \"1\", \"install\": [{\"metadata\": {\"name\": \"Ruamel.YAML\", \"version\": \"1.0\"}, \"download_info\": {\"url\": \"x\", \"archive_info\": {\"hash\": \"sha256=4444444444444444444444444444444444444444444444444444444444444444\"}}}]}\n\
        {\"install\": [{\"metadata\": {\"name\": \"idna\", \"version\": \"3\"}, \"download_info\": {\"archive_info\": {\"hashes\": {\"sha256\": \"5555555555555555555555555555555555555555555555555555555555555555\"}}}}]}\n";

    #[test]
    fn everything_that_the_chroot_says_is_read() {
        let observed = parse(SAID);
        assert_eq!((&*observed.os, &*observed.os_version), ("debian", "12"));
        let in_tree = ["/usr/bin/bash", "/usr/share/doc/docs/copyright", "/usr/lib64/libz.so.1"];
        let in_tree = in_tree.map(str::to_owned).into();
        let told: Vec<String> = observed
            .packages
            .iter()
            .map(|package| {
                let locked = package.locked(&in_tree);
                let digest =
                    locked.sha256.map_or_else(|| "-".to_owned(), |d| d.hex()[..4].to_owned());
                let license = package.license.as_deref().unwrap_or("-");
                format!("{locked} {} {digest} {license}", locked.in_tree)
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        bash:amd64 5.2-1+b2 true 2222 -
        libc6:amd64 2.36 false - -
        docs:all 1 false - -
        zlib:x86_64 1.2.11-40 true 3333 zlib and Boost
        perl:x86_64 4:5.32-1 false - -
        ");
        let wheels: Vec<String> = observed
            .wheels
            .iter()
            .map(|((name, version), digest)| format!("{name} {version} {}", &digest.hex()[..4]))
            .collect();
        assert_eq!(wheels, ["idna 3 5555", "ruamel-yaml 1.0 4444"]);
        assert_eq!(parse(""), Observed::default());
    }

    #[test]
    fn names_are_compared_as_indexes_do() {
        for name in ["Ruamel.Yaml", "ruamel__yaml", "ruamel-_yaml"] {
            assert_eq!(normalised(name), "ruamel-yaml");
        }
    }
}
