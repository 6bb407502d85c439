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
        self.0.invoke_with_args(given)?.cast_to(&gives, None)
    }
}
