//! What a gateway is told when it starts.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;
use telemetry::FUTURE_TOLERANCE_DEFAULT_SECONDS;

/// A gateway's settings.
#[derive(Clone)]
pub struct GatewayConfig {
    /// The key that clients send as `x-api-key`, as [`check_api_key`] asks for it.
    pub api_key: String,
    /// The address the listener is bound to. On a loopback address the dashboard needs no login.
    pub bound: SocketAddr,
    /// Host names, besides this server's own addresses, by which browsers may reach the dashboard, such as the name
    /// that a reverse proxy passes on. Without port.
    pub extra_hosts: Vec<String>,
    /// How far a timestamp may lie ahead of its arrival.
    pub future_tolerance: Duration,
    /// Bounds on what clients can take of this machine.
    pub limits: Limits,
}

/// Bounds on what clients can take of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest body, in bytes; above it the answer is 413.
    pub body_bytes: usize,
    /// The most memory that the bodies of all requests together take, in bytes; at least `body_bytes`. A request
    /// waits for its share as long as `body_time`.
    pub bodies_in_flight_bytes: usize,
    /// The most connections at once. A sixteenth of them is kept for connections that have shown no right key yet; when
    /// they run short, slow and idle connections are closed.
    pub connections: usize,
    /// The most connections of one address that have shown no right key.
    pub connections_per_address: usize,
    /// The most event streams that are opened with a key, and again as many without.
    pub event_streams: usize,
    /// How long a connection may take to send the next request's head, idle time included.
    pub header_time: Duration,
    /// How long a request's body may take; then the answer is 408.
    pub body_time: Duration,
    /// How long a client may leave an answer unread before its connection is closed.
    pub write_stall_time: Duration,
    /// How long a shutdown waits for the requests that are under way.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: 256 * 1024,
            bodies_in_flight_bytes: 16 * 1024 * 1024,
            // Those of the usual limit of 1,024 open files.
            connections: 768,
            connections_per_address: 192,
            event_streams: 64,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(20),
            write_stall_time: Duration::from_secs(20),
            drain_time: Duration::from_secs(10),
        }
    }
}

/// Descriptors kept for databases, archive files and the program's own needs; a quarter, where there are few.
const OPEN_FILES_KEPT: u64 = 1024;

/// The most connections however many files may be open: each may fill its read buffer.
const CONNECTIONS_MAX: u64 = 8192;

impl Limits {
    /// The default limits where the program may have `open_files` files open.
    pub fn for_open_files(open_files: u64) -> Self {
        let connections = open_files - OPEN_FILES_KEPT.min(open_files / 4);
        // At most CONNECTIONS_MAX, which every usize holds.
        let connections = usize::try_from(connections.clamp(1, CONNECTIONS_MAX)).unwrap_or(1);
        Limits { connections, connections_per_address: connections.div_ceil(4), ..Limits::default() }
    }
}

impl GatewayConfig {
    /// The default settings for a key and a bound address.
    pub fn new(api_key: impl Into<String>, bound: SocketAddr) -> Self {
        GatewayConfig {
            api_key: api_key.into(),
            bound,
            extra_hosts: Vec::new(),
            future_tolerance: Duration::from_secs(FUTURE_TOLERANCE_DEFAULT_SECONDS.unsigned_abs()),
            limits: Limits::default(),
        }
    }

    /// Checks the settings that could make a gateway unsafe or useless.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        check_api_key(&self.api_key)?;
        let limits = &self.limits;
        let counts = [limits.body_bytes, limits.connections, limits.connections_per_address, limits.event_streams];
        if counts.contains(&0) || limits.bodies_in_flight_bytes < limits.body_bytes {
            return Err(ConfigError::Limits);
        }
        Ok(())
    }
}

/// The lengths of a key: below, it could be guessed; above, it fits no header.
const API_KEY_CHARACTERS: RangeInclusive<usize> = 16..=512;

/// Checks that `key` can be a gateway's key: 16–512 visible ASCII characters.
///
/// # Errors
/// [`ConfigError::ApiKey`].
pub fn check_api_key(key: &str) -> Result<(), ConfigError> {
    let is_key = API_KEY_CHARACTERS.contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_key { Ok(()) } else { Err(ConfigError::ApiKey) }
}

/// The key is left out: it must never reach a log.
impl std::fmt::Debug for GatewayConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewayConfig")
            .field("bound", &self.bound)
            .field("extra_hosts", &self.extra_hosts)
            .field("future_tolerance", &self.future_tolerance)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Why a gateway cannot start. Permanent.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The key breaks its rule.
    #[error("an API key has 16 to 512 visible ASCII characters")]
    ApiKey,
    /// A limit is zero, or the bodies in flight may not hold one body.
    #[error("no limit may be 0, and bodies_in_flight_bytes must hold at least one body")]
    Limits,
    /// The system gave no random bytes for the session's secret.
    #[error("the system gives no random bytes")]
    Randomness(#[source] std::io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_follow_from_the_open_files() {
        for (open_files, connections) in
            [(0, 1), (1, 1), (256, 192), (1024, 768), (4096, 3072), (8192, 7168), (20_000, 8192), (u64::MAX, 8192)]
        {
            let limits = Limits::for_open_files(open_files);
            assert_eq!(limits.connections, connections, "{open_files}");
            assert_eq!(limits.connections_per_address, connections.div_ceil(4), "{open_files}");
        }
        assert_eq!(Limits::for_open_files(1024), Limits::default());
    }
}
