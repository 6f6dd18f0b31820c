//! The marks of [`crate::binding`] as the files hold them, and whether a file was copied while it was in use.

use crate::archive::{FileArchive, MARK as ARCHIVE_MARK};
use crate::binding::{ArchiveSide, Binding, Finding, Mark, Place, StatisticsSide, StreamSide, bind};
use crate::database::Database;
use crate::processed::{explained, load_checkpoint};
use crate::record;
use crate::shards::{ARCHIVE_CURSORS, META as STREAM_META, RECORDS, archive_cursor, sequence_u64, shard_id};
use crate::statistics_journal::{CHECKPOINTS, ITEMS, META as STATISTICS_META, UNCURATED};
use crate::stream_journal::read_heads;
use crate::{OpenError, StorageFailure};
use ports::SequenceNumber;
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata as _, Table, TableDefinition, WriteTransaction};
use std::path::Path;

/// The high part of the stream's sequence numbers; 0 where it is absent. Also a member of the mark in either file.
pub(crate) const EPOCH: &str = "epoch";
/// The current mark's members, in either file.
const MARK: [&str; 3] = ["run", "starts", EPOCH];
/// Those of the mark of a start under way, in the statistics.
const NEXT_MARK: [&str; 3] = ["next_run", "next_starts", "next_epoch"];
const STREAM_CREATED_AT: &str = "stream_created_at";
/// An i64, by its bits.
const ACCEPTED_OFFSET: &str = "accepted_offset";
/// Which file it is, by device and inode: a copy has another.
const FILE: &str = "file";
/// 1 once the file was closed in order.
pub(crate) const CLOSED: &str = "closed";

type Meta<'t> = Table<'t, &'static str, u64>;

fn number(meta: &impl ReadableTable<&'static str, u64>, name: &str) -> Result<Option<u64>, StorageFailure> {
    Ok(meta.get(name)?.map(|stored| stored.value()))
}

fn read_mark(meta: &impl ReadableTable<&'static str, u64>, names: [&str; 3]) -> Result<Option<Mark>, StorageFailure> {
    let Some(run) = number(meta, names[0])? else { return Ok(None) };
    let of = |name| Ok::<_, StorageFailure>(number(meta, name)?.unwrap_or_default());
    Ok(Some(Mark { run, starts: of(names[1])?, epoch: of(names[2])? }))
}

fn write_mark(meta: &mut Meta<'_>, names: [&'static str; 3], mark: Mark) -> Result<(), StorageFailure> {
    for (name, value) in names.into_iter().zip([mark.run, mark.starts, mark.epoch]) {
        meta.insert(name, value)?;
    }
    Ok(())
}

/// The stream's side.
pub(crate) fn stream_side(transaction: &ReadTransaction, shards: u16) -> Result<StreamSide, StorageFailure> {
    let meta = transaction.open_table(STREAM_META)?;
    let mark = read_mark(&meta, MARK)?;
    let heads = read_heads(transaction, shards.into())?;
    Ok(StreamSide {
        mark,
        epoch: number(&meta, EPOCH)?.unwrap_or_default(),
        is_new: mark.is_none() && heads.iter().all(|head| head.sequence == 0),
        created_at: number(&meta, "created_at")?.unwrap_or_default(),
        heads,
        cursors: (0..shards)
            .map(|shard| Ok(archive_cursor(transaction, shard)?.0))
            .collect::<Result<_, StorageFailure>>()?,
    })
}

