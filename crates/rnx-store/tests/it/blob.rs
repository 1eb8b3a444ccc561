//! Bytes become a blob only if they are the right ones, whatever the server does.

use std::path::Path;
use std::time::Duration;

use fs_err as fs;
use rnx_spec::Digest;
use rnx_store::blob::{self, AddBlobError, BlobRequest, SizeBound};
use rnx_store::fetch::{FetchOptions, Fetcher, OriginToken};
use tempfile::TempDir;
use test_support::server::{Fault, FileServer};

const SIZE: usize = 600_000;

struct Bench {
    dir: TempDir,
    server: FileServer,
    content: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..SIZE).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect();
        fs::create_dir(dir.path().join("www")).unwrap();
        fs::write(dir.path().join("www/blob"), &content).unwrap();
        let server = FileServer::start(&dir.path().join("www"));
        Self { dir, server, content }
    }

    fn store(&self) -> std::path::PathBuf {
        self.dir.path().join("store")
    }

    fn request(&self) -> BlobRequest {
        BlobRequest {
            url: self.server.url("blob").parse().unwrap(),
            digest: digest(&self.content),
            size: SizeBound::Exactly(SIZE as u64),
        }
    }

    fn add(&self, request: &BlobRequest) -> Result<Vec<u8>, AddBlobError> {
        let options = FetchOptions {
            read_timeout: Some(Duration::from_millis(300)),
            retry_pause: Some(Duration::from_millis(10)),
            ..FetchOptions::default()
        };
        let fetcher = Fetcher::new(&options).unwrap();
        blob::add(&fetcher, request, &self.store(), &mut |_| {}).map(|path| fs::read(path).unwrap())
    }

    fn error(&self, request: &BlobRequest) -> String {
        let error = self.add(request).unwrap_err();
        error.to_string().replace(self.server.url("").as_str(), "http://server/")
    }

    fn ranges(&self) -> Vec<String> {
        self.server.requests().iter().filter_map(|request| request.range.clone()).collect()
    }
}

fn digest(bytes: &[u8]) -> Digest {
    blob::digest(bytes).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_blob_is_fetched_once() {
    let bench = Bench::new();
    let request = bench.request();
    assert_eq!(bench.add(&request).unwrap(), bench.content);
    assert_eq!(bench.add(&request).unwrap(), bench.content);
    assert_eq!(bench.server.requests().len(), 1);
    assert_eq!(names(&bench.store()), [request.digest.hex()]);

    // One that was damaged on disk is fetched again.
    fs::write(bench.store().join(request.digest.hex()), "damaged").unwrap();
    assert_eq!(bench.add(&request).unwrap(), bench.content);
}

#[test]
fn many_who_want_a_blob_fetch_it_once() {
    let bench = Bench::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(bench.add(&bench.request()).unwrap(), bench.content));
        }
    });
    assert_eq!(bench.server.requests().len(), 1);
    assert_eq!(names(&bench.store()).len(), 1);
}

#[test]
fn what_broke_off_is_taken_up_again() {
    let bench = Bench::new();
    bench.server.misbehave("blob", Fault::TruncateOnceAt(200_000));
    assert_eq!(bench.add(&bench.request()).unwrap(), bench.content);
    assert_eq!(bench.ranges(), ["bytes=200000-"]);
}

#[test]
fn what_a_killed_process_left_is_taken_up_again() {
    let bench = Bench::new();
    let partial = bench.store().join(format!("{}.partial", bench.request().digest.hex()));
    fs::create_dir(bench.store()).unwrap();
    fs::write(&partial, &bench.content[..1000]).unwrap();
    assert_eq!(bench.add(&bench.request()).unwrap(), bench.content);
    assert_eq!(bench.ranges(), ["bytes=1000-"]);

    // Even if it left something else.
    let store = bench.store();
    fs::remove_dir_all(&store).unwrap();
    fs::create_dir(&store).unwrap();
    fs::write(&partial, vec![b'x'; SIZE]).unwrap();
    assert_eq!(bench.add(&bench.request()).unwrap(), bench.content);
    fs::remove_dir_all(&store).unwrap();
    fs::create_dir(&store).unwrap();
    fs::write(&partial, vec![b'x'; SIZE + 1]).unwrap();
    assert_eq!(bench.add(&bench.request()).unwrap(), bench.content);
    assert_eq!(names(&store).len(), 1);
}

