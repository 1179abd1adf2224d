//! Files of records: some bytes of labels, then the red, green and blue planes of 32x32 bytes, row by row. CIFAR-10's and
//! CIFAR-100's binary versions differ in the labels alone.

use crate::data::{Split, read_regular};
use crate::{Error, Result};
use rayon::prelude::*;
use rethink_nn::text::thousands;
use std::path::Path;

/// Bytes of an image.
pub(super) const IMAGE: usize = 3 * 32 * 32;
/// Of one file. CIFAR-10's official files have 30,730,000 bytes, CIFAR-100's 153,700,000.
const MAX_BYTES: u64 = 4 << 30;

/// How records are laid out.
pub(super) struct Records {
    /// What reading them is, for errors.
    pub operation: &'static str,
    /// Bytes of labels before an image.
    pub labels: usize,
    /// Which of them is the label, from 0.
    pub label: usize,
}

impl Records {
    /// Bytes of one.
    pub const fn size(&self) -> usize {
        self.labels + IMAGE
    }

    /// The files' records as one split, and the files' bytes for hashing.
    pub fn split(&self, folder: &Path, files: &[&str], classes: usize) -> Result<(Split, Vec<Vec<u8>>)> {
        let files: Vec<Vec<u8>> =
            files.par_iter().map(|file| self.read(&folder.join(file), classes)).collect::<Result<_>>()?;
        let records = files.iter().map(|f| f.len() / self.size()).sum::<usize>();
        let mut images = vec![0; records * IMAGE];
        let mut labels = Vec::with_capacity(records);
        for record in files.iter().flat_map(|f| f.chunks_exact(self.size())) {
            images[labels.len() * IMAGE..][..IMAGE].copy_from_slice(&record[self.labels..]);
            labels.push(u16::from(record[self.label]));
        }
        Ok((Split { images, labels }, files))
    }

    /// One file's bytes, known to be whole records with labels below `classes`.
    fn read(&self, path: &Path, classes: usize) -> Result<Vec<u8>> {
        let (operation, size) = (self.operation, self.size());
        let bytes = read_regular(path, operation, MAX_BYTES)?;
        if bytes.is_empty() {
            let problem = format!("an empty file, expected records of {} bytes", thousands(size));
            return Err(Error::format(operation, path, problem));
        }
        let rest = bytes.len() % size;
        if rest != 0 {
            let record = bytes.len() / size;
            let problem = format!(
                "record {record} at byte {} is cut short: {rest} of {size} bytes (the file has {})",
                bytes.len() - rest,
                bytes.len()
            );
            return Err(Error::format(operation, path, problem));
        }
        for (record, label) in bytes.iter().skip(self.label).step_by(size).enumerate() {
            if usize::from(*label) >= classes {
                let (at, last) = (record * size + self.label, classes - 1);
                let problem = format!("record {record} at byte {at}: label {label}, expected 0 to {last}");
                return Err(Error::format(operation, path, problem));
            }
        }
        Ok(bytes)
    }

    /// Records of `files` by their lengths alone; `None` where one is absent.
    pub fn count(&self, folder: &Path, files: &[&str]) -> Option<usize> {
        let records = |file: &&str| Some(folder.join(file).metadata().ok()?.len() as usize / self.size());
        files.iter().map(records).sum()
    }

    /// The names in `path`, one a line, of `expected` classes.
    pub fn class_names(&self, path: &Path, expected: usize) -> Result<Vec<String>> {
        let text = String::from_utf8(read_regular(path, self.operation, 1 << 20)?)
            .map_err(|_| Error::format(self.operation, path, "class names that are not UTF-8"))?;
        let names: Vec<String> =
            text.lines().map(str::trim).filter(|l| !l.is_empty()).map(String::from).collect();
        if names.len() != expected {
            let problem = format!("{} class names, expected {expected}, one a line", names.len());
            return Err(Error::format(self.operation, path, problem));
        }
        Ok(names)
    }
}
