//! Where bases lie, and the rule that only a whole one counts.
//!
//! ```text
//! <cache>/bases/<inputs>-<mapping>/{rootfs/, complete.json}   a base
//! <cache>/bases/.staging/<inputs>-<mapping>/…                 one that is being made, or was interrupted
//! <cache>/bases/.locks/<inputs>-<mapping>                     held by the process that makes it
//! ```

use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use fs_err::File;
use rnx_spec::{Arch, Digest};
use serde::{Deserialize, Serialize};

use crate::rootfs::plan::BasePlan;
use crate::rootfs::{Progress, RootfsError};

/// `complete.json`: written last, so that its presence says the tree is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Complete {
    pub(crate) format: u32,
    pub(crate) base: String,
    pub(crate) arch: Arch,
    pub(crate) inputs: Digest,
    pub(crate) digest: Digest,
}

const FORMAT: u32 = 1;

/// The folder of all bases.
pub(crate) struct Shelf {
    root: PathBuf,
}

/// Held while a base is made; the kernel frees it when the holder dies.
pub(crate) struct ShelfGuard {
    _lock: File,
}

impl Shelf {
    /// Opens `bases/` below `cache_dir`; makes it where it is missing.
    ///
    /// Nobody else may look inside: trees hold setuid programs, which belong to the caller.
    pub(crate) fn open(cache_dir: &Path) -> Result<Self, RootfsError> {
        let root = cache_dir.join("bases");
        create_private(&root)?;
        for folder in [".staging", ".locks"] {
            create_private(&root.join(folder))?;
        }
        Ok(Self { root })
    }

    /// Returns the record of a base that is whole.
    pub(crate) fn find(&self, plan: &BasePlan) -> Option<Complete> {
        let text = fs_err::read_to_string(self.folder(plan).join("complete.json")).ok()?;
        let complete: Complete = serde_json::from_str(&text).ok()?;
        (complete.format == FORMAT && complete.inputs == plan.inputs).then_some(complete)
    }

    /// Returns where the base's tree lies, or will lie.
    pub(crate) fn rootfs(&self, plan: &BasePlan) -> PathBuf {
        self.folder(plan).join("rootfs")
    }

    /// Waits until no other process makes this base.
    pub(crate) fn lock(
        &self,
        plan: &BasePlan,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<ShelfGuard, RootfsError> {
        let path = self.root.join(".locks").join(&plan.folder);
        let fail = |source| RootfsError::Lock { path: path.clone(), source };
        let lock =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
        match lock.file().try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                progress(Progress::Step("waiting for another process that makes this base"));
                lock.file().lock().map_err(fail)?;
            }
            Err(std::fs::TryLockError::Error(source)) => return Err(fail(source)),
        }
        Ok(ShelfGuard { _lock: lock })
    }

    /// Returns what an interrupted run left of this base. Only to be asked by the holder of the lock.
    pub(crate) fn leftovers(&self, plan: &BasePlan) -> Vec<PathBuf> {
        [self.staging(plan), self.folder(plan)]
            .into_iter()
            .filter(|path| fs_err::symlink_metadata(path).is_ok())
            .collect()
    }

    /// Makes the folder that the base is made in.
    pub(crate) fn stage(&self, plan: &BasePlan) -> Result<PathBuf, RootfsError> {
        let staging = self.staging(plan);
        // Programs inside that give up uid 0, such as apt's fetcher, must get through it to the tree.
        create(&staging, 0o755)?;
        Ok(staging)
    }

    /// Records the staged tree as whole and moves it to its place, in this order.
    pub(crate) fn publish(&self, plan: &BasePlan, digest: Digest) -> Result<Complete, RootfsError> {
        let complete = Complete {
            format: FORMAT,
            base: plan.name.clone(),
            arch: plan.arch,
            inputs: plan.inputs,
            digest,
        };
        let staging = self.staging(plan);
        let record = staging.join("complete.json");
        write_durably(&record, &complete)
            .map_err(|source| RootfsError::WriteRecord { path: record, source })?;
        let folder = self.folder(plan);
        fs_err::rename(&staging, &folder)
            .and_then(|()| File::open(&self.root)?.sync_all())
            .map_err(|source| RootfsError::Publish { path: folder, source })?;
        Ok(complete)
    }

    fn folder(&self, plan: &BasePlan) -> PathBuf {
        self.root.join(&plan.folder)
    }

    fn staging(&self, plan: &BasePlan) -> PathBuf {
        self.root.join(".staging").join(&plan.folder)
    }
}

fn write_durably(path: &Path, complete: &Complete) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&serde_json::to_vec_pretty(complete)?)?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn create_private(path: &Path) -> Result<(), RootfsError> {
    create(path, 0o700)
}

fn create(path: &Path, mode: u32) -> Result<(), RootfsError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|source| RootfsError::CreateFolder { path: path.to_owned(), source })
}
