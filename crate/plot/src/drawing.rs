//! A finished figure, shown in a cell and saved in every format.
//!
//! Every drawing carries, in small print, the line that says what was run ([`Note::scale_line`]), and
//! below it whatever the drawing could not show: a run that diverged or did not fit, a value cut off.

use crate::export;
use crate::output::{check_folder, check_id, json_bytes, write_all};
use crate::pgf::{self, Pgf};
use crate::plot::Plot;
use crate::style::Style;
use crate::venue::Venue;
use crate::{Error, Result};
use polars::prelude::DataFrame;
use polars_io::SerWriter;
use polars_io::prelude::CsvWriter;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

impl Note {
    /// With this scale line, and nothing recorded beside the numbers.
    pub fn new(scale_line: &str) -> Note {
        Note { scale_line: scale_line.into(), provenance: serde_json::Value::Null }
    }
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
    pub content: Content,
}

/// What a drawing shows, from which it can be drawn in another style.
#[derive(Clone, Debug)]
pub enum Content {
    /// Curves and markers between axes.
    Plot(Box<Plot>),
    /// Something without axes.
    Custom(Arc<dyn Sketch>),
}

/// A drawing without axes, which knows how it is drawn.
pub trait Sketch: fmt::Debug + Send + Sync {
    /// The SVG in `style`, with `notes` in small print, described by `caption` to those who cannot see it; its width and
    /// height in inches.
    ///
    /// Errors: [`Error::Drawing`].
    fn svg(&self, notes: &[String], caption: &str, style: &Style) -> Result<(String, f64, f64)>;
}

/// Dots an inch of the saved PNG.
pub const PRINT_DPI: u32 = 300;
/// Dots an inch of the PNG that a notebook shows: two a pixel of CSS.
pub const SCREEN_DPI: u32 = 192;
/// A notebook shows a drawing this much larger than print.
pub const SCREEN_ZOOM: f64 = 1.6;
/// Inches that a drawing in a notebook has at most: as wide as JupyterLab's cells are in a window of 1,280 pixels, its list of files
/// open.
const SCREEN_WIDTH: f64 = 8.75;

impl Plot {
    /// The figure `id` of this plot in this project's own style, and what it was drawn from.
    ///
    /// Errors: those of [`Plot::svg`].
    pub fn drawing(self, id: &str, note: &Note, frame: &DataFrame) -> Result<Drawing> {
        let style = Style::default();
        let (svg, width, height) = self.svg(&style)?;
        Ok(Drawing {
            id: id.into(),
            svg,
            width,
            height,
            caption: self.description.clone(),
            notes: self.notes.clone(),
            provenance: note.provenance.clone(),
            frame: frame.clone(),
            style,
            content: Content::Plot(Box::new(self)),
        })
    }
}

impl Drawing {
    /// The figure `id` of something without axes in this project's own style, with `notes` in small print, and the frame that
    /// it was drawn from.
    ///
    /// Errors: those of [`Sketch::svg`].
    pub fn of_sketch(
        id: &str,
        sketch: impl Sketch + 'static,
        notes: Vec<String>,
        caption: String,
        note: &Note,
        frame: DataFrame,
    ) -> Result<Drawing> {
        let style = Style::default();
        let (svg, width, height) = sketch.svg(&notes, &caption, &style)?;
        Ok(Drawing {
            id: id.into(),
            svg,
            width,
            height,
            caption,
            notes,
            provenance: note.provenance.clone(),
            frame,
            style,
            content: Content::Custom(Arc::new(sketch)),
        })
    }

    /// The same figure in another style.
    ///
    /// Errors: [`Error::Drawing`].
    pub fn restyled(&self, style: &Style) -> Result<Drawing> {
        let (svg, width, height) = match &self.content {
            Content::Plot(plot) => plot.svg(style)?,
            Content::Custom(sketch) => sketch.svg(&self.notes, &self.caption, style)?,
        };
        Ok(Drawing { svg, width, height, style: *style, ..self.clone() })
    }

    /// The same figure, in its style, as source for pgfplots that reads its data from the file named `data`. `None`
    /// for one without axes.
    ///
    /// Errors: [`Error::Drawing`].
    pub fn pgfplots(&self, data: &str) -> Result<Option<Pgf>> {
        match &self.content {
            Content::Plot(plot) => pgf::pgfplots(plot, &self.style, data).map(Some),
            Content::Custom(_) => Ok(None),
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
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
        let dir = dir.as_ref();
        check_id("save the drawing", &self.id)?;
        check_folder("save the drawing", dir, &self.id)?;
        write_all(dir, &self.id, self.files()?)
    }

    /// As [`Drawing::save`], in the width and type of `venue`'s pages. What is small print elsewhere is for the paper's caption there:
    /// ID.json has it (`notes`), and [`Drawing::notes`].
    ///
    /// ```
    /// # use polars::prelude::df;
    /// use rethink_plot::{Chart, Note, Venue};
    ///
    /// # fn main() -> rethink_plot::Result<()> {
    /// # let frame = df!("epoch" => [1, 2], "loss" => [2.1, 0.4]).expect("columns of one length");
    /// # let dir = tempfile::tempdir().expect("a folder");
    /// # let dir = dir.path();
    /// let drawing = Chart::new(&frame, "epoch", "loss").draw("my-losses", &Note::new("two epochs"))?;
    /// let paths = drawing.save_for(Venue::Icml, dir)?;
    /// assert!(paths[2].ends_with("my-losses.pdf"));
    /// # Ok(()) }
    /// ```
    pub fn save_for(&self, venue: Venue, dir: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
        self.restyled(&venue.style())?.save(dir)
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
    pub fn about(&self) -> serde_json::Value {
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
pub fn display(svg: &str, (width, height): (f64, f64), family: export::Family) {
    let size = |zoom: f64| format!("width=\"{:.4}in\" height=\"{:.4}in\"", width * zoom, height * zoom);
    // JupyterLab shows what is too wide cut off; a page that has the SVG in it, as the book, makes it narrower.
    let zoom = SCREEN_ZOOM.min(SCREEN_WIDTH / width);
    let on_screen = format!("{} style=\"max-width: 100%; height: auto\"", size(zoom));
    pictures(&svg.replacen(&size(1.0), &on_screen, 1), export::png(svg, family, SCREEN_DPI));
}

/// Shows both forms of a picture as a cell's.
pub(crate) fn pictures(svg: &str, png: Result<Vec<u8>>) {
    evcxr_runtime::mime_type("image/svg+xml").text(svg);
    match png {
        Ok(png) => evcxr_runtime::mime_type("image/png").bytes(&png),
        // The SVG is already shown, so the cell does not fail for its fallback.
        Err(error) => crate::tell!("{error}"),
    }
}
