//! A schedule: everything that enters the virtual pipeline from outside, and what may go wrong inside it.

use crate::coverage::Fault;
use aggregator::Settings;
use telemetry::{DeviceId, RejectReason};

/// The most readings of one device: each has its own power of two as its value, so that the sum of any set of them
/// says which they are, and a double still holds it exactly.
pub const READINGS_MAX: usize = 40;

/// One run, described: equal schedules run to equal ends.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Decides what happens next wherever more than one thing can.
    pub seed: u64,
    /// The devices.
    pub devices: Vec<Device>,
    /// The first deployment's settings.
    pub settings: Settings,
    /// How many instances of the aggregator are warm at once, each with a cache of its own; a batch goes to any of them.
    pub instances: usize,
    /// The event source mapping.
    pub mapping: Mapping,
    /// What enters from outside, in order.
    pub steps: Vec<Step>,
    /// What may go wrong.
    pub faults: Vec<Fault>,
    /// A fault that may happen does so once in this many times.
    pub fault_one_in: usize,
    /// How far the aggregator's clock lies behind the store's, in seconds.
    pub clock_behind_seconds: i64,
}

/// A device and all readings it has to say.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its name.
    pub id: DeviceId,
    /// Its readings; two of one identity conflict, because each has a value of its own.
    pub readings: Vec<Reading>,
}

/// A reading, but for its device and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The instant.
    pub timestamp_ns: i128,
    /// The sender's name for it.
    pub event_id: Option<String>,
}

/// The event source mapping's settings, as far as schedules vary them.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// Most records in a batch.
    pub batch_size: usize,
    /// Batches of one shard in flight at once.
    pub parallelization_factor: usize,
    /// Whether a failing batch is split in two.
    pub bisect: bool,
    /// Retries; `None`: for ever.
    pub retries: Option<u32>,
    /// The oldest a record may be, in seconds.
    pub record_age_seconds: Option<u64>,
    /// Whether the destination of what is given up keeps the payload, or only where it stood.
    pub failures_keep_payload: bool,
}

/// What a stream record holds.
#[derive(Debug, Clone)]
pub struct Record {
    /// One part, or, in a KPL aggregate, one or more.
    pub parts: Vec<Part>,
    /// Whether it is a KPL aggregate.
    pub aggregate: bool,
}

/// A reading or a series.
#[derive(Debug, Clone)]
pub struct Part {
    /// Which device.
    pub device: usize,
    /// Which of its readings.
    pub readings: Vec<usize>,
    /// Whether they stand in a series; without, there is one.
    pub series: bool,
    /// Whether the partition key is another's.
    pub foreign_key: bool,
}

/// What happens from outside.
#[derive(Debug, Clone)]
pub enum Step {
    /// A producer puts a record; `again`: it had put it before, and lost the answer.
    Put {
        /// What.
        record: Record,
        /// Whether this is a retry.
        again: bool,
    },
    /// Bytes that are no reading.
    PutBad(RejectReason),
    /// A shard is split.
    Split,
    /// Two shards are merged.
    Merge,
    /// The aggregator is deployed with other settings; invocations under way keep theirs.
    Deploy(Settings),
    /// A device's state is damaged.
    CorruptState(usize),
    /// One of a device's ledger pages is damaged.
    CorruptPage(usize),
    /// Whatever was damaged is repaired.
    Repair,
    /// A shard's checkpoint moves back.
    Rewind,
    /// The stream is deleted and created again; what was not done yet, and some that was, is replayed from the archive.
    RecreateStream,
    /// A second poller begins to read the same shards.
    StartPoller,
    /// A poller dies; its invocations may live on.
    CrashPoller,
    /// Operators redrive dead letters; `asked`: `late` and `conflicting_duplicate` too.
    Redrive {
        /// Whether all reasons were asked for.
        asked: bool,
    },
    /// Operators redrive what the mapping gave up.
    RedriveDiscarded,
    /// Every ledger page whose time has come is deleted.
    Expire,
    /// Time passes, in seconds.
    Pass(u64),
}
