//! Empirical Rademacher complexity (equation 1) by training on random signs, and the bound that VC dimension gives.

use crate::data::DataId;
use crate::data::corruption::Corruption;
use crate::data::{Dataset, Split};
use crate::measure::complexity::{Class, columns};
use crate::measure::partial::{PartialMeasurement, each};
use crate::run::config::Seeds;
use crate::run::train::{Progress, train};
use crate::{Error, Result};
use polars::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rethink_nn::interrupt;
use rethink_nn::text::counted;

const OPERATION: &str = "Rademacher complexity";

/// The uniform bound on the generalisation gap by VC dimension (Vapnik 1998), with probability 0.95:
/// `sqrt((v (ln(2n / v) + 1) + ln(4 / 0.05)) / n)`, with `v` at most `n`: a class that shatters more than the sample is
/// bounded no better than one that shatters it. 1 or more says nothing.
pub fn vc_bound(vc_dimension: f64, n: usize) -> f64 {
    let n = n as f64;
    let v = vc_dimension.min(n);
    ((v * ((2.0 * n / v).ln() + 1.0) + (4.0f64 / 0.05).ln()) / n).sqrt()
}

/// Trains `class` on random signs of the first `id.train` images, `draws` times. One row per draw: `class` (text), `n`,
/// `draw`, `parameters`, `correlation` (`1/n sum sigma_i h(x_i)` of the trained `h`, -1 to 1: a lower bound of the
/// supremum), `epochs`, `vc_bound` (with as many dimensions as parameters).
///
/// Errors: those of [`train`] and of [`each`].
#[allow(clippy::too_many_arguments, reason = "they are the measurement's fields")]
pub(crate) fn measure(
    data: &Dataset,
    id: &DataId,
    class: Class,
    epochs: usize,
    draws: u64,
    seed: u64,
    unfinished: Option<&mut PartialMeasurement>,
    say: &mut dyn FnMut(&str),
) -> Result<DataFrame> {
    let n = id.train;
    let names = ["n", "draw", "parameters", "correlation", "epochs", "vc_bound"];
    let rows = each((draws as usize, names.len()), unfinished, say, |draw, say| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(draw as u64);
        let signs: Vec<u16> = (0..n).map(|_| rng.random_range(0..2)).collect();
        let image: usize = data.shape.iter().product();
        let of_signs = Dataset::new(
            data.name.clone(),
            format!("{}, random signs", data.title),
            vec!["-1".into(), "1".into()],
            data.shape,
            Split { images: data.train.images[..n * image].to_vec(), labels: signs },
            // Tested on nothing that matters: the labels have nothing to do with the images.
            Split { images: data.test.images[..image].to_vec(), labels: vec![0] },
        )?;
        let seeds = Seeds::repeat(draw as u64);
        let config = class.configure(&of_signs, (n, 1), Corruption::TrueLabels, epochs, seeds);
        let trained = train(&config, &of_signs, Progress::quiet(&mut |_| ()))?
            .ok_or_else(|| Error::argument(OPERATION, "left before its end"))?;
        interrupt::check(OPERATION)?;
        let last = trained.rows.last().ok_or_else(|| Error::argument(OPERATION, "a run without rows"))?;
        let accuracy = last
            .train_accuracy
            .ok_or_else(|| Error::argument(OPERATION, "a run without a training accuracy at its end"))?;
        say(&format!(
            "draw {} of {draws}: {:.3} after {}",
            draw + 1,
            2.0 * accuracy - 1.0,
            counted(last.epoch as usize, "epoch")
        ));
        Ok(vec![
            n as f64,
            draw as f64,
            trained.parameter_count as f64,
            2.0 * accuracy - 1.0,
            f64::from(last.epoch),
            vc_bound(trained.parameter_count as f64, n),
        ])
    })?;
    let mut all = vec![Column::new("class".into(), vec![class.title(); draws as usize])];
    all.extend(columns(&names, &rows));
    DataFrame::new(draws as usize, all).map_err(Error::frame(OPERATION))
}
