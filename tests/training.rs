//! Models, the optimiser, the training loop and the run store.
//!
//! `fixtures/mlp_step.json` was made with PyTorch by `fixtures/mlp_step.py`.

use clap::Parser;
use rethink::data::DataId;
use rethink::data::augmentation::Augmentation;
use rethink::data::corruption::Corruption;
use rethink::data::{Dataset, shapes10};
use rethink::lock::Lock;
use rethink::run::appendix_a::config_at;
use rethink::run::checkpoint::write_tensors;
use rethink::run::config::{RunConfig, Scale, Seeds, TrainConfig};
use rethink::run::history::Origin;
use rethink::run::row::{LogRow, StopReason};
use rethink::run::train::{Progress, TrainedRun, train};
use rethink::store::{Event, Run, Store, digest};
use rethink_cli::commands::command::{Action, Command};
use rethink_nn::models::Init;
use rethink_nn::models::{ModelKind, Network, Parameter, count_correct};
use rethink_nn::ops::ForwardContext;
use rethink_nn::optim::{DecayOn, Optimizer};
use rethink_nn::optim::{Memory, Rules, SgdStep};
use rethink_nn::precision::Precision;
use rethink_tests::{formula, killed_after_each_epoch, leaving, root};
use safetensors::{SafeTensors, tensor::TensorView};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn close(name: &str, ours: f64, expected: f64) {
    let error = (ours - expected).abs() / expected.abs().max(1e-2);
    assert!(error < 1e-4, "{name}: {ours}, PyTorch has {expected}");
}

fn network(model: ModelKind) -> Box<dyn Network> {
    model.build(3, 10, Init::Glorot, 0).unwrap()
}

#[test]
fn three_steps_equal_pytorch() {
    let fixtures: Value = serde_json::from_str(include_str!("fixtures/mlp_step.json")).unwrap();
    for (name, model, weight_decay) in [
        ("mlp1x512", ModelKind::Mlp1x512, 0.0),
        ("mlp3x512", ModelKind::Mlp3x512, 0.0),
        ("mlp1x512-decay", ModelKind::Mlp1x512, 5e-3),
    ] {
        let expected = &fixtures[name];
        let mut network = network(model);
        let filled: Vec<Parameter> = network
            .parameters()
            .unwrap()
            .into_iter()
            .enumerate()
            .map(|(number, p)| {
                let scale = if p.shape.len() == 2 { 0.05 } else { 0.1 };
                Parameter { values: formula(p.values.len(), 7919 + 2 * number, scale), ..p }
            })
            .collect();
        network.restore(&filled, Vec::new()).unwrap();
        let images = formula(16 * 2352, 6007, 1.7);
        let labels: Vec<u16> = (0..16).map(|i| i * 7 % 10).collect();
        let step = SgdStep { learning_rate: 0.01, momentum: 0.9, weight_decay };
        for at in 0..3 {
            let outcome = network
                .train_step(images.clone(), &labels, step, ForwardContext::training_step(0, 0))
                .unwrap();
            close(
                &format!("{name}, loss of step {at}"),
                outcome.loss.into(),
                expected["losses"][at].as_f64().unwrap(),
            );
        }
        for (number, p) in network.parameters().unwrap().iter().enumerate() {
            for k in 0..5 {
                let value = f64::from(p.values[k * p.values.len() / 5]);
                close(
                    &format!("{name}, {}[{k}/5]", p.name),
                    value,
                    expected["picked"][number][k].as_f64().unwrap(),
                );
            }
            let norm = p.values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            close(&format!("{name}, norm of {}", p.name), norm, expected["norms"][number].as_f64().unwrap());
        }
        let logits = network.logits(images[..2352].to_vec()).unwrap();
        for (class, logit) in logits.iter().enumerate() {
            close(
                &format!("{name}, logit {class}"),
                f64::from(*logit),
                expected["logits"][class].as_f64().unwrap(),
            );
        }
        assert_eq!(network.parameter_count() as u64, expected["parameters"].as_u64().unwrap());
    }
}

#[test]
fn parameter_counts_are_table_1s() {
    assert_eq!(network(ModelKind::Mlp1x512).parameter_count(), 1_209_866);
    assert_eq!(network(ModelKind::Mlp3x512).parameter_count(), 1_735_178);
}

#[test]
fn gradients_equal_finite_differences() {
    // One step without momentum moves each weight by -rate * gradient.
    let mut network = network(ModelKind::Mlp3x512);
    let images = formula(8 * 2352, 6007, 1.7);
    let labels: Vec<u16> = (0..8).map(|i| i * 3 % 10).collect();
    let start = network.parameters().unwrap();
    let rate = 1e-3;
    let step = SgdStep { learning_rate: rate, momentum: 0.0, weight_decay: 0.0 };
    network.train_step(images.clone(), &labels, step, ForwardContext::training_step(0, 0)).unwrap();
    let moved = network.parameters().unwrap();
    let loss = |network: &mut Box<dyn Network>, parameters: &[Parameter]| {
        network.restore(parameters, Vec::new()).unwrap();
        let scores = network.logits(images.clone()).unwrap();
        let rows = scores.chunks_exact(10).zip(&labels);
        let nats = rows.map(|(row, &label)| {
            let sum: f64 = row.iter().map(|&v| f64::from(v).exp()).sum();
            sum.ln() - f64::from(row[usize::from(label)])
        });
        nats.sum::<f64>() / labels.len() as f64
    };
    for tensor in 0..start.len() {
        // Along the gradient itself, where the difference is largest against rounding.
        let gradient: Vec<f64> = start[tensor]
            .values
            .iter()
            .zip(&moved[tensor].values)
            .map(|(a, b)| f64::from(a - b) / f64::from(rate))
            .collect();
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let along = |sign: f64| {
            let mut shifted = start.clone();
            for (v, g) in shifted[tensor].values.iter_mut().zip(&gradient) {
                *v += (sign * 0.002 * g / norm) as f32;
            }
            shifted
        };
        let (up, down) = (along(1.0), along(-1.0));
        let slope = (loss(&mut network, &up) - loss(&mut network, &down)) / 0.004;
        let error = (slope - norm).abs() / norm;
        assert!(error < 2e-2, "{}: slope {slope}, gradient's norm {norm}", start[tensor].name);
    }
}

#[test]
fn initial_weights_follow_glorot_and_their_seed() {
    let a = ModelKind::Mlp1x512.build(3, 10, Init::Glorot, 5).unwrap().parameters().unwrap();
    let b = ModelKind::Mlp1x512.build(3, 10, Init::Glorot, 5).unwrap().parameters().unwrap();
    let c = ModelKind::Mlp1x512.build(3, 10, Init::Glorot, 6).unwrap().parameters().unwrap();
    assert_eq!(a, b);
    assert_ne!(a[0], c[0]);
    let limit = (6.0f64 / (2352.0 + 512.0)).sqrt();
    let values: Vec<f64> = a[0].values.iter().map(|&v| v.into()).collect();
    assert!(values.iter().all(|v| v.abs() <= limit));
    let variance = values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64;
    assert!((variance / (limit * limit / 3.0) - 1.0).abs() < 0.01, "variance {variance}");
    assert!(a[1].values.iter().all(|&v| v == 0.0), "biases start at zero");
}

#[test]
fn bad_batches_are_errors() {
    let mut network = network(ModelKind::Mlp1x512);
    let step = SgdStep { learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0 };
    let error = |result: rethink_nn::Result<_>| {
        result.map(|_: rethink_nn::models::StepOutcome| ()).unwrap_err().to_string()
    };
    assert!(
        error(network.train_step(vec![0.0; 100], &[1], step, ForwardContext::training_step(0, 0)))
            .contains("batch of images")
    );
    assert!(
        error(network.train_step(vec![0.0; 2352], &[1, 2], step, ForwardContext::training_step(0, 0)))
            .contains("training step")
    );
    assert!(
        error(network.train_step(vec![0.0; 2352], &[10], step, ForwardContext::training_step(0, 0)))
            .contains("label 10 of 10")
    );
    assert!(ModelKind::Mlp1x512.build(0, 10, Init::Glorot, 0).is_err());
    assert!(ModelKind::Mlp1x512.build(3, 0, Init::Glorot, 0).is_err());
}

/// The small Inception at an eighth of its width, its images and labels.
fn narrow() -> (Box<dyn Network>, Vec<f32>, Vec<u16>) {
    let network = ModelKind::Inception.build_for([28, 28, 3], 10, 0.125, Init::Glorot, 5).unwrap();
    (network, formula(8 * 2352, 6007, 1.7), (0..8).map(|i| i * 3 % 10).collect())
}

fn values(network: &dyn Network) -> Vec<Vec<f32>> {
    network.parameters().unwrap().into_iter().map(|p| p.values).collect()
}

