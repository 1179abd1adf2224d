//! Section 5's linear models: the kernel equation `K a = y` (equation 3) on real data, solved exactly.
//!
//! | module | what |
//! | --- | --- |
//! | [`triangle`] | half a symmetric matrix in tiles |
//! | [`cholesky`] | its Cholesky factor in place |
//! | `strassen` | the products of most of its updates, by fewer multiplications |
//! | [`gaussian`] | the Gaussian kernel on any features |
//! | [`float64`] | the Gaussian kernel's equation for a matrix that is singular in float32 |
//! | [`patches`], [`gabor`], [`random_conv`] | what is done to the images before the kernel |
//! | [`on_features`] | the Gaussian kernel on features too many to keep, of their inner products |
//! | [`choice`] | width and weight of l2, chosen on held-out images |
//! | [`solve`] | equation 3, with and without l2 |
//! | [`dense`] | what a device with room for whole matrices does |

pub mod choice;
pub mod cholesky;
pub mod dense;
pub mod float64;
pub mod gabor;
pub mod gaussian;
pub mod on_features;
pub mod patches;
pub mod random_conv;
pub mod solve;
mod strassen;
pub mod triangle;
