//! A hundred steps of every network beside PyTorch's.
//!
//! `fixtures/parity.json` was made with PyTorch by `fixtures/parity.py`: losses in float64, and in float32.

use rethink_nn::models::Init;
use rethink_nn::models::{ModelKind, Network, build_plan};
use rethink_nn::ops::ForwardContext;
use rethink_nn::optim::SgdStep;
use rethink_tests::{fill, formula, without_dropout};
use serde_json::Value;

/// Sets of images that are trained on in turns.
const SETS: usize = 8;
/// Relative error that any step may have, 0.5 %. A number that is rounded to the other side of a ReLU's kink changes a
/// gradient, and the steps after it amplify that. So Alexnet goes at a tenth of the others' rate, at which it stays within 3e-6. At 5e-4, such
/// a number comes in the fourth step, where 5x5 convolutions go Winograd's way (rounding errors of 1e-6); with plain sums (1e-7), in the eightieth.
const ANY: f64 = 5e-3;
/// Error that half of the steps stay below.
const MEDIAN: f64 = 1e-5;
/// How many times as far from float64 as PyTorch's float32, ours may be beside that. With batch norm that is 0.003 after
/// 10 steps and 0.08 after 100.
const TIMES: f64 = 4.0;

/// Trains as parity.py does, and compares each step's loss with PyTorch's in float64. Prints the largest errors.
fn stays_with_pytorch(
    name: &str,
    mut network: Box<dyn Network>,
    (side, batch, classes): (usize, usize, usize),
    (rate, shift, factor): (f32, f32, f64),
) {
    let fixtures: Value = serde_json::from_str(include_str!("fixtures/parity.json")).unwrap();
    let losses = |kind: &str| -> Vec<f64> {
        let list = fixtures[name][kind].as_array().unwrap_or_else(|| panic!("no {kind} of {name}"));
        list.iter().map(|v| v.as_f64().unwrap()).collect()
    };
    let (exact, single) = (losses("float64"), losses("float32"));
    assert_eq!(exact.len(), 100);
    fill(&mut network, shift, factor);
    let step = SgdStep { learning_rate: rate, momentum: 0.9, weight_decay: 0.0 };
    let (mut theirs, mut worst) = (0.0f64, (0.0f64, 0));
    let mut errors = [Vec::new(), Vec::new()];
    for (at, (exact, single)) in exact.iter().zip(&single).enumerate() {
        let set = at % SETS;
        let images = formula(batch * 3 * side * side, 6007 + 2 * set, 1.7);
        let labels: Vec<u16> = (0..batch).map(|i| ((i * 7 + set) % classes) as u16).collect();
        let pass = ForwardContext::training_step(0, at as u64);
        let loss = f64::from(network.train_step(images, &labels, step, pass).unwrap().loss);
        theirs = theirs.max((single - exact).abs());
        let error = (loss - exact).abs();
        let allowed = ANY * exact + TIMES * theirs;
        assert!(
            error <= allowed,
            "{name}, step {at}: loss {loss}, PyTorch has {exact} in float64 and {single} in float32 (allowed {allowed:e})"
        );
        errors[0].push(error);
        errors[1].push((single - exact).abs());
        if error > worst.0 {
            worst = (error, at);
        }
    }
    let [ours, single] = errors.map(|mut errors| {
        errors.sort_by(f64::total_cmp);
        errors[errors.len() / 2]
    });
    println!(
        "{name}: half of the steps within {ours:e} of float64, all within {:e} (step {}); PyTorch's float32 within {single:e} \
         and {theirs:e}",
        worst.0, worst.1
    );
    assert!(
        ours <= MEDIAN + TIMES * single,
        "{name}: the median error is {ours:e}, PyTorch's float32 has {single:e}"
    );
}

#[test]
fn multi_layer_perceptrons() {
    for model in [ModelKind::Mlp1x512, ModelKind::Mlp3x512] {
        let network = model.build(3, 10, model.init(), 0).unwrap();
        stays_with_pytorch(model.name(), network, (28, 16, 10), (2e-3, 0.0, 1.0));
    }
}

#[test]
fn small_convolutional_networks() {
    for (model, batch, filling) in [
        (ModelKind::Alexnet, 8, (5e-5, 0.0, 1.0)),
        (ModelKind::Inception, 16, (5e-4, 1.5, 0.2)),
        (ModelKind::InceptionNoBn, 8, (2e-3, 0.3, 0.7)),
    ] {
        let network = model.build(3, 10, model.init(), 0).unwrap();
        stays_with_pytorch(model.name(), network, (28, batch, 10), filling);
    }
}

/// Without batch norm, which on so few images passes every rounding on, and with an eighth of the channels.
#[test]
fn inception_v3() {
    let input = [107, 107, 3];
    let plan = without_dropout(ModelKind::InceptionV3Aux.plan(input, 20, 0.125).unwrap(), false);
    let network = build_plan(plan, input, Init::Glorot, 0).unwrap();
    stays_with_pytorch("inception-v3-aux", network, (107, 4, 20), (5e-4, 0.0, 1.0));
}
