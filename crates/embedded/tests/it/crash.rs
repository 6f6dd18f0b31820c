//! `kill -9` at any moment loses nothing that was acknowledged, and leaves nothing half done.
//!
//! The test runs itself as the process that is killed: with [`DIRECTORY`] set, the test `works_until_it_is_killed`
//! works in that directory and prints a line for every acknowledgement it got.

use embedded::{ArchiveLimits, EmbeddedStorage, Options};
use flate2::read::GzDecoder;
use ports::contract::statistics_store::{bare_attributes, keys_starting_with, whole_ledger};
use ports::{
    Archive, Checkpoints, DeadLetter, DeadLetterOrigin, DeadLetterQueue, DeviceWrite, EventStream, LedgerPageItem,
    Position, StatisticsItem, StatisticsStore, StreamEntry,
};
use redrive::{DeadLetters as _, PageRequest};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telemetry::{DeviceId, RejectReason, Rejection, Timestamp};

const DIRECTORY: &str = "STREAMGAUGE_CRASH_TEST_DIRECTORY";
const KILLS: usize = 25;

fn options() -> Options {
    Options { shards: 2, ..Options::default() }
}

/// One line, whole or (when the kill comes first) without its end.
fn say(line: String) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).expect("the parent listens");
    out.flush().expect("the parent listens");
}

fn nanoseconds() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos()
}

fn letter(id: &str) -> DeadLetter {
    let origin = DeadLetterOrigin {
        stream: "streamgauge",
        shard_id: "shardId-000000000000",
        sequence_number: id,
        sub_sequence_number: None,
        index: None,
        partition_key: "a",
        arrived_at: Timestamp::UNIX_EPOCH,
    };
    DeadLetter::new(&Rejection::new(RejectReason::MalformedJson, "bad"), b"{", origin, Timestamp::UNIX_EPOCH)
}

fn write(device: &str, expected_revision: Option<u64>) -> DeviceWrite {
    let revision = expected_revision.unwrap_or(0) + 1;
    let attributes = bare_attributes(revision * 3);
    let page = LedgerPageItem { key: format!("ledger#{revision:09}"), page: vec![1; 200], expires_at: None };
    let item = StatisticsItem { revision, attributes, state: vec![2; 600] };
    DeviceWrite {
        device_id: DeviceId::parse(device).expect("a valid name"),
        expected_revision,
        item,
        pages: vec![page],
    }
}

async fn put_for_ever(storage: EmbeddedStorage, task: usize) {
    loop {
        let name = format!("{}-{task}", nanoseconds());
        let padding = "x".repeat(if task == 0 { 40_000 } else { task * 50 });
        let entries =
            (0..3).map(|n| StreamEntry::new(format!("device-{task}"), format!("{name}-{n} {padding}").into_bytes()));
        for (n, result) in storage.stream().put_records(entries.collect()).await.into_iter().enumerate() {
            let receipt = result.expect("stored");
            say(format!("put {} {} {name}-{n}", receipt.shard_id, receipt.sequence_number));
        }
    }
}

async fn write_for_ever(storage: EmbeddedStorage, task: usize) {
    let device = format!("device-{task}");
    let id = DeviceId::parse(device.as_str()).expect("a valid name");
    let item = storage.statistics().read_device(&id).await.expect("a read");
    let mut revision = item.map(|item| item.revision);
    loop {
        storage.statistics().write(write(&device, revision)).await.expect("written");
        revision = Some(revision.unwrap_or(0) + 1);
        say(format!("write {device} {}", revision.unwrap_or(0)));
    }
}

async fn archive_for_ever(storage: EmbeddedStorage) {
    let limits = ArchiveLimits { max_bytes: 50_000, max_age: Duration::from_millis(5) };
    loop {
        storage.archive_raw(limits, false).await.expect("archived");
        let letter = letter(&nanoseconds().to_string());
        let id = letter.id.clone();
        assert!(storage.dead_letters().send(vec![letter]).await[0].is_ok());
        say(format!("letter {id}"));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Not a fact of its own: the process that the test below kills.
#[test]
fn works_until_it_is_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let storage = EmbeddedStorage::open(Path::new(&directory), options()).expect("opened after a kill");
        say("ready".to_owned());
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..6 {
            tasks.spawn(put_for_ever(storage.clone(), task));
        }
        for task in 0..6 {
            tasks.spawn(write_for_ever(storage.clone(), task));
        }
        tasks.spawn(archive_for_ever(storage));
        while let Some(result) = tasks.join_next().await {
            result.expect("works until it is killed");
        }
    });
}

/// What the killed processes were told.
#[derive(Default)]
struct Acknowledged {
    /// (shard, sequence) -> the record's name.
    records: BTreeMap<(String, u64), String>,
    revisions: BTreeMap<String, u64>,
    letters: BTreeSet<String>,
}

