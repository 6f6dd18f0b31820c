//! The raw archive: gzip files of one JSON document a line.

use super::report::Report;
use super::{day_of, keys};
use anyhow::Result;
use embedded::{archived_through, counter_of, epoch_of, next_sequence};
use flate2::bufread::MultiGzDecoder;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

/// Bytes of a line. The largest record of Kinesis has 10 MiB, but a damaged file may unpack to anything.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Which records of a shard a file of ours holds; Firehose's names do not say.
pub struct Named<'a> {
    /// Stream, creation and shard.
    pub shard: &'a str,
    pub first: u64,
    pub last: u64,
}

impl Named<'_> {
    /// How many records the file has at least. Over a step to another epoch the numbers don't say how many exactly.
    fn records_min(&self) -> u64 {
        if epoch_of(self.first) == epoch_of(self.last) { self.last - self.first + 1 } else { 1 + counter_of(self.last) }
    }
}

/// The first sequence number that must follow `last`, for `next` to follow it without a gap.
fn expected_after(last: u64, next: u64) -> u64 {
    next_sequence(last, epoch_of(next))
}

/// What was read of a file.
#[derive(Default)]
struct Content {
    lines: u64,
    not_json: u64,
    bytes: u64,
    ends_in_the_middle: bool,
}

/// Reads every file, and looks whether a shard's files follow each other without a gap.
pub fn verify(archive: &Path, report: &mut Report) -> Result<()> {
    // Before the files are listed: a running `up` writes the file first, then the mark.
    let marked = archived_through(archive);
    let keys = keys(archive, "raw")?;
    let mut of_shards: BTreeMap<&str, Vec<(u64, u64, &str)>> = BTreeMap::new();
    for key in &keys {
        verify_file(archive, key, report);
        if let Some(Named { shard, first, last }) = named(key) {
            of_shards.entry(shard).or_default().push((first, last, key));
        }
    }
    for (shard, last) in marked {
        let files = of_shards.iter().filter(|(name, _)| name.ends_with(&shard)).flat_map(|(_, files)| files);
        let found = files.map(|(_, last, _)| *last).max().unwrap_or_default();
        if found < last {
            let first = expected_after(found, last);
            report.problem("raw", format!("records {first} to {last} of …{shard}, its newest, are in no file"));
        }
    }
    for files in of_shards.values_mut() {
        files.sort_unstable();
        for pair in files.windows(2) {
            let ((_, last, before), (first, _, key)) = (pair[0], pair[1]);
            let expected = expected_after(last, first);
            if first > expected {
                let missing = format!("records {expected} to {} of its shard, before it, are in no file", first - 1);
                report.problem(key, missing);
            } else if first <= last {
                report.problem(key, format!("it holds records that {before} holds too"));
            }
        }
    }
    Ok(())
}

fn verify_file(archive: &Path, key: &str, report: &mut Report) {
    let Some(hour) = hour_of(key) else {
        return report.problem(key, "it is not under dt=YYYY-MM-DD/hour=HH, or is no .gz");
    };
    // What can be read of it counts, up to where it cannot.
    let mut content = Content::default();
    let read = File::open(archive.join(key)).and_then(|file| read(file, &mut content));
    let entry = report.hours.entry(hour).or_default();
    entry.files += 1;
    entry.lines += content.lines;
    entry.not_json += content.not_json;
    entry.bytes += content.bytes;
    if let Err(error) = read {
        return report.problem(key, format!("it cannot be read to its end: {error}"));
    }
    if content.ends_in_the_middle {
        report.problem(key, "its last line does not end");
    }
    let Some(named) = named(key) else { return };
    // An aggregate of the KPL is several lines, any other record is one.
    let records = named.records_min();
    if content.lines < records {
        report.problem(key, format!("it has {} lines for {records} records", content.lines));
    }
}

