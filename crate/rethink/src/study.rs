//! What a notebook, or the command line, holds while it works: a data set, a scale, a store of runs
//! and the folder that figures go to.

use crate::claims::{self, Check};
use crate::data::corruption::Corruption;
use crate::data::format::DIGITS;
use crate::data::{Dataset, Places};
use crate::measure::{Measured, Measurement};
use crate::overrides::Overrides;
use crate::paper::{self, Parts, Product, Recipe, Results, Setting, Verdict};
use crate::run::appendix_a;
use crate::run::config::{RunConfig, Scale, Seeds};
use crate::run::history::Origin;
use crate::store::{Event, Record, Run, Store};
use crate::{Error, Result};
use rethink_nn::models::{ModelKind, plan};
pub use rethink_nn::text::thousands;
use rethink_plot::Note;
use rethink_plot::files;
use rethink_plot::tables::{Align, Table};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Names the data set of a notebook ([`crate::data::open`]).
pub const DATASET_VARIABLE: &str = "RETHINK_DATASET";
/// Names the scale of a notebook: `smoke`, `small` or `paper`.
pub const SCALE_VARIABLE: &str = "RETHINK_SCALE";
/// The folder for figures, tables and runs.
pub const OUT_VARIABLE: &str = "RETHINK_OUT";
/// Filters of table 3's random conv-net, where not the scale's.
pub const FILTERS_VARIABLE: &str = "RETHINK_FILTERS";

/// Values that replace the recipes' own ([`Overrides`]): `epochs=20,n=500`.
pub const SET_VARIABLE: &str = "RETHINK_SET";

/// How many repetitions with other seeds; unset, the recipe's own number.
pub const SEEDS_VARIABLE: &str = "RETHINK_SEEDS";

/// What the store has of a recipe.
#[derive(Clone, Debug)]
pub enum Stored {
    /// Everything.
    Whole(Results),
    /// Not everything.
    Part {
        /// What it lacks, each in a few words.
        missing: Vec<String>,
        /// How many runs or measurements the recipe is made of.
        of: usize,
    },
}

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
    /// How many repetitions with other seeds each run of a recipe has; `None`: as many as the recipe says.
    pub seeds: Option<u64>,
    /// Filters of table 3's random conv-net, where not the scale's.
    pub filters: Option<usize>,
    /// Values that replace the recipes' own in every training run ([`Study::set`]).
    pub overrides: Overrides,
    /// Where figures and tables go; runs lie in `runs/` below it.
    pub out: PathBuf,
}

impl Study {
    /// The study of data set `name` (`None`: the first one found, else the embedded one). Several names,
    /// separated by commas, give recipes that take one data set the first.
    ///
    /// Errors: those of [`crate::data::choose`].
    pub fn new(name: Option<&str>, scale: Scale, out: impl Into<PathBuf>) -> Result<Study> {
        let whole = |name: &&str| Path::new(name.strip_prefix("imagenet:").unwrap_or(name)).exists();
        let several = name.filter(|name| !whole(name));
        let names: Vec<Option<&str>> = match several {
            Some(names) => names.split(',').map(|name| Some(name.trim())).collect(),
            None => vec![name],
        };
        let (mut found, mut named, mut why) = (Vec::new(), Vec::new(), Vec::new());
        for name in names {
            let choice = Places::from_env().pick(name)?;
            named.push(choice.name(name));
            found.push(choice.read()?);
            why.push(choice.why);
        }
        let more = found.split_off(1);
        let data = found.remove(0);
        Ok(Study {
            data,
            more,
            named: named.join(","),
            why: why.join("; "),
            scale,
            seeds: None,
            filters: None,
            overrides: Overrides::default(),
            out: out.into(),
        })
    }

    /// The study of `data` as it is, one's own or a changed one. Scale, seeds, filters, replaced values and the folder
    /// `out` are those of `like`.
    pub fn of(data: Dataset, like: &Study) -> Study {
        Study {
            named: data.name.clone(),
            why: format!("{}, as given", data.title),
            data,
            more: Vec::new(),
            scale: like.scale,
            seeds: like.seeds,
            filters: like.filters,
            overrides: like.overrides.clone(),
            out: like.out.clone(),
        }
    }

