//! Many clients and a worker that repeats itself, comes late and is lost, in random order: whatever happens, what was
//! promised holds at every step, and everything comes to its end when the world calms down. On PostgreSQL: SQLite is what
//! the simulator plays its schedules on, and many more of them.

use anyhow::{Context, Result, ensure};
use helmr_domain::run::status_after;
use helmr_domain::timer::Clock;
use helmr_domain::{Duration, Failure, FailureKind, RunId, TokenId, WaitId};
use helmr_store::worker::{self, Finished, Heartbeat, HeldLease, WaitFor};
use helmr_store::{Error, runs, sessions};
use serde_json::json;

use crate::world::{LEASE, Live, World};

/// Repeatable choices (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides).unwrap_or(1)).unwrap_or(0)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() {
            return None;
        }
        Some(from[self.roll(from.len())])
    }
}

struct Chaos {
    world: World,
    dice: Dice,
    runs: Vec<RunId>,
    tokens: Vec<TokenId>,
    /// What the worker believes to have, some of it long gone.
    believed: Vec<Live>,
    waits: Vec<(Live, WaitId)>,
    calls: u64,
}

/// Lets through what a worker or a client may be answered at any time.
fn tolerate<T>(answer: std::result::Result<T, Error>) -> Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(Error::Stale | Error::Refused(_) | Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The same for what the world wraps.
fn tolerate_any<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) => match error.downcast::<Error>() {
            Ok(error) => tolerate(Err(error)),
            Err(error) => Err(error),
        },
    }
}

impl Chaos {
    fn new(world: World, seed: u64) -> Self {
        Self {
            world,
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            runs: Vec::new(),
            tokens: Vec::new(),
            believed: Vec::new(),
            waits: Vec::new(),
            calls: 0,
        }
    }

    async fn step(&mut self) -> Result<()> {
        match self.dice.roll(40) {
            0 | 1 => self.start().await,
            2..=6 => self.place().await,
            7..=11 => self.report_machine().await,
            12..=17 => self.park().await,
            18..=20 => self.wait().await,
            21 => self.drop_wait().await,
            22..=27 => self.deliver().await,
            28 => self.finish().await,
            29..=31 => self.complete().await,
            32 | 33 => self.send().await,
            34 => self.cancel().await,
            35 => self.fail_machine().await,
            36 => self.pass_time().await,
            _ => self.beat().await,
        }
    }

    /// Mostly what the worker got last, sometimes what it has long lost.
    fn any_believed(&mut self) -> Option<Live> {
        let recent = self.believed.len().saturating_sub(4);
        if self.dice.roll(5) == 0 {
            return self.dice.pick(&self.believed);
        }
        self.dice.pick(&self.believed[recent..])
    }

    async fn start(&mut self) -> Result<()> {
        if self.runs.len() < 12 {
            let task = ["plain", "retried", "serial"][self.dice.roll(3)];
            let mut input = self.world.start_input(task).await?;
            if self.dice.roll(3) == 0 {
                input.workspace = self.dice.pick(&self.believed).map(|live| live.workspace);
            }
            let started = crate::world::fresh(sessions::start(&self.world.store, input).await?)?;
            self.runs.push(started.run.id);
        }
        Ok(())
    }

    async fn place(&mut self) -> Result<()> {
        for placed in self.world.place().await? {
            for id in self.runs.clone() {
                let run = self.world.run(id).await?;
                if run.workspace_id == placed.workspace_id && run.state.attempt().is_some() {
                    self.believed.push(self.world.on(&run, &placed).await?);
                }
            }
        }
        Ok(())
    }

    async fn report_machine(&mut self) -> Result<()> {
        let Some(live) = self.any_believed() else {
            return Ok(());
        };
        let store = &self.world.store;
        for _ in 0..=self.dice.roll(2) {
            tolerate(worker::machine_live(store, self.world.machine(&live)).await)?;
            tolerate(worker::run_started(store, live.fence, self.world.at()).await)?;
        }
        if self.dice.roll(8) == 0 {
            tolerate(worker::machine_stopping(store, self.world.machine(&live)).await)?;
            let stopped = worker::Stopped {
                at: self.world.at(),
                fence: live.machine_fence(),
                version: Some(self.world.version()),
            };
            tolerate(worker::machine_stopped(store, stopped).await)?;
        }
        Ok(())
    }

