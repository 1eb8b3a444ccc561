//! The values of `rnx job run`'s options, from text.

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rnx::failure::{ExitStatus, Failure};
use rnx::gpu::Which;
use rnx::job::{JOB_ID, User, Volume};
use rnx_sandbox::plan::{Access, Network};

/// More than any machine has.
const PROCESSORS_MAX: u64 = 10_000;
/// Ten years: a clock of the kernel's still holds it, whenever it begins.
const SECONDS_MAX: u64 = 10 * 366 * 24 * 60 * 60;

/// A variable of the job: its name, and its value if it is not the caller's.
pub(super) type Variable = (OsString, Option<OsString>);

pub(super) fn variable(text: &OsStr) -> Result<Variable, Failure> {
    let bytes = text.as_bytes();
    let equals = bytes.iter().position(|byte| *byte == b'=');
    let (name, value) = match equals {
        Some(at) => (&bytes[..at], Some(OsString::from_vec(bytes[at + 1..].to_vec()))),
        None => (bytes, None),
    };
    if name.is_empty() {
        // The text may hold a secret.
        return Err(Failure::message(ExitStatus::Usage, "a variable of the job has no name")
            .hint("write NAME=VALUE, or NAME to pass on the caller's"));
    }
    Ok((OsString::from_vec(name.to_vec()), value))
}

/// Reads a file of variables as `docker run --env-file` takes it: one per line, as it stands, `#` begins a comment line.
pub(super) fn variables(path: &Path) -> Result<Vec<Variable>, Failure> {
    let bytes = fs_err::read(path).map_err(|error| Failure::new(ExitStatus::Findings, &error))?;
    bytes
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.trim_ascii_start().is_empty())
        .filter(|line| !line.trim_ascii_start().starts_with(b"#"))
        .map(|line| {
            variable(OsStr::from_bytes(line))
                .map_err(|failure| failure.hint(format!("in `{}`", path.display())))
        })
        .collect()
}

pub(super) fn volume(text: &str) -> Result<Volume, String> {
    let (rest, access) = match text.strip_suffix(":ro") {
        Some(rest) => (rest, Access::ReadOnly),
        None => (text.strip_suffix(":rw").unwrap_or(text), Access::ReadWrite),
    };
    let (host, guest) =
        rest.rsplit_once(':').ok_or("expected HOST:JOB, two paths with a colon between them")?;
    let host = std::path::absolute(host).map_err(|error| format!("`{host}`: {error}"))?;
    Ok(Volume { host, guest: PathBuf::from(guest), access })
}

pub(super) fn network(text: &str) -> Result<Network, String> {
    match text {
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        _ => Err("expected `none` or `host`".to_owned()),
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number and a unit, for example 30s, 5m or 2h".to_owned();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_not_a_number| wrong())?;
    let seconds = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    match number.checked_mul(seconds) {
        Some(seconds) if seconds <= SECONDS_MAX => Ok(Duration::from_secs(seconds)),
        Some(_) => Err("expected a time of at most ten years".to_owned()),
        None => Err(wrong()),
    }
}

/// Bytes, as `512M`, `1.5G` or `8GB`; units are powers of 1024.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let wrong = || "expected a number and a unit, for example 512M or 2G".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[digits.len()..].to_ascii_lowercase();
    let power = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" if unit.is_empty() || unit == "b" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(wrong()),
    };
    let thousandths = thousandths(digits.trim_end()).ok_or_else(wrong)?;
    let bytes = (u128::from(thousandths) << power) / 1000;
    match u64::try_from(bytes) {
        Ok(bytes) if bytes > 0 => Ok(bytes),
        _ => Err(wrong()),
    }
}

/// Thousandths of a processor, from a number of processors.
pub(super) fn processors(text: &str) -> Result<u64, String> {
    match thousandths(text) {
        Some(millis) if (10..=PROCESSORS_MAX * 1000).contains(&millis) => Ok(millis),
        _ => Err(format!(
            "expected a number of processors between 0.01 and {PROCESSORS_MAX}, for example 0.5 or 2"
        )),
    }
}

