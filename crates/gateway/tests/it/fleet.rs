//! The whole fleet at a glance, asked for once and told as it changes.

use crate::support::{Connection, KEY, Server, reading, request};
use serde_json::{Value, json};
use std::io::Read;
use std::time::{Duration, Instant};
use telemetry::{DeviceId, Timestamp};

const COLUMNS: [&str; 9] = [
    "count",
    "mean",
    "median",
    "standard_deviation",
    "minimum",
    "maximum",
    "anomaly_count",
    "last_timestamp",
    "updated_at",
];

/// 30 devices, of which every third has two readings, so that some have no standard deviation.
fn with_fleet() -> Server {
    let server = Server::start();
    for number in 0..30u32 {
        let value = f64::from((number * 7) % 30);
        assert_eq!(server.post("/data", reading(&format!("pump-{number}"), number, value)).status, 200);
        if number % 3 == 0 {
            server.post("/data", reading(&format!("pump-{number}"), number + 1, value * 2.0));
        }
    }
    let pump = DeviceId::parse("pump-0").unwrap();
    server.recent.record_readings(&pump, [(Timestamp::parse("2026-01-01T00:00:00Z").unwrap(), 0.0)].into_iter());
    server
}

fn names(answer: &Value) -> Vec<String> {
    answer["devices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|device| device["device_id"].as_str().unwrap().to_owned())
        .collect()
}

/// Every device, by the other endpoint.
fn all(server: &Server) -> Vec<Value> {
    server.get("/devices?limit=1000").json()["devices"].as_array().unwrap().clone()
}

#[test]
fn names_come_in_the_order_that_people_expect_page_by_page() {
    let server = with_fleet();
    let expected: Vec<_> = (0..30).map(|number| format!("pump-{number}")).collect();
    assert_eq!(names(&server.get("/fleet?limit=200").json()), expected);
    let page = |offset| names(&server.get(&format!("/fleet?limit=7&offset={offset}")).json());
    assert_eq!((0..5).flat_map(|at| page(7 * at)).collect::<Vec<_>>(), expected);
    assert_eq!(page(30), Vec::<String>::new());
    let mut last_first = expected;
    last_first.reverse();
    assert_eq!(names(&server.get("/fleet?limit=200&order=descending").json()), last_first);
}

#[test]
fn every_column_sorts_and_what_is_undefined_stands_last() {
    let server = with_fleet();
    let all = all(&server);
    for column in COLUMNS {
        for order in ["ascending", "descending"] {
            let answer = server.get(&format!("/fleet?limit=200&sort={column}&order={order}")).json();
            let found: Vec<&Value> =
                answer["devices"].as_array().unwrap().iter().map(|device| &device[column]).collect();
            let mut expected: Vec<&Value> = all.iter().map(|device| &device[column]).collect();
            expected.sort_by(|a, b| match (a.as_f64(), b.as_f64()) {
                (Some(a), Some(b)) if order == "ascending" => a.total_cmp(&b),
                (Some(a), Some(b)) => b.total_cmp(&a),
                // A time sorts as its text, all of one length; what is null stands last.
                _ if a.is_string() && order == "ascending" => a.as_str().cmp(&b.as_str()),
                _ if a.is_string() => b.as_str().cmp(&a.as_str()),
                _ => a.is_null().cmp(&b.is_null()),
            });
            assert_eq!(found, expected, "{column} {order}");
            let part = server.get(&format!("/fleet?limit=5&offset=11&sort={column}&order={order}")).json();
            assert_eq!(names(&part), names(&answer)[11..16], "{column} {order}");
        }
    }
}

#[test]
fn search_and_range_leave_those_that_are_meant() {
    let server = with_fleet();
    let found = server.get("/fleet?search=PUMP-2&limit=3").json();
    assert_eq!((found["matching"].clone(), names(&found).len()), (json!(11), 3));
    let inside = server.get("/fleet?limit=200&within=mean,10,20").json();
    let expected =
        all(&server).iter().filter(|device| (10.0..=20.0).contains(&device["mean"].as_f64().unwrap())).count();
    assert_eq!((inside["matching"].clone(), names(&inside).len()), (json!(expected), expected));
    assert_eq!(inside["overview"]["devices"], json!(30), "the overview is of all");
    assert_eq!(server.get("/fleet?within=mean,10,20&search=nobody").json()["matching"], json!(0));
}

#[test]
fn the_overview_and_the_chosen_device_are_those_of_the_storage() {
    let server = with_fleet();
    let state = server.get("/fleet?device_id=pump-6").json();
    assert_eq!(state["chosen"], server.get("/?device_id=pump-6").json());
    assert_eq!(state["pipeline"], server.get("/pipeline").json());
    let overview = &state["overview"];
    assert_eq!((overview["devices"].clone(), overview["readings"].clone()), (json!(30), json!(40)));
    let sum = |bars: &Value| bars.as_array().unwrap().iter().map(|bar| bar.as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum(&overview["means"]["bars"]), sum(&overview["standard_deviations"]["bars"])), (30, 10));
    assert_eq!(server.get("/fleet?device_id=nobody").json()["chosen"], json!(null));
    assert_eq!(state["letters_wait"], json!(false));
    let raw = [("x-api-key", KEY), ("content-type", "application/octet-stream")];
    server.request("POST", "/stream/records?partition_key=p", &raw, b"no reading");
    assert_eq!(server.get("/fleet").json()["letters_wait"], json!(true));
}

