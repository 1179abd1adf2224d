//! A plan's network on the processor, through dfdx's tape.

use crate::memory::{check_room, free_memory};
use crate::models::initial::{self, Init};
use crate::models::network::{
    Network, Parameter, Role, StepOutcome, are_finite, check_memory, check_velocity, count_correct,
};
use crate::models::plan::{self, AUXILIARY, Layer};
use crate::models::planned::Planned;
use crate::ops::geometry::LANES;
use crate::ops::norm::follow;
use crate::ops::{ForwardContext, Rows, elements, elements_mut, factored};
use crate::optim::{Decay, Descent, Memory, Rules, SgdStep, Tensors};
use crate::{Error, Result, threads};
use dfdx::losses::cross_entropy_with_logits_loss;
use dfdx::nn::tensor_collection::*;
use dfdx::prelude::*;

/// How many numbers (pixels times channels) each thread scores at a time. Few enough that a layer's output is still in the cache for
/// the next layer. Scores do not depend on it.
const SCORED: usize = 32 * 28 * 28 * 3;
/// Images that are scored together at most.
const MOST_SCORED: usize = 256;

struct CpuNetwork {
    model: Planned,
    classes: usize,
    device: Cpu,
    gradients: Option<Gradients<f32, Cpu>>,
    descent: Descent,
}

/// The network of a `plan` for images of `input` (height, width, channels), with weights drawn from `seed`.
///
/// Errors: as for [`check_room`] and [`Planned::new`].
pub fn build_plan(plan: Vec<Layer>, input: [usize; 3], init: Init, seed: u64) -> Result<Box<dyn Network>> {
    let device = Cpu::default();
    let classes = plan::output(&plan, input)?[2];
    let parameters = plan::all_parameters(&plan, input)?;
    let weights = parameters.saturating_mul(size_of::<f32>() as u128);
    check_room("the network", parameters, weights, free_memory())?;
    let mut model = Planned::new(&device, plan, input)?;
    initial::draw(&mut model, init, seed)?;
    Ok(Box::new(CpuNetwork { model, classes, device, gradients: None, descent: Descent::default() }))
}

impl CpuNetwork {
    fn batch(&self, images: Vec<f32>) -> Result<Rows> {
        let size: usize = self.model.input().iter().product();
        if images.is_empty() || !images.len().is_multiple_of(size) {
            let (operation, got) = ("batch of images", vec![images.len()]);
            return Err(Error::Shape { operation, expected: vec![images.len() / size, size], got });
        }
        let n = images.len() / size;
        self.device.try_tensor_from_vec(images, (n, size)).map_err(Error::tensor("batch of images"))
    }

    fn targets(&self, labels: &[u16]) -> Result<Rows> {
        let operation = "training step";
        let (on, off) = self.descent.rules().targets(self.classes);
        let mut targets = vec![off; labels.len() * self.classes];
        for (row, &label) in targets.chunks_exact_mut(self.classes).zip(labels) {
            let Some(target) = row.get_mut(usize::from(label)) else {
                return Err(Error::argument(operation, format!("label {label} of {} classes", self.classes)));
            };
            *target = on;
        }
        let shape = (labels.len(), self.classes);
        self.device.try_tensor_from_vec(targets, shape).map_err(Error::tensor(operation))
    }
}

