//! What a hundred thousand waiting runs cost a server that has nothing else to do.
//!
//! The rows are made through the store, with the reports that a worker would send, and each run sleeps on a timer of its own
//! with its machine parked. Then the shipped server is started on them.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use helmr_domain::placement::Capacity;
use helmr_domain::{self as domain, CheckpointId, Moment, Scope, Timestamp, VersionId, WorkerId};
use helmr_e2e::Options;
use helmr_store::idempotency::Kept;
use helmr_store::sessions::RunOptions;
use helmr_store::worker::{
    Auth, CapturedVersion, Fence, MachineFence, MachineReport, Parked, PlaceNext, Placed, Register,
    RegisterWait, Report, RunFence, WaitFor,
};
use helmr_store::{Store, outbox, sessions, setup, tasks, worker};
use serde_json::json;

use super::helmr::Helmr;
use crate::clock::now_us;

const RUNS: usize = 100_000;
/// Transactions under way at once: they share their syncs.
const AT_ONCE: usize = 64;
/// Placed together.
const BATCH: usize = 500;
const DAY: domain::Duration = domain::Duration::from_secs(86_400);
/// So many of them are due at one instant.
pub(super) const TOGETHER: usize = 1_000;
/// Long enough for them to be made, and for the idle server to be watched.
const DUE_TOGETHER: domain::Duration = domain::Duration::from_secs(60);
/// How long the idle server is watched.
const WATCHED: Duration = Duration::from_secs(20);

pub(super) struct Cost {
    pub(super) runs: usize,
    pub(super) cpu_percent: f64,
    pub(super) resident_mib: f64,
    /// From the instant at which [`TOGETHER`] of the runs are due until the last of them was told.
    pub(super) together_ms: f64,
}

pub(super) async fn measure(helmr: &mut Helmr) -> Result<Cost> {
    let server = &mut helmr.server;
    server.terminate().await?;
    let database = server.data_dir().join("helmr.db");
    let filler = Filler::open(&database).await?;
    let now = || Timestamp::from_micros(now_us());
    for _ in 0..(RUNS - TOGETHER) / BATCH {
        filler.batch(now().after(DAY)).await?;
    }
    let together = now().after(DUE_TOGETHER);
    for _ in 0..TOGETHER / BATCH {
        filler.batch(together).await?;
    }
    drop(filler);
    server.restart(Options::default()).await?;
    let pid = server.pid().context("no server")?;
    // What a start does once is over.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (before, begun) = (cpu_ticks(pid)?, Instant::now());
    tokio::time::sleep(WATCHED).await;
    let used = cpu_ticks(pid)? - before;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = status.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .split_whitespace()
            .next()?
            .parse::<f64>()
            .ok()
    });
    let cpu_percent = f64::from(used) / begun.elapsed().as_secs_f64();
    let together_ms = last_of(&database, together).await?;
    server.terminate().await?;
    Ok(Cost {
        runs: RUNS,
        // A tick is a hundredth of a second.
        cpu_percent,
        resident_mib: resident.context("no VmRSS")? / 1024.0,
        together_ms,
    })
}

