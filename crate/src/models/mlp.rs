//! Multi-layer perceptrons.
