/*
[dependencies]
nexus-udfs = { path = "../.." }
*/
//! An aggregate: how near the two hashes are that are most alike. NULL of fewer
//! than two.

use arroyo_udf_plugin::udf;

#[udf]
fn simhash_nearest(simhashes: Vec<i64>) -> Option<i32> {
    let simhashes: Vec<u64> = simhashes.into_iter().map(i64::cast_unsigned).collect();
    udfs::similar::nearest(&simhashes).map(u32::cast_signed)
}
