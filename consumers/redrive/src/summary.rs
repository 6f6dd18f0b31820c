//! How many letters stand in a queue: by reason, by device, by age.

use crate::letter::Letter;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use telemetry::Timestamp;

/// The most devices that a summary names.
const DEVICES_MAX: usize = 20;

/// Counts distinct letters as they are looked through. It keeps a few bytes a letter, and a count a device.
#[derive(Debug, Default)]
pub struct Counting {
    seen: HashSet<u64>,
    reasons: BTreeMap<&'static str, ReasonSummary>,
    devices: HashMap<String, u64>,
    without_device: u64,
    ages: Ages,
}

/// What a [`Counting`] comes to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Distinct letters.
    pub letters: u64,
    /// By reason code.
    pub reasons: BTreeMap<&'static str, ReasonSummary>,
    /// By age.
    pub ages: Ages,
    /// Devices that letters name.
    pub device_count: u64,
    /// The devices with most letters, most first; at most 20.
    pub devices: Vec<DeviceSummary>,
    /// Letters that name no valid device.
    pub without_device: u64,
}

/// The letters of one reason.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ReasonSummary {
    /// How many.
    pub letters: u64,
    /// When the first of them was given up.
    pub oldest: Option<Timestamp>,
    /// When the last of them was given up.
    pub newest: Option<Timestamp>,
}

/// The letters of one device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceSummary {
    /// The device.
    pub device_id: String,
    /// How many.
    pub letters: u64,
}

/// Letters by the time since they were given up.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Ages {
    /// Under an hour.
    pub under_1_hour: u64,
    /// From an hour to a day.
    pub under_1_day: u64,
    /// From a day to a week.
    pub under_7_days: u64,
    /// A week or more: on AWS such a letter is deleted at the age of 14 days.
    pub from_7_days: u64,
}

impl Counting {
    /// Counts a letter, unless a copy of it was counted before. `now` tells its age.
    pub fn add(&mut self, letter: &Letter, now: Timestamp) {
        // Two of a million ids share 64 bits of a hash in one of thirty million summaries.
        if !self.seen.insert(short_hash(letter.id())) {
            return;
        }
        let reason = self.reasons.entry(letter.reason().as_str()).or_default();
        reason.letters += 1;
        if let Some(at) = letter.failed_at() {
            reason.oldest = Some(reason.oldest.map_or(at, |oldest| oldest.min(at)));
            reason.newest = Some(reason.newest.map_or(at, |newest| newest.max(at)));
            let hours = (now.as_millisecond() - at.as_millisecond()) / 3_600_000;
            let ages = &mut self.ages;
            *match hours {
                ..1 => &mut ages.under_1_hour,
                1..24 => &mut ages.under_1_day,
                24..168 => &mut ages.under_7_days,
                168.. => &mut ages.from_7_days,
            } += 1;
        }
        match letter.device_id() {
            Some(device) => *self.devices.entry(device.to_owned()).or_default() += 1,
            None => self.without_device += 1,
        }
    }

    /// The summary.
    pub fn finish(self) -> Summary {
        let device_count = self.devices.len() as u64;
        let mut devices: Vec<_> =
            self.devices.into_iter().map(|(device_id, letters)| DeviceSummary { device_id, letters }).collect();
        devices.sort_by(|a, b| b.letters.cmp(&a.letters).then_with(|| a.device_id.cmp(&b.device_id)));
        devices.truncate(DEVICES_MAX);
        let letters = self.seen.len() as u64;
        let Counting { reasons, ages, without_device, .. } = self;
        Summary { letters, reasons, ages, device_count, devices, without_device }
    }
}

fn short_hash(id: &str) -> u64 {
    use sha2::{Digest, Sha256};
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&Sha256::digest(id)[..8]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_counts_once_under_its_reason_and_age() {
        let unreadable = |text: &str| Letter::parse(text);
        let now = Timestamp::parse("2026-01-08T00:00:00Z").unwrap();
        let failure = |hour: &str, shard: u8| {
            Letter::parse(&format!(
                r#"{{"timestamp":"2026-01-{hour}:00:00Z","KinesisBatchInfo":{{"shardId":"{shard}","startSequenceNumber":"1",
                   "endSequenceNumber":"2","batchSize":2,"streamArn":"a"}}}}"#
            ))
        };
        let mut counting = Counting::default();
        for letter in [
            unreadable("a"),
            unreadable("b"),
            unreadable("a"),
            failure("01T00", 1),
            failure("01T01", 2),
            failure("07T00", 3),
            failure("07T01", 4),
            failure("07T23", 5),
            failure("08T00", 6),
            failure("08T00", 6),
        ] {
            counting.add(&letter, now);
        }
        let summary = counting.finish();
        assert_eq!(summary.letters, 8);
        assert_eq!(summary.reasons["unreadable"].letters, 2);
        assert_eq!(summary.reasons["lambda_failure"].letters, 6);
        assert_eq!(summary.reasons["lambda_failure"].oldest, Timestamp::parse("2026-01-01T00:00:00Z").ok());
        let ages = Ages { under_1_hour: 1, under_1_day: 2, under_7_days: 2, from_7_days: 1 };
        assert_eq!(summary.ages, ages);
        assert_eq!((summary.without_device, summary.device_count), (8, 0));
    }
}
