//! What stays on this host when its work is over, and for how long.
//!
//! Files of workspaces are kept as a cache, the oldest given up first; those of a deleted workspace go, and so does what is
//! left of a machine that is over. Files that may be newer than every version are never given up here: they become a
//! version beside, if their machine was lost with this worker. Nothing that a slot holds is touched.

mod beside;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use helmr_api::worker::{HeldFiles, Holdings, HoldingsAnswer};
use helmr_domain::{MaterializationId, WorkspaceId};
use helmr_machine::Driver;

use crate::base::Base;
use crate::directory::{entries, remove};
use crate::disks::Disks;
use crate::dispatcher::Dispatcher;
use crate::record::Record;
use crate::workspace::holds_newer;

pub(crate) use beside::capture as capture_beside;

const EVERY: Duration = Duration::from_secs(15);
/// After a machine has ended: others may end with it.
const GATHER_FOR: Duration = Duration::from_secs(1);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Disks that stay mounted though nothing runs on them: what was used last is the likeliest to be used next.
const IDLE_MOUNTS: usize = 16;
/// The control plane is asked of so many at a time.
const BATCH: usize = 200;

/// Runs until it is aborted.
pub(crate) async fn keep<D: Driver>(base: Arc<Base<D>>, dispatcher: Arc<Dispatcher<D>>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = base.tidy.notified() => tokio::time::sleep(GATHER_FOR).await,
        }
        round(&base, &dispatcher).await;
    }
}

async fn round<D: Driver>(base: &Arc<Base<D>>, dispatcher: &Dispatcher<D>) {
    let held: HashSet<WorkspaceId> = dispatcher.leases().iter().map(|l| l.workspace_id).collect();
    let looked = Arc::clone(base);
    let Ok(found) = tokio::task::spawn_blocking(move || look(&looked, &held)).await else {
        return;
    };
    for part in found.holdings(BATCH) {
        let Some(answer) = ask(base, &part).await else {
            return;
        };
        for keep in answer.keep_beside {
            if !dispatcher.holds(keep.workspace_id) {
                beside::keep(base, keep).await;
            }
        }
        let (base, over, deleted) = (Arc::clone(base), answer.over, answer.deleted);
        let removing = tokio::task::spawn_blocking(move || {
            for id in over {
                discard(&base, id);
            }
            for id in deleted {
                give_up(&base.disks, id, "its workspace is deleted");
            }
        });
        drop(removing.await);
    }
    let base = Arc::clone(base);
    let tidying = tokio::task::spawn_blocking(move || {
        let plan = plan(found.files, budget(&base));
        for id in plan.unmount {
            if let Err(error) = base.disks.put_away(id) {
                tracing::debug!(workspace.id = %id, %error, "a disk stays mounted");
            }
        }
        for id in plan.give_up {
            give_up(&base.disks, id, "room is needed");
        }
    });
    drop(tidying.await);
}

async fn ask<D: Driver>(base: &Base<D>, body: &Holdings) -> Option<HoldingsAnswer> {
    match base
        .client
        .post_once("/worker/v1/holdings", body, ANSWER_WITHIN)
        .await
    {
        Ok(answer) => Some(answer),
        Err(failure) => {
            tracing::debug!(%failure, "the control plane does not say what may go; later");
            None
        }
    }
}

/// What lies here and is nobody's at the moment.
struct Found {
    files: Vec<Files>,
    machines: Vec<MaterializationId>,
}

impl Found {
    fn holdings(&self, batch: usize) -> Vec<Holdings> {
        let mut parts = Vec::new();
        for files in self.files.chunks(batch) {
            let workspaces = files.iter().map(|files| HeldFiles {
                workspace_id: files.id,
                newer: files.newer,
            });
            parts.push(Holdings {
                workspaces: workspaces.collect(),
                machines: Vec::new(),
            });
        }
        for machines in self.machines.chunks(batch) {
            parts.push(Holdings {
                workspaces: Vec::new(),
                machines: machines.to_vec(),
            });
        }
        parts
    }
}

/// The files of one workspace.
#[derive(Debug, Clone)]
struct Files {
    id: WorkspaceId,
    /// Seconds since 1970.
    used_at: u64,
    bytes: u64,
    mounted: bool,
    /// They may be newer than every version.
    newer: bool,
    /// A parked machine was on them.
    parked: bool,
}

