//! Every plugin, loaded and called as Arroyo loads and calls it, answers what
//! the plain function answers. Builds nothing: `cargo build` goes before.

// A test that unwraps fails where it should.
#![allow(clippy::unwrap_used)]

mod inputs;
mod list;
mod plugin;

use std::{collections::BTreeSet, path::PathBuf};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use list::{Datum, Kind, Plain, Wrapped};
use plugin::Plugin;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The plugin answers a batch as the plain function does, row by row; also
/// where the batch is a part of a larger one, as those of a stream often are.
fn answers_alike(plugin: &Plugin, plain: &Plain, rows: &[Vec<Datum>]) {
    let expected = match plain {
        Plain::AllNumbers(_) => vec![plain.on_all(rows)],
        _ => rows.iter().map(|row| plain.on(row)).collect(),
    };
    assert_eq!(plugin.run(plain.takes(), rows, 0), expected, "{}", plugin.name);
    assert_eq!(plugin.run(plain.takes(), rows, 2), expected, "{}, a part of a batch", plugin.name);
}

#[test]
fn the_list_is_the_folder() {
    let listed: BTreeSet<String> = list::all().iter().map(|wrapped| wrapped.name.to_owned()).collect();
    let folders = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let found: BTreeSet<String> = folders
        .filter(|path| path.join("src/lib.rs").exists())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(found, listed, "the folders, and the list of this test");
    let manifest = std::fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    for name in listed {
        assert!(manifest.contains(&format!("    \"{name}\",\n")), "{name} is no member of the workspace");
        assert!(readme.contains(&format!("| `{name}(")), "README.md does not tell of {name}");
    }
}

/// What Arroyo's API checks before it compiles, and that it compiles with what
/// the plugin is built with here.
#[test]
fn each_file_is_a_definition() {
    for Wrapped { name, plain, .. } in list::all() {
        let text = std::fs::read_to_string(folder().join(name).join("src/lib.rs")).unwrap();
        let (dependencies, code) = text.strip_prefix("/*\n[dependencies]\n").unwrap().split_once("*/\n").unwrap();
        assert!(!code.contains("[dependencies]"), "{name} has its dependencies twice");
        assert_eq!(dependencies, "nexus-udfs = { path = \"../..\" }\n", "{name}");
        let manifest = std::fs::read_to_string(folder().join(name).join("Cargo.toml")).unwrap();
        let built_with = manifest.split("[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
        assert_eq!(built_with, format!("arroyo-udf-plugin.workspace = true\n{dependencies}"), "{name}");

        let definition = plugin::definition(&text);
        assert_eq!(definition.name, name);
        assert!(!definition.udf_type.is_async(), "{name}");
        assert_eq!(definition.vec_arguments, usize::from(matches!(plain, Plain::AllNumbers(_))), "{name}");
        let takes: Vec<_> = definition.args.iter().map(plugin::kind_of).collect();
        assert_eq!(takes, plain.takes(), "{name}");
    }
}

#[test]
fn each_answers_as_the_list_says() {
    for Wrapped { name, plain, example } in list::all() {
        let (given, answer) = example;
        let plugin = Plugin::load(&folder(), name);
        assert_eq!(plugin.run(plain.takes(), &given, 0), [answer], "{name}");
        answers_alike(&plugin, &plain, &given);
    }
}

#[test]
fn each_answers_what_is_hard_to_read() {
    for Wrapped { name, plain, .. } in list::all() {
        let plugin = Plugin::load(&folder(), name);
        let rows = inputs::hard(plain.takes());
        assert!(rows.len() > 10 && rows.iter().any(|row| row.contains(&Datum::Null)));
        answers_alike(&plugin, &plain, &rows);
        for row in rows {
            answers_alike(&plugin, &plain, &[row]);
        }
        answers_alike(&plugin, &plain, &[]);
    }
}

#[test]
fn each_answers_any_batch() {
    for Wrapped { name, plain, .. } in list::all() {
        let plugin = Plugin::load(&folder(), name);
        let batches = prop::collection::vec(inputs::row(plain.takes()), 0..12);
        let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
        let alike = |rows: Vec<Vec<Datum>>| {
            answers_alike(&plugin, &plain, &rows);
            Ok(())
        };
        runner.run(&batches, alike).unwrap();
    }
}

/// Arroyo calls a plugin from as many threads as a pipeline has subtasks.
#[test]
fn several_threads_are_answered() {
    for Wrapped { name, plain, .. } in list::all() {
        let plugin = Plugin::load(&folder(), name);
        let rows = inputs::hard(plain.takes());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| answers_alike(&plugin, &plain, &rows));
            }
        });
    }
}

/// The tests above would see it if a plugin were another function's.
#[test]
fn another_plugin_answers_otherwise() {
    let rows = inputs::hard(&[Kind::Text]);
    let run = |name| Plugin::load(&folder(), name).run(&[Kind::Text], &rows, 0);
    let texts: Vec<_> = list::all().into_iter().filter(|wrapped| matches!(wrapped.plain, Plain::Text(_))).collect();
    for (at, one) in texts.iter().enumerate() {
        for other in &texts[..at] {
            assert_ne!(run(one.name), run(other.name), "{} and {}", one.name, other.name);
        }
    }
}
