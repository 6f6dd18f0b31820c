//! Curated rows as one Parquet file, and back.
//!
//! Doubles that came of arithmetic keep nearly all of their 52 bits of noise; split by bytes, the few that are alike
//! compress. Values that were measured repeat, and go through a dictionary. Integers and timestamps lie close together:
//! their differences are kept. Pages are gzip, which every reader of Parquet knows, and which ends in a checksum.
//! <https://parquet.apache.org/docs/file-format/data-pages/encodings/>

use crate::bounded_file::BoundedFile;
use crate::checksum;
pub use crate::read_error::ReadError;
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, GzipLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterPropertiesPtr};
use parquet::file::reader::{ChunkReader, FileReader as _, SerializedFileReader};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::record::Field;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};
use ports::{
    COLUMNS, Cell, Column, ColumnKind, ConfidenceInterval, CuratedRow, Field as At, MEMBERS, StatisticsAttributes,
    catch_panic,
};
use std::fs::File;
use std::sync::{Arc, LazyLock};
use telemetry::{DeviceId, Timestamp};

/// Columns whose values are measured ones, and so repeat.
const MEASURED: [&str; 3] = ["median", "minimum", "maximum"];

/// Rows of a page: who asks for one device reads the pages that have it. A file of 10,000 rows is 2% larger so than in one
/// page, and three times as quickly asked.
const PAGE_ROWS: usize = 2048;

/// Timestamps are without a time zone, as Athena's are and as Firehose writes them, so that a query means the same on
/// both sides; they are in UTC.
pub(crate) static SCHEMA: LazyLock<TypePtr> = LazyLock::new(|| {
    let columns: String = COLUMNS
        .iter()
        .map(|Column { name, kind }| match kind {
            ColumnKind::Text => format!("required binary {name} (UTF8);"),
            ColumnKind::Integer => format!("required int64 {name};"),
            ColumnKind::Double => format!("optional double {name};"),
            ColumnKind::Timestamp => format!("optional int64 {name} (TIMESTAMP(MILLIS,false));"),
        })
        .collect();
    // The text is made of constants, and a test reads files that were written with it.
    Arc::new(parse_message_type(&format!("message device_statistics {{ {columns} }}")).expect("a schema"))
});

static PROPERTIES: LazyLock<WriterPropertiesPtr> = LazyLock::new(|| Arc::new(properties().build()));

/// How every file of the table is written.
pub(crate) fn properties() -> WriterPropertiesBuilder {
    let properties = WriterProperties::builder()
        .set_created_by("streamgauge".to_owned())
        .set_compression(Compression::GZIP(GzipLevel::default()))
        .set_dictionary_enabled(false)
        .set_data_page_row_count_limit(PAGE_ROWS);
    COLUMNS.iter().fold(properties, encoded)
}

fn encoded(properties: WriterPropertiesBuilder, column: &Column) -> WriterPropertiesBuilder {
    let path = ColumnPath::from(column.name.as_str());
    match column.kind {
        ColumnKind::Text => properties.set_column_encoding(path, Encoding::DELTA_BYTE_ARRAY),
        ColumnKind::Double if MEASURED.contains(&column.name.as_str()) => {
            properties.set_column_dictionary_enabled(path, true)
        }
        ColumnKind::Double => properties.set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT),
        ColumnKind::Integer | ColumnKind::Timestamp => {
            properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED)
        }
    }
}

/// The rows as a whole Parquet file.
///
/// # Errors
/// None that rows could bring about: memory takes whatever is written to it.
pub fn write(rows: &[CuratedRow]) -> Result<Vec<u8>> {
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::clone(&SCHEMA), Arc::clone(&PROPERTIES))?;
    let mut group = file.next_row_group()?;
    let rows: Vec<Vec<Cell<'_>>> = rows.iter().map(|row| row.cells().collect()).collect();
    for (at, column) in COLUMNS.iter().enumerate() {
        let writer = group.next_column()?.ok_or_else(|| ParquetError::General("a column is missing".to_owned()))?;
        write_column(writer, column.kind, rows.iter().map(|row| row[at]))?;
    }
    group.close()?;
    file.into_inner()
}

fn write_column<'a>(
    mut writer: SerializedColumnWriter<'_>,
    kind: ColumnKind,
    cells: impl Iterator<Item = Cell<'a>>,
) -> Result<()> {
    match kind {
        ColumnKind::Text => {
            let text = |cell| if let Cell::Text(text) = cell { Some(ByteArray::from(text)) } else { None };
            let values: Vec<ByteArray> = cells.filter_map(text).collect();
            writer.typed::<ByteArrayType>().write_batch(&values, None, None)?;
        }
        ColumnKind::Integer => {
            let integer = |cell| if let Cell::Integer(value) = cell { Some(value) } else { None };
            let values: Vec<i64> = cells.filter_map(integer).collect();
            writer.typed::<Int64Type>().write_batch(&values, None, None)?;
        }
        ColumnKind::Double => {
            let (values, levels) = present(cells.map(|cell| if let Cell::Double(value) = cell { value } else { None }));
            writer.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
        }
        ColumnKind::Timestamp => {
            let instant = |cell| if let Cell::Timestamp(instant) = cell { instant } else { None };
            let (values, levels) = present(cells.map(|cell| instant(cell).map(Timestamp::as_millisecond)));
            writer.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
        }
    }
    writer.close()
}

