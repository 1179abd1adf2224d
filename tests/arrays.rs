//! Data sets in NumPy's files. The good ones were written by NumPy, by `fixtures/arrays.py`.

use rethink::data::{self, Places, arrays};
use std::fs;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/arrays").join(name)
}

/// The value in fixtures: of image `i`, channel `c`, row `y`, column `x`.
fn value([i, c, y, x]: [usize; 4]) -> u8 {
    (50 * i + 20 * c + 5 * y + x) as u8
}

fn planes(images: usize, channels: usize) -> Vec<u8> {
    let of = |i| (0..channels).flat_map(move |c| (0..20).map(move |at| value([i, c, at / 5, at % 5])));
    (0..images).flat_map(of).collect()
}

#[test]
fn reads_what_numpy_writes() {
    for (name, channels) in [("channels-last", 3), ("channels-first", 3), ("grey", 1), ("one-channel", 1)] {
        let data = arrays::read(&fixture(name)).unwrap();
        assert_eq!(data.shape, [channels, 4, 5], "{name}");
        assert_eq!(data.train.images, planes(4, channels), "{name}");
        assert_eq!(data.test.images, planes(2, channels), "{name}");
        assert_eq!(
            (&data.train.labels[..], &data.test.labels[..]),
            (&[1, 0, 2, 1][..], &[1, 0][..]),
            "{name}"
        );
        let classes = if name == "grey" { ["cat", "dog", "horse"] } else { ["0", "1", "2"] };
        assert_eq!(data.classes, classes, "{name}");
        assert_eq!(data.title, format!("NumPy arrays ({name})"));
        assert_eq!(data.name, format!("arrays-{}", &data.fingerprint[..8]));
    }
    // The same images in another form are the same data set.
    let [last, first] = ["channels-last", "channels-first"].map(|name| arrays::read(&fixture(name)).unwrap());
    assert_eq!(last.fingerprint, first.fingerprint);
}

#[test]
fn a_folder_of_arrays_is_a_data_set_of_the_command_line() {
    let folder = fixture("grey");
    let choice = Places::default().pick(folder.to_str()).unwrap();
    assert!(choice.why.starts_with("NumPy arrays, as named: "), "{}", choice.why);
    assert_eq!(choice.read().unwrap().fingerprint, arrays::read(&folder).unwrap().fingerprint);
    assert_eq!(data::Format::of(&folder).unwrap().count(&folder), Some((4, 2)));
    let said = data::verify(&folder).unwrap();
    let names: Vec<&str> = said.files.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy"]);
    assert!(said.verdict.starts_with("the structure is right"), "{}", said.verdict);
}

/// A file as NumPy writes it: version 1.0, a header of `descr`, order and shape, and the bytes.
fn npy(descr: &str, fortran: bool, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), bytes].concat()
}

#[test]
fn what_does_not_fit_is_named_with_file_and_place() {
    let i8s = |labels: &[i8]| {
        npy(
            "'|i1'",
            false,
            &format!("({},)", labels.len()),
            &labels.iter().map(|l| *l as u8).collect::<Vec<_>>(),
        )
    };
    let images = |shape: &str, bytes: usize| npy("'|u1'", false, shape, &vec![7; bytes]);
    let (train_images, train_labels, test_images, test_labels) =
        ("train-images.npy", "train-labels.npy", "test-images.npy", "test-labels.npy");
    let long = {
        let mut bytes = images("(4, 4, 5)", 80);
        (bytes[6], bytes[8], bytes[9]) = (2, 0xff, 0xff);
        bytes
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (train_images, b"PK".to_vec(), "not as numpy.save writes arrays"),
        (train_images, vec![], "not as numpy.save writes arrays"),
        (train_images, long, "not as numpy.save writes arrays"),
        (
            train_images,
            npy("'<f4'", false, "(4, 4, 5)", &[0; 320]),
            "numbers of type <f4, expected uint8, 0 to 255",
        ),
        (train_images, npy("'|b1'", false, "(4, 4, 5)", &[0; 80]), "numbers of type |b1, expected uint8"),
        (
            train_images,
            npy("'|O'", false, "(4, 4, 5)", &[0; 80]),
            "an array of Python objects, expected one of numbers",
        ),
        (train_images, npy("[('a', '|u1')]", false, "(4, 4, 5)", &[0; 80]), "an array of records"),
        (train_images, npy("'|u1'", true, "(4, 4, 5)", &[0; 80]), "save numpy.ascontiguousarray(array)"),
        (train_images, images("(4, 4, 5)", 79), "79 bytes after the header, which says 4 x 4 x 5 of |u1"),
        (train_images, images("(4, 4, 5)", 81), "81 bytes after the header"),
        (train_images, images("(4294967296, 4294967296, 5)", 80), "80 bytes after the header"),
        (train_images, images("(0, 4, 5)", 0), "an array of 0 x 4 x 5: no images"),
        (train_images, images("(4, 20)", 80), "an array of 4 x 20, expected n x height x width"),
        (train_images, images("(4, 2, 2, 5)", 80), "an array of 4 x 2 x 2 x 5, expected"),
        (train_images, images("(4, 3, 5, 3)", 180), "an array of 4 x 3 x 5 x 3, expected"),
        (train_labels, i8s(&[1, 0, 2]), "3 labels for the 4 images of "),
        (train_labels, i8s(&[1, 0, -2, 1]), "label 2 is -2, expected 0 to 65,535"),
        (
            train_labels,
            npy("'<i8'", false, "(4,)", &[[1; 8], [0; 8], [0; 8], [0; 8]].concat()),
            "label 0 is 72340172838076673",
        ),
        (train_labels, npy("'<f8'", false, "(4,)", &[0; 32]), "labels of type <f8, expected integers"),
        (
            train_labels,
            npy("'|u1'", false, "(2, 2)", &[0; 4]),
            "an array of 2 x 2, expected a label an image",
        ),
        (train_labels, i8s(&[0, 0, 0, 0]), "one class"),
        (test_labels, i8s(&[1, 3]), "label 1 is 3, expected 0 to 2: there are 3 classes"),
        (test_images, images("(2, 5, 4)", 40), "images of 1x5x4 (channels, height, width), those of "),
        ("classes.txt", b"cat\ndog\n".to_vec(), "label 2 is 2, expected 0 to 1: there are 2 classes"),
        ("classes.txt", b"\n\n".to_vec(), "no names, expected one of each class"),
        ("classes.txt", vec![0xff], "not UTF-8"),
    ];
    for (file, bytes, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        put(train_images, &images("(4, 4, 5)", 80));
        put(train_labels, &i8s(&[1, 0, 2, 1]));
        put(test_images, &images("(2, 4, 5)", 40));
        put(test_labels, &i8s(&[1, 0]));
        assert_eq!(arrays::read(folder.path()).unwrap().classes.len(), 3);
        put(file, &bytes);
        let error = arrays::read(folder.path()).unwrap_err().to_string();
        let place = if file == "classes.txt" && expected.starts_with("label") { train_labels } else { file };
        assert!(
            error.contains(expected) && error.contains(place),
            "{file}: {error}, where {expected:?} was expected"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    put(train_images, &images("(4, 4, 5)", 80));
    let error = arrays::read(folder.path()).unwrap_err().to_string();
    assert!(error.contains(train_labels), "{error}");
}
