//! Networks on a GPU, as far as a machine without one can tell: all of their code but CUDA's own runs on the processor,
//! kernels included; with a CUDA toolkit, the program is built, and says what is missing.

use polars::prelude::DataFrame;
use rethink::data::shapes10;
use rethink::measure::kernel_equation::{KernelEquation, OnConv, Preprocessing, Width, measure_on};
use rethink_cli::jupyter::environment::outside_cargo;
use rethink_cli::selftest::{self, DeviceCheck, TOLERANCE};
use rethink_nn::cuda::{Way, dense, kernels, place};
use rethink_nn::kernel_methods::dense::{Dense, Features, Products};
use rethink_nn::kernel_methods::gabor::Gabor;
use rethink_nn::kernel_methods::gaussian::Gaussian;
use rethink_nn::kernel_methods::random_conv::{Filters, RandomConv};
use rethink_nn::kernel_methods::solve::Kernel;
use rethink_nn::models::plan::Layer;
use rethink_nn::models::{Init, ModelKind, Network, build_plan};
use rethink_nn::ops::ForwardContext;
use rethink_nn::ops::conv::{Padding, Window};
use rethink_nn::optim::{Rules, SgdStep};
use rethink_nn::precision::Precision;
use rethink_tests::emulated::{Emulated, compiler, emulation};
use rethink_tests::skips::{Need, skip};
use rethink_tests::{formula, little_optimised, rethink_bin, root};
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The emulation; says that the test is skipped where there is no compiler.
fn emulated(test: &str) -> Option<(Emulated, tempfile::TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    let emulated = Emulated::new(folder.path());
    if emulated.is_none() {
        skip(test, Need::Compiler, "no C++ compiler");
    }
    Some((emulated?, folder))
}

/// There are `count` checks, each far inside what a card is allowed: only the order of sums differs.
fn assert_close(checks: &[DeviceCheck], count: usize, within: f64) {
    assert_eq!(checks.len(), count);
    for check in checks {
        assert!(check.difference < within, "{check:?}");
    }
}

#[test]
fn every_operation_gives_what_the_processor_gives() {
    let Some((backend, _folder)) = emulated("every_operation_gives_what_the_processor_gives") else { return };
    let placed = |network: &dyn Network| place(network, backend.clone());
    let checks = selftest::operations(&placed, &mut |check| println!("{check:?}")).unwrap();
    let (rounded, exact) = checks.split_last().unwrap();
    assert_close(exact, 23, TOLERANCE / 20.0);
    // As far from float32 as bf16 must be, and no farther than it may.
    assert!(rounded.passed() && rounded.difference > TOLERANCE, "{rounded:?}");
}

/// dfdx's loss of a batch is a sum over all scores: on a card too, one that is no number leaves none. And a tensor that is
/// not of numbers is seen there.
#[test]
fn an_infinite_score_leaves_no_loss_on_either() {
    let Some((backend, _folder)) = emulated("an_infinite_score_leaves_no_loss_on_either") else { return };
    let step = SgdStep { learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0 };
    for (bias, finite) in [(0.0, true), (f32::NEG_INFINITY, false), (f32::INFINITY, false), (f32::NAN, false)]
    {
        let mut network = ModelKind::Mlp1x512.build_for([28, 28, 3], 10, 0.1, Init::Glorot, 0).unwrap();
        let mut parameters = network.parameters().unwrap();
        // Of a class that no image has.
        parameters.last_mut().unwrap().values[7] = bias;
        network.restore(&parameters, Vec::new()).unwrap();
        let placed = place(&*network, backend.clone()).unwrap();
        for mut network in [network, placed] {
            assert_eq!(network.is_finite().unwrap(), finite, "{bias}");
            let (images, pass) = (formula(8 * 2352, 6007, 1.7), ForwardContext::training_step(0, 0));
            let outcome = network.train_step(images, &[0, 1, 2, 3, 4, 5, 6, 0], step, pass).unwrap();
            assert_eq!(outcome.loss.is_finite(), finite, "{bias}: {outcome:?}");
        }
    }
}

