//! A network as a list of layers: the one description that builds it, runs it, counts it and draws it.

use crate::ops::activation::Activation;
use crate::ops::concat::concat;
use crate::ops::conv::{Conv2d, Padding, Window, conv2d};
use crate::ops::conv_norm::conv_norm;
use crate::ops::dropout::dropout;
use crate::ops::lanes::{Order, arrange, by_image};
use crate::ops::linear::{InputGradient, Linear, linear};
use crate::ops::lrn::local_response_norm;
use crate::ops::norm::BatchNorm;
use crate::ops::pool::{avg_pool, global_avg_pool, max_pool};
use crate::ops::{ForwardContext, Image, Rows};
use crate::optim::Tensors;
use crate::{Error, Result};
use dfdx::nn::tensor_collection::*;
use dfdx::prelude::{
    Cpu, Device, Dtype, Gradients, HasShape, NumParams, PutTape, ReshapeTo, SplitTape, Storage, Tape,
    ZeroGrads,
};
use serde::{Deserialize, Serialize};

/// A layer of a network. In JSON: `{"linear": {"outputs": 10, "activation": "none"}}`, `"global-mean"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Layer {
    /// Convolution and ReLU, between them batch normalisation with a shift (the paper's "Conv module"), or a
    /// bias where it is not `normalised`.
    Conv {
        /// How the window moves.
        window: Window,
        /// Filters.
        outputs: usize,
        /// Batch normalisation, or a bias.
        normalised: bool,
    },
    /// Every output a weighted sum of every input, with biases.
    Linear {
        /// Units.
        outputs: usize,
        /// What follows.
        activation: Activation,
    },
    /// The largest pixel under the window.
    MaxPool(Window),
    /// The mean of the pixels under the window.
    #[serde(rename = "mean-pool")]
    AvgPool(Window),
    /// The mean of all pixels.
    #[serde(rename = "global-mean")]
    GlobalAvgPool,
    /// Local response normalisation.
    LocalResponseNorm,
    /// Leaves elements out in training; each is kept with this probability.
    Dropout(f32),
    /// Lists of layers that see the same input; their channels are put side by side.
    Branches(Vec<Vec<Layer>>),
    /// A second classifier beside the network, whose loss counts too, [`AUXILIARY`] times, in training.
    Auxiliary(Vec<Layer>),
}

/// Weight of an auxiliary classifier's loss (Szegedy et al. 2016; TF-Slim).
pub const AUXILIARY: f32 = 0.4;

pub use crate::ops::Size3;

impl Layer {
    /// `outputs` filters of `side` x `side` pixels with biases and ReLU, stride 1, zeros at the edge.
    pub fn conv(side: usize, outputs: usize) -> Layer {
        Layer::Conv { window: Window::square(side, 1, Padding::Same), outputs, normalised: false }
    }

    /// [`Layer::conv`] with batch normalisation.
    pub fn conv_norm(side: usize, outputs: usize) -> Layer {
        Layer::Conv { window: Window::square(side, 1, Padding::Same), outputs, normalised: true }
    }

    /// The largest of `side` x `side` pixels, every `side` pixels.
    pub fn max_pool(side: usize) -> Layer {
        Layer::MaxPool(Window::square(side, side, Padding::Valid))
    }

    /// A fully connected hidden layer: `units` and ReLU.
    pub fn hidden(units: usize) -> Layer {
        Layer::Linear { outputs: units, activation: Activation::Relu }
    }

    /// The last layer: a score for each of `classes`.
    pub fn scores(classes: usize) -> Layer {
        Layer::Linear { outputs: classes, activation: Activation::None }
    }

