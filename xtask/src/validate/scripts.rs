//! Setup scripts: `setup.sh` and `setup-<platform>.sh`.

use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rnx_spec::Platform;
use rnx_spec::diagnostic::{Code, Diagnostic, Severity, Span, codes};

/// A script over this many bytes is not read.
const SCRIPT_BYTES_MAX: u64 = 1024 * 1024;

/// The shells whose syntax we check, and the program that checks it.
const SHELLS: [(&str, Shell); 4] =
    [("bash", Shell::Bash), ("sh", Shell::Posix), ("dash", Shell::Posix), ("ash", Shell::Posix)];

/// A setup script as it was read.
#[derive(Debug)]
pub(super) struct Script {
    /// The file's name.
    pub(super) file: String,
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// `None` if there is nothing whose syntax could be checked.
    pub(super) shell: Option<Shell>,
    pub(super) findings: Vec<Diagnostic>,
}

/// A language of scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shell {
    Bash,
    Posix,
}

impl Shell {
    /// Returns the program that runs such scripts.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Posix => "sh",
        }
    }
}

/// Reads the setup scripts of a definition, and checks all but their syntax.
pub(super) fn read(repo: &Path, dir: &Path) -> Vec<Script> {
    // A folder that cannot be listed has no manifest that can be read: that is reported.
    let Ok(entries) = fs_err::read_dir(dir) else { return Vec::new() };
    let mut scripts: Vec<Script> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|file| file == "setup.sh" || (file.starts_with("setup-") && is_sh(file)))
        .map(|file| read_one(repo, dir, file))
        .collect();
    scripts.sort_by(|a, b| a.file.cmp(&b.file));
    scripts
}

fn is_sh(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension == "sh")
}

fn read_one(repo: &Path, dir: &Path, file: String) -> Script {
    let path = dir.join(&file);
    let mut script = Script { file, path, bytes: Vec::new(), shell: None, findings: Vec::new() };
    match read_bytes(repo, &script.path) {
        Ok((bytes, mode)) => {
            script.findings = check(&script.file, &bytes, mode);
            script.shell = shell(&bytes);
            script.bytes = bytes;
        }
        Err(why) => {
            let message = format!("the script cannot be read: {why}");
            script.findings.push(error(codes::SCRIPT_UNREADABLE, message, None));
        }
    }
    script
}

fn read_bytes(repo: &Path, path: &Path) -> Result<(Vec<u8>, u32), String> {
    let text = |error: io::Error| error.kind().to_string();
    let link = path.symlink_metadata().map_err(text)?;
    if link.is_symlink() {
        let inside = fs_err::canonicalize(path)
            .and_then(|target| Ok(target.starts_with(fs_err::canonicalize(repo)?)));
        match inside {
            Ok(true) => {}
            Ok(false) => return Err("it is a symbolic link out of the repository".to_owned()),
            Err(error) => return Err(format!("it is a symbolic link: {}", error.kind())),
        }
    }
    let meta = path.metadata().map_err(text)?;
    if !meta.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if meta.len() > SCRIPT_BYTES_MAX {
        return Err(format!("it has {} bytes, more than {SCRIPT_BYTES_MAX}", meta.len()));
    }
    let mut bytes = Vec::new();
    fs_err::File::open(path)
        .and_then(|file| file.take(SCRIPT_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(text)?;
    Ok((bytes, meta.permissions().mode()))
}

fn check(file: &str, bytes: &[u8], mode: u32) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    let platform = file.strip_prefix("setup-").and_then(|rest| rest.strip_suffix(".sh"));
    if let Some(Err(unknown)) = platform.map(str::parse::<Platform>) {
        let message = format!("this script serves no platform: {unknown}");
        let mut finding = error(codes::SCRIPT_PLATFORM_UNKNOWN, message, None);
        finding.severity = Severity::Warning;
        findings.push(finding);
    }
    if mode & 0o111 == 0 {
        let message = "the script is not executable".to_owned();
        let mut finding = error(codes::SCRIPT_NOT_EXECUTABLE, message, None);
        finding.help = Some(format!("`chmod +x {file}`, or `xtask validate --fix`"));
        findings.push(finding);
    }
    findings.extend(check_shebang(bytes));
    findings
}

fn check_shebang(bytes: &[u8]) -> Option<Diagnostic> {
    let line = first_line(bytes);
    let Some(interpreter) = interpreter(line) else {
        let message = "the script has no shebang, so what runs it is up to chance".to_owned();
        let mut finding = error(codes::SCRIPT_WITHOUT_SHEBANG, message, Some(Span(0..line.len())));
        finding.help = Some("begin it with `#!/bin/bash` or `#!/bin/sh`".to_owned());
        return Some(finding);
    };
    let carriage_return = line.ends_with(b"\r");
    if SHELLS.iter().any(|(name, _)| *name == interpreter) && !carriage_return {
        return None;
    }
    let message = if carriage_return {
        "the script has Windows line ends: the kernel looks for an interpreter whose name ends in a carriage return".to_owned()
    } else {
        format!("a setup script is a shell script, and this one is run by `{interpreter}`")
    };
    let end = line.len() - usize::from(carriage_return);
    Some(error(codes::SCRIPT_NOT_SHELL, message, Some(Span(0..end))))
}

fn first_line(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == b'\n').next().unwrap_or_default()
}

/// Returns the name of the program in a `#!` line, seen through `env`.
fn interpreter(line: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(line.strip_prefix(b"#!")?);
    let mut words = line.split_whitespace();
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    match name(words.next()?).as_str() {
        "env" => words.find(|word| !word.starts_with('-')).map(name),
        program => Some(program.to_owned()),
    }
}

fn shell(bytes: &[u8]) -> Option<Shell> {
    let name = interpreter(first_line(bytes))?;
    SHELLS.iter().find(|(known, _)| *known == name).map(|(_, shell)| *shell)
}

fn error(code: Code, message: String, span: Option<Span>) -> Diagnostic {
    Diagnostic { code, severity: Severity::Error, message, span, help: None, fix: None }
}
