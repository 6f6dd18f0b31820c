//! The dashboard's page, its files, and its login.

use crate::access::{Peer, require_same_origin};
use crate::answer::{Answer, Refusal, bytes_answer};
use crate::body::require_content_type;
use crate::place::Incoming;
use crate::places::network;
use crate::query::form_pairs;
use crate::script::script;
use crate::{Gateway, PipelineView};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use ports::EventStream;
use std::net::SocketAddr;
use std::time::Instant;

const INDEX: &str = include_str!("../../../dashboards/local/index.html");
const LOGIN: &str = include_str!("../../../dashboards/local/login.html");
const DEAD_LETTERS: &str = include_str!("../../../dashboards/local/dead-letters.html");

/// The pages' stylesheets, by name.
const STYLES: [(&str, &str); 2] = [
    ("dashboard.css", include_str!("../../../dashboards/local/dashboard.css")),
    ("dead-letters.css", include_str!("../../../dashboards/local/dead-letters.css")),
];

/// A page of the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// The fleet and one device.
    Dashboard,
    /// The dead letters.
    DeadLetters,
}

/// The page may load its own files and call this server, and nothing else; nobody may frame it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The largest login form: a key of 512 characters, each percent-encoded, and its name.
const FORM_BYTES_MAX: usize = 4096;

/// Where the page has its first state: in place of this, after the element's tag.
const FIRST_STATE: &str = "<script type=\"application/json\" id=\"first-state\">";
const NO_STATE: &str = "null";

impl<S: EventStream, V: PipelineView> Gateway<S, V> {
    /// The page for who has a session or needs none, the login for the others.
    pub(crate) async fn page(&self, page: Page, head: &Parts, local: SocketAddr) -> Answer {
        let trusted = self.gatekeeper.trusts(head, local);
        if !trusted && !self.gatekeeper.has_session(&head.headers) {
            return embedded("text/html; charset=utf-8", LOGIN);
        }
        let mut answer = match page {
            Page::Dashboard => self.dashboard().await,
            Page::DeadLetters => embedded("text/html; charset=utf-8", DEAD_LETTERS),
        };
        // A client that has logged in keeps its session.
        if trusted && !self.gatekeeper.shows_key(&head.headers) {
            give_session(&mut answer, &self.gatekeeper.open_session_cookie());
        }
        answer
    }

    /// The page with its first state.
    async fn dashboard(&self) -> Answer {
        let (before, after) = around_first_state();
        let state = self.first_state().await;
        let text = [before, state.as_deref().unwrap_or(NO_STATE), after].concat();
        let mut answer = bytes_answer(StatusCode::OK, "text/html; charset=utf-8", text.into());
        protect(&mut answer);
        answer
    }

    /// Gives the session for the key.
    pub(crate) async fn login(&self, head: &Parts, body: &mut Incoming) -> Result<Answer, Refusal> {
        // Browsers send `Origin: null` with a form of a page that sends no referrer, as ours does. It proves nothing,
        // and need not: who posts this form from elsewhere must know the key.
        if head.headers.get(header::ORIGIN).is_none_or(|origin| origin != "null") {
            require_same_origin(head)?;
        }
        require_content_type(&head.headers, "application/x-www-form-urlencoded")?;
        let body = self.bodies.read_form(&head.headers, body, FORM_BYTES_MAX).await?;
        let mut keys = form_pairs(&body).filter(|(name, _)| name.as_deref() == Some("api_key"));
        let (Some((_, Some(key))), None) = (keys.next(), keys.next()) else {
            return Err(Refusal::bad_request("`api_key`: must be given once, percent-encoded"));
        };
        if self.gatekeeper.is_key(key.as_bytes()) {
            let mut answer = redirect("/dashboard");
            give_session(&mut answer, &self.gatekeeper.key_session_cookie());
            return Ok(answer);
        }
        let peer = head.extensions.get::<Peer>().and_then(|Peer(peer)| *peer);
        if !self.gatekeeper.login_failed(peer.map(|peer| network(peer.ip())), Instant::now()) {
            self.limit_log.count(|counts| counts.logins_refused += 1);
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many logins have failed: try again"));
        }
        // A person's browser shows the form again; anything else reads what was wrong.
        let browser = head.headers.get(header::ACCEPT).is_some_and(|accept| {
            accept.to_str().is_ok_and(|accept| accept.to_ascii_lowercase().contains("text/html"))
        });
        if browser {
            Ok(redirect("/dashboard?error=1"))
        } else {
            Err(Refusal::forbidden("`api_key`: is not a key of this server"))
        }
    }
}

fn give_session(answer: &mut Answer, cookie: &str) {
    // Hexadecimal digits and fixed words are always a header value.
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

/// The page before and after its first state.
fn around_first_state() -> (&'static str, &'static str) {
    let (before, after) = INDEX.split_at(INDEX.find(FIRST_STATE).map_or(INDEX.len(), |at| at + FIRST_STATE.len()));
    (before, after.strip_prefix(NO_STATE).unwrap_or(after))
}

/// The file of a path under `/dashboard/`.
pub(crate) fn file(path: &str) -> Result<Answer, Refusal> {
    let name = path.rsplit('/').next().unwrap_or_default();
    if let Some(text) = script(name) {
        return Ok(embedded("text/javascript; charset=utf-8", text));
    }
    let style = STYLES.iter().find(|(known, _)| *known == name);
    let (_, text) = style.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "the dashboard has no such file"))?;
    Ok(embedded("text/css; charset=utf-8", text))
}

fn embedded(content_type: &'static str, text: &'static str) -> Answer {
    let mut answer = bytes_answer(StatusCode::OK, content_type, Bytes::from_static(text.as_bytes()));
    protect(&mut answer);
    answer
}

fn redirect(location: &'static str) -> Answer {
    let mut answer =
        bytes_answer(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", Bytes::from_static(b"see /dashboard\n"));
    answer.headers_mut().insert(header::LOCATION, HeaderValue::from_static(location));
    protect(&mut answer);
    answer
}

fn protect(answer: &mut Answer) {
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
}
