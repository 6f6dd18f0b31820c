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

/// The quotient of numbers that most often fit 64 bits.
pub(crate) fn divided(dividend: u128, divisor: u128) -> u128 {
    match (u64::try_from(dividend), u64::try_from(divisor)) {
        (Ok(dividend), Ok(divisor)) => u128::from(dividend / divisor),
        _ => dividend / divisor,
    }
}

fn greatest_common_divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = match (u64::try_from(a), u64::try_from(b)) {
            (Ok(a), Ok(b)) => (u128::from(b), u128::from(a % b)),
            _ => (b, a % b),
        };
    }
    a
}

impl Gaps {
    fn of(entries: &[Entry]) -> Option<Self> {
        let mut gaps = entries.windows(2).map(gap);
        let first = gaps.next()?;
        // What divides the differences from one gap divides those from the least.
        let (least, divisor) = gaps.fold((first, 0), |(least, divisor), gap| {
            let divisor = if gap == first { divisor } else { greatest_common_divisor(gap.abs_diff(first), divisor) };
            (least.min(gap), divisor)
        });
        let mut lengths = BitLengths::default();
        if divisor > 0 {
            entries.windows(2).for_each(|pair| lengths.add(divided(gap(pair) - least, divisor)));
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
            let units = divided(gap(&entries[index - 1..=index]) - gaps.least, gaps.divisor);
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

/// Reads a whole run; see [`IdentityRun`].
pub(crate) fn read_identities(
    reader: &mut BitReader<'_>,
    at_distance: impl FnOnce(i128) -> i128,
) -> Result<Vec<Entry>, CorruptState> {
    let mut run = IdentityRun::open(reader, at_distance)?;
    let mut entries = Vec::with_capacity(run.left as usize);
    while let Some(entry) = run.next()? {
        entries.push(entry);
    }
    Ok(entries)
}

/// A run, read entry by entry: sorted, without repetition, within RFC 3339's years, and in the only form that
/// [`write_identities`] gives it, or an error. The last is known once [`Self::next`] has answered `None`.
pub(crate) struct IdentityRun<'r, 'a> {
    reader: &'r mut BitReader<'a>,
    left: u64,
    first_ns: i128,
    any: bool,
    some: bool,
    gaps: Option<Gaps>,
    before: Option<Identity>,
    seen: Seen,
}

/// What the entries read so far would have made [`write_identities`] say before them.
#[derive(Default)]
struct Seen {
    with_event_id: bool,
    without_event_id: bool,
    /// Gaps over the least one, in units of the divisor: the least, the greatest common divisor, the bit lengths.
    least: Option<u128>,
    divisor: u128,
    lengths: BitLengths,
}

impl<'r, 'a> IdentityRun<'r, 'a> {
    /// Reads what comes before the entries. The first timestamp is what `at_distance` makes of the distance written.
    pub(crate) fn open(
        reader: &'r mut BitReader<'a>,
        at_distance: impl FnOnce(i128) -> i128,
    ) -> Result<Self, CorruptState> {
        let left = reader.read_number(32)? as u64;
        let empty = |reader| Self {
            reader,
            left,
            first_ns: 0,
            any: false,
            some: false,
            gaps: None,
            before: None,
            seen: Seen::default(),
        };
        if left == 0 {
            return Ok(empty(reader));
        }
        if left as usize * 16 > reader.remaining() {
            return Err(CorruptState::Truncated);
        }
        let first_ns = at_distance(reader.read_number(TIMESTAMP_BITS)? as i128);
        let any = reader.read_bool()?;
        let some = reader.read_bool()?;
        let gaps = if left > 1 { Some(read_gaps(reader)?) } else { None };
        Ok(Self { first_ns, any, some, gaps, ..empty(reader) })
    }

    /// The first timestamp; the entries must be of the years that [`Self::next`] checks.
    pub(crate) fn first_ns(&self) -> i128 {
        self.first_ns
    }

    /// The last timestamp, where it follows from what comes before the entries: their gaps are all equal and not zero.
    pub(crate) fn regular_last_ns(&self) -> Option<i128> {
        let gap = match &self.gaps {
            None => 0,
            Some(gaps) if gaps.divisor == 0 && gaps.least > 0 => i128::try_from(gaps.least).ok()?,
            Some(_) => return None,
        };
        let last_ns = gap.checked_mul(i128::from(self.left.checked_sub(1)?))?.checked_add(self.first_ns)?;
        let is_in_range = EARLIEST_NS <= self.first_ns && last_ns <= LATEST_NS;
        (!self.some && is_in_range).then_some(last_ns)
    }

    /// Passes over the entries of a run that has a [`Self::regular_last_ns`]: any bits are such entries.
    pub(crate) fn skip_regular(self) -> Result<(), CorruptState> {
        let bits = if self.any { 16 + 64 } else { 16 };
        self.reader.skip(self.left as usize * bits)
    }

    /// The next entry.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, CorruptState> {
        if self.left == 0 {
            return if self.is_canonical() { Ok(None) } else { Err(CorruptState::NotCanonical) };
        }
        self.left -= 1;
        let timestamp_ns = match self.before {
            None => self.first_ns,
            Some(before) => {
                self.read_gap()?.and_then(|gap| before.timestamp_ns.checked_add(gap)).ok_or(OUT_OF_RANGE)?
            }
        };
        if !(EARLIEST_NS..=LATEST_NS).contains(&timestamp_ns) {
            return Err(OUT_OF_RANGE);
        }
        let value_check = self.reader.read(16)? as u16;
        let has_event_id = if self.some { self.reader.read_bool()? } else { self.any };
        let event_id_hash = if has_event_id { Some(self.reader.read(64)?) } else { None };
        self.seen.with_event_id |= has_event_id;
        self.seen.without_event_id |= !has_event_id;
        let identity = Identity { timestamp_ns, event_id_hash };
        if self.before.is_some_and(|before| before >= identity) {
            return Err(CorruptState::Invariant("identities ascend"));
        }
        self.before = Some(identity);
        Ok(Some((identity, value_check)))
    }

    /// The gap to the next entry; `None` where it is out of range.
    fn read_gap(&mut self) -> Result<Option<i128>, CorruptState> {
        let Some(gaps) = &self.gaps else { return Ok(None) };
        if gaps.divisor == 0 {
            return Ok(i128::try_from(gaps.least).ok());
        }
        let units = self.reader.read_class_code(gaps.parameter, TIMESTAMP_BITS)?;
        self.seen.least = Some(self.seen.least.map_or(units, |least| least.min(units)));
        if self.seen.divisor != 1 {
            self.seen.divisor = greatest_common_divisor(units, self.seen.divisor);
        }
        self.seen.lengths.add(units);
        let over_least = units.checked_mul(gaps.divisor);
        Ok(over_least.and_then(|gap| gap.checked_add(gaps.least)).and_then(|gap| i128::try_from(gap).ok()))
    }

    /// Whether what came before the entries is what these entries make of it.
    fn is_canonical(&self) -> bool {
        let Seen { with_event_id, without_event_id, least, divisor, lengths } = &self.seen;
        let gaps_are = self.gaps.as_ref().is_none_or(|gaps| {
            gaps.divisor == 0 || (*least == Some(0) && *divisor == 1 && lengths.best_parameter().0 == gaps.parameter)
        });
        gaps_are && self.any == *with_event_id && self.some == (*with_event_id && *without_event_id)
    }
}

const OUT_OF_RANGE: CorruptState = CorruptState::Invariant("timestamps are of the years 0000 to 9999");

fn read_gaps(reader: &mut BitReader<'_>) -> Result<Gaps, CorruptState> {
    let least = reader.read_number(TIMESTAMP_BITS)?;
    let divisor = reader.read_number(TIMESTAMP_BITS)?;
    let parameter = if divisor > 0 { reader.read(6)? as u32 } else { 0 };
    Ok(Gaps { least, divisor, parameter })
}
