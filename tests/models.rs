//! The networks: their sizes, their first weights, and whole training steps.
//!
//! `fixtures/conv_step.json` was made with PyTorch by `fixtures/conv_step.py`.

use clap::CommandFactory;
use dfdx::losses::cross_entropy_with_logits_loss;
use dfdx::optim::{Momentum, Sgd};
use dfdx::prelude::{
    AsArray, Backward, Cpu, Device, Dtype, LoadFromSafetensors, ModuleVisitor, NumParams, Optimizer,
    SaveToSafetensors, SgdConfig, TensorCollection, TensorFromVec, Trace, ZeroGrads,
};
use rethink::run::appendix_a;
use rethink::run::config::Scale;
use rethink_cli::commands::command::Command;
use rethink_nn::models::Init;
use rethink_nn::models::plan;
use rethink_nn::models::planned::Planned;
use rethink_nn::models::{Layers, ModelKind, Network, Parameter, build_plan, pytorch};
use rethink_nn::ops::ForwardContext;
use rethink_nn::optim::SgdStep;
use rethink_tests::{compare, fill, formula, without_dropout};
use serde_json::Value;

#[test]
fn parameter_counts_are_the_papers() {
    let count = |model: ModelKind| model.build(3, 10, model.init(), 0).unwrap().parameter_count();
    assert_eq!(count(ModelKind::Inception), 1_649_402);
    assert_eq!(count(ModelKind::InceptionNoBn), 1_649_402);
    assert_eq!(count(ModelKind::Alexnet), 1_387_786);
    assert_eq!(count(ModelKind::Mlp3x512), 1_735_178);
    assert_eq!(count(ModelKind::Mlp1x512), 1_209_866);
    let v3 = ModelKind::InceptionV3.build_for([299, 299, 3], 1000, 1.0, Init::Glorot, 0).unwrap();
    // torchvision's inception_v3 has 23,834,568 without its auxiliary head; 17,216 of them are batch norm's
    // scales, which TF-Slim's does without.
    assert_eq!(v3.parameter_count(), 23_834_568 - 17_216);
}

#[test]
fn sizes_inside_the_networks_are_the_papers() {
    let plan = ModelKind::Inception.plan([28, 28, 3], 10, 1.0).unwrap();
    let mut at = [28, 28, 3];
    let mut sizes = Vec::new();
    for layer in &plan {
        at = layer.output(at).unwrap();
        sizes.push((at[0], at[2]));
    }
    let expected = [
        (28, 96),
        (28, 64),
        (28, 80),
        (14, 160),
        (14, 160),
        (14, 160),
        (14, 160),
        (14, 144),
        (7, 240),
        (7, 336),
        (7, 336),
        (1, 336),
        (1, 10),
    ];
    assert_eq!(sizes, expected);
    let plan = ModelKind::InceptionV3.plan([299, 299, 3], 1000, 1.0).unwrap();
    let mixed: Vec<[usize; 3]> =
        (7..=17).map(|i| plan::output(&plan[..=i], [299, 299, 3]).unwrap()).collect();
    assert_eq!(mixed[0], [35, 35, 256]);
    assert_eq!(mixed[3], [17, 17, 768]);
    assert_eq!(mixed[8], [8, 8, 1280]);
    assert_eq!(mixed[10], [8, 8, 2048]);
    assert!(ModelKind::InceptionV3.plan([75, 75, 3], 10, 0.25).is_ok());
    assert!(ModelKind::InceptionV3Aux.plan([75, 75, 3], 10, 0.25).is_ok());
    let error = ModelKind::InceptionV3.plan([74, 74, 3], 10, 1.0).unwrap_err().to_string();
    assert!(error.contains("expected shape [3, 3]"), "{error}");
    for (classes, width) in [(0, 1.0), (10, 0.0), (10, f64::NAN), (10, 17.0)] {
        assert!(ModelKind::Alexnet.plan([28, 28, 3], classes, width).is_err());
    }
}

#[test]
fn a_narrow_network_is_narrow_in_every_layer() {
    let half = ModelKind::Inception.build_for([28, 28, 3], 10, 0.5, Init::Glorot, 0).unwrap();
    let whole = ModelKind::Inception.build(3, 10, Init::Glorot, 0).unwrap();
    for (h, w) in half.parameters().unwrap().iter().zip(whole.parameters().unwrap()) {
        if h.name.ends_with("conv.weight") && h.shape[2] != 3 {
            assert_eq!([2 * h.shape[2], 2 * h.shape[3]], w.shape[2..], "{}", h.name);
        }
    }
}

