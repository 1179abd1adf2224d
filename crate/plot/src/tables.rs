//! Tables as Markdown, LaTeX, CSV, HTML and plain text, each from the same cells.

use crate::escape::{escape_csv, escape_html, escape_latex, escape_markdown, one_line};
use crate::output::{check_folder, check_id, json_bytes, write_all};
use crate::{Error, Result};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Width};
use polars::prelude::{AnyValue, DataFrame, DataType};
use std::path::{Path, PathBuf};

/// How a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Yes and no.
    Center,
    /// Numbers.
    Right,
}

impl Align {
    /// Of a column of `dtype`: numbers to the right, yes and no in the middle, all else to the left.
    pub fn of(dtype: &DataType) -> Align {
        match dtype {
            t if t.is_primitive_numeric() => Align::Right,
            t if t.is_bool() => Align::Center,
            _ => Align::Left,
        }
    }
}

/// Characters of a line below which broken columns become too high to be read.
const NARROW: usize = 60;
/// Spaces around a cell.
const PADDING: usize = 2;
/// Characters in a line of a table as plain text.
pub const TEXT_WIDTH: usize = 100;

/// `text` in lines of at most `width` characters, broken between words; a longer word has a line of its own.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.into());
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}

/// A finished table. Cells are plain text; each format escapes them.
#[derive(Clone, Debug)]
pub struct Table {
    /// Short name, also of its files: "table1". Letters, digits, `-` and `_`.
    pub id: String,
    /// One line above the table.
    pub title: String,
    /// A name for each column.
    pub header: Vec<String>,
    /// For each column; absent ones are [`Align::Left`].
    pub align: Vec<Align>,
    /// Rows of as many cells as the header; an empty cell is an absent value.
    pub rows: Vec<Vec<String>>,
    /// Small print below: the scale line first.
    pub notes: Vec<String>,
    /// What is recorded beside the numbers; written to the table's JSON as it is.
    pub provenance: serde_json::Value,
}

impl Table {
    /// An empty table with these columns.
    pub fn new(id: &str, title: &str, columns: &[(&str, Align)]) -> Table {
        Table {
            id: id.into(),
            title: title.into(),
            header: columns.iter().map(|c| c.0.to_string()).collect(),
            align: columns.iter().map(|c| c.1).collect(),
            rows: Vec::new(),
            notes: Vec::new(),
            provenance: serde_json::Value::Null,
        }
    }

    /// Adds a row; an error unless it has as many cells as the header.
    pub fn push(&mut self, row: Vec<String>) -> Result<()> {
        self.check(&row)?;
        self.rows.push(row);
        Ok(())
    }

    /// A table of all of `frame`, numbers to the right, floating-point ones with `decimals` (0 to 9)
    /// digits after the point: none in a column of whole numbers, and an exponent where nothing else would be left of
    /// a number (2e-15); an absent value is an empty cell.
    pub fn from_frame(frame: &DataFrame, id: &str, title: &str, decimals: usize) -> Result<Table> {
        let decimals = decimals.min(9);
        let mut table = Table::new(id, title, &[]);
        let mut cells: Vec<Vec<String>> = vec![Vec::new(); frame.height()];
        for column in frame.columns() {
            let dtype = column.dtype();
            table.header.push(column.name().to_string());
            table.align.push(Align::of(dtype));
            let floats = column.cast(&DataType::Float64).ok().filter(|_| dtype.is_float());
            let whole = floats
                .as_ref()
                .and_then(|c| c.f64().ok())
                .is_some_and(|values| values.iter().flatten().all(|v| v.fract() == 0.0 && v.abs() < 1e15));
            let decimals = if whole { 0 } else { decimals };
            let float = |v: f64| {
                let least = 0.5 * 0.1f64.powi(decimals as i32);
                if v != 0.0 && v.abs() < least { format!("{v:.0e}") } else { format!("{v:.decimals$}") }
            };
            for (row, cells) in cells.iter_mut().enumerate() {
                cells.push(match column.get(row).map_err(Error::frame("make a table of the frame"))? {
                    AnyValue::Null => String::new(),
                    AnyValue::Float32(v) => float(f64::from(v)),
                    AnyValue::Float64(v) => float(v),
                    AnyValue::Boolean(v) => String::from(if v { "yes" } else { "no" }),
                    AnyValue::String(v) => v.to_string(),
                    AnyValue::StringOwned(v) => v.to_string(),
                    other => other.to_string(),
                });
            }
        }
        table.rows = cells;
        Ok(table)
    }

