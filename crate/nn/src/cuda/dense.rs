//! Equation 3 on a GPU: whole matrices of single precision in its memory, products by cuBLAS, Cholesky by cuSOLVER. The
//! conjugate gradients' vectors stay on the processor: they are small.

use crate::cuda::kernels::{self, Bank, DeviceImages, DeviceMatrix, Points};
use crate::cuda::{Backend, Buffer, Fault, failed, turn};
use crate::image::Pixels;
use crate::interrupt;
use crate::kernel_methods::cholesky::NotPositive;
use crate::kernel_methods::dense::{Dense, Features, Products, Purpose};
use crate::kernel_methods::gaussian::Gaussian;
use crate::kernel_methods::random_conv::Filters;
use crate::kernel_methods::random_conv::{FILTERS_AT_ONCE, batches};
use crate::kernel_methods::solve::{Factor, Kernel};
use crate::kernel_methods::triangle::Triangle;
use crate::memory::check_memory;
use crate::{Error, Result};
use std::time::Instant;

const OPERATION: &str = "kernel equation on a GPU";
/// Test images at a time.
const TESTED_AT_ONCE: usize = 4096;

/// A device's way with equation 3.
pub fn dense<B: Backend>(backend: B) -> Box<dyn Dense> {
    Box::new(OnDevice(backend))
}

struct OnDevice<B>(B);

/// Checks that so many matrices of `n` rows fit, and `beside` bytes.
fn check<B: Backend>(b: &B, n: usize, matrices: u64, beside: impl Fn(usize) -> u64) -> Result<()> {
    let needed = |n: usize| matrices * 4 * (n as u64).pow(2) + beside(n);
    check_memory(n, needed, b.free_memory()).map_err(|error| match error {
        Error::Missing { what, remedy } => Error::Missing { what: format!("on the GPU: {what}"), remedy },
        other => other,
    })
}

impl<B: Backend> Dense for OnDevice<B> {
    fn gaussian(&self, kernel: &Gaussian) -> Result<Box<dyn Kernel>> {
        let b = &self.0;
        let _turn = turn(b);
        let (n, d) = (kernel.n(), kernel.dimensions());
        // The matrix and its factor.
        check(b, n, 2, |n| 4 * (n * d) as u64)?;
        let make = || {
            let points = place(b, kernel.points())?;
            let mut matrix = DeviceMatrix::new(b, n, n)?;
            matrix.add_products(b, &points.values, &points.values, d, true)?;
            matrix.make_gaussian(b, &points.squares, &points.squares, kernel.gamma as f32, true)?;
            matrix.mirror(b)?;
            Ok(matrix)
        };
        let matrix = make().map_err(failed::<B>(OPERATION))?;
        Ok(Box::new(Symmetric { backend: b.clone(), matrix, mean: 1.0 }))
    }

    fn predict(
        &self,
        kernel: &Gaussian,
        others: &[f32],
        weights: &[f64],
        columns: usize,
    ) -> Result<Vec<f64>> {
        let b = &self.0;
        let _turn = turn(b);
        let d = kernel.dimensions();
        let make = || {
            let points = place(b, kernel.points())?;
            let mut outputs = Vec::with_capacity(others.len() / d * columns);
            for others in others.chunks(TESTED_AT_ONCE * d) {
                let (centred, squares) = kernel.centred(others);
                let others = place(b, (&centred, &squares))?;
                let mut values = DeviceMatrix::new(b, others.count, points.count)?;
                values.add_products(b, &others.values, &points.values, d, false)?;
                values.make_gaussian(b, &others.squares, &points.squares, kernel.gamma as f32, false)?;
                outputs.extend(values.apply(b, weights, columns)?);
            }
            Ok(outputs)
        };
        make().map_err(failed::<B>(OPERATION))
    }

