//! Models, the optimiser, the training loop and the run store.
//!
//! `fixtures/mlp_step.json` was made with PyTorch by `fixtures/mlp_step.py`.

use rethink::config::{DecayOn, Init, RunConfig, Scale, Seeds};
use rethink::corruption::Corruption;
use rethink::data::{Dataset, shapes10};
use rethink::models::{ModelKind, Network, Parameter};
use rethink::ops::Pass;
use rethink::optim::SgdStep;
use rethink::recipe::setting;
use rethink::store::{Event, Store, digest};
use rethink::train::{Ending, Progress, Trained, train};
use rethink_tests::formula;
use serde_json::Value;
use std::time::Duration;

fn close(name: &str, ours: f64, expected: f64) {
    let error = (ours - expected).abs() / expected.abs().max(1e-2);
    assert!(error < 1e-4, "{name}: {ours}, PyTorch has {expected}");
}

fn network(model: ModelKind) -> Box<dyn Network> {
    model.build(3, 10, Init::Glorot, 0).unwrap()
}

#[test]
fn three_steps_equal_pytorch() {
    let fixtures: Value = serde_json::from_str(include_str!("fixtures/mlp_step.json")).unwrap();
    for (name, model, weight_decay) in [
        ("mlp1x512", ModelKind::Mlp1x512, 0.0),
        ("mlp3x512", ModelKind::Mlp3x512, 0.0),
        ("mlp1x512-decay", ModelKind::Mlp1x512, 5e-3),
    ] {
        let expected = &fixtures[name];
        let mut network = network(model);
        let filled: Vec<Parameter> = network
            .parameters()
            .unwrap()
            .into_iter()
            .enumerate()
            .map(|(number, p)| {
                let scale = if p.shape.len() == 2 { 0.05 } else { 0.1 };
                Parameter { values: formula(p.values.len(), 7919 + 2 * number, scale), ..p }
            })
            .collect();
        network.restore(&filled, Vec::new()).unwrap();
        let images = formula(16 * 2352, 6007, 1.7);
        let labels: Vec<u16> = (0..16).map(|i| i * 7 % 10).collect();
        let step = SgdStep { learning_rate: 0.01, momentum: 0.9, weight_decay };
        for at in 0..3 {
            let outcome =
                network.train_step(images.clone(), &labels, step, Pass::training_step(0, 0)).unwrap();
            close(
                &format!("{name}, loss of step {at}"),
                outcome.loss.into(),
                expected["losses"][at].as_f64().unwrap(),
            );
        }
        for (number, p) in network.parameters().unwrap().iter().enumerate() {
            for k in 0..5 {
                let value = f64::from(p.values[k * p.values.len() / 5]);
                close(
                    &format!("{name}, {}[{k}/5]", p.name),
                    value,
                    expected["picked"][number][k].as_f64().unwrap(),
                );
            }
            let norm = p.values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            close(&format!("{name}, norm of {}", p.name), norm, expected["norms"][number].as_f64().unwrap());
        }
        let logits = network.logits(images[..2352].to_vec()).unwrap();
        for (class, logit) in logits.iter().enumerate() {
            close(
                &format!("{name}, logit {class}"),
                f64::from(*logit),
                expected["logits"][class].as_f64().unwrap(),
            );
        }
        assert_eq!(network.parameter_count() as u64, expected["parameters"].as_u64().unwrap());
    }
}

#[test]
fn parameter_counts_are_table_1s() {
    assert_eq!(network(ModelKind::Mlp1x512).parameter_count(), 1_209_866);
    assert_eq!(network(ModelKind::Mlp3x512).parameter_count(), 1_735_178);
}

