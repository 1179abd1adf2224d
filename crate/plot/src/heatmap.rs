//! A grid of coloured cells: two columns of a frame are its categories, across and down, a third one gives each cell its colour.
//!
//! ```
//! use polars::prelude::df;
//! use rethink_plot::{Heatmap, Note};
//!
//! # fn main() -> rethink_plot::Result<()> {
//! let counts = df!("label" => [0, 0, 1], "predicted" => [0, 1, 1], "images" => [9, 1, 10]).expect("columns of one length");
//! let drawing = Heatmap::confusion(&counts, "predicted", "label", "images")
//!     .classes(&["cat", "dog"])
//!     .draw("confusion", &Note::new("20 test images"))?;
//! assert_eq!(drawing.caption, "Images by predicted (across) and label (down): 0 to 10.");
//! # Ok(()) }
//! ```

use crate::columns::{names, need, numbers};
use crate::drawing::Sketch;
use crate::elements::{small_print, write};
use crate::grammar::capitalised;
use crate::style::{GREY, GRID, INK, MARGIN, SeriesStyle, Style, stroke, units};
use crate::svg::{Canvas, document};
use crate::{Drawing, Error, Note, Result};
use plotters::prelude::{Color, PathElement, RGBColor, Rectangle};
use plotters::style::FontTransform;
use plotters::style::text_anchor::{HPos, VPos};
use polars::prelude::{DataFrame, DataType};
use std::collections::HashMap;

const DRAW: &str = "draw the heatmap";

/// A heatmap of a frame: [`Heatmap::draw`] makes the figure.
///
/// Cells go from white (0, or the least value where that is below) to the figures' first colour (the greatest): by lightness alone,
/// which every reader sees. Values are written in the cells where all of them have room.
#[derive(Clone, Debug)]
pub struct Heatmap {
    frame: DataFrame,
    /// Across, down, value.
    columns: [String; 3],
    titles: [String; 3],
    classes: Vec<String>,
    same: bool,
    absent: Option<f64>,
    decimals: Option<usize>,
    caption: Option<String>,
    notes: Vec<String>,
}

impl Heatmap {
    /// A cell for each pair of a value of `x` (across) and one of `y` (down): text, in order of first appearance, or numbers or
    /// booleans, in rising order, the first at the upper left. `value` holds numbers, one row a pair.
    pub fn new(frame: &DataFrame, x: &str, y: &str, value: &str) -> Heatmap {
        let columns = [x, y, value].map(String::from);
        Heatmap {
            frame: frame.clone(),
            titles: columns.clone(),
            columns,
            classes: Vec::new(),
            same: false,
            absent: None,
            decimals: None,
            caption: None,
            notes: Vec::new(),
        }
    }

    /// A confusion matrix: `predicted` across and `label` down have the same classes in the same order, so that what is right is on
    /// the diagonal; a pair without a row is a 0.
    pub fn confusion(frame: &DataFrame, predicted: &str, label: &str, value: &str) -> Heatmap {
        Heatmap { same: true, absent: Some(0.0), ..Heatmap::new(frame, predicted, label, value) }
    }

    /// Titles of the axes, across and down, and of the values; without them the columns' names.
    pub fn titles(mut self, x: &str, y: &str, value: &str) -> Heatmap {
        self.titles = [x, y, value].map(String::from);
        self
    }

    /// Both columns hold whole numbers, and class k has the k-th of these names; every class is shown, met or not.
    pub fn classes<T: AsRef<str>>(mut self, names: &[T]) -> Heatmap {
        self.classes = names.iter().map(|name| name.as_ref().into()).collect();
        self
    }

    /// A pair without a row, or whose value is null, has this one; else it is grey, and counted in the small print. So is, in any case, a
    /// pair whose value is NaN or infinite.
    pub fn absent(mut self, value: f64) -> Heatmap {
        self.absent = Some(value);
        self
    }

    /// Digits after the point of the values written; without it none for whole numbers, else such that the greatest has two or more
    /// significant ones.
    pub fn decimals(mut self, digits: usize) -> Heatmap {
        self.decimals = Some(digits);
        self
    }

    /// What is seen, for below the figure and for those who do not see it.
    pub fn caption(mut self, caption: &str) -> Heatmap {
        self.caption = Some(caption.into());
        self
    }

    /// A sentence for the small print.
    pub fn note(mut self, note: &str) -> Heatmap {
        self.notes.push(note.into());
        self
    }

