//! What has to hold after each start, and at the end.

use super::world::{World, name_of, names_in};
use crate::EmbeddedStorage;
use crate::shards::sequence_u64;
use flate2::read::GzDecoder;
use ports::contract::statistics_store::{keys_starting_with, whole_ledger};
use ports::{Archive as _, Checkpoints as _, DeadLetter, EventStream as _, Position};
use redrive::{DeadLetters as _, PageRequest};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

/// What is stored.
struct Stored {
    /// (shard, sequence number) -> name.
    stream: BTreeMap<(String, u64), String>,
    /// Names in the raw archive.
    archived: BTreeSet<String>,
    /// Names on ledger pages.
    counted: BTreeSet<String>,
    /// id -> name of the record.
    letters: BTreeMap<String, String>,
}

impl Stored {
    /// Every record that the stream ever took for good.
    fn names(&self) -> BTreeSet<&String> {
        self.stream.values().chain(&self.archived).collect()
    }
}

/// Adds a name to those of one kind, of which each is there once.
fn add_once(names: &mut BTreeSet<String>, name: String) {
    assert!(names.insert(name.clone()), "{name} is there twice");
}

impl World {
    /// What holds after every start.
    pub(super) async fn check(&self, storage: &EmbeddedStorage) {
        let stored = self.stored(storage).await;
        self.check_records(storage, &stored).await;
        self.check_letters(storage, &stored).await;
        self.check_objects(storage).await;
        self.check_accounting(storage, &stored).await;
        let key = std::fs::read(self.data_dir().join("api-key")).ok();
        match self.known().api_key.clone() {
            Some(acknowledged) => assert_eq!(key, Some(acknowledged), "the key"),
            None => assert!(key.is_none_or(|key| key.len() == 700 && !key.contains(&0)), "a part of a key"),
        }
    }

    /// What holds once everything is processed and archived.
    pub(super) async fn check_end(&self, storage: &EmbeddedStorage) {
        self.check(storage).await;
        let stored = self.stored(storage).await;
        let names = stored.names();
        assert!(names.iter().all(|name| stored.archived.contains(*name)), "every record is archived");
        let processed: Vec<&String> = stored.counted.iter().chain(self.lettered(&stored)).collect();
        assert_eq!(processed.len(), names.len(), "every record is processed once");
        assert_eq!(processed.into_iter().collect::<BTreeSet<_>>(), names);
        let account = storage.accounting().await.expect("an account");
        assert_eq!((account.pending, account.duplicates), (0, 0));
        assert!(storage.statistics().uncurated(None, 1).await.expect("a list").states.is_empty());
    }

