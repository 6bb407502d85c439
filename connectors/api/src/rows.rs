//! What the rows of the directory have in common over HTTP: lists, one, new,
//! changed, gone. A resource says what people may write of it ([`Resource`]);
//! the rest is written once, here.

use pipeline::event::{Role, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Desk,
    call::{Call, Refused, problem_of},
    check::ID,
    input::{Body, Input, Media, Patch},
    output::{Created, Data, Gone, Page},
};
use runtime::{
    directory::Kept,
    http::problem::{FieldError, Problem},
    identity::random_hex,
};
use store::{Entry, Paging, Stored};

/// A kind of row that people write.
pub trait Resource: Stored + Kept {
    /// What they write of it.
    type Form: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static;
    /// What its ids begin with.
    const PREFIX: &'static str;
    /// Whether a caller sees it; of what one does not see there is nothing.
    fn seen(_entry: &Entry<Self>, _call: &Call) -> bool {
        true
    }
    /// What else must hold before it is written.
    fn allowed(_row: &Self, _call: &Call) -> impl Future<Output = Result<(), Problem>> + Send {
        async { Ok(()) }
    }
}

/// A row as people see it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "{R}Shown")]
pub struct Shown<R> {
    /// Its id.
    pub id: String,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// The row.
    #[serde(flatten)]
    pub row: R,
}

impl<R> From<Entry<R>> for Shown<R> {
    fn from(entry: Entry<R>) -> Self {
        Shown { id: entry.id, created_at: entry.created_at, updated_at: entry.updated_at, row: entry.row }
    }
}

/// A new row: what people write of it, and perhaps its id.
pub struct New<F> {
    /// The id that was asked for.
    pub id: Option<String>,
    /// The rest.
    pub form: F,
}

impl<F: DeserializeOwned + JsonSchema + Send + 'static> Input for New<F> {
    const MEDIA: Media = Media::Json;

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        let mut schema = generator.root_schema_for::<F>();
        generator.subschema_for::<F>();
        for keyword in ["components", "title"] {
            schema.remove(keyword);
        }
        let id = json!({ "type": ["string", "null"], "pattern": ID, "description": "its id; made up unless said" });
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.insert("id".to_owned(), id);
        }
        Some(schema)
    }

    fn take(mut body: Option<Value>) -> Result<Self, Problem> {
        let id = body.as_mut().and_then(Value::as_object_mut).and_then(|fields| fields.remove("id"));
        let id = id.and_then(|id| id.as_str().map(str::to_owned));
        Body::take(body).map(|Body(form)| New { id, form })
    }
}

/// A named id, else a new one.
pub fn id_or_new(id: Option<String>, prefix: &str) -> String {
    id.unwrap_or_else(|| format!("{prefix}_{}", random_hex()))
}

/// The same fields in another type; both are of ours, and a test holds that
/// they agree.
pub fn reshaped<T: DeserializeOwned>(from: &impl Serialize) -> Result<T, Problem> {
    let shaped = serde_json::to_value(from).and_then(serde_json::from_value);
    shaped.map_err(|error: serde_json::Error| Problem::invalid(vec![FieldError::new("body", error.to_string())]))
}

/// A page of the rows that `keep` lets through and the caller sees. Rows are
/// looked through page by page until there are enough.
pub async fn page_of<R: Resource>(call: &Call, keep: impl Fn(&Entry<R>) -> bool) -> Result<Page<Entry<R>>, Problem> {
    let Paging { limit, mut after } = call.paging();
    let mut rows: Vec<Entry<R>> = Vec::new();
    loop {
        let paging = Paging { limit: store::PAGE_ROWS_MAX, after };
        let found = call.desk.store.rows::<R>().list(&call.tenant, &paging).await.map_err(problem_of)?;
        rows.extend(found.rows.into_iter().filter(|entry| keep(entry) && R::seen(entry, call)));
        after = found.next;
        if rows.len() > limit || after.is_none() {
            break;
        }
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|entry| entry.id.clone());
    Ok(Page { rows, next })
}

/// A list.
pub async fn list<R: Resource + JsonSchema>(call: Call, (): ()) -> Result<Page<Shown<R>>, Problem> {
    shown(page_of(&call, |_| true).await?)
}

/// A page, as people see it.
pub fn shown<R>(page: Page<Entry<R>>) -> Result<Page<Shown<R>>, Problem> {
    Ok(Page { rows: page.rows.into_iter().map(Shown::from).collect(), next: page.next })
}

