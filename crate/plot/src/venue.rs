//! Where papers are printed: the measures of a page, and how figures look on it.
//!
//! | venue | columns | column | text | figure |
//! | --- | --- | --- | --- | --- |
//! | NeurIPS | one | 5.5 in | 5.5 in | 2.7 in: two side by side |
//! | ICML | two | 3.25 in | 6.75 in | 3.25 in |
//! | IEEE | two | 3.487 in | 7.141 in | 3.487 in |
//!
//! The type of all three is Times. Figure 3 is 5.5 in wide everywhere, over both columns where there are two.

use crate::Style;
use crate::export::Family;

/// A conference or a publisher with rules of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Venue {
    /// Neural Information Processing Systems.
    Neurips,
    /// International Conference on Machine Learning.
    Icml,
    /// Transactions and conferences of the IEEE.
    Ieee,
}

/// Points (of TeX, as all lengths below where nothing else is said) an inch.
pub(crate) const INCH: f64 = 72.27;

impl Venue {
    /// Every venue.
    pub const ALL: [Venue; 3] = [Venue::Neurips, Venue::Icml, Venue::Ieee];

    /// Its name on the command line and in folders.
    pub fn name(self) -> &'static str {
        match self {
            Venue::Neurips => "neurips",
            Venue::Icml => "icml",
            Venue::Ieee => "ieee",
        }
    }

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Venue::Neurips => "NeurIPS",
            Venue::Icml => "ICML",
            Venue::Ieee => "IEEE",
        }
    }

    /// Whether text runs in two columns.
    pub fn two_columns(self) -> bool {
        self != Venue::Neurips
    }

    /// Width of a column, inches. IEEE's is IEEEtran's 21 pc, which its guides round to 3.5 in: a figure of 3.5 in would
    /// stick out of the column.
    pub fn column_in(self) -> f64 {
        match self {
            Venue::Neurips => 5.5,
            Venue::Icml => 3.25,
            Venue::Ieee => 21.0 * 12.0 / INCH,
        }
    }

    /// Width of the text, inches.
    pub fn text_in(self) -> f64 {
        match self {
            Venue::Neurips => 5.5,
            Venue::Icml => 6.75,
            Venue::Ieee => 43.0 * 12.0 / INCH,
        }
    }

    /// Height of the text, inches.
    pub fn height_in(self) -> f64 {
        match self {
            Venue::Neurips | Venue::Icml => 9.0,
            Venue::Ieee => 9.25,
        }
    }

    /// LaTeX's name of the size of captions.
    pub fn caption_size(self) -> &'static str {
        match self {
            Venue::Neurips => "normalsize",
            Venue::Icml => "small",
            Venue::Ieee => "footnotesize",
        }
    }

    /// How figures look: as wide as a column, or of the one column half; titles of 9 and labels of 8 points in Times. What
    /// is small print elsewhere is said in the caption.
    pub fn style(self) -> Style {
        let (width_in, height_in) = match self {
            Venue::Neurips => (2.7, 2.2),
            Venue::Icml => (self.column_in(), 2.4),
            Venue::Ieee => (self.column_in(), 2.5),
        };
        Style { width_in, height_in, family: Family::Serif, small_print: false, ..Style::default() }
    }
}
