//! What the handler delivers and answers, whatever its delivery takes.

use curator::{BatchReport, BatchResult, Change, Content, Curator, Unreadable};
use ports::{CuratedDelivery, CuratedRow, DeliveryError, StatisticsAttributes};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Mutex;
use telemetry::{DeviceId, Timestamp};

/// Takes a row unless told otherwise, and remembers what it took.
#[derive(Default)]
struct Scripted {
    /// For each call, the rows that it does not take.
    refusals: Mutex<Vec<BTreeSet<usize>>>,
    /// For each call, how many of its answers are given.
    answers_max: Option<usize>,
    taken: Mutex<Vec<(String, u64)>>,
}

impl CuratedDelivery for &Scripted {
    async fn deliver(&self, rows: Vec<CuratedRow>) -> Vec<Result<(), DeliveryError>> {
        let refused = self.refusals.lock().unwrap().pop().unwrap_or_default();
        let mut results = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            if refused.contains(&at) {
                results.push(Err(DeliveryError::Unavailable("throttled".into())));
            } else {
                self.taken.lock().unwrap().push((row.device_id.as_str().to_owned(), row.revision));
                results.push(Ok(()));
            }
        }
        results.truncate(self.answers_max.unwrap_or(usize::MAX));
        results
    }
}

fn row(revision: u64) -> Content {
    let instant = Timestamp::UNIX_EPOCH;
    Content::Row(Box::new(CuratedRow {
        device_id: DeviceId::parse("device-1").unwrap(),
        revision,
        statistics: StatisticsAttributes {
            count: revision,
            mean: Some(1.0),
            median: Some(1.0),
            standard_deviation: None,
            minimum: Some(1.0),
            maximum: Some(1.0),
            mean_confidence_95: None,
            anomaly_count: 0,
            first_timestamp: Some(instant),
            last_timestamp: Some(instant),
            updated_at: instant,
        },
    }))
}

fn unreadable() -> Content {
    Content::Unreadable(Unreadable { device_id: None, why: "`mean` is wrong".to_owned() })
}

fn batch(contents: Vec<Content>) -> Vec<Change> {
    let change = |(number, content)| Change { sequence_number: format!("{number}"), created_at: None, content };
    (100..).zip(contents).map(change).collect()
}

fn handle(delivery: &Scripted, changes: &[Change]) -> BatchResult {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(Curator::new(delivery).handle(changes.to_vec()))
}

#[test]
fn a_batch_of_rows_ledger_pages_and_deletions_is_delivered_and_answered() {
    let delivery = Scripted::default();
    let changes = batch(vec![row(1), Content::Nothing, row(2), Content::Nothing]);
    let BatchResult { failed, report } = handle(&delivery, &changes);
    assert_eq!(failed, None);
    assert_eq!(report, BatchReport { rows: 2, ignored: 2, ..BatchReport::default() });
    assert_eq!(delivery.taken.into_inner().unwrap(), [("device-1".to_owned(), 1), ("device-1".to_owned(), 2)]);
}

#[test]
fn the_first_row_that_was_not_taken_is_the_one_failure() {
    let delivery = Scripted { refusals: Mutex::new(vec![[1, 2].into()]), ..Scripted::default() };
    let changes = batch(vec![row(1), Content::Nothing, row(2), row(3), row(4)]);
    let BatchResult { failed, report } = handle(&delivery, &changes);
    assert_eq!(failed.as_deref(), Some("102"));
    assert_eq!((report.rows, report.failed_rows), (2, 2));
}

#[test]
fn a_row_without_an_answer_was_not_taken() {
    let delivery = Scripted { answers_max: Some(1), ..Scripted::default() };
    let BatchResult { failed, report } = handle(&delivery, &batch(vec![row(1), row(2), row(3)]));
    assert_eq!(failed.as_deref(), Some("101"));
    assert_eq!((report.rows, report.failed_rows), (1, 2));
}

#[test]
fn an_item_that_cannot_be_read_is_counted_and_holds_up_no_other() {
    let delivery = Scripted::default();
    let BatchResult { failed, report } = handle(&delivery, &batch(vec![unreadable(), row(1), unreadable(), row(2)]));
    assert_eq!(failed, None);
    assert_eq!(report, BatchReport { rows: 2, unreadable: 2, ..BatchReport::default() });
}

#[test]
fn a_change_without_a_sequence_number_fails_the_whole_batch() {
    // Lambda takes an empty identifier for the failure of all.
    let delivery = Scripted { refusals: Mutex::new(vec![[0].into()]), ..Scripted::default() };
    let mut changes = batch(vec![row(1), row(2)]);
    changes[0].sequence_number.clear();
    assert_eq!(handle(&delivery, &changes).failed.as_deref(), Some(""));
}

/// Rows, and what is none.
fn contents() -> impl Strategy<Value = Vec<Content>> {
    let kind = prop_oneof![6 => Just(0), 1 => Just(1), 1 => Just(2)];
    prop::collection::vec(kind, 0..40).prop_map(|kinds| {
        let content = |(revision, kind)| match kind {
            0 => row(revision),
            1 => Content::Nothing,
            _ => unreadable(),
        };
        (1..).zip(kinds).map(content).collect()
    })
}

proptest! {
    /// Lambda delivers from the reported sequence number on, again and again, until nothing is reported.
    #[test]
    fn every_row_is_delivered_at_least_once_whatever_fails(
        contents in contents(),
        refusals in prop::collection::vec(prop::collection::btree_set(0usize..40, 0..8), 0..12),
    ) {
        let delivery = Scripted { refusals: Mutex::new(refusals), ..Scripted::default() };
        let all = batch(contents);
        let mut rest = all.as_slice();
        for _ in 0..20 {
            let Some(failed) = handle(&delivery, rest).failed else {
                rest = &[];
                break;
            };
            let resume = rest.iter().position(|change| change.sequence_number == failed);
            rest = &rest[resume.expect("a change of this batch")..];
        }
        prop_assert!(rest.is_empty(), "it does not come to an end");
        let taken: BTreeSet<u64> = delivery.taken.into_inner().unwrap().into_iter().map(|(_, revision)| revision).collect();
        let expected: BTreeSet<u64> = all.iter().filter_map(|change| match &change.content {
            Content::Row(row) => Some(row.revision),
            _ => None,
        }).collect();
        prop_assert_eq!(taken, expected);
    }
}