    /// The figure `id`: letters, digits, `-` and `_`, also the name of its files.
    ///
    /// Errors: [`Error::Argument`] for absent or mistyped columns, for two rows of one pair, for a class without a name, for more than
    /// 100 categories along an axis, and where there is no value; [`Error::Drawing`].
    pub fn draw(&self, id: &str, note: &Note) -> Result<Drawing> {
        let grid = self.grid()?;
        let mut notes = vec![note.scale_line.clone()];
        let grey = grid.cells.iter().filter(|cell| cell.is_none()).count();
        if grey > 0 {
            let cells = if grey == 1 { "cell" } else { "cells" };
            notes.push(format!("Grey: {grey} {cells} without a value."));
        }
        notes.extend(self.notes.iter().cloned());
        let [x, y, value] = &self.titles;
        let (low, high) = grid.ends.clone();
        let plain = || capitalised(&format!("{value} by {x} (across) and {y} (down): {low} to {high}."));
        let caption = self.caption.clone().unwrap_or_else(plain);
        Drawing::of_sketch(id, grid, notes, caption, note, self.frame.clone())
    }

    fn grid(&self) -> Result<Grid> {
        let [x, y, value] = &self.columns;
        need(&self.frame, DRAW, &[x, y, value])?;
        let (across, down) = self.categories()?;
        for (column, categories) in [(x, &across.1), (y, &down.1)] {
            if categories.len() > MOST {
                let problem = format!(
                    "column {column} has {} categories, more than {MOST}; bin them",
                    categories.len()
                );
                return Err(Error::argument(DRAW, problem));
            }
        }
        let columns = across.1.len();
        let mut cells = vec![None; columns * down.1.len()];
        let (mut seen, mut undefined) = (vec![false; cells.len()], vec![false; cells.len()]);
        for (row, value) in numbers(&self.frame, DRAW, value)?.into_iter().enumerate() {
            let (a, b) = (across.0[row], down.0[row]);
            let cell = b * columns + a;
            if std::mem::replace(&mut seen[cell], true) {
                let (a, b) = (&across.1[a], &down.1[b]);
                let problem =
                    format!("several rows of {x} {a} and {y} {b}; `group_by` and `agg` make one of them");
                return Err(Error::argument(DRAW, problem));
            }
            cells[cell] = value.filter(|value| value.is_finite());
            undefined[cell] = value.is_some() && cells[cell].is_none();
        }
        let absent = self.absent.filter(|value| value.is_finite());
        let unsaid =
            cells.iter_mut().zip(&undefined).filter(|(cell, undefined)| cell.is_none() && !**undefined);
        unsaid.for_each(|(cell, _)| *cell = absent);
        let values: Vec<f64> = cells.iter().flatten().copied().collect();
        let Some(high) = values.iter().copied().reduce(f64::max) else {
            return Err(Error::argument(DRAW, format!("column {value} holds no finite number")));
        };
        let low = values.iter().copied().fold(0.0, f64::min);
        let digits = self.decimals.unwrap_or_else(|| digits(&values));
        let text = |v: f64| match v.abs() {
            size if size == 0.0 || (1e-5..1e7).contains(&size) => format!("{v:.digits$}"),
            _ => format!("{v:.1e}"),
        };
        let share = |v: f64| if high > low { (v - low) / (high - low) } else { 0.0 };
        Ok(Grid {
            cells: cells.iter().map(|cell| cell.map(|v| (share(v), text(v)))).collect(),
            ends: (text(low), text(high)),
            across: across.1,
            down: down.1,
            titles: self.titles.clone(),
        })
    }

    /// Of both axes, each row's category, and all categories in order.
    fn categories(&self) -> Result<(Categories, Categories)> {
        let [x, y, _] = &self.columns;
        let frame = if self.same { self.of_one_type()? } else { self.frame.clone() };
        if !self.classes.is_empty() {
            return Ok((self.numbered(&frame, x)?, self.numbered(&frame, y)?));
        }
        let (across, down) = (names(&frame, DRAW, x)?, names(&frame, DRAW, y)?);
        let [mut columns, mut rows] = [across.distinct, down.distinct];
        if self.same {
            // Stacked, numbers stay in rising order whichever of the two columns has them.
            let [a, b] = [x, y].map(|column| crate::frames::column(&frame, column).cloned());
            let mut both = b?;
            both.extend(&a?).map_err(Error::frame(DRAW))?;
            let both = DataFrame::new(both.len(), vec![both]).map_err(Error::frame(DRAW))?;
            columns = names(&both, DRAW, y)?.distinct;
            rows = columns.clone();
        }
        Ok((placed(&across.rows, columns), placed(&down.rows, rows)))
    }

