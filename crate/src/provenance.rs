//! What is recorded beside the numbers.
