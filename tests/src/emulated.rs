//! A GPU's kernels on the processor: `kernels.cu`, compiled by the C++ compiler that is there, and BLAS's matrix product
//! and Cholesky's factor by their definitions. Everything of a network on a GPU but CUDA itself runs here.

use crate::root;
use dfdx::prelude::{Cpu, CpuError, Storage};
use rethink_nn::cuda::{Backend, Buffer, Sgemm, kernels};
use rethink_nn::ops::gemm::{Matrix, product};
use rethink_nn::precision::Precision;
use std::borrow::Cow;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

type Start = unsafe extern "C" fn(*const c_char, c_uint, *mut *mut c_void) -> c_int;

type Cholesky = unsafe extern "C" fn(usize, *mut f32) -> c_int;
type CholeskySolve = unsafe extern "C" fn(usize, *const f32, usize, *mut f32);

/// See the module.
#[derive(Clone)]
pub struct Emulated {
    store: Cpu,
    library: Arc<libloading::Library>,
}

impl Emulated {
    /// Compiles the kernels in `folder`; `None` without a C++ compiler.
    ///
    /// # Panics
    /// Where they do not compile.
    pub fn new(folder: &Path) -> Option<Emulated> {
        compiler()?;
        emulation(folder, "on_processor.cpp", "kernels.so");
        // SAFETY: the library is the one just compiled; nothing runs when it is loaded.
        let library = unsafe { libloading::Library::new(folder.join("kernels.so")) }.unwrap();
        Some(Emulated { store: Cpu::default(), library: Arc::new(library) })
    }
}

/// The C++ compiler that is there.
pub fn compiler() -> Option<&'static str> {
    let there = |name: &&str| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    ["c++", "g++", "clang++"].into_iter().find(there)
}

/// Compiles the kernels with `source`, a file of tests/cuda, to the shared library `name` in `folder`.
///
/// # Panics
/// Where they do not compile without a warning.
pub fn emulation(folder: &Path, source: &str, name: &str) {
    let compiler = compiler().expect("a C++ compiler");
    std::fs::write(folder.join("kernels.cu"), kernels::SOURCE).unwrap();
    let output = Command::new(compiler)
        .args([
            "-std=c++17",
            "-O3",
            "-march=native",
            "-Wall",
            "-shared",
            "-fPIC",
            "-fvisibility=hidden",
            "-I",
        ])
        .arg(folder)
        .arg("-o")
        .arg(folder.join(name))
        .arg(root().join("tests/cuda").join(source))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{compiler}: {said}");
}

// SAFETY: the store's memory is the processor's, and the kernels keep nothing.
unsafe impl Backend for Emulated {
    type Store = Cpu;

    fn store(&self) -> &Cpu {
        &self.store
    }

