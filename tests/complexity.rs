//! Section 2.2 and section 5's argument: what is measured, on the embedded data.

use polars::prelude::DataFrame;
use rethink::data::corruption::Corruption;
use rethink::data::{self, Dataset};
use rethink::lock::Lock;
use rethink::measure::complexity::Class;
use rethink::measure::partial::PartialMeasurement;
use rethink::measure::rademacher::vc_bound;
use rethink::measure::{Measurement, Quantity, digest};
use rethink::paper::{self, Product};
use rethink::run::config::Scale;
use rethink::store::Store;
use rethink::study::Study;
use rethink_nn::models::ModelKind;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

fn shapes() -> Dataset {
    data::open(Some("shapes10")).unwrap()
}

fn measure(data: &Dataset, size: (usize, usize), what: Quantity) -> DataFrame {
    Measurement::new(data, size, what, 1).measure(data, None, &mut |_| ()).unwrap()
}

fn column(frame: &DataFrame, name: &str) -> Vec<f64> {
    frame.column(name).unwrap().f64().unwrap().iter().map(Option::unwrap).collect()
}

fn texts(frame: &DataFrame, name: &str) -> Vec<String> {
    frame.column(name).unwrap().str().unwrap().iter().map(|v| v.unwrap().to_string()).collect()
}

#[test]
fn the_vc_bound_is_trivial_from_n_dimensions_on() {
    // sqrt((100 (ln 20 + 1) + ln 80) / 1000), by hand.
    assert!((vc_bound(100.0, 1000) - 0.635_635).abs() < 1e-4, "{}", vc_bound(100.0, 1000));
    assert!(vc_bound(1e6, 1000) >= 1.0);
    assert_eq!(vc_bound(1e6, 1000), vc_bound(1000.0, 1000), "no worse than shattering the sample");
    assert!(vc_bound(10.0, 100_000) < 0.05);
}

#[test]
fn wide_networks_fit_random_signs_and_narrow_ones_do_not() {
    let data = shapes();
    let estimate = |width, n, epochs| {
        let class = Class::new(ModelKind::Mlp1x512, width);
        let frame = measure(&data, (n, 1), Quantity::Rademacher { class, epochs, draws: 2 });
        assert_eq!(frame.height(), 2);
        assert!(column(&frame, "parameters")[0] > 0.0);
        let values = column(&frame, "correlation");
        assert!(values.iter().all(|v| (-1.0..=1.0).contains(v)));
        (values.iter().sum::<f64>() / 2.0, column(&frame, "vc_bound")[0])
    };
    let (wide, bound) = estimate(1.0, 150, 40);
    let (narrow, _) = estimate(1.0 / 512.0, 1_000, 20);
    assert!(wide > 0.98 && bound >= 1.0, "{wide}, {bound}");
    assert!(narrow < 0.9, "{narrow}");
}

#[test]
fn one_example_changes_losses_and_its_own_does_not() {
    let data = shapes();
    let class = Class::new(ModelKind::Mlp1x512, 0.25);
    let what =
        |epochs| Quantity::Stability { class, corruption: Corruption::TrueLabels, epochs, replaced: 2 };
    let frame = measure(&data, (100, 50), what(vec![1, 4]));
    assert_eq!(frame.height(), 4);
    let (largest, mean) = (column(&frame, "largest_change"), column(&frame, "mean_change"));
    assert!(largest.iter().zip(&mean).all(|(l, m)| *l > 0.0 && m <= l), "{largest:?}, {mean:?}");
    assert!(mean[2] + mean[3] > mean[0] + mean[1], "more passes, less stable: {mean:?}");
    assert_eq!(digest(&frame).unwrap(), digest(&measure(&data, (100, 50), what(vec![1, 4]))).unwrap());
    let all = Measurement::new(&data, (usize::MAX, 50), what(vec![1]), 1);
    assert!(all.measure(&data, None, &mut |_| ()).is_err(), "nothing left to replace an example with");
}

