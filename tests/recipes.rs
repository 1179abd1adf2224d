//! Recipes: the configurations they ask for, and the frames and verdicts they make of runs.

use rethink::data::augmentation::Augmentation;
use rethink::data::corruption::Corruption;
use rethink::data::{Dataset, Split};
use rethink::measure::{Measurement, Quantity};
use rethink::paper::reported::{TABLE_1, TABLE_4};
use rethink::paper::{
    self, Parts, Product, Recipe, Results, Setting, fig1a, fig1b, fig1c, fig2b, table1, table4,
};
use rethink::run::appendix_a;
use rethink::run::config::{RunConfig, Scale, Seeds};
use rethink::run::row::{LogRow, StopReason};
use rethink::run::train::TrainedRun;
use rethink::store::{Run, finish};
use rethink::study::Study;
use rethink_nn::models::{Family, Init, ModelKind, plan};
use rethink_nn::optim::{DecayOn, Optimizer};
use rethink_nn::text::{hex, thousands};
use rethink_plot::Note;
use rethink_tests::root;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// As many images as CIFAR-10, of one pixel's information.
fn data(train: usize, test: usize) -> Dataset {
    let split =
        |n: usize| Split { images: vec![7; n * 3072], labels: (0..n).map(|i| i as u16 % 10).collect() };
    let classes = (0..10).map(|c| format!("class {c}")).collect();
    Dataset::new("flat", "flat", classes, [3, 32, 32], split(train), split(test)).unwrap()
}

/// A finished run of `config` that nobody trained: an epoch a row, with these losses.
fn run(config: &RunConfig, losses: &[f64], train: f64, test: f64) -> Run {
    let row = |(i, &loss): (usize, &f64)| LogRow {
        step: 10 * (i as u32 + 1),
        epoch: i as u32 + 1,
        loss,
        batch_accuracy: 0.5,
        train_accuracy: (i + 1 == losses.len()).then_some(train),
        test_accuracy: Some(test),
        learning_rate: 0.01,
        train_top5: None,
        test_top5: None,
        seconds: i as f64,
    };
    let rows = losses.iter().enumerate().map(row).collect();
    let ending = if train == 1.0 { StopReason::Fitted } else { StopReason::Completed };
    let trained = TrainedRun {
        rows,
        ending,
        parameters: Vec::new(),
        parameter_count: 1,
        classes: Some(10),
        history: Default::default(),
        left_out: None,
    };
    finish(config, Scale::Smoke, &trained).unwrap()
}

/// A run whose loss became infinite.
fn diverged(config: &RunConfig) -> Run {
    let mut run = run(config, &[2.3, f64::INFINITY], 0.0, 0.1);
    run.record.ending = StopReason::Diverged;
    run
}

#[test]
fn paper_scale_is_the_papers() {
    let data = data(50_000, 10_000);
    for recipe in paper::ALL {
        let configs = recipe.runs(&data, Scale::Paper);
        let without = recipe.id == "fig3" || matches!(recipe.source, Parts::Measurements { .. });
        assert_eq!(configs.is_empty(), without, "{}", recipe.id);
        for config in configs {
            assert_eq!((config.data.train, config.data.test, config.width_factor), (50_000, 10_000, 1.0));
            let hyper = &config.hyper;
            let (rate, batch, init) = match config.model.family() {
                Family::Inception => (0.1, 128, Init::Glorot),
                Family::Alexnet => (0.01, 128, Init::Tutorial),
                // TensorFlow's setting.
                Family::InceptionV3 => (0.1, 32, Init::Glorot),
                Family::Mlp => {
                    let control = table1::is_control(&config) && recipe.id == "table1";
                    (0.01, if control { 128 } else { 64 }, Init::Glorot)
                }
                Family::Own => panic!("{} in {}", config.model, recipe.id),
            };
            assert_eq!((hyper.learning_rate, hyper.batch_size, hyper.init), (rate, batch, init));
            let varied = recipe.id == "table4" && (hyper.random_crop || !hyper.augment.is_off());
            let v3 = config.model == ModelKind::InceptionV3;
            let (decay, every) = if v3 { (0.16, 30) } else { (if varied { 0.999 } else { 0.95 }, 1) };
            assert_eq!((hyper.momentum, hyper.rate_decay, hyper.rate_decay_every), (0.9, decay, every));
            let (optimizer, average) =
                if v3 { (Optimizer::INCEPTION_V3, Some(0.9999)) } else { (Optimizer::Sgd, None) };
            assert_eq!((hyper.optimizer, hyper.average), (optimizer, average));
            let (smoothing, memory) = if v3 { (0.1, 0.9997) } else { (0.0, 0.9) };
            assert_eq!((hyper.label_smoothing, hyper.norm_memory), (smoothing, memory));
            assert!(hyper.epochs >= 64);
        }
    }
}

