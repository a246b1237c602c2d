//! What runs print and log: kept by offset, between characters, within one budget.

use anyhow::Result;
use helmr_domain::{Duration, Failure, FailureKind, Refusal};
use helmr_store::runs::{
    AppendEntries, AppendLog, Entry, Log, LogStream, Sealed, append_entries, append_log,
    log_position, read_log,
};
use helmr_store::worker::Finished;
use helmr_store::{Error, runs};
use serde_json::json;

use crate::on_both;
use crate::world::{Live, World};

const BUDGET: u64 = 64 * 1024 * 1024;
const OUT: LogStream = LogStream::Stdout;
const ERR: LogStream = LogStream::Stderr;

/// Output in two parts, as sizes: what is kept, and what is held back.
#[derive(Clone, Copy)]
struct Bytes {
    offset: u64,
    size: u64,
    kept: u64,
    tail: u64,
}

/// Output that is kept whole.
fn whole(offset: u64, size: u64) -> Bytes {
    Bytes {
        offset,
        size,
        kept: size,
        tail: 0,
    }
}

fn sealed(size_bytes: u64) -> Option<Sealed> {
    (size_bytes > 0).then(|| Sealed {
        size_bytes,
        sealed: vec![7; 3],
    })
}

async fn append(
    world: &World,
    live: &Live,
    stream: LogStream,
    bytes: Bytes,
) -> helmr_store::Result<()> {
    let input = AppendLog {
        at: world.at(),
        fence: live.fence,
        stream,
        offset: bytes.offset,
        size_bytes: bytes.size,
        kept: sealed(bytes.kept),
        tail: sealed(bytes.tail),
    };
    append_log(&world.store, input).await
}

async fn read(world: &World, live: &Live, stream: LogStream, offset: u64) -> Result<Log> {
    Ok(read_log(&world.store, world.scope, live.run, stream, offset, 10).await?)
}

fn ranges(log: &Log) -> Vec<(u64, u64)> {
    let segments = log.segments.iter();
    segments
        .map(|segment| (segment.offset, segment.size_bytes))
        .collect()
}

async fn log_entries(world: &World, live: &Live, entries: Vec<Entry>) -> Result<()> {
    let input = AppendEntries {
        at: world.at(),
        fence: live.fence,
        entries,
    };
    Ok(append_entries(&world.store, input).await?)
}

fn entry(world: &World, index: u64, message: String) -> Entry {
    Entry {
        index,
        level: "info".to_owned(),
        message,
        fields: Some(json!({ "n": index })),
        logged_at: world.now(),
    }
}

async fn told(world: &World, live: &Live, attribute: &str) -> Result<Vec<serde_json::Value>> {
    let events = runs::events(&world.store, world.scope, live.run, 0, 1_000).await?;
    let found = events
        .iter()
        .filter_map(|event| event.attributes.get(attribute));
    Ok(found.cloned().collect())
}

async fn next_attempt(world: &World, live: &Live) -> Result<Live> {
    let failure = Failure::new(FailureKind::TaskError, "once");
    world.finish(live, Finished::Failed(failure)).await?;
    world.advance(Duration::from_secs(1));
    let placed = world.place().await?;
    world.on(&world.run(live.run).await?, &placed[0]).await
}

