//! Registries on servers: kept, asked again, unreachable, private, behind a mirror or a proxy; and many processes at once.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use fs_err as fs;
use insta::assert_snapshot;
use test_support::server::{Fault, FileServer};

use crate::rnx::{Rnx, redacted};

const DOCUMENT: &str = "registry.json";
const ARCHIVE: &str = "demo-1.10.0-ubuntu-amd64.tar.gz";
const AVAILABLE: [&str; 3] = ["runtime", "list", "--available"];

/// A registry on a server, which is the only one that is configured.
struct Scene {
    rnx: Rnx,
    server: FileServer,
}

impl Scene {
    fn new() -> Self {
        let rnx = Rnx::new();
        let server = FileServer::start(rnx.registry.path());
        let scene = Self { rnx, server };
        scene.configure("");
        scene
    }

    fn configure(&self, auth: &str) {
        let url = self.server.url("");
        self.rnx.configure(&format!("  registries:\n  - {{name: own, url: {url}{auth}}}\n"));
    }

    fn run(&self, args: &[&str], vars: &[(&str, &str)]) -> String {
        let shown = self.rnx.run_configured(args, vars);
        shown.replace(&self.server.url(""), "http://server/")
    }

    /// What the server was asked about its document: the `If-None-Match` of each request.
    fn asked(&self) -> Vec<Option<String>> {
        let requests = self.server.requests().into_iter();
        requests.filter(|r| r.path == DOCUMENT).map(|r| r.if_none_match).collect()
    }
}

#[test]
fn a_registry_is_asked_once_an_hour_and_then_whether_it_changed() {
    let mut scene = Scene::new();
    let first = scene.run(&AVAILABLE, &[]);
    assert!(first.starts_with("NAME"), "{first}");
    assert_eq!(scene.run(&AVAILABLE, &[]), first);
    assert_eq!(scene.run(&["runtime", "search", "fixture"], &[]), first);
    assert_eq!(scene.asked(), [None]);

    // An hour later, here at once.
    let later = [("RNX_CACHE_TTL", "0")];
    assert_eq!(scene.run(&AVAILABLE, &later), first);
    assert_eq!(scene.asked().len(), 2);
    assert!(scene.asked()[1].is_some(), "by its ETag");

    // What is kept misses something that was asked for by its number.
    scene.rnx.registry.publish("demo@1.11.0", &["ubuntu-amd64"]);
    assert_eq!(scene.run(&AVAILABLE, &[]), first);
    let shown = scene.run(&["runtime", "install", "demo@1.11.0"], &[]);
    assert!(shown.ends_with("Installed demo@1.11.0 in BASE/demo-1.11.0\nstatus 0"), "{shown}");
    assert_eq!(scene.asked().len(), 3);
    let shown = scene.run(&["runtime", "info", "demo@3.0.0"], &[]);
    assert!(
        shown.starts_with("error: the registry has no version 3.0.0 of `demo`; it has 1.11.0"),
        "{shown}"
    );
    assert_eq!(scene.asked().len(), 4, "asked once, and no more");
}

