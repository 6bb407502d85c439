//! ClickUp: tasks and lists, as they are read.

use bytes::Bytes;
use pipeline::event::{LookupResult, TaskRef};
use reqwest::{Method, Url};
use serde_json::Value;

use super::ClickUp;
use crate::{
    capability::Lookup,
    client::{ProviderClient, Request, word_at},
};

/// Of a description; the pipeline keeps no more of it.
const DESCRIPTION_BYTES_MAX: usize = 16 << 10;

impl Lookup for ClickUp {
    fn request(&self, client: &ProviderClient, kind: &str, id: &str) -> Option<Request> {
        Some(client.request(Method::GET, url_of(&client.base, kind, id)?))
    }

    fn read(&self, kind: &str, body: &Bytes) -> Option<LookupResult> {
        read(kind, body, LookupResult::default())
    }
}

fn url_of(base: &Url, kind: &str, id: &str) -> Option<Url> {
    if !is_id(id) || !matches!(kind, "task" | "list") {
        return None;
    }
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend([kind, id]);
    Some(url)
}

/// It becomes a part of an address.
fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Reads an answer into a result; `None` when it is not what was asked for.
fn read(kind: &str, body: &Bytes, result: LookupResult) -> Option<LookupResult> {
    let json: Value = serde_json::from_slice(body).ok()?;
    match kind {
        "task" => task(&json, result),
        _ => list(&json, result),
    }
}

fn task(json: &Value, result: LookupResult) -> Option<LookupResult> {
    let id = word_at(json, "/id")?;
    let description = ["/markdown_description", "/text_content", "/description"].into_iter();
    let assignees = json["assignees"].as_array().map(Vec::as_slice).unwrap_or_default();
    let task = TaskRef {
        external_id: Some(id),
        title: word_at(json, "/name"),
        description: description.into_iter().find_map(|place| word_at(json, place)).map(cut),
        status: word_at(json, "/status/status"),
        priority: word_at(json, "/priority/priority").or_else(|| word_at(json, "/priority")),
        assignees: assignees.iter().filter_map(|person| word_at(person, "/id")).collect(),
        ..TaskRef::default()
    };
    Some(LookupResult {
        task: Some(task),
        status_type: word_at(json, "/status/type"),
        url: word_at(json, "/url"),
        archived: Some(json["archived"] == true),
        project_external_id: word_at(json, "/list/id"),
        name: word_at(json, "/list/name"),
        folder_external_id: word_at(json, "/folder/id").filter(|_| json["folder"]["hidden"] != true),
        space_external_id: word_at(json, "/space/id"),
        ..result
    })
}