impl Acknowledged {
    fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["put", shard, sequence, name] => {
                let place = (shard.to_owned(), sequence.parse().expect("a number"));
                assert_eq!(self.records.insert(place, name.to_owned()), None, "two records in one place");
            }
            ["write", device, revision] => {
                self.revisions.insert(device.to_owned(), revision.parse().expect("a number"));
            }
            ["letter", id] => {
                self.letters.insert(id.to_owned());
            }
            _ => {}
        }
    }

    async fn check(&self, storage: &EmbeddedStorage) {
        let stored = stored(storage).await;
        for (place, name) in &self.records {
            assert_eq!(stored.get(place), Some(name), "acknowledged at {place:?}");
        }
        // A device may have been written and its line not: it is counted like any other.
        let mut counted = 0;
        for (device, item) in storage.statistics().list(None, 100).await.expect("a list").devices {
            let acknowledged = self.revisions.get(device.as_str()).copied().unwrap_or(0);
            assert!(item.revision >= acknowledged);
            let pages =
                whole_ledger(&storage.statistics(), &device, &keys_starting_with("ledger#")).await.expect("a read");
            assert_eq!(pages.len() as u64, item.revision, "item and pages are written together");
            counted += item.attributes.count;
        }
        let account = storage.accounting().await.expect("an account");
        assert_eq!(account.counted, counted);
        assert_eq!(account.accepted, stored.len() as u64);
        let all = PageRequest { limit: usize::MAX, ..PageRequest::default() };
        let page = storage.dead_letters().page(&all).await.expect("a page");
        let letters: BTreeSet<_> = page.letters.into_iter().map(|held| held.receipt).collect();
        assert!(letters.is_superset(&self.letters));
        assert_eq!(account.dead_letters.values().sum::<u64>(), letters.len() as u64);
    }
}

/// Every record by its place; sequence numbers have no gap.
async fn stored(storage: &EmbeddedStorage) -> BTreeMap<(String, u64), String> {
    let mut stored = BTreeMap::new();
    for shard in storage.stream().list_shards().await.expect("shards") {
        let mut position = Position::TrimHorizon;
        let mut sequence = 0;
        loop {
            let page = storage.stream().get_records(&shard.id, position, 10_000).await.expect("a page");
            if page.records.is_empty() {
                break;
            }
            for record in page.records {
                sequence += 1;
                assert_eq!(record.sequence_number, sequence.into(), "a gap in {}", shard.id);
                let text = String::from_utf8(record.data).expect("text");
                let name = text.split(' ').next().expect("a name").to_owned();
                stored.insert((shard.id.0.clone(), sequence), name);
            }
            position = page.next.expect("an open shard");
        }
    }
    stored
}

async fn archived(storage: &EmbeddedStorage) -> Vec<String> {
    let mut names = Vec::new();
    for key in storage.archive().list("raw/", None, usize::MAX).await.expect("keys") {
        let bytes = storage.archive().get(&key).await.expect("an answer").expect("an object");
        let mut text = String::new();
        GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("a whole gzip file");
        names.extend(text.lines().map(|line| line.split(' ').next().expect("a name").to_owned()));
    }
    names
}

/// Runs a process on the directory and kills it after `life` of work; the lines it wrote whole.
fn run_and_kill(directory: &Path, life: Duration) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["crash::works_until_it_is_killed", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut out = BufReader::new(child.stdout.take().expect("its output"));
    let mut line = String::new();
    // The test harness announces the test on the line of the first word.
    while !line.ends_with("ready\n") {
        line.clear();
        assert_ne!(out.read_line(&mut line).expect("its output"), 0, "the process ended by itself");
    }
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    std::thread::sleep(life);
    child.kill().expect("killed");
    child.wait().expect("ended");
    let text = reader.join().expect("the reader").expect("its output");
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
}

#[test]
fn a_kill_at_any_moment_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut acknowledged = Acknowledged::default();
    for _ in 0..KILLS {
        let life = Duration::from_micros((nanoseconds() % 120_000) as u64);
        for line in run_and_kill(folder.path(), life) {
            acknowledged.hear(&line);
        }
        runtime.block_on(async {
            let storage = EmbeddedStorage::open(folder.path(), options()).expect("opened after a kill");
            acknowledged.check(&storage).await;
            storage.close().await;
        });
    }
    assert!(acknowledged.records.len() > 100, "the processes had no time to work");
    runtime.block_on(async {
        let storage = EmbeddedStorage::open(folder.path(), options()).expect("opened");
        storage.archive_raw(ArchiveLimits::default(), true).await.expect("archived");
        let mut archived = archived(&storage).await;
        archived.sort_unstable();
        let mut stored: Vec<_> = stored(&storage).await.into_values().collect();
        stored.sort_unstable();
        assert_eq!(archived, stored, "every record is archived once");
        for shard in storage.stream().list_shards().await.expect("shards") {
            assert_eq!(storage.checkpoints().load(&shard.id).await.expect("none was saved"), None);
        }
    });
}
