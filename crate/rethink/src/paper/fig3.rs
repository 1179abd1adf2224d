//! Figure 3: the small Inception, drawn from the plan that builds it. It has no runs.

use crate::paper::reported;
use crate::paper::{Parts, Product, Recipe, Setting, Verdict};
use crate::run::config::RunConfig;
use crate::store::Run;
use crate::{Error, Result};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use polars::prelude::{Column, DataFrame};
use rethink_nn::image::CROP;
use rethink_nn::models::ModelKind;
use rethink_nn::models::plan::{self, Layer, Size3};
use rethink_nn::ops::conv::Window;
use rethink_nn::text::thousands;
use rethink_plot::theme::{
    Canvas, CanvasError, GREY, INK, MARGIN, SeriesStyle, Style, document, small_print, stroke, units, write,
};
use rethink_plot::{Drawing, Note, Sketch};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "fig3",
    title: "Figure 3: the small Inception",
    notebook: "06-batch-normalization.ipynb",
    source: Parts::Runs { runs, make, verdict },
};

fn runs(_: &Setting) -> Vec<RunConfig> {
    Vec::new()
}

/// The paper's network: its layers, and height, width and channels of its images.
///
/// Errors: those of [`ModelKind::plan`].
pub fn network() -> Result<(Vec<Layer>, Size3)> {
    let input = [CROP, CROP, 3];
    Ok((ModelKind::Inception.plan(input, 10, 1.0)?, input))
}

const DRAW: &str = "draw figure 3";

/// Width of the figure, points: the paper's text width, 5.5 in.
const WIDTH: f64 = 396.0;
/// Height of a box, and of the arrow below it, points.
const BOX: f64 = 14.0;
const ARROW: f64 = 8.0;
/// Where the network's boxes stand, and how wide they are.
const NETWORK: f64 = 226.0;
const BLOCK: f64 = 96.0;

/// What each block of the network is: `block` (text), `height`, `width`, `channels` (u32, of its output),
/// `parameters` (u64, trained numbers).
///
/// Errors: those of [`Layer::output`], [`Error::Frame`].
pub fn frame(layers: &[Layer], input: Size3) -> Result<DataFrame> {
    let mut from = input;
    let mut rows = vec![("input".to_string(), input, 0)];
    for layer in layers {
        let parameters = plan::parameters(std::slice::from_ref(layer), from)?;
        let name = block(layer, from);
        from = layer.output(from)?;
        rows.push((name, from, parameters as u64));
    }
    let size = |axis: usize| rows.iter().map(|row| row.1[axis] as u32).collect::<Vec<_>>();
    let columns = vec![
        Column::new("block".into(), rows.iter().map(|row| row.0.as_str()).collect::<Vec<_>>()),
        Column::new("height".into(), size(0)),
        Column::new("width".into(), size(1)),
        Column::new("channels".into(), size(2)),
        Column::new("parameters".into(), rows.iter().map(|row| row.2).collect::<Vec<_>>()),
    ];
    DataFrame::new(rows.len(), columns).map_err(Error::frame("figure 3's frame"))
}

/// Draws a network for images of `input` (height, width, channels): on the right its layers from top to bottom, each
/// with the size of what it gives; on the left, what the modules among them are made of.
///
/// Errors: those of [`Layer::output`]; [`Error::Argument`] for no layers.
pub fn draw(layers: &[Layer], input: Size3, note: &Note) -> Result<Drawing> {
    if layers.is_empty() {
        return Err(Error::argument(DRAW, "the plan has no layers"));
    }
    let total = plan::parameters(layers, input)?;
    let caption = format!(
        "The network of {} parameters, as it is trained. Right: its layers, each with height, width and channels of \
         what it gives. Left: the modules; letters are the numbers in brackets on the right.",
        thousands(total)
    );
    let notes = vec![note.scale_line.clone()];
    let plan = Plan { layers: layers.to_vec(), input };
    Ok(Drawing::of_sketch("fig3", plan, notes, caption, note, frame(layers, input)?)?)
}

