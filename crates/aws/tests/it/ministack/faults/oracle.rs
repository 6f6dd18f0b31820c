//! What must be at the end, told from what the stream holds and from nothing else.
//!
//! Each reading's value is a power of two of its own, so that `mean × count` of an item says exactly which readings it
//! holds, each once.

use ports::{DeadLetter, PutReceipt};
use simulation::content::{Content, Entry, FOREIGN_KEY, Occurrence, value_of};
use simulation::model::Schedule;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use telemetry::{DeviceId, RejectReason, Timestamp};

/// A record, as the stream holds it.
pub struct Truth {
    pub shard_id: String,
    pub sequence_number: String,
    pub partition_key: String,
    pub data: Vec<u8>,
    /// In milliseconds.
    pub arrived_at: i128,
}

/// A message of the dead-letter queue.
pub struct Received {
    pub letter: DeadLetter,
    /// Its attribute.
    pub reason: Option<String>,
}

/// Everything that is there at the end.
pub struct End<'a> {
    pub schedule: &'a Schedule,
    /// What the producer put, and where the stream said that it is.
    pub acknowledged: Vec<(Entry, PutReceipt)>,
    /// How many entries the producer had to put.
    pub put: usize,
    pub truth: Vec<Truth>,
    pub items: Vec<HashMap<String, String>>,
    pub letters: Vec<Received>,
    pub archived_ids: BTreeSet<String>,
}

/// Shard, sequence number, sub-sequence number, index.
type Place = (String, String, Option<u64>, Option<u32>);

/// A reading in the stream, or what stands in its stead.
struct Found<'a> {
    occurrence: Occurrence,
    record: &'a Truth,
}

type Verdict<T = ()> = Result<T, String>;

