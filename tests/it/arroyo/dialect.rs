//! What Arroyo's planner accepts, as far as the streams use it: a small reader of
//! its SQL that knows the tables, their options and what is called, and says what
//! the planner would refuse or quietly read otherwise.

use std::collections::BTreeSet;

/// Functions of the engine that the streams may call: those that it was seen to
/// run, and what any engine of its kind has.
const FUNCTIONS: &[&str] = &[
    "hop",
    "tumble",
    "row_number",
    "approx_percentile_cont",
    "count",
    "max",
    "json_get_str",
    "json_get_int",
    "json_length",
    "concat",
    "coalesce",
];

/// Words that an opening parenthesis may follow without a call.
const NOT_CALLED: &[&str] = &[
    "TABLE", "WITH", "FROM", "AS", "IN", "CAST", "OVER", "FILTER", "GROUP", "WHERE", "SELECT", "BY", "AND", "OR",
    "NOT", "THEN", "WHEN", "ELSE", "CASE", "JOIN", "ON", "VALUES",
];

/// A piece of SQL.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Word(String),
    Quoted(String),
    Text(String),
    Number(String),
    Symbol(char),
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(self, Token::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn name(&self) -> Option<&str> {
        match self {
            Token::Word(name) | Token::Quoted(name) => Some(name),
            _ => None,
        }
    }
}

/// A column of a table.
#[derive(Debug)]
pub struct Column {
    pub name: String,
    pub kind: String,
    pub is_required: bool,
    pub metadata: Option<String>,
}

/// A table over a topic.
#[derive(Debug)]
pub struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    /// The watermark's column, as it is written, and its expression.
    watermark: Option<(Token, Vec<Token>)>,
    pub options: Vec<(String, String)>,
}

impl Table {
    /// What an option says.
    pub fn option(&self, name: &str) -> &str {
        self.options.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// A call: the function and the tokens between its parentheses.
pub struct Call {
    pub function: String,
    pub arguments: Vec<Token>,
}

/// A stream, read.
pub struct Read {
    pub tables: Vec<Table>,
    pub calls: Vec<Call>,
    inserts: Vec<(String, Vec<Vec<Token>>)>,
    tokens: Vec<Token>,
}

/// Cuts SQL into pieces; comments go.
pub fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let word = |rest: &str| rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let end = match c {
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '\'' | '"' => {
                let end = rest[1..].find(c).unwrap_or_else(|| panic!("{c} is not closed")) + 1;
                let inside = rest[1..end].to_owned();
                tokens.push(if c == '"' { Token::Quoted(inside) } else { Token::Text(inside) });
                end + 1
            }
            _ if c.is_ascii_digit() => {
                let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
                tokens.push(Token::Number(rest[..end].to_owned()));
                end
            }
            _ if c.is_alphabetic() || c == '_' => {
                tokens.push(Token::Word(rest[..word(rest)].to_owned()));
                word(rest)
            }
            _ if c.is_whitespace() => c.len_utf8(),
            _ => {
                tokens.push(Token::Symbol(c));
                c.len_utf8()
            }
        };
        rest = &rest[end..];
    }
    tokens
}

