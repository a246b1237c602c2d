//! What a person sees while something lasts. Programs see nothing of it.

use std::io::IsTerminal as _;
use std::time::Duration;

use futures_util::StreamExt as _;
use helmr_api::client::{Answer, Client, Follow, Update};
use helmr_api::http::uploads::{MissingUploads, UploadKind};
use indicatif::{ProgressBar, ProgressStyle};
use serde::de::DeserializeOwned;

use crate::deploy::archive::{Source, Sum};
use crate::error::CommandError;
use crate::output::Output;

/// Waits for the next item of something followed; `None` once it has ended. Says when the connection is lost.
pub(crate) async fn next<T: DeserializeOwned>(
    follow: &mut Follow<T>,
    output: &Output,
) -> Result<Option<Answer<T>>, CommandError> {
    loop {
        match follow.next().await? {
            Update::Item(answer) => return Ok(Some(answer)),
            Update::Ended => return Ok(None),
            Update::Lost(_) => {
                output.warn("the connection was lost; trying again, nothing is missed");
            }
        }
    }
}

/// A step of a longer work: a moving sign on terminals, a line when it is done.
#[derive(Debug)]
pub(crate) struct Step {
    bar: ProgressBar,
    output: Output,
}

impl Step {
    pub(crate) fn begin(output: &Output, what: &str) -> Self {
        let bar = bar(None);
        bar.set_style(style("{spinner} {msg}"));
        bar.set_message(format!("{what} …"));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self {
            bar,
            output: *output,
        }
    }

    pub(crate) fn done(self, what: &str) {
        self.bar.finish_and_clear();
        self.output.done(what);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Uploads bytes unless the server has them; gives their sum.
pub(crate) async fn upload(
    client: &Client,
    output: &Output,
    kind: UploadKind,
    source: &Source,
) -> Result<Sum, CommandError> {
    let sum = sum(output, source).await?;
    let ask = MissingUploads {
        sha256: vec![sum.sha256.clone()],
        kind,
    };
    let missing = client.missing_uploads(&ask).await?.body.missing;
    if !missing.contains(&sum.sha256) {
        return Ok(sum);
    }
    let bar = bytes_bar(Some(sum.size_bytes), "Uploading");
    let moving = bar.clone();
    let bytes = source.open().inspect(move |part| {
        if let Ok(part) = part {
            moving.inc(part.len().try_into().unwrap_or(0));
        }
    });
    let sent = client.upload(&sum.sha256, kind, bytes).await;
    bar.finish_and_clear();
    sent?;
    Ok(sum)
}

/// Shows how much of a stream has gone by.
pub(crate) fn moving<E: Send + 'static>(
    size: Option<u64>,
    what: &str,
    bytes: impl futures_util::Stream<Item = Result<bytes::Bytes, E>> + Send + 'static,
) -> impl futures_util::Stream<Item = Result<bytes::Bytes, E>> + Send + 'static {
    let bar = Cleared(bytes_bar(size, what));
    bytes.inspect(move |part| {
        if let Ok(part) = part {
            bar.0.inc(part.len().try_into().unwrap_or(0));
        }
    })
}

/// A bar that goes with what it shows.
struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

async fn sum(output: &Output, source: &Source) -> Result<Sum, CommandError> {
    let bar = bytes_bar(source.size_bytes(), "Reading");
    let sum = source.sum(|bytes| bar.inc(bytes)).await;
    bar.finish_and_clear();
    let sum = sum.map_err(|error| CommandError::failed(source.describe("read")).because(&error))?;
    for odd in &sum.left_out {
        output.warn(&format!("left out: {odd}"));
    }
    Ok(sum)
}

fn bytes_bar(size: Option<u64>, what: &str) -> ProgressBar {
    let bar = bar(size);
    bar.set_style(style(if size.is_some() {
        "{msg} [{bar:30}] {bytes} of {total_bytes} ({bytes_per_sec})"
    } else {
        "{spinner} {msg} {bytes} ({bytes_per_sec})"
    }));
    bar.set_message(what.to_owned());
    bar
}

/// Hidden unless standard error is a terminal.
fn bar(size: Option<u64>) -> ProgressBar {
    match size {
        _ if !std::io::stderr().is_terminal() => ProgressBar::hidden(),
        Some(size) => ProgressBar::new(size),
        None => ProgressBar::new_spinner(),
    }
}

/// A template that does not parse is a bug that shows as a plain bar.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
