//! Inception V3 (Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision"), as TF-Slim
//! has it and the paper's section 3 uses it on ImageNet: about 23.8 million parameters for 1,000 classes.

use crate::Result;
use crate::models::description::{Description, Family, Layers};
use crate::models::initial::Init;
use crate::models::plan::{Layer, output, scaled};
use crate::ops::activation::Activation;
use crate::ops::conv::{Padding, Window};

/// The paper states no learning rate for it; 0.045 is TF-Slim's.
pub(super) const DESCRIPTION: Description = Description {
    name: "inception-v3",
    title: "Inception V3",
    family: Family::InceptionV3,
    layers: Layers::Planned(|input, classes, width| plan(false, input, classes, width)),
    normalised: true,
    learning_rate: 0.045,
    batch_size: 32,
    init: Init::Glorot,
    pytorch: Some("InceptionV3()"),
};

/// The same with its auxiliary classifier.
pub(super) const WITH_AUXILIARY: Description = Description {
    name: "inception-v3-aux",
    title: "Inception V3 with auxiliary head",
    layers: Layers::Planned(|input, classes, width| plan(true, input, classes, width)),
    pytorch: Some("InceptionV3(auxiliary=True)"),
    ..DESCRIPTION
};

/// Probability of leaving a unit out before the last layer.
pub const DROP_PROBABILITY: f32 = 0.2;
/// The least height and width: smaller images do not reach the last module.
pub const LEAST: usize = 75;

/// The layers for images of `input` (height, width, channels), with the auxiliary classifier or without.
///
/// Errors: [`crate::Error::Shape`] for images smaller than [`LEAST`].
pub fn plan(auxiliary: bool, input: [usize; 3], classes: usize, width: f64) -> Result<Vec<Layer>> {
    use Padding::{Same, Valid};
    let of = |kernel, stride, padding, outputs| Layer::Conv {
        window: Window { kernel, stride: (stride, stride), padding },
        outputs: scaled(outputs, width),
        normalised: true,
    };
    let conv = |height, width, outputs| of((height, width), 1, Same, outputs);
    let down = |outputs| of((3, 3), 2, Valid, outputs);
    let max_pool = || Layer::MaxPool(Window::square(3, 2, Valid));
    let avg_pool = || Layer::AvgPool(Window::square(3, 1, Same));
    // 35x35 pixels: "Mixed_5b" to "Mixed_5d".
    let wide = |pooled| {
        Layer::Branches(vec![
            vec![conv(1, 1, 64)],
            vec![conv(1, 1, 48), conv(5, 5, 64)],
            vec![conv(1, 1, 64), conv(3, 3, 96), conv(3, 3, 96)],
            vec![avg_pool(), conv(1, 1, pooled)],
        ])
    };
    // 17x17 pixels: "Mixed_6b" to "Mixed_6e"; 7x7 kernels as two asymmetric ones.
    let middle = |inner| {
        let (high, low) = (|outputs| conv(7, 1, outputs), |outputs| conv(1, 7, outputs));
        Layer::Branches(vec![
            vec![conv(1, 1, 192)],
            vec![conv(1, 1, inner), low(inner), high(192)],
            vec![conv(1, 1, inner), high(inner), low(inner), high(inner), low(192)],
            vec![avg_pool(), conv(1, 1, 192)],
        ])
    };
    // 8x8 pixels: "Mixed_7b" and "Mixed_7c".
    let narrow = || {
        let both = || Layer::Branches(vec![vec![conv(1, 3, 384)], vec![conv(3, 1, 384)]]);
        Layer::Branches(vec![
            vec![conv(1, 1, 320)],
            vec![conv(1, 1, 384), both()],
            vec![conv(1, 1, 448), conv(3, 3, 384), both()],
            vec![avg_pool(), conv(1, 1, 192)],
        ])
    };
    let mut layers = vec![
        down(32),
        of((3, 3), 1, Valid, 32),
        conv(3, 3, 64),
        max_pool(),
        conv(1, 1, 80),
        of((3, 3), 1, Valid, 192),
        max_pool(),
        wide(32),
        wide(64),
        wide(64),
        Layer::Branches(vec![
            vec![down(384)],
            vec![conv(1, 1, 64), conv(3, 3, 96), down(96)],
            vec![max_pool()],
        ]),
        middle(128),
        middle(160),
        middle(160),
        middle(192),
    ];
    let [height, across, _] = output(&layers, input)?;
    if auxiliary {
        // Windows shrink with the image, as TF-Slim's do.
        let pool = Window { kernel: (height.min(5), across.min(5)), stride: (3, 3), padding: Valid };
        let [height, across, _] = Layer::AvgPool(pool).output([height, across, 1])?;
        layers.push(Layer::Auxiliary(vec![
            Layer::AvgPool(pool),
            conv(1, 1, 128),
            of((height.min(5), across.min(5)), 1, Valid, 768),
            Layer::Linear { outputs: classes, activation: Activation::None },
        ]));
    }
    layers.extend([
        Layer::Branches(vec![
            vec![conv(1, 1, 192), down(320)],
            vec![conv(1, 1, 192), conv(1, 7, 192), conv(7, 1, 192), down(192)],
            vec![max_pool()],
        ]),
        narrow(),
        narrow(),
        Layer::GlobalAvgPool,
        Layer::dropout(DROP_PROBABILITY),
        Layer::Linear { outputs: classes, activation: Activation::None },
    ]);
    output(&layers, input)?;
    Ok(layers)
}
