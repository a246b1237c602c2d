//! PTYs: made, typed in, resized, hung up, read and attached to, with a worker played by the test.

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helmr_api::client::{Attachment, Client, Seen, Settings};
use helmr_api::http::ptys::Told;
use helmr_api::worker::Assignment;
use helmr_domain::PtyId;
use serde_json::{Value, json};

use crate::fixture::{Deployed, deployed};
use crate::server::PATIENCE;

/// A workspace with a PTY in it, and the assignment that gives it to the worker.
struct Made {
    deployed: Deployed,
    workspace: String,
    id: String,
    assignment: Box<Assignment>,
}

impl Made {
    async fn new() -> Result<Self> {
        let mut deployed = deployed().await?;
        let made = deployed
            .server
            .post("/api/v1/workspaces", &json!({}))
            .await?
            .ok();
        let workspace = made.text("/workspace/id")?;
        let path = format!("/api/v1/workspaces/{workspace}/ptys");
        let body = json!({ "env": { "SECRET": "hidden" }, "cols": 100 });
        let made = deployed.server.post(&path, &body).await?.ok();
        assert_eq!(made.status, 201);
        let pty = &made.body["pty"];
        assert_eq!(
            (&pty["command"], &pty["cols"], &pty["rows"], &pty["env"]),
            (&Value::Null, &json!(100), &json!(24), &json!(["SECRET"]))
        );
        let id = made.text("/pty/id")?;
        let assignment = deployed
            .worker
            .assigned(|pushed| !pushed.execs.is_empty())
            .await?;
        let this = Self {
            deployed,
            workspace,
            id,
            assignment,
        };
        this.machine("live").await?;
        this.report("started", json!({})).await?;
        Ok(this)
    }

    async fn machine(&self, what: &str) -> Result<u16> {
        let (server, worker) = (&self.deployed.server, &self.deployed.worker);
        let answer = worker
            .machine(server, &self.assignment, what, &json!({}))
            .await?;
        Ok(answer.status.as_u16())
    }

    async fn report(&self, what: &str, report: Value) -> Result<Value> {
        let mut body = report;
        body["workspace_id"] = json!(self.assignment.workspace_id);
        body["epoch"] = json!(self.assignment.epoch);
        let path = format!("/worker/v1/execs/{}/{what}", self.id);
        let (server, worker) = (&self.deployed.server, &self.deployed.worker);
        Ok(worker.post(server, &path, &body).await?.ok().body)
    }

    async fn print(&self, offset: u64, text: &str) -> Result<()> {
        let segment =
            json!({ "stream": "stdout", "offset": offset, "data": STANDARD.encode(text) });
        self.report("output", json!({ "segments": [segment] }))
            .await
            .map(drop)
    }

    fn path(&self, what: &str) -> String {
        format!("/api/v1/ptys/{}{what}", self.id)
    }

    async fn pty(&self) -> Result<Value> {
        Ok(self.deployed.server.get(&self.path("")).await?.ok().body["pty"].clone())
    }

    async fn attach(&self, cursor: Option<u64>) -> Result<Viewer> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = self.deployed.server.router.clone();
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(async move {
            drop(axum::serve(listener, router).await);
        });
        let client = Client::new(&Settings {
            url: format!("http://{address}"),
            api_key: self.deployed.server.key.clone(),
            project: None,
            environment: None,
            client: "test/0".to_owned(),
            allow_plain_http: false,
        })?;
        let id: PtyId = self.id.parse()?;
        Ok(Viewer {
            attachment: client.attach_pty(id, cursor).await?,
            _serving: serving,
        })
    }
}

struct Viewer {
    attachment: Attachment,
    _serving: tokio::task::JoinSet<()>,
}

impl Viewer {
    async fn next(&mut self) -> Result<Seen> {
        Ok(tokio::time::timeout(PATIENCE, self.attachment.next()).await??)
    }

    async fn told(&mut self) -> Result<Told> {
        match self.next().await? {
            Seen::Told(told) => Ok(told),
            other => bail!("{other:?}"),
        }
    }

    /// What is printed, until it is as much as `text`.
    async fn sees(&mut self, text: &str) -> Result<()> {
        let mut seen = Vec::new();
        while seen.len() < text.len() {
            match self.next().await? {
                Seen::Printed(bytes) => seen.extend_from_slice(&bytes),
                other => bail!("{other:?}"),
            }
        }
        assert_eq!(String::from_utf8_lossy(&seen), text);
        Ok(())
    }

