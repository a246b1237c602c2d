//! A worker from the outside: started, waited for, told to stop.

use std::fs::{self, File};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helmr_api::transport::Connector;
use helmr_api::worker::{DriverReport, Registered};
use helmr_artifacts::{Artifacts, DataKey, KeySet};
use helmr_files::Works;
use helmr_machine::Driver;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::adopt::adopt;
use crate::base::{Base, Terms};
use crate::bundles::Bundles;
use crate::client::Client;
use crate::directory::{Directory, remove};
use crate::disks::Disks;
use crate::dispatcher::Dispatcher;
use crate::images::Images;
use crate::turns::Turns;
use crate::{Config, Error, connect, housekeeping, identity, lease, serve};

/// What a machine may take to be set aside once its grace is over.
const PARK_WITHIN: Duration = Duration::from_secs(120);

/// Starts workers.
#[derive(Debug)]
pub struct Worker;

impl Worker {
    /// Starts a worker: reads what an earlier one left in its directory and begins to reach for the control plane, for
    /// ever. Returns before the control plane has answered; see [`Running::ready`].
    ///
    /// # Errors
    /// `Io` if the data directory cannot be used; `InUse` if another worker uses it.
    #[expect(
        clippy::unused_async,
        reason = "starting belongs on a runtime, and may come to wait for something"
    )]
    pub async fn start<D: Driver>(
        config: Config,
        driver: D,
        artifacts: Artifacts,
        transport: Connector,
    ) -> Result<Running, Error> {
        let directory = Directory::open(&config.data_dir)?;
        let lock = lock(&directory)?;
        empty(&directory)?;
        let hard_disk_limit = config.hard_disk_limit && driver.capabilities().hard_disk_limit;
        let description = DriverReport {
            hard_disk_limit,
            ..identity::describe(&driver.capabilities(), &driver.identity())
        };
        let disks = Disks::open(directory.clone(), hard_disk_limit);
        let base = Arc::new(Base {
            directory,
            driver,
            driver_name: description.name.clone(),
            artifacts,
            client: Arc::new(Client::new(transport, config.enrolment_token.clone())),
            guest_dir: config.guest_dir.clone(),
            images: Images::default(),
            bundles: Bundles::default(),
            disks,
            cache_bytes: config.cache_bytes,
            tidy: Notify::new(),
            turns: Turns::default(),
            works: Works::default(),
            terms: OnceLock::new(),
            renew: Notify::new(),
            draining: CancellationToken::new(),
        });
        let dispatcher = Arc::new(Dispatcher::new(Arc::clone(&base), config.capacity));
        let (stage, following) = watch::channel(Stage::Starting);
        let life = Life {
            config,
            description,
            base,
            dispatcher: Arc::clone(&dispatcher),
            stage,
        };
        let draining = life.base.draining.clone();
        let renew = Arc::clone(&life.base);
        Ok(Running {
            reins: Box::new(Reins {
                dispatcher,
                base: renew,
            }),
            draining,
            stage: following,
            _life: AbortOnDropHandle::new(tokio::spawn(life.run())),
            _lock: lock,
        })
    }
}

/// A worker that runs. Dropping it ends it where it stands, as a kill would: machines stay and the next start adopts
/// them.
pub struct Running {
    reins: Box<dyn Reined>,
    draining: CancellationToken,
    stage: watch::Receiver<Stage>,
    _life: AbortOnDropHandle<()>,
    _lock: File,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Running")
            .field("stage", &*self.stage.borrow())
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
enum Stage {
    Starting,
    /// Registered, and what was left is adopted or cleaned; `connected` tells the rest.
    Adopted {
        connected: watch::Receiver<bool>,
    },
    Refused {
        code: String,
        message: String,
    },
}

impl Running {
    /// Waits until the worker is registered, has adopted what was left, and takes assignments.
    ///
    /// # Errors
    /// `Refused` if the control plane does not want it.
    pub async fn ready(&self) -> Result<(), Error> {
        let mut stage = self.stage.clone();
        let reached = stage
            .wait_for(|stage| !matches!(stage, Stage::Starting))
            .await
            .map(|stage| stage.clone());
        match reached {
            Ok(Stage::Adopted { mut connected }) => {
                // Its sender lives as long as the worker.
                drop(connected.wait_for(|connected| *connected).await);
                Ok(())
            }
            Ok(Stage::Refused { code, message }) => Err(Error::Refused { code, message }),
            Ok(Stage::Starting) | Err(_) => Err(Error::Ended),
        }
    }

