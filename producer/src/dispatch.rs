//! Between the reader and the threads that post: one queue per device, of which at most one post is in flight.

use crate::body::{BODY_BYTES_MAX, encoded_bytes_max, frame_bytes};
use crate::row::Row;
use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use telemetry::DeviceId;

/// How much may wait, in bytes of bodies: enough that a few slow devices do not hold up the rest, and little beside
/// what a process needs anyway.
const QUEUED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long rows wait for their batch to fill before an idle thread posts them, so that a source that trickles (a pipe)
/// is posted as it comes.
const LINGER: Duration = Duration::from_millis(100);

#[derive(Default)]
struct DeviceQueue {
    rows: VecDeque<Row>,
    /// A post is in flight, or the device stands in `ready`.
    taken: bool,
    /// Since when the first of the rows waits, or a little later.
    since: Option<Instant>,
}

#[derive(Default)]
struct State {
    devices: HashMap<DeviceId, DeviceQueue>,
    /// Devices whose rows may be posted now, each once.
    ready: VecDeque<DeviceId>,
    queued_bytes: usize,
    /// Devices whose rows were handed out and are not settled.
    in_flight: usize,
    finished: bool,
    stopped: bool,
}

/// The queues of all devices.
pub(crate) struct Dispatch {
    state: Mutex<State>,
    /// Something is ready, or the run ends.
    work: Condvar,
    /// There is room again, or the run ends.
    room: Condvar,
    batch: usize,
}

impl Dispatch {
    pub(crate) fn new(batch: usize) -> Self {
        Dispatch { state: Mutex::default(), work: Condvar::new(), room: Condvar::new(), batch }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a row after all earlier ones of its device; waits while too much is queued. False when the run has ended.
    pub(crate) fn push(&self, row: Row) -> bool {
        let mut state = self.lock();
        while state.queued_bytes >= QUEUED_BYTES_MAX && !state.stopped {
            // Part-filled batches may be all there is: then they have to make the room.
            self.release_partial(&mut state, Duration::ZERO);
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped {
            return false;
        }
        state.queued_bytes += encoded_bytes_max(&row);
        if !state.devices.contains_key(&row.reading.device_id) {
            state.devices.insert(row.reading.device_id.clone(), DeviceQueue::default());
        }
        let State { devices, ready, .. } = &mut *state;
        let Some(queue) = devices.get_mut(&row.reading.device_id) else { return false };
        if !queue.taken && queue.rows.len() + 1 >= self.batch {
            queue.taken = true;
            ready.push_back(row.reading.device_id.clone());
            self.work.notify_one();
        }
        if queue.rows.is_empty() {
            queue.since = Some(Instant::now());
        }
        queue.rows.push_back(row);
        true
    }

    /// No row comes after this.
    pub(crate) fn finish(&self) {
        self.lock().finished = true;
        self.work.notify_all();
    }

    /// Ends the run: nothing is handed out any more.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.work.notify_all();
        self.room.notify_all();
    }

    /// The next rows of at least one device and of up to `devices_max`, of each in order; waits for them. No further
    /// device is added once the rows reach `bytes_max`. `None` when all is done or the run has ended. A device gives no
    /// more rows until [`Dispatch::done`].
    pub(crate) fn take(&self, devices_max: usize, bytes_max: usize) -> Option<Vec<Vec<Row>>> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            if !state.ready.is_empty() {
                return Some(self.hand_out(&mut state, devices_max, bytes_max));
            }
            if state.finished {
                self.release_partial(&mut state, Duration::ZERO);
                if !state.ready.is_empty() {
                    continue;
                }
                if state.in_flight == 0 {
                    return None;
                }
                // What is in flight may leave rows behind.
            }
            let (guard, waited) = self.work.wait_timeout(state, LINGER).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if waited.timed_out() {
                self.release_partial(&mut state, LINGER);
            }
        }
    }

    fn hand_out(&self, state: &mut State, devices_max: usize, bytes_max: usize) -> Vec<Vec<Row>> {
        let queued = state.queued_bytes;
        let mut handed_out = Vec::new();
        while handed_out.len() < devices_max.max(1)
            && queued - state.queued_bytes < bytes_max.max(1)
            && let Some(device) = state.ready.pop_front()
        {
            state.in_flight += 1;
            handed_out.push(self.cut(state, &device));
        }
        if queued >= QUEUED_BYTES_MAX && state.queued_bytes < QUEUED_BYTES_MAX {
            self.room.notify_one();
        }
        handed_out
    }

    /// The rows last taken of this device are settled.
    pub(crate) fn done(&self, device: &DeviceId) {
        let mut state = self.lock();
        let State { devices, ready, finished, in_flight, .. } = &mut *state;
        *in_flight -= 1;
        let Some(queue) = devices.get_mut(device) else { return };
        queue.taken = queue.rows.len() >= self.batch || *finished && !queue.rows.is_empty();
        if queue.taken {
            ready.push_back(device.clone());
            self.work.notify_one();
        } else if queue.rows.is_empty() {
            // A stream may name any number of devices over time.
            devices.remove(device);
        }
        if *finished && *in_flight == 0 && ready.is_empty() {
            self.work.notify_all();
        }
    }

    fn cut(&self, state: &mut State, device: &DeviceId) -> Vec<Row> {
        let Some(queue) = state.devices.get_mut(device) else { return Vec::new() };
        let mut rows = Vec::with_capacity(self.batch.min(queue.rows.len()));
        let (mut bytes, mut freed) = (frame_bytes(device), 0);
        while let Some(row) = queue.rows.front()
            && rows.len() < self.batch
        {
            let row_bytes = encoded_bytes_max(row);
            if !rows.is_empty() && bytes + row_bytes > BODY_BYTES_MAX {
                break;
            }
            (bytes, freed) = (bytes + row_bytes, freed + row_bytes);
            rows.extend(queue.rows.pop_front());
        }
        state.queued_bytes -= freed;
        rows
    }

    /// Makes every device ready that has rows, at least so old, and no post in flight.
    fn release_partial(&self, state: &mut State, age: Duration) {
        let State { devices, ready, .. } = state;
        let now = Instant::now();
        for (device, queue) in devices.iter_mut() {
            let old = queue.since.is_none_or(|since| now.saturating_duration_since(since) >= age);
            if !queue.taken && !queue.rows.is_empty() && old {
                queue.taken = true;
                ready.push_back(device.clone());
            }
        }
        if !ready.is_empty() {
            self.work.notify_all();
        }
    }
}
