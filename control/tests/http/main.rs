//! The public API and the worker protocol: the real router on a real store, a worker played by the test.

mod fixture;
mod server;
mod worker;

mod authorisation;
mod deployments;
mod envelope;
mod follow;
mod idempotency;
mod images;
mod life;
mod pages;
mod restart;
mod runs;
mod sessions;
mod streams;
mod tokens;
mod uploads;
mod workers;
