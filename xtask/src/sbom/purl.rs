//! Package URLs: the names that scanners of other people know packages by.

use rnx_spec::lock::{DistroFormat, DistroPackage, LanguageKind, LanguagePackage, LockedBase};

use crate::lock::observed::normalised;

/// Returns the URL of a distro's package, for example `pkg:deb/debian/bash@5.2.15-2%2Bb13?arch=amd64&distro=debian-12`.
pub fn distro(package: &DistroPackage, base: &LockedBase) -> String {
    let DistroPackage { name, arch, version, format, .. } = package;
    let os = if base.os.is_empty() { "unknown" } else { &base.os };
    // In an rpm's URL the epoch is a qualifier; in a deb's it is a part of the version.
    let (epoch, version) = match (format, version.split_once(':')) {
        (DistroFormat::Rpm, Some((epoch, rest))) => (format!("&epoch={epoch}"), rest),
        _ => (String::new(), version.as_str()),
    };
    let distro = if base.os_version.is_empty() {
        os.to_owned()
    } else {
        format!("{os}-{}", base.os_version)
    };
    format!(
        "pkg:{}/{}/{}@{}?arch={}&distro={}{epoch}",
        format.as_str(),
        escaped(os),
        escaped(name),
        escaped(version),
        escaped(arch),
        escaped(&distro),
    )
}

/// Returns the URL of a language's package, for example `pkg:npm/%40scope/name@1.0.0`.
pub fn language(package: &LanguagePackage) -> String {
    let name = match package.kind {
        LanguageKind::Pypi => escaped(&normalised(&package.name)),
        LanguageKind::Npm => parts(&package.name, '/'),
        LanguageKind::Maven => parts(&package.name, ':'),
    };
    format!("pkg:{}/{name}@{}", package.kind.as_str(), escaped(&package.version))
}

fn parts(name: &str, separator: char) -> String {
    name.split(separator).map(escaped).collect::<Vec<_>>().join("/")
}

fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}
