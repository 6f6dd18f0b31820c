//! Runs a schedule: lets one thing happen at a time, chosen by the seed, until nothing is left to do.

use crate::coverage::{Branch, Coverage, Fault};
use crate::model::Schedule;
use crate::oracle::{Guarantee, Oracle, Verdict, Violation, broken};
use crate::pollers::{Discarded, Invocation, Poller};
use crate::random::Random;
use crate::stream::VirtualStream;
use crate::table::{Damage, Table};
use crate::virtual_ports::Virtual;
use aggregator::{Aggregator, Settings};
use event_source_mapping::{EventSource, Moment};
use ports::{DeadLetter, SequenceNumber};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Timestamp;

/// When schedules begin: 2026-06-01T00:00:00Z.
pub const START_NS: i128 = 1_780_272_000_000_000_000;

/// A schedule that needs more steps than this has got stuck.
const STEPS_MAX: u64 = 30_000;

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How many things happened.
    pub steps: u64,
    /// A hash of all that happened, in order: two runs of one schedule must agree in it.
    pub trace: u64,
    /// The guarantee that was broken, if any, at the last step.
    pub violation: Option<Violation>,
    /// What happened how often.
    pub coverage: Coverage,
    /// What happened, for people; empty unless it was asked for.
    pub story: Vec<String>,
}

/// An instance of the aggregator, with its cache.
pub(crate) type Instance = Arc<Aggregator<Virtual, Virtual, Virtual>>;

/// The aggregator as it was deployed.
pub(crate) type Deployment = (Settings, Vec<Instance>);

/// A stored dead letter.
pub(crate) struct Letter {
    pub letter: DeadLetter,
    /// Where the reading stands: (incarnation of the stream, shard, record, occurrence); no occurrence where it is of the
    /// whole record.
    pub place: (u32, usize, usize, Option<usize>),
    pub in_queue: bool,
}

pub(crate) struct Simulation<'a> {
    pub schedule: &'a Schedule,
    pub random: Random,
    pub exchange: Virtual,
    pub streams: Vec<VirtualStream>,
    pub table: Table,
    pub letters: Vec<Letter>,
    pub discarded: Vec<Discarded>,
    pub checkpoints: BTreeMap<(u32, usize), SequenceNumber>,
    pub pollers: Vec<Poller>,
    pub invocations: Vec<Invocation>,
    pub deployments: Vec<Deployment>,
    pub oracle: Oracle<'a>,
    pub coverage: Coverage,
    pub damage: Vec<Damage>,
    pub source: Arc<EventSource>,
    pub now_ns: i128,
    pub calm: bool,
    next_step: usize,
    steps: u64,
    trace: u64,
    story: Option<Vec<String>>,
}

/// Runs a schedule to its end, or to the first violation.
pub fn run(schedule: &Schedule) -> Outcome {
    Simulation::new(schedule, None).outcome()
}

/// Runs a schedule as [`run`] does, and tells its story.
pub fn run_told(schedule: &Schedule) -> Outcome {
    Simulation::new(schedule, Some(Vec::new())).outcome()
}

impl<'a> Simulation<'a> {
    fn new(schedule: &'a Schedule, story: Option<Vec<String>>) -> Self {
        let behind_ns = i128::from(schedule.clock_behind_seconds) * 1_000_000_000;
        let mut simulation = Simulation {
            schedule,
            random: Random::new(schedule.seed),
            exchange: Virtual::new(START_NS, behind_ns),
            streams: vec![VirtualStream::new(2)],
            table: Table::default(),
            letters: Vec::new(),
            discarded: Vec::new(),
            checkpoints: BTreeMap::new(),
            pollers: Vec::new(),
            invocations: Vec::new(),
            deployments: Vec::new(),
            oracle: Oracle::new(schedule),
            coverage: Coverage::default(),
            damage: Vec::new(),
            source: Arc::new(EventSource::on_one_machine("streamgauge", "aggregator")),
            now_ns: START_NS,
            calm: false,
            next_step: 0,
            steps: 0,
            trace: 0xcbf2_9ce4_8422_2325,
            story,
        };
        if behind_ns > 0 {
            simulation.coverage.fault(Fault::ClockBehind);
        }
        simulation.deploy(schedule.settings.clone());
        simulation.start_poller();
        simulation
    }

