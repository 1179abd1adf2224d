//! Section 5's kernels: the factorisation, the equation, the features, and the rows of table 3. Expected values are NumPy's and
//! PyTorch's (fixtures/kernels.py).

use rethink::data::DataId;
use rethink::data::{self, Dataset};
use rethink::measure::kernel_equation::{
    Arithmetic, Choice, KernelEquation, OnConv, Preprocessing, Width, error, gaussian_bytes, measure,
    square_bytes,
};
use rethink::measure::partial::PartialMeasurement;
use rethink::measure::{self, Measurement, Quantity};
use rethink::paper::{self, Product, Results, table3};
use rethink::run::config::Scale;
use rethink::study::Study;
use rethink_nn::kernel_methods::choice::{self, Free, WEIGHTS, WIDTHS};
use rethink_nn::kernel_methods::cholesky::Cholesky;
use rethink_nn::kernel_methods::float64::Gaussian64;
use rethink_nn::kernel_methods::gabor::Gabor;
use rethink_nn::kernel_methods::gaussian::{Gaussian, exp_negative};
use rethink_nn::kernel_methods::random_conv::{BIAS, PATCH, POOL, RandomConv, STRIDE};
use rethink_nn::kernel_methods::solve::{TOLERANCE, solve};
use rethink_nn::kernel_methods::triangle::{TILE, Triangle, bytes};
use rethink_nn::memory::check_memory;
use rethink_nn::models::argmax;
use rethink_tests::formula;
use serde_json::Value;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/kernels.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn quiet(_: &str) {}

/// `rows rows^T` plus the identity: positive definite; `n` is no multiple of a tile.
fn matrix(n: usize, d: usize) -> (Triangle, Vec<f32>) {
    let rows = formula(n * d, 37, 1.0);
    let mut triangle = Triangle::zeros(n);
    triangle.add_gram(&rows, d);
    triangle.add_diagonal(1.0);
    (triangle, rows)
}

#[test]
fn the_factor_times_its_transpose_is_the_matrix() {
    let (n, d) = (TILE * 2 + 77, 40);
    let (triangle, rows) = matrix(n, d);
    let element = |i: usize, j: usize| {
        let dot: f64 = (0..d).map(|k| f64::from(rows[i * d + k]) * f64::from(rows[j * d + k])).sum();
        if i == j { dot + 1.0 } else { dot }
    };
    let mut factor = Cholesky::of(triangle.clone());
    let mut shares = Vec::new();
    factor.factorise(|share| shares.push(share)).unwrap();
    assert!(shares.is_sorted() && (shares.last().unwrap() - 1.0).abs() < 1e-12, "{shares:?}");
    for (i, j) in [(0, 0), (5, 3), (300, 7), (TILE, TILE - 1), (n - 1, n - 1), (n - 1, 260), (400, 399)] {
        assert!((f64::from(triangle.get(i, j)) - element(i, j)).abs() < 1e-4, "{i}, {j}");
        let product: f64 = (0..=j).map(|k| f64::from(factor.get(i, k)) * f64::from(factor.get(j, k))).sum();
        assert!((product - element(i, j)).abs() < 1e-3, "{i}, {j}: {product} for {}", element(i, j));
    }
    // The inverse of what it is applied to.
    let x: Vec<f64> = formula(n * 3, 53, 1.0).into_iter().map(f64::from).collect();
    let y = triangle.apply(&x, 3);
    for i in [0, 299, n - 1] {
        for c in 0..3 {
            let sum: f64 = (0..n).map(|j| f64::from(triangle.get(i, j)) * x[j * 3 + c]).sum();
            assert!((sum - y[i * 3 + c]).abs() < 1e-9, "{i}, {c}");
        }
    }
    let back = factor.solve(&y, 3);
    let far = back.iter().zip(&x).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(far < 1e-3, "{far}");
}

#[test]
fn an_equation_of_any_size_is_solved() {
    for n in [1, 15, 63, 64, 65, TILE - 1, TILE, TILE + 1, 2 * TILE] {
        let (triangle, _) = matrix(n, 8);
        let mut factor = Cholesky::of(triangle.clone());
        factor.factorise(|_| ()).unwrap();
        let x: Vec<f64> = formula(n, 53, 1.0).into_iter().map(f64::from).collect();
        let back = factor.solve(&triangle.apply(&x, 1), 1);
        let far = back.iter().zip(&x).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(far < 1e-3, "{n}: {far}");
    }
}

/// Of so many tiles that pairs of them are multiplied with seven products: even and odd numbers of tile rows, a last one of which two
/// strips are used, and several spans of steps.
#[test]
fn many_tiles_are_factorised_by_seven_products_of_eight() {
    for n in [11 * TILE, 14 * TILE - 150] {
        let (triangle, _) = matrix(n, 300);
        let factor = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut factor = Cholesky::of(triangle.clone());
            pool.install(|| factor.factorise(|_| ())).unwrap();
            factor
        };
        let (one, three) = (factor(1), factor(3));
        for i in (0..n).rev().step_by(61) {
            for j in (0..=i).rev().step_by(53) {
                let product = |k: usize| f64::from(one.get(i, k)) * f64::from(one.get(j, k));
                let far = (0..=j).map(product).sum::<f64>() - f64::from(triangle.get(i, j));
                assert!(far.abs() < 1e-3, "{n}: {i}, {j}: {far}");
                assert_eq!(one.get(i, j).to_bits(), three.get(i, j).to_bits(), "{n}: {i}, {j}");
            }
        }
    }
}

