//! Jira's projects, and their issues.

use reqwest::Method;
use serde_json::{Value, json};

use super::Jira;
use crate::{
    capability::{
        Pickers,
        pickers::{Asked, Choice, Picked, TaskChoice, check_token, name_at},
    },
    client::{ProviderClient, ProviderError, rows_at, word_at},
    provider::Asking,
};

impl Pickers for Jira {
    fn lists<'a>(&'a self, client: &'a ProviderClient, asked: Asked<'a>) -> Asking<'a, Picked<Choice>> {
        Box::pin(projects(client, asked))
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

async fn projects(client: &ProviderClient, asked: Asked<'_>) -> Result<Picked<Choice>, ProviderError> {
    let start = asked.number(0)?;
    let query = [("startAt", &*start.to_string()), ("maxResults", &*asked.limit.min(50).to_string())];
    let page = client.get(&["rest", "api", "3", "project", "search"], &query).await?;
    let project = |row: &Value| {
        let id = word_at(row, "/key")?;
        let name = name_at(row, "/name").unwrap_or_else(|| id.clone());
        Some(Choice { id, name, within: Vec::new(), url: None, is_member: None, project_id: None })
    };
    let found = rows_at(&page, "/values")?;
    let is_last = page["isLast"] == true || found.is_empty();
    let next = (!is_last).then(|| (start + found.len()).to_string());
    Ok(Picked { rows: found.iter().filter_map(project).collect(), next })
}

async fn issues(client: &ProviderClient, list: &str, asked: Asked<'_>) -> Result<Picked<TaskChoice>, ProviderError> {
    let is_key = |text: &str| {
        (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if !is_key(list) {
        return Err(ProviderError::gone("there is no project of this key"));
    }
    let search = json!({
        "jql": format!("project = \"{list}\" ORDER BY created DESC"), "maxResults": asked.limit.min(100),
        "fields": ["summary", "status"], "nextPageToken": asked.cursor,
    });
    let page = client.call(Method::POST, &["rest", "api", "3", "search", "jql"], &[], Some(&search)).await?;
    let issue = |row: &Value| {
        let id = word_at(row, "/key")?;
        let name = name_at(row, "/fields/summary").unwrap_or_else(|| id.clone());
        Some(TaskChoice { id, name, status: word_at(row, "/fields/status/name"), url: None })
    };
    let rows: Vec<_> = rows_at(&page, "/issues")?.iter().filter_map(issue).collect();
    let next = word_at(&page, "/nextPageToken").filter(|_| !rows.is_empty());
    if let (Some(next), Some(cursor)) = (&next, asked.cursor) {
        check_token(&[cursor.to_owned()], next)?;
    }
    Ok(Picked { rows, next })
}
