//! Regression tests of notebooks in nbval's manner: what an execution shows and writes, beside what is stored.
//!
//! Stored outputs lie in the workspace's `tests/expected`, one folder per notebook. Texts are compared line by line, CSVs
//! cell by cell: numbers within a [`Tolerance`], all else equal ([`close`]).
//!
//! Results are equal bit for bit on processors with the same vector instructions. Others add in another order, and
//! training makes much of a last digit: an image changes sides, a run is fitted an epoch later. There [`Rule::OTHER`]
//! holds: numbers may be wider apart, and a few lines may differ altogether.

use crate::Result;
use crate::jupyter::close::{self, Tolerance, relative_difference};
use crate::jupyter::outputs::{self, Cell, Outputs};
use polars::prelude::DataFrame;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where the outputs of `notebook` are stored among those of all notebooks.
pub fn folder(all: &Path, notebook: &Path) -> PathBuf {
    all.join(notebook.file_stem().unwrap_or_default())
}

/// Where an execution is not what is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The cell and line, or the file, row and column.
    pub place: String,
    /// What is stored; empty where nothing is.
    pub expected: String,
    /// What the execution gave; empty where nothing was given.
    pub got: String,
    /// `|expected - got|` over the larger magnitude, where nothing but numbers differs.
    pub relative: Option<f64>,
    /// A cell, a figure, a table, a file, a column or a row is not there or is another: no matter of digits.
    pub structural: bool,
}

/// What is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Of each number.
    pub tolerance: Tolerance,
    /// Share of the stored lines of text and values of CSVs that may differ beyond it, 0 to 1. Structure may not.
    pub share: f64,
}

impl Rule {
    /// Where outputs were recorded with the vector instructions that this processor has.
    pub const SAME: Rule = Rule { tolerance: Tolerance::SAME, share: 0.0 };
    /// Where they were recorded with others.
    pub const OTHER: Rule = Rule { tolerance: Tolerance::OTHER, share: 0.1 };

    /// The rule for comparing `got` with `stored`.
    pub fn of(stored: &Outputs, got: &Outputs) -> Rule {
        if stored.instructions == got.instructions { Rule::SAME } else { Rule::OTHER }
    }

    /// Whether `differences` from `stored` are few enough.
    pub fn allows(self, stored: &Outputs, differences: &[Difference]) -> bool {
        let most = (self.share * stored.size() as f64) as usize;
        differences.len() <= most && !differences.iter().any(|difference| difference.structural)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            |text: &str| if text.is_empty() { "(nothing)".into() } else { text.trim_end().to_string() };
        writeln!(f, "{}", self.place)?;
        writeln!(f, "    expected  {}", shown(&self.expected))?;
        write!(f, "    got       {}", shown(&self.got))?;
        match self.relative {
            Some(relative) => write!(f, "\n    relative difference {relative:.1e}"),
            None => Ok(()),
        }
    }
}

/// Every difference of `got` from `stored` beyond `tolerance`, in the notebook's order, CSVs last.
///
/// Errors: [`crate::Error::Frame`] for a stored text that is no CSV.
pub fn differences(stored: &Outputs, got: &Outputs, tolerance: Tolerance) -> Result<Vec<Difference>> {
    let mut found = Vec::new();
    let none = Cell::default();
    for number in 0..stored.cells.len().max(got.cells.len()) {
        let expected = stored.cells.get(number).unwrap_or(&none);
        let cell = got.cells.get(number).unwrap_or(&none);
        let place = |what: &str| {
            let source = if cell.source.is_empty() { &expected.source } else { &cell.source };
            format!("cell {} (`{source}`), {what}", number + 1)
        };
        let mut whole = |what: &str, expected: &str, got: &str| {
            if expected != got {
                let (expected, got) = (expected.into(), got.into());
                found.push(Difference {
                    place: place(what),
                    expected,
                    got,
                    relative: None,
                    structural: true,
                });
            }
        };
        whole("first line of its source", &expected.source, &cell.source);
        if cell.ignored {
            continue;
        }
        whole("what it shows", &expected.shows, &cell.shows);
        let texts = [
            ("standard output", &expected.stdout, &cell.stdout),
            ("result as text", &expected.result, &cell.result),
        ];
        for (what, expected, got) in texts {
            for line in close::lines(expected, got, tolerance) {
                found.push(Difference {
                    place: place(&format!("{what}, line {}", line.line)),
                    expected: line.expected,
                    got: line.got,
                    relative: line.relative,
                    structural: false,
                });
            }
        }
    }
    for (name, expected) in &stored.tables {
        match got.tables.get(name) {
            Some(got) => found.extend(table(name, expected, got, tolerance)?),
            None => found.push(Difference {
                place: name.clone(),
                expected: "a file".into(),
                got: String::new(),
                relative: None,
                structural: true,
            }),
        }
    }
    for name in got.tables.keys().filter(|name| !stored.tables.contains_key(*name)) {
        let (place, got) = (name.clone(), "a file".into());
        found.push(Difference { place, expected: String::new(), got, relative: None, structural: true });
    }
    Ok(found)
}

/// Cell by cell, columns by name.
fn table(name: &str, expected: &str, got: &str, tolerance: Tolerance) -> Result<Vec<Difference>> {
    let (theirs, ours) = (outputs::frame(expected)?, outputs::frame(got)?);
    let mut found = Vec::new();
    let mut differ = |place: String, expected: String, got: String, relative, structural| {
        found.push(Difference { place: format!("{name}, {place}"), expected, got, relative, structural });
    };
    let columns = |frame: &DataFrame| {
        let names: Vec<&str> = frame.get_column_names().into_iter().map(|name| name.as_str()).collect();
        names.join(", ")
    };
    if columns(&theirs) != columns(&ours) {
        differ("columns".into(), columns(&theirs), columns(&ours), None, true);
    }
    if theirs.height() != ours.height() {
        differ("rows".into(), theirs.height().to_string(), ours.height().to_string(), None, true);
    }
    for row in 0..theirs.height().min(ours.height()) {
        for column in theirs.columns() {
            let Ok(other) = ours.column(column.name()) else { continue };
            let value = |column: &polars::prelude::Column| {
                let texts = column.str().ok();
                texts.and_then(|texts| texts.get(row)).unwrap_or_default().to_string()
            };
            let (a, b) = (value(column), value(other));
            // Counted as an editor counts lines: the header is the first.
            let place = format!("line {}, column {}", row + 2, column.name());
            match (a.parse::<f64>(), b.parse::<f64>()) {
                (Ok(x), Ok(y)) if tolerance.allows(x, y) => {}
                (Ok(x), Ok(y)) => differ(place, a, b, Some(relative_difference(x, y)), false),
                _ => {
                    if let Some(line) = close::lines(&a, &b, tolerance).into_iter().next() {
                        differ(place, a, b, line.relative, false);
                    }
                }
            }
        }
    }
    Ok(found)
}
