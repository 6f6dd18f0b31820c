//! Where in a payload the wrong member stands.

use serde_json::value::RawValue;
use telemetry::{RejectReason, Scanner, decode_record};

/// A place in a payload.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Spot {
    /// The member that is wrong, such as `value` or `readings[3].timestamp`; `None` where the text itself is.
    pub member: Option<String>,
    /// The place in bytes, from 0.
    pub offset: usize,
    /// How many bytes are wrong: 0 at the end of what is too short.
    pub length: usize,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1; a byte that is no UTF-8 is one character.
    pub column: usize,
}

/// The place that explains a dead letter: where its payload breaks a rule or, where it breaks none, the member that
/// the reason is about. `None` where the fault is not in the payload (`corrupt_state`), or nowhere in particular.
pub fn locate(reason: RejectReason, payload: &[u8]) -> Option<Spot> {
    if telemetry::kpl::is_aggregate(payload) {
        return None;
    }
    let text = match std::str::from_utf8(payload) {
        Ok(text) => text,
        Err(error) => return Some(spot(payload, None, error.valid_up_to(), 1)),
    };
    if let Err(error) = serde_json::from_str::<&RawValue>(text) {
        let offset = syntax_offset(text, &error);
        return Some(spot(payload, None, offset, usize::from(offset < payload.len())));
    }
    let rejected = decode_record(payload).into_iter().find_map(|decoded| decoded.outcome.err());
    let path = match &rejected {
        Some(rejection) => path_of(&rejection.detail)?,
        None => match reason {
            RejectReason::FutureTimestamp | RejectReason::Late => "timestamp".to_owned(),
            RejectReason::ConflictingDuplicate => "value".to_owned(),
            RejectReason::PartitionKeyMismatch => "device_id".to_owned(),
            _ => return None,
        },
    };
    let found = resolve(text, &path);
    let offset = found.as_ptr() as usize - text.as_ptr() as usize;
    Some(spot(payload, Some(path), offset, found.len()))
}

fn spot(payload: &[u8], member: Option<String>, offset: usize, length: usize) -> Spot {
    let before = &payload[..offset];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
    Spot { member, offset, length, line, column }
}

/// The byte at which the text stops being JSON.
fn syntax_offset(text: &str, error: &serde_json::Error) -> usize {
    let line_start = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
    // Columns are bytes from 1; where the text ends too early, the last byte is named: the fault comes after it.
    let past = usize::from(error.is_eof());
    (line_start + error.column().saturating_sub(1) + past).min(text.len())
}

/// The member that a rejection names: in backquotes, or in double quotes where its rule holds for any member.
fn path_of(detail: &str) -> Option<String> {
    let quoted = |text: &str| text.strip_prefix('`')?.split('`').next().map(str::to_owned);
    let any = detail.split_once("the member \"").map(|(before, rest)| {
        let object = quoted(before).map_or_else(String::new, |path| path + ".");
        let rules = ["\" is named twice", "\" is nested too deep"];
        let name = rules.iter().find_map(|rule| rest.rsplit_once(rule)).map_or(rest, |(name, _)| name);
        format!("{object}{name}")
    });
    any.or_else(|| quoted(detail))
}

/// The value of a member, or the innermost thing on its way that is there.
fn resolve<'a>(text: &'a str, path: &str) -> &'a str {
    let mut at = text.trim();
    for step in path.split('.') {
        let (name, index) = match step.strip_suffix(']').and_then(|step| step.split_once('[')) {
            Some((name, index)) => (name, index.parse::<usize>().ok()),
            None => (step, None),
        };
        // The last of a member named twice is the one that is too many.
        let Some((_, value)) = members(at).into_iter().rfind(|(member, _)| member == name) else { return at };
        at = value;
        if let Some(index) = index {
            let elements: Vec<&RawValue> = serde_json::from_str(at).unwrap_or_default();
            let Some(element) = elements.get(index) else { return at };
            at = element.get();
        }
    }
    at
}

