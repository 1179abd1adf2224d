//! A [`Plot`] drawn as an SVG: what its layout has placed, by plotters' elements and our own.

use crate::axes::PlottersAxis;
use crate::elements::{DashedPath, Marker};
use crate::layout::{KEY_GAP, Layout, RIGHT, clip};
use crate::plot::{Key, Mark, Plot};
use crate::style::{GREY, GRID, INK, LINE, MARGIN, MARKER, SEAM, SeriesStyle, Style, TICK, stroke, units};
use crate::svg::{Canvas, CanvasError, SvgBackend, document};
use crate::{Error, Result};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

type Panel<'a> = ChartContext<'a, SvgBackend<'a>, Cartesian2d<PlottersAxis, PlottersAxis>>;

pub(crate) fn failed(error: CanvasError) -> Error {
    Error::drawing("draw the figure")(error)
}

impl Plot {
    /// Lays the plot out and draws it. Returns the SVG with its width and height in inches.
    ///
    /// Errors: [`Error::Drawing`].
    pub fn svg(&self, style: &Style) -> Result<(String, f64, f64)> {
        let layout = self.layout(style)?;
        let (width, height) = (layout.width, layout.height);
        let svg = document((width, height), &self.description, |canvas| self.draw(canvas, style, &layout))?;
        Ok((svg, width / 72.0, height / 72.0))
    }

    fn draw(&self, canvas: &Canvas, style: &Style, layout: &Layout) -> Result<()> {
        self.draw_legend(canvas, style, layout)?;
        self.draw_panel(canvas, style, layout)?;
        draw_small_print(canvas, style, layout)
    }

    pub(crate) fn draw_legend(&self, canvas: &Canvas, style: &Style, layout: &Layout) -> Result<()> {
        let rows = &layout.rows;
        let style = style.type_of(style.label_pt, INK, HPos::Left, VPos::Center);
        let columns = rows.widths.len();
        for (index, ((_, look, key), name)) in self.legend.iter().zip(&rows.names).enumerate() {
            let column = index % columns;
            let x = rows.start + rows.widths[..column].iter().map(|w| w + rows.gap).sum::<f64>();
            let y = MARGIN + rows.row * ((index / columns) as f64 + 0.5);
            let length = key.length();
            canvas
                .draw(&curve(vec![(units(x), units(y)), (units(x + length), units(y))], *look))
                .map_err(failed)?;
            if *key == Key::Marked {
                let middle = (units(x + length / 2.0), units(y));
                canvas.draw(&Marker::new(middle, *look, false)).map_err(failed)?;
            }
            canvas.draw_text(name, &style, (units(x + length + KEY_GAP), units(y))).map_err(failed)?;
        }
        Ok(())
    }

    /// Grid, axes and everything between them.
    pub(crate) fn draw_panel(&self, canvas: &Canvas, style: &Style, layout: &Layout) -> Result<()> {
        let Layout { width, height, above, below, left, bottom, .. } = *layout;
        let panel = canvas.clone().shrink(
            (units(MARGIN), units(above)),
            (units(width - 2.0 * MARGIN - RIGHT), units(height - above - below)),
        );
        let mut chart: Panel = ChartBuilder::on(&panel)
            .set_label_area_size(LabelAreaPosition::Left, units(left))
            .set_label_area_size(LabelAreaPosition::Bottom, units(bottom))
            .build_cartesian_2d(PlottersAxis::from(&layout.x), PlottersAxis::from(&self.y))
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(stroke(GRID, 0.5))
            .light_line_style(TRANSPARENT)
            .axis_style(stroke(INK, 0.6))
            .set_all_tick_mark_size(units(TICK))
            .label_style(style.type_of(style.label_pt, INK, HPos::Center, VPos::Center))
            .axis_desc_style(style.type_of(style.title_pt, INK, HPos::Center, VPos::Center))
            .x_desc(&self.x.title)
            .y_desc(&self.y.title)
            .draw()
            .map_err(failed)?;
        let mut marks: Vec<&Mark> = self.marks.iter().collect();
        marks.sort_by_key(|mark| mark.layer());
        marks.into_iter().try_for_each(|mark| self.draw_mark(&mut chart, style, mark))
    }

    fn draw_mark(&self, chart: &mut Panel, style: &Style, mark: &Mark) -> Result<()> {
        match mark {
            Mark::Band { edges, look } => self.draw_band(chart, edges, *look),
            Mark::Rule { y, label } => self.draw_rule(chart, style, *y, label),
            Mark::Line { points, look, fine } => self.draw_line(chart, points, *look, *fine),
            Mark::Bar { x, span, look } => self.draw_bar(chart, *x, *span, *look),
            Mark::Point { at, look, hollow, shift } => self.draw_point(chart, *at, *shift, *look, *hollow),
            Mark::Cross { at, look } => {
                let cross = Cross::new(self.pixel(chart, *at), units(2.4), stroke(look.colour(), 1.2));
                chart.plotting_area().strip_coord_spec().draw(&cross).map_err(failed)
            }
        }
    }

