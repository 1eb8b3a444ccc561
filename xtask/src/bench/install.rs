//! Installing from a server on loopback, beside what a shell script and a container engine would do.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use rnx_archive::{Tree, pack};
use rnx_spec::artifact::{SourceDateEpoch, archive_file, definition_file, index_file};
use rnx_spec::registry::{self, Artifact, Definition, Registry, Release, Requires, SideFile};
use rnx_spec::{Digest, Platform, RuntimeSpec, Version, runtime_yml};
use sha2::{Digest as _, Sha256};

use super::serve::Server;
use super::{BenchError, Contest, Report, Setting, installed, medians, renew};
use crate::tool::{self, Invocation};

/// Of so many files, one differs between the two versions.
const DIFFERENT: usize = 20;
const NOW: &str = "2026-11-23T10:00:00Z";
/// Tells how much memory a command held at most, and how many bytes it wrote to files and sockets.
const MEASURED: &str = r#"import resource, subprocess, sys
def written():
    lines = open("/proc/self/io").read().splitlines()
    return int(next(line for line in lines if line.startswith("wchar")).split()[1])
before = written()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, written() - before)"#;

/// What is installed: two versions of a runtime, in a registry that a server has.
struct Scene {
    server: Server,
    base: PathBuf,
    platform: Platform,
    specs: [RuntimeSpec; 2],
    unpacked_bytes: u64,
}

/// Installs the runtime that is unpacked in `tree` with the program `rnx` and its peers, in turn; then a second
/// version, of which one file in twenty differs.
pub fn run(rnx: &Path, tree: &Path, setting: &Setting) -> Result<Report, BenchError> {
    let scene = prepare(tree, setting)?;
    let ours = Contest::new("rnx runtime install", || {
        renew(&scene.base)?;
        let started = Instant::now();
        let install = scene.install(rnx, &scene.specs[0]);
        tool::run(&install).map_err(|source| BenchError::Tool { source })?;
        Ok(started.elapsed())
    });
    let mut contests = vec![ours];
    let (there, mut missing) = installed(vec![("curl", by_hand(&scene, setting))]);
    contests.extend(there);
    match by_podman(tree, setting) {
        Some(contest) => contests.push(contest),
        None => missing.push("podman".to_owned()),
    }
    let ways = medians(contests, setting.rounds)?;
    renew(&scene.base)?;
    let (peak, _) = measured(&scene.install(rnx, &scene.specs[0]))?;
    let before = scene.server.sent_bytes();
    let (_, written) = measured(&scene.install(rnx, &scene.specs[1]))?;
    let fetched = scene.server.sent_bytes() - before;
    let percent = |bytes: u64| bytes * 1000 / scene.unpacked_bytes.max(1);
    let title = format!(
        "install: {} from loopback, median of {}; a second version with 1 of {DIFFERENT} files \
         changed writes {written} bytes ({}.{} % of {}) and fetches {fetched}",
        scene.specs[0],
        setting.rounds,
        percent(written) / 10,
        percent(written) % 10,
        scene.unpacked_bytes,
    );
    Ok(Report { title, ways, peak_bytes: Some(peak), missing })
}

impl Scene {
    fn install(&self, rnx: &Path, spec: &RuntimeSpec) -> Invocation {
        Invocation::new(rnx)
            .args(["runtime", "install", &spec.to_string(), "--base"])
            .arg(&self.base)
            .args(["--registry", &self.server.url("registry.json")])
            .args(["--platform", &self.platform.to_string()])
            .env("RNX_CACHE_DIR", self.base.join("cache"))
    }
}

fn prepare(tree: &Path, setting: &Setting) -> Result<Scene, BenchError> {
    let scratch = |source| BenchError::Scratch { path: tree.to_owned(), source };
    let text = fs::read_to_string(tree.join("runtime.yml")).map_err(scratch)?;
    let invalid = || scratch(std::io::Error::new(std::io::ErrorKind::InvalidData, "runtime.yml"));
    let yml = runtime_yml::parse(&text).map_err(|_error| invalid())?;
    let (Ok(name), Ok(first)) = (yml.name.parse(), yml.version.parse::<Version>()) else {
        return Err(invalid());
    };
    let second = Version { patch: first.patch + 1, ..first };
    let spec = |version| RuntimeSpec { name: Clone::clone(&name), version };
    let specs = [spec(first), spec(second)];
    let other = setting.scratch.join("second");
    let copy = format!("cp -a '{}' '{}'", tree.display(), other.display());
    tool::run(&Invocation::new("sh").args(["-c", &copy]))
        .map_err(|source| BenchError::Tool { source })?;
    let changed = runtime_yml::RuntimeYml { version: second.to_string(), ..yml };
    let text = runtime_yml::write(&changed).map_err(|_error| invalid())?;
    fs::write(other.join("runtime.yml"), text).map_err(scratch)?;
    change(&other).map_err(scratch)?;
    let folder = setting.scratch.join("registry");
    fs::create_dir(&folder).map_err(scratch)?;
    let platform = Platform::ALL[0];
    let mut registry = Registry::empty(NOW).map_err(|_error| invalid())?;
    let mut unpacked_bytes = 0;
    for (spec, tree) in specs.iter().zip([tree, &other]) {
        let release = release(spec, platform, tree, &folder)?;
        unpacked_bytes = release.artifacts.values().map(|artifact| artifact.unpacked_bytes).sum();
        registry = registry::insert(&registry, &release, NOW).map_err(|_error| invalid())?;
    }
    fs::remove_dir_all(&other).map_err(scratch)?;
    fs::write(folder.join("registry.json"), registry::write(&registry)).map_err(scratch)?;
    let server = Server::start(folder).map_err(scratch)?;
    let base = setting.scratch.join("base");
    Ok(Scene { server, base, platform, specs, unpacked_bytes })
}

