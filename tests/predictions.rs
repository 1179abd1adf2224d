//! Several runs as one frame, what networks say of each image, and two of them beside each other.

use clap::Parser;
use polars::prelude::*;
use rethink::data::Split;
use rethink::data::corruption::Corruption;
use rethink::paper::ALL;
use rethink::run::config::{RunConfig, Scale};
use rethink::run::row::StopReason;
use rethink::store::{Run, curves_of, frame_of};
use rethink::study::{Study, describe, mcnemar};
use rethink_cli::commands::command::{Action, Command};
use rethink_nn::models::{Init, ModelKind};

fn study(folder: &std::path::Path) -> Study {
    Study::new(Some("shapes10"), Scale::Smoke, folder).unwrap()
}

/// A narrow network on random labels, three epochs.
fn config(study: &Study) -> RunConfig {
    let mut config = study.config(ModelKind::Mlp1x512, Corruption::RandomLabels);
    (config.width_factor, config.hyper.epochs) = (0.1, 3);
    config
}

fn trained(study: &Study, config: &RunConfig) -> Run {
    study.train_all(std::slice::from_ref(config), &mut |_| ()).unwrap().remove(0)
}

fn of<'a>(frame: &'a DataFrame, name: &str) -> &'a Column {
    frame.column(name).unwrap()
}

/// The share of `set`'s images of which `equal` columns are.
fn share(frame: &DataFrame, set: &str, [a, b]: [&str; 2]) -> f64 {
    let (a, b) = (of(frame, a).u32().unwrap(), of(frame, b).u32().unwrap());
    let rows = of(frame, "set").str().unwrap().iter().zip(a.iter().zip(b.iter()));
    let own: Vec<bool> = rows.filter(|(own, _)| *own == Some(set)).map(|(_, (a, b))| a == b).collect();
    own.iter().filter(|equal| **equal).count() as f64 / own.len() as f64
}

#[test]
fn predictions_are_those_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path());
    let run = trained(&study, &config(&study));
    let frame = study.predictions(&run).unwrap();
    assert_eq!(frame.height(), 400);
    // On what the run was trained on, and on test images, as its record says.
    let (train, test) = (run.record.train_accuracy.unwrap(), run.record.test_accuracy.unwrap());
    assert_eq!(share(&frame, "train", ["predicted", "trained_on"]), train);
    assert_eq!(share(&frame, "test", ["predicted", "label"]), test);
    assert!(share(&frame, "train", ["label", "trained_on"]) < 0.3, "random labels");
    let labels: Vec<u32> = of(&frame, "label").u32().unwrap().iter().flatten().collect();
    let expected = study.data.train.labels[..200].iter().chain(&study.data.test.labels[..200]);
    assert!(labels.iter().copied().eq(expected.map(|&label| u32::from(label))));
    let right: Vec<bool> = of(&frame, "right").bool().unwrap().iter().flatten().collect();
    let predicted = of(&frame, "predicted").u32().unwrap();
    assert!(right.iter().zip(predicted.iter().zip(&labels)).all(|(r, (p, l))| *r == (p == Some(*l))));
    let probability = of(&frame, "probability").f64().unwrap();
    assert!(probability.iter().flatten().all(|p| (0.1..=1.0).contains(&p)));
    assert_eq!(of(&frame, "trained_on").null_count(), 200);
    // The weights were kept, and are read the next time.
    let weights = folder.path().join("weights").join(format!("{}.safetensors", run.record.config.key()));
    let written = std::fs::metadata(&weights).unwrap().modified().unwrap();
    assert!(study.predictions(&run).unwrap().equals_missing(&frame));
    assert_eq!(std::fs::metadata(&weights).unwrap().modified().unwrap(), written);
    // Damaged or another run's, they are refused by name.
    let sound = std::fs::read(&weights).unwrap();
    let mut damaged = sound.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, damaged).unwrap();
    let error = study.predictions(&run).unwrap_err().to_string();
    assert!(error.contains("checksum") && error.contains(weights.to_str().unwrap()), "{error}");
    std::fs::write(&weights, sound).unwrap();
    let mut other = run.clone();
    other.record.digest = "0".repeat(64);
    assert!(study.predictions(&other).unwrap_err().to_string().contains("of another run"));
    std::fs::remove_file(&weights).unwrap();
    // A run whose numbers do not come again, or that was made elsewhere, has no weights to be had.
    assert!(study.predictions(&other).unwrap_err().to_string().contains("gives other numbers"));
    assert!(!weights.exists());
    let mut elsewhere = run.clone();
    elsewhere.record.provenance.device = "cuda:0: another".into();
    assert!(study.predictions(&elsewhere).unwrap_err().to_string().contains("was trained on cuda:0"));
    let data = study.data.changed("other", "Other images", |train, _| train.images[0] ^= 1).unwrap();
    assert!(Study::of(data, &study).predictions(&run).is_err(), "of other data");
}

