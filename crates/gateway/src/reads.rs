//! What clients and the dashboard read.

use crate::answer::{Answer, Interval, Number, Refusal, json};
use crate::query::query;
use crate::recent::Recent;
use crate::{Gateway, PipelineView, ViewError};
use hyper::StatusCode;
use hyper::http::request::Parts;
use ports::{EventStream, MEMBERS, Member, MemberValue, StatisticsAttributes, with_causes};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use telemetry::DeviceId;

const DEVICES_DEFAULT: usize = 100;
const DEVICES_MAX: usize = 1000;

impl<S: EventStream, V: PipelineView> Gateway<S, V> {
    pub(crate) async fn statistics(&self, head: &Parts) -> Result<Answer, Refusal> {
        let device_id = query(head, &["device_id"])?.required_device("device_id")?;
        let attributes = self.view.device(&device_id).await.map_err(unavailable)?;
        let attributes = attributes.filter(|attributes| attributes.count > 0).ok_or_else(|| no_data(&device_id))?;
        Ok(json(StatusCode::OK, &Statistics::new(&device_id, &attributes)))
    }

    pub(crate) async fn devices(&self, head: &Parts) -> Result<Answer, Refusal> {
        #[derive(Serialize)]
        struct Body<'a> {
            devices: Vec<Statistics<'a>>,
            next: Option<&'a str>,
        }
        let query = query(head, &["limit", "after"])?;
        let limit = query.limit(DEVICES_DEFAULT, DEVICES_MAX)?;
        let after = query.device("after")?;
        // One more than asked tells whether there is a next page.
        let mut devices = self.view.devices(after.as_ref(), limit + 1).await.map_err(unavailable)?;
        let more = devices.len() > limit;
        devices.truncate(limit);
        let next = if more { devices.last().map(|(device, _)| device.as_str()) } else { None };
        let devices = devices.iter().map(|(device, attributes)| Statistics::new(device, attributes)).collect();
        Ok(json(StatusCode::OK, &Body { devices, next }))
    }

    pub(crate) async fn pipeline(&self, head: &Parts) -> Result<Answer, Refusal> {
        query(head, &[])?;
        Ok(json(StatusCode::OK, &self.view.accounting().await.map_err(unavailable)?))
    }

    pub(crate) async fn recent_activity(&self, head: &Parts) -> Result<Answer, Refusal> {
        let device_id = query(head, &["device_id"])?.required_device("device_id")?;
        if let Some(recent) = self.recent.of(device_id.as_str()) {
            return Ok(json(StatusCode::OK, &recent));
        }
        // Nothing since the start is not the same as no such device.
        let known = self.view.device(&device_id).await.map_err(unavailable)?;
        known.ok_or_else(|| no_data(&device_id))?;
        let device_id = device_id.as_str().to_owned();
        Ok(json(StatusCode::OK, &Recent { device_id, readings: Vec::new(), statistics: Vec::new() }))
    }
}

/// One device's statistics, with the contract's members in the contract's order.
#[derive(Serialize)]
pub(crate) struct Statistics<'a> {
    pub device_id: &'a str,
    #[serde(flatten)]
    members: Members<'a>,
}

/// The members of a record, as answers have them.
pub(crate) struct Members<'a>(pub &'a StatisticsAttributes);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(MEMBERS.len()))?;
        for (Member { name, .. }, value) in self.0.members() {
            match value {
                MemberValue::Count(count) => map.serialize_entry(name, &count)?,
                MemberValue::Number(number) => map.serialize_entry(name, &number.map(Number))?,
                MemberValue::Interval(ends) => map.serialize_entry(name, &ends.map(Interval::from))?,
                MemberValue::Timestamp(instant) => map.serialize_entry(name, &instant)?,
            }
        }
        map.end()
    }
}

impl<'a> Statistics<'a> {
    pub fn new(device_id: &'a DeviceId, attributes: &'a StatisticsAttributes) -> Self {
        Statistics { device_id: device_id.as_str(), members: Members(attributes) }
    }
}

pub(crate) fn no_data(device_id: &DeviceId) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("no data of the device {device_id}"))
}

pub(crate) fn unavailable(error: impl Into<ViewError>) -> Refusal {
    let ViewError::Unavailable(source) = error.into();
    tracing::warn!(error = with_causes(source.as_ref()), "the pipeline's storage is unavailable");
    Refusal::unavailable("the pipeline's storage is unavailable: try again")
}
