//! CIFAR-10's binary format.
