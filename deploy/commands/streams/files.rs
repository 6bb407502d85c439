//! The streams and the functions as they lie in folders, made ready for Arroyo.
//!
//! A stream is a template with two places, `{{ brokers }}` and `{{ prefix }}`,
//! since Arroyo takes no variables there. A function's text names nexus-udfs by
//! where it lies in this repository; Arroyo compiles elsewhere, so the source that
//! the operator gives stands there instead.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail, ensure};

/// Where the topics are.
pub struct Place {
    pub brokers: String,
    pub prefix: String,
}

/// A stream, ready to be sent.
#[derive(Debug)]
pub struct Stream {
    /// The name of its file, without the ending.
    pub file: String,
    /// What it is called in Arroyo.
    pub name: String,
    pub query: String,
}

/// A function, ready to be sent.
#[derive(Debug)]
pub struct Function {
    pub name: String,
    pub definition: String,
}

/// The functions that there are, by name.
#[derive(Debug)]
pub struct Functions(pub Vec<Function>);

impl Functions {
    /// The texts of those that a stream calls: no other is built for it.
    pub fn called_by(&self, stream: &Stream) -> Vec<&str> {
        let called = called(&stream.query);
        let those = self.0.iter().filter(|function| called.contains(&function.name.as_str()));
        those.map(|function| function.definition.as_str()).collect()
    }
}

/// The streams of a folder, by name.
pub fn streams(folder: &Path, place: &Place, only: &[String]) -> Result<Vec<Stream>> {
    let paths = entries(folder)?.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "sql"));
    let mut streams = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if only.is_empty() || only.contains(&file) {
            let query = fill(&text, place).with_context(|| path.display().to_string())?;
            streams.push(Stream { name: format!("nexus-{}{file}", place.prefix), query, file });
        }
    }
    let is_there = |name: &&String| streams.iter().any(|stream| stream.file == **name);
    if let Some(missing) = only.iter().find(|name| !is_there(name)) {
        bail!("there is no stream {missing:?} in {}", folder.display());
    }
    ensure!(!streams.is_empty(), "there are no streams in {}: name their folder with --streams", folder.display());
    Ok(streams)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// The text with its places filled. What goes in stands between quotes there.
fn fill(text: &str, place: &Place) -> Result<String> {
    let plain = |value: &str, more: &str| value.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
    ensure!(!place.brokers.is_empty(), "which brokers? say so with --brokers or KAFKA_BROKERS");
    ensure!(plain(&place.brokers, ".:,-_[]"), "{:?} is no list of host:port", place.brokers);
    ensure!(plain(&place.prefix, "._-"), "{:?} cannot stand in a topic's name", place.prefix);
    let filled = text.replace("{{ brokers }}", &place.brokers).replace("{{ prefix }}", &place.prefix);
    match filled.find("{{") {
        Some(at) => {
            let place = filled[at..].lines().next().unwrap_or_default();
            bail!("nothing is known of {place:?}: there are {{{{ brokers }}}} and {{{{ prefix }}}}")
        }
        None => Ok(filled),
    }
}

/// The functions of a folder: all, or those that the streams call.
pub fn functions(folder: &Path, source: Option<&str>, streams: &[Stream], all: bool) -> Result<Functions> {
    if !folder.is_dir() {
        bail!("there are no functions in {}: name their folder with --plugins", folder.display());
    }
    let mut functions = Vec::new();
    for path in entries(folder)?.into_iter().map(|path| path.join("src/lib.rs")).filter(|path| path.is_file()) {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // A crate that only tests or serves the others has no function of its own.
        let Some(name) = function_name(&text) else { continue };
        if !all && !streams.iter().any(|stream| called(&stream.query).contains(&name)) {
            continue;
        }
        let definition = with_source(&text, source).with_context(|| path.display().to_string())?;
        functions.push(Function { name: name.to_owned(), definition });
    }
    Ok(Functions(functions))
}

/// The name of the function that is marked as one for Arroyo.
fn function_name(text: &str) -> Option<&str> {
    let marked = text.lines().position(|line| line.trim_start().starts_with("#[udf"))?;
    let declared = text.lines().skip(marked).find_map(|line| line.split_once("fn "))?.1;
    let end = declared.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(&declared[..end])
}

/// The text with the operator's source of nexus-udfs in its list of dependencies.
fn with_source(text: &str, source: Option<&str>) -> Result<String> {
    // Arroyo looks for exactly this; anything else it takes for no list at all.
    let list = text.find("/*\n[dependencies]\n").context("it does not list its dependencies as Arroyo reads them")?;
    let end = list + text[list..].find("*/").context("its list of dependencies does not end")?;
    let mut lines = Vec::new();
    for line in text[list..end].lines() {
        match line.split_once('=') {
            Some((name, _)) if name.trim() == "nexus-udfs" => {
                lines.push(format!("nexus-udfs = {{ {} }}", pinned(source)?));
            }
            _ => lines.push(line.to_owned()),
        }
    }
    let mut list_text = lines.join("\n");
    list_text.push('\n');
    Ok(format!("{}{list_text}{}", &text[..list], &text[end..]))
}