#[test]
fn a_leading_part_is_factorised_as_the_whole_begins() {
    let (triangle, _) = matrix(TILE + 50, 20);
    let part = triangle.leading(TILE + 3);
    assert_eq!(part.n(), TILE + 3);
    let (mut whole, mut leading) = (Cholesky::of(triangle), Cholesky::of(part));
    whole.factorise(|_| ()).unwrap();
    leading.factorise(|_| ()).unwrap();
    for (i, j) in [(0, 0), (100, 99), (TILE + 2, TILE + 1), (TILE + 2, 5)] {
        assert_eq!(whole.get(i, j), leading.get(i, j), "{i}, {j}");
    }
}

#[test]
fn what_is_not_positive_definite_is_told() {
    for row in [3, TILE + 9] {
        let (mut triangle, _) = matrix(TILE + 20, 8);
        let mut taken = Triangle::zeros(TILE + 20);
        let mut one = vec![0.0; TILE + 20];
        one[row] = 100.0;
        taken.add_gram(&one, 1);
        // The matrix less 10,000 at one place of the diagonal.
        triangle.fill(
            |_| (),
            |(), i, j, tile| {
                for (r, line) in tile.chunks_exact_mut(TILE).enumerate() {
                    for (c, v) in line.iter_mut().enumerate() {
                        let (i, j) = (i * TILE + r, j * TILE + c);
                        if i < TILE + 20 && j < TILE + 20 {
                            *v -= taken.get(i, j);
                        }
                    }
                }
            },
            |_| (),
        );
        assert_eq!(Cholesky::of(triangle).factorise(|_| ()).unwrap_err().row, row);
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let kernel = Gaussian::new(formula(700 * 20, 37, 1.0), 20, 0.2);
            let targets: Vec<f64> = formula(700 * 2, 53, 1.0).into_iter().map(f64::from).collect();
            let solution = solve(&kernel, &targets, 2, 0.0, &mut quiet).unwrap();
            let others = formula(300 * 20, 41, 1.0);
            let outputs = kernel.predict(&others, &solution.weights, 2);
            let wide = Gaussian64::new(&formula(700 * 20, 37, 1.0), 20, 0.2);
            let in_f64 = solve(&wide, &targets, 2, 0.0, &mut quiet).unwrap();
            let outputs_in_f64 = wide.predict(&others, &in_f64.weights, 2);
            let all = [solution.weights, outputs, in_f64.weights, outputs_in_f64].concat();
            all.into_iter().map(f64::to_bits).collect::<Vec<_>>()
        })
    };
    let one = run(1);
    assert!(one == run(2) && one == run(3));
}

#[test]
fn the_exponential_is_that_of_f64() {
    for i in 0..200_000 {
        let x = -90.0 * i as f32 / 200_000.0;
        let (ours, exact) = (f64::from(exp_negative(x)), f64::from(x).exp());
        assert!((ours - exact).abs() <= 2e-7 * exact || (x < -87.0 && ours == 0.0), "{x}: {ours}, {exact}");
    }
    assert_eq!((exp_negative(0.0), exp_negative(-1e9)), (1.0, 0.0));
}

#[test]
fn the_equation_is_numpys() {
    let (n, m, d) = (300, 7, 24);
    let expected = &fixture()["equation"];
    let kernel = Gaussian::new(formula(n * d, 37, 1.0), d, 0.1);
    let targets: Vec<f64> = formula(n * 3, 53, 1.0).into_iter().map(f64::from).collect();
    let solution = solve(&kernel, &targets, 3, 0.01, &mut quiet).unwrap();
    assert!(solution.residual <= TOLERANCE, "{}", solution.residual);
    let outputs = kernel.predict(&formula(m * d, 41, 1.0), &solution.weights, 3);
    let largest = solution.weights.iter().fold(0.0f64, |most, w| most.max(w.abs()));
    for (name, ours) in [
        ("first_weights", &solution.weights[..12]),
        ("last_weights", &solution.weights[(n - 4) * 3..]),
        ("outputs", &outputs[..]),
    ] {
        let expected = numbers(&expected[name]);
        assert_eq!(expected.len(), ours.len());
        for (ours, expected) in ours.iter().zip(&expected) {
            // The kernel's values are f32, and the condition number is 3e4.
            assert!((ours - expected).abs() < 1e-4 * largest, "{name}: {ours} for {expected}");
        }
    }
    // What is reported as fitted is K a.
    let applied = kernel.apply(&solution.weights, 3);
    assert!(applied.iter().zip(&solution.fitted).all(|(a, f)| (a - f).abs() < 1e-6));
}

/// Of every element, the largest difference as a share of the largest element expected.
fn farthest(ours: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(ours.len(), expected.len());
    let largest = expected.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    ours.iter().zip(expected).fold(0.0f64, |most, (a, b)| most.max((a - b).abs() / largest))
}

