//! Whether the files of a data directory belong together.
//!
//! Each start writes one mark, with a random run id, into the statistics, the stream and the archive. At the next start
//! different marks mean that a file was lost, or was replaced by an older or another one. Then the stream's *epoch*
//! rises: it leads every sequence number, so that no number is given twice, and the checkpoints go back to the oldest
//! record. Reading records again is harmless, because the ledger counts each reading once.
//!
//! The statistics hold two marks while a start is under way. In order: the statistics' `next` mark, the stream's, the
//! archive's, the statistics' own. So a start that was interrupted anywhere isn't taken for a lost file.

use crate::shards::{EPOCH_MAX, Head};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What one start writes into each of the three.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Random.
    pub(crate) run: u64,
    /// How many starts there were: says which of two marks is the older one.
    pub(crate) starts: u64,
    /// The stream's epoch, 0 to [`EPOCH_MAX`].
    pub(crate) epoch: u64,
}

/// How far one shard has been processed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) sequence: u64,
    /// The readings of the shard's records up to and including it.
    pub(crate) readings: u64,
}

/// The statistics' side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StatisticsSide {
    pub(crate) mark: Option<Mark>,
    pub(crate) next: Option<Mark>,
    /// Whether nothing is in it, and no start came to its end with it.
    pub(crate) is_new: bool,
    /// When the stream of the checkpoints was made, in milliseconds since the Unix epoch.
    pub(crate) stream_created_at: Option<u64>,
    /// What to add to the readings that the stream knows for all that were accepted.
    pub(crate) accepted_offset: i64,
    /// Readings that are counted or dead letters.
    pub(crate) explained: u64,
    /// By shard.
    pub(crate) checkpoints: Vec<Option<Place>>,
}

/// The stream's side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StreamSide {
    pub(crate) mark: Option<Mark>,
    /// The epoch by itself: a backup's copy has a higher one than its mark.
    pub(crate) epoch: u64,
    /// Whether nothing was ever put into it, and no start has marked it.
    pub(crate) is_new: bool,
    pub(crate) created_at: u64,
    /// By shard.
    pub(crate) heads: Vec<Head>,
    /// The last archived record, by shard.
    pub(crate) cursors: Vec<u64>,
}

/// The archive's side: the text of its mark.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ArchiveSide {
    pub(crate) mark: Mark,
    /// When the stream of its newest files was made.
    pub(crate) stream_created_at: u64,
    /// shard -> the last record of that stream that is archived. Without a shard, nothing is known of it.
    pub(crate) last: BTreeMap<u16, u64>,
}

/// What a start finds, in words for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    StreamLost,
    StreamOlder,
    StatisticsLost,
    StatisticsOlder,
    /// Both are there, and neither is an earlier version of the other.
    OtherHistory,
    ArchiveLost,
    ArchiveOlder,
    /// The archive is of a later run than both databases.
    DatabasesOlder,
    /// Readings that the stream has trimmed and these statistics never saw.
    NotCounted(u64),
}

impl Finding {
    fn sets_statistics_back(&self) -> bool {
        matches!(
            self,
            Finding::StatisticsLost | Finding::StatisticsOlder | Finding::OtherHistory | Finding::DatabasesOlder
        )
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Finding::StreamLost => "stream.redb was lost: readings that were accepted and not yet counted are in the \
                                    archive at most; compare with `streamgauge archive rebuild`"
                .to_owned(),
            Finding::StreamOlder => "stream.redb is older than statistics.redb, as after restoring one file alone: \
                                     what it still has is read again (each reading counts once), what it lacks is in \
                                     the archive at most; compare with `streamgauge archive rebuild`"
                .to_owned(),
            Finding::StatisticsLost => "statistics.redb was lost: what the stream still has is counted again; \
                                        `streamgauge archive rebuild` makes statistics of the whole archive"
                .to_owned(),
            Finding::StatisticsOlder => {
                "statistics.redb is older than stream.redb, as after restoring one file alone: \
                                         what the stream still has is read again (each reading counts once); \
                                         `streamgauge archive rebuild` makes statistics of the whole archive"
                    .to_owned()
            }
            Finding::OtherHistory => "stream.redb and statistics.redb are not of the same data directory: what the \
                                      stream has is read again (each reading counts once)"
                .to_owned(),
            Finding::ArchiveLost => {
                "the archive was lost: what the stream still has is archived again, older readings are in no archive"
                    .to_owned()
            }
            Finding::ArchiveOlder => "the archive is older than the databases: what the stream still has is archived \
                                      again where it is missing"
                .to_owned(),
            Finding::DatabasesOlder => "stream.redb and statistics.redb are older than the archive: what was archived \
                                        since is not in the statistics; `streamgauge archive rebuild` makes \
                                        statistics of the whole archive"
                .to_owned(),
            Finding::NotCounted(readings) => format!(
                "{readings} readings that the stream no longer has are in the archive and not in statistics.redb; \
                 `streamgauge archive rebuild` makes statistics of the whole archive"
            ),
        }
    }
}

