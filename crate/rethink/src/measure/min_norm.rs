//! Section 5's argument, measured: of all models that fit the data exactly, SGD from zero finds the one of least norm;
//! curvature cannot tell them apart; others, easy to make, have larger norms and generalise worse.

use crate::data::Dataset;
use crate::measure::kernel_equation::error;
use crate::{Error, Result};
use faer::prelude::{Solve, SolveLstsq};
use faer::{Mat, MatRef, Side};
use polars::prelude::*;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rethink_nn::image::Pixels;
use rethink_nn::interrupt;

const OPERATION: &str = "minimum norm";

/// The first `n` images of a split, cropped, whitened and of length 1: `n x d`, and the targets: 1 for the first half of
/// the classes, -1 for the others.
fn rows(data: &Dataset, n: usize) -> Result<(Vec<f64>, Vec<f64>, usize)> {
    let image: usize = data.shape.iter().product();
    let pixels = Pixels::Bytes(data.train.images[..n * image].to_vec());
    let whitened = pixels.whitened_all(n, data.shape)?;
    let d = whitened.len() / n;
    let mut rows: Vec<f64> = whitened.into_iter().map(f64::from).collect();
    for row in rows.chunks_exact_mut(d) {
        let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        row.iter_mut().for_each(|v| *v /= length.max(f64::MIN_POSITIVE));
    }
    let half = data.classes.len() / 2;
    let sign = |&label: &u16| if usize::from(label) < half { 1.0 } else { -1.0 };
    Ok((rows, data.train.labels[..n].iter().map(sign).collect(), d))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Eight sums side by side, always in this order.
    let mut sums = [0.0; 8];
    let (a8, rest_a) = a.as_chunks::<8>();
    let (b8, rest_b) = b.as_chunks::<8>();
    for (a, b) in a8.iter().zip(b8) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f64>()
}

/// `a x = b` for a symmetric positive definite matrix.
fn solve(matrix: &Mat<f64>, right: &Mat<f64>) -> Result<Mat<f64>> {
    let factor = matrix
        .llt(Side::Lower)
        .map_err(|e| Error::argument(OPERATION, format!("{e:?}: repeated images?")))?;
    Ok(factor.solve(right))
}

