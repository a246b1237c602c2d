//! The Rust client against servers that misbehave: cut streams, refusals in the middle, answers that are not ours.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::stream;
use helmr_api::client::{Client, Error, Follow, IdempotencyKey, Settings, Update};
use helmr_api::error::Kind;
use helmr_api::http::events::Event;
use helmr_api::http::tokens::CreateToken;
use helmr_domain::{RunId, Timestamp};
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// What the server saw, in order.
type Seen = Arc<Mutex<Vec<HeaderMap>>>;

/// Serves the router until the test ends; gives a client of it.
async fn client(router: Router) -> Result<Client> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let settings = Settings {
        url: format!("http://{}", listener.local_addr()?),
        api_key: "hlmr_sk_test".to_owned(),
        project: Some("main".to_owned()),
        environment: None,
        client: "test/0".to_owned(),
        allow_plain_http: false,
    };
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(Client::new(&settings)?)
}

fn run() -> RunId {
    RunId::new(Timestamp::from_micros(1), [7; 10])
}

fn event(cursor: u32) -> String {
    let event = json!({
        "cursor": cursor.to_string(), "at": "2026-06-01T00:00:00.000Z", "kind": "run.started",
        "run_id": null, "session_id": null, "workspace_id": null, "attempt_number": 1, "attributes": {},
    });
    format!("id: {cursor}\ndata: {event}\n\n")
}

/// A stream of these bytes, which then ends.
fn stream_of(text: String) -> Response {
    let parts = stream::iter([Ok::<_, Infallible>(Bytes::from(text))]);
    (
        [("content-type", "text/event-stream")],
        Body::from_stream(parts),
    )
        .into_response()
}

/// The next update, under a deadline.
async fn next(follow: &mut Follow<Event>) -> Result<Update<Event>> {
    let update = tokio::time::timeout(Duration::from_secs(10), follow.next()).await;
    Ok(update.context("nothing came within 10 s")??)
}

