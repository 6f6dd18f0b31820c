//! Why stored bytes were refused.

/// Bytes read back from storage that are not the encoding of any state: which invariant they break.
///
/// Such bytes are never overwritten: the device's readings become dead letters (`corrupt_state`), with an alarm. Only
/// [`CorruptState::NewerVersion`] is no damage: there the readings are retried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CorruptState {
    /// A newer build wrote the bytes: a build that knows the version can read them.
    #[error("version {found} is newer than {known}, the newest that this program knows")]
    NewerVersion {
        /// The version of the bytes.
        found: u8,
        /// The newest version that this build reads.
        known: u8,
    },
    /// The first byte names a version that no build wrote.
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

impl CorruptState {
    /// Why bytes of version `found` are refused where `known` is the newest that this build reads.
    pub(crate) fn of_version(found: u8, known: u8) -> Self {
        if found > known { CorruptState::NewerVersion { found, known } } else { CorruptState::UnknownVersion(found) }
    }
}
