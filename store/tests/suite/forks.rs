//! Forks: of a version, and of a machine as it stands.

use anyhow::{Context, Result};
use helmr_domain::{Duration, Refusal, WorkspaceId};
use helmr_store::forks::{self, Copied, Fork, Forked, FromVersion, Made, Request, State};
use helmr_store::worker::{self, Origin, PlacedKind, WaitFor};
use helmr_store::workspaces::{self, End};
use helmr_store::{Error, runs, sessions};
use serde_json::json;

use crate::on_both;
use crate::world::{Live, World, fresh};

fn from_version(world: &World, source: WorkspaceId) -> FromVersion {
    FromVersion {
        at: world.at(),
        scope: world.scope,
        source,
        version: None,
        external_id: None,
        metadata: json!({}),
        tags: Vec::new(),
        idempotency: None,
    }
}

fn asked(world: &World, source: WorkspaceId) -> Request {
    Request {
        at: world.at(),
        scope: world.scope,
        source,
        external_id: None,
        metadata: json!({}),
        tags: Vec::new(),
        key: None,
    }
}

async fn request(world: &World, source: WorkspaceId) -> Result<Fork> {
    Ok(forks::request(&world.store, asked(world, source)).await?)
}

fn made(world: &World, live: &Live, fork: &Fork) -> Forked {
    Forked {
        at: world.at(),
        fence: live.machine_fence(),
        workspace_id: fork.workspace_id,
        materialization_id: fork.materialization_id,
        checkpoint_id: fork.checkpoint_id,
        checkpoint_size_bytes: 100,
        runtime_identity: "scripted".to_owned(),
        version: world.version(),
        timings: json!({}),
    }
}

/// Forks a live machine. Gives the copies of its sessions.
async fn fork(world: &World, live: &Live) -> Result<(Fork, Vec<Copied>)> {
    let fork = request(world, live.workspace).await?;
    forks::forked(&world.store, made(world, live, &fork)).await?;
    let copied = forks::copied_sessions(&world.store, world.scope, fork.workspace_id).await?;
    Ok((fork, copied))
}

async fn workspace(world: &World, id: WorkspaceId) -> Result<workspaces::Workspace> {
    let found = workspaces::get(&world.store, world.scope, id).await?;
    found.context("the workspace is there")
}

/// The one copied run, where it is live again.
async fn woken(world: &World, copied: &[Copied]) -> Result<Live> {
    let run = copied
        .first()
        .and_then(|copied| copied.to.run)
        .context("a run")?;
    let run = world.run(run).await?;
    let placed = world.place().await?;
    let placed = placed
        .iter()
        .find(|placed| placed.workspace_id == run.workspace_id)
        .context("the copy is placed")?;
    assert_eq!(placed.kind, PlacedKind::Wake);
    let live = world.on(&run, placed).await?;
    worker::machine_live(&world.store, world.machine(&live)).await?;
    Ok(live)
}

fn refused<T: std::fmt::Debug>(answer: helmr_store::Result<T>) -> Result<Refusal> {
    match answer {
        Err(Error::Refused(refusal)) => Ok(refusal),
        other => anyhow::bail!("{other:?}"),
    }
}

