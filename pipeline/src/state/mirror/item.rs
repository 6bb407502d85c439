//! One thing that is kept in step at one place: a message and its copy, a
//! task's root message, its status, a whisper.
//!
//! An item says what is wanted and what stands there. As long as these differ
//! there is something to do, and what is done is always the newest that is
//! wanted: edits that come faster than they can be made are one edit.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use udfs::hash::Parts;

use crate::event::{MirrorAuthor, MirrorPart, MirrorPlace, MirrorText, StandardEvent, TaskState};

/// Commands that an item remembers. Echoes of older ones come by their remote id.
const COMMANDS_MAX: usize = 8;
/// Hashes that it remembers: a message may have fifty parts.
const HASHES_MAX: usize = 64;

/// What is kept in step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Aim {
    /// The copy of a message or comment.
    Message,
    /// The message that a task's thread hangs from.
    Root,
    /// A task's status at its provider.
    Status { state: TaskState, word: Option<String> },
    /// A word to one person.
    Whisper { user_id: String },
    /// A channel for a list.
    Channel { name: String, provider: String, external_id: String, workgroup_id: String },
}

/// What is under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Issued {
    /// The command's id.
    pub command: String,
    /// What of the item it makes stand there.
    pub revision: u32,
    /// Which try it is.
    pub attempt: u32,
    /// How long the text is that it says.
    pub bytes: usize,
    /// When it was issued, by the log's clock.
    pub at_ms: u64,
    /// It makes something that was not there: its echo may come before its
    /// result.
    pub is_post: bool,
    /// Nobody can tell what became of it; until the next try.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncertain: bool,
}

/// See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// What it is the copy of (see [`remote`]), or what else it comes from.
    pub source: String,
    pub aim: Aim,
    pub place: MirrorPlace,
    pub connection: String,
    /// What it stays in order with.
    pub lane: String,
    /// Its place in the lane, as long as there is something to do.
    pub turn: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<MirrorAuthor>,
    /// When the author said it, by the provider's clock: an older edit that
    /// comes later does not count.
    pub said_ms: i64,
    /// What it is to say. Long texts go when they stand there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<MirrorText>,
    /// The author took it back, and who that was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// It is over: nothing is done about it any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
    /// What is wanted, and what of that stands there: counted from one.
    pub wanted: u32,
    pub stands: u32,
    /// How much of an agent's words stands there: more is put behind them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said_bytes: Option<usize>,
    /// What the same agent says next may be put to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<MirrorPart>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Remote ids that echoes told before the result did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<String>,
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub hashes: VecDeque<(String, u64)>,
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub commands: VecDeque<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Issued>,
    /// The provider has moved the task by itself since the command was issued.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overtaken: bool,
    /// It waits until its project may be mirrored again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paced: bool,
    /// How often what is wanted now was tried.
    #[serde(default)]
    pub tried: u32,
    /// When it last failed for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_ms: Option<u64>,
    /// When it was last wanted.
    pub at_ms: u64,
}

/// The key of an item: one a source and provider.
pub fn key_of(tenant: &str, source: &str, provider: &str) -> u128 {
    Parts::new().add("mirror").add(tenant).add(source).add(provider).finish()
}

/// How a message or comment at a provider is named here, whoever wrote it. A
/// comment's number is only its own connection's at Jira, and only its kind's
/// at GitHub.
pub fn remote(place: &MirrorPlace, connection: &str, id: &str) -> String {
    match place {
        MirrorPlace::Slack { channel_id, .. } => format!("slack:{channel_id}:{id}"),
        MirrorPlace::Clickup { .. } => format!("clickup:{id}"),
        MirrorPlace::Github { repository, .. } => format!("github:issue_comment:{}:{id}", repository.to_lowercase()),
        MirrorPlace::Jira { .. } => format!("jira:{connection}:{id}"),
    }
}

/// The same name, of what an event tells of.
pub fn source_of(event: &StandardEvent) -> Option<String> {
    let subject = event.subject.as_ref()?;
    let id = subject.external_id.as_deref()?;
    match &*event.source.provider {
        "slack" if subject.kind == "message" => {
            Some(format!("slack:{}:{id}", event.message.as_ref()?.channel_id.as_deref()?))
        }
        "clickup" if subject.kind == "comment" => Some(format!("clickup:{id}")),
        "github" if matches!(&*subject.kind, "comment" | "review") => {
            let family = event.source.event.split('.').next().unwrap_or_default();
            let repository = event.task.as_ref()?.external_id.as_deref()?.split('#').next()?.to_lowercase();
            Some(format!("github:{family}:{repository}:{id}"))
        }
        "jira" if subject.kind == "comment" => {
            Some(format!("jira:{}:{id}", event.source.connection_id.as_deref().unwrap_or_default()))
        }
        "nexus" if subject.kind == "message" => Some(id.to_owned()),
        _ => None,
    }
}

impl Item {
    /// Whether there is something to do.
    pub fn is_pending(&self) -> bool {
        self.issued.is_some() || (self.wanted != self.stands && !self.ended)
    }

    /// Something else is wanted from now on.
    pub fn want(&mut self, now_ms: u64) {
        self.wanted += 1;
        self.at_ms = now_ms;
        self.tried = 0;
        self.failed_ms = None;
    }

    /// Nothing more is done about what is wanted now.
    pub fn give_up(&mut self, now_ms: u64) {
        self.stands = self.issued.take().map_or(self.wanted, |issued| issued.revision);
        self.tried = 0;
        self.failed_ms = Some(now_ms);
    }

    /// Whether it says, or was about to say, what has this hash.
    pub fn says(&self, hash: &str, since_ms: u64) -> bool {
        self.hashes.iter().any(|(known, at_ms)| known == hash && *at_ms >= since_ms)
    }

    /// Remembers what is about to be said.
    pub fn remember_hash(&mut self, hash: String, now_ms: u64) {
        self.hashes.retain(|(known, _)| *known != hash);
        self.hashes.push_back((hash, now_ms));
        while self.hashes.len() > HASHES_MAX {
            self.hashes.pop_front();
        }
    }

    /// Remembers a command; the answer is one that is forgotten for it.
    pub fn remember_command(&mut self, id: String) -> Option<String> {
        self.commands.push_back(id);
        if self.commands.len() > COMMANDS_MAX { self.commands.pop_front() } else { None }
    }

    /// What it takes up, roughly.
    pub fn cost_bytes(&self) -> usize {
        let text = self.text.as_ref().map_or(0, |text| text.markdown.len() + 200);
        600 + text + 120 * (self.parts.len() + self.seen.len() + self.hashes.len() + self.commands.len())
    }
}
