//! One file a figure or table.
