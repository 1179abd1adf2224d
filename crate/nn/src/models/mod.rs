//! The architectures, one file each, and the one interface through which they are trained.
//!
//! A network of the paper's kind is added here: a line of [`ModelKind`]'s list says what it is. What it is called, made of
//! and trained with is its [`Description`]; nothing else has to be told of it.

pub mod alexnet;
pub mod custom;
mod description;
pub mod inception;
pub mod inception_v3;
mod initial;
pub mod mlp;
pub mod plan;
pub mod planned;
pub(crate) mod walk;

use crate::image::AugmentedImage;
use crate::image::{CROP, Pixels};
use crate::kernel_methods::triangle::free_memory;
use crate::ops::activation::Activation;
use crate::ops::geometry::LANES;
use crate::ops::norm::follow;
use crate::ops::{ForwardContext, Rows, elements, elements_mut, factored};
use crate::optim::{Decay, Descent, Memory, Rules, SgdStep, Tensors};
use crate::text::thousands;
use crate::{Error, Result, threads};
pub use custom::CustomModel;
pub use description::{Description, Family, Layers};
use dfdx::losses::cross_entropy_with_logits_loss;
use dfdx::nn::tensor_collection::*;
use dfdx::prelude::*;
pub use initial::Init;
use plan::{AUXILIARY, Layer};
use planned::Planned;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::path::Path;
use std::str::FromStr;

macro_rules! networks {
    ($($(#[$about:meta])* $kind:ident: $description:expr,)*) => {
        /// An architecture: one of the paper, or one's own. The names in records are those on the command line; they are part
        /// of runs' keys. One's own is `{"own": {"name": ..., "layers": [...]}}`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ModelKind {
            $($(#[$about])* $kind,)*
            /// A network of one's own.
            Custom(CustomModel),
        }

        impl ModelKind {
            /// Every architecture but one's own, in the order of the paper's tables.
            pub const ALL: [ModelKind; [$(stringify!($kind)),*].len()] = [$(ModelKind::$kind),*];

            /// All that is known of it.
            pub fn description(self) -> Description {
                match self {
                    $(ModelKind::$kind => $description,)*
                    ModelKind::Custom(own) => custom::describe(own),
                }
            }
        }
    };
}

networks! {
    /// The small Inception: 1,649,402 parameters on 28x28x3.
    Inception: inception::DESCRIPTION,
    /// The small Inception without batch normalisation: as many parameters.
    InceptionNoBn: inception::WITHOUT_NORM,
    /// The small Alexnet: 1,387,786 parameters on 28x28x3.
    Alexnet: alexnet::DESCRIPTION,
    /// Three hidden layers of 512 units: 1,735,178 parameters on 28x28x3.
    Mlp3x512: mlp::describe("mlp3x512", "MLP 3x512", &[512, 512, 512], "mlp([512, 512, 512])"),
    /// One hidden layer of 512 units: 1,209,866 parameters on 28x28x3.
    Mlp1x512: mlp::describe("mlp1x512", "MLP 1x512", &[512], "mlp([512])"),
    /// Inception V3, the paper's network for ImageNet: 23.8 million parameters.
    InceptionV3: inception_v3::DESCRIPTION,
    /// Inception V3 with its auxiliary classifier.
    InceptionV3Aux: inception_v3::WITH_AUXILIARY,
}

/// How a network of one's own is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    own: CustomModel,
}

impl Serialize for ModelKind {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        if let ModelKind::Custom(own) = *self {
            return Own { own }.serialize(to);
        }
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for ModelKind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        from.deserialize_any(Written)
    }
}

/// Reads what [`ModelKind`] is written as.
struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = ModelKind;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "a network: {}, or {{\"own\": {{\"name\": ..., \"layers\": ...}}}}", ModelKind::names())
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> std::result::Result<ModelKind, E> {
        let kind = ModelKind::ALL.into_iter().find(|kind| kind.name() == name);
        kind.ok_or_else(|| E::custom(format!("unknown network {name:?}; there are {}", ModelKind::names())))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<ModelKind, A::Error> {
        let Own { own } = Own::deserialize(MapAccessDeserializer::new(map))?;
        Ok(ModelKind::Custom(own))
    }
}