/// Two steps against PyTorch's in float64: losses, every gradient, weights and running statistics.
fn steps_equal_pytorch(
    name: &str,
    mut network: Box<dyn Network>,
    (side, batch, classes): (usize, usize, usize),
    (shift, factor): (f32, f64),
) {
    let fixtures: Value = serde_json::from_str(include_str!("fixtures/conv_step.json")).unwrap();
    let expected = &fixtures[name];
    assert_eq!(network.parameter_count() as u64, expected["parameters"].as_u64().unwrap());
    fill(&mut network, shift, factor);
    let images = formula(batch * 3 * side * side, 6007, 1.7);
    let labels: Vec<u16> = (0..batch).map(|i| (i * 7 % classes) as u16).collect();
    let step = SgdStep { learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0 };
    for at in 0..2 {
        let pass = ForwardContext::training_step(0, at);
        let loss = f64::from(network.train_step(images.clone(), &labels, step, pass).unwrap().loss);
        let wanted = expected["losses"][at as usize].as_f64().unwrap();
        assert!((loss / wanted - 1.0).abs() < 1e-4, "{name}, step {at}: loss {loss}, PyTorch has {wanted}");
        if at == 0 {
            // From rest, the velocity of the first step is the gradient.
            for (number, (p, gradient)) in
                network.parameters().unwrap().iter().zip(network.velocity().unwrap()).enumerate()
            {
                if !gradient.is_empty() {
                    compare(&gradient, &expected["gradients"][number], 1e-4)
                        .unwrap_or_else(|problem| panic!("{name}, gradient of {}: {problem}", p.name));
                }
            }
        }
    }
    for (number, p) in network.parameters().unwrap().iter().enumerate() {
        compare(&p.values, &expected["tensors"][number], 1e-4)
            .unwrap_or_else(|problem| panic!("{name}, {}: {problem}", p.name));
    }
    let logits = network.logits(images[..3 * side * side].to_vec()).unwrap();
    close_scores(name, &logits, &expected["logits"], 1e-3);
}

/// Within `tolerance` of the root mean square of all scores.
fn close_scores(name: &str, ours: &[f32], expected: &Value, tolerance: f64) {
    let wanted: Vec<f64> = expected.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    assert_eq!(ours.len(), wanted.len());
    let unit = wanted.iter().map(|v| v * v).sum::<f64>().sqrt() / (wanted.len() as f64).sqrt();
    for (class, (ours, wanted)) in ours.iter().zip(&wanted).enumerate() {
        let error = (f64::from(*ours) - wanted).abs() / unit;
        assert!(error < tolerance, "{name}, score of class {class}: {ours}, PyTorch has {wanted}");
    }
}

#[test]
fn steps_of_the_small_networks_equal_pytorch() {
    for (model, batch, fill) in [
        (ModelKind::Inception, 8, (1.5, 1.0)),
        (ModelKind::InceptionNoBn, 4, (0.3, 0.7)),
        (ModelKind::Alexnet, 8, (0.0, 1.0)),
    ] {
        let network = model.build(3, 10, model.init(), 0).unwrap();
        steps_equal_pytorch(model.name(), network, (28, batch, 10), fill);
    }
}

#[test]
fn steps_of_inception_v3_without_norm_equal_pytorch() {
    let input = [107, 107, 3];
    let plan = without_dropout(ModelKind::InceptionV3Aux.plan(input, 20, 0.125).unwrap(), false);
    let network = build_plan(plan, input, Init::Glorot, 0).unwrap();
    steps_equal_pytorch("inception-v3-aux", network, (107, 4, 20), (0.0, 1.0));
}

#[test]
fn passes_of_inception_v3_equal_pytorch() {
    let fixtures: Value = serde_json::from_str(include_str!("fixtures/conv_step.json")).unwrap();
    let expected = &fixtures["inception-v3"];
    let (side, batch, classes) = (139, 8, 20);
    let input = [side, side, 3];
    let plan = without_dropout(ModelKind::InceptionV3Aux.plan(input, classes, 1.0).unwrap(), true);
    let mut network = build_plan(plan, input, Init::Glorot, 0).unwrap();
    fill(&mut network, 0.0, 1.0);
    let images = formula(batch * 3 * side * side, 6007, 1.7);
    let logits = network.logits(images[..3 * side * side].to_vec()).unwrap();
    close_scores("inception-v3", &logits, &expected["logits"], 1e-4);
    let labels: Vec<u16> = (0..batch).map(|i| (i * 7 % classes) as u16).collect();
    let step = SgdStep { learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0 };
    let loss = network.train_step(images, &labels, step, ForwardContext::training_step(0, 0)).unwrap().loss;
    let wanted = expected["loss"].as_f64().unwrap();
    assert!((f64::from(loss) / wanted - 1.0).abs() < 1e-3, "loss {loss}, PyTorch has {wanted}");
}