#[test]
fn what_is_singular_in_float32_is_solved_in_float64_as_it_is() {
    let (n, m, d) = (300, 7, 24);
    let expected = &fixture()["singular"];
    let points = formula(n * d, 37, 1.0);
    let targets: Vec<f64> = formula(n * 3, 53, 1.0).into_iter().map(f64::from).collect();
    // Nothing but this l2 keeps the matrix from being singular, and float32 does not see it.
    let ridge = 1e-8;
    let rounded = solve(&Gaussian::new(points.clone(), d, 0.1), &targets, 3, ridge, &mut quiet).unwrap();
    assert!(rounded.floor > 0.0, "{rounded:?}");
    let kernel = Gaussian64::new(&points, d, 0.1);
    let solution = solve(&kernel, &targets, 3, ridge, &mut quiet).unwrap();
    assert_eq!((solution.floor, solution.jitter), (0.0, 0.0));
    assert!(solution.residual <= TOLERANCE, "{}", solution.residual);
    let outputs = kernel.predict(&formula(m * d, 41, 1.0), &solution.weights, 3);
    for (name, ours) in [
        ("first_weights", &solution.weights[..12]),
        ("last_weights", &solution.weights[(n - 4) * 3..]),
        ("outputs", &outputs[..]),
    ] {
        // The condition number is 1e10.
        let off = farthest(ours, &numbers(&expected[name]));
        assert!(off < 1e-5, "{name}: {off}");
    }
    // Where both can, they agree, panels that are no whole ones too.
    let targets: Vec<f64> = formula(700 * 2, 53, 1.0).into_iter().map(f64::from).collect();
    let points = formula(700 * 20, 37, 1.0);
    let wide = solve(&Gaussian64::new(&points, 20, 0.1), &targets, 2, 0.1, &mut quiet).unwrap();
    let narrow = solve(&Gaussian::new(points, 20, 0.1), &targets, 2, 0.1, &mut quiet).unwrap();
    assert!(farthest(&narrow.weights, &wide.weights) < 1e-4, "{}", farthest(&narrow.weights, &wide.weights));
    assert!(farthest(&narrow.fitted, &wide.fitted) < 1e-3, "{}", farthest(&narrow.fitted, &wide.fitted));
}

#[test]
fn a_measurement_in_float64_is_that_in_float32_and_of_its_own_key() {
    let data = data::open(Some("shapes10")).unwrap();
    let id = data.id(300, 200);
    for preprocessing in [Preprocessing::None, Preprocessing::Gabor(Gabor::default())] {
        let narrow = KernelEquation {
            choice: Choice::Inside,
            ..KernelEquation::new(preprocessing, Width::HeldOut, (true, true))
        };
        let wide = KernelEquation { arithmetic: Arithmetic::Float64, ..narrow.clone() };
        assert!(wide.describe().ends_with(", in float64") && !wide.on_device(data.shape, 300));
        let [a, b] = [&narrow, &wide].map(|what| measure(what, &data, &id, 1, None, &mut quiet).unwrap());
        for row in 0..2 {
            assert_eq!(at(&a, row, "floor"), 0.0, "one that float32 can solve");
            for name in ["gamma", "ridge", "unknowns", "train_error", "test_error"] {
                assert_eq!(at(&a, row, name), at(&b, row, name), "{name}, row {row}");
            }
            let (a, b) = (at(&a, row, "norm"), at(&b, row, "norm"));
            assert!((a - b).abs() < 1e-4 * b, "row {row}: norm {a} for {b}");
        }
    }
    let conv = Preprocessing::RandomConv(RandomConv { filters: 3 });
    let what = KernelEquation {
        arithmetic: Arithmetic::Float64,
        ..KernelEquation::new(conv, Width::HeldOut, (true, false))
    };
    let message = measure(&what, &data, &id, 1, None, &mut quiet).unwrap_err().to_string();
    assert!(message.contains("float64"), "{message}");
}

#[test]
fn repeated_points_with_equal_labels_are_solved_and_said() {
    let (n, d) = (200, 10);
    let mut points = formula(n * d, 37, 1.0);
    points.copy_within(0..d, d);
    points.copy_within(0..d, 2 * d);
    let mut targets: Vec<f64> = formula(n, 53, 1.0).into_iter().map(f64::from).collect();
    (targets[1], targets[2]) = (targets[0], targets[0]);
    let mut said = Vec::new();
    let kernel = Gaussian::new(points, d, 0.05);
    let solution = solve(&kernel, &targets, 1, 0.0, &mut |line| said.push(line.to_string())).unwrap();
    assert!(solution.residual < 1e-6, "{}", solution.residual);
    assert_eq!(solution.jitter > 0.0, said.iter().any(|line| line.contains("not positive definite")));
}

#[test]
fn targets_of_another_size_are_an_error() {
    let kernel = Gaussian::new(formula(50 * 4, 37, 1.0), 4, 0.1);
    for (targets, columns, ridge) in [(49, 1, 0.0), (50, 0, 0.0), (50, 1, -1.0), (50, 1, f64::NAN)] {
        assert!(solve(&kernel, &vec![1.0; targets], columns, ridge, &mut quiet).is_err());
    }
}

#[test]
fn memory_is_checked_before_anything_is_spent() {
    // Half of a square matrix of f32 and little else: far within n x n x 4 bytes and a tenth.
    let needed = |n: usize| gaussian_bytes(n, 10_000, 784);
    assert!(needed(60_000) < square_bytes(60_000) * 11 / 10);
    assert!(bytes(60_000) < square_bytes(60_000) * 51 / 100);
    assert!(check_memory(60_000, needed, None).is_ok());
    assert!(check_memory(60_000, needed, Some(needed(60_000))).is_ok());
    let message = check_memory(60_000, needed, Some(needed(60_000) / 4)).unwrap_err().to_string();
    let fits: usize = {
        let digits = message.rsplit("n = ").next().unwrap().split(", which").next().unwrap();
        digits.replace(',', "").parse().unwrap()
    };
    assert!(needed(fits) <= needed(60_000) / 4 && needed(fits + 1) > needed(60_000) / 4, "{message}");
    assert!(message.contains("60,000") && message.contains("GB are free"), "{message}");
}

/// Features that are there already, of the same images or of the first of them, are those that are computed.
#[test]
fn gabor_features_are_kept_and_are_the_same() {
    let image = |i: usize| (0..3 * 8 * 8).map(move |p| (i * 31 + p * 7) as u8);
    let of = |many: usize| (0..many).flat_map(image).collect::<Vec<u8>>();
    let bank = |pool| Gabor { orientations: 2, wavelengths: vec![2.0], pool, stride: 2 };
    let shape = [3, 8, 8];
    let each: Vec<f32> =
        (0..4).flat_map(|i| bank(3).features(&image(i).collect::<Vec<u8>>(), shape).unwrap()).collect();
    for many in [4, 2, 4, 3] {
        let features = bank(3).features(&of(many), shape).unwrap();
        assert_eq!(features, each[..many * bank(3).dimensions(shape)]);
        assert_ne!(features[..9], bank(2).features(&of(many), shape).unwrap()[..9], "another bank");
    }
}

