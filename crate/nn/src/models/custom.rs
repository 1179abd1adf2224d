//! A network of one's own: a name and a list of layers, in a notebook's cell or in a JSON file.
//!
//! The layers are part of a run's configuration and so of its key: a network that is changed under its old name gets
//! runs of its own. A file looks like this:
//!
//! ```json
//! {"name": "lenet", "layers": [
//!   {"conv": {"window": {"kernel": [5, 5], "stride": [1, 1], "padding": "same"}, "outputs": 6, "normalised": false}},
//!   {"max-pool": {"kernel": [2, 2], "stride": [2, 2], "padding": "valid"}},
//!   {"linear": {"outputs": 84, "activation": "relu"}},
//!   {"linear": {"outputs": 10, "activation": "none"}}
//! ]}
//! ```

use crate::models::description::{Description, Family, Layers};
use crate::models::initial::Init;
use crate::models::plan::{self, Layer, scaled};
use crate::ops::conv::Window;
use crate::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::HashMap;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Layers that an own network may have, those inside others included: a mistake in a generated file is told, where it
/// would take all memory.
pub const MOST_LAYERS: usize = 1_000;

/// How many times an own network's branches may lie inside one another ([`plan::depth`]). JSON is read down to 127 levels, and a
/// network that is trained has to be read again. Branches take three levels (an object, the list of branches, the list of
/// layers), and a layer four; around the layers are two in a network's own file, five in a run's record, and more where that
/// is part of another file. 32 leave room for 27 there.
pub const MOST_NESTED: usize = 32;

/// Starts with Alexnet's learning rate.
pub(super) fn describe(own: CustomModel) -> Description {
    Description {
        name: own.name(),
        title: own.name(),
        family: Family::Own,
        layers: Layers::Own(own.layers()),
        normalised: plan::is_normalised(own.layers()),
        learning_rate: 0.01,
        batch_size: 128,
        init: Init::Glorot,
        pytorch: None,
    }
}

/// A network of one's own. Equal where name and layers are.
#[derive(Clone, Copy)]
pub struct CustomModel(&'static Definition);

/// As it is in a file and in a run's configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    name: String,
    layers: Vec<Layer>,
}

impl CustomModel {
    /// The network `name` (letters, digits, `-`, `_` and `.`; no name of the paper's) of `layers`, of which the last
    /// one is a fully connected one with one unit per class and without activation.
    ///
    /// Errors: [`Error::Argument`] for another name, and for layers of which no network is made: more than
    /// [`MOST_LAYERS`], branches inside more than [`MOST_NESTED`] others, a last layer that gives no scores; and, with its number,
    /// for a layer without outputs or with too many, without branches, an auxiliary classifier, a probability that is none.
    pub fn new(name: &str, layers: Vec<Layer>) -> Result<CustomModel> {
        let failed = |problem: String| Error::argument("own network", problem);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 40 || !name.chars().all(plain) {
            return Err(failed(format!(
                "the name {name:?} (1 to 40 letters, digits, '-', '_' and '.' are allowed)"
            )));
        }
        if crate::models::ModelKind::ALL.iter().any(|kind| kind.name() == name) {
            return Err(failed(format!("{name:?} is the name of one of the paper's networks")));
        }
        let number = plan::number(&layers);
        if number > MOST_LAYERS {
            return Err(failed(format!("{name} has {number} layers; at most {MOST_LAYERS} are possible")));
        }
        let depth = plan::depth(&layers);
        if depth > MOST_NESTED {
            return Err(failed(format!(
                "{name} has branches {depth} deep inside one another; at most {MOST_NESTED} are possible"
            )));
        }
        if !matches!(layers.last(), Some(Layer::Linear { activation: crate::models::Activation::None, .. })) {
            return Err(failed(format!(
                "the last layer of {name} is no fully connected one without activation, which gives the scores"
            )));
        }
        check(&layers).map_err(|problem| failed(format!("{name}: {problem}")))?;
        Ok(CustomModel::kept(Definition { name: name.into(), layers }))
    }

