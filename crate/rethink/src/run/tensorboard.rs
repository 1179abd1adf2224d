//! TensorBoard event files, written while a run goes: `tensorboard --logdir figures/runs`.
//!
//! The format is TensorFlow's: records of length, checksum, message, checksum; the messages are protocol buffers.
//! The two that are needed (`Event`, `Summary`) are a few fields; the crates that know all of them want a protocol
//! buffer compiler at build time.

use crate::run::row::LogRow;
use crate::{Error, Result};
use rethink_plot::files;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

const OPERATION: &str = "write the TensorBoard events";
const PREFIX: &str = "events.out.tfevents.";

/// An open event file.
pub struct Events {
    file: File,
    path: std::path::PathBuf,
    /// When the run would have begun if it had never been interrupted, seconds since 1970.
    began: f64,
}

impl Events {
    /// A new file in `folder` with what has been trained so far, in place of an earlier attempt's: what a killed
    /// run wrote after its last checkpoint comes again.
    ///
    /// Errors: [`Error::Io`].
    pub fn create(folder: &Path, rows: &[LogRow]) -> Result<Events> {
        fs::create_dir_all(folder).map_err(Error::io(OPERATION, folder))?;
        for entry in fs::read_dir(folder).map_err(Error::io(OPERATION, folder))? {
            let path = entry.map_err(Error::io(OPERATION, folder))?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX)) {
                fs::remove_file(&path).map_err(Error::io(OPERATION, &path))?;
            }
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
        let path = folder.join(format!("{PREFIX}{:010}.rethink", now as u64));
        let began = now - rows.last().map_or(0.0, |row| row.seconds);
        let mut bytes = record(&version(began));
        bytes.extend(rows.iter().flat_map(|row| record(&event(row, began))));
        files::write_whole(&path, &bytes)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(Error::io(OPERATION, &path))?;
        Ok(Events { file, path, began })
    }

    /// Adds `rows`. TensorBoard shows them at its next look; a record that a kill has cut off it passes over.
    ///
    /// Errors: [`Error::Io`].
    pub fn append(&mut self, rows: &[LogRow]) -> Result<()> {
        let bytes: Vec<u8> = rows.iter().flat_map(|row| record(&event(row, self.began))).collect();
        self.file.write_all(&bytes).map_err(Error::io(OPERATION, &self.path))
    }
}

/// `length checksum(length) message checksum(message)`.
fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut bytes = length.to_vec();
    bytes.extend(masked(&length).to_le_bytes());
    bytes.extend(message);
    bytes.extend(masked(message).to_le_bytes());
    bytes
}

/// A checksum as TensorFlow stores it, masked: a CRC over data that contain their own CRC is weak.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// `Event { wall_time = 1, file_version = 3 }`.
fn version(seconds: f64) -> Vec<u8> {
    let mut message = double(1, seconds);
    message.extend(text(3, b"brain.Event:2"));
    message
}

/// `Event { wall_time = 1, step = 2, summary = 5 }` with a value for each of the row's numbers.
fn event(row: &LogRow, began: f64) -> Vec<u8> {
    let values = [
        ("loss", Some(row.loss)),
        ("accuracy/batch", Some(row.batch_accuracy)),
        ("accuracy/train", row.train_accuracy),
        ("accuracy/test", row.test_accuracy),
        ("learning_rate", Some(row.learning_rate)),
    ];
    let mut summary = Vec::new();
    for (tag, value) in values {
        let Some(value) = value else { continue };
        // `Summary.Value { tag = 1, simple_value = 2 }`.
        let mut inner = text(1, tag.as_bytes());
        inner.push(2 << 3 | 5);
        inner.extend((value as f32).to_le_bytes());
        summary.extend(text(1, &inner));
    }
    let mut message = double(1, began + row.seconds);
    message.push(2 << 3);
    message.extend(varint(row.step.into()));
    message.extend(text(5, &summary));
    message
}

fn double(field: u8, value: f64) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 1];
    bytes.extend(value.to_le_bytes());
    bytes
}

/// A field of bytes, text or a message.
fn text(field: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    out.extend(varint(bytes.len() as u64));
    out.extend(bytes);
    out
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
