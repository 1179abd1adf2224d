//! Whether a device computes what the processor does: every operation, training steps of every network, and the kernel
//! equation.

use crate::Result;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rethink::data::augmentation::Augmentation;
use rethink::data::shapes10;
use rethink::measure::kernel_equation::{Dual, dual};
use rethink_nn::image::AugmentedImage;
use rethink_nn::image::Pixels;
use rethink_nn::kernel_methods::dense::{Dense, Features, Products, Purpose};
use rethink_nn::kernel_methods::gaussian::Gaussian;
use rethink_nn::kernel_methods::on_features::mean_squared_distance;
use rethink_nn::kernel_methods::random_conv::RandomConv;
use rethink_nn::kernel_methods::solve::{Kernel, solve};
use rethink_nn::models::Init;
use rethink_nn::models::plan::Layer;
use rethink_nn::models::{ModelKind, Network, Parameter, Role, build_plan};
use rethink_nn::numbers::largest;
use rethink_nn::ops::activation::Activation;
use rethink_nn::ops::conv::{Padding, Window};
use rethink_nn::ops::{ForwardContext, Size3};
use rethink_nn::optim::{DecayOn, Optimizer};
use rethink_nn::optim::{Rules, SgdStep};
use rethink_nn::precision::Precision;

/// The largest difference allowed of products in float32, as a share of the largest number of a tensor.
pub const TOLERANCE: f64 = 1e-3;

/// One check.
#[derive(Clone, Debug)]
pub struct DeviceCheck {
    /// What was compared.
    pub name: String,
    /// The largest difference found, as a share of the largest number of the tensor that it is in.
    pub difference: f64,
    /// Where.
    pub place: String,
    /// The largest difference allowed.
    pub allowed: f64,
}

impl DeviceCheck {
    /// Whether the difference is as small as it must be. A NaN is not.
    pub fn passed(&self) -> bool {
        self.difference <= self.allowed
    }
}

/// Puts a network on the device.
pub type ToDevice<'a> = &'a dyn Fn(&dyn Network) -> rethink_nn::Result<Box<dyn Network>>;

const CLASSES: usize = 7;

/// A small network of each kind of layer, behind a convolution so that its gradient goes somewhere.
///
/// Errors: those of the networks.
pub fn operations(place: ToDevice, say: &mut dyn FnMut(&DeviceCheck)) -> Result<Vec<DeviceCheck>> {
    let window = |kernel, stride, padding| Window { kernel, stride, padding };
    let conv = |kernel, stride, padding, outputs, normalised| Layer::Conv {
        window: window(kernel, stride, padding),
        outputs,
        normalised,
    };
    let (same, valid) = (Padding::Same, Padding::Valid);
    let first = || Layer::conv(3, 6);
    let narrow = || Layer::conv(1, 5);
    let cases = [
        ("fully connected layers", vec![Layer::hidden(11)]),
        ("convolution, 3x3", vec![first()]),
        ("convolution, 3x3 on four channels a thread", vec![Layer::conv(3, 8), Layer::conv(3, 4)]),
        ("convolution, 5x5 every 2 pixels", vec![first(), conv((5, 5), (2, 2), same, 4, false)]),
        ("convolution, 3x2 every 2x3 pixels, inside", vec![first(), conv((3, 2), (2, 3), valid, 4, false)]),
        (
            "convolution, 3x3 by Winograd",
            vec![Layer::conv(3, 16), Layer::conv(3, 20), conv((3, 3), (1, 1), valid, 17, false)],
        ),
        ("convolution, 5x5 by Winograd", vec![Layer::conv(3, 16), Layer::conv(5, 18)]),
        ("convolution, 1x1", vec![first(), narrow()]),
        ("convolution, 1x1 every 2 pixels", vec![first(), conv((1, 1), (2, 2), same, 4, false)]),
        ("batch normalisation", vec![Layer::conv_norm(3, 6), Layer::conv_norm(1, 4)]),
        ("max pooling", vec![first(), Layer::MaxPool(window((3, 3), (2, 2), same))]),
        ("max pooling, inside", vec![first(), Layer::MaxPool(window((2, 3), (1, 2), valid))]),
        ("mean pooling", vec![first(), Layer::AvgPool(window((3, 3), (1, 1), same))]),
        ("mean pooling every 2 pixels", vec![first(), Layer::AvgPool(window((3, 2), (2, 2), same))]),
        ("mean over the image", vec![first(), Layer::GlobalAvgPool]),
        ("local response normalisation", vec![Layer::conv(3, 13), Layer::LocalResponseNorm]),
        ("dropout", vec![first(), Layer::dropout(0.4), Layer::hidden(9), Layer::dropout(0.5)]),
        (
            "branches",
            vec![
                first(),
                Layer::Branches(vec![
                    vec![narrow()],
                    vec![Layer::conv_norm(3, 4), Layer::conv(3, 3)],
                    vec![],
                    vec![Layer::MaxPool(window((3, 3), (1, 1), same))],
                ]),
                narrow(),
            ],
        ),
        (
            "auxiliary classifier",
            vec![first(), Layer::Auxiliary(vec![Layer::GlobalAvgPool, Layer::scores(CLASSES)]), narrow()],
        ),
    ];
    let mut checks = Vec::new();
    for (name, mut plan) in cases {
        plan.push(Layer::Linear { outputs: CLASSES, activation: Activation::None });
        let network = build_plan(plan, [9, 8, 5], Init::Glorot, 1)?;
        let check = compare(name, network, [9, 8, 5], CLASSES, (6, 2), place)?;
        say(&check);
        checks.push(check);
    }
    // So many that the matrices of gathered and of transformed inputs are made in parts.
    let plan = vec![
        Layer::conv(3, 16),
        Layer::conv(3, 16),
        conv((3, 3), (2, 2), same, 16, false),
        Layer::GlobalAvgPool,
        Layer::scores(CLASSES),
    ];
    let network = build_plan(plan, [28, 28, 3], Init::Glorot, 1)?;
    let many = compare("convolutions of many images", network, [28, 28, 3], CLASSES, (600, 1), place)?;
    let by = |optimizer| rules(place, optimizer);
    let adam = |decoupled| Optimizer::Adam { decay: 0.9, epsilon: 0.1, decoupled };
    let [rms_prop, adam, adam_w] = [Optimizer::INCEPTION_V3, adam(false), adam(true)].map(by);
    for check in [many, rms_prop?, adam?, adam_w?, rounded(place)?] {
        say(&check);
        checks.push(check);
    }
    Ok(checks)
}

