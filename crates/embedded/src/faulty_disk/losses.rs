//! What a loss of power took.

/// The unit that a disk writes whole or not at all.
pub(super) const SECTOR: usize = 512;

/// A file or folder, whatever its name.
pub(super) type Id = usize;

/// What losses of power have done.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Losses {
    /// Names that were lost, or came back.
    pub(crate) names: u64,
    /// Files that lost bytes.
    pub(crate) files: u64,
    /// Changes of databases that were lost.
    pub(crate) changes: u64,
    /// Changes of databases of which a part was lost.
    pub(crate) torn: u64,
}