    /// The frame with numbers of one type in both columns of categories.
    fn of_one_type(&self) -> Result<DataFrame> {
        let [x, y, _] = &self.columns;
        let column = |name: &str| crate::frames::column(&self.frame, name);
        let (a, b) = (column(x)?, column(y)?);
        if a.dtype() == b.dtype() {
            return Ok(self.frame.clone());
        }
        if !a.dtype().is_primitive_numeric() || !b.dtype().is_primitive_numeric() {
            let problem =
                format!("columns {x} and {y} hold {} and {}; cast one of them", a.dtype(), b.dtype());
            return Err(Error::argument(DRAW, problem));
        }
        let mut frame = self.frame.clone();
        for column in [a, b] {
            let wide = column.cast(&DataType::Float64).map_err(Error::frame(DRAW))?;
            frame.with_column(wide).map_err(Error::frame(DRAW))?;
        }
        Ok(frame)
    }

    /// Each row's class by its number, and all classes.
    fn numbered(&self, frame: &DataFrame, column: &str) -> Result<Categories> {
        let class = |number: &String| {
            let known = number.parse().ok().filter(|class: &usize| *class < self.classes.len());
            let problem = || format!("column {column}: no class {number} among {} names", self.classes.len());
            known.ok_or_else(|| Error::argument(DRAW, problem()))
        };
        let rows = names(frame, DRAW, column)?.rows;
        Ok((rows.iter().map(class).collect::<Result<_>>()?, self.classes.clone()))
    }
}

/// The place of each row's name among all, which are different.
fn placed(rows: &[String], all: Vec<String>) -> Categories {
    let places: HashMap<&str, usize> = all.iter().map(String::as_str).zip(0..).collect();
    (rows.iter().map(|name| places[name.as_str()]).collect(), all)
}

/// The place of each row's category among all, and these.
type Categories = (Vec<usize>, Vec<String>);

/// Most categories along an axis.
const MOST: usize = 100;

/// Digits after the point that tell values apart: none of whole numbers.
fn digits(values: &[f64]) -> usize {
    if values.iter().all(|value| value.fract() == 0.0) {
        return 0;
    }
    let greatest = values.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    // A little less, so that 1 has as many as 0.98.
    (1.0 - (0.999 * greatest).log10().floor()).clamp(0.0, 9.0) as usize
}

/// What is drawn.
#[derive(Debug)]
struct Grid {
    across: Vec<String>,
    down: Vec<String>,
    /// Row by row: how dark, 0 to 1, and what is written there.
    cells: Vec<Option<(f64, String)>>,
    /// What white and the darkest colour stand for.
    ends: (String, String),
    /// Across, down, values.
    titles: [String; 3],
}

/// A cell's greatest sides, points.
const WIDEST: f64 = 44.0;
const HIGHEST: f64 = 32.0;
/// The grid's greatest height, as a share of the width that a figure has.
const TALLEST: f64 = 1.3;
/// Between text and what it names.
const GAP: f64 = 3.0;
/// Steps and length of the colours' scale.
const STEPS: usize = 24;
const SCALE: f64 = 60.0;
/// How far a cell lies under the next ones, points: edges that only touch show the ground between them.
const OVERLAP: f64 = 0.5;
/// The smallest type of values.
const LEAST_PT: f64 = 6.0;

/// Where its parts are, points from the upper left corner.
struct Places {
    left: f64,
    top: f64,
    cell: (f64, f64),
    /// The middle of the title beside the names.
    title: f64,
    /// Categories' names, cut to what room there is.
    across: Vec<String>,
    down: Vec<String>,
    /// Whether names below the grid are turned, and their room.
    turned: bool,
    bottom: f64,
    /// Size of the values' type; `None` where they have no room.
    values_pt: Option<f64>,
}

