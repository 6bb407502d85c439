//! Records as people read them.

use std::io::IsTerminal;

use serde_json::Value;

/// Whether a person looks on.
pub fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Text in a colour, if a person looks on.
pub fn paint(text: &str, colour: &str) -> String {
    if is_terminal() { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}

/// One record, from its line of JSON.
pub fn record(line: &str) -> String {
    let Ok(record) = serde_json::from_str::<Value>(line) else { return line.to_owned() };
    let at = record["at"].as_str().unwrap_or_default();
    let place = format!("{}/{}", record["partition"], record["offset"]);
    let time = at.get(11..23).unwrap_or(at);
    let key = plain(record["key"].as_str().unwrap_or_default());
    let what = if record["topic"] == "events" { event(&record["value"]) } else { other(&record) };
    format!("{} {:>9}  {}  {what}", paint(time, "2"), paint(&place, "2"), paint(&key, "36"))
}

/// A StandardEvent in a line.
pub fn event(event: &Value) -> String {
    let text = |value: &Value| plain(value.as_str().unwrap_or_default());
    let mut words = vec![paint(&format!("{:<22}", text(&event["type"])), "1")];
    words.push(format!("{}:{}", text(&event["source"]["provider"]), text(&event["source"]["event"])));
    let subject = &event["subject"];
    if let Some(id) = subject["externalId"].as_str() {
        words.push(format!("{} {}", text(&subject["kind"]), plain(id)));
    }
    if let Some(name) = event["actor"]["name"].as_str().or(event["actor"]["externalId"].as_str()) {
        words.push(format!("by {}", plain(name)));
    }
    let said = event["message"]["text"].as_str().or(event["task"]["title"].as_str());
    if let Some(said) = said.filter(|said| !said.is_empty()) {
        words.push(format!("“{}”", excerpt(said)));
    }
    words.join("  ")
}

fn other(record: &Value) -> String {
    let value = match &record["value"] {
        Value::Null => record["text"].as_str().unwrap_or("(deleted)").to_owned(),
        value => value.to_string(),
    };
    plain(&value.chars().take(160).collect::<String>())
}

/// The beginning of what somebody said, on one line.
pub fn excerpt(said: &str) -> String {
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    plain(&words.chars().take(60).collect::<String>())
}

/// Text of strangers: what could move a terminal's cursor or turn its text
/// around is made visible.
pub fn plain(text: &str) -> String {
    let hostile = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|letter| if hostile(letter) { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_move_the_cursor_or_turn_text_around() {
        assert_eq!(plain("a\u{1b}[2Jb\u{202e}c\nd"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
        assert_eq!(plain("grüße 🦀"), "grüße 🦀");
    }

    #[test]
    fn an_event_is_one_line() {
        let line = r#"{"topic":"events","partition":0,"offset":7,"at":"2026-11-21T08:00:00.123Z","key":"acme",
            "value":{"type":"MessagePosted","source":{"provider":"slack","event":"message"},
            "actor":{"externalId":"U1"},"message":{"text":"two\nlines"}}}"#;
        let shown = record(line);
        assert!(shown.contains("MessagePosted") && shown.contains("by U1") && shown.contains("two lines"), "{shown}");
        assert!(!shown.contains('\n'));
    }
}
