//! MPI behind [`ProcessGroup`] and [`ParameterServer`]: collective messages by the crate `mpi`; one-sided ones, which it lacks, by
//! its bindings of the C interface, in the small functions of [`Window`].

use crate::distributed::Processes;
use crate::distributed::{MakeServer, Parallelism, ParameterServer, ProcessGroup, ShardUpdate, part};
use crate::{Error, Result};
use mpi::collective::{CommunicatorCollectives, Root};
use mpi::datatype::{Partition, PartitionMut};
use mpi::environment::Universe;
use mpi::ffi;
use mpi::topology::{Communicator, SimpleCommunicator};
use mpi::traits::AsRaw;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// MPI, from here until this is dropped, and all processes that `mpirun` has started.
pub struct World {
    team: Arc<Processors>,
    processes: Option<Processes>,
    /// Kept, as the last field: dropping it ends MPI, after everything else of this process that uses it.
    _universe: Universe,
}

struct Processors {
    /// Used by whoever holds [`TURN`] alone.
    world: SimpleCommunicator,
    rank: usize,
    size: usize,
}

/// Held by the thread that calls the MPI library: from several at once it may not be called, at the threading level that
/// [`World::start`] asks for.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

// SAFETY: a communicator is a handle to what the MPI library keeps, which may be used from any thread, one at
// a time: every use of it here is by the thread whose turn it is (`TURN`).
unsafe impl Send for Processors {}
// SAFETY: as above.
unsafe impl Sync for Processors {}

impl World {
    /// Starts MPI. Call it once, before any thread uses it.
    ///
    /// Errors: [`Error::Program`] where MPI runs already, or its library is not fit for several threads.
    pub fn start() -> Result<World> {
        let failed = |problem: &str, remedy: &str| Error::Program {
            program: "MPI".into(),
            problem: problem.into(),
            remedy: remedy.into(),
        };
        let (universe, level) = mpi::initialize_with_threading(mpi::Threading::Serialized)
            .ok_or_else(|| failed("it runs already in this process", "start it once"))?;
        if level < mpi::Threading::Serialized {
            let remedy = "use a library built for MPI_THREAD_SERIALIZED, which is the usual";
            return Err(failed("its library is for one thread only", remedy));
        }
        let world = universe.world();
        let (rank, size) = (world.rank() as usize, world.size() as usize);
        let team = Arc::new(Processors { world, rank, size });
        let mut world = World { team, processes: None, _universe: universe };
        let names = world.texts(&mpi::environment::processor_name().unwrap_or_else(|_| "unknown".into()));
        let mut hosts = BTreeMap::new();
        names.into_iter().for_each(|name| *hosts.entry(name).or_default() += 1);
        let library = mpi::environment::library_version().unwrap_or_default();
        // OpenMPI's is a sentence, MPICH's a page.
        let library = library.lines().next().unwrap_or_default().trim_end_matches('\0').trim().to_string();
        world.processes = (world.size() > 1).then_some(Processes { library, hosts });
        Ok(world)
    }

    /// This process's number, from 0.
    pub fn rank(&self) -> usize {
        self.team.rank()
    }

    /// Where the processes are and what carries their messages; `None` where there is one.
    pub fn processes(&self) -> Option<&Processes> {
        self.processes.as_ref()
    }

    /// How many processes there are.
    pub fn size(&self) -> usize {
        self.team.size()
    }

    /// The processes.
    pub fn team(&self) -> Arc<dyn ProcessGroup> {
        self.team.clone()
    }

    /// All processes as a group that trains synchronously; of one process, [`Parallelism::Alone`].
    pub fn synchronous(&self) -> Parallelism {
        if self.size() == 1 { Parallelism::Alone } else { Parallelism::Synchronous(self.team()) }
    }

    /// All processes as a group that trains asynchronously.
    pub fn asynchronous(&self) -> Parallelism {
        let team = self.team.clone();
        let make: MakeServer = Box::new(move |weights, velocity| {
            Box::new(Windows::new(&team, weights, velocity)) as Box<dyn ParameterServer>
        });
        Parallelism::Asynchronous(self.team(), make)
    }

