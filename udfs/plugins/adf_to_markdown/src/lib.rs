/*
[dependencies]
nexus-udfs = { path = "../.." }
*/
//! A document of Jira's (ADF) as Markdown; NULL if it is no JSON.

use arroyo_udf_plugin::udf;

#[udf]
fn adf_to_markdown(json: &str) -> Option<String> {
    udfs::json::read(json).map(|document| udfs::markup::adf_to_markdown(&document))
}
