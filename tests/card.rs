//! The device itself, in a program built with the feature `cuda`: cuda.rs builds this and runs it, once without a driver
//! and once with one that is made of the processor (cuda/driver.cpp). On a machine with a card, `cargo test --release
//! --package rethink-tests --features cuda --test card -- --test-threads 1` checks the card.

use clap::Parser;
use rethink::data::corruption::Corruption;
use rethink::data::shapes10;
use rethink::measure::kernel_equation::{KernelEquation, Preprocessing, Width};
use rethink::measure::{Measurement, Quantity};
use rethink::run::appendix_a::config_at;
use rethink::run::config::{Scale, Seeds};
use rethink::store::{Run, Store};
use rethink::study::Study;
use rethink_cli::commands::command::Command;
use rethink_cli::selftest;
use rethink_nn::device::Device;
use rethink_nn::kernel_methods::gaussian::Gaussian;
use rethink_nn::kernel_methods::random_conv::RandomConv;
use rethink_nn::models::Init;
use rethink_nn::models::{ModelKind, Network};
use rethink_nn::ops::ForwardContext;
use rethink_nn::optim::{Rules, SgdStep};
use rethink_nn::precision::Precision;
use std::ffi::c_int;

const CARD: Device = Device::Cuda { card: 0, tf32: false };

/// Whether this is the run that `name` is meant for.
fn asked(name: &str) -> bool {
    let asked = std::env::var("RETHINK_CARD_TEST").unwrap_or_else(|_| "card".into()) == name;
    if !asked {
        println!("skipped: not asked for {name}");
    }
    asked
}

#[test]
fn without_a_driver_the_error_says_so() {
    if !asked("no-driver") {
        return;
    }
    let error = CARD.open().unwrap_err().to_string();
    assert!(error.contains("NVIDIA's driver is not there: libcuda.so.1"), "{error}");
    assert!(error.contains("nvidia-smi"), "{error}");
}

/// The program's command line: what measures a card goes, without a driver, as far as that.
#[test]
fn without_a_driver_the_program_says_so() {
    if !asked("no-driver") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display();
    for line in [
        "selftest --checks-only".to_string(),
        "bench --only inception,alexnet".into(),
        format!("sweep fig1a --data shapes10 --scale paper --out {out}"),
        format!("sweep table3 --data shapes10 --scale paper --filters 32000 --out {out}"),
        format!("sweep table2 --data shapes10 --scale paper --out {out}"),
    ] {
        let words = "rethink --device cuda:0".split(' ').chain(line.split(' '));
        let error = Command::parse_from(words).perform().unwrap_err().to_string();
        assert!(error.contains("NVIDIA's driver is not there: libcuda.so.1"), "{line}: {error}");
        assert!(error.contains("nvidia-smi"), "{line}: {error}");
    }
}

#[test]
fn without_a_device_the_error_says_so() {
    if !asked("no-device") {
        return;
    }
    let error = CARD.open().unwrap_err().to_string();
    assert!(error.contains("no GPU: the driver says"), "{error}");
}

#[test]
fn with_too_little_memory_the_error_says_so() {
    if !asked("little-memory") {
        return;
    }
    let mut network = ModelKind::Alexnet.build(3, 10, Init::Glorot, 1).unwrap();
    network = CARD.take(network).unwrap();
    let error = network.logits(vec![0.5; 512 * 28 * 28 * 3]).unwrap_err().to_string();
    assert!(error.contains("out of memory"), "{error}");
    // So does a matrix too large, before it is begun.
    let kernel = Gaussian::new(vec![0.5; 5_000], 1, 0.1);
    let error = CARD.dense().unwrap().unwrap().gaussian(&kernel).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("on the GPU: the kernel equation of n = 5,000 takes 0.2 GB"), "{error}");
    // Less of it fits.
    assert_eq!(network.logits(vec![0.5; 28 * 28 * 3]).unwrap().len(), 10);
}

#[test]
fn a_card_that_is_not_there_is_refused() {
    if asked("card") {
        let error = Device::Cuda { card: 99, tf32: false }.open().unwrap_err().to_string();
        assert!(error.contains("card 99 of "), "{error}");
    }
}

