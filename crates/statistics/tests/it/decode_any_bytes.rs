//! Decoding of any bytes: never a panic, and nothing accepted that breaks an invariant.

use crate::distributions::Random;
use statistics::{CorruptState, CountedReading, DeviceState, Identity, LedgerPage, QuantileSketch, UtcDay};

const INPUTS: u64 = 10_000_000;

fn random_readings(random: &mut Random, length: u64) -> Vec<CountedReading> {
    let period = [1, 1_000_000, 1_000_000_000, 60_000_000_000][random.below(4) as usize];
    let jitter = [1, 1_000, 5_000_000][random.below(3) as usize];
    let named = random.below(3);
    let start = 1_700_000_000_000_000_000 - random.below(1 << 62) as i128 * 3;
    let reading = |index: u64| {
        let hash = random.bits();
        let event_id_hash = (named == 1 || named == 2 && hash.is_multiple_of(2)).then_some(hash);
        let timestamp_ns = start + i128::from(index) * period + i128::from(random.below(jitter));
        let value = (random.normal() * 1_000.0).round() / 100.0;
        let identity = Identity { timestamp_ns, event_id_hash };
        CountedReading { identity, value, value_check: random.bits() as u16 }
    };
    (0..length).map(reading).collect()
}

/// A state as the aggregator would store it; one in four is past exactness, with a few frequent values.
fn stored_state(random: &mut Random) -> DeviceState {
    let mut state = DeviceState::new();
    let coarse = random.below(4) == 0;
    let heavy = [random.normal(), 21.5, (random.normal() * 100.0).round() / 10.0];
    for _ in 0..random.below(4) + u64::from(coarse) {
        let length = random.below(40) + 110 * u64::from(coarse);
        let mut readings = random_readings(random, length);
        for reading in readings.iter_mut().filter(|_| coarse) {
            let place = random.below(6) as usize;
            reading.value = heavy.get(place).copied().unwrap_or_else(|| random.normal() * 3.0);
        }
        state.count(&readings);
        match random.below(3) {
            0 => {
                drop(state.spill_at_most("sensor-0001", 4_000, usize::MAX));
                if random.below(2) == 0 {
                    state.pages_expire_after(random.bits() >> random.below(64));
                }
            }
            1 => state.trim("sensor-0001"),
            _ => {}
        }
    }
    state
}

/// Flips bits, cuts short or lengthens.
fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        match random.below(8) {
            0 => bytes.truncate(random.below(bytes.len() as u64 + 1) as usize),
            1 => bytes.push(random.bits() as u8),
            2 if !bytes.is_empty() => {
                let place = random.below(bytes.len() as u64) as usize;
                bytes[place] = random.bits() as u8;
            }
            _ if !bytes.is_empty() => {
                let place = random.below(bytes.len() as u64) as usize;
                bytes[place] ^= 1 << random.below(8);
            }
            _ => {}
        }
    }
}

fn check_sketch(bytes: &[u8]) -> bool {
    let Ok(sketch) = QuantileSketch::decode(bytes, 448) else {
        return false;
    };
    assert_eq!(sketch.encode(), bytes);
    let quantiles = [0.0, 0.25, 0.5, 0.75, 1.0].map(|q| sketch.quantile(q));
    assert!(quantiles.iter().all(|quantile| quantile.is_some() == (sketch.count() > 0)));
    assert!(quantiles.iter().flatten().all(|quantile| quantile.is_finite()));
    assert!(quantiles.is_sorted_by(|one, two| one <= two), "{quantiles:?}");
    assert!((0.0..=1.0).contains(&sketch.rank_error_bound()));
    true
}

/// Damage behind the version passes for no newer version, and the version of a newer build for no damage.
fn refused(error: &CorruptState, bytes: &[u8], known: u8) -> bool {
    match bytes.first() {
        Some(&found) if found > known => assert_eq!(error, &CorruptState::NewerVersion { found, known }),
        _ => assert!(!matches!(error, CorruptState::NewerVersion { .. }), "{error} of {bytes:?}"),
    }
    false
}

fn check_state(bytes: &[u8]) -> bool {
    let mut state = match DeviceState::decode(bytes) {
        Ok(state) => state,
        Err(error) => return refused(&error, bytes, 2),
    };
    assert_eq!(state.encode(), bytes);
    let summary = state.summary();
    assert!(summary.mean >= summary.minimum && summary.mean <= summary.maximum);
    assert!(summary.median >= summary.minimum && summary.median <= summary.maximum);
    assert!((0.0..=1.0).contains(&state.median_rank_error_bound()));
    assert!(summary.standard_deviation.is_none_or(|deviation| deviation >= 0.0 && deviation.is_finite()));
    assert!(summary.first_timestamp_ns <= summary.last_timestamp_ns);
    let years = -62_167_219_200_000_000_000..=253_402_300_799_999_999_999;
    assert!([summary.first_timestamp_ns, summary.last_timestamp_ns].iter().flatten().all(|ns| years.contains(ns)));
    assert!(state.floor_ns() <= summary.last_timestamp_ns && state.unledgered_floor_ns() <= state.floor_ns());
    assert!(state.window_len() as u64 <= summary.count && summary.anomaly_count <= summary.count);
    let pages = state.spill_at_most("sensor-0001", 100_000, usize::MAX);
    assert!(pages.iter().all(|page| check_page(&page.encode())));
    true
}

