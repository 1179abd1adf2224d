//! A small grammar of plots: which columns of a frame are x, y and colour, which one numbers repetitions, and how the
//! axes run. Every figure of the paper is drawn with it, and a notebook's cell draws its own:
//!
//! ```
//! use polars::prelude::df;
//! use rethink_plot::{Chart, Note, axis};
//!
//! # fn main() -> rethink_plot::Result<()> {
//! let frame = df!(
//!     "network" => ["MLP", "MLP", "MLP", "MLP"],
//!     "epoch" => [1, 2, 1, 2],
//!     "loss" => [2.1, 0.4, 1.9, 0.3],
//!     "seed" => [1, 1, 2, 2],
//! ).expect("columns of one length");
//! let drawing = Chart::new(&frame, "epoch", "loss")
//!     .colour("network")
//!     .over("seed")
//!     .y(axis("training loss").log())
//!     .draw("my-losses", &Note::new("two epochs, two seeds"))?;
//! assert!(drawing.caption.contains("Mean over seeds"));
//! # Ok(()) }
//! ```

use crate::columns::{Names, all_numbers, is_text, mean_sd, names, need, numbers, ranks};
use crate::frames::{find, kept};
use crate::panels::Panels;
use crate::theme::{Axis, Key, Mark, Plot, SeriesStyle, round_up};
use crate::{Drawing, Error, Note, Result};
use polars::prelude::{Column, DataFrame, DataType};

const DRAW: &str = "draw the chart";

/// A chart of a frame: [`Chart::draw`] makes the figure.
///
/// Rows may be in any order. A series is the rows with one value of the colour's column; without one, all rows.
#[derive(Clone, Debug)]
pub struct Chart {
    frame: DataFrame,
    x: String,
    y: String,
    colour: Option<String>,
    dashes: Option<String>,
    order: Vec<String>,
    over: Option<String>,
    middle: Statistic,
    spread: Spread,
    marked: bool,
    unmarked: Vec<String>,
    path: Option<String>,
    hollow: Option<Hollow>,
    row_above: Option<String>,
    thin: Option<String>,
    shade: Option<String>,
    rules: Vec<(f64, String)>,
    panels: Option<String>,
    /// Where a logarithmic axis has what is 0 or below; by itself under the least value.
    foot: Option<f64>,
    across: AxisSpec,
    up: AxisSpec,
    caption: Option<String>,
    notes: Vec<String>,
}

/// Low and high, across and up.
type Limits = ((f64, f64), (f64, f64));

/// What is drawn of repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Statistic {
    Mean,
    Greatest,
}

/// What a bar or band beside a mean shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spread {
    Deviation,
    StandardError,
}

/// Which markers are hollow.
#[derive(Clone, Debug)]
enum Hollow {
    True(String),
    Absent(String),
    Above(String, f64),
}

/// How an axis runs: its title, and what is not read off the data.
#[derive(Clone, Debug)]
pub struct AxisSpec {
    title: Option<String>,
    log: bool,
    from: Option<f64>,
    to: Option<f64>,
    padding: (f64, f64),
    ticks: usize,
    unit: f64,
}

/// An axis with a title. Linear, unless [`AxisSpec::log`]. Without ends of its own, x runs from the data's least to their greatest,
/// y from 0 (or below) to a round number; a logarithmic axis a little beyond the data.
pub fn axis(title: &str) -> AxisSpec {
    AxisSpec { title: Some(title.into()), ..AxisSpec::default() }
}

impl Default for AxisSpec {
    fn default() -> AxisSpec {
        AxisSpec { title: None, log: false, from: None, to: None, padding: (0.0, 0.0), ticks: 7, unit: 1.0 }
    }
}

impl AxisSpec {
    /// Logarithmic. A row whose x is 0 or less has no place there; a y, or a mean of them, that is 0 or less is drawn hollow at the
    /// foot of the axis; a band or bar that goes so far down is cut off there. All are counted in the small print.
    pub fn log(self) -> AxisSpec {
        AxisSpec { log: true, ..self }
    }

    /// Where it begins, in its unit.
    pub fn from(self, from: f64) -> AxisSpec {
        AxisSpec { from: Some(from), ..self }
    }

    /// Where it ends, in its unit. What lies beyond is cut off there, and said in the small print.
    pub fn to(self, to: f64) -> AxisSpec {
        AxisSpec { to: Some(to), ..self }
    }

    /// Room beyond its ends, as shares of its span.
    pub fn padded(self, below: f64, above: f64) -> AxisSpec {
        AxisSpec { padding: (below, above), ..self }
    }

    /// About how many ticks a linear axis has.
    pub fn ticks(self, ticks: usize) -> AxisSpec {
        AxisSpec { ticks, ..self }
    }

    /// Values are divided by `unit` before they are drawn: 1,000 for thousands of steps.
    pub fn unit(self, unit: f64) -> AxisSpec {
        AxisSpec { unit, ..self }
    }

    /// The axis over what is drawn from `low` to `high`, in its unit; `column` is its title where it has none. A linear one that
    /// is `rising` begins at 0 and ends at a round number.
    fn over(&self, column: &str, (low, high): (f64, f64), rising: bool) -> Result<Axis> {
        let title = self.title.as_deref().unwrap_or(column);
        let axis = if self.log {
            self.log_over(title, low, high)?
        } else {
            self.linear_over(title, low, high, rising)?
        };
        Ok(axis.padded(self.padding.0, self.padding.1))
    }

    fn linear_over(&self, title: &str, low: f64, high: f64, rising: bool) -> Result<Axis> {
        let from = self.from.unwrap_or(if rising { low.min(0.0) } else { low });
        let to = self.to.unwrap_or(if rising && high > 0.0 { round_up(1.03 * high) } else { high });
        let to = if to > from || self.to.is_some() { to } else { from + 1.0 };
        Axis::linear(title, from, to, self.ticks)
    }

