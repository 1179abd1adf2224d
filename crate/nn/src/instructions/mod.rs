//! The vector instructions that operations are compiled for and use: the widest that the processor has, unless fewer are asked for.
//!
//! They decide in which order products are summed, so results are the same to the bit on processors that use the same ones. faer's
//! and dfdx's own loops, in which no large network spends its time, choose for themselves.

pub(crate) mod bf16;

use crate::{Error, Result};
use pulp::Arch;
use std::sync::LazyLock;

/// `avx2`: AVX-512 is not used. To measure what a processor without it would do, or to have its results.
pub const INSTRUCTIONS_VARIABLE: &str = "RETHINK_INSTRUCTIONS";

static ARCH: LazyLock<Arch> = LazyLock::new(|| chosen(&asked()).unwrap_or_else(|_| Arch::new()));

fn asked() -> String {
    std::env::var(INSTRUCTIONS_VARIABLE).unwrap_or_default()
}

fn chosen(asked: &str) -> Result<Arch> {
    match asked {
        "" => Ok(Arch::new()),
        #[cfg(target_arch = "x86_64")]
        "avx2" => pulp::x86::V3::try_new().map(Arch::V3).ok_or_else(|| Error::Missing {
            what: format!("{INSTRUCTIONS_VARIABLE}=avx2: this processor has no AVX2"),
            remedy: "leave the variable out".into(),
        }),
        other => Err(Error::argument(
            "choose vector instructions",
            format!(
                "{INSTRUCTIONS_VARIABLE}={other:?} is not avx2, on a processor that has it, and not empty"
            ),
        )),
    }
}

/// Where operations are sent to their vector instructions.
pub(crate) fn arch() -> Arch {
    *ARCH
}

/// Whether the environment's choice can be followed; what cannot be is not.
///
/// Errors: [`Error::Argument`] and [`Error::Missing`] naming the variable.
pub fn check() -> Result<()> {
    chosen(&asked()).map(|_| ())
}

/// The instructions in use: `avx512`, `avx2`, or else the processor's architecture.
pub fn name() -> &'static str {
    match arch() {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(_) => "avx512",
        #[cfg(target_arch = "x86_64")]
        Arch::V3(_) => "avx2",
        _ => std::env::consts::ARCH,
    }
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn fewer_instructions_are_chosen_by_name_and_other_names_are_refused() {
        assert!(chosen("").is_ok());
        let refused = chosen("avx3").unwrap_err().to_string();
        assert!(refused.contains("RETHINK_INSTRUCTIONS=\"avx3\""), "{refused}");
        #[cfg(target_arch = "x86_64")]
        assert_eq!(chosen("avx2").is_ok(), pulp::x86::V3::try_new().is_some());
    }
}
