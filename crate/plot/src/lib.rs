//! Figures and tables of polars frames: drawn with plotters in one theme, saved as SVG, PDF, PNG and pgfplots, shown in a
//! notebook's cell. It knows no network and no study.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`drawing`] | a finished figure: shown in a cell, saved in every format |
//! | [`grammar`] | a chart of a frame: x, y, colour, repetitions, axes |
//! | [`heatmap`] | a grid of coloured cells, as a confusion matrix |
//! | [`panels`] | several plots under one legend |
//! | [`theme`] | what a figure is made with, in one place: the names of the next five |
//! | [`style`] | size, type, colours, dashes and markers: what all figures share, or a venue decides |
//! | [`axes`] | an axis, its ticks and their labels |
//! | [`mod@plot`] | a figure of one panel as data: axes, marks, legend; `layout` places its parts, `render` draws them |
//! | [`elements`] | dashed paths and markers as elements of plotters |
//! | [`svg`] | the backend of plotters that writes the SVG |
//! | [`cell`] | what plotters draws in a notebook's cell, without a frame |
//! | [`columns`], [`frames`] | columns of frames by name; as plain numbers |
//! | [`export`] | PNG and PDF of the same SVG, with an embedded font |
//! | [`pgf`] | the same plot as source for LaTeX's pgfplots |
//! | [`tables`] | tables as Markdown, LaTeX, CSV and HTML |
//! | [`venue`], [`latex`] | the measures of a venue's pages; tables that fit them |
//! | [`output`], [`files`] | the files of a figure or table; files that are whole or absent |
//! | [`mod@tell`] | a line on standard error, whoever reads it |
//! | [`mod@escape`] | plain text within LaTeX, Markdown, CSV and HTML |
//! | [`error`] | the error enum |

pub mod axes;
pub mod cell;
pub mod columns;
pub mod drawing;
pub mod elements;
pub mod error;
pub mod escape;
pub mod export;
pub mod files;
pub mod frames;
pub mod grammar;
pub mod heatmap;
pub mod latex;
mod layout;
pub mod output;
pub mod panels;
pub mod pgf;
pub mod plot;
mod render;
pub mod style;
pub mod svg;
pub mod tables;
pub mod tell;
pub mod theme;
pub mod venue;

pub use drawing::{Content, Drawing, Note, PRINT_DPI, Sketch};
pub use error::{Error, Result};
pub use grammar::{Chart, axis};
pub use heatmap::Heatmap;
pub use pgf::Pgf;
pub use plot::Plot;
pub use style::Style;
pub use venue::Venue;
