//! Records, appended.

use helmr_domain::stream::Direction;
use helmr_domain::{
    CanonicalJson, Event, EventKind, Moment, RecordId, Refusal, RunId, session::State,
};

use super::row;
use super::{AppendOutput, NewRecord, Record, SendInput, Sent};
use crate::db::Tx;
use crate::idempotency::{self, Kept, Origin};
use crate::sessions::{self, Next, SessionRow};
use crate::{Error, Hint, Result, Store, events, public_tokens, wait};

/// Appends to an input stream. A wait that matches has its outcome; an open session without a run starts the next one.
///
/// # Errors
/// `NotFound`; `Refused`: `SessionNotOpen`, `StreamUnknown`, `RecordKeyReused`, `PublicTokenSpent`, `IdempotencyKeyReused`.
pub async fn send_input(store: &Store, input: SendInput) -> Result<Kept<Sent>> {
    store
        .write(input, |tx, input| Box::pin(send_in(tx, input)))
        .await
}

async fn send_in(tx: &mut Tx, input: &SendInput) -> Result<Kept<Sent>> {
    let (scope, at) = (input.scope, input.at);
    let origin = Origin::Client(input.idempotency.clone());
    if let Some(kept) = idempotency::replayed(tx, scope, &origin, at).await? {
        return Ok(kept);
    }
    let mut session = sessions::find(tx, input.session)
        .await?
        .filter(|found| found.session.scope == scope)
        .ok_or(Error::NotFound("session"))?;
    if let Some(record) = existing(tx, &session, Direction::Input, &input.record).await? {
        return Ok(Kept::Fresh(Sent {
            record,
            existed: true,
        }));
    }
    check_open(&session, at)?;
    if let Some(id) = input.public_token {
        public_tokens::spend(tx, id, at).await?;
    }
    let runs = match session.session.active_run {
        Some(active) => Runs::Active(active),
        None => Runs::Started(at.ids().make(RunId::new)),
    };
    let record = append(tx, &session, Direction::Input, &input.record, runs, at).await?;
    wait::offer_record(tx, session.session.id, &record, at).await?;
    if let Runs::Started(id) = runs {
        let next = Next {
            id,
            reason: "input",
            provenance: &serde_json::Value::Null,
        };
        sessions::create_run(tx, &mut session, next, at).await?;
    }
    let sent = Sent {
        record,
        existed: false,
    };
    idempotency::keep(tx, scope, origin, sent, at).await
}

/// Appends to an output stream.
///
/// # Errors
/// `NotFound`, `Stale`; `Refused`: `SessionNotOpen`, `StreamUnknown`, `RecordKeyReused`.
pub async fn append_output(store: &Store, input: AppendOutput) -> Result<Kept<Sent>> {
    store
        .write(input, |tx, input| Box::pin(append_in(tx, input)))
        .await
}

async fn append_in(tx: &mut Tx, input: &AppendOutput) -> Result<Kept<Sent>> {
    let (scope, at) = (input.scope, input.at);
    if let Some(kept) = idempotency::replayed(tx, scope, &input.origin, at).await? {
        return Ok(kept);
    }
    let session = sessions::find(tx, input.session)
        .await?
        .filter(|found| found.session.scope == scope)
        .ok_or(Error::NotFound("session"))?;
    let runs = match &input.origin {
        // A task writes to its own session, and to the end of its attempt, whatever became of the session.
        Origin::Task(call) => {
            if session.session.active_run != Some(call.fence.run_id) {
                return Err(Error::NotFound("session"));
            }
            Runs::Active(call.fence.run_id)
        }
        Origin::Client(_) => {
            check_open(&session, at)?;
            Runs::None
        }
    };
    let sent = match existing(tx, &session, Direction::Output, &input.record).await? {
        Some(record) => Sent {
            record,
            existed: true,
        },
        None => Sent {
            record: append(tx, &session, Direction::Output, &input.record, runs, at).await?,
            existed: false,
        },
    };
    idempotency::keep(tx, scope, input.origin.clone(), sent, at).await
}

fn check_open(session: &SessionRow, at: Moment) -> Result<()> {
    if session.session.state == State::Open && !session.is_due(at) {
        Ok(())
    } else {
        Err(Refusal::SessionNotOpen.into())
    }
}

/// The record that was appended under the same key.
async fn existing(
    tx: &mut Tx,
    session: &SessionRow,
    direction: Direction,
    new: &NewRecord,
) -> Result<Option<Record>> {
    let Some(key) = &new.idempotency_key else {
        return Ok(None);
    };
    let found = row::find_by_key(tx, session.session.id, direction, &new.stream, key).await?;
    match found {
        Some(record) if is_same(&record, new) => Ok(Some(record)),
        Some(_) => Err(Refusal::RecordKeyReused.into()),
        None => Ok(None),
    }
}

/// Data is compared in its canonical form: `1` and `1.0` are one number.
fn is_same(record: &Record, new: &NewRecord) -> bool {
    let canonical = |data| CanonicalJson::try_from(data).ok();
    record.correlation_id == new.correlation_id
        && (record.data == new.data || canonical(&record.data) == canonical(&new.data))
}

/// The run that a record has to do with.
#[derive(Clone, Copy)]
enum Runs {
    None,
    /// It was active when the record came.
    Active(RunId),
    /// The record starts it.
    Started(RunId),
}

async fn append(
    tx: &mut Tx,
    session: &SessionRow,
    direction: Direction,
    new: &NewRecord,
    runs: Runs,
    at: Moment,
) -> Result<Record> {
    let (id, scope) = (session.session.id, session.session.scope);
    let sequence = row::next_sequence(tx, scope, id, direction, &new.stream).await?;
    // A stream that has records was declared when the first one came.
    let task = session.session.task_row_id;
    if sequence == 1 && !row::is_declared(tx, task, direction, &new.stream).await? {
        let stream = new.stream.to_string();
        return Err(Refusal::StreamUnknown { stream }.into());
    }
    let (run_id, started_run) = match runs {
        Runs::None => (None, None),
        Runs::Active(run) => (Some(run), None),
        Runs::Started(run) => (None, Some(run)),
    };
    let record = Record {
        id: at.ids().make(RecordId::new),
        session_id: id,
        direction,
        stream: new.stream.clone(),
        sequence,
        position: sessions::next_position(tx, id).await?,
        run_id,
        started_run,
        data: new.data.clone(),
        correlation_id: new.correlation_id.clone(),
        content_type: new.content_type.clone(),
        created_at: at.now,
    };
    row::insert(tx, scope, &record, new.idempotency_key.as_deref()).await?;
    let kind = match direction {
        Direction::Input => EventKind::StreamInput,
        Direction::Output => EventKind::StreamOutput,
    };
    let mut event = Event::new(kind)
        .with("stream", record.stream.as_str())
        .with("sequence", record.sequence)
        .with("record_id", record.id.to_string());
    if let Some(correlation) = &record.correlation_id {
        event = event.with("correlation_id", correlation.as_str());
    }
    let mut about = session.about();
    if let Some(run) = run_id {
        about.subject = crate::Subject::Run(run);
        about.run = Some(run);
    }
    events::append(tx, about, event, at).await?;
    tx.hint(Hint::Records {
        session: id,
        direction,
        stream: record.stream.clone(),
    });
    Ok(record)
}
