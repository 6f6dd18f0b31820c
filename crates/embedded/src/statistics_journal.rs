//! What the statistics' writer thread writes: items and ledger pages, dead letters, checkpoints, and their totals.

use crate::StorageFailure;
use crate::item::{encode_item, encode_page, item_head};
use crate::writer::Journal;
use ports::DeviceWrite;
use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use redrive::{Intent, Noted};
use std::collections::BTreeMap;
use telemetry::RejectReason;

/// device -> item ([`crate::item`]).
pub(crate) const ITEMS: TableDefinition<&str, &[u8]> = TableDefinition::new("items");
/// The devices whose item has a revision that no curated file holds yet.
pub(crate) const UNCURATED: TableDefinition<&str, ()> = TableDefinition::new("uncurated_devices");
/// (device, page key) -> page ([`crate::item`]).
pub(crate) const PAGES: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("ledger_pages");
/// (failed_at in milliseconds, id) -> the letter's JSON.
pub(crate) const LETTERS: TableDefinition<(i64, &str), &[u8]> = TableDefinition::new("dead_letters");
/// (failed_at in milliseconds, id) -> (reason, device or nothing): what lists are filtered by.
pub(crate) const LETTER_INDEX: TableDefinition<(i64, &str), (&str, &str)> = TableDefinition::new("dead_letter_index");
/// id of every letter ever sent -> failed_at in milliseconds.
pub(crate) const KNOWN_LETTERS: TableDefinition<&str, i64> = TableDefinition::new("known_dead_letters");
/// id of a letter that an operator is about to send again -> a hash of what is sent (16 bytes). It goes with its letter.
pub(crate) const REDRIVE_INTENTS: TableDefinition<&str, &[u8]> = TableDefinition::new("redrive_intents");
/// shard -> sequence number (24 bytes), then the shard's readings up to it (u64).
pub(crate) const CHECKPOINTS: TableDefinition<&str, (&[u8], u64)> = TableDefinition::new("checkpoints");
/// name -> number.
pub(crate) const TOTALS: TableDefinition<&str, u64> = TableDefinition::new("totals");
/// name -> number: the form's version.
pub(crate) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// The total of [`ITEMS`]' counts.
pub(crate) const COUNTED: &str = "counted";

/// How many more readings all dead letters ever sent hold for than there are letters.
pub(crate) const READINGS_BEYOND_LETTERS: &str = "dead_letter_readings_beyond_letters";

/// The total of the readings of one reason in all distinct dead letters.
pub(crate) fn letters_total(reason: &str) -> String {
    format!("dead_letters/{reason}")
}

/// A dead letter on its way to the database.
pub(crate) struct EncodedLetter {
    pub(crate) id: String,
    pub(crate) failed_at: i64,
    pub(crate) reason: RejectReason,
    pub(crate) device_id: String,
    /// How many readings it holds for, by reason.
    pub(crate) readings: BTreeMap<RejectReason, u64>,
    pub(crate) json: Vec<u8>,
}

/// One request to the writer.
pub(crate) enum StatisticsOperation {
    /// Writes item and pages; the outcome is [`StatisticsOutcome::Condition`].
    Write(Box<DeviceWrite>),
    /// Takes letters, each unless it is known already.
    SendLetters(Vec<EncodedLetter>),
    /// Deletes letters; the outcome is how many were there.
    DeleteLetters(Vec<String>),
    /// Notes the forms in which letters are to be sent again; the outcome has one answer a letter.
    NoteIntents(Vec<Intent>),
    /// These revisions of devices are in a curated file.
    Curated(Vec<(String, u64)>),
    /// Saves a checkpoint.
    SaveCheckpoint { shard: String, sequence_number: [u8; 24], readings: u64 },
}

/// The answer to a [`StatisticsOperation`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StatisticsOutcome {
    /// Whether the write's condition held.
    Condition(bool),
    /// How many letters were there.
    Deleted(u64),
    /// For each letter, what became of the intent.
    Noted(Vec<Noted>),
    /// Done.
    Done,
}

