/*
[dependencies]
nexus-udfs = { path = "../.." }
*/
//! Slack's mrkdwn as plain text.

use arroyo_udf_plugin::udf;

#[udf]
fn slack_to_plain(text: &str) -> String {
    udfs::markup::slack_to_plain(text, &udfs::markup::Ids)
}
