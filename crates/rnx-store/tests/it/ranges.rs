//! Parts of a file that lies in pieces on a server, which may break off or send something else.

use std::ops::Range;
use std::time::Duration;

use rnx_store::fetch::{FetchOptions, Fetcher};
use rnx_store::ranges::{Piece, RangeReader, ReadRangeError};
use test_support::server::{Fault, FileServer};

/// The lengths of the pieces.
const PIECES: [usize; 3] = [1000, 1, 2500];

struct Scene {
    _dir: tempfile::TempDir,
    server: FileServer,
    fetcher: Fetcher,
    whole: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let whole: Vec<u8> = (0..3501_u32).flat_map(u32::to_le_bytes).collect();
        let whole = whole[..PIECES.iter().sum()].to_vec();
        let mut rest = &whole[..];
        for (number, length) in PIECES.into_iter().enumerate() {
            let (piece, after) = rest.split_at(length);
            fs_err::write(dir.path().join(number.to_string()), piece).unwrap();
            rest = after;
        }
        let options =
            FetchOptions { retry_pause: Some(Duration::from_millis(1)), ..FetchOptions::default() };
        let server = FileServer::start(dir.path());
        Self { _dir: dir, server, fetcher: Fetcher::new(&options).unwrap(), whole }
    }

    fn reader(&self) -> RangeReader<'_> {
        let piece = |(number, length): (usize, &usize)| Piece {
            url: self.server.url(&number.to_string()).parse().unwrap(),
            size_bytes: *length as u64,
        };
        RangeReader::new(&self.fetcher, PIECES.iter().enumerate().map(piece).collect::<Vec<_>>())
    }

    /// Reads the stretch in buffers of `step` bytes, as members are read.
    fn read(&self, stretch: Range<usize>, step: usize) -> Result<Vec<u8>, ReadRangeError> {
        let mut reader = self.reader();
        let mut all = Vec::new();
        for from in stretch.clone().step_by(step) {
            let mut buffer = vec![0; step.min(stretch.end - from)];
            reader.read(from as u64..stretch.end as u64, &mut buffer)?;
            all.extend(buffer);
        }
        Ok(all)
    }

    fn ranges(&self) -> Vec<String> {
        let requests = self.server.requests().into_iter();
        requests.map(|r| format!("{} {}", r.path, r.range.unwrap_or_default())).collect()
    }
}

#[test]
fn stretches_are_read_over_the_ends_of_pieces_with_one_request_for_each() {
    let scene = Scene::new();
    for step in [7, 300, 3501] {
        assert_eq!(scene.read(0..3501, step).unwrap(), scene.whole, "{step}");
    }
    let before = scene.server.requests().len();
    assert_eq!(scene.read(990..1500, 10).unwrap(), scene.whole[990..1500]);
    let asked = ["0 bytes=990-999", "1 bytes=0-0", "2 bytes=0-498"];
    assert_eq!(scene.ranges()[before..], asked);
}

#[test]
fn a_stretch_elsewhere_is_asked_for_anew() {
    let scene = Scene::new();
    let mut reader = scene.reader();
    let mut buffer = [0; 10];
    for from in [1100, 100, 1200, 1210] {
        let stretch = from..from + 20;
        reader.read(stretch.start as u64..stretch.end as u64, &mut buffer).unwrap();
        assert_eq!(buffer, scene.whole[from..from + 10], "{from}");
    }
    let end = reader.read(3500..3502, &mut buffer[..2]).unwrap_err();
    assert!(matches!(end, ReadRangeError::End { offset: 3501 }), "{end}");
}

#[test]
fn a_server_that_breaks_off_is_asked_for_the_rest() {
    let scene = Scene::new();
    scene.server.misbehave("2", Fault::TruncateOnceAt(100));
    assert_eq!(scene.read(1001..3501, 500).unwrap(), scene.whole[1001..]);
    assert_eq!(scene.ranges(), ["2 bytes=0-2499", "2 bytes=100-2499"]);
    scene.server.behave();
    scene.server.misbehave("2", Fault::TruncateAt(0));
    let error = scene.read(1001..3501, 500).unwrap_err();
    assert!(matches!(error, ReadRangeError::Read { .. } | ReadRangeError::Open { .. }), "{error}");
    assert_eq!(scene.ranges().len(), 2 + 4, "and not for ever");
}

#[test]
fn a_whole_file_or_another_part_in_answer_is_refused() {
    let scene = Scene::new();
    let error = |fault: Fault| {
        scene.server.misbehave("2", fault);
        let error = scene.read(1101..1200, 99).unwrap_err();
        scene.server.behave();
        error
    };
    let whole = error(Fault::IgnoreRange);
    assert!(matches!(whole, ReadRangeError::NoRanges { .. }), "{whole}");
    let other = error(Fault::ShiftRange);
    assert!(matches!(other, ReadRangeError::Open { .. }), "{other}");
}