impl End<'_> {
    /// What is wrong, if anything is.
    pub fn verdict(&self) -> Verdict {
        self.acknowledged_is_stored()?;
        let found = self.found()?;
        let mut counted = Vec::new();
        for device in 0..self.schedule.devices.len() {
            counted.push(self.counted(device)?);
            self.each_identity_is_counted_once(device, counted[device], &found)?;
        }
        self.letters_are_right(&found, &counted)
    }

    fn acknowledged_is_stored(&self) -> Verdict {
        if self.acknowledged.len() != self.put {
            return Err(format!("{} entries put, {} acknowledged", self.put, self.acknowledged.len()));
        }
        let place = |shard: &str, number: &str| (shard.to_owned(), number.to_owned());
        let stored: HashMap<_, &Truth> =
            self.truth.iter().map(|record| (place(&record.shard_id, &record.sequence_number), record)).collect();
        for (entry, receipt) in &self.acknowledged {
            let at = place(&receipt.shard_id.0, &receipt.sequence_number.to_string());
            if stored.get(&at).is_none_or(|record| record.data != entry.data) {
                return Err(format!("acknowledged, and not in the stream: {receipt:?}"));
            }
        }
        Ok(())
    }

    /// Every reading in the stream, by its place.
    fn found(&self) -> Verdict<BTreeMap<Place, Found<'_>>> {
        let entries = self.acknowledged.iter().map(|(entry, _)| ((&entry.partition_key, &entry.data), entry));
        let known: HashMap<_, &Entry> = entries.collect();
        let mut found = BTreeMap::new();
        for record in &self.truth {
            let entry = known.get(&(&record.partition_key, &record.data)).ok_or("nobody put a record of the stream")?;
            for occurrence in entry.occurrences.iter().copied() {
                let Occurrence { sub_sequence_number, index, .. } = occurrence;
                let place = (record.shard_id.clone(), record.sequence_number.clone(), sub_sequence_number, index);
                found.insert(place, Found { occurrence, record });
            }
        }
        Ok(found)
    }

    /// Which readings the table holds of a device, a bit each.
    fn counted(&self, device: usize) -> Verdict<u64> {
        let (item, readings) = (&self.items[device], self.schedule.devices[device].readings.len());
        if item.is_empty() {
            return Ok(0);
        }
        let number = |name: &str| {
            let text = item.get(name).ok_or_else(|| format!("device {device}: no `{name}`"))?;
            text.parse::<f64>().map_err(|error| format!("device {device}: `{name}`: {error}"))
        };
        let (count, mean) = (number("count")?, number("mean")?);
        let sum = (mean * count).round();
        let counted = sum as u64;
        let is_a_set =
            (mean * count - sum).abs() <= 0.25 && counted < 1 << readings && f64::from(counted.count_ones()) == count;
        if !is_a_set {
            return Err(format!("device {device}: {count} readings of the sum {sum} are not some readings, each once"));
        }
        let values = || bits(counted).map(value_of);
        let instants = || bits(counted).map(|at| self.schedule.devices[device].readings[at].timestamp_ns);
        let instant = |ns: Option<i128>| ns.and_then(Timestamp::from_nanosecond).map(|at| at.to_string());
        let agrees = Some(number("minimum")?) == values().reduce(f64::min)
            && Some(number("maximum")?) == values().reduce(f64::max)
            && item.get("first_timestamp").cloned() == instant(instants().min())
            && item.get("last_timestamp").cloned() == instant(instants().max());
        if agrees { Ok(counted) } else { Err(format!("device {device}: not the statistics of {counted:#b}: {item:?}")) }
    }

    /// All readings of the same identity, a bit each.
    fn identity(&self, device: usize, reading: usize) -> u64 {
        let readings = &self.schedule.devices[device].readings;
        let same = readings.iter().enumerate().filter(|(_, other)| **other == readings[reading]);
        same.fold(0, |bits, (at, _)| bits | 1 << at)
    }

    fn each_identity_is_counted_once(
        &self,
        device: usize,
        counted: u64,
        found: &BTreeMap<Place, Found<'_>>,
    ) -> Verdict {
        let mut stored = 0u64;
        for occurrence in found.values().map(|found| &found.occurrence) {
            match occurrence.content {
                Content::Reading { device: of, reading } if of == device && occurrence.expected.is_none() => {
                    stored |= 1 << reading;
                }
                _ => {}
            }
        }
        if counted & !stored != 0 {
            return Err(format!("device {device}: counted {:#b}, which nobody put", counted & !stored));
        }
        for reading in bits(stored) {
            let same = self.identity(device, reading) & counted;
            if same.count_ones() != 1 {
                let times = same.count_ones();
                return Err(format!("device {device}: the identity of reading {reading} is counted {times} times"));
            }
        }
        Ok(())
    }

    /// Why a reading must be a dead letter, if it must.
    fn reason(&self, occurrence: &Occurrence, counted: &[u64]) -> Option<RejectReason> {
        let of_ledger = match occurrence.content {
            Content::Reading { device, reading } if counted[device] & (1 << reading) == 0 => {
                Some(RejectReason::ConflictingDuplicate)
            }
            _ => None,
        };
        occurrence.expected.or(of_ledger)
    }

    fn letters_are_right(&self, found: &BTreeMap<Place, Found<'_>>, counted: &[u64]) -> Verdict {
        let mut missing: BTreeMap<&Place, RejectReason> =
            found.iter().filter_map(|(place, found)| Some((place, self.reason(&found.occurrence, counted)?))).collect();
        let due = missing.clone();
        let mut places: HashMap<&str, Place> = HashMap::new();
        for Received { letter, reason } in &self.letters {
            let DeadLetter { shard_id, sequence_number, sub_sequence_number, index, .. } = letter;
            let place = (shard_id.clone(), sequence_number.clone(), *sub_sequence_number, *index);
            missing.remove(&place);
            if due.get(&place) != Some(&letter.reason) || reason.as_deref() != Some(letter.reason.as_str()) {
                let expected = due.get(&place);
                return Err(format!("dead letter {} {reason:?} of {place:?}, expected {expected:?}", letter.reason));
            }
            if *places.entry(&letter.id).or_insert_with(|| place.clone()) != place {
                return Err(format!("two dead letters have the id {}", letter.id));
            }
            self.is_whole(letter, &found[&place]).map_err(|wrong| format!("dead letter of {place:?}: {wrong}"))?;
        }
        if let Some((place, reason)) = missing.first_key_value() {
            let occurrence = &found[*place].occurrence.content;
            return Err(format!("{occurrence:?} at {place:?} is not counted, and no dead letter {reason}"));
        }
        let ids: BTreeSet<&str> = places.keys().copied().collect();
        let archived: BTreeSet<&str> = self.archived_ids.iter().map(String::as_str).collect();
        // A letter whose message failed is archived all the same.
        if let Some(id) = ids.difference(&archived).next() {
            return Err(format!("dead letter {id} is not in the archive"));
        }
        if ids.len() != due.len() {
            return Err(format!("{} dead letters have {} ids", due.len(), ids.len()));
        }
        Ok(())
    }

    fn is_whole(&self, letter: &DeadLetter, found: &Found<'_>) -> Verdict {
        use base64::Engine as _;
        let Found { occurrence, record } = found;
        let payload = base64::engine::general_purpose::STANDARD.decode(&letter.payload_base64).unwrap_or_default();
        let device = match occurrence.content {
            Content::Reading { device, reading } => {
                let (of, given) = (&self.schedule.devices[device].id, &self.schedule.devices[device].readings[reading]);
                let whole = telemetry::parse_reading(&payload).is_ok_and(|parsed| {
                    parsed.device_id == *of
                        && parsed.timestamp.as_nanosecond() == given.timestamp_ns
                        && parsed.value == value_of(reading)
                        && parsed.event_id.as_ref().map(|id| id.as_str()) == given.event_id.as_deref()
                });
                whole.then_some(Some(of)).ok_or("does not hold the whole reading")?
            }
            Content::Garbage(_) if payload == record.data => None,
            Content::Garbage(_) => return Err("does not hold the whole record".to_owned()),
        };
        let is_foreign = occurrence.expected == Some(RejectReason::PartitionKeyMismatch);
        let partition_key = match device {
            Some(_) if letter.sub_sequence_number.is_some() && is_foreign => FOREIGN_KEY,
            Some(device) if letter.sub_sequence_number.is_some() => device.as_str(),
            _ => &record.partition_key,
        };
        let says_so = letter.partition_key == partition_key
            && i128::from(letter.arrived_at.as_millisecond()) == record.arrived_at
            && (device.is_none() || letter.device_id.as_deref() == device.map(DeviceId::as_str));
        if says_so { Ok(()) } else { Err(format!("does not say where it came from: {letter:?}")) }
    }
}

fn bits(set: u64) -> impl Iterator<Item = usize> {
    (0..64).filter(move |bit| set & (1 << bit) != 0)
}
