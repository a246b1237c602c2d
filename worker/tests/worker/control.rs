//! A control plane for one workspace, in memory, over the real protocol: keeps what it is told, fences by epoch, pushes
//! assignments. Small on purpose: what it refuses and forgets is what the worker is tested against.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::body::Body;
use axum::extract::{Path, Request, State as Extract};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use helmr_api::worker::{
    Assignment, CapturedVersion, DecidedOutcome, Origin, Outcome, PendingWait, RunAssignment,
    StopOrder, UPGRADE, Want,
};
use helmr_domain::{CheckpointId, RunId, Timestamp, WaitId};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

/// Every wait of a test ends within this.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    Requested,
    Preparing,
    Live,
    Parking,
    Parked,
    Resuming,
    Stopping,
    Stopped,
    Failed,
}

/// Everything the control plane knows.
pub(crate) struct State {
    pub(crate) assignment: Assignment,
    pub(crate) machine: Machine,
    pub(crate) leased: bool,
    pub(crate) runs: BTreeMap<RunId, Run>,
    pub(crate) checkpoint: Option<CheckpointId>,
    pub(crate) version: Option<CapturedVersion>,
    pub(crate) versions: Vec<CapturedVersion>,
    /// Every report that was taken, in order: the last part of its path.
    pub(crate) log: Vec<String>,
    /// Why machines failed.
    pub(crate) failures: Vec<Value>,
    /// Reports that are refused as stale, whatever they say: the lease went elsewhere.
    pub(crate) fenced: usize,
    pub(crate) draining: bool,
    pub(crate) beats: usize,
    /// The answer to heartbeats, when they are not to be answered truly.
    pub(crate) deaf: bool,
    /// Reports that are taken but whose answer never comes.
    pub(crate) held: HashSet<String>,
    pub(crate) lost: bool,
    /// What the image holds at the mount path, once someone has captured it.
    pub(crate) seed: Option<String>,
}

pub(crate) struct Run {
    pub(crate) assignment: RunAssignment,
    pub(crate) started: usize,
    pub(crate) inputs: usize,
    pub(crate) calls: BTreeMap<u64, Value>,
    pub(crate) call_posts: usize,
    pub(crate) delivered: Vec<WaitId>,
    pub(crate) finished: Option<Value>,
    pub(crate) output: BTreeMap<String, String>,
    pub(crate) entries: BTreeMap<u64, Value>,
}

#[derive(Clone)]
pub(crate) struct Control {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<u64>>,
    connection: Arc<Mutex<Option<SendRequest<Body>>>>,
}

impl Control {
    pub(crate) fn new(assignment: Assignment, seed: Option<String>) -> Self {
        let state = State {
            assignment,
            machine: Machine::Requested,
            leased: false,
            runs: BTreeMap::new(),
            checkpoint: None,
            version: None,
            versions: Vec::new(),
            log: Vec::new(),
            failures: Vec::new(),
            fenced: 0,
            draining: false,
            beats: 0,
            deaf: false,
            held: HashSet::new(),
            lost: false,
            seed,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            changed: Arc::new(watch::Sender::new(0)),
            connection: Arc::default(),
        }
    }

    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/worker/v1/register", post(register))
            .route("/worker/v1/heartbeat", post(heartbeat))
            .route("/worker/v1/connect", get(connect))
            .route("/worker/v1/seeds/find", post(find_seed))
            .route("/worker/v1/seeds/put", post(put_seed))
            .route("/worker/v1/machines/{workspace}/{what}", post(machine))
            .route("/worker/v1/runs/{run}/{what}", post(run))
            .layer(axum::extract::DefaultBodyLimit::max(64 << 20))
            .with_state(self.clone())
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn touch(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Waits until the control plane's state is as asked; says what it was instead.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&State) -> bool) -> Result<()> {
        let mut changed = self.changed.subscribe();
        let waited = timeout(DEADLINE, async {
            loop {
                if holds(&self.state()) {
                    return;
                }
                if changed.changed().await.is_err() {
                    return;
                }
            }
        })
        .await;
        if waited.is_err() {
            let state = self.state();
            bail!(
                "not in time: {what}; machine {:?}, log {:?}, failures {:?}",
                state.machine,
                state.log,
                state.failures
            );
        }
        Ok(())
    }

    pub(crate) async fn until_machine(&self, machine: Machine) -> Result<()> {
        self.until(&format!("the machine is {machine:?}"), |state| {
            state.machine == machine
        })
        .await
    }

    pub(crate) async fn until_finished(&self, run: RunId) -> Result<Value> {
        self.until("the run is finished", |state| {
            state.runs[&run].finished.is_some()
        })
        .await?;
        self.state().runs[&run].finished.clone().context("finished")
    }

    /// Leases the workspace to the worker, and tells it.
    pub(crate) async fn place(&self) -> Result<()> {
        self.state().place();
        self.push().await
    }

