//! The part of the table of devices that a page shows.

use super::snapshot::Snapshot;
use crate::answer::Refusal;
use crate::query::Query;
use crate::query::query;
use hyper::http::request::Parts;
use ports::StatisticsAttributes;
use std::cmp::Ordering;
use telemetry::{DeviceId, Timestamp};

const ROWS_DEFAULT: usize = 25;
const ROWS_MAX: usize = 200;
const SEARCH_CHARS_MAX: usize = 128;
const PARAMETERS: [&str; 7] = ["sort", "order", "search", "offset", "limit", "device_id", "within"];

/// A column, by its name in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Device,
    Count,
    Mean,
    Median,
    StandardDeviation,
    Minimum,
    Maximum,
    Anomalies,
    LastTimestamp,
    UpdatedAt,
}

const COLUMNS: [(&str, Column); 10] = [
    ("device_id", Column::Device),
    ("count", Column::Count),
    ("mean", Column::Mean),
    ("median", Column::Median),
    ("standard_deviation", Column::StandardDeviation),
    ("minimum", Column::Minimum),
    ("maximum", Column::Maximum),
    ("anomaly_count", Column::Anomalies),
    ("last_timestamp", Column::LastTimestamp),
    ("updated_at", Column::UpdatedAt),
];

/// Which rows, in which order, and which device by itself.
#[derive(Debug)]
pub(super) struct TableQuery {
    sort: Column,
    descending: bool,
    search: String,
    offset: usize,
    limit: usize,
    /// Only devices whose value in the column lies from the one to the other, both included.
    within: Option<(Column, f64, f64)>,
    pub chosen: Option<DeviceId>,
}

/// What a page shows that has just been opened.
impl Default for TableQuery {
    fn default() -> Self {
        TableQuery {
            sort: Column::Device,
            descending: false,
            search: String::new(),
            offset: 0,
            limit: ROWS_DEFAULT,
            within: None,
            chosen: None,
        }
    }
}

impl TableQuery {
    pub fn parse(head: &Parts) -> Result<Self, Refusal> {
        let query = query(head, &PARAMETERS)?;
        let search = query.get("search").unwrap_or_default();
        if search.chars().count() > SEARCH_CHARS_MAX {
            let message = format!("query parameter `search`: must have at most {SEARCH_CHARS_MAX} characters");
            return Err(Refusal::bad_request(message));
        }
        let descending = match query.get("order") {
            None | Some("ascending") => false,
            Some("descending") => true,
            Some(_) => return Err(Refusal::bad_request("query parameter `order`: must be ascending or descending")),
        };
        Ok(TableQuery {
            sort: column(&query, "sort")?.unwrap_or(Column::Device),
            descending,
            search: search.to_ascii_lowercase(),
            offset: query.whole("offset")?.unwrap_or(0),
            limit: query.limit(ROWS_DEFAULT, ROWS_MAX)?,
            within: within(&query)?,
            chosen: query.device("device_id")?,
        })
    }

    /// How many devices are meant, and where those that are shown stand in the snapshot.
    pub fn rows(&self, snapshot: &Snapshot) -> (usize, Vec<usize>) {
        let mut meant: Vec<(Option<f64>, usize)> = snapshot
            .devices
            .iter()
            .enumerate()
            .filter(|(_, (device, attributes))| self.means(device, attributes))
            .map(|(at, (_, attributes))| (value(self.sort, attributes), at))
            .collect();
        let matching = meant.len();
        let start = self.offset.min(matching);
        let end = (start + self.limit).min(matching);
        let order = |a: &(Option<f64>, usize), b: &(Option<f64>, usize)| self.compare(snapshot, *a, *b);
        // Only what is shown is put in order: what stands before it need only be before it.
        if start > 0 && start < matching {
            meant.select_nth_unstable_by(start, order);
        }
        let rest = &mut meant[start..];
        if end - start < rest.len() && end > start {
            rest.select_nth_unstable_by(end - start, order);
        }
        let shown = &mut rest[..end - start];
        shown.sort_unstable_by(order);
        (matching, shown.iter().map(|(_, at)| *at).collect())
    }

    fn means(&self, device: &DeviceId, attributes: &StatisticsAttributes) -> bool {
        let holds = |(column, from, to): (Column, f64, f64)| {
            value(column, attributes).is_some_and(|value| (from..=to).contains(&value))
        };
        (self.search.is_empty() || contains(device.as_str(), &self.search)) && self.within.is_none_or(holds)
    }

    fn compare(&self, snapshot: &Snapshot, a: (Option<f64>, usize), b: (Option<f64>, usize)) -> Ordering {
        let turn = |order: Ordering| if self.descending { order.reverse() } else { order };
        let rank = snapshot.rank[a.1].cmp(&snapshot.rank[b.1]);
        if self.sort == Column::Device {
            return turn(rank);
        }
        // What is not defined is neither small nor large: it stands last in either direction.
        match (a.0, b.0) {
            (Some(a), Some(b)) => turn(a.total_cmp(&b)).then(rank),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => rank,
        }
    }
}

/// The number to sort by; times in milliseconds.
fn value(column: Column, of: &StatisticsAttributes) -> Option<f64> {
    let instant = |at: Timestamp| at.as_millisecond() as f64;
    match column {
        Column::Device => None,
        Column::Count => Some(of.count as f64),
        Column::Mean => of.mean,
        Column::Median => of.median,
        Column::StandardDeviation => of.standard_deviation,
        Column::Minimum => of.minimum,
        Column::Maximum => of.maximum,
        Column::Anomalies => Some(of.anomaly_count as f64),
        Column::LastTimestamp => of.last_timestamp.map(instant),
        Column::UpdatedAt => Some(instant(of.updated_at)),
    }
}

/// Whether a name holds a text of lower-case letters, in either case.
fn contains(name: &str, text: &str) -> bool {
    name.as_bytes().windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

fn column(query: &Query<'_>, name: &'static str) -> Result<Option<Column>, Refusal> {
    let find = |text: &str| {
        let known = COLUMNS.into_iter().find(|(known, _)| *known == text).map(|(_, column)| column);
        known.ok_or_else(|| {
            let known = COLUMNS.map(|(known, _)| known).join(", ");
            Refusal::bad_request(format!("query parameter `{name}`: must be one of {known}"))
        })
    };
    query.get(name).map(find).transpose()
}

fn within(query: &Query<'_>) -> Result<Option<(Column, f64, f64)>, Refusal> {
    let Some(text) = query.get("within") else { return Ok(None) };
    let wrong =
        || Refusal::bad_request("query parameter `within`: must be a column and two numbers, such as mean,10,20.5");
    let parts: Vec<&str> = text.split(',').collect();
    let [column, from, to] = parts[..] else { return Err(wrong()) };
    let column = COLUMNS.into_iter().find(|(known, _)| *known == column).map(|(_, column)| column);
    let column = column.filter(|column| *column != Column::Device).ok_or_else(wrong)?;
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| !number.is_nan()).ok_or_else(wrong);
    Ok(Some((column, number(from)?, number(to)?)))
}