impl Grid {
    fn places(&self, style: &Style) -> Result<Places> {
        let (family, label) = (style.family, style.label_pt);
        let inner = style.width_in * 72.0 - 2.0 * MARGIN;
        let cut = |names: &[String], room: f64| -> Result<(Vec<String>, f64)> {
            let names: Vec<String> =
                names.iter().map(|name| family.cut(name, label, room)).collect::<Result<_>>()?;
            let widths: Vec<f64> =
                names.iter().map(|name| family.width(name, label)).collect::<Result<_>>()?;
            Ok((names, widths.into_iter().fold(0.0, f64::max)))
        };
        let (down, widest) = cut(&self.down, inner / 3.0)?;
        let beside = style.title_pt + GAP + widest + GAP;
        let width = ((inner - beside) / self.across.len() as f64).min(WIDEST);
        let height = width.max(1.5 * label).min(HIGHEST).min(TALLEST * inner / self.down.len() as f64);
        let (across, longest) = cut(&self.across, inner / 3.0)?;
        let turned = longest > width - GAP;
        let bottom = GAP + if turned { longest } else { label };
        let values = self.cells.iter().flatten().map(|(_, text)| text);
        let widths: Vec<f64> = values.map(|text| family.width(text, 1.0)).collect::<Result<_>>()?;
        let most = widths.into_iter().fold(0.0, f64::max);
        let fits = |size: &f64| most * size <= width - 2.0 && size + 1.0 <= height;
        let spare = inner - beside - width * self.across.len() as f64;
        Ok(Places {
            left: MARGIN + beside + spare / 2.0,
            title: MARGIN + spare / 2.0 + style.title_pt / 2.0,
            top: MARGIN + style.row() + GAP,
            cell: (width, height),
            across,
            down,
            turned,
            bottom,
            values_pt: [label - 1.0, LEAST_PT].into_iter().find(fits),
        })
    }

    /// What the colours stand for, above the grid.
    fn draw_scale(&self, canvas: &Canvas, style: &Style, middle: f64) -> Result<()> {
        let y = MARGIN + style.row() / 2.0;
        let high = format!("{} {}", self.ends.1, self.titles[2]);
        let room = style.width_in * 72.0 - 2.0 * MARGIN - SCALE - 2.0 * GAP;
        let high = style.family.cut(&high, style.label_pt, room / 2.0)?;
        let wide = |text: &str| style.family.width(text, style.label_pt);
        let whole = wide(&self.ends.0)? + wide(&high)? + SCALE + 2.0 * GAP;
        let left = (middle - whole / 2.0).max(MARGIN) + wide(&self.ends.0)? + GAP;
        for step in 0..STEPS {
            let x = |step: usize| left + SCALE * step as f64 / STEPS as f64;
            let colour = tint(step as f64 / (STEPS - 1) as f64);
            let to = x(step + 1) + if step + 1 < STEPS { OVERLAP } else { 0.0 };
            fill(canvas, (x(step), y - 3.0), (to, y + 3.0), colour)?;
        }
        outline(canvas, (left, y - 3.0), (left + SCALE, y + 3.0))?;
        write(canvas, style, &self.ends.0, (left - GAP, y), style.label_pt, (INK, HPos::Right))?;
        write(canvas, style, &high, (left + SCALE + GAP, y), style.label_pt, (INK, HPos::Left))
    }

    fn draw_cells(&self, canvas: &Canvas, style: &Style, places: &Places) -> Result<()> {
        let (width, height) = places.cell;
        let columns = self.across.len();
        for (index, cell) in self.cells.iter().enumerate() {
            let (x, y) = (
                places.left + width * (index % columns) as f64,
                places.top + height * (index / columns) as f64,
            );
            let under = |at: usize, of: usize| if at + 1 < of { OVERLAP } else { 0.0 };
            let to = (
                x + width + under(index % columns, columns),
                y + height + under(index / columns, self.down.len()),
            );
            let Some((share, text)) = cell else {
                fill(canvas, (x, y), to, GRID)?;
                let slash = [(units(x), units(y + height)), (units(x + width), units(y))];
                canvas.draw(&PathElement::new(slash, stroke(GREY, 0.5))).map_err(Error::drawing(DRAW))?;
                continue;
            };
            let colour = tint(*share);
            fill(canvas, (x, y), to, colour)?;
            if let Some(size) = places.values_pt {
                let middle = (x + width / 2.0, y + height / 2.0);
                write(canvas, style, text, middle, size, (on(colour), HPos::Center))?;
            }
        }
        let size = (width * columns as f64, height * self.down.len() as f64);
        outline(canvas, (places.left, places.top), (places.left + size.0, places.top + size.1))
    }