/// What a start does about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) mark: Mark,
    /// Whether it is an earlier start, which was interrupted, that comes to its end: this one has yet to begin.
    pub(crate) ends_interrupted: bool,
    /// The new checkpoints, where they change.
    pub(crate) checkpoints: Option<Vec<Place>>,
    pub(crate) accepted_offset: i64,
    /// Whether the stream's archive cursors go back to the oldest record.
    pub(crate) archive_again: bool,
    /// Whether curated files are of later statistics than those: a revision would mean two states.
    pub(crate) curated_again: bool,
    pub(crate) findings: Vec<Finding>,
}

/// Compares the three sides; `run` is a random id for this start.
pub(crate) fn bind(
    statistics: &StatisticsSide,
    stream: &StreamSide,
    archive: Option<&ArchiveSide>,
    run: u64,
) -> Binding {
    let marks = [statistics.mark, statistics.next, stream.mark, archive.map(|archive| archive.mark)];
    let known = |value: fn(Mark) -> u64| marks.into_iter().flatten().map(value).max().unwrap_or_default();
    let starts = known(|mark| mark.starts).saturating_add(1);
    let epoch = known(|mark| mark.epoch).max(stream.epoch);
    let mut findings = databases(statistics, stream, archive.is_some());
    let checkpoints_reset = !findings.is_empty();
    let archive_finding =
        of_archive(statistics, stream, archive).filter(|found| *found != Finding::DatabasesOlder || !checkpoints_reset);
    let archive_again = matches!(archive_finding, Some(Finding::ArchiveLost | Finding::ArchiveOlder))
        || archive.is_some_and(|archive| is_behind(archive, stream));
    findings.extend(archive_finding);
    let interrupted = statistics.next.filter(|next| statistics.mark.is_none_or(|mark| mark.run != next.run));
    let (mark, ends_interrupted) = match interrupted {
        _ if !findings.is_empty() => (Mark { run, starts, epoch: (epoch + 1).min(EPOCH_MAX) }, false),
        Some(next) => (Mark { epoch, ..next }, true),
        None => (Mark { run, starts, epoch }, false),
    };
    let mut binding = Binding {
        mark,
        ends_interrupted,
        checkpoints: None,
        accepted_offset: statistics.accepted_offset,
        archive_again,
        curated_again: findings.iter().any(Finding::sets_statistics_back),
        findings,
    };
    if checkpoints_reset {
        let oldest = |head: &Head| Place { sequence: head.trimmed_sequence, readings: head.trimmed_readings };
        binding.checkpoints = Some(stream.heads.iter().map(oldest).collect());
        let (offset, not_counted) = offset(statistics, stream);
        binding.accepted_offset = offset;
        if not_counted > 0 {
            binding.findings.push(Finding::NotCounted(not_counted));
        }
    }
    binding
}

fn is_one_of(mark: Mark, statistics: &StatisticsSide) -> bool {
    [statistics.mark, statistics.next].into_iter().flatten().any(|known| known.run == mark.run)
}

