//! One theme: size, type, colours, axes, legend. A figure fills a [`Plot`]; [`Plot::svg`] lays it out
//! and draws it with plotters.
//!
//! Curves differ in colour (Okabe and Ito's palette, safe for colour-blind readers), in dash pattern
//! and in marker, so that they differ in grey too. Nothing is transparent: tints are mixed beforehand,
//! which prints alike everywhere.

use crate::export::{Family, printable};
use crate::{Art, Drawing, Note};
use crate::{Error, Result};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{BoldPoints, KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use polars::prelude::DataFrame;

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
    fn row(&self) -> f64 {
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
        // The SVG backend divides by 1.24.
        let family = FontFamily::Name(self.family.stack());
        let font = FontDesc::new(family, size * UNITS * 1.24, FontStyle::Normal);
        font.color(&colour).pos(Pos::new(h, v))
    }
}

/// plotters draws on whole units; twenty a point keep curves smooth at any print resolution.
pub(crate) const UNITS: f64 = 20.0;
/// White space around a drawing, points.
pub const MARGIN: f64 = 4.0;
pub(crate) const TICK: f64 = 2.5;
/// Least space between two labels of the horizontal axis.
const BETWEEN_TICKS: f64 = 2.5;
pub(crate) const KEY_GAP: f64 = 3.0;
/// Right of the plot, for half of the last tick's label.
const RIGHT: f64 = 5.0;
/// Between legend and plot.
pub(crate) const ABOVE_PLOT: f64 = 5.0;
const PLOT_MIN: f64 = 96.0;
pub(crate) const MARKER: f64 = 2.7;

/// Text and axes.
pub const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// 7 : 1 against white.
pub const GREY: RGBColor = RGBColor(0x59, 0x59, 0x59);
pub(crate) const GRID: RGBColor = RGBColor(0xE4, 0xE4, 0xE4);
pub(crate) const SEAM: RGBColor = RGBColor(0xA0, 0xA0, 0xA0);

/// Okabe and Ito's colours without yellow, which is too light for lines on white.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xB0, 0x5A, 0x8F),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0x33, 0x33, 0x33),
];

/// Dash patterns in points, on and off in turn; the first is solid.
pub(crate) const DASHES: [&[f64]; 5] =
    [&[], &[5.0, 1.8], &[1.3, 1.3], &[5.0, 1.5, 1.3, 1.5], &[8.0, 1.6, 1.3, 1.6, 1.3, 1.6]];
