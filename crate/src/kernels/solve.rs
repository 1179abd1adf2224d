//! Equation 3, `K a = y`, and with l2 regularisation `(K + ridge I) a = y`: Cholesky in f32, then conjugate
//! gradients with that factor until the residual, in f64, is small.

use super::gaussian::Gaussian;
use super::triangle::{NotPositive, Triangle};
use crate::{Error, Result};
use std::time::Instant;

/// The residual's norm over that of the targets, at which a solution is done.
pub const TOLERANCE: f64 = 1e-8;
/// Steps of conjugate gradients after which the residual that there is is reported.
pub const STEPS: usize = 40;
/// What is added to the diagonal before factorising, in turn, as a share of its mean, until the matrix is
/// positive definite in f32. The solution is that without it: the factor only leads there.
pub const JITTERS: [f64; 5] = [0.0, 1e-6, 1e-5, 1e-4, 1e-3];

/// A symmetric positive definite matrix that can be factorised, and applied exactly.
pub trait Kernel: Sync {
    /// Rows.
    fn n(&self) -> usize;
    /// The mean of the diagonal.
    fn mean_diagonal(&self) -> f64;
    /// A copy of it, `ridge` added to the diagonal, to be factorised.
    fn copy(&self, ridge: f64) -> Triangle;
    /// The matrix times `x` (`n x columns`), summed in f64.
    fn apply(&self, x: &[f64], columns: usize) -> Vec<f64>;
}

impl Kernel for Gaussian {
    fn n(&self) -> usize {
        Gaussian::n(self)
    }

    fn mean_diagonal(&self) -> f64 {
        1.0
    }

    fn copy(&self, ridge: f64) -> Triangle {
        self.matrix(ridge)
    }

    fn apply(&self, x: &[f64], columns: usize) -> Vec<f64> {
        Gaussian::apply(self, x, columns)
    }
}

impl Kernel for Triangle {
    fn n(&self) -> usize {
        Triangle::n(self)
    }

    fn mean_diagonal(&self) -> f64 {
        Triangle::mean_diagonal(self)
    }

    fn copy(&self, ridge: f64) -> Triangle {
        let mut copy = self.clone();
        if ridge != 0.0 {
            copy.add_diagonal(ridge as f32);
        }
        copy
    }

    fn apply(&self, x: &[f64], columns: usize) -> Vec<f64> {
        Triangle::apply(self, x, columns)
    }
}

/// A solution of equation 3.
#[derive(Clone, Debug)]
pub struct Solution {
    /// `n x columns`, row-major.
    pub weights: Vec<f64>,
    /// `K a`, `n x columns`: the outputs on the points themselves.
    pub fitted: Vec<f64>,
    /// `|(K + ridge I) a - y| / |y|`, the largest of the columns.
    pub residual: f64,
    /// Steps of conjugate gradients.
    pub steps: usize,
    /// What had to be added to the diagonal for the factor, as a share of its mean.
    pub jitter: f64,
    /// Seconds of building the matrix, of factorising it, and of the steps.
    pub seconds: [f64; 3],
}

