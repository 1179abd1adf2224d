//! Photographs: ILSVRC's layout, what is left out of it, TF-Slim's preprocessing, table 2 and figure 2a.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rethink::data::augmentation::Augmentation;
use rethink::data::corruption::{Corruption, random_labels};
use rethink::data::imagenet::read_as;
use rethink::data::photographs::{LeftOut, PhotographId, decode_bytes};
use rethink::data::preprocessing::{Area, Photograph};
use rethink::data::{self, Dataset, Format, Places, class_folders, imagenet, shapes10};
use rethink::paper::reported::TABLE_2;
use rethink::paper::{self, fig2a, table2};
use rethink::run::appendix_a;
use rethink::run::config::{RunConfig, Scale, Seeds};
use rethink::run::loader::DataLoader;
use rethink::run::row::{LogRow, StopReason};
use rethink::run::setup;
use rethink::run::train::{Progress, TrainedRun, train};
use rethink::store::digest;
use rethink::study::Study;
use rethink_nn::image::CROP;
use rethink_nn::models::{ModelKind, count_top};
use rethink_tests::{real_data, rethink_bin, root};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const TENCH: &str = "n01440764";
const SPRINGER: &str = "n02102040";
const CHURCH: &str = "n03028079";

fn fixture(name: &str) -> PathBuf {
    root().join("tests/fixtures/photographs").join(name)
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn picture(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).unwrap()
}

/// A folder of three classes: four training photographs each and two test ones.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let kinds = ["colour.jpg", "grey.jpg", "cmyk.jpg", "colour.png"];
    for wnid in [TENCH, SPRINGER, CHURCH] {
        for (i, kind) in kinds.iter().enumerate() {
            // A PNG that is called JPEG is one of ILSVRC's own.
            put(folder.path(), &format!("train/{wnid}/{wnid}_{i}.JPEG"), &picture(kind));
        }
        for (i, kind) in kinds.iter().take(2).enumerate() {
            put(folder.path(), &format!("val/{wnid}/ILSVRC2012_val_0000000{i}.JPEG"), &picture(kind));
        }
    }
    folder
}

fn read(folder: &Path) -> Dataset {
    assert_eq!(Format::of(folder), Some(&imagenet::FORMAT));
    data::open(Some(folder.to_str().unwrap())).unwrap()
}

