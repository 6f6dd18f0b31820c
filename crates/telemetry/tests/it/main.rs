//! Readings, bodies and records, valid and not.

mod bodies;
mod kpl;
mod stream_records;
mod timestamps;
