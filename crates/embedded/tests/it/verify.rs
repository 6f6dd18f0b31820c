//! The check of a data directory: it finds each row that doesn't fit, and changes nothing.

use embedded::{EmbeddedStorage, OpenError, Options, Problem, Verification, verify};
use ports::contract::statistics_store::bare_attributes;
use ports::{
    Checkpoints as _, DeadLetter, DeadLetterOrigin, DeadLetterQueue as _, DeviceWrite, EventStream as _,
    LedgerPageItem, StatisticsItem, StatisticsStore as _, StreamEntry,
};
use redb::{Database, ReadableTable as _, TableDefinition, WriteTransaction};
use redrive::{DeadLetters as _, Intent, Intents as _};
use std::fs;
use std::path::Path;
use telemetry::{DeviceId, RejectReason, Rejection, Timestamp};

const RECORDS: TableDefinition<(u16, u64), &[u8]> = TableDefinition::new("records");
const SHARDS: TableDefinition<u16, (u64, i64, u64, u64, u64, u64)> = TableDefinition::new("shards");
const CURSORS: TableDefinition<u16, (u64, u64)> = TableDefinition::new("archive_cursors");
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const ITEMS: TableDefinition<&str, &[u8]> = TableDefinition::new("items");
const PAGES: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("ledger_pages");
const UNCURATED: TableDefinition<&str, ()> = TableDefinition::new("uncurated_devices");
const LETTERS: TableDefinition<(i64, &str), &[u8]> = TableDefinition::new("dead_letters");
const LETTER_INDEX: TableDefinition<(i64, &str), (&str, &str)> = TableDefinition::new("dead_letter_index");
const KNOWN_LETTERS: TableDefinition<&str, i64> = TableDefinition::new("known_dead_letters");
const INTENTS: TableDefinition<&str, &[u8]> = TableDefinition::new("redrive_intents");
const CHECKPOINTS: TableDefinition<&str, (&[u8], u64)> = TableDefinition::new("checkpoints");
const TOTALS: TableDefinition<&str, u64> = TableDefinition::new("totals");
const SHARD: &str = "shardId-000000000000";

fn reading(second: usize) -> Vec<u8> {
    format!(r#"{{"device_id":"a","timestamp":"2026-01-31T12:00:{second:02}Z","value":1}}"#).into_bytes()
}

fn letter(sequence: u64) -> DeadLetter {
    let at = Timestamp::from_millisecond(1000).expect("an instant");
    let origin = DeadLetterOrigin {
        stream: "streamgauge",
        shard_id: SHARD,
        sequence_number: &sequence.to_string(),
        sub_sequence_number: None,
        index: None,
        partition_key: "a",
        arrived_at: at,
    };
    DeadLetter::new(&Rejection::new(RejectReason::MalformedJson, "not JSON"), b"{", origin, at)
}

fn write() -> DeviceWrite {
    let attributes = bare_attributes(5);
    let page = |n: u8| LedgerPageItem { key: format!("ledger#{n}"), page: vec![n; 10], expires_at: None };
    DeviceWrite {
        device_id: DeviceId::parse("a").expect("a name"),
        expected_revision: None,
        item: StatisticsItem { revision: 1, attributes, state: vec![1, 2, 3] },
        pages: vec![page(1), page(2)],
    }
}

/// Eight readings of one device, of which five are counted; two dead letters, of which one is deleted.
async fn fill(folder: &Path) -> EmbeddedStorage {
    let storage = EmbeddedStorage::open(folder, Options { shards: 2, ..Options::default() }).expect("a new directory");
    let entry = |n| StreamEntry::new("a".to_owned(), reading(n));
    let receipts = storage.stream().put_records((0..8).map(entry).collect()).await;
    let receipts: Vec<_> = receipts.into_iter().map(|receipt| receipt.expect("stored")).collect();
    assert_eq!(receipts[0].shard_id.0, SHARD, "the key is of the first shard");
    storage.statistics().write(write()).await.expect("written");
    storage.dead_letters().send(vec![letter(1)]).await.remove(0).expect("sent");
    storage.dead_letters().send(vec![letter(2)]).await.remove(0).expect("sent");
    assert_eq!(storage.dead_letters().delete(vec![letter(2).id]).await.expect("deleted"), 1);
    storage.dead_letters().note(vec![Intent { id: letter(1).id, form: [7; 16] }]).await.expect("noted");
    storage.checkpoints().save(&receipts[6].shard_id, receipts[6].sequence_number).await.expect("saved");
    storage.archive_raw(embedded::ArchiveLimits::default(), true).await.expect("archived");
    storage
}

async fn closed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fill(folder.path()).await.close().await;
    folder
}

