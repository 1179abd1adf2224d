//! An experiment of the study: what an item is made of, to be looked at, changed, trained or measured, and drawn.

use crate::data::corruption::Corruption;
use crate::data::samples;
use crate::live::Call;
use crate::measure::{self, Measured, Measurement};
use crate::overrides::Overrides;
use crate::paper::{self, Parts, Product, Recipe, Results};
use crate::run::appendix_a;
use crate::run::config::{RunConfig, Seeds};
use crate::run::row::StopReason;
use crate::store::Run;
use crate::study::Study;
use crate::study::page::Page;
use crate::study::words::describe;
use crate::{Error, Result};
use rethink_nn::interrupt;
use rethink_nn::models::ModelKind;
use rethink_nn::text::{counted, thousands};
use rethink_plot::{Drawing, Note};

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

impl Study {
    /// Appendix A's setting of `model` on this study's data at its scale: what a recipe starts from, to be changed at
    /// will (`RunConfig { width_factor: 0.5, ..study.config(model, corruption) }`).
    pub fn config(&self, model: ModelKind, corruption: Corruption) -> RunConfig {
        let mut config = appendix_a::config_at(&self.data, self.scale, model, corruption, Seeds::default());
        self.with_size(Overrides::default()).apply(&mut config, &self.data);
        config
    }

    /// `overrides`, and every image of a set that is used whole.
    fn with_size(&self, mut overrides: Overrides) -> Overrides {
        if self.whole {
            overrides.n.get_or_insert(self.data.train.len());
            overrides.test.get_or_insert(self.data.test.len());
        }
        overrides
    }

    /// The training images `indices` (from 0) as a run with `corruption` sees them, each with its label and, where it is another,
    /// the one that is trained on: the figure of [`samples::draw`], of the first seed, on as many images as [`Study::config`] takes.
    ///
    /// Errors: those of [`samples::draw`].
    pub fn samples(&self, corruption: Corruption, indices: &[usize]) -> Result<Drawing> {
        let config = self.config(ModelKind::Mlp1x512, corruption);
        let (data, seed) = (&config.data, config.seeds.data);
        let note = Note::new(&format!(
            "{}, {}, n = {}, seed {seed}",
            data.title,
            corruption.title(),
            thousands(data.train)
        ));
        samples::draw(&self.data, corruption, data.train, seed, indices, &note)
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
                Err(Error::argument("configs", format!("{id} is made of measurements: `study.plan`")))
            }
        }
    }

    /// The runs that a recipe is made of, with the study's repetitions; none for one of measurements.
    pub fn configs_of(&self, recipe: &Recipe) -> Vec<RunConfig> {
        let mut configs = recipe.runs_in(&self.setting());
        configs.retain(|config| self.overrides.has(config.model));
        let overrides = self.with_size(self.overrides.clone());
        configs.iter_mut().for_each(|config| overrides.apply(config, &self.data));
        self.seeds.map_or(configs.clone(), |seeds| paper::with_seeds(&configs, seeds))
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

    /// `configs` from the store, or trained now, with its progress. A notebook's interrupt ends it after the next step: it returns
    /// the runs as far as they came, those that were being trained with the ending "interrupted", and goes on from there when it is called again.
    ///
    /// What a cell trains after the interrupted call is not begun: those runs are left out.
    ///
    /// Errors: [`Error::Interrupted`] where there is nothing to return of the call that is interrupted; those of
    /// [`crate::store::Store::run`].
    pub fn train(&self, configs: &[RunConfig]) -> Result<Vec<Run>> {
        let say = &mut |line: &str| println!("{line}");
        let _call = Call::new();
        let after_an_interrupt = interrupt::is_wanted();
        let (runs, interrupted) = self.train_as_far(configs, say)?;
        if let Some(what) = interrupted {
            if runs.is_empty() && !after_an_interrupt {
                return Err(Error::Interrupted { what });
            }
            say(&what);
        }
        Ok(runs)
    }

    /// `plan` from the store, or measured now, with lines of progress.
    ///
    /// Errors: those of [`Study::measure_all`].
    pub fn measure(&self, plan: &[Measurement]) -> Result<Vec<Measured>> {
        self.measure_all(plan, &mut |line| println!("{line}"))
    }

    /// The runs of recipe `id`: those in the store, and the others trained now, a line of progress
    /// every few seconds.
    ///
    /// Errors: [`crate::Error::Argument`] for an unknown recipe, or one that is made of measurements; those of
    /// [`crate::store::Store::run`].
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
    /// [`crate::store::Store::measure`].
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
    /// Errors: those of [`crate::store::Store::run`] and [`crate::store::Store::measure`].
    pub fn results(&self, recipe: &Recipe, say: &mut dyn FnMut(&str)) -> Result<Results> {
        Ok(match recipe.source {
            Parts::Runs { .. } => Results::Runs(self.train_all(&self.configs_of(recipe), say)?),
            Parts::Measurements { plan, .. } => {
                Results::Measured(self.measure_all(&plan(&self.setting()), say)?)
            }
        })
    }

    /// What `recipe` is made of, as far as the store has it; nothing is trained or measured.
    ///
    /// Errors: those of [`crate::store::Store::get`] and [`crate::store::Store::get_measured`].
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
            Results::Runs(runs) if runs.iter().any(|run| run.record.ending == StopReason::Interrupted) => {
                return false;
            }
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

    /// Each of `measurements` from the store, or made now; `say` gets lines of progress.
    ///
    /// Errors: [`crate::Error::Argument`] for a measurement of data that this study lacks; those of [`crate::store::Store::measure`].
    pub fn measure_all(
        &self,
        measurements: &[Measurement],
        say: &mut dyn FnMut(&str),
    ) -> Result<Vec<Measured>> {
        let _call = Call::new();
        let page = Page::new();
        let page = page.as_ref();
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
            let mut tell = |line: &str| match page {
                Some(page) if measure::is_passing(line) => page.says(&place, line),
                _ => say(&format!("{place}: {line}")),
            };
            let (measured, new) = store.measure(measurement, data, self.scale, &mut tell)?;
            if new {
                say(&format!("{place}: {:.1} s", measured.record.seconds));
            } else {
                found += 1;
            }
            all.push(measured);
        }
        if found > 0 {
            let were = if found == 1 { "was" } else { "were" };
            say(&format!("{found} of {} {were} in the store", counted(measurements.len(), "measurement")));
        }
        Ok(all)
    }
}
