/*
[dependencies]
nexus-udfs = { path = "../.." }
*/
//! A number that is near for texts that say nearly the same; its 64 bits as a
//! BIGINT, for `simhash_distance` and `simhash_nearest`.

use arroyo_udf_plugin::udf;

#[udf]
fn simhash(text: &str) -> i64 {
    udfs::similar::likeness(text).simhash.cast_signed()
}