#[test]
fn smoke_is_small_and_small_says_its_width() {
    let data = data(3_000, 2_500);
    for recipe in paper::ALL {
        for config in recipe.runs(&data, Scale::Smoke) {
            let images = config.data.train * config.hyper.epochs;
            assert!(images <= 2_400 && config.data.test <= 200, "{}: {images} images", recipe.id);
            assert_eq!(config.width_factor < 1.0, !config.model.is_mlp());
        }
    }
    let configs = table1::RECIPE.runs(&data, Scale::Small);
    let sizes: Vec<usize> = configs.iter().map(|c| c.data.train).collect();
    assert!(sizes.iter().all(|n| *n == sizes[0]), "table 1's rows can be compared: {sizes:?}");
}

#[test]
fn figure_1a_differs_in_nothing_but_the_corruption() {
    let data = data(2_000, 200);
    let configs = fig1a::RECIPE.runs(&data, Scale::Small);
    assert_eq!(configs.len(), 5);
    for config in &configs {
        assert_eq!(RunConfig { corruption: Corruption::TrueLabels, ..config.clone() }, configs[0]);
        assert_eq!(config.hyper.weight_decay, 0.0);
        assert!(!config.hyper.random_crop && config.hyper.stop_when_fitted);
    }
}

/// At paper scale one run on true labels and one on random labels serve figures 1a, 1b, 1c and 2b and table 1.
#[test]
fn at_paper_scale_runs_end_when_fitted_and_serve_every_item() {
    let data = data(50_000, 10_000);
    let keys = |recipe: Recipe| -> Vec<String> {
        recipe.runs(&data, Scale::Paper).iter().map(RunConfig::key).collect()
    };
    let (figure, table) = (fig1a::RECIPE.runs(&data, Scale::Paper), keys(table1::RECIPE));
    assert_eq!(figure.len(), 5);
    for config in &figure {
        let hyper = &config.hyper;
        assert_eq!((hyper.stop_when_fitted, hyper.fitted_epochs), (true, appendix_a::FITTED_EPOCHS));
        // What a run that goes on (`--keep-going`) has, so that this one is found in it.
        assert_eq!((config.log_every, config.eval_every, hyper.rate_decay_every), (100, 1, 1));
    }
    let of = |corruption| figure.iter().find(|c| c.corruption == corruption).unwrap().key();
    for key in [of(Corruption::TrueLabels), of(Corruption::RandomLabels)] {
        assert!(
            table.contains(&key) && keys(fig1b::RECIPE).contains(&key) && keys(fig1c::RECIPE).contains(&key)
        );
    }
    assert!(keys(fig2b::RECIPE).iter().all(|key| table.contains(key)));
    for recipe in paper::ALL {
        for scale in [Scale::Smoke, Scale::Small, Scale::Paper] {
            for config in recipe.runs(&data, scale) {
                let k = if config.hyper.stop_when_fitted { appendix_a::FITTED_EPOCHS } else { 1 };
                assert_eq!(config.hyper.fitted_epochs, k, "{}, {scale}", recipe.id);
            }
        }
    }
}