/// The networks of [`ModelKind::ALL`] in PyTorch, as source of a Python program, for comparisons: `MODELS` has a function a name,
/// which makes the network; `PHOTOGRAPHS` the names of those that are for photographs.
pub fn pytorch() -> String {
    let all = || ModelKind::ALL.into_iter().map(ModelKind::description);
    let twin = |d: Description| Some(format!("    {:?}: lambda: {},\n", d.name, d.pytorch?));
    let large = all().filter(|d| d.family == Family::InceptionV3).map(|d| format!("{:?}, ", d.name));
    format!(
        "{}\n\nMODELS = {{\n{}}}\nPHOTOGRAPHS = [{}]\n",
        include_str!("torch_models.py"),
        all().filter_map(twin).collect::<String>(),
        large.collect::<String>()
    )
}

/// Whether a network can be `width` times as wide as the paper's: above 0, at most 16.
pub fn is_width(width: f64) -> bool {
    width > 0.0 && width <= 16.0
}

impl ModelKind {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        self.description().name
    }

    /// The names on the command line, as a list to choose from.
    pub fn names() -> String {
        ModelKind::ALL.map(ModelKind::name).join(", ")
    }

    /// The name in the paper's tables; one's own network's name.
    pub fn title(self) -> &'static str {
        self.description().title
    }

    /// Which networks it is trained like.
    pub fn family(self) -> Family {
        self.description().family
    }

    /// Whether it has no convolutions, and is no network of one's own.
    pub fn is_mlp(self) -> bool {
        self.family() == Family::Mlp
    }

    /// Whether it is made for photographs, not for small images.
    pub fn is_for_photographs(self) -> bool {
        self.family() == Family::InceptionV3
    }

    /// Whether a layer has batch normalisation.
    pub fn is_normalised(self) -> bool {
        self.description().normalised
    }

    /// The initial learning rate unless something else is asked for: appendix A's, where it has one.
    pub fn learning_rate(self) -> f64 {
        self.description().learning_rate
    }

    /// Images a step unless something else is asked for; the paper states none.
    pub fn batch_size(self) -> usize {
        self.description().batch_size
    }

    /// How the weights start unless something else is asked for. The paper states nothing; Alexnet's is
    /// that of the tutorial from which the network is taken, the others' is TF-Slim's.
    pub fn init(self) -> Init {
        self.description().init
    }

    /// The layers of the network for images of `input` (height, width, channels); `width` multiplies the
    /// channels and units of all hidden layers.
    ///
    /// Errors: [`Error::Argument`] for a width that is not above 0 or is above 16, for no classes, and, naming the network
    /// and the layer, for images that are too small and for a last layer that gives not one score per class.
    pub fn plan(self, input: [usize; 3], classes: usize, width: f64) -> Result<Vec<Layer>> {
        let operation = "plan the network";
        if !is_width(width) {
            return Err(Error::argument(operation, format!("width factor {width} (above 0, at most 16)")));
        }
        if classes == 0 || input.contains(&0) {
            let problem = format!("{classes} classes, images of {input:?}: none may be 0");
            return Err(Error::argument(operation, problem));
        }
        // Of several networks, the error says which it is.
        let Description { name, layers, .. } = self.description();
        let named = |error: Error| plan::at(name, error);
        let plan = match layers {
            Layers::Hidden(units) => mlp::plan(units, classes, width),
            Layers::Planned(plan) => plan(input, classes, width).map_err(named)?,
            Layers::Own(layers) => custom::plan(layers, width),
        };
        let outputs = plan::output(&plan, input).map_err(named)?;
        if outputs != [1, 1, classes] {
            let expected = [1, 1, classes];
            let problem =
                format!("the last layer: expected shape {expected:?}, a score per class, got {outputs:?}");
            return Err(named(Error::argument(operation, problem)));
        }
        Ok(plan)
    }

    /// The network for images of 28x28 pixels, with weights drawn from `seed`.
    ///
    /// Errors: as for [`ModelKind::plan`] and [`build_plan`].
    pub fn build(self, channels: usize, classes: usize, init: Init, seed: u64) -> Result<Box<dyn Network>> {
        self.build_for([CROP, CROP, channels], classes, 1.0, init, seed)
    }

    /// The network for images of `input` (height, width, channels), `width` times as wide as the paper's, with
    /// weights drawn from `seed`.
    ///
    /// Errors: as for [`ModelKind::plan`] and [`build_plan`].
    pub fn build_for(
        self,
        input: [usize; 3],
        classes: usize,
        width: f64,
        init: Init,
        seed: u64,
    ) -> Result<Box<dyn Network>> {
        build_plan(self.plan(input, classes, width)?, input, init, seed)
    }
}

