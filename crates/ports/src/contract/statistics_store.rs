//! What every [`StatisticsStore`] does.

use crate::{
    ConfidenceInterval, DeviceWrite, LEDGER_PART_BYTES, LedgerKeys, LedgerPageItem, StatisticsAttributes,
    StatisticsItem, StatisticsStore, StoreError, WriteError,
};
use std::sync::atomic::{AtomicBool, Ordering};
use telemetry::{DeviceId, Timestamp};

fn device(name: &str) -> DeviceId {
    DeviceId::parse(name).expect("a valid name")
}

fn instant(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("an instant")
}

/// An item with every attribute; numbers that a decimal form must carry with all their digits.
fn item(revision: u64) -> StatisticsItem {
    let attributes = StatisticsAttributes {
        count: 9_007_199_254_740_993,
        mean: Some(0.1 + 0.2),
        median: Some(-1e100),
        standard_deviation: Some(1.0 / 3.0),
        minimum: Some(-1e100),
        maximum: Some(5e-100),
        mean_confidence_95: Some(ConfidenceInterval { low: -123_456_789.123_456_79, high: 1e22 }),
        anomaly_count: 3,
        first_timestamp: Some(instant("0000-01-01T00:00:00.000000001Z")),
        last_timestamp: Some(instant("9999-12-30T21:59:59.999999999Z")),
        updated_at: instant("2026-01-31T12:00:00.123456789Z"),
    };
    StatisticsItem { revision, attributes, state: (0..=255).collect() }
}

/// Attributes of which nothing is there that can be absent.
pub fn bare_attributes(count: u64) -> StatisticsAttributes {
    StatisticsAttributes { count, ..StatisticsAttributes::empty(Timestamp::UNIX_EPOCH) }
}

/// An item as the first reading leaves it.
fn bare_item(revision: u64) -> StatisticsItem {
    let attributes = StatisticsAttributes { updated_at: instant("2026-01-31T12:00:00Z"), ..bare_attributes(0) };
    StatisticsItem { revision, attributes, state: vec![1] }
}

fn page(day: &str, number: u64) -> LedgerPageItem {
    LedgerPageItem { key: format!("ledger#{day}#{number:020}"), page: number.to_be_bytes().to_vec(), expires_at: None }
}

fn write(name: &str, expected_revision: Option<u64>, revision: u64, pages: Vec<LedgerPageItem>) -> DeviceWrite {
    DeviceWrite { device_id: device(name), expected_revision, item: item(revision), pages }
}

const DAY: &str = "2026-01-31";

async fn read<S: StatisticsStore>(store: &S, name: &str) -> Option<StatisticsItem> {
    store.read_device(&device(name)).await.expect("a read")
}

async fn ledger<S: StatisticsStore>(store: &S, name: &str, day: &str) -> Vec<LedgerPageItem> {
    let keys = keys_starting_with(&format!("ledger#{day}#"));
    whole_ledger(store, &device(name), &keys).await.expect("a read")
}

/// The keys that begin with `prefix`, such as `ledger#<UTC day>#`. Keys are ASCII and hold no `~`.
pub fn keys_starting_with(prefix: &str) -> LedgerKeys {
    LedgerKeys { first: prefix.to_owned(), last: format!("{prefix}~") }
}

/// All of a device's ledger pages among `keys`, part by part.
///
/// # Errors
/// As [`StatisticsStore::read_ledger`].
pub async fn whole_ledger<S: StatisticsStore>(
    store: &S,
    device_id: &DeviceId,
    keys: &LedgerKeys,
) -> Result<Vec<LedgerPageItem>, StoreError> {
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let part = store.read_ledger(device_id, keys, after.as_deref()).await?;
        pages.extend(part.pages);
        after = part.next_after;
        if after.is_none() {
            return Ok(pages);
        }
    }
}

fn assert_condition_failed(result: Result<(), WriteError>) {
    assert!(matches!(result, Err(WriteError::ConditionFailed)), "{result:?}");
}

