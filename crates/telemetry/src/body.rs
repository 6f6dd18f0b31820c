//! The three bodies that devices post: one reading, a series, a batch.

use crate::member::{Members, elements, invalid, json_text, members};
use crate::{DeviceId, EventId, MAX_MAGNITUDE, MAX_READINGS, Reading, Rejection, Series, Timestamp};

/// Parses the body of `POST /data`.
///
/// # Errors
/// A [`Rejection`] that names the member that is wrong and its rule.
pub fn parse_reading(body: &[u8]) -> Result<Reading, Rejection> {
    reading(&members(json_text(body)?, "")?, "")
}

/// Parses the body of `POST /data/series`: refused whole if one reading is wrong.
///
/// # Errors
/// A [`Rejection`] that names the member that is wrong and its rule.
pub fn parse_series(body: &[u8]) -> Result<Series, Rejection> {
    let members = members(json_text(body)?, "")?;
    for (name, json) in [("timestamp", members.timestamp), ("value", members.value)] {
        if json.is_some() {
            return Err(invalid(format!("`{name}`: cannot stand beside `readings`")));
        }
    }
    let (device_id, items) = series_items(&members)?;
    let readings = items.iter().enumerate().map(|(index, item)| series_reading(&device_id, item, index));
    Ok(Series { readings: readings.collect::<Result<_, _>>()?, device_id })
}

/// One reading of a batch, and its own body as it was posted.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchEntry<'a> {
    /// The reading.
    pub reading: Reading,
    /// Its JSON object.
    pub body: &'a str,
}

/// Parses the body of `POST /data/batch`: refused whole if one reading is wrong.
///
/// # Errors
/// A [`Rejection`] that names the member that is wrong and its rule.
pub fn parse_batch(body: &[u8]) -> Result<Vec<BatchEntry<'_>>, Rejection> {
    let members = members(json_text(body)?, "")?;
    let items = readings_array(&members)?;
    items
        .into_iter()
        .enumerate()
        .map(|(index, body)| {
            let path = format!("readings[{index}].");
            let reading = reading(&self::members(body, &path)?, &path)?;
            Ok(BatchEntry { reading, body })
        })
        .collect()
}

/// The device and the raw readings of a series.
pub(crate) fn series_items<'a>(members: &Members<'a>) -> Result<(DeviceId, Vec<&'a str>), Rejection> {
    let device_id = device_id(members, "")?;
    match readings_array(members) {
        Ok(items) => Ok((device_id, items)),
        Err(mut rejection) => {
            rejection.device_id = Some(device_id);
            Err(rejection)
        }
    }
}

fn readings_array<'a>(members: &Members<'a>) -> Result<Vec<&'a str>, Rejection> {
    let json = members.readings.ok_or_else(|| invalid("`readings`: is missing".to_owned()))?;
    let items = elements(json).ok_or_else(|| invalid("`readings`: must be an array".to_owned()))?;
    if items.is_empty() || items.len() > MAX_READINGS {
        let found = items.len();
        return Err(invalid(format!("`readings`: must hold 1 to {MAX_READINGS} readings, but holds {found}")));
    }
    Ok(items.into_iter().map(|item| item.get()).collect())
}

/// One reading of a series, whose device stands outside it.
pub(crate) fn series_reading(device: &DeviceId, json: &str, index: usize) -> Result<Reading, Rejection> {
    let path = format!("readings[{index}].");
    let of_device = |mut rejection: Rejection| {
        rejection.device_id = Some(device.clone());
        rejection
    };
    let members = members(json, &path).map_err(of_device)?;
    if members.device_id.is_some() && device_id(&members, &path).ok().as_ref() != Some(device) {
        return Err(of_device(invalid(format!(
            "`{path}device_id`: must be the series' own device, where it is given"
        ))));
    }
    reading_of(device.clone(), &members, &path).map_err(of_device)
}

/// A reading that names its device.
pub(crate) fn reading(members: &Members<'_>, path: &str) -> Result<Reading, Rejection> {
    let device = device_id(members, path)?;
    reading_of(device.clone(), members, path).map_err(|mut rejection| {
        rejection.device_id = Some(device);
        rejection
    })
}

fn reading_of(device_id: DeviceId, members: &Members<'_>, path: &str) -> Result<Reading, Rejection> {
    if members.readings.is_some() {
        return Err(invalid(format!("`{path}readings`: cannot stand in a single reading")));
    }
    let timestamp = string(members.timestamp, "timestamp", path, "must be an RFC 3339 string")?;
    let timestamp = Timestamp::parse(&timestamp).map_err(|rule| invalid(format!("`{path}timestamp`: {rule}")))?;
    let value = value(members.value, path)?;
    let event_id = match members.event_id {
        None => None,
        given => Some(
            EventId::parse(string(given, "event_id", path, EventId::RULE)?)
                .map_err(|rule| invalid(format!("`{path}event_id`: {rule}")))?,
        ),
    };
    Ok(Reading { device_id, timestamp, value, event_id })
}

fn device_id(members: &Members<'_>, path: &str) -> Result<DeviceId, Rejection> {
    let text = string(members.device_id, "device_id", path, DeviceId::RULE)?;
    DeviceId::parse(text).map_err(|rule| invalid(format!("`{path}device_id`: {rule}")))
}

fn string(json: Option<&str>, name: &str, path: &str, rule: &str) -> Result<String, Rejection> {
    let json = json.ok_or_else(|| invalid(format!("`{path}{name}`: is missing")))?;
    serde_json::from_str(json).map_err(|_| invalid(format!("`{path}{name}`: {rule}")))
}

fn value(json: Option<&str>, path: &str) -> Result<f64, Rejection> {
    let json = json.ok_or_else(|| invalid(format!("`{path}value`: is missing")))?;
    if !json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Err(invalid(format!("`{path}value`: must be a JSON number")));
    }
    match serde_json::from_str::<f64>(json) {
        // Adding +0.0 turns -0.0 into +0.0: the two are one value.
        Ok(value) if value.abs() <= MAX_MAGNITUDE => Ok(value + 0.0),
        _ => Err(invalid(format!("`{path}value`: must be finite, with a magnitude of at most 1e100"))),
    }
}
