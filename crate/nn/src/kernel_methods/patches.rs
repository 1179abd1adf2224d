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
        for (place, patch) in out.chunks_exact_mut(self.size()).take(rows * columns).enumerate() {
            let (top, left) = (place / columns, place % columns);
            for (line, to) in patch.chunks_exact_mut(side).enumerate() {
                let (channel, y) = (line / side, top + line % side);
                if y < padding || y >= height + padding {
                    to.fill(0.0);
                    continue;
                }
                let from = &image[(channel * height + y - padding) * width..][..width];
                for (dx, to) in to.iter_mut().enumerate() {
                    let x = (left + dx).wrapping_sub(padding);
                    *to = from.get(x).map_or(0.0, |&byte| f32::from(byte) / 255.0);
                }
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