    /// Names of categories, as many as there is room for, and titles.
    fn draw_names(&self, canvas: &Canvas, style: &Style, places: &Places) -> Result<()> {
        let ((width, height), label) = (places.cell, style.label_pt);
        let foot = places.top + height * self.down.len() as f64;
        let every = |side: f64| ((label + 1.0) / side).ceil().max(1.0) as usize;
        for (row, name) in places.down.iter().enumerate().step_by(every(height)) {
            let at = (places.left - GAP, places.top + height * (row as f64 + 0.5));
            write(canvas, style, name, at, label, (INK, HPos::Right))?;
        }
        let step = if places.turned { every(width) } else { 1 };
        for (column, name) in places.across.iter().enumerate().step_by(step) {
            let x = places.left + width * (column as f64 + 0.5);
            if places.turned {
                turn(canvas, style, name, (x, foot + GAP), label, HPos::Right)?;
            } else {
                write(canvas, style, name, (x, foot + GAP + label / 2.0), label, (INK, HPos::Center))?;
            }
        }
        let middle = places.left + width * self.across.len() as f64 / 2.0;
        let below = foot + places.bottom + GAP + style.title_pt / 2.0;
        let room = 2.0 * f64::min(middle - MARGIN, style.width_in * 72.0 - MARGIN - middle);
        let title = style.family.cut(&self.titles[0], style.title_pt, room)?;
        write(canvas, style, &title, (middle, below), style.title_pt, (INK, HPos::Center))?;
        // From the colours' scale down to the other title, which is more than a low grid has; in the grid's middle where it fits.
        let (from, to) = (places.top - GAP, below - style.title_pt / 2.0 - GAP);
        let beside = style.family.cut(&self.titles[1], style.title_pt, to - from)?;
        let half = style.family.width(&beside, style.title_pt)? / 2.0;
        let middle = ((places.top + foot) / 2.0).max(from + half).min(to - half);
        turn(canvas, style, &beside, (places.title, middle), style.title_pt, HPos::Center)
    }
}

impl Sketch for Grid {
    fn svg(&self, notes: &[String], caption: &str, style: &Style) -> Result<(String, f64, f64)> {
        let width = style.width_in * 72.0;
        let places = self.places(style)?;
        let small = style.small_lines(notes, width - 2.0 * MARGIN)?;
        let foot = places.top + places.cell.1 * self.down.len() as f64;
        let print = if small.is_empty() { 0.0 } else { 5.0 + style.small_row() * small.len() as f64 };
        let height = foot + places.bottom + GAP + style.title_pt + print + MARGIN;
        let svg = document((width, height), caption, |canvas| {
            self.draw_scale(canvas, style, places.left + places.cell.0 * self.across.len() as f64 / 2.0)?;
            self.draw_cells(canvas, style, &places)?;
            self.draw_names(canvas, style, &places)?;
            small_print(canvas, style, &small, height)
        })?;
        Ok((svg, width / 72.0, height / 72.0))
    }
}

/// White at 0, the figures' first colour at 1.
fn tint(share: f64) -> RGBColor {
    SeriesStyle::new(0).tint(share)
}

/// The colour of text on `ground`, ink or white: the one with the greater contrast, as WCAG reckons it.
fn on(ground: RGBColor) -> RGBColor {
    let light = |RGBColor(r, g, b): RGBColor| {
        let linear = |c: u8| match f64::from(c) / 255.0 {
            c if c <= 0.04045 => c / 12.92,
            c => ((c + 0.055) / 1.055).powf(2.4),
        };
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) + 0.05
    };
    let white = RGBColor(255, 255, 255);
    if light(white) / light(ground) > light(ground) / light(INK) { white } else { INK }
}

fn fill(canvas: &Canvas, from: (f64, f64), to: (f64, f64), colour: RGBColor) -> Result<()> {
    let corners = [from, to].map(|(x, y)| (units(x), units(y)));
    canvas.draw(&Rectangle::new(corners, colour.filled())).map_err(Error::drawing(DRAW))
}

fn outline(canvas: &Canvas, (left, top): (f64, f64), (right, bottom): (f64, f64)) -> Result<()> {
    let corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
    let path = PathElement::new(corners.map(|(x, y)| (units(x), units(y))), stroke(INK, 0.6));
    canvas.draw(&path).map_err(Error::drawing(DRAW))
}

/// Text that reads upwards; `h` of it is at the place.
fn turn(canvas: &Canvas, style: &Style, text: &str, at: (f64, f64), size: f64, h: HPos) -> Result<()> {
    let upwards = style.type_of(size, INK, h, VPos::Center).transform(FontTransform::Rotate270);
    canvas.draw_text(text, &upwards, (units(at.0), units(at.1))).map_err(Error::drawing(DRAW))
}
