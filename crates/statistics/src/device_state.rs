//! Everything that is kept of one device: its statistics, and which of its readings they hold.

use crate::bits::BitWriter;
use crate::confidence::{ANOMALY_Z, mean_confidence_95, z_score};
use crate::expiring::Expiring;
use crate::frequent_values::{FREQUENT_VALUES, FrequentValues};
use crate::identity::NANOSECONDS_PER_SECOND;
use crate::item_size::{ITEM_BYTES, item_size, item_size_at_most};
use crate::summary::{Anomaly, Summary};
use crate::window::Window;
use crate::{CountedReading, Identity, LEAST_BYTE_CAP, LedgerPage, Moments, QuantileSketch};

/// Bytes that the sketch may take of the item.
pub(crate) const SKETCH_BYTES: usize = 448;
/// The sketch gives way until this many more identities of the kind at hand would fit.
const LEAST_WINDOW: usize = 8;
/// What else may grow while [`LEAST_WINDOW`] identities come: the sketch by a bucket of three bytes for each, and the
/// readable numbers and the newest anomaly by some.
const GROWTH_BYTES: usize = 3 * LEAST_WINDOW + 24;
/// What a frequent value takes at the most where the sketch is not very coarse: bucket, key and counter.
const FREQUENT_BYTES: usize = 9;
/// The sketch gives way for this many identities, as long as it keeps [`COMFORTABLE_SKETCH_BYTES`].
const COMFORTABLE_WINDOW: usize = 24;
const COMFORTABLE_SKETCH_BYTES: usize = 384;

/// One device's statistics and the ledger's part of its item: what one conditional write changes together.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceState {
    pub(crate) moments: Moments,
    pub(crate) sketch: QuantileSketch,
    /// The values that come most often; `None` while the sketch is exact and knows the count of every value.
    pub(crate) frequent: Option<FrequentValues>,
    /// Earliest and latest instant of a counted reading; `None` while nothing is counted.
    pub(crate) range_ns: Option<(i128, i128)>,
    pub(crate) anomaly_count: u64,
    pub(crate) last_anomaly: Option<Anomaly>,
    pub(crate) floor_ns: Option<i128>,
    pub(crate) unledgered_floor_ns: Option<i128>,
    pub(crate) expiring: Option<Expiring>,
    pub(crate) window: Window,
}

impl Default for DeviceState {
    fn default() -> Self {
        Self::new()
    }
}

impl DeviceState {
    /// The state of a device without readings, with the default limits: 1,024 bytes of item, 448 of them sketch.
    pub fn new() -> Self {
        Self {
            moments: Moments::default(),
            sketch: QuantileSketch::new(SKETCH_BYTES),
            frequent: None,
            range_ns: None,
            anomaly_count: 0,
            last_anomaly: None,
            floor_ns: None,
            unledgered_floor_ns: None,
            expiring: None,
            window: Window::default(),
        }
    }

    /// The check of the value that this identity was counted with, where the window still holds it.
    pub fn find(&self, identity: &Identity) -> Option<u16> {
        self.window.find(identity)
    }

    /// The latest instant of an identity that ever left the window: at or below it, the ledger's pages decide.
    pub fn floor_ns(&self) -> Option<i128> {
        self.floor_ns
    }

    /// The latest instant of an identity that left the window without a page: at or below it, a reading is `late`.
    pub fn unledgered_floor_ns(&self) -> Option<i128> {
        self.unledgered_floor_ns
    }

    /// How many identities the window holds.
    pub fn window_len(&self) -> usize {
        self.window.len()
    }

    /// Bytes that the sketch takes of the encoding.
    pub fn sketch_bytes(&self) -> usize {
        self.sketch.encode().len()
    }

    /// Counts readings, in this order: each is judged against the state before it, folded in, and its identity recorded
    /// in the window, which may outgrow its size until [`Self::spill_at_most`] or [`Self::trim`].
    ///
    /// The caller has looked the identities up. One that is in the window all the same is counted already, and ignored;
    /// so is a value that is not finite, or a timestamp outside the years 0000 to 9999.
    pub fn count(&mut self, readings: &[CountedReading]) {
        for reading in readings {
            let identity = reading.identity;
            if !reading.value.is_finite() || !identity.is_in_range() || self.window.find(&identity).is_some() {
                continue;
            }
            self.judge(reading);
            self.moments.push(reading.value);
            self.sketch.push(reading.value);
            match &mut self.frequent {
                Some(frequent) => frequent.push(reading.value),
                None => self.frequent = self.sketch.take_heaviest(),
            }
            let timestamp_ns = identity.timestamp_ns;
            let (first, last) = self.range_ns.unwrap_or((timestamp_ns, timestamp_ns));
            self.range_ns = Some((first.min(timestamp_ns), last.max(timestamp_ns)));
            self.window.insert(identity, reading.value_check);
        }
        // Once here, rather than at each of the questions that follow.
        self.sketch.settle();
        self.window.settle();
        self.note_heaviest();
    }

