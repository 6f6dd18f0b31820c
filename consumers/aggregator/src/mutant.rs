//! Deliberately wrong protocols, which the simulation must catch. What is deployed has none of them: without the
//! feature `mutants`, [`Settings::is`] is always false, and the compiler leaves the wrong branches out.

use crate::settings::Settings;

macro_rules! mutants {
    ($($name:ident = $text:literal,)*) => {
        /// A wrong protocol.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each one's text says what it does")]
        #[cfg_attr(not(feature = "mutants"), allow(dead_code, reason = "named, and never made"))]
        pub enum Mutant { $($name,)* }

        #[cfg(feature = "mutants")]
        impl Mutant {
            /// All of them.
            pub const ALL: &[Mutant] = &[$(Mutant::$name,)*];

            /// What it does wrong, in words.
            pub fn text(self) -> &'static str {
                match self { $(Mutant::$name => $text,)* }
            }
        }
    };
}

mutants! {
    NoRevisionCheck = "no revision check: writes over whatever is there",
    FailedConditionIsSuccess = "failed condition taken for success",
    FailedWriteIsSuccess = "unanswered write taken for success",
    HighWaterMarkPastFailure = "high-water mark past a failure: reports a group's last record",
    HighWaterMarkJudges = "high-water mark as the judge across a reshard",
    CountedWithoutLookUp = "late reading counted without a look-up",
    WindowWithoutFloor = "window without floor",
    FloorWithoutPage = "floor raised without the page",
    PageAfterItem = "page written after the item, outside the transaction",
    PageBeforeItem = "page written before the item, outside the transaction",
    PageOfAnotherDay = "page filed under the day of its writing",
    GroupSplit = "a group's identities written after its effect",
    PagesReadBeforeItem = "pages read before the item",
    StalePages = "stale pages with a fresh item",
    UnreadPageIsAbsent = "page read that failed taken for absent",
    CorruptPageIsEmpty = "page that does not decode taken for empty",
    CorruptStateOverwritten = "state that does not decode overwritten",
    GroupNotLookedUp = "duplicates within a group not noticed",
    TimestampsToTheSecond = "timestamps compared to the second",
    EventIdIgnored = "event_id left out of the identity",
    ConflictIsDuplicate = "conflict taken for a duplicate",
    DeadLetterNotAwaited = "failed dead-letter send ignored",
    RestOfGroupDropped = "group too large for one write: rest dropped",
    UnledgeredForgotten = "unledgered floor forgotten after switching back",
    RetentionForgotten = "retention of old pages forgotten after it was lifted",
    RetentionNotChecked = "page that may have expired taken for absent",
    ClockReadBeforePages = "clock read before the pages",
    PagesExpireEarly = "page expires before its retention is over",
}

impl Settings {
    /// Whether this wrong protocol is switched on.
    #[cfg(feature = "mutants")]
    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// No wrong protocol is ever switched on.
    #[cfg(not(feature = "mutants"))]
    pub(crate) const fn is(&self, _: Mutant) -> bool {
        false
    }
}
