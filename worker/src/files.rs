//! What the control plane has done with the files of a machine that lives or is parked here.
//!
//! A request names the machine; nothing is done for one whose files these are not, and the control plane looks again where
//! they are. Bytes gather without a turn and get their name in one.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use helmr_api::error::Code;
use helmr_api::fault;
use helmr_api::http::files::PathText;
use helmr_api::worker::files::{Change, FilesRequest, Look, Task};
use helmr_artifacts::files::{self, Error, Live, Staged, Unpacking};
use helmr_domain::{MaterializationId, WorkspaceId};
use helmr_files::{Broken, Refusal, Reply, incoming};
use helmr_machine::Driver;
use serde_json::json;
use tokio::time::timeout;

use crate::base::Base;
use crate::disks::{Need, Place};
use crate::record::{Phase, Record};
use crate::turns::{Holder, Turn};
use crate::workspace;

/// How long a machine may be on its way from one state to the next. What takes longer, a client tries again.
const TURN_WITHIN: Duration = Duration::from_secs(60);

/// Does what `request` asks; `bytes` are those of a write.
///
/// # Errors
/// `files_moving` if these are not that machine's files; otherwise why not.
pub(crate) async fn perform<D: Driver>(
    base: &Arc<Base<D>>,
    workspace_id: WorkspaceId,
    request: FilesRequest,
    bytes: Body,
) -> Result<Reply, Refusal> {
    let work = Work {
        base: Arc::clone(base),
        workspace_id,
        machine: request.materialization_id,
        mount: request.mount_path,
    };
    match request.task {
        Task::Look(look) => work.look(look).await,
        Task::Change(change) => work.change(change, bytes).await,
    }
}

struct Work<D> {
    base: Arc<Base<D>>,
    workspace_id: WorkspaceId,
    machine: MaterializationId,
    mount: String,
}

/// How the machine of a turn is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Machine {
    Live,
    Parked,
}

fn moving(message: &str) -> Refusal {
    Refusal::new(Code::FilesMoving, message)
}

impl<D: Driver> Work<D> {
    /// The place of the files, which is not let go while this lives.
    async fn place(&self) -> Result<Place, Refusal> {
        let (disks, id) = (Arc::clone(&self.base.disks), self.workspace_id);
        tokio::task::spawn_blocking(move || disks.place(id, Need::AsItIs))
            .await
            .map_err(|error| Refusal::internal(crate::serve::describe(&error)))?
            .map_err(|error| Refusal::internal(crate::serve::describe(&error)))
    }

    fn record(&self) -> Option<Record> {
        let directory = self.base.directory.machine(self.machine);
        let record = Record::read(&directory).ok().flatten()?;
        (record.workspace_id == self.workspace_id).then_some(record)
    }

    /// Takes the turn, if the files are the machine's.
    async fn turn(&self) -> Result<(Turn, Machine), Refusal> {
        let turn = timeout(TURN_WITHIN, self.base.turns.take(self.workspace_id))
            .await
            .map_err(|_| moving("the machine is on its way to another state"))?;
        match *turn {
            Holder::Live(machine) if machine == self.machine => Ok((turn, Machine::Live)),
            Holder::Nobody if self.is_parked() && !self.is_made() => {
                // A copy of a machine that nobody has woken yet.
                Err(moving("the files of the machine are not made here yet")
                    .with_details(json!({ "in_version": true })))
            }
            Holder::Nobody if self.is_parked() => Ok((turn, Machine::Parked)),
            Holder::Live(_) | Holder::Nobody => {
                Err(moving("the machine is not on this worker any more"))
            }
        }
    }

    /// Whether the workspace's directory was ever filled.
    fn is_made(&self) -> bool {
        let directory = self.base.directory.workspace(self.workspace_id);
        directory.state().exists() && (directory.disk().exists() || directory.plain_tree().exists())
    }

    fn is_parked(&self) -> bool {
        self.record().is_some_and(|record| {
            let image = match record.phase {
                Phase::Parked { checkpoint_id } => checkpoint_id,
                Phase::Starting
                | Phase::Live { .. }
                | Phase::Parking { .. }
                | Phase::Restoring { .. }
                | Phase::Forked { .. }
                | Phase::Stopping => return false,
            };
            let directory = self.base.directory.machine(self.machine);
            directory.checkpoint(image).exists()
        })
    }

    /// Waits until the files can be read. While they are captured they can.
    async fn readable(&self) -> Result<(), Refusal> {
        if self.base.turns.try_take(self.workspace_id).is_none() {
            let whole = self.record().is_some_and(|record| match record.phase {
                Phase::Live { confirmed, .. } => confirmed,
                Phase::Parking { .. } => true,
                Phase::Starting
                | Phase::Parked { .. }
                | Phase::Restoring { .. }
                | Phase::Forked { .. }
                | Phase::Stopping => false,
            });
            if whole {
                return Ok(());
            }
        }
        self.turn().await.map(drop)
    }