#[test]
fn figure_1a_has_the_papers_axis_where_its_runs_end_sooner() {
    let data = data(50_000, 10_000);
    let configs = fig1a::RECIPE.runs(&data, Scale::Paper);
    // A row each ten steps: to step 50, and beyond the axis.
    let steps = |run: &mut Run, every: u32| {
        let steps: Vec<u32> = (1..=run.frame.height() as u32).map(|row| row * every).collect();
        run.frame.with_column(polars::prelude::Column::new("step".into(), steps)).unwrap();
        run.record.scale = Scale::Paper;
    };
    let mut runs =
        [run(&configs[0], &[2.0, 0.1, 0.05], 1.0, 0.8), run(&configs[1], &[2.3, 2.2, 1.0, 0.5], 1.0, 0.1)];
    steps(&mut runs[0], 2_000);
    steps(&mut runs[1], 8_000);
    let note = Note { scale_line: String::new(), provenance: serde_json::Value::Null };
    let drawn = |runs: &[Run]| {
        let Product::Figure(drawing) = fig1a::RECIPE.make(&Results::Runs(runs.to_vec()), &note).unwrap()
        else {
            panic!("a figure")
        };
        drawing.svg
    };
    let beyond = "Beyond step 25000, not drawn: random labels.";
    let (both, one) = (drawn(&runs), drawn(&runs[..1]));
    assert!(both.contains(beyond) && !one.contains("Beyond"), "{both}");
    // The axis ends at 25 thousand steps in either.
    assert!(one.contains("\n25\n") && one.contains("thousand steps"), "{one}");
}

#[test]
fn table_1_has_the_papers_rows_and_switches() {
    let data = data(2_000, 200);
    let configs = table1::RECIPE.runs(&data, Scale::Smoke);
    let rows = table1::rows();
    assert_eq!((configs.len(), rows.len()), (21, TABLE_1.len()));
    // The last two are controls: MLPs on random labels, with as many images a step as the other networks.
    for (control, config) in configs.iter().enumerate().map(|(i, config)| (i >= 19, config)) {
        assert_eq!(table1::is_control(config), control);
        let own = run(config, &[0.1], 1.0, 0.1);
        let belonging = rows.iter().filter(|(row, _)| table1::belongs(row, &own)).count();
        assert_eq!(belonging, usize::from(!control));
    }
    for ((row, model), config) in rows.iter().zip(&configs) {
        assert_eq!((config.model, config.model.title()), (*model, row.model));
        assert_eq!(config.hyper.weight_decay > 0.0, row.weight_decay);
        let on_fc = row.weight_decay && *model == ModelKind::Alexnet;
        assert_eq!(config.hyper.weight_decay_on == DecayOn::Fc, on_fc);
        // TF-Slim's, Inception's, spares biases and shifts.
        let on_weights = row.weight_decay && row.model.starts_with("Inception");
        assert_eq!(config.hyper.weight_decay_on == DecayOn::Weights, on_weights);
        assert_eq!(config.hyper.random_crop, row.random_crop);
        assert_eq!(config.corruption == Corruption::RandomLabels, row.random_labels);
        let plan = model.plan([28, 28, 3], 10, 1.0).unwrap();
        assert_eq!(plan::parameters(&plan, [28, 28, 3]).unwrap() as u32, row.parameters);
    }
}

#[test]
fn table_4_has_the_published_rows() {
    let data = data(2_000, 600);
    let configs = table4::RECIPE.runs(&data, Scale::Smoke);
    assert_eq!(configs.len(), 8);
    let control = |config: &RunConfig| table4::control(config);
    assert!(configs[..6].iter().all(|config| control(config).is_none()));
    assert_eq!(configs[6..].iter().filter_map(control).collect::<Vec<_>>(), table4::Control::ALL);
    let (undecayed, other) = (&configs[6], &configs[7]);
    assert_eq!((undecayed.hyper.weight_decay, other.hyper.weight_decay), (0.0, table4::CONTROL_DECAY));
    // But for weight decay, the controls are the row's own run.
    for config in [undecayed, other] {
        let mut same = config.clone();
        (same.hyper.weight_decay, same.hyper.weight_decay_on) =
            (configs[1].hyper.weight_decay, configs[1].hyper.weight_decay_on);
        assert_eq!(same, configs[1]);
    }
    let switches = |c: &RunConfig| (c.hyper.weight_decay > 0.0, c.hyper.random_crop, c.hyper.augment);
    let off = Augmentation::default();
    let expected = [
        (ModelKind::Inception, (true, false, off)),
        (ModelKind::Alexnet, (true, false, off)),
        (ModelKind::Mlp3x512, (true, false, off)),
        (ModelKind::Mlp1x512, (true, false, off)),
        (ModelKind::Inception, (false, true, off)),
        (ModelKind::Inception, (false, false, Augmentation::TABLE_4)),
    ];
    for (config, (model, switched)) in configs.iter().zip(expected) {
        assert_eq!((config.model, switches(config)), (model, switched));
        assert_eq!(config.corruption, Corruption::RandomLabels);
    }
    // Each run belongs to its row alone.
    let runs: Vec<Run> = configs.iter().map(|c| run(c, &[0.1], 0.5, 0.1)).collect();
    for (i, row) in TABLE_4.iter().enumerate() {
        let found: Vec<usize> = (0..8).filter(|&k| table4::belongs(row, &runs[k])).collect();
        assert_eq!(found, [i]);
    }
    let plain = appendix_a::config_at(
        &data,
        Scale::Smoke,
        ModelKind::Inception,
        Corruption::RandomLabels,
        Seeds::repeat(0),
    );
    let plain = run(&plain, &[0.1], 1.0, 0.1);
    assert!(!TABLE_4.iter().any(|row| table4::belongs(row, &plain)), "a run without regularisers");
}

