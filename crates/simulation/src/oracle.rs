//! What must be, told from outside: from what the stream holds, what each write made of the readable attributes, and
//! which dead letters were stored. It knows nothing of windows, floors or pages.
//!
//! Each reading's value is a power of two of its own, so that `mean × count` of an item says exactly which readings
//! it holds: a sum with as many bits as readings holds each of them once, and any other was counted wrongly.

use crate::content::{Content, Occurrence, value_of};
use crate::coverage::{Branch, Coverage};
use crate::model::Schedule;
use crate::stream::Stored;
use aggregator::{LedgerMode, Settings};
use base64::Engine as _;
use ports::{DeadLetter, StatisticsAttributes, StatisticsItem};
use std::collections::BTreeMap;
use std::fmt;
use telemetry::{RejectReason, Timestamp};

/// A guarantee that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub guarantee: Guarantee,
    /// What happened, for people.
    pub detail: String,
}

/// What must never happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Guarantee {
    /// A reading is never counted twice, nor one of its identity beside it.
    CountedOnce,
    /// What was counted stays counted, and the readable attributes say what was counted.
    Kept,
    /// A stored reading is counted or a dead letter.
    Accounted,
    /// A dead letter has a reason that holds, and its whole payload.
    LetterTrue,
    /// The item fits one write unit, a write the limits of a transaction; revisions rise.
    WriteBounds,
    /// Without faults, everything comes to an end.
    Progress,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.guarantee, self.detail)
    }
}

pub(crate) type Verdict = Result<(), Violation>;

pub(crate) fn broken(guarantee: Guarantee, detail: impl Into<String>) -> Verdict {
    Err(Violation { guarantee, detail: detail.into() })
}

/// What is known of one device.
#[derive(Debug, Default, Clone)]
struct Known {
    /// Readings counted, a bit each.
    counted: u64,
    /// Readings that a record in the stream holds and that can be counted.
    stored: u64,
    revision: u64,
    /// The latest instant counted when a write in `window` mode was made: nothing later can have left unrecorded.
    unledgered_ns: Option<i128>,
    /// The latest instant counted when a write with a retention was made, and the least such retention.
    expiring: Option<(i128, i128)>,
    /// Its item or one of its pages was damaged at some time.
    damaged: bool,
    damaged_page: bool,
}

/// Where a dead letter's reading stands, or its whole record: (incarnation of the stream, shard, record, occurrence).
type LetterPlace = (u32, usize, usize, Option<usize>);

/// How a dead letter is judged: by the settings of the aggregator that made it, and the time by its clock.
pub(crate) struct Judge<'j> {
    pub settings: &'j Settings,
    pub now_ns: i128,
    pub coverage: &'j mut Coverage,
}

/// The oracle.
#[derive(Debug)]
pub(crate) struct Oracle<'a> {
    schedule: &'a Schedule,
    known: Vec<Known>,
    /// For each device and reading: all readings of its identity, a bit each.
    identities: Vec<Vec<u64>>,
    /// Dead letters' ids, and what each stands for.
    letter_ids: BTreeMap<String, LetterPlace>,
    latest_counted: Vec<Option<i128>>,
    earliest_counted: Vec<Option<i128>>,
}

impl<'a> Oracle<'a> {
    pub fn new(schedule: &'a Schedule) -> Self {
        let identities = schedule.devices.iter().map(|device| {
            let same = |one| device.readings.iter().enumerate().filter(move |(_, other)| one == *other);
            device.readings.iter().map(|one| same(one).fold(0, |bits, (at, _)| bits | 1 << at)).collect()
        });
        let devices = schedule.devices.len();
        Oracle {
            schedule,
            known: vec![Known::default(); devices],
            identities: identities.collect(),
            letter_ids: BTreeMap::new(),
            latest_counted: vec![None; devices],
            earliest_counted: vec![None; devices],
        }
    }

    pub fn device(&self, id: &str) -> Option<usize> {
        self.schedule.devices.iter().position(|device| device.id.as_str() == id)
    }

    /// A record is in the stream.
    pub fn stored(&mut self, occurrences: &[Occurrence]) {
        for occurrence in occurrences.iter().filter(|occurrence| occurrence.expected.is_none()) {
            if let Content::Reading { device, reading } = occurrence.content {
                self.known[device].stored |= 1 << reading;
            }
        }
    }

    pub fn damaged(&mut self, device: usize, page: bool) {
        self.known[device].damaged |= !page;
        self.known[device].damaged_page |= page;
    }

    pub fn is_counted(&self, device: usize, reading: usize) -> bool {
        self.known[device].counted & (1 << reading) != 0
    }