fn checked(folder: &Path) -> Verification {
    verify(folder, &mut |_, _, _| Vec::new()).expect("verified")
}

fn problems(folder: &Path) -> Vec<Problem> {
    checked(folder).problems
}

/// Changes rows behind the storage's back.
fn tamper(folder: &Path, file: &str, change: impl FnOnce(&WriteTransaction)) {
    let database = Database::open(folder.join(file)).expect("opened");
    let transaction = database.begin_write().expect("a transaction");
    change(&transaction);
    transaction.commit().expect("committed");
}

fn contents(folder: &Path) -> Vec<Vec<u8>> {
    ["stream.redb", "statistics.redb", "lock"].map(|file| fs::read(folder.join(file)).expect("read")).to_vec()
}

#[tokio::test]
async fn a_sound_directory_has_no_problems_and_is_not_changed() {
    let folder = closed().await;
    let before = contents(folder.path());
    let mut devices = Vec::new();
    let verification = verify(folder.path(), &mut |device, item, pages| {
        devices.push((device.to_string(), item.clone(), pages.take(1).count()));
        Vec::new()
    });
    let verification = verification.expect("verified");
    assert_eq!(verification.problems, []);
    assert_eq!(devices, [("a".to_owned(), write().item, 1)]);
    let totals = verification.totals;
    assert_eq!((totals.accepted, totals.counted, totals.dead_letters), (8, 5, 2));
    assert_eq!(verification.rows["stream.redb"]["records"], 8);
    let rows = &verification.rows["statistics.redb"];
    let expected = [("items", 1), ("ledger_pages", 2), ("dead_letters", 1), ("known_dead_letters", 2)];
    expected.into_iter().for_each(|(table, count)| assert_eq!(rows[table], count, "{table}"));
    assert!(before == contents(folder.path()));
}

#[tokio::test]
async fn what_a_kill_leaves_behind_has_no_problems() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = fill(folder.path()).await;
    let killed = tempfile::tempdir().expect("a folder");
    for file in ["stream.redb", "statistics.redb", "lock"] {
        fs::copy(folder.path().join(file), killed.path().join(file)).expect("copied");
    }
    fs::create_dir(killed.path().join("archive")).expect("made");
    fs::copy(folder.path().join("archive/.run"), killed.path().join("archive/.run")).expect("copied");
    let before = contents(killed.path());
    assert_eq!(problems(killed.path()), []);
    assert!(before == contents(killed.path()));
    storage.close().await;
}

#[tokio::test]
async fn a_directory_in_use_is_refused_even_without_its_lock_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = fill(folder.path()).await;
    let refused = || matches!(verify(folder.path(), &mut |_, _, _| Vec::new()), Err(OpenError::Locked { .. }));
    assert!(refused());
    fs::remove_file(folder.path().join("lock")).expect("removed");
    assert!(refused());
    storage.close().await;
    assert!(!refused());
}

#[tokio::test]
async fn what_a_caller_finds_wrong_with_a_device_is_reported() {
    let folder = closed().await;
    let verification = verify(folder.path(), &mut |_, _, _| vec!["too hot".to_owned()]).expect("verified");
    let [Problem { file, problem }] = &verification.problems[..] else { panic!("{:?}", verification.problems) };
    assert_eq!((file.as_str(), problem.as_str()), ("statistics.redb", "device `a`: too hot"));
}

#[tokio::test]
async fn a_folder_without_databases_is_refused_and_one_file_missed() {
    let folder = tempfile::tempdir().expect("a folder");
    let none = verify(folder.path(), &mut |_, _, _| Vec::new());
    assert!(matches!(none, Err(OpenError::Io { .. })));
    assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0, "nothing is made");

    let folder = closed().await;
    fs::write(folder.path().join("stream.redb"), []).expect("emptied");
    assert!(problems(folder.path())[0].problem.contains("too short"));
    fs::remove_file(folder.path().join("stream.redb")).expect("removed");
    let [Problem { file, problem }] = &problems(folder.path())[..] else { panic!() };
    assert_eq!((file.as_str(), problem.as_str()), ("stream.redb", "it is missing"));
}

