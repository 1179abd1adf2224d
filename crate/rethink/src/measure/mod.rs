//! What a measurement is: a computation that is no training run, every choice that can change its numbers,
//! and the key made of them. The store keeps it as it keeps runs.

pub mod complexity;
pub mod corollary1;
pub mod expressivity;
pub mod kernel_equation;
pub mod min_norm;
pub mod partial;
pub mod rademacher;
pub mod stability;
pub mod theorem1;

use crate::data::DataId;
use crate::data::Dataset;
use crate::data::corruption::Corruption;
use crate::measure::partial::PartialMeasurement;
use crate::run::config::Scale;
use crate::run::provenance::Provenance;
use crate::{Error, Result};
use complexity::Class;
use kernel_equation::KernelEquation;
use polars::prelude::*;
use polars_io::SerWriter;
use polars_io::prelude::CsvWriter;
use rethink_nn::device::Device;
use rethink_nn::text::{counted, hex, thousands};
use rethink_plot::frames::{column, find};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The present [`Measurement::schema`], part of every measurement's key: to be raised, and not to be raised, as
/// [`run::config::SCHEMA`](crate::run::config::SCHEMA).
pub const SCHEMA: u32 = 1;

/// A whole measurement. Equal ones give equal frames, the columns named `seconds...` apart.
///
/// **Published keys.** Its JSON is its key: what [`RunConfig`](crate::run::config::RunConfig) says of new fields and of names holds
/// here and in [`Quantity`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// [`SCHEMA`] of the code that made it.
    pub schema: u32,
    /// Data set, by content; its first `train` and `test` images are used.
    pub data: DataId,
    /// What is measured, with its parameters.
    pub what: Quantity,
    /// Of every draw.
    pub seed: u64,
}

/// What can be measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Quantity {
    /// Equation 3, a row or two of table 3.
    KernelEquation(KernelEquation),
    /// Theorem 1's network on random labels of the images.
    Theorem1,
    /// Corollary 1's network of this depth, likewise.
    Corollary1 {
        /// Layers of weights.
        depth: usize,
    },
    /// SGD of a linear model, and the solution of least norm.
    SgdPath {
        /// Passes over the data.
        epochs: usize,
    },
    /// Solutions that fit, of least norm and not.
    Interpolators,
    /// Equation 1, by training on random signs.
    Rademacher {
        /// Networks.
        class: Class,
        /// At most so many.
        epochs: usize,
        /// Of the signs.
        draws: u64,
    },
    /// Uniform stability, by replacing examples.
    Stability {
        /// Networks.
        class: Class,
        /// Of labels or images.
        corruption: Corruption,
        /// Each a training of its own.
        epochs: Vec<usize>,
        /// How many examples, one at a time.
        replaced: usize,
    },
}

impl Quantity {
    /// In a few words.
    pub fn title(&self) -> String {
        match self {
            Quantity::KernelEquation(what) => what.describe(),
            Quantity::Theorem1 => "theorem 1".to_string(),
            Quantity::Corollary1 { depth } => format!("corollary 1, depth {depth}"),
            Quantity::SgdPath { epochs } => format!("SGD of a linear model, {}", counted(*epochs, "epoch")),
            Quantity::Interpolators => "solutions that fit".to_string(),
            Quantity::Rademacher { class, draws, .. } => {
                format!("Rademacher complexity, {}, {}", class.title(), counted(*draws as usize, "draw"))
            }
            Quantity::Stability { class, corruption, replaced, .. } => {
                let examples = counted(*replaced, "example");
                format!("stability, {}, {}, {examples}", class.title(), corruption.title())
            }
        }
    }

    /// Its parameters, each as `name value`.
    pub fn parameters(&self) -> String {
        let json = serde_json::to_value(self).expect("plain values are JSON");
        let fields = json.as_object().into_iter().flatten().filter(|(name, _)| *name != "kind");
        fields.map(|(name, value)| format!("{name} {}", short(value))).collect::<Vec<_>>().join(", ")
    }
}

/// A value of JSON without quotes: the values of an object side by side.
fn short(value: &serde_json::Value) -> String {
    let list = |values: Vec<String>| values.join(" ");
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(values) => list(values.iter().map(short).collect()),
        serde_json::Value::Object(fields) => {
            list(fields.iter().map(|(name, value)| format!("{name} {}", short(value))).collect())
        }
        other => other.to_string(),
    }
}

impl Measurement {
    /// `what` on the first `train` and `test` images of `data` (all, where there are fewer).
    pub fn new(data: &Dataset, (train, test): (usize, usize), what: Quantity, seed: u64) -> Measurement {
        Measurement { schema: SCHEMA, data: data.id(train, test), what, seed }
    }

    /// Its name in the store: the first 16 hexadecimal digits of the SHA-256 of its JSON.
    pub fn key(&self) -> String {
        let keyed = Measurement { data: self.data.keyed(), ..self.clone() };
        let json = serde_json::to_vec(&keyed).expect("a measurement of plain values is JSON");
        hex(&Sha256::digest(&json)[..8])
    }

    /// What it is computed on: networks on the device that is chosen, and so the kernel equation in
    /// float32, but without [`Device::Cuda`]'s rounding of products; all else on the processor.
    ///
    /// Errors: those of [`Device::current`].
    pub fn device(&self, data: &Dataset) -> Result<Device> {
        Ok(match (&self.what, Device::current()?) {
            (Quantity::Rademacher { .. } | Quantity::Stability { .. }, device) => device,
            (Quantity::KernelEquation(what), device) if what.on_device(data.shape, self.data.train) => {
                device.exact()
            }
            _ => Device::Cpu,
        })
    }