    /// The network in the JSON file at `path`.
    ///
    /// Errors: [`Error::Io`]; [`Error::Format`] naming the file and the place; those of [`CustomModel::new`].
    pub fn read(path: &Path) -> Result<CustomModel> {
        let operation = "read the network";
        let text = fs::read_to_string(path).map_err(Error::io(operation, path))?;
        // Some editors write a byte order mark, which is no JSON.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let definition: Definition = serde_json::from_str(text).map_err(|e| {
            let mut problem = e.to_string();
            if problem.contains("recursion limit") {
                problem += &format!("; branches may lie at most {MOST_NESTED} deep inside one another");
            }
            Error::format(operation, path, problem)
        })?;
        CustomModel::new(&definition.name, definition.layers)
            .map_err(|e| Error::format(operation, path, e.to_string()))
    }

    /// Each distinct network is kept for the program's life, so that a model's kind stays a plain value.
    fn kept(definition: Definition) -> CustomModel {
        static KNOWN: Mutex<Option<HashMap<String, &'static Definition>>> = Mutex::new(None);
        let json = serde_json::to_string(&definition).expect("layers of plain values are JSON");
        let mut kept = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        CustomModel(
            kept.get_or_insert_default().entry(json).or_insert_with(|| Box::leak(Box::new(definition))),
        )
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        &self.0.name
    }

    /// Its layers.
    pub fn layers(self) -> &'static [Layer] {
        &self.0.layers
    }
}

/// The layers with `width` times as many channels and units in all but the last.
pub(super) fn plan(layers: &[Layer], width: f64) -> Vec<Layer> {
    let mut layers = layers.to_vec();
    let hidden = layers.len().saturating_sub(1);
    widen(&mut layers[..hidden], width);
    layers
}

fn widen(layers: &mut [Layer], width: f64) {
    for layer in layers {
        match layer {
            Layer::Conv { outputs, .. } | Layer::Linear { outputs, .. } => *outputs = scaled(*outputs, width),
            Layer::Branches(branches) => branches.iter_mut().for_each(|branch| widen(branch, width)),
            _ => (),
        }
    }
}

/// What the sizes do not tell ([`Layer::output`] checks those when the images are known). The error says of which layer it is.
fn check(layers: &[Layer]) -> std::result::Result<(), String> {
    for (number, layer) in (1..).zip(layers) {
        let here = |problem: String| format!("layer {number}: {problem}");
        if let Some(problem) = problem(layer) {
            return Err(here(problem));
        }
        if let Layer::Branches(branches) = layer {
            for (branch, layers) in (1..).zip(branches) {
                check(layers).map_err(|problem| here(format!("branch {branch}: {problem}")))?;
            }
        }
    }
    Ok(())
}

/// What is wrong with a layer by itself.
fn problem(layer: &Layer) -> Option<String> {
    const MOST_OUTPUTS: usize = 1 << 16;
    const MOST_PIXELS: usize = 1 << 10;
    if let Layer::Conv { window, .. } | Layer::MaxPool(window) | Layer::AvgPool(window) = layer {
        let Window { kernel, stride, .. } = window;
        if [kernel.0, kernel.1, stride.0, stride.1].iter().any(|side| !(1..=MOST_PIXELS).contains(side)) {
            return Some(format!("a window of {kernel:?} every {stride:?} pixels (1 to {MOST_PIXELS})"));
        }
    }
    match layer {
        // Before the width multiplies them: a wider or narrower layer has one output at least.
        Layer::Conv { outputs: 0, .. } => Some("a convolution of 0 outputs; at least 1 is needed".into()),
        Layer::Linear { outputs: 0, .. } => {
            Some("a fully connected layer of 0 outputs; at least 1 is needed".into())
        }
        Layer::Conv { outputs, .. } | Layer::Linear { outputs, .. } if *outputs > MOST_OUTPUTS => {
            Some(format!("{outputs} outputs of a layer; at most {MOST_OUTPUTS} are possible"))
        }
        Layer::Dropout(rate) if !(rate.keep_probability() > 0.0 && rate.keep_probability() <= 1.0) => {
            let dropped = rate.drop_probability();
            Some(format!("dropout with a drop probability of {dropped} (at least 0, below 1)"))
        }
        Layer::Branches(branches) if branches.is_empty() => Some("no branches".into()),
        Layer::Auxiliary(_) => Some("an auxiliary classifier, which own networks have not".into()),
        _ => None,
    }
}

impl std::fmt::Debug for CustomModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl PartialEq for CustomModel {
    fn eq(&self, other: &CustomModel) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for CustomModel {}

impl Hash for CustomModel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::hash(self.0, state);
    }
}

impl Serialize for CustomModel {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CustomModel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<CustomModel, D::Error> {
        let Definition { name, layers } = Definition::deserialize(deserializer)?;
        CustomModel::new(&name, layers).map_err(serde::de::Error::custom)
    }
}
