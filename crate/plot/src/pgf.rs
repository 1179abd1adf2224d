//! A [`Plot`] as source for LaTeX's pgfplots: the same axes, ticks, colours, dashes, markers and legend as in the SVG, laid
//! out to the same size, with the data in a CSV file beside it.
//!
//! The type is the document's own; what is reserved for it is measured in the drawing's style.

use crate::Result;
use crate::axes::Axis;
use crate::escape::escape_latex;
use crate::layout::{ABOVE_PLOT, KEY_GAP, Layout, clip};
use crate::plot::{Key, Mark, Plot};
use crate::style::{GREY, GRID, INK, LINE, MARGIN, MARKER, SEAM, SeriesStyle, Style, TICK};
use plotters::style::RGBColor;
use plotters::style::text_anchor::HPos;
use std::fmt::Write;

/// A plot for pgfplots.
#[derive(Clone, Debug)]
pub struct Pgf {
    /// A `tikzpicture`, to be input where an image would be included.
    pub source: String,
    /// What it draws, as CSV: columns of their own for each series, numbered as in the source; `nan` ends a piece of a
    /// curve and fills columns that are shorter than others.
    pub data: String,
}

/// What the preamble of a document needs for [`Pgf::source`].
pub const PREAMBLE: &str =
    "\\usepackage{pgfplots}\n\\pgfplotsset{compat=1.16}\n\\usepgfplotslibrary{fillbetween}\n";

/// `plot` in `style`, its data in the file named `data`. Lengths are big points (bp), which are the SVG's.
///
/// Errors: [`crate::Error::Drawing`] where text cannot be measured.
pub(crate) fn pgfplots(plot: &Plot, style: &Style, data: &str) -> Result<Pgf> {
    let layout = plot.layout(style)?;
    let mut pen =
        Pen { plot, data, body: String::new(), columns: Vec::new(), colours: Vec::new(), series: 0 };
    pen.marks(style);
    let legend = pen.legend(&layout);
    let mut source = String::from("% In the preamble:\n");
    for line in PREAMBLE.lines() {
        source += &format!("%   {line}\n");
    }
    source += &format!(
        "% The data is in {data}, sought in the folder \\rethinkfolder: \\newcommand{{\\rethinkfolder}}{{figures/}}\n\
         \\providecommand{{\\rethinkfolder}}{{}}%\n"
    );
    let (label, title) = (style.label_pt, style.title_pt);
    let font = |size: f64| format!("\\fontsize{{{size}bp}}{{{:.2}bp}}\\selectfont", 1.2 * size);
    let _ = writeln!(source, "\\begin{{tikzpicture}}[font={}, line join=round]", font(label));
    for (name, colour) in [("ink", INK), ("grey", GREY), ("grid", GRID), ("seam", SEAM)] {
        source += &define(name, colour);
    }
    for (name, colour) in &pen.colours {
        source += &define(name, *colour);
    }
    let (width, height) = layout.panel();
    let _ = write!(
        source,
        "\\begin{{axis}}[\n  scale only axis, width={width:.2}bp, height={height:.2}bp,\n  {},\n  {},\n  \
         axis x line*=bottom, axis y line*=left,\n  axis line style={{draw=ink, line width=0.6bp}},\n  \
         tick align=outside, tick style={{draw=ink, line width=0.6bp}}, major tick length={TICK}bp,\n  \
         xminorticks=false, yminorticks=false, scaled ticks=false,\n  \
         tick label style={{text=ink, font={}}}, label style={{text=ink, inner sep=1bp, font={}}},\n  \
         ymajorgrids, major grid style={{draw=grid, line width=0.5bp}},\n  \
         unbounded coords=jump, table/col sep=comma,\n",
        axis("x", &layout.x),
        axis("y", &plot.y),
        font(label),
        font(title),
    );
    source += &legend.options;
    source += "]\n";
    source += &pen.body;
    source += &legend.entries;
    source += "\\end{axis}\n\\end{tikzpicture}%\n";
    Ok(Pgf { source, data: table(&pen.columns) })
}

fn define(name: &str, RGBColor(r, g, b): RGBColor) -> String {
    format!("\\definecolor{{{name}}}{{RGB}}{{{r},{g},{b}}}\n")
}

/// Ten significant digits: powers of ten of logarithms are themselves again.
fn short(value: f64) -> f64 {
    format!("{value:.9e}").parse().unwrap_or(value)
}

/// A number as pgfplots reads it.
fn number(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "nan".into(),
        v if v == 0.0 || (1e-4..1e7).contains(&v) => value.to_string(),
        _ => format!("{value:e}"),
    }
}

