//! A network on a device: made of one on the processor, with its weights.

use crate::cuda::kernels::{self, DeviceImages, Piece};
use crate::cuda::ops::{Concatenation, Ops, Part, Target, Value, take};
use crate::cuda::weight::Weight;
use crate::cuda::{Backend, Buffer, Fault, Grads, Key, Turn, failed, turn};
use crate::image::AugmentedImage;
use crate::image::{CROP, Pixels};
use crate::models::plan::{AUXILIARY, Layer, count, output};
use crate::models::walk::{self, LayerOps, PassResult};
use crate::models::{Network, Parameter, Role, StepOutcome, are_finite, check_memory, check_velocity};
use crate::ops::activation::Activation;
use crate::ops::conv::Window;
use crate::ops::linear::InputGradient;
use crate::ops::{ForwardContext, Size3};
use crate::optim::step::Rule;
use crate::optim::{Decay, Memory, Rules, SgdStep};
use crate::{Error, Result};
use dfdx::prelude::{Backward, NoneTape, OwnedTape, Tape};
use std::sync::Arc;

struct Placed<B: Backend> {
    ops: Ops<B>,
    plan: Vec<Layer>,
    input: Size3,
    classes: usize,
    weights: Vec<Weight<B>>,
    /// The first tensor of each convolution.
    convs: Vec<usize>,
    /// The first tensor of each fully connected layer.
    linears: Vec<usize>,
    decay: Decay,
    rules: Rules,
    /// Steps so far.
    steps: u64,
    kept: Option<DeviceImages<B>>,
}

