//! Products in bf16. A processor without AVX512-BF16 skips all but the refusal.

use dfdx::prelude::*;
use rethink::data::corruption::Corruption;
use rethink::data::shapes10;
use rethink::paper::choices;
use rethink::run::appendix_a::config_at;
use rethink::run::config::{Scale, Seeds};
use rethink::run::row::StopReason;
use rethink::run::train::{Progress, train};
use rethink::study::Study;
use rethink_nn::models::{Init, ModelKind};
use rethink_nn::ops::activation::Activation;
use rethink_nn::ops::conv::{Conv2d, Padding, Window, conv2d};
use rethink_nn::ops::gemm::{Matrix, product, product_in};
use rethink_nn::ops::geometry::Order;
use rethink_nn::ops::linear::InputGradient;
use rethink_nn::ops::{elements, elements_mut};
use rethink_nn::optim::Rules;
use rethink_nn::precision::Precision;
use rethink_tests::formula;
use rethink_tests::skips::{Need, skip};

/// Whether this processor has it; else `test` is said to be skipped.
fn has_bf16(test: &str) -> bool {
    let there = Precision::Bf16.check();
    if let Err(why) = &there {
        skip(test, Need::Bf16, why);
    }
    there.is_ok()
}

#[test]
fn names_are_read_and_others_refused() {
    for precision in Precision::ALL {
        assert_eq!(precision.name().parse::<Precision>().unwrap(), precision);
        assert_eq!(serde_json::json!(precision), precision.name());
    }
    let refused = "tf32".parse::<Precision>().unwrap_err().to_string();
    assert!(refused.contains("\"tf32\" is none of float32, bf16"), "{refused}");
}

/// Small whole numbers, and sums of them, are the same in bf16: every order and transposition gives the exact result.
#[test]
fn products_of_odd_shapes_are_exact() {
    if !has_bf16("products_of_odd_shapes_are_exact") {
        return;
    }
    for (m, k, n) in [
        (1, 1, 1),
        (13, 7, 5),
        (14, 384, 32),
        (15, 771, 33),
        (70, 401, 97),
        (257, 3, 260),
        (3, 1_800, 2),
        (40, 64, 512),
    ] {
        let left: Vec<f32> = (0..m * k).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
        let right: Vec<f32> = (0..k * n).map(|i| (i * 5 % 13) as f32 - 6.0).collect();
        let turn = |from: &[f32], rows: usize, cols: usize| -> Vec<f32> {
            (0..rows * cols).map(|i| from[i % rows * cols + i / rows]).collect()
        };
        let (left_turned, right_turned) = (turn(&left, m, k), turn(&right, k, n));
        let mut expected = vec![0.0; m * n];
        product(&mut expected, Matrix::new(&left, m, k), Matrix::new(&right, k, n), false);
        for (number, (l, r)) in [
            (Matrix::new(&left, m, k), Matrix::new(&right, k, n)),
            (Matrix::new(&left_turned, k, m).t(), Matrix::new(&right, k, n)),
            (Matrix::new(&left, m, k), Matrix::new(&right_turned, n, k).t()),
            (Matrix::new(&left_turned, k, m).t(), Matrix::new(&right_turned, n, k).t()),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("{m}x{k} times {k}x{n}, order {number}");
            let mut out = vec![f32::NAN; m * n];
            product_in(Precision::Bf16, &mut out, l, r, false);
            assert_eq!(out, expected, "{name}");
            product_in(Precision::Bf16, &mut out, l, r, true);
            assert!(out.iter().zip(&expected).all(|(o, e)| *o == 2.0 * e), "added, {name}");
        }
    }
}

/// Factors are rounded to 8 bits, sums are not: products of a number between two of them, many times.
#[test]
fn factors_are_rounded_and_sums_are_not() {
    if !has_bf16("factors_are_rounded_and_sums_are_not") {
        return;
    }
    let (left, right) = (vec![1.005f32; 1_000], vec![1.0f32; 1_000]);
    let mut out = [0.0];
    product_in(Precision::Bf16, &mut out, Matrix::new(&left, 1, 1_000), Matrix::new(&right, 1_000, 1), false);
    assert_eq!(out, [1_007.812_5], "1.005 is 1 + 1/128 in bf16");
}

/// Output, input's gradient and weights' gradient.
fn passes(layer: &Conv2d<f32, Cpu>, x: &Tensor<(usize, usize, usize, usize), f32, Cpu>) -> [Vec<f32>; 3] {
    let y =
        conv2d(layer, None, x.leaky_trace(), Activation::None, InputGradient::Needed, Order::Pixels).unwrap();
    let made = elements(&y).unwrap().to_vec();
    let weights = Cpu::default().tensor_from_vec(formula(made.len(), 4447, 1.0), *y.shape());
    let gradients = (y * weights).sum::<Rank0, _>().backward();
    [made, gradients.get(x).as_vec(), gradients.get(&layer.weight).as_vec()]
}

/// The root of the mean square of the difference, of `theirs`' own.
fn difference(ours: &[f32], theirs: &[f32]) -> f64 {
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
    (square(&mut ours.iter().zip(theirs).map(|(a, b)| a - b)) / square(&mut theirs.iter().copied())).sqrt()
}