/// Changes one in twenty of the files of a tree.
fn change(tree: &Path) -> std::io::Result<()> {
    let files = walkdir::WalkDir::new(tree).sort_by_file_name().into_iter();
    let files = files.filter_map(Result::ok).filter(|entry| entry.file_type().is_file());
    for entry in files.skip(DIFFERENT / 2).step_by(DIFFERENT) {
        if entry.file_name() != "runtime.yml" {
            let mut bytes = fs::read(entry.path())?;
            bytes.push(b'\n');
            fs::write(entry.path(), bytes)?;
        }
    }
    Ok(())
}

fn release(
    spec: &RuntimeSpec,
    platform: Platform,
    tree: &Path,
    folder: &Path,
) -> Result<Release, BenchError> {
    let scratch = |source| BenchError::Scratch { path: folder.to_owned(), source };
    let name = |text: String| {
        text.parse().map_err(|_error| scratch(std::io::ErrorKind::InvalidInput.into()))
    };
    let scanned =
        Tree::scan(tree).map_err(|source| BenchError::Scan { path: tree.to_owned(), source })?;
    let archive = archive_file(spec, platform);
    let out = fs::File::create(folder.join(&archive)).map_err(scratch)?;
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let packed = pack(&scanned, SourceDateEpoch(1), threads, std::io::BufWriter::new(out))
        .map_err(|source| BenchError::Pack { path: tree.to_owned(), source })?;
    let index = serde_json::to_vec(&packed.index).map_err(|source| scratch(source.into()))?;
    let digest = Digest::from_bytes(Sha256::digest(&index).into());
    fs::write(folder.join(index_file(spec, platform)), index).map_err(scratch)?;
    let artifact = Artifact {
        url: name(archive)?,
        parts: Vec::new(),
        digest: packed.sha256,
        size_bytes: packed.size_bytes,
        unpacked_bytes: packed.unpacked_bytes,
        entries: packed.entries,
        files: Some(SideFile { url: name(index_file(spec, platform))?, digest }),
        sbom: None,
        requires: Requires::default(),
    };
    Ok(Release {
        spec: spec.clone(),
        description: "measured".to_owned(),
        definition: Definition {
            url: name(definition_file(spec))?,
            digest: None,
            size_bytes: None,
        },
        platforms: vec![platform],
        released_at: Some(NOW.to_owned()),
        source_commit: None,
        license: None,
        artifacts: [(platform, artifact)].into(),
    })
}

/// Fetches, hashes meanwhile, and unpacks.
fn by_hand<'a>(scene: &Scene, setting: &Setting) -> Contest<'a> {
    let url = scene.server.url(&archive_file(&scene.specs[0], scene.platform));
    let dest = setting.scratch.join("by-hand");
    let (archive, to) = (setting.scratch.join("by-hand.tar.gz"), dest.clone());
    let (archive, to) = (archive.display(), to.display());
    let script = format!(
        "curl -sSf '{url}' | tee '{archive}' | sha256sum >'{archive}.sum' && tar -xzf '{archive}' -C '{to}'"
    );
    let mut contest = Contest::shell(script, move || renew(&dest));
    "curl | sha256sum && tar -xzf".clone_into(&mut contest.name);
    contest
}

/// Loads the same tree as a container engine does, from a file; into a storage of its own.
fn by_podman<'a>(tree: &Path, setting: &Setting) -> Option<Contest<'a>> {
    let (root, image) = (setting.scratch.join("podman"), setting.scratch.join("image.tar"));
    let run =
        |script: String| tool::run(&Invocation::new("sh").args(["-c", script.as_str()])).map(drop);
    let podman = format!("podman --root '{0}/root' --runroot '{0}/run'", root.display());
    let forget = format!("{podman} rmi -f -a >&2 && rm -rf '{}'", root.display());
    let made = run(format!(
        "tar -C '{}' -cf - . | {podman} import -q - joblet-bench >&2 && {podman} save -q -o '{}' joblet-bench && {forget}",
        tree.display(),
        image.display()
    ));
    made.ok()?;
    let load = format!("{podman} load -q -i '{}'", image.display());
    Some(Contest::new("podman load", move || {
        let started = Instant::now();
        run(load.clone()).map_err(|source| BenchError::Tool { source })?;
        let elapsed: Duration = started.elapsed();
        run(forget.clone()).map_err(|source| BenchError::Tool { source })?;
        Ok(elapsed)
    }))
}

/// Runs a command, and returns the most memory that it held and the bytes that it wrote.
fn measured(command: &Invocation) -> Result<(u64, u64), BenchError> {
    let python = Invocation::new("python3")
        .args(["-c", MEASURED])
        .arg(&command.program)
        .args(&command.args)
        .envs(command.env.clone());
    let output = tool::run(&python).map_err(|source| BenchError::Tool { source })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(peak)), Some(Ok(written))) => Ok((peak, written)),
        _ => Err(BenchError::Ended { command: python.to_string(), status: text }),
    }
}
