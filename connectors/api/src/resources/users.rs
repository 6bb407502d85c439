//! People, and who is who in other systems.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use pipeline::event::{Agent, User, UserMapping};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    call::{Call, problem_of, unknown_reference},
    check::{EMAIL, ID, LINE, WORD},
    operation::Operation,
    rows::{Resource, may_give, resource},
};
use runtime::{
    auth::Access,
    http::problem::{FieldError, Problem},
};
use store::StoreError;

/// Somebody's name in another system.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExternalIdForm {
    /// `slack`, `clickup`, `github`, `jira`, …
    #[schemars(length(max = 50), regex(pattern = WORD))]
    provider: String,
    /// The id there: a Slack user or bot, a ClickUp user, a GitHub login, …
    #[schemars(length(min = 1, max = 200), regex(pattern = LINE))]
    id: String,
}

/// The roles of people.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PersonRole {
    /// Reads and works.
    Member,
    /// Asks SQL.
    Analyst,
    /// Changes the tenant.
    Admin,
    /// Works across tenants; given by those who do alone.
    Platform,
}

/// What people write of a person.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserForm {
    /// What they are called.
    #[schemars(length(min = 1, max = 200), regex(pattern = LINE))]
    name: String,
    /// Their address.
    #[schemars(length(max = 254), regex(pattern = EMAIL))]
    email: Option<String>,
    /// What they may do in the tenant. Kept, and without effect until people sign
    /// in: requests are allowed by the role of the client's token.
    role: PersonRole,
    /// What they may do in a workgroup, by its id. Kept, and without effect until
    /// people sign in.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 200, "propertyNames" = { "pattern": ID }))]
    workgroup_roles: BTreeMap<String, PersonRole>,
    /// What they are called elsewhere.
    #[serde(default)]
    #[schemars(length(max = 50), extend("uniqueItems" = true))]
    external_ids: Vec<ExternalIdForm>,
}

impl Resource for User {
    type Form = UserForm;
    const PREFIX: &'static str = "usr";

    async fn allowed(row: &Self, call: &Call) -> Result<(), Problem> {
        row.workgroup_roles.values().chain([&row.role]).try_for_each(|role| may_give(*role, call))
    }
}

/// What people write of who is who.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserMappingForm {
    /// `slack`, `clickup`, `github`, `jira`.
    #[schemars(length(max = 50), regex(pattern = WORD))]
    external_system: String,
    /// The address there.
    #[schemars(length(max = 254), regex(pattern = EMAIL))]
    external_email: Option<String>,
    /// The id there.
    #[schemars(length(min = 1, max = 200), regex(pattern = LINE))]
    external_user_id: Option<String>,
    /// The user or agent that it is.
    #[schemars(regex(pattern = ID))]
    resource_id: String,
}

impl Resource for UserMapping {
    type Form = UserMappingForm;
    const PREFIX: &'static str = "map";

    async fn allowed(row: &Self, call: &Call) -> Result<(), Problem> {
        if row.external_email.is_none() && row.external_user_id.is_none() {
            let message = "is missing, and so is externalUserId; one of them says who it is";
            let detail = "the mapping says nobody";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "incomplete", detail)
                .with_errors(vec![FieldError::new("externalEmail", message)]));
        }
        let store = &call.desk.store;
        match store.rows::<Agent>().get(&call.tenant, &row.resource_id).await {
            Ok(_) => return Ok(()),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(problem_of(error)),
        }
        match store.users().get(&call.tenant, &row.resource_id).await {
            Ok(_) => Ok(()),
            Err(StoreError::NotFound { .. }) => Err(unknown_reference("resourceId")),
            Err(error) => Err(problem_of(error)),
        }
    }
}

/// `/api/users` and `/api/integrations/external-user-mappings`
pub fn operations() -> Vec<Operation> {
    let user = json!({
        "name": "Ada", "email": "ada@example.com", "role": "member",
        "externalIds": [{ "provider": "slack", "id": "U0ADA" }],
    });
    let mapping = json!({ "externalSystem": "jira", "externalEmail": "ada@example.com", "resourceId": "usr_1" });
    let mut operations = resource!(User, "/api/users", Access::PEOPLE, Access::ADMINS, "user", user);
    operations.extend(resource!(
        UserMapping,
        "/api/integrations/external-user-mappings",
        Access::PEOPLE,
        Access::ADMINS,
        "user mapping",
        mapping
    ));
    operations
}
