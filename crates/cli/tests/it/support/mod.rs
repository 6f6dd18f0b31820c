//! A `streamgauge up` of one's own, and plain HTTP to it.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod runbook;
pub mod week;

use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running pipeline; killed when dropped.
pub struct Pipeline {
    child: Child,
    pub ready: Value,
    key: String,
    pub agent: ureq::Agent,
    log: Arc<Mutex<String>>,
}

/// The program under test: the one built with the tests, or another, such as an optimised one.
pub fn streamgauge() -> Command {
    let other = std::env::var_os("STREAMGAUGE_BINARY");
    let mut command = Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_streamgauge").into()));
    command.env_remove("STREAMGAUGE_API_KEY").env_remove("STREAMGAUGE_QUEUE_URL").stdin(Stdio::null());
    command
}

pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into()
}

impl Pipeline {
    /// Starts `up` on `data_dir` and waits for its ready line.
    pub fn start(data_dir: &Path, arguments: &[&str]) -> Self {
        Self::start_as(streamgauge(), data_dir, arguments)
    }

    /// The same by a command that ends in the program.
    pub fn start_as(mut command: Command, data_dir: &Path, arguments: &[&str]) -> Self {
        let mut child = command
            .arg("up")
            .arg("--data-dir")
            .arg(data_dir)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            let output = child.wait_with_output().unwrap();
            panic!("up ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        // Whatever it says is read, so that it never waits for a reader.
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let said = log.clone();
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| {
                eprintln!("up: {line}");
                *said.lock().unwrap() += &format!("{line}\n");
            });
        });
        let ready: Value = serde_json::from_str(&line).unwrap();
        let key = match ready["api_key_file"].as_str() {
            Some(file) => std::fs::read_to_string(file).unwrap().trim_end().to_owned(),
            // `--api-key KEY` or `--api-key=KEY`.
            None => arguments.join("=").split("--api-key=").nth(1).unwrap().split('=').next().unwrap().to_owned(),
        };
        Pipeline { child, ready, key, agent: agent(), log }
    }

    /// What it has said on standard error, once `text` is part of it.
    pub fn log_with(&self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let log = self.log.lock().unwrap().clone();
            if log.contains(text) {
                return log;
            }
            assert!(start.elapsed() < PATIENCE, "not in the log: {text}\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn url(&self) -> &str {
        self.ready["ingest"].as_str().unwrap()
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The status and JSON of a GET.
    pub fn get(&self, path: &str) -> (u16, Value) {
        let request = self.agent.get(format!("{}{path}", self.url())).header("x-api-key", self.key());
        let mut response = request.call().unwrap();
        (response.status().as_u16(), serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap())
    }

    /// The status and JSON of a POST of JSON.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.agent.post(format!("{}{path}", self.url())).header("x-api-key", self.key());
        let mut response = request.content_type("application/json").send(body.to_string()).unwrap();
        (response.status().as_u16(), serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap())
    }

    /// The accounts, once nothing is pending.
    pub fn settled(&self) -> Value {
        let start = Instant::now();
        loop {
            let (_, accounts) = self.get("/pipeline");
            if accounts["pending"] == 0 {
                return accounts;
            }
            assert!(start.elapsed() < PATIENCE, "still pending: {accounts}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it with SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it with SIGTERM.
    pub fn terminate(mut self) -> ExitStatus {
        let killed = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap()
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `accepted` = `counted` + `duplicates` + the dead letters.
pub fn assert_reconciled(accounts: &Value) {
    let dead_letters: u64 = accounts["dead_letters"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    let sum = accounts["counted"].as_u64().unwrap() + accounts["duplicates"].as_u64().unwrap() + dead_letters;
    assert_eq!(accounts["accepted"].as_u64().unwrap(), sum, "{accounts}");
    assert_eq!(accounts["unexplained"], 0, "{accounts}");
}

/// A sum that keeps what each addition rounds away (Neumaier 1974): over a hundred thousand values a plain one is off by
/// more than the 1e-12 that is asked for here.
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0f64, 0.0);
    for value in values {
        let next = sum + value;
        lost += if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
        sum = next;
    }
    sum + lost
}

/// Exact statistics of a device's values, by plain definitions.
pub struct Expected {
    pub count: usize,
    pub mean: f64,
    pub median: f64,
    pub standard_deviation: Option<f64>,
    pub minimum: f64,
    pub maximum: f64,
}

impl Expected {
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len() as f64;
        // Deviations from a value of the data lose nothing to its offset.
        let shift = sorted[0];
        let mean_shifted = sum(sorted.iter().map(|v| v - shift)) / n;
        let squares = sum(sorted.iter().map(|v| (v - shift - mean_shifted).powi(2)));
        Expected {
            count: sorted.len(),
            mean: shift + mean_shifted,
            median: (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0,
            standard_deviation: (sorted.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
            minimum: sorted[0],
            maximum: sorted[sorted.len() - 1],
        }
    }

    /// Count, minimum, maximum and median exact; mean and standard deviation to 1e-12.
    pub fn assert_equals(&self, answer: &Value) {
        assert_eq!(answer["count"], self.count, "{answer}");
        for (name, expected) in [("minimum", self.minimum), ("maximum", self.maximum), ("median", self.median)] {
            assert_eq!(answer[name].as_f64().unwrap(), expected, "{name} of {answer}");
        }
        let close = |name: &str, expected: f64| {
            let found = answer[name].as_f64().unwrap();
            assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1e-300), "{name}: {found} for {expected}");
        };
        close("mean", self.mean);
        match self.standard_deviation {
            Some(expected) => close("standard_deviation", expected),
            None => assert!(answer["standard_deviation"].is_null()),
        }
    }
}
