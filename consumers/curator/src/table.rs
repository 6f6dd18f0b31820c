//! Rows of curated files by column, as Parquet has them: read, put in order and written without making rows of them.
//!
//! A quarter of a million rows take some 35 MB so, and no number is ever anything but the bits that were in a file.

use crate::bounded_file::BoundedFile;
use crate::parquet_file::{ReadError, SCHEMA, catch, properties};
use parquet::basic::Repetition;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, DataType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::reader::{FileReader as _, RowGroupReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use ports::{COLUMNS, ColumnKind};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

/// Rows of one row group, and of one page: a reader that asks for one device reads a few of these and passes over the
/// others. Pages as large as the groups would save one byte in a hundred.
const GROUP_ROWS: usize = 32_768;
const PAGE_ROWS: usize = 8_192;

/// Where the columns are that are a row's key; `device_id` is the first.
const REVISION: usize = 1;

/// The numbers of one column, row by row; what a row does not have is 0 here.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    /// Of integers and instants as they are, of doubles their bits.
    bits: Vec<u64>,
    present: Vec<bool>,
}

impl Cells {
    pub fn get(&self, row: usize) -> Option<u64> {
        self.present[row].then_some(self.bits[row])
    }

    fn extend(&mut self, other: Cells) {
        self.bits.extend(other.bits);
        self.present.extend(other.present);
    }
}

/// Rows, by column.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// The devices' names, each once, and the place of each.
    devices: Vec<Arc<[u8]>>,
    places: HashMap<Arc<[u8]>, u32>,
    /// Each row's device, as its place in `devices`.
    device: Vec<u32>,
    /// The other columns, as [`COLUMNS`] has them behind `device_id`.
    cells: Vec<Cells>,
}

/// A file of the curated table that is open; its footer has been read.
pub(crate) type CuratedFile = SerializedFileReader<BoundedFile>;

/// Opens a file, if it is one of the curated table, with its very types.
///
/// # Errors
/// [`ReadError`].
pub(crate) fn open(from: File) -> std::result::Result<CuratedFile, ReadError> {
    catch(|| of_the_table(SerializedFileReader::new(BoundedFile(from))?))
}

/// The file, if it is one of the curated table.
///
/// # Errors
/// [`ReadError::OtherTable`].
pub(crate) fn of_the_table(file: CuratedFile) -> std::result::Result<CuratedFile, ReadError> {
    let schema = file.metadata().file_metadata().schema_descr();
    let is_same = schema.num_columns() == COLUMNS.len()
        && schema.root_schema().get_fields().iter().zip(SCHEMA.get_fields()).all(|(found, ours)| found == ours);
    if is_same { Ok(file) } else { Err(ReadError::OtherTable("its columns are not those of the table".to_owned())) }
}

impl Table {
    /// No rows, and room for `rows` of them.
    pub fn with_room(rows: usize) -> Self {
        let cells = |_| Cells { bits: Vec::with_capacity(rows), present: Vec::with_capacity(rows) };
        let device = Vec::with_capacity(rows);
        Table { device, cells: COLUMNS[1..].iter().map(cells).collect(), ..Table::default() }
    }

