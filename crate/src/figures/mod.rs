//! The theme, the figures, and export.
