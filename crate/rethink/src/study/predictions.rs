//! What trained networks say of each image: predictions of a run, and two runs on the same images beside each other.

use crate::run::checkpoint::{read_weights, write_tensors};
use crate::run::loader::{DataLoader, Subset, TestedImages};
use crate::run::row::StopReason;
use crate::run::setup;
use crate::run::train::{Observer, Progress, train};
use crate::store::{Run, digest};
use crate::study::{Study, describe, duration};
use crate::{Error, Result};
use polars::prelude::*;
use rethink_nn::device::Device;
use rethink_nn::models::{Network, Parameter, argmax};
use rethink_nn::optim::Memory;
use rethink_nn::threads;
use rethink_plot::frames::{column, with};
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Between two lines of progress.
const SAID: Duration = Duration::from_secs(5);

impl Study {
    /// The network of `run` after its training, ready for [`Network::logits`].
    ///
    /// A store keeps curves, no weights: the training is repeated, which takes as long as it took. It has to give the run's own numbers, bit
    /// for bit; the weights are then kept in the folder `weights` beside the runs, and read from there the next time.
    ///
    /// Errors: [`Error::Argument`] for a run on other data than this study's; [`Error::Different`] where the run was made on another
    /// device or by several processes, or its training gives other numbers now; [`Error::Interrupted`]; those of [`train`];
    /// I/O errors naming the file.
    pub fn network(&self, run: &Run) -> Result<Box<dyn Network>> {
        let config = &run.record.config;
        setup::check(config, &self.data)?;
        let weights = self.weights(run)?;
        let mut network = setup::network(config, &self.data)?;
        network.restore(&weights, Vec::new())?;
        Ok(network)
    }

    /// What the network of `run` says of each image that it was trained and tested on, in their order: a frame with the columns
    /// `set` ("train" or "test"), `image` (its number in the data set, u32), `label` (the data set's, u32), `trained_on` (the label after
    /// the run's corruption, u32; null for test images), `predicted` (u32), `probability` (of the predicted class, 0 to 1, f64) and `right`
    /// (whether it is `label`, which is not what a network on corrupted labels was asked for); of photographs also `file`, below the data
    /// set's folder. Images are as the network is tested on them, without random changes; files that are no photographs have
    /// no row.
    ///
    /// Errors: those of [`Study::network`] and of [`DataLoader::tested`].
    pub fn predictions(&self, run: &Run) -> Result<DataFrame> {
        let config = &run.record.config;
        let network = self.network(run)?;
        let loader = DataLoader::new(config, &self.data, config.data.train, config.data.test)?;
        let (mut said, mut files) = (Predictions::default(), Vec::new());
        let photographs = self.data.photographs.as_deref();
        threads::awake(|| -> Result<()> {
            for (subset, split) in [(Subset::Train, &self.data.train), (Subset::Test, &self.data.test)] {
                loader.tested(subset, &mut |tested| {
                    let path = |number: &u32| photographs?.path(subset.photograph(*number as usize));
                    let name = |number| path(number).map(|path| path.display().to_string());
                    files.extend(tested.numbers.iter().map(name));
                    said.add(network.as_ref(), subset, &split.labels, tested)
                })?;
            }
            Ok(())
        })?;
        let frame = said.frame()?;
        match photographs {
            Some(_) => Ok(with(&frame, Column::new("file".into(), files))?),
            None => Ok(frame),
        }
    }

    /// Where the weights of runs are kept that were asked for.
    fn weights_path(&self, key: &str) -> PathBuf {
        self.out.join("weights").join(format!("{key}.safetensors"))
    }

    fn weights(&self, run: &Run) -> Result<Vec<Parameter>> {
        let key = run.record.config.key();
        let path = self.weights_path(&key);
        if let Some(kept) = read_weights(&path)? {
            if kept.about.get("digest") == Some(&run.record.digest) {
                return Ok(kept.parameters);
            }
            let problem = "its weights are of another run; remove it to have them made again";
            return Err(Error::format("read the weights", &path, problem));
        }
        self.trained_again(run, "for its weights", &mut |_, _| Ok(()))
    }

