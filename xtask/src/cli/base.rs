//! `xtask base`: makes base root filesystems ahead of the builds that use them.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's rendering")]

use std::path::{Path, PathBuf};

use rnx::failure::{ExitStatus, Failure};
use rnx_spec::Arch;
use rnx_spec::artifact::PART_BYTES_MAX;
use rnx_spec::bases::Bases;
use rnx_store::fetch::{FetchOptions, Proxies};
use xtask::rootfs::identity::BuildIdentity;
use xtask::rootfs::{self, Progress, Provisioning, ResolvedBase};
use xtask::sources::{ParseMirrorError, SourceMirror};
use xtask::{definitions, host};

use crate::cli::Global;

/// Make a base root filesystem and print where it lies
///
/// Builds make the bases they need by themselves; this makes one ahead of them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The base's name in runtimes/bases.yaml
    name: String,
    /// The architecture of the base: amd64 or arm64
    #[arg(long, default_value = host_arch())]
    arch: String,
    #[command(flatten)]
    settings: Settings,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Where bases come from and are kept; the same for every command that needs one.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// Keep bases and other reusable data here instead of in the user cache folder
    #[arg(long, value_name = "DIR", env = "RNX_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// The mirror of Debian bases that name none
    #[arg(long, value_name = "URL", env = "RNX_DEBIAN_MIRROR")]
    debian_mirror: Option<String>,
    /// Ask this folder or URL for sources first; files are named by their sha256, or as the manifest names them
    #[arg(long, value_name = "DIR|URL", env = "RNX_SOURCE_MIRROR")]
    source_mirror: Option<String>,
    /// Cut archives of more than this into parts; GitHub refuses files of 2 GiB
    #[arg(long, value_name = "BYTES", default_value_t = PART_BYTES_MAX, hide_default_value = true, env = "RNX_PART_BYTES")]
    part_bytes: u64,
}

/// Makes the base.
pub(crate) fn run(args: &Args, global: &Global) -> Result<ExitStatus, Failure> {
    let here = std::env::current_dir().map_err(|error| Failure::new(ExitStatus::Host, &error))?;
    let repo = definitions::find_repo(global.repo.as_deref(), &here)
        .map_err(|error| Failure::new(ExitStatus::Usage, &error))?;
    let base = resolve(args, &repo)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let caller = host::caller(&path).map_err(|error| Failure::new(ExitStatus::Host, &error))?;
    let identity = BuildIdentity::of(&caller);
    let mirror = args.settings.debian_mirror.as_deref();
    if args.dry_run {
        let plan = rootfs::plan(&base, &identity, mirror)
            .map_err(|error| Failure::new(ExitStatus::Findings, &error))?;
        print!("{plan}");
        return Ok(ExitStatus::Done);
    }
    let helper = std::env::current_exe()
        .map_err(|error| Failure::new(ExitStatus::Host, &error).hint("is /proc mounted?"))?;
    let cache_dir = args.settings.cache_dir()?;
    let fetch = fetch_options()?;
    let network_env = host::network_env(std::env::vars_os());
    let provisioning = Provisioning {
        cache_dir: &cache_dir,
        repo: &repo,
        helper: &helper,
        identity: &identity,
        debian_mirror: mirror,
        fetch: &fetch,
        network_env: &network_env,
    };
    let made = rootfs::ensure(&base, &provisioning, &mut |progress| match progress {
        Progress::Step(step) => eprintln!("{}: {step}", base.name),
        Progress::Line(line) => eprintln!("  {line}"),
        Progress::Bytes { .. } => {}
    })
    .map_err(|error| error.failure())?;
    let how = if made.reused { "reused" } else { "made" };
    eprintln!("{}: {how}, {}", base.name, made.digest);
    println!("{}", made.dir.display());
    Ok(ExitStatus::Done)
}

impl Settings {
    /// Returns how large a file of a release may be.
    pub(crate) fn part_bytes_max(&self) -> u64 {
        self.part_bytes
    }

    /// Returns the mirror of Debian bases that name none.
    pub(crate) fn debian_mirror(&self) -> Option<&str> {
        self.debian_mirror.as_deref()
    }

    /// Returns where sources are asked for first.
    pub(crate) fn source_mirror(&self) -> Result<Option<SourceMirror>, Failure> {
        let text = self.source_mirror.as_deref().filter(|text| !text.is_empty());
        text.map(str::parse).transpose().map_err(|error: ParseMirrorError| {
            Failure::new(ExitStatus::Usage, &error)
                .hint("a folder, or a URL: `--source-mirror`, or RNX_SOURCE_MIRROR")
        })
    }

    /// Returns the folder for reusable data.
    pub(crate) fn cache_dir(&self) -> Result<PathBuf, Failure> {
        if let Some(dir) = &self.cache_dir {
            return Ok(dir.clone());
        }
        let (xdg, home) = (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"));
        host::cache_dir(xdg.as_deref(), home.as_deref()).ok_or_else(|| {
            Failure::message(ExitStatus::Usage, "neither XDG_CACHE_HOME nor HOME is set")
                .hint("name a folder: `--cache-dir DIR`")
        })
    }
}

/// Returns how URLs are read, with the certificates that the caller's environment names.
pub(crate) fn fetch_options() -> Result<FetchOptions, Failure> {
    let ca_certificates = std::env::var_os("SSL_CERT_FILE")
        .map(fs_err::read)
        .transpose()
        .map_err(|error| Failure::new(ExitStatus::Host, &error).hint("SSL_CERT_FILE names it"))?;
    let proxies = Proxies::from_env(&|name| std::env::var_os(name));
    Ok(FetchOptions { ca_certificates, proxies, ..FetchOptions::default() })
}

fn host_arch() -> &'static str {
    Arch::from_machine(std::env::consts::ARCH).map_or("amd64", Arch::as_str)
}

fn resolve(args: &Args, repo: &Path) -> Result<ResolvedBase, Failure> {
    let arch = [Arch::Amd64, Arch::Arm64]
        .into_iter()
        .find(|arch| arch.as_str() == args.arch)
        .ok_or_else(|| {
            let message =
                format!("unknown architecture `{}`; there are amd64 and arm64", args.arch);
            Failure::message(ExitStatus::Usage, message)
        })?;
    let bases = definitions::load_bases(repo)
        .map_err(|error| Failure::new(ExitStatus::Findings, &error))?;
    pick(&bases, &args.name, arch)
}

fn pick(bases: &Bases, name: &str, arch: Arch) -> Result<ResolvedBase, Failure> {
    let source =
        bases.bases.get(name).and_then(|base| base.by_arch.get(&arch)).ok_or_else(|| {
            let known: Vec<_> = bases.bases.keys().map(|name| format!("`{name}`")).collect();
            let message = format!("no base `{name}` for {arch}; there are {}", known.join(", "));
            Failure::message(ExitStatus::Usage, message)
        })?;
    Ok(ResolvedBase { name: name.to_owned(), arch, source: source.clone() })
}
