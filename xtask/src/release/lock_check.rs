//! Whether `versions.lock` is of the definition that is released, as far as that can be told without a build.

use rnx_spec::lock::LockFile;

use super::plan;
use crate::definitions::Definition;

/// Returns why the lock file is not of this definition; `None` where nothing speaks against it.
///
/// Whether the distro still has what it names is seen by the build, which compares.
pub(super) fn why_stale(definition: &Definition, lock: &LockFile) -> Option<String> {
    if lock.platforms.is_empty() {
        return Some("there is no `versions.lock`".to_owned());
    }
    for platform in plan::builds(definition) {
        let Some(locked) = lock.platforms.get(&platform) else {
            return Some(format!("`versions.lock` says nothing of {platform}"));
        };
        let mut declared: Vec<_> = definition
            .manifest
            .sources_for(platform)
            .map(|source| (source.file.as_str(), source.url.as_str(), source.sha256))
            .collect();
        declared.sort_unstable();
        let mut written: Vec<_> = locked
            .sources
            .iter()
            .map(|source| (source.file.as_str(), source.url.as_str(), source.sha256))
            .collect();
        written.sort_unstable();
        if declared != written {
            return Some(format!("`versions.lock` has other sources for {platform}"));
        }
    }
    None
}