    /// Every process's `text`, in the order of the ranks.
    pub fn texts(&self, text: &str) -> Vec<String> {
        let turn = |rank: usize| {
            let mine = (rank == self.rank()).then(|| text.as_bytes().to_vec());
            String::from_utf8_lossy(&self.team.from(rank, mine).unwrap_or_default()).into_owned()
        };
        (0..self.size()).map(turn).collect()
    }

    /// Threads for this process so that all of a host have as many together as it has processors. A process
    /// that `mpirun` has bound to some processors of its own has these.
    pub fn threads(&self) -> usize {
        let allowed = |status: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
                .map(|l| l.trim().to_string())
        };
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let host = mpi::environment::processor_name().unwrap_or_default();
        let mine = format!("{host} {}", allowed(&status).unwrap_or_default());
        let sharing = self.texts(&mine).into_iter().filter(|other| *other == mine).count();
        (std::thread::available_parallelism().map_or(1, usize::from) / sharing.max(1)).max(1)
    }

    /// Ends all processes, this one with `code`. It waits for no other thread's turn, which might not end.
    pub fn abort(&self, code: i32) -> ! {
        self.team.world.abort(code)
    }
}

impl Processors {
    /// The bytes of process `rank`, which alone gives them, everywhere.
    fn from(&self, rank: usize, bytes: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let _turn = turn();
        let root = self.world.process_at_rank(rank as c_int);
        // There are none, or so many.
        let mut length = bytes.as_ref().map_or(0, |bytes| bytes.len() as u64 + 1);
        root.broadcast_into(&mut length);
        let length = length.checked_sub(1)? as usize;
        let mut bytes = bytes.unwrap_or_else(|| vec![0; length]);
        // A message's length is an int.
        for piece in bytes.chunks_mut(1 << 30) {
            root.broadcast_into(piece);
        }
        Some(bytes)
    }
}

impl ProcessGroup for Processors {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn gather(&self, values: &[f64]) -> Vec<f64> {
        let _turn = turn();
        let mut all = vec![0.0; values.len() * self.size];
        self.world.all_gather_into(values, &mut all[..]);
        all
    }

    /// Each process adds one part of the vector, in the order of the ranks. MPI's own sum may add in another order from
    /// one number of bytes, or one network, to the next; as many numbers travel.
    fn sum(&self, values: &mut [f32]) {
        let _turn = turn();
        let (n, rank, size) = (values.len(), self.rank, self.size);
        let parts: Vec<Range<usize>> = (0..size).map(|r| part(n, r, size)).collect();
        let counts: Vec<c_int> = parts.iter().map(|p| p.len() as c_int).collect();
        let starts: Vec<c_int> = parts.iter().map(|p| p.start as c_int).collect();
        let mine = parts[rank].len();
        let mut received = vec![0.0f32; mine * size];
        let from: Vec<c_int> = (0..size).map(|r| (r * mine) as c_int).collect();
        self.world.all_to_all_varcount_into(
            &Partition::new(&*values, &counts[..], &starts[..]),
            &mut PartitionMut::new(&mut received[..], vec![mine as c_int; size], &from[..]),
        );
        let mut sums = vec![0.0f32; mine];
        for (k, sum) in sums.iter_mut().enumerate() {
            *sum = (0..size).map(|r| f64::from(received[r * mine + k])).sum::<f64>() as f32;
        }
        let mut whole = PartitionMut::new(values, &counts[..], &starts[..]);
        self.world.all_gather_varcount_into(&sums[..], &mut whole);
    }

    fn broadcast(&self, bytes: Option<Vec<u8>>) -> Option<Vec<u8>> {
        self.from(0, bytes)
    }
}

/// Memory of each process that all others reach without its doing.
struct Window<T: mpi::traits::Equivalence> {
    window: ffi::MPI_Win,
    /// Of this process.
    own: *mut T,
    length: usize,
    of: PhantomData<T>,
}

// SAFETY: a handle and a pointer to what the MPI library keeps, used by the thread whose turn it is (`TURN`).
unsafe impl<T: mpi::traits::Equivalence> Send for Window<T> {}

