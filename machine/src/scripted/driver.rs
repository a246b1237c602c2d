//! The driver's verbs, on guests in this process.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use helmr_guest_wire::StartRun;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::fault::{Effect, Faults, Operation};
use super::guest::Guest;
use super::script::Step;
use super::state::GuestState;
use crate::{Attempt, Capabilities, Driver, Error, Limits, Presence, RuntimeIdentity, Spec, Stats};

const IMAGE_NAME: &str = "state.json";

/// A host of scripted machines. Clones share it: it outlives the worker that uses it, as a real runtime does.
#[derive(Clone)]
pub struct Scripted {
    world: Arc<World>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Scripted").finish_non_exhaustive()
    }
}

type Script = Box<dyn Fn(&StartRun) -> Vec<Step> + Send + Sync>;

/// What all machines and all handles share.
pub(super) struct World {
    script: Script,
    machines: Mutex<HashMap<Attempt, Machine>>,
    gates: Mutex<HashSet<String>>,
    faults: Faults,
    boots: AtomicU64,
}

impl std::fmt::Debug for World {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("World").finish_non_exhaustive()
    }
}

struct Machine {
    guest: Arc<Guest>,
    life: AbortOnDropHandle<()>,
    confined_to: Option<Limits>,
}

impl Scripted {
    /// A host whose runs do what `script` says for their start frame.
    pub fn new(script: impl Fn(&StartRun) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let world = World {
            script: Box::new(script),
            machines: Mutex::default(),
            gates: Mutex::default(),
            faults: Faults::default(),
            boots: AtomicU64::new(1),
        };
        Self {
            world: Arc::new(world),
        }
    }

    /// Makes the next call of `operation` that has no fault yet go wrong.
    pub fn inject(&self, operation: Operation, effect: Effect) {
        self.world.faults.push(operation, effect);
    }

    /// Lets every run pass the gate of this name, from now on.
    pub fn open_gate(&self, name: &str) {
        self.world
            .gates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned());
        for machine in self.world.machines().values() {
            machine.guest.nudged.notify_one();
        }
    }

    /// Ends a machine from within, as a crash of its sandbox would. `false` if there was none.
    pub fn crash(&self, attempt: &Attempt) -> bool {
        self.world.machines().remove(attempt).is_some()
    }

    /// The limits that a machine was held to after it had come up.
    #[must_use]
    pub fn confined_to(&self, attempt: &Attempt) -> Option<Limits> {
        self.world.machines().get(attempt)?.confined_to
    }

    /// Every attempt that exists now, running or paused.
    #[must_use]
    pub fn attempts(&self) -> Vec<Attempt> {
        self.world.machines().keys().cloned().collect()
    }
}

impl World {
    pub(super) fn script(&self, start: &StartRun) -> Vec<Step> {
        (self.script)(start)
    }

    pub(super) fn is_open(&self, gate: &str) -> bool {
        self.gates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(gate)
    }

    fn machines(&self) -> MutexGuard<'_, HashMap<Attempt, Machine>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn launch(self: &Arc<Self>, attempt: &Attempt, spec: &Spec, state: GuestState) {
        let guest = Guest::new(
            state,
            spec.host_dir.clone(),
            spec.workspace_dir.clone(),
            Arc::clone(self),
        );
        let guest = Arc::new(guest);
        let life = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&guest).live()));
        self.machines().insert(
            attempt.clone(),
            Machine {
                guest,
                life,
                confined_to: None,
            },
        );
    }

    fn guest(&self, operation: Operation, attempt: &Attempt) -> Result<Arc<Guest>, Error> {
        match self.machines().get(attempt) {
            Some(machine) if !machine.life.is_finished() => Ok(Arc::clone(&machine.guest)),
            Some(_) | None => Err(Error::Gone {
                operation: operation.name(),
                container: attempt.container(),
            }),
        }
    }

    /// Performs `act` as the next queued fault of `operation` has it.
    async fn perform<T>(
        &self,
        operation: Operation,
        attempt: &Attempt,
        deadline: Duration,
        act: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let passed = || Error::DeadlinePassed {
            operation: operation.name(),
            container: attempt.container(),
            deadline,
        };
        match self.faults.next(operation) {
            None => act(),
            Some(Effect::Fail) => Err(refused(operation, attempt, "as the test wants it")),
            Some(Effect::Hang) => {
                sleep(deadline).await;
                Err(passed())
            }
            Some(Effect::HangThenHappen) => {
                sleep(deadline).await;
                act()?;
                Err(passed())
            }
            Some(Effect::Slow(by)) if by >= deadline => {
                sleep(deadline).await;
                Err(passed())
            }
            Some(Effect::Slow(by)) => {
                sleep(by).await;
                act()
            }
        }
    }
}

