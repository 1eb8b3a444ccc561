//! Text for people and programs: tables and sizes.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

use rnx::failure::{ExitStatus, Failure};
pub(crate) use rnx::shown::{shown, shown_lines};
use serde::Serialize;

/// Returns a number of bytes as people read it.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// Prints data. A reader that went away has seen enough.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// Prints data that may be no text.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    written(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Returns how it went to print data.
pub(crate) fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let mut failure =
                Failure::message(ExitStatus::Host, "failed to write to standard output");
            failure.causes.push(error.to_string());
            Err(failure.hint("look at what the output is redirected to: it is cut off"))
        }
        _ => Ok(()),
    }
}

/// Prints a value as JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(ExitStatus::Bug, &error))?;
    print(&format!("{text}\n"))
}

/// Returns rows in aligned columns, without a frame: easy to read and to cut.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a string cannot fail.
            write!(line, "{cell:<width$}  ").ok();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Returns a table whose last column is cut where the terminal ends; whole where there is no terminal.
pub(crate) fn table_for_terminal(rows: &[Vec<String>]) -> String {
    let out = io::stdout();
    let width = out.is_terminal().then(|| rustix::termios::tcgetwinsize(&out).ok()).flatten();
    let text = table(rows);
    match width.map(|size| usize::from(size.ws_col)) {
        Some(width @ 20..) => text.lines().map(|line| cut(line, width)).collect(),
        _ => text,
    }
}

fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return format!("{line}\n");
    }
    let short: String = line.chars().take(width - 1).collect();
    format!("{}…\n", short.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["NAME".to_owned(), "V".to_owned()], vec!["ü".to_owned(), "1".to_owned()]];
        assert_eq!(table(&rows), "NAME  V\nü     1\n");
        assert_eq!(cut("NAME  V", 7), "NAME  V\n");
        assert_eq!(cut("NAME  VERSION", 7), "NAME…\n");
    }
}