/// The statistics' side.
pub(crate) fn statistics_side(transaction: &ReadTransaction, shards: u16) -> Result<StatisticsSide, StorageFailure> {
    let meta = transaction.open_table(STATISTICS_META)?;
    let (mark, next) = (read_mark(&meta, MARK)?, read_mark(&meta, NEXT_MARK)?);
    let is_empty = transaction.open_table(ITEMS)?.is_empty()? && transaction.open_table(CHECKPOINTS)?.is_empty()?;
    let place = |shard| {
        let checkpoint = load_checkpoint(transaction, &shard_id(shard))?;
        Ok::<_, StorageFailure>(checkpoint.map(|checkpoint| Place {
            sequence: sequence_u64(checkpoint.sequence_number),
            readings: checkpoint.readings,
        }))
    };
    Ok(StatisticsSide {
        mark,
        next,
        is_new: mark.is_none() && is_empty,
        stream_created_at: number(&meta, STREAM_CREATED_AT)?,
        accepted_offset: accepted_offset(transaction)?,
        explained: explained(transaction)?,
        checkpoints: (0..shards).map(place).collect::<Result<_, _>>()?,
    })
}

/// What to add to the readings that the stream knows for all that were accepted.
pub(crate) fn accepted_offset(transaction: &ReadTransaction) -> Result<i64, StorageFailure> {
    let meta = transaction.open_table(STATISTICS_META)?;
    Ok(number(&meta, ACCEPTED_OFFSET)?.unwrap_or_default().cast_signed())
}

/// First step of a start: what the binding changes in the statistics.
fn begin(transaction: &WriteTransaction, binding: &Binding, stream_created_at: u64) -> Result<(), StorageFailure> {
    let mut meta = transaction.open_table(STATISTICS_META)?;
    write_mark(&mut meta, NEXT_MARK, binding.mark)?;
    meta.insert(STREAM_CREATED_AT, stream_created_at)?;
    meta.insert(ACCEPTED_OFFSET, binding.accepted_offset.cast_unsigned())?;
    if binding.curated_again {
        let mut uncurated = transaction.open_table(UNCURATED)?;
        for stored in transaction.open_table(ITEMS)?.iter()? {
            uncurated.insert(stored?.0.value(), ())?;
        }
    }
    let Some(places) = &binding.checkpoints else { return Ok(()) };
    let mut checkpoints = transaction.open_table(CHECKPOINTS)?;
    // Also those of shards that a new stream doesn't have.
    checkpoints.retain(|_, _| false)?;
    for (shard, place) in places.iter().enumerate() {
        let sequence_number = SequenceNumber::from(place.sequence).to_be_bytes();
        // There are at most 65,535 shards.
        let name = shard_id(shard as u16).0;
        checkpoints.insert(name.as_str(), (sequence_number.as_slice(), place.readings))?;
    }
    Ok(())
}

/// Second step: the stream.
fn mark_stream(transaction: &WriteTransaction, binding: &Binding, side: &StreamSide) -> Result<(), StorageFailure> {
    write_mark(&mut transaction.open_table(STREAM_META)?, MARK, binding.mark)?;
    if !binding.archive_again {
        return Ok(());
    }
    let records = transaction.open_table(RECORDS)?;
    let mut cursors = transaction.open_table(ARCHIVE_CURSORS)?;
    for (shard, head) in side.heads.iter().enumerate() {
        let shard = shard as u16;
        let oldest = records.range((shard, head.trimmed_sequence + 1)..=(shard, u64::MAX))?.next().transpose()?;
        // The bytes before the oldest record, whose own are in its count.
        let before = match &oldest {
            Some((_, stored)) => {
                let oldest = record::decode(stored.value())?;
                oldest.header.bytes.saturating_sub(oldest.data.len() as u64)
            }
            None => head.bytes,
        };
        cursors.insert(shard, (head.trimmed_sequence, before))?;
    }
    Ok(())
}

/// Last step, after the archive's mark.
fn finish(transaction: &WriteTransaction, mark: Mark) -> Result<(), StorageFailure> {
    write_mark(&mut transaction.open_table(STATISTICS_META)?, MARK, mark)
}

/// The files of a data directory, open.
pub(crate) struct Directory<'a> {
    pub(crate) stream: (&'a Database, &'a Path),
    pub(crate) statistics: (&'a Database, &'a Path),
    pub(crate) archive: &'a FileArchive,
    pub(crate) shards: u16,
    pub(crate) data_dir: &'a Path,
}

