//! A network on the processor, made after its plan.

use crate::models::plan::{Layer, costs};
use crate::models::walk::{self, LayerOps, PassResult};
use crate::ops::activation::Activation;
use crate::ops::concat::{Part, PendingConv, concat};
use crate::ops::conv::{self, Conv2d, Window};
use crate::ops::conv_norm;
use crate::ops::dropout::dropout;
use crate::ops::lanes::{Order, arrange, by_image};
use crate::ops::linear::{InputGradient, Linear, linear};
use crate::ops::lrn::local_response_norm;
use crate::ops::norm::BatchNorm;
use crate::ops::pool::{avg_pool, global_avg_pool, max_pool};
use crate::ops::{ForwardContext, Image, Rows, Size3};
use crate::optim::Tensors;
use crate::precision::Precision;
use crate::{Error, Result};
use dfdx::nn::tensor_collection::*;
use dfdx::prelude::{
    Cpu, Device, Dtype, Gradients, HasShape, NumParams, PutTape, ReshapeTo, SplitTape, Storage, Tape,
    ZeroGrads,
};

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

    /// What products round their factors to from now on.
    pub fn set_precision(&mut self, precision: Precision) {
        self.convs.iter_mut().for_each(|module| module.conv.precision = precision);
        self.linears.iter_mut().for_each(|linear| linear.precision = precision);
        // Lanes have float32 alone.
        self.lanes = precision.is_float32() && in_lanes(&self.plan, self.input);
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
        let PassResult { scores, tape, auxiliary } =
            walk::forward(&mut Ops { network: self, pass }, &self.plan, x)?;
        Ok((scores.put_tape(tape), auxiliary))
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

/// Input channels of a multiply-add, on average, up to which a network is computed in lanes: of more, Winograd's way along both axes is
/// faster (crate/notes/speed.md). A 5x5 window's count twice: along rows alone, fewer of its products are saved.
const NARROW: u128 = 60;

/// Whether a network is computed in lanes ([`crate::ops::lanes`]): its convolutions have few channels, and no layer sees
/// one lane for another one's neighbour.
fn in_lanes(layers: &[Layer], from: Size3) -> bool {
    let (mut work, mut weighted) = (0, 0);
    ends_in_rows(layers, from, &mut work, &mut weighted).is_some() && weighted <= NARROW.saturating_mul(work)
}

/// Whether layers that see images in lanes end with a row per image; `None` where one of them cannot be computed so. Counts the
/// convolutions' multiply-adds, and those times the channels.
fn ends_in_rows(layers: &[Layer], mut from: Size3, work: &mut u128, weighted: &mut u128) -> Option<bool> {
    let mut rows = false;
    for layer in layers {
        let to = layer.output(from).ok()?;
        let inside = std::mem::replace(&mut from, to);
        // Rows are one an image, and nothing brings them into lanes again: only what takes rows can follow.
        if rows && !matches!(layer, Layer::Linear { .. } | Layer::Dropout(_)) {
            return None;
        }
        match layer {
            Layer::Conv { window, .. } => {
                let (_, own) = costs(layer, inside).ok()?;
                let factor = inside[2] as u128 * if window.kernel == (5, 5) { 2 } else { 1 };
                *work = work.saturating_add(own);
                *weighted = weighted.saturating_add(own.saturating_mul(factor));
            }
            Layer::MaxPool(_) | Layer::AvgPool(_) | Layer::LocalResponseNorm => (),
            Layer::GlobalAvgPool | Layer::Linear { .. } => rows = true,
            // It draws by image.
            Layer::Dropout(_) if inside[..2] == [1, 1] => rows = true,
            Layer::Dropout(_) => return None,
            Layer::Branches(branches) => {
                // What they end with is put side by side as images.
                for branch in branches {
                    if ends_in_rows(branch, inside, work, weighted)? {
                        return None;
                    }
                }
            }
            Layer::Auxiliary(layers) => {
                ends_in_rows(layers, inside, work, weighted)?;
            }
        }
    }
    Some(rows)
}

enum Value<T> {
    Image(Image<T>),
    /// Images that the next layer has written, or the concatenation.
    PendingConv(PendingConv, T),
    Rows(Rows<T>),
}

impl<T: Tape<f32, Cpu>> Value<T> {
    /// As images, of one pixel where they are rows: those are in no lanes ([`ends_in_rows`]).
    fn image(self) -> Result<Image<T>> {
        match self {
            Value::Image(image) => Ok(image),
            Value::PendingConv(part, tape) => concat(vec![Part::PendingConv(part)], tape),
            Value::Rows(rows) => {
                let (n, size) = *rows.shape();
                rows.try_reshape_like(&(n, 1, 1, size)).map_err(Error::tensor("rows to pixels"))
            }
        }
    }

    fn rows(self, order: Order) -> Result<Rows<T>> {
        match self {
            Value::Rows(rows) => Ok(rows),
            Value::Image(_) | Value::PendingConv(..) => {
                let image = self.image()?;
                let (n, height, width, channels) = *image.shape();
                let shape = (n, height * width * channels);
                let rows = image.try_reshape_like(&shape).map_err(Error::tensor("pixels to rows"))?;
                by_image(rows, order)
            }
        }
    }
}

/// The operations of the processor on the network's tensors.
struct Ops<'a> {
    network: &'a Planned,
    pass: &'a mut ForwardContext,
}

