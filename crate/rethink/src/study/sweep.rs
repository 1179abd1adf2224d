//! Training several runs, with lines of progress: side by side where a network is too small to keep all threads busy.
//!
//! ```text
//! lanes   a run of the list each, on a part of the threads   ->   events   ->   Progress: lines, the page, the forecast
//! ```
//!
//! A step of an eighth of Inception's width is a hundred operations of some 0.05 ms. On several threads, all wait at the end of each for
//! the last one, the longer the more threads there are and the more else runs on them; runs side by side wait for nobody
//! (`crate/notes/speed.md`). A step on a GPU is hundreds of operations, many too small for the whole card, and the card waits while the next ones are
//! begun (`crate/notes/gpu.md`). No number depends on it.

use crate::data::DataId;
use crate::live::{Call, is_attached};
use crate::run::config::RunConfig;
use crate::run::loader::crop_note;
use crate::run::row::{LogRow, StopReason};
use crate::store::origin::family;
use crate::store::{Event, Run, Store};
use crate::study::Study;
use crate::study::forecast::{Forecast, work};
use crate::study::page::Page;
use crate::study::words::{begun, describe, summary, taken};
use crate::{Error, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};
use rethink_nn::device::Device;
use rethink_nn::memory::free_memory;
use rethink_nn::text::are;
use rethink_nn::threads::sharing;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

/// What runs side by side share.
struct Capacity {
    /// Multiply-adds of the forward passes of a step each that keep all of it busy.
    step: f64,
    /// As many stand for a run of a smaller step.
    least: f64,
    /// Bytes of memory, each with what one run holds of it.
    memory: Vec<(f64, RunMemory)>,
}

/// Bytes that a run holds, whose step has so many multiply-adds.
type RunMemory = fn(&RunConfig, f64) -> f64;

/// Images as the network gets them, and as they are kept.
fn held_here(config: &RunConfig, _step: f64) -> f64 {
    let DataId { train, test, .. } = config.data;
    let images = (train + test) * 3 * config.input * config.input * size_of::<f32>();
    images as f64 + kept(config)
}

/// Training images as they are kept: where their pixels are corrupted, as numbers.
fn kept(config: &RunConfig) -> f64 {
    (config.data.train * 3 * 32 * 32 * size_of::<f32>()) as f64
}

/// Of memory that is free: other programs have the rest.
fn half(free: Option<u64>) -> f64 {
    free.map_or(f64::INFINITY, |free| free as f64 / 2.0)
}

impl Capacity {
    /// Of a processor with so many threads and so much free memory.
    fn of_processor(free: Option<u64>, threads: usize) -> Capacity {
        let of_a_thread = 1e9;
        let memory: Vec<(f64, RunMemory)> = vec![(half(free), held_here)];
        Capacity { step: threads as f64 * of_a_thread, least: of_a_thread, memory }
    }

    /// Of a GPU, on which and beside which so much memory is free, and a thread for each run. Three small Inceptions, or eight small
    /// MLPs: by the times of a step's kernels, not by a measurement of several runs.
    fn of_card([on_card, beside]: [Option<u64>; 2], threads: usize) -> Capacity {
        let (step, most) = (8e10, threads.clamp(1, 8) as f64);
        // The memory of a step is that of `crate/notes/gpu.md` and a half more; cuBLAS has some of its own.
        let there: RunMemory = |config, step| kept(config) + 0.03 * step + (64 << 20) as f64;
        let memory = vec![(half(on_card), there), (half(beside), held_here)];
        Capacity { step, least: step / most, memory }
    }

    fn of(device: Device) -> Result<Capacity> {
        let threads = rayon::current_num_threads();
        Ok(match device {
            Device::Cpu => Capacity::of_processor(free_memory(), threads),
            // One after the other.
            _ if !device.works_side_by_side() => Capacity::of_card([None; 2], 1),
            _ => Capacity::of_card([device.free_memory()?, free_memory()], threads),
        })
    }
}

/// Between two lines of a run's progress.
const LINES: u64 = 5;

