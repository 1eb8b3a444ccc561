//! Text that others wrote, made fit for a terminal: nothing in it is obeyed.

/// Returns text with control and direction characters escaped.
pub fn shown(text: &str) -> String {
    escape(text, |_| false)
}

/// Returns text with control and direction characters escaped, except tabs and the ends of lines.
pub fn shown_lines(text: &str) -> String {
    escape(text, |c| matches!(c, '\n' | '\t'))
}

/// Counts entries in words.
pub fn entries(count: usize) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if (c.is_control() || turns) && !keep(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_that_is_shown() {
        assert_eq!(shown("a\u{1b}[31mü\n\u{202e}b"), "a\\u{1b}[31mü\\n\\u{202e}b");
        assert_eq!(shown_lines("a\n\tb\r"), "a\n\tb\\r");
    }
}