impl CpuNetwork {
    /// The forward pass and, by `backward`, the backward pass.
    fn passes<B>(
        &mut self,
        images: Vec<f32>,
        labels: &[u16],
        pass: &mut ForwardContext,
        backward: impl FnOnce(Tensor<Rank0, f32, Cpu, OwnedTape<f32, Cpu>>) -> B,
    ) -> Result<(StepOutcome, B)> {
        let operation = "training step";
        let images = self.batch(images)?;
        let n = images.shape().0;
        if labels.len() != n {
            return Err(Error::Shape { operation, expected: vec![n], got: vec![labels.len()] });
        }
        let targets = self.targets(labels)?;
        let gradients = match self.gradients.take() {
            Some(gradients) => gradients,
            None => self.model.gradients()?,
        };
        let (scores, auxiliary) = self.model.forward(images.traced(gradients), pass)?;
        let correct = elements(&scores).map_or(0, |scores| count_correct(scores, labels, self.classes));
        let mut loss = cross_entropy_with_logits_loss(scores, targets.clone());
        let value = loss.array();
        if let Some(auxiliary) = auxiliary {
            let (main, tape) = loss.split_tape();
            let (beside, tape) =
                (cross_entropy_with_logits_loss(auxiliary.put_tape(tape), targets) * AUXILIARY).split_tape();
            loss = main.put_tape(tape) + beside;
        }
        if let Some(part) = pass.part() {
            loss = loss * part.weight();
        }
        Ok((StepOutcome { loss: value, correct }, backward(loss)))
    }
}

impl Network for CpuNetwork {
    fn train_step(
        &mut self,
        images: Vec<f32>,
        labels: &[u16],
        step: SgdStep,
        mut pass: ForwardContext,
    ) -> Result<StepOutcome> {
        let operation = "training step";
        let (outcome, (gradients, factored)) =
            self.passes(images, labels, &mut pass, |loss| factored::collect(|| loss.try_backward()))?;
        let mut gradients = gradients.map_err(Error::tensor(operation))?;
        let CpuNetwork { descent, model, .. } = self;
        descent.update(model, &mut gradients, factored, step).map_err(Error::tensor(operation))?;
        gradients.drop_non_leafs();
        self.gradients = Some(gradients);
        let mut noted = Follow { pass: &pass, memory: self.descent.rules().norm_memory };
        self.model.visit_mut(&mut noted).map_err(Error::tensor(operation))?;
        self.descent.end(&mut self.model).map_err(Error::tensor(operation))?;
        Ok(outcome)
    }

    fn gradients(
        &mut self,
        images: Vec<f32>,
        labels: &[u16],
        mut pass: ForwardContext,
    ) -> Result<(StepOutcome, Vec<Vec<f32>>)> {
        let operation = "gradients";
        let (outcome, gradients) = self.passes(images, labels, &mut pass, |loss| loss.try_backward())?;
        let mut gradients = gradients.map_err(Error::tensor(operation))?;
        let mut taken = Take { pass: &pass, gradients: &mut gradients, taken: Vec::new() };
        self.model.visit(&mut taken).map_err(Error::tensor(operation))?;
        let taken = taken.taken;
        gradients.drop_non_leafs();
        self.gradients = Some(gradients);
        Ok((outcome, taken))
    }

    fn apply(&mut self, gradients: &[Vec<f32>], step: SgdStep) -> Result<()> {
        let operation = "apply the gradients";
        let sizes = self.parameters()?.into_iter().map(|p| p.values.len());
        if !sizes.eq(gradients.iter().map(Vec::len)) {
            return Err(Error::argument(operation, "other sizes than the weights"));
        }
        self.descent.apply(&mut self.model, gradients, step).map_err(Error::tensor(operation))
    }

    fn roles(&self) -> Vec<Role> {
        let mut roles = Roles { decay: self.descent.decay(), matrices: 0, roles: Vec::new() };
        match self.model.visit(&mut roles) {
            Ok(()) => roles.roles,
            Err(never) => match never {},
        }
    }

    fn logits(&self, images: Vec<f32>) -> Result<Vec<f32>> {
        let scores = |images: Vec<f32>| -> Result<Vec<f32>> {
            let (scores, _) = self.model.forward(self.batch(images)?, &mut ForwardContext::evaluation())?;
            Ok(scores.as_vec())
        };
        let size: usize = self.model.input().iter().product();
        let at_once = (SCORED * threads::count().max(2) / size).clamp(LANES, MOST_SCORED);
        if images.len() <= at_once * size {
            return scores(images);
        }
        let mut of_all = Vec::new();
        for images in images.chunks(at_once * size) {
            of_all.extend(scores(images.to_vec())?);
        }
        Ok(of_all)
    }

