//! A page of the ledger: identities of one UTC day that were counted and have left the window.

use crate::bits::{BitReader, BitWriter};
use crate::identity::{NANOSECONDS_PER_DAY, NANOSECONDS_PER_SECOND};
use crate::identity_codec::{Entry, IdentityRun, read_identities, write_identities};
use crate::{CorruptState, Identity, UtcDay};

const VERSION: u8 = 1;

/// Days since 1970-01-01 of 0000-01-01: pages count their day from there.
const FIRST_DAY: i32 = -719_528;
/// Bits that every day of the years 0000 to 9999 fits in.
const DAY_BITS: u32 = 22;

/// Identities of one UTC day, with the checks of their values: sorted, not empty, written once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerPage {
    day: UtcDay,
    entries: Vec<Entry>,
}

impl LedgerPage {
    /// A page of these identities, in any order.
    ///
    /// # Errors
    /// Where there are none, one stands twice, or one is not of `day`.
    pub fn new(day: UtcDay, mut entries: Vec<(Identity, u16)>) -> Result<Self, CorruptState> {
        entries.sort_unstable();
        if entries.is_empty() {
            return Err(EMPTY);
        }
        if entries.iter().any(|(identity, _)| UtcDay::of(identity.timestamp_ns) != day) {
            return Err(CorruptState::Invariant("a ledger page holds one UTC day"));
        }
        if entries.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(CorruptState::Invariant("identities ascend"));
        }
        Ok(Self { day, entries })
    }

    /// The day that all identities are of.
    pub fn day(&self) -> UtcDay {
        self.day
    }

    /// The first identity's instant, in nanoseconds since the Unix epoch.
    pub fn first_timestamp_ns(&self) -> i128 {
        self.entries[0].0.timestamp_ns
    }

    /// The last identity's instant, in nanoseconds since the Unix epoch.
    pub fn last_timestamp_ns(&self) -> i128 {
        self.entries[self.entries.len() - 1].0.timestamp_ns
    }

    /// How many identities there are; never 0.
    #[allow(clippy::len_without_is_empty)] // a page is never empty
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The identities and the checks of their values, in order.
    pub fn entries(&self) -> &[(Identity, u16)] {
        &self.entries
    }

    /// The check of the value that this identity was counted with; `None` where it is not on this page.
    pub fn find(&self, identity: &Identity) -> Option<u16> {
        let found = self.entries.binary_search_by(|(entry, _)| entry.cmp(identity)).ok()?;
        Some(self.entries[found].1)
    }

    /// What the sort keys of all pages of a day begin with: `ledger#<YYYY-MM-DD>#`.
    pub fn key_prefix(day: UtcDay) -> String {
        format!("ledger#{day}#")
    }

    /// The least and the greatest sort key of pages of `day` that may hold an instant of it up to `timestamp_ns`.
    pub fn keys_until(day: UtcDay, timestamp_ns: i128) -> (String, String) {
        let prefix = Self::key_prefix(day);
        let last = format!("{prefix}{}~", time_of_day(timestamp_ns));
        (prefix, last)
    }

    /// The page's sort key: `ledger#<YYYY-MM-DD>#<first timestamp as HHMMSSnnnnnnnnn>#<revision, 20 digits>`, so that
    /// keys sort by first timestamp. `revision` is that of the write which the page is part of.
    pub fn sort_key(&self, revision: u64) -> String {
        format!("{}{}#{revision:020}", Self::key_prefix(self.day), time_of_day(self.first_timestamp_ns()))
    }

    /// The page's bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode_page(self.day, &self.entries)
    }

    /// Reads the version alone, and fails where this build doesn't know it: see [`crate::DeviceState::check_version`].
    pub fn check_version(bytes: &[u8]) -> Result<(), CorruptState> {
        match *bytes.first().ok_or(CorruptState::Truncated)? {
            VERSION => Ok(()),
            found => Err(CorruptState::of_version(found, VERSION)),
        }
    }

    /// Reads what [`Self::encode`] wrote; any other bytes are an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, CorruptState> {
        let (day, mut reader) = read_head(bytes)?;
        let entries = read_identities(&mut reader, |distance| day.start_ns() + distance)?;
        reader.finish()?;
        Self::new(day, entries)
    }

    /// Those of `wanted`, sorted, that are on an encoded page of `day`, with the checks of the values that they were
    /// counted with. The page is read once and not held, whatever its size.
    ///
    /// # Errors
    /// Wherever [`Self::decode`] is one, and for a page of another day: under this day's key it could not be found.
    pub fn look_up(bytes: &[u8], day: UtcDay, wanted: &[Identity]) -> Result<Vec<(Identity, u16)>, CorruptState> {
        let (of, mut reader) = read_head(bytes)?;
        let mut run = IdentityRun::open(&mut reader, |distance| day.start_ns() + distance)?;
        let (first_ns, mut last_ns) = (run.first_ns(), None);
        let mut wanted = wanted.iter().peekable();
        let mut found = Vec::new();
        match run.regular_last_ns().filter(|last| wanted.peek().is_none_or(|least| least.timestamp_ns > *last)) {
            Some(regular_last_ns) => {
                run.skip_regular()?;
                last_ns = Some(regular_last_ns);
            }
            None => {
                while let Some((identity, check)) = run.next()? {
                    while wanted.next_if(|wanted| **wanted < identity).is_some() {}
                    if wanted.next_if(|wanted| **wanted == identity).is_some() {
                        found.push((identity, check));
                    }
                    last_ns = Some(identity.timestamp_ns);
                }
            }
        }
        reader.finish()?;
        let last_ns = last_ns.ok_or(EMPTY)?;
        if of != day || UtcDay::of(first_ns) != day || UtcDay::of(last_ns) != day {
            return Err(CorruptState::Invariant("a ledger page holds the UTC day of its key"));
        }
        Ok(found)
    }

    /// Pages of sorted entries: one per UTC day, more only where one would pass `max_page_bytes`; identities of one
    /// timestamp are never parted, because their pages would share a key.
    pub(crate) fn split(entries: &[Entry], max_page_bytes: usize) -> Vec<Self> {
        let day_of = |entry: &Entry| UtcDay::of(entry.0.timestamp_ns);
        let mut pages = Vec::new();
        for entries in entries.chunk_by(|one, two| day_of(one) == day_of(two)) {
            Self::split_day(day_of(&entries[0]), entries, max_page_bytes, &mut pages);
        }
        pages
    }

    fn split_day(day: UtcDay, entries: &[Entry], max_page_bytes: usize, pages: &mut Vec<Self>) {
        let middle = entries[entries.len() / 2].0.timestamp_ns;
        let mut cut = entries.partition_point(|(identity, _)| identity.timestamp_ns < middle);
        if cut == 0 {
            cut = entries.partition_point(|(identity, _)| identity.timestamp_ns <= middle);
        }
        if cut == entries.len() || encode_page(day, entries).len() <= max_page_bytes {
            pages.push(Self { day, entries: entries.to_vec() });
        } else {
            Self::split_day(day, &entries[..cut], max_page_bytes, pages);
            Self::split_day(day, &entries[cut..], max_page_bytes, pages);
        }
    }
}