#[test]
fn table_4_says_what_failed_to_converge_and_what_diverged() {
    let data = data(2_000, 600);
    let configs = table4::RECIPE.runs(&data, Scale::Smoke);
    let mut runs: Vec<Run> = configs.iter().map(|c| run(c, &[0.1], 1.0, 0.1)).collect();
    runs[1] = run(&configs[1], &[2.3], 0.1, 0.1);
    let verdict = table4::RECIPE.verdict(&Results::Runs(runs.to_vec())).unwrap();
    assert_eq!(verdict.ours(), "5 of 5 fit; Alexnet with weight decay fails to converge");
    assert_eq!(verdict.ours(), verdict.paper);
    runs[4] = diverged(&configs[4]);
    let frame = table4::frame(&runs).unwrap();
    let column = |name: &str| -> Vec<String> {
        let column = frame.column(name).unwrap().str().unwrap();
        column.iter().map(|v| v.unwrap().to_string()).collect()
    };
    assert_eq!(
        column("train"),
        ["100.00", "10.00", "100.00", "100.00", "diverged", "100.00", "100.00", "100.00"]
    );
    assert_eq!(column("train (paper)")[1], "failed to converge");
    let fitted = "fitted (5 epochs)";
    let ended = [fitted, "completed", fitted, fitted, "diverged", fitted, fitted, fitted];
    assert_eq!(column("ended"), ended);
    // A run of before today's rule says so in its row.
    runs[0].record.config.hyper.fitted_epochs = 1;
    let two = [runs[0].clone(), run(&configs[0], &[0.1], 1.0, 0.1), run(&configs[0], &[0.1], 0.9, 0.1)];
    let frame = table4::frame(&two).unwrap();
    let ended = frame.column("ended").unwrap().str().unwrap().get(0).unwrap().to_string();
    assert_eq!(ended, "1 fitted (1 epoch), 1 fitted (5 epochs), 1 completed");
    assert_eq!(table4::RECIPE.verdict(&Results::Runs(runs[..3].to_vec())).unwrap().ours, None);
}

#[test]
fn seeds_repeat_every_run_of_a_recipe() {
    let data = data(2_000, 600);
    let configs = fig1b::RECIPE.runs(&data, Scale::Small);
    let three = paper::with_seeds(&configs, 3);
    let models = fig1b::MODELS
        .map(|m| configs.iter().filter(|c| c.model == m).count() as u64 / paper::repeats(Scale::Small, m));
    assert_eq!(three.len() as u64, 3 * models.iter().sum::<u64>());
    for repeat in 0..3 {
        let of = three.iter().filter(|c| c.seeds == Seeds::repeat(repeat)).count();
        assert_eq!(of, three.len() / 3);
    }
    assert_eq!(paper::with_seeds(&configs, 1).len(), three.len() / 3);
}

