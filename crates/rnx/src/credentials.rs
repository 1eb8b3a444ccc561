//! Tokens for private registries: from a variable, a file that nobody else can read, or a command. Never printed.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::config::{Auth, CommandLine, Env};

/// The longest token.
const TOKEN_BYTES_MAX: u64 = 16 * 1024;

/// A token could not be had.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    #[error(
        "its `auth` names {count} of `token_env`, `token_file` and `command`, and should name one"
    )]
    Places { count: usize },
    #[error("the variable `{name}` is not set")]
    NotSet { name: String },
    #[error("failed to read the token file `{}`", path.display())]
    ReadFile { path: PathBuf, source: io::Error },
    #[error("the token file `{}` is no regular file", path.display())]
    NoFile { path: PathBuf },
    #[error("the token file `{}` can be read by others (its mode is {mode:04o})", path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("the token file `{}` belongs to another user", path.display())]
    Foreign { path: PathBuf },
    #[error("failed to run the credential command `{command}`")]
    Run { command: String, source: io::Error },
    #[error("the credential command `{command}` ended with {status}")]
    Ended { command: String, status: ExitStatus },
    #[error("{place} holds no token: one line of visible ASCII characters is expected")]
    Form { place: String },
}

/// Returns the token that `auth` leads to.
pub fn token(auth: &Auth, env: Env<'_>) -> Result<String, CredentialError> {
    match (&auth.token_env, &auth.token_file, &auth.command) {
        (Some(name), None, None) => {
            let value = env(name).filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| CredentialError::NotSet { name: name.clone() })?;
            formed(value.into_encoded_bytes(), || format!("the variable `{name}`"))
        }
        (None, Some(path), None) => {
            let bytes = read_file(path)?;
            formed(bytes, || format!("the token file `{}`", path.display()))
        }
        (None, None, Some(command)) => {
            let bytes = run(command)?;
            formed(bytes, || format!("the output of the credential command `{}`", words(command)))
        }
        (env, file, command) => {
            let named = [env.is_some(), file.is_some(), command.is_some()];
            let count = named.into_iter().filter(|named| *named).count();
            Err(CredentialError::Places { count })
        }
    }
}

/// The owner and mode are those of the file that is read, not of what may have its name a moment later.
fn read_file(path: &Path) -> Result<Vec<u8>, CredentialError> {
    let error = |source| CredentialError::ReadFile { path: path.to_owned(), source };
    // Whoever is the reader, a FIFO must not keep it waiting.
    let flags = rustix::fs::OFlags::RDONLY
        | rustix::fs::OFlags::NONBLOCK
        | rustix::fs::OFlags::CLOEXEC
        | rustix::fs::OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty())
        .map_err(|errno| error(errno.into()))?;
    let file = File::from(file);
    let metadata = file.metadata().map_err(error)?;
    if !metadata.is_file() {
        return Err(CredentialError::NoFile { path: path.to_owned() });
    }
    let me = rustix::process::geteuid().as_raw();
    if metadata.uid() != me && metadata.uid() != 0 {
        return Err(CredentialError::Foreign { path: path.to_owned() });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(CredentialError::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.take(TOKEN_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(error)?;
    Ok(bytes)
}

fn run(command: &CommandLine) -> Result<Vec<u8>, CredentialError> {
    let argv: Vec<OsString> = match command {
        CommandLine::Words(words) => words.iter().map(OsString::from).collect(),
        CommandLine::Shell(line) => vec!["sh".into(), "-c".into(), line.into()],
    };
    let run_error = |source| CredentialError::Run { command: words(command), source };
    let (program, arguments) = argv
        .split_first()
        .ok_or_else(|| run_error(io::Error::new(io::ErrorKind::InvalidInput, "it has no words")))?;
    // What it says to people, it says on their terminal.
    let output = Command::new(program)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .map_err(run_error)?;
    if !output.status.success() {
        let status = output.status;
        return Err(CredentialError::Ended { command: words(command), status });
    }
    Ok(output.stdout)
}

/// Returns how a command is named in messages: its arguments may be secrets.
fn words(command: &CommandLine) -> String {
    match command {
        CommandLine::Words(words) => words.first().cloned().unwrap_or_default(),
        CommandLine::Shell(line) => line.split_whitespace().next().unwrap_or_default().to_owned(),
    }
}

fn formed(bytes: Vec<u8>, place: impl Fn() -> String) -> Result<String, CredentialError> {
    let error = || CredentialError::Form { place: place() };
    let text = String::from_utf8(bytes).map_err(|_invalid| error())?;
    let token = text.trim_end_matches(['\n', '\r']);
    // Anything else could end the header that it is sent in.
    let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let short = u64::try_from(token.len()).is_ok_and(|length| length <= TOKEN_BYTES_MAX);
    (visible && short).then(|| token.to_owned()).ok_or_else(error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use fs_err as fs;

    use super::*;

    #[test]
    fn a_token_comes_from_one_place_and_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "file-token\n").unwrap();
        let mode = |mode| fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        mode(0o600);
        let env = |name: &str| match name {
            "T" => Some("env-token".into()),
            "TWO_LINES" => Some("a\r\nX-Header: b".into()),
            _ => None,
        };
        let from_env = |name: &str| Auth { token_env: Some(name.to_owned()), ..Auth::default() };
        let from_file = Auth { token_file: Some(path.clone()), ..Auth::default() };
        let shell = |line: &str| Auth {
            command: Some(CommandLine::Shell(line.to_owned())),
            ..Auth::default()
        };
        let words = Auth {
            command: Some(CommandLine::Words(vec!["echo".to_owned(), "said".to_owned()])),
            ..Auth::default()
        };
        assert_eq!(token(&from_env("T"), &env).unwrap(), "env-token");
        assert_eq!(token(&from_file, &env).unwrap(), "file-token");
        assert_eq!(token(&shell("echo to''ken; echo >&2"), &env).unwrap(), "token");
        assert_eq!(token(&words, &env).unwrap(), "said");

        mode(0o640);
        let error = token(&from_file, &env).unwrap_err().to_string();
        assert!(error.ends_with("can be read by others (its mode is 0640)"), "{error}");
        let folder = Auth { token_file: Some(dir.path().to_owned()), ..Auth::default() };
        for (auth, expected) in [
            (from_env("U"), "the variable `U` is not set"),
            (
                from_env("TWO_LINES"),
                "the variable `TWO_LINES` holds no token: one line of visible ASCII characters is expected",
            ),
            (shell("exit 3"), "the credential command `exit` ended with exit status: 3"),
            (
                shell("true secret"),
                "the output of the credential command `true` holds no token: one line of visible ASCII characters is expected",
            ),
            (
                Auth::default(),
                "its `auth` names 0 of `token_env`, `token_file` and `command`, and should name one",
            ),
        ] {
            assert_eq!(token(&auth, &env).unwrap_err().to_string(), expected);
        }
        assert!(matches!(token(&folder, &env), Err(CredentialError::NoFile { .. })));
    }
}
