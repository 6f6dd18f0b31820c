//! One document a batch in CloudWatch's embedded metric format, which CloudWatch Logs turns into metrics.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use aggregator::{BatchReport, arrived_at};
use aws_lambda_events::event::kinesis::KinesisEvent;
use serde_json::{Map, Value, json};
use std::time::Duration;
use telemetry::Timestamp;

/// What is measured of a batch.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    report: &'a BatchReport,
    records: usize,
    /// How long the batch's last record had waited when the batch was done.
    iterator_age: Duration,
    duration: Duration,
    now: Timestamp,
}

impl<'a> Batch<'a> {
    /// Of `event`, which took `duration` and was done at `now`.
    pub(crate) fn of(event: &KinesisEvent, report: &'a BatchReport, duration: Duration, now: Timestamp) -> Self {
        let arrivals = event.records.iter().map(|r| arrived_at(r).as_millisecond());
        let age = arrivals.max().map_or(0, |arrival| now.as_millisecond() - arrival);
        // The stream's clock may be ahead of ours.
        let iterator_age = Duration::from_millis(age.max(0) as u64);
        Batch { report, records: event.records.len(), iterator_age, duration, now }
    }

    /// The document, on one line. Dead letters are counted in all, and again under each reason that occurred.
    pub(crate) fn document(&self, namespace: &str, function: &str) -> Value {
        let report = self.report;
        let dead_letters: u64 = report.dead_letters.values().sum();
        let mut metrics = vec![
            ("BatchRecords".to_owned(), "Count", json!(self.records)),
            ("ReadingsCounted".to_owned(), "Count", json!(report.counted)),
            ("Duplicates".to_owned(), "Count", json!(report.duplicates)),
            ("DeadLetters".to_owned(), "Count", json!(dead_letters)),
            ("FailedGroups".to_owned(), "Count", json!(report.failed_groups)),
            ("IteratorAge".to_owned(), "Milliseconds", json!(milliseconds(self.iterator_age))),
            ("BatchDuration".to_owned(), "Milliseconds", json!(milliseconds(self.duration))),
        ];
        let by_reason = report.dead_letters.iter();
        metrics.extend(by_reason.map(|(reason, count)| (format!("DeadLetters_{reason}"), "Count", json!(count))));
        let definitions: Vec<Value> =
            metrics.iter().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit })).collect();
        let mut document: Map<String, Value> = metrics.into_iter().map(|(name, _, value)| (name, value)).collect();
        document.insert("FunctionName".to_owned(), json!(function));
        let directive = json!({ "Namespace": namespace, "Dimensions": [["FunctionName"]], "Metrics": definitions });
        document.insert(
            "_aws".to_owned(),
            json!({ "Timestamp": self.now.as_millisecond(), "CloudWatchMetrics": [directive] }),
        );
        Value::Object(document)
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use telemetry::RejectReason;

    #[test]
    fn every_metric_that_is_defined_has_its_value_and_the_other_way_round() {
        let dead_letters = [(RejectReason::Late, 2), (RejectReason::MalformedJson, 1)].into();
        let report = BatchReport { counted: 5, duplicates: 1, dead_letters, failed_groups: 0 };
        let good = include_str!("../events/good.json");
        let aggregator::KinesisBatch(event) = serde_json::from_str(good).expect("an event");
        let now = Timestamp::parse("2026-01-31T12:00:02Z").expect("a timestamp");
        let document = Batch::of(&event, &report, Duration::from_millis(7), now).document("Streamgauge", "aggregator");

        let definitions = document["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().expect("metrics");
        let mut names: Vec<&str> = definitions.iter().map(|metric| metric["Name"].as_str().expect("a name")).collect();
        for name in &names {
            assert!(document[name].is_number(), "{name} has no value");
        }
        names.extend(["FunctionName", "_aws"]);
        assert_eq!(names.len(), document.as_object().expect("an object").len());
        assert_eq!(document["DeadLetters"], 3);
        assert_eq!(document["DeadLetters_late"], 2);
        assert_eq!(document["BatchRecords"], 5);
        assert_eq!(document["IteratorAge"], 1500.0);
        assert_eq!(document["BatchDuration"], 7.0);
        assert!(!document.to_string().contains('\n'));
    }
}