impl std::fmt::Display for ModelKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ModelKind {
    type Err = Error;
    fn from_str(text: &str) -> Result<ModelKind> {
        if text.ends_with(".json") {
            return CustomModel::read(Path::new(text)).map(ModelKind::Custom);
        }
        ModelKind::ALL.into_iter().find(|m| m.name() == text).ok_or_else(|| {
            let names = ModelKind::names();
            Error::argument("model", format!("{text:?} is none of {names}, nor a .json file of one's own"))
        })
    }
}

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

    /// Replaces the parameters and the optimiser's velocities (in the same order, empty ones for running
    /// statistics; none at all before the first step).
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

/// Bytes that are taken for free where the system does not say: more than a processor can address.
const ADDRESSABLE: u64 = 1 << 47;

/// Checks, before anything is spent, that of `free` bytes (`None`: the system does not say) enough are there for `network`, of so
/// many `parameters`, which takes `bytes`. The system ends a program that asks for too much, whatever it was doing.
///
/// Errors: [`Error::Missing`] with the parameters, the memory that they take and what is free.
pub fn check_room(network: &str, parameters: u128, bytes: u128, free: Option<u64>) -> Result<()> {
    let free = free.unwrap_or(ADDRESSABLE);
    if bytes <= u128::from(free) {
        return Ok(());
    }
    let many = usize::try_from(parameters).map_or_else(|_| format!("{parameters:.1e}"), thousands);
    let (takes, free) = (bytes as f64 / 1e9, free as f64 / 1e9);
    Err(Error::Missing {
        what: format!("{network} of {many} parameters takes {takes:.1} GB of memory, {free:.1} GB are free"),
        remedy: "free some, or take fewer channels and units (a smaller width), smaller images or batches"
            .into(),
    })
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
        let mut finite = Finite(true);
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
    let fits = lists.len() == parameters.len()
        && lists.iter().zip(parameters).all(|(v, p)| v.is_empty() || v.len() == p.values.len());
    if !lists.is_empty() && !fits {
        return Err(Error::argument(operation, "other sizes than the weights"));
    }
    Ok(())
}

/// How many rows of `n x classes` scores have their largest value at the label. A row with a NaN
/// counts as wrong; of equal scores the first wins.
pub fn count_correct(scores: &[f32], labels: &[u16], classes: usize) -> usize {
    let hit = |(row, &label): (&[f32], &u16)| {
        let mut best = 0;
        for (i, v) in row.iter().enumerate() {
            if v.is_nan() {
                return false;
            }
            if *v > row[best] {
                best = i;
            }
        }
        best == usize::from(label)
    };
    scores.chunks_exact(classes).zip(labels).filter(|pair| hit(*pair)).count()
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
struct Finite(bool);

impl TensorVisitor<f32, Cpu> for Finite {
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
