//! What can be called: the engine's own functions but those that make much of
//! nothing, functions over JSON, windows, and the plain functions of `udfs`.

pub mod windows;

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, ListBuilder, StringBuilder},
        datatypes::{DataType, Field},
    },
    common::cast::as_string_array,
    error::Result,
    execution::{FunctionRegistry, SessionState},
    logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf},
};
use udfs::markup::Ids;

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

type OfText = fn(&str) -> String;

/// The plain functions of `udfs` that take a text and give one: name, function.
const OF_TEXT: &[(&str, OfText)] = &[
    ("normalise", udfs::normal::normalise),
    ("content_hash", |text| udfs::hash::hex(udfs::similar::content_hash(text))),
    ("slack_to_plain", |text| udfs::markup::slack_to_plain(text, &Ids)),
    ("slack_to_markdown", |text| udfs::markup::slack_to_markdown(text, &Ids)),
    ("markdown_to_plain", udfs::markup::markdown_to_plain),
    ("markdown_to_slack", udfs::markup::markdown_to_slack),
];

/// Gives a session its functions.
pub fn register(state: &mut SessionState) -> Result<()> {
    datafusion_functions_json::register_all(state)?;
    for (name, plain) in OF_TEXT {
        state.register_udf(Arc::new(of_text(name, *plain)))?;
    }
    for function in [mentions(), windows::tumble(), windows::hop()] {
        state.register_udf(Arc::new(function))?;
    }
    take_away(state)
}

/// Takes away what must not be called.
pub fn take_away(state: &mut SessionState) -> Result<()> {
    for name in TAKEN_AWAY {
        state.deregister_udf(name)?;
    }
    Ok(())
}

fn of_text(name: &str, plain: OfText) -> ScalarUDF {
    let run = move |arguments: &[ColumnarValue]| {
        on_texts(arguments, |texts| {
            let mut built = StringBuilder::new();
            texts.for_each(|text| built.append_option(text.map(plain)));
            Arc::new(built.finish())
        })
    };
    create_udf(name, vec![DataType::Utf8], DataType::Utf8, Volatility::Immutable, Arc::new(run))
}

/// The names that a text calls.
fn mentions() -> ScalarUDF {
    let run = |arguments: &[ColumnarValue]| {
        on_texts(arguments, |texts| {
            let mut built = ListBuilder::new(StringBuilder::new());
            for text in texts {
                for name in text.into_iter().flat_map(udfs::mentions::mentions) {
                    built.values().append_value(name);
                }
                built.append(text.is_some());
            }
            Arc::new(built.finish())
        })
    };
    let names = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    create_udf("mentions", vec![DataType::Utf8], names, Volatility::Immutable, Arc::new(run))
}

fn on_texts(
    arguments: &[ColumnarValue],
    make: impl FnOnce(&mut dyn Iterator<Item = Option<&str>>) -> ArrayRef,
) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(arguments)?;
    let texts = as_string_array(&arrays[0])?;
    Ok(ColumnarValue::Array(make(&mut texts.iter())))
}

#[cfg(test)]
mod tests {
    use datafusion::{
        arrow::array::{Array, AsArray},
        prelude::SessionContext,
    };

    use super::*;

    async fn called(call: &str) -> ArrayRef {
        let mut state = SessionContext::new().state();
        register(&mut state).expect("functions");
        let session = SessionContext::new_with_state(state);
        let batches = session.sql(&format!("SELECT {call}")).await.expect(call).collect().await.expect(call);
        Arc::clone(batches[0].column(0))
    }

    #[tokio::test]
    async fn each_function_is_the_plain_one() {
        let said = "<@U1> please *look* at https://example.com, @AI_Squad  and @Bob";
        for (name, plain) in OF_TEXT {
            let array = called(&format!("{name}('{said}')")).await;
            assert_eq!(array.as_string::<i32>().value(0), plain(said), "{name}");
            assert!(called(&format!("{name}(NULL)")).await.is_null(0), "{name}");
        }
        let array = called(&format!("mentions('{said}')")).await;
        let names = array.as_list::<i32>().value(0);
        let names: Vec<_> = names.as_string::<i32>().iter().flatten().collect();
        assert_eq!(names, udfs::mentions::mentions(said));
        assert!(!names.is_empty());
    }

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