/// A network that is drawn.
#[derive(Clone, Debug)]
struct Plan {
    /// From the first to the last.
    layers: Vec<Layer>,
    /// Height, width and channels of its images.
    input: Size3,
}

impl Sketch for Plan {
    /// The width is the same in every style.
    fn svg(
        &self,
        notes: &[String],
        caption: &str,
        style: &Style,
    ) -> rethink_plot::Result<(String, f64, f64)> {
        let modules = modules(&self.layers);
        let title = style.title_pt;
        let small_row = style.small_row();
        let left = modules.iter().map(|m| m.height(style)).sum::<f64>() + 2.0 * small_row;
        let right = (self.layers.len() + 1) as f64 * (BOX + ARROW) - ARROW;
        let small = style.small_lines(notes, WIDTH - 2.0 * MARGIN)?;
        let top = MARGIN + title + 8.0;
        let height = top + left.max(right) + 12.0 + small_row * small.len() as f64 + MARGIN;
        let svg = document((WIDTH, height), caption, |root| {
            let pen = Pen { root, style };
            pen.text("modules", (MARGIN, MARGIN + title / 2.0), title, INK, HPos::Left)?;
            pen.text("network", (NETWORK, MARGIN + title / 2.0), title, INK, HPos::Left)?;
            let mut y = top;
            for module in &modules {
                pen.module(module, y)?;
                y += module.height(style);
            }
            if !modules.is_empty() {
                let legend = "a, b: filters, the numbers in brackets on the right; /2: stride 2";
                let lines = style.family.wrap(legend, style.small_pt, NETWORK - 30.0)?;
                for (row, line) in lines.iter().enumerate() {
                    let at = (MARGIN, y + small_row * (row as f64 + 0.5));
                    pen.text(line, at, style.small_pt, GREY, HPos::Left)?;
                }
            }
            pen.network(&self.layers, self.input, top)?;
            small_print(root, style, &small, height)
        })?;
        Ok((svg, WIDTH / 72.0, height / 72.0))
    }
}

fn error(e: CanvasError) -> rethink_plot::Error {
    rethink_plot::Error::drawing(DRAW)(e)
}

/// "3x3", or "3x3/2" with its stride.
fn window(w: &Window) -> String {
    let kernel = format!("{}x{}", w.kernel.0, w.kernel.1);
    if w.stride == (1, 1) { kernel } else { format!("{kernel}/{}", w.stride.0) }
}

/// A layer of the network on one line, with the numbers of filters of its convolutions in brackets.
fn block(layer: &Layer, from: Size3) -> String {
    match layer {
        Layer::Conv { window: w, outputs, .. } => format!("Conv {} ({outputs})", window(w)),
        Layer::Linear { outputs, .. } => format!("Fully connected ({outputs})"),
        Layer::MaxPool(w) => format!("Max pool {}", window(w)),
        Layer::AvgPool(w) => format!("Mean pool {}", window(w)),
        Layer::GlobalAvgPool => format!("Mean pool {}x{}", from[0], from[1]),
        Layer::LocalResponseNorm => "Local response norm".into(),
        Layer::Dropout(rate) => format!("Dropout {}", rate.drop_probability()),
        Layer::Branches(branches) => {
            let filters = |layer: &Layer| match layer {
                Layer::Conv { outputs, .. } => Some(outputs.to_string()),
                _ => None,
            };
            let all: Vec<String> = branches.iter().flatten().filter_map(filters).collect();
            format!("{} ({})", kind(branches), all.join(", "))
        }
        Layer::Auxiliary(_) => "Auxiliary classifier".into(),
    }
}

/// The paper's two modules with branches: one makes the image smaller.
fn kind(branches: &[Vec<Layer>]) -> &'static str {
    let strides = |layer: &Layer| match layer {
        Layer::Conv { window, .. } | Layer::MaxPool(window) | Layer::AvgPool(window) => {
            window.stride != (1, 1)
        }
        _ => false,
    };
    if branches.iter().flatten().any(strides) { "Downsample" } else { "Inception" }
}

/// A module of the legend: branches side by side, each from top to bottom.
struct Module {
    title: &'static str,
    branches: Vec<Vec<String>>,
    look: SeriesStyle,
}