fn look<D: Driver>(base: &Base<D>, held: &HashSet<WorkspaceId>) -> Found {
    let mut parked = HashSet::new();
    let mut machines = Vec::new();
    for id in entries::<MaterializationId>(&base.directory.machines()).unwrap_or_default() {
        match Record::read(&base.directory.machine(id)) {
            Ok(Some(record)) if held.contains(&record.workspace_id) => {}
            Ok(Some(record)) => {
                parked.insert(record.workspace_id);
                machines.push(id);
            }
            // One without a record is looked at when the worker starts.
            Ok(None) | Err(_) => {}
        }
    }
    let found = entries::<WorkspaceId>(&base.directory.workspaces()).unwrap_or_default();
    let free = found.into_iter().filter(|id| !held.contains(id));
    let files = free.map(|id| {
        let directory = base.directory.workspace(id);
        let used_at = std::fs::metadata(directory.state())
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        Files {
            id,
            used_at: used_at.map_or(0, |at| at.as_secs()),
            bytes: base.disks.allocated_bytes(id),
            mounted: base.disks.is_mounted(id),
            newer: holds_newer(&directory),
            parked: parked.contains(&id),
        }
    });
    Found {
        files: files.collect(),
        machines,
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    unmount: Vec<WorkspaceId>,
    give_up: Vec<WorkspaceId>,
}

/// Decides what is let go. `budget`: what files that could be made again may take.
fn plan(mut files: Vec<Files>, budget: u64) -> Plan {
    files.sort_by_key(|files| std::cmp::Reverse((files.used_at, files.id)));
    let mut plan = Plan::default();
    let mut mounts = 0;
    let mut bytes: u64 = 0;
    for files in files {
        let kept = files.newer || files.parked;
        if !kept {
            bytes = bytes.saturating_add(files.bytes);
            if bytes > budget {
                plan.give_up.push(files.id);
                continue;
            }
        }
        if files.mounted {
            mounts += 1;
            if mounts > IDLE_MOUNTS {
                plan.unmount.push(files.id);
            }
        }
    }
    plan
}

/// What the cache may take: nothing while the host's disk is nearly full.
fn budget<D: Driver>(base: &Base<D>) -> u64 {
    let Ok(room) = rustix::fs::statvfs(base.directory.workspaces()) else {
        return base.cache_bytes;
    };
    if room.f_bavail < room.f_blocks / 20 {
        return 0;
    }
    base.cache_bytes
}

fn give_up(disks: &Disks, id: WorkspaceId, reason: &'static str) {
    match disks.remove(id) {
        Ok(true) => {
            tracing::info!(workspace.id = %id, reason, "a workspace's files here were removed")
        }
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(workspace.id = %id, %error, "a workspace's files here could not be removed");
        }
    }
}

/// Removes what is left of a machine that is over. Out of the way first: a removal that is cut short is finished at the
/// next start.
fn discard<D: Driver>(base: &Base<D>, id: MaterializationId) {
    let path = base.directory.machine(id).path;
    let aside = base
        .directory
        .machines()
        .join(format!(".{id}.{}", crate::images::unique()));
    let removed = std::fs::rename(&path, &aside).and_then(|()| remove(&aside));
    match removed {
        Ok(()) => tracing::info!(materialization.id = %id, "a machine that is over was removed"),
        Err(error) => {
            tracing::warn!(materialization.id = %id, %error, "a machine that is over could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use helmr_domain::Timestamp;

    use super::*;

    fn files(number: u8, used_at: u64, bytes: u64) -> Files {
        Files {
            id: WorkspaceId::new(Timestamp::from_micros(1), [number; 10]),
            used_at,
            bytes,
            mounted: true,
            newer: false,
            parked: false,
        }
    }

    #[test]
    fn the_oldest_goes_first_and_what_cannot_be_made_again_never() {
        let old = files(1, 1, 100);
        let newer = Files {
            newer: true,
            ..files(2, 2, 1_000)
        };
        let parked = Files {
            parked: true,
            ..files(3, 3, 1_000)
        };
        let young = files(4, 4, 100);
        let all = vec![old.clone(), newer, parked, young.clone()];
        let given_up = |budget| plan(all.clone(), budget).give_up;
        assert_eq!(given_up(200), []);
        assert_eq!(given_up(199), [old.id]);
        assert_eq!(given_up(0), [young.id, old.id]);
    }

    #[test]
    fn only_the_disks_that_were_used_last_stay_mounted() {
        let mut all: Vec<Files> = (1..=u8::try_from(IDLE_MOUNTS).unwrap_or(0) + 2)
            .map(|number| files(number, number.into(), 1))
            .collect();
        all[1].mounted = false;
        let plan = plan(all.clone(), u64::MAX);
        assert_eq!(plan.unmount, [all[0].id]);
        assert_eq!(plan.give_up, []);
    }
}
