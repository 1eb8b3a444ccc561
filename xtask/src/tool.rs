//! Programs of the host: the only place that starts one.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;

/// How much of a failed program's standard error its error quotes.
const STDERR_BYTES_MAX: usize = 2048;

/// One run of a program, as data; `Display` is the command line as a shell would take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    pub program: OsString,
    pub args: Vec<OsString>,
    /// Set on top of the caller's environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where the program starts; where the caller is, if `None`.
    pub dir: Option<PathBuf>,
}

/// What a program that succeeded wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// A program could not be run, or failed.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("`{program}` is not installed")]
    NotFound { program: String },
    #[error("failed to start `{command}`")]
    Start { command: String, source: io::Error },
    #[error("failed to wait for `{command}`")]
    Wait { command: String, source: io::Error },
    #[error("`{command}` ended with {status}{}", quoted(stderr))]
    Failed { command: String, status: ExitStatus, stderr: String },
}

impl ToolError {
    /// Returns what to do about it.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::NotFound { program } => Some(install_hint(program)),
            Self::Start { .. } | Self::Wait { .. } | Self::Failed { .. } => None,
        }
    }
}

impl Invocation {
    /// Begins a command line with `program`, found through `PATH`.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: Vec::new(), dir: None }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<T: Into<OsString>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the program's environment.
    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Sets variables of the program's environment.
    #[must_use]
    pub fn envs(mut self, vars: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.env.extend(vars);
        self
    }

    /// Sets the folder that the program starts in.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).envs(self.env.iter().map(|(key, value)| (key, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    fn start_error(&self, source: io::Error) -> ToolError {
        match source.kind() {
            io::ErrorKind::NotFound => {
                ToolError::NotFound { program: self.program.display().to_string() }
            }
            _ => ToolError::Start { command: self.to_string(), source },
        }
    }

    fn spawn(&self, [stdout, stderr]: [Stdio; 2]) -> Result<Child, ToolError> {
        self.command()
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .map_err(|source| self.start_error(source))
    }
}

/// Runs a program to its end and returns what it wrote; anything but exit status 0 is an error.
pub fn run(invocation: &Invocation) -> Result<Output, ToolError> {
    let mut child = invocation.spawn([Stdio::piped(), Stdio::piped()])?;
    let stdout = child.stdout.take().map(read_aside::<ChildStdout>);
    let stderr = child.stderr.take().map(read_aside::<ChildStderr>);
    let output = Output { stdout: joined(stdout), stderr: joined(stderr) };
    finish(invocation, &mut child, &output.stderr)?;
    Ok(output)
}

/// Runs a program to its end, with `file` as its standard output.
pub fn run_into(invocation: &Invocation, file: File) -> Result<(), ToolError> {
    let mut child = invocation.spawn([Stdio::from(file), Stdio::piped()])?;
    let stderr = joined(child.stderr.take().map(read_aside::<ChildStderr>));
    finish(invocation, &mut child, &stderr)
}

/// Runs a program to its end and hands on each line that it writes, on whichever stream, as it comes.
pub fn stream(invocation: &Invocation, on_line: &mut dyn FnMut(&str)) -> Result<(), ToolError> {
    let failed = |source| ToolError::Wait { command: invocation.to_string(), source };
    let (reader, writer) = io::pipe().map_err(failed)?;
    let both = [writer.try_clone().map_err(failed)?, writer];
    let mut child = invocation.spawn(both.map(Stdio::from))?;
    let mut said = Vec::new();
    relay_lines(reader, &mut said, on_line).map_err(failed)?;
    finish(invocation, &mut child, &said)
}

