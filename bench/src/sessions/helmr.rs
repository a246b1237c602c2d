//! The rounds on Helmr: one session whose run waits and whose input is followed, and runs in a machine that stays warm.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::StreamExt as _;
use helmr_e2e::{Options, Server, poll_until};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Alone, Common, load, millis};
use crate::clock::now_us;
use crate::figures::Samples;
use crate::machine::milliseconds;

pub(super) struct Helmr {
    pub(super) server: Server,
    http: reqwest::Client,
    /// Open, with a run that waits for as long as the benchmark takes.
    session: String,
    workspace: String,
    followed: mpsc::Receiver<u64>,
    _follower: AbortOnDropHandle<()>,
    next: u64,
    alone: Alone,
}

impl Helmr {
    pub(super) async fn start() -> Result<Self> {
        let server = Server::start(Options {
            hot_window: "10m",
            ..Options::default()
        })
        .await?;
        let http = reqwest::Client::new();
        let (status, started) = server
            .post("/api/v1/sessions", &json!({"task": "bench-hot"}))
            .await?;
        let text = |of: &str, field: &str| started[of][field].as_str().map(str::to_owned);
        let session =
            text("session", "id").with_context(|| format!("start: {status}: {started}"))?;
        let workspace = text("session", "workspace_id").context("a session has a workspace")?;
        let run = text("run", "id").context("a session has a run")?;
        server
            .await_run(&run, "the run to wait", |run| run["status"] == "waiting")
            .await?;
        let (sender, followed) = mpsc::channel(1 << 16);
        let follower = http
            .get(format!(
                "{}/api/v1/sessions/{session}/inputs/inbox",
                server.url()
            ))
            .bearer_auth(server.api_key())
            .header("accept", "text/event-stream");
        let follower = AbortOnDropHandle::new(tokio::spawn(follow(follower, sender)));
        Ok(Self {
            server,
            http,
            session,
            workspace,
            followed,
            _follower: follower,
            next: 0,
            alone: Alone {
                warm_start: Samples::default(),
                leased: Samples::default(),
            },
        })
    }

    pub(super) fn directory(&self) -> &Path {
        self.server.data_dir()
    }

    pub(super) fn alone(&mut self) -> Alone {
        std::mem::replace(
            &mut self.alone,
            Alone {
                warm_start: Samples::default(),
                leased: Samples::default(),
            },
        )
    }

    pub(super) async fn round(&mut self, into: &mut Common, counts: bool) -> Result<()> {
        for _ in 0..20 {
            let call = self.append_to_follower().await?;
            if counts {
                into.call.push(call);
            }
        }
        let run = self.begin("bench-steps").await?.1;
        let steps = self.server.await_output(&run).await?;
        let (awaken, warm_start, leased) = self.awaken().await?;
        if counts {
            into.steps.push(millis(&steps["elapsedUs"])?);
            into.warm_steps.push(millis(&steps["warmUs"])?);
            into.awaken.push(awaken);
            self.alone.warm_start.push(warm_start);
            self.alone.leased.push(leased);
        }
        Ok(())
    }

    pub(super) async fn rate(&mut self) -> Result<f64> {
        let request = || self.append(u64::MAX);
        load::per_second(request).await
    }

    fn append(&self, number: u64) -> reqwest::RequestBuilder {
        self.http
            .post(format!(
                "{}/api/v1/sessions/{}/inputs/inbox",
                self.server.url(),
                self.session
            ))
            .bearer_auth(self.server.api_key())
            .json(&json!({"data": {"number": number}}))
    }

    async fn append_to_follower(&mut self) -> Result<f64> {
        let number = self.next;
        self.next += 1;
        let begun = Instant::now();
        let sent = tokio::spawn(self.append(number).send());
        let seen = tokio::time::timeout(Duration::from_secs(10), async {
            while let Some(seen) = self.followed.recv().await {
                if seen == number {
                    return Ok(milliseconds(begun));
                }
            }
            bail!("the follower ended")
        });
        let seen = seen.await.context("the follower did not see a record")?;
        let answer = sent.await??;
        if !answer.status().is_success() {
            bail!("append: {}", answer.text().await?);
        }
        seen
    }

    /// A run in the machine that is already there.
    async fn begin(&self, task: &str) -> Result<(String, String)> {
        self.server
            .start_session(&json!({"task": task, "workspace_id": self.workspace}))
            .await
    }

    /// Wait ended to next line; start to first line; queued to leased.
    async fn awaken(&self) -> Result<(f64, f64, f64)> {
        let called_us = now_us();
        let (session, run) = self.begin("bench-hot").await?;
        let record = poll_until("the token", Duration::from_secs(30), || async {
            let answer = self
                .server
                .get(&format!("/api/v1/sessions/{session}/outputs/out"))
                .await?;
            Ok(match answer["items"][0]["data"]["id"].clone() {
                Value::String(id) => Ok(id),
                _ => Err(answer.to_string()),
            })
        })
        .await?;
        self.server
            .await_run(&run, "the run to wait", |run| run["status"] == "waiting")
            .await?;
        let completed_us = now_us();
        let completed = self
            .http
            .post(format!(
                "{}/api/v1/tokens/{record}/complete",
                self.server.url()
            ))
            .bearer_auth(self.server.api_key())
            .json(&json!({"data": 1}))
            .send()
            .await?;
        if !completed.status().is_success() {
            bail!("complete: {}", completed.text().await?);
        }
        let output = self.server.await_output(&run).await?;
        let events = self
            .server
            .get(&format!("/api/v1/runs/{run}/events?limit=200"))
            .await?;
        let at = |kind: &str| -> Result<i64> {
            let event = events["items"]
                .as_array()
                .and_then(|items| items.iter().find(|event| event["kind"] == kind));
            let event = event.with_context(|| format!("no {kind} in {events}"))?;
            crate::machine::parse_millis(event["at"].as_str().unwrap_or_default())
                .context("an event's time")
        };
        let leased = at("run.leased")? - at("run.queued")?;
        Ok((
            since(completed_us, &output["nextLineUs"])?,
            since(called_us, &output["firstLineUs"])?,
            millis(&json!(leased))?,
        ))
    }
}

/// Passes on the number of each record that comes, until it is dropped.
async fn follow(request: reqwest::RequestBuilder, sender: mpsc::Sender<u64>) {
    let Ok(answer) = request.send().await else {
        return;
    };
    let mut body = answer.bytes_stream();
    let mut text = String::new();
    while let Some(Ok(bytes)) = body.next().await {
        text.push_str(&String::from_utf8_lossy(&bytes));
        while let Some(end) = text.find('\n') {
            let line: String = text.drain(..=end).collect();
            let record: Option<Value> = line
                .strip_prefix("data:")
                .and_then(|data| serde_json::from_str(data.trim()).ok());
            let number = record.and_then(|record| record["data"]["number"].as_u64());
            if let Some(number) = number
                && sender.send(number).await.is_err()
            {
                return;
            }
        }
    }
}

fn since(from_us: i64, to_us: &Value) -> Result<f64> {
    let to_us = to_us
        .as_i64()
        .with_context(|| format!("not a time: {to_us}"))?;
    millis(&json!(to_us - from_us))
}
