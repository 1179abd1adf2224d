//! Files that somebody or something has damaged: every reader says what is wrong, and neither panics nor asks for
//! memory that a header promises.
//!
//! Each test damages a valid file at random. `RETHINK_TIMES=1000 cargo test --release --test long hostile -- --nocapture` runs a thousand times
//! as many cases, 12 million, and counts them; what once failed is kept in `hostile.regressions` and tried first.

use clap::Parser;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};
use rethink::data::corruption::Corruption;
use rethink::data::photographs::decode_bytes;
use rethink::data::{Dataset, Split, arrays, cifar, cifar100, imagenet, mnist};
use rethink::measure::partial::{PartialMeasurement, each};
use rethink::measure::{Measurement, Quantity};
use rethink::run::appendix_a;
use rethink::run::config::{RunConfig, Scale, Seeds};
use rethink::run::train::{Progress, train};
use rethink::store::{self, Store};
use rethink::study::Study;
use rethink_cli::commands::command::{Action, Command};
use rethink_nn::models::ModelKind;
use rethink_nn::models::custom::CustomModel;
use rethink_tests::leaving;
use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Remembers the largest piece of memory that was asked for.
struct Watched;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does the work; the counter changes nothing of it.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(old, layout, size) }
    }
    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// No file here has a reason for more at once: the largest is a picture of 2^27 pixels of three bytes.
const MOST: usize = 3 << 27;

/// One change of a file.
#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    /// Four bytes, as sizes are stored, either way round.
    Word(Index, u32, bool),
    Cut(Index),
    Remove(Index, u8),
    Insert(Index, Vec<u8>),
}

fn edit() -> impl Strategy<Value = Edit> {
    let sizes = prop_oneof![
        any::<u32>(),
        Just(0),
        Just(1),
        Just(u32::MAX),
        Just(i32::MAX as u32),
        Just(1 << 31),
        (0u32..70_000)
    ];
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        4 => (any::<Index>(), sizes, any::<bool>()).prop_map(|(at, word, big)| Edit::Word(at, word, big)),
        1 => any::<Index>().prop_map(Edit::Cut),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, count)| Edit::Remove(at, count)),
        1 => (any::<Index>(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
    ]
}

/// Sizes stand near the beginning, or, in Parquet, near the end.
fn place(at: Index, length: usize) -> usize {
    let at = at.index(4 * length.max(1));
    match at / length.max(1) {
        0 => at % 64.min(length.max(1)),
        1 => length.saturating_sub(1 + at % 512.min(length.max(1))),
        _ => at % length.max(1),
    }
}

fn damaged(valid: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for edit in edits {
        if bytes.is_empty() {
            break;
        }
        match edit {
            Edit::Set(at, byte) => {
                let at = place(*at, bytes.len());
                bytes[at] = *byte;
            }
            Edit::Word(at, word, big) => {
                let at = place(*at, bytes.len());
                let word = if *big { word.to_be_bytes() } else { word.to_le_bytes() };
                for (to, from) in bytes[at..].iter_mut().zip(word) {
                    *to = from;
                }
            }
            Edit::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Edit::Remove(at, count) => {
                let at = place(*at, bytes.len());
                let end = bytes.len().min(at + usize::from(*count));
                bytes.drain(at..end);
            }
            Edit::Insert(at, more) => {
                let at = place(*at, bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
        }
    }
    bytes
}

/// Gives `read` the `valid` bytes and then damaged ones, `cases` times, or `RETHINK_TIMES` as often. What it
/// returns is an error's text; it has to name `named`.
fn every(cases: u32, valid: &[u8], named: &str, read: impl Fn(&[u8]) -> Result<(), String>) {
    read(valid).expect("the file is valid before it is damaged");
    let times = std::env::var("RETHINK_TIMES").map_or(1, |n| n.parse().expect("RETHINK_TIMES is a number"));
    let cases: u32 = cases * times;
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/hostile.regressions");
    let config = Config {
        cases,
        source_file: Some(file!()),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(kept))),
        ..Config::default()
    };
    let result = TestRunner::new(config).run(&prop::collection::vec(edit(), 1..5), |edits| {
        let outcome = read(&damaged(valid, &edits));
        let largest = LARGEST.load(Ordering::Relaxed);
        prop_assert!(largest <= MOST, "{largest} bytes at once");
        match outcome {
            Err(error) if !error.contains(named) => {
                Err(TestCaseError::fail(format!("{error:?} does not name {named}")))
            }
            _ => Ok(()),
        }
    });
    result.unwrap_or_else(|e| panic!("{e}"));
    println!("{cases} cases of {}", if named.is_empty() { "one more reader" } else { named });
}

