//! What a figure is made with, in one place: axes, marks, looks, and the canvas of those without axes.

pub use crate::axes::{Axis, round_up};
pub use crate::elements::{DashedPath, Marker, small_print, write};
pub use crate::plot::{Key, Mark, Plot};
pub use crate::style::{
    GREY, HEIGHT_IN, INK, LABEL_PT, MARGIN, SMALL_PT, SeriesStyle, Style, TITLE_PT, WIDTH_IN, stroke, units,
};
pub use crate::svg::{Canvas, CanvasError, document};