/// How many runs of `configs` are trained at a time; a processor's threads are divided among them.
fn lanes(configs: &[&RunConfig], on: &Capacity) -> usize {
    let busy = |c: &&RunConfig| work(c).map_or(f64::INFINITY, |work| work * c.hyper.batch_size as f64);
    let each = configs.iter().map(busy).fold(0.0, f64::max);
    let mut fitting = on.step / each.max(on.least);
    for (all, held) in &on.memory {
        let most = configs.iter().map(|c| held(c, busy(c))).fold(1.0, f64::max);
        fitting = fitting.min(all / most);
    }
    (fitting as usize).clamp(1, configs.len().max(1))
}

impl Study {
    /// "[2/8]", and of a data set that somebody made, its name.
    fn place(&self, index: usize, of: &[RunConfig]) -> String {
        let data = if self.given { format!(" {}:", self.data.short_name()) } else { String::new() };
        format!("[{}/{}]{data}", index + 1, of.len())
    }
}

/// The places of `configs`, together those of which one may be taken from another: they are trained one after the other.
fn chains(configs: &[RunConfig]) -> Vec<Vec<usize>> {
    let (mut chains, mut known): (Vec<Vec<usize>>, HashMap<String, usize>) = Default::default();
    for (index, config) in configs.iter().enumerate() {
        let at = *known.entry(family(config)).or_insert(chains.len());
        match chains.get_mut(at) {
            Some(chain) => chain.push(index),
            None => chains.push(vec![index]),
        }
    }
    chains
}

/// Several lanes work, and `progress` hears of it, on this thread.
///
/// Errors: [`Error::Argument`] where the system gives no threads.
fn side_by_side(lane: &Lane, (lanes, threads): (usize, usize), progress: &mut Progress) -> Result<()> {
    // A pool of all threads for each, of which most sleep: when a lane has nothing more to do, the others get its part. All are made
    // before the first lane begins, which would train to its end where a later one is refused.
    let pools = (0..lanes).map(|_| ThreadPoolBuilder::new().num_threads(threads).build());
    let pools: Vec<ThreadPool> =
        pools.collect::<Result<_, _>>().map_err(|e| Error::argument("threads", e.to_string()))?;
    let working = Arc::new(AtomicUsize::new(lanes));
    let (tell, said) = channel::<(usize, Message)>();
    thread::scope(|scope| {
        for pool in pools {
            let (working, tell) = (working.clone(), tell.clone());
            scope.spawn(move || {
                // Who hears it is there until all lanes have ended.
                let mut tell = |index, of| drop(tell.send((index, of)));
                pool.install(|| sharing(&working, || lane.work(&mut tell)));
                working.fetch_sub(1, Ordering::Relaxed);
            });
        }
        drop(tell);
        said.iter().for_each(|(index, of)| progress.hear(index, of));
    });
    Ok(())
}

/// What a lane says of a run.
enum Message {
    Event(Event),
    End(Box<Result<Run>>),
}

impl Study {
    /// Each of `configs` from the store, or trained now; `say` gets lines of progress.
    ///
    /// Errors: [`Error::Interrupted`]; those of [`crate::store::Store::run`].
    pub fn train_all(&self, configs: &[RunConfig], say: &mut dyn FnMut(&str)) -> Result<Vec<Run>> {
        match self.train_as_far(configs, say)? {
            (runs, None) => Ok(runs),
            (_, Some(what)) => Err(Error::Interrupted { what }),
        }
    }

    /// [`Study::train_all`], as far as it comes before an interrupt, and what there is to say of that.
    pub(super) fn train_as_far(
        &self,
        configs: &[RunConfig],
        say: &mut dyn FnMut(&str),
    ) -> Result<(Vec<Run>, Option<String>)> {
        let _call = Call::new();
        let store = self.store();
        store.warn_of_others()?;
        let missing: Vec<&RunConfig> = configs.iter().filter(|c| !store.path(&c.key()).exists()).collect();
        // A device is not opened for runs that are there.
        let lanes = if missing.is_empty() { 1 } else { lanes(&missing, &Capacity::of(Device::current()?)?) };
        let chains =
            if lanes == 1 { (0..configs.len()).map(|at| vec![at]).collect() } else { chains(configs) };
        let mut progress = Progress::new(self, configs, lanes, say);
        let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let lane = Lane { study: self, store: &store, configs, chains: &chains, next: &next, over: &over };
        if lanes == 1 {
            lane.work(&mut |index, of| progress.hear(index, of));
        } else {
            side_by_side(&lane, (lanes, rayon::current_num_threads()), &mut progress)?;
        }
        progress.results()
    }
}