/// Steps of an optimiser against smoothed labels, with averages and another memory of batch normalisation than the usual.
fn rules(place: ToDevice, optimizer: Optimizer) -> Result<DeviceCheck> {
    let plan = vec![Layer::conv_norm(3, 6), Layer::hidden(11), Layer::scores(CLASSES)];
    let mut here = build_plan(plan, [9, 8, 5], Init::Glorot, 1)?;
    let mut there = place(here.as_ref())?;
    let rules = Rules {
        decay_on: DecayOn::Weights,
        norm_memory: 0.7,
        optimizer,
        label_smoothing: 0.2,
        average: Some(0.6),
        ..Rules::default()
    };
    let mut check = DeviceCheck::new(&format!("{}, smoothed labels, averages", optimizer.title()));
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let mut images = || (0..6 * 9 * 8 * 5).map(|_| rng.random_range(-1.7..1.7)).collect::<Vec<f32>>();
    let (tried, labels) = (images(), [0, 1, 2, 3, 4, 5]);
    let step = SgdStep { learning_rate: 0.01, momentum: 0.9, weight_decay: 0.01 };
    for network in [&mut here, &mut there] {
        network.set_rules(rules);
    }
    for number in 0..3 {
        let (images, pass) = (images(), || ForwardContext::training_step(4, number));
        let ours = here.train_step(images.clone(), &labels, step, pass())?;
        let theirs = there.train_step(images, &labels, step, pass())?;
        check.numbers("loss of a step", &[ours.loss], &[theirs.loss]);
    }
    let of: Vec<(String, Role)> = here.parameters()?.into_iter().map(|p| p.name).zip(here.roles()).collect();
    let (ours, theirs) = (here.memory()?, there.memory()?);
    check.gradients("velocity", &of, &here.velocity()?, &there.velocity()?);
    check.gradients("mean square", &of, &ours.squares, &theirs.squares);
    check.gradients("average", &of, &ours.average, &theirs.average);
    check.numbers("steps", &[ours.steps as f32], &[theirs.steps as f32]);
    // To a new network and back, with the averages in the weights' place.
    let (parameters, velocity) = (there.parameters()?, there.velocity()?);
    there.restore(&parameters, velocity)?;
    there.remember(theirs)?;
    here.exchange_average()?;
    there.exchange_average()?;
    for (ours, theirs) in here.parameters()?.iter().zip(there.parameters()?) {
        check.numbers(&ours.name, &ours.values, &theirs.values);
    }
    check.numbers("scores by the averages", &here.logits(tried.clone())?, &there.logits(tried)?);
    Ok(check)
}

