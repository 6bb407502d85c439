//! Stand-ins until the functions of `udfs` are there.

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