/// SGD on the squared loss of a linear model of whitened images (targets 1 and -1), an example a step, step size 1 (the
/// images have length 1), from zero and from a random start.
///
/// One row per start and recorded epoch: `start` ("zero", "random"), `epoch`, `distance` (to the kernel equation's solution
/// `w* = X^T (X X^T)^-1 y`, relative to its norm), `loss` (mean squared error), `norm` (of the weights), `least_norm` (of
/// `w*`), `off_span` (the part of the weights outside of the span of the data, relative), `hessian` (Frobenius
/// distance of the Hessian of the mean `log cosh` loss to that at `w*`, relative to it), `nullity` (dimensions in which
/// every such Hessian is zero: by the sizes, the dimensions less the images, whose independence the solution needs).
///
/// Errors: [`Error::Argument`] where there are not fewer images than dimensions, or images repeat.
pub(crate) fn sgd_path(data: &Dataset, n: usize, epochs: usize, seed: u64) -> Result<DataFrame> {
    let (x, y, d) = rows(data, n)?;
    if n >= d || epochs == 0 {
        let problem = format!("{n} images in {d} dimensions (fewer images are needed), {epochs} epochs");
        return Err(Error::argument(OPERATION, problem));
    }
    let row = |i: usize| &x[i * d..(i + 1) * d];
    let gram = Mat::from_fn(n, n, |i, j| dot(row(i.max(j)), row(i.min(j))));
    let span = |values: &[f64]| -> Result<Vec<f64>> {
        // X^T (X X^T)^-1 values
        let alpha = solve(&gram, &Mat::from_fn(n, 1, |i, _| values[i]))?;
        let mut w = vec![0.0; d];
        for i in 0..n {
            w.iter_mut().zip(row(i)).for_each(|(w, x)| *w += alpha[(i, 0)] * x);
        }
        Ok(w)
    };
    let least = span(&y)?;
    let least_norm = dot(&least, &least).sqrt();
    let whole: f64 =
        (0..n).flat_map(|i| (0..n).map(move |j| (i, j))).map(|(i, j)| gram[(i, j)].powi(2)).sum();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let random: Vec<f64> = (0..d)
        .map(|_| {
            let draw: f64 = StandardNormal.sample(&mut rng);
            draw * least_norm / (d as f64).sqrt()
        })
        .collect();
    let mut columns: [Vec<f64>; 8] = Default::default();
    let mut starts = Vec::new();
    for (name, mut w) in [("zero", vec![0.0; d]), ("random", random)] {
        let mut order: Vec<usize> = (0..n).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut next = 0;
        for epoch in 0..=epochs {
            interrupt::check(OPERATION)?;
            if epoch > 0 {
                order.shuffle(&mut rng);
                for &i in &order {
                    let step = y[i] - dot(&w, row(i));
                    w.iter_mut().zip(row(i)).for_each(|(w, x)| *w += step * x);
                }
            }
            if epoch < next && epoch < epochs {
                continue;
            }
            // Ten recorded a factor of ten.
            next = (epoch + 1).max((epoch as f64 * 1.26) as usize);
            let outputs: Vec<f64> = (0..n).map(|i| dot(&w, row(i))).collect();
            let errors: Vec<f64> = outputs.iter().zip(&y).map(|(o, y)| o - y).collect();
            let inside = span(&outputs)?;
            let apart = |other: &[f64]| w.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            let norm = dot(&w, &w).sqrt();
            // log cosh has the second derivative 1 / cosh^2, 1 at an error of zero.
            let change: Vec<f64> = errors.iter().map(|e| 1.0 / e.cosh().powi(2) - 1.0).collect();
            let hessian: f64 = (0..n)
                .map(|i| (0..n).map(|j| change[i] * change[j] * gram[(i, j)].powi(2)).sum::<f64>())
                .sum();
            let values = [
                epoch as f64,
                apart(&least) / least_norm,
                dot(&errors, &errors) / n as f64,
                norm,
                least_norm,
                if norm > 0.0 { apart(&inside) / norm } else { 0.0 },
                (hessian.max(0.0) / whole).sqrt(),
                (d - n) as f64,
            ];
            starts.push(name);
            columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
        }
    }
    let names = ["epoch", "distance", "loss", "norm", "least_norm", "off_span", "hessian", "nullity"];
    let mut all = vec![Column::new("start".into(), starts)];
    all.extend(names.iter().zip(columns).map(|(name, values)| Column::new((*name).into(), values)));
    DataFrame::new(all[0].len(), all).map_err(Error::frame(OPERATION))
}

/// The name of the solution of least norm among those of [`interpolators`].
pub(crate) const LEAST: &str = "minimum norm";
/// The name of the solution that is made to give random labels on some test images: there it does not generalise.
pub(crate) const FORCED: &str = "random labels on test images";

