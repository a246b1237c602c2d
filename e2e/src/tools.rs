//! Where things are, and how a test awaits an event that only looking can show.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The root of the checkout.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap_or_else(|_| PathBuf::from(".."))
}

/// The shipped binary.
///
/// # Errors
/// Says how to make it.
pub fn binary() -> Result<PathBuf> {
    let path = match chosen_binary() {
        Some(path) => PathBuf::from(path),
        None => repository().join("target/release/helmr"),
    };
    if !path.is_file() {
        bail!(
            "{} is not there: run `cargo xtask build --release`",
            path.display()
        );
    }
    Ok(path)
}

/// `HELMR_E2E_BINARY`: another binary than the shipped one, such as an unoptimised build.
#[expect(clippy::disallowed_methods, reason = "the one variable of this crate")]
fn chosen_binary() -> Option<std::ffi::OsString> {
    std::env::var_os("HELMR_E2E_BINARY")
}

/// Looks again and again until `look` gives something, and fails with what it last saw.
///
/// # Errors
/// After `limit`, with the last thing seen; at once when looking itself fails for good.
pub async fn poll_until<T, F, L>(what: &str, limit: Duration, mut look: L) -> Result<T>
where
    F: Future<Output = Result<std::result::Result<T, String>>>,
    L: FnMut() -> F,
{
    let end = Instant::now() + limit;
    loop {
        let seen = match look()
            .await
            .with_context(|| format!("while waiting for {what}"))?
        {
            Ok(found) => return Ok(found),
            Err(seen) => seen,
        };
        if Instant::now() >= end {
            bail!("waited {limit:?} for {what}; last seen: {seen}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