    /// What the layer makes of an image of height, width and channels `from`.
    ///
    /// Errors: [`Error::Shape`] where a window is larger than the image, or branches end with different sizes;
    /// [`Error::Argument`] for layers without outputs.
    pub fn output(&self, from: Size3) -> Result<Size3> {
        let operation = "plan the network";
        let [height, width, channels] = from;
        let under = |window: &Window, channels: usize| match window.output(height, width) {
            Some((height, width)) => Ok([height, width, channels]),
            None => {
                let expected = vec![window.kernel.0, window.kernel.1];
                Err(Error::Shape { operation, expected, got: vec![height, width] })
            }
        };
        match self {
            Layer::Conv { outputs: 0, .. } | Layer::Linear { outputs: 0, .. } => {
                Err(Error::argument(operation, format!("{self:?} has no outputs")))
            }
            Layer::Conv { window, outputs, .. } => under(window, *outputs),
            Layer::MaxPool(window) | Layer::AvgPool(window) => under(window, channels),
            Layer::Linear { outputs, .. } => Ok([1, 1, *outputs]),
            Layer::GlobalAvgPool => Ok([1, 1, channels]),
            Layer::LocalResponseNorm | Layer::Dropout(_) => Ok(from),
            Layer::Auxiliary(layers) => output(layers, from).map(|_| from),
            Layer::Branches(branches) => {
                let mut all: Option<Size3> = None;
                for branch in branches {
                    let [h, w, c] = output(branch, from)?;
                    let sum = all.get_or_insert([h, w, 0]);
                    if sum[..2] != [h, w] {
                        return Err(Error::Shape { operation, expected: sum[..2].to_vec(), got: vec![h, w] });
                    }
                    sum[2] += c;
                }
                all.ok_or_else(|| Error::argument(operation, "no branches"))
            }
        }
    }
}

/// What a list of layers makes of an image.
///
/// Errors: as for [`Layer::output`].
pub fn output(layers: &[Layer], from: Size3) -> Result<Size3> {
    layers.iter().try_fold(from, |from, layer| layer.output(from))
}

/// Convolutions and fully connected layers in a list, those inside others included.
pub fn count(layers: &[Layer]) -> (usize, usize) {
    layers.iter().fold((0, 0), |(convs, linears), layer| {
        let (c, l) = match layer {
            Layer::Conv { .. } => (1, 0),
            Layer::Linear { .. } => (0, 1),
            Layer::Auxiliary(layers) => count(layers),
            Layer::Branches(branches) => {
                branches.iter().map(|b| count(b)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
            }
            _ => (0, 0),
        };
        (convs + c, linears + l)
    })
}

/// Layers in a list, those inside others included.
pub fn number(layers: &[Layer]) -> usize {
    layers.iter().fold(layers.len(), |sum, layer| {
        sum + match layer {
            Layer::Branches(branches) => branches.iter().map(|branch| number(branch)).sum(),
            Layer::Auxiliary(layers) => number(layers),
            _ => 0,
        }
    })
}

/// Whether there is batch normalisation in a list of layers.
pub fn is_normalised(layers: &[Layer]) -> bool {
    layers.iter().any(|layer| match layer {
        Layer::Conv { normalised, .. } => *normalised,
        Layer::Branches(branches) => branches.iter().any(|branch| is_normalised(branch)),
        Layer::Auxiliary(layers) => is_normalised(layers),
        _ => false,
    })
}

/// Trained numbers and multiply-adds for one image of a layer by itself, those inside it included.
fn costs(layer: &Layer, from: Size3) -> Result<(usize, usize)> {
    let to = layer.output(from)?;
    let all = |layers: &[Layer]| {
        let mut from = from;
        layers.iter().try_fold((0, 0), |sum: (usize, usize), layer| {
            let (parameters, work) = costs(layer, from)?;
            from = layer.output(from)?;
            Ok::<_, Error>((sum.0 + parameters, sum.1 + work))
        })
    };
    match layer {
        Layer::Conv { window, outputs, .. } => {
            let weights = window.kernel.0 * window.kernel.1 * from[2] * outputs;
            Ok((weights + outputs, weights * to[0] * to[1]))
        }
        Layer::Linear { outputs, .. } => {
            let weights = from.iter().product::<usize>() * outputs;
            Ok((weights + outputs, weights))
        }
        Layer::Auxiliary(layers) => all(layers),
        Layer::Branches(branches) => branches.iter().try_fold((0, 0), |sum, branch| {
            let (parameters, work) = all(branch)?;
            Ok((sum.0 + parameters, sum.1 + work))
        }),
        _ => Ok((0, 0)),
    }
}

/// Trained numbers of a list of layers for images of `from`.
///
/// Errors: as for [`Layer::output`].
pub fn parameters(layers: &[Layer], from: Size3) -> Result<usize> {
    costs(&Layer::Branches(vec![layers.to_vec()]), from).map(|(parameters, _)| parameters)
}

/// Multiply-adds of a list of layers for one image of `from`.
///
/// Errors: as for [`Layer::output`].
pub fn work(layers: &[Layer], from: Size3) -> Result<usize> {
    costs(&Layer::Branches(vec![layers.to_vec()]), from).map(|(_, work)| work)
}

/// `channels * width`, rounded, at least 1: the sizes of a reduced network.
pub fn scaled(channels: usize, width: f64) -> usize {
    ((channels as f64 * width).round() as usize).max(1)
}

/// A convolution with the shift that follows it: batch normalisation's, or a bias.
#[derive(Clone, Debug)]
pub struct ConvModule<E: Dtype, D: Storage<E>> {
    /// Weights.
    pub conv: Conv2d<E, D>,
    /// Shift and running statistics; statistics of no channels where nothing is normalised.
    pub norm: BatchNorm<E, D>,
}

impl<E: Dtype, D: Device<E>> TensorCollection<E, D> for ConvModule<E, D> {
    type To<E2: Dtype, D2: Device<E2>> = ConvModule<E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> std::result::Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("conv", |m| &m.conv, |m| &mut m.conv),
                Self::module("norm", |m| &m.norm, |m| &mut m.norm),
            ),
            |(conv, norm)| ConvModule { conv, norm },
        )
    }
}

