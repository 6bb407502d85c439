//! Formatted text: what one provider's people wrote comes in, what another's
//! can read goes out.
//!
//! Each format has a file that turns it into [`pieces`] or pieces into it, so
//! that n formats need n files and not n². Reading never fails: what is not
//! understood is text. All of it is linear in the input, whatever the input,
//! and nothing recurses except into Jira's documents, to a limit.
//!
//! What is written into another system goes through a [`Document`], which keeps
//! mentions as mentions, and [`render()`], which makes parts of it that the
//! other system takes and that call nobody who was not meant.

mod adf;
mod clickup;
mod code;
mod document;
mod markdown;
mod mention;
mod neutral;
pub mod notices;
pub mod origin;
mod pieces;
mod plain;
mod render;
#[cfg(test)]
mod render_properties;
#[cfg(test)]
mod render_tests;
mod resolve;
mod rows;
mod ruler;
mod slack;
mod split;
#[cfg(test)]
mod tests;
mod unrows;
mod work;

use std::borrow::Cow;

pub use code::code_ranges;
pub use document::Document;
pub use mention::{Dialect, Mention, MentionKind, Target};
pub use render::{Body, Footer, Mark, Options, Part, limit, render};
use serde_json::Value;

/// Whom ids stand for. The ids of Slack mean nothing to a reader elsewhere.
/// Without an answer the name within the text is taken, and else the id.
pub trait Names {
    /// The name of a user, without `@`.
    fn user(&self, _id: &str) -> Option<String> {
        None
    }

    /// The name of a channel, without `#`.
    fn channel(&self, _id: &str) -> Option<String> {
        None
    }

    /// The handle of a group of users, without `@`.
    fn group(&self, _id: &str) -> Option<String> {
        None
    }
}

/// Knows no names: `<@U123>` becomes `@U123`.
pub struct Ids;

impl Names for Ids {}

/// Slack's mrkdwn as plain text, its entities undone. A link is its label with
/// the URL in parentheses.
pub fn slack_to_plain(text: &str, names: &dyn Names) -> String {
    plain::write(&slack::read(text, names))
}

/// Slack's mrkdwn as Markdown.
pub fn slack_to_markdown(text: &str, names: &dyn Names) -> String {
    markdown::write(&slack::read(text, names))
}

/// Both of the above, for the price of reading the text once.
pub fn slack_to_plain_and_markdown(text: &str, names: &dyn Names) -> (String, String) {
    let pieces = slack::read(text, names);
    (plain::write(&pieces), markdown::write(&pieces))
}

/// Markdown as plain text.
pub fn markdown_to_plain(text: &str) -> String {
    plain::write(&markdown::read(text))
}

/// Markdown as Slack's mrkdwn. Nothing in the text can become a mention or a
/// command of Slack's.
pub fn markdown_to_slack(text: &str) -> String {
    slack::write(&markdown::read(text))
}

/// A document of Jira's (ADF) as plain text; a plain string is taken as it is,
/// since Jira's webhooks send those.
pub fn adf_to_plain(document: &Value) -> String {
    plain::write(&adf::read(document))
}

/// A document of Jira's (ADF) as Markdown.
pub fn adf_to_markdown(document: &Value) -> String {
    markdown::write(&adf::read(document))
}

/// A comment of ClickUp's as plain text: a list of blocks, an object that holds
/// one or its text, or a string.
pub fn clickup_comment_to_plain(comment: &Value) -> String {
    clickup::plain(comment)
}

/// The text with what would ping everybody made harmless, for forwarding:
/// `<!channel>`, `@here`, `@everyone` and groups read the same and call nobody.
pub fn neutralise(text: &str) -> Cow<'_, str> {
    neutral::neutralise(text)
}