    async fn park(&mut self) -> Result<()> {
        let Some(live) = self.any_believed() else {
            return Ok(());
        };
        let store = &self.world.store;
        let draining = self.dice.roll(4) == 0;
        let parking = worker::machine_parking(store, self.world.machine(&live)).await;
        if tolerate(parking)?.is_none() && !draining {
            return Ok(());
        }
        match self.dice.roll(5) {
            0 => {
                tolerate(worker::machine_unparked(store, self.world.machine(&live)).await)?;
            }
            // The worker goes on with it later, or never.
            1 => {}
            _ => {
                let parked = self.world.parked_input(&live, draining);
                for _ in 0..=self.dice.roll(2) {
                    tolerate(worker::machine_parked(store, parked.clone()).await)?;
                }
            }
        }
        Ok(())
    }

    async fn wait(&mut self) -> Result<()> {
        let Some(live) = self.any_believed() else {
            return Ok(());
        };
        self.calls += 1;
        let wait_for = match self.dice.roll(3) {
            0 => World::messages(None),
            1 => WaitFor::Timer {
                clock: Clock::Steady,
                due_at: self.world.now().after(Duration::from_secs(30)),
            },
            _ => {
                let Some(token) = tolerate_any(self.world.token(&live).await)? else {
                    return Ok(());
                };
                self.tokens.push(token);
                WaitFor::Token(token)
            }
        };
        let mut input = self.world.wait_input(&live, self.calls, wait_for);
        input.blocking = self.dice.roll(4) > 0;
        input.hold = self.dice.roll(2) == 0;
        if self.dice.roll(2) == 0 {
            input.timeout_at = Some(self.world.now().after(Duration::from_secs(20)));
        }
        let first = tolerate(worker::register_wait(&self.world.store, input.clone()).await)?;
        if let Some(registered) = first {
            self.waits.push((live, registered.wait_id));
            if self.dice.roll(2) == 0 {
                let again = tolerate(worker::register_wait(&self.world.store, input).await)?;
                ensure!(again.is_none_or(|again| again.wait_id == registered.wait_id));
            }
        }
        Ok(())
    }

    async fn drop_wait(&mut self) -> Result<()> {
        let Some(live) = self.any_believed() else {
            return Ok(());
        };
        let dropped = self.calls.saturating_sub(u64::try_from(self.dice.roll(6))?);
        self.calls += 1;
        let input = worker::DropWait {
            at: self.world.at(),
            fence: live.fence,
            call_no: self.calls,
            dropped,
        };
        let first = tolerate(worker::drop_wait(&self.world.store, input).await)?;
        let again = tolerate(worker::drop_wait(&self.world.store, input).await)?;
        ensure!(first == again, "dropping it again has another answer");
        Ok(())
    }

    async fn deliver(&mut self) -> Result<()> {
        let recent = self.waits.len().saturating_sub(4);
        let Some((_, wait)) = self.dice.pick(&self.waits[recent..]) else {
            return Ok(());
        };
        // With any lease the worker ever had: only the right one counts.
        let Some(live) = self.any_believed() else {
            return Ok(());
        };
        tolerate(self.world.deliver(&live, wait).await).map(drop)
    }

    async fn finish(&mut self) -> Result<()> {
        let Some(live) = self.any_believed() else {
            return Ok(());
        };
        let finished = match self.dice.roll(3) {
            0 => Finished::Failed(Failure::new(FailureKind::TaskError, "m")),
            1 => Finished::Stopped,
            _ => Finished::Succeeded { output: None },
        };
        for _ in 0..=self.dice.roll(2) {
            let next = tolerate_any(self.world.finish(&live, finished.clone()).await)?;
            if let Some(Some(next)) = next
                && !self.runs.contains(&next)
            {
                self.runs.push(next);
            }
        }
        Ok(())
    }