#[tokio::test]
async fn a_stream_older_than_its_statistics_is_reported() {
    let folder = closed().await;
    let path = folder.path().join("stream.redb");
    let older = fs::read(&path).expect("read");
    EmbeddedStorage::open(folder.path(), Options::default()).expect("opened").close().await;
    let newer = fs::read(&path).expect("read");
    fs::write(&path, older).expect("restored");
    let [Problem { file, problem }] = &problems(folder.path())[..] else { panic!("{:?}", problems(folder.path())) };
    assert!(file == "stream.redb" && problem.contains("older than statistics.redb"), "{problem}");
    fs::write(&path, newer).expect("restored");
    assert_eq!(problems(folder.path()), []);
    // Without checkpoints the totals still tell.
    tamper(folder.path(), "statistics.redb", |transaction| {
        transaction.open_table(CHECKPOINTS).unwrap().remove(SHARD).unwrap();
    });
    tamper(folder.path(), "stream.redb", |transaction| {
        transaction.open_table(RECORDS).unwrap().retain(|_, _| false).unwrap();
        transaction.open_table(SHARDS).unwrap().retain(|_, _| false).unwrap();
        transaction.open_table(CURSORS).unwrap().retain(|_, _| false).unwrap();
    });
    assert!(checked(folder.path()).problems.iter().any(|found| found.problem.contains("is lost or older")));
}

/// The header's first flag says which of two commits is the newest, without a checksum.
#[tokio::test]
async fn a_header_that_names_the_older_commit_is_reported() {
    let folder = closed().await;
    let path = folder.path().join("stream.redb");
    let mut bytes = fs::read(&path).expect("read");
    bytes[9] ^= 1;
    fs::write(&path, bytes).expect("written");
    assert!(problems(folder.path())[0].problem.contains("names an older commit"));
}

/// What is changed in which file, and what the problem says.
type Case = (&'static str, fn(&WriteTransaction), &'static str);

const CASES: &[Case] = &[
    ("stream.redb", |t| drop(t.open_table(RECORDS).unwrap().remove((0, 3)).unwrap()), "running totals don't follow"),
    ("stream.redb", |t| drop(t.open_table(RECORDS).unwrap().remove((0, 8)).unwrap()), "its newest record is 7"),
    ("stream.redb", |t| drop(t.open_table(RECORDS).unwrap().insert((0, 8), &[1][..]).unwrap()), "doesn't decode"),
    (
        "stream.redb",
        |t| {
            let mut records = t.open_table(RECORDS).unwrap();
            let record = records.get((0, 1)).unwrap().unwrap().value().to_vec();
            records.insert((1, 1), &record[..]).unwrap();
        },
        "its partition key is of another shard",
    ),
    (
        "stream.redb",
        |t| t.open_table(RECORDS).unwrap().retain(|_, _| false).unwrap(),
        "its records up to 8 are missing",
    ),
    (
        "stream.redb",
        |t| drop(t.open_table(SHARDS).unwrap().insert(0, (8, 0, 8, 9, 9, 9)).unwrap()),
        "more records were",
    ),
    ("stream.redb", |t| drop(t.open_table(SHARDS).unwrap().insert(7, (0, 0, 0, 0, 0, 0)).unwrap()), "has 2 shards"),
    ("stream.redb", |t| drop(t.open_table(CURSORS).unwrap().insert(0, (9, 1)).unwrap()), "archived up to 9"),
    ("stream.redb", |t| drop(t.open_table(CURSORS).unwrap().insert(0, (8, 1)).unwrap()), "another number of bytes"),
    ("stream.redb", |t| drop(t.open_table(META).unwrap().remove("shards").unwrap()), "how many shards"),
    ("stream.redb", |t| drop(t.open_table(META).unwrap().insert("version", 99).unwrap()), "version 99"),
    ("statistics.redb", |t| drop(t.open_table(META).unwrap().remove("version").unwrap()), "which form"),
    ("statistics.redb", |t| drop(t.open_table(ITEMS).unwrap().insert("a", &[9][..]).unwrap()), "don't decode"),
    ("statistics.redb", |t| drop(t.open_table(ITEMS).unwrap().insert("#", &[9][..]).unwrap()), "no name of a device"),
    ("statistics.redb", |t| drop(t.open_table(ITEMS).unwrap().remove("a").unwrap()), "the device has no statistics"),
    ("statistics.redb", |t| drop(t.open_table(PAGES).unwrap().insert(("a", "k"), &[9][..]).unwrap()), "`k` doesn't"),
    ("statistics.redb", |t| drop(t.open_table(UNCURATED).unwrap().insert("z", ()).unwrap()), "is to be curated"),
    ("statistics.redb", |t| drop(t.open_table(TOTALS).unwrap().insert("counted", 6).unwrap()), "their total is 6"),
    ("statistics.redb", |t| drop(t.open_table(TOTALS).unwrap().insert("x", 6).unwrap()), "which nothing counts"),
    ("statistics.redb", |t| t.open_table(LETTERS).unwrap().retain(|_, _| false).unwrap(), "in lists, but not stored"),
    (
        "statistics.redb",
        |t| t.open_table(LETTER_INDEX).unwrap().retain(|_, _| false).unwrap(),
        "another reason or device",
    ),
    ("statistics.redb", |t| t.open_table(KNOWN_LETTERS).unwrap().retain(|_, _| false).unwrap(), "its id isn't known"),
    (
        "statistics.redb",
        |t| {
            let mut letters = t.open_table(LETTERS).unwrap();
            let json = letters.iter().unwrap().next().unwrap().unwrap().1.value().to_vec();
            letters.insert((1, "other"), &json[..]).unwrap();
        },
        "under another one's key",
    ),
    (
        "statistics.redb",
        |t| drop(t.open_table(LETTERS).unwrap().insert((1, "x"), &b"{"[..]).unwrap()),
        "`x`: it doesn't",
    ),
    (
        "statistics.redb",
        |t| drop(t.open_table(TOTALS).unwrap().remove("dead_letters/malformed_json")),
        "its total is 0",
    ),
    ("statistics.redb", |t| drop(t.open_table(INTENTS).unwrap().insert("x", &[7; 16][..]).unwrap()), "no such letter"),
    (
        "statistics.redb",
        |t| drop(t.open_table(CHECKPOINTS).unwrap().insert(SHARD, (&[1][..], 1)).unwrap()),
        "checkpoint of `shardId-000000000000` doesn't decode",
    ),
    (
        "statistics.redb",
        |t| drop(t.open_table(CHECKPOINTS).unwrap().insert("shardId-000000000002", (&[0; 24][..], 1)).unwrap()),
        "no shard of 2",
    ),
    (
        "statistics.redb",
        |t| {
            let mut checkpoints = t.open_table(CHECKPOINTS).unwrap();
            let at = checkpoints.get(SHARD).unwrap().unwrap().value().0.to_vec();
            checkpoints.insert(SHARD, (&at[..], 3)).unwrap();
        },
        "the checkpoint on it has another number of readings",
    ),
];

