//! Before the stream: readings from CSV, JSON Lines or a simulated fleet, posted by HTTP or put into a stream, with retries.
//!
//! - **Enters**: files, standard input, or the seed of a simulated [`Fleet`].
//! - **Leaves**: posts to the front door of a pipeline, or records for a stream, which somebody who knows the stream
//!   puts ([`PutRecords`]); and a [`Summary`] that accounts for every reading: accepted, or
//!   refused with the file and line it came from.
//! - **Fails**: a row that can be no reading is a [`Refusal`], and the rest goes on. What ends a run early is a
//!   [`Halt`]: a key that is not taken, or an endpoint that gave no answer for too long.
//!
//! Sending is safe to repeat. A retry after a lost answer, or the whole command a second time, posts readings of the
//! same identity, and the pipeline counts one identity once. This crate therefore never invents an `event_id`, and
//! keeps one post in flight per device: a device's rows arrive in the order of their file, so that of two readings of
//! one identity the first row is the one that stands.
//!
//! Everything is synchronous: a reader, and a few threads that post.

mod body;
mod client;
mod delivery;
mod dispatch;
mod fleet;
mod live;
mod packing;
mod patience;
mod progress;
mod record;
mod record_delivery;
mod retry;
mod row;
mod sender;
mod source;

pub use body::BODY_BYTES_MAX;
pub use client::{Answer, Client, ClientError, Endpoint, EndpointError, percent_encode};
pub use fleet::{Fleet, FleetSource, SimulatedDevice};
pub use live::{FleetRun, run_fleet};
pub use patience::Halt;
pub use progress::{LISTED_REFUSALS_MAX, Progress};
pub use record::{PutFailure, PutRecords, Record};
pub use retry::{backoff_delay, parse_retry_after};
pub use row::{Origin, Refusal, Row};
pub use sender::{SendSettings, Summary, send, send_records};
pub use source::{CsvFiles, Detached, JsonLines, SourceError, csv_timestamp, find_csv_files};