#[tokio::test]
async fn a_follower_outlives_a_cut_connection_and_sees_each_item_once() -> Result<()> {
    let seen = Seen::default();
    let answer = |State(seen): State<Seen>, headers: HeaderMap| async move {
        let mut seen = seen.lock().await;
        seen.push(headers);
        match seen.len() {
            // Cut in the middle of an event.
            1 => stream_of(format!("{}{}id: 3\ndata: {{\"cur", event(1), event(2))),
            2 => StatusCode::BAD_GATEWAY.into_response(),
            _ => stream_of(format!(": hello\n\n{}event: end\ndata: {{}}\n\n", event(3))),
        }
    };
    let router = Router::new()
        .route("/api/v1/runs/{id}/events", get(answer))
        .with_state(Arc::clone(&seen));
    let mut follow = client(router).await?.follow_run_events(run(), None);
    let mut told = Vec::new();
    loop {
        match next(&mut follow).await? {
            Update::Item(item) => told.push(item.body.cursor),
            Update::Lost(_) => told.push("lost".to_owned()),
            Update::Ended => break,
        }
    }
    assert_eq!(told, ["1", "2", "lost", "3"]);
    let seen = seen.lock().await;
    let resumed: Vec<_> = seen
        .iter()
        .map(|headers| headers.get("last-event-id"))
        .collect();
    assert_eq!(resumed[0], None);
    assert!(
        resumed[1..].iter().all(|id| id.is_some_and(|id| id == "2")),
        "{resumed:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_refusal_inside_a_stream_is_an_error_with_its_kind() -> Result<()> {
    let answer = || async {
        stream_of(format!(
            "{}event: error\ndata: {{\"code\":\"cursor_expired\",\"message\":\"too old\"}}\n\n",
            event(1)
        ))
    };
    let router = Router::new().route("/api/v1/runs/{id}/events", get(answer));
    let mut follow = client(router).await?.follow_run_events(run(), None);
    assert!(matches!(next(&mut follow).await?, Update::Item(_)));
    match follow.next().await {
        Err(error) => assert_eq!(error.kind(), Some(Kind::Gone), "{error}"),
        Ok(update) => bail!("expected a refusal, not {update:?}"),
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_follow_is_not_tried_again() -> Result<()> {
    let seen = Seen::default();
    let answer = |State(seen): State<Seen>, headers: HeaderMap| async move {
        seen.lock().await.push(headers);
        let body = json!({"error": {"code": "run_not_found", "message": "no such run"}});
        (StatusCode::NOT_FOUND, Json(body))
    };
    let router = Router::new()
        .route("/api/v1/runs/{id}/events", get(answer))
        .with_state(Arc::clone(&seen));
    let mut follow = client(router).await?.follow_run_events(run(), None);
    let refused = follow.next().await;
    assert!(
        matches!(&refused, Err(error) if error.code() == Some("run_not_found")),
        "{refused:?}"
    );
    assert_eq!(seen.lock().await.len(), 1);
    Ok(())
}

fn created() -> Value {
    json!({"token": {
        "id": "tok_00000000000000000000000000", "status": "pending", "timeout_at": "2026-06-01T00:00:00.000Z",
        "data": null, "tags": [], "metadata": {}, "run_id": null, "session_id": null,
        "created_at": "2026-06-01T00:00:00.000Z", "completed_at": null,
        "public_access_token": "hlmr_pat_x", "callback_url": "http://localhost/x",
    }})
}

#[tokio::test]
async fn a_creation_is_repeated_with_its_key_while_the_server_is_starting() -> Result<()> {
    let seen = Seen::default();
    let answer = |State(seen): State<Seen>, headers: HeaderMap| async move {
        let mut seen = seen.lock().await;
        seen.push(headers);
        if seen.len() == 1 {
            let body = json!({"error": {"code": "store_unavailable", "message": "starting"}});
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        } else {
            (StatusCode::CREATED, Json(created())).into_response()
        }
    };
    let router = Router::new()
        .route("/api/v1/tokens", post(answer))
        .with_state(Arc::clone(&seen));
    let key = IdempotencyKey("key-1".to_owned());
    let made = client(router)
        .await?
        .create_token(&CreateToken::default(), &key)
        .await?;
    assert_eq!(
        made.body.token.public_access_token.as_deref(),
        Some("hlmr_pat_x")
    );
    let seen = seen.lock().await;
    assert_eq!(seen.len(), 2);
    for headers in seen.iter() {
        assert_eq!(headers.get("idempotency-key").context("no key")?, "key-1");
        assert_eq!(
            headers.get("authorization").context("no credential")?,
            "Bearer hlmr_sk_test"
        );
        assert_eq!(
            headers.get("helmr-api-version").context("no version")?,
            "2026-06-15"
        );
        assert_eq!(headers.get("helmr-client").context("no client")?, "test/0");
    }
    Ok(())
}

#[tokio::test]
async fn what_could_happen_twice_is_not_repeated() -> Result<()> {
    let seen = Seen::default();
    let answer = |State(seen): State<Seen>, headers: HeaderMap| async move {
        seen.lock().await.push(headers);
        StatusCode::SERVICE_UNAVAILABLE
    };
    let router = Router::new()
        .route("/api/v1/runs/{id}/cancel", post(answer))
        .with_state(Arc::clone(&seen));
    let refused = client(router)
        .await?
        .cancel_run(run(), &Default::default())
        .await;
    assert!(
        matches!(refused, Err(Error::Foreign { status: 503, .. })),
        "{refused:?}"
    );
    assert_eq!(seen.lock().await.len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_answer_of_another_program_is_told_apart() -> Result<()> {
    let router = Router::new()
        .route(
            "/api/v1/runs/{id}",
            get(|| async { (StatusCode::NOT_FOUND, "<html>nginx</html>") }),
        )
        .route("/api/v1/whoami", get(|| async { "<html>welcome</html>" }));
    let client = client(router).await?;
    let missing = client.get_run(run()).await;
    assert!(
        matches!(missing, Err(Error::Foreign { status: 404, .. })),
        "{missing:?}"
    );
    let strange = client.who_am_i().await;
    assert!(
        matches!(strange, Err(Error::Unreadable { .. })),
        "{strange:?}"
    );
    Ok(())
}
