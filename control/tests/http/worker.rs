//! A worker played by the test: real registration, real reverse connection, machines that exist only in words.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{post, put};
use helmr_api::worker::{
    Assignment, Capacity, CaptureFiles, DriverReport, FilesCaptured, ImportImage, ImportedImage,
    PROTOCOL, Register, Registered, UPGRADE,
};
use http::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

use crate::server::{Answer, PATIENCE, Server};

pub(crate) struct Worker {
    pub(crate) id: String,
    pub(crate) credential: String,
    /// What lies on its disk, of any workspace.
    pub(crate) files: Files,
    pushed: mpsc::UnboundedReceiver<Box<Assignment>>,
    tasks: tokio::task::JoinSet<()>,
}

/// Where the control plane's pushes go.
#[derive(Clone)]
struct Told {
    assignments: mpsc::UnboundedSender<Box<Assignment>>,
    files: Files,
}

/// What lies on the worker's disk of any workspace.
pub(crate) type Files = Arc<Mutex<Option<FilesCaptured>>>;

pub(crate) fn registration(name: &str) -> Register {
    Register {
        worker_id: None,
        name: name.to_owned(),
        capacity: Capacity {
            cpu_millis: 4_000,
            memory_mib: 16_384,
            disk_mib: 100_000,
            slots: 64,
        },
        labels: Vec::new(),
        drivers: vec![DriverReport {
            name: "scripted".to_owned(),
            identity: "scripted-1".to_owned(),
            memory_checkpoint: true,
            hardware_isolation: false,
            network_policy: false,
            hard_disk_limit: false,
        }],
        protocols: vec![PROTOCOL],
    }
}

impl Worker {
    /// Registers and connects.
    pub(crate) async fn join(server: &Server) -> Result<Self> {
        let token = server.running.enrolment_token();
        let body = serde_json::to_value(registration("test"))?;
        let answer = post_as(server, token.expose_secret(), "/worker/v1/register", &body)
            .await?
            .ok();
        let registered: Registered = serde_json::from_value(answer.body)?;
        let credential = registered.credential.context("no credential")?;
        let (told, pushed) = mpsc::unbounded_channel();
        let mut worker = Self {
            id: registered.worker_id.to_string(),
            credential,
            files: Files::default(),
            pushed,
            tasks: tokio::task::JoinSet::new(),
        };
        worker.connect(server, told).await?;
        Ok(worker)
    }

    /// Goes away without a word.
    pub(crate) fn leave(&mut self) {
        self.tasks.abort_all();
    }

    /// Connects anew; what was pushed on the old connection and not looked at is lost.
    pub(crate) async fn reconnect(&mut self, server: &Server) -> Result<()> {
        self.tasks.abort_all();
        let (told, pushed) = mpsc::unbounded_channel();
        self.pushed = pushed;
        self.connect(server, told).await
    }

