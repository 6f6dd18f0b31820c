//! The aggregator: a Kinesis batch becomes statistics, or dead letters.
//!
//! - **Enters**: the event that Lambda sends for a batch of stream records.
//! - **Leaves**: one conditional write per device and batch to the statistics store, dead letters for what can
//!   never be counted, and the batch response with the records to deliver again.
//! - **Fails**: a passing failure is reported as a batch item failure, record by record; nothing is ever dropped.
//!
//! `decode` takes the event apart, `plan` decides (pure), `rejected` makes dead letters of what can never be counted,
//! `handler` reads and writes around it.

mod decode;
mod event;
mod group;
mod handler;
mod plan;
mod rejected;
mod settings;

pub use event::{KinesisBatch, arrived_at, event_record};
pub use group::attributes;
pub use handler::{Aggregator, BatchReport, Handled};
pub use plan::{CorruptPages, DayFound, Found, LookUps, Outcome, Plan, look_ups, plan};
pub use settings::{LedgerMode, Settings};