on_both! {
    async fn output_is_kept_by_offset_once(world) {
        let live = world.live("retried").await?;
        for (offset, size) in [(0, 10), (0, 10), (10, 5), (3, 7)] {
            append(&world, &live, OUT, whole(offset, size)).await?;
        }
        let refused = append(&world, &live, OUT, whole(20, 5)).await;
        assert!(
            matches!(refused, Err(Error::Refused(Refusal::LogOutOfStep { expected: 15 }))),
            "{refused:?}"
        );
        let position = log_position(&world.store, live.run, 1, OUT).await?;
        assert_eq!((position.received_bytes, position.left_bytes), (15, BUDGET - 15));
        // The next attempt begins where the last one ended.
        let again = next_attempt(&world, &live).await?;
        append(&world, &again, OUT, whole(0, 7)).await?;
        let log = read(&world, &live, OUT, 12).await?;
        assert_eq!(ranges(&log), [(10, 5), (15, 7)]);
        assert_eq!((log.received_bytes, log.cut_at), (22, None));
        assert!(read(&world, &live, ERR, 0).await?.segments.is_empty());
    }

    async fn a_characters_beginning_waits_for_its_end(world) {
        let live = world.live("plain").await?;
        append(&world, &live, OUT, Bytes { offset: 0, size: 10, kept: 8, tail: 2 }).await?;
        let position = log_position(&world.store, live.run, 1, OUT).await?;
        assert_eq!((position.received_bytes, position.tail.map(|tail| tail.size_bytes)), (10, Some(2)));
        assert_eq!(ranges(&read(&world, &live, OUT, 0).await?), [(0, 8)]);
        // With what was held back there are five.
        append(&world, &live, OUT, Bytes { offset: 10, size: 3, kept: 5, tail: 0 }).await?;
        let log = read(&world, &live, OUT, 0).await?;
        assert_eq!((ranges(&log), log.received_bytes), (vec![(0, 8), (8, 5)], 13));
    }

    async fn what_is_held_back_stands_alone_at_the_end_of_its_attempt(world) {
        let live = world.live("retried").await?;
        append(&world, &live, OUT, Bytes { offset: 0, size: 3, kept: 1, tail: 2 }).await?;
        append(&world, &live, ERR, Bytes { offset: 0, size: 1, kept: 0, tail: 1 }).await?;
        let again = next_attempt(&world, &live).await?;
        let log = read(&world, &live, OUT, 0).await?;
        assert_eq!(ranges(&log), [(0, 1), (1, 2)]);
        assert_eq!(ranges(&read(&world, &live, ERR, 0).await?), [(0, 1)]);
        // What comes when nothing more is waited for is held back no longer.
        world.succeed(&again).await?;
        append(&world, &again, OUT, Bytes { offset: 0, size: 3, kept: 1, tail: 2 }).await?;
        assert_eq!(ranges(&read(&world, &live, OUT, 3).await?), [(3, 1), (4, 2)]);
    }

    async fn one_budget_holds_for_output_and_entries_together(world) {
        let live = world.live("retried").await?;
        append(&world, &live, ERR, whole(0, 50)).await?;
        // 21 bytes of text and fields, and 100 for being an entry.
        log_entries(&world, &live, vec![entry(&world, 1, "fourteen bytes".to_owned())]).await?;
        let left = BUDGET - 50 - 121;
        let position = log_position(&world.store, live.run, 1, OUT).await?;
        assert_eq!(position.left_bytes, left);
        let over = append(&world, &live, OUT, whole(0, left + 1)).await;
        assert!(
            matches!(over, Err(Error::Refused(Refusal::LogOverBudget { left: known })) if known == left),
            "{over:?}"
        );
        // Cut to the byte, but for a character.
        append(&world, &live, OUT, Bytes { offset: 0, size: left + 10, kept: left - 1, tail: 0 }).await?;
        append(&world, &live, OUT, Bytes { offset: left + 10, size: 5, kept: 0, tail: 0 }).await?;
        append(&world, &live, ERR, Bytes { offset: 50, size: 5, kept: 0, tail: 0 }).await?;
        let out = read(&world, &live, OUT, 0).await?;
        assert_eq!((out.received_bytes, out.cut_at), (left + 15, Some(left - 1)));
        let err = read(&world, &live, ERR, 0).await?;
        assert_eq!((err.received_bytes, err.cut_at), (55, Some(50)));
        // Each stream says it once, and so do the entries.
        for index in 2..5 {
            log_entries(&world, &live, vec![entry(&world, index, "no more".to_owned())]).await?;
        }
        assert_eq!(told(&world, &live, "cut_at").await?, [json!(left - 1), json!(50)]);
        assert_eq!(told(&world, &live, "entries_cut").await?, [json!(true)]);
        // The next attempt has no budget of its own.
        let again = next_attempt(&world, &live).await?;
        let position = log_position(&world.store, live.run, 2, OUT).await?;
        assert_eq!((position.received_bytes, position.left_bytes), (0, 0));
        append(&world, &again, OUT, Bytes { offset: 0, size: 5, kept: 0, tail: 0 }).await?;
        let out = read(&world, &live, OUT, 0).await?;
        assert_eq!((out.received_bytes, out.cut_at), (left + 20, Some(left - 1)));
    }

    async fn what_is_held_back_is_not_kept_beyond_the_budget(world) {
        let live = world.live("retried").await?;
        let begun = Bytes { offset: 0, size: 10, kept: 8, tail: 2 };
        append(&world, &live, OUT, begun).await?;
        // The rest of the budget goes to the other stream while the character waits for its end.
        append(&world, &live, ERR, whole(0, BUDGET - 8)).await?;
        let next = next_attempt(&world, &live).await?;
        let log = read(&world, &next, OUT, 0).await?;
        assert_eq!((ranges(&log), log.cut_at, log.received_bytes), (vec![(0, 8)], Some(8), 10));
        let position = log_position(&world.store, next.run, 1, OUT).await?;
        assert_eq!((position.left_bytes, position.tail), (0, None));
        assert_eq!(told(&world, &next, "cut_at").await?, [json!(8)]);
    }

    async fn log_entries_are_events_once(world) {
        let live = world.live("plain").await?;
        for indexes in [vec![1, 2], vec![2, 3]] {
            let entries = indexes.into_iter().map(|index| entry(&world, index, format!("entry {index}")));
            log_entries(&world, &live, entries.collect()).await?;
        }
        let messages = told(&world, &live, "message").await?;
        assert_eq!(messages, ["entry 1", "entry 2", "entry 3"]);
    }
}
