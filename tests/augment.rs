//! Data augmentation: each change against other libraries, and what a training run makes of them.
//!
//! `fixtures/augment.json` was made with Pillow, NumPy and Python's colorsys by `fixtures/augment.py`.

use rethink::data::DataId;
use rethink::data::augmentation::Augmentation;
use rethink::data::corruption::Corruption;
use rethink::data::{Dataset, Split, shapes10};
use rethink::run::appendix_a::config_at;
use rethink::run::config::{RunConfig, Scale, Seeds};
use rethink::run::loader::DataLoader;
use rethink::run::train::{Progress, TrainedRun, train};
use rethink::store::digest;
use rethink_nn::image::{Change, flip, rotate};
use rethink_nn::models::Init;
use rethink_nn::models::{ModelKind, Parameter};
use rethink_nn::ops::ForwardContext;
use rethink_nn::optim::DecayOn;
use rethink_nn::optim::{Rules, SgdStep};
use rethink_tests::{formula, killed_after_each_epoch};
use serde_json::Value;

/// On images of more than 255 pixels beside their crop.
#[test]
fn crops_of_large_images_are_central_and_reach_every_corner() {
    let side = 700;
    // Nothing but where it is marked, so that a crop beside that is zeros, whitened or not.
    let marked = |from: usize, to: usize| {
        let at = |i: usize| [i / side % side, i % side];
        let value =
            |i: usize| if at(i).iter().all(|v| (from..to).contains(v)) { (i * 7 % 251) as u8 } else { 0 };
        let image: Vec<u8> = (0..3 * side * side).map(value).collect();
        let split = |n: usize| Split { images: image.repeat(n), labels: vec![0; n] };
        let names = ["a", "b"].map(String::from).to_vec();
        Dataset::new("large", "Large images", names, [3, side, side], split(40), split(1)).unwrap()
    };
    // How many of the batch's images are not zeros alone.
    let seen = |data: &Dataset, change: &dyn Fn(&mut RunConfig)| {
        let mut config =
            config_at(data, Scale::Smoke, ModelKind::Mlp1x512, Corruption::TrueLabels, Seeds::default());
        change(&mut config);
        let loader = DataLoader::new(&config, data, 40, 1).unwrap();
        let order: Vec<u32> = (0..40).collect();
        let (images, _) = loader.batch(&order, &loader.choices(1).unwrap()).unwrap();
        images.chunks_exact(3 * 28 * 28).filter(|image| image.iter().any(|v| *v != 0.0)).count()
    };
    let centre = marked(336, 364);
    assert_eq!(seen(&centre, &|_| ()), 40);
    assert_eq!(seen(&centre, &|config| config.hyper.augment.flip = true), 40);
    let corner = marked(400, 700);
    let reached = seen(&corner, &|config| config.hyper.random_crop = true);
    assert!((1..40).contains(&reached), "{reached}");
}

const SHAPE: [usize; 3] = [3, 32, 32];
const STILL: Change =
    Change { flip: false, degrees: 0.0, brightness: 0.0, saturation: 1.0, hue: 0.0, contrast: 1.0 };

fn fixtures() -> Value {
    serde_json::from_str(include_str!("fixtures/augment.json")).unwrap()
}

/// `formula` of the fixture: 0 to 1.
fn rough() -> Vec<f32> {
    (0..3072).map(|i| ((i * 7919 + 13) % 1009) as f32 / 1009.0).collect()
}

fn smooth() -> Vec<f32> {
    let at = |i: usize| ((i % 32) as f32, (i / 32 % 32) as f32);
    let value = |i: usize| match (i / 1024, at(i)) {
        (0, (x, _)) => x / 40.0,
        (1, (_, y)) => y / 50.0,
        (_, (x, y)) => (x + y) / 80.0,
    };
    (0..3072).map(value).collect()
}

fn compare(name: &str, ours: &[f32], expected: &Value, every: usize) {
    let expected = expected.as_array().unwrap();
    assert_eq!(expected.len(), ours.len().div_ceil(every));
    for (k, expected) in expected.iter().enumerate() {
        let (ours, expected) = (f64::from(ours[k * every]), expected.as_f64().unwrap());
        assert!((ours - expected).abs() < 2e-5, "{name}, value {}: {ours}, expected {expected}", k * every);
    }
}

#[test]
fn rotations_are_pillows() {
    let fixtures = fixtures();
    let every = fixtures["every"].as_u64().unwrap() as usize;
    let cases = fixtures["rotate"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let degrees = case["degrees"].as_f64().unwrap();
        for (name, image) in [("rough", rough()), ("smooth", smooth())] {
            let mut turned = vec![9.0; 3072];
            rotate(&image, SHAPE, degrees, &mut turned);
            compare(&format!("{name}, {degrees} degrees"), &turned, &case[name], every);
        }
    }
}

