//! The public API and the worker protocol: the real router on a real store, a worker played by the test.

mod fixture;
mod following;
mod server;
mod worker;

mod authorisation;
mod deployments;
mod envelope;
mod follow;
mod idempotency;
mod images;
mod life;
mod openapi;
mod pages;
mod public_tokens;
mod restart;
mod runs;
mod sessions;
mod streams;
mod tokens;
mod transcript;
mod uploads;
mod workers;