/// Reads lines to the end, hands each on, and keeps the last ones in `tail`.
pub(crate) fn relay_lines(
    pipe: impl Read,
    tail: &mut Vec<u8>,
    on_line: &mut dyn FnMut(&str),
) -> io::Result<()> {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        tail.extend_from_slice(&line);
        if tail.len() > 4 * STDERR_BYTES_MAX {
            tail.drain(..tail.len() - STDERR_BYTES_MAX);
        }
        on_line(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(())
}

/// A program that runs beside this one, and ends when its standard input does: with this value.
#[derive(Debug)]
pub struct Running(Child);

/// Starts a program that says one line when it is ready, and returns that line.
pub fn start(invocation: &Invocation) -> Result<(Running, String), ToolError> {
    let mut child = invocation
        .command()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| invocation.start_error(source))?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout)
            .read_line(&mut line)
            .map_err(|source| ToolError::Wait { command: invocation.to_string(), source })?;
    }
    Ok((Running(child), line.trim_end().to_owned()))
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // How it ended is of no interest any more.
        self.0.wait().ok();
    }
}

/// Runs a program on the caller's own streams and returns how it ended.
pub fn interactive(invocation: &Invocation) -> Result<ExitStatus, ToolError> {
    invocation.command().status().map_err(|source| invocation.start_error(source))
}

/// Returns the path of a program that `path` (the value of `PATH`) leads to.
pub fn find(program: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| is_executable(candidate))
}

/// Returns the last lines of `stderr` that an error quotes.
pub(crate) fn tail(stderr: &[u8]) -> String {
    let start = stderr.len().saturating_sub(STDERR_BYTES_MAX);
    String::from_utf8_lossy(&stderr[start..]).trim().to_owned()
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs_err::metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn read_aside<R: Read + Send + 'static>(mut pipe: R) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before a broken pipe still counts; the exit status decides.
        if pipe.read_to_end(&mut bytes).is_err() {
            bytes.extend_from_slice(b"\n[output broke off]");
        }
        bytes
    })
}

fn joined(reader: Option<thread::JoinHandle<Vec<u8>>>) -> Vec<u8> {
    reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
}

fn finish(invocation: &Invocation, child: &mut Child, stderr: &[u8]) -> Result<(), ToolError> {
    let status = child
        .wait()
        .map_err(|source| ToolError::Wait { command: invocation.to_string(), source })?;
    if status.success() {
        return Ok(());
    }
    Err(ToolError::Failed { command: invocation.to_string(), status, stderr: tail(stderr) })
}

/// Returns how to get a program that is missing.
pub(crate) fn install_hint(program: &str) -> String {
    format!("install `{program}`: `cargo xtask doctor --install` does")
}

/// Returns what a program said as the lines below an error.
pub(crate) fn quoted(stderr: &str) -> String {
    if stderr.is_empty() {
        return " and wrote no error".to_owned();
    }
    stderr.lines().map(|line| format!("\n    {line}")).collect()
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = std::iter::once(&self.program).chain(&self.args);
        for (index, word) in words.enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}", shell_word(&word.to_string_lossy()))?;
        }
        Ok(())
    }
}

fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+:,./@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_quotes_the_end_of_what_the_program_said() {
        let script = "i=0; while [ $i -lt 900 ]; do echo line $i >&2; i=$((i+1)); done; exit 3";
        let error = run(&Invocation::new("sh").args(["-c", script])).unwrap_err();
        let ToolError::Failed { command, status, stderr } = error else { panic!("{error}") };
        assert_eq!(status.code(), Some(3));
        assert_eq!(command, format!("sh -c '{script}'"));
        assert!(stderr.len() <= STDERR_BYTES_MAX, "{}", stderr.len());
        assert_eq!(stderr.lines().last(), Some("line 899"));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&Invocation::new("no-such-program-here")).unwrap_err();
        assert_eq!(error.to_string(), "`no-such-program-here` is not installed");
    }

    #[test]
    fn lines_are_handed_on_in_order_and_output_is_captured() {
        let mut lines = Vec::new();
        let invocation = Invocation::new("sh").args(["-c", "echo a >&2; echo b"]);
        stream(&invocation, &mut |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["a", "b"]);
        let invocation = Invocation::new("sh").args(["-c", "echo $X"]).env("X", "it's");
        assert_eq!(run(&invocation).unwrap().stdout, b"it's\n");
    }
}
