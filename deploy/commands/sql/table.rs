//! An answer as people read it: aligned columns, or bars.

use std::fmt;

use comfy_table::{
    CellAlignment,
    TableComponent::{HeaderLines, MiddleHeaderIntersections, VerticalLines},
    presets::NOTHING,
};

use super::super::show::plain;

/// Letters of a cell that are shown.
const CELL_LETTERS_MAX: usize = 60;
/// The longest bar.
const BAR_LETTERS: usize = 50;

/// An answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Table {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// From CSV with a line of names.
    pub fn from_csv(text: &str) -> Table {
        let mut lines = Vec::new();
        let (mut line, mut cell, mut quoted) = (Vec::new(), String::new(), false);
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '"' if quoted && letters.next_if_eq(&'"').is_some() => cell.push('"'),
                '"' => quoted = !quoted,
                ',' if !quoted => line.push(std::mem::take(&mut cell)),
                '\n' if !quoted => {
                    line.push(std::mem::take(&mut cell));
                    lines.push(std::mem::take(&mut line));
                }
                other => cell.push(other),
            }
        }
        let mut lines = lines.into_iter();
        Table { names: lines.next().unwrap_or_default(), rows: lines.collect() }
    }

    /// The cells of the first column.
    pub fn first_column(self) -> impl Iterator<Item = String> {
        self.rows.into_iter().filter_map(|row| row.into_iter().next())
    }

    /// As bars, if it is names and numbers.
    pub fn chart(&self) -> Option<String> {
        let [name, number] = self.names.as_slice() else { return None };
        let mut bars = Vec::new();
        for row in &self.rows {
            let [label, value] = row.as_slice() else { return None };
            let value: f64 = if value.is_empty() { 0.0 } else { value.parse().ok()? };
            bars.push((shown(label), value));
        }
        let largest = bars.iter().map(|(_, value)| value.abs()).fold(0.0, f64::max);
        let width = bars.iter().map(|(label, _)| label.chars().count()).max()?.max(name.chars().count());
        let mut text = format!("{name:width$}  {number}\n");
        for (label, value) in bars {
            let letters = if largest > 0.0 { (value.abs() / largest * BAR_LETTERS as f64).round() as usize } else { 0 };
            text += &format!("{label:width$}  {} {value}\n", "█".repeat(letters));
        }
        Some(text)
    }
}

/// A cell, cut and without what could move the cursor.
fn shown(cell: &str) -> String {
    let mut letters = cell.chars();
    let mut cut: String = letters.by_ref().take(CELL_LETTERS_MAX).collect();
    if letters.next().is_some() {
        cut.push('…');
    }
    plain(&cut)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = comfy_table::Table::new();
        table.load_preset(NOTHING).set_header(&self.names);
        for (component, sign) in [(VerticalLines, '|'), (HeaderLines, '-'), (MiddleHeaderIntersections, '+')] {
            table.set_style(component, sign);
        }
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| shown(cell)));
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            let mut cells =
                self.rows.iter().filter_map(|row| row.get(index)).filter(|cell| !cell.is_empty()).peekable();
            if cells.peek().is_some() && cells.all(|cell| cell.parse::<f64>().is_ok()) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for line in table.lines() {
            writeln!(f, "{}", line.trim_end())?;
        }
        writeln!(f, "({} row{})", self.rows.len(), if self.rows.len() == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_stand_right() {
        let table = Table::from_csv("name,n\nslack,5\n\"a,\"\"b\"\"\",12\n");
        assert_eq!(table.to_string(), " name  |  n\n-------+----\n slack |  5\n a,\"b\" | 12\n(2 rows)\n");
        assert_eq!(Table::from_csv("x\n").to_string(), " x\n---\n(0 rows)\n");
        // A sign of two columns' width takes two.
        assert_eq!(
            Table::from_csv("a,b\n日本,1\nxyz,\n").to_string(),
            " a    | b\n------+---\n 日本 | 1\n xyz  |\n(2 rows)\n"
        );
        assert!(Table::from_csv("x\n\"two\nlines\"\n").to_string().contains("two\u{fffd}lines"));
    }

    #[test]
    fn a_name_and_a_number_are_a_bar() {
        let chart = Table::from_csv("name,n\nslack,5\ngithub,10\n").chart().expect("a chart");
        let lengths: Vec<_> = chart.lines().map(|line| line.matches('█').count()).collect();
        assert_eq!(lengths, [0, 25, 50]);
        assert_eq!(Table::from_csv("name,n\nslack,many\n").chart(), None);
        assert_eq!(Table::from_csv("a,b,c\n1,2,3\n").chart(), None);
    }
}
