//! Threads that share short operations: every part is done once, whoever comes late, whatever panics.

use rethink_nn::threads::{awake, count, each, each_chunk, each_item};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

/// In a pool of so many threads.
fn with_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

fn all_once(parts: usize) {
    let counts: Vec<AtomicU32> = (0..parts).map(|_| AtomicU32::new(0)).collect();
    each(parts, |part| {
        counts[part].fetch_add(1, Ordering::Relaxed);
    });
    assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{parts} parts");
}

#[test]
fn every_part_is_done_once() {
    for threads in [1, 2, 3, 7] {
        with_threads(threads, || {
            for parts in [0, 1, 2, 5, 1_000, 65_535, 65_536, 200_000] {
                all_once(parts);
                awake(|| all_once(parts));
            }
            // Many short ones, one after the other, so that members come late, and now and then so late that they sleep.
            awake(|| {
                for operation in 0..20_000 {
                    all_once(operation % 9);
                    if operation % 1_000 == 0 {
                        std::thread::sleep(std::time::Duration::from_millis(2));
                    }
                }
            });
        });
    }
}

#[test]
fn outside_of_a_pool_too() {
    awake(|| all_once(100));
    all_once(100);
}

#[test]
fn items_and_pieces_have_their_numbers() {
    with_threads(3, || {
        awake(|| {
            let mut numbers = vec![0; 1_003];
            each_chunk(&mut numbers, 10, |i, piece| piece.fill(i));
            assert!(numbers.iter().enumerate().all(|(at, &number)| number == at / 10));
            let sum = AtomicU32::new(0);
            each_item(numbers.clone(), |number| {
                sum.fetch_add(number as u32, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner() as usize, numbers.iter().sum::<usize>());
            each_chunk(&mut Vec::<u8>::new(), 0, |_, _| panic!("there is no piece"));
        });
    });
}

/// The panic comes out where the operation was called, after all other parts; the threads are there for the next.
#[test]
fn a_part_that_panics() {
    with_threads(2, || {
        awake(|| {
            for panicking in 0..20 {
                let done = AtomicU32::new(0);
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    each(20, |part| {
                        assert!(part != panicking, "part {part}");
                        done.fetch_add(1, Ordering::Relaxed);
                    });
                }));
                let message = caught.unwrap_err();
                assert_eq!(message.downcast_ref::<String>(), Some(&format!("part {panicking}")));
                assert_eq!(done.into_inner(), 19);
                all_once(20);
            }
        });
        // Whatever `awake` is left by, it can be called again.
        assert!(catch_unwind(|| awake(|| panic!("between operations"))).is_err());
        awake(|| all_once(20));
    });
}

/// An operation in a part of another is done by the thread that does the part; one `awake` in another is the outer one's.
#[test]
fn one_inside_another() {
    with_threads(2, || {
        awake(|| {
            awake(|| all_once(50));
            assert!(count() <= 2);
            each(8, |_| {
                assert_eq!(count(), 1);
                all_once(10);
                awake(|| all_once(10));
            });
        });
    });
}

/// Two at once on the same pool, as narrow networks train.
#[test]
fn two_at_once() {
    with_threads(4, || {
        rayon::join(
            || awake(|| (0..2_000).for_each(|_| all_once(7))),
            || awake(|| (0..2_000).for_each(|_| all_once(7))),
        )
    });
}
