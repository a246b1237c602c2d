//! The object store and the bounded pool that talks to it.
//!
//! Objects are written once and never changed: `chunks/<aa>/<name>` and `manifests/<aa>/<id>`, where `aa` are the first
//! two digits. A write that returned is durable.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;

use crate::hex::encode_hex;
use crate::seal::{self, Kind};
use crate::{Error, KeySet};

/// Pieces of work (captures, transfers) at a time; more wait their turn.
const WORKS: usize = 8;
/// Threads for those works and for the store's own file operations, which must not wait for each other.
const THREADS: usize = WORKS + 16;

/// The artifact store. Cheap to clone.
#[derive(Clone)]
pub struct Artifacts(Arc<Inner>);

struct Inner {
    store: Arc<dyn ObjectStore>,
    works: Arc<Semaphore>,
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
        Ok(Self(Arc::new(Inner {
            store: Arc::new(store),
            works: Arc::new(Semaphore::new(WORKS)),
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })))
    }

    /// Runs blocking artifact work for an asynchronous caller, on this store's own pool. At most eight run at a time.
    /// Dropping the future does not stop work that has begun. Do not nest: the inner one could wait for the outer.
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
        let artifacts = self.clone();
        self.0
            .handle
            .spawn_blocking(move || {
                let done = work(&artifacts);
                drop(permit);
                done
            })
            .await
            .map_err(|_| Error::Abandoned)?
    }

    /// Waits for `future` on this store's threads. Panics in an asynchronous task.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.handle.block_on(future)
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.0.handle
    }

    /// Whether an object of a plausible size exists. A torn one counts as missing, though the store never makes one.
    pub(crate) async fn exists(&self, kind: Kind, name: &[u8; 32]) -> Result<bool, Error> {
        match self.0.store.head(&path(kind, name)).await {
            Ok(meta) => Ok(meta.size >= seal::OVERHEAD as u64),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(failed("look up", kind, name, source)),
        }
    }

    /// Seals and writes an object unless it exists. Returns the bytes written, 0 if it did.
    pub(crate) async fn put(
        &self,
        keys: &KeySet,
        kind: Kind,
        name: [u8; 32],
        plain: Vec<u8>,
    ) -> Result<u64, Error> {
        if self.exists(kind, &name).await? {
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
        let found = match self.0.store.get(&path(kind, &name)).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => {
                return Err(Error::NotFound {
                    what: kind.noun(),
                    name: encode_hex(&name),
                });
            }
            Err(source) => return Err(failed("read", kind, &name, source)),
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

fn path(kind: Kind, name: &[u8; 32]) -> ObjectPath {
    let name = encode_hex(name);
    let folder = match kind {
        Kind::Chunk => "chunks",
        Kind::Manifest => "manifests",
    };
    ObjectPath::from_iter([folder, &name[..2], &name])
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
