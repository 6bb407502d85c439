//! Dead letters over HTTP: a tenant's own, all of them for who works across
//! tenants.

use axum::http::{Method, StatusCode};
use pipeline::event::{DeadLetter, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::Call,
    check::LINE,
    input::Perhaps,
    operation::{Operation, operation},
    output::{Data, Page},
    query::{CURSOR, Kind, LIMIT, param},
};
use crate::{auth::Access, dead_letters, http::problem::Problem, identity::random_hex};

/// Letters replayed by one request, at most.
const REPLAYED_MAX: usize = 10_000;

/// Which letters: all of what is given must fit.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Filter {
    /// The stage that gave them up.
    #[schemars(length(max = 100), regex(pattern = LINE))]
    stage: Option<String>,
    /// Whose; another's than one's own only for who works across tenants.
    #[schemars(length(max = 128), regex(pattern = LINE))]
    tenant_id: Option<String>,
    /// The topic they come from.
    #[schemars(length(max = 100), regex(pattern = LINE))]
    topic: Option<String>,
}

/// A letter that was sent once more.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Replayed {
    /// The letter.
    id: String,
    /// What makes it another event than the one that may have been seen.
    nonce: String,
}

/// How many letters were sent once more.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Count {
    /// So many.
    replayed: usize,
}

/// `/api/deadletters`
pub fn operations() -> Vec<Operation> {
    let tenant = param("tenantId", Kind::Text, "only those of a tenant; for the role `platform`");
    vec![
        operation(Method::GET, "/api/deadletters", Access::ADMINS, "List the dead letters", list).over_all().params(&[
            LIMIT,
            CURSOR,
            tenant,
            param("stage", Kind::Text, "only those that a stage gave up"),
            param("topic", Kind::Text, "only those that come from a topic"),
        ]),
        operation(Method::POST, "/api/deadletters/replay", Access::ADMINS, "Send dead letters once more", replay_all)
            .over_all(),
        operation(
            Method::POST,
            "/api/deadletters/{id}/replay",
            Access::ADMINS,
            "Send one dead letter once more",
            replay,
        )
        .over_all()
        .errors(&[StatusCode::UNPROCESSABLE_ENTITY]),
    ]
}

impl Filter {
    /// The same, within what the caller may see.
    fn within(mut self, call: &Call) -> Self {
        if call.who.role != Role::Platform {
            // Another's letters are not there.
            let own = self.tenant_id.is_none_or(|tenant| tenant == call.tenant);
            self.tenant_id = Some(if own { call.tenant.clone() } else { String::new() });
        }
        self
    }

    fn fits(&self, letter: &DeadLetter) -> bool {
        let fits = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        fits(&self.stage, &letter.stage)
            && fits(&self.tenant_id, &letter.tenant_id)
            && fits(&self.topic, &letter.original.topic)
    }
}

async fn list(call: Call, (): ()) -> Result<Page<DeadLetter>, Problem> {
    let text = |name: &str| call.said.text(name).map(str::to_owned);
    let filter = Filter { stage: text("stage"), tenant_id: text("tenantId"), topic: text("topic") }.within(&call);
    let paging = call.paging();
    let mut passed = paging.after.is_none();
    let wanted = |letter: &DeadLetter| {
        let on_this_page = passed;
        passed |= paging.after.as_deref() == Some(&letter.id);
        on_this_page && filter.fits(letter)
    };
    let mut letters = dead_letters::list(&*call.desk.log, paging.limit + 1, wanted).await.map_err(unavailable)?;
    let more = letters.len() > paging.limit;
    letters.truncate(paging.limit);
    let next = letters.last().filter(|_| more).map(|letter| letter.id.clone());
    Ok(Page { rows: letters, next })
}

async fn replay(call: Call, (): ()) -> Result<Data<Replayed>, Problem> {
    let (log, filter) = (&*call.desk.log, Filter::default().within(&call));
    let wanted = |letter: &DeadLetter| letter.id == call.id() && filter.fits(letter);
    let letters = dead_letters::list(log, 1, wanted).await.map_err(unavailable)?;
    let letter = letters.first().ok_or_else(|| Problem::not_found("there is no such dead letter"))?;
    let nonce = random_hex();
    let replayed = dead_letters::replay(log, letter, &nonce, call.now().as_ms()).await;
    replayed.map_err(unavailable)?.ok_or_else(not_replayable)?;
    Ok(Data(Replayed { id: call.id().to_owned(), nonce }))
}

async fn replay_all(call: Call, Perhaps(filter): Perhaps<Filter>) -> Result<Data<Count>, Problem> {
    let (log, filter) = (&*call.desk.log, filter.within(&call));
    let letters = dead_letters::list(log, REPLAYED_MAX, |letter| filter.fits(letter)).await;
    let mut replayed = 0;
    for letter in letters.map_err(unavailable)? {
        let position = dead_letters::replay(log, &letter, &random_hex(), call.now().as_ms()).await;
        replayed += usize::from(position.map_err(unavailable)?.is_some());
    }
    Ok(Data(Count { replayed }))
}

fn not_replayable() -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not_replayable", "the original cannot be appended again")
}

fn unavailable(error: pipeline::ports::LogError) -> Problem {
    Problem::unavailable(error.to_string())
}