/// Looks at the database beside the server until no timer of `due` is left. In milliseconds after `due`.
async fn last_of(database: &Path, due: Timestamp) -> Result<f64> {
    let database = rusqlite::Connection::open(database)?;
    let mut left = database.prepare("SELECT COUNT(*) FROM timers WHERE due_at = ?1")?;
    let mut count = || left.query_row([due.as_micros()], |row| row.get::<_, u32>(0));
    if usize::try_from(count()?)? != TOGETHER {
        bail!("the runs that are due together were made too slowly");
    }
    let wait = due.since(Timestamp::from_micros(now_us()));
    tokio::time::sleep(Duration::from_micros(wait.as_micros().try_into()?)).await;
    while count()? > 0 {
        if now_us() > due.after(DUE_TOGETHER).as_micros() {
            bail!("timers that are due do not fire");
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let late = Timestamp::from_micros(now_us()).since(due);
    Ok(Duration::from_micros(late.as_micros().try_into()?).as_secs_f64() * 1e3)
}

/// Processor time of a process, in hundredths of a second (proc(5), fields 14 and 15 of `stat`).
fn cpu_ticks(pid: u32) -> Result<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let rest = stat.rsplit_once(')').context("no name in stat")?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field =
        |index: usize| -> Result<u32> { Ok(fields.get(index).context("a short stat")?.parse()?) };
    Ok(field(11)? + field(12)?)
}

struct Filler {
    store: Store,
    scope: Scope,
    task: domain::TaskRowId,
    worker: WorkerId,
    number: AtomicU64,
}

impl Filler {
    async fn open(database: &Path) -> Result<Self> {
        let enrolment: Vec<u8> = rusqlite::Connection::open(database)?.query_row(
            "SELECT enrolment_hash FROM worker_groups LIMIT 1",
            [],
            |row| row.get(0),
        )?;
        let store = Store::open_sqlite(database)?;
        let installation = setup::installation(&store)
            .await?
            .context("a fresh database")?;
        let scope = installation.scope;
        let task = tasks::get(&store, scope, "bench-hot")
            .await?
            .context("the task is deployed")?
            .id;
        let number = AtomicU64::new(1);
        let capacity = Capacity {
            cpu_millis: 1_000_000,
            memory_mib: 10_000_000,
            disk_mib: 1_000_000_000,
            slots: 10_000,
        };
        let register = Register {
            at: moment(&number),
            auth: Auth::Enrolment {
                hash: enrolment.try_into().ok().context("a hash of 32 bytes")?,
                worker_id: None,
                credential_hash: [9; 32],
            },
            report: Report {
                name: "scripted".to_owned(),
                capacity,
                labels: Vec::new(),
                // What the deployed sandboxes ask for; nothing is ever run.
                drivers: vec![json!({"name": "gvisor"})],
                protocols: vec![1],
            },
        };
        let worker = worker::register(&store, register).await?.worker.id;
        worker::connected(&store, worker, moment(&number)).await?;
        Ok(Self {
            store,
            scope,
            task,
            worker,
            number,
        })
    }

    fn at(&self) -> Moment {
        moment(&self.number)
    }

    /// Starts as many runs as are placed together, and has each of them sleep.
    async fn batch(&self, due: Timestamp) -> Result<()> {
        stream::iter(0..BATCH)
            .map(|_| self.start())
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        let mut placed = Vec::new();
        while placed.len() < BATCH {
            let more = worker::place_next(
                &self.store,
                PlaceNext {
                    at: self.at(),
                    lease_ttl: domain::Duration::from_secs(120),
                    worker_fresh_for: DAY,
                    limit: 100,
                },
            )
            .await?;
            if more.is_empty() {
                bail!("only {} of {BATCH} runs were placed", placed.len());
            }
            placed.extend(more);
        }
        stream::iter(placed)
            .map(|placed| self.sleep(placed, due))
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        self.relay().await
    }

    /// Takes what was told to the worker out of the outbox, as a server would have done meanwhile.
    async fn relay(&self) -> Result<()> {
        loop {
            let told = outbox::pending(&self.store, 1_000).await?;
            if told.is_empty() {
                return Ok(());
            }
            outbox::done(&self.store, told).await?;
        }
    }

    async fn start(&self) -> Result<()> {
        let started = sessions::start(
            &self.store,
            sessions::Start {
                at: self.at(),
                scope: self.scope,
                task: self.task,
                external_id: None,
                payload: None,
                workspace: None,
                metadata: json!({}),
                tags: Vec::new(),
                expires_at: None,
                run: RunOptions::default(),
                provenance: json!({}),
                idempotency: None,
            },
        )
        .await?;
        match started {
            Kept::Fresh(_) => Ok(()),
            Kept::Replayed { .. } => bail!("nothing was kept"),
        }
    }

    /// The reports of a worker from the machine's start to its park.
    async fn sleep(&self, placed: Placed, due_at: Timestamp) -> Result<()> {
        let lease = Fence {
            worker_id: self.worker,
            workspace_id: placed.workspace_id,
            epoch: placed.epoch,
        };
        let fence = MachineFence {
            lease,
            materialization_id: placed.materialization_id,
        };
        let assignment = worker::assignment(&self.store, placed.workspace_id)
            .await?
            .context("an assignment")?;
        let run = assignment.runs.first().context("a run")?;
        let run_fence = RunFence {
            lease,
            run_id: run.run_id,
            attempt: run.attempt,
        };
        let machine = || MachineReport {
            at: self.at(),
            fence,
        };
        worker::machine_live(&self.store, machine()).await?;
        worker::run_started(&self.store, run_fence, self.at()).await?;
        worker::register_wait(
            &self.store,
            RegisterWait {
                at: self.at(),
                fence: run_fence,
                call_no: 1,
                wait_for: WaitFor::Timer {
                    due_at,
                    clock: domain::timer::Clock::Steady,
                },
                timeout_at: None,
                hot_window: None,
                blocking: true,
                hold: false,
            },
        )
        .await?;
        worker::machine_parking(&self.store, machine()).await?;
        let at = self.at();
        worker::machine_parked(
            &self.store,
            Parked {
                at,
                fence,
                checkpoint_id: CheckpointId::new(at.now, at.seed),
                checkpoint_size_bytes: 1,
                runtime_identity: "scripted".to_owned(),
                version: CapturedVersion {
                    version_id: VersionId::new(at.now, at.seed),
                    manifest: "manifest:files".to_owned(),
                    size_bytes: 1,
                    changed_bytes: 1,
                },
                draining: false,
                timings: json!({}),
            },
        )
        .await?;
        Ok(())
    }
}

fn moment(number: &AtomicU64) -> Moment {
    let mut seed = [0; 10];
    seed[..8].copy_from_slice(&number.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Moment::new(Timestamp::from_micros(now_us()), seed)
}