/// Scores, and the gradients of a step, with products in bf16: as far from the processor's in float32 as rounding may move
/// them.
fn rounded(place: ToDevice) -> Result<DeviceCheck> {
    /// A hundredth is an output of Winograd's convolution off.
    const ALLOWED: f64 = 0.03;
    let every_other = Window { kernel: (3, 3), stride: (2, 2), padding: Padding::Same };
    let plan = vec![
        Layer::conv(3, 16),
        Layer::conv(3, 20),
        Layer::conv(1, 17),
        Layer::Conv { window: every_other, outputs: 12, normalised: false },
        Layer::hidden(11),
        Layer::scores(CLASSES),
    ];
    let mut here = build_plan(plan, [9, 8, 5], Init::Glorot, 1)?;
    let mut there = place(here.as_ref())?;
    there.set_rules(Rules { precision: Precision::Bf16, ..Rules::default() });
    let mut check = DeviceCheck { allowed: ALLOWED, ..DeviceCheck::new("products in bf16") };
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let images: Vec<f32> = (0..6 * 9 * 8 * 5).map(|_| rng.random_range(-1.7..1.7)).collect();
    check.numbers("scores", &here.logits(images.clone())?, &there.logits(images.clone())?);
    let positive = positive(here.parameters()?);
    here.restore(&positive, Vec::new())?;
    there.restore(&positive, Vec::new())?;
    let step = |network: &mut dyn Network| {
        network.gradients(images.clone(), &[0, 1, 2, 3, 4, 5], ForwardContext::training_step(4, 0))
    };
    let (ours, theirs) = (step(&mut *here)?, step(&mut *there)?);
    check.numbers("loss", &[ours.0.loss], &[theirs.0.loss]);
    let of: Vec<(String, Role)> = here.parameters()?.into_iter().map(|p| p.name).zip(here.roles()).collect();
    check.gradients("gradient", &of, &ours.1, &theirs.1);
    Ok(check)
}

/// Images that are made on the device, as bytes and as numbers, with each random change: what a layer learns of them in
/// a step.
///
/// Errors: those of the networks.
pub fn images(place: ToDevice, say: &mut dyn FnMut(&DeviceCheck)) -> Result<Vec<DeviceCheck>> {
    let mut checks = Vec::new();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let off = Augmentation::default();
    let cases = [
        ("images, whitened", 3, off),
        ("images, flipped and turned", 3, Augmentation::TABLE_4),
        ("images, flipped and recoloured", 3, Augmentation::IMAGENET),
        ("images, recoloured and turned", 3, Augmentation { rotation: 90.0, ..Augmentation::IMAGENET }),
        ("images of one channel, recoloured", 1, Augmentation { rotation: 10.0, ..Augmentation::IMAGENET }),
    ];
    for (name, channels, augment) in cases {
        let shape = [channels, 32, 34];
        let size: usize = shape.iter().product();
        let bytes: Vec<u8> = (0..9 * size).map(|_| rng.random()).collect();
        let numbers = bytes.iter().map(|&b| f32::from(b) / 200.0 - 0.1).collect();
        for (kind, pixels) in [("bytes", Pixels::Bytes(bytes)), ("numbers", Pixels::Floats(numbers))] {
            let view = |i: u32| AugmentedImage {
                index: i as usize * 5 % 9,
                corner: (rng.random_range(0..=4), rng.random_range(0..=6)),
                change: (!augment.is_off()).then(|| augment.draw(6, 7, i)),
            };
            let views: Vec<AugmentedImage> = (0..7).map(view).collect();
            let labels: Vec<u16> = (0..7).collect();
            let plan = vec![Layer::scores(CLASSES)];
            let mut here = build_plan(plan, [28, 28, channels], Init::Glorot, 8)?;
            let mut there = place(here.as_ref())?;
            let mut check = DeviceCheck::new(&format!("{name}, of {kind}"));
            let mut batch = vec![0.0; views.len() * channels * 28 * 28];
            for (view, out) in views.iter().zip(batch.chunks_exact_mut(channels * 28 * 28)) {
                view.write(&pixels, shape, out);
            }
            let step = SgdStep { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0 };
            let ours = here.train_step(batch, &labels, step, ForwardContext::training_step(4, 0))?;
            if !there.keep(&pixels, shape)? {
                (check.difference, check.place) = (f64::INFINITY, "not kept".into());
            } else {
                let theirs = there.train_views(&views, &labels, step, ForwardContext::training_step(4, 0))?;
                check.numbers("loss", &[ours.loss], &[theirs.loss]);
                // Each label has one image: a row of the velocity is the image, all but a factor and the others' share.
                for (ours, theirs) in here.velocity()?.iter().zip(there.velocity()?) {
                    check.numbers("what is learnt", ours, &theirs);
                }
            }
            say(&check);
            checks.push(check);
        }
    }
    Ok(checks)
}