/// Where a batch comes from.
#[derive(Clone, Copy)]
enum Images<'a> {
    /// Whitened, `n x C x H x W`.
    Given(&'a [f32]),
    /// Of those that are kept.
    Kept(&'a [AugmentedImage]),
}

// SAFETY: all that is not plain data is the backend's, which promises this.
unsafe impl<B: Backend> Send for Placed<B> {}
// SAFETY: as above; what operations share is behind locks.
unsafe impl<B: Backend> Sync for Placed<B> {}

/// `network` on a device, with the same weights. The optimiser begins anew, by [`Rules::default`] until
/// [`Network::set_rules`] says otherwise.
///
/// Errors: [`Error::Tensor`] where the device's memory is short.
pub fn place<B: Backend>(network: &dyn Network, backend: B) -> Result<Box<dyn Network>> {
    let _turn = turn(&backend);
    let ops = Ops::new(backend);
    let (plan, input) = network.plan();
    let mut weights = Vec::new();
    for (index, (parameter, role)) in network.parameters()?.into_iter().zip(network.roles()).enumerate() {
        let Parameter { name, shape, values } = parameter;
        let buffer = kernels::upload(&ops.backend, &values).map_err(failed::<B>("place the network"))?;
        weights.push(Weight {
            name,
            shape,
            trained: matches!(role, Role::Trained { .. }),
            length: values.len(),
            values: Arc::new(buffer),
            velocity: None,
            squares: None,
            average: None,
            key: ops.key(index)?,
        });
    }
    // Weights of a convolution have four sizes, those of a fully connected layer two.
    let first_of = |sizes: usize| (0..weights.len()).filter(|&i| weights[i].shape.len() == sizes).collect();
    let (convs, linears) = (first_of(4), first_of(2));
    let classes = output(plan, input)?[2];
    Ok(Box::new(Placed {
        ops,
        plan: plan.to_vec(),
        input,
        classes,
        weights,
        convs,
        linears,
        decay: Decay::All,
        rules: Rules::default(),
        steps: 0,
        kept: None,
    }))
}

/// What a pass gives, and what the batch had for running means and variances: the index of the mean, and both.
type ForwardResult<B, T> = (PassResult<Value<B, ()>, T>, Vec<(usize, Buffer<B>)>);

/// A training step up to its gradients.
struct BatchGradients<B: Backend> {
    /// Sums over the batch: its cross-entropies, its hits.
    sums: Buffer<B>,
    images: usize,
    gradients: Grads<B>,
    noted: Vec<(usize, Buffer<B>)>,
}

impl<B: Backend> Placed<B> {
    /// Waits until nobody else works with this network.
    fn turn(&self) -> Turn<B> {
        turn(self.backend())
    }

    fn backend(&self) -> &B {
        &self.ops.backend
    }

    /// A batch on the device, and how many images it has.
    fn batch(&self, images: Images) -> Result<(Buffer<B>, usize)> {
        let operation = "batch of images";
        let size: usize = self.input.iter().product();
        match images {
            Images::Given(images) => {
                if images.is_empty() || !images.len().is_multiple_of(size) {
                    let expected = vec![images.len() / size, size];
                    return Err(Error::Shape { operation, expected, got: vec![images.len()] });
                }
                let batch = kernels::upload(self.backend(), images).map_err(failed::<B>(operation))?;
                Ok((batch, images.len() / size))
            }
            Images::Kept(views) => {
                let Some(kept) = &self.kept else {
                    return Err(Error::argument(operation, "this network keeps no images"));
                };
                if views.is_empty() || !views.iter().all(|view| kept.has(view)) {
                    let problem =
                        format!("no views, or some outside the {} images that are kept", kept.images);
                    return Err(Error::argument(operation, problem));
                }
                let batch = kernels::views(self.backend(), kept, views).map_err(failed::<B>(operation))?;
                Ok((batch, views.len()))
            }
        }
    }

    fn forward<T: Tape<f32, B::Store>>(
        &self,
        images: Images,
        tape: T,
        pass: &mut ForwardContext,
    ) -> Result<ForwardResult<B, T>> {
        let operation = "forward pass";
        if pass.part().is_some() {
            return Err(Error::argument(
                operation,
                "several processes with a model on GPUs are not supported",
            ));
        }
        let (data, n) = self.batch(images)?;
        let mut layers = Layers {
            network: self,
            names: self.weights.len(),
            pass,
            noted: Vec::new(),
            concatenations: Vec::new(),
            part: None,
        };
        let key = layers.key()?;
        let mut x = Value { data: Arc::new(data), part: None, n, size: self.input, key, tape };
        if !matches!(self.plan.first(), Some(Layer::Linear { .. })) {
            let key = layers.key()?;
            x = self.ops.arrange(x, key)?;
        }
        let passed = walk::forward(&mut layers, &self.plan, x)?;
        Ok((passed, layers.noted))
    }

    fn passes(&self, images: Images, labels: &[u16], pass: &mut ForwardContext) -> Result<BatchGradients<B>> {
        let operation = "training step";
        if let Some(label) = labels.iter().find(|label| usize::from(**label) >= self.classes) {
            return Err(Error::argument(operation, format!("label {label} of {} classes", self.classes)));
        }
        // Before the device has work: to copy there waits for it.
        let wanted: Vec<f32> = labels.iter().map(|&label| f32::from(label)).collect();
        let wanted = kernels::upload(self.backend(), &wanted).map_err(failed::<B>(operation))?;
        let (PassResult { scores, tape, auxiliary }, noted) =
            self.forward(images, OwnedTape::default(), pass)?;
        if labels.len() != scores.n {
            return Err(Error::Shape { operation, expected: vec![scores.n], got: vec![labels.len()] });
        }
        let images = scores.n;
        let mut all = vec![(scores, 1.0)];
        all.extend(auxiliary.map(|scores| (scores, AUXILIARY)));
        let (loss, sums) = self.ops.loss(&all, &wanted, &self.rules, tape)?;
        drop(all);
        let gradients = loss.try_backward().map_err(failed::<B>(operation))?;
        Ok(BatchGradients { sums, images, gradients, noted })
    }

    /// What a step saw; waits for it.
    fn outcome(&self, sums: &Buffer<B>, images: usize) -> Result<StepOutcome> {
        let sums = self.backend().download(sums).map_err(failed::<B>("training step"))?;
        Ok(StepOutcome { loss: sums[0] / images as f32, correct: sums[1] as usize })
    }

    /// Moves every weight against the gradient that is given for it.
    fn update(
        &mut self,
        operation: &'static str,
        step: SgdStep,
        mut gradient: impl FnMut(usize, &Weight<B>) -> std::result::Result<Buffer<B>, Fault<B>>,
    ) -> Result<()> {
        let b = self.ops.backend.clone();
        if self.rules.average.is_some() {
            // The average begins with the first weights.
            for weight in self.weights.iter_mut().filter(|weight| weight.average.is_none()) {
                let first = b
                    .download(&weight.values)
                    .and_then(|values| kernels::upload(&b, &values[..weight.length]));
                weight.average = Some(Arc::new(first.map_err(failed::<B>(operation))?));
            }
        }
        let optimizer = self.rules.optimizer;
        let mut gradients = Vec::new();
        for (index, weight) in self.weights.iter_mut().enumerate().filter(|(_, weight)| weight.trained) {
            gradients.push(gradient(index, weight).map_err(failed::<B>(operation))?);
            weight.begin(&b, optimizer).map_err(failed::<B>(operation))?;
            if Arc::get_mut(&mut weight.values).is_none() {
                return Err(Error::argument(operation, format!("{} is still in use", weight.name)));
            }
        }
        let mut matrices = 0;
        let trained = self.weights.iter().filter(|weight| weight.trained);
        let pieces = trained.zip(&gradients).map(|(weight, gradient)| {
            let decayed = self.decay.acts_on(weight.shape.len(), &mut matrices);
            let squares = if optimizer.is_sgd() { None } else { weight.squares.as_ref() };
            let memory = [Some(&*weight.values), weight.velocity.as_ref(), Some(gradient), squares];
            let memory = memory.into_iter().flatten().map(|buffer| (buffer, 0)).collect();
            Piece { memory, length: weight.length, decay: if decayed { step.weight_decay } else { 0.0 } }
        });
        let pieces: Vec<Piece<B>> = pieces.collect();
        match Rule::at(optimizer, self.steps, step) {
            Rule::Sgd => kernels::sgd(&b, &pieces, step),
            Rule::RmsProp { kept, epsilon } => kernels::rms_prop(&b, &pieces, step, (kept, epsilon)),
            Rule::Adam(moments) => kernels::adam(&b, &pieces, step, moments),
        }
        .map_err(failed::<B>(operation))
    }

    /// After a step, when the running statistics have been moved too: the averages follow.
    fn end(&mut self, operation: &'static str) -> Result<()> {
        let kept = self.rules.average_at(self.steps);
        self.steps += 1;
        let Some(kept) = kept else { return Ok(()) };
        let mut pieces = Vec::new();
        for weight in &self.weights {
            let Some(average) = &weight.average else {
                return Err(Error::argument(operation, format!("the average of {} is missing", weight.name)));
            };
            let memory = vec![(&**average, 0), (&*weight.values, 0)];
            pieces.push(Piece { memory, length: weight.length, decay: 0.0 });
        }
        kernels::average(self.backend(), &pieces, kept).map_err(failed::<B>(operation))
    }

    /// Moves running statistics, each with its index, towards what is noted from a number on.
    fn follow(&mut self, noted: &[(usize, &Buffer<B>, usize)]) -> Result<()> {
        let operation = "running statistics";
        for (index, ..) in noted {
            let weight = &mut self.weights[*index];
            if Arc::get_mut(&mut weight.values).is_none() {
                return Err(Error::argument(operation, format!("{} is still in use", weight.name)));
            }
        }
        let pieces = noted.iter().map(|&(index, noted, first)| {
            let Weight { values, length, .. } = &self.weights[index];
            Piece { memory: vec![(&**values, 0), (noted, first)], length: *length, decay: 0.0 }
        });
        let pieces: Vec<Piece<B>> = pieces.collect();
        kernels::follow(self.backend(), &pieces, self.rules.norm_memory).map_err(failed::<B>(operation))
    }

    /// A step of SGD.
    fn step(
        &mut self,
        images: Images,
        labels: &[u16],
        step: SgdStep,
        pass: &mut ForwardContext,
    ) -> Result<StepOutcome> {
        let _turn = self.turn();
        let BatchGradients { sums, images, mut gradients, noted } = self.passes(images, labels, pass)?;
        let b = self.ops.backend.clone();
        self.update("training step", step, |_, weight| take(&b, &mut gradients, &weight.key, weight.length))?;
        let means = noted.iter().map(|(mean, noted)| (*mean, noted, 0));
        let variances = noted.iter().map(|(mean, noted)| (mean + 1, noted, self.weights[*mean].length));
        let noted: Vec<_> = means.chain(variances).collect();
        self.follow(&noted)?;
        self.end("training step")?;
        self.outcome(&sums, images)
    }

    fn read(&self, buffer: &Buffer<B>, length: usize) -> Result<Vec<f32>> {
        let mut values = self.backend().download(buffer).map_err(failed::<B>("read from the device"))?;
        values.truncate(length);
        Ok(values)
    }
}

impl<B: Backend> Network for Placed<B> {
    fn train_step(
        &mut self,
        images: Vec<f32>,
        labels: &[u16],
        step: SgdStep,
        mut pass: ForwardContext,
    ) -> Result<StepOutcome> {
        self.step(Images::Given(&images), labels, step, &mut pass)
    }

    fn keep(&mut self, pixels: &Pixels, shape: [usize; 3]) -> Result<bool> {
        let _turn = self.turn();
        let numbers = match pixels {
            Pixels::Bytes(bytes) => bytes.len(),
            Pixels::Floats(numbers) => numbers.len(),
        };
        let small = self.input == [CROP, CROP, shape[0]] && shape[1] >= CROP && shape[2] >= CROP;
        // The kernels count in 32 bits.
        if !small || u32::try_from(numbers).is_err() {
            return Ok(false);
        }
        self.kept = None;
        let kept = kernels::keep(self.backend(), pixels, shape).map_err(failed::<B>("keep the images"))?;
        self.kept = Some(kept);
        Ok(true)
    }

    fn train_views(
        &mut self,
        views: &[AugmentedImage],
        labels: &[u16],
        step: SgdStep,
        mut pass: ForwardContext,
    ) -> Result<StepOutcome> {
        self.step(Images::Kept(views), labels, step, &mut pass)
    }

    fn gradients(
        &mut self,
        images: Vec<f32>,
        labels: &[u16],
        mut pass: ForwardContext,
    ) -> Result<(StepOutcome, Vec<Vec<f32>>)> {
        let _turn = self.turn();
        let BatchGradients { sums, images, mut gradients, noted } =
            self.passes(Images::Given(&images), labels, &mut pass)?;
        let outcome = self.outcome(&sums, images)?;
        let mut all = Vec::new();
        for (index, weight) in self.weights.iter().enumerate() {
            let there = noted.iter().find(|(mean, _)| *mean == index || mean + 1 == index);
            all.push(match there {
                _ if weight.trained => {
                    let own = take(self.backend(), &mut gradients, &weight.key, weight.length);
                    self.read(&own.map_err(failed::<B>("gradients"))?, weight.length)?
                }
                Some((mean, noted)) => {
                    let both = self.read(noted, 2 * weight.length)?;
                    let first = if *mean == index { 0 } else { weight.length };
                    both[first..first + weight.length].to_vec()
                }
                None => self.read(&weight.values, weight.length)?,
            });
        }
        Ok((outcome, all))
    }

    fn apply(&mut self, gradients: &[Vec<f32>], step: SgdStep) -> Result<()> {
        let _turn = self.turn();
        let operation = "apply the gradients";
        if !self.weights.iter().map(|w| w.length).eq(gradients.iter().map(Vec::len)) {
            return Err(Error::argument(operation, "other sizes than the weights"));
        }
        let b = self.ops.backend.clone();
        self.update(operation, step, |index, _| kernels::upload(&b, &gradients[index]))?;
        let mut noted = Vec::new();
        for (index, gradient) in
            gradients.iter().enumerate().filter(|(index, _)| !self.weights[*index].trained)
        {
            noted.push((index, kernels::upload(&b, gradient).map_err(failed::<B>(operation))?));
        }
        let noted: Vec<_> = noted.iter().map(|(index, noted)| (*index, noted, 0)).collect();
        self.follow(&noted)?;
        self.end(operation)
    }

    fn roles(&self) -> Vec<Role> {
        let mut matrices = 0;
        let role = |weight: &Weight<B>| match weight.trained {
            true => Role::Trained { decayed: self.decay.acts_on(weight.shape.len(), &mut matrices) },
            false => Role::Statistic,
        };
        self.weights.iter().map(role).collect()
    }

    fn logits(&self, images: Vec<f32>) -> Result<Vec<f32>> {
        let _turn = self.turn();
        let (passed, _) =
            self.forward(Images::Given(&images), NoneTape, &mut ForwardContext::evaluation())?;
        self.read(&passed.scores.data, passed.scores.len())
    }

    fn parameter_count(&self) -> usize {
        self.weights.iter().filter(|w| w.trained).map(|w| w.length).sum()
    }

    fn parameters(&self) -> Result<Vec<Parameter>> {
        let _turn = self.turn();
        let read = |w: &Weight<B>| {
            let values = self.read(&w.values, w.length)?;
            Ok(Parameter { name: w.name.clone(), shape: w.shape.clone(), values })
        };
        self.weights.iter().map(read).collect()
    }

    fn is_finite(&self) -> Result<bool> {
        let _turn = self.turn();
        for weight in &self.weights {
            // One tensor at a time is in memory.
            if !are_finite(&self.read(&weight.values, weight.length)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn restore(&mut self, parameters: &[Parameter], velocity: Vec<Vec<f32>>) -> Result<()> {
        let _turn = self.turn();
        let operation = "restore the weights";
        let fits = |(w, p): (&Weight<B>, &Parameter)| {
            w.name == p.name && w.shape == p.shape && w.length == p.values.len()
        };
        if parameters.len() != self.weights.len() || !self.weights.iter().zip(parameters).all(fits) {
            return Err(Error::argument(operation, "other tensors than this network's"));
        }
        check_velocity(parameters, &velocity)?;
        let b = self.ops.backend.clone();
        let upload = |values: &[f32]| kernels::upload(&b, values).map_err(failed::<B>(operation));
        for (index, (weight, parameter)) in self.weights.iter_mut().zip(parameters).enumerate() {
            weight.values = Arc::new(upload(&parameter.values)?);
            let velocity = velocity.get(index).filter(|v| !v.is_empty());
            weight.velocity = velocity.map(|v| upload(v)).transpose()?;
            (weight.squares, weight.average) = (None, None);
        }
        self.steps = 0;
        Ok(())
    }

    fn velocity(&self) -> Result<Vec<Vec<f32>>> {
        let _turn = self.turn();
        if self.weights.iter().all(|w| w.velocity.is_none()) {
            return Ok(Vec::new());
        }
        let read = |w: &Weight<B>| w.velocity.as_ref().map_or(Ok(Vec::new()), |v| self.read(v, w.length));
        self.weights.iter().map(read).collect()
    }

    fn memory(&self) -> Result<Memory> {
        let _turn = self.turn();
        let lists = |of: &dyn Fn(&Weight<B>) -> Option<&Buffer<B>>| {
            if self.weights.iter().all(|w| of(w).is_none()) {
                return Ok(Vec::new());
            }
            let read = |w: &Weight<B>| of(w).map_or(Ok(Vec::new()), |own| self.read(own, w.length));
            self.weights.iter().map(read).collect::<Result<Vec<_>>>()
        };
        let squares = lists(&|w| w.squares.as_ref())?;
        let average = lists(&|w| w.average.as_deref())?;
        Ok(Memory { squares, average, steps: self.steps })
    }

    fn remember(&mut self, memory: Memory) -> Result<()> {
        check_memory(&self.parameters()?, &memory)?;
        let _turn = self.turn();
        let b = self.ops.backend.clone();
        let upload = |values: Option<&Vec<f32>>| {
            let values = values.filter(|values| !values.is_empty());
            values.map(|v| kernels::upload(&b, v).map_err(failed::<B>("restore the optimiser"))).transpose()
        };
        for (index, weight) in self.weights.iter_mut().enumerate() {
            weight.squares = upload(memory.squares.get(index))?;
            weight.average = upload(memory.average.get(index))?.map(Arc::new);
        }
        self.steps = memory.steps;
        Ok(())
    }

    fn exchange_average(&mut self) -> Result<()> {
        for weight in &mut self.weights {
            if let Some(average) = &mut weight.average {
                std::mem::swap(&mut weight.values, average);
            }
        }
        Ok(())
    }

    fn set_rules(&mut self, rules: Rules) {
        self.decay = Decay::on(rules.decay_on, count(&self.plan).1);
        self.ops.precision = rules.precision;
        self.rules = rules;
    }

    fn rules(&self) -> Rules {
        self.rules
    }

    fn plan(&self) -> (&[Layer], Size3) {
        (&self.plan, self.input)
    }
}

/// The device's operations on the network's tensors.
struct Layers<'a, B: Backend> {
    network: &'a Placed<B>,
    /// Names given away.
    names: usize,
    pass: &'a mut ForwardContext,
    noted: Vec<(usize, Buffer<B>)>,
    /// Of the branches that are being gone through, the innermost last.
    concatenations: Vec<Concatenation<B>>,
    /// Where the next layer puts what it gives, if not in memory of its own.
    part: Option<Part<B>>,
}

impl<'a, B: Backend> Layers<'a, B> {
    fn key(&mut self) -> Result<Key<B>> {
        self.names += 1;
        self.network.ops.key(self.names - 1)
    }

    fn target(&mut self) -> Result<Target<B>> {
        Ok(Target { part: self.part.take(), key: self.key()? })
    }
}

impl<T: Tape<f32, B::Store>, B: Backend> LayerOps<T> for Layers<'_, B> {
    type Batch = Value<B, T>;
    type Shared = Value<B, ()>;
    type Part = Value<B, ()>;
    type Scores = Value<B, ()>;

    fn training(&self) -> bool {
        self.pass.training()
    }

    fn conv(
        &mut self,
        x: Value<B, T>,
        index: usize,
        window: Window,
        normalised: bool,
        input_gradient: InputGradient,
    ) -> Result<Value<B, T>> {
        let (Placed { ops, weights, convs, .. }, target) = (self.network, self.target()?);
        let first = *convs.get(index).ok_or_else(walk::short)?;
        if !normalised {
            return ops.conv(x, window, tensors(weights, first)?, input_gradient, target);
        }
        let own = tensors(weights, first)?;
        let (y, noted) = ops.conv_norm(x, window, own, input_gradient, self.pass.training(), target)?;
        self.noted.extend(noted.map(|noted| (first + 2, noted)));
        Ok(y)
    }

    fn linear(
        &mut self,
        x: Value<B, T>,
        index: usize,
        activation: Activation,
        input_gradient: InputGradient,
    ) -> Result<Value<B, T>> {
        let (Placed { ops, weights, linears, .. }, key) = (self.network, self.key()?);
        let own = tensors(weights, *linears.get(index).ok_or_else(walk::short)?)?;
        ops.linear(x.rows(), own, activation == Activation::Relu, input_gradient, key)
    }

    fn max_pool(&mut self, x: Value<B, T>, window: Window) -> Result<Value<B, T>> {
        let target = self.target()?;
        self.network.ops.max_pool(x, window, target)
    }

    fn avg_pool(&mut self, x: Value<B, T>, window: Window) -> Result<Value<B, T>> {
        let target = self.target()?;
        self.network.ops.avg_pool(x, window, target)
    }

    fn global_avg_pool(&mut self, x: Value<B, T>) -> Result<Value<B, T>> {
        let key = self.key()?;
        self.network.ops.global_avg_pool(x, key)
    }

    fn local_response_norm(&mut self, x: Value<B, T>) -> Result<Value<B, T>> {
        let key = self.key()?;
        self.network.ops.local_response_norm(x, key)
    }

    fn dropout(&mut self, x: Value<B, T>, keep_probability: f32) -> Result<Value<B, T>> {
        let key = self.key()?;
        self.network.ops.dropout(x, keep_probability, self.pass, key)
    }

    fn split(&mut self, x: Value<B, T>) -> Result<(Value<B, ()>, T)> {
        let Value { data, part, n, size, key, tape } = x;
        Ok((Value { data, part, n, size, key, tape: () }, tape))
    }

    fn join(&mut self, x: &Value<B, ()>, tape: T) -> Value<B, T> {
        Value { data: x.data.clone(), part: None, n: x.n, size: x.size, key: x.key.clone(), tape }
    }

    fn begin(&mut self, x: &Value<B, ()>, branches: &[Vec<Layer>]) -> Result<()> {
        let [height, width, _] = Layer::Branches(branches.to_vec()).output(x.size)?;
        let channels = branches.iter().map(|branch| Ok(output(branch, x.size)?[2]));
        let channels = channels.collect::<Result<Vec<usize>>>()?;
        self.concatenations.push(self.network.ops.concatenation(x.n, [height, width], &channels)?);
        Ok(())
    }

    fn end(&mut self, index: usize) {
        self.part = self.concatenations.last().map(|all| all.part(index));
    }

    // It looks whether a gradient is there.
    fn part(&mut self, x: Value<B, T>, _: InputGradient) -> Result<(Value<B, ()>, T)> {
        self.split(x)
    }

    fn concat(&mut self, parts: Vec<Value<B, ()>>, tape: T) -> Result<Value<B, T>> {
        let (key, concatenation) = (self.key()?, self.concatenations.pop().ok_or_else(walk::short)?);
        self.network.ops.concat(parts, concatenation, tape, key)
    }

    fn scores(&mut self, x: Value<B, T>) -> Result<(Value<B, ()>, T)> {
        self.split(x.rows())
    }
}

/// `N` tensors from `first` on.
fn tensors<B: Backend, const N: usize>(weights: &[Weight<B>], first: usize) -> Result<[&Weight<B>; N]> {
    let found = weights.get(first..first + N).ok_or_else(walk::short)?;
    Ok(std::array::from_fn(|i| &found[i]))
}
