//! Where the tree's own dynamic linker finds a library: glibc's order, and musl's.

use std::collections::BTreeMap;

use rnx_spec::Arch;

use super::elf::ElfInfo;
use super::listing::{FileFacts, NodeKind};
use super::view::{MountView, Place};

const CACHE: &str = "/etc/ld.so.cache";
const CACHE_MAGIC: &[u8] = b"glibc-ld.so.cache1.1";

/// The dynamic linker of a tree.
#[derive(Debug, Clone)]
pub struct Loader<'a> {
    pub view: &'a MountView<'a>,
    pub arch: Arch,
    /// `LD_LIBRARY_PATH`.
    library_path: Vec<String>,
    /// `ld.so.cache`: names and paths.
    cache: BTreeMap<String, String>,
    system_dirs: Vec<String>,
}

/// An ELF file that asks for a library.
#[derive(Debug, Clone, Copy)]
pub struct Requester<'r> {
    /// Its guest path.
    pub guest: &'r str,
    pub elf: &'r ElfInfo,
    /// The expanded `DT_RPATH`s of what loaded it, nearest first.
    pub inherited: &'r [String],
}

impl<'a> Loader<'a> {
    /// Prepares the search; `library_path` is the job's `LD_LIBRARY_PATH`.
    pub fn new(view: &'a MountView<'a>, arch: Arch, library_path: &str) -> Self {
        let cache = view
            .file(CACHE)
            .and_then(|(_, facts)| facts.content.as_deref())
            .map_or_else(BTreeMap::new, parse_cache);
        let library_path =
            library_path.split([':', ';']).filter(|dir| !dir.is_empty()).map(str::to_owned);
        let library_path = library_path.collect();
        Self { view, arch, library_path, cache, system_dirs: system_dirs(view, arch) }
    }

    /// Returns the file that the linker loads for `needed`.
    pub fn find(&self, needed: &str, by: Requester<'_>) -> Option<(Place<'a>, &'a FileFacts)> {
        self.view.file(&self.locate(needed, by)?)
    }

    /// Returns the path by which the linker finds `needed`, symlinks and all.
    pub fn locate(&self, needed: &str, by: Requester<'_>) -> Option<String> {
        if needed.contains('/') {
            return self.loadable(self.expand(needed, by.guest));
        }
        let in_dir = |dir: &String| self.loadable(format!("{dir}/{needed}"));
        self.searched_first(by)
            .iter()
            .find_map(in_dir)
            .or_else(|| self.loadable(self.cache.get(needed)?.clone()))
            .or_else(|| self.system_dirs.iter().find_map(in_dir))
    }

    /// Returns the expanded `DT_RPATH` of a file: what it loads inherits it.
    pub fn rpath(&self, elf: &ElfInfo, guest: &str) -> Vec<String> {
        // A file with a RUNPATH has no say for others.
        if elf.runpath.is_empty() { self.expand_all(&elf.rpath, guest) } else { vec![] }
    }

    /// Returns all folders that are searched for `by`, in order; for messages.
    pub fn searched(&self, by: Requester<'_>) -> Vec<String> {
        let mut dirs = self.searched_first(by);
        dirs.extend(self.system_dirs.iter().cloned());
        dirs.dedup();
        dirs
    }

    fn searched_first(&self, by: Requester<'_>) -> Vec<String> {
        let mut dirs = Vec::new();
        if by.elf.runpath.is_empty() {
            dirs.extend(self.expand_all(&by.elf.rpath, by.guest));
            dirs.extend_from_slice(by.inherited);
        }
        dirs.extend(self.library_path.iter().map(|dir| self.expand(dir, by.guest)));
        dirs.extend(self.expand_all(&by.elf.runpath, by.guest));
        dirs
    }

    fn expand_all(&self, paths: &[String], guest: &str) -> Vec<String> {
        paths.iter().map(|path| self.expand(path, guest)).collect()
    }