/// Equation 3: matrices, factors, solutions and outputs, of a Gaussian kernel and of the random conv-net; and what is
/// said of a matrix that is not positive definite.
///
/// Errors: the device's; [`crate::Error::Argument`] never, but for a defect.
pub fn equations(dense: &dyn Dense, say: &mut dyn FnMut(&DeviceCheck)) -> Result<Vec<DeviceCheck>> {
    // More points than a panel of the matrix has columns, more columns than the device sums up at once, images and
    // filters for several batches.
    const COLUMNS: usize = 17;
    let (n, m, d) = (1100, 70, 30);
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let mut numbers = |count: usize| (0..count).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f64>>();
    let single = |values: &[f64]| values.iter().map(|v| *v as f32).collect::<Vec<f32>>();
    let (points, others) = (single(&numbers(n * d)), single(&numbers(m * d)));
    let x = numbers(n * COLUMNS);
    let mut checks = Vec::new();

    let kernel = Gaussian::new(points, d, 0.1);
    let placed = dense.gaussian(&kernel)?;
    let mut check = DeviceCheck::new("kernel equation, Gaussian kernel");
    check.equation(&kernel, &*placed, &x, COLUMNS)?;
    let theirs = single(&dense.predict(&kernel, &others, &x, COLUMNS)?);
    check.numbers("outputs on other points", &single(&kernel.predict(&others, &x, COLUMNS)), &theirs);
    say(&check);
    checks.push(check);

    let data = shapes10::generate(n, m, 7)?;
    let filters = RandomConv { filters: 130 }.draw(&data.train.images, data.shape, n, 8)?;
    let both = |features: Features| -> Result<(Dual, Box<dyn Products>)> {
        let (here, _) = dual(&data, &data.id(n, m), &filters, features, None, &mut |_| ())?;
        let (train, test) = (&data.train.images, &data.test.images);
        Ok((here, dense.conv(&filters, features, train, test, &mut |_| ())?))
    };
    let (here, there) = both(Features { standardised: false, purpose: Purpose::Linear })?;
    let mut check = DeviceCheck::new("kernel equation, random conv-net");
    for part in [n, n / 2] {
        let (ours, theirs) = (here.leading(part)?, there.leading(part)?);
        check.numbers("inner products", ours.numbers(), theirs.numbers());
    }
    check.equation(here.kernel(), there.kernel(), &x, COLUMNS)?;
    let (ours, theirs) = (here.predict(&x, COLUMNS)?, there.predict(&x, COLUMNS)?);
    check.numbers("outputs on test images", &single(&ours), &single(&theirs));
    say(&check);
    checks.push(check);

    let (here, there) = both(Features { standardised: true, purpose: Purpose::Gaussian })?;
    let mut check = DeviceCheck::new("kernel equation, Gaussian kernel of standardised features");
    check.numbers("inner products", here.leading(n)?.numbers(), there.leading(n)?.numbers());
    let gamma = 1.0 / mean_squared_distance(n, here.kernel().mean_diagonal());
    check.equation(&*here.gaussian(gamma)?, &*there.gaussian(gamma)?, &x, COLUMNS)?;
    let ours = single(&here.predict_gaussian(&x, COLUMNS, gamma)?);
    let theirs = single(&there.predict_gaussian(&x, COLUMNS, gamma)?);
    check.numbers("outputs on test images", &ours, &theirs);
    say(&check);
    checks.push(check);

    let mut check = DeviceCheck::new("a matrix that is not positive definite");
    let row = |kernel: &dyn Kernel| -> Result<f32> {
        Ok(kernel.copy(-2.0)?.factorise(&mut |_| ())?.map_or_else(|e| e.row as f32, |()| f32::NAN))
    };
    check.numbers("its row", &[row(&kernel)?], &[row(&*placed)?]);
    say(&check);
    checks.push(check);
    Ok(checks)
}

