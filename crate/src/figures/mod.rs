//! The figures: one drawing function a figure, from a result frame to a [`Drawing`].
//!
//! | module | what is drawn | frame's columns |
//! | --- | --- | --- |
//! | [`fig1a`] | training loss against steps, one curve a setting | `setting`, `step`, `loss`, `seed` |
//! | [`fig1b`] | time to fit against label corruption | `model`, `p`, `seed`, `epochs_to_fit`, `relative` |
//! | [`fig1c`] | test error against label corruption | `model`, `p`, `seed`, `test_error`, `chance` |
//! | [`fig2b`] | accuracy against steps, with and without batch norm | `model`, `seed`, `step`, `epoch`, `loss`, `batch_accuracy`, `test_accuracy` |
//! | [`fig3`] | a network, from its plan | |
//! | [`corollary1`] | width and weights against depth | `n`, `depth`, `width`, `weights`, `largest_error` |
//! | [`min_norm`] | SGD's distance to the minimum norm | `start`, `epoch`, `distance`, `hessian` |
//! | [`rademacher`] | correlation with random signs against n | `class`, `n`, `correlation` |
//! | [`stability`] | change of losses by one example | `labels`, `epochs`, `largest_change`, `mean_change`, `changed` |
//! | [`norms`] | test error against the norm of the solution | `series`, `n`, `norm`, `test_error` |
//! | [`theorem1`] | weights and error of the constructed network | `n`, `largest_weight`, `weight_bound`, `largest_error` |
//! | [`theme`] | size, type, colours, axes, legend: what all figures share | |
//! | [`export`] | PNG and PDF of the same SVG, with an embedded font | |
//! | [`pgf`] | the same plot as source for LaTeX's pgfplots | |
//!
//! Every drawing carries, in small print, the line that says what was run ([`Note::scale_line`]), and
//! below it whatever the drawing could not show: a run that diverged or did not fit, a value cut off.

pub mod corollary1;
pub mod export;
pub mod fig1a;
pub mod fig1b;
pub mod fig1c;
pub mod fig2a;
pub mod fig2b;
pub mod fig3;
pub mod min_norm;
pub mod norms;
pub mod pgf;
pub mod rademacher;
pub mod stability;
pub mod theme;
pub mod theorem1;

use crate::files::write_whole;
use crate::frames::find;
use crate::models::plan::{Layer, Size3};
use crate::{Error, Result};
use polars::prelude::{DataFrame, DataType};
use polars_io::SerWriter;
use polars_io::prelude::CsvWriter;
use std::path::{Path, PathBuf};

pub use pgf::Pgf;
pub use theme::{Plot, Style};

/// What a drawing function has to be told beside the frame.
#[derive(Clone, Debug)]
pub struct Note {
    /// What was run: data set, n, epochs, seeds, scale
    /// ("shapes10 (embedded), n = 2,000, 60 epochs, 3 seeds, scale small"). Set in small grey type
    /// under the plot, wrapped to its width.
    pub scale_line: String,
    /// What is recorded beside the numbers; written to the drawing's JSON as it is.
    pub provenance: serde_json::Value,
}

/// A finished figure: one SVG, from which every other format is made.
#[derive(Clone, Debug)]
pub struct Drawing {
    /// Short name, also of its files: "fig1a". Letters, digits, `-` and `_`.
    pub id: String,
    /// The SVG, `width` x `height` inches, with live text.
    pub svg: String,
    /// Inches.
    pub width: f64,
    /// Inches.
    pub height: f64,
    /// What is seen, for below the figure: one paragraph of plain text.
    pub caption: String,
    /// The scale line and what the drawing could not show, as printed under the plot.
    pub notes: Vec<String>,
    /// As in [`Note::provenance`].
    pub provenance: serde_json::Value,
    /// The frame that was drawn.
    pub frame: DataFrame,
    /// How it was drawn.
    pub style: Style,
    /// What was drawn.
    pub art: Art,
}

