//! plotters in a cell, as its own documentation has it: a figure of any size in pixels, drawn by a closure, shown as SVG
//! and PNG.
//!
//! plotters' own `evcxr_figure` shows HTML, which exports of notebooks leave out, and panics where a drawing fails.

use crate::drawing::{SCREEN_DPI, pictures};
use crate::export::{self, Family};
use crate::svg::{Canvas, in_attribute, in_pixels};
use crate::{Error, Result, files};
use std::error::Error as Any;
use std::path::Path;

/// A figure that a closure has drawn with plotters, as a cell's last value.
#[derive(Debug)]
pub struct CellFigure {
    svg: Result<String>,
    size: (u32, u32),
}

/// What `draw` draws on an area of `size` (width, height) pixels, 1 to 10,000 each.
///
/// The gallery's and the documentation's examples of plotters run as they stand, with this in the place of their backend:
///
/// ```
/// use plotters::prelude::*;
/// use rethink_plot::cell::evcxr_figure;
///
/// let figure = evcxr_figure((640, 480), |root| {
///     root.fill(&WHITE)?;
///     let mut chart = ChartBuilder::on(&root)
///         .caption("y=x^2", ("sans-serif", 50).into_font())
///         .margin(5)
///         .x_label_area_size(30)
///         .y_label_area_size(30)
///         .build_cartesian_2d(-1f32..1f32, -0.1f32..1f32)?;
///     chart.configure_mesh().draw()?;
///     chart.draw_series(LineSeries::new((-50..=50).map(|x| x as f32 / 50.0).map(|x| (x, x * x)), &RED))?
///         .label("y = x^2")
///         .legend(|(x, y)| PathElement::new(vec![(x, y), (x + 20, y)], &RED));
///     chart.configure_series_labels().background_style(&WHITE.mix(0.8)).border_style(&BLACK).draw()?;
///     Ok(())
/// });
/// assert!(figure.svg()?.contains(">\ny=x^2\n</text>"));
/// # Ok::<(), rethink_plot::Error>(())
/// ```
///
/// Errors: those of `draw` are kept in the figure, and said where it is shown or saved.
pub fn evcxr_figure<D>(size: (u32, u32), draw: D) -> CellFigure
where
    D: FnOnce(Canvas) -> std::result::Result<(), Box<dyn Any>>,
{
    let sides = [size.0, size.1];
    let svg = if sides.iter().all(|side| (1..=10_000).contains(side)) {
        in_pixels(size, draw)
    } else {
        Err(Error::argument("draw a figure", format!("{sides:?} pixels; each side has 1 to 10,000")))
    };
    CellFigure { svg, size }
}

/// As [`evcxr_figure`], and the figure is saved as the file `name`, as [`CellFigure::save`] does.
pub fn evcxr_figure_with_saving<D>(name: &str, size: (u32, u32), draw: D) -> CellFigure
where
    D: FnOnce(Canvas) -> std::result::Result<(), Box<dyn Any>>,
{
    let figure = evcxr_figure(size, draw);
    match figure.save(name) {
        Ok(()) => figure,
        Err(error) => CellFigure { svg: Err(error), ..figure },
    }
}

impl CellFigure {
    /// The figure as SVG.
    ///
    /// Errors: what went wrong as it was drawn.
    pub fn svg(&self) -> Result<&str> {
        match &self.svg {
            Ok(svg) => Ok(svg),
            Err(error) => Err(Error::Drawing { operation: "draw a figure", problem: error.to_string() }),
        }
    }

    /// Writes the figure to `path`, whole or not at all: SVG, PDF or, at twice its pixels, PNG, by the name's extension.
    ///
    /// Errors: what went wrong as it was drawn; [`Error::Argument`] for another extension; [`Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let svg = self.svg()?;
        let bytes = match path.extension().and_then(|extension| extension.to_str()) {
            Some("svg") => svg.as_bytes().to_vec(),
            Some("png") => self.png()?,
            Some("pdf") => export::pdf(svg, Family::Sans)?,
            _ => {
                let problem = format!("{}: the name ends in .svg, .png or .pdf", path.display());
                return Err(Error::argument("save a figure", problem));
            }
        };
        files::write_whole(path, &bytes)
    }

    /// The figure as PNG, with twice as many pixels.
    ///
    /// Errors: what went wrong as it was drawn.
    pub fn png(&self) -> Result<Vec<u8>> {
        export::png(self.svg()?, Family::Sans, SCREEN_DPI)
    }

    /// The figure with `css` as the style of its SVG, "width: 60%".
    pub fn style<S: Into<String>>(self, css: S) -> CellFigure {
        let styled =
            |svg: String| svg.replacen("<svg", &format!("<svg style=\"{}\"", in_attribute(&css.into())), 1);
        CellFigure { svg: self.svg.map(styled), ..self }
    }

    /// Shows the figure as a cell's value: SVG and PNG in one display. evcxr calls this on a cell's last expression.
    pub fn evcxr_display(&self) {
        let (width, height) = self.size;
        match self.svg() {
            Ok(svg) => {
                evcxr_runtime::mime_type("text/plain").text(format!("a figure of {width} x {height} pixels"));
                pictures(svg, self.png());
            }
            Err(error) => crate::tell!("{error}"),
        }
    }
}
