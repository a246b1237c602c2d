//! Files read and written while the machine lives, is parked, and after it has stopped.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use axum::body::Body;
use bytes::Bytes;
use helmr_machine::scripted::{Effect, Operation, Step};
use http::Method;
use serde_json::{Value, json};

use crate::site::{Site, says};

/// A workspace, and the run in it.
struct Desk {
    site: Site,
    workspace: String,
    session: String,
    run: String,
}

fn waits() -> Vec<Step> {
    vec![
        says::started(),
        says::wait_for_input(1),
        says::answered(1),
        says::finished(),
        Step::Exit(0),
    ]
}

impl Desk {
    async fn new(hot_window_ms: i64) -> Result<Self> {
        let site = Site::new(hot_window_ms, |_| waits()).await?;
        let (session, run) = site.session(&json!({})).await?;
        let started = site.run(&run).await?;
        let workspace = started["workspace_id"].as_str().context("workspace")?;
        Ok(Self {
            workspace: workspace.to_owned(),
            site,
            session,
            run,
        })
    }

    /// With a machine that waits for input, hot.
    async fn live() -> Result<Self> {
        let desk = Self::new(600_000).await?;
        desk.site.until_status(&desk.run, "waiting").await?;
        Ok(desk)
    }

    async fn parked() -> Result<Self> {
        let desk = Self::new(0).await?;
        desk.site.until_parked(&desk.run).await?;
        Ok(desk)
    }

    /// Whose machine has stopped.
    async fn stopped() -> Result<Self> {
        let desk = Self::live().await?;
        desk.end().await?;
        Ok(desk)
    }

    /// Ends the run and stops the machine.
    async fn end(&self) -> Result<()> {
        self.site.send_input(&self.session, &json!("go on")).await?;
        self.site.until_status(&self.run, "succeeded").await?;
        self.stop(false).await
    }

    async fn stop(&self, force: bool) -> Result<()> {
        let path = format!("/api/v1/workspaces/{}/stop", self.workspace);
        self.site.post(&path, &json!({"force": force})).await?;
        self.until_machine("stopped").await
    }

    async fn machine(&self) -> Result<Value> {
        let path = format!("/api/v1/workspaces/{}", self.workspace);
        Ok(self.site.get(&path).await?["workspace"].clone())
    }