/// Three steps beside TensorFlow's formulas in double precision, from the network's own gradients.
#[test]
fn rms_prop_and_the_average_are_tensorflows() {
    let (mut network, images, labels) = narrow();
    let (decay, epsilon, kept) = (0.9, 1.0, 0.15);
    let rules = Rules {
        optimizer: Optimizer::RmsProp { decay, epsilon },
        average: Some(kept as f32),
        decay_on: DecayOn::Weights,
        norm_memory: 0.7,
        ..Rules::default()
    };
    network.set_rules(rules);
    let (rate, momentum, weight_decay) = (0.1, 0.9, 0.01);
    let step =
        SgdStep { learning_rate: rate as f32, momentum: momentum as f32, weight_decay: weight_decay as f32 };
    let wide = |lists: Vec<Vec<f32>>| -> Vec<Vec<f64>> {
        lists.into_iter().map(|list| list.into_iter().map(f64::from).collect()).collect()
    };
    let mut average = wide(values(&*network));
    let zeros = |value: f64| average.iter().map(|list| vec![value; list.len()]).collect::<Vec<_>>();
    // TensorFlow's mean squares begin with ones.
    let (mut velocity, mut squares) = (zeros(0.0), zeros(1.0));
    let shapes: Vec<usize> = network.parameters().unwrap().iter().map(|p| p.shape.len()).collect();
    let names: Vec<String> = network.parameters().unwrap().into_iter().map(|p| p.name).collect();
    let statistic = |i: usize| names[i].ends_with("mean") || names[i].ends_with("variance");
    for at in 0..3u32 {
        let pass = || ForwardContext::training_step(0, at.into());
        let before = wide(values(&*network));
        let gradients = wide(network.gradients(images.clone(), &labels, pass()).unwrap().1);
        network.train_step(images.clone(), &labels, step, pass()).unwrap();
        let after = wide(values(&*network));
        // The least of the run's own and (1 + t) / (10 + t): 0.1, then 0.15 twice.
        let kept = f64::min(kept, (1.0 + f64::from(at)) / (10.0 + f64::from(at)));
        let memory = network.memory().unwrap();
        for i in 0..before.len() {
            for k in 0..before[i].len() {
                let wanted = if statistic(i) {
                    0.7 * before[i][k] + 0.3 * gradients[i][k]
                } else {
                    let decayed = if shapes[i] > 1 { weight_decay } else { 0.0 };
                    let g = gradients[i][k] + decayed * before[i][k];
                    squares[i][k] = decay * squares[i][k] + (1.0 - decay) * g * g;
                    velocity[i][k] = momentum * velocity[i][k] + rate * g / (squares[i][k] + epsilon).sqrt();
                    assert!((f64::from(memory.squares[i][k]) - squares[i][k]).abs() < 1e-5);
                    before[i][k] - velocity[i][k]
                };
                let near = |ours: f64, wanted: f64| (ours - wanted).abs() < 1e-5 * wanted.abs().max(1.0);
                assert!(near(after[i][k], wanted), "{}, step {at}: {} and {wanted}", names[i], after[i][k]);
                average[i][k] = kept * average[i][k] + (1.0 - kept) * after[i][k];
                let ours = f64::from(memory.average[i][k]);
                assert!(near(ours, average[i][k]), "average of {}, step {at}", names[i]);
            }
        }
    }
    assert_eq!(network.memory().unwrap().steps, 3);
    // Tested with the averages, trained on with the weights.
    let (weights, memory) = (values(&*network), network.memory().unwrap());
    let own = network.logits(images.clone()).unwrap();
    network.exchange_average().unwrap();
    assert_eq!(values(&*network), memory.average);
    assert_ne!(network.logits(images.clone()).unwrap(), own);
    network.exchange_average().unwrap();
    assert_eq!(values(&*network), weights);
    let wrong = Memory { average: vec![vec![0.0]], ..Memory::default() };
    assert!(network.remember(wrong).unwrap_err().to_string().contains("averages"));
}

/// Four steps beside the papers' formulas in double precision: Kingma and Ba's algorithm 1, and Loshchilov and Hutter's with
/// decoupled decay.
#[test]
fn adam_is_kingma_and_bas() {
    for decoupled in [false, true] {
        let (mut network, images, labels) = narrow();
        let (decay, epsilon) = (0.99, 1e-3);
        let optimizer = Optimizer::Adam { decay, epsilon, decoupled };
        network.set_rules(Rules { optimizer, ..Rules::default() });
        let (rate, momentum, weight_decay) = (0.01, 0.8, 0.05);
        let step = SgdStep {
            learning_rate: rate as f32,
            momentum: momentum as f32,
            weight_decay: weight_decay as f32,
        };
        let parameters = network.parameters().unwrap();
        let zeros: Vec<Vec<f64>> = parameters.iter().map(|p| vec![0.0; p.values.len()]).collect();
        let (mut means, mut squares) = (zeros.clone(), zeros);
        for at in 0..4 {
            let pass = || ForwardContext::training_step(0, at);
            let before = values(&*network);
            let gradients = network.gradients(images.clone(), &labels, pass()).unwrap().1;
            network.train_step(images.clone(), &labels, step, pass()).unwrap();
            let after = values(&*network);
            let t = at as i32 + 1;
            for (i, parameter) in parameters.iter().enumerate().filter(|(_, p)| p.is_trained()) {
                for k in 0..parameter.values.len() {
                    let (w, own) = (f64::from(before[i][k]), f64::from(gradients[i][k]));
                    let g = if decoupled { own } else { own + weight_decay * w };
                    means[i][k] = momentum * means[i][k] + (1.0 - momentum) * g;
                    squares[i][k] = decay * squares[i][k] + (1.0 - decay) * g * g;
                    let mean = means[i][k] / (1.0 - f64::powi(momentum, t));
                    let square = squares[i][k] / (1.0 - f64::powi(decay, t));
                    let shrunk = if decoupled { w - rate * weight_decay * w } else { w };
                    let wanted = shrunk - rate * mean / (square.sqrt() + epsilon);
                    let ours = f64::from(after[i][k]);
                    assert!(
                        (ours - wanted).abs() < 1e-5,
                        "{}, step {at}: {ours} and {wanted}",
                        parameter.name
                    );
                }
            }
        }
        assert_eq!(network.memory().unwrap().steps, 4);
    }
}

#[test]
fn smoothed_labels_have_the_loss_and_the_gradients_of_their_formula() {
    let mut network = network(ModelKind::Mlp1x512);
    let (images, labels) = (formula(8 * 2352, 6007, 1.7), [0u16, 3, 6, 9, 2, 5, 8, 1]);
    let share = 0.1;
    network.set_rules(Rules { label_smoothing: share as f32, ..Rules::default() });
    // Szegedy et al.: the label has 1 - share + share / classes, each other class share / classes.
    let loss = |network: &dyn Network| {
        let scores = network.logits(images.clone()).unwrap();
        let rows = scores.chunks_exact(10).zip(&labels);
        let nats = rows.map(|(row, &label)| {
            let sum = row.iter().map(|&v| f64::from(v).exp()).sum::<f64>().ln();
            let of = |(class, &v): (usize, &f32)| {
                let wanted = share / 10.0 + if class == usize::from(label) { 1.0 - share } else { 0.0 };
                wanted * (sum - f64::from(v))
            };
            row.iter().enumerate().map(of).sum::<f64>()
        });
        nats.sum::<f64>() / labels.len() as f64
    };
    let (outcome, gradients) =
        network.gradients(images.clone(), &labels, ForwardContext::training_step(0, 0)).unwrap();
    assert!(
        (f64::from(outcome.loss) - loss(&*network)).abs() < 1e-5,
        "{} and {}",
        outcome.loss,
        loss(&*network)
    );
    let start = network.parameters().unwrap();
    for (tensor, gradient) in gradients.iter().enumerate() {
        let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        let mut along = |sign: f64| {
            let mut shifted = start.clone();
            for (v, g) in shifted[tensor].values.iter_mut().zip(gradient) {
                *v += (sign * 0.002 * f64::from(*g) / norm) as f32;
            }
            network.restore(&shifted, Vec::new()).unwrap();
            loss(&*network)
        };
        let slope = (along(1.0) - along(-1.0)) / 0.004;
        assert!((slope - norm).abs() / norm < 2e-2, "{}: slope {slope}, norm {norm}", start[tensor].name);
    }
}

