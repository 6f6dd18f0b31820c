//! The ledger's cost in steady state, in DynamoDB write units per device and batch.

use simulation::cost::{Kind, steady_state};

const REGULAR: Kind = Kind { name_bytes: 26, jitter: false, event_ids: false };

const KINDS: [(&str, Kind); 5] = [
    ("26-byte id, regular timestamps", REGULAR),
    ("128-byte id", Kind { name_bytes: 128, ..REGULAR }),
    ("nanosecond jitter", Kind { jitter: true, ..REGULAR }),
    ("event_ids", Kind { event_ids: true, ..REGULAR }),
    ("128-byte id, jitter, event_ids", Kind { name_bytes: 128, jitter: true, event_ids: true }),
];

#[test]
fn the_ledger_costs_little_more_than_the_item_itself() {
    let batches = [(1, 8_000), (10, 2_000), (500, 150)];
    println!("{:<32}{:>10}{:>14}{:>22}{:>16}", "", "readings", "write units", "batches/transaction", "page bytes");
    println!("{:<32}{:>10}{:>14}{:>22}{:>16}", "", "a batch", "a batch", "", "a reading");
    for (name, kind) in KINDS {
        for (readings, batches) in batches {
            let cost = steady_state(kind, readings, batches);
            println!(
                "{name:<32}{readings:>10}{:>14.3}{:>22.1}{:>16.2}",
                cost.write_units, cost.batches_a_transaction, cost.page_bytes_a_reading
            );
        }
    }
    for ((readings, batches), goal) in batches.into_iter().zip([1.15, 2.5, 8.0]) {
        let cost = steady_state(REGULAR, readings, batches);
        assert!(cost.write_units <= goal, "{} write units at {readings} a batch, over {goal}", cost.write_units);
    }
}
