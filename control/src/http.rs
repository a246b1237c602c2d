//! The HTTP edge: what every request passes, and the handlers behind it.
//!
//! A handler parses, authorises, calls one operation and maps. It holds no rule of the product.

pub(crate) mod body;
mod caller;
mod cursor;
mod envelope;
mod follow;
pub(crate) mod idempotency;
mod parameters;
mod provenance;
mod refusals;
mod routes;
pub(crate) mod v1;
mod version;
mod worker;

pub(crate) use routes::router;
