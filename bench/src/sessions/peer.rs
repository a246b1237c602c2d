//! The rounds on the peer: its server and its SDK, from npm, in `bench/peer`.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use helmr_e2e::{poll_until, repository};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::{Common, load, millis};
use crate::clock::now_us;
use crate::machine::milliseconds;

const READY_WITHIN: Duration = Duration::from_secs(60);
/// A call that came before the peer was ready is never answered: it is made again.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

pub(super) struct Peer {
    server: Child,
    program: Child,
    said: Lines<BufReader<ChildStdout>>,
    http: reqwest::Client,
    ingress: String,
}

impl Peer {
    /// Starts on a directory beside Helmr's, on the same disk.
    pub(super) async fn start(beside: &Path) -> Result<Self> {
        let folder = repository().join("bench/peer");
        install(&folder).await?;
        let ports = free_ports()?;
        let [ingress, admin, node, service] = ports;
        let log = std::fs::File::create(beside.join("peer.log"))?;
        let server = Command::new(
            folder.join("node_modules/@restatedev/restate-server-linux-x64/bin/restate-server"),
        )
        .arg("--base-dir")
        .arg(beside.join("peer"))
        .args([
            "--no-logo",
            "--listen-mode",
            "tcp",
            "--bind-ip",
            "127.0.0.1",
            "--node-name",
            "bench",
        ])
        .args(["--bind-port", &node.to_string()])
        .env(
            "RESTATE_INGRESS__BIND_ADDRESS",
            format!("127.0.0.1:{ingress}"),
        )
        .env("RESTATE_ADMIN__BIND_ADDRESS", format!("127.0.0.1:{admin}"))
        .env("RESTATE_LOG_FILTER", "error")
        .env("DO_NOT_TRACK", "1")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .kill_on_drop(true)
        .spawn()
        .context("start the peer's server")?;
        let mut program = Command::new("node")
            .arg(folder.join("peer.mjs"))
            .arg(service.to_string())
            .env("NODE_ENV", "production")
            .env("RESTATE_LOGGING", "ERROR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("start the peer's program")?;
        let stdout = program
            .stdout
            .take()
            .context("the peer's program has no output")?;
        let mut peer = Self {
            server,
            program,
            said: BufReader::new(stdout).lines(),
            http: reqwest::Client::new(),
            ingress: format!("http://127.0.0.1:{ingress}"),
        };
        peer.line("ready").await?;
        let uri = format!("http://127.0.0.1:{service}");
        poll_until("the peer to take its service", READY_WITHIN, || async {
            let answer = peer
                .http
                .post(format!("http://127.0.0.1:{admin}/deployments"))
                .json(&json!({ "uri": uri }))
                .send()
                .await;
            Ok(match answer {
                Ok(answer) if answer.status().is_success() => Ok(()),
                Ok(answer) => Err(answer.status().to_string()),
                Err(error) => Err(error.to_string()),
            })
        })
        .await?;
        poll_until("the peer to answer", READY_WITHIN, || async {
            Ok(peer
                .call("accept", &json!({}))
                .await
                .map_err(|error| error.to_string()))
        })
        .await?;
        Ok(peer)
    }

    pub(super) async fn round(&mut self, into: &mut Common, counts: bool) -> Result<()> {
        for number in 0..20 {
            let begun = Instant::now();
            self.call("accept", &json!({ "number": number })).await?;
            if counts {
                into.call.push(milliseconds(begun));
            }
        }
        let steps = self.call("steps", &json!({})).await?;
        let awaken = self.awaken().await?;
        if counts {
            into.steps.push(millis(&steps["elapsedUs"])?);
            into.warm_steps.push(millis(&steps["warmUs"])?);
            into.awaken.push(awaken);
        }
        Ok(())
    }

    pub(super) async fn rate(&mut self) -> Result<f64> {
        let request = || {
            self.http
                .post(format!("{}/bench/accept/send", self.ingress))
                .json(&json!({"number": u64::MAX}))
        };
        let rate = load::per_second(request).await?;
        // What was accepted is worked off before anything else is measured.
        self.call("accept", &json!({})).await?;
        Ok(rate)
    }

    async fn awaken(&mut self) -> Result<f64> {
        let started = self
            .http
            .post(format!("{}/bench/awaken/send", self.ingress))
            .send()
            .await?;
        if !started.status().is_success() {
            bail!("the peer: {}", started.text().await?);
        }
        let id = self.line("waiting ").await?;
        // As Helmr's run is seen to wait before its token is completed.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let resolved_us = now_us();
        let resolved = self
            .http
            .post(format!("{}/restate/awakeables/{id}/resolve", self.ingress))
            .json(&json!(1))
            .send()
            .await?;
        if !resolved.status().is_success() {
            bail!("the peer: {}", resolved.text().await?);
        }
        let next_us: f64 = self.line("next ").await?.parse()?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "microseconds since the epoch have 51 bits"
        )]
        let resolved_us = resolved_us as f64;
        Ok((next_us - resolved_us) / 1_000.0)
    }

    async fn call(&self, handler: &str, input: &Value) -> Result<Value> {
        let url = format!("{}/bench/{handler}", self.ingress);
        // A handler that takes nothing refuses a body.
        let request = self.http.post(url);
        let request = if handler == "accept" {
            request.json(input)
        } else {
            request
        };
        let answer = request.timeout(ANSWERS_WITHIN).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("the peer: {status}: {text}");
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// The rest of the next line that begins with `prefix`.
    async fn line(&mut self, prefix: &str) -> Result<String> {
        let found = async {
            while let Some(line) = self.said.next_line().await? {
                if let Some(rest) = line.strip_prefix(prefix) {
                    return Ok(rest.to_owned());
                }
            }
            bail!("the peer's program ended")
        };
        tokio::time::timeout(ANSWERS_WITHIN, found)
            .await
            .with_context(|| format!("the peer did not say {prefix:?}"))?
    }

    pub(super) async fn end(mut self) -> Result<()> {
        self.program.kill().await?;
        self.server.kill().await?;
        Ok(())
    }
}

async fn install(folder: &Path) -> Result<()> {
    if folder.join("node_modules/.package-lock.json").is_file() {
        return Ok(());
    }
    let installed = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund"])
        .current_dir(folder)
        .status()
        .await?;
    if !installed.success() {
        bail!("npm ci in bench/peer: {installed}");
    }
    Ok(())
}

/// Ports that nobody listens on now.
fn free_ports() -> Result<[u16; 4]> {
    let listeners = [(); 4].map(|()| std::net::TcpListener::bind("127.0.0.1:0"));
    let mut ports = [0; 4];
    for (port, listener) in ports.iter_mut().zip(listeners) {
        *port = listener?.local_addr()?.port();
    }
    Ok(ports)
}
