/*
[dependencies]
nexus-udfs = { path = "../.." }
*/
//! Markdown as plain text.

use arroyo_udf_plugin::udf;

#[udf]
fn markdown_to_plain(text: &str) -> String {
    udfs::markup::markdown_to_plain(text)
}
