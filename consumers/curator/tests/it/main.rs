//! The curator, from change records to Parquet and back.

mod damage;
mod handler;
mod history;
#[cfg(feature = "lambda")]
mod lambda;
mod merge;
mod parquet;
mod schema;
#[cfg(feature = "lambda")]
#[path = "../../../../crates/lambda/tests/testing/mod.rs"]
mod testing;
