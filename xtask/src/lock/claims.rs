//! `packages` of a manifest, compared with what is in the tree: pure.

use rnx_spec::lock::PlatformLock;

use super::observed::normalised;

/// What a manifest says is inside.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claim<'a> {
    name: &'a str,
    /// What comes after `==`; only the name is claimed where there is none.
    version: Option<&'a str>,
}

/// What came of checking claims.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// What is not true, in words.
    pub wrong: Vec<String>,
    /// What cannot be checked, as it was written.
    pub unread: Vec<String>,
}

/// Compares each claim with the packages in the tree: `NAME==VERSION`, or `NAME` alone.
///
/// A distro's version also answers without its epoch and its packaging's own number: `7.88.1` for `7.88.1-10+deb12u15`.
pub fn check(claims: &[String], lock: &PlatformLock) -> Checked {
    let mut checked = Checked::default();
    for text in claims {
        let Some(claim) = read(text) else {
            checked.unread.push(text.clone());
            continue;
        };
        let wanted = normalised(claim.name);
        let there: Vec<&str> = lock
            .contents()
            .filter(|(_, name, _)| normalised(name) == wanted)
            .map(|(_, _, version)| version)
            .collect();
        let is_right = |version: &&str| claim.version.is_none_or(|wanted| answers(version, wanted));
        if there.is_empty() {
            checked.wrong.push(format!("`{text}`: no package `{}` is in the tree", claim.name));
        } else if !there.iter().any(is_right) {
            checked.wrong.push(format!(
                "`{text}`: the tree has {} {}",
                claim.name,
                there.join(", ")
            ));
        }
    }
    checked
}

fn read(text: &str) -> Option<Claim<'_>> {
    let (name, version) = match text.split_once("==") {
        Some((name, version)) => (name.trim(), Some(version.trim())),
        None => (text.trim(), None),
    };
    // Extras are a choice of dependencies, and not part of the name.
    let name = name.split_once('[').map_or(name, |(name, _)| name);
    let is_name = |c: char| c.is_alphanumeric() || "-_.+@/:".contains(c);
    let is_word = !name.is_empty() && name.chars().all(is_name);
    (is_word && version.is_none_or(|version| !version.is_empty()))
        .then_some(Claim { name, version })
}

fn answers(version: &str, wanted: &str) -> bool {
    let upstream = version.split_once(':').map_or(version, |(_, rest)| rest);
    let upstream = upstream.rsplit_once('-').map_or(upstream, |(upstream, _)| upstream);
    version == wanted || upstream == wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use rnx_spec::lock::{DistroFormat, DistroPackage, LanguageKind, LanguagePackage, LockedBase};

    #[test]
    fn claims_are_true_wrong_or_unread() {
        let digest = "0".repeat(64).parse().unwrap();
        let base = LockedBase {
            name: String::new(),
            os: String::new(),
            os_version: String::new(),
            digest,
        };
        let deb = |name: &str, version: &str, in_tree| DistroPackage {
            name: name.to_owned(),
            arch: "amd64".to_owned(),
            version: version.to_owned(),
            format: DistroFormat::Deb,
            in_tree,
            sha256: None,
        };
        let python = LanguagePackage {
            kind: LanguageKind::Pypi,
            name: "Scikit_Learn".to_owned(),
            path: String::new(),
            version: "1.3.2".to_owned(),
            sha256: digest,
            download: None,
        };
        let lock = PlatformLock {
            base,
            sources: Vec::new(),
            distro: vec![deb("curl", "1:7.88.1-10+deb12u15", true), deb("perl", "5.36", false)],
            language: vec![python],
        };
        let claims = [
            "scikit-learn==1.3.2",
            "curl==7.88.1",
            "curl",
            "perl",
            "scikit-learn==1.3.3",
            "numpy >= 1",
            "scikit-learn[all]",
        ];
        let checked = check(&claims.map(str::to_owned), &lock);
        assert_eq!(
            checked.wrong,
            [
                "`perl`: no package `perl` is in the tree",
                "`scikit-learn==1.3.3`: the tree has scikit-learn 1.3.2",
            ]
        );
        assert_eq!(checked.unread, ["numpy >= 1"]);
    }
}
