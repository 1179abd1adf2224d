//! What a notebook, or the command line, holds while it works: a data set, a scale, a store of runs
//! and the folder that figures go to.

use crate::config::{RunConfig, Scale};
use crate::data::{self, Dataset};
use crate::figures::Note;
use crate::measurement::{Measured, Measurement};
use crate::provenance;
use crate::recipe::{self, Product, Recipe, Results, Source, Verdict};
use crate::store::{Event, Record, Run, Store};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Names the data set of a notebook ([`data::open`]).
pub const DATASET_VARIABLE: &str = "RETHINK_DATASET";
/// Names the scale of a notebook: `smoke`, `small` or `paper`.
pub const SCALE_VARIABLE: &str = "RETHINK_SCALE";
/// The folder for figures, tables and runs.
pub const OUT_VARIABLE: &str = "RETHINK_OUT";
/// Filters of table 3's random conv-net, where not the scale's.
pub const FILTERS_VARIABLE: &str = "RETHINK_FILTERS";

/// A data set, a scale, and where results go.
#[derive(Clone, Debug)]
pub struct Study {
    /// The data.
    pub data: Dataset,
    /// More data sets, for the recipes that take several (table 3).
    pub more: Vec<Dataset>,
    /// The name by which the data set is found again: what was asked for, made absolute where it is a
    /// folder, or the name of what was found.
    pub named: String,
    /// Why this data set, for the reader ("shapes10, since no other was named or found").
    pub why: String,
    /// How much is run.
    pub scale: Scale,
    /// Filters of table 3's random conv-net, where not the scale's.
    pub filters: Option<usize>,
    /// Where figures and tables go; runs lie in `runs/` below it.
    pub out: PathBuf,
}

impl Study {
    /// The study of data set `name` (`None`: the first one found, else the embedded one). Several names,
    /// separated by commas, give recipes that take one data set the first.
    ///
    /// Errors: those of [`data::choose`].
    pub fn new(name: Option<&str>, scale: Scale, out: impl Into<PathBuf>) -> Result<Study> {
        provenance::revision();
        let several = name.filter(|name| !Path::new(name).exists());
        let names: Vec<Option<&str>> = match several {
            Some(names) => names.split(',').map(|name| Some(name.trim())).collect(),
            None => vec![name],
        };
        let (mut found, mut named, mut why) = (Vec::new(), Vec::new(), Vec::new());
        for name in names {
            let (data, because) = data::choose(name)?;
            let name = name.unwrap_or(&data.name);
            let is_path = name.contains(std::path::MAIN_SEPARATOR) || name.starts_with('.');
            let folder = Path::new(name).canonicalize().ok().filter(|_| is_path);
            named.push(folder.map_or(name.to_string(), |path| path.to_string_lossy().into_owned()));
            why.push(because);
            found.push(data);
        }
        let more = found.split_off(1);
        let data = found.remove(0);
        Ok(Study {
            data,
            more,
            named: named.join(","),
            why: why.join("; "),
            scale,
            filters: None,
            out: out.into(),
        })
    }

    /// Every data set, in the order in which they were named.
    pub fn datasets(&self) -> Vec<&Dataset> {
        std::iter::once(&self.data).chain(&self.more).collect()
    }

    /// The study that the environment describes: `RETHINK_DATASET`, `RETHINK_SCALE` (`small` where
    /// unset) and `RETHINK_OUT` (where unset, the project's `figures` folder when the working folder
    /// is `notebooks`, else `figures`).
    ///
    /// Errors: those of [`Study::new`], [`crate::Error::Argument`] for an unknown scale.
    pub fn from_environment() -> Result<Study> {
        let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let scale = set(SCALE_VARIABLE).map_or(Ok(Scale::Small), |text| text.parse())?;
        let beside = Path::new("../figures");
        let out = match set(OUT_VARIABLE) {
            Some(out) => PathBuf::from(out),
            None if beside.is_dir() => beside.to_path_buf(),
            None => PathBuf::from("figures"),
        };
        let filters = set(FILTERS_VARIABLE).map(|text| {
            text.parse().map_err(|_| Error::argument("filters", format!("{text:?} is no number")))
        });
        let study = Study::new(set(DATASET_VARIABLE).as_deref(), scale, out)?;
        Ok(Study { filters: filters.transpose()?, ..study })
    }

    /// Where the runs lie.
    pub fn store(&self) -> Store {
        Store::new(self.out.join("runs"))
    }

