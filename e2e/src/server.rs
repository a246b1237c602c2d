//! A `helmr up` on a data directory of its own, that can be killed and started again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::history::is_final;
use crate::machines::Machines;
use crate::{Cli, binary, poll_until, template};

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Options {
    pub hot_window: &'static str,
    pub pty_idle_after: &'static str,
    pub drain_grace: &'static str,
    /// `NAME` or `NAME:N`: the point at which the server kills itself.
    pub kill_at: Option<String>,
    /// On a host as it would be without loop devices, and told to start nevertheless.
    pub without_loop_devices: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hot_window: "0ms",
            pty_idle_after: "60s",
            drain_grace: "1s",
            kill_at: None,
            without_loop_devices: false,
        }
    }
}

/// A server with the base image imported and the fixture project deployed.
#[derive(Debug)]
pub struct Server {
    child: Option<Child>,
    data: tempfile::TempDir,
    port: u16,
    api_key: String,
    /// One for all requests: making one reads the host's certificates.
    http: reqwest::Client,
}

impl Server {
    /// Starts on a fresh copy of the prepared directory.
    ///
    /// # Errors
    /// With the server's own words if it is not ready within 20 s.
    pub async fn start(options: Options) -> Result<Self> {
        let data = template::fresh_copy().await?;
        Self::start_on(data, options).await
    }