#[test]
fn classes_are_sorted_and_any_first_part_has_all_of_them() {
    let folder = folder();
    let data = read(folder.path());
    assert_eq!(data.classes, ["tench", "English springer", "church"]);
    assert_eq!(data.train.labels, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
    assert_eq!(data.test.labels, [0, 1, 2, 0, 1, 2]);
    assert_eq!(
        (data.name.as_str(), data.title.as_str()),
        ("imagenet-subset", "ImageNet subset of 3 classes")
    );
    assert_eq!(data.photographs.as_ref().unwrap().report(), None);
    let named = data::open(Some(&format!("imagenet:{}", folder.path().display()))).unwrap();
    assert_eq!(named.fingerprint, data.fingerprint);
    // A notebook that runs elsewhere finds it again.
    let aside = format!("imagenet:{}/train/..", folder.path().display());
    let study = Study::new(Some(&aside), Scale::Smoke, folder.path()).unwrap();
    assert_eq!(study.named, format!("imagenet:{}", folder.path().canonicalize().unwrap().display()));
    let error = data::open(Some("imagenet:/nowhere")).unwrap_err().to_string();
    assert!(error.contains("/nowhere") && error.contains("WordNet"), "{error}");
}

/// The same thousand as in TensorFlow's and timm's lists.
#[test]
fn the_classes_of_ilsvrc_are_known() {
    let ids = &*imagenet::ILSVRC_IDS;
    assert!(ids.len() == imagenet::ILSVRC_CLASSES && ids.is_sorted_by(|a, b| a < b));
    assert!(imagenet::IMAGENETTE.iter().all(|(id, _)| ids.contains(id)));
    let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
    let sum = "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15";
    assert_eq!(data::sha256_hex(text.as_bytes()), sum);
}

/// Two classes in `root/name`, `train` and `held_out`: a colour JPEG and PNG each for training, a grey JPEG to be tested on.
fn own_folder(root: &Path, name: &str, held_out: &str, classes: [&str; 2]) -> PathBuf {
    let folder = root.join(name);
    for class in classes {
        put(&folder, &format!("train/{class}/1.jpg"), &picture("colour.jpg"));
        put(&folder, &format!("train/{class}/2.PNG"), &picture("colour.png"));
        put(&folder, &format!("{held_out}/{class}/1.jpeg"), &picture("grey.jpg"));
    }
    folder
}

/// Folders of any names are classes, in the order of the sorted names, of a set that is not called ImageNet's.
#[test]
fn photographs_of_ones_own_are_read_from_folders_of_any_names() {
    let root = tempfile::tempdir().unwrap();
    for (name, held_out, classes) in [
        ("pets", "val", ["dog", "cat 1"]),
        ("numbers", "test", ["2", "10"]),
        ("own-ids", "val", ["n00000002", "n00000001"]),
        ("one-of-imagenets", "test", [TENCH, "my tench"]),
    ] {
        let folder = own_folder(root.path(), name, held_out, classes);
        // What systems and editors leave.
        put(&folder, "train/.DS_Store", b"");
        put(&folder, "train/.ipynb_checkpoints/1.jpg", &picture("grey.jpg"));
        put(&folder, &format!("train/{}/._1.jpg", classes[0]), b"no photograph");
        assert_eq!(Format::of(&folder), Some(&class_folders::FORMAT));
        let data = data::open(folder.to_str()).unwrap();
        let mut sorted = classes;
        sorted.sort();
        assert_eq!(data.classes, sorted);
        assert_eq!((&data.train.labels[..], &data.test.labels[..]), (&[0, 1, 0, 1][..], &[0, 1][..]));
        assert_eq!(data.title, format!("Photographs in folder {name} (2 classes)"));
        assert_eq!(data.name, format!("photographs-{}", &data.fingerprint[..8]));
        let id = data.id(4, 2);
        assert!(id.published().is_none() && !id.is_comparable());
        assert_eq!(data.photographs.as_ref().unwrap().report(), None);
        assert_eq!(class_folders::FORMAT.count(&folder), Some((4, 2)));
        // The whole path is a name by which it is found again; ImageNet's prefix will do as well.
        let prefixed = Places::default().pick(Some(&format!("imagenet:{}", folder.display()))).unwrap();
        assert!(prefixed.why.starts_with("photographs in class folders, as named: "), "{}", prefixed.why);
        assert_eq!(prefixed.read().unwrap().fingerprint, data.fingerprint);
        assert_eq!(prefixed.name(Some("pets")), folder.canonicalize().unwrap().to_str().unwrap());
        // As they are needed, where the set is large.
        let streamed = class_folders::read_as(&folder, 0).unwrap();
        assert_eq!((&streamed.train.labels, &streamed.classes), (&data.train.labels, &data.classes));
        streamed.photographs.as_ref().unwrap().decode_all().unwrap();
        assert_eq!(streamed.photographs.as_ref().unwrap().report(), None);
        // Not taken for a set that has a name.
        let places = Places { named: Some(folder.clone()), cache: None };
        for named in [None, Some("imagenette"), Some("imagenet")] {
            assert!(places.pick(named).is_err(), "{named:?}");
        }
        assert!(imagenet::read(&folder).unwrap_err().to_string().contains("WordNet"));
    }
}

/// By the folder's name alone they do not differ.
#[test]
fn the_same_photographs_in_another_folder_are_the_same_runs() {
    let root = tempfile::tempdir().unwrap();
    let read = |name: &str, classes: [&str; 2]| {
        data::open(own_folder(root.path(), name, "val", classes).to_str()).unwrap()
    };
    let [pets, copy, others] =
        [read("pets", ["cat", "dog"]), read("copy (1)", ["cat", "dog"]), read("others", ["cat", "dogs"])];
    assert_eq!(copy.title, "Photographs in folder copy (1) (2 classes)");
    let key = |data: &Dataset| config(data, 3).key();
    assert_eq!((key(&pets), pets.id(4, 2)), (key(&copy), copy.id(4, 2)));
    assert_ne!(key(&pets), key(&others));
}

/// Of ImageNet's, a class without photographs counts, and so does `test` where there is no `val`; what is no class is not looked at.
#[test]
fn parts_of_imagenet_keep_their_name() {
    let folder = folder();
    fs::rename(folder.path().join("val"), folder.path().join("test")).unwrap();
    put(folder.path(), "train/notes/list.txt", b"no photograph");
    fs::create_dir(folder.path().join("train/n01443537")).unwrap();
    let data = read(folder.path());
    assert_eq!((&*data.name, &*data.title), ("imagenet-subset", "ImageNet subset of 4 classes"));
    assert_eq!((data.classes[1].as_str(), data.test.labels.len()), ("n01443537", 6));
}

/// Nothing that may have been meant as a photograph or a class is passed over in silence.
#[test]
fn folders_that_are_not_as_expected_are_errors_that_name_them() {
    type Harm<'a> = (&'a dyn Fn(&Path), &'a [&'a str]);
    let text = |folder: &Path, name: &str| put(folder, name, b"RIFF, WEBP");
    let colour = picture("colour.jpg");
    let harms: [Harm; 14] = [
        (&|f| text(f, "train/bird/1.txt"), &["train/bird", "no .jpg, .jpeg or .png", "convert its pictures"]),
        (&|f| text(f, "train/cat/3.webp"), &["train/cat/3.webp", "neither .jpg, .jpeg nor .png; convert it"]),
        (
            &|f| put(f, "train/cat/more/1.jpg", &colour),
            &["train/cat/more", "folder within the folder of a class"],
        ),
        (&|f| fs::create_dir(f.join("val/bird")).unwrap(), &["val/bird", "no .jpg, .jpeg or .png"]),
        (&|f| put(f, "val/bird/1.jpg", &colour), &["val/bird", "no class of this name", "same folders"]),
        (&|f| put(f, "train/loose.jpg", &colour), &["train/loose.jpg", "beside folders of classes"]),
        (&|f| text(f, "train/bird/1.jpg"), &["train/bird", "none of its files is a photograph"]),
        (
            &|f| {
                fs::remove_dir_all(f.join("val")).unwrap();
                put(f, "val/1.jpg", &colour);
            },
            &["val: ", "neither photographs in folders named as those of train", "LOC_val_solution.csv"],
        ),
        (
            &|f| {
                fs::remove_dir_all(f.join("val")).unwrap();
                for (class, id) in [("cat", TENCH), ("dog", SPRINGER)] {
                    fs::rename(f.join("train").join(class), f.join("train").join(id)).unwrap();
                }
            },
            &["pets: photographs in train, but no val or test beside it"],
        ),
        (
            &|f| {
                for split in ["train", "val"] {
                    fs::remove_dir_all(f.join(split).join("cat")).unwrap();
                }
            },
            &["train: 1 folder of photographs, expected one for each class, two or more"],
        ),
        (
            &|f| {
                fs::remove_dir_all(f.join("train")).unwrap();
                text(f, "train/cat/1.webp");
            },
            &["pets: photographs in val, but none in train beside it"],
        ),
        (
            &|f| {
                for split in ["train", "val"] {
                    fs::remove_dir_all(f.join(split).join("cat")).unwrap();
                    fs::remove_dir_all(f.join(split).join("dog")).unwrap();
                }
                put(f, "cat/1.jpg", &colour);
            },
            &[
                "pets: folders of photographs, which are expected one further down: train/CLASS, and val/CLASS",
            ],
        ),
        (
            &|f| {
                fs::remove_dir_all(f.join("train")).and_then(|()| fs::remove_dir_all(f.join("val"))).unwrap()
            },
            &["pets: ", "files for each class (cat/1.jpg)"],
        ),
        (
            &|f| {
                fs::remove_dir_all(f.join("val")).unwrap();
                fs::create_dir(f.join("val")).unwrap();
            },
            &["pets/val: empty; it holds the test photographs"],
        ),
    ];
    for (harm, words) in harms {
        let root = tempfile::tempdir().unwrap();
        let folder = own_folder(root.path(), "pets", "val", ["cat", "dog"]);
        harm(&folder);
        for name in [folder.display().to_string(), format!("imagenet:{}", folder.display())] {
            let error = data::open(Some(&name)).unwrap_err().to_string();
            let words = words.iter().map(|word| match name.starts_with("imagenet:") {
                // Other formats are not looked for.
                true => word.replace("no data_batch_1.bin", "no train"),
                false => word.to_string(),
            });
            words.for_each(|word| assert!(error.contains(&word), "{error:?} lacks {word:?}"));
        }
    }
}

