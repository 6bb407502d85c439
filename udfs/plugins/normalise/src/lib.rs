/*
[dependencies]
nexus-udfs = { path = "../.." }
*/
//! The words of a text, without how it is written: what differs only in a
//! number, an id, in case or in punctuation becomes one.

use arroyo_udf_plugin::udf;

#[udf]
fn normalise(text: &str) -> String {
    udfs::normal::normalise(text)
}