    /// Stops: lets runs reach a wait for up to `drain_grace`, parks every machine, running ones too, and returns when
    /// none is left. A machine that cannot be parked is left running, for the next worker to adopt.
    pub async fn shutdown(self, drain_grace: Duration) {
        self.draining.cancel();
        self.reins.drain(drain_grace);
        let parked = async {
            // What an earlier worker left is this one's to set aside, so it is adopted first.
            let mut stage = self.stage.clone();
            drop(
                stage
                    .wait_for(|stage| !matches!(stage, Stage::Starting))
                    .await,
            );
            self.reins.emptied().await;
        };
        if timeout(drain_grace + PARK_WITHIN, parked).await.is_err() {
            tracing::error!("some machines could not be parked; they are left for the next worker");
        } else if let Err(error) = self.reins.retire() {
            tracing::warn!(%error, "the isolation runtime still holds something");
        }
        self.reins.let_disks_go().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.reins.abandon();
    }
}

/// The dispatcher without its driver's type.
trait Reined: Send + Sync {
    fn drain(&self, grace: Duration);
    fn emptied(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    fn abandon(&self);
    fn retire(&self) -> Result<(), helmr_machine::Error>;
    fn let_disks_go(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

struct Reins<D> {
    dispatcher: Arc<Dispatcher<D>>,
    base: Arc<Base<D>>,
}

impl<D: Driver> Reined for Reins<D> {
    fn drain(&self, grace: Duration) {
        // The control plane is to place nothing here from now on.
        self.base.renew.notify_one();
        self.dispatcher.drain(grace);
    }

    fn emptied(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.dispatcher.emptied())
    }

    fn abandon(&self) {
        self.dispatcher.abandon();
    }

    fn retire(&self) -> Result<(), helmr_machine::Error> {
        self.base.driver.retire()
    }

    fn let_disks_go(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let disks = Arc::clone(&self.base.disks);
        Box::pin(async move {
            if tokio::task::spawn_blocking(move || disks.retire())
                .await
                .is_err()
            {
                tracing::error!("letting the disks go panicked");
            }
        })
    }
}

struct Life<D> {
    config: Config,
    description: DriverReport,
    base: Arc<Base<D>>,
    dispatcher: Arc<Dispatcher<D>>,
    stage: watch::Sender<Stage>,
}

impl<D: Driver> Life<D> {
    async fn run(self) {
        let base = &self.base;
        let registered = identity::register(
            &base.directory,
            &self.config,
            self.description,
            &base.client,
        )
        .await
        .and_then(|registered| {
            let terms = terms(&registered)?;
            tracing::info!(worker.id = %registered.worker_id, "worker registered");
            Ok(terms)
        });
        let terms = match registered {
            Ok(terms) => terms,
            Err(error) => {
                let (code, message) = match error {
                    Error::Refused { code, message } => (code, message),
                    other => ("internal".to_owned(), serve::describe(&other)),
                };
                tracing::error!(error.code = code, message, "the worker cannot work");
                self.stage.send_replace(Stage::Refused { code, message });
                return;
            }
        };
        let (interval, ttl) = (terms.heartbeat_interval, terms.lease_ttl);
        // Set once: a worker registers once in its life.
        drop(base.terms.set(terms));
        adopt(base, &self.dispatcher).await;
        let (connecting, connected) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(lease::keep(
            Arc::clone(base),
            Arc::clone(&self.dispatcher),
            interval,
            ttl,
        ));
        tasks.spawn(housekeeping::keep(
            Arc::clone(base),
            Arc::clone(&self.dispatcher),
        ));
        let routes = serve::routes(Arc::clone(&self.dispatcher));
        tasks.spawn(connect::keep(Arc::clone(&base.client), routes, connecting));
        self.stage.send_replace(Stage::Adopted { connected });
        // Both run for ever; what ends them is that this worker is dropped.
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the worker panicked");
            }
        }
    }
}

fn terms(registered: &Registered) -> Result<Terms, Error> {
    let installation_keys = STANDARD
        .decode(&registered.installation_key)
        .ok()
        .and_then(|bytes| DataKey::from_bytes(&bytes))
        .map(|key| KeySet::derive(&key))
        .ok_or_else(|| Error::Refused {
            code: "invalid_answer".to_owned(),
            message: "the installation's key is not a key".to_owned(),
        })?;
    let worker_lost_after = Duration::from_millis(registered.worker_lost_after_ms);
    Ok(Terms {
        heartbeat_interval: Duration::from_millis(registered.heartbeat_interval_ms.max(50)),
        lease_ttl: Duration::from_millis(registered.lease_ttl_ms.max(200)),
        silence_limit: worker_lost_after / 4 * 3,
        installation_keys,
    })
}

/// Takes the directory for this worker alone, as long as the file is open.
fn lock(directory: &Directory) -> Result<File, Error> {
    let path = directory.lock();
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| Error::InUse { path })?;
    Ok(file)
}

/// Removes what an earlier worker was about to make or to remove.
fn empty(directory: &Directory) -> Result<(), Error> {
    let scratch = directory.scratch();
    remove(&scratch)
        .and_then(|()| fs::create_dir_all(&scratch))
        .map_err(Error::io("empty", scratch))?;
    let machines = directory.machines();
    let entries = fs::read_dir(&machines).map_err(Error::io("read", &machines))?;
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with('.') {
            drop(remove(&entry.path()));
        }
    }
    Ok(())
}
