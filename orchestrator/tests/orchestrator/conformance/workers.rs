//! Workers that die, sleep and come back.

use crate::{
    acts::done,
    ground::Ground,
    world::{World, go_on, words},
};
use orchestrator::{Settled, acts::Act, journal::StuckCause};
use serde_json::json;

pub(crate) async fn a_zombie_writes_nothing_and_learns_of_it_in_the_middle_of_its_call<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let saga = world.start("three-steps").await;
    let gate = world.script.close_gate();
    let zombie = world.another();
    let claimed = world.claim(&zombie, saga).await;
    let asleep = tokio::spawn({
        let zombie = zombie.clone();
        async move { zombie.execute(claimed).await }
    });
    world.script.entered.notified().await;
    world.script.remove_gate();
    // its lease ends; another takes the saga, asks what became of the call, and goes on to the end
    world.end_leases().await;
    let finished = world.run_until(saga, "completed").await;
    gate.add_permits(1);
    let (claimed, report) = asleep.await.unwrap();
    assert!(matches!(zombie.settle(claimed, report).await, Settled::Superseded));
    assert_eq!(words(&world.view(saga).await), words(&finished));
    assert!(!words(&finished).iter().any(|word| word.starts_with("noted")), "the zombie's note was refused");
    world.all_is_well().await;
}

pub(crate) async fn a_zombie_s_local_action_has_no_effect<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let saga = world.start("one-step").await;
    let zombie = world.another();
    let claimed = world.claim(&zombie, saga).await;
    let (claimed, report) = zombie.execute(claimed).await;
    world.end_leases().await;
    world.run_until(saga, "completed").await;
    assert!(matches!(zombie.settle(claimed, report).await, Settled::Superseded));
    assert_eq!((world.effects(saga).await, world.script.calls().len()), (1, 1));
    assert_eq!(words(&world.view(saga).await), ["started", "succeeded only", "completed"]);
    world.all_is_well().await;
}

pub(crate) async fn a_result_is_kept_when_others_write_in_the_middle_of_a_call<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let saga = world.start("three-steps").await;
    let gate = world.script.close_gate();
    let claimed = world.claim(&world.engine, saga).await;
    let calling = tokio::spawn({
        let engine = world.engine.clone();
        async move { engine.execute(claimed).await }
    });
    world.script.entered.notified().await;
    world.script.remove_gate();
    world.engine.signal(saga, "something", json!({}), "test").await.unwrap();
    gate.add_permits(1);
    let (claimed, report) = calling.await.unwrap();
    assert!(matches!(world.engine.settle(claimed, report).await, Settled::Continue(_)));
    let journal = words(&world.view(saga).await);
    assert_eq!(journal, ["started", "intended one", "signalled", "noted one", "succeeded one"]);
    world.end_leases().await;
    world.run_until(saga, "completed").await;
    world.all_is_well().await;
}

pub(crate) async fn what_rests_on_nothing_being_told_is_planned_again_when_something_is<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let saga = world.start_with("leaving", json!({ "key": "k" })).await;
    let gate = world.script.close_gate();
    let claimed = world.claim(&world.engine, saga).await;
    let calling = tokio::spawn({
        let engine = world.engine.clone();
        async move { engine.execute(claimed).await }
    });
    world.script.entered.notified().await;
    world.script.remove_gate();
    world.engine.signal(saga, "something", json!({}), "test").await.unwrap();
    gate.add_permits(1);
    let (claimed, report) = calling.await.unwrap();
    world.engine.settle(claimed, report).await;
    assert_eq!(words(&world.view(saga).await), ["started", "intended leave", "signalled"]);
    assert!(world.script.calls().iter().all(|call| call == "leave leave"), "nothing was started");
    world.end_leases().await;
    let view = world.run_until(saga, "completed").await;
    assert_eq!(words(&view)[3..5], ["intended leave", "noted leave"]);
    world.all_is_well().await;
}

