//! One flipped bit in any file of a data directory: `up` doesn't panic, and `verify` reports it or it changes nothing.
//!
//! What today's formats can't see, each named in docs/operations.md:
//! - `api-key`: another digit is another key;
//! - the copy of a dead letter in `archive/dead-letters` that isn't in the database any more: its text has no checksum;
//! - the footer of a Parquet file: its pages have checksums, the footer's numbers have none;
//! - after a kill, the flag that says which of a database's two last commits counts. Here the directory was closed, and the
//!   flag is checked.
//!
//! `STREAMGAUGE_FLIPS` and `STREAMGAUGE_FLIP_SEED` set how many and which.

use super::check;
use aggregator::{Aggregator, Settings};
use curator::{HistoryQuery, ParquetDelivery, device_history};
use embedded::{ArchiveLimits, EmbeddedStorage, FileArchive, OpenError, Options};
use flate2::read::MultiGzDecoder;
use ports::contract::statistics_store::{bare_attributes, keys_starting_with, whole_ledger};
use ports::{
    Archive as _, Checkpoints as _, Clock, CuratedDelivery as _, DeviceWrite, EventStream as _, Position,
    StatisticsAttributes, StatisticsItem, StatisticsStore as _, StreamEntry, catch_panic, with_causes,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use redrive::{DeadLetters as _, Intent, Intents as _, PageRequest};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::io::Read as _;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use telemetry::{DeviceId, Timestamp};

const DEVICES: [&str; 4] = ["boiler-1", "boiler-2", "pump.3", "sensor:4"];
const HOUR: i64 = 3_600_000;
const THREADS: u64 = 4;

/// A clock that a test sets.
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

fn clock() -> Arc<SetClock> {
    let start = Timestamp::parse("2026-01-31T12:20:00Z").unwrap();
    Arc::new(SetClock(AtomicI64::new(start.as_millisecond())))
}

fn open(folder: &Path, clock: &Arc<SetClock>) -> Result<EmbeddedStorage, OpenError> {
    let (clock, retention): (Arc<dyn Clock>, _) = (clock.clone(), Duration::from_secs(3600));
    EmbeddedStorage::open(folder, Options { shards: 2, clock, retention, ..Options::default() })
}

/// `count` readings of a device from `first` seconds on, half a day apart at most, in bodies of 50.
async fn put(storage: &EmbeddedStorage, device: &str, first: i64, count: i64) {
    let start = Timestamp::parse("2026-01-30T00:00:00Z").unwrap().as_millisecond();
    let reading = |n: i64| {
        let at = Timestamp::from_millisecond(start + (first + n) * 301_000).unwrap();
        let value = (n * n % 97) as f64 / 8.0;
        serde_json::json!({ "timestamp": at.to_string(), "value": value, "event_id": (first + n).to_string() })
    };
    for body in (0..count).collect::<Vec<_>>().chunks(50) {
        let readings: Vec<_> = body.iter().map(|n| reading(*n)).collect();
        let data = serde_json::json!({ "device_id": device, "readings": readings }).to_string().into_bytes();
        put_raw(storage, device, data).await;
    }
}

async fn put_raw(storage: &EmbeddedStorage, partition_key: &str, data: Vec<u8>) {
    let entry = StreamEntry::new(partition_key.to_owned(), data);
    storage.stream().put_records(vec![entry]).await.remove(0).unwrap();
}

/// What the event source mapping does: every record that waits, and then the checkpoint.
async fn process(storage: &EmbeddedStorage, clock: &Arc<SetClock>) {
    let settings = Settings::default();
    let aggregator = Aggregator::new(storage.statistics(), storage.dead_letters(), clock.clone(), settings);
    for shard in storage.stream().list_shards().await.unwrap() {
        let after = storage.checkpoints().load(&shard.id).await.unwrap();
        let position = after.map_or(Position::TrimHorizon, Position::AfterSequenceNumber);
        let records = storage.stream().get_records(&shard.id, position, 1000).await.unwrap().records;
        let Some(last) = records.last().map(|record| record.sequence_number) else { continue };
        let handled = aggregator.handle(&records).await;
        assert_eq!(handled.report.failed_groups, 0);
        storage.checkpoints().save(&shard.id, last).await.unwrap();
    }
}

async fn curate(storage: &EmbeddedStorage, clock: &Arc<SetClock>) {
    let found = storage.statistics().uncurated(None, 1000).await.unwrap();
    let keys = found.states.iter().map(|state| (state.device_id.as_str().to_owned(), state.revision)).collect();
    let delivery = ParquetDelivery::<FileArchive, _>::new(storage.archive(), clock.clone());
    delivery.deliver(found.states).await.into_iter().for_each(|delivered| delivered.unwrap());
    storage.statistics().note_curated(keys).await.unwrap();
}

/// A directory with something in every table and folder; its first records are deleted, its last not processed.
async fn fill(folder: &Path, clock: &Arc<SetClock>) {
    let storage = open(folder, clock).unwrap();
    for device in DEVICES {
        put(&storage, device, 0, 400).await;
    }
    put_raw(&storage, "nobody", b"no JSON".to_vec()).await;
    put_raw(&storage, "nobody", b"{\"device_id\":\"nobody\"}".to_vec()).await;
    process(&storage, clock).await;
    storage.archive_raw(ArchiveLimits::default(), true).await.unwrap();
    curate(&storage, clock).await;
    clock.0.fetch_add(3 * HOUR, Ordering::SeqCst);
    assert!(storage.trim().await.unwrap() > 0);
    // A conflict, readings of another instant, and a body that comes twice.
    put(&storage, DEVICES[0], 7, 60).await;
    put(&storage, DEVICES[1], 400, 20).await;
    put(&storage, DEVICES[1], 400, 20).await;
    process(&storage, clock).await;
    storage.archive_raw(ArchiveLimits::default(), true).await.unwrap();
    curate(&storage, clock).await;
    put(&storage, DEVICES[2], 400, 5).await;
    process(&storage, clock).await;
    put(&storage, DEVICES[3], 400, 5).await;
    let letters = storage.dead_letters().page(&letters()).await.unwrap().letters;
    assert!(letters.len() > 3);
    assert_eq!(storage.dead_letters().delete(vec![letters[0].receipt.clone()]).await.unwrap(), 1);
    storage.dead_letters().note(vec![Intent { id: letters[1].receipt.clone(), form: [7; 16] }]).await.unwrap();
    storage.close().await;
    fs::write(folder.join("api-key"), format!("{}\n", "0123456789abcdef".repeat(2))).unwrap();
}

fn letters() -> PageRequest {
    PageRequest { limit: 1000, ..PageRequest::default() }
}

/// Everything that a running `up` reads, each as a text: the answer, or the error.
async fn read_all(storage: &EmbeddedStorage, folder: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut add = |name: String, text: String| drop(all.insert(name, text));
    let (statistics, archive) = (storage.statistics(), storage.archive());
    add("devices".to_owned(), text(statistics.list(None, 1000).await));
    add("uncurated".to_owned(), text(statistics.uncurated(None, 1000).await));
    add("accounting".to_owned(), text(storage.accounting().await));
    for device in DEVICES {
        let device_id = DeviceId::parse(device).unwrap();
        add(format!("item of {device}"), text(statistics.read_device(&device_id).await));
        add(
            format!("ledger of {device}"),
            text(whole_ledger(&statistics, &device_id, &keys_starting_with("ledger#")).await),
        );
        let query = HistoryQuery { device_id, from: None, to: None };
        add(format!("history of {device}"), format!("{:?}", device_history(&archive, &query).map_err(with)));
    }
    for shard in storage.stream().list_shards().await.unwrap() {
        let records = storage.stream().get_records(&shard.id, Position::TrimHorizon, 1000).await;
        add(format!("records of {}", shard.id), text(records));
        add(format!("checkpoint of {}", shard.id), text(storage.checkpoints().load(&shard.id).await));
    }
    add("letters".to_owned(), text(storage.dead_letters().page(&letters()).await));
    for key in archive.list("raw/", None, 1000).await.unwrap() {
        let bytes = archive.get(&key).await.unwrap().unwrap();
        let mut lines = Vec::new();
        let read = MultiGzDecoder::new(&bytes[..]).read_to_end(&mut lines);
        add(key, format!("{read:?} {lines:?}"));
    }
    for key in archive.list("dead-letters/", None, 1000).await.unwrap() {
        add(key.clone(), format!("{:?}", archive.get(&key).await.unwrap()));
    }
    add("api-key".to_owned(), format!("{:?}", fs::read(folder.join("api-key")).unwrap()));
    all
}

fn with(error: impl std::error::Error + 'static) -> String {
    with_causes(&error)
}

fn text<T: Debug, E: std::error::Error + 'static>(result: Result<T, E>) -> String {
    let text = format!("{:?}", result.map_err(with));
    // What a panic on another thread leaves behind.
    assert!(!text.contains("without an answer"), "{text}");
    text
}

