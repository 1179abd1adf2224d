//! MNIST's idx format.
