//! Figure 1b: time to fit the training set against the share of corrupted labels, relative to the
//! time for clean labels. Fitted is a network with [`crate::store::FITTED`] of the images: the paper draws MLP 1x512 on
//! random labels, of which that fits 99.34 % in the end (table 1).
//!
//! Expected at paper scale: rises with the corruption, by a small constant factor.

use crate::data::corruption::Corruption;
use crate::paper::reported;
use crate::paper::{Parts, Product, Recipe, Setting, Verdict, mean, repeats};
use crate::run::appendix_a::{Size, config_of_size, size_at};
use crate::run::config::{RunConfig, Scale, Seeds};
use crate::store::Run;
use crate::{Error, Result};
use polars::prelude::*;
use rethink_nn::models::{Family, ModelKind};
use rethink_plot::columns::{all_numbers, distinct, need, numbers, texts};
use rethink_plot::frames::{find, kept};
use rethink_plot::theme::round_up;
use rethink_plot::{Chart, Drawing, Note, axis};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "fig1b",
    title: "Figure 1b: time to fit",
    notebook: "02-partially-corrupted-labels.ipynb",
    source: Parts::Runs { runs, make, verdict },
};

/// The figure's models, in its order. What the paper says of some of them is checked of those alone ([`crate::claims`]).
pub const MODELS: [ModelKind; 3] = [ModelKind::Inception, ModelKind::Alexnet, ModelKind::Mlp1x512];

/// Probabilities of corruption.
pub fn levels(scale: Scale) -> &'static [f64] {
    match scale {
        Scale::Smoke => &[0.0, 0.5, 1.0],
        Scale::Small => &[0.0, 0.3, 0.6, 1.0],
        Scale::Paper => &[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
    }
}

/// Corruption `p` under the name that other recipes have for its ends, so that they share runs.
fn corruption(p: f64) -> Corruption {
    match p {
        0.0 => Corruption::TrueLabels,
        1.0 => Corruption::RandomLabels,
        p => Corruption::PartialLabels { p },
    }
}

/// What `model` gets at `scale`. At scale small Alexnet and the MLP have more images than in table 1, because few cost them nearly
/// as many epochs with any labels. Measurements: `crate/notes/fidelity.md`.
fn size(scale: Scale, model: ModelKind) -> Size {
    let size = size_at(scale, model);
    if scale != Scale::Small {
        return size;
    }
    let train = match model.family() {
        Family::Mlp => 2_000,
        Family::Alexnet | Family::Own => 1_000,
        Family::Inception | Family::InceptionV3 => size.train,
    };
    Size { train, ..size }
}

/// Figures 1b and 1c are made of the same runs.
pub(super) fn runs(setting: &Setting) -> Vec<RunConfig> {
    let (data, scale) = (setting.data(), setting.scale);
    let mut configs = Vec::new();
    let levels = setting.levels.as_deref().unwrap_or(levels(scale));
    for model in MODELS.into_iter().chain(setting.own.iter().copied()) {
        let size = size(scale, model);
        for repeat in 0..repeats(scale, model) {
            for &p in levels {
                let data = data.id(size.train, size.test);
                configs.push(config_of_size(data, size, model, corruption(p), Seeds::repeat(repeat)));
            }
        }
    }
    configs
}