/// Every network of the paper, with `batch` images; Inception V3 for images of `side` pixels, `width` times as wide.
///
/// Errors: those of the networks.
pub fn models(
    place: ToDevice,
    batch: usize,
    (side, width): (usize, f64),
    say: &mut dyn FnMut(&DeviceCheck),
) -> Result<Vec<DeviceCheck>> {
    let mut checks = Vec::new();
    for model in ModelKind::ALL {
        let (input, width) =
            if model.is_for_photographs() { ([side, side, 3], width) } else { ([28, 28, 3], 1.0) };
        let network = model.build_for(input, 10, width, model.init(), 2)?;
        let check = compare(model.title(), network, input, 10, (batch, 1), place)?;
        say(&check);
        checks.push(check);
    }
    Ok(checks)
}

/// Scores and loss at the start; then, where units are [`positive`], gradients, and weights, velocities and scores after
/// some steps; here and there. (The second step of many normalised layers one after the other is ill-conditioned: it
/// makes of rounding errors a hundredth.)
fn compare(
    name: &str,
    mut here: Box<dyn Network>,
    input: Size3,
    classes: usize,
    (batch, steps): (usize, usize),
    place: ToDevice,
) -> Result<DeviceCheck> {
    let mut there = place(here.as_ref())?;
    let mut check = DeviceCheck::new(name);
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let count: usize = input.iter().product();
    let mut images = || (0..batch * count).map(|_| rng.random_range(-1.7..1.7)).collect::<Vec<f32>>();
    let (tried, first, second) = (images(), images(), images());
    let labels: Vec<u16> = (0..batch).map(|i| (i * 3 % classes) as u16).collect();
    if let (_, 2..) = rethink_nn::models::plan::count(here.plan().0) {
        for network in [&mut here, &mut there] {
            network.set_rules(Rules { decay_on: DecayOn::Fc, ..Rules::default() });
        }
    }
    check.numbers("scores at the start", &here.logits(tried.clone())?, &there.logits(tried.clone())?);
    let first_step = |network: &mut dyn Network| {
        network.gradients(first.clone(), &labels, ForwardContext::training_step(4, 0))
    };
    check.numbers("loss at the start", &[first_step(&mut *here)?.0.loss], &[first_step(&mut *there)?.0.loss]);

    let positive = positive(here.parameters()?);
    here.restore(&positive, Vec::new())?;
    there.restore(&positive, Vec::new())?;
    let ours = here.gradients(first.clone(), &labels, ForwardContext::training_step(4, 0))?;
    let theirs = there.gradients(first.clone(), &labels, ForwardContext::training_step(4, 0))?;
    check.numbers("loss", &[ours.0.loss], &[theirs.0.loss]);
    let of: Vec<(String, Role)> = here.parameters()?.into_iter().map(|p| p.name).zip(here.roles()).collect();
    check.gradients("gradient", &of, &ours.1, &theirs.1);

    let step = SgdStep { learning_rate: 0.01, momentum: 0.9, weight_decay: 0.01 };
    for (number, images) in [first, second].into_iter().enumerate().take(steps) {
        let pass = || ForwardContext::training_step(4, number as u64);
        let ours = here.train_step(images.clone(), &labels, step, pass())?;
        let theirs = there.train_step(images, &labels, step, pass())?;
        check.numbers("loss of a step", &[ours.loss], &[theirs.loss]);
    }
    check.gradients("velocity", &of, &here.velocity()?, &there.velocity()?);
    for (ours, theirs) in here.parameters()?.iter().zip(there.parameters()?) {
        check.numbers(&ours.name, &ours.values, &theirs.values);
    }
    check.numbers("scores at the end", &here.logits(tried.clone())?, &there.logits(tried)?);
    Ok(check)
}