#[test]
fn figure_2b_knows_what_early_stopping_could_have_won() {
    let data = data(2_000, 600);
    let configs = fig2b::RECIPE.runs(&data, Scale::Small);
    assert_eq!(configs.iter().map(|c| c.model).collect::<Vec<_>>(), fig2b::MODELS);
    // The run on true labels is figure 1a's, but at scale small.
    for (scale, shared) in [(Scale::Smoke, 1), (Scale::Small, 0), (Scale::Paper, 1)] {
        let key = fig2b::RECIPE.runs(&data, scale)[0].key();
        let keys: Vec<String> = fig1a::RECIPE.runs(&data, scale).iter().map(RunConfig::key).collect();
        assert_eq!(keys.iter().filter(|k| **k == key).count(), shared, "{scale}");
    }
    let tests = |config: &RunConfig, tests: &[f64]| {
        let row = |(i, test): (usize, &f64)| LogRow {
            step: i as u32 + 1,
            epoch: i as u32 + 1,
            loss: 1.0,
            batch_accuracy: 0.5,
            train_accuracy: Some(0.5),
            test_accuracy: Some(*test),
            learning_rate: 0.1,
            train_top5: None,
            test_top5: None,
            seconds: 1.0,
        };
        let rows = tests.iter().enumerate().map(row).collect();
        let trained = TrainedRun {
            rows,
            ending: StopReason::Completed,
            parameters: Vec::new(),
            parameter_count: 1,
            classes: Some(10),
            history: Default::default(),
            left_out: None,
        };
        finish(config, Scale::Small, &trained).unwrap()
    };
    let runs = [tests(&configs[0], &[0.5, 0.8, 0.77]), tests(&configs[1], &[0.2, 0.3, 0.7])];
    assert!((fig2b::early_stopping_gain(&runs[0]).unwrap() - 0.03).abs() < 1e-12);
    assert_eq!(fig2b::early_stopping_gain(&runs[1]), Some(0.0));
    let verdict = fig2b::RECIPE.verdict(&Results::Runs(runs.to_vec())).unwrap().ours.unwrap();
    assert!(verdict.contains("+7.0 points") && verdict.contains("early stopping +3.0"), "{verdict}");
    assert_eq!(fig2b::frame(&runs).unwrap().height(), 6);
}

#[test]
fn the_scale_line_names_widths_and_numbers_of_images_that_differ() {
    let folder = tempfile::tempdir().unwrap();
    let study = Study::new(Some("shapes10"), Scale::Smoke, folder.path()).unwrap();
    let of = |models: &[ModelKind]| {
        let runs: Vec<Run> = models
            .iter()
            .map(|&m| {
                let seeds = Seeds::repeat(0);
                let config =
                    appendix_a::config_at(&study.data, Scale::Smoke, m, Corruption::TrueLabels, seeds);
                run(&config, &[1.0], 0.5, 0.5)
            })
            .collect();
        study.scale_line(&runs)
    };
    assert!(of(&[ModelKind::Mlp1x512]).contains("width 1, "));
    let rule = "at most 12 epochs (a run ends after 5 epochs in a row with every training image right), ";
    assert!(of(&[ModelKind::Mlp1x512]).contains(rule), "{}", of(&[ModelKind::Mlp1x512]));
    let ends = |change: &dyn Fn(&mut RunConfig)| {
        let seeds = Seeds::repeat(0);
        let mut config = appendix_a::config_at(
            &study.data,
            Scale::Smoke,
            ModelKind::Mlp1x512,
            Corruption::TrueLabels,
            seeds,
        );
        change(&mut config);
        study.scale_line(&[run(&config, &[1.0], 0.5, 0.5)])
    };
    let first = ends(&|config| config.hyper.fitted_epochs = 1);
    assert!(
        first.contains("epochs (a run ends at the first epoch with every training image right), "),
        "{first}"
    );
    let all = ends(&|config| config.hyper.keep_going());
    assert!(all.contains("width 1, 12 epochs, 1 seed"), "{all}");
    let both = of(&[ModelKind::Inception, ModelKind::Alexnet, ModelKind::Mlp1x512]);
    assert!(both.contains("n = 200, width 0.125 (Inception, Alexnet), 1 (MLP 1x512)"), "{both}");
    // So are numbers of images.
    let data = data(5_000, 100);
    let runs = |scale| -> Vec<Run> {
        fig1b::RECIPE.runs(&data, scale).iter().map(|config| run(config, &[1.0], 0.5, 0.5)).collect()
    };
    let mut runs = runs(Scale::Small);
    let line = study.scale_line(&runs);
    assert!(line.contains("n = 500 (Inception), 1,000 (Alexnet), 2,000 (MLP 1x512), width"), "{line}");
    runs[0].record.config.data.train = 300;
    let line = study.scale_line(&runs);
    assert!(line.contains("n = 300 to 2,000, width"), "{line}");
}