    fn conv(
        &self,
        filters: &Filters,
        features: Features,
        train: &[u8],
        test: &[u8],
        say: &mut dyn FnMut(&str),
    ) -> Result<Box<dyn Products>> {
        let b = &self.0;
        let _turn = turn(b);
        let shape = filters.patches().shape;
        let image: usize = shape.iter().product();
        let (n, m) = (train.len() / image, test.len() / image);
        let at_once = FILTERS_AT_ONCE.min(filters.count()) * filters.per_filter();
        // The products and a factor; the Gaussian kernel is one more matrix, and once more the test images' values.
        let (matrices, crosses) = match features.purpose {
            Purpose::Choice => (1, 1),
            Purpose::Linear => (2, 1),
            Purpose::Gaussian => (3, 2),
        };
        let beside = |n: usize| 4 * (crosses * m * n + (n + m) * at_once) as u64 + ((n + m) * image) as u64;
        check(b, n, matrices, beside)?;
        let started = Instant::now();
        let mut said = Instant::now();
        let keep = |images: &[u8]| {
            kernels::keep(b, &Pixels::Bytes(images.to_vec()), shape).map_err(failed::<B>(OPERATION))
        };
        let (train, test) = (keep(train)?, keep(test)?);
        let mut matrix = DeviceMatrix::new(b, n, n).map_err(failed::<B>(OPERATION))?;
        let mut cross = DeviceMatrix::new(b, m, n).map_err(failed::<B>(OPERATION))?;
        let mut test_squares = vec![0.0; m];
        let size = filters.patches().size();
        for range in batches(filters.count(), FILTERS_AT_ONCE) {
            let (end, rows) = (range.end, &filters.rows()[range.start * size..range.end * size]);
            let (images, products) = ((&train, &test), (&mut matrix, &mut cross));
            let squares = add_filters(b, filters, rows, features.standardised, images, products)
                .map_err(failed::<B>(OPERATION))?;
            test_squares.iter_mut().zip(squares).for_each(|(to, own)| *to += own);
            interrupt::check("sum the kernel matrix over filters")?;
            if said.elapsed().as_secs() >= 10 {
                said = Instant::now();
                let left = started.elapsed().as_secs_f64() * (filters.count() - end) as f64 / end as f64;
                say(&format!("{end} of {} filters, {left:.0} s left", filters.count()));
            }
        }
        let mut finish = || {
            if features.purpose == Purpose::Linear {
                // The square of the constant feature.
                let constant = (mean(&matrix.diagonal(b)?).sqrt() as f32).powi(2);
                matrix.plus(b, constant)?;
                cross.plus(b, constant)?;
            }
            matrix.mirror(b)?;
            let diagonal = matrix.diagonal(b)?;
            let squares = [kernels::upload(b, &diagonal)?, kernels::upload(b, &test_squares)?];
            Ok((mean(&diagonal), squares))
        };
        let (mean, squares) = finish().map_err(failed::<B>(OPERATION))?;
        Ok(Box::new(Images {
            kernel: Symmetric { backend: b.clone(), matrix, mean },
            cross,
            squares,
            purpose: features.purpose,
        }))
    }
}

/// Points on the device.
fn place<B: Backend>(b: &B, (points, squares): (&[f32], &[f32])) -> std::result::Result<Points<B>, Fault<B>> {
    let (values, count) = (kernels::upload(b, points)?, squares.len());
    Ok(Points { values, squares: kernels::upload(b, squares)?, count })
}

fn mean(numbers: &[f32]) -> f64 {
    numbers.iter().map(|&v| f64::from(v)).sum::<f64>() / numbers.len() as f64
}

/// Adds the inner products of the features of some filters (`count x patch`): of training images on and below the
/// diagonal, and of test with training images. Of the latter, returns the squared lengths.
fn add_filters<B: Backend>(
    b: &B,
    filters: &Filters,
    rows: &[f32],
    standardised: bool,
    (train, test): (&DeviceImages<B>, &DeviceImages<B>),
    (matrix, cross): (&mut DeviceMatrix<B>, &mut DeviceMatrix<B>),
) -> std::result::Result<Vec<f32>, Fault<B>> {
    let patches = filters.patches();
    let count = rows.len() / patches.size();
    let rows = kernels::upload(b, rows)?;
    let bank = Bank { patches, filters: &rows, count, windows: filters.windows() };
    let d = count * filters.per_filter();
    let mut of_train: Buffer<B> = kernels::conv_features(b, train, &bank)?;
    let mut of_test = kernels::conv_features(b, test, &bank)?;
    let sums = kernels::sum_rows(b, &of_train, train.images, d)?;
    kernels::centre(b, &mut of_train, &sums, [train.images, d, train.images])?;
    kernels::centre(b, &mut of_test, &sums, [test.images, d, train.images])?;
    if standardised {
        let moments = kernels::moments(b, &of_train, [train.images, d])?;
        kernels::standardise(b, &mut of_train, (&sums, &moments), [train.images, d, train.images])?;
        kernels::standardise(b, &mut of_test, (&sums, &moments), [test.images, d, train.images])?;
    }
    matrix.add_products(b, &of_train, &of_train, d, true)?;
    cross.add_products(b, &of_test, &of_train, d, false)?;
    let mut squares = b.download(&kernels::squared_lengths(b, &of_test, test.images, d)?)?;
    squares.truncate(test.images);
    Ok(squares)
}

/// A symmetric matrix on the device.
struct Symmetric<B: Backend> {
    backend: B,
    matrix: DeviceMatrix<B>,
    mean: f64,
}

impl<B: Backend> Kernel for Symmetric<B> {
    fn n(&self) -> usize {
        self.matrix.rows
    }

