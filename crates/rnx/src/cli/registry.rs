//! `rnx registry list|add|remove|refresh`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fs_err as fs;
use rnx::config::edit::{self, EditError};
use rnx::config::{self, Auth, CommandLine, RegistryConfig, SYSTEM_FILE};
use rnx::failure::{ExitStatus, Failure};
use rnx::output;
use rnx::registry::cache;
use rnx::resolve;
use rnx_store::guard::StoreGuard;

use crate::cli::context::{Context, env, location_failure, time};
use crate::cli::render;
use crate::cli::say::{self, say};

/// List, add, remove and refresh registries
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    List(List),
    Add(Add),
    Remove(Remove),
    Refresh(Refresh),
}

/// List the registries in the order in which they are asked
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Add a registry to the configuration
///
/// It is asked after those that are there. A token for it is read from where you say each time it is needed; it is sent
/// to the registry's own server and to those that --token-host lists, and never shown.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// A name of your choice
    #[arg(value_parser = name)]
    name: String,
    /// owner/repo on GitHub, a URL, or a folder
    url: String,
    /// Ask it before those that are there
    #[arg(long)]
    first: bool,
    /// The variable that holds a token for it
    #[arg(long, value_name = "VARIABLE", group = "token")]
    token_env: Option<String>,
    /// The file that holds a token for it; only you can read it (mode 0600)
    #[arg(long, value_name = "FILE", group = "token")]
    token_file: Option<PathBuf>,
    /// The command that prints a token for it, such as 'gh auth token'
    #[arg(long, value_name = "COMMAND", group = "token")]
    token_command: Option<String>,
    /// Another server that may see the token, such as `assets.example.org`; can be repeated
    #[arg(long, value_name = "SERVER", requires = "token")]
    token_host: Vec<String>,
    /// Write to the whole host's configuration instead of your own
    #[arg(long)]
    system: bool,
}

/// Remove a registry from the configuration; what was installed from it stays
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// Its name
    name: String,
    /// Change the whole host's configuration instead of your own
    #[arg(long)]
    system: bool,
}

/// Ask the servers now, however new the copies are
#[derive(Debug, clap::Args)]
pub(crate) struct Refresh {
    /// The registries, as --registry names them; all that are configured, if none is named
    #[arg(value_name = "REGISTRY")]
    names: Vec<String>,
}

/// Carries out one of the commands.
pub(crate) fn run(command: &Command, context: &Context) -> Result<ExitStatus, Failure> {
    match command {
        Command::List(args) => list(args, context),
        Command::Add(args) => add(args),
        Command::Remove(args) => remove(args),
        Command::Refresh(args) => refresh(args, context),
    }
}

fn list(args: &List, context: &Context) -> Result<ExitStatus, Failure> {
    let folder = current_dir()?;
    let mut items = Vec::new();
    for registry in &context.config.registries {
        let location = resolve::configured_location(registry, &folder)
            .map_err(|error| location_failure(&error, &folder))?;
        let kept =
            context.config.cache.as_ref().and_then(|dir| cache::kept(dir, &location.document));
        let age = kept
            .as_ref()
            .map(|(valid_at, _)| SystemTime::now().duration_since(*valid_at).unwrap_or_default());
        items.push((
            age,
            output::Registry {
                name: registry.name.clone(),
                url: registry.url.clone(),
                document: location.document.to_string(),
                enabled: registry.enabled,
                auth: registry.auth.as_ref().map(token_place),
                copy_age_s: age.map(|age| age.as_secs()),
                runtimes: kept.map(|(_, runtimes)| runtimes),
            },
        ));
    }
    if args.json {
        let items: Vec<_> = items.into_iter().map(|(_, item)| item).collect();
        return render::print_json(&items).map(|()| ExitStatus::Done);
    }
    let mut rows = vec![["NAME", "ENABLED", "TOKEN", "COPY", "URL"].map(str::to_owned).to_vec()];
    for (age, item) in items {
        rows.push(vec![
            render::shown(&item.name),
            if item.enabled { "yes" } else { "no" }.to_owned(),
            render::shown(item.auth.as_deref().unwrap_or("-")),
            age.map_or_else(|| "-".to_owned(), |age| format!("{} old", time(age))),
            render::shown(&item.url),
        ]);
    }
    render::print(&render::table(&rows)).map(|()| ExitStatus::Done)
}

/// Returns a path as the configuration keeps it, which is read from any folder; `~` is the home of whoever reads it.
fn from_any_folder(path: &Path, folder: &Path) -> PathBuf {
    if path.starts_with("~") { path.to_owned() } else { folder.join(path) }
}

fn token_place(auth: &Auth) -> String {
    match (&auth.token_env, &auth.token_file, &auth.command) {
        (Some(name), ..) => format!("${name}"),
        (_, Some(path), _) => path.display().to_string(),
        // A command may hold a secret itself.
        (.., Some(_)) => "a command".to_owned(),
        _ => "-".to_owned(),
    }
}

