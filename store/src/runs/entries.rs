//! Log entries of tasks, kept as events.

use helmr_domain::{Event, EventKind, RunId, limits};

use super::{AppendEntries, Entry, log, transition};
use crate::db::{Tx, params, sql};
use crate::{Result, Store, events};

sql! {
    SET_ENTRIES = "UPDATE runs
        SET entries = $2, entries_cut = $3
        WHERE id = $1";

    ARE_CUT = "SELECT entries_cut
        FROM runs
        WHERE id = $1";

    COUNT_CONSUMED = "UPDATE runs
        SET consumed = consumed + 1
        WHERE id = $1";

    COUNT_GIVEN_BACK = "UPDATE runs
        SET consumed = consumed - 1
        WHERE id = $1 AND consumed > 0";
}

/// Keeps log entries as events of the run, as far as its budget goes.
///
/// # Errors
/// `Stale`.
pub async fn append_entries(store: &Store, input: AppendEntries) -> Result<()> {
    store
        .write(input, |tx, input| Box::pin(append_in(tx, input)))
        .await
}

async fn append_in(tx: &mut Tx, input: &AppendEntries) -> Result<()> {
    let run = transition::told_of(tx, input.fence).await?;
    let mut about = run.about();
    about.attempt = Some(input.fence.attempt);
    let mut kept = run.entries;
    let mut cut: bool = tx
        .one(&ARE_CUT, params![run.run.id])
        .await?
        .take("entries_cut")?;
    let mut left = log::left(tx, run.run.id).await?;
    for entry in &input.entries {
        // Told before.
        if entry.index <= kept {
            continue;
        }
        kept = entry.index;
        if cut {
            continue;
        }
        let size = weight(entry);
        if size > left {
            cut = true;
            let event = Event::new(EventKind::Log).with("entries_cut", true);
            events::append(tx, about, event, input.at).await?;
            continue;
        }
        left -= size;
        let mut event = Event::new(EventKind::Log)
            .with("level", entry.level.as_str())
            .with("message", entry.message.as_str())
            .with("logged_at", entry.logged_at.to_rfc3339());
        if let Some(fields) = &entry.fields {
            event = event.with("fields", fields.clone());
        }
        events::append(tx, about, event, input.at).await?;
    }
    if kept != run.entries {
        tx.run(&SET_ENTRIES, params![run.run.id, kept, cut]).await?;
        log::set_left(tx, run.run.id, left).await?;
    }
    Ok(())
}

/// What an entry takes of its run's budget.
fn weight(entry: &Entry) -> u64 {
    let fields = entry
        .fields
        .as_ref()
        .map_or(0, |fields| fields.to_string().len());
    let text = entry.message.len().saturating_add(fields);
    u64::try_from(text)
        .unwrap_or(u64::MAX)
        .saturating_add(limits::LOG_ENTRY_BYTES)
}

/// Notes that a run has read a record.
pub(crate) async fn count_consumed(tx: &mut Tx, run: RunId) -> Result<()> {
    tx.run(&COUNT_CONSUMED, params![run]).await.map(drop)
}

/// Notes that a run has not read a record after all.
pub(crate) async fn count_given_back(tx: &mut Tx, run: RunId) -> Result<()> {
    tx.run(&COUNT_GIVEN_BACK, params![run]).await.map(drop)
}
