//! What is said on standard error. Where that cannot be written, as on a full disk or in a closed terminal, nobody is there
//! to be told: the command goes on and ends as it would have.

use std::fmt;
use std::io::Write as _;

/// Says a line.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::cli::say::lines(&format!("{}\n", format_args!($($text)*)))
    };
}

pub(crate) use say;

/// Says whole lines at once, so that those of other processes do not come in between.
pub(crate) fn lines(text: &impl fmt::Display) {
    let _unheard = anstream::stderr().write_all(text.to_string().as_bytes());
}