/// What binding them came to.
pub(crate) struct Bound {
    pub(crate) archived: ArchiveSide,
    pub(crate) warnings: Vec<String>,
}

impl Directory<'_> {
    /// Binds the files together for this start.
    pub(crate) fn bind(&self) -> Result<Bound, OpenError> {
        loop {
            let (ends_interrupted, bound) = self.bind_once()?;
            if !ends_interrupted {
                return Ok(bound);
            }
        }
    }

    /// Also whether it was the end of an earlier start.
    fn bind_once(&self) -> Result<(bool, Bound), OpenError> {
        let fails = |(_, path): (&Database, &Path)| {
            let (directory, path) = (self.data_dir.to_owned(), path.to_owned());
            move |source| OpenError::of_database(directory, path, source)
        };
        let archive_fails = |source| OpenError::Io { path: self.archive.root().to_owned(), source };
        let stream = self.stream.0.read(|transaction| stream_side(transaction, self.shards));
        let stream = stream.map_err(fails(self.stream))?;
        let statistics = self.statistics.0.read(|transaction| statistics_side(transaction, self.shards));
        let statistics = statistics.map_err(fails(self.statistics))?;
        let archived = self.archive.read_mark().map_err(archive_fails)?.map(|text| parse_mark(&text));
        let binding = bind(&statistics, &stream, archived.as_ref(), rand::random());

        let mut warnings: Vec<String> = binding.findings.iter().map(Finding::text).collect();
        // Before anything is written: interrupted, the next start finds the same again.
        if binding.curated_again
            && let Some(name) = self.archive.set_curated_aside(binding.mark.starts).map_err(archive_fails)?
        {
            warnings.push(format!(
                "the curated files are of later statistics and were moved to archive/{name}: curated data begins again"
            ));
        }
        for warning in &warnings {
            tracing::warn!(data_dir = %self.data_dir.display(), "{warning}");
        }
        let mut archived =
            archived.filter(|archived| archived.stream_created_at == stream.created_at).unwrap_or_default();
        (archived.mark, archived.stream_created_at) = (binding.mark, stream.created_at);
        // What the archive has beyond the stream is of an epoch that is over.
        for (shard, last) in &mut archived.last {
            *last = stream.heads.get(usize::from(*shard)).map_or(0, |head| head.sequence).min(*last);
        }
        self.write(&binding, &stream, &archived).map_err(|(file, source)| fails(file)(source))?;
        Ok((binding.ends_interrupted, Bound { archived, warnings }))
    }

    /// The four steps of a start.
    fn write(
        &self,
        binding: &Binding,
        side: &StreamSide,
        archived: &ArchiveSide,
    ) -> Result<(), ((&Database, &Path), StorageFailure)> {
        let (stream, statistics) = (self.stream, self.statistics);
        let begun = statistics.0.write(|transaction| begin(transaction, binding, side.created_at));
        begun.map_err(|failure| (statistics, failure))?;
        let marked = stream.0.write(|transaction| {
            note_open(transaction, STREAM_META, stream.1)?;
            mark_stream(transaction, binding, side)
        });
        marked.map_err(|failure| (stream, failure))?;
        let written = self.archive.write_mark(mark_text(archived).as_bytes());
        written.map_err(|error| ((statistics.0, self.archive.root()), error.into()))?;
        let finished = statistics.0.write(|transaction| {
            note_open(transaction, STATISTICS_META, statistics.1)?;
            finish(transaction, binding.mark)
        });
        finished.map_err(|failure| (statistics, failure))
    }
}

