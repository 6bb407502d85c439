/*
[dependencies]
nexus-udfs = { path = "../.." }
*/
//! In how many of the 64 bits two hashes differ: 0 says the same, 32 is chance.

use arroyo_udf_plugin::udf;

#[udf]
fn simhash_distance(one: i64, other: i64) -> i32 {
    udfs::similar::distance(one.cast_unsigned(), other.cast_unsigned()).cast_signed()
}
