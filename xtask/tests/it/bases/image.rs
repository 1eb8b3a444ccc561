//! Bases from OCI images: a server made by hand that can lie, and Debian's real one.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rnx_spec::Digest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use test_support::server::{Fault, FileServer};

use super::scene::{self, Member, Scene, filter, needs_ranges, ran};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const REPOSITORY: &str = "v2/team/tiny";

/// An image on a server.
struct Image {
    files: tempfile::TempDir,
    server: FileServer,
    index: Digest,
    manifest: String,
    layers: Vec<String>,
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }
}

impl Image {
    /// Serves an image with an index, a configuration and these layers.
    fn serve(layers: &[(&str, Vec<u8>)]) -> Self {
        let files = tempfile::tempdir().unwrap();
        let put = |kind: &str, media_type: &str, bytes: &[u8]| {
            let digest = digest(bytes);
            let path = files.path().join(REPOSITORY).join(kind).join(digest.to_string());
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, bytes).unwrap();
            json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
        };
        let layers: Vec<_> = layers
            .iter()
            .map(|(suffix, bytes)| put("blobs", &format!("{LAYER}{suffix}"), bytes))
            .collect();
        let config = json!({"architecture": architecture(), "os": "linux", "rootfs": {}});
        let config = put("blobs", "x", config.to_string().as_bytes());
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let mut manifest = put("manifests", MANIFEST, manifest.to_string().as_bytes());
        let name = |value: &Value| value["digest"].as_str().unwrap().to_owned();
        let paths = (
            format!("{REPOSITORY}/manifests/{}", name(&manifest)),
            layers.iter().map(|layer| format!("{REPOSITORY}/blobs/{}", name(layer))).collect(),
        );
        manifest["platform"] = json!({"os": "linux", "architecture": architecture()});
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        let index: Digest = put("manifests", INDEX, index.to_string().as_bytes())["digest"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let server = FileServer::start(files.path());
        Self { files, server, index, manifest: paths.0, layers: paths.1 }
    }

    fn define(&self, scene: &Scene) {
        let server = self.server.url("");
        let host = server.trim_start_matches("http://").trim_end_matches('/');
        scene.define(
            "image",
            &format!("oci: {{image: '{host}/team/tiny', digest: '{}'}}", self.index),
        );
    }

    fn paths(&self) -> impl Iterator<Item = &String> {
        self.layers.iter().chain([&self.manifest])
    }
}

fn two_layers() -> Vec<(&'static str, Vec<u8>)> {
    let lower = scene::tar(&[
        Member::file("etc/motd", 0o644, b"lower"),
        Member::file("etc/gone", 0o644, b"lower"),
        Member::file("var/cache/old", 0o644, b"lower"),
        Member::file("var/cache/deep/old", 0o644, b"lower"),
        Member::file("usr/bin/tool", 0o4755, b"tool").owned_by(0, 5),
        Member::link("bin", "/usr/bin"),
        Member::file("becomes-folder", 0o644, b"lower"),
    ]);
    let upper = scene::tar(&[
        Member::file("etc/motd", 0o644, b"upper"),
        Member::file("etc/.wh.gone", 0o644, b""),
        Member::file("var/cache/new", 0o644, b"upper"),
        Member::file("var/cache/.wh..wh..opq", 0o644, b""),
        Member::file("var/cache/deep/new", 0o644, b"upper"),
        Member::file("bin/other", 0o755, b"upper"),
        Member::file(".wh.never-was", 0o644, b""),
        Member::dir("becomes-folder", 0o755),
        Member::file("becomes-folder/in", 0o644, b"upper"),
    ]);
    vec![("", lower), ("+gzip", filter("gzip", &upper))]
}

fn tree(root: &Path) -> Vec<String> {
    let mut found: Vec<_> = walkdir::WalkDir::new(root)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| !entry.file_type().is_dir())
        .map(|entry| {
            let name = entry.path().strip_prefix(root).unwrap().display().to_string();
            let content = if entry.file_type().is_file() {
                fs_err::read_to_string(entry.path()).unwrap()
            } else {
                format!("-> {}", fs_err::read_link(entry.path()).unwrap().display())
            };
            format!("{name}: {content}")
        })
        .collect();
    found.sort();
    found
}

const TREE: [&str; 7] = [
    "becomes-folder/in: upper",
    "bin: -> /usr/bin",
    "etc/motd: upper",
    "usr/bin/other: upper",
    "usr/bin/tool: tool",
    "var/cache/deep/new: upper",
    "var/cache/new: upper",
];

