//! The paper's sentences as checks: made-up runs for each verdict.

use rethink::augment::Augmentation;
use rethink::claims::{ALL, Check, Verdict, check_all};
use rethink::config::{RunConfig, Scale, Seeds};
use rethink::corruption::Corruption;
use rethink::data::{Dataset, Split};
use rethink::models::ModelKind;
use rethink::paper::{TABLE_2, Table2Row};
use rethink::recipe::{self, fig1a, fig2b, table1, table2, table4};
use rethink::store::{Run, finish};
use rethink::train::{Ending, Row, Trained};

fn data() -> Dataset {
    let split =
        |n: usize| Split { images: vec![7; n * 3072], labels: (0..n).map(|i| i as u16 % 10).collect() };
    let classes = (0..10).map(|c| format!("class {c}")).collect();
    Dataset::new("flat", "flat", classes, [3, 32, 32], split(50_000), split(10_000)).unwrap()
}

/// A run that nobody trained, an epoch for each of `losses`; test accuracies `tests` (the last one stays).
fn made(config: &RunConfig, losses: &[f64], train: f64, tests: &[f64]) -> Run {
    let row = |(i, &loss): (usize, &f64)| Row {
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
    let ending = if fitted { Ending::Fitted } else { Ending::Completed };
    let trained = Trained {
        rows,
        ending,
        parameters: Vec::new(),
        parameter_count: 1_649_402,
        history: Default::default(),
        left_out: None,
    };
    finish(config, Scale::Paper, &trained).unwrap()
}

fn setting(model: ModelKind, corruption: Corruption) -> RunConfig {
    recipe::setting(&data(), Scale::Paper, model, corruption, Seeds::repeat(0))
}

fn losses(epochs: usize) -> Vec<f64> {
    (0..epochs).map(|i| 2.3 * (1.0 - i as f64 / epochs as f64) + 0.001).collect()
}

fn verdict(runs: &[Run], id: &str) -> Check {
    let mut checks: Vec<Check> = check_all(runs).into_iter().filter(|c| c.id == id).collect();
    assert_eq!(checks.len(), 1, "{id}");
    checks.remove(0)
}

#[track_caller]
fn expect(runs: &[Run], id: &str, expected: Verdict) {
    let check = verdict(runs, id);
    assert_eq!(check.verdict, expected, "{id}: {:?}", check.measured);
}

/// The paper's table 1 as runs.
fn table_1() -> Vec<Run> {
    let configs = table1::RECIPE.runs(&data(), Scale::Paper);
    let rows = table1::rows();
    let run = |(config, (row, _)): (&RunConfig, &(&rethink::paper::Table1Row, ModelKind))| {
        let epochs = if row.random_labels { 40 } else { 15 };
        made(config, &losses(epochs), row.train / 100.0, &[row.test / 100.0])
    };
    configs.iter().zip(&rows).map(run).collect()
}

#[test]
fn an_empty_store_has_measured_nothing() {
    let checks = check_all(&[]);
    assert_eq!(checks.len(), ALL.len());
    assert!(checks.iter().all(|c| c.verdict == Verdict::NotYetMeasured && c.measured.is_empty()));
    let mut ids: Vec<&str> = ALL.iter().map(|c| c.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), ALL.len(), "names are distinct");
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
        expect(&runs, id, Verdict::Holds);
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
fn other_numbers_make_the_same_sentences_fail() {
    let runs = table_1();
    let random = Corruption::RandomLabels;
    let unfit = changed(&runs, ModelKind::Inception, random, 0.7, 0.1);
    expect(&unfit, "random-labels-fitted", Verdict::Fails);
    expect(&unfit, "unchanged-hyperparameters", Verdict::Fails);
    expect(&unfit, "small-constant-factor", Verdict::Fails);
    let learnt = changed(&runs, ModelKind::Mlp1x512, random, 1.0, 0.3);
    expect(&learnt, "random-labels-test-at-chance", Verdict::Fails);
    let weak = changed(&runs, ModelKind::Inception, Corruption::TrueLabels, 1.0, 0.6);
    expect(&weak, "order-of-models", Verdict::Fails);
    let same = changed(&runs, ModelKind::Alexnet, Corruption::TrueLabels, 0.5, 0.75);
    expect(&same, "alexnet-and-mlps-fit", Verdict::Fails);
    let marked = verdict(&same, "alexnet-and-mlps-fit").measured;
    assert!(marked.iter().any(|m| m.contains("Alexnet") && m.ends_with("(fails)")), "{marked:?}");
    // Crops that do harm, weight decay that does all.
    let mut harmed = runs.clone();
    for run in &mut harmed {
        let hyper = &run.record.config.hyper;
        if run.record.config.model == ModelKind::Inception && hyper.random_crop {
            run.record.test_accuracy = Some(0.5);
        }
    }
    expect(&harmed, "regularizers-help", Verdict::Fails);
    expect(&harmed, "crops-beat-weight-decay", Verdict::Fails);
    for run in &mut harmed {
        if run.record.config.hyper.weight_decay > 0.0 && run.record.config.model == ModelKind::Mlp1x512 {
            run.record.test_accuracy = Some(0.99);
        }
    }
    expect(&harmed, "regularization-not-necessary", Verdict::Fails);
    expect(&harmed, "architecture-over-regularizers", Verdict::Fails);
}

#[test]
fn a_run_outside_the_setting_says_nothing() {
    let mut config = setting(ModelKind::Inception, Corruption::RandomLabels);
    config.hyper.epochs = 3;
    let run = made(&config, &losses(3), 0.1, &[0.1]);
    expect(&[run], "random-labels-fitted", Verdict::NotYetMeasured);
    let mut config = setting(ModelKind::Inception, Corruption::RandomLabels);
    config.width = 0.5;
    expect(&[made(&config, &losses(9), 1.0, &[0.1])], "random-labels-fitted", Verdict::NotYetMeasured);
}

#[test]
fn a_run_that_ended_fitted_counts_whatever_its_limit() {
    let mut config = setting(ModelKind::Inception, Corruption::RandomLabels);
    config.hyper.epochs = 45;
    expect(&[made(&config, &losses(9), 1.0, &[0.1])], "random-labels-fitted", Verdict::Holds);
}

/// At scale small figure 1b's Inception is narrower than table 1's.
#[test]
fn two_widths_of_a_model_are_not_mixed() {
    let run = |width: f64, test: f64| {
        let mut config = recipe::setting(
            &data(),
            Scale::Small,
            ModelKind::Inception,
            Corruption::RandomLabels,
            Seeds::repeat(0),
        );
        config.width = width;
        let mut run = made(&config, &losses(9), 1.0, &[test]);
        run.record.scale = Scale::Small;
        run
    };
    let [wide, narrow] =
        [recipe::size, recipe::narrow].map(|of| of(Scale::Small, ModelKind::Inception).width);
    assert!(narrow < wide);
    let id = "random-labels-test-at-chance";
    expect(&[run(narrow, 0.5), run(wide, 0.1)], id, Verdict::Holds);
    expect(&[run(narrow, 0.1), run(wide, 0.5)], id, Verdict::Fails);
    expect(&[run(narrow, 0.1)], id, Verdict::Holds);
}

#[test]
fn another_number_of_images_is_another_line() {
    let mut small = setting(ModelKind::Mlp1x512, Corruption::RandomLabels);
    small.data.train = 1_000;
    small = recipe::sized(
        small.data.clone(),
        recipe::size(Scale::Paper, small.model),
        small.model,
        small.corruption,
        small.seeds,
    );
    let runs = [
        made(&setting(ModelKind::Mlp1x512, Corruption::RandomLabels), &losses(9), 0.9, &[0.1]),
        made(&small, &losses(9), 1.0, &[0.1]),
    ];
    let checks: Vec<Check> =
        check_all(&runs).into_iter().filter(|c| c.id == "random-labels-fitted").collect();
    let found: Vec<(usize, Verdict)> = checks.iter().map(|c| (c.n, c.verdict)).collect();
    assert_eq!(found, [(1_000, Verdict::Holds), (50_000, Verdict::Fails)]);
}

/// Figure 1a's five settings, each with the number of epochs after which its loss falls, and the length of the fall.
fn curves(falls: [(usize, usize); 5], train: f64) -> Vec<Run> {
    let configs = fig1a::RECIPE.runs(&data(), Scale::Paper);
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
        expect(&papers, id, Verdict::Holds);
    }
    let early = curves([(5, 10), (0, 10), (2, 10), (28, 5), (20, 5)], 1.0);
    expect(&early, "random-labels-start-later", Verdict::Fails);
    expect(&early, "noise-before-random-labels", Verdict::Fails);
    let slow = curves([(0, 5), (10, 40), (2, 10), (28, 5), (20, 5)], 1.0);
    expect(&slow, "quick-once-started", Verdict::Fails);
    let unfit = curves([(0, 10), (38, 5), (2, 10), (28, 5), (20, 5)], 0.8);
    expect(&unfit, "broken-images-fitted", Verdict::Fails);
    expect(&unfit, "noise-images-fitted", Verdict::Fails);
    // A run that never falls has no start to compare.
    let never = curves([(0, 10), (90, 5), (2, 10), (28, 5), (20, 5)], 1.0);
    expect(&never, "random-labels-start-later", Verdict::NotYetMeasured);
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
        expect(&papers, id, Verdict::Holds);
    }
    let dip = levels(&[(0.0, 10, 0.5, 1.0), (0.5, 9, 0.8, 1.0), (0.8, 7, 0.6, 0.9), (1.0, 8, 0.7, 1.0)]);
    for id in
        ["steady-deterioration", "partial-labels-fitted", "slower-with-noise", "error-converges-to-chance"]
    {
        expect(&dip, id, Verdict::Fails);
    }
    let brute = levels(&[(0.0, 10, 0.5, 1.0), (0.5, 60, 0.9, 1.0), (1.0, 80, 0.9, 1.0)]);
    expect(&brute, "remaining-signal", Verdict::Fails);
    expect(&brute, "small-constant-factor", Verdict::Fails);
    let few = levels(&[(0.0, 10, 0.5, 1.0)]);
    expect(&few, "steady-deterioration", Verdict::NotYetMeasured);
    expect(&few, "slower-with-noise", Verdict::NotYetMeasured);
}