/// Where the processor can round as a card does, both give the same, but for the order of sums: a number that it moves from one
/// side of a bfloat16 to the other is off by 1/256. (Many normalised layers, one after the other, would make more of that.)
#[test]
fn in_bf16_it_is_the_processor_in_bf16() {
    let test = "in_bf16_it_is_the_processor_in_bf16";
    let Some((backend, _folder)) = emulated(test) else { return };
    if let Err(why) = Precision::Bf16.check() {
        return skip(test, Need::Bf16, why);
    }
    let labels: Vec<u16> = (0..8).collect();
    for model in [ModelKind::InceptionNoBn, ModelKind::Alexnet, ModelKind::Mlp1x512] {
        let here = model.build_for([28, 28, 3], 10, 1.0, model.init(), 2).unwrap();
        let exact = place(&*here, backend.clone()).unwrap();
        let there = place(&*here, backend.clone()).unwrap();
        let step = |mut network: Box<dyn Network>, precision| {
            network.set_rules(Rules { precision, ..Rules::default() });
            let (images, pass) = (formula(8 * 2352, 6007, 1.7), ForwardContext::training_step(0, 0));
            let (outcome, gradients) = network.gradients(images, &labels, pass).unwrap();
            (outcome.loss, gradients.last().unwrap().clone())
        };
        let (loss, gradient) = step(here, Precision::Bf16);
        let (exact_loss, _) = step(exact, Precision::Float32);
        let (rounded_loss, rounded) = step(there, Precision::Bf16);
        let (apart, rounding) = ((rounded_loss - loss).abs() / loss, (exact_loss - loss).abs() / loss);
        println!("{model:?}: loss {loss}, apart {apart:.1e}, rounding {rounding:.1e}");
        assert!(apart < 1e-3 && apart < rounding / 3.0, "{model:?}: {apart}, {rounding}");
        for (ours, theirs) in gradient.iter().zip(rounded) {
            assert!((ours - theirs).abs() < 1e-3, "{model:?}: {ours}, {theirs}");
        }
    }
}

/// Of every gradient, the largest difference of any of its numbers between two networks, in parts of its largest number.
fn apart(ours: &[Vec<f32>], theirs: &[Vec<f32>]) -> Vec<f32> {
    let largest = |of: &[f32]| of.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    let apart = |(ours, theirs): (&Vec<f32>, &Vec<f32>)| {
        let differences: Vec<f32> = ours.iter().zip(theirs).map(|(a, b)| a - b).collect();
        largest(&differences) / largest(ours)
    };
    ours.iter().zip(theirs).map(apart).collect()
}

/// Factors of products are rounded where they are made, or once for several products: after batch normalisation, for
/// convolutions of every way and fully connected layers, the gradients are those of the processor.
#[test]
fn gradients_of_normalised_layers_in_bf16_are_the_processors() {
    let test = "gradients_of_normalised_layers_in_bf16_are_the_processors";
    let Some((backend, _folder)) = emulated(test) else { return };
    if let Err(why) = Precision::Bf16.check() {
        return skip(test, Need::Bf16, why);
    }
    let every_other = Window { kernel: (3, 3), stride: (2, 2), padding: Padding::Same };
    let plan = vec![
        Layer::conv_norm(3, 16),
        Layer::conv_norm(1, 20),
        Layer::conv_norm(3, 18),
        Layer::Conv { window: every_other, outputs: 12, normalised: true },
        Layer::conv(1, 9),
        Layer::hidden(11),
        Layer::scores(10),
    ];
    let gradients = |on_card: bool, precision| {
        let here = build_plan(plan.clone(), [12, 10, 5], Init::Glorot, 3).unwrap();
        let mut network = if on_card { place(&*here, backend.clone()).unwrap() } else { here };
        network.set_rules(Rules { precision, ..Rules::default() });
        let (images, labels) = (formula(6 * 600, 6007, 1.7), [0, 1, 2, 3, 4, 5]);
        network.gradients(images, &labels, ForwardContext::training_step(0, 0)).unwrap().1
    };
    let ours = gradients(false, Precision::Bf16);
    let (card, exact) = (gradients(true, Precision::Bf16), gradients(true, Precision::Float32));
    for (index, (card, exact)) in apart(&ours, &card).into_iter().zip(apart(&ours, &exact)).enumerate() {
        println!("tensor {index}: apart {card:.1e}, by rounding {exact:.1e}");
        assert!(card < exact / 3.0 || card < 1e-4, "tensor {index}: {card}, {exact}");
    }
}

