//! Output of runs: sealed with the environment's key before it is kept, opened when it is read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helmr_api::error::Code;
use helmr_api::worker;
use helmr_domain::{RunId, Timestamp};
use helmr_store::runs::{self, AppendEntries, AppendLog, Entry, LogStream};
use helmr_store::worker::RunFence;

use crate::state::Environment;
use crate::{ApiError, Control};

/// Of one piece: a row of the store.
const PIECE: usize = 64 << 10;
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

async fn append(
    control: &Control,
    environment: &Environment,
    fence: RunFence,
    stream: LogStream,
    offset: u64,
    bytes: &[u8],
) -> Result<(), ApiError> {
    let run = fence.run_id.to_string();
    let received = runs::log_position(&control.store, fence.run_id, fence.attempt, stream).await?;
    // A repeat may overlap what is there.
    let overlap = received.saturating_sub(offset);
    let known = usize::try_from(overlap).unwrap_or(usize::MAX);
    let mut rest = bytes.get(known..).unwrap_or_default();
    let mut offset = offset.saturating_add(overlap);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(PIECE));
        let input = AppendLog {
            at: control.moment()?,
            fence,
            stream,
            offset,
            size_bytes: piece.len() as u64,
            sealed: environment
                .keys
                .seal_value(&context(&run, stream), piece)
                .map_err(|error| ApiError::internal(&error))?,
        };
        runs::append_log(&control.store, input).await?;
        offset = offset.saturating_add(piece.len() as u64);
        rest = after;
    }
    Ok(())
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
