//! Two hundred parks and wakes of one run.

use anyhow::{Context, Result};
use helmr_e2e::{Options, Server};
use serde_json::json;

use crate::tools::{count_events, no_machine_left, record, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_parks_and_wakes_two_hundred_times_and_keeps_its_heap() -> Result<()> {
    let rounds = 200;
    let server = Server::start(Options::default()).await?;
    let payload = json!({"rounds": rounds});
    let (session, run) = server
        .start_session(&json!({"task": "cycles", "payload": payload}))
        .await?;
    for round in 0..rounds {
        server
            .await_parked(&run)
            .await
            .with_context(|| format!("round {round}"))?;
        assert!(
            send(&server, &session, &json!({"data": {"round": round}}))
                .await?
                .0
                < 300
        );
        record(&server, &session, round)
            .await
            .with_context(|| format!("round {round}"))?;
    }
    assert_eq!(server.await_output(&run).await?, json!({"rounds": rounds}));
    for kind in ["run.parked", "run.resumed", "wait.resolved"] {
        assert_eq!(count_events(&server, &run, kind).await?, rounds, "{kind}");
    }
    let mut server = server;
    assert_eq!(server.terminate().await?, 0);
    no_machine_left(&server).await
}
