//! Figure 2a: training and test accuracy of Inception V3 on ImageNet against steps, with augmentation, dropout and weight
//! decay and without; shaded, the best test accuracy so far.
//!
//! Expected at paper scale: without augmentation the test accuracy rises and then falls, so that early stopping could
//! win some points; with all regularisers on it does not fall.

use crate::Result;
use crate::paper::reported::{self, TABLE_2, Table2Row};
use crate::paper::{Parts, Product, Recipe, Setting, Verdict, curves, extended, fig2b, mean, table2};
use crate::run::config::{RunConfig, Seeds};
use crate::store::Run;
use polars::prelude::DataFrame;
use rethink_plot::{Drawing, Note};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "fig2a",
    title: "Figure 2a: explicit regularisers and early stopping",
    notebook: "10-imagenet.ipynb",
    source: Parts::Runs { runs, make, verdict },
};

/// Three of table 2's runs on true labels: all regularisers, weight decay alone, none.
fn rows() -> impl Iterator<Item = &'static Table2Row> {
    let shown = |row: &&Table2Row| !row.random_labels && row.augmented == row.dropout;
    TABLE_2.iter().filter(shown)
}

fn runs(setting: &Setting) -> Vec<RunConfig> {
    let (data, scale) = (setting.data(), setting.scale);
    rows().map(|row| table2::configure(row, data, scale, Seeds::repeat(0))).collect()
}

/// As the figure's legend has it: "aug, wd, dropout", "wd", "none".
fn setting(config: &RunConfig) -> String {
    let hyper = &config.hyper;
    let switches =
        [(hyper.random_crop, "aug"), (hyper.weight_decay > 0.0, "wd"), (!hyper.without_dropout, "dropout")];
    let on: Vec<&str> = switches.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect();
    if on.is_empty() { "none".into() } else { on.join(", ") }
}

/// `setting` (str), `seed` (u64), and all columns of [`Run::frame`] but the seconds: the rows of all runs, one below the other.
///
/// Errors: [`crate::Error::Frame`].
pub fn frame(runs: &[Run]) -> Result<DataFrame> {
    curves(runs, "figure 2a's frame", "setting", setting)
}

/// Draws figure 2a: as [`fig2b::draw`], with `setting` (text, as the legend shows it) for `model`.
///
/// Errors: absent or mistyped columns, no accuracy at all.
pub fn draw(frame: &DataFrame, note: &Note) -> Result<Drawing> {
    fig2b::draw_as("fig2a", "setting", frame, note)
}

fn make(runs: &[Run], note: &Note) -> Result<Product> {
    let more = table2::training_note(runs);
    Ok(Product::Figure(draw(&frame(runs)?, &extended(note, more))?))
}

fn verdict(runs: &[Run]) -> Verdict {
    let gain = |row: &Table2Row| {
        let gains =
            runs.iter().filter(|run| table2::belongs(row, run)).filter_map(fig2b::early_stopping_gain);
        let gain = 100.0 * mean(gains)?;
        let name = match (row.augmented, row.weight_decay) {
            (true, _) => "all",
            (false, true) => "weight decay alone",
            (false, false) => "nothing",
        };
        Some(format!("{gain:+.1} ({name})"))
    };
    let gains: Vec<String> = rows().filter_map(gain).collect();
    let ours = (!gains.is_empty()).then(|| format!("early stopping {}", gains.join(", ")));
    Verdict::new(reported::FIG2A, ours)
}
