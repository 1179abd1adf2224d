//! An axis: what it spans, where its ticks are and what they are called.

use crate::style::Style;
use crate::{Error, Result};
use plotters::coord::ranged1d::{BoldPoints, KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;

/// Least space between two labels of the horizontal axis, points.
const BETWEEN_TICKS: f64 = 2.5;

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
    pub(crate) fn thinned(&self, style: &Style, room: f64) -> Result<Axis> {
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
pub(crate) struct PlottersAxis(Axis);

impl From<&Axis> for PlottersAxis {
    fn from(axis: &Axis) -> PlottersAxis {
        PlottersAxis(axis.clone())
    }
}

impl Ranged for PlottersAxis {
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

impl ValueFormatter<f64> for PlottersAxis {
    fn format_ext(&self, place: &f64) -> String {
        let found = self.0.ticks.iter().find(|t| t.0 == *place);
        found.map(|t| t.1.clone()).unwrap_or_default()
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
