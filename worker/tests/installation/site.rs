//! An installation in a temporary directory, with a deployed project whose runs follow scripts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::body::Body;
use helmr_api::transport::InMemory;
use helmr_api::worker::Capacity;
use helmr_control::Running as Control;
use helmr_domain::run::{Status, status_after};
use helmr_guest_wire::StartRun;
use helmr_machine::scripted::{Scripted, Step};
use helmr_worker::{Config, Running as Worker};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

use crate::scratch::Scratch;

/// Every wait of a test ends within this.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Site {
    pub(crate) driver: Scripted,
    hot_window: helmr_domain::Duration,
    up: Option<Up>,
    /// Last: it goes once nothing is up any more.
    directory: Scratch,
}

/// One process's worth of it.
struct Up {
    worker: Worker,
    control: Control,
    router: Router,
    key: String,
    _server: JoinSet<()>,
}

impl Site {
    /// Starts everything and deploys the project.
    pub(crate) async fn new(
        hot_window_ms: i64,
        script: impl Fn(&StartRun) -> Vec<Step> + Send + Sync + 'static,
    ) -> Result<Self> {
        let mut site = Self {
            driver: Scripted::new(script),
            directory: Scratch::new()?,
            hot_window: helmr_domain::Duration::from_millis(hot_window_ms),
            up: None,
        };
        site.start().await?;
        site.deploy().await?;
        Ok(site)
    }

    pub(crate) async fn start(&mut self) -> Result<()> {
        self.start_unready().await?;
        let up = self.up.as_ref().context("it is up")?;
        Ok(timeout(DEADLINE, up.worker.ready()).await??)
    }

    /// Starts everything and waits for nothing.
    pub(crate) async fn start_unready(&mut self) -> Result<()> {
        let dir = self.directory.path();
        let mut config = helmr_control::Config::in_directory(dir, "http://helmr.test".to_owned());
        config.settings.hot_window = Some(self.hot_window);
        config.settings.heartbeat_interval = helmr_domain::Duration::from_millis(200);
        let control = helmr_control::start(config).await?;
        let (connector, listener) = InMemory::pair();
        let mut server = JoinSet::new();
        let router = control.router();
        server.spawn({
            let router = router.clone();
            async move { axum::serve(listener, router).await.unwrap() }
        });
        let config = Config {
            data_dir: dir.join("worker"),
            name: "test".to_owned(),
            enrolment_token: control.enrolment_token().expose_secret().to_owned(),
            capacity: Capacity {
                cpu_millis: 16_000,
                memory_mib: 16_384,
                disk_mib: 102_400,
                slots: 16,
            },
            labels: Vec::new(),
            guest_dir: dir.to_owned(),
            hard_disk_limit: false,
            cache_bytes: 1 << 40,
        };
        let worker = helmr_worker::Worker::start(
            config,
            self.driver.clone(),
            control.artifacts(),
            connector,
        )
        .await?;
        self.up = Some(Up {
            worker,
            key: control.local_api_key().expose_secret().to_owned(),
            control,
            router,
            _server: server,
        });
        Ok(())
    }

    /// Ends control plane and worker where they stand. Machines go on.
    pub(crate) fn kill(&mut self) {
        self.up = None;
    }

    pub(crate) async fn kill_and_restart(&mut self) -> Result<()> {
        self.kill();
        self.start().await
    }

    /// Stops as a signal would have it.
    pub(crate) async fn stop(&mut self, grace: Duration) -> Result<()> {
        let up = self.up.take().context("it is up")?;
        timeout(DEADLINE, up.worker.shutdown(grace)).await?;
        timeout(DEADLINE, up.control.shutdown()).await?;
        Ok(())
    }