    fn turn(&self) -> &'static Mutex<()> {
        static TURN: Mutex<()> = Mutex::new(());
        &TURN
    }

    fn finish(&self) {}

    /// Full of NaNs: a number that is read before it is written is seen.
    fn alloc(&self, length: usize) -> Result<Buffer<Emulated>, CpuError> {
        let mut buffer = Storage::<f32>::try_alloc_len(&self.store, length)?;
        buffer.fill(f32::NAN);
        Ok(buffer)
    }

    fn address(buffer: &Buffer<Emulated>) -> u64 {
        buffer.as_ptr() as u64
    }

    fn upload(&self, values: &[f32], to: &mut Buffer<Emulated>) -> Result<(), CpuError> {
        to.copy_from_slice(values);
        Ok(())
    }

    fn download(&self, from: &Buffer<Emulated>) -> Result<Vec<f32>, CpuError> {
        Ok(from.to_vec())
    }

    unsafe fn launch(
        &self,
        kernel: &'static str,
        threads: u32,
        arguments: &mut [*mut c_void],
    ) -> Result<(), CpuError> {
        let name = CString::new(kernel).unwrap();
        // SAFETY: the function has this type; the arguments are the caller's to answer for.
        let found = unsafe {
            let start: libloading::Symbol<Start> = self.library.get(b"start").unwrap();
            start(name.as_ptr(), threads, arguments.as_mut_ptr())
        };
        assert_eq!(found, 1, "there is no kernel {kernel}");
        Ok(())
    }

    unsafe fn sgemm(&self, p: &Sgemm) -> Result<(), CpuError> {
        for number in 0..p.batch {
            let bytes = if p.precision.is_float32() { 4 } else { 2 };
            let at = |first: u64, bytes: i64, apart: i64| {
                first.wrapping_add_signed(bytes * apart * i64::from(number))
            };
            let ([a, b, c], Sgemm { a: first_a, b: first_b, c: first_c, .. }) = (p.apart, *p);
            let one =
                Sgemm { a: at(first_a, bytes, a), b: at(first_b, bytes, b), c: at(first_c, 4, c), ..*p };
            // SAFETY: the caller's.
            unsafe { sgemm(&one) };
        }
        Ok(())
    }

    fn free_memory(&self) -> Option<u64> {
        None
    }

    unsafe fn cholesky(&self, n: usize, matrix: u64) -> rethink_nn::Result<Option<usize>> {
        // SAFETY: the function has this type; the matrix is the caller's to answer for.
        let row = unsafe {
            let cholesky: libloading::Symbol<Cholesky> = self.library.get(b"cholesky").unwrap();
            cholesky(n, matrix as *mut f32)
        };
        Ok(usize::try_from(row).unwrap().checked_sub(1))
    }

    unsafe fn cholesky_solve(&self, n: usize, factor: u64, columns: usize, b: u64) -> rethink_nn::Result<()> {
        // SAFETY: as above.
        unsafe {
            let solve: libloading::Symbol<CholeskySolve> = self.library.get(b"cholesky_solve").unwrap();
            solve(n, factor as *const f32, columns, b as *mut f32);
        }
        Ok(())
    }
}

/// A factor's numbers.
///
/// # Safety
/// The address is of so many.
unsafe fn numbers<'a>(address: u64, length: usize, precision: Precision) -> Cow<'a, [f32]> {
    // SAFETY: the caller's.
    unsafe {
        match precision {
            Precision::Float32 => Cow::Borrowed(std::slice::from_raw_parts(address as *const f32, length)),
            Precision::Bf16 => {
                let halves = std::slice::from_raw_parts(address as *const u16, length);
                Cow::Owned(halves.iter().map(|&half| f32::from_bits(u32::from(half) << 16)).collect())
            }
        }
    }
}

/// One product of BLAS's.
///
/// # Safety
/// The addresses are of as many numbers as the sizes say.
unsafe fn sgemm(p: &Sgemm) {
    let size = |v: i32| usize::try_from(v).unwrap();
    let (m, n, k) = (size(p.m), size(p.n), size(p.k));
    // A column-major matrix of some rows, a leading dimension apart, is a row-major one of as many columns.
    let sizes = |transposed: bool, rows: usize, columns: usize| {
        if transposed { (rows, columns) } else { (columns, rows) }
    };
    let (a_sizes, b_sizes) = (sizes(p.transpose_a, m, k), sizes(p.transpose_b, k, n));
    let data = |address: u64, (columns_there, rows_there): (usize, usize), stride: i32| {
        let length = (columns_there - 1) * size(stride) + rows_there;
        // SAFETY: the caller's: the address is of as many numbers as the sizes say.
        unsafe { numbers(address, length, p.precision) }
    };
    let (a_data, b_data) = (data(p.a, a_sizes, p.lda), data(p.b, b_sizes, p.ldb));
    fn factor(data: &[f32], (rows, columns): (usize, usize), stride: usize, transposed: bool) -> Matrix<'_> {
        let there = Matrix::strided(data, rows, columns, stride);
        // op(X)', as the product is transposed as a whole.
        if transposed { there.t() } else { there }
    }
    let a = factor(&a_data, a_sizes, size(p.lda), p.transpose_a);
    let b = factor(&b_data, b_sizes, size(p.ldb), p.transpose_b);
    assert!(p.ldc >= p.m && (p.beta == 0.0 || p.beta == 1.0));
    let stride = size(p.ldc);
    // SAFETY: as above; nothing else holds the result.
    let c = unsafe { std::slice::from_raw_parts_mut(p.c as *mut f32, (n - 1) * stride + m) };
    let mut close = vec![0.0; m * n];
    product(&mut close, b, a, false);
    for (to, from) in c.chunks_mut(stride).zip(close.chunks_exact(m)) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = if p.beta == 1.0 { *to + from } else { *from };
        }
    }
}