/// What scale small changes of appendix A's steps stands in the small print.
#[test]
fn the_small_print_says_the_steps_of_scale_small() {
    let data = data(5_000, 100);
    let said = |recipe: Recipe, scale: Scale| {
        let made = |config: &RunConfig| {
            let mut run = run(config, &[1.0], 0.5, 0.5);
            run.record.scale = scale;
            run
        };
        paper::choices(&recipe.runs(&data, scale).iter().map(made).collect::<Vec<_>>()).join(" ")
    };
    let table = said(table1::RECIPE, Scale::Small);
    let steps = "Mini-batches of 64 or 128; the learning rate decays every 4 epochs; Inception w/o BatchNorm starts at a rate of \
                 0.02, not 0.1, from He's weights.";
    assert!(table.contains(steps), "{table}");
    assert!(!table.contains("not 128 as the others"), "{table}");
    let curves = said(fig1a::RECIPE, Scale::Small);
    assert!(curves.contains("Mini-batches of 128; the learning rate decays every 4 epochs."), "{curves}");
    assert!(!said(table1::RECIPE, Scale::Paper).contains("; the learning rate decays"));
}

#[test]
fn recipes_share_the_runs_that_they_have_in_common() {
    let data = data(5_000, 200);
    let keys = |recipe: Recipe, scale: Scale| -> Vec<String> {
        recipe.runs(&data, scale).iter().map(RunConfig::key).collect()
    };
    // Without regularisers, two labellings of each model for each repetition; but at scale small the figure's Alexnet and MLP
    // have more images than the table's.
    let in_table = |model: &ModelKind| table1::rows().iter().any(|(_, row)| row == model);
    let both: Vec<ModelKind> = fig1b::MODELS.into_iter().filter(in_table).collect();
    for (scale, shares) in [(Scale::Paper, &both[..]), (Scale::Small, &[ModelKind::Inception])] {
        let table = keys(table1::RECIPE, scale);
        let b = keys(fig1b::RECIPE, scale);
        let shared = table.iter().filter(|key| b.contains(key)).count() as u64;
        let repeats = shares.iter().map(|&m| paper::repeats(scale, m));
        assert_eq!(shared, 2 * repeats.sum::<u64>(), "{scale:?}");
    }
    let (b, c) = (keys(fig1b::RECIPE, Scale::Small), keys(fig1c::RECIPE, Scale::Small));
    assert_eq!(b, c);
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
        appendix_a::config_at(&data, Scale::Smoke, ModelKind::Mlp1x512, corruption, Seeds::repeat(repeat))
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
    let slow = run(&configs[1], &[2.0, 1.5, 0.1], 1.0, 0.1);
    let quick = run(&configs[0], &[2.0, 0.05, 0.04], 1.0, 0.6);
    let never = run(&configs[2], &[2.0, 1.5, 0.2], 0.9, 0.6);
    assert_eq!(fig1a::steps_to_fit(&slow), Some(30));
    assert_eq!(fig1a::steps_to_fit(&quick), Some(20));
    assert_eq!(fig1a::steps_to_fit(&never), None);
    let verdict = |runs: &[Run]| fig1a::RECIPE.verdict(&Results::Runs(runs.to_vec())).unwrap();
    let gone = verdict(&[quick.clone(), diverged(&configs[1])]);
    assert_eq!(gone.ours(), "1 of 2 fit; steps to half the loss: true labels 20");
    let verdict = verdict(&[quick, slow, never]);
    assert_eq!(
        verdict.ours(),
        "2 of 3 fit; steps to half the loss: true labels 20, random labels 30, shuffled pixels 30"
    );
}