    async fn deploy(&self) -> Result<()> {
        let archive = tar(&[
            ("etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
            ("workspace/README", "from the image\n"),
        ])
        .await?;
        let image = self.upload("image", archive).await?;
        let body = json!({"name": "node:24-bookworm-slim", "upload_sha256": image});
        self.post("/api/v1/images", &body)
            .await
            .context("import an image (needs root and mkfs.erofs: script/setup)")?;
        let bundle = self
            .upload("bundle", tar(&[("runtime.mjs", "export {}\n")]).await?)
            .await?;
        let task = json!({
            "id": "work", "module": "tasks/work.mjs", "export": "work", "file": "tasks/work.ts",
            "streams": ["inbox", "out"], "sandbox_id": null, "max_duration_seconds": 900, "queue": null,
            "ttl": null, "retry": null, "secrets": [], "schedule": null,
            "payload_schema": {"type": "object"},
        });
        let stream = |name: &str, direction: &str| {
            json!({"name": name, "direction": direction, "schema": null, "tasks": ["work"],
                "file": "tasks/work.ts", "export": name, "module": "tasks/work.mjs"})
        };
        let index = json!({
            "project": "main", "tasks": [task], "sandboxes": [], "bundle": {"files": []},
            "streams": [stream("inbox", "input"), stream("out", "output")],
        });
        let body = json!({"index": index, "bundle_sha256": bundle});
        self.post("/api/v1/deployments", &body).await.map(drop)
    }

    async fn upload(&self, kind: &str, bytes: Vec<u8>) -> Result<String> {
        let sha256: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let path = format!("/api/v1/uploads/{sha256}?kind={kind}");
        self.send(Method::PUT, &path, Body::from(bytes)).await?;
        Ok(sha256)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(Method::POST, path, Body::from(body.to_string()))
            .await
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, Body::empty()).await
    }

    /// Sends bytes and gives status and body, whatever they are.
    pub(crate) async fn raw(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Result<(http::response::Parts, Vec<u8>)> {
        let up = self.up.as_ref().context("it is up")?;
        let mut request = Request::builder()
            .method(&method)
            .uri(path)
            .header("authorization", format!("Bearer {}", up.key));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into())?;
        let Ok(answer) = timeout(DEADLINE, up.router.clone().oneshot(request)).await?;
        let (parts, body) = answer.into_parts();
        let bytes = timeout(DEADLINE, body.collect()).await??.to_bytes();
        Ok((parts, bytes.to_vec()))
    }

