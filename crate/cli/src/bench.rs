//! Images per second of training, for every model, in turns with PyTorch where a Python that has it
//! is named.
//!
//! Machines are noisy: the two sides take short turns, and medians are compared.

pub mod kernels;
pub mod layers;
pub mod notebooks;

use crate::{Error, Result};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rethink_nn::device::Device;
use rethink_nn::image::CROP;
use rethink_nn::models::{ModelKind, Network, pytorch};
use rethink_nn::ops::{ForwardContext, layer_passes};
use rethink_nn::optim::{Rules, SgdStep};
use rethink_nn::precision::Precision;
use rethink_nn::text::counted;
use rethink_nn::{instructions, ops, threads};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// Images a step of the networks for CIFAR-10.
pub const BATCH: usize = 128;
/// Of those, images that batches are taken from.
const IMAGES: usize = 4096;
/// Images a step of Inception V3, at 299x299 pixels and 1,000 classes.
const BATCH_V3: usize = 8;
/// Seconds that one side's turn takes, about.
const TURN: f64 = 1.0;

/// One model's rates, in images per second.
#[derive(Clone, Debug)]
pub struct Rate {
    /// Architecture.
    pub model: ModelKind,
    /// Ours, median over the turns.
    pub ours: f64,
    /// Ours with products in bf16, where the processor or the card has them.
    pub ours_bf16: Option<f64>,
    /// PyTorch's in the same arithmetic at its best, median over the turns.
    pub peer: Option<Best>,
    /// The same with products in bf16, where the processor or the card has them.
    pub peer_bf16: Option<Best>,
    /// What part of the processor's peak ours reaches ([`layer_passes::peak`]), counting the products that are made.
    pub of_peak: Option<f64>,
    /// The most memory that our process held while it trained this model, in bytes; Linux alone tells.
    pub ours_memory: Option<u64>,
    /// The same of PyTorch's process, in [`Rate::peer`].
    pub peer_memory: Option<u64>,
}

impl Rate {
    /// Ours over the peer's.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.ours / self.peer.as_ref()?.rate)
    }

    /// Ours over the peer's, both with products in bf16; where we have none, ours in float32 over it.
    pub fn ratio_bf16(&self) -> Option<f64> {
        Some(self.ours_bf16.unwrap_or(self.ours) / self.peer_bf16.as_ref()?.rate)
    }
}

/// The fastest of the peer's variants.
#[derive(Clone, Debug)]
pub struct Best {
    /// Images per second.
    pub rate: f64,
    /// As bench_peer.py names it: `channels_last`, `compiled`, ...
    pub variant: String,
}

/// Seconds of one thing, medians over the turns.
#[derive(Clone, Debug)]
pub struct Timing {
    /// What is timed.
    pub what: &'static str,
    /// Seconds, ours.
    pub ours: f64,
    /// Seconds, the peer's.
    pub peer: Option<f64>,
}

impl Timing {
    /// How many times as fast ours is.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.peer? / self.ours)
    }
}

/// What a model is measured with.
struct Sizes {
    /// Pixels a side of an image.
    side: usize,
    classes: u16,
    /// Images a step.
    batch: usize,
    /// Images that batches are taken from.
    count: usize,
}

impl Sizes {
    fn of(model: ModelKind) -> Sizes {
        if model.is_for_photographs() {
            Sizes { side: 299, classes: 1000, batch: BATCH_V3, count: 4 * BATCH_V3 }
        } else {
            Sizes { side: CROP, classes: 10, batch: BATCH, count: IMAGES }
        }
    }
}

struct Trainer {
    network: Box<dyn Network>,
    image: usize,
    images: Vec<f32>,
    labels: Vec<u16>,
    batch: usize,
}

impl Trainer {
    fn new(model: ModelKind, device: Device) -> Result<Trainer> {
        let Sizes { side, classes, batch, count } = Sizes::of(model);
        let image = 3 * side * side;
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let images = (0..count * image).map(|_| rng.random_range(-1.7..1.7)).collect();
        let labels = (0..count).map(|_| rng.random_range(0..classes)).collect();
        let network = model.build_for([side, side, 3], classes.into(), 1.0, model.init(), 0)?;
        let network = device.take(network)?;
        Ok(Trainer { network, image, images, labels, batch })
    }

    fn set_precision(&mut self, precision: Precision) {
        self.network.set_rules(Rules { precision, ..Rules::default() });
    }

    /// Multiplications and additions of a training step, an image: those of products, with all gradients.
    fn work(&self) -> Result<f64> {
        let (plan, input) = self.network.plan();
        layers::work(plan, input)
    }

