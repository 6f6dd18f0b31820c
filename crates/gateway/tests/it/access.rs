//! Who may call: the key, the dashboard's session, and nobody else.

use crate::support::{Answer, JSON, KEY, Server, reading};

const READS: [&str; 7] = [
    "/?device_id=d",
    "/devices",
    "/pipeline",
    "/dead-letters",
    "/dead-letters/summary",
    "/recent?device_id=d",
    "/history?device_id=d",
];
const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml");

/// A server that is not bound to loopback, as far as it knows; reached through loopback all the same.
fn remote() -> Server {
    Server::start_with(|config| {
        config.bound = "192.0.2.1:80".parse().unwrap();
        config.extra_hosts = vec!["Gauge.example".to_owned()];
    })
}

fn get(server: &Server, target: &str, headers: &[(&str, &str)]) -> Answer {
    server.request("GET", target, headers, b"")
}

/// The session that a browser on this machine is given.
fn session(server: &Server) -> String {
    get(server, "/dashboard", &[]).cookie().expect("a session")
}

fn log_in(server: &Server, headers: &[(&str, &str)], form: &str) -> Answer {
    let form_type = [("content-type", "application/x-www-form-urlencoded")];
    server.request("POST", "/dashboard/login", &[&form_type, headers].concat(), form.as_bytes())
}

#[test]
fn everything_but_the_page_the_document_and_health_needs_the_key() {
    let server = Server::start();
    let open = ["/health", "/dashboard", "/dashboard/dead-letters", "/dashboard/{file}", "/openapi.yaml"];
    for route in gateway::ROUTES.iter().filter(|route| route.path != "/dashboard/login") {
        let path = route.path.replace("{file}", "dashboard.js");
        let without = server.request(route.method.as_str(), &path, &[JSON], b"{}");
        if open.contains(&route.path) {
            assert_eq!(without.status, 200, "{}", route.path);
            continue;
        }
        assert_eq!((without.status, without.message().as_str()), (403, "`x-api-key`: is missing"), "{}", route.path);
        for wrong in ["", "x", &KEY[1..], &format!("{KEY}x"), &KEY.to_uppercase()] {
            let answer = server.request(route.method.as_str(), route.path, &[JSON, ("x-api-key", wrong)], b"{}");
            assert_eq!(answer.status, 403, "{} {wrong}", route.path);
            assert_eq!(answer.message(), "`x-api-key`: is not a key of this server");
        }
        let twice = [("x-api-key", KEY), ("x-api-key", KEY)];
        assert_eq!(server.request(route.method.as_str(), route.path, &twice, b"{}").status, 403);
    }
    assert_eq!(server.pipeline.len(), 0);
}

#[test]
fn a_client_with_the_key_may_use_any_host_and_origin() {
    let server = Server::start();
    for host in ["evil.example", "10.0.0.1:80", ""] {
        let headers = [("x-api-key", KEY), ("host", host), ("origin", "http://elsewhere.example"), JSON];
        assert_eq!(get(&server, "/devices", &headers).status, 200, "{host}");
        let body = reading("d", 0, 1.0);
        assert_eq!(server.request("POST", "/data", &headers, body.as_bytes()).status, 200, "{host}");
    }
}

#[test]
fn on_loopback_the_page_comes_with_a_session_that_reads() {
    let server = Server::start();
    server.post("/data", reading("d", 0, 1.0));
    let page = get(&server, "/dashboard", &[]);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("/dashboard/dashboard.js") && !page.text().contains("name=\"api_key\""));
    let cookie = page.header("set-cookie").unwrap();
    let (secret, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "HttpOnly; SameSite=Strict; Path=/");
    let (name, secret) = secret.split_once('=').unwrap();
    assert_eq!(name, format!("streamgauge_session_{}", server.address.port()));
    assert!(secret.len() == 64 && secret.bytes().all(|digit| digit.is_ascii_hexdigit()), "256 bits");
    let sent = format!("other=1; {name}={secret}; theme=dark");
    for target in READS {
        assert_eq!(get(&server, target, &[("cookie", &sent)]).status, 200, "{target}");
    }
    assert_ne!(session(&server), session(&Server::start()), "each process has a session secret of its own");
}

#[test]
fn a_session_cannot_post() {
    let server = Server::start();
    let cookie = session(&server);
    for target in [
        "/data",
        "/data/series",
        "/data/batch",
        "/stream/records?partition_key=d",
        "/dead-letters/redrive",
        "/dead-letters/delete",
    ] {
        let headers = [("cookie", cookie.as_str()), JSON];
        let answer = server.request("POST", target, &headers, reading("d", 0, 1.0).as_bytes());
        assert_eq!((answer.status, answer.message().as_str()), (403, "`x-api-key`: is missing"), "{target}");
    }
    assert_eq!(server.pipeline.len(), 0);
}

