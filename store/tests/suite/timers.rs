//! Timers: spans by the steady clock, times of day by the wall's, many at one instant.

use helmr_domain::timer::Clock;
use helmr_domain::{Duration, Timestamp};
use helmr_store::timers::{self, Next};
use helmr_store::worker::WaitFor;
use helmr_store::{Hint, sessions, worker};
use serde_json::json;

use crate::on_both;
use crate::world::{World, fresh};

const HOUR: Duration = Duration::from_secs(3_600);

/// A moment at which people set their clock `ahead`, or back.
fn at(world: &World, wall: Timestamp) -> helmr_domain::Moment {
    world.at().with_wall(wall)
}

on_both! {
    async fn a_clock_that_is_set_moves_times_of_day_and_no_spans(world) {
        let (spans, times) = (world.live("plain").await?, world.live("plain").await?);
        let due_at = world.now().after(HOUR);
        let span = WaitFor::Timer { due_at, clock: Clock::Steady };
        let time = WaitFor::Timer { due_at, clock: Clock::Wall };
        world.wait(&spans, 1, span).await?;
        world.wait(&times, 1, time).await?;
        let next = timers::next_due(&world.store).await?;
        assert_eq!(next, Next { steady: Some(due_at), wall: Some(due_at) });
        // Set forward by an hour: the time of day has come.
        let ahead = world.now().after(HOUR);
        assert_eq!(timers::fire_due(&world.store, at(&world, ahead), 100).await?.fired, 1);
        assert_eq!(world.outcome(&times).await?, json!({"ok": true, "data": null}));
        assert!(world.outcome(&spans).await.is_err());
        // Set back, after the span has passed: it is over all the same.
        world.advance(HOUR);
        let back = world.now().before(HOUR).before(HOUR);
        assert_eq!(timers::fire_due(&world.store, at(&world, back), 100).await?.fired, 1);
        assert_eq!(world.outcome(&spans).await?, json!({"ok": true, "data": null}));
        assert_eq!(timers::next_due(&world.store).await?, Next::default());
    }

    async fn a_session_expires_at_its_time_of_day(world) {
        let mut input = world.start_input("plain").await?;
        let expires_at = world.now().after(HOUR);
        input.expires_at = Some(expires_at);
        let started = fresh(sessions::start(&world.store, input).await?)?;
        // The day did not go on for as long as that.
        world.advance(HOUR);
        let behind = expires_at.before(Duration::from_secs(60));
        assert_eq!(timers::fire_due(&world.store, at(&world, behind), 100).await?.fired, 0);
        assert_eq!(world.session(started.session.id).await?.state.as_str(), "open");
        timers::fire_due(&world.store, at(&world, expires_at), 100).await?;
        assert_eq!(world.session(started.session.id).await?.state.as_str(), "expired");
    }

    async fn max_duration_and_grace_are_spans(world) {
        let live = world.live("plain").await?;
        let ahead = world.now().after(HOUR);
        timers::fire_due(&world.store, at(&world, ahead), 100).await?;
        assert!(world.run(live.run).await?.state.stop.is_none(), "its 15 minutes have not passed");
        // Nor has its lease run out.
        let reaped = worker::reap_expired_leases(&world.store, at(&world, ahead), 10).await?;
        assert!(reaped.is_empty());
    }

    async fn many_timers_of_one_instant_fire_together_and_once(world) {
        let live = world.live("plain").await?;
        let minute = Duration::from_secs(60);
        let due_at = world.now().after(minute);
        for call_no in 1..=300 {
            let mut input = world.wait_input(&live, call_no, WaitFor::Timer { due_at, clock: Clock::Steady });
            input.blocking = false;
            worker::register_wait(&world.store, input).await?;
        }
        world.advance(minute);
        let (one, other) = tokio::join!(
            timers::fire_due(&world.store, world.at(), 1_000),
            timers::fire_due(&world.store, world.at(), 1_000)
        );
        // Two that see the same timer: one of them finds it gone.
        assert!(one?.fired + other?.fired >= 300);
        let resolved = world.events(live.run).await?;
        assert_eq!(resolved.iter().filter(|kind| **kind == "wait.resolved").count(), 300);
        // What is left is the run's max duration.
        let left = timers::next_due(&world.store).await?.steady;
        assert!(left > Some(due_at.after(minute)), "{left:?}");
    }

    async fn arming_a_timer_tells_when_it_is_due(world) {
        let live = world.live("plain").await?;
        let mut hints = world.store.hints();
        let due_at = world.now().after(HOUR);
        let clock = Clock::Wall;
        world.wait(&live, 1, WaitFor::Timer { due_at, clock }).await?;
        let mut told = Vec::new();
        while let Ok(hint) = hints.try_recv() {
            told.push(hint);
        }
        assert!(told.contains(&Hint::Timer { clock, due_at }), "{told:?}");
        let next = timers::next_due(&world.store).await?;
        assert!(next.is_before(clock, due_at.before(HOUR)) && !next.is_before(clock, due_at));
    }
}
