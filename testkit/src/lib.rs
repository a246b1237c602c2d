//! What tests stand on: real servers of their own, started on demand and gone when the test process is.

pub mod postgres;
