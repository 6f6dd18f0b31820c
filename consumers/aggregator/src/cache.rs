//! The device states that this instance wrote last, decoded, so that in steady state it reads nothing.
//!
//! An entry is a state that the table held at its revision: it goes in only once its write is confirmed. It may be
//! stale, so it proves nothing by itself; the write that is planned from it does, whose condition is on that revision.
//! Planning takes the entry out: after a failed condition, or a write whose outcome is unknown, there is none. Pages
//! are never kept.

use lru::LruCache;
use statistics::DeviceState;
use std::sync::{Mutex, MutexGuard, PoisonError};
use telemetry::DeviceId;

/// What an entry takes beside its name's characters and what is behind its state's pointers: itself, the two links of
/// the list, and its place in the hash table, which is between seven sixteenths and seven eighths full.
const ENTRY_BYTES: usize = size_of::<(DeviceId, CachedState, DeviceState)>() + 2 * size_of::<usize>() + 40;

/// A state that was stored at this revision.
#[derive(Debug)]
pub(crate) struct CachedState {
    pub revision: u64,
    pub state: Box<DeviceState>,
    bytes: usize,
}

/// States of the devices written last, within a number of bytes.
#[derive(Debug)]
pub(crate) struct StateCache {
    bytes_max: usize,
    states: Mutex<States>,
}

#[derive(Debug)]
struct States {
    by_device: LruCache<DeviceId, CachedState>,
    bytes: usize,
}

impl StateCache {
    pub fn new(bytes_max: usize) -> Self {
        StateCache { bytes_max, states: Mutex::new(States { by_device: LruCache::unbounded(), bytes: 0 }) }
    }

    fn lock(&self) -> MutexGuard<'_, States> {
        // Nothing panics while it holds the lock.
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn holds(&self, device_id: &DeviceId) -> bool {
        self.lock().by_device.contains(device_id)
    }

    /// Takes the device's entry out.
    pub fn take(&self, device_id: &DeviceId) -> Option<CachedState> {
        let mut states = self.lock();
        let entry = states.by_device.pop(device_id)?;
        states.bytes -= entry.bytes;
        Some(entry)
    }

    /// Keeps what was written, and lets go of what was written longest ago.
    pub fn put(&self, device_id: &DeviceId, revision: u64, state: Box<DeviceState>) {
        let bytes = ENTRY_BYTES + device_id.as_str().len() + state.heap_bytes();
        let mut states = self.lock();
        let replaced = states.by_device.push(device_id.clone(), CachedState { revision, state, bytes });
        states.bytes += bytes;
        states.bytes -= replaced.map_or(0, |(_, entry)| entry.bytes);
        while states.bytes > self.bytes_max
            && let Some((_, oldest)) = states.by_device.pop_lru()
        {
            states.bytes -= oldest.bytes;
        }
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
