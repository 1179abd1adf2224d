//! Data sets: the readers on good and hostile files, where data sets are looked for, shapes10,
//! and downloads from a local server that misbehaves.

use flate2::{Compression, write::GzEncoder};
use md5::Digest;
use rand::SeedableRng;
use rand::rand_core::Rng;
use rand_chacha::ChaCha8Rng;
use rethink::Error;
use rethink::data::DataId;
use rethink::data::corruption::Corruption;
use rethink::data::fetch::{self, Patience, fetch_into};
use rethink::data::format::{Archive, OfficialFile};
use rethink::data::origin;
use rethink::data::{self, Dataset, Format, Places, Source, Split, cifar, cifar100, mnist, shapes10};
use rethink::measure::{Measurement, Quantity};
use rethink::run::appendix_a;
use rethink::run::config::{Scale, Seeds};
use rethink::study::Study;
use rethink_nn::models::ModelKind;
use rethink_tests::rethink_bin;
use rethink_tests::server::{Fault, Server};
use rethink_tests::skips::{Need, skip};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A small data set of CIFAR-10's shape and class names; image `i` is a ramp from `i`.
fn small(train: usize, test: usize) -> Dataset {
    let split = |n: usize, from: usize| Split {
        images: (0..n * 3072).map(|j| (from + j / 3072 + j % 3072) as u8).collect(),
        labels: (0..n).map(|i| ((i + from) % 10) as u16).collect(),
    };
    let classes = cifar::CLASSES.map(String::from).to_vec();
    Dataset::new("cifar10", "small", classes, [3, 32, 32], split(train, 0), split(test, 7)).unwrap()
}

fn cifar_folder(root: &Path, name: &str) -> PathBuf {
    let folder = root.join(name);
    cifar::write(&small(13, 4), &folder).unwrap();
    folder
}

