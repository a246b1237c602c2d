//! Streams of a session: declared, checked, ordered.

use anyhow::Result;
use serde_json::json;

use crate::fixture::{deployed, start};

#[tokio::test]
async fn input_is_checked_numbered_and_listed() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "answer" })).await?;
    let path = format!("/api/v1/sessions/{session}/inputs/inbox");
    for (at, correlation) in [(1, Some("a")), (2, None), (3, Some("a"))] {
        let body = json!({ "data": { "text": "t", "at": at }, "correlation_id": correlation });
        let answer = server.post(&path, &body).await?.ok();
        assert_eq!(
            (answer.status.as_u16(), &answer.body["record"]["sequence"]),
            (201, &json!(at))
        );
    }
    let page = server.get(&format!("{path}?limit=2")).await?.ok().body;
    assert_eq!(page["next_cursor"], "2");
    let rest = server.get(&format!("{path}?cursor=2")).await?.ok().body;
    assert_eq!(
        (&rest["items"][0]["sequence"], &rest["next_cursor"]),
        (&json!(3), &json!(null))
    );
    let only = server
        .get(&format!("{path}?correlation_id=a"))
        .await?
        .ok()
        .body;
    assert_eq!(only["items"].as_array().map(Vec::len), Some(2));

    let streams = server
        .get(&format!("/api/v1/sessions/{session}/streams"))
        .await?
        .ok()
        .body;
    let inbox = streams["items"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|stream| stream["name"] == "inbox");
    assert_eq!(
        inbox.map(|inbox| (
            &inbox["direction"],
            &inbox["records"],
            inbox["last_record_at"].is_string()
        )),
        Some((&json!("input"), &json!(3), true)),
        "{streams}"
    );
    Ok(())
}

#[tokio::test]
async fn records_that_do_not_fit_are_refused() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "answer" })).await?;
    let path = format!("/api/v1/sessions/{session}/inputs/inbox");
    let details = server
        .post(&path, &json!({ "data": {} }))
        .await?
        .refused(422, "record_invalid");
    assert_eq!(details["path"], "text");
    server
        .post(&path, &json!({}))
        .await?
        .refused(400, "invalid_body");
    let large = json!({ "data": { "text": "x".repeat(1 << 20) } });
    server
        .post(&path, &large)
        .await?
        .refused(413, "record_too_large");
    let odd = json!({ "data": { "text": "t" }, "correlation_id": "" });
    server
        .post(&path, &odd)
        .await?
        .refused(400, "limit_exceeded");
    let output = format!("/api/v1/sessions/{session}/inputs/out");
    server
        .post(&output, &json!({ "data": 1 }))
        .await?
        .refused(404, "stream_not_found");
    server.get(&output).await?.refused(404, "stream_not_found");
    let missing = "/api/v1/sessions/ses_00000000000000000000000000/inputs/inbox";
    server
        .post(missing, &json!({ "data": { "text": "t" } }))
        .await?
        .refused(404, "session_not_found");
    Ok(())
}

#[tokio::test]
async fn the_same_record_key_gives_the_first_record() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "answer" })).await?;
    let path = format!("/api/v1/sessions/{session}/inputs/inbox");
    let body = json!({ "data": { "text": "once" }, "idempotency_key": "k" });
    let first = server.post(&path, &body).await?.ok();
    let again = server.post(&path, &body).await?.ok();
    assert_eq!(again.body["record"], first.body["record"]);
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let other = json!({ "data": { "text": "twice" }, "idempotency_key": "k" });
    server
        .post(&path, &other)
        .await?
        .refused(409, "idempotency_key_reused");
    let key = [("Idempotency-Key", "h")];
    let body = json!({ "data": { "text": "by header" } });
    let first = server.post_with(&path, &body, &key).await?.ok();
    let again = server.post_with(&path, &body, &key).await?.ok();
    assert_eq!(again.body["record"], first.body["record"]);
    Ok(())
}

