//! The paper's sentences as checks: for each, made-up results that bear it out, and some that it must fail on.

use polars::prelude::{Column, DataFrame};
use rethink::claims::{Check, Judgement, all, check_all};
use rethink::data::DataId;
use rethink::data::augmentation::Augmentation;
use rethink::data::corruption::Corruption;
use rethink::data::shapes10;
use rethink::data::{Dataset, Split};
use rethink::measure::{Measured, MeasuredRecord, Measurement, Quantity};
use rethink::paper::reported::{TABLE_2, Table2Row};
use rethink::paper::{self, fig1a, fig1b, fig2b, table1, table2, table4};
use rethink::run::appendix_a::{self, Size};
use rethink::run::comparison::Free;
use rethink::run::config::{RunConfig, Scale, Seeds, TrainConfig};
use rethink::run::provenance::Provenance;
use rethink::run::row::{LogRow, StopReason};
use rethink::run::train::TrainedRun;
use rethink::store::{Run, finish};
use rethink_nn::device::Device;
use rethink_nn::models::ModelKind;
use rethink_nn::precision::Precision;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// Made once: it is large, and its fingerprint takes long.
fn data() -> &'static Dataset {
    static DATA: LazyLock<Dataset> = LazyLock::new(|| {
        let split =
            |n: usize| Split { images: vec![7; n * 3072], labels: (0..n).map(|i| i as u16 % 10).collect() };
        let classes = (0..10).map(|c| format!("class {c}")).collect();
        Dataset::new("cifar10", "flat", classes, [3, 32, 32], split(50_000), split(10_000)).unwrap()
    });
    &DATA
}

/// A run that nobody trained, an epoch for each of `losses`; test accuracies `tests` (the last one stays).
fn made(config: &RunConfig, losses: &[f64], train: f64, tests: &[f64]) -> Run {
    let row = |(i, &loss): (usize, &f64)| LogRow {
        step: 100 * (i as u32 + 1),
        epoch: i as u32 + 1,
        loss,
        batch_accuracy: 0.5,
        train_accuracy: (i + 1 == losses.len()).then_some(train),
        test_accuracy: Some(tests[i.min(tests.len() - 1)]),
        learning_rate: 0.01,
        train_top5: None,
        test_top5: None,
        seconds: i as f64,
    };
    let rows = losses.iter().enumerate().map(row).collect();
    let fitted = train == 1.0 && config.hyper.stop_when_fitted;
    let ending = if fitted { StopReason::Fitted } else { StopReason::Completed };
    let classes = Some(if config.data.name == "imagenet" { 1_000 } else { 10 });
    let (parameters, history) = (Vec::new(), Default::default());
    let parameter_count = 1_649_402;
    let trained = TrainedRun { rows, ending, parameters, parameter_count, classes, history, left_out: None };
    finish(config, Scale::Paper, &trained).unwrap()
}

fn setting(model: ModelKind, corruption: Corruption) -> RunConfig {
    appendix_a::config_at(data(), Scale::Paper, model, corruption, Seeds::repeat(0))
}

fn losses(epochs: usize) -> Vec<f64> {
    (0..epochs).map(|i| 2.3 * (1.0 - i as f64 / epochs as f64) + 0.001).collect()
}

fn one((runs, measured): &Evidence, id: &str) -> Check {
    let mut checks: Vec<Check> = check_all(runs, measured).into_iter().filter(|c| c.id == id).collect();
    assert_eq!(checks.len(), 1, "{id}");
    checks.remove(0)
}

fn verdict(runs: &[Run], id: &str) -> Check {
    one(&(runs.to_vec(), Vec::new()), id)
}

#[track_caller]
fn expect(runs: &[Run], id: &str, expected: Judgement) {
    let check = verdict(runs, id);
    assert_eq!(check.verdict, expected, "{id}: {:?} {:?}", check.measured, check.lacking);
}

/// The paper's table 1 as runs.
fn table_1() -> Vec<Run> {
    let configs = table1::RECIPE.runs(data(), Scale::Paper);
    let rows = table1::rows();
    let run = |(config, (row, _)): (&RunConfig, &(&rethink::paper::reported::Table1Row, ModelKind))| {
        let epochs = if row.random_labels { 40 } else { 15 };
        made(config, &losses(epochs), row.train / 100.0, &[row.test / 100.0])
    };
    configs.iter().zip(&rows).map(run).collect()
}

/// What a claim is checked on.
type Evidence = (Vec<Run>, Vec<Measured>);

fn of_runs(runs: Vec<Run>) -> Evidence {
    (runs, Vec::new())
}

/// Table 1 with other accuracies of `model` on `corruption`.
fn table_1_but(model: ModelKind, corruption: Corruption, train: f64, test: f64) -> Evidence {
    of_runs(changed(&table_1(), model, corruption, train, test))
}

/// Table 1 with another test accuracy on true labels of the runs of `model` that `which` picks.
fn table_1_with(model: ModelKind, which: fn(&RunConfig) -> bool, test: f64) -> Evidence {
    let mut runs = table_1();
    for run in &mut runs {
        let config = &run.record.config;
        if config.model == model && config.corruption == Corruption::TrueLabels && which(config) {
            run.record.test_accuracy = Some(test);
        }
    }
    of_runs(runs)
}

fn cropped(config: &RunConfig) -> bool {
    config.hyper.random_crop
}

fn decayed(config: &RunConfig) -> bool {
    config.hyper.weight_decay > 0.0
}

/// The paper's figure 1a: true labels, random labels, shuffled pixels, random pixels, Gaussian.
const CURVES: [(usize, usize); 5] = [(0, 10), (38, 5), (2, 10), (28, 5), (20, 5)];

/// The paper's figures 1b and 1c.
fn noise_levels() -> Vec<Run> {
    levels(&[(0.0, 10, 0.5, 1.0), (0.5, 14, 0.7, 1.0), (0.8, 16, 0.85, 1.0), (1.0, 18, 0.9, 1.0)])
}

fn dip() -> Evidence {
    of_runs(levels(&[(0.0, 10, 0.5, 1.0), (0.5, 9, 0.8, 1.0), (0.8, 7, 0.6, 0.9), (1.0, 8, 0.7, 1.0)]))
}

/// Table 4's runs: training accuracy of Alexnet and Inception, test accuracy of all; and Alexnet without weight decay.
fn table_4(alexnet: f64, inception: f64, test: f64) -> Evidence {
    let train = |config: &RunConfig| match config.model.title() {
        "Alexnet" => alexnet,
        "Inception" => inception,
        _ => 1.0,
    };
    // The controls are made where a test asks for them.
    let configs = table4::RECIPE.runs(data(), Scale::Paper);
    let configs: Vec<_> = configs.into_iter().filter(|c| table4::control(c).is_none()).collect();
    let mut runs: Vec<Run> = configs.iter().map(|c| made(c, &losses(20), train(c), &[test])).collect();
    runs.push(made(&setting(ModelKind::Alexnet, Corruption::RandomLabels), &losses(20), 0.998, &[0.1]));
    of_runs(runs)
}

/// Figure 2b's runs, that go on: test accuracies with batch normalisation and without, epochs until they have fitted.
fn batch_norm(with: &[f64], without: &[f64], fast: usize, slow: usize) -> Evidence {
    let fall = |epochs: usize| -> Vec<f64> {
        (0..64).map(|e| 2.3 * (1.0 - e as f64 / epochs as f64).max(0.0)).collect()
    };
    let mut configs = fig2b::RECIPE.runs(data(), Scale::Paper);
    configs.iter_mut().for_each(|config| {
        config.hyper.keep_going();
        config.data.fingerprint = CIFAR_IMAGES.into();
        config.hyper.epochs = 64;
    });
    of_runs(vec![made(&configs[0], &fall(fast), 1.0, with), made(&configs[1], &fall(slow), 1.0, without)])
}

fn rising(end: f64, unrest: f64) -> Vec<f64> {
    let at = |e: usize| end * (e as f64 / 20.0).min(1.0) - if e.is_multiple_of(2) { unrest } else { 0.0 };
    (0..64).map(at).collect()
}

