//! Text as statements: each ends with `;` or, where it begins with a backslash,
//! with its line.

/// The statements of a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// Those that are there, without their ends.
    pub done: Vec<String>,
    /// Whether the last one has no end yet.
    pub open: bool,
}

/// Reads a text. What stands in quotes or comments ends nothing.
pub fn statements(text: &str) -> Script {
    let mut script = Script::default();
    let mut statement = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if statement.trim().is_empty() => {
                statement.clear();
                statement.push(letter);
                statement.extend(std::iter::from_fn(|| letters.next_if(|next| *next != '\n')));
                take(&mut statement, &mut script);
            }
            ';' => take(&mut statement, &mut script),
            '\'' | '"' => {
                statement.push(letter);
                for next in letters.by_ref() {
                    statement.push(next);
                    if next == letter {
                        break;
                    }
                }
            }
            '-' if letters.peek() == Some(&'-') => while letters.next_if(|next| *next != '\n').is_some() {},
            other => statement.push(other),
        }
    }
    script.open = !statement.trim().is_empty();
    take(&mut statement, &mut script);
    script
}

fn take(statement: &mut String, script: &mut Script) {
    let trimmed = statement.trim();
    if !trimmed.is_empty() {
        script.done.push(trimmed.to_owned());
    }
    statement.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(text: &str) -> Vec<String> {
        statements(text).done
    }

    #[test]
    fn statements_end_where_they_do() {
        assert_eq!(done("SELECT 1; SELECT 2"), ["SELECT 1", "SELECT 2"]);
        assert_eq!(done("SELECT ';' AS \"a;b\";"), ["SELECT ';' AS \"a;b\""]);
        assert_eq!(done("-- one; two\nSELECT 1 -- three;\n;"), ["SELECT 1"]);
        assert_eq!(done("\\d events\nSELECT 'it''s;';"), ["\\d events", "SELECT 'it''s;'"]);
        assert_eq!(done(" ;; \n"), [""; 0]);
    }

    #[test]
    fn what_has_no_end_yet_is_told() {
        assert!(statements("SELECT 1").open && statements("SELECT 'a;").open);
        assert!(!statements("SELECT 1;").open && !statements("\\d").open && !statements("").open);
    }
}
