//! What happens from outside: producers, operators, and the service that reshards and expires.

use crate::Violation;
use crate::content::{Entry, Occurrence, entry, expected, garbage};
use crate::coverage::{Branch, Fault};
use crate::model::Step;
use crate::oracle::Verdict;
use crate::run::Simulation;
use crate::stream::VirtualStream;
use crate::table::Damage;
use aggregator::LedgerMode;
use base64::Engine as _;
use telemetry::{DeviceId, RejectReason};

impl Simulation<'_> {
    pub fn happen(&mut self, step: &Step) -> Verdict {
        self.mark(7, 0);
        match step {
            Step::Put { record, again } => {
                let entry = entry(self.schedule, record, self.now_ns);
                self.tell(|_| format!("producer puts {}{}", told(record), if *again { " again" } else { "" }));
                if *again {
                    self.branch(Branch::ProducerRetry);
                }
                if record.aggregate {
                    self.branch(Branch::Aggregate);
                }
                if record.parts.iter().any(|part| part.series) {
                    self.branch(Branch::Series);
                }
                self.put(entry);
            }
            Step::PutBad(reason) => {
                self.tell(|_| format!("producer puts {reason}"));
                self.put(garbage(self.schedule, *reason));
            }
            Step::Split | Step::Merge => self.reshard(matches!(step, Step::Split)),
            Step::Deploy(settings) => self.redeploy(settings),
            Step::CorruptState(device) => self.corrupt_state(*device),
            Step::CorruptPage(device) => self.corrupt_page(*device),
            Step::Repair => self.repair(),
            Step::Rewind => self.rewind(),
            Step::RecreateStream => self.recreate_stream(),
            Step::StartPoller => self.start_poller(),
            Step::CrashPoller => self.crash_poller(),
            Step::Redrive { asked } => self.redrive(*asked),
            Step::RedriveDiscarded => self.redrive_discarded(),
            Step::Expire => self.expire_pages(true),
            Step::Pass(seconds) => {
                self.tell(|_| format!("{seconds} seconds pass"));
                self.advance(i128::from(*seconds) * 1_000_000_000);
            }
        }
        Ok(())
    }

    fn put(&mut self, entry: Entry) {
        self.oracle.stored(&entry.occurrences);
        if let Some(stream) = self.streams.last_mut() {
            stream.put(entry, self.now_ns, &mut self.random);
        }
    }

    fn reshard(&mut self, split: bool) {
        let Some(stream) = self.streams.last_mut() else { return };
        let lower = if split { stream.split(&mut self.random) } else { stream.merge(&mut self.random) };
        let Some(lower) = lower else { return };
        self.tell(|_| if split { "a shard is split".to_owned() } else { "two shards are merged".to_owned() });
        self.branch(if split { Branch::Split } else { Branch::Merge });
        if lower {
            self.branch(Branch::ChildSequenceLower);
        }
    }

    fn redeploy(&mut self, settings: &aggregator::Settings) {
        let before = self.deployments.last().map(|(settings, _)| settings.ledger);
        self.tell(|_| format!("the aggregator is deployed with {:?}", settings.ledger));
        match (before, settings.ledger) {
            (Some(LedgerMode::Full { .. }), LedgerMode::Window) => self.branch(Branch::RedeployedWindow),
            (Some(LedgerMode::Window), LedgerMode::Full { .. }) => self.branch(Branch::RedeployedFull),
            (Some(LedgerMode::Full { retention: Some(before) }), LedgerMode::Full { retention: after })
                if after.is_none_or(|after| after > before) =>
            {
                self.branch(Branch::RetentionLifted);
            }
            _ => {}
        }
        self.deploy(settings.clone());
    }

    fn corrupt_state(&mut self, device: usize) {
        let id = &self.schedule.devices[device].id;
        let Some(item) = self.table.items.get_mut(id) else { return };
        self.oracle.damaged(device, false);
        if self.random.one_in(4) {
            self.table.unreadable.insert(id.clone());
            self.damage.push(Damage::Unreadable(id.clone()));
        } else {
            let before = item.state.clone();
            if self.random.one_in(2) {
                // No build wrote version 0; a version above today's would be a newer build's.
                item.state[0] = 0;
            } else {
                item.state.truncate(item.state.len() / 2);
            }
            self.damage.push(Damage::State(id.clone(), before, item.state.clone()));
        }
        self.tell(|_| format!("the state of device {device} is damaged"));
    }

    fn corrupt_page(&mut self, device: usize) {
        let id = &self.schedule.devices[device].id;
        let keys: Vec<(DeviceId, String)> = self.table.pages.keys().filter(|(owner, _)| owner == id).cloned().collect();
        if keys.is_empty() {
            return;
        }
        let key = self.random.pick(&keys);
        self.oracle.damaged(device, true);
        self.tell(|_| format!("page {} of device {device} is damaged", key.1));
        if self.random.one_in(4) {
            self.table.unreadable_pages.insert(key.clone());
            self.damage.push(Damage::UnreadablePage(key));
        } else if let Some(page) = self.table.pages.get_mut(&key) {
            let before = page.page.clone();
            page.page[0] = 0;
            self.damage.push(Damage::Page(key, before));
        }
    }

    fn repair(&mut self) {
        for damage in std::mem::take(&mut self.damage).into_iter().rev() {
            self.branch(Branch::Repaired);
            match damage {
                Damage::State(device, before, damaged) => {
                    if let Some(item) = self.table.items.get_mut(&device).filter(|item| item.state == damaged) {
                        item.state = before;
                    }
                }
                Damage::Unreadable(device) => _ = self.table.unreadable.remove(&device),
                Damage::Page(key, before) => {
                    if let Some(page) = self.table.pages.get_mut(&key) {
                        page.page = before;
                    }
                }
                Damage::UnreadablePage(key) => _ = self.table.unreadable_pages.remove(&key),
            }
        }
        self.tell(|_| "what was damaged is mended".to_owned());
    }

    fn rewind(&mut self) {
        let incarnation = self.streams.len() as u32 - 1;
        let shards: Vec<usize> =
            self.checkpoints.keys().filter(|(of, _)| *of == incarnation).map(|(_, shard)| *shard).collect();
        if shards.is_empty() {
            return;
        }
        let shard = self.random.pick(&shards);
        self.tell(|_| format!("the checkpoint of shard {shard} is taken back to the oldest record"));
        self.checkpoints.remove(&(incarnation, shard));
        self.branch(Branch::Rewound);
        self.crash_poller();
    }

    fn recreate_stream(&mut self) {
        if self.streams.len() > 1 {
            return;
        }
        self.tell(|_| "the stream is deleted and made anew, and replayed from the archive".to_owned());
        self.branch(Branch::Recreated);
        self.advance(1_000_000_000);
        let mut entries = Vec::new();
        for shard in 0..self.streams[0].shards.len() {
            let done = self.checkpoints.get(&(0, shard)).copied();
            for record in &mut self.streams[0].shards[shard].records {
                let is_done = done.is_some_and(|done| ports::SequenceNumber::from(record.sequence) <= done);
                if !is_done || record.discarded {
                    record.replayed = true;
                    entries.push(record.entry(self.schedule, self.now_ns));
                } else if self.random.one_in(3) {
                    entries.push(record.entry(self.schedule, self.now_ns));
                }
            }
        }
        self.streams.push(VirtualStream::new(1));
        for poller in self.living() {
            self.pollers[poller].kill();
        }
        for entry in entries {
            self.put(entry);
        }
        self.start_poller();
    }

    /// Puts dead letters' payloads into the stream, and then deletes them.
    fn redrive(&mut self, asked: bool) {
        for at in 0..self.letters.len() {
            let reason = self.letters[at].letter.reason;
            let only_if_asked = matches!(reason, RejectReason::Late | RejectReason::ConflictingDuplicate);
            if !self.letters[at].in_queue || (only_if_asked && !asked) || self.strikes(Fault::RedriveDelay) {
                continue;
            }
            self.tell(|s| format!("an operator redrives {reason} of {}", s.letters[at].letter.sequence_number));
            let entry = self.redriven(at);
            self.put(entry);
            self.branch(match self.letters[at].place.3 {
                None => Branch::RedrivenWhole,
                Some(_) if only_if_asked => Branch::RedrivenAsked,
                Some(_) => Branch::Redriven,
            });
            if self.strikes(Fault::RedriveCrash) {
                return;
            }
            self.letters[at].in_queue = false;
        }
    }

    /// What redrive puts: the payload, under the device that it names, or the whole record as it stood.
    fn redriven(&self, at: usize) -> Entry {
        let letter = &self.letters[at].letter;
        let (incarnation, shard, record, occurrence) = self.letters[at].place;
        let stored = &self.streams[incarnation as usize].shards[shard].records[record];
        let Some(occurrence) = occurrence else { return stored.entry(self.schedule, self.now_ns) };
        let of = stored.occurrences[occurrence];
        let data = base64::engine::general_purpose::STANDARD.decode(&letter.payload_base64).unwrap_or_default();
        let partition_key = letter.device_id.clone().unwrap_or_else(|| letter.partition_key.clone());
        let expected = expected(self.schedule, of.content, self.now_ns);
        let content = of.content;
        let occurrence = Occurrence { content, expected, sub_sequence_number: None, index: None, has_letter: false };
        Entry { partition_key, data, occurrences: vec![occurrence] }
    }

    /// Puts records again that the mapping gave up: from the payload that was kept, or fetched by where they stood.
    fn redrive_discarded(&mut self) {
        for discarded in std::mem::take(&mut self.discarded) {
            let has_payload = self.schedule.mapping.failures_keep_payload;
            if !has_payload && discarded.incarnation as usize + 1 < self.streams.len() {
                // The records went with their stream: redrive says so, and the object stays.
                self.branch(Branch::RedrivenExpired);
                self.discarded.push(discarded);
                continue;
            }
            self.branch(if has_payload { Branch::RedrivenPayload } else { Branch::RedrivenMetadata });
            self.tell(|_| format!("an operator redrives the discarded records {:?}", discarded.records));
            for record in &discarded.records {
                let shards = &self.streams[discarded.incarnation as usize].shards;
                let entry = shards[discarded.shard].records[*record].entry(self.schedule, self.now_ns);
                self.put(entry);
            }
        }
    }

    /// The store deletes pages whose time has come, now or later.
    pub fn expire_pages(&mut self, all: bool) {
        let now_s = (self.now_ns / 1_000_000_000) as i64;
        let expired = |page: &ports::LedgerPageItem| page.expires_at.is_some_and(|at| at < now_s);
        let due: Vec<_> =
            self.table.pages.iter().filter(|(_, page)| expired(page)).map(|(key, _)| key.clone()).collect();
        for key in due {
            if all || self.strikes(Fault::PageExpires) {
                self.tell(|_| format!("page {} expires", key.1));
                self.table.pages.remove(&key);
            }
        }
    }

    /// At the very end: what is mended late is counted late.
    pub fn last_orders(&mut self) -> Result<bool, Violation> {
        if self.damage.is_empty() {
            return Ok(false);
        }
        self.repair();
        self.redrive(false);
        Ok(true)
    }
}

fn told(record: &crate::model::Record) -> String {
    let parts = record.parts.iter().map(|part| {
        let readings: Vec<String> = part.readings.iter().map(usize::to_string).collect();
        let key = if part.foreign_key { " under another's key" } else { "" };
        format!("readings {} of device {}{key}", readings.join(", "), part.device)
    });
    parts.collect::<Vec<_>>().join(" and ")
}
