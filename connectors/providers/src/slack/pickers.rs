//! Slack's channels.

use serde_json::Value;

use super::Slack;
use crate::{
    capability::{
        Pickers,
        pickers::{Asked, Choice, Picked, check_token, name_at},
    },
    client::{ProviderClient, ProviderError, rows_at, word_at},
    provider::Asking,
};

/// Empty pages in a row that are looked behind: Slack gives some.
const EMPTY_PAGES_MAX: usize = 10;

impl Pickers for Slack {
    fn channels<'a>(&'a self, client: &'a ProviderClient, asked: Asked<'a>) -> Asking<'a, Picked<Choice>> {
        Box::pin(channels(client, asked))
    }
}

async fn channels(client: &ProviderClient, asked: Asked<'_>) -> Result<Picked<Choice>, ProviderError> {
    let limit = asked.limit.to_string();
    let mut tokens: Vec<String> = asked.cursor.map(str::to_owned).into_iter().collect();
    loop {
        let cursor = tokens.last().map_or("", String::as_str);
        let kinds = "public_channel,private_channel";
        let query = [("types", kinds), ("exclude_archived", "true"), ("limit", &*limit), ("cursor", cursor)];
        let page = client.get(&["conversations.list"], &query).await?;
        let channel = |row: &Value| {
            let id = word_at(row, "/id")?;
            let name = name_at(row, "/name").unwrap_or_else(|| id.clone());
            let is_member = row["is_member"].as_bool();
            Some(Choice { id, name, within: Vec::new(), url: None, is_member, project_id: None })
        };
        let rows: Vec<_> = rows_at(&page, "/channels")?.iter().filter_map(channel).collect();
        let Some(next) = word_at(&page, "/response_metadata/next_cursor") else {
            return Ok(Picked { rows, next: None });
        };
        check_token(&tokens, &next)?;
        if !rows.is_empty() || tokens.len() > EMPTY_PAGES_MAX {
            return Ok(Picked { rows, next: Some(next) });
        }
        tokens.push(next);
    }
}
