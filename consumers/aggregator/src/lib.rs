//! The aggregator: a batch of stream records becomes statistics, or dead letters.
//!
//! - **Enters**: records of one shard, in order.
//! - **Leaves**: one conditional write per device and batch to the statistics store, dead letters for what can
//!   never be counted, and the records to deliver again.
//! - **Fails**: a passing failure is reported record by record; nothing is ever dropped.
//!
//! `decode` takes the records apart, `plan` decides (pure), `rejected` makes dead letters of what can never be counted,
//! `handler` reads and writes around it. `lambda` alone knows Lambda's JSON.

mod cache;
mod decode;
mod group;
mod handler;
#[cfg(feature = "lambda")]
pub mod lambda;
mod plan;
mod rejected;
mod settings;

pub use group::attributes;
pub use handler::{Aggregator, BatchReport, BatchResult, Counted};
pub use plan::{CorruptPages, DayFound, Found, LookUps, Next, Outcome, Plan, PlannedPage, look_ups, plan};
pub use settings::{LedgerMode, Settings};
