//! Section 2.2: the empirical Rademacher complexity of each class of networks, and the bound by VC dimension.
//!
//! Expected: near 1 for every class of the paper, at every n; below 1 for a network so narrow that training does not fit n signs; the VC bound
//! above 1 wherever there are more parameters than images.

use crate::measure::complexity::Class;
use crate::measure::{Measured, Measurement, Quantity, stack};
use crate::paper::Setting;
use crate::paper::reported;
use crate::paper::{Parts, Product, Recipe, Verdict};
use crate::run::config::Scale;
use crate::{Error, Result};
use polars::prelude::*;
use rethink_nn::models::ModelKind;
use rethink_plot::columns::{all_numbers, distinct, need, texts};
use rethink_plot::{Chart, Drawing, Note, axis};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "rademacher",
    title: "Section 2.2: Rademacher complexity",
    notebook: "03-complexity-measures.ipynb",
    source: Parts::Measurements { plan, make, verdict },
};

/// Classes, images, epochs and draws. The narrow one is there to show that the estimate can be below 1, which says that
/// training does not fit, and not that the class cannot.
fn sizes(scale: Scale) -> (Vec<Class>, &'static [usize], usize, u64) {
    let class = Class::new;
    // Four units; for the few images of scale small two.
    let narrow = class(ModelKind::Mlp1x512, if scale == Scale::Small { 1.0 / 256.0 } else { 1.0 / 128.0 });
    let mlps = [class(ModelKind::Mlp1x512, 1.0), class(ModelKind::Mlp3x512, 1.0)];
    let convs = |a, b| [class(ModelKind::Alexnet, a), class(ModelKind::Inception, b)];
    match scale {
        Scale::Smoke => (vec![mlps[0], narrow], &[50, 100], 40, 2),
        Scale::Small => ([&mlps[..], &convs(0.25, 0.125), &[narrow]].concat(), &[50, 100, 200], 100, 2),
        Scale::Paper => {
            ([&mlps[..], &convs(1.0, 1.0), &[narrow]].concat(), &[1_000, 5_000, 20_000, 50_000], 200, 3)
        }
    }
}

/// Images of the smallest sample: with fewer, nothing is measured.
pub(super) fn fewest(scale: Scale) -> usize {
    sizes(scale).1[0]
}

fn plan(setting: &Setting) -> Vec<Measurement> {
    let (classes, sizes, epochs, draws) = sizes(setting.scale);
    let mut all = Vec::new();
    // Few images first, of every class: what there is after some hours is a whole figure as far as it goes.
    for &n in sizes.iter().filter(|n| **n <= setting.data().train.len()) {
        for &class in &classes {
            let what = Quantity::Rademacher { class, epochs, draws };
            all.push(Measurement::new(setting.data(), (n, 1), what, 1));
        }
    }
    all
}

/// One row per draw: `class` (text), `n`, `draw`, `parameters`, `correlation`, `epochs`, `vc_bound` (f64).
///
/// Errors: [`crate::Error::Argument`] for no measurement.
pub fn frame(measured: &[Measured]) -> Result<DataFrame> {
    stack(measured)
}

const DRAW: &str = "draw the Rademacher complexity";

/// Draws, for each class of networks, the mean correlation with random signs against n, with its standard error; a
/// dotted line at 1, the most there is.
///
/// `frame`, one row per draw: `class` (text, as the legend shows it), `n` (1 or more), `correlation` (-1 to 1).
///
/// Errors: absent or mistyped columns, numbers out of range, no row.
pub fn draw(frame: &DataFrame, note: &Note) -> Result<Drawing> {
    need(frame, DRAW, &["class", "n", "draw", "correlation"])?;
    let class = texts(frame, DRAW, "class")?;
    let n = all_numbers(frame, DRAW, "n")?;
    let correlation = all_numbers(frame, DRAW, "correlation")?;
    for row in 0..class.len() {
        if n[row] < 1.0 || !(-1.0..=1.0).contains(&correlation[row]) {
            let problem = format!("row {row}: correlation {} at n = {}", correlation[row], n[row]);
            return Err(Error::argument(DRAW, problem));
        }
    }
    if class.is_empty() {
        return Err(Error::argument(DRAW, "the frame has no row"));
    }
    let chart = Chart::new(frame, "n", "correlation")
        .colour("class")
        .over("draw")
        .standard_error()
        .markers()
        .rule(1.0, "every sign fitted")
        .x(axis("images n").log())
        .note("Trained networks give a lower bound of the supremum.")
        .note(&draws(&class, &n))
        .caption(&format!(
            "Empirical Rademacher complexity (equation 1), estimated by training on random signs, against the number of \
             images: {}.",
            distinct(&class).join("; ")
        ));
    let lowest = chart.extent()?.map_or(0.0, |ends| ends.0.min(0.0));
    let up = axis("correlation with signs").from(lowest).to(1.0).padded(0.0, 0.12);
    Ok(chart.y(up).draw("rademacher", note)?)
}

/// What the small print says of the bars: of how many draws of each class and n they are, rows being draws.
fn draws(class: &[String], n: &[f64]) -> String {
    let of =
        |row: usize| (0..n.len()).filter(|other| class[*other] == class[row] && n[*other] == n[row]).count();
    let counts = || (0..n.len()).map(of);
    match (counts().min().unwrap_or(0), counts().max().unwrap_or(0)) {
        (_, 0 | 1) => "One draw of signs each, so no bars.".into(),
        (least, most) if least == most => {
            format!("Bars: one standard error of the mean over {most} draws of signs.")
        }
        (least, most) => {
            format!("Bars: one standard error of the mean over {least} to {most} draws of signs.")
        }
    }
}

fn make(measured: &[Measured], note: &Note) -> Result<Product> {
    Ok(Product::Figure(draw(&frame(measured)?, note)?))
}

fn verdict(measured: &[Measured]) -> Verdict {
    let mut parts: Vec<(String, f64, f64)> = Vec::new();
    for measured in measured {
        let Quantity::Rademacher { class, .. } = &measured.record.measurement.what else { continue };
        let mean = measured.column("correlation").ok().and_then(|c| c.f64().ok()?.mean());
        let (Some(mean), Ok(bound)) = (mean, measured.number("vc_bound")) else { continue };
        // The largest n of each class comes last.
        parts.retain(|part| part.0 != class.title());
        parts.push((class.title(), mean, bound));
    }
    let each = parts.iter().map(|(class, mean, bound)| format!("{class} {mean:.2} (VC {bound:.1})"));
    Verdict::of_parts(reported::RADEMACHER, each.collect())
}
