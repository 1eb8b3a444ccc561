//! Rules about single values: texts in, answers out.

/// The longest description in characters.
pub(super) const DESCRIPTION_CHARS_MAX: usize = 256;

/// Returns the one known word that `word` is a misspelling of.
///
/// Letter case, `-` and `_` do not count. A word of four letters or fewer must differ by a letter too many, too
/// few or out of order: a single wrong letter makes another word (`base`, `case`). A known word with another before it,
/// such as `r_version`, is meant as it stands.
pub(super) fn near<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |text: &str| -> Vec<char> {
        text.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
    };
    let compound = |known: &str| {
        let first = word.strip_suffix(known).and_then(|rest| rest.strip_suffix('_'));
        first.is_some_and(|first| !first.is_empty())
    };
    if word.len() > 64 || known.iter().any(|known| compound(known)) {
        return None;
    }
    let word = plain(word);
    let mut best: Option<(usize, &str)> = None;
    let mut tie = false;
    for candidate in known {
        let target = plain(candidate);
        let steps = distance(&word, &target);
        let allowed = if target.len() >= 8 { 2 } else { 1 };
        let short_swap = target.len() <= 4 && steps > 0 && word.len() == target.len() && {
            let (mut a, mut b) = (word.clone(), target.clone());
            a.sort_unstable();
            b.sort_unstable();
            a != b
        };
        if steps > allowed || short_swap {
            continue;
        }
        match best {
            Some((least, _)) if steps > least => {}
            Some((least, _)) if steps == least => tie = true,
            _ => {
                best = Some((steps, candidate));
                tie = false;
            }
        }
    }
    best.filter(|_| !tie).map(|(_, candidate)| candidate)
}

/// Returns how many letters must be inserted, removed, replaced or swapped with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let changed = usize::from(a[i - 1] != b[j - 1]);
            let mut steps =
                (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + changed);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                steps = steps.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = steps;
        }
    }
    rows[a.len()][b.len()]
}

/// Returns what a reader that takes `text` for a number writes back, if that differs: `3.10` becomes `3.1`.
pub(super) fn lost_as_number(text: &str) -> Option<String> {
    let number = match text.parse::<i128>() {
        Ok(integer) => integer.to_string(),
        Err(_no_integer) => match text.parse::<f64>() {
            Ok(float) => float.to_string(),
            Err(_other_radix) => return Some("another number".to_owned()),
        },
    };
    (number != text).then_some(number)
}

/// Reads a size such as `300 MiB`; binary and decimal units, and plain bytes.
pub(super) fn size_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|bytes| *bytes > 0)
}

/// Tells whether `text` has the form of an SPDX expression. It does not know the list of licences.
pub(super) fn is_spdx(text: &str) -> bool {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let mut depth = 0_usize;
    // An identifier is expected at the start, after an operator and after `(`.
    let mut expects_id = true;
    for token in spaced.split_whitespace() {
        match token {
            "(" if expects_id => depth += 1,
            ")" if !expects_id && depth > 0 => depth -= 1,
            "AND" | "OR" | "WITH" if !expects_id => expects_id = true,
            "(" | ")" | "AND" | "OR" | "WITH" => return false,
            id if expects_id && is_license_id(id) => expects_id = false,
            _ => return false,
        }
    }
    !expects_id && depth == 0
}

fn is_license_id(id: &str) -> bool {
    id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+' | b':'))
        && id.bytes().any(|b| b.is_ascii_alphabetic())
}

/// Returns the name of a platform as we spell it, from the names that kernels and people use.
pub(super) fn platform_by_other_name(text: &str) -> Option<String> {
    let (distro, arch) = text.split_once('-')?;
    let distro = match distro {
        "debian" | "ubuntu" => "ubuntu",
        "rhel" | "centos" | "rocky" | "almalinux" | "fedora" => "rhel",
        "amzn" | "amazon" | "amazonlinux" => "amzn",
        _ => return None,
    };
    let arch = match arch {
        "amd64" | "x86_64" | "x64" => "amd64",
        "arm64" | "aarch64" => "arm64",
        _ => return None,
    };
    Some(format!("{distro}-{arch}"))
}

/// Tells whether `name` can name a variable of the environment.
pub(super) fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings_find_their_word_and_other_words_do_not() {
        let known = ["name", "base", "platforms", "packages", "tests", "sources", "license"];
        for (word, expected) in [
            ("plaforms", Some("platforms")),
            ("Platforms", Some("platforms")),
            ("platform", Some("platforms")),
            ("licence", Some("license")),
            ("nmae", Some("name")),
            ("bases", Some("base")),
            ("case", None),
            ("game", None),
            ("features", None),
            ("components", None),
            ("cuda_version", None),
        ] {
            assert_eq!(near(word, &known), expected, "{word}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("300 MiB", Some(300 << 20)),
            ("1GiB", Some(1 << 30)),
            ("5 kB", Some(5000)),
            ("17", Some(17)),
            ("0 MiB", None),
            ("1.5 GiB", None),
            ("300 Mb", None),
            ("MiB", None),
            ("99999999999 TiB", None),
        ] {
            assert_eq!(size_bytes(text), bytes, "{text}");
        }
    }

    #[test]
    fn licences_are_expressions() {
        for good in ["MIT", "Apache-2.0 OR MIT", "(GPL-2.0-or-later WITH Classpath-exception-2.0)"]
        {
            assert!(is_spdx(good), "{good}");
        }
        for bad in ["", "MIT License", "MIT OR", "(MIT", "MIT)", "AND", "MIT/Apache-2.0", "2"] {
            assert!(!is_spdx(bad), "{bad}");
        }
    }

    #[test]
    fn numbers_that_lose_digits_are_told() {
        for (text, lost) in [
            ("3.10", Some("3.1")),
            ("3.11", None),
            ("21", None),
            ("007", Some("7")),
            ("0x1F", Some("another number")),
        ] {
            assert_eq!(lost_as_number(text).as_deref(), lost, "{text}");
        }
    }
}