/// Images of another source are cropped, whitened and corrupted as the run's own.
#[test]
fn a_network_is_tested_on_other_images_as_on_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path());
    let config = study.config(ModelKind::Mlp1x512, Corruption::ShuffledPixels);
    let run = trained(&study, &config);
    let [_, own] = study.inputs(&run).unwrap();
    let test = &study.data.test;
    let first = |count: usize| Split {
        images: test.images[..count * 3072].to_vec(),
        labels: test.labels[..count].to_vec(),
    };
    let same = study.inputs_of(&run, &first(own.labels.len())).unwrap();
    assert_eq!((&same.images, &same.labels), (&own.images, &own.labels));
    let network = study.network(&run).unwrap();
    let accuracy = study.inputs_of(&run, &first(200)).unwrap().accuracy(network.as_ref()).unwrap();
    assert_eq!(Some(accuracy), run.record.test_accuracy);
    // As many as there are, and other ones than the run's.
    let dark =
        Split { images: test.images.iter().map(|value| value / 2).collect(), labels: test.labels.clone() };
    let dark = study.inputs_of(&run, &dark).unwrap();
    assert_eq!(dark.labels, test.labels);
    assert_ne!(dark.images[..own.images.len()], own.images);
    let mut wrong = first(3);
    wrong.labels[2] = 10;
    let error = study.inputs_of(&run, &wrong).unwrap_err().to_string();
    assert!(error.contains("test image 2 has label 10, with 10 classes"), "{error}");
    wrong.images.pop();
    let error = study.inputs_of(&run, &wrong).unwrap_err().to_string();
    assert!(error.contains("9,215 bytes of test images"), "{error}");
}

/// The network is the run's at every epoch: its accuracies are the curve's.
#[test]
fn an_observed_run_is_the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path());
    let mut config = config(&study);
    (config.eval_every, config.hyper.average) = (1, Some(0.9));
    let run = trained(&study, &config);
    let [train, test] = study.inputs(&run).unwrap();
    assert_eq!((train.labels.len(), test.labels.len(), train.images.len()), (200, 200, 200 * 2352));
    assert_ne!(train.labels, study.data.train.labels[..200], "random labels");
    let mut start = Vec::new();
    let frame = study
        .observe(&run, |epoch, network| {
            let now = network.parameters()?;
            if epoch == 0 {
                start = now.clone();
            }
            let pairs = now.iter().zip(&start).flat_map(|(a, b)| a.values.iter().zip(&b.values));
            let moved = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
            let (accuracy, on_test) = (train.accuracy(network)?, test.accuracy(network)?);
            Ok(vec![("moved", moved), ("train", accuracy), ("test", on_test), ("loss", train.loss(network)?)])
        })
        .unwrap();
    assert_eq!(frame.get_column_names(), ["epoch", "moved", "train", "test", "loss"]);
    let numbers = |name: &str| of(&frame, name).f64().unwrap().iter().flatten().collect::<Vec<f64>>();
    assert!(of(&frame, "epoch").u32().unwrap().iter().flatten().eq(0..4));
    let moved = numbers("moved");
    assert!(moved[0] == 0.0 && moved.is_sorted_by(|a, b| a < b), "{moved:?}");
    let curve: Vec<f64> = of(&run.frame, "test_accuracy").f64().unwrap().iter().flatten().collect();
    assert_eq!(numbers("test")[1..], curve);
    assert_eq!(Some(numbers("train")[3]), run.record.train_accuracy);
    // By the softmax written out.
    let scores = study.network(&run).unwrap().logits(train.images.clone()).unwrap();
    let nats = scores.chunks_exact(10).zip(&train.labels).map(|(row, label)| {
        let sum: f64 = row.iter().map(|score| f64::from(*score).exp()).sum();
        -(f64::from(row[usize::from(*label)]).exp() / sum).ln()
    });
    let loss = numbers("loss");
    assert!((nats.sum::<f64>() / 200.0 - loss[3]).abs() < 1e-6 && loss[3] < loss[0], "{loss:?}");
    // The weights are kept on the way.
    assert!(folder.path().join("weights").join(format!("{}.safetensors", config.key())).exists());
}

