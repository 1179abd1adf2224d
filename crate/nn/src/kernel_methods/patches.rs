//! What Gabor wavelets and random filters have in common: every patch of an image against every filter, as one
//! matrix product.

use crate::ops::gemm::{Matrix, Packed};

/// Images and the patches that are taken of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patches {
    /// Channels, height and width of an image.
    pub shape: [usize; 3],
    /// Side of a patch.
    pub side: usize,
    /// Zeros around the image.
    pub padding: usize,
}

impl Patches {
    /// Rows and columns of patches.
    pub fn grid(&self) -> (usize, usize) {
        let [_, height, width] = self.shape;
        let places = |size: usize| (size + 2 * self.padding + 1).saturating_sub(self.side);
        (places(height), places(width))
    }

    /// Elements of a patch, channel after channel.
    pub fn size(&self) -> usize {
        self.shape[0] * self.side * self.side
    }

    /// Every patch of `image` (`C x H x W`, bytes, to 0 to 1), row after row of the grid, `size` elements each.
    ///
    /// # Panics
    /// For an image of another size: a defect of the caller.
    pub fn gather(&self, image: &[u8], out: &mut [f32]) {
        let [channels, height, width] = self.shape;
        assert_eq!(image.len(), channels * height * width, "an image of {:?}", self.shape);
        let (rows, columns) = self.grid();
        let (side, padding) = (self.side, self.padding);
        // With its border, so that every line of a patch is a piece of one of its rows.
        let stride = width + 2 * padding;
        let mut padded = vec![0.0f32; channels * (height + 2 * padding) * stride];
        for (line, from) in image.chunks_exact(width).enumerate() {
            let row = line / height * (height + 2 * padding) + padding + line % height;
            let to = &mut padded[row * stride + padding..][..width];
            to.iter_mut().zip(from).for_each(|(to, &byte)| *to = f32::from(byte) / 255.0);
        }
        for (place, patch) in out.chunks_exact_mut(self.size()).take(rows * columns).enumerate() {
            let (top, left) = (place / columns, place % columns);
            for (line, to) in patch.chunks_exact_mut(side).enumerate() {
                let row = line / side * (height + 2 * padding) + top + line % side;
                to.copy_from_slice(&padded[row * stride + left..][..side]);
            }
        }
    }

    /// Every patch of `image` against `filters` (`size x count`): `grid x count` to `out`, with `memory` for the
    /// patches.
    ///
    /// # Panics
    /// As for [`Patches::gather`].
    pub fn responses(&self, image: &[u8], filters: &Packed, memory: &mut Vec<f32>, out: &mut [f32]) {
        let (rows, columns) = self.grid();
        let places = rows * columns;
        memory.resize(places * self.size(), 0.0);
        self.gather(image, memory);
        filters.product_rows(out, Matrix::new(memory, places, self.size()), 0..places, false);
    }
}
