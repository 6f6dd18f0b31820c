use super::*;
use crate::shards::next_sequence;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The numbers given while a part took part: none of them may be given again.
type Numbers = BTreeSet<u64>;

#[derive(Clone, Default)]
struct Statistics {
    side: StatisticsSide,
    counted: BTreeSet<u64>,
    numbers: Numbers,
}

#[derive(Clone, Default)]
struct Stream {
    side: StreamSide,
    /// Sequence number and record.
    records: Vec<(u64, u64)>,
    numbers: Numbers,
}

#[derive(Clone, Default)]
struct Archive {
    side: ArchiveSide,
    numbers: Numbers,
}

#[derive(Clone, Default)]
struct Directory {
    statistics: Option<Statistics>,
    stream: Option<Stream>,
    archive: Option<Archive>,
}

#[derive(Debug, Clone)]
enum Step {
    /// A start of four writes, or of eight where it first has to end an earlier one. With fewer `writes` it is
    /// interrupted; with all of them, the run takes records and then counts them all or none.
    Start {
        writes: usize,
        records: usize,
        counts: bool,
        archives: bool,
        saves: bool,
    },
    Save,
    /// Puts back the parts of the mask as they were saved.
    Restore(u8),
    Lose(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let start =
        |writes| {
            (writes, 0usize..4, any::<[bool; 3]>()).prop_map(|(writes, records, [counts, archives, saves])| {
                Step::Start { writes, records, counts, archives, saves }
            })
        };
    prop_oneof![
        6 => start((8usize..9).boxed()),
        2 => start((0usize..8).boxed()),
        2 => Just(Step::Save),
        2 => (1u8..8).prop_map(Step::Restore),
        1 => (1u8..8).prop_map(Step::Lose),
    ]
}

/// What a run does.
#[derive(Clone, Copy)]
struct Acts {
    counts: bool,
    archives: bool,
    saves: bool,
}

#[derive(Default)]
struct World {
    directory: Directory,
    saved: Directory,
    records: u64,
    runs: u64,
    /// Whether a file was lost or restored since the last whole start.
    changed: bool,
    /// How often files were.
    faults: u32,
}

impl World {
    fn start(&mut self, writes: usize, records: usize, acts: Acts) {
        self.runs += 1;
        let Directory { statistics, stream, archive } = &mut self.directory;
        let statistics = statistics.get_or_insert_with(|| Statistics {
            side: StatisticsSide { checkpoints: vec![None], ..StatisticsSide::default() },
            ..Statistics::default()
        });
        let is_empty = statistics.counted.is_empty() && statistics.side.checkpoints == [None];
        statistics.side.explained = statistics.counted.len() as u64;
        let side = &mut statistics.side;
        side.is_new = side.mark.is_none() && is_empty;
        let stream = stream.get_or_insert_with(|| Stream {
            side: StreamSide { created_at: self.runs, heads: vec![Head::default()], ..StreamSide::default() },
            ..Stream::default()
        });
        stream.side.is_new = stream.side.mark.is_none() && stream.records.is_empty();
        let binding = bind(side, &stream.side, archive.as_ref().map(|archive| &archive.side), self.runs);
        assert!(self.changed || binding.findings.is_empty(), "nothing was lost, yet {:?}", binding.findings);
        let mark = binding.mark;
        if writes > 0 {
            side.next = Some(mark);
            side.stream_created_at = Some(stream.side.created_at);
            side.accepted_offset = binding.accepted_offset;
            if let Some(places) = &binding.checkpoints {
                side.checkpoints = places.iter().copied().map(Some).collect();
            }
        }
        if writes > 1 {
            stream.side.mark = Some(mark);
            stream.side.epoch = mark.epoch;
            if binding.archive_again {
                stream.side.cursors = vec![0];
            }
        }
        if writes > 2 {
            let archive = &mut archive.get_or_insert_default().side;
            if archive.stream_created_at != stream.side.created_at {
                archive.last.clear();
            }
            (archive.mark, archive.stream_created_at) = (mark, stream.side.created_at);
            archive.last.values_mut().for_each(|last| *last = (*last).min(stream.side.heads[0].sequence));
        }
        if writes > 3 {
            side.mark = Some(mark);
            self.changed = false;
            if binding.ends_interrupted {
                return self.start(writes - 4, records, acts);
            }
            if acts.saves {
                // A copy in the middle of the run.
                self.run(records / 2, acts);
                self.saved = self.directory.clone();
            }
            self.run(records - if acts.saves { records / 2 } else { 0 }, acts);
        }
    }