    fn log_over(&self, title: &str, low: f64, high: f64) -> Result<Axis> {
        for (does, method, end) in [("begin", "from", self.from), ("end", "to", self.to)] {
            if let Some(end) = end.filter(|end| *end <= 0.0) {
                let remedy =
                    format!("`.{method}` takes a number above 0, or leave it out and the data decide");
                let problem = format!("{title}: a logarithmic axis cannot {does} at {end}; {remedy}");
                return Err(Error::argument(DRAW, problem));
            }
        }
        let room = (high / low).powf(LOG_SHARE).max(LOG_ROOM);
        let (from, to) = (self.from.unwrap_or(low / room), self.to.unwrap_or(high * room));
        let axis = Axis::log(title, from, to)?;
        if axis.ticks.len() > 1 {
            return Ok(axis);
        }
        // From one tick to another.
        Axis::log(title, self.from.unwrap_or(tick_below(from)), self.to.unwrap_or(tick_above(to)))
    }

    /// Whether `value`, in its unit, is between the ends that were asked for.
    fn has(&self, value: f64) -> bool {
        self.from.is_none_or(|from| value >= from) && self.to.is_none_or(|to| value <= to)
    }
}

/// Beyond the ends of what is drawn, a logarithmic axis goes on by this factor, and by this share of its length.
const LOG_ROOM: f64 = 1.2;
const LOG_SHARE: f64 = 0.04;

fn ticks_around(v: f64) -> [f64; 4] {
    [1.0, 2.0, 5.0, 10.0].map(|step| step * 10f64.powf(v.log10().floor()))
}

fn tick_below(v: f64) -> f64 {
    ticks_around(v).into_iter().filter(|tick| *tick <= v).fold(0.0, f64::max)
}

fn tick_above(v: f64) -> f64 {
    ticks_around(v).into_iter().filter(|tick| *tick >= v).fold(f64::INFINITY, f64::min)
}

/// A series' rows, in the axes' units.
struct Series {
    name: String,
    look: SeriesStyle,
    rows: Vec<Row>,
    /// Whether there are more, beyond the ends of the horizontal axis.
    beyond: bool,
}

#[derive(Clone, Copy)]
struct Row {
    x: f64,
    y: Option<f64>,
    repeat: f64,
    order: f64,
    hollow: bool,
    thin: Option<f64>,
    shade: Option<f64>,
}

/// What one repetition draws: (x, y, shade), x rising.
type Curve = Vec<(f64, f64, Option<f64>)>;

/// What the series have drawn.
#[derive(Default)]
struct Layers {
    /// Lines, bands, bars.
    marks: Vec<Mark>,
    /// Drawn last.
    points: Vec<Mark>,
    /// x and look of what has a row of its own above the plot.
    above: Vec<(f64, SeriesStyle)>,
    notes: Vec<String>,
    /// Whether a mean was drawn of several repetitions.
    several: bool,
    /// How many values of 0 or below a logarithmic axis has at its foot.
    at_foot: usize,
}

impl Chart {
    /// Curves of column `y` against column `x`, both numbers. Rows without an x or a y are passed over. A y that is infinite
    /// or undefined ends its curve in a cross, and is named in the small print.
    pub fn new(frame: &DataFrame, x: &str, y: &str) -> Chart {
        Chart {
            frame: frame.clone(),
            x: x.into(),
            y: y.into(),
            colour: None,
            dashes: None,
            order: Vec::new(),
            over: None,
            middle: Statistic::Mean,
            spread: Spread::Deviation,
            marked: false,
            unmarked: Vec::new(),
            path: None,
            hollow: None,
            row_above: None,
            thin: None,
            shade: None,
            rules: Vec::new(),
            panels: None,
            foot: None,
            across: AxisSpec::default(),
            up: AxisSpec::default(),
            caption: None,
            notes: Vec::new(),
        }
    }

    /// Curves of several columns of `frame`, each with the name that the legend has for it.
    ///
    /// Errors: [`Error::Argument`] for absent columns, or such that hold no numbers.
    pub fn of_columns(frame: &DataFrame, x: &str, columns: &[(&str, &str)]) -> Result<Chart> {
        let needed: Vec<&str> = std::iter::once(x).chain(columns.iter().map(|(column, _)| *column)).collect();
        need(frame, DRAW, &needed)?;
        let at = numbers(frame, DRAW, x)?;
        let (mut across, mut series, mut value) = (Vec::new(), Vec::new(), Vec::new());
        for (column, name) in columns {
            across.extend_from_slice(&at);
            series.extend(std::iter::repeat_n(*name, at.len()));
            value.extend(numbers(frame, DRAW, column)?);
        }
        let stacked = vec![
            Column::new(x.into(), across),
            Column::new("series".into(), series),
            Column::new("value".into(), value),
        ];
        let stacked = DataFrame::new(at.len() * columns.len(), stacked).map_err(Error::frame(DRAW))?;
        Ok(Chart::new(&stacked, x, "value").colour("series"))
    }

    /// A series for each value of `column` (text, numbers, booleans), with a colour, dashes and a marker of its own: of text in order
    /// of first appearance, of numbers in rising order. More than 20 numbers are an error, which says how to bin them.
    pub fn colour(mut self, column: &str) -> Chart {
        self.colour = Some(column.into());
        self
    }

    /// Within each colour, a series for each value of `column` (as in [`Chart::colour`]), with dashes of its own. The legend names it
    /// before the colour's.
    pub fn dashes(mut self, column: &str) -> Chart {
        self.dashes = Some(column.into());
        self
    }

    /// These colours come first, each with the look of its place whether the others are there or not.
    pub fn order(mut self, names: &[&str]) -> Chart {
        self.order = names.iter().map(|name| name.to_string()).collect();
        self
    }

    /// Rows of a series at one x, with different values (numbers, text, booleans) in `column`, are repetitions: their mean is drawn, and one sample
    /// standard deviation as a band (curves) or as bars (markers). A curve's mean goes over the places that all repetitions have;
    /// what single ones have beyond is drawn thin.
    pub fn over(mut self, column: &str) -> Chart {
        self.over = Some(column.into());
        self
    }