/// What a drawing shows, from which it can be drawn in another style.
#[derive(Clone, Debug)]
pub enum Art {
    /// Curves and markers between axes.
    Plot(Box<Plot>),
    /// A network for images of this height, width and channels.
    Network {
        /// From the first to the last.
        layers: Vec<Layer>,
        /// Height, width, channels.
        input: Size3,
    },
}

/// Dots an inch of the saved PNG.
pub const PRINT_DPI: u32 = 300;
/// A notebook shows a drawing this much larger than print.
pub(crate) const SCREEN_ZOOM: f64 = 1.6;

impl Drawing {
    /// The same figure in another style.
    ///
    /// Errors: [`Error::Drawing`].
    pub fn restyled(&self, style: &Style) -> Result<Drawing> {
        let (svg, width, height) = match &self.art {
            Art::Plot(plot) => plot.svg(style)?,
            Art::Network { layers, input } => fig3::svg(layers, *input, &self.notes, &self.caption, style)?,
        };
        Ok(Drawing { svg, width, height, style: *style, ..self.clone() })
    }

    /// The same figure, in its style, as source for pgfplots that reads its data from the file named `data`. `None`
    /// for one without axes.
    ///
    /// Errors: [`Error::Drawing`].
    pub fn pgfplots(&self, data: &str) -> Result<Option<Pgf>> {
        match &self.art {
            Art::Plot(plot) => pgf::pgfplots(plot, &self.style, data).map(Some),
            Art::Network { .. } => Ok(None),
        }
    }

    /// PNG at `dpi` dots an inch (24 to 2,400), opaque, with the resolution in its header.
    pub fn png(&self, dpi: u32) -> Result<Vec<u8>> {
        export::png(&self.svg, self.style.family, dpi)
    }

    /// PDF of one page of the drawing's size, text as text, the font's used glyphs embedded.
    pub fn pdf(&self) -> Result<Vec<u8>> {
        export::pdf(&self.svg, self.style.family)
    }

    /// The drawn frame as CSV with a header; an absent value is an empty field.
    pub fn csv(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut frame = self.frame.clone();
        CsvWriter::new(&mut bytes).finish(&mut frame).map_err(Error::frame("write the drawing's frame"))?;
        Ok(bytes)
    }

    /// Writes ID.svg, ID.png ([`PRINT_DPI`]), ID.pdf, ID.csv (the frame) and ID.json (caption, notes,
    /// size, provenance) into `dir`, which is created. Equal drawings give equal bytes on every
    /// machine. All five are made before the first is written. Returns the paths.
    pub fn save(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        check_id("save the drawing", &self.id)?;
        write_all(dir, &self.id, self.files()?)
    }

    /// What [`Drawing::save`] writes: each file's extension and bytes.
    ///
    /// Errors: those of making them.
    pub fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>> {
        Ok(vec![
            ("svg", self.svg.clone().into_bytes()),
            ("png", self.png(PRINT_DPI)?),
            ("pdf", self.pdf()?),
            ("csv", self.csv()?),
            ("json", json_bytes(&self.about())),
        ])
    }

    /// Caption, notes, size and provenance.
    pub(crate) fn about(&self) -> serde_json::Value {
        serde_json::json!({
            "id": self.id,
            "caption": self.caption,
            "notes": self.notes,
            "width_in": self.width,
            "height_in": self.height,
            "provenance": self.provenance,
        })
    }

    /// Shows the drawing as a notebook cell's value: SVG, PNG and a line of text in one display.
    /// evcxr calls this on a cell's last expression.
    pub fn evcxr_display(&self) {
        evcxr_runtime::mime_type("text/plain").text(format!("{}: {}", self.id, self.caption));
        display(&self.svg, (self.width, self.height), self.style.family);
    }
}

/// Shows an SVG of `width` by `height` inches as a cell's picture, larger than on paper, and as PNG.
pub(crate) fn display(svg: &str, (width, height): (f64, f64), family: export::Family) {
    let size = |zoom: f64| format!("width=\"{:.4}in\" height=\"{:.4}in\"", width * zoom, height * zoom);
    evcxr_runtime::mime_type("image/svg+xml").text(svg.replacen(&size(1.0), &size(SCREEN_ZOOM), 1));
    match export::png(svg, family, 192) {
        Ok(png) => evcxr_runtime::mime_type("image/png").bytes(&png),
        // The SVG is already shown, so the cell does not fail for its fallback.
        Err(error) => eprintln!("{error}"),
    }
}

