//! `helmr quota`.

use clap::{ArgGroup, Subcommand};
use helmr_api::http::quotas::UpdateQuotas;

use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what the environment may hold, and what it holds
    Get,

    /// Change what the environment may hold; what is not named stays as it is
    Set(Set),
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args([
    "workspaces", "version_bytes", "machines",
]))]
pub struct Set {
    /// Workspaces that are not deleted: a number, or none for no limit
    #[arg(long, value_name = "N|none", value_parser = count)]
    workspaces: Option<Limit>,

    /// What the versions of all workspaces may add up to: bytes, or a size like 50Gi; none for no limit
    #[arg(long, value_name = "SIZE|none", value_parser = bytes)]
    version_bytes: Option<Limit>,

    /// Machines that are not parked, at a time: a number, or none for no limit
    #[arg(long, value_name = "N|none", value_parser = count)]
    machines: Option<Limit>,
}

/// A limit, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit(Option<u64>);

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let client = context.client()?;
        let answer = match self {
            Self::Get => client.get_quotas().await?,
            Self::Set(set) => {
                let body = UpdateQuotas {
                    workspaces: set.workspaces.map(|limit| limit.0),
                    version_bytes: set.version_bytes.map(|limit| limit.0),
                    machines: set.machines.map(|limit| limit.0),
                };
                client.update_quotas(&body).await?
            }
        };
        context
            .output
            .answer(&answer, |body, style| show::quota::all(&body.quotas, style))
    }
}

fn count(text: &str) -> Result<Limit, String> {
    if text == "none" {
        return Ok(Limit(None));
    }
    text.parse()
        .map(|number| Limit(Some(number)))
        .map_err(|_| "expected a number, or none".to_owned())
}

fn bytes(text: &str) -> Result<Limit, String> {
    const UNITS: [(&str, u32); 4] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40)];
    if text == "none" {
        return Ok(Limit(None));
    }
    let found = UNITS.into_iter().find_map(|(unit, shift)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(1 << shift)
    });
    found
        .or_else(|| text.parse().ok())
        .map(|number| Limit(Some(number)))
        .ok_or_else(|| "expected bytes, a size like 50Gi, or none".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_sizes_or_none() {
        for (text, expected) in [
            ("none", Ok(None)),
            ("0", Ok(Some(0))),
            ("1024", Ok(Some(1024))),
            ("50Gi", Ok(Some(50 << 30))),
            ("1Ki", Ok(Some(1024))),
            ("Gi", Err(())),
            ("-1", Err(())),
            ("99999999999Ti", Err(())),
        ] {
            assert_eq!(
                bytes(text).map(|limit| limit.0).map_err(drop),
                expected,
                "{text}"
            );
        }
        assert_eq!(count("3"), Ok(Limit(Some(3))));
        assert!(count("3Gi").is_err());
    }
}