    /// Of repetitions the greatest is drawn, and not their mean: of markers alone.
    pub fn greatest(mut self) -> Chart {
        self.middle = Statistic::Greatest;
        self
    }

    /// Bars are standard errors of the mean, not standard deviations.
    pub fn standard_error(mut self) -> Chart {
        self.spread = Spread::StandardError;
        self
    }

    /// A marker at every place, and bars for the spread: for a few places, where curves have many.
    pub fn markers(mut self) -> Chart {
        self.marked = true;
        self
    }

    /// A line without markers for the series `name` among marked ones: what others are compared with.
    pub fn unmarked(mut self, name: &str) -> Chart {
        self.unmarked.push(name.into());
        self
    }

    /// Markers are joined in the order of the numbers in `column`, instead of in that of x; hollow ones are not joined.
    pub fn path(mut self, column: &str) -> Chart {
        self.path = Some(column.into());
        self
    }

    /// Markers are hollow where the column of booleans `column` is true for any row there.
    pub fn hollow(mut self, column: &str) -> Chart {
        self.hollow = Some(Hollow::True(column.into()));
        self
    }

    /// Markers are hollow where `column` has no value for any row there.
    pub fn hollow_absent(mut self, column: &str) -> Chart {
        self.hollow = Some(Hollow::Absent(column.into()));
        self
    }

    /// Markers are hollow where the numbers in `column` are above `limit` for any row there.
    pub fn hollow_above(mut self, column: &str, limit: f64) -> Chart {
        self.hollow = Some(Hollow::Above(column.into(), limit));
        self
    }

    /// Hollow markers stand in a row of their own above the plot, named by `label`, and not at their y.
    pub fn row_above(mut self, label: &str) -> Chart {
        self.row_above = Some(label.into());
        self
    }

    /// One more line for each series of markers, thin: the means of `column`.
    pub fn thin(mut self, column: &str) -> Chart {
        self.thin = Some(column.into());
        self
    }

    /// The band of a curve lies between its y and `column`, where that has values; the spread over repetitions is drawn as
    /// bars there.
    pub fn shade_to(mut self, column: &str) -> Chart {
        self.shade = Some(column.into());
        self
    }

    /// A dotted horizontal line.
    pub fn rule(mut self, y: f64, label: &str) -> Chart {
        self.rules.push((y, label.into()));
        self
    }

    /// A dotted line where guessing comes to.
    pub fn chance(self, y: f64) -> Chart {
        self.rule(y, "chance")
    }

    /// A panel for each value of `column` (as in [`Chart::colour`]), all with the same axes and looks, under one legend. Such a figure
    /// has no source for pgfplots.
    pub fn panels(mut self, column: &str) -> Chart {
        self.panels = Some(column.into());
        self
    }

    /// The horizontal axis.
    pub fn x(mut self, axis: AxisSpec) -> Chart {
        self.across = axis;
        self
    }

    /// The vertical axis.
    pub fn y(mut self, axis: AxisSpec) -> Chart {
        self.up = axis;
        self
    }

    /// What is seen, for below the figure and for those who do not see it. Without it, axes and series are named.
    pub fn caption(mut self, caption: &str) -> Chart {
        self.caption = Some(caption.into());
        self
    }

    /// A sentence for the small print, after the scale line and what the chart says itself.
    pub fn note(mut self, note: &str) -> Chart {
        self.notes.push(note.into());
        self
    }

    /// The names of its series, in the legend's order.
    ///
    /// Errors: those of [`Chart::plot`].
    pub fn names(&self) -> Result<Vec<String>> {
        Ok(self.series()?.into_iter().map(|series| series.name).collect())
    }

    /// The least and greatest y that is drawn, means and their bars or bands included, of a logarithmic axis without what is 0 or
    /// below; `None` where nothing is.
    ///
    /// Errors: those of [`Chart::plot`].
    pub fn extent(&self) -> Result<Option<(f64, f64)>> {
        Ok(self.extent_up(&self.drawn()?.1))
    }

    /// The figure `id`: letters, digits, `-` and `_`, also the name of its files.
    ///
    /// Errors: those of [`Chart::plot`], and [`Error::Drawing`].
    pub fn draw(&self, id: &str, note: &Note) -> Result<Drawing> {
        match &self.panels {
            None => self.plot(note)?.drawing(id, note, &self.frame),
            Some(column) => self.draw_panels(column, id, note),
        }
    }

    fn draw_panels(&self, column: &str, id: &str, note: &Note) -> Result<Drawing> {
        need(&self.frame, DRAW, &[column])?;
        let of = self.few_names(column)?;
        let mut all = self.clone();
        all.panels = None;
        // Equal looks in all panels, whichever series each has.
        let colours = self.colour.as_ref().map(|colour| self.few_names(colour)).transpose()?;
        all.order = self.colours(colours.as_ref()).into_iter().map(|(_, name)| name).collect();
        let mut charts = Vec::new();
        for value in of.distinct {
            let mine: Vec<bool> = of.rows.iter().map(|other| *other == value).collect();
            charts.push((value, Chart { frame: kept(&self.frame, &mine)?, ..all.clone() }));
        }
        // One foot, as there is one axis.
        let mut least = Vec::new();
        for (_, chart) in &charts {
            least.extend(chart.extent_up(&chart.unlifted()?.1).map(|ends| ends.0));
        }
        let foot = least.into_iter().reduce(f64::min).map(|least| least / BELOW_THE_LEAST);
        let mut ends = Vec::new();
        for (_, chart) in &mut charts {
            chart.foot = foot;
            ends.push(chart.ends(&chart.drawn()?.1)?);
        }
        let span = |ends: Vec<(f64, f64)>| ends.into_iter().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let (across, up) = ends.into_iter().unzip();
        let ends = span(across).zip(span(up));
        let (mut plots, mut notes) = (Vec::new(), vec![note.scale_line.clone()]);
        let (mut legend, mut caption) = (Vec::new(), String::new());
        for (value, chart) in charts {
            let plot = chart.plot_within(note, ends)?;
            let own = plot.notes.iter().skip(1).filter(|own| !self.notes.contains(own));
            notes.extend(own.map(|own| format!("{value}: {own}")));
            legend.extend(
                plot.legend.iter().filter(|entry| !legend.contains(*entry)).cloned().collect::<Vec<_>>(),
            );
            caption = plot.description.clone();
            plots.push((value, plot));
        }
        notes.extend(self.notes.iter().cloned());
        let headings: Vec<&str> = plots.iter().map(|(heading, _)| heading.as_str()).collect();
        let caption = format!("{caption} Panels{}: {}.", self.by(&[column]), headings.join(", "));
        if let Some((_, first)) = plots.first_mut() {
            first.legend = legend;
        }
        Drawing::of_sketch(id, Panels::new(plots)?, notes, caption, note, self.frame.clone())
    }