#[test]
fn colours_are_those_of_colorsys() {
    let fixtures = fixtures();
    let every = fixtures["every"].as_u64().unwrap() as usize;
    let cases = fixtures["colours"].as_array().unwrap();
    assert_eq!(cases.len(), 7);
    for case in cases {
        let number = |i: usize| case["change"][i].as_f64().unwrap() as f32;
        let change = Change {
            brightness: number(0),
            saturation: number(1),
            hue: number(2),
            contrast: number(3),
            ..STILL
        };
        let mut image = rough();
        change.colours(&mut image, 3);
        compare(&format!("{change:?}"), &image, &case["rough"], every);
    }
}

#[test]
fn a_flip_is_its_own_inverse_and_moves_columns() {
    let image = smooth();
    let mut flipped = image.clone();
    flip(&mut flipped, 32);
    assert_eq!(flipped[0], image[31]);
    assert_eq!(flipped[1024 + 32 * 5 + 3], image[1024 + 32 * 5 + 28]);
    assert_ne!(flipped, image);
    flip(&mut flipped, 32);
    assert_eq!(flipped, image);
}

#[test]
fn nothing_changes_where_nothing_is_on() {
    let mut image = vec![-0.5, 0.25, 1.5, 0.0];
    STILL.colours(&mut image, 1);
    assert_eq!(image, [-0.5, 0.25, 1.5, 0.0], "noise outside [0, 1] stays");
    // Grey images have neither hue nor saturation.
    let mut grey = vec![0.1, 0.4, 0.9, 0.3];
    Change { saturation: 0.3, hue: 0.2, ..STILL }.colours(&mut grey, 1);
    assert_eq!(grey, [0.1, 0.4, 0.9, 0.3]);
}

