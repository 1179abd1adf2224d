//! Files that somebody or something has damaged: every reader says what is wrong, and neither panics nor asks for
//! memory that a header promises.
//!
//! Each test damages a valid file at random. `RETHINK_CASES=1000000 cargo test --release --test hostile` makes it long; what
//! once failed is kept in `hostile.regressions` and tried first.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};
use rethink::config::{RunConfig, Scale, Seeds};
use rethink::corruption::Corruption;
use rethink::data::imagenet::decode_bytes;
use rethink::data::{Dataset, Split, cifar, imagenet, mnist};
use rethink::models::ModelKind;
use rethink::recipe;
use rethink::store::{self, Store};
use rethink::train::{Progress, train};
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

/// Gives `read` the `valid` bytes and then damaged ones, `cases` times or as often as `RETHINK_CASES` says. What it
/// returns is an error's text; it has to name `named`.
fn every(cases: u32, valid: &[u8], named: &str, read: impl Fn(&[u8]) -> Result<(), String>) {
    read(valid).expect("the file is valid before it is damaged");
    let cases = std::env::var("RETHINK_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
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

#[test]
fn cifar_files() {
    let folder = tempfile::tempdir().unwrap();
    cifar::write(&small(10), folder.path()).unwrap();
    for file in ["data_batch_2.bin", "test_batch.bin", "batches.meta.txt"] {
        let path = folder.path().join(file);
        let valid = fs::read(&path).unwrap();
        every(300, &valid, file, |bytes| {
            fs::write(&path, bytes).unwrap();
            text(cifar::read(folder.path()))
        });
        fs::write(&path, valid).unwrap();
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
        every(400, &fixture(file), "", |bytes| decode_bytes(bytes).map(|_| ()));
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
    every(300, &fixture("meta.mat"), "", |bytes| {
        put("meta.mat", bytes);
        text(imagenet::read(folder.path()))
    });
    put("meta.mat", &fixture("meta.mat"));
    every(300, b"2\n", "ground_truth.txt", |bytes| {
        put("ILSVRC2012_validation_ground_truth.txt", bytes);
        text(imagenet::read(folder.path()))
    });
    let list = "ImageId,PredictionString\nILSVRC2012_val_00000001,n03028079 1 2 3 4\n";
    every(300, list.as_bytes(), "LOC_val_solution.csv", |bytes| {
        put("LOC_val_solution.csv", bytes);
        text(imagenet::read(folder.path()))
    });
}

/// The smallest network on ten images.
fn tiny(data: &Dataset, epochs: usize) -> RunConfig {
    let mut config =
        recipe::setting(data, Scale::Smoke, ModelKind::Mlp1x512, Corruption::TrueLabels, Seeds::default());
    config.width = 1.0 / 128.0;
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
    every(400, &valid, ".parquet", |bytes| {
        fs::write(&path, bytes).unwrap();
        text(store::read(&path)).and_then(|()| text(store.all()))
    });
}

#[test]
fn checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let data = small(10);
    let config = tiny(&data, 3);
    let mut quiet = |_: &rethink::train::Row| ();
    let progress = Progress {
        folder: Some(folder.path().to_path_buf()),
        events: None,
        checkpoint_every: Duration::ZERO,
        on_epoch: &mut quiet,
        leave_after: Some(2),
    };
    assert!(train(&config, &data, progress).unwrap().is_none(), "left after two epochs");
    let path = folder.path().join("checkpoint.safetensors");
    let valid = fs::read(&path).unwrap();
    let whole = train(&config, &data, Progress::quiet(&mut |_| ())).unwrap().unwrap();
    every(200, &valid, "checkpoint.safetensors", |bytes| {
        fs::write(&path, bytes).unwrap();
        let mut quiet = |_: &rethink::train::Row| ();
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
        let layers =
            config.model.plan([config.input.min(512); 3], 10, config.width).map_err(|e| e.to_string())?;
        rethink::models::plan::output(&layers, [config.input.min(512); 3])
            .map(|_| ())
            .map_err(|e| e.to_string())
    });
}
