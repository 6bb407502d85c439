//! Names for lists of agents.

use axum::http::Method;
use pipeline::event::{Agent, Alias};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    call::{Call, problem_of},
    check::{ALIAS, ID},
    operation::{Operation, operation},
    output::Data,
    query::{Kind, required},
    rows::{Resource, resource},
};
use runtime::{auth::Access, http::problem::Problem};
use store::{StoreError, folded};

/// What people write of an alias.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AliasForm {
    /// As people write it, with the `@`; case does not matter.
    #[schemars(length(max = 100), regex(pattern = ALIAS))]
    alias: String,
    /// Whom it names.
    #[serde(default)]
    #[schemars(length(max = 1_000), extend("uniqueItems" = true), inner(regex(pattern = ID)))]
    agent_ids: Vec<String>,
}

impl Resource for Alias {
    type Form = AliasForm;
    const PREFIX: &'static str = "als";
}

/// Whom an alias names.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resolved {
    /// The alias, as it is kept.
    alias: String,
    /// The agents' ids.
    agent_ids: Vec<String>,
}

/// `/api/aliases` and `/api/aliases/resolve`
pub fn operations() -> Vec<Operation> {
    let example = json!({ "alias": "@AI_Squad", "agentIds": ["agt_1", "agt_2"] });
    let mut operations = resource!(Alias, "/api/aliases", Access::ALL, Access::ADMINS, "alias", example);
    operations[0].summary = "List the aliases";
    operations.push(
        operation(Method::GET, "/api/aliases/resolve", Access::ALL, "Tell whom an alias names", resolve)
            .params(&[required("alias", Kind::Text, "as people write it, with or without the `@`")]),
    );
    operations
}

/// An agent's own name is an alias too.
async fn resolve(call: Call, (): ()) -> Result<Data<Resolved>, Problem> {
    let said = call.said.text("alias").unwrap_or_default();
    let name = said.trim().trim_start_matches('@');
    let alias = format!("@{name}");
    match call.desk.store.aliases().by_name(&call.tenant, &alias).await {
        Ok(entry) => Ok(Data(Resolved { alias: entry.row.alias, agent_ids: entry.row.agent_ids })),
        Err(StoreError::NotFound { .. }) => {
            let agents = call.desk.directory.all::<Agent>(&call.tenant);
            let named = agents.iter().filter(|(_, agent)| folded(&agent.name) == folded(name));
            let agent_ids: Vec<_> = named.map(|(id, _)| id.to_string()).collect();
            match agent_ids.is_empty() {
                true => Err(Problem::not_found("there is no such alias")),
                false => Ok(Data(Resolved { alias, agent_ids })),
            }
        }
        Err(error) => Err(problem_of(error)),
    }
}
