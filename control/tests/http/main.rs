//! The public API and the worker protocol: the real router on a real store, a worker played by the test.

mod fixture;
mod following;
mod server;
mod worker;

mod authorisation;
mod clocks;
mod deployments;
mod envelope;
mod follow;
mod idempotency;
mod images;
mod life;
mod logs;
mod openapi;
mod pages;
mod public_tokens;
mod queues;
mod restart;
mod retry;
mod runs;
mod sessions;
mod streams;
mod tokens;
mod transcript;
mod uploads;
mod workers;
mod workspaces;
