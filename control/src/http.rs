//! The HTTP edge: what every request passes, and the handlers behind it.
//!
//! A handler parses, authorises, calls one operation and maps. It holds no rule of the product.

mod body;
mod caller;
mod cursor;
mod envelope;
mod parameters;
mod routes;
mod version;

pub(crate) use routes::router;
