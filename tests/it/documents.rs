//! What the documents say, held against the repository: paths that they name,
//! their length, the settings of the manual, the routes that are promised.
//!
//! In: the documents, the sources and the list of the API's operations. Out: a
//! failure that names the document and what is wrong in it. Nothing is started.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// The length up to which ARCHITECTURE.md is read from end to end.
const ARCHITECTURE_WORDS_MAX: usize = 1_800;

/// Settings that no code outside the settings themselves reads, with the reason.
const UNREAD_SETTINGS: &[(&str, &str)] = &[];

/// Folders that hold the hub's own code.
const CODE: &[&str] = &["udfs/src", "pipeline/src", "connectors", "deploy"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The files below a folder that end with `ending`, by their path from the root;
/// none if there is no such folder.
fn files(folder: &str, ending: &str) -> Vec<String> {
    fn walk(folder: &Path, ending: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("target") && !path.ends_with("node_modules") {
                    walk(&path, ending, found);
                }
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path.strip_prefix(root()).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), ending, &mut found);
    found.sort();
    found
}

fn documents() -> Vec<String> {
    let fixed = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "sql/README.md", "deploy/default.toml"];
    fixed.into_iter().map(str::to_owned).chain(files("docs", ".md")).collect()
}

/// The prose of a document: Markdown without its fenced blocks, the comments of
/// the manual.
fn prose(name: &str) -> String {
    let text = read(name);
    if name.ends_with(".toml") {
        let comments = text.lines().filter_map(|line| line.strip_prefix('#'));
        return comments.map(|line| format!("{}\n", line.trim())).collect();
    }
    let mut is_code = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}

/// What stands between backticks, which never spans lines.
fn code_spans(prose: &str) -> impl Iterator<Item = &str> {
    prose.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The part of a path before its first placeholder (`NAME`, `*`, `{…}`).
fn literal(path: &str) -> PathBuf {
    let is_placeholder = |part: &str| {
        let stem = part.split(['.', '-']).next().unwrap_or_default();
        part.contains(['*', '{', '<', '…'])
            || stem.len() > 1 && stem.chars().all(|letter| letter.is_ascii_uppercase()) && !is_known_in_capitals(stem)
    };
    path.split('/').take_while(|part| !is_placeholder(part)).collect()
}

fn is_known_in_capitals(stem: &str) -> bool {
    ["README", "ARCHITECTURE", "CONTRIBUTING", "CHANGELOG", "LICENSE", "NOTICE"].contains(&stem)
}

/// Whether a code span is meant as a path in this repository: it begins with an
/// entry of the root, or names a source file.
fn is_path(span: &str, entries: &BTreeSet<String>) -> bool {
    let is_word = !span.is_empty() && !span.contains([' ', ':', '(', '=', '@', '"', '|', ',']);
    if !is_word || span.starts_with(['/', '.', '-', '<']) && !span.starts_with(".ci") && !span.starts_with(".github") {
        return false;
    }
    let first = span.split('/').next().unwrap_or_default();
    let is_below_root = span.contains('/') && entries.contains(first);
    let is_source = [".rs", ".md", ".sql", ".toml", ".sh"].iter().any(|ending| span.ends_with(ending));
    // A user's own settings.
    is_below_root || is_source && span != "nexus.toml"
}

#[test]
fn every_path_that_a_document_names_exists() {
    let mut entries: BTreeSet<String> = std::fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| !matches!(name.as_str(), "target" | "data" | ".git"))
        .collect();
    // Named so that a path below it is found out should it ever go.
    entries.extend(["connectors", "docs", "clients"].map(str::to_owned));
    let mut missing = Vec::new();
    for document in documents() {
        let prose = prose(&document);
        let beside = root().join(&document).parent().unwrap().to_path_buf();
        let mut check = |named: &str| {
            let path = literal(named.trim_end_matches('/'));
            if !root().join(&path).exists() && !beside.join(&path).exists() {
                missing.push(format!("{document}: {named}"));
            }
        };
        code_spans(&prose).filter(|span| is_path(span, &entries)).for_each(&mut check);
        if document.ends_with(".md") {
            let links = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            let own = links.filter(|link| !link.contains("://") && !link.starts_with(['#', '<']));
            own.filter_map(|link| link.split('#').next()).for_each(&mut check);
        }
    }
    assert!(missing.is_empty(), "named, and not there:\n{}", missing.join("\n"));
}

#[test]
fn the_architecture_is_short_enough_to_be_read() {
    let words = read("ARCHITECTURE.md").split_whitespace().count();
    assert!(words <= ARCHITECTURE_WORDS_MAX, "{words} words; what explains a choice belongs into docs/decisions");
}

