//! Redrive over queues, streams and archives in memory.

mod cloud;
mod killed_anywhere;
mod lambda_failures;
mod messages;
#[path = "../../../aggregator/tests/it/support/mod.rs"]
mod support;
