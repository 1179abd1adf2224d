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
    Dataset::new("distinct", "distinct", vec!["only".into()], [3, 32, 32], split(n), split(n)).unwrap()
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