/// Ends, scale, ticks and title of an axis.
fn axis(name: &str, axis: &Axis) -> String {
    let value = |place: f64| number(short(axis.value(place)));
    let inside = axis.ticks.iter().filter(|t| (axis.low - 1e-9..=axis.high + 1e-9).contains(&t.0));
    let (places, labels): (Vec<String>, Vec<String>) =
        inside.map(|(place, label)| (value(*place), format!("{{{}}}", escape_latex(label)))).unzip();
    let places = if places.is_empty() { "\\empty".into() } else { format!("{{{}}}", places.join(",")) };
    format!(
        "{name}min={}, {name}max={}, {name}mode={},\n  {name}tick={places}, {name}ticklabels={{{}}}, {name}label={{{}}}",
        value(axis.low),
        value(axis.high),
        if axis.log { "log" } else { "linear" },
        labels.join(","),
        escape_latex(&axis.title)
    )
}

/// Columns side by side, the shorter ones filled.
fn table(columns: &[(String, Vec<f64>)]) -> String {
    let names: Vec<&str> = columns.iter().map(|c| c.0.as_str()).collect();
    let rows = columns.iter().map(|c| c.1.len()).max().unwrap_or(0);
    let mut out = names.join(",") + "\n";
    for row in 0..rows {
        let cells = columns.iter().map(|c| number(c.1.get(row).copied().unwrap_or(f64::NAN)));
        out += &(cells.collect::<Vec<_>>().join(",") + "\n");
    }
    out
}

struct Legend {
    options: String,
    entries: String,
}

struct Pen<'a> {
    plot: &'a Plot,
    data: &'a str,
    body: String,
    columns: Vec<(String, Vec<f64>)>,
    colours: Vec<(String, RGBColor)>,
    series: usize,
}

