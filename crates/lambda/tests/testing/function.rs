//! The function's own binary, run as Lambda runs it.

use super::runtime_api::{Answer, RuntimeApi};
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// One execution environment: the process and its Runtime API.
pub struct Function {
    /// What it asks for work.
    pub runtime_api: RuntimeApi,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

/// What Lambda sets for the function `name`, with AWS's services at `endpoint`.
fn environment(name: &str, runtime_api: &RuntimeApi, endpoint: &str) -> Vec<(&'static str, String)> {
    let text = |text: &str| text.to_owned();
    vec![
        ("AWS_LAMBDA_RUNTIME_API", runtime_api.address.clone()),
        ("AWS_LAMBDA_FUNCTION_NAME", text(name)),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", text("512")),
        ("AWS_LAMBDA_FUNCTION_VERSION", text("1")),
        ("AWS_REGION", text("eu-central-1")),
        ("AWS_ACCESS_KEY_ID", text("test")),
        ("AWS_SECRET_ACCESS_KEY", text("test-secret")),
        ("AWS_ENDPOINT_URL", text(endpoint)),
    ]
}

impl Function {
    /// Starts the binary of the function `name` under a Runtime API, with AWS's services at `endpoint`; `variables` are
    /// what the stack sets, a later one in place of an earlier one of its name.
    pub fn start(
        name: &str,
        binary: impl AsRef<OsStr>,
        runtime_api: RuntimeApi,
        endpoint: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(binary);
        command.env_clear().envs(environment(name, &runtime_api, endpoint)).envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the function's binary");
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let stdout = child.stdout.take().expect("a pipe");
        let stderr = child.stderr.take().expect("a pipe");
        let readers = vec![read_lines(stdout, &lines), read_lines(stderr, &lines)];
        Function { runtime_api, child, lines, readers }
    }

    /// Has it handle `event`.
    ///
    /// # Panics
    /// Where it ends without an answer.
    pub async fn invoke(&self, id: &str, event: &str) -> Answer {
        self.runtime_api.invoke(id, event).await.expect("an answer")
    }

    /// Its process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM, which Lambda sends before it takes an environment away.
    pub fn terminate(&self) {
        let status = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.id())]).status();
        assert!(status.expect("a shell").success());
    }

    /// Waits for its end: how it ended, and every line that it wrote.
    pub fn ended(&mut self) -> (ExitStatus, Vec<String>) {
        let status = self.child.wait().expect("its end");
        for reader in self.readers.drain(..) {
            reader.join().expect("no panic");
        }
        (status, self.lines.lock().expect("no panic").clone())
    }

    /// Ends it and gives its log, each line of which is a JSON object.
    pub fn log(&mut self) -> Vec<Value> {
        self.terminate();
        let (status, lines) = self.ended();
        assert!(status.success(), "{status}: {lines:#?}");
        lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"))).collect()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // Most have ended by then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(from: impl std::io::Read + Send + 'static, into: &Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            into.lock().expect("no panic").push(line.expect("UTF-8"));
        }
    })
}

/// The documents of metrics in a log.
pub fn metrics(log: &[Value]) -> Vec<&Value> {
    log.iter().filter(|line| line.get("_aws").is_some()).collect()
}

/// The errors in a log.
pub fn errors(log: &[Value]) -> Vec<&Value> {
    log.iter().filter(|line| line["level"] == "ERROR").collect()
}
