//! The way of a batch through a network's layers, which is the same wherever it is computed: in which order layers and
//! weights come, who needs no gradient, how branches share their input, and where the auxiliary classifier is.

use crate::models::plan::{Layer, count};
use crate::ops::activation::Activation;
use crate::ops::conv::Window;
use crate::ops::linear::InputGradient;
use crate::{Error, Result};

/// What the layers compute, on the processor or on a card. `T` is the tape that notes it for the backward pass.
pub(crate) trait LayerOps<T> {
    /// A batch between two layers, with the tape.
    type Batch;
    /// A batch without a tape, which several branches see.
    type Shared;
    /// What a branch gives to the concatenation.
    type Part;
    /// A batch's scores without a tape.
    type Scores;

    /// Whether this is a step of training.
    fn training(&self) -> bool;
    /// The network's convolution `index`, then ReLU; between them batch normalisation, or a bias where not `normalised`.
    fn conv(
        &mut self,
        x: Self::Batch,
        index: usize,
        window: Window,
        normalised: bool,
        input_gradient: InputGradient,
    ) -> Result<Self::Batch>;
    /// The network's fully connected layer `index`.
    fn linear(
        &mut self,
        x: Self::Batch,
        index: usize,
        activation: Activation,
        input_gradient: InputGradient,
    ) -> Result<Self::Batch>;
    fn max_pool(&mut self, x: Self::Batch, window: Window) -> Result<Self::Batch>;
    fn avg_pool(&mut self, x: Self::Batch, window: Window) -> Result<Self::Batch>;
    fn global_avg_pool(&mut self, x: Self::Batch) -> Result<Self::Batch>;
    fn local_response_norm(&mut self, x: Self::Batch) -> Result<Self::Batch>;
    fn dropout(&mut self, x: Self::Batch, keep_probability: f32) -> Result<Self::Batch>;
    /// A batch of images apart from its tape.
    fn split(&mut self, x: Self::Batch) -> Result<(Self::Shared, T)>;
    /// What [`LayerOps::split`] took apart.
    fn join(&mut self, x: &Self::Shared, tape: T) -> Self::Batch;
    /// Before the branches of `x` are gone through.
    fn begin(&mut self, _x: &Self::Shared, _branches: &[Vec<Layer>]) -> Result<()> {
        Ok(())
    }
    /// The next layer is a convolution or a pooling, and the last of branch `index`: what it gives may be put where the
    /// concatenation wants it.
    fn end(&mut self, _index: usize) {}
    /// What a branch has made, apart from its tape; the concatenation gives it its gradient as `gradient` says.
    fn part(&mut self, x: Self::Batch, gradient: InputGradient) -> Result<(Self::Part, T)>;
    /// The channels of all `parts` side by side.
    fn concat(&mut self, parts: Vec<Self::Part>, tape: T) -> Result<Self::Batch>;
    /// A row of scores an image, apart from the tape.
    fn scores(&mut self, x: Self::Batch) -> Result<(Self::Scores, T)>;
}

/// What a pass through the layers gives.
pub(crate) struct PassResult<S, T> {
    pub scores: S,
    /// Of everything that was computed.
    pub tape: T,
    /// The auxiliary classifier's scores, in training.
    pub auxiliary: Option<S>,
}

/// Takes a batch through all layers of `plan`.
///
/// Errors: those of the operations; [`Error::Argument`] where the network has fewer weights than the plan.
pub(crate) fn forward<T, O: LayerOps<T>>(
    ops: &mut O,
    plan: &[Layer],
    x: O::Batch,
) -> Result<PassResult<O::Scores, T>> {
    let mut walk = Walk { ops, conv: 0, linear: 0, first: true, shared: false, auxiliary: None };
    let x = walk.layers(plan, x)?;
    let Walk { ops, auxiliary, .. } = walk;
    let (scores, tape) = ops.scores(x)?;
    Ok(PassResult { scores, tape, auxiliary })
}

/// Of a network that was made without its plan.
pub(crate) fn short() -> Error {
    Error::argument("forward pass", "the plan has more layers than the network")
}

/// How far a batch has come.
struct Walk<'a, T, O: LayerOps<T>> {
    ops: &'a mut O,
    /// The next convolution.
    conv: usize,
    /// The next fully connected layer.
    linear: usize,
    /// Whether nothing with weights has been passed: nobody asks for the images' gradient.
    first: bool,
    /// Whether the batch is the input of other layers too, whose gradients come before in the backward pass.
    shared: bool,
    auxiliary: Option<O::Scores>,
}