#[test]
fn images_made_on_a_card_are_those_made_on_the_processor() {
    let Some((backend, _folder)) = emulated("images_made_on_a_card_are_those_made_on_the_processor") else {
        return;
    };
    let placed = |network: &dyn Network| place(network, backend.clone());
    let checks = selftest::images(&placed, &mut |check| println!("{check:?}")).unwrap();
    assert_close(&checks, 10, TOLERANCE / 20.0);
}

#[test]
fn every_network_trains_as_on_the_processor() {
    let Some((backend, _folder)) = emulated("every_network_trains_as_on_the_processor") else { return };
    let placed = |network: &dyn Network| place(network, backend.clone());
    let checks = selftest::models(&placed, 8, (107, 0.25), &mut |check| println!("{check:?}")).unwrap();
    assert_eq!(checks.len(), ModelKind::ALL.len());
    for check in &checks {
        assert!(check.passed(), "{check:?}");
    }
}

#[test]
fn the_kernel_equation_is_the_processors() {
    let Some((backend, _folder)) = emulated("the_kernel_equation_is_the_processors") else { return };
    let checks = selftest::equations(&*dense(backend), &mut |check| println!("{check:?}")).unwrap();
    assert_close(&checks, 4, TOLERANCE / 10.0);
}

#[test]
fn a_row_of_table_3_is_the_processors() {
    let Some((backend, _folder)) = emulated("a_row_of_table_3_is_the_processors") else { return };
    let data = shapes10::generate(500, 300, 1).unwrap();
    let dense = dense(backend);
    let conv = |filters| Preprocessing::RandomConv(RandomConv { filters });
    for (preprocessing, on_features, standardised) in [
        (Preprocessing::None, OnConv::Linear, false),
        (Preprocessing::Gabor(Gabor::default()), OnConv::Linear, false),
        (conv(40), OnConv::Linear, false),
        (conv(40), OnConv::Linear, true),
        (conv(3), OnConv::Linear, false),
        (conv(40), OnConv::Gaussian, true),
        (conv(3), OnConv::Gaussian, false),
    ] {
        let what = KernelEquation::new(preprocessing, Width::HeldOut, (true, true));
        let what = KernelEquation { on_features, standardised, ..what };
        let frame = |dense: Option<&dyn Dense>| {
            measure_on(dense, &what, &data, &data.id(500, 300), 4, None, &mut |_| ()).unwrap()
        };
        let (here, there) = (frame(None), frame(Some(&*dense)));
        assert_eq!(here.height(), 2);
        for row in 0..2 {
            let at =
                |frame: &DataFrame, name: &str| frame.column(name).unwrap().f64().unwrap().get(row).unwrap();
            // What is chosen, and what is counted in whole images, but for one on the edge.
            for (name, allowed) in [
                ("ridge", 1e-12),
                ("unknowns", 0.0),
                ("train_error", 1.1 / 500.0),
                ("test_error", 1.1 / 300.0),
                ("norm", 1e-3 * at(&here, "norm")),
            ] {
                let (ours, theirs) = (at(&here, name), at(&there, name));
                assert!((ours - theirs).abs() <= allowed, "{what:?}, {name}: {ours}, {theirs}");
            }
            assert!(at(&there, "residual") < 1e-6, "{what:?}: {}", at(&there, "residual"));
        }
        // With fewer features than images, it is the processor that solves the linear one.
        let few = matches!(what.preprocessing, Preprocessing::RandomConv(RandomConv { filters: 3 }));
        assert_eq!(what.on_device(data.shape, 500), !few || on_features == OnConv::Gaussian);
    }
}

/// A device that computes with a wider kernel, and takes the first image for a black one.
struct Wrong(Box<dyn Dense>);

impl Dense for Wrong {
    fn gaussian(&self, kernel: &Gaussian) -> rethink_nn::Result<Box<dyn Kernel>> {
        let mut other = kernel.clone();
        other.gamma *= 0.99;
        self.0.gaussian(&other)
    }

