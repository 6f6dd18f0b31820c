//! Records out of the archive, where the stream has them no more.

use crate::hash::hash;
use crate::queue::QueueError;
use crate::whole_record::wrong_places;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use ports::{Archive, ArchiveError, DeadLetter, StreamEntry};
use std::collections::HashSet;
use std::io::Read as _;
use std::time::Duration;
use telemetry::{Timestamp, decode_record, reading_payloads, reading_payloads_at};

/// Firehose names an object by the arrival of its oldest record, and keeps it open for at most so long.
const BUFFERING_MAX: Duration = Duration::from_secs(900);
const HOUR_NANOSECONDS: i128 = 3_600_000_000_000;
/// Keys listed at once.
const KEYS_MAX: usize = 1000;
/// The most bytes of the archive that are read for one letter. What holds more is for a rebuild of the statistics.
const BYTES_MAX: usize = 256 << 20;

/// What the archive holds of a time.
#[derive(Debug, Default)]
pub(crate) struct Archived {
    /// The records, each under the device of its first reading.
    pub records: Vec<StreamEntry>,
    /// How many lines there were, those that are dead letters already among them.
    pub lines: u64,
}

/// The hours of the archive that hold what arrived from `first` to `last`, as the prefixes of their objects.
pub(crate) fn hours(first: Timestamp, last: Timestamp) -> Vec<String> {
    let hour = |at: i128| at.div_euclid(HOUR_NANOSECONDS);
    let first = hour(first.as_nanosecond() - BUFFERING_MAX.as_nanos() as i128);
    let instants =
        (first..=hour(last.as_nanosecond())).filter_map(|hour| Timestamp::from_nanosecond(hour * HOUR_NANOSECONDS));
    instants.map(|hour| format!("raw/dt={}/hour={:02}/", hour.utc_date(), hour.utc_hour())).collect()
}

/// Every record that the archive holds of the hours from `first` to `last`, but for what is a dead letter already.
pub(crate) async fn archived_records<A: Archive>(
    archive: &A,
    first: Timestamp,
    last: Timestamp,
) -> Result<Archived, QueueError> {
    let known = known_payloads(archive, first, last).await?;
    let mut archived = Archived::default();
    let mut bytes = 0;
    for prefix in hours(first, last) {
        for key in keys(archive, &prefix, "").await? {
            let Some(object) = archive.get(&key).await.map_err(unavailable)? else { continue };
            let text = unpacked(&object, BYTES_MAX - bytes).map_err(|error| damaged(&key, &error))?;
            bytes += text.len();
            if bytes >= BYTES_MAX {
                return Err(damaged(&prefix, &"holds too much to look through for one letter".to_owned()));
            }
            for line in text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
                archived.lines += 1;
                archived.records.extend(entries(line, &known));
            }
        }
    }
    Ok(archived)
}

/// The line as it is or, where a reading of it is a dead letter already, the others by themselves.
fn entries(line: &[u8], known: &HashSet<String>) -> Vec<StreamEntry> {
    let decoded = decode_record(line);
    let payloads = reading_payloads(line);
    let device = decoded.iter().find_map(|decoded| decoded.outcome.as_ref().ok().map(|reading| &reading.device_id));
    // What names no device is sent all the same, so that it becomes a dead letter: it may never have been one.
    let partition_key = device.map_or_else(|| "archive".to_owned(), |device| device.as_str().to_owned());
    let is_known = |payload: &Vec<u8>| known.contains(&hash(payload));
    if !payloads.iter().any(is_known) {
        return vec![StreamEntry::new(partition_key, line.to_vec())];
    }
    let rest = payloads.into_iter().filter(|payload| !is_known(payload));
    rest.map(|data| StreamEntry::new(partition_key.clone(), data)).collect()
}

/// Hashes of the payloads that are dead letters of these days: sent again they would only become other ones.
async fn known_payloads<A: Archive>(
    archive: &A,
    first: Timestamp,
    last: Timestamp,
) -> Result<HashSet<String>, QueueError> {
    let mut known = HashSet::new();
    let mut days: Vec<String> =
        hours(first, last).iter().filter_map(|hour| Some(hour.split('/').nth(1)?.to_owned())).collect();
    days.dedup();
    for day in days {
        for key in keys(archive, &format!("dead-letters/{day}/"), "").await? {
            let Some(object) = archive.get(&key).await.map_err(unavailable)? else { continue };
            let letters =
                object.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<DeadLetter>(line).ok());
            letters.for_each(|letter| known.extend(payload_hashes(&letter)));
        }
    }
    Ok(known)
}

/// Of a whole record's letter nothing says which readings it holds for: those that break a rule come back for certain.
fn payload_hashes(letter: &DeadLetter) -> Vec<String> {
    let Ok(payload) = STANDARD.decode(&letter.payload_base64) else { return Vec::new() };
    if letter.readings_by_reason.is_none() {
        return vec![hash(&payload)];
    }
    let wrong = wrong_places(&payload);
    reading_payloads_at(&payload, |place| wrong.contains(&place)).iter().map(|payload| hash(payload)).collect()
}

/// Every key under a prefix that comes after `from` there.
pub(crate) async fn keys<A: Archive>(archive: &A, prefix: &str, from: &str) -> Result<Vec<String>, QueueError> {
    let (mut keys, mut after) = (Vec::new(), format!("{prefix}{from}"));
    loop {
        let page = archive.list(prefix, Some(&after), KEYS_MAX).await.map_err(unavailable)?;
        let is_last = page.len() < KEYS_MAX;
        after = page.last().cloned().unwrap_or(after);
        keys.extend(page);
        if is_last {
            return Ok(keys);
        }
    }
}

/// An object's text, which may be several gzip members, or, as an emulator leaves it, no gzip at all.
fn unpacked(object: &[u8], bytes_max: usize) -> std::io::Result<Vec<u8>> {
    if !object.starts_with(&[0x1f, 0x8b]) {
        return Ok(object.to_vec());
    }
    let mut text = Vec::new();
    MultiGzDecoder::new(object).take(bytes_max as u64).read_to_end(&mut text)?;
    Ok(text)
}

pub(crate) fn unavailable(error: ArchiveError) -> QueueError {
    QueueError::Unavailable(Box::new(error))
}

fn damaged(key: &str, error: &dyn std::fmt::Display) -> QueueError {
    QueueError::Unavailable(format!("the archive's {key} cannot be read: {error}").into())
}
