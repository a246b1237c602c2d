//! Workers: registered, connected, found.

use helmr_domain::placement::Capacity;
use helmr_domain::{GroupId, Moment, OrganizationId, Timestamp, WorkerId};
use serde_json::Value;

use crate::db::{Json, Row, Tx, params, sql};
use crate::runs::after_all;
use crate::{Error, Hint, Page, Result, Store, outbox};

#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    pub id: WorkerId,
    pub organization: OrganizationId,
    pub group_id: GroupId,
    pub name: String,
    /// `active`, `draining` or `offline`.
    pub state: String,
    pub connected: bool,
    pub report: Report,
    pub free: Capacity,
    pub last_seen_at: Timestamp,
    pub created_at: Timestamp,
}

/// What a worker says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub name: String,
    pub capacity: Capacity,
    pub labels: Vec<String>,
    /// Driver reports as the protocol has them, the preferred one first; each has a `name`.
    pub drivers: Vec<Value>,
    pub protocols: Vec<u32>,
}

#[derive(Debug, Clone)]
pub struct Register {
    pub at: Moment,
    pub auth: Auth,
    pub report: Report,
}

/// By what a worker proves itself.
#[derive(Debug, Clone)]
pub enum Auth {
    /// New, or known by `worker_id` and then given a new credential.
    Enrolment {
        hash: [u8; 32],
        worker_id: Option<WorkerId>,
        /// Of the credential that it is given.
        credential_hash: [u8; 32],
    },
    Credential {
        hash: [u8; 32],
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Registered {
    pub worker: Worker,
    /// Whether the credential of the input is its credential from now on.
    pub credential_set: bool,
}

macro_rules! select {
    () => {
        "SELECT id, organization_id, group_id, name, state, connected, cpu_millis, memory_mib,
            disk_mib, slots, free, labels, drivers, protocols, last_seen_at, created_at
        FROM workers
        "
    };
}

sql! {
    GET = concat!(select!(), "WHERE id = $1");

    FIND_BY_CREDENTIAL = concat!(select!(), "WHERE credential_hash = $1");

    LIST = concat!(select!(), "WHERE organization_id = $1
        ORDER BY id DESC");

    PAGE = concat!(select!(), "WHERE organization_id = $1 AND id < $2
        ORDER BY id DESC
        LIMIT $3");

    FIND_GROUP = "SELECT id, organization_id
        FROM worker_groups
        WHERE enrolment_hash = $1";

    INSERT = "INSERT INTO workers (
            id, organization_id, group_id, name, credential_hash, state, connected, cpu_millis,
            memory_mib, disk_mib, slots, free, labels, drivers, protocols, last_seen_at, created_at
        )
        VALUES ($1, $2, $3, $4, $5, 'active', 0, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)";

    SAVE = "UPDATE workers
        SET name = $2, state = 'active', cpu_millis = $3, memory_mib = $4, disk_mib = $5,
            slots = $6, free = $7, labels = $8, drivers = $9, protocols = $10, last_seen_at = $11
        WHERE id = $1";

    SET_CREDENTIAL = "UPDATE workers
        SET credential_hash = $2
        WHERE id = $1";

    SET_CONNECTED = "UPDATE workers
        SET connected = $2, last_seen_at = $3
        WHERE id = $1";

    /// What a worker that comes or changes may help is looked at again in its own order.
    FORGET_REASONS = "UPDATE workspaces
        SET placement_reason = NULL
        WHERE placement_reason IS NOT NULL";

    SET_DISCONNECTED = "UPDATE workers
        SET connected = 0
        WHERE id = $1";
}

pub(super) fn read(mut row: Row) -> Result<Worker> {
    let row = &mut row;
    let id = row.take("id")?;
    let organization = row.take("organization_id")?;
    let group_id = row.take("group_id")?;
    let name: String = row.take("name")?;
    let state = row.take("state")?;
    let connected = row.take("connected")?;
    let capacity = Capacity {
        cpu_millis: row.take("cpu_millis")?,
        memory_mib: row.take("memory_mib")?,
        disk_mib: row.take("disk_mib")?,
        slots: row.take("slots")?,
    };
    let Json(free) = row.take("free")?;
    let Json(labels) = row.take("labels")?;
    let Json(drivers) = row.take("drivers")?;
    let Json(protocols) = row.take("protocols")?;
    Ok(Worker {
        id,
        organization,
        group_id,
        name: name.clone(),
        state,
        connected,
        report: Report {
            name,
            capacity,
            labels,
            drivers,
            protocols,
        },
        free,
        last_seen_at: row.take("last_seen_at")?,
        created_at: row.take("created_at")?,
    })
}

async fn find(tx: &mut Tx, id: WorkerId) -> Result<Option<Worker>> {
    tx.find(&GET, params![id]).await?.map(read).transpose()
}

async fn find_by_hash(tx: &mut Tx, hash: [u8; 32]) -> Result<Option<Worker>> {
    let found = tx.find(&FIND_BY_CREDENTIAL, params![hash]).await?;
    found.map(read).transpose()
}

/// Registers a worker, or what it says of itself anew. It is active from then on.
///
/// # Errors
/// `NotFound("group")` for an unknown enrolment token, `NotFound("worker")` for an unknown credential.
pub async fn register(store: &Store, input: Register) -> Result<Registered> {
    store
        .write(input, |tx, input| Box::pin(register_in(tx, input)))
        .await
}

async fn register_in(tx: &mut Tx, input: &Register) -> Result<Registered> {
    let (id, credential_set) = match &input.auth {
        Auth::Credential { hash } => {
            let worker = find_by_hash(tx, *hash)
                .await?
                .ok_or(Error::NotFound("worker"))?;
            (worker.id, false)
        }
        Auth::Enrolment {
            hash,
            worker_id,
            credential_hash,
        } => {
            let mut group = tx
                .find(&FIND_GROUP, params![*hash])
                .await?
                .ok_or(Error::NotFound("group"))?;
            let group_id: GroupId = group.take("id")?;
            let organization: OrganizationId = group.take("organization_id")?;
            let known = match worker_id {
                Some(id) => find(tx, *id).await?,
                None => None,
            };
            let id = match known.filter(|known| known.group_id == group_id) {
                Some(known) => {
                    tx.run(&SET_CREDENTIAL, params![known.id, *credential_hash])
                        .await?;
                    known.id
                }
                None => insert(tx, input, group_id, organization, *credential_hash).await?,
            };
            (id, true)
        }
    };
    save(tx, id, input).await?;
    let worker = find(tx, id).await?.ok_or(Error::NotFound("worker"))?;
    tx.run(&FORGET_REASONS, &[]).await?;
    tx.hint(Hint::Queue);
    Ok(Registered {
        worker,
        credential_set,
    })
}

async fn insert(
    tx: &mut Tx,
    input: &Register,
    group: GroupId,
    organization: OrganizationId,
    credential_hash: [u8; 32],
) -> Result<WorkerId> {
    let id = input.at.ids().make(WorkerId::new);
    let report = &input.report;
    let bound = params![
        id,
        organization,
        group,
        report.name,
        credential_hash,
        report.capacity.cpu_millis,
        report.capacity.memory_mib,
        report.capacity.disk_mib,
        report.capacity.slots,
        Json(report.capacity),
        Json(&report.labels),
        Json(&report.drivers),
        Json(&report.protocols),
        input.at.now
    ];
    tx.run(&INSERT, bound).await?;
    Ok(id)
}

async fn save(tx: &mut Tx, id: WorkerId, input: &Register) -> Result<()> {
    let report = &input.report;
    let bound = params![
        id,
        report.name,
        report.capacity.cpu_millis,
        report.capacity.memory_mib,
        report.capacity.disk_mib,
        report.capacity.slots,
        Json(report.capacity),
        Json(&report.labels),
        Json(&report.drivers),
        Json(&report.protocols),
        input.at.now
    ];
    tx.run(&SAVE, bound).await.map(drop)
}

/// # Errors
/// If the database fails.
pub async fn find_by_credential(store: &Store, hash: [u8; 32]) -> Result<Option<Worker>> {
    store
        .read(hash, |tx, hash| Box::pin(find_by_hash(tx, *hash)))
        .await
}

/// # Errors
/// If the database fails.
pub async fn get(store: &Store, id: WorkerId) -> Result<Option<Worker>> {
    store.read(id, |tx, id| Box::pin(find(tx, *id))).await
}

/// All workers of an organization, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(store: &Store, organization: OrganizationId) -> Result<Vec<Worker>> {
    store
        .read(organization, |tx, organization| {
            Box::pin(async move {
                let found = tx.rows(&LIST, params![*organization]).await?;
                found.into_iter().map(read).collect()
            })
        })
        .await
}

/// Workers of an organization, newest first.
///
/// # Errors
/// If the database fails.
pub async fn page(
    store: &Store,
    organization: OrganizationId,
    before: Option<WorkerId>,
    limit: u32,
) -> Result<Page<Worker, WorkerId>> {
    store
        .read((organization, before, limit), |tx, input| {
            let (organization, before, limit) = *input;
            Box::pin(async move {
                let before = before.map_or_else(after_all, |id| id.to_string());
                let bound = params![organization, before, u64::from(limit) + 1];
                let found = tx.rows(&PAGE, bound).await?;
                let found = found.into_iter().map(read).collect::<Result<Vec<_>>>()?;
                Ok(Page::cut(found, limit, |worker| worker.id))
            })
        })
        .await
}

/// The worker can be pushed to: its assignments are marked for pushing, and it may be given machines.
///
/// # Errors
/// `NotFound`.
pub async fn connected(store: &Store, id: WorkerId, at: Moment) -> Result<()> {
    store
        .write((id, at), |tx, input| {
            let (id, at) = *input;
            Box::pin(async move {
                if tx.run(&SET_CONNECTED, params![id, true, at.now]).await? == 0 {
                    return Err(Error::NotFound("worker"));
                }
                for workspace in super::assignment::held_by(tx, id).await? {
                    outbox::mark(tx, workspace, at).await?;
                }
                tx.run(&FORGET_REASONS, &[]).await?;
                tx.hint(Hint::Queue);
                Ok(())
            })
        })
        .await
}

/// The worker cannot be pushed to.
///
/// # Errors
/// If the database fails.
pub async fn disconnected(store: &Store, id: WorkerId, _at: Moment) -> Result<()> {
    store
        .write(id, |tx, id| {
            Box::pin(async move { tx.run(&SET_DISCONNECTED, params![*id]).await.map(drop) })
        })
        .await
}
