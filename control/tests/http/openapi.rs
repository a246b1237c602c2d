//! What the document promises of every route: creations may be repeated, lists come in pages.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::server::Server;

/// Calls `look` with the name, the method and the description of every operation.
async fn each(mut look: impl FnMut(&str, &str, &Value, &Value)) -> Result<usize> {
    let server = Server::start().await?;
    let document = server.get("/api/v1/openapi.json").await?.ok().body;
    let mut count = 0;
    for (path, item) in document["paths"].as_object().context("no paths")? {
        for (method, operation) in item.as_object().context("no operations")? {
            look(&format!("{method} {path}"), method, operation, &document);
            count += 1;
        }
    }
    assert!(count > 40, "only {count}");
    Ok(count)
}

/// The names of an operation's parameters in `place`.
fn parameters<'a>(operation: &'a Value, place: &str) -> BTreeSet<&'a str> {
    operation["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|parameter| parameter["in"] == place)
        .filter_map(|parameter| parameter["name"].as_str())
        .collect()
}

/// The name of the schema of what an operation answers as JSON.
fn answers<'a>(operation: &'a Value, status: &str) -> Option<&'a str> {
    operation["responses"][status]["content"]["application/json"]["schema"]["$ref"]
        .as_str()?
        .rsplit('/')
        .next()
}

#[tokio::test]
async fn every_creation_takes_an_idempotency_key() -> Result<()> {
    let mut creations = BTreeSet::new();
    each(|name, method, operation, _| {
        if method != "post" || operation["responses"]["201"].is_null() {
            return;
        }
        creations.insert(name.to_owned());
        assert!(
            parameters(operation, "header").contains("Idempotency-Key"),
            "{name} takes no Idempotency-Key"
        );
    })
    .await?;
    for known in [
        "post /api/v1/sessions",
        "post /api/v1/tokens",
        "post /api/v1/public-tokens",
    ] {
        assert!(creations.contains(known), "{creations:?}");
    }
    Ok(())
}

#[tokio::test]
async fn every_list_takes_limit_and_cursor() -> Result<()> {
    let mut lists = 0;
    each(|name, _, operation, document| {
        let Some(schema) = answers(operation, "200") else {
            return;
        };
        let answer = &document["components"]["schemas"][schema]["properties"];
        let is_list = answer["items"]["type"] == "array";
        assert_eq!(is_list, answer["next_cursor"].is_object(), "{name}");
        if is_list {
            lists += 1;
            let taken = parameters(operation, "query");
            assert!(
                taken.contains("limit") && taken.contains("cursor"),
                "{name} takes {taken:?}"
            );
        }
    })
    .await?;
    assert!(lists >= 15, "only {lists}");
    Ok(())
}

#[tokio::test]
async fn what_grows_is_followed_from_where_it_stopped() -> Result<()> {
    let mut followed = BTreeSet::new();
    each(|name, _, operation, _| {
        let ok = &operation["responses"]["200"]["content"];
        if ok["text/event-stream"].is_object() {
            followed.insert(name.to_owned());
            assert!(
                parameters(operation, "header").contains("Last-Event-ID"),
                "{name} cannot be resumed"
            );
        }
    })
    .await?;
    for known in [
        "sessions/{id}/transcript",
        "sessions/{id}/events",
        "sessions/{id}/inputs/{stream}",
        "sessions/{id}/outputs/{stream}",
        "runs/{id}/events",
        "runs/{id}/logs",
    ] {
        assert!(
            followed.contains(&format!("get /api/v1/{known}")),
            "{followed:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn every_refusal_says_which_and_has_the_same_shape() -> Result<()> {
    each(|name, _, operation, _| {
        for (status, response) in operation["responses"].as_object().into_iter().flatten() {
            let status: u16 = status.parse().unwrap_or_default();
            if status < 400 {
                continue;
            }
            assert!(
                helmr_api::error::Kind::of_status(status).is_some(),
                "{name} refuses with {status}, which is of no kind"
            );
            assert_eq!(
                response["content"]["application/json"]["schema"]["$ref"],
                "#/components/schemas/ErrorBody",
                "{name} {status}"
            );
        }
    })
    .await?;
    Ok(())
}
