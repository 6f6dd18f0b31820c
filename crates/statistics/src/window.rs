//! Identities in memory: the newest that were counted, or those of one batch.

use std::collections::BTreeMap;

use crate::Identity;
use crate::identity_codec::Entry;

/// Identities with the checks of their values, sorted. Those that arrive in order are appended; the others wait in a
/// tree, so that a batch of any order costs O(n log n).
#[derive(Clone, Debug, Default)]
pub struct Window {
    in_order: Vec<Entry>,
    out_of_order: BTreeMap<Identity, u16>,
}

impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        self.entries() == other.entries()
    }
}

impl Window {
    pub(crate) fn from_sorted(entries: Vec<Entry>) -> Self {
        Self { in_order: entries, out_of_order: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.in_order.len() + self.out_of_order.len()
    }

    /// The check of the value that came with this identity.
    pub fn find(&self, identity: &Identity) -> Option<u16> {
        if self.in_order.last().is_none_or(|(last, _)| last < identity) {
            return None;
        }
        match self.in_order.binary_search_by(|(entry, _)| entry.cmp(identity)) {
            Ok(found) => Some(self.in_order[found].1),
            Err(_) => self.out_of_order.get(identity).copied(),
        }
    }

    /// Records an identity that is not in the window.
    pub fn insert(&mut self, identity: Identity, value_check: u16) {
        if self.in_order.last().is_none_or(|(last, _)| *last < identity) {
            self.in_order.push((identity, value_check));
        } else {
            self.out_of_order.insert(identity, value_check);
        }
    }

    /// Puts all in order.
    pub(crate) fn settle(&mut self) {
        if !self.out_of_order.is_empty() {
            *self = Self::from_sorted(self.entries().into_owned());
        }
    }

    /// Bytes of memory behind its pointers. A tree's node has places for eleven, and is about two thirds full.
    pub(crate) fn heap_bytes(&self) -> usize {
        let out_of_order = (self.out_of_order.len() * 3 / 2).next_multiple_of(11);
        (self.in_order.capacity() + out_of_order) * size_of::<Entry>()
    }

    /// All entries, sorted.
    pub(crate) fn entries(&self) -> std::borrow::Cow<'_, [Entry]> {
        if self.out_of_order.is_empty() {
            return self.in_order.as_slice().into();
        }
        let late = self.out_of_order.iter().map(|(identity, value_check)| (*identity, *value_check));
        let mut all: Vec<Entry> = self.in_order.iter().copied().chain(late).collect();
        all.sort_unstable(); // two sorted runs: the sort finds them
        all.into()
    }

    /// Empties the window.
    pub(crate) fn take(&mut self) -> Vec<Entry> {
        let entries = self.entries().into_owned();
        *self = Self::default();
        entries
    }
}