/// One row per run: `model` (str), `p` (f64, null for a corruption that redraws no labels), `seed` (u64), `epochs_to_fit` (u32, [`Run::fitted_at`], null where it was never
/// fitted), `relative` (f64, null: to the run with the same model and seed at p = 0), `test_error`
/// (f64, null for a diverged run), `train_accuracy` (f64), `chance` (f64: the
/// error of guessing among the data set's classes, null where an old record does not say how many).
///
/// Errors: [`Error::Frame`].
pub fn frame(runs: &[Run]) -> Result<DataFrame> {
    let clean = |run: &Run| {
        let same = |other: &&Run| {
            let (a, b) = (&other.record.config, &run.record.config);
            a.model == b.model && a.seeds == b.seeds && a.corruption.label_noise() == Some(0.0)
        };
        runs.iter().find(same).and_then(Run::fitted_at)
    };
    let relative = |run: &Run| Some(f64::from(run.fitted_at()?) / f64::from(clean(run)?));
    let configs = || runs.iter().map(|r| &r.record.config);
    let columns = vec![
        Column::new("model".into(), configs().map(|c| c.model.title()).collect::<Vec<_>>()),
        Column::new("p".into(), configs().map(|c| c.corruption.label_noise()).collect::<Vec<_>>()),
        Column::new("seed".into(), configs().map(|c| c.seeds.init).collect::<Vec<_>>()),
        Column::new("epochs_to_fit".into(), runs.iter().map(Run::fitted_at).collect::<Vec<_>>()),
        Column::new("relative".into(), runs.iter().map(relative).collect::<Vec<_>>()),
        Column::new("test_error".into(), runs.iter().map(test_error).collect::<Vec<_>>()),
        Column::new(
            "train_accuracy".into(),
            runs.iter().map(|r| r.record.train_accuracy).collect::<Vec<_>>(),
        ),
        Column::new("chance".into(), runs.iter().map(|r| r.record.error_of_guessing()).collect::<Vec<_>>()),
    ];
    DataFrame::new(runs.len(), columns).map_err(Error::frame("figure 1b's frame"))
}

const DRAW: &str = "draw figure 1b";

/// Draws figure 1b.
///
/// `frame`, one row per run: `model` (text, as the legend shows it), `p` (share of labels drawn anew, 0 to
/// 1), `seed`, `epochs_to_fit` (epochs until the training set was fitted; absent if it never was),
/// `relative` (that time over the same model's and seed's at p = 0; absent if one of the two is).
///
/// Several seeds give mean and sample standard deviation. Runs that did not fit are hollow markers on a
/// row of their own above the axis ("no fit"), and counted under the plot; runs that fitted but have
/// nothing to be relative to are counted there. If times span more than a factor of 30 the axis is
/// logarithmic.
///
/// Errors: absent or mistyped columns, p outside 0 to 1, a time that is not positive, no row.
pub fn draw(frame: &DataFrame, note: &Note) -> Result<Drawing> {
    need(frame, DRAW, &["model", "p", "seed", "epochs_to_fit", "relative"])?;
    let models = texts(frame, DRAW, "model")?;
    let p = all_numbers(frame, DRAW, "p")?;
    all_numbers(frame, DRAW, "seed")?;
    let epochs = numbers(frame, DRAW, "epochs_to_fit")?;
    let relative = numbers(frame, DRAW, "relative")?;
    for row in 0..models.len() {
        check_p(DRAW, row, p[row])?;
        // A time of NaN or 0 would be drawn nowhere.
        if let Some(time) = relative[row]
            && !(time > 0.0 && time.is_finite())
        {
            return Err(Error::argument(DRAW, format!("column relative, row {row}: {time}")));
        }
    }
    if models.is_empty() {
        return Err(Error::argument(DRAW, "the frame has no row"));
    }

    let unfitted: Vec<bool> = epochs.iter().map(Option::is_none).collect();
    let unscaled = |row: &usize| !unfitted[*row] && relative[*row].is_none();
    let scaled: Vec<bool> = (0..models.len()).map(|row| !unscaled(&row)).collect();
    let shown = kept(frame, &scaled)?;
    let mut chart = Chart::new(&shown, "p", "relative")
        .colour("model")
        .order(&MODELS.map(ModelKind::title))
        .over("seed")
        .markers()
        .hollow_absent("epochs_to_fit")
        .row_above("no fit")
        .x(axis("label corruption").from(0.0).to(1.0).padded(0.05, 0.05));
    let names = distinct(&models);
    for name in &names {
        let of = |row: &usize| models[*row] == *name;
        chart = unfitted_note(chart, name, &p, (0..models.len()).filter(of), |row| unfitted[row]);
        let unscaled = (0..models.len()).filter(of).filter(unscaled).count();
        if unscaled > 0 {
            let runs = if unscaled == 1 { "run" } else { "runs" };
            chart = chart.note(&format!(
                "{name}: {unscaled} fitted {runs} not drawn: nothing at p = 0 to be relative to."
            ));
        }
    }
    let highest = chart.extent()?.map_or(1.0, |ends| ends.1.max(1.0));
    let lowest = relative.iter().flatten().copied().fold(1.0, f64::min);
    let up = axis("epochs to 99 % (relative)");
    let up = if highest / lowest > 30.0 {
        up.log().from(lowest / 1.3).to(highest * 1.2)
    } else {
        up.from(0.0).to(round_up(highest * 1.03).max(1.2))
    };
    let caption = format!(
        "Time to fit 99 % of the training set against the share of corrupted labels, relative to clean labels: {}.{}",
        names.join(", "),
        if unfitted.contains(&true) { " Hollow: did not fit." } else { "" },
    );
    Ok(Drawing { frame: frame.clone(), ..chart.y(up).caption(&caption).draw("fig1b", note)? })
}

