//! Files read and written one by one, in directories and in captured trees.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod alike;
mod archive;
mod find;
mod hostile;
mod live;
mod scale;
mod world;
