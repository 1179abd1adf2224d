//! Images per second of training, for every model, in turns with PyTorch where a Python that has it
//! is named.
//!
//! Machines are noisy: the two sides take short turns, and medians are compared.

use crate::config::Init;
use crate::models::{ModelKind, Network};
use crate::optim::SgdStep;
use crate::preprocess::CROP;
use crate::{Error, Result, threads};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// Images a step, as in the recipes.
pub const BATCH: usize = 128;
const IMAGES: usize = 4096;
const TURNS: usize = 9;
/// Seconds that one side's turn takes, about.
const TURN: f64 = 1.0;

/// One model's rates, in images per second.
#[derive(Clone, Debug)]
pub struct Rate {
    /// Architecture.
    pub model: ModelKind,
    /// Ours, median over the turns.
    pub ours: f64,
    /// PyTorch's, median over the turns.
    pub peer: Option<f64>,
}

impl Rate {
    /// Ours over the peer's.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.ours / self.peer?)
    }
}

struct Trainer {
    network: Box<dyn Network>,
    images: Vec<f32>,
    labels: Vec<u16>,
}

const IMAGE: usize = 3 * CROP * CROP;

impl Trainer {
    fn new(model: ModelKind) -> Result<Trainer> {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let images = (0..IMAGES * IMAGE).map(|_| rng.random_range(-1.7..1.7)).collect();
        let labels = (0..IMAGES).map(|_| rng.random_range(0..10)).collect();
        Ok(Trainer { network: model.build(3, 10, Init::Glorot, 0)?, images, labels })
    }

    /// Seconds for `steps` steps, gathering the batches included.
    fn run(&mut self, steps: usize) -> Result<f64> {
        let step = SgdStep { learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0 };
        let start = Instant::now();
        threads::awake(|| -> Result<()> {
            for index in 0..steps {
                let first = index * BATCH % IMAGES;
                // A stride that is no power of two: rows come from all over, as in a shuffled epoch.
                let from = |i: usize| (first + i) * 2741 % IMAGES;
                let mut images = vec![0.0; BATCH * IMAGE];
                threads::each_chunk(&mut images, IMAGE, |i, to| {
                    to.copy_from_slice(&self.images[from(i) * IMAGE..][..IMAGE]);
                });
                let labels: Vec<u16> = (0..BATCH).map(|i| self.labels[from(i)]).collect();
                self.network.train_step(images, &labels, step)?;
            }
            Ok(())
        })?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// The PyTorch process.
struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    program: String,
}

impl Peer {
    fn start(python: &Path) -> Result<(Peer, String)> {
        let program = python.display().to_string();
        let failed = |problem: String| {
            Error::Program {
            program: program.clone(),
            problem,
            remedy: "name a Python with PyTorch, such as one made by `python3 -m venv DIR && DIR/bin/pip install torch`".into(),
        }
        };
        let mut child = Command::new(python)
            .args(["-c", include_str!("bench_peer.py"), &rayon::current_num_threads().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| failed(e.to_string()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed("no pipe".into()));
        };
        let mut peer = Peer { child, input, output: BufReader::new(output), program: program.clone() };
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
                remedy: "check that `import torch` works in this Python".into(),
            }),
        }
    }

    fn run(&mut self, model: ModelKind, steps: usize) -> Result<f64> {
        // A failure to write shows as a missing answer.
        let _ = writeln!(self.input, "{model} {steps}");
        let answer = self.line()?;
        answer.parse().map_err(|_| Error::argument("benchmark", format!("PyTorch's side said {answer:?}")))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures every model. `say` gets a line of what is measured against what.
///
/// Errors: [`Error::Program`] where `peer` is no Python with PyTorch.
pub fn measure(peer: Option<&Path>, say: &mut dyn FnMut(&str)) -> Result<Vec<Rate>> {
    let mut peer = peer.map(Peer::start).transpose()?;
    let threads = rayon::current_num_threads();
    say(&match &peer {
        Some((_, greeting)) => {
            format!("rethink, {threads} threads, in turns with {greeting}; batch {BATCH}, float32")
        }
        None => format!("rethink, {threads} threads; batch {BATCH}, float32"),
    });
    let mut rates = Vec::new();
    for model in ModelKind::ALL {
        let mut trainer = Trainer::new(model)?;
        trainer.run(3)?;
        let once = trainer.run(10)? / 10.0;
        let steps = ((TURN / once) as usize).max(2);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            ours.push((steps * BATCH) as f64 / trainer.run(steps)?);
            if let Some((peer, _)) = &mut peer {
                theirs.push((steps * BATCH) as f64 / peer.run(model, steps)?);
            }
        }
        rates.push(Rate { model, ours: median(ours), peer: (!theirs.is_empty()).then(|| median(theirs)) });
    }
    Ok(rates)
}