#[test]
fn weight_decay_on_weights_leaves_biases_and_shifts_alone() {
    let stepped = |decay: f32| {
        let (mut network, images, labels) = narrow();
        network.set_rules(Rules { decay_on: DecayOn::Weights, ..Rules::default() });
        let step = SgdStep { learning_rate: 0.01, momentum: 0.9, weight_decay: decay };
        // Shifts and biases begin at zero, where decay would do nothing.
        let start = network.parameters().unwrap();
        let moved = start.into_iter().map(|mut p| {
            p.values.iter_mut().for_each(|v| *v += 0.1);
            p
        });
        network.restore(&moved.collect::<Vec<_>>(), Vec::new()).unwrap();
        let start = network.parameters().unwrap();
        network.train_step(images, &labels, step, ForwardContext::training_step(0, 0)).unwrap();
        (start, network.parameters().unwrap())
    };
    let ((start, without), (_, with)) = (stepped(0.0), stepped(0.5));
    let (mut weights, mut others) = (0, 0);
    for i in 0..start.len() {
        if start[i].shape.len() == 1 {
            assert_eq!(with[i], without[i], "{}", start[i].name);
            others += 1;
            continue;
        }
        weights += 1;
        for k in 0..start[i].values.len() {
            let moved = without[i].values[k] - 0.01 * 0.5 * start[i].values[k];
            assert!((with[i].values[k] - moved).abs() < 1e-6, "{}", start[i].name);
        }
    }
    // 19 convolutions, each with a shift and two statistics, and the last layer with a bias.
    assert_eq!((weights, others), (20, 58));
}

#[test]
fn batch_norms_memory_is_the_share_that_is_kept_and_changes_no_weight() {
    let stepped = |memory: f32| {
        let (mut network, images, labels) = narrow();
        network.set_rules(Rules { norm_memory: memory, ..Rules::default() });
        let start = network.parameters().unwrap();
        let step = SgdStep { learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0 };
        let pass = || ForwardContext::training_step(0, 0);
        let noted = network.gradients(images.clone(), &labels, pass()).unwrap().1;
        network.train_step(images, &labels, step, pass()).unwrap();
        (start, noted, network.parameters().unwrap())
    };
    let all = [0.0f32, 0.9, 0.9997].map(|memory| (memory, stepped(memory)));
    for (memory, (start, noted, after)) in &all {
        let mut statistics = 0;
        for i in 0..start.len() {
            let name = &start[i].name;
            if !(name.ends_with("mean") || name.ends_with("variance")) {
                assert_eq!(after[i], all[0].1.2[i], "{name}");
                continue;
            }
            statistics += 1;
            for ((before, after), noted) in start[i].values.iter().zip(&after[i].values).zip(&noted[i]) {
                assert_eq!(*after, memory * before + (1.0 - memory) * noted, "{name}, memory {memory}");
            }
        }
        assert_eq!(statistics, 38);
    }
}

#[test]
fn values_that_are_nothing_in_single_precision_are_refused_by_name() {
    let data = data();
    type Change = (fn(&mut RunConfig), &'static str);
    let changes: [Change; 17] = [
        (|c| c.hyper.learning_rate = 1e39, "learning rate"),
        (|c| c.hyper.learning_rate = 1e-50, "learning rate"),
        (|c| c.hyper.learning_rate = 0.0, "learning rate 0"),
        (|c| c.hyper.momentum = 0.999_999_999_99, "momentum"),
        (|c| c.hyper.weight_decay = 1e39, "weight decay"),
        (|c| c.hyper.weight_decay = 1e-50, "weight decay"),
        (|c| c.hyper.weight_decay = f64::NAN, "weight decay NaN"),
        (|c| c.hyper.norm_memory = 1.0, "norm-memory"),
        (|c| c.hyper.norm_memory = -0.1, "norm-memory"),
        (|c| c.hyper.norm_memory = 0.999_999_999_99, "norm-memory"),
        (|c| c.hyper.label_smoothing = 1.0, "label smoothing"),
        (|c| c.hyper.average = Some(1.0), "average"),
        (|c| c.hyper.average = Some(f64::NAN), "average"),
        (|c| c.hyper.optimizer = Optimizer::RmsProp { decay: 1.0, epsilon: 1.0 }, "rmsprop: decay 1"),
        (|c| c.hyper.optimizer = Optimizer::RmsProp { decay: 0.9, epsilon: 1e-50 }, "epsilon"),
        (
            |c| c.hyper.optimizer = Optimizer::Adam { decay: 1.0, epsilon: 1.0, decoupled: true },
            "optimizer adamw: decay 1 ",
        ),
        (|c| c.hyper.rate_decay = 0.0, "decay 0 of the learning rate"),
    ];
    for (number, (change, part)) in changes.into_iter().enumerate() {
        let mut config = config(&data, Corruption::TrueLabels);
        change(&mut config);
        let error = train(&config, &data, Progress::quiet(&mut |_| {})).unwrap_err().to_string();
        assert!(error.contains(part), "change {number}: {error}");
    }
    for text in [
        "adagrad",
        "sgd+0.9+1",
        "rmsprop+0.9",
        "rmsprop+1+1",
        "rmsprop+0.9+0",
        "rmsprop+a+b",
        "adam+0.9",
        "adamw+1+1",
    ] {
        let error = text.parse::<Optimizer>().unwrap_err().to_string();
        assert!(error.contains(&format!("{text:?} is none of sgd, rmsprop, adam, adamw")), "{error}");
    }
    for (text, title) in [
        ("sgd", "SGD"),
        ("rmsprop", "RMSProp (decay 0.9, epsilon 1)"),
        ("rmsprop+0.95+0.5", "RMSProp (decay 0.95, epsilon 0.5)"),
        ("adam", "Adam (decay 0.999, epsilon 1e-8)"),
        ("adam+0.95+1e-5", "Adam (decay 0.95, epsilon 1e-5)"),
        ("adamw", "AdamW (decay 0.999, epsilon 1e-8)"),
        ("adamw+0.95+0.5", "AdamW (decay 0.95, epsilon 0.5)"),
    ] {
        let optimizer = text.parse::<Optimizer>().unwrap();
        assert_eq!((optimizer.to_string(), optimizer.title()), (text.into(), title.into()));
    }
}

/// Those of full-size runs that were begun before these choices were; and what a file says of them.
#[test]
fn choices_that_are_as_before_change_no_key() {
    let data = shapes10::generate(10, 10, 1).unwrap();
    let config = |corruption| {
        let mut config = config_at(&data, Scale::Paper, ModelKind::Inception, corruption, Seeds::repeat(0));
        config.data = DataId {
            name: "cifar10".into(),
            title: "CIFAR-10 (JPEG q75)".into(),
            fingerprint: "f43bf6a33f958776c1159c2d0d6dde911aefbf835befaf4056b208d0463966e8".into(),
            train: 50_000,
            test: 10_000,
        };
        (config.hyper.epochs, config.hyper.stop_when_fitted, config.hyper.fitted_epochs) = (64, false, 1);
        (config.hyper.rate_decay_every, config.log_every, config.eval_every) = (1, 100, 1);
        config
    };
    let gaussian: Corruption = "gaussian".parse().unwrap();
    for (corruption, key) in [
        (Corruption::TrueLabels, "df0ffb38d6c26e94"),
        (Corruption::RandomLabels, "4d9c7c108ae94b7f"),
        (gaussian, "863e3f3745f872d4"),
    ] {
        assert_eq!(config(corruption).key(), key, "{corruption:?}");
    }
    let plain = config(Corruption::TrueLabels);
    let json = serde_json::to_value(&plain).unwrap();
    // A new field does not compile here: `shown` has to hold it.
    let chosen = TrainConfig {
        batch_size: plain.hyper.batch_size,
        learning_rate: plain.hyper.learning_rate,
        momentum: plain.hyper.momentum,
        rate_decay: plain.hyper.rate_decay,
        rate_decay_every: plain.hyper.rate_decay_every,
        weight_decay: plain.hyper.weight_decay,
        init: plain.hyper.init,
        random_crop: plain.hyper.random_crop,
        epochs: plain.hyper.epochs,
        stop_when_fitted: plain.hyper.stop_when_fitted,
        // These are left out of the JSON where they are as before.
        weight_decay_on: DecayOn::Weights,
        augment: Augmentation::IMAGENET,
        without_dropout: true,
        norm_memory: 0.99,
        optimizer: Optimizer::INCEPTION_V3,
        label_smoothing: 0.1,
        average: Some(0.9999),
        fitted_epochs: 5,
        precision: Precision::Bf16,
    };
    let names = |json: &Value| json.as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>();
    let (written, all) = (names(&json["hyper"]), names(&serde_json::to_value(&chosen).unwrap()));
    assert_eq!((written.len(), all.len()), (10, 19), "left out: {:?}", all.difference(&written));
    assert_eq!((names(&plain.hyper.shown()), names(&chosen.shown())), (all.clone(), all), "all are shown");
    assert_eq!(serde_json::from_value::<RunConfig>(json).unwrap(), plain);
    let mut keys = vec![plain.key()];
    let changes: [fn(&mut RunConfig); 6] = [
        |c| c.hyper.precision = Precision::Bf16,
        |c| c.hyper.norm_memory = 0.99,
        |c| c.hyper.optimizer = Optimizer::INCEPTION_V3,
        |c| c.hyper.label_smoothing = 0.1,
        |c| c.hyper.average = Some(0.9999),
        |c| c.hyper.weight_decay_on = DecayOn::Weights,
    ];
    for change in changes {
        let mut changed = plain.clone();
        change(&mut changed);
        let json = serde_json::to_value(&changed).unwrap();
        assert_eq!(serde_json::from_value::<RunConfig>(json).unwrap(), changed);
        keys.push(changed.key());
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 7);
}

/// Mean squares, averages and the number of steps are in the checkpoint.
#[test]
fn a_resumed_run_by_another_optimizer_with_averages_is_the_uninterrupted_one() {
    let data = data();
    let mut config =
        config_at(&data, Scale::Smoke, ModelKind::Inception, Corruption::TrueLabels, Seeds::default());
    config.data = data.id(60, 40);
    config.hyper.batch_size = 20;
    config.hyper.epochs = 3;
    config.hyper.average = Some(0.9);
    config.hyper.label_smoothing = 0.1;
    config.hyper.norm_memory = 0.8;
    config.hyper.stop_when_fitted = false;
    let whole_of = |optimizer| {
        let config = RunConfig { hyper: TrainConfig { optimizer, ..config.hyper.clone() }, ..config.clone() };
        let whole = trained(&config, &data);
        let (resumed, leaves) = killed_after_each_epoch(&config, &data);
        assert_eq!(leaves, 2);
        assert_eq!(digest(&whole.rows), digest(&resumed.rows), "{optimizer}");
        assert_eq!(whole.parameters, resumed.parameters, "{optimizer}");
        whole
    };
    let [adam, adam_w, whole] = [Optimizer::ADAM, Optimizer::ADAM_W, Optimizer::INCEPTION_V3].map(whole_of);
    assert_ne!(adam.parameters, whole.parameters);
    // Without weight decay they are one.
    assert_eq!(adam.parameters, adam_w.parameters);
    config.hyper.optimizer = Optimizer::INCEPTION_V3;
    // Each of the choices matters.
    let changes: [fn(&mut RunConfig); 4] = [
        |c| c.hyper.optimizer = Optimizer::Sgd,
        |c| c.hyper.average = None,
        |c| c.hyper.label_smoothing = 0.0,
        |c| c.hyper.norm_memory = 0.9,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut other = config.clone();
        change(&mut other);
        assert_ne!(trained(&other, &data).parameters, whole.parameters, "change {number}");
    }
}

fn data() -> Dataset {
    shapes10::generate(300, 100, 1).unwrap()
}

fn config(data: &Dataset, corruption: Corruption) -> RunConfig {
    let mut config = config_at(data, Scale::Smoke, ModelKind::Mlp1x512, corruption, Seeds::default());
    config.data = data.id(300, 100);
    config.hyper.epochs = 6;
    config.log_every = 5;
    config
}

fn trained(config: &RunConfig, data: &Dataset) -> TrainedRun {
    train(config, data, Progress::quiet(&mut |_| {})).unwrap().unwrap()
}

#[test]
fn equal_configurations_give_equal_frames_on_any_number_of_threads() {
    let data = data();
    for random_crop in [false, true] {
        let mut config = config(&data, Corruption::RandomLabels);
        config.hyper.random_crop = random_crop;
        let first = trained(&config, &data);
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let again = pool.install(|| trained(&config, &data));
            assert_eq!(
                digest(&first.rows),
                digest(&again.rows),
                "{threads} threads, random crop {random_crop}"
            );
            assert_eq!(first.parameters, again.parameters);
        }
    }
}