/// Solutions with a Gaussian kernel (gamma 4 over the mean squared distance, pixels / 255) that all fit the one-hot
/// labels of `n` training images: the one of least norm; one whose `n` centres are random points (the pixels' own means
/// and deviations, independent); one that is made to give random labels on the first half of the test images.
///
/// One row per solution: `solution` (text), `norm` (in the kernel's space, over all classes), `train_error`, `test_error` (of
/// the second half of the test images), `forced_error` (of the first half), 0 to 1.
///
/// Errors: [`Error::Argument`] for fewer than two test images, or repeated images.
pub(crate) fn interpolators(data: &Dataset, n: usize, m: usize, seed: u64) -> Result<DataFrame> {
    if m < 2 {
        return Err(Error::argument(OPERATION, format!("{m} test images, at least 2 are needed")));
    }
    let d: usize = data.shape.iter().product();
    let classes = data.classes.len();
    let points = |images: &[u8]| -> Vec<f64> { images.iter().map(|&byte| f64::from(byte) / 255.0).collect() };
    let train = points(&data.train.images[..n * d]);
    let test = points(&data.test.images[..m * d]);
    let half = m / 2;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);

    let mut mean = vec![0.0; d];
    train.chunks_exact(d).for_each(|x| mean.iter_mut().zip(x).for_each(|(m, v)| *m += v / n as f64));
    let mut deviation = vec![0.0; d];
    for x in train.chunks_exact(d) {
        deviation.iter_mut().zip(x).zip(&mean).for_each(|((to, v), m)| *to += (v - m).powi(2) / n as f64);
    }
    deviation.iter_mut().for_each(|v| *v = v.sqrt());
    let gamma = 4.0 / (2.0 * deviation.iter().map(|v| v * v).sum::<f64>()).max(f64::MIN_POSITIVE);
    let kernel = |a: &[f64], b: &[f64]| -> Mat<f64> {
        let a = MatRef::from_row_major_slice(a, a.len() / d, d);
        let b = MatRef::from_row_major_slice(b, b.len() / d, d);
        let product = a * b.transpose();
        let squares =
            |m: MatRef<f64>| -> Vec<f64> { (0..m.nrows()).map(|i| m.row(i).squared_norm_l2()).collect() };
        let (left, right) = (squares(a), squares(b));
        Mat::from_fn(a.nrows(), b.nrows(), |i, j| {
            (-gamma * (left[i] + right[j] - 2.0 * product[(i, j)]).max(0.0)).exp()
        })
    };
    let one_hot = |labels: &[u16]| {
        Mat::from_fn(labels.len(), classes, |i, c| if usize::from(labels[i]) == c { 1.0 } else { 0.0 })
    };
    let labels = &data.train.labels[..n];
    let outputs = |kernel: &Mat<f64>, weights: &Mat<f64>| -> Vec<f64> {
        let product = kernel * weights;
        (0..product.nrows()).flat_map(|i| (0..classes).map(move |c| (i, c))).map(|at| product[at]).collect()
    };
    let norm = |kernel: &Mat<f64>, weights: &Mat<f64>| {
        let product = kernel * weights;
        let terms = (0..classes).flat_map(|c| (0..weights.nrows()).map(move |i| (i, c)));
        terms.map(|at| weights[at] * product[at]).sum::<f64>().max(0.0).sqrt()
    };
    let mut lines: Vec<(&str, [f64; 4])> = Vec::new();
    let mut add = |name, centres: &[f64], weights: &Mat<f64>| {
        let of = |points: &[f64], labels: &[u16]| {
            error(&outputs(&kernel(points, centres), weights), labels, classes)
        };
        let errors = [
            norm(&kernel(centres, centres), weights),
            of(&train, labels),
            of(&test[half * d..], &data.test.labels[half..m]),
            of(&test[..half * d], &data.test.labels[..half]),
        ];
        lines.push((name, errors));
    };

    let gram = kernel(&train, &train);
    add(LEAST, &train, &solve(&gram, &one_hot(labels))?);

    let centres: Vec<f64> = (0..n * d)
        .map(|at| {
            let draw: f64 = StandardNormal.sample(&mut rng);
            mean[at % d] + deviation[at % d] * draw
        })
        .collect();
    // Least squares by a QR with pivots: the matrix is far from symmetric, and close to singular.
    let weights = kernel(&train, &centres).col_piv_qr().solve_lstsq(one_hot(labels));
    add("random centres", &centres, &weights);

    let both: Vec<f64> = train.iter().chain(&test[..half * d]).copied().collect();
    let forced: Vec<u16> = (0..half).map(|_| rng.random_range(0..classes) as u16).collect();
    let all: Vec<u16> = labels.iter().chain(&forced).copied().collect();
    add(FORCED, &both, &solve(&kernel(&both, &both), &one_hot(&all))?);

    let names = ["norm", "train_error", "test_error", "forced_error"];
    let mut columns = vec![Column::new("solution".into(), lines.iter().map(|l| l.0).collect::<Vec<_>>())];
    for (i, name) in names.iter().enumerate() {
        columns.push(Column::new((*name).into(), lines.iter().map(|l| l.1[i]).collect::<Vec<_>>()));
    }
    DataFrame::new(lines.len(), columns).map_err(Error::frame(OPERATION))
}
