//! Attributes of DynamoDB's JSON, as far as rows need them.

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;

/// One attribute. Whatever it is, it reads: one that is not as it should be is to fail its own item, not the whole event.
#[derive(Debug, Default, PartialEq)]
pub(crate) enum Attribute<'a> {
    /// There is none.
    #[default]
    Absent,
    /// `{"S": …}`
    Text(Cow<'a, str>),
    /// `{"N": …}`, which is text too.
    Number(Cow<'a, str>),
    /// `{"NULL": true}`
    Null,
    /// `{"M": {"low": …, "high": …}}`
    Interval(Box<Ends<'a>>),
    /// Anything else.
    Other,
}

/// The members of a map.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Ends<'a> {
    pub low: Attribute<'a>,
    pub high: Attribute<'a>,
}

/// The types that attributes are told apart by.
#[derive(Deserialize)]
#[serde(field_identifier)]
enum Kind {
    S,
    N,
    #[serde(rename = "NULL")]
    Null,
    M,
    #[serde(other)]
    Other,
}

/// The members of a map that are read.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum End {
    Low,
    High,
    #[serde(other)]
    Other,
}

impl<'a> Attribute<'a> {
    /// A number, which is there.
    pub(crate) fn integer(&self) -> Option<u64> {
        match self {
            Attribute::Number(text) => text.parse().ok().filter(|number| i64::try_from(*number).is_ok()),
            _ => None,
        }
    }

    /// The double nearest to a number, or none where it says that there is none. The outer `None`: it is neither.
    pub(crate) fn double(&self) -> Option<Option<f64>> {
        match self {
            Attribute::Number(text) => text.parse().ok().filter(|value: &f64| value.is_finite()).map(Some),
            Attribute::Null => Some(None),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Attribute::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Attribute<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AttributeVisitor)
    }
}

struct AttributeVisitor;

/// A text that borrows from the event where it can; anything else is `None`.
struct Text<'a>(Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

/// What stands where something else was expected is read to its end, and answered by `$other`.
macro_rules! anything_else {
    ($other:expr) => {
        fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
            Ok($other)
        }

        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            Ok($other)
        }

        fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
            Ok($other)
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            Ok($other)
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok($other)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
            while sequence.next_element::<IgnoredAny>()?.is_some() {}
            Ok($other)
        }
    };
}

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Owned(text.to_owned()))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    anything_else!(Text(None));
}

impl<'de> Visitor<'de> for AttributeVisitor {
    type Value = Attribute<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an attribute")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some(kind) = map.next_key()? else { return Ok(Attribute::Other) };
        let attribute = match kind {
            Kind::S => map.next_value::<Text<'de>>()?.0.map_or(Attribute::Other, Attribute::Text),
            Kind::N => map.next_value::<Text<'de>>()?.0.map_or(Attribute::Other, Attribute::Number),
            Kind::Null => map.next_value::<IgnoredAny>().map(|_| Attribute::Null)?,
            Kind::M => map.next_value::<LenientEnds<'de>>()?.0.map_or(Attribute::Other, Attribute::Interval),
            Kind::Other => map.next_value::<IgnoredAny>().map(|_| Attribute::Other)?,
        };
        // An attribute has one type.
        match map.next_entry::<IgnoredAny, IgnoredAny>()? {
            None => Ok(attribute),
            Some(_) => {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Attribute::Other)
            }
        }
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Attribute::Other)
    }

    anything_else!(Attribute::Other);
}

/// A map's two ends; anything else is `None`.
struct LenientEnds<'a>(Option<Box<Ends<'a>>>);

impl<'de: 'a, 'a> Deserialize<'de> for LenientEnds<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EndsVisitor)
    }
}

struct EndsVisitor;

impl<'de> Visitor<'de> for EndsVisitor {
    type Value = LenientEnds<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut ends = Ends::default();
        while let Some(end) = map.next_key()? {
            match end {
                End::Low => ends.low = map.next_value()?,
                End::High => ends.high = map.next_value()?,
                End::Other => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(LenientEnds(Some(Box::new(ends))))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(LenientEnds(None))
    }

    anything_else!(LenientEnds(None));
}
