//! CIFAR-100's binary version (Krizhevsky & Hinton 2009): 100 classes of 600 images. None of the paper's data sets.
//!
//! A folder holds `train.bin`, `test.bin` and `fine_label_names.txt` with a class name a line. A record is 3,074 bytes: the
//! coarse label (of 20), the fine label (of 100), which is the one that is used, then the red, green and blue planes of 32x32
//! bytes. Files may hold any whole number of records.

use crate::Result;
use crate::data::format::{Archive, Download, Format, Known, OfficialFile, Unknown};
use crate::data::published::Published;
use crate::data::records::Records;
use crate::data::{Dataset, origin};
use std::path::Path;

/// The training file.
pub const TRAIN_FILE: &str = "train.bin";
/// The test file.
pub const TEST_FILE: &str = "test.bin";
/// The fine labels' names, one a line.
pub const NAMES_FILE: &str = "fine_label_names.txt";
/// Fine labels.
pub const CLASSES: usize = 100;

const FILES: [&str; 2] = [TRAIN_FILE, TEST_FILE];
const RECORDS: Records = Records { operation: "read CIFAR-100", labels: 2, label: 1 };

/// The format. Other programs have a `train.bin` too: it is recognised by the names beside it.
pub static FORMAT: Format = Format {
    title: "CIFAR-100 binary",
    sign: "train.bin and fine_label_names.txt",
    is_here: |folder| [TRAIN_FILE, NAMES_FILE].iter().all(|file| folder.join(file).is_file()),
    reader: read,
    counter: |folder| Some((RECORDS.count(folder, &[TRAIN_FILE])?, RECORDS.count(folder, &[TEST_FILE])?)),
    files: |folder| FILES.map(|file| folder.join(file)).to_vec(),
    slow: false,
    prefixes: &[],
    unknown: Some(Unknown { name: "cifar100-format-", title: "CIFAR-100 format", in_brackets: true }),
    archive: Some(ARCHIVE),
    known: &[Known {
        name: "cifar100",
        folder: "cifar-100-binary",
        format: &FORMAT,
        about: "60,000 photographs of 32x32x3 in a hundred classes; not in the paper",
        priority: 60,
        by_folder: false,
        download: Some(Download { base: "https://www.cs.toronto.edu/~kriz", files: &[ARCHIVE.file] }),
    }],
    published: &[OFFICIAL],
};
/// The archive, as its authors publish it.
pub const ARCHIVE: Archive = Archive {
    file: OfficialFile {
        name: "cifar-100-binary.tar.gz",
        bytes: 168_513_733,
        md5: "03b5dce01913d631647c71ecec9e9cb8",
    },
    folder: "cifar-100-binary",
    data: &FILES,
    others: &[NAMES_FILE, "coarse_label_names.txt"],
    largest: 256 << 20,
};
/// The official CIFAR-100, known by the archive's checksum. The paper says nothing of it.
pub const OFFICIAL: Published = Published {
    name: "cifar100",
    title: "CIFAR-100",
    fingerprint: None,
    paper_name: None,
    comparable: false,
    fetched: true,
    verdict: "the files are the official ones: they come from the archive of the official checksum. The paper has no numbers of them",
};

/// Reads the data set in `folder`, with the fine labels. It is titled "CIFAR-100" where the files are noted, to the byte, as those
/// of the official archive ([`crate::data::origin::vouch`]), else "CIFAR-100 format (FOLDER)".
///
/// Errors: [`Error::Io`](crate::Error::Io) for a file that is absent or unreadable;
/// [`Error::Format`](crate::Error::Format), with file, record and offset, for an empty file, a last record cut short, a fine label
/// that is no class and another number of names.
pub fn read(folder: &Path) -> Result<Dataset> {
    let classes = RECORDS.class_names(&folder.join(NAMES_FILE), CLASSES)?;
    let (train, test) = rayon::join(
        || RECORDS.split(folder, &[TRAIN_FILE], CLASSES),
        || RECORDS.split(folder, &[TEST_FILE], CLASSES),
    );
    let ((train, train_files), (test, test_files)) = (train?, test?);
    let files: Vec<Vec<u8>> = train_files.into_iter().chain(test_files).collect();
    let official = origin::came_from(folder, (ARCHIVE.file.name, ARCHIVE.file.md5), &FILES, &files);
    drop(files);
    let mut data = Dataset::read_from(folder, &FORMAT, classes, [3, 32, 32], (train, test))?;
    if official {
        data.call(OFFICIAL);
    }
    Ok(data)
}