#[test]
fn a_server_without_ranges_sends_everything_again() {
    let bench = Bench::new();
    bench.server.misbehave("blob", Fault::TruncateOnceAt(200_000));
    bench.server.misbehave("blob", Fault::IgnoreRange);
    assert_eq!(bench.add(&bench.request()).unwrap(), bench.content);
    assert_eq!(bench.ranges().len(), 1);
}

/// Whatever it does to who asks for the rest, in the end the bytes are the right ones or there are none.
#[test]
fn a_server_that_lies_about_ranges_yields_no_wrong_bytes() {
    let bench = Bench::new();
    for (fault, ranges) in [
        (Fault::ShiftRange, &["bytes=200000-"][..]),
        (Fault::LieInRange(b'x'), &["bytes=200000-"]),
        (Fault::ShortRange(150_000), &["bytes=200000-", "bytes=350000-", "bytes=500000-"]),
    ] {
        fs::remove_dir_all(bench.store()).ok();
        let before = bench.ranges().len();
        bench.server.behave();
        bench.server.misbehave("blob", Fault::TruncateOnceAt(200_000));
        bench.server.misbehave("blob", fault.clone());
        assert_eq!(bench.add(&bench.request()).unwrap(), bench.content, "{fault:?}");
        assert_eq!(bench.ranges()[before..], *ranges, "{fault:?}");
        assert_eq!(names(&bench.store()).len(), 1);
    }
}

#[test]
fn the_rest_of_another_state_is_not_asked_for() {
    let bench = Bench::new();
    let file = bench.dir.path().join("www/blob");
    let mut before = bench.content.clone();
    before[0] ^= 1;
    fs::write(&file, &before).unwrap();
    bench.server.misbehave("blob", Fault::StallAt(1000));
    bench.error(&bench.request());
    let etag = bench.request().digest.hex() + ".etag";
    assert!(names(&bench.store()).contains(&etag), "the state is kept for later runs");
    bench.server.behave();
    fs::write(&file, &bench.content).unwrap();
    let requests = bench.server.requests().len();
    assert_eq!(bench.add(&bench.request()).unwrap(), bench.content);
    // One answer, the whole: the server saw that the beginning is of another state.
    let last = &bench.server.requests()[requests..];
    assert_eq!(last.len(), 1);
    assert_eq!(last[0].range.as_deref(), Some("bytes=1000-"));
    assert!(last[0].if_range.is_some());
    assert_eq!(names(&bench.store()).len(), 1);
}

#[test]
fn a_busy_server_is_left_alone_as_long_as_it_asks_for() {
    let bench = Bench::new();
    let started = std::time::Instant::now();
    bench.server.misbehave("blob", Fault::Busy { times: 1, status: 503, seconds: 1 });
    bench.server.misbehave("blob", Fault::Busy { times: 1, status: 403, seconds: 1 });
    assert_eq!(bench.add(&bench.request()).unwrap(), bench.content);
    assert!(started.elapsed() >= Duration::from_secs(1));

    fs::remove_dir_all(bench.store()).unwrap();
    bench.server.misbehave("blob", Fault::Busy { times: 1, status: 429, seconds: 3600 });
    let requests = bench.server.requests().len();
    assert_eq!(bench.error(&bench.request()), "failed to open `http://server/blob`");
    assert_eq!(bench.server.requests().len(), requests + 1);
}

