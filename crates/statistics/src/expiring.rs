//! Ledger pages that will be gone one day.

/// Which identities may stand on pages that expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expiring {
    /// At or below this instant.
    pub(crate) floor_ns: i128,
    /// The shortest retention that any of their pages was written with, in seconds.
    pub(crate) retention_s: u64,
}