#[test]
fn draws_stay_within_their_sizes_and_belong_to_the_image_alone() {
    let all = Augmentation {
        flip: true,
        rotation: 25.0,
        brightness: 0.125,
        saturation: 0.5,
        hue: 0.2,
        contrast: 0.4,
    };
    let draws: Vec<Change> = (0..4000).map(|image| all.draw(3, 7, image)).collect();
    let share = draws.iter().filter(|d| d.flip).count() as f64 / 4000.0;
    assert!((share - 0.5).abs() < 0.04, "{share} flipped");
    let spread = |value: fn(&Change) -> f64, middle: f64, size: f64| {
        let values = draws.iter().map(|d| value(d) - middle);
        let (low, high) = values.clone().fold((0.0f64, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
        assert!(low >= -size && high <= size && low < -0.95 * size && high > 0.95 * size, "{low} to {high}");
        let mean = values.sum::<f64>() / 4000.0;
        assert!(mean.abs() < 0.04 * size, "mean {mean} of {size}");
    };
    spread(|d| d.degrees, 0.0, 25.0);
    spread(|d| d.brightness.into(), 0.0, 0.12500001);
    spread(|d| d.saturation.into(), 1.0, 0.50000001);
    spread(|d| d.hue.into(), 0.0, 0.20000001);
    spread(|d| d.contrast.into(), 1.0, 0.40000001);
    // Another image, epoch (stream) or seed: another draw. The same: the same, in any order.
    let one = all.draw(3, 7, 11);
    assert_eq!(one, draws[11]);
    for other in [all.draw(3, 7, 12), all.draw(3, 8, 11), all.draw(4, 7, 11)] {
        assert_ne!(one.degrees, other.degrees);
    }
    let turned_only = Augmentation { rotation: 25.0, ..Augmentation::default() }.draw(3, 7, 11);
    assert_eq!((turned_only.degrees, turned_only.flip), (one.degrees, false));
}

fn data() -> Dataset {
    shapes10::generate(200, 100, 1).unwrap()
}

fn config(data: &Dataset, augment: Augmentation) -> RunConfig {
    let mut config =
        config_at(data, Scale::Smoke, ModelKind::Mlp1x512, Corruption::RandomLabels, Seeds::default());
    config.data = data.id(200, 100);
    config.hyper.epochs = 4;
    config.hyper.augment = augment;
    config
}

fn trained(config: &RunConfig, data: &Dataset) -> TrainedRun {
    train(config, data, Progress::quiet(&mut |_| {})).unwrap().unwrap()
}

#[test]
fn every_change_reaches_the_training_and_each_alone() {
    let data = data();
    let off = Augmentation::default();
    let mut digests = vec![digest(&trained(&config(&data, off), &data).rows)];
    for augment in [
        Augmentation { flip: true, ..off },
        Augmentation { rotation: 25.0, ..off },
        Augmentation { brightness: 0.2, ..off },
        Augmentation { saturation: 0.5, ..off },
        Augmentation { hue: 0.2, ..off },
        Augmentation { contrast: 0.5, ..off },
        Augmentation::TABLE_4,
    ] {
        let digest = digest(&trained(&config(&data, augment), &data).rows);
        assert!(!digests.contains(&digest), "{augment:?}");
        digests.push(digest);
    }
}

#[test]
fn an_augmented_run_is_the_same_resumed_and_on_any_number_of_threads() {
    let data = data();
    let augment = Augmentation { brightness: 0.1, hue: 0.1, ..Augmentation::TABLE_4 };
    for random_crop in [false, true] {
        let mut config = config(&data, augment);
        config.hyper.random_crop = random_crop;
        let whole = trained(&config, &data);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(digest(&whole.rows), digest(&pool.install(|| trained(&config, &data)).rows));
        let (resumed, leaves) = killed_after_each_epoch(&config, &data);
        assert_eq!(leaves, 3);
        assert_eq!(digest(&whole.rows), digest(&resumed.rows));
        assert_eq!(whole.parameters, resumed.parameters);
    }
}

#[test]
fn labels_stay_fixed_under_augmentation() {
    // Flips alone: 200 images in two versions, each with one label in all epochs, can be learnt by heart.
    let data = data();
    let mut config = config(&data, Augmentation { flip: true, ..Augmentation::default() });
    config.hyper.epochs = 150;
    let trained = trained(&config, &data);
    assert_eq!(trained.rows.last().unwrap().train_accuracy, Some(1.0));
}

#[test]
fn keys_of_runs_without_augmentation_are_those_of_before() {
    let data = data();
    let base = config(&data, Augmentation::default());
    let json = serde_json::to_value(&base).unwrap();
    assert!(json["hyper"].get("augment").is_none() && json["hyper"].get("weight_decay_on").is_none());
    assert_eq!(serde_json::from_value::<RunConfig>(json).unwrap(), base);
    let mut changed = config(&data, Augmentation::TABLE_4);
    changed.hyper.weight_decay_on = DecayOn::Fc;
    let json = serde_json::to_value(&changed).unwrap();
    assert_eq!(json["hyper"]["augment"], serde_json::json!({ "flip": true, "rotation": 25.0 }));
    assert_eq!(json["hyper"]["weight_decay_on"], "fc");
    assert_eq!(serde_json::from_value::<RunConfig>(json).unwrap(), changed);
    assert_ne!(changed.key(), base.key());
    // The key of a configuration as it was written before either existed.
    let mut old =
        config_at(&data, Scale::Smoke, ModelKind::Mlp1x512, Corruption::TrueLabels, Seeds::default());
    let (name, fingerprint) = ("flat".to_string(), "0".repeat(64));
    old.data = DataId { name: name.clone(), title: name, fingerprint, train: 200, test: 100 };
    (old.eval_every, old.hyper.fitted_epochs) = (5, 1);
    assert_eq!(old.key(), "f8579f85b97cc6d5");
}

#[test]
fn sizes_out_of_range_are_errors() {
    let data = data();
    let off = Augmentation::default();
    for (augment, part) in [
        (Augmentation { rotation: 181.0, ..off }, "rotation 181 (0 to 180)"),
        (Augmentation { rotation: f64::NAN, ..off }, "rotation NaN"),
        (Augmentation { brightness: -0.1, ..off }, "brightness -0.1"),
        (Augmentation { saturation: 1.1, ..off }, "saturation"),
        (Augmentation { hue: 0.6, ..off }, "hue 0.6 (0 to 0.5)"),
        (Augmentation { contrast: 2.0, ..off }, "contrast"),
    ] {
        let error = train(&config(&data, augment), &data, Progress::quiet(&mut |_| {})).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn weight_decay_on_fc_moves_the_hidden_matrices_alone() {
    let images = formula(8 * 2352, 6007, 1.7);
    let labels: Vec<u16> = (0..8).map(|i| i * 3 % 10).collect();
    let (rate, coefficient) = (0.01, 0.5);
    let stepped = |decay: f32, on: DecayOn| -> Vec<Parameter> {
        let mut network = ModelKind::Alexnet.build_for([28, 28, 3], 10, 0.125, Init::Tutorial, 5).unwrap();
        network.set_rules(Rules { decay_on: on, ..Rules::default() });
        let step = SgdStep { learning_rate: rate, momentum: 0.9, weight_decay: decay };
        network.train_step(images.clone(), &labels, step, ForwardContext::training_step(0, 0)).unwrap();
        network.parameters().unwrap()
    };
    let start = ModelKind::Alexnet
        .build_for([28, 28, 3], 10, 0.125, Init::Tutorial, 5)
        .unwrap()
        .parameters()
        .unwrap();
    let without = stepped(0.0, DecayOn::All);
    let (all, fc) = (stepped(coefficient, DecayOn::All), stepped(coefficient, DecayOn::Fc));
    let matrices: Vec<usize> = (0..start.len()).filter(|&i| start[i].shape.len() == 2).collect();
    assert_eq!(matrices.len(), 3);
    for i in 0..start.len() {
        let decayed = matrices[..2].contains(&i);
        for k in 0..start[i].values.len() {
            let moved = without[i].values[k] - rate * coefficient * start[i].values[k];
            let near = |value: f32| (value - moved).abs() < 1e-6;
            assert!(near(all[i].values[k]), "{} of all", start[i].name);
            if decayed {
                assert!(near(fc[i].values[k]), "{}", start[i].name);
            } else {
                assert_eq!(fc[i].values[k], without[i].values[k], "{}", start[i].name);
            }
        }
    }
}
