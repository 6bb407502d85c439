//! ClickUp's lists, space by space, and their tasks.

use serde_json::Value;

use super::ClickUp;
use crate::{
    capability::{
        Pickers,
        pickers::{Asked, Choice, Picked, TaskChoice, bad_cursor, name_at},
    },
    client::{ProviderClient, ProviderError, rows_at, word_at},
    provider::Asking,
};

impl Pickers for ClickUp {
    fn lists<'a>(&'a self, client: &'a ProviderClient, asked: Asked<'a>) -> Asking<'a, Picked<Choice>> {
        Box::pin(lists(client, asked))
    }

    fn tasks<'a>(
        &'a self,
        client: &'a ProviderClient,
        list: &'a str,
        asked: Asked<'a>,
    ) -> Asking<'a, Picked<TaskChoice>> {
        Box::pin(tasks(client, list, asked))
    }
}

/// One space a page, in the order in which ClickUp has them: its folders' lists,
/// then those without a folder. The cursor is `team.space.offset`.
async fn lists(client: &ProviderClient, asked: Asked<'_>) -> Result<Picked<Choice>, ProviderError> {
    let mut spaces = Vec::new();
    let teams = client.get(&["team"], &[]).await?;
    for team in rows_at(&teams, "/teams")? {
        let (Some(id), team_name) = (word_at(team, "/id"), name_at(team, "/name")) else { continue };
        let found = client.get(&["team", &id, "space"], &[("archived", "false")]).await?;
        for space in rows_at(&found, "/spaces")? {
            let Some(space_id) = word_at(space, "/id") else { continue };
            let within: Vec<_> = team_name.iter().cloned().chain(name_at(space, "/name")).collect();
            spaces.push((format!("{id}.{space_id}"), space_id, within));
        }
    }
    let (wanted, offset) =
        match asked.cursor.map(|cursor| cursor.rsplit_once('.').ok_or_else(bad_cursor)).transpose()? {
            Some((space, offset)) => (Some(space), offset.parse().map_err(|_| bad_cursor())?),
            None => (None, 0),
        };
    let at = wanted.map_or(Some(0), |wanted| spaces.iter().position(|(key, ..)| key == wanted));
    let mut at = at.ok_or_else(bad_cursor)?;
    let mut offset: usize = offset;
    while let Some((key, space, within)) = spaces.get(at) {
        let mut rows = lists_of_space(client, space, within).await?;
        let more = rows.len() > offset.saturating_add(asked.limit);
        rows = rows.into_iter().skip(offset).take(asked.limit).collect();
        let next = match more {
            true => Some(format!("{key}.{}", offset + asked.limit)),
            false => spaces.get(at + 1).map(|(key, ..)| format!("{key}.0")),
        };
        if !rows.is_empty() || next.is_none() {
            return Ok(Picked { rows, next });
        }
        (at, offset) = (at + 1, 0);
    }
    Ok(Picked { rows: Vec::new(), next: None })
}

async fn lists_of_space(client: &ProviderClient, space: &str, within: &[String]) -> Result<Vec<Choice>, ProviderError> {
    let list = |row: &Value, folder: Option<String>| {
        let id = word_at(row, "/id")?;
        let within = within.iter().cloned().chain(folder).collect();
        let name = name_at(row, "/name").unwrap_or_else(|| id.clone());
        Some(Choice { id, name, within, url: None, is_member: None, project_id: None })
    };
    let mut rows = Vec::new();
    let folders = client.get(&["space", space, "folder"], &[("archived", "false")]).await?;
    for folder in rows_at(&folders, "/folders")? {
        let lists = folder["lists"].as_array().map(Vec::as_slice).unwrap_or_default();
        rows.extend(lists.iter().filter_map(|row| list(row, name_at(folder, "/name"))));
    }
    let alone = client.get(&["space", space, "list"], &[("archived", "false")]).await?;
    rows.extend(rows_at(&alone, "/lists")?.iter().filter_map(|row| list(row, None)));
    Ok(rows)
}

async fn tasks(client: &ProviderClient, list: &str, asked: Asked<'_>) -> Result<Picked<TaskChoice>, ProviderError> {
    let number = asked.number(0)?;
    let page = client.get(&["list", list, "task"], &[("page", &number.to_string()), ("archived", "false")]).await?;
    let task = |row: &Value| {
        let id = word_at(row, "/id")?;
        let (status, url) = (word_at(row, "/status/status"), word_at(row, "/url"));
        Some(TaskChoice { name: name_at(row, "/name").unwrap_or_else(|| id.clone()), id, status, url })
    };
    let rows: Vec<_> = rows_at(&page, "/tasks")?.iter().filter_map(task).collect();
    let is_last = page["last_page"] == true || rows.is_empty();
    Ok(Picked { rows, next: (!is_last).then(|| (number + 1).to_string()) })
}