/// A device that was never written has neither item nor pages.
pub async fn an_unknown_device_has_nothing<S: StatisticsStore>(store: &S) {
    assert_eq!(read(store, "device-1").await, None);
    assert_eq!(ledger(store, "device-1", DAY).await, []);
}

/// What is written reads back equal at once: every digit, every absent attribute, every byte of the state.
pub async fn an_item_reads_back_equal<S: StatisticsStore>(store: &S) {
    store.write(write("device-1", None, 1, Vec::new())).await.expect("written");
    assert_eq!(read(store, "device-1").await, Some(item(1)));
    let bare = DeviceWrite { item: bare_item(2), ..write("device-1", Some(1), 2, Vec::new()) };
    store.write(bare).await.expect("written");
    assert_eq!(read(store, "device-1").await, Some(bare_item(2)), "no attribute of the revision before is left");
}

/// Several devices are read at once: one result for each, in the order that they were asked for in.
pub async fn devices_are_read_together_in_order<S: StatisticsStore>(store: &S) {
    assert!(store.read_statistics(&[]).await.is_empty());
    // More than one call of any back end takes, in no order of their names, every third never written.
    let names: Vec<_> = (0..250u64).map(|n| format!("device-{}", n * 7 % 250)).collect();
    let is_written = |n: u64| !n.is_multiple_of(3);
    for (n, name) in (0..).zip(&names).filter(|(n, _)| is_written(*n)) {
        store.write(write(name, None, n + 1, Vec::new())).await.expect("written");
    }
    let devices: Vec<_> = names.iter().map(|name| device(name)).collect();
    let read = store.read_statistics(&devices).await.into_iter().map(|item| item.expect("a read"));
    let expected = (0..250).map(|n| is_written(n).then(|| item(n + 1)));
    assert!(read.eq(expected));
}

/// Revisions may leave numbers out, and go as far as 64 bits.
pub async fn revisions_may_be_any_rising_numbers<S: StatisticsStore>(store: &S) {
    let mut expected = None;
    for revision in [5, 6, 1000, u64::MAX - 1] {
        store.write(write("device-1", expected, revision, Vec::new())).await.expect("written");
        assert_eq!(read(store, "device-1").await.map(|item| item.revision), Some(revision));
        expected = Some(revision);
    }
}

/// A write that expects no item fails where there is one, and leaves it as it was.
pub async fn a_first_write_fails_where_an_item_stands<S: StatisticsStore>(store: &S) {
    store.write(write("device-1", None, 1, Vec::new())).await.expect("written");
    assert_condition_failed(store.write(write("device-1", None, 2, vec![page(DAY, 2)])).await);
    assert_eq!(read(store, "device-1").await, Some(item(1)));
    assert_eq!(ledger(store, "device-1", DAY).await, []);
}

/// A write that expects another revision fails, and changes nothing.
pub async fn a_write_of_another_revision_fails<S: StatisticsStore>(store: &S) {
    store.write(write("device-1", None, 1, Vec::new())).await.expect("written");
    store.write(write("device-1", Some(1), 2, Vec::new())).await.expect("written");
    for expected in [1, 3] {
        assert_condition_failed(store.write(write("device-1", Some(expected), 9, vec![page(DAY, 9)])).await);
    }
    assert_eq!(read(store, "device-1").await, Some(item(2)));
    assert_eq!(ledger(store, "device-1", DAY).await, []);
}

/// A write that expects an item fails where there is none.
pub async fn a_later_write_fails_where_no_item_stands<S: StatisticsStore>(store: &S) {
    assert_condition_failed(store.write(write("device-1", Some(1), 2, vec![page(DAY, 2)])).await);
    assert_eq!(read(store, "device-1").await, None);
    assert_eq!(ledger(store, "device-1", DAY).await, []);
}

