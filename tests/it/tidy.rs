//! The rules of the house, read from the manifests and the sources.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("target") && !path.ends_with("plugins") {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    assert!(!found.is_empty(), "{folder} has sources");
    found
}

fn dependencies(manifest: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(manifest)).unwrap();
    let table: toml::Table = text.parse().unwrap();
    table["dependencies"].as_table().unwrap().keys().cloned().collect()
}

/// The code of a file: up to its tests, without comments.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The crates, lowest first, and their folders. A crate names only those above
/// it in this list.
const LAYERS: &[(&str, &str)] = &[
    ("udfs", "udfs"),
    ("pipeline", "pipeline"),
    ("runtime", "connectors/runtime"),
    ("log", "connectors/log"),
    ("store", "connectors/store"),
    ("providers", "connectors/providers"),
    ("ingest", "connectors/ingest"),
    ("lookups", "connectors/lookups"),
    ("connections", "connectors/connections"),
    ("mirror", "connectors/mirror"),
    ("gateway", "connectors/gateway"),
    ("memory", "connectors/memory"),
    ("alerts", "connectors/alerts"),
    ("api", "connectors/api"),
    ("analytics", "connectors/analytics"),
    ("fakes", "connectors/fakes"),
    ("hub", "connectors/hub"),
];

#[test]
fn dependence_goes_one_way() {
    for (place, (name, folder)) in LAYERS.iter().enumerate() {
        let below: Vec<_> = LAYERS[..place].iter().map(|(name, _)| *name).collect();
        for dependency in dependencies(&format!("{folder}/Cargo.toml")) {
            let is_own = LAYERS.iter().any(|(own, _)| *own == dependency);
            assert!(!is_own || below.contains(&&*dependency), "{name} depends on {dependency}, which is not below it");
        }
    }
    let listed: Vec<_> = LAYERS.iter().filter_map(|(_, folder)| folder.strip_prefix("connectors/")).collect();
    for entry in std::fs::read_dir(root().join("connectors")).unwrap() {
        let entry = entry.unwrap();
        if !entry.path().join("Cargo.toml").exists() {
            continue;
        }
        let folder = entry.file_name().into_string().unwrap();
        assert!(listed.contains(&&*folder), "connectors/{folder} is in no layer");
    }
}

