//! Random commands against naive models: what must hold whatever happens, in whatever order.

mod leases;
mod machines;
mod positions;
mod runs;
mod tokens;
mod waits;

use helmr_domain::Timestamp;

/// Some time after the beginning.
fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000 + micros)
}