#[test]
fn a_wrong_session_is_none() {
    let server = Server::start();
    let cookie = session(&server);
    let port = server.address.port();
    for wrong in
        [cookie.replace('=', "=0"), cookie[..cookie.len() - 1].to_owned(), format!("streamgauge_session_{port}=")]
    {
        assert_eq!(get(&server, "/devices", &[("cookie", &wrong)]).status, 403, "{wrong}");
    }
    let wrong_key = [("cookie", cookie.as_str()), ("x-api-key", "wrong")];
    assert_eq!(get(&server, "/devices", &wrong_key).status, 403, "a wrong key is not made good by a session");
}

#[test]
fn a_rebound_name_gets_neither_page_nor_session() {
    let server = Server::start();
    let cookie = session(&server);
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.7", "a b", ""] {
        for target in ["/dashboard", "/dashboard/dashboard.js", "/dashboard/dashboard.css"] {
            let answer = get(&server, target, &[("host", host)]);
            assert_eq!((answer.status, answer.header("set-cookie")), (421, None), "{host} {target}");
            assert!(answer.message().contains("`Host`"));
        }
        assert_eq!(log_in(&server, &[("host", host)], &format!("api_key={KEY}")).status, 421, "{host}");
        for target in READS {
            let answer = get(&server, target, &[("host", host), ("cookie", &cookie)]);
            assert_eq!(answer.status, 403, "{host} {target}");
            assert!(answer.message().contains("`Host`"));
        }
    }
    let two_hosts = [("host", "localhost"), ("host", "evil.example"), ("cookie", cookie.as_str())];
    assert_ne!(get(&server, "/devices", &two_hosts).status, 200);
    let absolute = get(&server, "http://evil.example/devices", &[("cookie", &cookie)]);
    assert_eq!(absolute.status, 403, "the target's authority stands before `Host`");
}

#[test]
fn loopback_goes_by_all_its_names() {
    let server = Server::start();
    let port = server.address.port();
    for host in ["localhost", "LOCALHOST.", "dash.localhost", "127.0.0.1", "127.8.9.10", "[::1]", "[::ffff:127.0.0.1]"]
    {
        for host in [host.to_owned(), format!("{host}:{port}"), format!("{host}:1")] {
            assert!(get(&server, "/dashboard", &[("host", &host)]).cookie().is_some(), "{host}");
        }
    }
}

#[test]
fn a_foreign_origin_or_site_cannot_use_a_session() {
    let server = Server::start();
    let cookie = session(&server);
    let host = format!("127.0.0.1:{}", server.address.port());
    let read = |header: (&str, &str)| get(&server, "/devices", &[("host", &host), ("cookie", &cookie), header]).status;
    assert_eq!(read(("origin", &format!("http://{host}"))), 200);
    for origin in ["http://127.0.0.1", "http://127.0.0.1:1", "https://evil.example", "null", "", &host, "file://"] {
        assert_eq!(read(("origin", origin)), 403, "{origin}");
    }
    for (site, status) in [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)] {
        assert_eq!(read(("sec-fetch-site", site)), status, "{site}");
    }
}

#[test]
fn a_server_behind_a_proxy_asks_for_a_login() {
    let server = Server::start_with(|config| config.extra_hosts = vec!["gauge.example".to_owned()]);
    // The last is what a proxy passes on that names neither its own host nor its visitor.
    let headers = [
        ("host", "gauge.example"),
        ("x-forwarded-for", "192.0.2.1"),
        ("forwarded", "for=192.0.2.1"),
        ("accept", "*/*"),
    ];
    for header in headers {
        let page = get(&server, "/dashboard", &[header]);
        assert_eq!((page.status, page.header("set-cookie")), (200, None), "{header:?}");
        assert!(page.text().contains("name=\"api_key\""), "{header:?}");
    }
}

#[test]
fn on_another_address_the_page_needs_a_login_with_the_key() {
    let server = remote();
    let before = get(&server, "/dashboard", &[]);
    assert_eq!((before.status, before.header("set-cookie")), (200, None));
    assert!(before.text().contains("action=\"/dashboard/login\""));
    assert!(!before.text().contains("first-state"), "nothing is told before the login");

    let wrong = log_in(&server, &[], "api_key=wrong");
    assert_eq!((wrong.status, wrong.header("set-cookie")), (403, None));
    let wrong = log_in(&server, &[HTML], "api_key=wrong");
    assert_eq!(
        (wrong.status, wrong.header("location"), wrong.header("set-cookie")),
        (303, Some("/dashboard?error=1"), None)
    );

    let form = format!("api_key=%{:02x}{}&remember=1", KEY.as_bytes()[0], &KEY[1..]);
    for host in ["localhost", "127.0.0.1", "gauge.example", "gauge.EXAMPLE:8443"] {
        let right = log_in(&server, &[HTML, ("host", host), ("origin", "null")], &form);
        assert_eq!((right.status, right.header("location")), (303, Some("/dashboard")), "{host}");
        let cookie = right.cookie().unwrap();
        let page = get(&server, "/dashboard", &[("host", host), ("cookie", &cookie)]);
        assert!(page.text().contains("id=\"devices\""), "{host}");
        assert_eq!(get(&server, "/devices", &[("host", host), ("cookie", &cookie)]).status, 200, "{host}");
    }
}

