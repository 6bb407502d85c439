//! Two tenants never see each other's rows, and every process ends with the rows
//! that the store has: over random operations, against a model.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use pipeline::{
    event::{Agent, Alias, Tenant},
    testing::MemoryLog,
    topics::Topic,
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use runtime::directory::Directory;
use store::{Paging, StoreError, announce::Announcer};

use super::{Bench, on_each};

const RUNS: usize = 12;

#[derive(Clone, Debug)]
enum Step {
    Create { tenant: usize, id: usize, name: usize },
    Rename { tenant: usize, id: usize, name: usize },
    Delete { tenant: usize, id: usize },
    Alias { tenant: usize, id: usize, name: usize, agents: Vec<usize> },
    Unalias { tenant: usize, id: usize },
    Forget { tenant: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let (tenant, id, name) = (0..2usize, 0..4usize, 0..4usize);
    let key = (tenant.clone(), id.clone());
    prop_oneof![
        4 => (tenant.clone(), id.clone(), name.clone()).prop_map(|(tenant, id, name)| Step::Create { tenant, id, name }),
        2 => (tenant.clone(), id.clone(), name.clone()).prop_map(|(tenant, id, name)| Step::Rename { tenant, id, name }),
        2 => key.clone().prop_map(|(tenant, id)| Step::Delete { tenant, id }),
        3 => (tenant.clone(), id.clone(), name, prop::collection::btree_set(0..4usize, 0..3))
            .prop_map(|(tenant, id, name, agents)| Step::Alias { tenant, id, name, agents: agents.into_iter().collect() }),
        1 => key.prop_map(|(tenant, id)| Step::Unalias { tenant, id }),
        1 => tenant.prop_map(|tenant| Step::Forget { tenant }),
    ]
}

/// What one tenant should have.
#[derive(Default, Debug, PartialEq)]
struct Model {
    agents: BTreeMap<String, Agent>,
    aliases: BTreeMap<String, Alias>,
}

fn name(number: usize) -> String {
    format!("n{number}")
}

fn agent(number: usize) -> Agent {
    Agent { name: name(number), enabled: true, ..Agent::default() }
}

/// Does it to both, and holds that the store takes what the model takes.
async fn run(bench: &Bench, tenants: &[String; 2], models: &mut [Model; 2], step: Step) {
    let store = &bench.store;
    match step {
        Step::Create { tenant, id, name: number } => {
            let made = store.agents().create(&tenants[tenant], &name(id), &agent(number)).await;
            assert_eq!(made.is_ok(), !models[tenant].agents.contains_key(&name(id)));
            models[tenant].agents.entry(name(id)).or_insert_with(|| agent(number));
        }
        Step::Rename { tenant, id, name: number } => {
            let rename = |agent: &mut Agent| -> Result<(), StoreError> {
                agent.name = name(number);
                Ok(())
            };
            let changed = store.agents().change(&tenants[tenant], &name(id), rename).await;
            let known = models[tenant].agents.get_mut(&name(id));
            assert_eq!(changed.is_ok(), known.is_some());
            if let Some(known) = known {
                *known = agent(number);
            }
        }
        Step::Delete { tenant, id } => {
            let gone = store.agents().delete(&tenants[tenant], &name(id)).await;
            assert_eq!(gone.is_ok(), models[tenant].agents.remove(&name(id)).is_some());
            for alias in models[tenant].aliases.values_mut() {
                alias.agent_ids.retain(|agent| *agent != name(id));
            }
        }
        Step::Alias { tenant, id, name: number, agents } => {
            let model = &mut models[tenant];
            let alias = Alias { alias: format!("@N{number}"), agent_ids: agents.into_iter().map(name).collect() };
            let free = !model.aliases.contains_key(&name(id))
                && model.aliases.values().all(|known| known.alias != alias.alias)
                && alias.agent_ids.iter().all(|agent| model.agents.contains_key(agent));
            let made = store.aliases().create(&tenants[tenant], &name(id), &alias).await;
            assert_eq!(made.is_ok(), free, "{made:?}");
            if free {
                model.aliases.insert(name(id), alias);
            }
        }
        Step::Unalias { tenant, id } => {
            let gone = store.aliases().delete(&tenants[tenant], &name(id)).await;
            assert_eq!(gone.is_ok(), models[tenant].aliases.remove(&name(id)).is_some());
        }
        Step::Forget { tenant } => {
            store.tenants().delete_all(&tenants[tenant]).await.expect("it was there");
            models[tenant] = Model::default();
            let row = Tenant { name: "again".to_owned(), ..Tenant::default() };
            store.tenants().create(&tenants[tenant], &tenants[tenant], &row).await.expect("made again");
        }
    }
}

async fn stored(bench: &Bench, tenant: &str) -> Model {
    let agents = bench.store.agents().list(tenant, &Paging::default()).await.expect("a page");
    let aliases = bench.store.aliases().list(tenant, &Paging::default()).await.expect("a page");
    Model {
        agents: agents.rows.into_iter().map(|entry| (entry.id, entry.row)).collect(),
        aliases: aliases.rows.into_iter().map(|entry| (entry.id, entry.row)).collect(),
    }
}

fn known(directory: &Directory, tenant: &str) -> Model {
    let (agents, aliases) = (directory.all::<Agent>(tenant), directory.all::<Alias>(tenant));
    Model {
        agents: agents.into_iter().map(|(id, row)| (id.to_string(), (*row).clone())).collect(),
        aliases: aliases.into_iter().map(|(id, row)| (id.to_string(), (*row).clone())).collect(),
    }
}

#[tokio::test]
async fn two_tenants_never_meet() {
    on_each("isolation", |bench| async move {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mut runner = TestRunner::new(Config::default());
        let log = MemoryLog::new(2);
        let announcer = Announcer { store: Arc::new(bench.another().await), log: Arc::new(log.clone()), house: None };
        for _ in 0..RUNS {
            let number = NUMBER.fetch_add(1, Relaxed);
            let tenants = [format!("a{number}"), format!("b{number}")];
            for tenant in &tenants {
                let row = Tenant { name: tenant.clone(), ..Tenant::default() };
                bench.store.tenants().create(tenant, tenant, &row).await.expect("a tenant");
            }
            let steps = prop::collection::vec(step(), 1..40).new_tree(&mut runner).expect("steps").current();
            eprintln!("steps: {steps:?}"); // Shown when the test fails.
            let mut models = [Model::default(), Model::default()];
            for step in steps {
                run(&bench, &tenants, &mut models, step).await;
                for (tenant, model) in tenants.iter().zip(&models) {
                    assert_eq!(stored(&bench, tenant).await, *model);
                }
            }
            announcer.catch_up().await.expect("announced");
            let directory = Directory::default();
            log.records(Topic::Control).iter().for_each(|record| directory.apply(record));
            for (tenant, model) in tenants.iter().zip(&models) {
                assert_eq!(known(&directory, tenant), *model, "what every process knows");
            }
        }
    })
    .await;
}