on_both! {
    async fn a_fork_of_a_version_shares_its_files_and_nothing_else(world) {
        let live = world.live("plain").await?;
        world.succeed(&live).await?;
        let captured = world.version();
        let input = worker::Captured {
            at: world.at(),
            fence: live.machine_fence(),
            version: captured.clone(),
            asked: Vec::new(),
        };
        worker::version_captured(&world.store, input).await?;
        let mut input = from_version(&world, live.workspace);
        input.external_id = Some("branch".to_owned());
        input.tags = vec!["a".to_owned()];
        input.metadata = json!({"n": 1});
        let Made { workspace: made, version } = fresh(forks::from_version(&world.store, input.clone()).await?)?;
        assert_eq!(version, Some(captured.version_id));
        assert_eq!((made.external_id.as_deref(), made.tags.as_slice()), (Some("branch"), &["a".to_owned()][..]));
        assert_eq!((made.size_bytes, made.machine.as_ref()), (captured.size_bytes, None));
        assert_eq!(made.deployment_id, workspace(&world, live.workspace).await?.deployment_id);
        let id = made.current_version_id.context("it has a version")?;
        let first = workspaces::version(&world.store, world.scope, made.id, id).await?.context("there")?;
        assert_eq!((first.kind.as_str(), first.parent_id), ("fork", Some(captured.version_id)));
        assert_eq!((first.manifest, first.changed_bytes), (captured.manifest.clone(), 0));
        let refusal = refused(forks::from_version(&world.store, input).await)?;
        assert!(matches!(refusal, Refusal::ExternalIdTaken { workspace_id: Some(id) } if id == made.id));
        // A session in it begins with those files.
        let mut input = world.start_input("plain").await?;
        input.workspace = Some(made.id);
        fresh(sessions::start(&world.store, input).await?)?;
        world.place().await?;
        let assignment = worker::assignment(&world.store, made.id).await?.context("assigned")?;
        let expected = Origin::Version { version_id: id, manifest: captured.manifest };
        assert_eq!(assignment.machine.origin, expected);
        assert!(assignment.machine.names.0.is_empty());
    }

    async fn a_fork_of_what_has_no_version_begins_with_the_image(world) {
        let live = world.live("plain").await?;
        let made = fresh(forks::from_version(&world.store, from_version(&world, live.workspace)).await?)?;
        assert_eq!((made.version, made.workspace.current_version_id), (None, None));
        let mut input = from_version(&world, live.workspace);
        input.version = Some(world.version().version_id);
        let unknown = forks::from_version(&world.store, input).await;
        assert!(matches!(unknown, Err(Error::NotFound("version"))), "{unknown:?}");
        let end = End { at: world.at(), scope: world.scope, workspace: live.workspace, force: true };
        workspaces::delete(&world.store, end).await?;
        let refusal = refused(forks::from_version(&world.store, from_version(&world, live.workspace)).await)?;
        assert_eq!(refusal, Refusal::WorkspaceNotActive { state: "deleted".to_owned() });
    }

    async fn a_live_fork_is_not_there_before_it_is_committed_and_whole_then(world) {
        let live = world.live("plain").await?;
        let fork = request(&world, live.workspace).await?;
        assert_eq!(workspaces::get(&world.store, world.scope, fork.workspace_id).await?, None);
        let assignment = world.assignment(&live).await?.context("assigned")?;
        let order = assignment.forks.first().context("ordered")?;
        assert_eq!((order.workspace_id, order.checkpoint_id), (fork.workspace_id, fork.checkpoint_id));
        let input = made(&world, &live, &fork);
        forks::forked(&world.store, input.clone()).await?;
        assert!(world.assignment(&live).await?.context("assigned")?.forks.is_empty());
        // Told again: the answer was lost.
        forks::forked(&world.store, input.clone()).await?;
        let found = forks::get(&world.store, world.scope, fork.workspace_id).await?.context("there")?;
        assert_eq!(found.state, State::Done);
        let copy = workspace(&world, fork.workspace_id).await?;
        let machine = copy.machine.context("it has a machine")?;
        assert_eq!((machine.id, machine.state.as_str()), (fork.materialization_id, "parked"));
        assert_eq!(copy.current_version_id, Some(fork.version_id));
        let first = workspaces::version(&world.store, world.scope, copy.id, fork.version_id).await?;
        assert_eq!(first.context("there")?.parent_id, Some(input.version.version_id));
        // The original has the version too, and goes on.
        let original = workspace(&world, live.workspace).await?;
        assert_eq!(original.current_version_id, Some(input.version.version_id));
        assert_eq!(world.status(live.run).await?, "running");
        world.succeed(&live).await?;
    }

    async fn a_run_that_ran_goes_on_unasked_in_the_copy_under_a_name_of_its_own(world) {
        let live = world.live("plain").await?;
        let (fork, copied) = fork(&world, &live).await?;
        let [one] = copied.as_slice() else { anyhow::bail!("{copied:?}") };
        assert_eq!((one.from.session, one.from.run), (live.session, Some(live.run)));
        let run = world.run(one.to.run.context("a run")?).await?;
        assert_eq!(run.placement.as_ref().map(|placement| placement.state), Some("moving"));
        assert_eq!((run.session_id, run.workspace_id), (one.to.session, fork.workspace_id));
        let copy = woken(&world, &copied).await?;
        let assignment = world.assignment(&copy).await?.context("assigned")?;
        let names: Vec<_> = assignment.machine.names.0.into_iter().collect();
        assert_eq!(names, [(live.run.to_string(), Some(copy.run))]);
        assert!(assignment.runs.first().context("its run")?.started);
        // A copy of the copy knows the same name.
        let (_, second) = self::fork(&world, &copy).await?;
        let second = woken(&world, &second).await?;
        let names = world.assignment(&second).await?.context("assigned")?.machine.names;
        assert_eq!(names.0.get(&live.run.to_string()), Some(&Some(second.run)));
        for live in [&second, &copy, &live] {
            world.succeed(live).await?;
        }
        world.check_replays().await?;
    }

    async fn records_and_positions_come_along_and_what_comes_then_is_each_ones_own(world) {
        let live = world.live("plain").await?;
        world.send(live.session, &json!("read"), None).await?;
        let read = world.wait(&live, 1, World::messages(None)).await?;
        world.deliver(&live, read.wait_id).await?;
        world.send(live.session, &json!("unread"), Some("later")).await?;
        let waiting = world.wait(&live, 2, World::messages(Some("now"))).await?;
        assert!(!waiting.decided);
        let (_, copied) = fork(&world, &live).await?;
        let session = copied[0].to.session;
        assert_eq!(world.unread(session).await?, [json!("unread")]);
        assert_eq!(world.session(session).await?.external_id, None);
        // Input to the copy does not reach the original, and the other way round.
        world.send(session, &json!("for the copy"), Some("now")).await?;
        assert!(world.assignment(&live).await?.context("assigned")?.runs[0].outcomes.is_empty());
        let copy = woken(&world, &copied).await?;
        let outcome = world.outcome(&copy).await?;
        assert_eq!(outcome["data"]["data"], "for the copy", "{outcome}");
        world.send(live.session, &json!("for the original"), Some("now")).await?;
        let outcome = world.outcome(&live).await?;
        assert_eq!(outcome["data"]["data"], "for the original", "{outcome}");
        assert_eq!(world.unread(session).await?.len(), 2);
        // The numbers go on behind those that were copied.
        let records: Vec<_> = transcript(&world, session).await?;
        assert_eq!(records, [1, 2, 3]);
    }

    async fn a_token_stays_with_whoever_made_it(world) {
        let live = world.live("plain").await?;
        let (waited, kept) = (world.token(&live).await?, world.token(&live).await?);
        world.wait(&live, 1, WaitFor::Token(waited)).await?;
        world.park(&live).await?;
        let fork = request(&world, live.workspace).await?;
        // The parked machine is woken to be copied.
        let live = world.wake(&live).await?;
        forks::forked(&world.store, made(&world, &live, &fork)).await?;
        let copied = forks::copied_sessions(&world.store, world.scope, fork.workspace_id).await?;
        let copy = woken(&world, &copied).await?;
        let outcome = world.outcome(&copy).await?;
        assert_eq!((&outcome["ok"], &outcome["error"]["code"]), (&json!(false), &json!("forked")));
        assert_eq!(world.status(live.run).await?, "waiting");
        let wait = world.assignment(&copy).await?.context("assigned")?.runs[0].outcomes[0].wait_id;
        world.deliver(&copy, wait).await?;
        // One that it has in its memory and waits for only now is no more its own.
        let later = world.wait(&copy, 2, WaitFor::Token(kept)).await?;
        assert!(later.decided);
        let outcome = world.outcome(&copy).await?;
        assert_eq!(outcome["error"]["code"], "forked");
        // In the original both are what they were.
        world.complete(waited, &json!("go")).await?;
        assert_eq!(world.outcome(&live).await?["data"], "go");
        // One that the copy makes itself is.
        world.deliver(&copy, later.wait_id).await?;
        let own = world.token(&copy).await?;
        world.wait(&copy, 3, WaitFor::Token(own)).await?;
        world.complete(own, &json!("mine")).await?;
        assert_eq!(world.outcome(&copy).await?["data"], "mine");
    }

    async fn a_timer_is_due_in_both_when_it_was_due(world) {
        let live = world.live("plain").await?;
        let due_at = world.now().after(Duration::from_secs(60));
        let timer = WaitFor::Timer { due_at, clock: helmr_domain::timer::Clock::Steady };
        world.wait(&live, 1, timer).await?;
        world.advance(Duration::from_secs(50));
        let (_, copied) = fork(&world, &live).await?;
        assert!(world.place().await?.is_empty(), "nothing in it is due");
        assert_eq!(world.fire().await?, 0);
        world.advance(Duration::from_secs(10));
        assert_eq!(world.fire().await?, 2);
        let copy = woken(&world, &copied).await?;
        assert_eq!(world.outcome(&copy).await?["ok"], true);
        assert_eq!(world.outcome(&live).await?["ok"], true);
    }

    async fn a_call_that_was_answered_is_answered_alike_in_the_copy_and_a_new_one_anew(world) {
        let live = world.live("plain").await?;
        let answer = |live: &Live, call_no, answer| worker::RecordAnswer {
            at: world.at(),
            fence: live.fence,
            call_no,
            answer,
        };
        worker::record_answer(&world.store, answer(&live, 1, json!("first"))).await?;
        let (_, copied) = fork(&world, &live).await?;
        let copy = woken(&world, &copied).await?;
        let repeated = worker::record_answer(&world.store, answer(&copy, 1, json!("again"))).await?;
        assert_eq!(repeated, "first");
        worker::record_answer(&world.store, answer(&live, 2, json!("of the original"))).await?;
        let own = worker::record_answer(&world.store, answer(&copy, 2, json!("of the copy"))).await?;
        assert_eq!(own, "of the copy");
    }

    async fn a_fork_that_cannot_be_made_leaves_nothing(world) {
        let live = world.live("plain").await?;
        let failed = request(&world, live.workspace).await?;
        let fence = live.machine_fence();
        forks::fork_failed(&world.store, fence, failed.workspace_id, "no room", world.at()).await?;
        let found = forks::get(&world.store, world.scope, failed.workspace_id).await?.context("there")?;
        assert_eq!(found.state, State::Failed { reason: "no room".to_owned() });
        let late = forks::forked(&world.store, made(&world, &live, &failed)).await;
        assert_eq!(refused(late)?, Refusal::ForkOver);
        assert_eq!(workspaces::get(&world.store, world.scope, failed.workspace_id).await?, None);
        // One that nobody waits for any more.
        let left = request(&world, live.workspace).await?;
        forks::give_up(&world.store, world.scope, left.workspace_id, "late", world.at()).await?;
        assert!(world.assignment(&live).await?.context("assigned")?.forks.is_empty());
        // One whose machine ends.
        let lost = request(&world, live.workspace).await?;
        let input = worker::Failed {
            at: world.at(),
            fence,
            kind: "machine_died".to_owned(),
            message: "gone".to_owned(),
            version: None,
            checkpoint_kept: false,
        };
        worker::machine_failed(&world.store, input).await?;
        let found = forks::get(&world.store, world.scope, lost.workspace_id).await?.context("there")?;
        assert!(matches!(found.state, State::Failed { .. }));
    }

    async fn a_copy_that_a_killed_worker_left_is_kept_if_it_was_committed_and_else_made_anew(world) {
        let live = world.live("plain").await?;
        let (done, _) = fork(&world, &live).await?;
        assert!(forks::settle(&world.store, done.materialization_id, world.at()).await?);
        let begun = request(&world, live.workspace).await?;
        let input = made(&world, &live, &begun);
        assert!(!forks::settle(&world.store, begun.materialization_id, world.at()).await?);
        // What the killed one had sent arrives after all.
        assert_eq!(refused(forks::forked(&world.store, input).await)?, Refusal::ForkOver);
        let again = forks::get(&world.store, world.scope, begun.workspace_id).await?.context("there")?;
        assert_eq!(again.state, State::Requested);
        assert_ne!(again.materialization_id, begun.materialization_id);
        forks::forked(&world.store, made(&world, &live, &again)).await?;
        let unknown = world.parked_input(&live, false).fence.materialization_id;
        assert!(!forks::settle(&world.store, unknown, world.at()).await?);
    }

    async fn what_cannot_be_copied_is_refused(world) {
        let fresh_workspace = workspaces::create(&world.store, workspaces::Create {
            at: world.at(),
            scope: world.scope,
            sandbox: "default".to_owned(),
            external_id: None,
            metadata: json!({}),
            tags: Vec::new(),
            auto_stop_after: None,
            idempotency: None,
        }).await?;
        let empty = fresh(fresh_workspace)?;
        let refusal = refused(forks::request(&world.store, asked(&world, empty.id)).await)?;
        assert_eq!(refusal, Refusal::NothingToFork { why: "it has none".to_owned() });
        let live = world.live("plain").await?;
        runs::cancel(&world.store, world.scope, live.run, None, world.at()).await?;
        let refusal = refused(forks::request(&world.store, asked(&world, live.workspace)).await)?;
        assert_eq!(refusal, Refusal::RunStopping);
    }

    async fn a_key_asks_for_one_fork_and_for_another_once_that_failed(world) {
        let live = world.live("plain").await?;
        let mut input = asked(&world, live.workspace);
        input.key = Some(("key".to_owned(), [1; 32]));
        let first = forks::request(&world.store, input.clone()).await?;
        input.at = world.at();
        let again = forks::request(&world.store, input.clone()).await?;
        assert_eq!(again, first);
        let mut other = input.clone();
        other.key = Some(("key".to_owned(), [2; 32]));
        assert_eq!(refused(forks::request(&world.store, other).await)?, Refusal::IdempotencyKeyReused);
        forks::give_up(&world.store, world.scope, first.workspace_id, "late", world.at()).await?;
        input.at = world.at();
        let second = forks::request(&world.store, input).await?;
        assert_ne!(second.workspace_id, first.workspace_id);
    }

    async fn a_machine_that_is_to_be_copied_neither_parks_nor_stops(world) {
        let live = world.live("plain").await?;
        world.wait(&live, 1, World::messages(None)).await?;
        let fork = request(&world, live.workspace).await?;
        let busy = worker::machine_parking(&world.store, world.machine(&live)).await;
        assert_eq!(refused(busy)?, Refusal::MachineBusy);
        forks::forked(&world.store, made(&world, &live, &fork)).await?;
        world.park(&live).await?;
    }
}

/// The sequences of a session's messages.
async fn transcript(world: &World, session: helmr_domain::SessionId) -> Result<Vec<u64>> {
    let input = helmr_store::streams::Peek {
        session,
        stream: "messages".parse()?,
        correlation_id: None,
        limit: 100,
    };
    let unread = helmr_store::streams::peek(&world.store, world.scope, input).await?;
    let last = unread.last().map_or(0, |record| record.sequence);
    Ok((1..=last).collect())
}
