//! Licences of packages: Debian's copyright notices in the tree, and what other packages state of themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::{License, Named};

const NOTICE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Debian's short names of licences, and the SPDX identifiers of the same; only those where both mean one text.
const SPDX: [(&str, &str); 51] = [
    ("agpl-3", "AGPL-3.0-only"),
    ("agpl-3+", "AGPL-3.0-or-later"),
    ("apache-2", "Apache-2.0"),
    ("apache-2.0", "Apache-2.0"),
    ("apache 2.0", "Apache-2.0"),
    ("apache license 2.0", "Apache-2.0"),
    ("http://www.apache.org/licenses/license-2.0", "Apache-2.0"),
    ("http://www.apache.org/licenses/license-2.0.txt", "Apache-2.0"),
    ("https://www.apache.org/licenses/license-2.0", "Apache-2.0"),
    ("apache license, version 2.0", "Apache-2.0"),
    ("the apache license, version 2.0", "Apache-2.0"),
    ("the apache software license, version 2.0", "Apache-2.0"),
    ("https://www.apache.org/licenses/license-2.0.txt", "Apache-2.0"),
    ("bsd-2-clause", "BSD-2-Clause"),
    ("bsd-3-clause", "BSD-3-Clause"),
    ("bsd-4-clause", "BSD-4-Clause"),
    ("bsl-1", "BSL-1.0"),
    ("bsl-1.0", "BSL-1.0"),
    ("cc0-1.0", "CC0-1.0"),
    ("curl", "curl"),
    ("expat", "MIT"),
    ("ftl", "FTL"),
    ("gpl-1", "GPL-1.0-only"),
    ("gpl-1+", "GPL-1.0-or-later"),
    ("gpl-2", "GPL-2.0-only"),
    ("gpl-2+", "GPL-2.0-or-later"),
    ("gpl-2.0", "GPL-2.0-only"),
    ("gpl-2.0+", "GPL-2.0-or-later"),
    ("gpl-3", "GPL-3.0-only"),
    ("gpl-3+", "GPL-3.0-or-later"),
    ("gpl-3.0+", "GPL-3.0-or-later"),
    ("isc", "ISC"),
    ("isc license (iscl)", "ISC"),
    ("lgpl-2", "LGPL-2.0-only"),
    ("lgpl-2+", "LGPL-2.0-or-later"),
    ("lgpl-2.1", "LGPL-2.1-only"),
    ("lgpl-2.1+", "LGPL-2.1-or-later"),
    ("lgpl-3", "LGPL-3.0-only"),
    ("lgpl-3+", "LGPL-3.0-or-later"),
    ("mit", "MIT"),
    ("mit license", "MIT"),
    ("the mit license", "MIT"),
    ("mpl-1.1", "MPL-1.1"),
    ("mpl-2.0", "MPL-2.0"),
    ("mozilla public license 2.0 (mpl 2.0)", "MPL-2.0"),
    ("ofl-1.1", "OFL-1.1"),
    ("openssl", "OpenSSL"),
    ("psf-2.0", "PSF-2.0"),
    ("unlicense", "Unlicense"),
    ("x11", "X11"),
    ("zlib", "Zlib"),
];

/// Returns the licence that a package states in a field of its own: an identifier, an SPDX expression, or a name.
pub fn stated(text: &str) -> Vec<License> {
    let words: Vec<&str> = text.split_whitespace().collect();
    // An expression's operators are upper case, and what stands between them has no spaces.
    let operators = ["OR", "AND", "WITH"];
    let is_expression = words.len() > 2
        && words.iter().skip(1).step_by(2).all(|word| operators.contains(word))
        && words.iter().step_by(2).all(|word| spdx(word.trim_matches(['(', ')'])).is_some());
    if is_expression {
        return vec![License::Expression(words.join(" "))];
    }
    if words.is_empty() { Vec::new() } else { vec![named(&words.join(" "))] }
}