fn peak() -> Vec<f64> {
    (0..64).map(|e| if e == 10 { 0.95 } else { 0.86 }).collect()
}

/// Table 2's rows: training accuracy, best and last test accuracy, top-5 test accuracy.
type Photographs = [(f64, f64, f64, f64); 7];

/// Table 2's runs on a data set of this name.
fn photographs_of(name: &str, rows: Photographs) -> Vec<Run> {
    let mut id = DataId { name: name.into(), ..data().id(50_000, 10_000) };
    if name == "imagenet" {
        (id.title, id.train) = ("ImageNet (ILSVRC-2012)".into(), 1_281_167);
    }
    let run = |(row, (train, best, last, top5)): (&Table2Row, (f64, f64, f64, f64))| {
        let config = table2::configure_on(row, id.clone(), Scale::Paper, Seeds::repeat(0));
        let mut run = made(&config, &losses(3), train, &[0.1, best, last]);
        run.record.test_top5 = Some(top5);
        run
    };
    TABLE_2.iter().zip(rows).map(run).collect()
}

fn photographs(rows: Photographs) -> Evidence {
    of_runs(photographs_of("imagenet", rows))
}

fn papers_photographs() -> Photographs {
    TABLE_2.map(|row| {
        let best = row.best.map_or(row.test[0], |best| best[0]);
        (row.train[0] / 100.0, best / 100.0, row.test[0] / 100.0, row.test[1] / 100.0)
    })
}

const LEVEL: Photographs = [(0.8, 0.5, 0.5, 0.5); 7];

/// Checksums of the paper's data sets.
const MNIST_IMAGES: &str = "4d3a268456b92b699446d4f8b263110d7ebad47ebd05242357372b14804f3bf6";
const CIFAR_IMAGES: &str = "f43bf6a33f958776c1159c2d0d6dde911aefbf835befaf4056b208d0463966e8";

/// A measurement that nobody made, on the first `train` images of a data set called `name`.
fn measured(name: &str, train: usize, what: serde_json::Value, columns: Vec<Column>) -> Measured {
    let what: Quantity = serde_json::from_value(what).unwrap();
    let title = name.to_uppercase();
    let fingerprint = if name == "mnist" { MNIST_IMAGES } else { CIFAR_IMAGES };
    let data = DataId { name: name.into(), title, fingerprint: fingerprint.into(), train, test: 10_000 };
    let frame = DataFrame::new(columns[0].len(), columns).unwrap();
    let record = MeasuredRecord {
        measurement: Measurement { schema: 1, data, what, seed: 1 },
        scale: Scale::Paper,
        seconds: 1.0,
        digest: String::new(),
        provenance: Provenance::on(Device::Cpu, Precision::Float32).unwrap(),
    };
    Measured { record, frame }
}

fn numbers(columns: &[(&str, &[f64])]) -> Vec<Column> {
    columns.iter().map(|(name, values)| Column::new((*name).into(), values.to_vec())).collect()
}

fn theorem_1(weights: f64, error: f64, largest_weight: f64) -> Evidence {
    let columns = numbers(&[
        ("n", &[100.0]),
        ("d", &[3072.0]),
        ("weights", &[weights]),
        ("largest_error", &[error]),
        ("smallest_eigenvalue", &[1e-5]),
        ("largest_weight", &[largest_weight]),
        ("weight_bound", &[100.0]),
    ]);
    (Vec::new(), vec![measured("cifar10", 100, json!({"kind": "theorem1"}), columns)])
}

fn corollary_1(width: f64, weights: f64) -> Evidence {
    let columns = numbers(&[
        ("n", &[2000.0]),
        ("d", &[3072.0]),
        ("depth", &[13.0]),
        ("width", &[width]),
        ("weights", &[weights]),
        ("largest_error", &[1e-9]),
    ]);
    (Vec::new(), vec![measured("cifar10", 2_000, json!({"kind": "corollary1", "depth": 13}), columns)])
}

fn rademacher(width: f64, correlation: f64, bound: f64) -> Evidence {
    let what = json!({
        "kind": "rademacher", "class": {"model": "mlp1x512", "width": width}, "epochs": 100, "draws": 2
    });
    let columns = numbers(&[
        ("parameters", &[1_209_866.0; 2]),
        ("correlation", &[correlation, 1.0]),
        ("vc_bound", &[bound; 2]),
    ]);
    (Vec::new(), vec![measured("cifar10", 500, what, columns)])
}

/// Largest changes with true and random labels after 1 and `passes` passes.
fn stability(clean: [f64; 2], random: [f64; 2], passes: usize) -> Evidence {
    let of = |labels: &str, changes: [f64; 2]| {
        let what = json!({
            "kind": "stability", "class": {"model": "mlp1x512", "width": 1.0},
            "corruption": {"kind": labels}, "epochs": [1, passes], "replaced": 1
        });
        let columns = numbers(&[("epochs", &[1.0, passes as f64]), ("largest_change", &changes)]);
        measured("cifar10", 1_000, what, columns)
    };
    (Vec::new(), vec![of("true-labels", clean), of("random-labels", random)])
}

/// SGD's path, first and last epoch of each start: distance, Hessian and dimensions without curvature at the ends.
fn sgd(zero: f64, off_span: f64, hessian: f64, nullity: f64) -> Evidence {
    sgd_to((1.0, 1e-12), zero, off_span, hessian, nullity)
}

/// The same with the distance and loss to which it came from a random start.
fn sgd_to(random: (f64, f64), zero: f64, off_span: f64, hessian: f64, nullity: f64) -> Evidence {
    let mut columns = vec![Column::new("start".into(), ["zero", "zero", "random", "random"])];
    columns.extend(numbers(&[
        ("distance", &[1.0, zero, 1.4, random.0]),
        ("loss", &[1.0, 1e-12, 2.0, random.1]),
        ("off_span", &[0.0, off_span, 0.9, 0.7]),
        ("hessian", &[0.6, 1e-9, 0.7, hessian]),
        ("nullity", &[nullity; 4]),
    ]));
    (Vec::new(), vec![measured("cifar10", 200, json!({"kind": "sgd-path", "epochs": 1}), columns)])
}

fn interpolators(norm: f64, test: f64) -> Evidence {
    let names = ["minimum norm", "random centres", "random labels on test images"];
    let mut columns = vec![Column::new("solution".into(), names)];
    columns.extend(numbers(&[
        ("norm", &[50.0, norm, norm]),
        ("train_error", &[0.0; 3]),
        ("test_error", &[0.3, test, test]),
        ("forced_error", &[0.3, 0.3, test]),
    ]));
    (Vec::new(), vec![measured("cifar10", 4_000, json!({"kind": "interpolators"}), columns)])
}

/// A row of table 3: test error, norm; `l2`, and what was added to the diagonal otherwise.
#[derive(Clone, Copy)]
struct Kernel {
    data: &'static str,
    n: usize,
    preprocessing: &'static str,
    filters: usize,
    l2: bool,
    floor: f64,
    error: f64,
    norm: f64,
}

const MNIST: Kernel = Kernel {
    data: "mnist",
    n: 60_000,
    preprocessing: "none",
    filters: 0,
    l2: false,
    floor: 0.0,
    error: 0.012,
    norm: 220.0,
};
const GABOR: Kernel = Kernel { preprocessing: "gabor", error: 0.006, norm: 390.0, ..MNIST };
const CIFAR: Kernel = Kernel { data: "cifar10", n: 50_000, error: 0.46, ..MNIST };
const CONV: Kernel = Kernel { preprocessing: "conv", filters: 32_000, error: 0.17, ..CIFAR };
const CONV_L2: Kernel = Kernel { l2: true, error: 0.15, ..CONV };

