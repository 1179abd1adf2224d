//! MNIST's idx format (LeCun, Cortes & Burges), plain or compressed with gzip.
//!
//! A file is a big-endian header (two zero bytes, the element type 8 for unsigned bytes, the number of
//! dimensions, then each dimension as 32 bits) and the bytes, last dimension fastest.

use crate::data::format::{Download, Format, Known, OfficialFile, Unknown};
use crate::data::published::Published;
use crate::data::{Dataset, Split};
use crate::{Error, Result};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// The four files without `.gz`: training images and labels, test images and labels.
pub const FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];
/// The format.
pub static FORMAT: Format = Format {
    title: "MNIST idx",
    sign: "train-images-idx3-ubyte, plain or .gz",
    is_here: |folder| find(folder, FILES[0]).is_some(),
    reader: read,
    counter: count,
    files: |folder| FILES.iter().filter_map(|file| find(folder, file)).collect(),
    slow: false,
    prefixes: &[],
    unknown: Some(Unknown { name: "mnist-format-", title: "MNIST format", in_brackets: true }),
    archive: None,
    known: &[Known {
        name: "mnist",
        folder: "mnist",
        format: &FORMAT,
        about: "70,000 handwritten digits of 28x28x1",
        priority: 30,
        by_folder: false,
        // A mirror of the four official files.
        download: Some(Download {
            base: "https://storage.googleapis.com/cvdf-datasets/mnist",
            files: &[
                OfficialFile {
                    name: "train-images-idx3-ubyte.gz",
                    bytes: 9_912_422,
                    md5: "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                },
                OfficialFile {
                    name: "train-labels-idx1-ubyte.gz",
                    bytes: 28_881,
                    md5: "d53e105ee54ea40749a09fcbcd1e9432",
                },
                OfficialFile {
                    name: "t10k-images-idx3-ubyte.gz",
                    bytes: 1_648_877,
                    md5: "9fb629c4189551a2d022fa330f9573f3",
                },
                OfficialFile {
                    name: "t10k-labels-idx1-ubyte.gz",
                    bytes: 4_542,
                    md5: "ec29112dd5afa0611ce80d1b7f02629c",
                },
            ],
        }),
    }],
    published: &[OFFICIAL],
};
/// MNIST.
pub const OFFICIAL: Published = Published {
    name: "mnist",
    title: "MNIST",
    fingerprint: Some("4d3a268456b92b699446d4f8b263110d7ebad47ebd05242357372b14804f3bf6"),
    paper_name: Some("MNIST"),
    comparable: true,
    fetched: true,
    verdict: "the images are the official ones, by their checksum",
};

const SIDE: usize = 28;
const OPERATION: &str = "read MNIST";
/// Far above any set of this format, and low enough that a header cannot ask for the whole memory.
const MAX_IMAGES: usize = 1_000_000;

/// The file's path, plain or `.gz`, whichever is there; plain first.
pub fn find(folder: &Path, file: &str) -> Option<PathBuf> {
    [folder.join(file), folder.join(format!("{file}.gz"))].into_iter().find(|p| p.is_file())
}

/// Reads the data set in `folder`: images of 1x28x28, classes `0` to `9`. It is titled "MNIST" where the images and labels are
/// MNIST's, whether compressed or not, else "MNIST format (FOLDER)" ([`crate::data::published`]).
///
/// Errors: [`Error::Io`] for a file that is absent or unreadable; [`Error::Format`] for another magic
/// number, images that are not 28x28, fewer or more bytes than the header says, numbers of images and labels
/// that differ, a label above 9.
pub fn read(folder: &Path) -> Result<Dataset> {
    let (train, test) =
        rayon::join(|| read_split(folder, FILES[0], FILES[1]), || read_split(folder, FILES[2], FILES[3]));
    let (train, test) = (train?, test?);
    let classes = (0..10).map(|c| c.to_string()).collect();
    Dataset::read_from(folder, &FORMAT, classes, [1, SIDE, SIDE], (train, test))
}

fn read_split(folder: &Path, images: &str, labels: &str) -> Result<Split> {
    let path = |file| find(folder, file).unwrap_or_else(|| folder.join(file));
    let (images_path, labels_path) = (path(images), path(labels));
    let (count, images) = read_idx(&images_path, Some(SIDE))?;
    let (labelled, labels) = read_idx(&labels_path, None)?;
    if count != labelled {
        let problem = format!("{labelled} labels for the {count} images of {}", images_path.display());
        return Err(Error::format(OPERATION, &labels_path, problem));
    }
    if let Some((i, label)) = labels.iter().enumerate().find(|&(_, &l)| l > 9) {
        let problem = format!("label {i} at byte {} is {label}, expected 0 to 9", 8 + i);
        return Err(Error::format(OPERATION, &labels_path, problem));
    }
    Ok(Split { images, labels: labels.into_iter().map(u16::from).collect() })
}

/// Training and test labels by the headers alone; `None` where a file is absent or no idx file.
pub fn count(folder: &Path) -> Option<(usize, usize)> {
    let labels = |file: &str| {
        let path = find(folder, file)?;
        header(&path, &mut open(&path).ok()?, None).ok()
    };
    Some((labels(FILES[1])?, labels(FILES[3])?))
}

fn open(path: &Path) -> Result<Box<dyn Read>> {
    let file = File::open(path).map_err(Error::io(OPERATION, path))?;
    if !file.metadata().map_err(Error::io(OPERATION, path))?.is_file() {
        return Err(Error::format(OPERATION, path, "not a regular file"));
    }
    let file = BufReader::new(file);
    Ok(if path.extension().is_some_and(|e| e == "gz") {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    })
}

/// Checks the header and returns the first dimension. `side`: the file has three dimensions and the
/// other two are this; `None`: it has one.
fn header(path: &Path, file: &mut dyn Read, side: Option<usize>) -> Result<usize> {
    let mut word = |what: &str| {
        let mut bytes = [0; 4];
        match file.read_exact(&mut bytes) {
            Ok(()) => Ok(u32::from_be_bytes(bytes)),
            Err(e) => Err(Error::format(OPERATION, path, format!("no {what}: {e}"))),
        }
    };
    let magic = word("magic number")?;
    let expected = if side.is_some() { 0x0803 } else { 0x0801 };
    if magic != expected {
        let problem = format!("magic number {magic:#010x} at byte 0, expected {expected:#010x}");
        return Err(Error::format(OPERATION, path, problem));
    }
    let count = word("number of items at byte 4")? as usize;
    if !(1..=MAX_IMAGES).contains(&count) {
        let problem = format!("{count} items by the header at byte 4, expected 1 to {MAX_IMAGES}");
        return Err(Error::format(OPERATION, path, problem));
    }
    if let Some(side) = side {
        let (rows, columns) = (word("number of rows at byte 8")?, word("number of columns at byte 12")?);
        if [rows, columns] != [side as u32; 2] {
            let problem =
                format!("images of {rows}x{columns} by the header at byte 8, expected {side}x{side}");
            return Err(Error::format(OPERATION, path, problem));
        }
    }
    Ok(count)
}

/// Number of items and their bytes. Memory grows with what the file holds, not with what it claims.
fn read_idx(path: &Path, side: Option<usize>) -> Result<(usize, Vec<u8>)> {
    let mut file = open(path)?;
    let count = header(path, &mut file, side)?;
    let expected = count * side.map_or(1, |s| s * s);
    let mut bytes = Vec::new();
    // One byte more than expected: a longer file is an error, and gzip's own checksum is
    // compared only at the end of the stream.
    let read = file.take(expected as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|e| Error::format(OPERATION, path, format!("damaged after {} bytes: {e}", bytes.len())))?;
    if bytes.len() != expected {
        let found = if bytes.len() > expected { "more".to_string() } else { bytes.len().to_string() };
        let problem = format!("{count} items need {expected} bytes after the header, the file has {found}");
        return Err(Error::format(OPERATION, path, problem));
    }
    Ok((count, bytes))
}
