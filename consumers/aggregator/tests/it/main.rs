//! The aggregator over ports in memory.

mod counted_once;
mod events;
mod guarantees;
mod handler;
#[cfg(feature = "lambda")]
mod lambda;
mod oracle;
mod regressions;
mod support;
mod whole_record;
