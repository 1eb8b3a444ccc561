//! Verifying and unpacking an archive, beside what a shell script would do.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use fs_err as fs;
use rnx_archive::unpack::Archive;
use rnx_archive::{Limits, Options, verify_and_unpack};
use rnx_spec::Digest;
use sha2::{Digest as _, Sha256};

use super::{BenchError, Contest, Report, Setting, installed, medians, peak_bytes, renew};
use crate::tool::{self, Invocation};

/// Verifies and unpacks `archive` on `threads` threads.
///
/// The other ways unpack a copy of the same archive; zstd's unpacks the same tree, which is packed
/// by `zstd -3` before. Nobody flushes to disk.
pub fn run(archive: &Path, threads: NonZeroUsize, setting: &Setting) -> Result<Report, BenchError> {
    let scratch_error = |source| BenchError::Scratch { path: archive.to_owned(), source };
    let bytes = fs::read(archive).map_err(scratch_error)?;
    let (size, sha256) = (bytes.len() as u64, Digest::from_bytes(Sha256::digest(&bytes).into()));
    drop(bytes);
    let copy = setting.scratch.join("archive.tar.gz");
    fs::copy(archive, &copy).map_err(scratch_error)?;
    // What the archive holds is known once it was unpacked; then it is promised exactly that.
    let dest = setting.scratch.join("unpacked");
    let limits = Limits { archive_bytes: size, unpacked_bytes: u64::MAX, entries: u64::MAX };
    let unpack_error = |source| BenchError::Unpack { path: archive.to_owned(), source };
    Archive::open(&copy).map_err(unpack_error)?;
    let ours = || {
        renew(&dest)?;
        let started = Instant::now();
        let options = Options { limits, threads };
        let opened = Archive::open(&copy).map_err(unpack_error)?;
        verify_and_unpack(&opened, size, sha256, &dest, &options).map_err(unpack_error)?;
        Ok(started.elapsed())
    };
    let peak_bytes = peak_bytes(|| ours().map(|_duration| ()))?;
    let zstd = setting.scratch.join("archive.tar.zst");
    let (from, to, other) = (copy.display(), dest.display(), zstd.display());
    let pack = format!("tar -cf - -C '{to}' . | zstd -q -f -3 -o '{other}'");
    let invocation = Invocation::new("sh").args(["-c", pack.as_str()]);
    let has_zstd = tool::run(&invocation).is_ok();
    let sum = format!("echo '{}  {from}' | sha256sum -c --quiet", sha256.hex());
    let named = |name: &str, script: String| {
        let mut contest = Contest::shell(script, || renew(&dest));
        name.clone_into(&mut contest.name);
        contest
    };
    let (others, mut missing) = installed(vec![
        ("tar", named("sha256sum && tar -xzf", format!("{sum} && tar -xzf '{from}' -C '{to}'"))),
        ("bsdtar", named("bsdtar -xf", format!("bsdtar -xf '{from}' -C '{to}'"))),
        ("zstd", named("zstd -dc | tar -x", format!("zstd -dc '{other}' | tar -xf - -C '{to}'"))),
        (
            "zstd",
            named(
                "zstd: sha256sum && zstd -dc | tar -x",
                format!(
                    "sha256sum '{other}' >'{to}.sum' && zstd -dc '{other}' | tar -xf - -C '{to}'"
                ),
            ),
        ),
    ]);
    let mut contests = vec![Contest::new("verify and unpack", ours)];
    contests.extend(others.into_iter().filter(|way| has_zstd || !way.name.starts_with("zstd")));
    if !has_zstd && !missing.iter().any(|tool| tool == "zstd") {
        missing.push("zstd".to_owned());
    }
    let ways = medians(contests, setting.rounds)?;
    for path in [&copy, &zstd].into_iter().filter(|path| path.exists()) {
        fs::remove_file(path).map_err(scratch_error)?;
    }
    fs::remove_dir_all(&dest).map_err(scratch_error)?;
    let title = format!("unpack `{}` ({size} bytes) on {threads} threads", archive.display());
    Ok(Report { title, ways, peak_bytes: Some(peak_bytes), missing })
}
