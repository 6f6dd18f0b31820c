//! The statistics item and the ledger page as the database holds them: version, fixed members, then the bytes.
//!
//! All numbers are little-endian. Floats keep their bits, so that what is read equals what was written.

use ports::{ConfidenceInterval, LedgerPageItem, StatisticsAttributes, StatisticsItem, StoreError};
use telemetry::Timestamp;

const VERSION: u8 = 1;

/// What a conditional write needs of the item that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ItemHead {
    pub(crate) revision: u64,
    pub(crate) count: u64,
}

/// Version 1: version u8, revision u64, count u64, anomaly count u64, updated_at i128, a byte of which options are
/// there (bit 0 mean … bit 7 last_timestamp), those options in order, state.
pub(crate) fn encode_item(item: &StatisticsItem) -> Vec<u8> {
    let attributes = &item.attributes;
    let mut bytes = Vec::with_capacity(128 + item.state.len());
    bytes.push(VERSION);
    for number in [item.revision, attributes.count, attributes.anomaly_count] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(attributes.updated_at.as_nanosecond().to_le_bytes());
    let present_at = bytes.len();
    bytes.push(0);
    let floats =
        [attributes.mean, attributes.median, attributes.standard_deviation, attributes.minimum, attributes.maximum];
    for (bit, float) in floats.iter().enumerate() {
        if let Some(float) = float {
            bytes[present_at] |= 1 << bit;
            bytes.extend(float.to_bits().to_le_bytes());
        }
    }
    if let Some(interval) = attributes.mean_confidence_95 {
        bytes[present_at] |= 1 << 5;
        bytes.extend(interval.low.to_bits().to_le_bytes());
        bytes.extend(interval.high.to_bits().to_le_bytes());
    }
    for (bit, instant) in [(6, attributes.first_timestamp), (7, attributes.last_timestamp)] {
        if let Some(instant) = instant {
            bytes[present_at] |= 1 << bit;
            bytes.extend(instant.as_nanosecond().to_le_bytes());
        }
    }
    bytes.extend(&item.state);
    bytes
}

/// The item, or `None` where the bytes are no item of a known version.
pub(crate) fn decode_item(bytes: &[u8]) -> Option<StatisticsItem> {
    let mut rest = Rest(bytes.strip_prefix(&[VERSION])?);
    let (revision, count, anomaly_count) = (rest.u64()?, rest.u64()?, rest.u64()?);
    let updated_at = rest.timestamp()?;
    let [present] = rest.array()?;
    let has = |bit: u8| present & (1 << bit) != 0;
    let attributes = StatisticsAttributes {
        count,
        mean: rest.float_if(has(0))?,
        median: rest.float_if(has(1))?,
        standard_deviation: rest.float_if(has(2))?,
        minimum: rest.float_if(has(3))?,
        maximum: rest.float_if(has(4))?,
        mean_confidence_95: match has(5) {
            true => Some(ConfidenceInterval { low: rest.float()?, high: rest.float()? }),
            false => None,
        },
        anomaly_count,
        first_timestamp: rest.timestamp_if(has(6))?,
        last_timestamp: rest.timestamp_if(has(7))?,
        updated_at,
    };
    Some(StatisticsItem { revision, attributes, state: rest.0.to_vec() })
}

/// Revision and count of a stored item; `None` as [`decode_item`].
pub(crate) fn item_head(bytes: &[u8]) -> Option<ItemHead> {
    let mut rest = Rest(bytes.strip_prefix(&[VERSION])?);
    Some(ItemHead { revision: rest.u64()?, count: rest.u64()? })
}

/// Version 1: version u8, whether it expires u8, expires_at i64, page.
pub(crate) fn encode_page(page: &LedgerPageItem) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10 + page.page.len());
    bytes.push(VERSION);
    bytes.push(page.expires_at.is_some().into());
    bytes.extend(page.expires_at.unwrap_or_default().to_le_bytes());
    bytes.extend(&page.page);
    bytes
}

/// The page, or `None` where the bytes are no page of a known version.
pub(crate) fn decode_page(key: &str, bytes: &[u8]) -> Option<LedgerPageItem> {
    let mut rest = Rest(bytes.strip_prefix(&[VERSION])?);
    let [expires] = rest.array()?;
    let expires_at = i64::from_le_bytes(rest.array()?);
    let expires_at = match expires {
        0 => None,
        1 => Some(expires_at),
        _ => return None,
    };
    Some(LedgerPageItem { key: key.to_owned(), page: rest.0.to_vec(), expires_at })
}

