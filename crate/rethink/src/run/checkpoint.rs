//! Checkpoints, from which a killed run goes on as if it had never stopped, and the live log beside them.

use crate::data::photographs::LeftOut;
use crate::data::read_if_there;
use crate::run::history::{History, MOST_TEXT};
use crate::run::row::{LogRow, StopReason};
use crate::run::strict;
use crate::{Error, Result};
use rethink_nn::models::{Network, Parameter};
use rethink_nn::optim::Memory;
use rethink_nn::text::hex;
use rethink_plot::files;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Everything that a run carries from one epoch to the next, but for weights and velocities.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Whole epochs.
    pub epoch: u32,
    pub step: u32,
    pub seconds: f64,
    pub rows: Vec<LogRow>,
    pub ending: Option<StopReason>,
    /// Its sittings are empty in checkpoints from before they were recorded.
    #[serde(default)]
    pub history: History,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
    /// How far the next epoch has come, where training was interrupted within it. Its rows are among `rows`, its steps in `step`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<PartialEpoch>,
}

/// What the steps of an unfinished epoch have shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PartialEpoch {
    /// Batches that have had their turn.
    pub batches: usize,
    /// How many images were classified as labelled, each before its own update, and how many there were.
    pub correct: usize,
    pub seen: usize,
    /// The row that is not full.
    pub interval: Interval,
}

/// What an interval of steps has seen so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Interval {
    pub loss: f64,
    pub correct: usize,
    pub seen: usize,
    pub batches: usize,
}

impl Position {
    /// The rows of whole epochs.
    pub fn whole(&self) -> &[LogRow] {
        &self.rows[..self.rows.partition_point(|row| row.epoch <= self.epoch)]
    }
}

/// A run's unfinished state on disk: `checkpoint.safetensors`, whole or absent, and `log.csv`, to
/// which each epoch's rows are appended for whoever watches.
pub(crate) struct Checkpoint {
    folder: PathBuf,
    key: String,
}

/// What a checkpoint holds.
pub(crate) struct Found {
    pub parameters: Vec<Parameter>,
    pub velocity: Vec<Vec<f32>>,
    pub memory: Memory,
    pub position: Position,
}