    /// Starts the table of frequent values where the sketch has just ceased to be exact.
    fn note_heaviest(&mut self) {
        if self.frequent.is_none() {
            self.frequent = self.sketch.take_heaviest();
        }
    }

    fn judge(&mut self, reading: &CountedReading) {
        // Nearly every reading ends here, without a root or a division: z² = d² (n − 1) / M2.
        let deviation = reading.value - self.moments.mean.hi;
        let count = self.moments.count();
        if deviation * deviation * count.saturating_sub(1) as f64 <= 0.999 * ANOMALY_Z * ANOMALY_Z * self.moments.m2.hi
        {
            return;
        }
        let Some(z) = z_score(&self.moments, reading.value).filter(|z| z.abs() > ANOMALY_Z) else {
            return;
        };
        self.anomaly_count += 1;
        let z = f64::from((z as f32).clamp(f32::MIN, f32::MAX));
        let value = crate::key::positive_zero(reading.value);
        self.last_anomaly = Some(Anomaly { timestamp_ns: reading.identity.timestamp_ns, value, z });
    }

    /// The statistics as they stand.
    pub fn summary(&self) -> Summary {
        Summary {
            count: self.moments.count(),
            mean: self.moments.mean(),
            median: self.median(),
            standard_deviation: self.moments.standard_deviation(),
            minimum: self.moments.minimum(),
            maximum: self.moments.maximum(),
            mean_confidence_95: mean_confidence_95(&self.moments),
            anomaly_count: self.anomaly_count,
            first_timestamp_ns: self.range_ns.map(|(first, _)| first),
            last_timestamp_ns: self.range_ns.map(|(_, last)| last),
            last_anomaly: self.last_anomaly,
        }
    }

    /// Bytes of the device's whole item by DynamoDB's rule: readable attributes, keys and [`Self::encode`]d state. An
    /// upper bound, which takes `revision` for 20 digits and `updated_at` for nanoseconds, and other numbers for
    /// written in the fewest digits that read back as the same double.
    pub fn item_size(&self, device_id: &str) -> usize {
        item_size(device_id, &self.summary(), self.encode().len())
    }

    /// Bytes of memory behind its pointers.
    pub fn heap_bytes(&self) -> usize {
        self.sketch.heap_bytes() + self.window.heap_bytes()
    }

    /// Whether the item is over 1,024 bytes, one write unit, so that the window must be emptied; `state_bytes` are those
    /// of [`Self::encode`].
    pub fn is_over(&self, device_id: &str, state_bytes: usize) -> bool {
        // Most states are so far from the limit that their readable attributes need not be computed to know it.
        item_size_at_most(device_id, state_bytes) > ITEM_BYTES
            && item_size(device_id, &self.summary(), state_bytes) > ITEM_BYTES
    }

    /// Moves the window to ledger pages, all but its newest eighth, among which a reading that comes a little late is
    /// found without a page: one page per UTC day, more only where one would pass `max_page_bytes` encoded. Identities
    /// of one instant stay together, on one page whatever its size. The floor rises to the latest instant moved. Where
    /// the emptied item would leave no room for eight identities like the newest of these, the sketch coarsens until it
    /// does; the newest stay only where as much room is left beside them.
    ///
    /// At most `max_pages` pages (at least one), the oldest: a device that reports once a day may hold more days than one
    /// transaction has room for. The other identities stay in the window; the item may then still be over.
    pub fn spill_at_most(&mut self, device_id: &str, max_page_bytes: usize, max_pages: usize) -> Vec<LedgerPage> {
        let entries = self.window.take();
        let newest = self.make_room_for_more(device_id, &entries);
        let mut pages = LedgerPage::split(&entries[..entries.len() - newest], max_page_bytes);
        pages.truncate(max_pages.max(1));
        if let Some(last) = pages.last() {
            self.floor_ns = self.floor_ns.max(Some(last.last_timestamp_ns()));
        }
        let moved = pages.iter().map(LedgerPage::len).sum::<usize>();
        self.window = Window::from_sorted(entries[moved..].to_vec());
        pages
    }

    /// Makes room in the item, whose window was emptied of `entries`, for more like them; answers how many of the newest
    /// of them fit beside that room, of those that are an eighth of them and share no instant with the others.
    fn make_room_for_more(&mut self, device_id: &str, entries: &[(Identity, u16)]) -> usize {
        let newest = |count: usize| &entries[entries.len().saturating_sub(count)..];
        let room_for = |identities: usize| {
            let newest = newest(identities);
            self.bytes_with(&BitWriter::default(), newest) * identities.div_ceil(newest.len().max(1))
        };
        let (least, comfortable) = (room_for(LEAST_WINDOW), room_for(COMFORTABLE_WINDOW));
        let least = least + GROWTH_BYTES + self.frequent_growth_bytes();
        let emptied = self.item_size(device_id);
        let emptied = self.make_room(device_id, emptied, least, 0);
        let emptied = self.make_room(device_id, emptied, comfortable, COMFORTABLE_SKETCH_BYTES);
        let statistics = self.write_statistics();
        let others = emptied - self.bytes_with(&statistics, &[]);
        let mut kept = entries.len() / 8;
        while kept > 0 {
            let moved_ns = entries[entries.len() - kept - 1].0.timestamp_ns;
            let whole = entries.len() - entries.partition_point(|(identity, _)| identity.timestamp_ns <= moved_ns);
            if others + self.bytes_with(&statistics, newest(whole)) + least <= ITEM_BYTES {
                return whole;
            }
            kept /= 2;
        }
        0
    }

