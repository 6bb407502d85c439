//! What there is at a provider to choose from: channels, lists, and the tasks of
//! a list. Page by page, as the provider has them; a provider that gives the
//! same page token again is not followed in circles.

use pipeline::event::Project;
use reqwest::Method;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Connections,
    way::{HURRIED, Halt, Way, rows_at, word_at},
};
use providers::client::Provider;

/// Empty pages in a row that are looked behind: Slack gives some.
const EMPTY_PAGES_MAX: usize = 10;
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
    fn number(&self, first: usize) -> Result<usize, Halt> {
        let number = self.cursor.map_or(Ok(first), str::parse);
        number.ok().filter(|number| (first..100_000).contains(number)).ok_or_else(bad_cursor)
    }
}

fn bad_cursor() -> Halt {
    Halt::First("bad_cursor", "the cursor is not `page.next` of a page before".to_owned())
}

impl Connections {
    /// The channels that can be mapped.
    pub async fn channels(&self, tenant: &str, id: &str, asked: Asked<'_>) -> Result<Picked<Choice>, Halt> {
        let way = Way::open(self, tenant, id, HURRIED)?;
        if way.provider != Provider::Slack {
            return Err(Halt::Unsupported("only Slack has channels"));
        }
        let limit = asked.limit.to_string();
        let mut tokens: Vec<String> = asked.cursor.map(str::to_owned).into_iter().collect();
        loop {
            let cursor = tokens.last().map_or("", String::as_str);
            let kinds = "public_channel,private_channel";
            let query = [("types", kinds), ("exclude_archived", "true"), ("limit", &*limit), ("cursor", cursor)];
            let page = way.get(&["conversations.list"], &query).await?;
            let channel = |row: &Value| {
                let id = word_at(row, "/id")?;
                Some(Choice {
                    project_id: self.project_of(tenant, Provider::Slack, &id),
                    name: name(row, "/name").unwrap_or_else(|| id.clone()),
                    is_member: row["is_member"].as_bool(),
                    within: Vec::new(),
                    url: None,
                    id,
                })
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

    /// The lists, repositories or projects that can be mapped.
    pub async fn lists(&self, tenant: &str, id: &str, asked: Asked<'_>) -> Result<Picked<Choice>, Halt> {
        let way = Way::open(self, tenant, id, HURRIED)?;
        let mut page = match way.provider {
            Provider::ClickUp => clickup_lists(&way, asked).await?,
            Provider::GitHub => github_repositories(&way, asked).await?,
            Provider::Jira => jira_projects(&way, asked).await?,
            Provider::Slack | Provider::Other => return Err(Halt::Unsupported("this provider has no lists")),
        };
        for row in &mut page.rows {
            row.project_id = self.project_of(tenant, way.provider, &row.id);
        }
        Ok(page)
    }

    /// The tasks of a list.
    pub async fn tasks(
        &self,
        tenant: &str,
        id: &str,
        list: &str,
        asked: Asked<'_>,
    ) -> Result<Picked<TaskChoice>, Halt> {
        let way = Way::open(self, tenant, id, HURRIED)?;
        match way.provider {
            Provider::ClickUp => clickup_tasks(&way, list, asked).await,
            Provider::GitHub => github_issues(&way, list, asked).await,
            Provider::Jira => jira_issues(&way, list, asked).await,
            Provider::Slack | Provider::Other => Err(Halt::Unsupported("this provider has no lists")),
        }
    }

    /// The project that something is mapped to.
    fn project_of(&self, tenant: &str, provider: Provider, id: &str) -> Option<String> {
        let is_it = |row: &Project| {
            let named = match provider {
                Provider::Slack => &row.slack_channel_id,
                Provider::ClickUp => &row.clickup_list_id,
                Provider::GitHub => &row.github_repository,
                Provider::Jira => &row.jira_project_key,
                Provider::Other => &None,
            };
            named.as_deref().is_some_and(|named| named.eq_ignore_ascii_case(id))
        };
        let projects = self.directory.all::<Project>(tenant);
        projects.iter().find(|(_, row)| is_it(row)).map(|(id, _)| id.to_string())
    }
}

/// A page that follows itself is never followed.
fn check_token(known: &[String], next: &str) -> Result<(), Halt> {
    match known.iter().any(|known| known == next) {
        true => Err(Halt::nonsense("the provider gave the same page token twice")),
        false => Ok(()),
    }
}

fn name(row: &Value, place: &str) -> Option<String> {
    word_at(row, place).map(|name| name.chars().take(NAME_CHARS_MAX).collect())
}

/// One space a page, in the order in which ClickUp has them: its folders' lists,
/// then those without a folder. The cursor is `team.space.offset`.
async fn clickup_lists(way: &Way<'_>, asked: Asked<'_>) -> Result<Picked<Choice>, Halt> {
    let mut spaces = Vec::new();
    let teams = way.get(&["team"], &[]).await?;
    for team in rows_at(&teams, "/teams")? {
        let (Some(id), team_name) = (word_at(team, "/id"), name(team, "/name")) else { continue };
        let found = way.get(&["team", &id, "space"], &[("archived", "false")]).await?;
        for space in rows_at(&found, "/spaces")? {
            let Some(space_id) = word_at(space, "/id") else { continue };
            let within: Vec<_> = team_name.iter().cloned().chain(name(space, "/name")).collect();
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
        let mut rows = clickup_space(way, space, within).await?;
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

async fn clickup_space(way: &Way<'_>, space: &str, within: &[String]) -> Result<Vec<Choice>, Halt> {
    let list = |row: &Value, folder: Option<String>| {
        let id = word_at(row, "/id")?;
        let within = within.iter().cloned().chain(folder).collect();
        let name = name(row, "/name").unwrap_or_else(|| id.clone());
        Some(Choice { id, name, within, url: None, is_member: None, project_id: None })
    };
    let mut rows = Vec::new();
    let folders = way.get(&["space", space, "folder"], &[("archived", "false")]).await?;
    for folder in rows_at(&folders, "/folders")? {
        let lists = folder["lists"].as_array().map(Vec::as_slice).unwrap_or_default();
        rows.extend(lists.iter().filter_map(|row| list(row, name(folder, "/name"))));
    }
    let alone = way.get(&["space", space, "list"], &[("archived", "false")]).await?;
    rows.extend(rows_at(&alone, "/lists")?.iter().filter_map(|row| list(row, None)));
    Ok(rows)
}

async fn clickup_tasks(way: &Way<'_>, list: &str, asked: Asked<'_>) -> Result<Picked<TaskChoice>, Halt> {
    let number = asked.number(0)?;
    let page = way.get(&["list", list, "task"], &[("page", &number.to_string()), ("archived", "false")]).await?;
    let task = |row: &Value| {
        let id = word_at(row, "/id")?;
        let (status, url) = (word_at(row, "/status/status"), word_at(row, "/url"));
        Some(TaskChoice { name: name(row, "/name").unwrap_or_else(|| id.clone()), id, status, url })
    };
    let rows: Vec<_> = rows_at(&page, "/tasks")?.iter().filter_map(task).collect();
    let is_last = page["last_page"] == true || rows.is_empty();
    Ok(Picked { rows, next: (!is_last).then(|| (number + 1).to_string()) })
}

async fn github_repositories(way: &Way<'_>, asked: Asked<'_>) -> Result<Picked<Choice>, Halt> {
    let (number, limit) = (asked.number(1)?, asked.limit.min(100));
    let query = [("per_page", &*limit.to_string()), ("page", &*number.to_string()), ("sort", "full_name")];
    let page = way.get(&["user", "repos"], &query).await?;
    let repository = |row: &Value| {
        let id = word_at(row, "/full_name")?;
        let name = name(row, "/name").unwrap_or_else(|| id.clone());
        let within = name_of_owner(row).into_iter().collect();
        Some(Choice { id, name, within, url: word_at(row, "/html_url"), is_member: None, project_id: None })
    };
    let found = rows_at(&page, "")?;
    let next = (found.len() >= limit).then(|| (number + 1).to_string());
    Ok(Picked { rows: found.iter().filter_map(repository).collect(), next })
}

fn name_of_owner(row: &Value) -> Option<String> {
    name(row, "/owner/login")
}

async fn github_issues(way: &Way<'_>, list: &str, asked: Asked<'_>) -> Result<Picked<TaskChoice>, Halt> {
    let (number, limit) = (asked.number(1)?, asked.limit.min(100));
    let (owner, repository) = list.split_once('/').ok_or_else(|| Halt::Gone("a list is owner/name here".to_owned()))?;
    let query = [("per_page", &*limit.to_string()), ("page", &*number.to_string()), ("state", "open")];
    let page = way.get(&["repos", owner, repository, "issues"], &query).await?;
    let issue = |row: &Value| {
        let id = format!("{list}#{}", word_at(row, "/number")?);
        let (status, url) = (word_at(row, "/state"), word_at(row, "/html_url"));
        Some(TaskChoice { name: name(row, "/title").unwrap_or_else(|| id.clone()), id, status, url })
    };
    let found = rows_at(&page, "")?;
    let next = (found.len() >= limit).then(|| (number + 1).to_string());
    Ok(Picked { rows: found.iter().filter_map(issue).collect(), next })
}

async fn jira_projects(way: &Way<'_>, asked: Asked<'_>) -> Result<Picked<Choice>, Halt> {
    let start = asked.number(0)?;
    let query = [("startAt", &*start.to_string()), ("maxResults", &*asked.limit.min(50).to_string())];
    let page = way.get(&["rest", "api", "3", "project", "search"], &query).await?;
    let project = |row: &Value| {
        let id = word_at(row, "/key")?;
        let name = name(row, "/name").unwrap_or_else(|| id.clone());
        Some(Choice { id, name, within: Vec::new(), url: None, is_member: None, project_id: None })
    };
    let found = rows_at(&page, "/values")?;
    let is_last = page["isLast"] == true || found.is_empty();
    let next = (!is_last).then(|| (start + found.len()).to_string());
    Ok(Picked { rows: found.iter().filter_map(project).collect(), next })
}

async fn jira_issues(way: &Way<'_>, list: &str, asked: Asked<'_>) -> Result<Picked<TaskChoice>, Halt> {
    let is_key = |text: &str| {
        (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if !is_key(list) {
        return Err(Halt::Gone("there is no project of this key".to_owned()));
    }
    let search = json!({
        "jql": format!("project = \"{list}\" ORDER BY created DESC"), "maxResults": asked.limit.min(100),
        "fields": ["summary", "status"], "nextPageToken": asked.cursor,
    });
    let page = way.ask(Method::POST, &["rest", "api", "3", "search", "jql"], &[], Some(&search)).await?;
    let issue = |row: &Value| {
        let id = word_at(row, "/key")?;
        let name = name(row, "/fields/summary").unwrap_or_else(|| id.clone());
        Some(TaskChoice { id, name, status: word_at(row, "/fields/status/name"), url: None })
    };
    let rows: Vec<_> = rows_at(&page, "/issues")?.iter().filter_map(issue).collect();
    let next = word_at(&page, "/nextPageToken").filter(|_| !rows.is_empty());
    if let (Some(next), Some(cursor)) = (&next, asked.cursor) {
        check_token(&[cursor.to_owned()], next)?;
    }
    Ok(Picked { rows, next })
}
