//! The places of the connections: everybody is let in, and when places run short, connections are closed.
//!
//! In this order: those that take long over sending a request, oldest first; idle ones, longest idle first; those that
//! leave an answer unread; event streams that were opened without a key. All of these without a key go before the
//! first one with a key. A connection whose request is being answered, and whose client reads the answer, is never
//! closed.
//!
//! A sixteenth of the places is kept for connections that haven't shown a right key yet: a health probe, or a device
//! that has just connected, gets in however many devices are connected.

use crate::closable::{Closable, Queues};
use crate::limit_log::LimitLog;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// How long a client may send a request, or leave an answer unread, before it counts as slow.
const SLOW_AFTER: Duration = Duration::from_secs(1);

/// The same where every place is taken: time enough to read what has come with the connection.
const SLOW_AFTER_WHEN_FULL: Duration = Duration::from_millis(20);

/// What a connection is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Serve,
    /// End once the request under way, if there is one, is answered.
    Finish,
    /// End now.
    Cut,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its client hasn't sent all of a request, or nothing yet.
    Sending,
    Answering,
    /// Answering for as long as the client stays.
    Streaming,
    /// The answer is made, and not all sent.
    Flushing,
    Idle,
}

/// What is known of a connection.
pub(crate) struct Connection {
    address: Option<IpAddr>,
    has_key: bool,
    pub phase: Phase,
    /// When the phase began.
    pub since: Instant,
    /// Since when the client has left an answer unread.
    pub unread_since: Option<Instant>,
    order: watch::Sender<Order>,
    is_closing: bool,
}

impl Connection {
    /// Why it may be closed, and since when.
    fn closable(&self) -> Option<(Closable, Instant)> {
        match (self.phase, self.unread_since) {
            _ if self.is_closing => None,
            (Phase::Sending, _) => Some((Closable::Slow, self.since)),
            (Phase::Idle, _) => Some((Closable::Idle, self.since)),
            (Phase::Streaming, _) => (!self.has_key).then_some((Closable::Stream, self.since)),
            (Phase::Answering | Phase::Flushing, unread) => unread.map(|since| (Closable::Unread, since)),
        }
    }
}

/// The connections of one address that have shown no right key.
#[derive(Default)]
struct OfAddress {
    connections: usize,
    closable: Queues,
}

/// All places.
pub(crate) struct Places {
    max: usize,
    /// For connections with a key; the rest is kept for the others.
    with_key_max: usize,
    per_address_max: usize,
    taken: Mutex<Taken>,
    freed: Notify,
    log: Arc<LimitLog>,
}

#[derive(Default)]
struct Taken {
    next_id: u64,
    /// Those that are being closed included.
    connections: HashMap<u64, Connection>,
    /// Those that are being closed not included.
    serving: usize,
    with_key_count: usize,
    addresses: HashMap<IpAddr, OfAddress>,
    /// Those that may be closed.
    without_key: Queues,
    with_key: Queues,
}

impl Places {
    pub fn new(limits: &crate::Limits, log: Arc<LimitLog>) -> Arc<Self> {
        let max = limits.connections;
        Arc::new(Places {
            max,
            with_key_max: max - (max / 16).max(1).min(max - 1),
            per_address_max: limits.connections_per_address,
            taken: Mutex::default(),
            freed: Notify::new(),
            log,
        })
    }

    /// Returns once there is a place.
    pub async fn free(&self) {
        /// How often to look for a connection that has become slow: nothing else says so.
        const LOOK: Duration = Duration::from_millis(10);
        loop {
            let freed = self.freed.notified();
            if self.lock().connections.len() < self.max {
                return;
            }
            let _ = tokio::time::timeout(LOOK, freed).await;
            self.make_room(&mut self.lock(), None, Instant::now());
        }
    }

    /// Gives a place to a new connection. What the receiver says is to be done.
    pub fn enter(&self, peer: Option<SocketAddr>, now: Instant) -> (u64, watch::Receiver<Order>) {
        let address = peer.map(|peer| network(peer.ip()));
        let (order, orders) = watch::channel(Order::Serve);
        let mut taken = self.lock();
        let id = taken.next_id;
        taken.next_id += 1;
        taken.serving += 1;
        if let Some(address) = address {
            taken.addresses.entry(address).or_default().connections += 1;
        }
        // Before the newcomer can itself be found.
        self.make_room(&mut taken, address, now);
        let (phase, unread_since) = (Phase::Sending, None);
        let connection =
            Connection { address, has_key: false, phase, since: now, unread_since, order, is_closing: false };
        taken.connections.insert(id, connection);
        taken.move_in_queues(id, None);
        (id, orders)
    }

    /// Closes one connection because the system gives no more descriptors.
    pub fn give_up_one(&self, now: Instant) {
        let mut taken = self.lock();
        if !self.close_without_key(&mut taken, None, now)
            && let Some(id) = taken.with_key.first(now, SLOW_AFTER)
        {
            self.close(&mut taken, id, false);
        }
    }

    /// Ends all connections, each after the answer under way.
    pub fn finish_all(&self) {
        for connection in self.lock().connections.values() {
            connection.order.send_if_modified(|order| {
                let serves = *order == Order::Serve;
                *order = if serves { Order::Finish } else { *order };
                serves
            });
        }
    }

