//! Local actions: they commit with their entries, and those of one saga that follow each other together.

use crate::{
    ground::Ground,
    world::{World, go_on, words},
};
use orchestrator::{SagaId, Settled, Store, action::Halt};
use serde_json::json;
use std::collections::HashSet;

pub(crate) async fn a_local_action_commits_with_its_entry_or_not_at_all<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    world.script.answer(Err(Halt::transient("later", "later")));
    world.script.answer(Err(Halt::permanent("panic!", "")));
    let saga = world.start("one-step").await;
    world.run_until(saga, "completed").await;
    assert_eq!(world.script.calls().len(), 3);
    assert_eq!(world.effects(saga).await, 1);

    world.script.answer(Err(Halt::permanent("error!", "")));
    let saga = world.start("one-step").await;
    world.run_until(saga, "completed").await;
    assert_eq!(world.effects(saga).await, 1);
    world.all_is_well().await;
}

pub(crate) async fn local_steps_that_follow_each_other_share_a_commit<G: Ground>() {
    for (local_steps_max, moves) in [(1, 3), (2, 2), (3, 1), (8, 1)] {
        let world = World::<G>::on_new_ground().await;
        let engine = world.with_local_steps(local_steps_max);
        let saga = world.start("local").await;
        let claimed = world.claim(&engine, saga).await;
        assert!(matches!(go_on(&engine, claimed).await, Settled::Released));
        let view = world.view(saga).await;
        assert_eq!(words(&view), ["started", "succeeded one", "succeeded two", "succeeded three", "completed"]);
        assert_eq!(moves_of(&world, saga).await, moves, "at most {local_steps_max} together");
        assert_eq!((world.effects(saga).await, world.script.calls().len()), (3, 3));
        world.all_is_well().await;
    }
}

/// After its start.
async fn moves_of<G: Ground>(world: &World<G>, saga: SagaId) -> usize {
    let (mut journals, _) = world.store().journals(&[saga]).await.unwrap();
    let moves: HashSet<_> = journals.remove(&saga).unwrap().unwrap().into_iter().map(|(_, of)| of).collect();
    moves.len() - 1
}

/// What killed the worker is found out by each step alone, and what was done before it stays done.
pub(crate) async fn after_a_death_each_local_step_has_its_own_commit<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let saga = world.start("local").await;
    let dead = world.claim(&world.engine, saga).await;
    world.end_leases().await;
    let other = world.another();
    let claimed = world.claim(&other, saga).await;
    assert!(matches!(go_on(&other, claimed).await, Settled::Released));
    assert_eq!(moves_of(&world, saga).await, 3);
    drop(dead);
    world.all_is_well().await;
}

pub(crate) async fn what_one_of_them_comes_to_is_its_own<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    world.script.answer(Ok(json!({})));
    world.script.answer(Err(Halt::transient("later", "later")));
    world.script.answer(Ok(json!({})));
    world.script.answer(Err(Halt::permanent("never", "never")));
    let saga = world.start("local").await;
    let view = world.run_until(saga, "compensated").await;
    let forward = ["started", "succeeded one", "failed two", "succeeded two", "failed three", "compensating"];
    assert_eq!(words(&view)[..6], forward, "{:?}", words(&view));
    // what failed has left nothing behind, what succeeded is there
    assert_eq!((world.effects(saga).await, world.script.calls().len()), (2, 4));
    world.all_is_well().await;
}

pub(crate) async fn what_is_refused_of_one_does_not_take_those_before_along<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    world.refuse("poison").await;
    let saga = world.start("spoiled").await;
    let view = world.run_until(saga, "compensated").await;
    let forward = ["started", "succeeded one", "failed two", "failed two", "failed two", "compensating"];
    assert_eq!(words(&view)[..6], forward, "{:?}", words(&view));
    assert_eq!(world.effects(saga).await, 1);
    world.all_is_well().await;
}