    pub(crate) async fn add_run(&self, run: RunAssignment) -> Result<()> {
        let run = Run {
            assignment: run,
            started: 0,
            inputs: 0,
            calls: BTreeMap::new(),
            call_posts: 0,
            delivered: Vec::new(),
            finished: None,
            output: BTreeMap::new(),
            entries: BTreeMap::new(),
        };
        let leased = {
            let mut state = self.state();
            state.runs.insert(run.assignment.run_id, run);
            state.leased
        };
        if leased {
            self.push().await
        } else {
            self.place().await
        }
    }

    /// Decides the wait that a run is in. Wakes the machine if it is parked.
    pub(crate) async fn complete(&self, run: RunId, data: Value) -> Result<WaitId> {
        let (wait_id, place) = {
            let mut state = self.state();
            let run = state.runs.get_mut(&run).context("the run")?;
            let wait = run.assignment.waiting.clone().context("it waits")?;
            run.assignment.outcomes.push(DecidedOutcome {
                wait_id: wait.wait_id,
                call_no: wait.call_no,
                outcome: Outcome::ok(data),
            });
            (wait.wait_id, state.machine == Machine::Parked)
        };
        if place {
            self.place().await?;
        } else {
            self.push().await?;
        }
        Ok(wait_id)
    }

    pub(crate) async fn stop_run(&self, run: RunId, grace: Duration) -> Result<()> {
        {
            let mut state = self.state();
            let kill_at = now_us() + i64::try_from(grace.as_micros())?;
            let run = state.runs.get_mut(&run).context("the run")?;
            run.assignment.stop = Some(StopOrder {
                reason: "cancelled".to_owned(),
                message: "as the test wants it".to_owned(),
                kill_at_us: kill_at,
            });
        }
        self.push().await
    }

    pub(crate) async fn want(&self, want: Want) -> Result<()> {
        self.state().assignment.want = want;
        self.push().await
    }

    /// Pushes the assignment, if there is a connection: a push that is lost does no harm.
    pub(crate) async fn push(&self) -> Result<()> {
        let assignment = self.state().snapshot();
        self.send(&assignment).await?;
        self.touch();
        Ok(())
    }

    /// Asks the worker for something over the connection that it opened.
    pub(crate) async fn ask(&self, path: &str, body: &Value) -> Result<(StatusCode, Value)> {
        let connection = self.connection.lock().unwrap().clone();
        let mut connection = connection.context("a connection")?;
        let request = axum::http::Request::post(format!("http://worker{path}"))
            .header("content-type", "application/json")
            .body(Body::from(serde_json::to_vec(body)?))?;
        let answer = timeout(DEADLINE, connection.send_request(request)).await??;
        let status = answer.status();
        let body = axum::body::to_bytes(Body::new(answer.into_body()), 1 << 20).await?;
        Ok((status, serde_json::from_slice(&body)?))
    }

    /// Pushes any assignment: an old one, or one again.
    pub(crate) async fn send(&self, assignment: &Assignment) -> Result<()> {
        let Some(mut connection) = self.connection.lock().unwrap().clone() else {
            return Ok(());
        };
        let request = axum::http::Request::put(format!(
            "http://worker/v1/assignments/{}",
            assignment.workspace_id
        ))
        .header("content-type", "application/json")
        .body(Body::from(serde_json::to_vec(assignment)?))?;
        // A worker that was killed took the connection with it; the next one is told on its own.
        drop(timeout(DEADLINE, connection.send_request(request)).await?);
        Ok(())
    }
}

impl State {
    fn place(&mut self) {
        self.assignment.epoch += 1;
        self.leased = true;
        self.lost = false;
        self.assignment.machine.origin = match (self.machine, self.checkpoint, &self.version) {
            (Machine::Parked, Some(checkpoint_id), Some(version)) => Origin::Checkpoint {
                checkpoint_id,
                version_id: version.version_id,
                manifest: version.manifest.clone(),
            },
            (_, _, Some(version)) => Origin::Version {
                version_id: version.version_id,
                manifest: version.manifest.clone(),
            },
            (_, _, None) => Origin::Seed,
        };
        self.machine = match self.machine {
            Machine::Parked => Machine::Resuming,
            _ => Machine::Preparing,
        };
    }

    pub(crate) fn snapshot(&mut self) -> Assignment {
        self.assignment.revision += 1;
        Assignment {
            runs: self
                .runs
                .values()
                .filter(|run| run.finished.is_none())
                .map(|run| run.assignment.clone())
                .collect(),
            ..self.assignment.clone()
        }
    }

    fn is_busy(&self) -> bool {
        self.runs
            .values()
            .filter(|run| run.finished.is_none())
            .any(|run| run.assignment.waiting.is_none() || !run.assignment.outcomes.is_empty())
    }

