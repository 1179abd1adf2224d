//! Images per second of training, beside PyTorch.
