//! The six modifications of section 2.1, and appendix A's preprocessing: their statistics, and the
//! faults of public reproductions.

use rethink::data::corruption::{Corruption, partially_corrupted, random_labels};
use rethink::data::{Dataset, Split};
use rethink_nn::image::{CROP, Pixels, centre, crop, whiten};

/// `n` 32x32x3 images of formula bytes; channel means differ.
fn data(n: usize) -> Dataset {
    let split = |salt: usize, n: usize| Split {
        images: (0..n * 3072)
            .map(|i| {
                let channel = i % 3072 / 1024;
                ((i * 7919 + salt * 31 + i / 3072 * 101) % 120 + 60 * channel) as u8
            })
            .collect(),
        labels: (0..n).map(|i| (i * 7 + salt) as u16 % 10).collect(),
    };
    let classes = (0..10).map(|c| format!("class {c}")).collect();
    Dataset::new("formula", "formula", classes, [3, 32, 32], split(1, n), split(2, 50)).unwrap()
}

fn bytes(pixels: &Pixels) -> &[u8] {
    match pixels {
        Pixels::Bytes(bytes) => bytes,
        Pixels::Floats(_) => panic!("expected bytes"),
    }
}

#[test]
fn true_labels_change_nothing() {
    let data = data(60);
    let same = Corruption::TrueLabels.apply(&data, 60, 50, 9).unwrap();
    assert_eq!(bytes(&same.train), data.train.images);
    assert_eq!(bytes(&same.test), data.test.images);
    assert_eq!((same.train_labels, same.test_labels), (data.train.labels, data.test.labels));
}

#[test]
fn nine_tenths_of_corrupted_labels_change() {
    let labels: Vec<u16> = (0..50_000).map(|i| i % 10).collect();
    for p in [0.0, 0.1, 0.5, 0.9, 1.0] {
        let corrupted = partially_corrupted(&labels, 10, p, 4).unwrap();
        let changed = corrupted.iter().zip(&labels).filter(|(a, b)| a != b).count() as f64 / 50_000.0;
        // Standard deviation of the share is at most 0.0023; five of them.
        assert!((changed - 0.9 * p).abs() < 0.0115, "p = {p}: {changed}");
        // Uniform over classes: each count has a deviation of at most 67.
        for class in 0..10 {
            let count = corrupted.iter().filter(|&&l| l == class).count() as f64;
            assert!((count - 5_000.0).abs() < 340.0, "p = {p}, class {class}: {count}");
        }
    }
}

#[test]
fn labels_are_drawn_once_and_independently_of_the_images_label() {
    let labels: Vec<u16> = (0..20_000).map(|i| i % 10).collect();
    assert_eq!(
        partially_corrupted(&labels, 10, 0.5, 4).unwrap(),
        partially_corrupted(&labels, 10, 0.5, 4).unwrap()
    );
    assert_ne!(random_labels(20_000, 10, 4), random_labels(20_000, 10, 5));
    // More corruption keeps what was corrupted before.
    let half = partially_corrupted(&labels, 10, 0.5, 4).unwrap();
    let most = partially_corrupted(&labels, 10, 0.8, 4).unwrap();
    let all = random_labels(20_000, 10, 4);
    for i in 0..20_000 {
        if half[i] != labels[i] {
            assert_eq!(half[i], most[i]);
        }
        if most[i] != labels[i] {
            assert_eq!(most[i], all[i]);
        }
    }
    // Agreement with the true label is chance: 10 % with a deviation of 0.2 %.
    let agree = all.iter().zip(&labels).filter(|(a, b)| a == b).count() as f64 / 20_000.0;
    assert!((agree - 0.1).abs() < 0.011, "{agree}");
}

#[test]
fn random_labels_leave_images_and_test_labels_alone() {
    let data = data(200);
    for corruption in [Corruption::RandomLabels, Corruption::PartialLabels { p: 0.7 }] {
        let corrupted = corruption.apply(&data, 200, 50, 3).unwrap();
        assert_eq!(bytes(&corrupted.train), data.train.images);
        assert_eq!(corrupted.test_labels, data.test.labels);
        assert_ne!(corrupted.train_labels, data.train.labels);
    }
}

/// The value of every position of an image's planes, as position-wise triples.
fn positions(image: &[u8]) -> Vec<[u8; 3]> {
    (0..1024).map(|i| [image[i], image[1024 + i], image[2048 + i]]).collect()
}

