//! What is printed under the study's figures, and recorded beside them.

use crate::data::corruption::Corruption;
use crate::measure::{Measured, Measurement};
use crate::paper::{self, Results};
use crate::run::comparison::Free;
use crate::run::config::RunConfig;
use crate::store::Run;
use crate::study::Study;
use crate::study::words::{corruption, left_out, set_here};
use rethink_nn::text::thousands;
use rethink_plot::Note;
use rethink_plot::columns::distinct;
use std::collections::{BTreeMap, BTreeSet};

impl Study {
    /// [`Study::note`] or [`Study::measured_note`].
    pub fn note_of(&self, results: &Results) -> Note {
        match results {
            Results::Runs(runs) => self.note(runs),
            Results::Measured(measured) => self.measured_note(measured),
        }
    }

    /// What is printed under a figure of `runs`, and recorded beside it: what they are, and what was chosen where the paper
    /// says nothing.
    pub fn note(&self, runs: &[Run]) -> Note {
        let bare = Note { scale_line: self.scale_line(runs), provenance: self.provenance(runs) };
        paper::extended(&bare, set_here_note(runs).into_iter().chain(paper::choices(runs)))
    }

    /// The same for measurements.
    pub fn measured_note(&self, measured: &[Measured]) -> Note {
        let list = |value: &dyn Fn(&Measurement) -> String| {
            let mut values: Vec<String> = Vec::new();
            for value in measured.iter().map(|m| value(&m.record.measurement)) {
                if !values.contains(&value) {
                    values.push(value);
                }
            }
            values
        };
        let titles = list(&|m| m.data.title.clone()).join(", ");
        let sizes = measured.iter().map(|m| m.record.measurement.data.train);
        let n = match (sizes.clone().min(), sizes.max()) {
            (Some(low), Some(high)) if low == high => thousands(low),
            (Some(low), Some(high)) => format!("{} to {}", thousands(low), thousands(high)),
            _ => "no".into(),
        };
        let seeds = seeds_each(measured.iter().map(|m| of_measurement(&m.record.measurement)));
        let measurements: Vec<_> = measured
            .iter()
            .map(|m| serde_json::json!({ "key": m.record.measurement.key(), "record": m.record }))
            .collect();
        Note {
            scale_line: format!("{titles}, n = {n}, {}, scale {}", counted_seeds(&seeds), self.scale),
            provenance: serde_json::json!({
                "data": self.title(), "scale": self.scale, "measurements": measurements
            }),
        }
    }

    /// The line that states what a figure was made from.
    pub fn scale_line(&self, runs: &[Run]) -> String {
        let configs: Vec<&RunConfig> = runs.iter().map(|r| &r.record.config).collect();
        let range = |value: &dyn Fn(&RunConfig) -> usize| {
            let values = configs.iter().map(|c| value(c));
            match (values.clone().min(), values.max()) {
                (Some(low), Some(high)) if low == high => thousands(low),
                (Some(low), Some(high)) => format!("{} to {}", thousands(low), thousands(high)),
                _ => "no".into(),
            }
        };
        // A model's runs may differ in n too; then the range is said.
        let alone =
            |a: &&RunConfig| configs.iter().all(|b| a.model != b.model || a.data.train == b.data.train);
        let n = match configs.iter().all(alone) && !configs.is_empty() {
            true => by_model(&configs, |c| c.data.train, |n| thousands(*n)),
            false => range(&|c| c.data.train),
        };
        let seeds = seeds_each(configs.iter().map(|c| of_run(c)));
        // Where all of a model's runs may have as many, each model's; else the range.
        let as_long =
            |a: &&RunConfig| configs.iter().all(|b| a.model != b.model || a.hyper.epochs == b.hyper.epochs);
        let lasting = match configs.iter().all(as_long) && !configs.is_empty() {
            true => by_model(&configs, |c| c.hyper.epochs, |n| thousands(*n)),
            false => range(&|c| c.hyper.epochs),
        };
        let most = if configs.iter().any(|c| c.hyper.stop_when_fitted) { "at most " } else { "" };
        let epochs = if configs.iter().all(|c| c.hyper.epochs == 1) && !configs.is_empty() {
            "epoch"
        } else {
            "epochs"
        };
        let models: BTreeSet<&str> = configs.iter().map(|c| c.model.title()).collect();
        // Several are in the figure's legend or the table's rows.
        let corruptions: BTreeSet<String> = configs.iter().map(|c| corruption(c)).collect();
        let model = match (models.first(), corruptions.first(), configs.first()) {
            (Some(model), Some(corruption), Some(first)) if models.len() == 1 => {
                let said = corruptions.len() == 1 && first.corruption != Corruption::TrueLabels;
                let corruption = if said { format!("{corruption}, ") } else { String::new() };
                format!("{model}, {corruption}")
            }
            _ => String::new(),
        };
        format!(
            "{model}{}, n = {}, width {}, {most}{lasting} {epochs}{}, {}, scale {}",
            self.titles_of(runs),
            n,
            by_model(&configs, |c| c.width_factor, f64::to_string),
            ends(&configs),
            counted_seeds(&seeds),
            self.scale_title()
        ) + &left_out(runs.iter().map(|run| &run.record))
    }

