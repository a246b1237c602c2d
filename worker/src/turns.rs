//! Whose turn it is to change a workspace's files on this host.
//!
//! A slot has the turn while it makes, captures or gives up the files, and puts it down while its machine lives. Whoever
//! works in the files for a client takes it for each change, so that a capture never sees half of one and a restore never
//! begins under one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use helmr_domain::{MaterializationId, WorkspaceId};
use tokio::sync::OwnedMutexGuard;

/// Whose files they are when nobody has the turn.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// No machine lives here. One may be parked: its record says so.
    #[default]
    Nobody,
    Live(MaterializationId),
}

/// The turn. Dropping it puts it down.
pub(crate) type Turn = OwnedMutexGuard<Holder>;

#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<WorkspaceId, Arc<tokio::sync::Mutex<Holder>>>>);

impl Turns {
    /// Waits for the turn. Those who wait get it in order. Cancel-safe.
    pub(crate) async fn take(&self, workspace: WorkspaceId) -> Turn {
        let turn = self.of(workspace);
        turn.lock_owned().await
    }

    /// The turn, if nobody has it.
    pub(crate) fn try_take(&self, workspace: WorkspaceId) -> Option<Turn> {
        self.of(workspace).try_lock_owned().ok()
    }

    fn of(&self, workspace: WorkspaceId) -> Arc<tokio::sync::Mutex<Holder>> {
        let mut turns = self.lock();
        if !turns.contains_key(&workspace) {
            // Those that nobody has, waits for or lives in are as good as new ones.
            turns.retain(|_, turn| {
                Arc::strong_count(turn) > 1
                    || turn
                        .try_lock()
                        .is_ok_and(|holder| *holder != Holder::Nobody)
            });
        }
        Arc::clone(turns.entry(workspace).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Arc<tokio::sync::Mutex<Holder>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use helmr_domain::Timestamp;

    use super::*;

    #[tokio::test]
    async fn what_lives_is_remembered_and_what_does_not_is_forgotten() {
        let id = |n| WorkspaceId::new(Timestamp::from_micros(1), [n; 10]);
        let machine = MaterializationId::new(Timestamp::from_micros(1), [9; 10]);
        let turns = Turns::default();
        *turns.take(id(1)).await = Holder::Live(machine);
        drop(turns.take(id(2)).await);
        let held = turns.take(id(3)).await;
        assert!(turns.try_take(id(3)).is_none());
        drop(turns.take(id(4)).await);
        assert!(!turns.lock().contains_key(&id(2)), "it is of no use");
        assert_eq!(*turns.take(id(1)).await, Holder::Live(machine));
        drop(held);
        assert!(turns.try_take(id(3)).is_some());
    }
}
