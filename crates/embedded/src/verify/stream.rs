//! The rows of `stream.redb`.

use super::{FileReport, each_row};
use crate::record;
use crate::shards::{ARCHIVE_CURSORS, Head, META, RECORDS, SHARDS, shard_id, shard_number, shard_of};
use crate::storage::{STATISTICS_FILE, STREAM_FILE};
use ports::ShardId;
use redb::ReadTransaction;
use std::collections::BTreeMap;

/// Shard's name -> the sequence number of its checkpoint, and the shard's readings up to it.
pub(super) type Checkpoints = BTreeMap<String, (u64, u64)>;

/// What is known of one shard.
#[derive(Default)]
struct ShardRows {
    head: Option<Head>,
    /// Of its records: the newest one's sequence number, and readings and bytes up to it.
    newest: Option<(u64, u64, u64)>,
    checkpoint: Option<(u64, u64)>,
    archived: Option<(u64, u64)>,
}

/// How many shards there are; 0 where the file doesn't say.
pub(super) fn check(transaction: &ReadTransaction, report: &mut FileReport, checkpoints: Option<&Checkpoints>) -> u16 {
    let Some(shards) = check_meta(transaction, report) else { return 0 };
    let mut rows: BTreeMap<u16, ShardRows> = BTreeMap::new();
    for (name, checkpoint) in checkpoints.into_iter().flatten() {
        match shard_number(&ShardId(name.clone()), shards) {
            Some(shard) => rows.entry(shard).or_default().checkpoint = Some(*checkpoint),
            None => report
                .problem_of(STATISTICS_FILE.to_owned(), format!("a checkpoint is of `{name}`, no shard of {shards}")),
        }
    }
    each_row(transaction, SHARDS, report, |shard, head, report| {
        if shard >= shards {
            report.problem(format!("shard {shard}: the stream has {shards} shards"));
        }
        let head = Head::from_row(head);
        if head.trimmed_sequence > head.sequence || head.trimmed_readings > head.readings {
            report.problem(format!("{}: more records were deleted than were put", shard_id(shard)));
        }
        report.totals.accepted = report.totals.accepted.saturating_add(head.readings);
        rows.entry(shard).or_default().head = Some(head);
        Ok(())
    });
    each_row(transaction, ARCHIVE_CURSORS, report, |shard, cursor, _| {
        rows.entry(shard).or_default().archived = Some(cursor);
        Ok(())
    });
    each_row(transaction, RECORDS, report, |(shard, sequence), stored, report| {
        check_record(shards, shard, sequence, stored, rows.entry(shard).or_default(), report);
        Ok(())
    });
    for (shard, rows) in &rows {
        check_ends(*shard, rows, report);
    }
    shards
}

/// The number of shards.
fn check_meta(transaction: &ReadTransaction, report: &mut FileReport) -> Option<u16> {
    let mut meta = BTreeMap::new();
    each_row(transaction, META, report, |name, number, _| {
        meta.insert(name.to_owned(), number);
        Ok(())
    });
    let known = super::check_version(meta.get("version").copied(), report);
    let shards = meta.get("shards").and_then(|shards| u16::try_from(*shards).ok()).filter(|shards| *shards > 0);
    if known && (shards.is_none() || !meta.contains_key("created_at")) {
        report.problem("it doesn't say how many shards it has, or when it was created");
    }
    shards.filter(|_| known)
}

/// A record says how many readings and bytes its shard has had with it, and its key says which shard it belongs to.
fn check_record(shards: u16, shard: u16, sequence: u64, stored: &[u8], rows: &mut ShardRows, report: &mut FileReport) {
    let mut problem = |what: &str| report.problem(format!("record {sequence} of {}: {what}", shard_id(shard)));
    let record = match record::decode(stored) {
        Ok(record) => record,
        Err(_) => return problem("it doesn't decode"),
    };
    let header = record.header;
    if shard >= shards || shard_of(record.partition_key, shards) != shard {
        problem("its partition key is of another shard");
    }
    // Of the first kept record the bytes before it are unknown.
    let head = rows.head.unwrap_or_default();
    let (readings_before, bytes_before) = match rows.newest {
        Some((_, readings, bytes)) => (readings, Some(bytes)),
        None => (head.trimmed_readings, (head.trimmed_sequence == 0).then_some(0)),
    };
    let readings = readings_before.checked_add(telemetry::count_readings(record.data));
    let bytes = bytes_before.map(|before| before.saturating_add(record.data.len() as u64));
    if readings != Some(header.readings) || bytes.is_some_and(|bytes| bytes != header.bytes) {
        problem("its running totals don't follow from the record before it");
    }
    if sequence <= head.trimmed_sequence {
        problem("it was deleted");
    }
    if rows.checkpoint.is_some_and(|(at, readings)| at == sequence && readings != header.readings) {
        problem("the checkpoint on it has another number of readings");
    }
    if rows.archived.is_some_and(|(at, bytes)| at == sequence && bytes != header.bytes) {
        problem("the archive's place on it has another number of bytes");
    }
    rows.newest = Some((sequence, header.readings, header.bytes));
}

/// The newest record is the shard's head, and nothing is ahead of it.
fn check_ends(shard: u16, rows: &ShardRows, report: &mut FileReport) {
    let name = shard_id(shard);
    let head = rows.head.unwrap_or_default();
    match rows.newest {
        Some((sequence, readings, bytes))
            if sequence > head.sequence || readings != head.readings || bytes != head.bytes =>
        {
            report.problem(format!("{name}: its newest record is {sequence}, but it should be {}", head.sequence));
        }
        Some(_) => {}
        None if head.readings != head.trimmed_readings => {
            report.problem(format!("{name}: its records up to {} are missing", head.sequence));
        }
        None => {}
    }
    if let Some((sequence, bytes)) = rows.archived
        && (sequence > head.sequence || bytes > head.bytes || sequence < head.trimmed_sequence)
    {
        report.problem(format!("{name}: it is archived up to {sequence}, which is none of its records"));
    }
    // Records are deleted behind the checkpoint only; one at 0 begins again with what is left.
    if let Some((sequence, readings)) = rows.checkpoint
        && (sequence > head.sequence || readings > head.readings || (1..head.trimmed_sequence).contains(&sequence))
    {
        let problem = format!(
            "{name}: its checkpoint is {sequence}, but {} has records {} to {}: one of the two files is older",
            STREAM_FILE,
            head.trimmed_sequence + 1,
            head.sequence
        );
        report.problem_of(STATISTICS_FILE.to_owned(), problem);
    }
}