#[test]
fn gradients_equal_finite_differences() {
    // One step without momentum moves each weight by -rate * gradient.
    let mut network = network(ModelKind::Mlp3x512);
    let images = formula(8 * 2352, 6007, 1.7);
    let labels: Vec<u16> = (0..8).map(|i| i * 3 % 10).collect();
    let start = network.parameters().unwrap();
    let rate = 1e-3;
    let step = SgdStep { learning_rate: rate, momentum: 0.0, weight_decay: 0.0 };
    network.train_step(images.clone(), &labels, step, Pass::training_step(0, 0)).unwrap();
    let moved = network.parameters().unwrap();
    let loss = |network: &mut Box<dyn Network>, parameters: &[Parameter]| {
        network.restore(parameters, Vec::new()).unwrap();
        let scores = network.logits(images.clone()).unwrap();
        let rows = scores.chunks_exact(10).zip(&labels);
        let nats = rows.map(|(row, &label)| {
            let sum: f64 = row.iter().map(|&v| f64::from(v).exp()).sum();
            sum.ln() - f64::from(row[usize::from(label)])
        });
        nats.sum::<f64>() / labels.len() as f64
    };
    for tensor in 0..start.len() {
        // Along the gradient itself, where the difference is largest against rounding.
        let gradient: Vec<f64> = start[tensor]
            .values
            .iter()
            .zip(&moved[tensor].values)
            .map(|(a, b)| f64::from(a - b) / f64::from(rate))
            .collect();
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let along = |sign: f64| {
            let mut shifted = start.clone();
            for (v, g) in shifted[tensor].values.iter_mut().zip(&gradient) {
                *v += (sign * 0.002 * g / norm) as f32;
            }
            shifted
        };
        let (up, down) = (along(1.0), along(-1.0));
        let slope = (loss(&mut network, &up) - loss(&mut network, &down)) / 0.004;
        let error = (slope - norm).abs() / norm;
        assert!(error < 2e-2, "{}: slope {slope}, gradient's norm {norm}", start[tensor].name);
    }
}

#[test]
fn initial_weights_follow_glorot_and_their_seed() {
    let a = ModelKind::Mlp1x512.build(3, 10, Init::Glorot, 5).unwrap().parameters().unwrap();
    let b = ModelKind::Mlp1x512.build(3, 10, Init::Glorot, 5).unwrap().parameters().unwrap();
    let c = ModelKind::Mlp1x512.build(3, 10, Init::Glorot, 6).unwrap().parameters().unwrap();
    assert_eq!(a, b);
    assert_ne!(a[0], c[0]);
    let limit = (6.0f64 / (2352.0 + 512.0)).sqrt();
    let values: Vec<f64> = a[0].values.iter().map(|&v| v.into()).collect();
    assert!(values.iter().all(|v| v.abs() <= limit));
    let variance = values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64;
    assert!((variance / (limit * limit / 3.0) - 1.0).abs() < 0.01, "variance {variance}");
    assert!(a[1].values.iter().all(|&v| v == 0.0), "biases start at zero");
}

#[test]
fn bad_batches_are_errors() {
    let mut network = network(ModelKind::Mlp1x512);
    let step = SgdStep { learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0 };
    let error = |result: rethink::Result<_>| {
        result.map(|_: rethink::models::StepOutcome| ()).unwrap_err().to_string()
    };
    assert!(
        error(network.train_step(vec![0.0; 100], &[1], step, Pass::training_step(0, 0)))
            .contains("batch of images")
    );
    assert!(
        error(network.train_step(vec![0.0; 2352], &[1, 2], step, Pass::training_step(0, 0)))
            .contains("training step")
    );
    assert!(
        error(network.train_step(vec![0.0; 2352], &[10], step, Pass::training_step(0, 0)))
            .contains("label 10 of 10")
    );
    assert!(ModelKind::Mlp1x512.build(0, 10, Init::Glorot, 0).is_err());
    assert!(ModelKind::Mlp1x512.build(3, 0, Init::Glorot, 0).is_err());
}

fn data() -> Dataset {
    shapes10::generate(300, 100, 1).unwrap()
}

fn config(data: &Dataset, corruption: Corruption) -> RunConfig {
    let mut config = setting(data, Scale::Smoke, ModelKind::Mlp1x512, corruption, Seeds::default());
    config.data = data.id(300, 100);
    config.hyper.epochs = 6;
    config.log_every = 5;
    config
}

fn trained(config: &RunConfig, data: &Dataset) -> Trained {
    train(config, data, Progress::quiet(&mut |_| {})).unwrap().unwrap()
}

