/*
[dependencies]
nexus-udfs = { path = "../.." }
*/
//! A comment of ClickUp's as plain text; NULL if it is no JSON.

use arroyo_udf_plugin::udf;

#[udf]
fn clickup_to_plain(json: &str) -> Option<String> {
    udfs::json::read(json).map(|document| udfs::markup::clickup_comment_to_plain(&document))
}