#[test]
fn seeds_matter_one_by_one() {
    let data = data();
    let base = config(&data, Corruption::RandomLabels);
    let first = digest(&trained(&base, &data).rows);
    for change in [
        (|s: &mut Seeds| s.data += 10) as fn(&mut Seeds),
        |s: &mut Seeds| s.init += 10,
        |s: &mut Seeds| s.order += 10,
    ] {
        let mut config = base.clone();
        change(&mut config.seeds);
        assert_ne!(digest(&trained(&config, &data).rows), first, "{:?}", config.seeds);
        assert_ne!(config.key(), base.key());
    }
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one() {
    let data = data();
    for random_crop in [false, true] {
        let mut config = config(&data, Corruption::PartialLabels { p: 0.5 });
        config.hyper.random_crop = random_crop;
        config.hyper.weight_decay = 1e-3;
        let whole = trained(&config, &data);
        let (resumed, leaves) = killed_after_each_epoch(&config, &data);
        assert_eq!(leaves, 5);
        assert_eq!(digest(&whole.rows), digest(&resumed.rows));
        assert_eq!(whole.parameters, resumed.parameters);
    }
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let leave = |config: &RunConfig| leaving(config, &data, folder.path(), 2).map(|_| ());
    leave(&config(&data, Corruption::TrueLabels)).unwrap();
    let error = leave(&config(&data, Corruption::RandomLabels)).unwrap_err().to_string();
    assert!(error.contains("belongs to another run"), "{error}");
    std::fs::write(folder.path().join("checkpoint.safetensors"), b"not a checkpoint").unwrap();
    let error = leave(&config(&data, Corruption::TrueLabels)).unwrap_err().to_string();
    assert!(error.contains("checkpoint.safetensors") && error.contains("remove"), "{error}");
}

#[test]
fn training_stops_when_fitted_and_says_when() {
    let data = data();
    let mut config = config(&data, Corruption::RandomLabels);
    config.hyper.epochs = 200;
    let stopped = trained(&config, &data);
    assert_eq!(stopped.ending, StopReason::Fitted);
    let last = stopped.rows.last().unwrap();
    assert_eq!(last.train_accuracy, Some(1.0));
    assert!(last.epoch < 200);
    config.hyper.stop_when_fitted = false;
    config.hyper.epochs = last.epoch as usize + 2;
    let on = trained(&config, &data);
    assert_eq!(on.ending, StopReason::Completed);
    // Random labels teach nothing: 100 test images, chance 10 %.
    assert!(on.rows.last().unwrap().test_accuracy.unwrap() < 0.25);
}

/// The accuracy on the whole training set at each epoch's end, where it was measured.
fn measured(rows: &[LogRow]) -> Vec<Option<f64>> {
    rows.chunk_by(|a, b| a.epoch == b.epoch).map(|rows| rows.last().unwrap().train_accuracy).collect()
}

/// The first epoch that ends `k` in a row with every image right.
fn in_a_row(measured: &[Option<f64>], k: usize) -> Option<usize> {
    (k..=measured.len()).find(|end| measured[end - k..*end].iter().all(|m| *m == Some(1.0)))
}

/// Random labels for 300 images, to the end and until fitted for `k` epochs.
fn going_and_stopping(data: &Dataset, k: usize) -> (RunConfig, RunConfig) {
    let mut stopping = config(data, Corruption::RandomLabels);
    (stopping.hyper.epochs, stopping.hyper.fitted_epochs, stopping.eval_every) = (60, k, 1);
    let mut going = stopping.clone();
    going.hyper.keep_going();
    (going, stopping)
}

#[test]
fn a_run_ends_after_so_many_epochs_in_a_row_with_every_image_right() {
    let data = data();
    let (going, _) = going_and_stopping(&data, 1);
    let whole = trained(&going, &data);
    assert_eq!(whole.ending, StopReason::Completed);
    let measured = measured(&whole.rows);
    for k in [1, 2, 5] {
        let (_, stopping) = going_and_stopping(&data, k);
        let stopped = trained(&stopping, &data);
        let end = in_a_row(&measured, k).expect("the network is fitted");
        assert_eq!(stopped.ending, StopReason::Fitted);
        assert_eq!(stopped.rows.last().unwrap().epoch as usize, end, "{k} in a row: {measured:?}");
        // Bit for bit the beginning of the run that goes on, measured in the same epochs.
        assert_eq!(digest(&stopped.rows), digest(&whole.rows[..stopped.rows.len()]));
    }
    // Tested every fourth epoch, the whole training set is still measured in each that could end the run.
    let (_, mut seldom) = going_and_stopping(&data, 5);
    seldom.eval_every = 4;
    let stopped = trained(&seldom, &data);
    assert_eq!(stopped.rows.last().unwrap().epoch as usize, in_a_row(&measured, 5).unwrap());
    assert!(stopped.rows.last().unwrap().test_accuracy.is_some());
}

/// `train`, but left after `epochs`, its checkpoint kept in the store as that of an unfinished run.
fn left_after(store: &Store, config: &RunConfig, data: &Dataset, epochs: u32) -> PathBuf {
    let folder = store.folder().join(format!("{}.partial", config.key()));
    std::fs::create_dir_all(&folder).unwrap();
    assert!(leaving(config, data, &folder, epochs).unwrap().is_none(), "left before its end");
    folder
}

/// Files, each with its bytes.
type Files = Vec<(PathBuf, Vec<u8>)>;

/// Every file below `folder`.
fn files(folder: &Path) -> Files {
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
        .collect();
    all.sort();
    all
}

/// What the store says of a run while it makes it.
#[derive(Default, Debug)]
struct Said {
    epochs: Vec<u32>,
    taken: Option<Origin>,
    begun: Option<Origin>,
    passed_over: Vec<String>,
}

fn made(store: &Store, config: &RunConfig, data: &Dataset) -> (Run, Said) {
    let mut said = Said::default();
    let run = store
        .run(config, data, Scale::Smoke, &mut |event| match event {
            Event::Epoch(row) => said.epochs.push(row.epoch),
            Event::Taken(record) => said.taken = record.origin.clone(),
            Event::Begun(origin) => said.begun = Some(origin),
            Event::PassedOver(why) => said.passed_over.push(why),
            Event::Found(_) | Event::Waiting | Event::Training(..) => {}
        })
        .unwrap();
    (run, said)
}

/// Which epochs each sitting has, and whether it is known where.
fn sittings(run: &Run) -> Vec<(u32, u32, bool)> {
    run.record.sittings.iter().map(|s| (s.first, s.last, s.provenance.is_some())).collect()
}

#[test]
fn a_run_that_went_on_contains_the_run_that_stops() {
    let data = data();
    let (going, stopping) = going_and_stopping(&data, 5);
    let directly = trained(&stopping, &data);
    let end = directly.rows.last().unwrap().epoch;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("runs"));
    let whole = store.run(&going, &data, Scale::Smoke, &mut |_| {}).unwrap();
    assert_eq!(whole.record.origin, None);
    let before = std::fs::read(store.path(&going.key())).unwrap();

    let (run, said) = made(&store, &stopping, &data);
    assert!(said.epochs.is_empty(), "nothing is trained: {said:?}");
    let origin = run.record.origin.clone().unwrap();
    assert_eq!((origin.key.clone(), origin.taken, origin.epochs), (going.key(), end, 60));
    assert_eq!(said.taken, Some(origin));
    assert_eq!(run.record.digest, digest(&directly.rows));
    let record = &run.record;
    assert_eq!((record.ending, record.epochs, &record.config), (StopReason::Fitted, end, &stopping));
    assert_eq!((record.train_accuracy, record.parameters), (Some(1.0), directly.parameter_count));
    assert_eq!(record.test_accuracy, directly.rows.last().unwrap().test_accuracy);
    assert_eq!(record.provenance, whole.record.provenance);
    assert_eq!(sittings(&run), [(1, end, true)]);
    assert_eq!(record.ended(), "fitted (5 epochs)");
    assert!(store.events(&stopping).is_dir());
    // It lies in the store as any other, and the one that it is from is as it was.
    let again = store.get(&stopping).unwrap().unwrap();
    assert_eq!(again.record, run.record);
    assert_eq!(before, std::fs::read(store.path(&going.key())).unwrap());
    let left = |suffix: &str| store.folder().join(format!("{}.{suffix}", stopping.key())).exists();
    assert!(!left("partial") && !left("lock"));
    // A process that was killed at the very end has left its lock, with or without its folder.
    for folder_too in [false, true] {
        std::fs::write(store.folder().join(format!("{}.lock", stopping.key())), "").unwrap();
        if folder_too {
            std::fs::create_dir(store.folder().join(format!("{}.partial", stopping.key()))).unwrap();
        }
        assert_eq!(made(&store, &stopping, &data).0.record, run.record);
        assert!(!left("partial") && !left("lock"));
    }

    // A run that stops later contains those that stop sooner, and one without an end those that are cut off.
    let (_, two) = going_and_stopping(&data, 2);
    let mut cut = two.clone();
    (cut.hyper.epochs, cut.hyper.fitted_epochs) = (3, 5);
    for (config, ending) in [(two, StopReason::Fitted), (cut, StopReason::Completed)] {
        let directly = trained(&config, &data);
        let (run, said) = made(&store, &config, &data);
        // At its last epoch, a run that is cut off measures what the other did not.
        let measured = ending == StopReason::Fitted;
        assert_eq!((said.epochs.is_empty(), run.record.origin.is_some()), (measured, measured), "{said:?}");
        assert_eq!((run.record.ending, run.record.digest), (ending, digest(&directly.rows)));
    }
}