    /// Bytes of what was written with these entries after it, as a window.
    fn bytes_with(&self, written: &BitWriter, entries: &[(Identity, u16)]) -> usize {
        let mut writer = written.clone();
        self.write_window(&mut writer, entries);
        writer.finish().len()
    }

    /// What the table of frequent values may grow by while [`LEAST_WINDOW`] readings come.
    fn frequent_growth_bytes(&self) -> usize {
        let held = self.frequent.as_ref().map_or(0, |frequent| frequent.entries().len());
        FREQUENT_BYTES * LEAST_WINDOW.min(FREQUENT_VALUES - held)
    }

    /// Coarsens the sketch until the item, of `size` bytes now, has `room` bytes left, but not below `sketch_bytes`;
    /// answers the size that this leaves.
    fn make_room(&mut self, device_id: &str, mut size: usize, room: usize, sketch_bytes: usize) -> usize {
        // More than once where the table of frequent values starts or grows by it.
        while size + room > ITEM_BYTES {
            let now = self.sketch_bytes();
            if now <= sketch_bytes.max(LEAST_BYTE_CAP) {
                break;
            }
            self.sketch.give_way_to(now.saturating_sub(size + room - ITEM_BYTES).max(sketch_bytes));
            self.note_heaviest();
            size = self.item_size(device_id);
        }
        size
    }

    /// Drops as few of the oldest identities as it takes for the item to fit, whole instants at a time; both floors
    /// rise to the latest instant dropped. Where eight identities would not fit, the sketch coarsens first.
    pub fn trim(&mut self, device_id: &str) {
        if !self.is_over(device_id, self.encode().len()) {
            return;
        }
        let entries = self.window.take();
        let group_end = |cut: usize| match cut.checked_sub(1).map(|last| entries[last].0.timestamp_ns) {
            Some(dropped_ns) => entries.partition_point(|(identity, _)| identity.timestamp_ns <= dropped_ns),
            None => 0,
        };
        let eight = self.trimmed_to(&entries, entries.len().saturating_sub(LEAST_WINDOW));
        let emptied = self.item_size(device_id);
        self.make_room(device_id, emptied, eight.item_size(device_id).saturating_sub(emptied), 0);
        // Each identity takes two bytes at the very least, so no more than this can fit.
        let (mut over, mut fits) = (entries.len().saturating_sub(ITEM_BYTES / 2), entries.len());
        while over < fits {
            let cut = (over + fits) / 2;
            let trimmed = self.trimmed_to(&entries, group_end(cut));
            if trimmed.is_over(device_id, trimmed.encode().len()) {
                over = cut + 1;
            } else {
                fits = cut;
            }
        }
        *self = self.trimmed_to(&entries, group_end(fits));
    }

    /// Itself without the first `cut` of these entries as its window, and with the floors that this makes.
    fn trimmed_to(&self, entries: &[(Identity, u16)], cut: usize) -> Self {
        let mut trimmed = self.clone();
        trimmed.window = Window::from_sorted(entries[cut..].to_vec());
        if let Some(dropped) = cut.checked_sub(1) {
            let dropped_ns = Some(entries[dropped].0.timestamp_ns);
            trimmed.floor_ns = trimmed.floor_ns.max(dropped_ns);
            trimmed.unledgered_floor_ns = trimmed.unledgered_floor_ns.max(dropped_ns);
        }
        trimmed
    }

    /// Remembers that the pages just spilled expire, the first of them when it is `retention_s` seconds old. Whatever
    /// the retention is later: what it was decides how long these pages can be relied on.
    pub fn pages_expire_after(&mut self, retention_s: u64) {
        if let Some(floor_ns) = self.floor_ns {
            let shortest = self.expiring.map_or(retention_s, |before| before.retention_s.min(retention_s));
            self.expiring = Some(Expiring { floor_ns, retention_s: shortest });
        }
    }

    /// The latest instant whose page may have expired by `now_ns`; `None` where no page expires. At or below it an
    /// identity that is on no page may have been counted all the same.
    pub fn expired_floor_ns(&self, now_ns: i128) -> Option<i128> {
        let Expiring { floor_ns, retention_s } = self.expiring?;
        let retained_from_ns = now_ns - i128::from(retention_s) * NANOSECONDS_PER_SECOND;
        Some(floor_ns.min(retained_from_ns - 1))
    }
}
