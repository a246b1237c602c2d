//! What an environment may hold. A quota refuses new work, never a capture or a park.

use crate::Refusal;

/// Something of which an environment may hold so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Workspaces that are not deleted.
    Workspaces,
    /// Bytes that the versions of its workspaces added, each to the one before it.
    VersionBytes,
    /// Machines that are not parked.
    Machines,
}

impl Quota {
    /// As it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workspaces => "workspaces",
            Self::VersionBytes => "version_bytes",
            Self::Machines => "machines",
        }
    }

    /// Whether there is room for one more.
    ///
    /// # Errors
    /// `QuotaExceeded`.
    pub fn check(self, limit: Option<u64>, used: u64) -> Result<(), Refusal> {
        match limit {
            Some(limit) if used >= limit => Err(Refusal::QuotaExceeded {
                quota: self,
                limit,
                used,
            }),
            Some(_) | None => Ok(()),
        }
    }
}

impl std::fmt::Display for Quota {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Workspaces => "workspaces",
            Self::VersionBytes => "bytes of versions",
            Self::Machines => "machines",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_what_may_be_held_and_none_is_no_limit() {
        let check = |limit, used| Quota::Workspaces.check(limit, used).is_ok();
        assert!(check(None, u64::MAX) && check(Some(2), 1));
        assert!(!check(Some(2), 2) && !check(Some(2), 3) && !check(Some(0), 0));
    }
}
