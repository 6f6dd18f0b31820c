//! Drives one shard's state machine.

use crate::batch::{Batch, Discard, Invocation, Moment};
use crate::context::Context;
use crate::function::{Function, FunctionError};
use crate::metrics::add;
use crate::on_failure::{DiscardedBatch, OnFailure};
use crate::shard::{Action, ShardMachine};
use ports::{Checkpoints, Clock, EventStream, Position, RecordsPage, SequenceNumber, ShardId, StreamError};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use telemetry::Timestamp;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tracing::{debug, warn};

/// "Lambda polls each shard in your Kinesis stream for records at a base rate of once per second": how long the
/// stream's hint is waited for at most.
const BASE_POLLING_INTERVAL: Duration = Duration::from_secs(1);

/// How a shard's task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShardEnd {
    /// Read to its end, and all of it done.
    Drained,
    /// The stream does not know it; what had been read is done.
    Gone,
    /// The mapping is shutting down.
    Stopped,
}

#[derive(Debug, Clone, Copy)]
enum Job {
    Read,
    Invoke { lane: usize, records: usize, last_arrival: Timestamp },
    Record { lane: usize, records: usize },
    Save,
}

enum Outcome {
    Read(Result<RecordsPage, StreamError>),
    Invoked(Invocation),
    Recorded(bool),
    Saved(bool),
}

struct ShardTask<S, C, F, O, K> {
    context: Arc<Context<S, C, F, O, K>>,
    shard: ShardId,
    machine: ShardMachine,
    outcomes: JoinSet<Outcome>,
    jobs: HashMap<Id, Job>,
    gone: bool,
}

