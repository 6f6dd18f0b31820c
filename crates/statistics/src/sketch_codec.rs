//! The sketch's binary form.
//!
//! Version (8 bits) alone when empty. Else: shift (7), decimal places that suffice (10), whether the values stand as
//! decimals (1), code parameter of the gaps (6) and of the counts (6), number of buckets (number), the least value's
//! key (64), where the shift is not 0 the greatest value's key below the shift, then per bucket its gap to the one
//! before (class code of the gap less one; not for the first) and its count (class code of the count less one).

use crate::CorruptState;
use crate::bits::{BitLengths, BitReader, BitWriter, bit_length};
use crate::decimal::{DecimalPlaces, coefficient, decimal};
use crate::key::Bucket;
use crate::key::{GREATEST_KEY, LEAST_KEY, NEGATIVE_ZERO_KEY, key_of, value_of};
use crate::quantile_sketch::{LEAST_BYTE_CAP, QuantileSketch, shifted};

const VERSION: u8 = 1;
const HEADER_BITS: u64 = 8 + 7 + 10 + 1 + 6 + 6 + 64;

/// How the buckets are written: the parameters that make it shortest, and the bits that takes.
struct Form {
    places: Option<u32>,
    gap_parameter: u32,
    count_parameter: u32,
    bits: u64,
}

impl QuantileSketch {
    /// The bytes of this sketch: at most the cap, and the same for every order of pushes and merges.
    pub fn encode(&self) -> Vec<u8> {
        let sketch = self.settled();
        let mut writer = BitWriter::default();
        writer.write(u64::from(VERSION), 8);
        if sketch.total > 0 {
            sketch.write_buckets(&mut writer);
        }
        writer.finish()
    }

    fn write_buckets(&self, writer: &mut BitWriter) {
        let form = self.shortest_form();
        writer.write(u64::from(self.shift), 7);
        writer.write(u64::from(self.decimals.0), 10);
        writer.write_bool(form.places.is_some());
        writer.write(u64::from(form.gap_parameter), 6);
        writer.write(u64::from(form.count_parameter), 6);
        writer.write_number(self.buckets.len() as u128);
        writer.write(self.least_key, 64);
        if self.shift > 0 {
            writer.write(self.greatest_key & low_bits(self.shift), self.shift);
        }
        let mut before = None;
        for bucket in &self.buckets {
            let place = match form.places {
                Some(places) => decimal_place(bucket.key, places),
                None => i128::from(bucket.key),
            };
            if let Some(before) = before {
                writer.write_class_code((place - before - 1) as u128, form.gap_parameter);
            }
            writer.write_class_code(u128::from(bucket.count - 1), form.count_parameter);
            before = Some(place);
        }
    }

    /// Bits of the encoding at the present shift; what waits to be folded is left out.
    pub(crate) fn size_bits(&self) -> u64 {
        if self.buckets.is_empty() { 8 } else { self.shortest_form().bits }
    }

    fn shortest_form(&self) -> Form {
        let mut counts = BitLengths::default();
        self.buckets.iter().for_each(|bucket| counts.add(u128::from(bucket.count - 1)));
        let (count_parameter, count_bits) = counts.best_parameter();
        let (gap_parameter, gap_bits) = self.best_gaps(|bucket| i128::from(bucket.key));
        let buckets = u64::from(bit_length(self.buckets.len() as u128)).saturating_sub(1) + 7;
        let fixed = HEADER_BITS + u64::from(self.shift) + buckets + count_bits;
        let binary = Form { places: None, gap_parameter, count_parameter, bits: fixed + gap_bits };
        let Some(places) = self.decimals.fewest().filter(|_| self.shift == 0) else {
            return binary;
        };
        let (gap_parameter, gap_bits) = self.best_gaps(|bucket| decimal_place(bucket.key, places));
        let decimal = Form { places: Some(places), gap_parameter, count_parameter, bits: fixed + gap_bits };
        if decimal.bits < binary.bits { decimal } else { binary }
    }

    /// The parameter that makes the codes of the gaps between neighbouring places shortest, and the bits they take.
    fn best_gaps(&self, place: impl Fn(&Bucket) -> i128) -> (u32, u64) {
        let mut gaps = BitLengths::default();
        let mut before = None;
        for place in self.buckets.iter().map(place) {
            if let Some(before) = before.replace(place) {
                gaps.add((place - before - 1) as u128);
            }
        }
        gaps.best_parameter()
    }

