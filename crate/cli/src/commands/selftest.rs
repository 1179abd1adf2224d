//! `rethink selftest`.

use crate::commands::bench::TURNS;
use crate::selftest::{self, DeviceCheck};
use crate::{Error, Result};
use rethink_nn::device::Device;
use rethink_nn::models::{ModelKind, Network};
use rethink_nn::precision::Precision;
use serde_json::json;
use std::path::Path;

/// Compares the chosen GPU with the processor, then measures every network's images per second on it, in float32 and in
/// TensorFloat-32.
///
/// Errors: [`Error::Argument`] where the processor is chosen, [`Error::Different`] for checks that fail; those of
/// [`Device::open`] and of [`super::bench::bench`].
pub fn selftest(peer: Option<&Path>, checks_only: bool, json: bool) -> Result<()> {
    let device = Device::current()?;
    let Device::Cuda { card, .. } = device else {
        let problem = "compares a GPU with the processor: name one, as `--device cuda:0`";
        return Err(Error::argument("selftest", problem));
    };
    rethink_plot::tell!("{}", device.describe(Precision::Float32)?);
    // Networks are compared in the processor's arithmetic: TensorFloat-32 has three digits.
    let arithmetic = [false, true].map(|tf32| Device::Cuda { card, tf32 });
    let exact = arithmetic[0];
    let place = |network: &dyn Network| exact.place(network);
    let mut say = |check: &DeviceCheck| {
        if json {
            let DeviceCheck { name, difference, place, .. } = check;
            println!(
                "{}",
                json!({ "check": name, "difference": difference, "allowed": check.allowed, "place": place,
                    "passed": check.passed() })
            );
        } else {
            let passed = if check.passed() { "ok    " } else { "FAILED" };
            println!("{passed}  {:<9.1e} {} ({})", check.difference, check.name, check.place);
        }
    };
    let mut checks = selftest::operations(&place, &mut say)?;
    checks.extend(selftest::images(&place, &mut say)?);
    checks.extend(selftest::models(&place, 4, (299, 1.0), &mut say)?);
    if let Some(dense) = exact.dense()? {
        checks.extend(selftest::equations(&*dense, &mut say)?);
    }
    let failed: Vec<String> = checks
        .iter()
        .filter(|check| !check.passed())
        .map(|check| format!("{} ({:.1e}, allowed {})", check.name, check.difference, check.allowed))
        .collect();
    if !failed.is_empty() {
        return Err(Error::Different {
            what: format!("{} of {} checks failed: {}", failed.len(), checks.len(), failed.join(", ")),
            remedy: "each should differ from the processor by less than is allowed, as a part of its largest number".into(),
        });
    }
    rethink_plot::tell!("{} checks passed", checks.len());
    if checks_only {
        return Ok(());
    }
    arithmetic
        .into_iter()
        .try_for_each(|device| super::bench::bench(device, &ModelKind::ALL, peer, TURNS, json))
}
