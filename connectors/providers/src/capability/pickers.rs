//! What there is at a provider to choose from: channels, lists, and the tasks of
//! a list. Page by page, as the provider has them; a provider that gives the
//! same page token again is not followed in circles.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{
    client::{ProviderClient, ProviderError, word_at},
    provider::Asking,
};

/// A channel, a list, a task: names come from strangers.
const NAME_CHARS_MAX: usize = 300;

/// Something that can be mapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Choice {
    /// The provider's id of it, as a project names it.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// What it is in: workspace, space, folder; outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<String>,
    /// A page for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whether we are in it, where that matters: a channel's messages are only
    /// told to its members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_member: Option<bool>,
    /// The project that it is mapped to already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
}

/// A task of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskChoice {
    /// The provider's id of it.
    pub id: String,
    /// Its title.
    pub name: String,
    /// The provider's word for its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// A page for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Some of them, and the cursor of the next.
pub struct Picked<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// Which page is asked for.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Rows.
    pub limit: usize,
    /// `next` of the page before.
    pub cursor: Option<&'a str>,
}

impl Asked<'_> {
    /// A page's number, from `first` on.
    pub fn number(&self, first: usize) -> Result<usize, ProviderError> {
        let number = self.cursor.map_or(Ok(first), str::parse);
        number.ok().filter(|number| (first..100_000).contains(number)).ok_or_else(bad_cursor)
    }
}

/// Gives what there is to choose from.
pub trait Pickers: Send + Sync {
    /// The channels that can be mapped.
    fn channels<'a>(&'a self, _client: &'a ProviderClient, _asked: Asked<'a>) -> Asking<'a, Picked<Choice>> {
        Box::pin(async { Err(ProviderError::unsupported(NO_CHANNELS)) })
    }

    /// The lists, repositories or projects that can be mapped.
    fn lists<'a>(&'a self, _client: &'a ProviderClient, _asked: Asked<'a>) -> Asking<'a, Picked<Choice>> {
        Box::pin(async { Err(ProviderError::unsupported(NO_LISTS)) })
    }

    /// The tasks of a list.
    fn tasks<'a>(
        &'a self,
        _client: &'a ProviderClient,
        _list: &'a str,
        _asked: Asked<'a>,
    ) -> Asking<'a, Picked<TaskChoice>> {
        Box::pin(async { Err(ProviderError::unsupported(NO_LISTS)) })
    }
}

/// Of providers without channels.
pub const NO_CHANNELS: &str = "only Slack has channels";
/// Of providers without lists.
pub const NO_LISTS: &str = "this provider has no lists";

/// A cursor that no page gave.
pub fn bad_cursor() -> ProviderError {
    ProviderError::first("bad_cursor", "the cursor is not `page.next` of a page before")
}

/// A page that follows itself is never followed.
pub fn check_token(known: &[String], next: &str) -> Result<(), ProviderError> {
    match known.iter().any(|known| known == next) {
        true => Err(ProviderError::bad_answer("the provider gave the same page token twice")),
        false => Ok(()),
    }
}

/// A name, of bounded length.
pub fn name_at(row: &Value, place: &str) -> Option<String> {
    word_at(row, place).map(|name| name.chars().take(NAME_CHARS_MAX).collect())
}
