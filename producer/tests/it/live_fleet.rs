//! The simulated fleet in real time: it posts through the front door, keeps its pace and its order, and never gives up.

use crate::server::{Act, Post, Server};
use producer::{Endpoint, FleetRun, Progress, run_fleet};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Runs a fleet until `enough`, and returns the paths that were posted to.
fn run_until(
    devices: usize,
    readings_per_second: f64,
    decide: impl FnMut(&Post) -> Act + Send + 'static,
    enough: impl Fn(&Progress) -> bool,
) -> (Server, Progress) {
    let server = Server::start(decide);
    let endpoint = Endpoint::new(&server.url, "a-secret-of-a-test").unwrap();
    let progress = Progress::default();
    let run = FleetRun { devices, readings_per_second, seed: 1 };
    std::thread::scope(|scope| {
        let fleet = scope.spawn(|| run_fleet(&endpoint, run, &progress));
        let deadline = Instant::now() + Duration::from_secs(30);
        while !enough(&progress) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        progress.stop();
        fleet.join().unwrap();
    });
    (server, progress)
}

fn paths(decide: impl Fn() -> Act + Send + 'static) -> (Arc<Mutex<HashSet<String>>>, impl FnMut(&Post) -> Act + Send) {
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let paths = seen.clone();
    let decide = move |post: &Post| {
        assert!(post.readings().is_ok(), "{:?}", post.readings());
        paths.lock().unwrap().insert(post.path.clone());
        decide()
    };
    (seen, decide)
}

/// Each device's timestamps in the order they were stored, in nanoseconds.
fn timestamps(server: &Server) -> HashMap<String, Vec<i128>> {
    let mut devices: HashMap<String, Vec<i128>> = HashMap::new();
    for reading in server.stored.lock().unwrap().iter() {
        devices.entry(reading.device_id.to_string()).or_default().push(reading.timestamp.as_nanosecond());
    }
    devices
}

#[test]
fn each_rate_has_its_form_and_every_devices_timestamps_rise_and_are_never_ahead_of_the_clock() {
    for (devices, rate, path) in [(25, 300.0, "/data"), (10, 5_000.0, "/data/series"), (2_000, 5_000.0, "/data/batch")]
    {
        let (seen, decide) = paths(|| Act::Store);
        let (server, progress) = run_until(devices, rate, decide, |progress| progress.accepted() >= 300);
        assert_eq!(*seen.lock().unwrap(), HashSet::from([path.to_owned()]));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i128;
        let timestamps = timestamps(&server);
        assert_eq!(timestamps.values().map(|all| all.len() as u64).sum::<u64>(), progress.accepted());
        for (device, all) in &timestamps {
            assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{device}: {all:?}");
            assert!(all.iter().all(|timestamp| *timestamp <= now && timestamp % 1_000_000 == 0), "{device}");
        }
        assert_eq!((progress.refused(), progress.retried()), (0, 0));
    }
}

#[test]
fn no_reading_is_lost_while_the_endpoint_fails_in_every_way() {
    let mut at = 0;
    let decide = move |post: &Post| {
        at += 1;
        let count = post.readings().unwrap().len();
        match at % 6 {
            0 => Act::Drop,
            1 => Act::Answer(429, "retry-after: 0", "slow down".into()),
            2 => Act::Answer(503, "", "not now".into()),
            3 => Act::Partly((0..count).step_by(2).collect()),
            _ => Act::Store,
        }
    };
    let (server, progress) = run_until(500, 2_000.0, decide, |progress| progress.retried() >= 12);
    let stored = server.stored.lock().unwrap();
    let distinct: HashSet<_> = stored.iter().map(|reading| (&reading.device_id, reading.timestamp)).collect();
    assert_eq!((distinct.len(), stored.len()), (stored.len(), progress.accepted() as usize));
}

#[test]
fn a_refusal_is_counted_and_the_fleet_goes_on() {
    let mut at = 0;
    let decide = move |_: &Post| {
        at += 1;
        if at == 1 { Act::Answer(403, "", "Forbidden".into()) } else { Act::Store }
    };
    let (_, progress) = run_until(5, 50.0, decide, |progress| progress.accepted() >= 5);
    assert_eq!(progress.refused(), 1);
    assert!(progress.accepted() >= 5);
}

#[test]
fn a_fleet_that_cannot_reach_its_endpoint_ends_when_it_is_told_to() {
    let endpoint = Endpoint::new("http://127.0.0.1:1", "a-secret-of-a-test").unwrap();
    let run = FleetRun { devices: 10, readings_per_second: 100.0, seed: 1 };
    let progress = Progress::default();
    std::thread::scope(|scope| {
        let fleet = scope.spawn(|| run_fleet(&endpoint, run, &progress));
        while progress.retried() < 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
        progress.stop();
        fleet.join().unwrap();
    });
    assert_eq!(progress.accepted(), 0);
}
