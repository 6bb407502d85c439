//! What can be called: the engine's own functions but those that make much of
//! nothing, functions over JSON, windows, and the plain functions of `udfs`.

mod plain;
pub mod windows;
mod zoned;

use std::sync::Arc;

use datafusion::{
    error::Result,
    execution::{FunctionRegistry, SessionState},
};

/// Functions that make large values of small ones, which no memory limit sees.
const TAKEN_AWAY: &[&str] = &[
    "repeat",
    "lpad",
    "rpad",
    "array_repeat",
    "list_repeat",
    "array_resize",
    "list_resize",
    "range",
    "generate_series",
];

/// Gives a session its functions.
pub fn register(state: &mut SessionState) -> Result<()> {
    datafusion_functions_json::register_all(state)?;
    for function in plain::all().chain([windows::tumble(), windows::hop()]) {
        state.register_udf(Arc::new(function))?;
    }
    state.register_udaf(Arc::new(plain::simhash_nearest()))?;
    zoned::register(state)?;
    take_away(state)
}

/// Takes away what must not be called.
pub fn take_away(state: &mut SessionState) -> Result<()> {
    for name in TAKEN_AWAY {
        state.deregister_udf(name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn what_makes_much_of_nothing_is_not_there() {
        let mut state = SessionContext::new().state();
        register(&mut state).expect("functions");
        let session = SessionContext::new_with_state(state);
        for name in TAKEN_AWAY {
            assert!(session.sql(&format!("SELECT {name}('x', 1000000000)")).await.is_err(), "{name}");
        }
    }
}
