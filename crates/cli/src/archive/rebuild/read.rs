//! The lines of an archive's raw files as stream entries, in the order in which their records came.

use super::super::raw::{Named, hour_of, named};
use embedded::{Problem, RECORD_BYTES_MAX};
use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;
use ports::StreamEntry;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read as _, Seek as _};
use std::path::Path;
use telemetry::Timestamp;
use tokio::sync::mpsc::Sender;

/// A batch ends with the line that reaches either.
const BATCH_LINES_MAX: usize = 1000;
const BATCH_BYTES_MAX: usize = 1 << 20;

/// The partition key of a line without a valid device, which becomes a dead letter in any shard.
const NO_DEVICE: &str = "unknown";

/// Lines that arrived in one hour.
#[derive(Default)]
pub struct Batch {
    /// The hour's end, in milliseconds since the Unix epoch.
    pub arrived_at: i64,
    pub entries: Vec<StreamEntry>,
    /// Bytes of the lines.
    pub bytes: usize,
}

/// What was read.
#[derive(Default)]
pub struct Found {
    pub files: u64,
    pub lines: u64,
    pub problems: Vec<Problem>,
}

/// The batches' receiver is gone, because of a failure of its own.
struct Stopped;

/// The files of `up` by stream, shard and sequence number, so that a device's readings keep their order; then
/// Firehose's, by name.
pub fn sort(keys: &mut [String]) {
    // By name where the second sort, which is stable, finds no difference.
    keys.sort_unstable();
    keys.sort_by_cached_key(|key| place(key).map_or((true, Place::default()), |place| (false, place)));
}

/// The highest shard in the files' names, plus one; `None` where no name has any.
pub fn shards(keys: &[String]) -> Option<u16> {
    keys.iter().filter_map(|key| place(key)).map(|place| place.shard.saturating_add(1)).max()
}

#[derive(Default, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    stream_created_at: u64,
    shard: u16,
    first: u64,
}

fn place(key: &str) -> Option<Place> {
    let Named { shard, first, .. } = named(key)?;
    let (stream, shard) = shard.rsplit_once("-shardId-")?;
    let (_, created) = stream.rsplit_once('-')?;
    Some(Place { stream_created_at: created.parse().ok()?, shard: shard.parse().ok()?, first })
}

/// Reads the files one after the other into batches, until the receiver is gone. Blocking.
pub fn read_files(archive: &Path, keys: &[String], now: Timestamp, bar: &ProgressBar, batches: Sender<Batch>) -> Found {
    let mut reader = Reader { archive, now, batches, batch: Batch::default(), found: Found::default() };
    for key in keys {
        if reader.read_file(key).is_err() {
            return reader.found;
        }
        bar.inc(1);
    }
    // The receiver reports its own failure.
    let _ = reader.flush();
    reader.found
}

struct Reader<'a> {
    archive: &'a Path,
    now: Timestamp,
    batches: Sender<Batch>,
    batch: Batch,
    found: Found,
}

impl Reader<'_> {
    fn read_file(&mut self, key: &str) -> Result<(), Stopped> {
        self.found.files += 1;
        let Some(arrived_at) = hour_of(key).and_then(|hour| arrival(&hour, self.now)) else {
            self.problem(key, "left out: it is not under dt=YYYY-MM-DD/hour=HH, or is no .gz");
            return Ok(());
        };
        if arrived_at != self.batch.arrived_at {
            self.flush()?;
            self.batch.arrived_at = arrived_at;
        }
        let opened = File::open(self.archive.join(key)).and_then(|mut file| {
            let checked = check(&file);
            file.rewind()?;
            Ok((file, checked))
        });
        match opened {
            Err(error) => self.problem(key, format!("left out: it cannot be read: {error}")),
            // Any line may differ from what was written, so none is counted on a guess.
            Ok((_, Err(error))) if error.kind() != ErrorKind::UnexpectedEof => {
                self.problem(key, format!("left out: it is damaged: {error}"));
            }
            // A file that was whole may fail here too, as when the disk fails meanwhile.
            Ok((file, _)) => {
                let before = self.found.lines;
                if let Err(error) = self.read_lines(key, file)? {
                    let lines = self.found.lines - before;
                    self.problem(key, format!("it ends early, and only its first {lines} lines were read: {error}"));
                }
            }
        }
        Ok(())
    }

    /// Every line up to the file's end, or up to where it can't be read and why; a line that is cut there is dropped.
    fn read_lines(&mut self, key: &str, file: File) -> Result<io::Result<()>, Stopped> {
        let mut lines = BufReader::with_capacity(1 << 16, MultiGzDecoder::new(BufReader::new(file)));
        let mut line = Vec::new();
        let mut number = 0;
        loop {
            line.clear();
            // Bounds memory, whatever the file is.
            let limit = RECORD_BYTES_MAX as u64 + 1;
            match lines.by_ref().take(limit).read_until(b'\n', &mut line) {
                Ok(0) => return Ok(Ok(())),
                Ok(_) => number += 1,
                Err(error) => return Ok(Err(error)),
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            } else if line.len() > RECORD_BYTES_MAX {
                if let Err(error) = skip_line(&mut lines) {
                    return Ok(Err(error));
                }
            } else {
                self.problem(key, format!("its last line, {number}, does not end"));
            }
            let partition_key = partition_key(&line);
            if line.len() + partition_key.len() > RECORD_BYTES_MAX {
                self.problem(key, format!("line {number} was left out: it is longer than a record may be"));
                continue;
            }
            self.found.lines += 1;
            self.batch.bytes += line.len();
            self.batch.entries.push(StreamEntry::new(partition_key, line.clone()));
            if self.batch.bytes >= BATCH_BYTES_MAX || self.batch.entries.len() >= BATCH_LINES_MAX {
                self.flush()?;
            }
        }
    }

    fn flush(&mut self) -> Result<(), Stopped> {
        if self.batch.entries.is_empty() {
            return Ok(());
        }
        let next = Batch { arrived_at: self.batch.arrived_at, ..Batch::default() };
        self.batches.blocking_send(std::mem::replace(&mut self.batch, next)).map_err(|_| Stopped)
    }

    fn problem(&mut self, key: &str, problem: impl Into<String>) {
        self.found.problems.push(Problem { file: key.to_owned(), problem: problem.into() });
    }
}