#[test]
fn gabor_wavelets_are_pytorchs() {
    let gabor = Gabor { orientations: 3, wavelengths: vec![3.0, 5.0], pool: 4, stride: 3 };
    let image: Vec<u8> = (0..12 * 14).map(|i| (i * 29 % 256) as u8).collect();
    let ours = gabor.features(&image, [1, 12, 14]).unwrap();
    let expected = numbers(&fixture()["gabor"]);
    assert_eq!(ours.len(), expected.len());
    assert_eq!(ours.len(), gabor.dimensions([1, 12, 14]));
    for (ours, expected) in ours.iter().zip(&expected) {
        assert!((f64::from(*ours) - expected).abs() < 1e-5, "{ours} for {expected}");
    }
    // A flat image gives nothing away from its border, whatever its grey.
    let flat = Gabor { orientations: 4, wavelengths: vec![2.0], pool: 3, stride: 50 };
    let features = flat.features(&[200; 49 * 49], [1, 49, 49]).unwrap();
    assert_eq!(features.len(), 4);
    let inside = Gabor { pool: 1, stride: 24, ..flat };
    let features = inside.features(&[200; 49 * 49], [1, 49, 49]).unwrap();
    let middle = &features[4 * 4..5 * 4];
    assert!(middle.iter().all(|v| v.abs() < 1e-5), "{middle:?}");
    for wrong in [
        Gabor { pool: 0, ..Gabor::default() },
        Gabor { pool: 40, ..Gabor::default() },
        Gabor { stride: 0, ..Gabor::default() },
        Gabor { wavelengths: vec![f64::NAN], ..Gabor::default() },
        Gabor { orientations: 0, ..Gabor::default() },
    ] {
        assert!(wrong.features(&image, [1, 12, 14]).is_err(), "{wrong:?}");
    }
}

#[test]
fn the_random_conv_net_is_its_definition() {
    let data = data::open(Some("shapes10")).unwrap();
    let conv = RandomConv { filters: 5 };
    assert_eq!(conv.dimensions([3, 32, 32]), 2 * 5 * 9);
    let filters = conv.draw(&data.train.images, data.shape, 100, 1).unwrap();
    assert_eq!(filters.rows().len(), 5 * 108);
    let again = conv.draw(&data.train.images, data.shape, 100, 1).unwrap();
    assert!(
        filters.rows() == again.rows()
            && filters.rows() != conv.draw(&data.train.images, data.shape, 100, 2).unwrap().rows()
    );
    // More filters are the same ones, and others.
    let more = RandomConv { filters: 9 }.draw(&data.train.images, data.shape, 100, 1).unwrap();
    assert_eq!(&more.rows()[..5 * 108], filters.rows());
    // A whitened patch without mean has none, up to the regularisation of a direction that no patch has.
    for row in filters.rows().chunks_exact(108) {
        let (sum, length) = (row.iter().sum::<f32>(), row.iter().map(|v| v * v).sum::<f32>().sqrt());
        assert!(length > 1.0 && sum.abs() < 0.02 * length, "sum {sum}, length {length}");
    }
    let images = &data.test.images[..2 * 3072];
    let ours = filters.features(images, 1..4);
    assert_eq!(ours.len(), 2 * 2 * 3 * 9);
    let places = 32 - PATCH + 1;
    let windows = (places - POOL) / STRIDE + 1;
    for (image, ours) in images.chunks_exact(3072).zip(ours.chunks_exact(54)) {
        let response = |filter: usize, y: usize, x: usize| -> f64 {
            let mut sum = 0.0;
            for (i, weight) in filters.rows()[filter * 108..][..108].iter().enumerate() {
                let (c, dy, dx) = (i / 36, i / 6 % 6, i % 6);
                sum += f64::from(*weight) * f64::from(image[(c * 32 + y + dy) * 32 + x + dx]) / 255.0;
            }
            sum
        };
        for (window, sign, filter) in [(0, 1.0, 0), (4, -1.0, 1), (8, 1.0, 2), (2, -1.0, 0)] {
            let (top, left) = (window / windows * STRIDE, window % windows * STRIDE);
            let mut sum = 0.0;
            for y in top..top + POOL {
                for x in left..left + POOL {
                    sum += (sign * response(filter + 1, y, x) - f64::from(BIAS)).max(0.0);
                }
            }
            let expected = sum / (POOL * POOL) as f64;
            let at = window * 6 + if sign > 0.0 { 0 } else { 3 } + filter;
            let far = (f64::from(ours[at]) - expected).abs();
            assert!(far < 1e-4 * expected.max(1.0), "{at}: {} for {expected}", ours[at]);
        }
    }
    for filters in [0, 32_001] {
        assert!(RandomConv { filters }.draw(&data.train.images, data.shape, 100, 1).is_err());
    }
}

