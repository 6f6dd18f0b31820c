//! Connections when places run short: everybody is let in, and slow and idle ones make place.

use crate::support::{Connection, JSON, KEY, Server, reading, request};
use std::io::Write as _;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// After which a client counts as slow.
const SLOW: Duration = Duration::from_millis(1100);

/// A server with N places, of which one is kept for connections without a key.
fn with_places(connections: usize) -> Server {
    Server::start_with(|config| {
        config.limits.connections = connections;
        config.limits.connections_per_address = connections;
        config.limits.header_time = Duration::from_secs(60);
        config.limits.body_time = Duration::from_secs(60);
    })
}

fn health() -> Vec<u8> {
    request("GET", "/health", &[], b"")
}

fn post(device: &str) -> Vec<u8> {
    request("POST", "/data", &[("x-api-key", KEY), JSON], reading(device, 0, 1.0).as_bytes())
}

/// A kept connection that has sent this and got its answer.
fn kept(server: &Server, bytes: &[u8]) -> Connection {
    let mut connection = server.connect();
    connection.send(bytes);
    assert_eq!(connection.answer().status, 200);
    connection
}

/// A connection that never finishes its request.
fn slow(server: &Server, bytes: &[u8]) -> Connection {
    let mut connection = server.connect();
    connection.send(bytes);
    connection
}

fn is_open(connection: &mut Connection) -> bool {
    !connection.is_closed_within(Duration::from_millis(100))
}