/// The archive's side as its file has it: the mark and the stream, then a line a shard.
pub(crate) fn mark_text(side: &ArchiveSide) -> String {
    let ArchiveSide { mark, stream_created_at, last } = side;
    let mut text = format!("{:016x} {} {} {stream_created_at}\n", mark.run, mark.starts, mark.epoch);
    last.iter().for_each(|(shard, last)| text += &format!("{shard} {last}\n"));
    text
}

/// The archive's side of such a text; a text of any other form is of no run.
pub(crate) fn parse_mark(text: &[u8]) -> ArchiveSide {
    let parse = || {
        let mut lines = std::str::from_utf8(text).ok()?.lines();
        let mut words = lines.next()?.split(' ');
        let run = u64::from_str_radix(words.next()?, 16).ok()?;
        let mark = Mark { run, starts: words.next()?.parse().ok()?, epoch: words.next()?.parse().ok()? };
        let stream_created_at = words.next()?.parse().ok()?;
        let last = lines.map(|line| {
            let (shard, last) = line.split_once(' ')?;
            Some((shard.parse().ok()?, last.parse().ok()?))
        });
        Some(ArchiveSide { mark, stream_created_at, last: last.collect::<Option<_>>()? })
    };
    parse().unwrap_or_default()
}

/// How far an archive of `up` goes, by its own mark: for each shard the end of its files' names before their numbers,
/// `-CREATED-SHARD`, and the last sequence number. Empty where the archive has no mark.
pub fn archived_through(archive: &Path) -> Vec<(String, u64)> {
    let side = std::fs::read(archive.join(ARCHIVE_MARK)).map(|text| parse_mark(&text)).unwrap_or_default();
    let of_shard = |(shard, last)| (format!("-{}-{}", side.stream_created_at, shard_id(shard)), last);
    side.last.into_iter().map(of_shard).collect()
}

/// Whether the file is a copy of one that was in use: only then may its pages be of different moments.
pub(crate) fn is_live_copy(
    database: &Database,
    meta: TableDefinition<&'static str, u64>,
    path: &Path,
) -> Result<bool, StorageFailure> {
    let (file, closed) = database.read(|transaction| {
        let meta = match transaction.open_table(meta) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok((None, true)),
            meta => meta?,
        };
        Ok((number(&meta, FILE)?, number(&meta, CLOSED)? == Some(1)))
    })?;
    Ok(!closed && file.is_some_and(|file| Some(file) != file_id(path)))
}

/// The file is in use from now on.
fn note_open(
    transaction: &WriteTransaction,
    meta: TableDefinition<&'static str, u64>,
    path: &Path,
) -> Result<(), StorageFailure> {
    let mut meta = transaction.open_table(meta)?;
    meta.insert(CLOSED, 0)?;
    if let Some(file) = file_id(path) {
        meta.insert(FILE, file)?;
    }
    Ok(())
}

/// The file is closed in order. Should this fail, a copy of the file is checked before it is used: no more.
pub(crate) fn note_closed(database: &Database, meta: TableDefinition<&'static str, u64>) {
    let _ = database.write(|transaction| {
        transaction.open_table(meta)?.insert(CLOSED, 1)?;
        Ok(())
    });
}

#[cfg(unix)]
pub(crate) fn file_id(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    Some(metadata.dev().rotate_left(32) ^ metadata.ino())
}

#[cfg(not(unix))]
pub(crate) fn file_id(_path: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archives_mark_reads_back_and_any_other_text_is_of_no_run() {
        let mark = Mark { run: 0x0123_4567_89ab_cdef, starts: 7, epoch: 2 };
        let side = ArchiveSide { mark, stream_created_at: 5, last: [(0, 9), (3, 17)].into() };
        assert_eq!(parse_mark(mark_text(&side).as_bytes()), side);
        for text in ["", "x", "0123 7", "0123 7 x 1", "0123 7 1", "0123 7 1 1\nx", "0123 7 1 1\n1 "] {
            assert_eq!(parse_mark(text.as_bytes()), ArchiveSide::default(), "{text}");
        }
    }
}
