//! The statistics against exact oracles.

mod confidence;
mod decode_any_bytes;
mod device_state;
mod distributions;
mod expiring;
mod ledger_page;
mod moments;
mod nist;
mod quantile_sketch;
mod spill_at_most;
mod stored_forms;
mod tied_data;
