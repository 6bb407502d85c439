/*
[dependencies]
nexus-udfs = { path = "../.." }
*/
//! The key of a row that a query writes: of what rule, about whom, at what time.
//! A row that is written twice has it twice.

use arroyo_udf_plugin::udf;

#[udf]
fn row_key(rule: &str, subject: &str, at: &str) -> String {
    udfs::hash::hex(udfs::keys::row_key(rule, subject, at))
}