#[test]
fn a_login_form_from_elsewhere_or_in_another_shape_is_refused() {
    let server = remote();
    let right = format!("api_key={KEY}");
    assert_eq!(log_in(&server, &[("origin", "https://evil.example")], &right).status, 403);
    for (form, status) in [("", 400), ("key=1", 400), ("api_key=%", 400), ("api_key=a&api_key=b", 400)] {
        assert_eq!(log_in(&server, &[], form).status, status, "{form}");
    }
    assert_eq!(log_in(&server, &[], &format!("api_key={}", "x".repeat(5000))).status, 413);
    let json = server.request("POST", "/dashboard/login", &[JSON], format!("{{\"api_key\":\"{KEY}\"}}").as_bytes());
    assert_eq!(json.status, 415);
}

#[test]
fn failed_logins_are_slowed_down() {
    let server = remote();
    let answers: Vec<_> = (0..20).map(|_| log_in(&server, &[], "api_key=wrong")).collect();
    let slowed = answers.last().unwrap();
    assert_eq!((slowed.status, slowed.header("retry-after")), (429, Some("1")));
    assert_eq!(answers[0].status, 403);
}

#[test]
fn the_right_key_works_after_1000_wrong_ones() {
    let server = remote();
    for _ in 0..1000 {
        assert!([403, 429].contains(&log_in(&server, &[], "api_key=wrong").status));
        assert_eq!(get(&server, "/devices", &[("x-api-key", "wrong")]).status, 403);
    }
    assert_eq!(log_in(&server, &[], "api_key=wrong").status, 429);
    let right = log_in(&server, &[], &format!("api_key={KEY}"));
    assert_eq!((right.status, right.header("location")), (303, Some("/dashboard")));
    assert_eq!(server.get("/devices").status, 200);
}

#[test]
fn a_page_that_needs_no_login_keeps_the_session_of_one() {
    let server = Server::start();
    let open = session(&server);
    let login = log_in(&server, &[], &format!("api_key={KEY}")).cookie().unwrap();
    assert_ne!(open, login);
    for cookie in [&open, &login] {
        assert_eq!(get(&server, "/devices", &[("cookie", cookie)]).status, 200);
    }
    assert_eq!(get(&server, "/dashboard", &[("cookie", &login)]).cookie(), None);
    assert_eq!(get(&server, "/dashboard", &[("cookie", &open)]).cookie(), Some(open));
}

#[test]
fn the_page_says_what_it_may_load() {
    let server = Server::start();
    for target in ["/dashboard", "/dashboard/dashboard.css", "/dashboard/dashboard.js"] {
        let answer = get(&server, target, &[]);
        let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
        assert_eq!(answer.header("content-security-policy"), Some(policy), "{target}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{target} {name}");
        }
    }
    let api = server.get("/devices");
    assert_eq!(
        (api.header("cache-control"), api.header("x-content-type-options")),
        (Some("no-store"), Some("nosniff"))
    );
    assert_eq!(api.header("access-control-allow-origin"), None);
}

#[test]
fn no_answer_holds_the_key() {
    let server = remote();
    let form = format!("api_key={KEY}");
    let mut answers = vec![log_in(&server, &[], &form), log_in(&server, &[HTML], &form)];
    for route in &gateway::ROUTES {
        for key in [KEY, ""] {
            let headers = [("x-api-key", key), JSON];
            answers.push(server.request(route.method.as_str(), route.path, &headers, reading("d", 0, 1.0).as_bytes()));
            let target = format!("{}?x-api-key={KEY}", route.path);
            answers.push(server.request("DELETE", &target, &headers, KEY.as_bytes()));
        }
    }
    for answer in answers {
        let headers = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>();
        assert!(!headers.contains(KEY) && !answer.text().contains(KEY), "{answer:?}");
    }
}

#[test]
fn a_gateway_without_a_usable_key_does_not_start() {
    let short = "x".repeat(15);
    for key in ["", &short, "a key with spaces", "sixteen-ümlauts-", &"x".repeat(513)] {
        let config = gateway::GatewayConfig::new(key, "127.0.0.1:0".parse().unwrap());
        let pipeline = crate::support::memory::MemoryPipeline::default();
        let clock = std::sync::Arc::new(crate::support::FixedClock);
        let refused = gateway::Gateway::new(&config, pipeline.clone(), pipeline, Default::default(), clock).err();
        assert!(matches!(refused, Some(gateway::ConfigError::ApiKey)), "{key}");
        assert!(!format!("{config:?}").contains("a key with"), "the key is never printed");
    }
}