fn idx(magic: u32, sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let header = [magic].into_iter().chain(sizes.iter().copied()).flat_map(u32::to_be_bytes);
    header.chain(bytes.iter().copied()).collect()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// The four files of a small MNIST, in the order of `mnist::FILES`, not compressed.
fn mnist_files() -> [Vec<u8>; 4] {
    let images = |n: usize| (0..n * 784).map(|i| (i % 251) as u8).collect::<Vec<u8>>();
    [
        idx(0x0803, &[3, 28, 28], &images(3)),
        idx(0x0801, &[3], &[5, 0, 4]),
        idx(0x0803, &[2, 28, 28], &images(2)),
        idx(0x0801, &[2], &[7, 2]),
    ]
}

fn mnist_folder(root: &Path) -> PathBuf {
    let folder = root.join("mnist");
    fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in mnist::FILES.iter().zip(mnist_files()) {
        fs::write(folder.join(name), bytes).unwrap();
    }
    folder
}

fn tree(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .map(|d| d.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

// ---- CIFAR-10's format ----

#[test]
fn writes_and_reads_back_cifar_records() {
    let root = tempfile::tempdir().unwrap();
    // RETHINK_DUMP=FOLDER keeps the files, for tests/fixtures/shapes10_difficulty.py.
    let folder = std::env::var_os("RETHINK_DUMP").map_or(root.path().join("dump"), PathBuf::from);
    let drawn = shapes10::dataset();
    cifar::write(&drawn, &folder).unwrap();
    let back = cifar::read(&folder).unwrap();
    assert!(back.train == drawn.train && back.test == drawn.test);
    assert_eq!(back.fingerprint, drawn.fingerprint);
    assert_eq!(back.classes, shapes10::CLASSES);
    // Known by its checksum, whatever files it lies in: the same images are the same runs.
    assert_eq!(back.id(100, 100), drawn.id(100, 100));
    assert_eq!(back.id(100, 100).published(), Some(shapes10::EMBEDDED));
}

#[test]
fn reads_cifar_files_of_any_number() {
    let root = tempfile::tempdir().unwrap();
    let data = cifar::read(&cifar_folder(root.path(), "c")).unwrap();
    assert_eq!((data.train.len(), data.test.len(), data.shape), (13, 4, [3, 32, 32]));
    // The first record of the first file: label 0, then a ramp from 0.
    assert_eq!((data.train.labels[0], data.train.images[5]), (0, 5));
    assert_eq!((data.test.labels[0], data.test.images[0]), (7, 7));
    // Without the names' file the names are the standard ones.
    fs::remove_file(root.path().join("c").join(cifar::NAMES_FILE)).unwrap();
    assert_eq!(cifar::read(&root.path().join("c")).unwrap().classes[9], "truck");
}

#[test]
fn refuses_damaged_cifar_files_with_file_record_and_offset() {
    type Damage = fn(&Path);
    fn set(path: PathBuf, at: usize, value: u8) {
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] = value;
        fs::write(path, bytes).unwrap();
    }
    let cases: &[(Damage, &[&str])] = &[
        (
            |f| set(f.join("data_batch_2.bin"), 3073, 10),
            &["data_batch_2.bin", "record 1 at byte 3073", "label 10"],
        ),
        (|f| set(f.join("test_batch.bin"), 0, 255), &["test_batch.bin", "record 0 at byte 0", "label 255"]),
        (
            |f| {
                let bytes = fs::read(f.join("data_batch_5.bin")).unwrap();
                fs::write(f.join("data_batch_5.bin"), &bytes[..bytes.len() - 1]).unwrap();
            },
            &["data_batch_5.bin", "record 2 at byte 6146", "cut short: 3072 of 3073"],
        ),
        (
            |f| fs::write(f.join("data_batch_1.bin"), [3]).unwrap(),
            &["data_batch_1.bin", "record 0", "1 of 3073"],
        ),
        (|f| fs::write(f.join("data_batch_3.bin"), []).unwrap(), &["data_batch_3.bin", "empty"]),
        (|f| fs::remove_file(f.join("data_batch_4.bin")).unwrap(), &["data_batch_4.bin"]),
        (|f| fs::remove_file(f.join("test_batch.bin")).unwrap(), &["test_batch.bin"]),
        (
            |f| {
                fs::remove_file(f.join("test_batch.bin")).unwrap();
                fs::create_dir(f.join("test_batch.bin")).unwrap();
            },
            &["test_batch.bin", "not a regular file"],
        ),
        (
            |f| fs::write(f.join("batches.meta.txt"), "cat\ndog\n").unwrap(),
            &["batches.meta.txt", "2 class names"],
        ),
        (|f| fs::write(f.join("batches.meta.txt"), [0xff, 0xfe]).unwrap(), &["batches.meta.txt", "UTF-8"]),
    ];
    for (damage, words) in cases {
        let root = tempfile::tempdir().unwrap();
        let folder = cifar_folder(root.path(), "c");
        damage(&folder);
        let error = cifar::read(&folder).unwrap_err().to_string();
        for word in *words {
            assert!(error.contains(word), "{error:?} lacks {word:?}");
        }
        assert!(data::verify(&folder).is_err());
    }
}

#[test]
fn reads_every_prefix_of_a_cifar_file_as_records_or_an_error() {
    let root = tempfile::tempdir().unwrap();
    let folder = cifar_folder(root.path(), "c");
    let whole = fs::read(folder.join("test_batch.bin")).unwrap();
    for len in (0..=whole.len()).step_by(439).chain([3072, 3073, 3074, 6146]) {
        fs::write(folder.join("test_batch.bin"), &whole[..len]).unwrap();
        let result = cifar::read(&folder);
        assert_eq!(result.is_ok(), len > 0 && len % 3073 == 0, "{len} bytes");
    }
}

// ---- CIFAR-100's format ----

/// `train` and `test` records of CIFAR-100: coarse label 1, fine label, a ramp.
fn cifar100_folder(root: &Path, name: &str, train: usize, test: usize) -> PathBuf {
    let folder = root.join(name);
    fs::create_dir_all(&folder).unwrap();
    let records = |n: usize, salt: usize| -> Vec<u8> {
        let record = |i: usize| {
            let image = (0..3072).map(move |j| (i * 31 + salt + j) as u8);
            [1, ((i * 7 + salt) % 100) as u8].into_iter().chain(image)
        };
        (0..n).flat_map(record).collect()
    };
    fs::write(folder.join("train.bin"), records(train, 0)).unwrap();
    fs::write(folder.join("test.bin"), records(test, 5)).unwrap();
    let names: String = (0..100).map(|class| format!("class {class}\n")).collect();
    fs::write(folder.join("fine_label_names.txt"), names).unwrap();
    fs::write(folder.join("coarse_label_names.txt"), "one\ntwo\n").unwrap();
    folder
}

#[test]
fn reads_cifar100_with_its_fine_labels() {
    let root = tempfile::tempdir().unwrap();
    let folder = cifar100_folder(root.path(), "mine", 250, 30);
    assert_eq!(Format::of(&folder), Some(&cifar100::FORMAT));
    let data = data::open(folder.to_str()).unwrap();
    assert_eq!((data.train.len(), data.test.len(), data.shape), (250, 30, [3, 32, 32]));
    assert_eq!((data.train.labels[..3].to_vec(), data.test.labels[0]), (vec![0, 7, 14], 5));
    assert_eq!(data.train.images[3072..3075], [31, 32, 33]);
    assert_eq!((data.classes.len(), &*data.classes[99]), (100, "class 99"));
    assert_eq!(cifar100::FORMAT.count(&folder), Some((250, 30)));
    // Called by its form, and set beside nothing of the paper's.
    assert_not_the_papers(&id(&folder), "CIFAR-100 format (mine)");
    assert!(id(&folder).name.starts_with("cifar100-format-"));
    let verified = data::verify(&folder).unwrap();
    assert_eq!((verified.format, verified.files.len()), (&cifar100::FORMAT, 2));
    assert!(verified.verdict.contains("rethink data fetch cifar100"), "{}", verified.verdict);
    // A hundred classes all the way to a run's record.
    let study = Study::of(data, &Study::new(Some("shapes10"), Scale::Smoke, root.path()).unwrap());
    let run = study.train(&[study.config(ModelKind::Mlp1x512, Corruption::RandomLabels)]).unwrap().remove(0);
    assert_eq!((run.record.classes(), run.record.error_of_guessing()), (Some(100), Some(0.99)));
}

#[test]
fn refuses_damaged_cifar100_files_with_file_record_and_offset() {
    type Damage = fn(&Path);
    let cases: &[(Damage, &[&str])] = &[
        (
            |f| {
                let mut bytes = fs::read(f.join("train.bin")).unwrap();
                bytes[2 * 3074 + 1] = 100;
                fs::write(f.join("train.bin"), bytes).unwrap();
            },
            &["train.bin", "record 2 at byte 6149", "label 100, expected 0 to 99"],
        ),
        (
            |f| {
                let bytes = fs::read(f.join("test.bin")).unwrap();
                fs::write(f.join("test.bin"), &bytes[..3075]).unwrap();
            },
            &["test.bin", "record 1 at byte 3074", "cut short: 1 of 3074"],
        ),
        (|f| fs::write(f.join("train.bin"), []).unwrap(), &["train.bin", "records of 3,074 bytes"]),
        (|f| fs::remove_file(f.join("test.bin")).unwrap(), &["test.bin"]),
        (
            |f| fs::write(f.join("fine_label_names.txt"), "cat\n").unwrap(),
            &["fine_label_names.txt", "1 class names, expected 100"],
        ),
    ];
    for (damage, words) in cases {
        let root = tempfile::tempdir().unwrap();
        let folder = cifar100_folder(root.path(), "c", 5, 3);
        damage(&folder);
        let error = cifar100::read(&folder).unwrap_err().to_string();
        for word in *words {
            assert!(error.contains(word), "{error:?} lacks {word:?}");
        }
        assert!(data::verify(&folder).is_err());
    }
    // The train.bin of some other program is no CIFAR-100.
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("train.bin"), [0; 3074]).unwrap();
    assert_eq!(Format::of(root.path()), None);
}

/// Found by its name, in the folder of its name, after all of the paper's.
#[test]
fn cifar100_is_found_by_its_name() {
    let root = tempfile::tempdir().unwrap();
    let folder = cifar100_folder(root.path(), "cifar-100-binary", 5, 3);
    let places = Places { named: Some(root.path().into()), cache: None };
    let found = |name| places.pick(name).unwrap().source;
    assert_eq!(found(Some("cifar100")), Source::Folder(&cifar100::FORMAT, folder.clone()));
    assert_eq!(found(None), Source::Folder(&cifar100::FORMAT, folder));
    let mnist = mnist_folder(root.path());
    assert_eq!(found(None), Source::Folder(&mnist::FORMAT, mnist));
}

/// The archive's checksum gives the name, and the name stands beside none of the paper's numbers.
#[test]
fn cifar100_is_fetched_and_called_by_its_archive() {
    let root = tempfile::tempdir().unwrap();
    let folder = cifar100_folder(root.path(), "cifar-100-binary", 5, 3);
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    tar.append_dir("cifar-100-binary/", &folder).unwrap();
    for name in tree(&folder) {
        tar.append_path_with_name(folder.join(&name), format!("cifar-100-binary/{name}")).unwrap();
    }
    let bytes = tar.into_inner().unwrap().finish().unwrap();
    let server = Server::start(vec![(cifar100::ARCHIVE.file.name.into(), bytes)], vec![]);
    let cache = root.path().join("cache");
    let fetched = fetch_into(&server.remote("cifar100"), &cache, PATIENCE).unwrap();
    assert_eq!(fetched, cache.join("cifar-100-binary"));
    assert_eq!(cifar100::read(&fetched).unwrap().fingerprint, cifar100::read(&folder).unwrap().fingerprint);
    // Another archive than the official one vouches for nothing.
    assert_not_the_papers(&id(&fetched), "CIFAR-100 format (cache/cifar-100-binary)");
    // With the official archive's checksum noted beside the same files.
    let sums = fs::read_to_string(fetched.join(data::SUMS_FILE)).unwrap();
    let (_, files) = sums.split_once('\n').unwrap();
    let file = cifar100::ARCHIVE.file;
    fs::write(fetched.join(data::SUMS_FILE), format!("# from {}, MD5 {}\n{files}", file.name, file.md5))
        .unwrap();
    let official = id(&fetched);
    assert_eq!((official.published(), &*official.title), (Some(cifar100::OFFICIAL), "CIFAR-100"));
    assert!(!official.is_comparable() && official.published().unwrap().in_paper().is_none());
    assert!(data::verify(&fetched).unwrap().verdict.contains("the official ones"));
}

/// What is asked for without a name does not hang on the order of a list.
#[test]
fn formats_and_priorities_are_told_apart() {
    let priorities: Vec<u8> = data::known().iter().map(|known| known.priority).collect();
    assert!(priorities.is_sorted_by(|a, b| a < b), "{priorities:?}");
    let unique = |mut all: Vec<&str>| {
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count, "{all:?}");
    };
    unique(data::names());
    unique(data::known().iter().map(|known| known.folder).collect());
    unique(data::FORMATS.iter().map(|format| format.title).collect());
    unique(data::FORMATS.iter().flat_map(|format| format.published).map(|known| known.title).collect());
    let root = tempfile::tempdir().unwrap();
    for folder in [
        cifar_folder(root.path(), "10"),
        cifar100_folder(root.path(), "100", 5, 3),
        mnist_folder(root.path()),
    ] {
        let takes = data::FORMATS.iter().filter(|format| (format.is_here)(&folder)).count();
        assert_eq!(takes, 1, "{}", folder.display());
    }
    // Photographs of one's own and ImageNet's have one layout: `tests/imagenet.rs` tells them apart.
    let prefixes = data::FORMATS.iter().flat_map(|format| format.prefixes.first());
    assert_eq!(prefixes.filter(|prefix| !prefix.is_empty()).collect::<Vec<_>>(), [&"imagenet:"]);
}

// ---- MNIST's format ----

#[test]
fn reads_mnist_plain_and_compressed() {
    let root = tempfile::tempdir().unwrap();
    let folder = mnist_folder(root.path());
    let plain = mnist::read(&folder).unwrap();
    assert_eq!((plain.shape, plain.train.len(), plain.test.len()), ([1, 28, 28], 3, 2));
    assert_eq!(plain.train.labels, [5, 0, 4]);
    assert_eq!(plain.train.images[..3], [0, 1, 2]);
    for (name, bytes) in mnist::FILES.iter().zip(mnist_files()) {
        fs::remove_file(folder.join(name)).unwrap();
        fs::write(folder.join(format!("{name}.gz")), gz(&bytes)).unwrap();
    }
    let compressed = mnist::read(&folder).unwrap();
    assert_eq!(compressed.fingerprint, plain.fingerprint);
    assert_eq!(mnist::count(&folder), Some((3, 2)));
}

