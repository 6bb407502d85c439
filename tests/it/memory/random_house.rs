//! Tenants, projects, workgroups and agents at random in a whole hub: whoever
//! asks, in whatever way and words, is shown texts of what it reaches and of
//! nothing else, and of that all.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use proptest::{collection::vec, prelude::*, sample::Index, test_runner::TestRunner};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::isolation::HOSTILE;
use crate::{
    api::{Api, text},
    hub::PATIENCE,
};

const TENANTS: [&str; 2] = ["acme", "umbra"];

/// What a case is made of; indices of what there is of their tenant.
#[derive(Clone, Debug)]
struct Plan {
    /// For each tenant: the workgroup of each project, the workgroups of each
    /// agent.
    tenants: Vec<(Vec<usize>, Vec<BTreeSet<usize>>)>,
    texts: Vec<(Index, Vec<Index>)>,
    asks: Vec<(Index, u8, Vec<Index>, Index)>,
}

const GROUPS: usize = 3;

fn plans() -> impl Strategy<Value = Plan> {
    let groups = || proptest::collection::btree_set(0..GROUPS, 0..GROUPS);
    let tenant = (vec(0..GROUPS, 2..5), vec(groups(), 1..4));
    let words = || vec(any::<Index>(), 1..4);
    let texts = vec((any::<Index>(), words()), 8..20);
    let asks = vec((any::<Index>(), 0..4_u8, words(), any::<Index>()), 30..60);
    (vec(tenant, TENANTS.len()), texts, asks).prop_map(|(tenants, texts, asks)| Plan { tenants, texts, asks })
}

/// Who asks, and the projects that it reaches.
struct Asker {
    token: String,
    is_agent: bool,
    reach: BTreeSet<String>,
}

struct House {
    api: Api,
    projects: Vec<(&'static str, String)>,
    askers: Vec<Asker>,
    /// An administrator of each tenant.
    admins: BTreeMap<&'static str, String>,
}

impl House {
    async fn open(plan: &Plan) -> House {
        let api = Api::start().await;
        let mut house = House { api, projects: Vec::new(), askers: Vec::new(), admins: BTreeMap::new() };
        for (tenant, (projects, agents)) in TENANTS.into_iter().zip(&plan.tenants) {
            house.tenant(tenant, projects, agents).await;
        }
        house
    }

    async fn tenant(&mut self, tenant: &'static str, projects: &[usize], agents: &[BTreeSet<usize>]) {
        let api = &self.api;
        let (mut made, mut groups) = (Vec::new(), Vec::new());
        for number in 0..agents.len() {
            made.push(api.agent_of(tenant, &format!("agent {number}")).await);
        }
        for group in 0..GROUPS {
            let members = made.iter().zip(agents).filter(|(_, groups)| groups.contains(&group));
            let ids: Vec<_> = members.map(|((_, id, _), _)| id).collect();
            let row = json!({ "name": format!("group {group}"), "agentIds": ids });
            groups.push(text(&api.made(&format!("/api/workgroups?tenantId={tenant}"), row).await["id"]));
        }
        let mut of_group = vec![BTreeSet::new(); GROUPS];
        for (number, group) in projects.iter().enumerate() {
            let row = json!({ "name": format!("project {number}"), "workgroupId": groups[*group] });
            let id = text(&api.made(&format!("/api/projects?tenantId={tenant}"), row).await["id"]);
            of_group[*group].insert(id.clone());
            self.projects.push((tenant, id));
        }
        let all = of_group.iter().flatten().cloned().collect();
        for ((_, _, token), groups) in made.into_iter().zip(agents) {
            let reach = groups.iter().flat_map(|group| of_group[*group].clone()).collect();
            self.askers.push(Asker { token, is_agent: true, reach });
        }
        let admin = api.client_of(tenant, "admin").await.1;
        self.admins.insert(tenant, admin.clone());
        self.askers.push(Asker { token: admin, is_agent: false, reach: all });
    }

