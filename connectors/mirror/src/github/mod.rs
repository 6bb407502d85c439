//! GitHub: comments of issues and pull requests, and whether they are closed.

pub(super) mod find;
pub(super) mod status;
pub(super) mod write;

use super::line::Halt;

/// A repository's parts, each of which is one part of an address.
fn split(repository: &str) -> Result<(&str, &str), Halt> {
    repository
        .split_once('/')
        .ok_or_else(|| Halt::Refused { code: "refused", detail: "a repository is written as owner/name".to_owned() })
}