/// The statistics' journal. It holds nothing: each condition is checked in the transaction it belongs to.
pub(crate) struct StatisticsJournal;

struct Tables<'t> {
    items: Table<'t, &'static str, &'static [u8]>,
    uncurated: Table<'t, &'static str, ()>,
    pages: Table<'t, (&'static str, &'static str), &'static [u8]>,
    letters: Table<'t, (i64, &'static str), &'static [u8]>,
    letter_index: Table<'t, (i64, &'static str), (&'static str, &'static str)>,
    known_letters: Table<'t, &'static str, i64>,
    intents: Table<'t, &'static str, &'static [u8]>,
    checkpoints: Table<'t, &'static str, (&'static [u8], u64)>,
    totals: Table<'t, &'static str, u64>,
    /// The change of [`COUNTED`], written once a group: it wraps, because a rebuild may count less.
    counted_change: u64,
}

impl Journal for StatisticsJournal {
    type Operation = StatisticsOperation;
    type Outcome = StatisticsOutcome;

    fn apply(
        &mut self,
        transaction: &WriteTransaction,
        operations: &[StatisticsOperation],
    ) -> Result<Vec<StatisticsOutcome>, StorageFailure> {
        let mut tables = Tables::open(transaction)?;
        let outcomes = operations.iter().map(|operation| tables.apply(operation)).collect::<Result<_, _>>()?;
        if tables.counted_change != 0 {
            let counted = total(&tables.totals, COUNTED)?.wrapping_add(tables.counted_change);
            tables.totals.insert(COUNTED, counted)?;
        }
        Ok(outcomes)
    }
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, StorageFailure> {
        Ok(Tables {
            items: transaction.open_table(ITEMS)?,
            uncurated: transaction.open_table(UNCURATED)?,
            pages: transaction.open_table(PAGES)?,
            letters: transaction.open_table(LETTERS)?,
            letter_index: transaction.open_table(LETTER_INDEX)?,
            known_letters: transaction.open_table(KNOWN_LETTERS)?,
            intents: transaction.open_table(REDRIVE_INTENTS)?,
            checkpoints: transaction.open_table(CHECKPOINTS)?,
            totals: transaction.open_table(TOTALS)?,
            counted_change: 0,
        })
    }

    fn apply(&mut self, operation: &StatisticsOperation) -> Result<StatisticsOutcome, StorageFailure> {
        Ok(match operation {
            StatisticsOperation::Write(write) => StatisticsOutcome::Condition(self.write_device(write)?),
            StatisticsOperation::SendLetters(letters) => {
                letters.iter().try_for_each(|letter| self.send_letter(letter))?;
                StatisticsOutcome::Done
            }
            StatisticsOperation::DeleteLetters(ids) => {
                let mut deleted = 0;
                for id in ids {
                    deleted += u64::from(self.delete_letter(id)?);
                }
                StatisticsOutcome::Deleted(deleted)
            }
            StatisticsOperation::NoteIntents(intents) => {
                let noted = intents.iter().map(|Intent { id, form }| self.note_intent(id, form));
                StatisticsOutcome::Noted(noted.collect::<Result<_, _>>()?)
            }
            StatisticsOperation::Curated(revisions) => {
                revisions.iter().try_for_each(|(device, revision)| self.curated(device, *revision))?;
                StatisticsOutcome::Done
            }
            StatisticsOperation::SaveCheckpoint { shard, sequence_number, readings } => {
                self.checkpoints.insert(shard.as_str(), (sequence_number.as_slice(), *readings))?;
                StatisticsOutcome::Done
            }
        })
    }

