//! What the operating system lets this process do.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many files and sockets may be open at the same time.
pub fn open_files_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Raises that to what the system allows without asking anybody.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}