fn refused(operation: Operation, attempt: &Attempt, message: &str) -> Error {
    Error::Refused {
        operation: operation.name(),
        container: attempt.container(),
        status: "scripted".to_owned(),
        message: message.to_owned(),
    }
}

impl Driver for Scripted {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            memory_checkpoint: true,
            hardware_isolation: false,
            network_policy: false,
            hard_disk_limit: true,
        }
    }

    fn identity(&self) -> RuntimeIdentity {
        RuntimeIdentity("scripted/1".to_owned())
    }

    async fn start(&self, attempt: &Attempt, spec: &Spec, deadline: Duration) -> Result<(), Error> {
        self.world
            .perform(Operation::Start, attempt, deadline, || {
                let boot = self.world.boots.fetch_add(1, Ordering::Relaxed);
                self.world
                    .launch(attempt, spec, GuestState::new(boot.to_be_bytes().to_vec()));
                Ok(())
            })
            .await
    }

    async fn pause(&self, attempt: &Attempt, deadline: Duration) -> Result<(), Error> {
        self.world
            .perform(Operation::Pause, attempt, deadline, || {
                self.world
                    .guest(Operation::Pause, attempt)?
                    .set_paused(true);
                Ok(())
            })
            .await
    }

    async fn resume(&self, attempt: &Attempt, deadline: Duration) -> Result<(), Error> {
        self.world
            .perform(Operation::Resume, attempt, deadline, || {
                self.world
                    .guest(Operation::Resume, attempt)?
                    .set_paused(false);
                Ok(())
            })
            .await
    }

    async fn checkpoint(
        &self,
        attempt: &Attempt,
        image_dir: &Path,
        deadline: Duration,
    ) -> Result<u64, Error> {
        self.world
            .perform(Operation::Checkpoint, attempt, deadline, || {
                let guest = self.world.guest(Operation::Checkpoint, attempt)?;
                if !guest.is_paused() {
                    return Err(refused(
                        Operation::Checkpoint,
                        attempt,
                        "the machine is not paused",
                    ));
                }
                let image = guest.state().to_image().map_err(Error::Spec)?;
                std::fs::create_dir_all(image_dir).map_err(Error::io("create", image_dir))?;
                let written = std::fs::write(image_dir.join(IMAGE_NAME), &image);
                if written.is_err() {
                    let _torn = std::fs::remove_dir_all(image_dir);
                }
                written.map_err(Error::io("write", image_dir))?;
                Ok(u64::try_from(image.len()).unwrap_or(u64::MAX))
            })
            .await
    }

    async fn restore(
        &self,
        attempt: &Attempt,
        spec: &Spec,
        image_dir: &Path,
        deadline: Duration,
    ) -> Result<(), Error> {
        self.world
            .perform(Operation::Restore, attempt, deadline, || {
                let path = image_dir.join(IMAGE_NAME);
                let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
                let state = GuestState::from_image(&bytes).ok_or_else(|| Error::Image {
                    path,
                    reason: "it is torn".to_owned(),
                })?;
                self.world.launch(attempt, spec, state);
                Ok(())
            })
            .await
    }

    async fn kill(&self, attempt: &Attempt, deadline: Duration) -> Result<(), Error> {
        let machine = self
            .world
            .perform(Operation::Kill, attempt, deadline, || {
                Ok(self.world.machines().remove(attempt))
            })
            .await?;
        if let Some(machine) = machine {
            machine.life.abort();
            // It ends at its next await; what it ended with is of no interest.
            let _ended = machine.life.await;
        }
        Ok(())
    }

    async fn presence(&self, attempt: &Attempt) -> Result<Presence, Error> {
        Ok(match self.world.guest(Operation::Kill, attempt) {
            Err(_) => Presence::Gone,
            Ok(guest) if guest.is_paused() => Presence::Paused,
            Ok(_) => Presence::Running,
        })
    }

    async fn confine(&self, attempt: &Attempt, limits: &Limits) -> Result<(), Error> {
        self.world
            .perform(Operation::Confine, attempt, Duration::MAX, || {
                self.world.guest(Operation::Confine, attempt)?;
                if let Some(machine) = self.world.machines().get_mut(attempt) {
                    machine.confined_to = Some(*limits);
                }
                Ok(())
            })
            .await
    }

    async fn stats(&self, attempt: &Attempt) -> Result<Stats, Error> {
        match self.world.guest(Operation::Kill, attempt) {
            Ok(_) => Ok(Stats {
                memory_bytes: 1 << 20,
                cpu_us: 1,
                oom_kills: 0,
            }),
            Err(_) => Err(Error::Gone {
                operation: "stats",
                container: attempt.container(),
            }),
        }
    }

    /// Scripted machines hold nothing on the host.
    fn retire(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Attempt>, Error> {
        Ok(self.attempts())
    }
}
