//! Dead letters over HTTP: a tenant's own, all of them for who works across
//! tenants.

use axum::http::{Method, StatusCode};
use pipeline::event::{DeadLetter, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dead_letters::{self, Cursor, NotReplayed, Replayed};
use crate::{
    call::Call,
    check::LINE,
    input::Perhaps,
    operation::{Operation, operation},
    output::{Data, Page},
    query::{Kind, LIMIT, param},
};
use runtime::{
    auth::Access,
    http::problem::{FieldError, Problem},
    identity::random_hex,
};

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
pub struct Sent {
    /// The letter.
    id: String,
    /// What makes it another event than the one that may have been seen.
    nonce: String,
}

/// `/api/deadletters`
pub fn operations() -> Vec<Operation> {
    let tenant = param("tenantId", Kind::Text, "only those of a tenant; for the role `platform`");
    vec![
        operation(Method::GET, "/api/deadletters", Access::ADMINS, "List the dead letters", list).over_all().params(&[
            LIMIT,
            param("cursor", Kind::Place, "`page.next` of the page before"),
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
    let from = match paging.after.as_deref().map(str::parse::<Cursor>) {
        None => Cursor::default(),
        Some(Ok(cursor)) => cursor,
        Some(Err(_)) => {
            return Err(Problem::invalid(vec![FieldError::new("cursor", "is not one of a page before")]));
        }
    };
    let page = dead_letters::page(&*call.desk.log, from, paging.limit, |letter| filter.fits(letter)).await;
    let page = page.map_err(unavailable)?;
    Ok(Page { rows: page.letters, next: page.next.map(|next| next.to_string()) })
}

async fn replay(call: Call, (): ()) -> Result<Data<Sent>, Problem> {
    let filter = Filter::default().within(&call);
    let letter = dead_letters::find(&*call.desk.log, call.id()).await.map_err(unavailable)?;
    let letter = letter.filter(|letter| filter.fits(letter));
    let letter = letter.ok_or_else(|| Problem::not_found("there is no such dead letter"))?;
    let nonce = random_hex();
    match dead_letters::replay(&*call.desk.log, &letter, &nonce, call.now().as_ms()).await {
        Ok(_) => Ok(Data(Sent { id: call.id().to_owned(), nonce })),
        Err(NotReplayed::Unfit(reason)) => {
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not_replayable", reason.to_string()))
        }
        Err(NotReplayed::Log(error)) => Err(unavailable(error)),
    }
}

async fn replay_all(call: Call, Perhaps(filter): Perhaps<Filter>) -> Result<Data<Replayed>, Problem> {
    let filter = filter.within(&call);
    let (log, clock) = (&*call.desk.log, &*call.desk.clock);
    let replayed = dead_letters::replay_all(log, clock, |letter| filter.fits(letter)).await;
    replayed.map(Data).map_err(|interrupted| Problem::unavailable(interrupted.to_string()))
}

fn unavailable(error: pipeline::ports::LogError) -> Problem {
    Problem::unavailable(error.to_string())
}
