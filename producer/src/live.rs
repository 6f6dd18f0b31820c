//! A simulated fleet that posts in real time, through the front door like anyone.

use crate::body::Form;
use crate::client::{Client, Endpoint, now};
use crate::delivery::{failed_indices, keep};
use crate::fleet::SimulatedDevice;
use crate::patience::wait;
use crate::progress::Progress;
use crate::retry::backoff_delay;
use crate::row::{Origin, Row};
use rand::rng;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};
use telemetry::{MAX_READINGS, Reading, Timestamp};

/// Up to this rate each reading is its own post, so that a page moves smoothly.
const SINGLE_POSTS_PER_SECOND_MAX: f64 = 500.0;

/// How long readings are gathered for one post at higher rates.
const GATHER: Duration = Duration::from_millis(200);

/// From this rate per device on, what is gathered makes worthwhile series; below, batches of many devices.
const SERIES_PER_DEVICE_SECOND_MIN: f64 = 20.0;

/// How far the fleet may fall behind before it leaves readings out: devices do not store up readings for ever.
const LAG_MAX: Duration = Duration::from_secs(2);

/// How long one answer is awaited.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a refused post keeps its thread from the next, so that a wrong key does not become a flood.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// A fleet and its pace.
#[derive(Debug, Clone, Copy)]
pub struct FleetRun {
    /// How many devices; 0 posts nothing.
    pub devices: usize,
    /// Readings per second of all devices together; 0 or less posts nothing.
    pub readings_per_second: f64,
    /// Which fleet: the same seed gives the same devices and signals.
    pub seed: u64,
}

/// Posts the readings of a simulated fleet at an even pace until [`Progress::stop`] is called, and counts them in
/// `progress`. It never ends because of errors: it tries again, more and more slowly. A run that is behind leaves
/// readings out rather than posting them late.
pub fn run_fleet(endpoint: &Endpoint, run: FleetRun, progress: &Progress) {
    if run.devices == 0 || run.readings_per_second.is_nan() || run.readings_per_second <= 0.0 {
        return;
    }
    let form = form(run);
    let threads = threads(run, form);
    // Every thread's schedule begins at one moment, so that their readings interleave evenly.
    let (started, started_at) = (Instant::now(), now());
    thread::scope(|scope| {
        for thread in 0..threads {
            let indices = (thread..run.devices).step_by(threads);
            let devices = indices.map(|index| Member::new(index, run, started_at)).collect();
            let client = Client::new(endpoint, TIMEOUT);
            let worker = Worker { client, progress, form, started, run, devices, next: 0, round: 0 };
            scope.spawn(|| worker.post_until_stopped());
        }
    });
}

fn form(run: FleetRun) -> Form {
    if run.readings_per_second <= SINGLE_POSTS_PER_SECOND_MAX {
        Form::Single
    } else if run.readings_per_second / run.devices as f64 >= SERIES_PER_DEVICE_SECOND_MIN {
        Form::Series
    } else {
        Form::Batch
    }
}

/// A thread posts some 60 singles a second even where an answer takes 15 ms.
fn threads(run: FleetRun, form: Form) -> usize {
    let wanted = if form == Form::Single { (run.readings_per_second / 60.0).ceil() as usize } else { 4 };
    wanted.clamp(1, 8).min(run.devices)
}

/// A device of the fleet and its number.
struct Member {
    device: SimulatedDevice,
    index: usize,
    started_at: Timestamp,
    /// The steps of its clock in nanoseconds: milliseconds, as devices have, unless they are too coarse for its rate.
    clock_step: i128,
    last: i128,
}

impl Member {
    fn new(index: usize, run: FleetRun, started_at: Timestamp) -> Self {
        let device = SimulatedDevice::new(index, run.seed);
        let coarse = run.readings_per_second / run.devices as f64 <= 500.0;
        let clock_step = if coarse { 1_000_000 } else { 1_000 };
        Member { device, index, started_at, clock_step, last: i128::MIN }
    }

    /// The reading that is due so long after the start; `None` while the device has dropped out.
    fn read(&mut self, after: Duration, round: u64) -> Option<Row> {
        let after = i128::try_from(after.as_nanos()).ok()?;
        let exact = self.started_at.as_nanosecond() + after;
        let nanosecond = (exact - exact.rem_euclid(self.clock_step)).max(self.last.saturating_add(self.clock_step));
        self.last = nanosecond;
        let timestamp = Timestamp::from_nanosecond(nanosecond)?;
        let value = self.device.read(timestamp)?;
        let reading = Reading { device_id: self.device.id().clone(), timestamp, value, event_id: None };
        Some(Row { reading, json: None, origin: Origin { file: self.device.origin.clone(), line: round + 1 } })
    }
}

struct Worker<'a> {
    client: Client,
    progress: &'a Progress,
    form: Form,
    started: Instant,
    run: FleetRun,
    devices: Vec<Member>,
    /// Which device is next, in which round.
    next: usize,
    round: u64,
}

