//! Images: imported by a worker, listed by name.

use anyhow::Result;
use serde_json::json;

use crate::fixture::{import, upload};
use crate::server::Server;
use crate::worker::Worker;

#[tokio::test]
async fn an_archive_becomes_an_image_under_a_name() -> Result<()> {
    let server = Server::start().await?;
    let _worker = Worker::join(&server).await?;
    let first = import(&server, "tiny:1", b"one").await?.ok();
    let again = import(&server, "tiny:2", b"one").await?.ok();
    let other = import(&server, "tiny:1", b"two").await?.ok();
    assert_eq!(first.body["image"]["digest"], again.body["image"]["digest"]);
    assert_ne!(first.body["image"]["digest"], other.body["image"]["digest"]);
    let listed = server.get("/api/v1/images").await?.ok().body;
    let mut named: Vec<_> = listed["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|image| (image["name"].as_str().unwrap_or_default(), &image["digest"]))
        .collect();
    named.sort_unstable_by_key(|(name, _)| *name);
    let (one, two) = (
        &first.body["image"]["digest"],
        &other.body["image"]["digest"],
    );
    assert_eq!(
        named,
        [("tiny:1", two), ("tiny:2", one)],
        "a name is where it was put last"
    );
    Ok(())
}

#[tokio::test]
async fn an_import_needs_an_upload_a_name_and_a_worker() -> Result<()> {
    let server = Server::start().await?;
    let path = "/api/v1/images";
    let sha256 = upload(&server, "image", b"one").await?;
    let body = json!({ "name": "tiny:1", "upload_sha256": sha256 });
    server
        .post(path, &body)
        .await?
        .refused(503, "worker_unavailable");
    let odd = json!({ "name": "a b", "upload_sha256": sha256 });
    server.post(path, &odd).await?.refused(400, "invalid_body");
    let missing = json!({ "name": "tiny:1", "upload_sha256": "0".repeat(64) });
    server
        .post(path, &missing)
        .await?
        .refused(404, "upload_not_found");
    Ok(())
}