fn add(args: &Add) -> Result<ExitStatus, Failure> {
    let folder = current_dir()?;
    // Understood now, rather than when it is first asked.
    resolve::location(&args.url, &[], &folder)
        .map_err(|error| location_failure(&error, &folder))?;
    let command = args.token_command.clone().map(CommandLine::Shell);
    let auth = Auth {
        token_env: args.token_env.clone(),
        token_file: args.token_file.as_deref().map(|path| from_any_folder(path, &folder)),
        command,
        hosts: args.token_host.clone(),
    };
    let url = if args.url.starts_with('.') {
        // The configuration is read from any folder.
        folder.join(&args.url).to_string_lossy().into_owned()
    } else {
        args.url.clone()
    };
    let auth = (auth != Auth::default()).then_some(auth);
    let new = RegistryConfig { name: args.name.clone(), url, enabled: true, auth };
    let path = change(args.system, |text, effective| {
        edit::add(text, effective, &new, args.first).map_err(|error| {
            edit_failure(&error).hint(match error {
                EditError::Notation => {
                    format!("add it to `registries` yourself: `{}`", edit::line(&new))
                }
                _ => "choose another name, or remove that one first".to_owned(),
            })
        })
    })?;
    say!("Added {} to {}", args.name, path.display());
    Ok(ExitStatus::Done)
}

fn remove(args: &Remove) -> Result<ExitStatus, Failure> {
    let path = change(args.system, |text, effective| {
        edit::remove(text, effective, &args.name).map_err(|error| {
            let hint = match &error {
                EditError::Unknown { known, .. } => format!("there are: {}", known.join(", ")),
                _ => "remove it from `registries` yourself".to_owned(),
            };
            edit_failure(&error).hint(hint)
        })
    })?;
    say!("Removed {} from {}", render::shown(&args.name), path.display());
    Ok(ExitStatus::Done)
}

fn refresh(args: &Refresh, context: &Context) -> Result<ExitStatus, Failure> {
    if context.config.offline {
        return Err(Failure::message(
            ExitStatus::Usage,
            "no server is to be asked, and nothing else refreshes a copy",
        )
        .hint("leave out `--offline` (or `RNX_OFFLINE`)"));
    }
    let mut locations = Vec::new();
    for name in &args.names {
        locations.extend(context.locations(Some(name))?);
    }
    if args.names.is_empty() {
        locations = context.locations(None)?;
    }
    let mut last = None;
    for location in locations {
        let name = render::shown(&location.name);
        match context.refreshed(location) {
            Ok(open) => {
                let index = open.index();
                let versions: usize = index.runtimes.values().map(|r| r.releases.len()).sum();
                let (runtimes, at) = (index.runtimes.len(), render::shown(&index.updated_at));
                say!("{name}: {runtimes} runtimes in {versions} versions, changed last at {at}");
            }
            // The others are asked all the same.
            Err(failure) => {
                if let Some(before) = last.replace(failure) {
                    say::lines(&render::shown_lines(&before.to_string()));
                }
            }
        }
    }
    last.map_or(Ok(ExitStatus::Done), Err)
}

/// Changes a configuration file as a whole, and returns its path. One process at a time does.
fn change(
    system: bool,
    edit: impl FnOnce(&str, &[RegistryConfig]) -> Result<String, Failure>,
) -> Result<PathBuf, Failure> {
    let host = |error: &dyn std::error::Error| Failure::new(ExitStatus::Host, error);
    let named = if system { Some(PathBuf::from(SYSTEM_FILE)) } else { config::user_file(&env) };
    let named = named.ok_or_else(|| {
        Failure::message(ExitStatus::Findings, "there is no home for your configuration")
            .hint("set `HOME`, or say `--system`")
    })?;
    if let Some(folder) = named.parent() {
        fs::create_dir_all(folder).map_err(|error| host(&error))?;
    }
    // Where the file is a link into a folder of dotfiles, the file there is changed.
    let path = fs::canonicalize(&named).unwrap_or_else(|_absent| named.clone());
    let guard = StoreGuard::lock(&path.with_added_extension("lock")).map_err(|error| {
        host(&error)
            .hint("`--system` needs root; your own configuration needs a home you can write to")
    })?;
    let changed = text_of(&path).and_then(|text| {
        let effective = effective(&text, &path)?;
        let text = edit(&text, &effective)?;
        write(&path, &text).map_err(|error| host(&error))
    });
    guard.delete().map_err(|error| host(&error))?;
    changed.map(|()| named)
}

/// Returns the list that holds: the file's own, or the whole host's, or the official one.
fn effective(text: &str, path: &Path) -> Result<Vec<RegistryConfig>, Failure> {
    let unreadable = |path: &Path| {
        let text = format!("the configuration `{}` cannot be read", path.display());
        Failure::message(ExitStatus::Findings, text).hint("`rnx registry list` says where and why")
    };
    if let Some(own) = edit::listed(text).map_err(|_notation| unreadable(path))? {
        return Ok(own);
    }
    let system = Path::new(SYSTEM_FILE);
    let text = if path == system { String::new() } else { text_of(system)? };
    let listed = edit::listed(&text).map_err(|_notation| unreadable(system))?;
    Ok(listed.unwrap_or_else(|| vec![config::official()]))
}

fn text_of(path: &Path) -> Result<String, Failure> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(|error| Failure::new(ExitStatus::Host, &error)),
    }
}

/// The old text or the new one is there, whatever happens, with the mode that the file had.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    let mut file = tempfile::Builder::new().prefix(".config.yaml.").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions(),
        Err(_absent) => std::os::unix::fs::PermissionsExt::from_mode(0o644),
    };
    file.as_file().set_permissions(mode)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

fn edit_failure(error: &EditError) -> Failure {
    Failure::new(ExitStatus::Findings, error)
}

fn current_dir() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| Failure::new(ExitStatus::Host, &error))
}

fn name(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fine) {
        Ok(text.to_owned())
    } else {
        Err("a registry's name has letters, digits, `-`, `_` and `.`, and begins with a letter or digit".to_owned())
    }
}
