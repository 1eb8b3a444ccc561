//! The written form of JSON: keys sorted by bytes, two spaces, nothing escaped that need not be.

use serde_json::Value;

use super::v1::sorted;

/// Deeper values are not looked at here.
const DEPTH_MAX: usize = 64;

/// Returns a value in the written form, `level` levels deep in its document.
pub(super) fn written(value: &Value, level: usize) -> String {
    // Plain values always have a JSON form.
    let text = serde_json::to_string_pretty(&sorted(value)).unwrap_or_default();
    if level == 0 { text } else { text.replace('\n', &format!("\n{}", "  ".repeat(level))) }
}

/// Whether a text is in the written form already; `false` where only a look at its value would tell.
pub(super) fn is_written(text: &str, level: usize) -> bool {
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0 };
    scanner.value(level) && scanner.at == scanner.bytes.len()
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn value(&mut self, level: usize) -> bool {
        match self.bytes.get(self.at) {
            Some(b'{') => self.members(level, b'}', true),
            Some(b'[') => self.members(level, b']', false),
            Some(b'"') => self.string().is_some(),
            Some(b'-' | b'0'..=b'9') => self.integer(),
            Some(_) => ["true", "false", "null"].iter().any(|word| self.take(word.as_bytes())),
            None => false,
        }
    }

    fn members(&mut self, level: usize, end: u8, keys: bool) -> bool {
        self.at += 1;
        if self.take(&[end]) {
            return true;
        }
        let mut before: Option<&[u8]> = None;
        loop {
            if level >= DEPTH_MAX || !self.new_line(level + 1) {
                return false;
            }
            if keys {
                let Some(key) = self.string() else { return false };
                if before.is_some_and(|before| before >= key) || !self.take(b": ") {
                    return false;
                }
                before = Some(key);
            }
            if !self.value(level + 1) {
                return false;
            }
            if !self.take(b",") {
                return self.new_line(level) && self.take(&[end]);
            }
        }
    }

    /// Returns what stands between the quotes, if nothing of it is escaped.
    fn string(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..)?.strip_prefix(b"\"")?;
        let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
        self.at += end + 2;
        (rest[end] == b'"').then_some(&rest[..end])
    }

    fn integer(&mut self) -> bool {
        let start = self.at + usize::from(self.bytes[self.at] == b'-');
        let digits = self.bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let first = self.bytes.get(start);
        self.at = start + digits;
        let follows = self.bytes.get(self.at);
        (1..=18).contains(&digits)
            && (first != Some(&b'0') || (digits == 1 && self.bytes[start - 1] != b'-'))
            && !matches!(follows, Some(b'.' | b'e' | b'E'))
    }

    fn new_line(&mut self, level: usize) -> bool {
        const SPACES: [u8; 2 * DEPTH_MAX] = [b' '; 2 * DEPTH_MAX];
        self.take(b"\n") && self.take(&SPACES[..2 * level.min(DEPTH_MAX)])
    }

    fn take(&mut self, word: &[u8]) -> bool {
        let there = self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word));
        self.at += if there { word.len() } else { 0 };
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_seen_to_be_and_nothing_else_is() {
        let value: Value =
            serde_json::from_str(r#"{"b": [1, -2, 0, {"é": null}], "a": {}, "c": [], "": "x"}"#)
                .unwrap();
        for level in 0..4 {
            assert!(is_written(&written(&value, level), level));
            assert!(!is_written(&written(&value, level), level + 1));
        }
        for other in [
            r#"{"a":1}"#,
            "{\n  \"b\": 1,\n  \"a\": 1\n}",
            "{\n  \"a\": 1,\n  \"a\": 1\n}",
            "01",
            "-0",
            "1.0",
            "1e3",
            "\"\\u0041\"",
            "{\n  \"a\": 1,\n}",
            "{\n  \"a\": 1\n} ",
            "{\n  \"a\" : 1\n}",
            "",
            "{",
            "nul",
        ] {
            assert!(!is_written(other, 0), "{other}");
        }
    }
}