    async fn until_machine(&self, state: &str) -> Result<()> {
        let waited = tokio::time::timeout(crate::site::DEADLINE, async {
            loop {
                let found = self.machine().await?;
                if found["materialization"]["state"] == state {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited
            .await
            .with_context(|| format!("the machine is {state}"))?
    }

    fn url(&self, rest: &str) -> String {
        format!("/api/v1/workspaces/{}/files{rest}", self.workspace)
    }

    async fn ask(
        &self,
        method: Method,
        rest: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Result<(u16, Value)> {
        let url = self.url(rest);
        let (parts, bytes) = self.site.raw(method, &url, headers, body).await?;
        let answer = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)))
        };
        Ok((parts.status.as_u16(), answer))
    }

    async fn put(&self, path: &str, text: &str) -> Result<Value> {
        let rest = format!("/content?path={path}&parents=true");
        let (status, answer) = self.ask(Method::PUT, &rest, &[], text.to_owned()).await?;
        ensure!(status == 200, "{path}: {status} {answer}");
        Ok(answer["file"].clone())
    }

    async fn read(&self, path: &str) -> Result<(u16, String)> {
        let url = self.url(&format!("/content?path={path}"));
        let (parts, bytes) = self.site.raw(Method::GET, &url, &[], Body::empty()).await?;
        Ok((
            parts.status.as_u16(),
            String::from_utf8_lossy(&bytes).into_owned(),
        ))
    }

    async fn names(&self, path: &str) -> Result<Vec<String>> {
        let listed = self.site.get(&self.url(&format!("?path={path}"))).await?;
        let items = listed["items"].as_array().context("items")?;
        let names = items.iter().filter_map(|item| item["path"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    fn tree(&self) -> std::path::PathBuf {
        let workspaces = self.site.worker_dir().join("workspaces");
        workspaces.join(&self.workspace).join("tree")
    }

    /// What can be done in any state, done.
    async fn work(&self) -> Result<()> {
        assert_eq!(
            self.read("README").await?,
            (200, "from the image\n".to_owned())
        );
        let made = self.put("notes/a.txt", "first").await?;
        assert_eq!(
            (&made["kind"], &made["mode"]),
            (&json!("file"), &json!("0644"))
        );
        assert_eq!(self.read("/workspace/notes/a.txt").await?.1, "first");
        let revision = made["revision"].as_str().context("revision")?.to_owned();
        let rest = "/content?path=notes/a.txt";
        let (status, _) = self
            .ask(
                Method::PUT,
                rest,
                &[("if-match", &format!("\"{revision}\""))],
                "second",
            )
            .await?;
        assert_eq!(status, 200);
        let (status, refused) = self
            .ask(Method::PUT, rest, &[("if-match", &revision)], "third")
            .await?;
        assert_eq!(
            (status, &refused["error"]["code"]),
            (409, &json!("file_changed"))
        );
        ensure!(
            refused["error"]["details"]["revision"].is_string(),
            "{refused}"
        );
        let (status, refused) = self
            .ask(Method::PUT, rest, &[("if-none-match", "*")], "third")
            .await?;
        assert_eq!(
            (status, &refused["error"]["code"]),
            (409, &json!("file_changed"))
        );
        let (status, added) = self
            .ask(
                Method::POST,
                "/append?path=notes/a.txt&offset=6",
                &[],
                "+more",
            )
            .await?;
        assert_eq!((status, &added["file"]["size_bytes"]), (200, &json!(11)));
        let (status, refused) = self
            .ask(
                Method::POST,
                "/append?path=notes/a.txt&offset=6",
                &[],
                "+more",
            )
            .await?;
        assert_eq!(
            (status, &refused["error"]["code"]),
            (409, &json!("file_changed"))
        );
        let body = json!({"path": "dir/in/dir", "parents": true}).to_string();
        let json_body = [("content-type", "application/json")];
        let (status, made) = self.ask(Method::POST, "/mkdir", &json_body, body).await?;
        assert_eq!((status, &made["file"]["kind"]), (200, &json!("directory")));
        let body = json!({"path": "notes/a.txt", "mode": "0600"}).to_string();
        let (status, made) = self.ask(Method::POST, "/chmod", &json_body, body).await?;
        assert_eq!((status, &made["file"]["mode"]), (200, &json!("0600")));
        assert_eq!(self.names("").await?, ["README", "dir", "notes"]);
        let archive = self
            .site
            .raw(
                Method::GET,
                &self.url("/archive?path=notes"),
                &[],
                Body::empty(),
            )
            .await?;
        ensure!(
            archive.1.len() > 1024,
            "{:?} {}",
            archive.0,
            archive.1.len()
        );
        let (status, brought) = self
            .ask(Method::PUT, "/archive?path=copy", &[], archive.1)
            .await?;
        assert_eq!(
            (status, &brought),
            (200, &json!({"files": 1, "size_bytes": 11, "left_out": 0}))
        );
        assert_eq!(
            self.read("copy/a.txt").await?,
            (200, "second+more".to_owned())
        );
        let found = self.site.get(&self.url("/glob?pattern=**/*.txt")).await?;
        assert_eq!(found["items"].as_array().map(Vec::len), Some(2), "{found}");
        let found = self
            .site
            .get(&self.url("/search?query=second&limit=1"))
            .await?;
        assert_eq!(found["items"][0]["path"], "copy/a.txt");
        ensure!(found["next_cursor"].is_string(), "{found}");
        let url = self.url("/content?path=README");
        let (parts, bytes) = self
            .site
            .raw(Method::GET, &url, &[("range", "bytes=5-7")], Body::empty())
            .await?;
        assert_eq!(
            (parts.status.as_u16(), bytes.as_slice()),
            (206, &b"the"[..])
        );
        assert_eq!(parts.headers["content-range"], "bytes 5-7/15");
        let tag = parts.headers["etag"].to_str()?.to_owned();
        let (parts, _) = self
            .site
            .raw(Method::GET, &url, &[("if-none-match", &tag)], Body::empty())
            .await?;
        assert_eq!(parts.status.as_u16(), 304);
        assert_eq!(self.read("gone").await?.0, 404);
        Ok(())
    }

    /// What [`Self::work`] left.
    async fn check(&self) -> Result<()> {
        assert_eq!(self.names("").await?, ["README", "copy", "dir", "notes"]);
        assert_eq!(
            self.read("notes/a.txt").await?,
            (200, "second+more".to_owned())
        );
        assert_eq!(self.names("dir").await?, ["dir/in"]);
        Ok(())
    }
}

#[tokio::test]
async fn files_of_a_live_machine_are_worked_on_and_kept() -> Result<()> {
    let desk = Desk::live().await?;
    desk.work().await?;
    let seen = std::fs::read_to_string(desk.tree().join("notes/a.txt"))?;
    assert_eq!(seen, "second+more", "the machine sees it");
    desk.end().await?;
    desk.check().await
}

#[tokio::test]
async fn files_of_a_parked_machine_are_worked_on_and_leave_it_parked() -> Result<()> {
    let desk = Desk::parked().await?;
    desk.work().await?;
    desk.check().await?;
    assert_eq!(desk.machine().await?["materialization"]["state"], "parked");
    assert!(desk.site.driver.attempts().is_empty());
    // It goes on, and finds them; what it was restored on is kept when it stops.
    desk.site.send_input(&desk.session, &json!("go on")).await?;
    desk.site.until_status(&desk.run, "succeeded").await?;
    desk.check().await?;
    desk.stop(false).await?;
    desk.check().await
}

#[tokio::test]
async fn files_of_a_stopped_machine_are_worked_on_and_are_its_versions() -> Result<()> {
    let desk = Desk::stopped().await?;
    let before = desk.machine().await?["current_version_id"].clone();
    desk.work().await?;
    desk.check().await?;
    let after = desk.machine().await?["current_version_id"].clone();
    assert_ne!(before, after);
    let old = format!("?path=&version={}", before.as_str().context("version")?);
    let listed = desk.site.get(&desk.url(&old)).await?;
    assert_eq!(
        listed["items"].as_array().map(Vec::len),
        Some(1),
        "{listed}"
    );
    // Moved and removed without a machine too.
    let json_body = [("content-type", "application/json")];
    let body = json!({"from": "copy", "to": "moved"}).to_string();
    let (status, _) = desk.ask(Method::POST, "/move", &json_body, body).await?;
    assert_eq!(status, 200);
    let gone = desk
        .ask(Method::DELETE, "?path=dir", &[], Body::empty())
        .await?;
    assert_eq!(gone.1["error"]["code"], "directory_not_empty");
    let gone = desk
        .ask(
            Method::DELETE,
            "?path=dir&recursive=true",
            &[],
            Body::empty(),
        )
        .await?;
    assert_eq!(gone, (204, Value::Null));
    assert_eq!(desk.names("").await?, ["README", "moved", "notes"]);
    // The next machine has them.
    let input = json!("again");
    desk.site.send_input(&desk.session, &input).await?;
    desk.until_machine("live").await?;
    let seen = std::fs::read_to_string(desk.tree().join("moved/a.txt"))?;
    assert_eq!(seen, "second+more");
    Ok(())
}

#[tokio::test]
async fn files_are_moved_and_removed_in_a_live_machine() -> Result<()> {
    let desk = Desk::live().await?;
    desk.put("a/b", "1").await?;
    let json_body = [("content-type", "application/json")];
    let body = json!({"from": "a/b", "to": "README"}).to_string();
    let (status, refused) = desk.ask(Method::POST, "/move", &json_body, body).await?;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (409, &json!("file_exists"))
    );
    let body = json!({"from": "a/b", "to": "README", "overwrite": true}).to_string();
    let (status, _) = desk.ask(Method::POST, "/move", &json_body, body).await?;
    assert_eq!(status, 200);
    assert_eq!(desk.read("README").await?.1, "1");
    let gone = desk
        .ask(Method::DELETE, "?path=a", &[], Body::empty())
        .await?;
    assert_eq!(gone.0, 204);
    assert_eq!(desk.names("").await?, ["README"]);
    Ok(())
}

#[tokio::test]
async fn moving_and_removing_wake_a_parked_machine_and_are_done_then() -> Result<()> {
    let desk = Desk::parked().await?;
    desk.put("a", "1").await?;
    let json_body = [("content-type", "application/json")];
    let body = json!({"from": "a", "to": "b"}).to_string();
    let (status, moved) = desk.ask(Method::POST, "/move", &json_body, body).await?;
    assert_eq!((status, &moved["file"]["path"]), (200, &json!("b")));
    assert_eq!(desk.names("").await?, ["README", "b"]);
    desk.site.until_parked(&desk.run).await?;
    let gone = desk
        .ask(Method::DELETE, "?path=b", &[], Body::empty())
        .await?;
    assert_eq!(gone, (204, Value::Null));
    assert_eq!(desk.names("").await?, ["README"]);
    Ok(())
}

#[tokio::test]
async fn a_workspace_that_never_had_a_machine_has_what_its_image_holds() -> Result<()> {
    let desk = Desk::live().await?;
    let made = desk.site.post("/api/v1/workspaces", &json!({})).await?;
    let fresh = made["workspace"]["id"].as_str().context("id")?.to_owned();
    let files = format!("/api/v1/workspaces/{fresh}/files");
    let url = format!("{files}/content?path=README");
    let (parts, bytes) = desk.site.raw(Method::GET, &url, &[], Body::empty()).await?;
    assert_eq!(
        (parts.status.as_u16(), bytes.as_slice()),
        (200, &b"from the image\n"[..])
    );
    let (parts, _) = desk.site.raw(Method::PUT, &url, &[], "mine").await?;
    assert_eq!(parts.status.as_u16(), 200);
    let found = desk
        .site
        .get(&format!("/api/v1/workspaces/{fresh}"))
        .await?;
    assert_eq!(found["workspace"]["materialization"], Value::Null);
    let (_, bytes) = desk.site.raw(Method::GET, &url, &[], Body::empty()).await?;
    assert_eq!(bytes, b"mine");
    Ok(())
}

#[tokio::test]
async fn what_was_written_to_a_parked_machine_outlives_its_stop() -> Result<()> {
    let desk = Desk::parked().await?;
    desk.put("notes", "kept").await?;
    desk.stop(true).await?;
    assert_eq!(desk.read("notes").await?, (200, "kept".to_owned()));
    Ok(())
}

#[tokio::test]
async fn what_was_written_to_a_parked_machine_outlives_wakes_that_fail() -> Result<()> {
    let desk = Desk::parked().await?;
    desk.put("notes", "kept").await?;
    for _ in 0..4 {
        desk.site.driver.inject(Operation::Restore, Effect::Fail);
    }
    desk.site.send_input(&desk.session, &json!("go on")).await?;
    desk.site.until_status(&desk.run, "succeeded").await?;
    assert_eq!(desk.read("notes").await?, (200, "kept".to_owned()));
    Ok(())
}

#[tokio::test]
async fn what_was_written_to_a_parked_machine_outlives_a_kill() -> Result<()> {
    let mut desk = Desk::parked().await?;
    desk.put("notes", "kept").await?;
    desk.site.kill_and_restart().await?;
    assert_eq!(desk.read("notes").await?, (200, "kept".to_owned()));
    desk.put("notes2", "too").await?;
    desk.site.send_input(&desk.session, &json!("go on")).await?;
    desk.site.until_status(&desk.run, "succeeded").await?;
    assert_eq!(desk.names("").await?, ["README", "notes", "notes2"]);
    Ok(())
}

#[tokio::test]
async fn a_write_that_meets_a_park_or_a_stop_is_done_once_and_kept() -> Result<()> {
    for operation in [Operation::Pause, Operation::Checkpoint, Operation::Kill] {
        let desk = Desk::new(0).await?;
        let slow = Effect::Slow(Duration::from_millis(700));
        desk.site.driver.inject(operation, slow);
        let mut number = 0;
        while desk.machine().await?["materialization"]["state"] != "parked" {
            desk.put(&format!("f{number}"), "x").await?;
            number += 1;
        }
        desk.put("last", "x").await?;
        desk.stop(true).await?;
        for kept in 0..number {
            let found = desk.read(&format!("f{kept}")).await?;
            assert_eq!(found, (200, "x".to_owned()), "{kept} of {number}");
        }
        assert_eq!(desk.read("last").await?.0, 200);
    }
    Ok(())
}

#[tokio::test]
async fn writers_side_by_side_each_find_their_change_in_a_stopped_workspace() -> Result<()> {
    let desk = Desk::stopped().await?;
    let writes = (0..6).map(|number| {
        let desk = &desk;
        async move { desk.put(&format!("f{number}"), "x").await }
    });
    futures_util::future::try_join_all(writes).await?;
    assert_eq!(desk.names("").await?.len(), 7);
    Ok(())
}

#[tokio::test]
async fn bytes_that_end_early_change_nothing() -> Result<()> {
    for desk in [Desk::live().await?, Desk::stopped().await?] {
        desk.put("f", "old").await?;
        for length in [10, 3 << 20] {
            let piece = Ok(Bytes::from(vec![b'n'; length]));
            let cut = Err(std::io::Error::other("cut"));
            let body = Body::from_stream(futures_util::stream::iter([piece, cut]));
            let (status, refused) = desk.ask(Method::PUT, "/content?path=f", &[], body).await?;
            assert_eq!(
                (status, &refused["error"]["code"]),
                (400, &json!("invalid_body"))
            );
        }
        assert_eq!(desk.read("f").await?, (200, "old".to_owned()));
        let large = "l".repeat(3 << 20);
        desk.put("f", &large).await?;
        assert_eq!(desk.read("f").await?, (200, large));
    }
    Ok(())
}
