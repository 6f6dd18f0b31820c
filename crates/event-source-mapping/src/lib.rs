//! AWS Lambda's stream poller to the letter: batches, checkpoints, bisect, retries, age, on-failure records.
//!
//! - **Enters**: the records of an [`ports::EventStream`], from the last of its [`ports::Checkpoints`] on.
//! - **Leaves**: batches, handed to a [`Function`], which may make Lambda's event of them ([`EventSource`]); for records
//!   that are given up, a [`DiscardedBatch`], handed to an [`OnFailure`]; and checkpoints.
//! - **Fails**: never for good. Whatever fails is tried again with growing waits; [`run`] returns when it is told to.
//!
//! Every record is delivered at least once, to success or to the on-failure destination, and the checkpoint never
//! passes one that is not. Records of one partition key are delivered in stream order. A shard's children are read
//! only once it is drained.
//!
//! The rules are in pure state machines, [`ShardMachine`] and [`ShardGraph`], which hold no clock, randomness or I/O,
//! so that a simulation can drive them step by step; [`run`] drives the same machines on tokio.

mod batch;
mod config;
mod context;
mod event;
mod function;
mod lane;
mod metrics;
mod on_failure;
mod response;
mod runner;
mod shard;
mod shard_graph;
mod shard_task;

pub use batch::{Batch, Discard, DiscardCondition, Invocation, Moment};
pub use config::{Backoff, InvalidConfig, MAXIMUM_BATCH_BYTES, MappingConfig, StartingPosition};
pub use event::EventSource;
pub use function::{Function, FunctionError};
pub use metrics::{Metrics, MetricsSnapshot};
pub use on_failure::{
    DiscardedBatch, InvocationRecord, KinesisBatchInfo, NoDestination, OnFailure, OnFailureError, RequestContext,
    ResponseContext,
};
pub use response::{Verdict, verdict};
pub use runner::{EventSourceMapping, run};
pub use shard::{Action, ShardMachine};
pub use shard_graph::{ShardGraph, ShardStart};