/// What is wrong between the two databases.
fn databases(statistics: &StatisticsSide, stream: &StreamSide, has_archive: bool) -> Vec<Finding> {
    let agree = match stream.mark {
        Some(mark) => is_one_of(mark, statistics),
        // Files older than the marks, or the first start with marks was interrupted.
        None => statistics.mark.is_none() && statistics.is_new == stream.is_new,
    };
    match (statistics.is_new, stream.is_new) {
        // A new directory, unless the archive remembers another.
        (true, true) if has_archive => return vec![Finding::StreamLost, Finding::StatisticsLost],
        (true, false) if !agree => return vec![Finding::StatisticsLost],
        (false, true) => return vec![Finding::StreamLost],
        _ => {}
    }
    let starts = |mark: Option<Mark>| mark.map_or(0, |mark| mark.starts);
    if !agree {
        return vec![match starts(statistics.mark.or(statistics.next)).cmp(&starts(stream.mark)) {
            Ordering::Greater => Finding::StreamOlder,
            Ordering::Less => Finding::StatisticsOlder,
            Ordering::Equal => Finding::OtherHistory,
        }];
    }
    // Files of one run may be of different moments of it. Records are trimmed behind the checkpoint only.
    let places = statistics.checkpoints.iter().zip(&stream.heads);
    let sequences: Vec<_> = places.map(|(place, head)| (place.map_or(0, |place| place.sequence), head)).collect();
    if sequences.iter().any(|(sequence, head)| *sequence > head.sequence) {
        return vec![Finding::StreamOlder];
    }
    if sequences.iter().any(|(sequence, head)| *sequence < head.trimmed_sequence) {
        return vec![Finding::StatisticsOlder];
    }
    Vec::new()
}

/// What is wrong between the archive and the databases.
fn of_archive(statistics: &StatisticsSide, stream: &StreamSide, archive: Option<&ArchiveSide>) -> Option<Finding> {
    let newest = [statistics.mark, stream.mark].into_iter().flatten().max_by_key(|mark| mark.starts)?;
    let Some(archive) = archive else {
        // The first start ever was interrupted: the archive gets its mark after the databases have theirs.
        let is_first = statistics.mark.is_none() && stream.mark.is_none_or(|mark| is_one_of(mark, statistics));
        return (!is_first).then_some(Finding::ArchiveLost);
    };
    if archive.mark.run != newest.run && !is_one_of(archive.mark, statistics) {
        let is_later = archive.mark.starts > newest.starts;
        return Some(if is_later { Finding::DatabasesOlder } else { Finding::ArchiveOlder });
    }
    // Of one run, but perhaps of different moments of it.
    if ends(archive, stream).any(|(last, head, _)| last > head) {
        return Some(Finding::DatabasesOlder);
    }
    is_behind(archive, stream).then_some(Finding::ArchiveOlder)
}

/// Whether records that the stream takes for archived are not.
fn is_behind(archive: &ArchiveSide, stream: &StreamSide) -> bool {
    ends(archive, stream).any(|(last, _, cursor)| last < cursor)
}

/// By shard: the archive's last record, the stream's, and the stream's last archived one.
fn ends(archive: &ArchiveSide, stream: &StreamSide) -> impl Iterator<Item = (u64, u64, u64)> {
    let is_same = archive.stream_created_at == stream.created_at;
    archive.last.iter().filter(move |_| is_same).map(|(shard, last)| {
        let shard = usize::from(*shard);
        let head = stream.heads.get(shard).map_or(0, |head| head.sequence);
        (*last, head, stream.cursors.get(shard).copied().unwrap_or_default())
    })
}

/// The new offset, and how many readings the stream has trimmed that the statistics never saw.
fn offset(statistics: &StatisticsSide, stream: &StreamSide) -> (i64, u64) {
    let is_same = statistics.stream_created_at.is_none_or(|created_at| created_at == stream.created_at);
    let mut offset = statistics.accepted_offset;
    let mut processed_readings = offset;
    let mut not_counted = 0;
    for (shard, head) in stream.heads.iter().enumerate() {
        let processed = statistics.checkpoints.get(shard).copied().flatten().unwrap_or_default();
        processed_readings = processed_readings.saturating_add_unsigned(processed.readings);
        // Of another stream nothing was processed, and what was processed is no longer part of this stream.
        let (here, elsewhere) = if is_same { (processed.readings, 0) } else { (0, processed.readings) };
        let unseen = head.trimmed_readings.saturating_sub(here);
        not_counted += unseen;
        let gone = here.saturating_sub(head.readings) + elsewhere;
        offset = offset.saturating_add_unsigned(gone).saturating_sub_unsigned(unseen);
    }
    let explained = i64::try_from(statistics.explained).unwrap_or(i64::MAX);
    if processed_readings < explained {
        // A run ended between a write and its checkpoint, or while it read records again. Which of the stream's records
        // are counted isn't known: all of them pass for accepted once more, and come out as duplicates.
        let trimmed = stream.heads.iter().fold(0u64, |sum, head| sum.saturating_add(head.trimmed_readings));
        offset = offset.max(explained.saturating_sub_unsigned(trimmed));
    }
    (offset, not_counted)
}

#[cfg(test)]
mod tests;