/// A network after a plan. dfdx visits a type's tensors without seeing a value of it, so that their number would have to be
/// part of the type; so it is each convolution and each fully connected layer that dfdx visits, one after the other, under
/// the names `convs.0.conv.weight` to `linears.0.bias` that checkpoints have.
#[derive(Clone, Debug)]
pub struct Planned {
    convs: Vec<ConvModule<f32, Cpu>>,
    linears: Vec<Linear<f32, Cpu>>,
    plan: Vec<Layer>,
    /// Of the images.
    input: Size3,
    /// Whether it is computed in lanes.
    lanes: bool,
}

impl Tensors for Planned {
    fn visit_mut<V>(&mut self, visitor: &mut V) -> std::result::Result<(), V::Err>
    where
        V: TensorVisitor<f32, Cpu, Viewer = ViewTensorMut>,
    {
        for m in &mut self.convs {
            ConvModule::iter_tensors(&mut RecursiveWalker { m, f: visitor })?;
        }
        for m in &mut self.linears {
            Linear::iter_tensors(&mut RecursiveWalker { m, f: visitor })?;
        }
        Ok(())
    }
}

impl Planned {
    /// With weights of zero, for images of height, width and channels `input`.
    ///
    /// Errors: those of [`Layer::output`]; [`Error::Tensor`] when memory is short.
    pub fn new(device: &Cpu, plan: Vec<Layer>, input: Size3) -> Result<Planned> {
        let (mut convs, mut linears) = (Vec::new(), Vec::new());
        make(device, &plan, input, &mut convs, &mut linears)?;
        let lanes = in_lanes(&plan, input);
        Ok(Planned { convs, linears, plan, input, lanes })
    }

    /// The convolutions, in the order of the plan.
    pub fn convs(&self) -> &[ConvModule<f32, Cpu>] {
        &self.convs
    }

    /// The fully connected layers, in the order of the plan.
    pub fn linears(&self) -> &[Linear<f32, Cpu>] {
        &self.linears
    }

    /// [`Planned::convs`], to be changed.
    pub fn convs_mut(&mut self) -> &mut [ConvModule<f32, Cpu>] {
        &mut self.convs
    }

    /// [`Planned::linears`], to be changed.
    pub fn linears_mut(&mut self) -> &mut [Linear<f32, Cpu>] {
        &mut self.linears
    }

