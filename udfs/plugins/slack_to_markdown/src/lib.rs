/*
[dependencies]
nexus-udfs = { path = "../.." }
*/
//! Slack's mrkdwn as Markdown.

use arroyo_udf_plugin::udf;

#[udf]
fn slack_to_markdown(text: &str) -> String {
    udfs::markup::slack_to_markdown(text, &udfs::markup::Ids)
}
