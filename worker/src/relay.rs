//! Between a machine's guest and the control plane: takes every frame, has it committed, and only then lets the guest
//! forget it.
//!
//! Knows nothing of machines: a [`Relay`] lives as long as the channel to one guest. Frames of one run are dealt with in
//! order, those of different runs side by side; what a run prints goes beside its lines.

mod acks;
mod exec;
mod execs;
mod exit;
mod lane;
mod line;
mod names;
mod output;
mod router;
mod speech;

pub(crate) use exec::{ATTEMPT, Available};
pub(crate) use line::{Ids, cancel, outcome, resumed};
pub(crate) use names::Names;
pub(crate) use router::{Heard, Relay};