    async fn look(self, look: Look) -> Result<Reply, Refusal> {
        self.readable().await?;
        let (place, mount) = (self.place().await?, self.mount.clone());
        let open = move || Ok(Live::open(&place.tree(), mount.as_bytes())?);
        helmr_files::look(&self.base.works, open, &self.mount, look).await
    }

    async fn change(self, change: Change, bytes: Body) -> Result<Reply, Refusal> {
        if let Change::Upload { path } = &change {
            return self.upload(path, bytes).await;
        }
        // Before the bytes: most of what is not to be is told at once.
        self.turn().await?;
        let staged = match &change {
            Change::Write { .. } | Change::Append { .. } => Some(self.gather(bytes).await?),
            Change::Upload { .. }
            | Change::MakeDirectory { .. }
            | Change::Move { .. }
            | Change::Remove { .. }
            | Change::SetMode { .. } => None,
        };
        fault::point("worker.files.after_gather");
        let (turn, machine) = self.turn().await?;
        let directory = self.base.directory.workspace(self.workspace_id);
        let (place, mount) = (self.place().await?, self.mount);
        self.base
            .works
            .run(move || {
                if machine == Machine::Parked {
                    if change.needs_live() {
                        return Err(moving("the machine is parked, and this needs it awake"));
                    }
                    workspace::note_edit(&directory)
                        .map_err(|error| Refusal::internal(crate::serve::describe(&error)))?;
                    fault::point("worker.files.after_note");
                }
                let live = Live::open(&place.tree(), mount.as_bytes())?;
                let done = helmr_files::change(&live, mount.as_bytes(), &change, staged.as_ref());
                fault::point("worker.files.after_change");
                drop(turn);
                Reply::of(&done?)
            })
            .await
    }

    /// Unpacks an archive as it comes, each file in a turn of its own: the machine may park meanwhile.
    async fn upload(self, path: &PathText, bytes: Body) -> Result<Reply, Refusal> {
        self.turn().await?;
        let (feed, reader) = incoming(bytes);
        let (place, mount) = (self.place().await?, self.mount.clone());
        let dir = helmr_files::path(path, mount.as_bytes())?;
        let works = self.base.works.clone();
        let runtime = tokio::runtime::Handle::current();
        let unpacking = works.run(move || {
            let live = Live::open(&place.tree(), mount.as_bytes())?;
            let mut lost = None;
            let mut in_turn = |work: &mut dyn FnMut() -> Result<(), Error>| {
                match runtime.block_on(self.turn_to_change()) {
                    Ok(turn) => {
                        let done = work();
                        drop(turn);
                        done
                    }
                    Err(refusal) => {
                        // What it was is told below.
                        lost = Some(refusal);
                        Err(Error::Stream(std::io::Error::other("the machine is gone")))
                    }
                }
            };
            let unpacked = {
                let mut unpacking = Unpacking::new(&live, &mut in_turn);
                if !dir.is_root() {
                    unpacking.begin(&dir)?;
                }
                files::unpack(reader, &dir, &mut unpacking)
                    .and_then(|unpacked| unpacking.finish().map(|()| unpacked))
            };
            match (unpacked, lost) {
                (_, Some(refusal)) => Err(refusal),
                (unpacked, None) => Reply::of(&helmr_files::uploaded(unpacked?)),
            }
        });
        let (pumped, reply) = tokio::join!(feed.pump(), unpacking);
        let reply = reply?;
        pumped.map_err(|broken| Refusal::new(Code::InvalidBody, broken.to_string()))?;
        Ok(reply)
    }

    /// Takes the turn for a change that a parked machine may sleep through.
    async fn turn_to_change(&self) -> Result<Turn, Refusal> {
        let (turn, machine) = self.turn().await?;
        if machine == Machine::Parked {
            let directory = self.base.directory.workspace(self.workspace_id);
            workspace::note_edit(&directory)
                .map_err(|error| Refusal::internal(crate::serve::describe(&error)))?;
        }
        Ok(turn)
    }

    /// Takes the bytes of a write to the workspace's disk, where nobody sees them yet.
    async fn gather(&self, bytes: Body) -> Result<Staged, Refusal> {
        let (feed, mut reader) = incoming(bytes);
        let (place, mount) = (self.place().await?, self.mount.clone());
        let gathering = self.base.works.run(move || {
            let live = Live::open(&place.tree(), mount.as_bytes())?;
            let mut staged = live.stage()?;
            std::io::copy(&mut reader, &mut staged).map_err(|error| {
                match error.downcast::<Broken>() {
                    Ok(broken) => Refusal::new(Code::InvalidBody, broken.to_string()),
                    Err(error) => {
                        helmr_artifacts::files::Error::from(helmr_artifacts::Error::Stream {
                            operation: "take the bytes of a file",
                            source: error,
                        })
                        .into()
                    }
                }
            })?;
            staged.finish()?;
            Ok(staged)
        });
        let (pumped, gathered) = tokio::join!(feed.pump(), gathering);
        let staged = gathered?;
        pumped.map_err(|broken| Refusal::new(Code::InvalidBody, broken.to_string()))?;
        Ok(staged)
    }
}
