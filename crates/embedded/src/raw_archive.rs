//! The raw archive: every record's data, as it is, in gzip files by the hour of arrival.
//!
//! An object holds successive records of one shard, and its name says which:
//! `raw/dt=2026-01-31/hour=13/STREAM-CREATED-SHARD-FIRST-LAST.gz`, CREATED being the stream's creation in milliseconds.
//! FIRST and LAST are sequence numbers of one epoch, and no epoch gives a number twice ([`crate::binding`]). First the
//! object is durable, then the shard's cursor: where a name says that an object has a record, only the cursor has to move.

use crate::StorageFailure;
use crate::archive::FileArchive;
use crate::marks::mark_text;
use crate::record::{self, instant};
use crate::shards::{Head, RECORDS, SHARDS, archive_cursor, epoch_of, shard_id};
use crate::stream::StreamParts;
use crate::stream_journal::{StreamOperation, read_heads};
use flate2::Compression;
use flate2::write::GzEncoder;
use ports::{ArchiveError, ArchiveFolder as _};
use redb::ReadTransaction;
use std::io::{BufWriter, Write};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

const HOUR_MILLISECONDS: i64 = 3_600_000;
/// One read of the database takes records of about this many bytes.
const CHUNK_BYTES_MAX: usize = 1 << 20;
/// While records wait, look again this soon whether they have become enough.
const CALL_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// When an object is complete. The end of an hour completes one too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Bytes of records, before compression; an object ends with the record that reaches it.
    pub max_bytes: u64,
    /// The age of an object's first record.
    pub max_age: Duration,
}

impl Default for ArchiveLimits {
    /// 5 MiB or 60 s.
    fn default() -> Self {
        ArchiveLimits { max_bytes: 5 << 20, max_age: Duration::from_secs(60) }
    }
}

/// What one call has archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveRun {
    /// Objects written.
    pub objects: u64,
    /// Records in them.
    pub records: u64,
    /// How long to wait before the next call.
    pub next_call_in: Duration,
}

/// The next object of a shard, or when there will be one.
enum Next {
    /// Nothing waits.
    Idle,
    /// The records that wait are not due for this many milliseconds.
    DueIn(i64),
    /// Everything from `first` on is due, as far as one hour and one object go.
    Due { first: u64, arrived_at: i64 },
}

/// Archives what is due, or with `flush` everything that waits.
pub(crate) async fn archive_raw(
    stream: &Arc<StreamParts>,
    archive: &FileArchive,
    limits: ArchiveLimits,
    flush: bool,
) -> Result<ArchiveRun, StorageFailure> {
    let mut run = ArchiveRun { objects: 0, records: 0, next_call_in: limits.max_age };
    let shards = stream.shards;
    // What arrives while this runs is the next call's, or a flush might never end.
    let heads = stream.database.read(|transaction| read_heads(transaction, shards.into()))?;
    for (shard, head) in heads.into_iter().enumerate() {
        // There are at most 65,535 shards.
        let shard = shard as u16;
        loop {
            let now = stream.clock.now().as_millisecond();
            let next = stream.database.read(|transaction| next(transaction, shard, head, limits, now, flush))?;
            let (first, arrived_at) = match next {
                Next::Due { first, arrived_at } => (first, arrived_at),
                Next::DueIn(milliseconds) => {
                    let due = Duration::from_millis(milliseconds.try_into().unwrap_or_default());
                    run.next_call_in = run.next_call_in.min(due).min(CALL_INTERVAL_MAX);
                    break;
                }
                Next::Idle => break,
            };
            let object = Object { shard, first, through: head.sequence, arrived_at };
            let written = write_object(stream, archive, object, limits.max_bytes).await?;
            stream.writer.write(StreamOperation::Archived { shard, sequence: written.last }, 64).await?;
            run.objects += 1;
            run.records += written.records;
        }
    }
    Ok(run)
}

