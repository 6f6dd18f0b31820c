//! Days, keys and pages of the ledger.

use crate::distributions::Random;
use statistics::{Identity, LedgerPage, UtcDay};

const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400 * SECOND;

fn at(timestamp_ns: i128) -> (Identity, u16) {
    (Identity { timestamp_ns, event_id_hash: None }, 7)
}

#[test]
fn days_are_those_of_the_calendar() {
    for (seconds, day) in [
        (0, "1970-01-01"),
        (-1, "1969-12-31"),
        (951_782_399, "2000-02-28"),
        (951_782_400, "2000-02-29"),
        (951_868_800, "2000-03-01"),
        (1_795_305_600, "2026-11-22"),
        (-62_167_219_200, "0000-01-01"),
        (-62_162_035_200, "0000-03-01"),
        (253_402_300_799, "9999-12-31"),
    ] {
        assert_eq!(UtcDay::of(seconds * SECOND).to_string(), day);
    }
    assert_eq!(UtcDay::of(-1), UtcDay::of(-SECOND));
    assert!(UtcDay::of(0) > UtcDay::of(-1));
}

#[test]
fn every_day_of_ten_thousand_years_follows_the_one_before() {
    let lengths = |leap: bool| [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut instant = -62_167_219_200 * SECOND;
    for year in 0..10_000 {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        for (month, length) in lengths(leap).into_iter().enumerate() {
            for day in 1..=length {
                let expected = format!("{year:04}-{:02}-{day:02}", month + 1);
                assert_eq!(UtcDay::of(instant).to_string(), expected);
                instant += DAY;
            }
        }
    }
}

#[test]
fn sort_keys_name_day_instant_and_revision_and_sort_by_them() {
    let page = |timestamp_ns| LedgerPage::new(UtcDay::of(timestamp_ns), vec![at(timestamp_ns)]).unwrap();
    let instant = 1_795_305_600 * SECOND + (13 * 3_600 + 5 * 60 + 9) * SECOND + 42;
    assert_eq!(page(instant).sort_key(31), "ledger#2026-11-22#130509000000042#00000000000000000031");
    assert_eq!(LedgerPage::key_prefix(page(instant).day()), "ledger#2026-11-22#");
    assert!(page(instant).sort_key(9) < page(instant).sort_key(10));
    assert!(page(instant).sort_key(u64::MAX) < page(instant + 1).sort_key(0));
    assert!(page(-1).sort_key(5).starts_with("ledger#1969-12-31#235959999999999#"));
}

#[test]
fn a_page_holds_distinct_identities_of_its_day_and_at_least_one() {
    let day = UtcDay::of(DAY);
    assert!(LedgerPage::new(day, vec![]).is_err());
    assert!(LedgerPage::new(day, vec![at(DAY), at(2 * DAY)]).is_err());
    assert!(LedgerPage::new(day, vec![at(DAY - 1)]).is_err());
    assert!(LedgerPage::new(day, vec![at(DAY), at(DAY)]).is_err());
    let page = LedgerPage::new(day, vec![at(2 * DAY - 1), at(DAY)]).unwrap();
    assert_eq!((page.len(), page.first_timestamp_ns(), page.last_timestamp_ns()), (2, DAY, 2 * DAY - 1));
    assert_eq!((page.find(&at(DAY).0), page.find(&at(DAY + 1).0)), (Some(7), None));
}

#[test]
fn pages_read_back_to_the_nanosecond_whatever_the_timestamps() {
    let mut random = Random(61);
    for case in 0..20_000u64 {
        let unit = [1, 1_000, 1_000_000, SECOND, 60 * SECOND][random.below(5) as usize];
        let day = UtcDay::of((random.below(3_652_059) as i128 - 719_528) * DAY);
        let slots = (DAY / unit).min(1 << 40) as u64;
        let mut entries: Vec<(Identity, u16)> = (0..1 + random.below(60))
            .map(|index| {
                let slot = if case % 2 == 0 { random.below(slots) } else { index * 10 % slots };
                let event_id_hash = (case % 3 == 0 || case % 3 == 1 && random.below(2) == 0).then(|| random.bits());
                let timestamp_ns = day.start_ns() + i128::from(slot) * unit;
                (Identity { timestamp_ns, event_id_hash }, random.bits() as u16)
            })
            .collect();
        entries.sort_unstable();
        entries.dedup_by_key(|(identity, _)| *identity);
        let page = LedgerPage::new(day, entries.clone()).unwrap();
        let stored = LedgerPage::decode(&page.encode()).unwrap();
        assert_eq!((stored.entries(), stored.day()), (&entries[..], day));
    }
}

#[test]
fn regular_timestamps_cost_little_more_than_their_value_checks() {
    let bytes_each = |entries: Vec<(Identity, u16)>| {
        let count = entries.len() as f64;
        LedgerPage::new(UtcDay::of(0), entries).unwrap().encode().len() as f64 / count
    };
    let mut random = Random(67);
    assert!(bytes_each((0..1_000).map(|index| at(index * 10 * SECOND)).collect()) < 2.1);
    let jitter = |random: &mut Random, index: i128, within: u64| {
        at(index * 10 * SECOND + i128::from(random.below(within)) * 1_000_000)
    };
    assert!(bytes_each((0..1_000).map(|index| jitter(&mut random, index, 20)).collect()) < 3.1);
    assert!(bytes_each((0..1_000).filter(|index| index % 7 != 3).map(|index| at(index * 60 * SECOND)).collect()) < 2.3);
}
