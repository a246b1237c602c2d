//! Streams and records as clients and tasks see them.

use helmr_api::http::page::Page;
use helmr_api::http::streams::{Direction as Wire, Record, Stream, TranscriptRecord};
use helmr_domain::stream::Direction;
use helmr_store::streams::{Record as Row, SessionStream};

pub(crate) fn record(row: &Row) -> Record {
    Record {
        id: row.id,
        sequence: row.sequence,
        data: row.data.clone(),
        correlation_id: row.correlation_id.clone(),
        content_type: row.content_type.clone(),
        created_at: row.created_at.into(),
    }
}

/// Records have their sequence as cursor, so that reading can go on later.
pub(crate) fn page(page: &helmr_store::Page<Row, u64>) -> Page<Record> {
    Page {
        items: page.items.iter().map(record).collect(),
        next_cursor: page.next.map(|next| next.to_string()),
    }
}

/// A record among those of all streams.
pub(crate) fn transcript_record(row: &Row) -> TranscriptRecord {
    TranscriptRecord {
        position: row.position,
        direction: wire_direction(row.direction),
        stream: row.stream.to_string(),
        run_id: row.run_id,
        record: record(row),
    }
}

pub(crate) fn stream(row: &SessionStream) -> Stream {
    Stream {
        name: row.name.to_string(),
        direction: wire_direction(row.direction),
        records: row.last_sequence,
        last_record_at: row.last_record_at.map(Into::into),
        unread: row.unread,
    }
}

pub(crate) const fn wire_direction(direction: Direction) -> Wire {
    match direction {
        Direction::Input => Wire::Input,
        Direction::Output => Wire::Output,
    }
}

pub(crate) const fn direction(direction: Wire) -> Direction {
    match direction {
        Wire::Input => Direction::Input,
        Wire::Output => Direction::Output,
    }
}
