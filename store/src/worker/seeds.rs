//! Seeds: what an image holds at a mount path, captured once for each environment.

use helmr_domain::Moment;

use crate::worker::Fence;
use crate::{Result, Store};

/// The manifest of a seed, if it was captured before.
///
/// # Errors
/// `Stale`.
pub async fn find_seed(
    store: &Store,
    fence: Fence,
    image_digest: &str,
    mount_path: &str,
) -> Result<Option<String>> {
    todo!()
}

#[derive(Debug, Clone)]
pub struct PutSeed {
    pub at: Moment,
    pub fence: Fence,
    pub image_digest: String,
    pub mount_path: String,
    pub manifest: String,
    pub size_bytes: u64,
}

/// Keeps a seed. The first one put is kept and answered.
///
/// # Errors
/// `Stale`.
pub async fn put_seed(store: &Store, input: PutSeed) -> Result<String> {
    todo!()
}