#[test]
fn killed_measurements_go_on_after_their_last_network() {
    let data = shapes();
    let class = Class::new(ModelKind::Mlp1x512, 0.25);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.unfinished");
    let at = |key: &str| PartialMeasurement::new(path.clone(), key.into(), Duration::ZERO);
    let corruption = Corruption::TrueLabels;
    let rademacher = Quantity::Rademacher { class, epochs: 2, draws: 3 };
    let stability = Quantity::Stability { class, corruption, epochs: vec![1, 2], replaced: 2 };
    for (what, dies_at, going_on) in [
        (rademacher, "draw 3 of 3", "going on after 2 of 3"),
        (stability, "2 epochs, example 2 of 2", "going on after 3 of 4"),
    ] {
        let whole = digest(&measure(&data, (60, 20), what.clone())).unwrap();
        let measurement = Measurement::new(&data, (60, 20), what, 1);
        let mut killed = |line: &str| assert!(!line.starts_with(dies_at), "killed");
        let died =
            catch_unwind(AssertUnwindSafe(|| measurement.measure(&data, Some(&mut at("key")), &mut killed)));
        assert!(died.is_err() && path.exists());
        let kept = fs::read(&path).unwrap();

        let (mut again, mut lines) = (at("key"), Vec::new());
        let frame = measurement.measure(&data, Some(&mut again), &mut |line| lines.push(line.to_string()));
        assert_eq!(digest(&frame.unwrap()).unwrap(), whole);
        assert_eq!((lines[0].as_str(), lines.len()), (going_on, 2), "{lines:?}");
        assert!(again.earlier > 0.0, "the killed attempt's time counts");

        let refused = |bytes: &[u8], key: &str, why: &str| {
            fs::write(&path, bytes).unwrap();
            let message =
                measurement.measure(&data, Some(&mut at(key)), &mut |_| ()).unwrap_err().to_string();
            assert!(message.contains(why) && message.contains("key.unfinished"), "{message}");
        };
        refused(&kept, "other", "another measurement");
        refused(&[], "key", "first line");
        refused(&[0xff, b'\n'], "key", "UTF-8");
        let end = kept.len() - 1;
        refused(&kept[..end], "key", "checksum");
        for place in [end / 2, end] {
            let mut damaged = kept.clone();
            damaged[place] ^= 1;
            refused(&damaged, "key", "checksum");
        }
        fs::remove_file(&path).unwrap();
    }
}

fn three_draws(data: &Dataset) -> Measurement {
    let what = Quantity::Rademacher { class: Class::new(ModelKind::Mlp1x512, 0.25), epochs: 2, draws: 3 };
    Measurement::new(data, (60, 20), what, 1)
}

