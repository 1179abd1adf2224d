//! A finished run or measurement as one Parquet file: its name, its record in the metadata, and its seal.

use super::record::{Record, Run, digest, rows};
use crate::data::read_regular;
use crate::measure::{Measured, MeasuredRecord, digest as frame_digest};
use crate::run::{config, strict};
use crate::{Error, Result};
use polars::prelude::*;
use polars_io::SerReader;
use polars_io::prelude::{KeyValueMetadata, ParquetReader, ParquetWriter};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

const METADATA: &str = "rethink";
/// A measurement's file ends in this, a run's in `.parquet` alone.
pub(super) const MEASURED: &str = ".measured.parquet";

/// Whether something is at `path`. A link that leads nowhere is: it keeps a file from being created there.
pub(super) fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// A record as JSON, for a file's metadata.
pub(super) fn json(record: &impl Serialize) -> String {
    serde_json::to_string(record).expect("plain values are JSON")
}

/// The key that a file is named by: 16 hexadecimal digits before `.parquet` or `.measured.parquet`.
pub(super) fn key_in_name(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    let key = name.strip_suffix(MEASURED).or_else(|| name.strip_suffix(".parquet"))?;
    is_key(key).then_some(key)
}

/// Whether `text` is a run's or measurement's key by its form.
pub(super) fn is_key(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Why a file whose name is no key does not count.
pub(super) fn unnamed(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let digits = |part: &&str| part.len() == 16 && part.bytes().all(|b| b.is_ascii_hexdigit());
    match name.split(|c: char| !c.is_ascii_alphanumeric()).find(digits) {
        Some(key) => format!("its name is not that of a run; a copy of {key}, or a part of one"),
        None => "its name is not that of a run".into(),
    }
}

/// A store's file: `frame` with a record.
pub(super) fn sealed(frame: &DataFrame, json: String) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes)
        .with_key_value_metadata(Some(KeyValueMetadata::from_static(vec![(METADATA.into(), json)])))
        .finish(&mut frame.clone())
        .map_err(Error::frame("write the run"))?;
    Ok(seal(bytes))
}

/// A seal stands before a Parquet file's footer: these bytes, then the SHA-256 of all other bytes of the file. Readers of Parquet
/// follow the offsets in the footer and never see it. It is checked before polars reads a file, because polars believes damaged
/// lengths, asks for exabytes of memory and ends the process.
const SEAL: &[u8; 16] = b"rethink sha256: ";
/// More bytes than a run's or measurement's file ever has.
const LARGEST: u64 = 4 << 30;
/// Bytes of a seal.
const SEALED: usize = SEAL.len() + 32;

/// Where the footer of a Parquet file begins.
fn footer(bytes: &[u8]) -> Option<usize> {
    let end = bytes.len().checked_sub(8)?;
    let (length, magic) = bytes[end..].split_at(4);
    let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
    end.checked_sub(length).filter(|_| magic == b"PAR1")
}

fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(at) = footer(&bytes) {
        let sum = Sha256::digest(&bytes);
        bytes.splice(at..at, SEAL.iter().copied().chain(sum));
    }
    bytes
}

/// Whether a file has the seal of its bytes: it is as it was written.
fn is_whole(bytes: &[u8]) -> bool {
    let Some((before, after)) = footer(bytes).map(|at| bytes.split_at(at)) else { return false };
    let Some((data, seal)) = before.len().checked_sub(SEALED).map(|at| before.split_at(at)) else {
        return false;
    };
    let mut hash = Sha256::new();
    hash.update(data);
    hash.update(after);
    seal.starts_with(SEAL) && seal[SEAL.len()..] == hash.finalize()[..]
}

/// The bytes of the store's file at `path` with its record changed by `change`, sealed again: a file as another version of this
/// program might have written it. For tests.
///
/// Errors: those of reading a file that is no whole one of a store.
pub fn with_record(path: &Path, change: impl FnOnce(&mut serde_json::Value)) -> Result<Vec<u8>> {
    let operation = "change the record";
    let (mut record, frame) = read_sealed(path, operation)?;
    change(&mut record);
    sealed(&frame, record.to_string())
}

