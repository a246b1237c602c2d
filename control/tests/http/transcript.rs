//! The transcript of a session: input and output in one order.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::fixture::{Deployed, deployed, start};
use crate::following::Following;

struct Talk {
    deployed: Deployed,
    session: String,
    assignment: Value,
    calls: u64,
}

impl Talk {
    async fn begin() -> Result<Self> {
        let mut deployed = deployed().await?;
        let (session, _) = start(&deployed.server, &json!({ "task": "answer" })).await?;
        let assignment = deployed
            .worker
            .assigned(|pushed| !pushed.runs.is_empty())
            .await?;
        let (server, worker) = (&deployed.server, &deployed.worker);
        worker
            .machine(server, &assignment, "live", &json!({}))
            .await?
            .ok();
        worker
            .run(server, &assignment, "started", &json!({}))
            .await?
            .ok();
        Ok(Self {
            assignment: serde_json::to_value(&*assignment)?,
            deployed,
            session,
            calls: 0,
        })
    }

    fn path(&self) -> String {
        format!("/api/v1/sessions/{}/transcript", self.session)
    }

    async fn send(&self, text: &str) -> Result<()> {
        let path = format!("/api/v1/sessions/{}/inputs/inbox", self.session);
        let body = json!({ "data": { "text": text } });
        self.deployed.server.post(&path, &body).await?.ok();
        Ok(())
    }

    async fn append(&mut self, text: &str) -> Result<()> {
        self.calls += 1;
        let body = json!({ "call_no": self.calls, "op": "stream.append",
            "args": { "stream": "out", "data": text, "correlation_id": "reply" } });
        let assignment = serde_json::from_value(self.assignment.clone())?;
        let answer = self
            .deployed
            .worker
            .run(&self.deployed.server, &assignment, "calls", &body)
            .await?
            .ok();
        assert!(answer.body["answer"]["id"].is_string(), "{answer:?}");
        Ok(())
    }
}

fn told(record: &Value) -> (u64, &str, &str, u64) {
    (
        record["position"].as_u64().unwrap_or_default(),
        record["direction"].as_str().unwrap_or_default(),
        record["stream"].as_str().unwrap_or_default(),
        record["sequence"].as_u64().unwrap_or_default(),
    )
}

#[tokio::test]
async fn it_is_listed_and_filtered_in_the_order_in_which_records_came() -> Result<()> {
    let mut talk = Talk::begin().await?;
    talk.send("hello").await?;
    talk.append("hi").await?;
    talk.append("go on").await?;
    talk.send("bye").await?;
    let server = &talk.deployed.server;
    let path = talk.path();
    let page = server.get(&path).await?.ok().body;
    let items = page["items"].as_array().context("no items")?;
    assert_eq!(
        items.iter().map(told).collect::<Vec<_>>(),
        [
            (1, "input", "inbox", 1),
            (2, "output", "out", 1),
            (3, "output", "out", 2),
            (4, "input", "inbox", 2),
        ]
    );
    assert_eq!(items[1]["data"], "hi");
    assert!(items.iter().all(|record| record["run_id"].is_string()));
    let positions = async |query: &str| -> Result<Vec<u64>> {
        let page = server.get(&format!("{path}?{query}")).await?.ok().body;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        Ok(items.iter().map(|record| told(record).0).collect())
    };
    assert_eq!(positions("direction=output").await?, [2, 3]);
    assert_eq!(positions("stream=inbox").await?, [1, 4]);
    assert_eq!(positions("correlation_id=reply&limit=1").await?, [2]);
    assert_eq!(positions("cursor=3").await?, [4]);
    let first = server.get(&format!("{path}?limit=2")).await?.ok().body;
    assert_eq!(first["next_cursor"], "2");
    server
        .get(&format!("{path}?direction=sideways"))
        .await?
        .refused(400, "invalid_query");
    server
        .get(&format!("{path}?stream=a%20b"))
        .await?
        .refused(400, "invalid_query");
    for accept in ["application/json", "text/event-stream"] {
        let missing = "/api/v1/sessions/ses_00000000000000000000000000/transcript";
        let request = server
            .request(http::Method::GET, missing)
            .header("accept", accept);
        let answer = server
            .answer(request.body(axum::body::Body::empty())?)
            .await?;
        answer.refused(404, "session_not_found");
    }
    Ok(())
}

#[tokio::test]
async fn it_is_followed_over_a_cut_until_the_session_ends() -> Result<()> {
    let mut talk = Talk::begin().await?;
    let path = talk.path();
    talk.send("1").await?;
    let mut following = Following::open(&talk.deployed.server, &path, None).await?;
    assert_eq!(following.next().await?.id.as_deref(), Some("1"));
    talk.append("2").await?;
    assert_eq!(following.next().await?.id.as_deref(), Some("2"));
    drop(following);
    talk.append("3").await?;
    talk.send("4").await?;
    let mut following = Following::open(&talk.deployed.server, &path, Some("2")).await?;
    for position in ["3", "4"] {
        assert_eq!(following.next().await?.id.as_deref(), Some(position));
    }
    // Only what is asked for is followed.
    let outputs = format!("{path}?direction=output");
    let mut outputs = Following::open(&talk.deployed.server, &outputs, Some("3")).await?;
    talk.send("5").await?;
    talk.append("6").await?;
    assert_eq!(outputs.next().await?.id.as_deref(), Some("6"));
    for position in ["5", "6"] {
        assert_eq!(following.next().await?.id.as_deref(), Some(position));
    }
    let cancel = format!("/api/v1/sessions/{}/cancel", talk.session);
    talk.deployed.server.post(&cancel, &json!({})).await?.ok();
    // Its run has not ended yet, and may still say something.
    talk.append("7").await?;
    assert_eq!(following.next().await?.data["data"], "7");
    let assignment = serde_json::from_value(talk.assignment.clone())?;
    let done = json!({ "result": "stopped" });
    let (server, worker) = (&talk.deployed.server, &talk.deployed.worker);
    worker
        .run(server, &assignment, "finished", &done)
        .await?
        .ok();
    assert_eq!(following.next().await?.name.as_deref(), Some("end"));
    following.ended().await
}
