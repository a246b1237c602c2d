//! A control plane for one workspace, in memory, over the real protocol: keeps what it is told, fences by epoch, pushes
//! assignments. Small on purpose: what it refuses and forgets is what the worker is tested against.

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
    Assignment, Beside, DecidedOutcome, Holdings, HoldingsAnswer, KeepBeside, Outcome,
    RunAssignment, StopOrder, UPGRADE, Want,
};
use helmr_domain::{RunId, WaitId};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::ledger::{Machine, Run, State};

/// Every wait of a test ends within this.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub(crate) struct Control {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<u64>>,
    connection: Arc<Mutex<Option<SendRequest<Body>>>>,
}

impl Control {
    pub(crate) fn new(assignment: Assignment, seed: Option<String>) -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new(assignment, seed))),
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
            .route("/worker/v1/holdings", post(holdings))
            .route("/worker/v1/workspaces/{workspace}/beside", post(beside))
            .route("/worker/v1/machines/{workspace}/{what}", post(machine))
            .route("/worker/v1/runs/{run}/{what}", post(run))
            .route("/worker/v1/execs/{exec}/{what}", post(exec))
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
        let run = Run::new(run);
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
            let run = state.runs.get_mut(&run).context("the run")?;
            run.assignment.stop = Some(StopOrder {
                reason: "cancelled".to_owned(),
                message: "as the test wants it".to_owned(),
                kill_in_ms: u64::try_from(grace.as_millis())?,
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

    /// Lets a report in, unless it is one that never arrives.
    async fn arrives(&self, what: &str) {
        if self.state().blocked.contains(what) {
            self.state().log.push(format!("{what} blocked"));
            self.touch();
            std::future::pending::<()>().await;
        }
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

async fn holdings(
    Extract(control): Extract<Control>,
    Json(asked): Json<Holdings>,
) -> Json<HoldingsAnswer> {
    let state = control.state();
    let mut answer = HoldingsAnswer::default();
    if state.all_over {
        answer.over = asked.machines;
        answer.deleted = asked
            .workspaces
            .iter()
            .map(|files| files.workspace_id)
            .collect();
    } else if state.all_lost && !state.leased {
        let newer = asked.workspaces.iter().filter(|files| files.newer);
        answer.keep_beside = newer
            .map(|files| KeepBeside {
                workspace_id: files.workspace_id,
                data_key: state.assignment.data_key.clone(),
            })
            .collect();
    }
    Json(answer)
}

async fn beside(Extract(control): Extract<Control>, Json(body): Json<Beside>) -> Json<Value> {
    control.state().beside.push(body);
    control.touch();
    Json(json!({}))
}

async fn machine(
    Extract(control): Extract<Control>,
    Path((_workspace, what)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Response {
    control.arrives(&what).await;
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
    control.arrives(&what).await;
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

async fn exec(
    Extract(control): Extract<Control>,
    Path((_exec, what)): Path<(String, String)>,
) -> StatusCode {
    let what = format!("exec {what}");
    control.arrives(&what).await;
    control.state().log.push(what);
    control.touch();
    StatusCode::NO_CONTENT
}
