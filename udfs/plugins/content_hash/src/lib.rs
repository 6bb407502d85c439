/*
[dependencies]
nexus-udfs = { path = "../.." }
*/
//! Names a text, whatever its white space: equal names, equal texts.

use arroyo_udf_plugin::udf;

#[udf]
fn content_hash(text: &str) -> String {
    udfs::hash::hex(udfs::similar::content_hash(text))
}
