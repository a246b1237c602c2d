//! Output of runs: cut between characters and sealed with the environment's key before it is kept, opened when it is read.

mod pieces;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helmr_api::error::Code;
use helmr_api::worker;
use helmr_domain::{Refusal, RunId, Timestamp};
use helmr_store::runs::{self, AppendEntries, AppendLog, Entry, LogStream, Sealed};
use helmr_store::worker::RunFence;

use crate::state::Environment;
use crate::{ApiError, Control};

/// Of one piece: a row of the store.
const PIECE: usize = 64 << 10;
/// How often output is cut anew because the run's other output took the place meanwhile.
const ATTEMPTS: usize = 16;
const LEVEL_CHARACTERS: usize = 16;
const MESSAGE_BYTES: usize = 64 << 10;
const FIELDS_BYTES: usize = 64 << 10;

/// What a piece of output belongs to: it opens only there.
fn context(run: &str, stream: LogStream) -> [&[u8]; 3] {
    let name: &[u8] = match stream {
        LogStream::Stdout => b"stdout",
        LogStream::Stderr => b"stderr",
    };
    [b"run output", run.as_bytes(), name]
}

/// Keeps what a run printed and logged. What was received before changes nothing.
///
/// # Errors
/// `stale_lease`; `invalid_state` for output that leaves a gap.
pub(crate) async fn receive(
    control: &Control,
    environment: &Environment,
    fence: RunFence,
    output: worker::Output,
) -> Result<(), ApiError> {
    for segment in output.segments {
        let stream = match segment.stream.as_str() {
            "stdout" => LogStream::Stdout,
            "stderr" => LogStream::Stderr,
            _ => return Err(malformed("stream is stdout or stderr")),
        };
        let bytes = STANDARD
            .decode(&segment.data)
            .map_err(|_| malformed("data is base64"))?;
        append(control, environment, fence, stream, segment.offset, &bytes).await?;
    }
    if output.entries.is_empty() {
        return Ok(());
    }
    let input = AppendEntries {
        at: control.moment()?,
        fence,
        entries: output.entries.into_iter().map(entry).collect(),
    };
    Ok(runs::append_entries(&control.store, input).await?)
}

/// Output of one attempt, as the store is asked to keep it.
struct Output<'a> {
    environment: &'a Environment,
    fence: RunFence,
    stream: LogStream,
}

async fn append(
    control: &Control,
    environment: &Environment,
    fence: RunFence,
    stream: LogStream,
    offset: u64,
    bytes: &[u8],
) -> Result<(), ApiError> {
    let output = Output {
        environment,
        fence,
        stream,
    };
    for _ in 0..ATTEMPTS {
        if output.append(control, offset, bytes).await? == Appended::Whole {
            return Ok(());
        }
    }
    Err(ApiError::internal_text(
        "a piece of output does not fit, however it is cut",
    ))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Appended {
    Whole,
    /// Something else of the run took what was left meanwhile: the rest is to be cut anew.
    NotAll,
}

impl Output<'_> {
    async fn append(
        &self,
        control: &Control,
        offset: u64,
        bytes: &[u8],
    ) -> Result<Appended, ApiError> {
        let (store, fence) = (&control.store, self.fence);
        let position = runs::log_position(store, fence.run_id, fence.attempt, self.stream).await?;
        // A repeat may overlap what is there.
        let overlap = position.received_bytes.saturating_sub(offset);
        let known = usize::try_from(overlap).unwrap_or(usize::MAX);
        let fresh = bytes.get(known..).unwrap_or_default();
        let mut offset = offset.saturating_add(overlap);
        let mut left = usize::try_from(position.left_bytes).unwrap_or(usize::MAX);
        let mut waiting = match &position.tail {
            Some(tail) => open(self.environment, fence.run_id, self.stream, &tail.sealed)?,
            None => Vec::new(),
        };
        let mut rest = fresh;
        while !rest.is_empty() {
            let (new, after) = rest.split_at(rest.len().min(PIECE));
            waiting.extend_from_slice(new);
            let cut = pieces::cut(&waiting, left);
            let input = AppendLog {
                at: control.moment()?,
                fence,
                stream: self.stream,
                offset,
                size_bytes: new.len() as u64,
                kept: self.seal(&waiting[..cut.kept])?,
                tail: self.seal(&waiting[cut.kept..cut.kept + cut.tail])?,
            };
            match runs::append_log(store, input).await {
                Ok(()) => {}
                Err(helmr_store::Error::Refused(Refusal::LogOverBudget { .. })) => {
                    return Ok(Appended::NotAll);
                }
                Err(error) => return Err(error.into()),
            }
            let is_cut = cut.kept + cut.tail < waiting.len();
            left = if is_cut { 0 } else { left - cut.kept };
            waiting.drain(..cut.kept);
            waiting.truncate(cut.tail);
            offset = offset.saturating_add(new.len() as u64);
            rest = after;
        }
        Ok(Appended::Whole)
    }

    /// Seals a part of it, if there is any.
    fn seal(&self, bytes: &[u8]) -> Result<Option<Sealed>, ApiError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let run = self.fence.run_id.to_string();
        let sealed = self
            .environment
            .keys
            .seal_value(&context(&run, self.stream), bytes)
            .map_err(|error| ApiError::internal(&error))?;
        Ok(Some(Sealed {
            size_bytes: bytes.len() as u64,
            sealed,
        }))
    }
}

/// Opens a piece that was kept.
///
/// # Errors
/// If it was sealed for something else or changed.
pub(crate) fn open(
    environment: &Environment,
    run: RunId,
    stream: LogStream,
    sealed: &[u8],
) -> Result<Vec<u8>, ApiError> {
    let run = run.to_string();
    environment
        .keys
        .open_value(&context(&run, stream), sealed)
        .map(|bytes| bytes.to_vec())
        .map_err(|error| ApiError::internal(&error))
}

/// Task code writes entries: each is cut to what is kept of one.
fn entry(entry: worker::LogEntry) -> Entry {
    let fields = entry
        .fields
        .filter(|fields| fields.to_string().len() <= FIELDS_BYTES);
    Entry {
        index: entry.index,
        level: entry.level.chars().take(LEVEL_CHARACTERS).collect(),
        message: cut(entry.message),
        fields,
        logged_at: Timestamp::from_micros(entry.at_us),
    }
}

fn cut(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES {
        let end = (0..=MESSAGE_BYTES)
            .rev()
            .find(|at| message.is_char_boundary(*at))
            .unwrap_or(0);
        message.truncate(end);
        message.push('\u{2026}');
    }
    message
}

fn malformed(why: &str) -> ApiError {
    ApiError::new(Code::InvalidBody, format!("the output is malformed: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let cut = cut("\u{20ac}".repeat(MESSAGE_BYTES));
        assert!(cut.len() <= MESSAGE_BYTES + 3 && cut.ends_with('\u{2026}'));
    }
}