    async fn send(&self, method: Method, path: &str, body: Body) -> Result<Value> {
        let up = self.up.as_ref().context("it is up")?;
        let mut request = Request::builder()
            .method(&method)
            .uri(path)
            .header("authorization", format!("Bearer {}", up.key));
        if method == Method::POST {
            request = request.header("content-type", "application/json");
        }
        let answer = timeout(DEADLINE, up.router.clone().oneshot(request.body(body)?)).await?;
        let Ok(answer) = answer;
        let status = answer.status();
        let bytes = timeout(DEADLINE, answer.into_body().collect())
            .await??
            .to_bytes();
        if !status.is_success() {
            bail!(
                "{method} {path}: {status} {}",
                String::from_utf8_lossy(&bytes)
            );
        }
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Starts a session. Gives its id and its run's.
    pub(crate) async fn session(&self, payload: &Value) -> Result<(String, String)> {
        let body = json!({"task": "work", "payload": payload});
        let started = self.post("/api/v1/sessions", &body).await?;
        let text = |pointer: &str| started.pointer(pointer).and_then(Value::as_str);
        Ok((
            text("/session/id").context("session")?.to_owned(),
            text("/run/id").context("run")?.to_owned(),
        ))
    }

    pub(crate) async fn send_input(&self, session: &str, data: &Value) -> Result<()> {
        let path = format!("/api/v1/sessions/{session}/inputs/inbox");
        self.post(&path, &json!({"data": data})).await.map(drop)
    }

    pub(crate) async fn run(&self, id: &str) -> Result<Value> {
        Ok(self.get(&format!("/api/v1/runs/{id}")).await?["run"].clone())
    }

    /// Waits until a run is as asked; says what it was instead.
    pub(crate) async fn until(
        &self,
        id: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = Value::Null;
        let waited = timeout(DEADLINE, async {
            loop {
                last = self.run(id).await?;
                if holds(&last) {
                    return anyhow::Ok(());
                }
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        match waited {
            Ok(done) => done.map(|()| last),
            Err(_) => bail!(
                "not in time: {what}; {last}; events {:?}; machines {:?}",
                self.kinds(id).await,
                self.driver.attempts()
            ),
        }
    }

    /// Waits for a status. The events of a run that has ended must tell its status as well.
    pub(crate) async fn until_status(&self, id: &str, status: &str) -> Result<Value> {
        let run = self
            .until(id, status, |run| run["status"] == status)
            .await?;
        let wanted: Status = status.parse()?;
        if wanted.is_final() {
            let told = self.kinds(id).await?;
            let kinds = told
                .iter()
                .map(|kind| kind.parse())
                .collect::<Result<Vec<_>, _>>()?;
            assert_eq!(status_after(kinds), Some(wanted), "{told:?}");
        }
        Ok(run)
    }

    /// Waits until a run waits in a machine that is set aside, and that is gone.
    pub(crate) async fn until_parked(&self, id: &str) -> Result<Value> {
        let run = self
            .until(id, "parked", |run| run["placement"]["state"] == "parked")
            .await?;
        self.until_machines(0).await?;
        Ok(run)
    }

    pub(crate) async fn until_machines(&self, count: usize) -> Result<()> {
        let gone = timeout(DEADLINE, async {
            while self.driver.attempts().len() != count {
                sleep(Duration::from_millis(5)).await;
            }
        });
        gone.await
            .with_context(|| format!("{count} machines; {:?}", self.driver.attempts()))
    }

    /// Waits until the worker listens for the guest of a machine.
    pub(crate) async fn until_listening(&self) -> Result<()> {
        let listens = || {
            let machines = std::fs::read_dir(self.worker_dir().join("machines"));
            machines.into_iter().flatten().flatten().any(|machine| {
                let attempts = std::fs::read_dir(machine.path().join("attempts"));
                let mut attempts = attempts.into_iter().flatten().flatten();
                attempts.any(|attempt| attempt.path().join("host/host.sock").exists())
            })
        };
        let waited = timeout(DEADLINE, async {
            while !listens() {
                sleep(Duration::from_millis(1)).await;
            }
        });
        waited.await.context("the worker listens for a guest")
    }

    /// The kinds of a run's events, in order.
    pub(crate) async fn kinds(&self, id: &str) -> Result<Vec<String>> {
        let events = self
            .get(&format!("/api/v1/runs/{id}/events?limit=200"))
            .await?;
        let items = events["items"].as_array().context("items")?;
        let kinds = items.iter().filter_map(|event| event["kind"].as_str());
        Ok(kinds.map(str::to_owned).collect())
    }

    pub(crate) fn worker_dir(&self) -> PathBuf {
        self.directory.path().join("worker")
    }
}

/// How many entries a directory has.
pub(crate) fn count(directory: &Path) -> usize {
    std::fs::read_dir(directory).map_or(0, |found| {
        found
            .flatten()
            .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
            .count()
    })
}

async fn tar(files: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut archive = tokio_tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tokio_tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        archive
            .append_data(&mut header, path, text.as_bytes())
            .await?;
    }
    Ok(archive.into_inner().await?)
}

/// What a run was started with.
pub(crate) fn payload(start: &StartRun) -> Value {
    let init: Value = serde_json::from_slice(&start.init_line).unwrap();
    init["payload"].clone()
}

/// Why a run exists.
pub(crate) fn reason(start: &StartRun) -> Value {
    let init: Value = serde_json::from_slice(&start.init_line).unwrap();
    init["context"]["run"]["reason"].clone()
}

/// Lines that a scripted runtime says.
pub(crate) mod says {
    use helmr_machine::scripted::Step;
    use serde_json::{Value, json};

    pub(crate) fn started() -> Step {
        Step::Say(r#"{"type":"started"}"#.to_owned())
    }

    pub(crate) fn call(id: u64, op: &str, args: &Value) -> Step {
        Step::Say(json!({"type": "call", "id": id, "op": op, "args": args}).to_string())
    }

    pub(crate) fn wait_for_input(id: u64) -> Step {
        call(id, "wait", &json!({"kind": "stream", "stream": "inbox"}))
    }

    pub(crate) fn answered(id: u64) -> Step {
        Step::Await(format!(r#""id":{id},"#))
    }

    pub(crate) fn finished() -> Step {
        Step::Say(r#"{"type":"finished","output":$data}"#.to_owned())
    }
}
