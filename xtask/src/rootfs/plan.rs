//! What making a base takes, decided before anything is done: pure.

use std::fmt;

use rnx_spec::bases::BaseSource;
use rnx_spec::{Arch, Digest};
use sha2::{Digest as _, Sha256};

use crate::rootfs::debian::{self, Debootstrap};
use crate::rootfs::identity::BuildIdentity;

/// Changes when the same inputs are made into a different tree; older trees are then made again.
const FORMAT: u32 = 1;

/// One base for one architecture, as `runtimes/bases.yaml` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedBase {
    pub name: String,
    pub arch: Arch,
    pub source: BaseSource,
}

/// How a base is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasePlan {
    pub name: String,
    pub arch: Arch,
    pub make: Make,
    /// The digest of everything that the content depends on.
    pub inputs: Digest,
    /// The base's folder below `bases/`.
    pub folder: String,
}

/// The one way a base is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Make {
    /// `mmdebstrap` installs packages into an empty tree.
    Debootstrap(Debootstrap),
    /// A tar archive with the digest `sha256` is unpacked.
    Rootfs { url: String, sha256: Digest },
    /// The layers of an image are unpacked one above the other.
    Oci { image: String, digest: Digest },
}

/// A base that cannot be planned: the definition asks for what does not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error(
        "base `{base}` names the snapshot `{snapshot}`, but no mirror that has `{{snapshot}}` in its URL"
    )]
    SnapshotWithoutMirror { base: String, snapshot: String },
    #[error("base `{base}` has a mirror with `{{snapshot}}` in its URL, but names no snapshot")]
    MirrorWithoutSnapshot { base: String },
}

/// Decides how `base` is made for builds with `identity`.
///
/// `debian_mirror` stands in where a debootstrap base names no mirror of its own.
pub fn plan(
    base: &ResolvedBase,
    identity: &BuildIdentity,
    debian_mirror: Option<&str>,
) -> Result<BasePlan, PlanError> {
    let make = match &base.source {
        BaseSource::Debootstrap { suite, mirror, components, snapshot, variant, include } => {
            let mirror = mirror.as_deref().or(debian_mirror);
            Make::Debootstrap(Debootstrap {
                suite: suite.clone(),
                mirror: mirror_url(&base.name, mirror, snapshot.as_deref())?,
                components: components.clone(),
                is_snapshot: snapshot.is_some(),
                variant: variant.clone().unwrap_or_else(|| "apt".to_owned()),
                include: include.clone(),
            })
        }
        BaseSource::Rootfs { url, sha256 } => Make::Rootfs { url: url.clone(), sha256: *sha256 },
        BaseSource::Oci { image, digest } => Make::Oci { image: image.clone(), digest: *digest },
    };
    let inputs = inputs(base.arch, &make);
    let folder = format!("{}-{}", inputs.hex(), identity.kind());
    Ok(BasePlan { name: base.name.clone(), arch: base.arch, make, inputs, folder })
}

/// Fills a snapshot's time into the mirror's URL.
fn mirror_url(
    base: &str,
    mirror: Option<&str>,
    snapshot: Option<&str>,
) -> Result<Option<String>, PlanError> {
    let has_place = mirror.is_some_and(|mirror| mirror.contains("{snapshot}"));
    match (mirror, snapshot) {
        (Some(mirror), Some(snapshot)) if has_place => {
            Ok(Some(mirror.replace("{snapshot}", snapshot)))
        }
        (_, Some(snapshot)) => Err(PlanError::SnapshotWithoutMirror {
            base: base.to_owned(),
            snapshot: snapshot.to_owned(),
        }),
        (Some(_), None) if has_place => {
            Err(PlanError::MirrorWithoutSnapshot { base: base.to_owned() })
        }
        (mirror, None) => Ok(mirror.map(str::to_owned)),
    }
}

/// Digests everything the content depends on; where bytes are pinned, not the place they come from.
fn inputs(arch: Arch, make: &Make) -> Digest {
    let what = match make {
        Make::Debootstrap(base) => debian::inputs(base),
        Make::Rootfs { sha256, .. } => format!("rootfs {sha256}\n"),
        Make::Oci { digest, .. } => format!("oci {digest}\n"),
    };
    let text = format!("joblet base {FORMAT}\narch {arch}\n{what}");
    Digest::from_bytes(Sha256::digest(text.as_bytes()).into())
}