#[tokio::test]
async fn a_session_that_ended_takes_no_input_and_can_still_be_read() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "answer" })).await?;
    let path = format!("/api/v1/sessions/{session}/inputs/inbox");
    server
        .post(&path, &json!({ "data": { "text": "t" } }))
        .await?
        .ok();
    server
        .post(&format!("/api/v1/sessions/{session}/cancel"), &json!({}))
        .await?
        .ok();
    server
        .post(&path, &json!({ "data": { "text": "t" } }))
        .await?
        .refused(409, "session_ended");
    let page = server.get(&path).await?.ok().body;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test]
async fn a_name_means_to_each_task_what_that_task_declares() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (answer, _) = start(server, &json!({ "task": "answer" })).await?;
    let (orders, _) = start(server, &json!({ "task": "orders" })).await?;
    let inbox = |session: &str| format!("/api/v1/sessions/{session}/inputs/inbox");
    let (text, amount) = (json!({ "text": "t" }), json!({ "amount": 3 }));
    for (session, good, bad, field) in [
        (&answer, &text, &amount, "text"),
        (&orders, &amount, &text, "amount"),
    ] {
        server
            .post(&inbox(session), &json!({ "data": good }))
            .await?
            .ok();
        let details = server
            .post(&inbox(session), &json!({ "data": bad }))
            .await?
            .refused(422, "record_invalid");
        assert_eq!(details["path"], field);
    }
    let details = server
        .post(&inbox(&orders), &json!({ "data": { "amount": "3" } }))
        .await?
        .refused(422, "record_invalid");
    assert_eq!(details["path"], "amount");
    // A stream of another task is none of this session's.
    let other = format!("/api/v1/sessions/{answer}/inputs/cancellations");
    server
        .post(&other, &json!({ "data": 1 }))
        .await?
        .refused(404, "stream_not_found");
    server.get(&other).await?.refused(404, "stream_not_found");
    let output = format!("/api/v1/sessions/{orders}/outputs/out");
    server.get(&output).await?.refused(404, "stream_not_found");
    Ok(())
}

#[tokio::test]
async fn the_catalogue_tells_what_a_task_declares() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let task = server.get("/api/v1/tasks/orders").await?.ok().body;
    assert_eq!(
        task["task"]["streams"],
        json!([
            { "name": "cancellations", "direction": "input", "schema": {} },
            { "name": "inbox", "direction": "input", "schema": {
                "type": "object", "properties": { "amount": { "type": "integer" } }, "required": ["amount"] } },
            { "name": "receipts", "direction": "output", "schema": {
                "type": "object", "properties": { "total": { "type": "number" } }, "required": ["total"] } },
        ])
    );
    let listed = server.get("/api/v1/tasks?limit=2").await?.ok().body;
    let names = listed["items"][1]["streams"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|stream| stream["name"].as_str().unwrap_or_default());
    assert_eq!(names.collect::<Vec<_>>(), ["inbox", "out"]);
    Ok(())
}

#[tokio::test]
async fn a_record_key_belongs_to_one_stream_of_one_session() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let mut records = std::collections::BTreeSet::new();
    for text in ["one", "two"] {
        let (session, _) = start(server, &json!({ "task": "answer" })).await?;
        let path = format!("/api/v1/sessions/{session}/inputs/inbox");
        let body = json!({ "data": { "text": text, "n": 1 }, "idempotency_key": "k" });
        let first = server.post(&path, &body).await?.ok();
        records.insert(first.text("/record/id")?);
        // Numbers are compared as numbers.
        let body = json!({ "data": { "text": text, "n": 1.0 }, "idempotency_key": "k" });
        let again = server.post(&path, &body).await?.ok();
        assert_eq!(again.body["record"], first.body["record"]);
    }
    assert_eq!(records.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_record_is_refused_with_its_own_limit_however_large_it_is() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "answer" })).await?;
    let path = format!("/api/v1/sessions/{session}/inputs/inbox");
    for size in [(1 << 20) + 1, 5 << 20] {
        let body = json!({ "data": { "text": "x".repeat(size) } });
        let answer = server.post(&path, &body).await?;
        assert!(answer.text("/error/message")?.contains("1 MiB"), "{size}");
        let details = answer.refused(413, "record_too_large");
        assert_eq!(details["limit_bytes"], 1 << 20);
    }
    Ok(())
}