/// Of each class the photographs whose names have the lowest checksums: SHA-256 of "cat/0.jpg", ...; `printf cat/0.jpg | sha256sum`.
#[test]
fn without_a_folder_for_tests_a_fifth_of_each_class_is_held_out() {
    let root = tempfile::tempdir().unwrap();
    for (name, inside) in [("pets", "pets"), ("only-train", "only-train/train")] {
        for (class, count) in [("cat", 12), ("dog", 3), ("rare", 1)] {
            for i in 0..count {
                put(root.path(), &format!("{inside}/{class}/{i}.jpg"), &picture("colour.jpg"));
            }
        }
        let folder = root.path().join(name);
        put(&folder, "notes.txt", b"no class");
        put(root.path(), &format!("{inside}/cat/broken.jpg"), b"no photograph");
        assert_eq!(class_folders::FORMAT.count(&folder), Some((14, 3)));
        let data = data::open(folder.to_str()).unwrap();
        let title = format!("Photographs in folder {name} (3 classes; a fifth of each held out for tests)");
        assert_eq!((&data.title, &data.classes[..]), (&title, &["cat", "dog", "rare"].map(String::from)[..]));
        assert_eq!((data.train.len(), &data.test.labels[..]), (14, &[0, 1][..]));
        let photographs = data.photographs.as_ref().unwrap();
        let prefix = if name == "pets" { "" } else { "train/" };
        let of_test = |i| photographs.path(PhotographId::Test(i)).unwrap().display().to_string();
        let tested: Vec<String> = (0..data.test.len()).map(of_test).collect();
        assert_eq!(tested, ["cat/3.jpg", "dog/2.jpg"].map(|file| format!("{prefix}{file}")));
        assert_eq!(photographs.left_out(data.train.len(), data.test.len()), LeftOut { train: 0, test: 1 });
    }
    let error = data::open(root.path().to_str()).unwrap_err().to_string();
    assert!(
        error.contains("photographs in pets: name that folder, or have train, and val or test"),
        "{error}"
    );
    // The folder of one split is not taken for a data set.
    let root = tempfile::tempdir().unwrap();
    let folder = own_folder(root.path(), "whole", "val", ["cat", "dog"]);
    let error = data::open(folder.join("train").to_str()).unwrap_err().to_string();
    assert!(error.contains("whole/train: the photographs of one split; name the folder above it"), "{error}");
}

/// A class without test photographs is named; an empty `val` is none.
#[test]
fn photographs_that_are_not_all_there_are_read_as_far_as_they_are() {
    let root = tempfile::tempdir().unwrap();
    let folder = own_folder(root.path(), "pets", "test", ["cat", "dog"]);
    fs::create_dir(folder.join("val")).unwrap();
    assert_eq!(data::open(folder.to_str()).unwrap().test.labels, [0, 1]);
    fs::remove_dir_all(folder.join("test/dog")).unwrap();
    let said = Command::new(rethink_bin()).args(["data", "verify"]).arg(&folder).output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    let sentence = "pets/test: no photograph of dog; networks are tested on the other classes alone";
    assert!(said.status.success() && text.contains(sentence), "{text}");
}

/// Only a title that is made of a folder loses it in the key.
#[test]
fn a_title_of_ones_own_is_part_of_the_key() {
    let key = |title: &str| {
        let mut data = shapes10::generate(10, 10, 1).unwrap();
        (data.name, data.title) = ("mine".into(), title.into());
        config(&data, 0).key()
    };
    assert_eq!(key("Photographs in folder a (2 classes)"), key("Photographs in folder b c (2 classes)"));
    assert_eq!(key("CIFAR-10 format (a)"), key("CIFAR-10 format (b)"));
    for (one, other) in [
        ("Photographs in folders of a", "Photographs in folders of b"),
        ("CIFAR-10 format, cleaned", "CIFAR-10 format (a)"),
        ("CIFAR-10 format, cleaned", "CIFAR-10 format, twice"),
    ] {
        assert_ne!(key(one), key(other), "{one}");
    }
}

/// By the two lines of the guide.
#[test]
fn a_network_trains_on_photographs_of_ones_own() {
    let root = tempfile::tempdir().unwrap();
    let folder = own_folder(root.path(), "pets", "val", ["cat", "dog"]);
    let said = Command::new(rethink_bin()).args(["data", "verify"]).arg(&folder).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    for part in ["pets: photographs in class folders", "train: 4 images, 2 to 2 a class", "(2 classes); "] {
        assert!(said.status.success() && text.contains(part), "{text}");
    }
    for input in [&["--input", "64"][..], &[]] {
        let said = Command::new(rethink_bin())
            .args(["run", "--model", "inception", "--scale", "smoke", "--epochs", "1", "--json", "--data"])
            .arg(&folder)
            .args(input)
            .arg("--out")
            .arg(root.path())
            .output()
            .unwrap();
        let (line, errors) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert!(said.status.success(), "{errors}");
        let line: serde_json::Value = serde_json::from_str(line.trim()).unwrap();
        let data = &line["record"]["config"]["data"];
        assert_eq!(data["title"], "Photographs in folder pets (2 classes)");
        assert_eq!((&data["train"], &data["test"]), (&4.into(), &2.into()));
    }
}

#[test]
fn an_input_that_is_too_small_for_a_network_names_the_least_one_that_is_not() {
    let data = read(folder().path());
    let mut config = appendix_a::config_at(
        &data,
        Scale::Smoke,
        ModelKind::InceptionV3,
        Corruption::TrueLabels,
        Seeds::default(),
    );
    (config.input, config.data.train, config.data.test) = (64, 4, 2);
    let error = setup::check(&config, &data).unwrap_err().to_string();
    assert!(error.contains("images of 64x64 are too small for it, 75x75 are not (--input 75)"), "{error}");
    config.input = 75;
    setup::check(&config, &data).unwrap();
}

