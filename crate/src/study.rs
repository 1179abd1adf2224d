//! What a notebook, or the command line, holds while it works: a data set, a scale, a store of runs
//! and the folder that figures go to.

use crate::Result;
use crate::config::{RunConfig, Scale};
use crate::data::{self, Dataset};
use crate::figures::Note;
use crate::provenance;
use crate::recipe::{self, Product, Verdict};
use crate::store::{Event, Record, Run, Store};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Names the data set of a notebook ([`data::open`]).
pub const DATASET_VARIABLE: &str = "RETHINK_DATASET";
/// Names the scale of a notebook: `smoke`, `small` or `paper`.
pub const SCALE_VARIABLE: &str = "RETHINK_SCALE";
/// The folder for figures, tables and runs.
pub const OUT_VARIABLE: &str = "RETHINK_OUT";

/// A data set, a scale, and where results go.
#[derive(Clone, Debug)]
pub struct Study {
    /// The data.
    pub data: Dataset,
    /// The name by which the data set is found again: what was asked for, made absolute where it is a
    /// folder, or the name of what was found.
    pub named: String,
    /// Why this data set, for the reader ("shapes10, since no other was named or found").
    pub why: String,
    /// How much is run.
    pub scale: Scale,
    /// Where figures and tables go; runs lie in `runs/` below it.
    pub out: PathBuf,
}

impl Study {
    /// The study of data set `name` (`None`: the first one found, else the embedded one).
    ///
    /// Errors: those of [`data::choose`].
    pub fn new(name: Option<&str>, scale: Scale, out: impl Into<PathBuf>) -> Result<Study> {
        provenance::revision();
        let (data, why) = data::choose(name)?;
        let named = name.unwrap_or(&data.name);
        let is_path = named.contains(std::path::MAIN_SEPARATOR) || named.starts_with('.');
        let folder = Path::new(named).canonicalize().ok().filter(|_| is_path);
        let named = folder.map_or(named.to_string(), |path| path.to_string_lossy().into_owned());
        Ok(Study { data, named, why, scale, out: out.into() })
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
        Study::new(set(DATASET_VARIABLE).as_deref(), scale, out)
    }

    /// Where the runs lie.
    pub fn store(&self) -> Store {
        Store::new(self.out.join("runs"))
    }

    /// Figures and tables of this data set and scale: `OUT/DATA-SCALE`, so that a reduced run never
    /// replaces a full one.
    pub fn folder(&self) -> PathBuf {
        self.out.join(format!("{}-{}", self.data.name, self.scale))
    }

    /// The runs of recipe `id`: those in the store, and the others trained now, a line of progress
    /// every few seconds.
    ///
    /// Errors: [`crate::Error::Argument`] for an unknown recipe; those of [`Store::run`].
    pub fn runs(&self, id: &str) -> Result<Vec<Run>> {
        let recipe = recipe::find(id)?;
        self.train_all(&(recipe.runs)(&self.data, self.scale), &mut |line| println!("{line}"))
    }

    /// The figure or table of recipe `id`: its runs trained or found, every format saved in
    /// [`Study::folder`], and the product returned for the cell to show.
    ///
    /// Errors: as for [`Study::runs`], and those of drawing and saving.
    pub fn show(&self, id: &str) -> Result<Product> {
        let recipe = recipe::find(id)?;
        let runs = self.runs(id)?;
        let product = (recipe.make)(&runs, &self.note(&runs))?;
        product.save(&self.folder())?;
        Ok(product)
    }

    /// What is printed under a figure and recorded beside it.
    pub fn note(&self, runs: &[Run]) -> Note {
        Note { scale_line: self.scale_line(runs), provenance: self.provenance(runs) }
    }

    /// The paper's finding beside ours.
    ///
    /// Errors: as for [`Study::runs`].
    pub fn verdict(&self, id: &str) -> Result<Verdict> {
        let recipe = recipe::find(id)?;
        let runs = self.train_all(&(recipe.runs)(&self.data, self.scale), &mut |_| {})?;
        Ok((recipe.verdict)(&runs))
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
        writeln!(f, "       {:?}", self.data)?;
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
    if !config.hyper.augment.is_off() {
        text += &format!(", {}", config.hyper.augment.describe());
    }
    if config.width != 1.0 {
        text += &format!(", width {}", config.width);
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
