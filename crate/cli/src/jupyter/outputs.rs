//! What an execution of a notebook shows and writes, in a form that can be stored and compared.
//!
//! In a folder of its own: `cells.txt` (each code cell's first line, the kinds of what it shows, its standard output and
//! its result as text, [sanitized](crate::jupyter::sanitize)) and the CSV of each figure and table that the notebook
//! writes, without columns of seconds. Figures are compared by the numbers that they are drawn from.

use crate::jupyter::sanitize::sanitize;
use crate::{Error, Result};
use polars::prelude::{DataFrame, DataType};
use polars_io::prelude::{CsvReadOptions, CsvWriter};
use polars_io::{SerReader, SerWriter};
use rethink_nn::instructions;
use rethink_plot::files;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// The file of cells.
pub const CELLS: &str = "cells.txt";
const HEAD: &str =
    "# What each code cell shows at scale smoke on shapes10. Written by `rethink notebooks accept`.";
const INSTRUCTIONS: &str = "# Recorded with the vector instructions ";
/// Columns whose names start so hold wall-clock time.
const TIMES: &str = "seconds";

/// One code cell's outputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// The first line of its source that is not empty.
    pub source: String,
    /// MIME types of its results, sorted, separated by spaces.
    pub shows: String,
    /// Standard output.
    pub stdout: String,
    /// `text/plain` of its results.
    pub result: String,
    /// Its outputs are not compared: its tags have [`IGNORE_OUTPUT`]. Not stored, and neither are the outputs.
    pub ignored: bool,
}

/// nbval's tag of a cell whose outputs are not compared.
pub const IGNORE_OUTPUT: &str = "nbval-ignore-output";

/// One execution's outputs.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// The processor's vector instructions: they decide in which order sums are added.
    pub instructions: String,
    /// The code cells that are not empty, in order.
    pub cells: Vec<Cell>,
    /// File name and text of each CSV.
    pub tables: BTreeMap<String, String>,
}

impl Outputs {
    /// Of the notebook `executed` that wrote its figures and tables to folders in `out`; `root` is the workspace.
    ///
    /// Errors: [`Error::Io`], [`Error::Format`] for what is no executed notebook or no CSV.
    pub fn of(executed: &Path, out: &Path, root: &Path) -> Result<Outputs> {
        let operation = "read the executed notebook";
        let bytes = fs::read(executed).map_err(Error::io(operation, executed))?;
        let broken = |problem: String| Error::format(operation, executed, problem);
        let json: Value = serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))?;
        let cells = json["cells"].as_array().ok_or_else(|| broken("it has no cells".into()))?;
        let real = out.canonicalize().unwrap_or_else(|_| out.to_path_buf());
        let places = [(out, "<out>"), (&*real, "<out>"), (root, "<root>")];
        let mut found = Vec::new();
        for cell in cells.iter().filter(|cell| cell["cell_type"] == "code") {
            let source = text(&cell["source"]);
            let Some(first) = source.lines().find(|line| !line.trim().is_empty()) else { continue };
            let tags = cell["metadata"]["tags"].as_array();
            if tags.is_some_and(|tags| tags.iter().any(|tag| tag == IGNORE_OUTPUT)) {
                found.push(Cell { source: first.trim().into(), ignored: true, ..Cell::default() });
                continue;
            }
            let (mut shows, mut stdout, mut result) = (Vec::new(), String::new(), String::new());
            for output in cell["outputs"].as_array().into_iter().flatten() {
                if output["output_type"] == "stream" && output["name"] == "stdout" {
                    stdout += &text(&output["text"]);
                }
                for (kind, data) in output["data"].as_object().into_iter().flatten() {
                    shows.push(kind.clone());
                    if kind == "text/plain" {
                        result += &text(data);
                    }
                }
            }
            shows.sort();
            found.push(Cell {
                source: first.trim().into(),
                shows: shows.join(" "),
                stdout: sanitize(&stdout, &places),
                result: sanitize(&result, &places),
                ignored: false,
            });
        }
        Ok(Outputs { instructions: instructions::name().into(), cells: found, tables: tables(out)? })
    }

    /// Those stored in `folder`.
    ///
    /// Errors: [`Error::Missing`] where nothing is stored, [`Error::Io`], [`Error::Format`] naming the file and line.
    pub fn read(folder: &Path) -> Result<Outputs> {
        let path = folder.join(CELLS);
        if !path.is_file() {
            return Err(Error::Missing {
                what: format!("no outputs are stored for this notebook ({})", path.display()),
                remedy: "`rethink notebooks accept` stores those of the present code".into(),
            });
        }
        let text = fs::read_to_string(&path).map_err(Error::io("read the stored outputs", &path))?;
        let (instructions, cells) = parse(&text, &path)?;
        let mut tables = BTreeMap::new();
        for path in csvs(folder)? {
            let text = fs::read_to_string(&path).map_err(Error::io("read the stored table", &path))?;
            tables.insert(name(&path), text);
        }
        Ok(Outputs { instructions, cells, tables })
    }

    /// Writes them to `folder`, each file whole or not at all, only where it differs, and removes the CSV of what is
    /// no longer written. Returns what was done, one line per file ("new: fig1a.csv").
    ///
    /// Errors: [`Error::Io`] naming the file.
    pub fn write(&self, folder: &Path) -> Result<Vec<String>> {
        let mut said = Vec::new();
        let cells = [(CELLS.to_string(), self.text())];
        for (name, text) in cells.iter().map(|(n, t)| (n, t)).chain(&self.tables) {
            let path = folder.join(name);
            let old = fs::read(&path).ok();
            if old.as_deref() == Some(text.as_bytes()) {
                continue;
            }
            files::write_whole(&path, text.as_bytes())?;
            said.push(format!("{}: {name}", if old.is_some() { "changed" } else { "new" }));
        }
        if folder.is_dir() {
            for path in csvs(folder)?.into_iter().filter(|path| !self.tables.contains_key(&name(path))) {
                fs::remove_file(&path).map_err(Error::io("remove the stored table", &path))?;
                said.push(format!("removed: {}", name(&path)));
            }
        }
        Ok(said)
    }

    /// How many lines of text and values of CSVs there are to compare.
    pub fn size(&self) -> usize {
        let lines = self.cells.iter().map(|cell| cell.stdout.lines().count() + cell.result.lines().count());
        let frames = self.tables.values().filter_map(|csv| frame(csv).ok());
        lines.sum::<usize>() + frames.map(|frame| frame.height() * frame.width()).sum::<usize>()
    }

    /// [`CELLS`]: a cell's head is `[number] first line`; every line of output stands behind `| `.
    fn text(&self) -> String {
        let mut out = format!("{HEAD}\n{INSTRUCTIONS}{}.\n", self.instructions);
        for (number, cell) in self.cells.iter().enumerate() {
            out += &format!("\n[{}] {}\n", number + 1, cell.source);
            if !cell.shows.is_empty() {
                out += &format!("shows: {}\n", cell.shows);
            }
            for (head, text) in [("stdout", &cell.stdout), ("result", &cell.result)] {
                if text.is_empty() {
                    continue;
                }
                out += &format!("{head}:\n");
                for line in text.lines() {
                    out += format!("| {line}").trim_end();
                    out.push('\n');
                }
            }
        }
        out
    }
}

