//! The store as the page's JSON.

use crate::Result;
use rethink::paper::beside;
use rethink::run::config::{RunConfig, Scale};
use rethink::run::row::{LogRow, StopReason};
use rethink::store::growing::{Growing, Look, Unfinished};
use rethink::store::{Run, Store};
use rethink::study::switched_on;
use serde_json::{Map, Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// A store that a page looks at.
pub struct View {
    store: Store,
    live: Growing,
}

impl View {
    /// Of `store`, which need not be there yet.
    pub fn new(store: Store) -> View {
        View { live: Growing::new(store.clone()), store }
    }

    /// All runs, without their curves: `{"store", "runs": [...], "passed_over": [{"path", "reason"}]}`. Of a run: `key`, `state`
    /// (`finished`, `diverged`, `running`, `stopped`), `ended` (text), `epochs` so far, `train` and `test` (accuracies at the end or the last
    /// ones measured, 0 to 1, or null), `batch` (of an unfinished one: on the last batches), `loss` (nats), `seconds`, `since` and `last` (of an unfinished one: when its sitting began and its last
    /// epoch ended, seconds since 1970), `paper` (`[{"table", "train", "test"}]`, per cent), and what it is: `model`, `data`, `corruption`,
    /// `setting`, `n`, `width`, `of` (most epochs), `seed`, `scale` (null where an earlier version began it).
    ///
    /// Errors: those of [`Growing::look`].
    pub fn runs(&mut self) -> Result<Value> {
        let Look { finished, unfinished, passed_over } = self.live.look()?;
        let runs: Vec<Value> = unfinished
            .iter()
            .map(unfinished_run)
            .chain(finished.iter().map(|run| finished_run(run)))
            .collect();
        let passed_over: Vec<Value> = passed_over
            .iter()
            .map(|other| json!({ "path": other.path.display().to_string(), "reason": other.reason }))
            .collect();
        Ok(
            json!({ "store": self.store.folder().display().to_string(), "runs": runs, "passed_over": passed_over }),
        )
    }

    /// The rows of the runs that `query` names, `run=KEY:HAVE` each, after the first `HAVE` rows: an object by key of `from` (the number of the
    /// first row, from 0), `total` and the columns `step`, `epoch`, `loss`, `batch`, `train`, `test`. A run that has fewer rows than that (it was
    /// killed, and went on from its checkpoint) comes whole. Runs that are not there are left out.
    ///
    /// Errors: those of [`Growing::look`] and [`Run::rows`].
    pub fn curves(&mut self, query: &str) -> Result<Value> {
        let look = self.live.look()?;
        let mut found = Map::new();
        for wanted in query.split('&').filter_map(|pair| pair.strip_prefix("run=")) {
            let (key, have) = wanted.split_once(':').unwrap_or((wanted, "0"));
            let have = have.parse().unwrap_or(0);
            let finished = look.finished.iter().find(|run| run.record.config.key() == key);
            let unfinished = || look.unfinished.iter().find(|run| run.key == key);
            let rows = match finished {
                Some(run) => run.rows()?,
                None => match unfinished() {
                    Some(run) => run.rows.clone(),
                    None => continue,
                },
            };
            found.insert(key.into(), columns(&rows, have));
        }
        Ok(found.into())
    }
}

fn columns(rows: &[LogRow], have: usize) -> Value {
    let from = if have <= rows.len() { have } else { 0 };
    let of = |value: fn(&LogRow) -> Value| rows[from..].iter().map(value).collect::<Vec<_>>();
    json!({
        "from": from,
        "total": rows.len(),
        "step": of(|row| json!(row.step)),
        "epoch": of(|row| json!(row.epoch)),
        "loss": of(|row| json!(row.loss)),
        "batch": of(|row| json!(row.batch_accuracy)),
        "train": of(|row| json!(row.train_accuracy)),
        "test": of(|row| json!(row.test_accuracy)),
    })
}

fn finished_run(run: &Run) -> Value {
    let record = &run.record;
    let diverged = record.ending == StopReason::Diverged;
    let mut json = about(Some(&record.config), Some(record.scale));
    json["key"] = json!(record.config.key());
    json["state"] = json!(if diverged { "diverged" } else { "finished" });
    json["ended"] = json!(record.ended());
    json["epochs"] = json!(record.epochs);
    json["train"] = json!(record.train_accuracy);
    json["test"] = json!(record.test_accuracy);
    json["loss"] = json!(run.rows().ok().and_then(|rows| rows.last().map(|row| row.loss)));
    json["seconds"] = json!(record.seconds);
    json
}

fn unfinished_run(run: &Unfinished) -> Value {
    let last = run.rows.last();
    // Not every epoch measures them.
    let latest = |value: fn(&LogRow) -> Option<f64>| run.rows.iter().rev().find_map(value);
    let seconds = |time: Option<SystemTime>| Some(time?.duration_since(UNIX_EPOCH).ok()?.as_secs_f64());
    let mut json = about(run.config.as_ref(), run.scale);
    json["key"] = json!(run.key);
    json["state"] = json!(if run.at_work { "running" } else { "stopped" });
    json["epochs"] = json!(last.map_or(0, |row| row.epoch));
    json["train"] = json!(latest(|row| row.train_accuracy));
    json["batch"] = json!(last.map(|row| row.batch_accuracy));
    json["test"] = json!(latest(|row| row.test_accuracy));
    json["loss"] = json!(last.map(|row| row.loss));
    json["seconds"] = json!(last.map(|row| row.seconds));
    json["since"] = json!(seconds(run.began));
    json["last"] = json!(seconds(run.last));
    json
}

/// What a run is.
fn about(config: Option<&RunConfig>, scale: Option<Scale>) -> Value {
    let Some(config) = config else { return json!({ "paper": [] }) };
    let parallel = config.parallel.map(|parallel| parallel.describe());
    let setting = switched_on(config).into_iter().chain(parallel);
    let paper: Vec<Value> = beside::numbers(config)
        .iter()
        .map(|row| json!({ "table": row.table, "train": row.train, "test": row.test }))
        .collect();
    json!({
        "model": config.model.title(),
        "data": config.data.title,
        "corruption": config.corruption.title(),
        "setting": setting.collect::<Vec<_>>().join(", "),
        "n": config.data.train,
        "width": config.width_factor,
        "of": config.hyper.epochs,
        "seed": config.seeds.init,
        "scale": scale.map(|scale| scale.name()),
        "paper": paper,
    })
}
