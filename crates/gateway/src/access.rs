//! Who may call: the key, and the dashboard's session.
//!
//! The page holds no key. A browser is given a session that can read and nothing else, and only where the request
//! names this server in `Host`: a page of another site, which a rebound DNS name has brought to this address, names
//! its own. API clients with the key may use any `Host`. The session that a login with the key gives and the one that
//! anybody on this machine is given differ, because limits treat those who know the key better.

use crate::answer::Refusal;
use crate::{ConfigError, GatewayConfig};
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{StatusCode, Version};
use rand::TryRngCore;
use rand::rngs::OsRng;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::Instant;
use subtle::ConstantTimeEq;

pub(crate) const API_KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");

/// Headers by which a proxy makes itself known.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "via"];

/// The other end of a connection, in a request's extensions; `None` if the system doesn't know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub Option<SocketAddr>);

/// Decides who may call.
pub(crate) struct Gatekeeper {
    api_key: String,
    extra_hosts: Vec<String>,
    loopback: bool,
    cookie_name: String,
    /// The session after a login with the key.
    key_session: String,
    /// The session without a login.
    open_session: String,
    failed_logins: Mutex<FailedLogins>,
}

impl Gatekeeper {
    /// A gatekeeper with new session secrets, which live as long as the process.
    pub fn new(config: &GatewayConfig) -> Result<Self, ConfigError> {
        Ok(Gatekeeper {
            api_key: config.api_key.clone(),
            extra_hosts: config.extra_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            loopback: config.bound.ip().to_canonical().is_loopback(),
            // Cookies know no ports: two servers on one machine would overwrite each other's.
            cookie_name: format!("streamgauge_session_{}", config.bound.port()),
            key_session: new_secret()?,
            open_session: new_secret()?,
            failed_logins: Mutex::default(),
        })
    }

    /// Whether `candidate` is the key, in a time that does not depend on where they differ.
    pub fn is_key(&self, candidate: &[u8]) -> bool {
        candidate.ct_eq(self.api_key.as_bytes()).into()
    }

    /// Lets the key pass.
    pub fn require_key(&self, head: &Parts) -> Result<(), Refusal> {
        let mut keys = head.headers.get_all(API_KEY_HEADER).iter();
        match (keys.next(), keys.next()) {
            (Some(key), None) if self.is_key(key.as_bytes()) => Ok(()),
            (None, _) => Err(Refusal::forbidden("`x-api-key`: is missing")),
            (Some(_), Some(_)) => Err(Refusal::forbidden("`x-api-key`: is given twice")),
            (Some(_), None) => Err(Refusal::forbidden("`x-api-key`: is not a key of this server")),
        }
    }

    /// Lets the key pass, or the session of the dashboard's own page.
    pub fn require_key_or_session(&self, head: &Parts, local: SocketAddr) -> Result<(), Refusal> {
        if head.headers.contains_key(API_KEY_HEADER) || !self.has_session(&head.headers) {
            return self.require_key(head);
        }
        if self.host(head, local).is_none() {
            return Err(Refusal::forbidden("`Host`: a session is good only under this server's own addresses"));
        }
        require_same_origin(head)?;
        // Browsers say in this header, which pages cannot forge, whose request it is.
        match head.headers.get("sec-fetch-site").map(|value| value.as_bytes()) {
            None | Some(b"same-origin" | b"none") => Ok(()),
            Some(_) => Err(Refusal::forbidden("`Sec-Fetch-Site`: a session is good only for the dashboard's own page")),
        }
    }

    /// Lets requests pass whose `Host` names this server.
    pub fn require_own_host(&self, head: &Parts, local: SocketAddr) -> Result<(), Refusal> {
        match self.host(head, local) {
            Some(_) => Ok(()),
            None => Err(Refusal::new(
                StatusCode::MISDIRECTED_REQUEST,
                "`Host`: is not an address of this server; name further hosts in its configuration",
            )),
        }
    }

