//! The kernel, the Python environment, running notebooks.