#[test]
fn regularisers_on_random_labels() {
    let configs = table4::RECIPE.runs(&data(), Scale::Paper);
    let runs = |alexnet: f64, inception: f64, test: f64| -> Vec<Run> {
        let train = |config: &RunConfig| match config.model {
            ModelKind::Alexnet => alexnet,
            ModelKind::Inception => inception,
            _ => 1.0,
        };
        configs.iter().map(|c| made(c, &losses(20), train(c), &[test])).collect()
    };
    let papers = runs(0.1, 1.0, 0.1);
    for id in ["fitted-with-weight-decay", "alexnet-with-weight-decay-fails", "regularization-not-sufficient"]
    {
        expect(&papers, id, Verdict::Holds);
    }
    let augmented = papers.iter().filter(|r| r.record.config.hyper.augment == Augmentation::TABLE_4).count();
    assert_eq!(augmented, 1);
    let parts = verdict(&papers, "regularization-not-sufficient").measured;
    assert_eq!(parts.len(), 5, "{parts:?}");
    let other = runs(1.0, 0.6, 0.1);
    for id in ["fitted-with-weight-decay", "alexnet-with-weight-decay-fails", "regularization-not-sufficient"]
    {
        expect(&other, id, Verdict::Fails);
    }
    expect(&runs(0.1, 1.0, 0.4), "regularization-not-sufficient", Verdict::Fails);
}

