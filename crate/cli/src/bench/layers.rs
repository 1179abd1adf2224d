//! What part of the processor's peak each layer of a network reaches, in each of its three passes.

use crate::bench::{Sizes, median};
use crate::{Error, Result};
use rethink_nn::models::ModelKind;
use rethink_nn::models::plan::{Layer, products};
use rethink_nn::ops::layer_passes::{LayerPasses, Pass, peak};
use rethink_nn::precision::Precision;
use rethink_nn::text::counted;
use rethink_nn::threads;

const TURNS: usize = 7;

/// One layer, or all of a kind.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What comes in, the window, and what comes out; `all` of a kind.
    pub name: String,
    /// How it is computed.
    pub kind: &'static str,
    /// Multiplications and additions of one pass over the batch, as it is computed.
    pub work: f64,
    /// Of a forward pass, the input's gradient and the weights' gradient, medians.
    pub seconds: [f64; 3],
    /// The processor's peak, a second.
    pub peak: f64,
}

impl Measured {
    /// What part of the peak each pass reaches.
    pub fn of_peak(&self) -> [f64; 3] {
        self.seconds.map(|seconds| self.work / seconds / self.peak)
    }
}

/// Multiplications and additions of a training step, an image: of every product with both its gradients, but the input's gradient of
/// the first layer.
///
/// Errors: those of [`products`].
pub fn work(plan: &[Layer], input: [usize; 3]) -> Result<f64> {
    let all = products(plan, input)?;
    let first = all.first().map_or(0.0, |product| product.work(1));
    Ok(3.0 * all.iter().map(|product| product.work(1)).sum::<f64>() - first)
}

/// Measures the layers of `model`, and then all of each kind together. `say` gets a line of what is measured.
///
/// Errors: [`Error::Argument`] for a network whose layers are not products; those of [`Precision::check`].
pub fn measure(model: ModelKind, precision: Precision, say: &mut dyn FnMut(&str)) -> Result<Vec<Measured>> {
    precision.check()?;
    let Sizes { side, classes, batch, .. } = Sizes::of(model);
    let plan = model.plan([side, side, 3], classes.into(), 1.0)?;
    let threads = rayon::current_num_threads();
    let top = peak(threads, precision);
    say(&format!(
        "{model}, batch {batch}, {}, {precision}; peak {:.0} GFLOP/s",
        counted(threads, "thread"),
        top / 1e9
    ));
    let mut all: Vec<Measured> = Vec::new();
    for product in products(&plan, [side, side, 3])? {
        let mut passes = LayerPasses::new(product, batch, precision)?;
        let seconds = [Pass::Forward, Pass::InputGradient, Pass::WeightGradient].map(|pass| {
            threads::awake(|| {
                // The first is not counted: its memory is new.
                passes.run(pass);
                median((0..TURNS).map(|_| passes.run(pass)).collect())
            })
        });
        let (name, kind, work) = (product.to_string(), product.kind(), product.work(batch));
        all.push(Measured { name, kind, work, seconds, peak: top });
    }
    if all.is_empty() {
        return Err(Error::argument("benchmark", format!("{model} has no layer with products")));
    }
    let mut kinds: Vec<&str> = all.iter().map(|layer| layer.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let of_kind: Vec<&Measured> = all.iter().filter(|layer| layer.kind == kind).collect();
        let seconds = std::array::from_fn(|pass| of_kind.iter().map(|layer| layer.seconds[pass]).sum());
        let work = of_kind.iter().map(|layer| layer.work).sum();
        all.push(Measured { name: "all".into(), kind, work, seconds, peak: top });
    }
    Ok(all)
}