/// Firehose and `cat` put several members of gzip into a file.
fn read(file: File, content: &mut Content) -> io::Result<()> {
    let mut compressed = BufReader::new(file);
    if compressed.fill_buf()?.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is empty"));
    }
    let mut lines = BufReader::with_capacity(1 << 16, MultiGzDecoder::new(compressed));
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(());
        }
        if length as u64 == LINE_BYTES_MAX && !line.ends_with(b"\n") {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is longer than 16 MiB"));
        }
        content.lines += 1;
        content.bytes += length as u64;
        content.ends_in_the_middle = !line.ends_with(b"\n");
        content.not_json += u64::from(serde_json::from_slice::<IgnoredAny>(&line).is_err());
    }
}

/// `YYYY-MM-DDTHH` of `raw/dt=YYYY-MM-DD/hour=HH/….gz`.
pub fn hour_of(key: &str) -> Option<String> {
    let mut segments = key.strip_prefix("raw/")?.split('/');
    let day = day_of(segments.next()?)?;
    let hour = segments.next()?.strip_prefix("hour=")?;
    let name = segments.next()?;
    let is_hour = hour.len() == 2 && hour.parse::<u8>().is_ok_and(|hour| hour < 24);
    (is_hour && name.ends_with(".gz") && segments.next().is_none()).then(|| format!("{day}T{hour}"))
}

/// `STREAM-CREATED-SHARD-FIRST-LAST.gz`, the two with twenty digits each.
pub fn named(key: &str) -> Option<Named<'_>> {
    let name = key.rsplit('/').next()?.strip_suffix(".gz")?;
    let (rest, last) = name.rsplit_once('-')?;
    let (shard, first) = rest.rsplit_once('-')?;
    if !shard.contains("-shardId-") || first.len() != 20 || last.len() != 20 {
        return None;
    }
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some(Named { shard, first, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_of_the_hour_that_its_folders_say() {
        assert_eq!(hour_of("raw/dt=2026-01-31/hour=07/a.gz").as_deref(), Some("2026-01-31T07"));
        for key in [
            "raw/a.gz",
            "raw/dt=2026-01-31/a.gz",
            "raw/dt=2026-02-30/hour=07/a.gz",
            "raw/dt=2026-01-31/hour=24/a.gz",
            "raw/dt=2026-01-31/hour=7/a.gz",
            "raw/dt=2026-01-31/hour=07/a.json",
            "raw/dt=2026-01-31/hour=07/b/a.gz",
        ] {
            assert_eq!(hour_of(key), None, "{key}");
        }
    }

    #[test]
    fn a_higher_epoch_counts_from_1_and_leaves_no_gap() {
        let in_epoch = |epoch: u64, counter: u64| next_sequence(0, epoch) - 1 + counter;
        let is_gap = |last, next| next > expected_after(last, next);
        assert!(!is_gap(5, 6) && is_gap(5, 7));
        assert!(!is_gap(5, in_epoch(1, 1)) && !is_gap(in_epoch(1, 9), in_epoch(4, 1)));
        assert!(is_gap(5, in_epoch(1, 2)) && is_gap(in_epoch(1, 9), in_epoch(1, 11)));
        let records = |first, last| Named { shard: "", first, last }.records_min();
        assert_eq!(records(5, 9), 5);
        assert_eq!(records(in_epoch(2, 5), in_epoch(2, 9)), 5);
        assert_eq!(records(5, in_epoch(1, 3)), 4, "at least one of the first epoch, and three of the next");
        // A name may have any number.
        assert_eq!((records(u64::MAX, u64::MAX), expected_after(u64::MAX, 1)), (1, u64::MAX));
    }

    #[test]
    fn a_name_of_ours_says_which_records_the_file_holds_and_firehoses_does_not() {
        let ours = "raw/dt=2026-01-31/hour=07/my-stream-1769860800000-shardId-000000000003-00000000000000000005-00000000000000000009.gz";
        let named_file = named(ours).expect("one of ours");
        assert_eq!((named_file.first, named_file.last), (5, 9));
        assert_eq!(named_file.shard, "my-stream-1769860800000-shardId-000000000003");
        let firehose = "raw/dt=2026-01-31/hour=07/raw-1-2026-01-31-07-00-00-0f4c1e1e-0000-4000-8000-000000000000.gz";
        assert!(named(firehose).is_none());
    }
}
