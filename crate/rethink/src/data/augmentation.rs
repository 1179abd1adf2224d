//! Data augmentation (section 3: "random cropping, random perturbation of brightness, saturation, hue and
//! contrast"; the published table 4: flips and rotations up to 25 degrees), on the fly: an image changes from
//! epoch to epoch, its label stays.
//!
//! What a change does to an image is [`rethink_nn::image::Change`]. Random crops are [`crate::run::config::TrainConfig::random_crop`].

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rethink_nn::image::Change;
use serde::{Deserialize, Serialize};

/// Which random changes a training image goes through, each drawn anew in every epoch. Zero or `false` is off, and
/// left out of the JSON.
///
/// **Published keys.** The JSON is part of a run's key: a new change is off by default and left out where it is off, and the names
/// and order of those that there are stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Augmentation {
    /// Left and right exchanged, with probability 1/2.
    #[serde(skip_serializing_if = "is_false")]
    pub flip: bool,
    /// Turned by a uniform angle of at most so many degrees, 0 to 180, either way.
    #[serde(skip_serializing_if = "is_zero")]
    pub rotation: f64,
    /// A uniform number of at most this size, 0 to 1, added to all values.
    #[serde(skip_serializing_if = "is_zero")]
    pub brightness: f64,
    /// Saturation times a uniform factor of `1 - saturation` to `1 + saturation`; 0 to 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub saturation: f64,
    /// Hue moved by a uniform part of at most this size, 0 to 1/2, of the circle of colours.
    #[serde(skip_serializing_if = "is_zero")]
    pub hue: f64,
    /// Distance from each channel's mean times a uniform factor of `1 - contrast` to `1 + contrast`; 0 to 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub contrast: f64,
}

fn is_false(on: &bool) -> bool {
    !on
}

fn is_zero(size: &f64) -> bool {
    *size == 0.0
}

impl Augmentation {
    /// The last row of the published table 4: flips and rotations up to 25 degrees.
    pub const TABLE_4: Augmentation = Augmentation {
        flip: true,
        rotation: 25.0,
        brightness: 0.0,
        saturation: 0.0,
        hue: 0.0,
        contrast: 0.0,
    };

    /// TF-Slim's for ImageNet, beside its random areas: flips and colours (section 3's list).
    pub const IMAGENET: Augmentation = Augmentation {
        flip: true,
        rotation: 0.0,
        brightness: 32.0 / 255.0,
        saturation: 0.5,
        hue: 0.2,
        contrast: 0.5,
    };

    /// Nothing is changed.
    pub fn is_off(&self) -> bool {
        *self == Augmentation::default()
    }

    /// What is wrong with the sizes, if anything.
    pub fn problem(&self) -> Option<String> {
        let sizes = [
            ("rotation", self.rotation, 180.0),
            ("brightness", self.brightness, 1.0),
            ("saturation", self.saturation, 1.0),
            ("hue", self.hue, 0.5),
            ("contrast", self.contrast, 1.0),
        ];
        let wrong = sizes.into_iter().find(|(_, size, most)| !(0.0..=*most).contains(size));
        wrong.map(|(name, size, most)| format!("{name} {size} (0 to {most})"))
    }

    /// What is on, in a few words ("flip, rotation up to 25 degrees"); empty where nothing is.
    pub fn describe(&self) -> String {
        let mut parts = Vec::new();
        if self.flip {
            parts.push("flip".to_string());
        }
        if self.rotation > 0.0 {
            parts.push(format!("rotation up to {} degrees", self.rotation));
        }
        let colours = [
            ("brightness", self.brightness),
            ("saturation", self.saturation),
            ("hue", self.hue),
            ("contrast", self.contrast),
        ];
        for (name, size) in colours.into_iter().filter(|(_, size)| *size > 0.0) {
            parts.push(format!("{name} {}", (1_000.0 * size).round() / 1_000.0));
        }
        parts.join(", ")
    }

    /// The changes of training image `image`, drawn from `stream` of the generator of `seed`, a stream an epoch: the same for
    /// equal arguments, whatever was drawn before, so that a resumed run sees what it would have seen. All numbers are
    /// always drawn: switching one change on or off moves no other.
    pub fn draw(&self, seed: u64, stream: u64, image: u32) -> Change {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        // Six numbers of two words fit into one block of the generator.
        rng.set_word_pos(u128::from(image) * 16);
        let mut within = |size: f64| size * (2.0 * rng.random::<f64>() - 1.0);
        Change {
            flip: within(1.0) < 0.0 && self.flip,
            degrees: within(self.rotation),
            brightness: within(self.brightness) as f32,
            saturation: 1.0 + within(self.saturation) as f32,
            hue: within(self.hue) as f32,
            contrast: 1.0 + within(self.contrast) as f32,
        }
    }
}