#[test]
fn primal_and_dual_agree() {
    let data = data::open(Some("shapes10")).unwrap();
    let (n, m, filters) = (400, 300, 10);
    let conv = RandomConv { filters };
    let d = conv.dimensions(data.shape);
    assert!(d < n, "the primal is the smaller system");
    let what = KernelEquation::new(Preprocessing::RandomConv(conv), Width::HeldOut, (false, true));
    let frame = measure(&what, &data, &data.id(n, m), 3, None, &mut quiet).unwrap();
    let number = |name: &str| frame.column(name).unwrap().f64().unwrap().get(0).unwrap();
    assert_eq!(number("unknowns"), d as f64 + 1.0, "and a constant feature");
    // The dual, here: features less their means, and a constant one as long as the others together.
    let bank = conv.draw(&data.train.images, data.shape, n, 3).unwrap();
    let mut train = bank.features(&data.train.images[..n * 3072], 0..filters);
    let mut test = bank.features(&data.test.images[..m * 3072], 0..filters);
    for k in 0..d {
        let mean = train.iter().skip(k).step_by(d).map(|v| f64::from(*v)).sum::<f64>() / n as f64;
        train.iter_mut().skip(k).step_by(d).for_each(|v| *v -= mean as f32);
        test.iter_mut().skip(k).step_by(d).for_each(|v| *v -= mean as f32);
    }
    let mut gram = Triangle::zeros(n);
    gram.add_gram(&train, d);
    let constant = gram.mean_diagonal();
    gram.add_gram(&vec![constant.sqrt() as f32; n], 1);
    let mut targets = vec![0.0; n * 10];
    (0..n).for_each(|i| targets[i * 10 + usize::from(data.train.labels[i])] = 1.0);
    let weight = number("ridge") * gram.mean_diagonal();
    let solution = solve(&gram, &targets, 10, weight, &mut quiet).unwrap();
    let outputs: Vec<f64> = test
        .chunks_exact(d)
        .flat_map(|z| {
            let kernel: Vec<f64> = train
                .chunks_exact(d)
                .map(|x| constant + x.iter().zip(z).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>())
                .collect();
            let sum = |c: usize| (0..n).map(|i| kernel[i] * solution.weights[i * 10 + c]).sum::<f64>();
            (0..10).map(sum).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(number("test_error"), error(&outputs, &data.test.labels, 10));
    assert_eq!(number("train_error"), error(&solution.fitted, &data.train.labels, 10));
    let norm: f64 = solution.weights.iter().zip(&solution.fitted).map(|(a, f)| a * f).sum::<f64>().sqrt();
    assert!((number("norm") - norm).abs() < 1e-4 * norm, "{} for {norm}", number("norm"));
}

/// A solution's number, in the row `row`.
fn at(frame: &polars::prelude::DataFrame, row: usize, name: &str) -> f64 {
    frame.column(name).unwrap().f64().unwrap().get(row).unwrap()
}

#[test]
fn the_gaussian_kernel_of_the_conv_nets_features_is_its_definition() {
    let data = data::open(Some("shapes10")).unwrap();
    let (n, m, filters) = (300, 200, 9);
    let conv = RandomConv { filters };
    let d = conv.dimensions(data.shape);
    for standardised in [true, false] {
        let what = KernelEquation {
            on_features: OnConv::Gaussian,
            standardised,
            choice: Choice::Inside,
            ..KernelEquation::new(Preprocessing::RandomConv(conv), Width::HeldOut, (true, true))
        };
        let frame = measure(&what, &data, &data.id(n, m), 3, None, &mut quiet).unwrap();
        // The features in f64, standardised, and the distances by their differences.
        let bank = conv.draw(&data.train.images, data.shape, n, 3).unwrap();
        let wide = |images: &[u8]| -> Vec<f64> {
            bank.features(images, 0..filters).into_iter().map(f64::from).collect()
        };
        let mut train = wide(&data.train.images[..n * 3072]);
        let mut test = wide(&data.test.images[..m * 3072]);
        for k in 0..d {
            let mean = train.iter().skip(k).step_by(d).sum::<f64>() / n as f64;
            let squares = train.iter().skip(k).step_by(d).map(|v| (v - mean).powi(2)).sum::<f64>();
            let scale = match (standardised, squares > 0.0) {
                (false, _) => 1.0,
                (true, true) => 1.0 / (squares / n as f64).sqrt(),
                (true, false) => 0.0,
            };
            for features in [&mut train, &mut test] {
                features.iter_mut().skip(k).step_by(d).for_each(|v| *v = (*v - mean) * scale);
            }
        }
        let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        let point = |i: usize| &train[i * d..][..d];
        let pairs = (0..n).flat_map(|i| (0..n).map(move |j| (i, j)));
        let mean = pairs.map(|(i, j)| distance(point(i), point(j))).sum::<f64>() / (n * (n - 1)) as f64;
        for row in 0..2 {
            let (gamma, ridge) = (at(&frame, row, "gamma"), at(&frame, row, "ridge"));
            let power = (gamma * mean).log2();
            assert!((power - power.round()).abs() < 1e-3, "2^{power} over the mean squared distance");
            assert_eq!((ridge > 0.0, at(&frame, row, "floor")), (row == 1, 0.0));
            let mut kernel = Triangle::zeros(n);
            kernel.fill(
                |_| (),
                |(), i, j, tile| {
                    for (place, v) in tile.iter_mut().enumerate() {
                        let (i, j) = (i * TILE + place / TILE, j * TILE + place % TILE);
                        if i < n && j < n {
                            *v = (-gamma * distance(point(i), point(j))).exp() as f32;
                        }
                    }
                },
                |_| (),
            );
            let mut targets = vec![0.0; n * 10];
            (0..n).for_each(|i| targets[i * 10 + usize::from(data.train.labels[i])] = 1.0);
            let solution = solve(&kernel, &targets, 10, ridge, &mut quiet).unwrap();
            let mut outputs = vec![0.0; m * 10];
            for (z, to) in test.chunks_exact(d).zip(outputs.chunks_exact_mut(10)) {
                for (x, weights) in train.chunks_exact(d).zip(solution.weights.chunks_exact(10)) {
                    let k = (-gamma * distance(x, z)).exp();
                    to.iter_mut().zip(weights).for_each(|(to, w)| *to += k * w);
                }
            }
            // But for one image on the edge.
            let (ours, exact) = (at(&frame, row, "test_error"), error(&outputs, &data.test.labels, 10));
            assert!((ours - exact).abs() < 1.1 / m as f64, "{standardised}, {row}: {ours} for {exact}");
            let norm = solution.weights.iter().zip(&solution.fitted).map(|(a, f)| a * f).sum::<f64>().sqrt();
            let ours = at(&frame, row, "norm");
            assert!((ours - norm).abs() < 1e-2 * norm, "{standardised}, {row}: norm {ours} for {norm}");
            if row == 0 {
                assert_eq!(at(&frame, row, "train_error"), 0.0, "it fits");
            }
        }
    }
}

#[test]
fn what_is_chosen_is_never_the_end_of_its_grid() {
    let both = Free { gamma: true, ridge: true };
    // Wherever the best is, its neighbours are tried, far from the first places too.
    for (width, weight) in [(-6, -15), (7, 2), (0, -6), (-3, -4)] {
        let bowl = |(w, l): choice::GridPoint| {
            rethink_nn::Result::Ok(f64::from((w - width).pow(2) + (l - weight).pow(2)))
        };
        let found = choice::search(both, bowl).unwrap();
        assert_eq!(found.place, (width, weight));
        assert!(found.widths.0 < width && width < found.widths.1, "{found:?}");
        assert!(found.weights.0 < weight && weight < found.weights.1, "{found:?}");
    }
    // Flat below 1e-5: the largest of equal weights, which is inside.
    let flat = |(_, l): choice::GridPoint| rethink_nn::Result::Ok(f64::from((l + 10).max(0)));
    let found = choice::search(Free { gamma: false, ridge: true }, flat).unwrap();
    assert_eq!(found.place, (0, -10));
    assert!(found.weights.0 < -10 && -10 < found.weights.1, "{found:?}");
    // The smaller of equal gammas; what cannot be solved is not chosen.
    let steep = |(w, _): choice::GridPoint| rethink_nn::Result::Ok(if w < 3 { f64::INFINITY } else { 0.2 });
    assert_eq!(choice::search(Free { gamma: true, ridge: false }, steep).unwrap().place, (3, 0));
    // A slope without end stops where the grid does.
    let slope = |(w, l): choice::GridPoint| rethink_nn::Result::Ok(f64::from(l - w));
    assert_eq!(choice::search(both, slope).unwrap().place, (*WIDTHS.end(), *WEIGHTS.start()));
    assert_eq!([choice::weight(-6), choice::weight(-5), choice::weight(1)], [1e-3, 3e-3, 3.0]);

    let data = data::open(Some("shapes10")).unwrap();
    let conv = Preprocessing::RandomConv(RandomConv { filters: 20 });
    for (preprocessing, on_features) in [
        (Preprocessing::None, OnConv::Linear),
        (Preprocessing::Gabor(Gabor::default()), OnConv::Linear),
        (conv.clone(), OnConv::Linear),
        (conv, OnConv::Gaussian),
    ] {
        let linear = on_features == OnConv::Linear && matches!(preprocessing, Preprocessing::RandomConv(_));
        let what = KernelEquation {
            on_features,
            choice: Choice::Inside,
            ..KernelEquation::new(preprocessing, Width::HeldOut, (true, true))
        };
        let frame = measure(&what, &data, &data.id(400, 100), 1, None, &mut quiet).unwrap();
        let inside = |row: usize, name: &str| {
            let of = |end: &str| at(&frame, row, &format!("{name}{end}"));
            let (value, low, high) = (of(""), of("_low"), of("_high"));
            assert!(low < value && value < high, "{what:?}, {name} {value} of {low} to {high}");
        };
        if !linear {
            inside(0, "gamma");
            inside(1, "gamma");
        }
        inside(1, "ridge");
        assert!(at(&frame, 0, "ridge_low").is_nan() && at(&frame, 0, "ridge") == 0.0);
    }
}

#[test]
fn published_measurements_keep_their_keys() {
    let id = |name: &str, title: &str, fingerprint: &str, train: usize| DataId {
        name: name.into(),
        title: title.into(),
        fingerprint: fingerprint.into(),
        train,
        test: 10_000,
    };
    let digits = "4d3a268456b92b699446d4f8b263110d7ebad47ebd05242357372b14804f3bf6";
    let objects = "f43bf6a33f958776c1159c2d0d6dde911aefbf835befaf4056b208d0463966e8";
    let mnist = id("mnist", "MNIST", digits, 60_000);
    let cifar = id("cifar10", "CIFAR-10 (JPEG q75)", objects, 50_000);
    let conv = |filters| Preprocessing::RandomConv(RandomConv { filters });
    let (gabor, none) = (Preprocessing::Gabor(Gabor::default()), Preprocessing::None);
    for (key, id, preprocessing, width, solved) in [
        ("08cc5c540f2be61d", &mnist, gabor, Width::HeldOut, (true, false)),
        ("51b28abf7830a4ff", &mnist, none.clone(), Width::Gamma(0.02), (false, true)),
        ("e8b0cca2bcb256f4", &mnist, none.clone(), Width::Gamma(0.02), (true, false)),
        ("2fe7abef35957d7f", &cifar, none.clone(), Width::HeldOut, (true, false)),
        ("c56be739327a3ec7", &cifar, none, Width::HeldOut, (false, true)),
        ("dbbe9c362108fa12", &cifar, conv(8_000), Width::HeldOut, (true, true)),
        ("2cee60ac5a8f8f4b", &cifar, conv(16_000), Width::HeldOut, (true, true)),
    ] {
        let what = KernelEquation::new(preprocessing, width, solved);
        let of = |what: &KernelEquation| Measurement {
            schema: 1,
            data: id.clone(),
            what: Quantity::KernelEquation(what.clone()),
            seed: 1,
        };
        assert_eq!(of(&what).key(), key, "{what:?}");
        // All that is new is another measurement.
        for new in [
            KernelEquation { on_features: OnConv::Gaussian, ..what.clone() },
            KernelEquation { standardised: true, ..what.clone() },
            KernelEquation { choice: Choice::Inside, ..what.clone() },
            KernelEquation { arithmetic: Arithmetic::Float64, ..what.clone() },
        ] {
            assert_ne!(of(&new).key(), key);
        }
    }
}

#[test]
fn what_needed_a_floor_counts_as_regularised() {
    let out = tempfile::tempdir().unwrap();
    let study = Study::new(Some("shapes10"), Scale::Smoke, out.path()).unwrap();
    let what = KernelEquation::new(Preprocessing::None, Width::Gamma(0.01), (true, false));
    let measurement = Measurement::new(&study.data, (150, 100), Quantity::KernelEquation(what), 1);
    let measured = study.measure_all(&[measurement], &mut quiet).unwrap();
    let l2 = |measured: &[measure::Measured]| {
        let frame = table3::frame(measured).unwrap();
        frame.column("l2").unwrap().str().unwrap().get(frame.height() - 1).unwrap().to_string()
    };
    assert_eq!(l2(&measured), "none");
    assert_eq!(at(&paper::norms::frame(&measured).unwrap(), 0, "ridge"), 0.0);
    let mut floored = measured;
    floored[0].frame.with_column(polars::prelude::Column::new("floor".into(), vec![1e-4])).unwrap();
    assert_eq!(l2(&floored), "1e-4 (singular without)");
    assert_eq!(at(&paper::norms::frame(&floored).unwrap(), 0, "ridge"), 1e-4);
    let verdict = table3::RECIPE.verdict(&Results::Measured(floored)).unwrap();
    assert_eq!(verdict.ours, None, "no row without regularisation");
}

#[test]
fn a_measurement_is_made_once_and_recorded() {
    let out = tempfile::tempdir().unwrap();
    let study = Study::new(Some("shapes10"), Scale::Smoke, out.path()).unwrap();
    let what = KernelEquation::new(Preprocessing::None, Width::Gamma(0.01), (true, false));
    let measurement = Measurement::new(&study.data, (150, 100), Quantity::KernelEquation(what), 1);
    let mut said = Vec::new();
    let all = std::slice::from_ref(&measurement);
    let first = study.measure_all(all, &mut |line| said.push(line.to_string())).unwrap();
    let second = study.measure_all(all, &mut |line| said.push(line.to_string())).unwrap();
    assert_eq!(first[0].record, second[0].record);
    assert!(said.last().unwrap().contains("1 of 1 measurement was in the store"), "{said:?}");
    let record = &first[0].record;
    assert_eq!(record.measurement.data.fingerprint, study.data.fingerprint);
    assert!(record.provenance.crates.contains_key("faer") && record.digest.len() == 64);
    assert_eq!(first[0].number("train_error").unwrap(), 0.0, "it fits");
    assert!(study.store().all().unwrap().is_empty(), "no run");
    assert_eq!(study.store().measurements().unwrap().len(), 1);
    // Another data set's measurement is refused.
    let mut other = measurement.clone();
    other.data.fingerprint = "0".repeat(64);
    assert!(study.measure_all(&[other], &mut quiet).is_err());
    let mut more = measurement;
    more.data.train = 1_000_000;
    assert!(study.measure_all(&[more], &mut quiet).is_err());
}

#[test]
fn table_3_has_the_papers_rows_and_says_what_was_not_run() {
    let out = tempfile::tempdir().unwrap();
    let study = Study::new(Some("shapes10"), Scale::Smoke, out.path()).unwrap();
    let Product::Table(table) = study.show("table3").unwrap() else { panic!("a table") };
    let not_run = table.rows.iter().filter(|row| row.iter().any(|cell| cell == "not run")).count();
    assert_eq!(not_run, 5, "{:?}", table.rows);
    let text = table.markdown();
    assert!(text.contains("16 filters") && text.contains("n = 200") && text.contains("gamma"), "{text}");
    let study = Study { filters: Some(3), ..study };
    let conv = |m: &Measurement| match &m.what {
        Quantity::KernelEquation(KernelEquation {
            preprocessing: Preprocessing::RandomConv(conv), ..
        }) => Some(conv.filters),
        _ => None,
    };
    let filters: Vec<usize> = table3::RECIPE.measurements(&study.setting()).iter().filter_map(conv).collect();
    assert_eq!(filters, [3; 3], "the study's own number of filters");
    for title in
        ["random conv-net, 16 filters", "not standardised, 16 filters", "linear last layer, 16 filters"]
    {
        assert!(text.contains(title), "{title}: {text}");
    }
    let Product::Figure(figure) = study.show("norms").unwrap() else { panic!("a figure") };
    assert!(figure.svg.contains("norm of the solution"));
}

#[test]
fn mnist_is_learnt_by_interpolation_and_better_with_wavelets() {
    let Some(data) =
        rethink_tests::real_data("mnist", "mnist_is_learnt_by_interpolation_and_better_with_wavelets")
    else {
        return;
    };
    let of = |preprocessing| {
        let what = KernelEquation::new(preprocessing, Width::Gamma(0.02), (true, false));
        measure(&what, &data, &data.id(1_500, 1_000), 1, None, &mut quiet).unwrap()
    };
    let number = |frame: &polars::prelude::DataFrame, name: &str| {
        frame.column(name).unwrap().f64().unwrap().get(0).unwrap()
    };
    let pixels = of(Preprocessing::None);
    let wavelets = of(Preprocessing::Gabor(Gabor::default()));
    for frame in [&pixels, &wavelets] {
        assert_eq!(number(frame, "train_error"), 0.0);
        assert!(number(frame, "residual") < 1e-7);
    }
    let (plain, better) = (number(&pixels, "test_error"), number(&wavelets, "test_error"));
    assert!((0.05..0.14).contains(&plain) && better < 0.7 * plain, "{plain}, {better}");
}

#[test]
fn a_killed_conv_net_goes_on_bit_for_bit() {
    let data = data::open(Some("shapes10")).unwrap();
    for (on_features, standardised) in [(OnConv::Linear, false), (OnConv::Gaussian, true)] {
        killed_goes_on(&data, on_features, standardised);
    }
}

fn killed_goes_on(data: &Dataset, on_features: OnConv, standardised: bool) {
    let what = |filters| KernelEquation {
        on_features,
        standardised,
        ..KernelEquation::new(Preprocessing::RandomConv(RandomConv { filters }), Width::HeldOut, (true, true))
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.unfinished");
    let at = |key: &str| PartialMeasurement::new(path.clone(), key.into(), Duration::ZERO);
    let id = data.id(300, 100);
    let digest = |filters, unfinished: &mut PartialMeasurement, say: &mut dyn FnMut(&str)| {
        let frame = measure(&what(filters), data, &id, 3, Some(unfinished), say)?;
        measure::digest(&frame)
    };
    let whole = measure::digest(&measure(&what(500), data, &id, 3, None, &mut quiet).unwrap()).unwrap();
    // Killed behind the matrix. Half of the filters are the first half of all: what they leave is what all leave there.
    for filters in [256, 500] {
        let mut killed = |line: &str| assert!(!line.contains("error on held-out"), "killed");
        let died = catch_unwind(AssertUnwindSafe(|| digest(filters, &mut at("key"), &mut killed)));
        assert!(died.is_err() && path.exists());
        let (mut lines, mut again) = (Vec::new(), at("key"));
        assert_eq!(digest(500, &mut again, &mut |line| lines.push(line.to_string())).unwrap(), whole);
        assert_eq!(lines[0], format!("going on after {filters} of 500 filters"));
        assert!(again.earlier > 0.0, "the killed attempt's time counts");
    }
    let last = fs::read(&path).unwrap();

    let refused = |bytes: &[u8], key: &str, why: &str| {
        fs::write(&path, bytes).unwrap();
        let message = digest(500, &mut at(key), &mut quiet).unwrap_err().to_string();
        assert!(message.contains(why) && message.contains("key.unfinished"), "{message}");
    };
    refused(&last, "other", "another measurement");
    refused(&last[..last.len() - 1], "key", "bytes for parts");
    refused(&[], "key", "first line");
    for place in [last.len() / 2, last.len() - 1] {
        let mut damaged = last.clone();
        damaged[place] ^= 1;
        refused(&damaged, "key", "checksum");
    }
    at("key").remove().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_is_no_number_is_no_solution() {
    use rethink_nn::kernel_methods::solve::{Factor, Kernel};
    use rethink_nn::numbers::largest;

    /// A matrix that can be factorised, and whose products are no numbers.
    struct Broken(Triangle);

    impl Kernel for Broken {
        fn n(&self) -> usize {
            self.0.n()
        }

        fn mean_diagonal(&self) -> f64 {
            self.0.mean_diagonal()
        }

        fn copy(&self, ridge: f64) -> rethink_nn::Result<Box<dyn Factor>> {
            Kernel::copy(&self.0, ridge)
        }

        fn apply(&self, x: &[f64], _: usize) -> rethink_nn::Result<Vec<f64>> {
            Ok(vec![f64::NAN; x.len()])
        }
    }

    let (triangle, _) = matrix(50, 8);
    let broken = Broken(triangle.clone());
    let mut targets: Vec<f64> = formula(50 * 2, 53, 1.0).into_iter().map(f64::from).collect();
    let message = solve(&broken, &targets, 2, 0.0, &mut quiet).unwrap_err().to_string();
    assert!(message.contains("not all finite"), "{message}");
    solve(&triangle, &targets, 2, 0.0, &mut quiet).unwrap();
    targets[7] = f64::NAN;
    assert!(solve(&triangle, &targets, 2, 0.0, &mut quiet).is_err());

    assert_eq!((largest([]), largest([-3.0, -1.0, -2.0]), largest([0.5, 2.0])), (0.0, -1.0, 2.0));
    for place in 0..3 {
        let mut values = [1.0, 2.0, 3.0];
        values[place] = f64::NAN;
        assert!(largest(values).is_nan(), "{place}");
    }
}

/// As of a network's scores: of equal outputs the first wins, and one that is no number is never right.
#[test]
fn errors_of_equal_outputs_and_of_none() {
    let nan = f64::NAN;
    let outputs = [0.5, 0.5, 0.1, 0.2, nan, 0.1, nan, 0.0, 0.0, 0.0, 0.1, 0.2];
    assert_eq!(error(&outputs, &[0, 1, 0, 2], 3), 0.5);
    assert_eq!(error(&outputs, &[1, 0, 1, 1], 3), 1.0);
    assert_eq!(
        [argmax(&[1.0, 3.0, 3.0]), argmax(&[1.0f32, f32::NAN]), argmax::<f64>(&[])],
        [Some(1), None, None]
    );
}