#[test]
fn an_unfinished_run_that_has_passed_the_end_contains_the_run_that_stops() {
    let data = data();
    let (mut going, stopping) = going_and_stopping(&data, 5);
    going.hyper.epochs = 200;
    let directly = trained(&stopping, &data);
    let end = directly.rows.last().unwrap().epoch;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("runs"));
    // The checkpoint stands before the end, the log after it: the process was killed in between.
    let partial = left_after(&store, &going, &data, 3);
    let checkpoint = std::fs::read(partial.join("checkpoint.safetensors")).unwrap();
    left_after(&store, &going, &data, end + 2);
    let beyond = std::fs::read(partial.join("checkpoint.safetensors")).unwrap();
    for (bytes, name) in [(&checkpoint, "log"), (&beyond, "checkpoint")] {
        std::fs::write(partial.join("checkpoint.safetensors"), bytes).unwrap();
        let before = files(&partial);
        let (run, said) = made(&store, &stopping, &data);
        assert!(said.epochs.is_empty(), "{name}: {said:?}");
        let origin = run.record.origin.clone().unwrap();
        assert_eq!((origin.key, origin.taken, origin.epochs), (going.key(), end, end + 2), "{name}");
        assert_eq!(run.record.digest, digest(&directly.rows), "{name}");
        assert_eq!(run.record.parameters, directly.parameter_count, "{name}");
        // Which no checkpoint says.
        assert_eq!(run.record.classes, Some(10), "{name}");
        assert_eq!(sittings(&run), [(1, 3, true), (4, end, true)], "{name}");
        let beyond: Vec<_> = origin.beyond.iter().map(|s| (s.first, s.last)).collect();
        assert_eq!(beyond, [(end + 1, end + 2)], "{name}");
        assert_eq!(before, files(&partial), "{name}: the run that goes on is as it was");
        std::fs::remove_file(store.path(&stopping.key())).unwrap();
    }
    // A log that is not the checkpoint's counts for nothing: the epochs after the checkpoint are trained.
    std::fs::write(partial.join("checkpoint.safetensors"), &checkpoint).unwrap();
    let log = std::fs::read_to_string(partial.join("log.csv")).unwrap();
    let (header, rows) = log.split_once('\n').unwrap();
    // The first row's loss.
    let another = format!("{header}\n{}", rows.replacen(",1,", ",1,9", 1));
    assert_ne!(log, another);
    std::fs::write(partial.join("log.csv"), another).unwrap();
    let (run, said) = made(&store, &stopping, &data);
    assert_eq!((said.epochs[0], run.record.digest), (4, digest(&directly.rows)));
}

#[test]
fn a_run_that_stops_goes_on_from_the_checkpoint_of_one_that_goes_on() {
    let data = data();
    let (going, stopping) = going_and_stopping(&data, 5);
    let directly = trained(&stopping, &data);
    let end = directly.rows.last().unwrap().epoch;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("runs"));
    let partial = left_after(&store, &going, &data, 3);
    let before = files(&partial);
    // Its own beginning is no longer.
    left_after(&store, &stopping, &data, 2);
    let (run, said) = made(&store, &stopping, &data);
    assert_eq!(said.begun.map(|origin| (origin.key, origin.taken)), Some((going.key(), 3)));
    assert_eq!(said.epochs, (4..=end).collect::<Vec<_>>());
    assert_eq!(run.record.digest, digest(&directly.rows));
    let origin = run.record.origin.clone().unwrap();
    assert_eq!((origin.key, origin.taken, origin.epochs), (going.key(), 3, 3));
    assert_eq!(sittings(&run), [(1, 3, true), (4, end, true)]);
    assert_eq!(before, files(&partial));
    std::fs::remove_file(store.path(&stopping.key())).unwrap();
    // Its own beginning is longer: it needs none of the other's.
    left_after(&store, &stopping, &data, 4);
    let (run, said) = made(&store, &stopping, &data);
    assert_eq!((said.begun, said.epochs[0], run.record.origin), (None, 5, None));
}

