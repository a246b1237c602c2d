//! `/workers`.

use axum::Json;
use axum::extract::State;
use helmr_api::http::page::{Page, PageQuery};
use helmr_api::http::workers::{Worker, WorkerCapacity, WorkerDriver};
use helmr_domain::WorkerId;
use helmr_domain::placement::Capacity;
use helmr_store::worker::{self, Worker as Row};
use serde_json::Value;

use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::parameters::Query;
use crate::http::refusals::Refusals;
use crate::{ApiError, Control};

fn view(control: &Control, row: &Row) -> Worker {
    Worker {
        id: row.id,
        name: row.name.clone(),
        group: row.group_id.to_string(),
        state: row.state.clone(),
        connected: control.hub.is_connected(row.id),
        labels: row.report.labels.clone(),
        drivers: row.report.drivers.iter().map(driver).collect(),
        protocols: row.report.protocols.clone(),
        capacity: capacity(row.report.capacity),
        free: capacity(row.free),
        last_seen_at: Some(row.last_seen_at.into()),
        created_at: row.created_at.into(),
    }
}

const fn capacity(row: Capacity) -> WorkerCapacity {
    WorkerCapacity {
        cpu_millis: row.cpu_millis,
        memory_mib: row.memory_mib,
        disk_mib: row.disk_mib,
        slots: row.slots,
    }
}

fn driver(report: &Value) -> WorkerDriver {
    let text = |name: &str| report[name].as_str().unwrap_or_default().to_owned();
    let is = |name: &str| report[name].as_bool().unwrap_or(false);
    WorkerDriver {
        name: text("name"),
        identity: text("identity"),
        memory_checkpoint: is("memory_checkpoint"),
        hardware_isolation: is("hardware_isolation"),
        network_policy: is("network_policy"),
        hard_disk_limit: is("hard_disk_limit"),
    }
}

/// Lists the workers of the organization, newest first.
#[utoipa::path(get, path = "/api/v1/workers", operation_id = "list_workers", tag = "workers",
    params(PageQuery), responses((status = OK, body = Page<Worker>), Refusals))]
pub(crate) async fn list_workers(
    State(control): State<Control>,
    _: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Worker>>, ApiError> {
    let before: Option<WorkerId> = cursor::read(query.cursor.as_deref())?;
    let limit = cursor::limit(query.limit)?;
    let organization = control.installation.organization;
    let page = worker::page(&control.store, organization, before, limit).await?;
    Ok(Json(cursor::page(page, |row| view(&control, row))))
}
