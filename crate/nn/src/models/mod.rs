//! The architectures, one file each; the one interface through which they are trained (`network`), and what stands behind it on the
//! processor (`cpu`).
//!
//! A network of the paper's kind is added here: a line of [`ModelKind`]'s list says what it is. What it is called, made of
//! and trained with is its [`Description`]; nothing else has to be told of it.

pub mod alexnet;
mod cpu;
pub mod custom;
mod description;
pub mod inception;
pub mod inception_v3;
mod initial;
pub mod mlp;
mod network;
pub mod plan;
pub mod planned;
pub(crate) mod walk;

use crate::image::CROP;
use crate::ops::activation::Activation;
use crate::{Error, Result};
pub use cpu::build_plan;
pub use custom::CustomModel;
pub use description::{Description, Family, Layers};
pub use initial::Init;
pub use network::{Network, Parameter, Role, StepOutcome, are_finite, argmax, count_correct, count_top};
pub(crate) use network::{check_memory, check_velocity};
use plan::Layer;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::path::Path;
use std::str::FromStr;

macro_rules! networks {
    ($($(#[$about:meta])* $kind:ident: $description:expr,)*) => {
        /// An architecture: one of the paper, or one's own. The names in records are those on the command line; they are part
        /// of runs' keys. One's own is `{"own": {"name": ..., "layers": [...]}}`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ModelKind {
            $($(#[$about])* $kind,)*
            /// A network of one's own.
            Custom(CustomModel),
        }

        impl ModelKind {
            /// Every architecture but one's own, in the order of the paper's tables.
            pub const ALL: [ModelKind; [$(stringify!($kind)),*].len()] = [$(ModelKind::$kind),*];

            /// All that is known of it.
            pub fn description(self) -> Description {
                match self {
                    $(ModelKind::$kind => $description,)*
                    ModelKind::Custom(own) => custom::describe(own),
                }
            }
        }
    };
}

networks! {
    /// The small Inception: 1,649,402 parameters on 28x28x3.
    Inception: inception::DESCRIPTION,
    /// The small Inception without batch normalisation: as many parameters.
    InceptionNoBn: inception::WITHOUT_NORM,
    /// The small Alexnet: 1,387,786 parameters on 28x28x3.
    Alexnet: alexnet::DESCRIPTION,
    /// Three hidden layers of 512 units: 1,735,178 parameters on 28x28x3.
    Mlp3x512: mlp::describe("mlp3x512", "MLP 3x512", &[512, 512, 512], "mlp([512, 512, 512])"),
    /// One hidden layer of 512 units: 1,209,866 parameters on 28x28x3.
    Mlp1x512: mlp::describe("mlp1x512", "MLP 1x512", &[512], "mlp([512])"),
    /// Inception V3, the paper's network for ImageNet: 23.8 million parameters.
    InceptionV3: inception_v3::DESCRIPTION,
    /// Inception V3 with its auxiliary classifier.
    InceptionV3Aux: inception_v3::WITH_AUXILIARY,
}

/// How a network of one's own is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnModelJson {
    own: CustomModel,
}

impl Serialize for ModelKind {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        if let ModelKind::Custom(own) = *self {
            return OwnModelJson { own }.serialize(to);
        }
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for ModelKind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        from.deserialize_any(Written)
    }
}

/// Reads what [`ModelKind`] is written as.
struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = ModelKind;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "a network: {}, or {{\"own\": {{\"name\": ..., \"layers\": ...}}}}", ModelKind::names())
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> std::result::Result<ModelKind, E> {
        let kind = ModelKind::ALL.into_iter().find(|kind| kind.name() == name);
        kind.ok_or_else(|| E::custom(format!("unknown network {name:?}; there are {}", ModelKind::names())))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<ModelKind, A::Error> {
        let OwnModelJson { own } = OwnModelJson::deserialize(MapAccessDeserializer::new(map))?;
        Ok(ModelKind::Custom(own))
    }
}

/// The networks of [`ModelKind::ALL`] in PyTorch, as source of a Python program, for comparisons: `MODELS` has a function a name,
/// which makes the network; `PHOTOGRAPHS` the names of those that are for photographs.
pub fn pytorch() -> String {
    let all = || ModelKind::ALL.into_iter().map(ModelKind::description);
    let twin = |d: Description| Some(format!("    {:?}: lambda: {},\n", d.name, d.pytorch?));
    let large = all().filter(|d| d.family == Family::InceptionV3).map(|d| format!("{:?}, ", d.name));
    format!(
        "{}\n\nMODELS = {{\n{}}}\nPHOTOGRAPHS = [{}]\n",
        include_str!("torch_models.py"),
        all().filter_map(twin).collect::<String>(),
        large.collect::<String>()
    )
}

