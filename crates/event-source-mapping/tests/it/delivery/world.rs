//! The stream, the function, the destination and the checkpoints of a run, and the promises it is held to.

use event_source_mapping::{
    Action, Batch, DiscardCondition, Invocation, MappingConfig, Moment, ShardGraph, ShardMachine, verdict,
};
use ports::{Position, RecordsPage, SequenceNumber, Shard, ShardId, StreamRecord, StreamShard};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use telemetry::Timestamp;

/// One shard: the partition keys of its records in order, and its parents.
#[derive(Debug, Clone)]
pub struct ShardPlan {
    pub keys: Vec<u8>,
    pub parents: Vec<usize>,
}

/// A whole run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub config: MappingConfig,
    pub shards: Vec<ShardPlan>,
    pub tape: Vec<u8>,
}

/// How often each fault and branch happened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Coverage([usize; 11]);

const NAMES: [&str; 11] = [
    "success",
    "partial success",
    "function error",
    "not invoked",
    "malformed answer",
    "retries exhausted",
    "too old",
    "destination unavailable",
    "save failed",
    "read failed",
    "crash",
];

impl Coverage {
    pub fn named(&self) -> impl Iterator<Item = (&'static str, usize)> {
        NAMES.into_iter().zip(self.0)
    }

    fn count(&mut self, name: &str) {
        self.0[NAMES.iter().position(|known| *known == name).unwrap()] += 1;
    }
}

impl std::ops::AddAssign for Coverage {
    fn add_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(one, more)| *one += more);
    }
}

type Place = (usize, usize);

pub struct World {
    plan: Plan,
    config: Arc<MappingConfig>,
    tape: std::vec::IntoIter<u8>,
    elapsed: Duration,
    records: Vec<Vec<StreamRecord>>,
    finished: BTreeSet<Place>,
    saved: BTreeMap<usize, SequenceNumber>,
    coverage: Coverage,
    // What a crash loses.
    graph: ShardGraph,
    machines: BTreeMap<usize, ShardMachine>,
    out: Vec<(usize, Action)>,
}

fn sequence_number(shard: usize, index: usize) -> SequenceNumber {
    // Later shards have lower numbers: "AWS promises no order between them across resharding".
    SequenceNumber::from((1000 - shard as u64) * 1000 + index as u64 + 1)
}

fn shard_id(shard: usize) -> ShardId {
    ShardId(format!("shardId-{shard:012}"))
}

impl World {
    pub fn new(plan: Plan) -> Self {
        let records = plan.shards.iter().enumerate().map(|(shard, plan)| {
            let source = Arc::new(StreamShard { stream: "readings".to_owned(), shard_id: shard_id(shard) });
            let record = |(index, key): (usize, &u8)| StreamRecord {
                shard: Arc::clone(&source),
                sequence_number: sequence_number(shard, index),
                partition_key: format!("device-{key}"),
                data: vec![*key; usize::from(*key) * 40],
                arrived_at: Timestamp::from_millisecond((shard * 20_000 + index * 1000) as i64).unwrap(),
            };
            plan.keys.iter().enumerate().map(record).collect()
        });
        World {
            records: records.collect(),
            config: Arc::new(plan.config.clone()),
            tape: plan.tape.clone().into_iter(),
            plan,
            elapsed: Duration::ZERO,
            finished: BTreeSet::new(),
            saved: BTreeMap::new(),
            coverage: Coverage::default(),
            graph: ShardGraph::new(),
            machines: BTreeMap::new(),
            out: Vec::new(),
        }
    }

    pub fn run(mut self) -> Coverage {
        self.list();
        for _ in 0..100_000 {
            if self.decide(60) == 1 {
                self.crash();
            }
            self.collect_actions();
            self.settle_drained();
            if self.machines.is_empty() {
                break;
            }
            self.answer_or_wait();
        }
        assert!(self.machines.is_empty(), "the run does not come to an end");
        for (shard, records) in self.records.iter().enumerate() {
            for index in 0..records.len() {
                assert!(self.finished.contains(&(shard, index)), "record {index} of shard {shard} was lost");
            }
        }
        self.coverage
    }

    /// A number below `choices` from the tape; 0, the good case, once it is exhausted.
    fn decide(&mut self, choices: u8) -> u8 {
        self.tape.next().map_or(0, |byte| byte % choices)
    }