    /// A write took effect: by an aggregator with these settings, at this time.
    pub fn written(
        &mut self,
        device: usize,
        item: &StatisticsItem,
        settings: &Settings,
        now_ns: i128,
        coverage: &mut Coverage,
    ) -> Verdict {
        let counted = self.counted_of(device, &item.attributes)?;
        let readings = &self.schedule.devices[device].readings;
        let known = &mut self.known[device];
        if item.revision <= known.revision {
            let detail = format!("revision {} after {}", item.revision, known.revision);
            return broken(Guarantee::WriteBounds, detail);
        }
        known.revision = item.revision;
        if known.counted & !counted != 0 {
            let lost = names(known.counted & !counted);
            return broken(Guarantee::Kept, format!("device {device}: readings {lost} were counted, and are no more"));
        }
        if counted & !known.stored != 0 {
            let made_up = names(counted & !known.stored);
            return broken(Guarantee::CountedOnce, format!("device {device}: readings {made_up} were never stored"));
        }
        let new = counted & !known.counted;
        for reading in bits(new) {
            let same = self.identities[device][reading] & counted;
            if same.count_ones() > 1 {
                let detail = format!("device {device}: readings {} are of one identity, all counted", names(same));
                return broken(Guarantee::CountedOnce, detail);
            }
            coverage.branch(Branch::Counted);
            let timestamp_ns = readings[reading].timestamp_ns;
            if now_ns - timestamp_ns > 30 * 86_400_000_000_000 {
                coverage.branch(Branch::LateMonths);
            }
            self.latest_counted[device] = self.latest_counted[device].max(Some(timestamp_ns));
            let earliest = self.earliest_counted[device].unwrap_or(i128::MAX);
            self.earliest_counted[device] = Some(earliest.min(timestamp_ns));
        }
        known.counted = counted;
        let latest = self.latest_counted[device];
        match settings.ledger {
            LedgerMode::Window => known.unledgered_ns = latest,
            LedgerMode::Full { retention: Some(retention) } => {
                let retention_ns = retention.as_nanos() as i128;
                let least = known.expiring.map_or(retention_ns, |(_, least)| least.min(retention_ns));
                known.expiring = latest.map(|latest| (latest, least));
            }
            LedgerMode::Full { retention: None } => {}
        }
        self.attributes_agree(device, &item.attributes)
    }

    /// Which readings an item holds.
    fn counted_of(&self, device: usize, attributes: &StatisticsAttributes) -> Result<u64, Violation> {
        let wrong = |detail: String| Violation { guarantee: Guarantee::CountedOnce, detail };
        let sum = attributes.mean.unwrap_or(0.0) * attributes.count as f64;
        let whole = sum.round();
        if !(0.0..1e15).contains(&sum) || (sum - whole).abs() > 0.25 {
            return Err(wrong(format!("device {device}: no set of readings has the sum {sum}")));
        }
        let sum = whole as u64;
        let readings = self.schedule.devices[device].readings.len();
        let counted = sum & ((1 << readings) - 1);
        if sum != counted || u64::from(counted.count_ones()) != attributes.count {
            let detail = format!(
                "device {device}: {} readings of the sum {whole} are not each of {} once",
                attributes.count,
                names(counted)
            );
            return Err(wrong(detail));
        }
        Ok(counted)
    }

