//! Machines that are lost, and what that costs.

use super::*;

#[test]
fn what_is_lost_before_the_tasks_code_began_is_dispatched_again() {
    let lost = Command::Lose(Loss::Worker);
    let told = [EventKind::RunWorkerLost, EventKind::RunQueued];
    let mut often = prepared();
    often.dispatch_attempts = 100;
    let again = check(&often, lost, NOW, "queued", &told);
    assert!(matches!(
        again.state,
        State::Queued {
            next_attempt: 1,
            ..
        }
    ));
    let died = Command::Lose(Loss::Machine(failure(FailureKind::SandboxFailed)));
    check(&prepared(), died.clone(), NOW, "queued", &told);
    // A machine that always dies is not the worker's fault.
    let told = [EventKind::RunWorkerLost, EventKind::RunFailed];
    check(&often, died, NOW, "failed", &told);
    let image = Command::Lose(Loss::Machine(failure(FailureKind::ImageFailed)));
    check(&prepared(), image, NOW, "failed", &told);
}

#[test]
fn what_is_lost_after_it_began_costs_an_attempt() {
    let lost = Command::Lose(Loss::Worker);
    for begun in [running(), waiting(), moving()] {
        let told = [EventKind::RunWorkerLost, EventKind::RunFailed];
        check(&begun, lost.clone(), NOW, "failed", &told);
        let mut twice = begun;
        twice.retry.max_attempts = 2;
        let told = [EventKind::RunWorkerLost, EventKind::RunRetryScheduled];
        check(&twice, lost.clone(), NOW, "queued", &told);
    }
    for other in finished().into_iter().chain([queued(1)]) {
        check(&other, lost.clone(), NOW, "=", &[]);
    }
}
