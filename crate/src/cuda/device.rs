//! A GPU: dfdx's `Cuda` for memory, cuBLAS for products, this project's kernels compiled for the card by NVRTC.

use super::{Backend, Buffer, Done, Fault, Sgemm, kernels, libraries};
use crate::{Error, Result};
use cudarc::cublas::{self, CudaBlas};
use cudarc::driver::sys::CUdevice_attribute_enum as Attribute;
use cudarc::driver::{CudaDevice, DevicePtr, DeviceRepr, LaunchAsync, LaunchConfig, result, sys};
use cudarc::nvrtc::{self, CompileError, CompileOptions};
use dfdx::prelude::{Cache, Cuda, CudaError, Storage};
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

/// The name under which the kernels are loaded.
const MODULE: &str = "rethink";
/// Threads of a block.
const BLOCK: u32 = 256;

/// A card that has been opened.
#[derive(Clone)]
pub struct Gpu {
    store: Cuda,
    device: Arc<CudaDevice>,
    blas: Arc<CudaBlas>,
    name: String,
}

/// Where an argument lies.
struct Argument(*mut c_void);

// SAFETY: what the driver is given is the pointer.
unsafe impl DeviceRepr for Argument {
    fn as_kernel_param(&self) -> *mut c_void {
        self.0
    }
}

impl Gpu {
    /// The card number `card`, whose matrix products may round their factors to TensorFloat-32 with `tf32`. Opened once.
    ///
    /// Errors: [`Error::Missing`] without a driver or its libraries; [`Error::Argument`] for a card that is not there;
    /// [`Error::Tensor`] for what the driver says.
    pub fn open(card: usize, tf32: bool) -> Result<Gpu> {
        static OPEN: Mutex<Option<HashMap<(usize, bool), Gpu>>> = Mutex::new(None);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let open = open.get_or_insert_default();
        if let Some(gpu) = open.get(&(card, tf32)) {
            return Ok(gpu.clone());
        }
        let gpu = Gpu::start(card, tf32)?;
        open.insert((card, tf32), gpu.clone());
        Ok(gpu)
    }