#[test]
fn every_decision_has_its_parts_and_is_listed() {
    let list = read("docs/decisions/README.md");
    let decisions = files("docs/decisions", ".md");
    assert!(decisions.len() > 1);
    for decision in decisions.iter().filter(|name| !name.ends_with("README.md")) {
        let text = read(decision);
        for part in ["# ", "\nDate: ", "\nStatus: ", "\n## Context\n", "\n## Decision\n", "\n## Consequences\n"] {
            assert!(text.contains(part), "{decision} has no {part:?}");
        }
        let name = decision.rsplit('/').next().unwrap();
        assert!(list.contains(&format!("({name})")), "docs/decisions/README.md does not list {name}");
    }
}

/// Code without comments, tests, and the contents of strings; a field's
/// declaration is no use of it.
fn uses(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut kept = String::new();
    for line in code.lines() {
        let (mut is_string, mut is_escaped) = (false, false);
        let line = line.replace("'\"'", "").replace("'\\\"'", "");
        let mut letters = line.chars().peekable();
        let mut bare = String::new();
        while let Some(letter) = letters.next() {
            match letter {
                _ if is_escaped => is_escaped = false,
                '\\' if is_string => is_escaped = true,
                '"' => is_string = !is_string,
                '/' if !is_string && letters.peek() == Some(&'/') => break,
                _ if !is_string => bare.push(letter),
                _ => {}
            }
        }
        if !bare.trim_start().starts_with("pub ") || bare.contains("fn ") {
            kept.push_str(&bare);
            kept.push('\n');
        }
    }
    kept
}

/// The names of fields that are read: what follows a dot.
fn fields_read() -> BTreeSet<String> {
    let mut read_fields = BTreeSet::new();
    for folder in CODE {
        for file in files(folder, ".rs") {
            // The settings' own code merges, checks and masks; it does not act.
            if file.contains("/config/") || file.contains("/settings/") || file.ends_with("tests.rs") {
                continue;
            }
            for rest in uses(&read(&file)).split('.').skip(1) {
                let name: String =
                    rest.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
                read_fields.insert(name);
            }
        }
    }
    read_fields
}

/// What the providers' folders ask settings for by name: `.get("slack_api_url")`.
fn names_asked() -> BTreeSet<String> {
    let mut asked = BTreeSet::new();
    for file in files("connectors/providers", ".rs") {
        let text = read(&file);
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        for rest in code.split("get(\"").chain(code.split("Some(\"")).skip(1) {
            asked.extend(rest.split_once('"').map(|(name, _)| name.to_owned()));
        }
    }
    asked
}

#[test]
fn every_setting_of_the_manual_is_read() {
    fn keys(table: &toml::Table, path: &str, found: &mut BTreeMap<String, String>) {
        for (name, value) in table {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            if let Some(inner) = value.as_table() {
                keys(inner, &path, found);
            }
            found.insert(path, name.clone());
        }
    }
    let manual: toml::Table = read("deploy/default.toml").parse().unwrap();
    let mut settings = BTreeMap::new();
    keys(&manual, "", &mut settings);
    assert!(settings.len() > 100, "the manual has {} settings", settings.len());
    let mut read_fields = fields_read();
    read_fields.extend(names_asked());
    let excepted: BTreeSet<&str> = UNREAD_SETTINGS.iter().map(|(path, _)| *path).collect();
    let unread: Vec<&String> = settings
        .iter()
        .filter(|(path, name)| !read_fields.contains(*name) && !excepted.contains(path.as_str()))
        .map(|(path, _)| path)
        .collect();
    assert!(unread.is_empty(), "in the manual, and read nowhere: {unread:?}");
    for (path, reason) in UNREAD_SETTINGS {
        assert!(settings.get(*path).is_some_and(|name| !read_fields.contains(name)), "{path} is read: {reason}");
    }
}

/// A path with its parameters' names taken away: those are nobody's promise.
fn shape(path: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "{}".to_owned() } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[test]
fn every_promised_route_is_served_or_said_to_be_missing() {
    let text = read("tests/it/promised_routes.txt");
    let served: BTreeSet<(String, String)> =
        api::operations().iter().map(|operation| (operation.method.to_string(), shape(operation.path))).collect();
    let (mut promised, mut wrong) = (BTreeSet::new(), Vec::new());
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut parts = line.splitn(3, ' ');
        let (method, rest) = (parts.next().unwrap(), parts.next().unwrap_or_default());
        let status = parts.next().unwrap_or_default().trim();
        let route = (method.to_owned(), shape(rest));
        let is_served = served.contains(&route);
        let expected = match status {
            "served" => true,
            _ if status.starts_with("not yet (") && status.ends_with(')') => false,
            _ => panic!("a route is `served` or `not yet (where it will come from)`: {line}"),
        };
        if is_served != expected {
            wrong.push(format!("{line}: is {}served", if is_served { "" } else { "not " }));
        }
        assert!(promised.insert(route), "twice: {line}");
    }
    wrong.extend(
        served.difference(&promised).map(|(method, path)| format!("{method} {path}: served, not in the table")),
    );
    assert!(wrong.is_empty(), "tests/it/promised_routes.txt:\n{}", wrong.join("\n"));
}
