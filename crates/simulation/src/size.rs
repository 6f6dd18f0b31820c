//! DynamoDB's size of an item, from the guide's rules ("DynamoDB item sizes and formats"), and what writes cost.

use ports::{LedgerPageItem, StatisticsItem};

/// Bytes of the item `statistics`.
pub fn item_size(device_id: &str, item: &StatisticsItem) -> usize {
    let attributes = &item.attributes;
    let confidence = attributes.mean_confidence_95.map_or(1, |interval| {
        3 + 2 + "low".len() + number(Some(interval.low)) + "high".len() + number(Some(interval.high))
    });
    let timestamp = |at: Option<telemetry::Timestamp>| at.map_or(1, |at| at.to_string().len());
    let named = [
        ("device_id", device_id.len()),
        ("item", "statistics".len()),
        ("revision", integer(item.revision)),
        ("count", integer(attributes.count)),
        ("mean", number(attributes.mean)),
        ("median", number(attributes.median)),
        ("standard_deviation", number(attributes.standard_deviation)),
        ("minimum", number(attributes.minimum)),
        ("maximum", number(attributes.maximum)),
        ("mean_confidence_95", confidence),
        ("anomaly_count", integer(attributes.anomaly_count)),
        ("first_timestamp", timestamp(attributes.first_timestamp)),
        ("last_timestamp", timestamp(attributes.last_timestamp)),
        ("updated_at", timestamp(Some(attributes.updated_at))),
        ("state", item.state.len()),
    ];
    named.iter().map(|(name, bytes)| name.len() + bytes).sum()
}

/// Bytes of a ledger page's item.
pub fn page_size(device_id: &str, page: &LedgerPageItem) -> usize {
    let expiry = page.expires_at.map_or(0, |at| "expires_at".len() + integer(at.unsigned_abs()));
    "device_id".len() + device_id.len() + "item".len() + page.key.len() + "page".len() + page.page.len() + expiry
}

/// One byte for two significant digits and one more, and one for a sign.
fn number(value: Option<f64>) -> usize {
    let Some(value) = value else { return 1 };
    let digits = format!("{:e}", value.abs());
    let significant = digits.split('e').next().unwrap_or_default().bytes().filter(u8::is_ascii_digit).count();
    (significant + 1).div_ceil(2) + 1 + usize::from(value < 0.0)
}

fn integer(value: u64) -> usize {
    number(Some(value as f64))
}

/// The write units of one write: each KiB begun of each item, twice that in a transaction. An update is charged by
/// the larger of the item before and after; both are given.
pub fn write_units(item_bytes: usize, page_bytes: &[usize]) -> usize {
    let units = |bytes: usize| bytes.div_ceil(1_024).max(1);
    let all = units(item_bytes) + page_bytes.iter().map(|bytes| units(*bytes)).sum::<usize>();
    if page_bytes.is_empty() { all } else { 2 * all }
}