    /// What is laid out and drawn: for changes that the grammar has no word for.
    ///
    /// Errors: [`Error::Argument`] for absent or mistyped columns, for several rows at one place where nothing says that they
    /// are repetitions, for a frame in which nothing can be drawn, and for axes whose ends are no span.
    pub fn plot(&self, note: &Note) -> Result<Plot> {
        self.plot_within(note, None)
    }

    /// With axes over `ends` of both; else over what is drawn.
    fn plot_within(&self, note: &Note, ends: Option<Limits>) -> Result<Plot> {
        let (series, drawn) = self.drawn()?;
        let (across, up) = ends.map_or_else(|| self.ends(&drawn), Ok)?;
        let mut y = self.up.over(&self.y, up, true)?;
        let mut notes = vec![note.scale_line.clone()];
        notes.extend(drawn.notes.iter().cloned());
        notes.extend(self.cut_off(&drawn));
        notes.extend(self.notes.iter().cloned());
        let description = self.described(&series, drawn.several);
        let rules = self.rules.iter().filter(|(y, _)| !self.is_below(*y));
        let mut marks: Vec<Mark> =
            rules.map(|(y, label)| Mark::Rule { y: *y, label: label.clone() }).collect();
        marks.extend(drawn.marks);
        if let (Some(label), false) = (&self.row_above, drawn.above.is_empty()) {
            y = y.tick_at(ROW_ABOVE, label);
            marks.push(Mark::Rule { y: y.value_at(1.0), label: String::new() });
            marks.extend(side_by_side(&drawn.above, y.value_at(ROW_ABOVE)));
            y = y.padded(0.0, ROOM_ABOVE);
        }
        marks.extend(drawn.points);
        let x = self.across.over(&self.x, across, false)?;
        Ok(Plot { x, y, legend: self.legend(&series), marks, notes, description })
    }

    /// The ends of what is drawn, along both axes.
    fn ends(&self, drawn: &Layers) -> Result<Limits> {
        let mut across = extent(drawn, |at| Some(at.0));
        for (x, _) in &drawn.above {
            across = Some(across.map_or((*x, *x), |(low, high)| (low.min(*x), high.max(*x))));
        }
        let nothing = || {
            let place = if self.across.log { format!(" where {} is above 0", self.x) } else { String::new() };
            Error::argument(DRAW, format!("column {} holds no finite number to draw{place}", self.y))
        };
        let across = across.ok_or_else(nothing)?;
        let empty = if self.up.log { (1.0, 1.0) } else { (0.0, 1.0) };
        Ok((across, self.extent_up(drawn).unwrap_or(empty)))
    }

    fn extent_up(&self, drawn: &Layers) -> Option<(f64, f64)> {
        extent(drawn, |at| (!self.is_below(at.1)).then_some(at.1))
    }

    /// Whether a logarithmic axis has no place for `y`.
    fn is_below(&self, y: f64) -> bool {
        self.up.log && y <= 0.0
    }

    fn legend(&self, series: &[Series]) -> Vec<(String, SeriesStyle, Key)> {
        let entry = |series: &Series| (series.name.clone(), series.look, self.key(&series.name));
        if self.is_single() { Vec::new() } else { series.iter().map(entry).collect() }
    }

    fn is_single(&self) -> bool {
        self.colour.is_none() && self.dashes.is_none()
    }

    fn key(&self, name: &str) -> Key {
        if self.marked && !self.unmarked.iter().any(|unmarked| unmarked == name) {
            Key::Marked
        } else {
            Key::Line
        }
    }

    fn described(&self, series: &[Series], several: bool) -> String {
        let title = |axis: &AxisSpec, column: &str| axis.title.clone().unwrap_or(column.into());
        let names: Vec<&str> = series.iter().map(|series| series.name.as_str()).collect();
        let columns: Vec<&str> =
            [&self.dashes, &self.colour].into_iter().flatten().map(String::as_str).collect();
        let list = || format!("{}: {}", self.by(&columns), names.join(", "));
        let of = if self.is_single() { String::new() } else { list() };
        let plain = || {
            capitalised(&format!(
                "{} against {}{of}.",
                title(&self.up, &self.y),
                title(&self.across, &self.x)
            ))
        };
        let mut text = self.caption.clone().unwrap_or_else(plain);
        if let (true, Some(over)) = (several, &self.over) {
            let shown = match (self.marked, self.shade.is_some()) {
                (true, _) => "bars are",
                (false, true) => "band and bars are",
                (false, false) => "the band is",
            };
            let spread = match self.spread {
                Spread::Deviation => "one standard deviation",
                Spread::StandardError => "one standard error",
            };
            text += &format!(" Mean over {over}s; {shown} {spread}.");
        }
        text
    }

    /// " by A and B" of those of the columns whose values do not say what they are: numbers and booleans.
    fn by(&self, columns: &[&str]) -> String {
        let bare = |column: &&&str| find(&self.frame, column).is_ok_and(|found| !is_text(found.dtype()));
        let columns: Vec<&str> = columns.iter().filter(bare).copied().collect();
        if columns.is_empty() { String::new() } else { format!(" by {}", columns.join(" and ")) }
    }