fn small(n: usize) -> Dataset {
    let split = |n: usize| Split {
        images: (0..n * 3072).map(|i| (i * 31 % 251) as u8).collect(),
        labels: (0..n).map(|i| (i % 10) as u16).collect(),
    };
    let classes = (0..10).map(|c| format!("class {c}")).collect();
    Dataset::new("small", "small", classes, [3, 32, 32], split(n), split(n)).unwrap()
}

fn text<T>(result: rethink::Result<T>) -> Result<(), String> {
    result.map(|_| ()).map_err(|e| e.to_string())
}

/// Reads a data set in `folder` with `file` damaged in every way.
fn every_damage(folder: &Path, file: &str, read: fn(&Path) -> rethink::Result<Dataset>) {
    let path = folder.join(file);
    let valid = fs::read(&path).unwrap();
    every(150, &valid, file, |bytes| {
        fs::write(&path, bytes).unwrap();
        text(read(folder))
    });
    fs::write(&path, valid).unwrap();
}

#[test]
fn cifar_files() {
    let folder = tempfile::tempdir().unwrap();
    cifar::write(&small(10), folder.path()).unwrap();
    for file in ["data_batch_2.bin", "test_batch.bin", "batches.meta.txt"] {
        every_damage(folder.path(), file, cifar::read);
    }
}

#[test]
fn cifar100_files() {
    let folder = tempfile::tempdir().unwrap();
    // A coarse and a fine label, then the planes.
    let records: Vec<u8> = (0..3).flat_map(|i| [&[i, 30 * i][..], &[i; 3072]].concat()).collect();
    let names: String = (0..cifar100::CLASSES).map(|i| format!("class {i}\n")).collect();
    for file in [cifar100::TRAIN_FILE, cifar100::TEST_FILE] {
        fs::write(folder.path().join(file), &records).unwrap();
    }
    fs::write(folder.path().join(cifar100::NAMES_FILE), names).unwrap();
    assert_eq!(cifar100::read(folder.path()).unwrap().train.labels, [0, 30, 60]);
    for file in [cifar100::TRAIN_FILE, cifar100::NAMES_FILE] {
        every_damage(folder.path(), file, cifar100::read);
    }
}

#[test]
fn numpys_files() {
    let folder = tempfile::tempdir().unwrap();
    let valid = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/arrays/channels-last");
    let files: Vec<_> = fs::read_dir(valid).unwrap().map(|entry| entry.unwrap()).collect();
    for file in &files {
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    assert_eq!(arrays::read(folder.path()).unwrap().train.labels, [1, 0, 2, 1]);
    for file in files {
        every_damage(folder.path(), file.file_name().to_str().unwrap(), arrays::read);
    }
}

fn idx(magic: u32, sizes: &[u32], bytes: Vec<u8>) -> Vec<u8> {
    let head: Vec<u8> = [&[magic], sizes].concat().iter().flat_map(|word| word.to_be_bytes()).collect();
    [head, bytes].concat()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn idx_files_plain_and_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let images = idx(2051, &[10, 28, 28], (0..7840).map(|i| (i % 256) as u8).collect());
    let labels = idx(2049, &[10], (0..10).collect());
    for (name, bytes) in mnist::FILES.iter().zip([&images, &labels, &images, &labels]) {
        put(name, bytes);
    }
    for (name, valid) in [(mnist::FILES[0], &images), (mnist::FILES[3], &labels)] {
        every(300, valid, name, |bytes| {
            put(name, bytes);
            text(mnist::read(folder.path()))
        });
        fs::remove_file(folder.path().join(name)).unwrap();
        let packed = format!("{name}.gz");
        every(300, &gz(valid), name, |bytes| {
            put(&packed, bytes);
            text(mnist::read(folder.path()))
        });
        put(&packed, &gz(valid));
    }
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/photographs").join(name)).unwrap()
}

#[test]
fn photographs() {
    for file in ["colour.jpg", "grey.jpg", "cmyk.jpg", "colour.png"] {
        every(1_500, &fixture(file), "", |bytes| decode_bytes(bytes).map(|_| ()));
    }
}

#[test]
fn the_development_kits_classes() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    for wnid in ["n01440764", "n02102040", "n03028079"] {
        put(&format!("train/{wnid}/a.JPEG"), &fixture("grey.jpg"));
    }
    put("val/ILSVRC2012_val_00000001.JPEG", &fixture("grey.jpg"));
    put("ILSVRC2012_validation_ground_truth.txt", b"2\n");
    every(60, &fixture("meta.mat"), "", |bytes| {
        put("meta.mat", bytes);
        text(imagenet::read(folder.path()))
    });
    put("meta.mat", &fixture("meta.mat"));
    every(60, b"2\n", "ground_truth.txt", |bytes| {
        put("ILSVRC2012_validation_ground_truth.txt", bytes);
        text(imagenet::read(folder.path()))
    });
    let list = "ImageId,PredictionString\nILSVRC2012_val_00000001,n03028079 1 2 3 4\n";
    every(60, list.as_bytes(), "LOC_val_solution.csv", |bytes| {
        put("LOC_val_solution.csv", bytes);
        text(imagenet::read(folder.path()))
    });
}