    /// How often a report was taken.
    pub(crate) fn count(&self, report: &str) -> usize {
        self.log.iter().filter(|taken| *taken == report).count()
    }
}

fn now_us() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

fn refuse(code: &str) -> Response {
    let body = json!({"error": {"code": code, "message": code}});
    (StatusCode::CONFLICT, Json(body)).into_response()
}

async fn register(Extract(control): Extract<Control>, Json(body): Json<Value>) -> Json<Value> {
    control.state().log.push("register".to_owned());
    let known = body["worker_id"].as_str();
    Json(json!({
        "worker_id": known.unwrap_or("wkr_01hzzzzzzzzzzzzzzzzzzzzzzz"),
        "credential": if known.is_some() { Value::Null } else { json!("secret") },
        "heartbeat_interval_ms": 100,
        "lease_ttl_ms": 1200,
        "worker_lost_after_ms": 120_000,
        "installation_key": super::world::key_text(1),
    }))
}

async fn heartbeat(Extract(control): Extract<Control>, Json(body): Json<Value>) -> Response {
    let answer = {
        let mut state = control.state();
        if state.deaf {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        state.beats += 1;
        state.draining = body["draining"] == true;
        let leases = body["leases"].as_array().cloned().unwrap_or_default();
        let (renewed, lost): (Vec<_>, Vec<_>) = leases.into_iter().partition(|lease| {
            state.leased && !state.lost && lease["epoch"] == json!(state.assignment.epoch)
        });
        let lost: Vec<_> = lost
            .iter()
            .map(|lease| lease["workspace_id"].clone())
            .collect();
        json!({"renewed": renewed, "lost": lost})
    };
    control.touch();
    Json(answer).into_response()
}

async fn connect(Extract(control): Extract<Control>, request: Request) -> Response {
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(request).await.unwrap();
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .handshake::<_, Body>(upgraded)
            .await
            .unwrap();
        tokio::spawn(async move { drop(connection.await) });
        *control.connection.lock().unwrap() = Some(sender);
        let leased = control.state().leased;
        if leased {
            control.push().await.unwrap();
        }
        control.touch();
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", HeaderValue::from_static("upgrade"))
        .header("upgrade", HeaderValue::from_static(UPGRADE))
        .body(Body::empty())
        .unwrap()
}

async fn find_seed(Extract(control): Extract<Control>) -> Json<Value> {
    Json(json!({"manifest": control.state().seed}))
}

async fn put_seed(Extract(control): Extract<Control>, Json(body): Json<Value>) -> Json<Value> {
    let manifest = body["manifest"].as_str().unwrap().to_owned();
    let mut state = control.state();
    let kept = state.seed.get_or_insert(manifest).clone();
    state.log.push("seed".to_owned());
    Json(json!({"manifest": kept}))
}

async fn machine(
    Extract(control): Extract<Control>,
    Path((_workspace, what)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Response {
    let taken = control.state().take_machine(&what, &body);
    control.touch();
    let push_again = matches!(what.as_str(), "parked" | "live" | "unparked") && taken.is_ok();
    let wake = push_again && {
        let state = control.state();
        what == "parked"
            && state
                .runs
                .values()
                .any(|run| run.finished.is_none() && !run.assignment.outcomes.is_empty())
    };
    let held = control.state().held.contains(&what);
    if wake {
        // The placement loop is quick: the wake may come before the answer.
        control.place().await.unwrap();
    }
    if held {
        std::future::pending::<()>().await;
    }
    match taken {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(code) => refuse(code),
    }
}

async fn run(
    Extract(control): Extract<Control>,
    Path((run, what)): Path<(RunId, String)>,
    Json(body): Json<Value>,
) -> Response {
    let taken = control.state().take_run(run, &what, &body);
    control.touch();
    let held = control.state().held.contains(&what);
    if held {
        std::future::pending::<()>().await;
    }
    let answer = match taken {
        Ok(answer) => answer,
        Err(code) => return refuse(code),
    };
    if matches!(
        what.as_str(),
        "calls" | "delivered" | "finished" | "started"
    ) {
        control.push().await.unwrap();
    }
    match answer {
        Some(answer) => Json(answer).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

impl State {
    fn fence(&mut self, body: &Value) -> Result<(), &'static str> {
        if self.leased && !self.lost && body["epoch"] == json!(self.assignment.epoch) {
            return Ok(());
        }
        self.fenced += 1;
        Err("stale_lease")
    }

    fn take_machine(&mut self, what: &str, body: &Value) -> Result<(), &'static str> {
        self.fence(body)?;
        let draining = body["draining"] == true;
        match what {
            "live" | "unparked" => self.machine = Machine::Live,
            "parking" if self.is_busy() => return Err("machine_busy"),
            "parked" if self.machine != Machine::Parking && !draining => {
                return Err("invalid_state");
            }
            "parking" => self.machine = Machine::Parking,
            "parked" => {
                self.machine = Machine::Parked;
                self.leased = false;
                self.checkpoint = serde_json::from_value(body["checkpoint_id"].clone()).ok();
                self.keep_version(&body["version"]);
            }
            "stopping" if self.runs.values().any(|run| run.finished.is_none()) => {
                return Err("machine_busy");
            }
            "stopping" => self.machine = Machine::Stopping,
            "stopped" => {
                self.machine = Machine::Stopped;
                self.leased = false;
                self.keep_version(&body["version"]);
            }
            "failed" => {
                self.failures.push(body.clone());
                self.leased = false;
                self.keep_version(&body["version"]);
                self.machine = if body["checkpoint_kept"] == true {
                    Machine::Parked
                } else {
                    Machine::Failed
                };
            }
            "version" => self.keep_version(&body["version"]),
            _ => return Err("route_not_found"),
        }
        self.log.push(what.to_owned());
        Ok(())
    }

    fn keep_version(&mut self, version: &Value) {
        if let Ok(version) = serde_json::from_value::<CapturedVersion>(version.clone()) {
            if self.version.as_ref() != Some(&version) {
                self.versions.push(version.clone());
            }
            self.version = Some(version);
        }
    }

    fn take_run(
        &mut self,
        run_id: RunId,
        what: &str,
        body: &Value,
    ) -> Result<Option<Value>, &'static str> {
        self.fence(body)?;
        let run = self.runs.get_mut(&run_id).ok_or("run_not_found")?;
        if body["attempt_number"] != json!(run.assignment.attempt_number) {
            return Err("stale_lease");
        }
        self.log.push(what.to_owned());
        let mut answer = None;
        match what {
            "input" => {
                run.inputs += 1;
                answer = Some(json!({
                    "init": {"type": "init", "run": run_id},
                    "argv": ["runtime.mjs"],
                    "env": ["SECRET=hunter2"],
                }));
            }
            "started" => {
                run.started += 1;
                run.assignment.started = true;
            }
            "calls" => answer = Some(run.call(body)),
            "delivered" => {
                let wait_id: WaitId = serde_json::from_value(body["wait_id"].clone()).unwrap();
                if !run.delivered.contains(&wait_id) {
                    run.delivered.push(wait_id);
                }
                run.assignment
                    .outcomes
                    .retain(|outcome| outcome.wait_id != wait_id);
                if run
                    .assignment
                    .waiting
                    .as_ref()
                    .is_some_and(|wait| wait.wait_id == wait_id)
                {
                    run.assignment.waiting = None;
                }
            }
            "output" => run.print(body),
            "finished" => {
                run.finished.get_or_insert_with(|| body.clone());
            }
            _ => return Err("route_not_found"),
        }
        Ok(answer)
    }
}

impl Run {
    fn call(&mut self, body: &Value) -> Value {
        self.call_posts += 1;
        let call_no = body["call_no"].as_u64().unwrap();
        if let Some(answer) = self.calls.get(&call_no) {
            return answer.clone();
        }
        let answer = match body["op"].as_str().unwrap() {
            "wait" => {
                let mut random = [0; 10];
                random[9] = u8::try_from(call_no).unwrap();
                let wait_id = WaitId::new(Timestamp::from_micros(now_us()), random);
                let hot_window_ms = body["args"]["hot_window_ms"].as_u64().unwrap_or(0);
                self.assignment.waiting = Some(PendingWait {
                    wait_id,
                    call_no,
                    hot_window_ms,
                    since_us: now_us(),
                });
                json!({"state": "waiting", "wait_id": wait_id, "hot_window_ms": hot_window_ms, "blocking": true})
            }
            "refuse" => {
                json!({"state": "refused", "code": "nope", "message": "no", "details": null})
            }
            _ => json!({"state": "answered", "answer": {"of": call_no, "args": body["args"]}}),
        };
        self.calls.insert(call_no, answer.clone());
        answer
    }

    fn print(&mut self, body: &Value) {
        use base64::Engine as _;
        for segment in body["segments"].as_array().unwrap() {
            let stream = segment["stream"].as_str().unwrap().to_owned();
            let text = self.output.entry(stream).or_default();
            let data = base64::engine::general_purpose::STANDARD
                .decode(segment["data"].as_str().unwrap())
                .unwrap();
            let offset = usize::try_from(segment["offset"].as_u64().unwrap()).unwrap();
            assert!(offset <= text.len(), "output is missing");
            let known = text.len() - offset;
            if known < data.len() {
                text.push_str(&String::from_utf8_lossy(&data[known..]));
            }
        }
        for entry in body["entries"].as_array().unwrap() {
            self.entries
                .insert(entry["index"].as_u64().unwrap(), entry.clone());
        }
    }
}
