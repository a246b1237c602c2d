//! Timers: rows that say when to look at their subject again. The deadline in the subject decides.

use helmr_domain::{Moment, Timestamp};

use crate::{Result, Store};

/// When the earliest timer is due.
///
/// # Errors
/// If the database fails.
pub async fn next_due(store: &Store) -> Result<Option<Timestamp>> {
    todo!()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fired {
    pub fired: u32,
    /// There are more that are due.
    pub more: bool,
}

/// Fires up to `limit` timers that are due, each in a transaction of its own.
///
/// # Errors
/// If the database fails; those fired before stay fired.
pub async fn fire_due(store: &Store, at: Moment, limit: u32) -> Result<Fired> {
    todo!()
}