fn kernels(rows: &[Kernel]) -> Evidence {
    let of = |row: &Kernel| {
        let preprocessing = match row.preprocessing {
            "gabor" => {
                json!({"gabor": {"orientations": 8, "wavelengths": [3.0, 5.0, 8.0], "pool": 7, "stride": 3}})
            }
            "conv" | "linear" => json!({"random-conv": {"filters": row.filters}}),
            _ => json!("none"),
        };
        let mut what = json!({
            "kind": "kernel-equation", "preprocessing": preprocessing, "width": "held-out", "plain": !row.l2, "ridge": row.l2
        });
        if row.preprocessing == "conv" {
            (what["on_features"], what["standardised"]) = ("gaussian".into(), true.into());
        }
        let columns = numbers(&[
            ("n", &[row.n as f64]),
            ("test", &[10_000.0]),
            ("filters", &[row.filters as f64]),
            ("gamma", &[0.02]),
            ("ridge", &[if row.l2 { 1e-3 } else { 0.0 }]),
            ("floor", &[row.floor]),
            ("train_error", &[0.0]),
            ("test_error", &[row.error]),
            ("norm", &[row.norm]),
        ]);
        measured(row.data, row.n, what, columns)
    };
    (Vec::new(), rows.iter().map(of).collect())
}

/// MNIST's rows without l2 and with it, of which the error is `with`.
fn with_l2(with: f64) -> Evidence {
    let l2 = |row: Kernel| Kernel { l2: true, error: with * row.error, ..row };
    kernels(&[MNIST, GABOR, l2(MNIST), l2(GABOR)])
}

