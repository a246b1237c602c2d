//! Plans for small worlds.

use super::*;
use crate::Timestamp;

fn worker_id(number: u8) -> WorkerId {
    WorkerId::new(Timestamp::from_micros(0), [number; 10])
}

fn workspace(number: u8) -> WorkspaceId {
    WorkspaceId::new(Timestamp::from_micros(0), [number; 10])
}

fn worker(number: u8, memory_mib: u64) -> Worker {
    Worker {
        id: worker_id(number),
        capacity: Capacity {
            cpu_millis: 2_000,
            memory_mib,
            disk_mib: 10_000,
            slots: 4,
        },
        used: Capacity::default(),
        disk_free_mib: 10_000,
        drivers: vec!["gvisor".to_owned()],
        protocols: vec![1],
        idle: Vec::new(),
    }
}

fn demand(number: u8, memory_mib: u64) -> Demand {
    Demand {
        workspace: workspace(number),
        cpu_millis: 1_000,
        memory_mib,
        driver: None,
        only: None,
        prefer: None,
        protocol: 1,
    }
}

/// Checks a plan, told as `w1>1` (workspace 1 on worker 1), `w1!reason` and `w1~` (make room).
fn check(workers: &[Worker], demands: &[Demand], expected: &[&str]) {
    let name = |id: WorkspaceId| {
        (0..=255)
            .find(|number| workspace(*number) == id)
            .unwrap_or(0)
    };
    let got: Vec<String> = plan(workers, demands)
        .into_iter()
        .map(|action| match action {
            Action::Place {
                workspace, worker, ..
            } => {
                let worker = (0..=255).find(|number| worker_id(*number) == worker);
                format!("w{}>{}", name(workspace), worker.unwrap_or(0))
            }
            Action::Hold { workspace, reason } => format!("w{}!{reason}", name(workspace)),
            Action::MakeRoom { workspace } => format!("w{}~", name(workspace)),
        })
        .collect();
    assert_eq!(got, expected);
}

#[test]
fn machines_spread_and_memory_is_reserved() {
    let workers = [worker(1, 1_024), worker(2, 2_048)];
    let demands = [
        demand(1, 1_024),
        demand(2, 1_024),
        demand(3, 1_024),
        demand(4, 1_024),
    ];
    check(
        &workers,
        &demands,
        &["w1>2", "w2>2", "w3>1", "w4!no worker has room now"],
    );
}

#[test]
fn cpu_is_overcommitted_and_slots_are_counted() {
    let mut small = worker(1, 100_000);
    small.capacity.cpu_millis = 250;
    let demands = [demand(1, 1), demand(2, 1), demand(3, 1)];
    check(
        &[small],
        &demands,
        &["w1>1", "w2>1", "w3!no worker has room now"],
    );
    let mut narrow = worker(1, 100_000);
    narrow.capacity.slots = 1;
    check(
        &[narrow],
        &demands[..2],
        &["w1>1", "w2!no worker has room now"],
    );
}

#[test]
fn a_reason_says_what_is_missing() {
    check(&[], &[demand(1, 1)], &["w1!no worker is connected"]);
    let one = [worker(1, 1_024)];
    let bound = Demand {
        only: Some(worker_id(2)),
        ..demand(1, 1)
    };
    check(
        &one,
        &[bound],
        &["w1!the worker that holds the workspace's checkpoint is not connected"],
    );
    let modern = Demand {
        protocol: 2,
        ..demand(1, 1)
    };
    check(&one, &[modern], &["w1!no worker speaks protocol 2"]);
    let hard = Demand {
        driver: Some("microvm".to_owned()),
        ..demand(1, 1)
    };
    check(
        &one,
        &[hard],
        &["w1!no worker has a fitting isolation driver"],
    );
    check(
        &one,
        &[demand(1, 2_000)],
        &["w1!no worker is large enough for 2000 MiB of memory and 1000 milli-CPU"],
    );
}

#[test]
fn the_worker_with_the_files_is_preferred() {
    let near = Demand {
        prefer: Some(worker_id(1)),
        ..demand(1, 10)
    };
    check(&[worker(1, 1_000), worker(2, 9_000)], &[near], &["w1>1"]);
}

#[test]
fn idle_machines_are_asked_once_and_only_as_many_as_needed() {
    let mut full = worker(1, 2_048);
    full.used = Capacity {
        cpu_millis: 2_000,
        memory_mib: 2_048,
        disk_mib: 0,
        slots: 2,
    };
    full.idle = [7, 8]
        .map(|number| Idle {
            workspace: workspace(number),
            cpu_millis: 1_000,
            memory_mib: 1_024,
            leaving: false,
        })
        .to_vec();
    check(
        std::slice::from_ref(&full),
        &[demand(1, 1_024)],
        &["w7~", "w1!no worker has room now"],
    );
    full.idle[0].leaving = true;
    check(&[full], &[demand(1, 1_024)], &["w1!no worker has room now"]);
}

#[test]
fn idle_machines_make_room_where_the_processor_is_what_lacks() {
    let mut full = worker(1, 99_000);
    full.used.cpu_millis = full.capacity.cpu_millis * limits::CPU_OVERCOMMIT;
    full.idle = vec![Idle {
        workspace: workspace(7),
        cpu_millis: 1_000,
        memory_mib: 1_024,
        leaving: false,
    }];
    check(
        &[full],
        &[demand(1, 1_024)],
        &["w7~", "w1!no worker has room now"],
    );
}

#[test]
fn a_full_disk_takes_no_new_machine_and_keeps_those_that_are_parked_there() {
    let mut full = worker(1, 4_000);
    full.disk_free_mib = limits::DISK_RESERVE_MIB - 1;
    let new = demand(1, 100);
    let woken = Demand {
        driver: Some("gvisor".to_owned()),
        only: Some(full.id),
        ..demand(2, 100)
    };
    let actions = plan(&[full.clone()], &[new.clone(), woken]);
    assert!(
        matches!(&actions[0], Action::Hold { reason, .. } if reason.contains("disk")),
        "{actions:?}"
    );
    assert!(matches!(&actions[1], Action::Place { worker, .. } if *worker == full.id));
    let actions = plan(&[full, worker(2, 2_000)], &[new]);
    assert!(matches!(&actions[0], Action::Place { worker, .. } if *worker == worker_id(2)));
}
