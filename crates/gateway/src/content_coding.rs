//! The content coding of a request's body (RFC 9110, section 8.4): none, or gzip.

use crate::answer::Refusal;
use flate2::write::GzDecoder;
use hyper::StatusCode;
use hyper::header::{self, HeaderMap};
use std::io::{self, Write};

/// What a gzip decoder takes besides what it gives: its window, its state and its buffer.
pub(crate) const GZIP_DECODER_BYTES: usize = 128 * 1024;

/// The most members of a gzip body. To begin one costs far more than its bytes: without a bound, a body of 13,000 empty
/// members would take a second.
const GZIP_MEMBERS_MAX: usize = 64;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentCoding {
    Identity,
    Gzip,
}

impl ContentCoding {
    /// The coding that a request names; 415 for any but gzip, and for several.
    pub fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut given = headers.get_all(header::CONTENT_ENCODING).iter();
        let (first, others) = (given.next(), given.next());
        let is = |name: &[u8]| {
            others.is_none() && first.is_some_and(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(name))
        };
        match first {
            None => Ok(ContentCoding::Identity),
            Some(_) if is(b"identity") => Ok(ContentCoding::Identity),
            Some(_) if is(b"gzip") || is(b"x-gzip") => Ok(ContentCoding::Gzip),
            Some(_) => {
                let message = "`Content-Encoding`: must be gzip, once, or identity";
                // RFC 7694: this tells a refused coding from a refused type.
                let refusal = Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
                Err(refusal.with_header(header::ACCEPT_ENCODING, "gzip"))
            }
        }
    }
}

/// A body, decoded as it comes: however small a gzip body is, no more than the limit is unpacked. So unpacking takes
/// about as long as reading the JSON of a body of that size, and needs no thread of its own.
pub(crate) enum Decoder {
    Identity(Bounded),
    Gzip(Gzip),
}

impl Decoder {
    /// A decoder of at most `bytes_max` decoded bytes, `capacity` of which are allocated at once.
    pub fn new(coding: ContentCoding, capacity: usize, bytes_max: usize) -> Self {
        let decoded = |capacity| Bounded { bytes: Vec::with_capacity(capacity), bytes_max, is_over: false };
        match coding {
            ContentCoding::Identity => Decoder::Identity(decoded(capacity)),
            ContentCoding::Gzip => Decoder::Gzip(Gzip { member: Box::new(GzDecoder::new(decoded(0))), members: 1 }),
        }
    }

    /// Decodes what came.
    pub fn push(&mut self, data: &[u8]) -> Result<(), Refusal> {
        match self {
            Decoder::Identity(decoded) => decoded.write_all(data).map_err(|_| too_large(decoded.bytes_max)),
            Decoder::Gzip(gzip) => gzip.push(data).map_err(|_| gzip.refusal()),
        }
    }

    /// The whole body, once all of it came.
    pub fn finish(self) -> Result<Vec<u8>, Refusal> {
        match self {
            Decoder::Identity(decoded) => Ok(decoded.bytes),
            Decoder::Gzip(mut gzip) => {
                gzip.member.try_finish().map_err(|_| gzip.refusal())?;
                Ok(std::mem::take(gzip.member.get_mut()).bytes)
            }
        }
    }
}

/// A gzip body: members, one behind the other (RFC 1952, section 2.2).
pub(crate) struct Gzip {
    member: Box<GzDecoder<Bounded>>,
    /// Including this one.
    members: usize,
}

impl Gzip {
    fn push(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let taken = self.member.write(data)?;
            data = &data[taken..];
            if taken == 0 {
                // It takes no more: this is another member's.
                self.member.try_finish()?;
                self.members += 1;
                if self.members > GZIP_MEMBERS_MAX {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                let decoded = std::mem::take(self.member.get_mut());
                *self.member = GzDecoder::new(decoded);
            }
        }
        Ok(())
    }

    /// Why it was not taken.
    fn refusal(&self) -> Refusal {
        let decoded = self.member.get_ref();
        if decoded.is_over {
            let message = format!("the body is over {} bytes when decompressed", decoded.bytes_max);
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
        } else if self.members > GZIP_MEMBERS_MAX {
            Refusal::bad_request(format!("the body: has over {GZIP_MEMBERS_MAX} members of gzip"))
        } else {
            Refusal::bad_request("the body: is no gzip, or is cut off or damaged")
        }
    }
}

