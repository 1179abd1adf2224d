//! `rethink kernel`: the kernel among the user's own, and papermill's parameters in it.
