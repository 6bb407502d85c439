//! One story per repository, on both engines.

use std::collections::BTreeMap;

use pipeline::event::{
    Agent, Alias, Client, Connection, ExternalId, Notify, OnListCreated, Project, Role, TaskState, Tenant, Time, User,
    UserMapping, Workgroup,
};
use serde_json::json;
use store::{Entry, Paging, StoreError, Stored};

use super::{Bench, on_each};

/// What every kind of row can: made, read, changed, listed, taken away, and
/// nothing of it by another tenant.
async fn lives<R: Stored + PartialEq + std::fmt::Debug>(bench: &Bench, row: R, other: R) {
    let rows = bench.store.rows::<R>();
    let made = rows.create("a", "id_1", &row).await.expect("made");
    assert_eq!(made.row, row);
    assert_eq!(rows.get("a", "id_1").await.expect("read"), made);
    assert!(matches!(rows.get("b", "id_1").await, Err(StoreError::NotFound { kind }) if kind == R::KIND));
    assert_eq!(rows.list("b", &Paging::default()).await.expect("listed").rows, []);
    assert!(matches!(rows.delete("b", "id_1").await, Err(StoreError::NotFound { .. })));
    let put = |row: &mut R| -> Result<(), StoreError> {
        *row = other.clone();
        Ok(())
    };
    assert!(matches!(rows.change("b", "id_1", put).await, Err(StoreError::NotFound { .. })));
    let changed = rows.change("a", "id_1", put).await.expect("changed");
    assert_eq!((&changed.row, changed.created_at), (&other, made.created_at));
    assert!(changed.updated_at >= made.updated_at);
    let refused = rows.change("a", "id_1", |_| Err(StoreError::Bad("no"))).await;
    assert!(matches!(refused, Err(StoreError::Bad("no"))));
    assert_eq!(rows.get("a", "id_1").await.expect("as before"), changed);
    assert_eq!(rows.list("a", &Paging::default()).await.expect("listed").rows, [changed]);
    assert!(matches!(rows.create("nobody", "id_2", &row).await, Err(StoreError::NotFound { kind: "tenant" })));
    rows.delete("a", "id_1").await.expect("taken away");
    assert!(matches!(rows.get("a", "id_1").await, Err(StoreError::NotFound { .. })));
    assert!(matches!(rows.delete("a", "id_1").await, Err(StoreError::NotFound { .. })));
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn agent(name: &str) -> Agent {
    Agent { name: name.to_owned(), client_id: format!("{name}-client"), enabled: true, ..Agent::default() }
}

fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) -> &'static str {
    match result {
        Err(StoreError::Conflict { field, .. }) => field,
        other => panic!("no conflict but {other:?}"),
    }
}

fn dangling<T: std::fmt::Debug>(result: Result<T, StoreError>) -> &'static str {
    match result {
        Err(StoreError::Dangling { field, .. }) => field,
        other => panic!("nothing dangles but {other:?}"),
    }
}

#[tokio::test]
async fn agents_have_names_elsewhere_that_nobody_else_has() {
    on_each("agents", |bench| async move {
        let bench = bench.with_tenants(&["a", "b"]).await;
        let slack = |id: &str| ExternalId { provider: "slack".to_owned(), id: id.to_owned() };
        let full = Agent {
            name: "Ada".to_owned(),
            role: text("reviews"),
            avatar: text("https://example.org/ada.png"),
            owner: text("grace@example.org"),
            capabilities: vec!["code".to_owned(), "docs".to_owned()],
            external_ids: vec![slack("U2"), slack("U1")],
            client_id: "c1".to_owned(),
            enabled: true,
        };
        lives(&bench, full.clone(), agent("bare")).await;
        let agents = bench.store.agents();
        agents.create("a", "x", &full).await.expect("made");
        agents.create("b", "x", &full).await.expect("the same in another tenant");
        assert_eq!(conflict(agents.create("a", "y", &full).await), "externalIds");
        assert_eq!(conflict(agents.create("a", "x", &agent("other")).await), "id");
    })
    .await;
}

