//! Base trees that come as one tar archive.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use fs_err::File;
use rnx_spec::{Digest, SourceUrl};
use sha2::{Digest as _, Sha256};

use crate::rootfs::{Progress, Provisioning, RootfsError, inside};
use crate::tool::{self, Invocation};

/// The archive's name in the staging folder.
const ARCHIVE: &str = "archive";
const PLAIN: &str = "archive.tar";

/// How an archive is compressed, as far as the unpacker does not see to it itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    /// Plain, or gzip.
    Own,
    Xz,
    Zstd,
}

/// Fetches the archive at `url`, verifies it, and unpacks it into `staging/rootfs`.
pub(crate) fn provision(
    (url, sha256): (&str, Digest),
    (staging, host): (&Path, &Provisioning),
    progress: &mut dyn FnMut(Progress),
) -> Result<(), RootfsError> {
    progress(Progress::Step("fetching the archive"));
    let archive = staging.join(ARCHIVE);
    let actual = fetch(url, &archive, host, progress)?;
    if actual != sha256 {
        return Err(RootfsError::DigestMismatch { url: url.to_owned(), expected: sha256, actual });
    }
    progress(Progress::Step("unpacking"));
    let name = match compression(&archive)? {
        Compression::Own => ARCHIVE,
        Compression::Xz => decompress("xz", staging)?,
        Compression::Zstd => decompress("zstd", staging)?,
    };
    inside::unpack(staging, &[name.to_owned()], false, host)?;
    for name in [ARCHIVE, PLAIN] {
        let path = staging.join(name);
        if path.exists() {
            fs_err::remove_file(&path)
                .map_err(|source| RootfsError::WriteArchive { path, source })?;
        }
    }
    Ok(())
}

/// Copies the archive to `to` and returns the digest of what was copied.
fn fetch(
    url: &str,
    to: &Path,
    host: &Provisioning,
    progress: &mut dyn FnMut(Progress),
) -> Result<Digest, RootfsError> {
    let from = match url.parse::<SourceUrl>() {
        Ok(parsed) => match parsed.file_path() {
            Some(path) => PathBuf::from(path),
            None => return Err(RootfsError::NotYet { base: url.to_owned() }),
        },
        Err(_not_a_url) => host.repo.join(url),
    };
    let read = |source| RootfsError::ReadArchive { path: from.clone(), source };
    let mut source = File::open(&from).map_err(read)?;
    let total = source.metadata().map_err(read)?.len();
    let mut target = File::create(to)
        .map_err(|source| RootfsError::WriteArchive { path: to.to_owned(), source })?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        let count = source.read(&mut buffer).map_err(read)?;
        if count == 0 {
            return Ok(Digest::from_bytes(hasher.finalize().into()));
        }
        hasher.update(&buffer[..count]);
        target
            .write_all(&buffer[..count])
            .map_err(|source| RootfsError::WriteArchive { path: to.to_owned(), source })?;
        done += count as u64;
        progress(Progress::Bytes { done, total: Some(total) });
    }
}

fn compression(archive: &Path) -> Result<Compression, RootfsError> {
    let mut magic = Vec::new();
    File::open(archive).and_then(|file| file.take(6).read_to_end(&mut magic)).map_err(
        |source: io::Error| RootfsError::ReadArchive { path: archive.to_owned(), source },
    )?;
    Ok(match magic.as_slice() {
        b"\xfd7zXZ\0" => Compression::Xz,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        _ => Compression::Own,
    })
}

/// Writes the plain archive with the host's `xz` or `zstd`; both take the same options.
fn decompress(program: &str, staging: &Path) -> Result<&'static str, RootfsError> {
    let path = staging.join(PLAIN);
    let target = File::create(&path)
        .map_err(|source| RootfsError::WriteArchive { path: path.clone(), source })?;
    let invocation = Invocation::new(program).args(["-q", "-dc", "--"]).arg(staging.join(ARCHIVE));
    tool::run_into(&invocation, target.into_file())?;
    Ok(PLAIN)
}
