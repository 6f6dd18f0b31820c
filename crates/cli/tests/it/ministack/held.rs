//! Messages are held while they are looked at, and given back; what is stopped can be run again at once.

use super::cloud::Cloud;
use crate::support::Expected;
use crate::support::week::Place as _;
use aws::aws_sdk_sqs::types::QueueAttributeName;
use serde_json::json;
use std::process::{Command, Stdio};
use std::time::Duration;

const LETTERS: u32 = 40;

fn with_letters() -> Cloud {
    let mut cloud = Cloud::start();
    let readings: Vec<_> = (0..LETTERS)
        .map(|second| json!({"timestamp": format!("2026-01-01T00:00:{second:02}Z"), "value": second}))
        .collect();
    cloud.put("wrong-key", json!({"device_id": "d", "readings": readings}).to_string().as_bytes());
    cloud.settle();
    cloud
}

/// Messages that nobody holds, and those that somebody does.
fn numbers(cloud: &Cloud) -> (u32, u32) {
    let names =
        [QueueAttributeName::ApproximateNumberOfMessages, QueueAttributeName::ApproximateNumberOfMessagesNotVisible];
    let request =
        cloud.sqs.get_queue_attributes().queue_url(&cloud.queue_url).set_attribute_names(Some(names.to_vec()));
    let attributes = cloud.runtime.block_on(request.send()).unwrap().attributes.unwrap();
    let [visible, held] = names.map(|name| attributes[&name].parse().unwrap());
    (visible, held)
}

#[test]
fn looking_changes_nothing_however_often_and_in_whatever_form() {
    let cloud = with_letters();
    let shell = cloud.shell();
    let objects = |cloud: &Cloud| {
        let list = cloud.s3.list_objects_v2().bucket(&cloud.name);
        cloud.runtime.block_on(list.send()).unwrap().contents.unwrap_or_default().len()
    };
    let before = objects(&cloud);
    for command in ["summary", "list", "redrive", "export all.jsonl", "show no-such-letter", "import all.jsonl"] {
        shell.run(&format!("streamgauge dlq {command}"), "");
        assert_eq!((numbers(&cloud), objects(&cloud)), ((LETTERS, 0), before), "{command}");
    }
    let list = shell.json("streamgauge dlq list --limit 7");
    assert_eq!(list.as_array().unwrap().len(), 7);
    assert_eq!(numbers(&cloud), (LETTERS, 0));
}

#[test]
fn what_sending_needs_is_asked_for_before_anything_happens() {
    let cloud = with_letters();
    for (variable, flag) in [("STREAMGAUGE_STREAM", "--stream"), ("STREAMGAUGE_ARCHIVE_BUCKET", "--archive-bucket")] {
        let output = redrive(&cloud, "9").env_remove(variable).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8(output.stderr).unwrap().contains(flag));
    }
    let missing = redrive(&cloud, "9").env("STREAMGAUGE_QUEUE_URL", cloud.queue_url.clone() + "-not").output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert_eq!(numbers(&cloud), (LETTERS, 0));
}

fn redrive(cloud: &Cloud, rate: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamgauge"));
    command.envs(cloud.environment()).args(["dlq", "redrive", "--apply", "--rate", rate]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn a_redrive_killed_at_any_moment_is_run_again_at_once_and_counts_nothing_twice() {
    let mut cloud = with_letters();
    for pause in [700, 1500, 2500] {
        let mut child = redrive(&cloud, "20").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        let _ = child.kill();
        child.wait().unwrap();
    }
    let shell = cloud.shell();
    shell.run("streamgauge dlq redrive --apply", "");
    cloud.settle();
    let values: Vec<f64> = (0..LETTERS).map(f64::from).collect();
    Expected::of(&values).assert_equals(&cloud.statistics("d"));
    assert_eq!(shell.json("streamgauge dlq summary")["letters"], 0, "what a killed command holds is done all the same");
}

#[test]
fn a_redrive_that_is_told_to_stop_gives_back_what_it_holds() {
    let cloud = with_letters();
    let mut child = redrive(&cloud, "5").spawn().unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    let (_, held) = numbers(&cloud);
    assert!(held > 0, "it had begun");
    assert!(Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let (visible, held) = numbers(&cloud);
    assert!(visible > 0 && held == 0, "{visible} {held}");
}