    /// Its series, and what they draw, all where it is.
    fn unlifted(&self) -> Result<(Vec<Series>, Layers)> {
        let series = self.series()?;
        let mut drawn = Layers::default();
        for one in &series {
            match self.key(&one.name) {
                Key::Marked => self.marked(one, &mut drawn),
                Key::Line => self.curve(one, &mut drawn),
            }
        }
        Ok((series, drawn))
    }

    /// Its series, and what they draw; on a logarithmic axis what is 0 or below at the foot.
    fn drawn(&self) -> Result<(Vec<Series>, Layers)> {
        let (series, mut drawn) = self.unlifted()?;
        if self.up.log {
            drawn.notes.extend(self.has_no_place(&drawn));
            let below = || self.extent_up(&drawn).map_or(1.0, |ends| ends.0) / BELOW_THE_LEAST;
            drawn.lift_to(self.up.from.or(self.foot).unwrap_or_else(below));
        }
        drawn.notes.extend(self.left_of_the_axis()?);
        drawn.notes.extend(self.beyond(&series));
        if drawn.at_foot > 0 {
            let how = if self.marked { "Hollow, at" } else { "At" };
            drawn.notes.push(format!("{how} the foot of the axis: {} of 0 or below.", drawn.at_foot));
        }
        Ok((series, drawn))
    }

    /// Which bands, bars and rules a logarithmic axis cuts off or leaves out, a sentence each.
    fn has_no_place(&self, drawn: &Layers) -> Vec<String> {
        let below = |mark: &Mark| match mark {
            Mark::Band { edges, .. } => edges.iter().filter(|at| at.1.min(at.2) <= 0.0).count(),
            Mark::Bar { span, .. } => usize::from(span.0 <= 0.0),
            Mark::Line { .. } | Mark::Point { .. } | Mark::Cross { .. } | Mark::Rule { .. } => 0,
        };
        let count: usize = drawn.marks.iter().chain(&drawn.points).map(below).sum();
        let places = if count == 1 { "place" } else { "places" };
        let spreads = (count > 0).then(|| {
            format!("Bands and bars that reach 0 or below are cut off at the foot of the axis: at {count} {places}.")
        });
        let rules = self.rules.iter().filter(|(y, _)| self.is_below(*y));
        let rules = rules
            .map(|(y, label)| format!("No place on a logarithmic axis: the dotted line at {y} ({label})."));
        spreads.into_iter().chain(rules).collect()
    }

    /// How many values have an x that a logarithmic axis has no place for.
    fn left_of_the_axis(&self) -> Result<Option<String>> {
        if !self.across.log {
            return Ok(None);
        }
        let (x, y) = (numbers(&self.frame, DRAW, &self.x)?, numbers(&self.frame, DRAW, &self.y)?);
        let left = |(x, y): (Option<f64>, Option<f64>)| x.is_some_and(|x| x <= 0.0) && y.is_some();
        let count = x.into_iter().zip(y).filter(|row| left(*row)).count();
        let values = if count == 1 { "value" } else { "values" };
        let what = self.x.replace('_', " ");
        Ok((count > 0).then(|| format!("Not drawn: {count} {values} where {what} is 0 or below.")))
    }

    fn series(&self) -> Result<Vec<Series>> {
        let hollow = self.hollow.as_ref().map(Hollow::column);
        let optional = [&self.colour, &self.dashes, &self.over, &self.path, &self.thin, &self.shade];
        let columns = [&self.x, &self.y].into_iter().chain(optional.into_iter().flatten()).chain(hollow);
        need(&self.frame, DRAW, &columns.map(String::as_str).collect::<Vec<_>>())?;
        let rows = self.rows()?;
        let of = |column: &Option<String>| column.as_ref().map(|column| self.few_names(column)).transpose();
        let (colours, dashes) = (of(&self.colour)?, of(&self.dashes)?);
        let patterns = dashes.as_ref().map_or(vec![String::new()], |dashes| dashes.distinct.clone());
        let mut series = Vec::new();
        for (index, colour) in self.colours(colours.as_ref()) {
            for (pattern, dash) in patterns.iter().enumerate() {
                let mine = |row: &usize| {
                    colours.as_ref().is_none_or(|colours| colours.rows[*row] == colour)
                        && dashes.as_ref().is_none_or(|dashes| dashes.rows[*row] == *dash)
                };
                let mine = (0..rows.len()).filter(mine).filter_map(|row| rows[row]);
                let (rows, beyond): (Vec<Row>, Vec<Row>) = mine.partition(|row| self.across.has(row.x));
                let name = match (&self.dashes, &self.colour) {
                    (None, _) => colour.clone(),
                    (Some(_), None) => dash.clone(),
                    (Some(_), Some(_)) => format!("{dash}, {colour}"),
                };
                let look = SeriesStyle::dashed(index, pattern);
                series.push(Series { name, look, rows, beyond: !beyond.is_empty() });
            }
        }
        series.iter().try_for_each(|series| self.check_repeats(series))?;
        Ok(series)
    }

    /// The names of the values of `column`; an error where there are more numbers than can be told apart.
    fn few_names(&self, column: &str) -> Result<Names> {
        let names = names(&self.frame, DRAW, column)?;
        let dtype = find(&self.frame, column).map_err(Error::frame(DRAW))?.dtype();
        let count = names.distinct.len();
        if count <= MOST_NUMBERS || !dtype.is_primitive_numeric() {
            return Ok(names);
        }
        let values = all_numbers(&self.frame, DRAW, column)?;
        let remedy = binned(column, &values);
        let problem = format!(
            "column {column} holds {count} different numbers; more than {MOST_NUMBERS} cannot be told apart. Bin them, as in \
             `frame.lazy().with_columns([{remedy}]).collect()?`, or make names of them with `col(\"{column}\").cast(DataType::String)`"
        );
        Err(Error::argument(DRAW, problem))
    }

    /// The values of the colour's column that there are, each with the number of its look.
    fn colours(&self, colours: Option<&Names>) -> Vec<(usize, String)> {
        let Some(colours) = colours else { return vec![(0, self.y.clone())] };
        let there = &colours.distinct;
        let first = self.order.iter().cloned().enumerate().filter(|(_, name)| there.contains(name));
        let others = there.iter().filter(|name| !self.order.contains(name)).cloned().enumerate();
        first.chain(others.map(|(index, name)| (self.order.len() + index, name))).collect()
    }