/// Parts divided by a symbol that stands in no parentheses.
fn parts(tokens: &[Token], by: char) -> Vec<Vec<Token>> {
    let (mut parts, mut depth) = (vec![Vec::new()], 0);
    for token in tokens {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth -= 1,
            Token::Symbol(symbol) if *symbol == by && depth == 0 => {
                parts.push(Vec::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(token.clone());
    }
    parts
}

/// What stands between the parentheses that open at `at`, and where they end.
fn inside(tokens: &[Token], at: usize) -> (Vec<Token>, usize) {
    assert_eq!(tokens.get(at), Some(&Token::Symbol('(')), "{tokens:?}");
    let mut depth = 0;
    for (end, token) in tokens.iter().enumerate().skip(at) {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (tokens[at + 1..end].to_vec(), end);
        }
    }
    panic!("a parenthesis is not closed: {tokens:?}")
}

/// Reads a stream.
pub fn read(sql: &str) -> Read {
    let tokens = tokens(sql);
    let mut stream = Read { tables: Vec::new(), calls: calls(&tokens), inserts: Vec::new(), tokens: tokens.clone() };
    for statement in parts(&tokens, ';').into_iter().filter(|statement| !statement.is_empty()) {
        if statement[0].is("CREATE") && statement[1].is("TABLE") {
            stream.tables.push(table(&statement));
        } else if statement[0].is("INSERT") {
            let into = statement[2].name().unwrap().to_owned();
            let select = statement.iter().position(|token| token.is("SELECT")).unwrap();
            let mut depth = 0;
            let from = statement.iter().enumerate().skip(select).find(|(_, token)| {
                match token {
                    Token::Symbol('(') => depth += 1,
                    Token::Symbol(')') => depth -= 1,
                    _ => {}
                }
                depth == 0 && token.is("FROM")
            });
            stream.inserts.push((into, parts(&statement[select + 1..from.unwrap().0], ',')));
        } else {
            let is_view = statement[0].is("CREATE") && statement[1].is("VIEW");
            assert!(is_view, "neither table, view nor insert: {statement:?}");
        }
    }
    stream
}

fn table(statement: &[Token]) -> Table {
    let (columns, end) = inside(statement, 3);
    let (options, last) = inside(statement, end + 2);
    assert!(statement[end + 1].is("WITH") && last == statement.len() - 1, "{statement:?}");
    let mut table = Table {
        name: statement[2].name().unwrap().to_owned(),
        columns: Vec::new(),
        watermark: None,
        options: Vec::new(),
    };
    for column in parts(&columns, ',') {
        if column[0].is("WATERMARK") {
            assert!(column[1].is("FOR") && column[3].is("AS") && table.watermark.is_none(), "{column:?}");
            table.watermark = Some((column[2].clone(), column[4..].to_vec()));
            continue;
        }
        let has = |first: &str, second: &str| column.windows(2).any(|two| two[0].is(first) && two[1].is(second));
        let metadata = column.iter().position(|token| token.is("METADATA")).map(|at| match &column[at + 2] {
            Token::Text(name) => name.clone(),
            other => panic!("metadata from {other:?}"),
        });
        table.columns.push(Column {
            name: column[0].name().unwrap().to_owned(),
            kind: column[1].name().unwrap().to_owned(),
            is_required: has("NOT", "NULL"),
            metadata,
        });
    }
    for option in parts(&options, ',') {
        let [name, Token::Symbol('='), Token::Text(value)] = &option[..] else { panic!("{option:?}") };
        let name = match name {
            Token::Word(name) | Token::Text(name) => name.clone(),
            other => panic!("{other:?}"),
        };
        table.options.push((name, value.clone()));
    }
    table
}

fn calls(tokens: &[Token]) -> Vec<Call> {
    let mut calls = Vec::new();
    for (at, two) in tokens.windows(2).enumerate() {
        let [Token::Word(function), Token::Symbol('(')] = two else { continue };
        let is_name_of_table = at > 0 && (tokens[at - 1].is("TABLE") || tokens[at - 1].is("INTO"));
        if !is_name_of_table && !NOT_CALLED.contains(&function.to_uppercase().as_str()) {
            calls.push(Call { function: function.clone(), arguments: inside(tokens, at + 1).0 });
        }
    }
    calls
}

/// What is wrong with a stream, where these functions of ours can be called too.
pub fn problems(sql: &str, ours: &BTreeSet<String>) -> Vec<String> {
    let stream = read(sql);
    let mut problems = Vec::new();
    for table in &stream.tables {
        let about = |problem: String| format!("table {}: {problem}", table.name);
        problems.extend(problems_of_options(table).into_iter().map(about));
        problems.extend(problems_of_columns(table).into_iter().map(about));
    }
    for call in &stream.calls {
        let name = &call.function;
        if name == "session" {
            problems.push("session() counts the first row past the gap in the old session".to_owned());
        } else if !FUNCTIONS.contains(&name.as_str()) && !ours.contains(name) {
            problems.push(format!("Invalid function '{name}'"));
        }
    }
    for (into, items) in &stream.inserts {
        match stream.tables.iter().find(|table| table.name == *into && table.option("type") == "sink") {
            None => problems.push(format!("nothing can be inserted into {into}")),
            Some(sink) => problems.extend(problems_of_insert(sink, items)),
        }
    }
    if stream.inserts.is_empty() {
        problems.push("The provided SQL does not contain a query".to_owned());
    }
    // A name with capitals is folded unless it is quoted; but the watermark's
    // column is compared as it is written, quotes and all.
    for (at, token) in stream.tokens.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        let is_mixed = word.chars().any(char::is_uppercase) && word.chars().any(char::is_lowercase);
        let of_watermark = at >= 2 && stream.tokens[at - 1].is("FOR") && stream.tokens[at - 2].is("WATERMARK");
        if is_mixed && !of_watermark {
            problems.push(format!("{word} is folded: quote it"));
        }
    }
    let arrows = stream.tokens.windows(2).any(|two| two == [Token::Symbol('-'), Token::Symbol('>')]);
    if arrows {
        problems.push("-> makes a union, which a sink cannot write with quoted columns: use json_get_str".to_owned());
    }
    problems
}

