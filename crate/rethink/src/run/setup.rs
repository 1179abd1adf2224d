//! Before a run's first step: its configuration and images are checked, its network is made.

use crate::data::Dataset;
use crate::run::config::{Parallel, RunConfig};
use crate::run::loader;
use crate::{Error, Result};
use rethink_nn::device::Device;
use rethink_nn::distributed::Parallelism;
use rethink_nn::memory::{check_room, free_memory};
use rethink_nn::models::plan::{self, Layer, Size3, without_dropout};
use rethink_nn::models::{self, Network};
use rethink_nn::optim::DecayOn;
use rethink_nn::text::{counted, thousands};

/// How many images are trained and tested on.
pub(super) struct DataSizes {
    pub train: usize,
    pub test: usize,
}

/// Whether `config` can be trained on `data`: its values, its images, its network, and whether there is memory for this.
///
/// Errors: [`Error::Argument`] for a value out of its range or for other data; those of
/// [`rethink_nn::models::ModelKind::plan`] and [`check_room`].
pub fn check(config: &RunConfig, data: &Dataset) -> Result<()> {
    sizes(config, data)?;
    layers(config, data).map(|_| ())
}

/// A network that needs larger images than these is wrong in another way.
const MOST_INPUT: usize = 512;

/// Checks the configuration's values against the data, before anything is spent.
pub(super) fn sizes(config: &RunConfig, data: &Dataset) -> Result<DataSizes> {
    let operation = "training run";
    let hyper = &config.hyper;
    let (train, test) = (config.data.train, config.data.test);
    let problem = if config.data.fingerprint != data.fingerprint {
        format!("configured for {}, given {data:?}", config.data.title)
    } else if let Some(problem) =
        too_many(train, data.train.len(), "training").or_else(|| too_many(test, data.test.len(), "test"))
    {
        format!("{}: {problem}", data.title)
    } else if let Some(problem) = hyper.problem() {
        problem
    } else if config.steps_per_epoch().checked_mul(hyper.epochs).is_none_or(|all| u32::try_from(all).is_err())
    {
        format!(
            "{} epochs of {} steps each: more than {} in all",
            hyper.epochs,
            config.steps_per_epoch(),
            u32::MAX
        )
    } else if hyper.fitted_epochs == 0 {
        "fitted after 0 epochs in a row: 1 or more".into()
    } else if config.log_every == 0 || config.eval_every == 0 {
        format!(
            "a row every {} steps, a test every {} epochs: none may be 0",
            config.log_every, config.eval_every
        )
    } else if let (Some(Parallel::Asynchronous { .. }), false) =
        (config.parallel, hyper.optimizer.is_sgd() && hyper.average.is_none())
    {
        let option = match hyper.optimizer.is_sgd() {
            true => "average".into(),
            false => format!("optimizer {}", hyper.optimizer.name()),
        };
        format!("{option} is not for asynchronous workers, whose server keeps weights and velocities alone")
    } else if let Some(problem) = config.corruption.problem() {
        problem
    } else if let Some(problem) = loader::size_problem(config, data) {
        problem
    } else {
        return Ok(DataSizes { train, test });
    };
    Err(Error::argument(operation, problem))
}

/// What is wrong with taking `wanted` images of a split of so many, if anything.
fn too_many(wanted: usize, there: usize, split: &str) -> Option<String> {
    let wrong = wanted == 0 || wanted > there;
    wrong.then(|| {
        format!("{} wanted, 1 to {} are there", counted(wanted, &format!("{split} image")), thousands(there))
    })
}

/// The network of a configuration, at its start, on the device that is trained on.
///
/// Errors: those of [`rethink_nn::models::ModelKind::plan`], [`check_room`] and [`Device::place`].
pub fn network(config: &RunConfig, data: &Dataset) -> Result<Box<dyn Network>> {
    let (plan, input) = layers(config, data)?;
    let (device, precision) = (Device::current()?, config.hyper.precision);
    if device == Device::Cpu {
        precision.check()?;
    }
    let network = models::build_plan(plan, input, config.hyper.init, config.seeds.init)?;
    let mut network = device.take(network)?;
    network.set_rules(config.hyper.rules());
    Ok(network)
}

/// The layers of a configuration's network, for which there is memory, and the height, width and channels of what it sees.
fn layers(config: &RunConfig, data: &Dataset) -> Result<(Vec<Layer>, Size3)> {
    // Photographs have three channels, and so have small images that the network sees as photographs.
    let channels = if loader::as_photographs(config, data) { 3 } else { data.shape[0] };
    let input = [config.input, config.input, channels];
    let planned = |side| config.model.plan([side, side, channels], data.classes.len(), config.width_factor);
    let mut plan = planned(config.input).map_err(|error| {
        let least = (config.input + 1..=MOST_INPUT).find(|side| planned(*side).is_ok());
        let Some(least) = least else { return Error::from(error) };
        let side = config.input;
        let problem = format!(
            "{error}: images of {side}x{side} are too small for it, {least}x{least} are not (--input {least})"
        );
        Error::argument("training run", problem)
    })?;
    if config.hyper.without_dropout {
        plan = without_dropout(plan);
    }
    let linears = plan.iter().filter(|layer| matches!(layer, Layer::Linear { .. })).count();
    if config.hyper.weight_decay > 0.0 && config.hyper.weight_decay_on == DecayOn::Fc && linears < 2 {
        let problem = format!("weight decay on fc, but {} has no fully connected hidden layer", config.model);
        return Err(Error::argument("training run", problem));
    }
    let (parameters, bytes) = needed(config, &plan, input)?;
    check_room(config.model.name(), parameters, bytes, free_memory())?;
    Ok((plan, input))
}

/// How many numbers are trained, and the least bytes of the computer's memory that training takes: weights, velocities and
/// gradients, what else the optimiser keeps, and the largest of what a layer makes of a batch. A card, which has these in its own memory,
/// says itself what it lacks; the weights are made beside it.
fn needed(config: &RunConfig, plan: &[Layer], input: Size3) -> Result<(u128, u128)> {
    let hyper = &config.hyper;
    let parameters = plan::all_parameters(plan, input)?;
    let (mut of_each, mut images) = (1, 0);
    if Device::current()? == Device::Cpu {
        of_each = 3 + u128::from(!hyper.optimizer.is_sgd()) + u128::from(hyper.average.is_some());
        images = hyper.batch_size.min(config.data.train);
        if let Some(Parallel::Synchronous { ranks }) = config.parallel {
            images /= ranks.max(1);
        }
    }
    let of_batch = plan::largest(plan, input)?.saturating_mul(images as u128);
    let numbers = parameters.saturating_mul(of_each).saturating_add(of_batch);
    Ok((parameters, numbers.saturating_mul(size_of::<f32>() as u128)))
}

/// Whether the processes are those that the configuration names.
///
/// Errors: [`Error::Argument`] where they are not.
pub(super) fn check_parallelism(config: &RunConfig, processes: &Parallelism) -> Result<()> {
    let fits = match (config.parallel, processes) {
        (None, Parallelism::Alone) => true,
        (Some(Parallel::Synchronous { ranks }), Parallelism::Synchronous(group)) => ranks == group.size(),
        (Some(Parallel::Asynchronous { workers }), Parallelism::Asynchronous(group, _)) => {
            workers == group.size()
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let wanted = config.parallel.map_or("one process".into(), Parallel::describe);
    let problem =
        format!("of {wanted}: `rethink run` trains with one process, `rethink-mpi run` with several");
    Err(Error::argument("training run", problem))
}
