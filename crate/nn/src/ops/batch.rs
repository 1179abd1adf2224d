//! A batch that several processes have together: what operations over the whole batch ask of it.

use std::fmt;
use std::ops::Range;

/// The part of a batch that is in this process, and sums over all parts.
pub trait BatchPart: fmt::Debug + Send + Sync {
    /// Which images of the batch are here.
    fn images(&self) -> Range<usize>;

    /// How many images the batch has.
    fn of(&self) -> usize;

    /// Whether what is here does not count: there are fewer images than processes. This one goes along with an image of another
    /// one's, since the others wait for its word in every layer.
    fn idle(&self) -> bool;

    /// Turns mean and variance over `rows` pixels here into those over all parts (Chan, Golub and LeVeque 1983);
    /// returns how many pixels those are.
    fn moments(&self, rows: f32, mean: &mut [f32], variance: &mut [f32]) -> f32;

    /// Turns sums over `rows` pixels here into those over all parts; returns how many pixels those are.
    fn totals(&self, rows: f32, sums: &mut [f32]) -> f32;

    /// What the mean over the images that are here counts in the batch's mean.
    fn weight(&self) -> f32 {
        if self.idle() { 0.0 } else { self.images().len() as f32 / self.of() as f32 }
    }
}