    /// Whether the page opens without a login: on a loopback bind, reached under a loopback name, by no proxy. A
    /// configured host tells of a proxy; so does HTTP/1.0, which nginx speaks to what is behind it and no browser does.
    pub fn trusts(&self, head: &Parts, local: SocketAddr) -> bool {
        self.loopback
            && self.extra_hosts.is_empty()
            && head.version == Version::HTTP_11
            && self.host(head, local) == Some(OwnHost::Loopback)
            && !is_forwarded(head)
    }

    /// Whether the request carries a session's cookie.
    pub fn has_session(&self, headers: &HeaderMap) -> bool {
        [&self.key_session, &self.open_session].into_iter().any(|session| self.has_cookie(headers, session))
    }

    /// Whether the request shows the key, or the session of a login with it.
    pub fn shows_key(&self, headers: &HeaderMap) -> bool {
        headers.get_all(API_KEY_HEADER).iter().any(|key| self.is_key(key.as_bytes()))
            || self.has_cookie(headers, &self.key_session)
    }

    fn has_cookie(&self, headers: &HeaderMap, session: &str) -> bool {
        headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).any(|cookies| {
            cookies
                .split(';')
                .filter_map(|cookie| cookie.trim().split_once('='))
                .any(|(name, value)| name == self.cookie_name && bool::from(value.as_bytes().ct_eq(session.as_bytes())))
        })
    }

    /// The `Set-Cookie` that gives the session of a login.
    pub fn key_session_cookie(&self) -> String {
        self.cookie(&self.key_session)
    }

    /// The `Set-Cookie` that gives the session that needs no login.
    pub fn open_session_cookie(&self) -> String {
        self.cookie(&self.open_session)
    }

    fn cookie(&self, session: &str) -> String {
        format!("{}={session}; HttpOnly; SameSite=Strict; Path=/", self.cookie_name)
    }

    /// Notes that a login from `peer` has failed; `false` where too many have.
    pub fn login_failed(&self, peer: Option<IpAddr>, now: Instant) -> bool {
        // Budgets are numbers, never left half-changed: a poisoned lock is as good as any.
        self.failed_logins.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take_one(peer, now)
    }

    /// How the request's `Host` names this server, if it does.
    fn host(&self, head: &Parts, local: SocketAddr) -> Option<OwnHost> {
        let authority = authority(head)?;
        let host = authority.host().to_ascii_lowercase();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>().map(|address| address.to_canonical()) {
            if address.is_loopback() {
                return Some(OwnHost::Loopback);
            }
            return (address == local.ip().to_canonical() || self.is_extra(bare)).then_some(OwnHost::Other);
        }
        let name = host.trim_end_matches('.');
        if name == "localhost" || name.ends_with(".localhost") {
            return Some(OwnHost::Loopback);
        }
        self.is_extra(name).then_some(OwnHost::Other)
    }

    fn is_extra(&self, host: &str) -> bool {
        self.extra_hosts.iter().any(|extra| extra == host)
    }
}

/// Lets requests pass that a program on this machine has sent, and no proxy has passed on.
pub(crate) fn require_local(head: &Parts) -> Result<(), Refusal> {
    let peer = head.extensions.get::<Peer>().and_then(|Peer(peer)| *peer);
    let is_local = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    if is_local && !is_forwarded(head) {
        return Ok(());
    }
    Err(Refusal::forbidden("this is only done for programs on the pipeline's own machine, through a loopback address"))
}

/// Whether a proxy has made itself known.
fn is_forwarded(head: &Parts) -> bool {
    FORWARDED.iter().any(|name| head.headers.contains_key(*name))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnHost {
    Loopback,
    Other,
}

/// The authority a request names: its target's, or the one `Host`.
fn authority(head: &Parts) -> Option<Authority> {
    if let Some(authority) = head.uri.authority() {
        return Some(authority.clone());
    }
    let mut hosts = head.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok()?.parse().ok(),
        _ => None,
    }
}

