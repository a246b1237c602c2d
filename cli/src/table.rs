//! Tables and lists of properties, as text.

use comfy_table::{ContentArrangement, Table as Grid, presets};

use crate::style::{Paint, Style, of_status};

/// Longest cell of a list: one line per thing, whatever it is named.
const CELL: usize = 60;

/// A list of things, a line each.
#[derive(Debug)]
pub(crate) struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(heads: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            heads: heads.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows
            .push(cells.into_iter().map(|cell| one_line(&cell)).collect());
    }

    pub(crate) fn render(self, style: Style) -> String {
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(self.heads);
        for column in grid.column_iter_mut() {
            column.set_padding((0, 2));
        }
        grid.add_rows(self.rows.iter().cloned());
        let mut text = String::new();
        for (index, line) in grid.lines().enumerate() {
            let line = line.trim_end();
            // The first line is the heads; each row has one line, because no cell has more.
            match index.checked_sub(1).and_then(|row| self.rows.get(row)) {
                Some(cells) => text.push_str(&painted(line, cells, style)),
                None => text.push_str(&style.paint(Paint::Strong, line)),
            }
            text.push('\n');
        }
        text
    }
}

/// Paints a row's status words, after the layout: colour codes have no width.
fn painted(line: &str, cells: &[String], style: Style) -> String {
    let mut text = String::new();
    let mut rest = line;
    for cell in cells {
        let Some(at) = rest.find(cell.as_str()) else {
            continue;
        };
        let (before, after) = rest.split_at(at);
        let (word, after) = after.split_at(cell.len());
        text.push_str(before);
        match of_status(word) {
            Some(paint) => text.push_str(&style.paint(paint, word)),
            None => text.push_str(word),
        }
        rest = after;
    }
    text + rest
}

fn one_line(cell: &str) -> String {
    let flat: String = cell
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if flat.chars().count() <= CELL {
        return flat;
    }
    let cut: String = flat.chars().take(CELL - 1).collect();
    format!("{cut}…")
}

/// The properties of one thing, a line each.
#[derive(Debug, Default)]
pub(crate) struct Properties {
    lines: Vec<(&'static str, String)>,
}

impl Properties {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn line(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.lines.push((name, value.into()));
        self
    }

    /// A line only where there is a value.
    pub(crate) fn maybe(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.line(name, value),
            None => self,
        }
    }

    pub(crate) fn render(self, style: Style) -> String {
        let width = self
            .lines
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or(0);
        let mut text = String::new();
        for (name, value) in self.lines {
            let label = style.paint(Paint::Faint, &format!("{name:<width$}"));
            let mut lines = value.lines();
            let first = lines.next().unwrap_or("–");
            let word = first.split_whitespace().next().unwrap_or("");
            let first = match of_status(word) {
                Some(paint) => first.replacen(word, &style.paint(paint, word), 1),
                None => first.to_owned(),
            };
            text.push_str(&format!("{label}  {first}\n"));
            for line in lines {
                text.push_str(&format!("{:width$}  {line}\n", ""));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_line_per_thing() {
        let mut table = Table::new(["ID", "STATUS"]);
        table.row(["a".to_owned(), "running".to_owned()]);
        table.row(["longer\nid".to_owned(), "queued".to_owned()]);
        assert_eq!(
            table.render(Style::plain()),
            "ID         STATUS\na          running\nlonger id  queued\n"
        );
    }

    #[test]
    fn a_long_cell_is_cut() {
        let mut table = Table::new(["NAME"]);
        table.row(["x".repeat(100)]);
        let text = table.render(Style::plain());
        assert!(
            text.lines().all(|line| line.chars().count() <= CELL),
            "{text}"
        );
        assert!(text.contains('…'));
    }

    #[test]
    fn properties_line_up_and_keep_their_line_ends() {
        let text = Properties::new()
            .line("id", "run_1")
            .maybe("gone", None::<String>)
            .line("output", "{\n}")
            .render(Style::plain());
        assert_eq!(text, "id      run_1\noutput  {\n        }\n");
    }
}
