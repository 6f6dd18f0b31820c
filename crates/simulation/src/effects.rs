//! What a call to a port does, and what comes back.

use crate::coverage::{Branch, Fault};
use crate::oracle::{Guarantee, Judge, Verdict, broken};
use crate::pollers::Poller;
use crate::run::{Letter, Simulation};
use crate::virtual_ports::{Operation, Reply, Request, injected};
use aggregator::LedgerMode;
use ports::{DeadLetter, DeadLetterError, DeviceWrite, LedgerKeys, LedgerPart, StatisticsItem, StoreError, WriteError};
use telemetry::DeviceId;

/// An item is one write unit at default settings.
const ITEM_BYTES_MAX: usize = 1_024;
/// DynamoDB's limit of an item.
const PAGE_BYTES_MAX: usize = 400 * 1_024;

impl Simulation<'_> {
    /// Lets the operation at `at` go on: take effect, or answer.
    pub fn progress(&mut self, at: usize) -> Verdict {
        let mut operation = self.exchange.lock().operations.remove(at);
        if operation.orphan {
            return self.progress_orphan(operation);
        }
        if operation.reply.is_none() {
            self.mark(1, operation.id);
            self.take_effect(&mut operation)?;
            // Most answers arrive at once; others are overtaken.
            if operation.reply.is_none() || (!self.calm && self.random.one_in(4)) {
                self.exchange.lock().operations.push(operation);
                return Ok(());
            }
        }
        self.mark(2, operation.id);
        let invocation = operation.invocation;
        operation.arrive();
        self.exchange.lock().operations.push(operation);
        self.poll(invocation)
    }

    /// Nobody waits any more: a write may still come through, anything else is forgotten.
    fn progress_orphan(&mut self, mut operation: Operation) -> Verdict {
        let undecided = operation.reply.is_none();
        let is_write = matches!(operation.request, Request::Write(_) | Request::Send(_));
        if undecided && is_write && self.strikes(Fault::ZombieWrite) {
            self.mark(3, operation.id);
            self.take_effect(&mut operation)?;
        }
        Ok(())
    }

    fn take_effect(&mut self, operation: &mut Operation) -> Verdict {
        let invocation = operation.invocation;
        match &mut operation.request {
            Request::ReadStatistics(devices) => {
                let items = devices.iter().map(|device| self.read_statistics(invocation, device)).collect();
                operation.reply = Some(Reply::Statistics(items));
            }
            Request::ReadAgain(device) => {
                if !self.invocations[invocation].refused.remove(device) {
                    self.branch(Branch::PlannedAfresh);
                }
                operation.reply = Some(Reply::Item(self.read_statistics(invocation, device)));
            }
            Request::ReadLedger(device, keys, after) => {
                let part = self.read_ledger(invocation, device, keys, after.as_deref());
                operation.reply = Some(Reply::Ledger(part));
            }
            Request::Write(write) => {
                let write = (**write).clone();
                let written = self.write(invocation, write)?;
                operation.reply = Some(Reply::Written(written));
            }
            Request::Send(letters) => {
                let mut results = Vec::with_capacity(letters.len());
                for letter in std::mem::take(letters) {
                    results.push(self.send(invocation, letter)?);
                }
                operation.reply = Some(Reply::Sent(results));
            }
        }
        Ok(())
    }

    fn read_statistics(&mut self, invocation: usize, device: &DeviceId) -> Result<Option<StatisticsItem>, StoreError> {
        self.tell(|s| format!("  invocation {invocation} reads the item of {}", s.name(device)));
        if self.strikes(Fault::StatisticsReadFails) {
            return Err(StoreError::Unavailable(injected()));
        }
        self.invocations[invocation].read.insert(device.clone());
        self.table.read(device)
    }

    fn read_ledger(
        &mut self,
        invocation: usize,
        device: &DeviceId,
        keys: &LedgerKeys,
        after: Option<&str>,
    ) -> Result<LedgerPart, StoreError> {
        let from = after.unwrap_or(&keys.first);
        self.tell(|s| {
            format!("  invocation {invocation} reads the pages {from} to {} of {}", keys.last, s.name(device))
        });
        if self.strikes(Fault::LedgerReadFails) {
            return Err(StoreError::Unavailable(injected()));
        }
        let mut pages = self.table.read_ledger(device, keys, after)?;
        let mut next_after = None;
        if pages.len() > 1 && self.strikes(Fault::LedgerReadTorn) {
            // A query answers in parts, and others write between them.
            pages.truncate(pages.len() / 2);
            next_after = pages.last().map(|page| page.key.clone());
        }
        self.invocations[invocation].found_pages |= !pages.is_empty();
        self.invocations[invocation].looked_up = true;
        Ok(LedgerPart { pages, next_after })
    }

    fn write(&mut self, invocation: usize, write: DeviceWrite) -> Result<Result<(), WriteError>, crate::Violation> {
        let unavailable = || Ok(Err(WriteError::Unavailable(injected())));
        let pages = write.pages.len();
        let admitted = self.table.admits(&write);
        self.tell(|s| {
            let fate = if admitted { "takes effect" } else { "fails its condition" };
            let revision = write.item.revision;
            format!(
                "  invocation {invocation} writes {} at {revision} with {pages} pages: {fate}",
                s.name(&write.device_id)
            )
        });
        self.within_bounds(invocation, &write)?;
        let is_cached = !self.invocations[invocation].read.remove(&write.device_id);
        if is_cached {
            self.branch(Branch::PlannedFromCache);
        }
        if self.strikes(Fault::WriteFails) || (pages > 0 && self.strikes(Fault::TransactionConflict)) {
            return unavailable();
        }
        if !admitted {
            self.branch(if is_cached { Branch::StaleCache } else { Branch::Overtaken });
            self.invocations[invocation].overtaken += usize::from(!is_cached);
            self.invocations[invocation].refused.insert(write.device_id);
            return Ok(Err(WriteError::ConditionFailed));
        }
        self.branch(if pages > 0 { Branch::Transaction } else { Branch::PlainWrite });
        if pages > 1 {
            self.branch(Branch::ManyPages);
        }
        let settings = self.deployments[self.invocations[invocation].deployment].0.clone();
        if pages > 0 && pages == settings.pages_max {
            self.branch(Branch::FullTransaction);
        }
        let Some(device) = self.oracle.device(write.device_id.as_str()) else {
            return Err(broken(Guarantee::Kept, "a device that nobody is").unwrap_err());
        };
        self.wrote(invocation, device);
        if self.invocations[invocation].looked_up {
            self.branch(Branch::LateCounted);
        }
        let item = write.item.clone();
        let device_id = write.device_id.clone();
        self.table.write(write).ok();
        self.oracle.written(device, &item, &settings, self.now_ns, &mut self.coverage)?;
        if self.strikes(Fault::WriteReplyLost) {
            return unavailable();
        }
        if self.strikes(Fault::WriteRetriedByClient) {
            self.invocations[invocation].refused.insert(device_id);
            return Ok(Err(WriteError::ConditionFailed));
        }
        Ok(Ok(()))
    }

    fn wrote(&mut self, invocation: usize, device: usize) {
        let wrote = &mut self.invocations[invocation].wrote;
        if wrote.contains(&device) {
            self.coverage.branch(Branch::Prefixes);
        } else {
            wrote.push(device);
        }
    }

    /// The limits of the service, and of one write unit.
    fn within_bounds(&self, invocation: usize, write: &DeviceWrite) -> Verdict {
        let settings = &self.deployments[self.invocations[invocation].deployment].0;
        if write.pages.len() > settings.pages_max {
            let detail = format!("{} pages in a transaction of at most {}", write.pages.len(), settings.pages_max);
            return broken(Guarantee::WriteBounds, detail);
        }
        if let Some(page) = write.pages.iter().find(|page| page.page.len() > PAGE_BYTES_MAX) {
            return broken(Guarantee::WriteBounds, format!("a page of {} bytes", page.page.len()));
        }
        let room_to_spill = settings.pages_max == 99;
        if room_to_spill || settings.ledger == LedgerMode::Window {
            let bytes = crate::size::item_size(write.device_id.as_str(), &write.item);
            if bytes > ITEM_BYTES_MAX {
                return broken(Guarantee::WriteBounds, format!("an item of {bytes} bytes"));
            }
        }
        Ok(())
    }

    fn send(&mut self, invocation: usize, letter: DeadLetter) -> Result<Result<(), DeadLetterError>, crate::Violation> {
        if self.strikes(Fault::DeadLetterFails) {
            return Ok(Err(DeadLetterError::Unavailable(injected())));
        }
        self.tell(|_| {
            format!("  invocation {invocation} sends a dead letter: {} of {}", letter.reason, letter.sequence_number)
        });
        self.store_letter(invocation, letter)?;
        if self.strikes(Fault::DeadLetterReplyLost) {
            return Ok(Err(DeadLetterError::Unavailable(injected())));
        }
        Ok(Ok(()))
    }

    fn store_letter(&mut self, invocation: usize, letter: DeadLetter) -> Verdict {
        let made_by = &self.invocations[invocation];
        let incarnation = made_by.incarnation;
        let settings = self.deployments[made_by.deployment].0.clone();
        let unknown = || broken(Guarantee::LetterTrue, format!("{letter:?} is of no record"));
        let shards = &mut self.streams[incarnation as usize].shards;
        let Some(shard) = shards.iter().position(|shard| shard.id().0 == letter.shard_id) else { return unknown() };
        let sequence = letter.sequence_number.parse().ok();
        let Some(record) = sequence.and_then(|sequence| shards[shard].find(sequence)) else { return unknown() };
        let stored = &mut shards[shard].records[record];
        let clock_ns = self.now_ns - i128::from(self.schedule.clock_behind_seconds) * 1_000_000_000;
        if let Some(by_reason) = &letter.readings_by_reason {
            let place = (incarnation, shard, record, None);
            let judge = Judge { settings: &settings, now_ns: clock_ns, coverage: &mut self.coverage };
            self.oracle.whole_record_letter(&letter, by_reason, place, stored, judge)?;
            self.letters.push(Letter { letter, place, in_queue: true });
            return Ok(());
        }
        let is_it = |one: &crate::content::Occurrence| {
            one.sub_sequence_number == letter.sub_sequence_number && one.index == letter.index
        };
        let Some(occurrence) = stored.occurrences.iter().position(is_it) else { return unknown() };
        stored.occurrences[occurrence].has_letter = true;
        let place = (incarnation, shard, record, Some(occurrence));
        let judge = Judge { settings: &settings, now_ns: clock_ns, coverage: &mut self.coverage };
        self.oracle.letter(&letter, (place, occurrence), stored, judge)?;
        self.letters.push(Letter { letter, place, in_queue: true });
        Ok(())
    }

    /// A device for people: `device 0`.
    pub fn name(&self, device: &DeviceId) -> String {
        self.oracle.device(device.as_str()).map_or_else(|| "?".to_owned(), |device| format!("device {device}"))
    }

    /// The pollers, for those who are about to change one.
    pub fn living(&self) -> Vec<usize> {
        (0..self.pollers.len()).filter(|at| Poller::is_alive(&self.pollers[*at])).collect()
    }
}