#[tokio::test]
async fn each_row_that_does_not_fit_is_reported() {
    let original = closed().await;
    for (file, change, expected) in CASES {
        let copy = tempfile::tempdir().expect("a folder");
        for file in ["stream.redb", "statistics.redb"] {
            fs::copy(original.path().join(file), copy.path().join(file)).expect("copied");
        }
        tamper(copy.path(), file, change);
        let problems = problems(copy.path());
        assert!(problems.iter().any(|found| found.problem.contains(expected)), "{expected}: {problems:?}");
    }
}

#[tokio::test]
async fn a_copy_of_a_dead_letter_that_differs_is_reported() {
    let folder = closed().await;
    let day = folder.path().join("archive/dead-letters/dt=1970-01-01");
    let changed = |from: &str, to: &str| {
        let mut found = Vec::new();
        for file in fs::read_dir(&day).expect("listed").map(|file| file.expect("a file").path()) {
            let text = fs::read_to_string(&file).expect("read");
            fs::write(&file, text.replace(from, to)).expect("written");
            found.extend(problems(folder.path()).into_iter().map(|found| found.problem));
            fs::write(&file, text).expect("restored");
        }
        found
    };
    let is_reported = |problems: &[String], text: &str| problems.iter().any(|problem| problem.contains(text));
    assert!(is_reported(&changed("not JSON", "not json"), "differs from the one in the database"));
    // The file's own damage is for `archive verify` to report.
    assert_eq!(changed("{", "["), Vec::<String>::new());
    // Delivered again a second later, with a text of a later version of the program.
    let later = format!("{}\"", letter(1).failed_at);
    let again = changed(&format!("\"failed_at\":\"{later}"), "\"failed_at\":\"1970-01-01T00:00:02Z\"");
    assert_eq!(again, Vec::<String>::new());
    // Copied, then killed before the database had it; delivered again later.
    let before = changed(&format!("\"failed_at\":\"{later}"), "\"failed_at\":\"1969-12-31T23:59:59Z\"");
    assert_eq!(before, Vec::<String>::new());
}