    /// The weights at the end of `run`, by training again, which is seen by `observer` and said to be `what_for`; they are kept where that is possible.
    pub(super) fn trained_again(
        &self,
        run: &Run,
        what_for: &str,
        observer: &mut Observer,
    ) -> Result<Vec<Parameter>> {
        let (config, record) = (&run.record.config, &run.record);
        let name = describe(config);
        let refused = |what: String| {
            Err(Error::Different {
                what,
                remedy: "take a run that was made on this device by one process".into(),
            })
        };
        let device = Device::current()?.describe(config.hyper.precision)?;
        if record.ending == StopReason::Interrupted {
            return Err(Error::argument("weights", format!("{name} has not ended")));
        }
        if config.parallel.is_some() || device != record.provenance.device {
            let theirs =
                config.parallel.map_or(record.provenance.device.clone(), |parallel| parallel.describe());
            return refused(format!("{name} was trained on {theirs}, here is {device}"));
        }
        println!("{name}: trained again {what_for} ({} the first time)", duration(record.seconds));
        let mut said = Instant::now();
        let mut on_epoch = |row: &crate::run::row::LogRow| {
            if said.elapsed() >= SAID {
                said = Instant::now();
                println!("{name}: epoch {} of {}", row.epoch, record.epochs);
            }
        };
        let mut observer = |epoch: u32, network: &dyn Network| observer(epoch, network);
        let progress = Progress { observer: Some(&mut observer), ..Progress::quiet(&mut on_epoch) };
        let trained = train(config, &self.data, progress)?;
        let Some(trained) = trained.filter(|trained| trained.ending != StopReason::Interrupted) else {
            return Err(Error::Interrupted { what: format!("{name}: training again") });
        };
        if digest(&trained.rows) != record.digest {
            return refused(format!("{name}: its training gives other numbers now"));
        }
        self.keep(run, &trained.parameters);
        Ok(trained.parameters)
    }

    /// Keeps the weights of `run`, unless others are there. Says so where it cannot: what they were made for is not lost with them.
    fn keep(&self, run: &Run, weights: &[Parameter]) {
        let (key, digest) = (run.record.config.key(), run.record.digest.clone());
        let path = self.weights_path(&key);
        if path.exists() {
            return;
        }
        let about = HashMap::from([("key".into(), key), ("digest".into(), digest)]);
        if let Err(error) = write_tensors(&path, weights, &[], &Memory::default(), about) {
            rethink_plot::tell!("warning: the weights are not kept: {error}");
        }
    }
}

/// The columns of [`Study::predictions`].
#[derive(Default)]
struct Predictions {
    set: Vec<&'static str>,
    image: Vec<u32>,
    label: Vec<u32>,
    trained_on: Vec<Option<u32>>,
    predicted: Vec<Option<u32>>,
    probability: Vec<Option<f64>>,
    right: Vec<bool>,
}

impl Predictions {
    /// What `network` says of some images of `subset`, of which the data set has the `labels`.
    fn add(
        &mut self,
        network: &dyn Network,
        subset: Subset,
        labels: &[u16],
        tested: TestedImages,
    ) -> Result<()> {
        let scores = network.logits(tested.images.into_owned())?;
        let rows = scores.chunks_exact(scores.len() / tested.numbers.len());
        for ((number, trained_on), scores) in tested.numbers.iter().zip(&*tested.labels).zip(rows) {
            self.set.push(subset.name());
            self.image.push(*number);
            self.trained_on.push((subset == Subset::Train).then(|| u32::from(*trained_on)));
            self.push(u32::from(labels[*number as usize]), scores);
        }
        Ok(())
    }

