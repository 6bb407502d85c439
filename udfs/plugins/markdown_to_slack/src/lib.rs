/*
[dependencies]
nexus-udfs = { path = "../.." }
*/
//! Markdown as Slack's mrkdwn. Nothing in it becomes a mention or a command.

use arroyo_udf_plugin::udf;

#[udf]
fn markdown_to_slack(text: &str) -> String {
    udfs::markup::markdown_to_slack(text)
}