/// Each claim with results that bear it out and results that contradict it.
type Case = (&'static str, fn() -> Evidence, fn() -> Evidence);

const CASES: &[Case] = &[
    (
        "more-parameters-than-samples",
        || of_runs(table_1()),
        || {
            let mut runs = table_1();
            runs.iter_mut().for_each(|run| run.record.parameters = 60_000);
            of_runs(runs)
        },
    ),
    (
        "random-labels-fitted",
        || of_runs(table_1()),
        || table_1_but(ModelKind::Inception, Corruption::RandomLabels, 0.7, 0.1),
    ),
    (
        "random-labels-test-at-chance",
        || of_runs(table_1()),
        || table_1_but(ModelKind::Mlp1x512, Corruption::RandomLabels, 1.0, 0.3),
    ),
    (
        "labels-alone-raise-the-error",
        || of_runs(table_1()),
        || table_1_but(ModelKind::Inception, Corruption::RandomLabels, 1.0, 0.8),
    ),
    (
        "small-constant-factor",
        || of_runs(table_1()),
        || of_runs(levels(&[(0.0, 10, 0.5, 1.0), (1.0, 80, 0.9, 1.0)])),
    ),
    ("noise-images-fitted", || of_runs(curves(CURVES, 1.0)), || of_runs(curves(CURVES, 0.8))),
    ("steady-deterioration", || of_runs(noise_levels()), dip),
    (
        "remaining-signal",
        || of_runs(noise_levels()),
        || of_runs(levels(&[(0.0, 10, 0.5, 1.0), (0.5, 60, 0.9, 1.0), (1.0, 80, 0.9, 1.0)])),
    ),
    (
        "unchanged-hyperparameters",
        || of_runs(table_1()),
        || table_1_but(ModelKind::Inception, Corruption::RandomLabels, 0.7, 0.1),
    ),
    ("broken-images-fitted", || of_runs(curves(CURVES, 1.0)), || of_runs(curves(CURVES, 0.8))),
    (
        "random-labels-start-later",
        || of_runs(curves(CURVES, 1.0)),
        || of_runs(curves([(5, 10), (0, 10), (2, 10), (28, 5), (20, 5)], 1.0)),
    ),
    (
        "quick-once-started",
        || of_runs(curves(CURVES, 1.0)),
        || of_runs(curves([(0, 5), (10, 40), (2, 10), (28, 5), (20, 5)], 1.0)),
    ),
    (
        "noise-before-random-labels",
        || of_runs(curves(CURVES, 1.0)),
        || of_runs(curves([(5, 10), (0, 10), (2, 10), (28, 5), (20, 5)], 1.0)),
    ),
    (
        "alexnet-and-mlps-fit",
        || of_runs(table_1()),
        || table_1_but(ModelKind::Alexnet, Corruption::TrueLabels, 0.5, 0.75),
    ),
    ("partial-labels-fitted", || of_runs(noise_levels()), dip),
    ("slower-with-noise", || of_runs(noise_levels()), dip),
    ("error-converges-to-chance", || of_runs(noise_levels()), dip),
    (
        "stability-ignores-labels",
        || stability([0.1, 3.0], [0.2, 4.0], 30),
        || stability([0.1, 0.9], [0.2, 40.0], 30),
    ),
    (
        "not-uniformly-stable",
        || stability([0.1, 3.0], [0.2, 4.0], 30),
        || stability([0.1, 0.5], [0.2, 4.0], 30),
    ),
    ("rademacher-complexity-one", || rademacher(1.0, 1.0, 1.9), || rademacher(1.0, 0.5, 1.9)),
    ("vc-bound-trivial", || rademacher(1.0, 1.0, 1.9), || rademacher(1.0, 1.0, 0.4)),
    (
        "regularization-not-necessary",
        || of_runs(table_1()),
        || {
            // 0.90 of the best with regularisers, where the paper has 0.96.
            table_1_with(ModelKind::Inception, |c| !cropped(c) && !decayed(c), 0.80)
        },
    ),
    ("regularization-not-sufficient", || table_4(0.1, 1.0, 0.1), || table_4(0.1, 1.0, 0.4)),
    ("fitted-with-weight-decay", || table_4(0.1, 1.0, 0.1), || table_4(0.1, 0.6, 0.1)),
    ("alexnet-with-weight-decay-fails", || table_4(0.1, 1.0, 0.1), || table_4(1.0, 1.0, 0.1)),
    (
        "regularizers-help",
        || of_runs(table_1()),
        || {
            // Crops help everywhere; weight decay hurts one model.
            table_1_with(ModelKind::Mlp3x512, decayed, 0.45)
        },
    ),
    (
        "crops-beat-weight-decay",
        || of_runs(table_1()),
        || table_1_with(ModelKind::Inception, cropped, 0.8605),
    ),
    (
        "architecture-over-regularizers",
        || of_runs(table_1()),
        || table_1_with(ModelKind::Mlp1x512, decayed, 0.99),
    ),
    (
        "order-of-models",
        || of_runs(table_1()),
        || table_1_but(ModelKind::Inception, Corruption::TrueLabels, 1.0, 0.6),
    ),
    (
        "early-stopping-no-help",
        || batch_norm(&rising(0.86, 0.0), &rising(0.825, 0.01), 10, 20),
        || batch_norm(&peak(), &rising(0.825, 0.01), 10, 20),
    ),
    (
        "batch-norm-steadies",
        || batch_norm(&rising(0.86, 0.0), &rising(0.825, 0.01), 10, 20),
        || batch_norm(&rising(0.86, 0.05), &rising(0.825, 0.01), 10, 20),
    ),
    (
        "batch-norm-worth-3-to-4",
        || batch_norm(&rising(0.86, 0.0), &rising(0.825, 0.0), 10, 20),
        || batch_norm(&rising(0.96, 0.0), &rising(0.825, 0.0), 10, 20),
    ),
    (
        "imagenet-random-labels-fitted",
        || photographs(papers_photographs()),
        || {
            // Above the threshold of the rows with regularisers.
            let mut rows = papers_photographs();
            rows[6].0 = 0.92;
            photographs(rows)
        },
    ),
    ("imagenet-random-labels-regularized", || photographs(papers_photographs()), || photographs(LEVEL)),
    (
        "imagenet-random-labels-at-chance",
        || photographs(papers_photographs()),
        || photographs([(0.95, 0.002, 0.01, 0.01); 7]),
    ),
    (
        "imagenet-drop-without-regularizers",
        || photographs(papers_photographs()),
        || {
            let mut rows = papers_photographs();
            rows[0].2 = rows[3].2 + 0.08;
            photographs(rows)
        },
    ),
    ("imagenet-above-guessing", || photographs(papers_photographs()), || photographs(LEVEL)),
    (
        "augmentation-beats-weight-decay",
        || photographs(papers_photographs()),
        || {
            let mut rows = papers_photographs();
            rows[1].2 = rows[2].2 + 0.025;
            photographs(rows)
        },
    ),
    ("imagenet-top-5-without-regularizers", || photographs(papers_photographs()), || photographs(LEVEL)),
    ("early-stopping-could-help-imagenet", || photographs(papers_photographs()), || photographs(LEVEL)),
    ("theorem-1", || theorem_1(3272.0, 1e-9, 10.0), || theorem_1(3273.0, 1e-9, 10.0)),
    ("lemma-1-bounds-the-weights", || theorem_1(3272.0, 1e-9, 10.0), || theorem_1(3272.0, 1e-9, 101.0)),
    ("corollary-1", || corollary_1(230.0, 9_000.0), || corollary_1(2_000.0, 9_000.0)),
    ("equal-curvature", || sgd(1e-6, 1e-15, 1e-9, 2_152.0), || sgd(1e-6, 1e-15, 0.4, 2_152.0)),
    ("hessian-degenerate", || sgd(1e-6, 1e-15, 1e-9, 2_152.0), || sgd(1e-6, 1e-15, 1e-9, 0.0)),
    ("sgd-stays-in-the-span", || sgd(1e-6, 1e-15, 1e-9, 2_152.0), || sgd(1e-6, 0.1, 1e-9, 2_152.0)),
    ("kernels-generalize", || kernels(&[CIFAR]), || kernels(&[Kernel { error: 0.7, ..CIFAR }])),
    ("kernel-mnist-1.2", || kernels(&[MNIST]), || kernels(&[Kernel { error: 0.015, ..MNIST }])),
    ("kernel-mnist-gabor-0.6", || kernels(&[GABOR]), || kernels(&[Kernel { error: 0.009, ..GABOR }])),
    ("l2-no-help-on-mnist", || with_l2(1.0), || with_l2(0.5)),
    ("kernel-cifar10-46", || kernels(&[CIFAR]), || kernels(&[Kernel { error: 0.5, ..CIFAR }])),
    ("kernel-cifar10-conv-net-17", || kernels(&[CONV]), || kernels(&[Kernel { error: 0.22, ..CONV }])),
    (
        "kernel-cifar10-conv-net-l2-15",
        || kernels(&[CONV_L2]),
        || kernels(&[Kernel { error: 0.22, ..CONV_L2 }]),
    ),
    (
        "preprocessing-lowers-the-error",
        || kernels(&[MNIST, GABOR]),
        || kernels(&[MNIST, Kernel { error: 0.0115, ..GABOR }]),
    ),
    (
        "l2-helps-the-conv-net",
        || kernels(&[CONV, CONV_L2]),
        || kernels(&[CONV, Kernel { error: 0.17, ..CONV_L2 }]),
    ),
    ("sgd-finds-the-minimum-norm", || sgd(1e-6, 1e-15, 1e-9, 2_152.0), || sgd(0.5, 1e-15, 1e-9, 2_152.0)),
    ("larger-norms-elsewhere", || interpolators(500.0, 0.9), || interpolators(60.0, 0.9)),
    (
        "norm-not-predictive",
        || kernels(&[MNIST, GABOR]),
        || kernels(&[MNIST, Kernel { norm: 180.0, ..GABOR }]),
    ),
];

#[test]
fn each_claim_holds_on_results_that_bear_it_out_and_fails_on_others() {
    let mut named: Vec<&str> = CASES.iter().map(|case| case.0).collect();
    let mut ids: Vec<&str> = all().iter().map(|claim| claim.id).collect();
    named.sort_unstable();
    ids.sort_unstable();
    assert_eq!(named, ids, "a claim without results that must fail it, or results of no claim");
    ids.dedup();
    assert_eq!(named, ids, "names are distinct");
    for (id, holds, fails) in CASES {
        let good = one(&holds(), id);
        assert_eq!(good.verdict, Judgement::Holds, "{id}: {:?} {:?}", good.measured, good.lacking);
        let bad = one(&fails(), id);
        assert_eq!(bad.verdict, Judgement::Fails, "{id}: {:?} {:?}", bad.measured, bad.lacking);
        assert!(bad.measured.iter().any(|part| part.ends_with("(fails)")), "{id}: {:?}", bad.measured);
        assert!(!bad.runs.is_empty() && bad.n > 0 && bad.scale == Some(Scale::Paper), "{id}: {bad:?}");
    }
}

/// The dimensions follow from the sizes: without two solutions that were found, they bear nothing out.
#[test]
fn a_degenerate_hessian_is_seen_in_two_solutions() {
    let check = |distance, loss| {
        one(&sgd_to((distance, loss), 1e-6, 1e-15, 1e-9, 2_152.0), "hessian-degenerate").verdict
    };
    assert_eq!(check(1.0, 1e-12), Judgement::Holds);
    assert_eq!(check(1e-6, 1e-12), Judgement::Fails);
    assert_eq!(check(1.0, 0.1), Judgement::NotYetMeasured);
}

#[test]
fn every_claim_names_the_recipes_that_measure_it() {
    for claim in all() {
        assert!(!claim.recipes.is_empty(), "{}", claim.id);
        claim.recipes.iter().for_each(|id| assert!(paper::find(id).is_ok(), "{}: {id}", claim.id));
    }
}

#[test]
fn a_sentence_of_which_a_network_was_not_run_holds_in_part() {
    let mut runs = table_1();
    let whole = verdict(&runs, "order-of-models");
    assert_eq!((whole.verdict, whole.in_part, whole.title()), (Judgement::Holds, false, "holds"));
    runs.retain(|run| run.record.config.model != ModelKind::InceptionNoBn);
    let part = verdict(&runs, "order-of-models");
    assert_eq!((part.verdict, part.in_part, part.title()), (Judgement::Holds, true, "holds in part"));
    assert_eq!(part.lacking, ["Inception w/o BatchNorm: not run"]);
    // One that fails does so whatever was not run, and one that nothing was run of is not judged.
    let failing = changed(&runs, ModelKind::Alexnet, Corruption::TrueLabels, 1.0, 0.2);
    let failing = verdict(&failing, "order-of-models");
    assert_eq!((failing.verdict, failing.in_part), (Judgement::Fails, false));
    let none = verdict(&[], "order-of-models");
    assert_eq!((none.verdict, none.in_part), (Judgement::NotYetMeasured, false));
}

/// The paper's network that regularisers help most has 0.94 of its best accuracy without: so many or more are enough of all.
#[test]
fn regularisers_may_help_and_yet_not_be_necessary() {
    for (test, expected) in [(0.49, Judgement::Holds), (0.45, Judgement::Fails)] {
        let plain = |config: &RunConfig| config.hyper.weight_decay == 0.0 && !config.hyper.random_crop;
        let (runs, _) = table_1_with(ModelKind::Mlp1x512, plain, test);
        expect(&runs, "regularization-not-necessary", expected);
    }
}

#[test]
fn an_unfitted_network_at_chance_says_nothing() {
    let id = "random-labels-test-at-chance";
    let config = setting(ModelKind::Inception, Corruption::RandomLabels);
    let unfitted = made(&config, &losses(9), 0.3, &[0.1]);
    expect(std::slice::from_ref(&unfitted), id, Judgement::NotYetMeasured);
    assert!(verdict(&[unfitted], id).lacking[0].contains("30.00 %"));
}

#[test]
fn chance_is_one_in_so_many_classes() {
    let config = setting(ModelKind::Inception, Corruption::RandomLabels);
    let id = "random-labels-test-at-chance";
    let mut run = made(&config, &losses(9), 1.0, &[0.01]);
    run.record.classes = Some(100);
    expect(&[run.clone()], id, Judgement::Holds);
    run.record.test_accuracy = Some(0.1);
    expect(&[run.clone()], id, Judgement::Fails);
    // Records of earlier versions do not say; their small images had ten.
    run.record.classes = None;
    expect(&[run], id, Judgement::Holds);
}

#[test]
fn alexnets_failure_needs_its_undecayed_twin_and_no_coefficient_that_fits() {
    let id = "alexnet-with-weight-decay-fails";
    let (runs, _) = table_4(0.1, 1.0, 0.1);
    let (alone, twin) = (&runs[..runs.len() - 1], &runs[runs.len() - 1]);
    expect(alone, id, Judgement::NotYetMeasured);
    let weak = made(&twin.record.config, &losses(20), 0.6, &[0.1]);
    expect(&[alone, &[weak]].concat(), id, Judgement::NotYetMeasured);
    let mut control =
        runs.iter().find(|r| decayed(&r.record.config) && r.record.config.model == ModelKind::Alexnet);
    let mut config = control.take().unwrap().record.config.clone();
    config.hyper.weight_decay = 5e-4;
    let fits = made(&config, &losses(20), 0.999, &[0.1]);
    let with = [&runs[..], &[fits]].concat();
    expect(&with, id, Judgement::Fails);
    assert!(verdict(&with, id).measured.iter().any(|part| part.contains("control (weight decay 5e-4)")));
    let fails_too = made(&config, &losses(20), 0.2, &[0.1]);
    expect(&[&runs[..], &[fails_too]].concat(), id, Judgement::Holds);
}

/// Weight decay of 4e-3 at a rate of 0.01 takes 2,500 steps to act: six epochs of 391 say nothing of it, seven do.
#[test]
fn that_alexnet_fits_before_weight_decay_acts_says_nothing_of_it() {
    let id = "alexnet-with-weight-decay-fails";
    let (runs, _) = table_4(1.0, 1.0, 0.1);
    let lasting = |epochs| -> Vec<Run> {
        let of =
            |run: &Run| match decayed(&run.record.config) && run.record.config.model == ModelKind::Alexnet {
                true => made(&run.record.config, &losses(epochs), 1.0, &[0.1]),
                false => run.clone(),
            };
        runs.iter().map(of).collect()
    };
    expect(&lasting(7), id, Judgement::Fails);
    expect(&lasting(6), id, Judgement::NotYetMeasured);
    let check = verdict(&lasting(6), id);
    assert!(check.lacking.iter().any(|part| part.contains("after 2,346 steps")), "{:?}", check.lacking);
}

#[test]
fn a_control_is_not_the_papers_row() {
    let mut config = setting(ModelKind::Mlp1x512, Corruption::RandomLabels);
    config.hyper.batch_size = 128;
    let control = made(&config, &losses(9), 0.985, &[0.1]);
    expect(std::slice::from_ref(&control), "random-labels-test-at-chance", Judgement::NotYetMeasured);
    let ours = made(&setting(ModelKind::Mlp1x512, Corruption::RandomLabels), &losses(9), 0.995, &[0.1]);
    let check = verdict(&[ours, control], "random-labels-fitted");
    assert_eq!(check.verdict, Judgement::Fails);
    assert!(check.measured[1].contains("control (batches of 128)"), "{:?}", check.measured);
}

#[test]
fn runs_that_ended_at_their_first_fit_say_nothing_of_early_stopping() {
    let (mut runs, _) = batch_norm(&peak(), &rising(0.825, 0.01), 10, 20);
    runs.iter_mut().for_each(|run| {
        (run.record.config.hyper.stop_when_fitted, run.record.config.hyper.fitted_epochs) = (true, 1);
        run.record.ending = StopReason::Fitted;
    });
    expect(&runs, "early-stopping-no-help", Judgement::NotYetMeasured);
    expect(&runs, "batch-norm-steadies", Judgement::NotYetMeasured);
}

#[test]
fn unfitted_networks_say_nothing_of_early_stopping_or_of_what_batch_norm_is_worth() {
    let (mut runs, _) = batch_norm(&rising(0.86, 0.0), &rising(0.825, 0.01), 10, 20);
    for id in ["early-stopping-no-help", "batch-norm-worth-3-to-4"] {
        expect(&runs, id, Judgement::Holds);
    }
    runs.iter_mut().for_each(|run| run.record.train_accuracy = Some(0.9));
    for id in ["early-stopping-no-help", "batch-norm-worth-3-to-4"] {
        expect(&runs, id, Judgement::NotYetMeasured);
    }
}

/// The paper has no numbers of the embedded images: table 3's orderings are looked at on them.
#[test]
fn table_3s_orderings_are_looked_at_on_the_embedded_images() {
    let on = |row: Kernel, error: f64, norm: f64| Kernel { data: "shapes10", n: 1_600, error, norm, ..row };
    let rows = |pixels: f64, gabor: f64, conv_l2: f64| {
        let (conv, with) = (on(CONV, 0.29, 600.0), on(CONV_L2, conv_l2, 400.0));
        let (_, mut all) = kernels(&[on(MNIST, pixels, 60.0), on(GABOR, gabor, 72.0), conv, with]);
        for data in all.iter_mut().map(|m| &mut m.record.measurement.data) {
            data.title = shapes10::EMBEDDED.title.into();
            data.fingerprint = shapes10::EMBEDDED.fingerprint.unwrap().into();
        }
        (Vec::new(), all)
    };
    let all = ["kernels-generalize", "preprocessing-lowers-the-error", "norm-not-predictive"];
    for id in all.into_iter().chain(["l2-helps-the-conv-net"]) {
        assert_eq!(one(&rows(0.52, 0.16, 0.24), id).verdict, Judgement::Holds, "{id}");
    }
    for id in all {
        assert_eq!(one(&rows(0.1, 0.61, 0.24), id).verdict, Judgement::Fails, "{id}");
    }
    assert_eq!(one(&rows(0.52, 0.16, 0.29), "l2-helps-the-conv-net").verdict, Judgement::Fails);
    for id in ["kernel-mnist-1.2", "kernel-cifar10-46", "l2-no-help-on-mnist"] {
        assert_eq!(one(&rows(0.52, 0.16, 0.24), id).verdict, Judgement::NotYetMeasured, "{id}");
    }
}

/// A run that is tested seldom has more between two tests: it is no sign of unrest.
#[test]
fn unrest_is_compared_between_runs_that_are_tested_as_often() {
    let (mut runs, _) = batch_norm(&rising(0.86, 0.0), &rising(0.825, 0.01), 10, 20);
    let mut seldom = runs[0].record.config.clone();
    (seldom.eval_every, seldom.seeds) = (16, Seeds::repeat(1));
    let losses: Vec<f64> = (0..64).map(|e| 2.3 * (1.0 - e as f64 / 10.0).max(0.0)).collect();
    runs.push(made(&seldom, &losses, 1.0, &rising(0.86, 0.3)));
    expect(&runs, "batch-norm-steadies", Judgement::Holds);
}

/// The paper's shares are those of 50,000 images; of fewer images crops make more of a network's accuracy.
#[test]
fn what_regularisers_add_is_a_tenth_at_most_on_fewer_images() {
    let expect = |without: f64, expected: Judgement| {
        let configs = table1::RECIPE.runs(data(), Scale::Small);
        let clean = configs.iter().filter(|config| config.corruption == Corruption::TrueLabels);
        let run = |config: &RunConfig| {
            let regularised = config.hyper.random_crop || config.hyper.weight_decay > 0.0;
            let mut run = made(config, &losses(9), 1.0, &[if regularised { 0.8 } else { without }]);
            run.record.scale = Scale::Small;
            run
        };
        let runs: Vec<Run> = clean.map(run).collect();
        let check = verdict(&runs, "regularization-not-necessary");
        assert_eq!(check.verdict, expected, "{without}: {:?}", check.measured);
    };
    expect(0.73, Judgement::Holds);
    expect(0.68, Judgement::Fails);
}

/// At scale small runs end before weight decay acts: that it gains nothing there says nothing of it, nor that it gains something.
#[test]
fn weight_decay_that_has_not_acted_is_not_judged() {
    for gain in [0.0, 0.05, -0.1] {
        let runs: Vec<Run> = table1::RECIPE
            .runs(data(), Scale::Small)
            .iter()
            .filter(|config| config.corruption == Corruption::TrueLabels)
            .map(|config| {
                let hyper = &config.hyper;
                let more = if hyper.weight_decay > 0.0 { gain } else { 0.0 };
                let crop = if hyper.random_crop { 0.1 } else { 0.0 };
                let mut run = made(config, &losses(9), 1.0, &[0.5 + crop + more]);
                run.record.scale = Scale::Small;
                run
            })
            .collect();
        let check = verdict(&runs, "regularizers-help");
        assert_eq!(check.verdict, Judgement::NotYetMeasured, "{gain}: {:?}", check.measured);
        assert!(check.lacking.iter().all(|text| text.contains("not at this scale")), "{:?}", check.lacking);
    }
}

#[test]
fn what_was_solved_with_a_floor_is_not_unregularised() {
    let floored = Kernel { floor: 1e-4, ..GABOR };
    for id in ["kernel-mnist-gabor-0.6", "preprocessing-lowers-the-error", "norm-not-predictive"] {
        let check = one(&kernels(&[MNIST, floored]), id);
        assert_eq!(check.verdict, Judgement::NotYetMeasured, "{id}: {:?}", check.measured);
        assert!(check.lacking[0].contains("not without regularisation"), "{:?}", check.lacking);
    }
}

#[test]
fn the_papers_numbers_are_those_of_its_data_whole() {
    let part = Kernel { n: 3_000, error: 0.06, ..MNIST };
    assert_eq!(one(&kernels(&[part]), "kernel-mnist-1.2").verdict, Judgement::NotYetMeasured);
    let few = Kernel { filters: 8_000, error: 0.25, ..CONV };
    assert_eq!(one(&kernels(&[few]), "kernel-cifar10-conv-net-17").verdict, Judgement::NotYetMeasured);
    let linear = kernels(&[Kernel { preprocessing: "linear", ..CONV }]);
    assert_eq!(one(&linear, "kernel-cifar10-conv-net-17").verdict, Judgement::NotYetMeasured);
    let top_5 = photographs_of("imagenette", papers_photographs());
    expect(&top_5, "imagenet-top-5-without-regularizers", Judgement::NotYetMeasured);
    // Few passes are not many.
    let few = stability([0.1, 0.5], [0.2, 0.6], 5);
    assert_eq!(one(&few, "not-uniformly-stable").verdict, Judgement::NotYetMeasured);
    // A class that is too narrow shows that the estimate can be below 1.
    let narrow = rademacher(1.0 / 128.0, 0.4, 0.9);
    assert_eq!(one(&narrow, "rademacher-complexity-one").verdict, Judgement::NotYetMeasured);
}

/// Columns that are not there, or hold no number, are passed over.
#[test]
fn a_damaged_measurement_is_tolerated() {
    let (_, mut all) = kernels(&[MNIST, CONV]);
    for evidence in [theorem_1(1.0, 1.0, 1.0), corollary_1(1.0, 1.0), rademacher(1.0, 1.0, 1.0)] {
        all.extend(evidence.1);
    }
    for evidence in [stability([1.0; 2], [1.0; 2], 30), sgd(1.0, 1.0, 1.0, 1.0), interpolators(1.0, 1.0)] {
        all.extend(evidence.1);
    }
    all.iter_mut().for_each(|m| m.frame = DataFrame::new(1, numbers(&[("other", &[f64::NAN])])).unwrap());
    assert!(check_all(&[], &all).iter().all(|check| check.verdict == Judgement::NotYetMeasured));
}

#[test]
fn an_empty_store_has_measured_nothing() {
    let checks = check_all(&[], &[]);
    assert_eq!(checks.len(), all().len());
    assert!(checks.iter().all(|c| c.verdict == Judgement::NotYetMeasured && c.measured.is_empty()));
    assert!(checks.iter().all(|c| !c.lacking.is_empty()), "each says what would measure it");
}

#[test]
fn the_papers_table_1_bears_the_papers_sentences_out() {
    let runs = table_1();
    for id in [
        "more-parameters-than-samples",
        "random-labels-fitted",
        "random-labels-test-at-chance",
        "small-constant-factor",
        "regularization-not-necessary",
        "alexnet-and-mlps-fit",
        "regularizers-help",
        "crops-beat-weight-decay",
        "architecture-over-regularizers",
        "order-of-models",
        "unchanged-hyperparameters",
    ] {
        expect(&runs, id, Judgement::Holds);
    }
    let check = verdict(&runs, "order-of-models");
    assert_eq!(
        (check.n, check.scale, check.seeds, check.data.as_str()),
        (50_000, Some(Scale::Paper), 1, "flat")
    );
    assert!(check.measured[0].contains("85.75 %") && check.measured[0].contains("82.00 %"), "{check:?}");
    assert!(check.runs.len() == 5 && check.runs.iter().all(|key| key.len() == 16));
}

/// The runs with those of `model` on `corruption` given other accuracies.
fn changed(runs: &[Run], model: ModelKind, corruption: Corruption, train: f64, test: f64) -> Vec<Run> {
    let change = |run: &Run| {
        let config = &run.record.config;
        if config.model == model && config.corruption == corruption {
            made(config, &losses(15), train, &[test])
        } else {
            run.clone()
        }
    };
    runs.iter().map(change).collect()
}

#[test]
fn a_run_outside_the_setting_says_nothing() {
    let mut config = setting(ModelKind::Inception, Corruption::RandomLabels);
    config.hyper.epochs = 3;
    let run = made(&config, &losses(3), 0.1, &[0.1]);
    expect(&[run], "random-labels-fitted", Judgement::NotYetMeasured);
    let mut config = setting(ModelKind::Inception, Corruption::RandomLabels);
    config.width_factor = 0.5;
    expect(&[made(&config, &losses(9), 1.0, &[0.1])], "random-labels-fitted", Judgement::NotYetMeasured);
}

/// `config` with another value in one field each, by the field's name in the JSON of which keys are made.
fn altered(config: &RunConfig) -> Vec<(String, RunConfig)> {
    // A new field does not compile here: `shown` has to hold it, and the lists of the tests below, where it is free.
    let RunConfig { schema: _, data: _, model: _, width_factor: _, input: _, corruption: _, .. } = config;
    let RunConfig { hyper, seeds: _, log_every: _, eval_every: _, parallel: _, .. } = config;
    let TrainConfig {
        batch_size: _,
        learning_rate: _,
        momentum: _,
        rate_decay: _,
        rate_decay_every: _,
        weight_decay: _,
        weight_decay_on: _,
        init: _,
        random_crop: _,
        augment: _,
        without_dropout: _,
        norm_memory: _,
        optimizer: _,
        label_smoothing: _,
        average: _,
        epochs: _,
        stop_when_fitted: _,
        fitted_epochs: _,
        precision: _,
    } = hyper;
    let mut whole = json!(config);
    whole["hyper"] = hyper.shown();
    (whole["input"], whole["parallel"]) = (json!(config.input), json!(config.parallel));
    assert_eq!(whole.as_object().unwrap().len(), 11);
    assert_eq!(whole["hyper"].as_object().unwrap().len(), 19);
    let mut fields = Vec::new();
    for name in whole.as_object().unwrap().keys() {
        match name.as_str() {
            "hyper" | "data" | "seeds" => {
                let inner = whole[name].as_object().unwrap().keys();
                fields.extend(inner.map(|inner| format!("/{name}/{inner}")));
            }
            _ => fields.push(format!("/{name}")),
        }
    }
    let other = |field: &str, value: &Value| match (field, value) {
        ("/hyper/learning_rate" | "/hyper/rate_decay" | "/hyper/momentum" | "/hyper/norm_memory", value) => {
            json!(value.as_f64().unwrap() / 2.0)
        }
        ("/hyper/init", _) => json!("fan-in"),
        ("/hyper/weight_decay_on", _) => json!("fc"),
        ("/hyper/optimizer", _) => json!({"name": "rms-prop", "decay": 0.9, "epsilon": 1.0}),
        ("/hyper/average", _) => json!(0.5),
        ("/hyper/precision", _) => json!("bf16"),
        ("/hyper/augment", _) => json!(Augmentation::TABLE_4),
        ("/model", _) => json!("alexnet"),
        ("/corruption", _) => json!({"kind": "gaussian", "per_channel": true}),
        ("/parallel", _) => json!({"mode": "synchronous", "ranks": 2}),
        (_, Value::Bool(on)) => json!(!on),
        (_, Value::Number(number)) if number.is_u64() => json!(number.as_u64().unwrap() + 1),
        (_, Value::Number(number)) => json!(number.as_f64().unwrap() + 0.25),
        (_, Value::String(text)) => json!(format!("{text}x")),
        (_, value) => panic!("{field}: {value}"),
    };
    let change = |field: &String| {
        let mut changed = whole.clone();
        let value = changed.pointer_mut(field).unwrap();
        *value = other(field, value);
        let changed: RunConfig = serde_json::from_value(changed).unwrap_or_else(|e| panic!("{field}: {e}"));
        (field[1..].replace('/', "."), changed)
    };
    fields.iter().map(change).collect()
}

#[test]
fn a_comparison_sees_every_difference_but_those_that_it_leaves_free() {
    let config = setting(ModelKind::Inception, Corruption::RandomLabels);
    let all = altered(&config);
    assert_eq!(all.len(), 8 + 19 + 5 + 3);
    let free = |free: &[Free]| -> Vec<&str> {
        let same = |changed: &RunConfig| changed.key_but_for(free) == config.key_but_for(free);
        all.iter().filter(|(_, changed)| same(changed)).map(|(field, _)| field.as_str()).collect()
    };
    assert_eq!(free(&[]), [""; 0]);
    assert_eq!(config.key_but_for(&[]), config.key());
    for (part, fields) in [
        (Free::Schema, &["schema"][..]),
        (Free::Data, &["data.fingerprint", "data.name", "data.test", "data.title", "data.train"]),
        (Free::Width, &["width"]),
        (Free::Seeds, &["seeds.data", "seeds.init", "seeds.order"]),
        (Free::Rows, &["eval_every", "log_every"]),
        (Free::Epochs, &["hyper.epochs"]),
        (Free::StopWhenFitted, &["hyper.stop_when_fitted"]),
        (Free::FittedEpochs, &["hyper.fitted_epochs"]),
        (Free::RateDecayEvery, &["hyper.decay_every"]),
        (Free::RandomCrop, &["hyper.random_crop"]),
        (Free::Augment, &["hyper.augment"]),
        (Free::Dropout, &["hyper.without_dropout"]),
    ] {
        let mut found = free(&[part]);
        found.sort_unstable();
        assert_eq!(found, fields, "{part:?}");
    }
    assert_eq!(free(&[Free::Epochs, Free::FittedEpochs]).len(), 2);
}

/// Whoever trains with another value of any hyper-parameter has a run that says nothing of the paper.
#[test]
fn a_difference_in_any_hyper_parameter_is_seen() {
    let config = setting(ModelKind::Inception, Corruption::RandomLabels);
    let id = "random-labels-fitted";
    expect(&[made(&config, &losses(9), 1.0, &[0.1])], id, Judgement::Holds);
    // When and where a run is measured, and what acts on nothing here: weight decay is off, and the network has no dropout.
    let mut free = vec!["schema", "log_every", "eval_every", "seeds.data", "seeds.init", "seeds.order"];
    free.extend(["hyper.epochs", "hyper.stop_when_fitted", "hyper.fitted_epochs"]);
    free.extend(["hyper.weight_decay_on", "hyper.without_dropout"]);
    for (field, changed) in altered(&config) {
        if field.starts_with("data.") {
            continue;
        }
        let expected = if free.contains(&&*field) { Judgement::Holds } else { Judgement::NotYetMeasured };
        let check = verdict(&[made(&changed, &losses(9), 1.0, &[0.1])], id);
        assert_eq!(check.verdict, expected, "{field}: {:?} {:?}", check.measured, check.lacking);
    }
}

#[test]
fn a_run_that_ended_fitted_counts_whatever_its_limit() {
    let mut config = setting(ModelKind::Inception, Corruption::RandomLabels);
    config.hyper.epochs = 45;
    expect(&[made(&config, &losses(9), 1.0, &[0.1])], "random-labels-fitted", Judgement::Holds);
}

/// At scale small figure 1a's Inception is narrower than table 1's.
#[test]
fn two_widths_of_a_model_are_not_mixed() {
    let run = |of: fn(Scale, ModelKind) -> Size, test: f64| {
        let (data, size) = (data().id(1_000, 1_000), of(Scale::Small, ModelKind::Inception));
        let (model, corruption) = (ModelKind::Inception, Corruption::RandomLabels);
        let config = appendix_a::config_of_size(data, size, model, corruption, Seeds::repeat(0));
        let mut run = made(&config, &losses(9), 1.0, &[test]);
        run.record.scale = Scale::Small;
        run
    };
    let (table, figure) = (appendix_a::size_at, fig1a::size);
    let id = "random-labels-test-at-chance";
    expect(&[run(figure, 0.5), run(table, 0.1)], id, Judgement::Holds);
    expect(&[run(figure, 0.1), run(table, 0.5)], id, Judgement::Fails);
    expect(&[run(figure, 0.1)], "unchanged-hyperparameters", Judgement::Holds);
}

/// A recipe, a claim that looks at its runs, and at which of them.
type LookedAt = (paper::Recipe, &'static str, fn(&RunConfig) -> bool);

/// At scale small items differ in images and images a step: all runs of each are in the setting.
#[test]
fn every_items_runs_are_in_the_setting_at_scale_small() {
    let of: [LookedAt; 5] = [
        (fig1a::RECIPE, "broken-images-fitted", |config| config.corruption.label_noise().is_none()),
        (fig1b::RECIPE, "slower-with-noise", |_| true),
        (fig2b::RECIPE, "batch-norm-worth-3-to-4", |_| true),
        (table1::RECIPE, "random-labels-fitted", |config| config.corruption == Corruption::RandomLabels),
        (table4::RECIPE, "regularization-not-sufficient", |config| config.model != ModelKind::Alexnet),
    ];
    for (recipe, claim, belongs) in of {
        let configs = recipe.runs(data(), Scale::Small);
        let run = |config: &RunConfig| {
            let mut run = made(config, &losses(9), 1.0, &[0.1]);
            run.record.scale = Scale::Small;
            run
        };
        let runs: Vec<Run> = configs.iter().map(run).collect();
        let checks = check_all(&runs, &[]);
        let mut found: Vec<&String> =
            checks.iter().filter(|check| check.id == claim).flat_map(|check| &check.runs).collect();
        found.sort();
        let mut expected: Vec<String> =
            configs.iter().filter(|config| belongs(config)).map(RunConfig::key).collect();
        expected.sort();
        assert_eq!(found, expected.iter().collect::<Vec<_>>(), "{}", recipe.id);
    }
}

#[test]
fn another_number_of_images_is_another_line() {
    let mut small = setting(ModelKind::Mlp1x512, Corruption::RandomLabels);
    small.data.train = 1_000;
    small = appendix_a::config_of_size(
        small.data.clone(),
        appendix_a::size_at(Scale::Paper, small.model),
        small.model,
        small.corruption,
        small.seeds,
    );
    let runs = [
        made(&setting(ModelKind::Mlp1x512, Corruption::RandomLabels), &losses(9), 0.9, &[0.1]),
        made(&small, &losses(9), 1.0, &[0.1]),
    ];
    let checks: Vec<Check> =
        check_all(&runs, &[]).into_iter().filter(|c| c.id == "random-labels-fitted").collect();
    let found: Vec<(usize, Judgement)> = checks.iter().map(|c| (c.n, c.verdict)).collect();
    assert_eq!(found, [(1_000, Judgement::Holds), (50_000, Judgement::Fails)]);
}

/// Figure 1a's five settings, each with the number of epochs after which its loss falls, and the length of the fall.
fn curves(falls: [(usize, usize); 5], train: f64) -> Vec<Run> {
    let configs = fig1a::RECIPE.runs(data(), Scale::Paper);
    let run = |(config, (start, length)): (&RunConfig, (usize, usize))| {
        let loss = |epoch: usize| match epoch {
            e if e < start => 2.3,
            e if e >= start + length => 0.01,
            e => 2.3 - 2.29 * (e - start) as f64 / length as f64,
        };
        made(config, &(0..64).map(loss).collect::<Vec<_>>(), train, &[0.8])
    };
    configs.iter().zip(falls).map(run).collect()
}

#[test]
fn learning_curves_are_compared_by_start_and_by_fall() {
    // True labels, random labels, shuffled pixels, random pixels, Gaussian.
    let papers = curves([(0, 10), (38, 5), (2, 10), (28, 5), (20, 5)], 1.0);
    for id in [
        "random-labels-start-later",
        "quick-once-started",
        "noise-before-random-labels",
        "broken-images-fitted",
        "noise-images-fitted",
    ] {
        expect(&papers, id, Judgement::Holds);
    }
    let early = curves([(5, 10), (0, 10), (2, 10), (28, 5), (20, 5)], 1.0);
    expect(&early, "random-labels-start-later", Judgement::Fails);
    expect(&early, "noise-before-random-labels", Judgement::Fails);
    let slow = curves([(0, 5), (10, 40), (2, 10), (28, 5), (20, 5)], 1.0);
    expect(&slow, "quick-once-started", Judgement::Fails);
    let unfit = curves([(0, 10), (38, 5), (2, 10), (28, 5), (20, 5)], 0.8);
    expect(&unfit, "broken-images-fitted", Judgement::Fails);
    expect(&unfit, "noise-images-fitted", Judgement::Fails);
    // A run that never falls has no start to compare.
    let never = curves([(0, 10), (90, 5), (2, 10), (28, 5), (20, 5)], 1.0);
    expect(&never, "random-labels-start-later", Judgement::NotYetMeasured);
}

/// Figure 1b's and 1c's runs of one model: (p, epochs to fit, test error, training accuracy).
fn levels(rows: &[(f64, usize, f64, f64)]) -> Vec<Run> {
    let run = |&(p, epochs, error, train): &(f64, usize, f64, f64)| {
        let corruption = match p {
            0.0 => Corruption::TrueLabels,
            1.0 => Corruption::RandomLabels,
            p => Corruption::PartialLabels { p },
        };
        made(&setting(ModelKind::Mlp1x512, corruption), &losses(epochs), train, &[1.0 - error])
    };
    rows.iter().map(run).collect()
}

#[test]
fn label_noise_is_checked_level_by_level() {
    let papers =
        levels(&[(0.0, 10, 0.5, 1.0), (0.5, 14, 0.7, 1.0), (0.8, 16, 0.85, 1.0), (1.0, 18, 0.9, 1.0)]);
    for id in [
        "steady-deterioration",
        "remaining-signal",
        "partial-labels-fitted",
        "slower-with-noise",
        "small-constant-factor",
        "error-converges-to-chance",
    ] {
        expect(&papers, id, Judgement::Holds);
    }
    // A level that the paper has not is no evidence, whatever comes of it.
    let mut more = papers.clone();
    more.extend(levels(&[(0.25, 1, 0.1, 0.5)]));
    for id in ["steady-deterioration", "remaining-signal", "partial-labels-fitted", "slower-with-noise"] {
        expect(&more, id, Judgement::Holds);
    }
    let dip = levels(&[(0.0, 10, 0.5, 1.0), (0.5, 9, 0.8, 1.0), (0.8, 7, 0.6, 0.9), (1.0, 8, 0.7, 1.0)]);
    for id in
        ["steady-deterioration", "partial-labels-fitted", "slower-with-noise", "error-converges-to-chance"]
    {
        expect(&dip, id, Judgement::Fails);
    }
    let brute = levels(&[(0.0, 10, 0.5, 1.0), (0.5, 60, 0.9, 1.0), (1.0, 80, 0.9, 1.0)]);
    expect(&brute, "remaining-signal", Judgement::Fails);
    expect(&brute, "small-constant-factor", Judgement::Fails);
    let few = levels(&[(0.0, 10, 0.5, 1.0)]);
    expect(&few, "steady-deterioration", Judgement::NotYetMeasured);
    expect(&few, "slower-with-noise", Judgement::NotYetMeasured);
}

#[test]
fn a_study_checks_its_own_runs_by_name() {
    use rethink::prelude::{Product, Study, Table};
    let folder = tempfile::tempdir().unwrap();
    let study: Study = Study::new(Some("shapes10"), Scale::Smoke, folder.path()).unwrap();
    let claims: Vec<Check> = study.claims(&["early-stopping-no-help", "batch-norm-worth-3-to-4"]).unwrap();
    assert_eq!(claims.len(), 2);
    let table: Table = study.claims_table(&claims).unwrap();
    assert!(table.markdown().contains("not yet measured") && table.markdown().contains("early stopping"));
    assert_eq!(study.claims(&[]).unwrap().len(), all().len());
    let error = study.claims(&["no-such-claim"]).unwrap_err().to_string();
    assert!(error.contains("random-labels-fitted"), "{error}");
    // What the notebooks' other cells call.
    let runs: Vec<Run> = study.runs("fig2b").unwrap();
    let gain: f64 = paper::fig2b::early_stopping_gain(&runs[0]).unwrap_or(f64::NAN);
    assert!(gain >= 0.0);
    let _: Product = study.show("fig3").unwrap();
    let verdict: paper::Verdict = study.verdict("fig3").unwrap();
    assert_eq!(verdict.ours(), verdict.paper);
}

#[test]
fn figure_2bs_own_runs_are_in_the_setting_at_every_scale() {
    for scale in [Scale::Smoke, Scale::Small, Scale::Paper] {
        for config in fig2b::RECIPE.runs(data(), scale) {
            let mut run = made(&config, &losses(9), 0.99, &[0.5]);
            run.record.scale = scale;
            let check = verdict(&[run], "more-parameters-than-samples");
            assert_eq!(check.runs, [config.key()], "{scale}");
        }
    }
}

#[test]
fn table_2s_runs_of_another_length_are_not_the_papers() {
    let mut other = photographs_of("imagenet", papers_photographs());
    other.iter_mut().for_each(|run| run.record.config.hyper.epochs = 7);
    for claim in all().iter().filter(|claim| claim.recipes.contains(&"table2")) {
        expect(&other, claim.id, Judgement::NotYetMeasured);
    }
}

#[test]
fn table_4s_parts_are_counted() {
    let (papers, _) = table_4(0.1, 1.0, 0.1);
    let augmented = papers.iter().filter(|r| r.record.config.hyper.augment == Augmentation::TABLE_4).count();
    assert_eq!(augmented, 1);
    let parts = verdict(&papers, "regularization-not-sufficient").measured;
    assert_eq!(parts.len(), 5, "{parts:?}");
}

/// A run that stopped at its first fit and the same that stopped after five in a row.
#[test]
fn one_run_under_two_rules_counts_once_under_the_stricter() {
    let id = "random-labels-test-at-chance";
    let config = setting(ModelKind::Inception, Corruption::RandomLabels);
    assert!(config.hyper.fitted_epochs > 1);
    let mut before = config.clone();
    before.hyper.fitted_epochs = 1;
    let (old, new) = (made(&before, &losses(9), 1.0, &[0.3]), made(&config, &losses(13), 1.0, &[0.1]));
    expect(std::slice::from_ref(&old), id, Judgement::Fails);
    for runs in [[old.clone(), new.clone()], [new.clone(), old.clone()]] {
        let check = verdict(&runs, id);
        assert_eq!((check.verdict, check.runs), (Judgement::Holds, vec![config.key()]));
    }
    // Other seeds are another run.
    let other = RunConfig { seeds: Seeds::repeat(1), ..before };
    let check = verdict(&[made(&other, &losses(9), 1.0, &[0.1]), new], id);
    assert_eq!((check.seeds, check.runs.len()), (2, 2));
}

#[test]
fn runs_that_had_to_stay_fitted_went_on() {
    let config = setting(ModelKind::Mlp1x512, Corruption::TrueLabels);
    let run = made(&config, &losses(9), 1.0, &[0.4, 0.5]);
    expect(&[run], "early-stopping-no-help", Judgement::Holds);
}