#[test]
fn the_selftest_passes() {
    if !asked("card") {
        return;
    }
    let place = |network: &dyn Network| CARD.place(network);
    let mut checks = selftest::operations(&place, &mut |check| println!("{check:?}")).unwrap();
    checks.extend(selftest::images(&place, &mut |check| println!("{check:?}")).unwrap());
    checks.extend(selftest::models(&place, 8, (107, 0.25), &mut |check| println!("{check:?}")).unwrap());
    let dense = CARD.dense().unwrap().unwrap();
    checks.extend(selftest::equations(&*dense, &mut |check| println!("{check:?}")).unwrap());
    for check in &checks {
        assert!(check.passed(), "{check:?}");
    }
}

#[test]
fn a_run_on_a_card_is_kept_as_one() {
    if !asked("card") {
        return;
    }
    CARD.choose().unwrap();
    let data = shapes10::generate(300, 100, 1).unwrap();
    let mut config =
        config_at(&data, Scale::Smoke, ModelKind::Mlp1x512, Corruption::RandomLabels, Seeds::default());
    config.data = data.id(300, 100);
    config.hyper.epochs = 200;
    let folder = tempfile::tempdir().unwrap();
    let run = Store::new(folder.path()).run(&config, &data, Scale::Smoke, &mut |_| {}).unwrap();
    let record = &run.record;
    assert_eq!(
        (record.train_accuracy, record.ending),
        (Some(1.0), rethink::run::row::StopReason::Fitted),
        "{record:?}"
    );
    // Random labels teach nothing: 100 test images, chance 10 %.
    assert!(record.test_accuracy.unwrap() < 0.25, "{record:?}");
    assert!(record.provenance.device.starts_with("cuda:0: "), "{}", record.provenance.device);
    assert!(record.provenance.device.ends_with(", float32"), "{}", record.provenance.device);
    config.hyper.precision = Precision::Bf16;
    config.hyper.epochs = 1;
    let rounded = Store::new(folder.path()).run(&config, &data, Scale::Smoke, &mut |_| {}).unwrap();
    let device = &rounded.record.provenance.device;
    assert!(device.ends_with(", bf16 products"), "{device}");

    let conv = Preprocessing::RandomConv(RandomConv { filters: 30 });
    let what = KernelEquation::new(conv, Width::HeldOut, (true, false));
    let measurement = Measurement::new(&data, (300, 100), Quantity::KernelEquation(what), 1);
    let (measured, _) =
        Store::new(folder.path()).measure(&measurement, &data, Scale::Smoke, &mut |_| {}).unwrap();
    // The equation is solved: no error is left on what it was solved for.
    assert!(measured.number("residual").unwrap() < 1e-6, "{:?}", measured.frame);
    assert_eq!(measured.number("train_error").unwrap(), 0.0);
    assert_eq!(measured.record.provenance.device, record.provenance.device);
}

/// What the emulated libraries have been asked to do so far (cuda/driver.cpp): kernels, matrix products, memory filled, memory
/// given out; the most memory held, MiB; how often cuBLAS was opened. `None` on a card.
fn counted() -> Option<[c_int; 6]> {
    let folders = std::env::var_os("RETHINK_CUDA_LIBRARIES")?;
    let folder = std::env::split_paths(&folders).next()?;
    let of = |file: &str, work: c_int| {
        // SAFETY: the library is loaded already; the function has this type.
        unsafe {
            let library = libloading::Library::new(folder.join(file)).ok()?;
            let count: libloading::Symbol<unsafe extern "C" fn(c_int) -> c_int> =
                library.get(b"emulated_count\0").ok()?;
            Some(count(work))
        }
    };
    let (driver, blas) = ("libcuda.so.1", "libcublas.so.13");
    Some([of(driver, 0)?, of(blas, 1)?, of(driver, 2)?, of(driver, 3)?, of(driver, 4)?, of(blas, 5)?])
}

