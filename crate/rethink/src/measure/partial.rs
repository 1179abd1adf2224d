//! What a killed measurement leaves: the sums of a matrix that takes hours, or the trained networks' numbers, in one file
//! beside the store's runs, from which the next attempt goes on bit for bit.

use crate::lock::Lock;
use crate::run::strict;
use crate::{Error, Result};
use rethink_nn::interrupt;
use rethink_nn::text::hex;
use rethink_plot::files::remove_if_there;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

const GO_ON: &str = "go on with the measurement";
const DAMAGED: &str = "its checksum is not that of what it holds: it has been damaged";
/// Numbers written and read at a time.
const CHUNK: usize = 1 << 16;
/// Writing takes at most one part in this of the time.
const RARELY: u32 = 20;
/// The longest first line before parts.
const HEADER: u64 = 4096;

/// The file of a measurement that goes on. Either a line of JSON, parts as little-endian f32, and the SHA-256 of all
/// that in hexadecimal digits; or a line of JSON with the numbers of each unit, and that of it.
#[derive(Debug)]
pub struct PartialMeasurement {
    path: PathBuf,
    key: String,
    every: Duration,
    saved: Instant,
    /// Seconds that earlier attempts spent on what was read.
    pub earlier: f64,
    /// The lock under which it is written; without one, it is this process's own.
    pub lock: Option<Arc<Lock>>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    key: String,
    done: usize,
    seconds: f64,
    lengths: Vec<usize>,
}

/// Units of a measurement: their numbers' bits, as JSON's decimal digits may not be exact.
#[derive(Serialize, Deserialize)]
struct Units {
    key: String,
    seconds: f64,
    units: Vec<Vec<u64>>,
}

/// The `numbers` numbers of each of `count` units of a measurement, made by `make` in turn, or by an earlier attempt.
///
/// Errors: those of `make`, and of an unreadable file of the earlier attempt; [`Lock::check`]'s before the last unit.
pub fn each(
    (count, numbers): (usize, usize),
    mut unfinished: Option<&mut PartialMeasurement>,
    say: &mut dyn FnMut(&str),
    mut make: impl FnMut(usize, &mut dyn FnMut(&str)) -> Result<Vec<f64>>,
) -> Result<Vec<Vec<f64>>> {
    let started = Instant::now();
    let mut units =
        unfinished.as_mut().map_or(Ok(Vec::new()), |unfinished| unfinished.read_units(count, numbers))?;
    if !units.is_empty() {
        say(&format!("going on after {} of {count}", units.len()));
    }
    for index in units.len()..count {
        let made = make(index, say);
        if let (Err(Error::Interrupted { .. }), Some(unfinished)) = (&made, &mut unfinished) {
            unfinished.keep_units(unfinished.earlier + started.elapsed().as_secs_f64(), &units, say)?;
        }
        units.push(made?);
        if let Some(unfinished) = &mut unfinished {
            let seconds = unfinished.earlier + started.elapsed().as_secs_f64();
            let kept = unfinished.keep_units(seconds, &units, say);
            // With its last unit, a measurement is a result, which needs none of what is written here.
            if units.len() < count {
                kept?;
            }
        }
    }
    Ok(units)
}

impl PartialMeasurement {
    /// At `path`, of the measurement `key`, written every so often at most, and less often where writing takes long; where
    /// `every` is zero, whenever it can be.
    pub fn new(path: PathBuf, key: String, every: Duration) -> PartialMeasurement {
        PartialMeasurement { path, key, every, saved: Instant::now(), earlier: 0.0, lock: None }
    }