    /// Several rows at one place are averaged only where it was said what tells them apart, and does.
    fn check_repeats(&self, series: &Series) -> Result<()> {
        if self.path.is_some() {
            return Ok(());
        }
        let there = series.rows.iter().filter(|row| row.y.is_some());
        let mut places: Vec<(f64, f64)> = there.map(|row| (row.x, row.repeat)).collect();
        places.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let Some(twice) = places.windows(2).find(|pair| pair[0] == pair[1]) else { return Ok(()) };
        let (name, x, at) = (&series.name, &self.x, twice[0].0 * self.across.unit);
        let problem = match &self.over {
            None => format!(
                "{name}: several rows at {x} {at}; `.over(\"seed\")` says which column tells repetitions apart"
            ),
            Some(over) => format!(
                "{name}: several rows at {x} {at} with one {over}, which are no repetitions of each other; `.colour` or \
                 `.dashes` of the column in which they differ, or a filter, tells them apart"
            ),
        };
        Err(Error::argument(DRAW, problem))
    }

    /// The frame's rows in the axes' units; `None` for those that have no place on the horizontal axis.
    fn rows(&self) -> Result<Vec<Option<Row>>> {
        let count = self.frame.height();
        let wanted = |column: &Option<String>| -> Result<Vec<f64>> {
            column.as_ref().map_or(Ok(vec![0.0; count]), |column| all_numbers(&self.frame, DRAW, column))
        };
        let loose = |column: &Option<String>| -> Result<Vec<Option<f64>>> {
            column.as_ref().map_or(Ok(vec![None; count]), |column| numbers(&self.frame, DRAW, column))
        };
        let x = numbers(&self.frame, DRAW, &self.x)?;
        let y = numbers(&self.frame, DRAW, &self.y)?;
        let repeat = self.over.as_ref().map(|column| ranks(&self.frame, DRAW, column));
        let (repeat, order) = (repeat.unwrap_or(Ok(vec![0.0; count]))?, wanted(&self.path)?);
        let (thin, shade) = (loose(&self.thin)?, loose(&self.shade)?);
        let hollow =
            self.hollow.as_ref().map_or(Ok(vec![false; count]), |hollow| hollow.flags(&self.frame))?;
        let up = |value: f64| value / self.up.unit;
        let row = |row: usize| {
            let x = x[row].filter(|x| x.is_finite())? / self.across.unit;
            let (y, repeat, order, hollow) = (y[row].map(up), repeat[row], order[row], hollow[row]);
            let (thin, shade) = (thin[row].map(up), shade[row].map(up));
            (!self.across.log || x > 0.0).then_some(Row { x, y, repeat, order, hollow, thin, shade })
        };
        Ok((0..count).map(row).collect())
    }

    /// Which series the horizontal axis cuts off.
    fn beyond(&self, series: &[Series]) -> Option<String> {
        let names: Vec<&str> = series.iter().filter(|one| one.beyond).map(|one| one.name.as_str()).collect();
        let at = |end: &Option<f64>| end.map(|end| end * self.across.unit).filter(|end| *end != 0.0);
        let ends: Vec<String> = [&self.across.from, &self.across.to]
            .into_iter()
            .filter_map(at)
            .map(|end| end.to_string())
            .collect();
        let line = || format!("Beyond {} {}, not drawn: {}.", self.x, ends.join(" and "), names.join(", "));
        (!names.is_empty()).then(line)
    }