#[test]
fn wrong_bytes_leave_nothing_behind() {
    let bench = Bench::new();
    let mut wrong = bench.content.clone();
    wrong[SIZE / 2] ^= 1;
    for (fault, expected) in [
        (
            Fault::Replace(wrong.clone()),
            format!(
                "`http://server/blob` has the wrong content: expected {}, got {}",
                digest(&bench.content),
                digest(&wrong)
            ),
        ),
        (
            Fault::Replace(vec![0; SIZE + 1]),
            format!("`http://server/blob` has more than the expected {SIZE} bytes"),
        ),
        (
            Fault::Replace(vec![0; 5]),
            format!("`http://server/blob` has the wrong size: expected {SIZE} bytes, got 5"),
        ),
        (
            Fault::AnnounceLength(u64::MAX),
            format!("`http://server/blob` has more than the expected {SIZE} bytes"),
        ),
        (Fault::Status(404), "failed to open `http://server/blob`".to_owned()),
        (Fault::ClaimEncoding("gzip"), "failed to open `http://server/blob`".to_owned()),
    ] {
        bench.server.misbehave("blob", fault);
        assert_eq!(bench.error(&bench.request()), expected);
        assert_eq!(names(&bench.store()), Vec::<String>::new(), "{expected}");
        bench.server.behave();
    }
    assert_eq!(bench.add(&bench.request()).unwrap(), bench.content);
}

#[test]
fn a_silent_server_is_given_up_and_what_it_sent_is_kept() {
    let bench = Bench::new();
    bench.server.misbehave("blob", Fault::StallAt(1000));
    let error = bench.error(&bench.request());
    assert_eq!(error, "failed to read `http://server/blob` after 1000 bytes");
    let hex = bench.request().digest.hex();
    let mut left = names(&bench.store());
    left.sort();
    assert_eq!(left, [format!("{hex}.etag"), format!("{hex}.partial")]);
    bench.server.behave();
    assert_eq!(bench.add(&bench.request()).unwrap(), bench.content);
}

#[test]
fn files_are_blobs_too() {
    let bench = Bench::new();
    let url = rnx_spec::SourceUrl::from_path(&bench.dir.path().join("www/blob")).unwrap();
    let at_most = BlobRequest { url, size: SizeBound::AtMost(SIZE as u64), ..bench.request() };
    assert_eq!(bench.add(&at_most).unwrap(), bench.content);
    let small = BlobRequest { size: SizeBound::AtMost(SIZE as u64 - 1), ..at_most };
    fs::remove_dir_all(bench.store()).unwrap();
    assert!(matches!(bench.add(&small), Err(AddBlobError::TooLarge { .. })));
}

#[test]
fn a_token_goes_to_its_origins_alone_and_redirects_do_not_carry_it() {
    let (bench, listed, other) = (Bench::new(), Bench::new(), Bench::new());
    let own: rnx_spec::SourceUrl = bench.server.url("away").parse().unwrap();
    // From the token's own server to another one, and from there to one that may see the token, too.
    bench.server.misbehave("away", Fault::RedirectTo(other.server.url("further?signed=x")));
    other.server.misbehave("further?signed=x", Fault::RedirectTo(listed.server.url("blob")));
    let tokens = [&bench, &listed]
        .map(|bench| OriginToken { origin: bench.server.url(""), token: "secret".to_owned() });
    let options = FetchOptions { tokens: tokens.to_vec(), ..FetchOptions::default() };
    let fetcher = Fetcher::new(&options).unwrap();
    assert_eq!(fetcher.read_all(&own, SIZE as u64).unwrap(), listed.content);
    fetcher.read_all(&other.request().url, SIZE as u64).unwrap();
    let seen = |server: &FileServer| -> Vec<_> {
        server.requests().into_iter().map(|request| request.authorization).collect()
    };
    assert_eq!(seen(&bench.server), [Some("Bearer secret".to_owned())]);
    assert_eq!(seen(&other.server), [None, None]);
    assert_eq!(seen(&listed.server), [Some("Bearer secret".to_owned())]);
    assert!(!format!("{options:?}{fetcher:?}").contains("secret"));
}

#[test]
fn redirects_end() {
    let bench = Bench::new();
    bench.server.misbehave("blob", Fault::RedirectTo(bench.server.url("blob")));
    let fetcher = Fetcher::new(&FetchOptions::default()).unwrap();
    let opened = fetcher.open(&bench.request().url, 0);
    assert_eq!(opened.unwrap_err().to_string(), "the server redirects more than 10 times");
    bench.server.behave();
    bench.server.misbehave("blob", Fault::RedirectTo("ftp://h/x?secret".to_owned()));
    let opened = fetcher.open(&bench.request().url, 0);
    assert_eq!(
        opened.unwrap_err().to_string(),
        "the server redirects to `ftp://h/x`, which is no usable address"
    );
}
