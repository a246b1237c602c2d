//! Waits, from registration to delivery.

use anyhow::Context;
use helmr_store::worker::{self, WaitFor};
use serde_json::json;

use crate::on_both;

on_both! {
    /// The whole life of an agent that parks.
    async fn a_parked_run_goes_on_when_its_token_is_completed(world) {
        let live = world.live("plain").await?;
        let token = world.token(&live).await?;
        let wait = world.wait(&live, 1, WaitFor::Token(token)).await?;
        assert!(!wait.decided);
        assert_eq!(world.status(live.run).await?, "waiting");

        world.park(&live).await?;
        assert!(world.assignment(&live).await?.is_none());
        assert!(world.place().await?.is_empty(), "nothing to do for it yet");

        world.complete(token, &json!({"approved": true})).await?;
        let woken = world.wake(&live).await?;
        assert!(woken.fence.lease.epoch > live.fence.lease.epoch);
        let assignment = world.assignment(&woken).await?.context("assigned")?;
        let outcome = &assignment.runs[0].outcomes[0];
        assert_eq!(outcome.wait_id, wait.wait_id);
        assert_eq!(outcome.call_no, 1);
        assert_eq!(outcome.outcome.to_value(), json!({"ok": true, "data": {"approved": true}}));

        world.deliver(&woken, wait.wait_id).await?;
        assert_eq!(world.status(live.run).await?, "running");
        world.succeed(&woken).await?;
        let events = world.events(live.run).await?;
        assert_eq!(
            events,
            [
                "run.created", "run.queued", "run.leased", "workspace.attached", "run.started",
                "token.created", "wait.created", "run.waiting", "run.parked", "token.completed",
                "wait.resolved", "run.resumed", "run.succeeded",
            ]
        );
        let stopped = worker::Stopped { at: world.at(), fence: woken.machine_fence(), version: None };
        worker::machine_stopped(&world.store, stopped).await?;
        assert!(world.assignment(&woken).await?.is_none());
    }
}
