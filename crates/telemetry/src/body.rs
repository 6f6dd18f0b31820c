//! The three bodies that devices post: one reading, a series, a batch.

use crate::scan::{self, Document, Item, Items, Members, document};
use crate::{DeviceId, EventId, MAX_MAGNITUDE, MAX_READINGS, Reading, ReadingRef, RejectReason, Rejection, Timestamp};
use std::borrow::Cow;
use std::fmt;

/// Parses the body of `POST /data`.
///
/// # Errors
/// A [`Rejection`] that names the member that is wrong and its rule.
pub fn parse_reading(body: &[u8]) -> Result<Reading, Rejection> {
    let document = document(body)?;
    Ok(reading(object(&document.members, Path::BODY)?, Path::BODY)?.as_ref().to_reading())
}

/// Passes on the readings of a `POST /data/series` body one by one, with their places, and returns their device and
/// how many there are. Where a reading is wrong, those before it have been passed on.
///
/// # Errors
/// A [`Rejection`] that names the member that is wrong and its rule.
pub fn visit_series(body: &[u8], mut visit: impl FnMut(usize, ReadingRef<'_>)) -> Result<(DeviceId, u64), Rejection> {
    let document = document(body)?;
    let members = object(&document.members, Path::BODY)?;
    for (name, json) in [("timestamp", members.timestamp), ("value", members.value)] {
        if json.is_some() {
            return Err(invalid(format!("`{name}`: cannot stand beside `readings`")));
        }
    }
    let (device, items) = series_items(&document)?;
    for (index, item) in items.iter().enumerate() {
        visit(index, series_reading(&device, item, index)?.as_ref());
    }
    Ok((DeviceId::checked(&device), items.len() as u64))
}

/// Passes on the readings of a `POST /data/batch` body one by one, each with its own body as it was posted. Where a
/// reading is wrong, those before it have been passed on.
///
/// # Errors
/// A [`Rejection`] that names the member that is wrong and its rule.
pub fn visit_batch<'a>(body: &'a [u8], mut visit: impl FnMut(ReadingRef<'_>, &'a str)) -> Result<(), Rejection> {
    let document = document(body)?;
    object(&document.members, Path::BODY)?;
    for (index, item) in readings_array(&document)?.iter().enumerate() {
        let path = Path(Some(index));
        visit(reading(object(&item.members, path)?, path)?.as_ref(), item.json);
    }
    Ok(())
}

/// Where a member lies, as a message puts it before the member's name: `readings[3].`, or nothing in the body itself.
#[derive(Clone, Copy)]
pub(crate) struct Path(Option<usize>);

impl Path {
    pub(crate) const BODY: Path = Path(None);
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |index| write!(f, "readings[{index}]."))
    }
}

/// The members of what must be an object that every JSON parser reads alike.
pub(crate) fn object<'m, 'a>(members: &'m Option<Members<'a>>, path: Path) -> Result<&'m Members<'a>, Rejection> {
    let fault = match members {
        Some(members) => match &members.fault {
            None => return Ok(members),
            Some(fault) => fault,
        },
        None => "must be a JSON object",
    };
    Err(invalid(match path.0 {
        None => format!("the body: {fault}"),
        Some(index) => format!("`readings[{index}]`: {fault}"),
    }))
}

/// A valid reading, whose names are borrowed from its body unless they hold escapes there.
pub(crate) struct Valid<'a> {
    device_id: Cow<'a, str>,
    timestamp: Timestamp,
    value: f64,
    event_id: Option<Cow<'a, str>>,
}

impl Valid<'_> {
    pub(crate) fn as_ref(&self) -> ReadingRef<'_> {
        ReadingRef {
            device_id: &self.device_id,
            timestamp: self.timestamp,
            value: self.value,
            event_id: self.event_id.as_deref(),
        }
    }
}