impl<T: mpi::traits::Equivalence + Copy> Window<T> {
    /// These numbers in this process; each process has its own. Call it in all at once, and [`Window::free`] too. This and all
    /// below are called by the thread whose turn it is.
    fn new(world: &SimpleCommunicator, initial: &[T]) -> Window<T> {
        let length = initial.len();
        let bytes = std::mem::size_of_val(initial);
        let unit = size_of::<T>() as c_int;
        let mut own: *mut T = std::ptr::null_mut();
        // SAFETY: the null handle is a constant of the library, which has been started.
        let mut window = unsafe { ffi::RSMPI_WIN_NULL };
        // SAFETY: `own` and `window` are written before they are read; the memory belongs to the window, which is freed
        // with this. Nobody reaches it before the barrier.
        unsafe {
            ffi::MPI_Win_allocate(
                bytes as ffi::MPI_Aint,
                unit,
                ffi::RSMPI_INFO_NULL,
                world.as_raw(),
                (&raw mut own).cast::<c_void>(),
                &mut window,
            );
        }
        let made = Window { window, own, length, of: PhantomData };
        made.locked(world.rank(), ffi::MPI_LOCK_EXCLUSIVE, |made| {
            // SAFETY: `own` points to `length` numbers, and nobody else has the lock on them.
            unsafe { std::ptr::copy_nonoverlapping(initial.as_ptr(), made.own, made.length) };
        });
        world.barrier();
        made
    }

    /// Calls `work` while the memory of process `rank` is locked. What it asked for has happened when this returns.
    fn locked<R>(&self, rank: c_int, kind: u32, work: impl FnOnce(&Self) -> R) -> R {
        // SAFETY: the window lives as long as this, and `rank` is one of its processes. No call is inside another.
        unsafe { ffi::MPI_Win_lock(kind as c_int, rank, 0, self.window) };
        let result = work(self);
        // SAFETY: it has been locked above.
        unsafe { ffi::MPI_Win_unlock(rank, self.window) };
        result
    }

    /// Reads numbers from `from` on. Call it inside [`Window::locked`].
    fn get(&self, rank: c_int, from: usize, to: &mut [T]) {
        let (count, kind) = (to.len() as c_int, T::equivalent_datatype());
        // SAFETY: `to` has `count` numbers of this type, and stays borrowed until the flush says that they have come.
        unsafe {
            let (to, from) = (to.as_mut_ptr().cast::<c_void>(), from as ffi::MPI_Aint);
            ffi::MPI_Get(to, count, kind.as_raw(), rank, from, count, kind.as_raw(), self.window);
            ffi::MPI_Win_flush(rank, self.window);
        }
    }

    /// Writes numbers from `to` on. Call it inside [`Window::locked`], with the exclusive lock.
    fn put(&self, rank: c_int, to: usize, values: &[T]) {
        let (count, kind) = (values.len() as c_int, T::equivalent_datatype());
        // SAFETY: `values` has `count` numbers of this type, and stays borrowed until the flush says that they have gone.
        unsafe {
            let (values, to) = (values.as_ptr().cast::<c_void>(), to as ffi::MPI_Aint);
            ffi::MPI_Put(values, count, kind.as_raw(), rank, to, count, kind.as_raw(), self.window);
            ffi::MPI_Win_flush(rank, self.window);
        }
    }

    /// Adds to the numbers from `to` on. Call it inside [`Window::locked`].
    fn add(&self, rank: c_int, to: usize, values: &[T]) {
        let (count, kind) = (values.len() as c_int, T::equivalent_datatype());
        // SAFETY: as for `put`; the sum is defined for all numbers.
        unsafe {
            let (values, to, sum) = (values.as_ptr().cast::<c_void>(), to as ffi::MPI_Aint, ffi::RSMPI_SUM);
            let kind = kind.as_raw();
            ffi::MPI_Accumulate(values, count, kind, rank, to, count, kind, sum, self.window);
            ffi::MPI_Win_flush(rank, self.window);
        }
    }

