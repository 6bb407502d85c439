//! Stand-ins until the functions of `udfs` are there.

use std::borrow::Cow;

pub(super) fn from_base64(encoded: &str) -> Option<Vec<u8>> {
    udfs::hash::from_base64(encoded)
}

pub(super) fn mend_surrogates(body: &str) -> Cow<'_, str> {
    Cow::Borrowed(body)
}

pub(super) fn mentions(text: &str) -> Vec<&str> {
    text.split_whitespace().filter(|word| word.starts_with('@') && word.len() > 1).collect()
}

pub(super) fn slack_to_plain(text: &str) -> String {
    text.to_owned()
}

pub(super) fn slack_to_markdown(text: &str) -> String {
    text.to_owned()
}

pub(super) fn markdown_to_plain(text: &str) -> String {
    text.to_owned()
}

pub(super) fn adf_to_markdown(document: &serde_json::Value) -> String {
    document.to_string()
}

pub(super) fn adf_to_plain(document: &serde_json::Value) -> String {
    document.to_string()
}
