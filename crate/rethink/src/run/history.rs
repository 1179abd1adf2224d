//! Where the parts of a run were trained: its sittings, and the run that it was taken from.

use crate::data::read_if_there;
use crate::run::provenance::Provenance;
use crate::run::strict;
use crate::{Error, Result};
use rethink_plot::files;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Bytes of the largest text that is read; what a run writes of itself is far below.
pub(super) const MOST_TEXT: u64 = 1 << 30;

/// A sitting: epochs in a row that one process (or one team of processes) trained without interruption. A run that is killed and
/// goes on has several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sitting {
    /// Its first epoch, from 1.
    pub first: u32,
    /// Its last epoch.
    pub last: u32,
    /// Code, machine and device; `None`: not recorded, as in programs from before there were sittings.
    pub provenance: Option<Provenance>,
}

/// The run that this one, or its beginning, was taken from: it goes on where this one ends, and differs in nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its key.
    pub key: String,
    /// How many epochs were taken from it, bit for bit.
    pub taken: u32,
    /// How many epochs it had itself at that time.
    pub epochs: u32,
    /// Commit of the sources of the program that took them.
    pub revision: String,
    /// Its sittings after those epochs, where they are recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beyond: Vec<Sitting>,
}

/// Where the parts of a run come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Its sittings, in order, of all its epochs; none in files from before they were kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sittings: Vec<Sitting>,
    /// The run that its first epochs, or all of them, were taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

impl History {
    /// The present sitting has trained the epochs up to this one.
    pub(crate) fn reach(&mut self, epoch: u32) {
        if let Some(sitting) = self.sittings.last_mut() {
            sitting.last = epoch;
        }
    }

    /// This history up to `epoch`. Epochs that belong to no sitting become one that is not recorded.
    pub(crate) fn until(&self, epoch: u32) -> History {
        let mut history = self.clone();
        history.sittings.retain(|sitting| sitting.first <= epoch);
        history.sittings.iter_mut().for_each(|sitting| sitting.last = sitting.last.min(epoch));
        let known = history.known();
        if known < epoch {
            history.sittings.push(Sitting { first: known + 1, last: epoch, provenance: None });
        }
        history
    }

    /// The sittings after `epoch`.
    pub(crate) fn after(&self, epoch: u32) -> Vec<Sitting> {
        let after = self.sittings.iter().filter(|sitting| sitting.last > epoch);
        after.map(|s| Sitting { first: s.first.max(epoch + 1), ..s.clone() }).collect()
    }

    /// The last epoch of the last sitting; 0 where there is none.
    pub(crate) fn known(&self) -> u32 {
        self.sittings.last().map_or(0, |sitting| sitting.last)
    }

    /// Adds those of `later` that come after the sittings here.
    pub(crate) fn extend(&mut self, later: Vec<Sitting>) {
        let later = History { sittings: later, origin: None };
        self.sittings.extend(later.after(self.known()));
    }

    /// What the last sitting ran on, where it is recorded.
    pub(crate) fn latest(&self) -> Option<&Provenance> {
        self.sittings.last()?.provenance.as_ref()
    }
}

/// A sitting as the file has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    first: u32,
    /// None in the last one: it goes as far as the log does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<u32>,
    provenance: Option<Provenance>,
}

/// The file of an unfinished run's sittings, beside its checkpoint. Written when a sitting begins, so that the last one has no end.
/// For a checkpoint from before sittings were recorded, it may be written by hand.
pub(crate) const SITTINGS: &str = "sittings.json";

/// Writes the sittings of an unfinished run, the last of which goes on.
pub(crate) fn write(folder: &Path, sittings: &[Sitting]) -> Result<()> {
    let count = sittings.len();
    let written = |(index, s): (usize, &Sitting)| Written {
        first: s.first,
        last: (index + 1 < count).then_some(s.last),
        provenance: s.provenance.clone(),
    };
    let sittings: Vec<Written> = sittings.iter().enumerate().map(written).collect();
    let json = serde_json::to_vec_pretty(&sittings).expect("plain values are JSON");
    Ok(files::write_whole(&folder.join(SITTINGS), &json)?)
}

/// The sittings of epochs 1 to `epoch` of the unfinished run in `folder`; `None` without a file of them.
///
/// Errors: [`Error::Format`] for a file of another form, or whose sittings do not follow each other from epoch 1 to `epoch`.
pub(crate) fn read(folder: &Path, epoch: u32) -> Result<Option<Vec<Sitting>>> {
    let (operation, path) = ("read the run's sittings", folder.join(SITTINGS));
    let Some(bytes) = read_if_there(&path, operation, MOST_TEXT)? else { return Ok(None) };
    let malformed = |problem: String| Error::format(operation, &path, problem);
    let text = String::from_utf8(bytes).map_err(|_| malformed("no UTF-8 text".into()))?;
    let written: Vec<Written> = strict::from_json(&text).map_err(malformed)?;
    let (mut sittings, mut known) = (Vec::<Sitting>::new(), 0u32);
    for (index, Written { first, last, provenance }) in written.iter().enumerate() {
        let place = index + 1;
        if known.checked_add(1) != Some(*first) {
            let problem =
                format!("sitting {place} begins with epoch {first}, after one that ends with {known}");
            return Err(malformed(problem));
        }
        known = match last {
            Some(last) => *last,
            None if place == written.len() => epoch.max(*first),
            None => return Err(malformed(format!("sitting {place} has no end, and is not the last"))),
        };
        if known < *first {
            return Err(malformed(format!("sitting {place} goes from epoch {first} to {known}")));
        }
        sittings.push(Sitting { first: *first, last: known, provenance: provenance.clone() });
    }
    if known < epoch {
        let problem = format!("its sittings end with epoch {known}, and the run stands at {epoch}");
        return Err(malformed(problem));
    }
    Ok(Some(History { sittings, origin: None }.until(epoch).sittings))
}