pub(crate) fn too_large(bytes_max: usize) -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is over {bytes_max} bytes"))
}

/// Bytes that take no more than their limit, in memory too.
#[derive(Default)]
pub(crate) struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
    is_over: bool,
}

impl Write for Bounded {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let length = self.bytes.len() + data.len();
        if length > self.bytes_max {
            self.is_over = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if length > self.bytes.capacity() {
            // As a vector grows by itself, but not beyond the limit.
            let capacity = length.max(2 * self.bytes.capacity()).min(self.bytes_max);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    const LIMIT: usize = 100_000;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(body: &[u8], parts_of: usize) -> Result<Vec<u8>, StatusCode> {
        let mut decoder = Decoder::new(ContentCoding::Gzip, 0, LIMIT);
        for part in body.chunks(parts_of) {
            decoder.push(part).map_err(|refusal| refusal.status)?;
        }
        decoder.finish().map_err(|refusal| refusal.status)
    }

    fn coding(values: &[&str]) -> Option<ContentCoding> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
        }
        ContentCoding::of(&headers).ok()
    }

    #[test]
    fn one_gzip_is_taken_and_no_other_coding() {
        for gzip in ["gzip", "GZip", "x-gzip", " gzip "] {
            assert_eq!(coding(&[gzip]), Some(ContentCoding::Gzip), "{gzip}");
        }
        assert_eq!(coding(&[]), Some(ContentCoding::Identity));
        assert_eq!(coding(&["identity"]), Some(ContentCoding::Identity));
        for bad in ["", "deflate", "br", "zstd", "gzip, gzip", "gzip,", "gzip;q=1", "identity, gzip"] {
            assert_eq!(coding(&[bad]), None, "{bad}");
        }
        assert_eq!(coding(&["gzip", "gzip"]), None);
        assert_eq!(coding(&["identity", "gzip"]), None);
    }

    #[test]
    fn a_gzip_bomb_takes_no_more_memory_than_the_limit() {
        let bomb = gzip(&vec![0; 100 * LIMIT]);
        assert!(bomb.len() < LIMIT);
        let mut decoder = Decoder::new(ContentCoding::Gzip, 0, LIMIT);
        let refusal = decoder.push(&bomb).unwrap_err();
        assert_eq!(
            (refusal.status.as_u16(), refusal.message.as_ref()),
            (413, "the body is over 100000 bytes when decompressed")
        );
        let Decoder::Gzip(unpacked) = decoder else { unreachable!() };
        let capacity = unpacked.member.get_ref().bytes.capacity();
        assert!(capacity <= LIMIT, "{capacity}");
        assert_eq!(decoded(&gzip(&[7; LIMIT]), 1000), Ok(vec![7; LIMIT]));
        assert_eq!(decoded(&gzip(&[7; LIMIT + 1]), 1000), Err(StatusCode::PAYLOAD_TOO_LARGE));
    }

    #[test]
    fn members_are_joined_and_anything_else_behind_one_is_refused() {
        let (one, two) = (gzip(b"[1,"), gzip(b"2]"));
        for parts_of in [1, 7, 1000] {
            assert_eq!(decoded(&[one.as_slice(), &two].concat(), parts_of), Ok(b"[1,2]".to_vec()), "{parts_of}");
            for garbage in [&b"\0"[..], b"x", b"\x1f", b"\x1f\x8b\x08"] {
                let body = [one.as_slice(), &two, garbage].concat();
                assert_eq!(decoded(&body, parts_of), Err(StatusCode::BAD_REQUEST), "{garbage:?} {parts_of}");
            }
        }
    }

    #[test]
    fn a_body_of_more_than_64_members_is_refused() {
        let member = gzip(b"1");
        assert_eq!(decoded(&member.repeat(64), 1000), Ok(vec![b'1'; 64]));
        assert_eq!(decoded(&member.repeat(65), 1000), Err(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn a_gzip_body_with_a_bit_flipped_is_never_taken_for_another() {
        let body = br#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":1}"#;
        let packed = gzip(body);
        for bit in 0..packed.len() * 8 {
            let mut flipped = packed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let taken = decoded(&flipped, 1000);
            // Time, flags and system of the header say nothing about the data.
            assert!(taken.as_ref().is_err() || taken.as_ref().is_ok_and(|taken| taken == body), "bit {bit}: {taken:?}");
        }
    }
}