/// The members of a JSON object, in order, as they stand, also those named twice; none of what is no object.
pub(crate) fn members(json: &str) -> Vec<(String, &str)> {
    let mut members = Vec::new();
    let read = Scanner::new(json).members(|scanner, name| {
        members.push((name.ok()?.into_owned(), scanner.raw()?));
        Some(())
    });
    read.map_or_else(Vec::new, |()| members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(payload: &str) -> (String, String, usize, usize) {
        let spot = locate(RejectReason::InvalidReading, payload.as_bytes()).expect(payload);
        let wrong = payload[spot.offset..spot.offset + spot.length].to_owned();
        (spot.member.unwrap_or_default(), wrong, spot.line, spot.column)
    }

    fn found(member: &str, wrong: &str, line: usize, column: usize) -> (String, String, usize, usize) {
        (member.to_owned(), wrong.to_owned(), line, column)
    }

    #[test]
    fn the_member_that_is_wrong_is_found_where_it_stands() {
        let good = r#""timestamp":"2026-01-01T00:00:00Z""#;
        assert_eq!(at(&format!(r#"{{"device_id":"d",{good},"value":"x"}}"#)), found("value", "\"x\"", 1, 61));
        assert_eq!(at(&format!("{{\"device_id\":\"ü\",\n {good},\"value\":1}}")), found("device_id", "\"ü\"", 1, 14));
        assert_eq!(
            at(&format!("{{\"device_id\":\"d\",\n {good},\n \"value\": \"é\"}}")),
            found("value", "\"é\"", 3, 11)
        );
        let missing = format!(r#" {{"device_id":"d",{good}}}"#);
        assert_eq!(at(&missing), found("value", missing.trim(), 1, 2));
        let twice = format!(r#"{{"device_id":"d",{good},"value":1,"value":22}}"#);
        assert_eq!(at(&twice), found("value", "22", 1, 71));
        let deep = "[".repeat(127) + "1" + &"]".repeat(127);
        let nested = format!(r#"{{"device_id":"d","readings":[{{{good},"value":1,"note":{deep}}}]}}"#);
        assert_eq!((at(&nested).0, at(&nested).1), ("readings[0].note".to_owned(), deep));
        let series = format!(r#"{{"device_id":"d","readings":[{{{good},"value":1}},{{{good},"value":null}}]}}"#);
        assert_eq!(at(&series).0, "readings[1].value");
        assert_eq!(at(&series).1, "null");
        assert_eq!(locate(RejectReason::InvalidReading, b"[1]"), None);
    }

    #[test]
    fn text_that_is_no_json_is_wrong_from_where_it_stops_being_so() {
        let offset = |payload: &[u8]| locate(RejectReason::MalformedJson, payload).expect("a place");
        assert_eq!((offset(b"{\"a\":1,}").offset, offset(b"{\"a\":1,}").length), (7, 1));
        assert_eq!((offset(b"{\"a\":").offset, offset(b"{\"a\":").length), (5, 0));
        assert_eq!((offset(b"").offset, offset(b"").length), (0, 0));
        assert_eq!((offset(b"{}\n x").line, offset(b"{}\n x").column), (2, 2));
        assert_eq!((offset(b"{\"a\":\"\xff\"}").offset, offset(b"ab\n\xff").column), (6, 1));
    }

    #[test]
    fn a_payload_that_breaks_no_rule_is_explained_by_its_reason() {
        let reading = br#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":1}"#;
        let member = |reason| locate(reason, reading).and_then(|spot| spot.member);
        assert_eq!(member(RejectReason::ConflictingDuplicate).as_deref(), Some("value"));
        assert_eq!(member(RejectReason::PartitionKeyMismatch).as_deref(), Some("device_id"));
        assert_eq!(member(RejectReason::FutureTimestamp).as_deref(), Some("timestamp"));
        assert_eq!(member(RejectReason::Late).as_deref(), Some("timestamp"));
        assert_eq!(member(RejectReason::CorruptState), None);
    }

    proptest! {
        #[test]
        fn every_place_lies_within_the_payload(
            payload in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..80),
                "[{}\\[\\]\":,a-c0-9\\\\ \n]{0,60}".prop_map(String::into_bytes),
            ],
        ) {
            for reason in RejectReason::ALL {
                if let Some(spot) = locate(reason, &payload) {
                    prop_assert!(spot.offset + spot.length <= payload.len() && spot.line > 0 && spot.column > 0);
                }
            }
        }
    }
}
