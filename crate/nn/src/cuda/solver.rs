//! cuSOLVER's Cholesky factorisation, of which cudarc has nothing. Found when it is first needed.

use crate::cuda::libraries;
use crate::{Error, Result};
use cudarc::driver::{CudaDevice, CudaSlice, DevicePtrMut};
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::Arc;

const OPERATION: &str = "cuSOLVER";
/// `CUBLAS_FILL_MODE_LOWER`.
const LOWER: c_int = 0;
/// `CUDA_R_32F`.
const SINGLE: c_int = 0;

/// cuSOLVER's handle.
type Handle = *mut c_void;
/// 0: done.
type Status = c_int;

// As cusolverDn.h (CUDA 11.1 to 13) declares them.
type Create = unsafe extern "C" fn(*mut Handle) -> Status;
type SetStream = unsafe extern "C" fn(Handle, *mut c_void) -> Status;
type Size = unsafe extern "C" fn(
    Handle,
    *mut c_void,
    c_int,
    i64,
    c_int,
    *const c_void,
    i64,
    c_int,
    *mut usize,
    *mut usize,
) -> Status;
type Factorise = unsafe extern "C" fn(
    Handle,
    *mut c_void,
    c_int,
    i64,
    c_int,
    *mut c_void,
    i64,
    c_int,
    *mut c_void,
    usize,
    *mut c_void,
    usize,
    *mut c_int,
) -> Status;
type Solve = unsafe extern "C" fn(
    Handle,
    *mut c_void,
    c_int,
    i64,
    i64,
    c_int,
    *const c_void,
    i64,
    c_int,
    *mut c_void,
    i64,
    *mut c_int,
) -> Status;

/// cuSOLVER on a card. It stays open until the program ends.
pub(super) struct Solver {
    handle: Handle,
    /// What the functions call `params`: their defaults.
    defaults: *mut c_void,
    size: Size,
    factorise: Factorise,
    solve: Solve,
}

// SAFETY: cuSOLVER may be called from any thread, from one at a time: callers have the backend's turn.
unsafe impl Send for Solver {}
// SAFETY: as above.
unsafe impl Sync for Solver {}

fn done(status: Status, what: &str) -> Result<()> {
    match status {
        0 => Ok(()),
        status => Err(Error::Tensor { operation: OPERATION, problem: format!("{what}: status {status}") }),
    }
}

impl Solver {
    /// Opens it for `device`, to work in `queue`.
    ///
    /// Errors: [`Error::Missing`] without the library; [`Error::Tensor`] for what it says.
    pub fn open(device: &CudaDevice, queue: *mut c_void) -> Result<Solver> {
        let what = "cuSOLVER";
        let remedy =
            "it comes with the CUDA toolkit and with PyTorch; RETHINK_CUDA_LIBRARIES names its folder";
        let files = ["libcusolver.so.12", "libcusolver.so.11", "cusolver64_12.dll", "cusolver64_11.dll"];
        let beside = ["libnvJitLink.so.", "libcublasLt.so.", "libcublas.so.", "libcusparse.so."];
        let library = libraries::open(what, remedy, &files, &beside)?;
        let absent = |e: libloading::Error| libraries::missing(what, remedy, &e.to_string());
        // SAFETY: the functions have these types.
        let (create, defaults_of, set_stream, size, factorise, solve) = unsafe {
            (
                *library.get::<Create>(b"cusolverDnCreate\0").map_err(absent)?,
                *library.get::<Create>(b"cusolverDnCreateParams\0").map_err(absent)?,
                *library.get::<SetStream>(b"cusolverDnSetStream\0").map_err(absent)?,
                *library.get::<Size>(b"cusolverDnXpotrf_bufferSize\0").map_err(absent)?,
                *library.get::<Factorise>(b"cusolverDnXpotrf\0").map_err(absent)?,
                *library.get::<Solve>(b"cusolverDnXpotrs\0").map_err(absent)?,
            )
        };
        // The functions are there as long as it is loaded.
        std::mem::forget(library);
        device.bind_to_thread().map_err(Error::tensor(OPERATION))?;
        let (mut handle, mut defaults) = (null_mut(), null_mut());
        // SAFETY: both write one pointer; the device's context is current, and the queue is one of it.
        unsafe {
            done(create(&mut handle), "cusolverDnCreate")?;
            done(defaults_of(&mut defaults), "cusolverDnCreateParams")?;
            done(set_stream(handle, queue), "cusolverDnSetStream")?;
        }
        Ok(Solver { handle, defaults, size, factorise, solve })
    }