    fn predict(
        &self,
        kernel: &Gaussian,
        x: &[f32],
        weights: &[f64],
        columns: usize,
    ) -> rethink_nn::Result<Vec<f64>> {
        self.0.predict(kernel, x, weights, columns)
    }

    fn conv(
        &self,
        filters: &Filters,
        features: Features,
        train: &[u8],
        test: &[u8],
        say: &mut dyn FnMut(&str),
    ) -> rethink_nn::Result<Box<dyn Products>> {
        let mut train = train.to_vec();
        train[..3 * 32 * 32].fill(0);
        self.0.conv(filters, features, &train, test, say)
    }
}

#[test]
fn another_kernel_equation_is_seen() {
    let Some((backend, _folder)) = emulated("another_kernel_equation_is_seen") else { return };
    let checks = selftest::equations(&Wrong(dense(backend)), &mut |check| println!("{check:?}")).unwrap();
    assert_eq!(checks.iter().map(|check| check.passed()).collect::<Vec<_>>(), [false, false, false, true]);
}

#[test]
fn a_difference_is_seen() {
    let Some((backend, _folder)) = emulated("a_difference_is_seen") else { return };
    // A network that starts with other weights.
    let other = |network: &dyn Network| {
        let mut placed = place(network, backend.clone())?;
        let mut parameters = network.parameters()?;
        parameters[0].values[0] += 1.0;
        placed.restore(&parameters, Vec::new())?;
        Ok(placed)
    };
    let checks = selftest::operations(&other, &mut |_| ()).unwrap();
    assert!(checks.iter().all(|check| !check.passed()), "{checks:?}");
}

#[test]
fn the_list_of_kernels_is_that_of_the_text() {
    let named = kernels::SOURCE
        .lines()
        .filter_map(|line| line.strip_prefix("KERNEL ")?.split_once('('))
        .map(|(name, _)| name);
    let mut there: Vec<&str> = named.collect();
    let mut listed = kernels::NAMES.to_vec();
    there.sort_unstable();
    listed.sort_unstable();
    assert_eq!(there, listed);
}

/// Each convolution goes the way that suits its sizes.
#[test]
fn a_convolution_goes_the_way_of_its_sizes() {
    let way = |[side, channels, outputs]: [usize; 3], kernel, stride| {
        Way::of([side, side, channels], Window::square(kernel, stride, Padding::Same), outputs).unwrap()
    };
    // The small Inception's: first layer, modules at each size of the image, downsampling.
    assert_eq!(way([28, 3, 96], 3, 1), Way::Gathered);
    assert_eq!(way([28, 96, 32], 1, 1), Way::Pointwise);
    for sizes in [[28, 96, 32], [28, 64, 48], [14, 160, 48], [14, 144, 96], [7, 240, 160], [7, 336, 160]] {
        assert_eq!(way(sizes, 3, 1), Way::Winograd, "{sizes:?}");
    }
    assert_eq!(way([28, 80, 80], 3, 2), Way::Gathered);
    // Alexnet's second layer; few channels; images that are mostly edge.
    assert_eq!(way([14, 64, 192], 5, 1), Way::Winograd);
    assert_eq!(way([28, 15, 64], 3, 1), Way::Gathered);
    assert_eq!(way([28, 64, 15], 3, 1), Way::Gathered);
    assert_eq!(way([2, 64, 64], 3, 1), Way::Gathered);
    assert_eq!(way([5, 64, 64], 5, 1), Way::Gathered);
    // Windows of other sides.
    assert_eq!(way([17, 128, 128], 7, 1), Way::Gathered);
    assert_eq!(way([17, 128, 128], 1, 2), Way::Gathered);
}

