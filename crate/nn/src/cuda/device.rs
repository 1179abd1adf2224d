//! A GPU: the driver's pool for memory, in dfdx's buffers, cuBLAS for products, this project's kernels compiled for the card by NVRTC.

use crate::cuda::libraries::QUEUE;
use crate::cuda::solver::Solver;
use crate::cuda::{Backend, Buffer, Done, Fault, Sgemm, kernels, libraries};
use crate::precision::Precision;
use crate::{Error, Result};
use cudarc::cublas::{self, CudaBlas};
use cudarc::driver::sys::CUdevice_attribute_enum as Attribute;
use cudarc::driver::{CudaDevice, DevicePtr, DeviceRepr, LaunchAsync, LaunchConfig, result, sys};
use cudarc::nvrtc::{self, CompileError, CompileOptions};
use dfdx::prelude::{Cuda, CudaError, Storage};
use std::ffi::c_void;
use std::ptr::{from_mut, from_ref, null_mut};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The name under which the kernels are loaded.
const MODULE: &str = "rethink";
/// Threads of a block.
const BLOCK: u32 = 256;

/// A card that has been opened, and libraries of its own that work on it.
#[derive(Clone)]
pub struct Gpu {
    card: Arc<Card>,
    handles: Arc<LibraryHandles>,
}

/// cuBLAS and cuSOLVER: each has memory to work in, so that who works at the same time needs another one.
struct LibraryHandles {
    blas: CudaBlas,
    solver: OnceLock<Solver>,
    turn: &'static Mutex<()>,
}

/// What all work on a card shares.
struct Card {
    store: Cuda,
    device: Arc<CudaDevice>,
    memory: Pool,
    name: String,
}

/// A card, and the handles of all backends that there have been on it.
struct Opened {
    number: usize,
    card: Arc<Card>,
    handles: Vec<Arc<LibraryHandles>>,
}

/// Does something with the card number `number`, which is opened once.
///
/// Errors: those of [`Gpu::open`], and `work`'s.
fn opened<T>(number: usize, work: impl FnOnce(&mut Opened) -> Result<T>) -> Result<T> {
    static CARDS: Mutex<Vec<Opened>> = Mutex::new(Vec::new());
    let mut cards = CARDS.lock().unwrap_or_else(PoisonError::into_inner);
    let place = match cards.iter().position(|opened| opened.number == number) {
        Some(place) => place,
        None => {
            cards.push(Opened { number, card: Arc::new(Card::open(number)?), handles: Vec::new() });
            cards.len() - 1
        }
    };
    work(&mut cards[place])
}

/// The name of the card number `card`, and its compute capability.
///
/// Errors: those of [`Gpu::open`].
pub fn name(card: usize) -> Result<String> {
    opened(card, |opened| Ok(opened.card.name.clone()))
}

/// [`Backend::free_memory`] of the card number `card`.
///
/// Errors: those of [`Gpu::open`].
pub fn free_memory(card: usize) -> Result<Option<u64>> {
    opened(card, |opened| Ok(opened.card.free_memory()))
}

/// The driver's pool, out of which memory is given in the order of the work.
#[derive(Clone, Copy)]
struct Pool(sys::CUmemoryPool);

// SAFETY: the driver's functions on it may be called from any thread.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    /// A card's, which from now on keeps what is given back: to ask the system for memory again takes longer than a kernel.
    fn keeping(card: sys::CUdevice) -> Result<Pool> {
        let (mut pool, mut kept) = (null_mut(), u64::MAX);
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        // SAFETY: the card is one that the driver has named; it writes a pool, and reads a number of 64 bits.
        unsafe {
            sys::cuDeviceGetDefaultMemPool(&raw mut pool, card).result().map_err(Error::tensor(OPENING))?;
            sys::cuMemPoolSetAttribute(pool, attribute, from_mut(&mut kept).cast())
                .result()
                .map_err(Error::tensor(OPENING))?;
        }
        Ok(Pool(pool))
    }

    /// Gives to the system what nobody has.
    fn release(self) {
        // SAFETY: the pool is the driver's. What it says does not matter: it keeps what it cannot give.
        unsafe { sys::cuMemPoolTrimTo(self.0, 0) };
    }
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
    /// The card number `card`, whose matrix products may round their factors to TensorFloat-32 with `tf32`, for one network or equation: the
    /// next call's works at the same time as long as this one is there. A card is opened once.
    ///
    /// Errors: [`Error::Missing`] without a driver or its libraries, or with some that do not fit each other;
    /// [`Error::Argument`] for a card that is not there; [`Error::Tensor`] for what the driver says.
    pub fn open(card: usize, tf32: bool) -> Result<Gpu> {
        opened(card, |Opened { card, handles, .. }| {
            let handles = match handles.iter().find(|unused| Arc::strong_count(unused) == 1) {
                Some(free) => free.clone(),
                None => {
                    handles.push(Arc::new(LibraryHandles::open(&card.device)?));
                    handles[handles.len() - 1].clone()
                }
            };
            handles.multiply(tf32)?;
            Ok(Gpu { card: card.clone(), handles })
        })
    }
}