/// What the page comes with: the JSON in the one element that has it.
fn first_state(page: &str) -> Value {
    let (_, rest) = page.split_once(r#"<script type="application/json" id="first-state">"#).unwrap();
    let (state, rest) = rest.split_once("</script>").unwrap();
    assert!(rest.trim_end().ends_with("</html>") && !rest.contains("first-state"), "{rest}");
    serde_json::from_str(state).unwrap()
}

#[test]
fn the_page_comes_with_what_it_would_ask_for_first() {
    let server = with_fleet();
    let first = first_state(server.get("/dashboard").text());
    // Ages are of the moment.
    let of = |mut state: Value| {
        state["overview"]["freshness"].take();
        state
    };
    assert_eq!(of(first["state"].clone()), of(server.get("/fleet").json()));
    assert_eq!(names(&first["state"])[0], "pump-0");
    assert_eq!(first["recent"], server.get("/recent?device_id=pump-0").json());
}

/// Each write is seen once the last snapshot is a second old, and what is not a write makes no device go.
#[test]
fn a_device_that_was_written_is_seen_within_a_second() {
    let server = with_fleet();
    let count = || server.get("/fleet?device_id=pump-4").json()["chosen"]["count"].clone();
    for expected in [1, 2, 3] {
        let deadline = Instant::now() + Duration::from_secs(3);
        while count() != json!(expected) {
            assert!(Instant::now() < deadline, "{expected}");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(count(), json!(expected));
        server.post("/data", reading("pump-4", 10 + expected, 7.0));
        server.recent.count_write();
    }
}

#[test]
fn a_page_without_devices_or_without_storage_comes_all_the_same() {
    let server = Server::start();
    let first = first_state(server.get("/dashboard").text());
    assert_eq!((&first["state"]["devices"], &first["recent"]), (&json!([]), &json!(null)));
    server.pipeline.set_view_down(true);
    assert_eq!(first_state(server.get("/dashboard").text()), json!(null));
}

#[test]
fn without_devices_there_is_nothing_and_no_error() {
    let state = Server::start().get("/fleet?sort=mean").json();
    assert_eq!((state["matching"].clone(), state["devices"].clone()), (json!(0), json!([])));
    assert_eq!((&state["overview"]["means"], &state["overview"]["newest_update"]), (&json!(null), &json!(null)));
}

#[test]
fn a_wrong_question_is_400_and_named() {
    let server = Server::start();
    let long = format!("search={}", "x".repeat(129));
    for (query, message) in [
        ("sort=colour", "`sort`: must be one of device_id, count"),
        ("order=up", "`order`: must be ascending or descending"),
        ("offset=-1", "`offset`: must be a whole number"),
        ("offset=9999999999", "`offset`: must be a whole number"),
        ("limit=201", "`limit`: must be a whole number from 1 to 200"),
        ("within=mean", "`within`: must be a column and two numbers"),
        ("within=mean,1,x", "`within`: must be"),
        ("within=device_id,1,2", "`within`: must be"),
        ("device_id=%20", "`device_id`: must be"),
        ("page=1", "\"page\" is unknown"),
        (&long, "`search`: must have at most 128 characters"),
    ] {
        for path in ["/fleet", "/events"] {
            let answer = server.get(&format!("{path}?{query}"));
            assert_eq!(answer.status, 400, "{query}");
            assert!(answer.message().contains(message), "{query}: {}", answer.message());
        }
    }
}

/// A connection that listens to the events.
struct Listener(Connection, String);

impl Listener {
    fn new(server: &Server, query: &str) -> Self {
        Self::with(server, query, ("x-api-key", KEY))
    }

    fn with(server: &Server, query: &str, credentials: (&str, &str)) -> Self {
        let mut connection = server.connect();
        connection.send(&request("GET", &format!("/events{query}"), &[credentials], b""));
        let mut listener = Listener(connection, String::new());
        let head = listener.until("\r\n\r\n").expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/event-stream\r\n"), "{head}");
        listener
    }

    /// The text up to `end`; `None` where the stream ends first.
    fn until(&mut self, end: &str) -> Option<String> {
        let mut part = [0; 4096];
        loop {
            if let Some((before, after)) = self.1.split_once(end) {
                let (before, after) = (before.to_owned(), after.to_owned());
                self.1 = after;
                return Some(before);
            }
            match self.0.socket.read(&mut part) {
                Ok(length) if length > 0 => self.1.push_str(std::str::from_utf8(&part[..length]).unwrap()),
                _ => return None,
            }
        }
    }

    /// The next event's name and data, without what frames the answer's parts.
    fn event(&mut self) -> Option<(String, Value)> {
        let event = self.until("\n\n")?;
        let (name, data) = event.split_once("event: ")?.1.split_once("\ndata: ")?;
        Some((name.to_owned(), serde_json::from_str(data).unwrap()))
    }
}

#[test]
fn the_state_is_told_at_once_and_again_when_it_changes() {
    let server = with_fleet();
    let mut listener = Listener::new(&server, "?sort=mean&order=descending&limit=2&device_id=pump-1");
    let (name, first) = listener.event().unwrap();
    assert_eq!(name, "state");
    assert_eq!(first, server.get("/fleet?sort=mean&order=descending&limit=2&device_id=pump-1").json());
    let (name, nothing) = listener.event().unwrap();
    assert_eq!((name.as_str(), nothing), ("same", json!({})));
    server.post("/data", reading("pump-1", 50, 1e6));
    server.recent.count_write();
    let began = Instant::now();
    loop {
        let (name, state) = listener.event().unwrap();
        if name == "state" && state["chosen"]["count"] == json!(2) {
            assert_eq!(state["devices"][0]["device_id"], json!("pump-1"));
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{name} {state}");
    }
}

#[test]
fn a_server_that_ends_ends_its_events() {
    let mut server = with_fleet();
    let mut listener = Listener::new(&server, "");
    listener.event().unwrap();
    let began = Instant::now();
    server.join();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    while listener.event().is_some() {}
}

#[test]
fn events_end_where_the_storage_cannot_be_read() {
    let server = with_fleet();
    let mut listener = Listener::new(&server, "");
    listener.event().unwrap();
    server.pipeline.set_view_down(true);
    let began = Instant::now();
    while listener.event().is_some() {}
    // The listener's patience included.
    assert!(began.elapsed() < Duration::from_secs(20), "the stream does not end");
    assert_eq!(server.get("/fleet").status, 503);
}

#[test]
fn no_more_than_64_pages_are_told_and_a_place_that_is_left_is_free() {
    let server = Server::start();
    let mut listeners: Vec<_> = (0..64).map(|_| Listener::new(&server, "")).collect();
    let refused = server.get("/events");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    listeners.pop();
    let began = Instant::now();
    loop {
        let mut connection = server.connect();
        connection.send(&request("GET", "/events", &[("x-api-key", KEY)], b""));
        if connection.try_answer().expect("an answer").status == 200 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "the place stays taken");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A server whose page needs no login, and the session that it gives.
fn with_open_session() -> (Server, String) {
    let server = Server::start();
    let session = server.request("GET", "/dashboard", &[], b"").cookie().unwrap();
    (server, session)
}

#[test]
fn streams_without_a_key_leave_those_of_the_key_holder_alone() {
    let (server, session) = with_open_session();
    let mut with_key = Listener::new(&server, "");
    let mut without: Vec<_> = (0..64).map(|_| Listener::with(&server, "", ("cookie", &session))).collect();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let login = server.request("POST", "/dashboard/login", &form, format!("api_key={KEY}").as_bytes());
    let mut with_login = Listener::with(&server, "", ("cookie", &login.cookie().unwrap()));
    let mut newest = Listener::with(&server, "", ("cookie", &session));
    for listener in [&mut with_key, &mut with_login, &mut without[1], &mut newest] {
        (0..3).for_each(|_| drop(listener.event().expect("it goes on")));
    }
    // What it was told before it ended.
    let told = std::iter::from_fn(|| without[0].event()).take(100).count();
    assert!(told < 100, "the oldest without a key ends for the newest");
}
