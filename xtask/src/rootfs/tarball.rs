//! Base trees that come as one tar archive, and what all archives have in common.

use std::io::Read;
use std::path::Path;

use fs_err::File;
use rnx_spec::{Digest, SourceUrl};
use rnx_store::blob::{self, BlobRequest, SizeBound};
use rnx_store::fetch::Fetcher;

use crate::rootfs::{Progress, Provisioning, RootfsError, inside};
use crate::tool::{self, Invocation};

/// The folder of archives in the staging folder.
pub(crate) const BLOBS: &str = "blobs";

/// More than any base has.
const ARCHIVE_BYTES_MAX: u64 = 32 << 30;

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
    (url, digest): (&str, Digest),
    (staging, host): (&Path, &Provisioning),
    progress: &mut dyn FnMut(Progress),
) -> Result<(), RootfsError> {
    progress(Progress::Step("fetching the archive"));
    let bad = || RootfsError::Url { url: url.to_owned() };
    let url = match url.parse::<SourceUrl>() {
        Ok(url) => url,
        Err(_no_url) if url.contains("://") => return Err(bad()),
        Err(_no_url) => {
            let path = std::path::absolute(host.repo.join(url)).map_err(|_empty| bad())?;
            SourceUrl::from_path(&path).ok_or_else(bad)?
        }
    };
    let fetcher = Fetcher::new(host.fetch).map_err(|source| RootfsError::Options { source })?;
    let request = BlobRequest { url, digest, size: SizeBound::AtMost(ARCHIVE_BYTES_MAX) };
    blob::add(&fetcher, &request, &staging.join(BLOBS), &mut |done| {
        progress(Progress::Bytes { done, total: None });
    })
    .map_err(|source| RootfsError::Fetch { source })?;
    progress(Progress::Step("unpacking"));
    inside::unpack(staging, &[readable(staging, digest)?], false, host)?;
    clean_up(staging)
}

/// Returns the name, below `staging`, under which the unpacker can read an archive that was fetched.
pub(crate) fn readable(staging: &Path, digest: Digest) -> Result<String, RootfsError> {
    let name = format!("{BLOBS}/{}", digest.hex());
    let archive = staging.join(&name);
    let program = match compression(&archive)? {
        Compression::Own => return Ok(name),
        Compression::Xz => "xz",
        Compression::Zstd => "zstd",
    };
    let plain = format!("{name}.tar");
    let path = staging.join(&plain);
    let target =
        File::create(&path).map_err(|source| RootfsError::WriteArchive { path, source })?;
    // Both programs take the same options.
    let invocation = Invocation::new(program).args(["-q", "-dc", "--"]).arg(archive);
    tool::run_into(&invocation, target.into_file())?;
    Ok(plain)
}

/// Deletes the archives: the tree has what was in them.
pub(crate) fn clean_up(staging: &Path) -> Result<(), RootfsError> {
    let path = staging.join(BLOBS);
    fs_err::remove_dir_all(&path).map_err(|source| RootfsError::WriteArchive { path, source })
}

fn compression(archive: &Path) -> Result<Compression, RootfsError> {
    let mut magic = Vec::new();
    File::open(archive)
        .and_then(|file| file.take(6).read_to_end(&mut magic))
        .map_err(|source| RootfsError::ReadArchive { path: archive.to_owned(), source })?;
    Ok(match magic.as_slice() {
        b"\xfd7zXZ\0" => Compression::Xz,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        _ => Compression::Own,
    })
}
