//! New definitions, from templates that validate and build as they are.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rnx_spec::RuntimeName;

use crate::definitions::RUNTIMES;

/// A definition to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Template {
    /// A shell and coreutils from Debian's packages
    Blank,
    /// Debian's Python 3.11, and pinned packages if a requirements.txt is added
    Python,
    /// Debian's Java 21 development kit, without a display
    Java,
    /// Debian's Node.js 20, with npm
    Node,
    /// Debian's Go 1.24, with git
    Go,
    /// Debian's Rust 1.85, with cargo and a C compiler
    Rust,
    /// Debian's R 4.5 with its recommended packages
    R,
}

/// A file of a new definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    pub name: &'static str,
    pub text: String,
    pub executable: bool,
}

/// A definition could not be begun.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    #[error("`{}` is there already", dir.display())]
    Exists { dir: PathBuf },
    #[error("failed to write `{}`", dir.display())]
    Write { dir: PathBuf, source: io::Error },
}

/// Returns the files of a new definition.
pub fn files(name: &RuntimeName, template: Template, description: Option<&str>) -> Vec<NewFile> {
    let Text { manifest, setup, described } = template.text();
    // JSON's quotes are YAML's as well.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let manifest = manifest
        .replace("name: NAME\n", &format!("name: {}\n", yaml_text(name.as_str())))
        .replace("DESCRIPTION", &quoted(description.unwrap_or(described)));
    let setup = setup.replace("xtask build NAME", &format!("xtask build {name}"));
    vec![
        NewFile { name: "manifest.yaml", text: manifest, executable: false },
        NewFile { name: "setup.sh", text: setup, executable: true },
    ]
}

/// The text of a template, with `NAME` and `DESCRIPTION` to be filled in.
struct Text {
    manifest: &'static str,
    setup: &'static str,
    described: &'static str,
}

impl Template {
    fn text(self) -> Text {
        macro_rules! text {
            ($folder:literal, $described:literal) => {
                Text {
                    manifest: include_str!(concat!("scaffold/", $folder, "/manifest.yaml")),
                    setup: include_str!(concat!("scaffold/", $folder, "/setup.sh")),
                    described: $described,
                }
            };
        }
        match self {
            Self::Blank => text!("blank", "A shell and the system's basic tools"),
            Self::Python => text!("python", "Python 3.11 with its standard library"),
            Self::Java => text!("java", "OpenJDK 21, the whole development kit without a display"),
            Self::Node => text!("node", "Node.js 20 with npm"),
            Self::Go => text!("go", "Go 1.24 with its tools and git"),
            Self::Rust => text!("rust", "Rust 1.85 with cargo and a C compiler"),
            Self::R => text!("r", "R 4.5 with its recommended packages"),
        }
    }
}

/// A name such as `21` or `3.11` would be read as a number.
fn yaml_text(name: &str) -> String {
    let begins_as_text = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_word = matches!(name, "true" | "false" | "null");
    if begins_as_text && !is_word { name.to_owned() } else { format!("\"{name}\"") }
}

/// Writes a new definition, whole or not at all, and returns its folder.
pub fn write(repo: &Path, name: &RuntimeName, files: &[NewFile]) -> Result<PathBuf, ScaffoldError> {
    let dir = repo.join(RUNTIMES).join(name.as_str());
    if dir.symlink_metadata().is_ok() {
        return Err(ScaffoldError::Exists { dir });
    }
    match write_beside(&repo.join(RUNTIMES), &dir, files) {
        Ok(()) => Ok(dir),
        Err(source) => Err(ScaffoldError::Write { dir, source }),
    }
}

fn write_beside(runtimes: &Path, dir: &Path, files: &[NewFile]) -> io::Result<()> {
    // Hidden folders are no definitions.
    let staging = tempfile::Builder::new().prefix(".new-").tempdir_in(runtimes)?;
    for file in files {
        let path = staging.path().join(file.name);
        fs_err::write(&path, &file.text)?;
        let mode = if file.executable { 0o755 } else { 0o644 };
        fs_err::set_permissions(&path, PermissionsExt::from_mode(mode))?;
    }
    fs_err::set_permissions(staging.path(), PermissionsExt::from_mode(0o755))?;
    fs_err::rename(staging.path(), dir)
}