pub(crate) async fn a_cancel_in_the_middle_of_a_call_stops_further_calls_and_is_carried_out<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let saga = world.start("three-steps").await;
    let gate = world.script.close_gate();
    let claimed = world.claim(&world.engine, saga).await;
    let calling = tokio::spawn({
        let engine = world.engine.clone();
        async move { engine.execute(claimed).await }
    });
    world.script.entered.notified().await;
    world.script.remove_gate();
    done(&world, saga, Act::Cancel).await;
    gate.add_permits(1);
    let (claimed, report) = calling.await.unwrap();
    world.engine.settle(claimed, report).await;
    world.end_leases().await;
    let view = world.run_until(saga, "compensated").await;
    assert_eq!(view.run.cause.unwrap().code, "cancelled");
    assert_eq!(world.script.calls(), ["do one", "undo one"]);
    world.all_is_well().await;
}

pub(crate) async fn a_step_that_kills_every_worker_becomes_stuck_and_says_so<G: Ground>() {
    // asked about between two deaths, and not
    for (definition, step) in [("patient", "ask"), ("slow", "one")] {
        let world = World::<G>::on_new_ground().await;
        let saga = world.start(definition).await;
        let _gate = world.script.close_gate();
        let mut deaths = 0;
        while world.view(saga).await.run.state.as_str() != "stuck" {
            let doomed = world.another();
            let claimed = world.claim(&doomed, saga).await;
            let mut dying = tokio::spawn(async move { go_on(&doomed, claimed).await });
            tokio::select! {
                () = world.script.entered.notified() => {
                    deaths += 1;
                    dying.abort();
                    assert!(dying.await.unwrap_err().is_cancelled());
                }
                ended = &mut dying => drop(ended.unwrap()),
            }
            assert!(deaths < 20, "it was claimed for ever");
            world.end_leases().await;
        }
        let stuck = world.view(saga).await.run.stuck.unwrap();
        assert_eq!((stuck.cause, stuck.step.as_deref()), (StuckCause::WorkerLost, Some(step)));
        // one more where the claim had brought the saga further before its worker died
        assert!((5..=6).contains(&deaths), "{definition}: {deaths}");
        world.all_is_well().await;
        // a person tries again with a worker that survives it
        world.script.remove_gate();
        done(&world, saga, Act::Retry).await;
        world.run_until(saga, "completed").await;
        world.all_is_well().await;
    }
}

pub(crate) async fn what_is_handed_back_is_claimed_by_others_at_once<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let saga = world.start("doomed").await;
    let leaving = world.another();
    let claimed = world.claim(&leaving, saga).await;
    assert!(world.engine.claim("test", 1).await.unwrap().is_empty());
    leaving.hand_back(vec![claimed]).await.unwrap();
    assert_eq!(world.engine.claim("test", 1).await.unwrap()[0].saga_id(), saga);
    world.all_is_well().await;
}

pub(crate) async fn a_claim_whose_holder_has_gone_is_not_kept_alive<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let saga = world.start("three-steps").await;
    let held = world.claim(&world.engine, saga).await;
    world.end_leases().await;
    world.engine.keep_leases().await.unwrap();
    assert!(world.engine.claim("test", 1).await.unwrap().is_empty(), "its holder keeps it");
    drop(held);
    world.end_leases().await;
    world.engine.keep_leases().await.unwrap();
    world.run_until(saga, "completed").await;
    world.all_is_well().await;
}

pub(crate) async fn a_lost_wake_up_is_seen_and_mended<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let saga = world.start("three-steps").await;
    world.lose_wake_ups().await;
    let violated = world.violations().await;
    assert!(violated[0].starts_with("saga-is-looked-after "), "{violated:?}");
    assert_eq!(world.engine.sweep().await.unwrap(), 1);
    world.run_until(saga, "completed").await;
    world.all_is_well().await;
}

pub(crate) async fn one_saga_that_does_not_read_keeps_no_other_from_work<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let odd = world.start("waiter").await;
    let good = world.start("one-step").await;
    world.spoil_definition("waiter").await;
    // a process that has not read the definition before
    let other = world.another();
    for _ in 0..20 {
        world.turn(&other).await;
        world.let_pass(31).await;
    }
    assert_eq!(world.view(good).await.run.state.as_str(), "completed");
    assert_eq!(world.wake_up(odd).await.unwrap().claims, 0, "nobody has died with it");
    // the process that knows it goes on
    world.run_until(odd, "waiting").await;
    world.all_is_well().await;
}
