//! Networks and kernel equations on a GPU: dfdx's buffers hold the memory, its tape the gradients; the layers'
//! operations are this project's own ([`kernels`]), its matrix products cuBLAS's.
//!
//! Everything here but `device` is written against [`Backend`], the few things that a device must be able to do, and
//! is part of every build: the tests run the same code, kernels included, on the processor. The feature `cuda` adds the
//! device itself.
//!
//! dfdx gives no way from a tensor to the memory behind it, but its [`Gradients`] hand out theirs. So values between
//! layers are such memory ([`Buffer`]), and a tensor of no numbers (`Key`) names each on the tape.

mod conv;
mod dense;
#[cfg(feature = "cuda")]
pub mod device;
pub mod kernels;
#[cfg(feature = "cuda")]
mod libraries;
mod network;
mod ops;
#[cfg(feature = "cuda")]
mod solver;
mod weight;

use crate::precision::Precision;
pub use conv::Way;
pub use dense::dense;
use dfdx::prelude::{Gradients, HasErr, Storage, Tensor};
pub use network::place;
use std::ffi::c_void;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whether every thread has a queue of work on a GPU, or all threads share one.
pub(crate) const QUEUE_A_THREAD: bool =
    cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")));

/// Memory of a device: dfdx's, which goes back to the device when it is dropped.
pub type Buffer<B> = <<B as Backend>::Store as Storage<f32>>::Vec;
/// What a device says when it fails.
pub type Fault<B> = <<B as Backend>::Store as HasErr>::Err;
/// Whether something could be done.
pub type Done<B> = std::result::Result<(), Fault<B>>;
/// The name of a value on the tape.
type Key<B> = Tensor<(usize,), f32, <B as Backend>::Store>;
/// The gradients of a pass, by [`Key`].
type Grads<B> = Gradients<f32, <B as Backend>::Store>;

/// What a device must be able to do.
///
/// # Safety
/// Backend, store and buffers may be used from every thread, and from several at once where each waits for its
/// [`Backend::turn`] and lets its work [finish](Backend::finish) in it; buffers may be dropped by any thread then.
pub unsafe trait Backend: Clone + 'static {
    /// dfdx's device: memory and tape.
    type Store: dfdx::tensor_ops::Device<f32>;

    /// dfdx's device.
    fn store(&self) -> &Self::Store;

    /// Held by whoever works with this one and its clones.
    fn turn(&self) -> &'static Mutex<()>;

    /// Waits for what this thread has begun on the device.
    fn finish(&self);

    /// New memory of so many numbers, at least one: what is in it is nobody's. (dfdx's own way fills it with zeros, which takes as
    /// long as many a kernel.)
    ///
    /// Errors: the device's.
    fn alloc(&self, length: usize) -> std::result::Result<Buffer<Self>, Fault<Self>>;

    /// Where a buffer begins on the device.
    fn address(buffer: &Buffer<Self>) -> u64;

    /// Copies numbers to the device.
    ///
    /// Errors: the device's. `to` has the length of `values`.
    fn upload(&self, values: &[f32], to: &mut Buffer<Self>) -> Done<Self>;

    /// Copies numbers from the device, after all that this thread has begun.
    ///
    /// Errors: the device's.
    fn download(&self, from: &Buffer<Self>) -> std::result::Result<Vec<f32>, Fault<Self>>;

    /// Begins `threads` threads of a function of `kernels.cu`.
    ///
    /// Errors: the device's.
    ///
    /// # Safety
    /// `arguments` point to values of the types that the function has, the number of threads first; addresses among
    /// them are of memory on the device, of the lengths that the function reads and writes.
    unsafe fn launch(&self, kernel: &'static str, threads: u32, arguments: &mut [*mut c_void]) -> Done<Self>;

    /// Begins matrix products.
    ///
    /// Errors: the device's.
    ///
    /// # Safety
    /// The addresses are of memory on the device, as long as the sizes say.
    unsafe fn sgemm(&self, product: &Sgemm) -> Done<Self>;

    /// Free memory, bytes, when this thread's work is done; `None` where that is not known. What other threads have given back and still
    /// work on is not counted.
    fn free_memory(&self) -> Option<u64>;

    /// Cholesky of a symmetric matrix of `n` rows of single precision, of whose lower triangle (column-major) the factor's
    /// is made; the row that is not positive, where there is one.
    ///
    /// Errors: [`crate::Error::Missing`] where there is nothing that can, [`crate::Error::Tensor`] for what the device
    /// says.
    ///
    /// # Safety
    /// `matrix` is of `n * n` numbers on the device.
    unsafe fn cholesky(&self, n: usize, matrix: u64) -> crate::Result<Option<usize>>;

    /// The inverse of the matrix whose factor [`Backend::cholesky`] has made, times `columns` columns of `n` numbers, in
    /// place.
    ///
    /// Errors: as for [`Backend::cholesky`].
    ///
    /// # Safety
    /// `factor` is of `n * n` numbers on the device, `b` of `n * columns`.
    unsafe fn cholesky_solve(&self, n: usize, factor: u64, columns: usize, b: u64) -> crate::Result<()>;
}

/// `c = op(a) op(b) + beta c`, column-major, once or several times: the arguments of BLAS's `sgemm`, with alpha 1.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "they are named as in BLAS")]
pub struct Sgemm {
    pub transpose_a: bool,
    pub transpose_b: bool,
    pub m: i32,
    pub n: i32,
    pub k: i32,
    pub a: u64,
    pub lda: i32,
    pub b: u64,
    pub ldb: i32,
    pub beta: f32,
    pub c: u64,
    pub ldc: i32,
    /// So many of them.
    pub batch: i32,
    /// Numbers from one `a`, `b` and `c` to the next.
    pub apart: [i64; 3],
    /// Of `a` and `b`; `c`, and all sums, are of single precision.
    pub precision: Precision,
}

/// For `map_err`: what a device says when `operation` fails.
fn failed<B: Backend>(operation: &'static str) -> impl FnOnce(Fault<B>) -> crate::Error {
    crate::Error::tensor(operation)
}

/// While it is there nobody else works with the same [`Backend`]; at its end all work is done, so that the next turn may be
/// another thread's.
struct Turn<B: Backend> {
    backend: B,
    _held: MutexGuard<'static, ()>,
}

impl<B: Backend> Drop for Turn<B> {
    fn drop(&mut self) {
        self.backend.finish();
    }
}

/// Waits until nobody else works with the backend.
fn turn<B: Backend>(backend: &B) -> Turn<B> {
    let held = backend.turn().lock().unwrap_or_else(PoisonError::into_inner);
    Turn { backend: backend.clone(), _held: held }
}