#[tokio::test]
async fn who_takes_an_agent_away_takes_it_out_of_every_list() {
    on_each("leaving", |bench| async move {
        let bench = bench.with_tenants(&["a"]).await;
        let store = &bench.store;
        for id in ["x", "y"] {
            store.agents().create("a", id, &agent(id)).await.expect("an agent");
        }
        let both = || vec!["y".to_owned(), "x".to_owned()];
        let alias = Alias { alias: "@squad".to_owned(), agent_ids: both() };
        store.aliases().create("a", "al", &alias).await.expect("an alias");
        let group = Workgroup { name: "w".to_owned(), agent_ids: both(), ..Workgroup::default() };
        store.workgroups().create("a", "wg", &group).await.expect("a workgroup");
        let client = Client { agent_id: text("x"), enabled: true, ..Client::default() };
        store.clients().create("a", "cx", &client).await.expect("a client");
        let mapping =
            UserMapping { external_system: "jira".to_owned(), resource_id: "x".to_owned(), ..UserMapping::default() };
        store.mappings().create("a", "m", &mapping).await.expect("a mapping");
        assert_eq!(store.aliases().get("a", "al").await.expect("there").row.agent_ids, both(), "in their order");
        store.agents().delete("a", "x").await.expect("gone");
        assert_eq!(store.aliases().get("a", "al").await.expect("there").row.agent_ids, ["y"]);
        assert_eq!(store.workgroups().get("a", "wg").await.expect("there").row.agent_ids, ["y"]);
        assert!(matches!(store.clients().get("a", "cx").await, Err(StoreError::NotFound { .. })));
        assert!(matches!(store.mappings().get("a", "m").await, Err(StoreError::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn aliases_are_found_in_any_case() {
    on_each("aliases", |bench| async move {
        let bench = bench.with_tenants(&["a", "b"]).await;
        bench.store.agents().create("a", "x", &agent("x")).await.expect("an agent");
        let full = Alias { alias: "@AI_Squad".to_owned(), agent_ids: vec!["x".to_owned()] };
        lives(&bench, full.clone(), Alias { alias: "@Écrivains".to_owned(), agent_ids: vec![] }).await;
        let aliases = bench.store.aliases();
        aliases.create("a", "1", &full).await.expect("made");
        assert_eq!(aliases.by_name("a", "@ai_SQUAD").await.expect("found").id, "1");
        assert!(matches!(aliases.by_name("b", "@AI_Squad").await, Err(StoreError::NotFound { .. })));
        let again = |alias: &str| Alias { alias: alias.to_owned(), agent_ids: vec![] };
        assert_eq!(conflict(aliases.create("a", "2", &again("@ai_squad")).await), "alias");
        aliases.create("a", "3", &again("@ÉQUIPE")).await.expect("made");
        assert_eq!(conflict(aliases.create("a", "4", &again("@équipe")).await), "alias");
        let stranger = Alias { alias: "@x".to_owned(), agent_ids: vec!["nobody".to_owned()] };
        assert_eq!(dangling(aliases.create("a", "5", &stranger).await), "agentIds");
        let twice = Alias { alias: "@x".to_owned(), agent_ids: vec!["x".to_owned(), "x".to_owned()] };
        assert_eq!(conflict(aliases.create("a", "5", &twice).await), "agentIds");
        assert_eq!(dangling(aliases.create("b", "6", &full).await), "agentIds", "another tenant's agent is nobody");
    })
    .await;
}

#[tokio::test]
async fn workgroups_go_and_leave_their_projects_and_people() {
    on_each("workgroups", |bench| async move {
        let bench = bench.with_tenants(&["a", "b"]).await;
        let store = &bench.store;
        store.agents().create("a", "x", &agent("x")).await.expect("an agent");
        let full = Workgroup {
            name: "Platform".to_owned(),
            slack_channel_id: text("C1"),
            clickup_space_id: text("S1"),
            clickup_folder_id: text("F1"),
            on_list_created: OnListCreated::UseWorkgroupChannel,
            agent_ids: vec!["x".to_owned()],
        };
        lives(&bench, full.clone(), Workgroup { name: "Bare".to_owned(), ..Workgroup::default() }).await;
        store.workgroups().create("a", "wg", &full).await.expect("made");
        let project = Project { name: "p".to_owned(), workgroup_id: text("wg"), ..Project::default() };
        store.projects().create("a", "p", &project).await.expect("a project");
        let user = User { workgroup_roles: BTreeMap::from([("wg".to_owned(), Role::Admin)]), ..User::default() };
        store.users().create("a", "u", &user).await.expect("a user");
        store.workgroups().delete("a", "wg").await.expect("gone");
        assert_eq!(store.projects().get("a", "p").await.expect("there").row.workgroup_id, None);
        assert_eq!(store.users().get("a", "u").await.expect("there").row.workgroup_roles, BTreeMap::new());
    })
    .await;
}

#[tokio::test]
async fn projects_share_no_list_repository_key_or_channel() {
    on_each("projects", |bench| async move {
        let bench = bench.with_tenants(&["a", "b"]).await;
        let workgroup = Workgroup { name: "w".to_owned(), ..Workgroup::default() };
        bench.store.workgroups().create("a", "wg", &workgroup).await.expect("a workgroup");
        let full = Project {
            name: "Sprint".to_owned(),
            workgroup_id: text("wg"),
            clickup_list_id: text("901"),
            github_repository: text("Acme/Shop"),
            jira_project_key: text("SHOP"),
            slack_channel_id: text("C1"),
            notify: Notify::All,
            status_map: BTreeMap::from([("in review".to_owned(), TaskState::InProgress)]),
            archived: true,
            starts_at: Some(Time(1_700_000_000_123)),
            ends_at: Some(Time(1_800_000_000_000)),
        };
        lives(&bench, full.clone(), Project { name: "Bare".to_owned(), ..Project::default() }).await;
        let projects = bench.store.projects();
        projects.create("a", "1", &full).await.expect("made");
        let with = |change: fn(&mut Project)| {
            let mut project = Project { name: "other".to_owned(), ..Project::default() };
            change(&mut project);
            project
        };
        for (field, project) in [
            ("clickupListId", with(|project| project.clickup_list_id = text("901"))),
            ("githubRepository", with(|project| project.github_repository = text("acme/SHOP"))),
            ("jiraProjectKey", with(|project| project.jira_project_key = text("SHOP"))),
            ("slackChannelId", with(|project| project.slack_channel_id = text("C1"))),
        ] {
            assert_eq!(conflict(projects.create("a", "2", &project).await), field);
            projects.create("b", field, &project).await.expect("free in another tenant");
        }
        let theirs = with(|project| project.workgroup_id = text("wg"));
        assert_eq!(dangling(projects.create("b", "3", &theirs).await), "workgroupId");
    })
    .await;
}

#[tokio::test]
async fn users_and_mappings_are_told_apart() {
    on_each("users", |bench| async move {
        let bench = bench.with_tenants(&["a", "b"]).await;
        let workgroup = Workgroup { name: "w".to_owned(), ..Workgroup::default() };
        bench.store.workgroups().create("a", "wg", &workgroup).await.expect("a workgroup");
        let full = User {
            name: "Grace".to_owned(),
            email: text("Grace@Example.org"),
            role: Role::Admin,
            workgroup_roles: BTreeMap::from([("wg".to_owned(), Role::Member)]),
            external_ids: vec![ExternalId { provider: "github".to_owned(), id: "grace".to_owned() }],
        };
        lives(&bench, full.clone(), User { name: "Bare".to_owned(), ..User::default() }).await;
        let users = bench.store.users();
        users.create("a", "1", &full).await.expect("made");
        let same = User { email: text("grace@example.ORG"), ..User::default() };
        assert_eq!(conflict(users.create("a", "2", &same).await), "email");
        let same = User { external_ids: full.external_ids.clone(), ..User::default() };
        assert_eq!(conflict(users.create("a", "2", &same).await), "externalIds");
        let same = User { workgroup_roles: full.workgroup_roles.clone(), ..User::default() };
        assert_eq!(dangling(users.create("b", "2", &same).await), "workgroupRoles");

        let mapping = UserMapping {
            external_system: "jira".to_owned(),
            external_email: text("G@Example.org"),
            external_user_id: text("557058:1"),
            resource_id: "1".to_owned(),
        };
        lives(&bench, mapping.clone(), UserMapping { resource_id: "2".to_owned(), ..UserMapping::default() }).await;
        let mappings = bench.store.mappings();
        mappings.create("a", "1", &mapping).await.expect("made");
        let same = UserMapping { external_user_id: None, external_email: text("g@example.org"), ..mapping.clone() };
        assert_eq!(conflict(mappings.create("a", "2", &same).await), "externalEmail");
        let same = UserMapping { external_email: None, ..mapping.clone() };
        assert_eq!(conflict(mappings.create("a", "2", &same).await), "externalUserId");
        users.delete("a", "1").await.expect("gone");
        assert!(matches!(mappings.get("a", "1").await, Err(StoreError::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_workspace_is_linked_by_one_tenant_alone() {
    on_each("connections", |bench| async move {
        let bench = bench.with_tenants(&["a", "b"]).await;
        let full = Connection {
            provider: "jira".to_owned(),
            external_id: "https://acme.example.org".to_owned(),
            name: text("Acme"),
            sealed_secrets: vec!["v1.x.y".to_owned(), "v1.x.z".to_owned()],
            sealed_token: text("v1.x.t"),
            base_url: text("https://acme.example.org"),
            email: text("bot@example.org"),
            own_ids: vec!["U1".to_owned()],
            filters: Some(json!({ "jql": "project = SHOP" })),
            enabled: true,
        };
        lives(&bench, full.clone(), Connection { provider: "acme".to_owned(), ..Connection::default() }).await;
        let connections = bench.store.connections();
        connections.create("a", "1", &full).await.expect("made");
        assert_eq!(conflict(connections.create("a", "2", &full).await), "externalId");
        assert_eq!(conflict(connections.create("b", "2", &full).await), "externalId");
        let generic = Connection { provider: "acme".to_owned(), enabled: true, ..Connection::default() };
        connections.create("a", "3", &generic).await.expect("a sender without a workspace");
        connections.create("b", "4", &generic).await.expect("another of the same name");
        assert_eq!(conflict(connections.create("b", "3", &generic).await), "id", "an address names one connection");
    })
    .await;
}

#[tokio::test]
async fn clients_prove_themselves_with_what_is_never_shown() {
    on_each("clients", |bench| async move {
        let bench = bench.with_tenants(&["a", "b"]).await;
        let store = &bench.store;
        store.agents().create("a", "x", &agent("x")).await.expect("an agent");
        let full = Client {
            role: Role::Agent,
            agent_id: text("x"),
            name: text("x's"),
            enabled: true,
            tokens_from: Time(1_700_000_000_123),
        };
        lives(&bench, full.clone(), Client { role: Role::Platform, ..Client::default() }).await;
        let clients = store.clients();
        let mut work = store.work("a").await.expect("work");
        work.create("c", &full).await.expect("made");
        work.set_secret("c", "$2b$hash").await.expect("with a secret");
        assert!(matches!(work.set_secret("nobody", "$2b$hash").await, Err(StoreError::NotFound { .. })));
        drop(work);
        assert!(matches!(clients.get("a", "c").await, Err(StoreError::NotFound { .. })), "undone with its work");
        let mut work = store.work("a").await.expect("work");
        work.create("c", &full).await.expect("made");
        work.set_secret("c", "$2b$hash").await.expect("with a secret");
        work.commit().await.expect("done");
        let known = clients.credentials("c").await.expect("asked").expect("there");
        assert_eq!((known.tenant_id.as_str(), known.bcrypt_hash.as_str(), &known.client.row), ("a", "$2b$hash", &full));
        assert_eq!(conflict(clients.create("b", "c", &Client::default()).await), "id", "unique over all tenants");
        let rotated: Entry<Client> = clients.rotate_secret("a", "c", "$2b$other").await.expect("rotated");
        assert!(rotated.row.tokens_from > full.tokens_from);
        assert_eq!(clients.credentials("c").await.expect("asked").expect("there").bcrypt_hash, "$2b$other");
        assert_eq!(dangling(clients.create("b", "d", &Client { agent_id: text("x"), ..full }).await), "agentId");
    })
    .await;
}

#[tokio::test]
async fn lists_come_in_pages_that_fit_together() {
    on_each("pages", |bench| async move {
        let bench = bench.with_tenants(&["a", "b"]).await;
        let mut work = bench.store.work("a").await.expect("work");
        for number in 0..23 {
            work.create(&format!("agt_{number:02}"), &agent(&format!("n{number}"))).await.expect("made");
        }
        work.commit().await.expect("done");
        let (mut seen, mut paging) = (Vec::new(), Paging { limit: 5, after: None });
        loop {
            let page = bench.store.agents().list("a", &paging).await.expect("a page");
            assert!(page.rows.len() <= 5);
            seen.extend(page.rows.into_iter().map(|entry| entry.id));
            match page.next {
                Some(next) => paging.after = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, (0..23).map(|number| format!("agt_{number:02}")).collect::<Vec<_>>());
        let exact = bench.store.agents().list("a", &Paging { limit: 23, after: None }).await.expect("a page");
        assert_eq!(exact.next, None);
        let all = bench.store.tenants().all(&Paging { limit: 1, after: None }).await.expect("a page");
        assert_eq!((all.rows.len(), all.next.as_deref()), (1, Some("a")));
    })
    .await;
}

#[tokio::test]
async fn a_tenant_goes_with_all_that_it_has() {
    on_each("tenants", |bench| async move {
        let bench = bench.with_tenants(&["a", "b"]).await;
        let store = &bench.store;
        for tenant in ["a", "b"] {
            store.agents().create(tenant, "x", &agent("x")).await.expect("an agent");
            let client = Client { agent_id: text("x"), enabled: true, ..Client::default() };
            store.clients().create(tenant, &format!("{tenant}-client"), &client).await.expect("a client");
            let group = Workgroup { name: "w".to_owned(), agent_ids: vec!["x".to_owned()], ..Workgroup::default() };
            store.workgroups().create(tenant, "wg", &group).await.expect("a workgroup");
            let project = Project { name: "p".to_owned(), workgroup_id: text("wg"), ..Project::default() };
            store.projects().create(tenant, "p", &project).await.expect("a project");
        }
        let renamed = |tenant: &mut Tenant| -> Result<(), StoreError> {
            tenant.admin_slack_channel_id = text("C9");
            Ok(())
        };
        let changed = store.tenants().change("a", "a", renamed).await.expect("changed");
        assert_eq!(changed.row.admin_slack_channel_id.as_deref(), Some("C9"));
        assert!(matches!(store.tenants().get("b", "a").await, Err(StoreError::NotFound { .. })));
        store.tenants().delete_all("a").await.expect("gone");
        assert!(matches!(store.tenants().delete_all("a").await, Err(StoreError::NotFound { .. })));
        assert!(store.clients().credentials("a-client").await.expect("asked").is_none());
        assert_eq!(store.agents().list("a", &Paging::default()).await.expect("a page").rows, []);
        assert_eq!(store.agents().list("b", &Paging::default()).await.expect("a page").rows.len(), 1);
        assert_eq!(store.projects().get("b", "p").await.expect("there").row.workgroup_id.as_deref(), Some("wg"));
    })
    .await;
}
