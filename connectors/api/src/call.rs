//! One request, as a handler sees it: who asks, for which tenant, and what of
//! the address and the query it needs.

use std::{net::IpAddr, sync::Arc};

use axum::http::{HeaderMap, StatusCode};
use pipeline::event::Time;

use super::{
    Desk,
    query::{PAGE_ROWS, Said},
};
use runtime::{
    auth::Principal,
    http::problem::{FieldError, Problem},
};
use store::{Paging, StoreError};

/// A request that was let in.
pub struct Call {
    /// What it may work with.
    pub desk: Arc<Desk>,
    /// Who asks; nobody, where no token is asked for.
    pub who: Principal,
    /// Whose rows it is about.
    pub tenant: String,
    /// What the query says.
    pub said: Said,
    /// The head.
    pub headers: HeaderMap,
    /// From where it comes.
    pub address: Option<IpAddr>,
    pub(super) path: Vec<(String, String)>,
}

impl Call {
    /// A part of the address.
    pub fn part(&self, name: &str) -> &str {
        self.path.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The row that the address names.
    pub fn id(&self) -> &str {
        self.part("id")
    }

    /// Which part of a list is asked for.
    pub fn paging(&self) -> Paging {
        let limit = self.said.number("limit").map_or(PAGE_ROWS, |limit| limit as usize);
        Paging { limit, after: self.said.text("cursor").map(str::to_owned) }
    }

    /// The time.
    pub fn now(&self) -> Time {
        Time::from_ms(self.desk.clock.now_ms())
    }
}

/// The tenant that a request is about: the token's own; another only for who
/// works across tenants, and only one that is there.
pub async fn tenant_of(desk: &Desk, who: &Principal, said: &Said) -> Result<String, Problem> {
    let Some(named) = said.text("tenantId") else { return Ok(who.tenant_id.clone()) };
    if named == who.tenant_id {
        return Ok(named.to_owned());
    }
    if who.role != pipeline::event::Role::Platform {
        let detail = "the tenant is the token's; only the role `platform` names another";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    desk.store.tenants().get(named, named).await.map_err(problem_of)?;
    Ok(named.to_owned())
}

/// An error of the store, for the caller.
pub fn problem_of(error: StoreError) -> Problem {
    match error {
        StoreError::NotFound { kind } => Problem::not_found(format!("there is no such {}", kind)),
        StoreError::Conflict { kind, field } => {
            let detail = format!("another {} has this {field}", kind);
            Problem::new(StatusCode::CONFLICT, "conflict", detail)
                .with_errors(vec![FieldError::new(field, "is taken already")])
        }
        StoreError::Dangling { field, .. } => unknown_reference(field),
        StoreError::Bad(detail) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail),
        error @ StoreError::Unavailable { .. } => {
            tracing::warn!(%error, "a request was not served");
            Problem::unavailable("the store cannot be asked now; try again")
        }
    }
}

/// What a field names is not there. Not 404: the address is right.
pub fn unknown_reference(field: impl Into<String>) -> Problem {
    let field = field.into();
    let detail = format!("{field} names what is not there");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown_reference", detail)
        .with_errors(vec![FieldError::new(field, "names what is not there")])
}

/// An error that comes out of a change: the store's, or the caller's.
pub enum Refused {
    /// The store's.
    Store(StoreError),
    /// The caller's.
    Caller(Problem),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Refused::Store(error)
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Refused::Caller(problem)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Store(error) => problem_of(error),
            Refused::Caller(problem) => problem,
        }
    }
}