fn next(
    transaction: &ReadTransaction,
    shard: u16,
    head: Head,
    limits: ArchiveLimits,
    now: i64,
    flush: bool,
) -> Result<Next, StorageFailure> {
    let (archived, archived_bytes) = archive_cursor(transaction, shard)?;
    if archived >= head.sequence {
        // Records that came since the heads were read are looked at soon enough.
        let newest = transaction.open_table(SHARDS)?.get(shard)?.map_or(0, |row| Head::from_row(row.value()).sequence);
        return Ok(if newest > archived { Next::DueIn(HOUR_MILLISECONDS) } else { Next::Idle });
    }
    let records = transaction.open_table(RECORDS)?;
    let stored = records.range((shard, archived + 1)..=(shard, head.sequence))?.next().transpose()?;
    let missing = || StorageFailure::Corrupt(format!("records after {archived} of shard {shard} are missing"));
    let (key, value) = stored.ok_or_else(missing)?;
    let first = key.value().1;
    let arrived_at = record::decode(value.value())?.header.arrived_at;
    let max_age = i64::try_from(limits.max_age.as_millis()).unwrap_or(i64::MAX);
    let hour_ends = (arrived_at.div_euclid(HOUR_MILLISECONDS) + 1).saturating_mul(HOUR_MILLISECONDS);
    let due_at = arrived_at.saturating_add(max_age).min(hour_ends);
    // A record dated ahead of the clock is due at once: the clock was set back, and would take long to reach it.
    let ahead = arrived_at > now.saturating_add(max_age);
    if flush || ahead || due_at <= now || head.bytes.saturating_sub(archived_bytes) >= limits.max_bytes {
        return Ok(Next::Due { first, arrived_at });
    }
    Ok(Next::DueIn(due_at - now))
}

/// What is to be written: records of one epoch from `first` on, at most through `through`, of the hour of `arrived_at`.
#[derive(Clone, Copy)]
struct Object {
    shard: u16,
    first: u64,
    through: u64,
    arrived_at: i64,
}

/// Which records an object has.
struct Written {
    last: u64,
    records: u64,
}

/// Writes the object, unless an earlier run has.
async fn write_object(
    stream: &Arc<StreamParts>,
    archive: &FileArchive,
    object: Object,
    max_bytes: u64,
) -> Result<Written, StorageFailure> {
    let (stream, archive) = (Arc::clone(stream), archive.clone());
    // The guard goes with the work: should the caller give up waiting, the next call still waits for this object to be
    // written, and then finds it.
    let guard = Arc::clone(&stream.archiving).lock_owned().await;
    let write = move || {
        let _guard = guard;
        write_blocking(&stream, &archive, object, max_bytes)
    };
    tokio::task::spawn_blocking(write).await.unwrap_or(Err(StorageFailure::Unanswered))
}

fn write_blocking(
    stream: &StreamParts,
    archive: &FileArchive,
    object: Object,
    max_bytes: u64,
) -> Result<Written, StorageFailure> {
    let Object { shard, first, arrived_at, .. } = object;
    let arrived = instant(arrived_at);
    let (name, created_at, shard_id) = (&stream.name, stream.created_at, shard_id(shard));
    let base = format!("raw/dt={}/hour={:02}/{name}-{created_at}-{shard_id}-", arrived.utc_date(), arrived.utc_hour());
    // A crash came before the cursor's transaction, or the stream was restored. No epoch gives a number twice, so the
    // object has the same records.
    if let Some((key, last)) = written_before(archive.list_blocking(&base, None, usize::MAX)?, &base, first) {
        // The run that wrote it may have been killed before its name was durable.
        archive.sync(&key)?;
        note_archived(stream, archive, shard, last)?;
        return stream.database.read(|transaction| kept_through(transaction, object, last));
    }
    let mut unnamed = archive.begin()?;
    let mut encoder = GzEncoder::new(BufWriter::new(&mut unnamed.file), Compression::fast());
    let mut bytes = 0;
    let mut written = Written { last: first - 1, records: 0 };
    loop {
        let chunk = stream.database.read(|transaction| {
            read_chunk(transaction, Object { first: written.last + 1, ..object }, max_bytes.saturating_sub(bytes))
        })?;
        encoder.write_all(&chunk.lines)?;
        bytes += chunk.lines.len() as u64;
        written = Written { last: chunk.last, records: written.records + chunk.records };
        if chunk.ended {
            break;
        }
    }
    encoder.finish()?.into_inner().map_err(|error| error.into_error())?;
    let last = written.last;
    unnamed.publish(&format!("{base}{first:020}-{last:020}.gz")).map_err(|error| match error {
        ArchiveError::Unavailable(source) => match source.downcast::<StorageFailure>() {
            Ok(failure) => *failure,
            Err(other) => std::io::Error::other(other).into(),
        },
        invalid @ ArchiveError::InvalidKey(_) => std::io::Error::other(invalid).into(),
    })?;
    note_archived(stream, archive, shard, last)?;
    Ok(written)
}