impl fmt::Display for BasePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "base {} for {}, as bases/{}", self.name, self.arch, self.folder)?;
        match &self.make {
            Make::Debootstrap(base) => {
                writeln!(f, "run {}", debian::invocation(base, self.arch, "<rootfs>".as_ref()))
            }
            Make::Rootfs { url, sha256 } => {
                writeln!(f, "fetch {url}\nverify {sha256}\nunpack one tar archive")
            }
            Make::Oci { image, digest } => {
                writeln!(f, "pull {image}@{digest}\nverify each blob\nunpack its layers")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::identity::NoRanges;

    fn one_id() -> BuildIdentity {
        BuildIdentity::Single { reason: NoRanges::Newuidmap }
    }

    fn bookworm(mirror: Option<&str>, snapshot: Option<&str>) -> ResolvedBase {
        ResolvedBase {
            name: "debian-bookworm".into(),
            arch: Arch::Amd64,
            source: BaseSource::Debootstrap {
                suite: "bookworm".into(),
                mirror: mirror.map(str::to_owned),
                components: vec!["main".into(), "contrib".into()],
                snapshot: snapshot.map(str::to_owned),
                variant: None,
                include: vec!["ca-certificates".into()],
            },
        }
    }

    #[test]
    fn plans_say_what_will_be_done() {
        let digest = Digest::from_bytes([7; 32]);
        let rootfs = BaseSource::Rootfs { url: "images/tiny.tar.xz".into(), sha256: digest };
        let oci = BaseSource::Oci { image: "registry.test/team/tiny".into(), digest };
        let other = |source| ResolvedBase { name: "tiny".into(), arch: Arch::Arm64, source };
        let plans = [
            bookworm(None, None),
            bookworm(Some("http://mirror.test/{snapshot}/"), Some("20261101T000000Z")),
            other(rootfs),
            other(oci),
        ]
        .map(|base| plan(&base, &one_id(), None).unwrap().to_string());
        insta::assert_snapshot!(plans.join("\n"));
    }

    #[test]
    fn a_tree_is_shared_exactly_by_those_who_would_make_the_same() {
        let folder = |base: &ResolvedBase, identity: &BuildIdentity, mirror: Option<&str>| {
            plan(base, identity, mirror).unwrap().folder
        };
        let plain = folder(&bookworm(None, None), &one_id(), None);
        let mirrored = folder(&bookworm(Some("http://a.test/"), None), &one_id(), None);
        assert_ne!(plain, mirrored);
        assert_eq!(mirrored, folder(&bookworm(None, None), &one_id(), Some("http://a.test/")));
        assert_eq!(
            mirrored,
            folder(&bookworm(Some("http://a.test/"), None), &one_id(), Some("http://b.test/")),
            "a base's own mirror goes first"
        );
        let renamed = ResolvedBase { name: "other".into(), ..bookworm(None, None) };
        assert_eq!(plain, folder(&renamed, &one_id(), None));
        let foreign = ResolvedBase { arch: Arch::Arm64, ..bookworm(None, None) };
        assert_ne!(plain, folder(&foreign, &one_id(), None));
        let root = BuildIdentity::Root { count: 65_536 };
        assert_ne!(plain, folder(&bookworm(None, None), &root, None));
    }

    #[test]
    fn a_snapshot_needs_a_mirror_with_a_place_for_it() {
        let error = |base| plan(&base, &one_id(), None).unwrap_err();
        let snapshot = "20261101T000000Z".to_owned();
        for mirror in [None, Some("http://mirror.test/")] {
            assert_eq!(
                error(bookworm(mirror, Some(&snapshot))),
                PlanError::SnapshotWithoutMirror {
                    base: "debian-bookworm".into(),
                    snapshot: snapshot.clone()
                }
            );
        }
        assert_eq!(
            error(bookworm(Some("http://mirror.test/{snapshot}"), None)),
            PlanError::MirrorWithoutSnapshot { base: "debian-bookworm".into() }
        );
    }
}
