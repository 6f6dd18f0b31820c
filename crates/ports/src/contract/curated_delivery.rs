//! What every [`CuratedDelivery`] does. The port only delivers, so the facts also take a way to see what has arrived:
//! every row ever delivered, in any order, any of them more than once.

use crate::{ConfidenceInterval, CuratedDelivery, CuratedRow, StatisticsAttributes};
use std::collections::BTreeMap;
use telemetry::{DeviceId, Timestamp};

fn instant(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("an instant")
}

/// A row with every column, and numbers that need all their digits; timestamps are whole milliseconds, as columns are.
fn row(device: usize, revision: u64) -> CuratedRow {
    let statistics = StatisticsAttributes {
        count: 9_007_199_254_740_993,
        mean: Some(0.1 + 0.2 + device as f64),
        median: Some(-1e100),
        standard_deviation: Some(1.0 / 3.0),
        minimum: Some(-1e100),
        maximum: Some(5e-100),
        mean_confidence_95: Some(ConfidenceInterval { low: -123_456_789.123_456_79, high: 1e22 }),
        anomaly_count: 3,
        first_timestamp: Some(instant("0001-01-01T00:00:00.001Z")),
        last_timestamp: Some(instant("9999-12-30T21:59:59.999Z")),
        updated_at: instant("2026-01-31T12:00:00.05Z"),
    };
    let device_id = DeviceId::parse(format!("device-{device}")).expect("a valid name");
    CuratedRow { device_id, revision, statistics }
}

/// As one reading leaves it: no deviation, no interval.
fn bare_row() -> CuratedRow {
    let row = row(7_000_000, 1);
    let statistics = StatisticsAttributes {
        standard_deviation: None,
        mean_confidence_95: None,
        mean: Some(-0.5),
        count: 1,
        ..row.statistics
    };
    CuratedRow { statistics, ..row }
}

async fn deliver<D: CuratedDelivery>(delivery: &D, rows: Vec<CuratedRow>) {
    let count = rows.len();
    let results = delivery.deliver(rows).await;
    assert_eq!(results.len(), count);
    for result in results {
        result.expect("delivered");
    }
}

async fn assert_holds(expected: Vec<CuratedRow>, received: impl Future<Output = Vec<CuratedRow>>) {
    let by_key = |rows: Vec<CuratedRow>| -> BTreeMap<_, _> {
        rows.into_iter().map(|row| ((row.device_id.as_str().to_owned(), row.revision), row)).collect()
    };
    assert_eq!(by_key(received.await), by_key(expected));
}

/// Nothing delivered, nothing there.
pub async fn an_empty_delivery_delivers_nothing<D: CuratedDelivery>(
    delivery: &D,
    received: impl AsyncFn(&D) -> Vec<CuratedRow>,
) {
    deliver(delivery, Vec::new()).await;
    assert_eq!(received(delivery).await, []);
}

/// Rows come back whole: integers and doubles to the bit, timestamps to the millisecond, absent values as absent.
pub async fn rows_come_back_whole<D: CuratedDelivery>(delivery: &D, received: impl AsyncFn(&D) -> Vec<CuratedRow>) {
    let rows = vec![row(0, 1), bare_row(), row(0, 2), row(1, i64::MAX as u64)];
    deliver(delivery, rows.clone()).await;
    assert_holds(rows, received(delivery)).await;
}

/// More rows than one call of the back end takes are delivered all the same, one result each.
pub async fn many_rows_go_in_one_delivery<D: CuratedDelivery>(
    delivery: &D,
    received: impl AsyncFn(&D) -> Vec<CuratedRow>,
) {
    let rows: Vec<_> = (0..12_000).map(|device| row(device, 1)).collect();
    deliver(delivery, rows.clone()).await;
    assert_holds(rows, received(delivery)).await;
}

/// A row that is delivered again, with others or without, is still one row, and takes no other's place.
pub async fn a_row_delivered_again_is_one_row<D: CuratedDelivery>(
    delivery: &D,
    received: impl AsyncFn(&D) -> Vec<CuratedRow>,
) {
    let rows: Vec<_> = (0..5).map(|device| row(device, 1)).collect();
    deliver(delivery, rows.clone()).await;
    deliver(delivery, rows[2..].to_vec()).await;
    deliver(delivery, rows.clone()).await;
    deliver(delivery, vec![row(0, 2)]).await;
    assert_holds([rows, vec![row(0, 2)]].concat(), received(delivery)).await;
}

/// Deliveries at the same time lose nothing.
pub async fn deliveries_at_the_same_time_all_arrive<D: CuratedDelivery>(
    delivery: &D,
    received: impl AsyncFn(&D) -> Vec<CuratedRow>,
) {
    let deliveries = (0..8).map(|sender| deliver(delivery, (0..10).map(|n| row(sender * 10 + n, 1)).collect()));
    super::join_all(deliveries).await;
    assert_holds((0..80).map(|device| row(device, 1)).collect(), received(delivery)).await;
}

/// Makes one test of each fact; `$make` gives `(delivery, guard)`, `$received` takes `&delivery` and gives every row
/// that has arrived.
#[macro_export]
macro_rules! curated_delivery_contract {
    ($make:path, $received:path) => {
        $crate::curated_delivery_contract!(
            $make,
            $received,
            [
                an_empty_delivery_delivers_nothing,
                rows_come_back_whole,
                many_rows_go_in_one_delivery,
                a_row_delivered_again_is_one_row,
                deliveries_at_the_same_time_all_arrive,
            ]
        );
    };
    ($make:path, $received:path, [$($fact:ident),* $(,)?]) => {$(
        #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $fact() {
            let (delivery, _guard) = $make().await;
            $crate::contract::curated_delivery::$fact(&delivery, async |delivery: &_| $received(delivery).await).await;
        }
    )*};
}
