//! The store in which every schedule begins: one environment with a deployment. Made once, and gone back to.

use anyhow::{Context as _, Result, bail};
use helmr_domain::machine::Spec;
use helmr_domain::run::{Backoff, Retry};
use helmr_domain::stream::Direction;
use helmr_domain::{Duration, Moment, Scope, TaskRowId, Timestamp};
use helmr_store::idempotency::Kept;
use helmr_store::inline::{self, Inside};
use helmr_store::{Store, deployments, setup, tasks};
use serde_json::json;

use crate::ready;

/// When every schedule begins.
pub(crate) const START: i64 = 1_800_000_000_000_000;
pub(crate) const ENROLMENT: [u8; 32] = [2; 32];
const TASKS: [&str; 4] = ["plain", "retried", "short", "queued"];
pub(crate) const INPUT: &str = "messages";
pub(crate) const OUTPUT: &str = "events";

/// A store, and what is in it before anything happens.
pub struct Base {
    pub(crate) store: Store,
    pub(crate) inside: Inside,
    pub(crate) scope: Scope,
    /// `plain`, `retried`, `short`, `queued`.
    pub(crate) tasks: Vec<TaskRowId>,
}

impl Base {
    /// Makes one.
    ///
    /// # Errors
    /// If the store does not work at all.
    pub fn make() -> Result<Self> {
        let (store, inside) = inline::open()?;
        let first = setup::FirstStart {
            at: moment(1),
            organization_name: "Simulation".to_owned(),
            api_key_hash: [1; 32],
            api_key_name: "local".to_owned(),
            api_key_scopes: vec!["*".to_owned()],
            enrolment_hash: ENROLMENT,
            wrapped_installation_key: vec![3],
            wrapped_environment_key: vec![4],
        };
        let scope = ready(setup::first_start(&store, first))?.scope;
        deploy(&store, scope)?;
        let mut rows = Vec::new();
        for name in TASKS {
            let task = ready(tasks::get(&store, scope, name))?;
            rows.push(task.context("a task is deployed")?.id);
        }
        inside.keep()?;
        drop(inside.changes());
        Ok(Self {
            store,
            inside,
            scope,
            tasks: rows,
        })
    }
}

fn moment(number: u8) -> Moment {
    Moment::new(Timestamp::from_micros(START - 1_000_000), [number; 10])
}

fn task(name: &str) -> Result<deployments::NewTask> {
    Ok(deployments::NewTask {
        task_id: name.parse()?,
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
    })
}

fn deploy(store: &Store, scope: Scope) -> Result<()> {
    let stream = |task: &str, direction, name: &str| -> Result<deployments::Stream> {
        Ok(deployments::Stream {
            task_id: task.parse()?,
            direction,
            name: name.parse()?,
            schema: json!({}),
        })
    };
    let mut retried = task("retried")?;
    retried.retry = Retry {
        max_attempts: 3,
        backoff: Backoff {
            min: Duration::from_millis(500),
            max: Duration::from_secs(5),
            factor_percent: 200,
            jitter: true,
        },
    };
    let mut short = task("short")?;
    short.ttl = Some(Duration::from_secs(6));
    short.max_duration = Duration::from_secs(8);
    let mut queued = task("queued")?;
    queued.queue = Some(deployments::TaskQueue {
        name: "queue".to_owned(),
        concurrency_limit: Some(1),
        concurrency_key: None,
        priority: 0,
    });
    let mut streams = Vec::new();
    for task in TASKS {
        streams.push(stream(task, Direction::Input, INPUT)?);
        streams.push(stream(task, Direction::Output, OUTPUT)?);
    }
    let create = deployments::Create {
        at: moment(2),
        scope,
        content_hash: "content".to_owned(),
        bundle_sha256: "ab".repeat(32),
        bundle_manifest: "bundle".to_owned(),
        bundle_size_bytes: 1,
        worker_protocol: 1,
        provenance: json!({}),
        tasks: vec![task("plain")?, retried, short, queued],
        sandboxes: vec![deployments::Sandbox {
            name: "default".to_owned(),
            fingerprint: "default".to_owned(),
            spec: Spec {
                image_digest: "image".to_owned(),
                image_manifest: "image".to_owned(),
                mount_path: "/workspace".to_owned(),
                cpu_millis: 1_000,
                memory_bytes: 1 << 30,
                disk_bytes: 1 << 30,
                processes: 64,
                env: Vec::new(),
                user: String::new(),
            },
            definition: json!({}),
        }],
        streams,
        promote: true,
        idempotency: None,
    };
    match ready(deployments::create(store, create))? {
        Kept::Fresh(_) => Ok(()),
        Kept::Replayed { .. } => bail!("a new store knows a deployment"),
    }
}