    /// [`crate::cuda::Backend::cholesky`].
    ///
    /// # Safety
    /// As there.
    pub unsafe fn cholesky(&self, device: &Arc<CudaDevice>, n: usize, matrix: u64) -> Result<Option<usize>> {
        let driver = || Error::tensor(OPERATION);
        device.bind_to_thread().map_err(driver())?;
        let (rows, matrix) = (n as i64, matrix as *mut c_void);
        let (mut on_device, mut on_host) = (0, 0);
        // SAFETY: the caller's; both sizes are written.
        let status = unsafe {
            (self.size)(
                self.handle,
                self.defaults,
                LOWER,
                rows,
                SINGLE,
                matrix,
                rows,
                SINGLE,
                &mut on_device,
                &mut on_host,
            )
        };
        done(status, "cusolverDnXpotrf_bufferSize")?;
        let mut work = device.alloc_zeros::<u8>(on_device.max(1)).map_err(driver())?;
        let mut work_here = vec![0u8; on_host];
        let mut row = device.alloc_zeros::<c_int>(1).map_err(driver())?;
        // SAFETY: the caller's; the memory to work in has the sizes asked for, and lives until the row has been copied,
        // which waits for the work.
        let status = unsafe {
            (self.factorise)(
                self.handle,
                self.defaults,
                LOWER,
                rows,
                SINGLE,
                matrix,
                rows,
                SINGLE,
                *work.device_ptr_mut() as *mut c_void,
                on_device,
                if on_host == 0 { null_mut() } else { work_here.as_mut_ptr().cast() },
                on_host,
                *row.device_ptr_mut() as *mut c_int,
            )
        };
        done(status, "cusolverDnXpotrf")?;
        match told(device, &row, "cusolverDnXpotrf")? {
            0 => Ok(None),
            // Counted from 1: of the leading part that is not positive definite.
            row => Ok(Some(row - 1)),
        }
    }

    /// [`crate::cuda::Backend::cholesky_solve`].
    ///
    /// # Safety
    /// As there.
    pub unsafe fn solve(
        &self,
        device: &Arc<CudaDevice>,
        (n, factor): (usize, u64),
        (columns, b): (usize, u64),
    ) -> Result<()> {
        let driver = || Error::tensor(OPERATION);
        device.bind_to_thread().map_err(driver())?;
        let rows = n as i64;
        let mut wrong = device.alloc_zeros::<c_int>(1).map_err(driver())?;
        // SAFETY: the caller's.
        let status = unsafe {
            (self.solve)(
                self.handle,
                self.defaults,
                LOWER,
                rows,
                columns as i64,
                SINGLE,
                factor as *const c_void,
                rows,
                SINGLE,
                b as *mut c_void,
                rows,
                *wrong.device_ptr_mut() as *mut c_int,
            )
        };
        done(status, "cusolverDnXpotrs")?;
        told(device, &wrong, "cusolverDnXpotrs").map(drop)
    }
}

/// What a function has said of its arguments, at the end of its work: 0, or a row.
fn told(device: &Arc<CudaDevice>, number: &CudaSlice<c_int>, what: &str) -> Result<usize> {
    let number = device.dtoh_sync_copy(number).map_err(Error::tensor(OPERATION))?[0];
    usize::try_from(number).map_err(|_| Error::Tensor {
        operation: OPERATION,
        problem: format!("{what}: argument {} is wrong", -number),
    })
}
