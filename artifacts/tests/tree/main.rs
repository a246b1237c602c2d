//! Trees on a real file system and a real store: what is captured comes back, at a cost that follows the change, and
//! nothing hostile in the tree or torn in the store gets through.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod archive;
mod corrupt;
mod diff;
mod hostile;
mod increments;
mod random;
mod restore;
mod round_trip;
mod snapshot;
mod works;
mod world;