/// A page that stands is never replaced: the write that would fails whole.
pub async fn a_page_that_stands_fails_the_write<S: StatisticsStore>(store: &S) {
    store.write(write("device-1", None, 1, vec![page(DAY, 1)])).await.expect("written");
    let mut other = page(DAY, 1);
    other.page = b"other".to_vec();
    let pages = vec![page(DAY, 2), other, page(DAY, 3)];
    assert_condition_failed(store.write(write("device-1", Some(1), 2, pages)).await);
    assert_eq!(read(store, "device-1").await, Some(item(1)));
    assert_eq!(ledger(store, "device-1", DAY).await, [page(DAY, 1)]);
    store.write(write("device-1", Some(1), 2, vec![page(DAY, 2)])).await.expect("written");
}

/// Pages come back in key order, those of the prefix alone, of the device alone.
pub async fn pages_are_found_by_device_and_day<S: StatisticsStore>(store: &S) {
    let days = ["2026-01-30", "2026-01-31", "2026-02-01"];
    // Names of which each begins with the one before.
    for name in ["a", "a:b", "a:b.c"] {
        let pages = days.iter().flat_map(|day| [page(day, 30), page(day, 4), page(day, 1)]).collect();
        store.write(write(name, None, 1, pages)).await.expect("written");
    }
    let later = LedgerPageItem { expires_at: Some(253_402_300_799), ..page(days[1], 100) };
    store.write(write("a:b", Some(1), 2, vec![later.clone()])).await.expect("written");
    for day in days {
        for name in ["a", "a:b", "a:b.c"] {
            let mut expected = vec![page(day, 1), page(day, 4), page(day, 30)];
            if name == "a:b" && day == days[1] {
                expected.push(later.clone());
            }
            assert_eq!(ledger(store, name, day).await, expected, "{name} on {day}");
        }
    }
    assert_eq!(ledger(store, "a:b", "2026-01-3").await, [], "a part of a day is no day");
    assert_eq!(read(store, "a:b").await, Some(item(2)), "a page is never taken for the item");
}

/// A day of more pages than one answer of the back end holds comes back complete.
pub async fn a_long_day_comes_back_complete<S: StatisticsStore>(store: &S) {
    let large = |number: u64| LedgerPageItem { page: number.to_be_bytes().repeat(5_000), ..page(DAY, number) };
    let mut expected_revision = None;
    for revision in 1..=6u64 {
        let pages = (0..20).map(|n| large(revision * 100 + n)).collect();
        store.write(write("device-1", expected_revision, revision, pages)).await.expect("written");
        expected_revision = Some(revision);
    }
    let expected: Vec<_> = (1..=6).flat_map(|revision| (0..20).map(move |n| revision * 100 + n)).map(large).collect();
    assert_eq!(ledger(store, "device-1", DAY).await, expected);
    let (first, last) = (&expected[10].key, &expected[109].key);
    let keys = LedgerKeys { first: first.clone(), last: last.clone() };
    assert_eq!(whole_ledger(store, &device("device-1"), &keys).await.expect("a read"), expected[10..=109]);
    let part = store.read_ledger(&device("device-1"), &keys, Some(first)).await.expect("a read");
    let bytes: usize = part.pages.iter().map(|page| page.page.len()).sum();
    assert!((1..=LEDGER_PART_BYTES).contains(&bytes), "a part of {bytes} bytes");
    assert_eq!(part.next_after.as_ref(), part.pages.last().map(|page| &page.key), "there is more");
    assert_eq!(part.pages, expected[11..11 + part.pages.len()]);
}

/// 99 pages and the item are one transaction.
pub async fn ninety_nine_pages_go_with_one_item<S: StatisticsStore>(store: &S) {
    let pages: Vec<_> = (0..99).map(|n| page(DAY, n)).collect();
    store.write(write("device-1", None, 1, pages.clone())).await.expect("written");
    assert_eq!(ledger(store, "device-1", DAY).await, pages);
}

