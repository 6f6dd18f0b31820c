//! Crowds of connections: devices that keep theirs, and clients that never finish a request.
//!
//! `.ci/run crowds` runs both at full size, on the optimised program.

use crate::support::{Pipeline, assert_reconciled, streamgauge};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The size that a variable asks for, and how long the test then lasts.
fn size(variable: &str, default: usize) -> (usize, Duration) {
    match std::env::var(variable) {
        Ok(size) => (size.parse().unwrap(), Duration::from_secs(60)),
        Err(_) => (default, Duration::from_secs(5)),
    }
}

/// Lets this process have N connections.
fn raise_own_limit(connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let wanted = connections as u64 + 500;
    let maximum = limit.maximum.unwrap_or(u64::MAX);
    assert!(maximum >= wanted, "this test needs {wanted} open files, and the hard limit is {maximum}: raise it");
    if limit.current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }).unwrap();
    }
}

/// `up` on a new directory, with N open files at most.
fn start(directory: &tempfile::TempDir, open_files: Option<u64>) -> Pipeline {
    let program = std::env::var_os("STREAMGAUGE_BINARY").unwrap_or_else(|| streamgauge().get_program().to_owned());
    let mut command = Command::new("sh");
    let limit = open_files.map_or_else(String::new, |open_files| format!("ulimit -n {open_files} && "));
    command.arg("-c").arg(limit + "exec \"$0\" \"$@\"").arg(program).env_remove("STREAMGAUGE_API_KEY");
    Pipeline::start_as(command, directory.path(), &["--port", "0"])
}

/// What clients of one pipeline share.
struct Crowd {
    address: SocketAddr,
    key: String,
    is_over: AtomicBool,
    posts: AtomicU64,
    probes: AtomicU64,
    tried_again: AtomicU64,
    slowest_micros: AtomicU64,
}

