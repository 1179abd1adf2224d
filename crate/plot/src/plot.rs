//! A figure of one panel as data: axes, what is on the plot, legend and notes.

use crate::axes::Axis;
use crate::style::SeriesStyle;

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

impl Mark {
    /// What lies above what: bands, rules, curves and bars, markers.
    pub(crate) fn layer(&self) -> usize {
        match self {
            Mark::Band { .. } => 0,
            Mark::Rule { .. } => 1,
            Mark::Line { .. } | Mark::Bar { .. } => 2,
            Mark::Point { .. } | Mark::Cross { .. } => 3,
        }
    }
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