/// Where each position of `to` came from, for images whose positions are all different.
fn origin(from: &[u8], to: &[u8]) -> Vec<usize> {
    let from = positions(from);
    positions(to).iter().map(|p| from.iter().position(|q| q == p).expect("channels move together")).collect()
}

/// Every position has a colour of its own.
fn distinct(n: usize) -> Dataset {
    let image: Vec<u8> = (0..3072)
        .map(|i| match (i / 1024, i % 1024) {
            (0, at) => (at % 256) as u8,
            (1, at) => (at / 256) as u8,
            (_, at) => (at % 7) as u8,
        })
        .collect();
    let split = |n: usize| Split { images: image.repeat(n), labels: vec![0; n] };
    let names = ["one", "other"].map(String::from).to_vec();
    Dataset::new("distinct", "distinct", names, [3, 32, 32], split(n), split(n)).unwrap()
}

#[test]
fn shuffled_pixels_use_one_permutation_for_train_and_test() {
    let data = distinct(20);
    let shuffled = Corruption::ShuffledPixels.apply(&data, 20, 20, 8).unwrap();
    let original = &data.train.images[..3072];
    let order = origin(original, &bytes(&shuffled.train)[..3072]);
    assert_ne!(order, (0..1024).collect::<Vec<_>>());
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..1024).collect::<Vec<_>>());
    for image in bytes(&shuffled.train).chunks(3072).chain(bytes(&shuffled.test).chunks(3072)) {
        assert_eq!(origin(original, image), order);
    }
    assert_eq!(shuffled.train_labels, data.train.labels);
    assert_eq!(shuffled, Corruption::ShuffledPixels.apply(&data, 20, 20, 8).unwrap());
    assert_ne!(shuffled, Corruption::ShuffledPixels.apply(&data, 20, 20, 7).unwrap());
}

#[test]
fn random_pixels_use_a_permutation_for_each_image() {
    let data = distinct(20);
    let random = Corruption::RandomPixels.apply(&data, 20, 20, 8).unwrap();
    let original = &data.train.images[..3072];
    let mut orders: Vec<_> = bytes(&random.train)
        .chunks(3072)
        .chain(bytes(&random.test).chunks(3072))
        .map(|image| origin(original, image))
        .collect();
    orders.sort();
    orders.dedup();
    assert_eq!(orders.len(), 40, "all different, test images too");
    // An image's permutation does not depend on how many images there are.
    let fewer = Corruption::RandomPixels.apply(&data, 5, 5, 8).unwrap();
    assert_eq!(bytes(&fewer.train), &bytes(&random.train)[..5 * 3072]);
}