/// Of writes at the same time that expect the same revision exactly one wins, and only its pages are there.
pub async fn of_writes_at_the_same_revision_one_wins<S: StatisticsStore>(store: &S) {
    let mut expected = None;
    for round in 0..10u64 {
        // Revisions differ between the writers, so that the winner is known by what stands.
        let revision = |writer: u64| (round + 1) * 100 + writer;
        let writes = (0..16).map(|writer| {
            let pages = vec![page(DAY, revision(writer))];
            store.write(write("device-1", expected, revision(writer), pages))
        });
        let results = super::join_all(writes).await;
        let winners: Vec<u64> = (0..16).zip(&results).filter(|(_, result)| result.is_ok()).map(|(n, _)| n).collect();
        let [winner] = winners[..] else { panic!("of sixteen writes {winners:?} won: {results:?}") };
        for (_, result) in (0..).zip(results).filter(|(writer, _)| *writer != winner) {
            // A back end may also say that two transactions met; it must not have written then.
            assert!(matches!(result, Err(WriteError::ConditionFailed | WriteError::Unavailable(_))), "{result:?}");
        }
        expected = Some(revision(winner));
        assert_eq!(read(store, "device-1").await.map(|item| item.revision), expected);
    }
    assert_eq!(ledger(store, "device-1", DAY).await.len(), 10, "one page a winner");
}

/// Writes of several devices at the same time do not hinder one another.
pub async fn devices_are_written_independently<S: StatisticsStore>(store: &S) {
    let names: Vec<_> = (0..50).map(|n| format!("device-{n}")).collect();
    for revision in 1..=3 {
        let expected = (revision > 1).then(|| revision - 1);
        let writes = names.iter().map(|name| store.write(write(name, expected, revision, vec![page(DAY, revision)])));
        for result in super::join_all(writes).await {
            result.expect("written");
        }
    }
    for name in &names {
        assert_eq!(read(store, name).await, Some(item(3)));
        assert_eq!(ledger(store, name, DAY).await, [page(DAY, 1), page(DAY, 2), page(DAY, 3)]);
    }
}

/// Whoever reads an item sees the pages that were written with it, and those before: item and pages appear together.
pub async fn an_item_is_never_seen_before_its_pages<S: StatisticsStore>(store: &S) {
    const LAST: u64 = 60;
    let done = AtomicBool::new(false);
    let writer = async {
        for revision in 1..=LAST {
            let expected = (revision > 1).then(|| revision - 1);
            let pages = vec![page(DAY, revision * 2), page(DAY, revision * 2 + 1)];
            store.write(write("device-1", expected, revision, pages)).await.expect("written");
        }
        done.store(true, Ordering::Release);
    };
    let reader = async {
        loop {
            let finished = done.load(Ordering::Acquire);
            let revision = read(store, "device-1").await.map_or(0, |item| item.revision);
            let pages = ledger(store, "device-1", DAY).await;
            assert!(pages.len() as u64 >= revision * 2, "revision {revision} with {} pages", pages.len());
            assert!(pages.len().is_multiple_of(2), "half of a write's pages");
            if finished {
                return (revision, pages.len());
            }
            tokio::task::yield_now().await;
        }
    };
    let (_, seen) = tokio::join!(writer, reader);
    assert_eq!(seen, (LAST, 2 * LAST as usize));
}

/// Makes one test of each fact; `$make` gives `(store, guard)`.
#[macro_export]
macro_rules! statistics_store_contract {
    ($make:path) => {
        $crate::contract_tests!(
            statistics_store,
            $make,
            [
                an_unknown_device_has_nothing,
                an_item_reads_back_equal,
                devices_are_read_together_in_order,
                revisions_may_be_any_rising_numbers,
                a_first_write_fails_where_an_item_stands,
                a_write_of_another_revision_fails,
                a_later_write_fails_where_no_item_stands,
                a_page_that_stands_fails_the_write,
                pages_are_found_by_device_and_day,
                a_long_day_comes_back_complete,
                ninety_nine_pages_go_with_one_item,
                of_writes_at_the_same_revision_one_wins,
                devices_are_written_independently,
                an_item_is_never_seen_before_its_pages,
            ]
        );
    };
}