    async fn complete(&mut self) -> Result<()> {
        if let Some(token) = self.dice.pick(&self.tokens) {
            let data = json!(self.dice.roll(2));
            tolerate_any(self.world.complete(token, &data).await)?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<()> {
        if let Some(live) = self.any_believed() {
            let sent = tolerate_any(self.world.send(live.session, &json!(1), None).await)?;
            self.runs
                .extend(sent.and_then(|sent| sent.record.started_run));
        }
        Ok(())
    }

    async fn cancel(&mut self) -> Result<()> {
        if self.dice.roll(3) == 0
            && let Some(run) = self.dice.pick(&self.runs)
        {
            let store = &self.world.store;
            tolerate(runs::cancel(store, self.world.scope, run, None, self.world.at()).await)?;
        }
        Ok(())
    }

    async fn fail_machine(&mut self) -> Result<()> {
        let Some(live) = self.any_believed() else {
            return Ok(());
        };
        let failed = worker::Failed {
            at: self.world.at(),
            fence: live.machine_fence(),
            kind: "machine_died".to_owned(),
            message: "m".to_owned(),
            version: None,
            checkpoint_kept: self.dice.roll(2) == 0,
        };
        for _ in 0..=self.dice.roll(2) {
            tolerate(worker::machine_failed(&self.world.store, failed.clone()).await)?;
        }
        Ok(())
    }

    async fn pass_time(&mut self) -> Result<()> {
        let seconds = [1, 1, 5, 5, 30, 100][self.dice.roll(6)];
        self.world.advance(Duration::from_secs(seconds));
        self.world.fire().await?;
        self.reap().await
    }

    async fn reap(&mut self) -> Result<()> {
        let store = &self.world.store;
        for reaped in worker::reap_expired_leases(store, self.world.at(), 100).await? {
            let (scope, at) = (self.world.scope, self.world.at());
            helmr_store::workspaces::recover(store, scope, reaped.workspace_id, at).await?;
        }
        Ok(())
    }

    async fn beat(&mut self) -> Result<()> {
        let leases = self
            .believed
            .iter()
            .map(|live| HeldLease {
                workspace_id: live.workspace,
                epoch: live.fence.lease.epoch,
            })
            .collect();
        let beat = Heartbeat {
            at: self.world.at(),
            worker_id: self.world.worker,
            free: helmr_domain::placement::Capacity {
                disk_mib: 100_000,
                ..Default::default()
            },
            draining: false,
            leases,
            lease_ttl: LEASE,
        };
        worker::heartbeat(&self.world.store, beat).await?;
        Ok(())
    }

    /// What holds at any time.
    async fn check(&self) -> Result<()> {
        for id in &self.runs {
            let kinds = self.world.events(*id).await?;
            let parsed = kinds
                .iter()
                .map(|kind| Ok(kind.parse()?))
                .collect::<Result<Vec<_>>>()?;
            let run = self.world.run(*id).await?;
            ensure!(
                status_after(parsed) == Some(run.state.status()),
                "{kinds:?} is not {:?}",
                run.state
            );
            let ends = [
                "run.succeeded",
                "run.failed",
                "run.cancelled",
                "run.expired",
            ];
            let ended = kinds.iter().filter(|kind| ends.contains(kind)).count();
            ensure!(
                ended == usize::from(run.state.status().is_final()),
                "{kinds:?}"
            );
            check_waits(&self.world, *id).await?;
        }
        Ok(())
    }

    /// A worker that does everything it should, until nothing is left to do.
    async fn calm(&mut self) -> Result<()> {
        for _ in 0..200 {
            let mut open = Vec::new();
            for id in &self.runs {
                let run = self.world.run(*id).await?;
                if !run.state.status().is_final() {
                    open.push(run);
                }
            }
            if open.is_empty() {
                return Ok(());
            }
            self.world.fire().await?;
            self.world.place().await?;
            for run in open {
                self.serve(&run).await?;
            }
            self.stop_idle().await?;
            self.world.advance(Duration::from_secs(10));
            self.reap().await?;
        }
        for id in &self.runs {
            let run = self.world.run(*id).await?;
            ensure!(
                run.state.status().is_final(),
                "{run:?} never came to its end"
            );
        }
        Ok(())
    }

    /// Ends the machines in which there is nothing left to do.
    async fn stop_idle(&self) -> Result<()> {
        let store = &self.world.store;
        for workspace in worker::assigned_to(store, self.world.worker).await? {
            let Some(assignment) = worker::assignment(store, workspace).await? else {
                continue;
            };
            let lease = worker::Fence {
                worker_id: assignment.worker_id,
                workspace_id: workspace,
                epoch: assignment.epoch,
            };
            let fence = worker::MachineFence {
                lease,
                materialization_id: assignment.machine.materialization_id,
            };
            if assignment.runs.is_empty() {
                let at = self.world.at();
                tolerate(worker::machine_live(store, worker::MachineReport { at, fence }).await)?;
                let stopped = worker::Stopped {
                    at,
                    fence,
                    version: None,
                };
                tolerate(worker::machine_stopped(store, stopped).await)?;
            }
        }
        Ok(())
    }

    /// Does the next thing for one run.
    async fn serve(&mut self, run: &runs::Run) -> Result<()> {
        let store = &self.world.store;
        if run.pending_wait.is_some() {
            for token in self.tokens.clone() {
                tolerate_any(self.world.complete(token, &json!(0)).await)?;
            }
            tolerate_any(self.world.send(run.session_id, &json!(1), None).await)?;
        }
        let Some(assignment) = worker::assignment(store, run.workspace_id).await? else {
            return Ok(());
        };
        let Some(assigned) = assignment.runs.iter().find(|one| one.run_id == run.id) else {
            return Ok(());
        };
        let live = Live {
            session: run.session_id,
            run: run.id,
            workspace: run.workspace_id,
            machine: assignment.machine.materialization_id,
            fence: worker::RunFence {
                lease: worker::Fence {
                    worker_id: assignment.worker_id,
                    workspace_id: run.workspace_id,
                    epoch: assignment.epoch,
                },
                run_id: run.id,
                attempt: assigned.attempt,
            },
        };
        tolerate(worker::machine_live(store, self.world.machine(&live)).await)?;
        tolerate(worker::run_started(store, live.fence, self.world.at()).await)?;
        for outcome in &assigned.outcomes {
            self.world.deliver(&live, outcome.wait_id).await?;
        }
        if assigned.stop.is_some() {
            self.world.finish(&live, Finished::Stopped).await?;
        } else if assigned.waiting.is_none() {
            let next = self.world.succeed(&live).await?;
            self.runs.extend(next);
        }
        Ok(())
    }
}

/// A wait has one outcome at most, and one end.
async fn check_waits(world: &World, run: RunId) -> Result<()> {
    let events = runs::events(&world.store, world.scope, run, 0, 10_000).await?;
    let of = |kind: &str, id: &str| {
        let matching = events.iter().filter(|event| {
            event.kind.as_str() == kind
                && event
                    .attributes
                    .get("wait_id")
                    .and_then(|found| found.as_str())
                    == Some(id)
        });
        matching.count()
    };
    for created in events
        .iter()
        .filter(|event| event.kind.as_str() == "wait.created")
    {
        let id = created.attributes["wait_id"].as_str().context("a wait")?;
        let decided = of("wait.resolved", id) + of("wait.timed_out", id);
        ensure!(decided <= 1, "{decided} outcomes of {id}");
        ensure!(of("wait.cancelled", id) + of("wait.failed", id) <= 1);
        let dropped = events.iter().filter(|event| {
            event.attributes.contains_key("dropped") && event.attributes["wait_id"] == id
        });
        ensure!(
            of("run.resumed", id) <= decided + dropped.count(),
            "{id} resumed without an outcome"
        );
        // It blocks its run once, and again after each time that something else was awake beside it.
        let beside = events
            .iter()
            .filter(|event| event.attributes.get("beside").and_then(|id| id.as_str()) == Some(id));
        let held = beside.count();
        ensure!((held..=held + 1).contains(&of("run.waiting", id)));
    }
    Ok(())
}

async fn play(world: World, seed: u64, steps: usize) -> Result<()> {
    let mut chaos = Chaos::new(world, seed);
    for step in 0..steps {
        let stepped = chaos.step().await;
        stepped.with_context(|| format!("seed {seed}, step {step}"))?;
        if step % 20 == 0 {
            let checked = chaos.check().await;
            checked.with_context(|| format!("seed {seed}, after step {step}"))?;
        }
    }
    let calmed = chaos.calm().await;
    calmed.with_context(|| format!("seed {seed}, calming down"))?;
    chaos
        .check()
        .await
        .with_context(|| format!("seed {seed}, at the end"))
}

#[tokio::test]
async fn what_was_promised_holds_on_postgresql_and_everything_comes_to_its_end() -> Result<()> {
    play(World::on_postgres().await?, 1_000, 200).await
}