    /// Has `visitor` visit every tensor, in a fixed order.
    ///
    /// Errors: the visitor's.
    pub(super) fn visit<V>(&self, visitor: &mut V) -> std::result::Result<(), V::Err>
    where
        V: TensorVisitor<f32, Cpu, Viewer = ViewTensorRef>,
    {
        for m in &self.convs {
            ConvModule::iter_tensors(&mut RecursiveWalker { m, f: visitor })?;
        }
        for m in &self.linears {
            Linear::iter_tensors(&mut RecursiveWalker { m, f: visitor })?;
        }
        Ok(())
    }

    /// The same with the tensors' names.
    ///
    /// Errors: the visitor's.
    pub(super) fn visit_named<V>(&self, visitor: &mut V) -> std::result::Result<(), V::Err>
    where
        V: TensorVisitor<f32, Cpu, Viewer = (ViewTensorRef, ViewTensorName)>,
    {
        for (i, module) in self.convs.iter().enumerate() {
            let m = (module, format!("convs.{i}"));
            ConvModule::iter_tensors(&mut RecursiveWalker { m, f: visitor })?;
        }
        for (i, module) in self.linears.iter().enumerate() {
            let m = (module, format!("linears.{i}"));
            Linear::iter_tensors(&mut RecursiveWalker { m, f: visitor })?;
        }
        Ok(())
    }

    /// The same to change the tensors.
    ///
    /// Errors: the visitor's.
    pub(super) fn visit_named_mut<V>(&mut self, visitor: &mut V) -> std::result::Result<(), V::Err>
    where
        V: TensorVisitor<f32, Cpu, Viewer = (ViewTensorMut, ViewTensorName)>,
    {
        for (i, module) in self.convs.iter_mut().enumerate() {
            let m = (module, format!("convs.{i}"));
            ConvModule::iter_tensors(&mut RecursiveWalker { m, f: visitor })?;
        }
        for (i, module) in self.linears.iter_mut().enumerate() {
            let m = (module, format!("linears.{i}"));
            Linear::iter_tensors(&mut RecursiveWalker { m, f: visitor })?;
        }
        Ok(())
    }

    /// How many numbers are trained.
    pub fn parameter_count(&self) -> usize {
        let convs = self.convs.iter().map(NumParams::num_trainable_params);
        convs.chain(self.linears.iter().map(NumParams::num_trainable_params)).sum()
    }

    /// Gradients of zero for all that is trained; what else a backward pass adds is dropped by
    /// [`Gradients::drop_non_leafs`].
    ///
    /// Errors: [`Error::Tensor`] when memory is short.
    pub fn gradients(&self) -> Result<Gradients<f32, Cpu>> {
        let failed = "make room for the gradients";
        let mut gradients = Gradients::leaky();
        for module in &self.convs {
            module.try_zero_grads(&mut gradients).map_err(Error::tensor(failed))?;
        }
        for module in &self.linears {
            module.try_zero_grads(&mut gradients).map_err(Error::tensor(failed))?;
        }
        Ok(gradients)
    }

    /// The layers.
    pub fn plan(&self) -> &[Layer] {
        &self.plan
    }

    /// Height, width and channels of the images.
    pub fn input(&self) -> Size3 {
        self.input
    }

    /// `n x classes` scores of images (`n x (C * H * W)`, channel by channel), and those of the auxiliary classifier
    /// in training, made on the same tape.
    ///
    /// Errors: [`Error::Shape`] for images of another size; [`Error::Tensor`] when memory is short.
    pub fn forward<T: Tape<f32, Cpu>>(
        &self,
        images: Rows<T>,
        pass: &mut ForwardContext,
    ) -> Result<(Rows<T>, Option<Rows>)> {
        let (n, size) = *images.shape();
        if size != self.input.iter().product::<usize>() {
            let expected = vec![n, self.input[2], self.input[0], self.input[1]];
            return Err(Error::Shape { operation: "forward pass", expected, got: vec![n, size] });
        }
        let x = match self.plan.first() {
            Some(Layer::Linear { .. }) => Value::Rows(images),
            _ => {
                let order = if self.lanes { Order::Lanes { images: n } } else { Order::Pixels };
                pass.set_order(order);
                Value::Image(arrange(images, self.input, order)?)
            }
        };
        let (convs, linears) = (&self.convs[..], &self.linears[..]);
        let mut walk = Walk { convs, linears, pass, first: true, auxiliary: None };
        let scores = walk.layers(&self.plan, x)?.rows(walk.pass.order())?;
        Ok((scores, walk.auxiliary))
    }
}