    /// Appendix A's setting of `model` on this study's data at its scale: what a recipe starts from, to be changed at
    /// will (`RunConfig { width: 0.5, ..study.config(model, corruption) }`).
    pub fn config(&self, model: ModelKind, corruption: Corruption) -> RunConfig {
        appendix_a::setting(&self.data, self.scale, model, corruption, Seeds::default())
    }

    /// `configs` from the store, or trained now, a line of progress every few seconds.
    ///
    /// Errors: those of [`Store::run`].
    pub fn train(&self, configs: &[RunConfig]) -> Result<Vec<Run>> {
        self.train_all(configs, &mut |line| println!("{line}"))
    }

    /// The study with other values of what its recipes choose.
    ///
    /// Errors: [`Error::Argument`] where its data set has fewer images than they ask for.
    pub fn set(self, overrides: Overrides) -> Result<Study> {
        overrides.check(&self.data)?;
        Ok(Study { overrides, ..self })
    }

    /// What its recipes are run on.
    pub fn setting(&self) -> Setting<'_> {
        Setting {
            filters: self.filters,
            own: self.overrides.own(),
            levels: self.overrides.levels.clone(),
            datasets: self.datasets(),
            scale: self.scale,
        }
    }

    /// Every data set, in the order in which they were named.
    pub fn datasets(&self) -> Vec<&Dataset> {
        std::iter::once(&self.data).chain(&self.more).collect()
    }

    /// The study that the environment describes: `RETHINK_DATASET`, `RETHINK_SCALE` (`small` where
    /// unset), `RETHINK_SEEDS` (unset: the recipe's number), `RETHINK_SET` and `RETHINK_OUT` (where unset, the project's `figures` folder when the working folder
    /// is `notebooks`, else `figures`).
    ///
    /// Errors: those of [`Study::new`] and [`Study::set`], [`crate::Error::Argument`] for an unknown scale or value.
    pub fn from_environment() -> Result<Study> {
        quiet_panics();
        let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let scale = set(SCALE_VARIABLE).map_or(Ok(Scale::Small), |text| text.parse())?;
        let beside = Path::new("../figures");
        let out = match set(OUT_VARIABLE) {
            Some(out) => PathBuf::from(out),
            None if beside.is_dir() => beside.to_path_buf(),
            None => PathBuf::from("figures"),
        };
        let seeds = set(SEEDS_VARIABLE).map(|text| seeds(&text)).transpose()?;
        let filters = set(FILTERS_VARIABLE).map(|text| {
            text.parse().map_err(|_| Error::argument("filters", format!("{text:?} is no number")))
        });
        let study = Study::new(set(DATASET_VARIABLE).as_deref(), scale, out)?;
        let overrides = set(SET_VARIABLE).map_or(Ok(Overrides::default()), |text| text.parse())?;
        Study { seeds, filters: filters.transpose()?, ..study }.set(overrides)
    }

    /// Where the runs lie.
    pub fn store(&self) -> Store {
        Store::new(self.out.join("runs"))
    }

    /// Figures and tables of this data set and scale: `OUT/DATA-SCALE` (`OUT/DATA+DATA-SCALE`), so that a
    /// reduced run never replaces a full one; with other values than the recipes' these are named too
    /// (`OUT/DATA-SCALE,epochs=20`). Where that folder belongs to another data set of the same name, the fingerprint's first
    /// digits are in the name (`OUT/DATA-1a2b3c4d-SCALE`).
    pub fn folder(&self) -> PathBuf {
        let set = if self.overrides.is_empty() { String::new() } else { format!(",{}", self.overrides) };
        let named = |name: &dyn Fn(&Dataset) -> String| {
            let names: Vec<String> = self.datasets().into_iter().map(name).collect();
            self.out.join(format!("{}-{}{set}", names.join("+"), self.scale))
        };
        let short = named(&|data| data.name.clone());
        match owner(&short) {
            Some(owner) if !owner.iter().all(|f| self.fingerprints().contains(f)) => named(&|data| {
                format!("{}-{}", data.name, &data.fingerprint[..DIGITS.min(data.fingerprint.len())])
            }),
            _ => short,
        }
    }

    /// [`Study::folder`], made and marked as this data set's before anything is written there.
    ///
    /// Errors: I/O errors naming the folder.
    pub fn own_folder(&self) -> Result<PathBuf> {
        loop {
            let folder = self.folder();
            fs::create_dir_all(&folder).map_err(Error::io("create the folder", &folder))?;
            if owner(&folder).is_some() {
                return Ok(folder);
            }
            let text = serde_json::json!({ "data": self.title(), "fingerprints": self.fingerprints() });
            match files::write_new(&folder.join(OWNER), format!("{text}\n").as_bytes()) {
                // Another process has marked it since: look again whose it is.
                Err(rethink_plot::Error::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {
                    if owner(&folder).is_none() {
                        return Err(Error::format(
                            "read whose folder it is",
                            folder.join(OWNER),
                            "it does not say",
                        ));
                    }
                }
                marked => return Ok(marked.map(|()| folder)?),
            }
        }
    }

    fn fingerprints(&self) -> Vec<String> {
        self.datasets().into_iter().map(|data| data.fingerprint.clone()).collect()
    }

    /// The scale, and the values that are not the recipes': "smoke", "smoke, set epochs=20".
    pub fn scale_title(&self) -> String {
        match self.overrides.is_empty() {
            true => self.scale.to_string(),
            false => format!("{}, set {}", self.scale, self.overrides.to_string().replace(',', ", ")),
        }
    }

    /// The data sets' names for people.
    pub fn title(&self) -> String {
        self.datasets().into_iter().map(|data| data.title.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The runs that recipe `id` is made of, with the study's repetitions: the experiment, to be looked at, changed and
    /// trained by [`Study::train`].
    ///
    /// Errors: [`crate::Error::Argument`] for an unknown recipe, or one that is made of measurements.
    pub fn configs(&self, id: &str) -> Result<Vec<RunConfig>> {
        let recipe = paper::find(id)?;
        match recipe.source {
            Parts::Runs { .. } => Ok(self.configs_of(recipe)),
            Parts::Measurements { .. } => {
                Err(Error::argument("configs", format!("{id} is made of measurements: `study.measurements`")))
            }
        }
    }

    /// The measurements that recipe `id` is made of: the experiment, to be looked at, changed and measured by
    /// [`Study::measure`].
    ///
    /// Errors: [`crate::Error::Argument`] for an unknown recipe, or one that is made of training runs.
    pub fn plan(&self, id: &str) -> Result<Vec<Measurement>> {
        let recipe = paper::find(id)?;
        match recipe.source {
            Parts::Measurements { plan, .. } => Ok(plan(&self.setting())),
            Parts::Runs { .. } => {
                Err(Error::argument("plan", format!("{id} is made of training runs: `study.configs`")))
            }
        }
    }

    /// `plan` from the store, or measured now, with lines of progress.
    ///
    /// Errors: those of [`Study::measure_all`].
    pub fn measure(&self, plan: &[Measurement]) -> Result<Vec<Measured>> {
        self.measure_all(plan, &mut |line| println!("{line}"))
    }

    /// The figure or table of recipe `id`, of any `results`: its own, or those of a changed experiment. Nothing is saved.
    ///
    /// Errors: [`crate::Error::Argument`] for an unknown recipe, or results of the other kind; those of drawing.
    pub fn make(&self, id: &str, results: impl Into<Results>) -> Result<Product> {
        let results = results.into();
        paper::find(id)?.make(&results, &self.note_of(&results))
    }

    /// [`Study::make`], saved in every format in [`Study::folder`]: under the recipe's name where `results` are its own, else
    /// as `ID-changed`, so that a changed experiment is never taken for the paper's.
    ///
    /// Errors: those of [`Study::make`], and of saving.
    pub fn item(&self, id: &str, results: impl Into<Results>) -> Result<Product> {
        let results = results.into();
        let recipe = paper::find(id)?;
        let mut product = recipe.make(&results, &self.note_of(&results))?;
        if !self.is_own(recipe, &results) {
            product.rename(&format!("{id}-changed"));
        }
        product.save(&self.own_folder()?)?;
        Ok(product)
    }

    /// Whether `results` are what `recipe` is made of, no more and no less.
    fn is_own(&self, recipe: &Recipe, results: &Results) -> bool {
        let mut keys: Vec<String> = match results {
            Results::Runs(runs) => runs.iter().map(|run| run.record.config.key()).collect(),
            Results::Measured(all) => all.iter().map(|m| m.record.measurement.key()).collect(),
        };
        let mut own: Vec<String> = match recipe.source {
            Parts::Runs { .. } => self.configs_of(recipe).iter().map(RunConfig::key).collect(),
            Parts::Measurements { plan, .. } => plan(&self.setting()).iter().map(Measurement::key).collect(),
        };
        keys.sort();
        own.sort();
        keys == own
    }

    /// The paper's finding of recipe `id` beside that of `results`.
    ///
    /// Errors: [`crate::Error::Argument`] for an unknown recipe, or results of the other kind.
    pub fn finding(&self, id: &str, results: impl Into<Results>) -> Result<Table> {
        let verdict = paper::find(id)?.verdict(&results.into())?;
        self.findings(&[(id, verdict)])
    }

    fn findings(&self, all: &[(&str, Verdict)]) -> Result<Table> {
        let columns = [("item", Align::Left), ("the paper", Align::Left), ("ours", Align::Left)];
        let mut table = Table::new("verdicts", "The paper's findings and ours", &columns);
        for (id, Verdict { paper, ours }) in all {
            table.push(vec![id.to_string(), paper.clone(), ours.clone()])?;
        }
        table.notes = vec![format!("{}, scale {}", self.title(), self.scale_title())];
        Ok(table)
    }

    /// The claims named in `only`, checked over `results` alone. Claims are of runs in the recipes' own setting: of a changed
    /// experiment they say "not yet measured" wherever the change matters.
    ///
    /// Errors: [`Error::Argument`] for an unknown name.
    pub fn check(&self, results: impl Into<Results>, only: &[&str]) -> Result<Table> {
        let checks = match results.into() {
            Results::Runs(runs) => claims::check_named(&runs, &[], only)?,
            Results::Measured(measured) => claims::check_named(&[], &measured, only)?,
        };
        self.claims_table(&checks)
    }

    /// The runs that a recipe is made of, with the study's repetitions; none for one of measurements.
    pub fn configs_of(&self, recipe: &Recipe) -> Vec<RunConfig> {
        let mut configs = recipe.runs_in(&self.setting());
        configs.retain(|config| self.overrides.has(config.model));
        configs.iter_mut().for_each(|config| self.overrides.apply(config, &self.data));
        self.seeds.map_or(configs.clone(), |seeds| paper::with_seeds(&configs, seeds))
    }

    /// The runs of recipe `id`: those in the store, and the others trained now, a line of progress
    /// every few seconds.
    ///
    /// Errors: [`crate::Error::Argument`] for an unknown recipe, or one that is made of measurements; those of
    /// [`Store::run`].
    pub fn runs(&self, id: &str) -> Result<Vec<Run>> {
        match self.results(paper::find(id)?, &mut |line| println!("{line}"))? {
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
        match self.results(paper::find(id)?, &mut |line| println!("{line}"))? {
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
            Parts::Runs { .. } => Results::Runs(self.train_all(&self.configs_of(recipe), say)?),
            Parts::Measurements { plan, .. } => {
                Results::Measured(self.measure_all(&plan(&self.setting()), say)?)
            }
        })
    }

    /// The figure or table of recipe `id`: its runs or measurements made or found, every format saved in
    /// [`Study::folder`], and the product returned for the cell to show.
    ///
    /// Errors: as for [`Study::results`], and those of drawing and saving.
    pub fn show(&self, id: &str) -> Result<Product> {
        let recipe = paper::find(id)?;
        let results = self.results(recipe, &mut |line| println!("{line}"))?;
        let product = recipe.make(&results, &self.note_of(&results))?;
        product.save(&self.own_folder()?)?;
        Ok(product)
    }

    /// What `recipe` is made of, as far as the store has it; nothing is trained or measured.
    ///
    /// Errors: those of [`Store::get`] and [`Store::get_measured`].
    pub fn stored(&self, recipe: &Recipe) -> Result<Stored> {
        let store = self.store();
        store.warn_of_others()?;
        let (of, missing, results) = match recipe.source {
            Parts::Runs { .. } => {
                let configs = self.configs_of(recipe);
                let (mut runs, mut missing) = (Vec::new(), Vec::new());
                for config in &configs {
                    match store.get(config)? {
                        Some(run) => runs.push(run),
                        None => missing.push(describe(config)),
                    }
                }
                (configs.len(), missing, Results::Runs(runs))
            }
            Parts::Measurements { plan, .. } => {
                let measurements = plan(&self.setting());
                let (mut measured, mut missing) = (Vec::new(), Vec::new());
                for measurement in &measurements {
                    match store.get_measured(measurement)? {
                        Some(found) => measured.push(found),
                        None => missing.push(measurement.describe()),
                    }
                }
                (measurements.len(), missing, Results::Measured(measured))
            }
        };
        Ok(if missing.is_empty() { Stored::Whole(results) } else { Stored::Part { missing, of } })
    }

    /// The command that makes what the store lacks of recipe `id`.
    pub fn command_for(&self, id: &str) -> String {
        let mut command = format!("rethink sweep {id} --data {} --scale {}", shell(&self.named), self.scale);
        for (option, value) in [("seeds", self.seeds), ("filters", self.filters.map(|n| n as u64))] {
            command += &value.map_or(String::new(), |value| format!(" --{option} {value}"));
        }
        command + &format!(" --out {}", shell(&self.out.to_string_lossy()))
    }

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
        let mut scale_line = self.scale_line(runs);
        for sentence in paper::choices(runs) {
            scale_line += &format!(". {}", sentence.trim_end_matches('.'));
        }
        Note { scale_line, provenance: self.provenance(runs) }
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
        let recipe = paper::find(id)?;
        recipe.verdict(&self.results(recipe, &mut |_| {})?)
    }

    /// One line per recipe: the paper's finding, and ours.
    ///
    /// Errors: as for [`Study::results`].
    pub fn verdicts(&self, ids: &[&str]) -> Result<Table> {
        let verdicts: Result<Vec<_>> = ids.iter().map(|id| Ok((*id, self.verdict(id)?))).collect();
        self.findings(&verdicts?)
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
        store.warn_of_others()?;
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

    /// The claims named in `only` (all where empty), checked over the store's runs and measurements with this study's data
    /// sets and scale and as many images as this study's recipes take; of a study that replaces values ([`Study::set`]) over its own
    /// runs alone. Claims are of runs in the recipes' own setting: there they say "not yet measured" wherever the
    /// values matter.
    ///
    /// Errors: [`Error::Argument`] for an unknown name, those of [`Store::all`].
    pub fn claims(&self, only: &[&str]) -> Result<Vec<Check>> {
        let mut runs = self.store().all()?;
        runs.retain(|run| run.record.config.data.is_comparable());
        let own: Vec<RunConfig> = paper::ALL.iter().flat_map(|recipe| self.configs_of(recipe)).collect();
        // Runs of another number of images were made for another study.
        let sizes: HashSet<(usize, usize)> =
            own.iter().map(|config| (config.data.train, config.data.test)).collect();
        let keys: HashSet<String> = own.iter().map(RunConfig::key).collect();
        runs.retain(|run| {
            let (data, scale) = (&run.record.config.data, run.record.scale);
            data.fingerprint == self.data.fingerprint
                && scale == self.scale
                && sizes.contains(&(data.train, data.test))
                && (self.overrides.is_empty() || keys.contains(&run.record.config.key()))
        });
        let planned: Vec<Measurement> = paper::suiting(&self.data)
            .iter()
            .flat_map(|recipe| recipe.measurements(&self.setting()))
            .collect();
        let sizes: HashSet<(&str, usize, usize)> =
            planned.iter().map(|m| (m.data.fingerprint.as_str(), m.data.train, m.data.test)).collect();
        let mut measured = self.store().measurements()?;
        measured.retain(|measured| {
            let data = &measured.record.measurement.data;
            measured.record.scale == self.scale
                && sizes.contains(&(data.fingerprint.as_str(), data.train, data.test))
        });
        claims::check_named(&runs, &measured, only)
    }

    /// One line per check: the sentence, the verdict, the measured numbers and what is lacking.
    ///
    /// Errors: those of [`Table::push`].
    pub fn claims_table(&self, checks: &[Check]) -> Result<Table> {
        let columns = [("claim", Align::Left), ("the paper", Align::Left), ("verdict", Align::Left)];
        let columns = [&columns[..], &[("n", Align::Right), ("measured", Align::Left)]].concat();
        let mut table = Table::new("claims", "The paper's sentences as checks", &columns);
        for check in checks {
            let n = if check.n == 0 { "-".into() } else { thousands(check.n) };
            let lacking = check.lacking.iter().map(|text| format!("lacking: {text}"));
            let measured: Vec<String> = check.measured.iter().cloned().chain(lacking).collect();
            let (verdict, measured) = (check.verdict.title().into(), measured.join("; "));
            table.push(vec![check.id.into(), check.quote.into(), verdict, n, measured])?;
        }
        table.notes = vec![format!("{}, scale {}", self.data.title, self.scale_title())];
        Ok(table)
    }

    /// Each of `configs` from the store, or trained now; `say` gets lines of progress.
    ///
    /// Errors: those of [`Store::run`].
    pub fn train_all(&self, configs: &[RunConfig], say: &mut dyn FnMut(&str)) -> Result<Vec<Run>> {
        let store = self.store();
        store.warn_of_others()?;
        let mut runs = Vec::with_capacity(configs.len());
        let (mut found, mut elsewhere) = (0, 0);
        let mut forecast = Forecast::new(&store, configs);
        for (index, config) in configs.iter().enumerate() {
            let name = describe(config);
            let place = format!("[{}/{}]", index + 1, configs.len());
            let mut started: Option<(Instant, u32)> = None;
            let (mut said, mut new) = (Instant::now(), true);
            let run = store.run(config, &self.data, self.scale, &mut |event| match event {
                Event::Found(_) => new = false,
                Event::Waiting => say(&format!("{place} {name}: another process is training it, waiting")),
                Event::Taken(record) => {
                    (new, elsewhere) = (false, elsewhere + 1);
                    say(&format!("{place} {}; {}", summary(record), taken(record)));
                }
                Event::Begun(origin) => say(&format!("{place} {name}: {}", begun(origin))),
                Event::PassedOver(why) => say(&format!("{place} {name}: {why}")),
                Event::Epoch(row) => {
                    // The first epoch seen may be one in the middle, after a checkpoint, and pays for the start.
                    let (first, from) = *started.get_or_insert((Instant::now(), row.epoch));
                    if row.epoch > from {
                        let seconds = first.elapsed().as_secs_f64() / f64::from(row.epoch - from);
                        forecast.running(config, row.epoch, seconds);
                    }
                    if said.elapsed().as_secs() >= 5 {
                        said = Instant::now();
                        say(&format!(
                            "{place} {name}: epoch {} of {}, loss {:.4}, train {:.1} %{}",
                            row.epoch,
                            config.hyper.epochs,
                            row.loss,
                            100.0 * row.batch_accuracy,
                            forecast.left(&configs[index + 1..])
                        ));
                    }
                }
            })?;
            if new {
                forecast.finished(&run.record);
                let left = forecast.left(&configs[index + 1..]);
                say(&format!("{place} {}{left}", summary(&run.record)));
            } else {
                found += 1;
            }
            runs.push(run);
        }
        found -= elsewhere;
        if found > 0 {
            say(&format!("{found} of {} runs were in the store", configs.len()));
        }
        if elsewhere > 0 {
            say(&format!("{elsewhere} of {} runs were taken from other runs", configs.len()));
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
        // A model's runs may differ in n too; then the range is said.
        let alone =
            |a: &&RunConfig| configs.iter().all(|b| a.model != b.model || a.data.train == b.data.train);
        let n = match configs.iter().all(alone) && !configs.is_empty() {
            true => by_model(&configs, |c| c.data.train, |n| thousands(*n)),
            false => range(&|c| c.data.train),
        };
        let mut seeds: Vec<u64> = configs.iter().map(|c| c.seeds.init).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let plural = if seeds.len() == 1 { "seed" } else { "seeds" };
        format!(
            "{}, n = {}, width {}, at most {} epochs{}, {} {plural}, scale {}",
            self.data.title,
            n,
            by_model(&configs, |c| c.width, f64::to_string),
            range(&|c| c.hyper.epochs),
            ends(&configs),
            seeds.len(),
            self.scale_title()
        ) + &left_out(runs.iter().map(|run| &run.record))
    }

    /// What is written beside a figure: the runs it is made from and where they come from.
    pub fn provenance(&self, runs: &[Run]) -> serde_json::Value {
        let runs: Vec<_> = runs
            .iter()
            .map(|r| {
                let hyper = r.record.config.hyper.shown();
                serde_json::json!({ "key": r.record.config.key(), "hyper": hyper, "record": r.record })
            })
            .collect();
        let mut json = serde_json::json!({ "data": self.data.title, "scale": self.scale, "runs": runs });
        if !self.overrides.is_empty() {
            json["set"] = self.overrides.to_string().into();
        }
        json
    }
}

impl std::fmt::Display for Study {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reduced = if self.scale == Scale::Paper { "" } else { " (not the paper's)" };
        writeln!(f, "data:  {}", self.why)?;
        for data in self.datasets() {
            writeln!(f, "       {data:?}")?;
            if let Some(report) = data.photographs.as_ref().and_then(|photographs| photographs.report()) {
                writeln!(f, "       {report}")?;
            }
        }
        writeln!(f, "scale: {}{reduced}", self.scale)?;
        if !self.overrides.is_empty() {
            writeln!(f, "set:   {}", self.overrides)?;
        }
        write!(f, "into:  {}", self.folder().display())
    }
}

/// In a folder of figures, names the data sets that it belongs to.
const OWNER: &str = "data.json";

/// The fingerprints of the data sets that `folder` belongs to: as marked, or, in one from before there were marks, those of the runs that
/// its figures were made from. `None` where nothing says.
fn owner(folder: &Path) -> Option<Vec<String>> {
    let json =
        |path: &Path| -> Option<serde_json::Value> { serde_json::from_slice(&fs::read(path).ok()?).ok() };
    let texts = |value: &serde_json::Value| -> Option<Vec<String>> {
        value.as_array()?.iter().map(|text| text.as_str().map(String::from)).collect()
    };
    if let Some(marked) = json(&folder.join(OWNER)).as_ref().and_then(|mark| texts(&mark["fingerprints"])) {
        return Some(marked);
    }
    let mut found: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let Some(product) = json(&path) else { continue };
        for (list, what) in [("runs", "config"), ("measurements", "measurement")] {
            for one in product["provenance"][list].as_array().into_iter().flatten() {
                let fingerprint = one["record"][what]["data"]["fingerprint"].as_str();
                found.extend(fingerprint.filter(|f| !found.iter().any(|known| known == f)).map(String::from));
            }
        }
    }
    (!found.is_empty()).then_some(found)
}

/// In a cell, a panic is told by its message alone. evcxr asks for a backtrace of its own machinery with each, in the
/// environment of the process that runs the cells; nothing else reads that variable.
fn quiet_panics() {
    if std::env::var_os("EVCXR_IS_RUNTIME").is_some() {
        // SAFETY: the kernel runs one cell at a time, and this crate's threads do not look at the environment.
        unsafe { std::env::set_var("RUST_BACKTRACE", "0") };
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

/// Where a run was taken from.
pub fn taken(record: &Record) -> String {
    let Some(origin) = &record.origin else { return String::new() };
    let Origin { key, taken, epochs, .. } = origin;
    match taken == epochs {
        true => format!("taken from {key}, which has the same epochs: nothing to train"),
        false => {
            format!("taken from {key}, which went on (epochs 1 to {taken} of {epochs}): nothing to train")
        }
    }
}

/// Where the first epochs of a run come from.
pub fn begun(origin: &Origin) -> String {
    format!("epochs 1 to {} are taken from {}, which goes on", origin.taken, origin.key)
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

/// A number of repetitions: 1 to 1000.
///
/// Errors: [`crate::Error::Argument`].
pub fn seeds(text: &str) -> Result<u64> {
    let number = text.parse().ok().filter(|n| (1..=1000).contains(n));
    number.ok_or_else(|| Error::argument("number of seeds", format!("{text:?} is not in 1 to 1000")))
}

/// How long the rest of a sweep takes, from what has been trained: seconds a multiply-add, by model where one has
/// been seen, and the share of its epochs that a run takes.
struct Forecast {
    /// Runs that the store lacks, by key.
    missing: HashSet<String>,
    /// Seconds and multiply-adds of each model and width.
    rates: HashMap<(ModelKind, u64), (f64, f64)>,
    /// Epochs run and allowed.
    epochs: (f64, f64),
    /// Seconds left of the present run, if all its epochs are run.
    present: Option<f64>,
}

impl Forecast {
    fn new(store: &Store, configs: &[RunConfig]) -> Forecast {
        let keys = configs.iter().map(RunConfig::key);
        let missing = keys.filter(|key| !store.path(key).exists()).collect();
        Forecast { missing, rates: HashMap::new(), epochs: (0.0, 0.0), present: None }
    }

    fn work(config: &RunConfig) -> Option<f64> {
        let input = [config.input, config.input, 3];
        let layers = config.model.plan(input, 10, config.width).ok()?;
        // Three passes for a training image; tests are a part of it.
        Some(plan::work(&layers, input).ok()? as f64 * config.data.train as f64)
    }

    fn running(&mut self, config: &RunConfig, epoch: u32, seconds: f64) {
        let left = config.hyper.epochs as f64 - f64::from(epoch);
        self.present = Some(seconds * left);
        self.missing.remove(&config.key());
        if let Some(work) = Forecast::work(config) {
            self.rates.insert((config.model, config.width.to_bits()), (seconds, work));
        }
    }

    fn finished(&mut self, record: &Record) {
        self.present = None;
        self.missing.remove(&record.config.key());
        self.epochs.0 += f64::from(record.epochs);
        self.epochs.1 += record.config.hyper.epochs as f64;
        if let Some(work) = Forecast::work(&record.config) {
            let seconds = record.seconds / f64::from(record.epochs.max(1));
            self.rates.insert((record.config.model, record.config.width.to_bits()), (seconds, work));
        }
    }

    /// ", about 3 min left" of the present run and of those of `rest` that are missing; nothing while nothing has
    /// been measured.
    fn left(&self, rest: &[RunConfig]) -> String {
        let share = if self.epochs.1 > 0.0 { self.epochs.0 / self.epochs.1 } else { 1.0 };
        let (seconds, work) = self.rates.values().fold((0.0, 0.0), |sum, r| (sum.0 + r.0, sum.1 + r.1));
        if work == 0.0 {
            return String::new();
        }
        let mut seen = HashSet::new();
        let run = |config: &RunConfig| {
            let (seconds, work) =
                self.rates.get(&(config.model, config.width.to_bits())).copied().unwrap_or((seconds, work));
            Forecast::work(config)
                .map_or(0.0, |own| own * seconds / work * config.hyper.epochs as f64 * share)
        };
        let missing = rest.iter().filter(|c| self.missing.contains(&c.key()) && seen.insert(c.key()));
        let later: f64 = missing.map(run).sum();
        let all = self.present.unwrap_or(0.0) + later;
        if self.present.is_none() && later == 0.0 {
            return String::new();
        }
        let present = self.present.map_or(String::new(), |s| format!(", at most {} left", duration(s)));
        if later > 0.0 { format!("{present}, about {} for the whole sweep", duration(all)) } else { present }
    }
}

/// `text` as one word of a shell's command.
pub fn shell(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:,+=@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// "45 s", "12 min", "3.5 h".
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
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
        if !config.hyper.weight_decay_on.is_all() {
            text += &format!(" on {}", config.hyper.weight_decay_on.name());
        }
    }
    if !config.hyper.augment.is_off() {
        text += &format!(", {}", config.hyper.augment.describe());
    }
    if config.hyper.without_dropout {
        text += ", without dropout";
    }
    config.hyper.choices().iter().for_each(|choice| text += &format!(", {choice}"));
    if config.hyper.batch_size != config.model.batch_size() {
        text += &format!(", {} images a step", config.hyper.batch_size);
    }
    if config.width != 1.0 {
        text += &format!(", width {}", config.width);
    }
    if let Some(parallel) = config.parallel {
        text += &format!(", {}", parallel.describe());
    }
    text + &format!(", seed {}", config.seeds.init)
}

/// ", 3 files left out (2 training, 1 test)" of the runs' data set; of several, the most. Nothing where none was.
fn left_out<'a>(records: impl Iterator<Item = &'a Record>) -> String {
    let most = records.filter_map(|record| record.left_out).max_by_key(|left| left.train + left.test);
    most.map_or(String::new(), |left| format!(", {}", left.describe()))
}

/// A finished run in a line.
pub fn summary(record: &Record) -> String {
    let percent = |v: Option<f64>| v.map_or("-".into(), |v| format!("{:.2} %", 100.0 * v));
    format!(
        "{}: {} at epoch {}, train {}, test {}{}, {:.1} s",
        describe(&record.config),
        record.ended(),
        record.epochs,
        percent(record.train_accuracy),
        percent(record.test_accuracy),
        left_out([record].into_iter()),
        record.seconds
    )
}