impl Worker<'_> {
    fn post_until_stopped(mut self) {
        let gathers = self.form != Form::Single;
        loop {
            let due = self.next_due();
            let until = if gathers { due.max(self.started.elapsed() + GATHER) } else { due };
            if !wait(until.saturating_sub(self.started.elapsed()), self.progress) {
                return;
            }
            self.leave_out_what_is_late();
            for rows in self.gather() {
                if !self.post(rows) {
                    return;
                }
            }
        }
    }

    /// When the next reading of this thread is due, after the start.
    fn next_due(&self) -> Duration {
        let number = self.round as f64 * self.run.devices as f64 + self.devices[self.next].index as f64;
        // A year of readings is far below what a Duration holds; a rate near zero is as good as never.
        Duration::try_from_secs_f64(number / self.run.readings_per_second).unwrap_or(Duration::MAX / 4)
    }

    fn leave_out_what_is_late(&mut self) {
        let now = self.started.elapsed();
        if now.saturating_sub(self.next_due()) <= LAG_MAX {
            return;
        }
        // Whole rounds at once, then device by device to the one whose turn it is.
        let round_seconds = self.run.devices as f64 / self.run.readings_per_second;
        self.round = self.round.max(((now.as_secs_f64() / round_seconds) as u64).saturating_sub(1));
        while self.next_due() < now {
            self.advance();
        }
    }

    fn advance(&mut self) {
        self.next = (self.next + 1) % self.devices.len();
        self.round += u64::from(self.next == 0);
    }

    /// All that is due now, as the rows of each post.
    fn gather(&mut self) -> Vec<Vec<Row>> {
        let now = self.started.elapsed();
        let mut posts: Vec<Vec<Row>> = Vec::new();
        let mut open = vec![usize::MAX; self.devices.len()];
        loop {
            let due = self.next_due();
            if due > now {
                return posts;
            }
            let device = self.next;
            let row = self.devices[device].read(due, self.round);
            self.advance();
            let Some(row) = row else { continue };
            let slot = match self.form {
                Form::Single => usize::MAX,
                Form::Series => open[device],
                Form::Batch => posts.len().wrapping_sub(1),
            };
            match posts.get_mut(slot) {
                Some(rows) if rows.len() < MAX_READINGS => rows.push(row),
                _ => {
                    open[device] = posts.len();
                    posts.push(vec![row]);
                }
            }
        }
    }

    /// Posts until the rows are taken or refused. False when the run was told to end.
    fn post(&self, mut rows: Vec<Row>) -> bool {
        let mut body = Vec::new();
        self.progress.sent.fetch_add(rows.len() as u64, Relaxed);
        for attempt in 0.. {
            self.form.encode(&rows, &mut body);
            self.progress.posts.fetch_add(1, Relaxed);
            let answer = self.client.post(self.form.path(), "application/json", &body).ok();
            let posted = rows.len();
            match &answer {
                Some(answer) if answer.status == 200 => rows.clear(),
                Some(answer) if answer.status == 207 => {
                    if let Some(failed) = failed_indices(answer, posted) {
                        rows = keep(rows, &failed);
                    }
                }
                Some(answer) if matches!(answer.status, 408 | 429 | 500..) => {}
                Some(_) => {
                    self.progress.refused.fetch_add(posted as u64, Relaxed);
                    return wait(REFUSED_PAUSE, self.progress);
                }
                None => {}
            }
            self.progress.accepted.fetch_add((posted - rows.len()) as u64, Relaxed);
            if rows.is_empty() {
                return true;
            }
            let asked = answer.and_then(|answer| answer.retry_after);
            if !wait(asked.unwrap_or_else(|| backoff_delay(attempt, &mut rng())), self.progress) {
                return false;
            }
            self.progress.retried.fetch_add(1, Relaxed);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_that_was_held_up_leaves_readings_out_and_keeps_its_pace() {
        let endpoint = Endpoint::new("http://127.0.0.1:1", "key").unwrap();
        let progress = Progress::default();
        for devices in [10, 100_000] {
            let run = FleetRun { devices, readings_per_second: 1_000.0, seed: 1 };
            let started = Instant::now().checked_sub(Duration::from_secs(50)).unwrap();
            let members = (0..devices).map(|index| Member::new(index, run, now())).collect();
            let client = Client::new(&endpoint, TIMEOUT);
            let mut worker = Worker {
                client,
                progress: &progress,
                form: Form::Batch,
                started,
                run,
                devices: members,
                next: 3,
                round: 0,
            };
            worker.leave_out_what_is_late();
            let ahead = worker.next_due().as_secs_f64() - started.elapsed().as_secs_f64();
            assert!(ahead.abs() < LAG_MAX.as_secs_f64(), "{devices} devices: {ahead} s");
            // Nothing is left out of a fleet that is on time.
            let due = worker.next_due();
            worker.leave_out_what_is_late();
            assert_eq!(worker.next_due(), due);
        }
    }
}
