//! Versions as archives, and what differs between them.

use anyhow::{Context, Result};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use helmr_api::worker::FilesCaptured;
use helmr_domain::Duration;
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio_tar::{Builder, EntryType, Header};

use crate::fixture::{Deployed, deployed};
use crate::server::{Answer, Server};
use crate::versions::{at_work, end, files};

/// A tar archive of these files.
async fn archive(members: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    for (path, content) in members {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_000);
        header.set_cksum();
        archive.append_data(&mut header, path, *content).await?;
    }
    Ok(archive.into_inner().await?)
}

async fn import(
    server: &Server,
    path: &str,
    archive: Vec<u8>,
    key: Option<&str>,
) -> Result<Answer> {
    let mut request = server
        .request(
            Method::POST,
            &format!("{path}/versions/import?message=from+elsewhere"),
        )
        .header("content-type", "application/x-tar");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    // No two versions are made within one millisecond: their order would be chance.
    server.clock.advance(Duration::from_millis(1));
    server.answer(request.body(Body::from(archive))?).await
}

async fn imported(server: &Server, path: &str, members: &[(&str, &[u8])]) -> Result<String> {
    let answer = import(server, path, archive(members).await?, None)
        .await?
        .ok();
    answer.text("/version/id")
}

async fn workspace(server: &Server) -> Result<String> {
    let made = server.post("/api/v1/workspaces", &json!({})).await?.ok();
    Ok(format!(
        "/api/v1/workspaces/{}",
        made.text("/workspace/id")?
    ))
}

async fn bytes(server: &Server, path: &str) -> Result<(String, Vec<u8>)> {
    let request = server.request(Method::GET, path).body(Body::empty())?;
    let (parts, body) = server.send(request).await?.into_parts();
    assert!(parts.status.is_success(), "{}", parts.status);
    let kind = parts.headers["content-type"].to_str()?.to_owned();
    Ok((kind, body.collect().await?.to_bytes().to_vec()))
}

async fn lines(server: &Server, path: &str) -> Result<Vec<String>> {
    let page = server.get(path).await?.ok().body;
    let items = page["items"].as_array().context("no items")?;
    Ok(items
        .iter()
        .map(|item| {
            let size = |side: &str| {
                item[side]["size_bytes"]
                    .as_u64()
                    .map_or("-".to_owned(), |size| size.to_string())
            };
            let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
            format!(
                "{} {} {} {}",
                text(&item["change"]),
                text(&item["path"]),
                size("before"),
                size("after")
            )
        })
        .collect())
}

#[tokio::test]
async fn an_archive_becomes_a_version_and_a_version_an_archive() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let path = workspace(server).await?;
    let sent = archive(&[("src/main.rs", b"fn main() {}\n"), ("README", b"hello\n")]).await?;
    let made = import(server, &path, sent.clone(), Some("once"))
        .await?
        .ok();
    assert_eq!(made.status.as_u16(), 201);
    assert_eq!(
        (
            &made.body["version"]["kind"],
            &made.body["version"]["message"],
            &made.body["version"]["size_bytes"]
        ),
        (&json!("manual"), &json!("from elsewhere"), &json!(19))
    );
    assert_eq!(
        (&made.body["entries"], &made.body["left_out"]),
        (&json!(4), &json!(0))
    );
    assert_eq!(
        made.body["workspace"]["current_version_id"],
        made.body["version"]["id"]
    );
    let again = import(server, &path, sent, Some("once")).await?.ok();
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.body, made.body);
    let other = archive(&[("a", b"b")]).await?;
    import(server, &path, other, Some("once"))
        .await?
        .refused(409, "idempotency_key_reused");
    let version = made.text("/version/id")?;
    let (kind, exported) = bytes(server, &format!("{path}/versions/{version}/archive")).await?;
    assert_eq!(kind, "application/x-tar");
    // Into another workspace it is the same files.
    let copy = workspace(server).await?;
    let copied = import(server, &copy, exported, None)
        .await?
        .ok()
        .text("/version/id")?;
    assert_eq!(
        lines(server, &format!("{copy}/diff?from={copied}")).await?,
        [""; 0]
    );
    let unknown = format!("{path}/versions/{copied}/archive");
    server
        .get(&unknown)
        .await?
        .refused(404, "version_not_found");
    Ok(())
}

#[tokio::test]
async fn archives_that_cannot_be_versions_change_nothing() -> Result<()> {
    let mut deployed = deployed().await?;
    let (assignment, live) = at_work(&mut deployed).await?;
    let server = &deployed.server;
    let path = workspace(server).await?;
    let mut outside = Header::new_gnu();
    outside.as_old_mut().name[..9].copy_from_slice(b"../escape");
    outside.set_size(0);
    outside.set_mode(0o644);
    outside.set_cksum();
    let refused = import(server, &path, outside.as_bytes().to_vec(), None).await?;
    let details = refused.refused(422, "archive_invalid");
    assert_eq!(details["path"], "../escape");
    import(server, &path, b"no archive".to_vec(), None)
        .await?
        .refused(422, "archive_invalid");
    import(server, &path, Vec::new(), None)
        .await?
        .refused(422, "archive_invalid");
    outside.set_entry_type(EntryType::Regular);
    outside.as_old_mut().name[..9].copy_from_slice(b"large.bin");
    outside.set_size(1 << 40);
    outside.set_cksum();
    let refused = import(server, &path, outside.as_bytes().to_vec(), None).await?;
    assert_eq!(
        refused.refused(413, "archive_too_large")["limit_bytes"],
        10_u64 << 30
    );
    let versions = server.get(&format!("{path}/versions")).await?.ok().body;
    assert_eq!(versions["items"], json!([]));
    let good = archive(&[("a", b"b")]).await?;
    let refused = import(server, &live, good.clone(), None).await?;
    assert_eq!(
        refused.refused(409, "workspace_not_stopped")["state"],
        "live"
    );
    end(&deployed, &assignment, &files(1, &"0".repeat(64))).await?;
    import(server, &live, good, None).await?.ok();
    Ok(())
}

