//! What may be asked over the wire: what looks, and the statements that drivers
//! send on connecting, which are answered from a list.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    common::ParamValues,
    logical_expr::LogicalPlan,
    prelude::SessionContext,
    sql::{
        parser::Statement as Planned,
        sqlparser::ast::{Set, Statement},
    },
};
use datafusion_postgres::{
    QueryHook,
    hooks::{HookClient, set_show::SetShowHook, transactions::TransactionStatementHook},
    pgwire::{
        api::{
            ClientInfo,
            results::{Response, Tag},
        },
        error::{PgWireError, PgWireResult},
    },
};
use runtime::{auth::Authenticate, sql::Refused};

use super::{Who, failure, refusal};
use crate::statement;

/// What drivers set when they connect. None of it reaches the engine's own
/// settings.
const SETTABLE: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "extra_float_digits",
    "intervalstyle",
    "search_path",
    "statement_timeout",
];

/// Those of them that the hook of the library knows; the others are only said yes to.
const KEPT: &[&str] = &[
    "application_name",
    "bytea_output",
    "datestyle",
    "extra_float_digits",
    "intervalstyle",
    "search_path",
    "statement_timeout",
];

/// Stands before every statement of a connection.
pub struct Guard {
    pub clients: Arc<dyn Authenticate>,
    pub who: Who,
}

/// What is done about a statement.
enum Way {
    /// It is planned and run.
    Run,
    /// A setting that is kept for the connection.
    Set,
    /// A setting that changes nothing.
    Nod,
    /// A setting that is shown.
    Show,
    /// The begin or the end of a transaction, of which there are none.
    Transaction,
}

impl Guard {
    /// Long-lived connections end when their client is revoked.
    fn still_counts(&self) -> PgWireResult<()> {
        let counts = self.who.get().is_some_and(|who| self.clients.may_stay(who));
        if counts { Ok(()) } else { Err(failure("FATAL", "28000", "the client was revoked".to_owned())) }
    }

    fn way(&self, asked: &Statement) -> PgWireResult<Way> {
        self.still_counts()?;
        match asked {
            Statement::Set(Set::SingleAssignment { variable, .. }) => {
                let name = variable.to_string().to_lowercase();
                if KEPT.contains(&name.as_str()) {
                    return Ok(Way::Set);
                }
                if SETTABLE.contains(&name.as_str()) {
                    return Ok(Way::Nod);
                }
                Err(refusal(&Refused::Forbidden(format!("{name} cannot be set here"))))
            }
            Statement::Set(Set::SetTimeZone { .. } | Set::SetNames { .. } | Set::SetTransaction { .. }) => Ok(Way::Nod),
            Statement::StartTransaction { .. } | Statement::Commit { .. } | Statement::Rollback { .. } => {
                Ok(Way::Transaction)
            }
            Statement::ShowVariable { variable } if !matches!(variable.first(), Some(name) if name.value.eq_ignore_ascii_case("all")) => {
                Ok(Way::Show)
            }
            Statement::Deallocate { .. } | Statement::Discard { .. } => Ok(Way::Nod),
            other => {
                statement::looks_sql(other).map_err(|refused| refusal(&refused))?;
                Ok(Way::Run)
            }
        }
    }
}

#[async_trait]
impl QueryHook for Guard {
    async fn handle_simple_query(
        &self,
        asked: &Statement,
        session: &SessionContext,
        client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        match self.way(asked) {
            Err(error) => Some(Err(error)),
            Ok(Way::Nod) => Some(Ok(nod(asked))),
            Ok(Way::Set | Way::Show) => SetShowHook.handle_simple_query(asked, session, client).await,
            Ok(Way::Transaction) => TransactionStatementHook.handle_simple_query(asked, session, client).await,
            Ok(Way::Run) => {
                // In a transaction that has failed nothing more is run.
                let aborted = TransactionStatementHook.handle_simple_query(asked, session, client).await;
                if aborted.is_some() {
                    return aborted;
                }
                let planned = session.state().statement_to_plan(Planned::Statement(Box::new(asked.clone()))).await;
                match planned {
                    Ok(plan) => statement::plan_looks(&plan).err().map(|refused| Err(refusal(&refused))),
                    Err(error) => Some(Err(PgWireError::ApiError(Box::new(error)))),
                }
            }
        }
    }

    async fn handle_extended_parse_query(
        &self,
        asked: &Statement,
        session: &SessionContext,
        client: &(dyn ClientInfo + Send + Sync),
    ) -> Option<PgWireResult<LogicalPlan>> {
        match self.way(asked) {
            Err(error) => Some(Err(error)),
            Ok(Way::Set | Way::Show) => SetShowHook.handle_extended_parse_query(asked, session, client).await,
            Ok(Way::Nod | Way::Transaction) => Some(Ok(LogicalPlan::default())),
            Ok(Way::Run) => None,
        }
    }

    async fn handle_extended_query(
        &self,
        asked: &Statement,
        plan: &LogicalPlan,
        parameters: &ParamValues,
        session: &SessionContext,
        client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        match self.way(asked) {
            Err(error) => Some(Err(error)),
            Ok(Way::Nod) => Some(Ok(nod(asked))),
            Ok(Way::Set | Way::Show) => {
                SetShowHook.handle_extended_query(asked, plan, parameters, session, client).await
            }
            Ok(Way::Transaction) => {
                TransactionStatementHook.handle_extended_query(asked, plan, parameters, session, client).await
            }
            Ok(Way::Run) => {
                let aborted = TransactionStatementHook.handle_simple_query(asked, session, client).await;
                aborted.or_else(|| statement::plan_looks(plan).err().map(|refused| Err(refusal(&refused))))
            }
        }
    }
}

/// Said yes to, in the words of the statement.
fn nod(asked: &Statement) -> Response {
    let word = match asked {
        Statement::Deallocate { .. } => "DEALLOCATE",
        Statement::Discard { .. } => "DISCARD ALL",
        _ => "SET",
    };
    Response::Execution(Tag::new(word))
}
