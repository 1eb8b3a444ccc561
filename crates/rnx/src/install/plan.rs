//! What an install will do, as data.

use std::fmt;
use std::path::PathBuf;

use rnx_store::layout::Layout;

use crate::resolve::Resolved;

/// Nobody has promised how much it unpacks to: what fits on the disk.
pub const UNPACKED_BYTES_UNKNOWN: u64 = u64::MAX;
/// Files take whole blocks.
const BLOCK_BYTES: u64 = 4096;

/// An install, decided before anything is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallPlan {
    pub resolved: Resolved,
    /// The folder that it becomes.
    pub dir: PathBuf,
    /// Install it again where it is installed.
    pub replace: bool,
}

/// Returns how `resolved` is installed.
pub fn plan(resolved: Resolved, layout: &Layout, replace: bool) -> InstallPlan {
    let dir = layout.install(&resolved.spec);
    InstallPlan { resolved, dir, replace }
}

impl InstallPlan {
    /// Returns how much space the install takes while it is going on.
    pub fn needed_bytes(&self) -> u64 {
        let resolved = &self.resolved;
        if resolved.unpacked_bytes == UNPACKED_BYTES_UNKNOWN {
            // Nothing unpacks to less than it is.
            return resolved.size_bytes.saturating_mul(2);
        }
        self.needed_bytes_of(resolved.unpacked_bytes).saturating_add(resolved.size_bytes)
    }

    /// Returns how much space the install takes if so many bytes of files are written, and nothing else.
    pub fn needed_bytes_of(&self, written_bytes: u64) -> u64 {
        written_bytes.saturating_add(self.resolved.entries.saturating_mul(BLOCK_BYTES))
    }
}

impl fmt::Display for InstallPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Resolved { spec, platform, registry, .. } = &self.resolved;
        writeln!(
            f,
            "install {spec} for {platform} from {} ({})",
            registry.name, registry.document
        )?;
        for piece in &self.resolved.pieces {
            writeln!(f, "  download {} and verify {}", piece.url, piece.digest)?;
        }
        let Resolved { size_bytes, unpacked_bytes, entries, .. } = &self.resolved;
        if *unpacked_bytes == UNPACKED_BYTES_UNKNOWN {
            writeln!(f, "  unpack {size_bytes} bytes")?;
        } else {
            writeln!(
                f,
                "  unpack {size_bytes} bytes to {entries} entries of {unpacked_bytes} bytes"
            )?;
        }
        let verb = if self.replace { "put in place of" } else { "move to" };
        writeln!(f, "  {verb} {}", self.dir.display())
    }
}
