//! One device's rows of the curated files.
//!
//! - **Enters**: the folder of the curated table, the device, and from when to when its states were written.
//! - **Leaves**: each of its revisions once, the oldest first, and which files could not be read.
//! - **Fails**: when the folder cannot be listed.
//!
//! Of each file the footer is read, of the row groups that may have the device the pages with its name, and of all other
//! columns the pages with its rows. In a merged file these are adjacent. The checksum in a file's name is not
//! compared: that takes reading the whole file at every query. A flipped bit in a footer's statistics or page index can
//! hide rows here until `streamgauge archive verify` reports the file.

use crate::CURATED_PREFIX;
use crate::bounded_file::BoundedFile;
use crate::merge::day_of;
use crate::parquet_file::{ReadError, catch, row_of_bits};
use crate::table::{self, Cells, CuratedFile};
use parquet::data_type::AsBytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::metadata::page_index::RowGroupPageIndex;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::reader::{FileReader as _, RowGroupReader};
use parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};
use parquet::file::statistics::Statistics;
use ports::{ArchiveFolder, COLUMNS, CuratedRow};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::ops::Range;
use telemetry::{DeviceId, Timestamp};

const DAY_MILLISECONDS: i64 = 86_400_000;
/// Listings of the folder: another is made where a file went while it was read, because its rows are in another then.
const LISTINGS_MAX: usize = 5;

/// Whose rows, and from when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryQuery {
    /// The device.
    pub device_id: DeviceId,
    /// Only states written at this instant, to the millisecond, or later.
    pub from: Option<Timestamp>,
    /// Only states written at this instant, to the millisecond, or earlier.
    pub to: Option<Timestamp>,
}

/// A device's rows.
#[derive(Debug, Default)]
pub struct DeviceHistory {
    /// Each revision once, the oldest first.
    pub rows: Vec<CuratedRow>,
    /// Files that cannot be read: what they have is missing.
    pub unreadable: BTreeMap<String, ReadError>,
}

impl HistoryQuery {
    fn milliseconds(&self) -> (i64, i64) {
        let from = self.from.map_or(i64::MIN, |from| from.as_millisecond());
        (from, self.to.map_or(i64::MAX, |to| to.as_millisecond()))
    }

    /// The first day whose files may have rows: none is delivered before it is written, give or take a clock set back.
    fn first_day(&self) -> String {
        let before = self.from.and_then(|from| Timestamp::from_millisecond(from.as_millisecond() - DAY_MILLISECONDS));
        before.map(Timestamp::utc_date).unwrap_or_default()
    }
}

/// Looks through the files. Blocking.
///
/// # Errors
/// The file system's, where it cannot list the folder.
pub fn device_history<F: ArchiveFolder>(folder: &F, query: &HistoryQuery) -> io::Result<DeviceHistory> {
    let (mut rows, mut unreadable, mut read) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    let first_day = query.first_day();
    for _ in 0..LISTINGS_MAX {
        let keys = folder.keys(CURATED_PREFIX)?;
        let mut is_whole = true;
        for key in keys.into_iter().filter(|key| day_of(key).is_some_and(|day| *day >= *first_day)) {
            if read.contains(&key) {
                continue;
            }
            match folder.open(&key).map_err(|error| (error.kind(), error)) {
                Err((io::ErrorKind::NotFound, _)) => is_whole = false,
                Err((_, error)) => drop(unreadable.insert(key.clone(), ReadError::from(ParquetError::from(error)))),
                Ok(file) => match catch(|| rows_of(file, query)) {
                    Ok(found) => rows.extend(found.into_iter().map(|row| (row.revision, row))),
                    Err(error) => drop(unreadable.insert(key.clone(), error)),
                },
            }
            read.insert(key);
        }
        if is_whole {
            break;
        }
    }
    Ok(DeviceHistory { rows: rows.into_values().collect(), unreadable })
}

