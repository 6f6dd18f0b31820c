use super::*;
use crate::Limits;

/// Places whose connections are known by their numbers, at a time that the test sets.
struct Table {
    places: Arc<Places>,
    orders: Vec<watch::Receiver<Order>>,
    now: Instant,
}

impl Table {
    fn new(connections: usize, connections_per_address: usize) -> Self {
        let limits = Limits { connections, connections_per_address, ..Limits::default() };
        Table { places: Places::new(&limits, Arc::default()), orders: Vec::new(), now: Instant::now() }
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// A new connection from the network of this number.
    fn enter(&mut self, network: u8) -> u64 {
        let (id, orders) = self.places.enter(Some(SocketAddr::from(([192, 0, 2, network], 1))), self.now);
        assert_eq!(id, self.orders.len() as u64);
        self.orders.push(orders);
        id
    }

    /// One that has been answered and is idle now.
    fn enter_idle(&mut self, network: u8) -> u64 {
        let id = self.enter(network);
        self.set(id, Phase::Answering);
        self.set(id, Phase::Idle);
        id
    }

    fn enter_with_key(&mut self, phase: Phase) -> u64 {
        let id = self.enter(0);
        self.places.shows_key(id, self.now);
        self.set(id, Phase::Answering);
        self.set(id, phase);
        id
    }

    fn set(&self, id: u64, phase: Phase) {
        self.places.change(id, self.now, |connection| (connection.phase, connection.since) = (phase, self.now));
    }

    fn set_unread(&self, id: u64) {
        self.places.change(id, self.now, |connection| connection.unread_since = Some(self.now));
    }

    fn order(&self, id: u64) -> Order {
        *self.orders[id as usize].borrow()
    }

    /// Those that are told to end, in the order of their numbers.
    fn closed(&self) -> Vec<u64> {
        (0..self.orders.len() as u64).filter(|id| self.order(*id) != Order::Serve).collect()
    }

    /// All that are told to end have ended.
    fn leave_closed(&self) {
        self.closed().into_iter().for_each(|id| self.places.leave(id));
    }
}

/// 32 places, of which two are kept for connections without a key.
fn table() -> Table {
    Table::new(32, 32)
}

#[test]
fn slow_requests_are_closed_before_idle_ones_oldest_first() {
    let mut table = table();
    let idle = (0..15).map(|_| table.enter_idle(1)).collect::<Vec<_>>();
    table.wait(1);
    let slow = (0..15).map(|_| table.enter(1)).collect::<Vec<_>>();
    table.wait(1);
    assert!(table.closed().is_empty());
    for closed in [slow[0], slow[1], slow[2]] {
        table.enter(1);
        assert_eq!(table.order(closed), Order::Cut);
    }
    assert_eq!(table.closed(), slow[..3]);
    slow[3..].iter().for_each(|id| table.set(*id, Phase::Answering));
    table.enter(1);
    assert_eq!(table.closed(), [&idle[..1], &slow[..3]].concat());
    assert_eq!(table.order(idle[0]), Order::Finish, "an idle connection is not cut");
}

#[test]
fn what_is_being_answered_is_never_closed() {
    let mut table = table();
    let busy = (0..32).map(|_| table.enter(1)).collect::<Vec<_>>();
    busy.iter().for_each(|id| table.set(*id, Phase::Answering));
    table.wait(60);
    table.places.give_up_one(table.now);
    assert!(table.closed().is_empty());
    table.set(busy[7], Phase::Idle);
    assert_eq!(table.closed(), [busy[7]], "as soon as one is idle, it makes place");
}

#[test]
fn a_request_that_is_whole_before_it_is_cut_is_answered() {
    let mut table = table();
    let late = table.enter(1);
    table.wait(1);
    table.places.give_up_one(table.now);
    assert_eq!(table.order(late), Order::Cut);
    table.set(late, Phase::Answering);
    assert_eq!(table.order(late), Order::Finish);
}

#[test]
fn a_client_that_leaves_its_answer_unread_is_slow() {
    let mut table = table();
    let unread = table.enter(1);
    table.set(unread, Phase::Answering);
    table.set_unread(unread);
    table.places.give_up_one(table.now);
    assert!(table.closed().is_empty(), "not yet");
    table.wait(1);
    table.places.give_up_one(table.now);
    assert_eq!(table.order(unread), Order::Cut);
}

#[test]
fn connections_with_a_key_outlive_all_without() {
    let mut table = table();
    let with_key = (0..30).map(|_| table.enter_with_key(Phase::Idle)).collect::<Vec<_>>();
    table.wait(1);
    let mut without_key = Vec::new();
    for phase in [Phase::Sending, Phase::Idle, Phase::Streaming, Phase::Sending, Phase::Idle, Phase::Streaming] {
        without_key.push(table.enter(1));
        table.set(*without_key.last().unwrap(), phase);
        table.wait(2);
        table.leave_closed();
    }
    table.enter(1);
    assert_eq!(table.closed(), without_key);
    with_key.iter().for_each(|id| assert_eq!(table.order(*id), Order::Serve));
}

#[test]
fn places_are_kept_for_who_has_no_key_yet() {
    let mut table = table();
    let with_key = (0..30).map(|_| table.enter_with_key(Phase::Idle)).collect::<Vec<_>>();
    let newcomer = table.enter(1);
    assert!(table.closed().is_empty());
    table.places.shows_key(newcomer, table.now);
    assert_eq!(table.closed(), [with_key[0]], "the longest idle makes place for a new one with a key");
    assert_eq!(table.order(with_key[0]), Order::Finish);
}

#[test]
fn a_device_that_has_just_shown_its_key_is_not_the_slow_one() {
    let mut table = table();
    let with_key = (0..30).map(|_| table.enter_with_key(Phase::Idle)).collect::<Vec<_>>();
    let newcomer = table.enter(1);
    // Its head has come, its body not yet.
    table.places.shows_key(newcomer, table.now);
    assert_eq!(table.closed(), [with_key[0]]);
}

#[test]
fn event_streams_with_a_key_are_never_closed() {
    let mut table = table();
    let streams = (0..30).map(|_| table.enter_with_key(Phase::Streaming)).collect::<Vec<_>>();
    streams.iter().for_each(|id| table.set_unread(*id));
    table.wait(60);
    for _ in 0..10 {
        table.enter(1);
        table.wait(1);
        table.leave_closed();
    }
    assert!(streams.iter().all(|id| table.order(*id) == Order::Serve));
}

#[test]
fn one_address_closes_its_own_connections() {
    let mut table = Table::new(64, 4);
    let other = table.enter_idle(2);
    table.wait(1);
    let own = (0..4).map(|_| table.enter(1)).collect::<Vec<_>>();
    table.wait(1);
    let key = table.enter(1);
    assert_eq!(table.closed(), [own[0]]);
    table.places.shows_key(key, table.now);
    table.enter(1);
    assert_eq!(table.closed(), [own[0]], "one that has shown a key isn't counted");
    table.enter(1);
    assert_eq!(table.closed(), [own[0], own[1]]);
    assert_eq!(table.order(other), Order::Serve);
}

#[test]
fn a_flood_from_one_address_leaves_the_others_alone() {
    let mut table = Table::new(32, 8);
    let others = (0..5).map(|_| table.enter(2)).collect::<Vec<_>>();
    for _ in 0..1000 {
        table.enter(1);
        table.now += Duration::from_micros(900);
    }
    assert!(table.closed().len() > 900, "{}", table.closed().len());
    assert!(others.iter().all(|id| table.order(*id) == Order::Serve));
}

#[test]
fn a_flood_without_a_key_closes_none_with_a_key() {
    let mut table = table();
    let with_key = (0..30).map(|_| table.enter_with_key(Phase::Idle)).collect::<Vec<_>>();
    (0..1000).for_each(|network| assert_ne!(table.enter((network % 256) as u8), 0));
    table.wait(1);
    (0..1000).for_each(|network| assert_ne!(table.enter((network % 256) as u8), 0));
    assert!(with_key.iter().all(|id| table.order(*id) == Order::Serve));
}

#[test]
fn many_addresses_of_one_ipv6_network_are_one() {
    let ip = |text: &str| network(text.parse().unwrap());
    assert_eq!(ip("2001:db8::1"), ip("2001:db8::ffff:1:2:3"));
    assert_ne!(ip("2001:db8::1"), ip("2001:db8:0:1::1"));
    assert_eq!(ip("::ffff:192.0.2.1"), ip("192.0.2.1"));
    assert_ne!(ip("192.0.2.1"), ip("192.0.2.2"));
}

#[test]
fn what_has_left_is_forgotten() {
    let mut table = table();
    for round in 0..100u64 {
        for network in 0..20 {
            let id = if network % 2 == 0 { table.enter(network) } else { table.enter_with_key(Phase::Idle) };
            if round % 2 == 0 {
                table.places.give_up_one(table.now + Duration::from_secs(1));
            }
            table.set(id, Phase::Answering);
        }
        (round * 20..(round + 1) * 20).for_each(|id| table.places.leave(id));
    }
    let taken = table.places.lock();
    assert!(taken.connections.is_empty() && taken.addresses.is_empty());
    assert_eq!((taken.serving, taken.with_key_count), (0, 0));
    for queues in [&taken.without_key, &taken.with_key] {
        assert_eq!(queues.first(table.now + Duration::from_secs(60), Duration::ZERO), None);
    }
}

#[tokio::test]
async fn a_place_that_is_left_lets_the_next_in() {
    let mut table = Table::new(2, 2);
    let busy = [table.enter(1), table.enter(1)];
    busy.iter().for_each(|id| table.set(*id, Phase::Answering));
    let places = Arc::clone(&table.places);
    assert!(tokio::time::timeout(Duration::from_millis(50), places.free()).await.is_err());
    table.places.leave(busy[0]);
    places.free().await;
}