/// The smallest network on ten images.
fn tiny(data: &Dataset, epochs: usize) -> RunConfig {
    let mut config = appendix_a::config_at(
        data,
        Scale::Smoke,
        ModelKind::Mlp1x512,
        Corruption::TrueLabels,
        Seeds::default(),
    );
    config.width_factor = 1.0 / 128.0;
    config.hyper.epochs = epochs;
    config
}

#[test]
fn run_files() {
    let folder = tempfile::tempdir().unwrap();
    let data = small(10);
    let store = Store::new(folder.path());
    let config = tiny(&data, 2);
    store.run(&config, &data, Scale::Smoke, &mut |_| ()).unwrap();
    let path = store.path(&config.key());
    let valid = fs::read(&path).unwrap();
    every(150, &valid, ".parquet", |bytes| {
        fs::write(&path, bytes).unwrap();
        text(store::read(&path)).and_then(|()| text(store.all()))
    });
}

#[test]
fn checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let data = small(10);
    let config = tiny(&data, 3);
    assert!(leaving(&config, &data, folder.path(), 2).unwrap().is_none(), "left after two epochs");
    let path = folder.path().join("checkpoint.safetensors");
    let valid = fs::read(&path).unwrap();
    let whole = train(&config, &data, Progress::quiet(&mut |_| ())).unwrap().unwrap();
    every(300, &valid, "checkpoint.safetensors", |bytes| {
        fs::write(&path, bytes).unwrap();
        let mut quiet = |_: &rethink::run::row::LogRow| ();
        let progress = Progress { folder: Some(folder.path().to_path_buf()), ..Progress::quiet(&mut quiet) };
        let trained =
            train(&config, &data, progress).map_err(|e| e.to_string())?.expect("it goes on to the end");
        // What goes on from a damaged checkpoint, if anything does, is what would have come of the whole one.
        assert_eq!(trained.parameters, whole.parameters);
        Ok(())
    });
}

#[test]
fn configurations() {
    let valid = serde_json::to_vec(&tiny(&small(10), 2)).unwrap();
    every(2_000, &valid, "", |bytes| {
        let config: RunConfig = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        config.key();
        let layers = config
            .model
            .plan([config.input.min(512); 3], 10, config.width_factor)
            .map_err(|e| e.to_string())?;
        rethink_nn::models::plan::output(&layers, [config.input.min(512); 3])
            .map(|_| ())
            .map_err(|e| e.to_string())
    });
}

#[test]
fn unfinished_measurements() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.unfinished");
    let at = || PartialMeasurement::new(path.clone(), "key".into(), Duration::ZERO);
    at().keep_parts(3, 1.0, &[&[1.0; 100], &[2.0; 30]], &mut |_| ()).unwrap();
    every(150, &fs::read(&path).unwrap(), ".unfinished", |bytes| {
        fs::write(&path, bytes).unwrap();
        text(at().read_parts(&mut [&mut [0.0; 100], &mut [0.0; 30]]))
    });
    fs::remove_file(&path).unwrap();
    each((4, 3), Some(&mut at()), &mut |_| (), |index, _| Ok(vec![index as f64; 3])).unwrap();
    every(150, &fs::read(&path).unwrap(), ".unfinished", |bytes| {
        fs::write(&path, bytes).unwrap();
        text(each((4, 3), Some(&mut at()), &mut |_| (), |_, _| Ok(vec![0.0; 3])))
    });
}

