//! The server's log, on standard error.

use std::io::IsTerminal as _;

use helmr_cli::{CommandError, env};
use tracing_subscriber::EnvFilter;

/// Starts logging as the environment says: warnings for a person who watches, the life cycle for a log file.
pub(crate) fn start() -> Result<(), CommandError> {
    let watched = std::io::stderr().is_terminal();
    let filter = match env::LOG.text() {
        Some(text) => EnvFilter::try_new(&text).map_err(|error| {
            CommandError::usage(format!("HELMR_LOG is `{text}`"))
                .because(&error)
                .hint("a level (error, warn, info, debug, trace) or filters (helmr_control=debug,info)")
        })?,
        None => EnvFilter::new(if watched { "warn" } else { "info" }),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(watched && env::NO_COLOR.text().is_none());
    let started = match env::LOG_FORMAT.text().as_deref() {
        None | Some("text") => log.try_init(),
        Some("json") => log.json().try_init(),
        Some(other) => {
            return Err(
                CommandError::usage(format!("HELMR_LOG_FORMAT is `{other}`")).hint("text or json"),
            );
        }
    };
    started.map_err(|error| CommandError::failed("start the log").because(&*error))
}
