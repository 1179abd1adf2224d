//! What a notebook, or the command line, holds while it works: a data set, a scale, a store of runs
//! and the folder that figures go to.

mod experiment;
mod findings;
mod forecast;
pub mod note;
mod observe;
mod page;
mod predictions;
mod sweep;
mod words;

use crate::data::format::DIGITS;
use crate::data::{Dataset, Places};
use crate::overrides::Overrides;
use crate::paper::Setting;
use crate::run::config::Scale;
use crate::store::Store;
use crate::{Error, Result};
pub use experiment::Stored;
pub use observe::Inputs;
pub use predictions::mcnemar;
pub use rethink_nn::text::thousands;
use rethink_plot::files;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
pub use words::{begun, describe, duration, summary, switched_on, taken};

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
    /// Whether every run uses all images of the data set, where nothing else is set, and not as many as the scale says.
    pub whole: bool,
    /// Whether the data set is one that somebody made ([`Study::of`]): lines of progress name it.
    pub given: bool,
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
            whole: false,
            given: false,
            why: why.join("; "),
            scale,
            seeds: None,
            filters: None,
            overrides: Overrides::default(),
            out: out.into(),
        })
    }

    /// The study of `data`, one's own or a changed one. Scale, seeds, filters, replaced values and the folder `out` are those
    /// of `like`. A set with as many images as that of `like` is compared with it, so its runs use as many as those of `like`; any
    /// other set is used whole ([`Study::whole`]).
    pub fn of(data: Dataset, like: &Study) -> Study {
        let sizes = |data: &Dataset| (data.train.len(), data.test.len());
        let whole = sizes(&data) != sizes(&like.data);
        let extent = if whole { "used whole" } else { "used as far as the set that it is made of" };
        Study {
            named: data.name.clone(),
            why: format!("{}, as given, {extent}", data.title),
            whole,
            given: true,
            data,
            more: Vec::new(),
            scale: like.scale,
            seeds: like.seeds,
            filters: like.filters,
            overrides: like.overrides.clone(),
            out: like.out.clone(),
        }
    }

    /// The study that the environment describes: `RETHINK_DATASET`, `RETHINK_SCALE` (`small` where
    /// unset), `RETHINK_SEEDS` (unset: the recipe's number), `RETHINK_FILTERS` (unset: the scale's number), `RETHINK_SET` and
    /// `RETHINK_OUT` (where unset, the project's `figures` folder when the working folder is `notebooks`, else `figures`).
    ///
    /// Errors: those of [`Study::new`] and [`Study::set`], [`crate::Error::Argument`] for an unknown scale or value.
    pub fn from_environment() -> Result<Study> {
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
            Some(owner) if !owner.iter().any(|f| self.fingerprints().contains(f)) => named(&|data| {
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
                            "it does not say; remove it to mark the folder anew",
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

    /// The command that makes what the store lacks of recipe `id`.
    pub fn command_for(&self, id: &str) -> String {
        let mut command = format!("rethink sweep {id} --data {} --scale {}", shell(&self.named), self.scale);
        for (option, value) in [("seeds", self.seeds), ("filters", self.filters.map(|n| n as u64))] {
            command += &value.map_or(String::new(), |value| format!(" --{option} {value}"));
        }
        command + &format!(" --out {}", shell(&self.out.to_string_lossy()))
    }
}

impl std::fmt::Display for Study {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reduced = match self.scale {
            Scale::Paper => "",
            _ if self.whole => " (not the paper's): a run trains on all images of this set",
            _ => {
                " (not the paper's): a run trains on a part of the images; `config(...)` and figures say on how many"
            }
        };
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

/// A number of repetitions: 1 to 1000.
///
/// Errors: [`crate::Error::Argument`].
pub fn seeds(text: &str) -> Result<u64> {
    let number = text.parse().ok().filter(|n| (1..=1000).contains(n));
    number.ok_or_else(|| Error::argument("number of seeds", format!("{text:?} is not in 1 to 1000")))
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
