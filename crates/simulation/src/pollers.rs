//! Pollers over the real state machines of the event source mapping, and the invocations that they begin.

use aggregator::BatchResult;
use event_source_mapping::{Batch, MappingConfig, ShardGraph, ShardMachine};
use ports::{Position, SequenceNumber};
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use telemetry::DeviceId;

/// One shard under one poller.
pub(crate) struct Slot {
    pub shard: usize,
    pub machine: ShardMachine,
    /// A read that waits for news.
    pub waiting: Option<(Position, usize)>,
    pub drained: bool,
}

/// A poller: a mapping's machines, for one incarnation of the stream.
pub(crate) struct Poller {
    pub incarnation: u32,
    pub config: Arc<MappingConfig>,
    pub graph: ShardGraph,
    pub slots: Vec<Slot>,
    pub listed: usize,
    pub alive: bool,
}

impl Poller {
    pub fn is_alive(&self) -> bool {
        self.alive
    }

    pub fn deadline(&self) -> Option<Duration> {
        let slots = self.slots.iter().filter(|slot| self.alive && !slot.drained);
        slots.filter_map(|slot| slot.machine.deadline()).min()
    }

    pub fn kill(&mut self) {
        self.alive = false;
    }
}

pub(crate) type Running = Pin<Box<dyn Future<Output = (BatchResult, Batch)>>>;

/// An invocation of the aggregator.
pub(crate) struct Invocation {
    pub incarnation: u32,
    pub deployment: usize,
    pub instance: usize,
    /// Devices whose items it has read since it last wrote them.
    pub read: BTreeSet<DeviceId>,
    /// Devices whose last write failed its condition.
    pub refused: BTreeSet<DeviceId>,
    /// Devices that it wrote.
    pub wrote: Vec<usize>,
    /// Whether a look-up brought pages.
    pub found_pages: bool,
    /// Whether there was a look-up at all.
    pub looked_up: bool,
    /// How often a condition of its failed.
    pub overtaken: usize,
    /// Where its answer goes: (poller, slot, lane); nowhere once it timed out.
    pub waits: Option<(usize, usize, usize)>,
    pub first_sequence: SequenceNumber,
    pub last_sequence: SequenceNumber,
    pub running: Option<Running>,
}

/// Records that the mapping gave up, in its on-failure destination.
#[derive(Debug)]
pub(crate) struct Discarded {
    pub incarnation: u32,
    pub shard: usize,
    pub records: Vec<usize>,
}
