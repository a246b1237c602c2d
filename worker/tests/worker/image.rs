//! Images: made of archives, and what a new workspace begins with.

use anyhow::{Context as _, Result};
use helmr_machine::scripted::Step;
use serde_json::json;

use crate::ledger::Machine;
use crate::world::{World, says};

fn header_of(size: u64) -> tokio_tar::Header {
    let mut header = tokio_tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o640);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    header
}

/// A tar of a root directory with a file in `/workspace`.
async fn root_tar() -> Result<Vec<u8>> {
    let mut archive = tokio_tar::Builder::new(Vec::new());
    let mut header = header_of(0);
    header.set_entry_type(tokio_tar::EntryType::Directory);
    header.set_mode(0o755);
    header.set_cksum();
    archive
        .append_data(&mut header, "workspace/", tokio::io::empty())
        .await?;
    for (path, text) in [
        ("etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
        ("workspace/notes.txt", "from the image\n"),
    ] {
        let mut header = header_of(text.len() as u64);
        archive
            .append_data(&mut header, path, text.as_bytes())
            .await?;
    }
    Ok(archive.into_inner().await?)
}

#[tokio::test]
async fn an_uploaded_archive_becomes_an_image_and_new_workspaces_copy_what_it_holds() -> Result<()>
{
    let world = World::new(|_| vec![says::started(), Step::Exit(0)]).await?;
    let archive = world.upload(root_tar().await?).await?;
    let (status, imported) = world
        .control
        .ask("/v1/images/import", &json!({"archive_manifest": archive}))
        .await?;
    assert!(
        status.is_success(),
        "{status} {imported} (needs root and mkfs.erofs: script/setup)"
    );
    let text = |field: &str| imported[field].as_str().map(str::to_owned).context("text");
    {
        let mut state = world.control.state();
        state.seed = None;
        state.assignment.machine.image_digest = text("digest")?;
        state.assignment.machine.image_manifest = text("manifest")?;
    }
    let run = world.run(1);
    world.control.add_run(run.clone()).await?;
    world.control.until_finished(run.run_id).await?;
    let notes = std::fs::read_to_string(world.tree().join("notes.txt"))?;
    assert_eq!(notes, "from the image\n");
    assert!(!world.tree().join("etc").exists());
    let state = world.control.state();
    assert!(state.seed.is_some() && state.count("seed") == 1);
    Ok(())
}

#[tokio::test]
async fn a_workspace_is_empty_if_its_image_holds_nothing_at_the_mount_path() -> Result<()> {
    let world = World::new(|_| vec![says::started(), Step::Exit(0)]).await?;
    let archive = world.upload(root_tar().await?).await?;
    let (_, imported) = world
        .control
        .ask("/v1/images/import", &json!({"archive_manifest": archive}))
        .await?;
    {
        let mut state = world.control.state();
        state.seed = None;
        let machine = &mut state.assignment.machine;
        machine.mount_path = "/somewhere/else".to_owned();
        machine.image_digest = imported["digest"].as_str().context("digest")?.to_owned();
        machine.image_manifest = imported["manifest"]
            .as_str()
            .context("manifest")?
            .to_owned();
    }
    let run = world.run(1);
    world.control.add_run(run.clone()).await?;
    world.control.until_machine(Machine::Live).await?;
    assert_eq!(std::fs::read_dir(world.tree())?.count(), 0);
    Ok(())
}

#[tokio::test]
async fn an_archive_that_is_no_image_is_refused_in_words() -> Result<()> {
    let world = World::new(|_| vec![]).await?;
    let archive = world.upload(b"hello".repeat(1000)).await?;
    let (status, refused) = world
        .control
        .ask("/v1/images/import", &json!({"archive_manifest": archive}))
        .await?;
    assert_eq!(status, 422);
    assert_eq!(refused["error"]["code"], "image_invalid");
    let message = refused["error"]["message"].as_str().context("words")?;
    assert!(
        message.starts_with("the archive") && !message.contains('/'),
        "{message}"
    );
    let scratch = std::fs::read_dir(world.path("scratch"))?;
    assert_eq!(scratch.count(), 0, "nothing is left of it");
    Ok(())
}
