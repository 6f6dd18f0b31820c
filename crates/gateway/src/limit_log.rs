//! How often limits were reached: one line a minute for each, with numbers.

use crate::Limits;
use crate::closable::Closable;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// How long the first event waits for others, so that its line has numbers worth reading.
const GATHER: Duration = Duration::from_secs(1);

/// How long after a line the next may come.
const INTERVAL: Duration = Duration::from_secs(60);

/// Counts how often limits were reached since it was last said.
#[derive(Default)]
pub(crate) struct LimitLog {
    counts: Mutex<Counts>,
    counted: Notify,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    pub closed: Closed,
    pub closed_of_address: Closed,
    /// The last address that had too many.
    pub address: Option<IpAddr>,
    pub event_streams_ended: u64,
    pub event_streams_refused: u64,
    pub logins_refused: u64,
    pub bodies_refused: u64,
}

/// Connections that were closed, by what they did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    pub slow: u64,
    pub idle: u64,
    pub unread: u64,
    pub event_streams: u64,
    /// How many of them had shown a right key.
    pub with_key: u64,
}

impl LimitLog {
    /// A connection was closed; for `address`, where that had too many.
    pub fn closed(&self, cause: Closable, has_key: bool, address: Option<IpAddr>) {
        self.count(|counts| {
            let closed = if address.is_some() { &mut counts.closed_of_address } else { &mut counts.closed };
            counts.address = address.or(counts.address);
            closed.with_key += u64::from(has_key);
            *match cause {
                Closable::Slow => &mut closed.slow,
                Closable::Idle => &mut closed.idle,
                Closable::Unread => &mut closed.unread,
                Closable::Stream => &mut closed.event_streams,
            } += 1;
        });
    }

    pub fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.lock());
        self.counted.notify_one();
    }

    pub fn take(&self) -> Counts {
        std::mem::take(&mut *self.lock())
    }

    /// Writes what was counted, at most once a minute, until dropped.
    pub async fn keep_writing(&self, limits: &Limits) {
        loop {
            self.counted.notified().await;
            sleep(GATHER).await;
            self.write(limits);
            sleep(INTERVAL).await;
        }
    }

    /// Writes what was counted since the last time.
    pub fn write(&self, limits: &Limits) {
        let counts = self.take();
        if counts.closed != Closed::default() {
            let Closed { slow, idle, unread, event_streams, with_key } = counts.closed;
            let connections_max = limits.connections;
            tracing::warn!(
                slow,
                idle,
                unread,
                event_streams,
                with_key,
                connections_max,
                "closed connections: too many"
            );
        }
        if let Some(address) = counts.address {
            let Closed { slow, idle, unread, event_streams, .. } = counts.closed_of_address;
            let per_address_max = limits.connections_per_address;
            let what = "closed connections of one address: too many without a key";
            tracing::warn!(slow, idle, unread, event_streams, %address, per_address_max, "{what}");
        }
        if counts.event_streams_ended > 0 {
            let ended = counts.event_streams_ended;
            tracing::warn!(
                ended,
                streams_max = limits.event_streams,
                "ended event streams opened without a key: too many"
            );
        }
        if counts.event_streams_refused > 0 {
            let refused = counts.event_streams_refused;
            tracing::warn!(
                refused,
                streams_max = limits.event_streams,
                "refused event streams: too many are open with a key"
            );
        }
        if counts.logins_refused > 0 {
            tracing::warn!(refused = counts.logins_refused, "refused logins with a wrong key: too many");
        }
        if counts.bodies_refused > 0 {
            let bytes_max = limits.bodies_in_flight_bytes;
            tracing::warn!(refused = counts.bodies_refused, bytes_max, "refused bodies: too many are under way");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