/// A file that is no photograph has no row, and the numbers of those after it stay.
#[test]
fn predictions_of_photographs_are_those_of_the_run() {
    let root = tempfile::tempdir().unwrap();
    let folder = own_folder(root.path(), "pets", "val", ["cat", "dog"]);
    put(&folder, "train/cat/1a.jpg", b"no photograph");
    let out = root.path().join("out");
    let data = class_folders::read_as(&folder, 0).unwrap();
    let study = Study::of(data, &Study::new(Some("shapes10"), Scale::Smoke, out.to_str().unwrap()).unwrap());
    let mut config = study.config(ModelKind::Mlp1x512, Corruption::TrueLabels);
    (config.width_factor, config.input, config.hyper.epochs) = (0.1, 32, 3);
    let mut lines = Vec::new();
    let run = study.train_all(&[config], &mut |line| lines.push(line.to_string())).unwrap().remove(0);
    assert!(lines.iter().any(|line| line.starts_with("1 file left out: train/cat/1a.jpg (")), "{lines:?}");
    assert_eq!(run.record.left_out, Some(LeftOut { train: 1, test: 0 }));
    let frame = study.predictions(&run).unwrap();
    let numbers =
        |name: &str| -> Vec<u32> { frame.column(name).unwrap().u32().unwrap().iter().flatten().collect() };
    // In turns of the classes: cat/1, dog/1, cat/1a, dog/2, cat/2; then the two test photographs.
    assert_eq!(numbers("image"), [0, 1, 3, 4, 0, 1]);
    assert_eq!(numbers("label"), [0, 1, 1, 0, 0, 1]);
    assert_eq!(numbers("trained_on"), [0, 1, 1, 0]);
    let right: Vec<bool> = frame.column("right").unwrap().bool().unwrap().iter().flatten().collect();
    let share = |rows: &[bool]| rows.iter().filter(|right| **right).count() as f64 / rows.len() as f64;
    assert_eq!(Some(share(&right[..4])), run.record.train_accuracy);
    assert_eq!(Some(share(&right[4..])), run.record.test_accuracy);
    let files: Vec<&str> = frame.column("file").unwrap().str().unwrap().iter().flatten().collect();
    assert_eq!((files[2], files[5]), ("train/dog/2.PNG", "val/dog/1.jpeg"));
    let [train, test] = study.inputs(&run).unwrap();
    assert_eq!((train.labels, test.labels), (vec![0, 1, 1, 0], vec![0, 1]));
    assert_eq!((train.images.len(), test.images.len()), (4 * 3 * 32 * 32, 2 * 3 * 32 * 32));
}

#[test]
fn the_fingerprint_is_that_of_names_labels_and_contents() {
    let folder = folder();
    let before = read(folder.path()).fingerprint;
    assert_eq!(read(folder.path()).fingerprint, before);
    // Another picture of the same length.
    let path = format!("train/{TENCH}/{TENCH}_0.JPEG");
    let mut bytes = picture("colour.jpg");
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    put(folder.path(), &path, &bytes);
    assert_ne!(read(folder.path()).fingerprint, before);
}

#[test]
fn what_is_no_photograph_is_left_out_counted_and_named() {
    let folder = folder();
    let colour = picture("colour.jpg");
    put(folder.path(), &format!("train/{TENCH}/empty.JPEG"), b"");
    put(folder.path(), &format!("train/{SPRINGER}/text.JPEG"), b"no photograph at all");
    put(folder.path(), &format!("train/{CHURCH}/cut.JPEG"), &colour[..60]);
    put(folder.path(), &format!("train/{CHURCH}/half.JPEG"), &colour[..1000]);
    put(folder.path(), &format!("train/{CHURCH}/half.PNG"), &picture("colour.png")[..1000]);
    put(folder.path(), &format!("train/{CHURCH}/notes.txt"), b"not looked at");
    // The size of a frame header: 65,500 x 65,500 would be 12.9 GB.
    let mut huge = colour.clone();
    let frame = huge.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    huge[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    put(folder.path(), &format!("val/{TENCH}/huge.JPEG"), &huge);
    let data = read(folder.path());
    assert_eq!((data.train.len(), data.test.len()), (12, 6));
    let skipped = data.photographs.as_ref().unwrap().skipped();
    let names: Vec<String> = skipped.iter().map(|(path, _)| path.display().to_string()).collect();
    let expected = [
        format!("train/{TENCH}/empty.JPEG"),
        format!("train/{SPRINGER}/text.JPEG"),
        format!("train/{CHURCH}/cut.JPEG"),
        format!("train/{CHURCH}/half.JPEG"),
        format!("train/{CHURCH}/half.PNG"),
        format!("val/{TENCH}/huge.JPEG"),
    ];
    assert_eq!(names, expected);
    let report = data.photographs.as_ref().unwrap().report().unwrap();
    assert!(report.starts_with("6 files left out: ") && report.contains("empty.JPEG (empty)"), "{report}");

    let said = Command::new(rethink_bin()).args(["data", "verify"]).arg(folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(
        said.status.success() && text.contains("train: 12 images") && text.contains("6 files left out"),
        "{text}"
    );
}

#[test]
fn a_set_without_photographs_is_an_error_that_names_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), &format!("train/{TENCH}/a.JPEG"), b"");
    put(folder.path(), &format!("val/{TENCH}/a.JPEG"), &picture("colour.jpg"));
    let error = data::open(Some(folder.path().to_str().unwrap())).unwrap_err().to_string();
    assert!(error.contains("train: one folder of a class; there have to be two or more"), "{error}");
    put(folder.path(), &format!("train/{SPRINGER}/a.JPEG"), b"");
    let error = data::open(Some(folder.path().to_str().unwrap())).unwrap_err().to_string();
    assert!(error.contains("train: no photograph"), "{error}");
    put(folder.path(), &format!("train/{TENCH}/a.JPEG"), &picture("colour.jpg"));
    put(folder.path(), &format!("val/{CHURCH}/a.JPEG"), &picture("colour.jpg"));
    let error = data::open(Some(folder.path().to_str().unwrap())).unwrap_err().to_string();
    assert!(error.contains(CHURCH) && error.contains("no class of this name"), "{error}");
}

