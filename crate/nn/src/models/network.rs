//! The one interface through which networks are trained, on the processor and elsewhere.

use crate::image::{AugmentedImage, Pixels};
use crate::models::plan::Layer;
use crate::ops::ForwardContext;
use crate::optim::{Memory, Rules, SgdStep};
use crate::{Error, Result};

/// What a step of training saw, before it changed the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepOutcome {
    /// Cross-entropy with the labels, smoothed where [`Rules::label_smoothing`] says so, averaged over the batch, in nats.
    pub loss: f32,
    /// How many of the batch were classified as labelled.
    pub correct: usize,
}

/// A named parameter tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Path in the model (`hidden.weight`).
    pub name: String,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Values.
    pub values: Vec<f32>,
}

impl Parameter {
    /// Whether gradients move it: a running statistic follows the batches instead.
    pub fn is_trained(&self) -> bool {
        !self.name.ends_with(".mean") && !self.name.ends_with(".variance")
    }
}

/// Whether all `values` are numbers, and none is infinite.
pub fn are_finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}

/// What training does to a tensor of [`Network::parameters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Moves against its gradient, and shrinks by weight decay where it is `decayed`.
    Trained {
        /// Weight decay acts on it.
        decayed: bool,
    },
    /// A running mean or variance.
    Statistic,
}

/// A network and its optimiser, whatever its layers are.
pub trait Network: Send + Sync {
    /// One step of the optimiser on a batch of `n` whitened images (`n x C x H x W`). `pass` is one of
    /// [`ForwardContext::training_step`].
    ///
    /// Errors: [`Error::Shape`] for a batch of another size, [`Error::Tensor`] for lack of memory.
    fn train_step(
        &mut self,
        images: Vec<f32>,
        labels: &[u16],
        step: SgdStep,
        pass: ForwardContext,
    ) -> Result<StepOutcome>;

    /// Keeps small images (of `shape`: channels, height, width) where the network computes, so that
    /// [`Network::train_views`] makes batches of them there; `false` where it does not: on the processor.
    ///
    /// Errors: [`Error::Tensor`] for lack of memory.
    fn keep(&mut self, _pixels: &Pixels, _shape: [usize; 3]) -> Result<bool> {
        Ok(false)
    }

    /// [`Network::train_step`] on images that it keeps.
    ///
    /// Errors: as for [`Network::train_step`]; [`Error::Argument`] where it keeps none, or not these.
    fn train_views(
        &mut self,
        _views: &[AugmentedImage],
        _labels: &[u16],
        _step: SgdStep,
        _pass: ForwardContext,
    ) -> Result<StepOutcome> {
        Err(Error::argument("training step", "this network keeps no images"))
    }

    /// The gradients of a batch, which change nothing: one a tensor of [`Network::parameters`], in the place of a running
    /// statistic what the batch had. A share of a batch gives its part of the sums.
    ///
    /// Errors: as for [`Network::train_step`].
    fn gradients(
        &mut self,
        images: Vec<f32>,
        labels: &[u16],
        pass: ForwardContext,
    ) -> Result<(StepOutcome, Vec<Vec<f32>>)>;

    /// Changes weights and running statistics by what [`Network::gradients`] gave.
    ///
    /// Errors: [`Error::Argument`] for gradients of another network.
    fn apply(&mut self, gradients: &[Vec<f32>], step: SgdStep) -> Result<()>;

    /// What each tensor of [`Network::parameters`] is.
    fn roles(&self) -> Vec<Role>;

    /// `n x classes` scores of `n` whitened images, by running statistics and without dropout.
    ///
    /// Errors: as for [`Network::train_step`].
    fn logits(&self, images: Vec<f32>) -> Result<Vec<f32>>;

    /// How many numbers are trained.
    fn parameter_count(&self) -> usize;

    /// Weights, biases, shifts and running statistics, in a fixed order.
    ///
    /// Errors: [`Error::Tensor`] where a device fails.
    fn parameters(&self) -> Result<Vec<Parameter>>;

    /// Whether all that [`Network::parameters`] gives, running statistics too, are numbers, and none is infinite; without
    /// a copy of them where they are in memory.
    ///
    /// Errors: as for [`Network::parameters`].
    fn is_finite(&self) -> Result<bool>;

