//! A pipeline in one process: what posts, processes, archives and curates, and the machine that stops.

use crate::faulty_disk::{Disk, Losses};
use crate::files::write_file_with;
use crate::{ArchiveLimits, EmbeddedStorage, Options};
use ports::contract::statistics_store::{bare_attributes, keys_starting_with, whole_ledger};
use ports::{
    Archive as _, ArchiveFolder as _, Checkpoints as _, Clock, DeadLetter, DeadLetterOrigin, DeadLetterQueue as _,
    DeviceWrite, EventStream as _, LedgerPageItem, Position, ShardId, StatisticsAttributes, StatisticsItem,
    StatisticsStore as _, StreamEntry, StreamRecord,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use redrive::DeadLetters as _;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use telemetry::{DeviceId, RejectReason, Rejection, Timestamp};

/// The disk has died.
pub(super) struct Died;

/// What was acknowledged, and what was begun: only that may be there or not.
#[derive(Default)]
pub(super) struct Known {
    /// (shard, sequence number) -> name.
    pub(super) records: BTreeMap<(String, u64), String>,
    /// Every name ever put.
    pub(super) names: BTreeSet<String>,
    pub(super) revisions: BTreeMap<String, u64>,
    /// shard -> the last checkpoint.
    pub(super) checkpoints: BTreeMap<String, u64>,
    /// id -> name of the record, of every letter ever sent.
    pub(super) letters: BTreeMap<String, String>,
    pub(super) sent: BTreeSet<String>,
    /// Letters whose deletion was begun.
    pub(super) deleting: BTreeSet<String>,
    pub(super) deleted: BTreeSet<String>,
    /// Objects that are durable, with their content.
    pub(super) objects: BTreeMap<String, Vec<u8>>,
    pub(super) api_key: Option<Vec<u8>>,
    /// Counts what needs a name.
    made: u64,
}

struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).expect("an instant")
    }
}