    /// GitHub's Markdown: title in bold, pipe table, notes as small print.
    pub fn markdown(&self) -> String {
        let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut out = format!("**{}**\n\n", escape_markdown(&self.title));
        out += &row(self.header.iter().map(|c| escape_markdown(c)).collect());
        out += &row(self
            .columns()
            .map(|c| {
                String::from(match self.align(c) {
                    Align::Left => ":---",
                    Align::Center => ":---:",
                    Align::Right => "---:",
                })
            })
            .collect());
        for cells in &self.rows {
            out += &row(self.columns().map(|c| escape_markdown(cell(cells, c))).collect());
        }
        for note in &self.notes {
            out += &format!("\n<sub>{}</sub>\n", escape_markdown(note));
        }
        out
    }

    /// A LaTeX `table` with booktabs rules; the preamble needs `\usepackage{booktabs}`.
    pub fn latex(&self) -> String {
        let row = |cells: Vec<String>| format!("    {} \\\\\n", cells.join(" & "));
        let columns: String = self
            .columns()
            .map(|c| match self.align(c) {
                Align::Left => 'l',
                Align::Center => 'c',
                Align::Right => 'r',
            })
            .collect();
        let mut out = format!(
            "\\begin{{table}}\n  \\centering\n  \\caption{{{}}}\n  \\label{{tab:{}}}\n  \\begin{{tabular}}{{{columns}}}\n    \\toprule\n",
            escape_latex(&self.title),
            self.id
        );
        out += &row(self.header.iter().map(|c| escape_latex(c)).collect());
        out += "    \\midrule\n";
        for cells in &self.rows {
            out += &row(self.columns().map(|c| escape_latex(cell(cells, c))).collect());
        }
        out += "    \\bottomrule\n  \\end{tabular}\n";
        for note in &self.notes {
            out += &format!("  \\par\\smallskip{{\\footnotesize {}}}\n", escape_latex(note));
        }
        out + "\\end{table}\n"
    }

    /// CSV (RFC 4180, lines end with LF): header and rows, without title and notes.
    pub fn csv(&self) -> String {
        let row = |cells: Vec<String>| cells.join(",") + "\n";
        let mut out = row(self.header.iter().map(|c| escape_csv(c)).collect());
        for cells in &self.rows {
            out += &row(self.columns().map(|c| escape_csv(cell(cells, c))).collect());
        }
        out
    }

    /// HTML of one `figure` element with inline styles in the page's own colours, readable on light
    /// and dark pages.
    pub fn html(&self) -> String {
        let align = |c| match self.align(c) {
            Align::Left => "left",
            Align::Center => "center",
            Align::Right => "right",
        };
        let row = |tag: &str, cells: Vec<&str>, border: &str| {
            let mut out = String::from("<tr style=\"background:transparent\">");
            for (c, cell) in cells.iter().enumerate() {
                out += &format!(
                    "<{tag} style=\"text-align:{};padding:0.25em 0.8em;border:0;{border}\">{}</{tag}>",
                    align(c),
                    escape_html(cell)
                );
            }
            out + "</tr>\n"
        };
        let mut out = String::from(
            "<figure style=\"margin:0.5em 0;display:inline-block;max-width:100%;overflow-x:auto\">\n",
        );
        out += &format!(
            "<figcaption style=\"font-weight:bold;padding:0 0 0.4em 0\">{}</figcaption>\n",
            escape_html(&self.title)
        );
        out += "<table style=\"border-collapse:collapse;border:0;border-top:2px solid currentColor;\
                border-bottom:2px solid currentColor;font-variant-numeric:tabular-nums;margin:0\">\n<thead>\n";
        let header: Vec<&str> = self.header.iter().map(String::as_str).collect();
        out += &row("th", header, "border-bottom:1px solid currentColor;font-weight:bold");
        out += "</thead>\n<tbody>\n";
        for cells in &self.rows {
            out += &row("td", self.columns().map(|c| cell(cells, c)).collect(), "");
        }
        out += "</tbody>\n</table>\n";
        for note in &self.notes {
            out += &format!(
                "<p style=\"font-size:85%;opacity:0.8;margin:0.4em 0 0 0\">{}</p>\n",
                escape_html(note)
            );
        }
        out + "</figure>\n"
    }

    /// [`Table::text_in`] lines of [`TEXT_WIDTH`] characters.
    pub fn text(&self) -> String {
        self.text_in(TEXT_WIDTH)
    }

    /// Plain text, with title and notes, in lines of at most `width` characters: cells are broken between words; where columns
    /// as wide as their longest words have no room, each row is a list of its cells.
    pub fn text_in(&self, width: usize) -> String {
        let mut out = format!("{}\n", self.title);
        out += &self.columns_in(width).unwrap_or_else(|| self.records(width));
        for note in &self.notes {
            wrapped(note, width).iter().for_each(|line| out += &format!("{line}\n"));
        }
        out
    }

