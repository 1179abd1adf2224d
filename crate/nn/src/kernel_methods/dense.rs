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

    /// The inner products of the conv-net's `features`, of `train` and `test` images (bytes).
    ///
    /// Errors: as for [`Dense::gaussian`]; [`crate::Error::Interrupted`].
    fn conv(
        &self,
        filters: &Filters,
        features: Features,
        train: &[u8],
        test: &[u8],
        say: &mut dyn FnMut(&str),
    ) -> Result<Box<dyn Products>>;
}

/// What is made of the conv-net's features. Their means over the training images are always taken away.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// Each is divided by its deviation over the training images (of n, not n - 1); one that never varies is 0.
    pub standardised: bool,
    /// What they are for.
    pub purpose: Purpose,
}

/// What inner products are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The linear kernel: there is one more feature, constant and as long as the others together, which stands for an intercept.
    Linear,
    /// The Gaussian kernel.
    Gaussian,
    /// To be looked at on the processor.
    Choice,
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

    /// The Gaussian kernel of the training images' features.
    ///
    /// Errors: [`crate::Error::Tensor`] for what a device says.
    ///
    /// # Panics
    /// Where they are for the linear one: a defect of the caller.
    fn gaussian(&self, gamma: f64) -> Result<Box<dyn Kernel + '_>>;

    /// Outputs on the test images, for `weights` of `n x columns` of that kernel.
    ///
    /// Errors: [`crate::Error::Tensor`] for what a device says.
    fn predict_gaussian(&self, weights: &[f64], columns: usize, gamma: f64) -> Result<Vec<f64>>;
}
