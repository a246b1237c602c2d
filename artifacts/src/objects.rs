//! The object store and the bounded pool that talks to it.
//!
//! Objects are written once and never changed: `chunks/<aa>/<name>` and `manifests/<aa>/<id>`, where `aa` are the first
//! two digits. A write that returned is durable. What nobody names any more is swept ([`crate::sweep`]).

pub(crate) mod disk;

use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::disk::Disk;
use crate::hex::encode_hex;
use crate::seal::{self, Kind};
use crate::watch::Watch;
use crate::{Error, KeySet};

/// Pieces of work (captures, transfers) at a time; more wait their turn.
const WORKS: usize = 8;
/// How often an object is looked for that is being set aside and put back.
const FOLLOWED: u32 = 3;
/// A work that takes longer than this makes room for another, so that a few that are huge do not hold up all others.
const SLOW_AFTER: Duration = Duration::from_secs(2);
/// Such works at a time.
const SLOW_WORKS: usize = 32;
/// Threads for all those works and for the store's own file operations, which must not wait for each other.
const THREADS: usize = WORKS + SLOW_WORKS + 16;

/// The artifact store. Cheap to clone.
#[derive(Clone)]
pub struct Artifacts(Arc<Inner>, Watch);

struct Inner {
    store: Arc<dyn ObjectStore>,
    disk: Disk,
    works: Arc<Semaphore>,
    slow_works: Arc<Semaphore>,
    handle: Handle,
    /// Taken only on drop.
    runtime: Option<Runtime>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // The last handle may go inside an asynchronous task, where waiting for threads is not allowed.
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Artifacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Artifacts({})", self.0.store)
    }
}

impl Artifacts {
    /// Opens the store in a local directory, which is made if it is missing.
    ///
    /// # Errors
    /// `Io` or `Store` if the directory cannot be used.
    pub fn open_local(dir: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(dir).map_err(Error::io("create directory", dir))?;
        let store = LocalFileSystem::new_with_prefix(dir)
            .map_err(|source| Error::Store {
                operation: "open",
                name: dir.display().to_string(),
                source,
            })?
            .with_fsync(true);
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(THREADS)
            .thread_name("helmr-artifacts")
            .enable_all()
            .build()
            .map_err(Error::io("start threads for", dir))?;
        let inner = Arc::new(Inner {
            store: Arc::new(store),
            disk: Disk::new(dir),
            works: Arc::new(Semaphore::new(WORKS)),
            slow_works: Arc::new(Semaphore::new(SLOW_WORKS)),
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        });
        Ok(Self(inner, Watch::default()))
    }

    /// Runs blocking artifact work for an asynchronous caller, on this store's own pool. At most eight begin at a time; one
    /// that takes long makes room for others. When the future is dropped, work that has begun ends at its next step with
    /// what it has. Do not nest: the inner one could wait for the outer.
    ///
    /// # Errors
    /// Those of `work`; `Abandoned` if it panicked.
    pub async fn run<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: FnOnce(&Self) -> Result<T, E> + Send + 'static,
    {
        let permit = Arc::clone(&self.0.works)
            .acquire_owned()
            .await
            .map_err(|_| Error::Abandoned)?;
        let place = Arc::new(Mutex::new(permit));
        let (watch, _abandon) = Watch::new();
        let artifacts = Self(Arc::clone(&self.0), watch);
        // By itself, since whoever waits for the work may go and the work then takes its time to end.
        drop(self.0.handle.spawn(make_room(
            Arc::clone(&self.0.slow_works),
            Arc::downgrade(&place),
        )));
        self.0
            .handle
            .spawn_blocking(move || {
                let done = work(&artifacts);
                drop(place);
                done
            })
            .await
            .map_err(|_| Error::Abandoned)?
    }

    /// A handle for the same work, of which `told` hears at each entry of a tree. For tests that end the process there.
    #[must_use]
    pub fn at_entries(&self, told: fn()) -> Self {
        Self(Arc::clone(&self.0), self.1.at_entries(told))
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.1
    }

