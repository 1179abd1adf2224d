//! Taking a run from another one. Of two runs that differ in nothing but when they end, the longer begins with the rows of the
//! shorter, bit for bit. So a run that stops when it is fitted is taken from one that went on, finished or not, as far as that has
//! come, and no epoch is trained twice.

use crate::run::checkpoint::{Checkpoint, Found, read_log};
use crate::run::config::RunConfig;
use crate::run::history::{self, History, Origin};
use crate::run::provenance::{self, Provenance};
use crate::run::row::LogRow;
use crate::run::stopping::{Common, common};
use crate::run::train::TrainedRun;
use crate::store::{self, Store};
use crate::{Error, Result};
use std::collections::HashSet;
use std::fs;

/// What a run takes from another one, its origin.
pub(crate) enum Taken {
    /// The whole run, which needs no step of training; and the origin's provenance, where its sittings are not recorded.
    Whole(Box<TrainedRun>, Option<Box<Provenance>>),
    /// A checkpoint under the run's own name, in the bytes of its file.
    Beginning(Origin, Vec<u8>),
}

/// Origins that do not stop when fitted are looked for with up to so many epochs: each number gives a key to look for.
const EPOCHS: usize = 10_000;
/// Origins that stop after another number of fitted epochs are looked for with up to so many epochs.
const STOPPING_EPOCHS: usize = 500;
/// And with up to so many fitted epochs in a row.
const MOST_FITTED: usize = 10;

/// What `config`, a run that stops when it is fitted, can take from another run of the store; `None` where there is no such run, or
/// none that is further than `own`, the epochs in the run's own checkpoint. A run that cannot be read is passed over, and `say` told.
///
/// Errors: I/O errors of the store's folder.
pub(crate) fn find(
    store: &Store,
    config: &RunConfig,
    own: u32,
    say: &mut dyn FnMut(String),
) -> Result<Option<Taken>> {
    if !config.hyper.stop_when_fitted {
        return Ok(None);
    }
    let names = names(store)?;
    let (mut whole, mut begun) = (Vec::new(), Vec::new());
    // Where there is nothing to take from, no key is made.
    if names.iter().any(|name| name.ends_with(".parquet") || name.ends_with(".partial")) {
        for other in relatives(config) {
            let key = other.key();
            if names.contains(&format!("{key}.parquet")) {
                whole.push(other.clone());
            }
            if names.contains(&format!("{key}.partial")) {
                begun.push(other);
            }
        }
    }
    for origin in whole {
        match finished(store, config, &origin) {
            Ok(Some(whole)) => return Ok(Some(whole)),
            Ok(None) => {}
            Err(e) => say(format!("nothing is taken from run {}: {e}", origin.key())),
        }
    }
    let mut beginning: Option<(Origin, Vec<u8>)> = None;
    for origin in begun {
        match unfinished(store, config, &origin) {
            Ok(Some(Taken::Beginning(from, bytes))) => {
                let most = beginning.as_ref().map_or(own, |(other, _)| other.taken);
                if from.taken > most {
                    beginning = Some((from, bytes));
                }
            }
            Ok(Some(whole)) => return Ok(Some(whole)),
            Ok(None) => {}
            Err(e) => say(format!("nothing is taken from unfinished run {}: {e}", origin.key())),
        }
    }
    Ok(beginning.map(|(origin, bytes)| Taken::Beginning(origin, bytes)))
}