fn make(
    device: &Cpu,
    layers: &[Layer],
    mut from: Size3,
    convs: &mut Vec<ConvModule<f32, Cpu>>,
    linears: &mut Vec<Linear<f32, Cpu>>,
) -> Result<()> {
    let failed = "build the network";
    for layer in layers {
        let to = layer.output(from)?;
        match layer {
            Layer::Conv { window, outputs, normalised } => {
                let conv =
                    Conv2d::zeros(device, *window, from[2], *outputs).map_err(Error::tensor(failed))?;
                let norm = if *normalised {
                    BatchNorm::new(device, *outputs)
                } else {
                    BatchNorm::shift_only(device, *outputs)
                };
                convs.push(ConvModule { conv, norm: norm.map_err(Error::tensor(failed))? });
            }
            Layer::Linear { outputs, .. } => {
                let inputs: usize = from.iter().product();
                linears.push(Linear::zeros(device, inputs, *outputs).map_err(Error::tensor(failed))?);
            }
            Layer::Branches(branches) => {
                for branch in branches {
                    make(device, branch, from, convs, linears)?;
                }
            }
            Layer::Auxiliary(layers) => make(device, layers, from, convs, linears)?,
            _ => (),
        }
        from = to;
    }
    Ok(())
}

/// Input channels of a multiply-add, on average, up to which a network is computed in lanes: of more, Winograd's way is
/// faster (crate/notes/speed.md).
const NARROW: usize = 60;

/// Whether a network is computed in lanes ([`crate::ops::lanes`]): its convolutions have few channels, and no layer sees
/// one lane for another one's neighbour.
fn in_lanes(layers: &[Layer], from: Size3) -> bool {
    let (mut work, mut weighted) = (0, 0);
    each_in_lanes(layers, from, &mut work, &mut weighted) && weighted <= NARROW * work
}

/// Whether each layer can be computed in lanes. Counts the convolutions' multiply-adds, and those times the channels.
fn each_in_lanes(layers: &[Layer], mut from: Size3, work: &mut usize, weighted: &mut usize) -> bool {
    layers.iter().all(|layer| {
        let Ok(to) = layer.output(from) else { return false };
        let inside = std::mem::replace(&mut from, to);
        match layer {
            Layer::Conv { .. } => {
                let Ok((_, own)) = costs(layer, inside) else { return false };
                *work += own;
                *weighted += own * inside[2];
                true
            }
            Layer::MaxPool(_) | Layer::AvgPool(_) | Layer::GlobalAvgPool | Layer::Linear { .. } => true,
            Layer::Dropout(_) => inside[..2] == [1, 1],
            Layer::LocalResponseNorm => false,
            Layer::Branches(branches) => branches.iter().all(|b| each_in_lanes(b, inside, work, weighted)),
            Layer::Auxiliary(layers) => each_in_lanes(layers, inside, work, weighted),
        }
    })
}

enum Value<T> {
    Image(Image<T>),
    Rows(Rows<T>),
}

impl<T: Tape<f32, Cpu>> Value<T> {
    fn image(self) -> Result<Image<T>> {
        match self {
            Value::Image(image) => Ok(image),
            Value::Rows(rows) => {
                let (n, size) = *rows.shape();
                rows.try_reshape_like(&(n, 1, 1, size)).map_err(Error::tensor("rows to pixels"))
            }
        }
    }