#[test]
fn the_last_good_copy_is_used_and_its_age_said() {
    let scene = Scene::new();
    let offline = |args: &[&str]| scene.run(&[args, &["--offline"]].concat(), &[]);
    assert_snapshot!("offline_without_a_copy", offline(&AVAILABLE));
    let first = scene.run(&AVAILABLE, &[]);
    assert_eq!(offline(&AVAILABLE), first);
    assert_snapshot!("offline_install", offline(&["runtime", "install", "demo"]));
    let later = [("RNX_CACHE_TTL", "0")];
    let stale = scene.run(&AVAILABLE, &[later[0], ("RNX_OFFLINE", "1")]);
    assert!(stale.contains("note: the copy of the registry `own` is 0 s old\n"), "{stale}");
    for (name, fault) in [
        ("unavailable", Fault::Status(503)),
        ("no_registry", Fault::Replace(b"<html>log in</html>".to_vec())),
        ("cut", Fault::TruncateAt(100)),
    ] {
        scene.server.misbehave(DOCUMENT, Fault::NoEtag);
        scene.server.misbehave(DOCUMENT, fault);
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(r"is \d+ s old", "is AGE old");
        settings.add_filter(r"after \d+ of \d+ bytes", "after SOME of ALL bytes");
        settings.bind(|| assert_snapshot!(name, scene.run(&AVAILABLE, &later)));
        scene.server.behave();
    }
    // A copy that was damaged is none.
    let copies: Vec<_> = fs::read_dir(scene.rnx.home.path().join("cache/registries"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(copies.len(), 1, "{copies:?}");
    let whole = fs::read(&copies[0]).unwrap();
    for damaged in [&whole[..whole.len() - 1], b"", &whole[40..]] {
        fs::write(&copies[0], damaged).unwrap();
        assert_eq!(scene.run(&AVAILABLE, &[]), first);
    }
}

#[test]
fn many_processes_ask_once_and_a_killed_one_leaves_no_harm() {
    let scene = Scene::new();
    scene.server.misbehave(DOCUMENT, Fault::StallAt(1000));
    let mut killed = scene.rnx.configured(&AVAILABLE).spawn().unwrap();
    scene.server.wait_until_stalled();
    killed.kill().unwrap();
    killed.wait().unwrap();
    scene.server.behave();
    let before = scene.asked().len();
    thread::scope(|scope| {
        let started: Vec<_> = (0..8).map(|_| scope.spawn(|| scene.run(&AVAILABLE, &[]))).collect();
        for process in started {
            let shown = process.join().unwrap();
            assert!(shown.ends_with("status 0"), "{shown}");
        }
    });
    assert_eq!(scene.asked().len() - before, 1);
}

#[test]
fn a_token_opens_a_private_registry_and_is_never_shown() {
    let scene = Scene::new();
    let (token, assets) = ("canary-7d1f", FileServer::start(scene.rnx.registry.path()));
    let wanted =
        || Fault::WantToken { realm: "http://127.0.0.1/".to_owned(), token: token.to_owned() };
    scene.server.misbehave(DOCUMENT, wanted());
    assert_snapshot!("private_without_a_token", scene.run(&AVAILABLE, &[]));

    // The archive is elsewhere, where the token is nobody's business unless it is listed.
    scene.server.misbehave(ARCHIVE, Fault::RedirectTo(assets.url(ARCHIVE)));
    let file = scene.rnx.home.path().join("token");
    fs::write(&file, format!("{token}\n")).unwrap();
    let mode = |mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(&file, mode).unwrap();
    };
    mode(0o600);
    let install = ["runtime", "install", "demo", "--force"];
    let vars = [("OWN_TOKEN", token), ("RNX_CACHE_TTL", "0")];
    for auth in [
        "token_env: OWN_TOKEN",
        "token_file: ~/token",
        "command: 'cat token'",
        "command: [cat, token]",
    ] {
        scene.configure(&format!(", auth: {{{auth}}}"));
        let shown = scene.run(&install, &vars);
        assert!(shown.ends_with("status 0"), "{shown}");
        for shown in [
            shown,
            scene.run(&["registry", "list"], &vars),
            scene.run(&["runtime", "info", "demo"], &vars),
        ] {
            assert!(!shown.contains(token), "{auth}: {shown}");
        }
    }
    let seen = |server: &FileServer| -> Vec<_> {
        let requests = server.requests().into_iter();
        requests.filter(|r| r.path == ARCHIVE).map(|r| r.authorization.is_some()).collect()
    };
    assert_eq!((seen(&scene.server), seen(&assets)), (vec![true; 4], vec![false; 4]));
    let listed = format!(", auth: {{token_env: OWN_TOKEN, hosts: ['{}']}}", assets.url(""));
    scene.configure(&listed);
    scene.run(&install, &vars);
    assert_eq!(seen(&assets).last(), Some(&true));

    mode(0o644);
    scene.configure(", auth: {token_file: ~/token}");
    fs::remove_dir_all(scene.rnx.home.path().join("cache")).unwrap();
    assert_snapshot!("exposed_token", scene.run(&AVAILABLE, &[]));
    scene.configure(", auth: {token_env: OWN_TOKEN}");
    assert_snapshot!("token_not_set", scene.run(&AVAILABLE, &[]));
    scene.rnx.configure(
        "  registries:\n  - {name: a, url: 'http://h.invalid/r', auth: {token_env: OWN_TOKEN}}\n",
    );
    assert_snapshot!("token_unencrypted", scene.run(&AVAILABLE, &vars));
    let logs = fs::read_dir(scene.rnx.home.path().join("cache/registries"));
    assert!(logs.is_err() || logs.unwrap().count() == 0);
}

#[test]
fn registries_are_asked_in_their_order() {
    let _redacted = redacted();
    let scene = Scene::new();
    let second = Rnx::new();
    let mut other = second.registry;
    other.publish("demo@9.0.0", &["ubuntu-amd64"]);
    other.publish("other@1.0.0", &["ubuntu-amd64"]);
    let (url, folder) = (scene.server.url(""), other.path().to_str().unwrap().to_owned());
    scene.rnx.configure(&format!(
        "  registries:\n  - {{name: own, url: {url}}}\n  - {{name: off, url: /nowhere, enabled: false}}\n  - {{name: other, url: '{folder}'}}\n  aliases: {{d: demo}}\n"
    ));
    let plan = |args: &[&str]| {
        let shown = scene.run(&[&["runtime", "install", "--dry-run"], args].concat(), &[]);
        shown.lines().next().unwrap().split(" for ").next().unwrap().to_owned()
    };
    assert_eq!(plan(&["demo"]), "install demo@1.10.0", "the first that knows the name");
    assert_eq!(plan(&["d@1.9"]), "install demo@1.9.0", "a short name and a range");
    assert_eq!(plan(&["other"]), "install other@1.0.0");
    assert_eq!(plan(&["demo", "--registry", "other"]), "install demo@9.0.0");
    assert_eq!(
        plan(&["demo@9.0.0"]),
        "error: the registry has no version 9.0.0 of `demo`; it has 1.10.0, 1.9.0"
    );
    assert_snapshot!("several_registries", scene.run(&AVAILABLE, &[]).replace(&folder, "FOLDER"));
    // A registry that cannot be read stands in the way of an install, and not of looking around.
    scene.server.misbehave(DOCUMENT, Fault::Status(500));
    fs::remove_dir_all(scene.rnx.home.path().join("cache")).unwrap();
    assert_eq!(plan(&["other"]), "error: failed to read the registry `own`");
    scene.rnx.configure(&format!(
        "  registries: [{{name: other, url: '{folder}'}}, {{name: own, url: {url}}}]\n"
    ));
    assert_eq!(plan(&["other"]), "install other@1.0.0", "known before");
    assert_eq!(plan(&["unknown"]), "error: failed to read the registry `own`");
    scene.rnx.configure(&format!(
        "  registries: [{{name: own, url: {url}}}, {{name: other, url: '{folder}'}}]\n"
    ));
    let shown = scene.run(&AVAILABLE, &[]);
    assert!(shown.contains("other") && shown.contains("warning: failed to read"), "{shown}");
    assert!(shown.ends_with("status 0"), "{shown}");
    scene.rnx.configure(&format!(
        "  registries: [{{name: own, url: {url}}}, {{name: other, url: /nowhere}}]\n"
    ));
    for args in [&AVAILABLE[..], &["runtime", "info", "other"], &["runtime", "search", "other"]] {
        let shown = scene.run(args, &[]);
        assert!(shown.starts_with("warning: failed to read the registry `own`"), "{shown}");
        assert!(shown.contains("\nerror: failed to read the registry `other`"), "{shown}");
        assert!(shown.ends_with("status 1"), "{shown}");
    }
}

#[test]
fn a_mirror_is_asked_instead_and_a_proxy_on_behalf() {
    let scene = Scene::new();
    let url = scene.server.url("");
    scene.rnx.configure(&format!(
        "  registries:\n  - {{name: far, url: 'https://registry.invalid/runtimes'}}\n  mirrors:\n  - {{from: 'https://registry.invalid/runtimes/', to: '{url}'}}\n"
    ));
    let shown = scene.run(&["runtime", "install", "demo"], &[]);
    assert!(shown.ends_with("status 0"), "{shown}");
    assert_eq!(scene.server.requests_for(ARCHIVE), 1);

    let proxy = Proxy::start(&scene.server);
    scene.rnx.configure("  registries:\n  - {name: far, url: 'http://registry.invalid/'}\n");
    let address = format!("http://name:canary@{}", proxy.address);
    let install = ["runtime", "install", "demo", "--force"];
    let shown = scene.run(&install, &[("http_proxy", &address)]);
    assert!(shown.ends_with("status 0") && !shown.contains("canary"), "{shown}");
    assert_eq!(proxy.asked(), ["registry.invalid:80", "registry.invalid:80"]);
    let direct =
        [("http_proxy", address.as_str()), ("no_proxy", ".invalid"), ("RNX_CACHE_TTL", "0")];
    let shown =
        scene.run(&["runtime", "info", "demo", "--registry", "http://registry.invalid/x"], &direct);
    assert!(shown.ends_with("status 3") && !shown.contains("canary"), "{shown}");
    assert_eq!(proxy.asked().len(), 2, "it was not asked again");
    let shown =
        scene.run(&install, &[("http_proxy", "http://name:canary@"), ("RNX_CACHE_TTL", "0")]);
    assert!(
        shown.contains("the proxy for `http://` addresses") && !shown.contains("canary"),
        "{shown}"
    );
}

/// A proxy that leads everyone to one server.
struct Proxy {
    address: std::net::SocketAddr,
    asked: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(server: &FileServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = std::sync::Arc::default();
        let target = server.url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
        let log = std::sync::Arc::clone(&asked);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (log, target) = (std::sync::Arc::clone(&log), target.clone());
                thread::spawn(move || lead(client, &target, &log));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn lead(mut client: TcpStream, target: &str, log: &std::sync::Mutex<Vec<String>>) {
    let mut lines = BufReader::new(client.try_clone().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    log.lock().unwrap().push(first.split(' ').nth(1).unwrap().to_owned());
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        lines.read_line(&mut line).unwrap();
    }
    let server = TcpStream::connect(target).unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let (mut to, mut from) = (server.try_clone().unwrap(), server);
    let asking = thread::spawn(move || std::io::copy(&mut lines, &mut to).ok());
    std::io::copy(&mut from, &mut client).ok();
    drop(client.shutdown(std::net::Shutdown::Both));
    asking.join().unwrap();
}

/// Whether a program is there; where not, that is a failure in continuous integration.
fn has(program: &str) -> bool {
    let there = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .any(|folder| folder.join(program).is_file());
    assert!(there || std::env::var_os("CI").is_none(), "{program} is not installed");
    if !there {
        eprintln!("skipped: {program} is not installed");
    }
    there
}

#[test]
fn certificates_of_ones_own_are_trusted_beside_the_hosts() {
    if !has("openssl") {
        return;
    }
    let scene = Scene::new();
    let home = scene.rnx.home.path();
    let tls = Tls::start(home, scene.rnx.registry.path());
    scene.rnx.configure(&format!(
        "  registries:\n  - {{name: own, url: 'https://localhost:{}/'}}\n",
        tls.port
    ));
    let shown = scene.run(&AVAILABLE, &[]);
    assert!(shown.contains("certificate") && shown.ends_with("status 3"), "{shown}");
    let bundle = home.join("certificate.pem");
    let shown = scene.run(&AVAILABLE, &[("RNX_CA_BUNDLE", bundle.to_str().unwrap())]);
    assert!(shown.starts_with("NAME") && shown.ends_with("status 0"), "{shown}");
    let shown =
        scene.run(&AVAILABLE, &[("RNX_CA_BUNDLE", "nowhere.pem"), ("RNX_CACHE_DIR", "new")]);
    assert!(shown.contains("`RNX_CA_BUNDLE`") && shown.ends_with("status 5"), "{shown}");
}

/// `openssl s_server` with a certificate of its own.
struct Tls {
    process: std::process::Child,
    port: u16,
}

impl Tls {
    fn start(home: &Path, folder: &Path) -> Self {
        let (certificate, key) = (home.join("certificate.pem"), home.join("key.pem"));
        let made = std::process::Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
            ])
            .args([
                "-addext",
                "subjectAltName=DNS:localhost",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
                "-keyout",
            ])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut process = std::process::Command::new("openssl")
            .args(["s_server", "-WWW", "-accept", "127.0.0.1:0", "-key"])
            .arg(&key)
            .arg("-cert")
            .arg(&certificate)
            .current_dir(folder)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port =
            lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT 127.0.0.1:")?.parse().ok());
        thread::spawn(move || lines.for_each(drop));
        Self { process, port: port.unwrap() }
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn registries_are_added_and_removed_and_the_rest_of_the_file_stays() {
    let scene = Scene::new();
    let config = scene.rnx.home.path().join(".rnx/config.yaml");
    fs::write(&config, "# mine\nruntimes:\n  aliases: {d: demo} # short\n").unwrap();
    let url = scene.server.url("");
    let run = |args: &[&str]| scene.run(&[&["registry"], args].concat(), &[("T", "canary")]);
    assert_snapshot!(
        "registry_add",
        run(&[
            "add",
            "own",
            &url,
            "--first",
            "--token-env",
            "T",
            "--token-host",
            "https://assets.example.org"
        ])
    );
    assert_snapshot!(
        "registry_config",
        fs::read_to_string(&config).unwrap().replace(&url, "http://server/")
    );
    assert_snapshot!("registry_list", run(&["list"]));
    assert!(
        run(&["refresh", "own"])
            .starts_with("own: 2 runtimes in 3 versions, changed last at 2026-")
    );
    assert!(run(&["list"]).contains(" s old  http://server/"));
    assert_snapshot!("registry_add_again", run(&["add", "own", "/elsewhere"]));
    assert_snapshot!("registry_add_wrong", run(&["add", "other", "nowhere"]));
    assert_snapshot!("registry_remove_unknown", run(&["remove", "company"]));
    assert_eq!(
        run(&["remove", "official"]),
        "Removed official from HOME/.rnx/config.yaml\nstatus 0"
    );
    run(&["add", "filed", &url, "--token-file", "token"]);
    let place = format!("token_file: {}", scene.rnx.home.path().join("token").display());
    assert!(fs::read_to_string(&config).unwrap().contains(&place));
    run(&["remove", "filed"]);
    assert_eq!(run(&["remove", "own"]), "Removed own from HOME/.rnx/config.yaml\nstatus 0");
    assert_eq!(
        fs::read_to_string(&config).unwrap(),
        "# mine\nruntimes:\n  registries: []\n  aliases: {d: demo} # short\n"
    );
    assert_snapshot!("no_registry_left", scene.run(&AVAILABLE, &[]));
    // At once, and none is lost.
    fs::remove_file(&config).unwrap();
    thread::scope(|scope| {
        for number in 0..8 {
            let (run, name) = (&run, format!("r{number}"));
            scope.spawn(move || assert!(run(&["add", &name, "/srv/r"]).ends_with("status 0")));
        }
    });
    assert_eq!(fs::read_to_string(&config).unwrap().matches("/srv/r").count(), 8);
    fs::write(&config, "runtimes: {registries: []}\n").unwrap();
    assert_snapshot!("registry_add_by_hand", run(&["add", "other", "/srv/r"]));
}
