//! Who is called in a text, and whom that is elsewhere.

use std::borrow::Cow;

/// The systems, by how text is written in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// mrkdwn, as `chat.postMessage` takes it.
    Slack,
    /// Markdown as agents read and write it.
    Markdown,
    /// Blocks of a comment.
    Clickup,
    /// Markdown in which `@login` notifies.
    Github,
    /// Atlassian Document Format.
    Jira,
}

/// What a mention calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MentionKind {
    /// One person or bot.
    User,
    /// A group of users, or a team.
    Group,
    /// A channel, which calls nobody.
    Channel,
    /// Everybody who is there.
    Everyone,
}

impl MentionKind {
    pub(super) fn sign(self) -> char {
        if self == MentionKind::Channel { '#' } else { '@' }
    }
}

/// A mention as the system means it in which it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// Whose ids these are.
    pub dialect: Dialect,
    /// What is called.
    pub kind: MentionKind,
    /// The id; a login at GitHub; the name in an agent's Markdown.
    pub id: String,
    /// The name to show, without a sign.
    pub name: String,
}

/// Whom a mention stands for in the system that is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// This user of that system, who is called: the id, or the login.
    User(String),
    /// Somebody who has this name there and is not called.
    Name(String),
}

/// The longest id and name that are written as such.
const ID_BYTES_MAX: usize = 128;
const NAME_BYTES_MAX: usize = 128;

impl Mention {
    /// A mention in the terms of `dialect`.
    pub fn new(dialect: Dialect, kind: MentionKind, id: &str, name: &str) -> Self {
        Mention { dialect, kind, id: id.to_owned(), name: name.to_owned() }
    }

    /// Whether this can be one: what is longer, or has lines, is just text.
    pub(super) fn is_plausible(&self) -> bool {
        self.id.len() <= ID_BYTES_MAX && self.name.len() <= NAME_BYTES_MAX && !self.name.contains(char::is_control)
    }

    /// What a reader sees.
    pub(super) fn shown(&self) -> String {
        format!("{}{}", self.kind.sign(), self.name)
    }

    /// The id, if this calls a user of that system and can be written there.
    pub(super) fn native(&self, dialect: Dialect) -> Option<Cow<'_, str>> {
        let id = &*self.id;
        let only =
            |more: &str| id.chars().all(|character| character.is_ascii_alphanumeric() || more.contains(character));
        let valid = match dialect {
            Dialect::Slack => only(""),
            // A number there, and nothing else.
            Dialect::Clickup => id.parse::<u64>().is_ok(),
            Dialect::Github => only("-") && !id.starts_with('-') && id.len() <= 39,
            Dialect::Jira => only(":-_."),
            Dialect::Markdown => false,
        };
        let called = self.dialect == dialect && self.kind == MentionKind::User;
        (called && valid && !id.is_empty() && id.len() <= ID_BYTES_MAX).then_some(Cow::Borrowed(id))
    }
}
