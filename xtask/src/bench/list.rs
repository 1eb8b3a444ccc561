//! Finding something in a registry of twenty thousand versions, beside `jq` on the same document.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;

use super::{BenchError, Contest, Report, Setting, installed, medians, renew};
use crate::tool::{self, Invocation};

const RUNTIMES: usize = 2000;
const VERSIONS: usize = 10;
const PLATFORMS: [&str; 2] = ["ubuntu-amd64", "ubuntu-arm64"];
/// What is asked for by its number.
const WANTED: &str = "runtime-1234@1.5.0";

/// Lists and resolves with the program `rnx`, whose copy of the registry is warm.
pub fn run(rnx: &Path, setting: &Setting) -> Result<Report, BenchError> {
    let folder = setting.scratch.join("list");
    renew(&folder)?;
    let scratch_error = |source| BenchError::Scratch { path: folder.clone(), source };
    let document = registry();
    let file = folder.join("registry.json");
    fs::write(&file, &document).map_err(scratch_error)?;
    let size_bytes = document.len();
    let url = serve(document).map_err(scratch_error)?;
    let ours = |args: &[&str]| {
        Invocation::new(rnx)
            .args(args.iter().copied())
            .env("RNX_REGISTRY", url.as_str())
            .env("RNX_CACHE_DIR", folder.join("cache"))
            .env("RNX_BASE", folder.join("base"))
            .env("RNX_PLATFORM", PLATFORMS[0])
    };
    let list = ours(&["runtime", "list", "--available"]);
    let started = Instant::now();
    time(&list)?;
    let cold = started.elapsed();
    let way = |name: &str, invocation: Invocation| Contest::new(name, move || time(&invocation));
    let mut contests = vec![
        way("rnx runtime list --available", list),
        way("  --all-versions", ours(&["runtime", "list", "--available", "--all-versions"])),
        way("rnx runtime install --dry-run", ours(&["runtime", "install", "--dry-run", WANTED])),
        way("rnx runtime search", ours(&["runtime", "search", "number", "1234"])),
        way("rnx --version", ours(&["--version"])),
        way("true, a process that does nothing", Invocation::new("true")),
    ];
    let jq = r#".runtimes["runtime-1234"]["1.5.0"].artifacts["ubuntu-amd64"].url"#;
    let jq = Invocation::new("jq").args(["--raw-output", jq]).arg(&file);
    let (there, missing) = installed(vec![("jq", way("jq, one version", jq))]);
    contests.extend(there);
    let ways = medians(contests, setting.rounds)?;
    fs::remove_dir_all(&folder).map_err(scratch_error)?;
    let title = format!(
        "list: {} versions of {RUNTIMES} runtimes, {size_bytes} bytes; {:.3} s where nothing is kept yet, once",
        RUNTIMES * VERSIONS,
        cold.as_secs_f64()
    );
    Ok(Report { title, ways, peak_bytes: None, missing })
}

fn time(invocation: &Invocation) -> Result<Duration, BenchError> {
    let started = Instant::now();
    tool::run(invocation).map_err(|source| BenchError::Tool { source })?;
    Ok(started.elapsed())
}

/// Serves one document to everyone while this program runs, and returns its address.
fn serve(document: String) -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/registry.json", listener.local_addr()?);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // Who goes away is nobody's business.
            answer(&client, &document).ok();
        }
    });
    Ok(url)
}

fn answer(mut client: &TcpStream, document: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(client).lines();
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    write!(
        client,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{document}",
        document.len()
    )
}

fn registry() -> String {
    let mut text = String::from(
        "{\"version\": \"1\", \"updated_at\": \"2026-11-23T10:00:00Z\", \"runtimes\": {\n",
    );
    for runtime in 0..RUNTIMES {
        let between = if runtime == 0 { "" } else { ",\n" };
        // Writing to a string cannot fail.
        write!(text, "{between}\"runtime-{runtime}\": {{").ok();
        for version in 0..VERSIONS {
            let between = if version == 0 { "" } else { ",\n" };
            write!(text, "{between}{}", entry(runtime, version)).ok();
        }
        text.push('}');
    }
    text.push_str("\n}}\n");
    text
}

fn entry(runtime: usize, version: usize) -> String {
    let base = format!(
        "https://example.org/releases/download/runtime-{runtime}@1.{version}.0/runtime-{runtime}-1.{version}.0"
    );
    let artifacts: Vec<String> = PLATFORMS
        .iter()
        .map(|platform| {
            let digest = format!("{:064x}", runtime * 100 + version);
            format!(
                r#""{platform}": {{"url": "{base}-{platform}.tar.gz", "parts": [], "sha256": "{digest}",
 "size_bytes": 60000000, "unpacked_bytes": 150000000, "entries": 7451,
 "files": {{"url": "{base}-{platform}.files.json", "sha256": "{digest}"}},
 "sbom": {{"url": "{base}-{platform}.sbom.json", "sha256": "{digest}"}}}}"#
            )
        })
        .collect();
    format!(
        r#""1.{version}.0": {{"version": "1.{version}.0", "description": "The runtime number {runtime}, with many libraries",
 "download_url": "{base}.tar.gz", "checksum": "sha256:{:064x}", "size": 12785,
 "platforms": ["ubuntu-amd64", "ubuntu-arm64"], "released_at": "2026-11-23T10:00:00Z", "source_commit": "{:040x}",
 "artifacts": {{{}}}}}"#,
        runtime + version,
        runtime,
        artifacts.join(", ")
    )
}