    fn now(&self) -> Moment {
        let wall = Timestamp::from_nanosecond(self.elapsed.as_nanos() as i128).unwrap();
        Moment { wall, elapsed: self.elapsed }
    }

    fn list(&mut self) {
        let shard = |(index, plan): (usize, &ShardPlan)| Shard {
            id: shard_id(index),
            parent: plan.parents.first().copied().map(shard_id),
            adjacent_parent: plan.parents.get(1).copied().map(shard_id),
        };
        self.graph.listed(self.plan.shards.iter().enumerate().map(shard).collect());
        self.start_shards();
    }

    fn start_shards(&mut self) {
        for start in self.graph.start_ready() {
            let shard = (0..self.records.len()).find(|shard| shard_id(*shard) == start.shard.id).unwrap();
            for parent in &self.plan.shards[shard].parents {
                for index in 0..self.records[*parent].len() {
                    let done = self.finished.contains(&(*parent, index));
                    assert!(done, "shard {shard} started before record {index} of its parent {parent} was finished");
                }
            }
            let checkpoint = self.saved.get(&shard).copied();
            let machine = ShardMachine::new(
                Arc::clone(&self.config),
                &start.shard.id,
                self.config.starting_position.into(),
                checkpoint,
                self.now(),
            );
            self.machines.insert(shard, machine);
        }
    }

    fn crash(&mut self) {
        self.coverage.count("crash");
        self.graph = ShardGraph::new();
        self.machines.clear();
        self.out.clear();
        self.list();
    }

    fn settle_drained(&mut self) {
        let drained: Vec<_> =
            self.machines.iter().filter(|(_, machine)| machine.is_drained()).map(|(shard, _)| *shard).collect();
        for shard in drained {
            self.machines.remove(&shard);
            self.graph.drained(&shard_id(shard));
        }
        self.start_shards();
    }

    fn collect_actions(&mut self) {
        let now = self.now();
        for (shard, machine) in &mut self.machines {
            while let Some(action) = machine.next_action(now) {
                if let (Action::Invoke { batch, .. }, Some(age)) = (&action, self.config.maximum_record_age) {
                    let at_most = |record: &StreamRecord| {
                        now.wall.as_nanosecond() - record.arrived_at.as_nanosecond() <= age.as_nanos() as i128
                    };
                    assert!(batch.iter().all(at_most), "a record too old was sent");
                }
                self.out.push((*shard, action));
            }
            let lanes = self.config.parallelization_factor;
            let most = 2 * lanes * self.config.batch_size;
            assert!(machine.records_held() <= most, "{} records are held", machine.records_held());
        }
        self.check_out();
    }

    fn check_out(&self) {
        let mut keys = BTreeSet::new();
        for (shard, action) in &self.out {
            let Action::Invoke { batch, .. } = action else { continue };
            let batch_keys: BTreeSet<_> = batch.iter().map(|record| (*shard, record.partition_key.clone())).collect();
            assert!(batch_keys.is_disjoint(&keys), "two batches share a partition key");
            keys.extend(batch_keys);
            let bytes = self.config.source.event(batch).len();
            assert!(batch.len() <= self.config.batch_size);
            assert!(bytes <= self.config.maximum_batch_bytes || batch.len() == 1, "{bytes} bytes");
        }
    }

    fn answer_or_wait(&mut self) {
        let pending = self.out.len();
        // Now and then time passes though answers are pending.
        if pending == 0 || self.decide(8) == 7 {
            let deadline = self.machines.values().filter_map(ShardMachine::deadline).min();
            self.elapsed = deadline.map_or(self.elapsed, |at| at.max(self.elapsed)) + Duration::from_millis(1);
            if pending == 0 {
                return;
            }
        }
        let which = self.decide(pending.min(255) as u8) as usize;
        let (shard, action) = self.out.swap_remove(which);
        match action {
            Action::Read { position, limit, .. } => self.answer_read(shard, position, limit),
            Action::SaveCheckpoint(checkpoint) => self.answer_save(shard, checkpoint),
            Action::Invoke { lane, batch } => self.answer_invocation(shard, lane, &batch),
            Action::RecordFailure { lane, discard } => {
                self.coverage.count(match discard.condition {
                    DiscardCondition::RetryAttemptsExhausted => "retries exhausted",
                    DiscardCondition::RecordAgeExceeded => "too old",
                });
                let taken = self.decide(4) != 3;
                if taken {
                    self.finish(shard, &discard.batch, discard.batch.len());
                } else {
                    self.coverage.count("destination unavailable");
                }
                let now = self.now();
                self.machine(shard).recorded(lane, taken, now);
            }
        }
    }