    /// An image of which the network gives `scores`; none is the largest where one is no number.
    fn push(&mut self, label: u32, scores: &[f32]) {
        let best = argmax(scores);
        let sum = |best: f32| scores.iter().map(|score| f64::from(score - best).exp()).sum::<f64>();
        self.label.push(label);
        self.predicted.push(best.map(|best| best as u32));
        self.probability.push(best.map(|best| 1.0 / sum(scores[best])));
        self.right.push(best == Some(label as usize));
    }

    fn frame(self) -> Result<DataFrame> {
        let height = self.image.len();
        let columns = vec![
            Column::new("set".into(), self.set),
            Column::new("image".into(), self.image),
            Column::new("label".into(), self.label),
            Column::new("trained_on".into(), self.trained_on),
            Column::new("predicted".into(), self.predicted),
            Column::new("probability".into(), self.probability),
            Column::new("right".into(), self.right),
        ];
        DataFrame::new(height, columns).map_err(Error::frame("predictions"))
    }
}

/// McNemar's exact test of two [`Study::predictions`], on the test images: whether one network is right on more of them than the
/// other, beyond chance. A frame of one row: how many images both are right on (`both`), the first alone (`first`), the second alone
/// (`second`) and neither (`neither`), u32, and `p`, the probability (two-sided) of a division of `first` and `second` as uneven
/// or more uneven, if both networks were equally good (f64, 0 to 1). Two runs say nothing of other seeds.
///
/// Errors: [`Error::Frame`] for other frames, [`Error::Argument`] for frames of other images.
pub fn mcnemar(first: &DataFrame, second: &DataFrame) -> Result<DataFrame> {
    let (first, second) = (TestImages::of(first)?, TestImages::of(second)?);
    if first.labels != second.labels {
        return Err(Error::argument("McNemar's test", "the frames are of other test images"));
    }
    let mut counts = [[0u32; 2]; 2];
    for (a, b) in first.right.iter().zip(&second.right) {
        counts[usize::from(!a)][usize::from(!b)] += 1;
    }
    let [[both, first], [second, neither]] = counts;
    let columns = vec![
        Column::new("both".into(), [both]),
        Column::new("first".into(), [first]),
        Column::new("second".into(), [second]),
        Column::new("neither".into(), [neither]),
        Column::new("p".into(), [two_sided(first, second)]),
    ];
    DataFrame::new(1, columns).map_err(Error::frame("McNemar's test"))
}

/// The test images of a frame of predictions.
struct TestImages {
    labels: Vec<u32>,
    right: Vec<bool>,
}

impl TestImages {
    fn of(frame: &DataFrame) -> Result<TestImages> {
        let failed = |error| Error::frame("read the predictions")(error);
        let (set, label) = (column(frame, "set")?.str(), column(frame, "label")?.u32());
        let right = column(frame, "right")?.bool();
        let (set, label, right) = (set.map_err(failed)?, label.map_err(failed)?, right.map_err(failed)?);
        let test = set.iter().zip(label.iter().zip(right.iter())).filter(|(set, _)| *set == Some("test"));
        let (labels, right) =
            test.map(|(_, (label, right))| (label.unwrap_or(u32::MAX), right.unwrap_or(false))).unzip();
        Ok(TestImages { labels, right })
    }
}

/// The probability that of `a + b` throws of a coin one side comes up at most `min(a, b)` times.
fn two_sided(a: u32, b: u32) -> f64 {
    let n = a + b;
    // C(n, k) / 2^n from one k to the next, as logarithms: the first one of many is below what f64 holds.
    let mut ln = -f64::from(n) * std::f64::consts::LN_2;
    let mut one_sided = 0.0;
    for k in 0..=a.min(b) {
        one_sided += ln.exp();
        ln += (f64::from(n - k) / f64::from(k + 1)).ln();
    }
    f64::min(1.0, 2.0 * one_sided)
}