#[test]
fn a_flat_val_takes_its_labels_from_the_official_lists() {
    let folder = folder();
    fs::remove_dir_all(folder.path().join("val")).unwrap();
    for i in 1..=4 {
        put(folder.path(), &format!("val/ILSVRC2012_val_0000000{i}.JPEG"), &picture("colour.jpg"));
    }
    let open = || data::open(Some(folder.path().to_str().unwrap()));
    let error = open().unwrap_err().to_string();
    assert!(error.contains("LOC_val_solution.csv") && error.contains("ground_truth"), "{error}");

    let devkit = "ILSVRC2012_devkit_t12/data";
    let truth = format!("{devkit}/ILSVRC2012_validation_ground_truth.txt");
    put(folder.path(), &truth, b"3\n1\n2\n3\n");
    assert!(open().unwrap_err().to_string().contains("meta.mat"));
    put(folder.path(), &format!("{devkit}/meta.mat"), &picture("meta.mat"));
    // The kit counts springer, church, tench; test photographs come class by class in turns.
    let data = open().unwrap();
    assert_eq!(data.test.labels, [0, 1, 2, 0]);
    for (text, problem) in
        [("3\n1\n2\n", "3 labels for 4"), ("3\n1\n2\n9\n", "line 4: 9"), ("3\n1\n2\n4\n", "line 4: 4")]
    {
        put(folder.path(), &truth, text.as_bytes());
        let error = open().unwrap_err().to_string();
        assert!(error.contains("ground_truth.txt") && error.contains(problem), "{error}");
    }

    let list = "ImageId,PredictionString\nILSVRC2012_val_00000002,n03028079 1 2 3 4 \nILSVRC2012_val_00000001,n02102040 1 2 3 \
                4 n02102040 5 6 7 8 \nILSVRC2012_val_00000004,n01440764 1 2 3 4 \n";
    put(folder.path(), "LOC_val_solution.csv", list.as_bytes());
    assert!(open().unwrap_err().to_string().contains("no line for ILSVRC2012_val_00000003"));
    let list = format!("{list}ILSVRC2012_val_00000003,n02102040 1 2 3 4\n");
    put(folder.path(), "LOC_val_solution.csv", list.as_bytes());
    assert_eq!(open().unwrap().test.labels, [0, 1, 2, 1]);
}

#[test]
fn every_colour_space_becomes_red_green_and_blue() {
    let decode = |name: &str| decode_bytes(&picture(name)).unwrap();
    let png = decode("colour.png");
    assert_eq!((png.width, png.height), (56, 40));
    assert_eq!(png.rgb[..3], [0, 0, 127]);
    assert_eq!(png.rgb[3 * 55..3 * 55 + 2], [255, 0], "red rises to the right");
    let jpeg = decode("colour.jpg");
    let differences = png.rgb.iter().zip(&jpeg.rgb).map(|(a, b)| u64::from(a.abs_diff(*b)));
    assert!((differences.sum::<u64>() as f64 / png.rgb.len() as f64) < 4.0, "JPEG at quality 95");
    let grey = decode("grey.jpg");
    assert!(grey.rgb.chunks(3).all(|p| p[0] == p[1] && p[1] == p[2]));
    let cmyk = decode("cmyk.jpg");
    for (got, wanted) in cmyk.rgb[3 * 300..].iter().zip([200u8, 100, 50]) {
        assert!(got.abs_diff(wanted) <= 3, "{:?}", &cmyk.rgb[900..903]);
    }
}

#[test]
fn resizing_is_tensorflows() {
    let expected: serde_json::Value = serde_json::from_slice(&picture("expected.json")).unwrap();
    let numbers = |name: &str| -> Vec<f64> {
        expected[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    };
    let photograph = decode_bytes(&picture("colour.png")).unwrap();
    let area = Area::central(photograph.height, photograph.width);
    let given = [area.top, area.left, area.height, area.width].map(|n| n as f64);
    assert_eq!(given.to_vec(), numbers("central"));
    let mut small = vec![0.0; 3 * 16 * 16];
    photograph.resized(area, 16, &mut small);
    let mut large = vec![0.0; 3 * 75 * 75];
    photograph.resized(area, 75, &mut large);
    let row: Vec<f32> = (0..3).flat_map(|c| large[(c * 75 + 37) * 75..][..75].to_vec()).collect();
    for (ours, theirs) in [(small, numbers("side 16")), (row, numbers("side 75, row 37"))] {
        assert_eq!(ours.len(), theirs.len());
        for (a, b) in ours.iter().zip(&theirs) {
            assert!((f64::from(*a) - b).abs() < 2e-5, "{a} {b}");
        }
    }
}

#[test]
fn random_areas_lie_inside_and_have_the_stated_sizes() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (height, width) = (300, 400);
    let areas: Vec<Area> = (0..4000).map(|_| Area::random(height, width, &mut rng)).collect();
    for a in &areas {
        assert!(
            a.height > 0 && a.width > 0 && a.top + a.height <= height && a.left + a.width <= width,
            "{a:?}"
        );
        let (share, ratio) = ((a.height * a.width) as f64 / 120_000.0, a.width as f64 / a.height as f64);
        assert!((0.049..=1.001).contains(&share) && (0.74..1.35).contains(&ratio), "{a:?}");
    }
    // Corners are spread: the mean free space is halved.
    let mean = |f: &dyn Fn(&Area) -> f64| areas.iter().map(f).sum::<f64>() / areas.len() as f64;
    let free = mean(&|a| (width - a.width) as f64);
    assert!((mean(&|a| a.left as f64) / free - 0.5).abs() < 0.03);
    // A strip so narrow that no draw fits is taken whole.
    let strip = Area::random(1000, 2, &mut rng);
    assert_eq!(strip, Area { top: 0, left: 0, height: 1000, width: 2 });
}

fn config(data: &Dataset, at: usize) -> RunConfig {
    table2::configure(&TABLE_2[at], data, Scale::Smoke, Seeds::default())
}

