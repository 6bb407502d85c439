/*
[dependencies]
nexus-udfs = { path = "../.." }
*/
//! The pieces of a text, each of so many bytes at most, as a JSON array.

use arroyo_udf_plugin::udf;

#[udf]
fn chunks(text: &str, bytes_max: i64) -> String {
    let bytes_max = usize::try_from(bytes_max.max(0)).unwrap_or(usize::MAX);
    udfs::json::texts(&udfs::recall::chunk::chunks(text, bytes_max))
}
