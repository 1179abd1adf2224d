//! What happens to a small image's pixels before the network sees them: cropped, changed, whitened. A device that keeps
//! the images does it there.

mod change;
mod pixels;

pub use change::{Change, flip, rotate};
pub use pixels::{CROP, Pixels, centre, crop, whiten};

/// A small training image as a step sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AugmentedImage {
    /// Which image of the training set.
    pub index: usize,
    /// First row and column of its crop.
    pub corner: (u32, u32),
    /// What else happens to it.
    pub change: Option<Change>,
}

impl AugmentedImage {
    /// The image as the network sees it (`C x 28 x 28`): turned, cropped, flipped, recoloured, whitened. `pixels` are
    /// images of `shape`.
    pub fn write(&self, pixels: &Pixels, shape: [usize; 3], out: &mut [f32]) {
        let [channels, height, width] = shape;
        let corner = (self.corner.0 as usize, self.corner.1 as usize);
        let Some(change) = self.change else {
            return pixels.whitened(self.index, shape, corner, out);
        };
        let whole = pixels.scaled(self.index, shape);
        let mut turned = vec![0.0; channels * height * width];
        let turned = if change.degrees != 0.0 {
            rotate(&whole, shape, change.degrees, &mut turned);
            &turned
        } else {
            &whole
        };
        crop(turned, shape, corner, out, |v| v);
        if change.flip {
            flip(out, CROP);
        }
        change.colours(out, channels);
        whiten(out);
    }
}
