//! Streams on Arroyo: the files of `sql/streams` as its planner would read them,
//! `deploy/arroyo/submit` at an API that answers as Arroyo's does, and the windows
//! of the pipeline's own operators beside those of the real engine.

mod dialect;
mod fake;
mod normalised;
pub mod parity;
mod streams;
mod submit;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// A file or folder of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The streams of the repository, by name.
fn streams_of_the_repository() -> BTreeMap<String, String> {
    let folder = std::fs::read_dir(repository("sql/streams")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "sql"));
    let named = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    let streams: BTreeMap<_, _> = paths.map(named).collect();
    assert_eq!(streams.len(), 7, "{:?}", streams.keys());
    streams
}
