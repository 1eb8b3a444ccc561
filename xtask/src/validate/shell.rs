//! The syntax of scripts, checked by the shell itself (`bash -n`), once per content.
//!
//! A shell takes a millisecond to start, a thousand runtimes have thousands of scripts, and few of them change
//! between two runs. So scripts with the same bytes are checked once, and the digests of those that passed are
//! kept in a file in the user's cache folder.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rnx_spec::Digest;
use rnx_spec::diagnostic::{Diagnostic, Severity, Span, codes};
use sha2::{Digest as _, Sha256};

use crate::tool::{self, Invocation, ToolError};
use crate::validate::scripts::{Script, Shell};

/// A cache with more lines than this is begun anew.
const LINES_MAX: usize = 100_000;
/// The file in the cache folder; a new format gets a new name.
const FILE: &str = "script-syntax-v1";

/// Where the digests of scripts with good syntax are kept between runs.
#[derive(Debug, Clone)]
pub struct SyntaxCache {
    /// `None` keeps nothing.
    pub dir: Option<PathBuf>,
}

/// One check: a content, and a file that holds it.
struct Job {
    digest: Digest,
    shell: Shell,
    path: PathBuf,
}

/// What a shell said about a script.
enum Answer {
    Good,
    Bad {
        line: usize,
        message: String,
    },
    /// The shell is not installed, or could not be run.
    Unknown,
}

/// Checks the syntax of all scripts, and adds what is wrong to their findings.
pub(super) fn check<'s>(scripts: impl Iterator<Item = &'s mut Script>, cache: &SyntaxCache) {
    let known = cache.read();
    let mut by_digest: BTreeMap<Digest, Vec<&'s mut Script>> = BTreeMap::new();
    let mut jobs = Vec::new();
    for script in scripts {
        let Some(shell) = script.shell else { continue };
        let digest = key(shell, &script.bytes);
        if known.contains(&digest) {
            continue;
        }
        let path = script.path.clone();
        let same = by_digest.entry(digest).or_default();
        if same.is_empty() {
            jobs.push(Job { digest, shell, path });
        }
        same.push(script);
    }
    if jobs.is_empty() {
        return;
    }
    let mut good = BTreeSet::new();
    for (digest, answer) in ask_all(&jobs) {
        match answer {
            Answer::Good => {
                good.insert(digest);
            }
            Answer::Bad { line, message } => {
                for script in by_digest.remove(&digest).into_iter().flatten() {
                    let finding = finding(&script.bytes, line, message.clone());
                    script.findings.push(finding);
                }
            }
            Answer::Unknown => {}
        }
    }
    cache.add(&known, &good);
}

fn key(shell: Shell, bytes: &[u8]) -> Digest {
    let hasher = Sha256::new().chain_update(shell.program()).chain_update([0]).chain_update(bytes);
    Digest::from_bytes(hasher.finalize().into())
}

fn finding(bytes: &[u8], line: usize, message: String) -> Diagnostic {
    let start = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .sum::<usize>();
    let length = bytes[start..].split(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len);
    // Places are in the text that is shown, and that is another where the bytes are not UTF-8.
    let span = std::str::from_utf8(bytes).is_ok().then_some(Span(start..start + length));
    let code = codes::SCRIPT_SYNTAX;
    Diagnostic { code, severity: Severity::Error, message, span, help: None, fix: None }
}

fn ask_all(jobs: &[Job]) -> Vec<(Digest, Answer)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(Vec::with_capacity(jobs.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(jobs.len()) {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = ask(job.shell, &job.path);
                    let mut answers =
                        answers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    answers.push((job.digest, answer));
                }
            });
        }
    });
    answers.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Asks the shell. It reads the script and runs nothing: no startup file either.
fn ask(shell: Shell, path: &Path) -> Answer {
    let invocation = Invocation::new(shell.program())
        .args(["-n", "--"])
        .arg(path)
        .env("BASH_ENV", "")
        .env("ENV", "")
        .env("LC_ALL", "C");
    match tool::run(&invocation) {
        Ok(_) => Answer::Good,
        Err(ToolError::Failed { stderr, .. }) => {
            let first = stderr.lines().next().unwrap_or_default();
            let first = first.strip_prefix(&*path.to_string_lossy()).unwrap_or(first);
            let (line, message) = complaint(first);
            Answer::Bad { line, message }
        }
        Err(_not_installed) => Answer::Unknown,
    }
}

/// Reads bash's `: line 3: syntax error …` and dash's `: 3: Syntax error: …`.
fn complaint(said: &str) -> (usize, String) {
    let mut parts = said.splitn(3, ": ");
    let (_program, line, rest) = (parts.next(), parts.next(), parts.next());
    let number = line.and_then(|line| line.trim_start_matches("line ").parse().ok());
    match (number, rest) {
        (Some(number), Some(rest)) => (number, rest.to_owned()),
        _ => (1, said.to_owned()),
    }
}

impl SyntaxCache {
    fn read(&self) -> BTreeSet<Digest> {
        let Some(dir) = &self.dir else { return BTreeSet::new() };
        // No cache, or one that cannot be read, only costs time.
        let text = fs_err::read_to_string(dir.join(FILE)).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    fn add(&self, known: &BTreeSet<Digest>, good: &BTreeSet<Digest>) {
        let Some(dir) = &self.dir else { return };
        if good.is_empty() {
            return;
        }
        let kept = if known.len() + good.len() > LINES_MAX { &BTreeSet::new() } else { known };
        let text: String = kept.union(good).map(|digest| digest.hex() + "\n").collect();
        let written = fs_err::create_dir_all(dir)
            .and_then(|()| tempfile::NamedTempFile::new_in(dir))
            .and_then(|mut file| file.write_all(text.as_bytes()).map(|()| file));
        // The next run checks again what this one could not keep.
        if let Ok(file) = written {
            drop(file.persist(dir.join(FILE)));
        }
    }
}