/// The operator's source as a line of TOML.
fn pinned(source: Option<&str>) -> Result<String> {
    let source = source.context(
        "where does Arroyo's compiler find nexus-udfs? say so with --udfs: \
         a folder on its machine, or 'git = \"…\", rev = \"…\"'",
    )?;
    // It goes into a comment.
    ensure!(!source.contains(['\n', '\r']) && !source.contains("*/"), "--udfs must be one line");
    let is_table = source.contains('=');
    let line = if is_table { source.to_owned() } else { format!("path = {}", toml::Value::from(source)) };
    let table: toml::Table = format!("nexus-udfs = {{ {line} }}")
        .parse()
        .map_err(|error| anyhow!("--udfs {source:?} is no source of a crate: {error}"))?;
    let source_of = |name: &str| table["nexus-udfs"].get(name).is_some();
    // Arroyo keeps what it built under the text's own hash: a branch that moves on
    // would leave the old build in place.
    if source_of("git") && !source_of("rev") && !source_of("tag") {
        bail!("--udfs names a repository without a rev or a tag: builds are kept by the text, so pin one");
    }
    if !is_table && !source.starts_with('/') {
        bail!("--udfs {source:?}: a folder on the machine of Arroyo's compiler must be named from its root");
    }
    Ok(line)
}

/// The names that a text calls: each that an opening parenthesis follows.
fn called(query: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = query;
    while let Some(c) = rest.chars().next() {
        let end = match c {
            '-' if rest.starts_with("--") => rest.find('\n'),
            '\'' | '"' => rest[1..].find(c).map(|end| end + 2),
            _ if c.is_alphabetic() || c == '_' => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                if rest[end..].trim_start().starts_with('(') {
                    names.push(&rest[..end]);
                }
                Some(end)
            }
            _ => Some(c.len_utf8()),
        };
        rest = &rest[end.unwrap_or(rest.len())..];
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(brokers: &str, prefix: &str) -> Place {
        Place { brokers: brokers.to_owned(), prefix: prefix.to_owned() }
    }

    #[test]
    fn places_are_filled_and_nothing_breaks_out_of_its_quotes() {
        let text = "topic = '{{ prefix }}events', servers = '{{ brokers }}'";
        let filled = fill(text, &place("a:9092,[::1]:9093", "acme.")).unwrap();
        assert_eq!(filled, "topic = 'acme.events', servers = 'a:9092,[::1]:9093'");
        for (brokers, prefix) in [("", ""), ("a:1', type = 'x", ""), ("a:1", "x' --"), ("a:1", "a b"), ("a:1\n", "")] {
            assert!(fill(text, &place(brokers, prefix)).is_err(), "{brokers:?} {prefix:?}");
        }
        let error = fill("'{{ user }}'", &place("a:1", "")).unwrap_err().to_string();
        assert!(error.contains("{{ user }}"), "{error}");
    }

    #[test]
    fn only_what_is_called_counts_as_called() {
        let query =
            "-- normalise(it)\nSELECT content_hash (a), 'mentions(x)', \"count(y\", hop(INTERVAL '1 s'), normalised";
        assert_eq!(called(query), ["content_hash", "hop"]);
        assert_eq!(called("SELECT 'open"), [] as [&str; 0]);
    }

    const PLUGIN: &str = "/*\n[dependencies]\nnexus-udfs = { path = \"../..\" }\nserde = \"1\"\n*/\n\n\
                          use arroyo_udf_plugin::udf;\n\n#[udf]\nfn content_hash(text: &str) -> String { hash(text) }\n";

    #[test]
    fn the_source_is_replaced_and_nothing_else() {
        let git = r#"git = "https://git.example/nexus", rev = "0123abc""#;
        let text = with_source(PLUGIN, Some(git)).unwrap();
        assert_eq!(text, PLUGIN.replace("path = \"../..\"", git));
        let text = with_source(PLUGIN, Some("/srv/nexus/udfs")).unwrap();
        assert_eq!(text, PLUGIN.replace("../..", "/srv/nexus/udfs"));
        assert_eq!(function_name(PLUGIN), Some("content_hash"));
        assert_eq!(function_name("fn helps() {}"), None);
        assert_eq!(function_name("#[udf(ordered)]\npub async fn asks(a: i64) -> i64 { a }"), Some("asks"));
    }

    #[test]
    fn a_source_that_cannot_work_is_refused() {
        for (source, says) in [
            (None, "say so with --udfs"),
            (Some(r#"git = "https://git.example/nexus""#), "rev or a tag"),
            (Some(r#"git = "https://git.example/nexus", branch = "main""#), "rev or a tag"),
            (Some("udfs"), "from its root"),
            (Some("git = nonsense"), "no source of a crate"),
            (Some("path = \"/a\" }\n[x]\ny = { z = \"\""), "one line"),
            (Some("path = \"/a*/\""), "one line"),
        ] {
            let error = format!("{:#}", with_source(PLUGIN, source).unwrap_err());
            assert!(error.contains(says), "{source:?}: {error}");
        }
        assert!(with_source("#[udf]\nfn bare() {}", Some("/a")).is_err());
    }
}
