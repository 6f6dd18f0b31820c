//! Readings, bodies and records, valid and not.

mod against_serde_json;
mod bodies;
mod kpl;
mod stream_records;
mod timestamps;
