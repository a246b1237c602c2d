//! The public API and the worker protocol: the real router on a real store, a worker played by the test.

mod fixture;
mod following;
mod server;
mod worker;

mod archives;
mod authorisation;
mod clocks;
mod deployments;
mod envelope;
mod files;
mod follow;
mod forks;
mod idempotency;
mod images;
mod life;
mod logs;
mod openapi;
mod pages;
mod ptys;
mod public_tokens;
mod queues;
mod quotas;
mod restart;
mod retry;
mod runs;
mod sessions;
mod storage;
mod streams;
mod timers;
mod tokens;
mod transcript;
mod uploads;
mod versions;
mod workers;
mod workspaces;
