//! Ids of what has none of its own.

use sha2::{Digest, Sha256};

/// The first 16 bytes, in hexadecimal, of SHA-256.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
