//! JSON values of any type, taken as far as they can be used.
//!
//! Providers change the type of a field between events and years: a channel is
//! a string here and an object there, an id is a number or text. These types
//! never fail on a well-formed document; what they cannot use is absent.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

use crate::inputs::normalize::times;

/// A number, in the width that keeps its digits.
pub(super) enum Number {
    Natural(u64),
    Negative(i64),
    Fraction(f64),
}

/// How a value of each JSON type is taken. What is left out gives nothing.
trait Take<'de>: Default {
    fn text(_: Cow<'de, str>) -> Self {
        Self::default()
    }
    fn number(_: Number) -> Self {
        Self::default()
    }
    fn flag(_: bool) -> Self {
        Self::default()
    }
    fn map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
    fn seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

struct Taker<T>(PhantomData<T>);

impl<'de, T: Take<'de>> Visitor<'de> for Taker<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<T, E> {
        Ok(T::text(Cow::Borrowed(text)))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok(T::text(Cow::Owned(text.to_owned())))
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        Ok(T::number(Number::Natural(number)))
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        Ok(T::number(Number::Negative(number)))
    }
    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        Ok(T::number(Number::Fraction(number)))
    }
    fn visit_bool<E: Error>(self, flag: bool) -> Result<T, E> {
        Ok(T::flag(flag))
    }
    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(T::default())
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::map(map)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<T, A::Error> {
        T::seq(seq)
    }
}

fn take<'de, T: Take<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(Taker(PhantomData))
}

/// LenientText, or a number as text. Empty text is none.
#[derive(Clone, Debug, Default)]
pub(super) struct LenientText<'a>(Option<Cow<'a, str>>);

impl LenientText<'_> {
    pub fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }
    pub fn or_empty(&self) -> &str {
        self.get().unwrap_or_default()
    }
    pub fn is(&self, other: &str) -> bool {
        self.get() == Some(other)
    }
    pub fn owned(&self) -> Option<String> {
        self.get().map(str::to_owned)
    }
    /// This, or else the other.
    pub fn or<'b>(&'b self, other: &'b Self) -> Option<&'b str> {
        self.get().or_else(|| other.get())
    }
}

impl<'de: 'a, 'a> Take<'de> for LenientText<'a> {
    fn text(text: Cow<'de, str>) -> Self {
        LenientText((!text.is_empty()).then_some(text))
    }
    fn number(number: Number) -> Self {
        LenientText(Some(Cow::Owned(match number {
            Number::Natural(number) => number.to_string(),
            Number::Negative(number) => number.to_string(),
            Number::Fraction(number) => number.to_string(),
        })))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for LenientText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        take(deserializer)
    }
}

/// A point in time in any of the forms that providers use, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment(pub Option<i64>);

impl<'de> Take<'de> for Moment {
    fn text(text: Cow<'de, str>) -> Self {
        Moment(times::from_text(&text))
    }
    fn number(number: Number) -> Self {
        Moment(match number {
            Number::Natural(number) => times::from_number(number),
            Number::Negative(_) => None,
            Number::Fraction(seconds) => times::from_text(&seconds.to_string()),
        })
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        take(deserializer)
    }
}

/// `true`, or not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flag(pub bool);

impl<'de> Take<'de> for Flag {
    fn flag(flag: bool) -> Self {
        Flag(flag)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        take(deserializer)
    }
}

/// An object, or nothing.
#[derive(Clone, Debug)]
pub(super) struct Maybe<T>(pub Option<T>);

impl<T> Default for Maybe<T> {
    fn default() -> Self {
        Maybe(None)
    }
}

impl<T> Maybe<T> {
    pub fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<'de, T: Deserialize<'de>> Take<'de> for Maybe<T> {
    fn map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some).map(Maybe)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        take(deserializer)
    }
}

/// A list, whose items of unexpected types are left out; one item alone is a
/// list of one.
#[derive(Clone, Debug)]
pub(super) struct Many<T>(pub Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Many(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Take<'de> for Many<T> {
    fn map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        Ok(Many(Maybe::map(map)?.0.into_iter().collect()))
    }
    fn seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Maybe<T>>()? {
            items.extend(item.0);
        }
        Ok(Many(items))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        take(deserializer)
    }
}

/// A list of names, each of which may be an object instead (see [`Named`]).
#[derive(Clone, Debug)]
pub(super) struct NamedList<'a, T>(pub Vec<Named<'a, T>>);

impl<T> Default for NamedList<'_, T> {
    fn default() -> Self {
        NamedList(Vec::new())
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Take<'de> for NamedList<'a, T> {
    fn seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(NamedList(items))
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for NamedList<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        take(deserializer)
    }
}

/// Something that is sent as its id or name, or as an object.
#[derive(Clone, Debug, Default)]
pub(super) enum Named<'a, T> {
    #[default]
    Nothing,
    Plain(LenientText<'a>),
    Full(T),
}

impl<T> Named<'_, T> {
    /// The plain form, or what `of` finds in the full one.
    pub fn get<'b>(&'b self, of: impl FnOnce(&'b T) -> Option<&'b str>) -> Option<&'b str> {
        match self {
            Named::Nothing => None,
            Named::Plain(text) => text.get(),
            Named::Full(full) => of(full),
        }
    }
    pub fn full(&self) -> Option<&T> {
        match self {
            Named::Full(full) => Some(full),
            _ => None,
        }
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Take<'de> for Named<'a, T> {
    fn text(text: Cow<'de, str>) -> Self {
        Named::Plain(LenientText::text(text))
    }
    fn number(number: Number) -> Self {
        Named::Plain(LenientText::number(number))
    }
    fn map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Named::Full)
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Named<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        take(deserializer)
    }
}

/// A value as it was sent, to be read when its meaning is known. Unlike an
/// `Option`, it tells `null` from nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Raw<'a>(pub Option<&'a RawValue>);

impl<'a> Raw<'a> {
    pub fn get(&self) -> Option<&'a str> {
        self.0.map(RawValue::get)
    }
    pub fn is_null(&self) -> bool {
        self.get() == Some("null")
    }
    /// Read as a type; nothing when it is absent.
    pub fn read<T: Deserialize<'a> + Default>(&self) -> Result<T, serde_json::Error> {
        self.get().map_or_else(|| Ok(T::default()), serde_json::from_str)
    }
    /// The value itself; `null` is none.
    pub fn value(&self) -> Result<Option<serde_json::Value>, serde_json::Error> {
        self.read()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'de RawValue>::deserialize(deserializer).map(Some).map(Raw)
    }
}