// ---- What a data set is called ----

/// What a run's records say of the data in `folder`.
fn id(folder: &Path) -> DataId {
    data::open(folder.to_str()).unwrap().id(usize::MAX, usize::MAX)
}

fn assert_not_the_papers(id: &DataId, title: &str) {
    assert_eq!(id.title, title);
    assert_eq!(id.published(), None, "{title}");
    assert!(!id.is_comparable(), "{title}");
}

/// A folder's name, its form and what its labels begin with say nothing of what is in it.
#[test]
fn files_in_the_form_of_a_published_set_are_called_by_the_form() {
    let root = tempfile::tempdir().unwrap();
    // 50,000 and 10,000 images of noise, in CIFAR-10's own folder.
    let folder = root.path().join("noise/cifar-10-batches-bin");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut noise = |n: usize| {
        let mut images = vec![0; n * 3072];
        rng.fill_bytes(&mut images);
        Split { images, labels: (0..n).map(|i| (i % 10) as u16).collect() }
    };
    let classes = cifar::CLASSES.map(String::from).to_vec();
    let (train, test) = (noise(50_000), noise(10_000));
    let data = Dataset::new("noise", "noise", classes.clone(), [3, 32, 32], train, test).unwrap();
    cifar::write(&data, &folder).unwrap();
    assert_not_the_papers(&id(&folder), "CIFAR-10 format (noise/cifar-10-batches-bin)");
    // Checksums that somebody made of them prove nothing, nor does a note that they are the archive's.
    let files: Vec<Vec<u8>> = cifar::TRAIN_FILES
        .iter()
        .chain([&cifar::TEST_FILE])
        .map(|file| fs::read(folder.join(file)).unwrap())
        .collect();
    let md5 = cifar::ARCHIVE.file.md5;
    let lines: Vec<String> = data::verify(&folder)
        .unwrap()
        .files
        .iter()
        .map(|(name, _, sha)| format!("{sha}  {name}\n"))
        .collect();
    fs::write(folder.join(data::SUMS_FILE), lines.concat()).unwrap();
    assert!(!data::cifar::came_from(&folder, md5, &files));
    let note = format!("# from {ARCHIVE}, MD5 {md5}\n");
    fs::write(folder.join(data::SUMS_FILE), note + &lines.concat()).unwrap();
    assert!(data::cifar::came_from(&folder, md5, &files), "the note is in its place");
    assert!(!cifar::is_official(&folder, &files), "and the pixels are not CIFAR-10's");
    assert_not_the_papers(&id(&folder), "CIFAR-10 format (noise/cifar-10-batches-bin)");
    assert!(data::verify(&folder).unwrap().verdict.contains("not compared"));

    // Labels that begin as MNIST's, as many images as MNIST.
    let folder = root.path().join("mnist");
    fs::create_dir_all(&folder).unwrap();
    for (images, labels, n) in [(0, 1, 60_000u32), (2, 3, 10_000)] {
        let first = [5, 0, 4, 1, 9, 2, 1, 3, 1, 4];
        let labelled: Vec<u8> = first.into_iter().cycle().take(n as usize).collect();
        fs::write(folder.join(mnist::FILES[images]), idx(0x0803, &[n, 28, 28], &vec![7; n as usize * 784]))
            .unwrap();
        fs::write(folder.join(mnist::FILES[labels]), idx(0x0801, &[n], &labelled)).unwrap();
    }
    let parent = root.path().canonicalize().unwrap();
    let parent = parent.file_name().unwrap().to_str().unwrap();
    assert_not_the_papers(&id(&folder), &format!("MNIST format ({parent}/mnist)"));
    assert!(data::verify(&folder).unwrap().verdict.contains("not the official images"));

    // A published set's title is refused to other images, a title of one's own is not.
    let other = small(13, 4);
    for title in ["CIFAR-10", "CIFAR-10 (JPEG q75)", "MNIST", "ImageNet (ILSVRC-2012)", "shapes10 (embedded)"]
    {
        let error = other.changed("cifar10", title, |_, _| ()).unwrap_err().to_string();
        assert!(error.contains(title) && error.contains("not it"), "{error}");
    }
    let own = other.changed("own", "mine", |_, _| ()).unwrap().id(1, 1);
    assert!(own.is_comparable() && own.published().is_none());
}

/// Fashion-MNIST and Kuzushiji-MNIST lie in `FashionMNIST/raw` and `KMNIST/raw`.
#[test]
fn two_sets_in_folders_of_one_name_are_two_and_one_set_in_two_folders_is_one() {
    let root = tempfile::tempdir().unwrap();
    let [fashion, kanji, copy] = ["FashionMNIST", "KMNIST", "elsewhere"].map(|name| {
        let folder = root.path().join(name);
        fs::rename(mnist_folder(root.path()), &folder).unwrap();
        fs::create_dir(root.path().join(format!("{name}.new"))).unwrap();
        fs::rename(&folder, root.path().join(format!("{name}.new/raw"))).unwrap();
        fs::rename(root.path().join(format!("{name}.new")), &folder).unwrap();
        folder.join("raw")
    });
    fs::write(kanji.join(mnist::FILES[3]), idx(0x0801, &[2], &[7, 3])).unwrap();
    let [f, k, c] = [&fashion, &kanji, &copy].map(|folder| id(folder));
    assert_not_the_papers(&f, "MNIST format (FashionMNIST/raw)");
    assert_not_the_papers(&k, "MNIST format (KMNIST/raw)");
    assert_ne!(f.name, k.name);
    assert_ne!(f, k);
    // Another folder: another title for people, the same run.
    assert_eq!(c.title, "MNIST format (elsewhere/raw)");
    assert_eq!((&c.name, &c), (&f.name, &f));
    let key = |folder: &Path| {
        let data = data::open(folder.to_str()).unwrap();
        let (model, truth) = (ModelKind::Mlp1x512, Corruption::TrueLabels);
        let run = appendix_a::config_at(&data, Scale::Smoke, model, truth, Seeds::default()).key();
        (run, Measurement::new(&data, (3, 2), Quantity::Theorem1, 1).key())
    };
    assert_eq!(key(&fashion), key(&copy));
    assert_ne!(key(&fashion), key(&kanji));
}

/// Sets of one short name do not overwrite one another's figures.
#[test]
fn a_folder_of_figures_belongs_to_one_data_set() {
    let out = tempfile::tempdir().unwrap();
    let base = Study::new(Some("shapes10"), Scale::Smoke, out.path()).unwrap();
    let study = |first: u8| {
        let data = small(13, 4).changed("raw", &format!("mine, {first}"), |train, _| train.images[0] = first);
        Study::of(data.unwrap(), &base)
    };
    let [one, two] = [1, 2].map(study);
    assert_eq!(one.folder(), two.folder(), "while nobody has it");
    let folder = one.own_folder().unwrap();
    assert_eq!((&folder, &one.folder()), (&out.path().join("raw-smoke"), &folder));
    fs::write(folder.join("fig1a.svg"), "the first").unwrap();
    let other = two.own_folder().unwrap();
    assert_eq!(other, out.path().join(format!("raw-{}-smoke", &two.data.fingerprint[..8])));
    assert_eq!([one.own_folder().unwrap(), two.own_folder().unwrap()], [folder.clone(), other]);
    assert_eq!(fs::read_to_string(folder.join("fig1a.svg")).unwrap(), "the first");
    // A folder from before there were marks belongs to the set that its figures say.
    fs::remove_file(folder.join("data.json")).unwrap();
    let of = |study: &Study| {
        let record = serde_json::json!({ "config": { "data": study.data.id(1, 1) } });
        serde_json::json!({ "provenance": { "runs": [{ "record": record }] } }).to_string()
    };
    fs::write(folder.join("fig1a.json"), of(&two)).unwrap();
    assert_eq!(two.folder(), folder);
    assert_eq!(one.folder(), out.path().join(format!("raw-{}-smoke", &one.data.fingerprint[..8])));
}

