//! What becomes of letters, one by one and in total.

use crate::letter::Letter;
use crate::queue::{PASSING, RedriveError};
use serde::{Deserialize, Serialize};

/// What became, or would become, of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A dry run: this many readings would go.
    WouldSend(u64),
    /// This many readings are in the stream, and the letter is deleted.
    Sent(u64),
    /// It was left, with the reason.
    Skipped(String),
    /// It cannot be sent, with the reason.
    Refused(String),
    /// Others of its records are lost, as the text says: this many readings would go, or are in the stream; the letter
    /// stays.
    Lost(u64, String),
    /// It left the queue meanwhile: another run sent or deleted it.
    Gone,
    /// It could not be sent.
    Failed(RedriveError),
}

/// Learns of every letter of a run.
pub trait Observer {
    /// What became of a letter.
    fn outcome(&mut self, letter: &Letter, outcome: &Outcome);
}

/// A run's letters, by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Letters met.
    pub letters: u64,
    /// Letters that went, or would go.
    pub sent: u64,
    /// Their readings.
    pub readings: u64,
    /// Letters left, because they would only come back.
    pub skipped: u64,
    /// Letters that cannot be sent as they are.
    pub refused: u64,
    /// Letters of which records are lost; they stay, and what was left of them went, or would go.
    #[serde(skip_serializing_if = "is_zero")]
    pub lost: u64,
    /// Letters that another run sent or deleted meanwhile.
    #[serde(skip_serializing_if = "is_zero")]
    pub gone: u64,
    /// Letters that could not be sent.
    pub failed: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Tally {
    /// Whether all went, or would go, by this run or another.
    pub fn is_complete(&self) -> bool {
        self.sent + self.gone == self.letters
    }

    pub(crate) fn add(&mut self, outcome: &Outcome) {
        self.letters += 1;
        match outcome {
            Outcome::WouldSend(readings) | Outcome::Sent(readings) => {
                self.sent += 1;
                self.readings += readings;
            }
            Outcome::Skipped(_) => self.skipped += 1,
            Outcome::Refused(_) => self.refused += 1,
            Outcome::Lost(readings, _) => {
                self.lost += 1;
                self.readings += readings;
            }
            Outcome::Gone => self.gone += 1,
            Outcome::Failed(_) => self.failed += 1,
        }
    }
}

/// What a run says of a letter, to programs: a line of `dlq redrive --format json`, and of the gateway's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterOutcome {
    /// The letter.
    pub id: String,
    /// Its reason code.
    pub reason: String,
    /// The device, where a valid one is named.
    pub device_id: Option<String>,
    /// What became, or would become, of it.
    pub action: Action,
    /// Readings that went, or would go.
    pub readings: Option<u64>,
    /// Why it did not go, or not wholly.
    pub why: Option<String>,
    /// Whether trying again may help.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passing: bool,
}

/// An [`Outcome`], in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It would go.
    Send,
    /// It went.
    Sent,
    /// It was left: it would only come back.
    Skip,
    /// It cannot be sent as it is.
    Refuse,
    /// A part of it went, or would go.
    Lost,
    /// It left the queue before.
    Gone,
    /// It could not be sent.
    Failed,
}

impl Action {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Send => "send",
            Action::Sent => "sent",
            Action::Skip => "skip",
            Action::Refuse => "refuse",
            Action::Lost => "lost",
            Action::Gone => "gone",
            Action::Failed => "failed",
        }
    }
}

impl LetterOutcome {
    /// Of a letter and what became of it.
    pub fn new(letter: &Letter, outcome: &Outcome) -> Self {
        let (action, readings, why) = match outcome {
            Outcome::WouldSend(readings) => (Action::Send, Some(*readings), None),
            Outcome::Sent(readings) => (Action::Sent, Some(*readings), None),
            Outcome::Skipped(why) => (Action::Skip, None, Some(why.clone())),
            Outcome::Refused(why) => (Action::Refuse, None, Some(why.clone())),
            Outcome::Lost(readings, why) => (Action::Lost, Some(*readings), Some(why.clone())),
            Outcome::Gone => (Action::Gone, None, Some(RedriveError::Gone.to_string())),
            Outcome::Failed(error) => (Action::Failed, None, Some(error.to_string())),
        };
        LetterOutcome {
            id: letter.id().to_owned(),
            reason: letter.reason().as_str().to_owned(),
            device_id: letter.device_id().map(str::to_owned),
            action,
            readings,
            why,
            passing: matches!(outcome, Outcome::Failed(error) if error.is_passing()),
        }
    }

    /// Whether the letter went, of a run that sends.
    ///
    /// # Errors
    /// Why it did not go, in the same words.
    pub fn result(self) -> Result<(), RedriveError> {
        let why = self.why.unwrap_or_else(|| format!("was not sent: {}", self.action.as_str()));
        match self.action {
            Action::Sent => Ok(()),
            Action::Gone => Err(RedriveError::Gone),
            Action::Failed if self.passing => {
                Err(RedriveError::Passing(why.strip_prefix(PASSING).map(str::to_owned).unwrap_or(why)))
            }
            _ => Err(RedriveError::Refused(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_read_as_it_was_written() {
        let why = || "x".to_owned();
        let passing = [RedriveError::Passing(why())];
        let permanent = [RedriveError::OtherForm, RedriveError::Gone, RedriveError::Refused(why())];
        for error in passing.into_iter().chain(permanent) {
            let is_passing = error.is_passing();
            let outcome = if error == RedriveError::Gone { Outcome::Gone } else { Outcome::Failed(error.clone()) };
            let json = serde_json::to_string(&LetterOutcome::new(&Letter::parse("x"), &outcome)).unwrap();
            let read: LetterOutcome = serde_json::from_str(&json).unwrap();
            let found = read.result().unwrap_err();
            assert_eq!((found.to_string(), found.is_passing()), (error.to_string(), is_passing));
        }
        let not_deleted = Outcome::Failed(RedriveError::NotDeleted(why()));
        assert!(LetterOutcome::new(&Letter::parse("x"), &not_deleted).result().unwrap_err().is_passing());
        assert_eq!(LetterOutcome::new(&Letter::parse("x"), &Outcome::Sent(1)).result(), Ok(()));
    }
}