/// Trains one chain of runs after the other, of those that no other lane has.
struct Lane<'a> {
    study: &'a Study,
    store: &'a Store,
    configs: &'a [RunConfig],
    chains: &'a [Vec<usize>],
    /// Of the chains.
    next: &'a AtomicUsize,
    /// Whether no more runs are to be begun.
    over: &'a AtomicBool,
}

impl Lane<'_> {
    /// Until there are no more; `tell` gets the place of each run and what there is to say of it.
    fn work(&self, tell: &mut dyn FnMut(usize, Message)) {
        while let Some(chain) = self.chains.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            for &index in chain {
                if self.over.load(Ordering::Relaxed) {
                    return;
                }
                let (config, Study { data, scale, .. }) = (&self.configs[index], self.study);
                let run =
                    self.store.run(config, data, *scale, &mut |event| tell(index, Message::Event(event)));
                if !run.as_ref().is_ok_and(|run| run.record.ending != StopReason::Interrupted) {
                    self.over.store(true, Ordering::Relaxed);
                }
                tell(index, Message::End(Box::new(run)));
            }
        }
    }
}

/// What is known of the runs, and what is said of them, in their order.
struct Progress<'a> {
    study: &'a Study,
    configs: &'a [RunConfig],
    runs: Vec<State>,
    /// The first run that is not at its end: what there is to say of later ones waits.
    first: usize,
    page: Option<Page>,
    forecast: Forecast,
    /// What is said once, whatever the number of runs.
    crop_said: bool,
    report_said: bool,
    say: &'a mut dyn FnMut(&str),
}

struct State {
    /// "[2/8] MLP 3x512, random labels, seed 2".
    title: String,
    origin: Source,
    /// Whether another process has it, as far as is known.
    elsewhere: bool,
    /// When the first epoch of this sitting was seen, and which one it was.
    started: Option<(Instant, u32)>,
    said: Instant,
    waiting: Vec<String>,
    end: Option<Result<Run>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Source {
    Training,
    Store,
    OtherRun,
}

impl<'a> Progress<'a> {
    fn new(study: &'a Study, configs: &'a [RunConfig], lanes: usize, say: &'a mut dyn FnMut(&str)) -> Self {
        let state = |(index, config): (usize, &RunConfig)| State {
            title: format!("{} {}", study.place(index, configs), describe(config)),
            origin: Source::Training,
            elsewhere: false,
            started: None,
            said: Instant::now(),
            waiting: Vec::new(),
            end: None,
        };
        let runs = configs.iter().enumerate().map(state).collect();
        let forecast = Forecast::new(&study.store(), configs, lanes);
        Progress {
            study,
            configs,
            runs,
            first: 0,
            page: Page::new(),
            forecast,
            crop_said: false,
            report_said: false,
            say,
        }
    }

    /// Says it now, or when the runs before are at their end.
    fn say(&mut self, index: usize, line: String) {
        if index == self.first {
            (self.say)(&line);
        } else {
            self.runs[index].waiting.push(line);
        }
    }

    fn hear(&mut self, index: usize, of: Message) {
        match of {
            Message::Event(event) => self.event(index, event),
            Message::End(run) => self.end(index, *run),
        }
    }

    fn event(&mut self, index: usize, event: Event) {
        let state = &mut self.runs[index];
        let title = state.title.clone();
        match event {
            Event::Found(_) => state.origin = Source::Store,
            Event::Training(watch, after) => {
                (state.started, state.said, state.elsewhere) = (None, Instant::now(), false);
                if let Some(page) = &self.page {
                    page.training(index, &title, &self.configs[index], &watch);
                }
                if let (false, Some(note)) =
                    (self.crop_said, crop_note(&self.configs[index], &self.study.data))
                {
                    self.crop_said = true;
                    (self.say)(&note);
                }
                if after > 0 {
                    self.say(index, format!("{title}: goes on after epoch {after}"));
                }
            }
            Event::Waiting => {
                state.elsewhere = true;
                self.say(index, format!("{title}: another process is training it, waiting"));
            }
            Event::Taken(record) => {
                state.origin = Source::OtherRun;
                let line = format!(
                    "{} {}; {}",
                    self.study.place(index, self.configs),
                    summary(&record),
                    taken(&record)
                );
                self.say(index, line);
            }
            Event::Begun(origin) => self.say(index, format!("{title}: {}", begun(&origin))),
            Event::PassedOver(why) => self.say(index, format!("{title}: {why}")),
            Event::Epoch(row) => self.epoch(index, &row),
        }
    }

