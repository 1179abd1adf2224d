//! Equation 3 on a device that holds whole matrices: what it does there. The processor holds half of each
//! ([`crate::kernel_methods::triangle`]), so that more images fit.

use crate::Result;
use crate::kernel_methods::gaussian::Gaussian;
use crate::kernel_methods::random_conv::Filters;
use crate::kernel_methods::solve::Kernel;
use crate::kernel_methods::triangle::Triangle;

/// A device.
pub trait Dense {
    /// The Gaussian kernel's matrix, made and kept there.
    ///
    /// Errors: [`crate::Error::Missing`] where its memory will not do, [`crate::Error::Tensor`] for what it says.
    fn gaussian(&self, kernel: &Gaussian) -> Result<Box<dyn Kernel>>;

    /// [`Gaussian::predict`].
    ///
    /// Errors: [`crate::Error::Tensor`] for what the device says.
    fn predict(&self, kernel: &Gaussian, others: &[f32], weights: &[f64], columns: usize)
    -> Result<Vec<f64>>;

    /// The inner products of the conv-net's centred features and the constant one, of `train` and `test` images (bytes).
    ///
    /// Errors: as for [`Dense::gaussian`].
    fn conv(
        &self,
        filters: &Filters,
        train: &[u8],
        test: &[u8],
        say: &mut dyn FnMut(&str),
    ) -> Result<Box<dyn Products>>;
}

/// Inner products of features: of training images with each other, and with test images.
pub trait Products {
    /// Of training images with each other.
    fn kernel(&self) -> &dyn Kernel;

    /// Of the first `n` training images.
    ///
    /// Errors: [`crate::Error::Tensor`] for what a device says.
    fn leading(&self, n: usize) -> Result<Triangle>;

    /// Outputs on the test images, for `weights` of `n x columns`.
    ///
    /// Errors: [`crate::Error::Tensor`] for what a device says.
    fn predict(&self, weights: &[f64], columns: usize) -> Result<Vec<f64>>;
}