    /// Waits for `future` on this store's threads. Panics in an asynchronous task.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.handle.block_on(future)
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.0.handle
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.0.disk
    }

    /// Wants an object that may exist: it is not swept soon then. Whether it does.
    pub(crate) fn renew(&self, kind: Kind, name: &[u8; 32]) -> Result<bool, Error> {
        self.0.disk.renew(kind, name)
    }

    async fn renew_beside(&self, kind: Kind, name: [u8; 32]) -> Result<bool, Error> {
        let disk = self.0.disk.clone();
        self.0
            .handle
            .spawn_blocking(move || disk.renew(kind, &name))
            .await
            .map_err(|_| Error::Abandoned)?
    }

    /// Seals and writes an object unless it exists. Returns the bytes written, 0 if it did.
    pub(crate) async fn put(
        &self,
        keys: &KeySet,
        kind: Kind,
        name: [u8; 32],
        plain: Vec<u8>,
    ) -> Result<u64, Error> {
        if self.renew_beside(kind, name).await? {
            return Ok(0);
        }
        let keys = keys.clone();
        let envelope = self
            .0
            .handle
            .spawn_blocking(move || seal::seal(&keys, kind, &name, &plain))
            .await
            .map_err(|_| Error::Abandoned)??;
        let length = envelope.len() as u64;
        match self
            .0
            .store
            .put_opts(
                &path(kind, &name),
                PutPayload::from(envelope),
                PutMode::Create.into(),
            )
            .await
        {
            Ok(_) => Ok(length),
            // Another writer had the same content at the same time.
            Err(object_store::Error::AlreadyExists { .. }) => Ok(0),
            Err(source) => Err(failed("write", kind, &name, source)),
        }
    }

    /// Reads and opens an object.
    pub(crate) async fn get(
        &self,
        keys: &KeySet,
        kind: Kind,
        name: [u8; 32],
    ) -> Result<Vec<u8>, Error> {
        let mut tries = 0;
        let found = loop {
            match self.0.store.get(&path(kind, &name)).await {
                Ok(found) => break found,
                // It may be set aside, or on its way there or back.
                Err(object_store::Error::NotFound { .. }) if tries < FOLLOWED => {
                    tries += 1;
                    if self.renew_beside(kind, name).await? {
                        continue;
                    }
                }
                Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(failed("read", kind, &name, source)),
            }
            return Err(Error::NotFound {
                what: kind.noun(),
                name: encode_hex(&name),
            });
        };
        let limit = (kind.limit() + seal::OVERHEAD) as u64;
        if found.meta.size > limit {
            return Err(Error::Corrupt {
                what: kind.noun(),
                name: encode_hex(&name),
                reason: "it is over the size limit",
            });
        }
        let envelope = found
            .bytes()
            .await
            .map_err(|source| failed("read", kind, &name, source))?;
        let keys = keys.clone();
        self.0
            .handle
            .spawn_blocking(move || seal::open(&keys, kind, &name, envelope.into()))
            .await
            .map_err(|_| Error::Abandoned)?
    }
}

/// Has a work that takes long give up its place for one among the slow.
async fn make_room(slow_works: Arc<Semaphore>, place: Weak<Mutex<OwnedSemaphorePermit>>) {
    tokio::time::sleep(SLOW_AFTER).await;
    if place.strong_count() == 0 {
        return;
    }
    let Ok(permit) = slow_works.acquire_owned().await else {
        return;
    };
    if let Some(place) = place.upgrade() {
        *place.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }
}

fn path(kind: Kind, name: &[u8; 32]) -> ObjectPath {
    let name = encode_hex(name);
    ObjectPath::from_iter([folder_of(kind), &name[..2], &name])
}

const fn folder_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Chunk => "chunks",
        Kind::Manifest => "manifests",
    }
}

fn failed(
    operation: &'static str,
    kind: Kind,
    name: &[u8; 32],
    source: object_store::Error,
) -> Error {
    Error::Store {
        operation,
        name: path(kind, name).to_string(),
        source,
    }
}