/// plotters' SVG has no dash attribute. A width of `DASH_CODE + pattern` units, which no other line
/// has, stands for "dashed" until [`finish`] writes the attribute, so that a curve stays one path.
const DASH_CODE: u32 = 90_000;

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

    /// Which of [`DASHES`].
    pub(crate) fn dash(self) -> usize {
        (self.0 + self.0 / COLOURS.len()) % DASHES.len()
    }

    /// Which of the five markers: circle, square, triangle, diamond, triangle that points down.
    pub(crate) fn shape(self) -> usize {
        self.0 % 5
    }

    /// Corners of the marker around (0, 0) in units; `None` is a circle.
    fn marker(self, radius: f64) -> Option<Vec<(i32, i32)>> {
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

/// An axis: its title, what it spans and where its ticks are.
#[derive(Clone, Debug)]
pub struct Axis {
    pub(crate) title: String,
    /// In the axis' own linear coordinate, as `high` and the ticks: of a logarithmic axis, log 10.
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) log: bool,
    pub(crate) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// A linear axis from `low` to `high` (finite, `low < high`) with about `count` round ticks.
    pub fn linear(title: &str, low: f64, high: f64, count: usize) -> Result<Axis> {
        check_span(title, low, high)?;
        let places = RangedCoordf64::from(low..high).key_points(BoldPoints(count.max(2)));
        let ticks = tick_labels(&places);
        Ok(Axis { title: title.into(), low, high, log: false, ticks })
    }

    /// A logarithmic axis from `low` to `high` (0 < `low` < `high`), ticks at 1, 2 and 5 times powers
    /// of ten, or at the powers alone when that gives enough; over more than seven powers, at some of
    /// them, as "1e-6".
    pub fn log(title: &str, low: f64, high: f64) -> Result<Axis> {
        check_span(title, low, high)?;
        if low <= 0.0 {
            let problem = format!("{title}: a logarithmic axis cannot begin at {low}");
            return Err(Error::argument("lay out the axis", problem));
        }
        let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
        let decades = (high / low).log10();
        if decades > 7.0 {
            let every = (decades / 6.0).ceil() as i32;
            let shown = powers.filter(|p| p % every == 0 && (low..=high).contains(&10f64.powi(*p)));
            let label = |p: i32| if p == 0 { "1".to_string() } else { format!("1e{p}") };
            let ticks = shown.map(|p| (f64::from(p), label(p))).collect();
            return Ok(Axis { title: title.into(), low: low.log10(), high: high.log10(), log: true, ticks });
        }
        let steps: &[f64] = if high / low > 1000.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let places: Vec<f64> = powers
            .flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)))
            .filter(|v| (low * 0.999..=high * 1.001).contains(v))
            .collect();
        let ticks = places.iter().map(|v| (v.log10(), tick_labels(&[*v])[0].1.clone())).collect();
        Ok(Axis { title: title.into(), low: low.log10(), high: high.log10(), log: true, ticks })
    }

    /// The same axis with room of `below` and `above` (shares of its span) beyond its ends.
    pub fn padded(mut self, below: f64, above: f64) -> Axis {
        let span = self.high - self.low;
        self.low -= below * span;
        self.high += above * span;
        self
    }

    /// The same axis with one more tick, at `share` of its span.
    pub fn tick_at(mut self, share: f64, label: &str) -> Axis {
        self.ticks.push((self.low + share * (self.high - self.low), label.into()));
        self
    }

    /// The same axis, horizontal and `room` points long, with ticks whose labels stand apart: of a linear axis each
    /// second, third, ... one, of a logarithmic one those that do not come too near the one before.
    fn thinned(&self, style: &Style, room: f64) -> Result<Axis> {
        let mut spans = Vec::with_capacity(self.ticks.len());
        for (place, label) in &self.ticks {
            let middle = (place - self.low) / (self.high - self.low) * room;
            let half = style.family.width(label, style.label_pt)? / 2.0;
            spans.push((middle - half, middle + half));
        }
        let apart = |a: usize, b: usize| spans[b].0 - spans[a].1 >= BETWEEN_TICKS;
        let kept: Vec<usize> = if self.log {
            let mut kept: Vec<usize> = Vec::new();
            for tick in 0..spans.len() {
                if kept.last().is_none_or(|&last| apart(last, tick)) {
                    kept.push(tick);
                }
            }
            kept
        } else {
            let every = |step: usize| (0..spans.len()).step_by(step).collect::<Vec<_>>();
            let fits = |ticks: &Vec<usize>| ticks.windows(2).all(|pair| apart(pair[0], pair[1]));
            (1..=spans.len()).map(every).find(fits).unwrap_or_default()
        };
        let ticks = kept.into_iter().map(|tick| self.ticks[tick].clone()).collect();
        Ok(Axis { ticks, ..self.clone() })
    }

    /// The value that lies at `share` of the axis' span.
    pub fn value_at(&self, share: f64) -> f64 {
        self.value(self.low + share * (self.high - self.low))
    }

    /// The value at `place` in the axis' own linear coordinate.
    pub(crate) fn value(&self, place: f64) -> f64 {
        if self.log { 10f64.powf(place) } else { place }
    }

    /// Where a value lies in the axis' own linear coordinate.
    pub(crate) fn place(&self, value: f64) -> f64 {
        if self.log { value.max(f64::MIN_POSITIVE).log10() } else { value }
    }
}

/// An axis as plotters takes it, in its own linear coordinate.
#[derive(Clone)]
struct Ticked(Axis);

impl From<&Axis> for Ticked {
    fn from(axis: &Axis) -> Ticked {
        Ticked(axis.clone())
    }
}

impl Ranged for Ticked {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.range()).map(place, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.0.ticks.iter().map(|t| t.0).collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.0.low..self.0.high
    }
}

impl ValueFormatter<f64> for Ticked {
    fn format_ext(&self, place: &f64) -> String {
        let found = self.0.ticks.iter().find(|t| t.0 == *place);
        found.map(|t| printable(&t.1)).unwrap_or_default()
    }
}