/// Solves `(K + ridge I) a = targets`; `targets` is `n x columns`. `say` gets lines of progress with the time
/// left.
///
/// Errors: [`Error::Argument`] for targets of another size or a matrix that is far from positive definite.
pub fn solve(
    kernel: &dyn Kernel,
    targets: &[f64],
    columns: usize,
    ridge: f64,
    say: &mut dyn FnMut(&str),
) -> Result<Solution> {
    let operation = "solve the kernel equation";
    let n = kernel.n();
    if n == 0 || columns == 0 || targets.len() != n * columns || ridge.is_nan() || ridge < 0.0 {
        let problem = format!("{} targets for {n} x {columns}, ridge {ridge}", targets.len());
        return Err(Error::argument(operation, problem));
    }
    let mean = kernel.mean_diagonal();
    let mut seconds = [0.0; 3];
    let mut factor = None;
    for jitter in JITTERS {
        let started = Instant::now();
        let mut triangle = kernel.copy(ridge + jitter * mean);
        seconds[0] += started.elapsed().as_secs_f64();
        let started = Instant::now();
        let mut said = Instant::now();
        let outcome = triangle.factorise(|share| {
            if said.elapsed().as_secs() >= 10 {
                said = Instant::now();
                let left = started.elapsed().as_secs_f64() * (1.0 - share) / share;
                say(&format!("factorised {:.0} %, {left:.0} s left", 100.0 * share));
            }
        });
        seconds[1] += started.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                factor = Some((triangle, jitter));
                break;
            }
            Err(NotPositive { row }) => {
                say(&format!("not positive definite in f32 at row {row} with {jitter:e} on the diagonal"));
            }
        }
    }
    let Some((factor, jitter)) = factor else {
        return Err(Error::argument(
            operation,
            format!("the matrix is not positive definite, ridge {ridge}"),
        ));
    };

    // Conjugate gradients, each column by itself.
    let started = Instant::now();
    let mut said = Instant::now();
    let apply = |x: &[f64]| {
        let mut product = kernel.apply(x, columns);
        product.iter_mut().zip(x).for_each(|(to, x)| *to += ridge * x);
        product
    };
    let lengths: Vec<f64> = dots(targets, targets, columns).iter().map(|v| v.sqrt()).collect();
    let worst = |r: &[f64]| {
        let squares = dots(r, r, columns);
        let relative = squares.iter().zip(&lengths).filter(|(_, l)| **l > 0.0).map(|(s, l)| s.sqrt() / l);
        relative.fold(0.0, f64::max)
    };
    let mut x = vec![0.0; targets.len()];
    let mut r = targets.to_vec();
    let mut residual = worst(&r);
    let (mut best, mut best_residual) = ((x.clone(), r.clone()), residual);
    let mut z = factor.solve(&r, columns);
    let mut p = z.clone();
    let mut rz = dots(&r, &z, columns);
    let mut steps = 0;
    while residual > TOLERANCE && steps < STEPS && residual.is_finite() {
        let kp = apply(&p);
        let pkp = dots(&p, &kp, columns);
        let alpha: Vec<f64> = rz.iter().zip(&pkp).map(|(a, b)| if *b > 0.0 { a / b } else { 0.0 }).collect();
        for (i, (x, r)) in x.iter_mut().zip(&mut r).enumerate() {
            *x += alpha[i % columns] * p[i];
            *r -= alpha[i % columns] * kp[i];
        }
        steps += 1;
        residual = worst(&r);
        if residual < best_residual {
            best_residual = residual;
            best = (x.clone(), r.clone());
        }
        z = factor.solve(&r, columns);
        let next = dots(&r, &z, columns);
        let beta: Vec<f64> = next.iter().zip(&rz).map(|(a, b)| if *b > 0.0 { a / b } else { 0.0 }).collect();
        for (i, p) in p.iter_mut().enumerate() {
            *p = z[i] + beta[i % columns] * *p;
        }
        rz = next;
        if said.elapsed().as_secs() >= 10 {
            said = Instant::now();
            say(&format!("step {steps} of conjugate gradients, residual {residual:.1e}"));
        }
    }
    // In f64, with the matrix itself at every step, the recurrence's residual is the true one to far more digits
    // than are asked for.
    let (weights, r) = best;
    let unfitted = r.iter().zip(&weights).map(|(r, x)| r + ridge * x);
    let fitted = targets.iter().zip(unfitted).map(|(y, u)| y - u).collect();
    seconds[2] = started.elapsed().as_secs_f64();
    Ok(Solution { weights, fitted, residual: best_residual, steps, jitter, seconds })
}

/// Inner products of the columns of two `n x columns` matrices.
fn dots(a: &[f64], b: &[f64], columns: usize) -> Vec<f64> {
    let mut sums = vec![0.0; columns];
    for (a, b) in a.chunks_exact(columns).zip(b.chunks_exact(columns)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums
}
