//! What networks are trained on and kernel equations solved: the processor, or a GPU in a program that was built with the
//! feature `cuda`. Chosen once, by `--device` or the variable `RETHINK_DEVICE`.
//!
//! The device is no part of a run's key: it is where a run was computed, not what it is. A checkpoint of one device goes
//! on on another. The record names it.

use crate::cuda::QUEUE_A_THREAD;
use crate::kernel_methods::dense::Dense;
use crate::models::Network;
use crate::precision::Precision;
use crate::{Error, Result};
use std::str::FromStr;
use std::sync::OnceLock;

/// The variable that names the device where `--device` does not.
pub const DEVICE_VARIABLE: &str = "RETHINK_DEVICE";

/// A place to train on. `cpu`; `cuda:0`, the first GPU, in float32; `cuda:0-tf32`, with products in TensorFloat-32 (ten
/// bits of mantissa).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// A GPU of NVIDIA's.
    Cuda {
        /// Its number, from 0.
        card: usize,
        /// Whether matrix products may round their factors.
        tf32: bool,
    },
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Device> {
        let failed = || {
            let problem = format!("{text:?} is none of cpu, cuda:N (N from 0) and cuda:N-tf32");
            Error::argument("device", problem)
        };
        if text == "cpu" {
            return Ok(Device::Cpu);
        }
        let number = text.strip_prefix("cuda:").ok_or_else(failed)?;
        let (number, tf32) = number.strip_suffix("-tf32").map_or((number, false), |number| (number, true));
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(failed());
        }
        Ok(Device::Cuda { card: number.parse().map_err(|_| failed())?, tf32 })
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda { card, tf32 } => write!(f, "cuda:{card}{}", if *tf32 { "-tf32" } else { "" }),
        }
    }
}

static CHOSEN: OnceLock<Device> = OnceLock::new();

impl Device {
    /// Trains on `self` from now on. The first choice stands.
    ///
    /// Errors: [`Error::Argument`] after another choice.
    pub fn choose(self) -> Result<()> {
        let chosen = *CHOSEN.get_or_init(|| self);
        if chosen == self {
            return Ok(());
        }
        Err(Error::argument("device", format!("{self} after {chosen}: one program trains on one device")))
    }

    /// What is trained on: the choice, else what `RETHINK_DEVICE` names, else the processor.
    ///
    /// Errors: [`Error::Argument`] for another value of `RETHINK_DEVICE`.
    pub fn current() -> Result<Device> {
        if let Some(chosen) = CHOSEN.get() {
            return Ok(*chosen);
        }
        let named = std::env::var(DEVICE_VARIABLE).unwrap_or_default();
        let device = if named.is_empty() { Device::Cpu } else { named.parse()? };
        Ok(*CHOSEN.get_or_init(|| device))
    }

    /// Whether it is there.
    ///
    /// Errors: [`Error::Missing`] where the program was built without CUDA, and without a driver;
    /// [`Error::Argument`] for a card that is not there; [`Error::Tensor`] for what the driver says.
    pub fn open(self) -> Result<()> {
        self.card().map(drop)
    }

    /// As a run's record names it: of a card its name too, and how it multiplies for networks whose products are in `precision`.
    ///
    /// Errors: those of [`Device::open`].
    pub fn describe(self, precision: Precision) -> Result<String> {
        let arithmetic = match (self, precision) {
            (Device::Cpu, _) => return Ok(self.to_string()),
            (_, Precision::Bf16) => "bf16 products",
            (Device::Cuda { tf32: true, .. }, _) => "TensorFloat-32 products",
            (Device::Cuda { tf32: false, .. }, _) => "float32",
        };
        Ok(format!("{self}: {}, {arithmetic}", self.card()?))
    }

    /// A GPU's name.
    fn card(self) -> Result<String> {
        match self {
            Device::Cpu => Ok(self.to_string()),
            #[cfg(feature = "cuda")]
            Device::Cuda { card, .. } => crate::cuda::device::name(card),
            #[cfg(not(feature = "cuda"))]
            Device::Cuda { .. } => Err(without_cuda(self)),
        }
    }

    /// `network` on this device, with the same weights; weight decay acts on all of them until it is told otherwise.
    ///
    /// Errors: those of [`Device::open`]; [`Error::Argument`] for the processor, on which networks are made;
    /// [`Error::Tensor`] where the device's memory is short.
    pub fn place(self, network: &dyn Network) -> Result<Box<dyn Network>> {
        match self {
            Device::Cpu => {
                let problem = format!("one for images of {:?} is on the processor already", network.plan().1);
                Err(Error::argument("place the network", problem))
            }
            #[cfg(feature = "cuda")]
            Device::Cuda { card, tf32 } => {
                crate::cuda::place(network, crate::cuda::device::Gpu::open(card, tf32)?)
            }
            #[cfg(not(feature = "cuda"))]
            Device::Cuda { .. } => Err(without_cuda(self)),
        }
    }

    /// A GPU's free memory, bytes; `None` where it is not known, and on the processor.
    ///
    /// Errors: those of [`Device::open`].
    pub fn free_memory(self) -> Result<Option<u64>> {
        match self {
            Device::Cpu => Ok(None),
            #[cfg(feature = "cuda")]
            Device::Cuda { card, .. } => crate::cuda::device::free_memory(card),
            #[cfg(not(feature = "cuda"))]
            Device::Cuda { .. } => Err(without_cuda(self)),
        }
    }

    /// Whether networks that are trained by several threads work on it at the same time.
    pub fn works_side_by_side(self) -> bool {
        self == Device::Cpu || QUEUE_A_THREAD
    }

    /// This device, on which no products' factors are rounded.
    pub fn exact(self) -> Device {
        match self {
            Device::Cpu => Device::Cpu,
            Device::Cuda { card, .. } => Device::Cuda { card, tf32: false },
        }
    }

    /// Where the kernel equation is solved, in float32; `None`: on the processor.
    ///
    /// Errors: those of [`Device::open`].
    pub fn dense(self) -> Result<Option<Box<dyn Dense>>> {
        match self.exact() {
            Device::Cpu => Ok(None),
            #[cfg(feature = "cuda")]
            Device::Cuda { card, tf32 } => {
                Ok(Some(crate::cuda::dense(crate::cuda::device::Gpu::open(card, tf32)?)))
            }
            #[cfg(not(feature = "cuda"))]
            Device::Cuda { .. } => Err(without_cuda(self)),
        }
    }

    /// `network`, as it was made or on this device.
    ///
    /// Errors: those of [`Device::place`].
    pub fn take(self, network: Box<dyn Network>) -> Result<Box<dyn Network>> {
        if self == Device::Cpu { Ok(network) } else { self.place(network.as_ref()) }
    }
}

#[cfg(not(feature = "cuda"))]
fn without_cuda(device: Device) -> Error {
    Error::Missing {
        what: format!("{device}: this program was built without CUDA"),
        remedy: "build it with `cargo build --release --features cuda` (crate/docs/how-to/gpu.md)".into(),
    }
}