    fn parameter_count(&self) -> usize {
        self.model.parameter_count()
    }

    fn parameters(&self) -> Result<Vec<Parameter>> {
        let mut read = Read(Vec::new());
        match self.model.visit_named(&mut read) {
            Ok(()) => Ok(read.0),
            Err(never) => match never {},
        }
    }

    fn is_finite(&self) -> Result<bool> {
        let mut finite = FiniteCheck(true);
        match self.model.visit(&mut finite) {
            Ok(()) => Ok(finite.0),
            Err(never) => match never {},
        }
    }

    fn restore(&mut self, parameters: &[Parameter], velocity: Vec<Vec<f32>>) -> Result<()> {
        let mut write = Write { parameters, at: 0 };
        self.model.visit_named_mut(&mut write)?;
        if write.at != parameters.len() {
            let problem = format!("{} tensors for a model of {}", parameters.len(), write.at);
            return Err(Error::argument("restore the weights", problem));
        }
        check_velocity(parameters, &velocity)?;
        (self.descent.velocity, self.descent.memory) = (velocity, Memory::default());
        self.gradients = None;
        Ok(())
    }

    fn velocity(&self) -> Result<Vec<Vec<f32>>> {
        Ok(self.descent.velocity.clone())
    }

    fn memory(&self) -> Result<Memory> {
        Ok(self.descent.memory.clone())
    }

    fn remember(&mut self, memory: Memory) -> Result<()> {
        check_memory(&self.parameters()?, &memory)?;
        self.descent.memory = memory;
        Ok(())
    }

    fn exchange_average(&mut self) -> Result<()> {
        self.descent.exchange(&mut self.model).map_err(Error::tensor("exchange weights and averages"))
    }

    fn set_rules(&mut self, rules: Rules) {
        self.model.set_precision(rules.precision);
        self.descent.set_rules(rules, self.model.linears().len());
    }

    fn rules(&self) -> Rules {
        self.descent.rules()
    }

    fn plan(&self) -> (&[Layer], [usize; 3]) {
        (self.model.plan(), self.model.input())
    }
}

/// Moves running statistics towards what the batch had.
struct Follow<'a> {
    pass: &'a ForwardContext,
    /// [`Rules::norm_memory`].
    memory: f32,
}

impl TensorVisitor<f32, Cpu> for Follow<'_> {
    type Viewer = ViewTensorMut;
    type Err = CpuError;
    type E2 = f32;
    type D2 = Cpu;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, f32, Cpu>,
        tensor: &mut Tensor<S, f32, Cpu>,
    ) -> std::result::Result<Option<Tensor<S, f32, Cpu>>, CpuError> {
        if options.do_gradient_update {
            return Ok(None);
        }
        if let Some(noted) = self.pass.noted(tensor) {
            for (running, now) in elements_mut(tensor).unwrap_or_default().iter_mut().zip(noted) {
                *running = follow(self.memory, *running, *now);
            }
        }
        Ok(None)
    }
}

/// Takes the gradients of a model's tensors, and leaves zeros.
struct Take<'a> {
    pass: &'a ForwardContext,
    gradients: &'a mut Gradients<f32, Cpu>,
    taken: Vec<Vec<f32>>,
}

impl TensorVisitor<f32, Cpu> for Take<'_> {
    type Viewer = ViewTensorRef;
    type Err = CpuError;
    type E2 = f32;
    type D2 = Cpu;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, f32, Cpu>,
        tensor: &Tensor<S, f32, Cpu>,
    ) -> std::result::Result<Option<Tensor<S, f32, Cpu>>, CpuError> {
        let Some(values) = elements(tensor) else { return Ok(None) };
        self.taken.push(if options.do_gradient_update {
            let gradient = self.gradients.get_or_alloc_mut(tensor)?;
            let taken = gradient.to_vec();
            gradient.fill(0.0);
            taken
        } else {
            self.pass.noted(tensor).unwrap_or(values).to_vec()
        });
        Ok(None)
    }
}

