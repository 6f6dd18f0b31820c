//! Moments, quantile sketch, device state and its binary form, ledger pages. Pure: no I/O, clock or randomness.
//!
//! *Enters*: readings that passed validation ([`CountedReading`]), and bytes that this crate wrote before.
//! *Leaves*: statistics ([`Summary`]), the state's bytes, and ledger pages for the identities that leave the window.
//! *Fails*: bytes that are not the canonical form of a valid state, or of a version newer than this build knows, with
//! [`CorruptState`]; nothing else can.
//!
//! Empty is `None`; NaN and infinities never leave. docs/statistics.md has the derivations and measurements.

mod bits;
mod confidence;
mod decimal;
mod device_state;
mod double_double;
mod error;
mod expiring;
mod frequent_codec;
mod frequent_values;
#[cfg(test)]
mod frequent_values_tests;
mod identity;
mod identity_codec;
mod item_size;
mod key;
mod ledger_page;
mod median;
mod moments;
mod quantile_sketch;
mod readout;
mod sketch_codec;
#[cfg(test)]
mod sketch_size_tests;
mod state_codec;
mod summary;
mod window;

pub use confidence::{ANOMALY_AFTER_COUNT, mean_confidence_95, z_score};
pub use device_state::DeviceState;
pub use error::CorruptState;
pub use identity::{CountedReading, Identity, UtcDay};
pub use ledger_page::LedgerPage;
pub use moments::Moments;
pub use quantile_sketch::{LEAST_BYTE_CAP, QuantileSketch};
pub use summary::{Anomaly, Summary};
pub use window::Window;
