//! What is shown of settings.

use std::fmt;

use serde::Serialize;
use toml::{Table, Value};

/// For `Debug`: the settings with what is secret replaced.
pub fn show(settings: &impl Serialize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut table = Table::try_from(settings).unwrap_or_default();
    mask(&mut table);
    fmt::Debug::fmt(&table, f)
}

/// Replaces what is secret.
pub fn mask(table: &mut Table) {
    for (name, value) in table.iter_mut() {
        match value {
            Value::Table(inner) if name == "secrets" => inner.iter_mut().for_each(|(_, secret)| hide(secret)),
            Value::Table(inner) => mask(inner),
            Value::Array(items) if name != "secrets" => items.iter_mut().for_each(|item| {
                if let Value::Table(inner) = item {
                    mask(inner);
                }
            }),
            Value::String(url) if name.ends_with("url") => *url = without_password(url),
            secret if ["secret", "password", "token", "key", "headers"].iter().any(|word| name.contains(word)) => {
                hide(secret)
            }
            _ => {}
        }
    }
}

fn hide(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::String(text) if text.is_empty() => {}
        other => *other = Value::String("********".to_owned()),
    }
}

/// An address without the password in it.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    // A password may hold an `@` that nobody encoded; a path may not hold ours.
    let Some((login, place)) = rest.rsplit_once('@') else { return url.to_owned() };
    let user = login.split(':').next().unwrap_or_default();
    format!("{scheme}://{user}:********@{place}")
}