    fn epoch(&mut self, index: usize, row: &LogRow) {
        let (config, state) = (&self.configs[index], &mut self.runs[index]);
        // The first epoch seen may be one in the middle, after a checkpoint, and pays for the start.
        let (first, from) = *state.started.get_or_insert((Instant::now(), row.epoch));
        if row.epoch > from {
            let seconds = first.elapsed().as_secs_f64() / f64::from(row.epoch - from);
            self.forecast.running(config, row.epoch, seconds);
        }
        if let Some(page) = &self.page {
            page.left(self.forecast.left(&self.configs[self.first..]));
        } else if index == self.first && state.said.elapsed().as_secs() >= LINES {
            state.said = Instant::now();
            let line = format!(
                "{}: epoch {} of {}, loss {:.4}, train {:.1} %{}",
                state.title,
                row.epoch,
                config.hyper.epochs,
                row.loss,
                100.0 * row.batch_accuracy,
                self.forecast.left(&self.configs[index..])
            );
            (self.say)(&line);
        }
    }

    /// Which files a run left out.
    fn report(&self, run: &Run) -> Option<String> {
        run.record.left_out.and(self.study.data.photographs.as_ref()?.report())
    }

    fn end(&mut self, index: usize, run: Result<Run>) {
        if let Some(page) = &self.page {
            page.ended(index);
        }
        if let Ok(run) = &run {
            let new = self.runs[index].origin == Source::Training;
            if let (true, false, Some(report)) = (new, self.report_said, self.report(run)) {
                self.report_said = true;
                (self.say)(&report);
            }
            if new && run.record.ending != StopReason::Interrupted {
                self.forecast.finished(&run.record);
                let left = self.forecast.left(&self.configs[self.first..]);
                let line =
                    format!("{} {}{left}", self.study.place(index, self.configs), summary(&run.record));
                self.say(index, line);
            }
        }
        self.runs[index].end = Some(run);
        while self.runs.get(self.first).is_some_and(|state| state.end.is_some()) {
            self.first += 1;
            for line in self
                .runs
                .get_mut(self.first)
                .map(|next| std::mem::take(&mut next.waiting))
                .unwrap_or_default()
            {
                (self.say)(&line);
            }
        }
    }

    /// The runs, as far as they came, and what an interrupt has done.
    ///
    /// Errors: the first that is no interrupt.
    fn results(self) -> Result<(Vec<Run>, Option<String>)> {
        let Progress { configs, runs: states, say, .. } = self;
        let (mut runs, mut stopped, mut unfinished) = (Vec::new(), Vec::new(), 0);
        let (mut found, mut elsewhere) = (0, 0);
        for State { title, origin, elsewhere: waited, waiting, end, .. } in states {
            // Of runs behind one that did not come to its end.
            waiting.iter().for_each(|line| say(line));
            match end {
                Some(Ok(run)) if run.record.ending == StopReason::Interrupted => {
                    stopped.push(format!("{title}: interrupted in or after epoch {}", run.record.epochs));
                    unfinished += 1;
                    runs.push(run);
                }
                Some(Ok(run)) => {
                    found += usize::from(origin == Source::Store);
                    elsewhere += usize::from(origin == Source::OtherRun);
                    runs.push(run);
                }
                Some(Err(Error::Interrupted { .. })) => {
                    let when = match waited {
                        true => "while it waited for another process, which trains it",
                        false => "before its first row",
                    };
                    stopped.push(format!("{title}: interrupted {when}"));
                }
                Some(Err(error)) => return Err(error),
                // What stopped the others is said of them.
                None => (),
            }
        }
        if !stopped.is_empty() {
            let (done, of) = (runs.len() - unfinished, configs.len());
            let same = if is_attached() { "cell, run" } else { "command, called" };
            let what = format!(
                "{}; {done} of {} finished. The same {same} again, goes on from here",
                stopped.join("; "),
                are(of, "run")
            );
            return Ok((runs, Some(what)));
        }
        for (count, one, several) in [
            (found, "the run was in the store", "were in the store"),
            (elsewhere, "the run was taken from another one", "were taken from other runs"),
        ] {
            match (count, configs.len()) {
                (0, _) => (),
                (_, 1) => say(one),
                (count, of) => say(&format!("{count} of {of} runs {several}")),
            }
        }
        Ok((runs, None))
    }
}

#[cfg(test)]
mod tests {
    use super::{Capacity, chains, lanes};
    use crate::data::corruption::Corruption;
    use crate::data::shapes10;
    use crate::run::appendix_a::config_at;
    use crate::run::config::{RunConfig, Scale, Seeds};
    use rethink_nn::models::ModelKind;

