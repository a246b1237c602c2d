//! Live forks: a machine's memory goes on twice, each time in its own name.

use std::time::Duration;

use anyhow::{Context as _, Result};
use helmr_machine::scripted::{Effect, Operation, Step};
use serde_json::{Value, json};

use crate::site::{DEADLINE, Site, count, payload, says};

/// What a fork made of the one session that was there.
struct Branch {
    workspace: String,
    session: String,
    run: String,
}

async fn workspace_of(site: &Site, run: &str) -> Result<String> {
    let run = site.run(run).await?;
    Ok(run["workspace_id"]
        .as_str()
        .context("a workspace")?
        .to_owned())
}

fn branch(answer: &Value) -> Result<Branch> {
    let text = |pointer: &str| {
        let found = answer.pointer(pointer).and_then(Value::as_str);
        found
            .map(str::to_owned)
            .with_context(|| format!("no {pointer} in {answer}"))
    };
    Ok(Branch {
        workspace: text("/workspace/id")?,
        session: text("/fork/sessions/0/session_id")?,
        run: text("/fork/sessions/0/run_id")?,
    })
}

async fn fork(site: &Site, run: &str) -> Result<Branch> {
    let path = format!("/api/v1/workspaces/{}/fork", workspace_of(site, run).await?);
    branch(&site.post(&path, &json!({"live": true})).await?)
}

async fn outputs(site: &Site, session: &str) -> Result<Vec<Value>> {
    let out = site
        .get(&format!("/api/v1/sessions/{session}/outputs/out?limit=200"))
        .await?;
    let items = out["items"].as_array().context("items")?;
    Ok(items.iter().map(|item| item["data"].clone()).collect())
}

/// Waits for input twice, telling each.
fn listens() -> Vec<Step> {
    let append = |id: u64| {
        Step::Say(format!(
            r#"{{"type":"call","id":{id},"op":"stream.append","args":{{"stream":"out","data":$data}}}}"#
        ))
    };
    vec![
        says::started(),
        says::wait_for_input(1),
        says::answered(1),
        append(2),
        says::answered(2),
        says::wait_for_input(3),
        says::answered(3),
        says::finished(),
        Step::Exit(0),
    ]
}

#[tokio::test]
async fn a_fork_of_a_parked_run_goes_on_by_itself_and_hears_its_own_input_alone() -> Result<()> {
    let site = Site::new(0, |_| listens()).await?;
    let (session, run) = site.session(&json!({})).await?;
    site.until_parked(&run).await?;
    site.send_input(&session, &json!("first")).await?;
    site.until(&run, "it tells", |run| {
        run["placement"]["state"] != "parked"
    })
    .await?;
    site.until_parked(&run).await?;
    let branch = fork(&site, &run).await?;
    assert_ne!(branch.run, run);
    site.until_parked(&branch.run).await?;
    site.until_parked(&run).await?;
    let told = outputs(&site, &branch.session).await?;
    assert_eq!(
        told,
        outputs(&site, &session).await?,
        "what was said before came along"
    );
    site.send_input(&branch.session, &json!("left")).await?;
    let ended = site.until_status(&branch.run, "succeeded").await?;
    assert_eq!(ended["output"]["data"], "left");
    assert_eq!(
        site.run(&run).await?["status"],
        "waiting",
        "the original hears nothing"
    );
    site.send_input(&session, &json!("right")).await?;
    let ended = site.until_status(&run, "succeeded").await?;
    assert_eq!(ended["output"]["data"], "right");
    // Its files are its own: the first version of each later one is the fork's.
    let versions = site
        .get(&format!("/api/v1/workspaces/{}/versions", branch.workspace))
        .await?;
    let items = versions["items"].as_array().context("items")?;
    assert_eq!(items.last().context("a version")?["kind"], "fork");
    Ok(())
}

