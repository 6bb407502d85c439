//! Looks into a body before it is accepted: is it one JSON object, not too
//! deep, and what does it say of itself at the top? The rest is the pipeline's.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::Refused;

/// What a JSON object says at its top, as `T` asks. The whole text is checked.
pub fn read<'a, T: Deserialize<'a>>(text: &'a [u8], depth_max: usize) -> Result<T, Refused> {
    let text = std::str::from_utf8(text).map_err(|_| malformed("the body is not UTF-8"))?;
    let Some(inside) = text.trim_ascii_start().strip_prefix('{') else {
        return Err(malformed("the body is not a JSON object"));
    };
    if inside.trim_ascii() == "}" {
        return Err(malformed("the body is an empty object"));
    }
    if !udfs::json::depth_within(text.as_bytes(), depth_max) {
        return Err(malformed(format!("the body is nested deeper than {depth_max} levels")));
    }
    serde_json::from_str(text).map_err(|error| malformed(format!("the body is not the provider's JSON: {error}")))
}

fn malformed(reason: impl Into<Cow<'static, str>>) -> Refused {
    Refused::Malformed(reason.into())
}

/// An id that is text at most providers and a number at some; anything else is
/// no id, and no reason to refuse the body.
#[derive(Debug, Default, PartialEq)]
pub struct Id(pub Option<String>);

impl Id {
    /// The text.
    pub fn as_deref(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// What an object, or the first object of an array, says of itself; anything
/// else says nothing, and is no reason to refuse the body. Nothing is buffered
/// on the way, as an untagged enum would: that costs thirty times the text.
#[derive(Debug, Default, PartialEq)]
pub struct Within<T>(pub T);

/// The `id` of an object, or of the first object of an array.
pub type IdWithin = Within<WithId>;

/// An object that may have an id.
#[derive(Debug, Default, PartialEq, Deserialize)]
pub struct WithId {
    #[serde(default)]
    id: Id,
}

impl Within<WithId> {
    /// The id.
    pub fn id(self) -> Option<String> {
        self.0.id.0
    }

    /// The id, to look at.
    pub fn as_deref(&self) -> Option<&str> {
        self.0.id.as_deref()
    }
}

/// A text; anything else is none.
#[derive(Debug, Default, PartialEq)]
pub struct Text(pub Option<String>);

/// Everything that says nothing, for a visitor of the value `$none`.
macro_rules! says_nothing {
    ($none:expr; $($visit:ident($($kind:ty)?)),*) => {
        $(fn $visit<E>(self, $(_: $kind)?) -> Result<Self::Value, E> {
            Ok($none)
        })*
    };
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyId;
        impl<'de> Visitor<'de> for AnyId {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id")
            }

            fn visit_str<E>(self, text: &str) -> Result<Id, E> {
                Ok(Id((!text.is_empty()).then(|| text.to_owned())))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Id, E> {
                Ok(Id(Some(number.to_string())))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Id, E> {
                Ok(Id(Some(number.to_string())))
            }

            says_nothing!(Id(None); visit_f64(f64), visit_bool(bool), visit_unit());

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Id, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Id(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Id, A::Error> {
                while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Id(None))
            }
        }
        deserializer.deserialize_any(AnyId)
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Within<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Holder<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for Holder<T> {
            type Value = Within<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("something with an id")
            }

            says_nothing!(Within::default(); visit_str(&str), visit_u64(u64), visit_i64(i64), visit_f64(f64), visit_bool(bool), visit_unit());

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Within<T>, A::Error> {
                let first = items.next_element::<Within<T>>()?.unwrap_or_default();
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(first)
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Within<T>, A::Error> {
                T::deserialize(serde::de::value::MapAccessDeserializer::new(entries)).map(Within)
            }
        }
        deserializer.deserialize_any(Holder(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyText;
        impl<'de> Visitor<'de> for AnyText {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(Some(text.to_owned())))
            }

            says_nothing!(Text(None); visit_u64(u64), visit_i64(i64), visit_f64(f64), visit_bool(bool), visit_unit());

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Text, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Text, A::Error> {
                while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
        }
        deserializer.deserialize_any(AnyText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Top {
        #[serde(default)]
        items: IdWithin,
    }

    fn id_in(text: &str) -> Option<String> {
        read::<Top>(text.as_bytes(), 64).expect("an object").items.id()
    }

    #[test]
    fn ids_are_found_and_never_in_the_way() {
        assert_eq!(id_in(r#"{"items":[{"x":[1],"id":"a"},{"id":"b"}]}"#), Some("a".to_owned()));
        assert_eq!(id_in(r#"{"items":{"id":18446744073709551615}}"#), Some("18446744073709551615".to_owned()));
        for none in [
            r#"{"x":1}"#,
            r#"{"items":[]}"#,
            r#"{"items":3}"#,
            r#"{"items":[{"id":{"id":1}}]}"#,
            r#"{"items":"id"}"#,
            r#"{"items":[null]}"#,
            r#"{"items":[{"id":1e999}]}"#,
        ] {
            // A number beyond all doubles is refused as JSON, which is as well.
            let Ok(top) = read::<Top>(none.as_bytes(), 64) else { continue };
            assert_eq!(top.items.id(), None, "{none}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in [
            "",
            " ",
            "{}",
            " { } ",
            "[]",
            "1",
            "null",
            "\"{}\"",
            "{",
            "{}{}",
            "{\"a\":1,}",
            "\u{feff}{}",
            "{\"a\":\"\n\"}",
        ] {
            assert!(read::<Top>(text.as_bytes(), 64).is_err(), "{text:?}");
        }
        assert!(read::<Top>(b"{\"a\":\"\xff\"}", 64).is_err());
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
        assert!(read::<Top>(deep.as_bytes(), 64).is_err());
    }
}