/// `chart` with a line of small print that names the levels at which `rows`, the runs of `name`, did not fit.
pub(super) fn unfitted_note(
    chart: Chart,
    name: &str,
    p: &[f64],
    rows: impl Iterator<Item = usize>,
    is_unfitted: impl Fn(usize) -> bool,
) -> Chart {
    let mut levels: Vec<(f64, usize, usize)> = Vec::new();
    for row in rows {
        let failed = usize::from(is_unfitted(row));
        match levels.iter_mut().find(|(level, ..)| *level == p[row]) {
            Some((_, fails, runs)) => (*fails, *runs) = (*fails + failed, *runs + 1),
            None => levels.push((p[row], failed, 1)),
        }
    }
    levels.retain(|(_, failed, _)| *failed > 0);
    levels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let lost: Vec<String> = levels.iter().map(|&(p, failed, runs)| unfitted(p, failed, runs)).collect();
    if lost.is_empty() {
        return chart;
    }
    chart.note(&format!("Did not fit (hollow): {name}, {}.", lost.join("; ")))
}

/// A corruption level is a probability.
pub(super) fn check_p(operation: &'static str, row: usize, p: f64) -> Result<()> {
    if (0.0..=1.0).contains(&p) {
        return Ok(());
    }
    Err(Error::argument(operation, format!("column p, row {row}: {p} is outside 0 to 1")))
}

/// "p = 0.8: 1 of 3", or "p = 0.8" for the only run there.
fn unfitted(p: f64, failed: usize, runs: usize) -> String {
    if runs == 1 { format!("p = {p}") } else { format!("p = {p}: {failed} of {runs}") }
}

/// Share of wrongly classified test images, 0 to 1; `None` for a diverged run.
pub fn test_error(run: &Run) -> Option<f64> {
    run.record.test_accuracy.map(|accuracy| 1.0 - accuracy)
}

fn make(runs: &[Run], note: &Note) -> Result<Product> {
    Ok(Product::Figure(draw(&frame(runs)?, note)?))
}

fn verdict(runs: &[Run]) -> Verdict {
    let Ok(frame) = frame(runs) else { return Verdict::new(reported::FIG1B, None) };
    let at = |model: &str, p: f64| -> Vec<f64> {
        let rows = runs.iter().enumerate().filter(|(_, r)| {
            let c = &r.record.config;
            c.model.title() == model && c.corruption.label_noise() == Some(p)
        });
        let relative = find(&frame, "relative").and_then(|c| c.f64().cloned());
        rows.filter_map(|(i, _)| relative.as_ref().ok()?.get(i)).collect()
    };
    let model = |m: ModelKind| {
        let values = at(m.title(), 1.0);
        let times = mean(values).map_or("not fitted".into(), |mean| format!("{mean:.1}x"));
        format!("{} {times}", m.title())
    };
    let each: Vec<String> = models(runs).map(model).collect();
    Verdict::new(reported::FIG1B, (!each.is_empty()).then(|| format!("p = 1: {}", each.join(", "))))
}

/// The models of `runs`, in the order in which they come.
pub(super) fn models(runs: &[Run]) -> impl Iterator<Item = ModelKind> {
    let mut models: Vec<ModelKind> = Vec::new();
    for model in runs.iter().map(|run| run.record.config.model) {
        if !models.contains(&model) {
            models.push(model);
        }
    }
    models.into_iter()
}
