//! A small world to test in: one environment, one deployment, one worker, and a clock that moves when it is told to.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use helmr_domain::machine::Spec;
use helmr_domain::placement::Capacity;
use helmr_domain::run::{Retry, status_after};
use helmr_domain::stream::Direction;
use helmr_domain::{
    CanonicalJson, CheckpointId, Duration, MaterializationId, Moment, RunId, Scope, SessionId,
    Timestamp, TokenId, VersionId, WaitId, WorkerId, WorkspaceId,
};
use helmr_store::idempotency::{Kept, Origin};
use helmr_store::runs::Run;
use helmr_store::sessions::{RunOptions, Started};
use helmr_store::worker::{
    Auth, CapturedVersion, Fence, Finish, Finished, MachineFence, MachineReport, Parked, PlaceNext,
    Placed, Register, RegisterWait, RegisteredWait, Report, RunFence, WaitFor,
};
use helmr_store::{Store, deployments, runs, sessions, setup, streams, timers, tokens, worker};
use helmr_testkit::postgres::Postgres;
use serde_json::{Value, json};

pub(crate) const LEASE: Duration = Duration::from_secs(120);

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) scope: Scope,
    pub(crate) worker: WorkerId,
    now: AtomicI64,
    seed: AtomicU64,
}

/// A run in a live machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Live {
    pub(crate) session: SessionId,
    pub(crate) run: RunId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) machine: MaterializationId,
    pub(crate) fence: RunFence,
}

impl Live {
    pub(crate) fn machine_fence(&self) -> MachineFence {
        MachineFence {
            lease: self.fence.lease,
            materialization_id: self.machine,
        }
    }
}

pub(crate) fn first_start() -> setup::FirstStart {
    setup::FirstStart {
        at: Moment::new(Timestamp::from_micros(1_000_000), [1; 10]),
        organization_name: "Test".to_owned(),
        api_key_hash: [1; 32],
        api_key_name: "local".to_owned(),
        api_key_scopes: vec!["*".to_owned()],
        enrolment_hash: [2; 32],
        wrapped_installation_key: vec![3],
        wrapped_environment_key: vec![4],
    }
}

pub(crate) fn spec(memory_mib: u64) -> Spec {
    Spec {
        image_digest: "sha256:image".to_owned(),
        image_manifest: "manifest:image".to_owned(),
        mount_path: "/workspace".to_owned(),
        cpu_millis: 1_000,
        memory_bytes: memory_mib * 1024 * 1024,
        disk_bytes: 10 << 30,
        processes: 1_024,
        env: vec!["A=1".to_owned()],
        user: String::new(),
    }
}

pub(crate) fn task(name: &str) -> deployments::NewTask {
    deployments::NewTask {
        task_id: name.parse().expect("a name"),
        sandbox: "default".to_owned(),
        module: "tasks/all.mjs".to_owned(),
        export: name.to_owned(),
        max_duration: Duration::from_secs(900),
        ttl: None,
        queue: None,
        retry: Retry::default(),
        secrets: Vec::new(),
        payload_schema: None,
        definition: json!({}),
    }
}

pub(crate) fn stream(task: &str, direction: Direction, name: &str) -> Result<deployments::Stream> {
    Ok(deployments::Stream {
        task_id: task.parse()?,
        direction,
        name: name.parse()?,
        schema: json!({ "title": format!("{name} of {task}") }),
    })
}

impl World {
    pub(crate) async fn on_sqlite() -> Result<Self> {
        Self::over(Store::open_sqlite_in_memory()?).await
    }

    pub(crate) async fn on_postgres() -> Result<Self> {
        let url = Postgres::shared().await?.database().await?;
        Self::over(Store::connect_postgres(&url).await?).await
    }

    pub(crate) async fn over(store: Store) -> Result<Self> {
        let installation = setup::first_start(&store, first_start()).await?;
        let mut world = Self {
            store,
            scope: installation.scope,
            worker: WorkerId::new(Timestamp::from_micros(0), [0; 10]),
            now: AtomicI64::new(1_800_000_000_000_000),
            seed: AtomicU64::new(1),
        };
        world.deploy("first").await?;
        world.worker = world.add_worker(1, 8_192).await?;
        Ok(world)
    }

