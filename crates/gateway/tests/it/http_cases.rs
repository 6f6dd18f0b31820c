//! The cases that hold on AWS and on one machine, run against the real gateway. `http_cases.json` says what they are; the
//! same file is run against API Gateway's document and mapping templates by `terraform/tests/templates`.

use crate::support::memory::Fate;
use crate::support::{Answer, JSON, KEY, Server};
use ports::StreamEntry;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use telemetry::one_line;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "about")]
    _about: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    before: Vec<Request>,
    #[serde(default)]
    stream: Vec<String>,
    request: Request,
    expect: Expected,
    /// What AWS does otherwise, and why; run elsewhere.
    aws: Option<Expected>,
    why: Option<String>,
    /// What the table holds on AWS.
    #[serde(rename = "item")]
    _item: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    method: String,
    path: String,
    query: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    /// Left out: the good key; null: none.
    #[serde(default = "good_key")]
    api_key: Option<String>,
    #[serde(default)]
    body: Body,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Text(String),
    #[serde(rename_all = "snake_case")]
    Repeated {
        before: String,
        times: usize,
        of: String,
        #[serde(default = "comma")]
        between: String,
        after: String,
    },
}

#[derive(Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Expected {
    status: u16,
    answer: Option<Map<String, Value>>,
    failed_indexes: Option<Vec<u64>>,
    names: Option<String>,
    #[serde(default)]
    records: Vec<Record>,
}

#[derive(Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Record {
    partition_key: String,
    data: Option<String>,
    json: Option<Value>,
    times: Option<usize>,
}

fn good_key() -> Option<String> {
    Some(KEY.to_owned())
}

fn comma() -> String {
    ",".to_owned()
}

impl Default for Body {
    fn default() -> Self {
        Body::Text(String::new())
    }
}

impl Body {
    fn text(&self) -> String {
        match self {
            Body::Text(text) => text.clone(),
            Body::Repeated { before, times, of, between, after } => {
                format!("{before}{}{after}", vec![of.as_str(); *times].join(between))
            }
        }
    }
}

impl Request {
    fn send(&self, server: &Server) -> Answer {
        let mut headers: BTreeMap<&str, Option<&str>> = BTreeMap::from([("x-api-key", self.api_key.as_deref())]);
        if self.method != "GET" {
            headers.insert(JSON.0, Some(JSON.1));
        }
        headers.extend(self.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())));
        let headers: Vec<_> = headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let target = self.query.as_ref().map_or_else(|| self.path.clone(), |query| format!("{}?{query}", self.path));
        server.request(&self.method, &target, &headers, self.body.text().as_bytes())
    }
}

fn fate(name: &str) -> Fate {
    match name {
        "stored" => Fate::Stored,
        "throttled" => Fate::Throttled,
        "unavailable" => Fate::Unavailable,
        "refused" => Fate::Refused,
        other => panic!("there is no fate {other}"),
    }
}

fn cases() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http_cases.json");
    serde_json::from_str::<File>(&std::fs::read_to_string(path).unwrap()).unwrap().cases
}

fn assert_records(case: &Case, stored: &[StreamEntry]) {
    let expected: Vec<&Record> =
        case.expect.records.iter().flat_map(|record| vec![record; record.times.unwrap_or(1)]).collect();
    assert_eq!(stored.len(), expected.len(), "{}: records", case.name);
    for (entry, record) in stored.iter().zip(expected) {
        assert_eq!(entry.partition_key, record.partition_key, "{}", case.name);
        let text = String::from_utf8(entry.data.clone()).unwrap();
        match record {
            Record { data: Some(data), .. } => assert_eq!(&text, data, "{}", case.name),
            Record { json: Some(json), .. } => {
                assert_eq!(&serde_json::from_str::<Value>(&text).unwrap(), json, "{}", case.name);
            }
            // The readings of a batch are taken apart; anything else is one record, as it was posted.
            _ if case.request.path == "/data/batch" => {}
            _ => assert_eq!(entry.data, one_line(case.request.body.text().as_bytes()), "{}", case.name),
        }
    }
}

fn assert_answer(case: &Case, answer: &Answer) {
    let Case { name, expect, .. } = case;
    assert_eq!(answer.status, expect.status, "{name}: {}", answer.text());
    let body = answer.json();
    assert_eq!(answer.header("retry-after").is_some(), matches!(expect.status, 429 | 503), "{name}: Retry-After");
    for (member, value) in expect.answer.iter().flatten() {
        assert_eq!(&body[member], value, "{name}: {member}");
    }
    if expect.status >= 400 {
        let message = answer.message();
        assert!(!message.is_empty(), "{name}");
        if let Some(named) = &expect.names {
            assert!(message.contains(named.as_str()), "{name}: {message}");
        }
    }
    if expect.status == 200 && matches!(case.request.path.as_str(), "/data" | "/data/series") {
        assert_receipt(&body, name);
    }
    if let Some(indexes) = &expect.failed_indexes {
        let failed: Vec<_> = body["failed"].as_array().unwrap().iter().map(|failed| &failed["index"]).collect();
        assert_eq!(failed, indexes.iter().collect::<Vec<_>>(), "{name}");
    }
}

fn assert_receipt(body: &Value, name: &str) {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    assert_eq!((body.as_object().unwrap().len(), &body["status"]), (3, &Value::from("accepted")), "{name}");
    assert!(digits(body["sequence_number"].as_str().unwrap()), "{name}: {body}");
    let shard = body["shard_id"].as_str().unwrap().strip_prefix("shardId-").unwrap();
    assert!(shard.len() == 12 && digits(shard), "{name}: {body}");
}

#[test]
fn every_case_is_answered_and_stored_as_it_says() {
    let cases = cases();
    assert!(cases.len() > 100, "the file must hold the cases");
    for case in cases {
        let server = Server::start();
        for request in &case.before {
            assert_eq!(request.send(&server).status, 200, "{}", case.name);
        }
        let before = server.pipeline.len();
        server.pipeline.fates(case.stream.iter().map(|name| fate(name)));
        let answer = case.request.send(&server);
        assert_answer(&case, &answer);
        assert_records(&case, &server.pipeline.records()[before..]);
    }
}

#[test]
fn a_case_that_differs_on_aws_says_why() {
    for case in cases() {
        assert_eq!(case.aws.is_some(), case.why.is_some(), "{}", case.name);
        assert!(case.aws.is_none_or(|aws| aws != case.expect), "{} does not differ", case.name);
    }
}