#[test]
fn steps_are_the_same_on_any_number_of_threads() {
    for model in [ModelKind::Inception, ModelKind::Alexnet] {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut network = model.build_for([28, 28, 3], 10, 0.5, model.init(), 3).unwrap();
                let images = formula(6 * 2352, 6007, 1.7);
                let step = SgdStep { learning_rate: 0.01, momentum: 0.9, weight_decay: 1e-3 };
                for at in 0..2 {
                    network
                        .train_step(
                            images.clone(),
                            &[0, 1, 2, 3, 4, 5],
                            step,
                            ForwardContext::training_step(0, at),
                        )
                        .unwrap();
                }
                (network.parameters().unwrap(), network.logits(images).unwrap())
            })
        };
        let one = run(1);
        for threads in [2, 3] {
            assert!(run(threads) == one, "{model} on {threads} threads");
        }
    }
}

/// Many images are scored few at a time: bit for bit as each by itself, whether the network is narrow or not.
#[test]
fn scores_do_not_depend_on_the_images_beside() {
    for (model, width) in
        [(ModelKind::Inception, 0.125), (ModelKind::Alexnet, 0.25), (ModelKind::Mlp1x512, 0.25)]
    {
        let network = model.build_for([28, 28, 3], 10, width, model.init(), 3).unwrap();
        let images = formula(133 * 2352, 6007, 1.7);
        let all = network.logits(images.clone()).unwrap();
        assert_eq!(all.len(), 1330);
        for at in [0, 15, 63, 64, 128, 132] {
            let one = network.logits(images[at * 2352..(at + 1) * 2352].to_vec()).unwrap();
            assert_eq!(one, all[at * 10..(at + 1) * 10], "{model}, image {at}");
        }
    }
}

/// He et al. 2015: a convolution's weights within sqrt(6 / inputs) and nearly as far as that, no bias.
#[test]
fn hes_weights_keep_to_their_inputs() {
    let parameters = ModelKind::InceptionNoBn.build(3, 10, Init::He, 1).unwrap().parameters().unwrap();
    let greatest = |values: &[f32]| values.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    let (first, bias) = (&parameters[0], &parameters[1]);
    let bound = (6.0f32 / 27.0).sqrt();
    assert!((0.98 * bound..=bound).contains(&greatest(&first.values)), "{}", greatest(&first.values));
    assert_eq!(greatest(&bias.values), 0.0);
}

