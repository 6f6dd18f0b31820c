//! One of the up to ten batches that a shard has in flight: gathering, invoking, retrying, splitting, giving up.

use crate::batch::{Batch, Discard, DiscardCondition, Invocation, Moment};
use crate::config::MappingConfig;
use crate::event::ENVELOPE_BYTES;
use crate::response::Verdict;
use ports::{SequenceNumber, StreamRecord};
use std::collections::VecDeque;
use std::time::Duration;

/// A run of a batch's records that shares its fate.
#[derive(Debug)]
struct Piece {
    batch: Batch,
    retries: u32,
    invocations: u32,
    function_error: bool,
}

impl Piece {
    fn split_at(&self, at: usize) -> (Piece, Piece) {
        let (head, tail) = self.batch.split_at(at);
        (Piece { batch: head, ..*self }, Piece { batch: tail, ..*self })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The front piece, if there is one, goes out at this time or later.
    Waiting(Duration),
    /// The front piece is with the function.
    Invoking,
    /// The front piece is given up, and goes to the on-failure destination at this time or later.
    Discarding(DiscardCondition, Duration),
    /// The front piece is on its way to the on-failure destination.
    Recording(DiscardCondition),
}

/// What a lane wants done.
#[derive(Debug)]
pub(crate) enum LaneStep {
    Invoke(Batch),
    Record(Discard),
}

#[derive(Debug)]
pub(crate) struct Lane {
    buffer: VecDeque<(StreamRecord, usize)>,
    buffered_bytes: usize,
    window_start: Duration,
    /// The batch in hand, in stream order; only the front is ever out.
    pieces: VecDeque<Piece>,
    phase: Phase,
    failures: u32,
    /// The checkpoint that must be saved before the next batch leaves.
    gate: Option<SequenceNumber>,
}

impl Lane {
    pub(crate) fn new(now: Moment) -> Self {
        Lane {
            buffer: VecDeque::new(),
            buffered_bytes: 0,
            window_start: now.elapsed,
            pieces: VecDeque::new(),
            phase: Phase::Waiting(Duration::ZERO),
            failures: 0,
            gate: None,
        }
    }

    pub(crate) fn buffer(&mut self, record: StreamRecord, size: usize, config: &MappingConfig, now: Moment) {
        let window = config.maximum_batching_window;
        if self.buffer.is_empty() && !window.is_zero() {
            // A window that ended with nothing in it was followed by the next.
            let idle = now.elapsed.saturating_sub(self.window_start);
            let into_window = Duration::from_nanos((idle.as_nanos() % window.as_nanos()) as u64);
            self.window_start = now.elapsed.saturating_sub(into_window);
        }
        self.buffered_bytes += size;
        self.buffer.push_back((record, size));
    }

    pub(crate) fn buffered(&self) -> (usize, usize) {
        (self.buffer.len(), self.buffered_bytes)
    }

    /// Whether something is out that will be answered.
    pub(crate) fn is_out(&self) -> bool {
        matches!(self.phase, Phase::Invoking | Phase::Recording(_))
    }

    /// Closes the gate until `checkpoint` is saved.
    pub(crate) fn close_gate(&mut self, checkpoint: SequenceNumber) {
        if self.pieces.is_empty() {
            self.gate = Some(checkpoint);
        }
    }

    /// What to do now, if anything. `complete`: no more records will come, so there is nothing to gather for.
    pub(crate) fn step(
        &mut self,
        config: &MappingConfig,
        saved: Option<SequenceNumber>,
        complete: bool,
        now: Moment,
    ) -> Option<LaneStep> {
        self.gate = self.gate.filter(|gate| saved.is_none_or(|saved| saved < *gate));
        if let Phase::Discarding(condition, not_before) = self.phase {
            return (not_before <= now.elapsed).then(|| self.discard(condition)).flatten();
        }
        let Phase::Waiting(not_before) = self.phase else { return None };
        if not_before > now.elapsed {
            return None;
        }
        if self.pieces.is_empty() {
            self.form_batch(config, complete, now)?;
        }
        self.split_by_age(config, now);
        let front = self.pieces.front_mut()?;
        if too_old(&front.batch[0], config, now) {
            return self.discard(DiscardCondition::RecordAgeExceeded);
        }
        front.invocations += 1;
        self.phase = Phase::Invoking;
        Some(LaneStep::Invoke(front.batch.clone()))
    }

    /// When [`Lane::step`] may have something to do though nothing has come in.
    pub(crate) fn deadline(&self, config: &MappingConfig) -> Option<Duration> {
        match self.phase {
            Phase::Waiting(not_before) if !self.pieces.is_empty() => Some(not_before),
            Phase::Waiting(not_before) if !self.buffer.is_empty() && self.gate.is_none() => {
                Some(not_before.max(self.window_start + config.maximum_batching_window))
            }
            Phase::Discarding(_, not_before) => Some(not_before),
            _ => None,
        }
    }

    fn form_batch(&mut self, config: &MappingConfig, complete: bool, now: Moment) -> Option<()> {
        let (mut count, mut bytes) = (0, ENVELOPE_BYTES);
        let mut full = false;
        for (_, size) in &self.buffer {
            full = count == config.batch_size || (count > 0 && bytes + size > config.maximum_batch_bytes);
            if full {
                break;
            }
            count += 1;
            bytes += size;
        }
        full |= count == config.batch_size || bytes >= config.maximum_batch_bytes;
        let window_over = now.elapsed >= self.window_start + config.maximum_batching_window;
        if count == 0 || self.gate.is_some() || !(full || complete || window_over) {
            return None;
        }
        self.buffered_bytes -= bytes - ENVELOPE_BYTES;
        let batch = Batch::new(self.buffer.drain(..count).map(|(record, _)| record).collect());
        self.pieces.push_back(Piece { batch, retries: 0, invocations: 0, function_error: false });
        Some(())
    }