    fn rows(self, order: Order) -> Result<Rows<T>> {
        match self {
            Value::Rows(rows) => Ok(rows),
            Value::Image(image) => {
                let (n, height, width, channels) = *image.shape();
                let shape = (n, height * width * channels);
                let rows = image.try_reshape_like(&shape).map_err(Error::tensor("pixels to rows"))?;
                by_image(rows, order)
            }
        }
    }
}

/// A way through the plan: the modules that are still to come.
struct Walk<'a> {
    convs: &'a [ConvModule<f32, Cpu>],
    linears: &'a [Linear<f32, Cpu>],
    pass: &'a mut ForwardContext,
    /// Whether nothing with weights has been passed: nobody asks for the images' gradient.
    first: bool,
    auxiliary: Option<Rows>,
}

impl Walk<'_> {
    fn layers<T: Tape<f32, Cpu>>(&mut self, layers: &[Layer], x: Value<T>) -> Result<Value<T>> {
        layers.iter().try_fold(x, |x, layer| self.layer(layer, x))
    }

    fn input_gradient(&mut self) -> InputGradient {
        if std::mem::take(&mut self.first) { InputGradient::Skipped } else { InputGradient::Needed }
    }

    fn layer<T: Tape<f32, Cpu>>(&mut self, layer: &Layer, x: Value<T>) -> Result<Value<T>> {
        Ok(match layer {
            Layer::Conv { normalised, .. } => {
                let (x, input_gradient) = (x.image()?, self.input_gradient());
                let Some((module, rest)) = self.convs.split_first() else { return Err(short()) };
                self.convs = rest;
                let ConvModule { conv, norm } = module;
                Value::Image(if *normalised {
                    conv_norm(conv, norm, x, input_gradient, self.pass)?
                } else {
                    conv2d(conv, Some(&norm.shift), x, Activation::Relu, input_gradient, self.pass.order())?
                })
            }
            Layer::Linear { activation, .. } => {
                let (x, input_gradient) = (x.rows(self.pass.order())?, self.input_gradient());
                let Some((module, rest)) = self.linears.split_first() else { return Err(short()) };
                self.linears = rest;
                Value::Rows(linear(module, x, *activation, input_gradient)?)
            }
            Layer::MaxPool(window) => Value::Image(max_pool(x.image()?, *window)?),
            Layer::AvgPool(window) => Value::Image(avg_pool(x.image()?, *window)?),
            Layer::GlobalAvgPool => Value::Rows(by_image(global_avg_pool(x.image()?)?, self.pass.order())?),
            Layer::LocalResponseNorm => Value::Image(local_response_norm(x.image()?)?),
            Layer::Dropout(kept) => match x {
                Value::Image(x) => Value::Image(dropout(x, *kept, self.pass)?),
                Value::Rows(x) => Value::Rows(dropout(x, *kept, self.pass)?),
            },
            Layer::Branches(branches) => {
                let (x, mut tape) = x.image()?.split_tape();
                let mut parts: Vec<Image> = Vec::new();
                let first = self.first;
                for branch in branches {
                    self.first = first;
                    let made = self.layers(branch, Value::Image(x.clone().put_tape(tape)))?;
                    let (part, rest) = made.image()?.split_tape();
                    parts.push(part);
                    tape = rest;
                }
                Value::Image(concat(&parts, tape)?)
            }
            Layer::Auxiliary(layers) if self.pass.training() => {
                let (x, tape) = x.image()?.split_tape();
                let made = self.layers(layers, Value::Image(x.clone().put_tape(tape)))?;
                let (scores, tape) = made.rows(self.pass.order())?.split_tape();
                self.auxiliary = Some(scores);
                Value::Image(x.put_tape(tape))
            }
            Layer::Auxiliary(layers) => {
                let (convs, linears) = count(layers);
                self.convs = self.convs.get(convs..).unwrap_or_default();
                self.linears = self.linears.get(linears..).unwrap_or_default();
                x
            }
        })
    }
}

/// Of a network that was made without its plan.
fn short() -> Error {
    Error::argument("forward pass", "the plan has more layers than the network")
}