    /// Names of the records whose letters are there, or were deleted.
    fn lettered<'a>(&self, stored: &'a Stored) -> BTreeSet<&'a String> {
        let known = self.known();
        let gone: BTreeSet<&String> =
            known.deleting.iter().filter(|id| !stored.letters.contains_key(*id)).map(|id| &known.letters[id]).collect();
        let gone = stored.stream.values().chain(&stored.archived).filter(|name| gone.contains(name));
        stored.letters.values().chain(gone).collect()
    }

    async fn stored(&self, storage: &EmbeddedStorage) -> Stored {
        let mut stored = Stored {
            stream: stream(storage).await,
            archived: BTreeSet::new(),
            counted: BTreeSet::new(),
            letters: BTreeMap::new(),
        };
        for key in storage.archive().list("raw/", None, usize::MAX).await.expect("keys") {
            let bytes = storage.archive().get(&key).await.expect("an answer").expect("an object");
            let mut text = String::new();
            GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("a whole gzip file");
            text.lines().for_each(|line| add_once(&mut stored.archived, name_of(line.as_bytes())));
        }
        for (device, item) in storage.statistics().list(None, 100).await.expect("a list").devices {
            let acknowledged = self.known().revisions.get(device.as_str()).copied().unwrap_or(0);
            assert!((acknowledged..=acknowledged + 1).contains(&item.revision), "{device} at {}", item.revision);
            let pages =
                whole_ledger(&storage.statistics(), &device, &keys_starting_with("ledger#")).await.expect("a read");
            assert_eq!(pages.len() as u64, item.revision, "item and pages are written together");
            let names: Vec<String> = pages.iter().flat_map(|page| names_in(&page.page)).collect();
            assert_eq!(names.len() as u64, item.attributes.count);
            names.into_iter().for_each(|name| add_once(&mut stored.counted, name));
            // What was begun before the crash is now known.
            self.known().revisions.insert(device.as_str().to_owned(), item.revision);
        }
        let all = PageRequest { limit: usize::MAX, ..PageRequest::default() };
        let page = storage.dead_letters().page(&all).await.expect("a page");
        stored.letters.extend(page.letters.into_iter().map(|held| (held.receipt, held.letter.detail())));
        stored
    }

    async fn check_records(&self, storage: &EmbeddedStorage, stored: &Stored) {
        let in_stream: BTreeSet<&String> = stored.stream.values().collect();
        assert_eq!(in_stream.len(), stored.stream.len(), "a record is in the stream twice");
        for (place, name) in &self.known().records {
            match stored.stream.get(place) {
                Some(there) => assert_eq!(there, name, "acknowledged at {place:?}"),
                None => assert!(stored.archived.contains(name), "{name} at {place:?} is lost"),
            }
        }
        let names = stored.names();
        assert!(names.iter().all(|name| self.known().names.contains(*name)));
        assert!(stored.counted.iter().all(|name| names.contains(name)), "counted, and neither in stream nor archive");
        let lettered = self.lettered(stored);
        assert!(stored.letters.values().all(|name| names.contains(name)), "a letter of no record");
        for shard in storage.stream().list_shards().await.expect("shards") {
            let checkpoint = storage.checkpoints().load(&shard.id).await.expect("a read").map_or(0, sequence_u64);
            let acknowledged = self.known().checkpoints.get(&shard.id.0).copied().unwrap_or(0);
            assert!(checkpoint >= acknowledged, "the checkpoint {acknowledged} is lost: {checkpoint}");
            let through = (shard.id.0.clone(), 0)..=(shard.id.0.clone(), checkpoint);
            for name in stored.stream.range(through).map(|(_, name)| name) {
                assert!(stored.counted.contains(name) || lettered.contains(name), "{name} is passed over");
            }
        }
    }

    async fn check_letters(&self, storage: &EmbeddedStorage, stored: &Stored) {
        let mut copies = BTreeSet::new();
        for key in storage.archive().list("dead-letters/", None, usize::MAX).await.expect("keys") {
            let bytes = storage.archive().get(&key).await.expect("an answer").expect("an object");
            for line in bytes.strip_suffix(b"\n").expect("a whole object").split(|byte| *byte == b'\n') {
                copies.insert(serde_json::from_slice::<DeadLetter>(line).expect("a whole letter").id);
            }
        }
        let known = self.known();
        assert!(known.sent.iter().all(|id| stored.letters.contains_key(id)), "a letter is lost");
        assert!(known.deleted.iter().all(|id| !stored.letters.contains_key(id)), "a deleted letter is back");
        assert!(stored.letters.keys().chain(&known.deleted).all(|id| copies.contains(id)), "a letter without its copy");
    }

    async fn check_objects(&self, storage: &EmbeddedStorage) {
        let objects = self.known().objects.clone();
        for (key, bytes) in &objects {
            assert_eq!(storage.archive().get(key).await.expect("an answer").as_ref(), Some(bytes), "{key}");
        }
        let mut curated = BTreeSet::new();
        for key in storage.archive().list("curated/", None, usize::MAX).await.expect("keys") {
            let text = String::from_utf8(storage.archive().get(&key).await.expect("an answer").expect("an object"));
            let text = text.expect("text");
            curated.extend(text.strip_suffix("end\n").expect("a whole file").lines().map(str::to_owned));
        }
        let waiting = storage.statistics().uncurated(None, 100).await.expect("a list").states;
        let waiting: BTreeSet<_> = waiting.iter().map(|state| state.device_id.as_str()).collect();
        for (device, item) in storage.statistics().list(None, 100).await.expect("a list").devices {
            let row = format!("{device} {}", item.revision);
            assert!(waiting.contains(device.as_str()) || curated.contains(&row), "{row} is in no curated file");
        }
    }

    async fn check_accounting(&self, storage: &EmbeddedStorage, stored: &Stored) {
        let account = storage.accounting().await.expect("an account");
        assert_eq!(account.accepted, stored.names().len() as u64);
        assert_eq!(account.counted, stored.counted.len() as u64);
        assert_eq!(account.dead_letters.values().sum::<u64>(), self.lettered(stored).len() as u64);
    }
}

/// Every record by its place; in each shard sequence numbers rise.
async fn stream(storage: &EmbeddedStorage) -> BTreeMap<(String, u64), String> {
    let mut stored = BTreeMap::new();
    for shard in storage.stream().list_shards().await.expect("shards") {
        let (mut position, mut last) = (Position::TrimHorizon, 0);
        loop {
            let page = storage.stream().get_records(&shard.id, position, 1000).await.expect("a page");
            if page.records.is_empty() {
                break;
            }
            for record in page.records {
                let sequence = sequence_u64(record.sequence_number);
                assert!(sequence > last, "sequence numbers rise");
                last = sequence;
                stored.insert((shard.id.0.clone(), sequence), name_of(&record.data));
            }
            position = page.next.expect("an open shard");
        }
    }
    stored
}
