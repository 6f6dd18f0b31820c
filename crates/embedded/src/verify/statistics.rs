//! The rows of `statistics.redb`.

use super::stream::Checkpoints;
use super::{DeviceCheck, FileReport, catching, each_row, letters};
use crate::StorageFailure;
use crate::item::{decode_item, decode_page};
use crate::shards::sequence_u64;
use crate::statistics_journal::{CHECKPOINTS, COUNTED, ITEMS, META, PAGES, READINGS_BEYOND_LETTERS, TOTALS, UNCURATED};
use ports::{LedgerPageItem, SequenceNumber, StatisticsItem};
use redb::{ReadTransaction, ReadableTableMetadata as _};
use telemetry::{DeviceId, RejectReason};

/// The checkpoints, for the check of the stream; none where the rows cannot be read.
pub(super) fn check(
    transaction: &ReadTransaction,
    report: &mut FileReport,
    check_device: &mut DeviceCheck<'_>,
) -> Checkpoints {
    let mut version = None;
    each_row(transaction, META, report, |name, number, _| {
        version = if name == "version" { Some(number) } else { version };
        Ok(())
    });
    if !super::check_version(version, report) {
        return Checkpoints::new();
    }
    check_devices(transaction, report, check_device);
    each_row(transaction, UNCURATED, report, |device, (), report| {
        if transaction.open_table(ITEMS)?.get(device)?.is_none() {
            report.problem(format!("device `{device}` is to be curated, but has no statistics"));
        }
        Ok(())
    });
    let sent = check_totals(transaction, report);
    letters::check_tables(transaction, report, &sent);
    check_checkpoints(transaction, report)
}

/// Every item with its pages, then pages without an item.
fn check_devices(transaction: &ReadTransaction, report: &mut FileReport, check_device: &mut DeviceCheck<'_>) {
    let mut pages = 0;
    each_row(transaction, ITEMS, report, |device, bytes, report| {
        let Ok(device_id) = DeviceId::parse(device) else {
            report.problem(format!("`{device}` is no name of a device"));
            return Ok(());
        };
        match decode_item(bytes) {
            Some(item) => {
                report.totals.counted = report.totals.counted.saturating_add(item.attributes.count);
                pages += check_device_pages(transaction, report, check_device, &device_id, &item)?;
            }
            None => report.problem(format!("device `{device}`: its statistics don't decode")),
        }
        Ok(())
    });
    let stored = catching(|| Ok(transaction.open_table(PAGES)?.len()?));
    report.rows.insert("ledger_pages".to_owned(), pages);
    if stored == Ok(pages) {
        return;
    }
    each_row(transaction, PAGES, report, |(device, key), _, report| {
        if transaction.open_table(ITEMS)?.get(device)?.is_none() {
            report.problem(format!("ledger page `{key}` of device `{device}`: the device has no statistics"));
        }
        Ok(())
    });
}

/// How many pages the device has.
fn check_device_pages(
    transaction: &ReadTransaction,
    report: &mut FileReport,
    check_device: &mut DeviceCheck<'_>,
    device_id: &DeviceId,
    item: &StatisticsItem,
) -> Result<u64, StorageFailure> {
    let device = device_id.as_str();
    let mut stored = transaction.open_table(PAGES)?.range::<(&str, &str)>((device, "")..)?;
    let (mut count, mut unreadable, mut failure) = (0, Vec::new(), None);
    let mut next = || -> Option<Result<LedgerPageItem, String>> {
        let (key, bytes) = match stored.next()? {
            Ok(row) => row,
            Err(error) => {
                failure = Some(StorageFailure::from(error));
                return None;
            }
        };
        let (of, key) = key.value();
        (of == device).then(|| decode_page(key, bytes.value()).ok_or_else(|| key.to_owned()))
    };
    let mut pages = std::iter::from_fn(|| {
        loop {
            count += 1;
            match next() {
                Some(Ok(page)) => return Some(page),
                Some(Err(key)) => unreadable.push(key),
                None => {
                    count -= 1;
                    return None;
                }
            }
        }
    })
    .fuse();
    let problems = check_device(device_id, item, &mut pages);
    // What the check has not looked at is counted all the same.
    pages.by_ref().for_each(drop);
    drop(pages);
    let unreadable = unreadable.iter().map(|key| format!("ledger page `{key}` doesn't decode"));
    for problem in unreadable.chain(problems) {
        report.problem(format!("device `{device}`: {problem}"));
    }
    failure.map_or(Ok(count), Err)
}

/// The dead letters ever sent.
fn check_totals(transaction: &ReadTransaction, report: &mut FileReport) -> letters::Sent {
    let mut sent = letters::Sent::default();
    let mut counted = 0;
    each_row(transaction, TOTALS, report, |name, number, report| {
        match name.strip_prefix("dead_letters/") {
            None if name == COUNTED => counted = number,
            None if name == READINGS_BEYOND_LETTERS => sent.beyond_letters = number,
            Some(reason) if RejectReason::ALL.iter().any(|known| known.as_str() == reason) => {
                sent.readings.insert(reason.to_owned(), number);
            }
            _ => report.problem(format!("there is a total of `{name}`, which nothing counts")),
        }
        Ok(())
    });
    if counted != report.totals.counted {
        let items = report.totals.counted;
        report.problem(format!("the devices' counts add up to {items}, but their total is {counted}"));
    }
    sent
}

fn check_checkpoints(transaction: &ReadTransaction, report: &mut FileReport) -> Checkpoints {
    let mut checkpoints = Checkpoints::new();
    each_row(transaction, CHECKPOINTS, report, |shard, (sequence, readings), report| {
        match sequence.try_into() {
            Ok(sequence) => {
                let sequence = sequence_u64(SequenceNumber::from_be_bytes(sequence));
                checkpoints.insert(shard.to_owned(), (sequence, readings));
            }
            Err(_) => report.problem(format!("the checkpoint of `{shard}` doesn't decode")),
        }
        Ok(())
    });
    checkpoints
}