    fn draw_band(&self, chart: &mut Panel, edges: &[(f64, f64, f64)], look: SeriesStyle) -> Result<()> {
        let edge = |pick: fn(&(f64, f64, f64)) -> f64| {
            edges.iter().map(move |e| {
                let (x, y) = self.place((e.0, pick(e)));
                (x, y.clamp(self.y.low, self.y.high))
            })
        };
        let outline: Vec<_> = edge(|e| e.1).chain(edge(|e| e.2).rev()).collect();
        chart.draw_series([Polygon::new(outline, look.tint(0.22).filled())]).map_err(failed)?;
        Ok(())
    }

    fn draw_rule(&self, chart: &mut Panel, style: &Style, y: f64, label: &str) -> Result<()> {
        let y = self.y.place(y);
        let ends = [(self.x.low, y), (self.x.high, y)];
        if label.is_empty() {
            chart.draw_series([PathElement::new(ends, stroke(SEAM, 0.6))]).map_err(failed)?;
            return Ok(());
        }
        let dotted = DashedPath::new(ends, stroke(GREY, 0.8), &[0.9, 1.6]);
        chart.draw_series([dotted]).map_err(failed)?;
        let (share, anchor) = self.clearest(y);
        let x = self.x.low + share * (self.x.high - self.x.low);
        let style = style.type_of(style.label_pt - 1.0, GREY, anchor, VPos::Bottom);
        let text = EmptyElement::at((x, y)) + Text::new(label.to_string(), (0, -units(0.8)), style);
        chart.draw_series([text]).map_err(failed)?;
        Ok(())
    }

    fn draw_line(
        &self,
        chart: &mut Panel,
        points: &[(f64, f64)],
        look: SeriesStyle,
        fine: bool,
    ) -> Result<()> {
        let points: Vec<_> = points.iter().map(|point| self.place(*point)).collect();
        let drawn = |piece| match fine {
            true => DashedPath::new(piece, stroke(look.tint(0.65), 0.6), &[]),
            false => curve(piece, look),
        };
        let pieces = clip(&points, self.y.low, self.y.high);
        chart.draw_series(pieces.into_iter().map(drawn)).map_err(failed)?;
        Ok(())
    }

    fn draw_bar(&self, chart: &mut Panel, x: f64, span: (f64, f64), look: SeriesStyle) -> Result<()> {
        let (floor, ceiling) = (self.y.low, self.y.high);
        let style = stroke(look.colour(), 0.7);
        let ends = [self.place((x, span.0)), self.place((x, span.1))];
        let bar = clip(&ends, floor, ceiling).into_iter().map(|piece| PathElement::new(piece, style));
        chart.draw_series(bar).map_err(failed)?;
        let half = units(1.8);
        let seen = ends.into_iter().filter(|end| (floor..=ceiling).contains(&end.1));
        let caps =
            seen.map(|end| EmptyElement::at(end) + PathElement::new(vec![(-half, 0), (half, 0)], style));
        chart.draw_series(caps).map_err(failed)?;
        Ok(())
    }

    fn draw_point(
        &self,
        chart: &Panel,
        at: (f64, f64),
        shift: f64,
        look: SeriesStyle,
        hollow: bool,
    ) -> Result<()> {
        let plot = chart.plotting_area().strip_coord_spec();
        let (x, y) = self.pixel(chart, at);
        // A shifted marker at the end of the axis stays whole.
        let edge = units(1.5 * MARKER);
        let x = (x + units(shift)).clamp(edge, plot.dim_in_pixel().0 as i32 - edge);
        plot.draw(&Marker::new((x, y), look, hollow)).map_err(failed)
    }

    /// A point in the axes' own linear coordinates.
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.x.place(x), self.y.place(y))
    }

    /// Units from the upper left corner of what the axes span; what is above or below it lies on its edge.
    fn pixel(&self, chart: &Panel, point: (f64, f64)) -> (i32, i32) {
        let area = chart.plotting_area();
        let ((x0, y0), (x, y)) = (area.get_base_pixel(), self.place(point));
        let (x, y) = area.map_coordinate(&(x, y.clamp(self.y.low, self.y.high)));
        (x - x0, y - y0)
    }
}

/// A series' line at full strength.
fn curve<Coord>(points: Vec<Coord>, look: SeriesStyle) -> DashedPath<Coord> {
    DashedPath::new(points, stroke(look.colour(), LINE), look.dash())
}

pub(crate) fn draw_small_print(canvas: &Canvas, style: &Style, layout: &Layout) -> Result<()> {
    let grey = style.type_of(style.small_pt, GREY, HPos::Left, VPos::Bottom);
    let small = &layout.small;
    for (row, line) in small.iter().enumerate() {
        let y = layout.height - MARGIN - style.small_row() * (small.len() - 1 - row) as f64;
        canvas.draw_text(line, &grey, (units(MARGIN), units(y))).map_err(failed)?;
    }
    Ok(())
}
