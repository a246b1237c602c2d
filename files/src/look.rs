//! What changes nothing, done over any tree.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use helmr_api::worker::files::{FilesPage, Look, Reading, Span};
use helmr_artifacts::files::{self, Glob, Meant, Search, Tree};
use serde::Serialize;
use tokio::sync::{Semaphore, oneshot};

use crate::change::path;
use crate::pipe::{Outgoing, outgoing};
use crate::view;
use crate::{Refusal, file};

/// Looks at a time: each has a thread for as long as its reader takes.
const WORKS: usize = 128;

/// A page of what is searched for is given after so long, full or not.
const LOOKS_FOR: Duration = Duration::from_secs(10);

/// Bounds what is done with files at a time. Cheap to clone.
#[derive(Clone)]
pub struct Works(Arc<Semaphore>);

impl Default for Works {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(WORKS)))
    }
}

impl Works {
    /// Runs blocking work on a thread of its own.
    ///
    /// # Errors
    /// Those of `work`; `internal` if it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let permit = Arc::clone(&self.0)
            .acquire_owned()
            .await
            .map_err(|_| Refusal::internal("file work is over"))?;
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        })
        .await
        .map_err(|error| Refusal::internal(error.to_string()))?
    }
}

/// An answer: its head as JSON, and the bytes that follow.
#[derive(Debug)]
pub struct Reply {
    pub head: Vec<u8>,
    pub body: Option<Body>,
}

impl Reply {
    /// Writes an answer without bytes.
    ///
    /// # Errors
    /// `internal` if it is no JSON, which none of ours is.
    pub fn of(head: &impl Serialize) -> Result<Self, Refusal> {
        let head =
            serde_json::to_vec(head).map_err(|error| Refusal::internal(error.to_string()))?;
        Ok(Self { head, body: None })
    }
}

/// Looks at a tree that appears at `mount`. Returns with the head; the bytes come as they are taken.
///
/// # Errors
/// Why not.
pub async fn look<T, F>(works: &Works, open: F, mount: &str, look: Look) -> Result<Reply, Refusal>
where
    T: Tree,
    F: FnOnce() -> Result<T, Refusal> + Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    let mount = mount.as_bytes().to_vec();
    let bytes = outgoing();
    let works = works.clone();
    let work = tokio::spawn(async move {
        works
            .run(move || {
                let mut answer = Answer {
                    head: Some(answer),
                    bytes: Some(bytes),
                };
                let done = open().and_then(|tree| perform(&tree, &mount, look, &mut answer));
                if let Err(refusal) = done
                    && let Some(head) = answer.head.take()
                {
                    // Whoever asked may be gone.
                    drop(head.send(Err(refusal)));
                }
                Ok(())
            })
            .await
    });
    match answered.await {
        Ok(answered) => answered,
        // It panicked, or never began.
        Err(_) => match work.await {
            Ok(Err(refusal)) => Err(refusal),
            Ok(Ok(())) | Err(_) => Err(Refusal::internal("a look at files ended without answer")),
        },
    }
}

struct Answer {
    head: Option<oneshot::Sender<Result<Reply, Refusal>>>,
    bytes: Option<(Outgoing, Body)>,
}

impl Answer {
    fn send(&mut self, reply: Reply) {
        if let Some(head) = self.head.take() {
            drop(head.send(Ok(reply)));
        }
    }

    fn json(&mut self, head: &impl Serialize) -> Result<(), Refusal> {
        let reply = Reply::of(head)?;
        self.send(reply);
        Ok(())
    }

    /// Sends the head and gives where the bytes go.
    fn begin(&mut self, head: &impl Serialize) -> Result<Outgoing, Refusal> {
        let (outgoing, body) = self
            .bytes
            .take()
            .ok_or_else(|| Refusal::internal("an answer has two bodies"))?;
        let mut reply = Reply::of(head)?;
        reply.body = Some(body);
        self.send(reply);
        Ok(outgoing)
    }
}

fn perform(tree: &impl Tree, mount: &[u8], look: Look, answer: &mut Answer) -> Result<(), Refusal> {
    match look {
        Look::Stat { path: at, follow } => {
            let info = files::stat(tree, &path(&at, mount)?, follow)?;
            answer.json(&file(&info))
        }
        Look::List {
            path: at,
            after,
            limit,
        } => {
            let after = after.map(|after| after.name());
            let after = after.as_ref().map(|name| name.as_bytes());
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let page = files::list(tree, &path(&at, mount)?, after, limit)?;
            answer.json(&FilesPage {
                items: page.items.iter().map(file).collect(),
                next: page.next.as_ref().map(view::path),
            })
        }
        Look::Read { path: at, span } => {
            let mut opened = files::read(tree, &path(&at, mount)?, of_span(span))?;
            let len = opened.len;
            let mut out = answer.begin(&Reading {
                file: file(&opened.info),
                start: opened.start,
                len,
            })?;
            // A file that shrinks meanwhile cuts the answer; one that grows does not lengthen it.
            let copied = io::copy(&mut (&mut opened.content).take(len), &mut out);
            if copied.is_ok_and(|copied| copied == len) {
                drop(out.finish());
            }
            Ok(())
        }
        Look::Glob {
            path: at,
            pattern,
            after,
            limit,
        } => {
            let glob = Glob::new(pattern.as_bytes())?;
            let after = after.map(|after| path(&after, mount)).transpose()?;
            let page = files::glob(
                tree,
                &path(&at, mount)?,
                &glob,
                after.as_ref(),
                bounds(limit),
            )?;
            answer.json(&FilesPage {
                items: page.items.iter().map(file).collect(),
                next: page.next.as_ref().map(view::path),
            })
        }
        Look::Search {
            path: at,
            query,
            regex,
            ignore_case,
            glob,
            after,
            limit,
        } => {
            let only = glob.map(|glob| Glob::new(glob.as_bytes())).transpose()?;
            let meant = Meant { regex, ignore_case };
            let search = Search::new(&query, meant, only)?;
            let after = after
                .map(|after| path(&after.path, mount).map(|path| (path, after.line)))
                .transpose()?;
            let at = path(&at, mount)?;
            let found = files::search(tree, &at, &search, after.as_ref(), bounds(limit))?;
            answer.json(&view::found(&found))
        }
        Look::Download { path: at } => {
            let at = path(&at, mount)?;
            // What is not there is told before the first byte.
            files::stat(tree, &at, true)?;
            let mut out = answer.begin(&())?;
            // Half an archive is cut, which its reader notices.
            if files::pack(tree, &at, &mut out).is_ok() {
                drop(out.finish());
            }
            Ok(())
        }
    }
}

/// How many items, and until when to look for them.
fn bounds(limit: u32) -> (usize, Instant) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    (limit, Instant::now() + LOOKS_FOR)
}

fn of_span(span: Span) -> files::Span {
    match span {
        Span::All => files::Span::All,
        Span::From { start, end } => files::Span::From { start, end },
        Span::Last(count) => files::Span::Last(count),
    }
}