    /// The data sets of `runs`; of none, the study's own.
    fn titles_of(&self, runs: &[Run]) -> String {
        let mut titles: Vec<&str> = Vec::new();
        for run in runs {
            let title = run.record.config.data.title.as_str();
            if !titles.contains(&title) {
                titles.push(title);
            }
        }
        if titles.is_empty() { self.data.title.clone() } else { titles.join("; ") }
    }

    /// What is written beside a figure: the runs it is made from and where they come from.
    pub fn provenance(&self, runs: &[Run]) -> serde_json::Value {
        let data = self.titles_of(runs);
        let runs: Vec<_> = runs
            .iter()
            .map(|r| {
                let hyper = r.record.config.hyper.shown();
                serde_json::json!({ "key": r.record.config.key(), "hyper": hyper, "record": r.record })
            })
            .collect();
        let mut json = serde_json::json!({ "data": data, "scale": self.scale, "runs": runs });
        if !self.overrides.is_empty() {
            json["set"] = self.overrides.to_string().into();
        }
        json
    }
}

/// What the small print says of what runs have that no recipe gives them.
fn set_here_note(runs: &[Run]) -> Option<String> {
    let each: Vec<Vec<String>> = runs.iter().map(|run| set_here(&run.record.config)).collect();
    let said = |part: &String| match each.iter().all(|own| own.contains(part)) {
        true => part.clone(),
        false => format!("{part} (some runs)"),
    };
    let parts: Vec<String> = distinct(&each.concat()).iter().map(said).collect();
    (!parts.is_empty()).then(|| format!("Unlike the recipes: {}", parts.join(", ")))
}

/// What tells a run from others but for its seeds and how many epochs in a row have to be fitted before it ends; and its seed.
pub fn of_run(config: &RunConfig) -> (String, u64) {
    (config.key_but_for(&[Free::Seeds, Free::FittedEpochs]), config.seeds.init)
}

/// What tells a measurement from others but for its seed, and that.
pub fn of_measurement(measurement: &Measurement) -> (String, u64) {
    (Measurement { seed: 0, ..measurement.clone() }.key(), measurement.seed)
}

/// How many seeds each of several settings has, of pairs of setting and seed: "1", or "1 to 5" where some have more; "-" of none.
pub fn seeds_each(all: impl Iterator<Item = (String, u64)>) -> String {
    let mut of: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for (setting, seed) in all {
        of.entry(setting).or_default().insert(seed);
    }
    let counts = || of.values().map(BTreeSet::len);
    match (counts().min(), counts().max()) {
        (Some(least), Some(most)) if least < most => format!("{least} to {most}"),
        (Some(least), _) => least.to_string(),
        _ => "-".into(),
    }
}

/// "1 seed", "1 to 5 seeds", "no seed".
fn counted_seeds(each: &str) -> String {
    match each {
        "-" => "0 seeds".into(),
        "1" => "1 seed".into(),
        each => format!("{each} seeds"),
    }
}

/// What the small print says of when runs end: nothing where all run all epochs.
fn ends(configs: &[&RunConfig]) -> String {
    let mut rules: Vec<usize> =
        configs.iter().filter(|c| c.hyper.stop_when_fitted).map(|c| c.hyper.fitted_epochs).collect();
    rules.sort_unstable();
    rules.dedup();
    let rules: Vec<String> = rules.into_iter().map(rule).collect();
    match rules.is_empty() {
        true => String::new(),
        false => format!(" (a run ends {})", rules.join(", or ")),
    }
}

/// "after 5 epochs in a row with every training image right".
fn rule(fitted_epochs: usize) -> String {
    match fitted_epochs {
        1 => "at the first epoch with every training image right".into(),
        epochs => format!("after {epochs} epochs in a row with every training image right"),
    }
}

/// "1", or the value of each model where they differ: "0.125 (Inception, Alexnet), 1 (MLP 1x512)".
fn by_model<T: PartialEq>(
    configs: &[&RunConfig],
    value: impl Fn(&RunConfig) -> T,
    show: impl Fn(&T) -> String,
) -> String {
    let mut models: Vec<(T, Vec<&str>)> = Vec::new();
    for config in configs {
        let (value, title) = (value(config), config.model.title());
        match models.iter_mut().find(|(other, _)| *other == value) {
            Some((_, titles)) if titles.contains(&title) => {}
            Some((_, titles)) => titles.push(title),
            None => models.push((value, vec![title])),
        }
    }
    match &models[..] {
        [(value, _)] => show(value),
        _ => {
            let parts =
                models.iter().map(|(value, titles)| format!("{} ({})", show(value), titles.join(", ")));
            parts.collect::<Vec<_>>().join(", ")
        }
    }
}
