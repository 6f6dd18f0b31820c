//! One thread's puts into a stream: each record until it is stored or refused.

use crate::client::now;
use crate::dispatch::Dispatch;
use crate::packing::{Packing, Parcel};
use crate::patience::{Halt, Patience};
use crate::progress::Progress;
use crate::record::{PutFailure, PutRecords, Record};
use crate::row::{Refusal, Row};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use telemetry::{FUTURE_TOLERANCE_DEFAULT_SECONDS, Reading, Rejection, Timestamp};

/// Puts the rows of many devices at once, and gives each device back as soon as its own record is settled.
pub(crate) struct RecordDelivery<'a, P> {
    pub(crate) stream: &'a P,
    pub(crate) packing: &'a Packing,
    pub(crate) dispatch: &'a Dispatch,
    pub(crate) progress: &'a Progress,
    /// How long one record is put again.
    pub(crate) patience: Duration,
}

impl<P: PutRecords> RecordDelivery<'_, P> {
    /// Puts these rows, a list for each device, until each is accepted or refused.
    pub(crate) fn deliver(&self, devices: Vec<Vec<Row>>) -> Result<(), Halt> {
        if self.progress.stopped() {
            return Err(Halt::Stopped);
        }
        let good = devices.into_iter().filter_map(|rows| self.check(rows)).collect();
        let mut pending = self.packing.pack(good);
        let readings: usize = pending.iter().flat_map(|parcel| &parcel.devices).map(Vec::len).sum();
        self.progress.sent.fetch_add(readings as u64, Relaxed);
        let mut patience = Patience::new(self.progress, self.patience);
        while !pending.is_empty() {
            let before = pending.len();
            let (left, reason) = self.put(pending)?;
            pending = left;
            if pending.len() < before {
                patience.renew();
            }
            let Some(first) = pending.first().and_then(|parcel| parcel.devices.first()?.first()) else { break };
            patience.wait(&first.origin, None, &reason)?;
            self.progress.retried.fetch_add(pending.len() as u64, Relaxed);
        }
        Ok(())
    }

    /// Judges rows as the front door judges a post, because behind it nobody can tell the sender: refuses what is no
    /// reading, and what lies in the future. `None` where nothing is left of a device.
    fn check(&self, mut rows: Vec<Row>) -> Option<(Vec<Row>, Vec<Vec<u8>>)> {
        let device = rows.first()?.reading.device_id.clone();
        let mut documents = self.packing.documents(&rows);
        let mut decoded = self.packing.decode(&documents, rows.len()).into_iter();
        let put_at = now();
        let given = rows.len();
        rows.retain(|row| match refusal(row, decoded.next().flatten(), put_at) {
            None => true,
            Some(message) => {
                self.progress.refuse(Refusal::of_row(&row.origin, message));
                false
            }
        });
        if rows.is_empty() {
            self.dispatch.done(&device);
            return None;
        }
        if rows.len() < given {
            documents = self.packing.documents(&rows);
        }
        Some((rows, documents))
    }

    /// Puts records once; what may be put again, and why it has to.
    fn put(&self, parcels: Vec<Parcel>) -> Result<(Vec<Parcel>, String), Halt> {
        let records: Vec<&Record> = parcels.iter().map(|parcel| &parcel.record).collect();
        self.progress.posts.fetch_add(records.len() as u64, Relaxed);
        let mut outcomes = self.stream.put_records(&records).into_iter();
        let (mut left, mut reason, mut halt) = (Vec::new(), String::new(), None);
        for parcel in parcels {
            // A record without an outcome may or may not be stored.
            let unknown = || Err(PutFailure::Passing("the stream's answer does not tell of every record".to_owned()));
            match outcomes.next().unwrap_or_else(unknown) {
                Ok(()) => self.accept(parcel),
                Err(PutFailure::Refused(message)) => self.refuse(parcel, &message),
                Err(failure @ PutFailure::Throttled) => {
                    self.progress.reached.store(true, Relaxed);
                    reason = failure.to_string();
                    left.push(parcel);
                }
                Err(PutFailure::Passing(message)) => {
                    reason = message;
                    left.push(parcel);
                }
                Err(PutFailure::NothingTaken(message)) => halt = Some(message),
            }
        }
        match halt {
            None => Ok((left, reason)),
            Some(message) if self.progress.reached.load(Relaxed) => Err(Halt::StreamRefuses(message)),
            Some(message) => Err(Halt::Unreachable(message)),
        }
    }

    fn accept(&self, parcel: Parcel) {
        self.progress.reached.store(true, Relaxed);
        for rows in parcel.devices {
            self.progress.accepted.fetch_add(rows.len() as u64, Relaxed);
            self.settle(&rows);
        }
    }

    fn refuse(&self, parcel: Parcel, message: &str) {
        self.progress.reached.store(true, Relaxed);
        for rows in parcel.devices {
            let Some(first) = rows.first() else { continue };
            self.progress.refuse(Refusal { readings: rows.len() as u64, ..Refusal::of_row(&first.origin, message) });
            self.settle(&rows);
        }
    }

    fn settle(&self, rows: &[Row]) {
        if let Some(row) = rows.first() {
            self.dispatch.done(&row.reading.device_id);
        }
    }
}

/// Why the reading that a row became is not put, in the front door's words.
fn refusal(row: &Row, decoded: Option<Result<Reading, Rejection>>, put_at: Timestamp) -> Option<String> {
    let tolerance = Duration::from_secs(FUTURE_TOLERANCE_DEFAULT_SECONDS.unsigned_abs());
    match decoded {
        Some(Ok(reading)) if reading == row.reading => {
            let ahead = reading.timestamp.check_arrival(put_at, tolerance).err()?;
            Some(format!("`timestamp`: {ahead}"))
        }
        Some(Err(rejection)) => Some(rejection.detail),
        _ => Some("does not read as the reading that it was taken for".to_owned()),
    }
}
