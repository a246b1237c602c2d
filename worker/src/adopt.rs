//! The start of a worker on a directory where another one was: what is still ours goes on, everything else is cleaned.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use helmr_api::worker::{Heartbeat, HeartbeatAnswer, HeldLease};
use helmr_domain::{CheckpointId, MaterializationId};
use helmr_machine::{Attempt, Driver};
use tokio::task::JoinSet;

use crate::backoff::Backoff;
use crate::base::Base;
use crate::copies;
use crate::directory::{entries, remove};
use crate::dispatcher::Dispatcher;
use crate::lease;
use crate::record::{Phase, Record};
use crate::slot::Entry;

const KILL_WITHIN: Duration = Duration::from_secs(20);
const BEAT_WITHIN: Duration = Duration::from_secs(10);

/// What becomes of a machine that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is live, or can be made so: a slot takes it over.
    Adopt,
    /// Nothing of it may run; its assignment, which comes again, begins anew with what is kept.
    Reset { image: Option<CheckpointId> },
    /// It is parked, and stays so.
    Keep { image: CheckpointId },
    /// It is a copy that may have been committed.
    Ask,
    /// It is another's, or over.
    Remove,
}

/// Decides what becomes of a machine. `ours`: its lease was renewed.
fn fate(phase: &Phase, ours: bool) -> Fate {
    match (phase, ours) {
        (Phase::Live { .. } | Phase::Parking { .. } | Phase::Stopping, true) => Fate::Adopt,
        (Phase::Starting, true) => Fate::Reset { image: None },
        (Phase::Restoring { checkpoint_id }, true) => Fate::Reset {
            image: Some(*checkpoint_id),
        },
        (Phase::Forked { .. }, _) => Fate::Ask,
        (Phase::Parked { checkpoint_id }, _) => Fate::Keep {
            image: *checkpoint_id,
        },
        // Either the park was committed, which gave the lease up, or the lease was lost before: the image may be all
        // there is. So may the one of a machine that was restored and never confirmed.
        (Phase::Parking { checkpoint_id } | Phase::Restoring { checkpoint_id }, false) => {
            Fate::Keep {
                image: *checkpoint_id,
            }
        }
        (
            Phase::Live {
                confirmed: false,
                restored_from: Some(image),
            },
            false,
        ) => Fate::Keep { image: *image },
        (Phase::Starting | Phase::Stopping | Phase::Live { .. }, false) => Fate::Remove,
    }
}

/// Adopts and cleans. Returns when nothing runs on this host but what is adopted.
pub(crate) async fn adopt<D: Driver>(base: &Arc<Base<D>>, dispatcher: &Arc<Dispatcher<D>>) {
    let records = read_records(base);
    let answer = ask(base, dispatcher, &records).await;
    let mut kept = HashSet::new();
    let mut cleaning = JoinSet::new();
    for record in records {
        let lease = lease_of(&record);
        let fate = fate(&record.phase, answer.renewed.contains(&lease));
        tracing::info!(
            workspace.id = %record.workspace_id, lease.epoch = record.epoch, phase = ?record.phase, ?fate,
            "found a machine of an earlier worker"
        );
        match fate {
            Fate::Adopt => {
                kept.insert(attempt_of(&record));
                dispatcher.adopt(record.workspace_id, record.epoch, Entry::Adopted(record));
            }
            Fate::Reset { image } => {
                cleaning.spawn(clean(Arc::clone(base), record, image));
            }
            Fate::Keep { image } => {
                dispatcher.note_over(record.workspace_id, record.epoch);
                cleaning.spawn(clean(Arc::clone(base), record, Some(image)));
            }
            Fate::Ask => {
                let base = Arc::clone(base);
                cleaning.spawn(async move { copies::settle(&base, record).await });
            }
            Fate::Remove => {
                dispatcher.note_over(record.workspace_id, record.epoch);
                cleaning.spawn(clean(Arc::clone(base), record, None));
            }
        }
    }
    for orphan in list(base).await {
        if !kept.contains(&orphan) {
            tracing::warn!(
                machine = orphan.container(),
                "found a machine that nobody owns"
            );
            let base = Arc::clone(base);
            cleaning.spawn(async move { kill(&base, &orphan).await });
        }
    }
    while cleaning.join_next().await.is_some() {}
}

/// The records of every machine here. What has none is removed, unless it holds a memory image.
fn read_records<D: Driver>(base: &Base<D>) -> Vec<Record> {
    let machines = base.directory.machines();
    let found = entries::<MaterializationId>(&machines).unwrap_or_else(|error| {
        tracing::error!(%error, "the machines' directory cannot be read");
        Vec::new()
    });
    let mut records = Vec::new();
    for id in found {
        let directory = base.directory.machine(id);
        match Record::read(&directory) {
            Ok(Some(record)) => records.push(record),
            Ok(None) | Err(_) => {
                let images = entries::<CheckpointId>(&directory.checkpoints()).unwrap_or_default();
                if images.is_empty() {
                    drop(remove(&directory.path));
                } else {
                    // An assignment that names one of them finds it.
                    tracing::error!(materialization.id = %id, "a machine's record is lost; its memory images are kept");
                }
            }
        }
    }
    records
}