    async fn connect(
        &mut self,
        server: &Server,
        assignments: mpsc::UnboundedSender<Box<Assignment>>,
    ) -> Result<()> {
        let told = Told {
            assignments,
            files: Arc::clone(&self.files),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address: SocketAddr = listener.local_addr()?;
        let router = server.router.clone();
        self.tasks.spawn(async move {
            drop(axum::serve(listener, router).await);
        });
        let stream = tokio::net::TcpStream::connect(address).await?;
        let (mut requests, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        self.tasks.spawn(async move {
            drop(connection.with_upgrades().await);
        });
        let request = Request::get("/worker/v1/connect")
            .header("host", "control")
            .header("authorization", format!("Bearer {}", self.credential))
            .header("connection", "upgrade")
            .header("upgrade", UPGRADE)
            .body(Body::empty())?;
        let answer = requests.send_request(request).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            bail!("not upgraded: {}", answer.status());
        }
        let upgraded = hyper::upgrade::on(answer).await?;
        let service = Router::new()
            .route("/v1/assignments/{workspace}", put(assign))
            .route("/v1/images/import", post(import))
            .route("/v1/workspaces/{workspace}/capture", post(capture))
            .with_state(told);
        self.tasks.spawn(async move {
            let service =
                hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                    service.clone().oneshot(request.map(Body::new))
                });
            drop(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .serve_connection(upgraded, service)
                    .await,
            );
        });
        Ok(())
    }

    /// The next assignment that `fits`; others before it are forgotten.
    pub(crate) async fn assigned(
        &mut self,
        fits: impl Fn(&Assignment) -> bool,
    ) -> Result<Box<Assignment>> {
        let mut seen = Vec::new();
        let wanted = async {
            while let Some(push) = self.pushed.recv().await {
                if fits(&push) {
                    return Some(push);
                }
                seen.push(format!("{push:?}"));
            }
            None
        };
        let found = tokio::time::timeout(PATIENCE, wanted).await;
        match found {
            Ok(Some(assignment)) => Ok(assignment),
            Ok(None) => bail!("the connection ended after {seen:?}"),
            Err(_) => bail!("no such assignment; there were {seen:?}"),
        }
    }

    pub(crate) async fn post(&self, server: &Server, path: &str, body: &Value) -> Result<Answer> {
        post_as(server, &self.credential, path, body).await
    }

    /// Reports on a leased machine.
    pub(crate) async fn machine(
        &self,
        server: &Server,
        of: &Assignment,
        what: &str,
        report: &Value,
    ) -> Result<Answer> {
        let mut body = json!({
            "epoch": of.epoch,
            "materialization_id": of.machine.materialization_id,
        });
        merge(&mut body, report);
        let path = format!("/worker/v1/machines/{}/{what}", of.workspace_id);
        self.post(server, &path, &body).await
    }

    /// Reports on the first run of an assignment.
    pub(crate) async fn run(
        &self,
        server: &Server,
        of: &Assignment,
        what: &str,
        report: &Value,
    ) -> Result<Answer> {
        let run = of.runs.first().context("no run is assigned")?;
        let mut body = json!({
            "workspace_id": of.workspace_id,
            "epoch": of.epoch,
            "attempt_number": run.attempt_number,
        });
        merge(&mut body, report);
        self.post(
            server,
            &format!("/worker/v1/runs/{}/{what}", run.run_id),
            &body,
        )
        .await
    }
}

fn merge(into: &mut Value, from: &Value) {
    for (name, value) in from.as_object().into_iter().flatten() {
        into[name] = value.clone();
    }
}

pub(crate) async fn post_as(
    server: &Server,
    credential: &str,
    path: &str,
    body: &Value,
) -> Result<Answer> {
    let request = Request::post(path)
        .header("authorization", format!("Bearer {credential}"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))?;
    server.answer(request).await
}

async fn capture(
    State(told): State<Told>,
    axum::Json(_): axum::Json<CaptureFiles>,
) -> Result<axum::Json<FilesCaptured>, StatusCode> {
    let files = told.files.lock().map_err(|_| StatusCode::BAD_GATEWAY)?;
    files.clone().map(axum::Json).ok_or(StatusCode::NOT_FOUND)
}

async fn assign(
    State(told): State<Told>,
    axum::Json(assignment): axum::Json<Assignment>,
) -> StatusCode {
    drop(told.assignments.send(Box::new(assignment)));
    StatusCode::NO_CONTENT
}

/// Every archive becomes a root image named after its manifest.
async fn import(axum::Json(body): axum::Json<ImportImage>) -> axum::Json<ImportedImage> {
    axum::Json(ImportedImage {
        digest: format!("sha256:{}", &body.archive_manifest),
        manifest: body.archive_manifest,
        size_bytes: 4_096,
        env: vec!["PATH=/usr/bin".to_owned()],
        workdir: "/".to_owned(),
        user: String::new(),
    })
}