    /// Figures and tables of this data set and scale: `OUT/DATA-SCALE` (`OUT/DATA+DATA-SCALE`), so that a
    /// reduced run never replaces a full one.
    pub fn folder(&self) -> PathBuf {
        let names: Vec<&str> = self.datasets().into_iter().map(|data| data.name.as_str()).collect();
        self.out.join(format!("{}-{}", names.join("+"), self.scale))
    }

    /// The data sets' names for people.
    pub fn title(&self) -> String {
        self.datasets().into_iter().map(|data| data.title.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The runs of recipe `id`: those in the store, and the others trained now, a line of progress
    /// every few seconds.
    ///
    /// Errors: [`crate::Error::Argument`] for an unknown recipe, or one that is made of measurements; those of
    /// [`Store::run`].
    pub fn runs(&self, id: &str) -> Result<Vec<Run>> {
        match self.results(recipe::find(id)?, &mut |line| println!("{line}"))? {
            Results::Runs(runs) => Ok(runs),
            Results::Measured(_) => {
                Err(Error::argument("runs", format!("{id} is made of measurements: `study.measurements`")))
            }
        }
    }

    /// The measurements of recipe `id`: those in the store, and the others made now, with lines of progress.
    ///
    /// Errors: [`crate::Error::Argument`] for an unknown recipe, or one that is made of training runs; those of
    /// [`Store::measure`].
    pub fn measurements(&self, id: &str) -> Result<Vec<Measured>> {
        match self.results(recipe::find(id)?, &mut |line| println!("{line}"))? {
            Results::Measured(measured) => Ok(measured),
            Results::Runs(_) => {
                Err(Error::argument("measurements", format!("{id} is made of training runs: `study.runs`")))
            }
        }
    }

    /// What `recipe` is made of: found in the store, or made now; `say` gets lines of progress.
    ///
    /// Errors: those of [`Store::run`] and [`Store::measure`].
    pub fn results(&self, recipe: &Recipe, say: &mut dyn FnMut(&str)) -> Result<Results> {
        Ok(match recipe.source {
            Source::Runs { runs, .. } => Results::Runs(self.train_all(&runs(&self.data, self.scale), say)?),
            Source::Measurements { plan, .. } => Results::Measured(self.measure_all(&plan(self), say)?),
        })
    }

    /// The figure or table of recipe `id`: its runs or measurements made or found, every format saved in
    /// [`Study::folder`], and the product returned for the cell to show.
    ///
    /// Errors: as for [`Study::results`], and those of drawing and saving.
    pub fn show(&self, id: &str) -> Result<Product> {
        let recipe = recipe::find(id)?;
        let results = self.results(recipe, &mut |line| println!("{line}"))?;
        let note = match &results {
            Results::Runs(runs) => self.note(runs),
            Results::Measured(measured) => self.measured_note(measured),
        };
        let product = recipe.make(&results, &note)?;
        product.save(&self.folder())?;
        Ok(product)
    }

    /// What is printed under a figure and recorded beside it.
    pub fn note(&self, runs: &[Run]) -> Note {
        Note { scale_line: self.scale_line(runs), provenance: self.provenance(runs) }
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
        let seeds = list(&|m| m.seed.to_string()).len();
        let plural = if seeds == 1 { "seed" } else { "seeds" };
        let measurements: Vec<_> = measured
            .iter()
            .map(|m| serde_json::json!({ "key": m.record.measurement.key(), "record": m.record }))
            .collect();
        Note {
            scale_line: format!("{titles}, n = {n}, {seeds} {plural}, scale {}", self.scale),
            provenance: serde_json::json!({
                "data": self.title(), "scale": self.scale, "measurements": measurements
            }),
        }
    }

    /// The paper's finding beside ours.
    ///
    /// Errors: as for [`Study::results`].
    pub fn verdict(&self, id: &str) -> Result<Verdict> {
        let recipe = recipe::find(id)?;
        recipe.verdict(&self.results(recipe, &mut |_| {})?)
    }

    /// Each of `measurements` from the store, or made now; `say` gets lines of progress.
    ///
    /// Errors: [`crate::Error::Argument`] for a measurement of data that this study lacks; those of [`Store::measure`].
    pub fn measure_all(
        &self,
        measurements: &[Measurement],
        say: &mut dyn FnMut(&str),
    ) -> Result<Vec<Measured>> {
        let store = self.store();
        let mut all = Vec::with_capacity(measurements.len());
        let mut found = 0;
        for (index, measurement) in measurements.iter().enumerate() {
            let place = format!("[{}/{}] {}", index + 1, measurements.len(), measurement.describe());
            let fingerprint = &measurement.data.fingerprint;
            let data = self.datasets().into_iter().find(|data| data.fingerprint == *fingerprint);
            let data = data.ok_or_else(|| {
                Error::argument("measure", format!("{} is not of this study", measurement.data.title))
            })?;
            let mut tell = |line: &str| say(&format!("{place}: {line}"));
            let (measured, new) = store.measure(measurement, data, self.scale, &mut tell)?;
            if new {
                say(&format!("{place}: {:.1} s", measured.record.seconds));
            } else {
                found += 1;
            }
            all.push(measured);
        }
        if found > 0 {
            say(&format!("{found} of {} measurements were in the store", measurements.len()));
        }
        Ok(all)
    }

    /// Each of `configs` from the store, or trained now; `say` gets lines of progress.
    ///
    /// Errors: those of [`Store::run`].
    pub fn train_all(&self, configs: &[RunConfig], say: &mut dyn FnMut(&str)) -> Result<Vec<Run>> {
        let store = self.store();
        let mut runs = Vec::with_capacity(configs.len());
        let mut found = 0;
        for (index, config) in configs.iter().enumerate() {
            let name = describe(config);
            let place = format!("[{}/{}]", index + 1, configs.len());
            let started = Instant::now();
            let (mut said, mut new) = (Instant::now(), true);
            let run = store.run(config, &self.data, self.scale, &mut |event| match event {
                Event::Found(_) => new = false,
                Event::Waiting => say(&format!("{place} {name}: another process is training it, waiting")),
                Event::Epoch(row) => {
                    if said.elapsed().as_secs() >= 5 {
                        said = Instant::now();
                        let per_epoch = started.elapsed().as_secs_f64() / f64::from(row.epoch);
                        let left = per_epoch * (config.hyper.epochs as f64 - f64::from(row.epoch));
                        say(&format!(
                            "{place} {name}: epoch {} of {}, loss {:.4}, train {:.1} %, at most {left:.0} s left",
                            row.epoch,
                            config.hyper.epochs,
                            row.loss,
                            100.0 * row.batch_accuracy
                        ));
                    }
                }
            })?;
            if new {
                say(&format!("{place} {}", summary(&run.record)));
            } else {
                found += 1;
            }
            runs.push(run);
        }
        if found > 0 {
            say(&format!("{found} of {} runs were in the store", configs.len()));
        }
        Ok(runs)
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
        let mut seeds: Vec<u64> = configs.iter().map(|c| c.seeds.init).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let plural = if seeds.len() == 1 { "seed" } else { "seeds" };
        format!(
            "{}, n = {}, width 1, at most {} epochs, {} {plural}, scale {}",
            self.data.title,
            range(&|c| c.data.train),
            range(&|c| c.hyper.epochs),
            seeds.len(),
            self.scale
        )
    }

    /// What is written beside a figure: the runs it is made from and where they come from.
    pub fn provenance(&self, runs: &[Run]) -> serde_json::Value {
        let runs: Vec<_> = runs
            .iter()
            .map(|r| serde_json::json!({ "key": r.record.config.key(), "record": r.record }))
            .collect();
        serde_json::json!({ "data": self.data.title, "scale": self.scale, "runs": runs })
    }
}

impl std::fmt::Display for Study {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reduced = if self.scale == Scale::Paper { "" } else { " (not the paper's)" };
        writeln!(f, "data:  {}", self.why)?;
        for data in self.datasets() {
            writeln!(f, "       {data:?}")?;
        }
        writeln!(f, "scale: {}{reduced}", self.scale)?;
        write!(f, "into:  {}", self.folder().display())
    }
}

/// A run in a few words: model, corruption, what is switched on.
pub fn describe(config: &RunConfig) -> String {
    let mut text = format!("{}, {}", config.model.title(), config.corruption.title());
    if config.hyper.random_crop {
        text += ", random crop";
    }
    if config.hyper.weight_decay > 0.0 {
        text += &format!(", weight decay {}", config.hyper.weight_decay);
    }
    text + &format!(", seed {}", config.seeds.init)
}

/// A finished run in a line.
pub fn summary(record: &Record) -> String {
    let percent = |v: Option<f64>| v.map_or("-".into(), |v| format!("{:.2} %", 100.0 * v));
    let ending = match record.ending {
        crate::train::Ending::Fitted => "fitted",
        crate::train::Ending::Completed => "completed",
        crate::train::Ending::Diverged => "diverged",
    };
    format!(
        "{}: {ending} at epoch {}, train {}, test {}, {:.1} s",
        describe(&record.config),
        record.epochs,
        percent(record.train_accuracy),
        percent(record.test_accuracy),
        record.seconds
    )
}

/// 50000 as "50,000".
pub fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(d);
    }
    out
}
