//! HTTP to one endpoint: one connection kept open, one request at a time.

use crate::retry::parse_retry_after;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::io::{BufRead as _, BufReader};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telemetry::Timestamp;
use ureq::http::Uri;

/// The most bytes of an answer that are read: a full page of `/devices` takes a small part of it.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The most characters of a server's message that are shown.
const MESSAGE_CHARS_MAX: usize = 500;

/// Where readings are posted, and with which key.
#[derive(Clone)]
pub struct Endpoint {
    url: String,
    api_key: String,
    loopback: bool,
}

/// Why an endpoint cannot be used as given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not an `http` or `https` URL with a host and no query.
    #[error("`{0}` is not an endpoint: it must be a URL such as http://127.0.0.1:8080")]
    Url(String),
    /// The key cannot stand in a header.
    #[error("the API key must be visible ASCII characters, and at least one")]
    ApiKey,
}

impl Endpoint {
    /// Checks and takes the URL of a pipeline (with the stage's path on AWS) and its key.
    ///
    /// # Errors
    /// [`EndpointError`], naming the part that cannot be used.
    pub fn new(url: &str, api_key: &str) -> Result<Self, EndpointError> {
        let bad_url = || EndpointError::Url(url.chars().filter(|c| !c.is_control()).collect());
        let uri: Uri = url.parse().map_err(|_| bad_url())?;
        let scheme_known = matches!(uri.scheme_str(), Some("http" | "https"));
        let host = uri.host().filter(|host| scheme_known && !host.is_empty()).ok_or_else(bad_url)?;
        if uri.query().is_some() {
            return Err(bad_url());
        }
        if api_key.is_empty() || !api_key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(EndpointError::ApiKey);
        }
        let loopback = matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
        Ok(Endpoint { url: url.trim_end_matches('/').to_owned(), api_key: api_key.to_owned(), loopback })
    }

    /// The URL, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// An answer of any status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The wait that the answer asks for.
    pub retry_after: Option<Duration>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// What the server says, on one line and fit for a terminal: the answer's `message`, or the start of its body.
    pub fn message(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Message {
            message: String,
        }
        let text = match serde_json::from_slice::<Message>(&self.body) {
            Ok(answer) => answer.message,
            Err(_) => String::from_utf8_lossy(&self.body[..self.body.len().min(4 * MESSAGE_CHARS_MAX)]).into_owned(),
        };
        let visible: String =
            text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE_CHARS_MAX).collect();
        match visible.trim() {
            "" => format!("HTTP {}", self.status),
            message => format!("HTTP {}: {message}", self.status),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answered, or not in time: trying again may help, and is harmless.
    #[error("no answer from {url}: {cause}")]
    NoAnswer {
        /// The endpoint.
        url: String,
        /// What went wrong.
        cause: Box<ureq::Error>,
    },
    /// The request cannot be made at all.
    #[error("cannot ask {url}: {cause}")]
    Unusable {
        /// The endpoint.
        url: String,
        /// What is wrong.
        cause: Box<ureq::Error>,
    },
}

/// Asks one endpoint, one request at a time over a connection that is kept. One client per thread.
pub struct Client {
    agent: ureq::Agent,
    timeout: Duration,
    endpoint: Endpoint,
}

