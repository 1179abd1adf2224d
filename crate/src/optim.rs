//! SGD with momentum and weight decay.
