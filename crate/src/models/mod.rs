//! The architectures, one file each.

pub mod mlp;

use serde::{Deserialize, Serialize};

/// An architecture of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// One hidden layer of 512 units: 1,209,866 parameters on 28x28x3.
    Mlp1x512,
    /// Three hidden layers of 512 units: 1,735,178 parameters on 28x28x3.
    Mlp3x512,
}

impl ModelKind {
    /// Every architecture.
    pub const ALL: [ModelKind; 2] = [ModelKind::Mlp1x512, ModelKind::Mlp3x512];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            ModelKind::Mlp1x512 => "mlp1x512",
            ModelKind::Mlp3x512 => "mlp3x512",
        }
    }

    /// The name in the paper's tables.
    pub fn title(self) -> &'static str {
        match self {
            ModelKind::Mlp1x512 => "MLP 1x512",
            ModelKind::Mlp3x512 => "MLP 3x512",
        }
    }
}
