//! Figure 3: the small Inception, drawn from the plan that builds it. It has no runs.

use super::{Product, Recipe, Source, Verdict};
use crate::config::{RunConfig, Scale};
use crate::data::Dataset;
use crate::figures::{self, Note};
use crate::models::ModelKind;
use crate::models::plan::{self, Layer, Size3};
use crate::preprocess::CROP;
use crate::store::Run;
use crate::study::thousands;
use crate::{Result, paper};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "fig3",
    title: "Figure 3: the small Inception",
    notebook: "06-batch-normalization.ipynb",
    source: Source::Runs { runs, make, verdict },
};

fn runs(_: &Dataset, _: Scale) -> Vec<RunConfig> {
    Vec::new()
}

/// The paper's network: its layers, and height, width and channels of its images.
///
/// Errors: those of [`ModelKind::plan`].
pub fn network() -> Result<(Vec<Layer>, Size3)> {
    let input = [CROP, CROP, 3];
    Ok((ModelKind::Inception.plan(input, 10, 1.0)?, input))
}

fn make(_: &[Run], note: &Note) -> Result<Product> {
    let (layers, input) = network()?;
    let line = format!(
        "Drawn from the plan that builds the network: {} parameters, width 1, for 10 classes.",
        thousands(plan::parameters(&layers, input)?)
    );
    let note = Note { scale_line: line, provenance: note.provenance.clone() };
    Ok(Product::Figure(figures::fig3::draw(&layers, input, &note)?))
}

fn verdict(_: &[Run]) -> Verdict {
    let counted = network().and_then(|(layers, input)| plan::parameters(&layers, input));
    let ours = counted.map_or_else(|e| e.to_string(), |n| format!("{} parameters", thousands(n)));
    Verdict { paper: paper::FIG3.into(), ours }
}