/// The name of what is downloaded, or unpacked by hand from the official archive, rests on the archive's checksum.
#[test]
fn files_are_vouched_for_by_the_archive_that_they_come_from() {
    let root = tempfile::tempdir().unwrap();
    let (_, bytes) = archive(&[], "").remove(0);
    let md5 = md5::Md5::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let folder = root.path().join("cifar-10-batches-bin");
    cifar::write(&shapes10::generate(50, 10, 1).unwrap(), &folder).unwrap();
    let file = OfficialFile { bytes: bytes.len() as u64, md5: md5.clone().leak(), ..cifar::ARCHIVE.file };
    let made = Archive { file, ..cifar::ARCHIVE };
    assert!(!origin::vouch(&folder, &made).unwrap(), "there is no archive");
    for place in [root.path(), &folder] {
        let at = place.join(ARCHIVE);
        fs::write(&at, &bytes).unwrap();
        let other = OfficialFile { bytes: file.bytes, ..cifar::ARCHIVE.file };
        assert!(
            !origin::vouch(&folder, &Archive { file: other, ..cifar::ARCHIVE }).unwrap(),
            "another archive"
        );
        assert!(origin::vouch(&folder, &made).unwrap());
        let files = |folder: &Path| -> Vec<Vec<u8>> {
            let names = cifar::TRAIN_FILES.iter().chain([&cifar::TEST_FILE]);
            names.map(|name| fs::read(folder.join(name)).unwrap()).collect()
        };
        assert!(data::cifar::came_from(&folder, &md5, &files(&folder)));
        assert!(!data::cifar::came_from(&folder, cifar::ARCHIVE.file.md5, &files(&folder)));
        assert!(data::verify(&folder).is_ok());
        let mut changed = files(&folder);
        changed[5][1000] ^= 1;
        assert!(!data::cifar::came_from(&folder, &md5, &changed), "one byte of the test images");
        fs::remove_file(folder.join(data::SUMS_FILE)).unwrap();
        fs::remove_file(at).unwrap();
    }
    // One image is not the archive's.
    fs::write(root.path().join(ARCHIVE), &bytes).unwrap();
    let mut test = fs::read(folder.join(cifar::TEST_FILE)).unwrap();
    test[1000] ^= 1;
    fs::write(folder.join(cifar::TEST_FILE), test).unwrap();
    assert!(!origin::vouch(&folder, &made).unwrap());
    assert!(!folder.join(data::SUMS_FILE).exists());
}

/// Files of the user's own in the place of a download are kept.
#[test]
fn a_download_keeps_another_set_that_lies_in_its_place() {
    let server = Server::start(archive(&[], ""), vec![]);
    let root = tempfile::tempdir().unwrap();
    let own = cifar_folder(root.path(), "cifar-10-batches-bin");
    let before = cifar::read(&own).unwrap().fingerprint;
    let folder = fetch_into(&server.remote("cifar10"), root.path(), PATIENCE).unwrap();
    assert_ne!(cifar::read(&folder).unwrap().fingerprint, before);
    let kept = root.path().join("cifar-10-batches-bin.before-fetch-1");
    assert_eq!(cifar::read(&kept).unwrap().fingerprint, before);
}

/// What a notebook, a Slurm job or a suggested command is told finds the same files from elsewhere.
#[test]
fn a_choice_has_a_name_by_which_it_is_found_again() {
    let root = tempfile::tempdir().unwrap();
    let places = Places { named: None, cache: None };
    for (folder, asked) in
        [(cifar_folder(root.path(), "my pictures"), None), (mnist_folder(root.path()), Some("mnist"))]
    {
        let choice = places.pick(folder.to_str()).unwrap();
        let name = choice.name(folder.to_str());
        assert_eq!(name, folder.canonicalize().unwrap().to_str().unwrap());
        assert_eq!(
            places.pick(Some(&name)).unwrap().read().unwrap().fingerprint,
            choice.read().unwrap().fingerprint
        );
        // By the name that was asked for, which other machines may find elsewhere.
        let expected = asked.map_or(name, String::from);
        assert_eq!(choice.name(asked), expected);
    }
    assert_eq!(places.pick(Some("shapes10")).unwrap().name(Some("shapes10")), "shapes10");
}

#[test]
fn refuses_hostile_mnist_files_without_believing_their_headers() {
    let pixels = vec![0; 3 * 784];
    let damaged_gz = {
        let mut bytes = gz(&mnist_files()[0]);
        let at = bytes.len() - 6; // in gzip's own checksum
        bytes[at] ^= 1;
        bytes
    };
    let bomb = {
        let mut out = GzEncoder::new(Vec::new(), Compression::best());
        out.write_all(&idx(0x0803, &[3, 28, 28], &[])).unwrap();
        for _ in 0..64 {
            out.write_all(&vec![0; 1 << 20]).unwrap();
        }
        out.finish().unwrap()
    };
    let (images, labels) = (mnist::FILES[0].to_string(), mnist::FILES[1].to_string());
    let images_gz = format!("{images}.gz");
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (&images, vec![], "no magic number"),
        (&images, idx(0x0803, &[], &[]), "no number of items"),
        (&images, idx(0x0803, &[3], &[]), "no number of rows"),
        (&images, idx(0x0801, &[3, 28, 28], &pixels), "magic number 0x00000801"),
        (&images, idx(0x0d03, &[3, 28, 28], &pixels), "magic number 0x00000d03"),
        (&images, idx(0x0803, &[0, 28, 28], &[]), "0 items"),
        (&images, idx(0x0803, &[u32::MAX, 28, 28], &pixels), "4294967295 items"),
        (&images, idx(0x0803, &[1_000_000, 28, 28], &pixels), "the file has 2352"),
        (&images, idx(0x0803, &[3, u32::MAX, u32::MAX], &pixels), "images of 4294967295x4294967295"),
        (
            &images,
            idx(0x0803, &[3, 28, 28], &pixels[1..]),
            "need 2352 bytes after the header, the file has 2351",
        ),
        (&images, idx(0x0803, &[3, 28, 28], &vec![0; 3 * 784 + 1]), "the file has more"),
        (&images, idx(0x0803, &[2, 28, 28], &pixels[784..]), "3 labels for the 2 images"),
        (&labels, idx(0x0801, &[3], &[1, 10, 2]), "label 1 at byte 9 is 10"),
        (&labels, idx(0x0801, &[4], &[1, 1, 2]), "need 4 bytes"),
        (&images_gz, damaged_gz, "damaged"),
        (&images_gz, gz(&mnist_files()[0])[..200].to_vec(), "damaged"),
        (&images_gz, b"<html>".to_vec(), "no magic number"),
        (&images_gz, bomb, "the file has more"),
    ];
    for (name, bytes, word) in cases {
        let root = tempfile::tempdir().unwrap();
        let folder = mnist_folder(root.path());
        fs::remove_file(folder.join(name.trim_end_matches(".gz"))).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
        let error = mnist::read(&folder).unwrap_err().to_string();
        assert!(error.contains(word), "{error:?} lacks {word:?}");
        assert!(error.contains(name), "{error:?} lacks {name:?}");
    }
}

// ---- Where data sets are looked for ----