#[test]
fn alexnet_starts_as_the_tutorials() {
    let parameters = ModelKind::Alexnet.build(3, 10, Init::Tutorial, 1).unwrap().parameters().unwrap();
    let deviation = |values: &[f32]| {
        (values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    };
    // A normal cut off at two standard deviations has 0.8796 of its deviation.
    for (number, name, expected) in [
        (0, "convs.0.conv.weight", 0.05),
        (2, "convs.1.conv.weight", 0.05),
        (4, "linears.0.weight", 0.04),
        (6, "linears.1.weight", 0.04),
        (8, "linears.2.weight", 1.0 / 192.0),
    ] {
        let p = &parameters[number];
        assert_eq!(p.name, name);
        assert!((deviation(&p.values) / (0.8796 * expected) - 1.0).abs() < 0.05, "{name}");
        assert!(p.values.iter().all(|v| f64::from(v.abs()) <= 2.0 * expected + 1e-6), "{name}");
    }
    for (number, expected) in [(1, 0.0), (3, 0.1), (5, 0.1), (7, 0.1), (9, 0.0)] {
        assert!(parameters[number].values.iter().all(|v| *v == expected), "{}", parameters[number].name);
    }
}

/// dfdx visits what a type says that it has: here the layers of the small Inception.
struct Inception(Planned);

impl TensorCollection<f32, Cpu> for Inception {
    type To<E2: Dtype, D2: Device<E2>> = ();

    fn iter_tensors<V: ModuleVisitor<Self, f32, Cpu>>(visitor: &mut V) -> Result<Option<()>, V::Err> {
        let names: Vec<String> = (0..19).map(|i| format!("convs.{i}")).collect();
        let named = names.iter().enumerate();
        let convs: Vec<_> = named
            .map(|(i, name)| Self::module(name, move |m| &m.0.convs()[i], move |m| &mut m.0.convs_mut()[i]))
            .collect();
        let linear = Self::module("linears.0", |m| &m.0.linears()[0], |m| &mut m.0.linears_mut()[0]);
        visitor.visit_fields((convs, linear), |_| ())
    }
}

#[test]
fn dfdx_counts_saves_and_trains_the_networks_as_its_own() {
    let (input, classes, n) = ([28, 28, 3], 10, 4);
    let plan = ModelKind::Inception.plan(input, classes, 0.125).unwrap();
    let mut ours = ModelKind::Inception.build_for(input, classes, 0.125, Init::Glorot, 5).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    let bytes = |p: &Parameter| p.values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let all = ours.parameters().unwrap();
    let data: Vec<Vec<u8>> = all.iter().map(bytes).collect();
    let views = all.iter().zip(&data).map(|(p, data)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, p.shape.clone(), data);
        (p.name.clone(), view.unwrap())
    });
    std::fs::write(&file, safetensors::serialize(views, None).unwrap()).unwrap();

    let device = Cpu::default();
    let mut theirs = Inception(Planned::new(&device, plan, input).unwrap());
    theirs.load_safetensors(&file).unwrap();
    assert_eq!(theirs.num_trainable_params(), ours.parameter_count());

    let images = formula(n * 3 * 28 * 28, 6007, 1.7);
    let labels: Vec<u16> = (0..n as u16).collect();
    let mut targets = vec![0.0; n * classes];
    labels.iter().enumerate().for_each(|(i, &label)| targets[i * classes + usize::from(label)] = 1.0);
    let targets = device.tensor_from_vec(targets, (n, classes));
    let batch = device.tensor_from_vec(images.clone(), (n, 3 * 28 * 28));
    let config = SgdConfig { lr: 0.05, momentum: Some(Momentum::Classic(0.9)), weight_decay: None };
    let mut sgd = Sgd::new(&theirs, config);
    let step = SgdStep { learning_rate: 0.05, momentum: 0.9, weight_decay: 0.0 };
    let mut gradients = theirs.alloc_grads();
    for at in 0..3 {
        let (scores, _) = theirs
            .0
            .forward(batch.clone().traced(gradients), &mut ForwardContext::training_step(0, at))
            .unwrap();
        let loss = cross_entropy_with_logits_loss(scores, targets.clone());
        let value = loss.array();
        gradients = loss.backward();
        sgd.update(&mut theirs, &gradients).unwrap();
        theirs.zero_grads(&mut gradients);
        let outcome =
            ours.train_step(images.clone(), &labels, step, ForwardContext::training_step(0, at)).unwrap();
        assert!((outcome.loss - value).abs() < 1e-6 * value, "step {at}: {} and {value}", outcome.loss);
    }

    theirs.save_safetensors(&file).unwrap();
    let saved = std::fs::read(&file).unwrap();
    let saved = safetensors::SafeTensors::deserialize(&saved).unwrap();
    for p in
        ours.parameters().unwrap().iter().filter(|p| !p.name.contains("mean") && !p.name.contains("variance"))
    {
        let values: Vec<f32> = saved
            .tensor(&p.name)
            .unwrap()
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect();
        let largest = p.values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        for (a, b) in p.values.iter().zip(&values) {
            assert!((a - b).abs() <= 1e-5 * largest, "{}: {a} and {b}", p.name);
        }
    }
}