fn parse(text: &str, path: &Path) -> Result<(String, Vec<Cell>)> {
    let (mut instructions, mut cells) = (String::new(), Vec::<Cell>::new());
    let mut into_result = false;
    for (number, line) in text.lines().enumerate() {
        let problem = |what: &str| {
            Error::format("read the stored outputs", path, format!("line {}: {what}: {line:?}", number + 1))
        };
        if let Some(rest) = line.strip_prefix(INSTRUCTIONS) {
            instructions = rest.trim_end_matches('.').into();
        } else if line.is_empty() || line.starts_with('#') {
        } else if let Some((_, source)) = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
            cells.push(Cell { source: source.into(), ..Cell::default() });
        } else {
            let cell = cells.last_mut().ok_or_else(|| problem("before the first cell"))?;
            match line {
                "stdout:" => into_result = false,
                "result:" => into_result = true,
                _ => {
                    let output = line.strip_prefix("| ").or(line.strip_prefix('|'));
                    match (line.strip_prefix("shows: "), output) {
                        (Some(shows), _) => cell.shows = shows.into(),
                        (None, Some(output)) => {
                            let text = if into_result { &mut cell.result } else { &mut cell.stdout };
                            *text += &format!("{output}\n");
                        }
                        _ => return Err(problem("neither a cell nor its output")),
                    }
                }
            }
        }
    }
    Ok((instructions, cells))
}

/// nbformat lets a text be a string or a list of lines.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().unwrap_or_default().into(),
    }
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The CSV files of `folder`, by name.
fn csvs(folder: &Path) -> Result<Vec<PathBuf>> {
    let operation = "read the folder";
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(operation, folder))? {
        let path = entry.map_err(Error::io(operation, folder))?.path();
        if path.extension().is_some_and(|e| e == "csv") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The CSVs in the folders of `out`, without their columns of seconds.
fn tables(out: &Path) -> Result<BTreeMap<String, String>> {
    let mut tables = BTreeMap::new();
    if !out.is_dir() {
        return Ok(tables);
    }
    for entry in fs::read_dir(out).map_err(Error::io("read the folder", out))? {
        let folder = entry.map_err(Error::io("read the folder", out))?.path();
        if !folder.is_dir() {
            continue;
        }
        for path in csvs(&folder)? {
            let text = fs::read_to_string(&path).map_err(Error::io("read the table", &path))?;
            tables.insert(name(&path), timeless(text, &path)?);
        }
    }
    Ok(tables)
}

/// `csv` without its columns of seconds.
fn timeless(csv: String, path: &Path) -> Result<String> {
    let operation = "read the table";
    let mut frame = frame(&csv).map_err(|e| Error::format(operation, path, e.to_string()))?;
    let timed: Vec<_> =
        frame.get_column_names().into_iter().filter(|name| name.starts_with(TIMES)).cloned().collect();
    if timed.is_empty() {
        return Ok(csv);
    }
    frame = frame.drop_many(timed);
    let mut bytes = Vec::new();
    CsvWriter::new(&mut bytes).finish(&mut frame).map_err(Error::frame(operation))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The cells of a CSV as text, an absent value as null.
pub(super) fn frame(csv: &str) -> Result<DataFrame> {
    let frame = CsvReadOptions::default()
        .with_infer_schema_length(Some(0))
        .into_reader_with_file_handle(Cursor::new(csv.as_bytes()))
        .finish()
        .map_err(Error::frame("read the table"))?;
    assert!(frame.columns().iter().all(|c| *c.dtype() == DataType::String));
    Ok(frame)
}