/// `HHMMSSnnnnnnnnn`.
fn time_of_day(timestamp_ns: i128) -> String {
    let within_day = timestamp_ns.rem_euclid(NANOSECONDS_PER_DAY);
    let seconds = within_day / NANOSECONDS_PER_SECOND;
    let nanoseconds = within_day % NANOSECONDS_PER_SECOND;
    format!("{:02}{:02}{:02}{nanoseconds:09}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

const EMPTY: CorruptState = CorruptState::Invariant("a ledger page is not empty");

/// A page's day, and the rest of its bytes.
fn read_head(bytes: &[u8]) -> Result<(UtcDay, BitReader<'_>), CorruptState> {
    LedgerPage::check_version(bytes)?;
    let mut reader = BitReader::new(bytes);
    reader.skip(8)?;
    let day = UtcDay(reader.read(DAY_BITS)? as i32 + FIRST_DAY);
    Ok((day, reader))
}

fn encode_page(day: UtcDay, entries: &[Entry]) -> Vec<u8> {
    let mut writer = BitWriter::default();
    writer.write(u64::from(VERSION), 8);
    writer.write((day.0 - FIRST_DAY) as u64, DAY_BITS);
    write_identities(&mut writer, entries, |first| first - day.start_ns());
    writer.finish()
}
