//! After a loss of power at any moment everything acknowledged is there, nothing counts twice, and work goes on.
//!
//! A schedule is a pipeline of one process on a disk that loses what was not made durable ([`crate::faulty_disk`]). It
//! is stopped several times, by a kill or by a loss of power, at an operation of the disk that its seed chooses.
//!
//! `STREAMGAUGE_CRASHES=10000 cargo test -p embedded crash_schedules -- --nocapture` runs more schedules,
//! `STREAMGAUGE_CRASH_SEED=7` a single one and prints its story.

mod checks;
mod world;

use crate::faulty_disk::{Disk, Losses};
use crate::files::Files as _;
use crate::{EmbeddedStorage, Options};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use world::World;

/// Schedules of a test run.
const SCHEDULES: u64 = 1000;
const THREADS: usize = 2;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// Says which schedule failed, and what happened in it.
struct Story<'a>(&'a World);

impl Drop for Story<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0.story());
            eprintln!("schedule failed; run it alone with STREAMGAUGE_CRASH_SEED={}", self.0.seed);
        }
    }
}

/// Plays the schedule of a seed; its story, and what the disk lost.
fn play(seed: u64) -> (String, Losses) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let world = World::new(seed);
    let story = Story(&world);
    runtime.block_on(world.play());
    drop(story);
    (world.story(), world.losses())
}

#[test]
fn nothing_acknowledged_is_lost_whenever_the_power_fails() {
    if let Some(seed) = number("STREAMGAUGE_CRASH_SEED") {
        return eprintln!("{}", play(seed).0);
    }
    let schedules = number("STREAMGAUGE_CRASHES").unwrap_or(SCHEDULES);
    let started = Instant::now();
    let (next, lost) = (AtomicU64::new(1), Mutex::new(Losses::default()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > schedules {
                        return;
                    }
                    let losses = play(seed).1;
                    lost.lock().expect("no panic").add(losses);
                }
            });
        }
    });
    let lost = lost.into_inner().expect("no panic");
    eprintln!("{schedules} schedules in {:.0?}: {lost:?}", started.elapsed());
    // A disk that loses nothing shows nothing.
    assert!(
        schedules < 100 || lost.names.min(lost.files).min(lost.changes).min(lost.torn) > schedules / 20,
        "{lost:?}"
    );
}

#[test]
fn folders_of_a_start_that_was_killed_are_made_durable() {
    for seed in 1..=20 {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::new(folder.path());
        for made in ["new", "new/data"] {
            disk.create_folder(&folder.path().join(made)).expect("made");
        }
        let path = folder.path().join("new/data");
        let open = || EmbeddedStorage::open_with(&path, Options::default(), disk.open_file(), Arc::new(disk.clone()));
        drop(open().expect("opened"));
        disk.lose_power(&mut StdRng::seed_from_u64(seed));
        assert!(path.join("stream.redb").exists() && path.join("statistics.redb").exists(), "seed {seed}");
    }
}

#[test]
fn a_seed_plays_the_same_schedule_again() {
    for seed in 1..=5 {
        assert_eq!(play(seed).0, play(seed).0);
    }
}