    /// Seconds for `steps` steps, gathering the batches included.
    fn run(&mut self, steps: usize) -> Result<f64> {
        let step = SgdStep { learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0 };
        let Trainer { image, batch, .. } = *self;
        let count = self.labels.len();
        let start = Instant::now();
        threads::awake(|| -> Result<()> {
            for index in 0..steps {
                let first = index * batch % count;
                // A stride that is no power of two: rows come from all over, as in a shuffled epoch.
                let from = |i: usize| (first + i) * 2741 % count;
                let mut images = vec![0.0; batch * image];
                threads::each_chunk(&mut images, image, |i, to| {
                    to.copy_from_slice(&self.images[from(i) * image..][..image]);
                });
                let labels: Vec<u16> = (0..batch).map(|i| self.labels[from(i)]).collect();
                let pass = ForwardContext::training_step(0, index as u64);
                self.network.train_step(images, &labels, step, pass)?;
            }
            Ok(())
        })?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// What leaves the peer's libraries (PyTorch, oneDNN, MKL, OpenBLAS) without AVX-512, where that was asked of this program.
fn as_few_instructions() -> &'static [(&'static str, &'static str)] {
    match std::env::var_os(instructions::INSTRUCTIONS_VARIABLE) {
        Some(asked) if asked == "avx2" => &[
            ("ATEN_CPU_CAPABILITY", "avx2"),
            ("ONEDNN_MAX_CPU_ISA", "AVX2"),
            ("MKL_ENABLE_INSTRUCTIONS", "AVX2"),
            ("OPENBLAS_CORETYPE", "Haswell"),
        ],
        _ => &[],
    }
}

/// The PyTorch process.
struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    program: String,
    remedy: &'static str,
}

impl Peer {
    /// Runs `script` in `python` with the number of threads and `arguments`; returns its first line too.
    fn start(
        python: &Path,
        script: &str,
        arguments: &[String],
        remedy: &'static str,
    ) -> Result<(Peer, String)> {
        let program = python.display().to_string();
        let failed =
            |problem: String| Error::Program { program: program.clone(), problem, remedy: remedy.into() };
        let mut child = Command::new(python)
            .args(["-c", script, &rayon::current_num_threads().to_string()])
            .args(arguments)
            .envs(as_few_instructions().iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| failed(e.to_string()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed("no pipe".into()));
        };
        let mut peer =
            Peer { child, input, output: BufReader::new(output), program: program.clone(), remedy };
        let greeting = peer.line()?;
        Ok((peer, greeting))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(n) if n > 0 => Ok(line.trim().to_string()),
            _ => Err(Error::Program {
                program: self.program.clone(),
                problem: "it ended without an answer; its message is above".into(),
                remedy: self.remedy.into(),
            }),
        }
    }

    fn ask(&mut self, question: &str) -> Result<String> {
        // A failure to write shows as a missing answer.
        let _ = writeln!(self.input, "{question}");
        self.line()
    }

    /// Seconds for `steps` steps, and the most memory so far since the model was built.
    fn run(&mut self, model: ModelKind, variant: &str, steps: usize) -> Result<(f64, Option<u64>)> {
        let answer = self.ask(&format!("{model} {variant} {steps}"))?;
        let (seconds, memory) = answer.split_once(' ').unwrap_or((&answer, ""));
        let said = || Error::argument("benchmark", format!("PyTorch's side said {answer:?}"));
        Ok((seconds.parse().map_err(|_| said())?, memory.parse().ok()))
    }

    /// The fastest of `variants`, tried for a few steps each. Those that fail are passed over, and said.
    fn fastest<'a>(
        &mut self,
        model: ModelKind,
        variants: &[&'a str],
        steps: usize,
        say: &mut dyn FnMut(&str),
    ) -> Option<&'a str> {
        let mut tried = Vec::new();
        for &variant in variants {
            match self.run(model, variant, steps) {
                Ok((seconds, _)) => tried.push((seconds, variant)),
                Err(error) => say(&format!("{model}, {variant}: {error}")),
            }
        }
        tried.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, variant)| variant)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has the system count this process's peak of memory from now on.