#[test]
fn chooses_the_named_then_rethink_data_then_the_cache_then_shapes10() {
    let root = tempfile::tempdir().unwrap();
    let (named, cache) = (root.path().join("named"), root.path().join("cache"));
    fs::create_dir_all(&named).unwrap();
    fs::create_dir_all(&cache).unwrap();
    let places =
        |n: bool, c: bool| Places { named: n.then(|| named.clone()), cache: c.then(|| cache.clone()) };
    let folder = |choice: rethink::Result<data::DatasetChoice>| match choice.unwrap().source {
        Source::Folder(_, folder) => folder,
        Source::Shapes10 => PathBuf::from("shapes10"),
    };

    let embedded = places(false, true).pick(None).unwrap();
    assert_eq!(embedded.source, Source::Shapes10);
    assert!(embedded.why.contains("RETHINK_DATA is not set"), "{}", embedded.why);

    // RETHINK_DATA that holds nothing is an error, not a silent shapes10.
    let error = places(true, true).pick(None).unwrap_err().to_string();
    assert!(error.contains("RETHINK_DATA=") && error.contains("cifar-10-batches-bin"), "{error}");
    let error = places(true, true).pick(Some("cifar10")).unwrap_err();
    assert!(matches!(&error, Error::Missing { remedy, .. } if remedy.contains("rethink data fetch cifar10")));

    let in_cache = cifar_folder(&cache, "cifar-10-batches-bin");
    assert_eq!(folder(places(false, true).pick(None)), in_cache);
    assert_eq!(folder(places(true, true).pick(Some("cifar10"))), in_cache);
    let in_named = mnist_folder(&named);
    assert_eq!(folder(places(true, true).pick(None)), in_named);
    let in_named = cifar_folder(&named, "cifar-10-lossless-bin");
    assert_eq!(folder(places(true, true).pick(None)), in_named);
    assert_eq!(folder(places(true, true).pick(Some("cifar10"))), in_cache);
    let in_named = cifar_folder(&named, "cifar-10-batches-bin");
    let choice = places(true, true).pick(None).unwrap();
    assert!(choice.why.starts_with("cifar10, from RETHINK_DATA: "), "{}", choice.why);
    assert_eq!(folder(Ok(choice)), in_named);

    // RETHINK_DATA may be the set's own folder; a folder named for another set is not this one.
    let own = Places { named: Some(in_named.clone()), cache: None };
    assert_eq!(folder(own.pick(None)), in_named);
    assert_eq!(folder(own.pick(Some("cifar10"))), in_named);
    assert!(own.pick(Some("cifar10-lossless")).is_err());
    assert!(own.pick(Some("mnist")).is_err());

    // A path, of a set or of a folder of sets; a wrong name.
    assert_eq!(folder(Places::default().pick(in_cache.to_str())), in_cache);
    assert_eq!(folder(Places::default().pick(named.to_str())), in_named);
    assert_eq!(folder(places(true, true).pick(Some("shapes10"))), Path::new("shapes10"));
    let error = places(true, true).pick(Some("cifar1000")).unwrap_err().to_string();
    for name in data::names() {
        assert!(error.contains("cifar1000") && error.contains(name), "{error}");
    }
}

#[test]
fn verify_sees_a_changed_byte_by_the_checksums_left_by_fetch() {
    let server = Server::start(mnist_remote_files(), vec![]);
    let root = tempfile::tempdir().unwrap();
    let folder = fetch_into(&server.remote("mnist"), root.path(), PATIENCE).unwrap();
    assert!(data::verify(&folder).unwrap().verdict.contains("fetched"));
    // Still a well-formed file: only the checksum can tell.
    let path = folder.join("t10k-labels-idx1-ubyte.gz");
    fs::write(&path, gz(&idx(0x0801, &[2], &[7, 3]))).unwrap();
    let error = data::verify(&folder).err().unwrap().to_string();
    assert!(error.contains("t10k-labels-idx1-ubyte.gz") && error.contains("has changed"), "{error}");
    // The next fetch puts it right.
    fetch_into(&server.remote("mnist"), root.path(), PATIENCE).unwrap();
    assert_eq!(mnist::read(&folder).unwrap().test.labels, [7, 2]);
    assert_eq!(tree(root.path()), ["mnist"]);
}

// ---- shapes10 ----

/// Pinned on x86-64 Linux: whoever changes the drawing changes the data set, and every stored
/// run on it.
const SHAPES10_FINGERPRINT: &str = "49e9b45bab1365d36f328a46a9228462db51f74cde4d49a86fa9c469b3201ad7";

#[test]
fn draws_the_pinned_shapes10() {
    let start = Instant::now();
    let data = shapes10::dataset();
    println!("drawn in {:.2} s", start.elapsed().as_secs_f64());
    assert_eq!(data.fingerprint, SHAPES10_FINGERPRINT);
    assert_eq!((data.train.len(), data.test.len(), data.shape), (10_000, 2_000, [3, 32, 32]));
    for split in [&data.train, &data.test] {
        for block in split.labels.chunks(10) {
            let mut block = block.to_vec();
            block.sort();
            assert_eq!(block, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        }
    }
    // No image twice, within or across the splits.
    let images = data.train.images.chunks(3072).chain(data.test.images.chunks(3072));
    assert_eq!(images.collect::<std::collections::HashSet<_>>().len(), 12_000);
}

#[test]
fn draws_each_image_from_its_own_stream() {
    let long = shapes10::generate(200, 50, 3).unwrap();
    let short = shapes10::generate(30, 20, 3).unwrap();
    assert_eq!(short.train.images, long.train.images[..30 * 3072]);
    assert_eq!(short.test.labels, long.test.labels[..20]);
    assert_ne!(shapes10::generate(30, 20, 4).unwrap().train.images, short.train.images);
    assert_ne!(short.train.images[..20 * 3072], short.test.images);
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let again = one.install(|| shapes10::generate(200, 50, 3).unwrap());
    assert_eq!(again.fingerprint, long.fingerprint);
    for (train, test) in [(0, 5), (5, 0), (1_000_001, 1)] {
        assert!(matches!(shapes10::generate(train, test, 1), Err(Error::Argument { .. })));
    }
}

/// Centre crop to 28x28, each image to mean 0 and standard deviation 1, as in appendix A.
fn whitened(split: &Split, n: usize) -> Vec<f32> {
    let mut all = Vec::with_capacity(n * 2352);
    for image in split.images.chunks_exact(3072).take(n) {
        let from = all.len();
        for plane in image.chunks_exact(1024) {
            for row in plane.chunks_exact(32).skip(2).take(28) {
                all.extend(row[2..30].iter().map(|&b| f32::from(b)));
            }
        }
        let own = &mut all[from..];
        let mean = own.iter().sum::<f32>() / 2352.0;
        let deviation = (own.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / 2352.0).sqrt();
        own.iter_mut().for_each(|x| *x = (*x - mean) / deviation);
    }
    all
}

/// Softmax regression by plain SGD on every training image; the full study with an MLP and a conv net is
/// tests/fixtures/shapes10_difficulty.py.
#[test]
fn keeps_a_linear_model_below_60_percent() {
    let data = shapes10::dataset();
    let (n, held) = (data.train.len(), data.test.len());
    let (train, test) = (whitened(&data.train, n), whitened(&data.test, held));
    let mut weights = vec![[0f32; 2352]; 10];
    let mut bias = [0f32; 10];
    let score = |weights: &[[f32; 2352]], bias: &[f32; 10], x: &[f32]| -> [f32; 10] {
        std::array::from_fn(|k| {
            let mut lanes = [0f32; 16];
            for (w, x) in weights[k].chunks_exact(16).zip(x.chunks_exact(16)) {
                for lane in 0..16 {
                    lanes[lane] += w[lane] * x[lane];
                }
            }
            lanes.iter().sum::<f32>() + bias[k]
        })
    };
    for epoch in 0..6 {
        let rate = 0.0004 / (1.0 + epoch as f32);
        for (x, &label) in train.chunks_exact(2352).zip(&data.train.labels) {
            let logits = score(&weights, &bias, x);
            let most = logits.iter().copied().fold(f32::MIN, f32::max);
            let exp = logits.map(|l| (l - most).exp());
            let sum: f32 = exp.iter().sum();
            for k in 0..10 {
                let step = rate * (exp[k] / sum - f32::from(u8::from(k == usize::from(label))));
                weights[k].iter_mut().zip(x).for_each(|(w, x)| *w -= step * x);
                bias[k] -= step;
            }
        }
    }
    let right = test.chunks_exact(2352).zip(&data.test.labels).filter(|(x, label)| {
        let logits = score(&weights, &bias, x);
        let best = (0..10).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        best == usize::from(**label)
    });
    let accuracy = 100.0 * right.count() as f32 / held as f32;
    println!("a linear model on {n} images: {accuracy:.1} % of {held} test images");
    // Learns something (chance is 10), and stays well below the bound of 60.
    assert!((25.0..60.0).contains(&accuracy), "{accuracy}");
}

#[test]
fn shows_a_contact_sheet() {
    let data = shapes10::generate(100, 10, 1).unwrap();
    let sheet = data.contact_sheet(2, 3);
    assert_eq!((sheet.width, sheet.height), (10 * 34 * 3, 2 * 34 * 3));
    assert_eq!(sheet.rgb.len(), sheet.width * sheet.height * 3);
    // Column 4, row 0: the first training image of class 4, its pixel (5, 6), the middle of nine.
    let image = data.train.labels.iter().position(|&l| l == 4).unwrap();
    let at = ((3 + 6 * 3 + 1) * sheet.width + (4 * 34 + 1) * 3 + 5 * 3 + 1) * 3;
    for c in 0..3 {
        assert_eq!(sheet.rgb[at + c], data.train.images[image * 3072 + c * 1024 + 6 * 32 + 5]);
    }
    assert_eq!(sheet.rgb[..3], [255; 3]);
    // Grey images, and more rows than images.
    let root = tempfile::tempdir().unwrap();
    let grey = mnist::read(&mnist_folder(root.path())).unwrap().contact_sheet(4, 1);
    assert_eq!((grey.width, grey.height), (300, 120));
    assert!(grey.rgb.chunks(3).all(|p| p[0] == p[1] && p[1] == p[2]));
}

// ---- Proxies and certificates ----

/// `rethink data fetch mnist` from `mirror`, and what it says.
fn fetch_from(mirror: &str, variables: &[(&str, &str)]) -> String {
    let cache = tempfile::tempdir().unwrap();
    let mut command = Command::new(rethink_bin());
    for name in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    let said = command
        .args(["data", "fetch", "mnist"])
        .env("RETHINK_MIRROR", mirror)
        .env("XDG_CACHE_HOME", cache.path())
        .env("HOME", cache.path())
        .env_remove("SSL_CERT_FILE")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(!said.status.success());
    String::from_utf8_lossy(&said.stderr).into_owned()
}

fn take(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// The proxy is given the server's name, and what it leads to is heard.
#[test]
fn downloads_go_through_a_socks_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // RFC 1928: version and methods; version, command, type of address (a name), its length, name and port.
        let methods = take(&mut stream, 2)[1];
        take(&mut stream, methods.into());
        stream.write_all(&[5, 0]).unwrap();
        let request = take(&mut stream, 5);
        assert_eq!((request[0], request[1], request[3]), (5, 1, 3));
        let name = String::from_utf8(take(&mut stream, request[4].into())).unwrap();
        take(&mut stream, 2);
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        let mut head = [0; 4096];
        let length = stream.read(&mut head).unwrap();
        stream
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .unwrap();
        (name, String::from_utf8_lossy(&head[..length]).into_owned())
    });
    let said = fetch_from("http://data.invalid/mnist", &[("ALL_PROXY", &format!("socks5h://{address}"))]);
    assert!(said.contains("the server answers 404"), "{said}");
    let (name, request) = proxy.join().unwrap();
    assert_eq!(name, "data.invalid");
    assert!(request.starts_with("GET /mnist/"), "{request}");
}

