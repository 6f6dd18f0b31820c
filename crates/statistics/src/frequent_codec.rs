//! The binary form of the frequent values, which leans on that of the sketch.
//!
//! Number of values (4 bits), and unless it is 0 the code parameter of the counters (6); then for each value, by size:
//! its bucket's place in the sketch (as many bits as the greatest place has), its number of decimal places (4; 15 for a
//! value that is not written as a decimal), its place among the decimals or the keys that the bucket can hold (as many
//! bits as the greatest such place has), and its counter (class code of the counter less one).

use crate::bits::{BitLengths, BitReader, BitWriter, bit_length};
use crate::decimal::{MOST_PLACES, coefficient, decimal};
use crate::frequent_values::{FREQUENT_VALUES, FrequentValues};
use crate::key::Bucket;
use crate::key::{key_of, value_of};
use crate::quantile_sketch::{QuantileSketch, shifted};
use crate::readout::decimals_within;
use crate::sketch_codec::check_key;
use crate::{CorruptState, DeviceState};

/// In place of a number of decimal places: the value stands as its key.
const NO_DECIMAL: u64 = 15;

/// How one value of a bucket is written.
struct Form {
    places: u64,
    offset: u64,
    bits: u32,
}

/// The shorter of the two forms of a key between these two.
fn form(key: u64, first: u64, last: u64) -> Form {
    let binary = Form { places: NO_DECIMAL, offset: key - first, bits: bit_length(u128::from(last - first)) };
    let value = value_of(key);
    let fewest = (0..=MOST_PLACES).find_map(|places| Some((places, coefficient(value, places)?)));
    let Some((places, coefficient)) = fewest else {
        return binary;
    };
    match decimals_within(value_of(first), value_of(last), places) {
        Some((least, greatest)) if (least..=greatest).contains(&coefficient) => {
            let bits = bit_length((greatest - least) as u128);
            let decimal = Form { places: u64::from(places), offset: (coefficient - least) as u64, bits };
            if decimal.bits < binary.bits { decimal } else { binary }
        }
        _ => binary,
    }
}

impl DeviceState {
    /// Writes the table, which is there exactly where the sketch is not exact.
    pub(crate) fn write_frequent(&self, writer: &mut BitWriter) {
        let Some(frequent) = &self.frequent else {
            return;
        };
        let entries = frequent.entries();
        writer.write(entries.len() as u64, 4);
        if entries.is_empty() {
            return;
        }
        let mut counters = BitLengths::default();
        entries.iter().for_each(|entry| counters.add(u128::from(entry.count - 1)));
        let (parameter, _) = counters.best_parameter();
        writer.write(u64::from(parameter), 6);
        let place_bits = place_bits(&self.sketch);
        for entry in &entries {
            let key = shifted(entry.key, self.sketch.shift);
            let place = self.sketch.buckets.partition_point(|bucket| bucket.key < key);
            let (first, last) = self.sketch.ends(&self.sketch.buckets[place]);
            let form = form(entry.key, first, last);
            writer.write(place as u64, place_bits);
            writer.write(form.places, 4);
            writer.write(form.offset, form.bits);
            writer.write_class_code(u128::from(entry.count - 1), parameter);
        }
    }

    /// Reads what [`Self::write_frequent`] wrote beside this state's sketch.
    pub(crate) fn read_frequent(&mut self, reader: &mut BitReader<'_>) -> Result<(), CorruptState> {
        if self.sketch.shift == 0 {
            return Ok(());
        }
        let length = reader.read(4)? as usize;
        if length > FREQUENT_VALUES {
            return Err(CorruptState::Invariant("no more frequent values than places for them"));
        }
        let parameter = if length > 0 { reader.read(6)? as u32 } else { 0 };
        let mut entries = Vec::with_capacity(length);
        for _ in 0..length {
            let place = reader.read(place_bits(&self.sketch))? as usize;
            let bucket = self.sketch.buckets.get(place).ok_or(NOT_IN_ITS_BUCKET)?;
            let (first, last) = self.sketch.ends(bucket);
            let key = read_key(reader, first, last)?;
            let counter = u64::try_from(1 + reader.read_class_code(parameter, 64)?).map_err(|_| TOO_MANY)?;
            entries.push(Bucket { key, count: counter });
        }
        self.frequent = Some(FrequentValues::from_entries(entries.iter().copied()));
        check(&self.sketch, &entries, self.frequent.as_ref().map_or(0, |table| table.most_missed(self.sketch.total)))
    }
}

const NOT_IN_ITS_BUCKET: CorruptState = CorruptState::Invariant("every frequent value lies in a bucket of the sketch");
const TOO_MANY: CorruptState = CorruptState::Invariant("no frequent value is counted oftener than its bucket");

/// Bits of a place among the sketch's buckets.
fn place_bits(sketch: &QuantileSketch) -> u32 {
    bit_length(sketch.buckets.len().saturating_sub(1) as u128)
}

fn read_key(reader: &mut BitReader<'_>, first: u64, last: u64) -> Result<u64, CorruptState> {
    let places = reader.read(4)?;
    let key = if places == NO_DECIMAL {
        first.checked_add(reader.read(bit_length(u128::from(last - first)))?)
    } else {
        let places = u32::try_from(places).ok().filter(|places| *places <= MOST_PLACES).ok_or(NOT_IN_ITS_BUCKET)?;
        let (least, greatest) = decimals_within(value_of(first), value_of(last), places).ok_or(NOT_IN_ITS_BUCKET)?;
        let offset = reader.read(bit_length((greatest - least) as u128))? as i64;
        decimal(least + offset, places).map(key_of)
    };
    key.filter(|key| (first..=last).contains(key) && check_key(*key).is_ok()).ok_or(NOT_IN_ITS_BUCKET)
}

/// What the frequent values and the sketch say of one another.
fn check(sketch: &QuantileSketch, entries: &[Bucket], most_missed: u64) -> Result<(), CorruptState> {
    if !entries.is_sorted_by(|one, two| one.key < two.key) {
        return Err(CorruptState::Invariant("frequent values are sorted, and each stands once"));
    }
    let mut decimals = sketch.decimals;
    entries.iter().for_each(|entry| decimals.narrow_to(value_of(entry.key)));
    if decimals != sketch.decimals {
        return Err(CorruptState::Invariant("every value has the sketch's decimal places"));
    }
    for (index, bucket) in sketch.buckets.iter().enumerate() {
        let within = || entries.iter().filter(|entry| shifted(entry.key, sketch.shift) == bucket.key);
        let counted: u128 = within().map(|entry| u128::from(entry.count)).sum();
        // The least and the greatest value are there too, once at least.
        let mut ends = vec![sketch.least_key, sketch.greatest_key];
        ends.dedup();
        ends.retain(|end| shifted(*end, sketch.shift) == bucket.key && within().all(|entry| entry.key != *end));
        if counted + ends.len() as u128 > u128::from(bucket.count) {
            return Err(TOO_MANY);
        }
        if sketch.is_single_value(index) && u128::from(bucket.count) > counted + u128::from(most_missed) {
            return Err(CorruptState::Invariant("a counter misses no more than readings are out of account"));
        }
    }
    Ok(())
}
