//! Lists that become projects by themselves, by a person, and not any more.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::House;
use crate::api::text;

impl House {
    /// A ClickUp and a Slack that can be asked, and a workgroup of the list's
    /// space.
    async fn furnish(&self, on_list_created: &str) -> String {
        self.connection("clickup", json!({})).await;
        self.connection("slack", json!({ "externalId": "T0ORCHARD1", "ownIds": ["U0NEXUS", "B0NEXUS"] })).await;
        let workgroup = json!({
            "name": "Squad", "clickupSpaceId": "90120001", "onListCreated": on_list_created, "slackChannelId": "C0SHOPDEV1",
        });
        let workgroup = text(&self.make("/api/workgroups", workgroup).await["id"]);
        self.until("the webhook", || async { self.provider.fakes.world().clickup_webhooks.all().next().map(|_| ()) })
            .await;
        for id in ["l1", "l2"] {
            let list = fakes::clickup::list(id, &format!("Rocket {id}"));
            self.provider.fakes.world().clickup_lists.put(id, list);
        }
        workgroup
    }

    async fn projects(&self) -> Vec<Value> {
        self.get("/api/projects").await["data"].as_array().unwrap().clone()
    }

    /// The project of a list, once the pipeline knows it too.
    async fn project_of(&self, list: &str) -> Value {
        let project = self
            .until("the project", || async {
                self.projects().await.into_iter().find(|project| project["clickupListId"] == list)
            })
            .await;
        self.announced(&text(&project["id"])).await;
        project
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_gets_a_channel_and_is_a_project() {
    let house = House::open().await;
    let workgroup = house.furnish("createChannel").await;
    house.clickup_says(json!({ "event": "listCreated", "list_id": "l1" })).await;
    let project = house.project_of("l1").await;
    assert_eq!((&project["name"], &project["workgroupId"]), (&json!("Rocket l1"), &json!(workgroup)));
    let channel = text(&project["slackChannelId"]);
    assert_eq!(house.provider.fakes.world().slack_channels.get(&channel).unwrap()["name"], "rocket-l1");
    house
        .until("no candidate", || async {
            house.get("/api/candidates").await["data"].as_array().unwrap().is_empty().then_some(())
        })
        .await;
    // The list is deleted: so much for the project.
    house.clickup_says(json!({ "event": "listDeleted", "list_id": "l1" })).await;
    house
        .until("its end", || async {
            let archived = house.get("/api/projects?status=archived").await;
            (archived["data"][0]["id"] == project["id"]).then_some(())
        })
        .await;
    assert_eq!(house.projects().await.len(), 1);
    house.api.hub.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_share_their_workgroups_channel() {
    let house = House::open().await;
    house.furnish("useWorkgroupChannel").await;
    for list in ["l1", "l2"] {
        house.clickup_says(json!({ "event": "listCreated", "list_id": list })).await;
        let project = house.project_of(list).await;
        assert_eq!(project.get("slackChannelId"), None, "the channel stays the workgroup's");
    }
    // Their tasks are discussed there.
    for (list, task) in [("l1", "t1"), ("l2", "t2")] {
        let body = json!({ "id": task, "name": format!("Task {task}") });
        let made = fakes::clickup::new_task(&mut house.provider.fakes.world(), list, &body, 1_795_248_000_000).unwrap();
        house
            .clickup_says(json!({ "event": "taskCreated", "task_id": task, "history_items": [
            { "id": format!("481{task}"), "field": "task_creation", "parent_id": list, "date": made["date_created"] },
        ] }))
            .await;
    }
    house
        .until("two threads", || async {
            let world = house.provider.fakes.world();
            (world.slack_messages.with("channel", "C0SHOPDEV1").count() == 2).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_people_are_asked_they_map() {
    let house = House::open().await;
    let workgroup = house.furnish("ask").await;
    house.clickup_says(json!({ "event": "listCreated", "list_id": "l1" })).await;
    let candidate = house
        .until("the candidate", || async {
            let found = house.get("/api/candidates").await["data"][0].clone();
            (found["name"] == "Rocket l1").then_some(found)
        })
        .await;
    assert_eq!(candidate["id"], "clickup:l1");
    assert!(house.projects().await.is_empty());
    let path = "/api/candidates/clickup:l1";
    let (_, umbra) = house.api.client_of("umbra", "admin").await;
    assert_eq!(house.api.ask("GET", path, &umbra, None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(house.api.ask("POST", &format!("{path}/map"), &umbra, None).await.status, StatusCode::NOT_FOUND);
    let (_, member) = house.api.client_of("orchard", "member").await;
    assert_eq!(house.api.ask("GET", path, &member, None).await.status, StatusCode::OK);
    assert_eq!(house.api.ask("POST", &format!("{path}/map"), &member, None).await.status, StatusCode::FORBIDDEN);
    let wrong = house.ask("POST", &format!("{path}/map"), Some(json!({ "workgroupId": "wg_nobody" }))).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", wrong.text);
    let body = json!({ "workgroupId": workgroup, "slackChannelId": "C0ROCKET", "notify": "all", "statusMap": { "in review": "BLOCKED_ON_HUMAN" } });
    let project = house.make(&format!("{path}/map"), body).await;
    assert_eq!((&project["clickupListId"], &project["notify"]), (&json!("l1"), &json!("all")));
    assert_eq!((&project["name"], &project["slackChannelId"]), (&json!("Rocket l1"), &json!("C0ROCKET")));
    house
        .until("no candidate", || async {
            (house.ask("GET", path, None).await.status == StatusCode::NOT_FOUND).then_some(())
        })
        .await;
}
