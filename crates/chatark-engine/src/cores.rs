//! Parallel work on all cores.

use std::num::NonZero;
use std::thread;

use chatark_core::{Error, Result};

/// Applies a function to every item, and returns the results in the order of the items.
pub(crate) fn on_all_cores<T: Send, U: Send>(
    mut items: Vec<T>,
    work: impl Fn(T) -> Result<U> + Sync,
) -> Result<Vec<U>> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let length = items.len().div_ceil(cores).max(1);
    let mut chunks = Vec::new();
    while !items.is_empty() {
        let rest = items.split_off(length.min(items.len()));
        chunks.push(std::mem::replace(&mut items, rest));
    }
    let work = &work;
    thread::scope(|scope| {
        let working: Vec<_> = chunks
            .into_iter()
            .map(|chunk| scope.spawn(move || chunk.into_iter().map(work).collect::<Result<Vec<_>>>()))
            .collect();
        let mut done = Vec::new();
        for thread in working {
            let chunk = thread.join().map_err(|_| Error::panicked("work on all cores"))?;
            done.extend(chunk?);
        }
        Ok(done)
    })
}