#[test]
fn nothing_is_taken_from_a_run_that_was_measured_in_other_epochs() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("runs"));
    let (going, stopping) = going_and_stopping(&data, 5);
    let trained_anew = |going: &RunConfig, stopping: &RunConfig| {
        store.run(going, &data, Scale::Smoke, &mut |_| {}).unwrap();
        let directly = digest(&trained(stopping, &data).rows);
        let (run, said) = made(&store, stopping, &data);
        assert_eq!((said.epochs.first(), run.record.origin, run.record.digest), (Some(&1), None, directly));
        std::fs::remove_file(store.path(&going.key())).unwrap();
    };
    // The epochs that would end the one were not measured by the other.
    let seldom = |config: &RunConfig| RunConfig { eval_every: 3, ..config.clone() };
    trained_anew(&seldom(&going), &seldom(&stopping));
    // Other rows; other weights.
    trained_anew(&RunConfig { log_every: 2, ..going.clone() }, &stopping);
    std::fs::remove_file(store.path(&stopping.key())).unwrap();
    let seeds = Seeds { init: 77, ..going.seeds };
    trained_anew(&RunConfig { seeds, ..going.clone() }, &stopping);
    std::fs::remove_file(store.path(&stopping.key())).unwrap();
    // What cannot be read is named, and passed over.
    store.run(&going, &data, Scale::Smoke, &mut |_| {}).unwrap();
    let path = store.path(&going.key());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (run, said) = made(&store, &stopping, &data);
    assert!(said.passed_over.iter().any(|why| why.contains(&going.key())), "{said:?}");
    assert!(run.record.origin.is_none() && said.epochs[0] == 1);
}

/// An epoch a row, measured so, of a run that nobody trained.
fn with_measurements(measured: &[Option<f64>]) -> TrainedRun {
    let row = |(index, train): (usize, &Option<f64>)| LogRow {
        step: index as u32 + 1,
        epoch: index as u32 + 1,
        loss: 1.0 / (index as f64 + 1.0),
        batch_accuracy: if train.is_some() { 0.99 } else { 0.5 },
        train_accuracy: *train,
        test_accuracy: Some(0.5),
        train_top5: None,
        test_top5: None,
        learning_rate: 0.1,
        seconds: index as f64,
    };
    let rows = measured.iter().enumerate().map(row).collect();
    let (ending, history) = (StopReason::Completed, Default::default());
    let (parameters, classes) = (Vec::new(), Some(10));
    TrainedRun { rows, ending, parameters, parameter_count: 7, classes, history, left_out: None }
}

#[test]
fn an_image_that_is_wrong_again_breaks_the_row() {
    let data = data();
    let (mut going, stopping) = going_and_stopping(&data, 3);
    let right = Some(1.0);
    for (measured, end) in [
        (vec![None, Some(0.99), right, right, right, right, right], 5),
        (vec![None, right, right, Some(0.999), right, right, right], 7),
        // Too many images of the batches were wrong for a measurement.
        (vec![None, right, right, None, right, right, right, right], 7),
        // At its limit, a run ends whatever the row.
        (vec![None, right, right, None, right, right, Some(0.999), Some(0.999), right, right], 8),
    ] {
        let stopping = match end {
            8 => RunConfig { hyper: TrainConfig { epochs: 8, ..stopping.hyper.clone() }, ..stopping.clone() },
            _ => stopping.clone(),
        };
        let ending = if end == 8 { StopReason::Completed } else { StopReason::Fitted };
        going.hyper.epochs = measured.len();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let made_up = with_measurements(&measured);
        store.run_by((&going, 10), Scale::Smoke, &mut |_| {}, &mut |_| Ok(Some(made_up.clone()))).unwrap();
        let (run, said) = made(&store, &stopping, &data);
        assert!(said.epochs.is_empty(), "{measured:?}: {said:?}");
        assert_eq!((run.record.epochs, run.record.ending), (end, ending), "{measured:?}");
        assert_eq!(run.record.digest, digest(&made_up.rows[..end as usize]));
    }
}

#[test]
fn a_record_names_every_sitting() {
    let data = data();
    let (_, stopping) = going_and_stopping(&data, 2);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    left_after(&store, &stopping, &data, 1);
    left_after(&store, &stopping, &data, 3);
    let (run, _) = made(&store, &stopping, &data);
    assert_eq!(sittings(&run), [(1, 1, true), (2, 3, true), (4, run.record.epochs, true)]);
    let provenance = run.record.sittings[0].provenance.as_ref().unwrap();
    assert!(provenance.host.contains(std::env::consts::OS) && !provenance.revision.is_empty());
    assert_eq!(store.get(&stopping).unwrap().unwrap().record, run.record);
}

/// `fixtures/checkpoint` was left by the program of commit e238c84, from before sittings were kept: `rethink run --model
/// mlp1x512 --width 0.004 --data shapes10 --scale smoke --train 10000 --keep-going --epochs 12`, killed in epoch 4.
#[test]
fn a_checkpoint_from_before_sittings_were_kept_goes_on() {
    let data = shapes10::dataset();
    let line = "rethink run --model mlp1x512 --width 0.004 --train 10000 --keep-going --epochs 12";
    let Action::Run { choice, .. } = Command::try_parse_from(line.split(' ')).unwrap().action else {
        panic!("{line}");
    };
    let config = choice.configure_on(data.id(10_000, 200), Scale::Smoke);
    let key = config.key();
    assert_eq!(key, "213d5d921391a3af");
    let store_with = |sittings: Option<&str>| {
        let folder = tempfile::tempdir().unwrap();
        let partial = folder.path().join(format!("{key}.partial"));
        std::fs::create_dir(&partial).unwrap();
        for name in ["checkpoint.safetensors", "log.csv"] {
            std::fs::copy(root().join("tests/fixtures/checkpoint").join(&key).join(name), partial.join(name))
                .unwrap();
        }
        if let Some(sittings) = sittings {
            std::fs::write(partial.join("sittings.json"), sittings).unwrap();
        }
        (Store::new(folder.path()), folder)
    };
    let (store, _folder) = store_with(None);
    let (run, said) = made(&store, &config, &data);
    assert_eq!(said.epochs, (4..=12).collect::<Vec<_>>());
    assert_eq!(sittings(&run), [(1, 3, false), (4, 12, true)]);

    let on = |device: &str| {
        serde_json::json!({ "rethink": "0.1.0", "revision": "e238c84", "crates": {}, "host": "elsewhere",
            "device": device, "threads": 16 })
    };
    let sitting = |first: u32, last: Option<u32>, device: &str| serde_json::json!({ "first": first, "last": last, "provenance": on(device) });
    let told = serde_json::json!([sitting(1, Some(2), "cuda:0"), sitting(3, Some(3), "cpu")]).to_string();
    let (store, _folder) = store_with(Some(&told));
    let (run, _) = made(&store, &config, &data);
    assert_eq!(sittings(&run), [(1, 2, true), (3, 3, true), (4, 12, true)]);
    assert_eq!(run.record.sittings[0].provenance.as_ref().unwrap().device, "cuda:0");

    for (sittings, problem) in [
        (serde_json::json!([sitting(2, Some(3), "cpu")]), "sitting 1 begins with epoch 2"),
        (serde_json::json!([sitting(1, Some(2), "cpu")]), "end with epoch 2, and the run stands at 3"),
        (
            serde_json::json!([sitting(1, Some(2), "cpu"), sitting(4, None, "cpu")]),
            "sitting 2 begins with epoch 4",
        ),
        (serde_json::json!([sitting(1, None, "cpu"), sitting(2, Some(3), "cpu")]), "sitting 1 has no end"),
        (serde_json::json!([sitting(1, Some(0), "cpu")]), "from epoch 1 to 0"),
        (serde_json::json!([{ "first": 1, "last": 3, "where": "here" }]), "unknown field `where`"),
        (serde_json::json!("a GPU"), "invalid type"),
    ] {
        let (store, _folder) = store_with(Some(&sittings.to_string()));
        let error = store.run(&config, &data, Scale::Smoke, &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("sittings.json") && error.contains(problem), "{error}");
    }
}

#[test]
fn the_learning_rate_decays_by_the_epoch() {
    let data = data();
    let mut config = config(&data, Corruption::TrueLabels);
    config.hyper.rate_decay_every = 2;
    config.hyper.stop_when_fitted = false;
    for row in trained(&config, &data).rows {
        let expected = 0.01 * 0.95f64.powi((row.epoch as i32 - 1) / 2);
        assert!((row.learning_rate - expected).abs() < 1e-12, "epoch {}", row.epoch);
    }
}