fn check_page(bytes: &[u8]) -> bool {
    let page = match LedgerPage::decode(bytes) {
        Ok(page) => page,
        Err(error) => {
            let day = bytes.get(1..4).map_or(0, |day| i128::from(u32::from_be_bytes([0, day[0], day[1], day[2]]) >> 2));
            let day = UtcDay::of((day - 719_528) * 86_400_000_000_000);
            let at = |timestamp_ns| Identity { timestamp_ns, event_id_hash: None };
            for wanted in [&[][..], &[at(day.start_ns())], &[at(i128::MAX)]] {
                assert!(LedgerPage::look_up(bytes, day, wanted).is_err(), "{error} of {bytes:?}");
            }
            return refused(&error, bytes, 1);
        }
    };
    assert_eq!(page.encode(), bytes);
    check_look_up(bytes, &page);
    assert!(page.len() > 0 && page.entries().is_sorted());
    assert!(page.entries().iter().all(|(identity, _)| UtcDay::of(identity.timestamp_ns) == page.day()));
    assert!(page.sort_key(1).starts_with(&LedgerPage::key_prefix(page.day())));
    true
}

/// What a look-up finds on a page is what the page holds: of its own identities and their neighbours, from any on.
fn check_look_up(bytes: &[u8], page: &LedgerPage) {
    let neighbours = |identity: Identity| {
        let shifted = |by| Identity { timestamp_ns: identity.timestamp_ns + by, ..identity };
        [shifted(-1), identity, Identity { event_id_hash: Some(5), ..identity }, shifted(1)]
    };
    let mut wanted: Vec<Identity> = page.entries().iter().flat_map(|(identity, _)| neighbours(*identity)).collect();
    wanted.sort_unstable();
    for from in [0, wanted.len() / 2, wanted.len() - 1, wanted.len()] {
        let held = wanted[from..].iter().filter_map(|identity| Some((*identity, page.find(identity)?)));
        let mut held: Vec<_> = held.collect();
        held.dedup();
        assert_eq!(LedgerPage::look_up(bytes, page.day(), &wanted[from..]), Ok(held), "{bytes:?} from {from}");
    }
    let next_day = UtcDay::of(page.day().start_ns() + 86_400_000_000_000);
    assert!(LedgerPage::look_up(bytes, next_day, &[]).is_err(), "a page of another day");
}

#[test]
fn ten_million_inputs_neither_panic_nor_pass_with_a_broken_invariant() {
    let mut random = Random(17);
    let (mut inputs, mut accepted) = (0u64, [0u64; 3]);
    let checks: [fn(&[u8]) -> bool; 3] = [check_sketch, check_state, check_page];
    while inputs < INPUTS {
        // What was stored, of each kind, then damaged copies of it and noise behind a valid version.
        let state = stored_state(&mut random);
        let mut sketch = QuantileSketch::new(48 + random.below(400) as usize);
        (0..random.below(60)).for_each(|_| sketch.push((random.normal() * 50.0).round() / 10.0));
        let pages = state.clone().spill_at_most("sensor-0001", 4_000, usize::MAX);
        let page = pages.first().map_or_else(|| vec![1], LedgerPage::encode);
        let originals = [sketch.encode(), state.encode(), page];
        for kind in 0..3 {
            accepted[kind] += u64::from(checks[kind](&originals[kind]));
            for _ in 0..40 {
                let mut bytes = originals[kind].clone();
                damage(&mut random, &mut bytes);
                accepted[kind] += u64::from(checks[kind](&bytes));
            }
            for _ in 0..460 {
                let length = random.below(48) as usize;
                let mut bytes: Vec<u8> = (0..length).map(|_| random.bits() as u8).collect();
                if let Some(version) = bytes.first_mut() {
                    *version = 1 + (random.below(4) == 0) as u8;
                }
                accepted[kind] += u64::from(checks[kind](&bytes));
            }
            inputs += 501;
        }
    }
    assert!(inputs >= 10_000_000);
    // Enough gets past the parser for the invariants to have been tested.
    assert!(accepted.iter().all(|count| *count > 10_000), "{accepted:?} of {inputs}");
    println!("{inputs} inputs, accepted: {accepted:?} (sketch, state, page)");
}

#[test]
fn another_version_and_an_overlong_sketch_say_so() {
    assert_eq!(DeviceState::decode(&[0]), Err(CorruptState::UnknownVersion(0)));
    assert_eq!(QuantileSketch::decode(&[2, 0], 448), Err(CorruptState::UnknownVersion(2)));
    assert_eq!(LedgerPage::decode(&[0]), Err(CorruptState::UnknownVersion(0)));
    assert_eq!(DeviceState::decode(&[]), Err(CorruptState::Truncated));
    let overlong = QuantileSketch::decode(&[1; 449], 448);
    assert_eq!(overlong, Err(CorruptState::TooLong { bytes: 449, cap: 448 }));
}

#[test]
fn every_version_above_the_newest_known_is_newer() {
    type Refused = fn(&[u8]) -> Option<CorruptState>;
    let kinds: [(u8, Refused, Refused); 2] = [
        (2, |bytes| DeviceState::decode(bytes).err(), |bytes| DeviceState::check_version(bytes).err()),
        (1, |bytes| LedgerPage::decode(bytes).err(), |bytes| LedgerPage::check_version(bytes).err()),
    ];
    // A newer form may have any length: the version alone, or more bytes than today's states may have.
    let lengths = [1, 2, 300, 500 * 1_024];
    for (found, length) in (0..=u8::MAX).flat_map(|found| lengths.map(|length| (found, length))) {
        let mut bytes = vec![0x5a; length];
        bytes[0] = found;
        for (known, decode, check_version) in kinds {
            let expected = match found {
                0 => Some(CorruptState::UnknownVersion(0)),
                _ if found <= known => None,
                _ => Some(CorruptState::NewerVersion { found, known }),
            };
            assert_eq!(check_version(&bytes), expected, "version {found}");
            assert!(expected.is_none() || decode(&bytes) == expected, "version {found} of {length} bytes");
        }
    }
}
