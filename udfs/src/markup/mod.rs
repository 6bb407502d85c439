//! Formatted text: what one provider's people wrote comes in, what another's
//! can read goes out.
//!
//! Each format has a file that turns it into `pieces` or pieces into it, so
//! that n formats need n files and not n². Reading never fails: what is not
//! understood is text. All of it is linear in the input, whatever the input,
//! and nothing recurses except into Jira's documents, to a limit.
//!
//! What is written into another system goes through a [`Document`], which keeps
//! mentions as mentions, and [`render()`], which makes parts of it that the
//! other system takes and that call nobody who was not meant.
//!
//! # What a mirror calls
//! - What comes in is read by one of `Document::from_…`. Before that, the
//!   functions of [`origin`] say whether it is ours, if the author is; where
//!   neither the remote id nor a mark tells, [`Document::content_hash`] does.
//! - What goes out is made by [`render()`], with a lookup for the mentions, a
//!   [`Footer`] that leads back and a [`Mark`] with our id. People's words go
//!   under their name ([`notices::under_name`]) unless the system shows it.
//! - An edit is the same call with [`Options::parts_min`] set to the number of
//!   parts that were posted: those are edited, further ones are posted, vacant
//!   ones may be deleted. A deletion is an edit that says [`notices::deleted`].
//! - A system that calls a part too long gets all of it again with half the
//!   [`Options::limit`], in edits as well.
//!
//! ```
//! use serde_json::Value;
//! use udfs::markup::{Body, Dialect, Document, Footer, Ids, Mark, Mention, Options, Target, notices, origin, render};
//!
//! // A reply in Slack becomes a comment in ClickUp, where Ada is user 7.
//! let reply = Document::from_slack("<@U1> it is *done* <!here>", &Ids);
//! let lookup = |mention: &Mention| (mention.id == "U1").then(|| Target::User("7".to_owned()));
//! let options = Options {
//!     lookup: &lookup,
//!     footer: Some(Footer { label: "View in Slack", url: "https://team.slack.com/archives/C1/p1" }),
//!     mark: Some(Mark { id: "msg_1", url: "https://hub.example/m/msg_1" }),
//!     ..Options::default()
//! };
//! let words = notices::under_name("Bob", Some("Slack"), reply);
//! let parts = render(Dialect::Clickup, &words, &options);
//! let [part] = &parts[..] else { panic!("it is short") };
//! let Body::Json(comment) = &part.body else { panic!("ClickUp takes blocks") };
//! assert!(comment.to_string().contains(r#"{"type":"tag","user":{"id":7}}"#));
//!
//! // Its webhook comes back: it is ours, and known even if the mark were lost.
//! let back = Document::from_clickup(comment);
//! assert_eq!(origin::find_in(comment).map(|origin| (origin.id, origin.part)), Some(("msg_1".to_owned(), 1)));
//! assert_eq!(back.content_hash(), part.content_hash);
//!
//! // An edit that left it empty: one part was posted, and is vacant now.
//! let edited = render(Dialect::Clickup, &Document::default(), &Options { parts_min: 1, ..options });
//! assert!(edited[0].vacant);
//! ```

mod adf;
mod clickup;
mod code;
mod content;
mod document;
mod markdown;
mod mention;
mod neutral;
pub mod notices;
pub mod origin;
#[cfg(test)]
mod origin_tests;
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
pub use render::{Body, Footer, Mark, Options, PARTS_MAX, Part, limit, render};
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
