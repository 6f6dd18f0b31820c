//! Batches that Lambda gave up, whose records the stream has no more.

use super::cloud::Cloud;
use crate::support::Expected;
use crate::support::week::{Place as _, reading};
use serde_json::Value;

/// A batch of a stream that is gone, by its metadata alone, with what the archive has of its hour.
fn expired(cloud: &mut Cloud, archived: usize) -> (Value, String) {
    let bodies: Vec<String> = (0..5).map(|second| reading("gone", second, &second.to_string())).collect();
    let records = cloud.put_given_up(&bodies);
    let mut metadata = cloud.metadata(&records);
    let arn = metadata["KinesisBatchInfo"]["streamArn"].as_str().unwrap().to_owned() + "-of-before";
    metadata["KinesisBatchInfo"]["streamArn"] = arn.into();
    let arrived = records[0].1.arrived_at;
    let hour = format!("raw/dt={}/hour={:02}", arrived.utc_date(), arrived.utc_hour());
    if archived > 0 {
        // One was counted before: it stands in the archive too.
        let lines: String = bodies[..archived].iter().map(|body| body.clone() + "\n").collect();
        cloud.object(&format!("{hour}/part-1"), lines.into_bytes());
    }
    cloud.put("gone", bodies[0].as_bytes());
    cloud.settle();
    (metadata, arrived.to_string())
}

#[test]
fn what_the_stream_has_no_more_is_had_from_the_archive() {
    let mut cloud = Cloud::start();
    let (metadata, _) = expired(&mut cloud, 5);
    cloud.message(&metadata.to_string());
    let shell = cloud.shell();
    let dry = shell.run("streamgauge dlq redrive", "");
    assert!(dry.code == 0 && dry.out.contains("send: 5 readings"), "{dry:?}");
    let applied = shell.run("streamgauge dlq redrive --apply", "");
    assert!(
        applied.out.ends_with("1 dead letters: 1 sent (5 readings), 0 skipped, 0 refused, 0 failed\n"),
        "{applied:?}"
    );
    cloud.settle();
    Expected::of(&[0.0, 1.0, 2.0, 3.0, 4.0]).assert_equals(&cloud.statistics("gone"));
    assert_eq!(shell.json("streamgauge dlq summary")["letters"], 0);
}

#[test]
fn what_is_nowhere_is_said_to_be_lost_with_its_range_and_time_and_stays() {
    let mut cloud = Cloud::start();
    let (metadata, arrived) = expired(&mut cloud, 0);
    cloud.message(&metadata.to_string());
    let (metadata, _) = expired(&mut cloud, 3);
    cloud.message(&metadata.to_string());
    let shell = cloud.shell();
    let applied = shell.run("streamgauge dlq redrive --apply", "");
    let start = metadata["KinesisBatchInfo"]["startSequenceNumber"].as_str().unwrap();
    for said in ["of its 5 records are lost", start, &arrived, "-of-before, shardId-"] {
        assert!(applied.out.contains(said), "{said}: {applied:?}");
    }
    assert_eq!(applied.code, 1);
    cloud.settle();
    // What could be had has gone.
    Expected::of(&[0.0, 1.0, 2.0]).assert_equals(&cloud.statistics("gone"));
    assert_eq!(shell.json("streamgauge dlq summary")["reasons"]["lambda_failure"]["letters"], 2);
    shell.run("streamgauge dlq purge lost.jsonl --reason lambda_failure", "");
    assert_eq!(shell.json("streamgauge dlq summary")["letters"], 0);
}