#[test]
fn early_stopping_and_batch_normalisation() {
    let configs = fig2b::RECIPE.runs(&data(), Scale::Paper);
    let runs = |with: &[f64], without: &[f64], fast: usize, slow: usize| -> Vec<Run> {
        let fall = |epochs: usize| -> Vec<f64> {
            (0..64).map(|e| 2.3 * (1.0 - e as f64 / epochs as f64).max(0.0)).collect()
        };
        vec![made(&configs[0], &fall(fast), 1.0, with), made(&configs[1], &fall(slow), 1.0, without)]
    };
    let rising: Vec<f64> = (0..64).map(|e| 0.86 * (e as f64 / 20.0).min(1.0)).collect();
    let lower: Vec<f64> = rising.iter().map(|v| v - 0.035).collect();
    let papers = runs(&rising, &lower, 10, 20);
    expect(&papers, "early-stopping-no-help", Verdict::Holds);
    expect(&papers, "batch-norm-worth-3-to-4", Verdict::Holds);
    let peak: Vec<f64> = (0..64).map(|e| if e == 10 { 0.95 } else { 0.86 }).collect();
    expect(&runs(&peak, &lower, 10, 20), "early-stopping-no-help", Verdict::Fails);
    expect(&runs(&rising, &rising, 10, 20), "batch-norm-worth-3-to-4", Verdict::Fails);
    expect(&runs(&rising, &lower, 20, 10), "batch-norm-worth-3-to-4", Verdict::Fails);
}