const OPENING: &str = "open the GPU";

impl Card {
    fn open(card: usize) -> Result<Card> {
        libraries::load()?;
        result::init().map_err(|e| Error::Missing {
            what: format!("no GPU: the driver says {e:?}"),
            remedy: "`nvidia-smi` lists the cards that a driver has".into(),
        })?;
        let count = result::device::get_count().map_err(Error::tensor(OPENING))?;
        if card >= usize::try_from(count).unwrap_or(0) {
            return Err(Error::argument(OPENING, format!("card {card} of {count}, counted from 0")));
        }
        let cu_device = result::device::get(card as i32).map_err(Error::tensor(OPENING))?;
        let pools = Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED;
        // SAFETY: the device is one that the driver has named.
        let pools =
            unsafe { result::device::get_attribute(cu_device, pools) }.map_err(Error::tensor(OPENING))?;
        if pools == 0 {
            // dfdx asks for memory of no bytes, which is an error without them.
            return Err(Error::Missing {
                what: format!("card {card} has no memory pools, which dfdx needs"),
                remedy: "use a card and a driver that have some (`cudaMallocAsync`)".into(),
            });
        }
        // dfdx's generator is not used: the models draw from seeds of their own.
        let store = Cuda::try_build(card, 0).map_err(Error::tensor(OPENING))?;
        let memory = Pool::keeping(cu_device)?;
        let device = Storage::<f32>::try_alloc_len(&store, 1).map_err(Error::tensor(OPENING))?.device();
        let of_card = |attribute| device.attribute(attribute).map_err(Error::tensor(OPENING));
        let major = of_card(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = of_card(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        // The options take a text that lives for ever; there is one a card.
        let arch: &'static str = Box::leak(format!("compute_{major}{minor}").into_boxed_str());
        let options = CompileOptions { arch: Some(arch), ..CompileOptions::default() };
        let ptx = nvrtc::compile_ptx_with_opts(kernels::SOURCE, options).map_err(|e| match e {
            CompileError::CompileError { log, .. } => Error::Tensor {
                operation: OPENING,
                problem: format!("NVRTC, for {arch}: {}", log.to_string_lossy()),
            },
            other => Error::tensor(OPENING)(other),
        })?;
        device.load_ptx(ptx, MODULE, &kernels::NAMES).map_err(|e| match e.0 {
            sys::CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => Error::Missing {
                what: "NVRTC is newer than the driver, which does not know what it makes".into(),
                remedy: "name the folder of an older one (13.0 for driver 580) in RETHINK_CUDA_LIBRARIES"
                    .into(),
            },
            _ => Error::tensor(OPENING)(e),
        })?;
        let mut name = [0u8; 128];
        // SAFETY: the driver writes at most as many bytes as it is told there are, the last one a zero.
        unsafe { sys::cuDeviceGetName(name.as_mut_ptr().cast(), name.len() as i32, cu_device).result() }
            .map_err(Error::tensor(OPENING))?;
        let name = name.split(|byte| *byte == 0).next().map(String::from_utf8_lossy).unwrap_or_default();
        let name = format!("{name}, compute capability {major}.{minor}");
        Ok(Card { store, device, memory, name })
    }

    /// [`Backend::free_memory`].
    fn free_memory(&self) -> Option<u64> {
        self.device.synchronize().ok()?;
        self.memory.release();
        result::mem_get_info().ok().map(|(free, _)| free as u64)
    }
}

impl LibraryHandles {
    fn open(device: &Arc<CudaDevice>) -> Result<LibraryHandles> {
        let blas = CudaBlas::new(device.clone()).map_err(Error::tensor(OPENING))?;
        // SAFETY: the handle has just been made, and the queue is there as long as a thread.
        unsafe { cublas::result::set_stream(*blas.handle(), QUEUE as *mut _) }
            .map_err(Error::tensor(OPENING))?;
        Ok(LibraryHandles { blas, solver: OnceLock::new(), turn: Box::leak(Box::default()) })
    }

    /// Whether products may round their factors to TensorFloat-32 from now on.
    fn multiply(&self, tf32: bool) -> Result<()> {
        use cublas::sys::cublasMath_t::{CUBLAS_DEFAULT_MATH, CUBLAS_TF32_TENSOR_OP_MATH};
        let mode = if tf32 { CUBLAS_TF32_TENSOR_OP_MATH } else { CUBLAS_DEFAULT_MATH };
        // SAFETY: the handle is there as long as `handles`, and nobody else has it.
        unsafe { cublas::sys::cublasSetMathMode(*self.blas.handle(), mode).result() }
            .map_err(Error::tensor(OPENING))
    }

    /// cuSOLVER, opened once.
    fn solver(&self, device: &CudaDevice) -> Result<&Solver> {
        if self.solver.get().is_none() {
            // Of two that are opened at once, one stays.
            let _ = self.solver.set(Solver::open(device, QUEUE as *mut c_void)?);
        }
        Ok(self.solver.get().expect("it has just been opened"))
    }
}

// SAFETY: only the raw handles of stream, context and cuBLAS keep dfdx's device from being sent. They belong to the
// context, which every call binds to its thread first, and the driver and cuBLAS may be called from several threads.
unsafe impl Send for Card {}
// SAFETY: as above.
unsafe impl Sync for Card {}

// SAFETY: a card may be used from every thread, and `LibraryHandles` are one backend's and its clones', who wait for their turn.
unsafe impl Backend for Gpu {
    type Store = Cuda;

    fn store(&self) -> &Cuda {
        &self.card.store
    }

    fn turn(&self) -> &'static Mutex<()> {
        self.handles.turn
    }

    fn finish(&self) {
        // What has failed says so when it is read.
        let _ = self.card.device.synchronize();
    }

    fn alloc(&self, length: usize) -> std::result::Result<Buffer<Gpu>, Fault<Gpu>> {
        // dfdx's buffer cannot be made around memory: an empty one is, and gets it.
        let mut buffer = Storage::<f32>::try_alloc_len(&self.card.store, 0)?;
        // SAFETY: any bits are a number; who asks for memory without zeros writes it before it is read.
        *buffer = unsafe { self.card.device.alloc(length) }?;
        Ok(buffer)
    }

    fn address(buffer: &Buffer<Gpu>) -> u64 {
        *buffer.device_ptr()
    }

    fn upload(&self, values: &[f32], to: &mut Buffer<Gpu>) -> Done<Gpu> {
        Ok(self.card.device.htod_sync_copy_into(values, to)?)
    }

    fn download(&self, from: &Buffer<Gpu>) -> std::result::Result<Vec<f32>, Fault<Gpu>> {
        Ok(self.card.device.dtoh_sync_copy(from)?)
    }

    unsafe fn launch(&self, kernel: &'static str, threads: u32, arguments: &mut [*mut c_void]) -> Done<Gpu> {
        let function =
            self.card.device.get_func(MODULE, kernel).expect("every kernel of the list has been loaded");
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
        use cublas::sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        use cublas::sys::cublasGemmAlgo_t::CUBLAS_GEMM_DFALT;
        use cublas::sys::cublasOperation_t::{CUBLAS_OP_N, CUBLAS_OP_T};
        use cublas::sys::cudaDataType_t::{CUDA_R_16BF, CUDA_R_32F};
        let operation = |transposed| if transposed { CUBLAS_OP_T } else { CUBLAS_OP_N };
        let (handle, [a_apart, b_apart, c_apart]) = (*self.handles.blas.handle(), p.apart);
        let (op_a, op_b) = (operation(p.transpose_a), operation(p.transpose_b));
        let (a, b, c) = (p.a as *const f32, p.b as *const f32, p.c as *mut f32);
        self.card.device.bind_to_thread()?;
        // SAFETY: the caller's; alpha and beta are read before the call returns.
        let done = unsafe {
            match (p.precision, p.batch) {
                (Precision::Float32, 1) => cublas::result::sgemm(
                    handle, op_a, op_b, p.m, p.n, p.k, &1.0, a, p.lda, b, p.ldb, &p.beta, c, p.ldc,
                ),
                (Precision::Float32, _) => cublas::result::sgemm_strided_batched(
                    handle, op_a, op_b, p.m, p.n, p.k, &1.0, a, p.lda, a_apart, b, p.ldb, b_apart, &p.beta,
                    c, p.ldc, c_apart, p.batch,
                ),
                (Precision::Bf16, _) => {
                    let (one, beta) = (from_ref(&1.0f32).cast(), from_ref(&p.beta).cast());
                    cublas::result::gemm_strided_batched_ex(
                        handle,
                        op_a,
                        op_b,
                        p.m,
                        p.n,
                        p.k,
                        one,
                        a.cast(),
                        CUDA_R_16BF,
                        p.lda,
                        a_apart,
                        b.cast(),
                        CUDA_R_16BF,
                        p.ldb,
                        b_apart,
                        beta,
                        c.cast(),
                        CUDA_R_32F,
                        p.ldc,
                        c_apart,
                        p.batch,
                        CUBLAS_COMPUTE_32F,
                        CUBLAS_GEMM_DFALT,
                    )
                }
            }
        };
        done.map_err(CudaError::Blas)
    }

    fn free_memory(&self) -> Option<u64> {
        self.card.free_memory()
    }

    unsafe fn cholesky(&self, n: usize, matrix: u64) -> Result<Option<usize>> {
        // SAFETY: the caller's.
        unsafe { self.handles.solver(&self.card.device)?.cholesky(&self.card.device, n, matrix) }
    }

    unsafe fn cholesky_solve(&self, n: usize, factor: u64, columns: usize, b: u64) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { self.handles.solver(&self.card.device)?.solve(&self.card.device, (n, factor), (columns, b)) }
    }
}
