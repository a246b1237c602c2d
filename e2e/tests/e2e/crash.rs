//! SIGKILL of the server at every named point between the steps of start, park, wake and complete. After a restart the same
//! must hold each time: the run finishes with the one completion, nothing is lost, nothing is left behind.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use helmr_e2e::{Options, Server, poll_until, repository};
use serde_json::{Value, json};

use crate::tools::{count_events, no_machine_left};

/// The names in the sources of the server's parts, so that a new point is tested without a line here.
pub(crate) fn points() -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![
        repository().join("control/src"),
        repository().join("worker/src"),
    ];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path)?;
                let named = text
                    .split("fault::point(\"")
                    .skip(1)
                    .filter_map(|rest| rest.split('"').next());
                found.extend(named.map(str::to_owned));
            }
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_named_point_loses_nothing() -> Result<()> {
    let mut points = points()?;
    // The story has none.
    points.retain(|point| {
        let elsewhere = ["exec", "pty", "fork"]
            .iter()
            .any(|part| point.contains(part));
        !elsewhere && !crate::files::is_of_files(point)
    });
    assert!(points.len() >= 15, "only {points:?}");
    let mut failures = Vec::new();
    for point in &points {
        if let Err(error) = survives(point).await {
            failures.push(format!("{point}: {error:#}"));
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        bail!(
            "{} of {}:\n{}",
            failures.len(),
            points.len(),
            failures.join("\n\n")
        )
    }
}

async fn survives(point: &str) -> Result<()> {
    let armed = Options {
        kill_at: Some(point.to_owned()),
        ..Options::default()
    };
    let mut server = Server::start(Options::default()).await?;
    server.kill()?;
    server
        .restart(armed)
        .await
        .context("start with the point armed")?;
    let mut story = Story::default();
    let mut killed = false;
    loop {
        // A step that fails because the server died is taken again after a restart.
        let step = tokio::time::timeout(Duration::from_secs(60), story.step(&server));
        let taken = match step.await {
            Ok(taken) => taken,
            Err(_) => bail!("stuck at {story:?}; server log:\n{}", server.log_tail()),
        };
        match taken {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) if killed => {
                return Err(error.context(format!("after the restart, at {story:?}")));
            }
            Err(error) => {
                server
                    .await_end(Duration::from_secs(10))
                    .await
                    .with_context(|| format!("{error:#}"))?;
                killed = true;
                server.restart(Options::default()).await?;
            }
        }
    }
    if !killed {
        // Some points are passed only after the run's end, or by a stop.
        if server.await_end(Duration::from_secs(5)).await.is_err() && server.terminate().await? == 0
        {
            bail!("the point was never passed");
        }
        server.restart(Options::default()).await?;
    }
    let run = story.run.as_deref().context("no run")?;
    assert_eq!(server.run(run).await?["status"], "succeeded");
    assert_eq!(
        count_events(&server, run, "wait.resolved").await?,
        1,
        "one completion"
    );
    assert_eq!(
        count_events(&server, run, "run.succeeded").await?,
        1,
        "one end"
    );
    let runs = server
        .get(&format!(
            "/api/v1/runs?session_id={}",
            story.session.as_deref().unwrap_or_default()
        ))
        .await?;
    assert_eq!(
        runs["items"].as_array().map(Vec::len),
        Some(1),
        "one run: {runs}"
    );
    if server.terminate().await? != 0 {
        bail!("the server did not stop cleanly");
    }
    no_machine_left(&server).await?;
    assert!(
        server.machines().cgroups().is_empty(),
        "cgroups left: {:?}",
        server.machines().cgroups()
    );
    Ok(())
}

/// The same run each time: start, wait, park, complete, finish. Every step can be taken again.
#[derive(Debug, Default)]
struct Story {
    session: Option<String>,
    run: Option<String>,
    token: Option<Value>,
    parked: bool,
    completed: bool,
}

impl Story {
    /// Takes the next step; true at the end of the story.
    async fn step(&mut self, server: &Server) -> Result<bool> {
        let (Some(session), Some(run)) = (&self.session, &self.run) else {
            // The external id makes a repeated start find the first one, and the idempotency key its answer.
            let answer = server
                .request(reqwest::Method::POST, "/api/v1/sessions")
                .header("Idempotency-Key", "the-story")
                .json(&json!({"task": "keeps-everything", "external_id": "story"}))
                .send()
                .await?;
            let answer: Value = answer.json().await?;
            let id = |of: &str| {
                answer[of]["id"]
                    .as_str()
                    .map(str::to_owned)
                    .with_context(|| format!("{answer}"))
            };
            (self.session, self.run) = (Some(id("session")?), Some(id("run")?));
            return Ok(false);
        };
        let Some(token) = &self.token else {
            let path = format!("/api/v1/sessions/{session}/outputs/out");
            self.token = Some(
                look("the token", || async {
                    let data = server.get(&path).await?["items"][0]["data"].clone();
                    Ok(if data.is_null() {
                        Err("no record yet".to_owned())
                    } else {
                        Ok(data)
                    })
                })
                .await?,
            );
            return Ok(false);
        };
        if !self.parked {
            look("the park", || async {
                let run = server.run(run).await?;
                Ok(if run["pending_wait"]["state"] == "parked" {
                    Ok(())
                } else {
                    Err(run.to_string())
                })
            })
            .await?;
            self.parked = true;
            return Ok(false);
        }
        if !self.completed {
            let path = format!(
                "/api/v1/tokens/{}/complete",
                token["id"].as_str().unwrap_or_default()
            );
            let (status, answer) = server
                .post(&path, &json!({"data": {"approved": true}}))
                .await?;
            if status != 200 {
                bail!("complete: {status}: {answer}");
            }
            self.completed = true;
            return Ok(false);
        }
        let output = look("the end", || async {
            let mut run = server.run(run).await?;
            Ok(match run["status"].as_str() {
                Some("succeeded") => Ok(run["output"].take()),
                Some("failed" | "cancelled" | "expired") => bail!("the run ended badly: {run}"),
                _ => Err(run.to_string()),
            })
        })
        .await?;
        for (name, expected) in [
            ("sameHeap", json!(true)),
            ("notes", json!("before\nafter\n")),
            ("data", json!({"approved": true})),
        ] {
            if output[name] != expected {
                bail!("{name} is {}: {output}", output[name]);
            }
        }
        Ok(true)
    }
}

/// Polls, and fails as soon as the server does not answer.
async fn look<T, F, L>(what: &str, look: L) -> Result<T>
where
    F: Future<Output = Result<std::result::Result<T, String>>>,
    L: FnMut() -> F,
{
    poll_until(what, Duration::from_secs(50), look).await
}
