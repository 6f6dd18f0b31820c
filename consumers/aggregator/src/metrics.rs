//! What is measured of a batch.

use aggregator::BatchReport;
use lambda::{Metric, since};
use ports::StreamRecord;
use serde_json::Value;
use std::time::{Duration, Instant};
use telemetry::Timestamp;

/// A batch as it came in.
#[derive(Debug)]
pub(crate) struct Received {
    records: usize,
    /// The stream's times of the first and the last arrival, in milliseconds.
    arrivals: Option<(i64, i64)>,
    at: Timestamp,
    started: Instant,
}

/// What is measured of a batch.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    report: &'a BatchReport,
    records: usize,
    /// DynamoDB's write capacity units.
    write_units: f64,
    /// How long the last record had waited when the batch came: the age as Lambda's own metric has it.
    iterator_age: Duration,
    /// From the batch to its answer.
    duration: Duration,
    /// From the arrival of the first record in the stream to the batch's answer.
    latency: Duration,
    done: Timestamp,
}

impl Received {
    /// `records`, which came at `at`.
    pub(crate) fn new(records: &[StreamRecord], at: Timestamp) -> Self {
        let arrivals = || records.iter().map(|record| record.arrived_at.as_millisecond());
        Received {
            records: records.len(),
            arrivals: arrivals().min().zip(arrivals().max()),
            at,
            started: Instant::now(),
        }
    }

    /// The batch is done, at `done`.
    pub(crate) fn done<'a>(&self, report: &'a BatchReport, write_units: f64, done: Timestamp) -> Batch<'a> {
        let (first, last) = self.arrivals.unwrap_or((done.as_millisecond(), self.at.as_millisecond()));
        Batch {
            report,
            records: self.records,
            write_units,
            iterator_age: since(last, self.at),
            duration: self.started.elapsed(),
            latency: since(first, done),
            done,
        }
    }
}

impl Batch<'_> {
    /// The document, on one line. Dead letters are counted in all, and again under each reason that occurred.
    pub(crate) fn document(&self, namespace: &str, function: &str) -> Value {
        let report = self.report;
        let dead_letters: u64 = report.dead_letters.values().sum();
        let mut metrics = vec![
            Metric::count("BatchRecords", self.records),
            Metric::count("ReadingsCounted", report.counted),
            Metric::count("Duplicates", report.duplicates),
            Metric::count("DeadLetters", dead_letters),
            Metric::count("FailedGroups", report.failed_groups),
            Metric::count("NewerVersion", report.newer_version),
            Metric::count("WriteUnits", self.write_units),
            Metric::milliseconds("IteratorAge", self.iterator_age),
            Metric::milliseconds("BatchDuration", self.duration),
            Metric::milliseconds("Latency", self.latency),
        ];
        let by_reason = report.dead_letters.iter();
        metrics.extend(by_reason.map(|(reason, count)| Metric::count(format!("DeadLetters_{reason}"), *count)));
        lambda::document(namespace, function, self.done, metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use telemetry::RejectReason;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a timestamp")
    }

    /// The sample's records arrived from 12:00:00 on, 125 ms apart.
    fn document(report: &BatchReport, received: &str, done: &str) -> Value {
        let good = include_str!("../events/good.json");
        let aggregator::lambda::RecordBatch(records) = serde_json::from_str(good).expect("an event");
        Received::new(&records, at(received)).done(report, 3.0, at(done)).document("Streamgauge", "aggregator")
    }

    fn full_report() -> BatchReport {
        let dead_letters = RejectReason::ALL.into_iter().zip(1..).collect();
        BatchReport { counted: 5, duplicates: 1, dead_letters, failed_groups: 4, newer_version: 2 }
    }

    #[test]
    fn every_number_stands_under_its_name() {
        let document = document(&full_report(), "2026-01-31T12:00:02Z", "2026-01-31T12:00:03Z");
        let expected = [
            ("BatchRecords", 5.0),
            ("ReadingsCounted", 5.0),
            ("Duplicates", 1.0),
            ("DeadLetters", 36.0),
            ("DeadLetters_malformed_json", 1.0),
            ("DeadLetters_late", 7.0),
            ("DeadLetters_corrupt_state", 8.0),
            ("FailedGroups", 4.0),
            ("NewerVersion", 2.0),
            ("WriteUnits", 3.0),
            ("IteratorAge", 1500.0),
            ("Latency", 3000.0),
        ];
        for (name, value) in expected {
            assert_eq!(document[name].as_f64(), Some(value), "{name}");
        }
        assert_eq!(document["_aws"]["Timestamp"], 1_769_860_803_000_i64);
        assert_eq!(document["FunctionName"], "aggregator");
    }

    #[test]
    fn a_stream_whose_clock_is_ahead_makes_no_negative_age() {
        let document = document(&full_report(), "2026-01-31T11:59:00Z", "2026-01-31T11:59:01Z");
        assert_eq!((document["IteratorAge"].as_f64(), document["Latency"].as_f64()), (Some(0.0), Some(0.0)));
    }

    /// What the specification demands of a document, member by member.
    #[test]
    fn a_document_is_of_the_embedded_metric_format() {
        let document = document(&full_report(), "2026-01-31T12:00:02Z", "2026-01-31T12:00:03Z");
        assert!(!document.to_string().contains('\n'), "a log event is one line");
        assert!(document["_aws"]["Timestamp"].is_u64(), "milliseconds since the epoch");
        let directives = document["_aws"]["CloudWatchMetrics"].as_array().expect("directives");
        assert_eq!(directives.len(), 1);
        let namespace = directives[0]["Namespace"].as_str().expect("a namespace");
        assert!((1..=1024).contains(&namespace.len()));
        let sets = directives[0]["Dimensions"].as_array().expect("sets of dimensions");
        assert!(!sets.is_empty());
        for dimension in sets.iter().flat_map(|set| set.as_array().expect("a set of at most 30")) {
            let value = document[dimension.as_str().expect("a name")].as_str().expect("a dimension's value is text");
            assert!((1..=1024).contains(&value.len()));
        }
        let metrics = directives[0]["Metrics"].as_array().expect("definitions");
        assert!(metrics.len() <= 100);
        let mut names: Vec<&str> = Vec::new();
        for metric in metrics {
            let name = metric["Name"].as_str().expect("a name");
            assert!(["Count", "Milliseconds"].contains(&metric["Unit"].as_str().expect("a unit")), "{name}");
            assert!(document[name].as_f64().is_some_and(f64::is_finite), "{name} has no value");
            assert_eq!(
                metric.as_object().expect("an object").len(),
                2,
                "{name} has a member that is none of the format's"
            );
            names.push(name);
        }
        names.extend(["FunctionName", "_aws"]);
        names.sort_unstable();
        // Nothing defined twice, and nothing in the document that is not defined.
        let members: Vec<&str> = document.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(names, members);
    }
}