impl Module {
    fn rows(&self) -> usize {
        self.branches.iter().map(Vec::len).max().unwrap_or(0)
    }

    fn joined(&self) -> bool {
        self.branches.len() > 1
    }

    fn height(&self, style: &Style) -> f64 {
        let rows = self.rows() + usize::from(self.joined());
        style.label_pt + 7.0 + ARROW + rows as f64 * (BOX + ARROW) + 8.0
    }
}

/// What a layer looks like in the network: the convolution, the two modules, all else.
fn look(layer: &Layer) -> Option<SeriesStyle> {
    match layer {
        Layer::Conv { .. } => Some(SeriesStyle::new(0)),
        Layer::Branches(branches) if kind(branches) == "Inception" => Some(SeriesStyle::new(2)),
        Layer::Branches(_) => Some(SeriesStyle::new(1)),
        _ => None,
    }
}

/// The modules among `layers`, each kind once, in the order in which they come.
fn modules(layers: &[Layer]) -> Vec<Module> {
    let mut found: Vec<Module> = Vec::new();
    for layer in layers {
        let (title, branches) = match layer {
            Layer::Conv { normalised, .. } => {
                let after = if *normalised { "batch norm (shift)" } else { "bias" };
                ("Conv module", vec![vec!["convolution".into(), after.into(), "ReLU".into()]])
            }
            Layer::Branches(branches) => {
                let mut letters = 'a'..='z';
                let mut part = |layer: &Layer| match layer {
                    Layer::Conv { window: w, .. } => {
                        format!("Conv {} ({})", window(w), letters.next().unwrap_or('…'))
                    }
                    other => block(other, [0; 3]),
                };
                let parts = branches.iter().map(|b| b.iter().map(&mut part).collect()).collect();
                (if kind(branches) == "Inception" { "Inception module" } else { "Downsample module" }, parts)
            }
            _ => continue,
        };
        if let Some(look) = look(layer)
            && !found.iter().any(|m| m.title == title && m.branches == branches)
        {
            found.push(Module { title, branches, look });
        }
    }
    found
}

struct Pen<'a, 'b> {
    root: &'a Canvas<'b>,
    style: &'a Style,
}

impl Pen<'_, '_> {
    /// `at` is the middle of the line's height.
    fn text(
        &self,
        text: &str,
        at: (f64, f64),
        size: f64,
        colour: RGBColor,
        h: HPos,
    ) -> rethink_plot::Result<()> {
        write(self.root, self.style, text, at, size, (colour, h))
    }

    fn line(&self, points: &[(f64, f64)]) -> rethink_plot::Result<()> {
        let points: Vec<_> = points.iter().map(|p| (units(p.0), units(p.1))).collect();
        self.root.draw(&PathElement::new(points, stroke(GREY, 0.7))).map_err(error)
    }

    /// Down from `y0` to a head at `y1`.
    fn arrow(&self, x: f64, y0: f64, y1: f64) -> rethink_plot::Result<()> {
        self.line(&[(x, y0), (x, y1 - 2.0)])?;
        let head = vec![(x - 1.8, y1 - 3.2), (x + 1.8, y1 - 3.2), (x, y1)];
        let head: Vec<_> = head.into_iter().map(|(x, y)| (units(x), units(y))).collect();
        self.root.draw(&Polygon::new(head, GREY.filled())).map_err(error)
    }

    fn boxed(
        &self,
        text: &str,
        (x, y): (f64, f64),
        width: f64,
        look: Option<SeriesStyle>,
    ) -> rethink_plot::Result<()> {
        let corners = [(units(x), units(y)), (units(x + width), units(y + BOX))];
        let (inside, edge) = match look {
            Some(look) => (look.tint(0.18), look.colour()),
            None => (RGBColor(0xF2, 0xF2, 0xF2), GREY),
        };
        self.root.draw(&Rectangle::new(corners, inside.filled())).map_err(error)?;
        // A rectangle's own outline is a hair whatever the stroke; the first side comes again for its corner.
        let [(left, top), (right, bottom)] = corners;
        let outline =
            vec![(left, top), (right, top), (right, bottom), (left, bottom), (left, top), (right, top)];
        self.root.draw(&PathElement::new(outline, stroke(edge, 0.7))).map_err(error)?;
        let Style { label_pt, small_pt, family, .. } = *self.style;
        let size = if family.width(text, label_pt)? <= width - 4.0 { label_pt } else { small_pt };
        self.text(text, (x + width / 2.0, y + BOX / 2.0), size, INK, HPos::Center)
    }

