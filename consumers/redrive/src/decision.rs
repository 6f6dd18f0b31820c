//! What is decided about a letter, and by which rules.

use crate::repair::Records;
use telemetry::Timestamp;

/// What to do with a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Put these records into the stream, then delete the letter.
    Send(Records),
    /// Put these records into the stream, and keep the letter: others of it are lost, as the text says.
    SendPart(Records, String),
    /// Leave it: it would only come back.
    Skip(String),
    /// It cannot be sent as it is, or not with this repair.
    Refuse(String),
}

/// How letters are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether letters are sent that would only come back as they are: `conflicting_duplicate` and `late`.
    pub returning_too: bool,
    /// The latest timestamp that the stream takes now.
    pub horizon: Timestamp,
}