    /// Columns, as wide as their cells where there is room, else broken to `width` between words; `None` where these have no room.
    fn columns_in(&self, width: usize) -> Option<String> {
        let mut table = comfy_table::Table::new();
        // Rules above and below the header and at the end, as in print.
        table.load_preset("  ── ──      ──    ").set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(self.header.iter().map(|c| one_line(c)));
        for cells in &self.rows {
            table.add_row(self.columns().map(|c| one_line(cell(cells, c))));
        }
        for c in self.columns() {
            if let Some(column) = table.column_mut(c) {
                column.set_cell_alignment(match self.align(c) {
                    Align::Left => CellAlignment::Left,
                    Align::Center => CellAlignment::Center,
                    Align::Right => CellAlignment::Right,
                });
            }
        }
        let whole = table.trim_fmt();
        if whole.lines().all(|line| line.chars().count() <= width) {
            return Some(whole + "\n");
        }
        let least: Vec<usize> = self.columns().map(|c| self.longest_word(c) + PADDING).collect();
        // One more between two columns.
        if width < NARROW || least.iter().sum::<usize>() + least.len() + 1 > width {
            return None;
        }
        for (c, least) in least.into_iter().enumerate() {
            if let (Some(column), Ok(least)) = (table.column_mut(c), u16::try_from(least)) {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
            }
        }
        let narrower = u16::try_from(width).unwrap_or(u16::MAX);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(narrower);
        Some(table.trim_fmt() + "\n")
    }

    /// Characters of the longest word in column `c`, its name included.
    fn longest_word(&self, c: usize) -> usize {
        let cells = self.rows.iter().map(|cells| one_line(cell(cells, c)));
        let texts = cells.chain(self.header.get(c).map(|name| one_line(name)));
        let longest = |text: String| text.split_whitespace().map(|word| word.chars().count()).max();
        texts.filter_map(longest).max().unwrap_or(1)
    }

    /// Rows as lists: the first cell, and the others below it with their names.
    fn records(&self, width: usize) -> String {
        let mut out = String::new();
        for cells in &self.rows {
            for c in self.columns() {
                let text = one_line(cell(cells, c));
                let line = match (c, self.header.get(c)) {
                    (0, _) | (_, None) => text,
                    (_, Some(name)) => format!("  {}: {text}", one_line(name)),
                };
                for (index, line) in wrapped(&line, width.saturating_sub(4)).iter().enumerate() {
                    let indent = if index > 0 {
                        "    "
                    } else if c > 0 {
                        "  "
                    } else {
                        ""
                    };
                    out += &format!("{indent}{line}\n");
                }
            }
        }
        out
    }

    /// Writes ID.md, ID.tex, ID.csv and ID.json (title, notes, cells, provenance) into `dir`, which is
    /// created. Returns the paths. An error if a row and the header differ in length.
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
        let dir = dir.as_ref();
        check_id("save the table", &self.id)?;
        check_folder("save the table", dir, &self.id)?;
        self.rows.iter().try_for_each(|row| self.check(row))?;
        write_all(dir, &self.id, self.files())
    }

    /// What [`Table::save`] writes: each file's extension and bytes.
    pub fn files(&self) -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("md", self.markdown().into_bytes()),
            ("tex", self.latex().into_bytes()),
            ("csv", self.csv().into_bytes()),
            ("json", json_bytes(&self.about())),
        ]
    }

    /// Title, notes, cells and provenance.
    pub fn about(&self) -> serde_json::Value {
        serde_json::json!({
            "id": self.id,
            "title": self.title,
            "header": self.header,
            "rows": self.rows,
            "notes": self.notes,
            "provenance": self.provenance,
        })
    }

    /// Shows the table as a notebook cell's value: HTML and plain text in one display.
    /// evcxr calls this on a cell's last expression.
    pub fn evcxr_display(&self) {
        evcxr_runtime::mime_type("text/plain").text(self.text());
        evcxr_runtime::mime_type("text/html").text(self.html());
    }

    fn columns(&self) -> std::ops::Range<usize> {
        0..self.header.len()
    }

    pub(crate) fn align(&self, column: usize) -> Align {
        self.align.get(column).copied().unwrap_or(Align::Left)
    }

    pub(crate) fn check(&self, row: &[String]) -> Result<()> {
        if row.len() == self.header.len() {
            return Ok(());
        }
        Err(Error::Shape {
            operation: "fill the table's row",
            expected: vec![self.header.len()],
            got: vec![row.len()],
        })
    }
}

pub(crate) fn cell(cells: &[String], column: usize) -> &str {
    cells.get(column).map_or("", String::as_str)
}
