//! Who gets tokens. An agent's client is made with the agent; the others, for
//! people's scripts and for administrators, are made here. A secret is shown
//! when it is made, and never again.

use axum::http::{Method, StatusCode};
use pipeline::event::{Client, Role, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::users::PersonRole;
use crate::{
    call::{Call, Refused, problem_of},
    check::LINE,
    input::Patch,
    operation::{Operation, operation},
    output::{Created, Data},
    query::{CURSOR, LIMIT},
    rows::{self, New, Resource, Shown, found, id_or_new, may_give},
};
use runtime::{
    auth::{Access, Secrets},
    http::problem::Problem,
};

/// What administrators write of a client.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientForm {
    /// What it may do.
    role: PersonRole,
    /// What people call it.
    #[schemars(length(min = 1, max = 200), regex(pattern = LINE))]
    name: Option<String>,
}

/// A change of a client. Its role stays: make another.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientChange {
    /// What people call it.
    #[schemars(length(min = 1, max = 200), regex(pattern = LINE))]
    name: Option<String>,
    /// Whether its tokens count.
    #[serde(default = "yes")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

impl Resource for Client {
    type Form = ClientForm;
    const PREFIX: &'static str = "cli";

    async fn allowed(row: &Self, call: &Call) -> Result<(), Problem> {
        may_give(row.role, call)
    }
}

/// A client with its secret, which is shown this once.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientMade {
    /// The client.
    #[serde(flatten)]
    client: Shown<Client>,
    /// The same as `id`, under the name that the token endpoint has for it.
    client_id: String,
    /// What it proves itself with.
    client_secret: String,
}

/// A client's new secret, which is shown this once.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretShown {
    /// The client.
    pub client_id: String,
    /// What it proves itself with.
    pub client_secret: String,
}

/// `/admin/clients`
pub fn operations() -> Vec<Operation> {
    const ALL: &str = "/admin/clients";
    const ONE: &str = "/admin/clients/{id}";
    let example = json!({ "role": "analyst", "name": "weekly report" });
    vec![
        operation(Method::GET, ALL, Access::ADMINS, "List the clients", rows::list::<Client>).params(&[LIMIT, CURSOR]),
        operation(Method::POST, ALL, Access::ADMINS, "Make a client; shows its secret once", create)
            .errors(&[StatusCode::CONFLICT])
            .example(example),
        operation(Method::GET, ONE, Access::ADMINS, "Show one client", rows::read::<Client>),
        operation(Method::PATCH, ONE, Access::ADMINS, "Change one client", change),
        operation(Method::DELETE, ONE, Access::ADMINS, "Take one client away; its tokens count no more", delete)
            .errors(&[StatusCode::CONFLICT]),
        operation(
            Method::POST,
            "/admin/clients/{id}/rotate-secret",
            Access::ADMINS,
            "Give a client another secret, shown once; its tokens count no more",
            rotate,
        ),
        operation(
            Method::POST,
            "/admin/clients/{id}/revoke",
            Access::ADMINS,
            "Take back a client's tokens, and give it none until it is enabled again",
            revoke,
        ),
    ]
}

/// A new secret and its hash.
pub async fn hashed(call: &Call) -> Result<(String, String), Problem> {
    let secret = Secrets::make();
    let hash = call.desk.login.secrets().hash(secret.clone()).await;
    let hash = hash.map_err(|busy| Problem::unavailable(busy.to_string()))?;
    Ok((secret, hash))
}

/// Another secret for a client.
pub async fn secret_of(call: &Call, client_id: &str) -> Result<SecretShown, Problem> {
    let (client_secret, hash) = hashed(call).await?;
    let rotated = call.desk.store.clients().rotate_secret(&call.tenant, client_id, &hash).await;
    let client = rotated.map_err(problem_of)?;
    call.desk.settled(&call.tenant, client_id, Some(&client.row)).await;
    Ok(SecretShown { client_id: client_id.to_owned(), client_secret })
}

async fn create(call: Call, New { id, form }: New<ClientForm>) -> Result<Created<ClientMade>, Problem> {
    let id = id_or_new(id, Client::PREFIX);
    let client = Client {
        role: rows::reshaped(&form.role)?,
        agent_id: None,
        name: form.name,
        enabled: true,
        tokens_from: Time::default(),
    };
    Client::allowed(&client, &call).await?;
    let (client_secret, hash) = hashed(&call).await?;
    let mut work = call.desk.store.work(&call.tenant).await.map_err(problem_of)?;
    let entry = work.create(&id, &client).await.map_err(problem_of)?;
    work.set_secret(&id, &hash).await.map_err(problem_of)?;
    work.commit().await.map_err(problem_of)?;
    call.desk.settled(&call.tenant, &id, Some(&client)).await;
    Ok(Created(ClientMade { client: entry.into(), client_id: id, client_secret }))
}

async fn change(call: Call, patch: Patch<ClientChange>) -> Result<Data<Shown<Client>>, Problem> {
    with(call, |client| {
        let there = ClientChange { name: client.name.clone(), enabled: client.enabled };
        let wanted = patch.over(&there)?;
        client.name = wanted.name;
        client.enabled = wanted.enabled;
        Ok(())
    })
    .await
}

async fn rotate(call: Call, (): ()) -> Result<Data<SecretShown>, Problem> {
    let client = found::<Client>(&call, call.id()).await?;
    Client::allowed(&client.row, &call).await?;
    secret_of(&call, call.id()).await.map(Data)
}

async fn revoke(call: Call, (): ()) -> Result<Data<Shown<Client>>, Problem> {
    let now = call.now();
    with(call, |client| {
        client.enabled = false;
        client.tokens_from = now;
        Ok(())
    })
    .await
}

async fn delete(call: Call, (): ()) -> Result<Data<crate::output::Gone>, Problem> {
    let client = found::<Client>(&call, call.id()).await?;
    if client.row.role == Role::Agent {
        let detail = "an agent's client goes with the agent";
        return Err(Problem::new(StatusCode::CONFLICT, "conflict", detail));
    }
    rows::remove::<Client>(call, ()).await
}

async fn with(
    call: Call,
    change: impl FnOnce(&mut Client) -> Result<(), Problem> + Send,
) -> Result<Data<Shown<Client>>, Problem> {
    let before = found::<Client>(&call, call.id()).await?;
    Client::allowed(&before.row, &call).await?;
    let change = |row: &mut Client| change(row).map_err(Refused::Caller);
    let entry = call.desk.store.clients().change(&call.tenant, call.id(), change).await.map_err(Problem::from)?;
    call.desk.settled(&call.tenant, call.id(), Some(&entry.row)).await;
    Ok(Data(entry.into()))
}
