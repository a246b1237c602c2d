//! SQLite: one writer thread with group commit, and reader threads.
//!
//! The writer takes what is queued, gives each job a savepoint, commits once and only then answers. A job waits on
//! nothing but the database, so polling it once finishes it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::{Mutex, broadcast, mpsc, oneshot};

use super::tx::Engine;
use super::{Tx, Work, migrate};
use crate::{DatabaseError, Error, Hint, Result};

/// Jobs in one commit.
const GROUP: usize = 128;
/// Jobs that may queue before callers wait to queue theirs.
const QUEUE: usize = 1_024;
const READERS: usize = 2;
/// Longer jobs hold up everyone and are logged.
const SLOW: Duration = Duration::from_millis(20);

type Acknowledge = Box<dyn FnOnce(Result<()>) + Send>;
type Job = Box<dyn FnOnce(&mut Tx) -> Acknowledge + Send>;

#[derive(Clone)]
pub(crate) struct Sqlite {
    writer: mpsc::Sender<Job>,
    /// `None` in memory, where only the writer's connection sees the data.
    readers: Option<mpsc::Sender<Job>>,
}

impl Sqlite {
    pub(super) fn open(path: &Path) -> Result<Self> {
        refuse_network_filesystem(path)?;
        let mut connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
             PRAGMA mmap_size = 0; PRAGMA busy_timeout = 5000; PRAGMA cache_size = -65536;",
        )?;
        prepare_once(&connection)?;
        migrate::sqlite(&mut connection)?;
        let (readers, queue) = mpsc::channel::<Job>(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..READERS {
            let connection = Connection::open(path)?;
            connection.execute_batch(
                "PRAGMA query_only = ON; PRAGMA mmap_size = 0; PRAGMA busy_timeout = 5000;",
            )?;
            prepare_once(&connection)?;
            let queue = Arc::clone(&queue);
            spawn(&format!("db-reader-{number}"), move || {
                read_all(connection, &queue);
            })?;
        }
        Ok(Self {
            writer: Self::start_writer(connection)?,
            readers: Some(readers),
        })
    }

    pub(super) fn open_in_memory() -> Result<Self> {
        let mut connection = Connection::open_in_memory()?;
        connection.execute_batch("PRAGMA foreign_keys = ON;")?;
        prepare_once(&connection)?;
        migrate::sqlite(&mut connection)?;
        Ok(Self {
            writer: Self::start_writer(connection)?,
            readers: None,
        })
    }

    fn start_writer(connection: Connection) -> Result<mpsc::Sender<Job>> {
        let (writer, queue) = mpsc::channel::<Job>(QUEUE);
        spawn("db-writer", move || write_all(connection, queue))?;
        Ok(writer)
    }

    pub(super) async fn write<Input, T>(
        &self,
        input: Input,
        body: impl for<'a> Fn(&'a mut Tx, &'a Input) -> Work<'a, T> + Send + Sync + 'static,
        hints: broadcast::Sender<Hint>,
    ) -> Result<T>
    where
        Input: Send + Sync + 'static,
        T: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            let result = in_savepoint(tx, &input, &body);
            let told = std::mem::take(&mut tx.hints);
            Box::new(move |committed| {
                let result = committed.and(result);
                if result.is_ok() {
                    for hint in told {
                        // Nobody listening is fine: a hint is no data.
                        drop(hints.send(hint));
                    }
                }
                // The caller may have gone; the transaction stands.
                drop(answer.send(result));
            })
        });
        queue(&self.writer, job).await?;
        answered.await.map_err(|_| closed())?
    }

    pub(super) async fn read<Input, T>(
        &self,
        input: Input,
        body: impl for<'a> Fn(&'a mut Tx, &'a Input) -> Work<'a, T> + Send + Sync + 'static,
    ) -> Result<T>
    where
        Input: Send + Sync + 'static,
        T: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            let result = poll_once(|| body(tx, &input));
            Box::new(move |finished| drop(answer.send(finished.and(result))))
        });
        queue(self.readers.as_ref().unwrap_or(&self.writer), job).await?;
        answered.await.map_err(|_| closed())?
    }
}

