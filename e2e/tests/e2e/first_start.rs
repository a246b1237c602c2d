//! `helmr up`: what the first start makes, how quick the second is, and what it refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use helmr_e2e::{Options, Server, binary, repository};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_makes_keys_and_a_scope_and_the_second_is_ready_within_two_seconds()
-> Result<()> {
    let mut server = Server::start_on(empty()?, Options::default()).await?;
    let credentials = server.data_dir().join("credentials.json");
    for private in [&credentials, &server.data_dir().join("keys/root.key")] {
        assert_eq!(
            fs::metadata(private)?.permissions().mode() & 0o777,
            0o600,
            "{}",
            private.display()
        );
    }
    assert!(server.api_key().starts_with("hlmr_sk_"));
    let profile = server.data_dir().join("home/.config/helmr/config.toml");
    assert!(
        fs::read_to_string(&profile)
            .context("the default profile")?
            .contains(server.api_key())
    );
    let whoami = server.get("/api/v1/whoami").await?;
    let text = whoami.to_string();
    assert!(
        text.contains("\"main\"") && text.contains("\"production\""),
        "{text}"
    );

    let key = server.api_key().to_owned();
    assert_eq!(server.terminate().await?, 0);
    let begun = Instant::now();
    server.restart(Options::default()).await?;
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "ready after {:?}",
        begun.elapsed()
    );
    let again: Value = serde_json::from_str(&fs::read_to_string(credentials)?)?;
    assert_eq!(again["api_key"], key.as_str(), "the key stays");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_needs_little() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let pid = server.pid().context("no pid")?;
    // Start-up work is over when the clock ticks have stood still once.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, begun) = (cpu_ticks(pid)?, Instant::now());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let used = f64::from(cpu_ticks(pid)? - before) / 100.0 / begun.elapsed().as_secs_f64();
    assert!(
        used < 0.01,
        "an idle server used {:.2} % of a core",
        used * 100.0
    );
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let resident: u64 = resident.trim().trim_end_matches(" kB").parse()?;
    assert!(resident < 100 << 10, "an idle server holds {resident} KiB");
    Ok(())
}

/// User and system time of a process, in hundredths of a second.
fn cpu_ticks(pid: u32) -> Result<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    Ok(fields[11].parse::<u32>()? + fields[12].parse::<u32>()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_directory_is_refused() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let outcome = up(&[
        "--data-dir",
        &server.data_dir().to_string_lossy(),
        "--listen",
        "127.0.0.1:0",
    ])
    .await?;
    assert_ne!(outcome.0, 0);
    let pid = server.pid().context("no pid")?.to_string();
    assert!(
        outcome.1.contains(&pid) && outcome.1.contains("hint"),
        "{}",
        outcome.1
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_beyond_loopback_needs_tls_or_a_flag() -> Result<()> {
    let directory = empty()?;
    let outcome = up(&[
        "--data-dir",
        &directory.path().to_string_lossy(),
        "--listen",
        "0.0.0.0:0",
    ])
    .await?;
    assert_ne!(outcome.0, 0);
    assert!(outcome.1.contains("--tls-cert"), "{}", outcome.1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_cannot_limit_machines_is_told_so() -> Result<()> {
    const NOBODY: u32 = 65534;
    // Where that user can reach it, wherever the checkout lies.
    let place = tempfile::tempdir()?;
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755))?;
    let copy = |from: &Path, name: &str| -> Result<PathBuf> {
        let to = place.path().join(name);
        fs::copy(from, &to)?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
        Ok(to)
    };
    let helmr = copy(&binary()?, "helmr")?;
    let runsc = copy(&repository().join("tools/runsc"), "runsc")?;
    let home = place.path().join("home");
    fs::create_dir(&home)?;
    std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY))?;
    let mut command = tokio::process::Command::new(helmr);
    command
        .args(["up", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(home.join("data"))
        .env("HELMR_RUNSC", runsc)
        .uid(NOBODY)
        .gid(NOBODY);
    let (code, said) = ended(command, &home).await?;
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("need root") && said.contains("hint"),
        "{said}"
    );
    assert!(!said.contains("panicked"), "{said}");
    Ok(())
}

/// Runs `helmr up` until it ends by itself: exit code and what it said.
async fn up(arguments: &[&str]) -> Result<(i32, String)> {
    let home = empty()?;
    let mut command = tokio::process::Command::new(binary()?);
    command.arg("up").args(arguments);
    ended(command, home.path()).await
}

async fn ended(mut command: tokio::process::Command, home: &Path) -> Result<(i32, String)> {
    let output = command
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(20), output)
        .await
        .context("helmr up did not end")??;
    Ok((
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

fn empty() -> Result<tempfile::TempDir> {
    let parent = repository().join("target/e2e");
    fs::create_dir_all(&parent)?;
    Ok(tempfile::Builder::new()
        .prefix("helmr-e2e-")
        .tempdir_in(parent)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_finds_this_machine_fit_and_says_so_in_json() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let outcome = server.cli()?.run(&["doctor", "--json"]).await?;
    let report: Value =
        serde_json::from_str(&outcome.stdout).with_context(|| outcome.stderr.clone())?;
    let checks = report["checks"]
        .as_array()
        .with_context(|| report.to_string())?;
    let failed: Vec<&Value> = checks
        .iter()
        .filter(|check| check["status"] == "failed")
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(outcome.code, 0);
    assert!(report.to_string().contains("checkpoint"), "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_says_how_to_mend_a_missing_runtime() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let output = server
        .cli()?
        .command(&["doctor", "--json"])
        .env("HELMR_RUNSC", "/nonexistent/runsc")
        .output()
        .await?;
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let failed = report["checks"].as_array().map(|checks| {
        checks
            .iter()
            .filter(|check| check["status"] == "failed" && check["mend"].is_string())
            .count()
    });
    assert!(failed > Some(0), "{report}");
    Ok(())
}