    /// In a few words, without the data set.
    pub fn describe(&self) -> String {
        format!("{}, n = {}, seed {}", self.what.title(), thousands(self.data.train), self.seed)
    }

    /// Measures on `data`; `say` gets lines of progress. What takes long goes on from `unfinished`: the conv-net's matrix and the
    /// networks of complexity measures.
    ///
    /// Errors: [`Error::Argument`] where `data` is not the measurement's, and each quantity's own.
    pub fn measure(
        &self,
        data: &Dataset,
        unfinished: Option<&mut PartialMeasurement>,
        say: &mut dyn FnMut(&str),
    ) -> Result<DataFrame> {
        let operation = "measurement";
        data.pixels(operation)?;
        let DataId { train, test, .. } = self.data;
        if self.data.fingerprint != data.fingerprint {
            return Err(Error::argument(operation, format!("of {}, given {data:?}", self.data.title)));
        }
        if train == 0 || train > data.train.len() || test == 0 || test > data.test.len() {
            let problem = format!("{train} training and {test} test images of {data:?}");
            return Err(Error::argument(operation, problem));
        }
        match &self.what {
            Quantity::KernelEquation(what) => {
                kernel_equation::measure(what, data, &self.data, self.seed, unfinished, say)
            }
            Quantity::Theorem1 => theorem1::measure(data, train, self.seed),
            Quantity::Corollary1 { depth } => corollary1::measure(data, train, *depth, self.seed),
            Quantity::SgdPath { epochs } => min_norm::sgd_path(data, train, *epochs, self.seed),
            Quantity::Interpolators => min_norm::interpolators(data, train, test, self.seed),
            Quantity::Rademacher { class, epochs, draws } => {
                rademacher::measure(data, &self.data, *class, *epochs, *draws, self.seed, unfinished, say)
            }
            Quantity::Stability { class, corruption, epochs, replaced } => {
                let what = (*class, *corruption);
                let seed = self.seed;
                stability::measure(data, &self.data, what.0, what.1, epochs, *replaced, seed, unfinished, say)
            }
        }
    }
}

/// Whether a line of progress is out of date with the next one: how far something has come.
pub fn is_passing(line: &str) -> bool {
    line.ends_with(" left") || line.contains(" of conjugate gradients, residual ")
}

/// What is known of a finished measurement beside its frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuredRecord {
    /// What was measured.
    pub measurement: Measurement,
    /// The scale it was made for. Not part of the key.
    pub scale: Scale,
    /// Seconds it took, those of killed attempts that it went on from included.
    pub seconds: f64,
    /// SHA-256 of the frame without its columns named `seconds...`: equal for equal measurements.
    pub digest: String,
    /// Code, libraries, machine.
    pub provenance: Provenance,
}

/// A finished measurement.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What is known of it.
    pub record: MeasuredRecord,
    /// Its numbers; each quantity's module says which columns.
    pub frame: DataFrame,
}

impl Measured {
    /// The column `name`, in any cell: see [`frames`](rethink_plot::frames).
    ///
    /// Errors: [`Error::Frame`] for an absent column.
    pub fn column(&self, name: &str) -> Result<&Column> {
        Ok(column(&self.frame, name)?)
    }

    /// The only or first value of column `name`.
    ///
    /// Errors: [`Error::Frame`] for an absent column, [`Error::Argument`] where it has no number.
    pub fn number(&self, name: &str) -> Result<f64> {
        let operation = "read the measurement";
        let column = find(&self.frame, name).map_err(Error::frame(operation))?;
        let column = column.cast(&DataType::Float64).map_err(Error::frame(operation))?;
        let values = column.f64().map_err(Error::frame(operation))?;
        values.get(0).ok_or_else(|| Error::argument(operation, format!("column {name} has no number")))
    }
}

/// The frames of `measured`, one below the other.
///
/// Errors: [`Error::Argument`] for none, [`Error::Frame`] where their columns differ.
pub fn stack(measured: &[Measured]) -> Result<DataFrame> {
    let operation = "join the measurements";
    let mut frames = measured.iter().map(|m| &m.frame);
    let mut whole = frames.next().ok_or_else(|| Error::argument(operation, "there are none"))?.clone();
    for frame in frames {
        whole.vstack_mut(frame).map_err(Error::frame(operation))?;
    }
    Ok(whole)
}

/// SHA-256 of everything in `frame` but columns named `seconds...`.
///
/// Errors: [`Error::Frame`].
pub fn digest(frame: &DataFrame) -> Result<String> {
    let operation = "digest the measurement";
    let timed = frame.get_column_names().into_iter().filter(|name| name.starts_with("seconds"));
    let mut frame = frame.drop_many(timed.cloned());
    let mut text = Vec::new();
    // Numbers are written with as many digits as tell them from all others.
    CsvWriter::new(&mut text).finish(&mut frame).map_err(Error::frame(operation))?;
    Ok(hex(&Sha256::digest(&text)))
}

/// A frame of one row of numbers.
pub(crate) fn row(operation: &'static str, numbers: &[(&str, f64)]) -> Result<DataFrame> {
    let columns = numbers.iter().map(|(name, value)| Column::new((*name).into(), vec![*value]));
    DataFrame::new(1, columns.collect()).map_err(Error::frame(operation))
}
