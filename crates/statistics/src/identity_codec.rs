//! The binary form of a sorted run of identities, shared by the state's window and the ledger's pages.
//!
//! Number of identities; the distance of the first timestamp from one that the reader knows; whether none, all or some have an `event_id` (2 bits); with two or more: the least gap between
//! neighbours, the greatest common divisor of all gaps over it, and unless that is 0 a code parameter (6 bits). Then per
//! identity: its gap over the least one in units of the divisor (class code; not for the first), its value check
//! (16 bits), a bit for the `event_id` where only some have one, and the `event_id` hash (64 bits). Timestamps come
//! back to the nanosecond; regular ones cost nothing beyond the check.

use crate::CorruptState;
use crate::bits::{BitLengths, BitReader, BitWriter};
use crate::identity::{EARLIEST_NS, Identity, LATEST_NS};

/// An identity and the check of its value.
pub(crate) type Entry = (Identity, u16);

/// Bits that any timestamp, and any difference of two, fits in.
pub(crate) const TIMESTAMP_BITS: u32 = 70;

struct Gaps {
    least: u128,
    divisor: u128,
    parameter: u32,
}

fn gap(pair: &[Entry]) -> u128 {
    (pair[1].0.timestamp_ns - pair[0].0.timestamp_ns) as u128
}

fn greatest_common_divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl Gaps {
    fn of(entries: &[Entry]) -> Option<Self> {
        let least = entries.windows(2).map(gap).min()?;
        let divisor = entries.windows(2).fold(0, |divisor, pair| greatest_common_divisor(gap(pair) - least, divisor));
        let mut lengths = BitLengths::default();
        if divisor > 0 {
            entries.windows(2).for_each(|pair| lengths.add((gap(pair) - least) / divisor));
        }
        Some(Self { least, divisor, parameter: lengths.best_parameter().0 })
    }
}

/// Writes a sorted run, its first timestamp as the distance (not negative) that `distance` makes of it.
pub(crate) fn write_identities(writer: &mut BitWriter, entries: &[Entry], distance: impl FnOnce(i128) -> i128) {
    writer.write_number(entries.len() as u128);
    let Some(first) = entries.first() else {
        return;
    };
    writer.write_number(distance(first.0.timestamp_ns) as u128);
    let with_event_id = entries.iter().filter(|(identity, _)| identity.event_id_hash.is_some()).count();
    let some = with_event_id > 0 && with_event_id < entries.len();
    writer.write_bool(with_event_id > 0);
    writer.write_bool(some);
    let gaps = Gaps::of(entries);
    if let Some(gaps) = &gaps {
        writer.write_number(gaps.least);
        writer.write_number(gaps.divisor);
        if gaps.divisor > 0 {
            writer.write(u64::from(gaps.parameter), 6);
        }
    }
    for (index, (identity, value_check)) in entries.iter().enumerate() {
        if let (Some(gaps), true) = (gaps.as_ref().filter(|gaps| gaps.divisor > 0), index > 0) {
            let units = (gap(&entries[index - 1..=index]) - gaps.least) / gaps.divisor;
            writer.write_class_code(units, gaps.parameter);
        }
        writer.write(u64::from(*value_check), 16);
        if some {
            writer.write_bool(identity.event_id_hash.is_some());
        }
        if let Some(hash) = identity.event_id_hash {
            writer.write(hash, 64);
        }
    }
}

/// Reads a run whose first timestamp is what `at_distance` makes of the distance written. Sorted, without repetition
/// and within RFC 3339's years, or an error.
pub(crate) fn read_identities(
    reader: &mut BitReader<'_>,
    at_distance: impl FnOnce(i128) -> i128,
) -> Result<Vec<Entry>, CorruptState> {
    let length = reader.read_number(32)?;
    if length == 0 {
        return Ok(Vec::new());
    }
    if length * 16 > reader.remaining() as u128 {
        return Err(CorruptState::Truncated);
    }
    let mut timestamp_ns = at_distance(reader.read_number(TIMESTAMP_BITS)? as i128);
    let any = reader.read_bool()?;
    let some = reader.read_bool()?;
    let gaps = if length > 1 { Some(read_gaps(reader)?) } else { None };
    let mut entries: Vec<Entry> = Vec::with_capacity(length as usize);
    for index in 0..length {
        if let (Some(gaps), true) = (&gaps, index > 0) {
            let units = if gaps.divisor > 0 { reader.read_class_code(gaps.parameter, TIMESTAMP_BITS)? } else { 0 };
            let over_least = units.checked_mul(gaps.divisor).ok_or(OUT_OF_RANGE)?;
            let gap = over_least.checked_add(gaps.least).and_then(|gap| i128::try_from(gap).ok());
            timestamp_ns = gap.and_then(|gap| timestamp_ns.checked_add(gap)).ok_or(OUT_OF_RANGE)?;
        }
        if !(EARLIEST_NS..=LATEST_NS).contains(&timestamp_ns) {
            return Err(OUT_OF_RANGE);
        }
        let value_check = reader.read(16)? as u16;
        let has_event_id = if some { reader.read_bool()? } else { any };
        let event_id_hash = if has_event_id { Some(reader.read(64)?) } else { None };
        let identity = Identity { timestamp_ns, event_id_hash };
        if entries.last().is_some_and(|(before, _)| *before >= identity) {
            return Err(CorruptState::Invariant("identities ascend"));
        }
        entries.push((identity, value_check));
    }
    Ok(entries)
}

const OUT_OF_RANGE: CorruptState = CorruptState::Invariant("timestamps are of the years 0000 to 9999");

fn read_gaps(reader: &mut BitReader<'_>) -> Result<Gaps, CorruptState> {
    let least = reader.read_number(TIMESTAMP_BITS)?;
    let divisor = reader.read_number(TIMESTAMP_BITS)?;
    let parameter = if divisor > 0 { reader.read(6)? as u32 } else { 0 };
    Ok(Gaps { least, divisor, parameter })
}