fn problems_of_options(table: &Table) -> Vec<String> {
    let known: &[(&str, &[&str])] = match table.option("type") {
        "source" => &[
            ("connector", &["kafka"]),
            ("bootstrap_servers", &[]),
            ("topic", &[]),
            ("type", &["source"]),
            ("format", &["json"]),
            ("source.offset", &["earliest"]),
            ("source.group_id", &[]),
            ("source.read_mode", &["read_committed"]),
            ("bad_data", &["drop", "fail"]),
        ],
        "sink" => &[
            ("connector", &["kafka"]),
            ("bootstrap_servers", &[]),
            ("topic", &[]),
            ("type", &["sink"]),
            ("format", &["json"]),
            ("sink.key_field", &[]),
            // Exactly-once would add a checkpoint's time to every row, and has a hole.
            ("sink.commit_mode", &["at_least_once"]),
        ],
        other => return vec![format!("type must be one of 'source' or 'sink', not {other:?}")],
    };
    let mut problems = Vec::new();
    let unknown: Vec<_> =
        table.options.iter().filter(|(name, _)| known.iter().all(|(known, _)| known != name)).collect();
    if !unknown.is_empty() {
        let names: Vec<_> = unknown.iter().map(|(name, _)| format!("'{name}'")).collect();
        problems.push(format!("unknown options provided in WITH clause: {}", names.join(", ")));
    }
    for (name, values) in known {
        let value = table.option(name);
        if value.is_empty() || !values.is_empty() && !values.contains(&value) {
            problems.push(format!("{name} is {value:?}"));
        }
    }
    problems
}

fn problems_of_columns(table: &Table) -> Vec<String> {
    let mut problems = Vec::new();
    for column in &table.columns {
        if !["TEXT", "BIGINT", "INT", "DOUBLE", "TIMESTAMP", "JSON"].contains(&column.kind.as_str()) {
            problems.push(format!("Unsupported SQL type '{}'", column.kind));
        }
        if let Some(metadata) = &column.metadata
            && !["offset_id", "partition", "topic", "timestamp", "key"].contains(&metadata.as_str())
        {
            problems.push(format!("there is no metadata '{metadata}'"));
        }
    }
    if table.option("type") == "sink" {
        let key = table.option("sink.key_field");
        if table.column(key).is_none_or(|column| column.kind != "TEXT") {
            problems.push(format!("key_field '{key}' is no TEXT column"));
        }
        return problems;
    }
    let Some((column, expression)) = &table.watermark else {
        problems.push("there is no WATERMARK".to_owned());
        return problems;
    };
    match column {
        Token::Word(name) => {
            if table.column(name).is_none_or(|column| column.kind != "TIMESTAMP" || !column.is_required) {
                problems.push(format!("WATERMARK FOR {name}, which is no TIMESTAMP NOT NULL"));
            }
            let first = expression.first().and_then(Token::name);
            if first != Some(name.as_str()) {
                problems.push(format!("the watermark of {name} is made of {first:?}"));
            }
        }
        other => problems.push(format!("WATERMARK FOR field `{other:?}` does not exist in table")),
    }
    problems
}

