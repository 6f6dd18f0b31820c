//! A week's failures: letters of every reason, and the statistics that there must be once they are fixed by the commands of
//! docs/operations.md.

use super::Expected;
use super::runbook::{Section, Shell, sections};
use std::collections::BTreeMap;

/// Where records are put and counted: one machine, or AWS.
pub trait Place {
    /// Puts a record past the front door.
    fn put(&mut self, partition_key: &str, record: &[u8]);
    /// Waits until all that was put is counted or a dead letter.
    fn settle(&mut self);
    /// Damages the stored state of a device so that it does not decode.
    fn corrupt(&mut self, device: &str);
    /// Puts a device's stored state back as it was before it was damaged.
    fn restore(&mut self, device: &str);
    /// Has a dead letter of the reason `late`, of this payload.
    fn send_late(&mut self, payload: &[u8]);
    /// Has batches that Lambda gave up, and a message that is none of ours; the readings in them are `reading` of the
    /// device `lambda`, of the seconds 0 to 5, of which 0 and 1 were counted. Nothing where there is no Lambda.
    fn give_up(&mut self) -> bool;
    /// The device's statistics.
    fn statistics(&mut self, device: &str) -> serde_json::Value;
}

pub fn reading(device: &str, second: u32, value: &str) -> String {
    format!(r#"{{"device_id":"{device}","timestamp":"2026-01-01T00:00:{second:02}Z","value":{value}}}"#)
}

/// Produces the failures, and what is good beside them.
fn fail(place: &mut impl Place) {
    for second in 0..5 {
        place.put("boiler", reading("boiler", second, &second.to_string()).as_bytes());
        place.put("broken", reading("broken", second, "7").as_bytes());
    }
    place.settle();
    place.corrupt("broken");
    for second in 5..8 {
        place.put("broken", reading("broken", second, "9").as_bytes());
    }
    // Text that can be fixed, and noise.
    place.put("boiler", br#"{"device_id":"boiler","timestamp":"2026-01-01T00:01:00Z" "value":60}"#);
    place.put("boiler", b"\x1b]0;noise\x07\xff\xfe");
    place.put("boiler", reading("boiler", 11, "\"\\u001b[31m\\u202e\"").as_bytes());
    place.put("boiler", reading("boiler", 12, "\"x\"").as_bytes());
    place.put("boiler", br#"{"device_id":"two words","timestamp":"yesterday","value":33}"#);
    place.put("boiler", reading("boiler", 0, "40").replace("2026-01-01", "2999-01-01").as_bytes());
    place.put("boiler", reading("boiler", 1, "100").as_bytes());
    place.put("valve", reading("valve", 1, "5").as_bytes());
    place.settle();
    place.put("valve", reading("valve", 1, "6").as_bytes());
    place.put("a\u{1b}[2J\u{202e}key", reading("boiler", 20, "50").as_bytes());
    place.put("boiler", b"\xf3\x89\x9a\xc2 no aggregate");
    place.settle();
    place.send_late(reading("boiler", 30, "70").as_bytes());
    place.send_late(reading("valve", 30, "70").as_bytes());
}

/// Follows the document from its first command of dead letters to its last; the statistics must equal the oracle's.
pub fn follow_the_runbook(place: &mut impl Place, shell: &Shell) {
    fail(place);
    let has_lambda = place.give_up();
    // The operator adds the comma that is missing, and deletes the line of what is no text.
    shell.editor(r#"sed -i -e 's/Z\\" \\"value/Z\\", \\"value/' -e '/"body":null/d' "$1""#);
    let summary = shell.json("streamgauge dlq summary");
    for (reason, letters) in expected_letters(has_lambda) {
        assert_eq!(summary["reasons"][reason]["letters"], letters, "{reason}: {summary}");
    }
    let mut commands = 0;
    for section in sections() {
        match section.heading.as_str() {
            "partition_key_mismatch" => place.put("another-key", reading("boiler", 21, "51").as_bytes()),
            "corrupt_state" => place.restore("broken"),
            _ => {}
        }
        place.settle();
        commands += run_section(place, shell, &section);
    }
    assert!(commands > 25, "{commands} commands");
    let left = shell.json("streamgauge dlq summary");
    assert_eq!(left["letters"], 0, "{left}");
    assert_statistics(place, has_lambda);
}

/// Runs a section's commands, for the letter of its reason that has no device, or for any.
fn run_section(place: &mut impl Place, shell: &Shell, section: &Section) -> usize {
    for command in &section.commands {
        // The first commands are for any letter.
        let reason = if section.heading == "Dead letters" { "invalid_reading" } else { &section.heading };
        let id = if command.contains("ID") { letter_id(shell, reason) } else { String::new() };
        let ran = shell.run(command, &id);
        if command.contains("show ID") {
            assert!(ran.out.contains(&id) && ran.out.contains("^"), "{ran:?}");
        }
        place.settle();
    }
    let is_reason = section.heading.contains('_') || section.heading == "late" || section.heading == "unreadable";
    if is_reason {
        let left = shell.ids(&section.heading);
        assert!(left.is_empty(), "{} after {:?}: {left:?}", section.heading, section.commands);
    }
    section.commands.len()
}

fn letter_id(shell: &Shell, reason: &str) -> String {
    let letters = shell.json(&format!("streamgauge dlq list --limit 1000 --reason {reason}"));
    let letters = letters.as_array().unwrap();
    let without_device = letters.iter().find(|letter| letter["device_id"].is_null());
    let letter = without_device.or(letters.first()).unwrap_or_else(|| panic!("no letter of {reason}"));
    letter["id"].as_str().unwrap().to_owned()
}

fn expected_letters(has_lambda: bool) -> BTreeMap<&'static str, u64> {
    let mut letters = BTreeMap::from([
        ("malformed_json", 2),
        ("invalid_reading", 3),
        ("future_timestamp", 1),
        ("conflicting_duplicate", 2),
        ("partition_key_mismatch", 1),
        ("bad_aggregate", 1),
        ("late", 2),
        ("corrupt_state", 3),
    ]);
    if has_lambda {
        letters.extend([("lambda_failure", 2), ("unreadable", 1)]);
    }
    letters
}

fn assert_statistics(place: &mut impl Place, has_lambda: bool) {
    // 0 to 4 came well; 60 was fixed by hand; 21.5 twice and 33 were set; 40 got its time; 100 its name; 50 and 51 their
    // key; 20 was known from elsewhere; 70 a later instant.
    let boiler = [0.0, 1.0, 2.0, 3.0, 4.0, 60.0, 21.5, 21.5, 33.0, 40.0, 100.0, 50.0, 51.0, 20.0, 70.0];
    Expected::of(&boiler).assert_equals(&place.statistics("boiler"));
    let broken = [7.0, 7.0, 7.0, 7.0, 7.0, 9.0, 9.0, 9.0];
    Expected::of(&broken).assert_equals(&place.statistics("broken"));
    Expected::of(&[5.0]).assert_equals(&place.statistics("valve"));
    if has_lambda {
        Expected::of(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).assert_equals(&place.statistics("lambda"));
    }
}
