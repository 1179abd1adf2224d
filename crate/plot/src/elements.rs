//! Elements that plotters lacks, drawn by its `draw` and `draw_series` as its own are.

use crate::style::{GREY, MARGIN, MARKER, SeriesStyle, Style, stroke, units};
use crate::svg::{Canvas, SvgBackend};
use crate::{Error, Result};
use plotters::element::{Drawable, PointCollection};
use plotters::prelude::{Color, DrawingBackend, RGBColor, ShapeStyle, WHITE};
use plotters::style::text_anchor::{HPos, VPos};
use plotters_backend::{BackendCoord, DrawingErrorKind};
use std::convert::Infallible;

/// Writes `text` of `size` points at `at`, points from the top left: `h` of it there, and the middle of its height.
///
/// Errors: [`Error::Drawing`].
pub fn write(
    canvas: &Canvas,
    style: &Style,
    text: &str,
    at: (f64, f64),
    size: f64,
    (colour, h): (RGBColor, HPos),
) -> Result<()> {
    let type_of = style.type_of(size, colour, h, VPos::Center);
    canvas.draw_text(text, &type_of, (units(at.0), units(at.1))).map_err(Error::drawing("write a text"))
}

/// Writes the lines of small print at the lower end of a drawing of `height` points.
///
/// Errors: [`Error::Drawing`].
pub fn small_print(canvas: &Canvas, style: &Style, lines: &[String], height: f64) -> Result<()> {
    for (row, line) in lines.iter().enumerate() {
        let y = height - MARGIN - style.small_row() * (lines.len() - 1 - row) as f64 - style.small_pt / 2.0;
        write(canvas, style, line, (MARGIN, y), style.small_pt, (GREY, HPos::Left))?;
    }
    Ok(())
}

/// A path with dashes, one element of the SVG whatever their number.
#[derive(Clone, Debug)]
pub struct DashedPath<Coord> {
    points: Vec<Coord>,
    style: ShapeStyle,
    dash: Vec<i32>,
}

impl<Coord> DashedPath<Coord> {
    /// A path along `points` in the colour and width of `style`. `dash` has lengths in points, on and off in turn; empty,
    /// the line is solid.
    pub fn new(points: impl Into<Vec<Coord>>, style: impl Into<ShapeStyle>, dash: &[f64]) -> Self {
        let dash = dash.iter().map(|length| units(*length)).collect();
        DashedPath { points: points.into(), style: style.into(), dash }
    }
}

impl<'a, Coord> PointCollection<'a, Coord> for &'a DashedPath<Coord> {
    type Point = &'a Coord;
    type IntoIter = &'a [Coord];

    fn point_iter(self) -> &'a [Coord] {
        &self.points
    }
}

impl<Coord> Drawable<SvgBackend<'_>> for DashedPath<Coord> {
    fn draw<I: Iterator<Item = BackendCoord>>(
        &self,
        points: I,
        backend: &mut SvgBackend,
        _: (u32, u32),
    ) -> std::result::Result<(), DrawingErrorKind<Infallible>> {
        backend.draw_dashed_path(points, &self.style, &self.dash)
    }
}

/// A series' marker: filled with a white edge, or white inside with an edge of its colour. In the units of the area that
/// it is drawn on, because its size does not follow any axis.
#[derive(Clone, Debug)]
pub struct Marker {
    /// Its corners; of a circle, the middle alone.
    points: Vec<BackendCoord>,
    look: SeriesStyle,
    hollow: bool,
}

impl Marker {
    /// `look`'s marker around `(x, y)`, white inside where it is `hollow`. Corners that lie outside the area are moved to
    /// its edge, as plotters does with the points of every element.
    pub fn new((x, y): BackendCoord, look: SeriesStyle, hollow: bool) -> Marker {
        let corners = look.corners(MARKER).unwrap_or_else(|| vec![(0, 0)]);
        let points = corners.into_iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        Marker { points, look, hollow }
    }
}

impl<'a> PointCollection<'a, BackendCoord> for &'a Marker {
    type Point = &'a BackendCoord;
    type IntoIter = &'a [BackendCoord];

    fn point_iter(self) -> &'a [BackendCoord] {
        &self.points
    }
}

impl<Backend: DrawingBackend> Drawable<Backend> for Marker {
    fn draw<I: Iterator<Item = BackendCoord>>(
        &self,
        points: I,
        backend: &mut Backend,
        _: (u32, u32),
    ) -> std::result::Result<(), DrawingErrorKind<Backend::ErrorType>> {
        let colour = self.look.colour();
        let (inside, edge) = match self.hollow {
            true => (WHITE.filled(), stroke(colour, 0.9)),
            false => (colour.filled(), stroke(WHITE, 0.5)),
        };
        let points: Vec<BackendCoord> = points.collect();
        if let [middle] = points[..] {
            let radius = units(MARKER) as u32;
            backend.draw_circle(middle, radius, &inside, true)?;
            return backend.draw_circle(middle, radius, &edge, false);
        }
        backend.fill_polygon(points.iter().copied(), &inside)?;
        // The first side comes again, so that its corner is round too.
        backend.draw_path(points.iter().copied().cycle().take(points.len() + 2), &edge)
    }
}
