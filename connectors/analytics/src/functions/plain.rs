//! The plain functions of `udfs`, each by its own name. What is null in gives
//! null.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, Int32Array, Int64Array, ListBuilder, StringArray, StringBuilder},
        datatypes::{DataType, Field},
    },
    common::{
        ScalarValue,
        cast::{as_int64_array, as_list_array, as_string_array},
    },
    error::Result,
    logical_expr::{
        Accumulator, AggregateUDF, ColumnarValue, ScalarUDF, Volatility, create_udaf, create_udf,
        function::AccumulatorArgs,
    },
};
use udfs::{
    hash, json, keys, markup,
    markup::Ids,
    mentions, normal,
    recall::chunk,
    similar::{self, NEAREST_HASHES_MAX},
};

type OfText = fn(&str) -> Option<String>;
type OfTexts = fn(&str, &str, &str) -> String;

/// What takes a text and gives one; null where the text is not what it is to be.
const OF_TEXT: &[(&str, OfText)] = &[
    ("adf_to_markdown", |text| json::read(text).map(|document| markup::adf_to_markdown(&document))),
    ("adf_to_plain", |text| json::read(text).map(|document| markup::adf_to_plain(&document))),
    ("clickup_to_plain", |text| json::read(text).map(|document| markup::clickup_comment_to_plain(&document))),
    ("content_hash", |text| Some(hash::hex(similar::content_hash(text)))),
    ("markdown_to_plain", |text| Some(markup::markdown_to_plain(text))),
    ("markdown_to_slack", |text| Some(markup::markdown_to_slack(text))),
    ("neutralise", |text| Some(markup::neutralise(text).into_owned())),
    ("normalise", |text| Some(normal::normalise(text))),
    ("slack_to_markdown", |text| Some(markup::slack_to_markdown(text, &Ids))),
    ("slack_to_plain", |text| Some(markup::slack_to_plain(text, &Ids))),
];

/// What takes three texts and gives one.
const OF_TEXTS: &[(&str, OfTexts)] = &[
    ("row_key", |rule, subject, at| hash::hex(keys::row_key(rule, subject, at))),
    ("thread_key", |tenant, channel, thread_ts| hash::hex(keys::thread_key(tenant, channel, thread_ts))),
];

/// All of them that work on a row.
pub fn all() -> impl Iterator<Item = ScalarUDF> {
    let of_text = OF_TEXT.iter().map(|(name, plain)| of_text(name, *plain));
    let of_texts = OF_TEXTS.iter().map(|(name, plain)| of_texts(name, *plain));
    of_text.chain(of_texts).chain([mentioned(), chunks(), simhash(), simhash_distance()])
}

fn of_text(name: &str, plain: OfText) -> ScalarUDF {
    function(name, vec![DataType::Utf8], DataType::Utf8, move |given| {
        let texts = as_string_array(&given[0])?.iter();
        Ok(Arc::new(texts.map(|text| text.and_then(plain)).collect::<StringArray>()))
    })
}

fn of_texts(name: &str, plain: OfTexts) -> ScalarUDF {
    function(name, vec![DataType::Utf8; 3], DataType::Utf8, move |given| {
        let (first, second, third) =
            (as_string_array(&given[0])?, as_string_array(&given[1])?, as_string_array(&given[2])?);
        let rows = first.iter().zip(second).zip(third);
        let made = rows.map(|((first, second), third)| Some(plain(first?, second?, third?)));
        Ok(Arc::new(made.collect::<StringArray>()))
    })
}

/// The names that a text calls.
fn mentioned() -> ScalarUDF {
    function("mentions", vec![DataType::Utf8], list_of(DataType::Utf8), |given| {
        Ok(lists(as_string_array(&given[0])?.iter().map(|text| Some(mentions::mentions(text?)))))
    })
}

/// A text in parts of so many bytes, at most.
fn chunks() -> ScalarUDF {
    function("chunks", vec![DataType::Utf8, DataType::Int64], list_of(DataType::Utf8), |given| {
        let rows = as_string_array(&given[0])?.iter().zip(as_int64_array(&given[1])?);
        Ok(lists(rows.map(|(text, bytes_max)| {
            let bytes_max = usize::try_from(bytes_max?.max(0)).unwrap_or(usize::MAX);
            Some(chunk::chunks(text?, bytes_max))
        })))
    })
}

/// What texts that are alike have nearly in common.
fn simhash() -> ScalarUDF {
    function("simhash", vec![DataType::Utf8], DataType::Int64, |given| {
        let texts = as_string_array(&given[0])?.iter();
        let made = texts.map(|text| Some(similar::likeness(text?).simhash.cast_signed()));
        Ok(Arc::new(made.collect::<Int64Array>()))
    })
}

fn simhash_distance() -> ScalarUDF {
    function("simhash_distance", vec![DataType::Int64; 2], DataType::Int32, |given| {
        let rows = as_int64_array(&given[0])?.iter().zip(as_int64_array(&given[1])?);
        let made = rows
            .map(|(one, other)| Some(similar::distance(one?.cast_unsigned(), other?.cast_unsigned()).cast_signed()));
        Ok(Arc::new(made.collect::<Int32Array>()))
    })
}

