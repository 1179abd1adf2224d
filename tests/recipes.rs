//! Recipes: the configurations they ask for, and the frames and verdicts they make of runs.

use rethink::config::{Init, RunConfig, Scale, Seeds};
use rethink::corruption::Corruption;
use rethink::data::{Dataset, Split};
use rethink::figures::Note;
use rethink::models::ModelKind;
use rethink::paper::TABLE_1;
use rethink::recipe::{self, Product, Recipe, Results, Source, fig1a, fig1b, fig1c, table1};
use rethink::store::{Run, finish};
use rethink::train::{Ending, Row, Trained};

/// As many images as CIFAR-10, of one pixel's information.
fn data(train: usize, test: usize) -> Dataset {
    let split =
        |n: usize| Split { images: vec![7; n * 3072], labels: (0..n).map(|i| i as u16 % 10).collect() };
    let classes = (0..10).map(|c| format!("class {c}")).collect();
    Dataset::new("flat", "flat", classes, [3, 32, 32], split(train), split(test)).unwrap()
}

/// A finished run of `config` that nobody trained: an epoch a row, with these losses.
fn run(config: &RunConfig, losses: &[f64], train: f64, test: f64) -> Run {
    let row = |(i, &loss): (usize, &f64)| Row {
        step: 10 * (i as u32 + 1),
        epoch: i as u32 + 1,
        loss,
        batch_accuracy: 0.5,
        train_accuracy: (i + 1 == losses.len()).then_some(train),
        test_accuracy: Some(test),
        learning_rate: 0.01,
        seconds: i as f64,
    };
    let rows = losses.iter().enumerate().map(row).collect();
    let ending = if train == 1.0 { Ending::Fitted } else { Ending::Completed };
    let trained = Trained { rows, ending, parameters: Vec::new(), parameter_count: 1 };
    finish(config, Scale::Smoke, &trained).unwrap()
}

#[test]
fn paper_scale_is_the_papers() {
    let data = data(50_000, 10_000);
    for recipe in recipe::ALL {
        let configs = recipe.runs(&data, Scale::Paper);
        assert!(!configs.is_empty() || matches!(recipe.source, Source::Measurements { .. }));
        for config in configs {
            assert_eq!((config.data.train, config.data.test), (50_000, 10_000));
            let hyper = &config.hyper;
            assert_eq!((hyper.learning_rate, hyper.momentum, hyper.decay), (0.01, 0.9, 0.95));
            assert_eq!((hyper.decay_every, hyper.init), (1, Init::Glorot));
            assert!(hyper.epochs >= 64);
        }
    }
}

#[test]
fn figure_1a_differs_in_nothing_but_the_corruption() {
    let data = data(2_000, 200);
    let configs = fig1a::RECIPE.runs(&data, Scale::Small);
    assert_eq!(configs.len(), 5);
    for config in &configs {
        assert_eq!(RunConfig { corruption: Corruption::TrueLabels, ..config.clone() }, configs[0]);
        assert_eq!(config.hyper.weight_decay, 0.0);
        assert!(!config.hyper.random_crop && !config.hyper.stop_when_fitted);
    }
}

#[test]
fn table_1_has_the_papers_rows_and_switches() {
    let data = data(2_000, 200);
    let configs = table1::RECIPE.runs(&data, Scale::Smoke);
    assert_eq!(configs.len(), 6);
    let rows = table1::rows();
    let mlps = TABLE_1.iter().filter(|row| row.model.starts_with("MLP")).count();
    assert_eq!(rows.len(), mlps);
    for ((row, model), config) in rows.iter().zip(&configs) {
        assert_eq!(config.model, *model);
        assert_eq!(config.hyper.weight_decay > 0.0, row.weight_decay);
        assert_eq!(config.hyper.random_crop, row.random_crop);
        assert_eq!(config.corruption == Corruption::RandomLabels, row.random_labels);
        assert_eq!(model.build(3, 10, Init::Glorot, 0).unwrap().parameter_count() as u32, row.parameters);
    }
}

#[test]
fn recipes_share_the_runs_that_they_have_in_common() {
    let data = data(2_000, 200);
    let keys = |recipe: Recipe| -> Vec<String> {
        recipe.runs(&data, Scale::Small).iter().map(RunConfig::key).collect()
    };
    let (b, c, table) = (keys(fig1b::RECIPE), keys(fig1c::RECIPE), keys(table1::RECIPE));
    assert_eq!(b, c);
    // Without weight decay, two labellings of two models for each repetition.
    let shared = table.iter().filter(|key| b.contains(key)).count() as u64;
    assert_eq!(shared, 4 * recipe::repeats(Scale::Small));
    let mut distinct = b.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), b.len(), "no run twice");
}