/// Why bytes that hold `what` are no item or page: a version above ours is a newer program's, anything else is damage.
pub(crate) fn unreadable(what: String, bytes: &[u8]) -> StoreError {
    match bytes.first() {
        Some(&found) if found > VERSION => StoreError::NewerVersion { what, found, known: VERSION },
        _ => StoreError::Corrupt(what),
    }
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn float(&mut self) -> Option<f64> {
        self.u64().map(f64::from_bits)
    }

    fn timestamp(&mut self) -> Option<Timestamp> {
        Timestamp::from_nanosecond(i128::from_le_bytes(self.array()?))
    }

    /// The outer `None` says that the bytes end too early.
    fn float_if(&mut self, present: bool) -> Option<Option<f64>> {
        if present { self.float().map(Some) } else { Some(None) }
    }

    fn timestamp_if(&mut self, present: bool) -> Option<Option<Timestamp>> {
        if present { self.timestamp().map(Some) } else { Some(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::option;
    use proptest::prelude::*;

    prop_compose! {
        fn timestamp()(nanoseconds in -62_167_219_200_000_000_000i128..253_402_207_200_000_000_000) -> Timestamp {
            Timestamp::from_nanosecond(nanoseconds).expect("within the years 0000 to 9999")
        }
    }

    prop_compose! {
        fn item()(
            (revision, count, anomaly_count) in any::<(u64, u64, u64)>(),
            floats in prop::array::uniform7(option::of(prop::num::f64::ANY.prop_filter("NaN is no value", |f| !f.is_nan()))),
            (first_timestamp, last_timestamp, updated_at) in (option::of(timestamp()), option::of(timestamp()), timestamp()),
            state in prop::collection::vec(any::<u8>(), 0..600),
        ) -> StatisticsItem {
            let [mean, median, standard_deviation, minimum, maximum, low, high] = floats;
            let mean_confidence_95 = low.zip(high).map(|(low, high)| ConfidenceInterval { low, high });
            let attributes = StatisticsAttributes { count, mean, median, standard_deviation, minimum, maximum,
                mean_confidence_95, anomaly_count, first_timestamp, last_timestamp, updated_at };
            StatisticsItem { revision, attributes, state }
        }
    }

    proptest! {
        #[test]
        fn an_item_reads_back_equal_to_the_bit(item in item()) {
            let bytes = encode_item(&item);
            let read = decode_item(&bytes).expect("what was encoded");
            prop_assert_eq!(encode_item(&read), bytes.clone());
            prop_assert_eq!(item_head(&bytes), Some(ItemHead { revision: item.revision, count: item.attributes.count }));
            prop_assert_eq!(read, item);
        }

        #[test]
        fn an_item_cut_short_before_its_state_is_not_readable(item in item(), cut in 0usize..41) {
            prop_assert_eq!(decode_item(&encode_item(&item)[..cut]), None);
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (decode_item(&bytes), item_head(&bytes), decode_page("ledger#", &bytes));
        }

        #[test]
        fn only_a_version_above_ours_is_newer(item in item(), found: u8, length in 0usize..300) {
            let mut bytes = encode_item(&item);
            bytes.truncate(length);
            bytes.first_mut().into_iter().for_each(|version| *version = found);
            let is_newer = !bytes.is_empty() && found > VERSION;
            match unreadable("an item".to_owned(), &bytes) {
                StoreError::NewerVersion { found: version, known: VERSION, .. } => prop_assert!(is_newer && version == found),
                StoreError::Corrupt(_) => prop_assert!(!is_newer),
                other => prop_assert!(false, "{other:?}"),
            }
            prop_assert!(!is_newer || (decode_item(&bytes).is_none() && item_head(&bytes).is_none()));
        }

        #[test]
        fn a_page_reads_back_equal(page in prop::collection::vec(any::<u8>(), 0..600), expires_at: Option<i64>) {
            let item = LedgerPageItem { key: "ledger#2026-01-31#1".to_owned(), page, expires_at };
            prop_assert_eq!(decode_page(&item.key, &encode_page(&item)), Some(item));
        }
    }
}