fn forget_peak() {
    // Where there is no such file, `peak` has no answer either.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The most memory that this process has held since [`forget_peak`], in bytes.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(1024 * line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures `models` on `device`, each in so many turns. `say` gets a line of what is measured against what.
///
/// Errors: [`Error::Program`] where `peer` is no Python with PyTorch; those of [`Device::take`].
pub fn measure(
    device: Device,
    models: &[ModelKind],
    peer: Option<&Path>,
    turns: usize,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Rate>> {
    let script = format!("{}\n{}", pytorch(), include_str!("bench_peer.py"));
    let remedy =
        "name a Python with PyTorch, such as one made by `python3 -m venv DIR && DIR/bin/pip install torch`";
    let (place, arithmetic) = match device {
        Device::Cpu => ("cpu".to_string(), "float32"),
        Device::Cuda { card, tf32 } => (format!("cuda:{card}"), if tf32 { "tf32" } else { "float32" }),
    };
    let arguments = [place.clone(), arithmetic.to_string()];
    let mut peer = peer.map(|python| Peer::start(python, &script, &arguments, remedy)).transpose()?;
    let variants = peer.as_mut().map(|(peer, _)| peer.line()).transpose()?.unwrap_or_default();
    let (halves, whole): (Vec<&str>, Vec<&str>) =
        variants.split_whitespace().partition(|variant| variant.starts_with("bf16+"));
    let threads = rayon::current_num_threads();
    let beside = peer.as_ref().map_or(String::new(), |(_, greeting)| format!(", in turns with {greeting}"));
    let instructions =
        if device == Device::Cpu { format!(", {}", instructions::name()) } else { String::new() };
    let peak_now = || (device == Device::Cpu).then(|| layer_passes::peak(threads, Precision::Float32));
    let mut top = peak_now();
    let reach = top.map_or(String::new(), |top| {
        format!(
            "; peak {:.0} GFLOP/s, of one thread {:.0}",
            top / 1e9,
            layer_passes::peak(1, Precision::Float32) / 1e9
        )
    });
    say(&format!(
        "rethink, {place}{instructions}, {}{beside}; batch {BATCH} ({BATCH_V3} of 299x299), {arithmetic}{reach}",
        counted(threads, "thread")
    ));
    let mut rates = Vec::new();
    for &model in models {
        ops::release_memory();
        forget_peak();
        let mut trainer = Trainer::new(model, device)?;
        let batch = trainer.batch;
        trainer.run(1)?;
        let once = trainer.run(2)? / 2.0;
        let steps = ((TURN / once) as usize).max(2);
        let twin = model.description().pytorch.is_some();
        let mut chosen = |variants: &[&str]| {
            let (peer, _) = peer.as_mut().filter(|_| twin)?;
            peer.fastest(model, variants, steps, say).map(|variant| (variant.to_string(), Vec::new()))
        };
        let has_half = match device {
            Device::Cpu => Precision::Bf16.check().is_ok(),
            // Once for a card: it is the same with TensorFloat-32.
            Device::Cuda { tf32, .. } => !tf32,
        };
        let half_variants = if device == Device::Cpu || has_half { &halves[..] } else { &[] };
        let (mut best, mut best_half) = (chosen(&whole), chosen(half_variants));
        let (mut ours, mut ours_half, mut memories) = (Vec::new(), Vec::new(), Vec::new());
        let mut ours_memory = None;
        // In bf16 afterwards: a change of the variant builds the model anew.
        for (precision, chosen, memories) in [
            (Precision::Float32, &mut best, &mut memories),
            (Precision::Bf16, &mut best_half, &mut Vec::new()),
        ] {
            let in_half = has_half && !precision.is_float32();
            if in_half {
                trainer.set_precision(precision);
                trainer.run(1)?;
            }
            for _ in 0..turns {
                if let (Some((variant, rates)), Some((peer, _))) = (chosen.as_mut(), peer.as_mut()) {
                    let (seconds, memory) = peer.run(model, variant, steps)?;
                    rates.push((steps * batch) as f64 / seconds);
                    memories.push(memory);
                } else if !in_half && ours.len() >= turns {
                    break;
                }
                let rates = if in_half { &mut ours_half } else { &mut ours };
                rates.push((steps * batch) as f64 / trainer.run(steps)?);
            }
            // A card's memory is not the process's.
            ours_memory = ours_memory.or_else(|| peak().filter(|_| device == Device::Cpu));
        }
        let of = |chosen: Option<(String, Vec<f64>)>| {
            chosen.map(|(variant, rates)| Best { rate: median(rates), variant })
        };
        let rate = median(ours);
        // Once more: the first may have been measured while other work ran.
        top = top.zip(peak_now()).map(|(before, now)| before.max(now));
        let ours_bf16 = has_half.then(|| median(ours_half));
        let of_peak = top.map(|top| Ok::<f64, Error>(rate * trainer.work()? / top)).transpose()?;
        let peer_memory = memories.last().copied().flatten();
        let (peer, peer_bf16) = (of(best), of(best_half));
        rates.push(Rate { model, ours: rate, ours_bf16, peer, peer_bf16, of_peak, ours_memory, peer_memory });
    }
    Ok(rates)
}
