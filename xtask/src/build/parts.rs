//! Archives that are larger than one file of a release may be: written in parts, found again, kept together. ⚡

use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rnx_spec::Digest;
use rnx_spec::artifact::{part_file, whole_of};
use sha2::{Digest as _, Sha256};

use super::dist::Written;

/// More files than a release may have.
const PARTS_MAX: usize = 10_000;

/// Writes `<path>.part01`, `<path>.part02` and so on, each but the last of exactly `part_bytes_max` bytes; or `path`
/// alone, if all fits into one.
#[derive(Debug)]
pub(super) struct Cutter {
    path: PathBuf,
    part_bytes_max: u64,
    finished: Vec<Written>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: BufWriter<fs_err::File>,
    path: PathBuf,
    digest: Sha256,
    size_bytes: u64,
}

impl Cutter {
    pub(super) fn new(path: &Path, part_bytes_max: u64) -> Self {
        let part_bytes_max = part_bytes_max.max(1);
        Self { path: path.to_owned(), part_bytes_max, finished: Vec::new(), open: None }
    }

    /// Returns what was written, in order.
    pub(super) fn finish(mut self) -> io::Result<Vec<Written>> {
        self.close()?;
        if let [single] = self.finished.as_mut_slice() {
            fs_err::rename(&single.path, &self.path)?;
            single.path = self.path;
        }
        Ok(self.finished)
    }

    fn open(&mut self) -> io::Result<&mut Open> {
        if self.open.is_none() {
            let path = sibling(&self.path, |whole| part_file(whole, self.finished.len() + 1));
            let file = fs_err::File::create(&path)?;
            file.set_permissions(PermissionsExt::from_mode(0o644))?;
            let file = BufWriter::with_capacity(256 * 1024, file);
            self.open = Some(Open { file, path, digest: Sha256::new(), size_bytes: 0 });
        }
        // It was set above.
        self.open.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn close(&mut self) -> io::Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        open.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        let digest = Digest::from_bytes(open.digest.finalize().into());
        self.finished.push(Written { path: open.path, digest, size_bytes: open.size_bytes });
        Ok(())
    }
}

impl Write for Cutter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part_bytes_max = self.part_bytes_max;
        let open = self.open()?;
        let left = usize::try_from(part_bytes_max - open.size_bytes).unwrap_or(usize::MAX);
        let written = open.file.write(&bytes[..bytes.len().min(left)])?;
        open.digest.update(&bytes[..written]);
        open.size_bytes += written as u64;
        if open.size_bytes == part_bytes_max {
            self.close()?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open.as_mut().map_or(Ok(()), |open| open.file.flush())
    }
}

/// Returns the files of the archive `path`: itself, or its parts in order; none if neither is there. A part stands for
/// all of them.
pub fn files_of(path: &Path) -> Vec<PathBuf> {
    let whole = sibling(path, |name| whole_of(name).unwrap_or(name).to_owned());
    if whole.is_file() {
        return vec![whole];
    }
    let parts = (1..=PARTS_MAX).map(|number| sibling(&whole, |name| part_file(name, number)));
    parts.take_while(|part| part.is_file()).collect()
}

/// Returns which of `names` are an older form of one of `new`: the whole where parts are new, or parts that the new
/// archive does not have.
pub(super) fn superseded(names: &[String], new: &[String]) -> Vec<String> {
    let whole = |name: &str| whole_of(name).unwrap_or(name).to_owned();
    let renewed: Vec<String> = new.iter().map(|name| whole(name)).collect();
    names
        .iter()
        .filter(|name| renewed.contains(&whole(name)) && !new.contains(name))
        .cloned()
        .collect()
}

fn sibling(path: &Path, name: impl FnOnce(&str) -> String) -> PathBuf {
    let old = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(name(&old))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(dir: &Path, bytes: &[u8], part_bytes_max: u64) -> Vec<(String, u64)> {
        let mut cutter = Cutter::new(&dir.join("a.tar.gz"), part_bytes_max);
        cutter.write_all(bytes).unwrap();
        let written = cutter.finish().unwrap();
        let mut all = Vec::new();
        for file in &written {
            let content = fs_err::read(&file.path).unwrap();
            assert_eq!(file.digest, Digest::from_bytes(Sha256::digest(&content).into()));
            all.extend(content);
        }
        assert_eq!(all, bytes);
        let name = |file: &Written| file.path.file_name().unwrap().to_str().unwrap().to_owned();
        written.iter().map(|file| (name(file), file.size_bytes)).collect()
    }

    #[test]
    fn what_is_too_long_is_cut_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let names = |sizes: &[u64]| -> Vec<(String, u64)> {
            (1..).zip(sizes).map(|(n, size)| (part_file("a.tar.gz", n), *size)).collect()
        };
        assert_eq!(cut(dir.path(), b"0123456789", 4), names(&[4, 4, 2]));
        assert_eq!(files_of(&dir.path().join("a.tar.gz")).len(), 3);
        assert_eq!(files_of(&dir.path().join("a.tar.gz.part02")).len(), 3);
        assert_eq!(cut(dir.path(), b"0123456789", 5), names(&[5, 5]));
        assert_eq!(cut(dir.path(), b"0123456789", 10), [("a.tar.gz".to_owned(), 10)]);
        assert_eq!(files_of(&dir.path().join("a.tar.gz")), [dir.path().join("a.tar.gz")]);
        assert_eq!(files_of(&dir.path().join("b.tar.gz")), Vec::<PathBuf>::new());
    }

    #[test]
    fn parts_that_a_new_archive_lacks_are_old() {
        let names = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let there = names(&["a.gz", "a.gz.part01", "a.gz.part02", "a.gz.part03", "b.gz", "a.json"]);
        let new = names(&["a.gz.part01", "a.gz.part02", "a.json"]);
        assert_eq!(superseded(&there, &new), ["a.gz", "a.gz.part03"]);
        assert_eq!(superseded(&there, &names(&["b.gz"])), Vec::<String>::new());
    }
}