/// The values that are there, and for each row a 1 where one is.
fn present<T>(values: impl Iterator<Item = Option<T>>) -> (Vec<T>, Vec<i16>) {
    let all: Vec<Option<T>> = values.collect();
    let levels = all.iter().map(|value| i16::from(value.is_some())).collect();
    (all.into_iter().flatten().collect(), levels)
}

/// Reads a file; a panic of the Parquet reader becomes the file's error.
pub(crate) fn catch<T>(read: impl FnOnce() -> std::result::Result<T, ReadError>) -> std::result::Result<T, ReadError> {
    catch_panic(read)?
}

/// Every row of a file, of ours or of Firehose's.
///
/// # Errors
/// [`ReadError`].
pub fn read(bytes: Vec<u8>) -> std::result::Result<Vec<CuratedRow>, ReadError> {
    let mut rows = Vec::new();
    catch(|| visit(Bytes::from(bytes), |row| rows.push(row)))?;
    Ok(rows)
}

/// Compares the file under `key` with the checksum in its name, where it has one, and reads every row; how many there are.
///
/// # Errors
/// [`ReadError`].
pub fn verify(key: &str, file: File) -> std::result::Result<u64, ReadError> {
    checksum::check(key, &file)?;
    catch(|| visit(BoundedFile(file), drop))
}

fn visit<R: ChunkReader + 'static>(
    from: R,
    mut visit_row: impl FnMut(CuratedRow),
) -> std::result::Result<u64, ReadError> {
    let reader = SerializedFileReader::new(from)?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let names: Vec<&str> = schema.columns().iter().map(|column| column.name()).collect();
    if !names.iter().copied().eq(COLUMNS.iter().map(|column| column.name.as_str())) {
        return Err(ReadError::OtherTable(format!("the columns are {}", names.join(", "))));
    }
    let mut count = 0;
    for row in reader.get_row_iter(None)? {
        let row = row?;
        let fields: Vec<&Field> = row.get_column_iter().map(|(_, field)| field).collect();
        visit_row(row_of(&fields)?);
        count += 1;
    }
    let promised = reader.metadata().file_metadata().num_rows();
    if u64::try_from(promised) != Ok(count) {
        return Err(ReadError::OtherTable(format!("it has {count} rows where its footer says {promised}")));
    }
    Ok(count)
}

/// The fields of a row, in the order of [`COLUMNS`].
fn row_of(fields: &[&Field]) -> std::result::Result<CuratedRow, ReadError> {
    let device_id = match fields.first() {
        Some(Field::Str(text)) => DeviceId::parse(text.as_str()).map_err(|_| is_wrong(0))?,
        _ => return Err(is_wrong(0)),
    };
    row_of_bits(device_id, |at| match (COLUMNS[at].kind, fields.get(at)) {
        (_, Some(Field::Null)) => Ok(None),
        (ColumnKind::Double, Some(Field::Double(value))) => Ok(Some(value.to_bits())),
        (ColumnKind::Integer, Some(Field::Long(value))) => Ok(Some(*value as u64)),
        (ColumnKind::Timestamp, Some(Field::Long(value) | Field::TimestampMillis(value))) => Ok(Some(*value as u64)),
        _ => Err(is_wrong(at)),
    })
}

/// A device's row, whose other columns are 64 bits each: of integers and instants as they are, of doubles theirs.
pub(crate) fn row_of_bits(
    device_id: DeviceId,
    bits: impl Fn(usize) -> std::result::Result<Option<u64>, ReadError>,
) -> std::result::Result<CuratedRow, ReadError> {
    let integer = |at| bits(at)?.filter(|bits| i64::try_from(*bits).is_ok()).ok_or_else(|| is_wrong(at));
    let double = |at| Ok::<_, ReadError>(bits(at)?.map(f64::from_bits));
    let instant = |at| {
        let instant = |bits| Timestamp::from_millisecond(bits as i64).ok_or_else(|| is_wrong(at));
        bits(at)?.map(instant).transpose()
    };
    let mut statistics = StatisticsAttributes::empty(Timestamp::UNIX_EPOCH);
    let mut column = 2..;
    for member in &MEMBERS {
        let mut next = || column.next().unwrap_or_default();
        match member.field {
            At::Count(count) => *count(&mut statistics) = integer(next())?,
            At::Number(number) => *number(&mut statistics) = double(next())?,
            At::Interval(interval) => {
                let ends = double(next())?.zip(double(next())?);
                *interval(&mut statistics) = ends.map(|(low, high)| ConfidenceInterval { low, high });
            }
            At::Timestamp(timestamp) => *timestamp(&mut statistics) = instant(next())?,
            At::Instant(timestamp) => {
                let at = next();
                *timestamp(&mut statistics) = instant(at)?.ok_or_else(|| is_wrong(at))?;
            }
        }
    }
    Ok(CuratedRow { device_id, revision: integer(1)?, statistics })
}

fn is_wrong(column: usize) -> ReadError {
    ReadError::OtherTable(format!("`{}` is not what the column holds", COLUMNS[column].name))
}