    /// Fills `parts` with what is there, and says how much of the work that is; 0 with the parts as they were where there
    /// is no file.
    ///
    /// Errors: [`Error::Format`] for a file of another measurement or size, or a damaged one (the parts are then in
    /// ruins); I/O errors naming the file.
    pub fn read_parts(&mut self, parts: &mut [&mut [f32]]) -> Result<usize> {
        let operation = GO_ON;
        let Some(size) = self.size()? else { return Ok(0) };
        let file = File::open(&self.path).map_err(Error::io(operation, &self.path))?;
        let malformed = |problem: &str| self.malformed(problem);
        let mut file = BufReader::with_capacity(4 * CHUNK, file);
        let mut line = Vec::new();
        (&mut file).take(HEADER).read_until(b'\n', &mut line).map_err(Error::io(operation, &self.path))?;
        let header: Header = strict::from_json(&String::from_utf8_lossy(&line))
            .map_err(|problem| malformed(&format!("its first line is none: {problem}")))?;
        if header.key != self.key {
            return Err(malformed("it belongs to another measurement"));
        }
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        let whole = line.len() as u64 + 4 * lengths.iter().sum::<usize>() as u64 + 64;
        if header.lengths != lengths || size != whole {
            return Err(malformed(&format!("{size} bytes for parts of {lengths:?} numbers")));
        }
        let mut hash = Sha256::new();
        hash.update(&line);
        let mut bytes = vec![0; 4 * CHUNK];
        for part in parts {
            for numbers in part.chunks_mut(CHUNK) {
                let bytes = &mut bytes[..4 * numbers.len()];
                file.read_exact(bytes).map_err(Error::io(operation, &self.path))?;
                hash.update(&*bytes);
                for (to, from) in numbers.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *to = f32::from_le_bytes(*from);
                }
            }
        }
        let mut digest = String::new();
        file.take(64).read_to_string(&mut digest).map_err(Error::io(operation, &self.path))?;
        if digest != hex(&hash.finalize()) {
            return Err(malformed(DAMAGED));
        }
        self.earlier = header.seconds;
        self.saved = Instant::now();
        Ok(header.done)
    }

    /// Bytes of the file; `None` where there is none.
    ///
    /// Errors: [`Error::Format`] for what is no regular file: to open a pipe waits for whoever writes to it. I/O errors naming the file.
    fn size(&self) -> Result<Option<u64>> {
        match fs::metadata(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Ok(file) if !file.is_file() => Err(self.malformed("it is no regular file")),
            file => Ok(Some(file.map_err(Error::io(GO_ON, &self.path))?.len())),
        }
    }

    fn malformed(&self, problem: &str) -> Error {
        let remedy = format!("{problem}; remove it to start this measurement again");
        Error::format(GO_ON, &self.path, remedy)
    }

    fn read_units(&mut self, count: usize, numbers: usize) -> Result<Vec<Vec<f64>>> {
        let Some(size) = self.size()? else { return Ok(Vec::new()) };
        // 20 digits a number, and more than enough.
        if size > HEADER + 64 * (count * (numbers + 1)) as u64 {
            return Err(self.malformed(&format!("{size} bytes for {count} times {numbers} numbers")));
        }
        let bytes = fs::read(&self.path).map_err(Error::io(GO_ON, &self.path))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| self.malformed("it is no UTF-8 text: it has been damaged"))?;
        let (line, digest) =
            text.split_once('\n').ok_or_else(|| self.malformed("it ends within its first line"))?;
        if digest != hex(&Sha256::digest(line)) {
            return Err(self.malformed(DAMAGED));
        }
        let read: Units = strict::from_json(line)
            .map_err(|problem| self.malformed(&format!("its first line is none: {problem}")))?;
        if read.key != self.key {
            return Err(self.malformed("it belongs to another measurement"));
        }
        if read.units.len() > count || read.units.iter().any(|unit| unit.len() != numbers) {
            return Err(self.malformed(&format!("it holds other units than {count} times {numbers} numbers")));
        }
        self.earlier = read.seconds;
        let unit = |bits: Vec<u64>| bits.into_iter().map(f64::from_bits).collect();
        Ok(read.units.into_iter().map(unit).collect())
    }

    fn keep_units(&mut self, seconds: f64, units: &[Vec<f64>], say: &mut dyn FnMut(&str)) -> Result<()> {
        let units = units.iter().map(|unit| unit.iter().map(|v| v.to_bits()).collect()).collect();
        let units = Units { key: self.key.clone(), seconds, units };
        self.keep(say, |file| {
            let line = serde_json::to_string(&units).expect("plain values are JSON");
            write!(file, "{line}\n{}", hex(&Sha256::digest(&line)))
        })
    }

    /// Writes `parts`, of which `done` are done after `seconds` in all, if that is due. The measurement goes on without
    /// where the file cannot be written; `say` is told.
    ///
    /// Errors: [`Lock::check`]'s, where it is due.
    pub fn keep_parts(
        &mut self,
        done: usize,
        seconds: f64,
        parts: &[&[f32]],
        say: &mut dyn FnMut(&str),
    ) -> Result<()> {
        let lengths = parts.iter().map(|part| part.len()).collect();
        let header = Header { key: self.key.clone(), done, seconds, lengths };
        self.keep(say, |file| {
            let mut hash = Sha256::new();
            let mut line = serde_json::to_vec(&header).expect("plain values are JSON");
            line.push(b'\n');
            hash.update(&line);
            file.write_all(&line)?;
            let mut bytes = Vec::with_capacity(4 * CHUNK);
            for numbers in parts.iter().flat_map(|part| part.chunks(CHUNK)) {
                bytes.clear();
                bytes.extend(numbers.iter().flat_map(|v| v.to_le_bytes()));
                hash.update(&bytes);
                file.write_all(&bytes)?;
            }
            file.write_all(hex(&hash.finalize()).as_bytes())
        })
    }

    fn keep(
        &mut self,
        say: &mut dyn FnMut(&str),
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<()> {
        if self.saved.elapsed() < self.every && !(interrupt::is_wanted() && self.every < Duration::MAX) {
            return Ok(());
        }
        if let Some(lock) = &self.lock {
            lock.check()?;
        }
        let started = Instant::now();
        if let Err(e) = self.write(write) {
            say(&format!("not kept for the case of a kill: {e}"));
            let _ = fs::remove_file(self.new_path());
            self.every = Duration::MAX;
        }
        if !self.every.is_zero() {
            self.every = self.every.max(started.elapsed() * RARELY);
        }
        self.saved = Instant::now();
        Ok(())
    }

    /// Always the same, so that a kill leaves one such file of some gigabytes and no more.
    fn new_path(&self) -> PathBuf {
        self.path.with_added_extension("new")
    }

    fn write(&self, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        if fs::symlink_metadata(self.new_path()).is_ok_and(|there| !there.is_file()) {
            return Err(io::Error::other(format!("{} is no regular file", self.new_path().display())));
        }
        let mut file = File::create(self.new_path())?;
        write(&mut file)?;
        file.sync_all()?;
        fs::rename(self.new_path(), &self.path)
    }

    /// Whether an earlier attempt left something.
    pub fn is_there(&self) -> bool {
        self.path.exists() || self.new_path().exists()
    }

    /// Removes the file: the measurement is finished.
    ///
    /// Errors: I/O errors naming it.
    pub fn remove(&self) -> Result<()> {
        remove_if_there(&self.new_path())?;
        Ok(remove_if_there(&self.path)?)
    }
}
