//! One model trained by many processes through MPI: each with its share of every batch ([`synchronous`]), or each with a
//! batch of its own ([`asynchronous`], the paper's "distributed asynchronous SGD system with 50 workers").
//!
//! The two ways of training know of MPI only what [`ProcessGroup`] and [`ParameterServer`] say; `mpi` (feature `mpi`) is behind them.

pub mod asynchronous;
#[cfg(feature = "mpi")]
pub mod mpi;
pub mod synchronous;

use crate::ops::batch::BatchPart;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Where several processes ran, and what carried their messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processes {
    /// The MPI library, in its own words.
    pub library: String,
    /// Processes of each host, by its name.
    pub hosts: BTreeMap<String, usize>,
}

/// Processes that train one model. All call the same methods in the same order. A message that is lost ends
/// them all, as is MPI's way; so nothing here gives an error.
pub trait ProcessGroup: Send + Sync {
    /// This process, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// Every process's `values`, which are as many from each, in the order of the ranks.
    fn gather(&self, values: &[f64]) -> Vec<f64>;

    /// Replaces `values` by the sums over all processes, added in the order of the ranks, so that they are the same to
    /// the bit everywhere and every time.
    fn sum(&self, values: &mut [f32]);

    /// Rank 0's `bytes`, everywhere.
    fn broadcast(&self, bytes: Option<Vec<u8>>) -> Option<Vec<u8>>;
}

/// Sums of small vectors over all processes.
pub fn total(team: &dyn ProcessGroup, values: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; values.len()];
    for part in team.gather(values).chunks_exact(values.len().max(1)) {
        sums.iter_mut().zip(part).for_each(|(sum, v)| *sum += v);
    }
    sums
}

/// Weights and velocities that all processes can reach at any time without the others' doing, in a few pieces
/// (shards). While one changes a piece, no other reads or changes it.
pub trait ParameterServer: Send {
    /// The numbers of each shard, in their order: together, all.
    fn shards(&self) -> Vec<Range<usize>>;

    /// Copies all weights, and the velocities where they are asked for. Each shard is of one moment.
    fn fetch(&mut self, weights: &mut [f32], velocity: Option<&mut [f32]>);

    /// Calls `change` with a shard's weights, its velocities, and zeros. The velocities become what it leaves
    /// there; what it leaves in the place of the zeros is added to the weights.
    fn update(&mut self, shard: usize, change: &mut ShardUpdate);

    /// 0, 1, 2, ...: each number is given once, to one process.
    fn ticket(&mut self) -> u64;

    /// Ends it. All processes call it at once.
    fn close(self: Box<Self>);
}

/// See [`ParameterServer::update`].
pub type ShardUpdate<'a> = dyn FnMut(&[f32], &mut [f32], &mut [f32]) + 'a;

/// Who trains a model.
pub enum Parallelism {
    /// This process.
    Alone,
    /// Each process with a share of every batch.
    Synchronous(Arc<dyn ProcessGroup>),
    /// Each process with batches of its own.
    Asynchronous(Arc<dyn ProcessGroup>, MakeServer),
}

/// Makes the server of the weights that are given, with velocities. All processes call it at once, with the
/// same numbers.
pub type MakeServer = Box<dyn FnMut(&[f32], &[f32]) -> Box<dyn ParameterServer>>;

impl Parallelism {
    /// The processes, where there are several.
    pub fn team(&self) -> Option<&Arc<dyn ProcessGroup>> {
        match self {
            Parallelism::Alone => None,
            Parallelism::Synchronous(team) | Parallelism::Asynchronous(team, _) => Some(team),
        }
    }
}

/// A process's part of a batch that all share.
#[derive(Clone)]
pub struct Share {
    /// The processes.
    pub team: Arc<dyn ProcessGroup>,
    /// Which images of the batch.
    pub images: Range<usize>,
    /// How many images the batch has.
    pub of: usize,
    /// There are fewer images than processes, and none for this one. It goes along with the first image, which does not
    /// count, since the others wait for its word in every layer.
    pub idle: bool,
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "images {:?} of {}, rank {}", self.images, self.of, self.team.rank())
    }
}

impl Share {
    /// This process's part of a batch of `of` images.
    pub fn new(team: &Arc<dyn ProcessGroup>, of: usize) -> Share {
        let images = part(of, team.rank(), team.size());
        let idle = images.is_empty();
        Share { team: team.clone(), images: if idle { 0..1 } else { images }, of, idle }
    }
}

impl BatchPart for Share {
    fn images(&self) -> Range<usize> {
        self.images.clone()
    }

    fn of(&self) -> usize {
        self.of
    }

    fn idle(&self) -> bool {
        self.idle
    }

    fn moments(&self, rows: f32, mean: &mut [f32], variance: &mut [f32]) -> f32 {
        let channels = mean.len();
        let rows = if self.idle { 0.0 } else { f64::from(rows) };
        let mut mine = vec![rows];
        mine.extend(mean.iter().chain(variance.iter()).map(|&v| f64::from(v)));
        let all = self.team.gather(&mine);
        let parts: Vec<(f64, &[f64], &[f64])> = all
            .chunks_exact(2 * channels + 1)
            .map(|part| (part[0], &part[1..=channels], &part[channels + 1..]))
            .filter(|(rows, ..)| *rows > 0.0)
            .collect();
        let whole: f64 = parts.iter().map(|(rows, ..)| rows).sum();
        for k in 0..channels {
            let middle = parts.iter().map(|(rows, mean, _)| rows * mean[k]).sum::<f64>() / whole;
            let squares = parts.iter().map(|(rows, mean, v)| rows * (v[k] + (mean[k] - middle).powi(2)));
            variance[k] = (squares.sum::<f64>() / whole) as f32;
            mean[k] = middle as f32;
        }
        whole as f32
    }

    fn totals(&self, rows: f32, sums: &mut [f32]) -> f32 {
        let factor = if self.idle { 0.0 } else { 1.0 };
        let mut mine = vec![factor * f64::from(rows)];
        mine.extend(sums.iter().map(|&s| if self.idle { 0.0 } else { f64::from(s) }));
        let all = total(self.team.as_ref(), &mine);
        sums.iter_mut().zip(&all[1..]).for_each(|(sum, all)| *sum = *all as f32);
        all[0] as f32
    }
}

/// The part of `count` things that falls to `rank` of `size`, in their order.
pub fn part(count: usize, rank: usize, size: usize) -> Range<usize> {
    count * rank / size..count * (rank + 1) / size
}