    /// Checks the whole condition before it changes anything, because the group's other writes succeed or fail with
    /// this transaction.
    fn write_device(&mut self, write: &DeviceWrite) -> Result<bool, StorageFailure> {
        let device = write.device_id.as_str();
        let standing = match self.items.get(device)? {
            // What does not decode was written by someone else, and must not be overwritten.
            Some(bytes) => match item_head(bytes.value()) {
                Some(head) => Some(head),
                None => return Ok(false),
            },
            None => None,
        };
        let rises = write.expected_revision.is_none_or(|expected| write.item.revision > expected);
        if standing.map(|head| head.revision) != write.expected_revision || !rises {
            return Ok(false);
        }
        for (index, page) in write.pages.iter().enumerate() {
            let repeated = write.pages[..index].iter().any(|earlier| earlier.key == page.key);
            if repeated || self.pages.get((device, page.key.as_str()))?.is_some() {
                return Ok(false);
            }
        }
        for page in &write.pages {
            self.pages.insert((device, page.key.as_str()), encode_page(page).as_slice())?;
        }
        self.items.insert(device, encode_item(&write.item).as_slice())?;
        // Most devices are written many times between two files: looking costs less than writing.
        if self.uncurated.get(device)?.is_none() {
            self.uncurated.insert(device, ())?;
        }
        let before = standing.map_or(0, |head| head.count);
        self.counted_change = self.counted_change.wrapping_add(write.item.attributes.count).wrapping_sub(before);
        Ok(true)
    }

    /// A device that was written since then stays among those whose newest revision is in no file.
    fn curated(&mut self, device: &str, revision: u64) -> Result<(), StorageFailure> {
        let newest = self.items.get(device)?.and_then(|bytes| item_head(bytes.value())).map(|head| head.revision);
        if newest == Some(revision) {
            self.uncurated.remove(device)?;
        }
        Ok(())
    }

    fn send_letter(&mut self, letter: &EncodedLetter) -> Result<(), StorageFailure> {
        if self.known_letters.get(letter.id.as_str())?.is_some() {
            return Ok(());
        }
        let key = (letter.failed_at, letter.id.as_str());
        self.known_letters.insert(letter.id.as_str(), letter.failed_at)?;
        self.letters.insert(key, letter.json.as_slice())?;
        self.letter_index.insert(key, (letter.reason.as_str(), letter.device_id.as_str()))?;
        for (reason, readings) in &letter.readings {
            self.add_to_total(&letters_total(reason.as_str()), *readings)?;
        }
        let readings = letter.readings.values().fold(0u64, |sum, readings| sum.saturating_add(*readings));
        if readings > 1 {
            self.add_to_total(READINGS_BEYOND_LETTERS, readings - 1)?;
        }
        Ok(())
    }

    fn add_to_total(&mut self, name: &str, more: u64) -> Result<(), StorageFailure> {
        // What is stored may be damaged.
        let sum = total(&self.totals, name)?.saturating_add(more);
        self.totals.insert(name, sum)?;
        Ok(())
    }

    /// The id stays known, so that a redelivery of the batch that sent it brings it neither back nor into the total.
    fn delete_letter(&mut self, id: &str) -> Result<bool, StorageFailure> {
        let Some(failed_at) = self.known_letters.get(id)?.map(|stored| stored.value()) else { return Ok(false) };
        self.letter_index.remove((failed_at, id))?;
        self.intents.remove(id)?;
        let deleted = self.letters.remove((failed_at, id))?.is_some();
        Ok(deleted)
    }

    /// Only for a letter that is there: once it was sent and deleted, no other form of it may be sent.
    fn note_intent(&mut self, id: &str, form: &[u8; 16]) -> Result<Noted, StorageFailure> {
        let Some(failed_at) = self.known_letters.get(id)?.map(|stored| stored.value()) else {
            return Ok(Noted::Gone);
        };
        if self.letter_index.get((failed_at, id))?.is_none() {
            return Ok(Noted::Gone);
        }
        if let Some(before) = self.intents.get(id)? {
            return Ok(if before.value() == form { Noted::Noted } else { Noted::OtherForm });
        }
        self.intents.insert(id, form.as_slice())?;
        Ok(Noted::Noted)
    }
}

/// A total; 0 before its first change.
pub(crate) fn total(totals: &impl ReadableTable<&'static str, u64>, name: &str) -> Result<u64, StorageFailure> {
    Ok(totals.get(name)?.map_or(0, |stored| stored.value()))
}
