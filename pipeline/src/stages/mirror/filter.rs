//! Whether a connection's filter lets an event be copied to the other side.

use serde_json::Value;

use crate::event::{MirrorFilter, StandardEvent};

/// See [`MirrorFilter`] for what each list means.
pub fn passes(filters: Option<&Value>, event: &StandardEvent) -> bool {
    let Some(filter) = filters.and_then(MirrorFilter::of) else { return true };
    let text = event.message.as_ref().map(|message| message.text.to_lowercase()).unwrap_or_default();
    let says = |words: &[String]| words.iter().any(|word| text.contains(&word.to_lowercase()));
    let actor = event.actor.as_ref();
    let names = || actor.iter().flat_map(|actor| [&actor.external_id, &actor.name, &actor.email]).flatten();
    let wrote = |authors: &[String]| authors.iter().any(|author| names().any(|name| name.eq_ignore_ascii_case(author)));
    let has = || {
        let event = serde_json::to_value(event).unwrap_or_default();
        filter.metadata.iter().all(|(pointer, value)| event.pointer(pointer) == Some(value))
    };
    (filter.keywords.is_empty() || says(&filter.keywords))
        && !says(&filter.not_keywords)
        && (filter.authors.is_empty() || wrote(&filter.authors))
        && !wrote(&filter.not_authors)
        && (filter.metadata.is_empty() || has())
}