#[test]
fn equal_configurations_give_equal_frames_on_any_number_of_threads() {
    let data = data();
    for random_crop in [false, true] {
        let mut config = config(&data, Corruption::RandomLabels);
        config.hyper.random_crop = random_crop;
        let first = trained(&config, &data);
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let again = pool.install(|| trained(&config, &data));
            assert_eq!(
                digest(&first.rows),
                digest(&again.rows),
                "{threads} threads, random crop {random_crop}"
            );
            assert_eq!(first.parameters, again.parameters);
        }
    }
}

#[test]
fn seeds_matter_one_by_one() {
    let data = data();
    let base = config(&data, Corruption::RandomLabels);
    let first = digest(&trained(&base, &data).rows);
    for change in [
        (|s: &mut Seeds| s.data += 10) as fn(&mut Seeds),
        |s: &mut Seeds| s.init += 10,
        |s: &mut Seeds| s.order += 10,
    ] {
        let mut config = base.clone();
        change(&mut config.seeds);
        assert_ne!(digest(&trained(&config, &data).rows), first, "{:?}", config.seeds);
        assert_ne!(config.key(), base.key());
    }
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one() {
    let data = data();
    for random_crop in [false, true] {
        let mut config = config(&data, Corruption::PartialLabels { p: 0.5 });
        config.hyper.random_crop = random_crop;
        config.hyper.weight_decay = 1e-3;
        let whole = trained(&config, &data);
        let folder = tempfile::tempdir().unwrap();
        let mut leaves = 0;
        // Killed after every single epoch.
        let resumed = loop {
            let mut on_epoch = |_: &_| {};
            let progress = Progress {
                folder: Some(folder.path().to_path_buf()),
                events: None,
                checkpoint_every: Duration::ZERO,
                on_epoch: &mut on_epoch,
                leave_after: Some(leaves + 1),
            };
            match train(&config, &data, progress).unwrap() {
                Some(trained) => break trained,
                None => leaves += 1,
            }
        };
        assert_eq!(leaves, 5);
        assert_eq!(digest(&whole.rows), digest(&resumed.rows));
        assert_eq!(whole.parameters, resumed.parameters);
    }
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let leave = |config: &RunConfig| {
        let mut on_epoch = |_: &_| {};
        let progress = Progress {
            folder: Some(folder.path().to_path_buf()),
            events: None,
            checkpoint_every: Duration::ZERO,
            on_epoch: &mut on_epoch,
            leave_after: Some(2),
        };
        train(config, &data, progress).map(|_| ())
    };
    leave(&config(&data, Corruption::TrueLabels)).unwrap();
    let error = leave(&config(&data, Corruption::RandomLabels)).unwrap_err().to_string();
    assert!(error.contains("belongs to another run"), "{error}");
    std::fs::write(folder.path().join("checkpoint.safetensors"), b"not a checkpoint").unwrap();
    let error = leave(&config(&data, Corruption::TrueLabels)).unwrap_err().to_string();
    assert!(error.contains("checkpoint.safetensors") && error.contains("remove"), "{error}");
}

#[test]
fn training_stops_when_fitted_and_says_when() {
    let data = data();
    let mut config = config(&data, Corruption::RandomLabels);
    config.hyper.epochs = 200;
    let stopped = trained(&config, &data);
    assert_eq!(stopped.ending, Ending::Fitted);
    let last = stopped.rows.last().unwrap();
    assert_eq!(last.train_accuracy, Some(1.0));
    assert!(last.epoch < 200);
    config.hyper.stop_when_fitted = false;
    config.hyper.epochs = last.epoch as usize + 2;
    let on = trained(&config, &data);
    assert_eq!(on.ending, Ending::Completed);
    // Random labels teach nothing: 100 test images, chance 10 %.
    assert!(on.rows.last().unwrap().test_accuracy.unwrap() < 0.25);
}

#[test]
fn the_learning_rate_decays_by_the_epoch() {
    let data = data();
    let mut config = config(&data, Corruption::TrueLabels);
    config.hyper.decay_every = 2;
    config.hyper.stop_when_fitted = false;
    for row in trained(&config, &data).rows {
        let expected = 0.01 * 0.95f64.powi((row.epoch as i32 - 1) / 2);
        assert!((row.learning_rate - expected).abs() < 1e-12, "epoch {}", row.epoch);
    }
}

#[test]
fn a_run_that_diverges_is_recorded() {
    let data = data();
    let mut config = config(&data, Corruption::TrueLabels);
    config.hyper.learning_rate = 1e6;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let run = store.run(&config, &data, Scale::Smoke, &mut |_| {}).unwrap();
    assert_eq!(run.record.ending, Ending::Diverged);
    assert_eq!(run.record.train_accuracy.is_some(), run.record.test_accuracy.is_some());
    let again = store.get(&config).unwrap().unwrap();
    assert_eq!(again.record, run.record);
}

#[test]
fn the_store_keeps_a_run_whole_and_computes_it_once() {
    let data = data();
    let config = config(&data, Corruption::TrueLabels);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("runs"));
    assert!(store.all().unwrap().is_empty());
    let mut epochs = 0;
    let run = store
        .run(&config, &data, Scale::Smoke, &mut |e| epochs += u32::from(matches!(e, Event::Epoch(_))))
        .unwrap();
    assert_eq!(epochs, run.record.epochs);
    let written = std::fs::metadata(store.path(&config.key())).unwrap().modified().unwrap();
    let mut found = false;
    let again =
        store.run(&config, &data, Scale::Smoke, &mut |e| found = matches!(e, Event::Found(_))).unwrap();
    assert!(found);
    assert_eq!(written, std::fs::metadata(store.path(&config.key())).unwrap().modified().unwrap());
    assert_eq!(again.record, run.record);
    assert!(again.frame.equals_missing(&run.frame));
    let names: Vec<_> = std::fs::read_dir(store.folder()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "only the finished run and the events: {names:?}");
    // A process may be killed between the run's file and the end of its folder.
    let partial = store.folder().join(format!("{}.partial", config.key()));
    std::fs::create_dir(&partial).unwrap();
    std::fs::write(partial.join("checkpoint.safetensors"), "left").unwrap();
    store.run(&config, &data, Scale::Smoke, &mut |_| {}).unwrap();
    assert!(!partial.exists());
    let record = &run.record;
    assert_eq!(record.config.data.fingerprint, data.fingerprint);
    assert_eq!(record.parameters, 1_209_866);
    assert!(record.provenance.crates["dfdx"] == "0.13.0" && !record.provenance.host.is_empty());
    assert_eq!(run.frame.height() as u32, record.epochs);
}