#[test]
fn random_labels_stay_the_same_while_augmented_images_change() {
    let folder = folder();
    let data = read(folder.path());
    let mut config = RunConfig { corruption: Corruption::RandomLabels, ..config(&data, 0) };
    assert_eq!((config.input, config.hyper.augment), (75, Augmentation::IMAGENET));
    let (train, test) = (config.data.train, config.data.test);
    let order: Vec<u32> = (0..train as u32).rev().collect();
    let batches = |config: &RunConfig| {
        let examples = DataLoader::new(config, &data, train, test).unwrap();
        [1, 2, 1].map(|epoch| examples.batch(&order, &examples.choices(epoch).unwrap()).unwrap())
    };
    let [first, second, again] = batches(&config);
    let mut drawn = random_labels(train, 3, config.seeds.data);
    drawn.reverse();
    assert_eq!(first.1, drawn);
    assert_eq!(first.1, second.1);
    assert_ne!(first.0, second.0, "augmentation is drawn anew in each epoch");
    assert_eq!(first, again, "and the same for the same epoch");
    assert!(first.0.iter().all(|v| (-1.0..=1.0).contains(v)));
    // Switched off, an image is its central part in every epoch.
    (config.hyper.random_crop, config.hyper.augment) = (false, Augmentation::default());
    let [first, second, _] = batches(&config);
    assert_eq!(first, second);
    let mut central = vec![0.0; 3 * 75 * 75];
    let last = PhotographId::Train(train - 1);
    data.photographs
        .as_ref()
        .unwrap()
        .with(last, |p| p.resized(Area::central(p.height, p.width), 75, &mut central))
        .unwrap();
    rethink::data::preprocessing::centre_values(&mut central);
    assert_eq!(first.0[..central.len()], central[..]);
}

