//! Streams and their records.

use helmr_api::http::streams::{Direction, Record, RecordAnswer, Stream, TranscriptRecord};

use super::{ago, compact, word};
use crate::style::{Paint, Style};
use crate::table::Table;

/// The streams of a session, under its properties.
pub(crate) fn lanes(streams: &[Stream], style: Style) -> String {
    if streams.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["STREAM", "DIRECTION", "RECORDS", "UNREAD", "LAST"]);
    for stream in streams {
        table.row([
            stream.name.clone(),
            word(&stream.direction),
            stream.records.to_string(),
            unread(stream),
            stream.last_record_at.map(ago).unwrap_or_default(),
        ]);
    }
    format!("\n{}", table.render(style))
}

/// Said instead of an empty list.
pub(crate) const NOTHING: &str = "No records.";

pub(crate) fn records(records: &[Record], style: Style) -> String {
    records.iter().map(|record| one(record, style)).collect()
}

pub(crate) fn sent(answer: &RecordAnswer, style: Style) -> String {
    let mut text = one(&answer.record, style);
    if let Some(run) = answer.started_run_id {
        text.push_str(&format!("      started {run}\n"));
    }
    text
}

/// Output is read by whoever wants to, so there is no such count.
fn unread(stream: &Stream) -> String {
    match stream.direction {
        Direction::Input => stream.unread.to_string(),
        Direction::Output => String::new(),
    }
}

/// `3  2026-06-01T00:00:00.250Z  {"text":"continue"}`.
pub(crate) fn one(record: &Record, style: Style) -> String {
    line(record.sequence, "", record, style)
}

pub(crate) fn transcript(records: &[TranscriptRecord], style: Style) -> String {
    records.iter().map(|record| said(record, style)).collect()
}

/// `3  2026-06-01T00:00:00.250Z  > inbox  {"text":"continue"}`: `>` to the task, `<` from it.
pub(crate) fn said(said: &TranscriptRecord, style: Style) -> String {
    let way = match said.direction {
        Direction::Input => '>',
        Direction::Output => '<',
    };
    let lane = format!("  {way} {}", said.stream);
    line(said.position, &lane, &said.record, style)
}

fn line(number: u64, lane: &str, record: &Record, style: Style) -> String {
    let place = style.paint(Paint::Faint, &format!("{number:>4}  {}", record.created_at));
    let addressed = match &record.correlation_id {
        Some(id) => format!("  {}", style.paint(Paint::Note, &format!("[{id}]"))),
        None => String::new(),
    };
    format!("{place}{lane}{addressed}  {}\n", compact(&record.data))
}