fn check_span(title: &str, low: f64, high: f64) -> Result<()> {
    if low.is_finite() && high.is_finite() && low < high && (high - low).is_finite() {
        return Ok(());
    }
    Err(Error::argument("lay out the axis", format!("{title}: {low} to {high} is no span")))
}

/// Labels of equal precision, the least that tells the ticks exactly; ten thousand is "10k".
fn tick_labels(places: &[f64]) -> Vec<(f64, String)> {
    let largest = places.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let (unit, suffix) = match largest {
        v if v >= 1e7 => (1e6, "M"),
        v if v >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let exact = |digits: usize| {
        let power = 10f64.powi(digits as i32);
        places.iter().all(|v| ((v / unit * power).round() / power - v / unit).abs() <= 1e-6 * largest / unit)
    };
    let digits = (0..9).find(|d| exact(*d)).unwrap_or(9);
    let label = |v: f64| {
        let text = format!("{:.digits$}", v / unit);
        match text.trim_start_matches('-').chars().all(|c| c == '0' || c == '.') {
            true => text.trim_start_matches('-').to_string(),
            false => format!("{}{suffix}", text.replace('-', "\u{2212}")),
        }
    };
    places.iter().map(|v| (*v, label(*v))).collect()
}

/// The least of 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten that is not below `value`;
/// 1 for a value that is not positive and finite.
pub fn round_up(value: f64) -> f64 {
    if !(value > 0.0 && value.is_finite()) {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.iter().map(|s| s * power).find(|v| *v >= value * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

/// One thing on the plot, in the axes' values.
#[derive(Clone, Debug)]
pub enum Mark {
    /// A curve; `fine` is a thin one for a single seed beside a mean.
    Line {
        /// Points in drawing order, finite.
        points: Vec<(f64, f64)>,
        /// Look.
        look: SeriesStyle,
        /// Thin and solid.
        fine: bool,
    },
    /// A tinted band, drawn below all curves.
    Band {
        /// (x, low, high), x rising.
        edges: Vec<(f64, f64, f64)>,
        /// Look.
        look: SeriesStyle,
    },
    /// A marker.
    Point {
        /// Place.
        at: (f64, f64),
        /// Look.
        look: SeriesStyle,
        /// White inside: a run that did not fit.
        hollow: bool,
        /// Points to the right, to keep equal places apart.
        shift: f64,
    },
    /// A small x where a diverged run ends.
    Cross {
        /// Place.
        at: (f64, f64),
        /// Look.
        look: SeriesStyle,
    },
    /// A vertical bar with caps.
    Bar {
        /// x.
        x: f64,
        /// Lower and upper end.
        span: (f64, f64),
        /// Look.
        look: SeriesStyle,
    },
    /// A grey horizontal line across the plot; dotted, with a label that keeps clear of the points,
    /// or solid and bare.
    Rule {
        /// y.
        y: f64,
        /// Label above the line; empty for none.
        label: String,
    },
}

/// What the legend shows of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Key {
    /// The line.
    Line,
    /// The line with its marker.
    Marked,
}

impl Key {
    /// Length of the line, points: on both sides of a marker the dashes must still show.
    pub(crate) fn length(self) -> f64 {
        match self {
            Key::Line => 16.5,
            Key::Marked => 24.0,
        }
    }
}

/// A figure of one panel, to be laid out.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Legend above the plot: name, look and key of each series, in order.
    pub legend: Vec<(String, SeriesStyle, Key)>,
    /// Everything on the plot; bands and rules are drawn first, markers last.
    pub marks: Vec<Mark>,
    /// Small grey paragraphs below the plot: the scale line first.
    pub notes: Vec<String>,
    /// The description for readers that do not see it.
    pub description: String,
}

/// What is drawn on.
pub type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<Ticked, Ticked>>;

const DRAW: &str = "draw the figure";

/// Points as the drawing's units.
pub fn units(points: f64) -> i32 {
    (points * UNITS).round() as i32
}

/// A line of a width in points.
pub fn stroke(colour: RGBColor, points: f64) -> ShapeStyle {
    ShapeStyle { color: colour.to_rgba(), filled: false, stroke_width: units(points) as u32 }
}

fn dashed(look: SeriesStyle) -> ShapeStyle {
    ShapeStyle { color: look.colour().to_rgba(), filled: false, stroke_width: DASH_CODE + look.dash() as u32 }
}

/// Draws `look`'s marker around `at`, in the area's own units.
fn marker(area: &Canvas, at: (i32, i32), look: SeriesStyle, hollow: bool) -> Result<()> {
    let error = Error::drawing::<DrawingAreaErrorKind<std::io::Error>>;
    let outline = stroke(look.colour(), 0.9);
    let (inside, edge) =
        if hollow { (WHITE.filled(), outline) } else { (look.colour().filled(), stroke(WHITE, 0.5)) };
    match look.marker(MARKER) {
        None => {
            let radius = units(MARKER);
            area.draw(&Circle::new(at, radius, inside)).map_err(error(DRAW))?;
            area.draw(&Circle::new(at, radius, edge)).map_err(error(DRAW))
        }
        Some(corners) => {
            let mut corners: Vec<(i32, i32)> = corners.iter().map(|(x, y)| (at.0 + x, at.1 + y)).collect();
            area.draw(&Polygon::new(corners.clone(), inside)).map_err(error(DRAW))?;
            corners.push(corners[0]);
            corners.push(corners[1]);
            area.draw(&PathElement::new(corners, edge)).map_err(error(DRAW))
        }
    }
}

/// Where the parts of a plot are, points.
pub(crate) struct Layout {
    pub(crate) width: f64,
    height: f64,
    /// Above and below the plot with its axes' labels.
    above: f64,
    below: f64,
    /// Room of the axes' labels.
    pub(crate) left: f64,
    bottom: f64,
    pub(crate) rows: Rows,
    small: Vec<String>,
    /// The horizontal axis with as many ticks as there is room for.
    pub(crate) x: Axis,
}

impl Layout {
    /// Width and height of the rectangle that the axes span.
    pub(crate) fn panel(&self) -> (f64, f64) {
        let width = self.width - 2.0 * MARGIN - RIGHT - self.left;
        (width, self.height - self.above - self.below - self.bottom)
    }
}

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
            art: Art::Plot(Box::new(self)),
        })
    }

    /// Lays the plot out and draws it. Returns the SVG with its width and height in inches.
    ///
    /// Errors: [`Error::Drawing`].
    pub fn svg(&self, style: &Style) -> Result<(String, f64, f64)> {
        let layout = self.layout(style)?;
        let (width, height) = (layout.width, layout.height);
        let mut svg = String::new();
        {
            let size = (units(width) as u32, units(height) as u32);
            let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            self.draw(&root, style, &layout)?;
            root.present().map_err(Error::drawing(DRAW))?;
        }
        Ok((finish(&svg, width / 72.0, height / 72.0, &self.description), width / 72.0, height / 72.0))
    }

    pub(crate) fn layout(&self, style: &Style) -> Result<Layout> {
        let width = style.width_in * 72.0;
        let inner = width - 2.0 * MARGIN;
        let small = style.small_lines(&self.notes, inner)?;
        let rows = self.legend_rows(style, inner)?;
        let above = MARGIN + rows.height() + ABOVE_PLOT;
        let bottom = 2.0 * TICK + style.label_pt + 1.0 + style.title_pt + 1.0;
        let below =
            if small.is_empty() { MARGIN } else { 5.0 + style.small_row() * small.len() as f64 + MARGIN };
        let height = (style.height_in * 72.0).max(above + PLOT_MIN + bottom + below);
        let mut widest = 0.0f64;
        for (_, label) in &self.y.ticks {
            widest = widest.max(style.family.width(label, style.label_pt)?);
        }
        let left = style.title_pt + 4.0 + widest + 2.0 * TICK;
        let x = self.x.clone();
        let mut layout = Layout { width, height, above, below, left, bottom, rows, small, x };
        let room = layout.panel().0;
        layout.x = self.x.thinned(style, room)?;
        Ok(layout)
    }

    fn draw(&self, root: &Canvas, style: &Style, layout: &Layout) -> Result<()> {
        let Layout { width, height, above, below, left, bottom, ref rows, ref small, ref x } = *layout;
        let error = Error::drawing::<DrawingAreaErrorKind<std::io::Error>>;
        root.fill(&WHITE).map_err(error(DRAW))?;
        self.draw_legend(root, style, rows)?;

        let panel = root.clone().shrink(
            (units(MARGIN), units(above)),
            (units(width - 2.0 * MARGIN - RIGHT), units(height - above - below)),
        );
        let mut chart: Chart = ChartBuilder::on(&panel)
            .set_label_area_size(LabelAreaPosition::Left, units(left))
            .set_label_area_size(LabelAreaPosition::Bottom, units(bottom))
            .build_cartesian_2d(Ticked::from(x), Ticked::from(&self.y))
            .map_err(error(DRAW))?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(stroke(GRID, 0.5))
            .light_line_style(TRANSPARENT)
            .axis_style(stroke(INK, 0.6))
            .set_all_tick_mark_size(units(TICK))
            .label_style(style.type_of(style.label_pt, INK, HPos::Center, VPos::Center))
            .axis_desc_style(style.type_of(style.title_pt, INK, HPos::Center, VPos::Center))
            .x_desc(printable(&self.x.title))
            .y_desc(printable(&self.y.title))
            .draw()
            .map_err(error(DRAW))?;
        self.draw_marks(&mut chart, style)?;

        let grey = style.type_of(style.small_pt, GREY, HPos::Left, VPos::Bottom);
        for (row, line) in small.iter().enumerate() {
            let y = height - MARGIN - style.small_row() * (small.len() - 1 - row) as f64;
            root.draw_text(line, &grey, (units(MARGIN), units(y))).map_err(error(DRAW))?;
        }
        Ok(())
    }

    fn draw_marks(&self, chart: &mut Chart, style: &Style) -> Result<()> {
        let error = Error::drawing::<DrawingAreaErrorKind<std::io::Error>>;
        let at = |(x, y): (f64, f64)| (self.x.place(x), self.y.place(y));
        let (floor, ceiling) = (self.y.low, self.y.high);
        for mark in &self.marks {
            if let Mark::Band { edges, look } = mark {
                let edge = |pick: fn(&(f64, f64, f64)) -> f64| {
                    edges.iter().map(move |e| {
                        let (x, y) = at((e.0, pick(e)));
                        (x, y.clamp(floor, ceiling))
                    })
                };
                let outline: Vec<_> = edge(|e| e.1).chain(edge(|e| e.2).rev()).collect();
                chart.draw_series([Polygon::new(outline, look.tint(0.22).filled())]).map_err(error(DRAW))?;
            }
        }
        for mark in &self.marks {
            let Mark::Rule { y, label } = mark else { continue };
            let y = self.y.place(*y);
            let line = if label.is_empty() {
                stroke(SEAM, 0.6)
            } else {
                ShapeStyle { color: GREY.to_rgba(), filled: false, stroke_width: DASH_CODE + RULE_DASH }
            };
            chart
                .draw_series([PathElement::new(vec![(self.x.low, y), (self.x.high, y)], line)])
                .map_err(error(DRAW))?;
            if !label.is_empty() {
                let (share, anchor) = self.clearest(y);
                let x = self.x.low + share * (self.x.high - self.x.low);
                let style = style.type_of(style.label_pt - 1.0, GREY, anchor, VPos::Bottom);
                let text = EmptyElement::at((x, y)) + Text::new(printable(label), (0, -units(0.8)), style);
                chart.draw_series([text]).map_err(error(DRAW))?;
            }
        }
        for mark in &self.marks {
            match mark {
                Mark::Line { points, look, fine } => {
                    let points: Vec<_> = points.iter().map(|p| at(*p)).collect();
                    let style = if *fine { stroke(look.tint(0.65), 0.6) } else { dashed(*look) };
                    for piece in clip(&points, floor, ceiling) {
                        chart.draw_series([PathElement::new(piece, style)]).map_err(error(DRAW))?;
                    }
                }
                Mark::Bar { x, span, look } => {
                    let style = stroke(look.colour(), 0.7);
                    let low = at((*x, span.0));
                    let high = at((*x, span.1));
                    let bar = clip(&[low, high], floor, ceiling);
                    for piece in bar {
                        chart.draw_series([PathElement::new(piece, style)]).map_err(error(DRAW))?;
                    }
                    let half = units(1.8);
                    for end in [low, high] {
                        if (floor..=ceiling).contains(&end.1) {
                            let cap = PathElement::new(vec![(-half, 0), (half, 0)], style);
                            chart.draw_series([EmptyElement::at(end) + cap]).map_err(error(DRAW))?;
                        }
                    }
                }
                _ => {}
            }
        }
        let plot = chart.plotting_area().strip_coord_spec();
        let (x0, y0) = chart.plotting_area().get_base_pixel();
        let pixel = |place: (f64, f64)| {
            let (x, y) = at(place);
            let (x, y) = chart.plotting_area().map_coordinate(&(x, y.clamp(floor, ceiling)));
            (x - x0, y - y0)
        };
        for mark in &self.marks {
            match mark {
                Mark::Point { at, look, hollow, shift } => {
                    let (x, y) = pixel(*at);
                    // A shifted marker at the end of the axis stays whole.
                    let edge = units(1.5 * MARKER);
                    let x = (x + units(*shift)).clamp(edge, plot.dim_in_pixel().0 as i32 - edge);
                    marker(&plot, (x, y), *look, *hollow)?;
                }
                Mark::Cross { at, look } => {
                    let cross = Cross::new(pixel(*at), units(2.4), stroke(look.colour(), 1.2));
                    plot.draw(&cross).map_err(error(DRAW))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Left, middle or right of the plot: where a label above `y` is farthest from the markers and bars.
    pub(crate) fn clearest(&self, y: f64) -> (f64, HPos) {
        let label = y + 0.04 * (self.y.high - self.y.low);
        let distance = |share: f64| {
            let x = self.x.low + share * (self.x.high - self.x.low);
            let far = |(px, py): (f64, f64)| {
                let dx = (self.x.place(px) - x) / (self.x.high - self.x.low);
                let dy = (self.y.place(py) - label) / (self.y.high - self.y.low);
                dx.hypot(dy)
            };
            let points = self.marks.iter().flat_map(|m| match m {
                Mark::Point { at, .. } => vec![far(*at)],
                Mark::Bar { x, span, .. } => vec![far((*x, span.0)), far((*x, span.1))],
                _ => vec![],
            });
            points.fold(f64::INFINITY, f64::min)
        };
        let places = [(0.01, 0.06, HPos::Left), (0.5, 0.5, HPos::Center), (0.99, 0.94, HPos::Right)];
        let mut best = (0.01, HPos::Left);
        let mut most = f64::NEG_INFINITY;
        for (share, centre, anchor) in places {
            let here = distance(centre);
            if here > most {
                most = here;
                best = (share, anchor);
            }
        }
        best
    }

    /// The most columns whose widths fit, so that entries stand below each other.
    fn legend_rows(&self, style: &Style, width: f64) -> Result<Rows> {
        let (family, size) = (style.family, style.label_pt);
        let mut entries = Vec::new();
        for (name, _, key) in &self.legend {
            let key = key.length() + KEY_GAP;
            // A name as wide as the figure is cut: the frame beside the figure has it whole.
            let room = width - key;
            let lines = family.wrap(name, size, room)?;
            let cut = lines.len() > 1;
            let mut text = lines.into_iter().next().unwrap_or_default();
            while cut && family.width(&format!("{text}\u{2026}"), size)? > room && text.pop().is_some() {}
            if cut {
                text.push('\u{2026}');
            }
            let wide = key + family.width(&text, size)?;
            entries.push((text, wide));
        }
        let (least, most) = (6.0, 14.0);
        let mut columns = entries.len().max(1);
        loop {
            let widths: Vec<f64> = (0..columns)
                .map(|c| entries.iter().skip(c).step_by(columns).fold(0.0f64, |m, e| m.max(e.1)))
                .collect();
            let spaces = (columns - 1) as f64;
            let bare = widths.iter().sum::<f64>();
            if bare + least * spaces <= width || columns == 1 {
                let gap = ((width - bare) / spaces.max(1.0)).clamp(least, most);
                let total = bare + gap * spaces;
                let start = MARGIN + ((width - total) / 2.0).max(0.0);
                let names = entries.into_iter().map(|e| e.0).collect();
                return Ok(Rows { names, widths, gap, start, row: style.row() });
            }
            columns -= 1;
        }
    }

    fn draw_legend(&self, root: &Canvas, style: &Style, rows: &Rows) -> Result<()> {
        let error = Error::drawing::<DrawingAreaErrorKind<std::io::Error>>;
        let style = style.type_of(style.label_pt, INK, HPos::Left, VPos::Center);
        let columns = rows.widths.len();
        for (index, ((_, look, key), name)) in self.legend.iter().zip(&rows.names).enumerate() {
            let column = index % columns;
            let x = rows.start + rows.widths[..column].iter().map(|w| w + rows.gap).sum::<f64>();
            let y = MARGIN + rows.row * ((index / columns) as f64 + 0.5);
            let length = key.length();
            let line =
                PathElement::new(vec![(units(x), units(y)), (units(x + length), units(y))], dashed(*look));
            root.draw(&line).map_err(error(DRAW))?;
            if *key == Key::Marked {
                marker(root, (units(x + length / 2.0), units(y)), *look, false)?;
            }
            root.draw_text(name, &style, (units(x + length + KEY_GAP), units(y))).map_err(error(DRAW))?;
        }
        Ok(())
    }
}

/// The legend's grid.
pub(crate) struct Rows {
    pub(crate) names: Vec<String>,
    pub(crate) widths: Vec<f64>,
    pub(crate) gap: f64,
    start: f64,
    /// Height of one.
    pub(crate) row: f64,
}

impl Rows {
    fn height(&self) -> f64 {
        self.row * self.names.len().div_ceil(self.widths.len()) as f64
    }
}

/// The pieces of a path between two heights, cut exactly where it crosses them.
pub(crate) fn clip(points: &[(f64, f64)], floor: f64, ceiling: f64) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut piece: Vec<(f64, f64)> = Vec::new();
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        // Where along the segment, 0 to 1, it is inside.
        let (mut enter, mut leave) = (0.0f64, 1.0f64);
        if y0 == y1 {
            if !(floor..=ceiling).contains(&y0) {
                leave = -1.0;
            }
        } else {
            let (a, b) = ((floor - y0) / (y1 - y0), (ceiling - y0) / (y1 - y0));
            enter = enter.max(a.min(b));
            leave = leave.min(a.max(b));
        }
        if enter > leave {
            pieces.push(std::mem::take(&mut piece));
            continue;
        }
        let along = |t: f64| match t {
            0.0 => (x0, y0),
            1.0 => (x1, y1),
            _ => (x0 + t * (x1 - x0), (y0 + t * (y1 - y0)).clamp(floor, ceiling)),
        };
        if piece.is_empty() || enter > 0.0 {
            pieces.push(std::mem::take(&mut piece));
            piece.push(along(enter));
        }
        piece.push(along(leave));
        if leave < 1.0 {
            pieces.push(std::mem::take(&mut piece));
        }
    }
    pieces.push(piece);
    pieces.retain(|piece| piece.len() > 1);
    pieces
}

/// Width of a series' line, points.
pub(crate) const LINE: f64 = 1.25;
/// The number after [`DASH_CODE`] of a dotted rule.
const RULE_DASH: u32 = 50;

/// What plotters' SVG lacks: its physical size, round joins, dashes, and text offsets that browsers and
/// resvg agree on (`ex` is the font's own in one, half an em in the other).
pub fn finish(svg: &str, width: f64, height: f64, description: &str) -> String {
    let (_, rest) = svg.split_once('>').unwrap_or(("", svg));
    let escaped = printable(description).replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.4}in\" height=\"{height:.4}in\" \
         viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{escaped}\" stroke-linejoin=\"round\">{}",
        units(width * 72.0),
        units(height * 72.0),
        rest.replace(" opacity=\"1\"", "")
            .replace("dy=\"0.5ex\"", "dy=\"0.36em\"")
            .replace("dy=\"-0.5ex\"", "dy=\"-0.22em\""),
    );
    let attributes = |points: f64, dash: &[f64]| {
        let mut text = format!("stroke-width=\"{}\"", units(points));
        if !dash.is_empty() {
            let dash: Vec<String> = dash.iter().map(|d| units(*d).to_string()).collect();
            text.push_str(&format!(" stroke-dasharray=\"{}\"", dash.join(" ")));
        }
        text
    };
    for (pattern, dash) in DASHES.iter().enumerate() {
        let code = format!("stroke-width=\"{}\"", DASH_CODE + pattern as u32);
        out = out.replace(&code, &attributes(LINE, dash));
    }
    out.replace(&format!("stroke-width=\"{}\"", DASH_CODE + RULE_DASH), &attributes(0.8, &[0.9, 1.6]))
}
