//! A small HTTP server that stores what is posted as the contract says, and fails as it is told to.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use telemetry::{Reading, parse_reading, visit_batch, visit_series};

/// One post, as it arrived.
pub struct Post {
    pub path: String,
    pub key: String,
    pub body: Vec<u8>,
}

impl Post {
    /// Its readings, or what the contract's 400 says.
    pub fn readings(&self) -> Result<Vec<Reading>, String> {
        let mut readings = Vec::new();
        let read = match self.path.as_str() {
            "/data" => parse_reading(&self.body).map(|reading| readings.push(reading)),
            "/data/series" => visit_series(&self.body, |_, reading| readings.push(reading.to_reading())).map(drop),
            "/data/batch" => visit_batch(&self.body, |reading, _| readings.push(reading.to_reading())),
            path => return Err(format!("no such path: {path}")),
        };
        read.map(|()| readings).map_err(|rejection| rejection.detail)
    }
}

/// What the server does with a post.
#[derive(Debug, Clone)]
pub enum Act {
    /// Stores it and says so.
    Store,
    /// Stores it, but the answer is lost.
    StoreAndDrop,
    /// Closes the connection unanswered.
    Drop,
    /// Stores all but these readings, and says 207.
    Partly(Vec<usize>),
    /// Stores nothing and answers so: status, one header line (or none), message.
    Answer(u16, &'static str, String),
}

/// A running server; its threads end with the process.
pub struct Server {
    pub url: String,
    /// Each reading that was stored, in order, as often as it was stored.
    pub stored: Arc<Mutex<Vec<Reading>>>,
}

impl Server {
    /// Starts a server that asks `decide` about every post, one at a time.
    pub fn start(decide: impl FnMut(&Post) -> Act + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stored = Arc::new(Mutex::new(Vec::new()));
        let shared = (Arc::new(Mutex::new(decide)), stored.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (decide, stored) = shared.clone();
                std::thread::spawn(move || serve(stream, &*decide, &stored));
            }
        });
        Server { url, stored }
    }

    /// What was stored of a device, in order.
    pub fn values(&self, device: &str) -> Vec<f64> {
        let stored = self.stored.lock().unwrap();
        stored.iter().filter(|reading| reading.device_id.as_str() == device).map(|reading| reading.value).collect()
    }
}

fn serve<F: FnMut(&Post) -> Act>(stream: TcpStream, decide: &Mutex<F>, stored: &Mutex<Vec<Reading>>) {
    stream.set_nodelay(true).unwrap();
    let mut input = BufReader::new(stream.try_clone().unwrap());
    while let Some(post) = read_post(&mut input) {
        // Decided and stored in one step, so that the order of what is stored is that of the decisions.
        let mut decide = decide.lock().unwrap();
        let act = decide(&post);
        let Some(answer) = act_on(&post, act, stored) else { return };
        drop(decide);
        if (&stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn act_on(post: &Post, act: Act, stored: &Mutex<Vec<Reading>>) -> Option<String> {
    let readings = post.readings().unwrap_or_default();
    let mut stored = stored.lock().unwrap();
    match act {
        Act::Drop => None,
        Act::StoreAndDrop => {
            stored.extend(readings);
            None
        }
        Act::Store => {
            let body = match post.path.as_str() {
                "/data/batch" => format!(r#"{{"accepted":{},"failed":[]}}"#, readings.len()),
                _ => r#"{"status":"accepted","sequence_number":"1","shard_id":"shardId-000000000000"}"#.to_owned(),
            };
            stored.extend(readings);
            Some(answer(200, "", &body))
        }
        Act::Partly(failed) => {
            let items: Vec<_> =
                failed.iter().map(|index| format!(r#"{{"index":{index},"error":"throttled"}}"#)).collect();
            let body = format!(r#"{{"accepted":{},"failed":[{}]}}"#, readings.len() - failed.len(), items.join(","));
            let kept = readings.into_iter().enumerate().filter(|(index, _)| !failed.contains(index));
            stored.extend(kept.map(|(_, reading)| reading));
            Some(answer(207, "", &body))
        }
        Act::Answer(status, header, message) => {
            Some(answer(status, header, &serde_json::json!({ "message": message }).to_string()))
        }
    }
}

fn answer(status: u16, header: &str, body: &str) -> String {
    let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\n{header}content-length: {length}\r\n\r\n{body}"
    )
}

fn read_post(input: &mut impl BufRead) -> Option<Post> {
    let mut line = String::new();
    input.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut length, mut key) = (0, String::new());
    loop {
        let mut header = String::new();
        input.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "x-api-key" => key = value.to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    Some(Post { path, key, body })
}
