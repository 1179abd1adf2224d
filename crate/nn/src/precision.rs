//! How many digits the factors of a network's products have.

use crate::instructions::bf16;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// What matrix products and convolutions of a network round their factors to. Sums, weights, their updates and all other operations are
/// in float32 with either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Nothing is rounded: float32, 24 bits of mantissa.
    #[default]
    Float32,
    /// bfloat16, 8 bits of mantissa and the range of float32: twice as many products a second on processors that have instructions for it
    /// (AVX512-BF16); on a GPU, too, as fast as that multiplies them. Winograd's transforms are made in float32, and their results
    /// rounded: an output of a 3x3 convolution is off by about a hundredth of its size, of a 1x1 one by a quarter of that.
    Bf16,
}

impl Precision {
    /// Both.
    pub const ALL: [Precision; 2] = [Precision::Float32, Precision::Bf16];

    /// The name on the command line and in records.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Float32 => "float32",
            Precision::Bf16 => "bf16",
        }
    }

    /// Whether it is what all runs had before it could be chosen.
    pub fn is_float32(&self) -> bool {
        *self == Precision::Float32
    }

    /// Whether this processor can do it. (A GPU can.)
    ///
    /// Errors: [`Error::Missing`] saying what it lacks.
    pub fn check(self) -> Result<()> {
        if self.is_float32() || bf16::is_there() {
            return Ok(());
        }
        let why = if crate::instructions::name() == "avx512" {
            "this processor has no AVX512-BF16".to_string()
        } else {
            format!("the vector instructions in use are {}", crate::instructions::name())
        };
        Err(Error::Missing {
            what: format!("products in bf16: {why}"),
            remedy: "use --precision float32, or a processor with AVX512-BF16 (Zen 4, Cooper Lake, Sapphire Rapids or later)"
                .into(),
        })
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Precision> {
        Precision::ALL
            .into_iter()
            .find(|precision| precision.name() == text)
            .ok_or_else(|| Error::argument("precision", format!("{text:?} is none of float32, bf16")))
    }
}