#[test]
fn time_to_fit_is_relative_to_the_clean_run_of_the_same_seed() {
    let data = data(200, 100);
    let at = |p: f64, repeat: u64| {
        let corruption = if p == 0.0 { Corruption::TrueLabels } else { Corruption::PartialLabels { p } };
        recipe::setting(&data, Scale::Smoke, ModelKind::Mlp1x512, corruption, Seeds::repeat(repeat))
    };
    let runs = [
        run(&at(0.0, 0), &[1.0; 4], 1.0, 0.5),
        run(&at(0.5, 0), &[1.0; 6], 1.0, 0.3),
        run(&at(0.0, 1), &[1.0; 2], 1.0, 0.5),
        run(&at(0.5, 1), &[1.0; 5], 1.0, 0.2),
        run(&at(0.9, 1), &[1.0; 9], 0.9, 0.1),
    ];
    let frame = fig1b::frame(&runs).unwrap();
    let column =
        |name: &str| -> Vec<Option<f64>> { frame.column(name).unwrap().f64().unwrap().iter().collect() };
    assert_eq!(column("relative"), [Some(1.0), Some(1.5), Some(1.0), Some(2.5), None]);
    assert_eq!(column("p"), [0.0, 0.5, 0.0, 0.5, 0.9].map(Some));
    let expected = [0.5, 0.7, 0.5, 0.8, 0.9];
    for (error, expected) in column("test_error").into_iter().zip(expected) {
        assert!((error.unwrap() - expected).abs() < 1e-12);
    }
    let fitted: Vec<_> = frame.column("epochs_to_fit").unwrap().u32().unwrap().iter().collect();
    assert_eq!(fitted, [Some(4), Some(6), Some(2), Some(5), None]);
}

#[test]
fn figure_1a_counts_steps_to_a_loss_of_a_tenth() {
    let data = data(200, 100);
    let configs = fig1a::RECIPE.runs(&data, Scale::Smoke);
    let slow = run(&configs[1], &[2.0, 1.0, 0.1], 1.0, 0.1);
    let quick = run(&configs[0], &[2.0, 0.05, 0.04], 1.0, 0.6);
    let never = run(&configs[2], &[2.0, 1.5, 0.2], 0.9, 0.6);
    assert_eq!(fig1a::steps_to_fit(&slow), Some(30));
    assert_eq!(fig1a::steps_to_fit(&quick), Some(20));
    assert_eq!(fig1a::steps_to_fit(&never), None);
    let verdict = fig1a::RECIPE.verdict(&Results::Runs(vec![quick, slow, never])).unwrap();
    assert_eq!(verdict.ours, "2 of 3 fit; random labels last, 30 steps");
}

#[test]
fn table_1_gives_mean_and_deviation_over_seeds() {
    let data = data(200, 100);
    let (row, model) =
        *table1::rows().iter().find(|(r, _)| r.model == "MLP 1x512" && r.weight_decay).unwrap();
    let config = |repeat| {
        let mut config =
            recipe::setting(&data, Scale::Smoke, model, Corruption::TrueLabels, Seeds::repeat(repeat));
        config.hyper.weight_decay = recipe::MLP_WEIGHT_DECAY;
        config
    };
    let runs = [run(&config(0), &[0.1], 1.0, 0.50), run(&config(1), &[0.1], 0.98, 0.52)];
    assert!(runs.iter().all(|run| table1::belongs(row, run)));
    let frame = table1::frame(&runs).unwrap();
    let cell =
        |name: &str, at: usize| frame.column(name).unwrap().str().unwrap().get(at).unwrap().to_string();
    let at = table1::rows().iter().position(|(r, _)| std::ptr::eq(*r, row)).unwrap();
    assert_eq!(cell("test", at), "51.00 ± 1.41");
    assert_eq!(cell("train", at), "99.00 ± 1.41");
    assert_eq!(cell("test (paper)", at), "50.39");
    assert_eq!(cell("test", at + 1), "-", "a row without runs says so");
    let note = Note { scale_line: "flat, n = 200".into(), provenance: serde_json::Value::Null };
    let Product::Table(table) = table1::RECIPE.make(&Results::Runs(runs.to_vec()), &note).unwrap() else {
        panic!("a table")
    };
    assert!(table.markdown().contains("51.00 ± 1.41") && table.markdown().contains("n = 200"));
}

#[test]
fn no_runs_make_no_figure_and_no_panic() {
    let note = Note { scale_line: String::new(), provenance: serde_json::Value::Null };
    for recipe in recipe::ALL {
        let (none, other) = match recipe.source {
            Source::Runs { .. } => (Results::Runs(vec![]), Results::Measured(vec![])),
            Source::Measurements { .. } => (Results::Measured(vec![]), Results::Runs(vec![])),
        };
        recipe.verdict(&none).unwrap();
        let _ = recipe.make(&none, &note);
        assert!(recipe.make(&other, &note).is_err() && recipe.verdict(&other).is_err());
    }
    assert!(fig1a::RECIPE.make(&Results::Runs(vec![]), &note).is_err());
}
