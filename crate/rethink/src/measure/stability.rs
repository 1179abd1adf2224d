//! Uniform stability: how much a trained network's losses change when one training example is replaced.

use crate::data::DataId;
use crate::data::Dataset;
use crate::data::corruption::Corruption;
use crate::measure::complexity::{Class, columns};
use crate::measure::partial::{PartialMeasurement, each};
use crate::run::config::{RunConfig, Seeds};
use crate::run::train::{Progress, train};
use crate::{Error, Result};
use polars::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rethink_nn::image::{CROP, Pixels};
use rethink_nn::interrupt;
use rethink_nn::numbers::largest;
use rethink_nn::text::counted;

const OPERATION: &str = "uniform stability";

/// Cross-entropy, nats, and the predicted class of each of the first `m` test images after training `config`.
fn losses(config: &RunConfig, data: &Dataset, images: &[f32], m: usize) -> Result<Vec<(f64, usize)>> {
    let trained = train(config, data, Progress::quiet(&mut |_| ()))?
        .ok_or_else(|| Error::argument(OPERATION, "left before its end"))?;
    interrupt::check(OPERATION)?;
    let [channels, _, _] = data.shape;
    let (input, classes) = ([CROP, CROP, channels], data.classes.len());
    let hyper = &config.hyper;
    let mut network =
        config.model.build_for(input, classes, config.width_factor, hyper.init, config.seeds.init)?;
    network.set_rules(hyper.rules());
    network.restore(&trained.parameters, Vec::new())?;
    let scores = network.logits(images.to_vec())?;
    let loss = |(scores, &label): (&[f32], &u16)| {
        let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = scores.iter().map(|s| f64::from(s - highest).exp()).sum();
        let predicted = scores.iter().position(|s| *s == highest).unwrap_or(0);
        (sum.ln() - f64::from(scores[usize::from(label)] - highest), predicted)
    };
    Ok(scores.chunks_exact(classes).zip(&data.test.labels[..m]).map(loss).collect())
}

/// Trains `class` on the first `id.train` images for each of `epochs`, with `corruption`'s labels, then again with each
/// of `replaced` examples replaced by an image that was not among them, everything else (weights' and order's seeds)
/// equal. One row per example and number of epochs: `labels` (text), `epochs`, `example` (index), `largest_change` (of the
/// cross-entropy, over the test images, nats), `mean_change`, `changed` (share of test images that are classified
/// otherwise, 0 to 1).
///
/// Errors: [`Error::Argument`] where the data set has no further training image; those of [`train`] and of [`each`].
#[allow(clippy::too_many_arguments, reason = "they are the measurement's fields")]
pub(crate) fn measure(
    data: &Dataset,
    id: &DataId,
    class: Class,
    corruption: Corruption,
    epochs: &[usize],
    replaced: usize,
    seed: u64,
    unfinished: Option<&mut PartialMeasurement>,
    say: &mut dyn FnMut(&str),
) -> Result<DataFrame> {
    let (n, m) = (id.train, id.test);
    let image: usize = data.shape.iter().product();
    if data.train.len() <= n {
        let problem = format!("all {n} training images are used, none is left to replace one with");
        return Err(Error::argument(OPERATION, problem));
    }
    let images = Pixels::Bytes(data.test.images[..m * image].to_vec()).whitened_all(m, data.shape)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let draw = |_| (rng.random_range(0..n), rng.random_range(n..data.train.len()));
    let pairs: Vec<(usize, usize)> = (0..replaced).map(draw).collect();
    // The losses of the network that sees no replacement, for the number of epochs at hand.
    let mut whole = (0, Vec::new());
    let names = ["epochs", "example", "largest_change", "mean_change", "changed"];
    let rows = each((epochs.len() * replaced, names.len()), unfinished, say, |index, say| {
        let (epochs, number) = (epochs[index / replaced], index % replaced);
        let configure = |data: &Dataset| {
            let mut config = class.configure(data, (n, m), corruption, epochs, Seeds::repeat(0));
            config.hyper.keep_going();
            config
        };
        if whole.0 != epochs {
            whole = (epochs, losses(&configure(data), data, &images, m)?);
        }
        let (example, other) = pairs[number];
        let mut split = data.train.clone();
        split.images.copy_within(other * image..(other + 1) * image, example * image);
        split.labels[example] = split.labels[other];
        let changed = Dataset::changed_for(data, split, data.test.clone())?;
        let with = losses(&configure(&changed), &changed, &images, m)?;
        let changes: Vec<f64> = whole.1.iter().zip(&with).map(|(a, b)| (a.0 - b.0).abs()).collect();
        let otherwise = whole.1.iter().zip(&with).filter(|(a, b)| a.1 != b.1).count();
        say(&format!("{}, example {} of {replaced}", counted(epochs, "epoch"), number + 1));
        Ok(vec![
            epochs as f64,
            example as f64,
            largest(changes.iter().copied()),
            changes.iter().sum::<f64>() / m as f64,
            otherwise as f64 / m as f64,
        ])
    })?;
    let count = rows.len();
    let mut all = vec![Column::new("labels".into(), vec![corruption.title(); count])];
    all.extend(columns(&names, &rows));
    DataFrame::new(count, all).map_err(Error::frame(OPERATION))
}
