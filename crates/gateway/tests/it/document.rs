//! The OpenAPI document says what the gateway does, and the gateway what the document says.

use crate::support::memory::Fate;
use crate::support::{Answer, JSON, KEY, Server, reading, request};
use gateway::{GatewayConfig, OPENAPI_DOCUMENT, ROUTES};
use ports::{Field, MEMBERS};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::time::Duration;

fn document() -> Value {
    serde_norway::from_str(OPENAPI_DOCUMENT).unwrap()
}

/// Method and path of each operation, with its statuses.
type Operations = BTreeMap<(String, String), BTreeSet<u16>>;

fn documented() -> Operations {
    let document = document();
    let mut operations = Operations::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let statuses = operation["responses"].as_object().unwrap().keys().map(|status| status.parse().unwrap());
            operations.insert((method.to_uppercase(), path.clone()), statuses.collect());
        }
    }
    operations
}

/// Both schemas of a device's statistics have the members of the record, of its types and all of them required.
#[test]
fn the_statistics_schemas_have_the_members_of_the_record() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    for (schema, key) in
        [(&schemas["Statistics"], "device_id"), (&schemas["History"]["properties"]["rows"]["items"], "revision")]
    {
        let members: Vec<&str> = std::iter::once(key).chain(MEMBERS.iter().map(|member| member.name)).collect();
        let names: BTreeSet<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, members.iter().copied().collect());
        assert_eq!(schema["required"], json!(members));
        for member in &MEMBERS {
            let expected = match member.field {
                Field::Count(_) => "integer",
                Field::Number(_) => "number",
                Field::Interval(_) => "object",
                Field::Timestamp(_) | Field::Instant(_) => "string",
            };
            assert_eq!(schema["properties"][member.name]["type"], expected, "{}", member.name);
        }
    }
}

#[test]
fn the_document_has_every_route_with_every_status_and_no_other() {
    let routes = ROUTES
        .iter()
        .map(|route| ((route.method.to_string(), route.path.to_owned()), route.statuses.iter().copied().collect()));
    assert_eq!(documented(), routes.collect::<Operations>());
}

/// Answers collected per operation.
#[derive(Default)]
struct Seen(Operations);

impl Seen {
    fn note(&mut self, method: &str, target: &str, answer: &Answer) {
        let mut path = target.split('?').next().unwrap().to_owned();
        if path.ends_with(".css") {
            path = "/dashboard/{file}".to_owned();
        }
        self.0.entry((method.to_owned(), path.clone())).or_default().insert(answer.status);
        assert_documented(method, &path, answer);
    }
}

/// The content type and the headers of an answer are those that the document names.
fn assert_documented(method: &str, path: &str, answer: &Answer) {
    let document = document();
    let response = &document["paths"][path][method.to_lowercase()]["responses"][answer.status.to_string()];
    assert!(response.is_object(), "{method} {path} {} is not documented", answer.status);
    let content_type = answer.header("content-type").unwrap().split(';').next().unwrap();
    assert!(response["content"][content_type].is_object(), "{method} {path} {} {content_type}", answer.status);
    for (name, _) in response["headers"].as_object().into_iter().flatten() {
        assert!(answer.header(&name.to_lowercase()).is_some(), "{method} {path} {} lacks {name}", answer.status);
    }
}

fn impatient(config: &mut GatewayConfig) {
    config.limits.body_time = Duration::from_millis(200);
    config.limits.bodies_in_flight_bytes = config.limits.body_bytes;
}

