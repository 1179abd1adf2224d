//! Section 4: theorem 1, lemma 1 and corollary 1.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use rethink::data;
use rethink::measure::corollary1::{DeepNetwork, EXTRA};
use rethink::measure::expressivity::Sample;
use rethink::measure::theorem1::{TwoLayer, knots, matrix, smallest_eigenvalue, solve};
use rethink_tests::formula;

fn largest_error(outputs: &[f64], targets: &[f64]) -> f64 {
    outputs.iter().zip(targets).map(|(o, t)| (o - t).abs()).fold(0.0, f64::max)
}

#[test]
fn two_layers_of_2n_plus_d_weights_fit_random_labels_of_images() {
    let data = data::open(Some("shapes10")).unwrap();
    for n in [1, 2, 10, 2_000] {
        let Sample { points, targets, d, repeated } = Sample::random_labels(&data, n, 5);
        assert_eq!((targets.len() + repeated, d), (n, 3072));
        let network = TwoLayer::fit(&points, d, &targets, 5).unwrap();
        assert_eq!(network.weight_count(), 2 * targets.len() + d);
        assert_eq!((network.a.len(), network.b.len(), network.w.len()), (d, targets.len(), targets.len()));
        let error = largest_error(&network.outputs(&points), &targets);
        assert!(error < 1e-6, "n = {n}: {error}");
        // Interleaving, and the bound on the weights.
        assert!(network.b.iter().zip(&network.x).all(|(b, x)| b < x));
        assert!(network.x.iter().zip(&network.b[1..]).all(|(x, b)| x < b));
        let mut order: Vec<usize> = (0..targets.len()).collect();
        let project = |i: usize| -> f64 { (0..d).map(|k| network.a[k] * points[i * d + k]).sum() };
        order.sort_by(|&i, &j| project(i).total_cmp(&project(j)));
        let sorted: Vec<f64> = order.iter().map(|&i| targets[i]).collect();
        let largest = network.w.iter().fold(0.0f64, |most, w| most.max(w.abs()));
        assert!(largest <= network.weight_bound(&sorted) * (1.0 + 1e-9), "{largest}");
    }
}

#[test]
fn ten_thousand_real_images_are_fitted_to_a_millionth() {
    let name = "ten_thousand_real_images_are_fitted_to_a_millionth";
    let Some(data) = rethink_tests::real_data("cifar10", name) else { return };
    let Sample { points, targets, d, .. } = Sample::random_labels(&data, 10_000, 1);
    let network = TwoLayer::fit(&points, d, &targets, 1).unwrap();
    assert_eq!(network.weight_count(), 2 * targets.len() + d);
    let error = largest_error(&network.outputs(&points), &targets);
    assert!(targets.len() > 9_900 && error < 1e-6, "{} points, error {error}", targets.len());
}

#[test]
fn slopes_solve_lemma_1s_system() {
    let n = 60;
    let mut x: Vec<f64> = formula(n, 37, 3.0).into_iter().map(f64::from).collect();
    x.sort_by(f64::total_cmp);
    let b = knots(&x);
    let y: Vec<f64> = formula(n, 53, 1.0).into_iter().map(f64::from).collect();
    let a = matrix(&x, &b);
    let general = Mat::from_fn(n, n, |i, j| a[i * n + j]);
    let expected = general.partial_piv_lu().solve(Mat::from_fn(n, 1, |i, _| y[i]));
    let largest = (0..n).map(|i| expected[(i, 0)].abs()).fold(0.0, f64::max);
    for (i, w) in solve(&x, &b, &y).iter().enumerate() {
        assert!((w - expected[(i, 0)]).abs() < 1e-9 * largest, "{i}: {w} for {}", expected[(i, 0)]);
    }
}