#[test]
fn what_is_observed_has_the_same_names_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path());
    let run = trained(&study, &config(&study));
    let other = study.observe(&run, |epoch, _| Ok(vec![(if epoch < 2 { "a" } else { "b" }, 0.0)]));
    assert!(other.unwrap_err().to_string().contains("epoch 2 gives b, the epochs before a"));
    // What no frame can have is refused before anything is trained.
    for (names, said) in [
        (&["a", "b", "a"][..], "two columns of the name a (`epoch` is there already); epoch 0 gives a, b, a"),
        (&["epoch"], "two columns of the name epoch"),
        (&[], "epoch 0 gives no number"),
    ] {
        let mut calls = 0;
        let row = |epoch| names.iter().map(|name| (name.to_string(), f64::from(epoch))).collect();
        let error = study.observe(&run, |epoch, _| {
            calls += 1;
            Ok(row(epoch))
        });
        assert!(error.unwrap_err().to_string().contains(said) && calls == 1, "{said}: {calls}");
    }
    let own = study.observe(&run, |_, _| Err::<Vec<(&str, f64)>, _>(rethink::Error::argument("mine", "no")));
    assert!(own.unwrap_err().to_string().contains("mine"));
    // Where weights cannot be kept, what was observed is not lost.
    let weights = folder.path().join("weights");
    std::fs::write(&weights, "no folder").unwrap();
    let frame = study.observe(&run, |_, _| Ok(vec![("a", 0.0)])).unwrap();
    assert_eq!(frame.height(), 4);
}

/// A frame of predictions of which the test images are right as said.
fn said(right: &[bool]) -> DataFrame {
    let n = right.len();
    let columns = vec![
        Column::new("set".into(), vec!["test"; n]),
        Column::new("label".into(), vec![3u32; n]),
        Column::new("right".into(), right),
    ];
    DataFrame::new(n, columns).unwrap()
}

/// `p` by SciPy 1.17's `binomtest(first, first + second).pvalue`.
#[test]
fn mcnemars_test_is_exact() {
    for (both, first, second, neither, p) in [
        (119usize, 16usize, 18usize, 47usize, 0.8641662404406816),
        (5, 0, 0, 1, 1.0),
        (100, 10, 1, 4, 0.01171875),
        (9_000, 400, 300, 300, 0.0001784763144856244),
    ] {
        let [mut a, mut b] = [Vec::new(), Vec::new()];
        for (count, right) in
            [(both, [true; 2]), (first, [true, false]), (second, [false, true]), (neither, [false; 2])]
        {
            a.extend(vec![right[0]; count]);
            b.extend(vec![right[1]; count]);
        }
        let frame = mcnemar(&said(&a), &said(&b)).unwrap();
        let count = |name: &str| of(&frame, name).u32().unwrap().get(0).unwrap() as usize;
        assert_eq!(["both", "first", "second", "neither"].map(count), [both, first, second, neither]);
        let ours = of(&frame, "p").f64().unwrap().get(0).unwrap();
        assert!((ours - p).abs() < 1e-9 * p, "{ours}, expected {p}");
    }
    assert!(
        mcnemar(&said(&[true]), &said(&[true, false])).unwrap_err().to_string().contains("other test images")
    );
    assert!(mcnemar(&DataFrame::empty(), &said(&[true])).is_err());
}