    fn module(&self, module: &Module, top: f64) -> rethink_plot::Result<()> {
        let label = self.style.label_pt;
        self.text(module.title, (MARGIN, top + label / 2.0), label, module.look.colour(), HPos::Left)?;
        let (gap, room) = (10.0, NETWORK - 36.0 - MARGIN);
        let columns = module.branches.len() as f64;
        let width = ((room - gap * (columns - 1.0)) / columns).min(84.0);
        let whole = width * columns + gap * (columns - 1.0);
        let (middle, start) = (MARGIN + whole / 2.0, top + label + 7.0);
        let first = start + ARROW;
        let bottom = first + module.rows() as f64 * (BOX + ARROW) - ARROW;
        let centre = |column: usize| MARGIN + column as f64 * (width + gap) + width / 2.0;
        if module.joined() {
            self.line(&[(middle, start - 4.0), (middle, start)])?;
            self.line(&[(centre(0), start), (centre(module.branches.len() - 1), start)])?;
        }
        for (column, branch) in module.branches.iter().enumerate() {
            let (x, mut y) = (centre(column), first);
            self.arrow(x, start, y)?;
            for (row, text) in branch.iter().enumerate() {
                // Parts of a convolution are plain, convolutions among the branches have their own colour.
                let look = if module.joined() {
                    text.starts_with("Conv").then(|| SeriesStyle::new(0))
                } else {
                    Some(module.look)
                };
                self.boxed(text, (x - width / 2.0, y), width, look)?;
                y += BOX;
                if row + 1 < branch.len() {
                    self.arrow(x, y, y + ARROW)?;
                    y += ARROW;
                }
            }
            if module.joined() {
                self.arrow(x, y, bottom + ARROW)?;
            }
        }
        if module.joined() {
            self.boxed("channels side by side", (MARGIN, bottom + ARROW), whole, Some(module.look))?;
        }
        Ok(())
    }

    fn network(&self, layers: &[Layer], input: Size3, top: f64) -> rethink_plot::Result<()> {
        let size = |s: Size3| match s {
            [1, 1, units] => thousands(units),
            [height, width, channels] => format!("{height} x {width} x {channels}"),
        };
        let (x, mut y, mut from) = (NETWORK, top, input);
        let beside = |y: f64, s: Size3| {
            self.text(&size(s), (x + BLOCK + 6.0, y + BOX / 2.0), self.style.label_pt, GREY, HPos::Left)
        };
        self.boxed("images", (x, y), BLOCK, None)?;
        beside(y, input)?;
        for layer in layers {
            self.arrow(x + BLOCK / 2.0, y + BOX, y + BOX + ARROW)?;
            y += BOX + ARROW;
            self.boxed(&block(layer, from), (x, y), BLOCK, look(layer))?;
            from = layer.output(from).map_err(|e| rethink_plot::Error::argument(DRAW, e.to_string()))?;
            beside(y, from)?;
        }
        Ok(())
    }
}

fn make(_: &[Run], note: &Note) -> Result<Product> {
    let (layers, input) = network()?;
    let line = format!(
        "Drawn from the plan that builds the network: {} parameters, width 1, for 10 classes.",
        thousands(plan::parameters(&layers, input)?)
    );
    let note = Note { scale_line: line, provenance: note.provenance.clone() };
    Ok(Product::Figure(draw(&layers, input, &note)?))
}

fn verdict(_: &[Run]) -> Verdict {
    let counted = network().and_then(|(layers, input)| Ok(plan::parameters(&layers, input)?));
    let ours = counted.map_or_else(|e| e.to_string(), |n| format!("{} parameters", thousands(n)));
    Verdict::new(reported::FIG3, ours)
}