fn list(json: &Value, result: LookupResult) -> Option<LookupResult> {
    let status = word_at(json, "/status/status").unwrap_or_default().to_ascii_lowercase();
    // Lists have no state of their own in API v2, but a free label.
    let is_completed = matches!(status.as_str(), "complete" | "completed" | "closed" | "done");
    Some(LookupResult {
        project_external_id: Some(word_at(json, "/id")?),
        name: word_at(json, "/name"),
        archived: Some(json["archived"] == true || json["deleted"] == true || is_completed),
        folder_external_id: word_at(json, "/folder/id").filter(|_| json["folder"]["hidden"] != true),
        space_external_id: word_at(json, "/space/id"),
        ..result
    })
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(DESCRIPTION_BYTES_MAX));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn url(kind: &str, id: &str) -> Option<String> {
        let base = "https://api.clickup.com/api/v2/".parse().expect("a URL");
        url_of(&base, kind, id).map(|url| url.to_string())
    }

    #[test]
    fn what_is_asked_is_one_thing_of_theirs() {
        assert_eq!(url("task", "86c3kq9zt").as_deref(), Some("https://api.clickup.com/api/v2/task/86c3kq9zt"));
        assert_eq!(url("list", "901200345678").as_deref(), Some("https://api.clickup.com/api/v2/list/901200345678"));
        for id in ["", "..", "a/b", "a?b", "%2e%2e", "a b", "ü", &"x".repeat(65)] {
            assert_eq!(url("task", id), None, "{id}");
        }
        assert_eq!(url("user", "1"), None);
    }

    fn read(kind: &str, json: &Value) -> Option<LookupResult> {
        super::read(kind, &json.to_string().into(), LookupResult::default())
    }

    #[test]
    fn a_task_is_read_as_they_write_it() {
        let found = read(
            "task",
            &json!({
                "id": "86c3kq9zt", "name": "Checkout fails", "text_content": "é".repeat(10_000), "archived": false,
                "status": {"status": "in progress", "type": "custom"}, "priority": {"priority": "urgent", "id": "1"},
                "assignees": [{"id": 40118824, "username": "Bo"}, {"id": "x1"}, {}], "url": "https://app.clickup.com/t/86c3kq9zt",
                "list": {"id": "901200345678", "name": "Orchard shop", "access": true},
                "folder": {"id": "90120011", "hidden": true}, "space": {"id": 90120001},
            }),
        )
        .expect("a task");
        let task = found.task.expect("a task");
        assert_eq!((task.title.as_deref(), task.status.as_deref()), (Some("Checkout fails"), Some("in progress")));
        assert_eq!(
            (task.priority.as_deref(), task.assignees),
            (Some("urgent"), vec!["40118824".to_owned(), "x1".to_owned()])
        );
        assert_eq!(task.description.expect("a text").len(), DESCRIPTION_BYTES_MAX);
        assert_eq!(found.status_type.as_deref(), Some("custom"));
        assert_eq!(found.project_external_id.as_deref(), Some("901200345678"));
        assert_eq!(found.name.as_deref(), Some("Orchard shop"));
        assert_eq!((found.folder_external_id, found.space_external_id.as_deref()), (None, Some("90120001")));
    }

    #[test]
    fn a_list_that_is_over_is_known() {
        let list = |more: Value| {
            let mut json = json!({"id": "124", "name": "Shop", "folder": {"id": "456"}, "space": {"id": "789"}});
            json.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            read("list", &json).expect("a list")
        };
        assert_eq!(list(json!({"archived": false, "status": {"status": "red"}})).archived, Some(false));
        assert_eq!(list(json!({"archived": true})).archived, Some(true));
        assert_eq!(list(json!({"status": {"status": "Complete"}})).archived, Some(true));
        assert_eq!(list(json!({})).folder_external_id.as_deref(), Some("456"));
    }

    #[test]
    fn anything_else_is_nothing() {
        for json in [json!([]), json!({"name": "without an id"}), json!(null), json!({"id": {}})] {
            assert_eq!(read("task", &json), None, "{json}");
            assert_eq!(read("list", &json), None, "{json}");
        }
    }

    /// What ClickUp's documentation and recordings answer, where the machine
    /// has it beside the repository.
    #[test]
    fn what_is_recorded_is_read() {
        let Some(folder) = std::env::var_os("NEXUS_FIXTURES").map(std::path::PathBuf::from) else {
            println!("NEXUS_FIXTURES is not set: nothing recorded was read");
            return;
        };
        for (kind, file) in [
            ("task", "api.post_list_list_id_task.json"),
            ("task", "api.put_task_task_id.json"),
            ("task", "api_recorded.CreateTaskAsync_WithValidData_ShouldCrea.CreateTask_Success.json"),
            ("list", "api.get_list.zulip.json"),
            ("list", "api_recorded.GetList.GetList_Success.json"),
        ] {
            let bytes = std::fs::read(folder.join("clickup").join(file)).expect("the fixture can be read");
            let json: Value = serde_json::from_slice(&bytes).expect("the fixture is JSON");
            let found = read(kind, &json).expect(file);
            let title = found.task.and_then(|task| task.title).or(found.name);
            assert_eq!(title.as_deref(), json["name"].as_str(), "{file}");
        }
    }
}
