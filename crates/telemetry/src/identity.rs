//! The short hashes by which the ledger knows a reading again. Both are part of stored formats: they never change.

use siphasher::sip::SipHasher24;
use std::hash::Hasher;

/// The 64-bit hash of an `event_id`: SipHash-2-4 (Aumasson & Bernstein 2012) with a zero key.
pub fn event_id_hash(event_id: &str) -> u64 {
    sip(event_id.as_bytes())
}

/// The 16-bit check of a value by which a conflicting duplicate is told from a repeated one: of two different
/// values, one pair in 65,536 has the same check. The two zeros are one value.
pub fn value_check(value: f64) -> u16 {
    // Adding +0.0 turns -0.0 into +0.0 and leaves every other value as it is.
    (sip(&(value + 0.0).to_bits().to_be_bytes()) & 0xffff) as u16
}

fn sip(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siphash_is_the_published_function() {
        // SipHash-2-4 of the empty string under the zero key, from the reference implementation.
        assert_eq!(sip(b""), 0x1e92_4b9d_7377_00d7);
    }

    #[test]
    fn both_zeros_have_one_check() {
        assert_eq!(value_check(0.0), value_check(-0.0));
    }

    #[test]
    fn about_one_pair_of_values_in_65536_shares_its_check() {
        let reference = value_check(-1.0);
        let collisions = (0..6_553_600).filter(|i| value_check(f64::from(*i) * 0.37) == reference).count();
        assert!((60..=140).contains(&collisions), "{collisions} of an expected 100");
    }
}
