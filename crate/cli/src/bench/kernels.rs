//! Seconds of building and of solving a Gaussian kernel equation, in turns with NumPy and SciPy.

use crate::bench::{Peer, Timing, median};
use crate::{Error, Result};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rethink_nn::device::Device;
use rethink_nn::kernel_methods::cholesky;
use rethink_nn::kernel_methods::gaussian::Gaussian;
use rethink_nn::memory::{check_memory, free_memory};
use rethink_nn::precision::Precision;
use rethink_nn::text::counted;
use std::path::Path;
use std::time::Instant;

/// Features of a point: MNIST's pixels.
const DIMENSIONS: usize = 784;
/// Columns that are solved for: classes.
const COLUMNS: usize = 10;
const GAMMA: f64 = 0.02;
const TURNS: usize = 3;

/// Builds the Gram matrix of `n` points and solves the equation with it, by Cholesky in f32, in turns with `numpy` and
/// `scipy.linalg.cho_factor`, `cho_solve`; on the GPU that is chosen, copies to and from it included. `say` gets a line of
/// what is measured against what.
///
/// Errors: [`Error::Program`] where `peer` is no Python with SciPy; [`Error::Missing`] where memory will not do; those of
/// [`Device::dense`].
pub fn measure(n: usize, peer: Option<&Path>, say: &mut dyn FnMut(&str)) -> Result<Vec<Timing>> {
    if n == 0 {
        return Err(Error::argument("benchmark", "no points"));
    }
    // NumPy keeps the square and a copy to factorise, or only builds it beside what it adds.
    let square = |n: usize| 4 * (n as u64).pow(2);
    let beside = |n: usize| if peer.is_some() { 2 * square(n) } else { 0 };
    let dense = Device::current()?.dense()?;
    let own = |n: usize| if dense.is_some() { 0 } else { cholesky::bytes(n) };
    check_memory(n, |n| own(n) + 4 * (3 * n * DIMENSIONS) as u64 + beside(n), free_memory())?;
    let script = include_str!("kernels_peer.py");
    let remedy = "name a Python with NumPy and SciPy, such as one made by `python3 -m venv DIR && DIR/bin/pip install scipy`";
    let mut peer = peer.map(|python| Peer::start(python, script, &[n.to_string()], remedy)).transpose()?;
    let place = match &dense {
        Some(_) => Device::current()?.exact().describe(Precision::Float32)?,
        None => counted(rayon::current_num_threads(), "thread"),
    };
    say(&match &peer {
        Some((_, greeting)) => format!("rethink, {place}, in turns with {greeting}; n = {n}, float32"),
        None => format!("rethink, {place}; n = {n}, float32"),
    });
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let points: Vec<f32> = (0..n * DIMENSIONS).map(|_| rng.random_range(0.0..1.0)).collect();
    let targets: Vec<f64> = (0..n * COLUMNS).map(|_| rng.random_range(0.0..1.0)).collect();
    let mut times: [Vec<f64>; 4] = Default::default();
    for _ in 0..TURNS {
        {
            let started = Instant::now();
            let kernel = Gaussian::new(points.clone(), DIMENSIONS, GAMMA);
            let placed = dense.as_ref().map(|dense| dense.gaussian(&kernel)).transpose()?;
            let mut matrix = placed.as_deref().unwrap_or(&kernel).copy(0.0)?;
            times[0].push(started.elapsed().as_secs_f64());
            let started = Instant::now();
            matrix
                .factorise(&mut |_| ())?
                .map_err(|e| Error::argument("benchmark", format!("row {} is not positive", e.row)))?;
            std::hint::black_box(matrix.solve(&targets, COLUMNS)?);
            times[1].push(started.elapsed().as_secs_f64());
        }
        if let Some((peer, _)) = &mut peer {
            let answer = peer.ask("turn")?;
            let seconds: Vec<f64> = answer.split_whitespace().filter_map(|v| v.parse().ok()).collect();
            let [gram, solve] = seconds[..] else {
                return Err(Error::argument("benchmark", format!("the peer said {answer:?}")));
            };
            times[2].push(gram);
            times[3].push(solve);
        }
    }
    let optional = |values: &[f64]| (!values.is_empty()).then(|| median(values.to_vec()));
    let timing =
        |what, i: usize| Timing { what, ours: median(times[i].clone()), peer: optional(&times[i + 2]) };
    Ok(vec![timing("Gram matrix", 0), timing("solve", 1)])
}
