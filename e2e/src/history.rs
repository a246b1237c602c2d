//! The events of a run, and the status that they alone give.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::Server;

const FINAL: [&str; 4] = ["succeeded", "failed", "cancelled", "expired"];

/// Whether a run of this status has ended.
pub(crate) fn is_final(status: &Value) -> bool {
    status
        .as_str()
        .is_some_and(|status| FINAL.contains(&status))
}

/// The status after an event of this kind; nothing for an event that leaves it as it is.
fn status_after(kind: &str) -> Option<&'static str> {
    match kind {
        "run.created" | "run.queued" | "run.retry_scheduled" => Some("queued"),
        "run.leased" | "run.started" | "run.resumed" | "run.moving" => Some("running"),
        "run.waiting" => Some("waiting"),
        "run.succeeded" => Some("succeeded"),
        "run.failed" => Some("failed"),
        "run.cancelled" => Some("cancelled"),
        "run.expired" => Some("expired"),
        _ => None,
    }
}

impl Server {
    /// Every event of a run, oldest first.
    ///
    /// # Errors
    /// If a page cannot be read, or their cursors have a gap.
    pub async fn events(&self, run: &str) -> Result<Vec<Value>> {
        let mut events: Vec<Value> = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/v1/runs/{run}/events?limit=200{cursor}");
            let mut page = self.get(&path).await?;
            let items = page["items"].as_array_mut().context("no page of events")?;
            events.append(items);
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        for (index, event) in events.iter().enumerate() {
            let expected = (index + 1).to_string();
            ensure!(
                event["cursor"] == expected.as_str(),
                "event {expected} is {event}"
            );
        }
        Ok(events)
    }

    /// Checks that a run's events, replayed, give the status that the run has, and that nothing follows its end.
    ///
    /// # Errors
    /// With the events if they tell another story.
    pub async fn check_history(&self, run: &Value) -> Result<()> {
        let id = run["id"].as_str().context("a run without an id")?;
        let events = self.events(id).await?;
        let mut status = None;
        for event in &events {
            let after = status_after(event["kind"].as_str().unwrap_or_default());
            let ended = status.is_some_and(|status| FINAL.contains(&status));
            ensure!(
                after.is_none() || !ended,
                "{event} came after the end: {events:#?}"
            );
            status = after.or(status);
        }
        ensure!(
            run["status"].as_str() == status,
            "the events of {run} give {status:?}: {events:#?}"
        );
        Ok(())
    }
}
