//! The Gaussian kernel of features that are too many to keep: of their inner products, squared distances are `|x|^2 + |y|^2 -
//! 2 x y`. Its values are made tile by tile as they are needed, beside the products and a factor nothing is kept.

use crate::Result;
use crate::kernel_methods::cholesky::Cholesky;
use crate::kernel_methods::gaussian::to_kernel_tile;
use crate::kernel_methods::solve::{Factor, Kernel};
use crate::kernel_methods::triangle::{SymmetricProduct, TILE, Triangle};

/// The kernel `exp(-gamma |f(x) - f(y)|^2)`.
#[derive(Debug)]
pub struct OnFeatures<'a> {
    products: &'a Triangle,
    squares: Vec<f32>,
    gamma: f64,
}

impl OnFeatures<'_> {
    /// Of the `products` of centred features (less loses digits).
    pub fn new(products: &Triangle, gamma: f64) -> OnFeatures<'_> {
        OnFeatures { products, squares: squares(products), gamma }
    }

    fn tile(&self, i: usize, j: usize, tile: &mut [f32]) {
        let span = |i: usize| &self.squares[i * TILE..((i + 1) * TILE).min(self.squares.len())];
        to_kernel_tile(tile, TILE, self.gamma as f32, span(i), span(j));
        if i == j {
            (0..span(i).len()).for_each(|k| tile[k * TILE + k] = 1.0);
        }
    }

    /// The kernel's matrix, `ridge` added to its diagonal.
    pub fn matrix(&self, ridge: f64) -> Triangle {
        let mut matrix = self.products.clone();
        matrix.fill(|_| (), |(), i, j, tile| self.tile(i, j, tile), |_| ());
        if ridge != 0.0 {
            matrix.add_diagonal(ridge as f32);
        }
        matrix
    }
}

impl Kernel for OnFeatures<'_> {
    fn n(&self) -> usize {
        self.squares.len()
    }

    fn mean_diagonal(&self) -> f64 {
        1.0
    }

    fn copy(&self, ridge: f64) -> Result<Box<dyn Factor>> {
        Ok(Box::new(Cholesky::of(self.matrix(ridge))))
    }

    fn apply(&self, x: &[f64], columns: usize) -> Result<Vec<f64>> {
        let mut product = SymmetricProduct::new(x, self.n(), columns);
        for j in 0..self.products.tile_rows() {
            product.column(j, |i, tile| {
                tile.copy_from_slice(self.products.tile(i, j));
                self.tile(i, j, tile);
            });
        }
        Ok(product.finish())
    }
}

/// Squared lengths of the points.
pub fn squares(products: &Triangle) -> Vec<f32> {
    (0..products.n()).map(|i| products.get(i, i)).collect()
}

/// The mean squared distance between two of `n` points of centred features, from their mean squared length.
pub fn mean_squared_distance(n: usize, squared_length: f64) -> f64 {
    2.0 * squared_length * n as f64 / (n as f64 - 1.0).max(1.0)
}