/// Asks which leases are still ours, for ever: without an answer nothing may go on.
async fn ask<D: Driver>(
    base: &Base<D>,
    dispatcher: &Dispatcher<D>,
    records: &[Record],
) -> HeartbeatAnswer {
    let held = records
        .iter()
        .filter(|record| !matches!(record.phase, Phase::Parked { .. } | Phase::Forked { .. }));
    let body = Heartbeat {
        free: dispatcher.free(),
        leases: held.map(lease_of).collect(),
        draining: false,
    };
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    loop {
        match lease::beat(&base.client, &body, BEAT_WITHIN).await {
            Ok(answer) => return answer,
            Err(failure) => {
                tracing::warn!(%failure, "the control plane does not say which leases are ours; again");
                backoff.wait().await;
            }
        }
    }
}

async fn list<D: Driver>(base: &Base<D>) -> Vec<Attempt> {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        match base.driver.list().await {
            Ok(attempts) => return attempts,
            Err(error) => {
                tracing::error!(%error, "the runtime does not say what machines it has; again");
                backoff.wait().await;
            }
        }
    }
}

/// Ends what runs of a machine and removes everything of it but the image that is named.
async fn clean<D: Driver>(base: Arc<Base<D>>, mut record: Record, image: Option<CheckpointId>) {
    kill(&base, &attempt_of(&record)).await;
    let directory = base.directory.machine(record.materialization_id);
    let done = match image.filter(|image| directory.checkpoint(*image).exists()) {
        // The record also remembers which attempt numbers are used up.
        None if record.phase == Phase::Starting => remove(&directory.attempts()),
        None => remove(&directory.path),
        Some(checkpoint_id) => {
            record.phase = Phase::Parked { checkpoint_id };
            let images = entries(&directory.checkpoints()).unwrap_or_default();
            for other in images.into_iter().filter(|id| *id != checkpoint_id) {
                drop(remove(&directory.checkpoint(other)));
            }
            record
                .write(&directory)
                .and_then(|()| remove(&directory.attempts()))
        }
    };
    if let Err(error) = done {
        tracing::error!(materialization.id = %record.materialization_id, %error, "a machine was not cleaned up");
    }
}

async fn kill<D: Driver>(base: &Base<D>, attempt: &Attempt) {
    if attempt.number == 0 {
        return;
    }
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    while let Err(error) = base.driver.kill(attempt, KILL_WITHIN).await {
        tracing::error!(machine = attempt.container(), %error, "a machine could not be killed; again");
        backoff.wait().await;
    }
}

fn lease_of(record: &Record) -> HeldLease {
    HeldLease {
        workspace_id: record.workspace_id,
        epoch: record.epoch,
    }
}

fn attempt_of(record: &Record) -> Attempt {
    Attempt {
        machine: record.materialization_id.to_string(),
        number: record.attempt,
    }
}

#[cfg(test)]
mod tests {
    use helmr_domain::Timestamp;

    use super::*;

    #[test]
    fn a_machine_goes_on_while_its_lease_is_ours_and_its_image_is_never_lost() {
        let image = CheckpointId::new(Timestamp::from_micros(1), [1; 10]);
        let live = |confirmed, restored_from| Phase::Live {
            confirmed,
            restored_from,
        };
        let parking = Phase::Parking {
            checkpoint_id: image,
        };
        let parked = Phase::Parked {
            checkpoint_id: image,
        };
        let restoring = Phase::Restoring {
            checkpoint_id: image,
        };
        let keep = Fate::Keep { image };
        for (phase, ours, theirs) in [
            (Phase::Starting, Fate::Reset { image: None }, Fate::Remove),
            (live(true, None), Fate::Adopt, Fate::Remove),
            (live(false, Some(image)), Fate::Adopt, keep),
            (parking, Fate::Adopt, keep),
            (parked, keep, keep),
            (restoring, Fate::Reset { image: Some(image) }, keep),
            (Phase::Stopping, Fate::Adopt, Fate::Remove),
            (
                Phase::Forked {
                    checkpoint_id: image,
                },
                Fate::Ask,
                Fate::Ask,
            ),
        ] {
            assert_eq!(fate(&phase, true), ours, "{phase:?}, ours");
            assert_eq!(fate(&phase, false), theirs, "{phase:?}, not ours");
        }
    }
}