impl<T: Tape<f32, Cpu>> LayerOps<T> for Ops<'_> {
    type Batch = Value<T>;
    type Shared = Image;
    type Part = Part;
    type Scores = Rows;

    fn training(&self) -> bool {
        self.pass.training()
    }

    fn conv(
        &mut self,
        x: Value<T>,
        index: usize,
        _: Window,
        normalised: bool,
        input_gradient: InputGradient,
    ) -> Result<Value<T>> {
        let ConvModule { conv, norm } = self.network.convs.get(index).ok_or_else(walk::short)?;
        let x = x.image()?;
        let (made, tape) = if normalised {
            conv_norm::pending(conv, norm, x, input_gradient, self.pass)?
        } else {
            let order = self.pass.order();
            conv::pending(conv, Some(&norm.shift), x, Activation::Relu, input_gradient, order)?
        };
        Ok(Value::PendingConv(made, tape))
    }

    fn linear(
        &mut self,
        x: Value<T>,
        index: usize,
        activation: Activation,
        input_gradient: InputGradient,
    ) -> Result<Value<T>> {
        let module = self.network.linears.get(index).ok_or_else(walk::short)?;
        linear(module, x.rows(self.pass.order())?, activation, input_gradient).map(Value::Rows)
    }

    fn max_pool(&mut self, x: Value<T>, window: Window) -> Result<Value<T>> {
        max_pool(x.image()?, window).map(Value::Image)
    }

    fn avg_pool(&mut self, x: Value<T>, window: Window) -> Result<Value<T>> {
        avg_pool(x.image()?, window).map(Value::Image)
    }

    fn global_avg_pool(&mut self, x: Value<T>) -> Result<Value<T>> {
        by_image(global_avg_pool(x.image()?)?, self.pass.order()).map(Value::Rows)
    }

    fn local_response_norm(&mut self, x: Value<T>) -> Result<Value<T>> {
        local_response_norm(x.image()?, self.pass.order()).map(Value::Image)
    }

    fn dropout(&mut self, x: Value<T>, keep_probability: f32) -> Result<Value<T>> {
        match x {
            Value::Rows(x) => dropout(x, keep_probability, self.pass).map(Value::Rows),
            x if self.pass.order() != Order::Pixels => {
                dropout(x.rows(self.pass.order())?, keep_probability, self.pass).map(Value::Rows)
            }
            x => dropout(x.image()?, keep_probability, self.pass).map(Value::Image),
        }
    }

    fn split(&mut self, x: Value<T>) -> Result<(Image, T)> {
        Ok(x.image()?.split_tape())
    }

    fn join(&mut self, x: &Image, tape: T) -> Value<T> {
        Value::Image(x.clone().put_tape(tape))
    }

    fn part(&mut self, x: Value<T>, gradient: InputGradient) -> Result<(Part, T)> {
        if let Value::PendingConv(part, tape) = x {
            return Ok((Part::PendingConv(part), tape));
        }
        let (image, tape) = x.image()?.split_tape();
        Ok((Part::Image(image, gradient), tape))
    }

    fn concat(&mut self, parts: Vec<Part>, tape: T) -> Result<Value<T>> {
        concat(parts, tape).map(Value::Image)
    }

    fn scores(&mut self, x: Value<T>) -> Result<(Rows, T)> {
        Ok(x.rows(self.pass.order())?.split_tape())
    }
}
