//! CIFAR-10's binary format (Krizhevsky & Hinton 2009).
//!
//! A folder holds `data_batch_1.bin` to `data_batch_5.bin`, `test_batch.bin` and, optionally,
//! `batches.meta.txt` with a class name a line. A record is 3,073 bytes: the label, then the red,
//! green and blue planes of 32x32 bytes, row by row. Files may hold any whole number of records, so
//! that subsets in the same layout load too.

use crate::data::format::{Archive, Download, Format, Known, OfficialFile, Unknown};
use crate::data::published::Published;
use crate::data::records::{IMAGE, Records};
use crate::data::{Dataset, Split, origin, sha256_hex};
use crate::{Error, Result};
use rayon::prelude::*;
use rethink_plot::files::write_whole;
use std::path::Path;

/// The training files, in order.
pub const TRAIN_FILES: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
/// The test file.
pub const TEST_FILE: &str = "test_batch.bin";
/// All six, training files first.
const FILES: [&str; 6] =
    [TRAIN_FILES[0], TRAIN_FILES[1], TRAIN_FILES[2], TRAIN_FILES[3], TRAIN_FILES[4], TEST_FILE];
/// The class names, one a line; optional.
pub const NAMES_FILE: &str = "batches.meta.txt";
/// CIFAR-10's class names, in the order of the labels.
pub const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
/// Bytes of a record: one of label, 3,072 of image.
pub const RECORD: usize = RECORDS.size();

const RECORDS: Records = Records { operation: "read CIFAR-10", labels: 1, label: 0 };

/// The format.
pub static FORMAT: Format = Format {
    title: "CIFAR-10 binary",
    sign: "data_batch_1.bin",
    is_here: |folder| folder.join(TRAIN_FILES[0]).is_file(),
    reader: read,
    counter: count,
    files: |folder| FILES.map(|file| folder.join(file)).to_vec(),
    slow: false,
    prefixes: &[],
    unknown: Some(Unknown { name: "cifar10-format-", title: "CIFAR-10 format", in_brackets: true }),
    archive: Some(ARCHIVE),
    known: &[
        Known {
            name: "cifar10",
            folder: "cifar-10-batches-bin",
            format: &FORMAT,
            about: "60,000 photographs of 32x32x3 in ten classes; the paper's data set",
            priority: 10,
            by_folder: false,
            download: Some(Download { base: "https://www.cs.toronto.edu/~kriz", files: &[ARCHIVE.file] }),
        },
        Known {
            name: "cifar10-lossless",
            folder: "cifar-10-lossless-bin",
            format: &FORMAT,
            about: "a part of CIFAR-10 with the official pixels",
            priority: 20,
            by_folder: true,
            download: None,
        },
    ],
    published: &[OFFICIAL, AFTER_JPEG, LOSSLESS],
};
/// The archive of CIFAR-10's binary version, as its authors publish it.
pub const ARCHIVE: Archive = Archive {
    file: OfficialFile {
        name: "cifar-10-binary.tar.gz",
        bytes: 170_052_171,
        md5: "c32a1d4ab5d03f1284b67883e8d87530",
    },
    folder: "cifar-10-batches-bin",
    data: &FILES,
    others: &[NAMES_FILE, "readme.html"],
    largest: 64 << 20,
};
/// The official CIFAR-10, known by the archive's checksum ([`is_official`]).
pub const OFFICIAL: Published = Published {
    name: "cifar10",
    title: "CIFAR-10",
    fingerprint: None,
    paper_name: Some("CIFAR10"),
    comparable: true,
    fetched: true,
    verdict: "the files are the official ones: they come from the archive of the official checksum",
};
/// CIFAR-10 after JPEG at quality 75 ([`JPEG_Q75`]).
pub const AFTER_JPEG: Published = Published {
    name: "cifar10",
    title: "CIFAR-10 (JPEG q75)",
    fingerprint: Some("f43bf6a33f958776c1159c2d0d6dde911aefbf835befaf4056b208d0463966e8"),
    paper_name: Some("CIFAR10"),
    comparable: true,
    fetched: false,
    verdict: "the files are a known JPEG re-encoding at quality 75, not the official ones",
};
/// The first 1,017 images of each of CIFAR-10's files, with the official pixels.
pub const LOSSLESS: Published = Published {
    name: "cifar10-lossless",
    title: "CIFAR-10 (5,085 images)",
    fingerprint: Some("2fd9f50fad53242561db543a679bd31b135652081cac656e2bd154149a7f3b93"),
    paper_name: Some("CIFAR10"),
    comparable: true,
    fetched: false,
    verdict: "the images are the first of each official file, by their checksum; not the whole set",
};

/// SHA-256 of the beginnings of the six official files (training, then test), [`HEAD`] records of each.
///
/// Nobody has published checksums of the whole files, only of the archives that they come in
/// ([`ARCHIVE`]).
pub const OFFICIAL_HEADS: [&str; 6] = [
    "ea2c7a46f23371a3f814ce8e198838201147e8e6d1f8a84baa3583ebbec03247",
    "57dc4e8db7ddc925938d1f2821ee0b499020fa077bedd98d88e6459c7cacb2ab",
    "be335161c2afa9c985a48c2dec47238b9438dd6686773cc9725a5bfc8217e3f2",
    "34046a49d60fa18b42147571ad4e995a81c77fb47b46fef2e0798d19c0a30303",
    "e04d47eac99eb22c5406c696680423d9d7ff080be029363b6c6b947c5165f985",
    "c77ad46116beb3508f55d38aa34893560beae9515f9aca4a4dd0ea3617ac289e",
];
/// Records of [`OFFICIAL_HEADS`].
pub const HEAD: usize = 1_017;

