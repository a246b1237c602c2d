//! The examples, deployed as they lie there and driven by their own client programs.

use anyhow::{Context, Result, ensure};
use helmr_e2e::{Options, Program, Server, chromium};
use serde_json::{Value, json};

use crate::tools::count_events;

/// A server with the example deployed.
async fn with_example(name: &str) -> Result<Server> {
    let server = Server::start(Options::default()).await?;
    let project = helmr_e2e::repository().join("examples").join(name);
    server
        .cli()?
        .json(&["deploy", &project.to_string_lossy()])
        .await?;
    Ok(server)
}

fn client(server: &Server, example: &str, script: &str, arguments: &[&str]) -> Result<Program> {
    server.program_of(&format!("examples/{example}"), script, arguments)
}

/// The one run there is, which must have ended.
async fn only_run(server: &Server) -> Result<Value> {
    let list = server.get("/api/v1/runs?limit=10").await?;
    let runs = list["items"].as_array().context("no list")?;
    // The first run ever is the template's own.
    let id = runs
        .first()
        .and_then(|run| run["id"].as_str())
        .context("no run")?;
    server.await_end_of(id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chat_agent_answers_over_several_runs_of_one_session() -> Result<()> {
    let server = with_example("chat-agent").await?;
    let said = ["My name is Ada", "Nice weather", "Who am I?"];
    let conversation = client(&server, "chat-agent", "client/talk.ts", &said)?;
    let told = conversation.finish().await?;
    let (runs, transcript) = told.split_last().context("it said nothing")?;
    let line = |position: usize, text: &str| {
        let (direction, stream) =
            [("input", "messages"), ("output", "replies")][(position + 1) % 2];
        (
            json!(position),
            json!(direction),
            json!(stream),
            json!(text),
        )
    };
    let seen: Vec<_> = transcript
        .iter()
        .map(|item| {
            let part = |name: &str| item[name].clone();
            (
                part("position"),
                part("direction"),
                part("stream"),
                item["data"]["text"].clone(),
            )
        })
        .collect();
    let expected = [
        line(1, "My name is Ada"),
        line(2, "Hello Ada."),
        line(3, "Nice weather"),
        line(4, "That was message 2: Nice weather"),
        line(5, "Who am I?"),
        line(6, "Ada"),
    ];
    assert_eq!(seen, expected);
    let run = |reason: &str| json!({"reason": reason, "status": "succeeded"});
    let expected = [run("start"), run("input"), run("input"), run("input")];
    assert_eq!(runs["runs"], json!(expected));
    // Each answer is of a run of its own.
    let of: std::collections::BTreeSet<_> = transcript
        .iter()
        .filter_map(|item| item["data"]["run"].as_str())
        .collect();
    assert_eq!(of.len(), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_release_is_approved_by_the_callback_of_a_provider() -> Result<()> {
    let server = with_example("release-approval").await?;
    for (kind, released) in [("form", true), ("json", true), ("empty", false)] {
        let bridge = client(&server, "release-approval", "client/bridge.ts", &[kind])?;
        let told = bridge.finish().await?;
        let [looked, first, second, ended] = &told[..] else {
            anyhow::bail!("{told:?}");
        };
        ensure!(
            *looked == json!({"looked": 204, "body": ""}),
            "{kind}: {looked}"
        );
        let answer = |again: bool| json!({"ok": true, "alreadyCompleted": again});
        for (delivery, again) in [(first, false), (second, true)] {
            let answered = &delivery["answer"];
            ensure!(delivery["status"] == 200, "{kind}: {delivery}");
            let seen =
                json!({"ok": answered["ok"], "alreadyCompleted": answered["already_completed"]});
            ensure!(seen == answer(again), "{kind}: {delivery}");
        }
        let output = &ended["output"];
        ensure!(ended["status"] == "succeeded", "{kind}: {ended}");
        ensure!(output["released"] == released, "{kind}: {ended}");
        if released {
            ensure!(output["reviewer"] == "ana", "{kind}: {ended}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_poller_parks_in_each_of_its_growing_pauses() -> Result<()> {
    let server = with_example("poller").await?;
    let mut told = client(&server, "poller", "client/watch.ts", &[])?
        .finish()
        .await?;
    let ended = told.pop().context("it said nothing")?;
    ensure!(ended["status"] == "succeeded", "{ended}");
    let output = json!({"state": "passed", "looks": 4, "paused": [200, 400, 800]});
    ensure!(ended["output"] == output, "{ended}");
    ensure!(
        ended["metadata"]["build"] == json!({"state": "passed", "looks": 4}),
        "{ended}"
    );
    let count = |kind: &str| told.iter().filter(|event| event["kind"] == kind).count();
    ensure!(
        count("wait.resolved") == 3 && count("metadata.updated") == 4,
        "{told:?}"
    );
    let run = only_run(&server).await?;
    let id = run["id"].as_str().context("no id")?;
    // A pause may be over before its machine is parked; the longest is not.
    ensure!(
        count_events(&server, id, "run.parked").await? >= 1,
        "{told:?}"
    );
    Ok(())
}

/// The whole way in a real browser: a page on another origin, the leave that the browser asks for first, and what a page
/// that the token is not for is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_chromium_answers_a_token_with_its_public_access_token() -> Result<()> {
    let chromium = chromium()?.to_string_lossy().into_owned();
    let server = with_example("approval-page").await?;
    let mut page = client(&server, "approval-page", "client/serve.ts", &[])?;
    let shown = page.says().await?.context("no link")?;
    let link = shown["link"].as_str().context("no link")?.to_owned();
    let token = shown["tokenId"].as_str().context("no token")?.to_owned();
    ensure!(
        !link.starts_with(&server.url()),
        "the page has an origin of its own"
    );
    let run = server.get(&format!("/api/v1/tokens/{token}")).await?["token"]["run_id"].clone();
    server.await_parked(run.as_str().context("no run")?).await?;

    let click = |link: String, button: &'static str, comment: &'static str| {
        let program = server.program("browser.ts", &[&chromium, &link, button, comment]);
        async move {
            let said = program?.finish().await?;
            said.into_iter().next().context("the browser said nothing")
        }
    };
    // The same page, by another name of its host: another origin, for which the token is not.
    let elsewhere = link.replacen("127.0.0.1", "localhost", 1);
    let refused = click(elsewhere, "Approve", "from elsewhere").await?;
    ensure!(
        refused["status"] == "Refused: origin_not_allowed",
        "{refused}"
    );
    let pending = server.get(&format!("/api/v1/tokens/{token}")).await?;
    ensure!(pending["token"]["status"] == "pending", "{pending}");

    let answered = click(link.clone(), "Approve", "looks good").await?;
    ensure!(answered["status"] == "Thank you.", "{answered}");
    ensure!(
        answered["title"] == "Release 2026.06.15 to production?",
        "{answered}"
    );
    ensure!(answered["problems"] == json!([]), "{answered}");
    // The browser asked for leave first. Any origin may ask, with no credentials but the token itself.
    let origin = answered["origin"].clone();
    let asked = |method: &str| {
        json!({"method": method, "path": format!("/api/v1/tokens/{token}/complete"), "origin": origin,
            "status": 200, "allowedOrigin": "*", "allowsCredentials": false})
    };
    let expected = json!([asked("OPTIONS"), asked("POST")]);
    ensure!(answered["asked"] == expected, "{answered}");
    ensure!(refused["asked"][1]["status"] == 403, "{refused}");
    let told = page.finish().await?;
    let output = json!({"approved": true, "comment": "looks good"});
    ensure!(
        told == [json!({"status": "succeeded", "output": output})],
        "{told:?}"
    );

    // The same answer again is answered, though the token's one use is spent; another one is not taken.
    let (origin, fragment) = link.split_once("/#").context("no fragment")?;
    let key = fragment
        .split('&')
        .find_map(|part| part.strip_prefix("key="))
        .context("no key")?;
    let complete = |approved: bool| {
        reqwest::Client::new()
            .post(format!("{}/api/v1/tokens/{token}/complete", server.url()))
            .bearer_auth(key)
            .header("Origin", origin)
            .json(&json!({"data": {"approved": approved, "comment": "looks good"}}))
            .send()
    };
    let again = complete(true).await?;
    ensure!(again.status() == 200, "{again:?}");
    let again: Value = again.json().await?;
    ensure!(again["already_completed"] == true, "{again}");
    let other = complete(false).await?;
    ensure!([403, 409].contains(&other.status().as_u16()), "{other:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_branching_agent_goes_three_ways_at_once_and_keeps_the_best() -> Result<()> {
    let server = with_example("branching-agent").await?;
    let told = client(&server, "branching-agent", "client/branch.ts", &[])?
        .finish()
        .await?;
    let (kept, branches) = told.split_last().context("it said nothing")?;
    ensure!(branches.len() == 3, "{told:?}");
    let mut began = std::collections::BTreeSet::new();
    let mut sessions = std::collections::BTreeSet::new();
    for branch in branches {
        ensure!(branch["status"] == "succeeded", "{branch}");
        began.insert(branch["began"].to_string());
        sessions.insert(branch["session"].to_string());
    }
    ensure!(
        began.len() == 1,
        "what it knew, all three knew: {branches:?}"
    );
    ensure!(sessions.len() == 3, "each is a session of its own");
    ensure!(kept["kept"] == "largest-first", "{told:?}");
    let workspaces = server.get("/api/v1/workspaces?limit=50").await?;
    let items = workspaces["items"].as_array().context("no list")?;
    let of_example = items.iter().filter(|item| {
        let version = &item["current_version_id"];
        item["id"] == kept["workspace"] && !version.is_null()
    });
    ensure!(of_example.count() == 1, "{workspaces}");
    Ok(())
}
