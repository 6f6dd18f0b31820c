//! Answers and refusals.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use ports::ConfidenceInterval;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

pub(crate) type Answer = Response<AnswerBody>;

/// An answer's body: whole, or in parts as they come.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    Whole(Full<Bytes>),
    Parts(mpsc::Receiver<Bytes>),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            AnswerBody::Whole(whole) => Pin::new(whole).poll_frame(cx),
            AnswerBody::Parts(parts) => parts.poll_recv(cx).map(|part| part.map(|part| Ok(Frame::data(part)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AnswerBody::Whole(whole) => whole.is_end_stream(),
            AnswerBody::Parts(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Whole(whole) => whole.size_hint(),
            AnswerBody::Parts(_) => SizeHint::default(),
        }
    }
}

/// How long a client is asked to wait, in seconds, where the stream or the storage takes nothing just now.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// An answer other than success: its status and what is wrong.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub status: StatusCode,
    pub message: Cow<'static, str>,
    /// What tells the client more, such as `Allow` with 405.
    pub header: Option<(HeaderName, &'static str)>,
}

impl Refusal {
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Refusal { status, message: message.into(), header: None }
    }

    pub fn with_header(self, name: HeaderName, value: &'static str) -> Self {
        Refusal { header: Some((name, value)), ..self }
    }

    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn forbidden(message: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 503: passing, nothing was stored.
    pub fn unavailable(message: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        #[derive(Serialize)]
        struct Body<'a> {
            message: &'a str,
        }
        let mut answer = json(refusal.status, &Body { message: &refusal.message });
        let headers = answer.headers_mut();
        if let Some((name, value)) = refusal.header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if matches!(refusal.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if refusal.status == StatusCode::REQUEST_TIMEOUT {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

/// A JSON answer. Answers are never to be cached, or taken for anything but JSON.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    // Our own structs, with string keys and finite numbers, always serialise.
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    bytes_answer(status, "application/json", bytes.into())
}

/// An answer of any content type.
pub(crate) fn bytes_answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    answer_of(status, content_type, AnswerBody::Whole(Full::new(body)))
}

/// An answer that goes on as long as its parts come.
pub(crate) fn stream_answer(content_type: &'static str, parts: mpsc::Receiver<Bytes>) -> Answer {
    answer_of(StatusCode::OK, content_type, AnswerBody::Parts(parts))
}

fn answer_of(status: StatusCode, content_type: &'static str, body: AnswerBody) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.reserve(4);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    answer
}

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// A number as the contract's worked example prints it: a whole number has no `.0`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Number(pub f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Below 2^53 every whole double is the same number as the integer.
        const WHOLE_BELOW: f64 = 9_007_199_254_740_992.0;
        if self.0.fract() == 0.0 && self.0.abs() < WHOLE_BELOW {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// A closed interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Interval {
    pub low: Number,
    pub high: Number,
}

impl From<ConfidenceInterval> for Interval {
    fn from(of: ConfidenceInterval) -> Self {
        Interval { low: Number(of.low), high: Number(of.high) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(value: f64) -> String {
        serde_json::to_string(&Number(value)).unwrap()
    }

    #[test]
    fn whole_numbers_print_without_a_fraction() {
        assert_eq!(printed(66.0), "66");
        assert_eq!(printed(-0.0), "0");
        assert_eq!(printed(-40.0), "-40");
        assert_eq!(printed(9_007_199_254_740_991.0), "9007199254740991");
    }

    proptest::proptest! {
        #[test]
        fn every_finite_number_is_read_back_as_itself(bits: u64) {
            let value = f64::from_bits(bits);
            proptest::prop_assume!(value.is_finite());
            proptest::prop_assert_eq!(printed(value).parse::<f64>().unwrap(), value);
        }
    }
}