    fn expand(&self, path: &str, guest: &str) -> String {
        let origin = guest.rsplit_once('/').map_or("/", |(dir, _)| dir);
        let lib = self.system_dirs.first().map_or("lib", |dir| dir.trim_start_matches('/'));
        let values = [("ORIGIN", origin), ("LIB", lib), ("PLATFORM", self.arch.machine())];
        let mut expanded = path.to_owned();
        for (name, value) in values {
            expanded = expanded
                .replace(&format!("${{{name}}}"), value)
                .replace(&format!("${name}"), value);
        }
        expanded
    }

    /// The linker passes over files of other architectures, and goes on searching.
    fn loadable(&self, guest: String) -> Option<String> {
        let (_, facts) = self.view.file(&guest)?;
        matches!(&facts.elf, Some(Ok(elf)) if elf.runs_on(self.arch)).then_some(guest)
    }
}

fn system_dirs(view: &MountView<'_>, arch: Arch) -> Vec<String> {
    let own = view.listing().nodes.iter().find_map(|(path, node)| match &node.kind {
        NodeKind::File(facts) if !facts.system_dirs.is_empty() => {
            view.guest_of(path).map(|_| facts.system_dirs.clone())
        }
        _ => None,
    });
    own.unwrap_or_else(|| {
        let multiarch = format!("{}-linux-gnu", arch.machine());
        vec![
            format!("/lib/{multiarch}"),
            format!("/usr/lib/{multiarch}"),
            "/lib64".to_owned(),
            "/usr/lib64".to_owned(),
            "/lib".to_owned(),
            "/usr/lib".to_owned(),
            // musl's.
            "/usr/local/lib".to_owned(),
        ]
    })
}

/// Reads the names and paths of an `ld.so.cache`; what is cut off or strange is left out.
fn parse_cache(bytes: &[u8]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Some(start) = memchr::memmem::find(bytes, CACHE_MAGIC) else { return found };
    let bytes = &bytes[start..];
    let u32_at = |at: usize| {
        let field: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(field)).ok()
    };
    let text_at = |at: usize| {
        let text = bytes.get(at..)?.split(|byte| *byte == 0).next()?;
        Some(std::str::from_utf8(text).ok()?.to_owned())
    };
    for entry in 0..u32_at(20).unwrap_or(0) {
        let at = 48 + entry * 24;
        let Some(key) = u32_at(at + 4).and_then(text_at) else { break };
        let Some(value) = u32_at(at + 8).and_then(text_at) else { break };
        // Entries for special processors may never be used.
        if u32_at(at + 16) == Some(0) && u32_at(at + 20) == Some(0) {
            found.entry(key).or_insert(value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(&str, &str, u64)]) -> Vec<u8> {
        let strings_at = 48 + entries.len() * 24;
        let (mut head, mut strings) = (CACHE_MAGIC.to_vec(), Vec::new());
        head.extend(u32::try_from(entries.len()).unwrap().to_le_bytes());
        head.resize(48, 0);
        for (key, value, hwcap) in entries {
            head.extend(0x303_u32.to_le_bytes());
            for text in [key, value] {
                head.extend(u32::try_from(strings_at + strings.len()).unwrap().to_le_bytes());
                strings.extend_from_slice(text.as_bytes());
                strings.push(0);
            }
            head.extend(0_u32.to_le_bytes());
            head.extend(hwcap.to_le_bytes());
        }
        head.extend(strings);
        head
    }

    #[test]
    fn the_cache_is_read_and_never_trusted() {
        let bytes = cache(&[("liba.so", "/x/v3/liba.so", 1 << 62), ("liba.so", "/x/liba.so", 0)]);
        let expected = BTreeMap::from([("liba.so".to_owned(), "/x/liba.so".to_owned())]);
        assert_eq!(parse_cache(&bytes), expected);
        for len in 0..bytes.len() {
            parse_cache(&bytes[..len]);
        }
    }
}