    fn run(&mut self, records: usize, acts: Acts) {
        let Directory { statistics: Some(statistics), stream: Some(stream), archive: Some(archive) } =
            &mut self.directory
        else {
            return;
        };
        let head = &mut stream.side.heads[0];
        for _ in 0..records {
            self.records += 1;
            head.sequence = next_sequence(head.sequence, stream.side.epoch);
            head.readings += 1;
            stream.records.push((head.sequence, self.records));
            for numbers in [&statistics.numbers, &stream.numbers, &archive.numbers] {
                assert!(!numbers.contains(&head.sequence), "{} was given twice", head.sequence);
            }
            stream.numbers.insert(head.sequence);
        }
        if acts.archives {
            archive.numbers.extend(&stream.numbers);
            archive.side.last.insert(0, head.sequence);
            stream.side.cursors = vec![head.sequence];
        }
        if !acts.counts {
            return;
        }
        statistics.numbers.extend(&stream.numbers);
        let checkpoint = statistics.side.checkpoints[0].unwrap_or_default();
        let after = stream.records.iter().filter(|(sequence, _)| *sequence > checkpoint.sequence);
        statistics.counted.extend(after.map(|(_, record)| record));
        if let Some((sequence, _)) = stream.records.last() {
            statistics.side.checkpoints[0] = Some(Place { sequence: *sequence, readings: head.readings });
        }
        for (sequence, record) in &stream.records {
            assert!(statistics.counted.contains(record), "record {record} at {sequence} was skipped");
        }
        // After several faults the totals can't be known.
        if self.faults > 1 {
            return;
        }
        let accepted = head.readings as i64 + statistics.side.accepted_offset;
        assert!(
            accepted >= statistics.counted.len() as i64,
            "{accepted} accepted, {} counted",
            statistics.counted.len()
        );
    }