    /// The other attributes say what the set of counted readings says.
    fn attributes_agree(&self, device: usize, attributes: &StatisticsAttributes) -> Verdict {
        let counted = self.known[device].counted;
        let values = || bits(counted).map(value_of);
        let count = f64::from(counted.count_ones());
        let mean = values().sum::<f64>() / count;
        let squares = values().map(|value| (value - mean).powi(2)).sum::<f64>();
        let deviation = (count > 1.0).then(|| (squares / (count - 1.0)).sqrt());
        let close = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (Some(one), Some(other)) => (one - other).abs() <= 1e-9 * other.abs(),
            (one, other) => one == other,
        };
        let instant = |ns: Option<i128>| ns.and_then(Timestamp::from_nanosecond);
        let agrees = attributes.minimum == values().reduce(f64::min)
            && attributes.maximum == values().reduce(f64::max)
            && close(attributes.standard_deviation, deviation)
            && attributes.first_timestamp == instant(self.earliest_counted[device])
            && attributes.last_timestamp == instant(self.latest_counted[device]);
        if agrees { Ok(()) } else { broken(Guarantee::Kept, format!("device {device}: {attributes:?}")) }
    }

    /// A dead letter was stored for this occurrence of this record.
    pub fn letter(
        &mut self,
        letter: &DeadLetter,
        (place, occurrence): (LetterPlace, usize),
        record: &Stored,
        mut judge: Judge<'_>,
    ) -> Verdict {
        let occurrence = record.occurrences[occurrence];
        let wrong = |detail: String| broken(Guarantee::LetterTrue, format!("{} {detail}", letter.reason));
        if *self.letter_ids.entry(letter.id.clone()).or_insert(place) != place {
            return wrong(format!("two dead letters have the id {}", letter.id));
        }
        if letter.arrived_at != record.arrived_at || letter.partition_key != self.partition_key(&occurrence, record) {
            return wrong("does not say where it came from".to_owned());
        }
        if let Some(expected) = occurrence.expected {
            judge.coverage.branch(branch_of(expected));
            if letter.reason != expected {
                return wrong(format!("where {expected} was expected"));
            }
        }
        let payload = base64::engine::general_purpose::STANDARD.decode(&letter.payload_base64).unwrap_or_default();
        let Content::Reading { device, reading } = occurrence.content else {
            return if payload == record.data { Ok(()) } else { wrong("does not hold the whole record".to_owned()) };
        };
        let given = &self.schedule.devices[device].readings[reading];
        let whole = telemetry::parse_reading(&payload).is_ok_and(|parsed| {
            parsed.device_id == self.schedule.devices[device].id
                && parsed.timestamp.as_nanosecond() == given.timestamp_ns
                && parsed.value == value_of(reading)
                && parsed.event_id.as_ref().map(|id| id.as_str()) == given.event_id.as_deref()
        });
        if !whole {
            return wrong("does not hold the whole reading".to_owned());
        }
        if occurrence.expected.is_some() {
            return Ok(());
        }
        if self.may_be_rejected(letter.reason, device, reading, &mut judge) {
            return Ok(());
        }
        wrong(format!("for reading {reading} of device {device}"))
    }

    /// Whether the rules allow this reason, told after planning, for a reading.
    fn may_be_rejected(&self, reason: RejectReason, device: usize, reading: usize, judge: &mut Judge<'_>) -> bool {
        let known = &self.known[device];
        match reason {
            RejectReason::ConflictingDuplicate => {
                judge.coverage.branch(Branch::ConflictingDuplicate);
                let counted = known.counted & self.identities[device][reading];
                counted != 0 && counted & (1 << reading) == 0
            }
            RejectReason::Late => {
                let timestamp_ns = self.schedule.devices[device].readings[reading].timestamp_ns;
                self.may_be_late(device, timestamp_ns, judge)
            }
            RejectReason::CorruptState => {
                if known.damaged {
                    judge.coverage.branch(Branch::CorruptState);
                }
                if known.damaged_page {
                    judge.coverage.branch(Branch::CorruptPage);
                }
                known.damaged || known.damaged_page
            }
            _ => false,
        }
    }

    /// A dead letter was stored for a whole record. It must hold for every reading that is not counted, and for no more of
    /// any reason than can have it.
    pub fn whole_record_letter(
        &mut self,
        letter: &DeadLetter,
        by_reason: &BTreeMap<RejectReason, u64>,
        place: LetterPlace,
        record: &mut Stored,
        mut judge: Judge<'_>,
    ) -> Verdict {
        judge.coverage.branch(Branch::WholeRecord);
        let wrong = |detail: String| broken(Guarantee::LetterTrue, format!("the letter of a whole record {detail}"));
        if *self.letter_ids.entry(letter.id.clone()).or_insert(place) != place {
            return wrong(format!("shares the id {}", letter.id));
        }
        if letter.arrived_at != record.arrived_at || letter.partition_key != record.partition_key {
            return wrong("does not say where it came from".to_owned());
        }
        let payload = base64::engine::general_purpose::STANDARD.decode(&letter.payload_base64).unwrap_or_default();
        if payload != record.data {
            return wrong("does not hold it whole".to_owned());
        }
        let most = by_reason.values().max();
        if by_reason.get(&letter.reason) != most || by_reason.values().sum::<u64>() <= letters_max(judge.settings) {
            return wrong(format!("gives {} for {by_reason:?}", letter.reason));
        }
        let mut not_counted = 0;
        let mut possible: BTreeMap<RejectReason, (u64, u64)> = BTreeMap::new();
        for occurrence in &mut record.occurrences {
            let Content::Reading { device, reading } = occurrence.content else { continue };
            if let Some(expected) = occurrence.expected {
                judge.coverage.branch(branch_of(expected));
                let (least, most) = possible.entry(expected).or_default();
                (*least, *most) = (*least + 1, *most + 1);
                occurrence.has_letter = true;
                continue;
            }
            occurrence.has_letter |= !self.is_counted(device, reading);
            not_counted += u64::from(!self.is_counted(device, reading));
            for reason in [RejectReason::ConflictingDuplicate, RejectReason::Late, RejectReason::CorruptState] {
                if by_reason.contains_key(&reason) && self.may_be_rejected(reason, device, reading, &mut judge) {
                    possible.entry(reason).or_default().1 += 1;
                }
            }
        }
        let expected: u64 = possible.values().map(|(least, _)| least).sum();
        if by_reason.values().sum::<u64>() < expected + not_counted {
            return wrong(format!("holds for {by_reason:?}, and {expected} and {not_counted} cannot be counted"));
        }
        let of = |reason| possible.get(&reason).copied().unwrap_or_default();
        let is_possible = |(reason, count): (&RejectReason, &u64)| (of(*reason).0..=of(*reason).1).contains(count);
        let has_expected = possible.iter().all(|(reason, (least, _))| *least == 0 || by_reason.contains_key(reason));
        if has_expected && by_reason.iter().all(is_possible) {
            return Ok(());
        }
        wrong(format!("holds for {by_reason:?} where {possible:?} is possible"))
    }

    fn partition_key<'r>(&self, occurrence: &Occurrence, record: &'r Stored) -> std::borrow::Cow<'r, str> {
        match (occurrence.sub_sequence_number, occurrence.content, occurrence.expected) {
            (Some(_), Content::Reading { device, .. }, expected)
                if expected != Some(RejectReason::PartitionKeyMismatch) =>
            {
                self.schedule.devices[device].id.as_str().to_owned().into()
            }
            (Some(_), ..) => crate::content::FOREIGN_KEY.into(),
            (None, ..) => record.partition_key.as_str().into(),
        }
    }

    /// Whether the rules allow a reading to be given up as too old.
    fn may_be_late(&self, device: usize, timestamp_ns: i128, judge: &mut Judge<'_>) -> bool {
        let Judge { settings, now_ns, coverage } = judge;
        let (known, now_ns) = (&self.known[device], *now_ns);
        // What is newer than everything counted is newer than every floor.
        if self.latest_counted[device].is_none_or(|latest| timestamp_ns > latest) {
            return false;
        }
        let older_than = |retention_ns: i128| timestamp_ns < now_ns - retention_ns;
        if settings.ledger == LedgerMode::Window {
            coverage.branch(Branch::LateWindow);
            return true;
        }
        if let LedgerMode::Full { retention: Some(retention) } = settings.ledger
            && older_than(retention.as_nanos() as i128)
        {
            coverage.branch(Branch::LateRetention);
            return true;
        }
        if known.unledgered_ns.is_some_and(|unledgered| timestamp_ns <= unledgered) {
            coverage.branch(Branch::LateUnledgered);
            return true;
        }
        let expired = |(latest, least): (i128, i128)| timestamp_ns <= latest && older_than(least);
        if known.expiring.is_some_and(expired) {
            coverage.branch(Branch::LateExpiring);
            return true;
        }
        false
    }

    /// At the end, with nothing left to do: every reading in the stream is counted, or has its dead letter.
    pub fn finish<'s>(&self, records: impl Iterator<Item = &'s Stored>) -> Verdict {
        for record in records {
            if record.discarded || record.replayed {
                continue;
            }
            for occurrence in &record.occurrences {
                let counted = match occurrence.content {
                    Content::Reading { device, reading } => {
                        occurrence.expected.is_none() && self.is_counted(device, reading)
                    }
                    Content::Garbage(_) => false,
                };
                if !counted && !occurrence.has_letter {
                    let detail = format!(
                        "{:?} of record {} was neither counted nor made a dead letter",
                        occurrence.content, record.sequence
                    );
                    return broken(Guarantee::Accounted, detail);
                }
            }
        }
        Ok(())
    }
}

fn letters_max(settings: &Settings) -> u64 {
    settings.letters_per_record_max as u64
}

fn branch_of(reason: RejectReason) -> Branch {
    match reason {
        RejectReason::MalformedJson => Branch::MalformedJson,
        RejectReason::InvalidReading => Branch::InvalidReading,
        RejectReason::FutureTimestamp => Branch::FutureTimestamp,
        RejectReason::PartitionKeyMismatch => Branch::PartitionKeyMismatch,
        RejectReason::BadAggregate => Branch::BadAggregate,
        RejectReason::ConflictingDuplicate => Branch::ConflictingDuplicate,
        RejectReason::Late => Branch::LateWindow,
        RejectReason::CorruptState => Branch::CorruptState,
    }
}

fn bits(set: u64) -> impl Iterator<Item = usize> {
    (0..64).filter(move |bit| set & (1 << bit) != 0)
}

fn names(set: u64) -> String {
    bits(set).map(|bit| bit.to_string()).collect::<Vec<_>>().join(", ")
}
