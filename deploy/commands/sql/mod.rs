//! `nexus sql`: ask the streams, at a prompt or in one go.

mod prompt;
mod script;
mod table;

use std::{
    io::{IsTerminal, Read, Write},
    path::PathBuf,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use runtime::{config::Config, sql::MakeEngine};
use serde_json::json;

use self::table::Table;
use super::{remote, remote::Remote};

/// What answers within this binary, if it was built with it.
#[cfg(feature = "sql")]
pub const ENGINE: Option<MakeEngine> = Some(analytics::engine);
/// What answers within this binary, if it was built with it.
#[cfg(not(feature = "sql"))]
pub const ENGINE: Option<MakeEngine> = None;

/// Ask the streams in SQL.
#[derive(Args)]
pub struct Sql {
    /// Answer these statements and end
    #[arg(short, long, value_name = "SQL", conflicts_with = "file")]
    command: Option<String>,
    /// Answer the statements of a file and end (`-`: standard input)
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Rows as CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Answers as JSON, one a line
    #[arg(long)]
    json: bool,
    /// Whose rows, for who works across tenants
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// Go on with what is written from now on, a line of JSON a row
    #[arg(long, requires = "command")]
    follow: bool,
    /// Bars for answers of two columns: a name and a number
    #[arg(long)]
    chart: bool,
}

/// How answers are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Table,
    Csv,
    Json,
}

/// Somebody who asks.
struct Asker {
    hub: Remote,
    path: String,
    shape: Shape,
    chart: bool,
    timing: bool,
}

impl Sql {
    /// Asks.
    pub async fn run(self, config: &Config) -> Result<()> {
        let Some(hub) = Remote::find(config).await? else {
            bail!("no hub answers; start one with `nexus up`, or name one with NEXUS_URL and NEXUS_TOKEN");
        };
        let path = match &self.tenant {
            Some(tenant) => format!("/api/sql?tenantId={tenant}"),
            None => "/api/sql".to_owned(),
        };
        let shape = match (self.csv, self.json) {
            (true, _) => Shape::Csv,
            (_, true) => Shape::Json,
            _ => Shape::Table,
        };
        let mut asker = Asker { hub, path, shape, chart: self.chart, timing: false };
        if let Some(text) = self.command.as_ref().filter(|_| self.follow) {
            return asker.follow(text.trim().trim_end_matches(';')).await;
        }
        let text = match (self.command, self.file) {
            (Some(text), _) => text,
            (None, Some(file)) if file.as_os_str() == "-" => read_input()?,
            (None, Some(file)) => {
                std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?
            }
            (None, None) if std::io::stdin().is_terminal() => return prompt::run(asker, config).await,
            (None, None) => read_input()?,
        };
        for statement in script::statements(&text).done {
            asker.answer(&statement).await?;
        }
        Ok(())
    }
}

fn read_input() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

impl Asker {
    /// Answers a statement, or does what a word with a backslash says.
    async fn answer(&mut self, statement: &str) -> Result<()> {
        if let Some(word) = statement.strip_prefix('\\') {
            return self.obey(word).await;
        }
        let begun = Instant::now();
        let answer = self.ask(statement, if self.shape == Shape::Json { "json" } else { "csv" }).await?;
        let mut out = std::io::stdout().lock();
        match self.shape {
            Shape::Json => writeln!(out, "{answer}")?,
            Shape::Csv => write!(out, "{answer}")?,
            Shape::Table => {
                let table = Table::from_csv(&answer);
                match table.chart().filter(|_| self.chart) {
                    Some(chart) => write!(out, "{chart}")?,
                    None => write!(out, "{table}")?,
                }
            }
        }
        if self.timing {
            writeln!(out, "Time: {:.1} ms", begun.elapsed().as_secs_f64() * 1_000.0)?;
        }
        out.flush()?;
        Ok(())
    }

    /// Prints rows as they come.
    async fn follow(&self, statement: &str) -> Result<()> {
        let answer = self.hub.post(&self.path, &json!({ "sql": statement, "follow": true })).await?;
        let mut event = String::new();
        remote::lines(answer, |line| {
            if line.is_empty() {
                event.clear();
            } else if let Some(name) = line.strip_prefix("event: ") {
                name.clone_into(&mut event);
            } else if let Some(data) = line.strip_prefix("data: ") {
                match event.as_str() {
                    "error" => bail!("{data}"),
                    "late" => {
                        eprintln!("late: {data}");
                        return Ok(());
                    }
                    _ => {}
                }
                let mut out = std::io::stdout().lock();
                writeln!(out, "{data}")?;
                out.flush()?;
            }
            Ok(())
        })
        .await
    }

    async fn ask(&self, statement: &str, format: &str) -> Result<String> {
        let answer = self.hub.post(&self.path, &json!({ "sql": statement, "format": format })).await?;
        answer.text().await.context("the answer broke off")
    }

    async fn obey(&mut self, word: &str) -> Result<()> {
        let (word, rest) = word.split_once(char::is_whitespace).unwrap_or((word, ""));
        let statement = match (word, rest.trim()) {
            ("d" | "dt", "") => {
                "SELECT table_name AS name, CASE table_type WHEN 'VIEW' THEN 'view' ELSE 'table' END AS kind \
                 FROM information_schema.tables WHERE table_schema = 'public' ORDER BY kind, name"
                    .to_owned()
            }
            ("d", table) => format!(
                "SELECT column_name AS column, data_type AS type FROM information_schema.columns \
                 WHERE table_schema = 'public' AND table_name = '{}' ORDER BY ordinal_position",
                table.trim_end_matches(';').replace('\'', "''")
            ),
            ("timing", _) => {
                self.timing = !self.timing;
                println!("Timing is {}.", if self.timing { "on" } else { "off" });
                return Ok(());
            }
            ("chart", _) => {
                self.chart = !self.chart;
                println!("Charts are {}.", if self.chart { "on" } else { "off" });
                return Ok(());
            }
            ("?" | "h", _) => {
                println!(
                    "\\d [TABLE]  the tables, or the columns of one\n\\timing     how long answers take\n\
                     \\chart      bars for answers of two columns\n\\q          the end"
                );
                return Ok(());
            }
            (other, _) => bail!("there is no \\{other}; \\? tells what there is"),
        };
        Box::pin(self.answer(&statement)).await
    }
}
