//! A built plugin, loaded: what Arroyo's host does with it.

use std::{
    env::consts::{DLL_PREFIX, DLL_SUFFIX},
    path::Path,
    sync::Arc,
};

use arroyo_udf_common::{
    FfiArraySchema, FfiArrays, RunResult,
    parse::{NullableType, ParsedUdf, inner_type},
};
use arroyo_udf_plugin::arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, StringArray, make_array},
    datatypes::{DataType, Int32Type, Int64Type},
    ffi::from_ffi,
};
use libloading::Library;

use super::list::{Datum, Kind};

/// What a sync function or an aggregate exports, under the name `__run`.
type Run = unsafe extern "C-unwind" fn(FfiArrays) -> RunResult;

/// The one function of a file that is marked as the plugin's, as Arroyo's
/// macro and planner read it.
pub fn definition(text: &str) -> ParsedUdf {
    let file = syn::parse_file(text).unwrap();
    let is_marked =
        |attribute: &syn::Attribute| attribute.path().segments.last().is_some_and(|last| last.ident == "udf");
    let mut marked = file.items.iter().filter_map(|item| match item {
        syn::Item::Fn(function) if function.attrs.iter().any(is_marked) => Some(function),
        _ => None,
    });
    let found = ParsedUdf::try_parse(marked.next().unwrap()).unwrap();
    assert!(marked.next().is_none(), "{} is not the only function", found.name);
    found
}

/// An argument's kind. No plugin takes what may be NULL.
pub fn kind_of(argument: &NullableType) -> Kind {
    assert!(!argument.nullable);
    match inner_type(&argument.data_type).unwrap_or(argument.data_type.clone()) {
        DataType::Utf8 => Kind::Text,
        DataType::Int64 => Kind::Number,
        other => panic!("no plugin takes {other}"),
    }
}

pub struct Plugin {
    pub name: &'static str,
    gives: DataType,
    run: Run,
    /// As long as the function may be called.
    _library: Library,
}

impl Plugin {
    pub fn load(folder: &Path, name: &'static str) -> Plugin {
        let source = folder.join(name).join("src/lib.rs");
        // The test is in `target/PROFILE/deps`, what was built to be used above.
        let test = std::env::current_exe().unwrap();
        let built = test.parent().unwrap().with_file_name(format!("{DLL_PREFIX}{name}{DLL_SUFFIX}"));
        let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
        let at =
            changed(&built).unwrap_or_else(|error| panic!("{}: {error}; cargo build goes before", built.display()));
        assert!(
            changed(&source).unwrap() <= at,
            "{} is older than its source; cargo build goes before",
            built.display()
        );
        // SAFETY: the library is the plugin that this workspace built, which
        // does nothing when it is loaded, and its macro gives `__run` this type.
        let (library, run) = unsafe {
            let library = Library::new(&built).unwrap();
            let run = *library.get::<Run>(b"__run").unwrap();
            (library, run)
        };
        let gives = definition(&std::fs::read_to_string(source).unwrap()).ret_type.data_type;
        Plugin { name, gives, run, _library: library }
    }

    /// The answers to a batch that begins at a row of a larger one.
    pub fn run(&self, takes: &[Kind], rows: &[Vec<Datum>], begins_at: usize) -> Vec<Datum> {
        let columns = takes.iter().enumerate().map(|(at, kind)| column(*kind, at, rows, begins_at).to_data()).collect();
        // SAFETY: the arguments are of the types that the plugin takes (a test
        // compares them), and it frees them; the answer is an array of Arrow's.
        let answer = unsafe {
            match (self.run)(FfiArrays::from_vec(columns)) {
                RunResult::Ok(FfiArraySchema(array, schema)) => make_array(from_ffi(array, &schema).unwrap()),
                RunResult::Err => panic!("{} panicked", self.name),
            }
        };
        assert_eq!(*answer.data_type(), self.gives, "{}", self.name);
        data(&answer)
    }
}

/// A column of the rows; what lies before it is not to be read.
fn column(kind: Kind, at: usize, rows: &[Vec<Datum>], begins_at: usize) -> ArrayRef {
    let text = |datum: &Datum| if let Datum::Text(text) = datum { Some(text.clone()) } else { None };
    let number = |datum: &Datum| if let Datum::Number(number) = datum { Some(*number) } else { None };
    let column = rows.iter().map(|row| &row[at]);
    let whole: ArrayRef = match kind {
        Kind::Text => {
            let before = (0..begins_at).map(|_| Some("before".to_owned()));
            Arc::new(before.chain(column.map(text)).collect::<StringArray>())
        }
        Kind::Number => Arc::new((0..begins_at).map(|_| Some(7)).chain(column.map(number)).collect::<Int64Array>()),
    };
    whole.slice(begins_at, rows.len())
}

fn data(array: &ArrayRef) -> Vec<Datum> {
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().map(Datum::from).collect(),
        DataType::Int32 => array.as_primitive::<Int32Type>().iter().map(|value| value.map(i64::from).into()).collect(),
        DataType::Int64 => array.as_primitive::<Int64Type>().iter().map(Datum::from).collect(),
        other => panic!("no plugin gives {other}"),
    }
}