#[tokio::test]
async fn a_fork_of_a_fork_answers_to_its_own_name() -> Result<()> {
    let site = Site::new(0, |_| listens()).await?;
    let (_, run) = site.session(&json!({})).await?;
    site.until_parked(&run).await?;
    let first = fork(&site, &run).await?;
    site.until_parked(&first.run).await?;
    let second = fork(&site, &first.run).await?;
    for (branch, word) in [(&second, "second"), (&first, "first")] {
        for _ in 0..2 {
            site.until(&branch.run, "it waits", |run| run["status"] == "waiting")
                .await?;
            site.send_input(&branch.session, &json!(word)).await?;
        }
        let ended = site.until_status(&branch.run, "succeeded").await?;
        assert_eq!(ended["output"]["data"], word);
        assert_eq!(outputs(&site, &branch.session).await?.len(), 1);
    }
    assert_eq!(site.run(&run).await?["status"], "waiting");
    Ok(())
}

#[tokio::test]
async fn a_token_that_the_original_waits_for_is_refused_to_the_fork() -> Result<()> {
    let site = Site::new(0, |start| {
        let token = payload(start)["token"].clone();
        vec![
            says::started(),
            says::call(1, "wait", &json!({"kind": "token", "token_id": token})),
            says::answered(1),
            Step::Say(r#"{"type":"finished","output":$line}"#.to_owned()),
            Step::Exit(0),
        ]
    })
    .await?;
    let token = site.post("/api/v1/tokens", &json!({})).await?;
    let token = token["token"]["id"].as_str().context("a token")?.to_owned();
    let (_, run) = site.session(&json!({"token": token})).await?;
    site.until_parked(&run).await?;
    let branch = fork(&site, &run).await?;
    let ended = site.until_status(&branch.run, "succeeded").await?;
    assert_eq!(ended["output"]["ok"], false);
    assert_eq!(ended["output"]["error"]["code"], "forked");
    assert_eq!(site.run(&run).await?["status"], "waiting");
    site.post(
        &format!("/api/v1/tokens/{token}/complete"),
        &json!({"data": 7}),
    )
    .await?;
    let ended = site.until_status(&run, "succeeded").await?;
    assert_eq!(ended["output"]["data"], 7);
    Ok(())
}

#[tokio::test]
async fn a_timer_is_due_in_both() -> Result<()> {
    let site = Site::new(0, |_| {
        vec![
            says::started(),
            says::call(1, "wait", &json!({"kind": "timer", "duration_ms": 3_000})),
            says::answered(1),
            Step::Say(r#"{"type":"finished"}"#.to_owned()),
            Step::Exit(0),
        ]
    })
    .await?;
    let (_, run) = site.session(&json!({})).await?;
    let branch = {
        site.until(&run, "it waits", |run| run["status"] == "waiting")
            .await?;
        fork(&site, &run).await?
    };
    site.until_status(&run, "succeeded").await?;
    site.until_status(&branch.run, "succeeded").await?;
    Ok(())
}

/// Says something over and over that has an effect, and then ends.
fn appends(times: u64) -> Vec<Step> {
    let mut steps = vec![says::started(), Step::Print("began\n".to_owned())];
    for id in 1..=times {
        steps.push(says::call(
            id,
            "stream.append",
            &json!({"stream": "out", "data": id}),
        ));
        steps.push(says::answered(id));
    }
    steps.push(Step::Gate("end".to_owned()));
    steps.extend([
        Step::Print("ends\n".to_owned()),
        says::finished(),
        Step::Exit(0),
    ]);
    steps
}

#[tokio::test]
async fn whatever_is_under_way_has_one_effect_in_each_branch() -> Result<()> {
    const CALLS: u64 = 150;
    let site = Site::new(0, |_| appends(CALLS)).await?;
    let (session, run) = site.session(&json!({})).await?;
    let mut branches = Vec::new();
    for after in [1, 40, 80] {
        let reached = tokio::time::timeout(DEADLINE, async {
            while outputs(&site, &session).await?.len() < after {
                tokio::task::yield_now().await;
            }
            anyhow::Ok(())
        });
        reached.await.context("it gets that far")??;
        branches.push(fork(&site, &run).await?);
    }
    site.driver.open_gate("end");
    let expected: Vec<Value> = (1..=CALLS).map(Value::from).collect();
    for (session, run) in std::iter::once((&session, &run))
        .chain(branches.iter().map(|branch| (&branch.session, &branch.run)))
    {
        site.until_status(run, "succeeded").await?;
        let mut told = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/v1/sessions/{session}/outputs/out?limit=200{cursor}");
            let page = site.get(&path).await?;
            told.extend(
                page["items"]
                    .as_array()
                    .context("items")?
                    .iter()
                    .map(|item| item["data"].clone()),
            );
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(told, expected);
        let log = site
            .get(&format!("/api/v1/runs/{run}/logs"))
            .await?
            .to_string();
        assert_eq!(log.matches("ends").count(), 1, "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn a_fork_that_fails_leaves_nothing_and_the_original_goes_on() -> Result<()> {
    let site = Site::new(600_000, |_| listens()).await?;
    let (session, run) = site.session(&json!({})).await?;
    site.until(&run, "it waits", |run| run["status"] == "waiting")
        .await?;
    for (operation, word) in [(Operation::Checkpoint, "a"), (Operation::Pause, "b")] {
        site.driver.inject(operation, Effect::Fail);
        let refused = fork(&site, &run)
            .await
            .err()
            .context("it fails")?
            .to_string();
        assert!(
            refused.contains("503") && refused.contains("fork_failed"),
            "{refused}"
        );
        assert_eq!(count(&site.worker_dir().join("machines")), 1);
        let workspaces = site.get("/api/v1/workspaces").await?;
        assert_eq!(workspaces["items"].as_array().context("items")?.len(), 1);
        site.send_input(&session, &json!(word)).await?;
    }
    let ended = site.until_status(&run, "succeeded").await?;
    assert_eq!(ended["output"]["data"], "b");
    Ok(())
}

#[tokio::test]
async fn a_fork_that_a_kill_interrupts_is_made_once_all_the_same() -> Result<()> {
    let mut site = Site::new(600_000, |_| listens()).await?;
    let (session, run) = site.session(&json!({})).await?;
    site.until(&run, "it waits", |run| run["status"] == "waiting")
        .await?;
    let path = format!(
        "/api/v1/workspaces/{}/fork",
        workspace_of(&site, &run).await?
    );
    site.driver
        .inject(Operation::Checkpoint, Effect::Slow(Duration::from_secs(20)));
    {
        let body = json!({"live": true});
        let asked = site.post(&path, &body);
        tokio::pin!(asked);
        let begun = async {
            while count(&site.worker_dir().join("machines")) < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            answer = &mut asked => anyhow::bail!("made too soon: {answer:?}"),
            begun = tokio::time::timeout(DEADLINE, begun) => begun.context("it begins")?,
        }
    }
    site.kill_and_restart().await?;
    let made = tokio::time::timeout(DEADLINE, async {
        loop {
            let workspaces = site.get("/api/v1/workspaces").await?;
            let items = workspaces["items"].as_array().context("items")?;
            if items.len() > 1 {
                return anyhow::Ok(items.len());
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(made.await.context("it is made after all")??, 2);
    assert_eq!(
        count(&site.worker_dir().join("machines")),
        2,
        "the half of the first try is gone"
    );
    let sessions = site.get("/api/v1/sessions").await?;
    let copy = sessions["items"][0].clone();
    assert_ne!(copy["id"], json!(session));
    let copied = copy["id"].as_str().context("an id")?;
    let copied_run = copy["current_run_id"]
        .as_str()
        .or(copy["current_run"].as_str());
    for word in ["x", "y"] {
        site.send_input(copied, &json!(word)).await?;
        site.send_input(&session, &json!(word)).await?;
    }
    site.until_status(&run, "succeeded").await?;
    let runs = site.get(&format!("/api/v1/sessions/{copied}/runs")).await?;
    let of_copy = runs["items"][0]["id"]
        .as_str()
        .or(copied_run)
        .context("a run")?
        .to_owned();
    site.until_status(&of_copy, "succeeded").await?;
    Ok(())
}
