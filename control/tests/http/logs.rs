//! What runs print, as clients read it.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helmr_api::worker::Assignment;
use serde_json::{Value, json};

use crate::fixture::{Deployed, deployed};
use crate::life::started;

/// One, two, three and four bytes to a character.
const TEXT: &str = "a\u{e9}\u{20ac}\u{1f600}z";

async fn print(
    deployed: &Deployed,
    at: &Assignment,
    stream: &str,
    offset: usize,
    bytes: &[u8],
) -> Result<()> {
    let segment = json!({ "stream": stream, "offset": offset, "data": STANDARD.encode(bytes) });
    let output = json!({ "segments": [segment], "entries": [] });
    let (server, worker) = (&deployed.server, &deployed.worker);
    worker.run(server, at, "output", &output).await?.ok();
    Ok(())
}

async fn items(deployed: &Deployed, path: &str) -> Result<Vec<Value>> {
    let page = deployed.server.get(path).await?.ok().body;
    Ok(page["items"].as_array().context("no items")?.clone())
}

fn text(items: &[Value]) -> String {
    items
        .iter()
        .map(|item| item["data"].as_str().unwrap_or_default())
        .collect()
}

#[tokio::test]
async fn text_is_text_wherever_its_bytes_were_split() -> Result<()> {
    let mut deployed = deployed().await?;
    let (_, run, at) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    let all = TEXT.repeat(3);
    // One byte at a time, told twice as a worker may.
    for (offset, byte) in all.bytes().enumerate() {
        print(&deployed, &at, "stdout", offset, &[byte]).await?;
        print(&deployed, &at, "stdout", offset, &[byte]).await?;
    }
    // A piece that overlaps what was told.
    print(
        &deployed,
        &at,
        "stdout",
        all.len() - 1,
        format!("{}\u{20ac}", &all[all.len() - 1..]).as_bytes(),
    )
    .await?;
    let path = format!("/api/v1/runs/{run}/logs?limit=200");
    let printed = items(&deployed, &path).await?;
    assert!(
        printed.iter().all(|item| item["encoding"] == "utf8"),
        "{printed:?}"
    );
    assert!(text(&printed).starts_with(&all), "{printed:?}");
    let mut expected = 0;
    for item in &printed {
        assert_eq!(item["offset"], json!(expected));
        expected += item["data"].as_str().map_or(0, str::len);
    }
    Ok(())
}

#[tokio::test]
async fn bytes_that_are_no_text_are_told_as_they_are_with_the_end_of_the_run() -> Result<()> {
    let mut deployed = deployed().await?;
    let (_, run, at) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    print(&deployed, &at, "stdout", 0, b"ok \xe2\x82").await?;
    let path = format!("/api/v1/runs/{run}/logs");
    assert_eq!(text(&items(&deployed, &path).await?), "ok ");
    let done = json!({ "result": "succeeded", "output": null });
    deployed
        .worker
        .run(&deployed.server, &at, "finished", &done)
        .await?
        .ok();
    let printed = items(&deployed, &path).await?;
    let last = printed.last().context("nothing")?;
    assert_eq!(
        (&last["encoding"], &last["data"]),
        (&json!("base64"), &json!(STANDARD.encode(b"\xe2\x82")))
    );
    Ok(())
}

#[tokio::test]
async fn output_is_read_from_a_byte_on() -> Result<()> {
    let mut deployed = deployed().await?;
    let (_, run, at) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    let parts = [(0, "first "), (6, "second "), (13, "third")];
    for (number, (offset, part)) in parts.into_iter().enumerate() {
        print(&deployed, &at, "stdout", offset, part.as_bytes()).await?;
        print(&deployed, &at, "stderr", number * 6, b"other ").await?;
    }
    let path = format!("/api/v1/runs/{run}/logs?stream=stdout");
    let from = items(&deployed, &format!("{path}&offset=8")).await?;
    assert_eq!(
        (text(&from).as_str(), &from[0]["offset"]),
        ("cond third", &json!(8))
    );
    let page = deployed
        .server
        .get(&format!("{path}&offset=0&limit=2"))
        .await?
        .ok()
        .body;
    let cursor = page["next_cursor"].as_str().context("no cursor")?;
    assert_eq!(cursor, "13");
    let rest = items(
        &deployed,
        &format!("{path}&offset=0&limit=2&cursor={cursor}"),
    )
    .await?;
    assert_eq!(text(&rest), "third");
    assert!(
        items(&deployed, &format!("{path}&offset=18"))
            .await?
            .is_empty()
    );
    let server = &deployed.server;
    let path = format!("/api/v1/runs/{run}/logs");
    for odd in [
        "offset=3",
        "offset=3&stream=logger",
        "offset=-1&stream=stdout",
    ] {
        server
            .get(&format!("{path}?{odd}"))
            .await?
            .refused(400, "invalid_query");
    }
    Ok(())
}