    /// What the ends of the vertical axis leave out, a sentence each.
    fn cut_off(&self, drawn: &Layers) -> Vec<String> {
        let line = |mark: &Mark| match mark {
            Mark::Line { points, .. } => points.clone(),
            Mark::Point { at, .. } => vec![*at],
            Mark::Band { .. } | Mark::Bar { .. } | Mark::Cross { .. } | Mark::Rule { .. } => Vec::new(),
        };
        let values = drawn.marks.iter().chain(&drawn.points).flat_map(line).map(|at| at.1);
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v: f64| (l.min(v), h.max(v)));
        let name = capitalised(&self.y);
        let above = self.up.to.filter(|to| high > *to);
        let above = above.map(|to| format!("{name} above {to} is cut off (highest {}).", significant(high)));
        let below = self.up.from.filter(|from| low < *from);
        let below =
            below.map(|from| format!("{name} below {from} is cut off (lowest {}).", significant(low)));
        [above, below].into_iter().flatten().collect()
    }

    /// Markers, their bars, and the line that joins them.
    fn marked(&self, series: &Series, drawn: &mut Layers) {
        let look = series.look;
        let (mut line, mut thin) = (Vec::new(), Vec::new());
        for place in self.places(&series.rows) {
            let at = place[0].x;
            let above = self.row_above.is_some() && place.iter().any(|row| row.hollow);
            if above {
                drawn.above.push((at, look));
            }
            let slight: Vec<f64> = place.iter().filter_map(|row| row.thin).collect();
            if !slight.is_empty() {
                let mean = mean_sd(&slight).0;
                drawn.at_foot += usize::from(self.is_below(mean));
                thin.push((at, mean));
            }
            let values: Vec<f64> = place.iter().filter_map(Row::finite).collect();
            if values.is_empty() {
                continue;
            }
            let hollow = !above && place.iter().any(|row| row.hollow && row.finite().is_some());
            drawn.several |= self.over.is_some() && self.middle == Statistic::Mean && values.len() > 1;
            let (middle, spread) = self.middle_and_spread(&values);
            drawn.at_foot += usize::from(self.is_below(middle));
            if !((hollow || self.is_below(middle)) && self.path.is_some()) {
                line.push((at, middle));
            }
            if spread > 0.0 {
                drawn.points.push(Mark::Bar { x: at, span: (middle - spread, middle + spread), look });
            }
            drawn.points.push(Mark::Point { at: (at, middle), look, hollow, shift: 0.0 });
        }
        drawn.marks.push(Mark::Line { points: line, look, fine: false });
        if self.thin.is_some() {
            drawn.marks.push(Mark::Line { points: thin, look, fine: true });
        }
        drawn.notes.extend(self.without(series));
    }

    /// How many rows have no y that could be drawn, but for those in the row above the plot.
    fn without(&self, series: &Series) -> Option<String> {
        let shown = |row: &&Row| row.finite().is_some() || (self.row_above.is_some() && row.hollow);
        let without = series.rows.len() - series.rows.iter().filter(shown).count();
        let runs = if without == 1 { "run" } else { "runs" };
        let what = self.up.title.as_ref().unwrap_or(&self.y);
        (without > 0)
            .then(|| format!("{}: {without} {runs} without a value ({what}), not drawn.", series.name))
    }

    /// Rows that are drawn as one marker, in the order in which markers are joined.
    fn places(&self, rows: &[Row]) -> Vec<Vec<Row>> {
        let mut rows = rows.to_vec();
        if self.path.is_some() {
            rows.sort_by(|a, b| a.order.total_cmp(&b.order));
            return rows.into_iter().map(|row| vec![row]).collect();
        }
        rows.sort_by(|a, b| a.x.total_cmp(&b.x));
        rows.chunk_by(|a, b| a.x == b.x).map(<[Row]>::to_vec).collect()
    }

    fn middle_and_spread(&self, values: &[f64]) -> (f64, f64) {
        let (mean, deviation) = mean_sd(values);
        match (self.middle, self.spread) {
            (Statistic::Greatest, _) => (values.iter().copied().fold(f64::NEG_INFINITY, f64::max), 0.0),
            (Statistic::Mean, Spread::Deviation) => (mean, deviation),
            (Statistic::Mean, Spread::StandardError) => (mean, deviation / (values.len() as f64).sqrt()),
        }
    }

    /// The mean of the repetitions that stay finite with its band, thin what is theirs alone, and those that do not.
    fn curve(&self, series: &Series, drawn: &mut Layers) {
        let look = series.look;
        let mut rows: Vec<Row> = series.rows.iter().filter(|row| row.y.is_some()).copied().collect();
        rows.sort_by(|a, b| a.repeat.total_cmp(&b.repeat).then(a.x.total_cmp(&b.x)));
        let curves: Vec<Curve> = rows.chunk_by(|a, b| a.repeat == b.repeat).map(curve).collect();
        let (whole, lost): (Vec<&Curve>, Vec<&Curve>) =
            curves.iter().partition(|curve| curve.iter().all(|at| at.1.is_finite()));
        for curve in &lost {
            let points: Vec<_> =
                curve.iter().take_while(|at| at.1.is_finite()).map(|at| (at.0, at.1)).collect();
            drawn.at_foot += points.iter().filter(|at| self.is_below(at.1)).count();
            drawn.marks.extend(points.last().map(|at| Mark::Cross { at: *at, look }));
            // Without a mean beside it, it is the series' curve.
            drawn.marks.push(Mark::Line { points, look, fine: !whole.is_empty() });
        }
        if !lost.is_empty() {
            drawn.notes.push(self.gone(&series.name, lost.len(), curves.len()));
        }
        drawn.several |= whole.len() > 1;
        self.mean_curve(&whole, look, drawn);
    }

    fn gone(&self, name: &str, lost: usize, of: usize) -> String {
        let what = match &self.over {
            Some(over) if of > 1 => format!("{lost} of {of} {over}s"),
            _ => format!("{lost} of {of} run"),
        };
        format!("{name}: the {} of {what} became infinite or undefined (cross).", self.y)
    }

    fn mean_curve(&self, whole: &[&Curve], look: SeriesStyle, drawn: &mut Layers) {
        let shared = shared(whole);
        let shaded = shared.iter().any(|at| at.shade.is_some());
        for curve in whole {
            let last = shared.last().map_or(f64::NEG_INFINITY, |at| at.x);
            let tail: Vec<_> = curve.iter().filter(|at| at.0 >= last).map(|at| (at.0, at.1)).collect();
            if tail.len() > 1 {
                drawn.at_foot += tail[1..].iter().filter(|at| self.is_below(at.1)).count();
                drawn.marks.push(Mark::Line { points: tail, look, fine: true });
            }
        }
        let edge = |at: &Shared| match at.shade {
            Some(shade) => (at.x, at.mean, shade),
            None => (at.x, at.mean - at.deviation, at.mean + at.deviation),
        };
        if (whole.len() > 1 || shaded) && shared.len() > 1 {
            drawn.marks.push(Mark::Band { edges: shared.iter().map(edge).collect(), look });
        }
        for at in shared.iter().filter(|at| at.shade.is_some() && at.deviation > 0.0) {
            let span = (at.mean - at.deviation, at.mean + at.deviation);
            drawn.marks.push(Mark::Bar { x: at.x, span, look });
        }
        drawn.at_foot += shared.iter().filter(|at| self.is_below(at.mean)).count();
        match shared.iter().map(|at| (at.x, at.mean)).collect::<Vec<_>>()[..] {
            [at] => drawn.marks.push(Mark::Point { at, look, hollow: false, shift: 0.0 }),
            ref points => drawn.marks.push(Mark::Line { points: points.to_vec(), look, fine: false }),
        }
    }
}

/// Where the row above the plot is, and what room it takes: shares of the vertical axis.
const ROW_ABOVE: f64 = 1.09;
const ROOM_ABOVE: f64 = 0.17;
/// Between two markers at one place of that row, points.
const BESIDE: f64 = 7.5;

/// Hollow markers at `y`; those at one place stand side by side.
fn side_by_side(above: &[(f64, SeriesStyle)], y: f64) -> Vec<Mark> {
    let mark = |(index, (x, look)): (usize, &(f64, SeriesStyle))| {
        let here = |other: &&(f64, SeriesStyle)| other.0 == *x;
        let (before, all) = (above[..index].iter().filter(here).count(), above.iter().filter(here).count());
        let shift = BESIDE * (before as f64 - (all - 1) as f64 / 2.0);
        Mark::Point { at: (*x, y), look: *look, hollow: true, shift }
    };
    above.iter().enumerate().map(mark).collect()
}