/// `Origin`, where it is sent, must be the origin that the request went to.
pub(crate) fn require_same_origin(head: &Parts) -> Result<(), Refusal> {
    let mut origins = head.headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    let named = origin.to_str().ok().and_then(|origin| {
        origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))?.parse::<Authority>().ok()
    });
    match (named, authority(head)) {
        (Some(named), Some(host)) if named == host && origins.next().is_none() => Ok(()),
        _ => Err(Refusal::forbidden("`Origin`: is not this server")),
    }
}

/// 256 random bits in hexadecimal.
fn new_secret() -> Result<String, ConfigError> {
    let mut secret = [0u8; 32];
    OsRng.try_fill_bytes(&mut secret).map_err(|error| ConfigError::Randomness(std::io::Error::other(error)))?;
    Ok(secret.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// How many logins from an address may fail and be told that the key is wrong: a few at once, then one a second. The
/// others are told to slow down. The right key is compared first, so it is never refused.
#[derive(Debug, Default)]
struct FailedLogins(HashMap<Option<IpAddr>, LoginBudget>);

#[derive(Debug)]
struct LoginBudget {
    left: f64,
    at: Instant,
}

impl FailedLogins {
    const BURST: f64 = 10.0;
    /// Addresses that are told apart: above it, all budgets begin again.
    const ADDRESSES_MAX: usize = 4096;

    fn take_one(&mut self, peer: Option<IpAddr>, now: Instant) -> bool {
        let since = |budget: &LoginBudget| now.saturating_duration_since(budget.at).as_secs_f64();
        if self.0.len() >= Self::ADDRESSES_MAX {
            self.0.retain(|_, budget| budget.left + since(budget) < Self::BURST);
        }
        if self.0.len() >= Self::ADDRESSES_MAX {
            self.0.clear();
        }
        let budget = self.0.entry(peer).or_insert(LoginBudget { left: Self::BURST, at: now });
        budget.left = (budget.left + since(budget)).min(Self::BURST);
        budget.at = now;
        let has_one = budget.left >= 1.0;
        if has_one {
            budget.left -= 1.0;
        }
        has_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_a_loopback_peer_without_a_proxy_is_local() {
        let passes = |peer: Option<&str>, header: Option<&'static str>| {
            let (mut head, ()) = hyper::Request::new(()).into_parts();
            head.extensions.insert(Peer(peer.map(|peer| peer.parse().unwrap())));
            if let Some(name) = header {
                head.headers.insert(name, "192.0.2.7".parse().unwrap());
            }
            require_local(&head).is_ok()
        };
        for local in ["127.0.0.1:5000", "127.1.2.3:1", "[::1]:5000", "[::ffff:127.0.0.1]:5000"] {
            assert!(passes(Some(local), None), "{local}");
            assert!(FORWARDED.iter().all(|name| !passes(Some(local), Some(name))), "{local}");
        }
        for remote in ["192.0.2.7:5000", "[2001:db8::1]:5000", "[::ffff:192.0.2.7]:5000", "0.0.0.0:1"] {
            assert!(!passes(Some(remote), None), "{remote}");
        }
        assert!(!passes(None, None));
    }

    #[test]
    fn failed_logins_are_slowed_to_one_a_second() {
        let start = Instant::now();
        let mut failed = FailedLogins::default();
        assert_eq!((0..20).filter(|_| failed.take_one(None, start)).count(), 10);
        assert!(!failed.take_one(None, start + Duration::from_millis(900)));
        assert!(failed.take_one(None, start + Duration::from_millis(1100)));
        assert!(failed.take_one(Some([192, 0, 2, 1].into()), start), "another address has a budget of its own");
    }

    #[test]
    fn failed_logins_of_many_addresses_take_bounded_memory() {
        let (start, mut failed) = (Instant::now(), FailedLogins::default());
        for address in 0..3 * FailedLogins::ADDRESSES_MAX as u32 {
            assert!(failed.take_one(Some(IpAddr::from(address.to_be_bytes())), start));
            assert!(failed.0.len() <= FailedLogins::ADDRESSES_MAX);
        }
    }
}
