//! Work that needs no order, on all cores.

use std::num::NonZero;
use std::thread;

use chatark_core::Result;

use crate::environment::panicked;

/// Does the same with every item, and returns what came of them in their order.
pub(crate) fn on_all_cores<T: Send, U: Send>(
    mut items: Vec<T>,
    work: impl Fn(T) -> Result<U> + Sync,
) -> Result<Vec<U>> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = items.len().div_ceil(cores).max(1);
    let mut shares = Vec::new();
    while !items.is_empty() {
        let rest = items.split_off(share.min(items.len()));
        shares.push(std::mem::replace(&mut items, rest));
    }
    let work = &work;
    thread::scope(|scope| {
        let working: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || share.into_iter().map(work).collect::<Result<Vec<_>>>()))
            .collect();
        let mut done = Vec::new();
        for thread in working {
            let share = thread.join().map_err(|_| panicked("work on all cores"))?;
            done.extend(share?);
        }
        Ok(done)
    })
}
