//! What every driver promises, asked of each.
//!
//! `behavior` holds the promises; a rig brings one driver and the little that differs between them. `gvisor` asks what
//! only an isolation runtime can be asked.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod behavior;
mod gvisor;
mod rig;

macro_rules! conformance {
    ($driver:ident, $rig:ty, [$($promise:ident),* $(,)?]) => {
        mod $driver {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    let rig = <$rig>::new().await;
                    crate::behavior::$promise(&rig).await;
                    crate::rig::Rig::retire(rig).await;
                }
            )*
        }
    };
}

macro_rules! promises {
    ($driver:ident, $rig:ty) => {
        conformance!(
            $driver,
            $rig,
            [
                a_started_machine_greets_and_its_run_talks_prints_and_ends,
                a_checkpoint_continues_as_a_new_attempt_when_the_machine_is_dead,
                one_checkpoint_restores_twice_side_by_side,
                a_new_worker_finds_the_machine_where_it_was,
                a_checkpoint_leaves_the_machine_paused_and_it_can_go_on,
                a_checkpoint_that_fails_leaves_no_image_and_the_machine_goes_on,
                a_torn_image_is_refused_and_leaves_nothing,
                a_hello_of_another_attempt_is_not_accepted,
                presence_tells_running_paused_and_gone,
                killing_is_repeatable_and_fine_for_what_never_started,
                what_exists_is_listed,
                a_stopped_machine_is_gone_by_itself,
            ]
        );
    };
}

promises!(on_scripted, crate::rig::scripted::Scripted);
promises!(on_gvisor, crate::rig::gvisor::Gvisor);
