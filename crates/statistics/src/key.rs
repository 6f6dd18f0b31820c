//! Doubles as 64-bit integers of the same order.

const SIGN: u64 = 1 << 63;

/// −0.0 as +0.0, all else as it is.
pub(crate) fn positive_zero(value: f64) -> f64 {
    value + 0.0
}

/// The key of a finite double: `a < b` exactly where `key_of(a) < key_of(b)`; −0.0 has the key of +0.0.
pub(crate) fn key_of(value: f64) -> u64 {
    let bits = positive_zero(value).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// The double whose key this is; keys outside the finite ones give infinities or NaN.
pub(crate) fn value_of(key: u64) -> f64 {
    f64::from_bits(if key & SIGN == 0 { !key } else { key & !SIGN })
}

/// The keys of the most negative and the greatest finite double.
pub(crate) const LEAST_KEY: u64 = !f64::MIN.to_bits();
pub(crate) const GREATEST_KEY: u64 = f64::MAX.to_bits() | SIGN;

/// The key of −0.0's bits: no value has it.
pub(crate) const NEGATIVE_ZERO_KEY: u64 = SIGN - 1;

/// How many values fell into one bucket: all keys that are `key` once shifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) key: u64,
    pub(crate) count: u64,
}
