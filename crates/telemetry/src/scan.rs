//! JSON in one pass: checked to the last byte, and the members that mean something here found on the way, each as the
//! text it is, without interpreting it.

use crate::{MAX_READINGS, RejectReason, Rejection};
use memchr::memchr;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;

/// How deep a record's JSON may be nested, its outer object counted as 1: as deep as most JSON parsers go.
const DEPTH_MAX: usize = 128;

/// The members of an object that mean something here, as raw JSON.
#[derive(Default)]
pub(crate) struct Members<'a> {
    pub device_id: Option<&'a str>,
    pub timestamp: Option<&'a str>,
    pub value: Option<&'a str>,
    pub event_id: Option<&'a str>,
    pub readings: Option<&'a str>,
    /// The first member that no object may have, in words.
    pub fault: Option<Box<str>>,
}

/// An element of `readings`.
pub(crate) struct Item<'a> {
    pub json: &'a str,
    /// `None` if it is no object.
    pub members: Option<Members<'a>>,
}

/// The elements of `readings`.
pub(crate) struct Items<'a> {
    pub count: usize,
    /// The first [`MAX_READINGS`] of them.
    pub items: Vec<Item<'a>>,
}

/// A JSON document.
pub(crate) struct Document<'a> {
    /// `None` if it is no object.
    pub members: Option<Members<'a>>,
    /// `None` if `readings` is no array.
    pub items: Option<Items<'a>>,
}

/// Checks that `bytes` are one JSON document of UTF-8, and takes it apart.
pub(crate) fn document(bytes: &[u8]) -> Result<Document<'_>, Rejection> {
    let malformed = |detail: String| Rejection::new(RejectReason::MalformedJson, detail);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        malformed(format!("the body is not UTF-8: the byte at position {} is wrong", error.valid_up_to()))
    })?;
    Scanner::new(text).document().ok_or_else(|| {
        // Where and why is looked up only for a body that is refused.
        let error = serde_json::from_str::<&RawValue>(text).err().map(|error| error.to_string());
        malformed(format!("the body is not one JSON document: {}", error.unwrap_or_default()))
    })
}

/// The string that a JSON value is; `None` if it is another value, or its escapes are no text.
pub fn string(json: &str) -> Option<Cow<'_, str>> {
    match json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(text) if memchr(b'\\', text.as_bytes()).is_none() => Some(Cow::Borrowed(text)),
        _ => serde_json::from_str(json).map(Cow::Owned).ok(),
    }
}

/// Passes over a JSON text from its start, without recursion. Whatever is not JSON is `None`.
#[derive(Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// The brackets and braces that are open in a value that means nothing here.
    open: Vec<u8>,
}

impl<'a> Scanner<'a> {
    /// Before the first byte of `text`.
    pub fn new(text: &'a str) -> Self {
        Scanner { text, at: 0, open: Vec::new() }
    }

