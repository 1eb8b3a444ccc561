//! Files that are there twice become one: the others are links to it. ⚡
//!
//! Only where nothing can tell the difference. A shared library is found by its name wherever that leads, and the dynamic
//! linker takes `$ORIGIN` from the name, not from where it leads. A program may look for what lies beside it, so it only
//! becomes a link to another in its own folder. Notices of copyright are just read. Everything else stays: languages
//! look for the neighbours of a module where its link leads.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rnx_archive::{Entry, ScanError, Tree};
use sha2::{Digest as _, Sha256};

use crate::audit::elf;

/// A smaller file is not worth a link.
const SIZE_BYTES_MIN: u64 = 1024;

/// A file that becomes a link. Paths are relative to the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStep {
    pub path: String,
    /// The path of the same content that stays.
    pub same: String,
    /// How long the file was.
    pub size_bytes: u64,
}

/// The tree could not be read, or a link not made.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error("failed to read the tree")]
    Scan { source: ScanError },
    #[error("failed to compare the files of the tree")]
    Read { source: io::Error },
    #[error("failed to make `{path}` a link")]
    Link { path: String, source: io::Error },
}

/// Makes links of duplicates in `tree_dir`, and returns which.
pub fn merge(tree_dir: &Path) -> Result<Vec<LinkStep>, MergeError> {
    let tree = Tree::scan(tree_dir).map_err(|source| MergeError::Scan { source })?;
    let steps = plan(&tree).map_err(|source| MergeError::Read { source })?;
    for step in &steps {
        let path = tree_dir.join(&step.path);
        fs_err::remove_file(&path)
            .and_then(|()| symlink(target(&step.path, &step.same), &path))
            .map_err(|source| MergeError::Link { path: step.path.clone(), source })?;
    }
    Ok(steps)
}

/// Finds duplicates. Of each, the path that is first in the archive stays.
fn plan(tree: &Tree) -> io::Result<Vec<LinkStep>> {
    let mut alike: BTreeMap<(u64, bool), Vec<(&str, &Path)>> = BTreeMap::new();
    for (path, entry) in &tree.0 {
        let Entry::File { content, size_bytes, executable } = entry else { continue };
        if *size_bytes >= SIZE_BYTES_MIN {
            alike.entry((*size_bytes, *executable)).or_default().push((path.as_str(), content));
        }
    }
    let mut steps = Vec::new();
    for ((size_bytes, _), files) in alike {
        if files.len() < 2 {
            continue;
        }
        let mut kept: BTreeMap<(String, [u8; 32]), &str> = BTreeMap::new();
        for (path, content) in files {
            let Some(among) = among(path, content)? else { continue };
            let digest = digest(content)?;
            match kept.get(&(among.clone(), digest)) {
                None => drop(kept.insert((among, digest), path)),
                Some(same) => {
                    let (path, same) = (path.to_owned(), (*same).to_owned());
                    steps.push(LinkStep { path, same, size_bytes });
                }
            }
        }
    }
    steps.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(steps)
}

/// Returns the folder that a file may be a link within, if it may be one at all.
fn among(path: &str, content: &Path) -> io::Result<Option<String>> {
    let top: String = path.split_inclusive('/').take(2).collect();
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if path.contains("/share/doc/") && name == "copyright" {
        return Ok(Some(top));
    }
    let Some(Ok(elf)) = elf::parse(fs_err::File::open(content)?.file()) else { return Ok(None) };
    let is_library = elf.interpreter.is_none() && (elf.soname.is_some() || name.contains(".so"));
    Ok(Some(if is_library { top } else { folder.to_owned() }))
}

fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut file = fs_err::File::open(path)?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(hasher.finalize().into()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// Returns the relative target of a link at `link` that leads to `to`.
fn target(link: &str, to: &str) -> PathBuf {
    let (from, to): (Vec<&str>, Vec<&str>) = (link.split('/').collect(), to.split('/').collect());
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from.len() - 1 - shared;
    std::iter::repeat_n("..", up).chain(to[shared..].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tests::made_elf::MadeElf;

    #[test]
    fn libraries_programs_and_notices_are_merged_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| {
            let path = dir.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, [bytes, &[0; 2048]].concat()).unwrap();
        };
        let library = MadeElf { soname: Some("libx.so.1"), ..MadeElf::default() }.bytes();
        let program = MadeElf { interpreter: Some("/lib64/ld.so"), ..MadeElf::default() }.bytes();
        for place in [
            "isolated/usr/lib/libx.so.1",
            "isolated/usr/b/libs/libx-1.so",
            "isolated/usr/lib/libx.so.1.2",
            "isolated/opt/libx.so.1",
        ] {
            write(place, &library);
        }
        write("isolated/usr/lib/liby.so.1", &[&library[..], b"other"].concat());
        for place in ["isolated/usr/bin/one", "isolated/usr/bin/two", "isolated/usr/sbin/three"] {
            write(place, &program);
        }
        for place in [
            "isolated/usr/share/doc/a/copyright",
            "isolated/usr/share/doc/b/copyright",
            "isolated/usr/lib/a/m.py",
            "isolated/usr/lib/b/m.py",
        ] {
            write(place, b"text");
        }
        let steps = merge(dir.path()).unwrap();
        let links: Vec<String> = steps
            .iter()
            .map(|step| {
                let target = fs_err::read_link(dir.path().join(&step.path)).unwrap();
                assert_eq!(
                    fs_err::metadata(dir.path().join(&step.path)).unwrap().len(),
                    step.size_bytes
                );
                format!("{} -> {}", step.path, target.display())
            })
            .collect();
        assert_eq!(
            links,
            [
                "isolated/usr/bin/two -> one",
                "isolated/usr/lib/libx.so.1 -> ../b/libs/libx-1.so",
                "isolated/usr/lib/libx.so.1.2 -> ../b/libs/libx-1.so",
                "isolated/usr/share/doc/b/copyright -> ../a/copyright",
            ]
        );
        assert_eq!(merge(dir.path()).unwrap(), []);
    }
}