/// What one thread has begun is done when another goes on: each has a queue of its own.
#[test]
fn a_network_may_go_from_thread_to_thread() {
    if !asked("card") {
        return;
    }
    let network = ModelKind::Mlp1x512.build(3, 10, Init::Glorot, 1).unwrap();
    let mut network = CARD.take(network).unwrap();
    let step = SgdStep { learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0 };
    let images = vec![0.5; 4 * 28 * 28 * 3];
    let (_, gradients) =
        network.gradients(images.clone(), &[0, 1, 2, 3], ForwardContext::training_step(0, 0)).unwrap();
    // Nothing is read from the card at the end of this.
    network.apply(&gradients, step).unwrap();
    let before = network.parameters().unwrap();
    network.apply(&gradients, step).unwrap();
    let (there, back) = std::thread::spawn(move || {
        let there = network.parameters().unwrap();
        network.apply(&gradients, step).unwrap();
        (there, network)
    })
    .join()
    .unwrap();
    assert_ne!(there[0].values, before[0].values);
    assert_ne!(back.parameters().unwrap()[0].values, there[0].values);
}

/// Two at a time: each on a queue of its own, with the bits that it has alone.
#[test]
fn runs_side_by_side_on_a_card_are_those_trained_alone() {
    if !asked("card") {
        return;
    }
    CARD.choose().unwrap();
    let data = shapes10::generate(300, 100, 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = |model, repeat| {
        let mut config =
            config_at(&data, Scale::Smoke, model, Corruption::RandomLabels, Seeds::repeat(repeat));
        config.data = data.id(300, 100);
        config.hyper.epochs = 2;
        config
    };
    let configs = [ModelKind::Mlp1x512, ModelKind::Alexnet]
        .map(|model| [0, 1, 2].map(|repeat| config(model, repeat)))
        .concat();
    let alone = Store::new(folder.path().join("alone"));
    let digest = |run: &Run| run.record.digest.clone();
    let trained_alone =
        configs.iter().map(|config| digest(&alone.run(config, &data, Scale::Smoke, &mut |_| {}).unwrap()));
    let trained_alone: Vec<String> = trained_alone.collect();
    let opened = || counted().map(|counted| counted[5]);
    let before = opened();
    let like = Study::new(Some("shapes10"), Scale::Smoke, folder.path()).unwrap();
    let study = Study::of(data.clone(), &like);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let runs = pool.install(|| study.train_all(&configs, &mut |line| println!("{line}"))).unwrap();
    assert_eq!(runs.iter().map(digest).collect::<Vec<_>>(), trained_alone);
    assert!(opened() > before || before.is_none(), "no two at a time: {before:?}");
}

/// The second step of 128 images, or of 8 photographs: in the first, memory is made that lasts.
#[test]
fn a_training_step_is_few_launches() {
    if !asked("count") {
        return;
    }
    for (model, precision, most) in [
        (ModelKind::Inception, Precision::Float32, 312),
        (ModelKind::InceptionNoBn, Precision::Float32, 259),
        (ModelKind::Alexnet, Precision::Float32, 63),
        (ModelKind::Mlp1x512, Precision::Float32, 18),
        (ModelKind::InceptionV3, Precision::Float32, 1232),
        (ModelKind::Inception, Precision::Bf16, 334),
    ] {
        let (side, batch) = if model.is_for_photographs() { (299, 8) } else { (28, 128) };
        let network = model.build_for([side, side, 3], 10, 1.0, Init::Glorot, 1).unwrap();
        let mut network = CARD.take(network).unwrap();
        network.set_rules(Rules { precision, ..Rules::default() });
        let step = SgdStep { learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0 };
        let mut train = |number| {
            let pass = ForwardContext::training_step(0, number);
            network.train_step(vec![0.5; batch * side * side * 3], &vec![0; batch], step, pass).unwrap();
        };
        train(0);
        let before = counted().expect("the emulated libraries");
        train(1);
        let after = counted().expect("the emulated libraries");
        let [kernels, products, fills, allocations] = std::array::from_fn(|i| after[i] - before[i]);
        println!(
            "{model:?}: {kernels} kernels, {products} products, {fills} fills, {allocations} allocations"
        );
        println!("at most {} MiB so far", after[4]);
        assert!(kernels + products + fills <= most, "{model:?}, {precision}: more than {most} launches");
    }
}