/// Notes in the archive's mark how far it goes, before the shard's cursor moves: a stream that is restored without its
/// archive, or an archive without its stream, is known by it.
fn note_archived(stream: &StreamParts, archive: &FileArchive, shard: u16, last: u64) -> std::io::Result<()> {
    // It is only ever assigned whole.
    let mut archived = stream.archived.lock().unwrap_or_else(PoisonError::into_inner);
    if archived.last.get(&shard).is_some_and(|noted| *noted >= last) {
        return Ok(());
    }
    let mut noted = archived.clone();
    noted.last.insert(shard, last);
    archive.write_mark(mark_text(&noted).as_bytes())?;
    *archived = noted;
    Ok(())
}

/// The object that has record `first`, and its last record, by the names `BASEFIRST-LAST.gz`.
fn written_before(keys: Vec<String>, base: &str, first: u64) -> Option<(String, u64)> {
    keys.into_iter().find_map(|key| {
        let (from, last) = key.strip_prefix(base)?.strip_suffix(".gz")?.split_once('-')?;
        let (from, last) = (from.parse().ok()?, last.parse().ok()?);
        (from..=last).contains(&first).then_some((key, last))
    })
}

/// Those of the records through `last` that the stream has.
fn kept_through(transaction: &ReadTransaction, object: Object, last: u64) -> Result<Written, StorageFailure> {
    let through = last.min(object.through);
    let mut written = Written { last: object.first, records: 0 };
    for stored in transaction.open_table(RECORDS)?.range((object.shard, object.first)..=(object.shard, through))? {
        written = Written { last: stored?.0.value().1, records: written.records + 1 };
    }
    Ok(written)
}

struct Chunk {
    lines: Vec<u8>,
    last: u64,
    records: u64,
    /// The object is complete with this chunk.
    ended: bool,
}

/// The object's records from its first on, as lines, until the chunk is full or the object has `room` no more.
fn read_chunk(transaction: &ReadTransaction, object: Object, room: u64) -> Result<Chunk, StorageFailure> {
    let hour = object.arrived_at.div_euclid(HOUR_MILLISECONDS);
    let mut chunk = Chunk { lines: Vec::new(), last: object.first - 1, records: 0, ended: true };
    let range = (object.shard, object.first)..=(object.shard, object.through);
    for stored in transaction.open_table(RECORDS)?.range(range)? {
        let (key, value) = stored?;
        let record = record::decode(value.value())?;
        let sequence = key.value().1;
        let is_of_epoch = epoch_of(sequence) == epoch_of(object.first);
        if record.header.arrived_at.div_euclid(HOUR_MILLISECONDS) != hour || !is_of_epoch {
            break;
        }
        telemetry::push_lines(record.data, &mut chunk.lines);
        chunk.last = sequence;
        chunk.records += 1;
        if chunk.lines.len() as u64 >= room {
            break;
        }
        if chunk.lines.len() >= CHUNK_BYTES_MAX {
            chunk.ended = false;
            break;
        }
    }
    Ok(chunk)
}