#[test]
fn health_is_answered_when_all_places_are_taken() {
    let server = with_places(8);
    let _devices = (0..7).map(|at| kept(&server, &post(&format!("d-{at}")))).collect::<Vec<_>>();
    let _silent = (0..50).map(|_| server.connect()).collect::<Vec<_>>();
    for _ in 0..20 {
        let began = Instant::now();
        kept(&server, &health());
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}

#[test]
fn slow_heads_and_bodies_are_closed_before_idle_connections() {
    let server = with_places(8);
    let mut idle = kept(&server, &health());
    let mut slow_head = slow(&server, b"GET /health HTTP/1.1\r\nhost: loc");
    let login = b"POST /dashboard/login HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\
                  content-type: application/x-www-form-urlencoded\r\n\r\napi_";
    let mut slow_body = slow(&server, login);
    std::thread::sleep(SLOW);
    let mut others = (0..5).map(|_| kept(&server, &health())).collect::<Vec<_>>();
    assert!(slow_head.is_closed_within(PATIENCE) && is_open(&mut slow_body) && is_open(&mut idle), "the oldest first");
    others.push(kept(&server, &health()));
    assert!(slow_body.is_closed_within(PATIENCE) && is_open(&mut idle));
    others.push(kept(&server, &health()));
    assert!(idle.is_closed_within(PATIENCE), "then the longest idle");
    assert!(others.iter_mut().all(is_open));
}

/// With the key too, a connection whose request isn't whole goes before idle ones, but only once it is slow.
#[test]
fn a_request_under_way_outlives_newcomers() {
    let server = with_places(4);
    let body = reading("d", 0, 1.0);
    let (start, end) = body.split_at(10);
    let mut under_way = kept(&server, &post("d"));
    let head = request("POST", "/data", &[("x-api-key", KEY), JSON, ("transfer-encoding", "chunked")], b"");
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    under_way.send(&[head.as_slice(), chunk(start).as_bytes()].concat());
    std::thread::sleep(Duration::from_millis(100));
    let _more = (0..5).map(|at| kept(&server, &post(&format!("d-{at}")))).collect::<Vec<_>>();
    under_way.send(format!("{}0\r\n\r\n", chunk(end)).as_bytes());
    assert_eq!(under_way.answer().status, 200, "a body that comes within a second isn't slow");
    assert_eq!(server.pipeline.len(), 7);
}

#[test]
fn a_post_that_waits_for_memory_is_not_slow() {
    let server = Server::start_with(|config| {
        config.limits.connections = 8;
        config.limits.bodies_in_flight_bytes = config.limits.body_bytes;
    });
    let storing = server.pipeline.busy.blocking_write();
    let mut large = reading("large", 0, 1.0).into_bytes();
    large.resize(256 * 1024, b' ');
    let mut holder = slow(&server, &request("POST", "/data", &[("x-api-key", KEY), JSON], &large));
    std::thread::sleep(Duration::from_millis(200));
    let mut waiting = slow(&server, &post("small"));
    std::thread::sleep(SLOW);
    let read = request("GET", "/devices", &[("x-api-key", KEY)], b"");
    let _more = (0..20).map(|_| kept(&server, &read)).collect::<Vec<_>>();
    assert!(is_open(&mut holder) && is_open(&mut waiting));
    drop(storing);
    assert_eq!((holder.answer().status, waiting.answer().status), (200, 200));
}

/// What is answered while its connection is told to end carries `Connection: close`.
#[test]
fn an_answer_at_shutdown_says_that_the_connection_closes() {
    let mut server = with_places(4);
    let body = reading("d", 0, 1.0);
    let mut under_way = kept(&server, &health());
    let whole = request("POST", "/data", &[("x-api-key", KEY), JSON], body.as_bytes());
    under_way.send(&whole[..whole.len() - 5]);
    std::thread::sleep(Duration::from_millis(200));
    server.stop();
    std::thread::sleep(Duration::from_millis(200));
    under_way.send(&whole[whole.len() - 5..]);
    let answer = under_way.answer();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(under_way.is_closed_within(PATIENCE));
}

#[test]
fn connections_that_have_shown_the_key_outlive_those_without() {
    let server = with_places(8);
    let mut device = kept(&server, &post("d"));
    let mut reader = kept(&server, &request("GET", "/devices", &[("x-api-key", KEY)], b""));
    let wrong = request("GET", "/health", &[("x-api-key", "wrong")], b"");
    for _ in 0..50 {
        kept(&server, &wrong);
        slow(&server, b"GET /health HTT");
    }
    let mut last = kept(&server, &wrong);
    assert!(is_open(&mut device) && is_open(&mut reader) && is_open(&mut last));
    device.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    device.send(&post("d"));
    assert_eq!(device.answer().status, 200);
}

#[test]
fn more_devices_than_places_are_all_answered() {
    let server = with_places(8);
    for round in 0..3 {
        let mut devices = (0..30).map(|at| kept(&server, &post(&format!("d-{round}-{at}")))).collect::<Vec<_>>();
        let open = devices.iter_mut().filter_map(|device| is_open(device).then_some(())).count();
        assert!((6..=7).contains(&open), "{open} of 7 places");
    }
    assert_eq!(server.pipeline.len(), 90);
}

#[test]
fn an_address_with_too_many_connections_closes_its_own() {
    let server = Server::start_with(|config| config.limits.connections_per_address = 4);
    let mut device = kept(&server, &post("d"));
    let mut idle = (0..4).map(|_| kept(&server, &health())).collect::<Vec<_>>();
    assert!(idle.iter_mut().all(is_open), "the one with the key isn't counted");
    idle.push(kept(&server, &health()));
    assert!(idle[0].is_closed_within(PATIENCE), "the longest idle");
    assert!(idle[1..].iter_mut().all(is_open) && is_open(&mut device));
}

#[test]
fn a_client_that_reads_nothing_makes_place() {
    let server = with_places(4);
    let mut deaf = server.connect();
    deaf.socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let asks = request("GET", "/openapi.yaml", &[], b"").repeat(100_000);
    assert!(deaf.socket.write_all(&asks).is_err(), "the buffers between are full");
    std::thread::sleep(SLOW);
    let _others = (0..4).map(|_| kept(&server, &post("d"))).collect::<Vec<_>>();
    let refused = |deaf: &mut Connection| deaf.socket.write_all(&asks).unwrap_err().kind();
    let began = Instant::now();
    while refused(&mut deaf) == std::io::ErrorKind::WouldBlock {
        assert!(began.elapsed() < Duration::from_secs(10), "it keeps its place");
    }
}

#[test]
fn slow_logins_take_no_memory_from_devices() {
    let server = Server::start_with(|config| config.limits.bodies_in_flight_bytes = 256 * 1024);
    let login = b"POST /dashboard/login HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4096\r\n\
                  content-type: application/x-www-form-urlencoded\r\n\r\napi_";
    let _slow = (0..100).map(|_| slow(&server, login)).collect::<Vec<_>>();
    std::thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    assert_eq!(server.post("/data", reading("d", 0, 1.0)).status, 200);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