#[test]
fn layers_cover_each_other_and_whiteouts_take_away() {
    if !needs_ranges() {
        return;
    }
    let scene = Scene::new();
    let image = Image::serve(&two_layers());
    let realm = image.server.url("token");
    for path in image.paths() {
        let token = "opensesame".to_owned();
        image.server.misbehave(path, Fault::WantToken { realm: realm.clone(), token });
    }
    let token = image.files.path().join("token?scope=repository:team/tiny:pull&service=test");
    fs_err::create_dir_all(token.parent().unwrap()).unwrap();
    fs_err::write(token, r#"{"token":"opensesame"}"#).unwrap();
    image.define(&scene);
    let made = scene.xtask(&["base", "image"]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    assert_eq!(tree(&made.stdout_path()), TREE);
    let asked: Vec<_> =
        image.server.requests().into_iter().filter(|r| r.path.starts_with("token")).collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    let again = scene.xtask(&["base", "image"]);
    assert!(again.stderr_text().contains("image: reused"), "{again:?}");
}

#[test]
fn an_image_that_is_not_what_its_digests_say_is_refused_and_nothing_is_kept() {
    let image = Image::serve(&two_layers());
    let scene = Scene::new();
    image.define(&scene);
    let lie = |bytes: &[u8]| {
        let mut lie = bytes.to_vec();
        let middle = lie.len() / 2;
        lie[middle] ^= 1;
        Fault::Replace(lie)
    };
    let index = format!("{REPOSITORY}/manifests/{}", image.index);
    let paths: Vec<_> = image.paths().cloned().chain([index]).collect();
    for path in &paths {
        let bytes = fs_err::read(image.files.path().join(path)).unwrap();
        for (fault, status, said) in [
            (lie(&bytes), 4, "has the wrong content: expected sha256:"),
            (Fault::Replace([bytes.clone(), b" ".to_vec()].concat()), 4, "expected"),
            (Fault::Replace(Vec::new()), 4, "expected"),
            (Fault::Status(404), 3, "404"),
            (Fault::RedirectTo(image.server.url("elsewhere")), 3, "404"),
        ] {
            image.server.misbehave(path, fault.clone());
            let refused = scene.xtask(&["base", "image"]);
            image.server.behave();
            assert_eq!(refused.status.code(), Some(status), "{fault:?} {refused:?}");
            assert!(refused.stderr_text().contains(said), "{fault:?} {refused:?}");
            assert_eq!(scene.bases_and_leftovers(), [""; 0], "{fault:?}");
        }
    }
}

#[test]
fn a_layer_cannot_write_outside_the_tree() {
    if !needs_ranges() {
        return;
    }
    let scene = Scene::new();
    let outside = scene.repo().join("outside");
    fs_err::create_dir(&outside).unwrap();
    let target = outside.display().to_string();
    let sly = [
        vec![Member::link("way", &target)],
        vec![Member::file("way/planted", 0o644, b"x"), Member::file("way/.wh.victim", 0o644, b"")],
        vec![Member::file("way/.wh..wh..opq", 0o644, b"")],
    ];
    fs_err::write(outside.join("victim"), "here").unwrap();
    let image = Image::serve(&sly.map(|members| ("", scene::tar(&members))));
    image.define(&scene);
    let _either = scene.xtask(&["base", "image"]);
    assert_eq!(scene::names(&outside), ["victim"]);
}

/// A real registry server, which ends with this value.
struct Registry {
    process: Child,
    host: String,
}

impl Registry {
    fn start(dir: &Path) -> Self {
        // The port is free now; nobody else asks for ports here that fast.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("127.0.0.1:{port}");
        let config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}/images}}}}\nhttp: {{addr: {host}}}\n",
            dir.display()
        );
        fs_err::write(dir.join("config.yml"), config).unwrap();
        let process = Command::new("docker-registry")
            .args(["serve".as_ref(), dir.join("config.yml").as_os_str()])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self { process, host };
        let answers = (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            std::net::TcpStream::connect(&registry.host).is_ok()
        });
        assert!(answers, "the registry does not answer");
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// `umoci` makes the image, `skopeo` pushes it, `docker-registry` serves it.
#[test]
fn an_image_of_other_tools_comes_whole_from_a_real_registry() {
    let missing = ["docker-registry", "umoci", "skopeo"]
        .into_iter()
        .find(|program| !Path::new("/usr/bin").join(program).exists());
    if let Some(program) = missing {
        eprintln!("skipped: the peer {program} is not installed");
        return;
    }
    if !needs_ranges() {
        return;
    }
    let scene = Scene::new();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let layout = format!("{}:latest", at("layout").display());
    let run = |command: &mut Command| {
        let done = ran(command);
        assert!(done.status.success(), "{done:?}");
    };
    let umoci = |args: &[&str]| run(Command::new("umoci").args(args));
    umoci(&["init", "--layout", at("layout").to_str().unwrap()]);
    umoci(&["new", "--image", &layout]);
    for (index, (_, layer)) in two_layers().iter().enumerate() {
        let path: PathBuf = at(&format!("layer{index}.tar"));
        let plain = if index == 0 { layer.clone() } else { filter("zcat", layer) };
        fs_err::write(&path, plain).unwrap();
        umoci(&["raw", "add-layer", "--image", &layout, path.to_str().unwrap()]);
    }
    let registry = Registry::start(dir.path());
    run(Command::new("skopeo")
        .args(["copy", "--insecure-policy", "--dest-tls-verify=false", &format!("oci:{layout}")])
        .arg(format!("docker://{}/team/tiny:latest", registry.host)));
    let mut inspected = String::new();
    Command::new("skopeo")
        .args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}"])
        .arg(format!("docker://{}/team/tiny:latest", registry.host))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
        .stdout
        .unwrap()
        .read_to_string(&mut inspected)
        .unwrap();
    let digest = inspected.trim();
    scene.define(
        "image",
        &format!("oci: {{image: '{}/team/tiny', digest: '{digest}'}}", registry.host),
    );
    let made = scene.xtask(&["base", "image"]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    assert_eq!(tree(&made.stdout_path()), TREE);
}
