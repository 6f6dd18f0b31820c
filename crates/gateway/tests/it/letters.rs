//! Dead letters as the dashboard's page and `streamgauge dlq` see them, and what they do with them.

use crate::support::memory::Fate;
use crate::support::{Answer, JSON, KEY, Server};
use serde_json::{Value, json};

/// Puts bytes into the stream past the front door.
fn put(server: &Server, body: &[u8]) {
    let headers = [("x-api-key", KEY), ("content-type", "application/octet-stream")];
    assert_eq!(server.request("POST", "/stream/records?partition_key=p", &headers, body).status, 200);
}

const GOOD: &str = r#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":1}"#;

fn with_value(device: &str, value: &str) -> String {
    format!(r#"{{"device_id":"{device}","timestamp":"2026-01-01T00:00:00Z","value":{value}}}"#)
}

/// Three letters: one that a number fixes, one of another device, one that is no JSON.
fn with_letters() -> Server {
    let server = Server::start();
    put(&server, with_value("boiler", "\"warm\"").as_bytes());
    put(&server, with_value("kitchen", "null").as_bytes());
    put(&server, b"no JSON, \x1b[2J\xff");
    server
}

fn letters(server: &Server, query: &str) -> Vec<Value> {
    server.get(&format!("/dead-letters{query}")).json()["dead_letters"].as_array().unwrap().clone()
}

fn id_of(server: &Server, text: &str) -> String {
    letters(server, &format!("?text={text}"))[0]["id"].as_str().unwrap().to_owned()
}

fn standing(server: &Server) -> usize {
    server.get("/dead-letters").json()["dead_letters"].as_array().unwrap().len()
}

fn preview(server: &Server, selection: &Value) -> Answer {
    server.post("/dead-letters/preview", selection.to_string())
}

fn apply(server: &Server, selection: &Value) -> Answer {
    server.post("/dead-letters/redrive", selection.to_string())
}

#[test]
fn letters_are_found_by_what_stands_in_them() {
    let server = with_letters();
    assert_eq!(letters(&server, "").len(), 3);
    assert_eq!(letters(&server, "?text=").len(), 3);
    for (query, found) in [
        ("?text=BOILER", 1),
        ("?text=invalid_reading", 2),
        ("?text=nowhere", 0),
        ("?reason=malformed_json", 1),
        ("?device_id=kitchen", 1),
        ("?device_id=kitchen&text=boiler", 0),
        ("?since=2026-01-01T00:00:00Z", 0),
        ("?until=2026-01-01T00:00:00Z", 3),
    ] {
        assert_eq!(letters(&server, query).len(), found, "{query}");
    }
    let page = server.get("/dead-letters?limit=2").json();
    let rest = server.get(&format!("/dead-letters?limit=2&after={}", page["next"].as_str().unwrap())).json();
    let count = |page: &Value| page["dead_letters"].as_array().unwrap().len();
    assert_eq!((count(&page), count(&rest)), (2, 1));
    assert_eq!(rest["next"], json!(null));
}

#[test]
fn a_list_has_whole_payloads_or_printable_excerpts() {
    let server = with_letters();
    let query = "?reason=malformed_json";
    let whole = &letters(&server, query)[0];
    assert_eq!(whole["payload_base64"], json!("bm8gSlNPTiwgG1sySv8="));
    assert_eq!(letters(&server, "?reason=malformed_json&payload=whole")[0], *whole);
    let row = &letters(&server, "?reason=malformed_json&payload=excerpt")[0];
    assert_eq!((&row["id"], &row["excerpt"]), (&whole["id"], &json!("no JSON, \\u001b[2J\\xff")));
    assert_eq!((&row["payload_bytes"], row.get("payload_base64")), (&json!(14), None));
    assert!(server.get("/dead-letters?payload=some").message().contains("`payload`: must be whole or excerpt"));
}

#[test]
fn a_letter_that_may_have_gone_in_one_form_goes_in_no_other() {
    let server = with_letters();
    let id = id_of(&server, "boiler");
    let redrive = |value: &str| {
        let bodies = json!({id.as_str(): with_value("boiler", value)});
        apply(&server, &json!({"ids": [id], "bodies": bodies})).json()["letters"][0].clone()
    };
    server.pipeline.fates([Fate::Refused]);
    let refused = redrive("1");
    assert_eq!((&refused["action"], refused.get("passing")), (&json!("failed"), None), "{refused}");
    let other = redrive("2");
    assert!(other["why"].as_str().unwrap().contains("in another form") && other.get("passing").is_none(), "{other}");
    assert_eq!(redrive("1")["action"], json!("sent"));
    assert_eq!(server.get("/?device_id=boiler").json()["mean"], json!(1));
}

#[test]
fn a_stream_that_takes_nothing_just_now_is_a_passing_failure() {
    let server = with_letters();
    let id = id_of(&server, "boiler");
    server.pipeline.fates([Fate::Throttled; 6]);
    let done = apply(&server, &json!({"ids": [id], "set": ["value=1"]})).json();
    assert_eq!((&done["letters"][0]["action"], &done["letters"][0]["passing"]), (&json!("failed"), &json!(true)));
    assert_eq!(standing(&server), 3);
}

#[test]
fn a_rare_text_makes_more_calls_and_not_longer_ones() {
    let server = Server::start();
    for number in 0..2500 {
        put(&server, format!("no JSON {number}").as_bytes());
    }
    let first = server.get("/dead-letters?text=JSON+2499").json();
    assert_eq!(first["dead_letters"], json!([]), "it lies behind 2,000 letters");
    let next = first["next"].as_str().expect("there is more");
    let second = server.get(&format!("/dead-letters?text=JSON+2499&after={next}")).json();
    assert_eq!((second["dead_letters"].as_array().unwrap().len(), &second["next"]), (1, &json!(null)));
}

#[test]
fn a_letter_is_shown_with_its_wrong_member_marked_and_nothing_unprintable() {
    let server = with_letters();
    let shown = server.get(&format!("/dead-letters/letter?id={}", id_of(&server, "boiler"))).json();
    assert_eq!((&shown["problem"]["member"], &shown["payload"]["wrong"]), (&json!("value"), &json!("\"warm\"")));
    let broken = server.get(&format!("/dead-letters/letter?id={}", id_of(&server, "malformed_json")));
    let payload = &broken.json()["payload"];
    let whole: String = ["before", "wrong", "after"].map(|part| payload[part].as_str().unwrap()).concat();
    assert_eq!(whole, "no JSON, \\u001b[2J\\xff");
    assert_eq!(payload["editable"], json!(null), "it is no text");
    assert!(!broken.text().contains('\u{1b}'));
    assert_eq!(server.get("/dead-letters/letter?id=nobody").status, 404);
    assert_eq!(server.get("/dead-letters/letter").status, 400);
}

#[test]
fn the_summary_counts_by_reason_device_and_time() {
    let server = with_letters();
    let summary = server.get("/dead-letters/summary").json();
    assert_eq!(summary["letters"], json!(3));
    assert_eq!(summary["reasons"]["invalid_reading"]["letters"], json!(2));
    assert_eq!(summary["device_count"], json!(2));
    assert_eq!(summary["without_device"], json!(1));
    let bars = |reason: &str| -> u64 {
        let bars = summary["timeline"]["reasons"][reason].as_array().unwrap();
        bars.iter().map(|bar| bar.as_u64().unwrap()).sum()
    };
    assert_eq!((bars("invalid_reading"), bars("malformed_json")), (2, 1));
    put(&server, b"one more");
    assert_eq!(server.get("/dead-letters/summary").json()["letters"], json!(3), "it may be a second old");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(server.get("/dead-letters/summary").json()["letters"], json!(4));
}

#[test]
fn a_preview_changes_nothing_and_applying_does_what_it_said() {
    let server = with_letters();
    let before = server.pipeline.len();
    let selection = json!({"text": "boiler", "set": ["value=21.5"]});
    let said = preview(&server, &selection).json();
    assert_eq!((said["applied"].clone(), standing(&server), server.pipeline.len()), (json!(false), 3, before));
    assert_eq!(said["letters"][0]["action"], json!("send"));
    assert_eq!(said["totals"], json!({"letters":1,"sent":1,"readings":1,"skipped":0,"refused":0,"failed":0}));

    let done = apply(&server, &json!({"text": "boiler", "set": ["value=21.5"], "until": said["until"]})).json();
    assert_eq!((done["letters"][0]["action"].clone(), &done["totals"]), (json!("sent"), &said["totals"]));
    assert_eq!((standing(&server), server.get("/?device_id=boiler").json()["mean"].clone()), (2, json!(21.5)));
    let again = apply(&server, &selection).json();
    assert_eq!(again["totals"]["letters"], json!(0), "it went, and goes once");
}

#[test]
fn without_a_repair_what_is_wrong_is_refused_and_stays() {
    let server = with_letters();
    let said = preview(&server, &json!({})).json();
    assert_eq!(said["totals"], json!({"letters":3,"sent":0,"readings":0,"skipped":0,"refused":3,"failed":0}));
    assert!(said["letters"][0]["why"].as_str().unwrap().starts_with("must be fixed: `value`"), "{said}");
    assert_eq!(apply(&server, &json!({})).json()["totals"], said["totals"]);
    assert_eq!(standing(&server), 3);
}

#[test]
fn one_letter_goes_with_a_body_of_its_own() {
    let server = with_letters();
    let id = id_of(&server, "malformed_json");
    let selection = json!({"ids": [id], "bodies": {id.as_str(): GOOD}});
    assert_eq!(apply(&server, &selection).json()["totals"]["sent"], json!(1));
    assert_eq!((standing(&server), server.get("/?device_id=d").json()["count"].clone()), (2, json!(1)));
}

#[test]
fn a_letters_bodies_may_be_left_out_but_are_not_null() {
    let server = with_letters();
    let redrive = |selection: Value| server.post("/dead-letters/redrive", selection.to_string());
    assert_eq!(redrive(json!({"ids": ["no-such-letter"]})).status, 200);
    assert_eq!(redrive(json!({"ids": ["no-such-letter"], "bodies": null})).status, 400);
    assert_eq!(redrive(json!({"ids": ["no-such-letter"], "bodies": {"no-such-letter": null}})).status, 400);
}

#[test]
fn a_long_queue_is_worked_on_page_by_page_and_each_letter_once() {
    let server = Server::start();
    for number in 0..2100 {
        put(&server, with_value(&format!("d-{number}"), "null").as_bytes());
    }
    let (mut calls, mut sent, mut after, mut until) = (0, 0, json!(null), json!(null));
    loop {
        let mut selection = json!({"reason": "invalid_reading", "set": ["value=1"]});
        for (name, value) in [("after", &after), ("until", &until)] {
            if !value.is_null() {
                selection[name] = value.clone();
            }
        }
        let answer = preview(&server, &selection).json();
        calls += 1;
        sent += answer["totals"]["sent"].as_u64().unwrap();
        (after, until) = (answer["next"].clone(), answer["until"].clone());
        if after.is_null() {
            break;
        }
    }
    assert_eq!((calls, sent), (3, 2100));
}

#[test]
fn a_selection_that_says_something_else_than_it_means_is_refused() {
    let server = with_letters();
    let many: Vec<_> = (0..1001).map(|number| number.to_string()).collect();
    for (selection, message) in [
        (json!({"reasons": "late"}), "unknown field `reasons`"),
        (json!({"reason": "unlucky"}), "unknown variant `unlucky`"),
        (json!({"device_id": " d"}), "`device_id`: must be"),
        (json!({"since": "yesterday"}), "the body: "),
        (json!({"text": ""}), "`text`: must have 1 to 200 characters"),
        (json!({"reason": null}), "the body: "),
        (json!({"text": null}), "the body: invalid type: null"),
        (json!({"ids": ["x"], "set": ["value=warm"]}), "`set[0]`: value: must be a JSON number"),
        (json!({"ids": ["not an id"]}), "`ids[0]`: must be a dead letter's id"),
        (json!({"ids": many}), "`ids`: must hold at most 1000"),
        (json!({"after": "/"}), "`after`: must be the `next`"),
        (json!([]), "the body: must be a JSON object"),
    ] {
        for path in ["/dead-letters/preview", "/dead-letters/redrive"] {
            let answer = server.post(path, selection.to_string());
            assert_eq!(answer.status, 400, "{selection}");
            assert!(answer.message().contains(message), "{selection}: {}", answer.message());
        }
    }
    assert_eq!(standing(&server), 3);
}

#[test]
fn a_session_previews_and_only_the_key_applies() {
    let server = with_letters();
    let host = format!("127.0.0.1:{}", server.address.port());
    let cookie = server.request("GET", "/dashboard/dead-letters", &[("host", &host)], b"").cookie().expect("a session");
    let origin = format!("http://{host}");
    let own = [("host", host.as_str()), ("cookie", cookie.as_str()), ("origin", &origin), JSON];
    let selection = json!({"text": "boiler", "set": ["value=1"]}).to_string();
    let post =
        |path: &str, headers: &[(&str, &str)]| server.request("POST", path, headers, selection.as_bytes()).status;
    assert_eq!(post("/dead-letters/preview", &own), 200);
    assert_eq!(post("/dead-letters/preview", &[own[0], own[1], ("origin", "https://evil.example"), JSON]), 403);
    assert_eq!(post("/dead-letters/preview", &[own[0], own[1], own[2], ("sec-fetch-site", "cross-site"), JSON]), 403);
    assert_eq!(post("/dead-letters/preview", &[("host", "evil.example"), own[1], JSON]), 403);
    assert_eq!(post("/dead-letters/preview", &own[..3]), 415, "a form of another site sends no JSON");
    for path in ["/dead-letters/redrive", "/dead-letters/delete"] {
        assert_eq!(post(path, &own), 403, "{path}");
    }
    assert_eq!(standing(&server), 3);
    assert_eq!(post("/dead-letters/redrive", &[own[0], own[1], own[2], JSON, ("x-api-key", KEY)]), 200);
    assert_eq!(standing(&server), 2);
}
