//! Chosen training images as a run sees them before it crops and whitens: each with its label, and the label that the
//! corruption left.

use crate::data::Dataset;
use crate::data::corruption::{Corrupted, Corruption};
use crate::{Error, Result};
use plotters::prelude::Rectangle;
use plotters::style::text_anchor::HPos;
use plotters::style::{Color, RGBColor};
use polars::prelude::{Column, DataFrame};
use rethink_nn::image::Pixels;
use rethink_plot::theme::{Canvas, INK, MARGIN, Style, document, small_print, units, write};
use rethink_plot::{Drawing, Note, Sketch};

const DRAW: &str = "draw training images";
/// More are a page, not a look.
const MOST: usize = 60;
/// Images side by side, where there are more than that.
const ACROSS: usize = 6;
/// Width and height of an image, and the space between two, points.
const SIDE: f64 = 54.0;
const GAP: f64 = 6.0;

/// Images that are drawn.
#[derive(Clone, Debug)]
struct Samples {
    /// Channels, height and width.
    shape: [usize; 3],
    /// Channel after channel, row after row.
    images: Vec<Vec<u8>>,
    /// What is written under each image: its label; the one that is trained on, if it is another.
    labels: Vec<(String, Option<String>)>,
}

/// The figure `samples` of the training images `indices` of `data` (from 0, at most 60), as `corruption` of the first `n` leaves them:
/// below each image its label, and in red the label that is trained on where it is another, by the corruption or by
/// [`Dataset::changed`]. Its frame has a row for each image: `index` (u64),
/// `label` and `trained_on` (str).
///
/// Errors: [`Error::Argument`] for an index that is not below `n`, no or too many indices, and photographs.
pub fn draw(
    data: &Dataset,
    corruption: Corruption,
    n: usize,
    seed: u64,
    indices: &[usize],
    note: &Note,
) -> Result<Drawing> {
    if indices.is_empty() || indices.len() > MOST {
        return Err(Error::argument(DRAW, format!("{} images; 1 to {MOST} can be drawn", indices.len())));
    }
    let n = n.min(data.train.len());
    if let Some(index) = indices.iter().find(|index| **index >= n) {
        return Err(Error::argument(DRAW, format!("image {index}; there are 0 to {}", n - 1)));
    }
    let corrupted = corruption.apply(data, n, 1, seed)?;
    let name = |label: u16| data.classes[usize::from(label)].clone();
    let labels = data.before.as_deref().unwrap_or(&data.train.labels);
    let before = |index: usize| name(labels[index]);
    let after = |index: usize| name(corrupted.train_labels[index]);
    let changed = |index: usize| Some(after(index)).filter(|after| *after != before(index));
    let samples = Samples {
        shape: data.shape,
        images: indices.iter().map(|index| bytes(&corrupted, *index)).collect(),
        labels: indices.iter().map(|index| (before(*index), changed(*index))).collect(),
    };
    let columns = vec![
        Column::new("index".into(), indices.iter().map(|index| *index as u64).collect::<Vec<_>>()),
        Column::new("label".into(), indices.iter().map(|index| before(*index)).collect::<Vec<_>>()),
        Column::new("trained_on".into(), indices.iter().map(|index| after(*index)).collect::<Vec<_>>()),
    ];
    let frame = DataFrame::new(indices.len(), columns).map_err(Error::frame(DRAW))?;
    let caption = format!(
        "{} of {}, with their labels{}.",
        if indices.len() == 1 {
            "A training image".into()
        } else {
            format!("{} training images", indices.len())
        },
        data.title,
        if samples.labels.iter().any(|(_, changed)| changed.is_some()) {
            "; below, in red, the label that is trained on where it is another"
        } else {
            ""
        }
    );
    Ok(Drawing::of_sketch("samples", samples, vec![note.scale_line.clone()], caption, note, frame)?)
}

/// A training image as bytes; numbers outside 0 to 1 are cut off.
fn bytes(corrupted: &Corrupted, index: usize) -> Vec<u8> {
    let size: usize = corrupted.shape.iter().product();
    let range = index * size..(index + 1) * size;
    match &corrupted.train {
        Pixels::Bytes(bytes) => bytes[range].to_vec(),
        Pixels::Floats(values) => values[range].iter().map(|v| (255.0 * v).round() as u8).collect(),
    }
}

impl Sketch for Samples {
    fn svg(
        &self,
        notes: &[String],
        caption: &str,
        style: &Style,
    ) -> rethink_plot::Result<(String, f64, f64)> {
        let across = self.images.len().min(ACROSS);
        let row = style.small_row();
        let (step, cell) = (SIDE + GAP, SIDE + 2.0 * row + GAP);
        let width = 2.0 * MARGIN + across as f64 * step - GAP;
        // A narrow one has room for its small print.
        let width = width.max(3.0 * step);
        let small = style.small_lines(notes, width - 2.0 * MARGIN)?;
        let rows = self.images.len().div_ceil(ACROSS) as f64;
        let height = 2.0 * MARGIN + rows * cell + row * small.len() as f64;
        let svg = document((width, height), caption, |canvas| {
            let label_at = |text: &str, place, colour| {
                let text = style.family.cut(text, style.small_pt, SIDE)?;
                write(canvas, style, &text, place, style.small_pt, (colour, HPos::Center))
            };
            for (at, (image, (label, trained_on))) in self.images.iter().zip(&self.labels).enumerate() {
                let (x, y) = (MARGIN + (at % ACROSS) as f64 * step, MARGIN + (at / ACROSS) as f64 * cell);
                self.image(canvas, image, (x, y))?;
                let below = |line: f64| (x + SIDE / 2.0, y + SIDE + row * (line + 0.6));
                label_at(label, below(0.0), INK)?;
                if let Some(trained_on) = trained_on {
                    label_at(trained_on, below(1.0), RGBColor(0xB0, 0x00, 0x20))?;
                }
            }
            small_print(canvas, style, &small, height)
        })?;
        Ok((svg, width / 72.0, height / 72.0))
    }
}

impl Samples {
    /// A square for each pixel, those of one colour that are side by side as one.
    fn image(&self, canvas: &Canvas, image: &[u8], (x, y): (f64, f64)) -> rethink_plot::Result<()> {
        let [channels, height, width] = self.shape;
        let at = |row: usize, column: usize| {
            // A grey image has one plane for all three colours.
            let value = |c: usize| image[(c.min(channels - 1) * height + row) * width + column];
            RGBColor(value(0), value(1), value(2))
        };
        let side = SIDE / height.max(width) as f64;
        for row in 0..height {
            let mut from = 0;
            while from < width {
                let colour = at(row, from);
                let mut to = from + 1;
                while to < width && at(row, to) == colour {
                    to += 1;
                }
                // What comes right and below is drawn over a square's edges, so that no seam is seen between two.
                let end = |at: usize, of: usize| side * (at as f64 + if at < of { 0.3 } else { 0.0 });
                let corners = [
                    (units(x + side * from as f64), units(y + side * row as f64)),
                    (units(x + end(to, width)), units(y + end(row + 1, height))),
                ];
                let square = Rectangle::new(corners, colour.filled());
                canvas.draw(&square).map_err(rethink_plot::Error::drawing(DRAW))?;
                from = to;
            }
        }
        Ok(())
    }
}
