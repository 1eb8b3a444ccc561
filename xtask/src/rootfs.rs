//! Base root filesystems: each is made once, kept by the digest of its inputs, and shared by all builds.

mod debian;
mod error;
pub mod identity;
pub mod inside;
mod namespace;
mod oci;
pub mod plan;
mod probe;
mod shelf;
mod tarball;
mod unpack;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rnx_sandbox::plan::Network;
use rnx_spec::{Arch, Digest};
use rnx_store::fetch::FetchOptions;

use crate::host::{self, Binfmt};
use crate::rootfs::debian::Debootstrap;
use crate::rootfs::identity::BuildIdentity;
use crate::rootfs::namespace::{Inside, NamespaceError, STAGING};
use crate::rootfs::plan::{BasePlan, Make};
use crate::rootfs::shelf::{Complete, Shelf};

pub use crate::rootfs::error::RootfsError;
pub use crate::rootfs::plan::{ResolvedBase, plan};
pub use crate::rootfs::probe::{Probe, probe};

/// What of the host takes part in making a base.
#[derive(Debug, Clone, Copy)]
pub struct Provisioning<'a> {
    /// The folder that `bases/` lies in.
    pub cache_dir: &'a Path,
    /// What a base's relative path starts from.
    pub repo: &'a Path,
    /// A program that has `xtask __rootfs`: this one.
    pub helper: &'a Path,
    pub identity: &'a BuildIdentity,
    pub debian_mirror: Option<&'a str>,
    /// How URLs are read.
    pub fetch: &'a FetchOptions,
    /// The caller's proxy and CA settings, for programs ([`host::network_env`]).
    pub network_env: &'a [(OsString, OsString)],
}

/// A tree that builds use as the read-only lower layer of an overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseRootfs {
    pub dir: PathBuf,
    /// The digest of what is in the tree.
    pub digest: Digest,
    /// Whether it was there already.
    pub reused: bool,
}

/// What provisioning tells while it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A new step begins.
    Step(&'a str),
    /// A program said a line.
    Line(&'a str),
    Bytes {
        done: u64,
        total: Option<u64>,
    },
}

/// Returns the tree of `base`, if it is there.
pub fn find(base: &ResolvedBase, host: &Provisioning) -> Result<Option<BaseRootfs>, RootfsError> {
    let plan = plan(base, host.identity, host.debian_mirror)?;
    let shelf = Shelf::open(host.cache_dir)?;
    Ok(shelf.find(&plan).map(|complete| found(&shelf, &plan, &complete, true)))
}

/// Returns the tree of `base`; makes it if it is not there.
///
/// One process makes a tree while others that want the same wait for it. A tree counts only once it is whole.
pub fn ensure(
    base: &ResolvedBase,
    host: &Provisioning,
    progress: &mut dyn FnMut(Progress),
) -> Result<BaseRootfs, RootfsError> {
    let plan = plan(base, host.identity, host.debian_mirror)?;
    let shelf = Shelf::open(host.cache_dir)?;
    if let Some(complete) = shelf.find(&plan) {
        return Ok(found(&shelf, &plan, &complete, true));
    }
    check_host(&plan, host)?;
    let _guard = shelf.lock(&plan, progress)?;
    if let Some(complete) = shelf.find(&plan) {
        return Ok(found(&shelf, &plan, &complete, true));
    }
    for leftover in shelf.leftovers(&plan) {
        progress(Progress::Step("removing what an interrupted run left"));
        remove_tree(&leftover, host)?;
    }
    let staging = shelf.stage(&plan)?;
    match make(&plan, &staging, host, progress) {
        Ok(digest) => {
            let complete = shelf.publish(&plan, digest)?;
            Ok(found(&shelf, &plan, &complete, false))
        }
        Err(error) => {
            // The error at hand says more than one from cleaning up; the next run cleans up again.
            drop(remove_tree(&staging, host));
            Err(error)
        }
    }
}

fn found(shelf: &Shelf, plan: &BasePlan, complete: &Complete, reused: bool) -> BaseRootfs {
    BaseRootfs { dir: shelf.rootfs(plan), digest: complete.digest, reused }
}

/// Refuses what this host cannot do before anything is fetched.
fn check_host(plan: &BasePlan, host: &Provisioning) -> Result<(), RootfsError> {
    if let Make::Debootstrap(_) = plan.make
        && let BuildIdentity::Single { reason } = host.identity
    {
        return Err(RootfsError::OneId { base: plan.name.clone(), reason: reason.clone() });
    }
    if let Make::Debootstrap(_) = plan.make
        && !host.identity.has_many_ids()
    {
        return Err(RootfsError::NestedOneId { base: plan.name.clone() });
    }
    match host::binfmt(plan.arch) {
        Binfmt::Native | Binfmt::Emulated => Ok(()),
        Binfmt::Missing(problem) => {
            Err(RootfsError::ForeignArch { base: plan.name.clone(), arch: plan.arch, problem })
        }
    }
}

/// Fills `staging/rootfs` and returns the digest of what is in it.
fn make(
    plan: &BasePlan,
    staging: &Path,
    host: &Provisioning,
    progress: &mut dyn FnMut(Progress),
) -> Result<Digest, RootfsError> {
    match &plan.make {
        Make::Debootstrap(base) => debootstrap(base, plan.arch, (staging, host), progress)
            .map_err(|source| RootfsError::Debootstrap { base: plan.name.clone(), source })?,
        Make::Rootfs { url, sha256 } => {
            tarball::provision((url, *sha256), (staging, host), progress)?;
        }
        Make::Oci { image, digest } => {
            oci::provision((image, *digest, plan.arch), (staging, host), progress)?;
        }
    }
    progress(Progress::Step("reading the tree"));
    inside::digest(staging, host)
}

fn debootstrap(
    base: &Debootstrap,
    arch: Arch,
    (staging, host): (&Path, &Provisioning),
    progress: &mut dyn FnMut(Progress),
) -> Result<(), NamespaceError> {
    progress(Progress::Step("running mmdebstrap"));
    let rootfs = Path::new(STAGING).join("rootfs");
    let inside = Inside {
        identity: host.identity,
        staging,
        helper: None,
        network: Network::Host,
        invocation: debian::invocation(base, arch, &rootfs).envs(host.network_env.iter().cloned()),
    };
    namespace::run(&inside, &mut |line| progress(Progress::Line(line)))
}

/// Deletes a folder whose files belong to ids that only the namespace can act for.
pub(crate) fn remove_tree(path: &Path, host: &Provisioning) -> Result<(), RootfsError> {
    inside::remove(path, host)
}