impl Pen<'_> {
    fn colour(&mut self, colour: RGBColor) -> String {
        let RGBColor(r, g, b) = colour;
        let name = format!("c{r:02x}{g:02x}{b:02x}");
        if !self.colours.iter().any(|c| c.0 == name) {
            self.colours.push((name.clone(), colour));
        }
        name
    }

    /// Numbers the next series and keeps its columns.
    fn keep(&mut self, columns: &[(&str, Vec<f64>)]) -> usize {
        self.series += 1;
        for (name, values) in columns {
            self.columns.push((format!("{name}{}", self.series), values.clone()));
        }
        self.series
    }

    /// Draws column `y` of series `n` against its x.
    fn add(&mut self, options: &str, y: &str, n: usize) {
        let data = self.data;
        let _ = writeln!(
            self.body,
            "\\addplot[{options}, forget plot] table[x=x{n}, y={y}{n}] {{\\rethinkfolder {data}}};"
        );
    }

    /// The value drawn for `y`: on the plot.
    fn clamped(&self, y: f64) -> f64 {
        let axis = &self.plot.y;
        let place = axis.place(y);
        if (axis.low..=axis.high).contains(&place) {
            return y;
        }
        short(axis.value(place.clamp(axis.low, axis.high)))
    }

    /// A path as columns x and y: cut where it leaves the plot, as in the SVG, since far values are more than TeX can
    /// reckon with.
    fn path(&self, points: &[(f64, f64)]) -> (Vec<f64>, Vec<f64>) {
        let (x, y) = (&self.plot.x, &self.plot.y);
        let on_plot = |p: &(f64, f64)| (y.low..=y.high).contains(&y.place(p.1));
        if points.iter().all(on_plot) {
            return points.iter().copied().unzip();
        }
        let places: Vec<_> = points.iter().map(|p| (x.place(p.0), y.place(p.1))).collect();
        let mut columns = (Vec::new(), Vec::new());
        for piece in clip(&places, y.low, y.high) {
            if !columns.0.is_empty() {
                columns.0.push(f64::NAN);
                columns.1.push(f64::NAN);
            }
            columns.0.extend(piece.iter().map(|p| short(x.value(p.0))));
            columns.1.extend(piece.iter().map(|p| short(y.value(p.1))));
        }
        columns
    }

    fn marks(&mut self, style: &Style) {
        let plot = self.plot;
        let marks = &plot.marks;
        for mark in marks {
            if let Mark::Band { edges, look } = mark {
                self.band(edges, *look);
            }
        }
        for mark in marks {
            if let Mark::Rule { y, label } = mark {
                self.rule(*y, label, style);
            }
        }
        for mark in marks {
            if let Mark::Line { points, look, fine } = mark {
                self.line(points, *look, *fine);
            }
        }
        // All bars, and markers one after the other, of one look are one series.
        let mut bars: Vec<(SeriesStyle, Vec<Bar>)> = Vec::new();
        let mut points: Vec<(MarkerStyle, Vec<(f64, f64)>)> = Vec::new();
        for mark in marks {
            let (marker, at) = match mark {
                Mark::Bar { x, span, look } => {
                    match bars.iter_mut().find(|b| b.0 == *look) {
                        Some((_, all)) => all.push((*x, *span)),
                        None => bars.push((*look, vec![(*x, *span)])),
                    }
                    continue;
                }
                Mark::Point { at, look, hollow, shift } => {
                    (MarkerStyle { look: *look, hollow: *hollow, cross: false, shift: *shift }, *at)
                }
                Mark::Cross { at, look } => {
                    (MarkerStyle { look: *look, hollow: false, cross: true, shift: 0.0 }, *at)
                }
                _ => continue,
            };
            match points.last_mut() {
                Some((last, all)) if *last == marker => all.push(at),
                _ => points.push((marker, vec![at])),
            }
        }
        for (look, bars) in &bars {
            self.bars(bars, *look);
        }
        for (marker, places) in &points {
            let columns = places.iter().map(|p| (p.0, self.clamped(p.1))).unzip();
            let n = self.keep(&[("x", columns.0), ("y", columns.1)]);
            let options = format!("only marks, {}", self.marker(marker));
            self.add(&options, "y", n);
        }
    }

    fn band(&mut self, edges: &[(f64, f64, f64)], look: SeriesStyle) {
        let column = |pick: &dyn Fn(&(f64, f64, f64)) -> f64| edges.iter().map(pick).collect::<Vec<_>>();
        let low = column(&|e| self.clamped(e.1));
        let high = column(&|e| self.clamped(e.2));
        let n = self.keep(&[("x", column(&|e| e.0)), ("low", low), ("high", high)]);
        let colour = self.colour(look.tint(0.22));
        self.add(&format!("draw=none, name path=low{n}"), "low", n);
        self.add(&format!("draw=none, name path=high{n}"), "high", n);
        let _ = writeln!(
            self.body,
            "\\addplot[fill={colour}, draw=none, forget plot] fill between[of=low{n} and high{n}];"
        );
    }

    fn rule(&mut self, y: f64, label: &str, style: &Style) {
        let at = number(short(y));
        let line = if label.is_empty() {
            "seam, line width=0.6bp"
        } else {
            "grey, line width=0.8bp, dash pattern=on 0.9bp off 1.6bp"
        };
        let (left, right) =
            (number(short(self.plot.x.value(self.plot.x.low))), self.plot.x.value(self.plot.x.high));
        let _ = writeln!(
            self.body,
            "\\draw[{line}] (axis cs:{left},{at}) -- (axis cs:{},{at});",
            number(short(right))
        );
        if !label.is_empty() {
            let (share, anchor) = self.plot.clearest(self.plot.y.place(y));
            let anchor = match anchor {
                HPos::Left => "south west",
                HPos::Center => "south",
                HPos::Right => "south east",
            };
            let (x, size) = (self.plot.x.value_at(share), style.label_pt - 1.0);
            let _ = writeln!(
                self.body,
                "\\node[anchor={anchor}, text=grey, inner sep=0.8bp, font=\\fontsize{{{size}bp}}{{{size}bp}}\\selectfont] \
                 at (axis cs:{},{at}) {{{}}};",
                number(short(x)),
                escape_latex(label)
            );
        }
    }

    fn line(&mut self, points: &[(f64, f64)], look: SeriesStyle, fine: bool) {
        let (x, y) = self.path(points);
        if x.is_empty() {
            return;
        }
        let n = self.keep(&[("x", x), ("y", y)]);
        let options = if fine {
            format!("draw={}, line width=0.6bp", self.colour(look.tint(0.65)))
        } else {
            self.stroke(look)
        };
        self.add(&options, "y", n);
    }

    /// Vertical bars one after the other, and their caps where these are on the plot.
    fn bars(&mut self, bars: &[Bar], look: SeriesStyle) {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        let mut caps = (Vec::new(), Vec::new());
        for (at, (low, high)) in bars {
            let piece = self.path(&[(*at, *low), (*at, *high)]);
            x.extend(piece.0.iter().copied().chain([f64::NAN]));
            y.extend(piece.1.iter().copied().chain([f64::NAN]));
            for end in [*low, *high] {
                if self.clamped(end) == end {
                    caps.0.push(*at);
                    caps.1.push(end);
                }
            }
        }
        let colour = self.colour(look.colour());
        let n = self.keep(&[("x", x), ("y", y)]);
        self.add(&format!("draw={colour}, line width=0.7bp"), "y", n);
        if !caps.0.is_empty() {
            let n = self.keep(&[("x", caps.0), ("y", caps.1)]);
            let options = format!(
                "only marks, mark=-, mark size=1.8bp, mark options={{draw={colour}, line width=0.7bp}}"
            );
            self.add(&options, "y", n);
        }
    }

    /// Colour, width and dashes of a series' curve.
    fn stroke(&mut self, look: SeriesStyle) -> String {
        let mut options = format!("draw={}, line width={LINE}bp", self.colour(look.colour()));
        let dash = look.dash();
        if !dash.is_empty() {
            let parts = dash.chunks(2).map(|d| format!("on {}bp off {}bp", d[0], d.get(1).unwrap_or(&d[0])));
            options += &format!(", dash pattern={}", parts.collect::<Vec<_>>().join(" "));
        }
        options
    }

    fn marker(&mut self, marker: &MarkerStyle) -> String {
        let colour = self.colour(marker.look.colour());
        let shift =
            if marker.shift == 0.0 { String::new() } else { format!("xshift={:.2}bp, ", marker.shift) };
        if marker.cross {
            return format!("mark=x, mark size=2.4bp, mark options={{draw={colour}, line width=1.2bp}}");
        }
        // The SVG's shapes; pgf's triangle has equal sides.
        let (shape, factor, turn) = match marker.look.shape() {
            0 => ("*", 1.0, ""),
            1 => ("square*", 0.88, ""),
            2 => ("triangle*", 1.3, ""),
            3 => ("square*", 0.92, "rotate=45, "),
            _ => ("triangle*", 1.3, "rotate=180, "),
        };
        let (inside, edge, line) =
            if marker.hollow { ("white", colour.as_str(), 0.9) } else { (colour.as_str(), "white", 0.5) };
        format!(
            "mark={shape}, mark size={:.2}bp, mark options={{{shift}{turn}solid, fill={inside}, draw={edge}, line width={line}bp}}",
            factor * MARKER
        )
    }

    /// The entries above the plot, in the middle of the figure, in as many columns as the SVG has.
    fn legend(&mut self, layout: &Layout) -> Legend {
        if self.plot.legend.is_empty() {
            return Legend { options: String::new(), entries: String::new() };
        }
        let rows = &layout.rows;
        let key = self.plot.legend.iter().map(|l| l.2.length()).fold(0.0, f64::max);
        let (width, height) = layout.panel();
        let middle = (layout.width / 2.0 - MARGIN - layout.left) / width;
        let options = format!(
            "  legend columns={}, legend cell align=left,\n  legend style={{at={{({middle:.4},{:.4})}}, anchor=south, \
             draw=none, fill=none, inner sep=0bp, outer sep=0bp, row sep=0bp,\n    \
             nodes={{inner xsep=0bp, inner ysep=0bp, minimum height={}bp}},\n    \
             /tikz/every odd column/.append style={{column sep={KEY_GAP}bp}}, \
             /tikz/every even column/.append style={{column sep={:.2}bp}}}},\n  \
             legend image code/.code={{\\draw[#1] plot coordinates {{(0bp,0bp) ({}bp,0bp) ({key}bp,0bp)}};}},\n",
            rows.widths.len(),
            1.0 + ABOVE_PLOT / height,
            rows.row,
            // Words are a little wider than measured.
            (rows.gap - 1.5).max(KEY_GAP),
            key / 2.0
        );
        let mut entries = String::new();
        for ((_, look, key), name) in self.plot.legend.iter().zip(&rows.names) {
            let mut image = self.stroke(*look);
            if *key == Key::Marked {
                let marker = MarkerStyle { look: *look, hollow: false, cross: false, shift: 0.0 };
                image += &format!(", {}, mark repeat=2, mark phase=2", self.marker(&marker));
            }
            let _ =
                writeln!(entries, "\\addlegendimage{{{image}}}\n\\addlegendentry{{{}}}", escape_latex(name));
        }
        Legend { options, entries }
    }
}

/// x, and the lower and upper end.
type Bar = (f64, (f64, f64));

/// How a marker looks.
#[derive(Clone, Copy, PartialEq)]
struct MarkerStyle {
    look: SeriesStyle,
    hollow: bool,
    cross: bool,
    shift: f64,
}