#[test]
fn lemma_1s_smallest_eigenvalue_is_the_least_distance() {
    // Gaps of different sizes, so that eigenvalues are far apart.
    let x: Vec<f64> = (0..8)
        .scan(0.0, |at, i| {
            *at += 1.0 + f64::from(i) * 0.7;
            Some(*at)
        })
        .collect();
    let b = knots(&x);
    let a = matrix(&x, &b);
    assert!((0..8).all(|i| (i + 1..8).all(|j| a[i * 8 + j] == 0.0)), "lower triangular");
    let general = Mat::from_fn(8, 8, |i, j| a[i * 8 + j]);
    let eigenvalues = general.eigenvalues().unwrap();
    let least = eigenvalues.iter().map(|v| v.re).fold(f64::INFINITY, f64::min);
    let expected = smallest_eigenvalue(&x, &b);
    assert!((least - expected).abs() < 1e-6 * expected, "{least} for {expected}");
    assert_eq!(expected, x.iter().zip(&b).map(|(x, b)| x - b).fold(f64::INFINITY, f64::min));
    // Not a symmetric matrix: its symmetric part's eigenvalues are others.
    let symmetric = (&general + general.transpose()).self_adjoint_eigenvalues(Side::Lower).unwrap();
    assert!((symmetric[0] / 2.0 - expected).abs() > 1e-3);
}

#[test]
fn depth_is_traded_for_width() {
    let data = data::open(Some("shapes10")).unwrap();
    let Sample { points, targets, d, .. } = Sample::random_labels(&data, 1_000, 7);
    let n = targets.len();
    for k in [3, 4, 5, 6, 13, 53, 203, n + 3] {
        let network = DeepNetwork::fit(&points, d, &targets, k, 7).unwrap();
        assert_eq!(network.depth(), k);
        let intervals = (k - 3).max(1);
        let share = n.div_ceil(intervals) + 2 * (n / intervals / 10) + 1;
        assert!(network.width() <= share + EXTRA, "depth {k}: width {}", network.width());
        // 3 a point (in, bias, out), the projection, and a constant an interval.
        let weights = network.weight_count();
        assert!((3 * n + d..=3 * n + d + 24 * k).contains(&weights), "depth {k}: {weights} weights");
        let error = largest_error(&network.outputs(&points), &targets);
        assert!(error < 1e-6, "depth {k}: {error}");
    }
}

#[test]
fn negative_targets_and_one_dimension_are_fitted_too() {
    let points: Vec<f64> = (0..40).map(|i| f64::from(i * 17 % 40)).collect();
    let targets: Vec<f64> = formula(40, 53, 5.0).into_iter().map(f64::from).collect();
    assert!(targets.iter().any(|t| *t < -1.0));
    let two = TwoLayer::fit(&points, 1, &targets, 1).unwrap();
    assert!(largest_error(&two.outputs(&points), &targets) < 1e-9);
    for k in [3, 4, 7, 20, 43] {
        let deep = DeepNetwork::fit(&points, 1, &targets, k, 1).unwrap();
        assert!(largest_error(&deep.outputs(&points), &targets) < 1e-9, "depth {k}");
    }
}

#[test]
fn points_that_are_no_sample_are_errors() {
    let same = [0.5, 0.5, 0.1, 0.2, 0.5, 0.5];
    let message = TwoLayer::fit(&same, 2, &[1.0, 2.0, 3.0], 1).unwrap_err().to_string();
    assert!(message.contains("points 0 and 2"), "{message}");
    assert!(TwoLayer::fit(&[0.0, 1.0], 1, &[1.0], 1).is_err());
    assert!(TwoLayer::fit(&[0.0, f64::NAN], 1, &[1.0, 2.0], 1).is_err());
    assert!(TwoLayer::fit(&[0.0, 1.0], 1, &[1.0, f64::INFINITY], 1).is_err());
    assert!(TwoLayer::fit(&[], 1, &[], 1).is_err());
    for k in [0, 2, 6] {
        assert!(DeepNetwork::fit(&[0.0, 1.0], 1, &[1.0, 2.0], k, 1).is_err(), "depth {k}");
    }
}