const TARGETS: [(&str, &str, &str); 9] = [
    ("/data", "application/json", r#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":1}"#),
    (
        "/data/series",
        "application/json",
        r#"{"device_id":"d","readings":[{"timestamp":"2026-01-01T00:00:00Z","value":1}]}"#,
    ),
    (
        "/data/batch",
        "application/json",
        r#"{"readings":[{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":1},{"device_id":"e","timestamp":"2026-01-01T00:00:00Z","value":1}]}"#,
    ),
    ("/stream/records?partition_key=d", "application/octet-stream", "anything"),
    ("/dead-letters/delete", "application/json", r#"{"ids":["no-such-letter"]}"#),
    ("/dead-letters/preview", "application/json", "{}"),
    ("/dead-letters/redrive", "application/json", "{}"),
    ("/backup", "application/json", r#"{"target":"/somewhere"}"#),
    ("/dashboard/login", "application/x-www-form-urlencoded", "api_key=a-key-that-no-answer-may-hold"),
];

/// Provokes every status that a post can have.
fn provoke_posts(server: &Server, seen: &mut Seen) {
    for (target, content_type, body) in TARGETS {
        let full = [("x-api-key", KEY), ("content-type", content_type)];
        let mut post = |target: &str, headers: &[(&str, &str)], body: &[u8]| {
            seen.note("POST", target, &server.request("POST", target, headers, body));
        };
        post(target, &full, body.as_bytes());
        post(target, &full, &vec![b' '; 1_100_000]);
        post(target, &[("x-api-key", KEY), ("content-type", "text/csv")], body.as_bytes());
        if target == "/dashboard/login" {
            post(target, &full, b"nothing");
            post(target, &[full[1], ("host", "evil.example")], body.as_bytes());
        } else {
            post(
                &target.replace("partition_key", "key"),
                &full,
                if target.contains('?') { b"" } else { br#"{"set":1}"# },
            );
            post(target, &[full[1]], body.as_bytes());
            for fates in [[Fate::Throttled; 2], [Fate::Unavailable; 2], [Fate::Stored, Fate::Throttled]] {
                server.pipeline.fates(fates);
                post(target, &full, body.as_bytes());
                server.pipeline.fates([]);
            }
            server.pipeline.set_view_down(true);
            post(target, &full, body.as_bytes());
            server.pipeline.set_view_down(false);
        }
        let mut slow = server.connect();
        slow.send(&request("POST", target, &[&full[..], &[("transfer-encoding", "chunked")]].concat(), b"1\r\n"));
        seen.note("POST", target, &slow.answer());
    }
}

#[test]
fn every_status_in_the_document_is_really_answered_and_no_other() {
    let mut seen = Seen::default();
    let server = Server::start_with(impatient);
    provoke_posts(&server, &mut seen);
    server.post("/data", reading("d", 0, 1.0));
    let raw = [("x-api-key", KEY), ("content-type", "application/octet-stream")];
    server.request("POST", "/stream/records?partition_key=p", &raw, b"no reading");
    let letter = server.get("/dead-letters").json()["dead_letters"][0]["id"].as_str().unwrap().to_owned();
    let mut get = |target: &str, headers: &[(&str, &str)]| {
        seen.note("GET", target, &server.request("GET", target, headers, b""));
    };
    for route in ROUTES.iter().filter(|route| route.method == "GET") {
        let parameter = match route.path {
            "/" | "/recent" | "/history" => "?device_id=",
            "/dead-letters/letter" => "?id=",
            _ => "",
        };
        let existing = if parameter == "?id=" { letter.as_str() } else { "d" };
        let query = |name: &str| if parameter.is_empty() { String::new() } else { format!("{parameter}{name}") };
        let path = route.path.replace("{file}", "dashboard.css");
        let target = format!("{path}{}", query(existing));
        // First, as long as no answer is kept.
        server.pipeline.set_view_down(true);
        get(&target, &[("x-api-key", KEY)]);
        // What is known without the view is answered all the same.
        get(&format!("{path}{}", query("nobody")), &[("x-api-key", KEY)]);
        server.pipeline.set_view_down(false);
        get(&target, &[("x-api-key", KEY)]);
        get(&target, &[]);
        get(&target, &[("host", "evil.example")]);
        get(&format!("{path}?nonsense=1"), &[("x-api-key", KEY)]);
        get(&format!("{}{}", path.replace("dashboard.css", "nothing.css"), query("nobody")), &[("x-api-key", KEY)]);
    }
    let (mut slow, local) = (server.connect(), [("x-api-key", KEY), JSON]);
    slow.send(&request("POST", "/backup", &local, br#"{"target":"/slow"}"#));
    slow.socket.read_exact(&mut [0; 12]).unwrap();
    seen.note("POST", "/backup", &server.post("/backup", r#"{"target":"/somewhere"}"#));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for _ in 0..15 {
        let answer = server.request("POST", "/dashboard/login", &form, b"api_key=wrong");
        seen.note("POST", "/dashboard/login", &answer);
    }
    for (operation, statuses) in documented() {
        assert_eq!(seen.0.get(&operation), Some(&statuses), "{operation:?}");
    }
}

#[test]
fn answers_on_one_machine_only_are_marked() {
    let document = document();
    let on_aws: BTreeSet<_> = ["/data", "/data/series", "/data/batch", "/", "/health"].into();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for operation in methods.as_object().unwrap().values() {
            let availability = operation.get("x-streamgauge-availability").map(|value| value.as_str().unwrap());
            assert_eq!(availability, (!on_aws.contains(path.as_str())).then_some("one-machine"), "{path}");
        }
    }
}

#[test]
fn the_models_keep_to_what_api_gateway_supports() {
    fn walk(value: &Value, path: &str) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let unsupported =
                        ["oneOf", "anyOf", "discriminator", "exclusiveMinimum", "exclusiveMaximum", "const"];
                    assert!(!unsupported.contains(&name.as_str()), "{path}.{name}");
                    let of_schemas = member.as_str().is_none_or(|target| target.starts_with("#/components/schemas/"));
                    assert!(name != "$ref" || of_schemas, "{path}.{name}");
                    assert!(name != "type" || !member.is_array(), "{path}: a list of types");
                    walk(member, &format!("{path}.{name}"));
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, path)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, "");
    assert!(document["openapi"].as_str().unwrap().starts_with("3.0."));
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric()), "API Gateway's model names: {name}");
    }
}

#[test]
fn the_document_is_served_with_todays_bound_in_the_timestamp_and_is_else_the_same() {
    let server = Server::start();
    let answer = server.request("GET", "/openapi.yaml", &[], b"");
    assert_eq!(answer.header("content-type"), Some("application/yaml"));
    let mut served: Value = serde_norway::from_slice(&answer.body).unwrap();
    let mut source = document();
    let pattern = |document: &mut Value| document["components"]["schemas"]["Timestamp"]["pattern"].take();
    let (bounded, plain) = (pattern(&mut served), pattern(&mut source));
    assert_ne!(bounded, plain);
    let bound = "^(?![3-9]|2[1-9]|20[3-9]|202[7-9]|2026-[1-9]|2026-0[7-9]|2026-06-[1-9]|2026-06-0[3-9])";
    assert_eq!(bounded.as_str().unwrap(), plain.as_str().unwrap().replacen('^', bound, 1));
}