impl Client {
    /// A client that waits at most `timeout` for each answer.
    pub fn new(endpoint: &Endpoint, timeout: Duration) -> Self {
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // A redirected post would be a GET: it is an answer to show, not to follow.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(timeout))
            .timeout_connect(Some(timeout.min(CONNECT_TIMEOUT)))
            .max_idle_connections_per_host(1)
            .user_agent(concat!("streamgauge/", env!("CARGO_PKG_VERSION")));
        if endpoint.loopback {
            // A proxy cannot reach this machine's loopback.
            config = config.proxy(None);
        }
        Client { agent: config.build().new_agent(), timeout, endpoint: endpoint.clone() }
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Posts a body to a path (with its query) below the endpoint.
    ///
    /// # Errors
    /// [`ClientError`] where there is no answer; every status is an [`Answer`].
    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Answer, ClientError> {
        let request = self.agent.post(format!("{}{path}", self.endpoint.url));
        let request = request.header("x-api-key", &self.endpoint.api_key).header("content-type", content_type);
        self.answer(request.send(body))
    }

    /// Gets a path (with its query) below the endpoint.
    ///
    /// # Errors
    /// [`ClientError`] where there is no answer; every status is an [`Answer`].
    pub fn get(&self, path: &str) -> Result<Answer, ClientError> {
        let request = self.agent.get(format!("{}{path}", self.endpoint.url));
        self.answer(request.header("x-api-key", &self.endpoint.api_key).call())
    }

    /// Posts a body, and gives `line` each line of a 200's body as it comes, for as long as they come; the timeout is
    /// that of the answer's beginning. The [`Answer`] then has no body.
    ///
    /// # Errors
    /// [`ClientError`] where there is no answer, or none to its end; every status is an [`Answer`].
    pub fn post_for_lines(
        &self,
        path: &str,
        content_type: &str,
        body: &[u8],
        line: &mut dyn FnMut(&[u8]),
    ) -> Result<Answer, ClientError> {
        let request = self.agent.post(format!("{}{path}", self.endpoint.url));
        let request = request.header("x-api-key", &self.endpoint.api_key).header("content-type", content_type);
        let begin = Some(self.timeout);
        let request = request.config().timeout_global(None).timeout_recv_response(begin).build();
        let response = match request.send(body) {
            Ok(response) if response.status() == 200 => response,
            other => return self.answer(other),
        };
        let mut lines = BufReader::new(response.into_body().into_reader());
        let mut found = Vec::new();
        loop {
            found.clear();
            match lines.read_until(b'\n', &mut found).map_err(|error| self.error(ureq::Error::Io(error)))? {
                0 => return Ok(Answer { status: 200, retry_after: None, body: Vec::new() }),
                _ => line(&found),
            }
        }
    }

    fn answer(&self, response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, ClientError> {
        let mut response = response.map_err(|error| self.error(error))?;
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|value| parse_retry_after(value, now()));
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        Ok(Answer { status: response.status().as_u16(), retry_after, body: body.map_err(|error| self.error(error))? })
    }

    fn error(&self, cause: ureq::Error) -> ClientError {
        use ureq::Error;
        let url = self.endpoint.url.clone();
        let unusable =
            matches!(cause, Error::BadUri(_) | Error::Http(_) | Error::InvalidProxyUrl | Error::RequireHttpsOnly(_));
        let cause = Box::new(cause);
        if unusable { ClientError::Unusable { url, cause } } else { ClientError::NoAnswer { url, cause } }
    }
}

/// This machine's clock.
pub(crate) fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // A clock beyond the year 9999 is no clock.
    i64::try_from(elapsed.as_millis()).ok().and_then(Timestamp::from_millisecond).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Percent-encodes text for one value of a query (RFC 3986: all but the unreserved characters).
pub fn percent_encode(text: &str) -> String {
    const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, &RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_url_of_http_with_a_host() {
        for url in ["http://127.0.0.1:8080", "http://127.0.0.1:8080/", "https://abc.execute-api.eu-1.amazonaws.com/v1"]
        {
            assert_eq!(Endpoint::new(url, "key").unwrap().url(), url.trim_end_matches('/'));
        }
        for url in ["", "127.0.0.1:8080", "ftp://host", "http://", "/data", "http://host/?x=1", "http://a b"] {
            assert_eq!(Endpoint::new(url, "key").err(), Some(EndpointError::Url(url.to_owned())), "{url}");
        }
        for key in ["", "a b", "a\n", "ä"] {
            assert_eq!(Endpoint::new("http://host", key).err(), Some(EndpointError::ApiKey));
        }
    }

    #[test]
    fn no_control_character_of_a_server_reaches_the_terminal() {
        let answer = |body: &str| Answer { status: 400, retry_after: None, body: body.into() }.message();
        assert_eq!(answer(r#"{"message":"a\u001b[2Jb\u009bc"}"#), "HTTP 400: a [2Jb c");
        assert_eq!(answer("\x1b]0;title\x07"), "HTTP 400: ]0;title");
        assert_eq!(answer(""), "HTTP 400");
        assert!(answer(&"x".repeat(10_000)).len() < 600);
    }

    #[test]
    fn percent_encoding_leaves_only_unreserved_characters() {
        assert_eq!(percent_encode("a-b_c.d~e:f&g h/é"), "a-b_c.d~e%3Af%26g%20h%2F%C3%A9");
    }
}
