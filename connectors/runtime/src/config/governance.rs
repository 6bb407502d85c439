//! `[governance]` of the manual: the limits of tenants that set none of their
//! own, under the names of the manual.

use pipeline::governance::{BadLimits, Limits};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
use serde_json::{Map, Value};

/// `[governance]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GovernanceSettings(pub Limits);

impl GovernanceSettings {
    /// A part of limits as people write it into a file: TOML with the names of
    /// the manual (with or without its table), or JSON as the API takes it.
    pub fn document(text: &str) -> Result<Value, String> {
        let json = serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
        let table = || {
            let table = text.parse::<toml::Table>().map_err(|error| error.to_string())?;
            serde_json::to_value(table).map_err(|error| error.to_string())
        };
        let mut document = json.map_or_else(table, Ok)?;
        if let Some(own) = document.get_mut("governance") {
            document = own.take();
        }
        Ok(renamed(document, to_camel))
    }

    /// What is wrong with them, if anything is: the setting, and how.
    pub fn check(&self) -> Result<(), (String, String)> {
        self.0.check().map_err(|bad| match bad {
            BadLimits::Shape { reason } => ("governance".to_owned(), reason),
            BadLimits::OutOfRange { field, value, least, most } => {
                let setting = format!("governance.{}", renamed_text(field, to_snake));
                (setting, format!("is {value}, and must be from {least} to {most}"))
            }
        })
    }
}

impl<'de> Deserialize<'de> for GovernanceSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = renamed(Value::deserialize(deserializer)?, to_camel);
        serde_json::from_value(table)
            .map(GovernanceSettings)
            .map_err(|error| D::Error::custom(format!("governance: {error}")))
    }
}

impl Serialize for GovernanceSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = serde_json::to_value(&self.0).map_err(S::Error::custom)?;
        renamed(value, to_snake).serialize(serializer)
    }
}

fn renamed(value: Value, rename: fn(&mut String, char)) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (renamed_text(&name, rename), renamed(value, rename)));
            Value::Object(Map::from_iter(fields))
        }
        other => other,
    }
}

fn renamed_text(name: &str, rename: fn(&mut String, char)) -> String {
    let mut renamed = String::with_capacity(name.len() + 4);
    name.chars().for_each(|letter| rename(&mut renamed, letter));
    renamed
}

fn to_snake(name: &mut String, letter: char) {
    if letter.is_ascii_uppercase() {
        name.push('_');
    }
    name.push(letter.to_ascii_lowercase());
}

fn to_camel(name: &mut String, letter: char) {
    if name.ends_with('_') {
        name.pop();
        name.push(letter.to_ascii_uppercase());
    } else {
        name.push(letter);
    }
}

#[cfg(test)]
mod tests {
    use pipeline::governance::Level;

    use super::*;
    use crate::config::Config;

    #[test]
    fn the_manual_says_what_the_code_does() {
        let config = Config::load(None, std::iter::empty()).expect("defaults");
        assert_eq!(config.governance.0, Limits::default());
        let shown = serde_json::to_value(&config.governance).expect("a value");
        assert_eq!(shown["near_duplicates"]["words_min"], 4);
        assert_eq!(serde_json::from_value::<GovernanceSettings>(shown).expect("the same"), config.governance);
    }

    #[test]
    fn rules_are_read_as_the_manual_and_as_the_api_have_them() {
        let expected = serde_json::json!({ "noProgress": { "idleMs": 5_000 }, "coolDownMs": 1 });
        for text in [
            "cool_down_ms = 1\n[no_progress]\nidle_ms = 5000",
            "[governance]\ncool_down_ms = 1\n[governance.no_progress]\nidle_ms = 5000",
            r#"{"noProgress": {"idleMs": 5000}, "coolDownMs": 1}"#,
        ] {
            assert_eq!(GovernanceSettings::document(text).expect(text), expected);
        }
        assert!(GovernanceSettings::document("= 1").is_err());
    }

    #[test]
    fn limits_come_from_the_environment_and_are_checked() {
        let load = |name: &str, value: &str| Config::load(None, [(name.to_owned(), value.to_owned())]);
        let config = load("NEXUS_GOVERNANCE_NO_PROGRESS_LEVEL", "mute").expect("a level");
        assert_eq!(config.governance.0.no_progress.level, Level::Mute);
        let config = load("NEXUS_GOVERNANCE_COOL_DOWN_MS", "5000").expect("a time");
        assert_eq!(config.governance.0.cool_down_ms, 5_000);
        for (name, value, named) in [
            ("NEXUS_GOVERNANCE_MESSAGES_LIMIT", "0", "governance.messages.limit"),
            ("NEXUS_GOVERNANCE_NEAR_DUPLICATES_WINDOW_MS", "1", "governance.near_duplicates.window_ms"),
            ("NEXUS_GOVERNANCE_SYNCS_LEVEL", "often", "often"),
        ] {
            let error = load(name, value).expect_err(name).to_string();
            assert!(error.contains(named), "{error:?} does not name {named:?}");
        }
    }
}
