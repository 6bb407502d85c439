//! One stage a file, in the order of the flow.

pub mod deduplicate;
pub mod enrich;
pub mod lookup;
pub mod mirror;
pub mod publish;
pub mod remember;
pub mod route;
pub mod track;