impl Checkpoint {
    /// In `folder`, of the run named `key`.
    pub fn new(folder: PathBuf, key: String) -> Checkpoint {
        Checkpoint { folder, key }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many epochs it holds; 0 where there is no checkpoint.
    pub fn epoch(&self) -> Result<u32> {
        let found = self.read()?.map(|bytes| self.parse(&bytes)).transpose()?;
        Ok(found.map_or(0, |found| found.position.epoch))
    }

    /// When it was last written; `None` where there is none.
    pub fn written(&self) -> Option<SystemTime> {
        fs::metadata(self.path()).ok()?.modified().ok()
    }

    /// Writes `bytes`, a whole checkpoint, as this run's.
    pub fn keep(&self, bytes: &[u8]) -> Result<()> {
        Ok(files::write_whole(&self.path(), bytes)?)
    }

    /// The checkpoint in `bytes`, of another run at `position`, made this run's own, which goes on from it.
    pub fn adopt(&self, bytes: &[u8], position: Position, history: History) -> Result<Vec<u8>> {
        let failed = |e: safetensors::SafeTensorError| Error::argument("take the checkpoint", e.to_string());
        let (_, header) = safetensors::SafeTensors::read_metadata(bytes).map_err(failed)?;
        let file = safetensors::SafeTensors::deserialize(bytes).map_err(failed)?;
        let tensors = file.tensors();
        let mut metadata = header.metadata().clone().unwrap_or_default();
        let position = Position { ending: None, history, ..position };
        let position = serde_json::to_string(&position).expect("plain values are JSON");
        metadata.extend([("key".to_string(), self.key.clone()), ("position".to_string(), position)]);
        let parts = tensors.iter().map(|(name, view)| (name.as_str(), view.data()));
        metadata.insert(CHECKSUM.into(), checksum(&metadata, parts));
        safetensors::serialize(tensors, Some(metadata)).map_err(failed)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("checkpoint.safetensors")
    }

    pub fn save(&self, network: &dyn Network, at: &Position) -> Result<()> {
        let parameters = network.parameters()?;
        let velocity = network.velocity()?;
        let metadata = HashMap::from([
            ("key".to_string(), self.key.clone()),
            ("position".to_string(), serde_json::to_string(at).expect("plain values are JSON")),
        ]);
        write_tensors(&self.path(), &parameters, &velocity, &network.memory()?, metadata)
    }

    pub fn log(&self, at: &Position) -> Result<()> {
        let path = self.folder.join(LOG);
        let mut text = String::from(
            "step,epoch,loss,batch_accuracy,train_accuracy,test_accuracy,learning_rate,seconds\n",
        );
        let optional = |v: Option<f64>| v.map_or(String::new(), |v| v.to_string());
        for r in &at.rows {
            text += &format!(
                "{},{},{},{},{},{},{},{:.3}\n",
                r.step,
                r.epoch,
                r.loss,
                r.batch_accuracy,
                optional(r.train_accuracy),
                optional(r.test_accuracy),
                r.learning_rate,
                r.seconds
            );
        }
        // Rewritten whole: rows later than a checkpoint come again after a kill, never twice.
        Ok(files::write_whole(&path, text.as_bytes())?)
    }

    /// The last checkpoint; `None` where there is none.
    pub fn read(&self) -> Result<Option<Vec<u8>>> {
        let path = self.path();
        read_if_there(&path, "read the checkpoint", u64::MAX)
    }

    /// What a checkpoint holds.
    pub fn parse(&self, bytes: &[u8]) -> Result<Found> {
        let (operation, path) = ("read the checkpoint", self.path());
        let malformed = |problem: String| {
            let remedy = format!("{problem}; remove {} to start this run again", self.folder.display());
            Error::format(operation, &path, remedy)
        };
        let (_, header) =
            safetensors::SafeTensors::read_metadata(bytes).map_err(|e| malformed(e.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        if metadata.get("key") != Some(&self.key) {
            return Err(malformed("it belongs to another run".into()));
        }
        let position = metadata.get("position").map(String::as_str).unwrap_or_default();
        let position: Position = strict::from_json(position).map_err(malformed)?;
        let (parameters, velocity, memory) = checked_tensors(bytes, &metadata).map_err(malformed)?;
        Ok(Found { parameters, velocity, memory, position })
    }
}

/// The tensors in a safetensors file's `bytes`, whose checksum is the one in its `metadata`.
fn checked_tensors(bytes: &[u8], metadata: &HashMap<String, String>) -> std::result::Result<Tensors, String> {
    let file = safetensors::SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let tensors = file.tensors();
    let parts = tensors.iter().map(|(name, view)| (name.as_str(), view.data()));
    if metadata.get(CHECKSUM) != Some(&checksum(metadata, parts)) {
        return Err("its checksum is not that of what it holds: it has been damaged".into());
    }
    read_tensors(tensors)
}

/// A file of weights.
pub struct KeptWeights {
    /// Its metadata.
    pub about: HashMap<String, String>,
    /// The weights.
    pub parameters: Vec<Parameter>,
}

/// The file at `path` that [`write_tensors`] has written; `None` where there is none.
///
/// Errors: [`Error::Format`] for a file that is none, or is damaged; I/O errors naming it.
pub fn read_weights(path: &Path) -> Result<Option<KeptWeights>> {
    let operation = "read the weights";
    let Some(bytes) = read_if_there(path, operation, u64::MAX)? else { return Ok(None) };
    let malformed = |problem: String| {
        Error::format(operation, path, format!("{problem}; remove it to have the weights made again"))
    };
    let (_, header) =
        safetensors::SafeTensors::read_metadata(&bytes).map_err(|e| malformed(e.to_string()))?;
    let about = header.metadata().clone().unwrap_or_default();
    let (parameters, ..) = checked_tensors(&bytes, &about).map_err(malformed)?;
    Ok(Some(KeptWeights { about, parameters }))
}

/// The name of the live log in the folder of an unfinished run.
pub(crate) const LOG: &str = "log.csv";

/// The rows in the log of the unfinished run in `folder`; none where there is no log, or it is cut off. The log has no top-5
/// accuracies, and seconds to three decimals.
pub(crate) fn read_log(folder: &Path) -> Result<Vec<LogRow>> {
    let path = folder.join(LOG);
    let bytes = read_if_there(&path, "read the run's log", MOST_TEXT)?.unwrap_or_default();
    // What is no text is no row either.
    let text = String::from_utf8_lossy(&bytes);
    let optional = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let [step, epoch, loss, batch, train, test, rate, seconds] = cells[..] else { return None };
        Some(LogRow {
            step: step.parse().ok()?,
            epoch: epoch.parse().ok()?,
            loss: loss.parse().ok()?,
            batch_accuracy: batch.parse().ok()?,
            train_accuracy: optional(train)?,
            test_accuracy: optional(test)?,
            train_top5: None,
            test_top5: None,
            learning_rate: rate.parse().ok()?,
            seconds: seconds.parse().ok()?,
        })
    };
    let rows: Option<Vec<LogRow>> = text.lines().skip(1).map(row).collect();
    rows.ok_or_else(|| Error::format("read the run's log", &path, "a line does not have the log's columns"))
}

/// The name under which a file's metadata has the SHA-256 of its tensors and its other metadata.
const CHECKSUM: &str = "sha256";

/// SHA-256 of metadata and tensors, each with its name and length, in the order of the names.
fn checksum<'a>(
    metadata: &HashMap<String, String>,
    tensors: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> String {
    let mut parts: Vec<(&str, &[u8])> =
        metadata.iter().filter(|(k, _)| *k != CHECKSUM).map(|(k, v)| (k.as_str(), v.as_bytes())).collect();
    parts.sort_unstable();
    let mut tensors: Vec<(&str, &[u8])> = tensors.collect();
    tensors.sort_unstable_by_key(|(name, _)| *name);
    let mut hash = Sha256::new();
    for (name, bytes) in parts.into_iter().chain(tensors) {
        for part in [name.as_bytes(), bytes] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    hex(&hash.finalize())
}

/// Weights (and velocities, under `velocity.NAME`, mean squares, under `squares.NAME`, averages, under `average.NAME`) as
/// one safetensors file, whole or absent, with a checksum.
pub fn write_tensors(
    path: &Path,
    parameters: &[Parameter],
    velocity: &[Vec<f32>],
    memory: &Memory,
    mut metadata: HashMap<String, String>,
) -> Result<()> {
    let operation = "write the tensors";
    let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let mut tensors = Vec::new();
    for (index, p) in parameters.iter().enumerate() {
        // The number keeps the order ([`in_order`]); of more than three digits, names are in another one.
        tensors.push((format!("{index:03}.{}", p.name), p.shape.clone(), bytes(&p.values)));
        for (kind, all) in KINDS.iter().zip([velocity, &memory.squares, &memory.average]) {
            if let Some(v) = all.get(index).filter(|v| !v.is_empty()) {
                tensors.push((format!("{kind}.{index:03}.{}", p.name), p.shape.clone(), bytes(v)));
            }
        }
    }
    let parts = tensors.iter().map(|(name, _, data)| (name.as_str(), data.as_slice()));
    metadata.insert(CHECKSUM.into(), checksum(&metadata, parts));
    let views = tensors.iter().map(|(name, shape, data)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data);
        view.map(|view| (name.clone(), view))
    });
    let failed = |e: safetensors::SafeTensorError| Error::argument(operation, e.to_string());
    let views = views.collect::<std::result::Result<Vec<_>, _>>().map_err(failed)?;
    Ok(files::write_whole(path, &safetensors::serialize(views, Some(metadata)).map_err(failed)?)?)
}

/// Beginnings of the names of tensors that are no parameters but belong to one.
const KINDS: [&str; 3] = ["velocity", "squares", "average"];

/// Sorts tensors by the number at the beginning of their names, then by name: as text, 1000 comes before 101.
fn in_order<T>(tensors: &mut [(String, T)]) {
    let number = |name: &str| name.split_once('.').and_then(|(number, _)| number.parse::<usize>().ok());
    tensors.sort_by(|(a, _), (b, _)| (number(a), a).cmp(&(number(b), b)));
}

type Tensors = (Vec<Parameter>, Vec<Vec<f32>>, Memory);

fn read_tensors(
    tensors: Vec<(String, safetensors::tensor::TensorView)>,
) -> std::result::Result<Tensors, String> {
    let mut parameters = Vec::new();
    let mut others: [Vec<Vec<f32>>; 3] = Default::default();
    let kind = |name: &str| {
        let (first, rest) = name.split_once('.')?;
        Some((KINDS.iter().position(|kind| *kind == first)?, rest.to_string()))
    };
    let (mut rest, mut own): (Vec<_>, Vec<_>) =
        tensors.into_iter().partition(|(name, _)| kind(name).is_some());
    in_order(&mut own);
    in_order(&mut rest);
    for (name, view) in own.into_iter().chain(rest) {
        if view.dtype() != safetensors::Dtype::F32 {
            return Err(format!("tensor {name} is of type {:?}", view.dtype()));
        }
        let (chunks, _) = view.data().as_chunks::<4>();
        let values: Vec<f32> = chunks.iter().map(|b| f32::from_le_bytes(*b)).collect();
        if let Some((kind, rest)) = kind(&name) {
            // Numbered as the parameters are, which all have come before. Those that have none, as running statistics
            // have no velocity, keep an empty list.
            let index = rest.split_once('.').and_then(|(number, _)| number.parse().ok());
            others[kind].resize(parameters.len(), Vec::new());
            let slot = index.and_then(|i: usize| others[kind].get_mut(i));
            *slot.ok_or_else(|| format!("tensor {name} belongs to no parameter"))? = values;
        } else {
            let name = name.split_once('.').map_or(name.as_str(), |(_, rest)| rest).to_string();
            parameters.push(Parameter { name, shape: view.shape().to_vec(), values });
        }
    }
    let [velocity, squares, average] = others;
    Ok((parameters, velocity, Memory { squares, average, steps: 0 }))
}
