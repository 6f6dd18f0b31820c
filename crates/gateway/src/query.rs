//! The query of a request, taken strictly.

use crate::answer::Refusal;
use hyper::http::request::Parts;
use std::borrow::Cow;
use telemetry::{DeviceId, Timestamp};

/// The parameters of a query, each given once.
///
/// A parameter that the endpoint does not have is refused: a misspelt `device_id` must not select every device.
#[derive(Debug, Default)]
pub(crate) struct Query<'a> {
    pairs: Vec<(&'static str, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// Takes a query apart. `known` are the parameters that the endpoint has.
    pub fn parse(raw: Option<&'a str>, known: &[&'static str]) -> Result<Self, Refusal> {
        let mut pairs: Vec<(&'static str, Cow<'a, str>)> = Vec::new();
        for (name, value) in form_pairs(raw.unwrap_or_default().as_bytes()) {
            let (Some(name), Some(value)) = (name, value) else {
                return Err(Refusal::bad_request("the query is not percent-encoded UTF-8"));
            };
            let Some(name) = known.iter().copied().find(|known| *known == name) else {
                let short: String = name.chars().take(64).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Refusal::bad_request(format!(
                    "the query parameter {short:?} is unknown here; known: {known}"
                )));
            };
            if pairs.iter().any(|(given, _)| *given == name) {
                return Err(Refusal::bad_request(format!("`{name}`: is given twice")));
            }
            pairs.push((name, value));
        }
        Ok(Query { pairs })
    }

    /// A parameter's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_ref())
    }

    /// A parameter that names a device.
    pub fn device(&self, name: &'static str) -> Result<Option<DeviceId>, Refusal> {
        self.get(name)
            .map(|value| {
                DeviceId::parse(value).map_err(|rule| Refusal::bad_request(format!("query parameter `{name}`: {rule}")))
            })
            .transpose()
    }

    /// A parameter that is an instant.
    pub fn timestamp(&self, name: &'static str) -> Result<Option<Timestamp>, Refusal> {
        let parse = |value| {
            Timestamp::parse(value).map_err(|rule| Refusal::bad_request(format!("query parameter `{name}`: {rule}")))
        };
        self.get(name).map(parse).transpose()
    }

    /// A device that must be named.
    pub fn required_device(&self, name: &'static str) -> Result<DeviceId, Refusal> {
        self.device(name)?.ok_or_else(|| Refusal::bad_request(format!("query parameter `{name}`: is missing")))
    }

    /// A parameter that is a whole number, of at most nine digits.
    pub fn whole(&self, name: &'static str) -> Result<Option<usize>, Refusal> {
        let parse = |text: &str| {
            let digits = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            let whole = digits.then(|| text.parse().ok()).flatten();
            whole.ok_or_else(|| {
                Refusal::bad_request(format!("query parameter `{name}`: must be a whole number of at most 9 digits"))
            })
        };
        self.get(name).map(parse).transpose()
    }

    /// `limit`, from 1 to `maximum`.
    pub fn limit(&self, default: usize, maximum: usize) -> Result<usize, Refusal> {
        let Some(text) = self.get("limit") else { return Ok(default) };
        let digits = text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<usize>() {
            Ok(limit) if digits && (1..=maximum).contains(&limit) => Ok(limit),
            _ => Err(Refusal::bad_request(format!(
                "query parameter `limit`: must be a whole number from 1 to {maximum}"
            ))),
        }
    }
}

/// The names and values of an `application/x-www-form-urlencoded` text; `None` for what is not percent-encoded UTF-8.
pub(crate) fn form_pairs(raw: &[u8]) -> impl Iterator<Item = (Option<Cow<'_, str>>, Option<Cow<'_, str>>)> {
    raw.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let name = parts.next().unwrap_or_default();
        (decode(name), decode(parts.next().unwrap_or_default()))
    })
}

/// Percent-decodes; `+` is a space.
fn decode(raw: &[u8]) -> Option<Cow<'_, str>> {
    if !raw.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return std::str::from_utf8(raw).ok().map(Cow::Borrowed);
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex(*bytes.next()?)? << 4 | hex(*bytes.next()?)?,
            other => *other,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    // A hexadecimal digit is below 16.
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// The parameters of a request that has only those in `known`.
pub(crate) fn query<'a>(head: &'a Parts, known: &[&'static str]) -> Result<Query<'a>, Refusal> {
    Query::parse(head.uri.query(), known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(raw: &str) -> Result<DeviceId, String> {
        Query::parse(Some(raw), &["device_id"])
            .and_then(|query| query.required_device("device_id"))
            .map_err(|refusal| refusal.message.into_owned())
    }

    #[test]
    fn values_are_percent_decoded() {
        assert_eq!(device("device_id=a%3Ab").unwrap().as_str(), "a:b");
        assert_eq!(device("&device%5Fid=a&").unwrap().as_str(), "a");
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(device("").unwrap_err().contains("`device_id`: is missing"));
        assert!(device("device_id=a&device_id=a").unwrap_err().contains("given twice"));
        assert!(device("deviceid=a").unwrap_err().contains("\"deviceid\" is unknown"));
        assert!(device("device_id=a%2").unwrap_err().contains("percent-encoded"));
        assert!(device("device_id=%ff").unwrap_err().contains("percent-encoded"));
        assert!(device("device_id=a+b").unwrap_err().contains("must be a string of 1 to 128"));
    }

    #[test]
    fn a_limit_is_a_whole_number_within_its_bounds() {
        let limit = |raw: &str| Query::parse(Some(raw), &["limit"]).and_then(|query| query.limit(100, 1000));
        assert_eq!(limit("").unwrap(), 100);
        assert_eq!(limit("limit=1000").unwrap(), 1000);
        for bad in ["0", "1001", "-1", "%2B1", "1.5", "", "ten", "99999999999999999999"] {
            let message = limit(&format!("limit={bad}")).unwrap_err().message;
            assert!(message.contains("`limit`"), "{bad}: {message}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_query_panics(raw: String) {
            let _ = Query::parse(Some(&raw), &["device_id", "limit"]).map(|query| query.limit(1, 10).is_ok());
        }
    }
}