/// Names of the store's files and folders.
fn names(store: &Store) -> Result<HashSet<String>> {
    let failed = || Error::io("look for the run in others", store.folder());
    let mut names = HashSet::new();
    for entry in fs::read_dir(store.folder()).map_err(failed())? {
        names.insert(entry.map_err(failed())?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

/// The configurations that differ from `config` only in when they end. All are made, and looked for by their keys: every file of the
/// store would have to be read to compare configurations, and an unfinished run that an earlier version began has none beside it.
fn relatives(config: &RunConfig) -> impl Iterator<Item = RunConfig> {
    let with = |(stops, fitted, epochs): (bool, usize, usize)| {
        let mut other = config.clone();
        (other.hyper.stop_when_fitted, other.hyper.fitted_epochs, other.hyper.epochs) =
            (stops, fitted, epochs);
        other
    };
    let going_on = (1..=EPOCHS).map(|epochs| (false, 1, epochs));
    let stopping = (1..=MOST_FITTED).flat_map(|k| (1..=STOPPING_EPOCHS).map(move |epochs| (true, k, epochs)));
    going_on.chain(stopping).map(with).filter(move |other| other != config)
}

/// What all configurations have in common that differ only in when they end: one of them may be taken from another.
pub(crate) fn family(config: &RunConfig) -> String {
    let mut one = config.clone();
    (one.hyper.stop_when_fitted, one.hyper.fitted_epochs, one.hyper.epochs) = (false, 1, 1);
    one.key()
}

fn origin(of: &RunConfig, taken: u32, rows: &[LogRow], history: &History) -> Origin {
    let epochs = rows.last().map_or(0, |row| row.epoch);
    Origin { key: of.key(), taken, epochs, revision: provenance::revision(), beyond: history.after(taken) }
}

fn finished(store: &Store, config: &RunConfig, of: &RunConfig) -> Result<Option<Taken>> {
    // The caller tells of an error, as of every run that is not taken; `Store::get` would only warn.
    let run = store::read(&store.path(&of.key()))?;
    let rows = run.rows()?;
    let record = run.record;
    let Common::Whole(count, ending) = common(config, of, &rows, Some(record.ending)) else {
        return Ok(None);
    };
    let taken = rows[..count].last().map_or(0, |row| row.epoch);
    let whole = History { sittings: record.sittings, origin: None };
    let origin = Some(origin(of, taken, &rows, &whole));
    let (history, provenance) = match whole.sittings.is_empty() {
        // A file from before sittings were recorded: only the last one's provenance is known, and not its first epoch.
        true => (History { origin, ..whole }, Some(Box::new(record.provenance))),
        false => (History { origin, ..whole.until(taken) }, None),
    };
    let (rows, parameter_count) = (rows[..count].to_vec(), record.parameters);
    let (classes, left_out, parameters) = (record.classes, record.left_out, Vec::new());
    let trained = TrainedRun { rows, ending, parameters, parameter_count, classes, history, left_out };
    Ok(Some(Taken::Whole(Box::new(trained), provenance)))
}

fn unfinished(store: &Store, config: &RunConfig, of: &RunConfig) -> Result<Option<Taken>> {
    let checkpoint = Checkpoint::new(store.partial(&of.key()), of.key());
    // Read in this order, checkpoint, log, sittings, because another process may be writing all three.
    let Some(bytes) = checkpoint.read()? else { return Ok(None) };
    let Found { parameters, position, .. } = checkpoint.parse(&bytes)?;
    let kept = position.whole();
    let log = match position.ending.is_none()
        && position.within.is_none()
        && kept.iter().all(|row| row.test_top5.is_none())
    {
        // The log lacks top-5 accuracies.
        true => read_log(checkpoint.folder())?,
        false => Vec::new(),
    };
    let (seen, rest) = log.split_at_checked(kept.len()).unwrap_or_default();
    let goes_on = !rest.is_empty() && kept.iter().zip(seen).all(|(row, logged)| row.is_logged_as(logged));
    let rows: Vec<LogRow> = kept.iter().chain(rest.iter().filter(|_| goes_on)).cloned().collect();
    let mut history = History { origin: None, ..position.history.clone() };
    let last = rows.last().map_or(0, |row| row.epoch);
    if history.known() < last {
        history.extend(history::read(checkpoint.folder(), last)?.unwrap_or_default());
    }
    Ok(match common(config, of, &rows, position.ending) {
        Common::Whole(count, ending) => {
            let taken = rows[..count].last().map_or(0, |row| row.epoch);
            let history =
                History { origin: Some(origin(of, taken, &rows, &history)), ..history.until(taken) };
            let parameter_count = parameters.iter().filter(|p| p.is_trained()).map(|p| p.values.len()).sum();
            let (rows, classes, parameters) = (rows[..count].to_vec(), None, Vec::new());
            let left_out = position.left_out;
            let trained =
                TrainedRun { rows, ending, parameters, parameter_count, classes, history, left_out };
            Some(Taken::Whole(Box::new(trained), None))
        }
        _ if common(config, of, kept, position.ending) == Common::Beginning => {
            let taken = position.epoch;
            let from = origin(of, taken, &rows, &history);
            let history = History { origin: Some(from.clone()), ..history.until(taken) };
            let own = Checkpoint::new(store.partial(&config.key()), config.key());
            Some(Taken::Beginning(from, own.adopt(&bytes, position, history)?))
        }
        _ => None,
    })
}
