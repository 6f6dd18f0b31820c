//! Every defect that was found and fixed, by name.

use crate::support::{Memory, Record, Stopped, arrival, body, event};
use aggregator::{Aggregator, BatchResult, LedgerMode, Settings};
use ports::{
    DeadLetter, DeadLetterError, DeadLetterQueue, DeviceWrite, LedgerKeys, LedgerPart, StatisticsItem, StatisticsStore,
    StoreError, WriteError,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use telemetry::{DeviceId, RejectReason, Timestamp};

const HOUR_NS: i128 = 3_600_000_000_000;
const DAY_NS: i128 = 24 * HOUR_NS;

/// So little room that every few readings make a page.
fn tight() -> Settings {
    Settings { item_bytes_reserved: 740, ..Settings::default() }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn handle_at(memory: &Memory, records: &[Record], settings: Settings, now: Timestamp) -> BatchResult {
    block_on(Aggregator::new(memory.clone(), memory.clone(), Stopped(now), settings).handle(&event(records)))
}

fn handle(memory: &Memory, records: &[Record], settings: Settings) -> BatchResult {
    handle_at(memory, records, settings, arrival())
}

/// A reading so long before its arrival.
fn reading(sequence_number: u64, before_ns: i128, value: f64) -> Record {
    let timestamp = Timestamp::from_nanosecond(arrival().as_nanosecond() - before_ns).unwrap();
    (sequence_number, "d".to_owned(), body("d", &timestamp.to_string(), value, None))
}

fn count(memory: &Memory) -> u64 {
    memory.table().items.values().map(|item| item.attributes.count).sum()
}

/// A store one of whose parts does not work as it should.
struct Odd {
    memory: Memory,
    unreadable_pages: bool,
    reads: AtomicUsize,
    reads_before_a_write: AtomicUsize,
}

impl Odd {
    fn new(memory: &Memory, unreadable_pages: bool) -> Self {
        Odd {
            memory: memory.clone(),
            unreadable_pages,
            reads: AtomicUsize::default(),
            reads_before_a_write: AtomicUsize::default(),
        }
    }
}

impl StatisticsStore for &Odd {
    async fn read_statistics(&self, devices: &[DeviceId]) -> Vec<Result<Option<StatisticsItem>, StoreError>> {
        self.memory.read_statistics(devices).await
    }

    async fn read_ledger(
        &self,
        device_id: &DeviceId,
        keys: &LedgerKeys,
        after: Option<&str>,
    ) -> Result<LedgerPart, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.unreadable_pages {
            return Err(StoreError::Corrupt("no attribute `page`".to_owned()));
        }
        self.memory.read_ledger(device_id, keys, after).await
    }

    async fn write(&self, write: DeviceWrite) -> Result<(), WriteError> {
        self.reads_before_a_write.fetch_max(self.reads.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        self.memory.write(write).await
    }
}

/// A queue that stores letters and answers for none.
#[derive(Clone)]
struct Silent(Memory);

impl DeadLetterQueue for Silent {
    async fn send(&self, letters: Vec<DeadLetter>) -> Vec<Result<(), DeadLetterError>> {
        self.0.send(letters).await;
        Vec::new()
    }
}

#[test]
fn a_ledger_page_that_no_port_can_read_makes_dead_letters_and_blocks_nothing() {
    let memory = Memory::default();
    for n in 0..20 {
        handle(&memory, &[reading(n + 1, i128::from(20 - n) * HOUR_NS, n as f64)], tight());
    }
    let counted = count(&memory);
    let odd = Odd::new(&memory, true);
    let aggregator = Aggregator::new(&odd, memory.clone(), Stopped(arrival()), tight());
    let handled = block_on(aggregator.handle(&event(&[reading(30, 15 * HOUR_NS + 1, 1.0), reading(31, 0, 2.0)])));
    assert!(handled.failed.is_empty(), "it would come again for ever");
    assert_eq!(handled.report.dead_letters.get(&RejectReason::CorruptState), Some(&1));
    assert_eq!(count(&memory), counted + 1, "what needs no page is counted");
}

#[test]
fn a_page_under_another_days_key_is_corrupt_and_not_absent() {
    let memory = Memory::default();
    for n in 0..6 {
        handle(&memory, &[reading(n + 1, i128::from(6 - n) * 2 * DAY_NS, n as f64)], tight());
    }
    {
        // The first page trades places with the last.
        let mut table = memory.table();
        let keys: Vec<_> = table.pages.keys().cloned().collect();
        let (first, last) = (table.pages[&keys[0]].page.clone(), table.pages[keys.last().unwrap()].page.clone());
        assert_ne!(keys[0], *keys.last().unwrap());
        table.pages.get_mut(&keys[0]).unwrap().page = last;
        table.pages.get_mut(keys.last().unwrap()).unwrap().page = first;
    }
    let counted = count(&memory);
    let handled = handle(&memory, &[reading(9, 12 * DAY_NS, 0.0)], tight());
    assert_eq!(handled.report.dead_letters.get(&RejectReason::CorruptState), Some(&1));
    assert_eq!(count(&memory), counted);
}

#[test]
fn a_dead_letter_without_an_answer_makes_its_record_come_again() {
    let memory = Memory::default();
    let aggregator = Aggregator::new(memory.clone(), Silent(memory.clone()), Stopped(arrival()), Settings::default());
    let handled = block_on(aggregator.handle(&event(&[(7, "d".to_owned(), b"?".to_vec())])));
    assert_eq!(handled.failed[0], 7.into());
    assert!(handled.report.dead_letters.is_empty());
}

#[test]
fn a_backfill_of_years_reads_no_more_days_before_a_write_than_the_write_has_pages_for() {
    let memory = Memory::default();
    handle(&memory, &(0..200).map(|n| reading(n + 1, i128::from(n) * 1_000, n as f64)).collect::<Vec<_>>(), tight());
    let odd = Odd::new(&memory, false);
    let settings = Settings { pages_max: 10, ..tight() };
    let aggregator = Aggregator::new(&odd, memory.clone(), Stopped(arrival()), settings);
    let backfill: Vec<Record> = (0..700).map(|n| reading(1_000 + n, i128::from(n + 2) * DAY_NS, n as f64)).collect();
    let handled = block_on(aggregator.handle(&event(&backfill)));
    assert_eq!((handled.report.counted, handled.report.failed_groups), (700, 0));
    assert_eq!(count(&memory), 900);
    let most = odd.reads_before_a_write.load(Ordering::Relaxed);
    assert!((1..=10).contains(&most), "{most} days");
}

#[test]
fn a_window_of_more_days_than_one_write_has_pages_for_leaves_in_parts() {
    let memory = Memory::default();
    let settings = Settings { pages_max: 3, ..Settings::default() };
    for n in 0..400 {
        let handled = handle(&memory, &[reading(n + 1, i128::from(400 - n) * DAY_NS, n as f64)], settings.clone());
        assert_eq!((handled.report.counted, handled.report.failed_groups), (1, 0));
    }
    assert!(memory.table().pages.len() > 100);
    for n in 0..400 {
        let handled = handle(&memory, &[reading(500 + n, i128::from(400 - n) * DAY_NS, n as f64)], settings.clone());
        assert_eq!(handled.report.duplicates, 1, "day {n}");
    }
    assert_eq!(count(&memory), 400);
}

#[test]
fn more_identities_of_one_instant_than_a_page_holds_are_written_in_prefixes() {
    let memory = Memory::default();
    let settings = Settings { page_bytes_max: 2_000, ..Settings::default() };
    let named = |n: u64| {
        let name = format!("reading-{n}");
        (n + 1, "d".to_owned(), body("d", "2026-06-01T11:00:00Z", n as f64, Some(&name)))
    };
    let handled = handle(&memory, &(0..1_000).map(named).collect::<Vec<_>>(), settings);
    assert_eq!((handled.report.counted, count(&memory)), (1_000, 1_000));
    let table = memory.table();
    assert!(table.pages.len() > 5 && table.pages.values().all(|page| page.page.len() <= 2_000));
}

#[test]
fn a_reading_whose_page_expired_is_late_after_the_retention_was_lifted() {
    let memory = Memory::default();
    let month = LedgerMode::Full { retention: Some(Duration::from_secs(30 * 86_400)) };
    for n in 0..20 {
        handle(
            &memory,
            &[reading(n + 1, i128::from(20 - n) * HOUR_NS, n as f64)],
            Settings { ledger: month, ..tight() },
        );
    }
    let counted = count(&memory);
    let pages = std::mem::take(&mut memory.table().pages);
    assert!(!pages.is_empty() && pages.values().all(|page| page.expires_at.is_some()));
    let year_later = Timestamp::from_nanosecond(arrival().as_nanosecond() + 365 * DAY_NS).unwrap();
    for ledger in [LedgerMode::Full { retention: None }, month] {
        let handled = handle_at(&memory, &[reading(50, 20 * HOUR_NS, 0.0)], Settings { ledger, ..tight() }, year_later);
        assert_eq!(handled.report.dead_letters.get(&RejectReason::Late), Some(&1));
    }
    assert_eq!(count(&memory), counted);
}

#[test]
fn a_revision_at_the_end_of_its_range_is_corrupt_and_does_not_overflow() {
    let memory = Memory::default();
    handle(&memory, &[reading(1, 0, 1.0)], Settings::default());
    memory.table().items.values_mut().next().unwrap().revision = u64::MAX;
    let handled = handle(&memory, &[reading(2, 1, 2.0)], Settings::default());
    assert_eq!(handled.report.dead_letters.get(&RejectReason::CorruptState), Some(&1));
}