/// `up` on the directory: it opens, reads, takes a record, writes a device and closes, or says which file it cannot use.
async fn use_it(folder: &Path, clock: &Arc<SetClock>) -> Result<BTreeMap<String, String>, String> {
    let storage = open(folder, clock).map_err(with)?;
    let all = read_all(&storage, folder).await;
    let entry = StreamEntry::new("new".to_owned(), b"{}".to_vec());
    let _ = text(storage.stream().put_records(vec![entry]).await.remove(0));
    let attributes = StatisticsAttributes { mean: Some(1.0), updated_at: clock.now(), ..bare_attributes(1) };
    let item = StatisticsItem { revision: 1, attributes, state: vec![1] };
    let device_id = DeviceId::parse("new").unwrap();
    let _ = text(
        storage.statistics().write(DeviceWrite { device_id, expected_revision: None, item, pages: Vec::new() }).await,
    );
    storage.close().await;
    Ok(all)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// The bytes that a flip may hit: a database is mostly free pages, so of those it is one in use.
fn places(file: &Path) -> Vec<usize> {
    let bytes = fs::read(file).unwrap();
    if file.extension().is_none_or(|extension| extension != "redb") {
        return (0..bytes.len()).collect();
    }
    let is_used = |page: &[u8]| page.iter().any(|byte| *byte != 0);
    let pages = bytes.chunks(4096).enumerate().skip(1).filter(|(_, page)| is_used(page));
    (0..4096).filter(|at| *at < 320).chain(pages.flat_map(|(page, _)| page * 4096..(page + 1) * 4096)).collect()
}

struct Original {
    folder: tempfile::TempDir,
    clock: Arc<SetClock>,
    all: BTreeMap<String, String>,
    /// Each file with the places of flips; the databases, which hold most, more than once.
    files: Vec<(PathBuf, Vec<usize>)>,
}

impl Original {
    fn new() -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
        let runtime = runtime();
        runtime.block_on(fill(folder.path(), &clock));
        let problems = check(folder.path()).unwrap().archive.problems;
        assert!(problems.is_empty(), "{problems:?}");
        let all = runtime.block_on(async {
            let storage = open(folder.path(), &clock).unwrap();
            let all = read_all(&storage, folder.path()).await;
            storage.close().await;
            all
        });
        let with_places = |file: PathBuf| (places(&file), file);
        let mut found = Vec::new();
        for (places, file) in files(folder.path()).into_iter().map(with_places).filter(|(places, _)| !places.is_empty())
        {
            let times = if file.extension().is_some_and(|extension| extension == "redb") { 4 } else { 1 };
            found.extend(std::iter::repeat_n((file, places), times));
        }
        Original { folder, clock, all, files: found }
    }

    /// A copy; files that nobody writes to are links.
    fn copy(&self, flipped: &Path) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for file in files(self.folder.path()) {
            let to = copy.path().join(file.strip_prefix(self.folder.path()).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            let is_written = file == flipped || to.parent() == Some(copy.path());
            let made = if is_written { fs::copy(&file, &to).map(drop) } else { fs::hard_link(&file, &to) };
            made.unwrap();
        }
        copy
    }

    fn flip(&self, seed: u64) -> Flipped {
        let mut random = StdRng::seed_from_u64(seed);
        let (file, places) = &self.files[random.random_range(0..self.files.len())];
        let (at, bit) = (places[random.random_range(0..places.len())], random.random_range(0..8));
        let copy = self.copy(file);
        let name = file.strip_prefix(self.folder.path()).unwrap().to_str().unwrap().to_owned();
        let path = copy.path().join(&name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 1 << bit;
        fs::write(&path, &bytes).unwrap();
        let story = format!("seed {seed}: bit {bit} of byte {at} of {name}");
        let problems = catch_unwind(|| check(copy.path()));
        let problems = problems.unwrap_or_else(|_| panic!("verify panicked. {story}"));
        let problems = problems.unwrap_or_else(|error| panic!("{error:#}. {story}")).archive.problems;
        assert!(fs::read(&path).unwrap() == bytes, "verify changed the file. {story}");
        let used = catch_unwind(AssertUnwindSafe(|| runtime().block_on(use_it(copy.path(), &self.clock))));
        let used = used.unwrap_or_else(|_| panic!("up panicked. {story}"));
        let changed = match used {
            Ok(all) => all.iter().filter(|(name, text)| self.all.get(*name) != Some(*text)).count(),
            Err(error) => {
                assert!(error.contains(&name), "the file isn't named: {error}. {story}");
                1
            }
        };
        Flipped { name, story, is_reported: !problems.is_empty(), has_effect: changed > 0 }
    }
}

struct Flipped {
    name: String,
    story: String,
    is_reported: bool,
    has_effect: bool,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |number| number.parse().unwrap())
}