#[test]
fn the_pipeline_knows_no_runtime_and_no_world() {
    let worldly = [
        "tokio",
        "axum",
        "hyper",
        "rdkafka",
        "sqlx",
        "reqwest",
        "qdrant",
        "async-openai",
        "getrandom",
        "rand",
        "chrono",
        "arrow",
    ];
    for manifest in ["udfs/Cargo.toml", "pipeline/Cargo.toml"] {
        for name in dependencies(manifest) {
            assert!(!worldly.iter().any(|worldly| name.starts_with(worldly)), "{manifest} depends on {name}");
        }
    }
    for folder in ["udfs/src", "pipeline/src"] {
        for (path, text) in sources(folder)
            .into_iter()
            .filter(|(path, _)| !path.ends_with("tests.rs") && !path.to_string_lossy().contains("testing"))
        {
            for word in ["SystemTime::now", "Instant::now", "std::fs::", "std::net::", "thread::sleep", "std::env::"] {
                assert!(!code(&text).contains(word), "{} names {word}", path.display());
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for folder in ["udfs", "pipeline", "connectors", "deploy", "tests", "benches"] {
        for (path, text) in sources(folder) {
            assert!(text.starts_with("//!"), "{} does not open with //!", path.display());
        }
    }
}

#[test]
fn no_file_is_a_drawer() {
    for folder in ["udfs/src", "pipeline/src", "connectors", "deploy"] {
        for (path, text) in sources(folder) {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(
                !["utils", "util", "helpers", "common", "manager", "misc"].contains(&name.as_str()),
                "{}",
                path.display()
            );
            let lines = text.lines().count();
            assert!(lines <= 600, "{} has {lines} lines: does it hold one idea?", path.display());
        }
    }
}

#[test]
fn panics_are_rare_and_said() {
    let mut expects: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for folder in ["udfs/src", "pipeline/src", "connectors", "deploy"] {
        for (path, text) in sources(folder) {
            if path.components().any(|part| part.as_os_str() == "testing" || part.as_os_str() == "tests.rs") {
                continue;
            }
            let code = code(&text);
            assert!(!code.contains(".unwrap()"), "{} unwraps", path.display());
            let count = code.matches(".expect(").count();
            if count > 0 {
                expects.insert(path, count);
            }
        }
    }
    assert!(expects.values().sum::<usize>() <= 20, "{expects:#?}");
}

/// Where `unsafe` may stand, and why each may is said there.
const UNSAFE: &[&str] = &["connectors/memory/src/embed/minilm/product.rs"];

#[test]
fn unsafe_stands_only_in_named_modules() {
    for folder in ["udfs/src", "pipeline/src", "connectors", "deploy"] {
        for (path, text) in sources(folder) {
            let named = UNSAFE.iter().any(|name| path.ends_with(name));
            assert!(named || !code(&text).contains("unsafe "), "{}", path.display());
        }
    }
}

#[test]
fn every_topic_and_every_role_is_in_the_documentation() {
    let architecture = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for spec in pipeline::topics::TOPICS {
        assert!(architecture.contains(&format!("`{}`", spec.name)), "ARCHITECTURE.md does not name {}", spec.name);
    }
    for (name, ..) in hub::roles::ROLES {
        assert!(architecture.contains(&format!("`{name}`")), "ARCHITECTURE.md does not name the role {name}");
    }
}

/// Files that may ask which provider they have, and why.
const ASKS_WHICH_PROVIDER: &[(&str, &str)] = &[];

/// Whether a line of code asks which provider it has.
fn asks_which_provider(line: &str) -> bool {
    let matches_it = line.split_once("match ").is_some_and(|(_, rest)| {
        let scrutinee = rest.split(" {").next().unwrap_or_default().trim();
        let bare = ["as_str()", "as_ref()", "as_deref()", "name()", "name"]
            .iter()
            .fold(scrutinee, |text, call| text.strip_suffix(call).unwrap_or(text).trim_end_matches('.'));
        bare.trim_end_matches("()").ends_with("provider")
    });
    matches_it
        || providers::PROVIDERS.iter().any(|provider| {
            let (name, label) = (provider.name(), provider.label());
            // The enum of places writes the names with one capital.
            let variant = name[..1].to_uppercase() + &name[1..];
            [
                format!("Provider::{label}"),
                format!("MirrorPlace::{variant}"),
                format!("\"{name}\" =>"),
                format!("\"{name}\" |"),
                format!("| \"{name}\""),
                format!("== \"{name}\""),
                format!("!= \"{name}\""),
            ]
            .iter()
            .any(|pattern| line.contains(pattern.as_str()))
        })
}

#[test]
fn only_the_providers_folders_know_a_provider() {
    let mut asking = BTreeMap::new();
    for (path, text) in sources("connectors") {
        let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let may = ["connectors/providers/", "connectors/fakes/"].iter().any(|folder| path.starts_with(folder))
            || ASKS_WHICH_PROVIDER.iter().any(|(named, _)| *named == path);
        let lines: Vec<_> = code(&text).lines().filter(|line| asks_which_provider(line)).map(str::to_owned).collect();
        if !may && !lines.is_empty() {
            asking.insert(path, lines);
        }
    }
    assert!(asking.is_empty(), "a provider is known outside its folder: {asking:#?}");
    for (path, reason) in ASKS_WHICH_PROVIDER {
        assert!(!reason.is_empty() && root().join(path).exists(), "{path}");
    }
}

#[test]
fn what_knows_a_provider_is_found_by_the_test_above() {
    for line in [
        "match provider {",
        "match way.provider {",
        "match row.provider.as_str() {",
        "        \"slack\" => 1,",
        "if event.source.provider == \"clickup\" {",
        "matches!(provider, \"clickup\" | \"jira\")",
        "Provider::GitHub if true => {}",
        "MirrorPlace::Slack { channel_id, .. } => Some(channel_id),",
    ] {
        assert!(asks_which_provider(line), "{line}");
    }
    for line in ["match self.seen(name_of(provider, delivery)).await {", "let slack = \"slack\";", "match worked {"] {
        assert!(!asks_which_provider(line), "{line}");
    }
}

/// The manual explains each of its settings: by a comment above it in its
/// paragraph, or above its table.
#[test]
fn every_setting_is_explained_in_the_manual() {
    let manual = std::fs::read_to_string(root().join("deploy/default.toml")).unwrap();
    let (mut table, mut is_explained, mut is_table_explained) = (String::new(), false, false);
    let (mut settings, mut unexplained) = (0, Vec::new());
    for line in manual.lines() {
        if line.starts_with('#') {
            is_explained = true;
        } else if line.trim().is_empty() {
            is_explained = false;
        } else if line.starts_with('[') {
            (table, is_table_explained) = (line.to_owned(), is_explained);
            is_explained = false;
        } else if let Some((name, _)) = line.split_once('=') {
            settings += 1;
            if !is_explained && !is_table_explained {
                unexplained.push(format!("{table} {}", name.trim()));
            }
        }
    }
    assert!(settings > 150, "the manual has {settings} settings");
    assert!(unexplained.is_empty(), "{unexplained:#?}");
}