#[test]
fn a_file_that_is_no_run_is_an_error_with_its_name() {
    let data = data();
    let config = config(&data, Corruption::TrueLabels);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let path = store.path(&config.key());
    std::fs::write(&path, b"PAR1 and nothing more").unwrap();
    let error = rethink::store::read(&path).unwrap_err().to_string();
    assert!(error.contains(&config.key()), "{error}");
    // It does not stand in the way of what is a run.
    assert!(store.get(&config).unwrap().is_none() && store.all().unwrap().is_empty());
    assert_eq!(store.contents().unwrap().passed_over[0].path, path);
}

#[test]
fn impossible_configurations_are_errors() {
    let data = data();
    let base = config(&data, Corruption::TrueLabels);
    let changes: [fn(&mut RunConfig); 10] = [
        |c| c.data.train = 301,
        |c| c.data.train = 0,
        |c| c.data.fingerprint = "other".into(),
        |c| c.hyper.batch_size = 0,
        |c| c.hyper.epochs = 0,
        |c| c.hyper.learning_rate = f64::NAN,
        |c| c.hyper.momentum = 1.0,
        |c| c.hyper.weight_decay = -1.0,
        |c| c.corruption = Corruption::PartialLabels { p: 1.5 },
        // It would act on nothing.
        |c| {
            c.model = ModelKind::Inception;
            (c.hyper.weight_decay, c.hyper.weight_decay_on) = (1e-3, DecayOn::Fc);
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut config = base.clone();
        change(&mut config);
        assert!(train(&config, &data, Progress::quiet(&mut |_| {})).is_err(), "change {number}");
        let folder = tempfile::tempdir().unwrap();
        assert!(Store::new(folder.path()).run(&config, &data, Scale::Smoke, &mut |_| {}).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "change {number}");
    }
}