    fn change(&mut self, mask: u8, to: &Directory) {
        self.changed = true;
        self.faults += 1;
        let Directory { statistics, stream, archive } = &mut self.directory;
        if mask & 1 != 0 {
            statistics.clone_from(&to.statistics);
        }
        if mask & 2 != 0 {
            stream.clone_from(&to.stream);
        }
        if mask & 4 != 0 {
            archive.clone_from(&to.archive);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    /// Whatever is lost, restored or interrupted: no number is given twice as far as any part remembers, no record
    /// of the stream is skipped, and nothing is reported that did not happen.
    #[test]
    fn files_lost_or_restored_skip_no_record(steps in prop::collection::vec(step(), 1..14)) {
        let mut world = World::default();
        for step in steps {
            match step {
                Step::Start { writes, records, counts, archives, saves } => {
                    world.start(writes, records, Acts { counts, archives, saves });
                }
                Step::Save => world.saved = world.directory.clone(),
                Step::Restore(mask) => world.change(mask, &world.saved.clone()),
                Step::Lose(mask) => world.change(mask, &Directory::default()),
            }
        }
    }
}

#[test]
fn each_finding_names_the_file_and_what_to_do() {
    let mark = |run, starts| Some(Mark { run, starts, epoch: 0 });
    let head = Head { sequence: 5, readings: 5, ..Head::default() };
    let statistics = |mark| StatisticsSide { mark, next: mark, checkpoints: vec![None], ..StatisticsSide::default() };
    let stream = |mark| StreamSide { mark, heads: vec![head], ..StreamSide::default() };
    let new_statistics = StatisticsSide { is_new: true, checkpoints: vec![None], ..StatisticsSide::default() };
    let new_stream = StreamSide { is_new: true, heads: vec![Head::default()], ..StreamSide::default() };
    let ahead =
        StatisticsSide { checkpoints: vec![Some(Place { sequence: 6, readings: 6 })], ..statistics(mark(1, 1)) };
    for (statistics, stream, archive, finding) in [
        (new_statistics.clone(), stream(mark(1, 1)), mark(1, 1), "statistics.redb was lost"),
        (statistics(mark(1, 1)), new_stream.clone(), mark(1, 1), "stream.redb was lost"),
        (statistics(mark(2, 2)), stream(mark(1, 1)), mark(2, 2), "stream.redb is older"),
        (ahead, stream(mark(1, 1)), mark(1, 1), "stream.redb is older"),
        (statistics(mark(1, 1)), stream(mark(2, 2)), mark(2, 2), "statistics.redb is older"),
        (statistics(mark(1, 1)), stream(mark(2, 1)), mark(1, 1), "not of the same data directory"),
        (statistics(mark(1, 1)), stream(mark(1, 1)), None, "the archive was lost"),
        (statistics(mark(2, 2)), stream(mark(2, 2)), mark(1, 1), "the archive is older"),
        (statistics(mark(1, 1)), stream(mark(1, 1)), mark(2, 2), "are older than the archive"),
        (new_statistics, new_stream, mark(1, 1), "stream.redb was lost"),
    ] {
        let archive = archive.map(|mark| ArchiveSide { mark, ..ArchiveSide::default() });
        let binding = bind(&statistics, &stream, archive.as_ref(), 3);
        let texts: Vec<_> = binding.findings.iter().map(Finding::text).collect();
        assert!(texts.iter().any(|text| text.contains(finding)), "{finding}: {texts:?}");
        assert_eq!(binding.mark.epoch, 1, "{finding}");
        let sets_back = ["statistics.redb was lost", "statistics.redb is older", "not of the same", "are older than"];
        let is_set_back = |text: &String| sets_back.iter().any(|part| text.contains(part));
        assert_eq!(binding.curated_again, texts.iter().any(is_set_back), "{finding}");
    }
}

#[test]
fn trimmed_readings_that_were_never_counted_are_reported() {
    let statistics = StatisticsSide { is_new: true, checkpoints: vec![None], ..StatisticsSide::default() };
    let head = Head { sequence: 9, readings: 90, trimmed_sequence: 4, trimmed_readings: 40, ..Head::default() };
    let mark = Mark { run: 1, starts: 1, epoch: 0 };
    let stream = StreamSide { mark: Some(mark), heads: vec![head], ..StreamSide::default() };
    let archive = ArchiveSide { mark, ..ArchiveSide::default() };
    let binding = bind(&statistics, &stream, Some(&archive), 3);
    assert_eq!(binding.findings, [Finding::StatisticsLost, Finding::NotCounted(40)]);
    assert_eq!(binding.checkpoints, Some(vec![Place { sequence: 4, readings: 40 }]));
    assert_eq!(binding.accepted_offset, -40);
}

#[test]
fn files_of_two_moments_of_one_run_are_told_apart() {
    let mark = Mark { run: 1, starts: 1, epoch: 0 };
    let head = Head { sequence: 9, readings: 9, trimmed_sequence: 4, trimmed_readings: 4, ..Head::default() };
    let found = |checkpoint: u64, archived: u64, cursor: u64| {
        let place = Place { sequence: checkpoint, readings: checkpoint };
        let statistics =
            StatisticsSide { mark: Some(mark), checkpoints: vec![Some(place)], ..StatisticsSide::default() };
        let stream = StreamSide { mark: Some(mark), heads: vec![head], cursors: vec![cursor], ..StreamSide::default() };
        let archive = ArchiveSide { mark, last: [(0, archived)].into(), ..ArchiveSide::default() };
        bind(&statistics, &stream, Some(&archive), 3).findings
    };
    assert_eq!(found(4, 9, 9), []);
    assert_eq!(found(9, 9, 6), []);
    assert_eq!(found(10, 9, 9), [Finding::StreamOlder]);
    assert_eq!(found(3, 9, 9), [Finding::StatisticsOlder, Finding::NotCounted(1)]);
    assert_eq!(found(9, 10, 9), [Finding::DatabasesOlder]);
    assert_eq!(found(9, 5, 6), [Finding::ArchiveOlder]);
}