    /// Every row of a file.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(file: &CuratedFile) -> std::result::Result<Self, ReadError> {
        catch(|| Self::read_groups(file))
    }

    fn read_groups(file: &CuratedFile) -> std::result::Result<Self, ReadError> {
        let mut table = Table::with_room(0);
        for group in 0..file.num_row_groups() {
            let group = file.get_row_group(group)?;
            let rows = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
            for name in read_text(&*group, 0..rows)? {
                table.push_device(name.data());
            }
            for (cells, column) in table.cells.iter_mut().zip(1..) {
                cells.extend(read_cells(&*group, column, 0..rows)?);
            }
        }
        Ok(table)
    }

    fn push_device(&mut self, name: &[u8]) {
        let place = self.places.get(name).copied().unwrap_or_else(|| {
            let (name, place): (Arc<[u8]>, _) = (Arc::from(name), self.devices.len() as u32);
            self.devices.push(Arc::clone(&name));
            self.places.insert(name, place);
            place
        });
        self.device.push(place);
    }

    pub fn rows(&self) -> usize {
        self.device.len()
    }

    /// Takes the rows of another in.
    pub fn extend(&mut self, other: Table) {
        for device in &other.device {
            self.push_device(&other.devices[*device as usize]);
        }
        for (mine, theirs) in self.cells.iter_mut().zip(other.cells) {
            mine.extend(theirs);
        }
    }

    /// A row's key.
    fn key(&self, row: usize) -> (&[u8], i64) {
        (&self.devices[self.device[row] as usize], self.cells[REVISION - 1].bits[row] as i64)
    }

    /// Whether two rows are the same in every column.
    fn is_same(&self, row: usize, other: &Table, other_row: usize) -> bool {
        self.key(row) == other.key(other_row)
            && self.cells.iter().zip(&other.cells).all(|(mine, theirs)| mine.get(row) == theirs.get(other_row))
    }

    /// The rows by device and revision, each once. A row that is not the same in every column is no repeat.
    pub fn sorted(&self) -> Vec<u32> {
        let mut by_name: Vec<u32> = (0..self.devices.len() as u32).collect();
        by_name.sort_unstable_by_key(|device| &self.devices[*device as usize]);
        let mut rank = vec![0u32; self.devices.len()];
        for (place, device) in (0..).zip(by_name) {
            rank[device as usize] = place;
        }
        let mut order: Vec<u32> = (0..self.rows() as u32).collect();
        order.sort_unstable_by_key(|row| (rank[self.device[*row as usize] as usize], self.key(*row as usize).1, *row));
        let mut once: Vec<u32> = Vec::with_capacity(order.len());
        for row in order {
            let of_key = once.iter().rev().take_while(|kept| self.key(**kept as usize) == self.key(row as usize));
            if !of_key.into_iter().any(|kept| self.is_same(*kept as usize, self, row as usize)) {
                once.push(row);
            }
        }
        once
    }

    /// Whether rows stand by device and revision, as [`Table::holds`] needs them.
    pub fn is_sorted(&self) -> bool {
        (1..self.rows()).all(|row| self.key(row - 1) <= self.key(row))
    }

    /// Whether every row of `other` stands in this one, which is sorted, the same in every column.
    pub fn holds(&self, other: &Table) -> bool {
        (0..other.rows()).all(|row| {
            let key = other.key(row);
            let mut first = self.lower_bound(key);
            while first < self.rows() && self.key(first) == key {
                if self.is_same(first, other, row) {
                    return true;
                }
                first += 1;
            }
            false
        })
    }

    /// The first row that is not before `key`.
    fn lower_bound(&self, key: (&[u8], i64)) -> usize {
        let (mut from, mut to) = (0, self.rows());
        while from < to {
            let middle = from + (to - from) / 2;
            if self.key(middle).cmp(&key) == Ordering::Less { from = middle + 1 } else { to = middle }
        }
        from
    }

    /// The rows of `order` as a whole Parquet file.
    ///
    /// # Errors
    /// None that rows could bring about: memory takes whatever is written to it.
    pub fn write(&self, order: &[u32], notes: Vec<KeyValue>) -> Result<Vec<u8>> {
        let by = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: false };
        let properties = properties()
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_sorting_columns(Some(vec![by(0), by(REVISION as i32)]))
            .set_key_value_metadata(Some(notes))
            .build();
        let devices: Vec<ByteArray> = self.devices.iter().map(|name| ByteArray::from(name.to_vec())).collect();
        let mut file = SerializedFileWriter::new(Vec::new(), Arc::clone(&SCHEMA), Arc::new(properties))?;
        for rows in order.chunks(GROUP_ROWS) {
            let mut group = file.next_row_group()?;
            let mut column = 0;
            while let Some(mut writer) = group.next_column()? {
                self.write_column(column, rows, &devices, writer.untyped())?;
                writer.close()?;
                column += 1;
            }
            group.close()?;
        }
        file.into_inner()
    }

    fn write_column(
        &self,
        column: usize,
        rows: &[u32],
        names: &[ByteArray],
        writer: &mut ColumnWriter<'_>,
    ) -> Result<()> {
        let rows = rows.iter().map(|row| *row as usize);
        match writer {
            ColumnWriter::ByteArrayColumnWriter(writer) => {
                let values: Vec<ByteArray> = rows.map(|row| names[self.device[row] as usize].clone()).collect();
                writer.write_batch(&values, None, None)?;
            }
            ColumnWriter::Int64ColumnWriter(writer) => {
                let (values, levels) = self.gather(column, rows, |bits| bits as i64);
                writer.write_batch(&values, levels.as_deref(), None)?;
            }
            ColumnWriter::DoubleColumnWriter(writer) => {
                let (values, levels) = self.gather(column, rows, f64::from_bits);
                writer.write_batch(&values, levels.as_deref(), None)?;
            }
            _ => return Err(ParquetError::General("a column of a type that the table does not have".to_owned())),
        }
        Ok(())
    }

    /// The values that are there, and where a column may lack some, for each row a 1 where one is.
    fn gather<T>(
        &self,
        column: usize,
        rows: impl Iterator<Item = usize> + Clone,
        value: impl Fn(u64) -> T,
    ) -> (Vec<T>, Option<Vec<i16>>) {
        let cells = &self.cells[column - 1];
        let values = rows.clone().filter_map(|row| cells.get(row)).map(value).collect();
        let is_required = matches!(COLUMNS[column].kind, ColumnKind::Text | ColumnKind::Integer);
        (values, (!is_required).then(|| rows.map(|row| i16::from(cells.present[row])).collect()))
    }
}