#[test]
fn a_run_that_diverges_is_recorded() {
    let data = data();
    let mut config = config(&data, Corruption::TrueLabels);
    config.hyper.learning_rate = 1e6;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let run = store.run(&config, &data, Scale::Smoke, &mut |_| {}).unwrap();
    assert_eq!(run.record.ending, StopReason::Diverged);
    assert_eq!(run.record.train_accuracy.is_some(), run.record.test_accuracy.is_some());
    let again = store.get(&config).unwrap().unwrap();
    assert_eq!(again.record, run.record);
}

#[test]
fn the_store_keeps_a_run_whole_and_computes_it_once() {
    let data = data();
    let config = config(&data, Corruption::TrueLabels);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("runs"));
    assert!(store.all().unwrap().is_empty());
    let mut epochs = 0;
    let run = store
        .run(&config, &data, Scale::Smoke, &mut |e| epochs += u32::from(matches!(e, Event::Epoch(_))))
        .unwrap();
    assert_eq!(epochs, run.record.epochs);
    let written = std::fs::metadata(store.path(&config.key())).unwrap().modified().unwrap();
    let mut found = false;
    let again =
        store.run(&config, &data, Scale::Smoke, &mut |e| found = matches!(e, Event::Found(_))).unwrap();
    assert!(found);
    assert_eq!(written, std::fs::metadata(store.path(&config.key())).unwrap().modified().unwrap());
    assert_eq!(again.record, run.record);
    assert!(again.frame.equals_missing(&run.frame));
    let names: Vec<_> = std::fs::read_dir(store.folder()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "only the finished run and the events: {names:?}");
    // A process may be killed between the run's file and the end of its folder.
    let partial = store.folder().join(format!("{}.partial", config.key()));
    std::fs::create_dir(&partial).unwrap();
    std::fs::write(partial.join("checkpoint.safetensors"), "left").unwrap();
    store.run(&config, &data, Scale::Smoke, &mut |_| {}).unwrap();
    assert!(!partial.exists());
    let record = &run.record;
    assert_eq!(record.config.data.fingerprint, data.fingerprint);
    assert_eq!(record.parameters, 1_209_866);
    assert!(record.provenance.crates["dfdx"] == "0.13.0" && !record.provenance.host.is_empty());
    assert_eq!(run.frame.height() as u32, record.epochs);
}

#[test]
fn a_file_that_is_no_run_is_an_error_with_its_name() {
    let data = data();
    let config = config(&data, Corruption::TrueLabels);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let path = store.path(&config.key());
    std::fs::write(&path, b"PAR1 and nothing more").unwrap();
    let error = rethink::store::read(&path).unwrap_err().to_string();
    assert!(error.contains(&config.key()), "{error}");
    // It does not stand in the way of what is a run.
    assert!(store.get(&config).unwrap().is_none() && store.all().unwrap().is_empty());
    assert_eq!(store.contents().unwrap().passed_over[0].path, path);
}