    async fn attached(&mut self) -> Result<String> {
        match self.told().await? {
            Told::Attached { cursor, .. } => Ok(cursor),
            other => bail!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_typed_reaches_the_worker_once_and_in_order() -> Result<()> {
    let mut made = Made::new().await?;
    let assigned = &made.assignment.execs[0];
    assert!(assigned.command.is_empty(), "a login shell");
    assert_eq!(assigned.env, ["SECRET=hidden"]);
    let terminal = assigned.terminal.context("it has one")?;
    assert_eq!(
        (terminal.cols, terminal.rows, terminal.idle_after_ms),
        (100, 24, 60_000)
    );
    let server = &made.deployed.server;
    let path = made.path("/input");
    for body in [
        json!({ "data": "one ", "offset": 0 }),
        json!({ "data": "one ", "offset": 0 }),
        json!({ "data": "dHdv", "encoding": "base64" }),
    ] {
        server.post(&path, &body).await?.ok();
    }
    let refused = server
        .post(&path, &json!({ "data": "x", "offset": 99 }))
        .await?
        .refused(409, "pty_input_out_of_step");
    assert_eq!(refused["expected_offset"], 7);
    made.deployed
        .worker
        .assigned(|pushed| pushed.execs.first().is_some_and(|exec| exec.stdin_end == 7))
        .await?;
    let input = made.report("input", json!({ "offset": 0 })).await?;
    let text = STANDARD.decode(input["data"].as_str().context("no data")?)?;
    assert_eq!(text, b"one two");
    made.report("taken", json!({ "offset": 7, "closed": false }))
        .await?;
    assert_eq!(
        made.pty().await?["input"],
        json!({ "end": 7, "taken": 7, "closed": false })
    );
    Ok(())
}

#[tokio::test]
async fn a_pty_that_rests_lets_its_machine_park_and_typing_ends_that() -> Result<()> {
    let made = Made::new().await?;
    assert_eq!(made.machine("parking").await?, 409);
    made.report("rests", json!({ "idle": true })).await?;
    assert_eq!(made.pty().await?["idle"], true);
    let typed = json!({ "data": "x" });
    made.deployed
        .server
        .post(&made.path("/input"), &typed)
        .await?
        .ok();
    assert_eq!(made.pty().await?["idle"], false);
    assert_eq!(made.machine("parking").await?, 409);
    made.report("taken", json!({ "offset": 1, "closed": false }))
        .await?;
    made.report("rests", json!({ "idle": true })).await?;
    assert_eq!(made.machine("parking").await?, 204);
    Ok(())
}

#[tokio::test]
async fn sizes_and_the_hang_up_reach_the_worker() -> Result<()> {
    let mut made = Made::new().await?;
    let (server, worker) = (&made.deployed.server, &mut made.deployed.worker);
    let size = json!({ "cols": 120, "rows": 40 });
    let path = format!("/api/v1/ptys/{}", made.id);
    let resized = server
        .post(&format!("{path}/resize"), &size)
        .await?
        .ok()
        .body;
    assert_eq!(
        (&resized["pty"]["cols"], &resized["pty"]["rows"]),
        (&json!(120), &json!(40))
    );
    for (body, field) in [
        (json!({ "cols": 0, "rows": 40 }), "cols"),
        (json!({ "cols": 120, "rows": 501 }), "rows"),
    ] {
        let refused = server.post(&format!("{path}/resize"), &body).await?;
        assert_eq!(refused.refused(400, "limit_exceeded")["path"], field);
    }
    worker
        .assigned(|pushed| {
            let terminal = pushed.execs.first().and_then(|exec| exec.terminal);
            terminal.is_some_and(|terminal| (terminal.cols, terminal.resizes) == (120, 1))
        })
        .await?;
    let close = format!("{path}/close");
    assert_eq!(
        server.post(&close, &json!({})).await?.ok().body["pty"]["closed"],
        true
    );
    server.post(&close, &json!({})).await?.ok();
    worker
        .assigned(|pushed| {
            pushed
                .execs
                .first()
                .is_some_and(|exec| exec.signals == [1, 18])
        })
        .await?;
    made.report(
        "ended",
        json!({ "exit_code": null, "signal": 1, "error": null }),
    )
    .await?;
    let ended = made.pty().await?;
    assert_eq!(
        (&ended["state"], &ended["signal"]),
        (&json!("killed"), &json!(1))
    );
    let server = &made.deployed.server;
    server
        .post(&made.path("/resize"), &size)
        .await?
        .refused(409, "pty_ended");
    server
        .post(&made.path("/input"), &json!({ "data": "x" }))
        .await?
        .refused(409, "pty_ended");
    server.post(&close, &json!({})).await?.ok();
    Ok(())
}

#[tokio::test]
async fn viewers_see_everything_from_their_cursor_on_and_type_side_by_side() -> Result<()> {
    let made = Made::new().await?;
    made.print(0, "before ").await?;
    let mut first = made.attach(None).await?;
    assert_eq!(first.attached().await?, "0");
    first.sees("before ").await?;
    let mut second = made.attach(Some(3)).await?;
    assert_eq!(second.attached().await?, "3");
    second.sees("ore ").await?;
    made.print(7, "after").await?;
    first.sees("after").await?;
    second.sees("after").await?;

    first.attachment.type_in(b"a".to_vec()).await?;
    assert!(matches!(first.told().await?, Told::Accepted { input: 1 }));
    second.attachment.type_in(b"bc".to_vec()).await?;
    assert!(matches!(second.told().await?, Told::Accepted { input: 3 }));
    second.attachment.resize(90, 20).await?;
    for viewer in [&mut first, &mut second] {
        assert!(matches!(
            viewer.told().await?,
            Told::Resized { cols: 90, rows: 20 }
        ));
    }
    made.print(12, " last").await?;
    made.report(
        "ended",
        json!({ "exit_code": 7, "signal": null, "error": null }),
    )
    .await?;
    for viewer in [&mut first, &mut second] {
        viewer.sees(" last").await?;
        match viewer.told().await? {
            Told::Ended { pty } => assert_eq!(pty.exit_code, Some(7)),
            other => bail!("{other:?}"),
        }
        assert!(
            viewer.attachment.next().await.is_err(),
            "the connection is closed"
        );
    }
    // Whoever comes later still sees it, and that it is over.
    let mut late = made.attach(Some(12)).await?;
    late.attached().await?;
    late.sees(" last").await?;
    assert!(matches!(late.told().await?, Told::Ended { .. }));
    Ok(())
}

#[tokio::test]
async fn what_a_viewer_sends_is_checked() -> Result<()> {
    let made = Made::new().await?;
    let mut viewer = made.attach(None).await?;
    viewer.attached().await?;
    viewer.attachment.resize(0, 20).await?;
    match viewer.told().await? {
        Told::Refused { error } => assert_eq!(error.code, "limit_exceeded"),
        other => bail!("{other:?}"),
    }
    let server = &made.deployed.server;
    server
        .get(&made.path("/attach"))
        .await?
        .refused(400, "upgrade_required");
    server
        .get(&made.path("/attach?cursor=x"))
        .await?
        .refused(400, "upgrade_required");
    let unknown = "/api/v1/ptys/pty_00000000000000000000000000";
    for what in ["", "/output", "/attach"] {
        server
            .get(&format!("{unknown}{what}"))
            .await?
            .refused(404, "pty_not_found");
    }
    for (what, body) in [
        ("/input", json!({ "data": "x" })),
        ("/resize", json!({ "cols": 1, "rows": 1 })),
        ("/close", json!({})),
    ] {
        let refused = server.post(&format!("{unknown}{what}"), &body).await?;
        refused.refused(404, "pty_not_found");
    }
    let make = format!("/api/v1/workspaces/{}/ptys", made.workspace);
    for body in [
        json!({ "cols": 501 }),
        json!({ "rows": 0 }),
        json!({ "command": [] }),
        json!({ "command": ["a\0b"] }),
        json!({ "env": { "A=": "b" } }),
    ] {
        server
            .post(&make, &body)
            .await?
            .refused(400, "limit_exceeded");
    }
    server
        .post(&make, &json!({ "colums": 3 }))
        .await?
        .refused(400, "unknown_field");
    Ok(())
}

#[tokio::test]
async fn ptys_are_made_once_listed_apart_from_execs_and_read_by_offset() -> Result<()> {
    let made = Made::new().await?;
    let server = &made.deployed.server;
    let make = format!("/api/v1/workspaces/{}/ptys", made.workspace);
    let first = server
        .post_with(&make, &json!({}), &[("idempotency-key", "k")])
        .await?
        .ok();
    let again = server
        .post_with(&make, &json!({}), &[("idempotency-key", "k")])
        .await?
        .ok();
    assert_eq!(first.text("/pty/id")?, again.text("/pty/id")?);
    let page = server.get(&format!("{make}?limit=1")).await?.ok().body;
    let next = page["next_cursor"].as_str().context("there is more")?;
    let rest = server
        .get(&format!("{make}?cursor={next}"))
        .await?
        .ok()
        .body;
    // Both were made in the same instant.
    let mut listed = [&page, &rest].map(|page| page["items"][0]["id"].as_str());
    let mut wanted = [Some(made.id.as_str()), first.body["pty"]["id"].as_str()];
    listed.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(listed, wanted);
    let execs = format!("/api/v1/workspaces/{}/execs", made.workspace);
    assert_eq!(server.get(&execs).await?.ok().body["items"], json!([]));
    let as_exec = format!("/api/v1/execs/{}", made.id);
    server.get(&as_exec).await?.refused(400, "invalid_path");

    made.print(0, "zero one").await?;
    let read = server.get(&made.path("/output?cursor=5")).await?.ok().body;
    let item = &read["items"][0];
    assert_eq!(
        (&item["data"], &item["offset"], &item["cursor"]),
        (&json!("one"), &json!(5), &json!("8"))
    );
    assert_eq!(made.pty().await?["cursor"], "8");
    Ok(())
}