#[test]
fn runs_make_a_frame_and_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path());
    let line = "rethink run --model mlp1x512 --width 0.1 --epochs 2 --over learning-rate=0.01,0.5 --over batch-size=32,64";
    let Action::Run { choice, over, .. } = Command::try_parse_from(line.split(' ')).unwrap().action else {
        panic!("{line}");
    };
    let choices = choice.over(&over).unwrap();
    let configs: Vec<RunConfig> = choices.iter().map(|choice| choice.configure(&study)).collect();
    let settings: Vec<_> = configs.iter().map(|c| (c.hyper.learning_rate, c.hyper.batch_size)).collect();
    assert_eq!(settings, [(0.01, 32), (0.01, 64), (0.5, 32), (0.5, 64)]);
    assert!(configs.iter().all(|c| (c.width_factor, c.hyper.epochs) == (0.1, 2)), "what was given stays");
    let names: Vec<String> = configs.iter().map(describe).collect();
    assert!(names[3].contains("learning rate 0.5") && !names[1].contains("learning rate"), "{names:?}");
    let mut distinct = names.clone();
    distinct.dedup();
    assert_eq!(distinct.len(), 4, "{names:?}");

    let mut runs: Vec<Run> = configs.iter().map(|config| trained(&study, config)).collect();
    runs[2].record.ending = StopReason::Diverged;
    let frame = frame_of(&runs).unwrap();
    assert_eq!((frame.height(), frame.width()), (4, 23));
    assert_eq!(of(&frame, "learning_rate").f64().unwrap().to_vec(), [0.01, 0.01, 0.5, 0.5].map(Some));
    assert_eq!(of(&frame, "batch_size").u32().unwrap().to_vec(), [32, 64, 32, 64].map(Some));
    let test: Vec<Option<f64>> = of(&frame, "test_accuracy").f64().unwrap().to_vec();
    assert_eq!(test[0], runs[0].record.test_accuracy);
    assert_eq!((test[2], of(&frame, "ended").str().unwrap().get(2)), (None, Some("diverged")));
    assert_eq!(frame_of(&[]).unwrap().height(), 0);
    // What few runs have is there where it differs.
    let mut others = [configs[0].clone(), configs[0].clone()];
    (others[1].input, others[1].hyper.label_smoothing) = (40, 0.1);
    (others[1].hyper.augment.flip, others[1].hyper.init) = (true, Init::He);
    let others: Vec<Run> = others.iter().map(|config| trained(&study, config)).collect();
    assert!(describe(&others[1].record.config).contains("input 40x40"));
    let frame = frame_of(&others).unwrap();
    let new: Vec<&str> = frame.get_column_names().into_iter().map(|name| name.as_str()).collect();
    assert_eq!(new[15..new.len() - 8], ["flip", "init", "input", "label_smoothing"], "{new:?}");
    assert_eq!(of(&frame, "input").f64().unwrap().to_vec(), [28.0, 40.0].map(Some));
    assert_eq!(of(&frame, "flip").bool().unwrap().iter().collect::<Vec<_>>(), [Some(false), Some(true)]);
    assert_eq!(of(&frame, "init").str().unwrap().get(1), Some("he"));
    // The curves of all, with the same settings in each row.
    let curves = curves_of(&others).unwrap();
    let [a, b] = [0, 1].map(|at| others[at].frame.height());
    let input: Vec<f64> = of(&curves, "input").f64().unwrap().iter().flatten().collect();
    assert_eq!(input, [vec![28.0; a], vec![40.0; b]].concat());
    assert_eq!(of(&curves, "learning_rate").f64().unwrap().to_vec(), vec![Some(0.01); a + b]);
    let own = |run: usize| of(&others[run].frame, "loss").f64().unwrap().to_vec();
    assert_eq!(of(&curves, "loss").f64().unwrap().to_vec(), [own(0), own(1)].concat());
    assert!(curves.column("rate").is_ok() && curves.column("train_accuracy").is_ok());
    assert!(curves_of(&[]).unwrap_err().to_string().contains("no runs"));
    // And figures say it.
    let note = study.note(&others).scale_line;
    let unlike = "Unlike the recipes: initial weights: he (some runs), input 40x40 (some runs), label smoothing 0.1 (some runs)";
    assert!(note.contains(unlike), "{note}");
    let note = study.note(&runs[..1]).scale_line;
    assert!(!note.contains("Unlike") && !study.note(&[]).scale_line.contains("Unlike"), "{note}");
}

