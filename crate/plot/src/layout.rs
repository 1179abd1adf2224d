//! Where the parts of a plot are: panel, labels, legend and small print, by the widths of their text.

use crate::Result;
use crate::axes::Axis;
use crate::plot::{Mark, Plot};
use crate::style::{MARGIN, Style, TICK};
use plotters::style::text_anchor::HPos;

/// Between a legend's line and its name, points.
pub(crate) const KEY_GAP: f64 = 3.0;
/// Right of the plot, for half of the last tick's label.
pub(crate) const RIGHT: f64 = 5.0;
/// Between legend and plot.
pub(crate) const ABOVE_PLOT: f64 = 5.0;
/// Least height of the panel.
const PLOT_MIN: f64 = 96.0;

/// Where the parts of a plot are, points.
pub(crate) struct Layout {
    pub(crate) width: f64,
    pub(crate) height: f64,
    /// Above and below the plot with its axes' labels.
    pub(crate) above: f64,
    pub(crate) below: f64,
    /// Room of the axes' labels.
    pub(crate) left: f64,
    pub(crate) bottom: f64,
    pub(crate) rows: Rows,
    /// The lines of the small print.
    pub(crate) small: Vec<String>,
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
    /// Where its parts are in `style`: as high as the style has it, or as its text needs.
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

    /// The legend in `width` points.
    fn legend_rows(&self, style: &Style, width: f64) -> Result<Rows> {
        let mut entries = Vec::with_capacity(self.legend.len());
        for (name, _, key) in &self.legend {
            let key = key.length() + KEY_GAP;
            // The frame beside the figure has it whole.
            let text = style.family.cut(name, style.label_pt, width - key)?;
            let wide = key + style.family.width(&text, style.label_pt)?;
            entries.push((text, wide));
        }
        Ok(Rows::of(entries, style.row(), width))
    }
}

/// The legend's grid.
pub(crate) struct Rows {
    pub(crate) names: Vec<String>,
    pub(crate) widths: Vec<f64>,
    pub(crate) gap: f64,
    pub(crate) start: f64,
    /// Height of one.
    pub(crate) row: f64,
}

impl Rows {
    /// Names with the widths of their entries in the most columns that fit into `width` points, so that entries stand
    /// below each other.
    fn of(entries: Vec<(String, f64)>, row: f64, width: f64) -> Rows {
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
                return Rows { names, widths, gap, start, row };
            }
            columns -= 1;
        }
    }

    pub(crate) fn height(&self) -> f64 {
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
