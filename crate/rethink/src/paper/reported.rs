//! The paper's own numbers, in the paper's units (per cent), for comparison only: nothing that is
//! computed depends on them.

/// A row of table 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Table1Row {
    /// Model, as the paper writes it.
    pub model: &'static str,
    /// Number of parameters.
    pub parameters: u32,
    /// Trained on random crops.
    pub random_crop: bool,
    /// Trained with weight decay.
    pub weight_decay: bool,
    /// A shaded row: trained on random labels.
    pub random_labels: bool,
    /// Training accuracy, per cent.
    pub train: f64,
    /// Test accuracy, per cent.
    pub test: f64,
}

#[rustfmt::skip]
const fn row(model: &'static str, parameters: u32, switches: [bool; 3], train: f64, test: f64) -> Table1Row {
    let [random_crop, weight_decay, random_labels] = switches;
    Table1Row { model, parameters, random_crop, weight_decay, random_labels, train, test }
}

/// Table 1: random crop, weight decay, random labels; training and test accuracy.
#[rustfmt::skip]
pub const TABLE_1: [Table1Row; 19] = [
    row("Inception", 1_649_402, [true, true, false], 100.0, 89.05),
    row("Inception", 1_649_402, [true, false, false], 100.0, 89.31),
    row("Inception", 1_649_402, [false, true, false], 100.0, 86.03),
    row("Inception", 1_649_402, [false, false, false], 100.0, 85.75),
    row("Inception", 1_649_402, [false, false, true], 100.0, 9.78),
    row("Inception w/o BatchNorm", 1_649_402, [false, true, false], 100.0, 83.00),
    row("Inception w/o BatchNorm", 1_649_402, [false, false, false], 100.0, 82.00),
    row("Inception w/o BatchNorm", 1_649_402, [false, false, true], 100.0, 10.12),
    row("Alexnet", 1_387_786, [true, true, false], 99.90, 81.22),
    row("Alexnet", 1_387_786, [true, false, false], 99.82, 79.66),
    row("Alexnet", 1_387_786, [false, true, false], 100.0, 77.36),
    row("Alexnet", 1_387_786, [false, false, false], 100.0, 76.07),
    row("Alexnet", 1_387_786, [false, false, true], 99.82, 9.86),
    row("MLP 3x512", 1_735_178, [false, true, false], 100.0, 53.35),
    row("MLP 3x512", 1_735_178, [false, false, false], 100.0, 52.39),
    row("MLP 3x512", 1_735_178, [false, false, true], 100.0, 10.48),
    row("MLP 1x512", 1_209_866, [false, true, false], 99.80, 50.39),
    row("MLP 1x512", 1_209_866, [false, false, false], 100.0, 50.51),
    row("MLP 1x512", 1_209_866, [false, false, true], 99.34, 10.61),
];

/// A row of table 2 (appendix B): Inception V3 on ImageNet, accuracies in per cent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Table2Row {
    /// Data augmentation.
    pub augmented: bool,
    /// Dropout.
    pub dropout: bool,
    /// Weight decay.
    pub weight_decay: bool,
    /// Random labels.
    pub random_labels: bool,
    /// Top-1 and top-5 accuracy on the training set.
    pub train: [f64; 2],
    /// Top-1 and top-5 accuracy on the test set.
    pub test: [f64; 2],
    /// The best of them along the training, where the paper gives it.
    pub best: Option<[f64; 2]>,
}

const fn row2(
    [augmented, dropout, weight_decay, random_labels]: [bool; 4],
    train: [f64; 2],
    test: [f64; 2],
    best: Option<[f64; 2]>,
) -> Table2Row {
    Table2Row { augmented, dropout, weight_decay, random_labels, train, test, best }
}

/// Table 2: augmentation, dropout, weight decay, random labels; training and test accuracy. Its eighth row, Alexnet's
/// [`ALEXNET_TOP_5`], is from another paper.
#[rustfmt::skip]
pub const TABLE_2: [Table2Row; 7] = [
    row2([true, true, true, false], [92.18, 99.21], [77.84, 93.92], None),
    row2([true, false, false, false], [92.33, 99.17], [72.95, 90.43], None),
    row2([false, false, true, false], [90.60, 100.0], [67.18, 86.44], Some([72.57, 91.31])),
    row2([false, false, false, false], [99.53, 100.0], [59.80, 80.38], Some([63.16, 84.49])),
    row2([false, true, true, true], [91.18, 97.95], [0.09, 0.49], None),
    row2([false, false, true, true], [87.81, 96.15], [0.12, 0.50], None),
    row2([false, false, false, true], [95.20, 99.14], [0.11, 0.56], None),
];

