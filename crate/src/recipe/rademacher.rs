//! Section 2.2: the empirical Rademacher complexity of each class of networks, and the bound by VC dimension.
//!
//! Expected: near 1 for every class of the paper, at every n; below 1 for a network too narrow to fit n signs; the VC bound
//! above 1 wherever there are more parameters than images.

use super::{Product, Recipe, Source, Verdict};
use crate::complexity::Class;
use crate::config::Scale;
use crate::figures::{self, Note};
use crate::measurement::{Measured, Measurement, Quantity, stack};
use crate::models::ModelKind;
use crate::study::Study;
use crate::{Result, paper};
use polars::prelude::*;

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "rademacher",
    title: "Section 2.2: Rademacher complexity",
    notebook: "03-complexity-measures.ipynb",
    source: Source::Measurements { plan, make, verdict },
};

/// Classes, images, epochs and draws. The narrow one is there to show that the estimate can be below 1.
fn sizes(scale: Scale) -> (Vec<Class>, &'static [usize], usize, u64) {
    let class = Class::new;
    let narrow = class(ModelKind::Mlp1x512, 1.0 / 128.0);
    let mlps = [class(ModelKind::Mlp1x512, 1.0), class(ModelKind::Mlp3x512, 1.0)];
    let convs = |a, b| [class(ModelKind::Alexnet, a), class(ModelKind::Inception, b)];
    match scale {
        Scale::Smoke => (vec![mlps[0], narrow], &[50, 100], 40, 2),
        Scale::Small => ([&mlps[..], &convs(0.25, 0.125), &[narrow]].concat(), &[100, 200, 500], 100, 3),
        Scale::Paper => {
            ([&mlps[..], &convs(1.0, 1.0), &[narrow]].concat(), &[1_000, 5_000, 20_000, 50_000], 200, 3)
        }
    }
}

fn plan(study: &Study) -> Vec<Measurement> {
    let (classes, sizes, epochs, draws) = sizes(study.scale);
    let mut all = Vec::new();
    for class in classes {
        for &n in sizes.iter().filter(|n| **n <= study.data.train.len()) {
            let what = Quantity::Rademacher { class, epochs, draws };
            all.push(Measurement::new(&study.data, (n, 1), what, 1));
        }
    }
    all
}

/// A row a draw: `class` (text), `n`, `draw`, `parameters`, `correlation`, `epochs`, `vc_bound` (f64).
///
/// Errors: [`crate::Error::Argument`] for no measurement.
pub fn frame(measured: &[Measured]) -> Result<DataFrame> {
    stack(measured)
}

fn make(measured: &[Measured], note: &Note) -> Result<Product> {
    Ok(Product::Figure(figures::rademacher::draw(&frame(measured)?, note)?))
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
    let ours = each.collect::<Vec<_>>().join("; ");
    Verdict {
        paper: paper::RADEMACHER.into(),
        ours: if ours.is_empty() { "not measured".into() } else { ours },
    }
}
