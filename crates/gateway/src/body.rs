//! A request's body: bounded in size, in time, and in the memory that all of them take together.

use crate::Limits;
use crate::answer::Refusal;
use crate::content_coding::{ContentCoding, Decoder, GZIP_DECODER_BYTES, too_large};
use crate::limit_log::LimitLog;
use crate::place::Incoming;
use bytes::Buf;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Body;
use hyper::header::{self, HeaderMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// One permit of the memory budget.
const PERMIT_BYTES: usize = 1024;

/// How much of a refused body is read and thrown away, and how long, so that a client that is still sending reads
/// its answer rather than a connection reset.
const DISCARDED_BYTES_MAX: usize = 2 * 1024 * 1024;
const DISCARDED_TIME_MAX: Duration = Duration::from_secs(2);

/// Reads bodies within their limits.
pub(crate) struct BodyReader {
    limits: Limits,
    memory: Arc<Semaphore>,
    log: Arc<LimitLog>,
}

/// A body that was read, holding its share of the memory budget.
pub(crate) struct ReadBody<'a> {
    pub bytes: Vec<u8>,
    _share: SemaphorePermit<'a>,
}

impl BodyReader {
    pub fn new(limits: &Limits, log: Arc<LimitLog>) -> Self {
        let permits = (limits.bodies_in_flight_bytes / PERMIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        BodyReader { limits: limits.clone(), memory: Arc::new(Semaphore::new(permits)), log }
    }

    /// The whole body, decoded, if it holds at most `bytes_max` as it comes and decoded, and comes in time.
    pub async fn read(
        &self,
        headers: &HeaderMap,
        body: &mut Incoming,
        bytes_max: usize,
    ) -> Result<ReadBody<'_>, Refusal> {
        let coding = ContentCoding::of(headers)?;
        let announced = body.size_hint().exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        if announced.is_some_and(|length| length > bytes_max) {
            return Err(too_large(bytes_max));
        }
        // With a `Content-Length` the bounds are equal; without, or decoded, the body may grow to the limit.
        let expected = match coding {
            ContentCoding::Identity => announced.unwrap_or(bytes_max),
            ContentCoding::Gzip => bytes_max.saturating_add(GZIP_DECODER_BYTES),
        };
        let permits = expected.div_ceil(PERMIT_BYTES).min(self.limits.bodies_in_flight_bytes / PERMIT_BYTES);
        let share = self.memory.acquire_many(u32::try_from(permits).unwrap_or(u32::MAX));
        let mut share = match timeout(self.limits.body_time, share).await {
            Ok(Ok(share)) => share,
            _ => {
                self.log.count(|counts| counts.bodies_refused += 1);
                return Err(Refusal::unavailable("too many bodies are under way: try again"));
            }
        };
        let decoder = Decoder::new(coding, announced.unwrap_or(0), bytes_max);
        let bytes = self.in_time(collect(body, decoder, bytes_max)).await?;
        // What the body could have taken and did not is for others, while this one is stored.
        let unused = share.num_permits().saturating_sub(bytes.capacity().div_ceil(PERMIT_BYTES));
        drop(share.split(unused));
        Ok(ReadBody { bytes, _share: share })
    }

    /// A small body that needs no key: of at most `bytes_max`, and without a share, of which others could take all.
    pub async fn read_form(
        &self,
        headers: &HeaderMap,
        body: &mut Incoming,
        bytes_max: usize,
    ) -> Result<Vec<u8>, Refusal> {
        // A decoder takes many times what a form does.
        if ContentCoding::of(headers)? != ContentCoding::Identity {
            let message = "`Content-Encoding`: a form is taken as it is";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        self.in_time(collect(body, Decoder::new(ContentCoding::Identity, 0, bytes_max), bytes_max)).await
    }

    async fn in_time(&self, read: impl Future<Output = Result<Vec<u8>, Refusal>>) -> Result<Vec<u8>, Refusal> {
        let read = timeout(self.limits.body_time, read).await;
        read.unwrap_or_else(|_| Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")))
    }
}

async fn collect(body: &mut Incoming, mut decoder: Decoder, bytes_max: usize) -> Result<Vec<u8>, Refusal> {
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::bad_request("the body ended before its announced length"))?;
        let Ok(data) = frame.into_data() else { continue };
        received += data.len();
        if received > bytes_max {
            return Err(too_large(bytes_max));
        }
        decoder.push(data.chunk())?;
    }
    decoder.finish()
}

/// Reads on after a refusal and keeps nothing.
pub(crate) async fn discard(body: &mut Incoming, headers: &HeaderMap) {
    // Who waits for `100 Continue` has sent nothing yet, and must not be asked to.
    if body.is_end_stream() || headers.contains_key(header::EXPECT) {
        return;
    }
    let read = async {
        let mut left = DISCARDED_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, |data| data.len());
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Whether all was read or time ran out, the answer is the same.
    let _ = timeout(DISCARDED_TIME_MAX, read).await;
}

/// 415 unless the content type is `expected`; parameters are allowed, but for a `charset` other than UTF-8.
pub(crate) fn require_content_type(headers: &HeaderMap, expected: &'static str) -> Result<(), Refusal> {
    let refusal =
        || Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("`Content-Type`: must be {expected}, in UTF-8"));
    let mut given = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return Err(refusal()) };
    let mut parts = value.to_str().map_err(|_| refusal())?.split(';').map(str::trim);
    if !parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case(expected)) {
        return Err(refusal());
    }
    let utf8 = parts.filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
        !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if utf8 { Ok(()) } else { Err(refusal()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_TYPE, value.parse().unwrap());
        }
        require_content_type(&headers, "application/json").is_ok()
    }

    #[test]
    fn json_is_taken_with_parameters_but_in_no_other_charset() {
        for good in ["application/json", "Application/JSON ; charset=UTF-8", "application/json;charset=\"utf-8\";v=1"] {
            assert!(accepts(&[good]), "{good}");
        }
        for bad in
            ["text/plain", "application/jsonx", "application/json; charset=latin1", "", "application/x-amz-json-1.1"]
        {
            assert!(!accepts(&[bad]), "{bad}");
        }
        assert!(!accepts(&[]));
        assert!(!accepts(&["application/json", "application/json"]));
    }
}
