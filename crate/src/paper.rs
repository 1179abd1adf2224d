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

/// Training images of CIFAR-10 in the paper.
pub const CIFAR_TRAIN: usize = 50_000;

/// What figure 1 claims, in a few words an item.
pub const FIG1A: &str = "all five fit; random labels last";
/// Section 2.1 and the introduction: "training time increases only by a small constant factor".
pub const FIG1B: &str = "rises by a small constant factor";
/// Theorem 1.
pub const THEOREM1: &str = "2n + d weights fit any labels of n points";
/// Figure 1c: the test error of MLP 1x512 goes from 49.49 % (table 1) to 90 %.
pub const FIG1C: &str = "rises steadily to 90 %";