/// Room for the values of rows before they are read. A damaged footer may promise any number.
fn room(rows: &Range<usize>) -> usize {
    rows.len().min(GROUP_ROWS)
}

/// The names of a row group's devices, in these of its rows.
pub(crate) fn read_text(group: &dyn RowGroupReader, rows: Range<usize>) -> Result<Vec<ByteArray>> {
    let mut values = Vec::with_capacity(room(&rows));
    match group.get_column_reader(0)? {
        ColumnReader::ByteArrayColumnReader(mut reader) => read_rows(&mut reader, rows, None, &mut values)?,
        _ => return Err(other_type(0)),
    }
    Ok(values)
}

/// A row group's numbers of another column, in these of its rows.
pub(crate) fn read_cells(group: &dyn RowGroupReader, column: usize, rows: Range<usize>) -> Result<Cells> {
    let optional = SCHEMA.get_fields()[column].get_basic_info().repetition() == Repetition::OPTIONAL;
    let mut levels = optional.then(|| Vec::with_capacity(room(&rows)));
    let values: Vec<u64> = match group.get_column_reader(column)? {
        ColumnReader::Int64ColumnReader(mut reader) => {
            let mut values = Vec::with_capacity(room(&rows));
            read_rows::<Int64Type>(&mut reader, rows, levels.as_mut(), &mut values)?;
            values.into_iter().map(|value| value as u64).collect()
        }
        ColumnReader::DoubleColumnReader(mut reader) => {
            let mut values = Vec::with_capacity(room(&rows));
            read_rows(&mut reader, rows, levels.as_mut(), &mut values)?;
            values.into_iter().map(f64::to_bits).collect()
        }
        _ => return Err(other_type(column)),
    };
    let Some(levels) = levels else { return Ok(Cells { present: vec![true; values.len()], bits: values }) };
    let present: Vec<bool> = levels.into_iter().map(|level: i16| level > 0).collect();
    let mut values = values.into_iter();
    // There are as many values as levels say: the reader has seen to it.
    let bits = present.iter().map(|is_there| if *is_there { values.next().unwrap_or_default() } else { 0 }).collect();
    Ok(Cells { bits, present })
}

/// Reads rows of a column of a row group, all of which must be there.
fn read_rows<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: Range<usize>,
    mut levels: Option<&mut Vec<i16>>,
    values: &mut Vec<T::T>,
) -> Result<()> {
    let skipped = reader.skip_records(rows.start)?;
    let mut read = 0;
    // A part at a time: memory then grows with the rows that pages have, and not with what the footer says of them.
    while read < rows.len() {
        let part = (rows.len() - read).min(GROUP_ROWS);
        let (found, ..) = reader.read_records(part, levels.as_deref_mut(), None, values)?;
        if found == 0 {
            break;
        }
        read += found;
    }
    if skipped == rows.start && read == rows.len() {
        return Ok(());
    }
    let end = rows.end;
    Err(ParquetError::General(format!("a column has {} rows where {end} were asked for", skipped + read)))
}

fn other_type(column: usize) -> ParquetError {
    ParquetError::General(format!("`{}` has another type", COLUMNS[column].name))
}