#[tokio::test]
async fn what_differs_between_two_versions_is_listed_and_goes_on_from_a_cursor() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let path = workspace(server).await?;
    let first = imported(
        server,
        &path,
        &[("a", b"1"), ("b", b"1"), ("dir/c", b"1"), ("d?", b"1")],
    )
    .await?;
    let second = imported(
        server,
        &path,
        &[("a", b"1"), ("b", b"22"), ("dir/e", b"333")],
    )
    .await?;
    let all = lines(server, &format!("{path}/diff?from={first}&to={second}")).await?;
    assert_eq!(
        all,
        [
            "modified b 1 2",
            "removed d? 1 -",
            "removed dir/c 1 -",
            "added dir/e - 3"
        ]
    );
    // The current version and the files as they are now: the same, as it has no machine.
    assert_eq!(lines(server, &format!("{path}/diff")).await?, [""; 0]);
    assert_eq!(
        lines(server, &format!("{path}/diff?from={first}"))
            .await?
            .len(),
        4
    );
    let mut seen = Vec::new();
    let mut at = format!("{path}/diff?from={first}&to={second}&limit=1");
    loop {
        seen.extend(lines(server, &at).await?);
        let page = server.get(&at).await?.ok().body;
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        at = format!("{path}/diff?limit=1&cursor={next}");
    }
    assert_eq!(seen, all);
    for (query, status, code) in [
        ("limit=0", 400, "invalid_query"),
        ("cursor=x", 400, "invalid_cursor"),
        ("cursor=YQ", 400, "invalid_cursor"),
        (
            "from=wsv_00000000000000000000000000",
            404,
            "version_not_found",
        ),
        ("from=ws_1", 400, "invalid_query"),
    ] {
        let refused = server.get(&format!("{path}/diff?{query}")).await?;
        refused.refused(status, code);
    }
    Ok(())
}

#[tokio::test]
async fn unified_text_says_what_is_binary_or_too_large() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let path = workspace(server).await?;
    let before = b"one\ntwo\nthree\n".as_slice();
    let large = vec![b'x'; (1 << 20) + 1];
    let first = imported(
        server,
        &path,
        &[
            ("text", before),
            ("gone", b"x\n"),
            ("image", b"\0\x01"),
            ("large", b"small"),
        ],
    )
    .await?;
    let second = imported(
        server,
        &path,
        &[
            ("text", b"one\n2\nthree\n"),
            ("image", b"\0\x02\x03"),
            ("large", &large),
            ("new", b"no newline"),
        ],
    )
    .await?;
    let (kind, text) = bytes(
        server,
        &format!("{path}/diff/text?from={first}&to={second}"),
    )
    .await?;
    assert_eq!(kind, "text/x-diff; charset=utf-8");
    let text = String::from_utf8(text)?;
    let expected = "\
diff --git a/gone b/gone
deleted file mode 100644
--- a/gone
+++ /dev/null
@@ -1 +0,0 @@
-x
diff --git a/image b/image
Binary files differ (2 and 3 bytes)
diff --git a/large b/large
Files too large to compare line by line differ (5 and 1048577 bytes)
diff --git a/new b/new
new file mode 100644
--- /dev/null
+++ b/new
@@ -0,0 +1 @@
+no newline
\\ No newline at end of file
diff --git a/text b/text
--- a/text
+++ b/text
@@ -1,3 +1,3 @@
 one
-two
+2
 three
";
    assert_eq!(text, expected);
    Ok(())
}

/// The manifest that a version stands for, as the cursor of a comparison with nothing in between names it.
async fn manifest(server: &Server, path: &str, version: &str) -> Result<String> {
    let empty = imported(server, path, &[("only", b"x")]).await?;
    let page = server
        .get(&format!("{path}/diff?from={empty}&to={version}&limit=1"))
        .await?
        .ok();
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(page.text("/next_cursor")?)?)?;
    Ok(text.split('.').nth(1).context("no manifest")?.to_owned())
}

#[tokio::test]
async fn files_of_a_machine_are_compared_as_its_worker_stores_them() -> Result<()> {
    let mut deployed: Deployed = deployed().await?;
    let (assignment, live) = at_work(&mut deployed).await?;
    let server = &deployed.server;
    let elsewhere = workspace(server).await?;
    let now = imported(server, &elsewhere, &[("a", b"1"), ("b", b"now")]).await?;
    let now = manifest(server, &elsewhere, &now).await?;
    let last = imported(server, &elsewhere, &[("a", b"1"), ("c", b"x")]).await?;
    let last = manifest(server, &elsewhere, &last).await?;
    let version = json!({ "version": files(1, &last), "asked": [] });
    deployed
        .worker
        .machine(server, &assignment, "version", &version)
        .await?
        .ok();
    *deployed
        .worker
        .files
        .lock()
        .map_err(|_| anyhow::anyhow!("poisoned"))? = Some(FilesCaptured {
        manifest: now,
        size_bytes: 4,
        changed_bytes: 4,
        edited: false,
    });
    assert_eq!(
        lines(server, &format!("{live}/diff")).await?,
        ["added b - 3", "removed c 1 -"]
    );
    // A worker that has no files of it any more: the last version is what there is.
    *deployed
        .worker
        .files
        .lock()
        .map_err(|_| anyhow::anyhow!("poisoned"))? = None;
    assert_eq!(lines(server, &format!("{live}/diff")).await?, [""; 0]);
    Ok(())
}