/// The device and the readings of a series.
pub(crate) fn series_items<'m, 'a>(document: &'m Document<'a>) -> Result<(Cow<'a, str>, &'m [Item<'a>]), Rejection> {
    let device = device_id(object(&document.members, Path::BODY)?, Path::BODY)?;
    match readings_array(document) {
        Ok(items) => Ok((device, items)),
        Err(rejection) => Err(of_device(&device, rejection)),
    }
}

fn readings_array<'m, 'a>(document: &'m Document<'a>) -> Result<&'m [Item<'a>], Rejection> {
    match &document.items {
        Some(Items { count: 1..=MAX_READINGS, items }) => Ok(items),
        Some(Items { count, .. }) => {
            Err(invalid(format!("`readings`: must hold 1 to {MAX_READINGS} readings, but holds {count}")))
        }
        None if document.members.as_ref().is_some_and(|members| members.readings.is_some()) => {
            Err(invalid("`readings`: must be an array".to_owned()))
        }
        None => Err(invalid("`readings`: is missing".to_owned())),
    }
}

/// One reading of a series, whose device stands outside it.
pub(crate) fn series_reading<'a>(device: &'a str, item: &Item<'a>, index: usize) -> Result<Valid<'a>, Rejection> {
    let path = Path(Some(index));
    let checked = object(&item.members, path).and_then(|members| {
        if members.device_id.is_some() && device_id(members, path).ok().as_deref() != Some(device) {
            let rule = "must be the series' own device, where it is given";
            return Err(invalid(format!("`{path}device_id`: {rule}")));
        }
        reading_of(Cow::Borrowed(device), members, path)
    });
    checked.map_err(|rejection| of_device(device, rejection))
}

/// A reading that names its device.
pub(crate) fn reading<'a>(members: &Members<'a>, path: Path) -> Result<Valid<'a>, Rejection> {
    let device = device_id(members, path)?;
    reading_of(device, members, path).map_err(|rejection| match device_id(members, path) {
        Ok(device) => of_device(&device, rejection),
        Err(_) => rejection,
    })
}

fn reading_of<'a>(device_id: Cow<'a, str>, members: &Members<'a>, path: Path) -> Result<Valid<'a>, Rejection> {
    if members.readings.is_some() {
        return Err(invalid(format!("`{path}readings`: cannot stand in a single reading")));
    }
    let timestamp = string(members.timestamp, "timestamp", path, "must be an RFC 3339 string")?;
    let timestamp = Timestamp::parse(&timestamp).map_err(|rule| invalid(format!("`{path}timestamp`: {rule}")))?;
    let value = value(members.value, path)?;
    let event_id = match members.event_id {
        None => None,
        given => Some(name(given, "event_id", path, EventId::is_valid, EventId::RULE)?),
    };
    Ok(Valid { device_id, timestamp, value, event_id })
}

fn device_id<'a>(members: &Members<'a>, path: Path) -> Result<Cow<'a, str>, Rejection> {
    name(members.device_id, "device_id", path, DeviceId::is_valid, DeviceId::RULE)
}

fn name<'a>(
    json: Option<&'a str>,
    member: &str,
    path: Path,
    is_valid: impl Fn(&str) -> bool,
    rule: &str,
) -> Result<Cow<'a, str>, Rejection> {
    let text = string(json, member, path, rule)?;
    if is_valid(&text) { Ok(text) } else { Err(invalid(format!("`{path}{member}`: {rule}"))) }
}

fn string<'a>(json: Option<&'a str>, member: &str, path: Path, rule: &str) -> Result<Cow<'a, str>, Rejection> {
    let json = json.ok_or_else(|| invalid(format!("`{path}{member}`: is missing")))?;
    scan::string(json).ok_or_else(|| invalid(format!("`{path}{member}`: {rule}")))
}

fn value(json: Option<&str>, path: Path) -> Result<f64, Rejection> {
    let json = json.ok_or_else(|| invalid(format!("`{path}value`: is missing")))?;
    if !json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Err(invalid(format!("`{path}value`: must be a JSON number")));
    }
    match json.parse::<f64>() {
        // Adding +0.0 turns -0.0 into +0.0: the two are one value.
        Ok(value) if value.abs() <= MAX_MAGNITUDE => Ok(value + 0.0),
        _ => Err(invalid(format!("`{path}value`: must be finite, with a magnitude of at most 1e100"))),
    }
}

fn of_device(device: &str, rejection: Rejection) -> Rejection {
    Rejection { device_id: Some(DeviceId::checked(device)), ..rejection }
}

/// A rejection with the reason `invalid_reading`.
fn invalid(detail: String) -> Rejection {
    Rejection::new(RejectReason::InvalidReading, detail)
}