impl Crowd {
    fn new(up: &Pipeline) -> Arc<Self> {
        Arc::new(Crowd {
            address: up.url().strip_prefix("http://").unwrap().parse().unwrap(),
            key: up.key().to_owned(),
            is_over: AtomicBool::new(false),
            posts: AtomicU64::new(0),
            probes: AtomicU64::new(0),
            tried_again: AtomicU64::new(0),
            slowest_micros: AtomicU64::new(0),
        })
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    fn post(&self, device: &str, number: u64) -> String {
        let time = format!("2024-01-01T{:02}:{:02}:{:02}Z", number / 3600, number / 60 % 60, number % 60);
        let body = format!(r#"{{"device_id":"{device}","timestamp":"{time}","value":{number}}}"#);
        let key = &self.key;
        let head = format!("POST /data HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\n");
        format!("{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    /// Sends a request and reads the answer's status, in time.
    async fn exchange(&self, connection: &mut TcpStream, request: &str) -> Result<u16> {
        let began = Instant::now();
        let status = timeout(PATIENCE, exchange(connection, request)).await.map_err(Error::other)??;
        self.slowest_micros.fetch_max(began.elapsed().as_micros() as u64, Ordering::Relaxed);
        Ok(status)
    }

    /// A device that keeps its connection: whatever it posts, at least twice, is answered.
    async fn device(self: Arc<Self>, name: String, pause: Duration) {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        for number in 0.. {
            if number >= 2 && !self.goes_on() {
                return;
            }
            let status = self.exchange(&mut connection, &self.post(&name, number)).await;
            assert_eq!(status.unwrap_or_else(|error| panic!("{name}: {error}")), 200);
            self.posts.fetch_add(1, Ordering::Relaxed);
            sleep(pause).await;
        }
    }

    /// Devices that connect for each post, and try again as every sender does.
    async fn newcomers(self: Arc<Self>) {
        for number in 0.. {
            if !self.goes_on() {
                return;
            }
            let request = self.post("newcomer", number);
            for tried in 1.. {
                match self.once(&request).await {
                    Ok(status) => {
                        assert_eq!(status, 200);
                        break;
                    }
                    Err(error) => assert!(tried < 5, "a newcomer is not answered: {error}"),
                }
                self.tried_again.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(50)).await;
            }
            self.posts.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// A health probe a second, each on a connection of its own.
    async fn probe(self: Arc<Self>) {
        let mut seconds = interval(Duration::from_secs(1));
        while self.goes_on() {
            seconds.tick().await;
            let status = self.once("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
            assert_eq!(status.unwrap_or_else(|error| panic!("a health probe: {error}")), 200);
            self.probes.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn once(&self, request: &str) -> Result<u16> {
        let mut connection = timeout(PATIENCE, TcpStream::connect(self.address)).await.map_err(Error::other)??;
        self.exchange(&mut connection, request).await
    }

    /// A client that sends a byte of a request every second, for ever; closed, it comes again after a while: 4,000
    /// of them that came again at once would be a flood of connections, which this is not about.
    async fn slow_loris(self: Arc<Self>) {
        while self.goes_on() {
            if let Ok(mut connection) = TcpStream::connect(self.address).await {
                let mut request = connection.write_all(b"GET /health HTTP/1.1\r\nx: ").await;
                while self.goes_on() && request.is_ok() {
                    sleep(Duration::from_secs(1)).await;
                    request = connection.write_all(b"x").await;
                }
            }
            sleep(Duration::from_secs(3)).await;
        }
    }

    fn report(&self, what: &str, up: &Pipeline) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let status = std::fs::read_to_string(format!("/proc/{}/status", up.id())).unwrap_or_default();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).map_or("unknown", str::trim);
        println!(
            "{what}: {} posts and {} health probes answered, {} tried again, slowest answer {} ms, memory at most {memory}",
            of(&self.posts),
            of(&self.probes),
            of(&self.tried_again),
            of(&self.slowest_micros) / 1000,
        );
    }
}

async fn exchange(connection: &mut TcpStream, request: &str) -> Result<u16> {
    connection.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        if connection.read_buf(&mut answer).await? == 0 {
            return Err(Error::new(ErrorKind::UnexpectedEof, "closed without an answer"));
        }
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() >= length.parse().unwrap() {
            return Ok(head.split(' ').nth(1).unwrap().parse().unwrap());
        }
    }
}

/// Runs clients for as long as it is to last; each of them fails the test by its own.
async fn run(crowd: &Crowd, mut clients: JoinSet<()>, lasting: Duration) {
    let over = sleep(lasting);
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over, if crowd.goes_on() => crowd.is_over.store(true, Ordering::Relaxed),
            ended = clients.join_next() => match ended {
                Some(ended) => ended.unwrap(),
                None => return,
            },
        }
    }
}

#[test]
fn a_crowd_of_devices_that_stay_connected_is_answered() {
    let (devices, lasting) = size("STREAMGAUGE_CROWD", 200);
    raise_own_limit(devices);
    let directory = tempfile::tempdir().unwrap();
    let up = start(&directory, None);
    let crowd = Crowd::new(&up);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut clients = JoinSet::new();
        clients.spawn(Arc::clone(&crowd).probe());
        for number in 0..devices {
            clients.spawn(Arc::clone(&crowd).device(format!("device-{number}"), Duration::from_secs(4)));
        }
        run(&crowd, clients, lasting).await;
    });
    crowd.report(&format!("{devices} devices, a post every 4 s"), &up);
    let accounts = up.settled();
    assert_reconciled(&accounts);
    assert_eq!(accounts["accepted"], crowd.posts.load(Ordering::Relaxed));
    assert!(crowd.posts.load(Ordering::Relaxed) >= 2 * devices as u64);
    assert!(crowd.probes.load(Ordering::Relaxed) >= lasting.as_secs() / 2);
}

#[test]
fn slow_loris_connections_stop_neither_posts_nor_health() {
    let (loris, lasting) = size("STREAMGAUGE_LORIS", 400);
    raise_own_limit(loris);
    // Fewer places than slow clients, and as many as the system gives.
    for open_files in [Some(if loris > 1000 { 1024 } else { 256 }), None] {
        let directory = tempfile::tempdir().unwrap();
        let up = start(&directory, open_files);
        let crowd = Crowd::new(&up);
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let mut clients = JoinSet::new();
            for _ in 0..loris {
                clients.spawn(Arc::clone(&crowd).slow_loris());
            }
            sleep(Duration::from_secs(1)).await;
            clients.spawn(Arc::clone(&crowd).probe());
            clients.spawn(Arc::clone(&crowd).newcomers());
            for number in 0..50 {
                clients.spawn(Arc::clone(&crowd).device(format!("device-{number}"), Duration::from_millis(500)));
            }
            run(&crowd, clients, lasting).await;
        });
        let files = open_files.map_or("as many open files as there are".to_owned(), |n| format!("{n} open files"));
        crowd.report(&format!("{loris} slow-loris connections, {files}"), &up);
        if open_files.is_some() {
            let log = up.log_with("closed connections");
            assert!(log.contains("limit of connections connections_max="), "{log}");
        }
        assert_eq!(up.get("/pipeline").0, 200);
        assert!(crowd.posts.load(Ordering::Relaxed) > 20 * lasting.as_secs());
    }
}
