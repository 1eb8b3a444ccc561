//! The real program in a home of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fs_err as fs;
use test_support::fixture::RegistryFolder;
use test_support::home::Home;

/// A home, a registry folder in it, and the program.
pub(crate) struct Rnx {
    pub(crate) home: Home,
    pub(crate) registry: RegistryFolder,
    pub(crate) base: PathBuf,
}

impl Rnx {
    /// Makes a registry with two versions of `demo` for this platform, and other things to find.
    pub(crate) fn new() -> Self {
        let home = Home::new();
        let mut registry = RegistryFolder::new(home.path().join("registry folder"));
        registry.publish("demo@1.9.0", &["ubuntu-amd64", "ubuntu-arm64"]);
        registry.publish("demo@1.10.0", &["ubuntu-amd64", "rhel-arm64"]);
        registry.publish("only-defined@1.0.0", &[]);
        let base = home.base();
        Self { home, registry, base }
    }

    /// Returns the program, for `ubuntu-amd64` whatever this host is, and with the registry folder where it takes one.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let registry = self.registry.path().to_str().unwrap();
        self.command_at(registry, args)
    }

    /// Writes the user's configuration file.
    pub(crate) fn configure(&self, runtimes: &str) {
        let folder = self.home.path().join(".rnx");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.yaml"), format!("runtimes:\n{runtimes}")).unwrap();
    }

    /// Runs the program with the registries that are configured, and these variables.
    pub(crate) fn run_configured(&self, args: &[&str], vars: &[(&str, &str)]) -> String {
        self.shown(&self.configured(args).envs(vars.iter().copied()).output().unwrap())
    }

    /// Returns the program with the registries that are configured.
    pub(crate) fn configured(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(args).current_dir(self.home.path());
        command.env_clear().envs(self.home.env()).env("RNX_PLATFORM", "ubuntu-amd64");
        // Root's folders would be the host's.
        command.env("RNX_CACHE_DIR", self.home.path().join("cache"));
        command.env("RNX_BASE", &self.base).stdin(Stdio::null());
        command
    }

    /// Returns the program with another registry.
    pub(crate) fn command_at(&self, registry: &str, args: &[&str]) -> Command {
        let mut command = self.configured(args);
        if matches!(args, ["runtime", "install", ..]) || args.contains(&"--available") {
            command.args(["--registry", registry]);
        }
        command
    }

    /// Runs the program and returns what it did, as text.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        self.shown(&self.command(args).output().unwrap())
    }

    /// Runs the program with another registry.
    pub(crate) fn run_at(&self, registry: &str, args: &[&str]) -> String {
        self.shown(&self.command_at(registry, args).output().unwrap())
    }

    /// Returns the exit status and both outputs, without what differs from run to run.
    pub(crate) fn shown(&self, output: &Output) -> String {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let all = format!(
            "{}{}status {}",
            text(&output.stdout),
            text(&output.stderr),
            output.status.code().map_or("none".to_owned(), |code| code.to_string())
        );
        let home = self.home.path().to_str().unwrap();
        all.replace(self.base.to_str().unwrap(), "BASE").replace(home, "HOME")
    }

    /// Returns everything below the base folder except what is in installs, sorted.
    pub(crate) fn layout(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(self.base.join(&folder)).unwrap() {
                let path = folder.join(entry.unwrap().file_name());
                let whole = self.base.join(&path);
                if let Ok(target) = std::fs::read_link(&whole) {
                    found.push(format!("{} -> {}", path.display(), target.display()));
                } else if whole.is_dir() && folder == Path::new("") && is_hidden(&path) {
                    folders.push(path);
                } else {
                    found.push(path.display().to_string());
                }
            }
        }
        found.sort();
        found
    }
}

/// The program: where Cargo says when it runs the tests, which may be another place than where it was built.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("CARGO_BIN_EXE_rnx")
        .map_or_else(|| env!("CARGO_BIN_EXE_rnx").into(), PathBuf::from)
}

/// Replaces in snapshots what is the archive format's business.
pub(crate) fn redacted() -> insta::internals::SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter("sha256:[0-9a-f]{64}", "DIGEST");
    settings.add_filter(r"[0-9.]+ KiB", "SIZE");
    settings.add_filter(r"\d{5,} bytes", "SIZE");
    settings.bind_to_scope()
}

fn is_hidden(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().starts_with(OsStr::new(".").as_encoded_bytes())
}
