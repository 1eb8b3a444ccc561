//! Plans of publishing, as text, and what becomes of them when they are cut off.

use super::*;

fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

fn file(name: &str, byte: u8) -> File {
    File {
        name: name.to_owned(),
        content: Content::Bytes(Vec::new()),
        digest: digest(byte),
        size_bytes: 10,
    }
}

fn wanted() -> Wanted {
    Wanted {
        tag: "a@1.0.0".parse().unwrap(),
        commit: "c".to_owned(),
        notes: String::new(),
        files: vec![file("x", 1), file("y", 2), file("z", 3)],
    }
}

fn asset(name: &str, digest: Option<Digest>) -> RemoteAsset {
    RemoteAsset { id: 7, name: name.to_owned(), complete: true, size_bytes: 10, digest }
}

fn leftover(name: &str) -> RemoteAsset {
    RemoteAsset { complete: false, size_bytes: 0, ..asset(name, None) }
}

fn release(id: u64, draft: bool, assets: Vec<RemoteAsset>) -> RemoteRelease {
    RemoteRelease { id, draft, immutable: false, page: format!("https://forge/{id}"), assets }
}

fn shown(remote: &[RemoteRelease]) -> String {
    match plan(&wanted(), remote) {
        Ok(steps) => steps.iter().map(|step| format!("{step}\n")).collect(),
        Err(error) => format!("error: {error}\n"),
    }
}

#[test]
fn a_new_release_is_visible_last() {
    insta::assert_snapshot!(shown(&[]), @r"
    create the draft release `a@1.0.0`
    upload x (10 bytes, sha256:0101010101010101010101010101010101010101010101010101010101010101)
    upload y (10 bytes, sha256:0202020202020202020202020202020202020202020202020202020202020202)
    upload z (10 bytes, sha256:0303030303030303030303030303030303030303030303030303030303030303)
    compare the digests of 3 files with what the forge has
    publish the release `a@1.0.0`
    ");
}

#[test]
fn a_draft_gets_what_it_lacks_and_no_more() {
    let draft = release(5, true, vec![asset("x", Some(digest(1))), leftover("y")]);
    // What others began at the same time: one empty, one not.
    let others = [release(9, true, vec![]), release(6, true, vec![asset("q", None)])];
    let remote: Vec<_> = others.into_iter().chain([draft]).collect();
    insta::assert_snapshot!(shown(&remote), @r"
    delete the empty draft 9 of the same tag
    delete what a broken upload left of y
    upload y (10 bytes, sha256:0202020202020202020202020202020202020202020202020202020202020202)
    upload z (10 bytes, sha256:0303030303030303030303030303030303030303030303030303030303030303)
    compare the digests of 3 files with what the forge has
    publish the release `a@1.0.0`
    ");
}

#[test]
fn what_is_published_is_completed_but_never_changed() {
    let all = |z| vec![asset("x", Some(digest(1))), asset("y", Some(digest(2))), asset("z", z)];
    assert_eq!(shown(&[release(1, false, all(Some(digest(3))))]), "");
    // A server that tells no digests is asked for the bytes.
    assert_eq!(
        shown(&[release(1, false, all(None))]),
        "compare the digests of 3 files with what the forge has\n"
    );
    let mut partial = release(1, false, vec![asset("x", Some(digest(1))), leftover("z")]);
    insta::assert_snapshot!(shown(&[release(2, true, vec![]), partial.clone()]), @r"
    delete the empty draft 2 of the same tag
    upload y (10 bytes, sha256:0202020202020202020202020202020202020202020202020202020202020202)
    delete what a broken upload left of z
    upload z (10 bytes, sha256:0303030303030303030303030303030303030303030303030303030303030303)
    compare the digests of 3 files with what the forge has
    ");
    partial.immutable = true;
    insta::assert_snapshot!(
        shown(&[partial]),
        @"error: the release `a@1.0.0` is published and cannot be changed, but it lacks y, z"
    );
}

#[test]
fn other_bytes_and_other_files_are_refused() {
    let wrong = release(1, true, vec![asset("x", Some(digest(9)))]);
    let size = RemoteAsset { size_bytes: 11, ..asset("y", None) };
    let wrong = RemoteRelease { assets: [wrong.assets, vec![size]].concat(), ..wrong };
    insta::assert_snapshot!(shown(&[wrong]), @"error: the release `a@1.0.0` has other bytes under the same name, and a published version never changes: x is sha256:0101010101010101010101010101010101010101010101010101010101010101 (10 bytes) here and sha256:0909090909090909090909090909090909090909090909090909090909090909 (10 bytes) there; y is sha256:0202020202020202020202020202020202020202020202020202020202020202 (10 bytes) here and has 11 bytes there");
    let strange = release(1, true, vec![asset("x", Some(digest(1))), asset("virus", None)]);
    insta::assert_snapshot!(
        shown(&[strange]),
        @"error: the draft of `a@1.0.0` has files that this release has not: virus"
    );
}

/// Cuts a plan off after every step, plans again on what is there, and comes to the same end with as many uploads.
#[test]
fn a_plan_that_was_cut_off_is_continued() {
    let whole = plan(&wanted(), &[]).unwrap();
    for cut in 0..=whole.len() {
        let (mut forge, mut uploads) = (Vec::new(), 0);
        let mut carry_out = |steps: &[Step], forge: &mut Vec<RemoteRelease>| {
            for step in steps {
                match step {
                    Step::CreateDraft { .. } => forge.push(release(1, true, vec![])),
                    Step::Upload { name, digest, .. } => {
                        uploads += 1;
                        forge[0].assets.push(asset(name, Some(*digest)));
                    }
                    Step::Publish { .. } => forge[0].draft = false,
                    Step::Compare { .. } => {}
                    other => panic!("{other}"),
                }
            }
        };
        carry_out(&whole[..cut], &mut forge);
        let rest = plan(&wanted(), &forge).unwrap();
        carry_out(&rest, &mut forge);
        assert_eq!(uploads, 3, "cut after {cut} steps");
        assert_eq!(plan(&wanted(), &forge), Ok(vec![]));
    }
}