/// The folder is deleted after a draw, and another process makes it again and begins the same.
#[test]
fn a_measurement_whose_lock_went_with_its_folder_touches_nothing() {
    let data = shapes();
    let measurement = three_draws(&data);
    let whole = digest(&measurement.measure(&data, None, &mut |_| ()).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let (path, lock) = (runs.join("key.unfinished"), runs.join("key.lock"));
    for (at, stops) in [("draw 2 of 3", true), ("draw 3 of 3", false)] {
        let mut unfinished = PartialMeasurement::new(path.clone(), "key".into(), Duration::ZERO);
        unfinished.lock = Some(Arc::new(Lock::take(&lock, &mut || panic!("nobody holds it")).unwrap()));
        let mut theirs = None;
        let measured = measurement.measure(&data, Some(&mut unfinished), &mut |line| {
            if line.starts_with(at) {
                fs::remove_dir_all(&runs).unwrap();
                theirs = Some(Lock::take(&lock, &mut || panic!("it is there anew")).unwrap());
                fs::write(&path, "theirs").unwrap();
            }
        });
        match measured {
            Err(error) if stops => {
                let error = error.to_string();
                assert!(error.contains(&runs.display().to_string()) && error.contains("deleted"), "{error}");
            }
            // With its last draw it is a result.
            Ok(frame) if !stops => assert_eq!(digest(&frame).unwrap(), whole),
            other => panic!("{at}: {other:?}"),
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        assert!(theirs.unwrap().stands().unwrap());
        fs::remove_dir_all(&runs).unwrap();
    }
}

/// The store is deleted while a measurement is made, and another process makes it again and begins the same, or finishes it.
#[test]
fn a_finished_measurement_that_came_meanwhile_is_not_overwritten() {
    let data = shapes();
    let measurement = three_draws(&data);
    let key = measurement.key();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("runs"));
    let made = |say: &mut dyn FnMut(&str)| store.measure(&measurement, &data, Scale::Smoke, say).unwrap();
    let stored = || fs::read(store.measured_path(&key)).unwrap();
    let mut theirs = Vec::new();
    let (measured, now) = made(&mut |line| {
        if line.starts_with("draw 2 of 3") {
            fs::remove_dir_all(store.folder()).unwrap();
            made(&mut |_| ());
            theirs = stored();
        }
    });
    assert_eq!(stored(), theirs);
    assert!(!now, "it is the other's");
    assert_eq!(store.get_measured(&measurement).unwrap().unwrap().record, measured.record);

    fs::remove_file(store.measured_path(&key)).unwrap();
    let (lock, unfinished) =
        (store.folder().join(format!("{key}.lock")), store.folder().join(format!("{key}.unfinished")));
    let mut theirs = None;
    let (again, now) = made(&mut |line| {
        if line.starts_with("draw 2 of 3") {
            fs::remove_dir_all(store.folder()).unwrap();
            theirs = Some(Lock::take(&lock, &mut || panic!("it is there anew")).unwrap());
            fs::write(&unfinished, "theirs").unwrap();
        }
    });
    let mine = stored();
    assert_eq!((now, &again.record.digest), (true, &measured.record.digest));
    assert_eq!(fs::read_to_string(&unfinished).unwrap(), "theirs");
    assert!(theirs.as_ref().unwrap().stands().unwrap());
    // Whoever looks while the other is at work leaves it alone too.
    assert!(!made(&mut |_| ()).1 && unfinished.exists());
    drop(theirs);
    assert!(!made(&mut |_| ()).1 && !unfinished.exists() && !lock.exists());
    assert_eq!(stored(), mine);
}

#[test]
fn sgd_from_zero_finds_the_minimum_norm() {
    let data = shapes();
    let frame = measure(&data, (30, 1), Quantity::SgdPath { epochs: 400 });
    let starts = texts(&frame, "start");
    let last = |start: &str, name: &str| {
        let row = starts.iter().rposition(|s| s == start).unwrap();
        column(&frame, name)[row]
    };
    for start in ["zero", "random"] {
        assert_eq!(last(start, "epoch"), 400.0);
        assert!(last(start, "loss") < 1e-12, "{start}: {}", last(start, "loss"));
        assert!(last(start, "hessian") < 1e-6, "{start}: {}", last(start, "hessian"));
    }
    assert!(last("zero", "distance") < 1e-5, "{}", last("zero", "distance"));
    assert!((last("zero", "norm") / last("zero", "least_norm") - 1.0).abs() < 1e-5);
    assert!(last("zero", "off_span") < 1e-10, "{}", last("zero", "off_span"));
    assert!(last("random", "distance") > 0.5 && last("random", "off_span") > 0.3);
    assert!(last("random", "norm") > 1.1 * last("random", "least_norm"));
    // The Hessian at a start that does not fit is another one.
    let first = starts.iter().position(|s| s == "zero").unwrap();
    assert!(column(&frame, "hessian")[first] > 0.1);
    assert_eq!(last("zero", "nullity"), 2352.0 - 30.0);
    let more = Measurement::new(&data, (usize::MAX, 1), Quantity::SgdPath { epochs: 1 }, 1);
    if data.train.len() >= 2352 {
        assert!(more.measure(&data, None, &mut |_| ()).is_err(), "more images than dimensions");
    }
}

#[test]
fn other_solutions_fit_with_a_larger_norm_and_a_larger_error() {
    let data = shapes();
    let frame = measure(&data, (300, 600), Quantity::Interpolators);
    assert_eq!(texts(&frame, "solution"), ["minimum norm", "random centres", "random labels on test images"]);
    let (norm, test) = (column(&frame, "norm"), column(&frame, "test_error"));
    assert!(column(&frame, "train_error").iter().all(|e| *e == 0.0), "all fit");
    assert!(norm[1] > 2.0 * norm[0] && norm[2] > 1.2 * norm[0], "{norm:?}");
    assert!(test[1] > test[0] + 0.02, "{test:?}");
    assert!(column(&frame, "forced_error")[2] > 0.8, "random labels where they were forced");
}

#[test]
fn every_recipe_of_measurements_makes_its_product() {
    let out = tempfile::tempdir().unwrap();
    let study = Study::new(Some("shapes10"), Scale::Smoke, out.path()).unwrap();
    for id in ["theorem1", "corollary1", "min-norm", "rademacher", "stability"] {
        let Product::Figure(figure) = study.show(id).unwrap() else { panic!("{id} is a figure") };
        assert_eq!(figure.id, id);
        assert!(
            figure.notes[0].contains("shapes10") && figure.notes[0].contains("scale smoke"),
            "{:?}",
            figure.notes
        );
        for extension in ["svg", "png", "pdf", "csv", "json"] {
            assert!(study.folder().join(format!("{id}.{extension}")).is_file(), "{id}.{extension}");
        }
        let verdict = study.verdict(id).unwrap();
        assert!(verdict.ours.is_some(), "{id}");
        assert!(study.runs(id).is_err(), "{id} is made of measurements");
    }
    // What the notebooks call.
    let measured = study.measurements("min-norm").unwrap();
    let ahead = study.seconds(paper::find("min-norm").unwrap());
    assert_eq!(ahead, 0.0, "what is in the store takes no time");
    assert_eq!(paper::min_norm::solutions(&measured).unwrap().height(), 3);
    assert!(study.measurements("fig1a").is_err());
}