fn problems_of_insert(sink: &Table, items: &[Vec<Token>]) -> Vec<String> {
    let mut problems = Vec::new();
    if items.len() != sink.columns.len() {
        problems.push(format!("{} takes {} columns, not {}", sink.name, sink.columns.len(), items.len()));
        return problems;
    }
    // Columns go by their place; the names say that the place is the right one.
    let plain = |name: &str| name.replace('_', "").to_lowercase();
    for (column, item) in sink.columns.iter().zip(items) {
        let name = item.last().and_then(Token::name).unwrap_or_default();
        let counts =
            ["messages", "events", "dispatches"].contains(&column.name.as_str()) && ["n", "said"].contains(&name);
        let is_id = column.name == "eventId" && name == "id";
        if plain(name) != plain(&column.name) && !counts && !is_id {
            problems.push(format!("{name} goes into {}.{}", sink.name, column.name));
        }
    }
    problems
}

const GOOD: &str = r#"
    CREATE TABLE said ("agentId" TEXT NOT NULL, at TIMESTAMP NOT NULL, WATERMARK FOR at AS at - INTERVAL '5 seconds')
    WITH (connector = 'kafka', bootstrap_servers = 'b', topic = 'agents.actions', type = 'source', format = 'json',
        'source.offset' = 'earliest', 'source.group_id' = 'g', 'source.read_mode' = 'read_committed', bad_data = 'drop');
    CREATE TABLE counted (key TEXT, messages BIGINT)
    WITH (connector = 'kafka', bootstrap_servers = 'b', topic = 'streams.x', type = 'sink', format = 'json',
        'sink.key_field' = 'key', 'sink.commit_mode' = 'at_least_once');
    INSERT INTO counted SELECT agent_id AS key, n FROM (
        SELECT "agentId" AS agent_id, tumble(INTERVAL '1 minute') AS window, count(*) AS n FROM said
        GROUP BY agent_id, window);"#;

/// A small stream that nothing is wrong with.
pub fn good() -> String {
    GOOD.to_owned()
}

#[test]
fn what_arroyo_would_refuse_is_found() {
    let ours = BTreeSet::new();
    assert_eq!(problems(GOOD, &ours), [] as [&str; 0]);
    for (from, to, says) in [
        ("bad_data = 'drop'", "bad_data = 'drop', 'source.speed' = 'high'", "unknown options provided"),
        ("'sink.commit_mode' = 'at_least_once'", "'sink.commit_mode' = 'exactly_once'", "sink.commit_mode"),
        ("tumble(INTERVAL '1 minute')", "session(INTERVAL '1 minute')", "session()"),
        ("count(*)", "counts(*)", "Invalid function 'counts'"),
        ("'sink.key_field' = 'key'", "'sink.key_field' = 'messages'", "no TEXT column"),
        ("'sink.key_field' = 'key'", "'sink.key_field' = 'id'", "no TEXT column"),
        ("SELECT \"agentId\"", "SELECT agentId", "folded"),
        ("WATERMARK FOR at", "WATERMARK FOR \"at\"", "does not exist in table"),
        ("at TIMESTAMP NOT NULL", "at TIMESTAMP", "no TIMESTAMP NOT NULL"),
        (", WATERMARK FOR at AS at - INTERVAL '5 seconds'", "", "no WATERMARK"),
        ("AS key, n FROM", "AS key FROM", "takes 2 columns"),
        ("agent_id AS key, n FROM", "n, agent_id AS key FROM", "goes into counted.key"),
        ("messages BIGINT", "messages UUID", "Unsupported SQL type"),
        ("at TIMESTAMP NOT NULL", "at TIMESTAMP NOT NULL, h TEXT METADATA FROM 'headers'", "no metadata 'headers'"),
        ("INTO counted", "INTO said", "nothing can be inserted"),
        ("agent_id AS key", "agent_id -> 'x' AS key", "union"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let found = problems(&GOOD.replace(from, to), &ours);
        assert!(found.iter().any(|problem| problem.contains(says)), "{to}: {found:?}");
    }
}