/// A server with a certificate of an authority that only `SSL_CERT_FILE` names.
#[test]
fn ones_own_authority_is_trusted_where_ssl_cert_file_names_it() {
    let test = "ones_own_authority_is_trusted_where_ssl_cert_file_names_it";
    let folder = tempfile::tempdir().unwrap();
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.args(arguments.split_whitespace()).current_dir(folder.path());
        command.output().is_ok_and(|said| said.status.success())
    };
    fs::write(folder.path().join("names"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
        .unwrap();
    let made = openssl(
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=rethink-test-authority",
    ) && openssl(
        "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost",
    ) && openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
    );
    if !made {
        skip(test, Need::Openssl, "no openssl");
        return;
    }
    let program = "import http.server, ssl\nserver = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\n\
                   context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\ncontext.load_cert_chain('server.pem', 'server.key')\n\
                   server.socket = context.wrap_socket(server.socket, server_side=True)\n\
                   print(server.server_port, flush=True)\nserver.serve_forever()";
    let mut server = Command::new("python3")
        .args(["-I", "-c", program])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut port = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let mirror = format!("https://localhost:{}/mnist", port.trim());
    let authority = folder.path().join("ca.pem");
    let without = fetch_from(&mirror, &[]);
    let with = fetch_from(&mirror, &[("SSL_CERT_FILE", authority.to_str().unwrap())]);
    let empty = folder.path().join("names");
    let unfit = fetch_from(&mirror, &[("SSL_CERT_FILE", empty.to_str().unwrap())]);
    let absent = fetch_from(&mirror, &[("SSL_CERT_FILE", "/nowhere/ca.pem")]);
    server.kill().unwrap();
    let _ = server.wait();
    assert!(without.contains("is not trusted") && without.contains("set SSL_CERT_FILE"), "{without}");
    assert!(with.contains("the server answers 404"), "{with}");
    assert!(unfit.contains("no certificate in it"), "{unfit}");
    assert!(absent.contains("/nowhere/ca.pem"), "{absent}");
}

// ---- Real data, where RETHINK_DATA has it ----

fn real(test: &str, folder: &str) -> Option<PathBuf> {
    let path = std::env::var_os("RETHINK_DATA").map(|d| Path::new(&d).join(folder)).filter(|p| p.is_dir());
    if path.is_none() {
        skip(test, Need::Data, format_args!("no {folder} in RETHINK_DATA"));
    }
    path
}

#[test]
fn reads_the_real_cifar10() {
    let Some(folder) = real("reads_the_real_cifar10", "cifar-10-batches-bin") else { return };
    let start = Instant::now();
    let data = cifar::read(&folder).unwrap();
    println!("{data:?}, read in {:.2} s", start.elapsed().as_secs_f64());
    assert_eq!((data.train.len(), data.test.len()), (50_000, 10_000));
    // The official files, where their archive vouches for them; the known copy; or nothing that has a name.
    let known = data.id(usize::MAX, usize::MAX).published();
    match data.title.as_str() {
        "CIFAR-10" => assert_eq!(known, Some(cifar::OFFICIAL)),
        "CIFAR-10 (JPEG q75)" => assert_eq!(known, Some(cifar::AFTER_JPEG)),
        _ => assert_eq!(known, None),
    }
    // The first ten labels of CIFAR-10's first file and of its test file, as published.
    assert_eq!(data.train.labels[..10], [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]);
    assert_eq!(data.test.labels[..10], [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]);
    for (split, each) in [(&data.train, 5_000), (&data.test, 1_000)] {
        for class in 0..10 {
            assert_eq!(split.labels.iter().filter(|&&l| l == class).count(), each);
        }
    }
    assert_eq!(cifar::count(&folder), Some((50_000, 10_000)));
    let verified = data::verify(&folder).unwrap();
    assert_eq!((verified.format, verified.files.len()), (&cifar::FORMAT, 6));
    if known.is_none() {
        return;
    }
    // With one image changed, or other test images (ciFAIR-10 replaces 325), it is another set.
    let other = data.changed("other", "other", |_, test| test.images[5_000_000] ^= 1).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let folder = copy.path().join("ciFAIR-10");
    cifar::write(&other, &folder).unwrap();
    assert_not_the_papers(&id(&folder), "CIFAR-10 format (ciFAIR-10)");
    // The same in another folder is the same.
    cifar::write(&data, &copy.path().join("copy")).unwrap();
    if data.title != "CIFAR-10" {
        assert_eq!(id(&copy.path().join("copy")), data.id(usize::MAX, usize::MAX));
        assert_eq!(cifar::read(&copy.path().join("copy")).unwrap().title, data.title);
    }
}

#[test]
fn reads_the_real_lossless_part() {
    let Some(folder) = real("reads_the_real_lossless_part", "cifar-10-lossless-bin") else { return };
    let data = cifar::read(&folder).unwrap();
    assert_eq!((data.train.len(), data.test.len()), (5_085, 1_017));
    assert_eq!((data.name.as_str(), data.title.as_str()), ("cifar10-lossless", "CIFAR-10 (5,085 images)"));
    assert_eq!(data.id(1, 1).published(), Some(cifar::LOSSLESS));
    // As the official files begin.
    for (file, sha) in cifar::TRAIN_FILES.iter().chain([&cifar::TEST_FILE]).zip(cifar::OFFICIAL_HEADS) {
        let there = data::verify(&folder).unwrap().files;
        assert!(there.iter().any(|(name, _, sum)| name == file && sum == sha), "{file}");
    }
    // The first pixel of CIFAR-10's first image (a frog): red 59, green 62, blue 63.
    let at = |plane: usize| data.train.images[plane * 1024];
    assert_eq!([at(0), at(1), at(2)], [59, 62, 63]);
}