    /// The next moment: a millisecond later.
    pub(crate) fn at(&self) -> Moment {
        let now = self.now.fetch_add(1_000, Ordering::SeqCst) + 1_000;
        let number = self.seed.fetch_add(1, Ordering::SeqCst);
        let mut seed = [0; 10];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        Moment::new(Timestamp::from_micros(now), seed)
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now.load(Ordering::SeqCst))
    }

    pub(crate) fn advance(&self, span: Duration) {
        self.now.fetch_add(span.as_micros(), Ordering::SeqCst);
    }

    /// Deploys and promotes tasks `plain`, `retried`, `secret`, `short` (60 s to live), `large`, and `serial` (one at a
    /// time in queue `deploys`).
    pub(crate) async fn deploy(&self, content: &str) -> Result<deployments::Deployment> {
        let mut streams = Vec::new();
        for task in ["plain", "retried", "secret", "short", "large", "serial"] {
            for (direction, name) in [
                (Direction::Input, "messages"),
                (Direction::Output, "events"),
            ] {
                streams.push(stream(task, direction, name)?);
            }
        }
        streams.push(stream("retried", Direction::Input, "orders")?);
        let mut retried = task("retried");
        retried.retry.max_attempts = 2;
        let mut secret = task("secret");
        secret.secrets = vec!["KEY".to_owned()];
        let mut short = task("short");
        short.ttl = Some(Duration::from_secs(60));
        let mut large = task("large");
        large.sandbox = "large".to_owned();
        let mut serial = task("serial");
        serial.queue = Some(deployments::TaskQueue {
            name: "deploys".to_owned(),
            concurrency_limit: Some(1),
            concurrency_key: None,
            priority: 0,
        });
        let sandbox = |name: &str, memory| deployments::Sandbox {
            name: name.to_owned(),
            fingerprint: format!("fingerprint:{name}"),
            spec: spec(memory),
            definition: json!({}),
        };
        let input = deployments::Create {
            at: self.at(),
            scope: self.scope,
            content_hash: content.to_owned(),
            bundle_sha256: "ab".repeat(32),
            bundle_manifest: "manifest:bundle".to_owned(),
            bundle_size_bytes: 10,
            worker_protocol: 1,
            provenance: json!({"cli": "test"}),
            tasks: vec![task("plain"), retried, secret, short, large, serial],
            sandboxes: vec![sandbox("default", 1_024), sandbox("large", 7_500)],
            streams,
            promote: true,
            idempotency: None,
        };
        match deployments::create(&self.store, input).await? {
            Kept::Fresh(created) => Ok(created.deployment),
            Kept::Replayed { .. } => bail!("nothing was kept"),
        }
    }

    pub(crate) async fn add_worker(&self, number: u8, memory_mib: u64) -> Result<WorkerId> {
        let capacity = Capacity {
            cpu_millis: 2_000,
            memory_mib,
            disk_mib: 100_000,
            slots: 16,
        };
        let input = Register {
            at: self.at(),
            auth: Auth::Enrolment {
                hash: [2; 32],
                worker_id: None,
                credential_hash: [number; 32],
            },
            report: Report {
                name: format!("worker-{number}"),
                capacity,
                labels: Vec::new(),
                drivers: vec![json!({"name": "scripted"})],
                protocols: vec![1],
            },
        };
        let registered = worker::register(&self.store, input).await?;
        let id = registered.worker.id;
        worker::connected(&self.store, id, self.at()).await?;
        Ok(id)
    }

    pub(crate) async fn start_input(&self, task: &str) -> Result<sessions::Start> {
        let task = helmr_store::tasks::get(&self.store, self.scope, task)
            .await?
            .context("the task is deployed")?;
        Ok(sessions::Start {
            at: self.at(),
            scope: self.scope,
            task: task.id,
            external_id: None,
            payload: None,
            workspace: None,
            metadata: json!({}),
            tags: Vec::new(),
            expires_at: None,
            run: RunOptions::default(),
            provenance: json!({}),
            idempotency: None,
        })
    }

    pub(crate) async fn start(&self, task: &str) -> Result<Started> {
        fresh(sessions::start(&self.store, self.start_input(task).await?).await?)
    }

    pub(crate) async fn place(&self) -> Result<Vec<Placed>> {
        let input = PlaceNext {
            at: self.at(),
            lease_ttl: LEASE,
            worker_fresh_for: Duration::from_secs(1_000_000),
            limit: 100,
        };
        Ok(worker::place_next(&self.store, input).await?)
    }

    /// Starts a session of `task` and brings its run to its first line.
    pub(crate) async fn live(&self, task: &str) -> Result<Live> {
        let started = self.start(task).await?;
        self.go_live(&started.run).await
    }

    /// Brings a queued run to its first line in a machine of its own.
    pub(crate) async fn go_live(&self, run: &Run) -> Result<Live> {
        let placed = self.place().await?;
        let placed = placed
            .iter()
            .find(|placed| placed.workspace_id == run.workspace_id)
            .context("the run is placed")?;
        let live = self.on(run, placed).await?;
        worker::machine_live(&self.store, self.machine(&live)).await?;
        worker::run_started(&self.store, live.fence, self.at()).await?;
        Ok(live)
    }

    /// A run where it was placed.
    pub(crate) async fn on(&self, run: &Run, placed: &Placed) -> Result<Live> {
        let run = self.run(run.id).await?;
        Ok(Live {
            session: run.session_id,
            run: run.id,
            workspace: run.workspace_id,
            machine: placed.materialization_id,
            fence: RunFence {
                lease: Fence {
                    worker_id: placed.worker_id,
                    workspace_id: placed.workspace_id,
                    epoch: placed.epoch,
                },
                run_id: run.id,
                attempt: run.state.attempt().context("the run has an attempt")?,
            },
        })
    }

    pub(crate) fn machine(&self, live: &Live) -> MachineReport {
        MachineReport {
            at: self.at(),
            fence: live.machine_fence(),
        }
    }

    pub(crate) async fn run(&self, id: RunId) -> Result<Run> {
        runs::get(&self.store, self.scope, id)
            .await?
            .context("the run is there")
    }

    pub(crate) async fn status(&self, id: RunId) -> Result<&'static str> {
        Ok(self.run(id).await?.state.status().as_str())
    }

    pub(crate) async fn token(&self, live: &Live) -> Result<TokenId> {
        let number = self.seed.fetch_add(1, Ordering::SeqCst);
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        let input = tokens::Create {
            at: self.at(),
            scope: self.scope,
            timeout_at: self.now().after(Duration::from_secs(3_600)),
            tags: Vec::new(),
            metadata: json!({}),
            callback_hash: hash,
            public_hash: hash,
            allowed_origins: Vec::new(),
            origin: Origin::Task(helmr_store::idempotency::TaskCall {
                fence: live.fence,
                call_no: 1_000_000 + number,
                sealed: None,
                answer: std::sync::Arc::new(|token: &tokens::Token| json!(token.id)),
            }),
        };
        Ok(fresh(tokens::create(&self.store, input).await?)?.id)
    }

    pub(crate) fn wait_input(&self, live: &Live, call_no: u64, wait_for: WaitFor) -> RegisterWait {
        RegisterWait {
            at: self.at(),
            fence: live.fence,
            call_no,
            wait_for,
            timeout_at: None,
            hot_window: None,
            blocking: true,
            hold: false,
        }
    }

    pub(crate) async fn wait(
        &self,
        live: &Live,
        call_no: u64,
        wait_for: WaitFor,
    ) -> Result<RegisteredWait> {
        let input = self.wait_input(live, call_no, wait_for);
        Ok(worker::register_wait(&self.store, input).await?)
    }

    pub(crate) async fn complete(
        &self,
        token: TokenId,
        data: &Value,
    ) -> Result<tokens::Completion> {
        let input = tokens::Complete {
            at: self.at(),
            scope: self.scope,
            token,
            data: CanonicalJson::try_from(data)?,
            public_token: None,
        };
        Ok(tokens::complete(&self.store, input).await?)
    }

    pub(crate) fn version(&self) -> CapturedVersion {
        let at = self.at();
        CapturedVersion {
            version_id: VersionId::new(at.now, at.seed),
            manifest: "manifest:files".to_owned(),
            size_bytes: 10,
            changed_bytes: 1,
        }
    }

    pub(crate) fn parked_input(&self, live: &Live, draining: bool) -> Parked {
        let at = self.at();
        Parked {
            at,
            fence: live.machine_fence(),
            checkpoint_id: CheckpointId::new(at.now, at.seed),
            checkpoint_size_bytes: 100,
            runtime_identity: "scripted".to_owned(),
            version: self.version(),
            draining,
            timings: json!({}),
        }
    }

    pub(crate) async fn park(&self, live: &Live) -> Result<()> {
        worker::machine_parking(&self.store, self.machine(live)).await?;
        worker::machine_parked(&self.store, self.parked_input(live, false)).await?;
        Ok(())
    }

    /// Places and brings the parked machine of a run back.
    pub(crate) async fn wake(&self, live: &Live) -> Result<Live> {
        let placed = self.place().await?;
        let placed = placed
            .iter()
            .find(|placed| placed.workspace_id == live.workspace)
            .context("the machine is placed")?;
        let woken = self.on(&self.run(live.run).await?, placed).await?;
        worker::machine_live(&self.store, self.machine(&woken)).await?;
        Ok(woken)
    }

    pub(crate) async fn deliver(&self, live: &Live, wait_id: WaitId) -> helmr_store::Result<()> {
        let input = worker::Deliver {
            at: self.at(),
            fence: live.fence,
            wait_id,
        };
        worker::wait_delivered(&self.store, input).await
    }

    pub(crate) async fn finish(&self, live: &Live, finished: Finished) -> Result<Option<RunId>> {
        let input = Finish {
            at: self.at(),
            fence: live.fence,
            finished,
            untaken: Vec::new(),
            exit_code: Some(0),
        };
        Ok(worker::run_finished(&self.store, input).await?)
    }

    pub(crate) async fn succeed(&self, live: &Live) -> Result<Option<RunId>> {
        let output = Some(json!({"ok": true}));
        self.finish(live, Finished::Succeeded { output }).await
    }

    pub(crate) async fn send(
        &self,
        session: SessionId,
        data: &Value,
        correlation: Option<&str>,
    ) -> Result<streams::Sent> {
        let input = streams::SendInput {
            at: self.at(),
            scope: self.scope,
            session,
            record: streams::NewRecord {
                stream: "messages".parse()?,
                data: data.clone(),
                correlation_id: correlation.map(str::to_owned),
                content_type: "application/json".to_owned(),
                idempotency_key: None,
            },
            public_token: None,
            idempotency: None,
        };
        fresh(streams::send_input(&self.store, input).await?)
    }

    /// What of the session's messages is unread.
    pub(crate) async fn unread(&self, session: SessionId) -> Result<Vec<Value>> {
        let input = streams::Peek {
            session,
            stream: "messages".parse()?,
            correlation_id: None,
            limit: 100,
        };
        let found = streams::peek(&self.store, self.scope, input).await?;
        Ok(found.into_iter().map(|record| record.data).collect())
    }

    /// A wait on the session's messages.
    pub(crate) fn messages(correlation: Option<&str>) -> WaitFor {
        WaitFor::Stream {
            stream: "messages".parse().expect("a name"),
            correlation_id: correlation.map(str::to_owned),
        }
    }

    pub(crate) async fn session(&self, id: SessionId) -> Result<sessions::Session> {
        sessions::get(&self.store, self.scope, id)
            .await?
            .context("the session is there")
    }

    /// The one outcome that is on its way to a run, as the task will see it.
    pub(crate) async fn outcome(&self, live: &Live) -> Result<Value> {
        let assignment = self.assignment(live).await?.context("it is assigned")?;
        let run = assignment
            .runs
            .iter()
            .find(|run| run.run_id == live.run)
            .context("the run is assigned")?;
        match run.outcomes.as_slice() {
            [one] => Ok(one.outcome.to_value()),
            other => bail!("{other:?}"),
        }
    }

    /// Fires every timer that is due.
    pub(crate) async fn fire(&self) -> Result<u32> {
        let mut fired = 0;
        loop {
            let done = timers::fire_due(&self.store, self.at(), 100).await?;
            fired += done.fired;
            if !done.more {
                return Ok(fired);
            }
        }
    }

    /// The kinds of a run's events, in order.
    pub(crate) async fn events(&self, run: RunId) -> Result<Vec<&'static str>> {
        let events = runs::events(&self.store, self.scope, run, 0, 1_000).await?;
        let sequences: Vec<u64> = events.iter().map(|event| event.sequence).collect();
        assert!(sequences.iter().copied().eq(1..=events.len() as u64));
        Ok(events.iter().map(|event| event.kind.as_str()).collect())
    }

    /// Every run's status by its row and by its events alone.
    pub(crate) async fn check_replays(&self) -> Result<()> {
        let mut before = None;
        loop {
            let filter = runs::Filter::default();
            let page = runs::list(&self.store, self.scope, filter, before, 100).await?;
            for run in &page.items {
                let told = self.events(run.id).await?;
                let kinds = told
                    .iter()
                    .map(|kind| Ok(kind.parse()?))
                    .collect::<Result<Vec<_>>>()?;
                let status = Some(run.state.status());
                assert_eq!(status_after(kinds), status, "{}: {told:?}", run.id);
            }
            before = page.next;
            if before.is_none() {
                return Ok(());
            }
        }
    }

    pub(crate) async fn assignment(&self, live: &Live) -> Result<Option<worker::Assignment>> {
        Ok(worker::assignment(&self.store, live.workspace).await?)
    }
}

pub(crate) fn fresh<T>(kept: Kept<T>) -> Result<T> {
    match kept {
        Kept::Fresh(value) => Ok(value),
        Kept::Replayed { answer, .. } => bail!("answered again: {answer}"),
    }
}