/// Writes each (extension, bytes) as `dir/id.extension`; returns the paths.
pub(crate) fn write_all(dir: &Path, id: &str, files: Vec<(&str, Vec<u8>)>) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::with_capacity(files.len());
    for (extension, bytes) in files {
        let path = dir.join(format!("{id}.{extension}"));
        write_whole(&path, &bytes)?;
        paths.push(path);
    }
    Ok(paths)
}

/// Pretty JSON with a final newline, keys sorted.
pub(crate) fn json_bytes(value: &serde_json::Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// An id names files, so it may not name another folder.
pub(crate) fn check_id(operation: &'static str, id: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if id.is_empty() || !id.chars().all(plain) {
        let problem = format!("the id {id:?} may hold letters, digits, '-' and '_' only");
        return Err(Error::argument(operation, problem));
    }
    Ok(())
}

/// The named columns exist, or an error that names the absent ones and what there is.
fn need(frame: &DataFrame, operation: &'static str, names: &[&str]) -> Result<()> {
    let absent: Vec<&str> = names.iter().copied().filter(|n| find(frame, n).is_err()).collect();
    if absent.is_empty() {
        return Ok(());
    }
    let found: Vec<&str> = frame.get_column_names().iter().map(|n| n.as_str()).collect();
    let problem = format!(
        "the frame has no column {}; it needs {} and has {}",
        absent.join(", "),
        names.join(", "),
        if found.is_empty() { "none".into() } else { found.join(", ") },
    );
    Err(Error::argument(operation, problem))
}

/// A numeric column as f64, absent values as `None`.
fn numbers(frame: &DataFrame, operation: &'static str, name: &str) -> Result<Vec<Option<f64>>> {
    let column = find(frame, name).map_err(Error::frame(operation))?;
    let dtype = column.dtype();
    if !dtype.is_primitive_numeric() && *dtype != DataType::Null {
        return Err(Error::argument(operation, format!("column {name} holds {dtype}, not numbers")));
    }
    let column = column.cast(&DataType::Float64).map_err(Error::frame(operation))?;
    Ok(column.f64().map_err(Error::frame(operation))?.iter().collect())
}

/// A numeric column in which every row has a finite value.
fn all_numbers(frame: &DataFrame, operation: &'static str, name: &str) -> Result<Vec<f64>> {
    let values = numbers(frame, operation, name)?.into_iter().enumerate();
    values
        .map(|(row, v)| match v {
            Some(v) if v.is_finite() => Ok(v),
            Some(v) => Err(Error::argument(operation, format!("column {name}, row {row}: {v}"))),
            None => Err(Error::argument(operation, format!("column {name}, row {row}: no value"))),
        })
        .collect()
}

/// A text column in which every row has a value.
fn texts(frame: &DataFrame, operation: &'static str, name: &str) -> Result<Vec<String>> {
    let column = find(frame, name).map_err(Error::frame(operation))?;
    let dtype = column.dtype();
    if *dtype != DataType::String && !dtype.is_categorical() {
        return Err(Error::argument(operation, format!("column {name} holds {dtype}, not text")));
    }
    let column = column.cast(&DataType::String).map_err(Error::frame(operation))?;
    let values = column.str().map_err(Error::frame(operation))?;
    let absent = |row| Error::argument(operation, format!("column {name}, row {row}: no value"));
    values.iter().enumerate().map(|(row, v)| v.map(String::from).ok_or_else(|| absent(row))).collect()
}

/// The distinct values in order of first appearance.
fn distinct(values: &[String]) -> Vec<String> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(value) {
            seen.push(value.clone());
        }
    }
    seen
}

/// Mean and sample standard deviation (n - 1; 0 for one value). `values` is not empty.
fn mean_sd(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    if values.len() < 2 {
        return (mean, 0.0);
    }
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0)).sqrt())
}