#[test]
fn gaussian_images_match_mean_and_variance_and_are_not_rounded() {
    let data = data(400);
    for per_channel in [true, false] {
        let noise = Corruption::Gaussian { per_channel }.apply(&data, 400, 50, 2).unwrap();
        let Pixels::Floats(noise) = &noise.train else { panic!("noise is not rounded to bytes") };
        for channel in 0..3 {
            let pick = |values: &dyn Fn(usize) -> f64| {
                let all: Vec<f64> =
                    (0..400 * 1024).map(|i| values(i / 1024 * 3072 + channel * 1024 + i % 1024)).collect();
                let mean = all.iter().sum::<f64>() / all.len() as f64;
                (mean, (all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt())
            };
            let (mean, deviation) = pick(&|i| f64::from(noise[i]));
            let (expected_mean, expected_deviation) = if per_channel {
                pick(&|i| f64::from(data.train.images[i]) / 255.0)
            } else {
                let all: Vec<f64> = data.train.images.iter().map(|&v| f64::from(v) / 255.0).collect();
                let mean = all.iter().sum::<f64>() / all.len() as f64;
                (mean, (all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt())
            };
            // 409,600 draws: the mean's deviation is about 0.0003.
            assert!((mean - expected_mean).abs() < 0.0025, "channel {channel}: {mean}, {expected_mean}");
            assert!((deviation / expected_deviation - 1.0).abs() < 0.01, "channel {channel}: {deviation}");
        }
        assert!(noise.iter().any(|v| *v < 0.0), "a Gaussian is not clipped");
        let whole = noise.iter().filter(|v| (*v * 255.0).fract() == 0.0).count();
        assert!(whole < noise.len() / 1000);
    }
}

#[test]
fn a_probability_out_of_range_is_an_error() {
    for p in [-0.1, 1.1, f64::NAN] {
        assert!(Corruption::PartialLabels { p }.apply(&data(5), 5, 5, 0).is_err());
    }
    for text in ["partial-labels:2", "partial-labels:x", "partial-labels", "noise", ""] {
        assert!(text.parse::<Corruption>().is_err(), "{text:?}");
    }
    for text in ["true-labels", "partial-labels:0.25", "random-labels", "gaussian", "gaussian:overall"] {
        assert_eq!(text.parse::<Corruption>().unwrap().to_string(), text);
    }
}

/// A set of few pixels, on which first numbers are drawn.
fn tiny() -> Dataset {
    let split = |from: usize, n: usize| Split {
        images: (0..n * 12).map(|i| ((from + i) * 17 % 256) as u8).collect(),
        labels: (0..n).map(|i| (i % 10) as u16).collect(),
    };
    let classes = (0..10).map(|c| format!("class {c}")).collect();
    Dataset::new("tiny", "tiny", classes, [3, 2, 2], split(1, 12), split(5, 3)).unwrap()
}

/// What a corruption makes of [`tiny`]: the training labels, the first training image, the first test image.
fn drawn(corruption: Corruption) -> (Vec<u16>, Vec<f32>, Vec<f32>) {
    let made = corruption.apply(&tiny(), 12, 3, 1).unwrap();
    let first = |pixels: &Pixels| match pixels {
        Pixels::Bytes(bytes) => bytes[..12].iter().map(|&byte| f32::from(byte)).collect(),
        Pixels::Floats(floats) => floats[..12].to_vec(),
    };
    (made.train_labels, first(&made.train), first(&made.test))
}

/// Published runs were trained on these numbers. A line that changes here means that every key of that corruption names other
/// numbers than those that are stored under it: give a new draw a number of its own in `Draw` (data/corruption.rs) and leave the
/// others alone, or raise `run::config::SCHEMA`. A new corruption gets a line of its own.
#[test]
fn the_first_numbers_that_each_corruption_draws_stay() {
    let (labels, train, test) = drawn(Corruption::TrueLabels);
    assert_eq!(labels, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
    assert_eq!((train[..2].to_vec(), test[..2].to_vec()), (vec![17.0, 34.0], vec![85.0, 102.0]));
    for (form, expected) in [
        ("partial-labels:0.5", [9, 5, 8, 3, 7, 8, 6, 7, 9, 4, 0, 1]),
        ("random-labels", [9, 5, 8, 7, 7, 8, 0, 5, 9, 4, 0, 9]),
    ] {
        assert_eq!(drawn(form.parse().unwrap()), (expected.to_vec(), train.clone(), test.clone()), "{form}");
    }
    type First = [f32; 4];
    let of_pixels: [(&str, First, First); 4] = [
        ("shuffled-pixels", [34.0, 17.0, 51.0, 68.0], [102.0, 85.0, 119.0, 136.0]),
        ("random-pixels", [34.0, 51.0, 68.0, 17.0], [136.0, 85.0, 119.0, 102.0]),
        (
            "gaussian",
            [0.28533256, 0.7399733, 0.94435817, -0.121703796],
            [0.6099044, 0.28571838, 0.42157567, 0.06259383],
        ),
        (
            "gaussian:overall",
            [0.3156087, 0.7375581, 0.9272466, -0.06215937],
            [0.616842, 0.31596678, 0.44205514, 0.1088862],
        ),
    ];
    for (form, first_train, first_test) in of_pixels {
        let (its_labels, train, test) = drawn(form.parse().unwrap());
        assert_eq!(
            (train[..4].to_vec(), test[..4].to_vec()),
            (first_train.into(), first_test.into()),
            "{form}"
        );
        assert_eq!(its_labels, labels, "{form}");
    }
}

/// One of each form that the command line takes.
fn one_of_each() -> Vec<Corruption> {
    Corruption::forms().into_iter().map(|form| form.replace(":P", ":0.5").parse().expect(form)).collect()
}

/// Whatever a corruption is called, it does something, and to labels the same on small images as on photographs.
#[test]
fn every_corruption_does_on_photographs_what_it_does_on_small_images() {
    let data = data(60);
    let truth = Corruption::TrueLabels.apply(&data, 60, 50, 3).unwrap();
    for corruption in one_of_each() {
        let made = corruption.apply(&data, 60, 50, 3).unwrap();
        let of_labels = made.train_labels != truth.train_labels;
        let of_pixels = made.train != truth.train;
        assert_eq!(of_labels || of_pixels, corruption != Corruption::TrueLabels, "{corruption}");
        assert_eq!(made.test != truth.test, of_pixels, "{corruption}: test images as training images");
        assert_eq!(made.test_labels, truth.test_labels, "{corruption}");
        match corruption.labels(&data.train.labels, 10, 3) {
            Ok(labels) => assert_eq!((labels, of_pixels), (made.train_labels, false), "{corruption}"),
            Err(error) => {
                assert!(of_pixels && error.to_string().contains("only labels"), "{corruption}: {error}")
            }
        }
    }
}

/// Names of variants and fields are part of the key of every run.
#[test]
fn each_corruption_has_one_name_and_the_key_keeps_its_form() {
    let all = one_of_each();
    let text: Vec<String> = all.iter().map(|corruption| serde_json::to_string(corruption).unwrap()).collect();
    let published = [
        r#"{"kind":"true-labels"}"#,
        r#"{"kind":"partial-labels","p":0.5}"#,
        r#"{"kind":"random-labels"}"#,
        r#"{"kind":"shuffled-pixels"}"#,
        r#"{"kind":"random-pixels"}"#,
        r#"{"kind":"gaussian","per_channel":true}"#,
        r#"{"kind":"gaussian","per_channel":false}"#,
    ];
    for form in published {
        assert!(text.iter().any(|text| text == form), "{form} is in published keys, now {text:?}");
    }
    for (corruption, text) in all.iter().zip(&text) {
        assert_eq!(corruption.to_string().parse::<Corruption>().unwrap(), *corruption);
        assert_eq!(serde_json::from_str::<Corruption>(text).unwrap(), *corruption);
        // One word on the command line, in the key and in the description.
        let name = corruption.to_string();
        let kind = format!(r#"{{"kind":"{}""#, name.split(':').next().unwrap());
        assert!(text.starts_with(&kind), "{text} is called {name}");
    }
    let error = "noise".parse::<Corruption>().unwrap_err().to_string();
    for form in Corruption::forms() {
        assert!(error.contains(form), "{error}");
    }
}

#[test]
fn whitening_is_tensorflows() {
    // (x - mean) / max(std, 1 / sqrt(N)); expected values by hand: mean 0.25, std sqrt(0.0125).
    let mut image = [0.1f32, 0.2, 0.3, 0.4];
    whiten(&mut image);
    let scale = 1.0 / f64::sqrt(0.0125).max(0.5);
    for (value, x) in image.iter().zip([-0.15, -0.05, 0.05, 0.15]) {
        assert!((f64::from(*value) - x * scale).abs() < 1e-6);
    }
    let mut flat = [0.7f32; 2352];
    whiten(&mut flat);
    assert!(flat.iter().all(|v| v.abs() < 1e-4), "a flat image is zero, not NaN");
}

#[test]
fn a_whitened_image_has_unit_variance_and_is_scaled_once() {
    let data = data(30);
    let pixels = Pixels::Bytes(data.train.images.clone());
    let whitened = pixels.whitened_all(30, data.shape).unwrap();
    assert_eq!(whitened.len(), 30 * 3 * CROP * CROP);
    for image in whitened.chunks(3 * CROP * CROP) {
        let n = image.len() as f64;
        let mean = image.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = image.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n;
        // Dividing by 255 twice would bring the deviation below the floor, and the variance below 1.
        assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4, "mean {mean}, variance {variance}");
    }
}

#[test]
fn crops_keep_rows_and_columns_apart() {
    // Height 30, width 32: a swap of the two would show.
    let image: Vec<u8> = (0..30u16 * 32).map(|i| (i % 251) as u8).collect();
    let mut out = vec![0.0; CROP * CROP];
    crop(&image, [1, 30, 32], (2, 3), &mut out, f32::from);
    for y in 0..CROP {
        for x in 0..CROP {
            assert_eq!(out[y * CROP + x], f32::from(image[(y + 2) * 32 + x + 3]));
        }
    }
    assert_eq!(centre(32, 32).unwrap(), (2, 2));
    assert_eq!(centre(28, 28).unwrap(), (0, 0));
    assert_eq!(centre(30, 32).unwrap(), (1, 2));
    assert!(centre(27, 32).is_err());
}
