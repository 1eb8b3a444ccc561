//! What `--upload` names, as copies that a job gets in a folder of its own.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rnx_sandbox::plan::CopyEntry;

/// A job's folder with uploads lies in memory; no more than this is copied into it.
pub const UPLOAD_BYTES_MAX: u64 = 2 << 30;
const ENTRIES_MAX: usize = 200_000;

/// Files of one folder of the host; the paths are below it, and below the job's `/work`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub folder: PathBuf,
    pub entries: Vec<CopyEntry>,
}

/// A path that cannot be uploaded.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("failed to read what is to be uploaded")]
    Read { source: io::Error },
    #[error("`{}` is no file, folder or link, and is not uploaded", .0.display())]
    Special(PathBuf),
    #[error("`{}` cannot be uploaded: it is not below a folder", .0.display())]
    Root(PathBuf),
    #[error("two uploads are called `{}`", .0.display())]
    Twice(PathBuf),
    #[error("the uploads have more than {UPLOAD_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the uploads have more than {ENTRIES_MAX} files")]
    TooMany,
}

/// Lists what is at the paths, as `cp -r PATH... /work` would copy it: a folder by its name, `DIR/.` by what is in it.
pub fn list(paths: &[PathBuf]) -> Result<Vec<Upload>, UploadError> {
    let mut uploads = Vec::new();
    let mut names: Vec<PathBuf> = Vec::new();
    let mut left = Left { bytes: UPLOAD_BYTES_MAX, entries: ENTRIES_MAX };
    for path in paths {
        let upload = one(path, &mut left)?;
        for entry in &upload.entries {
            let name = path_of(entry);
            if name.components().count() == 1 {
                if names.iter().any(|known| known == name) {
                    return Err(UploadError::Twice(name.to_owned()));
                }
                names.push(name.to_owned());
            }
        }
        uploads.push(upload);
    }
    Ok(uploads)
}

struct Left {
    bytes: u64,
    entries: usize,
}

fn one(path: &Path, left: &mut Left) -> Result<Upload, UploadError> {
    let read = |source| UploadError::Read { source };
    let absolute = std::path::absolute(path).map_err(read)?;
    let content = path.as_os_str().as_encoded_bytes().ends_with(b"/.") || path == Path::new(".");
    let mut entries = Vec::new();
    let folder = if content {
        below(&absolute, Path::new(""), &mut entries, left)?;
        absolute
    } else {
        let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return Err(UploadError::Root(absolute));
        };
        add(folder, Path::new(name), &mut entries, left)?;
        folder.to_owned()
    };
    Ok(Upload { folder, entries })
}

fn below(
    folder: &Path,
    place: &Path,
    entries: &mut Vec<CopyEntry>,
    left: &mut Left,
) -> Result<(), UploadError> {
    let read = |source| UploadError::Read { source };
    let mut names: Vec<_> = fs::read_dir(folder.join(place))
        .map_err(read)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<_, _>>()
        .map_err(read)?;
    names.sort();
    for name in names {
        add(folder, &place.join::<&OsStr>(&name), entries, left)?;
    }
    Ok(())
}

fn add(
    folder: &Path,
    place: &Path,
    entries: &mut Vec<CopyEntry>,
    left: &mut Left,
) -> Result<(), UploadError> {
    let read = |source| UploadError::Read { source };
    let host = folder.join(place);
    left.entries = left.entries.checked_sub(1).ok_or(UploadError::TooMany)?;
    let metadata = fs::symlink_metadata(&host).map_err(read)?;
    let path = place.to_owned();
    if metadata.is_dir() {
        entries.push(CopyEntry::Dir { path });
        below(folder, place, entries, left)?;
    } else if metadata.is_symlink() {
        let target = fs::read_link(&host).map_err(read)?;
        entries.push(CopyEntry::Symlink { path, target });
    } else if metadata.is_file() {
        let size_bytes = metadata.len();
        left.bytes = left.bytes.checked_sub(size_bytes).ok_or(UploadError::TooLarge)?;
        let executable = metadata.permissions().mode() & 0o111 != 0;
        entries.push(CopyEntry::File { path, size_bytes, executable });
    } else {
        return Err(UploadError::Special(host));
    }
    Ok(())
}

fn path_of(entry: &CopyEntry) -> &Path {
    match entry {
        CopyEntry::Dir { path }
        | CopyEntry::File { path, .. }
        | CopyEntry::Symlink { path, .. } => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_listed_as_cp_copies_them() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        fs::create_dir_all(at("tree/sub")).unwrap();
        fs::write(at("tree/sub/run"), "123").unwrap();
        fs::set_permissions(at("tree/sub/run"), std::fs::Permissions::from_mode(0o700)).unwrap();
        fs::os::unix::fs::symlink("/etc", at("tree/link")).unwrap();
        let told = |path: PathBuf| {
            let upload = list(&[path]).unwrap().remove(0);
            let paths: Vec<_> =
                upload.entries.iter().map(|entry| path_of(entry).display().to_string()).collect();
            (upload.folder, paths.join(" "))
        };
        assert_eq!(
            told(at("tree")),
            (scratch.path().to_owned(), "tree tree/link tree/sub tree/sub/run".to_owned())
        );
        assert_eq!(told(at("tree/.")).1, "link sub sub/run");
        let file = list(&[at("tree/sub/run")]).unwrap().remove(0).entries;
        let (path, executable) = ("run".into(), true);
        assert_eq!(file, [CopyEntry::File { path, size_bytes: 3, executable }]);

        let error = |paths: &[PathBuf]| list(paths).unwrap_err().to_string();
        assert_eq!(error(&[at("tree"), at("tree")]), "two uploads are called `tree`");
        assert!(error(&["/dev/null".into()]).ends_with("is not uploaded"));
        let large = fs::File::create(at("large")).unwrap();
        large.set_len(UPLOAD_BYTES_MAX - 3).unwrap();
        assert!(list(&[at("large"), at("tree/sub/run")]).is_ok());
        large.set_len(UPLOAD_BYTES_MAX - 2).unwrap();
        let told = format!("the uploads have more than {UPLOAD_BYTES_MAX} bytes");
        assert_eq!(error(&[at("large"), at("tree/sub/run")]), told);
        assert!(error(&["/".into()]).starts_with("`/` cannot be uploaded"));
    }
}