    fn outcome(mut self) -> Outcome {
        let violation = self.play().err();
        Outcome {
            steps: self.steps,
            trace: self.trace,
            violation,
            coverage: self.coverage,
            story: self.story.unwrap_or_default(),
        }
    }

    fn play(&mut self) -> Verdict {
        let mut turns_left = None;
        loop {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return broken(Guarantee::Progress, "the schedule does not come to an end");
            }
            self.pump()?;
            if self.calm {
                if !self.calm_turn()? {
                    break;
                }
                continue;
            }
            self.turn()?;
            if self.next_step == self.schedule.steps.len() {
                let left = turns_left.get_or_insert_with(|| self.random.below(80));
                self.calm = *left == 0;
                *left = left.saturating_sub(1);
            }
        }
        self.tell(|_| "everything is done".to_owned());
        self.oracle.finish(self.streams.iter().flat_map(|stream| &stream.shards).flat_map(|shard| &shard.records))
    }

    /// One thing that may go wrong or right.
    fn turn(&mut self) -> Verdict {
        let operations = self.exchange.lock().operations.len();
        let passes_ms = self.random.below(20) as i128;
        self.advance(1_000_000 * passes_ms);
        match self.random.below(16) {
            0..=10 if operations > 0 => {
                let at = self.random.below(operations);
                self.progress(at)
            }
            0..=12 => self.next_from_outside(),
            13 => self.disturb_invocation(),
            14 => self.disturb_poller(),
            _ => {
                self.expire_pages(false);
                self.pass_to_deadline();
                Ok(())
            }
        }
    }

    /// The next thing in order, without faults; `false` when there is none.
    fn calm_turn(&mut self) -> Result<bool, Violation> {
        if !self.exchange.lock().operations.is_empty() {
            self.progress(0)?;
            return Ok(true);
        }
        if self.pass_to_deadline() {
            return Ok(true);
        }
        self.last_orders()
    }

    fn next_from_outside(&mut self) -> Verdict {
        match self.schedule.steps.get(self.next_step) {
            Some(step) => {
                self.next_step += 1;
                self.happen(step)
            }
            None => {
                self.pass_to_deadline();
                Ok(())
            }
        }
    }

    /// Whether this fault happens now.
    pub fn strikes(&mut self, fault: Fault) -> bool {
        if self.calm || !self.schedule.faults.contains(&fault) || !self.random.one_in(self.schedule.fault_one_in) {
            return false;
        }
        self.coverage.fault(fault);
        self.tell(|_| format!("    fault: {}", fault.text()));
        true
    }

    pub fn advance(&mut self, by_ns: i128) {
        self.now_ns += by_ns;
        self.exchange.lock().now_ns = self.now_ns;
    }

    /// Lets time pass until some poller has something to do; `false` where none waits for time.
    fn pass_to_deadline(&mut self) -> bool {
        let deadlines = self.pollers.iter().filter_map(Poller::deadline);
        let Some(deadline) = deadlines.min() else { return false };
        let at_ns = START_NS + deadline.as_nanos() as i128;
        self.advance((at_ns - self.now_ns).max(0));
        true
    }

    pub fn moment(&self) -> Moment {
        let elapsed = Duration::from_nanos((self.now_ns - START_NS) as u64);
        Moment { wall: Timestamp::from_nanosecond(self.now_ns).unwrap_or(Timestamp::UNIX_EPOCH), elapsed }
    }

    pub fn deploy(&mut self, settings: Settings) {
        let instances = (0..self.schedule.instances).map(|_| self.instance(&settings)).collect();
        self.deployments.push((settings, instances));
    }

    /// A new instance, which has nothing cached.
    pub fn instance(&self, settings: &Settings) -> Instance {
        let ports = || self.exchange.clone();
        Arc::new(Aggregator::new(ports(), ports(), ports(), settings.clone()))
    }

    pub fn branch(&mut self, branch: Branch) {
        self.coverage.branch(branch);
    }

    /// Adds to the trace, by which two runs are compared.
    pub fn mark(&mut self, kind: u64, detail: u64) {
        let step = self.steps;
        for part in [kind, detail, step] {
            self.trace = (self.trace ^ part).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17);
        }
    }

    /// Adds a line to the story, where one is told.
    pub fn tell(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.story.is_some() {
            let line = format!("{:>5}  {}", self.steps, line(self));
            self.story.get_or_insert_default().push(line);
        }
    }
}
