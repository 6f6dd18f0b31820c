//! Why stored bytes were refused.

/// Bytes read back from storage that are not the encoding of any state: which invariant they break.
///
/// Such bytes are never overwritten: the device's readings become dead letters (`corrupt_state`), with an alarm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CorruptState {
    /// The first byte names a version that this build cannot read.
    #[error("version {0} is not known")]
    UnknownVersion(u8),
    /// The bytes end in the middle of a field.
    #[error("the bytes end within a field")]
    Truncated,
    /// More bytes than this form may ever have.
    #[error("{bytes} bytes, where at most {cap} are allowed")]
    TooLong {
        /// How many there are.
        bytes: usize,
        /// How many there may be.
        cap: usize,
    },
    /// The fields parse, but break a rule that every state keeps.
    #[error("invariant broken: {0}")]
    Invariant(&'static str),
    /// The fields describe a valid state, but not in the one form in which it is ever written.
    #[error("not the canonical form of the state it describes")]
    NotCanonical,
}