/// Reads a run's file.
///
/// Errors, all naming the file: [`Error::Io`]; [`Error::Later`] for one that a later version wrote; [`Error::Format`] for one that is
/// damaged (its bytes, its frame's digest, or last row and record contradict each other), or whose name is not its configuration's
/// key, and for a folder, a pipe, or a link that leads nowhere.
pub fn read(path: &Path) -> Result<Run> {
    let operation = "read the run";
    let (record, frame): (Record, DataFrame) = read_frame(path, operation, ("config", config::SCHEMA))?;
    check_name(path, operation, &record.config.key())?;
    let damaged = |problem: &str| Error::format(operation, path, format!("{problem}: it has been damaged"));
    let rows = rows(&frame).map_err(|e| Error::format(operation, path, e.to_string()))?;
    if digest(&rows) != record.digest {
        return Err(damaged("its frame has another digest than its record says"));
    }
    let last = rows.last().ok_or_else(|| damaged("it has no rows"))?;
    let ends = [
        (last.train_accuracy, record.train_accuracy),
        (last.test_accuracy, record.test_accuracy),
        (last.train_top5, record.train_top5),
        (last.test_top5, record.test_top5),
        (Some(f64::from(last.epoch)), Some(f64::from(record.epochs))),
    ];
    if ends.iter().any(|(frame, record)| frame != record) {
        return Err(damaged("its record and the last row of its frame do not agree"));
    }
    Ok(Run { record, frame })
}

/// Reads a measurement's file.
///
/// Errors: as for [`read`].
pub fn read_measured(path: &Path) -> Result<Measured> {
    let operation = "read the measurement";
    let schema = ("measurement", crate::measure::SCHEMA);
    let (record, frame): (MeasuredRecord, DataFrame) = read_frame(path, operation, schema)?;
    check_name(path, operation, &record.measurement.key())?;
    if frame_digest(&frame)? != record.digest {
        let problem = "its frame has another digest than its record says: it has been damaged";
        return Err(Error::format(operation, path, problem));
    }
    Ok(Measured { record, frame })
}

/// Whether the file at `path` is named by `key`, the key of what is in it.
fn check_name(path: &Path, operation: &'static str, key: &str) -> Result<()> {
    match key_in_name(path) {
        Some(name) if name == key => Ok(()),
        Some(_) => {
            Err(Error::format(operation, path, format!("it has the name of another run: it holds {key}")))
        }
        None => Err(Error::format(operation, path, format!("its name is not that of a run: it holds {key}"))),
    }
}

/// The record and the frame in a file. `field` is the record's field with the configuration or measurement, whose schema may be at
/// most `newest`.
fn read_frame<R: Serialize + DeserializeOwned>(
    path: &Path,
    operation: &'static str,
    (field, newest): (&str, u32),
) -> Result<(R, DataFrame)> {
    let (value, frame) = read_sealed(path, operation)?;
    let later = |problem: String| Error::Later { operation, path: path.to_path_buf(), problem };
    if let Some(schema) = value[field]["schema"].as_u64().filter(|schema| *schema > u64::from(newest)) {
        let versions = format!("schema {schema}; this one reads up to {newest}");
        return Err(later(format!("written by a later version of rethink ({versions})")));
    }
    if value.get(field).is_none() {
        return Err(Error::format(operation, path, format!("its record has no {field:?}")));
    }
    // Its seal has shown that the file is not damaged: a part that cannot be read was written by another version.
    Ok((strict::from_value(value).map_err(later)?, frame))
}

/// The record, as JSON, and the frame of a file, after its seal is checked.
fn read_sealed(path: &Path, operation: &'static str) -> Result<(serde_json::Value, DataFrame)> {
    let malformed = |problem: String| Error::format(operation, path, problem);
    let bytes = read_regular(path, operation, LARGEST).map_err(|error| match error {
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound && is_there(path) => {
            malformed("it is a link to what is not there".into())
        }
        error => error,
    })?;
    if !is_whole(&bytes) {
        return Err(malformed(
            "its bytes are not those that rethink wrote: it has been damaged, or is no run of rethink".into(),
        ));
    }
    let read = move || -> PolarsResult<_> {
        let mut reader = ParquetReader::new(std::io::Cursor::new(bytes));
        let metadata = reader.get_metadata()?.key_value_metadata().clone().unwrap_or_default();
        Ok((metadata, reader.finish()?))
    };
    let (metadata, frame) = read().map_err(|e| malformed(e.to_string()))?;
    let json = metadata.iter().find(|kv| kv.key == METADATA).and_then(|kv| kv.value.as_deref());
    let json = json.ok_or_else(|| malformed("it has no record: not a run of rethink".into()))?;
    Ok((serde_json::from_str(json).map_err(|e| malformed(e.to_string()))?, frame))
}
