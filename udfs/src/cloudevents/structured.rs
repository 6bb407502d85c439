//! Events whose attributes and data are one JSON object.

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Attributes, CloudEvent, Data, Invalid, is_json};

/// The event that this body is.
pub fn structured(body: &[u8]) -> Result<CloudEvent<'_>, Invalid> {
    event(parse(body)?)
}

/// The events of which this body is the list. It may be empty.
pub fn batch(body: &[u8]) -> Result<Vec<CloudEvent<'_>>, Invalid> {
    let items: Vec<&RawValue> = parse(body)?;
    items.into_iter().map(event).collect()
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Invalid> {
    let text = std::str::from_utf8(body).map_err(|_| Invalid::NotJson)?;
    serde_json::from_str(text).map_err(|error| if error.is_data() { Invalid::NotAnEvent } else { Invalid::NotJson })
}

fn event(raw: &RawValue) -> Result<CloudEvent<'_>, Invalid> {
    let Members(members) = parse(raw.get().as_bytes())?;
    let mut attributes = Attributes(Default::default());
    let (mut data, mut data_base64) = (None, None);
    for (name, value) in members {
        // An attribute that is null is one that is not set.
        let value = value.get();
        if value == "null" {
            continue;
        }
        let place = match &*name {
            "data" => &mut data,
            "data_base64" => &mut data_base64,
            _ => {
                let text = simple(&name, value).ok_or_else(|| Invalid::Bad(name.clone().into_owned()))?;
                attributes.add(name, text)?;
                continue;
            }
        };
        if place.replace(value).is_some() {
            return Err(Invalid::Bad(name.into_owned()));
        }
    }
    let json = attributes.0.get("datacontenttype").is_none_or(|content_type| is_json(content_type));
    let data = match (data, data_base64) {
        (None, None) => Data::None,
        (Some(_), Some(_)) => return Err(Invalid::TwoData),
        (Some(value), None) if json || !value.starts_with('"') => Data::Json(value),
        (Some(value), None) => Data::Text(text(value).ok_or_else(|| Invalid::Bad("data".into()))?),
        (None, Some(value)) => {
            let bytes = text(value).and_then(|encoded| STANDARD.decode(encoded.as_bytes()).ok());
            Data::Bytes(Cow::Owned(bytes.ok_or_else(|| Invalid::Bad("data_base64".into()))?))
        }
    };
    attributes.event(data)
}

/// The attributes that the specification wants to be strings.
const STRINGS: &[&str] = &["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"];

/// The text of what an attribute may be: a string, and for an extension also a
/// number or a boolean.
fn simple<'a>(name: &str, value: &'a str) -> Option<Cow<'a, str>> {
    match value.as_bytes().first()? {
        b'"' => text(value),
        b'{' | b'[' => None,
        _ => (!STRINGS.contains(&name)).then_some(Cow::Borrowed(value)),
    }
}

fn text(literal: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(literal).ok().map(|Text(text)| text)
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// An object's members in their order, repetitions kept, values unread.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Text(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
