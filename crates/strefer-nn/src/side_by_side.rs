//! Parts of a batch that are computed side by side.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

/// Runs every part, as many at a time as rayon has threads, and returns what they gave in the order of the parts. Threads that
/// each have a part of their own wait for each other far less than threads that share every operation of a small model. No
/// part is begun after one has failed.
///
/// ```
/// let squares = strefer_nn::side_by_side(vec![3, 1, 2], |n| Ok::<i32, ()>(n * n));
/// assert_eq!(squares, Ok(vec![9, 1, 4]));
/// ```
///
/// # Errors
/// That of the first part that failed.
pub fn side_by_side<T: Send, R: Send, E: Send>(
    parts: Vec<T>,
    run: impl Fn(T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let lanes = rayon::current_num_threads().min(parts.len());
    let queue = Mutex::new(parts.into_iter().enumerate());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let lane = |_| {
        let mut found = Vec::new();
        while let Some((at, part)) = next() {
            let result = run(part);
            if result.is_err() {
                queue.lock().unwrap_or_else(PoisonError::into_inner).by_ref().for_each(drop);
            }
            found.push((at, result));
        }
        found
    };
    // Each lane is a job of its own, also where rayon would find few of them not worth sharing.
    let mut found: Vec<(usize, Result<R, E>)> =
        (0..lanes).into_par_iter().with_max_len(1).flat_map_iter(lane).collect();
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn parts_keep_their_order_and_no_more_than_the_threads_are_under_way() {
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let run = |part: usize| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                // What waits inside a part lets its thread take other jobs.
                let sum: usize = (0..1000).into_par_iter().map(|n| n % 7 + part).sum();
                now.fetch_sub(1, Ordering::SeqCst);
                Ok::<usize, ()>(sum)
            };
            let found = pool.install(|| side_by_side((0..20).collect(), run)).unwrap();
            let alone: Vec<usize> = (0..20).map(|part| (0..1000).map(|n| n % 7 + part).sum()).collect();
            assert_eq!(found, alone);
            assert!(most.into_inner() <= threads);
        }
        assert_eq!(side_by_side(Vec::<u8>::new(), Ok::<u8, ()>), Ok(Vec::new()));
    }

    #[test]
    fn the_first_failure_ends_the_rest() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let begun = AtomicUsize::new(0);
        let run = |part: usize| {
            begun.fetch_add(1, Ordering::SeqCst);
            if part < 2 { Ok(part) } else { Err(part) }
        };
        assert_eq!(pool.install(|| side_by_side((0..9).collect(), run)), Err(2));
        assert_eq!(begun.into_inner(), 3);
    }
}