/// Returns the licences that a copyright notice names: the fields of a machine-readable one
/// (<https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/>), else the common texts that it points to.
pub fn of_notice(text: &str) -> Vec<License> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    let is_machine_readable = text.lines().next().is_some_and(|line| line.starts_with("Format:"));
    if is_machine_readable {
        let fields = text.lines().filter_map(|line| line.strip_prefix("License:"));
        names.extend(fields.flat_map(alternatives));
    } else {
        let marker = "/usr/share/common-licenses/";
        for (at, _) in text.match_indices(marker) {
            let rest = &text[at + marker.len()..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-.+".contains(c)));
            let name = rest[..end.unwrap_or(rest.len())].trim_end_matches(['.', '-']);
            // Which version, and whether a later one may be taken, is said in words that are not read here.
            names.insert(format!("{name} (see the copyright notice)"));
        }
    }
    names.iter().filter(|name| !name.is_empty()).map(|name| named(name)).collect()
}

/// `GPL-2+ or Artistic, and Expat` names three.
fn alternatives(field: &str) -> Vec<String> {
    let field = field.trim();
    // With an exception the name is one.
    if field.contains(" with ") {
        return vec![field.to_owned()];
    }
    field
        .replace(" and/or ", " or ")
        .replace(" and ", " or ")
        .split(" or ")
        .map(|name| name.trim_matches([' ', ',', '(', ')']).to_owned())
        .collect()
}

fn named(name: &str) -> License {
    License::License(match spdx(name) {
        Some(id) => Named::Id(id.to_owned()),
        None => Named::Name(name.to_owned()),
    })
}

fn spdx(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    SPDX.iter().find(|(known, id)| *known == lower || id.to_lowercase() == lower).map(|(_, id)| *id)
}

/// Returns the licences of these packages from the notices in the tree. ⚡
///
/// A link in the tree is followed as a job would follow it: never out of the tree.
pub fn in_tree<'a>(
    isolated: &Path,
    packages: impl Iterator<Item = &'a str>,
) -> std::io::Result<BTreeMap<String, Vec<License>>> {
    let root = rustix::fs::open(
        isolated,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut found = BTreeMap::new();
    for package in packages {
        let path = format!("usr/share/doc/{package}/copyright");
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // Not every package has a notice of its own in the tree.
        let Ok(fd) = openat2(&root, &path, flags, Mode::empty(), ResolveFlags::IN_ROOT) else {
            continue;
        };
        let file = fs_err::File::from_parts(fd.into(), isolated.join(&path));
        if !file.metadata()?.is_file() {
            continue;
        }
        let mut bytes = Vec::new();
        file.take(NOTICE_BYTES_MAX).read_to_end(&mut bytes)?;
        found.insert(package.to_owned(), of_notice(&String::from_utf8_lossy(&bytes)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_name_their_licences() {
        let told = |licenses: Vec<License>| serde_json::to_string(&licenses).unwrap();
        let machine = "Format: https://example.org/\n\nFiles: *\nLicense: GPL-2+ or Artistic, and Expat\n text\n\n\
            Files: b\nLicense: GPL-3+ with exception\n\nLicense: GPL-2+\n a text\n";
        insta::assert_snapshot!(told(of_notice(machine)), @r#"[{"license":{"name":"Artistic"}},{"license":{"id":"MIT"}},{"license":{"id":"GPL-2.0-or-later"}},{"license":{"name":"GPL-3+ with exception"}}]"#);
        let prose = "On Debian systems see /usr/share/common-licenses/GPL-2.\nOr `/usr/share/common-licenses/BSD'.";
        insta::assert_snapshot!(told(of_notice(prose)), @r#"[{"license":{"name":"BSD (see the copyright notice)"}},{"license":{"name":"GPL-2 (see the copyright notice)"}}]"#);
        insta::assert_snapshot!(told(stated("Apache-2.0 OR MIT")), @r#"[{"expression":"Apache-2.0 OR MIT"}]"#);
        insta::assert_snapshot!(told(stated("BSD License")), @r#"[{"license":{"name":"BSD License"}}]"#);
        insta::assert_snapshot!(told(stated("zlib and Boost")), @r#"[{"license":{"name":"zlib and Boost"}}]"#);
        insta::assert_snapshot!(told(stated("MIT")), @r#"[{"license":{"id":"MIT"}}]"#);
    }
}
