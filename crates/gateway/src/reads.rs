//! What clients and the dashboard read.

use crate::answer::{Answer, Number, Refusal, json};
use crate::gateway::query;
use crate::recent::Recent;
use crate::{Gateway, PipelineView, ViewError};
use hyper::StatusCode;
use hyper::http::request::Parts;
use ports::{ConfidenceInterval, EventStream, StatisticsAttributes, with_causes};
use serde::Serialize;
use telemetry::{DeviceId, Timestamp};

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
    count: u64,
    mean: Option<Number>,
    median: Option<Number>,
    standard_deviation: Option<Number>,
    minimum: Option<Number>,
    maximum: Option<Number>,
    mean_confidence_95: Option<Interval>,
    anomaly_count: u64,
    first_timestamp: Option<Timestamp>,
    last_timestamp: Option<Timestamp>,
    updated_at: Timestamp,
}

/// A closed interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Interval {
    pub low: Number,
    pub high: Number,
}

impl From<ConfidenceInterval> for Interval {
    fn from(of: ConfidenceInterval) -> Self {
        Interval { low: Number(of.low), high: Number(of.high) }
    }
}

impl<'a> Statistics<'a> {
    pub fn new(device_id: &'a DeviceId, attributes: &StatisticsAttributes) -> Self {
        Statistics {
            device_id: device_id.as_str(),
            count: attributes.count,
            mean: attributes.mean.map(Number),
            median: attributes.median.map(Number),
            standard_deviation: attributes.standard_deviation.map(Number),
            minimum: attributes.minimum.map(Number),
            maximum: attributes.maximum.map(Number),
            mean_confidence_95: attributes.mean_confidence_95.map(Interval::from),
            anomaly_count: attributes.anomaly_count,
            first_timestamp: attributes.first_timestamp,
            last_timestamp: attributes.last_timestamp,
            updated_at: attributes.updated_at,
        }
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