/// Whether a network can be `width` times as wide as the paper's: above 0, at most 16.
pub fn is_width(width: f64) -> bool {
    width > 0.0 && width <= 16.0
}

impl ModelKind {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        self.description().name
    }

    /// The names on the command line, as a list to choose from.
    pub fn names() -> String {
        ModelKind::ALL.map(ModelKind::name).join(", ")
    }

    /// The name in the paper's tables; one's own network's name.
    pub fn title(self) -> &'static str {
        self.description().title
    }

    /// Which networks it is trained like.
    pub fn family(self) -> Family {
        self.description().family
    }

    /// Whether it has no convolutions, and is no network of one's own.
    pub fn is_mlp(self) -> bool {
        self.family() == Family::Mlp
    }

    /// How many scores a network of one's own gives for images of `input` (height, width, channels); `None` where it does not fit
    /// them, and for the paper's networks, which are made for any number of classes.
    pub fn own_classes(self, input: [usize; 3]) -> Option<usize> {
        match self.description().layers {
            Layers::Own(layers) => plan::output(layers, input).ok().map(|[_, _, classes]| classes),
            Layers::Hidden(_) | Layers::Planned(_) => None,
        }
    }

    /// Whether it is made for photographs, not for small images.
    pub fn is_for_photographs(self) -> bool {
        self.family() == Family::InceptionV3
    }

    /// Whether a layer has batch normalisation.
    pub fn is_normalised(self) -> bool {
        self.description().normalised
    }

    /// The initial learning rate unless something else is asked for: appendix A's, where it has one.
    pub fn learning_rate(self) -> f64 {
        self.description().learning_rate
    }

    /// Images a step unless something else is asked for; the paper states none.
    pub fn batch_size(self) -> usize {
        self.description().batch_size
    }

    /// How the weights start unless something else is asked for. The paper states nothing; Alexnet's is
    /// that of the tutorial from which the network is taken, the others' is TF-Slim's.
    pub fn init(self) -> Init {
        self.description().init
    }

    /// The layers of the network for images of `input` (height, width, channels); `width` multiplies the
    /// channels and units of all hidden layers.
    ///
    /// Errors: [`Error::Argument`] for a width that is not above 0 or is above 16, for no classes, and, naming the network
    /// and the layer, for images that are too small and for a last layer that gives not one score per class.
    pub fn plan(self, input: [usize; 3], classes: usize, width: f64) -> Result<Vec<Layer>> {
        let operation = "plan the network";
        if !is_width(width) {
            return Err(Error::argument(operation, format!("width factor {width} (above 0, at most 16)")));
        }
        if classes == 0 || input.contains(&0) {
            let problem = format!("{classes} classes, images of {input:?}: none may be 0");
            return Err(Error::argument(operation, problem));
        }
        // Of several networks, the error says which it is.
        let Description { name, layers, .. } = self.description();
        let named = |error: Error| plan::at(name, error);
        let plan = match layers {
            Layers::Hidden(units) => mlp::plan(units, classes, width),
            Layers::Planned(plan) => plan(input, classes, width).map_err(named)?,
            Layers::Own(layers) => custom::plan(layers, width),
        };
        let outputs = plan::output(&plan, input).map_err(named)?;
        if outputs != [1, 1, classes] {
            let expected = [1, 1, classes];
            let problem =
                format!("the last layer: expected shape {expected:?}, a score per class, got {outputs:?}");
            return Err(named(Error::argument(operation, problem)));
        }
        Ok(plan)
    }

    /// The network for images of 28x28 pixels, with weights drawn from `seed`.
    ///
    /// Errors: as for [`ModelKind::plan`] and [`build_plan`].
    pub fn build(self, channels: usize, classes: usize, init: Init, seed: u64) -> Result<Box<dyn Network>> {
        self.build_for([CROP, CROP, channels], classes, 1.0, init, seed)
    }

    /// The network for images of `input` (height, width, channels), `width` times as wide as the paper's, with
    /// weights drawn from `seed`.
    ///
    /// Errors: as for [`ModelKind::plan`] and [`build_plan`].
    pub fn build_for(
        self,
        input: [usize; 3],
        classes: usize,
        width: f64,
        init: Init,
        seed: u64,
    ) -> Result<Box<dyn Network>> {
        build_plan(self.plan(input, classes, width)?, input, init, seed)
    }
}

impl std::fmt::Display for ModelKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ModelKind {
    type Err = Error;
    fn from_str(text: &str) -> Result<ModelKind> {
        if text.ends_with(".json") {
            return CustomModel::read(Path::new(text)).map(ModelKind::Custom);
        }
        ModelKind::ALL.into_iter().find(|m| m.name() == text).ok_or_else(|| {
            let names = ModelKind::names();
            Error::argument("model", format!("{text:?} is none of {names}, nor a .json file of one's own"))
        })
    }
}