/// The device's rows in a file.
fn rows_of(file: File, query: &HistoryQuery) -> Result<Vec<CuratedRow>, ReadError> {
    let file = open(file, query)?;
    let (from, to) = query.milliseconds();
    let mut rows = Vec::new();
    for number in 0..file.num_row_groups() {
        let group = file.get_row_group(number)?;
        let index = file.metadata().page_index_for_row_group(number);
        for place in places(&*group, &index, query.device_id.as_str().as_bytes())? {
            let columns = 1..COLUMNS.len();
            let cells = columns.map(|column| table::read_cells(&*group, column, place.clone()));
            let cells: Vec<Cells> = cells.collect::<Result<_, _>>()?;
            for at in 0..place.len() {
                rows.push(row_of_bits(query.device_id.clone(), |column| Ok(cells[column - 1].get(at)))?);
            }
        }
    }
    rows.retain(|row| (from..=to).contains(&row.statistics.updated_at.as_millisecond()));
    Ok(rows)
}

/// The file, with those of its row groups alone that may have such rows.
fn open(from: File, query: &HistoryQuery) -> Result<CuratedFile, ReadError> {
    let options = || {
        let query = query.clone();
        ReadOptionsBuilder::new().with_predicate(Box::new(move |group, _| may_have(group, &query)))
    };
    // A file without an index of its pages is read all the same.
    let file = SerializedFileReader::new_with_options(
        BoundedFile(from.try_clone().map_err(ParquetError::from)?),
        options().with_page_index().build(),
    )
    .or_else(|_| SerializedFileReader::new_with_options(BoundedFile(from), options().build()))?;
    table::of_the_table(file)
}

fn may_have(group: &RowGroupMetaData, query: &HistoryQuery) -> bool {
    let name = query.device_id.as_str().as_bytes();
    let of = |column: usize| group.columns().get(column).and_then(|column| column.statistics());
    let has_device = of(0).is_none_or(|statistics| {
        let (least, most) = (statistics.min_bytes_opt(), statistics.max_bytes_opt());
        least.is_none_or(|least| least <= name) && most.is_none_or(|most| name <= most)
    });
    let (from, to) = query.milliseconds();
    // `updated_at` is the last column.
    let has_instant = match of(COLUMNS.len() - 1) {
        Some(Statistics::Int64(written)) => {
            written.min_opt().is_none_or(|least| *least <= to) && written.max_opt().is_none_or(|most| from <= *most)
        }
        _ => true,
    };
    has_device && has_instant
}

/// Where the device's rows are in a row group: together in files of ours, wherever they are in any other.
fn places(
    group: &dyn RowGroupReader,
    index: &RowGroupPageIndex,
    name: &[u8],
) -> Result<Vec<Range<usize>>, ParquetError> {
    let mut places: Vec<Range<usize>> = Vec::new();
    for pages in pages(group, index, name) {
        let names = table::read_text(group, pages.clone())?;
        for (row, found) in pages.zip(names) {
            match places.last_mut() {
                _ if found.as_bytes() != name => {}
                Some(place) if place.end == row => place.end += 1,
                _ => places.push(row..row + 1),
            }
        }
    }
    Ok(places)
}

/// The rows of the pages that may have the device's name, neighbours in one.
fn pages(group: &dyn RowGroupReader, index: &RowGroupPageIndex, name: &[u8]) -> Vec<Range<usize>> {
    let rows = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
    let (Some(ColumnIndexMetaData::BYTE_ARRAY(names)), Some(pages)) = (index.column_index(0), index.page_locations(0))
    else {
        return std::iter::once(0..rows).collect();
    };
    let first =
        |page: usize| pages.get(page).map_or(rows, |page| usize::try_from(page.first_row_index).unwrap_or(rows));
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for page in 0..pages.len() {
        let (least, most) = (names.min_value(page), names.max_value(page));
        if least.is_some_and(|least| least > name) || most.is_some_and(|most| most < name) {
            continue;
        }
        match ranges.last_mut() {
            Some(range) if range.end == first(page) => range.end = first(page + 1),
            _ => ranges.push(first(page)..first(page + 1)),
        }
    }
    ranges
}