    fn config(scale: Scale, model: ModelKind, repeat: u64) -> RunConfig {
        config_at(&shapes10::dataset(), scale, model, Corruption::TrueLabels, Seeds::repeat(repeat))
    }

    #[test]
    fn narrow_networks_train_side_by_side_and_wide_ones_do_not() {
        let narrow = [0, 1, 2].map(|repeat| config(Scale::Small, ModelKind::Inception, repeat));
        let wide = [0, 1].map(|repeat| config(Scale::Paper, ModelKind::Inception, repeat));
        let of = |configs: &[RunConfig], threads| {
            lanes(&configs.iter().collect::<Vec<_>>(), &Capacity::of_processor(Some(24_000_000_000), threads))
        };
        assert_eq!([1, 2, 16].map(|threads| of(&narrow, threads)), [1, 2, 3], "no more than there are runs");
        assert_eq!([1, 2, 16].map(|threads| of(&wide, threads)), [1, 1, 1]);
        // The widest decides.
        assert_eq!(of(&[narrow[0].clone(), wide[0].clone()], 2), 1);
        assert_eq!(of(&[], 2), 1);
    }

    #[test]
    fn networks_of_small_steps_train_side_by_side_where_there_is_memory() {
        // As many images as CIFAR-10 has: 0.56 GB as the network gets them, and as much again at most as they are kept.
        let mlps = [0, 1, 2].map(|repeat| {
            let mut config = config(Scale::Paper, ModelKind::Mlp1x512, repeat);
            (config.data.train, config.data.test) = (50_000, 10_000);
            config
        });
        let of = |gigabytes: u64, threads| {
            let free = Some(gigabytes * 1_000_000_000);
            lanes(&mlps.iter().collect::<Vec<_>>(), &Capacity::of_processor(free, threads))
        };
        assert_eq!([2, 4, 5, 8].map(|gigabytes| of(gigabytes, 4)), [1, 1, 2, 3]);
        assert_eq!(of(24, 2), 2, "a thread each");
    }

    #[test]
    fn a_card_trains_several_networks_that_it_has_room_for() {
        let of = |model, gigabytes: [u64; 2], threads| {
            // As many images as CIFAR-10 has.
            let configs = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(|repeat| {
                let mut config = config(Scale::Paper, model, repeat);
                (config.data.train, config.data.test) = (50_000, 10_000);
                config
            });
            let free = gigabytes.map(|gigabytes| Some(gigabytes * 1_000_000_000));
            lanes(&configs.iter().collect::<Vec<_>>(), &Capacity::of_card(free, threads))
        };
        assert_eq!(of(ModelKind::Inception, [80, 128], 16), 3);
        assert_eq!(of(ModelKind::InceptionV3, [80, 128], 16), 1);
        assert_eq!(of(ModelKind::Mlp1x512, [80, 128], 16), 8);
        assert_eq!(of(ModelKind::Mlp1x512, [80, 128], 2), 2, "each needs a thread");
        assert_eq!(of(ModelKind::Inception, [6, 128], 16), 2);
        assert_eq!(of(ModelKind::Inception, [1, 128], 16), 1);
        assert_eq!(of(ModelKind::Mlp1x512, [80, 12], 16), 5, "each holds its images here, twice");
    }

    #[test]
    fn runs_that_may_be_taken_from_each_other_are_trained_one_after_the_other() {
        let first = config(Scale::Smoke, ModelKind::Mlp1x512, 0);
        let mut going = first.clone();
        going.hyper.keep_going();
        let other = config(Scale::Smoke, ModelKind::Mlp1x512, 1);
        assert_eq!(chains(&[first.clone(), other, going, first]), [vec![0, 2, 3], vec![1]]);
    }
}
