//! Images and deploys: what is taken, and what is refused by name of file and export.

use std::fs;

use anyhow::{Context as _, Result};
use helmr_e2e::{Options, Outcome, Server, repository};
use serde_json::json;

async fn deploy(server: &Server, source: &str) -> Result<Outcome> {
    let parent = repository().join("target/e2e");
    let project = tempfile::Builder::new()
        .prefix("helmr-e2e-project-")
        .tempdir_in(parent)?;
    fs::create_dir(project.path().join("tasks"))?;
    fs::write(
        project.path().join("helmr.config.ts"),
        "import { defineConfig } from \"@helmr/sdk\";\nexport default defineConfig({ project: \"main\", dirs: [\"tasks\"] });\n",
    )?;
    fs::write(project.path().join("tasks/tried.ts"), source)?;
    server
        .cli()?
        .run(&["deploy", &project.path().to_string_lossy(), "--json"])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_project_is_refused_with_file_and_export() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let run = "run: async () => 1";
    let cases = [
        (
            format!(
                "export const a = task({{ id: 'same', {run} }});\nexport const b = task({{ id: 'same', {run} }});"
            ),
            "b",
            "same",
        ),
        (
            format!("export const spaced = task({{ id: 'not an id', {run} }});"),
            "spaced",
            "not an id",
        ),
        (
            format!("export const bare = task({{ id: 'bare', sandbox: sandbox('bare'), {run} }});"),
            "bare",
            "image",
        ),
        (
            "export const broken = task({ id: ".to_owned(),
            "tried.ts",
            "tried.ts:",
        ),
        (
            format!(
                "export const built = task({{ id: 'built', sandbox: sandbox('s').image(image('i').from('node:24-bookworm-slim').run(['true'])), {run} }});"
            ),
            "built",
            "image_steps_unsupported",
        ),
        (
            format!(
                "export const odd = task({{ id: 'odd', sandbox: sandbox('s').image(image('i').from('nowhere:1')), {run} }});"
            ),
            "nowhere:1",
            "helmr image import",
        ),
    ];
    for (source, first, second) in cases {
        let source = format!("import {{ image, sandbox, task }} from '@helmr/sdk';\n{source}\n");
        let outcome = deploy(&server, &source).await?;
        assert_eq!(outcome.code, 1, "{source}{outcome:?}");
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        for part in ["tried.ts", first, second] {
            assert!(
                said.contains(part),
                "`{part}` is not in the answer to\n{source}{said}"
            );
        }
    }
    let tasks = server.get("/api/v1/tasks").await?;
    assert!(
        !tasks.to_string().contains("\"same\""),
        "nothing of it is deployed"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_directory_becomes_an_image_and_equal_content_has_an_equal_digest() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let root = tempfile::tempdir()?;
    fs::create_dir(root.path().join("etc"))?;
    fs::write(root.path().join("etc/motd"), "hello\n")?;
    let path = root.path().to_string_lossy().into_owned();
    let cli = server.cli()?;
    let first = cli
        .json(&["image", "import", "--name", "tiny:1", &path])
        .await?;
    let again = cli
        .json(&["image", "import", "--name", "tiny:2", &path])
        .await?;
    assert_eq!(
        first["image"]["digest"], again["image"]["digest"],
        "{first} {again}"
    );
    assert!(
        first["image"]["digest"]
            .as_str()
            .is_some_and(|digest| digest.starts_with("sha256:"))
    );
    let listed = cli.json(&["image", "list"]).await?;
    assert!(
        listed.to_string().contains("tiny:2")
            && listed.to_string().contains("node:24-bookworm-slim")
    );
    let nonsense = root.path().join("nonsense.tar");
    fs::write(&nonsense, b"this is no archive".repeat(100))?;
    let refused = cli
        .run(&[
            "image",
            "import",
            "--name",
            "bad:1",
            &nonsense.to_string_lossy(),
        ])
        .await?;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("image_invalid"), "{refused:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_is_a_new_version_and_uploads_nothing_twice() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let fixtures = repository().join("e2e/fixtures/project");
    let chunks = |server: &Server| walk(&server.data_dir().join("artifacts"));
    let before = chunks(&server)?;
    let answer = cli.json(&["deploy", &fixtures.to_string_lossy()]).await?;
    assert_eq!(answer["deployment"]["status"], "deployed", "{answer}");
    assert_eq!(chunks(&server)?, before, "equal content is stored once");
    let unpromoted = cli
        .json(&["deploy", &fixtures.to_string_lossy(), "--no-promote"])
        .await?;
    let (day, number) = version(&answer)?;
    let (next_day, next) = version(&unpromoted)?;
    // Each day counts from 1.
    let expected = if next_day == day { number + 1 } else { 1 };
    assert_eq!(next, expected, "{answer} {unpromoted}");
    let (_, run) = server.start_session(&json!({"task": "answer"})).await?;
    let run = server.run(&run).await?;
    assert_eq!(
        run["deployment_id"], answer["deployment"]["id"],
        "{unpromoted}"
    );
    Ok(())
}

fn version(answer: &serde_json::Value) -> Result<(String, u32)> {
    let text = answer["deployment"]["version"].as_str();
    let (day, number) = text
        .and_then(|text| text.split_once('.'))
        .with_context(|| answer.to_string())?;
    Ok((day.to_owned(), number.parse()?))
}

fn walk(directory: &std::path::Path) -> Result<usize> {
    let mut files = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        files += if entry.file_type()?.is_dir() {
            walk(&entry.path())?
        } else {
            1
        };
    }
    Ok(files)
}