#[test]
fn impossible_configurations_are_errors() {
    let data = data();
    let base = config(&data, Corruption::TrueLabels);
    let changes: [fn(&mut RunConfig); 12] = [
        |c| c.hyper.fitted_epochs = 0,
        // More epochs than steps can be counted.
        |c| c.hyper.epochs = 3_000_000_000,
        |c| c.data.train = 301,
        |c| c.data.train = 0,
        |c| c.data.fingerprint = "other".into(),
        |c| c.hyper.batch_size = 0,
        |c| c.hyper.epochs = 0,
        |c| c.hyper.learning_rate = f64::NAN,
        |c| c.hyper.momentum = 1.0,
        |c| c.hyper.weight_decay = -1.0,
        |c| c.corruption = Corruption::PartialLabels { p: 1.5 },
        // It would act on nothing.
        |c| {
            c.model = ModelKind::Inception;
            (c.hyper.weight_decay, c.hyper.weight_decay_on) = (1e-3, DecayOn::Fc);
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut config = base.clone();
        change(&mut config);
        assert!(train(&config, &data, Progress::quiet(&mut |_| {})).is_err(), "change {number}");
        let folder = tempfile::tempdir().unwrap();
        assert!(Store::new(folder.path()).run(&config, &data, Scale::Smoke, &mut |_| {}).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "change {number}");
    }
}

/// A rate at which the last step of all ruins the weights: the losses, taken before their updates, are numbers still.
#[test]
fn a_network_that_the_last_step_ruins_has_diverged() {
    let data = data();
    let mut config = config(&data, Corruption::TrueLabels);
    config.hyper.batch_size = config.data.train;
    config.hyper.epochs = 1;
    (config.hyper.learning_rate, config.hyper.weight_decay) = (1e30, 1e30);
    let run = train(&config, &data, Progress::quiet(&mut |_| ())).unwrap().unwrap();
    assert!(run.rows.iter().all(|row| row.loss.is_finite()), "a single step, and its loss is from before");
    assert_eq!(run.ending, StopReason::Diverged);
}

/// A rate at which one step takes the weights so far that they are numbers still, and the scores are not.
fn to_scores_that_are_none(data: &Dataset, epochs: usize, eval_every: usize) -> RunConfig {
    let mut config = config(data, Corruption::TrueLabels);
    (config.hyper.batch_size, config.hyper.learning_rate) = (config.data.train, 1e30);
    (config.hyper.epochs, config.eval_every) = (epochs, eval_every);
    config
}

#[test]
fn a_network_whose_scores_are_no_numbers_has_diverged() {
    let data = data();
    let finite = |run: &TrainedRun| run.parameters.iter().flat_map(|p| &p.values).all(|v| v.is_finite());
    // At the last epoch's end, and at that of one at which the test set is looked at.
    for (epochs, eval_every) in [(1, 2), (3, 1)] {
        let run = trained(&to_scores_that_are_none(&data, epochs, eval_every), &data);
        assert!(finite(&run), "the weights are numbers");
        assert_eq!((run.rows.len(), run.ending), (1, StopReason::Diverged));
        let row = &run.rows[0];
        assert!(row.loss.is_finite(), "{row:?}");
        assert!(row.train_accuracy.is_some() && row.test_accuracy.is_some(), "{row:?}");
    }
    // Where no evaluation is due, the next batch's loss tells.
    let run = trained(&to_scores_that_are_none(&data, 3, 2), &data);
    assert_eq!((run.rows.len(), run.ending), (2, StopReason::Diverged));
    assert!(run.rows[0].loss.is_finite() && !run.rows[1].loss.is_finite());
    let nan = f32::NAN;
    assert_eq!(count_correct(&[1.0, nan, nan, 0.0, 2.0, 1.0], &[0, 1, 0], 2), 1, "a row with a NaN is wrong");
}

/// JSON has no word for a loss that is no number: what a run that has come to its end so leaves behind is read again to the bit.
#[test]
fn a_diverged_runs_checkpoint_is_read_again() {
    let data = data();
    let config = to_scores_that_are_none(&data, 3, 2);
    let folder = tempfile::tempdir().unwrap();
    let end = || leaving(&config, &data, folder.path(), 9).unwrap().unwrap();
    let (run, again) = (end(), end());
    assert!(!run.rows[1].loss.is_finite());
    assert_eq!((run.rows.len(), run.ending, again.ending), (2, StopReason::Diverged, StopReason::Diverged));
    assert_eq!(digest(&run.rows), digest(&again.rows));

    let row = |loss: &str| {
        let before = r#"{"step": 1, "epoch": 1, "batch_accuracy": 0.5, "train_accuracy": null"#;
        let after = r#""test_accuracy": null, "learning_rate": 0.1, "seconds": 2.5"#;
        serde_json::from_str::<LogRow>(&format!("{before}, {after}{loss}}}"))
    };
    for loss in [0.1, 3.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let written = LogRow { loss, ..row(r#", "loss": 2"#).unwrap() };
        let read: LogRow = serde_json::from_str(&serde_json::to_string(&written).unwrap()).unwrap();
        assert_eq!(read.loss.to_bits(), loss.to_bits(), "{loss}");
    }
    assert_eq!(row(r#", "loss": 2"#).unwrap().loss, 2.0);
    // As it was written before.
    assert!(row(r#", "loss": null"#).unwrap().loss.is_nan());
    for no in ["", r#", "loss": "much""#, r#", "loss": "--inf""#, r#", "loss": [1.0]"#, r#", "loss": true"#] {
        assert!(row(no).is_err(), "{no}");
    }
}

#[test]
fn a_network_knows_of_every_number_whether_it_is_one() {
    for model in [ModelKind::Inception, ModelKind::InceptionNoBn, ModelKind::Alexnet, ModelKind::Mlp3x512] {
        let mut network = model.build_for([28, 28, 3], 10, 0.1, Init::Glorot, 1).unwrap();
        assert!(network.is_finite().unwrap(), "{model}");
        let start = network.parameters().unwrap();
        for tensor in 0..start.len() {
            for value in [f32::NAN, f32::NEG_INFINITY] {
                let mut changed = start.clone();
                *changed[tensor].values.last_mut().unwrap() = value;
                network.restore(&changed, Vec::new()).unwrap();
                assert!(!network.is_finite().unwrap(), "{model}, {}: {value}", start[tensor].name);
            }
        }
    }
}

/// An evaluation that one run makes and the other does not ends the one alone.
#[test]
fn nothing_is_taken_from_a_run_that_an_evaluation_ended() {
    let data = data();
    let (mut going, stopping) = (to_scores_that_are_none(&data, 1, 2), to_scores_that_are_none(&data, 3, 2));
    going.hyper.keep_going();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let whole = store.run(&going, &data, Scale::Smoke, &mut |_| {}).unwrap();
    assert_eq!((whole.record.ending, whole.record.epochs), (StopReason::Diverged, 1));
    let (run, said) = made(&store, &stopping, &data);
    assert_eq!((said.epochs, run.record.origin), (vec![1, 2], None));
    assert_eq!(run.record.digest, digest(&trained(&stopping, &data).rows));
}

/// The checkpoint in `folder` with tensors that `change` has changed, and without velocities.
fn change_checkpoint(folder: &Path, change: impl Fn(&mut Parameter)) {
    let path = folder.join("checkpoint.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    tensors.retain(|(name, _)| name.starts_with(|c: char| c.is_ascii_digit()));
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let parameter = |(name, view): &(String, TensorView)| {
        let values = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let name = name.split_once('.').unwrap().1.to_string();
        let mut parameter = Parameter { name, shape: view.shape().to_vec(), values };
        change(&mut parameter);
        parameter
    };
    let parameters: Vec<Parameter> = tensors.iter().map(parameter).collect();
    let metadata = header.metadata().clone().unwrap();
    write_tensors(&path, &parameters, &[], &Memory::default(), metadata).unwrap();
}

/// An infinite variance makes the scores of an evaluation zeros, which are numbers; training does not look at it.
#[test]
fn a_running_statistic_that_is_no_number_is_a_diverged_run() {
    let data = data();
    let mut config =
        config_at(&data, Scale::Smoke, ModelKind::Inception, Corruption::TrueLabels, Seeds::default());
    config.data = data.id(60, 40);
    (config.width_factor, config.hyper.batch_size, config.hyper.epochs) = (0.125, 20, 3);
    config.hyper.keep_going();
    let folder = tempfile::tempdir().unwrap();
    assert!(leaving(&config, &data, folder.path(), 1).unwrap().is_none());
    change_checkpoint(folder.path(), |_| {});
    let sound = leaving(&config, &data, folder.path(), 3).unwrap().unwrap();
    assert_eq!((sound.ending, sound.rows.last().unwrap().epoch), (StopReason::Completed, 3));

    let folder = tempfile::tempdir().unwrap();
    assert!(leaving(&config, &data, folder.path(), 1).unwrap().is_none());
    change_checkpoint(folder.path(), |p| {
        if p.name.ends_with(".variance") {
            p.values[0] = f32::INFINITY;
        }
    });
    let run = leaving(&config, &data, folder.path(), 3).unwrap().unwrap();
    assert_eq!((run.ending, run.rows.last().unwrap().epoch), (StopReason::Diverged, 2));
    let losses = |run: &TrainedRun| run.rows.iter().map(|row| row.loss).collect::<Vec<_>>();
    assert_eq!(losses(&run), losses(&sound)[..run.rows.len()], "the training itself is the same");
}

/// A store that a second process finds deleted, makes again, and in which it trains the first two epochs of a run, under the
/// run's lock. The first one's checkpoints come at every epoch's end.
struct Again<'a> {
    store: &'a Store,
    config: &'a RunConfig,
    data: &'a Dataset,
}

impl Again<'_> {
    fn partial(&self) -> PathBuf {
        self.store.folder().join(format!("{}.partial", self.config.key()))
    }

    /// What the first process's run gives if the second comes in its epoch `epoch`, and the second's lock and files.
    fn in_epoch(&self, epoch: u32) -> (rethink::Result<Run>, Lock, Files) {
        let Again { store, config, data } = *self;
        let mut theirs = None;
        let run = store.run_by(
            (config, 10),
            Scale::Smoke,
            &mut |event| {
                if matches!(event, Event::Epoch(row) if row.epoch == epoch) {
                    std::fs::remove_dir_all(store.folder()).unwrap();
                    let lock = store.folder().join(format!("{}.lock", config.key()));
                    let lock = Lock::take(&lock, &mut || panic!("it is there anew")).unwrap();
                    left_after(store, config, data, 2);
                    theirs = Some((lock, files(&self.partial())));
                }
            },
            &mut |progress| train(config, data, Progress { checkpoint_every: Duration::ZERO, ..progress }),
        );
        let (lock, files) = theirs.unwrap();
        (run, lock, files)
    }
}

/// The store is deleted while a run is trained, and another process makes it again and trains the same run.
#[test]
fn a_run_whose_lock_went_with_its_folder_stops_and_touches_nothing() {
    let data = data();
    let mut config = config(&data, Corruption::RandomLabels);
    config.hyper.keep_going();
    let directly = digest(&trained(&config, &data).rows);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("runs"));
    let again = Again { store: &store, config: &config, data: &data };
    let (run, lock, theirs) = again.in_epoch(4);
    let error = run.unwrap_err().to_string();
    assert!(error.contains(&store.folder().display().to_string()) && error.contains("deleted"), "{error}");
    assert_eq!(theirs, files(&again.partial()));
    assert!(lock.stands().unwrap() && !store.path(&config.key()).exists());
    // The other one is at its third epoch, as if nothing had been.
    drop(lock);
    let (run, said) = made(&store, &config, &data);
    assert_eq!((said.epochs, run.record.digest), (vec![3, 4, 5, 6], directly));
}

/// The same at the last epoch's end: what is finished is no loss.
#[test]
fn a_run_that_ends_without_its_folder_is_kept_and_leaves_anothers_alone() {
    let data = data();
    let mut config = config(&data, Corruption::RandomLabels);
    config.hyper.keep_going();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("runs"));
    let again = Again { store: &store, config: &config, data: &data };
    let (run, lock, theirs) = again.in_epoch(6);
    let run = run.unwrap();
    assert_eq!(run.record.digest, digest(&trained(&config, &data).rows));
    assert_eq!(theirs, files(&again.partial()));
    assert!(lock.stands().unwrap());
    let stored = std::fs::read(store.path(&config.key())).unwrap();
    // Whoever looks while the other is at work leaves it alone too; then it finds what is finished.
    made(&store, &config, &data);
    assert_eq!(theirs, files(&again.partial()));
    drop(lock);
    let (found, said) = made(&store, &config, &data);
    assert_eq!((said.epochs, found.record), (vec![], run.record));
    assert_eq!(stored, std::fs::read(store.path(&config.key())).unwrap());
    assert!(!again.partial().exists() && !store.folder().join(format!("{}.lock", config.key())).exists());
}

#[test]
fn a_lock_that_was_removed_while_it_was_waited_for_is_taken_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs").join("key.lock");
    let held = Lock::take(&path, &mut || panic!("nobody holds it")).unwrap();
    assert!(Lock::try_take(&path).unwrap().is_none());
    let (waits, waiting) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| Lock::take(&path, &mut || waits.send(()).unwrap()).unwrap());
        waiting.recv().unwrap();
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        assert!(!held.stands().unwrap());
        held.end(|| panic!("nothing is its own any more")).unwrap();
        drop(held);
        let taken = other.join().unwrap();
        assert!(taken.stands().unwrap());
        taken.end(|| Ok(())).unwrap();
        assert!(!path.exists());
    });
}

/// The store is deleted while a run is trained, and another process makes it again and finishes the same run.
#[test]
fn a_finished_run_that_came_meanwhile_is_not_overwritten() {
    let data = data();
    let config = config(&data, Corruption::TrueLabels);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("runs"));
    let mut theirs = Vec::new();
    let mut training = |progress: Progress| {
        let trained = train(&config, &data, progress);
        std::fs::remove_dir_all(store.folder()).unwrap();
        store.run(&config, &data, Scale::Smoke, &mut |_| ()).unwrap();
        theirs = std::fs::read(store.path(&config.key())).unwrap();
        trained
    };
    let run = store.run_by((&config, 10), Scale::Smoke, &mut |_| (), &mut training).unwrap();
    assert_eq!(std::fs::read(store.path(&config.key())).unwrap(), theirs);
    assert_eq!(store.get(&config).unwrap().unwrap().record, run.record);
}
