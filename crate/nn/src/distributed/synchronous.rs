//! Synchronous data parallelism: each process computes the gradient of its share of a batch, the gradients are added,
//! and all make the same update.
//!
//! Batch normalisation is that of the whole batch: means, variances and what their gradients pass on are
//! added over the processes layer by layer ([`crate::ops::norm`]), and dropout draws for an image what one process
//! would. So many processes compute what one computes, in sums of another order.

use crate::distributed::{ProcessGroup, Share, total};
use crate::models::{Network, Role, StepOutcome};
use crate::ops::ForwardContext;
use crate::ops::batch::BatchPart;
use crate::optim::SgdStep;
use crate::{Error, Result};
use std::sync::Arc;

/// A step of SGD on a batch of which `images` and `labels` are the share of this process.
///
/// Errors: those of [`Network::gradients`].
pub fn step(
    network: &mut dyn Network,
    images: Vec<f32>,
    labels: &[u16],
    step: SgdStep,
    pass: ForwardContext,
    share: &Share,
) -> Result<StepOutcome> {
    let (outcome, mut gradients) =
        network.gradients(images, labels, pass.of_part(Arc::new(share.clone())))?;
    // One message for all: running statistics are of the whole batch already.
    let summed: Vec<bool> = network.roles().iter().map(|role| *role != Role::Statistic).collect();
    let parts = || gradients.iter().zip(&summed).filter(|(_, summed)| **summed).map(|(part, _)| part);
    let mut all: Vec<f32> = Vec::with_capacity(parts().map(Vec::len).sum());
    parts().for_each(|part| all.extend(part));
    share.team.sum(&mut all);
    let mut rest = &all[..];
    for (part, _) in gradients.iter_mut().zip(&summed).filter(|(_, summed)| **summed) {
        let (now, later) = rest.split_at(part.len());
        part.copy_from_slice(now);
        rest = later;
    }
    network.apply(&gradients, step)?;
    let correct = if share.idle { 0 } else { outcome.correct };
    // An idle process reports 0. A loss that is not finite in one process makes the sum not finite in all.
    let loss = if share.idle { 0.0 } else { f64::from(share.weight()) * f64::from(outcome.loss) };
    let whole = total(share.team.as_ref(), &[loss, correct as f64]);
    Ok(StepOutcome { loss: whole[0] as f32, correct: whole[1] as usize })
}

/// Whether all processes have the same weights, to the bit: else their numbers mean nothing.
///
/// Errors: [`Error::Argument`] where they have not.
pub fn same_weights(network: &dyn Network, team: &dyn ProcessGroup) -> Result<()> {
    let mut hash = 0u64;
    for value in network.parameters()?.iter().flat_map(|p| &p.values) {
        hash = (hash.rotate_left(5) ^ u64::from(value.to_bits())).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    // 48 bits are whole in a double.
    let all = team.gather(&[(hash >> 16) as f64]);
    if all.iter().all(|other| *other == all[0]) {
        return Ok(());
    }
    let problem = "the processes' weights differ: are all of the same program, data and number of steps?";
    Err(Error::argument("synchronous training", problem))
}
