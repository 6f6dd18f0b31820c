//! "An operator who has only docs/operations.md finds, fixes and redrives a week's failures": on one machine.

use crate::support::runbook::Shell;
use crate::support::week::{Place, follow_the_runbook};
use crate::support::{Pipeline, assert_reconciled, streamgauge};
use embedded::{EmbeddedStorage, Options};
use ports::{DeadLetter, DeadLetterOrigin, DeadLetterQueue, DeviceWrite, StatisticsItem, StatisticsStore};
use std::collections::HashMap;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use telemetry::{DeviceId, RejectReason, Rejection, Timestamp};

/// A pipeline that is ended for a while where its data directory is worked on, as an operator would.
struct OneMachine {
    directory: PathBuf,
    port: String,
    pipeline: Option<Pipeline>,
    good: HashMap<String, StatisticsItem>,
    late: u32,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

impl OneMachine {
    fn new(directory: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let pipeline = Some(Pipeline::start(directory, &["--port", &port]));
        OneMachine { directory: directory.to_owned(), port, pipeline, good: HashMap::new(), late: 0 }
    }

    fn up(&self) -> &Pipeline {
        self.pipeline.as_ref().unwrap()
    }

    /// Works on the data directory while no pipeline does.
    fn between<T>(&mut self, work: impl AsyncFnOnce(&EmbeddedStorage) -> T) -> T {
        self.up().settled();
        assert!(self.pipeline.take().unwrap().terminate().success());
        let done = runtime().block_on(async {
            let storage = EmbeddedStorage::open(&self.directory, Options::default()).unwrap();
            let done = work(&storage).await;
            storage.close().await;
            done
        });
        self.pipeline = Some(Pipeline::start(&self.directory, &["--port", &self.port]));
        done
    }

    fn replace(&mut self, device: &str, change: impl Fn(StatisticsItem) -> StatisticsItem) -> StatisticsItem {
        self.between(async |storage| {
            let device_id = DeviceId::parse(device).unwrap();
            let item = storage.statistics().read_device(&device_id).await.unwrap().unwrap();
            let expected_revision = Some(item.revision);
            let changed = StatisticsItem { revision: item.revision + 1, ..change(item.clone()) };
            let write = DeviceWrite { device_id, expected_revision, item: changed, pages: Vec::new() };
            storage.statistics().write(write).await.unwrap();
            item
        })
    }
}

impl Place for OneMachine {
    fn put(&mut self, partition_key: &str, record: &[u8]) {
        let mut command = streamgauge();
        command.args(["put", "--endpoint", self.up().url(), "--api-key", self.up().key(), "--partition-key"]);
        let mut child = command.args([partition_key, "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(record).unwrap();
        assert!(child.wait().unwrap().success());
    }

    fn settle(&mut self) {
        self.up().settled();
    }

    fn corrupt(&mut self, device: &str) {
        let good = self.replace(device, |item| StatisticsItem { state: b"\0garbage".to_vec(), ..item });
        self.good.insert(device.to_owned(), good);
    }

    fn restore(&mut self, device: &str) {
        let good = self.good.remove(device).unwrap();
        self.replace(device, |damaged| StatisticsItem { revision: damaged.revision, ..good.clone() });
    }

    fn send_late(&mut self, payload: &[u8]) {
        // The record that it came in, as far as the account goes: what `up` sees of it is a duplicate.
        self.put("valve", crate::support::week::reading("valve", 1, "5").as_bytes());
        self.late += 1;
        let arrived_at = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        let device_id = telemetry::parse_reading(payload).unwrap().device_id;
        let origin = DeadLetterOrigin {
            stream: "streamgauge",
            shard_id: "shardId-000000000000",
            sequence_number: &self.late.to_string(),
            sub_sequence_number: None,
            index: None,
            partition_key: device_id.as_str(),
            arrived_at,
        };
        let rejection = Rejection::new(RejectReason::Late, "`timestamp`: lies before what the ledger decides");
        let rejection = Rejection { device_id: Some(device_id.clone()), ..rejection };
        let letter = DeadLetter::new(&rejection, payload, origin, arrived_at);
        self.between(async |storage| assert!(storage.dead_letters().send(vec![letter]).await[0].is_ok()));
    }

    fn give_up(&mut self) -> bool {
        false
    }

    fn statistics(&mut self, device: &str) -> serde_json::Value {
        self.up().get(&format!("/?device_id={device}")).1
    }
}

#[test]
fn an_operator_who_has_only_the_runbook_fixes_a_weeks_failures() {
    let directory = tempfile::tempdir().unwrap();
    let mut machine = OneMachine::new(directory.path());
    // In the place of the defaults, which are another port and the folder where the command is run.
    let flags = format!("--endpoint {} --api-key {}", machine.up().url(), machine.up().key());
    let shell = Shell::new(&[], &flags);
    follow_the_runbook(&mut machine, &shell);
    assert_reconciled(&machine.up().settled());
}