/// An aggregate: how far the two are from each other that are nearest; null
/// where there are no two.
pub fn simhash_nearest() -> AggregateUDF {
    let state = Arc::new(vec![list_of(DataType::Int64)]);
    let begin = Arc::new(|_: AccumulatorArgs<'_>| Ok(Box::new(Nearest::default()) as Box<dyn Accumulator>));
    let (takes, gives) = (vec![DataType::Int64], Arc::new(DataType::Int32));
    create_udaf("simhash_nearest", takes, gives, Volatility::Immutable, begin, state)
}

/// As many hashes as are compared.
#[derive(Debug, Default)]
struct Nearest(Vec<u64>);

impl Accumulator for Nearest {
    fn update_batch(&mut self, given: &[ArrayRef]) -> Result<()> {
        let room = NEAREST_HASHES_MAX.saturating_sub(self.0.len());
        self.0.extend(as_int64_array(&given[0])?.iter().flatten().take(room).map(i64::cast_unsigned));
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int32(similar::nearest(&self.0).map(u32::cast_signed)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.capacity() * size_of::<u64>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let hashes: Vec<ScalarValue> = self.0.iter().map(|hash| ScalarValue::from(hash.cast_signed())).collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&hashes, &DataType::Int64))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        as_list_array(&states[0])?.iter().flatten().try_for_each(|hashes| self.update_batch(&[hashes]))
    }
}

fn lists<T: AsRef<str>>(rows: impl Iterator<Item = Option<Vec<T>>>) -> ArrayRef {
    let mut built = ListBuilder::new(StringBuilder::new());
    for row in rows {
        for text in row.iter().flatten() {
            built.values().append_value(text);
        }
        built.append(row.is_some());
    }
    Arc::new(built.finish())
}

fn list_of(member: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(member, true)))
}

fn function(
    name: &str,
    takes: Vec<DataType>,
    gives: DataType,
    run: impl Fn(&[ArrayRef]) -> Result<ArrayRef> + Send + Sync + 'static,
) -> ScalarUDF {
    let run = move |given: &[ColumnarValue]| Ok(ColumnarValue::Array(run(&ColumnarValue::values_to_arrays(given)?)?));
    create_udf(name, takes, gives, Volatility::Immutable, Arc::new(run))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use datafusion::{arrow::array::AsArray, execution::FunctionRegistry, prelude::SessionContext};

    use super::*;

    async fn called(call: &str) -> ScalarValue {
        let mut state = SessionContext::new().state();
        for function in all() {
            state.register_udf(Arc::new(function)).expect("a name of its own");
        }
        state.register_udaf(Arc::new(simhash_nearest())).expect("a name of its own");
        let session = SessionContext::new_with_state(state);
        let batches = session.sql(&format!("SELECT {call}")).await.expect(call).collect().await.expect(call);
        ScalarValue::try_from_array(batches[0].column(0), 0).expect(call)
    }

    async fn texts(call: &str) -> Vec<String> {
        let ScalarValue::List(list) = called(call).await else { panic!("{call} is no list") };
        list.value(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn each_function_of_texts_is_the_plain_one() {
        let said = "<@U1> please *look* at https://example.com, @AI_Squad  and @Bob";
        let adf = r#"{"type":"doc","content":[{"type":"paragraph","content":[{"type":"text","text":"so"}]}]}"#;
        let mut told = 0;
        for (name, plain) in OF_TEXT {
            for text in [said, adf] {
                assert_eq!(called(&format!("{name}('{text}')")).await, ScalarValue::Utf8(plain(text)), "{name}");
                told += usize::from(plain(text).is_some());
            }
            assert_eq!(called(&format!("{name}(NULL)")).await, ScalarValue::Utf8(None), "{name}");
        }
        assert!(told > OF_TEXT.len(), "{told} answers");
        for (name, plain) in OF_TEXTS {
            let made = called(&format!("{name}('a', 'b', 'c')")).await;
            assert_eq!(made, ScalarValue::from(plain("a", "b", "c")), "{name}");
            assert_eq!(called(&format!("{name}('a', NULL, 'c')")).await, ScalarValue::Utf8(None), "{name}");
        }
        let names = mentions::mentions(said);
        assert!(!names.is_empty());
        assert_eq!(texts(&format!("mentions('{said}')")).await, names);
        assert_eq!(texts(&format!("chunks('{said}', 20)")).await, chunk::chunks(said, 20));
        assert!(called("mentions(NULL)").await.is_null());
    }

    #[test]
    fn what_the_streams_can_call_can_be_called_here() {
        let plugins = concat!(env!("CARGO_MANIFEST_DIR"), "/../../udfs/plugins");
        let folders = std::fs::read_dir(plugins).expect(plugins).flatten();
        let plugins = folders.filter(|folder| folder.path().join("src/lib.rs").exists());
        let there: BTreeSet<_> =
            plugins.filter_map(|folder| folder.file_name().into_string().ok()).filter(|name| name != "tests").collect();
        let here = all().map(|function| function.name().to_owned()).chain([simhash_nearest().name().to_owned()]);
        let here: BTreeSet<_> = here.collect();
        assert_eq!(there, here);
    }

    #[tokio::test]
    async fn each_function_of_likeness_is_the_plain_one() {
        let hash = |text: &str| similar::likeness(text).simhash.cast_signed();
        let [one, other] = ["the ship is late again", "the ship was late again"].map(hash);
        assert_eq!(called("simhash('the ship is late again')").await, ScalarValue::from(one));
        let distance = similar::distance(one.cast_unsigned(), other.cast_unsigned()).cast_signed();
        let between = called(&format!("simhash_distance({one}, {other})")).await;
        assert_eq!(between, ScalarValue::from(distance));
        let nearest = called(&format!("simhash_nearest(hash) FROM (VALUES ({one}), ({other})) AS said (hash)")).await;
        assert_eq!(nearest, ScalarValue::from(distance));
        assert!(called(&format!("simhash_nearest(hash) FROM (VALUES ({one})) AS said (hash)")).await.is_null());
    }
}