/// One row that the caller sees.
pub async fn found<R: Resource>(call: &Call, id: &str) -> Result<Entry<R>, Problem> {
    let entry = call.desk.store.rows::<R>().get(&call.tenant, id).await.map_err(problem_of)?;
    match R::seen(&entry, call) {
        true => Ok(entry),
        false => Err(Problem::not_found(format!("there is no such {}", R::KIND))),
    }
}

/// One.
pub async fn read<R: Resource + JsonSchema>(call: Call, (): ()) -> Result<Data<Shown<R>>, Problem> {
    let entry = found::<R>(&call, call.id()).await?;
    Ok(Data(entry.into()))
}

/// A new one.
pub async fn create<R: Resource + JsonSchema>(
    call: Call,
    New { id, form }: New<R::Form>,
) -> Result<Created<Shown<R>>, Problem> {
    let row: R = reshaped(&form)?;
    R::allowed(&row, &call).await?;
    let id = id_or_new(id, R::PREFIX);
    let entry = call.desk.store.rows::<R>().create(&call.tenant, &id, &row).await.map_err(problem_of)?;
    call.desk.settled::<R>(&call.tenant, &id, Some(&entry.row)).await;
    Ok(Created(entry.into()))
}

/// A change.
pub async fn change<R: Resource + JsonSchema>(call: Call, patch: Patch<R::Form>) -> Result<Data<Shown<R>>, Problem> {
    let rows = call.desk.store.rows::<R>();
    let before = found::<R>(&call, call.id()).await?;
    let wanted: R = patched(&patch, &before.row)?;
    R::allowed(&before.row, &call).await?;
    R::allowed(&wanted, &call).await?;
    // Laid over what is there when nobody else writes.
    let change = |row: &mut R| patched(&patch, row).map(|changed| *row = changed).map_err(Refused::Caller);
    let entry = rows.change(&call.tenant, call.id(), change).await.map_err(Problem::from)?;
    call.desk.settled::<R>(&call.tenant, &entry.id, Some(&entry.row)).await;
    Ok(Data(entry.into()))
}

fn patched<R: Resource>(patch: &Patch<R::Form>, row: &R) -> Result<R, Problem> {
    reshaped(&patch.over(&reshaped(row)?)?)
}

/// One gone.
pub async fn remove<R: Resource>(call: Call, (): ()) -> Result<Data<Gone>, Problem> {
    let entry = found::<R>(&call, call.id()).await?;
    R::allowed(&entry.row, &call).await?;
    call.desk.store.rows::<R>().delete(&call.tenant, call.id()).await.map_err(problem_of)?;
    call.desk.settled::<R>(&call.tenant, call.id(), None).await;
    Ok(Gone::id(call.id()))
}

/// Only who works across tenants makes somebody who does, or touches them.
pub fn may_give(role: Role, call: &Call) -> Result<(), Problem> {
    if role == Role::Platform && call.who.role != Role::Platform {
        let detail = "only the role `platform` has to do with that role";
        return Err(Problem::new(axum::http::StatusCode::FORBIDDEN, "forbidden", detail));
    }
    Ok(())
}

/// The five operations of a resource.
macro_rules! resource {
    ($row:ident, $path:literal, $reads:expr, $writes:expr, $name:literal, $example:expr) => {{
        use axum::http::{Method, StatusCode};
        use $crate::{operation::operation, query, rows};
        const ONE: &str = concat!($path, "/{id}");
        vec![
            operation(Method::GET, $path, $reads, concat!("List the ", $name, "s"), rows::list::<$row>)
                .params(&[query::LIMIT, query::CURSOR]),
            operation(Method::POST, $path, $writes, concat!("Make a new ", $name), rows::create::<$row>)
                .errors(&[StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY])
                .example($example),
            operation(Method::GET, ONE, $reads, concat!("Show one ", $name), rows::read::<$row>),
            operation(Method::PATCH, ONE, $writes, concat!("Change one ", $name), rows::change::<$row>)
                .errors(&[StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY]),
            operation(Method::DELETE, ONE, $writes, concat!("Take one ", $name, " away"), rows::remove::<$row>),
        ]
    }};
}
pub(super) use resource;

/// Waits until what was written holds in this process too.
impl Desk {
    /// A row that is there, or no longer. Elsewhere it holds a moment later;
    /// an answer is not kept back for long.
    pub async fn settled<R: Kept>(&self, tenant: &str, id: &str, row: Option<&R>) {
        let wanted = row.and_then(|row| serde_json::to_value(row).ok());
        let mut changes = self.directory.changes();
        let waiting = async {
            loop {
                let here = self.directory.get::<R>(tenant, id);
                let here = here.and_then(|row| serde_json::to_value(&*row).ok());
                if here == wanted || changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(super::SETTLED_WITHIN, waiting).await;
    }
}
