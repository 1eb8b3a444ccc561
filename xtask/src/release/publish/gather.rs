//! Brings what several machines built together into one `dist/`. ⚡

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use rnx_spec::Digest;

use crate::build::dist::{self, SUMS_FILE, WriteDistError, Written};

/// Files of several machines could not be brought together.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    #[error("failed to read what was built elsewhere")]
    Read { source: io::Error },
    #[error("failed to read the digests of what was built elsewhere")]
    Sums { source: WriteDistError },
    #[error("no folder below `{}` holds a `{SUMS_FILE}`", from.display())]
    Nothing { from: PathBuf },
    #[error("`{name}` was built with other bytes in `{}` than in `{}`", first.display(), second.display())]
    Differ { name: String, first: PathBuf, second: PathBuf },
    #[error(
        "`{name}` is not what its line in `{SUMS_FILE}` says: expected {expected}, it is {actual}"
    )]
    Changed { name: String, expected: Digest, actual: Digest },
    #[error("failed to put the files together")]
    Write { source: WriteDistError },
}

/// Moves the files of the folders below `from`, each with its `SHA256SUMS`, into `dist`, and returns their names.
///
/// Every file is compared with its line. What two machines built, such as the definition's archive, is the same bytes.
pub fn gather(from: &Path, dist: &Path) -> Result<Vec<String>, GatherError> {
    let read = |source| GatherError::Read { source };
    let mut folders = Vec::new();
    for entry in fs_err::read_dir(from).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.join(SUMS_FILE).is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    if folders.is_empty() {
        return Err(GatherError::Nothing { from: from.to_owned() });
    }
    let mut found: BTreeMap<String, (PathBuf, Written)> = BTreeMap::new();
    for folder in folders {
        let sums = dist::read_sums(&folder).map_err(|source| GatherError::Sums { source })?;
        for (name, hex) in sums {
            let path = folder.join(&name);
            let actual =
                fs_err::File::open(&path).and_then(rnx_store::blob::digest).map_err(read)?;
            match hex.parse::<Digest>() {
                Ok(expected) if expected == actual => {}
                expected => {
                    let expected = expected.unwrap_or(Digest::from_bytes([0; 32]));
                    return Err(GatherError::Changed { name, expected, actual });
                }
            }
            let size_bytes = fs_err::metadata(&path).map_err(read)?.len();
            let written = Written { path, digest: actual, size_bytes };
            if let Some((first, other)) = found.get(&name)
                && other.digest != actual
            {
                let (first, second) = (first.clone(), folder);
                return Err(GatherError::Differ { name, first, second });
            }
            found.insert(name, (folder.clone(), written));
        }
    }
    let mut files: Vec<&mut Written> = found.values_mut().map(|(_, file)| file).collect();
    dist::publish(dist, &mut files).map_err(|source| GatherError::Write { source })?;
    Ok(found.into_keys().collect())
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn machine(dir: &Path, name: &str, files: &[(&str, &str)]) {
        let folder = dir.join(name);
        fs_err::create_dir_all(&folder).unwrap();
        let mut sums = String::new();
        for (file, content) in files {
            fs_err::write(folder.join(file), content).unwrap();
            let digest = Digest::from_bytes(Sha256::digest(content).into()).hex();
            sums.extend([format!("{digest}  {file}\n")]);
        }
        fs_err::write(folder.join(SUMS_FILE), sums).unwrap();
    }

    #[test]
    fn what_several_machines_built_is_one_release() {
        let dir = tempfile::tempdir().unwrap();
        let (from, dist) = (dir.path().join("jobs"), dir.path().join("dist"));
        machine(&from, "amd64", &[("a-amd64", "1"), ("a", "definition")]);
        machine(&from, "arm64", &[("a-arm64", "2"), ("a", "definition")]);
        assert_eq!(gather(&from, &dist).unwrap(), ["a", "a-amd64", "a-arm64"]);
        assert_eq!(dist::read_sums(&dist).unwrap().len(), 3);
        assert!(matches!(gather(&dist, &dist).unwrap_err(), GatherError::Nothing { .. }));

        machine(&from, "amd64", &[("a", "another")]);
        machine(&from, "arm64", &[("a", "definition")]);
        assert!(matches!(gather(&from, &dist).unwrap_err(), GatherError::Differ { .. }));
        machine(&from, "arm64", &[("a", "another")]);
        fs_err::write(from.join("arm64/a"), "broken").unwrap();
        assert!(matches!(gather(&from, &dist).unwrap_err(), GatherError::Changed { .. }));
    }
}