impl<T, O: LayerOps<T>> Walk<'_, T, O> {
    fn layers(&mut self, layers: &[Layer], x: O::Batch) -> Result<O::Batch> {
        layers.iter().try_fold(x, |x, layer| self.layer(layer, x))
    }

    fn layer(&mut self, layer: &Layer, x: O::Batch) -> Result<O::Batch> {
        let made = self.pass_through(layer, x)?;
        // What a layer has made is nobody else's.
        if !may_pass_on(layer) {
            self.shared = false;
        }
        Ok(made)
    }

    fn pass_through(&mut self, layer: &Layer, x: O::Batch) -> Result<O::Batch> {
        match layer {
            Layer::Conv { window, normalised, .. } => {
                let (index, input_gradient) = (next(&mut self.conv), self.input_gradient());
                self.ops.conv(x, index, *window, *normalised, input_gradient)
            }
            Layer::Linear { activation, .. } => {
                let (index, input_gradient) = (next(&mut self.linear), self.input_gradient());
                self.ops.linear(x, index, *activation, input_gradient)
            }
            Layer::MaxPool(window) => self.ops.max_pool(x, *window),
            Layer::AvgPool(window) => self.ops.avg_pool(x, *window),
            Layer::GlobalAvgPool => self.ops.global_avg_pool(x),
            Layer::LocalResponseNorm => self.ops.local_response_norm(x),
            Layer::Dropout(rate) => self.ops.dropout(x, rate.keep_probability()),
            Layer::Branches(branches) => self.branches(branches, x),
            Layer::Auxiliary(layers) if self.ops.training() => self.auxiliary(layers, x),
            Layer::Auxiliary(layers) => {
                let (convs, linears) = count(layers);
                self.conv += convs;
                self.linear += linears;
                Ok(x)
            }
        }
    }

    fn branches(&mut self, branches: &[Vec<Layer>], x: O::Batch) -> Result<O::Batch> {
        let (x, mut tape) = self.ops.split(x)?;
        self.ops.begin(&x, branches)?;
        let mut parts = Vec::new();
        let (first, shared) = (self.first, self.shared);
        let mut still_first = first;
        // By a branch that makes nothing of it, the gradient is the concatenation's, which comes before all.
        let passed_on = branches.iter().any(|branch| branch.iter().all(may_pass_on));
        for (index, branch) in branches.iter().enumerate() {
            self.first = first;
            self.shared = shared || passed_on || index + 1 < branches.len();
            let input = self.ops.join(&x, tape);
            let made = self.branch(index, branch, input)?;
            still_first &= self.first;
            // What a branch has made is the concatenation's alone; what it has passed on may be others' input, too.
            let gradient = match shared && branch.iter().all(may_pass_on) {
                true => InputGradient::Needed,
                false => InputGradient::First,
            };
            let (part, rest) = self.ops.part(made, gradient)?;
            parts.push(part);
            tape = rest;
        }
        self.first = still_first;
        self.ops.concat(parts, tape)
    }

    fn branch(&mut self, index: usize, branch: &[Layer], x: O::Batch) -> Result<O::Batch> {
        let Some((last, before)) = branch.split_last() else { return Ok(x) };
        let x = self.layers(before, x)?;
        if matches!(last, Layer::Conv { .. } | Layer::MaxPool(_) | Layer::AvgPool(_)) {
            self.ops.end(index);
        }
        self.layer(last, x)
    }

    fn auxiliary(&mut self, layers: &[Layer], x: O::Batch) -> Result<O::Batch> {
        let (x, tape) = self.ops.split(x)?;
        let input = self.ops.join(&x, tape);
        let shared = std::mem::replace(&mut self.shared, true);
        let made = self.layers(layers, input)?;
        self.shared = shared;
        let (scores, tape) = self.ops.scores(made)?;
        self.auxiliary = Some(scores);
        Ok(self.ops.join(&x, tape))
    }

    fn input_gradient(&mut self) -> InputGradient {
        match (std::mem::take(&mut self.first), self.shared) {
            (true, _) => InputGradient::Skipped,
            (false, true) => InputGradient::Needed,
            (false, false) => InputGradient::First,
        }
    }
}

/// Whether what comes out of the layer may be what came in.
fn may_pass_on(layer: &Layer) -> bool {
    matches!(layer, Layer::Dropout(_) | Layer::Auxiliary(_))
}

fn next(counter: &mut usize) -> usize {
    *counter += 1;
    *counter - 1
}
