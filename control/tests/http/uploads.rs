//! Uploads: named by their sum, kept once.

use anyhow::Result;
use axum::body::Body;
use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::fixture::{sha256, upload};
use crate::server::Server;

#[tokio::test]
async fn an_upload_is_missing_until_it_is_there() -> Result<()> {
    let server = Server::start().await?;
    let sum = sha256(b"hello");
    let ask = json!({ "sha256": [sum] });
    let missing = server
        .post("/api/v1/uploads/missing", &ask)
        .await?
        .ok()
        .body;
    assert_eq!(missing["missing"], json!([sum]));
    for _ in 0..2 {
        upload(&server, "bundle", b"hello").await?;
    }
    let missing = server
        .post("/api/v1/uploads/missing", &ask)
        .await?
        .ok()
        .body;
    assert_eq!(missing["missing"], json!([]));
    // Images are sealed with another key.
    let image = json!({ "sha256": [sum], "kind": "image" });
    let missing = server
        .post("/api/v1/uploads/missing", &image)
        .await?
        .ok()
        .body;
    assert_eq!(missing["missing"], json!([sum]));
    Ok(())
}

#[tokio::test]
async fn bytes_of_another_sum_and_broken_uploads_are_refused() -> Result<()> {
    let server = Server::start().await?;
    let path = format!("/api/v1/uploads/{}", sha256(b"hello"));
    let details = server
        .put(&path, b"other".to_vec())
        .await?
        .refused(422, "upload_mismatch");
    assert_eq!(details["found"], sha256(b"other"));
    let pieces = [
        Ok(Bytes::from_static(b"he")),
        Err(std::io::Error::other("the line went dead")),
    ];
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    let request = server.request(Method::PUT, &path).body(body)?;
    server.answer(request).await?.refused(400, "invalid_body");
    server
        .put("/api/v1/uploads/nonsense", Vec::new())
        .await?
        .refused(400, "invalid_path");
    let bad = format!("{path}?kind=odd");
    server
        .put(&bad, Vec::new())
        .await?
        .refused(400, "invalid_query");
    let many = json!({ "sha256": vec![sha256(b"x"); 1_001] });
    server
        .post("/api/v1/uploads/missing", &many)
        .await?
        .refused(400, "limit_exceeded");
    let odd = json!({ "sha256": ["XYZ"] });
    server
        .post("/api/v1/uploads/missing", &odd)
        .await?
        .refused(400, "invalid_body");
    let missing = json!({ "sha256": [sha256(b"hello")] });
    let answer = server
        .post("/api/v1/uploads/missing", &missing)
        .await?
        .ok()
        .body;
    assert_eq!(
        answer["missing"],
        json!([sha256(b"hello")]),
        "nothing of it is kept"
    );
    Ok(())
}

#[tokio::test]
async fn large_uploads_pass_the_limit_of_json_bodies() -> Result<()> {
    let server = Server::start().await?;
    let bytes: Vec<u8> = (0..12_u32 << 20)
        .map(|at| at.to_le_bytes()[usize::from(at % 3 == 0)])
        .collect();
    upload(&server, "image", &bytes).await?;
    Ok(())
}
