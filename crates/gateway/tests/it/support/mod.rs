//! A gateway on a socket of its own, and a client that can misbehave.

#![allow(dead_code, missing_docs)]

pub mod memory;

use gateway::{Gateway, GatewayConfig, RecentActivity, serve};
use memory::MemoryPipeline;
use ports::Clock;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use telemetry::Timestamp;
use tokio::sync::oneshot;

pub const KEY: &str = "a-key-that-no-answer-may-hold";
pub const JSON: (&str, &str) = ("content-type", "application/json");

/// The time in every test.
pub const NOW: &str = "2026-06-01T12:00:00Z";

pub struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::parse(NOW).unwrap()
    }
}

/// A running gateway over a [`MemoryPipeline`]; ends when dropped.
pub struct Server {
    pub address: SocketAddr,
    pub pipeline: MemoryPipeline,
    pub recent: Arc<RecentActivity>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub fn start_with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = GatewayConfig::new(KEY, address);
        change(&mut config);
        let (pipeline, recent) = (MemoryPipeline::default(), Arc::new(RecentActivity::default()));
        let clock = Arc::new(FixedClock);
        let gateway = Gateway::new(&config, pipeline.clone(), pipeline.clone(), Arc::clone(&recent), clock).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                serve(listener, gateway, async { drop(stopped.await) }).await.unwrap();
            });
        });
        Server { address, pipeline, recent, stop: Some(stop), thread: Some(thread) }
    }

    /// Begins the shutdown.
    pub fn stop(&mut self) {
        self.stop.take();
    }

    /// Waits until the server has ended.
    pub fn join(&mut self) {
        self.stop();
        self.thread.take().unwrap().join().unwrap();
    }

    pub fn connect(&self) -> Connection {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Connection { socket }
    }

    /// One request on a connection of its own.
    pub fn request(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut connection = self.connect();
        connection.send(&request(method, target, headers, body));
        connection.answer()
    }

    pub fn get(&self, target: &str) -> Answer {
        self.request("GET", target, &[("x-api-key", KEY)], b"")
    }

    pub fn post(&self, target: &str, body: impl AsRef<[u8]>) -> Answer {
        self.request("POST", target, &[("x-api-key", KEY), JSON], body.as_ref())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.join();
        }
    }
}

/// One member of gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A request's bytes. `Host` is localhost unless the headers name one.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str("host: localhost\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let framed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding"));
    if !framed && (method == "POST" || !body.is_empty()) {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

pub struct Connection {
    pub socket: TcpStream,
}

impl Connection {
    pub fn send(&mut self, bytes: &[u8]) {
        // A server that has answered and closed is told apart by its answer.
        let _ = self.socket.write_all(bytes);
    }

    /// The next answer.
    pub fn answer(&mut self) -> Answer {
        self.try_answer().expect("the connection closed without an answer")
    }

    /// The next answer; `None` when the connection ends without one.
    pub fn try_answer(&mut self) -> Option<Answer> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match self.socket.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return None,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        let in_parts = answer.header("transfer-encoding") == Some("chunked");
        if in_parts && answer.header("content-type") != Some("text/event-stream") {
            answer.body = self.parts();
            return Some(answer);
        }
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        if self.socket.read_exact(&mut body).is_ok() {
            answer.body = body;
        }
        Some(answer)
    }

    /// A body that comes in parts, to its end: each is its length in hexadecimal, a line end, its bytes, a line end.
    fn parts(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                let mut byte = [0];
                self.socket.read_exact(&mut byte).unwrap();
                line.push(byte[0]);
            }
            let length = usize::from_str_radix(str::from_utf8(&line).unwrap().trim_end(), 16).unwrap();
            let mut part = vec![0; length + 2];
            self.socket.read_exact(&mut part).unwrap();
            body.extend_from_slice(&part[..length]);
            if length == 0 {
                return body;
            }
        }
    }

    /// Whether the server has closed the connection, once it does or the patience ends.
    pub fn is_closed_within(&mut self, patience: Duration) -> bool {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        !matches!(self.socket.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The message of an error, which is all that its body holds.
    pub fn message(&self) -> String {
        let body = self.json();
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
        body["message"].as_str().unwrap().to_owned()
    }

    /// The session's cookie, as a browser sends it back.
    pub fn cookie(&self) -> Option<String> {
        self.header("set-cookie").map(|cookie| cookie.split(';').next().unwrap().to_owned())
    }
}

pub fn reading(device: &str, second: u32, value: f64) -> String {
    format!(r#"{{"device_id":"{device}","timestamp":"2026-01-01T00:00:{second:02}Z","value":{value}}}"#)
}