#[tokio::test]
async fn streams_and_large_records_come_in_pages() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "orders" })).await?;
    let path = format!("/api/v1/sessions/{session}/streams");
    let first = server.get(&format!("{path}?limit=1")).await?.ok().body;
    let next = first["next_cursor"].as_str().unwrap_or_default();
    let rest = server
        .get(&format!("{path}?limit=2&cursor={next}"))
        .await?
        .ok()
        .body;
    assert_eq!(
        [
            &first["items"][0]["name"],
            &rest["items"][0]["name"],
            &rest["items"][1]["name"]
        ],
        ["cancellations", "inbox", "receipts"]
    );
    assert_eq!(rest["next_cursor"], json!(null));
    server
        .get(&format!("{path}?cursor=odd"))
        .await?
        .refused(400, "invalid_cursor");

    let large = "x".repeat((1 << 20) - 2);
    let records = format!("/api/v1/sessions/{session}/inputs/cancellations");
    for _ in 0..5 {
        server.post(&records, &json!({ "data": large })).await?.ok();
    }
    let (mut seen, mut cursor) = (0, Some("0".to_owned()));
    while let Some(after) = cursor {
        let page = server
            .get(&format!("{records}?limit=200&cursor={after}"))
            .await?
            .ok();
        let items = page.body["items"].as_array().map_or(0, Vec::len);
        assert!((1..=3).contains(&items), "{items} of a mebibyte each");
        seen += items;
        cursor = page.body["next_cursor"].as_str().map(str::to_owned);
    }
    assert_eq!(seen, 5);
    let mut following = crate::following::Following::open(server, &records, None).await?;
    for at in 1..=5 {
        assert_eq!(following.next().await?.id, Some(at.to_string()));
    }
    Ok(())
}

#[tokio::test]
async fn what_a_task_appends_is_refused_by_field_and_the_task_goes_on() -> Result<()> {
    let mut deployed = deployed().await?;
    let (session, _) = start(&deployed.server, &json!({ "task": "orders" })).await?;
    let assignment = deployed
        .worker
        .assigned(|pushed| !pushed.runs.is_empty())
        .await?;
    let (server, worker) = (&deployed.server, &deployed.worker);
    worker
        .machine(server, &assignment, "live", &json!({}))
        .await?
        .ok();
    worker
        .run(server, &assignment, "started", &json!({}))
        .await?
        .ok();
    let append = async |call_no: u64, stream: &str, data: serde_json::Value| {
        let args = json!({ "stream": stream, "data": data });
        let call = json!({ "call_no": call_no, "op": "stream.append", "args": args });
        let answer = worker.run(server, &assignment, "calls", &call).await?.ok();
        anyhow::Ok(answer.body)
    };
    let refused = append(1, "receipts", json!({ "total": "3" })).await?;
    assert_eq!(
        (&refused["code"], &refused["details"]["path"]),
        (&json!("record_invalid"), &json!("total")),
        "{refused}"
    );
    let refused = append(2, "out", json!(1)).await?;
    assert_eq!(refused["code"], "stream_not_found", "{refused}");
    let taken = append(3, "receipts", json!({ "total": 3.5 })).await?;
    assert_eq!(taken["answer"]["sequence"], 1, "{taken}");
    let path = format!("/api/v1/sessions/{session}/outputs/receipts");
    let page = server.get(&path).await?.ok().body;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
    Ok(())
}
