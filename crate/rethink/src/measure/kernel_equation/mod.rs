//! A row of table 3: features of the images, their kernel, equation 3 solved on one-hot targets, and the error of
//! the largest output on test images.
//!
//! | module | what |
//! | --- | --- |
//! | `points` | the Gaussian kernel on pixels and on Gabor wavelets |
//! | `random_conv` | the random conv-net's equations |
//! | `dual` | the inner products of its features, by images |
//! | `held_out` | width and weight of l2, chosen on held-out images |
//! | `solutions` | what all share, and the frame |

mod dual;
mod held_out;
mod points;
mod random_conv;
mod solutions;

use crate::data::{DataId, Dataset};
use crate::measure::partial::PartialMeasurement;
use crate::{Error, Result};
use polars::prelude::*;
use rethink_nn::device::Device;
use rethink_nn::kernel_methods::dense::{Dense, Features, Purpose};
use rethink_nn::kernel_methods::gabor::Gabor;
use rethink_nn::kernel_methods::random_conv::RandomConv;
use rethink_nn::text::counted;
use serde::{Deserialize, Serialize};
use solutions::Problem;

pub use dual::{Dual, dual, dual_bytes};
pub use held_out::{CHOSEN_ON, FACTORS, RIDGES};
pub use points::gaussian_bytes;
pub use solutions::error;

const OPERATION: &str = "kernel equation";

/// What is done to the images before the kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preprocessing {
    /// Pixels, divided by 255.
    None,
    /// Gabor wavelets.
    Gabor(Gabor),
    /// The random conv-net; [`KernelEquation::on_features`] says which kernel its features have.
    RandomConv(RandomConv),
}

impl Preprocessing {
    /// As in the paper's table 3.
    pub fn title(&self) -> &'static str {
        match self {
            Preprocessing::None => "none",
            Preprocessing::Gabor(_) => "gabor filters",
            Preprocessing::RandomConv(_) => "random conv-net",
        }
    }
}

/// How wide the Gaussian kernel `exp(-gamma |x - y|^2)` is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Width {
    /// gamma itself.
    Gamma(f64),
    /// Of powers of 2 over the mean squared distance between training images, the one with the fewest errors on held-out
    /// ones; [`Choice`] says which powers.
    HeldOut,
}

/// The kernel of the conv-net's features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnConv {
    /// Inner products: the net's last layer is linear.
    #[default]
    Linear,
    /// `exp(-gamma |f(x) - f(y)|^2)`, as keystone-ml's `RandomPatchCifarKernel` has it. Squared distances come
    /// from the inner products.
    Gaussian,
}

/// How weight and width are chosen on held-out training images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// Of [`FACTORS`] (without l2) and [`RIDGES`], whose ends may be chosen, with all filters whatever the number of images.
    #[default]
    Fixed,
    /// On grids that grow until the best is inside ([`search`](rethink_nn::kernel_methods::choice::search)), for the solutions
    /// without and with l2 by themselves, with as many filters an image as the whole has.
    Inside,
}

/// What the kernel matrix, its factor and the outputs are computed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arithmetic {
    /// The matrix and its factor in float32, residuals and solution in float64. A matrix that is singular as float32 rounds it
    /// is solved with a part of its diagonal added: `floor`.
    #[default]
    Float32,
    /// All in float64, in twice the memory, on the processor: for the Gaussian kernel on pixels and wavelets.
    Float64,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What is solved. Part of a measurement's key: a new field is left out of the JSON where it has the value that all had before, names
/// and order stay ([`Measurement`](crate::measure::Measurement)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelEquation {
    /// Features.
    pub preprocessing: Preprocessing,
    /// Of the Gaussian kernel; not looked at where the kernel is linear.
    pub width: Width,
    /// Solve without l2 regularisation.
    pub plain: bool,
    /// Solve with l2, its weight chosen on held-out training images.
    pub ridge: bool,
    /// Of the conv-net's features.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_features: OnConv,
    /// Whether each of the conv-net's features is divided by its deviation over the training images; its mean over them is
    /// always taken away.
    #[serde(default, skip_serializing_if = "is_default")]
    pub standardised: bool,
    /// Of weight and width.
    #[serde(default, skip_serializing_if = "is_default")]
    pub choice: Choice,
    /// Of the solution.
    #[serde(default, skip_serializing_if = "is_default")]
    pub arithmetic: Arithmetic,
}

impl KernelEquation {
    /// On `preprocessing`, with the choices that were the only ones at first: inner products of the conv-net's features as they
    /// are, fixed grids.
    pub fn new(preprocessing: Preprocessing, width: Width, (plain, ridge): (bool, bool)) -> KernelEquation {
        KernelEquation {
            preprocessing,
            width,
            plain,
            ridge,
            on_features: OnConv::Linear,
            standardised: false,
            choice: Choice::Fixed,
            arithmetic: Arithmetic::Float32,
        }
    }

    /// Pre-processing and kernel: the paper's name where both are its table's.
    pub fn title(&self) -> String {
        match (&self.preprocessing, self.on_features) {
            (Preprocessing::RandomConv(_), OnConv::Linear) if self.standardised => {
                "linear last layer, standardised".into()
            }
            (Preprocessing::RandomConv(_), OnConv::Linear) => "linear last layer".into(),
            (Preprocessing::RandomConv(_), OnConv::Gaussian) if !self.standardised => {
                format!("{}, not standardised", self.preprocessing.title())
            }
            (preprocessing, _) => preprocessing.title().into(),
        }
    }

