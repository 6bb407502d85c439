//! Two systems side by side: what happens at the one on the left, what happens
//! in the other on the right; line after line where there is no room for that.

use console::{Term, measure_text_width};

use crate::commands::show::{is_terminal, paint};

/// Less than this and two columns are too narrow to read.
const COLUMNS_MIN: usize = 90;
/// Wider ones make the eye travel.
const COLUMN_MAX: usize = 62;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The tracker.
    Left,
    /// The chat.
    Right,
}

/// Something that is shown.
pub struct Entry<'a> {
    /// On which side.
    pub side: Side,
    /// Who.
    pub who: &'a str,
    /// What they said or did, in several lines perhaps.
    pub text: &'a str,
    /// A word about it, at the right.
    pub note: &'a str,
}

/// The two columns, or none.
pub struct Sides {
    names: [&'static str; 2],
    column: Option<usize>,
}

impl Sides {
    /// As wide as the terminal allows.
    pub fn new(left: &'static str, right: &'static str) -> Sides {
        let width = Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
        let width = width.filter(|width| is_terminal() && *width >= COLUMNS_MIN);
        Sides { names: [left, right], column: width.map(|width| ((width - 3) / 2).min(COLUMN_MAX)) }
    }

    /// The names of both, above.
    pub fn head(&self) {
        let Some(column) = self.column else { return };
        let [left, right] = self.names.map(|name| paint(name, "1"));
        println!("{}", joined(&left, &right, column, "│"));
        println!("{}┼{}", "─".repeat(column + 1), "─".repeat(column + 1));
    }

    /// Shows something.
    pub fn show(&self, entry: &Entry<'_>) {
        lines(entry, self.names, self.column).iter().for_each(|line| println!("{line}"));
    }
}

fn lines(entry: &Entry<'_>, names: [&str; 2], column: Option<usize>) -> Vec<String> {
    let Some(column) = column else {
        let name = names[usize::from(entry.side == Side::Right)];
        let text = entry.text.split_whitespace().collect::<Vec<_>>().join(" ");
        return vec![format!("  {name:<8} {}: {text}  {}", entry.who, entry.note)];
    };
    let who = paint(entry.who, if entry.side == Side::Left { "35;1" } else { "36;1" });
    let gap = column.saturating_sub(measure_text_width(entry.who) + measure_text_width(entry.note));
    let mut cells = vec![format!("{who}{}{}", " ".repeat(gap), paint(entry.note, "2"))];
    cells.extend(
        entry.text.lines().flat_map(|line| wrapped(line, column.saturating_sub(2))).map(|line| format!("  {line}")),
    );
    cells.push(String::new());
    let in_column = |cell: &String| match entry.side {
        Side::Left => joined(cell, "", column, "│"),
        Side::Right => joined("", cell, column, "│"),
    };
    cells.iter().map(in_column).collect()
}

fn joined(left: &str, right: &str, column: usize, bar: &str) -> String {
    let room = column.saturating_sub(measure_text_width(left));
    format!("{left}{} {} {right}", " ".repeat(room), paint(bar, "2")).trim_end().to_owned()
}

/// A line in pieces of at most this width, between words.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for word in line.split_whitespace() {
        if !piece.is_empty() && measure_text_width(&piece) + 1 + measure_text_width(word) > width {
            pieces.push(std::mem::take(&mut piece));
        }
        if !piece.is_empty() {
            piece.push(' ');
        }
        piece.push_str(word);
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_has_its_column_or_its_name() {
        let entry = Entry { side: Side::Right, who: "builder", text: "one two three four", note: "3 ms" };
        let shown = lines(&entry, ["ClickUp", "Slack"], Some(14));
        let bar = |cell: &str| format!("{} │ {cell}", " ".repeat(14)).trim_end().to_owned();
        assert_eq!(shown, [bar("builder   3 ms"), bar("  one two"), bar("  three four"), bar("")]);
        let left = Entry { side: Side::Left, text: "a b", ..entry };
        assert_eq!(lines(&left, ["ClickUp", "Slack"], Some(14))[1], format!("  a b{} │", " ".repeat(9)));
        assert_eq!(lines(&left, ["ClickUp", "Slack"], None), ["  ClickUp  builder: a b  3 ms"]);
    }
}