/// Has every statement prepared once. Otherwise those that a bound value might match to a partial index are planned anew
/// with each value, which takes longer than carrying them out; the plans that are tested know no values.
pub(super) fn prepare_once(connection: &Connection) -> Result<()> {
    connection.set_prepared_statement_cache_capacity(512);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// SQLite's log needs shared memory and locks that work, which network filesystems do not give it.
fn refuse_network_filesystem(path: &Path) -> Result<()> {
    // linux/magic.h: NFS, CIFS, SMB2.
    const MAGIC: [u64; 3] = [0x6969, 0xff53_4d42, 0xfe53_4d42];
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let io = |error: rustix::io::Errno| Error::Unavailable(DatabaseError::Io(error.into()));
    let found = rustix::fs::statfs(directory).map_err(io)?;
    if u64::try_from(found.f_type).is_ok_and(|kind| MAGIC.contains(&kind)) {
        return Err(Error::Unavailable(DatabaseError::NetworkFilesystem));
    }
    Ok(())
}

async fn queue(queue: &mpsc::Sender<Job>, job: Job) -> Result<()> {
    queue.send(job).await.map_err(|_| closed())
}

fn closed() -> Error {
    Error::Unavailable(DatabaseError::Closed)
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(drop)
        .map_err(|error| Error::Unavailable(error.into()))
}

fn write_all(connection: Connection, mut queue: mpsc::Receiver<Job>) {
    let mut tx = Tx::over(Engine::Sqlite(connection));
    let mut acknowledge = Vec::with_capacity(GROUP);
    while let Some(first) = queue.blocking_recv() {
        let begun = command(&tx, "BEGIN IMMEDIATE");
        let mut next = Some(first);
        while let Some(job) = next {
            if begun.is_ok() {
                acknowledge.push(timed(job, &mut tx));
            } else {
                // Dropping the job answers its caller that nothing happened.
                drop(job);
            }
            next = if acknowledge.len() < GROUP {
                queue.try_recv().ok()
            } else {
                None
            };
        }
        let committed = begun.and_then(|()| command(&tx, "COMMIT"));
        if let Err(error) = &committed {
            tracing::error!(error = %error, "a group of transactions was not committed");
            drop(command(&tx, "ROLLBACK"));
        }
        for acknowledge in acknowledge.drain(..) {
            acknowledge(match &committed {
                Ok(()) => Ok(()),
                Err(_) => Err(Error::Unavailable(DatabaseError::Closed)),
            });
        }
    }
}

fn timed(job: Job, tx: &mut Tx) -> Acknowledge {
    let begin = Instant::now();
    let acknowledge = job(tx);
    let elapsed = begin.elapsed();
    if elapsed > SLOW {
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(elapsed_ms, "a transaction held up the writer");
    }
    acknowledge
}

fn read_all(connection: Connection, queue: &Mutex<mpsc::Receiver<Job>>) {
    let mut tx = Tx::over(Engine::Sqlite(connection));
    loop {
        let job = queue.blocking_lock().blocking_recv();
        let Some(job) = job else { return };
        // One view of the database for the whole job.
        let begun = command(&tx, "BEGIN");
        let acknowledge = job(&mut tx);
        tx.hints.clear();
        let ended = command(&tx, "COMMIT");
        if ended.is_err() {
            drop(command(&tx, "ROLLBACK"));
        }
        acknowledge(begun.and(ended));
    }
}

pub(super) fn command(tx: &Tx, text: &'static str) -> Result<()> {
    match &tx.engine {
        Engine::Sqlite(connection) => {
            connection.prepare_cached(text)?.execute([])?;
            Ok(())
        }
        Engine::Postgres(_) => Err(closed()),
    }
}

pub(super) fn in_savepoint<Input, T>(
    tx: &mut Tx,
    input: &Input,
    body: &impl for<'a> Fn(&'a mut Tx, &'a Input) -> Work<'a, T>,
) -> Result<T> {
    command(tx, "SAVEPOINT job")?;
    let result = poll_once(|| body(tx, input));
    if result.is_err() {
        tx.hints.clear();
        command(tx, "ROLLBACK TO job")?;
    }
    command(tx, "RELEASE job")?;
    result
}

/// Runs a transaction's body to its end, which is one poll away, and keeps a panic in it from taking the thread.
pub(super) fn poll_once<'a, T>(body: impl FnOnce() -> Work<'a, T>) -> Result<T> {
    let polled = catch_unwind(AssertUnwindSafe(|| {
        body()
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
    }));
    match polled {
        Ok(Poll::Ready(result)) => result,
        Ok(Poll::Pending) => Err(Error::Blocked),
        Err(panic) => {
            tracing::error!(panic = describe(&*panic), "a transaction panicked");
            Err(Error::Panicked)
        }
    }
}

fn describe(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("not a text")
}