/// SHA-256 of the six files (training, then test) of a copy of CIFAR-10 whose images all went once
/// through JPEG at quality 75. Its pixels are near the official ones, not equal to them (on 6,102 images,
/// a PSNR of 30.0 dB), so a data set of these files is titled "CIFAR-10 (JPEG q75)".
pub const JPEG_Q75: [&str; 6] = [
    "8da035fc1631e8ce5f25904206b8993b0f3ad02a504c0584d662e806fd76c12b",
    "106eeaad9f1fa7a999292fdafe68ee909080f58aee038a76994035aedf40ba26",
    "99cb88ba00fca88bf28c517a74307b6b78a346c6ea747a561cb8e660c787d5cb",
    "76b482bc3bb79c0370e48ea71bb6e4f567a3770d224dc09a9ddc8cfa2369f294",
    "490f5ead4f04a3eb71d5898eb551e0d8d2c592feb778fb9b109a006b3f231495",
    "0ce179d0c0a5220739d6223197952896644ceabb648dacfdebd7f06789af543f",
];

/// Reads the data set in `folder`.
///
/// It is titled "CIFAR-10" where [`is_official`], "CIFAR-10 (JPEG q75)" when the files are those of [`JPEG_Q75`], and
/// "CIFAR-10 format (FOLDER)" when they are none that are known: see [`crate::data::published`].
///
/// Errors: [`Error::Io`] for a file that is absent or unreadable; [`Error::Format`], with file, record and
/// offset, for an empty file, a last record cut short and a label that is no class.
pub fn read(folder: &Path) -> Result<Dataset> {
    let classes = class_names(folder)?;
    let (train, test) = rayon::join(
        || RECORDS.split(folder, &TRAIN_FILES, classes.len()),
        || RECORDS.split(folder, &[TEST_FILE], classes.len()),
    );
    let ((train, train_files), (test, test_files)) = (train?, test?);
    let files: Vec<Vec<u8>> = train_files.into_iter().chain(test_files).collect();
    let official = is_official(folder, &files);
    drop(files);
    let mut data = Dataset::read_from(folder, &FORMAT, classes, [3, 32, 32], (train, test))?;
    if official {
        data.call(OFFICIAL);
    }
    Ok(data)
}

/// Whether these are the six official files (training, then test), read from `folder`: they begin as those do, and are to the byte what
/// came out of the archive of the official checksum, as is noted beside them ([`crate::data::origin::vouch`]).
pub fn is_official(folder: &Path, files: &[Vec<u8>]) -> bool {
    let begins = |(bytes, sha): (&Vec<u8>, &&str)| {
        bytes.get(..HEAD * RECORD).is_some_and(|head| sha256_hex(head) == **sha)
    };
    files.len() == OFFICIAL_HEADS.len()
        && files.par_iter().zip(&OFFICIAL_HEADS).all(begins)
        && came_from(folder, ARCHIVE.file.md5, files)
}

/// Whether the six files (training, then test), read from `folder`, are noted there, to the byte, as those of the archive with
/// this MD5.
pub fn came_from(folder: &Path, md5: &str, files: &[Vec<u8>]) -> bool {
    origin::came_from(folder, (ARCHIVE.file.name, md5), &FILES, files)
}

fn class_names(folder: &Path) -> Result<Vec<String>> {
    let path = folder.join(NAMES_FILE);
    if !path.exists() {
        return Ok(CLASSES.map(String::from).to_vec());
    }
    RECORDS.class_names(&path, CLASSES.len())
}

/// Training and test records by the files' lengths alone; `None` where a file is absent.
pub fn count(folder: &Path) -> Option<(usize, usize)> {
    Some((RECORDS.count(folder, &TRAIN_FILES)?, RECORDS.count(folder, &[TEST_FILE])?))
}

/// Writes a data set of ten classes of 3x32x32 images in the format that [`read`] takes, class names
/// included; the training images are spread evenly over the five files.
///
/// Errors: [`Error::Shape`] for other images, [`Error::Argument`] for another number of classes or fewer
/// than five training images, [`Error::Io`].
pub fn write(data: &Dataset, folder: &Path) -> Result<()> {
    let operation = "write CIFAR-10's binary format";
    if data.shape != [3, 32, 32] {
        return Err(Error::Shape { operation, expected: vec![3, 32, 32], got: data.shape.to_vec() });
    }
    if data.classes.len() != CLASSES.len() || data.train.len() < TRAIN_FILES.len() {
        let problem = format!("{} classes and {} training images", data.classes.len(), data.train.len());
        return Err(Error::argument(operation, format!("{problem}, expected 10 and at least 5")));
    }
    let records = |split: &Split, from: usize, to: usize| {
        let mut bytes = Vec::with_capacity((to - from) * RECORD);
        for i in from..to {
            bytes.push(split.labels[i] as u8);
            bytes.extend_from_slice(&split.images[i * IMAGE..(i + 1) * IMAGE]);
        }
        bytes
    };
    let n = data.train.len();
    for (i, file) in TRAIN_FILES.iter().enumerate() {
        write_whole(&folder.join(file), &records(&data.train, n * i / 5, n * (i + 1) / 5))?;
    }
    write_whole(&folder.join(TEST_FILE), &records(&data.test, 0, data.test.len()))?;
    Ok(write_whole(&folder.join(NAMES_FILE), (data.classes.join("\n") + "\n").as_bytes())?)
}