    /// In a few words.
    pub fn describe(&self) -> String {
        let mut text = format!("kernel equation, {}", self.title());
        if let Preprocessing::RandomConv(conv) = self.preprocessing {
            text += &format!(", {}", counted(conv.filters, "filter"));
        }
        text += match (self.plain, self.ridge) {
            (true, true) => ", without and with l2",
            (false, true) => ", l2",
            _ => "",
        };
        text + match self.arithmetic {
            Arithmetic::Float32 => "",
            Arithmetic::Float64 => ", in float64",
        }
    }

    /// Whether a GPU that is chosen is used, with `train` images of `shape`. Where the conv-net has fewer features than
    /// there are images, its linear equation is small enough for the processor.
    pub fn on_device(&self, shape: [usize; 3], train: usize) -> bool {
        match self.preprocessing {
            _ if self.arithmetic == Arithmetic::Float64 => false,
            Preprocessing::RandomConv(conv) if self.on_features == OnConv::Linear => {
                !random_conv::by_features(conv, shape, train)
            }
            _ => true,
        }
    }

    /// What is made of the conv-net's features.
    fn features(&self) -> Features {
        let purpose = match self.on_features {
            OnConv::Linear => Purpose::Linear,
            OnConv::Gaussian => Purpose::Gaussian,
        };
        Features { standardised: self.standardised, purpose }
    }
}

/// Solves `what` on the first images of `data`. One row per solution, the one without l2 first: `n`, `test`
/// (images), `dimensions` (features), `filters` (0 without a conv-net), `gamma` (NaN where the kernel is
/// linear), `ridge` (share of the mean diagonal, 0 for none), `unknowns` (rows of the system solved),
/// `train_error`, `test_error` (0 to 1), `norm` (of the solution, over all classes, in the kernel's space),
/// `residual` (relative), `steps`, `jitter`, `floor` (of [`Solution`](rethink_nn::kernel_methods::solve::Solution)), with
/// [`Choice::Inside`] `gamma_low`, `gamma_high`, `ridge_low`, `ridge_high` (ends of what was tried; NaN without a choice),
/// `seconds_features`, `seconds_matrix`, `seconds_factor`, `seconds_steps`.
/// With `unfinished`, the conv-net's matrix goes on from what a killed attempt left there. On a GPU that is chosen, in
/// float32 (see [`KernelEquation::on_device`]).
///
/// Errors: [`Error::Missing`] when memory will not do, before anything is spent; [`Error::Argument`] for settings
/// out of range; those of [`Device::dense`].
pub fn measure(
    what: &KernelEquation,
    data: &Dataset,
    id: &DataId,
    seed: u64,
    unfinished: Option<&mut PartialMeasurement>,
    say: &mut dyn FnMut(&str),
) -> Result<DataFrame> {
    let dense = if what.on_device(data.shape, id.train) { Device::current()?.dense()? } else { None };
    measure_on(dense.as_deref(), what, data, id, seed, unfinished, say)
}

/// [`measure`] on a device, or without one; there, the conv-net's matrix is made within minutes, and `unfinished` is left
/// alone.
///
/// Errors: those of [`measure`]; [`Error::Tensor`] for what the device says.
pub fn measure_on(
    dense: Option<&dyn Dense>,
    what: &KernelEquation,
    data: &Dataset,
    id: &DataId,
    seed: u64,
    unfinished: Option<&mut PartialMeasurement>,
    say: &mut dyn FnMut(&str),
) -> Result<DataFrame> {
    if !what.plain && !what.ridge {
        return Err(Error::argument(OPERATION, "neither without nor with l2: nothing to solve"));
    }
    if what.arithmetic == Arithmetic::Float64 && matches!(what.preprocessing, Preprocessing::RandomConv(_)) {
        let problem = "the random conv-net's equation is not solved in float64; Gaussian kernels on pixels and on Gabor \
                       wavelets are";
        return Err(Error::argument(OPERATION, problem));
    }
    let dense = dense.filter(|_| what.arithmetic == Arithmetic::Float32);
    let classes = data.classes.len();
    let mut targets = vec![0.0; id.train * classes];
    for (row, &label) in targets.chunks_exact_mut(classes).zip(&data.train.labels) {
        row[usize::from(label)] = 1.0;
    }
    let problem = Problem { dense, data, id, classes, targets };
    let rows = match (&what.preprocessing, what.on_features) {
        (Preprocessing::RandomConv(conv), OnConv::Linear) => {
            random_conv::linear(&problem, what, *conv, seed, unfinished, say)?
        }
        (Preprocessing::RandomConv(conv), OnConv::Gaussian) => {
            random_conv::gaussian_on_features(&problem, what, *conv, seed, unfinished, say)?
        }
        _ => points::gaussian(&problem, what, say)?,
    };
    solutions::frame(what.choice, id, rows)
}

/// Bytes of a square f32 matrix of `n` rows, by which the paper counts ("the kernel matrix requires 30GB" in f64).
pub fn square_bytes(n: usize) -> u64 {
    4 * (n as u64).pow(2)
}