/// The weights, so that nearly all units are far above zero. Of a million units at the start one is so near to zero that
/// rounding decides whether its gradient passes; in a deep network with few images that moves all gradients by a
/// hundredth.
fn positive(mut parameters: Vec<Parameter>) -> Vec<Parameter> {
    let normalised =
        |i: usize, all: &[Parameter]| all.get(i + 1).is_some_and(|next| next.name.ends_with("norm.mean"));
    for index in 0..parameters.len() {
        // Of a normalised layer, 4 standard deviations above zero; of another one, small sums and a bias of 1.
        let (shift, factor) = match parameters[index].shape.len() {
            1 if normalised(index, &parameters) => (4.0, 0.0),
            1 if parameters[index].name.ends_with("shift") || parameters[index].name.ends_with("bias") => {
                (1.0, 0.0)
            }
            1 => continue,
            _ if normalised(index + 1, &parameters) => continue,
            _ => (0.0, 0.15),
        };
        parameters[index].values.iter_mut().for_each(|v| *v = *v * factor + shift);
    }
    parameters
}

impl DeviceCheck {
    /// Nothing compared yet.
    fn new(name: &str) -> DeviceCheck {
        DeviceCheck { name: name.into(), difference: 0.0, place: "nowhere".into(), allowed: TOLERANCE }
    }

    /// A matrix here and there: its diagonal's mean, products with `x`, its inverse, and equation 3 with some l2.
    fn equation(&mut self, here: &dyn Kernel, there: &dyn Kernel, x: &[f64], columns: usize) -> Result<()> {
        let single = |values: Vec<f64>| values.into_iter().map(|v| v as f32).collect::<Vec<f32>>();
        let (ours, theirs) = (here.mean_diagonal(), there.mean_diagonal());
        self.numbers("mean of the diagonal", &[ours as f32], &[theirs as f32]);
        let (product, theirs) = (here.apply(x, columns)?, there.apply(x, columns)?);
        self.numbers("product", &single(product), &single(theirs));
        // As much as the diagonal: with less, the solutions of two matrices that differ by rounding differ by far more.
        let ridge = ours;
        let inverse = |kernel: &dyn Kernel| -> Result<Vec<f32>> {
            let mut copy = kernel.copy(ridge)?;
            // Where it is not positive definite, the inverse is nothing.
            let factorised = copy.factorise(&mut |_| ())?.is_ok();
            Ok(if factorised { single(copy.solve(x, columns)?) } else { vec![f32::NAN] })
        };
        self.numbers("inverse", &inverse(here)?, &inverse(there)?);
        let ours = solve(here, x, columns, ridge, &mut |_| ())?;
        let theirs = solve(there, x, columns, ridge, &mut |_| ())?;
        self.numbers("solution", &single(ours.weights), &single(theirs.weights));
        self.numbers("outputs", &single(ours.fitted), &single(theirs.fitted));
        Ok(())
    }

    /// Keeps the largest difference, of one tensor.
    fn numbers(&mut self, place: &str, ours: &[f32], theirs: &[f32]) {
        self.difference(place, ours, theirs, magnitude(ours));
    }

    /// The same of gradients or velocities, as a share of the largest of all trained tensors': a shift that the next
    /// normalisation takes away again has a gradient of rounding errors. What stands in a running statistic's place is
    /// compared by itself.
    fn gradients(&mut self, what: &str, of: &[(String, Role)], ours: &[Vec<f32>], theirs: &[Vec<f32>]) {
        if ours.len() != theirs.len() {
            (self.difference, self.place) =
                (f64::INFINITY, format!("{} of {} {what}s", theirs.len(), ours.len()));
        }
        let trained = of.iter().zip(ours).filter(|((_, role), _)| *role != Role::Statistic);
        let all = largest(trained.map(|(_, own)| magnitude(own)));
        for ((name, role), (ours, theirs)) in of.iter().zip(ours.iter().zip(theirs)) {
            let scale = if *role == Role::Statistic { magnitude(ours) } else { all };
            self.difference(&format!("{what} of {name}"), ours, theirs, scale);
        }
    }

    /// As a share of `scale`; other lengths are an infinite difference.
    fn difference(&mut self, place: &str, ours: &[f32], theirs: &[f32], scale: f64) {
        let apart = ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs() / scale);
        let difference = if ours.len() == theirs.len() { largest(apart) } else { f64::INFINITY };
        if (difference > self.difference || difference.is_nan()) && !self.difference.is_nan() {
            (self.difference, self.place) = (difference, place.into());
        }
    }
}

/// The largest number, whatever its sign; never zero, and NaN where one is.
fn magnitude(numbers: &[f32]) -> f64 {
    largest(numbers.iter().map(|v| f64::from(v.abs())).chain([1e-6]))
}