#[test]
fn reads_the_real_mnist() {
    let Some(folder) = real("reads_the_real_mnist", "mnist") else { return };
    let data = mnist::read(&folder).unwrap();
    assert_eq!((data.train.len(), data.test.len(), data.title.as_str()), (60_000, 10_000, "MNIST"));
    assert_eq!(data.train.labels[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    let verdict = data::verify(&folder).unwrap().verdict;
    assert!(verdict.contains("official"), "{verdict}");
    assert_eq!(data.id(1, 1).published(), Some(mnist::OFFICIAL));
    // The same not compressed; and inverted, which is no MNIST.
    let root = tempfile::tempdir().unwrap();
    let [plain, inverted] = ["plain", "inverted"].map(|name| {
        let folder = root.path().join(name);
        fs::create_dir(&folder).unwrap();
        folder
    });
    for (n, split) in [&data.train, &data.test].into_iter().enumerate() {
        let count = split.len() as u32;
        let labels: Vec<u8> = split.labels.iter().map(|&label| label as u8).collect();
        let negative: Vec<u8> = split.images.iter().map(|v| 255 - v).collect();
        for (folder, images) in [(&plain, &split.images), (&inverted, &negative)] {
            fs::write(folder.join(mnist::FILES[2 * n]), idx(0x0803, &[count, 28, 28], images)).unwrap();
            fs::write(folder.join(mnist::FILES[2 * n + 1]), idx(0x0801, &[count], &labels)).unwrap();
        }
    }
    assert_eq!(id(&plain), data.id(usize::MAX, usize::MAX));
    assert_not_the_papers(&id(&inverted), "MNIST format (inverted)");
    // The sizes that the fetch expects are those of the official files.
    for file in data::fetch::source("mnist").unwrap().files {
        let path = folder.join(&file.name);
        if path.is_file() {
            assert_eq!(path.metadata().unwrap().len(), file.bytes, "{}", file.name);
        }
    }
}

// ---- Downloads ----

/// Generous, so that a busy machine is not taken for a fault.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(60),
    stall: Duration::from_secs(60),
    tries: 3,
    pause: Duration::from_millis(5),
};

/// Short only where waiting is the point.
fn patience(faults: &[Fault]) -> Patience {
    let stall = Duration::from_secs(3);
    match faults.iter().any(|f| matches!(f, Fault::Stall(_) | Fault::Silence)) {
        true => Patience { stall, ..PATIENCE },
        false => PATIENCE,
    }
}

fn mnist_remote_files() -> Vec<(String, Vec<u8>)> {
    mnist::FILES.iter().zip(mnist_files()).map(|(name, bytes)| (format!("{name}.gz"), gz(&bytes))).collect()
}

const ARCHIVE: &str = "cifar-10-binary.tar.gz";

/// The small CIFAR-10 as the official archive is built, its bytes hardly compressible, then `extra` entries
/// (name, type, bytes) written as they are.
fn archive(extra: &[(&str, tar::EntryType, &[u8])], without: &str) -> Vec<(String, Vec<u8>)> {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("cifar-10-batches-bin");
    cifar::write(&shapes10::generate(50, 10, 1).unwrap(), &folder).unwrap();
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    tar.append_dir("cifar-10-batches-bin/", &folder).unwrap();
    for name in tree(&folder).iter().filter(|n| *n != without) {
        tar.append_path_with_name(folder.join(name), format!("cifar-10-batches-bin/{name}")).unwrap();
    }
    for (name, kind, bytes) in extra {
        let mut header = tar::Header::new_gnu();
        // Not through the library's own setter, which refuses hostile names.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        if *kind == tar::EntryType::Symlink {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    vec![(ARCHIVE.into(), tar.into_inner().unwrap().finish().unwrap())]
}

fn partial(root: &Path) -> PathBuf {
    root.join(format!(".fetch-cifar10/{ARCHIVE}.partial"))
}

/// The whole data set is in place, nothing else beside it.
fn assert_whole(root: &Path) {
    assert_eq!(tree(root), ["cifar-10-batches-bin"]);
    let files = tree(&root.join("cifar-10-batches-bin"));
    assert_eq!(files.len(), 8, "{files:?}"); // six of records, the names, the checksums
    let data = cifar::read(&root.join("cifar-10-batches-bin")).unwrap();
    assert_eq!(data.fingerprint, shapes10::generate(50, 10, 1).unwrap().fingerprint);
}

#[test]
fn fetches_whole_and_only_once() {
    let server = Server::start(archive(&[], ""), vec![]);
    let root = tempfile::tempdir().unwrap();
    let folder = fetch_into(&server.remote("cifar10"), root.path(), PATIENCE).unwrap();
    assert_eq!(folder, root.path().join("cifar-10-batches-bin"));
    assert_whole(root.path());
    assert!(data::verify(&folder).unwrap().verdict.contains("fetched"));
    fetch_into(&server.remote("cifar10"), root.path(), PATIENCE).unwrap();
    assert_eq!(server.ranges(), [None]);
}

#[test]
fn a_download_killed_after_its_last_step_leaves_nothing_behind() {
    // Killed after the data set was put into place, before the working folder was removed.
    let server = Server::start(archive(&[], ""), vec![]);
    let root = tempfile::tempdir().unwrap();
    let fetch = || fetch_into(&server.remote("cifar10"), root.path(), PATIENCE).unwrap();
    fetch();
    let work = root.path().join(".fetch-cifar10");
    fs::create_dir(&work).unwrap();
    fs::write(work.join("cifar-10-binary.tar.gz"), b"the archive").unwrap();
    let lock = fs::File::create(work.join("lock")).unwrap();
    lock.lock().unwrap();
    fetch();
    assert!(work.join("cifar-10-binary.tar.gz").exists(), "another process is at it");
    drop(lock);
    fetch();
    assert!(!work.exists());
    assert_whole(root.path());
    assert_eq!(server.ranges(), [None]);
}

#[test]
fn goes_on_after_faults_that_pass() {
    let tail = |n: usize| Some(format!("bytes={n}-"));
    let cases: Vec<(Vec<Fault>, Vec<Option<String>>)> = vec![
        (vec![Fault::Truncate(50_000)], vec![None, tail(50_000)]),
        (vec![Fault::TruncateUnannounced(50_000)], vec![None, tail(50_000)]),
        (vec![Fault::Stall(50_000)], vec![None, tail(50_000)]),
        (vec![Fault::Silence], vec![None, None]),
        (vec![Fault::Garbage], vec![None, None]),
        (vec![Fault::Truncate(50_000), Fault::IgnoreRange], vec![None, tail(50_000)]),
        // Started over and cut shorter than before.
        (
            vec![Fault::Truncate(50_000), Fault::Status(503), Fault::Truncate(10_000)],
            vec![None, tail(50_000), tail(50_000), tail(60_000)],
        ),
        (vec![Fault::Truncate(50_000), Fault::WrongRange], vec![None, tail(50_000), None]),
        (vec![Fault::Truncate(50_000), Fault::Status(416)], vec![None, tail(50_000), None]),
        // More faults than `tries`, each after some progress.
        (
            vec![Fault::Truncate(20_000); 5],
            (0..6).map(|i| (i > 0).then(|| format!("bytes={}-", 20_000 * i))).collect(),
        ),
    ];
    for (faults, ranges) in cases {
        let name = format!("{faults:?}");
        let patience = patience(&faults);
        let server = Server::start(archive(&[], ""), faults);
        let root = tempfile::tempdir().unwrap();
        fetch_into(&server.remote("cifar10"), root.path(), patience)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_whole(root.path());
        assert_eq!(server.ranges(), ranges, "{name}");
    }
}

#[test]
fn gives_up_on_faults_that_last_and_leaves_nothing_visible() {
    // Faults, words of the error, requests made, bytes kept.
    let cases: Vec<(Vec<Fault>, &str, usize, u64)> = vec![
        (vec![Fault::Status(404)], "answers 404", 1, 0),
        (vec![Fault::Status(403)], "answers 403", 1, 0),
        (vec![Fault::Page], "offers 25 bytes", 1, 0),
        (vec![Fault::Endless], "more than the official", 1, 0),
        (vec![Fault::Status(500); 3], "answers 500; given up after 3 attempts", 3, 0),
        (vec![Fault::Silence; 3], "given up after 3 attempts", 3, 0),
        (vec![Fault::Truncate(30_000), Fault::Stall(0), Fault::Stall(0)], "with 30,000 of", 3, 30_000),
        (vec![Fault::Truncate(30_000), Fault::Page], "offers 25 bytes", 2, 30_000),
    ];
    for (faults, words, requests, kept) in cases {
        let name = format!("{faults:?}");
        let patience = patience(&faults);
        let server = Server::start(archive(&[], ""), faults);
        let root = tempfile::tempdir().unwrap();
        let start = Instant::now();
        let error = fetch_into(&server.remote("cifar10"), root.path(), patience).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(40), "{name}");
        assert!(matches!(error, Error::Network { .. }), "{name}: {error}");
        assert!(error.to_string().contains(words), "{name}: {error}");
        assert_eq!(server.ranges().len(), requests, "{name}");
        assert_eq!(tree(root.path()), [".fetch-cifar10"], "{name}");
        assert_eq!(partial(root.path()).metadata().map_or(0, |m| m.len()), kept, "{name}");
        // The server behaves again: the next call finishes, from where it stopped.
        fetch_into(&server.remote("cifar10"), root.path(), PATIENCE).unwrap();
        assert_whole(root.path());
        let expected = (kept > 0).then(|| format!("bytes={kept}-"));
        assert_eq!(server.ranges().last().unwrap(), &expected, "{name}");
    }
}

#[test]
fn an_unreachable_server_is_an_error_in_bounded_time() {
    // Bound and closed again: nothing listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut remote = Server::start(archive(&[], ""), vec![]).remote("cifar10");
    remote.base = format!("http://127.0.0.1:{port}");
    let root = tempfile::tempdir().unwrap();
    let error = fetch_into(&remote, root.path(), PATIENCE).unwrap_err();
    assert!(error.to_string().contains("given up after 3 attempts"), "{error}");
    remote.base = "no address".into();
    assert!(matches!(fetch_into(&remote, root.path(), PATIENCE), Err(Error::Network { .. })));
}

#[test]
fn a_wrong_checksum_deletes_what_was_received() {
    let server = Server::start(archive(&[], ""), vec![Fault::Corrupt]);
    let root = tempfile::tempdir().unwrap();
    let error = fetch_into(&server.remote("cifar10"), root.path(), PATIENCE).unwrap_err().to_string();
    assert!(error.contains("MD5") && error.contains("deleted"), "{error}");
    assert_eq!(tree(&root.path().join(".fetch-cifar10")), ["lock"]);
    fetch_into(&server.remote("cifar10"), root.path(), PATIENCE).unwrap();
    assert_whole(root.path());
    assert_eq!(server.ranges(), [None, None]);
}

#[test]
fn a_partial_file_from_before_is_resumed_or_found_out() {
    let files = archive(&[], "");
    let whole = files[0].1.clone();
    let cases: [(Vec<u8>, Option<&str>, bool); 4] = [
        (whole[..1_000].to_vec(), Some("bytes=1000-"), true),
        (vec![7; 1_000], Some("bytes=1000-"), false),
        // Complete but not yet renamed: no request at all.
        (whole.clone(), None, true),
        (vec![7; whole.len() + 1], None, true),
    ];
    for (bytes, range, good) in cases {
        let server = Server::start(files.clone(), vec![]);
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(".fetch-cifar10")).unwrap();
        fs::write(partial(root.path()), &bytes).unwrap();
        let result = fetch_into(&server.remote("cifar10"), root.path(), PATIENCE);
        assert_eq!(result.is_ok(), good, "{result:?}");
        let complete = bytes == whole;
        assert_eq!(server.ranges(), if complete { vec![] } else { vec![range.map(String::from)] });
        if !good {
            assert!(!partial(root.path()).exists());
            fetch_into(&server.remote("cifar10"), root.path(), PATIENCE).unwrap();
        }
        assert_whole(root.path());
    }
}

