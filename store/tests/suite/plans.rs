//! Hot statements go through an index, whatever the size of their tables.

use anyhow::Result;
use helmr_store::check::sqlite_plan;

/// Checks that no step reads a whole table, but for those named.
fn check(statement: &str, may_scan: &[&str]) -> Result<()> {
    let plan = sqlite_plan(statement)?;
    assert!(!plan.is_empty());
    for step in &plan {
        let whole = step.starts_with("SCAN ")
            && !step.contains("USING INDEX")
            && !step.contains("USING COVERING INDEX");
        let allowed = may_scan
            .iter()
            .any(|table| unnumbered(step) == format!("SCAN {table}"));
        assert!(!whole || allowed, "{statement}:\n{}", plan.join("\n"));
    }
    Ok(())
}

/// A step without the number of a subquery, which counts what stands before it.
fn unnumbered(step: &str) -> &str {
    step.split_once("(subquery-").map_or(step, |(before, _)| {
        &step[..before.len() + "(subquery".len()]
    })
}

#[test]
fn hot_statements_use_an_index() -> Result<()> {
    for statement in [
        "events::APPEND",
        "events::LIST",
        "execs::output::DROP_BEFORE",
        "execs::output::PIECES",
        "execs::row::ACTIVE",
        "execs::row::FIND",
        "execs::row::LIST",
        "keys::FIND",
        "public_tokens::row::FIND",
        "public_tokens::row::LIST",
        "public_tokens::row::LIST_OF_SESSION",
        "public_tokens::row::LIST_OF_TOKEN",
        "lease::FIND",
        "outbox::PENDING",
        "outbox::RAISE_REVISION",
        "quotas::MACHINES",
        "quotas::VERSION_BYTES",
        "quotas::WORKSPACES",
        "runs::row::FIND",
        "runs::row::LIST",
        "runs::row::LIST_OF_SESSION",
        "runs::row::LIST_IN_WORKSPACE",
        "runs::row::LIST_QUEUED_IN_WORKSPACE",
        "runs::write::SAVE",
        "runs::log::SEGMENTS",
        "runs::queue::AHEAD",
        "sessions::row::FIND_OPEN",
        "sessions::list::LIST",
        "sessions::list::LIST_IN_WORKSPACE",
        "sessions::list::LIST_TAGGED",
        "streams::declared::DECLARED",
        "streams::row::AFTER",
        "streams::row::FIND_BY_KEY",
        "streams::row::ALL_POSITIONS",
        "streams::transcript::TRANSCRIPT",
        "timers::NEXT",
        "timers::fire::DUE",
        "tokens::row::FIND_BY_CALLBACK",
        "tokens::row::PENDING_OF_RUN",
        "tokens::list::LIST",
        "tokens::list::LIST_OF_RUN",
        "tokens::list::LIST_OF_SESSION",
        "tokens::list::LIST_TAGGED",
        "wait::row::FIND_CALL",
        "wait::row::ON_TOKEN",
        "wait::row::ON_STREAM",
        "wait::row::UNDELIVERED",
        "wait::row::UNDELIVERED_OF_RUN",
        "wait::row::CLAIMED",
        "machine::row::CURRENT",
        "worker::assignment::HELD_BY",
        "workspaces::end::OPEN_SESSIONS",
        "workspaces::end::UNFINISHED",
        "workspaces::list::LIST",
        "workspaces::list::LIST_NAMED",
        "workspaces::list::LIST_TAGGED",
        "workspaces::row::FIND_EXTERNAL",
        "workspaces::row::GET",
        "worker::reap::RAN_OUT",
        "worker::place::snapshot::IDLE",
        "worker::place::snapshot::USED",
        "worker::place::snapshot::QUEUED_NEED",
    ] {
        check(statement, &[])?;
    }
    Ok(())
}

#[test]
fn a_filtered_list_goes_through_the_index_of_its_filter() -> Result<()> {
    for (statement, index) in [
        ("sessions::list::LIST_IN_WORKSPACE", "sessions_in_workspace"),
        ("sessions::list::LIST_TAGGED", "environment_id=? AND tag=?"),
        ("tokens::list::LIST_OF_RUN", "tokens_of_run"),
        ("tokens::list::LIST_OF_SESSION", "tokens_of_session"),
        ("tokens::list::LIST_TAGGED", "environment_id=? AND tag=?"),
        (
            "public_tokens::row::LIST_OF_TOKEN",
            "public_access_tokens_of_token",
        ),
        ("streams::transcript::TRANSCRIPT", "stream_records_position"),
        (
            "workspaces::list::LIST_TAGGED",
            "environment_id=? AND tag=?",
        ),
    ] {
        let plan = sqlite_plan(statement)?.join("\n");
        assert!(plan.contains(index), "{statement}:\n{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{statement}:\n{plan}");
    }
    Ok(())
}

#[test]
fn looking_for_what_is_wanted_reads_only_what_may_be() -> Result<()> {
    // The queue's head and what was found are passed on whole; both are bounded. Of queues with a limit all that is
    // queued is counted through, in the order of its index.
    check(
        "worker::place::snapshot::WANTED",
        &["q", "x", "wanting", "l", "h", "(subquery"],
    )
}

#[test]
fn placement_does_not_read_parked_machines() -> Result<()> {
    for statement in [
        "worker::place::snapshot::USED",
        "worker::place::snapshot::IDLE",
    ] {
        let plan = sqlite_plan(statement)?.join("\n");
        assert!(plan.contains("materializations_taking_room"), "{plan}");
    }
    Ok(())
}