#[test]
fn table_1_gives_mean_and_deviation_over_seeds() {
    let data = data(200, 100);
    let (row, model) =
        *table1::rows().iter().find(|(r, _)| r.model == "MLP 1x512" && r.weight_decay).unwrap();
    let config = |repeat| {
        let mut config =
            appendix_a::config_at(&data, Scale::Smoke, model, Corruption::TrueLabels, Seeds::repeat(repeat));
        config.hyper.weight_decay = paper::MLP_WEIGHT_DECAY;
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
    for recipe in paper::ALL {
        let (none, other) = match recipe.source {
            Parts::Runs { .. } => (Results::Runs(vec![]), Results::Measured(vec![])),
            Parts::Measurements { .. } => (Results::Measured(vec![]), Results::Runs(vec![])),
        };
        recipe.verdict(&none).unwrap();
        let _ = recipe.make(&none, &note);
        assert!(recipe.make(&other, &note).is_err() && recipe.verdict(&other).is_err());
    }
    assert!(fig1a::RECIPE.make(&Results::Runs(vec![]), &note).is_err());
}

/// Of few images, what they allow is planned; where that is nothing, an error says how many it takes.
#[test]
fn few_images_give_what_they_allow_or_an_error() {
    let depths = |n: usize| -> Vec<usize> {
        let data = data(n, 1);
        let planned = paper::find("corollary1").unwrap().measurements(&Setting::new(&data, Scale::Smoke));
        let depth = |measurement: &Measurement| match measurement.what {
            Quantity::Corollary1 { depth } => depth,
            _ => panic!("{measurement:?}"),
        };
        planned.iter().map(depth).collect()
    };
    assert_eq!([1, 2, 5, 9].map(depths), [vec![3], vec![3, 5], vec![3, 5, 8], vec![3, 5, 8]]);
    assert_eq!([10, 1_000].map(depths), [[3, 5, 8, 13], [3, 5, 8, 13]]);
    // As many images, but all the same.
    let data = |n| data(n, 1);
    let same = data(200);
    let deep = |depth| Measurement::new(&same, (200, 1), Quantity::Corollary1 { depth }, 1);
    assert!(deep(4).measure(&same, None, &mut |_| ()).is_ok());
    let error = deep(13).measure(&same, None, &mut |_| ()).unwrap_err().to_string();
    let said =
        "depth 13 takes 10 distinct images or more: of the first 200 training images of flat, 1 is distinct";
    assert!(error.contains(said), "{error}");
    for (id, scale, fewest) in [
        ("theorem1", Scale::Smoke, 10),
        ("rademacher", Scale::Smoke, 50),
        ("rademacher", Scale::Paper, 1_000),
    ] {
        let recipe = paper::find(id).unwrap();
        let (few, enough) = (data(fewest - 1), data(fewest));
        let error = recipe.check(&Setting::new(&few, scale)).unwrap_err().to_string();
        let said = format!(
            "{id} takes {} training images or more at scale {scale}: flat has {}",
            thousands(fewest),
            fewest - 1
        );
        assert!(error.ends_with(&said), "{error}");
        recipe.check(&Setting::new(&enough, scale)).unwrap();
        assert!(!recipe.measurements(&Setting::new(&enough, scale)).is_empty());
    }
}

/// A line a recipe and scale: how many runs and measurements it has on shapes10, and the SHA-256 of their keys, sorted.
fn keys_of_all_recipes() -> String {
    let mut lines = String::new();
    let mut study = Study::new(Some("shapes10"), Scale::Smoke, "/nowhere").unwrap();
    for recipe in paper::ALL {
        for scale in [Scale::Smoke, Scale::Small, Scale::Paper] {
            study.scale = scale;
            let mut keys: Vec<String> = study.configs_of(&recipe).iter().map(RunConfig::key).collect();
            keys.extend(recipe.measurements(&study.setting()).iter().map(|m| m.key()));
            keys.sort();
            let digest = hex(&Sha256::digest(keys.join("\n")));
            lines += &format!("{} {scale} {} {digest}\n", recipe.id, keys.len());
        }
    }
    lines
}

/// The keys by which stores name runs: where they change, every stored run is lost to its recipe. After an intended
/// change: `WRITE_KEYS=1 cargo test --release -p rethink-tests --test quick keys_stay`.
#[test]
fn keys_stay() {
    let file = root().join("tests/fixtures/keys.txt");
    let now = keys_of_all_recipes();
    if std::env::var_os("WRITE_KEYS").is_some() {
        std::fs::write(&file, &now).unwrap();
    }
    let before = std::fs::read_to_string(&file).unwrap();
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) = (before.lines().collect(), now.lines().collect());
    let list = |lines: Vec<&&str>| lines.iter().map(|line| format!("\n  {line}")).collect::<String>();
    assert!(
        old == new,
        "the runs of recipes have changed; gone:{}\nnew:{}\nwhere that is meant (`gone` are runs that no recipe asks for any \
         more): WRITE_KEYS=1 cargo test --release --test quick keys_stay",
        list(old.difference(&new).collect()),
        list(new.difference(&old).collect())
    );
}
