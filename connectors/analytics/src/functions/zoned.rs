//! `to_timestamp` and its kin. They say that they give times of the session's
//! zone, but of a column of texts they give such as have none (DataFusion 55.2),
//! and the query ends there; here they give what they say.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::DataType,
    error::Result,
    execution::{FunctionRegistry, SessionState},
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature},
};

const OF_TIMES: &[&str] =
    &["to_timestamp", "to_timestamp_seconds", "to_timestamp_millis", "to_timestamp_micros", "to_timestamp_nanos"];

/// Gives a session its functions of times once more.
pub fn register(state: &mut SessionState) -> Result<()> {
    for name in OF_TIMES {
        let plain = state.udf(name)?;
        state.register_udf(Arc::new(ScalarUDF::from(Zoned(plain))))?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Zoned(Arc<ScalarUDF>);

impl ScalarUDFImpl for Zoned {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        self.0.return_type(given)
    }

    fn invoke_with_args(&self, given: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let gives = given.return_field.data_type().clone();
        // Around the engine's own look at what it gives, which is where it ends.
        self.0.inner().invoke_with_args(given)?.cast_to(&gives, None)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::{
        arrow::{array::AsArray, datatypes::TimestampNanosecondType},
        prelude::{SessionConfig, SessionContext},
    };

    use super::*;

    #[tokio::test]
    async fn a_column_of_texts_becomes_times_with_their_zone() {
        let mut config = SessionConfig::new();
        config.options_mut().execution.time_zone = Some("+00:00".to_owned());
        let mut state = SessionContext::new_with_config(config).state();
        register(&mut state).expect("functions");
        let session = SessionContext::new_with_state(state);
        let sql =
            "SELECT to_timestamp(at), to_timestamp_millis(at) FROM (VALUES ('2026-01-01T12:00:00Z'), (NULL)) AS t (at)";
        let batches = session.sql(sql).await.expect(sql).collect().await.expect(sql);
        let times = batches[0].column(0).as_primitive::<TimestampNanosecondType>();
        assert_eq!((times.value(0), times.timezone()), (1_767_268_800_000_000_000, Some("+00:00")));
    }
}
