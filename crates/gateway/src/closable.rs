//! Connections that may be closed when places run short, in the order in which they are.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Why a connection may be closed; the first variant goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closable {
    /// Its client takes long over sending a request.
    Slow,
    Idle,
    /// Its client leaves an answer unread.
    Unread,
    /// An event stream that was opened without a key.
    Stream,
}

const ORDER: [Closable; 4] = [Closable::Slow, Closable::Idle, Closable::Unread, Closable::Stream];

/// Connections by why they may be closed, those that have been so for longest first.
#[derive(Debug, Default)]
pub(crate) struct Queues([BTreeSet<(Instant, u64)>; 4]);

impl Queues {
    pub fn insert(&mut self, (cause, since): (Closable, Instant), id: u64) {
        self.0[cause as usize].insert((since, id));
    }

    pub fn remove(&mut self, (cause, since): (Closable, Instant), id: u64) {
        self.0[cause as usize].remove(&(since, id));
    }

    /// The one to close first. A client that sends, or doesn't read, is given `patience`.
    pub fn first(&self, now: Instant, patience: Duration) -> Option<u64> {
        self.0.iter().zip(ORDER).find_map(|(queue, cause)| {
            let (since, id) = queue.first()?;
            let patience = if matches!(cause, Closable::Slow | Closable::Unread) { patience } else { Duration::ZERO };
            (now.saturating_duration_since(*since) >= patience).then_some(*id)
        })
    }
}
