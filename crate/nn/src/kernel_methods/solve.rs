//! Equation 3, `K a = y`, and with l2 regularisation `(K + ridge I) a = y`: Cholesky, in f32 or f64 as the kernel has it, then
//! conjugate gradients with that factor until the residual, in f64, is small.

use crate::interrupt;
use crate::kernel_methods::cholesky::{Cholesky, NotPositive};
use crate::kernel_methods::gaussian::Gaussian;
use crate::kernel_methods::triangle::Triangle;
use crate::numbers::largest;
use crate::{Error, Result};
use std::time::Instant;

/// The residual's norm over that of the targets, at which a solution is done.
pub const TOLERANCE: f64 = 1e-8;
/// Steps of conjugate gradients after which the residual that there is is reported.
pub const STEPS: usize = 40;
/// Steps without a smaller residual after which no more are made: with a factor that is of use, each step gains digits. (On
/// MNIST's Gabor features at full size none of ten gained any, at most of a minute each.)
pub const PATIENCE: usize = 4;
/// A residual above which a solution is none: the matrix, as it is rounded, is singular.
pub const SOLVED: f64 = 1e-4;
/// What is added to the diagonal before factorising, in turn, as a share of its mean, until the matrix is
/// positive definite as it is rounded. The solution is that without it: the factor only leads there.
pub const JITTERS: [f64; 5] = [0.0, 1e-6, 1e-5, 1e-4, 1e-3];

/// A symmetric positive definite matrix that can be factorised, and applied exactly.
pub trait Kernel {
    /// Rows.
    fn n(&self) -> usize;
    /// The mean of the diagonal.
    fn mean_diagonal(&self) -> f64;
    /// A copy of it, `ridge` added to the diagonal, to be factorised.
    ///
    /// Errors: [`Error::Tensor`] for what a device says.
    fn copy(&self, ridge: f64) -> Result<Box<dyn Factor>>;
    /// The matrix times `x` (`n x columns`), summed in f64.
    ///
    /// Errors: [`Error::Tensor`] for what a device says.
    fn apply(&self, x: &[f64], columns: usize) -> Result<Vec<f64>>;
}

/// A matrix, and then its Cholesky factor in its place, in f32 or f64.
pub trait Factor {
    /// Cholesky, in place; `after` gets the share of the work that is done. The row that is not positive, where there is
    /// one.
    ///
    /// Errors: [`Error::Tensor`] for what a device says.
    fn factorise(&mut self, after: &mut dyn FnMut(f64)) -> Result<std::result::Result<(), NotPositive>>;
    /// The factorised matrix's inverse times `b` (`n x columns`).
    ///
    /// Errors: [`Error::Tensor`] for what a device says.
    fn solve(&self, b: &[f64], columns: usize) -> Result<Vec<f64>>;
}

impl Kernel for Gaussian {
    fn n(&self) -> usize {
        Gaussian::n(self)
    }

    fn mean_diagonal(&self) -> f64 {
        1.0
    }

    fn copy(&self, ridge: f64) -> Result<Box<dyn Factor>> {
        Ok(Box::new(Cholesky::of(self.matrix(ridge))))
    }

    fn apply(&self, x: &[f64], columns: usize) -> Result<Vec<f64>> {
        Ok(Gaussian::apply(self, x, columns))
    }
}

impl Kernel for Triangle {
    fn n(&self) -> usize {
        Triangle::n(self)
    }

    fn mean_diagonal(&self) -> f64 {
        Triangle::mean_diagonal(self)
    }

    fn copy(&self, ridge: f64) -> Result<Box<dyn Factor>> {
        let mut copy = self.clone();
        if ridge != 0.0 {
            copy.add_diagonal(ridge as f32);
        }
        Ok(Box::new(Cholesky::of(copy)))
    }

    fn apply(&self, x: &[f64], columns: usize) -> Result<Vec<f64>> {
        Ok(Triangle::apply(self, x, columns))
    }
}

impl Factor for Cholesky {
    fn factorise(&mut self, after: &mut dyn FnMut(f64)) -> Result<std::result::Result<(), NotPositive>> {
        let outcome = Cholesky::factorise(self, after);
        interrupt::check("factorise the kernel matrix")?;
        Ok(outcome)
    }