/// Thousandths of a processor, from hundredths.
pub(super) fn percent(text: &str) -> Result<u64, String> {
    match text.trim_end_matches('%').parse::<u64>() {
        Ok(percent) if percent > 0 && percent <= PROCESSORS_MAX * 100 => Ok(percent * 10),
        _ => Err("expected a percentage of one processor, for example 50 or 200".to_owned()),
    }
}

/// Bytes, from a number of MiB.
pub(super) fn mebibytes(text: &str) -> Result<u64, String> {
    match text.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << 20)) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err("expected a number of MiB, for example 512; `--memory` takes units".to_owned()),
    }
}

pub(super) fn user(text: &str) -> Result<User, String> {
    let id = |text: &str| match text {
        "root" => Ok(0),
        "job" => Ok(JOB_ID),
        _ => text.parse::<u32>().ok().filter(|id| *id < u32::MAX).ok_or_else(|| {
            "expected UID, UID:GID, `root` or `job`; names of the runtime are not looked up"
                .to_owned()
        }),
    };
    let (uid, gid) = text.split_once(':').unwrap_or((text, text));
    Ok(User { uid: id(uid)?, gid: id(gid)? })
}

pub(super) fn gpus(text: &str) -> Result<Which, String> {
    if text == "all" {
        return Ok(Which::All);
    }
    if text.contains('=') {
        return Ok(Which::Named(text.to_owned()));
    }
    text.parse::<NonZeroUsize>().map(Which::Count).map_err(|_not_a_number| {
        "expected a number of at least 1, `all`, or a CDI device as nvidia.com/gpu=0".to_owned()
    })
}

/// A decimal number with at most three places, in thousandths.
fn thousandths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 3 {
        return None;
    }
    let part: u64 = format!("{part:0<3}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_shares_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("1", 1),
            ("1k", 1024),
            ("512M", 512 << 20),
            ("1.5G", 1_610_612_736),
            ("8GB", 8 << 30),
            ("2GiB", 2 << 30),
            ("2 GiB", 2 << 30),
            ("100b", 100),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "0", "-1M", "1.0005G", "1e3", "1x", "99999999999T", "1ib"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(processors("0.5"), Ok(500));
        assert_eq!(processors("2"), Ok(2000));
        assert!(processors("0").is_err());
        assert_eq!((percent("50"), percent("200%")), (Ok(500), Ok(2000)));
        assert!(percent("0").is_err());
        assert_eq!(mebibytes("512"), Ok(512 << 20));
        assert!(mebibytes("512M").is_err());
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(duration("1d"), Ok(Duration::from_hours(24)));
        for text in ["5 m", "m", "9999999999999999999", "99999999999999999999", "3661d"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(processors("200000000000000").is_err());
    }

    #[test]
    fn users_and_gpus_are_numbers_or_the_few_names_there_are() {
        assert_eq!(user("1234"), Ok(User { uid: 1234, gid: 1234 }));
        assert_eq!(user("root:7"), Ok(User { uid: 0, gid: 7 }));
        assert!(user("www-data").is_err());
        assert!(user("4294967295").is_err());
        assert_eq!(gpus("2"), Ok(Which::Count(NonZeroUsize::new(2).unwrap())));
        assert_eq!(gpus("nvidia.com/gpu=1"), Ok(Which::Named("nvidia.com/gpu=1".to_owned())));
        assert!(gpus("0").is_err());
    }

    #[test]
    fn files_of_variables_are_taken_as_they_stand() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), "# a comment\n\nA=b c=\"d\"\r\n  # another\nONLY_NAME\nE=\n")
            .unwrap();
        let read = variables(file.path()).unwrap();
        let own = |name: &str, value: Option<&str>| (name.into(), value.map(Into::into));
        assert_eq!(read, [own("A", Some("b c=\"d\"")), own("ONLY_NAME", None), own("E", Some(""))]);
        fs_err::write(file.path(), "=x\n").unwrap();
        assert!(variables(file.path()).is_err());
    }
}
