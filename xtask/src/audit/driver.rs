//! The libraries of a GPU's driver: they belong to the host's kernel module, and are never in a runtime.

use super::closure::MissingLibrary;
use super::listing::{Listing, NodeKind};

/// What `rnx job run --gpu` brings from the host, and CUDA's own libraries link to. Nothing else may be missing.
const OF_HOST: [&str; 4] =
    ["libcuda.so.1", "libnvidia-ml.so.1", "libnvidia-ptxjitcompiler.so.1", "libnvcuvid.so.1"];

/// Whether a library is missing because the host's driver supplies it: it is one of few, and the tree brings the CUDA
/// runtime, which is the other half.
pub(super) fn supplies(missing: &MissingLibrary, listing: &Listing) -> bool {
    OF_HOST.contains(&missing.needed.as_str())
        && listing.nodes.keys().any(|path| file_name(path).starts_with("libcudart.so"))
}

/// Whether the file at `path` is a part of a driver.
pub(super) fn is_part(path: &str, kind: &NodeKind) -> bool {
    let name = file_name(path);
    let is_driver = name.starts_with("libcuda.so")
        || name.starts_with("libnvcuvid.so")
        || (name.starts_with("libnvidia-") && name.contains(".so"));
    is_driver && !matches!(kind, NodeKind::Dir)
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