struct Roles {
    decay: Decay,
    matrices: usize,
    roles: Vec<Role>,
}

impl TensorVisitor<f32, Cpu> for Roles {
    type Viewer = ViewTensorRef;
    type Err = std::convert::Infallible;
    type E2 = f32;
    type D2 = Cpu;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, f32, Cpu>,
        tensor: &Tensor<S, f32, Cpu>,
    ) -> std::result::Result<Option<Tensor<S, f32, Cpu>>, Self::Err> {
        if tensor.shape().num_elements() > 0 {
            self.roles.push(if options.do_gradient_update {
                Role::Trained { decayed: self.decay.acts_on(S::NUM_DIMS, &mut self.matrices) }
            } else {
                Role::Statistic
            });
        }
        Ok(None)
    }
}

struct Read(Vec<Parameter>);

impl TensorVisitor<f32, Cpu> for Read {
    type Viewer = (ViewTensorRef, ViewTensorName);
    type Err = std::convert::Infallible;
    type E2 = f32;
    type D2 = Cpu;

    fn visit<S: Shape>(
        &mut self,
        _: TensorOptions<S, f32, Cpu>,
        (tensor, name): (&Tensor<S, f32, Cpu>, String),
    ) -> std::result::Result<Option<Tensor<S, f32, Cpu>>, Self::Err> {
        let shape: Vec<usize> = tensor.shape().concrete().into_iter().collect();
        if shape.contains(&0) {
            return Ok(None);
        }
        let values = elements(tensor).map_or_else(|| tensor.as_vec(), <[f32]>::to_vec);
        self.0.push(Parameter { name, shape, values });
        Ok(None)
    }
}

/// Whether all tensors so far are of numbers.
struct FiniteCheck(bool);

impl TensorVisitor<f32, Cpu> for FiniteCheck {
    type Viewer = ViewTensorRef;
    type Err = std::convert::Infallible;
    type E2 = f32;
    type D2 = Cpu;

    fn visit<S: Shape>(
        &mut self,
        _: TensorOptions<S, f32, Cpu>,
        tensor: &Tensor<S, f32, Cpu>,
    ) -> std::result::Result<Option<Tensor<S, f32, Cpu>>, Self::Err> {
        // A layer without batch normalisation has empty statistics, which dfdx cannot read.
        if tensor.shape().num_elements() > 0 {
            self.0 = self.0 && elements(tensor).map_or_else(|| are_finite(&tensor.as_vec()), are_finite);
        }
        Ok(None)
    }
}

struct Write<'a> {
    parameters: &'a [Parameter],
    at: usize,
}

impl TensorVisitor<f32, Cpu> for Write<'_> {
    type Viewer = (ViewTensorMut, ViewTensorName);
    type Err = Error;
    type E2 = f32;
    type D2 = Cpu;

    fn visit<S: Shape>(
        &mut self,
        _: TensorOptions<S, f32, Cpu>,
        (tensor, name): (&mut Tensor<S, f32, Cpu>, String),
    ) -> Result<Option<Tensor<S, f32, Cpu>>> {
        let shape: Vec<usize> = tensor.shape().concrete().into_iter().collect();
        if shape.contains(&0) {
            return Ok(None);
        }
        let given = self.parameters.get(self.at);
        let Some(given) = given.filter(|p| {
            p.name == name && p.shape == shape && p.values.len() == shape.iter().product::<usize>()
        }) else {
            let found = given.map_or("nothing".into(), |p| format!("{} {:?}", p.name, p.shape));
            return Err(Error::argument(
                "restore the weights",
                format!("expected {name} {shape:?}, found {found}"),
            ));
        };
        if let Some(values) = elements_mut(tensor) {
            values.copy_from_slice(&given.values);
        }
        self.at += 1;
        Ok(None)
    }
}
