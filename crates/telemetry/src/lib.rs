//! Readings: their form, validation, identity, stream-record formats and reject reasons.
//!
//! - **Enters**: bytes that a device posted, or that stand in a stream record.
//! - **Leaves**: [`Reading`]s, or a [`Rejection`] that names the member that is wrong and the rule it breaks.
//! - **Fails**: never by panicking, whatever the bytes; every failure is a [`Rejection`] with a [`RejectReason`].
//!
//! Pure: no clock, no randomness, no I/O. Where time matters, the caller passes it in.

mod body;
mod identity;
pub mod kpl;
mod reading;
mod reject;
mod scan;
mod stream_record;
mod timestamp;

pub use body::{parse_reading, visit_batch, visit_series};
pub use identity::{event_id_hash, value_check};
pub use reading::{DeviceId, EventId, MAX_MAGNITUDE, MAX_READINGS, Reading, ReadingRef};
pub use reject::{RejectReason, Rejection};
pub use scan::{Scanner, string};
pub use stream_record::{
    Decoded, DecodedReading, count_readings, decode_record, each_reading, one_line, push_lines, reading_payloads,
    reading_payloads_at,
};
pub use timestamp::{FUTURE_TOLERANCE_DEFAULT_SECONDS, Timestamp};
