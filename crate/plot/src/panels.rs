//! Several plots of equal axes side by side, under one legend and above one small print.

use crate::drawing::Sketch;
use crate::layout::Layout;
use crate::plot::Plot;
use crate::render::{draw_small_print, failed};
use crate::style::{INK, MARGIN, Style, units};
use crate::svg::{Canvas, document};
use crate::{Error, Result};
use plotters::style::text_anchor::{HPos, VPos};

/// At most so many side by side: two fit into the text width of a page.
const COLUMNS: usize = 2;

/// Plots with their headings.
#[derive(Clone, Debug)]
pub struct Panels {
    /// Each with its heading, in reading order. The first one's legend stands above all.
    plots: Vec<(String, Plot)>,
}

impl Panels {
    /// Of these plots; the first one's legend is that of all.
    ///
    /// Errors: [`Error::Argument`] for none.
    pub fn new(plots: Vec<(String, Plot)>) -> Result<Panels> {
        if plots.is_empty() {
            return Err(Error::argument("draw panels", "there is none"));
        }
        Ok(Panels { plots })
    }

    /// Legend and small print over the width of all.
    fn frame(&self, notes: &[String], style: &Style) -> Result<(Plot, Layout)> {
        let columns = self.plots.len().min(COLUMNS);
        let wide = Style { width_in: style.width_in * columns as f64, ..*style };
        let plot = Plot { notes: notes.to_vec(), ..self.plots[0].1.clone() };
        let layout = plot.layout(&wide)?;
        Ok((plot, layout))
    }

    /// One panel on a canvas of its own, its heading above it.
    fn draw_panel(canvas: &Canvas, style: &Style, heading: &str, plot: &Plot, layout: &Layout) -> Result<()> {
        let middle = MARGIN + layout.left + layout.panel().0 / 2.0;
        let of = style.type_of(style.label_pt, INK, HPos::Center, VPos::Center);
        let heading = style.family.cut(heading, style.label_pt, layout.panel().0)?;
        canvas.draw_text(&heading, &of, (units(middle), units(style.row() / 2.0))).map_err(failed)?;
        plot.draw_panel(canvas, style, layout)
    }
}

impl Sketch for Panels {
    fn svg(&self, notes: &[String], caption: &str, style: &Style) -> Result<(String, f64, f64)> {
        let (frame, mut around) = self.frame(notes, style)?;
        let mut cells = Vec::new();
        for (heading, plot) in &self.plots {
            let plot = Plot { legend: Vec::new(), notes: Vec::new(), ..plot.clone() };
            let mut layout = plot.layout(style)?;
            layout.above += style.row();
            cells.push((heading, plot, layout));
        }
        let (wide, high) = (cells[0].2.width, cells.iter().map(|cell| cell.2.height).fold(0.0, f64::max));
        let top = MARGIN + around.rows.height();
        around.height = top + high * self.plots.len().div_ceil(COLUMNS) as f64 + around.below;
        let size = (around.width, around.height);
        let svg = document(size, caption, |canvas| {
            frame.draw_legend(canvas, style, &around)?;
            for (index, (heading, plot, layout)) in cells.iter().enumerate() {
                let (x, y) = ((index % COLUMNS) as f64 * wide, top + (index / COLUMNS) as f64 * high);
                let cell = canvas
                    .clone()
                    .shrink((units(x), units(y)), (units(layout.width) as u32, units(layout.height) as u32));
                Panels::draw_panel(&cell, style, heading, plot, layout)?;
            }
            draw_small_print(canvas, style, &around)
        })?;
        Ok((svg, size.0 / 72.0, size.1 / 72.0))
    }
}
