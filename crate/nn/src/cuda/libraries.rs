//! CUDA's libraries, found when a GPU is opened and not when the program starts: a program built with CUDA runs without
//! a driver, and says so where one is needed.
//!
//! cudarc declares the libraries' functions and has the linker find them. Here are functions of the same names that jump
//! to where [`load`] has found the real ones. Of the driver's functions that take a queue of work they are those for which the
//! default is a queue of the calling thread's own (`_ptsz`, `_ptds`: what a C program gets with `--default-stream per-thread`).

use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Folders to look in before the system's, separated by `:`.
const FOLDERS_VARIABLE: &str = "RETHINK_CUDA_LIBRARIES";

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod forwarded {
    use super::Result;
    use std::ffi::{CStr, c_void};
    use std::ptr::null_mut;
    use std::sync::atomic::{AtomicPtr, Ordering};

    /// A library: what it is, its file names, and its functions: their names, and where each one's address goes.
    struct Library {
        what: &'static str,
        remedy: &'static str,
        files: &'static [&'static str],
        /// How the names of libraries begin that this one loads itself, but not from a folder that the system does not
        /// know.
        beside: &'static str,
        functions: &'static [(&'static CStr, &'static AtomicPtr<c_void>, unsafe extern "C" fn())],
    }

    macro_rules! forward {
        ($(static $library:ident = $what:literal, $remedy:literal, [$($file:literal),*], $beside:literal: $($name:ident $(($own:ident))?)*;)*) => {
            #[allow(non_upper_case_globals)]
            mod addresses {
                use super::*;
                $($(pub static $name: AtomicPtr<c_void> = AtomicPtr::new(null_mut());)*)*
            }

            $($(
                /// Jumps to the library's function: arguments and return address are where the caller has put them.
                #[unsafe(naked)]
                #[unsafe(no_mangle)]
                #[allow(non_snake_case)]
                unsafe extern "C" fn $name() {
                    #[cfg(target_arch = "x86_64")]
                    core::arch::naked_asm!("jmp qword ptr [rip + {}]", sym addresses::$name);
                    #[cfg(target_arch = "aarch64")]
                    core::arch::naked_asm!("adrp x16, {0}", "ldr x16, [x16, :lo12:{0}]", "br x16", sym addresses::$name);
                }
            )*)*

            $(
                static $library: Library = Library {
                    what: $what,
                    remedy: $remedy,
                    files: &[$($file),*],
                    beside: $beside,
                    functions: &[$((
                        // A name of a function has no zero in it.
                        match CStr::from_bytes_with_nul(concat!(stringify!($name), $(stringify!($own),)? "\0").as_bytes()) {
                            Ok(name) => name,
                            Err(_) => c"",
                        },
                        &addresses::$name,
                        $name,
                    )),*],
                };
            )*
        };
    }

    // What cudarc 0.9.15 calls with the features `driver`, `cublas` and `nvrtc`, and what device.rs does.
    forward! {
        static DRIVER = "NVIDIA's driver", "install the driver of the card; `nvidia-smi` tells whether it works",
            ["libcuda.so.1"], "":
            cuCtxGetCurrent cuCtxSetCurrent cuDestroyExternalMemory cuDeviceGet cuDeviceGetAttribute cuDeviceGetCount
            cuDeviceGetDefaultMemPool cuDeviceGetName cuDevicePrimaryCtxRelease_v2 cuDevicePrimaryCtxRetain
            cuDeviceTotalMem_v2 cuEventCreate cuEventDestroy_v2 cuEventElapsedTime cuEventRecord(_ptsz)
            cuExternalMemoryGetMappedBuffer cuGetErrorName cuGetErrorString cuImportExternalMemory cuInit
            cuLaunchKernel(_ptsz) cuMemAllocAsync(_ptsz) cuMemAlloc_v2 cuMemFreeAsync(_ptsz) cuMemFree_v2
            cuMemGetInfo_v2 cuMemPoolSetAttribute cuMemPoolTrimTo cuMemcpyDtoDAsync_v2(_ptsz) cuMemcpyDtoD_v2(_ptds)
            cuMemcpyDtoHAsync_v2(_ptsz) cuMemcpyDtoH_v2(_ptds) cuMemcpyHtoDAsync_v2(_ptsz) cuMemcpyHtoD_v2(_ptds)
            cuMemsetD8Async(_ptsz) cuMemsetD8_v2(_ptds) cuModuleGetFunction cuModuleLoad cuModuleLoadData
            cuModuleUnload cuOccupancyAvailableDynamicSMemPerBlock cuOccupancyMaxActiveBlocksPerMultiprocessor
            cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags cuOccupancyMaxActiveClusters
            cuOccupancyMaxPotentialBlockSize cuOccupancyMaxPotentialBlockSizeWithFlags
            cuOccupancyMaxPotentialClusterSize cuProfilerStart cuProfilerStop cuStreamCreate cuStreamDestroy_v2
            cuStreamSynchronize(_ptsz) cuStreamWaitEvent(_ptsz);
        static CUBLAS = "cuBLAS", "it comes with the CUDA toolkit and with PyTorch; RETHINK_CUDA_LIBRARIES names its folder",
            ["libcublas.so.13", "libcublas.so.12"], "libcublasLt.so.":
            cublasCreate_v2 cublasDestroy_v2 cublasDgemmStridedBatched cublasDgemm_v2 cublasDgemv_v2 cublasGemmEx
            cublasGemmStridedBatchedEx cublasSetMathMode cublasSetStream_v2 cublasSgemmStridedBatched cublasSgemm_v2
            cublasSgemv_v2;
        static NVRTC = "NVRTC", "it comes with the CUDA toolkit and with PyTorch; RETHINK_CUDA_LIBRARIES names its folder",
            ["libnvrtc.so.13", "libnvrtc.so.12"], "libnvrtc-builtins.so.":
            nvrtcCompileProgram nvrtcCreateProgram nvrtcDestroyProgram nvrtcGetPTX nvrtcGetPTXSize nvrtcGetProgramLog
            nvrtcGetProgramLogSize;
    }

    impl Library {
        fn load(&self) -> Result<()> {
            let library = super::open(self.what, self.remedy, self.files, &[self.beside])?;
            self.find(library).map_err(|problem| super::missing(self.what, self.remedy, &problem))
        }

        /// The functions of a library, which stays loaded.
        fn find(&self, library: libloading::Library) -> std::result::Result<(), String> {
            for (name, address, forward) in self.functions {
                // Seen by the compiler, so that the linker takes this function and not a library's.
                std::hint::black_box(forward);
                // SAFETY: only the address is taken; cudarc calls it with the type that it declares.
                let found = unsafe { library.get::<*mut c_void>(name.to_bytes_with_nul()) };
                address.store(*found.map_err(|e| e.to_string())?, Ordering::Release);
            }
            std::mem::forget(library);
            Ok(())
        }
    }

    pub(super) fn load() -> Result<()> {
        [&DRIVER, &CUBLAS, &NVRTC].into_iter().try_for_each(Library::load)
    }
}

