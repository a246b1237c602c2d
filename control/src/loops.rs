//! The loops that keep promises when nobody asks.
//!
//! None takes an input: each reads the truth again, acts in a bounded batch and waits. A failure is logged, and the next
//! round is the retry.

mod garbage;
mod placement;
mod reaper;
mod relay;
mod retention;
mod sweeper;
mod timers;
mod wake;

use crate::Control;

/// Starts every loop. They end when the server does.
pub(crate) fn spawn(control: &Control) {
    control.tasks.spawn(placement::run(control.clone()));
    control.tasks.spawn(relay::run(control.clone()));
    control.tasks.spawn(timers::run(control.clone()));
    control.tasks.spawn(reaper::run(control.clone()));
    control.tasks.spawn(sweeper::run(control.clone()));
    control.tasks.spawn(retention::run(control.clone()));
    control.tasks.spawn(garbage::run(control.clone()));
    control.tasks.spawn(watch_clock(control.clone()));
}

/// Wakes whoever sleeps when somebody sets the clock.
async fn watch_clock(control: Control) {
    let _watch = control.clock.watch();
    control.ending.cancelled().await;
}