/// A rounded factor is off by at most a 512th. Of random numbers, a convolution's outputs are then off by 0.0024 of their size, and by 0.010
/// Winograd's way (computed in double precision for F(4x4, 3x3)); where terms cancel, as some of these formulas' do, by more of what is left.
#[test]
fn convolutions_are_those_of_float32_but_for_the_rounding() {
    if !has_bf16("convolutions_are_those_of_float32_but_for_the_rounding") {
        return;
    }
    use Padding::{Same, Valid};
    for ((n, h, w, c, o), kernel, stride, padding, bound) in [
        ((3, 5, 6, 20, 33), 1, 1, Same, 0.008),   // 1x1
        ((2, 7, 6, 21, 16), 1, 2, Same, 0.008),   // 1x1, gathered
        ((2, 9, 8, 3, 20), 3, 1, Same, 0.008),    // few channels, gathered
        ((2, 16, 15, 3, 20), 3, 1, Same, 0.008),  // few channels, by rows
        ((2, 14, 12, 17, 20), 3, 2, Same, 0.008), // stride 2
        ((2, 31, 33, 9, 18), 3, 2, Valid, 0.008), // stride 2, by rows
        ((3, 14, 13, 24, 33), 3, 1, Same, 0.04),  // Winograd's, odd sizes
        ((2, 11, 9, 41, 18), 3, 1, Valid, 0.04),  // and an odd number of channels
        ((2, 9, 10, 33, 40), 5, 1, Same, 0.03),   // 5x5
    ] {
        let name = format!("{n} images of {h}x{w}x{c} to {o}, {kernel}x{kernel} by {stride}, {padding:?}");
        let device = Cpu::default();
        let mut layer = Conv2d::zeros(&device, Window::square(kernel, stride, padding), c, o).unwrap();
        let from = formula(kernel * kernel * c * o, 7919, 0.3);
        elements_mut(&mut layer.weight).unwrap().copy_from_slice(&from);
        let x = device.tensor_from_vec(formula(n * h * w * c, 6007, 1.7), (n, h, w, c));
        let exact = passes(&layer, &x);
        layer.precision = Precision::Bf16;
        let rounded = passes(&layer, &x);
        for (what, (rounded, exact)) in ["y", "dx", "dw"].iter().zip(rounded.iter().zip(&exact)) {
            let off = difference(rounded, exact);
            println!("{name}, {what}: {off:.5}");
            assert!(off < bound, "{name}, {what}: {off}");
            assert!(off > 1e-4, "{name}, {what}: {off}: nothing was rounded");
        }
        assert_eq!(passes(&layer, &x), rounded, "{name}: again");
    }
}

/// Every kind of layer that multiplies rounds: a whole network's scores differ, and by little.
#[test]
fn every_network_rounds_its_products() {
    if !has_bf16("every_network_rounds_its_products") {
        return;
    }
    for model in [ModelKind::Inception, ModelKind::InceptionNoBn, ModelKind::Alexnet, ModelKind::Mlp3x512] {
        let mut network = model.build_for([28, 28, 3], 10, 0.25, Init::Glorot, 1).unwrap();
        let images = formula(4 * 3 * 28 * 28, 5003, 1.7);
        let exact = network.logits(images.clone()).unwrap();
        network.set_rules(Rules { precision: Precision::Bf16, ..Rules::default() });
        let rounded = network.logits(images.clone()).unwrap();
        let off = difference(&rounded, &exact);
        assert!(off > 1e-4 && off < 0.1, "{model}: {off}");
        network.set_rules(Rules::default());
        assert_eq!(network.logits(images).unwrap(), exact, "{model}: float32 again");
    }
}

/// A figure of rounded runs says so, and one of others does not.
#[test]
fn the_small_print_says_it() {
    let out = tempfile::tempdir().unwrap();
    let study = Study::new(Some("shapes10"), Scale::Smoke, out.path()).unwrap();
    let mut config = study.config(ModelKind::Mlp1x512, Corruption::TrueLabels);
    (config.width_factor, config.hyper.epochs) = (1.0 / 64.0, 1);
    let exact = study.train(&[config.clone()]).unwrap();
    assert!(!choices(&exact).concat().contains("bf16"));
    if has_bf16("the_small_print_says_it") {
        config.hyper.precision = Precision::Bf16;
        let rounded = study.train(&[config]).unwrap();
        assert!(choices(&rounded).concat().contains("Factors of products are rounded to bf16"));
        let both = [exact, rounded].concat();
        assert!(choices(&both).concat().contains("Factors of some runs' products are rounded to bf16"));
        assert_ne!(both[0].record.digest, both[1].record.digest);
    }
}

#[test]
fn random_labels_are_fitted() {
    if !has_bf16("random_labels_are_fitted") {
        return;
    }
    let data = shapes10::generate(100, 50, 1).unwrap();
    for (model, width, rate) in [(ModelKind::Inception, 0.25, 0.02), (ModelKind::Mlp1x512, 1.0, 0.002)] {
        let mut config = config_at(&data, Scale::Smoke, model, Corruption::RandomLabels, Seeds::default());
        (config.width_factor, config.hyper.epochs, config.hyper.fitted_epochs) = (width, 100, 1);
        (config.hyper.batch_size, config.hyper.learning_rate) = (10, rate);
        config.hyper.precision = Precision::Bf16;
        let trained = train(&config, &data, Progress::quiet(&mut |_| {})).unwrap().unwrap();
        assert_eq!(trained.ending, StopReason::Fitted, "{model}: {:?}", trained.rows.last());
    }
}
