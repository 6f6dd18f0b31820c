//! Changes of the table's items, as the curator takes them.

use ports::CuratedRow;
use telemetry::{DeviceId, Timestamp};

/// One change of an item.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The change's place in the stream, by which a failure is reported.
    pub sequence_number: String,
    /// When it was made; DynamoDB rounds to the second.
    pub created_at: Option<Timestamp>,
    /// The statistics after it.
    pub content: Content,
}

/// What a change says about a device's statistics.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// The device has these statistics.
    Row(Box<CuratedRow>),
    /// Nothing: a ledger page was written, or an item deleted.
    Nothing,
    /// What the item holds is not what the aggregator writes.
    Unreadable(Unreadable),
}

/// An item that is no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The device, where its name can be read.
    pub device_id: Option<DeviceId>,
    /// The attribute that is wrong, and the rule; without its value.
    pub why: String,
}