    /// Texts that name their project, each found by its own before it goes on.
    async fn fill(&self, texts: &[(Index, Vec<Index>)]) {
        let mut counts = BTreeMap::<&str, (&str, usize)>::new();
        for (project, picks) in texts {
            let (tenant, id) = project.get(&self.projects);
            let document = json!({ "projectId": id, "text": format!("BELONGS<{id}> rocket fuel {}", words(picks)) });
            let begun = Instant::now();
            // Until the row of the project has gone its way.
            loop {
                let added = self.api.ask("POST", "/api/memory/documents", &self.admins[tenant], Some(document.clone()));
                match added.await.status {
                    StatusCode::ACCEPTED => break,
                    status => assert!(begun.elapsed() < PATIENCE, "{status}"),
                }
            }
            counts.entry(id).or_insert((tenant, 0)).1 += 1;
        }
        for (project, (tenant, count)) in counts {
            let begun = Instant::now();
            let form = json!({ "query": "rocket fuel", "projectId": project, "limit": 100 });
            loop {
                let path = "/api/memory/search";
                let found = self.api.ask("POST", path, &self.admins[tenant], Some(form.clone())).await;
                if found.json()["data"].as_array().is_some_and(|rows| rows.len() == count) {
                    break;
                }
                assert!(begun.elapsed() < PATIENCE, "{project}: {count} wanted, {}", found.text);
            }
        }
    }

    /// An ask of some kind, as text.
    async fn asked(&self, asker: &Asker, kind: u8, query: &str, project: &str) -> String {
        let form = match kind {
            0 => json!({ "query": query, "projectId": project, "limit": 50 }),
            1 => json!({ "query": format!("{query} rocket fuel"), "projectId": project, "limit": 50 }),
            2 => json!({ "query": "rocket fuel", "projectId": format!("{project},{query}") }),
            _ => json!({ "query": "rocket fuel", "projectId": project, "author": query }),
        };
        let mut answers = self.api.ask("POST", "/api/memory/search", &asker.token, Some(form.clone())).await.text;
        if asker.is_agent {
            let everywhere = json!({ "query": format!("{query} rocket fuel"), "limit": 50 });
            for arguments in [form, everywhere] {
                answers += &self.tool(&asker.token, &arguments).await;
            }
        }
        answers
    }

    async fn tool(&self, token: &str, arguments: &Value) -> String {
        let call = json!({ "name": "memory_search", "arguments": arguments });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call });
        let request = self.api.request(reqwest::Method::POST, "/mcp").bearer_auth(token);
        let request = request.header("accept", "application/json, text/event-stream").json(&body);
        self.api.send(request).await.text
    }
}

fn words(picks: &[Index]) -> String {
    let words: Vec<_> = picks.iter().map(|pick| *pick.get(HOSTILE)).filter(|words| !words.contains('\0')).collect();
    words.join(" ")
}

/// The projects whose texts an answer shows.
fn shown(answer: &str) -> BTreeSet<String> {
    answer.split("BELONGS<").skip(1).filter_map(|rest| rest.split('>').next()).map(str::to_owned).collect()
}

async fn story(plan: &Plan) -> Result<(), TestCaseError> {
    let house = House::open(plan).await;
    house.fill(&plan.texts).await;
    let filled: BTreeSet<_> = plan.texts.iter().map(|(project, _)| project.get(&house.projects).1.clone()).collect();
    for (asker, kind, picks, project) in &plan.asks {
        let (asker, (_, project)) = (asker.get(&house.askers), project.get(&house.projects));
        let answer = house.asked(asker, *kind, &words(picks), project).await;
        let strange: Vec<_> = shown(&answer).difference(&asker.reach).cloned().collect();
        prop_assert!(strange.is_empty(), "{kind} {project}: {strange:?} in {answer}");
    }
    // And what it reaches it finds.
    for asker in house.askers.iter().filter(|asker| asker.is_agent) {
        let all = json!({ "query": "rocket fuel", "limit": 50 });
        let found = shown(&house.tool(&asker.token, &all).await);
        prop_assert_eq!(found, &asker.reach & &filled);
    }
    Ok(())
}

#[test]
fn whoever_asks_is_shown_what_it_reaches() {
    let cases = std::env::var("NEXUS_TEST_CASES").map_or(3, |cases| cases.parse().unwrap());
    let config = ProptestConfig { cases, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    TestRunner::new(config).run(&plans(), |plan| runtime.block_on(story(&plan))).unwrap();
}
