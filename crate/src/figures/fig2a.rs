//! Figure 2a: training and test accuracy against training steps, with explicit regularisers and without.

use super::{Drawing, Note, fig2b};
use crate::Result;
use polars::prelude::DataFrame;

/// Draws figure 2a: as [`fig2b::draw`], with `setting` (text, as the legend shows it) for `model`.
///
/// Errors: absent or mistyped columns, no accuracy at all.
pub fn draw(frame: &DataFrame, note: &Note) -> Result<Drawing> {
    fig2b::draw_as("fig2a", "setting", frame, note)
}