/// Processes `shard` until it is drained or the mapping stops.
pub(crate) async fn run_shard<S, C, F, O, K>(
    context: Arc<Context<S, C, F, O, K>>,
    shard: ShardId,
    start: Position,
    checkpoint: Option<SequenceNumber>,
    mut stopped: watch::Receiver<bool>,
) -> ShardEnd
where
    S: EventStream + 'static,
    C: Checkpoints + 'static,
    F: Function + 'static,
    O: OnFailure + 'static,
    K: Clock + 'static,
{
    let now = moment(&context);
    let machine = ShardMachine::new(Arc::clone(&context.config), &shard, start, checkpoint, now);
    let mut task = ShardTask { context, shard, machine, outcomes: JoinSet::new(), jobs: HashMap::new(), gone: false };
    loop {
        if *stopped.borrow() {
            task.machine.stop();
        }
        while let Some(action) = task.machine.next_action(moment(&task.context)) {
            task.start(action);
        }
        if task.machine.is_drained() {
            return if task.gone { ShardEnd::Gone } else { ShardEnd::Drained };
        }
        if task.machine.has_stopped() {
            return ShardEnd::Stopped;
        }
        let deadline = task.machine.deadline().map(|elapsed| task.context.origin + elapsed);
        let wake = async move {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let stopping = *stopped.borrow();
        tokio::select! {
            Some(ended) = task.outcomes.join_next_with_id() => task.ended(ended),
            () = wake => {}
            changed = stopped.changed(), if !stopping => {
                if changed.is_err() {
                    task.machine.stop();
                }
            }
        }
    }
}

fn moment<S, C, F, O, K: Clock>(context: &Context<S, C, F, O, K>) -> Moment {
    Moment { wall: context.clock.now(), elapsed: context.origin.elapsed() }
}

impl<S, C, F, O, K> ShardTask<S, C, F, O, K>
where
    S: EventStream + 'static,
    C: Checkpoints + 'static,
    F: Function + 'static,
    O: OnFailure + 'static,
    K: Clock + 'static,
{
    fn start(&mut self, action: Action) {
        let (context, shard) = (Arc::clone(&self.context), self.shard.clone());
        let (job, task) = match action {
            Action::Read { position, limit, caught_up } => {
                let read =
                    async move { Outcome::Read(read(&*context.stream, &shard, position, limit, caught_up).await) };
                (Job::Read, self.outcomes.spawn(read))
            }
            Action::Invoke { lane, batch } => {
                let last_arrival = batch[batch.len() - 1].arrived_at;
                let job = Job::Invoke { lane, records: batch.len(), last_arrival };
                (job, self.outcomes.spawn(async move { Outcome::Invoked(invoke(&context, &shard, &batch).await) }))
            }
            Action::RecordFailure { lane, discard } => {
                let job = Job::Record { lane, records: discard.batch.len() };
                (job, self.outcomes.spawn(async move { Outcome::Recorded(record(&context, &shard, &discard).await) }))
            }
            Action::SaveCheckpoint(checkpoint) => (
                Job::Save,
                self.outcomes.spawn(async move { Outcome::Saved(save(&context, &shard, checkpoint).await) }),
            ),
        };
        self.jobs.insert(task.id(), job);
    }

    fn ended(&mut self, ended: Result<(Id, Outcome), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(job) = self.jobs.remove(&id) else { return };
        let now = moment(&self.context);
        let outcome = match ended {
            Ok((_, outcome)) => Some(outcome),
            Err(error) => {
                warn!(shard = %self.shard, ?job, %error, "panicked, and is tried again");
                None
            }
        };
        match (job, outcome) {
            (Job::Read, Some(Outcome::Read(Ok(page)))) => self.machine.read(page, now),
            (Job::Read, Some(Outcome::Read(Err(error)))) => self.read_failed(&error, now),
            (Job::Read, _) => self.machine.read_failed(now),
            (Job::Invoke { lane, records, last_arrival }, outcome) => {
                let invocation = match outcome {
                    Some(Outcome::Invoked(invocation)) => invocation,
                    _ => Invocation::Failed,
                };
                self.count_invocation(&invocation, records, last_arrival, now);
                self.machine.invoked(lane, invocation, now);
            }
            (Job::Record { lane, records }, outcome) => {
                let taken = matches!(outcome, Some(Outcome::Recorded(true)));
                let metrics = &self.context.metrics;
                add(
                    if taken { &metrics.records_discarded } else { &metrics.port_errors },
                    if taken { records } else { 1 },
                );
                self.machine.recorded(lane, taken, now);
            }
            (Job::Save, outcome) => {
                let saved = matches!(outcome, Some(Outcome::Saved(true)));
                let metrics = &self.context.metrics;
                add(if saved { &metrics.checkpoints_saved } else { &metrics.port_errors }, 1);
                self.machine.saved(saved, now);
            }
        }
    }

    fn read_failed(&mut self, error: &StreamError, now: Moment) {
        if let StreamError::NoSuchShard(_) = error {
            self.gone = true;
            self.machine.shard_gone();
            return;
        }
        add(&self.context.metrics.port_errors, 1);
        warn!(shard = %self.shard, error = error as &dyn std::error::Error, "shard not read");
        self.machine.read_failed(now);
    }

    fn count_invocation(&self, invocation: &Invocation, records: usize, last_arrival: Timestamp, now: Moment) {
        let metrics = &self.context.metrics;
        add(&metrics.invocations, 1);
        add(&metrics.records_invoked, records);
        if !matches!(invocation, Invocation::Answered(_)) {
            add(&metrics.function_errors, 1);
        }
        let age = now.wall.as_millisecond().saturating_sub(last_arrival.as_millisecond()).max(0);
        metrics.iterator_age_milliseconds.store(age as u64, Relaxed);
    }
}

async fn read<S: EventStream>(
    stream: &S,
    shard: &ShardId,
    position: Position,
    limit: usize,
    caught_up: bool,
) -> Result<RecordsPage, StreamError> {
    if caught_up {
        // The hint may never come; the read that follows is what counts.
        _ = tokio::time::timeout(BASE_POLLING_INTERVAL, stream.records_available(shard, position)).await;
    }
    stream.get_records(shard, position, limit).await
}

async fn invoke<S, C, F: Function, O, K>(
    context: &Context<S, C, F, O, K>,
    shard: &ShardId,
    batch: &Batch,
) -> Invocation {
    match tokio::time::timeout(context.config.function_timeout, context.function.invoke(batch)).await {
        Ok(Ok(verdict)) => Invocation::Answered(verdict),
        Ok(Err(error)) => {
            let records = batch.len();
            warn!(%shard, records, error = &error as &dyn std::error::Error, "function error");
            match error {
                FunctionError::Unhandled(_) => Invocation::Failed,
                FunctionError::NotInvoked(_) => Invocation::NotInvoked,
            }
        }
        Err(_) => {
            warn!(%shard, records = batch.len(), limit = ?context.config.function_timeout, "function timed out");
            Invocation::Failed
        }
    }
}

async fn record<S, C, F, O: OnFailure, K: Clock>(
    context: &Context<S, C, F, O, K>,
    shard: &ShardId,
    discard: &Discard,
) -> bool {
    let (request_id, object_id) = (random_uuid(), random_uuid());
    let source = &context.config.source;
    let discarded = DiscardedBatch::new(source, shard, discard, context.clock.now(), &request_id, &object_id);
    let result = context.on_failure.record(discarded).await;
    if let Err(error) = &result {
        warn!(%shard, error = error as &dyn std::error::Error, "discarded batch not recorded");
    }
    result.is_ok()
}

async fn save<S, C: Checkpoints, F, O, K>(
    context: &Context<S, C, F, O, K>,
    shard: &ShardId,
    checkpoint: SequenceNumber,
) -> bool {
    match context.checkpoints.save(shard, checkpoint).await {
        Ok(()) => {
            debug!(%shard, ?checkpoint, "checkpoint saved");
            true
        }
        Err(error) => {
            warn!(%shard, error = &error as &dyn std::error::Error, "checkpoint not saved");
            false
        }
    }
}

/// A UUID of version 4 (RFC 9562, section 5.4).
fn random_uuid() -> String {
    let bits = (rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