    /// Starts on a directory that the caller brings, which may be empty.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_on(data: tempfile::TempDir, options: Options) -> Result<Self> {
        let port = free_port()?;
        let mut server = Self {
            child: None,
            data,
            port,
            api_key: String::new(),
            http: reqwest::Client::new(),
        };
        server.spawn(&options)?;
        server.await_ready().await?;
        let text = fs::read_to_string(server.data_dir().join("credentials.json"))
            .context("read credentials.json")?;
        let credentials: Value = serde_json::from_str(&text)?;
        server.api_key = credentials["api_key"]
            .as_str()
            .context("credentials.json has no api_key")?
            .to_owned();
        Ok(server)
    }

    /// Starts again on the same directory and port.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn restart(&mut self, options: Options) -> Result<()> {
        if self.child.is_some() {
            bail!("the server still runs: kill or stop it first");
        }
        self.spawn(&options)?;
        self.await_ready().await
    }

    fn spawn(&mut self, options: &Options) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())?;
        let mut command = if options.without_loop_devices {
            without_loop_devices()?
        } else {
            Command::new(binary()?)
        };
        command
            .arg("up")
            .args(["--data-dir".as_ref(), self.data_dir().as_os_str()])
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .args(["--hot-window", options.hot_window])
            .args(["--pty-idle-after", options.pty_idle_after])
            .args(["--drain-grace", options.drain_grace])
            .env("HOME", self.home())
            .env("XDG_CONFIG_HOME", self.home().join(".config"))
            .env("NO_COLOR", "1")
            .env(
                "HELMR_LOG",
                "info,helmr_worker=debug,helmr_control=debug,helmr_machine=debug",
            )
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        if let Some(point) = &options.kill_at {
            command.env("HELMR_FAULT_KILL_AT", point);
        }
        if options.without_loop_devices {
            command.arg("--allow-soft-limits");
        }
        self.child = Some(command.spawn().context("start helmr up")?);
        Ok(())
    }

    async fn await_ready(&mut self) -> Result<()> {
        let url = format!("{}/readyz", self.url());
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if reqwest::get(&url)
                .await
                .is_ok_and(|answer| answer.status() == 200)
            {
                return Ok(());
            }
            let ended = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                self.child = None;
                bail!("helmr up ended with {status}:\n{}", self.log_tail());
            }
            if Instant::now() > end {
                bail!("helmr up is not ready after 20 s:\n{}", self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the server without a word to it. Its machines live on.
    ///
    /// # Errors
    /// If it had ended by itself.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the server does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Awaits the server's own end, such as at a fault point.
    ///
    /// # Errors
    /// If it still runs after `limit`.
    pub async fn await_end(&mut self, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        let mut child = self.child.take().context("the server does not run")?;
        while child.try_wait()?.is_none() {
            if Instant::now() > end {
                self.child = Some(child);
                bail!(
                    "the server still runs after {limit:?}:\n{}",
                    self.log_tail()
                );
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Asks the server to stop and returns its exit code.
    ///
    /// # Errors
    /// If it has not ended after 60 s.
    pub async fn terminate(&mut self) -> Result<i32> {
        let mut child = self.child.take().context("the server does not run")?;
        kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status.code().unwrap_or(-1));
            }
            if Instant::now() > end {
                self.child = Some(child);
                bail!("the server does not end on SIGTERM:\n{}", self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    #[must_use]
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    #[must_use]
    pub fn machines(&self) -> Machines {
        Machines {
            data_dir: self.data_dir().to_owned(),
        }
    }

    /// The command line, signed in to this server.
    ///
    /// # Errors
    /// If there is no binary.
    pub fn cli(&self) -> Result<Cli> {
        Ok(Cli {
            binary: binary()?,
            api_url: self.url(),
            api_key: self.api_key.clone(),
            home: self.home(),
        })
    }

    /// A request with the API key.
    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.url()))
            .bearer_auth(&self.api_key)
            .timeout(Duration::from_secs(30))
    }

    /// Status and body of a request with a JSON body.
    ///
    /// # Errors
    /// If the server does not answer, or not in JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        let answer = self
            .request(reqwest::Method::POST, path)
            .json(body)
            .send()
            .await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    /// The body of a GET that must succeed.
    ///
    /// # Errors
    /// With status and body otherwise.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.request(reqwest::Method::GET, path).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("GET {path}: {status}: {text}");
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// Starts a session and returns the ids of session and run.
    ///
    /// # Errors
    /// With the refusal.
    pub async fn start_session(&self, body: &Value) -> Result<(String, String)> {
        let (status, answer) = self.post("/api/v1/sessions", body).await?;
        let id = |of: &str| answer[of]["id"].as_str().map(str::to_owned);
        match (id("session"), id("run")) {
            (Some(session), Some(run)) => Ok((session, run)),
            _ => bail!("start {body}: {status}: {answer}"),
        }
    }

    /// The run as the API shows it.
    ///
    /// # Errors
    /// If there is none.
    pub async fn run(&self, run: &str) -> Result<Value> {
        Ok(self.get(&format!("/api/v1/runs/{run}")).await?["run"].take())
    }

    /// Waits until the run satisfies `holds`, and fails at once if it ends in another way.
    ///
    /// # Errors
    /// With the run as last seen and the server's log.
    pub async fn await_run(
        &self,
        run: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        poll_until(what, Duration::from_secs(60), || async {
            // A server that is being restarted answers nothing for a moment.
            let seen = match self.run(run).await {
                Ok(seen) => seen,
                Err(error) => return Ok(Err(format!("{error:#}"))),
            };
            if holds(&seen) {
                return Ok(Ok(seen));
            }
            if is_final(&seen["status"]) {
                bail!("the run ended before {what}: {seen:#}");
            }
            Ok(Err(seen.to_string()))
        })
        .await
        .with_context(|| format!("server log:\n{}", self.log_tail()))
    }

    /// Waits until the run is parked: no machine, memory on disk.
    ///
    /// # Errors
    /// As [`Server::await_run`].
    pub async fn await_parked(&self, run: &str) -> Result<Value> {
        self.await_run(run, "the run to be parked", |run| {
            run["status"] == "waiting" && run["pending_wait"]["state"] == "parked"
        })
        .await
    }

    /// Waits for success and returns the output.
    ///
    /// # Errors
    /// As [`Server::await_run`] and [`Server::check_history`].
    pub async fn await_output(&self, run: &str) -> Result<Value> {
        let succeeded = |run: &Value| run["status"] == "succeeded";
        let mut run = self.await_run(run, "the run to succeed", succeeded).await?;
        self.check_history(&run).await?;
        Ok(run["output"].take())
    }

    /// Waits for an end and returns the run.
    ///
    /// # Errors
    /// As [`Server::await_run`] and [`Server::check_history`].
    pub async fn await_end_of(&self, run: &str) -> Result<Value> {
        let ended = |run: &Value| is_final(&run["status"]);
        let run = self.await_run(run, "the run to end", ended).await?;
        self.check_history(&run).await?;
        Ok(run)
    }

    fn home(&self) -> PathBuf {
        self.data_dir().join("home")
    }

    fn log_path(&self) -> PathBuf {
        self.data_dir().join("server.log")
    }

    /// The last lines of what the server printed.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = fs::read(self.log_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _killed = child.kill();
            let _status = child.wait();
        }
        self.machines().clean();
    }
}

/// The binary, in a view of the host that has no loop devices.
///
/// # Errors
/// If there is no binary.
pub fn without_loop_devices() -> Result<Command> {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c"])
        // Its view keeps what it has mounted, which may be the disks of another test.
        .arg(
            "grep -o ' [^ ]*/target/e2e/[^ ]*' /proc/mounts | xargs -r umount -l; \
             mount --bind /dev/null /dev/loop-control && exec \"$@\"",
        )
        .arg("sh")
        .arg(binary()?);
    Ok(command)
}

/// A port that nobody listens on now. The server binds it a moment later; a test that loses that race fails loudly.
fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}
