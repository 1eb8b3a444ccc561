//! Packing a tree, beside tar with gzip and with pigz.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use fs_err as fs;
use rnx_archive::{Tree, pack};
use rnx_spec::artifact::SourceDateEpoch;

use super::{BenchError, Contest, Report, Setting, installed, medians, peak_bytes};

/// Packs the tree below `tree` on `threads` threads; reading its names counts as a part of it.
pub fn run(tree: &Path, threads: NonZeroUsize, setting: &Setting) -> Result<Report, BenchError> {
    let out = |name: &str| setting.scratch.join(name);
    let ours = || {
        let started = Instant::now();
        let scanned = Tree::scan(tree)
            .map_err(|source| BenchError::Scan { path: tree.to_owned(), source })?;
        let path = out("ours.tar.gz");
        let file = fs::File::create(&path)
            .map_err(|source| BenchError::Scratch { path: path.clone(), source })?;
        pack(&scanned, SourceDateEpoch(0), threads, file)
            .map_err(|source| BenchError::Pack { path: tree.to_owned(), source })?;
        Ok(started.elapsed())
    };
    let peak_bytes = peak_bytes(|| ours().map(|_duration| ()))?;
    let scripts = ["gzip", "pigz"].map(|tool| {
        let (from, to) = (tree.display(), out(&format!("{tool}.tar.gz")));
        let script = format!("tar -cf - -C '{from}' . | {tool} -6 > '{}'", to.display());
        (tool, Contest::shell(script, || Ok(())))
    });
    let (others, missing) = installed(scripts.into());
    let mut contests = vec![Contest::new("pack", ours)];
    contests.extend(others);
    let mut ways = medians(contests, setting.rounds)?;
    for way in &mut ways {
        let tool =
            ["gzip", "pigz"].into_iter().find(|tool| way.name.contains(&format!("| {tool}")));
        let path = out(&format!("{}.tar.gz", tool.unwrap_or("ours")));
        let scratch_error = |source| BenchError::Scratch { path: path.clone(), source };
        way.size_bytes = Some(fs::metadata(&path).map_err(scratch_error)?.len());
        if let Some(tool) = tool {
            way.name = format!("tar | {tool} -6");
        }
        fs::remove_file(&path).map_err(scratch_error)?;
    }
    let title = format!("pack `{}` on {threads} threads", tree.display());
    Ok(Report { title, ways, peak_bytes: Some(peak_bytes), missing })
}