    fn mean_diagonal(&self) -> f64 {
        self.mean
    }

    fn copy(&self, ridge: f64) -> Result<Box<dyn Factor>> {
        let _turn = turn(&self.backend);
        let copy = self.matrix.raised(&self.backend, ridge as f32).map_err(failed::<B>(OPERATION))?;
        Ok(Box::new(Factorised { backend: self.backend.clone(), matrix: copy }))
    }

    fn apply(&self, x: &[f64], columns: usize) -> Result<Vec<f64>> {
        let _turn = turn(&self.backend);
        self.matrix.apply(&self.backend, x, columns).map_err(failed::<B>(OPERATION))
    }
}

struct Factorised<B: Backend> {
    backend: B,
    matrix: DeviceMatrix<B>,
}

impl<B: Backend> Factor for Factorised<B> {
    fn factorise(&mut self, after: &mut dyn FnMut(f64)) -> Result<std::result::Result<(), NotPositive>> {
        let _turn = turn(&self.backend);
        // SAFETY: the matrix has as many columns as rows, and memory for them.
        let row = unsafe { self.backend.cholesky(self.matrix.rows, B::address(&self.matrix.values)) }?;
        after(1.0);
        Ok(row.map_or(Ok(()), |row| Err(NotPositive { row })))
    }

    fn solve(&self, b: &[f64], columns: usize) -> Result<Vec<f64>> {
        let (backend, n) = (&self.backend, self.matrix.rows);
        if b.len() != n * columns {
            return Err(Error::argument(OPERATION, format!("{} numbers for {n} x {columns}", b.len())));
        }
        let _turn = turn(backend);
        let column = |c: usize| b.iter().skip(c).step_by(columns).map(|&v| v as f32);
        let by_columns: Vec<f32> = (0..columns).flat_map(column).collect();
        let placed = kernels::upload(backend, &by_columns).map_err(failed::<B>(OPERATION))?;
        let (factor, to) = (B::address(&self.matrix.values), B::address(&placed));
        // SAFETY: a factor of `n` rows, and a buffer of `n * columns` numbers.
        unsafe { backend.cholesky_solve(n, factor, columns, to) }?;
        let solved = backend.download(&placed).map_err(failed::<B>(OPERATION))?;
        let mut rows = vec![0.0; b.len()];
        for (c, column) in solved.chunks_exact(n).take(columns).enumerate() {
            for (to, v) in rows.iter_mut().skip(c).step_by(columns).zip(column) {
                *to = f64::from(*v);
            }
        }
        Ok(rows)
    }
}

/// The conv-net's inner products on the device.
struct Images<B: Backend> {
    kernel: Symmetric<B>,
    /// Of test images (rows) with training images.
    cross: DeviceMatrix<B>,
    /// Squared lengths of the features, of training and of test images.
    squares: [Buffer<B>; 2],
    purpose: Purpose,
}

impl<B: Backend> Products for Images<B> {
    fn kernel(&self) -> &dyn Kernel {
        &self.kernel
    }

    fn leading(&self, n: usize) -> Result<Triangle> {
        let b = &self.kernel.backend;
        let _turn = turn(b);
        let columns = self.kernel.matrix.leading(b, n).map_err(failed::<B>(OPERATION))?;
        Ok(Triangle::from_columns(&columns, n))
    }

    fn predict(&self, weights: &[f64], columns: usize) -> Result<Vec<f64>> {
        let b = &self.kernel.backend;
        let _turn = turn(b);
        self.cross.apply(b, weights, columns).map_err(failed::<B>(OPERATION))
    }

    fn gaussian(&self, gamma: f64) -> Result<Box<dyn Kernel + '_>> {
        let b = &self.kernel.backend;
        let _turn = turn(b);
        assert_ne!(self.purpose, Purpose::Linear, "features for the Gaussian kernel");
        let [squares, _] = &self.squares;
        let make = || {
            let mut matrix = self.kernel.matrix.raised(b, 0.0)?;
            matrix.make_gaussian(b, squares, squares, gamma as f32, true)?;
            matrix.mirror(b)?;
            Ok(matrix)
        };
        let matrix = make().map_err(failed::<B>(OPERATION))?;
        Ok(Box::new(Symmetric { backend: b.clone(), matrix, mean: 1.0 }))
    }

    fn predict_gaussian(&self, weights: &[f64], columns: usize, gamma: f64) -> Result<Vec<f64>> {
        let b = &self.kernel.backend;
        let _turn = turn(b);
        let [train, test] = &self.squares;
        let make = || {
            let mut values = self.cross.raised(b, 0.0)?;
            values.make_gaussian(b, test, train, gamma as f32, false)?;
            values.apply(b, weights, columns)
        };
        make().map_err(failed::<B>(OPERATION))
    }
}