/// Top-5 test accuracy on ILSVRC-2012 of Krizhevsky et al. 2012, for reference in table 2.
pub const ALEXNET_TOP_5: f64 = 83.6;

/// What is switched on in a row of table 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regularizer {
    /// Weight decay.
    WeightDecay,
    /// Random crops.
    RandomCrop,
    /// Flips and rotations up to 25 degrees.
    Augmentation,
}

impl Regularizer {
    /// For the table.
    pub fn title(self) -> &'static str {
        match self {
            Regularizer::WeightDecay => "weight decay",
            Regularizer::RandomCrop => "random crop",
            Regularizer::Augmentation => "augmentation (flip, rotation up to 25 degrees)",
        }
    }
}

/// A row of table 4 (the published version's appendix E): training accuracy on random labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Table4Row {
    /// Model, as the paper writes it.
    pub model: &'static str,
    /// What is switched on.
    pub regularizer: Regularizer,
    /// Training accuracy, per cent; `None`: "failed to converge".
    pub train: Option<f64>,
}

/// Table 4.
#[rustfmt::skip]
pub const TABLE_4: [Table4Row; 6] = [
    Table4Row { model: "Inception", regularizer: Regularizer::WeightDecay, train: Some(100.0) },
    Table4Row { model: "Alexnet", regularizer: Regularizer::WeightDecay, train: None },
    Table4Row { model: "MLP 3x512", regularizer: Regularizer::WeightDecay, train: Some(100.0) },
    Table4Row { model: "MLP 1x512", regularizer: Regularizer::WeightDecay, train: Some(99.21) },
    Table4Row { model: "Inception", regularizer: Regularizer::RandomCrop, train: Some(99.93) },
    Table4Row { model: "Inception", regularizer: Regularizer::Augmentation, train: Some(99.28) },
];

/// What figure 1 claims, in a few words an item.
pub const FIG1A: &str = "all five fit; random labels start last";
/// Section 3.1 and table 2, of ImageNet without augmentation.
pub const FIG2A: &str = "early stopping +5.4 (weight decay alone), +3.4 (nothing)";
/// Section 2.1 and the introduction: "training time increases only by a small constant factor".
pub const FIG1B: &str = "rises by a small constant factor";
/// A row of table 3, or of the text beside it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Table3Row {
    /// As the paper writes it.
    pub data: &'static str,
    /// As the paper writes it.
    pub preprocessing: &'static str,
    /// With l2 regularisation (in the text of section 5).
    pub l2: bool,
    /// Test error, per cent.
    pub test_error: f64,
    /// Norm of the minimum-norm solution (in the text of section 5).
    pub norm: Option<f64>,
}

#[rustfmt::skip]
const fn row3(data: &'static str, preprocessing: &'static str, l2: bool, test_error: f64, norm: Option<f64>) -> Table3Row {
    Table3Row { data, preprocessing, l2, test_error, norm }
}

/// Table 3, and from section 5's text the norms and the error with l2.
pub const TABLE_3: [Table3Row; 5] = [
    row3("MNIST", "none", false, 1.2, Some(220.0)),
    row3("MNIST", "gabor filters", false, 0.6, Some(390.0)),
    row3("CIFAR10", "none", false, 46.0, None),
    row3("CIFAR10", "random conv-net", false, 17.0, None),
    row3("CIFAR10", "random conv-net", true, 15.0, None),
];
/// Section 5 on the norms.
pub const NORMS: &str = "norm 220 to 390 while the error halves; l2 does not improve";
/// Theorem 1.
pub const THEOREM1: &str = "2n + d weights fit any labels of n points";
/// Corollary 1.
pub const COROLLARY1: &str = "depth k, width O(n/k), O(n + d) weights";
/// Section 5: what SGD finds, and other solutions.
pub const MIN_NORM: &str =
    "SGD will often find the minimum norm; others that fit have a significantly larger norm";
/// Section 2.2: Rademacher complexity and VC dimension.
pub const RADEMACHER: &str = "complexity 1, VC bound trivial";
/// Section 1.2: "even empirically training neural networks is not uniformly stable for many passes over the data".
pub const STABILITY: &str = "not uniformly stable for many passes";
/// Figure 1c: the test errors go from 14.25 %, 23.93 % and 49.49 % (table 1: Inception, Alexnet, MLP 1x512) to 90 %.
pub const FIG1C: &str = "rises steadily to 90 %";
/// Section 3.1: "the impact on the generalization performance is only 3~4%"; table 1: 85.75 and 82.00 %.
pub const FIG2B: &str = "batch norm worth 3 to 4 points of test accuracy; early stopping no help";
/// Table 1: parameters of the small Inception.
pub const FIG3: &str = "1,649,402 parameters";
