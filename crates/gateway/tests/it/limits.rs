//! What clients can take of this machine: slow, oversized, malformed and many.

use crate::support::{JSON, KEY, Server, reading, request};
use std::io::ErrorKind;
use std::net::Shutdown;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn impatient(config: &mut gateway::GatewayConfig) {
    config.limits.header_time = Duration::from_millis(300);
    config.limits.body_time = Duration::from_millis(300);
    config.limits.write_stall_time = Duration::from_millis(300);
    config.limits.drain_time = Duration::from_secs(20);
}

/// The head of a post that announces a body.
fn head(length: &str) -> Vec<u8> {
    let mut head = format!("POST /data HTTP/1.1\r\nhost: localhost\r\nx-api-key: {KEY}\r\n");
    head.push_str(&format!("content-type: application/json\r\n{length}\r\n\r\n"));
    head.into_bytes()
}

#[test]
fn a_head_that_drips_is_cut_off() {
    let server = Server::start_with(impatient);
    let mut dripping = server.connect();
    dripping.send(b"GET /health HTTP/1.1\r\nhost: loc");
    assert!(dripping.is_closed_within(PATIENCE));
    let mut silent = server.connect();
    assert!(silent.is_closed_within(PATIENCE));
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn a_body_that_does_not_come_is_408() {
    let server = Server::start_with(impatient);
    for framing in ["content-length: 100", "transfer-encoding: chunked"] {
        let mut slow = server.connect();
        slow.send(&head(framing));
        slow.send(b"5\r\n{\"dev\r\n");
        let answer = slow.answer();
        assert_eq!((answer.status, answer.message().as_str()), (408, "the body did not arrive in time"), "{framing}");
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(slow.is_closed_within(PATIENCE));
    }
    assert_eq!(server.pipeline.len(), 0);
}

#[test]
fn a_body_of_256_kib_is_taken_and_one_byte_more_is_413() {
    let server = Server::start();
    let mut body = reading("d", 0, 1.0).into_bytes();
    body.resize(256 * 1024, b' ');
    assert_eq!(server.post("/data", &body).status, 200);
    body.push(b' ');
    let answer = server.post("/data", &body);
    assert_eq!((answer.status, answer.message().as_str()), (413, "the body is over 262144 bytes"));
    body.resize(4 * 1024 * 1024, b' ');
    assert_eq!(server.post("/data", &body[..2 * 1024 * 1024]).status, 413, "the answer reaches who is still sending");
    let mut announced = server.connect();
    announced.send(&head("content-length: 99999999999999999"));
    announced.socket.shutdown(Shutdown::Write).unwrap();
    assert_eq!(announced.answer().status, 413, "without waiting for it");
    assert_eq!(server.pipeline.len(), 1);
}

#[test]
fn a_chunked_body_has_the_same_limit() {
    let server = Server::start();
    let headers = [("x-api-key", KEY), JSON, ("transfer-encoding", "chunked")];
    let chunked = |body: &[u8]| {
        let mut framed = Vec::new();
        for chunk in body.chunks(10_000) {
            framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            framed.extend_from_slice(chunk);
            framed.extend_from_slice(b"\r\n");
        }
        framed.extend_from_slice(b"0\r\n\r\n");
        server.request("POST", "/data", &headers, &framed).status
    };
    let mut body = reading("d", 0, 1.0).into_bytes();
    assert_eq!(chunked(&body), 200);
    assert_eq!(server.pipeline.records()[0].data, body);
    body.resize(256 * 1024, b' ');
    assert_eq!(chunked(&body), 200);
    body.push(b' ');
    assert_eq!(chunked(&body), 413);
    assert_eq!(server.pipeline.len(), 2);
}

#[test]
fn a_body_that_breaks_off_stores_nothing() {
    let server = Server::start();
    let body = reading("d", 0, 1.0);
    for framing in [format!("content-length: {}", body.len() + 1), "transfer-encoding: chunked".to_owned()] {
        let mut broken = server.connect();
        broken.send(&head(&framing));
        broken.send(body.as_bytes());
        broken.socket.shutdown(Shutdown::Write).unwrap();
        let answer = broken.try_answer();
        assert!(answer.as_ref().is_none_or(|answer| answer.status == 400), "{answer:?}");
    }
    assert_eq!(server.pipeline.len(), 0);
}

#[test]
fn who_expects_continue_is_refused_before_sending_the_body() {
    let server = Server::start();
    let body = reading("d", 0, 1.0);
    let framing = format!("content-length: {}\r\nexpect: 100-continue", body.len());
    let mut patient = server.connect();
    patient.send(&head(&framing));
    assert_eq!(patient.answer().status, 100);
    patient.send(body.as_bytes());
    assert_eq!(patient.answer().status, 200);

    let mut oversized = server.connect();
    oversized.send(&head("content-length: 300000\r\nexpect: 100-continue"));
    assert_eq!(oversized.answer().status, 413);
}

#[test]
fn a_head_that_is_too_large_or_no_http_is_4xx_and_closed() {
    let server = Server::start();
    let endless = [b"GET /health HTTP/1.1\r\nx: ".to_vec(), vec![b'x'; 100_000]].concat();
    let many = (0..200).map(|i| format!("x-{i}: 1\r\n")).collect::<String>();
    let many = format!("GET /health HTTP/1.1\r\n{many}\r\n").into_bytes();
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000)).into_bytes();
    let not_http: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /health HTTP/3.7\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /data HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /data HTTP/1.1\r\ncontent-length: -1\r\n\r\n{}",
    ];
    for bytes in [endless.as_slice(), &many, &long].into_iter().chain(not_http) {
        let mut connection = server.connect();
        connection.send(bytes);
        let answer = connection.try_answer();
        assert!(answer.as_ref().is_none_or(|answer| (400..500).contains(&answer.status)), "{answer:?}");
    }
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.pipeline.len(), 0);
}

