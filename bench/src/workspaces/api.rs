//! What the benchmark asks of a server: plain HTTP, the answers timed until the last byte.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use helmr_e2e::{Server, poll_until};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::machine::milliseconds;

/// Behind all that can be printed: who follows from there hears of the end alone, as the SDK does.
const BEHIND_ALL: u64 = (1 << 53) - 1;
const WITHIN: Duration = Duration::from_secs(120);

pub(super) struct Api<'a> {
    pub(super) server: &'a Server,
    http: reqwest::Client,
}

/// A workspace of the server.
pub(super) struct Workspace<'a> {
    api: &'a Api<'a>,
    pub(super) id: String,
}

impl<'a> Api<'a> {
    pub(super) fn of(server: &'a Server) -> Self {
        Self {
            server,
            http: reqwest::Client::new(),
        }
    }

    pub(super) async fn make(&'a self) -> Result<Workspace<'a>> {
        let body = json!({"auto_stop_after": "12h"});
        let made = self.post("/workspaces", &body).await?;
        self.open(&made["workspace"])
    }

    /// The workspace of an answer.
    fn open(&'a self, workspace: &Value) -> Result<Workspace<'a>> {
        let id = workspace["id"].as_str();
        let id = id.with_context(|| format!("no workspace: {workspace}"))?;
        Ok(self.workspace(id))
    }

    pub(super) fn workspace(&'a self, id: &str) -> Workspace<'a> {
        Workspace {
            api: self,
            id: id.to_owned(),
        }
    }

    /// The server's own requests give up after 30 s; what is measured may take longer.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/api/v1{path}", self.server.url());
        self.http
            .request(method, url)
            .bearer_auth(self.server.api_key())
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.request(Method::POST, path).json(body).send().await?;
        Ok(accepted(answer).await?.json().await?)
    }

    /// Reads the whole body, a piece at a time.
    async fn read(&self, request: RequestBuilder) -> Result<u64> {
        let mut answer = accepted(request.send().await?).await?;
        let mut bytes = 0;
        while let Some(piece) = answer.chunk().await? {
            bytes += u64::try_from(piece.len())?;
        }
        Ok(bytes)
    }
}

impl<'a> Workspace<'a> {
    /// Runs a command to its end, and knows then how it ended.
    pub(super) async fn exec(&self, command: &[&str]) -> Result<f64> {
        let begun = Instant::now();
        let body = json!({ "command": command });
        let path = format!("/workspaces/{}/execs", self.id);
        let made = self.api.post(&path, &body).await?;
        let exec = made["exec"]["id"].as_str().context("no exec")?;
        let path = format!("/execs/{exec}/stdout?cursor={BEHIND_ALL}");
        let following = self.api.request(Method::GET, &path);
        let following = following.header("accept", "text/event-stream");
        self.api.read(following).await?;
        let path = format!("/api/v1/execs/{exec}");
        let ended = self.api.server.get(&path).await?["exec"].take();
        ensure!(ended["exit_code"] == 0, "{command:?}: {ended}");
        Ok(milliseconds(begun))
    }

    /// The same with the command line, from its start to its end.
    pub(super) async fn exec_by_cli(&self) -> Result<f64> {
        let cli = self.api.server.cli()?;
        let begun = Instant::now();
        let exec = ["workspace", "exec", &self.id, "--", "true"];
        let done = cli.command(&exec).output().await?;
        ensure!(done.status.success(), "{done:?}");
        Ok(milliseconds(begun))
    }

    /// Reads a file, as it is now or as it was in a version.
    pub(super) async fn read(&self, file: &str, version: Option<&str>) -> Result<f64> {
        let begun = Instant::now();
        let mut path = format!("/workspaces/{}/files/content?path={file}", self.id);
        if let Some(version) = version {
            path += &format!("&version={version}");
        }
        let bytes = self.api.read(self.api.request(Method::GET, &path)).await?;
        ensure!(bytes > 0, "{file} is empty");
        Ok(milliseconds(begun))
    }

    /// Uploads a directory of this host as the workspace's root.
    pub(super) async fn put(&self, directory: &str) -> Result<f64> {
        let begun = Instant::now();
        let cli = self.api.server.cli()?;
        let put = ["workspace", "files", "put", &self.id, directory, "."];
        let done = cli.command(&put).output().await?;
        ensure!(done.status.success(), "{done:?}");
        Ok(milliseconds(begun))
    }

    /// Captures its files, and gives the version and how long that took.
    pub(super) async fn capture(&self) -> Result<(String, f64)> {
        let begun = Instant::now();
        let path = format!("/workspaces/{}/versions", self.id);
        let key = format!("{}-{}", self.id, crate::clock::now_us());
        loop {
            let request = self.api.request(Method::POST, &path);
            let request = request.header("idempotency-key", &key).json(&json!({}));
            let answer = request.send().await?;
            // After a minute the same request goes on waiting for the same version.
            if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
                continue;
            }
            let made: Value = accepted(answer).await?.json().await?;
            return Ok((id_of(&made["version"])?, milliseconds(begun)));
        }
    }

    /// Goes back to a version: until its files are the current ones, and until a command has run with them.
    pub(super) async fn restore(&self, version: &str) -> Result<(String, [f64; 2])> {
        let begun = Instant::now();
        let path = format!("/workspaces/{}/restore", self.id);
        let body = json!({ "version_id": version });
        let restored = self.api.post(&path, &body).await?;
        let current = milliseconds(begun);
        self.exec(&["true"]).await?;
        Ok((id_of(&restored["version"])?, [current, milliseconds(begun)]))
    }

    /// Forks its machine as it stands.
    pub(super) async fn fork(&self) -> Result<Workspace<'a>> {
        let path = format!("/workspaces/{}/fork", self.id);
        let forked = self.api.post(&path, &json!({"live": true})).await?;
        self.api.open(&forked["workspace"])
    }

    pub(super) async fn delete(&self) -> Result<()> {
        let path = format!("/workspaces/{}?force=true", self.id);
        self.api
            .read(self.api.request(Method::DELETE, &path))
            .await?;
        self.await_machine("stopped").await
    }

    pub(super) async fn await_machine(&self, state: &str) -> Result<()> {
        poll_until(state, WITHIN, || async {
            let path = format!("/api/v1/workspaces/{}", self.id);
            let found = self.api.server.get(&path).await?["workspace"]["materialization"].take();
            Ok(if found["state"] == state {
                Ok(())
            } else {
                Err(found.to_string())
            })
        })
        .await
    }
}

fn id_of(version: &Value) -> Result<String> {
    let id = version["id"].as_str();
    Ok(id
        .with_context(|| format!("no version: {version}"))?
        .to_owned())
}

async fn accepted(answer: Response) -> Result<Response> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    bail!("{}: {}", answer.status(), answer.text().await?)
}
