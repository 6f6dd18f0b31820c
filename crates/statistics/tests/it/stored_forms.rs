//! The stored forms, held by golden files: a build that reads or writes them otherwise fails here.
//!
//! `STATISTICS_WRITE_GOLDEN=1 cargo test -p statistics stored_forms` writes them again, for a new version only.

use std::fmt::Write;
use std::path::PathBuf;

use statistics::{CountedReading, DeviceState, Identity, LedgerPage, QuantileSketch, UtcDay};

const SECOND: i128 = 1_000_000_000;

fn reading(timestamp_ns: i128, value: f64, event_id_hash: Option<u64>) -> CountedReading {
    let identity = Identity { timestamp_ns, event_id_hash };
    CountedReading { identity, value, value_check: (value * 16.0) as i64 as u16 }
}

fn worked_example() -> DeviceState {
    let mut state = DeviceState::new();
    let values = [35.0, 40.0, 123.0];
    let readings =
        values.iter().enumerate().map(|(i, value)| reading(1_795_305_600 * SECOND + i as i128, *value, None));
    state.count(&readings.collect::<Vec<_>>());
    state
}

/// Moves the whole window to pages: a spill keeps its newest eighth.
fn empty_window(state: &mut DeviceState) {
    while state.window_len() > 0 {
        drop(state.spill_at_most("sensor", 100_000, usize::MAX));
    }
}

/// A full sketch, both floors, an anomaly, `event_id`s and readings before 1970.
fn everything() -> DeviceState {
    let mut state = DeviceState::new();
    for index in 0..5_000i128 {
        let value = 20.0 + ((index * index % 1_009) as f64).sqrt();
        state.count(&[reading(-2_000 * SECOND + index * SECOND / 2, value, (index % 3 == 0).then_some(index as u64))]);
        if index == 1_000 {
            empty_window(&mut state);
        }
        if index == 2_000 || index == 4_999 {
            state.trim("sensor");
        }
    }
    empty_window(&mut state);
    state.count(&[reading(499 * SECOND, 1e6, None), reading(500 * SECOND + 7, -0.0, Some(9))]);
    state
}

fn pages() -> [LedgerPage; 2] {
    let page = |readings: &mut dyn Iterator<Item = CountedReading>| {
        let entries: Vec<_> = readings.map(|reading| (reading.identity, reading.value_check)).collect();
        LedgerPage::new(UtcDay::of(entries[0].0.timestamp_ns), entries).unwrap()
    };
    let named = |index: u64| reading(951_782_400 * SECOND + i128::from(index / 3) * 1_001, 1.0, Some(index));
    let regular = |index: i128| reading(1_795_305_600 * SECOND + index * 60 * SECOND, index as f64, None);
    [page(&mut (0..20).map(named)), page(&mut (0..50).map(regular))]
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(40) {
        line.iter().for_each(|byte| write!(text, "{byte:02x}").expect("a String takes every write"));
        text.push('\n');
    }
    text
}

fn bytes_of(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The golden file's text; written first where that was asked for.
fn golden(name: &str, text: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("test-data").join(name);
    if std::env::var_os("STATISTICS_WRITE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn check(name: &str, bytes: &[u8], description: &str) -> Vec<u8> {
    let stored = bytes_of(&golden(&format!("{name}.hex"), &hexadecimal(bytes)));
    assert_eq!(stored, bytes, "{name} is written otherwise than before");
    assert_eq!(golden(&format!("{name}.expected.txt"), description), description, "{name} is read otherwise");
    stored
}

#[test]
fn the_device_state_is_read_and_written_as_in_version_1() {
    for (name, state) in [("v1-worked-example", worked_example()), ("v1-everything", everything())] {
        let description = |state: &DeviceState| {
            let floors = (state.floor_ns(), state.unledgered_floor_ns());
            format!("{:#?}\nfloors: {floors:?}\nwindow: {}\n", state.summary(), state.window_len())
        };
        let stored = check(&format!("device-state/{name}"), &state.encode(), &description(&state));
        let read = DeviceState::decode(&stored).unwrap();
        assert_eq!(read, state);
        assert_eq!(description(&read), description(&state));
    }
}

#[test]
fn a_state_whose_pages_expire_is_read_and_written_as_in_version_2() {
    let mut state = worked_example();
    empty_window(&mut state);
    state.pages_expire_after(90 * 86_400);
    state.count(&[reading(1_795_305_700 * SECOND, 41.5, None)]);
    let description = format!("{:#?}\nexpired: {:?}\n", state.summary(), state.expired_floor_ns(i128::MAX / 2));
    let stored = check("device-state/v2-expiring", &state.encode(), &description);
    assert_eq!(DeviceState::decode(&stored), Ok(state));
}

#[test]
fn the_ledger_page_is_read_and_written_as_in_version_1() {
    for (index, page) in pages().iter().enumerate() {
        let description = format!("{}\n{:#?}\n", page.sort_key(7), page.entries());
        let stored = check(&format!("ledger-page/v1-{index}"), &page.encode(), &description);
        assert_eq!(LedgerPage::decode(&stored).as_ref(), Ok(page));
    }
}

#[test]
fn the_sketch_is_read_and_written_as_in_version_1() {
    let decimals: Vec<f64> = (0..300).map(|index| f64::from(index % 40) / 4.0).collect();
    let coarse: Vec<f64> = (1..4_000).map(|index| f64::from(index).ln() - 4.0).collect();
    for (name, values) in [("empty", vec![]), ("decimals", decimals), ("coarse", coarse)] {
        let mut sketch = QuantileSketch::new(448);
        values.iter().for_each(|value| sketch.push(*value));
        let quantiles: Vec<_> = (0..=10).map(|tenth| sketch.quantile(f64::from(tenth) / 10.0)).collect();
        let description = format!("{} values\n{quantiles:#?}\n", sketch.count());
        let stored = check(&format!("quantile-sketch/v1-{name}"), &sketch.encode(), &description);
        assert_eq!(QuantileSketch::decode(&stored, 448).as_ref(), Ok(&sketch));
    }
}
