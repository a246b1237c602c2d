//! Workers.

use helmr_api::http::workers::{Worker, WorkerCapacity};

use super::ago;
use crate::moment;
use crate::style::Style;
use crate::table::Table;

/// Said instead of an empty list.
pub(crate) const NOTHING: &str = "No workers: `helmr up` has one.";

pub(crate) fn list(workers: &[Worker], style: Style) -> String {
    let mut table = Table::new([
        "NAME",
        "STATE",
        "CONNECTED",
        "DRIVERS",
        "FREE",
        "SEEN",
        "ID",
    ]);
    for worker in workers {
        table.row([
            worker.name.clone(),
            worker.state.clone(),
            if worker.connected { "yes" } else { "no" }.to_owned(),
            drivers(worker),
            free(&worker.free, &worker.capacity),
            worker.last_seen_at.map(ago).unwrap_or_default(),
            worker.id.to_string(),
        ]);
    }
    table.render(style)
}

fn drivers(worker: &Worker) -> String {
    let names: Vec<&str> = worker
        .drivers
        .iter()
        .map(|driver| driver.name.as_str())
        .collect();
    names.join(", ")
}

/// `1.2 of 2.0 cpu, 3.0 GiB of 4.0 GiB`.
fn free(free: &WorkerCapacity, all: &WorkerCapacity) -> String {
    let memory = |mib: u64| moment::size(mib << 20);
    format!(
        "{}.{} of {}.{} cpu, {} of {}",
        free.cpu_millis / 1_000,
        free.cpu_millis % 1_000 / 100,
        all.cpu_millis / 1_000,
        all.cpu_millis % 1_000 / 100,
        memory(free.memory_mib),
        memory(all.memory_mib)
    )
}
