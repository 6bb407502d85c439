/*
[dependencies]
nexus-udfs = { path = "../.." }
*/
//! The key of a thread, of 32 hex digits.

use arroyo_udf_plugin::udf;

#[udf]
fn thread_key(tenant: &str, channel: &str, thread_ts: &str) -> String {
    udfs::hash::hex(udfs::keys::thread_key(tenant, channel, thread_ts))
}