impl Layers {
    /// Puts what is 0 or below, and has no place on a logarithmic axis, at `foot`; bands and bars are cut off where they are drawn.
    fn lift_to(&mut self, foot: f64) {
        for mark in self.marks.iter_mut().chain(&mut self.points) {
            match mark {
                Mark::Line { points, .. } => {
                    points.iter_mut().filter(|at| at.1 <= 0.0).for_each(|at| at.1 = foot);
                }
                Mark::Point { at, hollow, .. } if at.1 <= 0.0 => (at.1, *hollow) = (foot, true),
                Mark::Cross { at, .. } if at.1 <= 0.0 => at.1 = foot,
                Mark::Point { .. } | Mark::Cross { .. } => (),
                Mark::Band { .. } | Mark::Bar { .. } | Mark::Rule { .. } => (),
            }
        }
    }
}

impl Row {
    fn finite(&self) -> Option<f64> {
        self.y.filter(|y| y.is_finite())
    }
}

impl Hollow {
    fn column(&self) -> &String {
        match self {
            Hollow::True(column) | Hollow::Absent(column) | Hollow::Above(column, _) => column,
        }
    }

    fn flags(&self, frame: &DataFrame) -> Result<Vec<bool>> {
        Ok(match self {
            Hollow::True(column) => booleans(frame, column)?,
            Hollow::Absent(column) => numbers(frame, DRAW, column)?.iter().map(Option::is_none).collect(),
            Hollow::Above(column, limit) => {
                all_numbers(frame, DRAW, column)?.iter().map(|value| value > limit).collect()
            }
        })
    }
}

/// Values of 0 and below lie so many times below the least that a logarithmic axis shows.
const BELOW_THE_LEAST: f64 = 3.0;

/// A column of numbers gives at most so many series or panels.
const MOST_NUMBERS: usize = 20;

/// An expression of polars that rounds the values of `column` to at most [`MOST_NUMBERS`] round ones.
fn binned(column: &str, values: &[f64]) -> String {
    let (low, high) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let power = ((MOST_NUMBERS - 1) as f64 / (high - low)).log10().floor().clamp(-300.0, 300.0) as i32;
    if power >= 0 {
        return format!("col(\"{column}\").round({power}, Default::default())");
    }
    let step = format!("lit(1e{})", -power);
    format!("(col(\"{column}\") / {step}).floor() * {step}")
}

/// A column's name, or a title, at the start of a sentence.
pub(crate) fn capitalised(text: &str) -> String {
    let text = text.replace('_', " ");
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// Three significant digits.
fn significant(value: f64) -> String {
    if !(1e-2..1e4).contains(&value.abs()) {
        return format!("{value:.2e}");
    }
    let digits = (2 - value.abs().log10().floor() as i32).max(0) as usize;
    format!("{value:.digits$}")
}

/// One repetition's rows, x rising; of two rows at one x the later counts.
fn curve(rows: &[Row]) -> Curve {
    let mut curve: Curve = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(y) = row.y else { continue };
        if curve.last().is_some_and(|at| at.0 == row.x) {
            curve.pop();
        }
        curve.push((row.x, y, row.shade));
    }
    curve
}

/// A place that all repetitions have.
struct Shared {
    x: f64,
    mean: f64,
    deviation: f64,
    shade: Option<f64>,
}

fn shared(curves: &[&Curve]) -> Vec<Shared> {
    let Some(first) = curves.first() else { return Vec::new() };
    let at = |x: f64| -> Option<Shared> {
        let find = |curve: &&Curve| {
            let index = curve.binary_search_by(|at| at.0.total_cmp(&x)).ok()?;
            Some(curve[index])
        };
        let places: Vec<(f64, f64, Option<f64>)> = curves.iter().map(find).collect::<Option<_>>()?;
        let values: Vec<f64> = places.iter().map(|at| at.1).collect();
        let shades: Option<Vec<f64>> = places.iter().map(|at| at.2).collect();
        let (mean, deviation) = mean_sd(&values);
        Some(Shared { x, mean, deviation, shade: shades.map(|shades| mean_sd(&shades).0) })
    };
    first.iter().filter_map(|place| at(place.0)).collect()
}

/// The ends of what `of` takes of the places that are drawn.
fn extent(drawn: &Layers, of: impl Fn((f64, f64)) -> Option<f64>) -> Option<(f64, f64)> {
    let places = |mark: &Mark| -> Vec<(f64, f64)> {
        match mark {
            Mark::Line { points, .. } => points.clone(),
            Mark::Band { edges, .. } => edges.iter().flat_map(|e| [(e.0, e.1), (e.0, e.2)]).collect(),
            Mark::Point { at, .. } | Mark::Cross { at, .. } => vec![*at],
            Mark::Bar { x, span, .. } => vec![(*x, span.0), (*x, span.1)],
            Mark::Rule { .. } => Vec::new(),
        }
    };
    let all = drawn.marks.iter().chain(&drawn.points).flat_map(places).filter_map(of);
    all.fold(None, |ends, v| Some(ends.map_or((v, v), |(low, high): (f64, f64)| (low.min(v), high.max(v)))))
}

/// A column of booleans in which every row has a value.
fn booleans(frame: &DataFrame, name: &str) -> Result<Vec<bool>> {
    let column = find(frame, name).map_err(Error::frame(DRAW))?;
    if *column.dtype() != DataType::Boolean {
        return Err(Error::argument(DRAW, format!("column {name} holds {}, not booleans", column.dtype())));
    }
    let values = column.bool().map_err(Error::frame(DRAW))?;
    let absent = |row| Error::argument(DRAW, format!("column {name}, row {row}: no value"));
    values.iter().enumerate().map(|(row, v)| v.ok_or_else(|| absent(row))).collect()
}