/// A network is told once: command line, records, tables, PyTorch's twin and reduced scales know what its description says.
#[test]
fn every_network_is_known_everywhere() {
    let mut command = Command::command();
    let run = command.find_subcommand_mut("run").unwrap().render_long_help().to_string();
    let bench = command.find_subcommand_mut("bench").unwrap().render_long_help().to_string();
    let (words, twins) = ([run, bench].map(|help| help.replace(char::is_whitespace, " ")), pytorch());
    let mut seen = Vec::new();
    for model in ModelKind::ALL {
        let known = model.description();
        assert!(!seen.contains(&known.name) && !seen.contains(&known.title), "{}", known.name);
        seen.extend([known.name, known.title]);
        assert_eq!(serde_json::to_string(&model).unwrap(), format!("{:?}", known.name));
        assert_eq!(serde_json::from_str::<ModelKind>(&format!("{:?}", known.name)).unwrap(), model);
        assert_eq!(known.name.parse::<ModelKind>().unwrap(), model);
        let listed = |help: &String| help.split([' ', ',']).any(|word| word == known.name);
        assert!(words.iter().all(listed), "{}: {words:?}", known.name);
        let twin = format!(
            "    {:?}: lambda: {},
",
            known.name,
            known.pytorch.unwrap()
        );
        assert!(twins.contains(&twin), "{twin}");
        if let Layers::Hidden(units) = known.layers {
            assert_eq!(known.pytorch.unwrap(), format!("mlp({units:?})"));
        }
        let side = if model.is_for_photographs() { 299 } else { 28 };
        let plan = model.plan([side, side, 3], 10, 1.0).unwrap();
        assert_eq!(known.normalised, plan::is_normalised(&plan), "{}", known.name);
        for scale in [Scale::Smoke, Scale::Small, Scale::Paper] {
            let size = appendix_a::size_at(scale, model);
            assert!(size.epochs > 0 && size.train >= 200, "{}: {size:?}", known.name);
            // Only convolutions are narrower at a reduced scale.
            assert_eq!(size.width_factor < 1.0, scale != Scale::Paper && !model.is_mlp(), "{}", known.name);
        }
    }
}

/// The input of branches has the gradients of all of them, one that passes it on as it is among them, whether for want of layers or since
/// its dropout leaves out nothing.
#[test]
fn a_branch_that_passes_its_input_on_passes_its_gradient_back() {
    use dfdx::prelude::{Rank0, SumTo};
    use rethink_nn::models::plan::Layer;
    let device = Cpu::default();
    let gradient = |passing: Vec<Layer>| {
        let branches = Layer::Branches(vec![passing, vec![Layer::conv(3, 4)]]);
        let layers = vec![Layer::conv(3, 5), branches, Layer::GlobalAvgPool, Layer::scores(3)];
        let mut network = Planned::new(&device, layers, [6, 6, 3]).unwrap();
        for conv in network.convs_mut() {
            let values = rethink_nn::ops::elements_mut(&mut conv.conv.weight).unwrap();
            let from = formula(values.len(), 7919, 0.5);
            values.iter_mut().zip(from).for_each(|(v, f)| *v = f);
        }
        for linear in network.linears_mut() {
            let values = rethink_nn::ops::elements_mut(&mut linear.weight).unwrap();
            let from = formula(values.len(), 3001, 0.5);
            values.iter_mut().zip(from).for_each(|(v, f)| *v = f);
        }
        let images = device.tensor_from_vec(formula(2 * 108, 6007, 1.0), (2, 108));
        let mut pass = ForwardContext::training_step(0, 0);
        let (scores, _) = network.forward(images.leaky_trace(), &mut pass).unwrap();
        let gradients = scores.square().sum::<Rank0, _>().backward();
        gradients.get(&network.convs()[0].conv.weight).as_vec()
    };
    let without_layers = gradient(vec![]);
    assert!(without_layers.iter().any(|v| *v != 0.0));
    // With dropout of an image it is computed pixel by pixel and not in lanes: other sums, to the last bits.
    for (a, b) in without_layers.iter().zip(gradient(vec![Layer::dropout(0.0)])) {
        assert!((a - b).abs() < 1e-6, "{a} and {b}");
    }
}

/// The velocity of a tensor that is trained may not be left out: it would never be updated.
#[test]
fn velocities_of_other_sizes_are_refused_by_name() {
    let mut network = ModelKind::Mlp1x512.build(3, 10, Init::Glorot, 1).unwrap();
    let weights = network.parameters().unwrap();
    let zeros: Vec<Vec<f32>> = weights.iter().map(|p| vec![0.0; p.values.len()]).collect();
    network.restore(&weights, zeros.clone()).unwrap();
    for (index, wrong) in [(0, vec![]), (1, vec![0.0; 3])] {
        let mut velocity = zeros.clone();
        velocity[index] = wrong;
        let error = network.restore(&weights, velocity).unwrap_err().to_string();
        assert!(error.contains(&weights[index].name), "{error}");
    }
    let error = network.restore(&weights, vec![vec![0.0]]).unwrap_err().to_string();
    assert!(error.contains("1 lists for 4 tensors"), "{error}");
}