#[test]
fn values_that_an_option_does_not_take_are_refused() {
    let line = "rethink run --model mlp1x512 --momentum 0.5 --flip";
    let Action::Run { choice, .. } = Command::try_parse_from(line.split(' ')).unwrap().action else {
        panic!("{line}");
    };
    let over = |text: &str| choice.over(&[text.to_string()]);
    let switched = over("random-crop=false,true").unwrap();
    assert_eq!(switched.iter().map(|choice| choice.random_crop).collect::<Vec<_>>(), [false, true]);
    assert!(switched.iter().all(|choice| choice.flip && choice.momentum == Some(0.5)));
    assert_eq!(over("model=mlp1x512,alexnet").unwrap()[1].model, ModelKind::Alexnet);
    // Several options in one text change together, and with others of another text in all combinations.
    let pairs = choice.over(&["momentum=0.1,0.5 flip=true,false".into(), "batch-size=8,9".into()]).unwrap();
    let pairs: Vec<_> =
        pairs.iter().map(|choice| (choice.momentum, choice.flip, choice.batch_size)).collect();
    let expected = [(0.1, true, 8), (0.1, true, 9), (0.5, false, 8), (0.5, false, 9)];
    assert_eq!(pairs, expected.map(|(momentum, flip, batch)| (Some(momentum), flip, Some(batch))));
    for (text, expected) in [
        ("learning-rate", "OPTION=VALUE"),
        ("learning-rate=0.1,fast", "fast"),
        ("learning-speed=1", "--learning-speed"),
        ("batch=1", "a similar argument exists: '--batch-size'"),
        ("x=1", "there are model, width, corruption, "),
        ("", "OPTION=VALUE"),
        ("momentum=0.1,0.5 flip", "OPTION=VALUE"),
        (
            "momentum=0.1,0.5 flip=true",
            "flip has 1 value, momentum has 2: values of one --over change together",
        ),
        ("flip=maybe", "maybe"),
        ("batch-size=", "batch-size"),
    ] {
        let error = over(text).unwrap_err().to_string();
        assert!(error.contains("--over") && error.contains(expected), "{text}: {error}");
    }
}

/// A run's name has what no recipe gives its network.
#[test]
fn what_the_recipes_choose_is_not_in_names() {
    let data = rethink::data::shapes10::dataset();
    for recipe in &ALL {
        for scale in [Scale::Smoke, Scale::Small, Scale::Paper] {
            for config in recipe.runs(&data, scale) {
                let name = describe(&config);
                let named = ["learning rate", "momentum", "every", "initial weights"]
                    .iter()
                    .any(|word| name.contains(word));
                assert!(!named, "{}, {scale}: {name}", recipe.id);
            }
        }
    }
}