    fn machine(&mut self, shard: usize) -> &mut ShardMachine {
        self.machines.get_mut(&shard).expect("only machines that live have actions out")
    }

    fn answer_read(&mut self, shard: usize, position: Position, limit: usize) {
        let now = self.now();
        if self.decide(6) == 5 {
            self.coverage.count("read failed");
            return self.machine(shard).read_failed(now);
        }
        let short = self.decide(4) == 3;
        let after = match position {
            Position::TrimHorizon => SequenceNumber::from(0),
            Position::AfterSequenceNumber(after) => after,
            other => panic!("nothing reads from {other:?}"),
        };
        let rest = self.records[shard].iter().filter(|record| record.sequence_number > after);
        let records: Vec<_> = rest.clone().take(if short { limit.min(2) } else { limit }).cloned().collect();
        let at_end = records.len() == rest.count();
        let end = records.last().map_or(after, |record| record.sequence_number);
        // A shard without children stays open in life; here every shard is closed, so that the run ends.
        let next = (!at_end).then_some(Position::AfterSequenceNumber(end));
        self.machine(shard).read(RecordsPage { records, next, behind_latest: Duration::from_secs(1) }, now);
    }

    fn answer_save(&mut self, shard: usize, checkpoint: SequenceNumber) {
        for (index, record) in self.records[shard].iter().enumerate() {
            let done = self.finished.contains(&(shard, index));
            assert!(
                done || record.sequence_number > checkpoint,
                "the checkpoint passes record {index} of shard {shard}"
            );
        }
        let now = self.now();
        // Saved and acknowledged, lost, or saved with the acknowledgement lost.
        let (stored, acknowledged) = match self.decide(6) {
            4 => (false, false),
            5 => (true, false),
            _ => (true, true),
        };
        if stored {
            let before = self.saved.insert(shard, checkpoint);
            assert!(before <= Some(checkpoint), "the checkpoint of shard {shard} went back");
        }
        if !acknowledged {
            self.coverage.count("save failed");
        }
        self.machine(shard).saved(acknowledged, now);
    }

    fn answer_invocation(&mut self, shard: usize, lane: usize, batch: &Batch) {
        let reports = self.config.report_batch_item_failures;
        let choice = self.decide(8);
        let (name, invocation, done) = match choice {
            3 => ("function error", Invocation::Failed, 0),
            4 => ("not invoked", Invocation::NotInvoked, 0),
            5 if reports => {
                ("malformed answer", Invocation::Answered(verdict(b"{\"batchItemFailures\":[{}]}", batch)), 0)
            }
            6 | 7 if reports => {
                let lowest = usize::from(self.decide(batch.len() as u8));
                let items = [lowest, batch.len() - 1]
                    .map(|index| format!("{{\"itemIdentifier\":\"{}\"}}", batch[index].sequence_number));
                let answer = format!("{{\"batchItemFailures\":[{},{}]}}", items[1], items[0]);
                ("partial success", Invocation::Answered(verdict(answer.as_bytes(), batch)), lowest)
            }
            _ => ("success", Invocation::Answered(verdict(b"null", batch)), batch.len()),
        };
        self.coverage.count(name);
        self.finish(shard, batch, done);
        let now = self.now();
        self.machine(shard).invoked(lane, invocation, now);
    }

    /// The first `done` records of `batch` are finished: for the first time, each after all before it of its key.
    fn finish(&mut self, shard: usize, batch: &Batch, done: usize) {
        for record in &batch[..done] {
            let records = &self.records[shard];
            let index = records.iter().position(|known| known == record).expect("only records of the shard are sent");
            for (earlier, before) in records[..index].iter().enumerate() {
                let finished = self.finished.contains(&(shard, earlier));
                let same_key = before.partition_key == record.partition_key;
                assert!(!same_key || finished, "record {index} of shard {shard} overtook record {earlier}");
            }
            self.finished.insert((shard, index));
        }
    }
}