#[test]
fn a_study_checks_its_own_runs_by_name() {
    use rethink::prelude::*;
    let folder = tempfile::tempdir().unwrap();
    let study: Study = Study::new(Some("shapes10"), Scale::Smoke, folder.path()).unwrap();
    let claims: Vec<Check> = study.claims(&["early-stopping-no-help", "batch-norm-worth-3-to-4"]).unwrap();
    assert_eq!(claims.len(), 2);
    let table: Table = study.claims_table(&claims).unwrap();
    assert!(table.markdown().contains("not yet measured") && table.markdown().contains("early stopping"));
    assert_eq!(study.claims(&[]).unwrap().len(), ALL.len());
    let error = study.claims(&["no-such-claim"]).unwrap_err().to_string();
    assert!(error.contains("random-labels-fitted"), "{error}");
    // What the notebooks' other cells call.
    let runs: Vec<Run> = study.runs("fig2b").unwrap();
    let gain: f64 = recipe::fig2b::early_stopping_gain(&runs[0]).unwrap_or(f64::NAN);
    assert!(gain >= 0.0);
    let _: Product = study.show("fig3").unwrap();
    let verdict: recipe::Verdict = study.verdict("fig3").unwrap();
    assert_eq!(verdict.ours, verdict.paper);
}

#[test]
fn figure_2bs_own_runs_are_in_the_setting_at_every_scale() {
    for scale in [Scale::Smoke, Scale::Small, Scale::Paper] {
        for config in fig2b::RECIPE.runs(&data(), scale) {
            let mut run = made(&config, &losses(9), 0.99, &[0.5]);
            run.record.scale = scale;
            let check = verdict(&[run], "more-parameters-than-samples");
            assert_eq!(check.runs, [config.key()], "{scale}");
        }
    }
}

/// Table 2's runs: training accuracy, best and last test accuracy of each row.
fn photographs(rows: [(f64, f64, f64); 7]) -> Vec<Run> {
    let run = |(row, (train, best, last)): (&Table2Row, (f64, f64, f64))| {
        let config = table2::configure_on(row, data().id(50_000, 10_000), Scale::Paper, Seeds::repeat(0));
        made(&config, &losses(3), train, &[0.1, best, last])
    };
    TABLE_2.iter().zip(rows).map(run).collect()
}

#[test]
fn photographs_are_compared_row_by_row() {
    let papers = TABLE_2.map(|row| {
        let best = row.best.map_or(row.test[0], |best| best[0]);
        (row.train[0] / 100.0, best / 100.0, row.test[0] / 100.0)
    });
    let ids = [
        "imagenet-random-labels-fitted",
        "imagenet-random-labels-regularized",
        "imagenet-drop-without-regularizers",
        "augmentation-beats-weight-decay",
        "early-stopping-could-help-imagenet",
    ];
    for id in ids {
        expect(&photographs(papers), id, Verdict::Holds);
        expect(&[], id, Verdict::NotYetMeasured);
    }
    let level = photographs([(0.8, 0.5, 0.5); 7]);
    ids.iter().for_each(|id| expect(&level, id, Verdict::Fails));
    // A run of another length is not table 2's.
    let mut other = photographs(papers);
    other.iter_mut().for_each(|run| run.record.config.hyper.epochs = 7);
    ids.iter().for_each(|id| expect(&other, id, Verdict::NotYetMeasured));
}