    /// Replaces the parameters and the optimiser's velocities (in the same order, empty exactly for running
    /// statistics; none at all before the first step). After an error, some weights may be replaced and others not.
    ///
    /// Errors: [`Error::Argument`] where names or shapes are not those of this network.
    fn restore(&mut self, parameters: &[Parameter], velocity: Vec<Vec<f32>>) -> Result<()>;

    /// The optimiser's velocities, as [`Network::restore`] takes them.
    ///
    /// Errors: [`Error::Tensor`] where a device fails.
    fn velocity(&self) -> Result<Vec<Vec<f32>>>;

    /// What the optimiser remembers beside velocities.
    ///
    /// Errors: [`Error::Tensor`] where a device fails.
    fn memory(&self) -> Result<Memory>;

    /// Replaces it, after [`Network::restore`], which leaves it empty.
    ///
    /// Errors: [`Error::Argument`] where its sizes are not those of this network.
    fn remember(&mut self, memory: Memory) -> Result<()>;

    /// Exchanges weights and running statistics with their averages ([`Rules::average`]), to test with these; nothing
    /// without averages. To be called again before the next step.
    ///
    /// Errors: [`Error::Tensor`] where a device fails.
    fn exchange_average(&mut self) -> Result<()>;

    /// What holds for all steps from now; [`Rules::default`] at first.
    fn set_rules(&mut self, rules: Rules);

    /// What holds for all steps.
    fn rules(&self) -> Rules;

    /// The layers, and height, width and channels of the images.
    fn plan(&self) -> (&[Layer], [usize; 3]);
}

/// Whether velocities are those of `parameters`: none, or one each, empty or as long.
///
/// Errors: [`Error::Argument`].
pub(crate) fn check_velocity(parameters: &[Parameter], velocity: &[Vec<f32>]) -> Result<()> {
    check_sizes("restore the velocities", parameters, velocity)
}

/// Whether mean squares and averages are those of `parameters`, in the same way.
///
/// Errors: [`Error::Argument`].
pub(crate) fn check_memory(parameters: &[Parameter], memory: &Memory) -> Result<()> {
    check_sizes("restore the mean squares", parameters, &memory.squares)?;
    check_sizes("restore the averages", parameters, &memory.average)?;
    if memory.average.iter().any(Vec::is_empty) {
        return Err(Error::argument("restore the averages", "one of them is missing"));
    }
    Ok(())
}

fn check_sizes(operation: &'static str, parameters: &[Parameter], lists: &[Vec<f32>]) -> Result<()> {
    if lists.is_empty() {
        return Ok(());
    }
    if lists.len() != parameters.len() {
        let problem = format!("{} lists for {} tensors", lists.len(), parameters.len());
        return Err(Error::argument(operation, problem));
    }
    let fits = |list: &[f32], own: &Parameter| match list.len() {
        0 => !own.is_trained(),
        length => length == own.values.len(),
    };
    match lists.iter().zip(parameters).find(|(list, own)| !fits(list, own)) {
        None => Ok(()),
        Some((list, own)) => {
            let problem = format!("{} numbers for the {} of {}", list.len(), own.values.len(), own.name);
            Err(Error::argument(operation, problem))
        }
    }
}

/// How many rows of `n x classes` scores have their largest value at the label. A row with a NaN
/// counts as wrong; of equal scores the first wins.
pub fn count_correct<F: PartialOrd>(scores: &[F], labels: &[u16], classes: usize) -> usize {
    let rows = scores.chunks_exact(classes).zip(labels);
    rows.filter(|(row, label)| argmax(row) == Some(usize::from(**label))).count()
}

/// Where the largest of some numbers is, the first of equal ones; `None` where one is a NaN or there is none.
pub fn argmax<F: PartialOrd>(row: &[F]) -> Option<usize> {
    let mut best = 0;
    for (i, v) in row.iter().enumerate() {
        // Each with itself, too: a NaN is not comparable with anything.
        v.partial_cmp(v)?;
        if *v > row[best] {
            best = i;
        }
    }
    (!row.is_empty()).then_some(best)
}

/// How many rows of `n x classes` scores have fewer than `k` scores above the label's. A row with a NaN counts as
/// wrong.
pub fn count_top(k: usize, scores: &[f32], labels: &[u16], classes: usize) -> usize {
    let hit = |(row, &label): (&[f32], &u16)| {
        let own = row[usize::from(label)];
        !row.iter().any(|v| v.is_nan()) && row.iter().filter(|v| **v > own).count() < k
    };
    scores.chunks_exact(classes).zip(labels).filter(|pair| hit(*pair)).count()
}