/// What no check of today's formats can see.
fn is_unseen(name: &str) -> bool {
    name == "api-key" || name.starts_with("archive/dead-letters/")
}

/// Panics that no `catch_panic` was waiting for, on any thread.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Starts counting them. `catch_panic` hides its own from the hook that it finds at its first call; where another test of
/// this process has called it before, they cannot be told apart, and nothing is counted.
fn count_panics() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        print(info);
    }));
    let _ = catch_panic(|| panic!("is this hidden?"));
    if PANICS.swap(0, Ordering::SeqCst) > 0 {
        drop(panic::take_hook());
    }
}

#[test]
fn a_flipped_bit_is_reported_or_changes_nothing() {
    count_panics();
    let original = Original::new();
    let (flips, seed) = (number("STREAMGAUGE_FLIPS", 500), number("STREAMGAUGE_FLIP_SEED", 1) << 32);
    let flipped: Vec<Flipped> = std::thread::scope(|scope| {
        let of_thread = |thread| (thread..flips).step_by(THREADS as usize).map(|n| original.flip(seed + n)).collect();
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || -> Vec<Flipped> { of_thread(thread) })).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "panics on other threads, which the log above has");
    let mut unseen = BTreeMap::<&str, u64>::new();
    for Flipped { name, story, is_reported, has_effect } in &flipped {
        if *has_effect && !is_reported {
            assert!(is_unseen(name), "it changed something and wasn't reported. {story}");
            *unseen.entry(name).or_default() += 1;
        }
    }
    let reported = flipped.iter().filter(|flipped| flipped.is_reported).count();
    let harmless = flipped.iter().filter(|flipped| !flipped.is_reported && !flipped.has_effect).count();
    println!("{reported} reported, {harmless} without effect, unseen: {unseen:?}");
    assert!(reported * 3 > flipped.len(), "only {reported} of {} were reported", flipped.len());
}
