//! `/etc/ld.so.cache`: which library a name means on this host (glibc's `dl-cache.h`, format 1.1).

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::on_host;

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER_BYTES: usize = 48;
const ENTRY_BYTES: usize = 24;
/// `FLAG_ELF_LIBC6` with the architecture's 64-bit flag.
#[cfg(target_arch = "x86_64")]
const FLAGS: u32 = 0x0303;
#[cfg(target_arch = "aarch64")]
const FLAGS: u32 = 0x0a03;

/// The libraries of this architecture whose names are wanted: file and name, sorted. A host without the cache has none.
pub(super) fn libraries(root: &Path, wanted: &dyn Fn(&str) -> bool) -> Vec<(PathBuf, String)> {
    let bytes = fs::read(root.join("etc/ld.so.cache")).unwrap_or_default();
    let mut found: Vec<(PathBuf, String)> = Vec::new();
    for (name, path) in entries(&bytes) {
        let host = on_host(root, Path::new(path));
        // The first entry of a name is the one that the loader takes.
        if wanted(name) && host.exists() && !found.iter().any(|(_, known)| known == name) {
            found.push((host, name.to_owned()));
        }
    }
    found.sort_by(|a, b| a.1.cmp(&b.1));
    found
}

/// Names and paths; offsets count from the magic, which an older format's part may come before.
fn entries(bytes: &[u8]) -> Vec<(&str, &str)> {
    let Some(start) = bytes.windows(MAGIC.len()).position(|window| window == MAGIC) else {
        return Vec::new();
    };
    let bytes = &bytes[start..];
    let number = |at: usize| -> Option<usize> {
        let word: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(word) as usize)
    };
    let text = |at: usize| CStr::from_bytes_until_nul(bytes.get(at..)?).ok()?.to_str().ok();
    let count = number(MAGIC.len()).unwrap_or(0);
    (0..count)
        .map_while(|index| {
            let at = HEADER_BYTES + index * ENTRY_BYTES;
            Some((number(at)?, number(at + 4)?, number(at + 8)?))
        })
        .filter(|(flags, ..)| *flags == FLAGS as usize)
        .filter_map(|(_, name, path)| Some((text(name)?, text(path)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The real cache of this host, where there is one, beside what `ldconfig -p` prints of it.
    #[test]
    fn the_hosts_cache_is_read_as_ldconfig_reads_it() {
        let printed = std::process::Command::new("/sbin/ldconfig").arg("-p").output();
        let (Ok(bytes), Ok(printed)) = (fs::read("/etc/ld.so.cache"), printed) else {
            eprintln!("skipped: no loader cache, or no ldconfig");
            return;
        };
        let printed = String::from_utf8(printed.stdout).unwrap();
        let kind = if cfg!(target_arch = "x86_64") { "x86-64" } else { "AArch64" };
        let theirs: Vec<(&str, &str)> = printed
            .lines()
            .filter_map(|line| {
                let (name, rest) = line.trim().split_once(" (")?;
                let (flags, path) = rest.split_once(") => ")?;
                (flags.starts_with(&format!("libc6,{kind}"))).then_some((name, path))
            })
            .collect();
        assert!(theirs.len() > 3, "{printed}");
        assert_eq!(entries(&bytes), theirs);
    }

    #[test]
    fn a_broken_cache_has_nothing() {
        assert_eq!(entries(b""), []);
        let mut bytes = MAGIC.to_vec();
        bytes.extend(u32::MAX.to_le_bytes());
        assert_eq!(entries(&bytes), []);
        bytes.extend([0xff; 200]);
        assert_eq!(entries(&bytes), []);
    }
}
