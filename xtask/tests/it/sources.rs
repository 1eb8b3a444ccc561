//! Sources of a manifest: from their address or a mirror, verified, or not at all.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use test_support::server::{Fault, FileServer};

use crate::bases::scene::{self, Ran};
use crate::build::{GOOD, GOOD_TEST, Workshop};

const CONTENT: &[u8] = b"the source\n";
const USE: &str = "cp /joblet/sources/data.txt \"$tree/bin/data\"\n";

/// A runtime that takes a source from an address, and a folder for a mirror.
struct Case {
    workshop: Workshop,
    mirror: tempfile::TempDir,
}

impl Case {
    /// Returns a runtime whose source is at `url`; nothing where this machine cannot build it.
    fn new(url: &str) -> Option<Self> {
        let manifest = format!(
            "{GOOD_TEST}sources:\n  - {{url: '{url}', file: data.txt, sha256: {}, size_bytes: {}}}\n",
            sha256(CONTENT),
            CONTENT.len()
        );
        let workshop = Workshop::new(&format!("{GOOD}{USE}"), &manifest)?;
        let mirror = tempfile::tempdir().unwrap();
        Some(Self { workshop, mirror })
    }

    fn build(&self, mirror: &str) -> Ran {
        let mut command = self.workshop.scene.command(&["build", "tiny"]);
        command.env("RNX_SOURCE_MIRROR", mirror).env_remove("http_proxy");
        scene::ran(&mut command)
    }

    fn folder(&self) -> &str {
        self.mirror.path().to_str().unwrap()
    }

    fn cached(&self) -> PathBuf {
        self.workshop.scene.cache().join("sources")
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_source_comes_from_its_address_or_a_mirror_that_has_it_by_digest_or_name() {
    let web = tempfile::tempdir().unwrap();
    fs_err::write(web.path().join("data"), CONTENT).unwrap();
    let server = FileServer::start(web.path());
    let Some(case) = Case::new(&server.url("data")) else { return };

    // The address itself: a mirror that lacks the file is passed over.
    let ran = case.build(case.folder());
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    assert_eq!(case.workshop.packed("isolated/bin/data").as_bytes(), CONTENT);
    assert_eq!(scene::names(&case.cached()), [sha256(CONTENT)]);

    // A mirror, while the address has nothing.
    server.misbehave("data", Fault::Status(404));
    for name in [sha256(CONTENT), "data.txt".to_owned()] {
        let path = case.mirror.path().join(&name);
        fs_err::write(&path, CONTENT).unwrap();
        let over_http = FileServer::start(case.mirror.path());
        for mirror in [case.folder(), &over_http.url("")] {
            fs_err::remove_dir_all(case.cached()).unwrap();
            let ran = case.build(mirror);
            assert_eq!(ran.status.code(), Some(0), "{name} {mirror}: {ran:?}");
            assert_eq!(case.workshop.packed("isolated/bin/data").as_bytes(), CONTENT);
        }
        fs_err::remove_file(path).unwrap();
    }
}

#[test]
fn a_source_that_is_nowhere_is_told_with_every_place_and_what_to_do() {
    let web = tempfile::tempdir().unwrap();
    let server = FileServer::start(web.path());
    let url = server.url("data");
    let Some(case) = Case::new(&url) else { return };
    let ran = case.build(case.folder());
    assert_eq!(ran.status.code(), Some(3), "{ran:?}");
    let said = ran.stderr_text();
    let origin = url.trim_end_matches("/data");
    let digest = sha256(CONTENT);
    let expected = [
        "cause: no place that was asked gave `data.txt`".to_owned(),
        format!("{}/{digest}`: ", case.folder()),
        format!("{}/data.txt`: ", case.folder()),
        format!("cause: failed to open `{url}`: the server answered 404"),
        format!("where `{origin}` is out of reach, fetch `data.txt` elsewhere"),
        format!("as `data.txt` or `{digest}`: `--source-mirror DIR`"),
    ];
    for text in expected {
        assert!(said.contains(&text), "{text}\nnot in\n{said}");
    }
    let ran = case.build("/nowhere");
    assert_eq!(ran.status.code(), Some(2), "{ran:?}");
    assert!(ran.stderr_text().contains("the source mirror `/nowhere` is not there"), "{ran:?}");
}

#[test]
fn a_source_with_another_digest_or_size_is_refused_and_nothing_of_it_is_kept() {
    let web = tempfile::tempdir().unwrap();
    let server = FileServer::start(web.path());
    let Some(case) = Case::new(&server.url("data")) else { return };
    for wrong in [&b"other text\n"[..], b"the source\nand more", b"the"] {
        fs_err::write(web.path().join("data"), wrong).unwrap();
        refused(&case, "");
        // Nor is the right one at the address a reason to pass over what is wrong in the mirror.
        fs_err::write(web.path().join("data"), CONTENT).unwrap();
        fs_err::write(case.mirror.path().join("data.txt"), wrong).unwrap();
        refused(&case, case.folder());
    }
}

fn refused(case: &Case, mirror: &str) {
    let ran = case.build(mirror);
    assert_eq!(ran.status.code(), Some(4), "{ran:?}");
    let said = ran.stderr_text();
    assert!(said.contains("`data.txt` is not what the manifest declares"), "{said}");
    let declared = format!("declares sha256:{}, 11 bytes; nothing", sha256(CONTENT));
    assert!(said.contains(&declared), "{said}");
    assert_eq!(scene::names(&case.cached()), Vec::<String>::new());
    assert!(!Path::new(&case.workshop.dist().join("SHA256SUMS")).exists());
}
