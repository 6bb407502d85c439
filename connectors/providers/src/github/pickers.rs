//! GitHub's repositories, and their issues.

use serde_json::Value;

use super::GitHub;
use crate::{
    capability::{
        Pickers,
        pickers::{Asked, Choice, Picked, TaskChoice, name_at},
    },
    client::{ProviderClient, ProviderError, rows_at, word_at},
    provider::Asking,
};

impl Pickers for GitHub {
    fn lists<'a>(&'a self, client: &'a ProviderClient, asked: Asked<'a>) -> Asking<'a, Picked<Choice>> {
        Box::pin(repositories(client, asked))
    }

    fn tasks<'a>(
        &'a self,
        client: &'a ProviderClient,
        list: &'a str,
        asked: Asked<'a>,
    ) -> Asking<'a, Picked<TaskChoice>> {
        Box::pin(issues(client, list, asked))
    }
}

async fn repositories(client: &ProviderClient, asked: Asked<'_>) -> Result<Picked<Choice>, ProviderError> {
    let (number, limit) = (asked.number(1)?, asked.limit.min(100));
    let query = [("per_page", &*limit.to_string()), ("page", &*number.to_string()), ("sort", "full_name")];
    let page = client.get(&["user", "repos"], &query).await?;
    let repository = |row: &Value| {
        let id = word_at(row, "/full_name")?;
        let name = name_at(row, "/name").unwrap_or_else(|| id.clone());
        let within = name_at(row, "/owner/login").into_iter().collect();
        Some(Choice { id, name, within, url: word_at(row, "/html_url"), is_member: None, project_id: None })
    };
    let found = rows_at(&page, "")?;
    let next = (found.len() >= limit).then(|| (number + 1).to_string());
    Ok(Picked { rows: found.iter().filter_map(repository).collect(), next })
}

async fn issues(client: &ProviderClient, list: &str, asked: Asked<'_>) -> Result<Picked<TaskChoice>, ProviderError> {
    let (number, limit) = (asked.number(1)?, asked.limit.min(100));
    let (owner, repository) = list.split_once('/').ok_or_else(|| ProviderError::gone("a list is owner/name here"))?;
    let query = [("per_page", &*limit.to_string()), ("page", &*number.to_string()), ("state", "open")];
    let page = client.get(&["repos", owner, repository, "issues"], &query).await?;
    let issue = |row: &Value| {
        let id = format!("{list}#{}", word_at(row, "/number")?);
        let (status, url) = (word_at(row, "/state"), word_at(row, "/html_url"));
        Some(TaskChoice { name: name_at(row, "/title").unwrap_or_else(|| id.clone()), id, status, url })
    };
    let found = rows_at(&page, "")?;
    let next = (found.len() >= limit).then(|| (number + 1).to_string());
    Ok(Picked { rows: found.iter().filter_map(issue).collect(), next })
}