pub(super) fn missing(what: &str, remedy: &str, problem: &str) -> Error {
    Error::Missing { what: format!("{what} is not there: {problem}"), remedy: remedy.into() }
}

/// The first of `files` that is there, in the folders named or where the system looks. `beside`: how the names of
/// libraries begin, in the order in which they need each other, that it loads itself, but not from a folder that the
/// system does not know.
///
/// Errors: [`Error::Missing`].
pub(super) fn open(what: &str, remedy: &str, files: &[&str], beside: &[&str]) -> Result<libloading::Library> {
    let named = std::env::var_os(FOLDERS_VARIABLE).unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&named).filter(|f| !f.as_os_str().is_empty()).collect();
    let in_folders = files.iter().flat_map(|file| folders.iter().map(move |folder| folder.join(file)));
    let there = in_folders.filter(|path| path.is_file());
    let mut problem = String::new();
    for path in there.chain(files.iter().map(PathBuf::from)) {
        beside.iter().filter(|name| !name.is_empty()).for_each(|name| load_beside(&path, name));
        // SAFETY: NVIDIA's libraries may be loaded anywhere; what they do then is theirs.
        match unsafe { libloading::Library::new(&path) } {
            Ok(library) => return Ok(library),
            // The first name is the one that this program was made for.
            Err(e) if problem.is_empty() => problem = e.to_string(),
            Err(_) => (),
        }
    }
    Err(missing(what, remedy, &problem))
}

/// What lies beside `path` and is needed by it stays loaded, under the name by which it is asked for.
fn load_beside(path: &Path, name: &str) {
    let Some(folder) = path.parent() else { return };
    for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if file.file_name().to_string_lossy().starts_with(name) {
            // SAFETY: as for the library. Where it cannot be loaded, the library says what it misses.
            if let Ok(library) = unsafe { libloading::Library::new(file.path()) } {
                std::mem::forget(library);
            }
        }
    }
}

/// The queue that cuBLAS and cuSOLVER are to use, the one that the driver's functions use here: the calling thread's
/// (`CU_STREAM_PER_THREAD`), or the one that all threads share.
pub(super) const QUEUE: usize = if crate::cuda::QUEUE_A_THREAD { 2 } else { 0 };

/// Finds the libraries.
///
/// Errors: [`Error::Missing`] for one that is not there.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn load() -> Result<()> {
    forwarded::load()
}

/// Elsewhere the linker has found them.
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub(super) fn load() -> Result<()> {
    Ok(())
}
