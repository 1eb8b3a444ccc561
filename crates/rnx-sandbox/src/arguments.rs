//! The arguments of this process, as others see them: `/proc/[pid]/cmdline` is readable by every user of a host.
#![expect(unsafe_code, reason = "the arguments lie in memory that no library hands out")]

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;

/// Writes stars over the values of these variables, as `NAME=VALUE`, in what the process list shows.
///
/// Until this is called they could be seen.
pub fn hide(variables: &[(OsString, OsString)]) -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the kernel's file about this process")]
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let Some((start, end)) = bounds(&text) else {
        return Err(io::Error::other("/proc/self/stat does not say where the arguments are"));
    };
    // SAFETY: this is where the kernel put the arguments when the process began; it is this process's own writable
    // stack, no Rust value lies in it, and the standard library copied them out before `main`.
    let arguments = unsafe {
        std::slice::from_raw_parts_mut(
            std::ptr::with_exposed_provenance_mut::<u8>(start),
            end - start,
        )
    };
    for (name, value) in variables {
        cover(arguments, &[name.as_bytes(), b"=", value.as_bytes()].concat(), value.len());
    }
    Ok(())
}

/// Covers the last `secret_len` bytes of each `text`.
fn cover(memory: &mut [u8], text: &[u8], secret_len: usize) {
    let mut at = 0;
    while at + text.len() <= memory.len() {
        if memory[at..].starts_with(text) {
            memory[at + text.len() - secret_len..at + text.len()].fill(b'*');
            at += text.len();
        } else {
            at += 1;
        }
    }
}

/// Fields 48 and 49 of `proc_pid_stat(5)`; the program's name, field 2, may hold spaces and parentheses.
fn bounds(stat: &str) -> Option<(usize, usize)> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_ascii_whitespace().skip(45);
    let (start, end) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (0 < start && start <= end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_occurrence_is_covered_and_nothing_else() {
        let mut memory = b"rnx\0-s\0K=abc\0-sK=abcabc\0abc\0".to_vec();
        cover(&mut memory, b"K=abc", 3);
        cover(&mut memory, b"rnx=", 0);
        assert_eq!(memory, b"rnx\0-s\0K=***\0-sK=***abc\0abc\0");
    }
}