    /// Cuts the front piece where records too old to be sent meet others.
    fn split_by_age(&mut self, config: &MappingConfig, now: Moment) {
        if config.maximum_record_age.is_none() {
            return;
        }
        let Some(front) = self.pieces.front() else { return };
        let first_is_too_old = too_old(&front.batch[0], config, now);
        let run = front.batch.iter().take_while(|record| too_old(record, config, now) == first_is_too_old).count();
        if run < front.batch.len() {
            let (head, tail) = front.split_at(run);
            self.replace_front([head, tail]);
        }
    }

    fn replace_front<const N: usize>(&mut self, pieces: [Piece; N]) {
        self.pieces.pop_front();
        for piece in pieces.into_iter().rev() {
            self.pieces.push_front(piece);
        }
    }

    fn discard(&mut self, condition: DiscardCondition) -> Option<LaneStep> {
        let front = self.pieces.front()?;
        self.phase = Phase::Recording(condition);
        Some(LaneStep::Record(Discard {
            condition,
            approximate_invoke_count: front.invocations,
            function_error: front.function_error,
            batch: front.batch.clone(),
        }))
    }

    /// Takes what came of the invocation, and returns the records that are done, if any are.
    pub(crate) fn invoked(&mut self, invocation: Invocation, config: &MappingConfig, now: Moment) -> Option<Batch> {
        if self.phase != Phase::Invoking {
            return None;
        }
        let front = self.pieces.front_mut()?;
        let verdict = match &invocation {
            Invocation::Answered(verdict) if config.report_batch_item_failures => *verdict,
            Invocation::Answered(_) => Verdict::Success,
            Invocation::Failed | Invocation::NotInvoked => Verdict::Failure,
        };
        front.function_error = matches!(invocation, Invocation::Failed);
        match (verdict, invocation) {
            (Verdict::Success, _) => {
                self.failures = 0;
                self.finish_front(now)
            }
            (Verdict::PartialSuccess(done), _) => Some(self.partly_done(done, config, now)),
            (Verdict::Failure, Invocation::NotInvoked) => {
                front.invocations -= 1;
                self.wait(config, now);
                None
            }
            (Verdict::Failure, _) => {
                self.failed(config, now);
                None
            }
        }
    }

    fn finish_front(&mut self, now: Moment) -> Option<Batch> {
        let done = self.pieces.pop_front()?.batch;
        self.phase = Phase::Waiting(Duration::ZERO);
        if self.pieces.is_empty() {
            self.window_start = now.elapsed;
        }
        Some(done)
    }

    /// With bisect on, the batch is split at the sequence number that was returned, which uses up no retry: every
    /// such split leaves fewer records. With bisect off, sending the rest again is a retry.
    fn partly_done(&mut self, done: usize, config: &MappingConfig, now: Moment) -> Batch {
        let front = &self.pieces[0];
        let (head, mut rest) = front.split_at(done);
        let exhausted = !config.bisect_batch_on_function_error && no_retry_left(&rest, config);
        if !config.bisect_batch_on_function_error {
            rest.retries = rest.retries.saturating_add(1);
        }
        self.replace_front([rest]);
        self.failures = 0;
        if exhausted {
            self.phase = Phase::Discarding(DiscardCondition::RetryAttemptsExhausted, now.elapsed);
        } else {
            self.wait(config, now);
        }
        head.batch
    }

    fn failed(&mut self, config: &MappingConfig, now: Moment) {
        let Some(front) = self.pieces.front_mut() else { return };
        if config.bisect_batch_on_function_error && front.batch.len() > 1 {
            let (head, tail) = front.split_at(front.batch.len() / 2);
            self.replace_front([head, tail]);
            // Each split is progress, so the waits do not grow: a poison record is found in seconds.
            self.phase = Phase::Waiting(now.elapsed + config.retry_backoff.wait(1));
        } else if no_retry_left(front, config) {
            self.phase = Phase::Discarding(DiscardCondition::RetryAttemptsExhausted, now.elapsed);
        } else {
            front.retries = front.retries.saturating_add(1);
            self.wait(config, now);
        }
    }

    fn wait(&mut self, config: &MappingConfig, now: Moment) {
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Waiting(now.elapsed + config.retry_backoff.wait(self.failures));
    }

    /// Takes the on-failure destination's word, and returns the records that are done with, if it took them.
    pub(crate) fn recorded(&mut self, taken: bool, config: &MappingConfig, now: Moment) -> Option<Batch> {
        let Phase::Recording(condition) = self.phase else { return None };
        if taken {
            self.failures = 0;
            return self.finish_front(now);
        }
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Discarding(condition, now.elapsed + config.retry_backoff.wait(self.failures));
        None
    }
}

fn no_retry_left(piece: &Piece, config: &MappingConfig) -> bool {
    config.maximum_retry_attempts.is_some_and(|maximum| piece.retries >= maximum)
}

fn too_old(record: &StreamRecord, config: &MappingConfig, now: Moment) -> bool {
    let age = now.wall.as_nanosecond() - record.arrived_at.as_nanosecond();
    config.maximum_record_age.is_some_and(|maximum| age > maximum.as_nanos() as i128)
}
