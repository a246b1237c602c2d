//! The transcript of a session, and lists that are bounded by weight.

use std::sync::Arc;

use anyhow::Result;
use helmr_domain::stream::Direction;
use helmr_store::idempotency::{Origin, TaskCall};
use helmr_store::streams::{self, AppendOutput, ListTranscript, NewRecord, Record};
use serde_json::{Value, json};

use crate::on_both;
use crate::world::{Live, World, fresh};

async fn append(world: &World, live: &Live, call_no: u64, data: Value) -> Result<Record> {
    let input = AppendOutput {
        at: world.at(),
        scope: world.scope,
        session: live.session,
        record: NewRecord {
            stream: "events".parse()?,
            data,
            correlation_id: None,
            content_type: "application/json".to_owned(),
            idempotency_key: None,
        },
        origin: Origin::Task(TaskCall {
            fence: live.fence,
            call_no,
            sealed: None,
            answer: Arc::new(|sent: &streams::Sent| json!(sent.record.sequence)),
        }),
    };
    Ok(fresh(streams::append_output(&world.store, input).await?)?.record)
}

fn all(live: &Live) -> ListTranscript {
    ListTranscript {
        session: live.session,
        direction: None,
        stream: None,
        correlation_id: None,
        after: 0,
        limit: 100,
    }
}

on_both! {
    async fn input_and_output_are_read_in_the_order_in_which_they_came(world) {
        let live = world.live("plain").await?;
        world.send(live.session, &json!("hello"), Some("a")).await?;
        append(&world, &live, 1, json!("hi")).await?;
        append(&world, &live, 2, json!("what can I do?")).await?;
        world.send(live.session, &json!("nothing"), None).await?;
        let page = streams::transcript(&world.store, world.scope, all(&live)).await?;
        let told: Vec<_> = page
            .items
            .iter()
            .map(|record| (record.position, record.direction, record.sequence, record.data.clone()))
            .collect();
        assert_eq!(told, [
            (1, Direction::Input, 1, json!("hello")),
            (2, Direction::Output, 1, json!("hi")),
            (3, Direction::Output, 2, json!("what can I do?")),
            (4, Direction::Input, 2, json!("nothing")),
        ]);
        assert!(page.items.iter().all(|record| record.run_id == Some(live.run)));
        let some = ListTranscript { after: 1, limit: 2, ..all(&live) };
        let page = streams::transcript(&world.store, world.scope, some).await?;
        assert_eq!((page.items.len(), page.next), (2, Some(3)));
        for (which, positions) in [
            (ListTranscript { direction: Some(Direction::Input), ..all(&live) }, vec![1, 4]),
            (ListTranscript { stream: Some("events".parse()?), ..all(&live) }, vec![2, 3]),
            (ListTranscript { correlation_id: Some("a".to_owned()), ..all(&live) }, vec![1]),
        ] {
            let page = streams::transcript(&world.store, world.scope, which).await?;
            let found: Vec<_> = page.items.iter().map(|record| record.position).collect();
            assert_eq!(found, positions);
        }
    }

    async fn writers_at_once_get_positions_without_a_gap(world) {
        let live = world.live("plain").await?;
        let input = async {
            for at in 0..10 {
                world.send(live.session, &json!(at), None).await?;
            }
            anyhow::Ok(())
        };
        let output = async {
            for at in 0..10 {
                append(&world, &live, at + 1, json!(at)).await?;
            }
            anyhow::Ok(())
        };
        let (input, output) = tokio::join!(input, output);
        input?;
        output?;
        let page = streams::transcript(&world.store, world.scope, all(&live)).await?;
        assert!(page.items.iter().map(|record| record.position).eq(1..=20));
        for direction in [Direction::Input, Direction::Output] {
            let of = page.items.iter().filter(|record| record.direction == direction);
            assert!(of.map(|record| record.sequence).eq(1..=10));
        }
    }

    async fn a_page_weighs_no_more_than_a_few_large_records(world) {
        let live = world.live("plain").await?;
        let large = json!("x".repeat(1 << 20));
        for _ in 0..7 {
            world.send(live.session, &large, None).await?;
        }
        let (mut after, mut pages, mut seen) = (Some(0), 0, 0);
        while let Some(place) = after {
            let list = streams::ListRecords {
                session: live.session,
                direction: Direction::Input,
                stream: "messages".parse()?,
                correlation_id: None,
                after: place,
                limit: 200,
            };
            let page = streams::list_records(&world.store, world.scope, list).await?;
            assert!((1..=3).contains(&page.items.len()), "{}", page.items.len());
            assert!(page.items.iter().map(|record| record.sequence).eq(seen + 1..=seen + page.items.len() as u64));
            seen += page.items.len() as u64;
            pages += 1;
            after = page.next;
        }
        assert_eq!(seen, 7);
        assert!(pages >= 3);
        let transcript = streams::transcript(&world.store, world.scope, all(&live)).await?;
        assert!(transcript.items.len() <= 3 && transcript.next.is_some());
        let peeked = world.unread(live.session).await?;
        assert!((1..=3).contains(&peeked.len()), "{}", peeked.len());
    }
}