#[test]
fn a_hostile_archive_is_refused_and_nothing_is_written_outside() {
    use tar::EntryType::{Link, Regular, Symlink};
    let label = [255; 3073];
    type Case<'a> = (&'a [(&'a str, tar::EntryType, &'a [u8])], &'a str, &'a str);
    let cases: &[Case] = &[
        (&[("../evil", Regular, b"x")], "", "unexpected entry \"../evil\""),
        (&[("/tmp/rethink-evil", Regular, b"x")], "", "unexpected entry"),
        (&[("cifar-10-batches-bin/../evil", Regular, b"x")], "", "unexpected entry"),
        (&[("cifar-10-batches-bin/extra", Regular, b"x")], "", "unexpected entry"),
        (&[("cifar-10-batches-bin/readme.html", Symlink, b"")], "", "is no file"),
        (&[("cifar-10-batches-bin/readme.html", Link, b"")], "", "is no file"),
        (&[("cifar-10-batches-bin/test_batch.bin", Regular, b"twice")], "", "test_batch.bin"),
        (&[], "data_batch_3.bin", "data_batch_3.bin"),
        (&[("cifar-10-batches-bin/test_batch.bin", Regular, &label)], "test_batch.bin", "label 255"),
    ];
    for (extra, without, words) in cases {
        let server = Server::start(archive(extra, without), vec![]);
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("cache");
        let error = fetch_into(&server.remote("cifar10"), &inner, PATIENCE).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(tree(root.path()), ["cache"]);
        assert_eq!(tree(&inner), [".fetch-cifar10"]);
        assert!(!Path::new("/tmp/rethink-evil").exists());
    }
}

#[test]
fn several_files_appear_together_and_finished_ones_are_kept() {
    let server = Server::start(mnist_remote_files(), vec![Fault::None, Fault::None, Fault::Status(404)]);
    let root = tempfile::tempdir().unwrap();
    assert!(fetch_into(&server.remote("mnist"), root.path(), PATIENCE).is_err());
    assert_eq!(tree(root.path()), [".fetch-mnist"]);
    fetch_into(&server.remote("mnist"), root.path(), PATIENCE).unwrap();
    assert_eq!(tree(root.path()), ["mnist"]);
    assert_eq!(mnist::read(&root.path().join("mnist")).unwrap().train.labels, [5, 0, 4]);
    let paths: Vec<String> = server.requests.lock().unwrap().iter().map(|r| r.0.clone()).collect();
    let name = |i: usize| format!("/data/{}.gz", mnist::FILES[i]);
    assert_eq!(paths, [name(0), name(1), name(2), name(2), name(3)]);
}

#[test]
fn two_downloads_of_the_same_do_not_mix() {
    let server = Server::start(archive(&[], ""), vec![Fault::Stall(1_000)]);
    let root = tempfile::tempdir().unwrap();
    let patience = Patience { stall: Duration::from_secs(2), ..PATIENCE };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| fetch_into(&server.remote("cifar10"), root.path(), patience));
        while server.ranges().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let error = fetch_into(&server.remote("cifar10"), root.path(), PATIENCE).unwrap_err();
        assert!(error.to_string().contains("another process"), "{error}");
        first.join().unwrap().unwrap();
    });
    assert_whole(root.path());
}

#[test]
fn names_what_can_be_fetched() {
    let error = data::fetch::source("shapes10").unwrap_err().to_string();
    assert!(error.contains("cifar10, mnist and cifar100 can"), "{error}");
    // The checksums published with the data sets.
    let cifar10 = data::fetch::source("cifar10").unwrap();
    assert_eq!(cifar10.files[0].md5, "c32a1d4ab5d03f1284b67883e8d87530");
    assert_eq!(cifar10.files[0].bytes, 170_052_171);
    // Without a mirror, which is the user's own choice, everything comes over TLS.
    if std::env::var_os("RETHINK_MIRROR").is_none() {
        for name in fetch::names() {
            let remote = data::fetch::source(name).unwrap();
            assert!(remote.base.starts_with("https://"), "{}", remote.base);
            assert!(remote.files.iter().all(|file| file.md5.len() == 32 && file.bytes > 0));
        }
    }
}
