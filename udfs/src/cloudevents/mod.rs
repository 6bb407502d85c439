//! CloudEvents 1.0 over HTTP: a request comes in, its events go out, borrowed
//! from it where they can be.
//!
//! A request is taken whole or not at all: one bad event refuses its batch, so
//! that the sender is told, and nothing is half stored. The specification's
//! demands are checked, and the first that is not met is named.

mod binary;
mod structured;

use std::{borrow::Cow, collections::BTreeMap, fmt};

pub use binary::binary;
pub use structured::{batch, structured};

/// How the events are written in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The body is one event: `application/cloudevents+json`.
    Structured,
    /// The body is a list of events: `application/cloudevents-batch+json`.
    Batch,
    /// The body is the data of one event; the rest is in `ce-` headers.
    Binary,
}

/// The mode of a request, or `None` if it is no CloudEvent. A media type of
/// CloudEvents wins over headers, as the specification has it.
pub fn mode(content_type: Option<&str>, specversion_header: bool) -> Option<Mode> {
    let media = content_type.map(media_type).unwrap_or_default();
    if media.eq_ignore_ascii_case("application/cloudevents+json") {
        return Some(Mode::Structured);
    }
    if media.eq_ignore_ascii_case("application/cloudevents-batch+json") {
        return Some(Mode::Batch);
    }
    let other_format = media.get(..23).is_some_and(|start| start.eq_ignore_ascii_case("application/cloudevents"));
    (specversion_header && !other_format).then_some(Mode::Binary)
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvent<'a> {
    /// Unique among the events of its source.
    pub id: Cow<'a, str>,
    /// Where it happened, a URI reference.
    pub source: Cow<'a, str>,
    /// What happened: the attribute `type`.
    pub kind: Cow<'a, str>,
    /// What it happened to.
    pub subject: Option<Cow<'a, str>>,
    /// When it happened: the attribute `time`.
    pub time_ms: Option<i64>,
    /// The media type of the data; JSON when left out.
    pub datacontenttype: Option<Cow<'a, str>>,
    /// What more there is to say.
    pub data: Data<'a>,
    /// All other attributes; numbers and booleans in their JSON form.
    pub extensions: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

/// The data of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// There is none.
    None,
    /// JSON text, well formed.
    Json(&'a str),
    /// Text of another media type.
    Text(Cow<'a, str>),
    /// Bytes of another media type, base64 undone.
    Bytes(Cow<'a, [u8]>),
}

/// Why a request holds no CloudEvents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// The body, or the data that claims to be JSON, is not.
    NotJson,
    /// The body is JSON of another shape, such as a number.
    NotAnEvent,
    /// An attribute that every event must have is missing.
    Missing(&'static str),
    /// An attribute is there, but is not what it must be.
    Bad(String),
    /// `data` and `data_base64` are both there, and only one can be true.
    TwoData,
}

impl fmt::Display for Invalid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Invalid::NotJson => out.write_str("not well-formed JSON"),
            Invalid::NotAnEvent => out.write_str("not a CloudEvent"),
            Invalid::Missing(name) => write!(out, "the attribute {name} is missing"),
            Invalid::Bad(name) => write!(out, "the attribute {name} is malformed"),
            Invalid::TwoData => out.write_str("data and data_base64 exclude each other"),
        }
    }
}

impl std::error::Error for Invalid {}

/// The attributes as they are read, whatever they were written in.
struct Attributes<'a>(BTreeMap<Cow<'a, str>, Cow<'a, str>>);

impl<'a> Attributes<'a> {
    /// Adds one; a second of the same name is refused, as two readers could
    /// take different ones for true.
    fn add(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) -> Result<(), Invalid> {
        match self.0.insert(name.clone(), value) {
            None => Ok(()),
            Some(_) => Err(Invalid::Bad(name.into_owned())),
        }
    }

    /// Takes one that may be missing, but not empty.
    fn optional(&mut self, name: &'static str) -> Result<Option<Cow<'a, str>>, Invalid> {
        match self.0.remove(name) {
            Some(value) if value.is_empty() => Err(Invalid::Bad(name.into())),
            value => Ok(value),
        }
    }

    fn required(&mut self, name: &'static str) -> Result<Cow<'a, str>, Invalid> {
        self.optional(name)?.ok_or(Invalid::Missing(name))
    }

    fn event(mut self, data: Data<'a>) -> Result<CloudEvent<'a>, Invalid> {
        if self.required("specversion")? != "1.0" {
            return Err(Invalid::Bad("specversion".into()));
        }
        let time = self.optional("time")?;
        let time_ms = time.map(|text| crate::time::from_rfc3339(&text).ok_or_else(|| Invalid::Bad("time".into())));
        Ok(CloudEvent {
            id: self.required("id")?,
            source: self.required("source")?,
            kind: self.required("type")?,
            subject: self.optional("subject")?,
            time_ms: time_ms.transpose()?,
            datacontenttype: self.optional("datacontenttype")?,
            data,
            extensions: self.0,
        })
    }
}

fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Whether this media type is JSON, by name or by suffix.
fn is_json(content_type: &str) -> bool {
    let media = media_type(content_type);
    let kind = media.rsplit(['/', '+']).next().unwrap_or_default();
    media.contains('/') && kind.eq_ignore_ascii_case("json")
}

#[cfg(test)]
mod tests;
