//! The prompt: lines until a statement has its end, what was asked before, and
//! names to choose from.

use anyhow::Result;
use runtime::config::Config;
use rustyline::{
    CompletionType, Context, Editor, Helper,
    completion::{Completer, Pair},
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::FileHistory,
    validate::Validator,
};

use super::{Asker, script, table::Table};

/// Words of SQL that are worth completing.
const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "LIMIT",
    "HAVING",
    "JOIN",
    "LEFT JOIN",
    "UNION ALL",
    "DISTINCT",
    "INTERVAL",
    "EXPLAIN",
    "count(*)",
    "date_bin(",
    "approx_percentile_cont(",
    "now()",
];

/// Names of the tables and columns, completed from their beginning.
struct Names(Vec<String>);

impl Completer for Names {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, found) = candidates(&self.0, &line[..at]);
        Ok((start, found.into_iter().map(|name| Pair { display: name.clone(), replacement: name }).collect()))
    }
}

/// Where the word under the cursor begins, and what it may become.
fn candidates(names: &[String], before: &str) -> (usize, Vec<String>) {
    let start = before.rfind(|letter: char| !letter.is_alphanumeric() && letter != '_').map_or(0, |at| at + 1);
    let word = before[start..].to_lowercase();
    if word.is_empty() {
        return (start, Vec::new());
    }
    (start, names.iter().filter(|name| name.to_lowercase().starts_with(&word)).cloned().collect())
}

impl Hinter for Names {
    type Hint = String;
}

impl Highlighter for Names {}
impl Validator for Names {}
impl Helper for Names {}

/// Asks and answers until the end of the input.
pub async fn run(mut asker: Asker, config: &Config) -> Result<()> {
    let settings = rustyline::Config::builder().completion_type(CompletionType::List).auto_add_history(false).build();
    let mut editor: Editor<Names, FileHistory> = Editor::with_config(settings)?;
    let names = asker
        .ask(
            "SELECT DISTINCT name FROM (SELECT table_name AS name FROM information_schema.tables \
             WHERE table_schema = 'public' UNION ALL SELECT column_name AS name FROM information_schema.columns \
             WHERE table_schema = 'public') ORDER BY name",
            "csv",
        )
        .await?;
    let words = WORDS.iter().map(|word| (*word).to_owned());
    editor.set_helper(Some(Names(Table::from_csv(&names).first_column().chain(words).collect())));
    // Without a file there is still this session's own history.
    let history = config.data_dir.join("sql_history");
    let _ = editor.load_history(&history);
    println!("nexus sql: statements end with ;   \\d shows the tables, \\? more, \\q ends");
    let mut text = String::new();
    loop {
        match editor.readline(if text.is_empty() { "nexus=> " } else { "nexus-> " }) {
            Ok(line) => {
                text.push_str(&line);
                text.push('\n');
            }
            Err(ReadlineError::Interrupted) => {
                text.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        }
        let script = script::statements(&text);
        if script.open {
            continue;
        }
        let _ = editor.add_history_entry(text.trim());
        text.clear();
        if script.done.iter().any(|statement| matches!(statement.as_str(), "\\q" | "\\quit")) {
            break;
        }
        for statement in script.done {
            if let Err(error) = asker.answer(&statement).await {
                eprintln!("{error:#}");
            }
        }
    }
    if config.data_dir.is_dir() {
        let _ = editor.save_history(&history);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_under_the_cursor_is_completed() {
        let names = ["events".to_owned(), "event_id".to_owned(), "SELECT".to_owned()];
        assert_eq!(candidates(&names, "SELECT * FROM eve"), (14, vec!["events".to_owned(), "event_id".to_owned()]));
        assert_eq!(candidates(&names, "sel"), (0, vec!["SELECT".to_owned()]));
        assert_eq!(candidates(&names, "SELECT "), (7, Vec::new()));
    }
}
