/*
[dependencies]
nexus-udfs = { path = "../.." }
*/
//! The names that a text calls, as a JSON array: a function here returns no list.

use arroyo_udf_plugin::udf;

#[udf]
fn mentions(text: &str) -> String {
    udfs::json::texts(&udfs::mentions::mentions(text))
}