pub(super) struct World {
    pub(super) seed: u64,
    folder: tempfile::TempDir,
    disk: Disk,
    clock: Arc<SetClock>,
    random: Mutex<StdRng>,
    known: Mutex<Known>,
    story: Mutex<String>,
    losses: Mutex<Losses>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        World {
            seed,
            disk: Disk::new(folder.path()),
            folder,
            clock: Arc::new(SetClock(AtomicI64::new(1_770_000_000_000))),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            known: Mutex::default(),
            story: Mutex::default(),
            losses: Mutex::default(),
        }
    }

    pub(super) fn story(&self) -> String {
        self.story.lock().map_or_else(|poisoned| poisoned.into_inner().clone(), |story| story.clone())
    }

    pub(super) fn losses(&self) -> Losses {
        *self.losses.lock().expect("no panic")
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no panic")
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("new/data")
    }

    fn tell(&self, what: String) {
        let mut story = self.story.lock().expect("no panic");
        *story += &(what + "\n");
    }

    /// A number below `end`.
    fn chance(&self, end: u64) -> u64 {
        self.random.lock().expect("no panic").random_range(0..end)
    }

    fn next_number(&self) -> u64 {
        let mut known = self.known();
        known.made += 1;
        known.made
    }

    /// What an operation gave; only a dead disk makes it fail.
    fn answer<T, E: Debug>(&self, result: Result<T, E>) -> Result<T, Died> {
        result.map_err(|error| {
            assert!(self.disk.is_dead(), "failed on a disk that works: {error:?}");
            Died
        })
    }

    /// The whole schedule: several lives, and a last one in which everything comes to its end.
    pub(super) async fn play(&self) {
        for _ in 0..2 + self.chance(3) {
            let only_files = self.chance(2) == 0;
            let operation = self.chance(match only_files {
                true => 50,
                false => [60, 300][self.chance(2) as usize],
            });
            self.disk.dies_at(operation, only_files);
            let is_dead = self.live().await.is_err();
            self.disk.dies_at(0, false);
            // A process that is killed loses nothing that the system knows.
            let is_killed = self.chance(3) == 0;
            let of = if only_files { "files" } else { "everything" };
            let when = if is_dead { format!("at operation {operation} of {of}") } else { "after closing".to_owned() };
            if is_killed {
                self.tell(format!("killed {when}"));
                self.disk.works_again();
            } else {
                let lost = self.disk.lose_power(&mut self.random.lock().expect("no panic"));
                self.tell(format!("power lost {when}: {lost:?}"));
                self.losses.lock().expect("no panic").add(lost);
            }
        }
        let Ok(storage) = self.open().await else { panic!("the disk works") };
        self.finish(&storage).await;
        self.check_end(&storage).await;
        storage.close().await;
    }

    async fn open(&self) -> Result<EmbeddedStorage, Died> {
        let options = Options {
            shards: 2,
            retention: Duration::from_secs(1800),
            clock: self.clock.clone(),
            stream_cache_bytes: 1 << 16,
            statistics_cache_bytes: 1 << 16,
            ..Options::default()
        };
        self.tell("start".to_owned());
        let opened =
            EmbeddedStorage::open_with(&self.data_dir(), options, self.disk.open_file(), Arc::new(self.disk.clone()));
        let storage = self.answer(opened)?;
        // redb writes pages out while it reads others: the disk lives for as long as the checks read.
        let countdown = self.disk.pause();
        self.check(&storage).await;
        self.disk.resume(countdown);
        let path = self.data_dir().join("api-key");
        if !path.exists() {
            let key = format!("{:0700}", self.next_number()).into_bytes();
            self.answer(write_file_with(&self.disk, &path, &key))?;
            self.known().api_key = Some(key);
        }
        Ok(storage)
    }

    async fn live(&self) -> Result<(), Died> {
        let storage = self.open().await?;
        for number in 0..12 {
            self.clock.0.fetch_add(self.chance(2_700_000) as i64, Ordering::SeqCst);
            // What was archived half when the process stopped is often the first thing that the next one finds.
            let step = if number == 0 && self.chance(2) == 0 { 9 } else { self.chance(16) };
            match step {
                0..=4 => self.post(&storage).await?,
                5..=8 => drop(self.process(&storage, self.chance(2) as usize).await?),
                9 | 10 => self.archive(&storage, self.chance(2) == 0).await?,
                11 => self.trim(&storage).await?,
                12 | 13 => self.curate(&storage).await?,
                14 => self.merge(&storage)?,
                _ => self.delete_letter(&storage).await?,
            }
        }
        storage.close().await;
        Ok(())
    }

    async fn post(&self, storage: &EmbeddedStorage) -> Result<(), Died> {
        let mut entries = Vec::new();
        let mut names = Vec::new();
        for _ in 0..=self.chance(3) {
            let kind = if self.chance(6) == 0 { "bad" } else { "good" };
            let name = format!("{kind}-{}", self.next_number());
            let padding = [10, 300, 3000][self.chance(3) as usize];
            let data = format!("{name} {}", "x".repeat(padding)).into_bytes();
            entries.push(StreamEntry::new(format!("device-{}", self.chance(4)), data));
            self.known().names.insert(name.clone());
            names.push(name);
        }
        self.tell(format!("post {}", names.join(" ")));
        for (name, receipt) in names.into_iter().zip(storage.stream().put_records(entries).await) {
            let receipt = self.answer(receipt)?;
            let sequence = crate::shards::sequence_u64(receipt.sequence_number);
            let before = self.known().records.insert((receipt.shard_id.0, sequence), name);
            assert_eq!(before, None, "two records in one place");
        }
        Ok(())
    }

    /// Processes a batch as the aggregator does, then saves the checkpoint; how many records there were.
    async fn process(&self, storage: &EmbeddedStorage, shard: usize) -> Result<usize, Died> {
        let shard = self.answer(storage.stream().list_shards().await)?.swap_remove(shard).id;
        let checkpoint = self.answer(storage.checkpoints().load(&shard).await)?;
        let position = checkpoint.map_or(Position::TrimHorizon, Position::AfterSequenceNumber);
        let limit = 1 + self.chance(5) as usize;
        let records = self.answer(storage.stream().get_records(&shard, position, limit).await)?.records;
        let Some(last) = records.last().map(|record| record.sequence_number) else { return Ok(0) };
        self.tell(format!("process {} records of {shard} through {last}", records.len()));
        let mut batches: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for record in records.iter().filter(|record| record.data.starts_with(b"good")) {
            batches.entry(&record.partition_key).or_default().push(name_of(&record.data));
        }
        for (device, names) in batches {
            self.count(storage, device, names).await?;
        }
        let letters: Vec<DeadLetter> =
            records.iter().filter(|record| record.data.starts_with(b"bad")).map(|r| self.letter(&shard, r)).collect();
        let ids: Vec<String> = letters.iter().map(|letter| letter.id.clone()).collect();
        self.known().letters.extend(letters.iter().map(|letter| (letter.id.clone(), letter.detail.clone())));
        for (id, sent) in ids.into_iter().zip(storage.dead_letters().send(letters).await) {
            self.answer(sent)?;
            let mut known = self.known();
            // Sent again, a letter that was deleted does not come back.
            if !known.deleting.contains(&id) {
                known.sent.insert(id);
            }
        }
        self.answer(storage.checkpoints().save(&shard, last).await)?;
        self.known().checkpoints.insert(shard.0, crate::shards::sequence_u64(last));
        Ok(records.len())
    }

    /// Counts those that the device's ledger does not have.
    async fn count(&self, storage: &EmbeddedStorage, device: &str, mut names: Vec<String>) -> Result<(), Died> {
        let (device_id, store) = (DeviceId::parse(device).expect("a name"), storage.statistics());
        let item = self.answer(store.read_device(&device_id).await)?;
        let pages = self.answer(whole_ledger(&store, &device_id, &keys_starting_with("ledger#")).await)?;
        let counted: BTreeSet<String> = pages.iter().flat_map(|page| names_in(&page.page)).collect();
        names.retain(|name| !counted.contains(name));
        if names.is_empty() {
            return Ok(());
        }
        let expected_revision = item.as_ref().map(|item| item.revision);
        let revision = expected_revision.unwrap_or(0) + 1;
        let attributes = StatisticsAttributes {
            updated_at: self.clock.now(),
            ..bare_attributes(item.map_or(0, |item| item.attributes.count) + names.len() as u64)
        };
        let page = names.join("\n").into_bytes();
        let write = DeviceWrite {
            device_id,
            expected_revision,
            item: StatisticsItem { revision, attributes, state: vec![2; 600] },
            pages: vec![LedgerPageItem { key: format!("ledger#{revision:09}"), page, expires_at: None }],
        };
        self.answer(store.write(write).await)?;
        self.known().revisions.insert(device.to_owned(), revision);
        Ok(())
    }

    fn letter(&self, shard: &ShardId, record: &StreamRecord) -> DeadLetter {
        let origin = DeadLetterOrigin {
            stream: "streamgauge",
            shard_id: &shard.0,
            sequence_number: &record.sequence_number.to_string(),
            sub_sequence_number: None,
            index: None,
            partition_key: &record.partition_key,
            arrived_at: record.arrived_at,
        };
        let rejection = Rejection::new(RejectReason::MalformedJson, name_of(&record.data));
        DeadLetter::new(&rejection, &record.data, origin, self.clock.now())
    }

    async fn trim(&self, storage: &EmbeddedStorage) -> Result<(), Died> {
        self.tell("trim".to_owned());
        self.answer(storage.trim().await).map(drop)
    }

    async fn archive(&self, storage: &EmbeddedStorage, flush: bool) -> Result<(), Died> {
        let limits = ArchiveLimits { max_bytes: 4000, max_age: Duration::from_secs(600) };
        self.tell(format!("archive{}", if flush { " all" } else { "" }));
        self.answer(storage.archive_raw(limits, flush).await)?;
        for key in self.answer(storage.archive().list("raw/", None, usize::MAX).await)? {
            let bytes = self.answer(storage.archive().get(&key).await)?.expect("an object");
            self.known().objects.insert(key, bytes);
        }
        Ok(())
    }

    /// As the curated delivery does it, with a line a row.
    async fn curate(&self, storage: &EmbeddedStorage) -> Result<(), Died> {
        let states = self.answer(storage.statistics().uncurated(None, 100).await)?.states;
        if states.is_empty() {
            return Ok(());
        }
        let revisions: Vec<_> =
            states.iter().map(|state| (state.device_id.as_str().to_owned(), state.revision)).collect();
        self.tell(format!("curate {revisions:?}"));
        let rows = revisions.iter().map(|(device, revision)| format!("{device} {revision}\n"));
        let bytes = (rows.collect::<String>() + "end\n").into_bytes();
        let day = self.clock.now().utc_date();
        let key = format!("curated/device_statistics/dt={day}/{:09}.parquet", self.next_number());
        self.answer(storage.archive().put_blocking(&key, &bytes))?;
        self.known().objects.insert(key, bytes);
        self.answer(storage.statistics().note_curated(revisions).await)
    }

    /// Merges the two oldest curated files.
    fn merge(&self, storage: &EmbeddedStorage) -> Result<(), Died> {
        let archive = storage.archive();
        let sources = self.answer(archive.keys("curated/"))?;
        let [first, second, ..] = &sources[..] else { return Ok(()) };
        self.tell(format!("merge {first} {second}"));
        let mut rows = String::new();
        for key in [first, second] {
            let bytes = self.answer(std::fs::read(archive.root().join(key)))?;
            rows += String::from_utf8(bytes).expect("text").strip_suffix("end\n").expect("a whole file");
        }
        let bytes = (rows + "end\n").into_bytes();
        let key = first.replace(".parquet", "-merged.parquet");
        self.answer(archive.put_blocking(&key, &bytes))?;
        self.known().objects.insert(key, bytes);
        for source in [first, second] {
            self.known().objects.remove(source);
            self.answer(archive.delete(source))?;
        }
        Ok(())
    }

    async fn delete_letter(&self, storage: &EmbeddedStorage) -> Result<(), Died> {
        let Some(id) = self.known().sent.first().cloned() else { return Ok(()) };
        {
            let mut known = self.known();
            known.sent.remove(&id);
            known.deleting.insert(id.clone());
        }
        self.tell(format!("delete letter {id}"));
        self.answer(storage.dead_letters().delete(vec![id.clone()]).await)?;
        self.known().deleted.insert(id);
        Ok(())
    }

    /// Processes, archives and curates all there is.
    async fn finish(&self, storage: &EmbeddedStorage) {
        for shard in 0..2 {
            while self.process(storage, shard).await.is_ok_and(|records| records > 0) {}
        }
        let archived = self.archive(storage, true).await;
        let curated = self.curate(storage).await;
        assert!(archived.is_ok() && curated.is_ok(), "the disk works");
    }
}

/// The first word of a record.
pub(super) fn name_of(data: &[u8]) -> String {
    String::from_utf8_lossy(data).split(' ').next().unwrap_or_default().to_owned()
}

/// The names on a ledger page.
pub(super) fn names_in(page: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(page).lines().map(str::to_owned).collect()
}