    fn start(card: usize, tf32: bool) -> Result<Gpu> {
        let operation = "open the GPU";
        libraries::load()?;
        result::init().map_err(|e| Error::Missing {
            what: format!("no GPU: the driver says {e:?}"),
            remedy: "`nvidia-smi` lists the cards that a driver has".into(),
        })?;
        let count = result::device::get_count().map_err(Error::tensor(operation))?;
        if card >= usize::try_from(count).unwrap_or(0) {
            return Err(Error::argument(operation, format!("card {card} of {count}, counted from 0")));
        }
        // dfdx's generator is not used: the models draw from seeds of their own.
        let store = Cuda::try_build(card, 0).map_err(Error::tensor(operation))?;
        store.try_enable_cache().map_err(Error::tensor(operation))?;
        let device = Storage::<f32>::try_alloc_len(&store, 1).map_err(Error::tensor(operation))?.device();
        let of_card = |attribute| device.attribute(attribute).map_err(Error::tensor(operation));
        let major = of_card(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = of_card(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        // The options take a text that lives for ever; there is one a card.
        let arch: &'static str = Box::leak(format!("compute_{major}{minor}").into_boxed_str());
        let options = CompileOptions { arch: Some(arch), ..CompileOptions::default() };
        let ptx = nvrtc::compile_ptx_with_opts(kernels::SOURCE, options).map_err(|e| match e {
            CompileError::CompileError { log, .. } => {
                Error::Tensor { operation, problem: format!("NVRTC, for {arch}: {}", log.to_string_lossy()) }
            }
            other => Error::tensor(operation)(other),
        })?;
        device.load_ptx(ptx, MODULE, &kernels::NAMES).map_err(Error::tensor(operation))?;
        let blas = CudaBlas::new(device.clone()).map_err(Error::tensor(operation))?;
        if tf32 {
            let mode = cublas::sys::cublasMath_t::CUBLAS_TF32_TENSOR_OP_MATH;
            // SAFETY: the handle has just been made.
            unsafe { cublas::sys::cublasSetMathMode(*blas.handle(), mode).result() }
                .map_err(Error::tensor(operation))?;
        }
        let cu_device = result::device::get(card as i32).map_err(Error::tensor(operation))?;
        let mut name = [0u8; 128];
        // SAFETY: the driver writes at most as many bytes as it is told there are, the last one a zero.
        unsafe { sys::cuDeviceGetName(name.as_mut_ptr().cast(), name.len() as i32, cu_device).result() }
            .map_err(Error::tensor(operation))?;
        let name = name.split(|byte| *byte == 0).next().map(String::from_utf8_lossy).unwrap_or_default();
        let arithmetic = if tf32 { "TensorFloat-32 products" } else { "float32" };
        let name = format!("{name}, compute capability {major}.{minor}, {arithmetic}");
        Ok(Gpu { store, device, blas: Arc::new(blas), name })
    }
}

// SAFETY: only the raw handles of stream, context and cuBLAS keep dfdx's device from being sent. They belong to the
// context, which every call binds to its thread first, and the driver and cuBLAS may be called from several threads; the
// cache is behind a lock.
unsafe impl Send for Gpu {}

// SAFETY: as for `Send`.
unsafe impl Backend for Gpu {
    type Store = Cuda;

    fn store(&self) -> &Cuda {
        &self.store
    }

    fn describe(&self) -> String {
        self.name.clone()
    }

    fn address(buffer: &Buffer<Gpu>) -> u64 {
        *buffer.device_ptr()
    }

    fn upload(&self, values: &[f32], to: &mut Buffer<Gpu>) -> Done<Gpu> {
        Ok(self.device.htod_sync_copy_into(values, to)?)
    }

    fn download(&self, from: &Buffer<Gpu>) -> std::result::Result<Vec<f32>, Fault<Gpu>> {
        Ok(self.device.dtoh_sync_copy(from)?)
    }

    unsafe fn launch(&self, kernel: &'static str, threads: u32, arguments: &mut [*mut c_void]) -> Done<Gpu> {
        let function =
            self.device.get_func(MODULE, kernel).expect("every kernel of the list has been loaded");
        let shape = LaunchConfig {
            grid_dim: (threads.div_ceil(BLOCK), 1, 1),
            block_dim: (BLOCK, 1, 1),
            shared_mem_bytes: 0,
        };
        // cudarc takes tuples: the driver reads as many as the kernel has, and the last one stands for the others.
        let argument = |i: usize| Argument(arguments[i.min(arguments.len() - 1)]);
        let [a, b, c, d, e, f, g, h, i, j, k, l] = std::array::from_fn(argument);
        assert!(arguments.len() <= 12);
        // SAFETY: the caller's; the driver copies the arguments before it returns.
        Ok(unsafe { function.launch(shape, (a, b, c, d, e, f, g, h, i, j, k, l)) }?)
    }

    unsafe fn sgemm(&self, p: &Sgemm) -> Done<Gpu> {
        use cublas::sys::cublasOperation_t::{CUBLAS_OP_N, CUBLAS_OP_T};
        let operation = |transposed| if transposed { CUBLAS_OP_T } else { CUBLAS_OP_N };
        self.device.bind_to_thread()?;
        // SAFETY: the caller's; alpha and beta are read before the call returns.
        let done = unsafe {
            cublas::result::sgemm(
                *self.blas.handle(),
                operation(p.transpose_a),
                operation(p.transpose_b),
                p.m,
                p.n,
                p.k,
                &1.0,
                p.a as *const f32,
                p.lda,
                p.b as *const f32,
                p.ldb,
                &p.beta,
                p.c as *mut f32,
                p.ldc,
            )
        };
        done.map_err(CudaError::Blas)
    }
}