    /// Reads what [`Self::encode`] wrote, for a sketch of cap `byte_cap`; any other bytes are an error.
    pub fn decode(bytes: &[u8], byte_cap: usize) -> Result<Self, CorruptState> {
        let cap = byte_cap.max(LEAST_BYTE_CAP);
        if bytes.len() > cap {
            return Err(CorruptState::TooLong { bytes: bytes.len(), cap });
        }
        let mut reader = BitReader::new(bytes);
        let version = reader.read(8)? as u8;
        if version != VERSION {
            // Never a newer version: a sketch is stored within a state, whose own version says that. After a damaged bit
            // this byte may be anything.
            return Err(CorruptState::UnknownVersion(version));
        }
        let mut sketch = Self::new(cap);
        if reader.remaining() > 0 {
            sketch.read_buckets(&mut reader)?;
        }
        if sketch.encode() == bytes { Ok(sketch) } else { Err(CorruptState::NotCanonical) }
    }

    fn read_buckets(&mut self, reader: &mut BitReader<'_>) -> Result<(), CorruptState> {
        self.shift = reader.read(7)? as u32;
        if self.shift > 64 {
            return Err(CorruptState::Invariant("the sketch's shift is at most 64"));
        }
        self.decimals = DecimalPlaces(reader.read(10)? as u16);
        let as_decimals = reader.read_bool()?;
        let gap_parameter = reader.read(6)? as u32;
        let count_parameter = reader.read(6)? as u32;
        let buckets = reader.read_number(32)?;
        if buckets == 0 || buckets > reader.remaining() as u128 {
            return Err(CorruptState::Invariant("the number of buckets fits the bytes"));
        }
        self.least_key = reader.read(64)?;
        check_key(self.least_key)?;
        let greatest_low = if self.shift > 0 { reader.read(self.shift)? } else { 0 };
        let places = match (as_decimals, self.decimals.fewest()) {
            (false, _) => None,
            (true, Some(places)) if self.shift == 0 => Some(places),
            (true, _) => return Err(CorruptState::Invariant("only exact decimals stand as decimals")),
        };
        let mut place = match places {
            Some(places) => i128::from(
                coefficient(value_of(self.least_key), places)
                    .ok_or(CorruptState::Invariant("every value has the sketch's decimal places"))?,
            ),
            None => i128::from(shifted(self.least_key, self.shift)),
        };
        for index in 0..buckets {
            if index > 0 {
                place += 1 + reader.read_class_code(gap_parameter, 64)? as i128;
            }
            let key = match places {
                Some(places) => i64::try_from(place).ok().and_then(|place| decimal(place, places)).map(key_of),
                None => u64::try_from(place).ok(),
            };
            let key = key.ok_or(CorruptState::Invariant("every key is the key of a finite value"))?;
            let count = 1 + reader.read_class_code(count_parameter, 64)?;
            let count = u64::try_from(count).map_err(|_| CorruptState::Invariant("a count is below 2^64"))?;
            self.total = self.total.saturating_add(count);
            self.buckets.push(Bucket { key, count });
        }
        self.check_range(greatest_low)
    }

    /// Sets the greatest key, and checks what the fields say of one another.
    fn check_range(&mut self, greatest_low: u64) -> Result<(), CorruptState> {
        let last = self.buckets.last().map_or(0, |bucket| bucket.key);
        if last > shifted(u64::MAX, self.shift) {
            return Err(CorruptState::Invariant("every key is the key of a finite value"));
        }
        self.greatest_key = crate::quantile_sketch::unshifted(last, self.shift) | greatest_low;
        check_key(self.greatest_key)?;
        if self.greatest_key < self.least_key || self.total == 1 && self.least_key != self.greatest_key {
            return Err(CorruptState::Invariant("the least value is not above the greatest"));
        }
        let mut decimals = self.decimals;
        let exact = if self.shift == 0 { &self.buckets[..] } else { &[] };
        let ends = [value_of(self.least_key), value_of(self.greatest_key)];
        let mut all = crate::decimal::ALL_DECIMALS;
        for value in exact.iter().map(|bucket| value_of(bucket.key)).chain(ends) {
            decimals.narrow_to(value);
            all.narrow_to(value);
        }
        if exact.iter().any(|bucket| check_key(bucket.key).is_err()) {
            return Err(CorruptState::Invariant("every key is the key of a finite value"));
        }
        if decimals != self.decimals || self.shift == 0 && all != self.decimals {
            return Err(CorruptState::Invariant("every value has the sketch's decimal places"));
        }
        Ok(())
    }
}

fn low_bits(bits: u32) -> u64 {
    u64::MAX.checked_shr(64 - bits).unwrap_or(0)
}

pub(crate) fn check_key(key: u64) -> Result<(), CorruptState> {
    if (LEAST_KEY..=GREATEST_KEY).contains(&key) && key != NEGATIVE_ZERO_KEY {
        Ok(())
    } else {
        Err(CorruptState::Invariant("every key is the key of a finite value"))
    }
}

/// A value's coefficient: the decimal places are those that the sketch found every value to have.
fn decimal_place(key: u64, places: u32) -> i128 {
    i128::from(coefficient(value_of(key), places).unwrap_or_default())
}
