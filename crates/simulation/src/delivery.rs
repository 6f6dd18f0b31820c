//! From the stream to the handler: what pollers and invocations do, step by step.

use crate::coverage::{Branch, Fault};
use crate::oracle::Verdict;
use crate::pollers::{Discarded, Invocation, Poller, Slot};
use crate::run::Simulation;
use aggregator::BatchResult;
use event_source_mapping::{
    Action, Backoff, Batch, Discard, DiscardCondition, Invocation as Answer, MappingConfig, ShardGraph, ShardMachine,
    Verdict as Done,
};
use ports::{Position, SequenceNumber};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

impl Simulation<'_> {
    pub fn config(&self) -> MappingConfig {
        let mapping = &self.schedule.mapping;
        MappingConfig {
            batch_size: mapping.batch_size,
            parallelization_factor: mapping.parallelization_factor,
            bisect_batch_on_function_error: mapping.bisect,
            maximum_retry_attempts: mapping.retries,
            maximum_record_age: mapping.record_age_seconds.map(Duration::from_secs),
            retry_backoff: Backoff { initial: Duration::from_millis(5), maximum: Duration::from_millis(40) },
            ..MappingConfig::new((*self.source).clone())
        }
    }

    pub fn start_poller(&mut self) {
        let poller = Poller {
            incarnation: self.streams.len() as u32 - 1,
            config: Arc::new(self.config()),
            graph: ShardGraph::new(),
            slots: Vec::new(),
            listed: 0,
            alive: true,
        };
        self.pollers.push(poller);
        if self.living().len() > 1 {
            self.branch(Branch::TwoPollers);
        }
    }

    /// Lets every poller do all that it wants to do now.
    pub fn pump(&mut self) -> Verdict {
        for poller in 0..self.pollers.len() {
            if !self.pollers[poller].alive {
                continue;
            }
            // A shard that is drained makes way for its children.
            let mut pumped = 0;
            loop {
                self.list_shards(poller);
                for slot in 0..self.pollers[poller].slots.len() {
                    self.pump_slot(poller, slot)?;
                }
                let drained = self.pollers[poller].slots.iter().filter(|slot| slot.drained).count();
                if drained == pumped {
                    break;
                }
                pumped = drained;
            }
        }
        Ok(())
    }

    fn list_shards(&mut self, poller: usize) {
        let incarnation = self.pollers[poller].incarnation;
        let listing = self.streams[incarnation as usize].shards.len();
        if self.pollers[poller].listed < listing && !self.strikes(Fault::ListingStale) {
            let listing = self.streams[incarnation as usize].listing();
            self.pollers[poller].listed = listing.len();
            self.pollers[poller].graph.listed(listing);
        }
        let now = self.moment();
        let stream = &self.streams[incarnation as usize];
        let poller = &mut self.pollers[poller];
        for start in poller.graph.start_ready() {
            let Some(shard) = stream.position_of(&start.shard.id) else { continue };
            let checkpoint = self.checkpoints.get(&(incarnation, shard)).copied();
            let config = Arc::clone(&poller.config);
            let machine = ShardMachine::new(config, &start.shard.id, Position::TrimHorizon, checkpoint, now);
            poller.slots.push(Slot { shard, machine, waiting: None, drained: false });
        }
    }

    fn pump_slot(&mut self, poller: usize, slot: usize) -> Verdict {
        if self.pollers[poller].slots[slot].drained {
            return Ok(());
        }
        if let Some((position, limit)) = self.pollers[poller].slots[slot].waiting.take() {
            self.read(poller, slot, position, limit, true);
        }
        loop {
            let now = self.moment();
            let of = &mut self.pollers[poller].slots[slot];
            let Some(action) = of.machine.next_action(now) else { break };
            match action {
                Action::Read { position, limit, caught_up } => self.read(poller, slot, position, limit, caught_up),
                Action::Invoke { lane, batch } => self.invoke(poller, slot, lane, &batch)?,
                Action::RecordFailure { lane, discard } => self.discard(poller, slot, lane, &discard),
                Action::SaveCheckpoint(checkpoint) => self.save(poller, slot, checkpoint),
            }
        }
        let poller = &mut self.pollers[poller];
        let slot = &mut poller.slots[slot];
        if slot.machine.is_drained() {
            slot.drained = true;
            let id = &self.streams[poller.incarnation as usize].shards[slot.shard].id();
            poller.graph.drained(id);
        }
        Ok(())
    }

    fn read(&mut self, poller: usize, slot: usize, position: Position, limit: usize, caught_up: bool) {
        let incarnation = self.pollers[poller].incarnation as usize;
        let shard = self.pollers[poller].slots[slot].shard;
        if caught_up && !self.streams[incarnation].shards[shard].has_news(position) {
            self.pollers[poller].slots[slot].waiting = Some((position, limit));
            return;
        }
        let now = self.moment();
        if self.strikes(Fault::StreamReadFails) {
            self.pollers[poller].slots[slot].machine.read_failed(now);
            return;
        }
        let limit = if self.strikes(Fault::StreamReadShort) { limit.min(1) } else { limit };
        let page = self.streams[incarnation].shards[shard].read(position, limit);
        self.mark(4, page.records.len() as u64);
        self.pollers[poller].slots[slot].machine.read(page, now);
    }

    fn save(&mut self, poller: usize, slot: usize, checkpoint: SequenceNumber) {
        let saved = !self.strikes(Fault::CheckpointFails);
        let incarnation = self.pollers[poller].incarnation;
        let shard = self.pollers[poller].slots[slot].shard;
        if saved {
            self.tell(|s| {
                format!("the checkpoint of {} is {checkpoint}", s.streams[incarnation as usize].shards[shard].id())
            });
            self.checkpoints.insert((incarnation, shard), checkpoint);
        }
        let now = self.moment();
        self.pollers[poller].slots[slot].machine.saved(saved, now);
    }

    fn discard(&mut self, poller: usize, slot: usize, lane: usize, discard: &Discard) {
        let taken = !self.strikes(Fault::DiscardFails);
        if taken {
            let incarnation = self.pollers[poller].incarnation;
            let shard = self.pollers[poller].slots[slot].shard;
            self.branch(match discard.condition {
                DiscardCondition::RetryAttemptsExhausted => Branch::DiscardedByRetries,
                DiscardCondition::RecordAgeExceeded => Branch::DiscardedByAge,
            });
            let stored = &mut self.streams[incarnation as usize].shards[shard];
            let records: Vec<usize> = discard.batch.sequence_numbers().filter_map(|n| stored.find(n)).collect();
            for record in &records {
                stored.records[*record].discarded = true;
            }
            self.tell(|_| {
                format!("the mapping gives up records {records:?} of shard {shard}: {:?}", discard.condition)
            });
            self.discarded.push(Discarded { incarnation, shard, records });
        }
        let now = self.moment();
        self.pollers[poller].slots[slot].machine.recorded(lane, taken, now);
    }

    fn invoke(&mut self, poller: usize, slot: usize, lane: usize, batch: &Batch) -> Verdict {
        let now = self.moment();
        if self.strikes(Fault::NotInvoked) {
            self.pollers[poller].slots[slot].machine.invoked(lane, Answer::NotInvoked, now);
            return Ok(());
        }
        let incarnation = self.pollers[poller].incarnation;
        let deployment = self.deployments.len() - 1;
        let instance = self.random.below(self.schedule.instances);
        let aggregator = Arc::clone(&self.deployments[deployment].1[instance]);
        let (first_sequence, last_sequence) = (batch[0].sequence_number, batch[batch.len() - 1].sequence_number);
        let of_shard = |one: &Invocation| one.running.is_some() && one.incarnation == incarnation;
        let before = self.invocations.iter().rev().find(|one| of_shard(one));
        let part = before.is_some_and(|before| {
            (before.first_sequence..=before.last_sequence).contains(&first_sequence) && batch.len() == 1
        });
        if before.is_some() {
            self.coverage.branch(Branch::ConcurrentInvocations);
        }
        if part && self.schedule.mapping.bisect {
            self.coverage.branch(Branch::Bisected);
        }
        let at = self.invocations.len();
        self.mark(5, batch.len() as u64);
        self.tell(|_| {
            format!(
                "invocation {at} begins on instance {instance}: records {first_sequence} to {last_sequence} of {shard}",
                shard = batch[0].shard.shard_id
            )
        });
        let batch = batch.clone();
        self.invocations.push(Invocation {
            incarnation,
            deployment,
            instance,
            read: BTreeSet::new(),
            refused: BTreeSet::new(),
            wrote: Vec::new(),
            found_pages: false,
            looked_up: false,
            overtaken: 0,
            waits: Some((poller, slot, lane)),
            first_sequence,
            last_sequence,
            running: Some(Box::pin(async move { (aggregator.handle(&batch).await, batch) })),
        });
        self.poll(at)
    }

    /// Lets an invocation run until it waits for a port.
    pub fn poll(&mut self, at: usize) -> Verdict {
        let Some(mut running) = self.invocations[at].running.take() else { return Ok(()) };
        self.exchange.lock().invocation = at;
        match running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => self.invocations[at].running = Some(running),
            Poll::Ready((result, batch)) => self.answered(at, &result, &batch),
        }
        Ok(())
    }

    fn answered(&mut self, at: usize, result: &BatchResult, batch: &Batch) {
        let report = &result.report;
        self.mark(6, report.counted << 32 | report.duplicates);
        if report.duplicates > 0 {
            self.branch(Branch::Duplicate);
        }
        if self.invocations[at].found_pages && report.duplicates > 0 {
            self.branch(Branch::LateFound);
        }
        if !result.failed.is_empty() {
            self.branch(Branch::PartialResponse);
        }
        let replans_max = self.deployments[self.invocations[at].deployment].0.replans_max;
        if report.failed_groups > 0 && self.invocations[at].overtaken > replans_max {
            self.branch(Branch::ReplansExhausted);
        }
        self.tell(|_| {
            let failures = result.failed.len();
            format!(
                "invocation {at} answers: {} counted, {} duplicates, {failures} failures",
                report.counted, report.duplicates
            )
        });
        let done = Answer::Answered(Done::of_failed(&result.failed, batch));
        let answer = if self.strikes(Fault::ResponseLost) { Answer::Failed } else { done };
        self.end(at, answer);
    }

    /// The poller learns how an invocation ended.
    fn end(&mut self, at: usize, answer: Answer) {
        let Some((poller, slot, lane)) = self.invocations[at].waits.take() else { return };
        let now = self.moment();
        if self.pollers[poller].alive {
            self.pollers[poller].slots[slot].machine.invoked(lane, answer, now);
        }
    }

    /// An invocation dies, or is given up and lives on.
    pub fn disturb_invocation(&mut self) -> Verdict {
        let running: Vec<usize> = (self.invocations.len().saturating_sub(8)..self.invocations.len())
            .filter(|at| self.invocations[*at].running.is_some())
            .collect();
        if running.is_empty() {
            return Ok(());
        }
        let at = self.random.pick(&running);
        if self.strikes(Fault::InvocationCrash) {
            self.tell(|_| format!("invocation {at} dies, and its instance with it"));
            let Invocation { deployment, instance, .. } = self.invocations[at];
            self.deployments[deployment].1[instance] = self.instance(&self.deployments[deployment].0);
            self.invocations[at].running = None;
            self.end(at, Answer::Failed);
        } else if self.strikes(Fault::InvocationTimeOut) {
            self.tell(|_| format!("invocation {at} times out, and runs on"));
            self.end(at, Answer::Failed);
        }
        Ok(())
    }

    pub fn disturb_poller(&mut self) -> Verdict {
        if self.strikes(Fault::PollerCrash) {
            self.crash_poller();
        }
        Ok(())
    }

    /// A poller dies, with or without its invocations; where it was the last, another takes over.
    pub fn crash_poller(&mut self) {
        let living = self.living();
        let poller = self.random.pick(&living);
        self.tell(|_| format!("poller {poller} dies"));
        self.pollers[poller].kill();
        let dies_too = self.random.one_in(2);
        for invocation in &mut self.invocations {
            if invocation.waits.is_some_and(|(waits, ..)| waits == poller) {
                invocation.waits = None;
                if dies_too {
                    invocation.running = None;
                }
            }
        }
        if living.len() == 1 {
            self.start_poller();
        }
    }
}
