//! What the notebook's page shows of a call while it works: a line that is replaced in place, and the loss of each run that trains,
//! growing. Both are gone at its end; what is printed stays.

use crate::live;
use crate::run::config::RunConfig;
use crate::run::watch::Watch;
use crate::{Error, Result};
use polars::prelude::{Column, DataFrame};
use rethink_plot::{Chart, Note, axis};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two states of the line; of the curve, at least.
const LINE: Duration = Duration::from_millis(500);
const CURVE: Duration = Duration::from_secs(2);
/// A run that takes less shows no curve.
const LONG: Duration = Duration::from_secs(5);
/// Drawing takes at most one part in so many of the time.
const SHARE: u32 = 200;
/// Most points of a curve.
const POINTS: usize = 500;

/// Of a call that is at work. Dropped, it leaves the page as if there had been none.
pub(super) struct Page {
    now: Arc<Mutex<PageState>>,
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What there is to show.
#[derive(Default)]
struct PageState {
    /// What is at work where nothing trains.
    text: String,
    /// ", about 3 min left".
    left: String,
    training: BTreeMap<usize, Training>,
}

/// A run that trains.
#[derive(Clone)]
struct Training {
    /// "[2/8] MLP 3x512, random labels, seed 2".
    title: String,
    watch: Arc<Watch>,
    epochs: usize,
    since: Instant,
}

impl PageState {
    fn lines(&self) -> String {
        if self.training.is_empty() {
            return self.text.clone();
        }
        let lines: Vec<String> = self.training.values().map(Training::line).collect();
        lines.join("\n") + &self.left
    }
}

impl Training {
    fn line(&self) -> String {
        let place = self.watch.place();
        if place.epoch == 0 {
            return format!("{}: begins", self.title);
        }
        let loss = self.watch.curve().last().map_or(String::new(), |(_, loss)| format!(", loss {loss:.4}"));
        let step = format!("step {} of {}", place.step, place.of);
        format!("{}: epoch {} of {}, {step}{loss}", self.title, place.epoch, self.epochs)
    }
}

impl Page {
    /// Where the page shows progress; `None` elsewhere.
    pub fn new() -> Option<Page> {
        if !live::is_attached() || std::env::var(live::LIVE_VARIABLE).is_ok_and(|value| value == "0") {
            return None;
        }
        let now: Arc<Mutex<PageState>> = Arc::default();
        let (end, ended) = channel::<()>();
        let show = now.clone();
        let work = move || {
            let (mut line, mut curve) = (Shown::new("line"), Shown::new("curve"));
            let (mut due, mut of) = (Instant::now(), Vec::new());
            while ended.recv_timeout(LINE) == Err(RecvTimeoutError::Timeout) {
                let (text, training) = {
                    let now = lock(&show);
                    (now.lines(), now.training.clone())
                };
                line.show(json!({ "text/plain": text }));
                let started = Instant::now();
                if started < due {
                    continue;
                }
                let long = training.into_values().filter(|training| training.since.elapsed() >= LONG);
                let curves = long.map(|training| (training.title, training.watch.curve()));
                // One point is no curve.
                let curves: Vec<_> = curves.filter(|(_, points)| points.len() > 1).collect();
                let now: Vec<(String, usize)> =
                    curves.iter().map(|(title, points)| (title.clone(), points.len())).collect();
                if curves.is_empty() || now == of {
                    continue;
                }
                of = now;
                if let Ok(svg) = drawn(&curves) {
                    curve.show(json!({ "image/svg+xml": svg, "text/plain": "loss" }));
                }
                due = Instant::now() + CURVE.max(started.elapsed() * SHARE);
            }
            line.clear();
            curve.clear();
        };
        let thread = std::thread::Builder::new().name("rethink: page".into()).spawn(work).ok()?;
        Some(Page { now, end: Some(end), thread: Some(thread) })
    }

    /// Run `index` begins to train.
    pub fn training(&self, index: usize, title: &str, config: &RunConfig, watch: &Arc<Watch>) {
        let (title, watch, epochs) = (title.to_string(), watch.clone(), config.hyper.epochs);
        lock(&self.now).training.insert(index, Training { title, watch, epochs, since: Instant::now() });
    }

    /// Run `index` trains no more.
    pub fn ended(&self, index: usize) {
        lock(&self.now).training.remove(&index);
    }

    /// How long it takes, as it seems now.
    pub fn left(&self, left: String) {
        lock(&self.now).left = left;
    }

    /// Something else is at work, which has just said `text`.
    pub fn says(&self, title: &str, text: &str) {
        *lock(&self.now) = PageState { text: format!("{title}: {text}"), ..PageState::default() };
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(now: &Mutex<PageState>) -> MutexGuard<'_, PageState> {
    now.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A thing on the page that changes in place.
struct Shown {
    id: String,
    last: Option<Value>,
}

impl Shown {
    fn new(what: &str) -> Shown {
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Shown { id: format!("rethink-{what}-{}-{}", std::process::id(), time.as_nanos()), last: None }
    }

    fn show(&mut self, data: Value) {
        if self.last.as_ref() != Some(&data) {
            live::show(&self.id, &data, self.last.is_some());
            self.last = Some(data);
        }
    }

    fn clear(&mut self) {
        if self.last.is_some() {
            self.show(json!({ "text/plain": "" }));
        }
    }
}

/// The curves of runs, each with its title, as SVG; of many points, means of as many neighbours as leave [`POINTS`].
fn drawn(curves: &[(String, Vec<(u32, f64)>)]) -> Result<String> {
    let (mut runs, mut steps, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    for (title, points) in curves {
        let finite: Vec<(u32, f64)> = points.iter().copied().filter(|(_, loss)| loss.is_finite()).collect();
        for chunk in finite.chunks(finite.len().div_ceil(POINTS).max(1)) {
            let sum: f64 = chunk.iter().map(|(_, loss)| loss).sum();
            runs.push(title.as_str());
            steps.push(chunk[chunk.len() - 1].0);
            losses.push(sum / chunk.len() as f64);
        }
    }
    let columns = vec![
        Column::new("run".into(), &runs),
        Column::new("step".into(), &steps),
        Column::new("loss".into(), &losses),
    ];
    let frame = DataFrame::new(steps.len(), columns).map_err(Error::frame("draw the loss"))?;
    let mut chart = Chart::new(&frame, "step", "loss").y(axis("training loss").from(0.0));
    if curves.len() > 1 {
        chart = chart.colour("run");
    }
    Ok(chart.draw("live", &Note::new("while it trains"))?.svg)
}
