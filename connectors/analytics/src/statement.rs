//! Which statements are taken: those that look. The first word decides, and the
//! plan is looked through once more, because what looks like looking may hold
//! something else (`EXPLAIN ANALYZE INSERT …`).

use datafusion::{
    dataframe::DataFrame,
    error::DataFusionError,
    execution::{SessionState, context::SQLOptions},
    logical_expr::LogicalPlan,
    prelude::SessionContext,
    sql::{
        parser::Statement,
        sqlparser::ast::{Query, SetExpr, Statement as Sql},
    },
};
use runtime::sql::Refused;

/// Letters of a statement, at most.
pub const LETTERS_MAX: usize = 65_536;

/// Queries within queries, at most: each level may double the text that a
/// constant expression makes.
const NESTED_MAX: usize = 24;

/// Whether a statement only looks.
pub fn looks(statement: &Statement) -> Result<(), Refused> {
    match statement {
        Statement::Statement(statement) => looks_sql(statement),
        Statement::Explain(explain) => looks(&explain.statement),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => Err(refused(statement)),
    }
}

/// The same, of the parser's own statement.
pub fn looks_sql(statement: &Sql) -> Result<(), Refused> {
    match statement {
        Sql::Query(query) if is_too_deep(query, 0) => {
            Err(Refused::Forbidden(format!("more than {NESTED_MAX} queries within each other are not taken")))
        }
        Sql::Query(_)
        | Sql::ExplainTable { .. }
        | Sql::ShowTables { .. }
        | Sql::ShowColumns { .. }
        | Sql::ShowFunctions { .. }
        | Sql::ShowVariable { .. } => Ok(()),
        Sql::Explain { statement, .. } => looks_sql(statement),
        other => Err(refused(other)),
    }
}

fn is_too_deep(query: &Query, depth: usize) -> bool {
    use datafusion::sql::sqlparser::ast::TableFactor;
    if depth > NESTED_MAX {
        return true;
    }
    let within = query.with.iter().flat_map(|with| &with.cte_tables);
    // A name may use the one before it, so a chain of names is as deep as it is long.
    let mut below = depth;
    for named in within {
        below += 1;
        if is_too_deep(&named.query, below) {
            return true;
        }
    }
    let mut bodies = vec![&*query.body];
    while let Some(body) = bodies.pop() {
        match body {
            SetExpr::Query(query) if is_too_deep(query, below + 1) => return true,
            SetExpr::SetOperation { left, right, .. } => bodies.extend([&**left, &**right]),
            SetExpr::Select(select) => {
                let tables = select.from.iter().flat_map(|table| {
                    std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation))
                });
                for table in tables {
                    if let TableFactor::Derived { subquery, .. } = table
                        && is_too_deep(subquery, below + 1)
                    {
                        return true;
                    }
                }
            }
            _ => {}
        }
    }
    false
}

fn refused(statement: &impl ToString) -> Refused {
    let text = statement.to_string();
    let word = text.split_whitespace().next().unwrap_or_default().to_uppercase();
    Refused::Forbidden(format!("{word} is not taken: only SELECT, EXPLAIN, SHOW and DESCRIBE are"))
}

/// Whether a plan only looks.
pub fn plan_looks(plan: &LogicalPlan) -> Result<(), Refused> {
    let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    options.verify_plan(plan).map_err(|error| Refused::Forbidden(error.strip_backtrace()))
}

/// The plan of one statement that only looks.
pub async fn plan(state: &SessionState, text: &str) -> Result<Result<LogicalPlan, DataFusionError>, Refused> {
    if text.len() > LETTERS_MAX {
        return Err(Refused::Forbidden(format!("statements of more than {LETTERS_MAX} bytes are not taken")));
    }
    let dialect = state.config().options().sql_parser.dialect;
    let statement = match state.sql_to_statement(text, &dialect) {
        Ok(statement) => statement,
        Err(error) => return Ok(Err(error)),
    };
    looks(&statement)?;
    match state.statement_to_plan(statement).await {
        Ok(plan) => {
            plan_looks(&plan)?;
            Ok(Ok(plan))
        }
        Err(error) => Ok(Err(error)),
    }
}

/// The same, to be run.
pub async fn frame(session: &SessionContext, text: &str) -> Result<Result<DataFrame, DataFusionError>, Refused> {
    let plan = match plan(&session.state(), text).await? {
        Ok(plan) => plan,
        Err(error) => return Ok(Err(error)),
    };
    Ok(session.execute_logical_plan(plan).await)
}
