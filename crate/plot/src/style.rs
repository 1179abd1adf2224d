//! What all figures share: size, type, colours, dashes and markers, in this project's own style or a venue's.
//!
//! Curves differ in colour (Okabe and Ito's palette, safe for colour-blind readers), in dash pattern
//! and in marker, so that they differ in grey too. Nothing is transparent: tints are mixed beforehand,
//! which prints alike everywhere.

use crate::Result;
use crate::export::Family;
use plotters::prelude::{Color, FontDesc, FontFamily, FontStyle, RGBColor, ShapeStyle, TextStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Width of a panel, inches: one of two columns. Two fit side by side into the paper's text width
/// (5.5 in) at 83 %, at which the type is still 6 to 7 points.
pub const WIDTH_IN: f64 = 3.25;
/// Height of a panel, inches. Only a longer legend or footer makes it higher.
pub const HEIGHT_IN: f64 = 2.6;
/// Type of axis titles, points.
pub const TITLE_PT: f64 = 9.0;
/// Type of tick labels and legend, points.
pub const LABEL_PT: f64 = 8.0;
/// Type of the scale line and other small print, points.
pub const SMALL_PT: f64 = 6.5;

/// What a venue decides about a drawing. The default is this project's own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    /// Width of a panel, inches.
    pub width_in: f64,
    /// Height of a panel, inches; a longer legend or footer makes it higher.
    pub height_in: f64,
    /// Type of axis titles, points.
    pub title_pt: f64,
    /// Type of tick labels and legend, points.
    pub label_pt: f64,
    /// Type of small print, points.
    pub small_pt: f64,
    /// Typeface of all text.
    pub family: Family,
    /// Whether the scale line and what could not be shown stand under the plot; else they are for the caption.
    pub small_print: bool,
}

impl Default for Style {
    fn default() -> Style {
        Style {
            width_in: WIDTH_IN,
            height_in: HEIGHT_IN,
            title_pt: TITLE_PT,
            label_pt: LABEL_PT,
            small_pt: SMALL_PT,
            family: Family::Sans,
            small_print: true,
        }
    }
}

impl Style {
    /// From line to line of the legend, points.
    pub(crate) fn row(&self) -> f64 {
        self.label_pt + 3.0
    }

    /// From line to line of the small print, points.
    pub fn small_row(&self) -> f64 {
        self.small_pt + 1.7
    }

    /// The lines of the small print, broken to `width` points; none where the style has none.
    pub fn small_lines(&self, notes: &[String], width: f64) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for note in notes.iter().filter(|_| self.small_print) {
            lines.extend(self.family.wrap(note, self.small_pt, width)?);
        }
        Ok(lines)
    }

    /// Text of `size` points, placed by `h` and `v`.
    pub fn type_of(&self, size: f64, colour: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
        let family = FontFamily::Name(self.family.stack());
        let font = FontDesc::new(family, size * UNITS, FontStyle::Normal);
        font.color(&colour).pos(Pos::new(h, v))
    }
}

/// plotters draws on whole units; twenty a point keep curves smooth at any print resolution.
const UNITS: f64 = 20.0;
/// White space around a drawing, points.
pub const MARGIN: f64 = 4.0;
/// Length of a tick, points.
pub(crate) const TICK: f64 = 2.5;
/// Radius of a marker, points.
pub(crate) const MARKER: f64 = 2.7;
/// Width of a series' line, points.
pub(crate) const LINE: f64 = 1.25;

/// Text and axes.
pub const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// 7 : 1 against white.
pub const GREY: RGBColor = RGBColor(0x59, 0x59, 0x59);
pub(crate) const GRID: RGBColor = RGBColor(0xE4, 0xE4, 0xE4);
pub(crate) const SEAM: RGBColor = RGBColor(0xA0, 0xA0, 0xA0);

/// Okabe and Ito's colours without yellow, which is too light for lines on white, and with brown for their second blue, which is
/// hard to tell from the first in a thin line.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xB0, 0x5A, 0x8F),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x7A, 0x44, 0x19),
    RGBColor(0x33, 0x33, 0x33),
];

/// Dash patterns in points, on and off in turn; the first is solid.
const DASHES: [&[f64]; 5] =
    [&[], &[5.0, 1.8], &[1.3, 1.3], &[5.0, 1.5, 1.3, 1.5], &[8.0, 1.6, 1.3, 1.6, 1.3, 1.6]];

/// How one series looks. Equal numbers look alike in all figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeriesStyle(usize);

impl SeriesStyle {
    /// The look of the `index`-th series; after seven the colours come again with other dashes.
    pub fn new(index: usize) -> SeriesStyle {
        SeriesStyle(index)
    }

    /// A look in the colour of the `index`-th series: the `pattern`-th of it.
    pub fn dashed(index: usize, pattern: usize) -> SeriesStyle {
        SeriesStyle(index + pattern * COLOURS.len())
    }

    /// Its colour at full strength.
    pub fn colour(self) -> RGBColor {
        COLOURS[self.0 % COLOURS.len()]
    }

    /// The colour mixed with white: `share` of it, 0 to 1.
    pub fn tint(self, share: f64) -> RGBColor {
        let RGBColor(r, g, b) = self.colour();
        let mix = |c: u8| (255.0 - share * (255.0 - f64::from(c))).round() as u8;
        RGBColor(mix(r), mix(g), mix(b))
    }

    /// Its dash pattern: points on and off in turn; empty for a solid line.
    pub fn dash(self) -> &'static [f64] {
        DASHES[(self.0 + self.0 / COLOURS.len()) % DASHES.len()]
    }

    /// Which of the five markers: circle, square, triangle, diamond, triangle that points down.
    pub(crate) fn shape(self) -> usize {
        self.0 % 5
    }

    /// Corners of the marker around (0, 0) in units; `None` is a circle.
    pub(crate) fn corners(self, radius: f64) -> Option<Vec<(i32, i32)>> {
        let r = radius * UNITS;
        let corners: &[(f64, f64)] = match self.shape() {
            0 => return None,
            1 => &[(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
            2 => &[(0.0, -1.2), (1.1, 0.75), (-1.1, 0.75)],
            3 => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
            _ => &[(0.0, 1.2), (1.1, -0.75), (-1.1, -0.75)],
        };
        Some(corners.iter().map(|(x, y)| ((x * r).round() as i32, (y * r).round() as i32)).collect())
    }
}

/// Points as the drawing's units.
pub fn units(points: f64) -> i32 {
    (points * UNITS).round() as i32
}

/// A line of a width in points.
pub fn stroke(colour: RGBColor, points: f64) -> ShapeStyle {
    ShapeStyle { color: colour.to_rgba(), filled: false, stroke_width: units(points).max(0) as u32 }
}
