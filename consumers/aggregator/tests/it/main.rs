//! The aggregator over ports in memory.

mod cache;
mod counted_once;
#[cfg(feature = "lambda")]
mod event;
#[cfg(feature = "lambda")]
mod events;
mod guarantees;
mod handler;
#[cfg(feature = "lambda")]
mod lambda;
#[cfg(feature = "lambda")]
mod oracle;
mod regressions;
mod support;
#[cfg(feature = "lambda")]
#[path = "../../../../crates/lambda/tests/testing/mod.rs"]
mod testing;
mod whole_record;