#[test]
fn measurement_files() {
    let folder = tempfile::tempdir().unwrap();
    let data = small(10);
    let store = Store::new(folder.path());
    let measurement = Measurement::new(&data, (10, 10), Quantity::Theorem1, 1);
    store.measure(&measurement, &data, Scale::Smoke, &mut |_| ()).unwrap();
    let path = store.measured_path(&measurement.key());
    every(150, &fs::read(&path).unwrap(), ".parquet", |bytes| {
        fs::write(&path, bytes).unwrap();
        text(store::read_measured(&path)).and_then(|()| text(store.measurements()))
    });
}

#[test]
fn files_of_own_networks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lenet.json");
    let valid = br#"{"name": "lenet", "layers": [
        {"conv": {"window": {"kernel": [5, 5], "stride": [1, 1], "padding": "same"}, "outputs": 6, "normalised": false}},
        {"branches": [[{"max-pool": {"kernel": [2, 2], "stride": [2, 2], "padding": "valid"}}], [{"dropout": {"drop_probability": 0.5}},
            {"mean-pool": {"kernel": [2, 2], "stride": [2, 2], "padding": "valid"}}]]},
        "local-response-norm",
        {"linear": {"outputs": 84, "activation": "relu"}},
        {"linear": {"outputs": 10, "activation": "none"}}]}"#;
    every(200, valid, "lenet", |bytes| {
        fs::write(&path, bytes).unwrap();
        let own = CustomModel::read(&path).map_err(|e| e.to_string())?;
        // Sizes are looked at when the images are known; the message is the plan's.
        let _ = ModelKind::Custom(own).plan([28, 28, 3], 10, 1.0);
        Ok(())
    });
}

const LINES: [&str; 8] = [
    "rethink run --model mlp1x512 --corruption partial-labels:0.5 --epochs 3 --train 100 --width 0.5 --rotation 20 --hue 0.1",
    "rethink run --model alexnet --input 28 --batch-size 10 --learning-rate 0.1 --decay 0.9 --init tutorial --repeat 3",
    "rethink reproduce --only fig1a,fig1b --set epochs=20,n=50,rate=0.1 --seeds 3 --scale smoke --threads 2",
    "rethink sweep table1 --set width=0.5,decay-every=2,log-every=5 --executor slurm --cpus 2 --time 1:00:00",
    "rethink export --for icml --only table1 --to somewhere --filters 100",
    "rethink bench kernels --n 100 --json",
    "rethink data verify somewhere",
    "rethink notebooks check 01-fitting-random-labels",
];
/// What is put between their letters.
const WORDS: [&str; 24] = [
    "",
    "0",
    "-1",
    "1e400",
    "-0.0",
    "NaN",
    "inf",
    "18446744073709551616",
    "4294967296",
    "--",
    "-",
    "=",
    ",",
    ",,",
    "--set",
    "n=",
    "epochs=0",
    "width=nan",
    "partial-labels:",
    "partial-labels:2",
    "gaussian:",
    "imagenet:",
    "\u{1f600}",
    "..",
];

#[test]
fn command_lines() {
    let folder = tempfile::tempdir().unwrap();
    let study = Study::new(Some("shapes10"), Scale::Smoke, folder.path()).unwrap();
    let perform = |line: &str| -> Result<(), String> {
        let command = Command::try_parse_from(line.split(' ')).map_err(|e| e.to_string())?;
        match command.action {
            Action::Run { choice, .. } => {
                let config = choice.configure(&study);
                config.key();
                text(rethink::run::setup::check(&config, &study.data))
            }
            Action::Reproduce { only, set, .. } => text(set.study(study.clone(), &only)),
            Action::Sweep { recipe, set, .. } => text(set.study(study.clone(), &[recipe])),
            _ => Ok(()),
        }
    };
    for line in LINES {
        every(150, line.as_bytes(), "", |bytes| {
            // Bytes that are no ASCII become words.
            let text = |&byte: &u8| match WORDS.get(usize::from(byte).wrapping_sub(128)) {
                Some(word) => word.to_string(),
                None => char::from(byte).to_string(),
            };
            let line: String = bytes.iter().map(text).collect();
            perform(&line)
        });
    }
}