    /// Passes over an object. `member` is called with each name, or with what is wrong with its escapes, and passes
    /// over the value.
    pub fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, Result<Cow<'a, str>, Box<str>>) -> Option<()>,
    ) -> Option<()> {
        self.enclosed(b'{', |scanner| {
            let name = scanner.name()?;
            member(scanner, name)
        })
    }

    /// Passes over an array. `element` passes over each of its elements.
    pub fn elements(&mut self, element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.enclosed(b'[', element)
    }

    /// Passes over a value, and returns its text.
    pub fn raw(&mut self) -> Option<&'a str> {
        self.next()?;
        let start = self.at;
        self.value()?;
        Some(&self.text[start..self.at])
    }

    /// Passes over the parts, with commas between them, from a bracket or brace to the one that closes it.
    fn enclosed(&mut self, open: u8, mut part: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.expect(open)?;
        if self.next()? == closing(open) {
            self.at += 1;
            return Some(());
        }
        loop {
            part(self)?;
            let next = self.next()?;
            self.at += 1;
            match next {
                b',' => {}
                _ => return (next == closing(open)).then_some(()),
            }
        }
    }

    fn document(&mut self) -> Option<Document<'a>> {
        let mut document = Document { members: None, items: None };
        if self.next()? == b'{' {
            document.members = Some(self.object(1, &mut Names::default(), Some(&mut document.items))?);
        } else {
            self.value()?;
        }
        self.next().is_none().then_some(document)
    }

    /// The next byte that is no white space, which is not passed over.
    fn next(&mut self) -> Option<u8> {
        loop {
            match *self.text.as_bytes().get(self.at)? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// Passes over `byte`, and the white space before it.
    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then(|| self.at += 1)
    }

    /// Takes an object apart that lies `depth` deep in its document.
    fn object(
        &mut self,
        depth: usize,
        others: &mut Names<'a>,
        mut items: Option<&mut Option<Items<'a>>>,
    ) -> Option<Members<'a>> {
        let mut members = Members::default();
        others.clear();
        self.members(|scanner, name| {
            let first = scanner.next()?;
            let start = scanner.at;
            let nested = match (&mut items, &name) {
                (Some(items), Ok(name)) if first == b'[' && name == "readings" && items.is_none() => {
                    **items = Some(scanner.items()?);
                    0
                }
                _ => scanner.value()?,
            };
            if let Err(fault) =
                name.and_then(|name| members.add(name, &scanner.text[start..scanner.at], depth + nested, others))
            {
                members.fault.get_or_insert(fault);
            }
            Some(())
        })?;
        Some(members)
    }

    /// The elements of an array in the outer object.
    fn items(&mut self) -> Option<Items<'a>> {
        let (mut count, mut items, mut others) = (0, Vec::new(), Names::default());
        self.elements(|scanner| {
            let first = scanner.next()?;
            let start = scanner.at;
            let members = match first {
                b'{' => Some(scanner.object(3, &mut others, None)?),
                _ => {
                    scanner.value()?;
                    None
                }
            };
            if count == 0 {
                // The others will be about as long.
                items.reserve(((scanner.text.len() - start) / (scanner.at - start)).min(MAX_READINGS));
            }
            if count < MAX_READINGS {
                items.push(Item { json: &scanner.text[start..scanner.at], members });
            }
            count += 1;
            Some(())
        })?;
        Some(Items { count, items })
    }

    /// A member's name with the colon after it; or, of JSON whose escapes are no text, what is wrong with it.
    fn name(&mut self) -> Option<Result<Cow<'a, str>, Box<str>>> {
        if self.next()? != b'"' {
            return None;
        }
        let start = self.at;
        let escaped = self.string()?;
        let json = &self.text[start..self.at];
        self.expect(b':')?;
        if !escaped {
            return Some(Ok(Cow::Borrowed(&json[1..json.len() - 1])));
        }
        Some(serde_json::from_str(json).map(Cow::Owned).map_err(|error| {
            let text = error.to_string();
            text.split(" at line").next().unwrap_or_default().into()
        }))
    }

    /// Passes over a value, and returns how deep brackets and braces are nested in it: 0 for a string or a number.
    /// Without recursion, so that no depth exhausts the stack.
    fn value(&mut self) -> Option<usize> {
        let mut deepest = 0;
        self.open.clear();
        loop {
            match self.next()? {
                open @ (b'[' | b'{') => {
                    self.at += 1;
                    self.open.push(open);
                    deepest = deepest.max(self.open.len());
                    if self.next()? != closing(open) {
                        self.member_name(open)?;
                        continue;
                    }
                }
                b'"' => drop(self.string()?),
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                _ => self.number()?,
            }
            loop {
                let Some(open) = self.open.last().copied() else { return Some(deepest) };
                let next = self.next()?;
                self.at += 1;
                if next == b',' {
                    self.member_name(open)?;
                    break;
                }
                if next != closing(open) {
                    return None;
                }
                self.open.pop();
            }
        }
    }

    /// Passes over a member's name and its colon, in an object.
    fn member_name(&mut self, open: u8) -> Option<()> {
        if open == b'[' {
            return Some(());
        }
        if self.next()? != b'"' {
            return None;
        }
        self.string()?;
        self.expect(b':')
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text.as_bytes()[self.at..].starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        let at = |place: usize| bytes.get(place).copied().unwrap_or_default();
        if at(self.at) == b'-' {
            self.at += 1;
        }
        if at(self.at) == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if at(self.at) == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(at(self.at), b'e' | b'E') {
            self.at += 1;
            if matches!(at(self.at), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// Passes over one digit or more.
    fn digits(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        while bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// Passes over a string from its first quote to its last, and returns whether it holds escapes.
    fn string(&mut self) -> Option<bool> {
        let bytes = self.text.as_bytes();
        let (mut at, mut escaped) = (self.at + 1, false);
        loop {
            while let Some(word) = bytes[at..].first_chunk::<8>() {
                let special = special(u64::from_le_bytes(*word));
                at += special.trailing_zeros() as usize / 8;
                if special != 0 {
                    break;
                }
            }
            match *bytes.get(at)? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    at += match bytes.get(at + 1)? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                        b'u' if bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => 6,
                        _ => return None,
                    };
                }
                0..=0x1f => return None,
                _ => at += 1,
            }
        }
        self.at = at + 1;
        Some(escaped)
    }
}

impl<'a> Members<'a> {
    /// Adds a member, whose value reaches down to `depth`, or says which rule it breaks.
    fn add(&mut self, name: Cow<'a, str>, json: &'a str, depth: usize, others: &mut Names<'a>) -> Result<(), Box<str>> {
        let slot = match name.as_ref() {
            "device_id" => &mut self.device_id,
            "timestamp" => &mut self.timestamp,
            "value" => &mut self.value,
            "event_id" => &mut self.event_id,
            "readings" => &mut self.readings,
            // The members that mean something have rules that no deep nesting meets.
            _ if depth > DEPTH_MAX => {
                let name = quoted(&name);
                return Err(
                    format!("the member {name} is nested too deep; JSON is taken to a depth of {DEPTH_MAX}").into()
                );
            }
            _ => return others.add(name),
        };
        if slot.is_some() {
            return Err(twice(&name));
        }
        *slot = Some(json);
        Ok(())
    }
}

/// The names of an object's other members.
#[derive(Default)]
struct Names<'a> {
    few: Vec<Cow<'a, str>>,
    /// Those that are too many to be compared with each other.
    more: HashSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    const FEW: usize = 16;

    fn clear(&mut self) {
        self.few.clear();
        if !self.more.is_empty() {
            self.more = HashSet::new();
        }
    }

    fn add(&mut self, name: Cow<'a, str>) -> Result<(), Box<str>> {
        if self.few.contains(&name) || self.more.contains(&name) {
            return Err(twice(&name));
        }
        if self.few.len() < Self::FEW {
            self.few.push(name);
        } else {
            self.more.insert(name);
        }
        Ok(())
    }
}

fn twice(name: &str) -> Box<str> {
    format!("the member {} is named twice", quoted(name)).into()
}

/// A member's name for a message: as JSON writes it, cut to a readable length.
fn quoted(name: &str) -> String {
    let short: String = name.chars().take(64).collect();
    format!("{short:?}")
}

fn closing(open: u8) -> u8 {
    // As ASCII has them: `[` and `]`, `{` and `}`.
    open + 2
}

/// Has the highest bit of the first byte of `word` set that ends a run of a string's plain characters: a quote, a
/// backslash or a control character. Bits above that one mean nothing.
fn special(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & (ONES << 7)
}