    /// Gives the memory back. All processes call it at once: not on the way out of an error, which the others do not see.
    fn free(mut self) {
        // SAFETY: made in `new`, and freed once.
        unsafe { ffi::MPI_Win_free(&mut self.window) };
    }

    /// Adds `value` to the first number of process `rank` and returns what was there, in one. Call it inside
    /// [`Window::locked`].
    fn fetch_and_add(&self, rank: c_int, value: T) -> T {
        let mut before = value;
        // SAFETY: `value` and `before` are one number each, and live beyond the flush.
        unsafe {
            let (from, to) = ((&raw const value).cast::<c_void>(), (&raw mut before).cast::<c_void>());
            let kind = T::equivalent_datatype().as_raw();
            ffi::MPI_Fetch_and_op(from, to, kind, rank, 0, ffi::RSMPI_SUM, self.window);
            ffi::MPI_Win_flush(rank, self.window);
        }
        before
    }
}

/// A shard is at most so many weights, unless there are fewer processes than shards: a few locks a step, and
/// the memory traffic on more than one process.
const SHARD: usize = 1 << 18;

/// The server: a shard's weights and velocities in the window of one process, the tickets in that of rank 0.
struct Windows {
    /// Weights of the shard, then its velocities; of a process without a shard, nothing.
    numbers: Window<f32>,
    tickets: Window<u64>,
    shards: Vec<Range<usize>>,
    weights: Vec<f32>,
    velocity: Vec<f32>,
    change: Vec<f32>,
}

impl Windows {
    fn new(team: &Arc<Processors>, weights: &[f32], velocity: &[f32]) -> Windows {
        let n = weights.len();
        let count = n.div_ceil(SHARD).clamp(1, team.size());
        let shards: Vec<Range<usize>> = (0..count).map(|i| part(n, i, count)).collect();
        let own = shards.get(team.rank()).cloned().unwrap_or(0..0);
        let initial = [&weights[own.clone()], &velocity[own]].concat();
        let ticket: &[u64] = if team.rank() == 0 { &[0] } else { &[] };
        let longest = shards.iter().map(Range::len).max().unwrap_or(0);
        let _turn = turn();
        Windows {
            numbers: Window::new(&team.world, &initial),
            tickets: Window::new(&team.world, ticket),
            shards,
            weights: vec![0.0; longest],
            velocity: vec![0.0; longest],
            change: vec![0.0; longest],
        }
    }
}

impl ParameterServer for Windows {
    fn shards(&self) -> Vec<Range<usize>> {
        self.shards.clone()
    }

    fn fetch(&mut self, weights: &mut [f32], mut velocity: Option<&mut [f32]>) {
        let _turn = turn();
        for (rank, shard) in self.shards.iter().enumerate() {
            let rank = rank as c_int;
            self.numbers.locked(rank, ffi::MPI_LOCK_SHARED, |numbers| {
                numbers.get(rank, 0, &mut weights[shard.clone()]);
                if let Some(velocity) = &mut velocity {
                    numbers.get(rank, shard.len(), &mut velocity[shard.clone()]);
                }
            });
        }
    }

    fn update(&mut self, shard: usize, change: &mut ShardUpdate) {
        let _turn = turn();
        let (rank, length) = (shard as c_int, self.shards[shard].len());
        let Windows { numbers, weights, velocity, change: changes, .. } = self;
        let (weights, velocity) = (&mut weights[..length], &mut velocity[..length]);
        let changes = &mut changes[..length];
        numbers.locked(rank, ffi::MPI_LOCK_EXCLUSIVE, |numbers| {
            numbers.get(rank, 0, weights);
            numbers.get(rank, length, velocity);
            changes.fill(0.0);
            change(weights, velocity, changes);
            numbers.put(rank, length, velocity);
            numbers.add(rank, 0, changes);
        });
    }

    fn close(self: Box<Self>) {
        let _turn = turn();
        self.numbers.free();
        self.tickets.free();
    }

    fn ticket(&mut self) -> u64 {
        let _turn = turn();
        self.tickets.locked(0, ffi::MPI_LOCK_SHARED, |tickets| tickets.fetch_and_add(0, 1))
    }
}