/// Small images, the same enlarged, and photographs: what is trained on are the labels that the corruption says, or there is no run.
#[test]
fn every_corruption_trains_on_its_own_labels_whatever_the_images_are() {
    let folder = folder();
    let photographs = read(folder.path());
    let small = shapes10::generate(30, 10, 1).unwrap();
    for form in Corruption::forms() {
        let corruption: Corruption = form.replace(":P", ":0.5").parse().unwrap();
        let setting = |data: &Dataset| {
            appendix_a::config_at(data, Scale::Smoke, ModelKind::Mlp1x512, corruption, Seeds::default())
        };
        let enlarged = RunConfig { input: 40, ..setting(&small) };
        let photographed = RunConfig { corruption, ..config(&photographs, 3) };
        for (config, data) in [(setting(&small), &small), (enlarged, &small), (photographed, &photographs)] {
            let n = config.data.train;
            let expected = corruption.labels(&data.train.labels[..n], data.classes.len(), config.seeds.data);
            let order: Vec<u32> = (0..n as u32).collect();
            let loader = DataLoader::new(&config, data, n, config.data.test);
            let trained = loader.and_then(|loader| Ok(loader.batch(&order, &loader.choices(1)?)?.1));
            match (expected, trained) {
                (Ok(expected), Ok(trained)) => assert_eq!(trained, expected, "{form}"),
                // A corruption of pixels, which only small images have.
                (Err(_), Ok(trained)) => {
                    assert_eq!((&trained[..], config.input), (&data.train.labels[..n], CROP), "{form}");
                }
                (expected, Err(error)) => {
                    assert!(
                        expected.is_err() && error.to_string().contains("only labels"),
                        "{form}: {error}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_large_set_is_decoded_as_it_is_needed_and_gives_the_same_images() {
    let folder = folder();
    let kept = read(folder.path());
    let streamed = read_as(folder.path(), 0).unwrap();
    assert_eq!(streamed.train.labels, kept.train.labels);
    let config = RunConfig { input: 75, ..config(&kept, 0) };
    let order: Vec<u32> = (0..12).collect();
    let examples = |data: &Dataset| DataLoader::new(&config, data, 12, 6).unwrap();
    let (a, b) = (examples(&kept), examples(&streamed));
    let choices = a.choices(1).unwrap();
    assert_eq!(b.check(None).unwrap(), None);
    assert_eq!(a.batch(&order, &choices).unwrap(), b.batch(&order, &choices).unwrap());

    // What is no photograph is known before the first step, and left out of its batches.
    let path = format!("train/{SPRINGER}/{SPRINGER}_1.JPEG");
    put(folder.path(), &path, b"broken before the set is opened");
    put(folder.path(), &format!("val/{CHURCH}/empty.JPEG"), b"");
    let opened = read_as(folder.path(), 0).unwrap();
    let c = examples(&opened);
    assert_eq!(c.check(None).unwrap(), Some(LeftOut { train: 1, test: 1 }));
    let report = opened.photographs.as_ref().unwrap().report().unwrap();
    assert!(report.starts_with("2 files left out") && report.contains(SPRINGER), "{report}");
    assert_eq!(c.present(&order).to_vec(), [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]);
    assert_eq!(c.present(&[4, 7]).to_vec(), [7]);
    let image = 3 * 75 * 75;
    let (whole, _) = a.batch(&order, &choices).unwrap();
    let (images, labels) = c.batch(&order, &choices).unwrap();
    assert_eq!((images.len(), labels.len()), (11 * image, 11));
    assert_eq!(images[..4 * image], whole[..4 * image]);
    assert_eq!(images[4 * image..], whole[5 * image..]);

    // What changes once the set is open is an error that names it: another picture, one cut short, one that is gone.
    let error = b.batch(&order, &choices).unwrap_err().to_string();
    assert!(error.contains(&path) && error.contains("changed since"), "{error}");
    fs::remove_file(folder.path().join(&path)).unwrap();
    let error = b.batch(&order, &choices).unwrap_err().to_string();
    assert!(error.contains(&path) && error.contains("No such file"), "{error}");
    let later = read_as(folder.path(), 0).unwrap();
    let mut pixels = picture("grey.jpg");
    let last = pixels.len() - 3;
    pixels[last] ^= 1;
    std::thread::sleep(std::time::Duration::from_millis(20));
    put(folder.path(), &format!("train/{TENCH}/{TENCH}_1.JPEG"), &pixels);
    let error = later.photographs.as_ref().unwrap().decode_all().unwrap_err().to_string();
    assert!(error.contains(&format!("{TENCH}_1.JPEG")) && error.contains("changed since"), "{error}");
}

/// A run of four epochs of `data`, of which it leaves after two; then `harm` is done, and it is taken up again.
fn interrupted(
    data: &Dataset,
    folder: &Path,
    harm: impl FnOnce(),
) -> (RunConfig, rethink::Result<Option<TrainedRun>>) {
    let mut config = config(data, 3);
    (config.width_factor, config.hyper.epochs) = (0.03, 4);
    let progress = |leave_after| Progress { leave_after, ..kept(folder) };
    assert!(train(&config, data, progress(Some(2))).unwrap().is_none());
    harm();
    let ended = train(&config, data, progress(None));
    (config, ended)
}

fn kept(folder: &Path) -> Progress<'static> {
    Progress {
        folder: Some(folder.into()),
        checkpoint_every: Duration::ZERO,
        ..Progress::quiet(Box::leak(Box::new(|_: &LogRow| ())))
    }
}

/// The whole folder, a split, one file; gone, cut short, replaced, no longer a file: each stops the run, which says which
/// file it is, keeps its checkpoint, and ends as an undisturbed run does once the files are back.
#[test]
fn photographs_that_become_unreadable_stop_the_run_which_goes_on_once_they_are_back() {
    let folder = folder();
    let file = folder.path().join(format!("train/{CHURCH}/{CHURCH}_2.JPEG"));
    let (aside, safe) = (folder.path().join("aside"), fs::read(&file).unwrap());
    let data = || read_as(folder.path(), 0).unwrap();
    let alone = tempfile::tempdir().unwrap();
    let undisturbed = interrupted(&data(), alone.path(), || ()).1.unwrap().unwrap();
    assert_eq!((undisturbed.ending, undisturbed.left_out), (StopReason::Completed, None));
    let move_away = |name: &str| fs::rename(folder.path().join(name), &aside).unwrap();
    let rewrite = |bytes: &[u8]| {
        std::thread::sleep(Duration::from_millis(20));
        fs::write(&file, bytes).unwrap();
    };
    type Harm<'a> = (&'a str, &'a dyn Fn(), &'a dyn Fn());
    let harms: [Harm; 4] = [
        ("train/", &|| move_away("train"), &|| fs::rename(&aside, folder.path().join("train")).unwrap()),
        ("val/", &|| move_away("val"), &|| fs::rename(&aside, folder.path().join("val")).unwrap()),
        (CHURCH, &|| fs::remove_file(&file).unwrap(), &|| rewrite(&safe)),
        (CHURCH, &|| rewrite(&safe[..safe.len() / 2]), &|| rewrite(&safe)),
    ];
    for (named, harm, mend) in harms {
        let partial = tempfile::tempdir().unwrap();
        // The set is opened before, as by a run that is at work.
        let opened = data();
        let (config, ended) = interrupted(&opened, partial.path(), harm);
        let error = ended.unwrap_err().to_string();
        assert!(error.starts_with("read the photograph: ") && error.contains(named), "{error}");
        assert!(partial.path().join("checkpoint.safetensors").is_file(), "{error}");
        mend();
        let again = train(&config, &data(), kept(partial.path())).unwrap().unwrap();
        assert_eq!(digest(&again.rows), digest(&undisturbed.rows), "{named}");
        assert_eq!(again.ending, StopReason::Completed);
    }
}

/// Other files left out than when the run began: it would be two runs in one.
#[test]
fn a_run_goes_on_only_with_the_files_that_it_began_with() {
    let folder = folder();
    let file = folder.path().join(format!("train/{CHURCH}/{CHURCH}_2.JPEG"));
    let safe = fs::read(&file).unwrap();
    let open = || read_as(folder.path(), 0).unwrap();
    fs::write(&file, vec![7; safe.len()]).unwrap();
    let partial = tempfile::tempdir().unwrap();
    let mut config = config(&open(), 3);
    (config.width_factor, config.hyper.epochs) = (0.03, 2);
    let leave = Progress { leave_after: Some(1), ..kept(partial.path()) };
    assert!(train(&config, &open(), leave).unwrap().is_none());
    // Of the same length: the data set's fingerprint, which is of names, lengths and labels, is the same.
    fs::write(&file, &safe).unwrap();
    let error = train(&config, &open(), kept(partial.path())).unwrap_err().to_string();
    assert!(
        error.contains("nothing left out, but the run began with 1 file left out (1 training, 0 test)"),
        "{error}"
    );
    fs::write(&file, vec![7; safe.len()]).unwrap();
    let ended = train(&config, &open(), kept(partial.path())).unwrap().unwrap();
    let left = Some(LeftOut { train: 1, test: 0 });
    assert_eq!(ended.left_out, left);
    let run = rethink::store::finish(&config, Scale::Smoke, &ended).unwrap();
    assert_eq!(run.record.left_out, left);
    let said = rethink::study::summary(&run.record);
    assert!(said.contains(", 1 file left out (1 training, 0 test), "), "{said}");
    let study = Study::new(Some("shapes10"), Scale::Smoke, partial.path()).unwrap();
    let line = study.scale_line(&[run]);
    assert!(line.ends_with("scale smoke, 1 file left out (1 training, 0 test)"), "{line}");
}

/// By the command, in the mode of large sets, which tests can ask for.
#[test]
fn what_is_left_out_is_recorded_and_nothing_left_is_an_error() {
    let (folder, out) = (folder(), tempfile::tempdir().unwrap());
    put(folder.path(), &format!("train/{TENCH}/{TENCH}_0.JPEG"), b"text");
    put(folder.path(), &format!("val/{TENCH}/empty.JPEG"), b"");
    let run = |at_once: &str| {
        let mut command = Command::new(rethink_bin());
        command.args(["run", "--model", "inception-v3", "--input", "75", "--width", "0.03", "--epochs", "1"]);
        command
            .args(["--scale", "smoke", "--json", "--data"])
            .arg(folder.path())
            .arg("--out")
            .arg(out.path());
        command.env("RETHINK_DECODED_AT_ONCE", at_once).output().unwrap()
    };
    let said = run("0");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let line: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(line["record"]["left_out"], serde_json::json!({ "train": 1, "test": 1 }));
    let said = run("many");
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!said.status.success() && text.contains("RETHINK_DECODED_AT_ONCE"), "{text}");
    for wnid in [TENCH, SPRINGER, CHURCH] {
        for i in 0..2 {
            put(folder.path(), &format!("val/{wnid}/ILSVRC2012_val_0000000{i}.JPEG"), b"text");
        }
    }
    let said = run("0");
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!said.status.success() && text.contains("no photograph is left"), "{text}");
}

#[test]
fn pixels_of_photographs_are_not_corrupted_and_kernels_not_made_of_them() {
    let folder = folder();
    let data = read(folder.path());
    let config = RunConfig { corruption: Corruption::RandomPixels, ..config(&data, 3) };
    let error = DataLoader::new(&config, &data, 12, 6).err().unwrap().to_string();
    assert!(error.contains("only labels can be corrupted"), "{error}");
    let out = tempfile::tempdir().unwrap();
    let study = Study::new(folder.path().to_str(), Scale::Smoke, out.path()).unwrap();
    let error = study.measurements("theorem1").unwrap_err().to_string();
    assert!(error.contains("photographs"), "{error}");
    let ids: Vec<&str> = paper::suiting(&data).iter().map(|r| r.id).collect();
    assert_eq!(ids, ["table2", "fig2a"]);
}

#[test]
fn small_images_are_enlarged_for_a_network_that_needs_it() {
    let data = data::open(Some("shapes10")).unwrap();
    let config = config(&data, 3);
    let examples = DataLoader::new(&config, &data, 8, 4).unwrap();
    let (images, labels) = examples.batch(&[5], &examples.choices(1).unwrap()).unwrap();
    assert_eq!((images.len(), labels), (3 * 75 * 75, vec![data.train.labels[5]]));
    let planes = &data.train.images[5 * 3072..6 * 3072];
    let rgb = (0..1024).flat_map(|i| [0, 1, 2].map(|c| planes[c * 1024 + i])).collect();
    let photograph = Photograph { width: 32, height: 32, rgb };
    let mut central = vec![0.0; 3 * 75 * 75];
    photograph.resized(Area::central(32, 32), 75, &mut central);
    rethink::data::preprocessing::centre_values(&mut central);
    assert_eq!(images, central);
}

#[test]
fn top_five_counts_labels_among_the_five_highest() {
    let scores = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let count = |label| count_top(5, &scores, &[label], 7);
    assert_eq!([0, 1, 2, 6].map(count), [0, 0, 1, 1]);
    assert_eq!(count_top(5, &[0.0, f32::NAN], &[0], 2), 0, "a network that diverged is not right");
}

#[test]
fn table_2_has_the_papers_rows_and_switches() {
    let folder = folder();
    let data = read(folder.path());
    let configs = table2::RECIPE.runs(&data, Scale::Paper);
    assert_eq!((configs.len(), configs[0].input, configs[0].width_factor), (7, 299, 1.0));
    let switches: Vec<[bool; 4]> = configs
        .iter()
        .map(|c| {
            let random = c.corruption == Corruption::RandomLabels;
            [c.hyper.random_crop, !c.hyper.without_dropout, c.hyper.weight_decay > 0.0, random]
        })
        .collect();
    let rows = TABLE_2.map(|r| [r.augmented, r.dropout, r.weight_decay, r.random_labels]);
    assert_eq!(switches, rows);
    // Figure 2a is made of three of them.
    let shown: Vec<String> = fig2a::RECIPE.runs(&data, Scale::Paper).iter().map(RunConfig::key).collect();
    let keys: Vec<String> = configs.iter().map(RunConfig::key).collect();
    assert_eq!(shown, [0, 2, 3].map(|i| keys[i].clone()));
}

#[test]
fn table_2_is_made_of_photographs_by_the_command() {
    let (folder, out) = (folder(), tempfile::tempdir().unwrap());
    let rethink = |action: &[&str], threads: &str| {
        let mut command = Command::new(rethink_bin());
        command.args(action).args(["--scale", "smoke", "--json", "--threads", threads, "--data"]);
        let said = command.arg(folder.path()).arg("--out").arg(out.path()).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let lines = String::from_utf8(said.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<serde_json::Value>>()
    };
    let records = rethink(&["sweep", "table2"], "2");
    assert_eq!(records.len(), 7);
    for record in &records {
        let record = &record["record"];
        assert_eq!(record["config"]["data"]["title"], "ImageNet subset of 3 classes");
        // Of three classes every one is among the five highest.
        assert_eq!((&record["train_top5"], &record["test_top5"]), (&1.0.into(), &1.0.into()));
    }
    let study = Study::new(folder.path().to_str(), Scale::Smoke, out.path()).unwrap();
    let runs = study.runs("table2").unwrap();
    assert!(runs.iter().zip(&TABLE_2).all(|(run, row)| table2::belongs(row, run)));
    let frame = table2::frame(&runs).unwrap();
    assert_eq!(frame.height(), 8);
    let text =
        |name: &str, at: usize| frame.column(name).unwrap().str().unwrap().get(at).unwrap().to_string();
    assert_eq!(text("test top-1 (paper)", 2), "67.18 (72.57)");
    assert_eq!(text("test top-5 (paper)", 7), "83.6");
    let test = 100.0 * runs[2].record.test_accuracy.unwrap();
    assert!(text("test top-1", 2).starts_with(&format!("{test:.2} (")), "{}", text("test top-1", 2));
    let figure = study.results(&fig2a::RECIPE, &mut |_| {}).unwrap();
    assert!(fig2a::RECIPE.verdict(&figure).unwrap().ours().contains("nothing"));
}

#[test]
fn imagenette_is_read_as_it_is() {
    let Some(data) = real_data("imagenette", "imagenette_is_read_as_it_is") else { return };
    assert_eq!((data.train.len(), data.test.len()), (2_000, 500));
    assert_eq!(data.title, "Imagenette subset");
    assert_eq!(data.classes[..2], ["tench", "English springer"]);
    let photographs = data.photographs.as_ref().unwrap();
    assert_eq!(photographs.report(), None);
    let grey = (0..2_000).filter(|&i| {
        let grey = photographs
            .with(PhotographId::Train(i), |p| p.rgb.chunks(3).all(|p| p[0] == p[1] && p[1] == p[2]));
        grey.unwrap() == Some(true)
    });
    let test = (0..500).filter(|&i| {
        let grey = photographs
            .with(PhotographId::Test(i), |p| p.rgb.chunks(3).all(|p| p[0] == p[1] && p[1] == p[2]));
        grey.unwrap() == Some(true)
    });
    assert!(grey.count() + test.count() >= 52, "52 files are grey");
    let counts = (0..10).map(|c| data.train.labels[..1_000].iter().filter(|l| **l == c).count());
    assert!(counts.into_iter().all(|n| n == 100), "the first thousand are balanced");
}