/// Checks that a file is whole. Its checksum comes after its lines, so this is done before any line is used.
fn check(file: &File) -> io::Result<()> {
    let mut compressed = BufReader::new(file);
    if compressed.fill_buf()?.is_empty() {
        return Err(io::Error::new(ErrorKind::UnexpectedEof, "the file is empty"));
    }
    io::copy(&mut MultiGzDecoder::new(compressed), &mut io::sink()).map(|_| ())
}

fn skip_line(lines: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffered = lines.fill_buf()?;
        let end = buffered.iter().position(|byte| *byte == b'\n');
        let (length, ended) = (end.map_or(buffered.len(), |at| at + 1), end.is_some() || buffered.is_empty());
        lines.consume(length);
        if ended {
            return Ok(());
        }
    }
}

/// The device, as in the gateway.
fn partition_key(line: &[u8]) -> String {
    let decoded = telemetry::decode_record(line).into_iter().next();
    let device_id = decoded.and_then(|decoded| match decoded.outcome {
        Ok(reading) => Some(reading.device_id),
        Err(rejection) => rejection.device_id,
    });
    device_id.map_or_else(|| NO_DEVICE.to_owned(), |device_id| device_id.as_str().to_owned())
}

/// The latest moment at which a record of an hour, `YYYY-MM-DDTHH`, can have arrived: no timestamp is then further ahead
/// of its arrival than it was.
fn arrival(hour: &str, now: Timestamp) -> Option<i64> {
    let end = Timestamp::parse(&format!("{hour}:59:59.999Z")).ok()?;
    let start = Timestamp::parse(&format!("{hour}:00:00Z")).ok()?;
    Some(if (start..=end).contains(&now) { now } else { end }.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(hour: &str, created: u64, shard: u16, first: u64, last: u64) -> String {
        format!("raw/dt=2026-01-31/hour={hour}/my-stream-{created}-shardId-{shard:012}-{first:020}-{last:020}.gz")
    }

    #[test]
    fn files_come_in_the_order_of_their_records() {
        let second_epoch = 1 << 44;
        let firehose = "raw/dt=2026-01-30/hour=07/raw-1-2026-01-30-07-00-00-0f4c1e1e.gz".to_owned();
        let sorted = [
            ours("09", 5, 0, 1, 8),
            // The clock was set back after it.
            ours("08", 5, 0, 9, 9),
            ours("10", 5, 0, second_epoch + 10, second_epoch + 11),
            ours("07", 5, 1, 1, 2),
            // A later stream, whose number is smaller as a text.
            ours("07", 10, 0, 1, 2),
            firehose.clone(),
        ];
        let mut keys = sorted.clone();
        keys.reverse();
        sort(&mut keys);
        assert_eq!(keys, sorted);
        assert_eq!((shards(&keys), shards(&[firehose])), (Some(2), None));
    }

    #[test]
    fn a_record_arrived_at_the_end_of_its_hour_or_now() {
        let at = |text| Timestamp::parse(text).unwrap();
        let arrival = |now| Timestamp::from_millisecond(arrival("2026-01-31T07", at(now)).unwrap()).unwrap();
        assert_eq!(arrival("2026-02-01T00:00:00Z"), at("2026-01-31T07:59:59.999Z"));
        assert_eq!(arrival("2026-01-31T07:30:00Z"), at("2026-01-31T07:30:00Z"));
        // A file of the future: a clock that was wrong is not corrected.
        assert_eq!(arrival("2025-01-31T07:30:00Z"), at("2026-01-31T07:59:59.999Z"));
    }

    #[test]
    fn a_line_is_put_under_its_device() {
        let reading = |device: &str, value: &str| {
            format!("{{\"device_id\":{device},\"timestamp\":\"2026-01-01T00:00:00Z\",\"value\":{value}}}")
        };
        assert_eq!(partition_key(reading("\"a\"", "1").as_bytes()), "a");
        assert_eq!(partition_key(reading("\"a\"", "true").as_bytes()), "a");
        assert_eq!(partition_key(reading("7", "1").as_bytes()), NO_DEVICE);
        assert_eq!(partition_key(b"no JSON"), NO_DEVICE);
        assert_eq!(partition_key(b""), NO_DEVICE);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_to_its_end() {
        let mut lines = BufReader::with_capacity(4, &b"0123456789\nnext\n"[..]);
        skip_line(&mut lines).unwrap();
        let mut next = String::new();
        lines.read_line(&mut next).unwrap();
        assert_eq!(next, "next\n");
        assert!(skip_line(&mut lines).is_ok(), "the end of the file ends a line too");
    }
}