    /// Notes what a connection does now.
    pub fn change(&self, id: u64, now: Instant, change: impl FnOnce(&mut Connection)) {
        let mut taken = self.lock();
        let Some(connection) = taken.connections.get_mut(&id) else { return };
        let (before, phase_before) = (connection.closable(), connection.phase);
        change(connection);
        // It was to be cut, and has sent the rest of its request meanwhile: it gets its answer.
        if connection.is_closing && (phase_before, connection.phase) == (Phase::Sending, Phase::Answering) {
            connection.order.send_replace(Order::Finish);
        }
        if before != connection.closable() {
            taken.move_in_queues(id, before);
        }
        self.make_room(&mut taken, None, now);
    }

    /// Notes that a connection has shown a right key.
    pub fn shows_key(&self, id: u64, now: Instant) {
        let mut taken = self.lock();
        let Some(connection) = taken.connections.get(&id).filter(|connection| !connection.has_key) else { return };
        let (before, serves) = (connection.closable(), !connection.is_closing);
        taken.queues(id).for_each(|queues| before.into_iter().for_each(|before| queues.remove(before, id)));
        if serves {
            taken.leave_address(id);
            taken.with_key_count += 1;
        }
        if let Some(connection) = taken.connections.get_mut(&id) {
            connection.has_key = true;
        }
        taken.move_in_queues(id, None);
        self.make_room(&mut taken, None, now);
    }

    /// Gives a place back.
    pub fn leave(&self, id: u64) {
        let mut taken = self.lock();
        taken.stop_serving(id);
        taken.connections.remove(&id);
        drop(taken);
        self.freed.notify_waiters();
    }

    /// Closes what is too much. `newcomer` is the address of a connection that has just come.
    fn make_room(&self, taken: &mut Taken, newcomer: Option<IpAddr>, now: Instant) {
        if let Some(of_address) = newcomer.and_then(|address| taken.addresses.get(&address))
            && of_address.connections > self.per_address_max
            && let Some(id) = of_address.closable.first(now, SLOW_AFTER)
        {
            self.close(taken, id, true);
        }
        while taken.serving > self.with_key_max
            && let Some(id) = taken.without_key.first(now, SLOW_AFTER)
            && self.close(taken, id, false)
        {}
        while taken.with_key_count > self.with_key_max
            && let Some(id) = taken.with_key.first(now, SLOW_AFTER)
            && self.close(taken, id, false)
        {}
        if taken.serving >= self.max {
            // Several at once: else each newcomer would wait until one has gone.
            let enough = self.max - (self.max / 32).max(1);
            while taken.serving > enough && self.close_without_key(taken, newcomer, now) {}
        }
    }

    /// Closes a connection without a key; whether there was one to close.
    fn close_without_key(&self, taken: &mut Taken, newcomer: Option<IpAddr>, now: Instant) -> bool {
        let of_newcomer = newcomer
            .and_then(|address| taken.addresses.get(&address))
            .filter(|of_address| of_address.connections > self.per_address_max)
            .and_then(|of_address| of_address.closable.first(now, SLOW_AFTER_WHEN_FULL));
        let first = of_newcomer
            .or_else(|| taken.without_key.first(now, SLOW_AFTER))
            .or_else(|| taken.without_key.first(now, SLOW_AFTER_WHEN_FULL));
        first.is_some_and(|id| self.close(taken, id, of_newcomer.is_some()))
    }

    fn close(&self, taken: &mut Taken, id: u64, for_its_address: bool) -> bool {
        let Some(connection) = taken.connections.get(&id) else { return false };
        let Some((cause, _)) = connection.closable() else { return false };
        connection.order.send_replace(if cause == Closable::Idle { Order::Finish } else { Order::Cut });
        let address = if for_its_address { connection.address } else { None };
        self.log.closed(cause, connection.has_key, address);
        taken.stop_serving(id);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// The queues that a connection belongs to.
    fn queues(&mut self, id: u64) -> impl Iterator<Item = &mut Queues> {
        let connection = self.connections.get(&id);
        let has_key = connection.is_some_and(|connection| connection.has_key);
        let address = connection.and_then(|connection| connection.address).filter(|_| !has_key);
        let of_all = if has_key { &mut self.with_key } else { &mut self.without_key };
        let of_address = address.and_then(|address| self.addresses.get_mut(&address));
        std::iter::once(of_all).chain(of_address.map(|of_address| &mut of_address.closable))
    }

    /// Moves a connection from where `before` has put it to where it belongs now.
    fn move_in_queues(&mut self, id: u64, before: Option<(Closable, Instant)>) {
        let after = self.connections.get(&id).and_then(Connection::closable);
        for queues in self.queues(id) {
            if let Some(before) = before {
                queues.remove(before, id);
            }
            if let Some(after) = after {
                queues.insert(after, id);
            }
        }
    }

    /// Takes a connection that ends, or is told to, out of all counts but that of open ones.
    fn stop_serving(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.is_closing) else {
            return;
        };
        let (before, has_key) = (connection.closable(), connection.has_key);
        connection.is_closing = true;
        self.move_in_queues(id, before);
        self.serving -= 1;
        if has_key {
            self.with_key_count -= 1;
        } else {
            self.leave_address(id);
        }
    }

    fn leave_address(&mut self, id: u64) {
        let Some(address) = self.connections.get(&id).and_then(|connection| connection.address) else { return };
        if let Some(of_address) = self.addresses.get_mut(&address) {
            of_address.connections -= 1;
            if of_address.connections == 0 {
                self.addresses.remove(&address);
            }
        }
    }
}

/// What counts as one address: of IPv6 the network, because one host has all of its addresses.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

#[cfg(test)]
#[path = "places_tests.rs"]
mod tests;
