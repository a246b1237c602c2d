//! The HTTP contract: what travels between clients, control plane and workers, and how.
//!
//! Wire types only state shapes; rules live in `helmr-domain`. The worker protocol is apart from the public API.

pub mod client;
pub mod error;
pub mod fault;
pub mod http;
pub mod transport;
pub mod worker;