#[test]
fn a_program_without_cuda_says_so() {
    let run = |device: &str| {
        let output = Command::new(rethink_bin())
            .args(["--device", device, "selftest"])
            .output()
            .expect("the program runs");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = run("cuda:0");
    assert!(
        said.contains("cuda:0: this program was built without CUDA") && said.contains("--features cuda"),
        "{said}"
    );
    for wrong in ["cuda", "cuda:", "cuda:-1", "cuda:x", "cuda:0-", "gpu", "", "cuda:99999999999999999999"] {
        let said = run(wrong);
        assert!(said.contains("is none of cpu, cuda:N (N from 0) and cuda:N-tf32"), "{wrong:?}: {said}");
    }
    assert!(run("cpu").contains("name one, as `--device cuda:0`"));
}

type Variables = Vec<(String, OsString)>;

/// Variables to build with CUDA with, and where NVRTC is: of the toolkit that is installed, else of one from PyPI.
fn toolkit() -> Result<(Variables, Option<PathBuf>), String> {
    if Command::new("nvcc").arg("--version").output().is_ok() && Command::new("nvidia-smi").output().is_ok() {
        return Ok((Vec::new(), None));
    }
    let folder = root().join("target/cuda-toolkit");
    let made = Command::new("python3")
        .arg(root().join("tests/cuda/toolkit.py"))
        .arg(&folder)
        .output()
        .map_err(|e| format!("no python3 ({e})"))?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr);
        return Err(format!(
            "no CUDA toolkit, nor one from PyPI: {}",
            said.lines().last().unwrap_or_default()
        ));
    }
    let text = String::from_utf8_lossy(&made.stdout).into_owned();
    let pair =
        |line: &str| line.split_once('=').map(|(name, value)| (name.to_string(), OsString::from(value)));
    Ok((text.lines().filter_map(pair).collect(), Some(folder.join("wheels/nvidia/cu13/lib"))))
}

/// card.rs, built.
fn card_test(variables: &Variables) -> PathBuf {
    let target = rethink_bin().ancestors().nth(2).expect("cargo puts programs two folders deep");
    let mut cargo = Command::new(env!("CARGO"));
    outside_cargo(&mut cargo);
    let output = cargo
        .args([
            "test",
            "--release",
            "--package",
            "rethink-tests",
            "--features",
            "cuda",
            "--test",
            "card",
            "--no-run",
        ])
        .args(little_optimised(false))
        .args(["--message-format", "json", "--target-dir"])
        .arg(target)
        .envs(variables.iter().cloned())
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).unwrap();
    let executable = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == "card").then(|| message["executable"].as_str().map(PathBuf::from))?
    };
    messages.lines().find_map(executable).expect("cargo names the test")
}

/// A driver, a cuBLAS and a cuSOLVER made of the processor.
fn driver(folder: &Path) {
    emulation(folder, "driver.cpp", "libcuda.so.1");
    for other in ["libcublas.so.13", "libcusolver.so.12"] {
        std::fs::copy(folder.join("libcuda.so.1"), folder.join(other)).unwrap();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn it_builds_with_cuda_and_runs_as_far_as_there_is_a_driver() {
    let test = "it_builds_with_cuda_and_runs_as_far_as_there_is_a_driver";
    if compiler().is_none() {
        return skip(test, Need::Compiler, "no C++ compiler");
    }
    let (variables, nvrtc) = match toolkit() {
        Ok(toolkit) => toolkit,
        Err(why) => return skip(test, Need::CudaToolkit, why),
    };
    let card = card_test(&variables);
    let folder = tempfile::tempdir().unwrap();
    driver(folder.path());
    let folders =
        std::env::join_paths([Some(folder.path().to_path_buf()), nvrtc].into_iter().flatten()).unwrap();
    let run = |which: &str, more: &[(&str, &str)]| {
        let mut command = Command::new(&card);
        command
            .args(["--test-threads", "1", "--nocapture"])
            .env("RETHINK_CARD_TEST", which)
            .envs(more.iter().copied());
        if which != "no-driver" {
            command.env("RETHINK_CUDA_LIBRARIES", &folders);
        }
        let output = command.output().unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{which}: {said}");
        println!("{which}: {said}");
    };
    // SAFETY: a driver may be loaded anywhere.
    if unsafe { libloading::Library::new("libcuda.so.1") }.is_err() {
        run("no-driver", &[]);
    }
    run("no-device", &[("EMULATED_NO_DEVICE", "1")]);
    run("little-memory", &[("EMULATED_MEMORY", "67108864")]);
    run("card", &[]);
    run("count", &[("EMULATED_IDLE", "1")]);
}
