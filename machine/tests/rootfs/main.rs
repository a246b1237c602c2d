//! Root file systems: every form of image, built here byte by byte, and the real one that `script/setup` makes.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod bundle;
mod extraction;
mod forms;
mod hostile;
mod layers;
mod platform;
mod real;
mod tar;
mod workshop;