    fn solve(&self, b: &[f64], columns: usize) -> Result<Vec<f64>> {
        Ok(Cholesky::solve(self, b, columns))
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
    /// What had to be added for the solution too, where the matrix itself was singular as it is rounded; else 0. The residual is
    /// then that of the equation with it.
    pub floor: f64,
    /// Seconds of building the matrix, of factorising it, and of the steps.
    pub seconds: [f64; 3],
}

/// Solves `(K + ridge I) a = targets`; `targets` is `n x columns`. `say` gets lines of progress with the time
/// left.
///
/// Errors: [`Error::Argument`] for targets of another size, a matrix that is far from positive definite, or a residual that is not
/// finite; [`Error::Tensor`] for what a device says.
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
        let mut copy = kernel.copy(ridge + jitter * mean)?;
        seconds[0] += started.elapsed().as_secs_f64();
        let started = Instant::now();
        let mut said = Instant::now();
        let outcome = copy.factorise(&mut |share| {
            if said.elapsed().as_secs() >= 10 {
                said = Instant::now();
                let left = started.elapsed().as_secs_f64() * (1.0 - share) / share;
                say(&format!("factorised {:.0} %, {left:.0} s left", 100.0 * share));
            }
        })?;
        seconds[1] += started.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                factor = Some((copy, jitter));
                break;
            }
            Err(NotPositive { row }) => {
                say(&format!(
                    "not positive definite, as it is rounded, at row {row} with {jitter:e} on the diagonal"
                ));
            }
        }
    }
    let Some((factor, jitter)) = factor else {
        return Err(Error::argument(
            operation,
            format!("the matrix is not positive definite, ridge {ridge}"),
        ));
    };

    let started = Instant::now();
    let mut found = descend(kernel, &*factor, targets, columns, ridge, say)?;
    let mut floor = 0.0;
    if (found.residual > SOLVED || found.residual.is_nan()) && jitter > 0.0 {
        floor = jitter;
        say(&format!("singular, as it is rounded: solved with {floor:e} of the mean diagonal added"));
        found = descend(kernel, &*factor, targets, columns, ridge + floor * mean, say)?;
    }
    let Descent { weights, rest, residual, steps } = found;
    if !residual.is_finite() {
        let problem =
            format!("the residual is {residual}: the matrix, its factor or the targets are not all finite");
        return Err(Error::argument(operation, problem));
    }
    let unfitted = rest.iter().zip(&weights).map(|(r, x)| r + (ridge + floor * mean) * x);
    let fitted = targets.iter().zip(unfitted).map(|(y, u)| y - u).collect();
    seconds[2] = started.elapsed().as_secs_f64();
    Ok(Solution { weights, fitted, residual, steps, jitter, floor, seconds })
}

/// Where conjugate gradients came to.
struct Descent {
    weights: Vec<f64>,
    /// `y - (K + ridge I) a`.
    rest: Vec<f64>,
    /// Not finite where a step's was not: then the rest is of no use.
    residual: f64,
    steps: usize,
}

/// Conjugate gradients on `(K + ridge I) a = targets`, with `factor` as preconditioner, each column by itself.
fn descend(
    kernel: &dyn Kernel,
    factor: &dyn Factor,
    targets: &[f64],
    columns: usize,
    ridge: f64,
    say: &mut dyn FnMut(&str),
) -> Result<Descent> {
    let mut said = Instant::now();
    let apply = |x: &[f64]| -> Result<Vec<f64>> {
        let mut product = kernel.apply(x, columns)?;
        product.iter_mut().zip(x).for_each(|(to, x)| *to += ridge * x);
        Ok(product)
    };
    let lengths: Vec<f64> = dots(targets, targets, columns).iter().map(|v| v.sqrt()).collect();
    let worst = |r: &[f64]| {
        let squares = dots(r, r, columns);
        // Of a column of zeros nothing is left, or what is no number.
        let counted = squares.iter().zip(&lengths).filter(|(s, l)| **l > 0.0 || **s != 0.0);
        largest(counted.map(|(s, l)| s.sqrt() / l))
    };
    let mut x = vec![0.0; targets.len()];
    let mut r = targets.to_vec();
    let mut residual = worst(&r);
    let mut best = Descent { weights: x.clone(), rest: r.clone(), residual, steps: 0 };
    let mut z = factor.solve(&r, columns)?;
    let mut p = z.clone();
    let mut rz = dots(&r, &z, columns);
    // In f64, with the matrix itself at every step, the recurrence's residual is the true one to far more digits
    // than are asked for.
    for step in 1..=STEPS {
        interrupt::check("solve the kernel equation")?;
        if !(residual > TOLERANCE && residual < 1e3) || step > best.steps + PATIENCE {
            break;
        }
        let kp = apply(&p)?;
        let pkp = dots(&p, &kp, columns);
        let alpha: Vec<f64> = rz.iter().zip(&pkp).map(|(a, b)| if *b > 0.0 { a / b } else { 0.0 }).collect();
        for (i, (x, r)) in x.iter_mut().zip(&mut r).enumerate() {
            *x += alpha[i % columns] * p[i];
            *r -= alpha[i % columns] * kp[i];
        }
        residual = worst(&r);
        if !residual.is_finite() {
            best.residual = residual;
            break;
        }
        if residual < best.residual {
            best = Descent { weights: x.clone(), rest: r.clone(), residual, steps: step };
        }
        z = factor.solve(&r, columns)?;
        let next = dots(&r, &z, columns);
        let beta: Vec<f64> = next.iter().zip(&rz).map(|(a, b)| if *b > 0.0 { a / b } else { 0.0 }).collect();
        for (i, p) in p.iter_mut().enumerate() {
            *p = z[i] + beta[i % columns] * *p;
        }
        rz = next;
        if said.elapsed().as_secs() >= 10 {
            said = Instant::now();
            say(&format!("step {step} of conjugate gradients, residual {residual:.1e}"));
        }
    }
    Ok(best)
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
