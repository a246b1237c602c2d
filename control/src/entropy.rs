//! The only place that makes random bytes.

use aws_lc_rs::rand;

/// The operating system gave no randomness.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct NoRandomness;

/// Fills an array with random bytes fit for keys.
///
/// # Errors
/// [`NoRandomness`].
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}
