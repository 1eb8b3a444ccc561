//! Debian trees through `mmdebstrap`: its command line, pure.

use std::path::Path;

use rnx_spec::Arch;

use crate::tool::Invocation;

/// No file of a base is newer than this, whenever it is made.
const SOURCE_DATE_EPOCH: &str = "1700000000";

/// A Debian tree, decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debootstrap {
    pub suite: String,
    /// `mmdebstrap`'s own default, with updates and security, where there is none.
    pub mirror: Option<String>,
    /// `main` where it is empty.
    pub components: Vec<String>,
    /// A snapshot's indexes are past their date: apt is told to take them all the same.
    pub is_snapshot: bool,
    pub variant: String,
    pub include: Vec<String>,
}

/// Writes down what the tree depends on.
pub(crate) fn inputs(base: &Debootstrap) -> String {
    let Debootstrap { suite, mirror, components, is_snapshot, variant, include } = base;
    format!(
        "debootstrap {suite}\nmirror {}\ncomponents {components:?}\nsnapshot {is_snapshot}\n\
         variant {variant}\ninclude {include:?}\n",
        mirror.as_deref().unwrap_or("default"),
    )
}

/// Returns the command that makes the tree at `rootfs`, to be run as uid 0 of a user namespace.
///
/// The mode `root` leaves
/// namespaces to us: the tree then belongs to the ids of our mapping, and needs no second copy.
pub(crate) fn invocation(base: &Debootstrap, arch: Arch, rootfs: &Path) -> Invocation {
    let mut run = Invocation::new("mmdebstrap")
        .args(["--mode=root", "--format=directory"])
        .arg(format!("--variant={}", base.variant))
        .arg(format!("--architectures={arch}"));
    if !base.components.is_empty() {
        run = run.arg(format!("--components={}", base.components.join(",")));
    }
    if !base.include.is_empty() {
        run = run.arg(format!("--include={}", base.include.join(",")));
    }
    if base.is_snapshot {
        run = run.arg("--aptopt=Acquire::Check-Valid-Until \"false\"");
    }
    run = run.arg(base.suite.as_str()).arg(rootfs);
    if let Some(mirror) = &base.mirror {
        run = run.arg(mirror.as_str());
    }
    run.env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
}