#[test]
fn a_connection_is_kept_alive_after_answers_and_refusals_and_takes_pipelined_requests() {
    let server = Server::start();
    let mut connection = server.connect();
    let refused = request("POST", "/data", &[("x-api-key", "wrong"), JSON], &vec![b' '; 100_000]);
    let post = request("POST", "/data", &[("x-api-key", KEY), JSON], reading("d", 0, 1.0).as_bytes());
    let unknown = request("GET", "/unknown", &[], b"");
    connection.send(&[refused, post.clone(), unknown, post].concat());
    let statuses: Vec<_> = (0..4).map(|_| connection.answer().status).collect();
    assert_eq!(statuses, [403, 200, 404, 200]);
}

#[test]
fn bodies_in_flight_share_a_bounded_memory() {
    let server = Server::start_with(|config| {
        config.limits.bodies_in_flight_bytes = 256 * 1024;
        config.limits.body_time = Duration::from_secs(2);
    });
    let mut hog = server.connect();
    hog.send(&head("content-length: 262144"));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(server.post("/data", reading("d", 0, 1.0)).status, 200, "it waits until the hog's time is up");
    assert_eq!(hog.answer().status, 408);
    assert_eq!(server.post("/data", reading("d", 1, 1.0)).status, 200);
}

#[test]
fn who_reads_no_answers_is_cut_off() {
    let server = Server::start_with(impatient);
    let mut deaf = server.connect();
    let asks = request("GET", "/openapi.yaml", &[], b"").repeat(1_000_000);
    deaf.socket.set_write_timeout(Some(PATIENCE)).unwrap();
    // The server answers each request only as fast as its answers are read. Once the buffers between are full it
    // waits, and then closes: sending fails, long before all is sent.
    let cut_off = std::io::Write::write_all(&mut deaf.socket, &asks).unwrap_err().kind();
    assert!(matches!(cut_off, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{cut_off:?}: by the server");
}

#[test]
fn a_shutdown_finishes_what_is_under_way_and_takes_nothing_new() {
    let mut server = Server::start();
    let body = reading("d", 0, 1.0);
    let (start, end) = body.split_at(10);
    let mut idle = server.connect();
    idle.send(&request("GET", "/health", &[], b""));
    assert_eq!(idle.answer().status, 200);
    let mut under_way = server.connect();
    under_way.send(&head(&format!("content-length: {}", body.len())));
    under_way.send(start.as_bytes());
    std::thread::sleep(Duration::from_millis(200));
    server.stop();
    assert!(idle.is_closed_within(PATIENCE), "an idle connection is closed");
    under_way.send(end.as_bytes());
    assert_eq!(under_way.answer().status, 200);
    server.join();
    assert_eq!(server.pipeline.len(), 1);
    assert!(std::net::TcpStream::connect(server.address).is_err());
}
